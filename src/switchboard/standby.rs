//! Supervisors who follow an agent, between two calls: on the line, in silence.
//!
//! When a call ends, its follower's leg moves to a place of its own in the bridge, where nobody
//! else is, and when the agent talks to the next customer it moves on into that call.

use std::time::{Instant, SystemTime};

use sbc_config::TenantId;

use crate::call::door::{AgreedMedia, MediaEnd, Order};
use crate::call::rights::{Act, Actor, Principal, Scope};
use crate::call::{
    Arrival, CallId, Cause, Coaching, Command, LegAction, LegEvent, LegId, Role, Supervise, Supervision,
    SupervisionId,
};

use super::Switchboard;
use super::admission::new_call_id;
use super::desk::Refusal;
use super::live::Leg;

/// One follower between calls.
pub(super) struct Standby {
    pub(super) supervision: Supervision,
    pub(super) tenant: TenantId,
    leg: LegId,
    /// The leg's place in the bridge while it belongs to no call.
    pub(super) place: CallId,
    media: Option<MediaEnd>,
    name: String,
    started_at: SystemTime,
}

impl Switchboard {
    /// A call has ended and lets go of a supervisor who follows its agent.
    pub(super) fn keep(&mut self, call: CallId, supervision: Supervision) {
        let (Some(leg), Some(live)) = (supervision.leg, self.calls.get_mut(&call)) else { return };
        let Some(at) = live.legs.iter().position(|known| known.id == leg) else { return };
        let Leg { media, name, started_at, .. } = live.legs.remove(at);
        let tenant = live.tenant.clone();
        let place = new_call_id();
        self.bridge.move_leg(call, place, leg);
        self.by_leg.remove(&leg);
        self.by_supervision.remove(&supervision.id);
        let id = supervision.id;
        let standby = Standby { supervision, tenant, leg, place, media, name, started_at };
        self.standby.insert(id, standby);
    }

    /// An agent talks to a customer: followers join.
    pub(super) fn followers_join(&mut self, now: Instant, call: CallId) {
        let Some(live) = self.calls.get(&call).filter(|live| !live.emergency) else { return };
        let agents: Vec<_> = live
            .call
            .parties()
            .iter()
            .filter(|party| party.seat().role == Role::Agent)
            .filter_map(|party| Some((party.seat().leg, party.person()?.clone())))
            .collect();
        for (subject, agent) in agents {
            let waiting: Vec<SupervisionId> = self
                .standby
                .iter()
                .filter(|(_, standby)| standby.supervision.agent.as_ref() == Some(&agent))
                .map(|(id, _)| *id)
                .collect();
            for id in waiting {
                self.join(now, call, subject, id);
            }
        }
    }

    fn join(&mut self, now: Instant, call: CallId, subject: LegId, id: SupervisionId) {
        let Some(standby) = self.standby.remove(&id) else { return };
        let Some(live) = self.calls.get_mut(&call) else {
            self.standby.insert(id, standby);
            return;
        };
        let mut leg = Leg::new(standby.leg, standby.name.clone(), "supervisor", standby.started_at);
        leg.person = Some(standby.supervision.supervisor.clone());
        leg.media = standby.media;
        leg.answered_at = Some(SystemTime::now());
        live.legs.push(leg);
        self.bridge.move_leg(standby.place, call, standby.leg);
        self.by_leg.insert(standby.leg, call);
        self.by_supervision.insert(id, call);
        // Whoever has taken over the last call listens in to the next: the agent is back.
        let role = match standby.supervision.role {
            Coaching::TakenOver => Coaching::Monitor,
            role => role,
        };
        let supervise = Supervise {
            id,
            supervisor: standby.supervision.supervisor.clone(),
            role,
            subject: Some(subject),
            allowed_roles: standby.supervision.allowed_roles.clone(),
            dtmf_control: standby.supervision.dtmf_control,
            follows: true,
            by: Arrival::Here(standby.leg),
        };
        if let Err(error) = self.command(now, call, Command::Supervise(supervise)) {
            tracing::info!(%call, %id, %error, "a follower could not join");
            self.bridge.move_leg(call, standby.place, standby.leg);
            self.by_leg.remove(&standby.leg);
            self.by_supervision.remove(&id);
            if let Some(live) = self.calls.get_mut(&call) {
                live.legs.retain(|known| known.id != standby.leg);
            }
            self.standby.insert(id, standby);
        }
    }

    pub(super) fn standby_leg_event(&mut self, leg: LegId, event: &LegEvent) {
        if !matches!(event, LegEvent::Ended(_)) {
            return;
        }
        let Some(id) = self.standby_of(leg) else { return };
        if let Some(standby) = self.standby.remove(&id) {
            self.bridge.close_call(standby.place);
            self.tell_standby_ended(&standby, Cause::Normal);
        }
    }

    /// A follower's media stopped: true if the leg was one.
    pub(super) fn standby_lost_media(&mut self, leg: LegId) -> bool {
        let Some(id) = self.standby_of(leg) else { return false };
        self.release_standby(id, Cause::MediaTimeout);
        true
    }

    /// The bridge lost the place where a follower waited.
    pub(super) fn standby_failed(&mut self, place: CallId) {
        let lost = self.standby.iter().find(|(_, standby)| standby.place == place).map(|(id, _)| *id);
        if let Some(id) = lost {
            self.release_standby(id, Cause::Internal);
        }
    }

    pub(super) fn standby_agreed(&mut self, leg: LegId, media: &AgreedMedia) {
        if let Some(standby) = self.standby_of(leg).and_then(|id| self.standby.get(&id)) {
            self.bridge.agree(standby.place, leg, media.clone(), true);
        }
    }

    pub(super) fn release_standby(&mut self, id: SupervisionId, cause: Cause) {
        let Some(standby) = self.standby.remove(&id) else { return };
        let order = Order {
            leg: standby.leg,
            action: LegAction::HangUp(cause),
            media: None,
            prefer: Vec::new(),
            caller: None,
            card: None,
        };
        if self.doors.order(order).is_err() {
            tracing::error!(leg = %standby.leg, "could not hang up on a follower");
        }
        self.bridge.close_call(standby.place);
        self.tell_standby_ended(&standby, cause);
    }

    /// Between calls a supervision is its supervisor's own, or software's.
    pub(super) fn may_touch_standby(&self, who: &Principal, standby: &Standby) -> Result<(), Refusal> {
        let teams = match &who.actor {
            Actor::Supervisor { person, teams, .. } if *person == standby.supervision.supervisor => {
                teams.clone()
            }
            _ => Vec::new(),
        };
        let scope = Scope { teams, ..Scope::default() };
        let id = standby.supervision.id.to_string();
        self.allow(who, Act::Supervise, &standby.tenant, &scope, "supervision", &id, "supervision")
    }

    fn standby_of(&self, leg: LegId) -> Option<SupervisionId> {
        self.standby.iter().find(|(_, standby)| standby.leg == leg).map(|(id, _)| *id)
    }
}
