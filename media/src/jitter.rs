//! When a packet is played.
//!
//! The network delivers packets unevenly; the ear needs them evenly. A [`JitterBuffer`] holds each
//! packet back just long enough that the slow ones are in time, no longer, and says at every pop what
//! the next piece of sound is: a packet, a hole to conceal, or nothing.
//!
//! # How the delay is found
//! The *transit* of a packet is its arrival minus its RTP timestamp. The fastest packet of the last
//! [`BUCKETS`] half seconds sets the base; how much later than that the others come is their
//! lateness. The target delay is the larger of
//! - the peak lateness of those four seconds, leaving out the single worst half second, so that one
//!   hiccup does not hold the delay up but a habit does, and
//! - twice the interarrival jitter of RFC 3550 appendix A.8, which speaks before there are peaks.
//!
//! # How the delay moves
//! *Up*: when the buffer runs dry while the delay is under the target, the hole is concealed and the
//! late packet is still played, which puts everything after it one tick later.
//! *Down*: when for half a second even the lowest moment stood more than one tick above the target,
//! packets come out marked `surplus`. Whoever plays them may shorten or drop one and pop again in the
//! same tick; since the delay is measured from the position and not counted, that alone lowers it.
//! *Freely*: at the start of each talkspurt. A delay above [`MAX_DELAY`] is cut at once.
//!
//! A gap in timestamps without a gap in sequence numbers is a pause of the speaker, not loss.
//!
//! # States
//! ```text
//!            first packet            delay >= target
//!   Unused ───────────────▶ Waiting ─────────────────▶ Playing
//!      ▲                       ▲                          │
//!      │ reset                 └──────────────────────────┘
//!                                dry for DRY_LIMIT, pause of
//!                                the speaker, or overflow
//! ```

use std::time::{Duration, Instant};

use crate::codec::MAX_PAYLOAD;
use crate::frame::{Ptime, TICK, TICK_MS};
use crate::time::{RtpTimestamp, Sequence, Unwrapper};

/// Packets held at most: 640 ms in 20 ms packets. A burst after a stall of half a second still fits.
pub const MAX_PACKETS: usize = 32;

/// No packet is played later than this after the fastest path would have allowed; beyond it people
/// start to talk over each other, so older sound is discarded.
pub const MAX_DELAY: Duration = Duration::from_millis(300);

/// The target never exceeds this: losing the slowest packets hurts less than waiting for them.
pub const MAX_TARGET: Duration = Duration::from_millis(200);

/// Half seconds over which peaks are remembered.
pub const BUCKETS: usize = 8;

/// Concealed sound after which a stream that went dry counts as paused; concealment has faded out by
/// then.
pub const DRY_LIMIT: Duration = Duration::from_millis(60);

/// A sequence number may run ahead by this many without doubt (RFC 3550 appendix A.1).
pub const MAX_DROPOUT: i64 = 3_000;

/// A sequence number may lag behind by this many without doubt (RFC 3550 appendix A.1).
pub const MAX_MISORDER: i64 = 100;

/// A transit that moves by more than this is not the network: the sender's timestamps jumped.
pub const MAX_TRANSIT_STEP: Duration = Duration::from_secs(2);

/// What became of a pushed packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// Kept for its turn.
    Stored,
    /// Its turn was over; not kept.
    Late,
    /// Here before, played or still kept; not kept again.
    Duplicate,
    /// Kept, but the oldest packets had to go to make room.
    Overflow,
    /// Kept as the first packet of a new line: the stream's numbers jumped.
    Reset,
    /// Not kept: its sequence number fits nothing. Should the next packet follow on it, that one is a
    /// [`Pushed::Reset`] (RFC 3550 appendix A.1).
    Unconfirmed,
    /// Not kept: longer than [`MAX_PAYLOAD`].
    TooLong,
}

/// The next piece of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Playout {
    /// A packet; its payload is the first `len` octets of the buffer given to `pop`.
    Packet(Packet),
    /// Sound belongs here and is not there: conceal `units` of RTP time.
    Missing {
        /// Length of the hole filled by this pop, in RTP clock units; at most one tick.
        units: u32,
    },
    /// Nothing belongs here: no stream yet, a pause of the speaker, or the buffer is filling.
    Empty,
}

/// A packet whose turn has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Its sequence number.
    pub sequence: Sequence,
    /// Its RTP timestamp.
    pub timestamp: RtpTimestamp,
    /// Its marker bit: first of a talkspurt.
    pub marker: bool,
    /// Its payload type.
    pub payload_type: u8,
    /// Octets of payload.
    pub len: usize,
    /// The delay stands above what the network needs: drop or shorten this one and pop again.
    pub surplus: bool,
}

/// Counts since the buffer was made. At any time
/// `received == played + late + discarded + packets still held`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JitterStats {
    /// Packets of the stream taken in, duplicates left out.
    pub received: u64,
    /// Packets handed out.
    pub played: u64,
    /// Sequence numbers that had not come when their turn was over. One that comes after all is also
    /// counted as late.
    pub lost: u64,
    /// Packets that came when their turn was over.
    pub late: u64,
    /// Packets that came more than once.
    pub duplicate: u64,
    /// Packets that came in time and were dropped: overflow, a delay above [`MAX_DELAY`], a reset.
    pub discarded: u64,
    /// Pops that found a hole.
    pub missing: u64,
    /// Times the stream's numbers jumped and the buffer started anew.
    pub resets: u64,
}

/// Holds packets of one RTP stream until their turn.
///
/// Costs a few hundred octets until the first packet comes, then some 16 KB until [`release`] is
/// called: a leg that is only relayed pays nothing.
///
/// [`release`]: JitterBuffer::release
#[derive(Debug, Clone)]
pub struct JitterBuffer {
    clock: i64,
    state: State,
    epoch: Option<Instant>,
    slots: Vec<Slot>,
    held: usize,
    sequences: Unwrapper,
    timestamps: Unwrapper,
    newest_sequence: i64,
    /// Place and timestamp of the newest packet with sound.
    newest_sound: (i64, i64),
    /// The sequence number whose turn is next.
    next: i64,
    /// Bit n: the packet n+1 before `next` was played.
    played: u64,
    /// RTP time of the next sound to come out.
    cursor: i64,
    /// RTP units a packet of this stream covers, learned from neighbours.
    span: i64,
    /// The number that would confirm a jump.
    suspect: Option<Sequence>,
    /// Nothing has been played yet, so nothing can have been lost.
    fresh: bool,
    lateness: Lateness,
    floor: Floor,
    stats: JitterStats,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unused,
    Waiting,
    /// `dry` RTP units have been concealed since the last packet because nothing was held.
    Playing {
        dry: i64,
    },
}

impl JitterBuffer {
    /// A buffer for a stream whose RTP clock runs at `clock_hz` (at least 1000).
    pub fn new(clock_hz: u32) -> Self {
        let clock = i64::from(clock_hz.max(1_000));
        Self {
            clock,
            state: State::Unused,
            epoch: None,
            slots: Vec::new(),
            held: 0,
            sequences: Unwrapper::new(),
            timestamps: Unwrapper::new(),
            newest_sequence: 0,
            newest_sound: (0, 0),
            next: 0,
            played: 0,
            cursor: 0,
            span: clock * i64::from(TICK_MS) / 1_000,
            suspect: None,
            fresh: true,
            lateness: Lateness::default(),
            floor: Floor::default(),
            stats: JitterStats::default(),
        }
    }

    /// Takes in a packet that arrived at `arrival`.
    pub fn push(
        &mut self,
        arrival: Instant,
        sequence: Sequence,
        timestamp: RtpTimestamp,
        marker: bool,
        payload_type: u8,
        payload: &[u8],
    ) -> Pushed {
        if payload.len() > MAX_PAYLOAD {
            return Pushed::TooLong;
        }
        let arrived = Arrived { at: arrival, sequence, timestamp, marker, payload_type, payload };
        if self.state == State::Unused {
            self.start(arrived);
            return Pushed::Stored;
        }

        let place = self.sequences.place_sequence(sequence);
        let ahead = place - self.newest_sequence;
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&ahead) {
            if self.suspect == Some(sequence) {
                return self.restart(arrived);
            }
            self.suspect = Some(sequence.next());
            return Pushed::Unconfirmed;
        }
        self.suspect = None;

        if place < self.next && self.was_played(place) || self.holds(place) {
            self.stats.duplicate += 1;
            return Pushed::Duplicate;
        }
        let at = self.micros(arrival);
        let ts = self.timestamps.place_timestamp(timestamp);
        let transit = at - self.micros_of(ts);
        if self.lateness.moved_by(transit) > MAX_TRANSIT_STEP.as_micros() as i64 {
            return self.restart(arrived);
        }
        self.lateness.note(at, transit);
        self.stats.received += 1;
        if place < self.next {
            self.stats.late += 1;
            return Pushed::Late;
        }

        self.learn(place, ts);
        let held = self.held;
        self.make_room_for(place);
        let overflow = self.held < held;
        self.store(place, ts, &arrived);
        if overflow { Pushed::Overflow } else { Pushed::Stored }
    }

    /// Notes a packet of this stream that carries no sound (telephone-event shares the sequence
    /// numbers of the audio), so that its number does not look lost.
    pub fn pass(&mut self, sequence: Sequence) {
        if self.state == State::Unused {
            return;
        }
        let place = self.sequences.place_sequence(sequence);
        let ahead = place - self.newest_sequence;
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&ahead) || place < self.next || self.holds(place) {
            return;
        }
        self.sequences.sequence(sequence);
        self.newest_sequence = self.newest_sequence.max(place);
        self.make_room_for(place);
        let slot = &mut self.slots[slot_of(place)];
        (slot.place, slot.sound) = (place, false);
        // An event of some seconds has more packets than there are slots.
        while self.held == 0 && self.holds(self.next) {
            self.skip_to(self.next + 1);
        }
    }

    /// Takes out the next piece of sound at `now`, the payload going to `out`.
    ///
    /// Meant to be called once per packet time; a caller that needs more sound for its tick calls
    /// again with the same `now`. A payload longer than `out` is cut.
    pub fn pop(&mut self, now: Instant, out: &mut [u8]) -> Playout {
        if self.state == State::Unused {
            return Playout::Empty;
        }
        let now = self.micros(now);
        self.cut(now);
        if let State::Playing { dry } = self.state {
            self.floor.note(now, self.delay_at(now, self.cursor));
            self.drop_overdue(now);
            match self.head() {
                None if dry >= self.units_of(DRY_LIMIT) => self.state = State::Waiting,
                None => {
                    self.state = State::Playing { dry: dry + self.span.min(self.units_of(TICK)) };
                    return self.conceal(now, self.span);
                }
                Some(head) if self.slots[head].ts <= self.cursor + self.snap() => {
                    return self.play(now, head, out);
                }
                Some(head) if self.follows_on(head) => self.state = State::Waiting,
                Some(head) => return self.conceal(now, self.slots[head].ts - self.cursor),
            }
        }
        match self.head() {
            Some(head) if self.delay_at(now, self.slots[head].ts) >= self.lateness.target() => {
                self.floor = Floor::default();
                self.play(now, head, out)
            }
            _ => Playout::Empty,
        }
    }

    /// Forgets the stream, as when its SSRC changes; what was held is discarded, the counts stay.
    pub fn reset(&mut self) {
        if self.state == State::Unused {
            return;
        }
        self.stats.discarded += self.held as u64;
        self.stats.resets += 1;
        let (stats, slots) = (self.stats, std::mem::take(&mut self.slots));
        *self = Self::new(self.clock as u32);
        (self.stats, self.slots) = (stats, slots);
        self.slots.iter_mut().for_each(|slot| slot.place = FREE);
    }

    /// Forgets the stream and gives its memory back, as when a leg goes back to being relayed.
    pub fn release(&mut self) {
        self.reset();
        self.slots = Vec::new();
    }

    /// The delay the network asks for at present.
    pub fn target(&self) -> Duration {
        Duration::from_micros(self.lateness.target() as u64)
    }

    /// How much later than the fastest path allows the next sound will be, were it played at `now`.
    pub fn delay(&self, now: Instant) -> Duration {
        match self.state {
            State::Playing { .. } => {
                Duration::from_micros(self.delay_at(self.micros(now), self.cursor).max(0) as u64)
            }
            State::Unused | State::Waiting => Duration::ZERO,
        }
    }

    /// The interarrival jitter of RFC 3550 appendix A.8.
    pub fn jitter(&self) -> Duration {
        Duration::from_micros((self.lateness.jitter_16 / 16) as u64)
    }

    /// Packets held.
    pub fn len(&self) -> usize {
        self.held
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// The counts so far.
    pub fn stats(&self) -> JitterStats {
        self.stats
    }

    fn start(&mut self, first: Arrived<'_>) {
        if self.slots.is_empty() {
            self.slots = vec![Slot::default(); MAX_PACKETS];
        }
        self.epoch = Some(first.at);
        let place = self.sequences.place_sequence(first.sequence);
        let ts = self.timestamps.place_timestamp(first.timestamp);
        // Packets that were overtaken by the first one are still welcome while nothing has played.
        self.next = place - MAX_PACKETS as i64 / 2;
        self.state = State::Waiting;
        self.lateness.note(0, -self.micros_of(ts));
        self.stats.received += 1;
        self.newest_sequence = place;
        self.newest_sound = (place, ts);
        self.store(place, ts, &first);
    }

    fn restart(&mut self, first: Arrived<'_>) -> Pushed {
        self.reset();
        self.start(first);
        Pushed::Reset
    }

    /// Learns the packet length from neighbours.
    fn learn(&mut self, place: i64, ts: i64) {
        let (newest, newest_ts) = self.newest_sound;
        if place == newest + 1 && (1..=self.units_of(Ptime::MAX.duration())).contains(&(ts - newest_ts)) {
            self.span = ts - newest_ts;
        }
        if place > newest {
            self.newest_sound = (place, ts);
        }
        self.newest_sequence = self.newest_sequence.max(place);
    }

    /// Gives up the oldest numbers if `place` lies beyond the last slot.
    fn make_room_for(&mut self, place: i64) {
        if place - self.next >= MAX_PACKETS as i64 {
            self.skip_to(place - MAX_PACKETS as i64 + 1);
            self.state = State::Waiting;
        }
    }

    fn store(&mut self, place: i64, ts: i64, arrived: &Arrived<'_>) {
        self.sequences.sequence(arrived.sequence);
        self.timestamps.timestamp(arrived.timestamp);
        let slot = &mut self.slots[slot_of(place)];
        slot.place = place;
        slot.ts = ts;
        slot.sound = true;
        slot.marker = arrived.marker;
        slot.payload_type = arrived.payload_type;
        slot.len = arrived.payload.len() as u16;
        slot.payload[..arrived.payload.len()].copy_from_slice(arrived.payload);
        self.held += 1;
    }

    /// Hands out the packet in slot `head`.
    fn play(&mut self, now: i64, head: usize, out: &mut [u8]) -> Playout {
        let slot = &self.slots[head];
        let len = usize::from(slot.len).min(out.len());
        out[..len].copy_from_slice(&slot.payload[..len]);
        let (place, ts) = (slot.place, slot.ts);
        let allowed = self.lateness.target() + TICK_US;
        let surplus = self.floor.settled > allowed && self.delay_at(now, ts) > allowed;
        let packet = Packet {
            sequence: Sequence(place as u16),
            timestamp: RtpTimestamp(ts as u32),
            marker: slot.marker,
            payload_type: slot.payload_type,
            len,
            surplus,
        };
        self.slots[head].place = FREE;
        self.held -= 1;
        self.skip_to(place);
        self.next = place + 1;
        self.played = self.played << 1 | 1;
        self.fresh = false;
        self.cursor = ts + self.span;
        self.stats.played += 1;
        self.state = State::Playing { dry: 0 };
        Playout::Packet(packet)
    }

    /// A hole of up to `gap` units at the cursor.
    fn conceal(&mut self, now: i64, gap: i64) -> Playout {
        let units = gap.min(self.units_of(TICK)).max(1);
        // Under the target the position stands still, so that what comes late is still played and
        // the delay grows; otherwise the hole is final.
        if self.delay_at(now, self.cursor) >= self.lateness.target() {
            self.cursor += units;
        }
        self.stats.missing += 1;
        Playout::Missing { units: units as u32 }
    }

    /// Discards what would be played later than [`MAX_DELAY`].
    fn cut(&mut self, now: i64) {
        let most = MAX_DELAY.as_micros() as i64;
        while let Some(head) = self.head() {
            if self.delay_at(now, self.slots[head].ts) <= most {
                break;
            }
            self.skip_to(self.slots[head].place + 1);
            self.state = State::Waiting;
        }
    }

    /// Drops packets whose sound was concealed already, unless the delay should grow anyway.
    fn drop_overdue(&mut self, now: i64) {
        while let Some(head) = self.head() {
            let overdue = self.slots[head].ts + self.span <= self.cursor;
            if !overdue || self.delay_at(now, self.cursor) < self.lateness.target() {
                break;
            }
            let place = self.slots[head].place;
            self.skip_to(place);
            self.slots[head].place = FREE;
            self.held -= 1;
            self.stats.late += 1;
            self.next = place + 1;
            self.played <<= 1;
        }
    }

    /// Gives up every number before `place`: held packets are discarded, the others were lost.
    fn skip_to(&mut self, place: i64) {
        let skipped = place - self.next;
        if skipped <= 0 {
            return;
        }
        let mut accounted = 0;
        for slot in &mut self.slots {
            if slot.place != FREE && slot.place < place {
                slot.place = FREE;
                accounted += 1;
                if slot.sound {
                    self.held -= 1;
                    self.stats.discarded += 1;
                }
            }
        }
        if !self.fresh {
            self.stats.lost += (skipped - accounted) as u64;
        }
        self.next = place;
        self.played = self.played.checked_shl(skipped.min(64) as u32).unwrap_or(0);
    }

    /// The slot of the oldest packet held.
    fn head(&self) -> Option<usize> {
        if self.held == 0 {
            return None;
        }
        (0..MAX_PACKETS as i64)
            .map(|n| (self.next + n, slot_of(self.next + n)))
            .find(|&(place, at)| self.slots[at].place == place && self.slots[at].sound)
            .map(|(_, at)| at)
    }

    /// Whether no number between the last played and the packet in slot `head` is missing.
    fn follows_on(&self, head: usize) -> bool {
        (self.next..self.slots[head].place).all(|place| self.holds(place))
    }

    fn holds(&self, place: i64) -> bool {
        self.slots.get(slot_of(place)).is_some_and(|slot| slot.place == place)
    }

    fn was_played(&self, place: i64) -> bool {
        let back = self.next - 1 - place;
        (0..64).contains(&back) && self.played >> back & 1 == 1
    }

    /// A step in timestamps smaller than this is a packet of another length, not a gap.
    fn snap(&self) -> i64 {
        self.units_of(Ptime::MIN.duration())
    }

    fn delay_at(&self, now: i64, ts: i64) -> i64 {
        now - self.lateness.base - self.micros_of(ts)
    }

    fn micros(&self, at: Instant) -> i64 {
        self.epoch.map_or(0, |epoch| at.saturating_duration_since(epoch).as_micros() as i64)
    }

    fn units_of(&self, length: Duration) -> i64 {
        length.as_millis() as i64 * self.clock / 1_000
    }

    fn micros_of(&self, ts: i64) -> i64 {
        ts * 1_000_000 / self.clock
    }
}

const TICK_US: i64 = TICK_MS as i64 * 1_000;

/// Marks a slot that holds nothing; places on the line are never negative.
const FREE: i64 = i64::MIN;

fn slot_of(place: i64) -> usize {
    place.rem_euclid(MAX_PACKETS as i64) as usize
}

struct Arrived<'a> {
    at: Instant,
    sequence: Sequence,
    timestamp: RtpTimestamp,
    marker: bool,
    payload_type: u8,
    payload: &'a [u8],
}

#[derive(Debug, Clone)]
struct Slot {
    place: i64,
    ts: i64,
    /// False for a number that is accounted for but carries nothing to play.
    sound: bool,
    marker: bool,
    payload_type: u8,
    len: u16,
    payload: [u8; MAX_PAYLOAD],
}

impl Default for Slot {
    fn default() -> Self {
        let payload = [0; MAX_PAYLOAD];
        Self { place: FREE, ts: 0, sound: false, marker: false, payload_type: 0, len: 0, payload }
    }
}

/// How late packets come: the fastest and slowest transit of each half second.
#[derive(Debug, Clone)]
struct Lateness {
    /// `(fastest, slowest)` transit of each half second; `None` where nothing came.
    buckets: [Option<(i64, i64)>; BUCKETS],
    /// The half second now being filled, counted from the epoch.
    bucket: i64,
    /// The fastest transit in all buckets.
    base: i64,
    peak: i64,
    last_transit: Option<i64>,
    /// Interarrival jitter times sixteen, as RFC 3550 appendix A.8 keeps it.
    jitter_16: i64,
}

impl Default for Lateness {
    fn default() -> Self {
        Self { buckets: [None; BUCKETS], bucket: 0, base: 0, peak: 0, last_transit: None, jitter_16: 0 }
    }
}

impl Lateness {
    const BUCKET_US: i64 = 500_000;

    fn note(&mut self, at: i64, transit: i64) {
        let bucket = at / Self::BUCKET_US;
        for stale in (self.bucket + 1..=bucket).take(BUCKETS) {
            // A jump over all buckets clears each of them once, whichever way they are numbered.
            self.buckets[stale.rem_euclid(BUCKETS as i64) as usize] = None;
        }
        self.bucket = self.bucket.max(bucket);
        let current = &mut self.buckets[self.bucket.rem_euclid(BUCKETS as i64) as usize];
        *current =
            Some(current.map_or((transit, transit), |(min, max)| (min.min(transit), max.max(transit))));

        self.base = self.buckets.iter().flatten().map(|&(min, _)| min).min().unwrap_or(transit);
        let (mut worst, mut second) = (self.base, self.base);
        for &(_, max) in self.buckets.iter().flatten() {
            if max > worst {
                (worst, second) = (max, worst);
            } else {
                second = second.max(max);
            }
        }
        self.peak = second - self.base;

        if let Some(last) = self.last_transit {
            self.jitter_16 += (transit - last).abs() - (self.jitter_16 + 8) / 16;
        }
        self.last_transit = Some(transit);
    }

    fn target(&self) -> i64 {
        self.peak.max(self.jitter_16 / 8).min(MAX_TARGET.as_micros() as i64)
    }

    fn moved_by(&self, transit: i64) -> i64 {
        self.last_transit.map_or(0, |last| (transit - last).abs())
    }
}

/// The lowest delay of each half second: what could be taken away without harm.
#[derive(Debug, Clone, Default)]
struct Floor {
    since: Option<i64>,
    lowest: i64,
    /// The lowest delay of the last whole half second.
    settled: i64,
}

impl Floor {
    const WINDOW_US: i64 = 500_000;

    fn note(&mut self, now: i64, delay: i64) {
        match self.since {
            Some(since) if now - since < Self::WINDOW_US => self.lowest = self.lowest.min(delay),
            Some(_) => (self.settled, self.lowest, self.since) = (self.lowest.min(delay), delay, Some(now)),
            None => (self.lowest, self.since) = (delay, Some(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PCMU: u8 = 0;

    #[test]
    fn an_even_stream_comes_out_whole_with_less_than_a_frame_of_delay() {
        for phase in 0..20 {
            let mut line = Line::new(20);
            let mut worst = Duration::ZERO;
            for n in 0..500 {
                line.arrive(n, n * 20);
                assert_eq!(line.pop_at(n * 20 + phase), Some(n), "phase {phase}");
                worst = worst.max(line.delay_of_last());
            }
            assert!(worst < Duration::from_millis(20), "{worst:?}");
            assert_eq!(line.buffer.target(), Duration::ZERO);
            assert_eq!(line.buffer.stats(), JitterStats { received: 500, played: 500, ..Default::default() });
        }
    }

    #[test]
    fn packets_of_ten_to_sixty_milliseconds_come_out_at_their_own_pace() {
        for ptime in [10, 20, 30, 40, 60] {
            let mut line = Line::new(ptime);
            for n in 0..200 {
                line.arrive(n, n * ptime);
                assert_eq!(line.pop_at(n * ptime + 5), Some(n), "{ptime} ms");
            }
            assert_eq!(line.buffer.stats().missing, 0, "{ptime} ms");
        }
    }

    #[test]
    fn reordered_packets_come_out_in_order() {
        let mut line = Line::new(20);
        // Each pair of packets swaps places, half a packet time apart.
        for n in (0..400).step_by(2) {
            line.send(n + 1, n * 20 + 20);
            line.send(n, n * 20 + 30);
        }
        line.run_to(8_100);
        assert!(line.out.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(line.out.last(), Some(&399));
        assert_eq!(line.missing_after(1_000, 8_000), 0, "once the delay had grown");
        assert_eq!(line.buffer.stats().discarded, 0);
    }

    #[test]
    fn a_duplicate_is_told_from_a_late_packet() {
        let mut line = Line::new(20);
        for n in [0, 1, 3, 4] {
            line.arrive(n, n * 20);
            line.run_to(n * 20 + 10);
        }
        line.run_to(95);
        assert_eq!(line.arrive(1, 96), Pushed::Duplicate, "played before");
        assert_eq!(line.arrive(2, 97), Pushed::Late, "its turn is over");
        assert_eq!(line.arrive(5, 100), Pushed::Stored);
        assert_eq!(line.arrive(5, 101), Pushed::Duplicate, "still held");
        let stats = line.buffer.stats();
        assert_eq!((stats.lost, stats.late, stats.duplicate), (1, 1, 2));
    }

    #[test]
    fn a_lost_packet_is_a_hole_of_its_own_length() {
        let mut line = Line::new(20);
        for n in 0..50 {
            if n != 25 {
                line.arrive(n, n * 20);
            }
            let popped = line.pop_at(n * 20 + 10);
            assert_eq!(popped, if n == 25 { None } else { Some(n) });
        }
        let stats = line.buffer.stats();
        assert_eq!((stats.lost, stats.missing, stats.played), (1, 1, 49));
    }

    #[test]
    fn the_delay_grows_to_what_a_jittery_path_needs_and_shrinks_when_it_calms() {
        let mut line = Line::new(20);
        // Ten seconds in which each packet is 0 to 70 ms late, then twenty of calm.
        for n in 0..500 {
            line.send(n, n * 20 + (n * 37) % 71);
        }
        line.run_to(10_000);
        let stormy = line.delay_of_last();
        assert!(stormy >= Duration::from_millis(60) && stormy <= Duration::from_millis(120), "{stormy:?}");
        let missing = line.missing_after(2_000, 10_000);
        assert!(missing <= 5, "{missing} holes in eight seconds, once the delay had grown");
        for n in 500..1_500 {
            line.send(n, n * 20);
        }
        line.run_to(30_000);
        let calm = line.delay_of_last();
        assert!(calm < Duration::from_millis(41), "{calm:?}");
        assert!(line.buffer.target() < Duration::from_millis(1), "{:?}", line.buffer.target());
    }

    #[test]
    fn a_single_hiccup_does_not_raise_the_delay_for_long() {
        let mut line = Line::new(20);
        for n in 0..1_000 {
            line.send(n, if n == 300 { n * 20 + 150 } else { n * 20 });
        }
        line.run_to(20_000);
        assert!(line.delay_of_last() < Duration::from_millis(21), "{:?}", line.delay_of_last());
        assert!(line.buffer.stats().missing <= 2);
    }

    #[test]
    fn after_a_stall_the_backlog_is_bounded_and_then_worked_off() {
        let mut line = Line::new(20);
        for n in 0..1_000 {
            // From second four on nothing comes for 700 ms, then all at once.
            line.send(n, if (200..235).contains(&n) { 4_700 } else { n * 20 });
        }
        line.run_to(4_760);
        assert!(line.delay_of_last() <= MAX_DELAY, "{:?}", line.delay_of_last());
        line.run_to(12_000);
        assert!(line.delay_of_last() < Duration::from_millis(41), "{:?}", line.delay_of_last());
    }

    #[test]
    fn a_pause_of_the_speaker_is_not_loss() {
        let mut line = Line::new(20);
        for n in 0..50 {
            line.send(n, n * 20);
        }
        line.run_to(1_000);
        // Three seconds of silence suppression: sequence numbers go on, timestamps jump, marker set.
        for n in 50..100 {
            line.send_with_timestamp(n, 4_000 + (n - 50) * 20, (4_000 + (n - 50) * 20) * 8, n == 50);
        }
        line.run_to(5_000);
        let stats = line.buffer.stats();
        assert_eq!((stats.lost, stats.late, stats.played, stats.resets), (0, 0, 100, 0));
        assert!(line.delay_of_last() < Duration::from_millis(20));
    }

    #[test]
    fn telephone_events_between_the_audio_are_not_loss() {
        let mut line = Line::new(20);
        for n in 0..20 {
            line.send(n, n * 20);
        }
        line.run_to(400);
        for n in 20..220 {
            line.buffer.pass(Sequence(n as u16));
            line.run_to(n * 20 + 20);
        }
        for n in 220..260 {
            line.send(n, n * 20);
        }
        line.run_to(5_200);
        let stats = line.buffer.stats();
        assert_eq!((stats.lost, stats.late, stats.played, stats.discarded), (0, 0, 60, 0));
    }

    #[test]
    fn one_stray_packet_changes_nothing_and_two_in_a_row_start_anew() {
        let mut line = Line::new(20);
        for n in 0..50 {
            line.send(n, n * 20);
        }
        line.run_to(1_000);
        assert_eq!(line.arrive(20_000, 1_001), Pushed::Unconfirmed);
        assert_eq!(line.arrive(50, 1_002), Pushed::Stored);
        assert_eq!(line.arrive(30_000, 1_020), Pushed::Unconfirmed);
        assert_eq!(line.arrive_with_timestamp(30_001, 1_040, 77, true), Pushed::Reset);
        assert_eq!(line.pop_at(1_041), Some(30_001));
        assert_eq!(line.buffer.stats().resets, 1);
        assert_eq!(line.buffer.stats().lost, 0);
    }

    #[test]
    fn timestamps_that_jump_start_anew_without_a_pause() {
        let mut line = Line::new(20);
        for n in 0..50 {
            line.send(n, n * 20);
        }
        line.run_to(1_000);
        for n in 50..100 {
            let pushed = line.arrive_with_timestamp(n, n * 20, 3_000_000_000 + n * 160, false);
            assert_eq!(pushed, if n == 50 { Pushed::Reset } else { Pushed::Stored });
            assert_eq!(line.pop_at(n * 20 + 1), Some(n));
        }
    }

    #[test]
    fn counters_that_wrap_are_not_noticed() {
        let mut line = Line::new(20);
        line.first = (65_500, u32::MAX - 5_000);
        for n in 0..200 {
            line.arrive(n, n * 20);
            assert_eq!(line.pop_at(n * 20 + 10), Some(n));
        }
        assert_eq!(line.buffer.stats().resets, 0);
    }

    #[test]
    fn a_buffer_that_nobody_empties_keeps_the_newest_packets() {
        let mut line = Line::new(20);
        for n in 0..1_000 {
            line.arrive(n, n * 20);
            assert!(line.buffer.len() <= MAX_PACKETS);
        }
        let first = line.pop_at(20_000).expect("a packet");
        assert!(first >= 1_000 - MAX_PACKETS as i64, "{first}");
        assert!(line.delay_of_last() <= MAX_DELAY);
    }

    #[test]
    fn a_leg_that_is_only_relayed_pays_no_memory_and_a_released_one_pays_none_again() {
        let mut line = Line::new(20);
        assert_eq!(line.buffer.slots.capacity(), 0);
        line.arrive(0, 0);
        assert!(line.buffer.slots.capacity() * size_of::<Slot>() <= 17 * 1024);
        line.buffer.release();
        assert_eq!(line.buffer.slots.capacity(), 0);
        assert!(size_of::<JitterBuffer>() <= 640, "{}", size_of::<JitterBuffer>());
        assert_eq!(line.arrive(1, 20), Pushed::Stored);
    }

    #[test]
    fn a_payload_longer_than_any_of_ours_is_refused() {
        let mut line = Line::new(20);
        let pushed =
            line.buffer.push(line.epoch, Sequence(0), RtpTimestamp(0), false, PCMU, &[0; MAX_PAYLOAD + 1]);
        assert_eq!(pushed, Pushed::TooLong);
        assert_eq!(line.pop_at(0), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Whatever the network does, each packet comes out at most once, in order, every packet is
        /// accounted for, and the delay stays bounded.
        #[test]
        fn a_wild_network_is_survived(
            ptime in prop::sample::select(vec![10i64, 20, 30, 40, 60]),
            first in any::<(u16, u32)>(),
            fate in prop::collection::vec((0i64..400, 0u8..10, 0u8..20), 50..400),
        ) {
            let mut line = Line::new(ptime);
            line.first = first;
            for (n, &(late, lost, doubled)) in fate.iter().enumerate() {
                let n = n as i64;
                // Most packets are a little late, a few very.
                let late = if late > 380 { late } else { late % 45 };
                if lost > 0 { line.send(n, n * ptime + late); }
                if doubled == 0 { line.send(n, n * ptime + late + 7); }
            }
            line.run_to(fate.len() as i64 * ptime + 1_000);
            prop_assert!(line.out.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", line.out);
            prop_assert!(line.worst <= MAX_DELAY, "{:?}", line.worst);
            let s = line.buffer.stats();
            prop_assert_eq!(s.received, s.played + s.late + s.discarded + line.buffer.len() as u64);
            prop_assert_eq!(s.played, line.out.len() as u64);
        }

        /// A path whose jitter is steady loses nothing once it is known, at a delay close to it.
        #[test]
        fn a_path_with_steady_jitter_is_played_whole(jitter in 1i64..80, seed: u64) {
            let mut line = Line::new(20);
            let mut state = seed;
            for n in 0..1_500 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                line.send(n, n * 20 + (state >> 33) as i64 % (jitter + 1));
            }
            line.run_to(30_000);
            let holes = line.missing_after(8_000, 29_900);
            prop_assert!(holes <= 12, "{} holes in 22 seconds at {} ms", holes, jitter);
            prop_assert!(line.delay_of_last() <= Duration::from_millis(jitter as u64 + 41));
        }

        /// After any burst of lateness the delay comes down again.
        #[test]
        fn the_delay_never_only_grows(burst in 20i64..600, at in 100i64..200, times in 1i64..6) {
            let mut line = Line::new(20);
            for n in 0..1_500 {
                let stalled = (0..times).map(|i| at + i * 40).find(|&from| (from..from + burst / 20).contains(&n));
                line.send(n, stalled.map_or(n * 20, |from| (from + burst / 20) * 20));
            }
            line.run_to(30_000);
            prop_assert!(line.delay_of_last() < Duration::from_millis(41), "{:?}", line.delay_of_last());
        }

        #[test]
        fn arbitrary_numbers_and_times_never_panic(
            steps in prop::collection::vec((any::<u16>(), any::<u32>(), 0u64..5_000, any::<bool>(), 0usize..500, 0u8..4), 1..300)
        ) {
            let epoch = crate::time::an_instant();
            let mut buffer = JitterBuffer::new(8_000);
            for (sequence, timestamp, at, marker, len, act) in steps {
                let now = epoch + Duration::from_millis(at);
                match act {
                    0 => { buffer.push(now, Sequence(sequence), RtpTimestamp(timestamp), marker, 0, &vec![0; len]); }
                    1 => { buffer.push(now, Sequence(sequence % 64), RtpTimestamp(timestamp % 99_999), marker, 0, &vec![0; len]); }
                    2 => buffer.pass(Sequence(sequence % 64)),
                    _ => { buffer.pop(now, &mut vec![0; len]); }
                }
                let s = buffer.stats();
                prop_assert_eq!(s.received, s.played + s.late + s.discarded + buffer.len() as u64);
                prop_assert!(buffer.len() <= MAX_PACKETS);
            }
        }
    }

    /// A stream, a network and a listener in virtual milliseconds. The listener pops every `ptime`
    /// and, as a player does, drops one packet in three of those that are surplus.
    struct Line {
        buffer: JitterBuffer,
        epoch: Instant,
        ptime: i64,
        first: (u16, u32),
        on_the_way: Vec<(i64, i64, i64, bool)>,
        next_pop: i64,
        out: Vec<i64>,
        holes: Vec<i64>,
        last: (i64, i64),
        worst: Duration,
        surplus_seen: u32,
    }

    impl Line {
        fn new(ptime: i64) -> Self {
            Self {
                buffer: JitterBuffer::new(8_000),
                epoch: crate::time::an_instant(),
                ptime,
                first: (0, 0),
                on_the_way: Vec::new(),
                next_pop: 3,
                out: Vec::new(),
                holes: Vec::new(),
                last: (0, 0),
                worst: Duration::ZERO,
                surplus_seen: 0,
            }
        }

        /// Packet `n` arrives now, at `ms`.
        fn arrive(&mut self, n: i64, ms: i64) -> Pushed {
            self.arrive_with_timestamp(n, ms, n * self.ptime * 8, n == 0)
        }

        fn arrive_with_timestamp(&mut self, n: i64, ms: i64, timestamp: i64, marker: bool) -> Pushed {
            let sequence = Sequence(self.first.0).plus(n as u16);
            let timestamp = RtpTimestamp(self.first.1).plus(timestamp as u32);
            let at = self.epoch + Duration::from_millis(ms as u64);
            self.buffer.push(at, sequence, timestamp, marker, PCMU, &payload(n))
        }

        /// Packet `n` will arrive at `ms`.
        fn send(&mut self, n: i64, ms: i64) {
            self.send_with_timestamp(n, ms, n * self.ptime * 8, n == 0);
        }

        fn send_with_timestamp(&mut self, n: i64, ms: i64, timestamp: i64, marker: bool) {
            self.on_the_way.push((ms, n, timestamp, marker));
        }

        fn run_to(&mut self, ms: i64) {
            self.on_the_way.sort();
            while self.next_pop <= ms {
                while self.on_the_way.first().is_some_and(|first| first.0 <= self.next_pop) {
                    let (at, n, timestamp, marker) = self.on_the_way.remove(0);
                    self.arrive_with_timestamp(n, at, timestamp, marker);
                }
                self.pop_at(self.next_pop);
                self.next_pop += self.ptime;
            }
        }

        fn pop_at(&mut self, ms: i64) -> Option<i64> {
            self.next_pop = self.next_pop.max(ms);
            loop {
                let mut out = [0; MAX_PAYLOAD];
                let now = self.epoch + Duration::from_millis(ms as u64);
                match self.buffer.pop(now, &mut out) {
                    Playout::Packet(packet) => {
                        let n = i64::from_le_bytes(out[..8].try_into().expect("eight octets"));
                        assert_eq!(packet.len, 8);
                        self.out.push(n);
                        // The delay of this packet: its own time, before the position moved past it.
                        let played = Duration::from_millis(self.ptime as u64);
                        let delay = self.buffer.delay(now + played);
                        self.last = (ms, delay.as_micros() as i64);
                        self.worst = self.worst.max(delay);
                        self.surplus_seen += u32::from(packet.surplus);
                        if packet.surplus && self.surplus_seen.is_multiple_of(3) {
                            continue;
                        }
                        return Some(n);
                    }
                    Playout::Missing { .. } => {
                        self.holes.push(ms);
                        return None;
                    }
                    Playout::Empty => return None,
                }
            }
        }

        fn delay_of_last(&self) -> Duration {
            Duration::from_micros(self.last.1 as u64)
        }

        fn missing_after(&self, from: i64, to: i64) -> usize {
            self.holes.iter().filter(|&&at| (from..to).contains(&at)).count()
        }
    }

    fn payload(n: i64) -> [u8; 8] {
        n.to_le_bytes()
    }
}
