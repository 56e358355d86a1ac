//! `Idempotency-Key`: a write sent again is carried out once and answered the same.
//!
//! The key belongs to the token. It is claimed in the store before the request is carried out, so
//! two copies that arrive together, or one that arrives after a restart, still make one act. While
//! the store fails the promise cannot be kept, so a write with a key is answered 503; one without a
//! key goes through.

use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest as _, Sha256};

use super::ApiState;
use super::auth::Caller;
use super::problem::Problem;
use crate::observe::{Claim, Replay, Store};

/// The longest key.
const KEY_BYTES_MAX: usize = 255;
/// A claim older than this was left by a request that died; another may take it. Twice what the longest request may
/// take, which waits for telephones.
const ABANDONED_AFTER: Duration = Duration::from_secs(2 * super::transfer::WAIT_MAX.as_secs());
/// How long a key is remembered.
pub(super) const KEY_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// The most keys remembered; beyond it the oldest go first. At a write each 100 ms, a day's worth,
/// and some 500 MB if every answer were as large as a call with eight legs.
pub(super) const KEYS_MAX: u64 = 864_000;
/// The largest answer kept; ours are far smaller.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// The layer around every route that needs a token.
pub(super) async fn once(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let Some(key) = request.headers().get("idempotency-key").filter(|_| writes) else {
        return Ok(next.run(request).await);
    };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX);
    let key = key.map(str::to_owned).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "idempotency_key_invalid",
            "`Idempotency-Key` has 1 to 255 visible ASCII characters",
        )
    })?;
    let token = match request.extensions().get::<Caller>() {
        Some(caller) => caller.principal.token.clone(),
        None => return Err(Problem::internal()),
    };
    let (head, body) = request.into_parts();
    let body = to_bytes(body, state.config().body_bytes_max).await.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "the request body is larger than the gateway accepts, or did not arrive whole",
        )
    })?;
    let hash = fingerprint(&head.method, &head.uri, &body);
    match state.store().claim(&token, &key, &hash, SystemTime::now(), ABANDONED_AFTER).await? {
        Claim::Done(answer) => return Ok(replay(answer)),
        Claim::InFlight => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "idempotency_in_flight",
                "the request with this key is still being carried out",
            ));
        }
        Claim::OtherRequest => {
            return Err(Problem::invalid(
                "idempotency_key_reused",
                "this key was used for a different request; take a new one",
            ));
        }
        Claim::Yours => {}
    }
    let request = Request::from_parts(head, Body::from(body));
    let store = state.store().clone();
    // On a task of its own: a client that hangs up must not leave the act done and the answer lost.
    let carried_out = tokio::spawn(async move {
        let response = next.run(request).await;
        keep(&store, &token, &key, response).await
    });
    carried_out.await.unwrap_or_else(|_| Err(Problem::internal()))
}

/// Keeps the answer and gives it on. An answer that says "not now" is not kept: the same request may
/// well succeed later, and should.
async fn keep(store: &Store, token: &str, key: &str, response: Response) -> Result<Response, Problem> {
    let status = response.status();
    let passing = status.is_server_error()
        || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS);
    if passing {
        if let Err(error) = store.release(token, key).await {
            tracing::debug!(error = %error, "an idempotency key stays claimed until it is abandoned");
        }
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_BYTES_MAX).await.map_err(|_| Problem::internal())?;
    let text =
        |name: &HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // A problem has no body yet (see `problem::render`), so it is kept itself.
    let (content_type, kept) = match head.extensions.get::<Problem>() {
        Some(problem) => (PROBLEM.to_owned(), problem.kept()),
        None => (text(&header::CONTENT_TYPE).to_owned(), String::from_utf8_lossy(&body).into_owned()),
    };
    let location = text(&header::LOCATION);
    let answer = Replay {
        status: status.as_u16(),
        content_type: if location.is_empty() { content_type } else { format!("{content_type}\n{location}") },
        body: kept,
    };
    if let Err(error) = store.settle(token, key, &answer).await {
        // The act is done and the answer is true; only its repetition is not safe.
        tracing::warn!(error = %error, "an idempotent answer could not be kept");
    }
    Ok(Response::from_parts(head, Body::from(body)))
}

/// Marks a kept problem.
const PROBLEM: &str = "problem";

fn replay(answer: Replay) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (content_type, location) = answer.content_type.split_once('\n').unwrap_or((&answer.content_type, ""));
    let mut response = if content_type == PROBLEM {
        axum::response::IntoResponse::into_response(Problem::again(status, &answer.body))
    } else {
        let mut response = Response::new(Body::from(answer.body));
        *response.status_mut() = status;
        response
    };
    let headers = response.headers_mut();
    for (name, value) in [(header::CONTENT_TYPE, content_type), (header::LOCATION, location)] {
        if !value.is_empty()
            && value != PROBLEM
            && let Ok(value) = HeaderValue::from_str(value)
        {
            headers.insert(name, value);
        }
    }
    headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}

/// What tells one request from another: whom a browser's offer calls stands in the query.
fn fingerprint(method: &Method, uri: &Uri, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    // Lengths between the parts, so that no two requests run together to the same text.
    for part in [method.as_str(), uri.path(), &query].map(str::as_bytes).into_iter().chain([body]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_keeps_its_parts_apart() {
        let of = |method: Method, uri: &'static str, body: &[u8]| {
            fingerprint(&method, &Uri::from_static(uri), body)
        };
        let one = of(Method::POST, "/v1/a", b"b{}");
        for other in [
            of(Method::POST, "/v1/ab", b"{}"),
            of(Method::PATCH, "/v1/a", b"b{}"),
            of(Method::POST, "/v1/a?b", b"{}"),
            of(Method::POST, "/v1/a?to=100", b"b{}"),
        ] {
            assert_ne!(one, other);
        }
        assert_ne!(of(Method::POST, "/v1/a?to=100", b"b{}"), of(Method::POST, "/v1/a?to=101", b"b{}"));
        assert_eq!(one, of(Method::POST, "/v1/a", b"b{}"));
        assert_eq!(one.len(), 64);
    }
}
