//! The keypad: digits as telephone-events (RFC 4733), told once each and sent one by one.
//!
//! ```text
//!   press "5"   M 160   320   480   640   E 800 E 800 E 800    one timestamp, one digit
//! ```

use super::rtp::Header;
use crate::time::RtpTimestamp;

/// Octets of an event payload.
pub const EVENT_BYTES: usize = 4;

/// Digits that may wait to be sent: a long card number and its PIN.
pub const QUEUE_MAX: usize = 32;

/// Presses remembered, so that a packet of an earlier one is not told again. Presses are at least
/// 80 ms apart, so this is more than half a second of reordering.
const REMEMBERED: usize = 8;

/// The longest duration a packet can state. A longer press goes on in a new segment whose timestamp
/// is this much later (RFC 4733 section 2.5.1.3).
const SEGMENT_UNITS: i32 = 0xffff;

/// How far back, in seconds, a packet is old. Before that the sender has begun a new clock, and what it
/// sends is news.
const OLD_S: u32 = 10;

/// Length of a tone we send, in ticks of 20 ms. ITU-T Q.24 asks receivers to take 40 ms; 100 ms is what phones send.
const TONE_TICKS: u8 = 5;
/// The last packet of a tone is sent three times (RFC 4733 section 2.5.1.4).
const ENDS: u8 = 3;
/// Ticks of silence after a tone: 100 ms.
const PAUSE_TICKS: u8 = 5;
/// Power of the tone, in dBm0 without the sign.
const VOLUME: u8 = 10;

/// A key of a telephone: 0 to 9, `*`, `#`, A to D.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digit(u8);

const KEYS: &[u8; 16] = b"0123456789*#ABCD";

impl Digit {
    /// The key with this label; letters in either case.
    pub fn from_char(label: char) -> Option<Digit> {
        let label = u8::try_from(label.to_ascii_uppercase()).ok()?;
        KEYS.iter().position(|&key| key == label).map(|event| Digit(event as u8))
    }

    /// The key with this event code (RFC 4733 section 3.2), 0 to 15.
    pub fn from_event(event: u8) -> Option<Digit> {
        (usize::from(event) < KEYS.len()).then_some(Digit(event))
    }

    /// The label on the key.
    pub fn as_char(self) -> char {
        char::from(KEYS[usize::from(self.0)])
    }

    /// The event code, 0 to 15.
    pub fn event(self) -> u8 {
        self.0
    }
}

/// What an event packet says (RFC 4733 section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Event code; 0 to 15 are the keys.
    pub event: u8,
    /// The event is over.
    pub end: bool,
    /// Power in dBm0 without the sign, 0 to 63.
    pub volume: u8,
    /// How long it has lasted, in units of the line's clock.
    pub duration: u16,
}

impl Event {
    /// Reads a payload; what follows the first event is not looked at. `None` if it is too short.
    pub fn parse(payload: &[u8]) -> Option<Event> {
        let &[event, flags, high, low] = payload.first_chunk::<EVENT_BYTES>()?;
        Some(Event {
            event,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// The payload that says this.
    pub fn to_payload(self) -> [u8; EVENT_BYTES] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, (u8::from(self.end) << 7) | (self.volume & 0x3f), high, low]
    }
}

/// Hears digits. Each press is told once, at the first of its packets that arrives, in whatever
/// order and number they come.
#[derive(Debug, Default)]
pub struct Digits {
    ssrc: u32,
    presses: [Option<Press>; REMEMBERED],
    /// Where the next press is noted.
    next: u8,
}

/// A press that was told.
#[derive(Debug, Clone, Copy)]
struct Press {
    digit: Digit,
    /// Timestamps of the first and last segment seen; the same unless it was long.
    first: RtpTimestamp,
    last: RtpTimestamp,
    ended: bool,
}

impl Digits {
    /// A listener that has heard nothing.
    pub fn new() -> Digits {
        Digits::default()
    }

    /// Takes an event packet, and tells the digit if it is of a press not told before. Events that
    /// are no keys are passed over. `clock` is that of the line, in Hz.
    pub fn packet(&mut self, header: &Header, payload: &[u8], clock: u32) -> Option<Digit> {
        let event = Event::parse(payload)?;
        let digit = Digit::from_event(event.event)?;
        if header.ssrc != self.ssrc {
            *self = Digits { ssrc: header.ssrc, ..Digits::default() };
        }
        let known =
            self.presses.iter_mut().flatten().any(|press| press.takes(digit, header.timestamp, event.end));
        if known || self.is_old(header.timestamp, clock) {
            return None;
        }
        self.presses[usize::from(self.next)] =
            Some(Press { digit, first: header.timestamp, last: header.timestamp, ended: event.end });
        self.next = (self.next + 1) % REMEMBERED as u8;
        Some(digit)
    }

    /// Whether a packet is older than everything remembered, and so of a press already forgotten.
    fn is_old(&self, timestamp: RtpTimestamp, clock: u32) -> bool {
        let old = i32::try_from(OLD_S * clock).unwrap_or(i32::MAX);
        self.presses
            .iter()
            .all(|press| press.is_some_and(|press| (-old..0).contains(&timestamp.distance_from(press.first))))
    }
}

impl Press {
    /// Whether a packet is of this press; if so, it is learnt from.
    fn takes(&mut self, digit: Digit, timestamp: RtpTimestamp, end: bool) -> bool {
        if digit != self.digit {
            return false;
        }
        let after = timestamp.distance_from(self.last);
        let before = self.first.distance_from(timestamp);
        if after <= 0 && before <= 0 {
            // Only the end of the last segment ends a press.
            self.ended |= end;
        } else if after > 0 && after % SEGMENT_UNITS == 0 && !self.ended {
            self.last = timestamp;
            self.ended = end;
        } else if before > 0 && before % SEGMENT_UNITS == 0 && !end {
            // A segment with another after it has no end.
            self.first = timestamp;
        } else {
            return false;
        }
        true
    }
}

/// Sends digits, one tone after the other.
#[derive(Debug, Default)]
pub struct SendDigits {
    queue: [u8; QUEUE_MAX],
    head: u8,
    waiting: u8,
    state: Sending,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Sending {
    #[default]
    Idle,
    /// The tone has lasted this many ticks.
    Tone { digit: u8, ticks: u8 },
    /// It is over; this many of its end packets are still to go.
    Ending { digit: u8, left: u8 },
    /// This many ticks of silence are left.
    Pause { left: u8 },
}

/// A packet to be put on the line by [`super::line::SendLine::insert`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPacket {
    /// The payload.
    pub payload: [u8; EVENT_BYTES],
    /// The marker bit: first packet of a press.
    pub marker: bool,
    /// Whether the press begins now. Its other packets carry the timestamp of the first.
    pub new_timestamp: bool,
}

impl SendDigits {
    /// A sender with nothing to send.
    pub fn new() -> SendDigits {
        SendDigits::default()
    }

    /// Queues a digit. `false` if it is no key, or [`QUEUE_MAX`] are waiting.
    pub fn push(&mut self, label: char) -> bool {
        let Some(digit) = Digit::from_char(label) else { return false };
        if usize::from(self.waiting) == QUEUE_MAX {
            return false;
        }
        let place = (usize::from(self.head) + usize::from(self.waiting)) % QUEUE_MAX;
        self.queue[place] = digit.event();
        self.waiting += 1;
        true
    }

    /// Whether digits are waiting, on the line, or in the pause after one.
    pub fn is_busy(&self) -> bool {
        self.waiting > 0 || self.state != Sending::Idle
    }

    /// The packet of this tick of 20 ms, if any. `units` is how long a tick is by the line's clock.
    pub fn tick(&mut self, units: u16) -> Option<EventPacket> {
        match self.state {
            Sending::Idle => {
                let digit = self.pop()?;
                Some(self.sound(digit, 1, units))
            }
            Sending::Tone { digit, ticks } => Some(self.sound(digit, ticks + 1, units)),
            Sending::Ending { digit, left } => Some(self.finish(digit, left, units)),
            Sending::Pause { left } => {
                self.state = if left > 1 { Sending::Pause { left: left - 1 } } else { Sending::Idle };
                None
            }
        }
    }

    fn pop(&mut self) -> Option<u8> {
        self.waiting = self.waiting.checked_sub(1)?;
        let digit = self.queue[usize::from(self.head)];
        self.head = (self.head + 1) % QUEUE_MAX as u8;
        Some(digit)
    }

    fn sound(&mut self, digit: u8, ticks: u8, units: u16) -> EventPacket {
        if ticks >= TONE_TICKS {
            return self.finish(digit, ENDS, units);
        }
        self.state = Sending::Tone { digit, ticks };
        packet(digit, false, u16::from(ticks).saturating_mul(units), ticks == 1)
    }

    fn finish(&mut self, digit: u8, left: u8, units: u16) -> EventPacket {
        self.state = if left > 1 {
            Sending::Ending { digit, left: left - 1 }
        } else {
            Sending::Pause { left: PAUSE_TICKS }
        };
        packet(digit, true, u16::from(TONE_TICKS).saturating_mul(units), false)
    }
}

fn packet(event: u8, end: bool, duration: u16, first: bool) -> EventPacket {
    let payload = Event { event, end, volume: VOLUME, duration }.to_payload();
    EventPacket { payload, marker: first, new_timestamp: first }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(ssrc: u32, timestamp: u32) -> Header {
        let mut packet = [0u8; 12];
        packet[0] = 0x80;
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
        Header::parse(&packet).unwrap()
    }

    fn hear(digits: &mut Digits, timestamp: u32, payload: [u8; 4]) -> Option<char> {
        digits.packet(&header(1, timestamp), &payload, 8000).map(Digit::as_char)
    }

    #[test]
    fn sixteen_keys_have_codes_and_labels_and_nothing_else_has() {
        for event in 0..=255u8 {
            let digit = Digit::from_event(event);
            assert_eq!(digit.is_some(), event < 16);
            if let Some(digit) = digit {
                assert_eq!(digit.event(), event);
                assert_eq!(Digit::from_char(digit.as_char()), Some(digit));
            }
        }
        assert_eq!(Digit::from_char('*').unwrap().event(), 10);
        assert_eq!(Digit::from_char('#').unwrap().event(), 11);
        assert_eq!(Digit::from_char('d').unwrap().event(), 15);
        for label in ['E', ' ', '-', '\u{661}', '\u{131}'] {
            assert_eq!(Digit::from_char(label), None);
        }
    }

    #[test]
    fn the_payloads_of_the_rfcs_911_are_read_and_written() {
        // RFC 4733 section 5: a 9 that is over, a 1 that is over, a 1 that is still pressed.
        for (payload, event, end, volume, duration) in [
            ([9, 0x87, 0x06, 0x40], 9, true, 7, 1600),
            ([1, 0x8a, 0x07, 0xd0], 1, true, 10, 2000),
            ([1, 0x14, 0x01, 0x90], 1, false, 20, 400),
        ] {
            let read = Event::parse(&payload).unwrap();
            assert_eq!(read, Event { event, end, volume, duration });
            assert_eq!(read.to_payload(), payload);
        }
        assert_eq!(Event::parse(&[9, 0x87, 0x06]), None);
    }

    #[test]
    fn nine_one_one_is_three_digits() {
        let mut digits = Digits::new();
        let told: String = [
            (0, [9, 7, 0, 160]),
            (0, [9, 7, 1, 64]),
            (0, [9, 0x87, 6, 64]),
            (0, [9, 0x87, 6, 64]),
            (4000, [1, 0x8a, 7, 208]), // only an end packet came through
            (0, [9, 0x87, 6, 64]),     // the third end of the 9, late
            (8000, [1, 20, 1, 144]),
        ]
        .into_iter()
        .filter_map(|(timestamp, payload)| hear(&mut digits, timestamp, payload))
        .collect();
        assert_eq!(told, "911");
    }

    #[test]
    fn a_key_held_for_half_a_minute_is_one_digit() {
        let mut digits = Digits::new();
        let start = u32::MAX - 70_000; // and the clock wraps meanwhile
        let mut told = Vec::new();
        for segment in 0..4u32 {
            for duration in [160, 30_000, 0xffff_u16] {
                let end = segment == 3 && duration == 0xffff;
                let payload = Event { event: 5, end, volume: 10, duration }.to_payload();
                told.extend(hear(&mut digits, start.wrapping_add(0xffff * segment), payload));
            }
        }
        assert_eq!(told, ['5']);
        assert_eq!(
            hear(&mut digits, start.wrapping_add(0xffff * 4), [5, 10, 0, 160]),
            Some('5'),
            "it had ended"
        );
    }

    #[test]
    fn segments_that_overtake_each_other_are_one_digit() {
        let mut digits = Digits::new();
        assert_eq!(hear(&mut digits, 2 * 0xffff, [5, 0x8a, 0, 160]), Some('5'), "the last one first");
        assert_eq!(hear(&mut digits, 0xffff, [5, 10, 0xff, 0xff]), None);
        assert_eq!(hear(&mut digits, 0, [5, 10, 0xff, 0xff]), None);
        assert_eq!(hear(&mut digits, 0, [6, 10, 0xff, 0xff]), Some('6'), "another key at the same time");
        assert_eq!(hear(&mut digits, 2 * 0xffff + 1600, [5, 10, 0, 160]), Some('5'), "pressed again");
    }

    #[test]
    fn a_new_ssrc_is_another_telephone() {
        let mut digits = Digits::new();
        assert!(digits.packet(&header(1, 500), &[5, 10, 0, 160], 8000).is_some());
        assert!(digits.packet(&header(2, 500), &[5, 10, 0, 160], 8000).is_some());
        assert!(digits.packet(&header(2, 500), &[5, 10, 1, 64], 8000).is_none());
    }

    #[test]
    fn a_telephone_that_sets_its_clock_back_is_still_heard() {
        let mut digits = Digits::new();
        for press in 0..20 {
            assert_eq!(hear(&mut digits, 1_000_000 + 2000 * press, [7, 10, 0, 160]), Some('7'));
        }
        assert_eq!(hear(&mut digits, 1_000_000, [7, 0x8a, 0, 160]), None, "an echo of the first press");
        assert_eq!(hear(&mut digits, 160, [7, 10, 0, 160]), Some('7'));
    }

    #[test]
    fn a_sent_digit_is_a_tone_three_ends_and_a_pause() {
        let mut send = SendDigits::new();
        assert!(!send.is_busy());
        assert_eq!(send.tick(160), None);
        assert!(send.push('#') && send.push('1'));
        let mut ticks = Vec::new();
        while send.is_busy() {
            ticks.push(send.tick(160));
        }
        assert_eq!(ticks.len(), 2 * (4 + 3 + 5));
        for (digit, ticks) in [11, 1].into_iter().zip(ticks.chunks(12)) {
            for (tick, packet) in ticks.iter().enumerate() {
                let Some(packet) = packet else {
                    assert!(tick >= 7);
                    continue;
                };
                assert_eq!((packet.marker, packet.new_timestamp), (tick == 0, tick == 0));
                assert_eq!(
                    Event::parse(&packet.payload).unwrap(),
                    Event {
                        event: digit,
                        end: (4..7).contains(&tick),
                        volume: 10,
                        duration: 160 * (tick as u16 + 1).min(5),
                    }
                );
            }
        }
    }

    #[test]
    fn the_queue_takes_thirty_two_keys_and_no_more() {
        let mut send = SendDigits::new();
        assert!(!send.push('x'));
        assert!((0..QUEUE_MAX).all(|_| send.push('0')));
        assert!(!send.push('0'));
        assert!(send.tick(160).is_some());
        assert!(send.push('9'), "the first is on the line");
        assert!(!send.push('9'));
    }

    #[derive(Debug, Clone)]
    struct Pressed {
        event: u8,
        /// Length and the pause after it, in ticks.
        ticks: u16,
        pause: u16,
        /// What becomes of the n-th packet: (lost, delay in ticks, copies).
        fates: Vec<(bool, u8, u8)>,
        /// The packet that always arrives.
        lucky: prop::sample::Index,
    }

    fn pressed() -> impl Strategy<Value = Pressed> {
        let ticks = prop_oneof![8 => 2u16..20, 1 => 400u16..1300];
        let fates = prop::collection::vec((prop::bool::weighted(0.6), 0u8..25, 1u8..3), 1..30);
        (0u8..16, ticks, 2u16..20, fates, any::<prop::sample::Index>())
            .prop_map(|(event, ticks, pause, fates, lucky)| Pressed { event, ticks, pause, fates, lucky })
    }

    /// Packets of a press as RFC 4733 has them: when, timestamp, payload.
    fn packets(press: &Pressed, start_tick: u32, clock: u32) -> Vec<(u32, u32, [u8; 4])> {
        let mut packets = Vec::new();
        for tick in 1..=u32::from(press.ticks) {
            let lasted = 160 * tick;
            let segment = (lasted - 1) / 0xffff;
            let duration = (lasted - segment * 0xffff) as u16;
            let end = tick == u32::from(press.ticks);
            let payload = Event { event: press.event, end, volume: 10, duration }.to_payload();
            let timestamp = clock.wrapping_add(160 * start_tick + segment * 0xffff);
            for _ in 0..if end { 3 } else { 1 } {
                packets.push((start_tick + tick, timestamp, payload));
            }
        }
        packets
    }

    proptest! {
        #[test]
        fn every_press_is_told_once_whatever_the_network_does(
            clock: u32,
            presses in prop::collection::vec(pressed(), 1..20),
        ) {
            let mut arriving = Vec::new();
            let mut tick = 0;
            let mut truth = [0; 16];
            for press in &presses {
                truth[usize::from(press.event)] += 1;
                let sent = packets(press, tick, clock);
                let lucky = press.lucky.index(sent.len());
                for (n, &(at, timestamp, payload)) in sent.iter().enumerate() {
                    let (lost, delay, copies) = press.fates[n % press.fates.len()];
                    if lost && n != lucky {
                        continue;
                    }
                    for copy in 0..copies {
                        arriving.push((at + u32::from(delay * (copy + 1) / 2), timestamp, payload));
                    }
                }
                tick += u32::from(press.ticks + press.pause);
            }
            arriving.sort_by_key(|&(at, ..)| at);

            let mut digits = Digits::new();
            let mut told = [0; 16];
            for (_, timestamp, payload) in arriving {
                if let Some(digit) = digits.packet(&header(1, timestamp), &payload, 8000) {
                    told[usize::from(digit.event())] += 1;
                }
            }
            prop_assert_eq!(told, truth);
        }

        #[test]
        fn what_is_sent_is_heard(keys in "[0-9*#A-D]{1,32}", clock: u32) {
            let mut send = SendDigits::new();
            let mut digits = Digits::new();
            prop_assert!(keys.chars().all(|key| send.push(key)));
            let (mut heard, mut now, mut timestamp) = (String::new(), clock, clock);
            while send.is_busy() {
                if let Some(packet) = send.tick(160) {
                    if packet.new_timestamp {
                        timestamp = now;
                    }
                    heard.extend(hear(&mut digits, timestamp, packet.payload));
                }
                now = now.wrapping_add(160);
            }
            prop_assert_eq!(heard, keys);
        }

        #[test]
        fn any_octets_are_taken(packets in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..8)), 0..60)) {
            let mut digits = Digits::new();
            for (timestamp, payload) in packets {
                let told = digits.packet(&header(timestamp % 2, timestamp), &payload, 8000);
                prop_assert!(told.is_none() || payload[0] < 16);
            }
        }
    }
}
