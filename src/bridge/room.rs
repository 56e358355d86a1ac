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
use sidetone_media::frame::{Ptime, SampleRate};
use sidetone_media::mix::{Generator, Mix, Mouth, Said, Tap};
use sidetone_media::stream::event::{Digits, SendDigits};
use sidetone_media::stream::line::SendLine;
use sidetone_media::stream::receive::{Arrived, Receive};
use sidetone_media::stream::rtcp::Remote;
use sidetone_media::stream::rtp::{HEADER_BYTES, Header, Line, write_header};
use sidetone_media::time::{RtpTimestamp, Sequence};
use sidetone_media::tone::{HoldMusic, Loop, Ringback};

use crate::call::door::AgreedMedia;
use crate::call::hearing::Hears;
use crate::call::{CallId, Hearing, LegId};

use super::latch::Latch;
use super::{AudioReport, BridgeEvent, EarReport, LegQuality, MouthReport, Music, PlanKind};

/// The beat of ears that nobody else clocks.
const TICK: Duration = Duration::from_millis(20);

/// A main mouth whose next packet is this much late no longer clocks its ear: the tick does.
const GRACE: Duration = Duration::from_millis(10);

/// On top of that, this many times its usual jitter is waited for, so that a mouth behind a bad
/// network is not cut into; but no longer than [`GRACE_MAX`].
const GRACE_JITTERS: f32 = 4.0;

/// The longest grace: a companion's voice waits that long too.
const GRACE_MAX: Duration = Duration::from_millis(50);

/// While telephone-events come, no audio does: their packets are up to 50 ms apart.
const EVENT_GRACE: Duration = Duration::from_millis(70);

/// Sound older than this is over: nothing goes on from it.
const FRESH: Duration = Duration::from_millis(100);

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
    /// An ear mixes or digits are being sent: there are times to keep.
    has_timers: bool,
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
    last: LastAudio,
    ear: Ear,
    last_packet: Option<Instant>,
    opened: Instant,
    timed_out: bool,
    first_told: bool,
}

/// The newest audio packet of a leg. Relayed voices are not decoded; when one becomes part of a mix,
/// or ends, its sound goes on from here.
struct LastAudio {
    at: Option<(Instant, Header)>,
    payload: [u8; MAX_PAYLOAD],
    length: usize,
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
    /// The newest packet that the tick made in the main mouth's place.
    stood_in: Option<Instant>,
    /// The companion's event that is being passed on.
    event: Option<PassedEvent>,
}

/// An event put in between the packets of a mix: its beginning in its sender's time and in ours.
#[derive(Clone, Copy)]
struct PassedEvent {
    from: usize,
    theirs: RtpTimestamp,
    ours: RtpTimestamp,
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
        Room { call, legs: Vec::new(), hearing: Hearing::default(), generation: 0, has_timers: false }
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
            last: LastAudio::default(),
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
        // What it heard here fades away in its first packet there.
        self.mix_in_place_of_relay(now, slot, house.behind_ms_max);
        let mut ear = std::mem::replace(&mut self.legs.get_mut(slot)?.as_mut()?.ear, Ear::Off);
        if let Ear::Mix(mixing) = &mut ear {
            for who in mixing.mix.mouths().collect::<Vec<_>>() {
                mixing.mix.drop_mouth(who, self.mouth(who));
            }
            (mixing.main, mixing.waiting, mixing.event) = (None, None, None);
        }
        let mut leg = self.take_out(now, slot, house)?;
        leg.ear = ear;
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
        self.silence_mouth(now, slot, house);
        let leg = self.legs.get_mut(slot)?.take()?;
        self.plan(now, house);
        Some(leg)
    }

    /// Nobody hears this mouth from now on; whoever did hears it fade away.
    fn silence_mouth(&mut self, now: Instant, slot: usize, house: &House) {
        for at in 0..self.legs.len() {
            let relays =
                self.legs[at].as_deref().is_some_and(|leg| matches!(leg.ear, Ear::Relay(m) if m == slot));
            if relays {
                self.mix_in_place_of_relay(now, at, house.behind_ms_max);
            }
        }
        let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_mut) else { return };
        let (id, mouth) = (leg.id.0, leg.mouth.take());
        for mixing in self.legs.iter_mut().flatten().filter_map(|leg| leg.mixing()) {
            mixing.mix.drop_mouth(id, mouth.as_deref());
            if mixing.main == Some(slot) {
                mixing.main = None;
                mixing.waiting = None;
            }
            if mixing.event.is_some_and(|event| event.from == slot) {
                mixing.event = None;
            }
        }
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
        let codec_changed = leg.agreed.as_ref().is_some_and(|old| old.codec != agreed.codec);
        if codec_changed {
            // Its mouth is decoded anew; and what it hears goes on in the other codec.
            self.silence_mouth(now, slot, house);
            self.mix_in_place_of_relay(now, slot, house.behind_ms_max);
        }
        let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_mut) else { return };
        if codec_changed {
            leg.last = LastAudio::default();
            if let Ear::Mix(mixing) = &mut leg.ear {
                mixing.mix.recode(codec(&agreed));
            }
        }
        leg.agreed = Some(agreed);
        leg.consume_digits = consume_digits;
        leg.last_packet = Some(now); // its media timeout begins anew
        leg.timed_out = false;
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
        self.has_timers = true;
    }

    // --- the packet path

    /// A packet has come for a leg.
    #[expect(clippy::too_many_arguments, reason = "the packet path passes what it has, and builds nothing")]
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
        let Some(speaker) = self.legs[from].as_deref() else { return };
        let (who, consumed) = (speaker.id.0, speaker.consume_digits && kind == Kind::Event);
        let Some(leg) = self.legs[at].as_deref_mut() else { return };
        let (Some(agreed), Some(to)) = (&leg.agreed, leg.latch.target()) else { return };
        let place = match kind {
            Kind::Audio => {
                Some((agreed.send_payload_type, codec(agreed).rtp_units_of(packet.len() - HEADER_BYTES)))
            }
            Kind::Noise => agreed.comfort_noise.then_some((COMFORT_NOISE, 0)),
            Kind::Event => agreed.telephone_event.filter(|_| !consumed).map(|(send, _)| (send, 0)),
        };
        // While our digits have the line, audio pauses (RFC 4733 section 2.1 lets it).
        let Some((payload_type, units)) = place.filter(|_| leg.sending.is_none()) else {
            return leg.line.omit(who, header);
        };
        let Some(line) = leg.line.follow(now, who, header, payload_type, units) else { return };
        leg.line.count(packet.len() - HEADER_BYTES);
        stamp(packet, line);
        wire.rtp(at, to, packet);
    }

    /// Passes on an event of a mouth that is mixed in and does not clock the ear.
    fn put_between(
        &mut self,
        now: Instant,
        at: usize,
        from: usize,
        header: &Header,
        packet: &mut [u8],
        wire: &mut impl Wire,
    ) {
        if self.legs[from].as_deref().is_none_or(|speaker| speaker.consume_digits) {
            return;
        }
        let Some(leg) = self.legs[at].as_deref_mut() else { return };
        let Some((payload_type, _)) = leg.agreed.as_ref().and_then(|agreed| agreed.telephone_event) else {
            return;
        };
        let (Some(to), None, Ear::Mix(mixing)) = (leg.latch.target(), &leg.sending, &mut leg.ear) else {
            return;
        };
        let event = match mixing.event {
            Some(event) if event.from == from && event.theirs == header.timestamp => event,
            _ => PassedEvent { from, theirs: header.timestamp, ours: leg.line.timestamp_at(now) },
        };
        mixing.event = Some(event);
        let line = leg.line.insert(now, header.marker, payload_type, event.ours);
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
        let grace = self.grace(main);
        if let Some(mixing) = self.legs[at].as_deref_mut().and_then(Leg::mixing)
            && let Some(made) = mixing.stood_in.take()
            && now < made + self.period(main) / 2
        {
            // The tick has just filled this packet's place. It is kept for the tap; the line goes on
            // with the next one, and so stays as long as the time it tells of.
            if let Some(mixing) = self.legs[at].as_deref_mut().and_then(Leg::mixing) {
                mixing.next_tick = now + grace;
            }
            return false;
        }
        if let Some(until) = self.worth_waiting(now, at, main, said)
            && let Some(mixing) = self.legs[at].as_deref_mut().and_then(Leg::mixing)
        {
            mixing.waiting = Some(Waiting { header: *header, said, until });
            mixing.next_tick = until;
            return false;
        }
        self.mix(now, at, main, header, said, wire)
    }

    /// How long after a packet of this mouth the tick takes over.
    fn grace(&self, main: usize) -> Duration {
        let jitter_ms = self.legs[main].as_deref().map_or(0.0, |leg| leg.receive.jitter_ms());
        let jitter = Duration::from_secs_f32((GRACE_JITTERS * jitter_ms / 1000.0).clamp(0.0, 1.0));
        self.period(main) + (GRACE + jitter).min(GRACE_MAX)
    }

    /// How long a packet of this mouth sounds.
    fn period(&self, slot: usize) -> Duration {
        let leg = self.legs[slot].as_deref();
        let spoken = leg.and_then(|leg| leg.mouth.as_deref()).map(Mouth::period);
        let agreed = leg.and_then(|leg| leg.agreed.as_ref());
        spoken.or_else(|| agreed.map(|agreed| ptime(agreed).duration())).unwrap_or(TICK)
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
            (near && tap.unread(mouth) < 2 * samples).then_some(due)
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
        let grace = self.grace(main);
        let Some(mut leg) = self.legs[at].take() else { return false };
        let main = Clocked { who: main_id.0, header, said, grace };
        let settled = leg.mixed(now, Some(main), |who| self.mouth(who), at, wire);
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
        self.note_timers();
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
        if !self.has_timers {
            return None;
        }
        let ears = self.legs.iter().flatten().filter_map(|leg| match &leg.ear {
            Ear::Mix(mixing) => Some(mixing.next_tick),
            Ear::Off | Ear::Relay(_) => None,
        });
        let digits = self.legs.iter().flatten().filter_map(|leg| leg.sending.as_ref().map(|s| s.next));
        ears.chain(digits).min()
    }

    fn note_timers(&mut self) {
        self.has_timers =
            self.legs.iter().flatten().any(|leg| leg.sending.is_some() || matches!(leg.ear, Ear::Mix(_)));
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
        self.plan_mouths(now);
        self.note_timers();
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
                let settled = mixing.mix.is_settled() && mixing.waiting.is_none();
                let same = mixing.playing == Playing::Nothing
                    && mixing.main == Some(mouth)
                    && mixing.mix.mouths().eq([who]);
                let nothing_yet =
                    mixing.playing == Playing::Quiet && mixing.mix.mouths().next().is_none() && !speaks;
                settled && (same || nothing_yet)
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
        ids.iter().for_each(|(mouth, _)| self.open_mouth(now, *mouth));
        let relayed = self.mix_in_place_of_relay(now, at, house.behind_ms_max);
        let Some(mut leg) = self.legs[at].take() else { return };
        self.mix_of(now, &mut leg, agreed, &ids, relayed, playing, house);
        self.legs[at] = Some(leg);
    }

    /// A relay turns into a mix that sounds the same. The mouth that was relayed, if one was.
    fn mix_in_place_of_relay(&mut self, now: Instant, at: usize, behind_ms_max: u32) -> Option<usize> {
        let leg = self.legs.get(at)?.as_deref()?;
        let (Ear::Relay(relayed), Some(agreed)) = (&leg.ear, &leg.agreed) else { return None };
        let (relayed, mut mix) = (*relayed, Mix::new(codec(agreed)));
        self.open_mouth(now, relayed);
        let speaker = self.legs[relayed].as_deref()?;
        let sounds = speaker.last.at.is_some_and(|(at, _)| now.saturating_duration_since(at) <= FRESH);
        match speaker.mouth.as_deref() {
            Some(mouth) if sounds => mix.take_over(speaker.id.0, mouth, behind_ms_max),
            Some(mouth) => mix.hear(speaker.id.0, || Tap::fading_in(mouth, behind_ms_max)),
            None => {}
        }
        // It goes on at the pace of the packets that were relayed.
        let since = speaker.last.at.map_or(now, |(at, _)| at);
        let next_tick = (since + self.grace(relayed)).max(now);
        self.set_ear(at, Ear::Mix(Box::new(Mixing { main: Some(relayed), ..Mixing::new(mix, next_tick) })));
        Some(relayed)
    }

    #[expect(clippy::too_many_arguments, reason = "a plan has this many sides")]
    fn mix_of(
        &self,
        now: Instant,
        leg: &mut Leg,
        agreed: &AgreedMedia,
        ids: &[(usize, u64)],
        relayed: Option<usize>,
        playing: Playing,
        house: &House,
    ) {
        if !matches!(leg.ear, Ear::Mix(_)) {
            leg.ear = Ear::Mix(Box::new(Mixing::new(Mix::new(codec(agreed)), now + TICK)));
        }
        let Ear::Mix(mixing) = &mut leg.ear else { return };
        for (_, who) in ids {
            if let Some(mouth) = self.mouth(*who) {
                mixing.mix.hear(*who, || Tap::fading_in(mouth, house.behind_ms_max));
            }
        }
        let kept: Vec<u64> = ids.iter().map(|(_, who)| *who).collect();
        mixing.mix.only(&kept);
        let main = ids.first().map(|(slot, _)| *slot);
        // Nobody left to hear: the voice that was relayed still clocks its own fading away.
        let main = main.or(relayed);
        if mixing.main != main {
            mixing.main = main;
            mixing.waiting = None;
            mixing.next_tick = mixing.next_tick.min(now + main.map_or(TICK, |main| self.grace(main)));
        }
        if main.is_none() {
            // Nobody's packets to wait for: the tick goes on where the last main mouth stopped.
            mixing.next_tick = mixing.next_tick.min(now + TICK);
        }
        if mixing.playing != playing {
            mixing.playing = playing;
            mixing.mix.play(generator(playing, house, codec(agreed).sample_rate()));
        }
    }

    fn set_ear(&mut self, at: usize, ear: Ear) {
        if let Some(leg) = self.legs[at].as_deref_mut() {
            leg.ear = ear;
        }
    }

    /// Mouths are decoded while a mix listens to them, or soon will.
    fn plan_mouths(&mut self, now: Instant) {
        let mut wanted: Vec<u64> = self.hearing.warm().iter().map(|leg| leg.0).collect();
        for leg in self.legs.iter().flatten() {
            if let Ear::Mix(mixing) = &leg.ear {
                wanted.extend(mixing.mix.mouths());
            }
        }
        for at in 0..self.legs.len() {
            match self.legs[at].as_deref_mut() {
                Some(leg) if !wanted.contains(&leg.id.0) => leg.mouth = None,
                Some(_) => self.open_mouth(now, at),
                None => {}
            }
        }
    }

    /// Has a mouth decoded from now on, beginning with its newest packet.
    fn open_mouth(&mut self, now: Instant, slot: usize) {
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        let (None, Some(agreed)) = (&leg.mouth, &leg.agreed) else { return };
        let mut mouth = Mouth::new(codec(agreed));
        if let Some((at, header)) = &leg.last.at
            && now.saturating_duration_since(*at) <= FRESH
        {
            mouth.hear(*at, header, &leg.last.payload[..leg.last.length]);
        }
        leg.mouth = Some(Box::new(mouth));
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

/// A packet of the main mouth, which clocks a mix.
struct Clocked<'a> {
    who: u64,
    header: &'a Header,
    said: Said,
    /// How long to wait for the next.
    grace: Duration,
}

impl Default for LastAudio {
    fn default() -> Self {
        LastAudio { at: None, payload: [0; MAX_PAYLOAD], length: 0 }
    }
}

impl LastAudio {
    fn note(&mut self, now: Instant, header: &Header, payload: &[u8]) {
        let Some(place) = self.payload.get_mut(..payload.len()) else { return };
        place.copy_from_slice(payload);
        self.length = payload.len();
        self.at = Some((now, *header));
    }
}

impl Mixing {
    fn new(mix: Mix, next_tick: Instant) -> Mixing {
        let playing = Playing::Nothing;
        Mixing { mix, main: None, playing, next_tick, waiting: None, stood_in: None, event: None }
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
        main: Option<Clocked<'_>>,
        mouth: impl Fn(u64) -> Option<&'a Mouth>,
        at: usize,
        wire: &mut impl Wire,
    ) -> bool {
        let Ear::Mix(mixing) = &mut self.ear else { return false };
        let Some(agreed) = &self.agreed else { return false };
        let ptime = ptime(agreed);
        let mut octets = [0; HEADER_BYTES + MAX_PAYLOAD];
        let mut payload = [0; MAX_PAYLOAD];
        mixing.next_tick = match &main {
            Some(main) => now + main.grace,
            None if mixing.next_tick + TICK_LATE_MAX < now => now + ptime.duration(),
            None => mixing.next_tick + ptime.duration(),
        };
        mixing.stood_in = if main.is_none() { Some(now) } else { None };
        let said = main.as_ref().map(|main| (main.who, main.said));
        let in_step = main.filter(|main| {
            mouth(main.who).is_some_and(|m| main.said.samples == m.rate().samples_in_ms(ptime.ms()))
        });
        let target = self.latch.target().filter(|_| self.sending.is_none());
        let payload_type = agreed.send_payload_type;
        let units = codec(agreed).rtp_units(ptime);
        match in_step {
            Some(main) => {
                let length = mixing.mix.packet(said, ptime.ms(), mouth, &mut payload);
                match target {
                    Some(to) => {
                        if let Some(line) = self.line.follow(now, main.who, main.header, payload_type, units)
                        {
                            send(&mut self.line, line, &payload[..length], &mut octets, at, to, wire);
                        }
                    }
                    None => self.line.omit(main.who, main.header),
                }
            }
            None => {
                mixing.mix.gather(said, ptime.ms(), mouth);
                while let Some(length) = mixing.mix.whole(ptime, &mut payload) {
                    if let Some(to) = target {
                        let line = self.line.make(now, MADE_HERE, payload_type, units);
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

fn generator(playing: Playing, house: &House, rate: SampleRate) -> Option<Box<dyn Generator>> {
    match playing {
        Playing::Nothing | Playing::Quiet => None,
        Playing::Ringback => Some(Box::new(Ringback::new(rate, house.ringback))),
        Playing::Music => Some(match &house.music {
            Music::BuiltIn => Box::new(HoldMusic::new(rate)),
            Music::Recording(recording) => Box::new(Loop::new(rate, recording)),
        }),
    }
}

fn ptime(agreed: &AgreedMedia) -> Ptime {
    Ptime::from_ms(agreed.ptime_ms.into()).unwrap_or_default()
}

pub(super) fn codec(agreed: &AgreedMedia) -> Codec {
    match agreed.codec {
        sbc_config::Codec::Pcmu => Codec::Pcmu,
        sbc_config::Codec::Pcma => Codec::Pcma,
        sbc_config::Codec::G722 => Codec::G722,
    }
}
