//! Tokens of Entra for asking ACS: a trait, so that what gives them can be another thing in a test.
//!
//! [`Azure`] is Microsoft's own crate behind it, speaking over the HTTP client of the house. That crate knows some addresses
//! of its own and takes none without TLS; where the configuration names others, the transport goes there.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::{AsyncRawResponse, ClientOptions, HttpClient, Request, Transport};
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use sbc_config::{Entra, EntraIdentity};

/// Where the identity crate believes the metadata service of a machine to be.
const METADATA: &str = "http://169.254.169.254";

/// The longest answer with a token that is read. Tokens have some KiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A token. It is as good as a password while it lasts.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Wraps a token.
    pub fn new(text: String) -> Token {
        Token(text)
    }

    /// The token itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// Why there is no token: the code of Entra's, if it gave one. Its words name applications and tenants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Entra gives no token{}", .0.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
pub struct TokenError(pub Option<String>);

impl TokenError {
    fn of(error: &Error) -> TokenError {
        let text = error.to_string();
        tracing::debug!(error = text, "no token for ACS");
        let code = text.split_once("AADSTS").map(|(_, rest)| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).take(12).collect();
            format!("AADSTS{digits}")
        });
        TokenError(code)
    }
}

/// What [`TokenSource::token`] returns.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<Token, TokenError>> + Send + 'a>>;

/// Gives tokens, from memory while they last.
pub trait TokenSource: Send + Sync {
    /// A token for the scope.
    fn token<'a>(&'a self, scope: &'a str) -> TokenFuture<'a>;
}

/// Tokens by Microsoft's own crate.
pub struct Azure(Arc<dyn TokenCredential>);

impl Azure {
    /// Tokens of the identity that the configuration names.
    ///
    /// # Errors
    /// Something it needs is missing or no address.
    pub fn new(entra: &Entra, http: reqwest::Client) -> azure_core::Result<Azure> {
        let at = |from: &str, to: &str, cloud| {
            let elsewhere = (from.to_owned(), to.to_owned());
            let transport = Transport::new(Arc::new(HouseHttp { http: http.clone(), elsewhere }));
            ClientOptions { transport: Some(transport), cloud, ..ClientOptions::default() }
        };
        let authority = |address: &str| {
            // It wants TLS, and the transport knows better.
            let private = match address.strip_prefix("http://") {
                Some(rest) => format!("https://{rest}"),
                None => address.to_owned(),
            };
            let mut cloud = CustomConfiguration::default();
            cloud.authority_host = private.clone();
            at(&private, address, Some(Arc::new(cloud.into())))
        };
        let credential: Arc<dyn TokenCredential> = match &entra.identity {
            EntraIdentity::Managed { client_id, endpoint } => {
                let user_assigned_id = client_id.as_ref().map(|id| UserAssignedId::ClientId(id.to_string()));
                let client_options = at(METADATA, endpoint, None);
                let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
                ManagedIdentityCredential::new(Some(options))?
            }
            EntraIdentity::Workload { tenant, client_id, token_file, authority: address } => {
                let credential_options =
                    ClientAssertionCredentialOptions { client_options: authority(address) };
                WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                    credential_options,
                    client_id: client_id.as_ref().map(ToString::to_string),
                    tenant_id: tenant.as_ref().map(ToString::to_string),
                    token_file_path: token_file.clone(),
                }))?
            }
            EntraIdentity::Secret { tenant, client_id, secret, authority: address } => {
                let options = ClientSecretCredentialOptions { client_options: authority(address) };
                let secret = Secret::new(secret.expose().to_owned());
                ClientSecretCredential::new(tenant, client_id.to_string(), secret, Some(options))?
            }
        };
        Ok(Azure(credential))
    }
}

impl TokenSource for Azure {
    fn token<'a>(&'a self, scope: &'a str) -> TokenFuture<'a> {
        Box::pin(async move {
            let token = self.0.get_token(&[scope], None).await.map_err(|error| TokenError::of(&error))?;
            Ok(Token::new(token.token.secret().to_owned()))
        })
    }
}

/// The HTTP client of the house, as the identity crate wants one.
#[derive(Debug)]
struct HouseHttp {
    http: reqwest::Client,
    /// What begins like the first is asked at the second.
    elsewhere: (String, String),
}

impl HouseHttp {
    async fn send(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let (from, to) = &self.elsewhere;
        let url = match request.url().as_str().strip_prefix(from.as_str()) {
            Some(rest) => format!("{to}{rest}"),
            None => request.url().to_string(),
        };
        let failed = |error: reqwest::Error| {
            let kind = if error.is_connect() { ErrorKind::Connection } else { ErrorKind::Io };
            Error::with_error(kind, error.without_url(), "Entra cannot be asked")
        };
        let mut sending = self.http.request(method(request), url);
        for (name, value) in request.headers().iter() {
            sending = sending.header(name.as_str(), value.as_str());
        }
        if let azure_core::http::Body::Bytes(body) = request.body() {
            sending = sending.body(body.clone());
        }
        let mut answer = sending.send().await.map_err(failed)?;
        let mut headers = Headers::new();
        for (name, value) in answer.headers() {
            if let Ok(value) = value.to_str() {
                headers
                    .insert(HeaderName::from(name.as_str().to_owned()), HeaderValue::from(value.to_owned()));
            }
        }
        let status = answer.status().as_u16().into();
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(Error::with_message(ErrorKind::Io, "the answer is no token"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

impl HttpClient for HouseHttp {
    // As the attribute of the trait writes it.
    fn execute_request<'life0, 'life1, 'async_trait>(
        &'life0 self,
        request: &'life1 Request,
    ) -> Pin<Box<dyn Future<Output = azure_core::Result<AsyncRawResponse>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.send(request))
    }
}

fn method(request: &Request) -> reqwest::Method {
    match request.method() {
        azure_core::http::Method::Post => reqwest::Method::POST,
        // Tokens are asked for with these two.
        _ => reqwest::Method::GET,
    }
}
