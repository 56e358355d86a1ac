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

use std::time::{Duration, Instant};

use super::rtp::{Header, Line};
use crate::time::{RtpTimestamp, Sequence};

/// RTP clock of every codec here, per second (RFC 3551: 8000 also for G.722).
const CLOCK_HZ: u64 = 8000;

/// A step of a source's own numbers larger than this is no loss but a new beginning. RFC 3550
/// appendix A.1 calls it MAX_DROPOUT: a minute of loss at 50 packets a second.
const STEP_MAX: i16 = 3000;

/// A packet more numbers behind than this is not late but of a new beginning (RFC 3550 appendix A.1,
/// MAX_MISORDER).
const LATE_MAX: i16 = 100;

/// Audio in a packet while none has been sent: 20 ms.
const USUAL_UNITS: u32 = 160;

/// The line of packets to one party.
#[derive(Debug)]
pub struct SendLine {
    ssrc: u32,
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
    /// When audio was last sent, and how much of it in a packet.
    at: Instant,
    units: u32,
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
    add_timestamp: u32,
    /// The first of our numbers that are this source's. Those before went to others.
    floor: Sequence,
}

impl SendLine {
    /// A line that begins at these numbers, which should be random (RFC 3550 section 5.1).
    pub fn new(ssrc: u32, sequence: Sequence, timestamp: RtpTimestamp) -> SendLine {
        SendLine { ssrc, newest: None, first: (sequence, timestamp), source: None, packets: 0, octets: 0 }
    }

    /// Our SSRC towards this party.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Packets and payload octets sent, for sender reports.
    pub fn sent(&self) -> (u32, u32) {
        (self.packets, self.octets)
    }

    /// The timestamp that belongs to `now`, for sender reports.
    pub fn timestamp_at(&self, now: Instant) -> RtpTimestamp {
        match self.newest {
            Some(newest) => newest.end.plus(units(now.saturating_duration_since(newest.at))),
            None => self.first.1,
        }
    }

    /// The place of a packet that follows the numbers of `who`: relayed as it is, or mixed in step
    /// with it. `units` is the audio in it, zero for an event. `None` if the packet is so late that
    /// its number has gone to another source: it must not be sent.
    pub fn follow(
        &mut self,
        now: Instant,
        who: u64,
        theirs: &Header,
        payload_type: u8,
        units: u32,
    ) -> Option<Line> {
        let (source, switched) = match self.known(who, theirs) {
            Some(source) => (source, false),
            None => (self.turn_to(now, who, theirs), true),
        };
        let sequence = source.ours(theirs.sequence);
        if source.floor.is_newer(sequence) {
            return None;
        }
        let timestamp = RtpTimestamp(theirs.timestamp.0.wrapping_add(source.add_timestamp));
        self.note(now, sequence, timestamp, units);
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
    /// `who` tells the making apart from others, so that a change is marked.
    pub fn make(&mut self, now: Instant, who: u64, payload_type: u8, units: u32) -> Line {
        let going_on = matches!(self.source, Some(Source::Made(before)) if before == who);
        let (sequence, timestamp) = self.next(now);
        self.source = Some(Source::Made(who));
        self.note(now, sequence, timestamp, units);
        Line { marker: !going_on, payload_type, sequence, timestamp, ssrc: self.ssrc }
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
        let newest = self.newest.unwrap_or(Newest { sequence, end: timestamp, at: now, units: USUAL_UNITS });
        self.newest = Some(Newest { sequence, ..newest });
        self.packets = self.packets.wrapping_add(1);
        Line { marker, payload_type, sequence, timestamp, ssrc: self.ssrc }
    }

    /// Counts payload octets of a packet that went out.
    pub fn count(&mut self, octets: usize) {
        self.octets = self.octets.wrapping_add(octets as u32);
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
    fn turn_to(&mut self, now: Instant, who: u64, theirs: &Header) -> Followed {
        let (sequence, timestamp) = self.next(now);
        let source = Followed {
            who,
            ssrc: theirs.ssrc,
            add_sequence: sequence.0.wrapping_sub(theirs.sequence.0),
            add_timestamp: timestamp.0.wrapping_sub(theirs.timestamp.0),
            floor: sequence,
        };
        self.source = Some(Source::Followed(source));
        source
    }

    /// The next number, and the timestamp by the time that has passed: none if the newest packet's
    /// audio lasts until now. A switch within one packet's time leaves no hole in the sound.
    fn next(&self, now: Instant) -> (Sequence, RtpTimestamp) {
        let Some(newest) = self.newest else { return self.first };
        let passed = units(now.saturating_duration_since(newest.at));
        // Packets come a little early and late; less than two of them is no pause.
        let gap = if passed < 2 * newest.units { 0 } else { passed - newest.units };
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
            None if units == 0 => Newest { sequence, end: timestamp, at: now, units: USUAL_UNITS },
            _ => Newest { sequence, end: timestamp.plus(units), at: now, units },
        });
        if let Some(Source::Followed(source)) = &mut self.source
            && sequence.distance_from(source.floor) > STEP_MAX
        {
            // Numbers wrap: the floor must not fall so far behind that it seems to lie ahead.
            source.floor = Sequence(sequence.0.wrapping_sub(STEP_MAX.unsigned_abs()));
        }
    }
}

impl Followed {
    fn ours(&self, theirs: Sequence) -> Sequence {
        Sequence(theirs.0.wrapping_add(self.add_sequence))
    }
}

fn units(time: Duration) -> u32 {
    (time.as_micros() as u64 * CLOCK_HZ / 1_000_000) as u32
}
