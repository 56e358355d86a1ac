//! One request and its answer, bounded in time and size. Nothing here logs a header or a body.

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode, header};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// A longer answer is refused. A page of 999 users is below it.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The longest pause a server can ask for.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What came back.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// The body as JSON, if it is any.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Busy or broken: nothing is said about the question.
    pub(super) fn unavailable(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS
            || self.status == StatusCode::REQUEST_TIMEOUT
            || self.status.is_server_error()
    }
}

/// No answer at all. Names the host, not the path: that may hold a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} could not be reached: {why}")]
pub(super) struct Unreachable {
    /// Which host.
    pub(super) host: String,
    /// In a word: `timeout`, `connect`, `answer`.
    pub(super) why: &'static str,
}

/// The client for all sources.
///
/// # Errors
/// When the TLS set-up of the machine is of no use.
pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
    crate::client::http().timeout(ANSWER).user_agent(concat!("sidetone/", env!("CARGO_PKG_VERSION"))).build()
}

/// Sends a request and reads its answer.
pub(super) async fn fetch(request: RequestBuilder, base: &str) -> Result<Reply, Unreachable> {
    let lost = |error: reqwest::Error| Unreachable {
        host: host(base).to_owned(),
        why: match () {
            () if error.is_timeout() => "timeout",
            () if error.is_connect() => "connect",
            () => "answer",
        },
    };
    let mut response = request.send().await.map_err(lost)?;
    let status = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(PAUSE_MAX));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Unreachable { host: host(base).to_owned(), why: "answer" });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status, retry_after, body })
}

/// `https://host:port/path` without scheme and path.
pub(super) fn host(base: &str) -> &str {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// RFC 3986: everything but unreserved characters, for one path segment, query value or form field.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
