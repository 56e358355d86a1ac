//! The packet path: a packet in, and at once to the ears whose plan is a relay of it or whose mix it
//! clocks.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sidetone_media::mix::{Said, Tap};
use sidetone_media::stream::receive::Arrived;
use sidetone_media::stream::rtp::{HEADER_BYTES, Header, Line, write_header};

use super::digits::by_clock;
use super::leg::{COMFORT_NOISE, Ear, Kind};
use super::{BridgeEvent, House, Room, Wire};

/// While telephone-events come, no audio does: their packets are up to 50 ms apart.
const EVENT_GRACE: Duration = Duration::from_millis(70);

impl Room {
    /// A packet has come for a leg.
    #[expect(clippy::too_many_arguments, reason = "the packet path passes what it has, and builds nothing")]
    pub(in crate::bridge) fn rtp(
        &mut self,
        now: Instant,
        slot: usize,
        packet: &mut [u8],
        from: SocketAddr,
        house: &House,
        wire: &mut impl Wire,
        events: &mut Vec<BridgeEvent>,
    ) {
        let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_mut) else { return };
        // The tag first, where there is one: a stranger's packet teaches us nothing.
        let Some(length) = leg.protection.open_rtp(packet) else { return };
        let packet = &mut packet[..length];
        let Some(header) = Header::parse(packet) else { return };
        let Some(kind) = leg.kind_of(header.payload_type) else { return };
        // The address first, where there is no tag.
        let was = leg.latch.locked();
        if !leg.latch.admits(from, &header, leg.protection.is_on()) {
            return;
        }
        if was.is_none() {
            wire.locked(slot, leg.latch.locked());
        }
        match leg.receive.packet(now, &header) {
            Arrived::Duplicate | Arrived::Stray => return,
            Arrived::InOrder | Arrived::Gap(_) | Arrived::Late | Arrived::NewStream => {}
        }
        leg.last_packet = Some(now);
        leg.timed_out = false;
        if !leg.first_told {
            leg.first_told = true;
            events.push(BridgeEvent::FirstMedia { call: self.call, leg: leg.id });
        }
        let mut said = None;
        match kind {
            Kind::Event => {
                if let Some(digit) = leg.digits.packet(&header, header.payload(packet), leg.clock()) {
                    let digit = digit.as_char();
                    events.push(BridgeEvent::Digit { call: self.call, leg: leg.id, digit });
                }
            }
            Kind::Audio => {
                leg.last.note(now, &header, header.payload(packet));
                if let Some(mouth) = &mut leg.mouth {
                    // What comes too late for a mix is still relayed: the far end may have use for it.
                    said = mouth.hear(now, &header, header.payload(packet));
                }
            }
            Kind::Noise => {
                if let Some(mouth) = &mut leg.mouth {
                    mouth.rest(&header, header.payload(packet));
                }
            }
        }
        let heard = match (said, &mut leg.listening, &leg.mouth) {
            (Some(said), Some(listening), Some(mouth)) => listening.hear(mouth, said),
            _ => None,
        };
        if let Some(heard) = heard {
            leg.listening = None;
            events.push(BridgeEvent::Screened { call: self.call, leg: leg.id, heard });
            self.plan_mouths(now); // who is relayed alone is decoded no longer
        }
        let mut length = packet.len();
        if !header.is_plain(packet) {
            // Contributing sources and extensions are the sender's affair with us: the payload moves
            // up to where a plain header ends.
            let payload = header.payload_range();
            length = HEADER_BYTES + payload.len();
            packet.copy_within(payload, HEADER_BYTES);
        }
        self.pass_on(now, slot, kind, &header, &mut packet[..length], said, house, wire);
        if said.is_some() {
            self.companions(now, slot, wire);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the packet path passes what it has, and builds nothing")]
    fn pass_on(
        &mut self,
        now: Instant,
        slot: usize,
        kind: Kind,
        header: &Header,
        packet: &mut [u8],
        said: Option<Said>,
        house: &House,
        wire: &mut impl Wire,
    ) {
        let Some(who) = self.legs[slot].as_deref().map(|leg| leg.id.0) else { return };
        let mut settled = false;
        for at in 0..self.legs.len() {
            let Some(leg) = self.legs[at].as_deref_mut() else { continue };
            match (&mut leg.ear, kind) {
                (Ear::Relay(mouth), _) if *mouth == slot => {
                    self.relay(now, at, slot, kind, header, packet, wire);
                }
                (Ear::Mix(mixing), Kind::Audio) if mixing.main == Some(slot) => {
                    if let Some(said) = said {
                        settled |= self.clocked(now, at, slot, header, said, wire);
                    }
                }
                (Ear::Mix(mixing), Kind::Event) if mixing.main == Some(slot) => {
                    mixing.next_tick = now + EVENT_GRACE;
                    self.relay(now, at, slot, kind, header, packet, wire);
                }
                // The mix sounds as its sender's pause does, and is encoded: no noise is told of.
                (Ear::Mix(mixing), Kind::Noise) if mixing.main == Some(slot) => leg.line.omit(who, header),
                (Ear::Mix(mixing), Kind::Event) if mixing.mix.tap(who).is_some_and(Tap::is_heard) => {
                    self.put_between(now, at, slot, header, packet, wire);
                }
                (Ear::Off | Ear::Relay(_) | Ear::Mix(_), _) => {}
            }
        }
        if settled {
            self.plan(now, house);
        }
    }

    /// Sends a packet on with our header.
    #[expect(clippy::too_many_arguments, reason = "the packet path passes what it has, and builds nothing")]
    pub(super) fn relay(
        &mut self,
        now: Instant,
        at: usize,
        from: usize,
        kind: Kind,
        header: &Header,
        packet: &mut [u8],
        wire: &mut impl Wire,
    ) {
        let Some(speaker) = self.legs[from].as_deref() else { return };
        let (who, consumed) = (speaker.id.0, speaker.consume_digits && kind == Kind::Event);
        let clock = speaker.clock();
        let Some(leg) = self.legs[at].as_deref_mut() else { return };
        let (Some(agreed), Some(to)) = (&leg.agreed, leg.latch.target()) else { return };
        let place = match kind {
            Kind::Audio => {
                Some((agreed.send_payload_type, agreed.codec.rtp_units_in(&packet[HEADER_BYTES..])))
            }
            Kind::Noise => agreed.comfort_noise.then_some((COMFORT_NOISE, 0)),
            Kind::Event => agreed.telephone_event.filter(|_| !consumed).map(|(send, _)| (send, 0)),
        };
        // While our digits have the line, audio pauses (RFC 4733 section 2.1 lets it).
        let Some((payload_type, units)) = place.filter(|_| leg.sending.is_none()) else {
            return leg.line.omit(who, header);
        };
        let mut ours;
        let (header, packet) = if kind == Kind::Event && clock != leg.line.clock() {
            let Some(key) = by_clock(&mut leg.passing, header, packet, (clock, leg.line.clock())) else {
                return;
            };
            ours = key;
            (&ours.0, &mut ours.1[..])
        } else {
            (header, packet)
        };
        let Some(line) = leg.line.follow(now, who, header, clock, payload_type, units) else { return };
        leg.line.count(packet.len() - HEADER_BYTES);
        stamp(packet, line);
        leg.protection.seal_rtp(packet, |octets| wire.rtp(at, to, octets));
    }
}

pub(super) fn stamp(packet: &mut [u8], line: Line) {
    if let Some(header) = packet.first_chunk_mut::<HEADER_BYTES>() {
        write_header(header, line);
    }
}
