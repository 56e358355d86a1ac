//! What a call is told, and what it says: its whole conversation with the switchboard.

use super::{
    AskExpert, CallEvent, Callee, Cause, Coaching, ConsultId, Hearing, LegAction, LegEvent, LegId, SpeakTo,
    Supervise, Supervision, SupervisionId, TeamsAddress, TeamsUser,
};

/// What a call is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A door tells something of a leg.
    Leg(LegId, LegEvent),
    /// The prerequisites allow dialling the Teams user of a leg, as [`Output::Clear`] asked. A refusal is the leg's end.
    Cleared(LegId, Box<TeamsAddress>),
    /// The instant of [`Call::poll_timeout`](super::Call::poll_timeout) has come.
    Timeout,
}

/// What somebody with the right to do so wants changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Hold a party.
    Hold(LegId),
    /// Take it back.
    Resume(LegId),
    /// Silence a party.
    Mute(LegId),
    /// Let it speak.
    Unmute(LegId),
    /// Send digits to a party.
    SendDigits(LegId, String),
    /// End one leg.
    HangUpLeg(LegId),
    /// End the call.
    HangUp(Cause),
    /// Put somebody else in the place of a party.
    Transfer(LegId, Callee),
    /// A leg that called in takes the place of another (the first).
    Replace(LegId, LegId),
    /// Put a supervisor on the call.
    Supervise(Supervise),
    /// A supervisor expected to dial in is here.
    Seat(SupervisionId, LegId),
    /// Switch a supervision's role.
    SwitchRole(SupervisionId, Coaching),
    /// End a supervision.
    EndSupervision(SupervisionId),
    /// Ask an expert.
    Consult(AskExpert),
    /// Speak to the expert, the customer, or both.
    SpeakTo(ConsultId, SpeakTo),
    /// Hand the call over to the expert.
    CompleteConsult(ConsultId),
    /// Let the expert go and come back to the customer.
    CancelConsult(ConsultId),
}

/// What a call wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A door is to do something with a leg.
    Leg(LegId, LegAction),
    /// The prerequisites are to say whether this leg may be dialled, now.
    Clear(LegId, TeamsUser),
    /// The new table. Generations count up by one.
    Hearing(u64, Hearing),
    /// Something to tell.
    Event(CallEvent),
    /// A supervisor who follows the agent stays on the line, and this call lets go of the leg.
    Keep(Supervision),
    /// All legs are gone. The last output.
    Over(Cause, Option<LegId>),
}

/// Why a command was not carried out. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The call has no such leg.
    #[error("the call has no such leg")]
    NoSuchLeg,
    /// The call has no such supervision.
    #[error("the call has no such supervision")]
    NoSuchSupervision,
    /// The leg is not answered yet, or already leaving.
    #[error("the leg is not in conversation; wait until it is answered")]
    NotTalking,
    /// The leg is on hold already.
    #[error("the leg is on hold already")]
    AlreadyHeld,
    /// The leg is not on hold by our hand.
    #[error("the leg was not put on hold by the gateway; its own telephone must resume it")]
    NotHeld,
    /// The subject of a supervision must be a talking agent.
    #[error("the subject of a supervision is an agent's leg in conversation")]
    NoSubject,
    /// The role is not among the allowed roles of this supervision.
    #[error("this supervision may not switch to that role; see its allowed_roles")]
    RoleNotAllowed,
    /// A taken-over call has no agent to listen to or coach.
    #[error("the call has been taken over; end the supervision or the call")]
    TakenOver,
    /// Another transfer of this call is under way.
    #[error("a transfer of this call is under way; wait for its end")]
    Transferring,
    /// A supervisor who does not have the call, or one who has given it away.
    #[error("this leg has no place in the conversation that another could take")]
    NoPlaceToGive,
    /// The supervisor is not on the line yet.
    #[error("the supervisor has not answered yet")]
    SupervisorNotThere,
    /// This supervisor is on the call already.
    #[error("this supervisor is on the call already; change the role of that supervision")]
    SupervisedAlready,
    /// The call has no such consult.
    #[error("the call has no such consult")]
    NoSuchConsult,
    /// One consult at a time.
    #[error("a consult is going on; complete or cancel it first")]
    ConsultRunning,
    /// Only who has the call may ask.
    #[error(
        "an expert is asked by an agent in conversation, or by the supervisor who has taken the call over"
    )]
    MayNotAsk,
    /// The expert has not answered yet.
    #[error("the expert has not answered yet")]
    ExpertNotThere,
    /// A consult decides about holding this party.
    #[error("a consult is going on, and its speak_to decides who is on hold; change that instead")]
    Consulting,
    /// The call has its most parties.
    #[error("the call has as many parties as it can hold")]
    Full,
    /// The call is ending.
    #[error("the call is over")]
    Over,
    /// Somebody needs help: nothing comes between.
    #[error("this is a call to an emergency service; nobody joins it and nobody is asked meanwhile")]
    Emergency,
}
