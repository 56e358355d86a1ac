//! Supervision as asked for over the API or from a telephone: rights first, then the call.

use std::time::{Instant, SystemTime};

use sbc_config::{Config, PersonId, PersonRole, SupervisionRole, TeamId, TenantId};
use tokio::sync::oneshot;

use crate::bridge::AudioReport;
use crate::call::door::{Incoming, Origin};
use crate::call::rights::{Act, Actor, Denial, Principal, may};
use crate::call::{
    Arrival, CallId, Cause, Coaching, Command, LegId, Presence, Role, Supervise, SupervisionId,
};

use super::admission::random;
use super::desk::{
    Answer, AudioView, EarView, Follow, Join, MouthView, Refusal, SuperviseRequest, SupervisionView,
};
use super::gate::to_person;
use super::live::{Leg, Live, Waiting, view_of};
use super::{Switchboard, told};

type Reply = oneshot::Sender<Result<Answer, Refusal>>;

impl Switchboard {
    pub(super) fn supervise(
        &mut self,
        now: Instant,
        who: &Principal,
        wanted: SuperviseRequest,
    ) -> Result<Answer, Refusal> {
        let config = self.config.load_full();
        let call = wanted.call;
        let subject = match self.may_supervise(&config, who, call, &wanted.supervisor, wanted.subject) {
            Ok(subject) => subject,
            Err(refusal) => {
                if matches!(refusal, Refusal::Denied(_)) {
                    self.tell_denied(who, call, &wanted.supervisor, wanted.role);
                }
                return Err(refusal);
            }
        };
        let id = SupervisionId(random());
        let by = match wanted.join {
            Join::Dial => Arrival::Dial(to_person(&config, &wanted.supervisor)),
            Join::DialIn => Arrival::Expected,
        };
        let supervise = Supervise {
            id,
            supervisor: wanted.supervisor,
            role: wanted.role,
            subject,
            allowed_roles: allowed_roles(&config, wanted.allowed_roles),
            dtmf_control: wanted.dtmf_control.unwrap_or(config.supervision.dtmf_control),
            follows: wanted.follow == Follow::Agent,
            by,
        };
        let tenant = self.calls.get(&call).map(|live| live.tenant.clone());
        self.by_supervision.insert(id, call);
        if let Err(error) = self.command(now, call, Command::Supervise(supervise)) {
            self.by_supervision.remove(&id);
            let refusal = told::conflict(error);
            self.audit_refused(who, tenant.as_ref(), "supervise", &call.to_string(), &refusal);
            return Err(refusal);
        }
        let Some(view) = self.calls.get(&call).and_then(|live| live.supervision_view(id)) else {
            // Over already: the supervisor's telephone is not registered, no port was free.
            let refusal = Refusal::Conflict {
                code: "supervisor_unreachable",
                detail: "the supervisor's telephone could not be called; see the supervision.ended event"
                    .into(),
            };
            self.audit_refused(who, tenant.as_ref(), "supervise", &call.to_string(), &refusal);
            return Err(refusal);
        };
        self.audit_allowed(who, tenant.as_ref(), "supervise", &id.to_string(), &view, view.role);
        Ok(Answer::Supervision(view))
    }

    /// The asker may supervise this call, and the supervisor is one who answers for the agent whom
    /// it is about: the one wanted, or the first talking one of their teams.
    fn may_supervise(
        &self,
        config: &Config,
        who: &Principal,
        call: CallId,
        supervisor: &PersonId,
        subject: Option<LegId>,
    ) -> Result<Option<LegId>, Refusal> {
        let live = self.allowed(who, Act::Supervise, call, "supervise")?;
        let denied = |denial| {
            self.audit_denied(who, Some(&live.tenant), "supervise", &call.to_string(), denial);
            Err(Refusal::Denied(denial))
        };
        let known = config.person(supervisor).filter(|person| person.tenant == live.tenant);
        let Some(known) = known else { return Err(Refusal::NotFound("person")) };
        if known.role != PersonRole::Supervisor {
            return denied(Denial::RoleForbids);
        }
        let teams = match &who.actor {
            // Nobody listens in another's name, except software that says in whose.
            Actor::Supervisor { person, .. } if person != supervisor => {
                return denied(Denial::OutsideScope);
            }
            Actor::Supervisor { teams, .. } => teams,
            _ => {
                let own = as_supervisor(&live.tenant, supervisor, &known.teams);
                if let Err(denial) = may(&own, Act::Supervise, &live.tenant, &live.scope(config)) {
                    return denied(denial);
                }
                &known.teams
            }
        };
        match subject_within(config, live, teams, subject) {
            Ok(subject) => Ok(subject),
            Err(denial) => denied(denial),
        }
    }

    /// A supervisor's telephone has dialled us: the number of a supervision that expects them, or
    /// a prefix and an agent's extension. Scope is checked like any request.
    pub(super) fn supervisor_dials_in(&mut self, now: Instant, config: &Config, incoming: Incoming) {
        let Origin::Person(person) = incoming.origin.clone() else {
            return self.turn_away(&incoming, Cause::Forbidden, "not_a_supervisor");
        };
        let found = match incoming.to.parse::<SupervisionId>() {
            Ok(id) => self.expected(config, &incoming.tenant, &person, id),
            Err(_) => self.supervise_by_number(now, config, &person, &incoming),
        };
        match found {
            Ok((call, id)) => self.seat_dial_in(now, call, id, incoming),
            Err((cause, why)) => self.turn_away(&incoming, cause, why),
        }
    }

    /// The telephone of somebody who is no supervisor has dialled like one's.
    pub(super) fn no_supervisor_dials_in(&mut self, incoming: &Incoming) {
        if let Origin::Person(person) = &incoming.origin {
            let actor = Actor::Agent { tenant: incoming.tenant.clone(), person: person.clone() };
            let who = Principal { token: telephone_of(person), actor };
            self.audit_denied(&who, Some(&incoming.tenant), "supervise", &incoming.to, Denial::RoleForbids);
        }
        self.turn_away(incoming, Cause::Forbidden, "not_a_supervisor");
    }

    /// The supervision that expects this person, whose right is looked at once more.
    fn expected(
        &self,
        config: &Config,
        tenant: &TenantId,
        person: &PersonId,
        id: SupervisionId,
    ) -> Result<(CallId, SupervisionId), (Cause, &'static str)> {
        let unknown = (Cause::NotFound, "no_such_supervision");
        let call = *self.by_supervision.get(&id).ok_or(unknown)?;
        let view = self.calls.get(&call).and_then(|live| live.supervision_view(id)).ok_or(unknown)?;
        let teams = config.person(person).map(|known| known.teams.clone()).unwrap_or_default();
        let who = Principal { token: telephone_of(person), actor: as_supervisor(tenant, person, &teams) };
        let live = self.allowed(&who, Act::Supervise, call, "join").map_err(|refusal| match refusal {
            Refusal::Denied(_) => (Cause::Forbidden, "supervision_denied"),
            _ => unknown,
        })?;
        if view.supervisor != *person {
            self.audit_denied(&who, Some(&live.tenant), "join", &id.to_string(), Denial::OutsideScope);
            self.tell_denied(&who, call, person, view.role);
            return Err((Cause::Forbidden, "supervision_denied"));
        }
        if view.leg.is_some() {
            return Err(unknown); // valid once
        }
        self.audit_allowed(&who, Some(&live.tenant), "join", &id.to_string(), &view, view.role);
        Ok((call, id))
    }

    fn supervise_by_number(
        &mut self,
        now: Instant,
        config: &Config,
        person: &PersonId,
        incoming: &Incoming,
    ) -> Result<(CallId, SupervisionId), (Cause, &'static str)> {
        let (role, extension) =
            config.supervision.dialled(&incoming.to).ok_or((Cause::NotFound, "no_supervision_prefix"))?;
        let agent = config
            .person_by_extension(&incoming.tenant, extension)
            .ok_or((Cause::NotFound, "no_such_extension"))?;
        let call = self.call_of_agent(&agent.id).ok_or((Cause::Unreachable, "agent_not_in_a_call"))?;
        let teams = config.person(person).map(|known| known.teams.clone()).unwrap_or_default();
        let who =
            Principal { token: telephone_of(person), actor: as_supervisor(&incoming.tenant, person, &teams) };
        let wanted = SuperviseRequest {
            call,
            supervisor: person.clone(),
            role: coaching(role),
            subject: self.leg_of_agent(call, &agent.id),
            allowed_roles: Vec::new(),
            dtmf_control: None,
            follow: Follow::Call,
            join: Join::DialIn,
        };
        match self.supervise(now, &who, wanted) {
            Ok(Answer::Supervision(view)) => Ok((call, view.id)),
            Ok(_) => Err((Cause::Internal, "supervise")),
            Err(Refusal::Denied(_) | Refusal::NotFound(_)) => Err((Cause::Forbidden, "supervision_denied")),
            Err(_) => Err((Cause::Unreachable, "agent_not_talking")),
        }
    }

    fn seat_dial_in(&mut self, now: Instant, call: CallId, id: SupervisionId, incoming: Incoming) {
        let Some(live) = self.calls.get_mut(&call) else {
            return self.turn_away(&incoming, Cause::NotFound, "call_over");
        };
        let mut leg = Leg::new(incoming.leg, incoming.from.number.clone(), "supervisor", SystemTime::now());
        if let Origin::Person(person) = &incoming.origin {
            leg.person = Some(person.clone());
        }
        leg.offered = incoming.codecs.clone();
        live.legs.push(leg);
        self.by_leg.insert(incoming.leg, call);
        if let Err(error) = self.command(now, call, Command::Seat(id, incoming.leg)) {
            self.by_leg.remove(&incoming.leg);
            if let Some(live) = self.calls.get_mut(&call) {
                live.legs.retain(|known| known.id != incoming.leg);
            }
            tracing::info!(%call, %id, %error, "a supervisor dialled in too late");
            self.turn_away(&incoming, Cause::NotFound, "supervision_over");
        }
    }

    /// The call in which this agent has a leg; the youngest if there are several.
    fn call_of_agent(&self, agent: &PersonId) -> Option<CallId> {
        self.calls.values().filter(|l| self.leg_of_agent(l.id, agent).is_some()).map(|l| l.id).max()
    }

    pub(super) fn leg_of_agent(&self, call: CallId, agent: &PersonId) -> Option<LegId> {
        let parties = self.calls.get(&call)?.call.parties();
        let theirs =
            parties.iter().find(|party| party.person() == Some(agent) && party.seat().role == Role::Agent);
        theirs.map(|party| party.seat().leg)
    }

    pub(super) fn supervision(&self, who: &Principal, id: SupervisionId) -> Result<SupervisionView, Refusal> {
        if let Some(standby) = self.standby.get(&id) {
            self.may_touch_standby(who, standby)?;
            return Ok(view_of(&standby.supervision, None));
        }
        let call = self.by_supervision.get(&id).copied().ok_or(Refusal::NotFound("supervision"))?;
        self.may_see_supervision(who, call).map_err(as_supervision)?;
        let view = self.calls.get(&call).and_then(|live| live.supervision_view(id));
        view.ok_or(Refusal::NotFound("supervision"))
    }

    fn may_see_supervision(&self, who: &Principal, call: CallId) -> Result<(), Refusal> {
        self.allowed(who, Act::Read, call, "read_supervision")?;
        self.not_an_agent(who, call, "read_supervision")
    }

    /// What names supervisors is not for agents, who must not discover that somebody listens.
    fn not_an_agent(&self, who: &Principal, call: CallId, act: &'static str) -> Result<(), Refusal> {
        if matches!(who.actor, Actor::Agent { .. }) {
            self.audit_denied(who, who.actor.tenant(), act, &call.to_string(), Denial::RoleForbids);
            return Err(Refusal::Denied(Denial::RoleForbids));
        }
        Ok(())
    }

    pub(super) fn supervisions(
        &self,
        who: &Principal,
        call: CallId,
    ) -> Result<Vec<SupervisionView>, Refusal> {
        self.may_see_supervision(who, call)?;
        let live = self.calls.get(&call).ok_or(Refusal::NotFound("call"))?;
        Ok(live.call.supervisions().iter().map(|s| view_of(s, Some(call))).collect())
    }

    /// The call of a supervision that `who` may steer: their own, or anyone's for software.
    fn own(
        &self,
        who: &Principal,
        id: SupervisionId,
        act: &'static str,
    ) -> Result<(CallId, SupervisionView), Refusal> {
        let call = self.by_supervision.get(&id).copied().ok_or(Refusal::NotFound("supervision"))?;
        let live = self.allowed(who, Act::Supervise, call, act).map_err(as_supervision)?;
        let view = live.supervision_view(id).ok_or(Refusal::NotFound("supervision"))?;
        if let Actor::Supervisor { person, .. } = &who.actor
            && *person != view.supervisor
        {
            self.audit_denied(who, Some(&live.tenant), act, &id.to_string(), Denial::OutsideScope);
            return Err(Refusal::Denied(Denial::OutsideScope));
        }
        Ok((call, view))
    }

    /// Switches the role, and answers when the new table governs the media.
    pub(super) fn switch_role(
        &mut self,
        now: Instant,
        who: &Principal,
        id: SupervisionId,
        to: Coaching,
        answer: Reply,
    ) {
        let act = if to == Coaching::TakenOver { "take_over" } else { "switch_role" };
        let done = self.own(who, id, act).and_then(|(call, before)| {
            let tenant = self.calls.get(&call).map(|live| live.tenant.clone());
            self.command(now, call, Command::SwitchRole(id, to)).map_err(|error| {
                let refusal = told::conflict(error);
                self.audit_refused(who, tenant.as_ref(), act, &id.to_string(), &refusal);
                refusal
            })?;
            Ok((call, before))
        });
        let (call, before) = match done {
            Ok(done) => done,
            Err(refusal) => {
                // A caller who went away is no error; the refusal is in the audit.
                let _gone = answer.send(Err(refusal));
                return;
            }
        };
        let Some(live) = self.calls.get_mut(&call) else {
            let _gone = answer.send(Err(Refusal::NotFound("supervision")));
            return;
        };
        let generation = live.call.table().0;
        let tenant = live.tenant.clone();
        let applied = live.applied >= generation;
        live.waiting.push(Waiting { generation, supervision: id, answer });
        self.audit_allowed(who, Some(&tenant), act, &id.to_string(), &before, to);
        if applied {
            self.applied(call, generation);
        }
    }

    /// The bridge has taken a table into force: answers those who waited for it.
    pub(super) fn applied(&mut self, call: CallId, generation: u64) {
        let effective_at = SystemTime::now();
        let Some(live) = self.calls.get_mut(&call) else { return };
        live.applied = live.applied.max(generation);
        let (ready, waiting) = std::mem::take(&mut live.waiting)
            .into_iter()
            .partition(|waiting| waiting.generation <= generation);
        live.waiting = waiting;
        let ready: Vec<Waiting> = ready;
        for Waiting { supervision, answer, .. } in ready {
            let view = live.supervision_view(supervision);
            let bridge = self.bridge.clone();
            tokio::spawn(async move {
                let reply = match view {
                    Some(supervision) => {
                        let audio = audio_view(call, generation, bridge.audio(call).await);
                        Ok(Answer::Switched { supervision, effective_at, audio })
                    }
                    None => Err(Refusal::NotFound("supervision")),
                };
                // A caller who no longer waits has gone; the switch is done all the same.
                let _gone = answer.send(reply);
            });
        }
    }

    pub(super) fn audio(&self, who: &Principal, call: CallId, answer: Reply) {
        let allowed = self
            .allowed(who, Act::Read, call, "read_audio")
            .and_then(|_| self.not_an_agent(who, call, "read_audio"));
        if let Err(refusal) = allowed {
            let _gone = answer.send(Err(refusal));
            return;
        }
        let generation = self.calls.get(&call).map_or(0, |live| live.call.table().0);
        let bridge = self.bridge.clone();
        tokio::spawn(async move {
            let view = audio_view(call, generation, bridge.audio(call).await);
            // As above.
            let _gone = answer.send(Ok(Answer::Audio(view)));
        });
    }

    pub(super) fn end_supervision(
        &mut self,
        now: Instant,
        who: &Principal,
        id: SupervisionId,
    ) -> Result<Answer, Refusal> {
        if let Some(standby) = self.standby.get(&id) {
            self.may_touch_standby(who, standby)?;
            let (view, tenant) = (view_of(&standby.supervision, None), standby.tenant.clone());
            self.audit_allowed(who, Some(&tenant), "end_supervision", &id.to_string(), &view, view.role);
            self.release_standby(id, Cause::Normal);
            return Ok(Answer::Done);
        }
        let (call, view) = self.own(who, id, "end_supervision")?;
        let tenant = self.calls.get(&call).map(|live| live.tenant.clone());
        if let Err(error) = self.command(now, call, Command::EndSupervision(id)) {
            let refusal = told::conflict(error);
            self.audit_refused(who, tenant.as_ref(), "end_supervision", &id.to_string(), &refusal);
            return Err(refusal);
        }
        self.by_supervision.remove(&id);
        self.audit_allowed(who, tenant.as_ref(), "end_supervision", &id.to_string(), &view, view.role);
        Ok(Answer::Done)
    }
}

/// The agent's leg that a supervisor of these teams is put to: the wanted one if its agent is theirs
/// to supervise, otherwise the first talking agent who is. `None` where no agent talks, which the
/// call itself says best.
fn subject_within(
    config: &Config,
    live: &Live,
    teams: &[TeamId],
    wanted: Option<LegId>,
) -> Result<Option<LegId>, Denial> {
    let agents = live.call.parties().iter().filter(|party| party.seat().role == Role::Agent);
    let candidates: Vec<_> = agents
        .filter(|party| match wanted {
            Some(leg) => party.seat().leg == leg,
            None => party.seat().presence == Presence::Talking,
        })
        .collect();
    let theirs = candidates.iter().find(|party| {
        let known = party.person().and_then(|person| config.person(person));
        known.is_some_and(|known| known.teams.iter().any(|team| teams.contains(team)))
    });
    match theirs {
        Some(party) => Ok(Some(party.seat().leg)),
        None if candidates.is_empty() => Ok(wanted),
        None => Err(Denial::OutsideScope),
    }
}

/// The name under which acts by telephone stand in the audit.
pub(super) fn telephone_of(person: &PersonId) -> String {
    format!("telephone of {person}")
}

/// What is not found of a supervision is the supervision.
fn as_supervision(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::NotFound(_) => Refusal::NotFound("supervision"),
        other => other,
    }
}

fn as_supervisor(tenant: &TenantId, person: &PersonId, teams: &[TeamId]) -> Actor {
    Actor::Supervisor { tenant: tenant.clone(), person: person.clone(), teams: teams.to_vec() }
}

fn coaching(role: SupervisionRole) -> Coaching {
    match role {
        SupervisionRole::Monitor => Coaching::Monitor,
        SupervisionRole::Whisper => Coaching::Whisper,
        SupervisionRole::Barge => Coaching::Barge,
        SupervisionRole::Takeover => Coaching::TakenOver,
    }
}

fn allowed_roles(config: &Config, wanted: Vec<Coaching>) -> Vec<Coaching> {
    if wanted.is_empty() {
        config.supervision.allowed_roles.iter().map(|role| coaching(*role)).collect()
    } else {
        wanted
    }
}

fn audio_view(call: CallId, generation: u64, report: Option<AudioReport>) -> AudioView {
    let Some(report) = report else { return AudioView { call, generation, ears: Vec::new() } };
    let ears = report.ears.into_iter().map(|ear| EarView {
        leg: ear.leg,
        plan: ear.plan.name(),
        mouths: ear
            .mouths
            .into_iter()
            .map(|mouth| MouthView { leg: mouth.leg, level_dbfs: mouth.level_dbfs })
            .collect(),
    });
    AudioView { call, generation: report.generation, ears: ears.collect() }
}
