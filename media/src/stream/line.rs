//! The one line of packets a party receives: one SSRC, one run of sequence numbers and timestamps
//! for the leg's whole life, whatever stands behind it.
//!
//! ```text
//!   relay of mouth A   | mix of A and B    | music         | relay of A
//!   seq+off ts+off     | seq+off ts+off    | next, next    | new offsets, marker
//!   ────────────────────────────────────────────────────────────────────────> one line
//! ```
//!
//! While one source feeds the line, its own numbers shifted by constants are used, so that its
//! losses and reorderings stay visible to the far end, which alone can conceal them well. A change
//! of source continues the count by one and the timestamp by the time that has passed.
//!
//! The clock of the line is that of the codec its party speaks: 8000 Hz, and 48 kHz with Opus. A source may have another; its
//! timestamps then run on ours at the ratio of the two.

use std::time::{Duration, Instant};

use super::rtp::{Header, Line};
use crate::time::{RtpTimestamp, Sequence};

/// RTP clock of a line while nothing else is agreed, per second (RFC 3551: 8000 also for G.722).
pub const USUAL_CLOCK_HZ: u32 = 8000;

/// A step of a source's own numbers larger than this is no loss but a new beginning. RFC 3550
/// appendix A.1 calls it MAX_DROPOUT: a minute of loss at 50 packets a second.
const STEP_MAX: i16 = 3000;

/// A packet more numbers behind than this is not late but of a new beginning (RFC 3550 appendix A.1,
/// MAX_MISORDER).
const LATE_MAX: i16 = 100;

/// Audio in a packet while none has been sent, in milliseconds.
const USUAL_MS: u32 = 20;

/// A source's timestamps are mapped from an instant at most this far back, in its units: both ends of the distance must
/// stay on one side of the circle.
const ANCHOR_MAX: i32 = 1 << 28;

/// The line of packets to one party.
#[derive(Debug)]
pub struct SendLine {
    ssrc: u32,
    /// Units per second of its timestamps.
    clock: u32,
    /// The newest packet sent.
    newest: Option<Newest>,
    first: (Sequence, RtpTimestamp),
    source: Option<Source>,
    packets: u32,
    octets: u32,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    sequence: Sequence,
    /// Where its audio ends.
    end: RtpTimestamp,
    /// When audio was last sent, how much of it in a packet, and until when it sounds.
    at: Instant,
    units: u32,
    until: Instant,
}

/// The source in use.
#[derive(Debug, Clone, Copy)]
enum Source {
    Followed(Followed),
    /// Packets of our own making, told apart by this.
    Made(u64),
}

/// How the numbers of the source in use become ours.
#[derive(Debug, Clone, Copy)]
struct Followed {
    /// Which party speaks, as the caller tells them apart.
    who: u64,
    ssrc: u32,
    add_sequence: u16,
    /// Units per second of theirs.
    clock: u32,
    /// One instant by their clock and by ours.
    theirs: RtpTimestamp,
    ours: RtpTimestamp,
    /// The first of our numbers that are this source's. Those before went to others.
    floor: Sequence,
}

impl SendLine {
    /// A line that begins at these numbers, which should be random (RFC 3550 section 5.1).
    pub fn new(ssrc: u32, sequence: Sequence, timestamp: RtpTimestamp) -> SendLine {
        SendLine {
            ssrc,
            clock: USUAL_CLOCK_HZ,
            newest: None,
            first: (sequence, timestamp),
            source: None,
            packets: 0,
            octets: 0,
        }
    }

    /// Units per second of its timestamps.
    pub fn clock(&self) -> u32 {
        self.clock
    }

    /// Counts at `hz` from now on, because another codec was agreed. The line goes on where it is.
    pub fn set_clock(&mut self, hz: u32) {
        if hz == self.clock {
            return;
        }
        if let Some(newest) = &mut self.newest {
            newest.units = scaled(newest.units, self.clock, hz);
        }
        self.clock = hz;
        self.source = None;
    }

    /// Our SSRC towards this party.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Takes the SSRC that a description has named. Once a packet has gone out, the line keeps the one it has.
    pub fn name(&mut self, ssrc: u32) {
        if self.newest.is_none() {
            self.ssrc = ssrc;
        }
    }

    /// Packets and payload octets sent, for sender reports.
    pub fn sent(&self) -> (u32, u32) {
        (self.packets, self.octets)
    }

    /// The timestamp that belongs to `now`, for sender reports.
    pub fn timestamp_at(&self, now: Instant) -> RtpTimestamp {
        match self.newest {
            Some(newest) => newest.end.plus(self.units(now.saturating_duration_since(newest.at))),
            None => self.first.1,
        }
    }

    /// The place of a packet that follows the numbers of `who`: relayed as it is, or mixed in step
    /// with it. `clock` is that of `theirs`; `units`, by our clock, is the audio in the packet, zero for
    /// an event. `None` if the packet is so late that its number has gone to another source: it must not
    /// be sent.
    pub fn follow(
        &mut self,
        now: Instant,
        who: u64,
        theirs: &Header,
        clock: u32,
        payload_type: u8,
        units: u32,
    ) -> Option<Line> {
        let (source, switched) = match self.known(who, theirs).filter(|source| source.clock == clock) {
            Some(source) => (source, false),
            None => (self.turn_to(now, who, theirs, clock), true),
        };
        let sequence = source.ours(theirs.sequence);
        if source.floor.is_newer(sequence) {
            return None;
        }
        let timestamp = source.at(theirs.timestamp, self.clock);
        self.note(now, sequence, timestamp, units);
        if let Some(Source::Followed(source)) = &mut self.source {
            source.move_up(theirs.timestamp, self.clock);
        }
        Some(Line { marker: theirs.marker || switched, payload_type, sequence, timestamp, ssrc: self.ssrc })
    }

    /// A packet of `who` is not passed on, because this ear has no use for it: what follows moves
    /// down by one, so that the far end sees no loss.
    pub fn omit(&mut self, who: u64, theirs: &Header) {
        let (Some(mut source), Some(newest)) = (self.known(who, theirs), self.newest) else { return };
        if source.ours(theirs.sequence).is_newer(newest.sequence) {
            source.add_sequence = source.add_sequence.wrapping_sub(1);
            source.floor = newest.sequence.next();
            self.source = Some(Source::Followed(source));
        }
    }

    /// The place of a packet of our own making: music, ringback, a mix that is in step with nobody.
    /// `who` tells the making apart from others, so that a change is marked; and so is a pause, which a thread that stalled
    /// leaves (RFC 3551 section 4.1).
    pub fn make(&mut self, now: Instant, who: u64, payload_type: u8, units: u32) -> Line {
        let going_on = matches!(self.source, Some(Source::Made(before)) if before == who);
        let (sequence, timestamp) = self.next(now);
        let paused = self.newest.is_some_and(|newest| newest.end != timestamp);
        let before = self.newest.filter(|_| going_on).map(|newest| newest.until);
        self.source = Some(Source::Made(who));
        self.note(now, sequence, timestamp, units);
        // Several packets may be made at once out of a longer one: they sound one after the other.
        if let (Some(newest), Some(before)) = (&mut self.newest, before) {
            newest.until = newest.until.max(before + time(units, self.clock));
        }
        Line { marker: !going_on || paused, payload_type, sequence, timestamp, ssrc: self.ssrc }
    }

    /// The place of a packet put in between, such as an event of ours, at `timestamp`. What follows
    /// of the source in use moves up by one.
    pub fn insert(&mut self, now: Instant, marker: bool, payload_type: u8, timestamp: RtpTimestamp) -> Line {
        let sequence = self.newest.map_or(self.first.0, |newest| newest.sequence.next());
        if let Some(Source::Followed(source)) = &mut self.source {
            source.add_sequence = source.add_sequence.wrapping_add(1);
            source.floor = sequence.next();
        }
        // The audio's clock goes on from where the audio was: what passes meanwhile is a gap in it.
        let newest = self.newest.unwrap_or(Newest::silent(now, sequence, timestamp, self.clock));
        self.newest = Some(Newest { sequence, ..newest });
        self.packets = self.packets.wrapping_add(1);
        Line { marker, payload_type, sequence, timestamp, ssrc: self.ssrc }
    }

    /// Counts payload octets of a packet that went out.
    pub fn count(&mut self, octets: usize) {
        self.octets = self.octets.wrapping_add(octets as u32);
    }

    fn units(&self, time: Duration) -> u32 {
        (time.as_micros() as u64 * u64::from(self.clock) / 1_000_000) as u32
    }

    /// How a packet's numbers become ours, if its source is the one in use and it goes on with it.
    fn known(&self, who: u64, theirs: &Header) -> Option<Followed> {
        let Some(Source::Followed(source)) = self.source else { return None };
        let newest = self.newest?;
        let step = source.ours(theirs.sequence).distance_from(newest.sequence);
        let goes_on =
            source.who == who && source.ssrc == theirs.ssrc && (-LATE_MAX..=STEP_MAX).contains(&step);
        goes_on.then_some(source)
    }

    /// Makes `who` the source: its next packet takes the next number and the time that has passed.
    fn turn_to(&mut self, now: Instant, who: u64, theirs: &Header, clock: u32) -> Followed {
        let (sequence, timestamp) = self.next(now);
        let source = Followed {
            who,
            ssrc: theirs.ssrc,
            add_sequence: sequence.0.wrapping_sub(theirs.sequence.0),
            clock: clock.max(1),
            theirs: theirs.timestamp,
            ours: timestamp,
            floor: sequence,
        };
        self.source = Some(Source::Followed(source));
        source
    }

    /// The next number, and the timestamp by the time that has passed: none if the newest packet's
    /// audio lasts until now. A switch within one packet's time leaves no hole in the sound.
    fn next(&self, now: Instant) -> (Sequence, RtpTimestamp) {
        let Some(newest) = self.newest else { return self.first };
        let silent = self.units(now.saturating_duration_since(newest.until));
        // Packets come a little early and late; less than one of them is no pause.
        let gap = if silent < newest.units { 0 } else { silent };
        (newest.sequence.next(), newest.end.plus(gap))
    }

    fn note(&mut self, now: Instant, sequence: Sequence, timestamp: RtpTimestamp, units: u32) {
        self.packets = self.packets.wrapping_add(1);
        if self.newest.is_some_and(|newest| !sequence.is_newer(newest.sequence)) {
            return;
        }
        self.newest = Some(match self.newest {
            // An event's timestamp is where it began; the audio's clock stays where the audio was.
            Some(newest) if units == 0 => Newest { sequence, ..newest },
            None if units == 0 => Newest::silent(now, sequence, timestamp, self.clock),
            _ => {
                let until = now + time(units, self.clock);
                Newest { sequence, end: timestamp.plus(units), at: now, units, until }
            }
        });
        if let Some(Source::Followed(source)) = &mut self.source
            && sequence.distance_from(source.floor) > STEP_MAX
        {
            // Numbers wrap: the floor must not fall so far behind that it seems to lie ahead.
            source.floor = Sequence(sequence.0.wrapping_sub(STEP_MAX.unsigned_abs()));
        }
    }
}

impl Newest {
    /// A packet without audio, before any with.
    fn silent(now: Instant, sequence: Sequence, timestamp: RtpTimestamp, clock: u32) -> Newest {
        Newest { sequence, end: timestamp, at: now, units: clock / 1000 * USUAL_MS, until: now }
    }
}

impl Followed {
    fn ours(&self, theirs: Sequence) -> Sequence {
        Sequence(theirs.0.wrapping_add(self.add_sequence))
    }

    /// Their instant by our clock.
    fn at(&self, theirs: RtpTimestamp, clock: u32) -> RtpTimestamp {
        let passed = i64::from(theirs.distance_from(self.theirs));
        let passed = if self.clock == clock {
            passed
        } else {
            (passed * i64::from(clock)).div_euclid(i64::from(self.clock))
        };
        RtpTimestamp(self.ours.0.wrapping_add(passed as u32))
    }

    /// Long streams: the instant they are mapped from is moved up, by whole seconds, so that nothing is rounded.
    fn move_up(&mut self, theirs: RtpTimestamp, clock: u32) {
        let passed = theirs.distance_from(self.theirs);
        if passed > ANCHOR_MAX {
            let seconds = passed.unsigned_abs() / self.clock;
            self.theirs = self.theirs.plus(seconds.wrapping_mul(self.clock));
            self.ours = self.ours.plus(seconds.wrapping_mul(clock));
        }
    }
}

/// A length of time by another clock.
fn scaled(units: u32, from: u32, to: u32) -> u32 {
    (u64::from(units) * u64::from(to) / u64::from(from.max(1))) as u32
}

fn time(units: u32, clock: u32) -> Duration {
    Duration::from_micros(u64::from(units) * 1_000_000 / u64::from(clock.max(1)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::stream::rtp::{HEADER_BYTES, write_header};
    use crate::time::an_instant;

    fn header(ssrc: u32, sequence: u16, timestamp: u32) -> Header {
        let mut octets = [0; HEADER_BYTES];
        let (sequence, timestamp) = (Sequence(sequence), RtpTimestamp(timestamp));
        write_header(&mut octets, Line { marker: false, payload_type: 0, sequence, timestamp, ssrc });
        Header::parse(&octets).expect("a header")
    }

    #[test]
    fn a_packet_late_from_before_the_switch_does_not_take_a_number_of_the_source_before() {
        let now = an_instant();
        let mut line = SendLine::new(7, Sequence(65_530), RtpTimestamp(0));
        for n in 0..10 {
            line.follow(now, 1, &header(1, n, u32::from(n) * 160), 8000, 0, 160).expect("in order");
        }
        let first = line.follow(now, 2, &header(2, 500, 0), 8000, 0, 160).expect("the next source");
        assert!(first.marker);
        assert_eq!(line.follow(now, 2, &header(2, 498, 0), 8000, 0, 160), None);
        let second = line.follow(now, 2, &header(2, 501, 160), 8000, 0, 160).expect("in order");
        assert_eq!(second.sequence, first.sequence.next());
    }

    #[test]
    fn a_packet_left_out_leaves_no_gap_and_its_late_neighbours_do_no_harm() {
        let now = an_instant();
        let mut line = SendLine::new(7, Sequence(100), RtpTimestamp(0));
        assert_eq!(
            line.follow(now, 1, &header(1, 0, 0), 8000, 0, 160).expect("sent").sequence,
            Sequence(100)
        );
        line.omit(1, &header(1, 1, 160));
        assert_eq!(
            line.follow(now, 1, &header(1, 2, 320), 8000, 0, 160).expect("sent").sequence,
            Sequence(101)
        );
        line.omit(1, &header(1, 4, 640));
        assert_eq!(
            line.follow(now, 1, &header(1, 5, 800), 8000, 0, 160).expect("sent").sequence,
            Sequence(103)
        );
        assert_eq!(line.follow(now, 1, &header(1, 3, 480), 8000, 0, 160), None, "102 stays lost");
    }

    #[test]
    fn a_source_of_hours_still_sends_what_comes_late() {
        let now = an_instant();
        let mut line = SendLine::new(7, Sequence(0), RtpTimestamp(0));
        for n in 0..200_000u32 {
            line.follow(now, 1, &header(1, n as u16, n * 160), 8000, 0, 160).expect("in order");
        }
        let n = 200_001u32;
        line.follow(now, 1, &header(1, n as u16, n * 160), 8000, 0, 160).expect("after a gap");
        assert!(line.follow(now, 1, &header(1, (n - 1) as u16, (n - 1) * 160), 8000, 0, 160).is_some());
    }

    #[test]
    fn a_pause_between_sources_passes_in_the_timestamps_too() {
        let start = an_instant();
        let mut line = SendLine::new(7, Sequence(0), RtpTimestamp(0));
        line.make(start, 1, 0, 160);
        let soon = line.make(start + Duration::from_millis(31), 1, 0, 160);
        assert_eq!((soon.sequence, soon.timestamp, soon.marker), (Sequence(1), RtpTimestamp(160), false));
        let later = line
            .follow(start + Duration::from_millis(1031), 2, &header(2, 9, 9), 8000, 0, 160)
            .expect("sent");
        assert_eq!((later.sequence, later.timestamp), (Sequence(2), RtpTimestamp(160 + 8000)));
    }

    #[test]
    fn a_source_of_another_clock_runs_on_ours_at_the_ratio_and_over_every_wrap() {
        for (theirs, ours) in [(8_000, 48_000), (48_000, 8_000)] {
            let mut now = an_instant();
            let mut line = SendLine::new(7, Sequence(0), RtpTimestamp(u32::MAX - 5_000));
            line.set_clock(ours);
            let start = u32::MAX - 100_000;
            let (step, made) = (theirs / 50, ours / 50);
            let mut last: Option<Line> = None;
            // Three days of packets: their clock or ours wraps several times. Only every thousandth is sent, which a
            // source may do whose others are lost.
            for n in 0..13_000u32 {
                now += Duration::from_secs(20);
                let packets = n.wrapping_mul(1000);
                let theirs_at = start.wrapping_add(packets.wrapping_mul(step));
                let header = header(1, packets as u16, theirs_at);
                let sent = line.follow(now, 1, &header, theirs, 111, made).expect("in order");
                if let Some(last) = last {
                    let passed = sent.timestamp.0.wrapping_sub(last.timestamp.0);
                    assert_eq!(passed, made * 1000, "packet {n} of {theirs} on {ours}");
                    assert!(!sent.marker);
                }
                last = Some(sent);
            }
        }
    }

    #[test]
    fn a_line_that_changes_its_clock_goes_on_where_it_was() {
        let start = an_instant();
        let mut line = SendLine::new(7, Sequence(0), RtpTimestamp(0));
        line.follow(start, 1, &header(1, 0, 0), 8000, 0, 160).expect("sent");
        line.set_clock(48_000);
        let next = start + Duration::from_millis(20);
        let sent = line.follow(next, 1, &header(1, 1, 160), 8000, 111, 960).expect("sent");
        assert_eq!((sent.sequence, sent.timestamp, sent.marker), (Sequence(1), RtpTimestamp(160), true));
        let sent = line.follow(next, 1, &header(1, 2, 320), 8000, 111, 960).expect("sent");
        assert_eq!((sent.timestamp, sent.marker), (RtpTimestamp(160 + 960), false));
        assert_eq!(line.timestamp_at(next + Duration::from_millis(10)), RtpTimestamp(160 + 2 * 960 + 480));
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// A packet of one of three sources, this many numbers before or after its newest.
        Follow(u64, i16),
        Omit(u64),
        Make,
        Insert,
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0u64..3, -5i16..4).prop_map(|(who, step)| Step::Follow(who, step)),
            1 => (0u64..3).prop_map(Step::Omit),
            1 => Just(Step::Make),
            1 => Just(Step::Insert),
            1 => (0u64..500).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #[test]
        fn one_ssrc_and_no_number_twice_whatever_stands_behind_the_line(
            first in any::<u16>(), steps in prop::collection::vec(step(), 1..400)
        ) {
            let mut now = an_instant();
            let mut line = SendLine::new(7, Sequence(first), RtpTimestamp(u32::MAX - 1000));
            let mut theirs = [100u16, 65_530, 30_000];
            let mut came: [HashSet<u16>; 3] = Default::default();
            let (mut used, mut newest) = (HashSet::new(), None::<Line>);
            for step in steps {
                now += Duration::from_millis(5);
                let made = match step {
                    Step::Follow(who, step) => {
                        let at = &mut theirs[who as usize];
                        let sequence = at.wrapping_add_signed(step);
                        if step > 0 {
                            *at = sequence;
                        }
                        // Receive lets nothing through twice.
                        if !came[who as usize].insert(sequence) {
                            continue;
                        }
                        let theirs = header(who as u32, sequence, u32::from(sequence) * 160);
                        line.follow(now, who, &theirs, 8000, 0, 160)
                    }
                    Step::Omit(who) => {
                        let at = &mut theirs[who as usize];
                        *at = at.wrapping_add(1);
                        came[who as usize].insert(*at);
                        line.omit(who, &header(who as u32, *at, u32::from(*at) * 160));
                        None
                    }
                    Step::Make => Some(line.make(now, 9, 0, 160)),
                    Step::Insert => {
                        let timestamp = line.timestamp_at(now);
                        Some(line.insert(now, true, 101, timestamp))
                    }
                    Step::Pass(ms) => {
                        now += Duration::from_millis(ms);
                        None
                    }
                };
                let Some(made) = made else { continue };
                prop_assert_eq!(made.ssrc, 7);
                prop_assert!(used.insert(made.sequence.0), "{:?} twice", made.sequence);
                if let Some(newest) = newest {
                    let step = made.sequence.distance_from(newest.sequence);
                    prop_assert!((-5..=8).contains(&step), "{step} numbers at once");
                }
                if newest.is_none_or(|newest| made.sequence.is_newer(newest.sequence)) {
                    newest = Some(made);
                }
            }
        }
    }
}
