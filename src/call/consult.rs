//! Asking an expert: ring, talk in private, then come back, merge or hand over.
//!
//! ```text
//!   Consult ──> Ringing ──answered──> Talking ──────────── complete, or the one who asked leaves
//!      customer    │ ^                  │  ^ speak_to            │
//!      on hold     │ └ next target      │  └─┘                   v
//!                  │ none left          │ cancel,         the expert has the call:
//!                  v                    v expert leaves    "completed"
//!               "failed"             "ended"
//!                  └──────────┬─────────┘
//!             the customer is back with the one who asked
//! ```
//!
//! Whom the one who asked speaks to is a field of the expert's seat, and who hears whom follows from it in the one
//! table. The holds made here are what the telephones are told, and the reason for the music; privacy does not
//! rest on them.

use std::time::Instant;

use super::hunt::Hunt;
use super::{
    Attempt, Call, CallEvent, Cause, Coaching, CommandError, ConsultId, Hold, LegAction, LegEnd, LegId,
    MAX_PARTIES, Presence, Role, SpeakTo, State,
};

/// A wish to ask an expert, checked by rights and prerequisites before it comes here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskExpert {
    /// Its id, chosen by the switchboard.
    pub id: ConsultId,
    /// The leg of the one who asks: the first talking agent, or the supervisor who has the call, when absent.
    pub by: Option<LegId>,
    /// Ways to the expert, best first: each is rung for its time before the next is tried.
    pub ways: Vec<Attempt>,
}

/// One consult of this call.
#[derive(Debug)]
pub struct Consult {
    id: ConsultId,
    by: LegId,
    stage: Stage,
    /// Whom this consult has put on hold, and will take back.
    held: Vec<LegId>,
}

#[derive(Debug)]
enum Stage {
    /// Some way to the expert rings.
    Ringing(Hunt),
    /// The expert is on the line.
    Talking(LegId, SpeakTo),
}

/// How a consult ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsultEnd {
    /// The expert has the call now.
    Completed,
    /// The expert never came: the last of the reasons that says most.
    Failed(Cause),
    /// The expert was there and is gone again.
    Ended(Cause),
}

impl Consult {
    /// Its id.
    pub fn id(&self) -> ConsultId {
        self.id
    }

    /// The leg of the one who asked.
    pub fn by(&self) -> LegId {
        self.by
    }

    /// The expert's leg, and whom the one who asked speaks to; none while it rings.
    pub fn talking(&self) -> Option<(LegId, SpeakTo)> {
        match self.stage {
            Stage::Ringing(_) => None,
            Stage::Talking(expert, speak_to) => Some((expert, speak_to)),
        }
    }

    pub(super) fn hunt_mut(&mut self) -> Option<&mut Hunt> {
        match &mut self.stage {
            Stage::Ringing(hunt) => Some(hunt),
            Stage::Talking(..) => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Ringing(hunt) => hunt.deadline(),
            Stage::Talking(..) => None,
        }
    }
}

impl Call {
    /// The consult that is going on. One at a time: who asks two experts at once would talk to neither.
    pub fn consult(&self) -> Option<&Consult> {
        self.consult.as_deref()
    }

    pub(super) fn ask_expert(&mut self, now: Instant, wanted: AskExpert) -> Result<(), CommandError> {
        if !matches!(self.state, State::Talking) || !self.customer_and_agent_talk() {
            return Err(CommandError::NotTalking);
        }
        if self.consult.is_some() {
            return Err(CommandError::ConsultRunning);
        }
        if self.transfer.is_some() {
            return Err(CommandError::Transferring);
        }
        let by = self.asker(wanted.by)?;
        if self.is_full() {
            return Err(CommandError::Full);
        }
        let stage = Stage::Ringing(Hunt::new(wanted.ways, None));
        self.consult = Some(Box::new(Consult { id: wanted.id, by, stage, held: Vec::new() }));
        self.tell(CallEvent::ConsultRequested { id: wanted.id, by });
        self.hold_customers();
        self.ring_expert(now);
        Ok(())
    }

    /// Who may ask: an agent in conversation, or the supervisor who has taken the call over.
    fn asker(&self, wanted: Option<LegId>) -> Result<LegId, CommandError> {
        let may_ask = |leg: &LegId| {
            self.party(*leg).is_some_and(|p| {
                let has_the_call = matches!(
                    p.seat.role,
                    Role::Agent | Role::Supervisor { coaching: Coaching::TakenOver, .. }
                );
                p.is_here() && p.seat.presence == Presence::Talking && has_the_call
            })
        };
        match wanted {
            Some(leg) if self.party(leg).is_none() => Err(CommandError::NoSuchLeg),
            Some(leg) => Some(leg).filter(may_ask).ok_or(CommandError::MayNotAsk),
            None => self.parties.iter().map(|p| p.seat.leg).find(may_ask).ok_or(CommandError::MayNotAsk),
        }
    }

    /// Rings the next way to the expert, or gives up when none is left.
    fn ring_expert(&mut self, now: Instant) {
        loop {
            let Some(consult) = self.consult.as_deref_mut() else { return };
            let (id, by) = (consult.id, consult.by);
            let Stage::Ringing(hunt) = &mut consult.stage else { return };
            let fell_back = hunt.has_failed();
            let Some(targets) = hunt.next(now) else {
                let verdict = hunt.verdict();
                return self.consult_over(ConsultEnd::Failed(verdict));
            };
            let mut rung = 0;
            for target in targets {
                if self.has(MAX_PARTIES) {
                    break;
                }
                let leg = self.dial(target, Role::Expert { by, speak_to: SpeakTo::Expert });
                if let Some(Stage::Ringing(hunt)) = self.consult.as_deref_mut().map(|c| &mut c.stage) {
                    hunt.rings(leg);
                }
                self.tell(CallEvent::ConsultDialing { id, leg, fell_back });
                rung += 1;
            }
            if rung > 0 {
                return;
            }
        }
    }

    /// The expert's telephone was answered.
    pub(super) fn expert_answered(&mut self, leg: LegId) {
        let Some(consult) = self.consult.as_deref_mut() else { return };
        let id = consult.id;
        let Stage::Ringing(hunt) = &mut consult.stage else { return };
        let others = hunt.stop();
        consult.stage = Stage::Talking(leg, SpeakTo::Expert);
        for other in others.into_iter().filter(|other| *other != leg) {
            self.hang_up(other, Cause::Released);
        }
        self.tell(CallEvent::ConsultAnswered { id, leg });
    }

    pub(super) fn speak_to(&mut self, id: ConsultId, to: SpeakTo) -> Result<(), CommandError> {
        let consult = self.consult_mut(id)?;
        let Stage::Talking(expert, from) = consult.stage else { return Err(CommandError::ExpertNotThere) };
        if from == to {
            return Ok(());
        }
        consult.stage = Stage::Talking(expert, to);
        if let Some(party) = self.party_mut(expert)
            && let Role::Expert { speak_to, .. } = &mut party.seat.role
        {
            *speak_to = to;
        }
        match to {
            SpeakTo::Expert => self.hold_customers(),
            SpeakTo::Customer | SpeakTo::Both | SpeakTo::Conference => self.resume_customers(),
        }
        match to {
            SpeakTo::Customer => self.hold_for_consult(expert),
            SpeakTo::Expert | SpeakTo::Both | SpeakTo::Conference => self.take_back(expert),
        }
        self.tell(CallEvent::SpeakToChanged { id, from, to });
        Ok(())
    }

    /// The expert has the call from now on, and the one who asked leaves it.
    pub(super) fn complete_consult(&mut self, now: Instant, id: ConsultId) -> Result<(), CommandError> {
        let consult = self.consult_mut(id)?;
        let by = consult.by;
        if !matches!(consult.stage, Stage::Talking(..)) {
            return Err(CommandError::ExpertNotThere);
        }
        self.hand_over();
        // In this order: the customer hears the expert before the one who asked is gone.
        self.settle();
        self.hang_up(by, Cause::Released);
        self.gone(now, by, LegEnd::of(Cause::Released));
        Ok(())
    }

    /// The one who asked has thought better of it.
    pub(super) fn cancel_consult(&mut self, id: ConsultId) -> Result<(), CommandError> {
        let end = match self.consult_mut(id)?.stage {
            Stage::Ringing(_) => ConsultEnd::Failed(Cause::Cancelled),
            Stage::Talking(..) => ConsultEnd::Ended(Cause::Cancelled),
        };
        self.consult_over(end);
        Ok(())
    }

    /// A way to the expert, or the expert, is gone. False when `leg` is neither.
    pub(super) fn expert_gone(&mut self, now: Instant, leg: LegId, end: &LegEnd) -> bool {
        let Some(consult) = self.consult.as_deref_mut() else { return false };
        let id = consult.id;
        match &mut consult.stage {
            Stage::Talking(expert, _) if *expert == leg => {
                self.consult_over(ConsultEnd::Ended(end.cause));
                true
            }
            Stage::Ringing(hunt) if hunt.is_ringing(leg) => {
                let nobody_rings = hunt.failed(leg, end.cause);
                self.way_failed(now, id, leg, end.clone(), nobody_rings);
                true
            }
            _ => false,
        }
    }

    /// The time for which a way to the expert is rung may be up.
    pub(super) fn give_up_on_expert(&mut self, now: Instant) {
        let Some(consult) = self.consult.as_deref_mut() else { return };
        let id = consult.id;
        let Stage::Ringing(hunt) = &mut consult.stage else { return };
        let silent = hunt.give_up(now);
        let last = silent.len().saturating_sub(1);
        for (n, leg) in silent.into_iter().enumerate() {
            self.hang_up(leg, Cause::NoAnswer);
            self.way_failed(now, id, leg, LegEnd::of(Cause::NoAnswer), n == last);
        }
    }

    fn way_failed(&mut self, now: Instant, id: ConsultId, leg: LegId, end: LegEnd, nobody_rings: bool) {
        self.tell(CallEvent::ConsultWayFailed { id, leg, end });
        if nobody_rings {
            self.ring_expert(now);
        }
    }

    /// A party that was here is going. If it is the one who asked, the customer is the expert's, if there is one.
    pub(super) fn asker_gone(&mut self, leg: LegId) {
        let Some(consult) = self.consult.as_deref().filter(|consult| consult.by == leg) else { return };
        match consult.stage {
            Stage::Talking(..) => self.hand_over(),
            Stage::Ringing(_) => self.consult_over(ConsultEnd::Failed(Cause::Released)),
        }
    }

    /// The call has a new owner: an expert who is on the line goes on with them, and waits until the customer has
    /// heard from them; one who is still rung was somebody else's idea.
    pub(super) fn consult_passes_to(&mut self, owner: LegId) {
        let Some(consult) = self.consult.as_deref_mut() else { return };
        let id = consult.id;
        let Stage::Talking(expert, _) = consult.stage else {
            return self.consult_over(ConsultEnd::Failed(Cause::Released));
        };
        consult.by = owner;
        if let Some(party) = self.party_mut(expert)
            && let Role::Expert { by, .. } = &mut party.seat.role
        {
            *by = owner;
        }
        // It is talking, or it is told so already: this cannot be refused.
        let _changed = self.speak_to(id, SpeakTo::Customer);
    }

    /// The call ends, and the consult with it.
    pub(super) fn consult_ends_with(&mut self, cause: Cause) {
        let Some(consult) = self.consult.take() else { return };
        let end = match consult.stage {
            Stage::Ringing(_) => ConsultEnd::Failed(cause),
            Stage::Talking(..) => ConsultEnd::Ended(cause),
        };
        self.tell(CallEvent::ConsultOver { id: consult.id, end });
    }

    /// Whether a consult decides about the hold of this party.
    pub(super) fn is_consulted_over(&self, leg: LegId) -> bool {
        self.consult.is_some()
            && self
                .party(leg)
                .is_some_and(|party| matches!(party.seat.role, Role::Customer | Role::Expert { .. }))
    }

    /// The expert becomes the one who serves the customer.
    fn hand_over(&mut self) {
        let Some(consult) = self.consult.take() else { return };
        let Stage::Talking(expert, _) = consult.stage else { return };
        if let Some(party) = self.party_mut(expert) {
            party.seat.role = Role::Agent;
        }
        self.take_back(expert);
        self.take_back_customers();
        self.tell(CallEvent::ConsultOver { id: consult.id, end: ConsultEnd::Completed });
    }

    /// Everybody is back where they were; whoever rings or talks as an expert is let go.
    fn consult_over(&mut self, end: ConsultEnd) {
        let Some(mut consult) = self.consult.take() else { return };
        let experts = match &mut consult.stage {
            Stage::Ringing(hunt) => hunt.stop(),
            Stage::Talking(expert, _) => vec![*expert],
        };
        let cause = match end {
            ConsultEnd::Completed => Cause::Released,
            ConsultEnd::Failed(cause) | ConsultEnd::Ended(cause) => cause,
        };
        for leg in experts {
            self.hang_up(leg, cause);
        }
        for leg in consult.held {
            self.take_back(leg);
        }
        self.tell(CallEvent::ConsultOver { id: consult.id, end });
    }

    fn hold_customers(&mut self) {
        for leg in self.customers() {
            let held_before = self.party(leg).is_some_and(|party| party.seat.hold == Hold::Held);
            self.hold_for_consult(leg);
            if let Some(consult) = self.consult.as_deref_mut()
                && !held_before
            {
                consult.held.push(leg);
            }
        }
    }

    fn resume_customers(&mut self) {
        self.take_back_customers();
        if let Some(consult) = self.consult.as_deref_mut() {
            consult.held.clear();
        }
    }

    fn take_back_customers(&mut self) {
        for leg in self.customers() {
            self.take_back(leg);
        }
    }

    fn customers(&self) -> Vec<LegId> {
        let talks = |seat: super::Seat| seat.role == Role::Customer && seat.presence == Presence::Talking;
        self.parties.iter().filter(|p| p.is_here() && talks(p.seat)).map(|p| p.seat.leg).collect()
    }

    /// Holds a party whose own telephone may be holding us: ours is then the hold that counts.
    fn hold_for_consult(&mut self, leg: LegId) {
        let Some(party) = self.party_mut(leg) else { return };
        if party.leaving || party.seat.presence != Presence::Talking || party.seat.hold == Hold::Held {
            return;
        }
        party.seat.hold = Hold::Held;
        self.act(leg, LegAction::Hold);
        self.tell(CallEvent::Held { leg, by_peer: false });
    }

    fn take_back(&mut self, leg: LegId) {
        let Some(party) = self.party_mut(leg) else { return };
        if party.leaving || party.seat.hold != Hold::Held {
            return;
        }
        party.seat.hold = Hold::None;
        self.act(leg, LegAction::Resume);
        self.tell(CallEvent::Resumed { leg, by_peer: false });
    }

    fn consult_mut(&mut self, id: ConsultId) -> Result<&mut Consult, CommandError> {
        self.consult.as_deref_mut().filter(|consult| consult.id == id).ok_or(CommandError::NoSuchConsult)
    }
}
