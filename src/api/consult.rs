//! Consults: ask an expert, talk in private, come back, merge or hand over.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sbc_config::{HoldMedia, NotHoldMedia};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiState;
use super::auth::Caller;
use super::card::{self, CardNames, NewCard};
use super::extract::{Body, id, named};
use super::preflight::Via;
use super::preview::{NewFallback, PreviewView, wishes};
use super::problem::Problem;
use crate::call::SpeakTo;
use crate::prereq::Subject;
use crate::switchboard::desk::{
    Answer, CONSULT_RING, CONSULT_RING_MAX, CONSULT_TARGETS_MAX, ConsultRequest, ConsultView, Request,
};

/// A consult to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"target": "erin@example.com", "via": "auto", "fallback": [{"via": "pstn"}, "bob"], "ring_s": 20}))]
pub(super) struct NewConsult {
    /// Whom to ask: the id of one of your people, a Teams user by user principal name or object id, or a number.
    #[schema(min_length = 1, max_length = 256)]
    pub target: String,
    /// Over what, when they are at Teams. `auto` takes the cheapest way that will work, and the others when it turns out
    /// that it does not.
    #[serde(default)]
    pub via: Via,
    /// Whom or what to ring next, in this order, when the one before does not come: somebody else, or another way, as
    /// `{"via": "pstn"}`.
    #[serde(default)]
    #[schema(max_items = 3)]
    pub fallback: Vec<NewFallback>,
    /// Only say which ways there are, what stands in each, what it costs and which would be taken. Nobody is rung.
    #[serde(default)]
    pub dry_run: bool,
    /// The trunk that numbers are dialled over; the route table decides when absent.
    #[schema(nullable = false)]
    pub trunk: Option<String>,
    /// The leg of the one who asks, for software. An agent asks from their own, and so does a supervisor who has
    /// taken the call over.
    #[schema(nullable = false)]
    pub by_leg: Option<String>,
    /// How long each is rung, in seconds.
    #[schema(nullable = false, minimum = 1, maximum = 120)]
    pub ring_s: Option<u16>,
    /// What the customer hears meanwhile: `music`, `tone`, `silence`, or `prompt:NAME` of a recording that the configuration
    /// names. The tenant's when absent.
    #[schema(nullable = false)]
    pub hold_media: Option<String>,
    /// What the expert is told of the matter before they answer.
    #[schema(nullable = false)]
    pub card: Option<NewCard>,
}

/// Whom the one who asked speaks to.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SpeakToName {
    /// The expert alone; the customer hears music.
    Expert,
    /// The customer alone; the expert hears music.
    Customer,
    /// Both, who do not hear each other.
    Both,
    /// Everybody hears everybody.
    Conference,
}

/// Whom to speak to from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"speak_to": "conference"}))]
pub(super) struct NewSpeakTo {
    /// Whom.
    pub speak_to: SpeakToName,
}

/// A consult that is going on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "con_0000000000000001", "call": "call_019a2f4c5d6e00000000000000000001",
    "by_leg": "leg_0000000000000002", "state": "talking", "expert_leg": "leg_0000000000000004",
    "speak_to": "expert"}))]
pub(super) struct Consult {
    /// `con_` and 16 hexadecimal digits.
    pub id: String,
    /// The call.
    pub call: String,
    /// The leg of the one who asks.
    pub by_leg: String,
    /// `ringing` or `talking`.
    pub state: &'static str,
    /// The expert's leg, once answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expert_leg: Option<String>,
    /// `expert`, `customer`, `both` or `conference`, once answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub speak_to: Option<&'static str>,
    /// The ways that are tried, in the answer to the request that began it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub preview: Option<PreviewView>,
    /// What became of the fields of its card, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub card: Option<CardNames>,
}

/// Ask an expert.
///
/// The customer hears music while the expert is rung and spoken to in private. `consult.answered` tells that the
/// expert is there; whatever goes wrong brings the customer back, and `consult.failed` or `consult.ended` says why.
#[utoipa::path(post, path = "/v1/calls/{id}/consults", operation_id = "consult", tag = "consult",
    params(("id" = String, Path, description = "The call")),
    request_body = NewConsult,
    responses((status = 200, description = "What would be done, when `dry_run` asked for that", body = PreviewView),
        (status = 409, description = "It cannot be done now. With the code `not_cleared` nobody at Teams may be rung, and the ways say why",
            body = super::problem::ProblemDocument, content_type = "application/problem+json"),
        (status = 201, description = "The expert is being rung", body = Consult,
        headers(("Location" = String, description = "Where to look at the consult")))))]
pub(super) async fn begin(
    State(state): State<ApiState>,
    caller: Caller,
    Path(call): Path<String>,
    Body(new): Body<NewConsult>,
) -> Result<Response, Problem> {
    let call = id("call", &call)?;
    if new.fallback.len() >= CONSULT_TARGETS_MAX {
        let detail = format!("`fallback` names at most {} others", CONSULT_TARGETS_MAX - 1);
        return Err(Problem::invalid("body_invalid", detail));
    }
    let wishes = wishes(new.target, new.via, new.fallback)?;
    let ring = new.ring_s.map_or(CONSULT_RING, |ring| Duration::from_secs(ring.into()));
    if ring.is_zero() || ring > CONSULT_RING_MAX {
        let detail = format!("`ring_s` is 1 to {}", CONSULT_RING_MAX.as_secs());
        return Err(Problem::invalid("body_invalid", detail));
    }
    let request = Request::Consult(ConsultRequest {
        call,
        by: new.by_leg.as_deref().map(|leg| named("by_leg", leg)).transpose()?,
        wishes,
        dry_run: new.dry_run,
        asker: caller.entra_id().map(Subject::person),
        trunk: new.trunk.as_deref().map(|trunk| named("trunk", trunk)).transpose()?,
        ring,
        card: card::read(new.card),
        hold_media: new.hold_media.as_deref().map(hold_media).transpose()?,
    });
    match state.ask(&caller, request).await? {
        Answer::Preview(preview) => Ok(Json(PreviewView::from(preview)).into_response()),
        Answer::Consult(view) => {
            let location = format!("/v1/consults/{}", view.id);
            Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(Consult::from(view)))
                .into_response())
        }
        other => Err(state.puzzled(&other)),
    }
}

fn hold_media(text: &str) -> Result<HoldMedia, Problem> {
    let wrong = |error: NotHoldMedia| Problem::invalid("body_invalid", format!("`hold_media`: {error}"));
    text.parse().map_err(wrong)
}

/// Look at one consult.
#[utoipa::path(get, path = "/v1/consults/{id}", operation_id = "getConsult", tag = "consult",
    params(("id" = String, Path, description = "The consult")),
    responses((status = 200, description = "The consult", body = Consult)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Path(consult): Path<String>,
) -> Result<Json<Consult>, Problem> {
    one(&state, state.ask(&caller, Request::GetConsult(id("consult", &consult)?)).await?)
}

/// Speak to the expert, the customer, both, or in conference.
///
/// Swapping and merging are this one field. In force with the next 20 ms frame.
#[utoipa::path(patch, path = "/v1/consults/{id}", operation_id = "speakTo", tag = "consult",
    params(("id" = String, Path, description = "The consult")),
    request_body = NewSpeakTo,
    responses((status = 200, description = "The consult as it is now", body = Consult)))]
pub(super) async fn speak_to(
    State(state): State<ApiState>,
    caller: Caller,
    Path(consult): Path<String>,
    Body(NewSpeakTo { speak_to }): Body<NewSpeakTo>,
) -> Result<Json<Consult>, Problem> {
    one(&state, state.ask(&caller, Request::SpeakTo(id("consult", &consult)?, speak_to.into())).await?)
}

/// Hand the call over to the expert.
///
/// The customer hears the expert before the one who asked is gone.
#[utoipa::path(post, path = "/v1/consults/{id}/complete", operation_id = "completeConsult", tag = "consult",
    params(("id" = String, Path, description = "The consult")),
    responses((status = 204, description = "The expert has the call")))]
pub(super) async fn complete(
    State(state): State<ApiState>,
    caller: Caller,
    Path(consult): Path<String>,
) -> Result<StatusCode, Problem> {
    done(&state, state.ask(&caller, Request::CompleteConsult(id("consult", &consult)?)).await?)
}

/// Let the expert go.
///
/// The customer is back with the one who asked.
#[utoipa::path(post, path = "/v1/consults/{id}/cancel", operation_id = "cancelConsult", tag = "consult",
    params(("id" = String, Path, description = "The consult")),
    responses((status = 204, description = "The expert is being hung up")))]
pub(super) async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    Path(consult): Path<String>,
) -> Result<StatusCode, Problem> {
    done(&state, state.ask(&caller, Request::CancelConsult(id("consult", &consult)?)).await?)
}

fn one(state: &ApiState, answer: Answer) -> Result<Json<Consult>, Problem> {
    match answer {
        Answer::Consult(view) => Ok(Json(view.into())),
        other => Err(state.puzzled(&other)),
    }
}

fn done(state: &ApiState, answer: Answer) -> Result<StatusCode, Problem> {
    match answer {
        Answer::Done => Ok(StatusCode::NO_CONTENT),
        other => Err(state.puzzled(&other)),
    }
}

impl From<SpeakToName> for SpeakTo {
    fn from(name: SpeakToName) -> SpeakTo {
        match name {
            SpeakToName::Expert => SpeakTo::Expert,
            SpeakToName::Customer => SpeakTo::Customer,
            SpeakToName::Both => SpeakTo::Both,
            SpeakToName::Conference => SpeakTo::Conference,
        }
    }
}

impl From<ConsultView> for Consult {
    fn from(view: ConsultView) -> Consult {
        Consult {
            id: view.id.to_string(),
            call: view.call.to_string(),
            preview: view.preview.map(PreviewView::from),
            by_leg: view.by.to_string(),
            state: if view.talking.is_some() { "talking" } else { "ringing" },
            expert_leg: view.talking.map(|(leg, _)| leg.to_string()),
            card: view.card.map(CardNames::from),
            speak_to: view.talking.map(|(_, to)| match to {
                SpeakTo::Expert => "expert",
                SpeakTo::Customer => "customer",
                SpeakTo::Both => "both",
                SpeakTo::Conference => "conference",
            }),
        }
    }
}
