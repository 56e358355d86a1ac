//! The control port: the simulated service driven by a person at a terminal with `curl`, or by a script in any language.
//!
//! It is a port of its own, because what it does no customer of the service can do. Whoever reaches it may do anything to the
//! simulation, so it should listen on loopback. `GET /` is its manual.

use std::collections::HashMap;
use std::io::{self, Cursor};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::{AcsSim, Behaviour, Faults, Talker, lock};
use crate::acs::wire;
use crate::sim::ear::level_dbfs;
use crate::sim::voice::Voice;

/// What `GET /` says.
const MANUAL: &str = include_str!("control.txt");

/// The first tone that is given to somebody who was given none, and how far the next ones lie apart: no tone is a multiple
/// of another, and forty fit into a telephone's range.
const FIRST_HZ: f64 = 423.0;
const NEXT_HZ: f64 = 74.0;
const TONES: usize = 40;

/// The last frames in which tones are measured: a second.
const MEASURED_FRAMES: usize = 50;

/// What is below this is not listed.
const SILENT_DBFS: f64 = -60.0;

/// The desk at which the simulation is driven.
struct Desk {
    acs: AcsSim,
    /// Where Event Grid tells of calls, unless a call says otherwise.
    webhook: String,
    tones: Mutex<Tones>,
}

/// Who hums what.
#[derive(Default)]
struct Tones(HashMap<String, f64>);

impl Tones {
    /// The tone of somebody: the one they want, the one they have, or the first that nobody is near; beyond [`TONES`]
    /// people, the one that the fewest are near.
    fn of(&mut self, raw_id: &str, wanted: Option<f64>) -> f64 {
        let near = |hz: &f64| self.0.values().filter(|taken| (**taken - hz).abs() < NEXT_HZ / 2.0).count();
        let free = || (0..TONES).map(|nth| FIRST_HZ + NEXT_HZ * nth as f64).min_by_key(near);
        let tone = wanted.or_else(|| self.0.get(raw_id).copied()).or_else(free).unwrap_or(FIRST_HZ);
        self.0.insert(raw_id.to_owned(), tone);
        tone
    }
}

/// Opens the control port of a simulated service; where it listens. Calls are told at `webhook` (path and query) of the gateway.
///
/// # Errors
/// It cannot listen.
pub async fn open(acs: &AcsSim, at: SocketAddr, webhook: &str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(at).await?;
    let address = listener.local_addr()?;
    let desk = Desk { acs: acs.clone(), webhook: webhook.to_owned(), tones: Mutex::default() };
    let app = Router::new()
        .route("/", get(async || MANUAL))
        .route("/state", get(state))
        .route("/journal", get(journal))
        .route("/gateway", put(gateway))
        .route("/faults", get(faults).put(set_faults))
        .route("/calls", post(call))
        .route("/people/{raw_id}", put(behave))
        .route("/people/{raw_id}/answer", post(answer))
        .route("/people/{raw_id}/hang-up", post(hang_up))
        .route("/people/{raw_id}/keys", post(keys))
        .route("/people/{raw_id}/join", post(join))
        .route("/people/{raw_id}/drop-stream", post(drop_stream))
        .route("/people/{raw_id}/rate", post(rate))
        .route("/people/{raw_id}/heard", get(heard))
        .route("/people/{raw_id}/heard.wav", get(heard_wav))
        .with_state(Arc::new(desk));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// Something that cannot be done, and why.
struct No(StatusCode, String);

impl IntoResponse for No {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

type Answer = Result<Json<Value>, No>;

impl Desk {
    /// See [`Tones::of`].
    fn tone(&self, raw_id: &str, wanted: Option<f64>) -> f64 {
        lock(&self.tones).of(raw_id, wanted)
    }

    /// Somebody who is in a call.
    fn talker(&self, raw_id: &str) -> Result<Talker, No> {
        let missing = || No(StatusCode::NOT_FOUND, format!("{raw_id} is in no call that is up; see /state"));
        self.acs.talker(raw_id).ok_or_else(missing)
    }
}

fn wrong(what: impl Into<String>) -> No {
    No(StatusCode::BAD_REQUEST, what.into())
}

async fn state(State(desk): State<Arc<Desk>>) -> Json<Value> {
    let tones = lock(&desk.tones).0.clone();
    Json(json!({ "endpoint": desk.acs.endpoint(), "people": tones, "calls": desk.acs.calls() }))
}

async fn journal(State(desk): State<Arc<Desk>>) -> Json<Value> {
    Json(
        json!({ "happened": desk.acs.journal(), "exchanges": desk.acs.exchanges(), "events": desk.acs.told() }),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Where {
    address: SocketAddr,
    #[serde(default)]
    ca_file: Option<std::path::PathBuf>,
}

async fn gateway(State(desk): State<Arc<Desk>>, Json(at): Json<Where>) -> Answer {
    let root = match &at.ca_file {
        Some(file) => Some(std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?),
        None => None,
    };
    desk.acs.gateway_is_at(at.address, root.as_deref()).map_err(|error| wrong(error.to_string()))?;
    Ok(Json(json!({ "gateway": at.address })))
}

async fn faults(State(desk): State<Arc<Desk>>) -> Json<Faults> {
    Json(desk.acs.faults_now())
}

async fn set_faults(State(desk): State<Arc<Desk>>, Json(faults): Json<Faults>) -> Json<Faults> {
    desk.acs.faults(faults.clone());
    Json(faults)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    from: String,
    to: String,
    #[serde(default)]
    hz: Option<f64>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    webhook: Option<String>,
    /// In which of Event Grid's two schemas it is told.
    #[serde(default)]
    event_grid_schema: bool,
    /// What their system gives along, such as User-To-User.
    #[serde(default)]
    sip_headers: Map<String, Value>,
}

async fn call(
    State(desk): State<Arc<Desk>>,
    Json(call): Json<Call>,
) -> Result<(StatusCode, Json<Value>), No> {
    let hz = desk.tone(&call.from, call.hz);
    if let Some(name) = &call.name {
        desk.acs.is_named(&call.from, name);
    }
    desk.acs.brings(&call.from, call.sip_headers);
    let webhook = call.webhook.as_deref().unwrap_or(&desk.webhook);
    let context = desk.acs.call(&call.from, &call.to, Voice::tone(hz), webhook, !call.event_grid_schema);
    Ok((StatusCode::CREATED, Json(json!({ "context": context, "hz": hz }))))
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Does {
    Answers,
    Rings,
    Fails,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    does: Does,
    #[serde(default)]
    hz: Option<f64>,
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    sub_code: u32,
}

async fn behave(
    State(desk): State<Arc<Desk>>,
    Path(raw_id): Path<String>,
    Json(person): Json<Person>,
) -> Answer {
    let hz = desk.tone(&raw_id, person.hz);
    let behaviour = match (person.does, person.code) {
        (Does::Answers, _) => Behaviour::Answers(Voice::tone(hz)),
        (Does::Rings, _) => Behaviour::Rings(Voice::tone(hz)),
        (Does::Fails, Some(code)) => Behaviour::Fails(code, person.sub_code),
        (Does::Fails, None) => {
            return Err(wrong("say with which code, such as {\"code\": 486, \"sub_code\": 560486}"));
        }
    };
    desk.acs.behaves(&raw_id, behaviour);
    Ok(Json(json!({ "hz": hz })))
}

async fn answer(State(desk): State<Arc<Desk>>, Path(raw_id): Path<String>) -> Answer {
    match desk.acs.answers(&raw_id).await {
        true => Ok(Json(json!({}))),
        false => Err(No(StatusCode::NOT_FOUND, format!("no call rings at {raw_id}; see /state"))),
    }
}

async fn hang_up(State(desk): State<Arc<Desk>>, Path(raw_id): Path<String>) -> Answer {
    desk.talker(&raw_id)?;
    desk.acs.hangs_up(&raw_id).await;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    digits: String,
}

async fn keys(State(desk): State<Arc<Desk>>, Path(raw_id): Path<String>, Json(keys): Json<Keys>) -> Answer {
    desk.talker(&raw_id)?;
    if let Some(odd) = keys.digits.chars().find(|digit| wire::tone(*digit).is_none()) {
        return Err(wrong(format!("{odd:?} is no key")));
    }
    for digit in keys.digits.chars() {
        desk.acs.presses(&raw_id, digit).await;
    }
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    of: String,
    #[serde(default)]
    hz: Option<f64>,
}

async fn join(State(desk): State<Arc<Desk>>, Path(raw_id): Path<String>, Json(join): Json<Join>) -> Answer {
    desk.talker(&join.of)?;
    let hz = desk.tone(&raw_id, join.hz);
    desk.acs.joins(&raw_id, &join.of, Voice::tone(hz));
    Ok(Json(json!({ "hz": hz })))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Drop {
    ms: u64,
}

async fn drop_stream(
    State(desk): State<Arc<Desk>>,
    Path(raw_id): Path<String>,
    Json(drop): Json<Drop>,
) -> Answer {
    desk.talker(&raw_id)?;
    desk.acs.drops_stream(&raw_id, Duration::from_millis(drop.ms)).await;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    rate: u32,
}

async fn rate(State(desk): State<Arc<Desk>>, Path(raw_id): Path<String>, Json(to): Json<Rate>) -> Answer {
    desk.talker(&raw_id)?;
    if ![16_000, 24_000].contains(&to.rate) {
        return Err(wrong("the service streams at 16000 or 24000"));
    }
    desk.acs.changes_rate(&raw_id, to.rate).await;
    Ok(Json(json!({})))
}

async fn heard(State(desk): State<Arc<Desk>>, Path(raw_id): Path<String>) -> Answer {
    let talker = desk.talker(&raw_id)?;
    let frames = talker.heard();
    let clip = talker.since(frames.saturating_sub(MEASURED_FRAMES));
    let tones = lock(&desk.tones).0.clone();
    let mut loud: Vec<(String, f64, f64)> =
        tones.into_iter().map(|(who, hz)| (who, hz, clip.level_of(hz))).collect();
    loud.retain(|(_, _, dbfs)| *dbfs > SILENT_DBFS);
    loud.sort_by(|a, b| b.2.total_cmp(&a.2));
    let tenth = |dbfs: f64| (dbfs * 10.0).round() / 10.0;
    let tones: Vec<Value> =
        loud.into_iter().map(|(who, hz, dbfs)| json!({ "of": who, "hz": hz, "dbfs": tenth(dbfs) })).collect();
    Ok(Json(json!({ "frames": frames, "dbfs": tenth(level_dbfs(&clip.pcm)), "tones": tones })))
}

async fn heard_wav(State(desk): State<Arc<Desk>>, Path(raw_id): Path<String>) -> Result<Response, No> {
    let clip = desk.talker(&raw_id)?.since(0);
    let broken = |error: hound::Error| No(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: clip.rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).map_err(broken)?;
    clip.pcm.iter().try_for_each(|sample| writer.write_sample(*sample)).map_err(broken)?;
    writer.finalize().map_err(broken)?;
    Ok(([(header::CONTENT_TYPE, "audio/wav")], file.into_inner()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_that_somebody_asked_for_is_given_to_nobody_else() {
        let mut tones = Tones::default();
        let asked = FIRST_HZ + NEXT_HZ;
        assert_eq!(tones.of("a", Some(asked)), asked);
        let given: Vec<f64> = ["b", "c", "d"].map(|who| tones.of(who, None)).to_vec();
        assert_eq!(given, [FIRST_HZ, FIRST_HZ + 2.0 * NEXT_HZ, FIRST_HZ + 3.0 * NEXT_HZ]);
        assert_eq!(tones.of("c", None), given[1], "it is theirs");
        for who in 0..2 * TONES {
            let tone = tones.of(&who.to_string(), None);
            assert!(tone < FIRST_HZ + NEXT_HZ * TONES as f64);
        }
    }
}
