//! A leg that called in to take another's place: handed to the call it means, before any route is looked at.

use std::time::{Instant, SystemTime};

use crate::call::door::{Incoming, Origin};
use crate::call::{Cause, Command, LegId};

use super::Switchboard;
use super::live::Leg;

impl Switchboard {
    /// Nobody is rung: the new leg is answered, or refused.
    pub(super) fn takes_place_of(&mut self, now: Instant, old: LegId, incoming: Incoming) {
        let gone = (Cause::NotFound, "replaces_nothing");
        let known = self.by_leg.get(&old).copied().and_then(|call| Some((call, self.calls.get_mut(&call)?)));
        // The door has looked at the trunk; a trunk has one tenant, and yet a call is of its tenant alone.
        let Some((call, live)) = known.filter(|(_, live)| live.tenant == incoming.tenant) else {
            return self.turn_away(&incoming, gone.0, gone.1);
        };
        let role = live.legs.iter().find(|leg| leg.id == old).map_or("unassigned", |leg| leg.role);
        let mut leg = Leg::new(incoming.leg, incoming.from.number.clone(), role, SystemTime::now());
        let trunk = match &incoming.origin {
            Origin::Trunk(trunk) => Some(trunk.clone()),
            Origin::Acs(_) => None,
            Origin::Person(person) => {
                leg.person = Some(person.clone());
                None
            }
        };
        leg.trunk.clone_from(&trunk);
        leg.offered.clone_from(&incoming.codecs);
        live.legs.push(leg);
        self.by_leg.insert(incoming.leg, call);
        if let Some(trunk) = &trunk {
            // It stands for the leg it replaces, so a full trunk is no reason to drop the call: at once there is one less.
            let _has_room = self.take_channel(call, incoming.leg, trunk);
        }
        if let Err(error) = self.command(now, call, Command::Replace(old, incoming.leg)) {
            tracing::info!(%call, leg = %incoming.leg, %error, "a place could not be taken");
            self.by_leg.remove(&incoming.leg);
            let live = self.calls.get_mut(&call);
            let leg = live.and_then(|live| {
                let at = live.legs.iter().position(|known| known.id == incoming.leg)?;
                Some(live.legs.remove(at))
            });
            self.leave_trunk(leg.and_then(|leg| leg.channel));
            self.turn_away(&incoming, Cause::Unreachable, "replaces_refused");
        }
    }
}
