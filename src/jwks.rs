//! Tokens that somebody else signed (RFC 7519), checked with the keys they publish (RFC 7517).
//!
//! One [`Jwks`] is one address with keys, remembered. It is asked again when it is old, and when a token names
//! a key nobody here has seen, but for the latter at most once in [`RETRY`]: anybody can invent key names. While the
//! address is down, it is asked again after [`RETRY_FAILED`], and keys already known go on being good for [`KEEP`]; a token
//! whose key is not known is refused. A read that has begun is done, whatever becomes of the request that caused it: nobody
//! keeps keys from others by asking and going away.
//!
//! Only RS256 is taken. A token that says `none`, HS256 or anything else is refused before a key is looked at,
//! so that a public key can never be used as a shared secret.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Keys read longer ago are read again. Microsoft rolls its keys with days of overlap.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// Keys that cannot be renewed are good for this long, so that an outage of the issuer's key server is not ours.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest time between two reads, whatever the tokens say.
const RETRY: Duration = Duration::from_secs(60);
/// The same after a read that failed: until one succeeds, nobody may be believed.
const RETRY_FAILED: Duration = Duration::from_secs(5);
/// How long the address may take.
const ANSWER: Duration = Duration::from_secs(5);
/// A longer key set is refused. Entra's has about ten keys in 20 KB.
const SET_BYTES_MAX: usize = 256 * 1024;
/// Keys of one set that are looked at.
const KEYS_MAX: usize = 64;
/// The clocks of issuer and gateway may differ by this much.
const LEEWAY: u64 = 60;

/// The keys of one issuer.
pub struct Jwks {
    source: Arc<Source>,
    /// Held while the address is read, so that many tokens cause one read.
    reading: Arc<tokio::sync::Mutex<()>>,
}

/// Where keys are, and what was found there.
struct Source {
    url: String,
    http: reqwest::Client,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    keys: HashMap<String, Arc<DecodingKey>>,
    read_at: Option<Instant>,
    /// When the address may be asked again, whatever tokens say.
    again_at: Option<Instant>,
}

/// What a token must say to be for us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expects {
    /// One of these is its `iss`.
    pub issuers: Vec<String>,
    /// One of these is, or is among, its `aud`.
    pub audiences: Vec<String>,
}

/// Why a token is not good. None of them quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Not three parts of base64url with JSON in them.
    #[error("this is not a signed token")]
    Malformed,
    /// Signed in another way than RS256.
    #[error("only RS256 is accepted")]
    Algorithm,
    /// The issuer publishes no such key.
    #[error("the token is signed with a key that its issuer does not publish")]
    UnknownKey,
    /// The signature is somebody else's.
    #[error("the signature does not fit")]
    Signature,
    /// `exp` has passed or is missing.
    #[error("the token has expired")]
    Expired,
    /// `nbf` has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// Another `iss`.
    #[error("the token comes from another issuer")]
    Issuer,
    /// Another `aud`.
    #[error("the token is meant for somebody else")]
    Audience,
    /// The keys cannot be read, and none are known: nothing can be said about the token.
    #[error("the issuer's keys cannot be read")]
    KeysUnavailable,
}

/// The claims of a token that was found good.
pub type Claims = Map<String, Value>;

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// What of a key is looked at. Kinds and uses we do not know are skipped, not refused.
#[derive(Deserialize)]
struct RsaKey {
    kty: String,
    kid: String,
    n: String,
    e: String,
    #[serde(default, rename = "use")]
    used_for: Option<String>,
}

impl Jwks {
    /// Keys at this address; nothing is read before the first token. `http` should follow no redirects.
    pub fn new(url: impl Into<String>, http: reqwest::Client) -> Jwks {
        let source = Source { url: url.into(), http, known: Mutex::default() };
        Jwks { source: Arc::new(source), reading: Arc::default() }
    }

    /// The claims of `token`, if it is signed by the issuer, meant for us and good at `now`.
    ///
    /// # Errors
    /// The first [`TokenFault`]. The signature is checked before any claim is believed.
    pub async fn verify(
        &self,
        token: &str,
        expects: &Expects,
        now: SystemTime,
    ) -> Result<Claims, TokenFault> {
        let kid = key_name(token)?;
        let key = self.key(&kid).await?;
        let mut validation = Validation::new(Algorithm::RS256);
        // The claims are checked below, against the time that was given.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::InvalidAlgorithm => TokenFault::Algorithm,
                jsonwebtoken::errors::ErrorKind::InvalidSignature => TokenFault::Signature,
                _ => TokenFault::Malformed,
            })?
            .claims;
        check(&claims, expects, now)?;
        Ok(claims)
    }

    /// The key of this name, read if need be.
    async fn key(&self, kid: &str) -> Result<Arc<DecodingKey>, TokenFault> {
        if let Found::Key(key) = self.source.look(kid, Instant::now()) {
            return Ok(key);
        }
        let reading = self.reading.clone().lock_owned().await;
        // Whoever held the lock before may have read it.
        let known = match self.source.look(kid, Instant::now()) {
            Found::Key(key) => return Ok(key),
            Found::Settled(fault) => return Err(fault),
            Found::Old(key) => Some(key),
            Found::Ask => None,
        };
        let source = self.source.clone();
        // Apart from the request, whose sender may go away.
        let renewed = tokio::spawn(async move {
            let _reading = reading;
            source.renew().await
        });
        match renewed.await {
            Ok(true) => self.source.known().keys.get(kid).cloned().ok_or(TokenFault::UnknownKey),
            Ok(false) | Err(_) => known.ok_or(TokenFault::KeysUnavailable),
        }
    }
}

impl Source {
    /// Reads the keys. False if they cannot be read.
    async fn renew(&self) -> bool {
        match self.read().await {
            Ok(keys) => {
                let mut known = self.known();
                let now = Instant::now();
                *known = Known { keys, read_at: Some(now), again_at: Some(now + RETRY) };
                true
            }
            Err(error) => {
                tracing::warn!(url = self.url, %error, "the keys of a token issuer cannot be read");
                self.known().again_at = Some(Instant::now() + RETRY_FAILED);
                false
            }
        }
    }

    fn look(&self, kid: &str, now: Instant) -> Found {
        let known = self.known();
        let tried_lately = known.again_at.is_some_and(|at| now < at);
        let age = known.read_at.map(|at| now.duration_since(at));
        match known.keys.get(kid).filter(|_| age.is_some_and(|age| age < KEEP)) {
            Some(key) if tried_lately || age.is_some_and(|age| age < FRESH) => Found::Key(key.clone()),
            Some(key) => Found::Old(key.clone()),
            None if !tried_lately => Found::Ask,
            None if age.is_some_and(|age| age < KEEP) => Found::Settled(TokenFault::UnknownKey),
            None => Found::Settled(TokenFault::KeysUnavailable),
        }
    }

    async fn read(&self) -> Result<HashMap<String, Arc<DecodingKey>>, ReadError> {
        let mut response = self.http.get(&self.url).timeout(ANSWER).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > SET_BYTES_MAX {
                return Err(ReadError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        let set: KeySet = serde_json::from_slice(&body)?;
        let keys = set.keys.into_iter().take(KEYS_MAX).filter_map(|key| {
            let key: RsaKey = serde_json::from_value(key).ok()?;
            if key.kty != "RSA" || key.used_for.is_some_and(|used_for| used_for != "sig") {
                return None;
            }
            Some((key.kid, Arc::new(DecodingKey::from_rsa_components(&key.n, &key.e).ok()?)))
        });
        Ok(keys.collect())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Found {
    /// Use it.
    Key(Arc<DecodingKey>),
    /// Good, and old enough to ask again.
    Old(Arc<DecodingKey>),
    /// Not known; ask.
    Ask,
    /// Not known, and asked a moment ago.
    Settled(TokenFault),
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("the request failed")]
    Http(#[from] reqwest::Error),
    #[error("the answer is longer than {SET_BYTES_MAX} bytes")]
    TooLong,
    #[error("the answer is no key set")]
    Shape(#[from] serde_json::Error),
}

/// The `kid` of a token that says RS256.
fn key_name(token: &str) -> Result<String, TokenFault> {
    // Read by hand first: the library gives one error for "no JSON" and "an algorithm it does not know".
    let raw: Value = token.split('.').next().and_then(decoded).ok_or(TokenFault::Malformed)?;
    if raw.get("alg").and_then(Value::as_str) != Some("RS256") {
        return Err(TokenFault::Algorithm);
    }
    raw.get("kid").and_then(Value::as_str).map(str::to_owned).ok_or(TokenFault::Malformed)
}

/// One part of a token, as JSON.
fn decoded(part: &str) -> Option<Value> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// RFC 7519 section 4.1, with the time as an argument.
fn check(claims: &Claims, expects: &Expects, now: SystemTime) -> Result<(), TokenFault> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = |claim: &str| claims.get(claim).and_then(Value::as_f64);
    // Without an end a stolen token would be good for ever.
    let Some(end) = seconds("exp") else { return Err(TokenFault::Expired) };
    if end + LEEWAY as f64 <= now as f64 {
        return Err(TokenFault::Expired);
    }
    if seconds("nbf").is_some_and(|begin| begin > (now + LEEWAY) as f64) {
        return Err(TokenFault::NotYet);
    }
    let among = |value: Option<&Value>, known: &[String]| {
        value.and_then(Value::as_str).is_some_and(|value| known.iter().any(|known| known == value))
    };
    if !among(claims.get("iss"), &expects.issuers) {
        return Err(TokenFault::Issuer);
    }
    let for_us = match claims.get("aud") {
        Some(Value::Array(several)) => several.iter().any(|one| among(Some(one), &expects.audiences)),
        one => among(one, &expects.audiences),
    };
    if for_us { Ok(()) } else { Err(TokenFault::Audience) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_claims_are_checked_one_by_one() {
        let expects = Expects { issuers: vec!["us".into()], audiences: vec!["api".into(), "other".into()] };
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let good = json!({"iss": "us", "aud": "api", "exp": 1000, "nbf": 500});
        let with = |name: &str, value: Value| {
            let mut changed = good.clone();
            changed[name] = value;
            check(&claims(changed), &expects, at(700))
        };
        assert_eq!(check(&claims(good.clone()), &expects, at(700)), Ok(()));
        assert_eq!(check(&claims(good.clone()), &expects, at(1059)), Ok(()), "clocks differ");
        assert_eq!(check(&claims(good.clone()), &expects, at(1060)), Err(TokenFault::Expired));
        assert_eq!(check(&claims(good.clone()), &expects, at(439)), Err(TokenFault::NotYet));
        assert_eq!(with("exp", Value::Null), Err(TokenFault::Expired));
        assert_eq!(with("exp", json!("1000")), Err(TokenFault::Expired));
        assert_eq!(with("iss", json!("them")), Err(TokenFault::Issuer));
        assert_eq!(with("iss", json!(["us"])), Err(TokenFault::Issuer));
        assert_eq!(with("aud", json!("them")), Err(TokenFault::Audience));
        assert_eq!(with("aud", Value::Null), Err(TokenFault::Audience));
        assert_eq!(with("aud", json!(["them", "other"])), Ok(()));
        assert_eq!(check(&claims(good.clone()), &Expects::default(), at(700)), Err(TokenFault::Issuer));
    }

    /// A key set without a key, at an address that answers when told.
    async fn slow_keys() -> (Jwks, tokio::net::TcpListener) {
        let _named = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        (Jwks::new(url, reqwest::Client::new()), listener)
    }

    async fn answer(mut stream: tokio::net::TcpStream, with: &str) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let _asked = stream.read(&mut [0; 4096]).await.unwrap();
        let text =
            format!("HTTP/1.1 {with}\r\nconnection: close\r\ncontent-length: 11\r\n\r\n{{\"keys\":[]}}");
        stream.write_all(text.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn who_asks_and_goes_away_keeps_the_keys_from_nobody() {
        let (jwks, listener) = slow_keys().await;
        let asked = {
            let asking = jwks.key("invented");
            tokio::pin!(asking);
            tokio::select! {
                _ = &mut asking => panic!("nobody has answered yet"),
                asked = listener.accept() => asked.unwrap().0,
            }
        };
        // It is gone, and the answer comes for whoever asks next.
        let (found, ()) = tokio::join!(jwks.key("k"), answer(asked, "200 OK"));
        assert_eq!(found.err(), Some(TokenFault::UnknownKey));
    }

    #[tokio::test]
    async fn a_read_that_fails_is_tried_again_soon_and_one_that_does_not_is_not() {
        let (jwks, listener) = slow_keys().await;
        let first = async { answer(listener.accept().await.unwrap().0, "503 Busy").await };
        let (found, ()) = tokio::join!(jwks.key("k"), first);
        assert_eq!(found.err(), Some(TokenFault::KeysUnavailable));
        let look = |after: Duration| jwks.source.look("k", Instant::now() + after);
        assert!(matches!(look(Duration::ZERO), Found::Settled(TokenFault::KeysUnavailable)));
        assert!(matches!(look(RETRY_FAILED), Found::Ask));
        jwks.source.known().again_at = None;
        let second = async { answer(listener.accept().await.unwrap().0, "200 OK").await };
        let (found, ()) = tokio::join!(jwks.key("k"), second);
        assert_eq!(found.err(), Some(TokenFault::UnknownKey));
        assert!(matches!(look(RETRY - Duration::from_secs(1)), Found::Settled(TokenFault::UnknownKey)));
        assert!(matches!(look(RETRY), Found::Ask));
    }

    #[test]
    fn the_head_of_a_token_must_say_rs256_and_name_a_key() {
        use base64::Engine as _;
        let token = |head: Value| {
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(head.to_string()) + ".e30.c2ln"
        };
        assert_eq!(key_name(&token(json!({"alg": "RS256", "kid": "k1"}))), Ok("k1".into()));
        assert_eq!(key_name(&token(json!({"alg": "none", "kid": "k1"}))), Err(TokenFault::Algorithm));
        assert_eq!(key_name(&token(json!({"alg": "HS256", "kid": "k1"}))), Err(TokenFault::Algorithm));
        assert_eq!(key_name(&token(json!({"alg": "RS256"}))), Err(TokenFault::Malformed));
        for bad in ["", ".", "a.b.c", "%%%.e30.e30"] {
            assert_eq!(key_name(bad), Err(TokenFault::Malformed), "{bad}");
        }
    }
}
