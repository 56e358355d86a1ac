//! Transfer: another takes a party's place, and the one on the other side keeps the line.
//!
//! ```text
//!             Referred, Transfer, Replace            target answers (and is heard to be a person)
//!   (none) ────────────────────────────────> Pending ───────────────────────────> handed over ──> (none)
//!                                             │   │                               the transferor hangs up
//!           refused, silent, `RINGS_MAX` over │   │ transferor leaves             itself, or is hung up
//!                                             v   v                               after `RELEASE_MAX`
//!                   everybody is back where      Orphaned ── target answers ──> (none)
//!                   they were: rolled back          │
//!                                                   └────── refused ──> nobody is left: the call ends
//! ```
//!
//! RFC 5589 names the three: the *transferor* asks, the *transferee* is whoever talked with them, the *target* comes. The
//! target is seated in the transferor's role from the first ring, so the one table says what everybody hears: the transferee
//! hears it ring, and from its answer on hears it. Nothing is taken from the transferor before that answer, so rolling
//! back is to forget the target. What the target *is* only its door knows: the core carries it.

use std::time::{Duration, Instant};

use super::{
    Call, CallEvent, Callee, Cause, Coaching, CommandError, Hold, LegAction, LegEnd, LegId, Presence,
    Referral, Role, Screening, State,
};

/// How long a target is rung, counted anew when it says that it rings. A transferor over SIP is told at least as often
/// (the subscription of a REFER is given 60 s, RFC 3515 section 2.4.4).
pub const RINGS_MAX: Duration = Duration::from_secs(60);

/// How long a target that has answered is listened to at most, whoever listens: no greeting is longer, and the configuration
/// allows no more.
pub const SCREENED_MAX: Duration = Duration::from_secs(32);

/// How long a transferor may stay who has been told that their wish is done. They hang up themselves (RFC 5589 section 6.1);
/// this is as long as a request of theirs may be under way (RFC 3261 section 17.1.2.2, timer F).
pub const RELEASE_MAX: Duration = Duration::from_secs(32);

/// Who wanted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AskedBy {
    /// The transferor, on their own telephone.
    Transferor,
    /// A request over the API.
    Api,
    /// The target, who has called in to take the place (INVITE with Replaces, RFC 3891).
    Target,
}

/// A transfer whose target has not answered.
#[derive(Debug)]
pub(super) struct Transfer {
    transferor: LegId,
    target: LegId,
    asked_by: AskedBy,
    phase: Phase,
    give_up_at: Instant,
    rings: bool,
    /// It has answered, and is listened to before it has the place.
    answered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The transferor is there to go back to.
    Pending,
    /// The transferor has hung up and left the transferee to the target.
    Orphaned,
}

/// One who has given their place away and has still to go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Released {
    leg: LegId,
    until: Instant,
}

impl CommandError {
    /// What a telephone is told whose button asked for it.
    pub fn to_a_telephone(self) -> Cause {
        match self {
            CommandError::Full | CommandError::Transferring | CommandError::ConsultRunning => {
                Cause::Congestion
            }
            _ => Cause::Forbidden,
        }
    }
}

impl Call {
    /// A party's own telephone asks that another take its place. It is told what becomes of that, whatever it is.
    pub(super) fn referred(&mut self, now: Instant, transferor: LegId, target: Callee) {
        if let Err(error) = self.transfer(now, transferor, target, AskedBy::Transferor) {
            self.act(transferor, LegAction::Refer(Referral::Failed(error.to_a_telephone())));
        }
    }

    pub(super) fn transfer(
        &mut self,
        now: Instant,
        transferor: LegId,
        target: Callee,
        asked_by: AskedBy,
    ) -> Result<(), CommandError> {
        let role = self.place_of(transferor)?;
        if self.is_full() {
            return Err(CommandError::Full);
        }
        let name = target.name().to_owned();
        let leg = self.dial(target, role);
        self.begin(now, transferor, leg, name, asked_by);
        Ok(())
    }

    /// One who called in takes the place of a party, by right of knowing its connection.
    pub(super) fn replace(&mut self, now: Instant, old: LegId, new: LegId) -> Result<(), CommandError> {
        let role = self.place_of(old)?;
        if self.is_full() {
            return Err(CommandError::Full);
        }
        let (person, trunk) =
            self.party(old).map(|p| (p.person.clone(), p.trunk.clone())).unwrap_or_default();
        self.seat(new, role, Presence::Waiting, person, trunk);
        self.begin(now, old, new, String::new(), AskedBy::Target);
        self.act(new, LegAction::Answer);
        Ok(())
    }

    /// The part a party can give away: one in the conversation. A supervisor has none unless they have the call.
    pub(super) fn place_of(&self, transferor: LegId) -> Result<Role, CommandError> {
        let party = self.party(transferor).ok_or(CommandError::NoSuchLeg)?;
        if self.transfer.is_some() {
            return Err(CommandError::Transferring);
        }
        // Who asks an expert is about to give the call away, and not to two at once.
        if self.consult.is_some() {
            return Err(CommandError::ConsultRunning);
        }
        let talks = !party.leaving && party.seat.presence == Presence::Talking;
        if !talks || !matches!(self.state, State::Talking) {
            return Err(CommandError::NotTalking);
        }
        match party.seat.role {
            role @ (Role::Customer | Role::Agent) => Ok(role),
            Role::Supervisor { coaching: Coaching::TakenOver, .. } => Ok(Role::Agent),
            Role::Expert { .. } | Role::Supervisor { .. } | Role::Unassigned => {
                Err(CommandError::NoPlaceToGive)
            }
        }
    }

    pub(super) fn begin(
        &mut self,
        now: Instant,
        transferor: LegId,
        target: LegId,
        name: String,
        asked_by: AskedBy,
    ) {
        let give_up_at = now + RINGS_MAX;
        let phase = Phase::Pending;
        self.transfer =
            Some(Transfer { transferor, target, asked_by, phase, give_up_at, rings: false, answered: false });
        self.tell(CallEvent::TransferStarted { transferor, target, name, by: asked_by });
    }

    /// The transferor and the target of the transfer that is under way.
    pub fn transferring(&self) -> Option<(LegId, LegId)> {
        self.transfer.as_ref().map(|transfer| (transfer.transferor, transfer.target))
    }

    /// When something about transfers is to happen by itself.
    pub(super) fn transfer_deadline(&self) -> Option<Instant> {
        let releases = self.released.iter().map(|released| released.until);
        releases.chain(self.transfer.as_ref().map(|transfer| transfer.give_up_at)).min()
    }

    pub(super) fn transfer_timeout(&mut self, now: Instant) {
        let late: Vec<LegId> = self.released.iter().filter(|r| r.until <= now).map(|r| r.leg).collect();
        self.released.retain(|released| released.until > now);
        for leg in late {
            self.hang_up(leg, Cause::Released);
        }
        if self.transfer.as_ref().is_some_and(|transfer| transfer.answered && transfer.give_up_at <= now) {
            return self.complete_transfer(now); // it was listened to for long enough
        }
        if let Some(transfer) = self.transfer.as_ref().filter(|transfer| transfer.give_up_at <= now) {
            let target = transfer.target;
            self.hang_up(target, Cause::NoAnswer);
            self.transfer_failed(now, LegEnd::of(Cause::NoAnswer));
        }
    }

    /// Whether this leg is rung as the target of a transfer.
    pub(super) fn is_target(&self, leg: LegId) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| transfer.target == leg)
    }

    /// Whether this leg is about to give its place away.
    pub(super) fn is_transferor(&self, leg: LegId) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| transfer.transferor == leg)
    }

    /// The target rings, or plays something: the transferor is told, once.
    pub(super) fn target_rings(&mut self, now: Instant) {
        let Some(transfer) = self.transfer.as_mut().filter(|transfer| !transfer.rings) else { return };
        transfer.rings = true;
        transfer.give_up_at = now + RINGS_MAX;
        let (transferor, target) = (transfer.transferor, transfer.target);
        self.tell_transferor(Referral::Ringing);
        self.tell(CallEvent::TransferProgress { transferor, target });
    }

    /// From now on a target has its place only when it is heard to be a person. Until then the transferor stays, and is
    /// heard as well.
    pub fn screen_targets(&mut self) {
        self.screens_targets = true;
    }

    /// The target has answered.
    pub(super) fn target_answered(&mut self, now: Instant) {
        let screens = self.screens_targets;
        let Some(transfer) = &mut self.transfer else { return };
        let target = transfer.target;
        transfer.answered =
            screens && transfer.phase == Phase::Pending && transfer.asked_by != AskedBy::Target;
        let waits = transfer.answered;
        if waits {
            transfer.give_up_at = now + SCREENED_MAX;
        }
        self.tell(CallEvent::Answered { leg: target });
        if !waits {
            self.complete_transfer(now);
        }
    }

    /// Whoever answered has been listened to, or its network says who took the call.
    pub(super) fn screened(&mut self, now: Instant, leg: LegId, screening: Screening) {
        let on_trial = self.transfer.as_ref().is_some_and(|t| t.target == leg && t.answered);
        let consult = self.consult().filter(|c| c.talking().is_some_and(|(expert, _)| expert == leg));
        let consult = consult.map(super::Consult::id);
        match screening {
            Screening::Nothing if on_trial => self.complete_transfer(now),
            Screening::Voicemail(sign) if on_trial || consult.is_some() || self.last_target == Some(leg) => {
                self.tell(CallEvent::VoicemailSuspected { leg, sign, consult });
                if on_trial {
                    self.hang_up(leg, Cause::Released);
                    self.transfer_failed(now, LegEnd::of(Cause::Voicemail));
                }
            }
            Screening::Nothing | Screening::Voicemail(_) => {}
        }
    }

    /// In one step the target has the place, and the transferor none.
    pub(super) fn complete_transfer(&mut self, now: Instant) {
        let Some(transfer) = self.transfer.take() else { return };
        let Transfer { transferor, target, asked_by, phase, .. } = transfer;
        self.last_target = Some(target);
        self.supervise_instead(transferor, target);
        if phase == Phase::Pending {
            if let Some(id) = self.supervisions.iter().find(|s| s.leg == Some(transferor)).map(|s| s.id) {
                self.supervision_over(id, Cause::Released); // they had taken the call over, and gave it away
            }
            if let Some(party) = self.party_mut(transferor) {
                party.seat.role = Role::Unassigned;
            }
        }
        self.give_back_transferee(target);
        self.tell(CallEvent::TransferCompleted { transferor, target });
        match (phase, asked_by) {
            (Phase::Orphaned, _) => {}
            (Phase::Pending, AskedBy::Transferor) => {
                // RFC 5589 section 6.1: whoever sent the REFER hangs up when told of its success.
                self.act(transferor, LegAction::Refer(Referral::Connected));
                self.released.push(Released { leg: transferor, until: now + RELEASE_MAX });
            }
            (Phase::Pending, AskedBy::Api | AskedBy::Target) => {
                self.settle(); // the transferee hears the target before the transferor is gone
                self.hang_up(transferor, Cause::Released);
            }
        }
    }

    /// The target does not come: everybody is back where they were, or nobody is left.
    pub(super) fn transfer_failed(&mut self, now: Instant, end: LegEnd) {
        let Some(transfer) = &self.transfer else { return };
        let (transferor, target, phase) = (transfer.transferor, transfer.target, transfer.phase);
        self.tell_transferor(Referral::Failed(end.cause));
        self.transfer = None;
        let cause = end.cause;
        self.tell(CallEvent::TransferFailed { transferor, target, end });
        match phase {
            Phase::Pending => self.tell(CallEvent::TransferRolledBack { transferor }),
            Phase::Orphaned => self.left(now, target, cause),
        }
    }

    /// A transfer is not wanted any more: the target stops ringing.
    pub(super) fn call_transfer_off(&mut self, cause: Cause) {
        let Some(transfer) = &self.transfer else { return };
        let (transferor, target) = (transfer.transferor, transfer.target);
        self.tell_transferor(Referral::Failed(cause));
        self.transfer = None;
        self.hang_up(target, cause);
        self.tell(CallEvent::TransferFailed { transferor, target, end: LegEnd::of(cause) });
    }

    /// A party has left: what of the transfer that was to give its place away? One who hangs up has left the transferee
    /// to the target. One who is lost has decided nothing, so the target stops ringing.
    pub(super) fn transferor_left(&mut self, now: Instant, leg: LegId, cause: Cause) {
        self.released.retain(|released| released.leg != leg);
        let Some(transfer) = self.transfer.as_mut().filter(|transfer| transfer.transferor == leg) else {
            return;
        };
        if transfer.answered {
            // They have heard who it is, and leave the transferee to it.
            transfer.phase = Phase::Orphaned;
            self.complete_transfer(now);
        } else if transfer.phase == Phase::Pending && cause == Cause::Normal {
            transfer.phase = Phase::Orphaned;
        } else {
            self.call_transfer_off(Cause::Cancelled);
        }
    }

    /// Whether a target rings that will have the call with the customer.
    pub(super) fn a_talker_is_coming(&self) -> bool {
        let target = self.transfer.as_ref().and_then(|transfer| self.party(transfer.target));
        target.is_some_and(|party| !party.leaving && party.seat.role != Role::Customer)
    }

    /// Supervisors of the transferor stay, and turn to whoever took the place.
    fn supervise_instead(&mut self, transferor: LegId, target: LegId) {
        let person = self.party(target).and_then(|party| party.person.clone());
        let agent = self.party(target).is_some_and(|party| party.seat.role == Role::Agent);
        if !agent {
            return;
        }
        let mut moved = Vec::new();
        for supervision in self.supervisions.iter_mut().filter(|s| s.subject == transferor) {
            supervision.subject = target;
            if person.is_some() {
                supervision.agent.clone_from(&person);
            }
            moved.push((supervision.leg, supervision.role));
        }
        for (leg, coaching) in moved {
            if let Some(party) = leg.and_then(|leg| self.party_mut(leg)) {
                party.seat.role = Role::Supervisor { coaching, subject: target };
            }
        }
    }

    /// A transferee whom the transferor had put on hold through us must hear the target.
    fn give_back_transferee(&mut self, target: LegId) {
        let held: Vec<LegId> = self
            .parties
            .iter()
            .filter(|p| !p.leaving && p.seat.leg != target && p.seat.hold == Hold::Held)
            .filter(|p| matches!(p.seat.role, Role::Customer | Role::Agent))
            .map(|p| p.seat.leg)
            .collect();
        for leg in held {
            // It is held, so resuming cannot be refused.
            let _resumed = self.resume(leg);
        }
    }

    fn tell_transferor(&mut self, news: Referral) {
        let Some(transfer) = &self.transfer else { return };
        let (leg, asked_by) = (transfer.transferor, transfer.asked_by);
        let there = self.party(leg).is_some_and(|party| !party.leaving);
        if asked_by == AskedBy::Transferor && there {
            self.act(leg, LegAction::Refer(news));
        }
    }
}
