//! A stand-in for Entra: gives tokens for asking the service to whoever proves who they are, and signs Event Grid's.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::json;
use tokio::net::TcpListener;

use super::issuer::{Flaw, Issuer};

/// The Entra tenant.
pub const TENANT: &str = "33333333-3333-3333-3333-333333333333";
/// The application of the gateway.
pub const CLIENT: &str = "44444444-4444-4444-4444-444444444444";
/// Its secret.
pub const CLIENT_SECRET: &str = "simulated-client-secret";
/// What Kubernetes vouches for it with.
pub const ASSERTION: &str = "e30.e30.kubernetes";
/// For whom Event Grid's tokens are.
pub const WEBHOOK_AUDIENCE: &str = "api://sidetone.sim.test";
/// Who signs them.
pub const WEBHOOK_ISSUER: &str = "https://entra.sim.test";
/// What is asked for, when tokens for ACS are.
const SCOPE: &str = "https://communication.azure.com//.default";
/// The same, as machines ask.
const AUDIENCE: &str = "https://communication.azure.com/";

/// The authority.
#[derive(Clone)]
pub struct Entra(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    for_acs: Issuer,
    for_webhook: Issuer,
    given: Mutex<Given>,
}

#[derive(Default)]
struct Given {
    tokens: Vec<String>,
    asked: Vec<String>,
}

impl Entra {
    /// Starts it on a free port of loopback.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start() -> std::io::Result<Entra> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let inner = Inner {
            address: listener.local_addr()?,
            for_acs: Issuer::of(WEBHOOK_ISSUER, AUDIENCE),
            for_webhook: Issuer::of(WEBHOOK_ISSUER, WEBHOOK_AUDIENCE),
            given: Mutex::default(),
        };
        let entra = Entra(Arc::new(inner));
        let app = Router::new().fallback(handle).with_state(entra.clone());
        tokio::spawn(async move {
            // It ends with the runtime of the test.
            let _ended = axum::serve(listener, app).await;
        });
        Ok(entra)
    }

    /// Its base address: that of the authority, and of a machine's metadata service.
    pub fn base(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// The settings that have a gateway demand its tokens on Event Grid's deliveries.
    pub fn webhook_settings(&self) -> String {
        format!(
            "webhook_issuer = \"{WEBHOOK_ISSUER}\"\nwebhook_audience = \"{WEBHOOK_AUDIENCE}\"\n\
             webhook_jwks_url = \"{}/keys\"\n",
            self.base()
        )
    }

    /// How it was asked for tokens so far: `secret`, `assertion`, `machine`, or what was wrong.
    pub fn asked(&self) -> Vec<String> {
        self.given(|given| given.asked.clone())
    }

    /// Whether it gave this token.
    pub(super) fn gave(&self, token: &str) -> bool {
        self.given(|given| given.tokens.iter().any(|given| given == token))
    }

    /// The authorization of a delivery of Event Grid's.
    pub(super) fn delivery(&self, flaw: Flaw) -> Option<String> {
        self.0.for_webhook.authorization(Timestamp::now(), flaw)
    }

    fn given<T>(&self, look: impl FnOnce(&mut Given) -> T) -> T {
        look(&mut self.0.given.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn judge(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &str,
    ) -> Result<&'static str, String> {
        let fields = if method == Method::GET { uri.query().unwrap_or_default() } else { body };
        let field = |name: &str| {
            let found = fields.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.map(decoded).unwrap_or_default()
        };
        if uri.path() == "/metadata/identity/oauth2/token" {
            let is_machine = headers.get("metadata").is_some_and(|value| value == "true");
            let right =
                method == Method::GET && is_machine && field("resource") == AUDIENCE.trim_end_matches('/')
                    || field("resource") == AUDIENCE;
            return if right { Ok("machine") } else { Err(format!("machine {fields}")) };
        }
        if uri.path() != format!("/{TENANT}/oauth2/v2.0/token") || field("scope") != SCOPE {
            return Err(format!("{} {fields}", uri.path()));
        }
        let right = field("grant_type") == "client_credentials" && field("client_id") == CLIENT;
        match (field("client_secret").as_str(), field("client_assertion").as_str()) {
            (CLIENT_SECRET, "") if right => Ok("secret"),
            ("", ASSERTION) if right => Ok("assertion"),
            _ => {
                Err("AADSTS7000215: Invalid client secret provided for the app 'Cornelius Canary'."
                    .to_owned())
            }
        }
    }
}

async fn handle(
    State(entra): State<Entra>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if uri.path() == "/keys" {
        return axum::Json(entra.0.for_webhook.jwks()).into_response();
    }
    let judged = entra.judge(&method, &uri, &headers, &String::from_utf8_lossy(&body));
    match judged {
        Ok(how) => {
            let token = entra.0.for_acs.authorization(Timestamp::now(), Flaw::Sound).unwrap_or_default();
            let token = token.trim_start_matches("Bearer ").to_owned();
            entra.given(|given| {
                given.tokens.push(token.clone());
                given.asked.push(how.to_owned());
            });
            let until = Timestamp::now().as_second() + 3_600;
            axum::Json(json!({ "token_type": "Bearer", "expires_in": 3600, "ext_expires_in": 3600,
                "expires_on": until.to_string(), "resource": AUDIENCE, "access_token": token }))
            .into_response()
        }
        Err(wrong) => {
            let said =
                json!({ "error": "invalid_client", "error_description": wrong, "error_codes": [7_000_215] });
            entra.given(|given| given.asked.push(wrong));
            (StatusCode::UNAUTHORIZED, axum::Json(said)).into_response()
        }
    }
}

fn decoded(text: &str) -> String {
    super::rest::percent_decoded(&text.replace('+', " "))
}
