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

/// How far back, in units of 1/8000 s, a packet is old. Before that, ten seconds, the sender has
/// begun a new clock, and what it sends is news.
const OLD_UNITS: i32 = 80_000;

/// Units of one tick of 20 ms.
const TICK_UNITS: u16 = 160;
/// Length of a tone we send. ITU-T Q.24 asks receivers to take 40 ms; 100 ms is what phones send.
const TONE_UNITS: u16 = 5 * TICK_UNITS;
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
    /// How long it has lasted, in units of 1/8000 s.
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
    /// are no keys are passed over.
    pub fn packet(&mut self, header: &Header, payload: &[u8]) -> Option<Digit> {
        let event = Event::parse(payload)?;
        let digit = Digit::from_event(event.event)?;
        if header.ssrc != self.ssrc {
            *self = Digits { ssrc: header.ssrc, ..Digits::default() };
        }
        let known =
            self.presses.iter_mut().flatten().any(|press| press.takes(digit, header.timestamp, event.end));
        if known || self.is_old(header.timestamp) {
            return None;
        }
        self.presses[usize::from(self.next)] =
            Some(Press { digit, first: header.timestamp, last: header.timestamp, ended: event.end });
        self.next = (self.next + 1) % REMEMBERED as u8;
        Some(digit)
    }

    /// Whether a packet is older than everything remembered, and so of a press already forgotten.
    fn is_old(&self, timestamp: RtpTimestamp) -> bool {
        self.presses.iter().all(|press| {
            press.is_some_and(|press| (-OLD_UNITS..0).contains(&timestamp.distance_from(press.first)))
        })
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
    /// The tone has lasted this many units.
    Tone { digit: u8, duration: u16 },
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

    /// The packet of this tick of 20 ms, if any.
    pub fn tick(&mut self) -> Option<EventPacket> {
        match self.state {
            Sending::Idle => {
                let digit = self.pop()?;
                Some(self.sound(digit, TICK_UNITS))
            }
            Sending::Tone { digit, duration } => Some(self.sound(digit, duration + TICK_UNITS)),
            Sending::Ending { digit, left } => Some(self.finish(digit, left)),
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

    fn sound(&mut self, digit: u8, duration: u16) -> EventPacket {
        if duration >= TONE_UNITS {
            return self.finish(digit, ENDS);
        }
        self.state = Sending::Tone { digit, duration };
        let first = duration == TICK_UNITS;
        packet(digit, false, duration, first)
    }

    fn finish(&mut self, digit: u8, left: u8) -> EventPacket {
        self.state = if left > 1 {
            Sending::Ending { digit, left: left - 1 }
        } else {
            Sending::Pause { left: PAUSE_TICKS }
        };
        packet(digit, true, TONE_UNITS, false)
    }
}

fn packet(event: u8, end: bool, duration: u16, first: bool) -> EventPacket {
    let payload = Event { event, end, volume: VOLUME, duration }.to_payload();
    EventPacket { payload, marker: first, new_timestamp: first }
}
