//! Early media that is believed when it is heard.
//!
//! Microsoft answers 183 with a description and then, often, nothing: a caller whose ringing tone that had ended would hear
//! silence. So a caller for whom somebody is rung over Microsoft gets one 183 with our own tone in it, and the far end's sound
//! takes over when its first packet has come.

use std::time::Instant;

use sbc_config::{Config, Dialect, TrunkId};

use crate::call::{CallId, Input, LegEvent, LegId, Presence};

use super::Switchboard;
use super::live::{Early, Live};

impl Switchboard {
    /// Whether early media of this leg is to be heard before it counts.
    pub(super) fn waits_for_sound(&mut self, call: CallId, leg: LegId) -> bool {
        let config = self.config.load();
        let Some(known) = self.calls.get_mut(&call).and_then(|live| live.leg_mut(leg)) else { return false };
        if !is_teams(&config, known.trunk.as_ref()) || known.early == Early::Heard {
            return false;
        }
        known.early = Early::Promised;
        true
    }

    /// The first packet of a leg has come: what it promised is true.
    pub(super) fn first_media(&mut self, now: Instant, call: CallId, leg: LegId) {
        let Some(known) = self.calls.get_mut(&call).and_then(|live| live.leg_mut(leg)) else { return };
        if std::mem::replace(&mut known.early, Early::Heard) == Early::Promised {
            self.drive(now, call, |call| call.handle(now, Input::Leg(leg, LegEvent::EarlyMedia)));
        }
    }

    /// Whether somebody is rung over Microsoft.
    pub(super) fn rings_teams(&self, live: &Live) -> bool {
        let config = self.config.load();
        let rung = live.call.parties().iter().filter(|party| party.seat().presence == Presence::Ringing);
        rung.map(|party| party.trunk()).any(|trunk| is_teams(&config, trunk))
    }
}

fn is_teams(config: &Config, trunk: Option<&TrunkId>) -> bool {
    trunk.and_then(|trunk| config.trunk(trunk)).is_some_and(|trunk| trunk.dialect == Dialect::Microsoft)
}
