//! The REST side: who may ask, what may be asked, and what then happens.

mod begun;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use begun::{answer, connect, create};
pub(super) use begun::{new_call, rate_of};

use super::{Behaviour, Call, Entry, Exchange, Inner, KEPT_MAX, Talker, World, lock};
use crate::acs::identifier::{Kind, RawId};
use crate::acs::rest::uuid;
use crate::acs::sign::{Signed, Unsigned, is_signed};
use crate::acs::wire::{
    AddParticipant, CancelAdd, ForParticipant, Identifier, MoveParticipants, MuteParticipants, Play,
    Recognize, RedirectCall, RejectCall, RemoveParticipant, SendDtmf, TransferCall, without_nulls,
};

/// Versions the service knows.
const VERSIONS: [&str; 8] = [
    "2023-03-06",
    "2023-10-15",
    "2024-04-15",
    "2024-09-15",
    "2025-05-15",
    "2025-06-15",
    "2026-03-12",
    "2025-08-15-preview",
];

/// Digits of one request.
const TONES_MAX: usize = 18;

/// How long a digit is played.
const TONE: Duration = Duration::from_millis(100);

/// A refusal: status, code, words.
struct No(u16, &'static str, &'static str);

const INVALID: No = No(400, "8523", "Invalid request.");
const GONE: No = No(404, "8522", "Call not found.");

/// What is answered, and what happens after that.
struct Yes {
    status: u16,
    body: Value,
    then: Then,
}

enum Then {
    Nothing,
    /// The call is up.
    Connect(String),
    /// Nobody came.
    Fail(String, u16, u32),
    /// It is over, for the side that asked for it.
    End(String),
    /// Somebody was held, let go, muted, added or removed: event, and its own fields.
    Tell(String, Option<(&'static str, u16, u32, Value)>),
    /// The stream.
    Stream(String, bool),
    /// So many digits are played to somebody.
    Key(String, String, u32),
}

type Answer = Result<Yes, No>;

pub(super) async fn serve(listener: TcpListener, inner: Arc<Inner>) {
    let app = Router::new().fallback(handle).with_state(inner);
    // It ends with the runtime of the test.
    let _ended = axum::serve(listener, app).await;
}

async fn handle(
    State(inner): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if uri.path() == "/keys" {
        return axum::Json(inner.issuer.jwks()).into_response();
    }
    let (answer, then) = judged(&inner, &method, &uri, &headers, &body);
    let (status, said) = &answer;
    let exchange = Exchange {
        method: method.to_string(),
        path: uri.path().to_owned(),
        request: serde_json::from_slice(&body).unwrap_or_default(),
        status: *status,
        answer: said.clone(),
    };
    {
        let mut world = inner.world();
        if world.exchanges.len() < KEPT_MAX {
            world.exchanges.push(exchange);
        }
    }
    inner.note(Entry::Request(method.to_string(), uri.path().to_owned(), *status));
    let early = inner.world().faults.early;
    let after = {
        let inner = inner.clone();
        async move { happen(&inner, then).await }
    };
    if early {
        after.await;
    } else {
        tokio::spawn(after);
    }
    let (status, body) = answer;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response =
        if body.is_null() { status.into_response() } else { (status, axum::Json(body)).into_response() };
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert("retry-after", HeaderValue::from_static("0"));
    }
    response
}

fn judged(
    inner: &Arc<Inner>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> ((u16, Value), Then) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let words = inner.world().faults.words.clone();
    let refuse = |No(status, code, message): No| {
        let message = if words.is_empty() { message } else { &words };
        ((status, json!({ "error": { "code": code, "message": message } })), Then::Nothing)
    };
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    let signed = Signed {
        content_sha256: header("x-ms-content-sha256").to_owned(),
        authorization: header("authorization").to_owned(),
    };
    let unsigned =
        Unsigned { method: method.as_str(), target, host: header("host"), date: header("x-ms-date"), body };
    let token = header("authorization").strip_prefix("Bearer ");
    let is_given = match (token, &inner.world().entra) {
        (Some(token), Some(entra)) => entra.gave(token),
        _ => false,
    };
    if !is_given && !is_signed(&inner.key, unsigned, &signed) {
        return refuse(No(401, "7509", "HMAC validation error."));
    }
    let version =
        uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("api-version=")));
    if !version.is_some_and(|version| VERSIONS.contains(&version)) {
        return refuse(No(400, "UnsupportedApiVersion", "The api-version is missing or not supported."));
    }
    let mut world = inner.world();
    if world.faults.throttled > 0 {
        world.faults.throttled -= 1;
        return refuse(No(429, "8516", "Too many requests."));
    }
    if world.faults.refused.iter().any(|tail| uri.path().ends_with(tail.as_str())) {
        return refuse(No(400, "8500", "The operation is refused."));
    }
    let repeated = header("repeatability-request-id").to_owned();
    if let Some(answer) = world.repeated.get(&repeated).filter(|_| !repeated.is_empty()) {
        return (answer.clone(), Then::Nothing);
    }
    let (answer, then) = match carry_out(&mut world, method, uri.path(), body) {
        Ok(Yes { status, mut body, then }) => {
            // What the service has nothing to say about it leaves out.
            without_nulls(&mut body);
            ((status, body), then)
        }
        Err(no) => return refuse(no),
    };
    if !repeated.is_empty() {
        world.repeated.insert(repeated, answer.clone());
    }
    if world.faults.answers_lost > 0 {
        world.faults.answers_lost -= 1;
        let lost = json!({ "error": { "code": "ServiceUnavailable", "message": "Try again." } });
        return ((503, lost), then);
    }
    (answer, then)
}

fn carry_out(world: &mut World, method: &Method, path: &str, body: &[u8]) -> Answer {
    let path =
        path.strip_prefix("/calling/callConnections").ok_or(No(404, "NotFound", "No such resource."))?;
    let is = |wanted: &Method, tail: &str, said: &str| method == wanted && tail == said;
    match path {
        tail if is(&Method::POST, tail, ":answer") => return answer(world, parsed(body)?),
        tail if is(&Method::POST, tail, "") => return create(world, parsed(body)?),
        tail if is(&Method::POST, tail, ":connect") => return connect(world, parsed(body)?),
        tail if is(&Method::POST, tail, ":reject") => {
            let body: RejectCall = parsed(body)?;
            world.ringing.remove(body.incoming_call_context.expose()).ok_or(GONE)?;
            return done(204, Value::Null);
        }
        tail if is(&Method::POST, tail, ":redirect") => {
            let body: RedirectCall = parsed(body)?;
            body.target.raw().ok_or(INVALID)?;
            world.ringing.remove(body.incoming_call_context.expose()).ok_or(GONE)?;
            return done(204, Value::Null);
        }
        _ => {}
    }
    let rest = path.strip_prefix('/').ok_or(No(404, "NotFound", "No such resource."))?;
    let (id, tail) = match rest.find([':', '/']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let call = world.calls.get_mut(id).filter(|call| call.state != "disconnected").ok_or(GONE)?;
    let id = id.to_owned();
    let up = call.state == "connected";
    let state = || if up { Ok(()) } else { Err(No(400, "8501", "The call is not established.")) };
    match (method.as_str(), tail) {
        ("GET", "") => done(200, properties(&id, call)),
        ("DELETE", "") => Ok(Yes { status: 204, body: Value::Null, then: Then::End(id) }),
        ("POST", ":terminate") => Ok(Yes { status: 204, body: Value::Null, then: Then::End(id) }),
        ("GET", "/participants") => done(200, json!({ "value": participants(call) })),
        ("GET", tail) if tail.starts_with("/participants/") => {
            let who = percent_decoded(&tail["/participants/".len()..]);
            let all = participants(call);
            let found = all.into_iter().find(|one| one["identifier"]["rawId"] == who.as_str());
            done(200, found.ok_or(GONE)?)
        }
        ("POST", ":hold") | ("POST", ":unhold") => {
            let body: ForParticipant = parsed(body)?;
            let who = member(call, &body.target_participant)?;
            state()?;
            call.held.retain(|held| *held != who);
            if tail == ":hold" {
                call.held.push(who);
            }
            Ok(Yes { status: 200, body: Value::Null, then: Then::Tell(id, None) })
        }
        ("POST", "/participants:mute") => {
            let body: MuteParticipants = parsed(body)?;
            let [target] = &body.target_participants[..] else { return Err(INVALID) };
            let who = member(call, target)?;
            if RawId::new(&who).map(|id| id.kind()) != Some(Kind::User) {
                return Err(No(400, "8523", "Only ACS users can be muted."));
            }
            state()?;
            call.muted.push(who);
            let body = json!({ "operationContext": body.operation_context });
            Ok(Yes { status: 200, body, then: Then::Tell(id, None) })
        }
        ("POST", "/participants:add") => {
            let body: AddParticipant = parsed(body)?;
            let raw = body.participant_to_add.raw().ok_or(INVALID)?;
            if raw.kind() == Kind::Phone && body.source_caller_id_number.is_none() {
                return Err(No(400, "8523", "SourceCallerIdNumber is required for phone numbers."));
            }
            if body.invitation_timeout_in_seconds.is_some_and(|seconds| seconds > 180) {
                return Err(INVALID);
            }
            state()?;
            let participant = identifier(raw.as_str());
            let member = json!({ "identifier": participant, "isMuted": false, "isOnHold": false });
            let answer = json!({ "participant": member, "operationContext": body.operation_context,
                "invitationId": uuid() });
            let rate = rate_of(call.streaming.as_ref());
            let (kind, code, subcode) = match world.behaviours.get(raw.as_str()) {
                Some(Behaviour::Answers(voice) | Behaviour::Rings(voice)) => {
                    lock(&call.talkers).push(Talker::new(raw.as_str(), voice.clone(), rate));
                    ("AddParticipantSucceeded", 200, 0)
                }
                Some(Behaviour::Fails(code, subcode)) => ("AddParticipantFailed", *code, *subcode),
                None => ("AddParticipantFailed", 480, 10_037),
            };
            let more = json!({ "participant": participant, "operationContext": body.operation_context });
            Ok(Yes { status: 202, body: answer, then: Then::Tell(id, Some((kind, code, subcode, more))) })
        }
        ("POST", "/participants:cancelAddParticipant") => {
            let body: CancelAdd = parsed(body)?;
            let more = json!({ "invitationId": body.invitation_id });
            let event = ("CancelAddParticipantSucceeded", 487, 5234, more.clone());
            Ok(Yes { status: 202, body: more, then: Then::Tell(id, Some(event)) })
        }
        ("POST", "/participants:remove") => {
            let body: RemoveParticipant = parsed(body)?;
            let who = member(call, &body.participant_to_remove)?;
            state()?;
            lock(&call.talkers).retain(|talker| talker.raw_id() != who);
            let more = json!({ "participant": identifier(&who) });
            let event = ("RemoveParticipantSucceeded", 200, 0, more);
            let body = json!({ "operationContext": body.operation_context });
            Ok(Yes { status: 202, body, then: Then::Tell(id, Some(event)) })
        }
        ("POST", "/participants:moveHere") => {
            let body: MoveParticipants = parsed(body)?;
            let moved = body.target_participants.iter().filter_map(Identifier::raw).collect::<Vec<_>>();
            let body = json!({ "participants": [], "fromCall": body.from_call });
            let from = body["fromCall"].as_str().unwrap_or_default().to_owned();
            let taken: Vec<Talker> = match world.calls.get_mut(&from) {
                Some(from) => {
                    let mut talkers = lock(&from.talkers);
                    let here = |talker: &Talker| moved.iter().any(|id| id.as_str() == talker.raw_id());
                    let taken = talkers.iter().filter(|talker| here(talker)).cloned().collect();
                    talkers.retain(|talker| !here(talker));
                    taken
                }
                None => return Err(GONE),
            };
            if let Some(call) = world.calls.get_mut(&id) {
                lock(&call.talkers).extend(taken);
            }
            let event = ("MoveParticipantSucceeded", 200, 0, json!({ "fromCall": from }));
            Ok(Yes { status: 202, body, then: Then::Tell(id, Some(event)) })
        }
        ("POST", ":transferToParticipant") => {
            let body: TransferCall = parsed(body)?;
            let to = body.target_participant.raw().ok_or(INVALID)?;
            state()?;
            if lock(&call.talkers).len() > 1 && body.transferee.is_none() {
                return Err(No(400, "8523", "A transferee is required in a group call."));
            }
            let more = json!({ "transferTarget": identifier(to.as_str()), "operationContext": body.operation_context });
            let body = json!({ "operationContext": body.operation_context });
            Ok(Yes { status: 202, body, then: Then::Tell(id, Some(("CallTransferAccepted", 200, 0, more))) })
        }
        ("POST", ":play") => {
            let body: Play = parsed(body)?;
            if body.play_sources.is_empty() {
                return Err(INVALID);
            }
            state()?;
            let more = json!({ "operationContext": body.operation_context });
            Ok(Yes {
                status: 202,
                body: Value::Null,
                then: Then::Tell(id, Some(("PlayCompleted", 200, 0, more))),
            })
        }
        ("POST", ":recognize") => {
            let body: Recognize = parsed(body)?;
            let target = body.recognize_options.get("targetParticipant").cloned().ok_or(INVALID)?;
            let target: Identifier = serde_json::from_value(target).map_err(|_| INVALID)?;
            member(call, &target)?;
            state()?;
            let more = json!({ "operationContext": body.operation_context });
            Ok(Yes {
                status: 202,
                body: Value::Null,
                then: Then::Tell(id, Some(("RecognizeFailed", 400, 8510, more))),
            })
        }
        ("POST", ":cancelAllMediaOperations") => {
            state()?;
            Ok(Yes {
                status: 202,
                body: Value::Null,
                then: Then::Tell(id, Some(("PlayCanceled", 400, 8508, json!({})))),
            })
        }
        ("POST", ":sendDtmfTones") => {
            let body: SendDtmf = parsed(body)?;
            let who = member(call, &body.target_participant)?;
            let is_phone = RawId::new(&who).is_some_and(|id| id.kind() == Kind::Phone);
            let known = |tone: &String| crate::acs::wire::digit(tone).is_some();
            if !is_phone
                || body.tones.is_empty()
                || body.tones.len() > TONES_MAX
                || !body.tones.iter().all(known)
            {
                return Err(INVALID);
            }
            state()?;
            if call.keyed.contains(&who) {
                return Err(No(400, "8500", "Another media operation is active."));
            }
            call.keyed.push(who.clone());
            let tones = u32::try_from(body.tones.len()).unwrap_or(u32::MAX);
            let body = json!({ "operationContext": body.operation_context });
            Ok(Yes { status: 202, body, then: Then::Key(id, who, tones) })
        }
        ("POST", ":startContinuousDtmfRecognition" | ":stopContinuousDtmfRecognition") => {
            let body: ForParticipant = parsed(body)?;
            let who = member(call, &body.target_participant)?;
            state()?;
            call.watched.retain(|watched| *watched != who);
            if tail == ":startContinuousDtmfRecognition" {
                call.watched.push(who);
            }
            done(200, Value::Null)
        }
        ("POST", ":startMediaStreaming" | ":stopMediaStreaming") => {
            if call.streaming.is_none() {
                return Err(No(405, "8522", "Media streaming was not configured."));
            }
            state()?;
            let starts = tail == ":startMediaStreaming";
            Ok(Yes { status: 202, body: Value::Null, then: Then::Stream(id, starts) })
        }
        _ => Err(No(404, "NotFound", "No such operation.")),
    }
}

async fn happen(inner: &Arc<Inner>, then: Then) {
    match then {
        Then::Nothing => {}
        Then::Connect(id) => inner.connected(&id).await,
        Then::Fail(id, code, subcode) => {
            inner.emit(&id, "CreateCallFailed", Some((code, subcode)), json!({})).await;
            inner.world().calls.remove(&id);
        }
        Then::End(id) => inner.end(&id, 200, 7000).await,
        Then::Tell(id, event) => {
            if let Some((kind, code, subcode, more)) = event {
                inner.emit(&id, kind, Some((code, subcode)), more).await;
                if kind == "CallTransferAccepted" {
                    return inner.end(&id, 200, 7000).await;
                }
            }
            inner.tell_participants(&id).await;
        }
        Then::Key(id, who, tones) => {
            // While they play, further ones are refused.
            tokio::time::sleep(TONE * tones).await;
            if let Some(call) = inner.world().calls.get_mut(&id) {
                call.keyed.retain(|keyed| *keyed != who);
            }
            inner.emit(&id, "SendDtmfTonesCompleted", Some((200, 0)), json!({})).await;
        }
        Then::Stream(id, true) => inner.start_stream(&id),
        Then::Stream(id, false) => {
            let stream = inner.world().calls.get_mut(&id).and_then(|call| call.stream.take());
            if let Some(stream) = stream {
                let _gone = stream.send(super::Control::Stop).await;
            }
            inner.emit(&id, "MediaStreamingStopped", Some((200, 0)), json!({})).await;
        }
    }
}

fn member(call: &Call, who: &Identifier) -> Result<String, No> {
    let raw = who.raw().ok_or(INVALID)?;
    let here = lock(&call.talkers).iter().any(|talker| talker.raw_id() == raw.as_str());
    if here { Ok(raw.as_str().to_owned()) } else { Err(No(404, "8522", "Participant not found.")) }
}

fn properties(id: &str, call: &Call) -> Value {
    let streaming = call.streaming.as_ref().map(|_| {
        let state = if call.stream.is_some() { "active" } else { "inactive" };
        json!({ "id": id, "state": state, "subscribedContentTypes": ["audio"] })
    });
    json!({
        "callConnectionId": id,
        "serverCallId": call.server_call,
        "correlationId": call.correlation,
        "callConnectionState": call.state,
        "callbackUri": call.callback,
        "source": identifier(&call.source),
        "targets": call.targets.iter().map(|raw| identifier(raw)).collect::<Vec<_>>(),
        "mediaStreamingSubscription": streaming,
    })
}

pub(super) fn participants(call: &Call) -> Vec<Value> {
    let talkers = lock(&call.talkers);
    let one = |talker: &Talker| {
        json!({ "identifier": identifier(talker.raw_id()),
            "isMuted": call.muted.iter().any(|raw| raw == talker.raw_id()),
            "isOnHold": call.held.iter().any(|raw| raw == talker.raw_id()) })
    };
    talkers.iter().map(one).collect()
}

pub(super) fn identifier(raw: &str) -> Value {
    match RawId::new(raw) {
        Some(id) => serde_json::to_value(Identifier::of(&id)).unwrap_or_default(),
        None => json!({ "kind": "unknown", "rawId": raw }),
    }
}

fn done(status: u16, body: Value) -> Answer {
    Ok(Yes { status, body, then: Then::Nothing })
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, No> {
    serde_json::from_slice(body).map_err(|_| INVALID)
}

pub(super) fn percent_decoded(text: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(octet)) => {
                octets.push(octet);
                rest = &after[2..];
            }
            _ => {
                octets.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}
