//! Monitor, whisper, barge and take over: what changes in the call.
//!
//! ```text
//!            Supervise                    answered / Seat
//!   (none) ───────────> expected or rung ───────────────> on the line ──┐ switch role,
//!                             │                              │   ^      │ digits 4 5 6
//!                             └── no answer, refused ──┐     │   └──────┘
//!                                                      v     v
//!                                              over  <── hung up, call over
//! ```
//!
//! A role change touches the hearing table alone: no signalling, no new media.

use std::time::{Duration, Instant};

use sbc_config::PersonId;

use super::{
    Call, CallEvent, Callee, Cause, ChangedBy, Coaching, CommandError, Hold, LegAction, LegId, Output,
    Presence, Role, SupervisionId, Takeover,
};

/// How long a supervisor's telephone is rung: twice as long as an agent's, since they asked for it
/// and may still be on the way to it.
pub const RUNG_MAX: Duration = Duration::from_secs(60);

/// How long a supervisor who is to dial in is expected. Their place in the call is kept for so long.
pub const EXPECTED_MAX: Duration = Duration::from_secs(120);

/// A wish to supervise, checked by rights before it comes here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervise {
    /// Its id, chosen by the switchboard.
    pub id: SupervisionId,
    /// Who.
    pub supervisor: PersonId,
    /// As what, first.
    pub role: Coaching,
    /// About which agent's leg; the first talking agent when absent.
    pub subject: Option<LegId>,
    /// Roles it may switch to; the first role is always among them.
    pub allowed_roles: Vec<Coaching>,
    /// Whether 4, 5 and 6 switch monitor, whisper and barge.
    pub dtmf_control: bool,
    /// Whether the supervisor stays on the line for the agent's next call.
    pub follows: bool,
    /// How the supervisor gets on the line.
    pub by: Arrival,
}

/// How a supervisor gets on the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// We call them.
    Dial(Callee),
    /// They will call us; see [`super::Command::Seat`].
    Expected,
    /// They are on the line already, from the agent's last call.
    Here(LegId),
}

/// One supervision of this call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervision {
    /// Its id.
    pub id: SupervisionId,
    /// Who.
    pub supervisor: PersonId,
    /// Their leg, once there is one.
    pub leg: Option<LegId>,
    /// The agent's leg.
    pub subject: LegId,
    /// The agent.
    pub agent: Option<PersonId>,
    /// The role now.
    pub role: Coaching,
    /// The roles it may switch to.
    pub allowed_roles: Vec<Coaching>,
    /// Whether 4, 5 and 6 switch it.
    pub dtmf_control: bool,
    /// Whether the supervisor stays for the agent's next call.
    pub follows: bool,
    /// Whether the supervisor is on the line.
    pub started: bool,
    /// When a supervisor who has not come counts as one who does not come.
    pub(super) give_up_at: Option<Instant>,
}

impl Call {
    pub(super) fn supervise(&mut self, now: Instant, wanted: Supervise) -> Result<(), CommandError> {
        let subject = self.subject(wanted.subject)?;
        if wanted.role == Coaching::TakenOver {
            return Err(CommandError::RoleNotAllowed); // join first, then take over
        }
        if self.supervisions.iter().any(|s| s.supervisor == wanted.supervisor) {
            return Err(CommandError::SupervisedAlready);
        }
        if self.is_full() {
            return Err(CommandError::Full);
        }
        let mut allowed_roles = wanted.allowed_roles;
        if !allowed_roles.contains(&wanted.role) {
            allowed_roles.push(wanted.role);
        }
        let agent = self.party(subject).and_then(|p| p.person.clone());
        let (id, role) = (wanted.id, wanted.role);
        self.supervisions.push(Supervision {
            id,
            supervisor: wanted.supervisor.clone(),
            leg: None,
            subject,
            agent,
            role,
            allowed_roles,
            dtmf_control: wanted.dtmf_control,
            follows: wanted.follows,
            started: false,
            give_up_at: match wanted.by {
                Arrival::Dial(_) => Some(now + RUNG_MAX),
                Arrival::Expected => Some(now + EXPECTED_MAX),
                Arrival::Here(_) => None,
            },
        });
        let supervisor = wanted.supervisor;
        self.tell(CallEvent::SupervisionRequested { id, supervisor: supervisor.clone(), role, subject });
        match wanted.by {
            Arrival::Expected => {}
            Arrival::Dial(target) => {
                let leg = self.dial(target, Role::Supervisor { coaching: role, subject });
                if let Some(supervision) = self.supervision_mut(id) {
                    supervision.leg = Some(leg);
                }
            }
            Arrival::Here(leg) => {
                let role = Role::Supervisor { coaching: role, subject };
                self.seat(leg, role, Presence::Talking, Some(supervisor), None);
                if let Some(supervision) = self.supervision_mut(id) {
                    supervision.leg = Some(leg);
                }
                self.supervisor_answered(leg);
            }
        }
        Ok(())
    }

    /// The agent's leg a supervision is about.
    fn subject(&self, wanted: Option<LegId>) -> Result<LegId, CommandError> {
        let talking_agent = |leg: &LegId| {
            self.party(*leg).is_some_and(|p| {
                !p.leaving && p.seat.role == Role::Agent && p.seat.presence == Presence::Talking
            })
        };
        match wanted {
            Some(leg) if self.party(leg).is_none() => Err(CommandError::NoSuchLeg),
            Some(leg) => Some(leg).filter(talking_agent).ok_or(CommandError::NoSubject),
            None => {
                self.parties.iter().map(|p| p.seat.leg).find(talking_agent).ok_or(CommandError::NoSubject)
            }
        }
    }

    /// The expected supervisor has dialled in; their leg waits for our answer.
    pub(super) fn seat_supervisor(&mut self, id: SupervisionId, leg: LegId) -> Result<(), CommandError> {
        let supervision = self.supervision_mut(id).ok_or(CommandError::NoSuchSupervision)?;
        if supervision.leg.is_some() {
            return Err(CommandError::SupervisedAlready);
        }
        supervision.leg = Some(leg);
        let role = Role::Supervisor { coaching: supervision.role, subject: supervision.subject };
        let person = supervision.supervisor.clone();
        self.seat(leg, role, Presence::Waiting, Some(person), None);
        self.act(leg, LegAction::Answer);
        Ok(())
    }

    pub(super) fn supervisor_answered(&mut self, leg: LegId) {
        let Some(supervision) = self.supervisions.iter_mut().find(|s| s.leg == Some(leg)) else { return };
        supervision.started = true;
        supervision.give_up_at = None;
        let (id, role) = (supervision.id, supervision.role);
        self.tell(CallEvent::SupervisionStarted { id, leg, role });
    }

    /// Digits 4, 5 and 6 of a supervisor's telephone; all others mean nothing here, and none of
    /// them ever reaches another party.
    pub(super) fn supervisor_digit(&mut self, id: SupervisionId, digit: char) {
        let to = match digit {
            '4' => Coaching::Monitor,
            '5' => Coaching::Whisper,
            '6' => Coaching::Barge,
            _ => return,
        };
        let controls = self.supervisions.iter().any(|s| s.id == id && s.dtmf_control);
        if controls {
            // A role that is not allowed changes nothing: the telephone has no way to be told why.
            let _refused = self.switch_role(id, to, ChangedBy::Dtmf);
        }
    }

    pub(super) fn switch_role(
        &mut self,
        id: SupervisionId,
        to: Coaching,
        by: ChangedBy,
    ) -> Result<(), CommandError> {
        let supervision = self.supervision_mut(id).ok_or(CommandError::NoSuchSupervision)?;
        if !supervision.allowed_roles.contains(&to) {
            return Err(CommandError::RoleNotAllowed);
        }
        if !supervision.started {
            return Err(CommandError::SupervisorNotThere);
        }
        let from = supervision.role;
        if from == to {
            return Ok(());
        }
        if from == Coaching::TakenOver {
            return Err(CommandError::TakenOver);
        }
        self.change_role(id, to, by);
        Ok(())
    }

    fn change_role(&mut self, id: SupervisionId, to: Coaching, by: ChangedBy) {
        let Some(supervision) = self.supervision_mut(id) else { return };
        let from = std::mem::replace(&mut supervision.role, to);
        let (leg, subject) = (supervision.leg, supervision.subject);
        if let Some(party) = leg.and_then(|leg| self.party_mut(leg)) {
            party.seat.role = Role::Supervisor { coaching: to, subject };
        }
        self.tell(CallEvent::RoleChanged { id, from, to, by });
        if to == Coaching::TakenOver {
            self.take_over(leg, subject);
        }
    }

    /// In this order: the customer hears the supervisor before the agent is gone.
    fn take_over(&mut self, supervisor: Option<LegId>, agent: LegId) {
        if let Some(supervisor) = supervisor {
            self.consult_passes_to(supervisor);
        }
        self.give_back_held(supervisor);
        if self.takeover == Takeover::ReleasesAgent {
            // The supervisor has the call now: whoever was to have the agent's place comes too late.
            if self.is_transferor(agent) {
                self.call_transfer_off(Cause::Released);
            }
            self.settle();
            self.hang_up(agent, Cause::Released);
            self.retarget(agent);
        }
    }

    /// A taken-over customer must not stay on a hold that only the agent knew of, nor may the one
    /// they are left to.
    fn give_back_held(&mut self, supervisor: Option<LegId>) {
        let held: Vec<LegId> = self
            .parties
            .iter()
            .filter(|p| p.is_here() && p.seat.hold == Hold::Held)
            .filter(|p| p.seat.role == Role::Customer || Some(p.seat.leg) == supervisor)
            .map(|p| p.seat.leg)
            .collect();
        for leg in held {
            // It is held, so resuming cannot be refused.
            let _resumed = self.resume(leg);
        }
    }

    /// The last talker is gone. A barging supervisor is somebody the customer hears, so they have
    /// the call now. That is no switch of theirs, so no allowed role is asked for: hanging up on the
    /// customer would be the only other way.
    pub(super) fn leave_to_barging(&mut self) {
        let barging: Vec<SupervisionId> = self
            .supervisions
            .iter()
            .filter(|s| s.started && s.role == Coaching::Barge)
            .map(|s| s.id)
            .collect();
        for id in barging {
            self.change_role(id, Coaching::TakenOver, ChangedBy::AgentLeft);
        }
    }

    /// Supervisions of an agent who leaves turn to another talking agent. Where there is none they
    /// go on hearing whoever remains, and a whisper reaches nobody.
    pub(super) fn retarget(&mut self, gone: LegId) {
        let next = self
            .parties
            .iter()
            .find(|p| {
                !p.leaving
                    && p.seat.leg != gone
                    && p.seat.role == Role::Agent
                    && p.seat.presence == Presence::Talking
            })
            .map(|p| (p.seat.leg, p.person.clone()));
        let mut moved = Vec::new();
        for supervision in self.supervisions.iter_mut().filter(|s| s.subject == gone) {
            if let Some((leg, person)) = &next {
                supervision.subject = *leg;
                supervision.agent = person.clone();
                moved.push((supervision.leg, supervision.role, *leg));
            }
        }
        for (leg, coaching, subject) in moved {
            if let Some(party) = leg.and_then(|leg| self.party_mut(leg)) {
                party.seat.role = Role::Supervisor { coaching, subject };
            }
        }
    }

    pub(super) fn end_supervision(&mut self, id: SupervisionId, cause: Cause) -> Result<(), CommandError> {
        let supervision = self.supervision_mut(id).ok_or(CommandError::NoSuchSupervision)?;
        if supervision.role == Coaching::TakenOver {
            return Err(CommandError::TakenOver); // ending it would strand the customer
        }
        if let Some(leg) = supervision.leg {
            self.hang_up(leg, cause);
        }
        self.supervision_over(id, cause);
        Ok(())
    }

    /// Supervisors who were rung or expected long enough.
    pub(super) fn give_up_on_supervisors(&mut self, now: Instant) {
        let late = |s: &&Supervision| s.give_up_at.is_some_and(|at| at <= now);
        let late: Vec<SupervisionId> = self.supervisions.iter().filter(late).map(|s| s.id).collect();
        for id in late {
            // It is in the list, and nobody takes over who is not on the line: this cannot be refused.
            let _ended = self.end_supervision(id, Cause::NoAnswer);
        }
    }

    pub(super) fn supervision_over(&mut self, id: SupervisionId, cause: Cause) {
        let Some(place) = self.supervisions.iter().position(|s| s.id == id) else { return };
        self.supervisions.remove(place);
        self.tell(CallEvent::SupervisionEnded { id, cause });
    }

    /// The call ends: supervisors who follow their agent stay on the line, without this call.
    pub(super) fn let_followers_go(&mut self) {
        let (followers, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.supervisions)
            .into_iter()
            .partition(|s| s.follows && s.started && s.role != Coaching::TakenOver);
        self.supervisions = rest;
        for supervision in followers {
            if let Some(leg) = supervision.leg {
                // The next call knows nothing of a hold in this one. Not held: nothing to resume.
                let _not_held = self.resume(leg);
            }
            self.parties.retain(|p| Some(p.seat.leg) != supervision.leg || p.leaving);
            self.outputs.push_back(Output::Keep(supervision));
        }
    }

    fn supervision_mut(&mut self, id: SupervisionId) -> Option<&mut super::Supervision> {
        self.supervisions.iter_mut().find(|s| s.id == id)
    }
}
