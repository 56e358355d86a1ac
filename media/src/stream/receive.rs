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

use super::line::USUAL_CLOCK_HZ;
use super::rtp::Header;
use crate::time::{RtpTimestamp, Sequence};

/// A step forward of more packets than this is no loss but a jump. RFC 3550 appendix A.1 calls it
/// MAX_DROPOUT: a minute of loss at 50 packets a second.
const DROPOUT_MAX: i16 = 3000;

/// A packet more numbers behind than this is not late but a jump (RFC 3550 appendix A.1,
/// MAX_MISORDER: two seconds at 50 packets a second).
const MISORDER_MAX: i16 = 100;

/// A difference of transit times larger than this is no jitter: the sender moved its timestamps. It would take the
/// estimate a hundred packets to forget it.
const TRANSIT_STEP_MAX_S: u32 = 1;

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
    /// Jitter of arrival, in units of their clock.
    pub jitter: u32,
    /// The middle 32 bits of the NTP time in their last sender report; zero if there was none.
    pub last_sr: u32,
    /// Time since that report came, in units of 1/65536 s; zero if there was none.
    pub since_last_sr: u32,
}

/// Receive state of a leg.
#[derive(Debug)]
pub struct Receive {
    /// Units per second of their timestamps.
    clock: u32,
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
    /// Whether there is a packet by the clock in use to measure from.
    measured: bool,
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

impl Default for Receive {
    fn default() -> Receive {
        Receive::new()
    }
}

impl Receive {
    /// A leg that has heard nothing.
    pub fn new() -> Receive {
        Receive {
            clock: USUAL_CLOCK_HZ,
            source: None,
            stray: None,
            last_sr: None,
            lost_before: 0,
            received: 0,
            late: 0,
            duplicate: 0,
        }
    }

    /// Their timestamps count at `hz` from now on, because another codec was agreed.
    pub fn set_clock(&mut self, hz: u32) {
        if hz == self.clock {
            return;
        }
        if let Some(source) = &mut self.source {
            source.jitter16 = (u64::from(source.jitter16) * u64::from(hz) / u64::from(self.clock)) as u32;
            source.measured = false;
        }
        self.clock = hz.max(1);
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
        source.measure(arrival, header.timestamp, self.clock);
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

    /// Jitter of arrival (appendix A.8) in units of their clock.
    pub fn jitter(&self) -> u32 {
        self.source.as_ref().map_or(0, |source| source.jitter16 >> 4)
    }

    /// Jitter of arrival in milliseconds.
    pub fn jitter_ms(&self) -> f32 {
        let jitter16 = self.source.as_ref().map_or(0, |source| source.jitter16);
        jitter16 as f32 * 1000.0 / 16.0 / self.clock as f32
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
            measured: true,
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

    fn measure(&mut self, arrival: Instant, timestamp: RtpTimestamp, clock: u32) {
        // The packets of one telephone-event share a timestamp (RFC 4733 section 2.3): only the
        // first says anything about the network.
        if timestamp == self.timestamp && self.measured {
            return;
        }
        self.timestamp = timestamp;
        let arrived = units_of(arrival.saturating_duration_since(self.since), clock.into());
        let transit = arrived.wrapping_sub(timestamp.0);
        let step = transit.wrapping_sub(self.transit) as i32;
        self.transit = transit;
        let measured = std::mem::replace(&mut self.measured, true);
        if measured && step.unsigned_abs() <= TRANSIT_STEP_MAX_S * clock {
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::time::an_instant;

    const THEM: u32 = 0x1234_5678;

    fn header(ssrc: u32, sequence: u16, timestamp: u32) -> Header {
        let mut packet = [0u8; 12];
        packet[0] = 0x80;
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
        Header::parse(&packet).unwrap()
    }

    /// A sender of 20 ms packets whose number 0 goes out at `start`.
    struct Wire {
        start: Instant,
        receive: Receive,
    }

    impl Wire {
        fn new() -> Wire {
            Wire { start: an_instant(), receive: Receive::new() }
        }

        /// Packet `sequence` of them, in time.
        fn packet(&mut self, ssrc: u32, sequence: u16) -> Arrived {
            let at = self.start + Duration::from_millis(20) * u32::from(sequence);
            self.receive.packet(at, &header(ssrc, sequence, 160 * u32::from(sequence)))
        }

        fn packets(&mut self, sequences: impl IntoIterator<Item = u16>) -> Vec<Arrived> {
            sequences.into_iter().map(|sequence| self.packet(THEM, sequence)).collect()
        }
    }

    #[test]
    fn packets_are_told_apart_by_their_numbers() {
        use Arrived::*;
        let mut wire = Wire::new();
        assert_eq!(
            wire.packets([7, 8, 11, 10, 10, 11, 9, 12, 6]),
            [NewStream, InOrder, Gap(2), Late, Duplicate, Duplicate, Late, InOrder, Late]
        );
        let receive = &wire.receive;
        assert_eq!((receive.received(), receive.late(), receive.duplicate()), (7, 3, 2));
        assert_eq!(receive.lost(), 0);
    }

    #[test]
    fn numbers_wrap_and_the_wrap_is_counted() {
        let start = an_instant();
        let mut receive = Receive::new();
        for sequence in [65_534, 65_535, 1, 0] {
            receive.packet(start, &header(THEM, sequence, 0));
        }
        let block = receive.report_block(start).unwrap();
        assert_eq!((block.highest, block.lost), (0x1_0001, 0));
    }

    #[test]
    fn one_stray_packet_changes_nothing_and_two_in_a_row_begin_a_new_stream() {
        let mut wire = Wire::new();
        wire.packets(0..10);
        assert_eq!(wire.packet(99, 10), Arrived::Stray);
        assert_eq!(wire.packet(THEM, 10), Arrived::InOrder);
        assert_eq!(wire.packet(99, 11), Arrived::Stray, "the one before was forgotten");
        assert_eq!(wire.packet(98, 12), Arrived::Stray, "another stranger does not vouch");
        assert_eq!(wire.receive.ssrc(), Some(THEM));
        assert_eq!(wire.packet(98, 13), Arrived::NewStream);
        assert_eq!(wire.packet(98, 14), Arrived::InOrder);
        assert_eq!(wire.receive.ssrc(), Some(98));
        assert_eq!(wire.receive.received(), 13);
    }

    #[test]
    fn a_sender_that_restarts_its_numbers_is_followed_and_its_losses_are_kept() {
        let mut wire = Wire::new();
        wire.packets([0, 1, 4]);
        assert_eq!(
            wire.packets([30_000, 30_001, 30_002]),
            [Arrived::Stray, Arrived::NewStream, Arrived::InOrder]
        );
        assert_eq!(wire.receive.lost(), 2);
        assert_eq!(wire.packets([29_000, 29_001]), [Arrived::Stray, Arrived::NewStream], "far behind");
    }

    #[test]
    fn the_edge_of_loss_is_three_thousand_and_of_lateness_a_hundred() {
        let mut wire = Wire::new();
        assert_eq!(wire.packets([200, 3200]), [Arrived::NewStream, Arrived::Gap(2999)]);
        assert_eq!(wire.packets([3100, 3100, 3099]), [Arrived::Late, Arrived::Duplicate, Arrived::Stray]);
        assert_eq!(wire.packets([6201]), [Arrived::Stray]);
    }

    #[test]
    fn a_report_tells_the_losses_since_the_last_one_and_of_all() {
        let mut wire = Wire::new();
        let now = wire.start;
        assert_eq!(wire.receive.report_block(now), None);
        wire.packets((0..100).filter(|n| n % 4 != 1));
        let first = wire.receive.report_block(now).unwrap();
        assert_eq!((first.ssrc, first.fraction_lost, first.lost, first.highest), (THEM, 64, 25, 99));
        assert_eq!(wire.receive.report_block(now), None, "nothing came since");
        wire.packets(100..200);
        let second = wire.receive.report_block(now).unwrap();
        assert_eq!((second.fraction_lost, second.lost, second.highest), (0, 25, 199));
    }

    #[test]
    fn duplicates_make_the_reported_loss_negative_and_the_true_one_zero() {
        let mut wire = Wire::new();
        wire.packets([0, 1, 1, 1]);
        let block = wire.receive.report_block(wire.start).unwrap();
        assert_eq!((block.fraction_lost, block.lost), (0, -2));
        assert_eq!(wire.receive.lost(), 0);
    }

    #[test]
    fn a_report_answers_the_last_sender_report_of_the_same_stream() {
        let mut wire = Wire::new();
        let now = wire.start;
        wire.packets([0]);
        wire.receive.sender_report(now, 99, 0x1111_2222_3333_4444);
        let block = wire.receive.report_block(now).unwrap();
        assert_eq!((block.last_sr, block.since_last_sr), (0, 0), "of somebody else");

        wire.packets([1]);
        wire.receive.sender_report(now, THEM, 0x1111_2222_3333_4444);
        let block = wire.receive.report_block(now + Duration::from_millis(1500)).unwrap();
        assert_eq!((block.last_sr, block.since_last_sr), (0x2222_3333, 0x1_8000));
    }

    #[test]
    fn even_arrival_has_no_jitter_and_ten_milliseconds_to_and_fro_have_ten() {
        let mut even = Wire::new();
        even.packets(0..500);
        assert_eq!(even.receive.jitter(), 0);

        let start = an_instant();
        let mut receive = Receive::new();
        for n in 0..500u32 {
            let late = Duration::from_millis(if n % 2 == 0 { 0 } else { 10 });
            receive.packet(start + Duration::from_millis(20) * n + late, &header(THEM, n as u16, 160 * n));
        }
        assert!((receive.jitter_ms() - 10.0).abs() < 0.2, "{}", receive.jitter_ms());
    }

    #[test]
    fn a_long_key_press_and_a_moved_clock_are_no_jitter() {
        let start = an_instant();
        let mut receive = Receive::new();
        for n in 0..100u32 {
            let timestamp = match n {
                30..50 => 160 * 30,            // a key is held, its packets share a timestamp
                70.. => 0x8000_0000 + 160 * n, // the sender starts another clock
                _ => 160 * n,
            };
            receive.packet(start + Duration::from_millis(20) * n, &header(THEM, n as u16, timestamp));
        }
        assert_eq!(receive.jitter(), 0);
    }

    /// One packet on its way: `delay` is in packets, and `copies` of it arrive.
    #[derive(Debug, Clone, Copy)]
    struct Fate {
        delay: u8,
        copies: u8,
    }

    fn fates() -> impl Strategy<Value = Vec<Fate>> {
        let fate = (
            prop_oneof![3 => Just(0u8), 1 => 0u8..50],
            prop_oneof![1 => Just(0u8), 6 => Just(1), 1 => 2u8..4],
        );
        prop::collection::vec(fate.prop_map(|(delay, copies)| Fate { delay, copies }), 1..400)
    }

    proptest! {
        #[test]
        fn the_counts_are_those_of_a_reference_that_remembers_everything(first: u16, fates in fates()) {
            let mut arriving: Vec<(usize, usize)> = Vec::new();
            for (index, fate) in fates.iter().enumerate() {
                for copy in 0..usize::from(fate.copies) {
                    arriving.push((index + usize::from(fate.delay) + copy, index));
                }
            }
            arriving.sort();

            let start = an_instant();
            let mut receive = Receive::new();
            let mut seen = HashSet::new();
            let mut newest: Option<usize> = None;
            let (mut late, mut duplicate) = (0, 0);
            for &(at, index) in &arriving {
                let told = receive.packet(
                    start + Duration::from_millis(20) * at as u32,
                    &header(THEM, first.wrapping_add(index as u16), 160 * index as u32),
                );
                let truth = match newest {
                    None => Arrived::NewStream,
                    _ if seen.contains(&index) => Arrived::Duplicate,
                    Some(newest) if index < newest => Arrived::Late,
                    Some(newest) if index == newest + 1 => Arrived::InOrder,
                    Some(newest) => Arrived::Gap((index - newest - 1) as u16),
                };
                prop_assert_eq!(told, truth);
                late += u64::from(truth == Arrived::Late);
                duplicate += u64::from(truth == Arrived::Duplicate);
                seen.insert(index);
                newest = Some(newest.map_or(index, |newest| newest.max(index)));
            }
            let Some(newest) = newest else { return Ok(()) };
            let expected = newest - arriving[0].1 + 1;
            prop_assert_eq!(receive.received(), seen.len() as u64);
            prop_assert_eq!((receive.late(), receive.duplicate()), (late, duplicate));
            prop_assert_eq!(receive.lost(), expected.saturating_sub(seen.len()) as u64);
            let block = receive.report_block(start).unwrap();
            prop_assert_eq!(block.highest, u32::from(first.wrapping_add(arriving[0].1 as u16)) + (expected - 1) as u32);
            prop_assert_eq!(i64::from(block.lost), expected as i64 - arriving.len() as i64);
        }

        #[test]
        fn any_numbers_from_anyone_are_taken(packets in prop::collection::vec((0u32..3, any::<u16>(), any::<u32>()), 0..200)) {
            let start = an_instant();
            let mut receive = Receive::new();
            let mut counted = 0;
            for (ssrc, sequence, timestamp) in packets {
                let arrived = receive.packet(start, &header(ssrc, sequence, timestamp));
                counted += u64::from(!matches!(arrived, Arrived::Stray | Arrived::Duplicate));
                receive.report_block(start);
            }
            prop_assert_eq!(receive.received(), counted);
        }
    }
}
