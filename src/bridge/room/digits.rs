//! Digits: ours put into a leg's line, and a companion's passed on between the packets of a mix.

use std::time::Instant;

use sidetone_media::stream::event::{EVENT_BYTES, SendDigits};
use sidetone_media::stream::passing::Passing;
use sidetone_media::stream::rtp::{HEADER_BYTES, Header};
use sidetone_media::time::RtpTimestamp;

use super::leg::Ear;
use super::packets::stamp;
use super::{Room, TICK, Wire};

/// Beats of [`TICK`] in a second.
const TICKS_PER_S: u32 = 50;

pub(super) struct SendingDigits {
    pub(super) queue: SendDigits,
    pub(super) timestamp: RtpTimestamp,
    pub(super) next: Instant,
}

/// An event put in between the packets of a mix: its beginning in its sender's time and in ours.
#[derive(Clone, Copy)]
pub(super) struct PassedEvent {
    pub(super) from: usize,
    pub(super) theirs: RtpTimestamp,
    pub(super) ours: RtpTimestamp,
}

/// A key's packet for a line with another clock than its sender's: the header with the time at which the press began,
/// and the packet.
pub(super) fn by_clock(
    passing: &mut Passing,
    header: &Header,
    packet: &[u8],
    (from, to): (u32, u32),
) -> Option<(Header, [u8; HEADER_BYTES + EVENT_BYTES])> {
    let passed = passing.packet(header, packet.get(HEADER_BYTES..)?, from, to)?;
    let mut octets = [0; HEADER_BYTES + EVENT_BYTES];
    octets[HEADER_BYTES..].copy_from_slice(&passed.event.to_payload());
    let mut header = *header;
    header.timestamp = passed.began;
    Some((header, octets))
}

impl Room {
    pub(in crate::bridge) fn send_digit(&mut self, now: Instant, slot: usize, digit: char) {
        let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_mut) else { return };
        if leg.agreed.as_ref().is_none_or(|agreed| agreed.telephone_event.is_none()) {
            return;
        }
        let timestamp = leg.line.timestamp_at(now);
        let sending = leg.sending.get_or_insert_with(|| {
            Box::new(SendingDigits { queue: SendDigits::new(), timestamp, next: now })
        });
        if !sending.queue.push(digit) {
            tracing::warn!(leg = %leg.id, "too many digits wait to be sent; one is dropped");
        }
        self.has_timers = true;
    }

    /// Passes on an event of a mouth that is mixed in and does not clock the ear.
    pub(super) fn put_between(
        &mut self,
        now: Instant,
        at: usize,
        from: usize,
        header: &Header,
        packet: &mut [u8],
        wire: &mut impl Wire,
    ) {
        let Some(speaker) = self.legs[from].as_deref().filter(|speaker| !speaker.consume_digits) else {
            return;
        };
        let clock = speaker.clock();
        let Some(leg) = self.legs[at].as_deref_mut() else { return };
        let Some((payload_type, _)) = leg.agreed.as_ref().and_then(|agreed| agreed.telephone_event) else {
            return;
        };
        let (Some(to), None, Ear::Mix(mixing)) = (leg.latch.target(), &leg.sending, &mut leg.ear) else {
            return;
        };
        let mut ours;
        let (header, packet) = if clock != leg.line.clock() {
            let Some(key) = by_clock(&mut leg.passing, header, packet, (clock, leg.line.clock())) else {
                return;
            };
            ours = key;
            (&ours.0, &mut ours.1[..])
        } else {
            (header, packet)
        };
        let event = match mixing.event {
            Some(event) if event.from == from && event.theirs == header.timestamp => event,
            _ => PassedEvent { from, theirs: header.timestamp, ours: leg.line.timestamp_at(now) },
        };
        mixing.event = Some(event);
        let line = leg.line.insert(now, header.marker, payload_type, event.ours);
        leg.line.count(packet.len() - HEADER_BYTES);
        stamp(packet, line);
        leg.protection.seal_rtp(packet, |octets| wire.rtp(at, to, octets));
    }

    pub(super) fn digits_tick(&mut self, now: Instant, at: usize, wire: &mut impl Wire) {
        let Some(leg) = self.legs[at].as_deref_mut() else { return };
        let Some(mut sending) = leg.sending.take() else { return };
        if sending.next > now {
            leg.sending = Some(sending);
            return;
        }
        sending.next = now + TICK;
        let tick_units = u16::try_from(leg.clock() / TICKS_PER_S).unwrap_or(u16::MAX);
        if let (Some(packet), Some(to)) = (sending.queue.tick(tick_units), leg.latch.target())
            && let Some((payload_type, _)) = leg.agreed.as_ref().and_then(|agreed| agreed.telephone_event)
        {
            if packet.new_timestamp {
                sending.timestamp = leg.line.timestamp_at(now);
            }
            let line = leg.line.insert(now, packet.marker, payload_type, sending.timestamp);
            let mut octets = [0; HEADER_BYTES + EVENT_BYTES];
            octets[HEADER_BYTES..].copy_from_slice(&packet.payload);
            stamp(&mut octets, line);
            leg.line.count(packet.payload.len());
            leg.protection.seal_rtp(&octets, |octets| wire.rtp(at, to, octets));
        }
        if sending.queue.is_busy() {
            leg.sending = Some(sending);
        }
    }
}
