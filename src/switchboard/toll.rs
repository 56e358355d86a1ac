//! What a trunk may be used for: how fast, from whom, where to, and for how long in a day.
//!
//! Toll fraud is a stranger's calls on our bill, and it happens over the week-end. The limits here are the last line:
//! they hold whatever route, token or telephone asked for the call. Calls to emergency services pass them all.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use sbc_config::{CallerIdPolicy, Config, Dialect, TenantId, Trunk, TrunkId};
use serde_json::json;

use super::Switchboard;
use super::admission::Pace;
use crate::call::door::{Incoming, Origin};
use crate::call::rights::{Actor, Principal};
use crate::call::{CallId, Cause, LegId};
use crate::observe::{Audience, Event};

const DAY_S: u64 = 86_400;

/// What was used of each trunk.
#[derive(Debug, Default)]
pub(super) struct Tolls {
    paces: HashMap<TrunkId, Pace>,
    spent: HashMap<TrunkId, Spent>,
}

/// Talk time on a day.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    /// Days since 1970, UTC.
    day: u64,
    pub(super) time: Duration,
}

impl Tolls {
    /// Counts a call in this second, unless the second is full.
    pub(super) fn admit(&mut self, now: Instant, trunk: &Trunk) -> bool {
        let Some(per_second) = trunk.calls_per_second_max else { return true };
        self.paces.entry(trunk.id.clone()).or_default().admit(now, per_second)
    }

    /// Notes a call to the trunk that has ended; all of it counts for the day on which it ends.
    fn spend(&mut self, at: SystemTime, trunk: &TrunkId, time: Duration) {
        let spent = self.today(at, trunk);
        spent.time += time;
    }

    pub(super) fn today(&mut self, at: SystemTime, trunk: &TrunkId) -> &mut Spent {
        let day = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / DAY_S;
        let spent = self.spent.entry(trunk.clone()).or_default();
        if spent.day != day {
            *spent = Spent { day, time: Duration::ZERO };
        }
        spent
    }
}

/// Why a call may not be: the cause for the far end, and the reason for us.
pub(super) type Refused = (Cause, &'static str);

impl Switchboard {
    /// Whether a call that came over a trunk passes what the trunk says of its callers.
    pub(super) fn over_limit_of_trunk(
        &mut self,
        now: Instant,
        config: &Config,
        incoming: &Incoming,
    ) -> Option<Refused> {
        let Origin::Trunk(trunk) = &incoming.origin else { return None };
        let known = config.trunk(trunk)?;
        // Not in the audit: whoever calls too fast would write it full.
        if !self.tolls.admit(now, known) {
            return Some((Cause::Congestion, "trunk_calls_per_second_max"));
        }
        let allowed = known.allowed_caller_ids.as_ref()?;
        // A call that was forwarded is placed by whoever forwarded it last, and shows somebody else.
        let forwarder = incoming.from.journey.diversions.last().map(|diversion| &diversion.number);
        let number = incoming.from.asserted.as_ref().or(forwarder).unwrap_or(&incoming.from.number);
        if allowed.iter().any(|pattern| pattern.allows(number)) {
            return None;
        }
        match known.caller_id_policy {
            CallerIdPolicy::Reject => {
                self.audit_toll(&trunk_itself(trunk), &incoming.tenant, trunk, "caller_id_not_allowed");
                Some((Cause::Forbidden, "caller_id_not_allowed"))
            }
            CallerIdPolicy::Warn => {
                self.tell_toll("trunk.caller_id", &incoming.tenant, None, trunk, "caller_id_not_allowed");
                None
            }
        }
    }

    /// Whether a number may be dialled over a trunk now.
    pub(super) fn toll(
        &mut self,
        now: Instant,
        config: &Config,
        trunk: &TrunkId,
        number: &str,
    ) -> Option<Refused> {
        let known = config.trunk(trunk)?;
        let allowed = known.destinations_allowed.as_ref();
        if allowed.is_some_and(|allowed| !allowed.iter().any(|pattern| pattern.allows(number))) {
            return Some((Cause::Forbidden, "destination_not_allowed"));
        }
        if let Some(minutes) = known.minutes_per_day_max {
            let at = SystemTime::now();
            let spent = self.tolls.today(at, trunk).time + self.talking_over(at, trunk);
            if spent >= Duration::from_secs(u64::from(minutes) * 60) {
                return Some((Cause::Forbidden, "minutes_per_day_max"));
            }
        }
        if !self.tolls.admit(now, known) {
            return Some((Cause::Congestion, "trunk_calls_per_second_max"));
        }
        None
    }

    /// The talk time of calls to a trunk that are up.
    pub(super) fn talking_over(&self, at: SystemTime, trunk: &TrunkId) -> Duration {
        let legs = self.calls.values().flat_map(|live| live.legs.iter().filter(|leg| leg.is_toll(trunk)));
        legs.filter_map(|leg| at.duration_since(leg.answered_at?).ok()).sum()
    }

    /// A leg on a trunk has ended, or goes on in another call: what it cost is noted.
    pub(super) fn note_toll(&mut self, call: CallId, leg: LegId) {
        let Some(live) = self.calls.get(&call) else { return };
        let Some(known) = live.legs.iter().find(|known| known.id == leg) else { return };
        let Some(trunk) = known.channel.clone().filter(|trunk| known.is_toll(trunk)) else { return };
        let at = SystemTime::now();
        let talked = known.answered_at.and_then(|answered| at.duration_since(answered).ok());
        self.tolls.spend(at, &trunk, talked.unwrap_or_default());
    }

    /// Tells that a rule of a trunk was met, as an event and in the audit.
    pub(super) fn tell_toll(
        &self,
        kind: &'static str,
        tenant: &TenantId,
        call: Option<CallId>,
        trunk: &TrunkId,
        reason: &'static str,
    ) {
        self.journal.event(Event {
            kind,
            tenant: tenant.clone(),
            call,
            audience: Audience::default(),
            at: SystemTime::now(),
            data: json!({ "trunk": trunk, "reason": reason }),
        });
        self.audit_toll(&trunk_itself(trunk), tenant, trunk, reason);
    }
}

/// Who used the trunk, in the audit: nobody with a token of ours.
fn trunk_itself(trunk: &TrunkId) -> Principal {
    Principal { token: format!("trunk {trunk}"), actor: Actor::Operator }
}

/// The trunks by which a tenant's call to an emergency service is placed, in order. None: it is an ordinary call.
/// Only our own telephones and Teams users reach them; a carrier does not send its callers' emergencies to us.
pub(super) fn emergency_trunks(config: &Config, incoming: &Incoming) -> Vec<TrunkId> {
    let ours = match &incoming.origin {
        Origin::Person(_) => true,
        Origin::Acs(_) => false,
        Origin::Trunk(trunk) => config.trunk(trunk).is_some_and(|t| t.dialect == Dialect::Microsoft),
    };
    if ours { emergency_trunks_of(config, &incoming.tenant, &incoming.to) } else { Vec::new() }
}

/// The same for a number that one of our people asks for over the API.
pub(super) fn emergency_trunks_of(config: &Config, tenant: &TenantId, dialled: &str) -> Vec<TrunkId> {
    if !config.emergency.is_dialled(dialled) {
        return Vec::new();
    }
    let of_tenant = |id: &&TrunkId| config.trunk(id).is_some_and(|trunk| trunk.tenant == *tenant);
    config.emergency.trunks.iter().filter(of_tenant).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_yesterday_is_forgotten_today() {
        let trunk = TrunkId::new("carrier").unwrap();
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * DAY_S + 43_200);
        let mut tolls = Tolls::default();
        tolls.spend(noon, &trunk, Duration::from_secs(90));
        tolls.spend(noon, &trunk, Duration::from_secs(30));
        assert_eq!(tolls.today(noon, &trunk).time, Duration::from_secs(120));
        assert_eq!(tolls.today(noon + Duration::from_secs(43_199), &trunk).time, Duration::from_secs(120));
        assert_eq!(tolls.today(noon + Duration::from_secs(43_200), &trunk).time, Duration::ZERO);
    }
}
