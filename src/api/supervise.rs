//! Supervision: monitor, whisper, barge, take over, and change between them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiState;
use super::auth::Caller;
use super::calls::{Audio, coaching};
use super::extract::{Body, id, named};
use super::problem::Problem;
use crate::call::rights::Actor;
use crate::call::{Coaching, SupervisionId};
use crate::switchboard::desk::{
    Answer, Follow, Join, Request, SuperviseRequest, SupervisionState, SupervisionView,
};

/// The most roles a request may allow: there are four.
const ALLOWED_ROLES_MAX: usize = 4;

/// A role to supervise in. `listen` and `spy` are taken for `monitor`, `coach` for `whisper`.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RoleName {
    /// Hears all, is heard by nobody.
    #[serde(alias = "listen", alias = "spy")]
    Monitor,
    /// Hears all, is heard by the agent alone.
    #[serde(alias = "coach")]
    Whisper,
    /// Hears all, is heard by all.
    Barge,
}

/// A role that may be switched to. The same aliases are taken.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AllowedRole {
    /// Hears all, is heard by nobody.
    #[serde(alias = "listen", alias = "spy")]
    Monitor,
    /// Hears all, is heard by the agent alone.
    #[serde(alias = "coach")]
    Whisper,
    /// Hears all, is heard by all.
    Barge,
    /// Has the call.
    Takeover,
}

/// A supervision to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"supervisor": "sam", "role": "whisper", "allowed_roles": ["monitor", "whisper"]}))]
pub(super) struct NewSupervision {
    /// Who will listen. A supervisor's own token may leave it out and may name nobody else.
    #[schema(nullable = false)]
    pub supervisor: Option<String>,
    /// The first role.
    pub role: RoleName,
    /// The agent's leg it is about; the first talking agent when absent.
    #[schema(nullable = false)]
    pub subject_leg: Option<String>,
    /// The roles it may switch to; the configured ones when absent.
    #[schema(nullable = false, min_items = 1, max_items = 4)]
    pub allowed_roles: Option<Vec<AllowedRole>>,
    /// Whether 4, 5 and 6 on the supervisor's telephone switch to monitor, whisper and barge; the
    /// configured answer when absent.
    #[schema(nullable = false)]
    pub dtmf_control: Option<bool>,
    /// What happens when the call ends.
    #[serde(default)]
    pub follow: FollowName,
    /// How the supervisor gets on the line.
    #[serde(default)]
    pub join: JoinName,
}

/// What a supervision does when its call ends.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FollowName {
    /// It ends too.
    #[default]
    Call,
    /// It waits for the agent's next call.
    Agent,
}

/// How the supervisor gets on the line.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum JoinName {
    /// The gateway rings the supervisor's telephone.
    #[default]
    Dial,
    /// The supervisor dials `dial_in`.
    DialIn,
}

/// A role to switch to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "barge"}))]
pub(super) struct NewRole {
    /// The role from now on.
    pub role: RoleName,
}

/// One supervisor's presence on one agent's calls.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "sup_0000000000000001", "call": "call_019a2f4c5d6e00000000000000000001", "supervisor": "sam",
    "leg": "leg_0000000000000003", "agent": "alice", "subject_leg": "leg_0000000000000002", "role": "whisper",
    "allowed_roles": ["monitor", "whisper", "barge"], "dtmf_control": true, "follow": "call", "state": "active"}))]
pub(super) struct Supervision {
    /// `sup_` and 16 hexadecimal digits.
    pub id: String,
    /// The call it is on; absent while it waits for the agent's next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub call: Option<String>,
    /// Who listens.
    pub supervisor: String,
    /// The supervisor's leg, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub leg: Option<String>,
    /// The agent it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub agent: Option<String>,
    /// The agent's leg.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub subject_leg: Option<String>,
    /// `monitor`, `whisper`, `barge` or `takeover`.
    pub role: &'static str,
    /// The roles it may switch to.
    pub allowed_roles: Vec<&'static str>,
    /// Whether 4, 5 and 6 on the telephone switch the role.
    pub dtmf_control: bool,
    /// `call` or `agent`.
    pub follow: &'static str,
    /// What the supervisor dials to join: good once, and for this supervisor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub dial_in: Option<String>,
    /// `requested`, `active` or `waiting`.
    pub state: &'static str,
}

/// Several supervisions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Supervisions {
    /// In the order in which they began.
    pub items: Vec<Supervision>,
}

/// A role change, in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Switched {
    /// The supervision as it is now.
    pub supervision: Supervision,
    /// When the new table began to govern the media: the first frame after this hears it.
    #[schema(value_type = String, format = DateTime)]
    pub effective_at: Timestamp,
    /// The new table.
    pub audio: Audio,
}

/// Put a supervisor on a call.
///
/// The supervisor hears the call when the telephone is answered; `supervision.started` tells.
#[utoipa::path(post, path = "/v1/calls/{id}/supervisions", operation_id = "supervise", tag = "supervision",
    params(("id" = String, Path, description = "The call")),
    request_body = NewSupervision,
    responses((status = 201, description = "The supervisor is being rung, or is expected to dial in",
        body = Supervision, headers(("Location" = String, description = "Where to look at the supervision")))))]
pub(super) async fn begin(
    State(state): State<ApiState>,
    caller: Caller,
    Path(call): Path<String>,
    Body(new): Body<NewSupervision>,
) -> Result<Response, Problem> {
    let call = id("call", &call)?;
    let supervisor = match (&new.supervisor, &caller.principal.actor) {
        (Some(supervisor), _) => named("supervisor", supervisor)?,
        (None, Actor::Supervisor { person, .. }) => person.clone(),
        (None, _) => return Err(Problem::invalid("body_invalid", "`supervisor` is needed: who will listen")),
    };
    let subject = new.subject_leg.as_deref().map(|leg| named("subject_leg", leg)).transpose()?;
    if new.allowed_roles.as_ref().is_some_and(|roles| roles.is_empty() || roles.len() > ALLOWED_ROLES_MAX) {
        // Empty might be meant as "none"; to the switchboard it would be "as configured".
        return Err(Problem::invalid("body_invalid", "`allowed_roles` names 1 to 4 roles, or is left out"));
    }
    let allowed_roles = new.allowed_roles.unwrap_or_default();
    let request = Request::Supervise(SuperviseRequest {
        call,
        supervisor,
        role: new.role.into(),
        subject,
        allowed_roles: allowed_roles.into_iter().map(Coaching::from).collect(),
        dtmf_control: new.dtmf_control,
        follow: match new.follow {
            FollowName::Call => Follow::Call,
            FollowName::Agent => Follow::Agent,
        },
        join: match new.join {
            JoinName::Dial => Join::Dial,
            JoinName::DialIn => Join::DialIn,
        },
    });
    match state.ask(&caller, request).await? {
        Answer::Supervision(view) => {
            let location = format!("/v1/supervisions/{}", view.id);
            Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(Supervision::from(view)))
                .into_response())
        }
        other => Err(state.puzzled(&other)),
    }
}

/// List the supervisions of a call.
#[utoipa::path(get, path = "/v1/calls/{id}/supervisions", operation_id = "listSupervisions", tag = "supervision",
    params(("id" = String, Path, description = "The call")),
    responses((status = 200, description = "Its live supervisions", body = Supervisions)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    Path(call): Path<String>,
) -> Result<Json<Supervisions>, Problem> {
    match state.ask(&caller, Request::ListSupervisions(id("call", &call)?)).await? {
        Answer::Supervisions(views) => {
            Ok(Json(Supervisions { items: views.into_iter().map(Supervision::from).collect() }))
        }
        other => Err(state.puzzled(&other)),
    }
}

/// Look at one supervision.
#[utoipa::path(get, path = "/v1/supervisions/{id}", operation_id = "getSupervision", tag = "supervision",
    params(("id" = String, Path, description = "The supervision")),
    responses((status = 200, description = "The supervision", body = Supervision)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Path(supervision): Path<String>,
) -> Result<Json<Supervision>, Problem> {
    match state.ask(&caller, Request::GetSupervision(id("supervision", &supervision)?)).await? {
        Answer::Supervision(view) => Ok(Json(view.into())),
        other => Err(state.puzzled(&other)),
    }
}

/// Switch the role of a running supervision.
///
/// In force with the next 20 ms frame; the answer says when and shows the new table.
#[utoipa::path(patch, path = "/v1/supervisions/{id}", operation_id = "switchRole", tag = "supervision",
    params(("id" = String, Path, description = "The supervision")),
    request_body = NewRole,
    responses((status = 200, description = "The new role is in force", body = Switched)))]
pub(super) async fn switch(
    State(state): State<ApiState>,
    caller: Caller,
    Path(supervision): Path<String>,
    Body(NewRole { role }): Body<NewRole>,
) -> Result<Json<Switched>, Problem> {
    let supervision: SupervisionId = id("supervision", &supervision)?;
    switched(&state, state.ask(&caller, Request::SwitchRole(supervision, role.into())).await?)
}

/// Take the call over from the agent.
#[utoipa::path(post, path = "/v1/supervisions/{id}/takeover", operation_id = "takeOver", tag = "supervision",
    params(("id" = String, Path, description = "The supervision")),
    responses((status = 200, description = "The supervisor has the call", body = Switched)))]
pub(super) async fn take_over(
    State(state): State<ApiState>,
    caller: Caller,
    Path(supervision): Path<String>,
) -> Result<Json<Switched>, Problem> {
    let supervision: SupervisionId = id("supervision", &supervision)?;
    switched(&state, state.ask(&caller, Request::TakeOver(supervision)).await?)
}

/// End a supervision.
#[utoipa::path(delete, path = "/v1/supervisions/{id}", operation_id = "endSupervision", tag = "supervision",
    params(("id" = String, Path, description = "The supervision")),
    responses((status = 204, description = "The supervisor is being hung up")))]
pub(super) async fn end(
    State(state): State<ApiState>,
    caller: Caller,
    Path(supervision): Path<String>,
) -> Result<StatusCode, Problem> {
    match state.ask(&caller, Request::EndSupervision(id("supervision", &supervision)?)).await? {
        Answer::Done => Ok(StatusCode::NO_CONTENT),
        other => Err(state.puzzled(&other)),
    }
}

fn switched(state: &ApiState, answer: Answer) -> Result<Json<Switched>, Problem> {
    match answer {
        Answer::Switched { supervision, effective_at, audio } => Ok(Json(Switched {
            supervision: supervision.into(),
            effective_at: super::timestamp(effective_at),
            audio: audio.into(),
        })),
        other => Err(state.puzzled(&other)),
    }
}

impl From<RoleName> for Coaching {
    fn from(role: RoleName) -> Coaching {
        match role {
            RoleName::Monitor => Coaching::Monitor,
            RoleName::Whisper => Coaching::Whisper,
            RoleName::Barge => Coaching::Barge,
        }
    }
}

impl From<AllowedRole> for Coaching {
    fn from(role: AllowedRole) -> Coaching {
        match role {
            AllowedRole::Monitor => Coaching::Monitor,
            AllowedRole::Whisper => Coaching::Whisper,
            AllowedRole::Barge => Coaching::Barge,
            AllowedRole::Takeover => Coaching::TakenOver,
        }
    }
}

impl From<SupervisionView> for Supervision {
    fn from(view: SupervisionView) -> Supervision {
        Supervision {
            id: view.id.to_string(),
            call: view.call.map(|call| call.to_string()),
            supervisor: view.supervisor.to_string(),
            leg: view.leg.map(|leg| leg.to_string()),
            agent: view.agent.map(|agent| agent.to_string()),
            subject_leg: view.subject.map(|leg| leg.to_string()),
            role: coaching(view.role),
            allowed_roles: view.allowed_roles.into_iter().map(coaching).collect(),
            dtmf_control: view.dtmf_control,
            follow: match view.follow {
                Follow::Call => "call",
                Follow::Agent => "agent",
            },
            dial_in: view.dial_in,
            state: match view.state {
                SupervisionState::Requested => "requested",
                SupervisionState::Active => "active",
                SupervisionState::Waiting => "waiting",
            },
        }
    }
}
