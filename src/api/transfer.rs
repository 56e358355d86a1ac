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
use super::preflight::Via;
use super::preview::{PreviewView, wishes};
use super::problem::Problem;
use crate::call::{CallId, ConsultId, RINGS_MAX, SCREENED_MAX};
use crate::prereq::Subject;
use crate::switchboard::desk::{Answer, Request, TransferOutcome, TransferRequest};

/// The one path whose answer may wait for a telephone.
pub(super) const PATH: &str = "/v1/calls/{id}/transfers";

/// How long that may take: a target is given its time once for the way to it, and anew when it rings.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(2 * RINGS_MAX.as_secs() + SCREENED_MAX.as_secs());

/// A transfer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"mode": "blind", "target": "erin", "wait": true}))]
pub(super) struct NewTransfer {
    /// `blind`, or `attended` after a consult.
    pub mode: Mode,
    /// To whom, when `blind`: the id of one of your people, a Teams user by user principal name or object id, or a number.
    #[schema(nullable = false, min_length = 1, max_length = 256)]
    pub target: Option<String>,
    /// Over what, when they are at Teams: `auto` takes the cheapest way that is clear at the moment.
    #[serde(default)]
    pub via: Via,
    /// Only say which ways there are, what stands in each, what it costs and which would be taken, when `blind`. Nobody is
    /// rung.
    #[serde(default)]
    pub dry_run: bool,
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

impl NewTransfer {
    /// Whether it says something of how a target is rung.
    fn is_of_a_ring(&self) -> bool {
        let plain = matches!(self.via, Via::Auto) && !self.dry_run;
        !plain || self.trunk.is_some() || self.by_leg.is_some() || self.card.is_some()
    }
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

/// What became of a transfer, or what would.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Decided {
    /// It was made.
    Transferred(Transferred),
    /// It would be.
    Preview(PreviewView),
}

/// Transfer a call.
///
/// The target is rung while the transferor stays; the transferee hears it ring and then hears the target. Whatever goes
/// wrong puts everybody back where they were. Without `wait` the events `transfer.completed`, `transfer.failed` and
/// `transfer.rolled_back` tell.
#[utoipa::path(post, path = "/v1/calls/{id}/transfers", operation_id = "transfer", tag = "transfer",
    params(("id" = String, Path, description = "The call")),
    request_body = NewTransfer,
    responses((status = 200, description = "It is decided; or what would be done, when `dry_run` asked for that", body = Decided),
        (status = 409, description = "It cannot be done now. With the code `not_cleared` nobody at Teams may be rung, and the ways say why",
            body = super::problem::ProblemDocument, content_type = "application/problem+json"),
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
            let [wish] = <[_; 1]>::try_from(wishes(target.clone(), new.via, Vec::new())?)
                .map_err(|_| Problem::internal())?;
            let request = Request::Transfer(TransferRequest {
                call,
                by: new.by_leg.as_deref().map(|leg| named("by_leg", leg)).transpose()?,
                wish,
                dry_run: new.dry_run,
                asker: caller.entra_id().map(Subject::person),
                trunk: new.trunk.as_deref().map(|trunk| named("trunk", trunk)).transpose()?,
                wait: new.wait,
                card: card::read(new.card),
            });
            match state.ask(&caller, request).await? {
                Answer::Transfer(outcome) => Ok(transferred(outcome)),
                Answer::Preview(preview) => {
                    Ok(Json(Decided::Preview(PreviewView::from(preview))).into_response())
                }
                other => Err(state.puzzled(&other)),
            }
        }
        // It would be done all the same: the expert is there. So what was asked for is told, and nothing is done.
        (Mode::Attended, None, Some(_)) if new.is_of_a_ring() => {
            let detail = "an attended transfer rings nobody: `via`, `dry_run`, `trunk`, `by_leg` and `card` are of its consult";
            Err(Problem::invalid("body_invalid", detail))
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
    (status, Json(Decided::Transferred(Transferred { outcome }))).into_response()
}
