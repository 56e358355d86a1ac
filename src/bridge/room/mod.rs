//! One call's media: packets in, packets out. Pure: the time is an argument, and packets leave
//! through a [`Wire`].
//!
//! ```text
//!   packet of leg M ──> opened ──> admitted? ──> counted ──> decoded, if a mix listens to M
//!                                                   │
//!                     for each ear whose table says M:
//!                        Relay ──> header rewritten, sent at once
//!                        Mix, M is its main mouth ──> M's packet + the others' current sound, sent at once
//!   tick ──> ears that nobody clocks: music, ringback, a mix whose main mouth is silent
//! ```
//!
//! [`packets`] is the packet path, [`mixing`] an ear on mix, [`digits`] what is keyed, [`protection`] SRTP;
//! [`plan`] turns the table into what each ear does.
//!
//! The room walks plans. Roles, tenants and SIP are unknown here: who is heard by whom comes in as
//! a [`Hearing`], which only the core can make.

mod digits;
mod leg;
mod listening;
mod mixing;
mod packets;
mod plan;
mod protection;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sidetone_media::answer::Heard;
use sidetone_media::codec::opus::Tuning;
use sidetone_media::mix::Mouth;
use sidetone_media::stream::event::Digits;
use sidetone_media::stream::line::SendLine;
use sidetone_media::stream::passing::Passing;
use sidetone_media::stream::receive::Receive;
use sidetone_media::stream::rtcp::Remote;
use sidetone_media::time::{RtpTimestamp, Sequence};

use crate::call::door::AgreedMedia;
use crate::call::hearing::Hears;
use crate::call::{CallId, Hearing, LegId};

use super::latch::Latch;
use super::{AudioReport, BridgeEvent, EarReport, LegQuality, MouthReport, Music, PlanKind};

use leg::{Ear, LastAudio, Leg, Score};
pub use listening::Listen;
use mixing::Playing;
use protection::Protection;
pub(super) use protection::SEALED_REPORT_BYTES;

/// The beat of ears that nobody else clocks.
const TICK: Duration = Duration::from_millis(20);

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
    pub(super) media_warn: Duration,
    pub(super) behind_ms_max: u32,
    pub(super) ringback: sidetone_media::tone::RingbackTone,
    pub(super) music: Music,
    pub(super) opus: Tuning,
}

impl House {
    /// How our Opus towards a leg is made.
    fn tuning(&self, agreed: &AgreedMedia) -> Tuning {
        self.opus.towards(agreed.opus)
    }
}

/// One call's media.
pub(super) struct Room {
    call: CallId,
    legs: Vec<Option<Box<Leg>>>,
    hearing: Hearing,
    generation: u64,
    /// What is heard on hold in place of the house's music.
    music: Option<Music>,
    /// An ear mixes or digits are being sent: there are times to keep.
    has_timers: bool,
}

impl Room {
    pub(super) fn new(call: CallId) -> Room {
        Room {
            call,
            legs: Vec::new(),
            hearing: Hearing::default(),
            generation: 0,
            music: None,
            has_timers: false,
        }
    }

    /// What those hear who are held from now on; the house's music where nothing is said.
    pub(super) fn hold_with(&mut self, music: Option<Music>) {
        self.music = music;
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
            protection: Protection::default(),
            line: SendLine::new(leg.ssrc, Sequence(leg.first_sequence), RtpTimestamp(leg.first_timestamp)),
            receive: Receive::new(),
            remote: None,
            digits: Digits::new(),
            passing: Passing::default(),
            sending: None,
            mouth: None,
            last: LastAudio::default(),
            ear: Ear::Off,
            last_packet: None,
            last_report: None,
            answered: None,
            missing: false,
            timed_out: false,
            first_told: false,
            listening: None,
            score: Score::new(now),
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
        self.mix_in_place_of_relay(now, slot, house);
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
        leg.protection.agree(agreed.keys.as_ref());
        if before.is_some() && leg.latch.locked() != before {
            wire.locked(slot, None);
        }
        let codec_changed = leg.agreed.as_ref().is_some_and(|old| old.codec != agreed.codec);
        if codec_changed {
            // Its mouth is decoded anew; and what it hears goes on in the other codec.
            self.silence_mouth(now, slot, house);
            self.mix_in_place_of_relay(now, slot, house);
        }
        let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_mut) else { return };
        if codec_changed {
            leg.last = LastAudio::default();
            if let Ear::Mix(mixing) = &mut leg.ear {
                mixing.mix.recode(agreed.codec, house.tuning(&agreed));
            }
        }
        if let Some(ssrc) = agreed.ssrc {
            leg.line.name(ssrc);
        }
        leg.line.set_clock(agreed.codec.rtp_clock());
        leg.receive.set_clock(agreed.codec.rtp_clock());
        leg.agreed = Some(agreed);
        leg.consume_digits = consume_digits;
        leg.last_packet = Some(now); // its media timeout begins anew
        (leg.missing, leg.timed_out) = (false, false);
        self.plan(now, house);
    }

    /// From now on a leg is missed when nothing comes from it: one that is rung with early media may say nothing for as long as
    /// it is rung.
    pub(super) fn answered(&mut self, now: Instant, slot: usize) {
        if let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_mut) {
            leg.answered = Some(now);
            (leg.missing, leg.timed_out) = (false, false);
        }
    }

    /// The table in force from now on; the one before is returned.
    pub(super) fn set_hearing(
        &mut self,
        now: Instant,
        generation: u64,
        hearing: Hearing,
        house: &House,
    ) -> Hearing {
        let before = std::mem::replace(&mut self.hearing, hearing);
        self.generation = generation;
        self.plan(now, house);
        before
    }

    /// What the table in force lets a leg hear.
    pub(super) fn hears(&self, leg: LegId) -> &Hears {
        self.hearing.hears(leg)
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

    /// Once a second: whose sound is missing, whose media has stopped, and whose sounds other than it did?
    pub(super) fn sweep(&mut self, now: Instant, house: &House, events: &mut Vec<BridgeEvent>) {
        for leg in self.legs.iter_mut().flatten() {
            let expects = leg.agreed.as_ref().is_some_and(|agreed| agreed.receives);
            let expects = expects && leg.answered.is_some();
            let heard = leg.last_packet.max(leg.answered).unwrap_or(now);
            let missing = expects && now.saturating_duration_since(heard) >= house.media_warn;
            if missing != leg.missing {
                leg.missing = missing;
                events.push(BridgeEvent::MediaMissing { call: self.call, leg: leg.id, missing });
            }
            // Who is muted may send nothing but reports, and is there.
            let alive = leg.last_report.map_or(heard, |report| report.max(heard));
            if expects && !leg.timed_out && now.saturating_duration_since(alive) >= house.media_timeout {
                leg.timed_out = true;
                events.push(BridgeEvent::MediaTimeout { call: self.call, leg: leg.id });
            }
            if let Some((quality, is_news)) = leg.score(now) {
                events.push(BridgeEvent::Quality { call: self.call, leg: leg.id, quality, is_news });
            }
            if leg.listening.as_ref().is_some_and(|listening| listening.is_over(now)) {
                leg.listening = None;
                events.push(BridgeEvent::Screened { call: self.call, leg: leg.id, heard: Heard::Nothing });
            }
        }
    }

    /// The sender line and receive state of a leg, for its RTCP.
    pub(super) fn rtcp_parts(&mut self, slot: usize) -> Option<(&SendLine, &mut Receive)> {
        let leg = self.legs.get_mut(slot)?.as_deref_mut()?;
        Some((&leg.line, &mut leg.receive))
    }

    /// A compound that came for a leg, as it was before it was sealed: how long it is. `None` unless it is the far
    /// end's, by its tag or, in plain RTP, by its address.
    pub(super) fn open_rtcp(&mut self, slot: usize, octets: &mut [u8], from: SocketAddr) -> Option<usize> {
        let expected = self.rtcp_target(slot);
        let leg = self.legs.get_mut(slot)?.as_deref_mut()?;
        let length = leg.protection.open_rtcp(octets)?;
        (leg.protection.is_on() || expected == Some(from)).then_some(length)
    }

    /// Seals a report of ours; its new length, or `None` if it must not be sent.
    pub(super) fn seal_rtcp(&mut self, slot: usize, octets: &mut [u8], length: usize) -> Option<usize> {
        self.legs.get_mut(slot)?.as_deref_mut()?.protection.seal_rtcp(octets, length)
    }

    /// Whether a leg's RTCP shares the port of its RTP (RFC 5761).
    pub(super) fn shares_port(&self, slot: usize) -> bool {
        let leg = self.legs.get(slot).and_then(Option::as_deref);
        leg.and_then(|leg| leg.agreed.as_ref()).is_some_and(|agreed| agreed.rtcp_mux)
    }

    /// A report of a leg's far end has come.
    pub(super) fn note_report(&mut self, now: Instant, slot: usize) {
        if let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_deref_mut) {
            leg.last_report = Some(now);
        }
    }

    /// What the far end reports of our line to it.
    pub(super) fn note_remote(&mut self, slot: usize, remote: Remote) {
        if let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_deref_mut) {
            leg.remote = Some(remote);
            if let Ear::Mix(mixing) = &mut leg.ear {
                mixing.mix.expect_loss(remote.fraction_lost);
            }
        }
    }

    /// Where a leg's RTCP goes, and whether its RTP peer is known.
    pub(super) fn rtcp_target(&self, slot: usize) -> Option<SocketAddr> {
        let leg = self.legs.get(slot)?.as_deref()?;
        let agreed = leg.agreed.as_ref()?;
        let signalled = agreed.remote_rtcp?;
        if agreed.rtcp_mux {
            return leg.latch.target();
        }
        match leg.latch.locked() {
            // Behind a translator the description's address is private; RTCP goes beside the RTP.
            Some(locked) if locked.ip() != signalled.ip() => {
                Some(SocketAddr::new(locked.ip(), locked.port().checked_add(1)?))
            }
            _ => Some(signalled),
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
