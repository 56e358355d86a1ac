//! Whether trunks live: OPTIONS asked at intervals, and what the answers say.
//!
//! ```text
//!   unknown ──answer──> up ──3 silences in a row, or 503──> down ──answer──> up
//! ```

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sbc_config::{Config, Trunk, TrunkId};

use crate::call::door::Report;

use super::endpoint::{OptionsId, OptionsOutcome};

/// Silences in a row after which a trunk counts as down: one lost packet is not an outage.
const SILENCES_MAX: u32 = 3;

/// How often the configuration is looked at for trunks that are new.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Health of the trunks that are asked.
#[derive(Debug)]
pub(super) struct Trunks {
    look_at: Instant,
    known: HashMap<TrunkId, Health>,
    waiting: HashMap<OptionsId, TrunkId>,
}

#[derive(Debug)]
struct Health {
    next: Instant,
    interval: Duration,
    up: Option<bool>,
    silences: u32,
}

impl Trunks {
    /// Nothing is known yet; the first look is due.
    pub(super) fn new(now: Instant) -> Trunks {
        Trunks { look_at: now, known: HashMap::new(), waiting: HashMap::new() }
    }

    /// The trunks to ask now. Those no longer configured are forgotten, new ones are asked at once.
    pub(super) fn due(&mut self, now: Instant, config: &Config) -> Vec<Trunk> {
        if now >= self.look_at {
            self.look_at = now + LOOK_EVERY;
        }
        self.known.retain(|id, _| config.trunk(id).is_some_and(|trunk| trunk.options_interval.is_some()));
        let mut due = Vec::new();
        for trunk in &config.trunks {
            let Some(interval) = trunk.options_interval else { continue };
            let health = self.known.entry(trunk.id.clone()).or_insert(Health {
                next: now,
                interval,
                up: None,
                silences: 0,
            });
            health.interval = interval;
            if health.next <= now {
                health.next = now + interval;
                due.push(trunk.clone());
            }
        }
        due
    }

    /// When the next trunk is to be asked, or looked for.
    pub(super) fn next(&self) -> Instant {
        self.known.values().map(|health| health.next).fold(self.look_at, Instant::min)
    }

    pub(super) fn asked(&mut self, trunk: &TrunkId, id: OptionsId) {
        self.waiting.insert(id, trunk.clone());
    }

    /// What the answer changes.
    pub(super) fn answered(&mut self, id: OptionsId, outcome: OptionsOutcome) -> Option<Report> {
        let trunk = self.waiting.remove(&id)?;
        match outcome {
            OptionsOutcome::Answered { status: 503, .. } => {
                self.turn(&trunk, false, "it answers 503 Service Unavailable".to_owned())
            }
            // Any other answer is a sign of life: 404, 405 and 483 come from peers that work.
            OptionsOutcome::Answered { status, .. } => {
                if let Some(health) = self.known.get_mut(&trunk) {
                    health.silences = 0;
                }
                self.turn(&trunk, true, format!("it answers {status}"))
            }
            OptionsOutcome::TimedOut => self.silent(&trunk, "no answer to OPTIONS".to_owned()),
            OptionsOutcome::Unreachable => self.failed(&trunk, "the transport cannot reach it".to_owned()),
        }
    }

    /// The trunk cannot even be asked.
    pub(super) fn failed(&mut self, trunk: &TrunkId, detail: String) -> Option<Report> {
        self.turn(trunk, false, detail)
    }

    fn silent(&mut self, trunk: &TrunkId, detail: String) -> Option<Report> {
        let health = self.known.get_mut(trunk)?;
        health.silences += 1;
        if health.silences < SILENCES_MAX {
            return None;
        }
        self.turn(trunk, false, detail)
    }

    fn turn(&mut self, trunk: &TrunkId, up: bool, detail: String) -> Option<Report> {
        let health = self.known.get_mut(trunk)?;
        if health.up == Some(up) {
            return None;
        }
        health.up = Some(up);
        Some(Report::Trunk { trunk: trunk.clone(), up, detail })
    }
}
