//! Following events: over SSE and WebSocket, live and from a number on, without gap or repetition.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use sidetone::api::Tokens;
use sidetone::observe::Journal as _;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::stage::{Stage, event, told, within};

/// A client of the SSE stream.
struct Sse {
    response: reqwest::Response,
    text: String,
    ready: VecDeque<Sent>,
}

/// One event as it stood in the stream.
#[derive(Debug)]
struct Sent {
    id: String,
    name: String,
    data: Value,
}

impl Sse {
    async fn open(stage: &Stage, token: &str, query: &str) -> Sse {
        let request = stage.request(Method::GET, &format!("/v1/events{query}"), token);
        let response = within(request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Sse { response, text: String::new(), ready: VecDeque::new() }
    }

    /// The next event; none when the gateway ended the stream.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(sent) = self.ready.pop_front() {
                return Some(sent);
            }
            let chunk = within(self.response.chunk()).await.ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let prefix = format!("{name}: ");
                    block.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default().to_owned()
                };
                if !block.starts_with(':') {
                    let data = serde_json::from_str(&field("data")).unwrap();
                    self.ready.push_back(Sent { id: field("id"), name: field("event"), data });
                }
                self.text = rest.to_owned();
            }
        }
    }

    async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        for _ in 0..count {
            numbers.push(self.next().await.unwrap().id.parse().unwrap());
        }
        numbers
    }
}

#[tokio::test]
async fn an_event_arrives_as_a_cloud_event() {
    let stage = Stage::new().await;
    let mut sse = Sse::open(&stage, "admin", "").await;
    let seq = stage.happens("call.answered", json!({"leg": "leg_0000000000000002"}));
    let sent = sse.next().await.unwrap();
    assert_eq!((sent.id, sent.name.as_str()), (seq.to_string(), "call.answered"));
    assert_eq!(
        sent.data,
        json!({
            "specversion": "1.0", "id": seq.to_string(), "seq": seq.to_string(), "source": "urn:sidetone:gateway",
            "type": "call.answered", "subject": "call_00000000000000000000000000000001", "tenant": "acme",
            "time": "2025-11-21T09:00:00.25Z", "datacontenttype": "application/json",
            "data": {"leg": "leg_0000000000000002"},
        })
    );
}

#[tokio::test]
async fn a_follower_resumes_after_the_last_number_it_saw() {
    let stage = Stage::new().await;
    let numbers: Vec<u64> = (0..10).map(|n| stage.happens("call.held", json!({"n": n}))).collect();
    let after = numbers[4];
    let mut sse = Sse::open(&stage, "admin", &format!("?after={after}")).await;
    assert_eq!(sse.numbers(5).await, numbers[5..]);
    let live = stage.happens("call.resumed", json!({}));
    assert_eq!(sse.numbers(1).await, [live]);

    let request =
        stage.request(Method::GET, "/v1/events", "admin").header("Last-Event-ID", after.to_string());
    let response = request.send().await.unwrap();
    let mut sse = Sse { response, text: String::new(), ready: VecDeque::new() };
    assert_eq!(sse.numbers(6).await, [&numbers[5..], &[live]].concat());

    let wrong = stage.request(Method::GET, "/v1/events", "admin").header("Last-Event-ID", "yesterday");
    assert_eq!(told(wrong).await.code(), "query_invalid");
}

/// Nothing is expected from a client, and no room is made for it.
#[tokio::test]
async fn a_frame_that_is_too_long_ends_the_socket_with_its_head() {
    use tokio::io::AsyncWriteExt as _;
    let stage = Stage::new().await;
    let mut ws = open_ws(&stage, "admin", "").await.unwrap();
    // RFC 6455 section 5.2: the head of a text of a megabyte, masked; nothing of it follows.
    let mut head = vec![0x81, 0x80 | 127];
    head.extend_from_slice(&(1_u64 << 20).to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    ws.get_mut().write_all(&head).await.unwrap();
    within(async { while let Some(Ok(Message::Ping(_))) = ws.next().await {} }).await;
}

#[tokio::test]
async fn a_follower_resumes_across_a_restart_of_the_gateway() {
    let stage = Stage::new().await;
    let before: Vec<u64> = (0..3).map(|_| stage.happens("call.held", json!({}))).collect();
    let stage = stage.restart().await;
    let after = stage.happens("call.resumed", json!({}));
    assert!(after > before[2]);
    let mut sse = Sse::open(&stage, "admin", "?after=0").await;
    assert_eq!(sse.numbers(4).await, [&before[..], &[after]].concat());
}

/// Followers that come, read a little, go and come back, while events are published and written at
/// full speed: each sees every number once and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn followers_that_come_and_go_see_every_event_once() {
    const EVENTS: usize = 8_000;
    let stage = Arc::new(Stage::new().await);
    let publishing = {
        let stage = stage.clone();
        tokio::spawn(async move {
            for n in 0..EVENTS {
                stage.happens("call.held", json!({"n": n}));
                if n % 50 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
    };
    let followers = (1..=4_usize).map(|follower| {
        let stage = stage.clone();
        tokio::spawn(async move {
            let mut seen: Vec<u64> = Vec::new();
            let mut visit = 0;
            while seen.len() < EVENTS {
                let mut sse =
                    Sse::open(&stage, "admin", &format!("?after={}", seen.last().copied().unwrap_or(0)))
                        .await;
                visit += 1;
                let stay = (follower * 37 * visit % 911 + 1).min(EVENTS - seen.len());
                seen.extend(sse.numbers(stay).await);
            }
            seen
        })
    });
    let followers: Vec<_> = followers.collect();
    publishing.await.unwrap();
    for follower in followers {
        let seen = follower.await.unwrap();
        assert_eq!(seen, (1..=EVENTS as u64).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn everybody_sees_what_concerns_them_and_nothing_else() {
    let stage = Stage::new().await;
    let ledger = &stage.ledger;
    ledger.event(event("call.answered", "acme", &["alice"], &["support"], json!({}))); // 1
    ledger.event(event("supervision.started", "acme", &[], &["support"], json!({}))); // 2
    ledger.event(event("call.answered", "zeta", &["alice"], &["support"], json!({}))); // 3
    ledger.event(event("trunk.down", "acme", &[], &[], json!({}))); // 4
    ledger.event(event("call.ended", "acme", &["alice", "bob"], &["support", "sales"], json!({}))); // 5
    for (token, expected) in [
        ("alice", vec![1, 5]),
        ("bob", vec![5]),
        ("sam", vec![1, 2, 5]),
        ("tom", vec![5]),
        ("admin", vec![1, 2, 4, 5]),
        ("software", vec![1, 2, 4, 5]),
        ("foreign-admin", vec![3]),
    ] {
        let mut sse = Sse::open(&stage, token, "?after=0").await;
        assert_eq!(sse.numbers(expected.len()).await, expected, "{token}");
    }
    let told = stage.get("/v1/events", "operator").await;
    assert_eq!((told.status.as_u16(), told.code()), (403, "role_forbids"));
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_taken_away() {
    let stage = Stage::new().await;
    let mut sse = Sse::open(&stage, "admin", "").await;
    stage.happens("call.held", json!({}));
    assert!(sse.next().await.is_some());
    stage.tokens.store(Arc::new(Tokens::default()));
    stage.happens("call.resumed", json!({}));
    assert!(sse.next().await.is_none(), "what happens after the token ended is not told");
}

#[tokio::test]
async fn one_token_cannot_take_every_stream() {
    let stage = Stage::new().await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(Sse::open(&stage, "sam", "").await);
    }
    let told_503 = stage.get("/v1/events", "sam").await;
    assert_eq!((told_503.status.as_u16(), told_503.code()), (503, "too_many_streams"));
    assert_eq!(open_ws(&stage, "sam", "").await.err(), Some(503));
    Sse::open(&stage, "admin", "").await;
    open.clear();
    // The gateway notices the closed connections by and by.
    within(async {
        while open_ws(&stage, "sam", "").await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn streams_end_when_the_gateway_stops() {
    let stage = Stage::new().await;
    let mut sse = Sse::open(&stage, "admin", "").await;
    let mut ws = open_ws(&stage, "admin", "").await.unwrap();
    within(stage.stop()).await;
    assert!(sse.next().await.is_none());
    let closed = within(async {
        loop {
            match ws.next().await {
                Some(Ok(Message::Close(Some(frame)))) => break u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!(closed.await, 1001);
}

type Ws = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn open_ws(stage: &Stage, token: &str, query: &str) -> Result<Ws, u16> {
    let url = format!("{}/v1/events/ws{query}", stage.base.replace("http", "ws"));
    let mut request = url.into_client_request().unwrap();
    if !token.is_empty() {
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    match within(tokio_tungstenite::connect_async(request)).await {
        Ok((ws, _)) => Ok(ws),
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

async fn next_ws(ws: &mut Ws) -> Value {
    within(async {
        loop {
            match ws.next().await.unwrap().unwrap() {
                Message::Text(text) => break serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_websocket_tells_the_same_and_resumes_the_same() {
    let stage = Stage::new().await;
    let first = stage.happens("call.held", json!({"n": 1}));
    let second = stage.happens("call.resumed", json!({"n": 2}));
    let mut ws = open_ws(&stage, "sam", &format!("?after={first}")).await.unwrap();
    let told = next_ws(&mut ws).await;
    assert_eq!((&told["seq"], &told["type"]), (&json!(second.to_string()), &json!("call.resumed")));
    ws.send(Message::text("hello?")).await.unwrap(); // nobody listens, nobody minds
    let third = stage.happens("call.ended", json!({}));
    assert_eq!(next_ws(&mut ws).await["seq"], third.to_string());
}

#[tokio::test]
async fn a_websocket_needs_a_token_with_a_tenant() {
    let stage = Stage::new().await;
    for (token, status) in [("", 401), ("nobody", 401), ("operator", 403)] {
        assert_eq!(open_ws(&stage, token, "").await.err(), Some(status), "{token}");
    }
}

/// What is told and what is listed are the same: an event without a line is one that nobody can ask for.
#[test]
fn every_event_in_the_code_is_listed_and_every_listed_event_is_in_the_code() {
    let mut files = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    let mut told = std::collections::BTreeSet::new();
    while let Some(at) = files.pop() {
        if at.is_dir() {
            let skipped = ["stories", "sim"].iter().any(|room| at.ends_with(room));
            files.extend(
                std::fs::read_dir(&at).unwrap().filter(|_| !skipped).map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let text = std::fs::read_to_string(&at).unwrap_or_default();
        // Names of two words in quotes, whatever they are the names of; what lies between two texts is none. The
        // console's modules are called after the same things.
        let quoted = text.split('"').filter(|text| !text.ends_with(".js"));
        told.extend(quoted.filter(|text| is_a_name(text)).map(str::to_owned));
    }
    let listed: std::collections::BTreeSet<&str> = sbc_config::EVENTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed.len(), sbc_config::EVENTS.len(), "one is listed twice");
    let untold: Vec<_> = listed.iter().filter(|name| !told.contains(**name)).collect();
    assert!(untold.is_empty(), "listed and not told: {untold:?}");
    let families: Vec<_> = listed.iter().filter_map(|name| Some(name.split_once('.')?.0)).collect();
    let of_a_family =
        |name: &&String| name.split_once('.').is_some_and(|(family, _)| families.contains(&family));
    let unlisted: Vec<_> =
        told.iter().filter(of_a_family).filter(|name| !listed.contains(name.as_str())).collect();
    assert!(unlisted.is_empty(), "told and not listed: {unlisted:?}");
    let description = include_str!("../../api/openapi.json");
    assert!(listed.iter().all(|name| description.contains(&format!("- `{name}`: "))));
}

fn is_a_name(text: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    text.split_once('.').is_some_and(|(family, name)| word(family) && word(name))
}
