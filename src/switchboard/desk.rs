//! The desk: what the API can ask of the switchboard, and how it is answered.
//!
//! The API holds a [`Desk`], sends one [`Request`] at a time with the [`Principal`] who asks, and
//! waits for the answer. Rights are checked behind the desk, when the act happens.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sbc_config::{Amount, Date, HoldMedia, PersonId, PricedRoute, TenantId, TrunkId};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

pub use crate::bridge::LegQuality;
use crate::call::card::Matter;
use crate::call::journey::{Attestation, Diverted, Verstat};
use crate::call::rights::{Denial, Principal};
use crate::call::{CallId, Cause, Coaching, ConsultId, Hold, LegId, Presence, SpeakTo, SupervisionId};
use crate::prereq::{Finding, Route, Subject};

/// Requests waiting at the switchboard; beyond it callers get [`Refusal::Busy`]. Enough for a
/// second of the fastest client we allow, small enough that nobody waits behind a stale crowd.
pub const DESK_QUEUE_MAX: usize = 1024;

/// A way to ask the switchboard. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    inbox: mpsc::Sender<Asked>,
}

/// One request, who asks, and where the answer goes.
pub struct Asked {
    /// Who asks.
    pub principal: Principal,
    /// What is asked.
    pub request: Request,
    /// Where the answer goes. A caller who went away is no error.
    pub answer: oneshot::Sender<Result<Answer, Refusal>>,
}

impl Desk {
    /// A desk, and the inbox the switchboard reads.
    pub fn new() -> (Desk, mpsc::Receiver<Asked>) {
        let (inbox, requests) = mpsc::channel(DESK_QUEUE_MAX);
        (Desk { inbox }, requests)
    }

    /// Asks and waits.
    pub async fn ask(&self, principal: Principal, request: Request) -> Result<Answer, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.inbox.try_send(Asked { principal, request, answer }).map_err(|_| Refusal::Busy)?;
        answered.await.map_err(|_| Refusal::Busy)?
    }
}

/// What can be asked.
#[derive(Debug, Clone)]
pub enum Request {
    /// All live calls the principal may see. Answer: [`Answer::Calls`].
    ListCalls,
    /// One live call. Answer: [`Answer::Call`].
    GetCall(CallId),
    /// Who hears whom, now, with the plan in force and levels. Answer: [`Answer::Audio`].
    Audio(CallId),
    /// Ring an agent, then dial a number for them. Answer: [`Answer::Call`].
    Originate {
        /// The agent who is rung first.
        agent: PersonId,
        /// The number or person dialled once the agent has answered.
        to: String,
        /// The trunk to use; otherwise the route table decides.
        trunk: Option<TrunkId>,
    },
    /// End a call for everybody. Answer: [`Answer::Done`].
    HangUp(CallId),
    /// Do something to one leg. Answer: [`Answer::Call`], or [`Answer::Done`] after a hang-up.
    Leg {
        /// The call.
        call: CallId,
        /// The leg.
        leg: LegId,
        /// What to do.
        act: LegAct,
    },
    /// Put a supervisor on a call. Answer: [`Answer::Supervision`].
    Supervise(SuperviseRequest),
    /// One supervision. Answer: [`Answer::Supervision`].
    GetSupervision(SupervisionId),
    /// Live supervisions of a call. Answer: [`Answer::Supervisions`].
    ListSupervisions(CallId),
    /// Switch the role of a running supervision. Answer: [`Answer::Switched`].
    SwitchRole(SupervisionId, Coaching),
    /// Take the call over from the agent. Answer: [`Answer::Switched`].
    TakeOver(SupervisionId),
    /// End a supervision. Answer: [`Answer::Done`].
    EndSupervision(SupervisionId),
    /// Ask an expert. Answer: [`Answer::Consult`].
    Consult(ConsultRequest),
    /// One consult. Answer: [`Answer::Consult`].
    GetConsult(ConsultId),
    /// Speak to the expert, the customer, both, or in conference. Answer: [`Answer::Consult`].
    SpeakTo(ConsultId, SpeakTo),
    /// Hand the call over to the expert. Answer: [`Answer::Done`].
    CompleteConsult(ConsultId),
    /// Let the expert go. Answer: [`Answer::Done`].
    CancelConsult(ConsultId),
    /// Give one's place in the call to another. Answer: [`Answer::Transfer`].
    Transfer(TransferRequest),
    /// Take no new calls; existing ones go on. Answer: [`Answer::Draining`].
    Drain,
}

/// Whom to ring, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// One of our people, a Teams user by user principal name or object id, or a number.
    pub target: String,
    /// Over what, when they are at Teams.
    pub via: Via,
}

/// Over what somebody at Teams is rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Via {
    /// The cheapest way that will work; the others when it turns out not to.
    #[default]
    Auto,
    /// This one and no other.
    Only(Route),
}

/// The ways to somebody, before anybody is rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// In the order in which they would be tried.
    pub ways: Vec<WayView>,
    /// The one that would be taken first; none when nothing is clear.
    pub taken: Option<usize>,
    /// What the legs cost that are up already, as far as prices are known.
    pub up: Vec<LegCost>,
}

/// One way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayView {
    /// To whom, as they were named.
    pub target: String,
    /// Over what, for somebody at Teams.
    pub via: Option<Route>,
    /// What carries it: `acs:ID` or `trunk:ID`.
    pub over: Option<String>,
    /// Whether it would be rung.
    pub clear: bool,
    /// Why not, in a stable word.
    pub obstacle: Option<&'static str>,
    /// What was found, in the order of the checks.
    pub findings: Vec<Finding>,
    /// What its leg costs, if a price is known.
    pub cost: Option<LegCost>,
    /// It is rung only when nobody was reached before it.
    pub only_if_not_reached: bool,
}

/// What a minute of a leg costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegCost {
    /// Whose: `expert`, or the role of a leg that is up.
    pub leg: &'static str,
    /// How it is connected.
    pub route: PricedRoute,
    /// Of a minute.
    pub per_minute: Amount,
    /// In what.
    pub currency: Arc<str>,
    /// Since when this price holds.
    pub from: Date,
}

/// A wish to give a place away.
#[derive(Debug, Clone)]
pub struct TransferRequest {
    /// The call.
    pub call: CallId,
    /// Whose place. An agent and a supervisor give their own; software says whose, and means the first talking
    /// agent's when it does not.
    pub by: Option<LegId>,
    /// To whom.
    pub wish: Wish,
    /// The trunk that a number is dialled over; otherwise the route table decides.
    pub trunk: Option<TrunkId>,
    /// Whether the answer waits for what becomes of it.
    pub wait: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Who asks, when Entra knows them.
    pub asker: Option<Subject>,
    /// What the target is told of the matter.
    pub card: Option<Matter>,
}

/// A wish to ask an expert.
#[derive(Debug, Clone)]
pub struct ConsultRequest {
    /// The call.
    pub call: CallId,
    /// The leg of the one who asks. An agent asks from their own and a supervisor from theirs; software may say from
    /// which, and means the first talking agent's when it does not.
    pub by: Option<LegId>,
    /// Whom to ask. Those behind the first are rung in order when one does not come.
    pub wishes: Vec<Wish>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Who asks, when Entra knows them.
    pub asker: Option<Subject>,
    /// The trunk that numbers are dialled over; otherwise the route table decides.
    pub trunk: Option<TrunkId>,
    /// How long each is rung.
    pub ring: Duration,
    /// What the expert is told of the matter.
    pub card: Option<Matter>,
    /// What the customer hears meanwhile; the tenant's when absent.
    pub hold_media: Option<HoldMedia>,
}

/// The most targets one consult may try: the customer waits meanwhile.
pub const CONSULT_TARGETS_MAX: usize = 4;

/// How long an expert is rung unless the request says.
pub const CONSULT_RING: Duration = Duration::from_secs(20);

/// The longest an expert may be rung: a customer who has heard music for two minutes has been forgotten.
pub const CONSULT_RING_MAX: Duration = Duration::from_secs(120);

/// A wish to put a supervisor on a call.
#[derive(Debug, Clone)]
pub struct SuperviseRequest {
    /// The call.
    pub call: CallId,
    /// Who will listen. A supervisor may only name themself; an integration names anybody.
    pub supervisor: PersonId,
    /// First role.
    pub role: Coaching,
    /// The agent's leg it is about; the first talking agent when absent.
    pub subject: Option<LegId>,
    /// Roles this supervision may switch to. Empty means the configured default.
    pub allowed_roles: Vec<Coaching>,
    /// Whether 4, 5 and 6 on the supervisor's telephone switch monitor, whisper and barge.
    pub dtmf_control: Option<bool>,
    /// What happens when the call ends.
    pub follow: Follow,
    /// How the supervisor gets on the line.
    pub join: Join,
}

/// What can be done to one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegAct {
    /// Out of the conversation, with music.
    Hold,
    /// Back into it.
    Resume,
    /// Silence its mouth.
    Mute,
    /// Let it speak.
    Unmute,
    /// End it.
    HangUp,
    /// Send it digits, as telephone-events.
    Dtmf {
        /// `0`-`9`, `*`, `#`, `A`-`D`; at most [`DTMF_DIGITS_MAX`].
        digits: String,
    },
}

/// The most digits one request may send: 32 digits are eight seconds of tones.
pub const DTMF_DIGITS_MAX: usize = 32;

/// What a supervision does when its call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Follow {
    /// It ends too.
    #[default]
    Call,
    /// It waits for the agent's next call.
    Agent,
}

/// How the supervisor gets on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// The gateway rings the supervisor's telephone.
    #[default]
    Dial,
    /// The supervisor dials [`SupervisionView::dial_in`].
    DialIn,
}

/// What comes back.
#[derive(Debug, Clone)]
pub enum Answer {
    /// See [`Request::ListCalls`].
    Calls(Vec<CallView>),
    /// One call.
    Call(CallView),
    /// See [`Request::Audio`].
    Audio(AudioView),
    /// One supervision.
    Supervision(SupervisionView),
    /// Several supervisions.
    Supervisions(Vec<SupervisionView>),
    /// A role change, effective.
    Switched {
        /// The supervision as it is now.
        supervision: SupervisionView,
        /// When the new table governs the media: the first frame after this hears it.
        effective_at: SystemTime,
        /// The new table.
        audio: AudioView,
    },
    /// One consult.
    Consult(ConsultView),
    /// What would be done.
    Preview(Preview),
    /// What became of a transfer; no outcome while the target rings.
    Transfer(Option<TransferOutcome>),
    /// Draining; how many calls are still up.
    Draining {
        /// Live calls.
        calls: usize,
    },
    /// Done, nothing to show.
    Done,
}

/// Why a request was not carried out. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such call, leg, supervision, person or trunk, or another tenant's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Not allowed.
    #[error("{0}")]
    Denied(Denial),
    /// Understood, allowed, and impossible now.
    #[error("{detail}")]
    Conflict {
        /// A stable code, such as `leg_not_answered`.
        code: &'static str,
        /// What stands in the way and what to do about it.
        detail: String,
    },
    /// Understood and not valid.
    #[error("{detail}")]
    Invalid {
        /// A stable code, such as `digits_invalid`.
        code: &'static str,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// Nobody at Teams may be rung for this: every way is refused, and why.
    #[error("no way is clear; each says what stands in it, and what would mend that")]
    NotCleared(Box<Preview>),
    /// The switchboard has too much to do; try again.
    #[error("the gateway is busy; try again")]
    Busy,
    /// Draining or at a limit: no new calls.
    #[error("{detail}")]
    Unavailable {
        /// A stable code, such as `draining`.
        code: &'static str,
        /// Why, and for how long if known.
        detail: String,
    },
}

/// A call as the API shows it.
#[derive(Debug, Clone)]
pub struct CallView {
    /// The call.
    pub id: CallId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Inbound from a trunk or phone, or placed by us.
    pub direction: Direction,
    /// The calling number, as received.
    pub from: String,
    /// The number dialled.
    pub to: String,
    /// Where it stands.
    pub state: CallState,
    /// When it reached us.
    pub started_at: SystemTime,
    /// When somebody first answered.
    pub answered_at: Option<SystemTime>,
    /// Its legs.
    pub legs: Vec<LegView>,
    /// Its supervisions.
    pub supervisions: Vec<SupervisionId>,
    /// What networks say of the caller's right to the number.
    pub attestation: Option<AttestationView>,
    /// From whom it was diverted, the first of them first.
    pub diverted_by: Vec<DivertedView>,
}

/// What networks say of a caller's right to the number. Nobody here has checked it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationView {
    /// What the network of origin vouches for.
    pub level: Option<Attestation>,
    /// The calling number it is about, unless that is withheld.
    pub orig: Option<String>,
    /// The called numbers.
    pub dest: Vec<String>,
    /// When it was made.
    pub issued_at: Option<SystemTime>,
    /// What the carrier in front of us says of its own check.
    pub carrier_says: Option<Verstat>,
}

/// Somebody to whom a call was going before it came here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DivertedView {
    /// The number, unless it is private.
    pub number: Option<String>,
    /// Why it went on.
    pub reason: Diverted,
}

/// Which way a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// It reached us.
    Inbound,
    /// We placed it.
    Outbound,
}

impl Direction {
    /// Its word in records and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        }
    }
}

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Somebody is being rung.
    Ringing,
    /// People talk.
    Talking,
    /// Its legs are being taken down.
    Ending,
}

/// One leg as the API shows it.
#[derive(Debug, Clone)]
pub struct LegView {
    /// The leg.
    pub id: LegId,
    /// `customer`, `agent`, `expert`, `supervisor` or `unassigned`.
    pub role: &'static str,
    /// For a supervisor, what they do now.
    pub coaching: Option<Coaching>,
    /// Who it is, when it is one of our people.
    pub person: Option<PersonId>,
    /// The trunk it runs over, if any.
    pub trunk: Option<TrunkId>,
    /// How far it has come.
    pub presence: Presence,
    /// Whether it is on hold.
    pub hold: Hold,
    /// Whether its mouth is silenced.
    pub muted: bool,
    /// Codec in use, by its RTP name, once negotiated.
    pub codec: Option<&'static str>,
    /// How it sounded when it was last measured, once something came.
    pub quality: Option<LegQuality>,
}

/// A supervision as the API shows it.
#[derive(Debug, Clone)]
pub struct SupervisionView {
    /// Its id.
    pub id: SupervisionId,
    /// The call it is on now; none while it waits for the agent's next.
    pub call: Option<CallId>,
    /// Who listens.
    pub supervisor: PersonId,
    /// The supervisor's leg, once there is one.
    pub leg: Option<LegId>,
    /// The agent it is about.
    pub agent: Option<PersonId>,
    /// The agent's leg.
    pub subject: Option<LegId>,
    /// The role now.
    pub role: Coaching,
    /// The roles it may switch to.
    pub allowed_roles: Vec<Coaching>,
    /// Whether 4, 5, 6 switch it.
    pub dtmf_control: bool,
    /// What happens when the call ends.
    pub follow: Follow,
    /// What the supervisor dials to join, when they dial in: valid once, for this supervisor.
    pub dial_in: Option<String>,
    /// Where it stands.
    pub state: SupervisionState,
}

/// Where a supervision stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SupervisionState {
    /// The supervisor is being rung, or is expected to dial in.
    Requested,
    /// The supervisor is on the line.
    Active,
    /// Between two calls of the followed agent.
    Waiting,
}

/// What became of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferOutcome {
    /// The target has the place.
    Connected,
    /// The target said no. The transferor has the place still, and so with all that follow.
    Declined,
    /// The target is busy.
    Busy,
    /// It rang and nobody came.
    NoAnswer,
    /// No way led there.
    Unreachable,
    /// Voicemail seems to have answered. By the configuration the transfer stands, or everybody is back where they were.
    VoicemailSuspected,
    /// The transfer was called off before the target answered.
    RolledBack,
}

impl From<Cause> for TransferOutcome {
    fn from(cause: Cause) -> TransferOutcome {
        match cause {
            Cause::Declined => TransferOutcome::Declined,
            Cause::Busy => TransferOutcome::Busy,
            Cause::NoAnswer => TransferOutcome::NoAnswer,
            Cause::Voicemail => TransferOutcome::VoicemailSuspected,
            Cause::Normal | Cause::Cancelled | Cause::Released | Cause::ShuttingDown => {
                TransferOutcome::RolledBack
            }
            Cause::NotFound
            | Cause::Unreachable
            | Cause::NotAcceptable
            | Cause::Forbidden
            | Cause::NotCleared
            | Cause::Loop
            | Cause::Congestion
            | Cause::MediaTimeout
            | Cause::SignallingTimeout
            | Cause::Internal => TransferOutcome::Unreachable,
        }
    }
}

/// A consult as the API shows it.
#[derive(Debug, Clone)]
pub struct ConsultView {
    /// Its id.
    pub id: ConsultId,
    /// The call.
    pub call: CallId,
    /// The leg of the one who asks.
    pub by: LegId,
    /// The ways, when it has just begun.
    pub preview: Option<Preview>,
    /// The expert's leg and whom the one who asks speaks to; none while it rings.
    pub talking: Option<(LegId, SpeakTo)>,
    /// What became of the fields of its card, if it has one.
    pub card: Option<CardView>,
}

/// The fields of a card by name: those on it, and why others are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardView {
    /// On the card.
    pub shown: Vec<String>,
    /// Of a kind that cannot be shown.
    pub skipped: Vec<String>,
    /// Sensitive, and not named by the request.
    pub withheld: Vec<String>,
    /// Nothing was brought for them.
    pub empty: Vec<String>,
}

/// The live who-hears-whom table.
#[derive(Debug, Clone)]
pub struct AudioView {
    /// The call.
    pub call: CallId,
    /// Counts up with every change of the table.
    pub generation: u64,
    /// One row per ear.
    pub ears: Vec<EarView>,
}

/// One row of the table.
#[derive(Debug, Clone)]
pub struct EarView {
    /// Whose ear.
    pub leg: LegId,
    /// `silence`, `ringback`, `music`, `relay` or `mix`: what the media path does for this ear now.
    pub plan: &'static str,
    /// Who is heard, with the level last measured at the mouth.
    pub mouths: Vec<MouthView>,
}

/// One mouth of a row.
#[derive(Debug, Clone)]
pub struct MouthView {
    /// Whose mouth.
    pub leg: LegId,
    /// Its level over the last tenth of a second or so, in dB under full scale; none when this
    /// mouth is only relayed, since a relayed packet is never decoded.
    pub level_dbfs: Option<f32>,
}

/// How a call ended, for its record.
#[derive(Debug, Clone, Serialize)]
pub struct Ending {
    /// Why.
    pub cause: Cause,
    /// The leg whose end ended the call, if it was one.
    pub by: Option<LegId>,
}
