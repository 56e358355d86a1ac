//! Reading requests: JSON bodies, queries and ids, each refused with a [`Problem`] that says which
//! part is wrong.

use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A JSON body. Types read with it deny unknown fields, so that a misspelt name is not ignored.
pub(super) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "body_not_json",
                "send the body with `Content-Type: application/json`",
            ));
        }
        let bytes =
            Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "body_too_large",
                    "the request body is larger than the gateway accepts",
                ),
                _ => {
                    Problem::new(StatusCode::BAD_REQUEST, "body_unreadable", "the body did not arrive whole")
                }
            })?;
        // Serde would also read a struct from an array, by position; nobody should depend on that.
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        if first.is_some_and(|byte| *byte != b'{') {
            return Err(Problem::invalid("body_invalid", "the body is a JSON object"));
        }
        serde_json::from_slice(&bytes).map(Body).map_err(|error| {
            if error.is_data() {
                Problem::invalid("body_invalid", error.to_string())
            } else {
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    "body_malformed",
                    format!("the body is not JSON: {error}"),
                )
            }
        })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// The query, unknown names refused.
pub(super) struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Asked<T>, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Asked(asked)),
            Err(rejection) => {
                Err(Problem::new(StatusCode::BAD_REQUEST, "query_invalid", rejection.body_text()))
            }
        }
    }
}

/// An id from the path. What is not an id as we print them names nothing: 404.
///
/// # Errors
/// 404, when `text` is not an id of this kind.
pub(super) fn id<T: FromStr>(what: &'static str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found(what))
}

/// A configured id from a body: 422 with the field's name.
///
/// # Errors
/// 422, when `text` is not a well-formed id.
pub(super) fn named<T: FromStr<Err: std::fmt::Display>>(
    field: &'static str,
    text: &str,
) -> Result<T, Problem> {
    text.parse().map_err(|error| Problem::invalid("body_invalid", format!("`{field}`: {error}")))
}
