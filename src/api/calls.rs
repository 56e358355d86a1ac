//! Calls: list, look at, place, end; and the live table of who hears whom.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiState;
use super::auth::Caller;
use super::extract::{Body, id, named};
use super::problem::Problem;
use crate::call::journey::{Attestation, Diverted, Verstat};
use crate::call::rights::Actor;
use crate::call::{CallId, Coaching, Hold, Presence};
use crate::switchboard::desk::{Answer, AttestationView, AudioView, CallView, LegQuality, LegView, Request};

/// The longest number or name that can be dialled, in bytes: an E.164 number has 16, a SIP user
/// part is rarely above 64.
const DIALLED_BYTES_MAX: usize = 128;

/// A live call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "call_019a2f4c5d6e00000000000000000001", "tenant": "acme", "direction": "inbound",
    "from": "+4930123456", "to": "+4930999000", "state": "talking",
    "started_at": "2026-11-21T09:00:00Z", "answered_at": "2026-11-21T09:00:04.2Z",
    "legs": [{"id": "leg_0000000000000001", "role": "customer", "trunk": "carrier", "presence": "talking",
              "hold": "none", "muted": false, "codec": "PCMA"},
             {"id": "leg_0000000000000002", "role": "agent", "person": "alice", "presence": "talking",
              "hold": "none", "muted": false, "codec": "PCMA", "quality": {"mos": 4.4, "packets_received": 12500,
              "packets_lost": 3, "loss": 0.00024, "jitter_ms": 1.2, "round_trip_ms": 18.5}}],
    "supervisions": ["sup_0000000000000001"]}))]
pub(super) struct Call {
    /// `call_` and 32 hexadecimal digits; sorts by time of birth.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// The calling number, as received.
    pub from: String,
    /// The number dialled.
    pub to: String,
    /// `ringing`, `talking` or `ending`.
    pub state: &'static str,
    /// When it reached the gateway.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When somebody first answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub answered_at: Option<Timestamp>,
    /// Its legs.
    pub legs: Vec<Leg>,
    /// Its supervisions, by id.
    pub supervisions: Vec<String>,
    /// What networks say of the caller's right to the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub attestation: Option<Attested>,
    /// From whom it was diverted before it came here, the first of them first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diverted_by: Vec<DivertedBy>,
}

/// What networks say of a caller's right to the number (STIR/SHAKEN). The gateway has checked nothing of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Attested {
    /// `A` for the caller and the number, `B` for the caller alone, `C` for nothing but that the call was let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub level: Option<&'static str>,
    /// Always `false`: whoever wants it checked asks the carrier.
    pub verified: bool,
    /// The calling number that was attested, in digits. Left out for a caller who withholds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub orig: Option<String>,
    /// The called numbers, in digits.
    pub dest: Vec<String>,
    /// When it was attested.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub issued_at: Option<Timestamp>,
    /// The carrier's word for its own check: `passed`, `failed` or `not_checked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub carrier_says: Option<&'static str>,
}

/// Somebody to whom a call was going before.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DivertedBy {
    /// The number, unless it is private.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub number: Option<String>,
    /// Why it went on: `unconditional`, `user_busy`, `no_answer`, `unavailable`, `deflection`, `do_not_disturb`, `follow_me`,
    /// `away`, `time_of_day`, `out_of_service` or `unknown`.
    #[schema(value_type = String)]
    pub reason: Diverted,
}

/// One connection of a call.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Leg {
    /// `leg_` and 16 hexadecimal digits.
    pub id: String,
    /// `customer`, `agent`, `expert`, `supervisor` or `unassigned`.
    pub role: &'static str,
    /// What a supervisor does now: `monitor`, `whisper`, `barge` or `takeover`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub coaching: Option<&'static str>,
    /// Which of the configured people it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub person: Option<String>,
    /// The trunk it runs over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub trunk: Option<String>,
    /// `ringing`, `early`, `waiting` or `talking`.
    pub presence: &'static str,
    /// `none`; `held` by the gateway; or `holding`, by its own telephone.
    pub hold: &'static str,
    /// Whether its mouth is silenced.
    pub muted: bool,
    /// The codec in use, by its RTP name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub codec: Option<&'static str>,
    /// How it sounds. Absent until something came from it for five seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub quality: Option<Quality>,
}

/// How a leg sounds, measured every five seconds; what an absent figure would say is not known.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"mos": 4.4, "remote_mos": 4.3, "packets_received": 12500, "packets_lost": 3, "loss": 0.00024,
    "jitter_ms": 1.2, "round_trip_ms": 18.5}))]
pub(super) struct Quality {
    /// How what it sends sounded here over the last five seconds, as a mean opinion score of 1 to 4.5 (ITU-T G.107).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub mos: Option<f32>,
    /// How what it is sent sounds there, by its reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub remote_mos: Option<f32>,
    /// RTP packets received since it began.
    pub packets_received: u64,
    /// Packets that never came since it began.
    pub packets_lost: u64,
    /// The share of packets that never came, 0 to 1.
    pub loss: f32,
    /// Jitter of arrival, in milliseconds (RFC 3550 appendix A.8).
    pub jitter_ms: f32,
    /// Round trip, in milliseconds, by its last report.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub round_trip_ms: Option<f32>,
}

/// The calls a token may see.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Calls {
    /// In the order of their birth.
    pub items: Vec<Call>,
}

/// A call to place.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"agent": "alice", "to": "+4930123456"}))]
pub(super) struct NewCall {
    /// The agent who is rung first. An agent's own token may leave it out.
    #[schema(nullable = false)]
    pub agent: Option<String>,
    /// The number or person dialled once the agent has answered.
    #[schema(max_length = 128)]
    pub to: String,
    /// The trunk to use; otherwise the route table decides.
    #[schema(nullable = false)]
    pub trunk: Option<String>,
}

/// Who hears whom, now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "call": "call_019a2f4c5d6e00000000000000000001", "generation": 7, "ears": [
        {"leg": "leg_0000000000000001", "plan": "relay", "mouths": [{"leg": "leg_0000000000000002"}]},
        {"leg": "leg_0000000000000002", "plan": "mix", "mouths": [
            {"leg": "leg_0000000000000001", "level_dbfs": -18.5}, {"leg": "leg_0000000000000003", "level_dbfs": -21.0}]}]}))]
pub(super) struct Audio {
    /// The call.
    pub call: String,
    /// Counts up with every change of the table.
    pub generation: u64,
    /// One row for each ear.
    pub ears: Vec<Ear>,
}

/// One row of the table.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ear {
    /// Whose ear.
    pub leg: String,
    /// What the media path does for this ear: `silence`, `ringback`, `music`, `relay` or `mix`.
    pub plan: &'static str,
    /// Who is heard.
    pub mouths: Vec<Mouth>,
}

/// One mouth of a row.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Mouth {
    /// Whose mouth.
    pub leg: String,
    /// The level last measured, in dB under full scale. Absent for a mouth that is only relayed,
    /// because a relayed packet is never decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub level_dbfs: Option<f32>,
}

/// List live calls.
///
/// Holds what the token may see: an agent's own calls, a supervisor's teams' calls, all calls of
/// the tenant for its admin and integration.
#[utoipa::path(get, path = "/v1/calls", operation_id = "listCalls", tag = "calls",
    responses((status = 200, description = "The live calls", body = Calls)))]
pub(super) async fn list(State(state): State<ApiState>, caller: Caller) -> Result<Json<Calls>, Problem> {
    match state.ask(&caller, Request::ListCalls).await? {
        Answer::Calls(calls) => Ok(Json(Calls { items: calls.into_iter().map(Call::from).collect() })),
        other => Err(state.puzzled(&other)),
    }
}

/// Look at one live call.
#[utoipa::path(get, path = "/v1/calls/{id}", operation_id = "getCall", tag = "calls",
    params(("id" = String, Path, description = "The call")),
    responses((status = 200, description = "The call", body = Call)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Path(call): Path<String>,
) -> Result<Json<Call>, Problem> {
    match state.ask(&caller, Request::GetCall(id("call", &call)?)).await? {
        Answer::Call(call) => Ok(Json(call.into())),
        other => Err(state.puzzled(&other)),
    }
}

/// Place a call.
///
/// Rings the agent, and dials the number once the agent has answered.
#[utoipa::path(post, path = "/v1/calls", operation_id = "placeCall", tag = "calls", request_body = NewCall,
    responses((status = 201, description = "The agent is being rung", body = Call,
        headers(("Location" = String, description = "Where to look at the call")))))]
pub(super) async fn originate(
    State(state): State<ApiState>,
    caller: Caller,
    Body(new): Body<NewCall>,
) -> Result<Response, Problem> {
    let agent = match (&new.agent, &caller.principal.actor) {
        (Some(agent), _) => named("agent", agent)?,
        (None, Actor::Agent { person, .. }) => person.clone(),
        (None, _) => return Err(Problem::invalid("body_invalid", "`agent` is needed: who is rung first")),
    };
    if new.to.is_empty() || new.to.len() > DIALLED_BYTES_MAX {
        return Err(Problem::invalid(
            "body_invalid",
            format!("`to` has 1 to {DIALLED_BYTES_MAX} characters"),
        ));
    }
    let trunk = new.trunk.as_deref().map(|trunk| named("trunk", trunk)).transpose()?;
    match state.ask(&caller, Request::Originate { agent, to: new.to, trunk }).await? {
        Answer::Call(call) => {
            let location = format!("/v1/calls/{}", call.id);
            Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(Call::from(call))).into_response())
        }
        other => Err(state.puzzled(&other)),
    }
}

/// End a call for everybody.
#[utoipa::path(delete, path = "/v1/calls/{id}", operation_id = "endCall", tag = "calls",
    params(("id" = String, Path, description = "The call")),
    responses((status = 204, description = "Its legs are being taken down")))]
pub(super) async fn end(
    State(state): State<ApiState>,
    caller: Caller,
    Path(call): Path<String>,
) -> Result<StatusCode, Problem> {
    let call: CallId = id("call", &call)?;
    match state.ask(&caller, Request::HangUp(call)).await? {
        Answer::Done => Ok(StatusCode::NO_CONTENT),
        other => Err(state.puzzled(&other)),
    }
}

/// See who hears whom.
///
/// One row for each ear, with what the media path does for it now and the level of each mouth.
#[utoipa::path(get, path = "/v1/calls/{id}/audio", operation_id = "getAudio", tag = "calls",
    params(("id" = String, Path, description = "The call")),
    responses((status = 200, description = "The table", body = Audio)))]
pub(super) async fn audio(
    State(state): State<ApiState>,
    caller: Caller,
    Path(call): Path<String>,
) -> Result<Json<Audio>, Problem> {
    match state.ask(&caller, Request::Audio(id("call", &call)?)).await? {
        Answer::Audio(audio) => Ok(Json(audio.into())),
        other => Err(state.puzzled(&other)),
    }
}

impl From<CallView> for Call {
    fn from(call: CallView) -> Call {
        use crate::switchboard::desk::{CallState, Direction};
        Call {
            id: call.id.to_string(),
            tenant: call.tenant.to_string(),
            direction: match call.direction {
                Direction::Inbound => "inbound",
                Direction::Outbound => "outbound",
            },
            from: call.from,
            to: call.to,
            state: match call.state {
                CallState::Ringing => "ringing",
                CallState::Talking => "talking",
                CallState::Ending => "ending",
            },
            started_at: super::timestamp(call.started_at),
            answered_at: call.answered_at.map(super::timestamp),
            legs: call.legs.into_iter().map(Leg::from).collect(),
            supervisions: call.supervisions.iter().map(ToString::to_string).collect(),
            attestation: call.attestation.map(Attested::from),
            diverted_by: call
                .diverted_by
                .into_iter()
                .map(|by| DivertedBy { number: by.number, reason: by.reason })
                .collect(),
        }
    }
}

impl From<AttestationView> for Attested {
    fn from(said: AttestationView) -> Attested {
        Attested {
            level: said.level.map(|level| match level {
                Attestation::Full => "A",
                Attestation::Partial => "B",
                Attestation::Gateway => "C",
            }),
            verified: false,
            orig: said.orig,
            dest: said.dest,
            issued_at: said.issued_at.map(super::timestamp),
            carrier_says: said.carrier_says.map(|word| match word {
                Verstat::Passed => "passed",
                Verstat::Failed => "failed",
                Verstat::NotChecked => "not_checked",
            }),
        }
    }
}

impl From<LegView> for Leg {
    fn from(leg: LegView) -> Leg {
        Leg {
            id: leg.id.to_string(),
            role: leg.role,
            coaching: leg.coaching.map(coaching),
            person: leg.person.map(|person| person.to_string()),
            trunk: leg.trunk.map(|trunk| trunk.to_string()),
            presence: match leg.presence {
                Presence::Ringing => "ringing",
                Presence::Early => "early",
                Presence::Waiting => "waiting",
                Presence::Talking => "talking",
            },
            hold: match leg.hold {
                Hold::None => "none",
                Hold::Held => "held",
                Hold::Holding => "holding",
            },
            muted: leg.muted,
            codec: leg.codec,
            quality: leg.quality.map(Quality::from),
        }
    }
}

impl From<LegQuality> for Quality {
    fn from(quality: LegQuality) -> Quality {
        let LegQuality { packets_received, lost, jitter_ms, round_trip_ms, mos, remote_mos, .. } = quality;
        let loss = (lost as f64 / (packets_received + lost).max(1) as f64) as f32;
        Quality { mos, remote_mos, packets_received, packets_lost: lost, loss, jitter_ms, round_trip_ms }
    }
}

impl From<AudioView> for Audio {
    fn from(audio: AudioView) -> Audio {
        let ears = audio.ears.into_iter().map(|ear| Ear {
            leg: ear.leg.to_string(),
            plan: ear.plan,
            mouths: ear
                .mouths
                .into_iter()
                // Silence is minus infinity, which JSON cannot say.
                .map(|mouth| Mouth {
                    leg: mouth.leg.to_string(),
                    level_dbfs: mouth
                        .level_dbfs
                        .map(|level| if level.is_finite() { level } else { SILENCE_DBFS }),
                })
                .collect(),
        });
        Audio { call: audio.call.to_string(), generation: audio.generation, ears: ears.collect() }
    }
}

/// What the API says for digital silence: below the quietest 16-bit sample.
const SILENCE_DBFS: f32 = -120.0;

/// A supervision role by its name on the wire.
pub(super) fn coaching(role: Coaching) -> &'static str {
    match role {
        Coaching::Monitor => "monitor",
        Coaching::Whisper => "whisper",
        Coaching::Barge => "barge",
        Coaching::TakenOver => "takeover",
    }
}
