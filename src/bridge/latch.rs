//! Whose packets a leg takes: the far end's and nobody else's.
//!
//! Media without SRTP proves nothing of its sender, so the description is all there is to hold on
//! to. Packets count only when they come from the address that the far end named. Only when
//! signalling came from another host than media is promised from, which shows an address
//! translator, may media come from that signalling host at another port, and then the first steady
//! stream is taken for the call's life. SRTP does prove its sender: a steady stream of authentic packets is
//! taken from wherever it comes. No packet of a stranger moves anything, and nothing is
//! ever sent to an address found by listening to strangers.

use std::net::{IpAddr, SocketAddr};

use sidetone_media::stream::rtp::Header;

/// Packets in a row, of one sender and one SSRC, that make a stream steady.
const STEADY: u8 = 3;

/// Who may speak on a leg.
#[derive(Debug, Default)]
pub(super) struct Latch {
    /// What the description says.
    expected: Option<SocketAddr>,
    /// The host behind whose translator the far end sits.
    nat_host: Option<IpAddr>,
    locked: Option<SocketAddr>,
    candidate: Option<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    from: SocketAddr,
    ssrc: u32,
    next: u16,
    seen: u8,
}

impl Latch {
    /// What new signalling says. The same address as before changes nothing.
    pub(super) fn expect(&mut self, remote: Option<SocketAddr>, nat_host: Option<IpAddr>) {
        if self.expected != remote || self.nat_host != nat_host {
            *self = Latch { expected: remote, nat_host, locked: None, candidate: None };
        }
    }

    /// The one address that packets come from, once one has come.
    pub(super) fn locked(&self) -> Option<SocketAddr> {
        self.locked
    }

    /// Where packets go.
    pub(super) fn target(&self) -> Option<SocketAddr> {
        // On hold by 0.0.0.0 there is nowhere to send, wherever packets came from before.
        self.expected?;
        self.locked.or(self.expected)
    }

    /// Whether a packet is the far end's. `authentic`: its tag says so; then only its address is in question.
    pub(super) fn admits(&mut self, from: SocketAddr, header: &Header, authentic: bool) -> bool {
        if let Some(locked) = self.locked {
            return locked == from;
        }
        if self.expected == Some(from) {
            self.locked = Some(from);
            return true;
        }
        if self.expected.is_none() || !(authentic || self.nat_host == Some(from.ip())) {
            return false;
        }
        let follows = self.candidate.as_ref().is_some_and(|candidate| {
            candidate.from == from && candidate.ssrc == header.ssrc && candidate.next == header.sequence.0
        });
        let seen =
            if follows { self.candidate.as_ref().map_or(1, |candidate| candidate.seen + 1) } else { 1 };
        if seen >= STEADY {
            self.locked = Some(from);
            self.candidate = None;
            return true;
        }
        let next = header.sequence.0.wrapping_add(1);
        self.candidate = Some(Candidate { from, ssrc: header.ssrc, next, seen });
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(sequence: u16, ssrc: u32) -> Header {
        let mut packet = [0; 32];
        packet[0] = 0x80;
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
        Header::parse(&packet).unwrap()
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_stranger_who_sprays_is_never_taken_for_the_far_end() {
        let mut latch = Latch::default();
        latch.expect(Some(at("192.0.2.5:4000")), None);
        for sequence in 0..100 {
            assert!(
                !latch.admits(at("192.0.2.5:4002"), &header(sequence, 7), false),
                "another port of the same host"
            );
            assert!(!latch.admits(at("203.0.113.9:4000"), &header(sequence, 7), false));
        }
        assert_eq!(latch.target(), Some(at("192.0.2.5:4000")));
        assert!(latch.admits(at("192.0.2.5:4000"), &header(5, 1), false));
        assert!(!latch.admits(at("203.0.113.9:4000"), &header(6, 1), false));
    }

    #[test]
    fn behind_a_translator_a_steady_stream_of_the_signalling_host_is_taken_once() {
        let mut latch = Latch::default();
        latch.expect(Some(at("10.0.0.5:4000")), Some(at("203.0.113.9:0").ip()));
        let far_end = at("203.0.113.9:61000");
        assert!(!latch.admits(at("198.51.100.1:5000"), &header(1, 9), false), "not the signalling host");
        assert!(!latch.admits(far_end, &header(1, 9), false));
        assert!(!latch.admits(far_end, &header(9, 9), false), "not in a row: counting begins anew");
        assert!(!latch.admits(far_end, &header(10, 9), false));
        assert!(latch.admits(far_end, &header(11, 9), false));
        assert_eq!(latch.target(), Some(far_end));
        assert!(!latch.admits(at("203.0.113.9:61002"), &header(12, 9), false));
    }

    #[test]
    fn only_new_signalling_moves_a_locked_leg() {
        let mut latch = Latch::default();
        latch.expect(Some(at("192.0.2.5:4000")), None);
        assert!(latch.admits(at("192.0.2.5:4000"), &header(1, 1), false));
        latch.expect(Some(at("192.0.2.5:4000")), None);
        assert_eq!(latch.locked(), Some(at("192.0.2.5:4000")));
        latch.expect(Some(at("192.0.2.5:5000")), None);
        assert_eq!(latch.locked(), None);
        assert!(!latch.admits(at("192.0.2.5:4000"), &header(2, 1), false));
        latch.expect(None, None);
        assert_eq!(latch.target(), None, "a peer without an address gets nothing");
    }
}
