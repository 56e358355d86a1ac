//! One call's media: packets in, packets out. Pure: the time is an argument, and packets leave
//! through a [`Wire`].
//!
//! ```text
//!   packet of leg M ──> admitted? ──> counted ──> decoded, if a mix listens to M
//!                                        │
//!                     for each ear whose table says M:
//!                        Relay ──> header rewritten, sent at once
//!                        Mix, M is its main mouth ──> M's packet + the others' current sound, sent at once
//!   tick ──> ears that nobody clocks: music, ringback, a mix whose main mouth is silent
//! ```
//!
//! The room walks plans. Roles, tenants and SIP are unknown here: who is heard by whom comes in as
//! a [`Hearing`], which only the core can make.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sidetone_media::codec::{Codec, MAX_PAYLOAD};
use sidetone_media::mix::{Generator, Mix, Mouth, Said, Tap};
use sidetone_media::stream::event::{Digits, SendDigits};
use sidetone_media::stream::line::SendLine;
use sidetone_media::stream::receive::{Arrived, Receive};
use sidetone_media::stream::rtcp::Remote;
use sidetone_media::stream::rtp::{HEADER_BYTES, Header, Line, write_header};
use sidetone_media::time::{RtpTimestamp, Sequence};
use sidetone_media::tone::{Melody, Quiet, Ringback};

use crate::call::door::AgreedMedia;
use crate::call::hearing::Hears;
use crate::call::{CallId, Hearing, LegId};

use super::latch::Latch;
use super::{AudioReport, BridgeEvent, EarReport, LegQuality, MouthReport, Music, PlanKind};

/// The beat of ears that nobody else clocks.
const TICK: Duration = Duration::from_millis(20);

/// After this long without a packet of its main mouth, an ear is clocked by the tick. Longer than
/// two packets of any usual ptime, and than the 50 ms between telephone-event packets.
const GRACE: Duration = Duration::from_millis(70);

/// How long a mix may wait for a companion's packet that is due: what it costs the main voice is
/// never heard, what it saves the companion is most of a frame.
const COMPANION_WAIT: Duration = Duration::from_millis(2);

/// A companion's packet this late is still waited for, at its due time plus this.
const COMPANION_LATE: Duration = Duration::from_millis(1);

/// A tick that is later than this does not run after the lost time.
const TICK_LATE_MAX: Duration = Duration::from_millis(100);

/// Comfort noise's static payload type (RFC 3389).
const COMFORT_NOISE: u8 = 13;

/// Where packets leave.
pub(super) trait Wire {
    /// Sends RTP from a leg's socket. What the kernel does not take is lost, as on any network.
    fn rtp(&mut self, slot: usize, to: SocketAddr, octets: &[u8]);
    /// From now on the leg's peer is at this address and nowhere else, or, if `None`, unknown.
    fn locked(&mut self, slot: usize, to: Option<SocketAddr>);
}

/// What rooms of one bridge have in common.
#[derive(Debug, Clone)]
pub(super) struct House {
    pub(super) media_timeout: Duration,
    pub(super) behind_ms_max: u32,
    pub(super) ringback: sidetone_media::tone::RingbackTone,
    pub(super) music: Music,
}

/// One call's media.
pub(super) struct Room {
    call: CallId,
    legs: Vec<Option<Box<Leg>>>,
    hearing: Hearing,
    generation: u64,
}

struct Leg {
    id: LegId,
    agreed: Option<AgreedMedia>,
    /// Its digits steer and are not passed on.
    consume_digits: bool,
    latch: Latch,
    line: SendLine,
    receive: Receive,
    /// What the far end last reported of our line.
    remote: Option<Remote>,
    digits: Digits,
    sending: Option<Box<SendingDigits>>,
    mouth: Option<Box<Mouth>>,
    ear: Ear,
    last_packet: Option<Instant>,
    opened: Instant,
    timed_out: bool,
    first_told: bool,
}

struct SendingDigits {
    queue: SendDigits,
    timestamp: RtpTimestamp,
    next: Instant,
}

enum Ear {
    /// Nothing is sent: nothing is agreed, or the far end does not listen.
    Off,
    /// One mouth's packets, as they come.
    Relay(usize),
    Mix(Box<Mixing>),
}

struct Mixing {
    mix: Mix,
    /// Whose packets clock it.
    main: Option<usize>,
    /// What it plays of our own, so that the same is not begun anew.
    playing: Playing,
    next_tick: Instant,
    /// A packet of the main mouth that waits a moment for a companion's.
    waiting: Option<Waiting>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Playing {
    Nothing,
    Quiet,
    Music,
    Ringback,
}

struct Waiting {
    header: Header,
    said: Said,
    until: Instant,
}

impl Room {
    pub(super) fn new(call: CallId) -> Room {
        Room { call, legs: Vec::new(), hearing: Hearing::default(), generation: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.legs.iter().all(Option::is_none)
    }

    /// Puts a leg into the room; the slot it got.
    pub(super) fn enter(&mut self, now: Instant, leg: Entering) -> usize {
        let fresh = Box::new(Leg {
            id: leg.id,
            agreed: None,
            consume_digits: false,
            latch: Latch::default(),
            line: SendLine::new(leg.ssrc, Sequence(leg.first_sequence), RtpTimestamp(leg.first_timestamp)),
            receive: Receive::new(),
            remote: None,
            digits: Digits::new(),
            sending: None,
            mouth: None,
            ear: Ear::Off,
            last_packet: None,
            opened: now,
            timed_out: false,
            first_told: false,
        });
        self.place(fresh)
    }

    fn place(&mut self, leg: Box<Leg>) -> usize {
        match self.legs.iter().position(Option::is_none) {
            Some(free) => {
                self.legs[free] = Some(leg);
                free
            }
            None => {
                self.legs.push(Some(leg));
                self.legs.len() - 1
            }
        }
    }

    /// The slot of a leg.
    pub(super) fn slot(&self, leg: LegId) -> Option<usize> {
        self.legs.iter().position(|known| known.as_ref().is_some_and(|known| known.id == leg))
    }

    /// Takes a leg out; its figures.
    pub(super) fn leave(&mut self, now: Instant, slot: usize, house: &House) -> Option<LegQuality> {
        self.take_out(now, slot, house).map(|leg| leg.quality())
    }

    /// Takes a leg out to put it into another room, with its line of packets unbroken.
    pub(super) fn move_out(&mut self, now: Instant, slot: usize, house: &House) -> Option<Moving> {
        let mut leg = self.take_out(now, slot, house)?;
        leg.ear = Ear::Off;
        leg.mouth = None;
        Some(Moving(leg))
    }

    /// Takes in a leg from another room.
    pub(super) fn move_in(&mut self, now: Instant, moving: Moving, house: &House) -> usize {
        let slot = self.place(moving.0);
        self.plan(now, house);
        slot
    }

    fn take_out(&mut self, now: Instant, slot: usize, house: &House) -> Option<Box<Leg>> {
        let leg = self.legs.get_mut(slot)?.take()?;
        for other in self.legs.iter_mut().flatten() {
            match &mut other.ear {
                Ear::Relay(mouth) if *mouth == slot => other.ear = Ear::Off,
                Ear::Mix(mixing) => {
                    mixing.mix.drop_mouth(leg.id.0);
                    if mixing.main == Some(slot) {
                        mixing.main = None;
                        mixing.waiting = None;
                    }
                }
                Ear::Off | Ear::Relay(_) => {}
            }
        }
        self.plan(now, house);
        Some(leg)
    }

    /// What both ends of a leg agreed on, for the first time or anew.
    pub(super) fn agree(
        &mut self,
        now: Instant,
        slot: usize,
        agreed: AgreedMedia,
        consume_digits: bool,
        house: &House,
        wire: &mut impl Wire,
    ) {
        let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_mut) else { return };
        let before = leg.latch.locked();
        leg.latch.expect(agreed.remote_rtp, agreed.nat_host);
        if before.is_some() && leg.latch.locked() != before {
            wire.locked(slot, None);
        }
        let codec_changed = leg.agreed.as_ref().is_none_or(|old| old.codec != agreed.codec);
        leg.agreed = Some(agreed);
        leg.consume_digits = consume_digits;
        leg.last_packet = Some(now); // its media timeout begins anew
        leg.timed_out = false;
        if codec_changed {
            leg.mouth = None;
            leg.ear = Ear::Off;
            let id = leg.id.0;
            for mixing in self.legs.iter_mut().flatten().filter_map(|leg| leg.mixing()) {
                mixing.mix.drop_mouth(id);
            }
        }
        self.plan(now, house);
    }

    /// The table in force from now on.
    pub(super) fn set_hearing(&mut self, now: Instant, generation: u64, hearing: Hearing, house: &House) {
        self.hearing = hearing;
        self.generation = generation;
        self.plan(now, house);
    }

    pub(super) fn send_digit(&mut self, now: Instant, slot: usize, digit: char) {
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
    }

    // --- the packet path

    /// A packet has come for a leg.
    #[expect(
        clippy::too_many_arguments,
        reason = "the packet path borrows its parts one by one; a struct would only rename them"
    )]
    pub(super) fn rtp(
        &mut self,
        now: Instant,
        slot: usize,
        packet: &mut [u8],
        from: SocketAddr,
        house: &House,
        wire: &mut impl Wire,
        events: &mut Vec<BridgeEvent>,
    ) {
        let Some(header) = Header::parse(packet) else { return };
        let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_mut) else { return };
        let Some(kind) = leg.kind_of(header.payload_type) else { return };
        // The address first: a stranger's packet teaches us nothing.
        let was = leg.latch.locked();
        if !leg.latch.admits(from, &header) {
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
                if let Some(digit) = leg.digits.packet(&header, header.payload(packet)) {
                    let digit = digit.as_char();
                    events.push(BridgeEvent::Digit { call: self.call, leg: leg.id, digit });
                }
                if leg.consume_digits {
                    return;
                }
            }
            Kind::Audio => {
                if let Some(mouth) = &mut leg.mouth {
                    // What comes too late for a mix is still relayed: the far end may have use for it.
                    said = mouth.hear(now, &header, header.payload(packet));
                }
            }
            Kind::Noise => {}
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
        let mut settled = false;
        for at in 0..self.legs.len() {
            let Some(leg) = self.legs[at].as_deref() else { continue };
            match &leg.ear {
                Ear::Relay(mouth) if *mouth == slot => self.relay(now, at, slot, kind, header, packet, wire),
                Ear::Mix(mixing) if mixing.main == Some(slot) => match kind {
                    Kind::Event => {
                        self.relay(now, at, slot, kind, header, packet, wire);
                        if let Some(mixing) = self.legs[at].as_deref_mut().and_then(Leg::mixing) {
                            mixing.next_tick = now + GRACE;
                        }
                    }
                    Kind::Audio => {
                        if let Some(said) = said {
                            settled |= self.clocked(now, at, slot, header, said, wire);
                        }
                    }
                    Kind::Noise => {}
                },
                Ear::Off | Ear::Relay(_) | Ear::Mix(_) => {}
            }
        }
        if settled {
            self.plan(now, house);
        }
    }

    /// Sends a packet on with our header.
    #[expect(
        clippy::too_many_arguments,
        reason = "the packet path borrows its parts one by one; a struct would only rename them"
    )]
    fn relay(
        &mut self,
        now: Instant,
        at: usize,
        from: usize,
        kind: Kind,
        header: &Header,
        packet: &mut [u8],
        wire: &mut impl Wire,
    ) {
        let Some(who) = self.legs[from].as_deref().map(|leg| leg.id.0) else { return };
        let Some(leg) = self.legs[at].as_deref_mut() else { return };
        let Some(agreed) = &leg.agreed else { return };
        let (payload_type, units) = match kind {
            Kind::Audio => {
                (agreed.send_payload_type, codec(agreed).rtp_units_of(packet.len() - HEADER_BYTES))
            }
            Kind::Noise if agreed.comfort_noise => (COMFORT_NOISE, 0),
            Kind::Noise => return,
            Kind::Event => match agreed.telephone_event {
                Some((send, _)) => (send, 0),
                None => return,
            },
        };
        let Some(to) = leg.latch.target() else { return };
        if leg.sending.is_some() {
            return; // our digits have the line; RFC 4733 section 2.1 lets audio pause meanwhile
        }
        let line = leg.line.follow(now, who, header, payload_type, units);
        leg.line.count(packet.len() - HEADER_BYTES);
        stamp(packet, line);
        wire.rtp(at, to, packet);
    }

    /// The main mouth of a mixing ear has spoken. True if the ear can go back to relaying.
    fn clocked(
        &mut self,
        now: Instant,
        at: usize,
        main: usize,
        header: &Header,
        said: Said,
        wire: &mut impl Wire,
    ) -> bool {
        self.flush(now, at, wire);
        if let Some(until) = self.worth_waiting(now, at, main, said)
            && let Some(mixing) = self.legs[at].as_deref_mut().and_then(Leg::mixing)
        {
            mixing.waiting = Some(Waiting { header: *header, said, until });
            mixing.next_tick = until;
            return false;
        }
        self.mix(now, at, main, header, said, wire)
    }

    /// Until when a companion's packet is worth waiting for, if one is due at any moment.
    fn worth_waiting(&self, now: Instant, at: usize, main: usize, said: Said) -> Option<Instant> {
        let leg = self.legs[at].as_deref()?;
        let Ear::Mix(mixing) = &leg.ear else { return None };
        let main = self.legs[main].as_deref()?.id.0;
        let due = mixing.mix.mouths().filter(|who| *who != main).filter_map(|who| {
            let mouth = self.mouth(who)?;
            let tap = mixing.mix.tap(who)?;
            let samples = said.samples * mouth.rate().hz() as usize / self.mouth(main)?.rate().hz() as usize;
            let due = mouth.next_due()?;
            let near = due + COMPANION_LATE >= now && due <= now + COMPANION_WAIT;
            (near && tap.is_dry(mouth, samples)).then_some(due)
        });
        due.max().map(|due| (due + COMPANION_LATE).min(now + COMPANION_WAIT))
    }

    fn mouth(&self, who: u64) -> Option<&Mouth> {
        self.legs.iter().flatten().find(|leg| leg.id.0 == who)?.mouth.as_deref()
    }

    /// Sends what waits at an ear.
    fn flush(&mut self, now: Instant, at: usize, wire: &mut impl Wire) {
        let Some(mixing) = self.legs[at].as_deref_mut().and_then(Leg::mixing) else { return };
        let (Some(waiting), Some(main)) = (mixing.waiting.take(), mixing.main) else { return };
        self.mix(now, at, main, &waiting.header, waiting.said, wire);
    }

    /// A companion has spoken: ears that waited for it wait no longer.
    fn companions(&mut self, now: Instant, slot: usize, wire: &mut impl Wire) {
        let Some(who) = self.legs[slot].as_deref().map(|leg| leg.id.0) else { return };
        for at in 0..self.legs.len() {
            let waits = self.legs[at].as_deref_mut().and_then(Leg::mixing).is_some_and(|mixing| {
                mixing.waiting.is_some() && mixing.main != Some(slot) && mixing.mix.tap(who).is_some()
            });
            if waits {
                self.flush(now, at, wire);
            }
        }
    }

    /// One packet for a mixing ear, in step with its main mouth. True if the ear is settled.
    fn mix(
        &mut self,
        now: Instant,
        at: usize,
        main: usize,
        header: &Header,
        said: Said,
        wire: &mut impl Wire,
    ) -> bool {
        let Some(main_id) = self.legs[main].as_deref().map(|leg| leg.id) else { return false };
        let Some(mut leg) = self.legs[at].take() else { return false };
        let settled = leg.mixed(now, Some((main_id.0, header, said)), |who| self.mouth(who), at, wire);
        self.legs[at] = Some(leg);
        settled
    }

    /// The instant has come that [`Room::poll_timeout`] named.
    pub(super) fn handle_timeout(&mut self, now: Instant, house: &House, wire: &mut impl Wire) {
        let mut settled = false;
        for at in 0..self.legs.len() {
            self.digits_tick(now, at, wire);
            let Some(mixing) = self.legs[at].as_deref_mut().and_then(Leg::mixing) else { continue };
            if let Some(waiting) = &mixing.waiting {
                if waiting.until <= now {
                    self.flush(now, at, wire);
                }
                continue;
            }
            if mixing.next_tick > now {
                continue;
            }
            let Some(mut leg) = self.legs[at].take() else { continue };
            settled |= leg.mixed(now, None, |who| self.mouth(who), at, wire);
            self.legs[at] = Some(leg);
        }
        if settled {
            self.plan(now, house);
        }
    }

    fn digits_tick(&mut self, now: Instant, at: usize, wire: &mut impl Wire) {
        let Some(leg) = self.legs[at].as_deref_mut() else { return };
        let Some(mut sending) = leg.sending.take() else { return };
        if sending.next > now {
            leg.sending = Some(sending);
            return;
        }
        sending.next = now + TICK;
        if let (Some(packet), Some(to)) = (sending.queue.tick(), leg.latch.target())
            && let Some((payload_type, _)) = leg.agreed.as_ref().and_then(|agreed| agreed.telephone_event)
        {
            if packet.new_timestamp {
                sending.timestamp = leg.line.timestamp_at(now);
            }
            let line = leg.line.insert(now, packet.marker, payload_type, sending.timestamp);
            let mut octets = [0; HEADER_BYTES + 4];
            octets[HEADER_BYTES..].copy_from_slice(&packet.payload);
            stamp(&mut octets, line);
            leg.line.count(packet.payload.len());
            wire.rtp(at, to, &octets);
        }
        if sending.queue.is_busy() {
            leg.sending = Some(sending);
        }
    }

    /// When [`Room::handle_timeout`] is wanted.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let ears = self.legs.iter().flatten().filter_map(|leg| match &leg.ear {
            Ear::Mix(mixing) => Some(mixing.next_tick),
            Ear::Off | Ear::Relay(_) => None,
        });
        let digits = self.legs.iter().flatten().filter_map(|leg| leg.sending.as_ref().map(|s| s.next));
        ears.chain(digits).min()
    }

    /// Once a second: whose media has stopped?
    pub(super) fn sweep(&mut self, now: Instant, house: &House, events: &mut Vec<BridgeEvent>) {
        for leg in self.legs.iter_mut().flatten() {
            let expects = leg.agreed.as_ref().is_some_and(|agreed| agreed.receives);
            let since = leg.last_packet.unwrap_or(leg.opened);
            if expects && !leg.timed_out && now.saturating_duration_since(since) >= house.media_timeout {
                leg.timed_out = true;
                events.push(BridgeEvent::MediaTimeout { call: self.call, leg: leg.id });
            }
        }
    }

    /// The sender line and receive state of a leg, for its RTCP.
    pub(super) fn rtcp_parts(&mut self, slot: usize) -> Option<(&SendLine, &mut Receive)> {
        let leg = self.legs.get_mut(slot)?.as_deref_mut()?;
        Some((&leg.line, &mut leg.receive))
    }

    /// What the far end reports of our line to it.
    pub(super) fn note_remote(&mut self, slot: usize, remote: Remote) {
        if let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_deref_mut) {
            leg.remote = Some(remote);
        }
    }

    /// Where a leg's RTCP goes, and whether its RTP peer is known.
    pub(super) fn rtcp_target(&self, slot: usize) -> Option<SocketAddr> {
        let leg = self.legs.get(slot)?.as_deref()?;
        let agreed = leg.agreed.as_ref()?;
        let signalled = agreed.remote_rtcp?;
        match leg.latch.locked() {
            // Behind a translator the description's address is private; RTCP goes beside the RTP.
            Some(locked) if locked.ip() != signalled.ip() => {
                Some(SocketAddr::new(locked.ip(), locked.port().checked_add(1)?))
            }
            _ => Some(signalled),
        }
    }

    // --- plans

    /// Compiles the table into what each ear does with packets.
    fn plan(&mut self, now: Instant, house: &House) {
        for at in 0..self.legs.len() {
            self.plan_ear(now, at, house);
        }
        self.plan_mouths();
    }

    fn plan_ear(&mut self, now: Instant, at: usize, house: &House) {
        let Some(leg) = self.legs[at].as_deref() else { return };
        let Some(agreed) = leg.agreed.clone().filter(|agreed| agreed.sends) else {
            self.set_ear(at, Ear::Off);
            return;
        };
        let hears = self.hearing.hears(leg.id).clone();
        let mouths: Vec<usize> = hears
            .mouths()
            .iter()
            .filter_map(|mouth| self.slot(*mouth))
            .filter(|m| self.can_speak(*m))
            .collect();
        if let ([mouth], true) = (&mouths[..], matches!(hears, Hears::One(_)))
            && self.relays(*mouth, at)
            && self.may_relay_now(*mouth, at)
        {
            return self.set_ear(at, Ear::Relay(*mouth));
        }
        let playing = match (&hears, mouths.is_empty()) {
            (Hears::Music, _) => Playing::Music,
            (Hears::Ringback, _) => Playing::Ringback,
            // Nothing to hear is sent as silence, so that the far end knows the line is alive.
            (_, true) => Playing::Quiet,
            (_, false) => Playing::Nothing,
        };
        self.mix_at(now, at, &agreed, &mouths, playing, house);
    }

    /// Whether a mouth has anything agreed to speak with.
    fn can_speak(&self, slot: usize) -> bool {
        self.legs[slot].as_deref().is_some_and(|leg| leg.agreed.is_some())
    }

    /// Whether packets of `mouth` fit `ear` as they are.
    fn relays(&self, mouth: usize, ear: usize) -> bool {
        let agreed = |slot: usize| self.legs[slot].as_deref().and_then(|leg| leg.agreed.as_ref());
        match (agreed(mouth), agreed(ear)) {
            (Some(mouth), Some(ear)) => mouth.codec == ear.codec && mouth.ptime_ms == ear.ptime_ms,
            _ => false,
        }
    }

    /// Whether the ear's sound would have no step if it turned to relaying `mouth` now.
    fn may_relay_now(&mut self, mouth: usize, at: usize) -> bool {
        let Some(who) = self.legs[mouth].as_deref().map(|leg| leg.id.0) else { return false };
        let speaks = self.legs[mouth].as_deref().is_some_and(|leg| leg.first_told);
        let Some(leg) = self.legs[at].as_deref_mut() else { return false };
        match &mut leg.ear {
            Ear::Relay(now) => *now == mouth,
            // Before the first packet of a voice there is nothing to fade in.
            Ear::Off => !speaks || leg.line.sent().0 == 0,
            // Silence gives way to a voice that has not begun.
            Ear::Mix(mixing) if mixing.playing == Playing::Quiet && mixing.mix.mouths().next().is_none() => {
                !speaks
            }
            Ear::Mix(mixing) => {
                let settled = mixing.mix.is_settled() && mixing.playing == Playing::Nothing;
                let alone = mixing.mix.mouths().eq([who]);
                mixing.main == Some(mouth) && settled && alone && mixing.waiting.is_none()
            }
        }
    }

    fn mix_at(
        &mut self,
        now: Instant,
        at: usize,
        agreed: &AgreedMedia,
        mouths: &[usize],
        playing: Playing,
        house: &House,
    ) {
        let ids: Vec<(usize, u64)> =
            mouths.iter().filter_map(|m| Some((*m, self.legs[*m].as_deref()?.id.0))).collect();
        let relayed = match self.legs[at].as_deref().map(|leg| &leg.ear) {
            Some(Ear::Relay(mouth)) => self.legs[*mouth].as_deref().map(|leg| (*mouth, leg.id.0)),
            _ => None,
        };
        let behind = house.behind_ms_max;
        let Some(leg) = self.legs[at].as_deref_mut() else { return };
        let fresh = !matches!(leg.ear, Ear::Mix(_));
        if fresh {
            let mut mix = Mix::new(codec(agreed));
            if let Some((_, who)) = relayed {
                mix.hear(who, || Tap::open(behind));
            }
            // A relay that turns into a mix goes on at its own packets' pace.
            let first = if relayed.is_some() { GRACE } else { TICK };
            leg.ear = Ear::Mix(Box::new(Mixing {
                mix,
                main: None,
                playing: Playing::Nothing,
                next_tick: now + first,
                waiting: None,
            }));
        }
        let Ear::Mix(mixing) = &mut leg.ear else { return };
        for (_, who) in &ids {
            mixing.mix.hear(*who, || Tap::fading_in(behind));
        }
        let kept: Vec<u64> = ids.iter().map(|(_, who)| *who).collect();
        mixing.mix.only(&kept);
        let main = ids.first().map(|(slot, _)| *slot);
        // Nobody left to hear: the voice that was relayed still clocks its own fading away.
        let main = main.or(relayed.filter(|_| fresh).map(|(slot, _)| slot));
        if mixing.main != main {
            mixing.main = main;
            mixing.waiting = None;
            mixing.next_tick = mixing.next_tick.min(now + GRACE);
        }
        if main.is_none() {
            // Nobody's packets to wait for: the tick goes on where the last main mouth stopped.
            mixing.next_tick = mixing.next_tick.min(now + TICK);
        }
        if mixing.playing != playing {
            mixing.playing = playing;
            mixing.mix.play(generator(playing, house));
        }
    }

    fn set_ear(&mut self, at: usize, ear: Ear) {
        if let Some(leg) = self.legs[at].as_deref_mut() {
            leg.ear = ear;
        }
    }

    /// Mouths are decoded while a mix listens to them, or soon will.
    fn plan_mouths(&mut self) {
        let mut wanted: Vec<u64> = self.hearing.warm().iter().map(|leg| leg.0).collect();
        for leg in self.legs.iter().flatten() {
            if let Ear::Mix(mixing) = &leg.ear {
                wanted.extend(mixing.mix.mouths());
            }
        }
        for leg in self.legs.iter_mut().flatten() {
            let Some(agreed) = &leg.agreed else { continue };
            if !wanted.contains(&leg.id.0) {
                leg.mouth = None;
            } else if leg.mouth.is_none() {
                leg.mouth = Some(Box::new(Mouth::new(codec(agreed))));
            }
        }
    }

    /// The table in force as the media path carries it out.
    pub(super) fn report(&self) -> AudioReport {
        let ears = self.legs.iter().flatten().map(|leg| {
            let (plan, mouths): (PlanKind, Vec<u64>) = match &leg.ear {
                Ear::Off => (PlanKind::Silence, Vec::new()),
                Ear::Relay(mouth) => {
                    (PlanKind::Relay, self.legs[*mouth].as_deref().map(|leg| leg.id.0).into_iter().collect())
                }
                Ear::Mix(mixing) => match mixing.playing {
                    Playing::Quiet => (PlanKind::Silence, Vec::new()),
                    Playing::Music => (PlanKind::Music, Vec::new()),
                    Playing::Ringback => (PlanKind::Ringback, Vec::new()),
                    Playing::Nothing => (PlanKind::Mix, mixing.mix.mouths().collect()),
                },
            };
            let mouths = mouths.into_iter().map(|who| MouthReport {
                leg: LegId(who),
                level_dbfs: self.mouth(who).map(Mouth::level_dbfs),
            });
            EarReport { leg: leg.id, plan, mouths: mouths.collect() }
        });
        AudioReport { generation: self.generation, ears: ears.collect() }
    }
}

/// A leg that enters a room: its id and the random beginnings of its line (RFC 3550 section 5.1).
#[derive(Debug, Clone, Copy)]
pub(super) struct Entering {
    pub(super) id: LegId,
    pub(super) ssrc: u32,
    pub(super) first_sequence: u16,
    pub(super) first_timestamp: u32,
}

/// A leg between two rooms.
pub(super) struct Moving(Box<Leg>);

impl Moving {
    /// Which leg.
    pub(super) fn id(&self) -> LegId {
        self.0.id
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Audio,
    Event,
    Noise,
}

impl Leg {
    fn kind_of(&self, payload_type: u8) -> Option<Kind> {
        let agreed = self.agreed.as_ref()?;
        if payload_type == agreed.receive_payload_type {
            Some(Kind::Audio)
        } else if agreed.telephone_event.is_some_and(|(_, receive)| receive == payload_type) {
            Some(Kind::Event)
        } else if payload_type == COMFORT_NOISE && agreed.comfort_noise {
            Some(Kind::Noise)
        } else {
            None
        }
    }

    fn mixing(&mut self) -> Option<&mut Mixing> {
        match &mut self.ear {
            Ear::Mix(mixing) => Some(mixing),
            Ear::Off | Ear::Relay(_) => None,
        }
    }

    /// One step of this leg's mix: in step with its main mouth, or by the tick. True if settled.
    fn mixed<'a>(
        &mut self,
        now: Instant,
        main: Option<(u64, &Header, Said)>,
        mouth: impl Fn(u64) -> Option<&'a Mouth>,
        at: usize,
        wire: &mut impl Wire,
    ) -> bool {
        let Ear::Mix(mixing) = &mut self.ear else { return false };
        let Some(agreed) = &self.agreed else { return false };
        let ptime_ms = u32::from(agreed.ptime_ms);
        let mut octets = [0; HEADER_BYTES + MAX_PAYLOAD];
        let mut payload = [0; MAX_PAYLOAD];
        mixing.next_tick = match main {
            Some(_) => now + GRACE,
            None if mixing.next_tick + TICK_LATE_MAX < now => now + TICK,
            None => mixing.next_tick + Duration::from_millis(u64::from(ptime_ms)),
        };
        let said = main.map(|(who, _, said)| (who, said));
        let in_step = main.filter(|(who, _, said)| {
            mouth(*who).is_some_and(|m| said.samples == m.rate().samples_in_ms(ptime_ms))
        });
        let target = self.latch.target();
        let busy = self.sending.is_some();
        let payload_type = agreed.send_payload_type;
        let units_per_ms = 8;
        match in_step {
            Some((who, header, _)) => {
                let length = mixing.mix.packet(said, ptime_ms, mouth, &mut payload);
                if let (Some(to), false) = (target, busy) {
                    let line = self.line.follow(now, who, header, payload_type, ptime_ms * units_per_ms);
                    send(&mut self.line, line, &payload[..length], &mut octets, at, to, wire);
                }
            }
            None => {
                mixing.mix.gather(said, ptime_ms, mouth);
                while let Some(length) = mixing.mix.whole(ptime_ms, &mut payload) {
                    if let (Some(to), false) = (target, busy) {
                        let line = self.line.make(now, MADE_HERE, payload_type, ptime_ms * units_per_ms);
                        send(&mut self.line, line, &payload[..length], &mut octets, at, to, wire);
                    }
                }
            }
        }
        mixing.mix.is_settled()
    }

    fn quality(&self) -> LegQuality {
        let concealed = self.mouth.as_ref().map_or(0, |mouth| mouth.filled_ms());
        LegQuality::of(&self.line, &self.receive, self.remote, concealed)
    }
}

/// Stands for the gateway itself as a source on a line; no leg has this id, because ids of legs are
/// drawn at random from all 64 bits and this one is never drawn twice.
const MADE_HERE: u64 = u64::MAX;

fn send(
    counted: &mut SendLine,
    line: Line,
    payload: &[u8],
    octets: &mut [u8; HEADER_BYTES + MAX_PAYLOAD],
    at: usize,
    to: SocketAddr,
    wire: &mut impl Wire,
) {
    let length = HEADER_BYTES + payload.len();
    octets[HEADER_BYTES..length].copy_from_slice(payload);
    stamp(octets, line);
    counted.count(payload.len());
    wire.rtp(at, to, &octets[..length]);
}

fn stamp(packet: &mut [u8], line: Line) {
    if let Some(header) = packet.first_chunk_mut::<HEADER_BYTES>() {
        write_header(header, line);
    }
}

fn generator(playing: Playing, house: &House) -> Option<Box<dyn Generator>> {
    match playing {
        Playing::Nothing => None,
        Playing::Quiet => Some(Box::new(Quiet)),
        Playing::Ringback => Some(Box::new(Ringback::new(house.ringback))),
        Playing::Music => Some(match &house.music {
            Music::BuiltIn => Box::new(Melody::default()),
            Music::Recording(recording) => Box::new(recording.clone()),
        }),
    }
}

pub(super) fn codec(agreed: &AgreedMedia) -> Codec {
    match agreed.codec {
        sbc_config::Codec::Pcmu => Codec::Pcmu,
        sbc_config::Codec::Pcma => Codec::Pcma,
        sbc_config::Codec::G722 => Codec::G722,
    }
}
