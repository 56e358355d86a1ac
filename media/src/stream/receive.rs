//! The one stream of packets a party sends us: which packets count, and what is missing
//! (RFC 3550 appendices A.1, A.3 and A.8).
//!
//! ```text
//!                    two in a row                       two in a row
//!   nothing ─ first ─> admitted ─ other SSRC, or a jump ─> admitted anew
//!                      │      ^          │ one only
//!                      └──────┘          v
//!                   in order, gap,     stray: dropped
//!                   late, duplicate
//! ```

use std::time::{Duration, Instant};

use super::rtp::Header;
use crate::time::{RtpTimestamp, Sequence};

/// RTP clock of every codec here, per second (RFC 3551: 8000 also for G.722).
const CLOCK_HZ: u64 = 8000;

/// A step forward of more packets than this is no loss but a jump. RFC 3550 appendix A.1 calls it
/// MAX_DROPOUT: a minute of loss at 50 packets a second.
const DROPOUT_MAX: i16 = 3000;

/// A packet more numbers behind than this is not late but a jump (RFC 3550 appendix A.1,
/// MAX_MISORDER: two seconds at 50 packets a second).
const MISORDER_MAX: i16 = 100;

/// A difference of transit times larger than this, one second, is no jitter: the sender moved its
/// timestamps. It would take the estimate a hundred packets to forget it.
const TRANSIT_STEP_MAX: i32 = CLOCK_HZ as i32;

/// What a packet turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// The number expected next.
    InOrder,
    /// Newer than expected: this many packets, at least one, are missing before it.
    Gap(u16),
    /// Older than the newest, and not seen before: it fills a gap.
    Late,
    /// Seen before. Drop it.
    Duplicate,
    /// The first packet of all, of another SSRC, or after the sender restarted its numbers.
    NewStream,
    /// Of an SSRC, or at a place in the count, that nothing else vouches for yet. Drop it; if the
    /// next packet follows it, that one is [`Arrived::NewStream`].
    Stray,
}

/// What we tell the sender about its stream (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// Whose stream.
    pub ssrc: u32,
    /// Packets lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the stream began, in -0x80_0000..=0x7f_ffff. Below zero when duplicates
    /// outnumber losses, as the RFC has it.
    pub lost: i32,
    /// The highest sequence number, with the count of wraps in the upper half.
    pub highest: u32,
    /// Jitter of arrival, in units of 1/8000 s.
    pub jitter: u32,
    /// The middle 32 bits of the NTP time in their last sender report; zero if there was none.
    pub last_sr: u32,
    /// Time since that report came, in units of 1/65536 s; zero if there was none.
    pub since_last_sr: u32,
}

/// Receive state of a leg.
#[derive(Debug, Default)]
pub struct Receive {
    source: Option<Source>,
    stray: Option<Stray>,
    last_sr: Option<LastSr>,
    /// Of streams that were before this one.
    lost_before: u64,
    received: u64,
    late: u64,
    duplicate: u64,
}

/// The stream that is admitted.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    /// Number of its first packet.
    base: u32,
    /// Highest number, extended by its wraps.
    highest: u32,
    /// Which of the 128 numbers up to `highest` came; bit 0 is `highest` itself. Wider than
    /// `MISORDER_MAX`, so that late and duplicate are always told apart.
    seen: u128,
    /// Packets that came, each once.
    unique: u32,
    /// Packets that came again.
    again: u32,
    /// Expected and received at the last report.
    reported: (u32, u32),
    /// Since when arrival is measured.
    since: Instant,
    timestamp: RtpTimestamp,
    /// Arrival less timestamp of the newest packet measured, in units.
    transit: u32,
    /// Sixteen times the jitter, as in appendix A.8.
    jitter16: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stray {
    ssrc: u32,
    next: Sequence,
}

#[derive(Debug, Clone, Copy)]
struct LastSr {
    ssrc: u32,
    ntp_middle: u32,
    at: Instant,
}

impl Receive {
    /// A leg that has heard nothing.
    pub fn new() -> Receive {
        Receive::default()
    }

    /// Judges and counts a packet. `arrival` is when the socket gave it.
    pub fn packet(&mut self, arrival: Instant, header: &Header) -> Arrived {
        let Some(source) = &mut self.source else {
            return self.admit(arrival, header);
        };
        let step = header.sequence.distance_from(Sequence(source.highest as u16));
        if header.ssrc != source.ssrc || !(-MISORDER_MAX..=DROPOUT_MAX).contains(&step) {
            return self.doubt(arrival, header);
        }
        self.stray = None;
        let arrived = source.place(step);
        match arrived {
            Arrived::Duplicate => {
                source.again = source.again.wrapping_add(1);
                self.duplicate += 1;
                return arrived;
            }
            Arrived::Late => self.late += 1,
            _ => {}
        }
        source.unique = source.unique.wrapping_add(1);
        self.received += 1;
        source.measure(arrival, header.timestamp);
        arrived
    }

    /// Takes note of their sender report, which our next report answers.
    pub fn sender_report(&mut self, now: Instant, ssrc: u32, ntp: u64) {
        self.last_sr = Some(LastSr { ssrc, ntp_middle: (ntp >> 16) as u32, at: now });
    }

    /// What to report, and the start of a new period to report on. `None` if nothing came since the
    /// last report.
    pub fn report_block(&mut self, now: Instant) -> Option<ReportBlock> {
        let source = self.source.as_mut()?;
        // Appendix A.3. Duplicates count as received there.
        let (expected, received) = (source.expected(), source.unique.wrapping_add(source.again));
        let expected_since = expected.wrapping_sub(source.reported.0);
        let received_since = received.wrapping_sub(source.reported.1);
        if received_since == 0 {
            return None;
        }
        source.reported = (expected, received);
        let lost_since = i64::from(expected_since) - i64::from(received_since);
        let fraction_lost =
            if lost_since <= 0 { 0 } else { ((lost_since << 8) / i64::from(expected_since)).min(255) as u8 };
        let lost = (i64::from(expected) - i64::from(received)).clamp(-0x80_0000, 0x7f_ffff) as i32;

        let ssrc = source.ssrc;
        let (last_sr, since_last_sr) = match self.last_sr {
            Some(sr) if sr.ssrc == ssrc => {
                (sr.ntp_middle, units_of(now.saturating_duration_since(sr.at), 65_536))
            }
            _ => (0, 0),
        };
        Some(ReportBlock {
            ssrc,
            fraction_lost,
            lost,
            highest: source.highest,
            jitter: source.jitter16 >> 4,
            last_sr,
            since_last_sr,
        })
    }

    /// The SSRC that is admitted.
    pub fn ssrc(&self) -> Option<u32> {
        self.source.as_ref().map(|source| source.ssrc)
    }

    /// Packets that came and count, of all streams of the leg.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Packets that never came, of all streams of the leg. A late packet takes itself off again.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.source.as_ref().map_or(0, Source::lost)
    }

    /// Packets that came after a newer one.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Packets that came again.
    pub fn duplicate(&self) -> u64 {
        self.duplicate
    }

    /// Jitter of arrival (appendix A.8) in units of 1/8000 s.
    pub fn jitter(&self) -> u32 {
        self.source.as_ref().map_or(0, |source| source.jitter16 >> 4)
    }

    /// Jitter of arrival in milliseconds.
    pub fn jitter_ms(&self) -> f32 {
        self.source.as_ref().map_or(0.0, |source| source.jitter16 as f32 / 16.0 / (CLOCK_HZ / 1000) as f32)
    }

    /// A packet that does not belong to the stream: admitted if it follows another such.
    fn doubt(&mut self, arrival: Instant, header: &Header) -> Arrived {
        if self.stray == Some(Stray { ssrc: header.ssrc, next: header.sequence }) {
            return self.admit(arrival, header);
        }
        self.stray = Some(Stray { ssrc: header.ssrc, next: header.sequence.next() });
        Arrived::Stray
    }

    fn admit(&mut self, arrival: Instant, header: &Header) -> Arrived {
        self.lost_before = self.lost();
        self.received += 1;
        self.stray = None;
        self.source = Some(Source {
            ssrc: header.ssrc,
            base: u32::from(header.sequence.0),
            highest: u32::from(header.sequence.0),
            seen: 1,
            unique: 1,
            again: 0,
            reported: (0, 0),
            since: arrival,
            timestamp: header.timestamp,
            transit: 0u32.wrapping_sub(header.timestamp.0),
            jitter16: 0,
        });
        Arrived::NewStream
    }
}

impl Source {
    /// Puts a packet `step` numbers after the highest in its place.
    fn place(&mut self, step: i16) -> Arrived {
        if step > 0 {
            self.highest = self.highest.wrapping_add(u32::from(step.unsigned_abs()));
            self.seen = self.seen.checked_shl(u32::from(step.unsigned_abs())).unwrap_or(0) | 1;
            return if step == 1 { Arrived::InOrder } else { Arrived::Gap(step.unsigned_abs() - 1) };
        }
        let place = 1u128 << step.unsigned_abs();
        if self.seen & place != 0 {
            return Arrived::Duplicate;
        }
        self.seen |= place;
        Arrived::Late
    }

    fn measure(&mut self, arrival: Instant, timestamp: RtpTimestamp) {
        // The packets of one telephone-event share a timestamp (RFC 4733 section 2.3): only the
        // first says anything about the network.
        if timestamp == self.timestamp {
            return;
        }
        self.timestamp = timestamp;
        let arrived = units_of(arrival.saturating_duration_since(self.since), CLOCK_HZ);
        let transit = arrived.wrapping_sub(timestamp.0);
        let step = transit.wrapping_sub(self.transit) as i32;
        self.transit = transit;
        if (-TRANSIT_STEP_MAX..=TRANSIT_STEP_MAX).contains(&step) {
            self.jitter16 = self.jitter16 + step.unsigned_abs() - ((self.jitter16 + 8) >> 4);
        }
    }

    fn expected(&self) -> u32 {
        self.highest.wrapping_sub(self.base).wrapping_add(1)
    }

    fn lost(&self) -> u64 {
        // Packets older than the first that we count from can make more than expected.
        u64::from(self.expected().saturating_sub(self.unique))
    }
}

/// `time` in units of a clock of `hz`, around the circle.
fn units_of(time: Duration, hz: u64) -> u32 {
    (time.as_nanos() * u128::from(hz) / 1_000_000_000) as u32
}
