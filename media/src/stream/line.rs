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
    at: Instant,
}

/// The source in use and how its numbers become ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source {
    /// Which party speaks, as the caller tells them apart.
    who: u64,
    ssrc: u32,
    add_sequence: u16,
    add_timestamp: u32,
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
    /// with it. `units` is the audio in it, zero for an event.
    pub fn follow(&mut self, now: Instant, who: u64, theirs: &Header, payload_type: u8, units: u32) -> Line {
        let same = self.source.filter(|source| {
            source.who == who && source.ssrc == theirs.ssrc && self.is_near(*source, theirs.sequence)
        });
        let (source, switched) = match same {
            Some(source) => (source, false),
            None => (self.turn_to(now, who, theirs), true),
        };
        let sequence = Sequence(theirs.sequence.0.wrapping_add(source.add_sequence));
        let timestamp = RtpTimestamp(theirs.timestamp.0.wrapping_add(source.add_timestamp));
        self.note(now, sequence, timestamp, units);
        Line { marker: theirs.marker || switched, payload_type, sequence, timestamp, ssrc: self.ssrc }
    }

    /// The place of a packet of our own making: music, ringback, a mix that is in step with nobody.
    /// `who` tells the making apart from others, so that a change is marked.
    pub fn make(&mut self, now: Instant, who: u64, payload_type: u8, units: u32) -> Line {
        let going_on = self
            .source
            .is_some_and(|source| source == Source { who, ssrc: 0, add_sequence: 0, add_timestamp: 0 });
        let (sequence, timestamp) = match self.newest {
            None => self.first,
            Some(newest) => (newest.sequence.next(), newest.end.plus(self.gap(now, newest))),
        };
        self.source = Some(Source { who, ssrc: 0, add_sequence: 0, add_timestamp: 0 });
        self.note(now, sequence, timestamp, units);
        Line { marker: !going_on, payload_type, sequence, timestamp, ssrc: self.ssrc }
    }

    /// The place of a packet put in between, such as an event of ours, at `timestamp`. What follows
    /// of the source in use moves up by one.
    pub fn insert(&mut self, now: Instant, marker: bool, payload_type: u8, timestamp: RtpTimestamp) -> Line {
        let sequence = self.newest.map_or(self.first.0, |newest| newest.sequence.next());
        if let Some(source) = &mut self.source
            && source.ssrc != 0
        {
            source.add_sequence = source.add_sequence.wrapping_add(1);
        }
        // The audio's clock goes on from where the audio was: what passes meanwhile is a gap in it.
        let (end, at) = self.newest.map_or((timestamp, now), |newest| (newest.end, newest.at));
        self.newest = Some(Newest { sequence, end, at });
        self.packets = self.packets.wrapping_add(1);
        Line { marker, payload_type, sequence, timestamp, ssrc: self.ssrc }
    }

    /// Counts payload octets of a packet that went out.
    pub fn count(&mut self, octets: usize) {
        self.octets = self.octets.wrapping_add(octets as u32);
    }

    fn is_near(&self, source: Source, theirs: Sequence) -> bool {
        let ours = Sequence(theirs.0.wrapping_add(source.add_sequence));
        self.newest.is_none_or(|newest| {
            let step = ours.distance_from(newest.sequence);
            (-STEP_MAX..=STEP_MAX).contains(&step)
        })
    }

    /// Makes `who` the source: its next packet takes the next number and the time that has passed.
    fn turn_to(&mut self, now: Instant, who: u64, theirs: &Header) -> Source {
        let (sequence, timestamp) = match self.newest {
            None => self.first,
            Some(newest) => (newest.sequence.next(), newest.end.plus(self.gap(now, newest))),
        };
        let source = Source {
            who,
            ssrc: theirs.ssrc,
            add_sequence: sequence.0.wrapping_sub(theirs.sequence.0),
            add_timestamp: timestamp.0.wrapping_sub(theirs.timestamp.0),
        };
        self.source = Some(source);
        source
    }

    /// Units of time in which nothing was sent: what passed since the newest packet, less the audio
    /// it brought. A switch within one packet's time leaves none, and so no hole in the sound.
    fn gap(&self, now: Instant, newest: Newest) -> u32 {
        let passed = units(now.saturating_duration_since(newest.at));
        // Packets come a little early and late; less than two of them is no pause.
        if passed < 2 * 160 { 0 } else { passed - 160 }
    }

    fn note(&mut self, now: Instant, sequence: Sequence, timestamp: RtpTimestamp, units: u32) {
        self.packets = self.packets.wrapping_add(1);
        let newer = self.newest.is_none_or(|newest| sequence.is_newer(newest.sequence));
        if newer {
            // An event's timestamp is where it began: the line has come further by then.
            let end = timestamp.plus(units);
            let end = match self.newest {
                Some(newest) if units == 0 && newest.end.is_newer(end) => newest.end,
                _ => end,
            };
            self.newest = Some(Newest { sequence, end, at: now });
        }
    }
}

fn units(time: Duration) -> u32 {
    (time.as_micros() as u64 * CLOCK_HZ / 1_000_000) as u32
}
