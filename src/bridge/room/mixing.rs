//! An ear on mix: in step with the packets of its main mouth, with the companions' current sound.
//! The tick stands in where no packet comes.

use std::time::{Duration, Instant};

use sidetone_media::codec::MAX_PAYLOAD;
use sidetone_media::mix::{Mix, Mouth, Said};
use sidetone_media::stream::line::SendLine;
use sidetone_media::stream::rtp::{HEADER_BYTES, Header, Line};

use super::digits::PassedEvent;
use super::leg::{Ear, Leg, ptime};
use super::packets::stamp;
use super::protection::Protection;
use super::{Room, TICK, Wire};

/// A main mouth whose next packet is this much late no longer clocks its ear: the tick does.
const GRACE: Duration = Duration::from_millis(10);

/// On top of that, this many times its usual jitter is waited for, so that a mouth behind a bad
/// network is not cut into; but no longer than [`GRACE_MAX`].
const GRACE_JITTERS: f32 = 4.0;

/// The longest grace: a companion's voice waits that long too.
const GRACE_MAX: Duration = Duration::from_millis(50);

/// How long a mix may wait for a companion's packet that is due, to say it a frame earlier: what it costs
/// the main voice is a fifth of a frame at most, what it saves the companion nearly a whole one. It waits when the tap
/// is ready to move up to that packet, and not before: the one said instead would be a whole frame late.
const COMPANION_WAIT: Duration = Duration::from_millis(4);

/// How long when nothing of the companion's is left to say: without its packet, sound would be made up
/// and the companion be a frame behind from then on. Longer than [`COMPANION_WAIT`], so that a companion
/// at its edge does not go back and forth.
const COMPANION_WAIT_DRY: Duration = Duration::from_millis(6);

/// A companion's packet this late is still waited for, at its due time plus this. It is due by the arrival of the
/// one before, which may have been early by as much.
const COMPANION_LATE: Duration = Duration::from_millis(3);

/// A tick that is later than this does not run after the lost time.
const TICK_LATE_MAX: Duration = Duration::from_millis(100);

pub(super) struct Mixing {
    pub(super) mix: Mix,
    /// Whose packets clock it.
    pub(super) main: Option<usize>,
    /// What it plays of our own, so that the same is not begun anew.
    pub(super) playing: Playing,
    pub(super) next_tick: Instant,
    /// A plan is still on its way: when all has faded in and out, the table is compiled anew.
    pub(super) under_way: bool,
    /// A packet of the main mouth that waits a moment for a companion's.
    pub(super) waiting: Option<Waiting>,
    /// The newest packet that the tick made in the main mouth's place.
    pub(super) stood_in: Option<Instant>,
    /// The companion's event that is being passed on.
    pub(super) event: Option<PassedEvent>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Playing {
    Nothing,
    Quiet,
    Music,
    Ringback,
}

pub(super) struct Waiting {
    pub(super) header: Header,
    pub(super) said: Said,
    pub(super) until: Instant,
}

impl Room {
    /// The main mouth of a mixing ear has spoken. True if the ear can go back to relaying.
    pub(super) fn clocked(
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
    pub(super) fn grace(&self, main: usize) -> Duration {
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
    fn worth_waiting(&mut self, now: Instant, at: usize, main: usize, said: Said) -> Option<Instant> {
        let main = self.legs[main].as_deref()?.id.0;
        let mut leg = self.legs[at].take()?;
        let until = leg.mixing().zip(self.mouth(main)).and_then(|(mixing, clock)| {
            let companions = mixing.mix.taps().filter(|(who, _)| *who != main);
            let waits = companions.filter_map(|(who, tap)| {
                let mouth = self.mouth(who)?;
                let samples = said.samples * mouth.rate().hz() as usize / clock.rate().hz() as usize;
                let unread = tap.unread(mouth);
                let is_dry = unread < samples;
                let wait = if is_dry { COMPANION_WAIT_DRY } else { COMPANION_WAIT };
                let due = mouth.next_due()?;
                let is_near = due + COMPANION_LATE >= now && due <= now + wait && unread < 2 * samples;
                let waits = if is_dry { is_near } else { tap.is_worth_waiting(mouth, samples, is_near) };
                waits.then_some((due + COMPANION_LATE).min(now + wait))
            });
            waits.max()
        });
        self.legs[at] = Some(leg);
        until
    }

    pub(super) fn mouth(&self, who: u64) -> Option<&Mouth> {
        self.legs.iter().flatten().find(|leg| leg.id.0 == who)?.mouth.as_deref()
    }

    /// Sends what waits at an ear.
    pub(super) fn flush(&mut self, now: Instant, at: usize, wire: &mut impl Wire) {
        let Some(mixing) = self.legs[at].as_deref_mut().and_then(Leg::mixing) else { return };
        let (Some(waiting), Some(main)) = (mixing.waiting.take(), mixing.main) else { return };
        self.mix(now, at, main, &waiting.header, waiting.said, wire);
    }

    /// A companion has spoken: ears that waited for it wait no longer.
    pub(super) fn companions(&mut self, now: Instant, slot: usize, wire: &mut impl Wire) {
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

    /// One packet for a mixing ear, in step with its main mouth. True if the ear has settled.
    pub(super) fn mix(
        &mut self,
        now: Instant,
        at: usize,
        main: usize,
        header: &Header,
        said: Said,
        wire: &mut impl Wire,
    ) -> bool {
        let Some(speaker) = self.legs[main].as_deref() else { return false };
        let Some(clock) = speaker.agreed.as_ref().map(|agreed| agreed.codec.rtp_clock()) else {
            return false;
        };
        let who = speaker.id.0;
        let grace = self.grace(main);
        let Some(mut leg) = self.legs[at].take() else { return false };
        let main = Clocked { who, header, clock, said, grace };
        let settled = leg.mixed(now, Some(main), |who| self.mouth(who), at, wire);
        self.legs[at] = Some(leg);
        settled
    }
}

/// A packet of the main mouth, which clocks a mix.
pub(super) struct Clocked<'a> {
    who: u64,
    header: &'a Header,
    /// Units per second of its timestamps.
    clock: u32,
    said: Said,
    /// How long to wait for the next.
    grace: Duration,
}

impl Mixing {
    pub(super) fn new(mix: Mix, next_tick: Instant) -> Mixing {
        let playing = Playing::Nothing;
        let (waiting, stood_in, event) = (None, None, None);
        Mixing { mix, main: None, playing, next_tick, under_way: true, waiting, stood_in, event }
    }
}

impl Leg {
    /// One step of this leg's mix: in step with its main mouth, or by the tick. True if its plan was under way and has
    /// settled.
    pub(super) fn mixed<'a>(
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
        // A tick that is late makes the packet of its own time, so that what is caught up has no hole in it.
        let due = match &main {
            None if mixing.next_tick + TICK_LATE_MAX >= now => mixing.next_tick.min(now),
            _ => now,
        };
        mixing.next_tick = due + main.as_ref().map_or(ptime.duration(), |main| main.grace);
        mixing.stood_in = if main.is_none() { Some(now) } else { None };
        let said = main.as_ref().map(|main| (main.who, main.said));
        let in_step = main.filter(|main| {
            mouth(main.who).is_some_and(|m| main.said.samples == m.rate().samples_in_ms(ptime.ms()))
        });
        let target = self.latch.target().filter(|_| self.sending.is_none());
        let payload_type = agreed.send_payload_type;
        let units = agreed.codec.rtp_units(ptime);
        match in_step {
            Some(main) => {
                let length = mixing.mix.packet(said, ptime.ms(), mouth, &mut payload);
                match target {
                    Some(to) => {
                        if let Some(line) =
                            self.line.follow(now, main.who, main.header, main.clock, payload_type, units)
                        {
                            send(
                                &mut self.line,
                                line,
                                &payload[..length],
                                &mut octets,
                                &mut self.protection,
                                |octets| wire.rtp(at, to, octets),
                            );
                        }
                    }
                    None => self.line.omit(main.who, main.header),
                }
            }
            None => {
                mixing.mix.gather(said, ptime.ms(), mouth);
                while let Some(length) = mixing.mix.whole(ptime, &mut payload) {
                    if let Some(to) = target {
                        let line = self.line.make(due, MADE_HERE, payload_type, units);
                        send(
                            &mut self.line,
                            line,
                            &payload[..length],
                            &mut octets,
                            &mut self.protection,
                            |octets| wire.rtp(at, to, octets),
                        );
                    }
                }
            }
        }
        mixing.under_way && mixing.mix.is_settled()
    }
}

/// Stands for the gateway itself as a source on a line; no leg has this id, because ids of legs are
/// drawn at random from all 64 bits and this one is never drawn twice.
const MADE_HERE: u64 = u64::MAX;

pub(super) fn send(
    counted: &mut SendLine,
    line: Line,
    payload: &[u8],
    octets: &mut [u8; HEADER_BYTES + MAX_PAYLOAD],
    protection: &mut Protection,
    wire: impl FnOnce(&[u8]),
) {
    let length = HEADER_BYTES + payload.len();
    octets[HEADER_BYTES..length].copy_from_slice(payload);
    stamp(octets, line);
    counted.count(payload.len());
    protection.seal_rtp(&octets[..length], wire);
}
