//! Trunks as lists of destinations: which of them live, which are to be asked, and which a call tries in what order.

mod health;
mod register;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sbc_config::{Config, Destination, Trunk, TrunkId};

use super::endpoint::{OptionsId, OptionsOutcome};
use crate::call::door::Report;
use crate::random::Random;
use health::Health;

pub(super) use health::{Heard, Standing};
pub(super) use register::{Account, Registrations, Step};

/// How often the configuration is looked at for trunks that are new.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// OPTIONS come by up to this part of the interval early, so that a hundred trunks are not asked in one breath.
const JITTER: f64 = 0.1;

/// Health of all trunks.
#[derive(Debug)]
pub(super) struct Trunks {
    look_at: Instant,
    known: HashMap<TrunkId, Known>,
    waiting: HashMap<OptionsId, (TrunkId, Destination)>,
}

#[derive(Debug)]
struct Known {
    /// What the switchboard was told.
    up: Option<bool>,
    lines: Vec<Line>,
    /// Whether we are registered, where that is wanted; `None` inside is not known yet.
    registered: Option<Option<bool>>,
    asked: bool,
    rest_max: Duration,
}

/// One destination.
#[derive(Debug)]
struct Line {
    destination: Destination,
    next: Option<Instant>,
    health: Health,
}

impl Trunks {
    /// Nothing is known yet; the first look is due.
    pub(super) fn new(now: Instant) -> Trunks {
        Trunks { look_at: now, known: HashMap::new(), waiting: HashMap::new() }
    }

    /// The destinations to ask now. What is no longer configured is forgotten, what is new is asked at once.
    pub(super) fn due(
        &mut self,
        now: Instant,
        config: &Config,
        random: &mut Random,
    ) -> Vec<(TrunkId, Destination)> {
        if now >= self.look_at {
            self.look_at = now + LOOK_EVERY;
        }
        self.known.retain(|id, _| config.trunk(id).is_some_and(|trunk| !trunk.destinations.is_empty()));
        let mut due = Vec::new();
        for trunk in config.trunks.iter().filter(|trunk| !trunk.destinations.is_empty()) {
            let known = self.known.entry(trunk.id.clone()).or_insert_with(Known::new);
            known.configure(now, trunk);
            for line in &mut known.lines {
                if let (Some(interval), Some(at)) = (trunk.options_interval, line.next)
                    && at <= now
                {
                    let early = (random.below(1_000) as f64) / 1_000.0 * JITTER;
                    line.next = Some(now + interval.mul_f64(1.0 - early));
                    due.push((trunk.id.clone(), line.destination.clone()));
                }
            }
        }
        due
    }

    /// When the next destination is to be asked, or trunks looked for.
    pub(super) fn next(&self) -> Instant {
        let lines = self.known.values().flat_map(|known| &known.lines);
        lines.filter_map(|line| line.next).fold(self.look_at, Instant::min)
    }

    pub(super) fn asked(&mut self, id: OptionsId, trunk: &TrunkId, destination: &Destination) {
        self.waiting.insert(id, (trunk.clone(), destination.clone()));
    }

    /// Whose answer this is, and what it says.
    pub(super) fn answered(
        &mut self,
        id: OptionsId,
        outcome: OptionsOutcome,
    ) -> Option<(TrunkId, Destination, Heard)> {
        let (trunk, destination) = self.waiting.remove(&id)?;
        let heard = match outcome {
            OptionsOutcome::Answered { status, retry_after, .. } => Heard::Answer(status, retry_after),
            OptionsOutcome::TimedOut => Heard::Silence,
            OptionsOutcome::Unreachable => Heard::NoWay,
        };
        Some((trunk, destination, heard))
    }

    /// What was heard of a destination. Gives word when the trunk as a whole turns.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        trunk: &TrunkId,
        destination: &Destination,
        heard: Heard,
        detail: &str,
    ) -> Option<Report> {
        let known = self.known.get_mut(trunk)?;
        let line = known.lines.iter_mut().find(|line| line.destination == *destination)?;
        let before = line.health.is_up(now);
        line.health.hear(now, heard, known.rest_max, known.asked);
        let after = line.health.is_up(now);
        if before != after && after.is_some() {
            tracing::info!(%trunk, %destination, up = after, detail, "a destination of a trunk turned");
        }
        known.turned(now, trunk, || format!("{destination}: {detail}"))
    }

    /// How a registration stands. Gives word when the trunk as a whole turns.
    pub(super) fn registered(
        &mut self,
        now: Instant,
        trunk: &TrunkId,
        up: bool,
        detail: &str,
    ) -> Option<Report> {
        let known = self.known.get_mut(trunk)?;
        if !up {
            tracing::warn!(%trunk, detail, "a trunk is not registered");
        }
        known.registered = Some(Some(up));
        known.turned(now, trunk, || detail.to_owned())
    }

    /// The destinations a call tries, in order: those that live as the file has them, then those of which nobody knows
    /// better than that they failed. One that asked to be left alone is left alone.
    pub(super) fn candidates(&self, now: Instant, trunk: &Trunk) -> Vec<Destination> {
        let standing = |destination: &Destination| {
            let known = self.known.get(&trunk.id);
            let line = known.and_then(|known| known.lines.iter().find(|l| l.destination == *destination));
            line.map_or(Standing::Good, |line| line.health.standing(now))
        };
        let mut all: Vec<_> = trunk.destinations.iter().map(|d| (standing(d), d)).collect();
        all.retain(|(standing, _)| *standing != Standing::Resting);
        all.sort_by_key(|(standing, _)| *standing); // stable: the order of the file within a standing
        all.into_iter().map(|(_, destination)| destination.clone()).collect()
    }
}

impl Known {
    fn new() -> Known {
        Known { up: None, lines: Vec::new(), registered: None, asked: false, rest_max: Duration::ZERO }
    }

    fn configure(&mut self, now: Instant, trunk: &Trunk) {
        self.asked = trunk.options_interval.is_some();
        self.registered = trunk.register.as_ref().map(|_| self.registered.flatten());
        self.rest_max = trunk.retry_after_max;
        self.lines.retain(|line| trunk.destinations.contains(&line.destination));
        for destination in &trunk.destinations {
            if self.lines.iter().all(|line| line.destination != *destination) {
                self.lines.push(Line { destination: destination.clone(), next: None, health: Health::NEW });
            }
        }
        for line in &mut self.lines {
            // Asking begins at once, also when the setting has only just come; a shorter interval counts from now.
            line.next = trunk.options_interval.map(|interval| {
                let next = line.next.unwrap_or(now).min(now + interval);
                // One that rests is asked again when its rest is over, and not before.
                line.health.wakes().map_or(next, |wakes| next.max(wakes))
            });
        }
    }

    /// Word of the trunk as a whole, if that is news.
    fn turned(&mut self, now: Instant, trunk: &TrunkId, detail: impl FnOnce() -> String) -> Option<Report> {
        let up = self.is_up(now)?;
        (self.up.replace(up) != Some(up)).then(|| Report::Trunk {
            trunk: trunk.clone(),
            up,
            detail: detail(),
        })
    }

    /// Up when one of them is, down when all of them are. Where we register, nothing is up without that.
    fn is_up(&self, now: Instant) -> Option<bool> {
        let any = |is: Option<bool>| self.lines.iter().any(|line| line.health.is_up(now) == is);
        let lines = if any(Some(true)) { Some(true) } else { (!any(None)).then_some(false) };
        match self.registered {
            None => lines,
            Some(None) => None,
            Some(Some(false)) => Some(false),
            Some(Some(true)) => lines.or(Some(true)),
        }
    }
}
