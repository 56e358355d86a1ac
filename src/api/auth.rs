//! Who asks: bearer tokens, of which the gateway knows only the SHA-256, or tokens of Entra's ([`super::entra`]).

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use metrics::counter;
use sbc_config::Grant;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::ApiState;
use super::entra::{Issuers, TurnedAway};
use super::problem::Problem;
use crate::call::rights::{Actor, Principal};
use crate::connections::Source;
use crate::observe::metrics as names;

/// The longest token that is looked at. Any generated token is far shorter.
const TOKEN_BYTES_MAX: usize = 512;

/// One token as it is known here.
#[derive(Clone)]
pub struct Token {
    /// Its name in audit records.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// What its bearer may be.
    pub actor: Actor,
    /// The first moment it is no longer good.
    pub expires: Option<SystemTime>,
}

/// All tokens that are good at the moment.
#[derive(Default)]
pub struct Tokens(Vec<Token>);

/// Tokens that can be exchanged while the API runs.
pub type SharedTokens = Arc<ArcSwap<Tokens>>;

impl Tokens {
    /// These and no others.
    pub fn new(tokens: Vec<Token>) -> Tokens {
        Tokens(tokens)
    }

    /// The token with this hash, if it is good at `now`. Looks at every token and compares each in
    /// constant time, so that the time taken tells nothing about hashes that nearly fit.
    fn find(&self, sha256: &[u8; 32], now: SystemTime) -> Option<&Token> {
        let mut found = None;
        for token in &self.0 {
            if bool::from(token.sha256.ct_eq(sha256)) {
                found = Some(token);
            }
        }
        found.filter(|token| token.expires.is_none_or(|end| now < end))
    }
}

impl From<&[sbc_config::Token]> for Tokens {
    fn from(tokens: &[sbc_config::Token]) -> Tokens {
        Tokens(tokens.iter().map(Token::from).collect())
    }
}

impl From<&sbc_config::Token> for Token {
    fn from(token: &sbc_config::Token) -> Token {
        let actor = match token.grant.clone() {
            Grant::Agent { tenant, person } => Actor::Agent { tenant, person },
            Grant::Supervisor { tenant, person, teams } => Actor::Supervisor { tenant, person, teams },
            Grant::TenantAdmin { tenant } => Actor::TenantAdmin { tenant },
            Grant::Integration { tenant } => Actor::Integration { tenant },
            Grant::Operator => Actor::Operator,
        };
        let expires = token.expires.map(sbc_config::Date::end);
        Token { name: token.id.to_string(), sha256: *token.sha256.as_bytes(), actor, expires }
    }
}

/// Who asks, with what is needed to ask again later whether they still may.
#[derive(Clone)]
pub(super) struct Caller {
    /// What the switchboard is told.
    pub(super) principal: Principal,
    proof: Proof,
}

/// What a caller showed.
#[derive(Clone)]
enum Proof {
    /// One of the configured tokens, by its hash.
    Token([u8; 32]),
    /// A token of Entra's, good until then.
    Entra { object_id: String, until: SystemTime },
    /// A token of a session, by the session's id.
    Session(String),
}

impl Caller {
    /// The bearer of a session, who may be this now.
    pub(super) fn of_session(id: String, actor: Actor) -> Caller {
        Caller { principal: Principal { token: id.clone(), actor }, proof: Proof::Session(id) }
    }

    /// The session whose token was shown.
    pub(super) fn session(&self) -> Option<&str> {
        match &self.proof {
            Proof::Session(id) => Some(id),
            Proof::Token(_) | Proof::Entra { .. } => None,
        }
    }

    /// Whether what was shown still stands for the same principal. A stream that lives for hours asks now
    /// and then, so that a token taken away also ends what was opened with it.
    pub(super) fn still_good(&self, state: &ApiState, now: SystemTime) -> bool {
        match &self.proof {
            Proof::Token(sha256) => self.is_token(sha256, &state.tokens().load(), now),
            Proof::Entra { object_id, until } => {
                let stands = |issuers: Arc<Issuers>| issuers.stand_by(object_id, &self.principal.actor);
                now < *until && state.issuers().is_some_and(stands)
            }
            Proof::Session(id) => state.session_stands(id, &self.principal.actor, now),
        }
    }

    fn is_token(&self, sha256: &[u8; 32], tokens: &Tokens, now: SystemTime) -> bool {
        tokens
            .find(sha256, now)
            .is_some_and(|token| token.name == self.principal.token && token.actor == self.principal.actor)
    }

    /// The caller's Entra object id, when Entra vouches for them.
    pub(super) fn entra_id(&self) -> Option<&str> {
        match &self.proof {
            Proof::Token(_) | Proof::Session(_) => None,
            Proof::Entra { object_id, .. } => Some(object_id),
        }
    }
}

/// Finds the caller of a request.
///
/// # Errors
/// 401, when there is no token or it is not good.
pub(super) fn identify(headers: &HeaderMap, tokens: &Tokens, now: SystemTime) -> Result<Caller, Problem> {
    known(bearer(headers)?, tokens, now)
        .ok_or_else(|| refused("token_invalid", "the token is unknown or has expired"))
}

/// The bearer of one of the configured tokens.
fn known(token: &str, tokens: &Tokens, now: SystemTime) -> Option<Caller> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let sha256: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let token = tokens.find(&sha256, now)?;
    let principal = Principal { token: token.name.clone(), actor: token.actor.clone() };
    Some(Caller { principal, proof: Proof::Token(sha256) })
}

/// What an offered WebSocket subprotocol begins with when the rest is a token.
const BEARER_PROTOCOL: &str = "bearer.";

/// The token of a WebSocket that a browser opens: a page can set no header of it but the list of subprotocols. Like a
/// header, it is said on purpose: no other site's page can make a browser say it.
fn offered(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::UPGRADE)?;
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offered = protocols.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    offered.find_map(|protocol| protocol.trim().strip_prefix(BEARER_PROTOCOL))
}

/// The one bearer token of a request.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (authorization, further) = (given.next(), given.next());
    if let (None, Some(token)) = (authorization, offered(headers)) {
        return Ok(token);
    }
    let (Some(authorization), None) = (authorization, further) else {
        return Err(refused("unauthenticated", "send one header `Authorization: Bearer TOKEN`"));
    };
    let bearer = authorization.to_str().ok().and_then(|text| text.split_once(' '));
    // RFC 9110 section 11.1: the name of the scheme is case-insensitive.
    let Some((_, token)) = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
        return Err(refused("unauthenticated", "send one header `Authorization: Bearer TOKEN`"));
    };
    let token = token.trim_matches(' ');
    if token.is_empty() {
        return Err(refused("token_invalid", "the token is unknown or has expired"));
    }
    Ok(token)
}

fn refused(code: &'static str, detail: &'static str) -> Problem {
    counter!(names::API_UNAUTHENTICATED).increment(1);
    Problem::new(StatusCode::UNAUTHORIZED, code, detail)
}

/// Finds the caller of a request among the configured tokens, and then at Entra.
///
/// # Errors
/// As [`identify`]; 403 when Entra vouches for somebody who has no role here.
async fn recognise(state: &ApiState, headers: &HeaderMap) -> Result<Caller, Problem> {
    let now = SystemTime::now();
    let token = bearer(headers)?;
    if let Some(caller) = state.session_caller(token, now) {
        return Ok(caller);
    }
    if let (Some(issuers), Ok(engine)) = (state.issuers(), state.engine())
        && issuers.concerns(token)
        // A token of our own may look like any text, two dots included.
        && known(token, &state.tokens().load(), now).is_none()
    {
        let known = issuers.identify(token, engine, now).await.map_err(|TurnedAway { problem, by }| {
            counter!(names::API_UNAUTHENTICATED).increment(1);
            if let Some((tenant, name)) = by.filter(|_| problem.is_a_refusal()) {
                state.turned_away(tenant, name, &problem);
            }
            problem
        })?;
        let proof = Proof::Entra { object_id: known.object_id, until: known.until };
        return Ok(Caller { principal: known.principal, proof });
    }
    identify(headers, &state.tokens().load(), now)
}

/// As [`recognise`], unless its source has come with too many tokens that are not good. One that is good keeps the
/// connection its place.
///
/// # Errors
/// As [`recognise`], and 429.
pub(super) async fn recognise_from(
    state: &ApiState,
    from: Option<&Source>,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    let source = from.map(|from| from.address);
    if source.is_some_and(|source| !state.attempts().allows(Instant::now(), source)) {
        counter!(names::API_UNAUTHENTICATED).increment(1);
        let detail = "too many tokens that are not good came from this address; wait a moment";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail));
    }
    let caller = recognise(state, headers).await.inspect_err(|problem| {
        // Somebody without a role, or an issuer that is down, is no guess at a token.
        let guessed = ["unauthenticated", "token_invalid"].contains(&problem.code());
        if let Some(source) = source.filter(|_| guessed) {
            state.attempts().failed(Instant::now(), source);
        }
    })?;
    if let Some(from) = from {
        from.has_proven();
    }
    Ok(caller)
}

/// The layer before everything that needs a token.
pub(super) async fn authenticate(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let source = request.extensions().get::<ConnectInfo<Source>>().map(|ConnectInfo(source)| source.clone());
    let caller = recognise_from(&state, source.as_ref(), request.headers()).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Problem> {
        // Missing only if a route was mounted outside the layer, which is our mistake, not theirs.
        parts.extensions.get::<Caller>().cloned().ok_or_else(Problem::internal)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn tokens(expires: Option<SystemTime>) -> Tokens {
        let sha256 = Sha256::digest(b"open-sesame").into();
        Tokens::new(vec![Token { name: "ops".into(), sha256, actor: Actor::Operator, expires }])
    }

    fn asking(authorization: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, authorization.parse().unwrap())])
    }

    #[test]
    fn a_token_is_known_by_its_hash_whatever_the_case_of_bearer() {
        for good in ["Bearer open-sesame", "bearer  open-sesame"] {
            let caller = identify(&asking(good), &tokens(None), UNIX_EPOCH).ok().unwrap();
            assert_eq!(caller.principal, Principal { token: "ops".into(), actor: Actor::Operator });
        }
        for bad in ["Bearer open-sesam", "Bearer ", "Basic open-sesame", "open-sesame", "Bearer open-sesame2"]
        {
            let problem = identify(&asking(bad), &tokens(None), UNIX_EPOCH).err().unwrap();
            assert!(["unauthenticated", "token_invalid"].contains(&problem.code()), "{bad}");
        }
        let mut twice = asking("Bearer open-sesame");
        twice.append(header::AUTHORIZATION, "Bearer other".parse().unwrap());
        assert!(identify(&twice, &tokens(None), UNIX_EPOCH).is_err());
    }

    #[test]
    fn a_browsers_websocket_shows_its_token_among_the_protocols() {
        let offers = |protocols: &'static str| {
            HeaderMap::from_iter([
                (header::UPGRADE, "websocket".parse().unwrap()),
                (header::SEC_WEBSOCKET_PROTOCOL, protocols.parse().unwrap()),
            ])
        };
        assert!(identify(&offers("sidetone, bearer.open-sesame"), &tokens(None), UNIX_EPOCH).is_ok());
        assert!(identify(&offers("sidetone, bearer.open-sesam"), &tokens(None), UNIX_EPOCH).is_err());
        assert!(identify(&offers("sidetone, open-sesame"), &tokens(None), UNIX_EPOCH).is_err());
        let mut no_websocket = offers("bearer.open-sesame");
        no_websocket.remove(header::UPGRADE);
        assert!(identify(&no_websocket, &tokens(None), UNIX_EPOCH).is_err());
        let mut both = offers("bearer.open-sesame");
        both.insert(header::AUTHORIZATION, "Bearer other".parse().unwrap());
        assert!(identify(&both, &tokens(None), UNIX_EPOCH).is_err(), "a header comes first");
    }

    #[test]
    fn a_token_ends_and_so_does_what_was_opened_with_it() {
        let end = UNIX_EPOCH + Duration::from_secs(10);
        let caller = identify(&asking("Bearer open-sesame"), &tokens(Some(end)), UNIX_EPOCH).ok().unwrap();
        let hash = Sha256::digest(b"open-sesame").into();
        assert!(caller.is_token(&hash, &tokens(Some(end)), UNIX_EPOCH));
        assert!(!caller.is_token(&hash, &tokens(Some(end)), end));
        assert!(!caller.is_token(&hash, &Tokens::default(), UNIX_EPOCH));
        assert!(identify(&asking("Bearer open-sesame"), &tokens(Some(end)), end).is_err());
    }
}
