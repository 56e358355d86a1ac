//! What a call tells of itself, typed. The switchboard turns these into numbered CloudEvents.

use sbc_config::PersonId;

use super::{
    AskedBy, Cause, Coaching, ConsultEnd, ConsultId, LegEnd, LegId, SpeakTo, SupervisionId, VoicemailSign,
};

/// Something worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEvent {
    /// The call exists.
    Initiated,
    /// A target is being rung.
    Ringing {
        /// The target's leg.
        leg: LegId,
    },
    /// Somebody answered.
    Answered {
        /// The leg that answered.
        leg: LegId,
    },
    /// Customer and agent hear each other for the first time.
    Bridged,
    /// A target did not come to talk; the next one, if any, is tried.
    AttemptFailed {
        /// The target's leg.
        leg: LegId,
        /// Why.
        end: LegEnd,
    },
    /// A party is on hold.
    Held {
        /// The party.
        leg: LegId,
        /// Its own telephone did it.
        by_peer: bool,
    },
    /// A party is off hold.
    Resumed {
        /// The party.
        leg: LegId,
        /// Its own telephone did it.
        by_peer: bool,
    },
    /// The call is over.
    Ended {
        /// Why.
        cause: Cause,
        /// Whose leg ended it, if one did.
        by: Option<LegId>,
    },
    /// Somebody asked to supervise.
    SupervisionRequested {
        /// Which supervision.
        id: SupervisionId,
        /// Who.
        supervisor: PersonId,
        /// As what.
        role: Coaching,
        /// About whom.
        subject: LegId,
    },
    /// The supervisor is on the line.
    SupervisionStarted {
        /// Which supervision.
        id: SupervisionId,
        /// The supervisor's leg.
        leg: LegId,
        /// As what.
        role: Coaching,
    },
    /// The supervisor does something else now.
    RoleChanged {
        /// Which supervision.
        id: SupervisionId,
        /// What it was.
        from: Coaching,
        /// What it is.
        to: Coaching,
        /// What brought the change about.
        by: ChangedBy,
    },
    /// Another is to take a party's place.
    TransferStarted {
        /// Whose place.
        transferor: LegId,
        /// The leg of the one who is to come.
        target: LegId,
        /// What they are called in records; empty when they called in.
        name: String,
        /// Who wanted it.
        by: AskedBy,
    },
    /// The target rings.
    TransferProgress {
        /// Whose place.
        transferor: LegId,
        /// Who rings.
        target: LegId,
    },
    /// The target has the place.
    TransferCompleted {
        /// Whose place it was.
        transferor: LegId,
        /// Who has it.
        target: LegId,
    },
    /// The target did not come.
    TransferFailed {
        /// Whose place.
        transferor: LegId,
        /// Who did not come.
        target: LegId,
        /// Why.
        end: LegEnd,
    },
    /// After a failed transfer everybody is back where they were.
    TransferRolledBack {
        /// Who has kept the place.
        transferor: LegId,
    },
    /// The supervisor is off the line.
    SupervisionEnded {
        /// Which supervision.
        id: SupervisionId,
        /// Why.
        cause: Cause,
    },
    /// Voicemail seems to have answered.
    VoicemailSuspected {
        /// Who answered.
        leg: LegId,
        /// What speaks for it.
        sign: VoicemailSign,
        /// The consult it was rung for; a transfer's target when there is none.
        consult: Option<ConsultId>,
    },
    /// Somebody asks for an expert.
    ConsultRequested {
        /// Which consult.
        id: ConsultId,
        /// The leg of the one who asks.
        by: LegId,
    },
    /// A way to the expert is rung.
    ConsultDialing {
        /// Which consult.
        id: ConsultId,
        /// The way's leg.
        leg: LegId,
        /// A better way has failed before.
        fell_back: bool,
    },
    /// A way to the expert did not lead there; the next one, if any, is tried.
    ConsultWayFailed {
        /// Which consult.
        id: ConsultId,
        /// The way's leg.
        leg: LegId,
        /// Why.
        end: LegEnd,
    },
    /// The expert is on the line.
    ConsultAnswered {
        /// Which consult.
        id: ConsultId,
        /// The expert's leg.
        leg: LegId,
    },
    /// The one who asked speaks to somebody else now.
    SpeakToChanged {
        /// Which consult.
        id: ConsultId,
        /// To whom before.
        from: SpeakTo,
        /// To whom now.
        to: SpeakTo,
    },
    /// The consult is over.
    ConsultOver {
        /// Which consult.
        id: ConsultId,
        /// How.
        end: ConsultEnd,
    },
}

/// What brought a role change about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangedBy {
    /// A request over the API.
    Api,
    /// A digit on the supervisor's telephone.
    Dtmf,
    /// The agent left, and the barging supervisor stays with the customer.
    AgentLeft,
}

impl CallEvent {
    /// Its name on the wire (design: event names).
    pub fn kind(&self) -> &'static str {
        match self {
            CallEvent::Initiated => "call.initiated",
            CallEvent::Ringing { .. } => "call.ringing",
            CallEvent::Answered { .. } => "call.answered",
            CallEvent::Bridged => "call.bridged",
            CallEvent::AttemptFailed { .. } => "call.attempt_failed",
            CallEvent::Held { .. } => "call.held",
            CallEvent::Resumed { .. } => "call.resumed",
            CallEvent::Ended { .. } => "call.ended",
            CallEvent::SupervisionRequested { .. } => "supervision.requested",
            CallEvent::SupervisionStarted { .. } => "supervision.started",
            CallEvent::RoleChanged { .. } => "supervision.role_changed",
            CallEvent::SupervisionEnded { .. } => "supervision.ended",
            CallEvent::ConsultRequested { .. } => "consult.requested",
            CallEvent::ConsultDialing { fell_back: false, .. } => "consult.dialing",
            CallEvent::ConsultDialing { fell_back: true, .. } => "consult.fell_back",
            CallEvent::ConsultWayFailed { .. } => "consult.attempt_failed",
            CallEvent::ConsultAnswered { .. } => "consult.answered",
            CallEvent::SpeakToChanged { .. } => "consult.speak_to_changed",
            CallEvent::ConsultOver { end: ConsultEnd::Completed, .. } => "consult.completed",
            CallEvent::ConsultOver { end: ConsultEnd::Failed(_), .. } => "consult.failed",
            CallEvent::ConsultOver { end: ConsultEnd::Ended(_), .. } => "consult.ended",
            CallEvent::VoicemailSuspected { consult: Some(_), .. } => "consult.voicemail_suspected",
            CallEvent::VoicemailSuspected { consult: None, .. } => "transfer.voicemail_suspected",
            CallEvent::TransferStarted { .. } => "transfer.started",
            CallEvent::TransferProgress { .. } => "transfer.progress",
            CallEvent::TransferCompleted { .. } => "transfer.completed",
            CallEvent::TransferFailed { .. } => "transfer.failed",
            CallEvent::TransferRolledBack { .. } => "transfer.rolled_back",
        }
    }
}
