//! Every request that Microsoft's SDKs were seen to send, octet for octet at the simulated service; every callback, delivery and
//! message of the media socket at ours. From our own copies, and from the folder beside the project where that is there.

use std::net::SocketAddr;

use serde_json::Value;
use sidetone::acs::callback::{self, Happened, Told};
use sidetone::acs::grid::{Gate, Labels, Ours, Verdict};
use sidetone::acs::identifier::RawId;
use sidetone::acs::stream::{self, Message};
use sidetone::sim::acs::{AcsSim, Behaviour};
use sidetone::sim::voice::Voice;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Story;
use crate::schema::shared;

/// A file of ours, and the same of the shared folder.
fn both(ours: &str, theirs: &str) -> Vec<Value> {
    let ours = serde_json::from_str(ours).expect("the file is JSON");
    [Some(ours), shared(&format!("data/acs/{theirs}"))].into_iter().flatten().collect()
}

const PHONE: &str = "4:+15550100";
const USER: &str = "8:acs:11111111-1111-1111-1111-111111111111_00000000-0000-0000-0000-000000000002";

/// What of the API neither side speaks: recording and transcription.
const UNSPOKEN: [&str; 4] =
    ["/calling/recordings", ":startTranscription", ":updateTranscription", ":stopTranscription"];

/// Sends a request as it was captured; the status and body of the answer.
async fn replayed(at: SocketAddr, request: &Value) -> Result<(u16, Value), Box<dyn std::error::Error>> {
    let text = |name: &str| request[name].as_str().unwrap_or_default();
    let mut octets = format!("{} {} HTTP/1.1\r\n", text("method"), text("target"));
    for header in request["headers"].as_array().ok_or("no headers")? {
        let (name, value) = (header[0].as_str().ok_or("no name")?, header[1].as_str().ok_or("no value")?);
        // All but one, so that the end of the answer is the end of the connection.
        let value = if name.eq_ignore_ascii_case("connection") { "close" } else { value };
        octets.push_str(&format!("{name}: {value}\r\n"));
    }
    octets.push_str(&format!("\r\n{}", text("raw_body")));
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(octets.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok((status, serde_json::from_str(body).unwrap_or_default()))
}

/// What the request is about is there: its call, who is in it, who rings, and who is to be called.
fn set_the_scene(acs: &AcsSim, request: &Value) {
    let target = request["target"].as_str().unwrap_or_default();
    let body: Value =
        serde_json::from_str(request["raw_body"].as_str().unwrap_or_default()).unwrap_or_default();
    if let Some(context) = body["incomingCallContext"].as_str() {
        acs.rings(context, "4:+15550001", PHONE);
    }
    // A transfer without a transferee is one of a call with one party.
    let alone = target.contains(":transferToParticipant") && body["transferee"].is_null();
    let who: &[&str] = if alone { &[PHONE] } else { &[PHONE, USER] };
    let path = target.split('?').next().unwrap_or_default();
    let call = path
        .strip_prefix("/calling/callConnections/")
        .map(|rest| rest.split([':', '/']).next().unwrap_or_default());
    let calls = call.into_iter().chain(body["fromCall"].as_str());
    calls.filter(|call| *call != "FAIL404").for_each(|call| acs.has_call(call, who));
    for called in body["targets"].as_array().into_iter().flatten() {
        acs.behaves(called["rawId"].as_str().unwrap_or_default(), Behaviour::Answers(Voice::Silence));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_that_the_sdks_were_seen_to_send_is_understood() -> Story {
    let acs = AcsSim::start().await?;
    let at: SocketAddr = acs.endpoint().trim_start_matches("http://").parse()?;
    let python = include_str!("../wire/acs/python-sdk-1.6.0.requests.json");
    let js = include_str!("../wire/acs/js-sdk-1.6.0.requests.json");
    let mut understood = 0;
    for file in [
        both(python, "captures/python-sdk-1.6.0.requests.json"),
        both(js, "captures/js-sdk-1.6.0.requests.json"),
    ]
    .concat()
    {
        for request in file["requests"].as_array().ok_or("no requests")? {
            set_the_scene(&acs, request);
            let (status, answer) = replayed(at, request).await?;
            let (method, target) =
                (request["method"].as_str(), request["target"].as_str().unwrap_or_default());
            let what = format!("{method:?} {target}: {status} {answer}");
            if UNSPOKEN.iter().any(|tail| target.contains(tail)) {
                assert_eq!((status, answer["error"]["code"].as_str()), (404, Some("NotFound")), "{what}");
            } else if target.contains("FAIL404") {
                assert_eq!((status, answer["error"]["code"].as_str()), (404, Some("8522")), "{what}");
            } else {
                assert!(status < 300, "{what}");
                understood += 1;
            }
        }
    }
    assert!(understood >= 46, "{understood}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_form_of_the_endpoint_fares_as_it_did_with_the_sdk() -> Story {
    let Some(file) = shared("data/acs/captures/python-sdk-1.6.0.endpoint-forms.json") else { return Ok(()) };
    let acs = AcsSim::start().await?;
    let at: SocketAddr = acs.endpoint().trim_start_matches("http://").parse()?;
    for request in file["requests"].as_array().ok_or("no requests")? {
        set_the_scene(&acs, request);
        let form = request["sdk_call"].as_str().ok_or("no name")?;
        let (status, answer) = replayed(at, request).await?;
        let right = request["hmac_check"]["signature_ok"] == true;
        let wanted = if right { 200 } else { 401 };
        assert_eq!(status, wanted, "{form}: {answer}");
    }
    Ok(())
}

#[test]
fn every_callback_is_read_whole() {
    let ours = include_str!("../wire/acs/callback-events.json");
    for file in both(ours, "events/callback-events.json") {
        let bodies = file["bodies"].as_object().expect("groups").values();
        let mut read = 0;
        for (name, body) in bodies.flat_map(|group| group.as_object().expect("bodies")) {
            let told = callback::read(body.to_string().as_bytes()).expect("a list of events");
            let Told { events, unreadable: 0 } = &told else { panic!("{name}: {told:?}") };
            let [event] = &events[..] else { panic!("{name}: {told:?}") };
            let data = &body[0]["data"];
            assert!(!matches!(event.happened, Happened::Unknown(_)), "{name}");
            assert_eq!(event.connection, data["callConnectionId"].as_str().expect("a connection"), "{name}");
            assert_eq!(event.context.as_deref(), data["operationContext"].as_str(), "{name}");
            assert_eq!(event.result.code, data["resultInformation"]["code"].as_i64().unwrap_or(0), "{name}");
            assert_eq!(
                event.result.sub_code,
                data["resultInformation"]["subCode"].as_i64().unwrap_or(0),
                "{name}"
            );
            read += 1;
        }
        assert!(read >= 23, "{read}");
    }
}

struct Everybody;

impl Ours for Everybody {
    fn is_routed(&self, _to: &RawId) -> bool {
        true
    }

    fn is_own(&self, _from: &RawId, _correlation: &str) -> bool {
        false
    }
}

#[test]
fn every_delivery_and_every_message_of_the_socket_is_read() {
    let now = "2026-08-05T10:15:32Z".parse().expect("a time");
    for file in both(include_str!("../wire/acs/sample-deliveries.json"), "eventgrid/sample-deliveries.json") {
        let mut calls = 0;
        for (name, sample) in file.as_object().expect("samples") {
            if !name.starts_with("IncomingCall") {
                continue;
            }
            let none: [&str; 0] = [];
            let body = sample["body"].to_string();
            let verdict = Gate::default().deliver(now, Labels::default(), body.as_bytes(), &none, &Everybody);
            assert!(matches!(&verdict, Verdict::Calls(calls) if calls.len() == 1), "{name}: {verdict:?}");
            calls += 1;
        }
        assert!(calls >= 5, "{calls}");
    }
    for file in both(include_str!("../wire/acs/media-ws-messages.json"), "media-ws-messages.json") {
        for message in file.as_array().expect("messages") {
            let text = message["msg"].to_string();
            assert_ne!(stream::read(&text), Message::Odd, "{text:.80}");
        }
    }
}
