//! The API on a real socket, with a store in a directory of its own and a switchboard that is a
//! small table of calls, so that every test plays with the whole stack but the media.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use reqwest::{Method, StatusCode};
use sbc_config::{Config, PersonId, SecretError, SecretSource, TeamId, TenantId};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sidetone::api::{ApiConfig, ApiState, Issuers, Readiness, SharedTokens, Token, Tokens};
use sidetone::bridge::LegQuality;
use sidetone::call::rights::{Act, Actor, Denial, Principal, Scope, may};
use sidetone::call::{CallId, Coaching, ConsultId, Hold, LegId, Presence, SpeakTo, SupervisionId};
use sidetone::observe::{
    Audience, Event, Journal as _, Ledger, LedgerSettings, LedgerWriter, Store, metrics,
};
use sidetone::prereq::Engine;
use sidetone::switchboard::desk::*;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

/// The longest any test waits for something that must come.
pub const SOON: Duration = Duration::from_secs(20);

pub const CALL: CallId = CallId(1);
pub const FOREIGN_CALL: CallId = CallId(2);
pub const CUSTOMER: LegId = LegId(1);
pub const AGENT: LegId = LegId(2);
pub const SUPERVISION: SupervisionId = SupervisionId(1);
pub const CONSULT: ConsultId = ConsultId(1);

/// Every token of the stage, by its text.
pub const TOKENS: [&str; 9] =
    ["alice", "bob", "sam", "tom", "admin", "software", "operator", "foreign-admin", "foreign-software"];

pub struct Stage {
    pub base: String,
    pub http: reqwest::Client,
    pub tokens: SharedTokens,
    /// Who the people are, as the configuration has them.
    pub people: Arc<ArcSwap<Config>>,
    pub ledger: Ledger,
    pub board: Arc<Board>,
    pub url: String,
    serving: JoinHandle<std::io::Result<()>>,
    stop: Option<oneshot::Sender<()>>,
    writing: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

/// What the switchboard of the stage was asked, and whether it answers now.
#[derive(Default)]
pub struct Board {
    pub asked: Mutex<Vec<Request>>,
    pub arrived: Notify,
    /// When set, requests wait until it is notified.
    pub held: Mutex<Option<Arc<Notify>>>,
    /// When set, the answer to everything.
    pub refusal: Mutex<Option<Refusal>>,
}

impl Stage {
    pub async fn new() -> Stage {
        Stage::with(ApiConfig::default()).await
    }

    pub async fn with(config: ApiConfig) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let url = store_url(dir.path()).await;
        Stage::on(url, dir, config).await
    }

    async fn on(url: String, dir: tempfile::TempDir, config: ApiConfig) -> Stage {
        let store = Store::open(&url).await.unwrap();
        let (ledger, writer) = Ledger::open(store, LedgerSettings::default()).await.unwrap();
        let writing = tokio::spawn(LedgerWriter::run(writer));
        let (desk, inbox) = Desk::new();
        let board = Arc::new(Board::default());
        tokio::spawn(play_switchboard(inbox, board.clone()));
        let tokens: SharedTokens = Arc::new(ArcSwap::from_pointee(all_tokens()));
        let people = Arc::new(ArcSwap::from_pointee(house("['support']")));
        let readiness = Arc::new(Readiness::default());
        readiness.set_listeners_up(true);
        let handle = metrics::install().unwrap();
        let state = ApiState::new(desk, tokens.clone(), ledger.clone(), readiness, handle, config)
            .with_prerequisites(engine(), Arc::new(ArcSwap::from_pointee(Issuers::default())))
            .with_configuration(people.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(sidetone::api::serve(listener, state, async {
            let _ = stopped.await;
        }));
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(SOON).build().unwrap();
        let stop = Some(stop);
        Stage { base, http, tokens, people, ledger, board, url, serving, stop, writing, _dir: dir }
    }

    /// Stops everything in good order.
    pub async fn stop(mut self) -> tempfile::TempDir {
        let _ = self.stop.take().unwrap().send(());
        within(&mut self.serving).await.unwrap().unwrap();
        self.ledger.close();
        within(&mut self.writing).await.unwrap();
        self.ledger.store().close().await;
        self._dir
    }

    /// Stops, and starts again on the same store.
    pub async fn restart(self) -> Stage {
        let url = self.url.clone();
        let dir = self.stop().await;
        Stage::on(url, dir, ApiConfig::default()).await
    }

    /// As [`Stage::restart`], and the one before had not closed its journal: numbers skip.
    pub async fn crash(self) -> Stage {
        let url = self.url.clone();
        let dir = self.stop().await;
        alter(&url, "UPDATE meta SET value = 1 WHERE name = 'open'").await;
        Stage::on(url, dir, ApiConfig::default()).await
    }

    pub fn request(&self, method: Method, path: &str, token: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        if token.is_empty() { request } else { request.bearer_auth(token) }
    }

    pub async fn get(&self, path: &str, token: &str) -> Told {
        told(self.request(Method::GET, path, token)).await
    }

    pub async fn send(&self, method: Method, path: &str, token: &str, body: Value) -> Told {
        let request = self.request(method, path, token);
        told(match body {
            Value::Null => request,
            // The one body of the API that is not JSON (RFC 8840).
            Value::String(fragment) => {
                request.header("content-type", "application/trickle-ice-sdpfrag").body(fragment)
            }
            body => request.json(&body),
        })
        .await
    }

    /// Publishes an event about the stage's call, for Alice and the support team.
    pub fn happens(&self, kind: &'static str, data: Value) -> u64 {
        self.ledger.event(event(kind, "acme", &["alice"], &["support"], data));
        self.ledger.latest()
    }

    pub fn times_asked(&self) -> usize {
        self.board.asked.lock().unwrap().len()
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Told {
    pub status: StatusCode,
    pub headers: HashMap<String, String>,
    pub body: Value,
    pub text: String,
}

impl Told {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

pub async fn told(request: reqwest::RequestBuilder) -> Told {
    let response = request.send().await.unwrap();
    let status = response.status();
    let headers =
        response.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()));
    let headers = headers.collect();
    let text = response.text().await.unwrap();
    Told { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null), text }
}

/// Waits for what must come, and fails the test when it does not.
pub async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("this should have come long ago")
}

pub fn event(kind: &'static str, tenant: &str, people: &[&str], teams: &[&str], data: Value) -> Event {
    Event {
        kind,
        tenant: TenantId::new(tenant).unwrap(),
        call: Some(if tenant == "acme" { CALL } else { FOREIGN_CALL }),
        audience: audience(people, teams),
        at: UNIX_EPOCH + Duration::from_micros(1_763_715_600_250_000),
        data,
    }
}

pub fn audience(people: &[&str], teams: &[&str]) -> Audience {
    Audience {
        people: people.iter().map(|person| PersonId::new(person).unwrap()).collect(),
        teams: teams.iter().map(|team| TeamId::new(team).unwrap()).collect(),
    }
}

/// Changes what a store holds behind the gateway's back.
pub async fn alter(url: &str, sql: &'static str) {
    let pool = sqlx::AnyPool::connect(url).await.unwrap();
    sqlx::raw_sql(sql).execute(&pool).await.unwrap();
    pool.close().await;
}

/// A fresh SQLite file; or, when `SIDETONE_TEST_POSTGRES` names a server, a fresh schema there.
pub async fn store_url(dir: &std::path::Path) -> String {
    let Ok(server) = std::env::var("SIDETONE_TEST_POSTGRES") else {
        return format!("sqlite:{}", dir.join("sidetone.sqlite3").display());
    };
    let schema =
        format!("t{}", dir.file_name().unwrap().to_str().unwrap().trim_start_matches('.').to_lowercase());
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&server).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\""))).execute(&pool).await.unwrap();
    pool.close().await;
    format!("{server}?options=-csearch_path%3D{schema}")
}

pub fn all_tokens() -> Tokens {
    Tokens::new(TOKENS.iter().map(|text| token(text)).collect())
}

pub fn token(text: &str) -> Token {
    let tenant = || TenantId::new("acme").unwrap();
    let zeta = || TenantId::new("zeta").unwrap();
    let person = || PersonId::new(text).unwrap();
    let teams = |team| vec![TeamId::new(team).unwrap()];
    let actor = match text {
        "alice" | "bob" => Actor::Agent { tenant: tenant(), person: person() },
        "sam" => Actor::Supervisor { tenant: tenant(), person: person(), teams: teams("support") },
        "tom" => Actor::Supervisor { tenant: tenant(), person: person(), teams: teams("sales") },
        "admin" => Actor::TenantAdmin { tenant: tenant() },
        "software" => Actor::Integration { tenant: tenant() },
        "operator" => Actor::Operator,
        "foreign-admin" => Actor::TenantAdmin { tenant: zeta() },
        "foreign-software" => Actor::Integration { tenant: zeta() },
        other => panic!("no token {other}"),
    };
    Token {
        name: format!("token-of-{text}"),
        sha256: Sha256::digest(text.as_bytes()).into(),
        actor,
        expires: None,
    }
}

async fn play_switchboard(mut inbox: mpsc::Receiver<Asked>, board: Arc<Board>) {
    while let Some(Asked { principal, request, answer }) = inbox.recv().await {
        board.asked.lock().unwrap().push(request.clone());
        board.arrived.notify_one();
        let held = board.held.lock().unwrap().clone();
        let refusal = board.refusal.lock().unwrap().clone();
        tokio::spawn(async move {
            if let Some(held) = held {
                held.notified().await;
            }
            let _ = answer.send(refusal.map_or_else(|| play(&principal, &request), Err));
        });
    }
}

/// One call of Alice's, in tenant acme and team support, with Sam's supervision on it.
fn play(principal: &Principal, request: &Request) -> Result<Answer, Refusal> {
    let acme = TenantId::new("acme").unwrap();
    let scope = Scope {
        people: vec![PersonId::new("alice").unwrap()],
        teams: vec![TeamId::new("support").unwrap()],
        joined_supervisors: Vec::new(),
    };
    let allowed = |act| may(&principal.actor, act, &acme, &scope).map_err(Refusal::Denied);
    let of_call = |call: &CallId, act| {
        if *call == CALL { allowed(act) } else { Err(Refusal::NotFound("call")) }
    };
    // As the switchboard has it: what names supervisors is not for agents.
    let not_an_agent = || match &principal.actor {
        Actor::Agent { .. } => Err(Refusal::Denied(Denial::RoleForbids)),
        _ => Ok(()),
    };
    let of_supervision = |id: &SupervisionId, act| {
        if *id == SUPERVISION { allowed(act) } else { Err(Refusal::NotFound("supervision")) }
    };
    let of_consult = |id: &ConsultId, act| {
        if *id == CONSULT { allowed(act) } else { Err(Refusal::NotFound("consult")) }
    };
    Ok(match request {
        Request::ListCalls => {
            if principal.actor == Actor::Operator {
                allowed(Act::Read)?;
            }
            Answer::Calls(allowed(Act::Read).is_ok().then(call_view).into_iter().collect())
        }
        Request::GetCall(call) => of_call(call, Act::Read).map(|()| Answer::Call(call_view()))?,
        Request::Audio(call) => {
            of_call(call, Act::Read).and_then(|()| not_an_agent()).map(|()| Answer::Audio(audio_view()))?
        }
        Request::Originate { .. } => allowed(Act::Originate).map(|()| Answer::Call(call_view()))?,
        Request::HangUp(call) => of_call(call, Act::HangUp).map(|()| Answer::Done)?,
        Request::Leg { call, leg, act } => {
            let right = if *act == LegAct::HangUp { Act::HangUp } else { Act::Steer };
            of_call(call, right)?;
            if ![CUSTOMER, AGENT].contains(leg) {
                return Err(Refusal::NotFound("leg"));
            }
            if *act == LegAct::HangUp { Answer::Done } else { Answer::Call(call_view()) }
        }
        Request::Supervise(SuperviseRequest { call, role, .. }) => {
            of_call(call, Act::Supervise).map(|()| Answer::Supervision(supervision_view(*role)))?
        }
        Request::GetSupervision(id) => of_supervision(id, Act::Supervise)
            .map(|()| Answer::Supervision(supervision_view(Coaching::Monitor)))?,
        Request::ListSupervisions(call) => of_call(call, Act::Read)
            .and_then(|()| not_an_agent())
            .map(|()| Answer::Supervisions(vec![supervision_view(Coaching::Monitor)]))?,
        Request::SwitchRole(id, role) => of_supervision(id, Act::Supervise).map(|()| switched(*role))?,
        Request::TakeOver(id) => {
            of_supervision(id, Act::Supervise).map(|()| switched(Coaching::TakenOver))?
        }
        Request::EndSupervision(id) => of_supervision(id, Act::Supervise).map(|()| Answer::Done)?,
        Request::Consult(ConsultRequest { call, .. }) => {
            of_call(call, Act::Steer).map(|()| Answer::Consult(consult_view(None)))?
        }
        Request::GetConsult(id) => of_consult(id, Act::Read)
            .map(|()| Answer::Consult(consult_view(Some((LegId(4), SpeakTo::Expert)))))?,
        Request::SpeakTo(id, to) => {
            of_consult(id, Act::Steer).map(|()| Answer::Consult(consult_view(Some((LegId(4), *to)))))?
        }
        Request::Transfer(TransferRequest { call, wait, .. }) => {
            of_call(call, Act::Steer).map(|()| Answer::Transfer(wait.then_some(TransferOutcome::NoAnswer)))?
        }
        Request::CompleteConsult(id) | Request::CancelConsult(id) => {
            of_consult(id, Act::Steer).map(|()| Answer::Done)?
        }
        Request::Drain => allowed(Act::Operate).map(|()| Answer::Draining { calls: 1 })?,
    })
}

fn switched(role: Coaching) -> Answer {
    Answer::Switched {
        supervision: supervision_view(role),
        effective_at: UNIX_EPOCH + Duration::from_millis(1_763_715_600_020),
        audio: audio_view(),
    }
}

pub fn call_view() -> CallView {
    let leg = |id, role, person: Option<&str>| LegView {
        id,
        role,
        coaching: None,
        person: person.map(|person| PersonId::new(person).unwrap()),
        trunk: None,
        presence: Presence::Talking,
        hold: Hold::None,
        muted: false,
        codec: Some("PCMA"),
        quality: person.map(|_| LegQuality {
            packets_received: 997,
            lost: 3,
            jitter_ms: 1.5,
            round_trip_ms: Some(20.0),
            mos: Some(4.25),
            ..LegQuality::default()
        }),
    };
    CallView {
        id: CALL,
        tenant: TenantId::new("acme").unwrap(),
        direction: Direction::Inbound,
        from: "+4930123456".into(),
        to: "+4930999000".into(),
        state: CallState::Talking,
        started_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_715_600),
        answered_at: None,
        legs: vec![leg(CUSTOMER, "customer", None), leg(AGENT, "agent", Some("alice"))],
        supervisions: vec![SUPERVISION],
        attestation: None,
        diverted_by: Vec::new(),
    }
}

fn supervision_view(role: Coaching) -> SupervisionView {
    SupervisionView {
        id: SUPERVISION,
        call: Some(CALL),
        supervisor: PersonId::new("sam").unwrap(),
        leg: Some(LegId(3)),
        agent: Some(PersonId::new("alice").unwrap()),
        subject: Some(AGENT),
        role,
        allowed_roles: vec![Coaching::Monitor, Coaching::Whisper, Coaching::Barge],
        dtmf_control: true,
        follow: Follow::Call,
        dial_in: None,
        state: SupervisionState::Active,
    }
}

fn consult_view(talking: Option<(LegId, SpeakTo)>) -> ConsultView {
    ConsultView { id: CONSULT, call: CALL, by: AGENT, preview: None, talking, card: None }
}

fn audio_view() -> AudioView {
    let mouth = |leg, level_dbfs| MouthView { leg, level_dbfs };
    AudioView {
        call: CALL,
        generation: 7,
        ears: vec![
            EarView { leg: CUSTOMER, plan: "relay", mouths: vec![mouth(AGENT, None)] },
            EarView {
                leg: AGENT,
                plan: "mix",
                mouths: vec![mouth(CUSTOMER, Some(-18.5)), mouth(LegId(3), Some(f32::NEG_INFINITY))],
            },
        ],
    }
}

/// Prerequisites of one tenant, whose account names no credential: nothing is asked of anybody.
fn engine() -> Engine {
    struct NoSecrets;
    impl SecretSource for NoSecrets {
        fn file(&self, _: &str) -> Result<String, SecretError> {
            Err(SecretError::NotFound)
        }

        fn env(&self, _: &str) -> Result<String, SecretError> {
            Err(SecretError::NotFound)
        }
    }
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let text = "sip.udp = '127.0.0.1:5060'\n[[tenant]]\nid = 'acme'\n[[integration]]\ntenant = 'acme'";
    let config = Config::parse(text, &NoSecrets).unwrap();
    let engine = Engine::new().unwrap();
    engine.configure(&config.integrations);
    engine
}

/// The people behind the tokens, and a customer. `teams` are Sam's; without any he is not among them.
pub fn house(teams: &str) -> Config {
    struct NoSecrets;
    impl SecretSource for NoSecrets {
        fn file(&self, _: &str) -> Result<String, SecretError> {
            Err(SecretError::NotFound)
        }

        fn env(&self, _: &str) -> Result<String, SecretError> {
            Err(SecretError::NotFound)
        }
    }
    let mut text =
        "sip.udp = '127.0.0.1:5060'\n[[tenant]]\nid = 'acme'\n[[tenant]]\nid = 'zeta'\n".to_owned();
    for team in ["support", "sales"] {
        text += &format!("[[team]]\nid = '{team}'\ntenant = 'acme'\n");
    }
    let people = [
        ("alice", "agent", "['support']"),
        ("bob", "agent", "['support']"),
        ("sam", "supervisor", teams),
        ("tom", "supervisor", "['sales']"),
        ("carol", "customer", "['support']"),
    ];
    for (person, role, teams) in people.into_iter().filter(|(.., teams)| !teams.is_empty()) {
        text += &format!(
            "[[person]]\nid = '{person}'\ntenant = 'acme'\nrole = '{role}'\nteams = {teams}\n\
             display_name = '{person} of Acme'\ncontact = 'sip:{person}@127.0.0.1:5090'\n"
        );
    }
    text += "[[trunk]]\nid = 'carrier'\ntenant = 'acme'\nsources = ['127.0.0.2/32']\n";
    Config::parse(&text, &NoSecrets).unwrap()
}

/// The body that makes each write valid.
pub fn body_for(path: &str) -> Value {
    match path.rsplit('/').next() {
        Some("dtmf") => json!({"digits": "12#"}),
        Some("supervisions") => json!({"supervisor": "sam", "role": "whisper"}),
        Some("calls") => json!({"agent": "alice", "to": "+4930123456"}),
        Some("teams") => json!({"phones": ["business"]}),
        Some("evidence") => json!({"attest": {"check": "T10", "verdict": "pass", "note": "change 4711"}}),
        Some("preflights") => json!({"target": "+14255550100"}),
        Some("transfers") => json!({"mode": "blind", "target": "erin"}),
        Some("webrtc") => json!({"sdp": "v=0", "to": "100"}),
        Some("sign-ins") => json!({"person": "alice"}),
        Some("consults") => json!({"target": "erin"}),
        Some(last) if last.starts_with("con_") => json!({"speak_to": "both"}),
        Some(last) if last.starts_with("sup_") => json!({"role": "barge"}),
        _ => Value::Null,
    }
}
