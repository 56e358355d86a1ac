//! Plans: the table of who hears whom, compiled into what each ear does with packets, without a step
//! in the sound where one plan gives way to another.

use std::time::{Duration, Instant};

use sidetone_media::frame::SampleRate;
use sidetone_media::mix::{Generator, Mix, Mouth, Tap};
use sidetone_media::tone::{HoldMusic, HoldTone, Loop, Ringback};

use crate::call::door::AgreedMedia;
use crate::call::hearing::Hears;

use super::leg::{Ear, Leg};
use super::mixing::{Mixing, Playing};
use super::{House, Music, Room, TICK};

/// Sound older than this is over: nothing goes on from it.
const FRESH: Duration = Duration::from_millis(100);

impl Room {
    /// Compiles the table into what each ear does with packets.
    pub(super) fn plan(&mut self, now: Instant, house: &House) {
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
        let mut to_be_relayed = false;
        if let ([mouth], true) = (&mouths[..], matches!(hears, Hears::One(_)))
            && self.relays(*mouth, at)
        {
            if self.may_relay_now(*mouth, at) {
                return self.set_ear(at, Ear::Relay(*mouth));
            }
            to_be_relayed = true;
        }
        let playing = match (&hears, mouths.is_empty()) {
            (Hears::Music, _) => Playing::Music,
            (Hears::Ringback, _) => Playing::Ringback,
            // Nothing to hear is sent as silence, so that the far end knows the line is alive.
            (_, true) => Playing::Quiet,
            (_, false) => Playing::Nothing,
        };
        self.mix_at(now, at, &agreed, &mouths, playing, house);
        if let Some(mixing) = self.legs[at].as_deref_mut().and_then(Leg::mixing) {
            mixing.under_way = to_be_relayed || !mixing.mix.is_settled();
        }
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
        let relayed = self.mix_in_place_of_relay(now, at, house);
        let Some(mut leg) = self.legs[at].take() else { return };
        self.mix_of(now, &mut leg, agreed, &ids, relayed, playing, house);
        self.legs[at] = Some(leg);
    }

    /// A relay turns into a mix that sounds the same. The mouth that was relayed, if one was.
    pub(super) fn mix_in_place_of_relay(&mut self, now: Instant, at: usize, house: &House) -> Option<usize> {
        let behind_ms_max = house.behind_ms_max;
        let leg = self.legs.get(at)?.as_deref()?;
        let (Ear::Relay(relayed), Some(agreed)) = (&leg.ear, &leg.agreed) else { return None };
        let (relayed, mut mix) = (*relayed, Mix::tuned(agreed.codec, house.tuning(agreed)));
        mix.expect_loss(leg.remote.map_or(0.0, |remote| remote.fraction_lost));
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
            let mut mix = Mix::tuned(agreed.codec, house.tuning(agreed));
            mix.expect_loss(leg.remote.map_or(0.0, |remote| remote.fraction_lost));
            leg.ear = Ear::Mix(Box::new(Mixing::new(mix, now + TICK)));
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
        // Nobody left to hear: the voice that was there still clocks its own fading away, however often the table is looked
        // at meanwhile.
        let fades = |slot: &usize| {
            self.legs[*slot].as_deref().is_some_and(|speaker| mixing.mix.tap(speaker.id.0).is_some())
        };
        let main = main.or(relayed).or(mixing.main.filter(fades));
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
            mixing.mix.play(generator(playing, house, self.music.as_ref(), agreed.codec.sample_rate()));
        }
    }

    fn set_ear(&mut self, at: usize, ear: Ear) {
        if let Some(leg) = self.legs[at].as_deref_mut() {
            leg.ear = ear;
        }
    }

    /// Nobody hears this mouth from now on; whoever did hears it fade away.
    pub(super) fn silence_mouth(&mut self, now: Instant, slot: usize, house: &House) {
        for at in 0..self.legs.len() {
            let relays =
                self.legs[at].as_deref().is_some_and(|leg| matches!(leg.ear, Ear::Relay(m) if m == slot));
            if relays {
                self.mix_in_place_of_relay(now, at, house);
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

    /// Mouths are decoded while a mix listens to them, or soon will.
    pub(super) fn plan_mouths(&mut self, now: Instant) {
        let mut wanted: Vec<u64> = self.hearing.warm().iter().map(|leg| leg.0).collect();
        for leg in self.legs.iter().flatten() {
            if let Ear::Mix(mixing) = &leg.ear {
                wanted.extend(mixing.mix.mouths());
            }
            wanted.extend(leg.listening.is_some().then_some(leg.id.0));
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
        let mut mouth = Mouth::new(agreed.codec);
        if let Some((at, header)) = &leg.last.at
            && now.saturating_duration_since(*at) <= FRESH
        {
            mouth.hear(*at, header, &leg.last.payload[..leg.last.length]);
        }
        leg.mouth = Some(Box::new(mouth));
    }
}

fn generator(
    playing: Playing,
    house: &House,
    music: Option<&Music>,
    rate: SampleRate,
) -> Option<Box<dyn Generator>> {
    match playing {
        Playing::Nothing | Playing::Quiet => None,
        Playing::Ringback => Some(Box::new(Ringback::new(rate, house.ringback))),
        Playing::Music => match music.unwrap_or(&house.music) {
            Music::BuiltIn => Some(Box::new(HoldMusic::new(rate))),
            Music::Recording(recording) => Some(Box::new(Loop::new(rate, recording))),
            Music::Tone => Some(Box::new(HoldTone::new(rate))),
            Music::Silence => None,
        },
    }
}
