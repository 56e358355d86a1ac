//! What we ask, what the simulated service answers and tells, and what Microsoft's SDKs send, held against the published
//! interface: a check of both sides that neither of them wrote.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sidetone::acs::callback::{self, Happened};
use sidetone::acs::identifier::RawId;
use sidetone::acs::operation::Operation;
use sidetone::acs::rest::{Client, Credential};
use sidetone::acs::sign::{AccessKey, Signed, Unsigned, is_signed};
use sidetone::acs::wire::{
    AddParticipant, AnswerCall, CallConnection, CancelAdd, ConnectCall, CreateCall, ForParticipant, Hidden,
    Identifier, MoveParticipants, MuteParticipants, Play, Recognize, RedirectCall, RejectCall,
    RemoveParticipant, SendDtmf, Streaming, TransferCall,
};
use sidetone::sim::acs::{ACCESS_KEY, AcsSim, Behaviour, Faults};
use sidetone::sim::stage::{Setting, TokenOf, at};
use sidetone::sim::voice::Voice;

use crate::Story;
use crate::schema::Published;
use crate::support::{CUSTOMER, House};

const PHONE: &str = "4:+15550123";
const AGENT: &str = "8:acs:r_agent";

/// Everything that went over the simulated service's wire is as published.
fn is_as_published(published: &Published, acs: &AcsSim) -> BTreeSet<String> {
    let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
    for exchange in acs.exchanges() {
        let (method, path) = (exchange.method.as_str(), exchange.path.as_str());
        if exchange.status < 400 {
            faults.extend(published.request_faults(method, path, &exchange.request));
            seen.extend(published.template(path).map(|template| format!("{method} {template}")));
        }
        faults.extend(published.answer_faults(method, path, exchange.status, &exchange.answer));
    }
    for event in acs.told() {
        let kind = event["type"].as_str().unwrap_or_default();
        let kind = kind.strip_prefix("Microsoft.Communication.").unwrap_or(kind);
        let mut data = event["data"].clone();
        // Seen in recordings of the service, and not described.
        for undescribed in ["version", "publicEventType"] {
            data.as_object_mut().map(|data| data.remove(undescribed));
        }
        faults.extend(published.event_faults(kind, &data));
        for member in ["id", "source", "type", "time", "specversion"] {
            if !event[member].is_string() {
                faults.push(format!("{kind}: the envelope has no {member}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    seen
}

fn id(raw: &str) -> Identifier {
    Identifier::of(&RawId::new(raw).unwrap_or_else(|| panic!("{raw} is no raw id")))
}

#[tokio::test]
async fn every_operation_is_asked_answered_and_told_as_published() -> Story {
    let Some(published) = Published::read() else { return Ok(()) };
    let acs = AcsSim::start().await?;
    for raw in [PHONE, AGENT] {
        acs.behaves(raw, Behaviour::Answers(Voice::Silence));
    }
    acs.behaves("4:+15550124", Behaviour::Fails(486, 560_486));
    let context = || acs.call(CUSTOMER, "4:+15550100", Voice::Silence, "/nowhere", true);
    let key = AccessKey::from_base64(ACCESS_KEY).ok_or("no key")?;
    let client = Client::new(reqwest::Client::new(), &acs.endpoint(), "2026-03-12", Credential::Key(key))?;
    let (callback_uri, operation_context) = (Hidden::from("https://gateway.test/c"), Some("one".to_owned()));
    let streaming: Value = json!({ "transportType": "websocket", "transportUrl": "wss://gateway.test/m",
        "contentType": "audio", "audioChannelType": "unmixed", "startMediaStreaming": false,
        "enableBidirectional": true, "audioFormat": "pcm24KMono", "enableDtmfTones": true });
    let media_streaming_options = serde_json::from_value(streaming)?;
    let answer = AnswerCall {
        incoming_call_context: context().into(),
        callback_uri,
        operation_context,
        media_streaming_options,
    };
    let up = async |asked: Operation| -> Result<String, Box<dyn std::error::Error>> {
        let connection = client.connection(&asked).await?.call_connection_id;
        loop {
            let look = Operation::Get { connection: connection.clone() };
            let CallConnection { call_connection_state, .. } = client.connection(&look).await?;
            if call_connection_state == "connected" {
                return Ok(connection);
            }
        }
    };
    let callback_uri = answer.callback_uri.clone();
    let connection = up(Operation::Answer(answer)).await?;
    let number = json!({ "value": "+15550100" });
    let create = |raw: &str| -> Result<Operation, serde_json::Error> {
        let body = json!({ "targets": [id(raw)], "callbackUri": callback_uri, "sourceCallerIdNumber": number,
            "sourceDisplayName": "Support", "operationContext": "two" });
        Ok(Operation::Create(serde_json::from_value::<CreateCall>(body)?))
    };
    let other = up(create(PHONE)?).await?;
    client.ask(&create("4:+15550124")?).await?;
    let locator = json!({ "kind": "serverCallLocator", "serverCallId": "c2lt" });
    let connect =
        ConnectCall { call_locator: locator, callback_uri: callback_uri.clone(), ..ConnectCall::default() };
    client.ask(&Operation::Connect(connect)).await?;
    let reject =
        RejectCall { incoming_call_context: context().into(), call_reject_reason: Some("busy".into()) };
    client.ask(&Operation::Reject(reject)).await?;
    let redirect = RedirectCall { incoming_call_context: context().into(), target: id(AGENT) };
    client.ask(&Operation::Redirect(redirect)).await?;

    let c = || connection.clone();
    let for_customer = || ForParticipant { target_participant: id(CUSTOMER), ..ForParticipant::default() };
    let add: AddParticipant = serde_json::from_value(json!({ "participantToAdd": id(AGENT),
        "sourceDisplayName": "Support", "invitationTimeoutInSeconds": 30, "operationContext": "add",
        "customCallingContext": { "sipHeaders": { "X-MS-Custom-A": "1" } } }))?;
    let from_call = other.clone();
    let tones = vec!["one".into(), "pound".into()];
    let file = json!({ "kind": "file", "file": { "uri": "https://gateway.test/a.wav" } });
    let recognize: Recognize =
        serde_json::from_value(json!({ "recognizeInputType": "dtmf", "playPrompt": file,
        "recognizeOptions": { "targetParticipant": id(CUSTOMER), "interruptPrompt": true,
            "initialSilenceTimeoutInSeconds": 5, "dtmfOptions": { "maxTonesToCollect": 4 } } }))?;
    let play: Play = serde_json::from_value(json!({ "playSources": [file], "playTo": [id(CUSTOMER)],
        "playOptions": { "loop": false } }))?;
    let transfer: TransferCall = serde_json::from_value(json!({ "targetParticipant": id(PHONE),
        "transferee": id(CUSTOMER), "sourceCallerIdNumber": number }))?;
    let send = SendDtmf { tones, target_participant: id(CUSTOMER), operation_context: None };
    let moves =
        MoveParticipants { target_participants: vec![id(PHONE)], from_call, ..MoveParticipants::default() };
    let mute = MuteParticipants { target_participants: vec![id(AGENT)], operation_context: None };
    let remove = RemoveParticipant { participant_to_remove: id(AGENT), operation_context: None };
    let cancel = CancelAdd { invitation_id: "invitation".into(), operation_context: None };
    for operation in [
        Operation::Add { connection: c(), body: add },
        Operation::CancelAdd { connection: c(), body: cancel },
        Operation::ListParticipants { connection: c() },
        Operation::GetParticipant { connection: c(), who: RawId::new(CUSTOMER).ok_or("no id")? },
        Operation::Mute { connection: c(), body: mute },
        Operation::MoveHere { connection: c(), body: moves },
        Operation::Hold { connection: c(), body: for_customer() },
        Operation::Unhold { connection: c(), body: for_customer() },
        Operation::Play { connection: c(), body: play },
        Operation::Recognize { connection: c(), body: recognize },
        Operation::CancelMedia { connection: c() },
        Operation::SendDtmf { connection: c(), body: send },
        Operation::StartDtmf { connection: c(), body: for_customer() },
        Operation::StopDtmf { connection: c(), body: for_customer() },
        Operation::StartStreaming { connection: c(), body: Streaming::default() },
        Operation::StopStreaming { connection: c(), body: Streaming::default() },
        Operation::Remove { connection: c(), body: remove },
        Operation::Transfer { connection: c(), body: transfer },
        Operation::HangUp { connection: other.clone() },
    ] {
        client.ask(&operation).await.map_err(|error| format!("{}: {}", operation.name(), error.detail()))?;
    }
    let third = up(create(AGENT)?).await?;
    client.ask(&Operation::Terminate { connection: third.clone() }).await?;
    assert!(client.ask(&Operation::Get { connection: "nobody".into() }).await.is_err());
    let over = |entry: &sidetone::sim::acs::Entry| matches!(entry, sidetone::sim::acs::Entry::Event(kind, _) if kind == "CallDisconnected");
    acs.until("three ends", |all| all.iter().filter(|entry| over(entry)).count() >= 3).await?;
    let seen = is_as_published(&published, &acs);
    assert_eq!(seen.len(), 26, "every operation: {seen:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_s_own_calls_are_as_published() -> Story {
    let Some(published) = Published::read() else { return Ok(()) };
    let more = "dtmf = \"subscribe\"\n[[person]]\nid = \"erin\"\ntenant = \"demo\"\nrole = \"agent\"\nteams = [\"support\"]\n\
         extension = \"109\"\nacs = { resource = \"contoso\", raw_id = \"8:acs:r_agent\" }\n\
         [[route]]\nid = \"erin\"\ntenant = \"demo\"\nnumber = \"+15550109\"\ntargets = [\"erin\"]\nring_s = 60\n\
         [[route]]\nid = \"out\"\ntenant = \"demo\"\nnumber = \"+15550123\"\ntargets = [\"acs:contoso\"]\nring_s = 60\n";
    let house = House::set(Setting { acs_more: more.to_owned(), ..Setting::default() }).await?;
    let (stage, customer) = (&house.stage, &house.stage.customer);
    house.acs.behaves(AGENT, Behaviour::Answers(Voice::Silence));
    house.acs.behaves(PHONE, Behaviour::Answers(Voice::Silence));
    // A customer at ACS, whose stream fails once; one who is turned away; an agent and a telephone there.
    let (call, _) = house.customer_reaches_alice().await?;
    house.acs.faults(Faults { stream_token: Some(sidetone::sim::acs::Flaw::Audience), ..Faults::default() });
    house.acs.drops_stream(CUSTOMER, std::time::Duration::ZERO).await;
    house.acs.faults(Faults::default());
    house.acs.until_figures(CUSTOMER, "a stream", |figures| figures.dialled >= 1).await?;
    stage.api_of(TokenOf::Crm).hang_up(&call.id).await?;
    stage.until_no_call().await?;
    for number in ["+15550109", "+15550123"] {
        stage.customer_dials(number).await?;
        customer.phone.talking().await.map_err(at(customer))?;
        customer.phone.hang_up().await.map_err(at(customer))?;
        stage.until_no_call().await?;
    }
    let ended = |e: &sidetone::sim::acs::Entry| matches!(e, sidetone::sim::acs::Entry::Request(_, target, 204) if target.ends_with(":terminate"));
    house.acs.until("three ends", |all| all.iter().filter(|entry| ended(entry)).count() == 3).await?;
    let seen = is_as_published(&published, &house.acs);
    assert!(seen.len() >= 4, "{seen:#?}");
    house.stage.stop().await;
    Ok(())
}

#[test]
fn every_published_event_is_known_to_us() {
    let Some(published) = Published::read() else { return };
    let events = published.events();
    assert_eq!(events.len(), 38);
    for kind in events {
        let body = json!([{ "id": "x", "type": format!("Microsoft.Communication.{kind}"),
            "data": { "callConnectionId": "c", "tone": "five", "sequenceId": 1 } }]);
        let read = callback::read(body.to_string().as_bytes()).expect("a list of events").events;
        assert_eq!(read.len(), 1, "{kind}");
        assert!(!matches!(read[0].happened, Happened::Unknown(_)), "{kind}");
    }
}

/// A body that one of the SDKs sent, read and written again by us.
fn again(path: &str, body: &str) -> Option<Value> {
    fn both<T: serde::Serialize + serde::de::DeserializeOwned>(body: &str) -> Value {
        let read: T = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        serde_json::to_value(read).expect("our own shapes are JSON")
    }
    let verb = path.rsplit([':', '/']).next().unwrap_or_default();
    Some(match verb {
        "answer" => both::<AnswerCall>(body),
        "callConnections" => both::<CreateCall>(body),
        "connect" => both::<ConnectCall>(body),
        "reject" => both::<RejectCall>(body),
        "redirect" => both::<RedirectCall>(body),
        "add" => both::<AddParticipant>(body),
        "cancelAddParticipant" => both::<CancelAdd>(body),
        "remove" => both::<RemoveParticipant>(body),
        "mute" => both::<MuteParticipants>(body),
        "moveHere" => both::<MoveParticipants>(body),
        "transferToParticipant" => both::<TransferCall>(body),
        "hold" | "unhold" | "startContinuousDtmfRecognition" | "stopContinuousDtmfRecognition" => {
            both::<ForParticipant>(body)
        }
        "play" => both::<Play>(body),
        "recognize" => both::<Recognize>(body),
        "sendDtmfTones" => both::<SendDtmf>(body),
        "startMediaStreaming" | "stopMediaStreaming" => both::<Streaming>(body),
        _ => return None, // recording and transcription, which we do not speak
    })
}

#[test]
fn what_microsofts_sdks_send_is_signed_read_and_lost_in_nothing() {
    let published = Published::read();
    for (file, least) in [
        (include_str!("../wire/acs/js-sdk-1.6.0.requests.json"), 3),
        (include_str!("../wire/acs/python-sdk-1.6.0.requests.json"), 30),
    ] {
        let file: Value = serde_json::from_str(file).expect("the captures are JSON");
        let key = AccessKey::from_base64(file["access_key_base64"].as_str().expect("a key")).expect("base64");
        let mut read = 0;
        for request in file["requests"].as_array().expect("requests") {
            let text = |name: &str| request[name].as_str().unwrap_or_default();
            let headers = request["headers"].as_array().expect("headers");
            let header = |wanted: &str| {
                let found = headers
                    .iter()
                    .find(|pair| pair[0].as_str().is_some_and(|n| n.eq_ignore_ascii_case(wanted)));
                found.and_then(|pair| pair[1].as_str()).unwrap_or_default()
            };
            let (method, target, body) = (text("method"), text("target"), text("raw_body"));
            let unsigned = Unsigned {
                method,
                target,
                host: header("host"),
                date: header("x-ms-date"),
                body: body.as_bytes(),
            };
            let signed = Signed {
                content_sha256: header("x-ms-content-sha256").to_owned(),
                authorization: header("authorization").to_owned(),
            };
            assert!(is_signed(&key, unsigned, &signed), "{target}");
            let path = target.split('?').next().unwrap_or_default();
            let sent: Value =
                if body.is_empty() { Value::Null } else { serde_json::from_str(body).expect("JSON") };
            if let Some(published) = &published {
                assert_eq!(published.request_faults(method, path, &sent), Vec::<String>::new(), "{target}");
            }
            if method != "POST" || body.is_empty() {
                continue;
            }
            if let Some(again) = again(path, body) {
                read += 1;
                assert_eq!(lost(&sent, &again), Vec::<String>::new(), "{target}");
            }
        }
        assert!(read >= least, "{read} bodies");
    }
}

/// Members of the first that the second has not.
fn lost(sent: &Value, again: &Value) -> Vec<String> {
    let Some(members) = sent.as_object() else { return Vec::new() };
    let one = |(name, value): (&String, &Value)| match again.get(name) {
        Some(kept) => lost(value, kept).into_iter().map(|deeper| format!("{name}.{deeper}")).collect(),
        None if value.is_null() || value.as_array().is_some_and(Vec::is_empty) => Vec::new(),
        None => vec![name.clone()],
    };
    members.iter().flat_map(one).collect()
}

#[test]
fn every_result_code_has_the_cause_of_its_class() {
    use sidetone::acs::cause::cause_of;
    use sidetone::call::Cause;
    let Some(codes) = crate::schema::shared("data/acs/result-codes.json") else { return };
    let rows = codes["rows"].as_array().expect("rows");
    assert!(rows.len() >= 70);
    for row in rows {
        let subcode = row["subCode"].as_u64().and_then(|code| u32::try_from(code).ok()).expect("a subcode");
        // A code that is not published can be any.
        let codes = match row["code"].as_u64().and_then(|code| u16::try_from(code).ok()) {
            Some(code) => vec![code],
            None => vec![0, 400, 403, 500],
        };
        let class = row["cls"].as_str().expect("a class");
        let wanted: &[Cause] = match class {
            "ok" if codes != [200] => continue, // a completion listed with an error's code: events are judged by type
            "ok" | "ended" => &[Cause::Normal],
            "cancelled" => &[Cause::Cancelled],
            "no_answer" | "late" => &[Cause::NoAnswer],
            "declined" => &[Cause::Declined],
            "busy" => &[Cause::Busy],
            "unavailable" => &[Cause::Unreachable],
            "retryable" => &[Cause::Unreachable, Cause::Internal],
            "bad_target" | "gone" => &[Cause::NotFound],
            "forbidden" | "prerequisite" => &[Cause::Forbidden],
            // Our key or our clock; or what we left out, or a stream's address.
            "config" => &[Cause::Forbidden, Cause::Internal],
            "throttled" => &[Cause::Congestion],
            "bug" | "conflict" | "state" | "unsupported" | "no_input" => &[Cause::Internal, Cause::Forbidden],
            "media" => &[Cause::MediaTimeout, Cause::Internal],
            other => panic!("a class that nobody knows: {other}"),
        };
        for code in codes {
            let cause = cause_of(code, subcode);
            assert!(wanted.contains(&cause), "{code}/{subcode} ({class}) is {cause:?}");
        }
    }
}
