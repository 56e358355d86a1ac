//! Legs: hold, resume, mute, unmute, digits, hang up.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::ApiState;
use super::auth::Caller;
use super::calls::Call;
use super::extract::{Body, id};
use super::problem::Problem;
use crate::switchboard::desk::{Answer, DTMF_DIGITS_MAX, LegAct, Request};

/// Digits to send.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"digits": "1234#"}))]
pub(super) struct Digits {
    /// `0`-`9`, `*`, `#`, `A`-`D`.
    #[schema(min_length = 1, max_length = 32, pattern = "^[0-9*#A-D]+$")]
    pub digits: String,
}

/// Put a leg on hold.
///
/// The party leaves the conversation and hears music.
#[utoipa::path(post, path = "/v1/calls/{id}/legs/{leg}/hold", operation_id = "holdLeg", tag = "legs",
    params(("id" = String, Path, description = "The call"), ("leg" = String, Path, description = "The leg")),
    responses((status = 200, description = "The call as it is now", body = Call)))]
pub(super) async fn hold(
    state: State<ApiState>,
    caller: Caller,
    leg: Path<(String, String)>,
) -> Result<Json<Call>, Problem> {
    steer(state, caller, leg, LegAct::Hold).await
}

/// Take a leg off hold.
///
/// The party is back in the conversation.
#[utoipa::path(post, path = "/v1/calls/{id}/legs/{leg}/resume", operation_id = "resumeLeg", tag = "legs",
    params(("id" = String, Path, description = "The call"), ("leg" = String, Path, description = "The leg")),
    responses((status = 200, description = "The call as it is now", body = Call)))]
pub(super) async fn resume(
    state: State<ApiState>,
    caller: Caller,
    leg: Path<(String, String)>,
) -> Result<Json<Call>, Problem> {
    steer(state, caller, leg, LegAct::Resume).await
}

/// Silence a leg's mouth.
///
/// The party still hears; nothing is signalled to its telephone.
#[utoipa::path(post, path = "/v1/calls/{id}/legs/{leg}/mute", operation_id = "muteLeg", tag = "legs",
    params(("id" = String, Path, description = "The call"), ("leg" = String, Path, description = "The leg")),
    responses((status = 200, description = "The call as it is now", body = Call)))]
pub(super) async fn mute(
    state: State<ApiState>,
    caller: Caller,
    leg: Path<(String, String)>,
) -> Result<Json<Call>, Problem> {
    steer(state, caller, leg, LegAct::Mute).await
}

/// Let a muted leg speak again.
#[utoipa::path(post, path = "/v1/calls/{id}/legs/{leg}/unmute", operation_id = "unmuteLeg", tag = "legs",
    params(("id" = String, Path, description = "The call"), ("leg" = String, Path, description = "The leg")),
    responses((status = 200, description = "The call as it is now", body = Call)))]
pub(super) async fn unmute(
    state: State<ApiState>,
    caller: Caller,
    leg: Path<(String, String)>,
) -> Result<Json<Call>, Problem> {
    steer(state, caller, leg, LegAct::Unmute).await
}

/// Send digits to a leg.
///
/// They travel as telephone-events (RFC 4733).
#[utoipa::path(post, path = "/v1/calls/{id}/legs/{leg}/dtmf", operation_id = "sendDigits", tag = "legs",
    params(("id" = String, Path, description = "The call"), ("leg" = String, Path, description = "The leg")),
    request_body = Digits,
    responses((status = 200, description = "The call as it is now", body = Call)))]
pub(super) async fn dtmf(
    state: State<ApiState>,
    caller: Caller,
    leg: Path<(String, String)>,
    Body(Digits { digits }): Body<Digits>,
) -> Result<Json<Call>, Problem> {
    let known = |digit: u8| matches!(digit, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D');
    if digits.is_empty() || digits.len() > DTMF_DIGITS_MAX || !digits.bytes().all(known) {
        let detail = format!("`digits` is 1 to {DTMF_DIGITS_MAX} of 0-9, *, #, A-D");
        return Err(Problem::invalid("digits_invalid", detail));
    }
    steer(state, caller, leg, LegAct::Dtmf { digits }).await
}

/// Hang up one leg.
#[utoipa::path(post, path = "/v1/calls/{id}/legs/{leg}/hangup", operation_id = "hangUpLeg", tag = "legs",
    params(("id" = String, Path, description = "The call"), ("leg" = String, Path, description = "The leg")),
    responses((status = 204, description = "The leg is being taken down")))]
pub(super) async fn hangup(
    State(state): State<ApiState>,
    caller: Caller,
    Path((call, leg)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (call, leg) = (id("call", &call)?, id("leg", &leg)?);
    match state.ask(&caller, Request::Leg { call, leg, act: LegAct::HangUp }).await? {
        // The call may outlive its leg; what is left of it is a GET away.
        Answer::Done | Answer::Call(_) => Ok(StatusCode::NO_CONTENT),
        other => Err(state.puzzled(&other)),
    }
}

async fn steer(
    State(state): State<ApiState>,
    caller: Caller,
    Path((call, leg)): Path<(String, String)>,
    act: LegAct,
) -> Result<Json<Call>, Problem> {
    let (call, leg) = (id("call", &call)?, id("leg", &leg)?);
    match state.ask(&caller, Request::Leg { call, leg, act }).await? {
        Answer::Call(call) => Ok(Json(call.into())),
        other => Err(state.puzzled(&other)),
    }
}
