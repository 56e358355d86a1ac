//! Keys passed on from a line with one clock to a line with another.
//!
//! An event's packet counts in its line's clock twice: in the timestamp, which is the line's affair, and in its duration.
//! A duration has sixteen bits, 8 s at 8000 Hz and 1.4 s at 48 kHz; a longer press goes on in another segment
//! with a later timestamp (RFC 4733 section 2.5.1.3). Segments of one clock are none of another, so a press is put
//! together again: all its packets leave with the timestamp of its beginning and the time since then, held at what
//! sixteen bits can say. That is one digit for every receiver.

use super::event::Event;
use super::rtp::Header;
use crate::time::RtpTimestamp;

/// The duration at which a segment ends and the next begins.
const SEGMENT_UNITS: i32 = 0xffff;

/// Passes events on. One for each ear: a press is followed until the next one.
#[derive(Debug, Default)]
pub struct Passing {
    press: Option<Press>,
}

#[derive(Debug, Clone, Copy)]
struct Press {
    ssrc: u32,
    event: u8,
    first: RtpTimestamp,
    last: RtpTimestamp,
}

/// An event packet for the other line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// When the press began, by its sender's clock.
    pub began: RtpTimestamp,
    /// What to send.
    pub event: Event,
}

impl Passing {
    /// The packet of a line counting at `from`, for one counting at `to`. `None` if it is no event.
    pub fn packet(&mut self, header: &Header, payload: &[u8], from: u32, to: u32) -> Option<Passed> {
        let event = Event::parse(payload)?;
        let began = self.began(header, event.event);
        let lasted =
            u64::from(header.timestamp.distance_from(began).unsigned_abs()) + u64::from(event.duration);
        let lasted = lasted * u64::from(to) / u64::from(from.max(1));
        let duration = u16::try_from(lasted).unwrap_or(u16::MAX);
        Some(Passed { began, event: Event { duration, ..event } })
    }

    fn began(&mut self, header: &Header, event: u8) -> RtpTimestamp {
        if let Some(press) = &mut self.press
            && (press.ssrc, press.event) == (header.ssrc, event)
        {
            let (after, since) =
                (header.timestamp.distance_from(press.last), header.timestamp.distance_from(press.first));
            if after == SEGMENT_UNITS {
                press.last = header.timestamp;
            }
            if since >= 0 && since % SEGMENT_UNITS == 0 && header.timestamp.distance_from(press.last) <= 0 {
                return press.first;
            }
        }
        let (ssrc, first) = (header.ssrc, header.timestamp);
        self.press = Some(Press { ssrc, event, first, last: first });
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::event::Digits;
    use crate::stream::rtp::{HEADER_BYTES, Line, write_header};
    use crate::time::Sequence;

    fn header(timestamp: u32) -> Header {
        let mut octets = [0; HEADER_BYTES];
        let (sequence, timestamp) = (Sequence(1), RtpTimestamp(timestamp));
        write_header(&mut octets, Line { marker: false, payload_type: 101, sequence, timestamp, ssrc: 1 });
        Header::parse(&octets).expect("a header")
    }

    /// A press of three seconds and a short one after it, in packets of 20 ms.
    fn pressed(clock: u32) -> Vec<(u32, [u8; 4])> {
        let mut packets = Vec::new();
        let step = clock / 50;
        for (start, ticks) in [(u32::MAX - 5_000, 150), ((u32::MAX - 5_000).wrapping_add(200 * step), 5)] {
            for tick in 1..=ticks {
                let lasted = tick * step;
                let segment = (lasted - 1) / 0xffff;
                let duration = (lasted - segment * 0xffff) as u16;
                let event = Event { event: 5, end: tick == ticks, volume: 10, duration };
                packets.push((start.wrapping_add(segment * 0xffff), event.to_payload()));
            }
        }
        packets
    }

    #[test]
    fn a_long_press_is_one_digit_on_the_other_clock_and_grows_as_long_as_it_lasts() {
        for (from, to) in [(8_000, 48_000), (48_000, 8_000)] {
            let (mut passing, mut digits) = (Passing::default(), Digits::new());
            let mut told = Vec::new();
            let mut durations = Vec::new();
            for (timestamp, payload) in pressed(from) {
                let passed = passing.packet(&header(timestamp), &payload, from, to).expect("an event");
                // The line maps the beginning to an instant of its own; any will do.
                let ours = header(passed.began.0.wrapping_mul(7));
                told.extend(digits.packet(&ours, &passed.event.to_payload(), to));
                durations.push(passed.event.duration);
            }
            assert_eq!(told.len(), 2, "{from} to {to}: {told:?}");
            assert!(durations[..150].windows(2).all(|pair| pair[0] <= pair[1]), "{from} to {to}");
            let most = (3 * to).min(0xffff) as u16;
            assert_eq!(
                (durations[0], durations[149], durations[154]),
                ((to / 50) as u16, most, (to / 10) as u16)
            );
        }
    }

    #[test]
    fn what_is_no_event_is_not_passed_on() {
        assert_eq!(Passing::default().packet(&header(0), &[5, 10], 8_000, 48_000), None);
    }
}
