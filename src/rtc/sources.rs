//! Whose packets are let through to the room. Pure.
//!
//! The room opens what it gets, and what it cannot open it drops; but its queue is short, and who fills it with rubbish
//! drives the sound out. So only packets are let through whose source (RFC 3550 section 3) an outsider cannot guess:
//! those that the description names (RFC 5576), and those that have proved themselves. A source that the description
//! could not name is tried here, a few packets in a second: that of whoever reports (RTCP), and any of a description
//! that names none.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use sidetone_media::srtp::{MasterKey, Open};

use super::sdp::SOURCES_MAX;

/// Sources that may prove themselves: a voice, its repetition, and those that report.
const PROVED_MAX: usize = 4;

/// Packets that are tried at once.
const TRIALS_MAX: u32 = 16;

/// One more is tried after this long: twice as often as a voice sends packets, and one in a hundred of what it costs to
/// open those that come in.
const TRIAL_EVERY: Duration = Duration::from_millis(10);

/// The kinds of RTCP that look like no RTP (RFC 5761 section 4).
const RTCP: RangeInclusive<u8> = 192..=223;

/// A source, and what it has proved itself with. Who reports is guessed easily where it does not speak (some say 1), so
/// a report proves no voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Proved {
    source: u32,
    reports_only: bool,
}

/// The sources of one far end.
pub struct Sources {
    named: Vec<u32>,
    proved: Vec<Proved>,
    /// Opens what is tried. The room has its own, and sees the packet as if it had not been tried.
    open: Option<Open>,
    trials: u32,
    /// When trials were counted last.
    counted: Instant,
}

impl Sources {
    /// Those that the description names.
    pub fn new(now: Instant, named: &[u32]) -> Sources {
        let named = named.iter().copied().take(SOURCES_MAX).collect();
        Sources { named, proved: Vec::new(), open: None, trials: TRIALS_MAX, counted: now }
    }

    /// Whether a packet is let through. `key` is the far end's.
    pub fn admit(&mut self, now: Instant, key: &MasterKey, packet: &[u8]) -> bool {
        let Some([_, kind, _, _, r0, r1, r2, r3, s0, s1, s2, s3]) = packet.first_chunk() else {
            return false;
        };
        let reports = RTCP.contains(kind);
        let source = u32::from_be_bytes(if reports { [*r0, *r1, *r2, *r3] } else { [*s0, *s1, *s2, *s3] });
        let proved = |known: &Proved| known.source == source && (reports || !known.reports_only);
        if self.named.contains(&source) || self.proved.iter().any(proved) {
            return true;
        }
        if !reports && !self.named.is_empty() {
            return false; // a voice that the description names has no other name
        }
        self.proved.len() < PROVED_MAX && self.may_try(now) && self.tries(key, packet, source, reports)
    }

    fn tries(&mut self, key: &MasterKey, packet: &[u8], source: u32, reports: bool) -> bool {
        let open = self.open.get_or_insert_with(|| Open::new(key));
        let mut copy = packet.to_vec();
        let opened = if reports { open.rtcp(&mut copy) } else { open.rtp(&mut copy) };
        if opened.is_ok() {
            self.proved.push(Proved { source, reports_only: reports });
        }
        opened.is_ok()
    }

    fn may_try(&mut self, now: Instant) -> bool {
        let more = now.saturating_duration_since(self.counted).as_millis() / TRIAL_EVERY.as_millis();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if more > 0 {
            self.trials = self.trials.saturating_add(more).min(TRIALS_MAX);
            self.counted = now;
        }
        let Some(left) = self.trials.checked_sub(1) else { return false };
        self.trials = left;
        true
    }
}

#[cfg(test)]
mod tests {
    use sidetone_media::srtp::{MAX_RTCP_TRAILER_BYTES, Seal, Suite};

    use super::*;

    const VOICE: u32 = 0x1234_5678;
    const REPORTER: u32 = 1;

    fn key() -> MasterKey {
        MasterKey::new(Suite::AeadAes128Gcm, &[7; 28]).unwrap()
    }

    fn sound(source: u32, number: u16) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        [&[0x80, 0, high, low, 0, 0, 0, 9][..], &source.to_be_bytes(), &[5; 160]].concat()
    }

    fn report(source: u32) -> Vec<u8> {
        [&[0x80, 201, 0, 1][..], &source.to_be_bytes()].concat()
    }

    /// Long enough for one, sealed by nobody.
    fn report_of_nobody(source: u32) -> Vec<u8> {
        [&report(source)[..], &[0; 20]].concat()
    }

    fn sealed(mut packet: Vec<u8>, reports: bool) -> Vec<u8> {
        let length = packet.len();
        packet.resize(length + MAX_RTCP_TRAILER_BYTES, 0);
        let mut seal = Seal::new(&key());
        let made = if reports { seal.rtcp(&mut packet, length) } else { seal.rtp(&mut packet, length) };
        packet.truncate(made.unwrap());
        packet
    }

    #[test]
    fn what_only_looks_like_a_report_is_let_through_when_it_is_one() {
        let now = Instant::now();
        let mut sources = Sources::new(now, &[VOICE]);
        let mut forged = sound(VOICE, 1);
        for kind in RTCP {
            forged[1] = kind;
            assert!(!sources.admit(now, &key(), &forged), "{kind}");
        }
        let later = now + Duration::from_secs(1);
        let genuine = sealed(report(REPORTER), true);
        assert!(sources.admit(later, &key(), &genuine));
        // From then on it costs nothing.
        let open = format!("{:?}", sources.open);
        assert!(sources.admit(later, &key(), &genuine));
        assert_eq!(format!("{:?}", sources.open), open);
        assert!(!sources.admit(later, &key(), &sound(REPORTER, 1)), "a report proves no voice");
        assert!(sources.admit(later, &key(), &report_of_nobody(VOICE)), "whoever speaks may report");
    }

    #[test]
    fn a_voice_that_nobody_named_proves_itself_in_a_flood() {
        let mut now = Instant::now();
        let mut sources = Sources::new(now, &[]);
        let genuine = sealed(sound(VOICE, 1), false);
        for forged in 0..50_000 {
            assert!(!sources.admit(now, &key(), &sound(VOICE + 1 + forged, 1)));
            assert!(!sources.admit(now, &key(), &report_of_nobody(forged + 2)));
        }
        assert!(!sources.admit(now, &key(), &genuine), "as many were tried as may be");
        now += TRIAL_EVERY;
        assert!(sources.admit(now, &key(), &genuine));
        assert!(sources.admit(now, &key(), &sound(VOICE, 2)), "the room will see whether it is genuine");
        assert!(!sources.admit(now, &key(), &sound(VOICE + 1, 2)));
        assert_eq!(sources.proved, [Proved { source: VOICE, reports_only: false }]);
    }

    #[test]
    fn sources_have_an_end() {
        let now = Instant::now();
        let mut sources = Sources::new(now, &[]);
        for source in 0..10 {
            let let_through = sources.admit(now, &key(), &sealed(sound(source, 1), false));
            assert_eq!(let_through, (source as usize) < PROVED_MAX);
        }
        for length in 0..12 {
            assert!(!sources.admit(now, &key(), &sound(0, 1)[..length]));
        }
    }
}
