//! Asking an expert, as asked for over the API: rights first, then the ways to the expert, then the call.

use std::time::Instant;

use sbc_config::{PersonId, TenantId};
use tokio::sync::oneshot;

use crate::call::rights::{Act, Actor, Principal};
use crate::call::{AskExpert, CallId, Command, CommandError, ConsultId, LegId, SpeakTo};
use crate::prereq::Judgement;

use super::admission::random;
use super::desk::{Answer, ConsultRequest, ConsultView, Refusal};
use super::ways::{Pending, Planned, Then};
use super::{Switchboard, card, told};

impl Switchboard {
    /// Looks at the ways, and then asks the expert or says what would be done.
    pub(super) fn consult(
        &mut self,
        now: Instant,
        who: Principal,
        wanted: ConsultRequest,
        answer: oneshot::Sender<Result<Answer, Refusal>>,
    ) {
        let config = self.config.load_full();
        let planned = self.allowed(&who, Act::Steer, wanted.call, "consult").map(|live| live.tenant.clone());
        let planned = planned.and_then(|tenant| {
            let trunk = wanted.trunk.as_ref();
            Ok((Planned::all(&config, &tenant, &wanted.wishes, trunk, wanted.asker.as_ref())?, tenant))
        });
        let (planned, tenant) = match planned {
            Ok(planned) => planned,
            // A caller who no longer waits has gone.
            Err(refusal) => return drop(answer.send(Err(refusal))),
        };
        let asker = wanted.asker.clone();
        let pending = Pending { who, planned, then: Then::Consult(wanted), answer };
        if let Some(pending) = self.ask_first(&tenant, asker, pending) {
            self.go_on(now, pending, &[]);
        }
    }

    /// The ways are known. Rights are looked at again: a moment has passed.
    pub(super) fn consult_on(
        &mut self,
        now: Instant,
        who: &Principal,
        wanted: ConsultRequest,
        planned: &[Planned],
        judged: &[Vec<Judgement>],
    ) -> Result<Answer, Refusal> {
        let config = self.config.load_full();
        let call = wanted.call;
        let tenant = self.allowed(who, Act::Steer, call, "consult")?.tenant.clone();
        let (preview, ways) = self.preview(call, &tenant, planned, judged, wanted.ring);
        if wanted.dry_run {
            return Ok(Answer::Preview(preview));
        }
        self.tell_preflight(call, "consult.preflight", &preview);
        if ways.is_empty() {
            let refusal = Refusal::NotCleared(Box::new(preview));
            self.audit_refused(who, Some(&tenant), "consult", &call.to_string(), &refusal);
            return Err(refusal);
        }
        let by = match &who.actor {
            // From their own leg, whatever the request says.
            Actor::Agent { person, .. } | Actor::Supervisor { person, .. } => {
                let own = self.talking_leg_of(call, person);
                Some(own.ok_or_else(|| self.refuse(who, &tenant, "consult", call, CommandError::MayNotAsk))?)
            }
            _ => wanted.by,
        };
        if wanted.hold_media.as_ref().is_some_and(|media| !config.can_hold_with(media)) {
            return Err(Refusal::Invalid {
                code: "no_such_prompt",
                detail: "`hold_media` names no recording of [media] prompts".into(),
            });
        }
        let card = card::drawn(&config, &tenant, wanted.card.as_ref())?;
        let running = self.calls.get(&call).is_some_and(|live| live.call.consult().is_some());
        if let (Some(media), false) = (&wanted.hold_media, running) {
            self.bridge.hold_with(call, media);
        }
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
        let view = self.view_of_consult(id).map(|view| ConsultView { preview: Some(preview), ..view });
        view.map(Answer::Consult).ok_or_else(|| Refusal::Conflict {
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
        Some(ConsultView { id, call, by: consult.by(), preview: None, talking: consult.talking(), card })
    }

    /// The leg on which this person is in the call.
    pub(super) fn talking_leg_of(&self, call: CallId, person: &PersonId) -> Option<LegId> {
        let parties = self.calls.get(&call)?.call.parties();
        parties.iter().find(|party| party.person() == Some(person)).map(|party| party.seat().leg)
    }
}
