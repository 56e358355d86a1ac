//! Errors as RFC 9457 problem documents, all of them: ours, the desk's, and those of the framework.
//!
//! A handler returns a [`Problem`]; the outermost layer ([`render`]) writes the document, because
//! only it knows the request's path. A response that failed without a [`Problem`] (a path nobody
//! serves, a body too large) gets one from its status, so that no error leaves in another form.

use std::borrow::Cow;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::preview::PreviewView;
use crate::call::rights::Denial;
use crate::observe::StoreError;
use crate::switchboard::desk::Refusal;

/// Seconds a client is asked to wait when the gateway is busy for a moment.
const RETRY_SOON: &str = "1";
/// Seconds a client is asked to wait when the gateway takes no calls.
const RETRY_LATER: &str = "10";

/// One error, before it is written down.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: Cow<'static, str>,
    /// What is shown besides: the ways and their findings, a [`PreviewView`] as it is written.
    ways: Option<Box<Value>>,
}

impl Problem {
    /// A problem with a stable `code` and a sentence for people.
    pub(super) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Problem {
        Problem { status, code: code.into(), detail: detail.into(), ways: None }
    }

    /// No such thing, or another tenant's.
    pub(super) fn not_found(what: &str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    /// Understood and not valid.
    pub(super) fn invalid(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// Our own mistake; the log says more.
    pub(super) fn internal() -> Problem {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something failed in the gateway; its log says what",
        )
    }

    /// The stable code.
    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// Whether somebody was known and not allowed.
    pub(super) fn is_a_refusal(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
    }

    /// All but the status, to be kept.
    pub(super) fn kept(&self) -> String {
        json!([self.code, self.detail, self.ways]).to_string()
    }

    /// One that was kept.
    pub(super) fn again(status: StatusCode, kept: &str) -> Problem {
        let kept: Value = serde_json::from_str(kept).unwrap_or_default();
        let text = |at: usize| kept.get(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let ways = kept.get(2).filter(|ways| !ways.is_null()).cloned().map(Box::new);
        Problem { ways, ..Problem::new(status, text(0), text(1)) }
    }

    /// For a response that failed without saying more than its status.
    fn from_status(status: StatusCode) -> Problem {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => ("no_such_path", "nothing is served at this path; see /v1/openapi.json"),
            StatusCode::METHOD_NOT_ALLOWED => {
                ("method_not_allowed", "this path does not take this method; see Allow")
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                ("body_too_large", "the request body is larger than the gateway accepts")
            }
            StatusCode::UPGRADE_REQUIRED | StatusCode::BAD_REQUEST => {
                ("request_malformed", "the request cannot be understood")
            }
            status if status.is_server_error() => return Problem { status, ..Problem::internal() },
            _ => ("request_refused", "the request was refused"),
        };
        Problem::new(status, code, detail)
    }

    /// The document; `instance` is the path of the request.
    fn document(&self, instance: &str) -> ProblemDocument {
        ProblemDocument {
            kind: format!("urn:sidetone:problem:{}", self.code),
            title: title(&self.code),
            status: self.status.as_u16(),
            code: self.code.to_string(),
            detail: self.detail.to_string(),
            instance: instance.to_owned(),
            preview: self.ways.clone(),
        }
    }
}

/// A code in words: `leg_not_answered` is "Leg not answered". So the title is as stable as the code.
fn title(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let headers = response.headers_mut();
        match &*self.code {
            "busy" | "idempotency_in_flight" | "timeout" | "store_unavailable" | "too_many_attempts" => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_SOON));
            }
            _ if self.status == StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_LATER));
            }
            "unauthenticated" => {
                headers
                    .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"sidetone\""));
            }
            "token_invalid" => {
                let challenge =
                    HeaderValue::from_static("Bearer realm=\"sidetone\", error=\"invalid_token\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            _ => {}
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NotFound(what) => Problem::not_found(what),
            Refusal::Denied(denial) => denial.into(),
            Refusal::Conflict { code, .. } => Problem::new(StatusCode::CONFLICT, code, detail),
            Refusal::Invalid { code, .. } => Problem::invalid(code, detail),
            Refusal::NotCleared(preview) => {
                let ways = serde_json::to_value(PreviewView::from(*preview)).ok().map(Box::new);
                Problem { ways, ..Problem::new(StatusCode::CONFLICT, "not_cleared", detail) }
            }
            Refusal::Busy => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail),
            Refusal::Unavailable { code, .. } => Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail),
        }
    }
}

impl From<Denial> for Problem {
    fn from(denial: Denial) -> Problem {
        match denial {
            // As if it did not exist: the same words as for an id that never was.
            Denial::Foreign => Problem::not_found("call"),
            Denial::OutsideScope => Problem::new(StatusCode::FORBIDDEN, "outside_scope", denial.to_string()),
            Denial::RoleForbids => Problem::new(StatusCode::FORBIDDEN, "role_forbids", denial.to_string()),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        tracing::debug!(error = %error, source = ?std::error::Error::source(&error), "a request could not use the store");
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store_unavailable",
            "records cannot be read or written at the moment; calls go on",
        )
    }
}

/// What went wrong, as RFC 9457 has it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "urn:sidetone:problem:outside_scope", "title": "Outside scope", "status": 403,
    "code": "outside_scope", "detail": "the call is outside the scope of this token",
    "instance": "/v1/calls/call_019a2f4c5d6e00000000000000000001"}))]
pub(super) struct ProblemDocument {
    /// Which kind of problem: `urn:sidetone:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A stable code to decide by.
    pub code: String,
    /// What went wrong this time, and what would be right.
    pub detail: String,
    /// The path of the request.
    pub instance: String,
    /// The ways that were looked at, when none of them is clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<PreviewView>)]
    pub preview: Option<Box<Value>>,
}

/// The outermost layer: writes the document of every failed response.
pub(super) async fn render(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    let problem = match response.extensions().get::<Problem>() {
        Some(problem) => problem.clone(),
        // Documents of our own, such as that of /readyz or a replayed problem, stay as they are.
        None if failed && !is_json(&response) => Problem::from_status(status),
        None => return response,
    };
    let (mut head, _) = response.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    let (_, body) = Json(problem.document(&path)).into_response().into_parts();
    Response::from_parts(head, body)
}

fn is_json(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.contains("json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_tenants_call_looks_like_one_that_never_was() {
        let foreign = Problem::from(Refusal::Denied(Denial::Foreign)).document("/v1/calls/x");
        let missing = Problem::from(Refusal::NotFound("call")).document("/v1/calls/x");
        assert_eq!(serde_json::to_value(foreign).unwrap(), serde_json::to_value(missing).unwrap());
    }

    #[test]
    fn a_title_is_the_code_in_words() {
        assert_eq!(title("leg_not_answered"), "Leg not answered");
        assert_eq!(title(""), "");
    }
}
