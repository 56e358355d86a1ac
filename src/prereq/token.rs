//! Tokens of Entra for the application itself (client credentials), and what each refusal means.
//!
//! Two messages are fixed, because operators search for them. Everything else that can go wrong (a name that does not
//! resolve, a proxy's HTML page, a service that is down) says nothing about the credential, and is never told as if it did.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sbc_config::{AppCredential, Integration, Secret};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::evidence::Verdict;
use super::http::{Reply, Unreachable, escaped, fetch, host};

/// Said when something is missing from the account.
pub const INCOMPLETE: &str = "Error: Account credentials are incomplete";
/// Said when Entra refuses. No refresh token exists in this flow; the words are the ones people know.
pub const REFUSED: &str = "Error: Failed to request refresh token";

/// A token is renewed this long before it ends.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// A token that does not say how long it is good is good for this long.
const LIFE_UNSAID: u64 = 10 * 60;
/// A failure is remembered this long, so that many askers make one request.
const FAILED_FOR: Duration = Duration::from_secs(5);
/// How long an assertion signed with the certificate is good.
const ASSERTION_LIFE: u64 = 10 * 60;

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hint {
    /// Something is missing from the account. No request was made.
    Incomplete,
    /// Often the secret's id was pasted, not its value.
    SecretWrong,
    /// The secret has ended.
    SecretExpired,
    /// No such application in this tenant.
    ClientUnknownInTenant,
    /// No such tenant.
    TenantNotFound,
    /// The application is switched off.
    AppDisabled,
    /// The certificate or its signature is not taken.
    CertificateRejected,
    /// The request carried no credential: our mistake.
    NoCredentialSent,
    /// The scope is not known there.
    ScopeWrong,
    /// The tenant lives in another cloud.
    WrongCloud,
    /// A policy of the tenant blocks the sign-in.
    BlockedByPolicy,
    /// Refused for another reason.
    CredentialsRejectedOther,
    /// Entra is busy or broken.
    IdentityUnavailable,
    /// No answer, or one that Entra does not give: a proxy, a portal, another service.
    Unreachable,
}

impl Hint {
    /// A sentence for people.
    pub fn text(self) -> &'static str {
        match self {
            Hint::Incomplete => {
                "object id, tenant id, client id or credential is missing, or changed and not reloaded"
            }
            Hint::SecretWrong => "the client secret is wrong; often its ID was pasted instead of its Value",
            Hint::SecretExpired => "the client secret has expired; make a new one",
            Hint::ClientUnknownInTenant => {
                "the application is not known in this tenant; check both ids and consent"
            }
            Hint::TenantNotFound => "there is no such tenant",
            Hint::AppDisabled => "the application is disabled in this tenant",
            Hint::CertificateRejected => "the certificate is not the application's, or its key does not fit",
            Hint::NoCredentialSent => "no credential was sent; this is a mistake of the gateway",
            Hint::ScopeWrong => "the scope is not known; check the cloud and its addresses",
            Hint::WrongCloud => "the tenant lives in another of Microsoft's clouds; set `cloud`",
            Hint::BlockedByPolicy => "a conditional access policy of the tenant blocks the sign-in",
            Hint::CredentialsRejectedOther => "the sign-in was refused; give Microsoft the correlation id",
            Hint::IdentityUnavailable => {
                "the identity service is busy or broken; this says nothing about the credential"
            }
            Hint::Unreachable => "no answer of the identity service; this says nothing about the credential",
        }
    }

    /// The stable word.
    pub fn code(self) -> &'static str {
        match self {
            Hint::Incomplete => "incomplete",
            Hint::SecretWrong => "secret_wrong",
            Hint::SecretExpired => "secret_expired",
            Hint::ClientUnknownInTenant => "client_unknown_in_tenant",
            Hint::TenantNotFound => "tenant_not_found",
            Hint::AppDisabled => "app_disabled",
            Hint::CertificateRejected => "certificate_rejected",
            Hint::NoCredentialSent => "no_credential_sent",
            Hint::ScopeWrong => "scope_wrong",
            Hint::WrongCloud => "wrong_cloud",
            Hint::BlockedByPolicy => "blocked_by_policy",
            Hint::CredentialsRejectedOther => "credentials_rejected_other",
            Hint::IdentityUnavailable => "identity_unavailable",
            Hint::Unreachable => "unreachable",
        }
    }

    /// What the connection test came to.
    pub fn verdict(self) -> Verdict {
        match self {
            Hint::IdentityUnavailable | Hint::Unreachable => Verdict::Unknown,
            _ => Verdict::Fail,
        }
    }

    /// The fixed message, for what has one.
    pub fn message(self) -> Option<&'static str> {
        match self {
            Hint::Incomplete => Some(INCOMPLETE),
            hint if hint.verdict() == Verdict::Unknown => None,
            _ => Some(REFUSED),
        }
    }

    /// The hint for a code of Entra's, if one is known.
    fn of_code(code: u64) -> Option<Hint> {
        Some(match code {
            7_000_215 => Hint::SecretWrong,
            7_000_222 => Hint::SecretExpired,
            700_016 | 700_011 => Hint::ClientUnknownInTenant,
            90_002 | 900_023 => Hint::TenantNotFound,
            7_000_112 | 70_001 => Hint::AppDisabled,
            700_027 | 50_012 | 700_030 | 50_003 => Hint::CertificateRejected,
            7_000_218 => Hint::NoCredentialSent,
            70_011 | 700_022 | 28_002 => Hint::ScopeWrong,
            90_038 | 900_382 | 900_432 => Hint::WrongCloud,
            53_003 | 530_032 => Hint::BlockedByPolicy,
            90_006 | 90_012 | 90_024 | 90_033 | 90_055 | 90_090 => Hint::IdentityUnavailable,
            _ => return None,
        })
    }
}

/// Why there is no token, with what helps to find out more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no token of {host}: {}", .hint.text())]
pub struct TokenError {
    /// Why.
    pub hint: Hint,
    /// Who was asked.
    pub host: String,
    /// What Microsoft calls this attempt.
    pub correlation_id: Option<String>,
    /// Not before.
    pub retry_after: Option<Duration>,
}

/// A token of Entra's. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    secret: Secret,
    /// The permissions it carries; none when it was issued without any.
    pub roles: Vec<String>,
}

impl AccessToken {
    /// For the `Authorization` header.
    pub fn expose(&self) -> &str {
        self.secret.expose()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessToken(redacted, {} roles)", self.roles.len())
    }
}

/// Where the tokens of one account come from, remembered until shortly before they end.
pub struct TokenSource {
    http: reqwest::Client,
    authority: Arc<str>,
    tenant: Option<Arc<str>>,
    client_id: Option<Arc<str>>,
    complete: bool,
    credential: AppCredential,
    held: Mutex<HashMap<String, Held>>,
    /// Held while Entra is asked, so that many askers make one request.
    asking: tokio::sync::Mutex<()>,
}

struct Held {
    said: Result<AccessToken, TokenError>,
    until: Instant,
}

impl TokenSource {
    /// The tokens of this account.
    pub fn new(account: &Integration, http: reqwest::Client) -> TokenSource {
        TokenSource {
            http,
            authority: account.authority.clone(),
            tenant: account.entra_tenant.clone(),
            client_id: account.client_id.clone(),
            complete: complete(account),
            credential: account.credential.clone(),
            held: Mutex::default(),
            asking: tokio::sync::Mutex::new(()),
        }
    }

    /// A token for the service at `resource`.
    ///
    /// # Errors
    /// [`TokenError`]; the same one is given for some seconds without asking again.
    pub async fn token(&self, resource: &str) -> Result<AccessToken, TokenError> {
        if let Some(said) = self.remembered(resource) {
            return said;
        }
        let _asking = self.asking.lock().await;
        if let Some(said) = self.remembered(resource) {
            return said;
        }
        let (said, life) = match self.ask(resource).await {
            Ok((token, life)) => (Ok(token), life.saturating_sub(EARLY).max(FAILED_FOR)),
            Err(error) => {
                tracing::warn!(hint = error.hint.code(), host = error.host, "no token for the checks");
                let life = error.retry_after.unwrap_or(FAILED_FOR);
                (Err(error), life)
            }
        };
        let held = Held { said: said.clone(), until: Instant::now() + life };
        self.held().insert(resource.to_owned(), held);
        said
    }

    /// What the last request came to, if it is still remembered.
    pub fn last(&self, resource: &str) -> Option<Result<AccessToken, TokenError>> {
        self.remembered(resource)
    }

    /// Permissions are fixed when a token is made: after consent, or a 401, a new one is needed.
    pub fn forget(&self) {
        self.held().clear();
    }

    fn remembered(&self, resource: &str) -> Option<Result<AccessToken, TokenError>> {
        self.held().get(resource).filter(|held| Instant::now() < held.until).map(|held| held.said.clone())
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, resource: &str) -> Result<(AccessToken, Duration), TokenError> {
        if let AppCredential::ManagedIdentity { endpoint } = &self.credential {
            return self.ask_machine(endpoint, resource).await;
        }
        let (Some(tenant), Some(client), true) = (&self.tenant, &self.client_id, self.complete) else {
            return Err(self.error(Hint::Incomplete));
        };
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.authority);
        let mut form = format!(
            "grant_type=client_credentials&client_id={}&scope={}",
            escaped(client),
            escaped(&format!("{resource}/.default"))
        );
        match &self.credential {
            AppCredential::Secret(secret) => {
                form.push_str("&client_secret=");
                form.push_str(&escaped(secret.expose()));
            }
            AppCredential::Certificate { certificate, key } => {
                let assertion = assertion(&url, client, certificate, key, SystemTime::now())
                    .ok_or_else(|| self.error(Hint::CertificateRejected))?;
                form.push_str("&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=");
                form.push_str(&escaped(&assertion));
            }
            AppCredential::None | AppCredential::ManagedIdentity { .. } => {
                return Err(self.error(Hint::Incomplete));
            }
        }
        let request =
            self.http.post(&url).header("Content-Type", "application/x-www-form-urlencoded").body(form);
        understand(&fetch(request, &url).await, &self.authority, From::Entra)
    }

    async fn ask_machine(
        &self,
        endpoint: &str,
        resource: &str,
    ) -> Result<(AccessToken, Duration), TokenError> {
        let mut url = format!("{endpoint}?api-version=2018-02-01&resource={}", escaped(resource));
        if let Some(client) = &self.client_id {
            url.push_str(&format!("&client_id={}", escaped(client)));
        }
        let request = self.http.get(&url).header("Metadata", "true");
        understand(&fetch(request, endpoint).await, endpoint, From::Machine)
    }

    fn error(&self, hint: Hint) -> TokenError {
        let host = host(&self.authority).to_owned();
        TokenError { hint, host, correlation_id: None, retry_after: None }
    }
}

/// Whether the account names everything a sign-in needs.
pub fn complete(account: &Integration) -> bool {
    match account.credential {
        AppCredential::None => false,
        AppCredential::ManagedIdentity { .. } => true,
        AppCredential::Secret(_) | AppCredential::Certificate { .. } => {
            account.entra_tenant.is_some() && account.client_id.is_some() && account.object_id.is_some()
        }
    }
}

/// Who gives the token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// The token endpoint of the tenant.
    Entra,
    /// The metadata service of the machine, whose refusals carry no numbers.
    Machine,
}

/// What an answer of the token endpoint means.
fn understand(
    reply: &Result<Reply, Unreachable>,
    base: &str,
    from: From,
) -> Result<(AccessToken, Duration), TokenError> {
    let error = |hint, correlation_id, retry_after| TokenError {
        hint,
        host: host(base).to_owned(),
        correlation_id,
        retry_after,
    };
    let Ok(reply) = reply else { return Err(error(Hint::Unreachable, None, None)) };
    let body = reply.json();
    let text = |field: &str| body.as_ref()?.get(field)?.as_str();
    if reply.status.is_success() {
        let Some(token) = text("access_token") else { return Err(error(Hint::Unreachable, None, None)) };
        let life = body.as_ref().and_then(|body| body.get("expires_in")).and_then(seconds);
        let roles = roles(token);
        let token = AccessToken { secret: Secret::new(token), roles };
        return Ok((token, Duration::from_secs(life.unwrap_or(LIFE_UNSAID).min(24 * 3600))));
    }
    let correlation = text("correlation_id")
        .filter(|id| id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        .map(str::to_owned);
    if reply.unavailable() || text("error") == Some("temporarily_unavailable") {
        return Err(error(Hint::IdentityUnavailable, correlation, reply.retry_after));
    }
    // RFC 6749 section 5.2 and what Entra adds. Any other word, or none, was not said by Entra about a credential.
    const OAUTH: [&str; 9] = [
        "invalid_client",
        "unauthorized_client",
        "invalid_request",
        "invalid_grant",
        "invalid_scope",
        "invalid_resource",
        "unsupported_grant_type",
        "access_denied",
        "interaction_required",
    ];
    // Another identity provider uses the same words. Entra signs its refusals with numbers of its own.
    let signed = body.as_ref().is_some_and(|body| {
        ["error_codes", "trace_id", "correlation_id"].iter().any(|mark| body.get(*mark).is_some())
    });
    let refused = reply.status.is_client_error() && text("error").is_some_and(|word| OAUTH.contains(&word));
    if !refused || !(signed || from == From::Machine) {
        return Err(error(Hint::Unreachable, correlation, None));
    }
    let codes = body.as_ref().and_then(|body| body.get("error_codes")).and_then(Value::as_array);
    let hint = codes.into_iter().flatten().filter_map(Value::as_u64).find_map(Hint::of_code);
    Err(error(hint.unwrap_or(Hint::CredentialsRejectedOther), correlation, reply.retry_after))
}

/// A number, or the text of one: the metadata service writes texts.
fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The permissions a token of our own carries. Microsoft calls its tokens opaque, so this is a hint.
fn roles(token: &str) -> Vec<String> {
    const ROLES_MAX: usize = 200;
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Value> = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let roles = claims.as_ref().and_then(|claims| claims.get("roles")).and_then(Value::as_array);
    roles.into_iter().flatten().take(ROLES_MAX).filter_map(|role| role.as_str().map(str::to_owned)).collect()
}

#[derive(Serialize)]
struct Assertion<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    nbf: u64,
    iat: u64,
    exp: u64,
}

/// A JWT signed with the certificate's key: PS256, `x5t#S256` of the DER. None when certificate or key is of no use.
fn assertion(url: &str, client: &str, certificate: &str, key: &Secret, now: SystemTime) -> Option<String> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes()).ok()?;
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::PS256);
    header.x5t_s256 = Some(URL_SAFE_NO_PAD.encode(Sha256::digest(&pem.contents)));
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let claims = Assertion {
        aud: url,
        iss: client,
        sub: client,
        jti: URL_SAFE_NO_PAD.encode(random),
        nbf: now,
        iat: now,
        exp: now + ASSERTION_LIFE,
    };
    let key = jsonwebtoken::EncodingKey::from_rsa_pem(key.expose().as_bytes()).ok()?;
    jsonwebtoken::encode(&header, &claims, &key).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use serde_json::json;

    use super::*;

    fn said(status: u16, body: &str) -> Result<(AccessToken, Duration), TokenError> {
        let status = StatusCode::from_u16(status).unwrap();
        understand(
            &Ok(Reply { status, retry_after: None, body: body.into() }),
            "https://login.example",
            From::Entra,
        )
    }

    fn refusal(status: u16, error: &str, code: u64) -> Hint {
        let body = json!({"error": error, "error_description": "text varies", "error_codes": [code],
            "correlation_id": "c-1"});
        said(status, &body.to_string()).unwrap_err().hint
    }

    #[test]
    fn each_refusal_has_its_hint_and_the_fixed_message() {
        for (status, error, code, hint) in [
            (401, "invalid_client", 7_000_215, Hint::SecretWrong),
            (401, "invalid_client", 7_000_222, Hint::SecretExpired),
            (400, "unauthorized_client", 700_016, Hint::ClientUnknownInTenant),
            (400, "invalid_request", 90_002, Hint::TenantNotFound),
            (400, "unauthorized_client", 7_000_112, Hint::AppDisabled),
            (401, "invalid_client", 700_027, Hint::CertificateRejected),
            (401, "invalid_client", 7_000_218, Hint::NoCredentialSent),
            (400, "invalid_scope", 70_011, Hint::ScopeWrong),
            (400, "invalid_request", 900_382, Hint::WrongCloud),
            (400, "access_denied", 53_003, Hint::BlockedByPolicy),
            (400, "invalid_client", 999_999_999, Hint::CredentialsRejectedOther),
        ] {
            assert_eq!(refusal(status, error, code), hint);
            assert_eq!(hint.message(), Some(REFUSED), "{hint:?}");
            assert_eq!(hint.verdict(), Verdict::Fail);
        }
        assert_eq!(Hint::Incomplete.message(), Some("Error: Account credentials are incomplete"));
    }

    #[test]
    fn nothing_else_blames_the_credential() {
        let html = "<html><body>Sign in to the hotel network</body></html>";
        for (status, body, hint) in [
            (503, "", Hint::IdentityUnavailable),
            (500, html, Hint::IdentityUnavailable),
            (429, "{}", Hint::IdentityUnavailable),
            (400, r#"{"error":"temporarily_unavailable"}"#, Hint::IdentityUnavailable),
            (400, r#"{"error":"invalid_request","error_codes":[90033]}"#, Hint::IdentityUnavailable),
            (200, html, Hint::Unreachable),
            (200, "{}", Hint::Unreachable),
            (403, html, Hint::Unreachable),
            (407, "", Hint::Unreachable),
            (401, r#"{"error":{"code":"Forbidden","message":"a gateway"}}"#, Hint::Unreachable),
            (400, r#"{"error":"proxy_denied"}"#, Hint::Unreachable),
            (401, r#"{"error":"invalid_client","error_description":"another provider"}"#, Hint::Unreachable),
            (302, r#"{"error":"invalid_client","error_codes":[7000215]}"#, Hint::Unreachable),
            (302, "", Hint::Unreachable),
            (401, "[]", Hint::Unreachable),
        ] {
            let error = said(status, body).unwrap_err();
            assert_eq!(error.hint, hint, "{status} {body}");
            assert_eq!((error.hint.message(), error.hint.verdict()), (None, Verdict::Unknown));
        }
        let lost = Err(Unreachable { host: "login.example".into(), why: "connect" });
        assert_eq!(
            understand(&lost, "https://login.example", From::Entra).unwrap_err().hint,
            Hint::Unreachable
        );
    }

    #[test]
    fn a_token_says_what_was_granted_and_shows_nothing() {
        let claims = URL_SAFE_NO_PAD.encode(json!({"roles": ["User.Read.All"]}).to_string());
        let body = json!({"access_token": format!("canary.{claims}.sig"), "expires_in": "3599"});
        let (token, life) = said(200, &body.to_string()).unwrap();
        assert_eq!((token.roles.as_slice(), life.as_secs()), (&["User.Read.All".to_owned()][..], 3599));
        assert!(!format!("{token:?}").contains("canary"));
        let (none, _) = said(200, r#"{"access_token":"opaque"}"#).unwrap();
        assert!(none.roles.is_empty());
    }
}
