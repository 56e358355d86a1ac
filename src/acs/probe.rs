//! Whether a resource would talk to us, tried once: for whoever sets one up.

use std::time::Duration;

use sbc_config::Acs;
use serde_json::Value;

use super::operation::Operation;
use super::resources::Resource;
use super::rest::{RestError, uuid};

/// How long the keys may take.
const KEYS_MAX: Duration = Duration::from_secs(5);

/// What was tried, and what came of it: what is well, or what is wrong and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What.
    pub what: &'static str,
    /// What came of it.
    pub outcome: Result<String, (String, &'static str)>,
}

/// Asks the resource about a call that is not there, and reads the keys of those whose tokens are believed.
pub async fn probe(acs: &Acs, http: &reqwest::Client) -> Vec<Probe> {
    let mut all = vec![Probe { what: "the resource", outcome: asked(acs, http).await }];
    let mut issuers = vec![("the keys of callbacks", &acs.tokens)];
    issuers.extend(acs.webhook_tokens.as_ref().map(|issuer| ("the keys of deliveries", issuer)));
    for (what, issuer) in issuers {
        all.push(Probe { what, outcome: keys(&issuer.jwks_url, http).await });
    }
    all
}

async fn asked(acs: &Acs, http: &reqwest::Client) -> Result<String, (String, &'static str)> {
    let resource = Resource::new(acs, None, http)
        .map_err(|error| (with_source(&error), "mend the settings of the resource"))?;
    let nobody = Operation::Get { connection: uuid() };
    match resource.client.ask(&nobody).await {
        // It knows no such call, and says so only to those it lets in.
        Err(error) if error.is_gone() => Ok("lets us in".to_owned()),
        Ok(_) => Err(("knows a call that is not there".to_owned(), "is it an ACS resource?")),
        Err(error) => {
            let remedy = match &error {
                RestError::Refused { status: 401, .. } => {
                    "compare the access key with the portal's, and this machine's clock with the time"
                }
                RestError::Refused { status: 403, .. } => {
                    "is the key that of this resource, and has the identity a role there?"
                }
                RestError::Refused { .. } => "look at the endpoint and api_version",
                RestError::Token { .. } => "look at the entra settings; the code is Microsoft's",
                RestError::Unreachable { .. } | RestError::Answer { .. } => {
                    "is the endpoint right, and the way to it open?"
                }
            };
            Err((with_source(&error), remedy))
        }
    }
}

async fn keys(url: &str, http: &reqwest::Client) -> Result<String, (String, &'static str)> {
    let remedy = "without them every callback and stream is refused; look at jwks_url and the way to it";
    let read =
        async { http.get(url).timeout(KEYS_MAX).send().await?.error_for_status()?.json::<Value>().await };
    let set = read.await.map_err(|error| (with_source(&error), remedy))?;
    match set.get("keys").and_then(Value::as_array).map(Vec::len) {
        Some(keys @ 1..) => Ok(format!("are {keys}")),
        _ => Err((format!("{url} gives no keys"), remedy)),
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
