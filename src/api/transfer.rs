//! Transfers: give a place in a call to another, with or without having spoken to them before.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiState;
use super::auth::Caller;
use super::card::{self, NewCard};
use super::extract::{Body, id, named};
use super::problem::Problem;
use crate::call::{CallId, ConsultId, RINGS_MAX, SCREENED_MAX};
use crate::switchboard::desk::{Answer, Request, TransferOutcome, TransferRequest};

/// The one path whose answer may wait for a telephone.
pub(super) const PATH: &str = "/v1/calls/{id}/transfers";

/// How long that may take: a target is given its time once for the way to it, and anew when it rings.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(2 * RINGS_MAX.as_secs() + SCREENED_MAX.as_secs());

/// The longest target: a person's id or a number, with room for prefixes.
const TARGET_BYTES_MAX: usize = 64;

/// A transfer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"mode": "blind", "target": "erin", "wait": true}))]
pub(super) struct NewTransfer {
    /// `blind`, or `attended` after a consult.
    pub mode: Mode,
    /// To whom, when `blind`: the id of one of your people, or a number.
    #[schema(nullable = false, min_length = 1, max_length = 64)]
    pub target: Option<String>,
    /// The consult whose expert gets the call, when `attended`.
    #[schema(nullable = false)]
    pub consult_id: Option<String>,
    /// The trunk that a number is dialled over; the route table decides when absent.
    #[schema(nullable = false)]
    pub trunk: Option<String>,
    /// Whose place is given away, for software. An agent and a supervisor give their own.
    #[schema(nullable = false)]
    pub by_leg: Option<String>,
    /// Whether to wait for what becomes of it.
    #[serde(default)]
    pub wait: bool,
    /// What the target is told of the matter before they answer, when `blind`.
    #[schema(nullable = false)]
    pub card: Option<NewCard>,
}

/// Whether the target has been spoken to.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// It has not: it is rung now.
    Blind,
    /// It has, in a consult.
    Attended,
}

/// What became of a transfer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"outcome": "no_answer"}))]
pub(super) struct Transferred {
    /// `connected`, `declined`, `busy`, `no_answer`, `unreachable`, `voicemail_suspected`, or `rolled_back` when it was called off. After all
    /// but the first everybody is back where they were. Absent while the target rings.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>)]
    pub outcome: Option<TransferOutcome>,
}

/// Transfer a call.
///
/// The target is rung while the transferor stays; the transferee hears it ring and then hears the target. Whatever goes
/// wrong puts everybody back where they were. Without `wait` the events `transfer.completed`, `transfer.failed` and
/// `transfer.rolled_back` tell.
#[utoipa::path(post, path = "/v1/calls/{id}/transfers", operation_id = "transfer", tag = "transfer",
    params(("id" = String, Path, description = "The call")),
    request_body = NewTransfer,
    responses((status = 200, description = "It is decided", body = Transferred),
        (status = 202, description = "The target is being rung", body = Transferred)))]
pub(super) async fn begin(
    State(state): State<ApiState>,
    caller: Caller,
    Path(call): Path<String>,
    Body(new): Body<NewTransfer>,
) -> Result<Response, Problem> {
    let call: CallId = id("call", &call)?;
    match (new.mode, &new.target, &new.consult_id) {
        (Mode::Blind, Some(target), None) => {
            if target.is_empty() || target.len() > TARGET_BYTES_MAX {
                let detail = format!("`target` is an id or a number of 1 to {TARGET_BYTES_MAX} characters");
                return Err(Problem::invalid("body_invalid", detail));
            }
            let request = Request::Transfer(TransferRequest {
                call,
                by: new.by_leg.as_deref().map(|leg| named("by_leg", leg)).transpose()?,
                target: target.clone(),
                trunk: new.trunk.as_deref().map(|trunk| named("trunk", trunk)).transpose()?,
                wait: new.wait,
                card: card::read(new.card),
            });
            match state.ask(&caller, request).await? {
                Answer::Transfer(outcome) => Ok(transferred(outcome)),
                other => Err(state.puzzled(&other)),
            }
        }
        (Mode::Attended, None, Some(consult)) => {
            let consult: ConsultId = named("consult_id", consult)?;
            // Of this call: another's consult is not to be found here.
            match state.ask(&caller, Request::GetConsult(consult)).await? {
                Answer::Consult(view) if view.call == call => {}
                Answer::Consult(_) => return Err(Problem::not_found("consult")),
                other => return Err(state.puzzled(&other)),
            }
            match state.ask(&caller, Request::CompleteConsult(consult)).await? {
                Answer::Done => Ok(transferred(Some(TransferOutcome::Connected))),
                other => Err(state.puzzled(&other)),
            }
        }
        (Mode::Blind, ..) => {
            Err(Problem::invalid("body_invalid", "a blind transfer has a `target` and no `consult_id`"))
        }
        (Mode::Attended, ..) => {
            Err(Problem::invalid("body_invalid", "an attended transfer has a `consult_id` and no `target`"))
        }
    }
}

fn transferred(outcome: Option<TransferOutcome>) -> Response {
    let status = if outcome.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    (status, Json(Transferred { outcome })).into_response()
}
