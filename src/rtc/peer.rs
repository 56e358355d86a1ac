//! One browser's connection: ICE finds the way, DTLS agrees on keys, and media is let through. Pure.
//!
//! ```text
//!   Checking ── an address is valid ──> Handshaking ── keys ──> Secured
//!      │                                    │                     │
//!      └─ nobody came in time ─> Failed <───┘ wrong certificate    ├─ close_notify ─> Closed
//!                                                                 └─ no consent ───> Lost, and back when it proves itself
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::call::door::MediaKeys;
use crate::random::Random;

use super::dtls::{Association, DtlsError, Identity};
use super::ice::{Agent, Credentials, Event as Ice};
use super::mux::Kind;
use super::place::Place;
use super::sdp::{Fragment, Offer};
use super::sources::Sources;

/// What a connection tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// From here the far end has proved itself.
    Proved(Place),
    /// This address does not count any more.
    Gone(Place),
    /// Media goes here from now on, or nowhere.
    Target(Option<Place>),
    /// Keys are agreed. Told once.
    Secured(MediaKeys),
    /// It does not answer any more.
    Lost,
    /// It will not come about, for this reason.
    Failed(String),
    /// The far end has ended it.
    Closed,
}

/// A connection with one browser.
pub struct Peer {
    ice: Agent,
    dtls: Association,
    sources: Sources,
    /// When it is given up; none once it is secured.
    give_up_at: Option<Instant>,
    out: VecDeque<(Place, Vec<u8>)>,
    events: VecDeque<Event>,
}

impl Peer {
    /// A connection with whoever made this offer. `number` leads our checks.
    ///
    /// # Errors
    /// [`DtlsError`]: a defect.
    pub fn new(
        now: Instant,
        offer: &Offer,
        identity: &Identity,
        number: u32,
        connect: Duration,
        random: &mut Random,
    ) -> Result<Peer, DtlsError> {
        let dtls = Association::new(identity, offer.role, offer.fingerprint.clone())?;
        let local = Credentials::random(random);
        let ice = Agent::new(now, number, local, offer.ice.clone(), &offer.candidates, random.seed());
        let give_up_at = Some(now + connect);
        let (out, events) = (VecDeque::new(), VecDeque::new());
        Ok(Peer { ice, dtls, sources: Sources::new(now, &offer.sources), give_up_at, out, events })
    }

    /// What proves our ICE.
    pub fn credentials(&self) -> &Credentials {
        self.ice.local()
    }

    /// More of the far end's description. True when ICE begins anew, with new credentials of ours.
    pub fn add(&mut self, now: Instant, fragment: &Fragment, random: &mut Random) -> bool {
        let anew = fragment.ice.as_ref().filter(|theirs| *theirs != self.ice.remote());
        let restarts = anew.is_some();
        if let Some(theirs) = anew {
            self.ice.restart(now, Credentials::random(random), theirs.clone());
        }
        fragment.candidates.iter().for_each(|at| self.ice.add_candidate(now, *at));
        self.settle(now);
        restarts
    }

    /// A datagram has come that is this connection's. True when it is media, to be opened by the room.
    pub fn receive(&mut self, now: Instant, kind: Kind, from: Place, octets: &[u8]) -> bool {
        match kind {
            // What proves nothing is not answered, and nobody is to be told of it.
            Kind::Stun => drop(self.ice.receive(now, from, octets)),
            Kind::Dtls if self.ice.admits(from) => match self.dtls.receive(now, octets) {
                Ok(false) => {}
                Ok(true) => self.events.push_back(Event::Closed),
                Err(error) => self.fail(&error),
            },
            Kind::Dtls => return false,
            Kind::Media => {
                let Some(keys) = self.dtls.keys().filter(|_| self.ice.admits(from)) else { return false };
                return self.sources.admit(now, &keys.theirs, octets);
            }
        }
        self.settle(now);
        false
    }

    /// The connection that this place was is gone.
    pub fn left(&mut self, now: Instant, place: Place) {
        self.ice.left(now, place);
        self.settle(now);
    }

    fn fail(&mut self, error: &DtlsError) {
        use std::error::Error as _;
        let because = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        self.events.push_back(Event::Failed(format!("{error}{because}")));
    }

    /// Carries news from ICE to DTLS, and what both want to send.
    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.ice.poll_event() {
            match event {
                Ice::Valid(at) => {
                    self.events.push_back(Event::Proved(at));
                    if let Err(error) = self.dtls.begin(now) {
                        self.fail(&error);
                    }
                }
                Ice::Gone(at) => self.events.push_back(Event::Gone(at)),
                Ice::Selected(at) => self.events.push_back(Event::Target(Some(at))),
                Ice::Adrift => self.events.push_back(Event::Target(None)),
                Ice::Lost => self.events.extend([Event::Target(None), Event::Lost]),
            }
        }
        self.out.extend(std::iter::from_fn(|| self.ice.poll_transmit()));
        while let Some(octets) = self.dtls.poll_transmit() {
            // Without an address it is lost as on a network, and sent again.
            self.out.extend(self.ice.target().map(|to| (to, octets)));
        }
        if self.give_up_at.is_some()
            && let Some(keys) = self.dtls.keys()
        {
            self.give_up_at = None;
            self.events.push_back(Event::Secured(keys.clone()));
        }
    }

    /// The next datagram, and where it goes.
    pub fn poll_transmit(&mut self) -> Option<(Place, Vec<u8>)> {
        self.out.pop_front()
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Peer::handle_timeout`] is next wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.ice.poll_timeout(), self.dtls.poll_timeout(), self.give_up_at].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.ice.handle_timeout(now);
        if let Err(error) = self.dtls.handle_timeout(now) {
            self.fail(&error);
        }
        if self.give_up_at.is_some_and(|at| at <= now) {
            self.give_up_at = None;
            let what = match (self.ice.target(), self.dtls.refusal()) {
                (None, _) => {
                    "no ICE check has come through; is UDP to the gateway's [webrtc] port let through? Where it is not, [webrtc] tcp helps"
                        .to_owned()
                }
                (_, None) => "the DTLS handshake did not end in time".to_owned(),
                (_, Some(alert)) => format!(
                    "the DTLS handshake did not end in time; the browser, or somebody in its place, said alert {alert}"
                ),
            };
            self.events.push_back(Event::Failed(what));
        }
        self.settle(now);
    }

    /// Tells the far end that it is over.
    pub fn close(&mut self, now: Instant) {
        self.dtls.close(now);
        self.settle(now);
    }

    /// How many addresses of the far end are kept.
    pub fn paths(&self) -> usize {
        self.ice.paths()
    }
}
