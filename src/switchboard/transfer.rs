//! Places that change hands: at a request over the API, and by a leg that called in to take another's.

use std::time::{Instant, SystemTime};

use sbc_config::TenantId;
use tokio::sync::oneshot;

use crate::call::door::{Incoming, Origin};
use crate::call::rights::{Act, Actor, Principal};
use crate::call::{
    Attempt, CallEvent, CallId, Callee, Cause, Command, CommandError, LegId, Presence, RINGS_MAX, Role,
};
use crate::prereq::Judgement;

use super::cost::Path;
use super::desk::{Answer, Preview, Refusal, TransferOutcome, TransferRequest};
use super::live::Leg;
use super::ways::{Pending, Planned, Then};
use super::{Switchboard, card, told};

impl Switchboard {
    /// Looks at the ways, then rings the target; the answer comes at once, or with what becomes of it.
    pub(super) fn transfer(
        &mut self,
        now: Instant,
        who: Principal,
        wanted: TransferRequest,
        answer: oneshot::Sender<Result<Answer, Refusal>>,
    ) {
        let config = self.config.load_full();
        let planned = self.allowed(&who, Act::Steer, wanted.call, "transfer").map(|live| live.tenant.clone());
        let planned = planned.and_then(|tenant| {
            let wishes = std::slice::from_ref(&wanted.wish);
            let trunk = wanted.trunk.as_ref();
            Ok((Planned::all(&config, &tenant, wishes, trunk, wanted.asker.as_ref())?, tenant))
        });
        let (planned, tenant) = match planned {
            Ok(planned) => planned,
            // A caller who no longer waits has gone; and so below.
            Err(refusal) => return drop(answer.send(Err(refusal))),
        };
        let asker = wanted.asker.clone();
        let pending = Pending { who, planned, then: Then::Transfer(wanted), answer };
        if let Some(pending) = self.ask_first(&tenant, asker, pending) {
            self.go_on(now, pending, &[]);
        }
    }

    /// The ways are known.
    pub(super) fn transfer_on(
        &mut self,
        now: Instant,
        who: &Principal,
        wanted: TransferRequest,
        planned: &[Planned],
        judged: &[Vec<Judgement>],
        answer: oneshot::Sender<Result<Answer, Refusal>>,
    ) {
        let (call, wait, dry_run) = (wanted.call, wanted.wait, wanted.dry_run);
        let begun = self.begin_transfer(now, who, wanted, planned, judged);
        // What was asked is done, whether its caller still waits or not.
        match (begun, self.calls.get_mut(&call)) {
            (Err(refusal), _) => drop(answer.send(Err(refusal))),
            (Ok(preview), _) if dry_run => drop(answer.send(Ok(Answer::Preview(preview)))),
            (Ok(_), Some(live)) if live.call.transferring().is_some() && wait => {
                live.transferring = Some(answer)
            }
            (Ok(_), Some(live)) if live.call.transferring().is_some() => {
                drop(answer.send(Ok(Answer::Transfer(None))))
            }
            // It has failed already: the telephone is not registered, no port was free.
            (Ok(_), _) => drop(answer.send(Ok(Answer::Transfer(Some(TransferOutcome::Unreachable))))),
        }
    }

    fn begin_transfer(
        &mut self,
        now: Instant,
        who: &Principal,
        wanted: TransferRequest,
        planned: &[Planned],
        judged: &[Vec<Judgement>],
    ) -> Result<Preview, Refusal> {
        let config = self.config.load_full();
        let call = wanted.call;
        let tenant = self.allowed(who, Act::Steer, call, "transfer")?.tenant.clone();
        let (preview, ways) = self.preview(call, &tenant, planned, judged, RINGS_MAX);
        if wanted.dry_run {
            return Ok(preview);
        }
        self.tell_preflight(call, "transfer.preflight", &preview);
        let Some(target) = in_one(ways) else {
            let refusal = Refusal::NotCleared(Box::new(preview));
            self.audit_refused(who, Some(&tenant), "transfer", &call.to_string(), &refusal);
            return Err(refusal);
        };
        let by = match &who.actor {
            // Their own place, whatever the request says.
            Actor::Agent { person, .. } | Actor::Supervisor { person, .. } => {
                self.talking_leg_of(call, person)
            }
            _ => wanted.by.or_else(|| self.first_talking_agent(call)),
        };
        let by =
            by.ok_or_else(|| self.refuse(who, &tenant, "transfer", call, CommandError::NoPlaceToGive))?;
        let card = card::drawn(&config, &tenant, wanted.card.as_ref())?;
        let before = self.calls.get_mut(&call).map(|live| std::mem::replace(&mut live.transfer_card, card));
        let done = self.command(now, call, Command::Transfer(by, target));
        if let (Err(_), Some(live), Some(before)) = (&done, self.calls.get_mut(&call), before) {
            live.transfer_card = before; // that of the transfer that goes on
        }
        done.map(|()| preview).map_err(|error| {
            let refusal = told::conflict(error);
            self.audit_refused(who, Some(&tenant), "transfer", &call.to_string(), &refusal);
            refusal
        })
    }

    /// A refusal before the call itself is asked: one line of the audit like those after it.
    pub(super) fn refuse(
        &self,
        who: &Principal,
        tenant: &TenantId,
        act: &'static str,
        call: CallId,
        error: CommandError,
    ) -> Refusal {
        let refusal = told::conflict(error);
        self.audit_refused(who, Some(tenant), act, &call.to_string(), &refusal);
        refusal
    }

    fn first_talking_agent(&self, call: CallId) -> Option<LegId> {
        let seats = self.calls.get(&call)?.call.parties().iter().map(crate::call::Party::seat);
        let mut talking = seats.filter(|seat| seat.role == Role::Agent && seat.presence == Presence::Talking);
        talking.next().map(|seat| seat.leg)
    }

    /// Answers whoever waits for what becomes of the call's transfer.
    pub(super) fn answer_transfer(&mut self, call: CallId, event: &CallEvent) {
        if self.waits_for_screening(call, event) {
            return;
        }
        let outcome = match event {
            CallEvent::VoicemailSuspected { consult: None, .. } => TransferOutcome::VoicemailSuspected,
            CallEvent::TransferCompleted { .. } => TransferOutcome::Connected,
            CallEvent::TransferFailed { end, .. } => TransferOutcome::from(end.cause),
            _ => return,
        };
        let Some(answer) = self.calls.get_mut(&call).and_then(|live| live.transferring.take()) else {
            return;
        };
        // As above.
        let _gone = answer.send(Ok(Answer::Transfer(Some(outcome))));
    }

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
        leg.path = Some(Path::of(&self.config.load(), &incoming));
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

/// A transfer rings once: a Teams user over whichever of the clear ways is clear at that moment, the cheapest first.
fn in_one(ways: Vec<Attempt>) -> Option<Callee> {
    let mut callees = ways.into_iter().flat_map(|attempt| attempt.targets);
    let mut first = callees.next()?;
    if let Callee::Teams(user) = &mut first {
        for other in callees {
            if let Callee::Teams(other) = other {
                user.ways.extend(other.ways);
            }
        }
    }
    Some(first)
}
