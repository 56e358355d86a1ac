//! Requests that are too large for a datagram (RFC 3261 section 18.1.1).
//!
//! Beyond 1300 octets a datagram may be cut into fragments on its way, and networks lose those first. So such a request goes
//! over TCP to the same place, and its Via says so; our Contact and everything else stay, and so do the answers' ways. A place
//! that takes no TCP gets the request as the datagram it would have been, as that section asks, and is remembered for a
//! while, so that one silent firewall does not cost each call the time of an attempt.
//!
//! It holds for places that we have chosen ourselves. Whoever came to us by a datagram has a port for datagrams, and often,
//! behind a translator, no other.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::flow::{Destination, Transport};

/// Octets of the longest request that is sent as a datagram where nothing else is configured: the path's limit is not known.
pub(super) const DATAGRAM_MAX: usize = 1300;

/// How long a place that took no TCP is spared another attempt. Somebody may have opened the port meanwhile.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Places that are remembered: more than any gateway has trunks. Beyond it the oldest knowledge goes.
const PLACES_MAX: usize = 1024;

/// The places that take no TCP.
#[derive(Debug, Default)]
pub(super) struct DatagramsOnly(HashMap<SocketAddr, Instant>);

impl DatagramsOnly {
    /// Where a request of so many octets goes instead, if it must.
    pub(super) fn instead(
        &self,
        now: Instant,
        to: &Destination,
        octets: usize,
        most: usize,
    ) -> Option<Destination> {
        let chosen_by_us = to.local.is_none() && to.connection.is_none();
        let grows = to.transport == Transport::Udp && octets > most && chosen_by_us;
        let spared = self.0.get(&to.remote).is_some_and(|until| now < *until);
        (grows && !spared).then_some(Destination { transport: Transport::Tcp, ..*to })
    }

    /// A place has taken no TCP.
    pub(super) fn note(&mut self, now: Instant, place: SocketAddr) {
        self.0.retain(|_, until| now < *until);
        if self.0.len() >= PLACES_MAX
            && let Some(oldest) = self.0.iter().min_by_key(|(_, until)| **until).map(|(place, _)| *place)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(place, now + REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten_in_time() {
        let start = Instant::now();
        let place = |n: u32| SocketAddr::from((std::net::Ipv4Addr::from(n), 5060));
        let to = |n| Destination {
            transport: Transport::Udp,
            remote: place(n),
            local: None,
            connection: None,
            tls: None,
        };
        let mut known = DatagramsOnly::default();
        for n in 0..PLACES_MAX as u32 + 1 {
            known.note(start + Duration::from_millis(n.into()), place(n));
        }
        assert_eq!(known.0.len(), PLACES_MAX);
        let spared = |n, at| known.instead(at, &to(n), 1301, DATAGRAM_MAX).is_none();
        assert!(!spared(0, start), "the oldest has gone");
        assert!(spared(1, start) && !spared(1, start + REMEMBERED + Duration::from_secs(2)));
    }
}
