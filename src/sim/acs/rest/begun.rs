//! Calls that begin: answered, placed, joined.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::super::{Behaviour, Call, Talker, World, lock};
use super::{Answer, GONE, INVALID, No, Then, Yes, properties};
use crate::acs::identifier::{Kind, RawId};
use crate::acs::rest::uuid;
use crate::acs::wire::{AnswerCall, ConnectCall, CreateCall, Identifier, MediaStreaming};

pub(super) fn answer(world: &mut World, body: AnswerCall) -> Answer {
    check_callback(world, body.callback_uri.expose())?;
    check_stream(body.media_streaming_options.as_ref())?;
    let ringing = world.ringing.remove(body.incoming_call_context.expose()).ok_or(GONE)?;
    if ringing.until < Timestamp::now() {
        return Err(GONE);
    }
    let rate = rate_of(body.media_streaming_options.as_ref());
    let talker = Talker::new(&ringing.from, ringing.voice, rate);
    let call =
        new_call(body.callback_uri.expose().to_owned(), body.operation_context, body.media_streaming_options);
    let call = Call {
        correlation: ringing.correlation,
        source: ringing.from,
        targets: vec![ringing.to],
        talkers: Arc::new(vec![talker].into()),
        ..call
    };
    let id = uuid();
    let said = properties(&id, &call);
    world.calls.insert(id.clone(), call);
    Ok(Yes { status: 200, body: said, then: Then::Connect(id) })
}

pub(super) fn create(world: &mut World, body: CreateCall) -> Answer {
    check_callback(world, body.callback_uri.expose())?;
    check_stream(body.media_streaming_options.as_ref())?;
    let targets: Vec<RawId> = body.targets.iter().filter_map(Identifier::raw).collect();
    if targets.is_empty() || targets.len() != body.targets.len() {
        return Err(INVALID);
    }
    // A call in the name of a Teams app shows that app's number.
    let shows_number = body.source_caller_id_number.is_some() || body.teams_app_source.is_some();
    if targets.iter().any(|id| id.kind() == Kind::Phone) && !shows_number {
        return Err(No(400, "8523", "SourceCallerIdNumber is required for phone numbers."));
    }
    let rate = rate_of(body.media_streaming_options.as_ref());
    let mut call =
        new_call(body.callback_uri.expose().to_owned(), body.operation_context, body.media_streaming_options);
    call.targets = targets.iter().map(|id| id.as_str().to_owned()).collect();
    call.source =
        body.source_caller_id_number.map(|number| format!("4:{}", number.value)).unwrap_or_default();
    let id = uuid();
    let (mut failed, mut rings) = (None, false);
    for target in &targets {
        match world.behaviours.get(target.as_str()) {
            Some(Behaviour::Answers(voice)) => {
                lock(&call.talkers).push(Talker::new(target.as_str(), voice.clone(), rate));
            }
            Some(Behaviour::Rings(voice)) => {
                lock(&call.talkers).push(Talker::new(target.as_str(), voice.clone(), rate));
                rings = true;
            }
            Some(Behaviour::Fails(code, subcode)) => failed = Some((*code, *subcode)),
            None => failed = Some((480, 10_037)),
        }
    }
    let then = match failed.filter(|_| lock(&call.talkers).is_empty()) {
        Some((code, subcode)) => Then::Fail(id.clone(), code, subcode),
        None if rings => Then::Nothing,
        None => Then::Connect(id.clone()),
    };
    let said = properties(&id, &call);
    world.calls.insert(id, call);
    Ok(Yes { status: 201, body: said, then })
}

pub(super) fn connect(world: &mut World, body: ConnectCall) -> Answer {
    check_callback(world, body.callback_uri.expose())?;
    check_stream(body.media_streaming_options.as_ref())?;
    let kind = body.call_locator.get("kind").and_then(Value::as_str).unwrap_or_default();
    if !["serverCallLocator", "groupCallLocator", "roomCallLocator"]
        .iter()
        .any(|k| k.eq_ignore_ascii_case(kind))
    {
        return Err(INVALID);
    }
    let id = uuid();
    let call =
        new_call(body.callback_uri.expose().to_owned(), body.operation_context, body.media_streaming_options);
    let said = properties(&id, &call);
    world.calls.insert(id.clone(), call);
    Ok(Yes { status: 200, body: said, then: Then::Connect(id) })
}

pub(in crate::sim::acs) fn new_call(
    callback: String,
    context: Option<String>,
    streaming: Option<MediaStreaming>,
) -> Call {
    Call {
        server_call: "c2ltLXNlcnZlci1jYWxs".to_owned(),
        correlation: uuid(),
        callback,
        context,
        state: "connecting",
        source: String::new(),
        targets: Vec::new(),
        sequence: 0,
        held: Vec::new(),
        muted: Vec::new(),
        watched: Vec::new(),
        presses: 0,
        keyed: Vec::new(),
        talkers: Arc::default(),
        streaming,
        stream: None,
        figures: watch::Sender::default(),
    }
}

fn check_callback(world: &World, uri: &str) -> Result<(), No> {
    let fit = uri.starts_with("https://") || world.faults.plain_http && uri.starts_with("http://");
    if fit { Ok(()) } else { Err(No(400, "8523", "The field CallbackUri is invalid")) }
}

fn check_stream(streaming: Option<&MediaStreaming>) -> Result<(), No> {
    let Some(streaming) = streaming else { return Ok(()) };
    let one_of = |said: &str, words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(said));
    let url = streaming.transport_url.as_ref().map_or("", |url| url.expose());
    let fit = one_of(&streaming.transport_type, &["websocket"])
        && one_of(&streaming.audio_channel_type, &["mixed", "unmixed"])
        && (url.starts_with("wss://") || url.starts_with("ws://"))
        && streaming.audio_format.as_deref().is_none_or(|said| one_of(said, &["pcm16KMono", "pcm24KMono"]));
    if fit { Ok(()) } else { Err(No(400, "8581", "The stream URL or its options are invalid.")) }
}

pub(in crate::sim::acs) fn rate_of(streaming: Option<&MediaStreaming>) -> u32 {
    let format = streaming.and_then(|streaming| streaming.audio_format.as_deref()).unwrap_or_default();
    if format.eq_ignore_ascii_case("pcm24KMono") { 24_000 } else { 16_000 }
}
