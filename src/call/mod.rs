//! The core: what a call is and what happens to it. No clock, no socket, no task.
//!
//! A [`Call`] is told everything, the time included, and tells back what should happen:
//!
//! ```text
//!   LegEvent (from a door) ─┐                        ┌─> LegAction (to a door)
//!   Command  (from the API) ├─> Call::handle, poll ──┼─> Hearing   (to the bridge)
//!   Timeout                 ┘                        └─> CallEvent (to journal and API)
//! ```
//!
//! # Invariants
//! - Who hears whom is decided in [`hearing`] alone, after every change, for all parties at once.
//! - Every leg that was dialled or admitted ends with exactly one [`LegEvent::Ended`]; the call is
//!   over when all have ended, or when [`ENDING_MAX`] has passed.
//! - A role change touches no signalling: only the table.
//! - The customer is never left without somebody to hear while a talker remains.

pub mod alarm;
mod callee;
pub mod card;
mod cause;
mod consult;
pub mod context;
pub mod door;
mod event;
pub mod hearing;
mod hold;
mod hunt;
mod join;
pub mod journey;
mod leg;
mod party;
pub mod rights;
mod setup;
mod supervise;
mod transfer;
mod word;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sbc_config::{PersonId, TrunkId};

pub use callee::{Callee, Carrier, TeamsAddress, TeamsUser, TeamsWay, WrongCarrier};
pub use cause::Cause;
pub use consult::{AskExpert, Consult, ConsultEnd};
pub use event::{CallEvent, ChangedBy};
pub use hearing::Hearing;
pub use hunt::{After, Attempt, MAX_ATTEMPTS};
pub use join::Passage;
pub use leg::{Address, LegAction, LegEnd, LegEvent, Opaque, Referral, Screening, Target, VoicemailSign};
pub use party::{
    CallId, Coaching, ConsultId, Hold, LegId, MAX_PARTIES, Presence, Role, Seat, SpeakTo, SupervisionId,
    UnknownId,
};
pub use setup::{CallerIs, Setup, Takeover};
pub use supervise::{Arrival, EXPECTED_MAX, RUNG_MAX, Supervise, Supervision};
pub use transfer::{AskedBy, RELEASE_MAX, RINGS_MAX, SCREENED_MAX};
pub use word::{Command, CommandError, Input, Output};

use hunt::Hunt;
use transfer::{Released, Transfer};

/// How long legs may take to go once the call is over: a BYE without answer is given up after 32
/// seconds (RFC 3261 section 17.1.2.2, timer F), so after this only a defect is left.
pub const ENDING_MAX: Duration = Duration::from_secs(40);

/// One party with its connection.
#[derive(Debug)]
pub struct Party {
    seat: Seat,
    person: Option<PersonId>,
    trunk: Option<TrunkId>,
    /// We have told its door to end it; whatever it still says does not count.
    leaving: bool,
    /// It has told that it rings: telephones and forks say so many times, and it is news once.
    rings: bool,
    /// It is dialled when the prerequisites allow it.
    clearing: Option<Box<TeamsUser>>,
}

impl Party {
    /// How the hearing table sees this party.
    pub fn seat(&self) -> Seat {
        self.seat
    }

    /// Which of our people this is.
    pub fn person(&self) -> Option<&PersonId> {
        self.person.as_ref()
    }

    /// The trunk it runs over.
    pub fn trunk(&self) -> Option<&TrunkId> {
        self.trunk.as_ref()
    }
}

#[derive(Debug)]
enum State {
    /// Somebody is being rung: an agent, or the customer of an originated call.
    Hunting(Hunt),
    /// Both sides have answered.
    Talking,
    /// Legs are being taken down.
    Ending { cause: Cause, by: Option<LegId>, until: Instant },
    /// All are gone.
    Over,
}

/// One call. See the module for the contract.
#[derive(Debug)]
pub struct Call {
    parties: Vec<Party>,
    supervisions: Vec<Supervision>,
    /// Somebody is being asked for help. Rare, so it takes no room in calls without.
    consult: Option<Box<Consult>>,
    state: State,
    /// The transfer whose target is awaited.
    transfer: Option<Transfer>,
    /// Whether a transfer is done only when its target is heard to be a person.
    screens_targets: bool,
    /// Who has a place by the newest transfer.
    last_target: Option<LegId>,
    /// Those who gave their place away and have still to hang up.
    released: Vec<Released>,
    /// For an originated call, whom to ring for the agent once they are there.
    then_ring: Option<Attempt>,
    /// The part of those who are rung.
    rung_as: Role,
    takeover: Takeover,
    parties_max: usize,
    bridged: bool,
    table: Hearing,
    generation: u64,
    ids: LegIds,
    outputs: VecDeque<Output>,
}

impl Call {
    /// A call that reached us: the first leg waits for somebody to be found.
    pub fn inbound(now: Instant, setup: Setup) -> Call {
        let mut call = Call::new(&setup);
        let (caller, rung_as) = match setup.first_is {
            CallerIs::Customer => (Role::Customer, Role::Agent),
            CallerIs::Agent => (Role::Agent, Role::Customer),
        };
        call.rung_as = rung_as;
        call.seat(setup.first, caller, Presence::Waiting, setup.first_person, setup.first_trunk);
        call.tell(CallEvent::Initiated);
        call.state = State::Hunting(Hunt::new(setup.attempts, setup.when_exhausted));
        call.ring_next(now);
        call.settle();
        call
    }

    /// A call we place for an agent: the agent is rung by `setup.attempts`, then the customer.
    /// `setup.first` names no leg here.
    pub fn outbound(now: Instant, setup: Setup, customer: Attempt) -> Call {
        let mut call = Call::new(&setup);
        call.then_ring = Some(customer);
        call.tell(CallEvent::Initiated);
        call.state = State::Hunting(Hunt::new(setup.attempts, setup.when_exhausted));
        call.ring_next(now);
        call.settle();
        call
    }

    fn new(setup: &Setup) -> Call {
        Call {
            parties: Vec::with_capacity(3),
            supervisions: Vec::new(),
            consult: None,
            state: State::Talking,
            transfer: None,
            screens_targets: false,
            last_target: None,
            released: Vec::new(),
            then_ring: None,
            rung_as: Role::Agent,
            takeover: setup.takeover,
            parties_max: setup.parties_max.min(MAX_PARTIES),
            bridged: false,
            table: Hearing::default(),
            generation: 0,
            ids: LegIds(setup.seed),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Leg(leg, event) => self.leg_event(now, leg, event),
            Input::Cleared(leg, address) => self.cleared(now, leg, *address),
            Input::Timeout => self.timeout(now),
        }
        self.settle();
    }

    /// Carries out a command, or says why not.
    pub fn command(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        if matches!(self.state, State::Ending { .. } | State::Over) {
            return Err(CommandError::Over);
        }
        let done = match command {
            Command::Hold(leg) | Command::Resume(leg) if self.is_consulted_over(leg) => {
                Err(CommandError::Consulting)
            }
            Command::Hold(leg) => self.hold(leg),
            Command::Resume(leg) => self.resume(leg),
            Command::Mute(leg) => self.mute(leg, true),
            Command::Unmute(leg) => self.mute(leg, false),
            Command::SendDigits(leg, digits) => self.send_digits(leg, digits),
            Command::HangUpLeg(leg) => self.hang_up_leg(now, leg),
            Command::HangUp(cause) => {
                self.end(now, cause, None);
                Ok(())
            }
            Command::Transfer(leg, target) => self.transfer(now, leg, target, AskedBy::Api),
            Command::Replace(old, new) => self.replace(now, old, new),
            Command::Supervise(wanted) => self.supervise(now, wanted),
            Command::Seat(id, leg) => self.seat_supervisor(id, leg),
            Command::SwitchRole(id, role) => self.switch_role(id, role, ChangedBy::Api),
            Command::EndSupervision(id) => self.end_supervision(id, Cause::Normal),
            Command::Consult(wanted) => self.ask_expert(now, wanted),
            Command::SpeakTo(id, to) => self.speak_to(id, to),
            Command::CompleteConsult(id) => self.complete_consult(now, id),
            Command::CancelConsult(id) => self.cancel_consult(id),
        };
        self.settle();
        done
    }

    /// The next thing to be done, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Hunting(hunt) => hunt.deadline(),
            State::Ending { until, .. } => Some(*until),
            State::Talking | State::Over => None,
        };
        let supervisors = self.supervisions.iter().filter_map(|s| s.give_up_at);
        let expert = self.consult.as_ref().and_then(|consult| consult.deadline());
        supervisors.chain(own).chain(expert).chain(self.transfer_deadline()).min()
    }

    /// The parties, in order of arrival.
    pub fn parties(&self) -> &[Party] {
        &self.parties
    }

    /// The supervisions.
    pub fn supervisions(&self) -> &[Supervision] {
        &self.supervisions
    }

    /// The table in force, and its generation.
    pub fn table(&self) -> (u64, &Hearing) {
        (self.generation, &self.table)
    }

    /// Whether customer and agent have ever heard each other.
    pub fn is_talking(&self) -> bool {
        self.bridged && !self.is_ending()
    }

    /// Why the call is being taken down, and whose end brought that about.
    pub fn ending(&self) -> Option<(Cause, Option<LegId>)> {
        if let State::Ending { cause, by, .. } = self.state { Some((cause, by)) } else { None }
    }

    /// Whether the call is being taken down.
    pub fn is_ending(&self) -> bool {
        matches!(self.state, State::Ending { .. } | State::Over)
    }

    fn leg_event(&mut self, now: Instant, leg: LegId, event: LegEvent) {
        if let LegEvent::Ended(end) = event {
            return self.leg_ended(now, leg, end);
        }
        let Some(party) = self.parties.iter_mut().find(|p| p.seat.leg == leg) else { return };
        if party.leaving {
            return;
        }
        match event {
            LegEvent::Ringing => self.leg_rings(now, leg),
            LegEvent::EarlyMedia => self.early_media(now, leg),
            LegEvent::Answered => self.leg_answered(now, leg),
            LegEvent::Held => self.peer_hold(leg, Hold::Holding),
            LegEvent::Resumed => self.peer_hold(leg, Hold::None),
            LegEvent::Digit(digit) => self.digit(leg, digit),
            LegEvent::Referred(target) => self.referred(now, leg, *target),
            LegEvent::Screened(screening) => self.screened(now, leg, screening),
            LegEvent::MediaLost => {
                self.hang_up(leg, Cause::MediaTimeout);
                self.gone(now, leg, LegEnd::of(Cause::MediaTimeout));
            }
            LegEvent::Ended(_) => unreachable!("handled above"),
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.give_up_on_supervisors(now);
        self.give_up_on_expert(now);
        self.transfer_timeout(now);
        match &mut self.state {
            State::Hunting(hunt) => {
                let silent = hunt.give_up(now);
                if silent.is_empty() {
                    return;
                }
                for leg in silent {
                    self.hang_up(leg, Cause::NoAnswer);
                    self.tell(CallEvent::AttemptFailed { leg, end: LegEnd::of(Cause::NoAnswer) });
                }
                self.ring_next(now);
            }
            State::Ending { cause, by, until } if now >= *until => {
                let (cause, by) = (*cause, *by);
                self.parties.clear();
                self.over(cause, by);
            }
            State::Ending { .. } | State::Talking | State::Over => {}
        }
    }

    /// Rings the next targets, or ends the call when none are left.
    fn ring_next(&mut self, now: Instant) {
        loop {
            let State::Hunting(hunt) = &mut self.state else { return };
            let Some(targets) = hunt.next(now) else {
                let verdict = hunt.verdict();
                return self.end(now, verdict, None);
            };
            let mut rung = 0;
            for target in targets {
                // These are alternatives, of whom one will stay.
                if self.has(MAX_PARTIES) {
                    break;
                }
                let leg = self.dial(target, self.rung_as);
                if let State::Hunting(hunt) = &mut self.state {
                    hunt.rings(leg);
                }
                rung += 1;
            }
            if rung > 0 {
                return;
            }
        }
    }

    fn seat(
        &mut self,
        leg: LegId,
        role: Role,
        presence: Presence,
        person: Option<PersonId>,
        trunk: Option<TrunkId>,
    ) {
        let seat = Seat { leg, role, presence, hold: Hold::None, muted: false };
        self.parties.push(Party { seat, person, trunk, leaving: false, rings: false, clearing: None });
    }

    fn leg_rings(&mut self, now: Instant, leg: LegId) {
        let Some(party) = self.party_mut(leg) else { return };
        if party.seat.presence != Presence::Ringing || matches!(party.seat.role, Role::Supervisor { .. }) {
            return;
        }
        if std::mem::replace(&mut party.rings, true) {
            return;
        }
        let expert = matches!(party.seat.role, Role::Expert { .. });
        if let Some(hunt) = self.hunt_of(leg) {
            hunt.rang(leg);
        }
        self.tell(CallEvent::Ringing { leg });
        if self.is_target(leg) {
            return self.target_rings(now);
        }
        if !expert {
            self.act_for_caller(LegAction::Alert);
        }
    }

    /// The search in which this leg is rung.
    fn hunt_of(&mut self, leg: LegId) -> Option<&mut Hunt> {
        let consult = self.consult.as_deref_mut().and_then(Consult::hunt_mut);
        let own = match &mut self.state {
            State::Hunting(hunt) => Some(hunt),
            State::Talking | State::Ending { .. } | State::Over => None,
        };
        own.into_iter().chain(consult).find(|hunt| hunt.is_ringing(leg))
    }

    fn early_media(&mut self, now: Instant, leg: LegId) {
        let Some(party) = self.party_mut(leg) else { return };
        if party.seat.presence != Presence::Ringing || matches!(party.seat.role, Role::Supervisor { .. }) {
            return;
        }
        party.seat.presence = Presence::Early;
        let expert = matches!(party.seat.role, Role::Expert { .. });
        if let Some(hunt) = self.hunt_of(leg) {
            hunt.rang(leg);
        }
        if self.is_target(leg) {
            return self.target_rings(now);
        }
        // Whoever asked an expert is on the line already, and hears it.
        if !expert {
            self.act_for_caller(LegAction::OpenEarly);
        }
    }

    /// To the caller who waits for somebody to answer. A supervisor who dials in also waits, but for
    /// nobody else's answer.
    fn act_for_caller(&mut self, action: LegAction) {
        let waits = |p: &&Party| {
            p.is_here()
                && p.seat.presence == Presence::Waiting
                && !matches!(p.seat.role, Role::Supervisor { .. })
        };
        if let Some(leg) = self.parties.iter().find(waits).map(|p| p.seat.leg) {
            self.act(leg, action);
        }
    }

    fn leg_answered(&mut self, now: Instant, leg: LegId) {
        let Some(party) = self.party_mut(leg) else { return };
        let before = party.seat.presence;
        if before == Presence::Talking {
            return;
        }
        party.seat.presence = Presence::Talking;
        let role = party.seat.role;
        match role {
            Role::Supervisor { .. } => return self.supervisor_answered(leg),
            Role::Expert { .. } => return self.expert_answered(leg),
            Role::Unassigned | Role::Customer | Role::Agent => {}
        }
        if self.is_target(leg) {
            return self.target_answered(now);
        }
        self.tell(CallEvent::Answered { leg });
        if before == Presence::Waiting {
            return; // the caller: our own answer has been sent
        }
        if let State::Hunting(hunt) = &mut self.state {
            for other in hunt.stop() {
                if other != leg {
                    self.hang_up(other, Cause::Released);
                }
            }
        }
        match self.then_ring.take() {
            Some(attempt) => {
                self.rung_as = Role::Customer;
                self.state = State::Hunting(Hunt::new(vec![attempt], None));
                self.ring_next(now);
            }
            None => {
                self.state = State::Talking;
                self.act_for_caller(LegAction::Answer);
            }
        }
    }

    fn digit(&mut self, leg: LegId, digit: char) {
        if let Some(id) = self.supervisions.iter().find(|s| s.leg == Some(leg)).map(|s| s.id) {
            self.supervisor_digit(id, digit);
        }
    }

    fn leg_ended(&mut self, now: Instant, leg: LegId, end: LegEnd) {
        let Some(party) = self.party_mut(leg) else { return };
        // If we hung it up, its leaving has been dealt with.
        if !std::mem::replace(&mut party.leaving, true) {
            self.gone(now, leg, end);
        }
        self.parties.retain(|p| p.seat.leg != leg);
        if let State::Ending { cause, by, .. } = self.state
            && self.parties.is_empty()
        {
            self.over(cause, by);
        }
    }

    /// A party is gone or going, by itself or by our hand: one that was being rung, or one that was here.
    fn gone(&mut self, now: Instant, leg: LegId, end: LegEnd) {
        if self.expert_gone(now, leg, &end) {
            return;
        }
        let Some(party) = self.party(leg) else { return };
        if party.is_rung() || self.is_target(leg) {
            self.attempt_failed(now, leg, end);
        } else {
            self.left(now, leg, end.cause);
        }
    }

    fn attempt_failed(&mut self, now: Instant, leg: LegId, end: LegEnd) {
        if self.is_target(leg) {
            return self.transfer_failed(now, end);
        }
        let cause = end.cause;
        self.tell(CallEvent::AttemptFailed { leg, end });
        if let State::Hunting(hunt) = &mut self.state
            && hunt.failed(leg, cause)
        {
            self.ring_next(now);
        }
    }

    /// A party is gone or going. What is left of the call?
    fn left(&mut self, now: Instant, leg: LegId, cause: Cause) {
        self.transferor_left(now, leg, cause);
        if let Some(id) = self.supervisions.iter().find(|s| s.leg == Some(leg)).map(|s| s.id) {
            self.asker_gone(leg);
            self.supervision_over(id, cause);
        } else {
            self.asker_gone(leg);
            self.retarget(leg);
        }
        if !self.somebody_talks() && !self.a_talker_is_coming() {
            self.leave_to_barging();
        }
        let is_here = |role| self.parties.iter().any(|p| p.is_here() && p.seat.role == role);
        let customers = is_here(Role::Customer);
        let over = match &self.state {
            // Somebody waits for the one who is rung: the caller, or the agent of an originated call.
            State::Hunting(_) if self.rung_as == Role::Customer => {
                !is_here(Role::Agent) && !self.somebody_talks()
            }
            State::Hunting(_) => !customers && self.then_ring.is_none(),
            State::Talking => !customers || !self.somebody_talks() && !self.a_talker_is_coming(),
            State::Ending { .. } | State::Over => false,
        };
        if over {
            self.end(now, cause, Some(leg));
        }
    }

    /// Whether anybody is left who has the call with the customer. One who barges has it only with
    /// an agent, or takes it over: see `leave_to_barging`.
    fn somebody_talks(&self) -> bool {
        self.parties.iter().any(|p| {
            p.is_here()
                && p.seat.presence == Presence::Talking
                && matches!(
                    p.seat.role,
                    Role::Agent
                        | Role::Expert { .. }
                        | Role::Supervisor { coaching: Coaching::TakenOver, .. }
                )
        })
    }

    fn hang_up_leg(&mut self, now: Instant, leg: LegId) -> Result<(), CommandError> {
        let party = self.party(leg).ok_or(CommandError::NoSuchLeg)?;
        if party.leaving {
            return Err(CommandError::NotTalking);
        }
        let cause = if party.is_rung() { Cause::Cancelled } else { Cause::Normal };
        self.hang_up(leg, Cause::Normal);
        self.gone(now, leg, LegEnd::of(cause));
        Ok(())
    }

    fn send_digits(&mut self, leg: LegId, digits: String) -> Result<(), CommandError> {
        let party = self.party(leg).ok_or(CommandError::NoSuchLeg)?;
        if party.seat.presence != Presence::Talking || party.leaving {
            return Err(CommandError::NotTalking);
        }
        self.act(leg, LegAction::SendDigits(digits));
        Ok(())
    }

    fn hang_up(&mut self, leg: LegId, cause: Cause) {
        if let Some(party) = self.party_mut(leg)
            && !party.leaving
        {
            party.leaving = true;
            self.act(leg, LegAction::HangUp(cause));
        }
    }

    fn end(&mut self, now: Instant, cause: Cause, by: Option<LegId>) {
        if self.is_ending() {
            return;
        }
        self.consult_ends_with(cause);
        self.call_transfer_off(cause);
        self.released.clear();
        self.let_followers_go();
        self.state = State::Ending { cause, by, until: now + ENDING_MAX };
        let here: Vec<LegId> = self.parties.iter().filter(|p| !p.leaving).map(|p| p.seat.leg).collect();
        for leg in here {
            self.hang_up(leg, cause);
        }
        for id in self.supervisions.iter().map(|s| s.id).collect::<Vec<_>>() {
            self.supervision_over(id, cause);
        }
        self.tell(CallEvent::Ended { cause, by });
        if self.parties.is_empty() {
            self.over(cause, by);
        }
    }

    fn over(&mut self, cause: Cause, by: Option<LegId>) {
        self.state = State::Over;
        self.outputs.push_back(Output::Over(cause, by));
    }

    /// After every change: a new table if it differs, and the news that two people hear each other.
    fn settle(&mut self) {
        if matches!(self.state, State::Over) {
            return;
        }
        let seats: Vec<Seat> = self.parties.iter().filter(|p| p.is_here()).map(|p| p.seat).collect();
        let table = hearing::hearing(&seats);
        if table != self.table {
            self.generation += 1;
            self.table = table;
            self.outputs.push_back(Output::Hearing(self.generation, self.table.clone()));
        }
        if !self.bridged && self.customer_and_agent_talk() {
            self.bridged = true;
            self.tell(CallEvent::Bridged);
        }
    }

    fn customer_and_agent_talk(&self) -> bool {
        let customer =
            |p: &Party| p.is_here() && p.seat.role == Role::Customer && p.seat.presence == Presence::Talking;
        self.parties.iter().any(customer) && self.somebody_talks()
    }

    /// Whether nobody else can come.
    fn is_full(&self) -> bool {
        self.has(self.parties_max)
    }

    /// Whether those here and those expected are as many as that. A leg that is leaving has given up
    /// its place, however long its door takes.
    fn has(&self, most: usize) -> bool {
        let here = self.parties.iter().filter(|p| p.is_here()).count();
        let expected = self.supervisions.iter().filter(|s| s.leg.is_none()).count();
        here + expected >= most
    }

    fn party(&self, leg: LegId) -> Option<&Party> {
        self.parties.iter().find(|p| p.seat.leg == leg)
    }

    fn party_mut(&mut self, leg: LegId) -> Option<&mut Party> {
        self.parties.iter_mut().find(|p| p.seat.leg == leg)
    }

    fn act(&mut self, leg: LegId, action: LegAction) {
        self.outputs.push_back(Output::Leg(leg, action));
    }

    fn tell(&mut self, event: CallEvent) {
        self.outputs.push_back(Output::Event(event));
    }
}

impl Party {
    fn is_here(&self) -> bool {
        !self.leaving
    }

    /// A target of the search for an agent or a customer, that has not answered.
    fn is_rung(&self) -> bool {
        matches!(self.seat.presence, Presence::Ringing | Presence::Early)
            && !matches!(self.seat.role, Role::Supervisor { .. })
    }
}

/// Draws leg ids: a SplitMix64 sequence, so that the core needs no source of randomness of its own.
#[derive(Debug)]
struct LegIds(u64);

impl LegIds {
    fn next(&mut self) -> LegId {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        LegId(z ^ (z >> 31))
    }
}
