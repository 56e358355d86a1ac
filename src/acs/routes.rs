//! The addresses that the clouds are given: Event Grid's webhook, each leg's callbacks, each leg's media stream.
//!
//! Whoever comes is asked two things before anything is believed, or even read: the secret in the address, and a token.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{
    ConnectInfo, DefaultBodyLimit, FromRequest as _, Path, Query, Request, State, WebSocketUpgrade,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sbc_config::{Acs, AcsId, Config, Secret};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use tokio::sync::mpsc;

use crate::bridge::Bridge;
use crate::call::LegId;
use crate::connections::{self, Source};
use crate::observe::metrics as names;

use super::callback;
use super::door::{Names, Paths};
use super::grid::{Labels, Ours, Verdict};
use super::identifier::RawId;
use super::leftover::Word;
use super::resources::{Resource, Resources};
use super::run::Input;
use super::socket::{self, Sockets};
use super::stream::MESSAGE_BYTES_MAX;

/// A request may take this long to arrive; the clouds are quick, and slow ones hold a connection.
const REQUEST_MAX: Duration = Duration::from_secs(20);

/// Unknown types of events that are remembered, so that each is told once.
const UNKNOWN_KINDS_MAX: usize = 64;

/// The longest name of a connection that is asked about. They are GUIDs.
const CONNECTION_BYTES_MAX: usize = 128;

/// Makes and knows the secrets in a leg's addresses: a leg's id, signed with a key that is drawn anew at each start.
#[derive(Clone)]
pub struct PathKey([u8; 32]);

impl fmt::Debug for PathKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PathKey(redacted)")
    }
}

impl PathKey {
    /// A key of the operating system's randomness.
    ///
    /// # Errors
    /// There is none.
    pub fn random() -> Result<PathKey, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(PathKey(key))
    }

    fn secret(&self, purpose: &str, resource: &str, leg: LegId) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(format!("{purpose}/{resource}/{leg}").as_bytes());
        let tag = mac.finalize().into_bytes();
        tag.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    fn is_secret(&self, purpose: &str, resource: &str, leg: LegId, said: &str) -> bool {
        self.secret(purpose, resource, leg).as_bytes().ct_eq(said.as_bytes()).into()
    }
}

impl Paths for PathKey {
    fn callback(&self, resource: &AcsId, leg: LegId) -> String {
        format!("/acs/{resource}/calls/{leg}/{}", self.secret("calls", resource.as_str(), leg))
    }

    fn media(&self, resource: &AcsId, leg: LegId) -> String {
        format!("/acs/{resource}/media/{leg}/{}", self.secret("media", resource.as_str(), leg))
    }

    fn leg_id(&mut self) -> LegId {
        let mut bytes = [0; 8];
        // Without randomness ids could collide: nothing sensible can go on.
        getrandom::fill(&mut bytes).expect("the operating system has randomness");
        LegId(u64::from_le_bytes(bytes))
    }
}

/// What the routes share.
pub(super) struct House {
    pub(super) resources: Arc<Resources>,
    pub(super) bridge: Bridge,
    key: PathKey,
    pub(super) inputs: mpsc::Sender<Input>,
    /// For those who keep the store.
    pub(super) words: mpsc::Sender<Word>,
    pub(super) sockets: Sockets,
    /// What the door knows of its legs, for those who ask before they may reach it.
    known: Mutex<Known>,
    /// Types of events that nobody knows, each told once.
    unknown_kinds: Mutex<HashSet<String>>,
    body_bytes_max: usize,
    pub(super) media_idle: Duration,
}

/// What the door knows of its legs.
#[derive(Default)]
struct Known {
    legs: HashMap<LegId, Names>,
    /// The calls that legs are of, and how many legs are.
    correlations: HashMap<String, usize>,
}

impl Known {
    fn put(&mut self, leg: LegId, names: Option<Names>) {
        let of = |names: Option<&Names>| names.and_then(|names| names.correlation.clone());
        if let Some(now) = of(names.as_ref()) {
            *self.correlations.entry(now).or_default() += 1;
        }
        let before = match names {
            Some(names) => self.legs.insert(leg, names),
            None => self.legs.remove(&leg),
        };
        if let Some(before) = of(before.as_ref())
            && let Some(legs) = self.correlations.get_mut(&before)
        {
            *legs -= 1;
            if *legs == 0 {
                self.correlations.remove(&before);
            }
        }
    }
}

/// What is ours, for the webhook's gate.
struct Mine<'a> {
    acs: &'a Acs,
    known: &'a Mutex<Known>,
}

impl Ours for Mine<'_> {
    fn is_routed(&self, to: &RawId) -> bool {
        self.acs.answers.iter().any(|answer| *answer.raw_id == *to.as_str())
    }

    fn is_own(&self, from: &RawId, correlation: &str) -> bool {
        let own_number = self.acs.caller_id.as_ref().map(|number| number.to_string());
        (own_number.is_some() && from.number() == own_number.as_deref())
            || lock(self.known).correlations.contains_key(correlation)
    }
}

impl House {
    pub(super) fn new(
        config: &Config,
        bridge: Bridge,
        key: PathKey,
        resources: Arc<Resources>,
        inputs: mpsc::Sender<Input>,
        words: mpsc::Sender<Word>,
    ) -> House {
        House {
            resources,
            bridge,
            key,
            inputs,
            words,
            sockets: Sockets::default(),
            known: Mutex::default(),
            unknown_kinds: Mutex::default(),
            body_bytes_max: config.acs_listener.body_bytes_max,
            media_idle: config.acs_listener.media_idle,
        }
    }

    /// Takes over what the door knows of a leg.
    pub(super) fn note(&self, leg: LegId, names: Option<Names>) {
        lock(&self.known).put(leg, names);
    }

    /// What ACS calls a leg's connection.
    pub(super) fn connection_of(&self, leg: LegId) -> Option<String> {
        lock(&self.known).legs.get(&leg)?.connection.clone()
    }

    /// Whether a connection is that of a leg.
    pub(super) fn knows(&self, connection: &str) -> bool {
        lock(&self.known).legs.values().any(|names| names.connection.as_deref() == Some(connection))
    }

    /// Whether this is an address for a leg's events as we give them, and none of this life.
    pub(super) fn gave_in_an_earlier_life(&self, acs: &Acs, uri: &str) -> bool {
        let start = format!("{}/acs/{}/calls/", acs.callback_url, acs.id);
        let Some((leg, secret)) = uri.strip_prefix(&start).and_then(|rest| rest.split_once('/')) else {
            return false;
        };
        leg.parse().is_ok_and(|leg| !self.key.is_secret("calls", acs.id.as_str(), leg, secret))
    }

    /// ACS speaks of a connection at an address whose secret is not of this life.
    fn hears_of_stranger(&self, resource: &Resource, connection: Option<&str>) {
        let Some(connection) =
            connection.filter(|text| !text.is_empty() && text.len() <= CONNECTION_BYTES_MAX)
        else {
            return;
        };
        let word = Word::Stranger(resource.acs.id.to_string(), connection.to_owned());
        // Whoever is full of words hears the next one: ACS speaks of it again.
        let _full = self.words.try_send(word);
    }

    /// The leg of an address, if its secret is right.
    fn leg(&self, purpose: &str, resource: &str, leg: &str, secret: &str) -> Option<LegId> {
        let leg: LegId = leg.parse().ok()?;
        self.key.is_secret(purpose, resource, leg, secret).then_some(leg)
    }
}

/// Serves the routes until the task is ended.
pub(super) async fn serve(listener: connections::Door, house: Arc<House>) {
    let limit = house.body_bytes_max;
    let webhook = post(event_grid).options(introduction);
    let slow = tower_http::timeout::TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_MAX);
    let app = Router::new()
        .route("/acs/{resource}/events", webhook)
        .route("/acs/{resource}/calls/{leg}/{secret}", post(event))
        .route("/acs/{resource}/media/{leg}/{secret}", get(media))
        .layer(DefaultBodyLimit::max(limit))
        .layer(slow)
        .with_state(house);
    let app = app.into_make_service_with_connect_info::<Source>();
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "the ACS listener has stopped");
    }
}

#[derive(serde::Deserialize)]
struct Credentials {
    #[serde(default)]
    secret: Option<String>,
}

/// CloudEvents ask before they deliver (CloudEvents HTTP webhook specification, section 4).
async fn introduction(
    State(house): State<Arc<House>>,
    Path(resource): Path<String>,
    Query(credentials): Query<Credentials>,
    headers: HeaderMap,
) -> Response {
    let Some(resource) = house.resources.open_to_calls(&resource) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // The sender has a token only for deliveries; the secret stands in the address.
    if !is_secret(resource.acs.webhook_secret.as_ref(), credentials.secret.as_deref()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Some(origin) = headers.get("webhook-request-origin").cloned() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut answer = StatusCode::OK.into_response();
    answer.headers_mut().insert("webhook-allowed-origin", origin);
    answer.headers_mut().insert("webhook-allowed-rate", HeaderValue::from_static("*"));
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    answer
}

async fn event_grid(
    State(house): State<Arc<House>>,
    Path(name): Path<String>,
    Query(credentials): Query<Credentials>,
    ConnectInfo(source): ConnectInfo<Source>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let Some(resource) = house.resources.open_to_calls(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if !is_secret(resource.acs.webhook_secret.as_ref(), credentials.secret.as_deref()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if let Some(issuer) = &resource.webhook_tokens
        && !issuer.trusts(&headers).await
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    source.has_proven();
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(rejection) => return rejection.into_response(),
    };
    let label = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let labels = Labels { event_type: label("aeg-event-type"), subscription: label("aeg-subscription-name") };
    let verdict = {
        let mine = Mine { acs: &resource.acs, known: &house.known };
        let mut gate = lock(&resource.gate);
        let verdict = gate.deliver(Timestamp::now(), labels, &body, &resource.acs.subscriptions, &mine);
        for dropped in gate.dropped() {
            metrics::counter!(names::ACS_DROPPED, "reason" => dropped.label()).increment(1);
        }
        verdict
    };
    match verdict {
        Verdict::Validate(code) => Json(serde_json::json!({ "validationResponse": code })).into_response(),
        Verdict::Calls(calls) => {
            let mut calls = calls.into_iter();
            for call in calls.by_ref() {
                let input = Input::Call(resource.acs.id.clone(), call.clone());
                if house.inputs.try_send(input).is_err() {
                    // Event Grid comes again after a while; by then the caller may still be ringing.
                    let mut gate = lock(&resource.gate);
                    [call].into_iter().chain(calls).for_each(|call| gate.forget(&call));
                    return StatusCode::SERVICE_UNAVAILABLE.into_response();
                }
            }
            StatusCode::OK.into_response()
        }
        Verdict::Forbidden => StatusCode::FORBIDDEN.into_response(),
        Verdict::Malformed => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn event(
    State(house): State<Arc<House>>,
    Path((name, leg, secret)): Path<(String, String, String)>,
    ConnectInfo(source): ConnectInfo<Source>,
    headers: HeaderMap,
    request: Request,
) -> StatusCode {
    let Some(resource) = house.resources.get(&name) else { return StatusCode::NOT_FOUND };
    let leg = house.leg("calls", &name, &leg, &secret);
    if !resource.tokens.trusts(&headers).await {
        // To a stranger a wrong secret and an address that never was are the same.
        return if leg.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::NOT_FOUND };
    }
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(rejection) => return rejection.status(),
    };
    let told = callback::read(&body);
    let Some(leg) = leg else {
        let events = told.unwrap_or_default().events;
        house.hears_of_stranger(&resource, events.first().map(|event| event.connection.as_str()));
        return StatusCode::NOT_FOUND;
    };
    source.has_proven();
    let Ok(told) = told else { return StatusCode::BAD_REQUEST };
    if told.unreadable > 0 {
        metrics::counter!(names::ACS_EVENTS, "type" => "unreadable").increment(told.unreadable as u64);
        tracing::warn!(%leg, events = told.unreadable, "ACS tells what cannot be read; was its interface changed?");
    }
    for event in told.events {
        let label = match &event.happened {
            callback::Happened::Unknown(kind) => {
                let mut kinds = lock(&house.unknown_kinds);
                if kinds.len() < UNKNOWN_KINDS_MAX && kinds.insert(kind.clone()) {
                    tracing::info!(kind, "events of a type that nobody here knows");
                }
                "unknown"
            }
            _ => "known",
        };
        metrics::counter!(names::ACS_EVENTS, "type" => label).increment(1);
        if house.inputs.send(Input::Event(resource.acs.id.clone(), leg, event)).await.is_err() {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
    }
    StatusCode::OK
}

async fn media(
    State(house): State<Arc<House>>,
    Path((name, leg, secret)): Path<(String, String, String)>,
    ConnectInfo(source): ConnectInfo<Source>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Some(resource) = house.resources.get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let connection = headers.get("x-ms-call-connection-id").and_then(|value| value.to_str().ok());
    let Some(leg) = house.leg("media", &name, &leg, &secret) else {
        if resource.tokens.trusts(&headers).await {
            house.hears_of_stranger(&resource, connection);
        }
        return StatusCode::NOT_FOUND.into_response();
    };
    if !resource.tokens.trusts(&headers).await {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    source.has_proven();
    let known = house.connection_of(leg);
    if let (Some(said), Some(known)) = (connection, known)
        && said != known
    {
        return StatusCode::FORBIDDEN.into_response();
    }
    let Some(wire) = house.bridge.wire(leg) else { return StatusCode::NOT_FOUND.into_response() };
    let rate = match resource.acs.audio {
        sbc_config::AcsAudio::Pcm16K => 16_000,
        sbc_config::AcsAudio::Pcm24K => 24_000,
    };
    // Nothing is written to a leg that hears nothing; `media_idle` watches it.
    source.keeps_own_time();
    upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .on_upgrade(move |far| socket::run(house, leg, wire, rate, far))
}

/// Without a secret of ours, none is asked for: then tokens are.
fn is_secret(ours: Option<&Secret>, said: Option<&str>) -> bool {
    ours.is_none_or(|ours| said.is_some_and(|said| ours.expose().as_bytes().ct_eq(said.as_bytes()).into()))
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
