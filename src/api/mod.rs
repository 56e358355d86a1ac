//! The HTTP API: what supervisors, agents, contact-centre software and operators use.
//!
//! A request passes, from the outside in: [`problem::render`] (errors become documents), a time
//! limit, a guard against panics, a limit on bodies, [`auth::authenticate`], [`idempotency::once`],
//! and then a handler, which asks the switchboard through its [`Desk`] or reads the store. No handler
//! decides who may do what to a call: that is decided behind the desk, when the act happens, or by
//! [`may`](crate::call::rights::may) for what is only read.
//!
//! The OpenAPI document is generated from the handlers (`openapi`) and committed as
//! `api/openapi.json`; a test keeps the two the same.

mod attempts;
mod auth;
mod calls;
mod card;
mod console;
mod consult;
mod entra;
mod events;
mod extract;
mod idempotency;
mod integration;
mod legs;
mod openapi;
mod overview;
mod preflight;
mod preview;
mod problem;
mod records;
mod service;
mod session;
mod supervise;
mod transfer;
mod webrtc;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use axum::extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use metrics::{counter, histogram};
use metrics_exporter_prometheus::PrometheusHandle;
use sbc_config::{Config, TenantId};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::call::rights::{Act, Actor, Denial};
use crate::connections::{Door, Source};
use crate::observe::{AuditRecord, Journal as _, Ledger, Store, metrics as names};
use crate::prereq::Engine;
use crate::rtc;
use crate::switchboard::desk::{Answer, Desk, Request};
use auth::Caller;
use problem::Problem;

pub use auth::{SharedTokens, Token, Tokens};
pub use entra::{Issuers, SharedIssuers};
pub use openapi::document as openapi_document;
pub use service::Readiness;

/// Open event streams. Each is a task and a socket, and reads every event of its tenant.
const STREAMS_MAX: usize = 512;
/// Open event streams of one token, so that a client that reconnects without closing cannot take
/// everybody's.
const STREAMS_PER_TOKEN_MAX: usize = 64;
/// How long open requests may take when the gateway stops.
const STOPPING_MAX: Duration = Duration::from_secs(5);
/// How often old idempotency keys are forgotten and histograms are condensed.
const UPKEEP: Duration = Duration::from_secs(30);

/// What can be set about the API.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// A larger request body is answered 413.
    pub body_bytes_max: usize,
    /// A request not answered by then is answered 503. Event streams only have to begin by then.
    pub request_timeout: Duration,
    /// Connections at one time; more wait in the kernel's queue.
    pub connections_max: usize,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self { body_bytes_max: 64 * 1024, request_timeout: Duration::from_secs(10), connections_max: 1024 }
    }
}

impl From<&sbc_config::Api> for ApiConfig {
    fn from(api: &sbc_config::Api) -> ApiConfig {
        ApiConfig { body_bytes_max: api.body_bytes_max, ..ApiConfig::default() }
    }
}

/// What the handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct ApiState(Arc<Inner>);

struct Inner {
    desk: Desk,
    tokens: SharedTokens,
    ledger: Ledger,
    readiness: Arc<Readiness>,
    metrics: PrometheusHandle,
    config: ApiConfig,
    attempts: attempts::Attempts,
    sessions: session::Sessions,
    trunks: overview::Trunks,
    /// The configuration in force, for people and trunks; set once, before serving.
    configuration: OnceLock<Arc<ArcSwap<Config>>>,
    /// Open event streams by token.
    streams: Mutex<HashMap<String, usize>>,
    closing: watch::Sender<bool>,
    /// The engine and whose Entra tokens are taken; set once, before serving.
    prerequisites: OnceLock<(Engine, SharedIssuers)>,
    /// The WebRTC door and who listens there; set once, before serving.
    browsers: OnceLock<(rtc::Desk, rtc::Browsers)>,
}

impl ApiState {
    /// An API on this desk and ledger. `tokens` may be exchanged while it runs.
    pub fn new(
        desk: Desk,
        tokens: SharedTokens,
        ledger: Ledger,
        readiness: Arc<Readiness>,
        metrics: PrometheusHandle,
        config: ApiConfig,
    ) -> ApiState {
        ApiState(Arc::new(Inner {
            desk,
            tokens,
            ledger,
            readiness,
            metrics,
            config,
            attempts: attempts::Attempts::default(),
            sessions: session::Sessions::default(),
            trunks: overview::Trunks::default(),
            configuration: OnceLock::new(),
            streams: Mutex::new(HashMap::new()),
            closing: watch::Sender::new(false),
            prerequisites: OnceLock::new(),
            browsers: OnceLock::new(),
        }))
    }

    /// With a prerequisite engine, and the issuers whose tokens are taken besides our own. Only the first call counts.
    #[must_use]
    pub fn with_prerequisites(self, engine: Engine, issuers: SharedIssuers) -> ApiState {
        let _ = self.0.prerequisites.set((engine, issuers));
        self
    }

    /// With the configuration in force: whoever signs in is somebody in it. Only the first call counts.
    #[must_use]
    pub fn with_configuration(self, configuration: Arc<ArcSwap<Config>>) -> ApiState {
        let _ = self.0.configuration.set(configuration);
        self
    }

    fn configuration(&self) -> Option<&Arc<ArcSwap<Config>>> {
        self.0.configuration.get()
    }

    /// With a door for browsers. Only the first call counts.
    #[must_use]
    pub fn with_browsers(self, desk: rtc::Desk, browsers: rtc::Browsers) -> ApiState {
        let _ = self.0.browsers.set((desk, browsers));
        self
    }

    /// The door for browsers, and who listens there.
    fn browsers(&self) -> Result<&(rtc::Desk, rtc::Browsers), Problem> {
        self.0.browsers.get().ok_or_else(|| {
            let detail = "this gateway takes no calls in browsers; give it [webrtc] listen";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "webrtc_unavailable", detail)
        })
    }

    /// The prerequisite engine.
    fn engine(&self) -> Result<&Engine, Problem> {
        let unavailable = || {
            let detail = "this gateway runs without the prerequisite engine";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "prerequisites_unavailable", detail)
        };
        self.0.prerequisites.get().map(|(engine, _)| engine).ok_or_else(unavailable)
    }

    /// Whose Entra tokens are taken.
    fn issuers(&self) -> Option<Arc<Issuers>> {
        self.0.prerequisites.get().map(|(_, issuers)| issuers.load_full())
    }

    fn tokens(&self) -> &SharedTokens {
        &self.0.tokens
    }

    fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    fn store(&self) -> &Store {
        self.0.ledger.store()
    }

    fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }

    fn attempts(&self) -> &attempts::Attempts {
        &self.0.attempts
    }

    fn sessions(&self) -> &session::Sessions {
        &self.0.sessions
    }

    fn trunks(&self) -> &overview::Trunks {
        &self.0.trunks
    }

    fn config(&self) -> &ApiConfig {
        &self.0.config
    }

    fn render_metrics(&self) -> String {
        self.0.metrics.render()
    }

    /// A place for one more event stream of this caller, if there is one.
    fn stream_place(&self, caller: &Caller) -> Option<StreamPlace> {
        let mut streams = self.0.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let token = &caller.principal.token;
        let own = streams.get(token).copied().unwrap_or(0);
        if own >= STREAMS_PER_TOKEN_MAX || streams.values().sum::<usize>() >= STREAMS_MAX {
            return None;
        }
        streams.insert(token.clone(), own + 1);
        Some(StreamPlace { state: self.clone(), token: token.clone() })
    }

    fn closing(&self) -> bool {
        *self.0.closing.borrow()
    }

    async fn until_closing(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Asks the switchboard, which checks the right and writes its refusals into the audit.
    async fn ask(&self, caller: &Caller, request: Request) -> Result<Answer, Problem> {
        self.0.desk.ask(caller.principal.clone(), request).await.map_err(Problem::from)
    }

    /// The answer fits no question of ours.
    fn puzzled(&self, answer: &Answer) -> Problem {
        tracing::error!(answer = ?std::mem::discriminant(answer), "the switchboard answered another question");
        Problem::internal()
    }

    /// Whether this caller may do what belongs to no tenant.
    fn allow_platform(&self, caller: &Caller, act: Act, name: &'static str) -> Result<(), Problem> {
        match (&caller.principal.actor, act) {
            (Actor::Operator, Act::Operate) => Ok(()),
            _ => Err(self.refused(caller, name, "gateway", Denial::RoleForbids)),
        }
    }

    /// Writes into the audit that somebody whom Entra vouches for has no role here.
    fn turned_away(&self, tenant: TenantId, name: String, problem: &Problem) {
        self.ledger().audit(AuditRecord {
            at: SystemTime::now(),
            tenant: Some(tenant),
            token: name,
            person: None,
            act: "use_api",
            target: "gateway".to_owned(),
            outcome: problem.code().to_owned(),
            detail: serde_json::json!({}),
        });
    }

    /// Writes a refusal of ours into the audit, and is the problem to answer with.
    fn refused(&self, caller: &Caller, act: &'static str, target: &str, denial: Denial) -> Problem {
        let problem = Problem::from(denial);
        let actor = &caller.principal.actor;
        let person = match actor {
            Actor::Agent { person, .. } | Actor::Supervisor { person, .. } => Some(person.clone()),
            Actor::TenantAdmin { .. } | Actor::Integration { .. } | Actor::Operator => None,
        };
        self.ledger().audit(AuditRecord {
            at: SystemTime::now(),
            tenant: actor.tenant().cloned(),
            token: caller.principal.token.clone(),
            person,
            act,
            target: target.to_owned(),
            outcome: serde_json::to_value(denial)
                .ok()
                .and_then(|name| name.as_str().map(str::to_owned))
                .unwrap_or_default(),
            detail: serde_json::json!({}),
        });
        problem
    }
}

/// The place of an open event stream, free again when dropped.
struct StreamPlace {
    state: ApiState,
    token: String,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut streams = self.state.0.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = streams.get_mut(&self.token) {
            *own -= 1;
            if *own == 0 {
                streams.remove(&self.token);
            }
        }
    }
}

/// All routes, with the document that describes them.
fn routes() -> OpenApiRouter<ApiState> {
    let guarded = guarded_routes();
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(guarded)
        .merge(secret_routes())
        .routes(routes!(session::begin))
        .routes(routes!(service::healthz))
        .routes(routes!(service::readyz))
        .routes(routes!(service::metrics))
}

/// The routes that need a token.
fn guarded_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(calls::list, calls::originate))
        .routes(routes!(calls::get, calls::end))
        .routes(routes!(calls::audio))
        .routes(routes!(legs::hold))
        .routes(routes!(legs::resume))
        .routes(routes!(legs::mute))
        .routes(routes!(legs::unmute))
        .routes(routes!(legs::hangup))
        .routes(routes!(legs::dtmf))
        .routes(routes!(webrtc::offer))
        .routes(routes!(webrtc::fragment, webrtc::hang_up))
        .routes(routes!(supervise::begin, supervise::list))
        .routes(routes!(supervise::get, supervise::switch, supervise::end))
        .routes(routes!(supervise::take_over))
        .routes(routes!(consult::begin))
        .routes(routes!(consult::get, consult::speak_to))
        .routes(routes!(consult::complete))
        .routes(routes!(consult::cancel))
        .routes(routes!(transfer::begin))
        .routes(routes!(events::sse))
        .routes(routes!(events::ws))
        .routes(routes!(records::cdr))
        .routes(routes!(records::timeline))
        .routes(routes!(records::audit))
        .routes(routes!(integration::get, integration::put, integration::forget))
        .routes(routes!(integration::test))
        .routes(routes!(integration::evidence))
        .routes(routes!(preflight::preflight))
        .routes(routes!(overview::get))
        .routes(routes!(session::get, session::end))
        .routes(routes!(session::list))
        .routes(routes!(session::end_one))
        .routes(routes!(service::drain))
}

/// The routes that need a token and answer with a secret.
fn secret_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(session::create)).routes(routes!(session::renew))
}

/// The whole API as a service.
pub fn router(state: ApiState) -> Router {
    let document = Json(openapi::document());
    let (guarded, _) = guarded_routes().split_for_parts();
    let guarded = guarded
        .route_layer(from_fn_with_state(state.clone(), idempotency::once))
        .route_layer(from_fn_with_state(state.clone(), auth::authenticate));
    let (secret, _) = secret_routes().split_for_parts();
    let secret = secret
        .route_layer(from_fn(session::without_key))
        .route_layer(from_fn_with_state(state.clone(), auth::authenticate));
    let sign_in = Router::new()
        .route("/v1/session", axum::routing::post(session::begin))
        .route_layer(from_fn(session::without_key));
    let open = console::routes()
        .route("/v1/openapi.json", axum::routing::get(move || async move { document }))
        .route("/healthz", axum::routing::get(service::healthz))
        .route("/readyz", axum::routing::get(service::readyz))
        .route("/metrics", axum::routing::get(service::metrics));
    around(guarded.merge(secret).merge(sign_in).merge(open), &state).with_state(state)
}

/// The layers around all routes, the innermost first.
fn around(routes: Router<ApiState>, state: &ApiState) -> Router<ApiState> {
    routes
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(DefaultBodyLimit::max(state.config().body_bytes_max))
        .layer(RequestBodyLimitLayer::new(state.config().body_bytes_max))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| {
            let said =
                panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
            tracing::error!(panic = said, "a request panicked");
            Problem::internal().into_response()
        }))
        .layer(from_fn_with_state(state.clone(), in_time))
        .layer(from_fn(problem::render))
        .layer(from_fn(count))
}

/// Answers 503 when a request takes too long. The act may still happen: its key tells.
async fn in_time(State(state): State<ApiState>, request: HttpRequest, next: Next) -> Response {
    let source = request.extensions().get::<ConnectInfo<Source>>();
    let _asked = source.map(|ConnectInfo(source)| source.is_asked());
    // Who waits for a transfer waits for a telephone.
    let waits = request.extensions().get::<MatchedPath>().is_some_and(|path| path.as_str() == transfer::PATH);
    let patience = state.config().request_timeout + if waits { transfer::WAIT_MAX } else { Duration::ZERO };
    timeout(patience, next.run(request)).await.unwrap_or_else(|_| {
        let detail = "no answer in time; what was asked may have happened or not";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail).into_response()
    })
}

/// Counts and times every request by its route, never by its path.
async fn count(request: HttpRequest, next: Next) -> Response {
    let route =
        request.extensions().get::<MatchedPath>().map_or("none".to_owned(), |path| path.as_str().to_owned());
    let method = method_label(request.method());
    let begun = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    histogram!(names::API_SECONDS, "route" => route.clone()).record(begun.elapsed());
    counter!(names::API_REQUESTS, "method" => method, "route" => route, "status" => status).increment(1);
    response
}

/// Anybody can invent a method; a label must not grow with them.
fn method_label(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        _ => "other",
    }
}

/// Serves the API on `listener` until `shutdown` is ready; then ends the event streams and lets
/// open requests finish.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    state: ApiState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let upkeep = tokio::spawn(upkeep(state.clone()));
    let trunks = tokio::spawn(overview::follow_trunks(state.clone()));
    let listener = Door::new(listener, state.config().connections_max);
    let closing = state.clone();
    let service = router(state.clone()).into_make_service_with_connect_info::<Source>();
    let served = axum::serve(listener, service).with_graceful_shutdown(async move {
        shutdown.await;
        closing.0.closing.send_replace(true);
    });
    let out_of_time = async {
        state.until_closing().await;
        tokio::time::sleep(STOPPING_MAX).await;
    };
    let result = tokio::select! {
        result = served => result,
        () = out_of_time => {
            tracing::warn!("the API stopped with requests still open");
            Ok(())
        }
    };
    upkeep.abort();
    trunks.abort();
    result
}

async fn upkeep(state: ApiState) {
    let mut beat = tokio::time::interval(UPKEEP);
    loop {
        beat.tick().await;
        state.0.metrics.run_upkeep();
        state.sessions().forget(SystemTime::now());
        let oldest = SystemTime::now() - idempotency::KEY_LIFE;
        if let Err(error) = state.store().forget_keys(oldest, idempotency::KEYS_MAX).await {
            tracing::debug!(error = %error, "old idempotency keys could not be forgotten");
        }
    }
}

/// A time as the API writes it.
fn timestamp(at: SystemTime) -> jiff::Timestamp {
    // Out of range only beyond the year 9999.
    jiff::Timestamp::try_from(at).unwrap_or(jiff::Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;
    use crate::observe::{LedgerSettings, Store};

    /// An API that nobody answers behind, and the folder of its store.
    pub(super) async fn lonely(tokens: Tokens) -> (ApiState, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", dir.path().join("store").display())).await.unwrap();
        let (ledger, _writer) = Ledger::open(store, LedgerSettings::default()).await.unwrap();
        let metrics = crate::observe::metrics::install().unwrap();
        let (desk, _inbox) = Desk::new();
        let readiness = Arc::new(Readiness::default());
        let tokens = Arc::new(ArcSwap::from_pointee(tokens));
        (ApiState::new(desk, tokens, ledger, readiness, metrics, ApiConfig::default()), dir)
    }

    #[tokio::test]
    async fn whoever_waits_for_a_transfer_has_its_answer_on_the_same_connection() {
        let (state, _dir) = lonely(Tokens::default()).await;
        async fn rings() -> StatusCode {
            // As long as a telephone may ring, by a clock that is moved.
            let nobody = std::future::pending::<()>();
            let _given_up = timeout(transfer::WAIT_MAX, nobody).await;
            StatusCode::OK
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = around(Router::new().route(transfer::PATH, axum::routing::post(rings)), &state);
        let app = app.with_state(state).into_make_service_with_connect_info::<Source>();
        tokio::spawn(async move { axum::serve(Door::new(listener, 8), app).await });
        tokio::time::pause();
        let mut client = TcpStream::connect(address).await.unwrap();
        let asked = b"POST /v1/calls/c/transfers HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\n\r\n";
        client.write_all(asked).await.unwrap();
        let mut answer = [0; 15];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    }

    #[tokio::test]
    async fn whoever_tries_tokens_in_a_loop_waits_at_the_metrics_as_well() {
        let (state, _dir) = lonely(Tokens::default()).await;
        for _ in 0..1_000 {
            state.attempts().failed(Instant::now(), [127, 0, 0, 1].into());
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, state, std::future::pending()));
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let answer = reqwest::Client::new().get(url).bearer_auth("guessed").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    }

    #[tokio::test]
    async fn a_request_that_panics_is_one_problem_and_the_rest_goes_on() {
        let (state, _dir) = lonely(Tokens::default()).await;
        async fn panics() -> StatusCode {
            panic!("a mistake of ours")
        }
        let routes = Router::new()
            .route("/panics", axum::routing::get(panics))
            .route("/works", axum::routing::get(|| async { "fine" }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = around(routes, &state).with_state(state);
        tokio::spawn(async move { axum::serve(listener, app).await });

        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::new();
        let answer = http.get(format!("{base}/panics")).send().await.unwrap();
        assert_eq!(answer.status(), 500);
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!((&problem["code"], &problem["instance"]), (&"internal".into(), &"/panics".into()));
        assert!(!problem.to_string().contains("mistake"), "what went wrong inside stays inside");
        assert_eq!(http.get(format!("{base}/works")).send().await.unwrap().status(), 200);
    }
}
