//! Every error is a problem document, and the OpenAPI document is true.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sidetone::api::ApiConfig;
use sidetone::switchboard::desk::Refusal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::stage::{AGENT, CALL, CONSULT, SUPERVISION, Stage, Told, body_for, told, within};

fn is_problem(told: &Told, status: u16, code: &str, path: &str) {
    assert_eq!((told.status.as_u16(), told.code()), (status, code), "{}", told.text);
    assert_eq!(told.headers["content-type"], "application/problem+json");
    assert_eq!(told.body["status"], status);
    assert_eq!(told.body["type"], format!("urn:sidetone:problem:{code}"));
    assert_eq!(told.body["instance"], path);
    assert!(
        !told.body["title"].as_str().unwrap().is_empty() && !told.body["detail"].as_str().unwrap().is_empty()
    );
}

#[tokio::test]
async fn whatever_goes_wrong_is_said_in_one_form() {
    let stage = Stage::new().await;
    let call = format!("/v1/calls/{CALL}");
    let supervisions = format!("{call}/supervisions");
    let dtmf = format!("{call}/legs/{AGENT}/dtmf");
    is_problem(&stage.get("/v1/nothing", "admin").await, 404, "no_such_path", "/v1/nothing");
    is_problem(&stage.get("/nothing", "").await, 404, "no_such_path", "/nothing");
    is_problem(&stage.get("/v1/calls/7", "admin").await, 404, "not_found", "/v1/calls/7");
    is_problem(&stage.get("/v1/calls", "").await, 401, "unauthenticated", "/v1/calls");
    is_problem(&stage.get("/v1/calls", "nobody").await, 401, "token_invalid", "/v1/calls");
    is_problem(&stage.get("/v1/cdr?limit=0", "admin").await, 400, "query_invalid", "/v1/cdr");
    is_problem(&stage.get("/v1/cdr?limits=5", "admin").await, 400, "query_invalid", "/v1/cdr");
    is_problem(&stage.get("/v1/cdr?cursor=x", "admin").await, 400, "query_invalid", "/v1/cdr");
    is_problem(&stage.get("/v1/events/ws", "admin").await, 426, "not_a_websocket", "/v1/events/ws");

    let told_405 = stage.send(Method::PUT, &call, "admin", Value::Null).await;
    is_problem(&told_405, 405, "method_not_allowed", &call);
    assert!(told_405.headers["allow"].contains("DELETE"));

    let unknown =
        stage.send(Method::POST, &supervisions, "sam", json!({"role": "barge", "subject": "x"})).await;
    is_problem(&unknown, 422, "body_invalid", &supervisions);
    assert!(unknown.body["detail"].as_str().unwrap().contains("unknown field `subject`"), "{}", unknown.text);
    for wrong in [
        json!({"role": "shout"}),
        json!({}),
        json!({"role": "barge", "subject_leg": "leg_1"}),
        json!({"role": "barge", "supervisor": "no one"}),
        json!({"role": "barge", "allowed_roles": []}),
    ] {
        is_problem(
            &stage.send(Method::POST, &supervisions, "sam", wrong).await,
            422,
            "body_invalid",
            &supervisions,
        );
    }
    for digits in ["", "12x", &"1".repeat(33)] {
        let told = stage.send(Method::POST, &dtmf, "alice", json!({"digits": digits})).await;
        is_problem(&told, 422, "digits_invalid", &dtmf);
    }

    let raw = |kind: &'static str, body: String| {
        told(stage.request(Method::POST, "/v1/calls", "software").header("Content-Type", kind).body(body))
    };
    is_problem(&raw("application/json", "{\"to\":".into()).await, 400, "body_malformed", "/v1/calls");
    is_problem(&raw("application/json", String::new()).await, 400, "body_malformed", "/v1/calls");
    is_problem(&raw("text/plain", "{}".into()).await, 415, "body_not_json", "/v1/calls");
    let array = "[\"alice\", \"+49301\", null]".to_owned();
    is_problem(&raw("application/json", array).await, 422, "body_invalid", "/v1/calls");
    is_problem(&raw("application/json", "{\"to\":".repeat(5_000)).await, 422, "body_invalid", "/v1/calls");
    is_problem(&raw("application/json", " ".repeat(70_000)).await, 413, "body_too_large", "/v1/calls");
    assert_eq!(stage.times_asked(), 0, "none of this reached the switchboard");
}

#[tokio::test]
async fn a_refusal_of_the_switchboard_keeps_its_code() {
    let stage = Stage::new().await;
    let path = format!("/v1/supervisions/{SUPERVISION}/takeover");
    for (refusal, status, code) in [
        (Refusal::NotFound("supervision"), 404, "not_found"),
        (
            Refusal::Conflict { code: "not_joined", detail: "the supervisor has not answered".into() },
            409,
            "not_joined",
        ),
        (
            Refusal::Invalid { code: "role_not_allowed", detail: "only monitor".into() },
            422,
            "role_not_allowed",
        ),
        (Refusal::Busy, 503, "busy"),
        (Refusal::Unavailable { code: "draining", detail: "no new calls".into() }, 503, "draining"),
    ] {
        *stage.board.refusal.lock().unwrap() = Some(refusal);
        let told = stage.send(Method::POST, &path, "sam", Value::Null).await;
        is_problem(&told, status, code, &path);
        assert_eq!(told.headers.contains_key("retry-after"), status == 503);
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut_off_at_the_limit() {
    let stage = Stage::new().await;
    let mut stream = tokio::net::TcpStream::connect(stage.base.trim_start_matches("http://")).await.unwrap();
    let head = "POST /v1/calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer software\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 8192, " ".repeat(8192));
    let answer = within(async {
        let (mut reading, mut writing) = stream.split();
        let endless = async {
            // Fails once the gateway has had enough.
            while writing.write_all(chunk.as_bytes()).await.is_ok() {}
            std::future::pending::<()>().await;
        };
        let mut answer = vec![0; 4096];
        tokio::select! {
            read = reading.read(&mut answer) => answer.truncate(read.unwrap()),
            () = endless => {}
        }
        answer
    });
    let answer = String::from_utf8(answer.await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");
}

#[tokio::test]
async fn a_switchboard_that_does_not_answer_costs_the_client_no_more_than_the_limit() {
    let config = ApiConfig { request_timeout: Duration::from_millis(50), ..ApiConfig::default() };
    let stage = Stage::with(config).await;
    *stage.board.held.lock().unwrap() = Some(Default::default());
    is_problem(&stage.get("/v1/calls", "admin").await, 503, "timeout", "/v1/calls");
}

#[tokio::test]
async fn beyond_the_limit_connections_wait_their_turn() {
    let stage = Stage::with(ApiConfig { connections_max: 1, ..ApiConfig::default() }).await;
    let address = stage.base.trim_start_matches("http://").to_owned();
    let mut first = tokio::net::TcpStream::connect(&address).await.unwrap();
    // Who has shown a token keeps the place; who has shown nothing would make room.
    asks_and_is_answered(&mut first).await;
    let mut second = tokio::net::TcpStream::connect(&address).await.unwrap();
    second.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    // What is asked after it is answered before it, again and again.
    for _ in 0..20 {
        asks_and_is_answered(&mut first).await;
    }
    let waits = second.try_read(&mut [0; 1]);
    assert!(waits.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "{waits:?}");
    drop(first);
    let mut answer = String::new();
    within(second.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Asks for the calls on this connection, and reads the answer whole.
async fn asks_and_is_answered(connection: &mut tokio::net::TcpStream) {
    let request = b"GET /v1/calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n";
    connection.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    loop {
        assert!(within(connection.read_buf(&mut answer)).await.unwrap() > 0, "it was closed: {answer:?}");
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 200"), "{text}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("its length");
        if body.len() >= length.parse::<usize>().unwrap() {
            return;
        }
    }
}

#[tokio::test]
async fn every_documented_operation_is_served() {
    let stage = Stage::new().await;
    let document = stage.get("/v1/openapi.json", "").await.body;
    stage.happens("call.answered", json!({}));
    let mut served = 0;
    for (template, item) in document["paths"].as_object().unwrap() {
        let id = match template {
            template if template.contains("/supervisions/{id}") => SUPERVISION.to_string(),
            template if template.contains("/consults/{id}") => CONSULT.to_string(),
            _ => CALL.to_string(),
        };
        let path = template.replace("{id}", &id).replace("{leg}", &AGENT.to_string());
        for (method, operation) in item.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let token = match operation["tags"][0].as_str().unwrap() {
                // They have stories of their own, in sessions.rs and in tests/rtc.
                "sessions" | "webrtc" => continue,
                "service" => "operator",
                _ if path == "/v1/audit" => "admin",
                _ => "software",
            };
            let documented = operation["responses"].as_object().unwrap();
            let body = if operation.get("requestBody").is_some() { body_for(&path) } else { Value::Null };
            let request = stage.request(method.clone(), &path, token);
            let request = if body.is_null() { request } else { request.json(&body) };
            // The head alone: one of them streams for ever.
            let response = request.send().await.unwrap();
            let status = response.status();
            assert!(documented.contains_key(status.as_str()), "{method} {path}: {status} is not documented");
            assert!(status.is_success() || path.ends_with("/ws"), "{method} {path}: {status}");
            if status.is_success() && status != 204 {
                let kind = response.headers()["content-type"]
                    .to_str()
                    .unwrap()
                    .split(';')
                    .next()
                    .unwrap()
                    .to_owned();
                assert!(
                    documented[status.as_str()]["content"].get(&kind).is_some(),
                    "{method} {path}: {kind}"
                );
            }
            served += 1;
        }
    }
    assert_eq!(served, 39);
}

#[tokio::test]
async fn the_examples_of_the_document_are_what_the_api_takes() {
    let stage = Stage::new().await;
    let document = stage.get("/v1/openapi.json", "").await.body;
    let schemas = &document["components"]["schemas"];
    for (schema, method, path) in [
        ("NewCall", Method::POST, "/v1/calls".to_owned()),
        ("NewSupervision", Method::POST, format!("/v1/calls/{CALL}/supervisions")),
        ("NewRole", Method::PATCH, format!("/v1/supervisions/{SUPERVISION}")),
        ("Digits", Method::POST, format!("/v1/calls/{CALL}/legs/{AGENT}/dtmf")),
    ] {
        let told = stage.send(method, &path, "software", schemas[schema]["example"].clone()).await;
        assert!(told.status.is_success(), "{schema}: {}", told.text);
    }
}
