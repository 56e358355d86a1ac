//! Signing in: a one-time code becomes a session, and a session gives short-lived tokens bound to one person.
//!
//! A program of the tenant makes a code for a person ([`create`]) and shows them the link. The browser gives the code
//! back ([`begin`]) and gets a bearer token, which it renews ([`renew`]) while somebody is there. What the session may
//! do is looked up whenever it asks: a person who was moved to another team or taken out of the configuration is so
//! at once. A session that somebody made for themselves with a token of their own may no more than that token, and
//! goes with it.
//!
//! The token is a bearer token like any other and no cookie, so a browser never sends it by itself: another site's
//! page can make no request with it. Codes and tokens are kept as hashes and in memory only, so a restart signs
//! everybody out.

mod book;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use axum::Json;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use metrics::counter;
use sbc_config::{PersonId, PersonRole, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::ApiState;
use super::auth::Caller;
use super::extract::{Body, named};
use super::problem::Problem;
use crate::call::rights::{Actor, Denial};
use crate::connections::Source;
use crate::observe::{AuditRecord, Journal as _, metrics as names};

/// What session tokens begin with, so that one that was lost can be found by a search.
const TOKEN_PREFIX: &str = "sts_";
/// What sign-in codes begin with.
const CODE_PREFIX: &str = "stc_";
/// The longest code that is looked at.
const CODE_BYTES_MAX: usize = 128;
/// Writes whose answers hold a secret, by method and path. They take no `Idempotency-Key`, because its answer is kept.
pub(super) const SECRETS: [(&str, &str); 3] =
    [("POST", "/v1/sign-ins"), ("POST", "/v1/session"), ("POST", "/v1/session/renew")];

/// Who is signed in.
#[derive(Default)]
pub(super) struct Sessions(Mutex<book::Book<Bearer>>);

/// Whom a code or session is for.
#[derive(Clone)]
enum Bearer {
    /// A person, as the configuration has them whenever something is asked.
    Person { tenant: TenantId, person: PersonId },
    /// Whoever bears another token, for as long as that one is good.
    Own { tenant: TenantId, caller: Box<Caller> },
}

impl book::Bearer for Bearer {
    fn tenant(&self) -> &TenantId {
        match self {
            Bearer::Person { tenant, .. } | Bearer::Own { tenant, .. } => tenant,
        }
    }

    fn name(&self) -> &str {
        match self {
            Bearer::Person { person, .. } => person.as_str(),
            Bearer::Own { caller, .. } => match person_of(&caller.principal.actor) {
                Some(person) => person.as_str(),
                None => &caller.principal.token,
            },
        }
    }
}

impl Sessions {
    fn book(&self) -> MutexGuard<'_, book::Book<Bearer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what is over.
    pub(super) fn forget(&self, now: SystemTime) {
        self.book().forget(now);
    }
}

/// A code or token in clear, on its only way out.
#[derive(Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String)]
pub(super) struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// 256 random bits after a prefix, and their hash.
    fn new(prefix: &str) -> Result<(Secret, book::Hash), Problem> {
        let mut octets = [0; 32];
        getrandom::fill(&mut octets).map_err(|error| {
            tracing::error!(%error, "the operating system gave no randomness");
            Problem::internal()
        })?;
        let secret = Secret(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(octets)));
        let hash = Sha256::digest(&secret.0).into();
        Ok((secret, hash))
    }
}

/// Who shall sign in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"person": "sam"}))]
pub(super) struct NewSignIn {
    /// The agent or supervisor. Absent, it is the bearer of the token.
    #[schema(nullable = false)]
    pub person: Option<String>,
}

/// A way to sign in, once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"code": "stc_…", "link": "/console#sign-in=stc_…", "expires_at": "2026-11-25T09:10:00Z"}))]
pub(super) struct SignIn {
    /// The code. Whoever has it first is signed in; it is good once.
    pub code: Secret,
    /// The console with the code, for a browser. The part after `#` is never sent to a server or written to its log.
    pub link: Secret,
    /// From when on the code is no longer good.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// A code to sign in with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "stc_…"}))]
pub(super) struct Code {
    /// As it was given.
    pub code: String,
}

/// Who is asking, as the gateway sees them now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"tenant": "acme", "role": "supervisor", "person": "sam", "name": "Sam", "teams": ["support"],
    "session": {"id": "ses_00000000000000000000000000000001", "since": "2026-11-25T09:00:00Z",
        "token_expires_at": "2026-11-25T09:15:00Z", "until": "2026-11-25T21:00:00Z"}}))]
pub(super) struct WhoAmI {
    /// The tenant; absent for the platform's operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant: Option<String>,
    /// `agent`, `supervisor`, `tenant_admin`, `integration` or `operator`.
    pub role: &'static str,
    /// Which person, for agents and supervisors.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub person: Option<String>,
    /// What others see.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// The teams whose calls a supervisor sees.
    pub teams: Vec<String>,
    /// The session, when the token is one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub session: Option<SessionView>,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionView {
    /// `ses_` and 32 hexadecimal digits; what the audit calls the token.
    pub id: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// The end of its token, unless it is renewed before.
    #[schema(value_type = String, format = DateTime)]
    pub token_expires_at: Timestamp,
    /// From when on it is not renewed any more.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
}

/// A session with its token.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignedIn {
    /// Send it as `Authorization: Bearer`, until `session.token_expires_at`.
    pub token: Secret,
    /// Whose it is.
    #[serde(flatten)]
    pub who: WhoAmI,
}

/// A session of the tenant's.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OpenSession {
    /// Whose: a person, or the name of the token it was made with.
    pub bearer: String,
    /// Since when and until when.
    #[serde(flatten)]
    pub session: SessionView,
}

/// Sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OpenSessions {
    /// The oldest first.
    pub items: Vec<OpenSession>,
}

impl From<&book::Session<Bearer>> for SessionView {
    fn from(session: &book::Session<Bearer>) -> SessionView {
        SessionView {
            id: session.id.clone(),
            since: super::timestamp(session.since),
            token_expires_at: super::timestamp(session.token_until),
            until: super::timestamp(session.until()),
        }
    }
}

impl ApiState {
    /// The caller who shows this token of a session, if it is one's.
    pub(super) fn session_caller(&self, token: &str, now: SystemTime) -> Option<Caller> {
        if !token.starts_with(TOKEN_PREFIX) {
            return None;
        }
        let hash = Sha256::digest(token).into();
        let session = self.sessions().book().by_token(now, &hash)?.clone();
        let actor = self.actor_of(&session.bearer, now)?;
        Some(Caller::of_session(session.id, actor))
    }

    /// Whether a session goes on and is still this actor's.
    pub(super) fn session_stands(&self, id: &str, actor: &Actor, now: SystemTime) -> bool {
        let bearer = self.sessions().book().live(now, id).map(|session| session.bearer.clone());
        bearer.and_then(|bearer| self.actor_of(&bearer, now)).as_ref() == Some(actor)
    }

    /// What a bearer may be now; none when nothing any more.
    fn actor_of(&self, bearer: &Bearer, now: SystemTime) -> Option<Actor> {
        match bearer {
            Bearer::Own { caller, .. } => {
                caller.still_good(self, now).then(|| caller.principal.actor.clone())
            }
            Bearer::Person { tenant, person } => self.actor_for(tenant, person),
        }
    }

    /// What a person may be, as the configuration has them.
    fn actor_for(&self, tenant: &TenantId, person: &PersonId) -> Option<Actor> {
        let config = self.configuration()?.load();
        let known = config.person(person).filter(|known| known.tenant == *tenant)?;
        let (tenant, person) = (tenant.clone(), person.clone());
        match known.role {
            PersonRole::Agent => Some(Actor::Agent { tenant, person }),
            PersonRole::Supervisor => Some(Actor::Supervisor { tenant, person, teams: known.teams.clone() }),
            PersonRole::Customer => None,
        }
    }

    /// The people of a tenant who are signed in.
    pub(super) fn signed_in(&self, tenant: &TenantId) -> HashSet<String> {
        let sessions = self.sessions().book().of(SystemTime::now(), tenant);
        sessions.iter().map(|session| book::Bearer::name(&session.bearer).to_owned()).collect()
    }

    fn who_am_i(&self, actor: &Actor, session: Option<&book::Session<Bearer>>) -> WhoAmI {
        let (role, teams) = match actor {
            Actor::Agent { .. } => ("agent", Vec::new()),
            Actor::Supervisor { teams, .. } => {
                ("supervisor", teams.iter().map(ToString::to_string).collect())
            }
            Actor::TenantAdmin { .. } => ("tenant_admin", Vec::new()),
            Actor::Integration { .. } => ("integration", Vec::new()),
            Actor::Operator => ("operator", Vec::new()),
        };
        let person = person_of(actor);
        let config = self.configuration().map(|config| config.load());
        let known = person.and_then(|person| config.as_ref()?.person(person));
        WhoAmI {
            tenant: actor.tenant().map(ToString::to_string),
            role,
            person: person.map(ToString::to_string),
            name: known.and_then(|known| known.display_name.as_deref()).map(str::to_owned),
            teams,
            session: session.map(SessionView::from),
        }
    }

    /// Writes a line about signing in into the audit.
    fn audit_sign_in(&self, act: &'static str, actor: &Actor, token: &str, target: &str) {
        self.ledger().audit(AuditRecord {
            at: SystemTime::now(),
            tenant: actor.tenant().cloned(),
            token: token.to_owned(),
            person: person_of(actor).cloned(),
            act,
            target: target.to_owned(),
            outcome: "allowed".to_owned(),
            detail: json!({}),
        });
    }
}

/// Make a sign-in link.
///
/// For an agent or supervisor of the tenant, by its admin or its software; or by a person for themselves. The code is
/// good once and for ten minutes. A session cannot make further ones.
#[utoipa::path(post, path = "/v1/sign-ins", operation_id = "createSignIn", tag = "sessions", request_body = NewSignIn,
    responses((status = 201, description = "The code, shown this once", body = SignIn)))]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Body(new): Body<NewSignIn>,
) -> Result<Response, Problem> {
    const ACT: &str = "create_sign_in";
    let wanted = new.person.as_deref().map(|person| named::<PersonId>("person", person)).transpose()?;
    let actor = &caller.principal.actor;
    let target = wanted.as_ref().map_or_else(|| caller.principal.token.clone(), ToString::to_string);
    // A session that could open the next would never end.
    if caller.session().is_some() {
        return Err(state.refused(&caller, ACT, &target, Denial::RoleForbids));
    }
    let own = |tenant: &TenantId| Bearer::Own { tenant: tenant.clone(), caller: Box::new(caller.clone()) };
    let bearer = match (actor, wanted) {
        (Actor::Operator, _) => return Err(state.refused(&caller, ACT, &target, Denial::RoleForbids)),
        (Actor::Agent { tenant, person } | Actor::Supervisor { tenant, person, .. }, wanted) => {
            if wanted.is_some_and(|wanted| wanted != *person) {
                state.refused(&caller, ACT, &target, Denial::OutsideScope);
                let detail = "this token makes links for its own person only";
                return Err(Problem::new(StatusCode::FORBIDDEN, "outside_scope", detail));
            }
            own(tenant)
        }
        (Actor::TenantAdmin { tenant }, None) => own(tenant),
        (Actor::Integration { .. }, None) => {
            return Err(Problem::invalid("body_invalid", "`person` is needed: who shall sign in"));
        }
        (Actor::TenantAdmin { tenant } | Actor::Integration { tenant }, Some(person)) => {
            let known = state.configuration().map(|config| config.load_full());
            let known = known.as_ref().and_then(|config| config.person(&person));
            if known.is_none_or(|known| known.tenant != *tenant) {
                return Err(Problem::not_found("person"));
            }
            if state.actor_for(tenant, &person).is_none() {
                let detail = "only agents and supervisors sign in";
                return Err(Problem::invalid("person_not_staff", detail));
            }
            Bearer::Person { tenant: tenant.clone(), person }
        }
    };
    let (code, hash) = Secret::new(CODE_PREFIX)?;
    let now = SystemTime::now();
    state.sessions().book().open(now, hash, bearer).map_err(full)?;
    state.audit_sign_in(ACT, actor, &caller.principal.token, &target);
    let link = Secret(format!("{}#sign-in={}", super::console::PATH, code.0));
    let expires_at = super::timestamp(now + book::CODE_LIFE);
    Ok((StatusCode::CREATED, NO_STORE, Json(SignIn { code, link, expires_at })).into_response())
}

/// Sign in with a code.
///
/// The code is used up. The token is good for fifteen minutes; renew it with `POST /v1/session/renew`, for at most
/// twelve hours.
#[utoipa::path(post, path = "/v1/session", operation_id = "signIn", tag = "sessions", request_body = Code, security(()),
    responses((status = 201, description = "Signed in", body = SignedIn),
        (status = 403, description = "The code is not good: used, too old, or never given",
            body = super::problem::ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many codes that are not good came from this address",
            body = super::problem::ProblemDocument, content_type = "application/problem+json")))]
pub(super) async fn begin(
    State(state): State<ApiState>,
    source: Option<axum::Extension<ConnectInfo<Source>>>,
    Body(Code { code }): Body<Code>,
) -> Result<Response, Problem> {
    let source: Option<IpAddr> = source.map(|axum::Extension(ConnectInfo(source))| source.address);
    if source.is_some_and(|source| !state.attempts().allows(Instant::now(), source)) {
        counter!(names::API_UNAUTHENTICATED).increment(1);
        let detail = "too many codes that are not good came from this address; wait a moment";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail));
    }
    let refused = || {
        counter!(names::API_UNAUTHENTICATED).increment(1);
        if let Some(source) = source {
            state.attempts().failed(Instant::now(), source);
        }
        let detail = "the code was used already, is too old, or was never given; ask for a new link";
        Problem::new(StatusCode::FORBIDDEN, "code_invalid", detail)
    };
    if code.len() > CODE_BYTES_MAX {
        return Err(refused());
    }
    let now = SystemTime::now();
    let hash = Sha256::digest(&code).into();
    let bearer = state.sessions().book().whose(now, &hash).cloned().ok_or_else(refused)?;
    let actor = state.actor_of(&bearer, now).ok_or_else(refused)?;
    let (token, token_hash) = Secret::new(TOKEN_PREFIX)?;
    let mut octets = [0_u8; 16];
    getrandom::fill(&mut octets).map_err(|_| Problem::internal())?;
    let id = format!("ses_{:032x}", u128::from_be_bytes(octets));
    let begun = state.sessions().book().begin(now, &hash, id, token_hash).map_err(full)?;
    // Somebody else may have used the code between the two looks.
    let session = begun.ok_or_else(refused)?;
    state.audit_sign_in("sign_in", &actor, &session.id, book::Bearer::name(&bearer));
    let who = state.who_am_i(&actor, Some(&session));
    Ok((StatusCode::CREATED, NO_STORE, Json(SignedIn { token, who })).into_response())
}

/// Ask who one is.
#[utoipa::path(get, path = "/v1/session", operation_id = "whoAmI", tag = "sessions",
    responses((status = 200, description = "The bearer of the token", body = WhoAmI)))]
pub(super) async fn get(State(state): State<ApiState>, caller: Caller) -> Json<WhoAmI> {
    let session = caller.session().and_then(|id| {
        let book = state.sessions().book();
        book.live(SystemTime::now(), id).cloned()
    });
    Json(state.who_am_i(&caller.principal.actor, session.as_ref()))
}

/// Renew the token of a session.
///
/// The one before stays good for half a minute, for what is under way.
#[utoipa::path(post, path = "/v1/session/renew", operation_id = "renewSession", tag = "sessions",
    responses((status = 201, description = "Another token", body = SignedIn)))]
pub(super) async fn renew(State(state): State<ApiState>, caller: Caller) -> Result<Response, Problem> {
    let id = caller.session().ok_or_else(no_session)?;
    let (token, hash) = Secret::new(TOKEN_PREFIX)?;
    let renewed = state.sessions().book().renew(SystemTime::now(), id, hash).ok_or_else(no_session)?;
    let who = state.who_am_i(&caller.principal.actor, Some(&renewed));
    Ok((StatusCode::CREATED, NO_STORE, Json(SignedIn { token, who })).into_response())
}

/// Sign out.
#[utoipa::path(delete, path = "/v1/session", operation_id = "signOut", tag = "sessions",
    responses((status = 204, description = "The session is over, and so are its event streams")))]
pub(super) async fn end(State(state): State<ApiState>, caller: Caller) -> Result<StatusCode, Problem> {
    let id = caller.session().ok_or_else(no_session)?;
    state.sessions().book().end(id);
    state.audit_sign_in("sign_out", &caller.principal.actor, id, id);
    Ok(StatusCode::NO_CONTENT)
}

/// List who is signed in.
#[utoipa::path(get, path = "/v1/sessions", operation_id = "listSessions", tag = "sessions",
    responses((status = 200, description = "The sessions of the tenant", body = OpenSessions)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
) -> Result<Json<OpenSessions>, Problem> {
    let tenant = state.keeps_sessions(&caller, "list_sessions", "sessions")?;
    let sessions = state.sessions().book().of(SystemTime::now(), &tenant);
    let items = sessions.iter().map(|session| OpenSession {
        bearer: book::Bearer::name(&session.bearer).to_owned(),
        session: session.into(),
    });
    Ok(Json(OpenSessions { items: items.collect() }))
}

/// Sign somebody out.
#[utoipa::path(delete, path = "/v1/sessions/{id}", operation_id = "endSession", tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses((status = 204, description = "The session is over, and so are its event streams")))]
pub(super) async fn end_one(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let tenant = state.keeps_sessions(&caller, "end_session", &id)?;
    {
        let mut book = state.sessions().book();
        let own = book.live(SystemTime::now(), &id);
        if own.is_none_or(|session| *book::Bearer::tenant(&session.bearer) != tenant) {
            return Err(Problem::not_found("session"));
        }
        book.end(&id);
    }
    state.audit_sign_in("end_session", &caller.principal.actor, &caller.principal.token, &id);
    Ok(StatusCode::NO_CONTENT)
}

impl ApiState {
    /// The tenant whose sessions a caller looks after.
    fn keeps_sessions(&self, caller: &Caller, act: &'static str, target: &str) -> Result<TenantId, Problem> {
        match &caller.principal.actor {
            Actor::TenantAdmin { tenant } | Actor::Integration { tenant } => Ok(tenant.clone()),
            Actor::Agent { .. } | Actor::Supervisor { .. } | Actor::Operator => {
                Err(self.refused(caller, act, target, Denial::RoleForbids))
            }
        }
    }
}

/// The layer around [`SECRETS`]: a key is refused rather than taken and not kept.
pub(super) async fn without_key(
    headers: HeaderMap,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Result<Response, Problem> {
    if headers.contains_key("idempotency-key") {
        let detail = "the answer would hold a secret, which is not kept: send this request without a key";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_refused", detail));
    }
    Ok(next.run(request).await)
}

/// Nobody between here and the browser keeps a secret.
const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

fn full(book::Full: book::Full) -> Problem {
    let detail = "too many people are signed in, or about to be";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_sessions", detail)
}

fn no_session() -> Problem {
    let detail = "the token is not a session's, so there is nothing to renew or to end";
    Problem::new(StatusCode::CONFLICT, "no_session", detail)
}

fn person_of(actor: &Actor) -> Option<&PersonId> {
    match actor {
        Actor::Agent { person, .. } | Actor::Supervisor { person, .. } => Some(person),
        Actor::TenantAdmin { .. } | Actor::Integration { .. } | Actor::Operator => None,
    }
}
