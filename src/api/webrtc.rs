//! A person's browser as their telephone: WHIP-like offer and answer over HTTP (RFC 9725), trickle ICE and its restart
//! (RFC 8840), hang up.
//!
//! It rings by an event: `leg.offered`, told to the person alone, names the leg to answer.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Query, Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sbc_config::PersonId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ApiState;
use super::auth::Caller;
use super::extract::{Body, id, named};
use super::problem::Problem;
use crate::call::LegId;
use crate::call::rights::{Actor, Denial};
use crate::rtc::sdp::OFFER_BYTES_MAX;
use crate::rtc::signal::{Answer, Purpose, Refusal, Request};

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// The longest number to call, with room for prefixes.
const TO_BYTES_MAX: usize = 64;

/// A browser's offer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"sdp": "v=0\r\n…", "leg": "leg_0000000000000002"}))]
pub(super) struct NewBrowserLeg {
    /// The browser's session description: one audio section, `rtcp-mux`, Opus, G.722 or G.711.
    #[schema(max_length = 32768)]
    pub sdp: String,
    /// The leg that rings and is answered with it.
    #[schema(nullable = false)]
    pub leg: Option<String>,
    /// The number or extension to call; a supervisor dials as from a telephone.
    #[schema(nullable = false, min_length = 1, max_length = 64)]
    pub to: Option<String>,
}

/// The same for an offer that is the body itself.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct For {
    /// The leg that rings and is answered, when the body is `application/sdp`.
    pub leg: Option<String>,
    /// The number or extension to call, when the body is `application/sdp`.
    pub to: Option<String>,
}

/// A browser's leg.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"leg": "leg_0000000000000002", "sdp": "v=0\r\n…"}))]
pub(super) struct BrowserLeg {
    /// The leg.
    pub leg: String,
    /// Our session description, for `setRemoteDescription`.
    pub sdp: String,
}

/// What an offer came as, and so how it is answered.
pub(super) enum Offered {
    Json(NewBrowserLeg),
    Sdp(String, For),
}

impl FromRequest<ApiState> for Offered {
    type Rejection = Problem;

    async fn from_request(request: HttpRequest, state: &ApiState) -> Result<Offered, Problem> {
        if !is(request.headers(), SDP) {
            let Body(offer) = Body::from_request(request, state).await?;
            return Ok(Offered::Json(offer));
        }
        let query = Query::try_from_uri(request.uri()).map_err(|rejection| {
            Problem::new(StatusCode::BAD_REQUEST, "query_invalid", rejection.body_text())
        })?;
        let Query(purpose) = query;
        Ok(Offered::Sdp(text(request, state).await?, purpose))
    }
}

/// A piece of a description.
pub(super) struct Piece(String);

impl FromRequest<ApiState> for Piece {
    type Rejection = Problem;

    async fn from_request(request: HttpRequest, state: &ApiState) -> Result<Piece, Problem> {
        if !is(request.headers(), FRAGMENT) {
            let detail = "send the fragment with `Content-Type: application/trickle-ice-sdpfrag`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "body_not_sdpfrag", detail));
        }
        text(request, state).await.map(Piece)
    }
}

fn is(headers: &HeaderMap, kind: &str) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(kind)
}

async fn text(request: HttpRequest, state: &ApiState) -> Result<String, Problem> {
    let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
        Problem::new(rejection.status(), "body_unreadable", "the body did not arrive whole, or is too large")
    })?;
    if bytes.len() > OFFER_BYTES_MAX {
        let detail = format!("a session description has at most {OFFER_BYTES_MAX} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
    }
    String::from_utf8(bytes.into()).map_err(|_| Problem::invalid("sdp_invalid", "the body is not UTF-8"))
}

/// Connect a browser.
///
/// With `leg` it answers the leg that `leg.offered` told of; with `to` it calls. The answer comes at once and the media
/// follows it; a call that is not taken ends the leg, which `leg.ended` tells. Only a person's own token may: an agent's
/// or a supervisor's.
#[utoipa::path(post, path = "/v1/legs/webrtc", operation_id = "connectBrowser", tag = "webrtc", params(For),
    request_body(content((NewBrowserLeg = "application/json"), (String = "application/sdp"))),
    responses((status = 201, description = "The answer", content((BrowserLeg = "application/json"), (String = "application/sdp")),
        headers(("Location" = String, description = "The leg: `PATCH` it with candidates, `DELETE` it to hang up")))))]
pub(super) async fn offer(
    State(state): State<ApiState>,
    caller: Caller,
    offered: Offered,
) -> Result<Response, Problem> {
    let person = person_of(&state, &caller, "connect_browser")?;
    let (sdp, leg, to, plain) = match offered {
        Offered::Json(new) => (new.sdp, new.leg, new.to, false),
        Offered::Sdp(sdp, purpose) => (sdp, purpose.leg, purpose.to, true),
    };
    let purpose = match (leg, to) {
        (Some(leg), None) => Purpose::Answer(named("leg", &leg)?),
        (None, Some(to)) if (1..=TO_BYTES_MAX).contains(&to.len()) => Purpose::Call(to),
        (None, Some(_)) => {
            let detail = format!("`to` is a number or an extension of 1 to {TO_BYTES_MAX} characters");
            return Err(Problem::invalid("body_invalid", detail));
        }
        _ => return Err(Problem::invalid("body_invalid", "give either `leg`, to answer, or `to`, to call")),
    };
    match ask(&state, &caller, person, Request::Offer { sdp, purpose }).await? {
        Answer::Description { leg, sdp } => {
            let location = [(header::LOCATION, format!("/v1/legs/webrtc/{leg}"))];
            if plain {
                return Ok(
                    (StatusCode::CREATED, location, [(header::CONTENT_TYPE, SDP)], sdp).into_response()
                );
            }
            let leg = leg.to_string();
            Ok((StatusCode::CREATED, location, Json(BrowserLeg { leg, sdp })).into_response())
        }
        Answer::Fragment(_) | Answer::Done => Err(puzzled()),
    }
}

/// Add candidates, or restart ICE.
///
/// A fragment with the credentials in force adds its candidates. One with new `ice-ufrag` and `ice-pwd` restarts ICE,
/// as after a change of network: ours are the answer, and the call goes on meanwhile.
#[utoipa::path(patch, path = "/v1/legs/webrtc/{leg}", operation_id = "trickleBrowser", tag = "webrtc",
    params(("leg" = String, Path, description = "The leg")),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag"),
    responses((status = 204, description = "The candidates are taken"),
        (status = 200, description = "ICE restarts; our half", body = String, content_type = "application/trickle-ice-sdpfrag")))]
pub(super) async fn fragment(
    State(state): State<ApiState>,
    caller: Caller,
    Path(leg): Path<String>,
    Piece(text): Piece,
) -> Result<Response, Problem> {
    let person = person_of(&state, &caller, "connect_browser")?;
    let leg: LegId = id("leg", &leg)?;
    match ask(&state, &caller, person, Request::Fragment { leg, text }).await? {
        Answer::Done => Ok(StatusCode::NO_CONTENT.into_response()),
        Answer::Fragment(text) => Ok(([(header::CONTENT_TYPE, FRAGMENT)], text).into_response()),
        Answer::Description { .. } => Err(puzzled()),
    }
}

/// Hang up a browser's leg, or decline it while it rings.
#[utoipa::path(delete, path = "/v1/legs/webrtc/{leg}", operation_id = "hangUpBrowser", tag = "webrtc",
    params(("leg" = String, Path, description = "The leg")),
    responses((status = 204, description = "The leg is over")))]
pub(super) async fn hang_up(
    State(state): State<ApiState>,
    caller: Caller,
    Path(leg): Path<String>,
) -> Result<StatusCode, Problem> {
    let person = person_of(&state, &caller, "connect_browser")?;
    match ask(&state, &caller, person, Request::HangUp(id("leg", &leg)?)).await? {
        Answer::Done => Ok(StatusCode::NO_CONTENT),
        Answer::Description { .. } | Answer::Fragment(_) => Err(puzzled()),
    }
}

/// The person whose token it is. A browser is somebody's telephone: software has none.
pub(super) fn person_of(state: &ApiState, caller: &Caller, act: &'static str) -> Result<PersonId, Problem> {
    match &caller.principal.actor {
        Actor::Agent { person, .. } | Actor::Supervisor { person, .. } => Ok(person.clone()),
        Actor::TenantAdmin { .. } | Actor::Integration { .. } | Actor::Operator => {
            Err(state.refused(caller, act, "browser", Denial::RoleForbids))
        }
    }
}

async fn ask(
    state: &ApiState,
    caller: &Caller,
    person: PersonId,
    request: Request,
) -> Result<Answer, Problem> {
    let (desk, _) = state.browsers()?;
    desk.ask(person, request).await.map_err(|refusal| {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NoSuchLeg => Problem::not_found("leg"),
            Refusal::NotYours => state.refused(caller, "connect_browser", "leg", Denial::OutsideScope),
            Refusal::NoBrowser => Problem::new(StatusCode::FORBIDDEN, "no_browser", detail),
            Refusal::Answered => Problem::new(StatusCode::CONFLICT, "leg_answered", detail),
            Refusal::Offer(_) | Refusal::BadFragment => Problem::invalid("sdp_invalid", detail),
            Refusal::NoCodec => Problem::invalid("no_common_codec", detail),
            Refusal::Full => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "browsers_max", detail),
            Refusal::Busy => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail),
            Refusal::Internal(why) => {
                tracing::error!(why, "a browser cannot be connected");
                Problem::internal()
            }
        }
    })
}

/// The answer fits no question of ours.
fn puzzled() -> Problem {
    tracing::error!("the WebRTC door answered another question");
    Problem::internal()
}
