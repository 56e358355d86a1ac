//! Asking an expert, as asked for over the API: rights first, then the ways to the expert, then the call.

use std::time::Instant;

use sbc_config::{Config, PersonId, TenantId, TrunkId};

use crate::call::rights::{Act, Actor, Principal};
use crate::call::{AskExpert, Attempt, CallId, Command, CommandError, ConsultId, LegId, SpeakTo, Target};

use super::admission::{dialled_target, random, to_person};
use super::desk::{Answer, ConsultRequest, ConsultView, Refusal};
use super::{Switchboard, card, told};

impl Switchboard {
    pub(super) fn consult(
        &mut self,
        now: Instant,
        who: &Principal,
        wanted: ConsultRequest,
    ) -> Result<Answer, Refusal> {
        let config = self.config.load_full();
        let call = wanted.call;
        let live = self.allowed(who, Act::Steer, call, "consult")?;
        let tenant = live.tenant.clone();
        let ways = wanted
            .targets
            .iter()
            .map(|target| way(&config, &tenant, target, wanted.trunk.clone()))
            .map(|target| Ok(Attempt { targets: vec![target?], ring: wanted.ring }))
            .collect::<Result<Vec<_>, Refusal>>()?;
        let by = match &who.actor {
            // From their own leg, whatever the request says.
            Actor::Agent { person, .. } | Actor::Supervisor { person, .. } => {
                let own = self.talking_leg_of(call, person);
                Some(own.ok_or_else(|| told::conflict(CommandError::MayNotAsk))?)
            }
            _ => wanted.by,
        };
        if wanted.hold_media.as_ref().is_some_and(|media| !config.can_hold_with(media)) {
            return Err(Refusal::Invalid {
                code: "no_such_prompt",
                detail: "`hold_media` names no recording of [media] prompts".into(),
            });
        }
        let running = self.calls.get(&call).is_some_and(|live| live.call.consult().is_some());
        if let (Some(media), false) = (&wanted.hold_media, running) {
            self.bridge.hold_with(call, media);
        }
        let card = card::drawn(&config, &tenant, wanted.card.as_ref())?;
        let id = ConsultId(random());
        self.by_consult.insert(id, call);
        let before = self.calls.get_mut(&call).map(|live| std::mem::replace(&mut live.consult_card, card));
        let done = self.command(now, call, Command::Consult(AskExpert { id, by, ways }));
        if let (Err(_), Some(live), Some(before)) = (&done, self.calls.get_mut(&call), before) {
            live.consult_card = before; // that of the consult that goes on
        }
        if let (Err(_), false, Some(live)) = (&done, running, self.calls.get(&call)) {
            self.hold_as_usual(live);
        }
        self.settle_consult(who, &tenant, id, "consult", done)?;
        self.view_of_consult(id).map(Answer::Consult).ok_or_else(|| Refusal::Conflict {
            code: "expert_unreachable",
            detail: "nobody could be rung; see the consult.failed event".into(),
        })
    }

    pub(super) fn consult_view(&self, who: &Principal, id: ConsultId) -> Result<ConsultView, Refusal> {
        self.of_consult(who, id, Act::Read, "read_consult")?;
        self.view_of_consult(id).ok_or(Refusal::NotFound("consult"))
    }

    pub(super) fn speak_to(
        &mut self,
        now: Instant,
        who: &Principal,
        id: ConsultId,
        to: SpeakTo,
    ) -> Result<Answer, Refusal> {
        let (call, tenant) = self.of_consult(who, id, Act::Steer, "speak_to")?;
        let done = self.command(now, call, Command::SpeakTo(id, to));
        self.settle_consult(who, &tenant, id, "speak_to", done)?;
        self.view_of_consult(id).map(Answer::Consult).ok_or(Refusal::NotFound("consult"))
    }

    /// Completes or cancels a consult.
    pub(super) fn end_consult(
        &mut self,
        now: Instant,
        who: &Principal,
        id: ConsultId,
        command: Command,
        act: &'static str,
    ) -> Result<Answer, Refusal> {
        let (call, tenant) = self.of_consult(who, id, Act::Steer, act)?;
        let done = self.command(now, call, command);
        self.settle_consult(who, &tenant, id, act, done)?;
        Ok(Answer::Done)
    }

    /// What a command on a consult came to: a refusal is an audit record, and a consult that is over is forgotten.
    fn settle_consult(
        &mut self,
        who: &Principal,
        tenant: &TenantId,
        id: ConsultId,
        act: &'static str,
        done: Result<(), CommandError>,
    ) -> Result<(), Refusal> {
        if self.view_of_consult(id).is_none() {
            self.by_consult.remove(&id);
        }
        done.map_err(|error| {
            let refusal = told::conflict(error);
            self.audit_refused(who, Some(tenant), act, &id.to_string(), &refusal);
            refusal
        })
    }

    /// The call of a consult to which `who` may do `act`.
    fn of_consult(
        &self,
        who: &Principal,
        id: ConsultId,
        act: Act,
        name: &'static str,
    ) -> Result<(CallId, TenantId), Refusal> {
        let call = *self.by_consult.get(&id).ok_or(Refusal::NotFound("consult"))?;
        let live = self.allowed(who, act, call, name).map_err(|refusal| match refusal {
            Refusal::NotFound(_) => Refusal::NotFound("consult"),
            other => other,
        })?;
        Ok((call, live.tenant.clone()))
    }

    fn view_of_consult(&self, id: ConsultId) -> Option<ConsultView> {
        let call = *self.by_consult.get(&id)?;
        let live = self.calls.get(&call)?;
        let consult = live.call.consult().filter(|consult| consult.id() == id)?;
        let card = live.consult_card.as_deref().map(card::view_of);
        Some(ConsultView { id, call, by: consult.by(), talking: consult.talking(), card })
    }

    /// The leg on which this person is in the call.
    pub(super) fn talking_leg_of(&self, call: CallId, person: &PersonId) -> Option<LegId> {
        let parties = self.calls.get(&call)?.call.parties();
        parties.iter().find(|party| party.person() == Some(person)).map(|party| party.seat().leg)
    }
}

/// The way to an expert or a target: one of our people by name, or whatever an agent could dial.
pub(super) fn way(
    config: &Config,
    tenant: &TenantId,
    target: &str,
    trunk: Option<TrunkId>,
) -> Result<Target, Refusal> {
    let person = PersonId::new(target).ok().and_then(|id| config.person(&id));
    match person.filter(|person| person.tenant == *tenant) {
        Some(person) => Ok(to_person(&person.id)),
        None => dialled_target(config, tenant, target, trunk),
    }
}
