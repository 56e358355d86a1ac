//! The connections that browsers open where no datagram comes through (ICE over TCP, RFC 6544): ours is the passive side.
//! Pure.
//!
//! ```text
//!   accepted ──> unbound ── a check with a leg's name ──> bound ── our check is answered ──> proved ──> gone
//!                   │                                      │                                  │
//!                   └── anything else: cut off             │              forgotten by ICE, or the leg ends: cut off
//!                   └──────────────── not proved in time, or no room for a newcomer: cut off
//! ```
//!
//! A connection is one leg's: the first check on it says whose, and no other leg is spoken of on it. It says nothing about
//! who is there: until our own check has been answered on it, under the far end's password, it is a guest that makes room
//! for the next.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::call::LegId;

use super::frame::{Framer, TooLong};
use super::place::{Place, StreamId};

/// A connection has this long to prove itself. It takes two round trips, and a browser opens one when it has our answer
/// and everything that it needs; the rest is for loss, and for browsers that try datagrams first.
pub const PROOF_WITHIN: Duration = Duration::from_secs(8);

/// The connections at the door.
#[derive(Debug)]
pub struct Streams {
    /// At one time.
    most: usize,
    opened: u64,
    streams: HashMap<StreamId, Stream>,
    /// Those that have proved nothing, with the end of their time: the oldest has the least left.
    unproved: BTreeMap<StreamId, Instant>,
}

#[derive(Debug)]
struct Stream {
    at: SocketAddr,
    framer: Framer,
    leg: Option<LegId>,
}

impl Streams {
    /// None yet, and never more than `most`.
    pub fn new(most: usize) -> Streams {
        Streams { most, opened: 0, streams: HashMap::new(), unproved: BTreeMap::new() }
    }

    /// Whether one more is too many.
    pub fn is_full(&self) -> bool {
        self.streams.len() >= self.most
    }

    /// The one that makes room for another.
    pub fn oldest_unproved(&self) -> Option<StreamId> {
        self.unproved.first_key_value().map(|(id, _)| *id)
    }

    /// One has been opened from there.
    pub fn add(&mut self, now: Instant, at: SocketAddr) -> StreamId {
        self.opened += 1;
        let id = StreamId(self.opened);
        self.streams.insert(id, Stream { at, framer: Framer::default(), leg: None });
        self.unproved.insert(id, now + PROOF_WITHIN);
        id
    }

    /// Octets have come on it. The place that it is; `None` when it is gone.
    pub fn push(&mut self, id: StreamId, octets: &[u8]) -> Option<Place> {
        let stream = self.streams.get_mut(&id)?;
        stream.framer.push(octets);
        Some(Place { at: stream.at, stream: Some(id) })
    }

    /// The next packet on it.
    ///
    /// # Errors
    /// [`TooLong`]: it is of no use any more.
    pub fn next(&mut self, id: StreamId) -> Result<Option<Vec<u8>>, TooLong> {
        self.streams.get_mut(&id).map_or(Ok(None), |stream| stream.framer.pop())
    }

    /// A packet on it is of this leg, or of none that is known; `check` says whether it is a check. Whether that may be:
    /// the first one binds it.
    pub fn may_speak_of(&mut self, id: StreamId, leg: Option<LegId>, check: bool) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        match (stream.leg, leg) {
            (None, None) => false,
            (None, Some(_)) if !check => false,
            (None, Some(leg)) => {
                stream.leg = Some(leg);
                true
            }
            // A handshake that comes too early is nobody's, and lost as on a network.
            (Some(_), None) => true,
            (Some(bound), Some(leg)) => bound == leg,
        }
    }

    /// Whoever is there has proved to be the leg's far end.
    pub fn proved(&mut self, id: StreamId) {
        self.unproved.remove(&id);
    }

    /// It is gone: the place that it was, and whose.
    pub fn remove(&mut self, id: StreamId) -> Option<(Place, Option<LegId>)> {
        let stream = self.streams.remove(&id)?;
        self.unproved.remove(&id);
        Some((Place { at: stream.at, stream: Some(id) }, stream.leg))
    }

    /// Those of a leg. There are few connections, and a leg ends once.
    pub fn of(&self, leg: LegId) -> Vec<StreamId> {
        let all = self.streams.iter().filter(|(_, stream)| stream.leg == Some(leg));
        all.map(|(id, _)| *id).collect()
    }

    /// When the next one's time is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.unproved.first_key_value().map(|(_, until)| *until)
    }

    /// One whose time is over.
    pub fn overdue(&self, now: Instant) -> Option<StreamId> {
        self.unproved.first_key_value().filter(|(_, until)| **until <= now).map(|(id, _)| *id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }
}
