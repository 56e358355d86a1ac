//! The REST client: one function for every operation, and one place that decides what may be tried again.
//!
//! A lost response leaves open whether something was done. Operations that carry a Repeatability pair are sent again
//! with the same pair. Of the others, those whose effect can be read are read before they are sent again; the rest are
//! not sent again. A request that was refused for want of capacity (429) was not carried out, and may always come again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use crate::call::Cause;

use super::cause::cause_of;
use super::operation::{Operation, Request};
use super::sign::{AccessKey, Unsigned, http_date, sign};
use super::token::{TokenError, TokenSource};
use super::wire::{self, CallConnection};

/// Times a request is sent in all.
const TRIES_MAX: u32 = 4;

/// Between two tries, doubled each time, when the service names no time.
const BACK_OFF: Duration = Duration::from_millis(200);

/// The longest wait that is granted to a Retry-After: a caller rings for 30 seconds.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// One try.
const TRY_MAX: Duration = Duration::from_secs(10);

/// The largest answer read: a page of participants is a few hundred KiB at most.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// How requests are authenticated.
#[derive(Clone)]
pub enum Credential {
    /// With the resource's access key.
    Key(AccessKey),
    /// With tokens of Entra.
    Tokens {
        /// Where they come from.
        source: Arc<dyn TokenSource>,
        /// What they are for.
        scope: Arc<str>,
    },
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credential::Key(_) => "Credential::Key(redacted)",
            Credential::Tokens { .. } => "Credential::Tokens",
        })
    }
}

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The service says no.
    #[error("ACS refuses to {operation}: {status} ({code}) {message}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// The HTTP status.
        status: u16,
        /// The service's code as it came: usually the subcode, sometimes a name.
        code: String,
        /// The service's words.
        message: String,
        /// What to tell Microsoft's support.
        request_id: String,
    },
    /// It could not be asked, or its answer was lost and it is not safe to ask again.
    #[error("ACS cannot be asked to {operation}")]
    Unreachable {
        /// What was asked.
        operation: &'static str,
        /// Why.
        source: reqwest::Error,
    },
    /// The service answered what it should not.
    #[error("ACS answered {operation} with what cannot be understood")]
    Answer {
        /// What was asked.
        operation: &'static str,
    },
    /// There is no token to ask with.
    #[error("no token to {operation} with")]
    Token {
        /// What was asked.
        operation: &'static str,
        /// Why.
        source: TokenError,
    },
}

impl RestError {
    /// The subcode, if the service named one.
    pub fn subcode(&self) -> Option<u32> {
        match self {
            RestError::Refused { code, .. } => code.parse().ok(),
            _ => None,
        }
    }

    /// Whether the call is not there any more.
    pub fn is_gone(&self) -> bool {
        matches!(self, RestError::Refused { status: 404, .. }) || self.subcode() == Some(8528)
    }

    /// What it means for a leg.
    pub fn cause(&self) -> Cause {
        match self {
            RestError::Refused { status: 401, .. } => Cause::Forbidden,
            RestError::Refused { status, .. } => cause_of(*status, self.subcode().unwrap_or(0)),
            RestError::Unreachable { .. } => Cause::Unreachable,
            RestError::Answer { .. } | RestError::Token { .. } => Cause::Internal,
        }
    }

    /// The service's own numbers and words, for records.
    pub fn detail(&self) -> String {
        match self {
            RestError::Refused { status, code, message, .. } => format!("ACS {status}/{code} {message}"),
            other => other.to_string(),
        }
    }
}

/// Asks one ACS resource.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    host: String,
    api_version: String,
    credential: Credential,
}

/// The address of the resource is none.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0:?} is no address of an ACS resource; write https://NAME.communication.azure.com")]
pub struct BadEndpoint(String);

impl Client {
    /// A client of the resource at `endpoint`.
    ///
    /// # Errors
    /// [`BadEndpoint`].
    pub fn new(
        http: reqwest::Client,
        endpoint: &str,
        api_version: &str,
        credential: Credential,
    ) -> Result<Client, BadEndpoint> {
        let bad = || BadEndpoint(endpoint.to_owned());
        let base = Url::parse(endpoint.trim_end_matches('/')).map_err(|_| bad())?;
        let name = base.host_str().ok_or_else(bad)?;
        let host = match base.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        Ok(Client { http, base, host, api_version: api_version.to_owned(), credential })
    }

    /// Asks for an operation; the service's answer, `null` if it has none.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn ask(&self, operation: &Operation) -> Result<Value, RestError> {
        let request = operation.request(&self.api_version);
        let first_sent = http_date(Timestamp::now());
        let pair = request.repeatable.then(|| (uuid(), first_sent));
        let mut wait = BACK_OFF;
        for tried in 1.. {
            let answer = self.send(operation.name(), &request, pair.as_ref()).await;
            let (error, pause, was_refused) = match answer {
                Ok(answer) => return Ok(answer),
                Err(Failed { error, retry: Retry::Never }) => {
                    // Hanging up on a call that is gone is done.
                    if tried > 1 && request.method == Method::DELETE && error.is_gone() {
                        return Ok(Value::Null);
                    }
                    return Err(error);
                }
                Err(Failed { error, retry: Retry::Refused(after) }) => {
                    (error, after.unwrap_or(wait).min(RETRY_AFTER_MAX), true)
                }
                Err(Failed { error, retry: Retry::Lost }) => (error, wait, false),
            };
            let safe = was_refused || request.repeatable || request.method != Method::POST;
            if tried >= TRIES_MAX || !(safe || operation.effect().is_some()) {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            wait *= 2;
            if !safe && let Some(effect) = operation.effect() {
                let look = effect.request(&self.api_version);
                match self.send(effect.name(), &look, None).await {
                    Ok(read) if operation.is_done(&read) => return Ok(Value::Null),
                    Ok(_) => {}
                    Err(_) => return Err(error), // nobody knows; the first error is the truer one
                }
            }
        }
        Err(RestError::Answer { operation: operation.name() })
    }

    /// Asks for the state of a call connection.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn connection(&self, operation: &Operation) -> Result<CallConnection, RestError> {
        let mut answer = self.ask(operation).await?;
        wire::without_nulls(&mut answer);
        serde_json::from_value(answer).map_err(|_| RestError::Answer { operation: operation.name() })
    }

    async fn send(
        &self,
        operation: &'static str,
        request: &Request,
        pair: Option<&(String, String)>,
    ) -> Result<Value, Failed> {
        // Signed anew for each try: the date is part of it.
        let date = http_date(Timestamp::now());
        let url = format!("{}{}", self.base.as_str().trim_end_matches('/'), request.target);
        let mut sending = self.http.request(request.method.clone(), url).timeout(TRY_MAX);
        let ours = uuid();
        match &self.credential {
            Credential::Key(key) => {
                let unsigned = Unsigned {
                    method: request.method.as_str(),
                    target: &request.target,
                    host: &self.host,
                    date: &date,
                    body: &request.body,
                };
                let signed = sign(key, unsigned);
                sending = sending
                    .header("x-ms-date", &date)
                    .header("x-ms-content-sha256", signed.content_sha256)
                    .header("authorization", signed.authorization);
            }
            Credential::Tokens { source, scope } => {
                let token = source.token(scope).await.map_err(|source| Failed {
                    error: RestError::Token { operation, source },
                    retry: Retry::Never,
                })?;
                sending = sending.header("authorization", format!("Bearer {}", token.expose()));
            }
        }
        sending = sending
            .header("accept", "application/json")
            .header("x-ms-client-request-id", &ours)
            .header("x-ms-return-client-request-id", "true");
        if let Some((id, first_sent)) = pair {
            sending =
                sending.header("repeatability-request-id", id).header("repeatability-first-sent", first_sent);
        }
        if !request.body.is_empty() {
            sending = sending.header("content-type", "application/json").body(request.body.clone());
        }
        let lost = |source: reqwest::Error| {
            // A connection that was never made carried nothing.
            let retry = if source.is_connect() { Retry::Refused(None) } else { Retry::Lost };
            // Its address may hold somebody's number, and an error is logged.
            let source = source.without_url();
            Failed { error: RestError::Unreachable { operation, source }, retry }
        };
        let answer = sending.send().await.map_err(lost)?;
        let status = answer.status();
        // Microsoft's support finds a request by either.
        let theirs = header(&answer, "x-ms-request-id").or_else(|| header(&answer, "ms-cv"));
        let request_id = format!("{} (ours {ours})", theirs.as_deref().unwrap_or("none"));
        let retry_after = header(&answer, "retry-after").and_then(|text| text.trim().parse().ok());
        let body = limited(answer, operation).await?;
        if status.is_success() {
            if body.is_empty() {
                return Ok(Value::Null);
            }
            let unreadable = |_| Failed { error: RestError::Answer { operation }, retry: Retry::Never };
            return serde_json::from_slice(&body).map_err(unreadable);
        }
        let said: wire::ErrorBody = serde_json::from_slice(&body).unwrap_or_default();
        tracing::debug!(operation, %status, code = said.error.code, request_id, "ACS refuses");
        let message = said.error.message.chars().take(256).collect();
        let code = said.error.code.chars().take(64).collect();
        let retry = match status {
            StatusCode::TOO_MANY_REQUESTS => Retry::Refused(retry_after.map(Duration::from_secs)),
            _ if status.is_server_error() => Retry::Lost,
            _ => Retry::Never,
        };
        let status = status.as_u16();
        Err(Failed { error: RestError::Refused { operation, status, code, message, request_id }, retry })
    }
}

/// Why one try failed, and what that means for the next.
struct Failed {
    error: RestError,
    retry: Retry,
}

enum Retry {
    /// The same again would fail the same.
    Never,
    /// It was not carried out; the service may have said when to come again.
    Refused(Option<Duration>),
    /// Nobody knows whether it was carried out.
    Lost,
}

async fn limited(mut answer: reqwest::Response, operation: &'static str) -> Result<Vec<u8>, Failed> {
    let mut body = Vec::new();
    loop {
        let piece = answer.chunk().await.map_err(|source| Failed {
            error: RestError::Unreachable { operation, source: source.without_url() },
            retry: Retry::Lost,
        })?;
        let Some(piece) = piece else { return Ok(body) };
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(Failed { error: RestError::Answer { operation }, retry: Retry::Never });
        }
        body.extend_from_slice(&piece);
    }
}

fn header(answer: &reqwest::Response, name: &str) -> Option<String> {
    let value = answer.headers().get(name)?.to_str().ok()?;
    Some(value.chars().take(128).collect())
}

/// A random UUID (RFC 9562 section 5.4).
pub(crate) fn uuid() -> String {
    let mut bytes = [0; 16];
    // Without randomness two requests could be taken for one.
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acs::identifier::RawId;

    #[tokio::test]
    async fn an_error_on_the_way_names_neither_path_nor_number() {
        let _named = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // Nobody listens at this address: it was free a moment ago.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let key = AccessKey::from_base64("MDEyMw==").unwrap();
        let endpoint = format!("http://{free}");
        let client =
            Client::new(reqwest::Client::new(), &endpoint, "2026-03-12", Credential::Key(key)).unwrap();
        let who = RawId::new("4:+15550100").unwrap();
        let connection = "401f2500".to_owned();
        let error = client.ask(&Operation::GetParticipant { connection, who }).await.unwrap_err();
        assert!(matches!(error, RestError::Unreachable { .. }), "{error:?}");
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let text = format!("{error} {error:?} {source:?} {}", error.detail());
        for secret in ["15550100", "401f2500", "participants"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }

    #[test]
    fn a_uuid_is_one() {
        let id = uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert_ne!(id, uuid());
    }
}
