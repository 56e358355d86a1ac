//! A write sent twice happens once.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use sidetone::prereq::Route;
use sidetone::switchboard::desk::{Preview, Refusal, WayView};
use tokio::sync::Notify;

use crate::stage::{AGENT, CALL, SUPERVISION, Stage, Told, alter, told, within};

async fn keyed(stage: &Stage, token: &str, key: &str, path: &str, body: Value) -> Told {
    told(stage.request(Method::POST, path, token).header("Idempotency-Key", key).json(&body)).await
}

#[tokio::test]
async fn the_same_request_with_the_same_key_is_carried_out_once_and_answered_the_same() {
    let stage = Stage::new().await;
    let path = format!("/v1/calls/{CALL}/supervisions");
    let body = json!({"supervisor": "sam", "role": "whisper"});
    let first = keyed(&stage, "software", "k1", &path, body.clone()).await;
    let second = keyed(&stage, "software", "k1", &path, body.clone()).await;
    assert_eq!(stage.times_asked(), 1);
    assert_eq!((first.status, &first.body), (second.status, &second.body));
    assert_eq!(first.headers["location"], second.headers["location"]);
    assert_eq!(first.headers["content-type"], second.headers["content-type"]);
    assert!(!first.headers.contains_key("idempotent-replayed"));
    assert_eq!(second.headers["idempotent-replayed"], "true");

    // The key belongs to the token: another's is another key.
    keyed(&stage, "sam", "k1", &path, body).await;
    assert_eq!(stage.times_asked(), 2);
}

#[tokio::test]
async fn an_answer_outlives_a_restart() {
    let stage = Stage::new().await;
    let body = json!({"agent": "alice", "to": "+49301"});
    let first = keyed(&stage, "software", "k", "/v1/calls", body.clone()).await;
    let stage = stage.restart().await;
    let second = keyed(&stage, "software", "k", "/v1/calls", body).await;
    assert_eq!((stage.times_asked(), first.body), (0, second.body));
}

#[tokio::test]
async fn a_key_used_for_another_request_is_refused() {
    let stage = Stage::new().await;
    keyed(&stage, "software", "k", "/v1/calls", json!({"agent": "alice", "to": "+49301"})).await;
    let told = keyed(&stage, "software", "k", "/v1/calls", json!({"agent": "alice", "to": "+49302"})).await;
    assert_eq!((told.status.as_u16(), told.code()), (422, "idempotency_key_reused"));
    assert_eq!(stage.times_asked(), 1);
}

#[tokio::test]
async fn a_copy_that_arrives_while_the_first_is_under_way_is_told_to_wait() {
    let stage = Stage::new().await;
    let gate = Arc::new(Notify::new());
    *stage.board.held.lock().unwrap() = Some(gate.clone());
    let body = json!({"agent": "alice", "to": "+49301"});
    let first = keyed(&stage, "software", "k", "/v1/calls", body.clone());
    let second = async {
        within(stage.board.arrived.notified()).await;
        let told = keyed(&stage, "software", "k", "/v1/calls", body.clone()).await;
        gate.notify_one();
        told
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((second.status.as_u16(), second.code()), (409, "idempotency_in_flight"));
    assert_eq!(second.headers["retry-after"], "1");
    assert_eq!((first.status.as_u16(), stage.times_asked()), (201, 1));
}

/// A transfer that is waited for takes as long as telephones ring: far longer than any other request.
#[tokio::test]
async fn a_copy_of_a_transfer_that_rings_for_two_minutes_is_told_to_wait() {
    let stage = Stage::new().await;
    let gate = Arc::new(Notify::new());
    *stage.board.held.lock().unwrap() = Some(gate.clone());
    let path = format!("/v1/calls/{CALL}/transfers");
    let body = json!({"mode": "blind", "target": "bob", "wait": true});
    let first = keyed(&stage, "software", "k", &path, body.clone());
    let second = async {
        within(stage.board.arrived.notified()).await;
        alter(&stage.url, "UPDATE idempotency SET created = created - 120000000").await;
        let told = keyed(&stage, "software", "k", &path, body.clone()).await;
        gate.notify_one();
        told
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((second.status.as_u16(), second.code()), (409, "idempotency_in_flight"));
    assert_eq!((first.status.as_u16(), stage.times_asked()), (200, 1));
}

#[tokio::test]
async fn of_twenty_copies_at_once_one_is_carried_out() {
    let stage = Stage::new().await;
    let body = json!({"agent": "alice", "to": "+49301"});
    let copies = (0..20).map(|_| keyed(&stage, "software", "k", "/v1/calls", body.clone()));
    for told in futures_util::future::join_all(copies).await {
        assert!([201, 409].contains(&told.status.as_u16()), "{}", told.text);
    }
    assert_eq!(stage.times_asked(), 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_finds_the_answer_when_it_comes_back() {
    let stage = Stage::new().await;
    let gate = Arc::new(Notify::new());
    *stage.board.held.lock().unwrap() = Some(gate.clone());
    let body = json!({"agent": "alice", "to": "+49301"});
    tokio::select! {
        _ = keyed(&stage, "software", "k", "/v1/calls", body.clone()) => panic!("nobody answered yet"),
        () = within(stage.board.arrived.notified()) => {}
    }
    gate.notify_one();
    let again = within(async {
        loop {
            let told = keyed(&stage, "software", "k", "/v1/calls", body.clone()).await;
            if told.status != 409 {
                break told;
            }
            tokio::task::yield_now().await;
        }
    });
    let again = again.await;
    assert_eq!((again.status.as_u16(), stage.times_asked()), (201, 1));
    assert_eq!(again.headers["idempotent-replayed"], "true");
}

#[tokio::test]
async fn a_refusal_is_remembered_but_not_now_is_not() {
    let stage = Stage::new().await;
    let hold = format!("/v1/calls/{CALL}/legs/{AGENT}/hold");
    let conflict = Refusal::Conflict { code: "leg_not_answered", detail: "it rings".into() };
    *stage.board.refusal.lock().unwrap() = Some(conflict);
    let first = keyed(&stage, "alice", "k", &hold, Value::Null).await;
    *stage.board.refusal.lock().unwrap() = None;
    let second = keyed(&stage, "alice", "k", &hold, Value::Null).await;
    assert_eq!((first.status.as_u16(), first.code()), (409, "leg_not_answered"));
    assert_eq!((first.status, first.body), (second.status, second.body));
    assert_eq!(second.headers["content-type"], "application/problem+json");

    *stage.board.refusal.lock().unwrap() = Some(Refusal::Busy);
    assert_eq!(keyed(&stage, "alice", "k2", &hold, Value::Null).await.status, 503);
    *stage.board.refusal.lock().unwrap() = None;
    assert_eq!(keyed(&stage, "alice", "k2", &hold, Value::Null).await.status, 200);
}

/// What stands in each way is the answer of a refused consult: asked again with its key, nothing of it is missing.
#[tokio::test]
async fn a_refusal_that_shows_the_ways_shows_them_again() {
    let stage = Stage::new().await;
    let way = WayView {
        target: "erin@example.com".into(),
        via: Some(Route::Voip),
        over: Some("acs:contoso".into()),
        clear: false,
        obstacle: Some("not_cleared"),
        findings: Vec::new(),
        cost: None,
        only_if_not_reached: false,
    };
    let preview = Preview { ways: vec![way], taken: None, up: Vec::new() };
    *stage.board.refusal.lock().unwrap() = Some(Refusal::NotCleared(Box::new(preview)));
    let path = format!("/v1/calls/{CALL}/consults");
    let first = keyed(&stage, "alice", "k", &path, json!({"target": "erin@example.com"})).await;
    let second = keyed(&stage, "alice", "k", &path, json!({"target": "erin@example.com"})).await;
    assert_eq!((first.status.as_u16(), first.code(), stage.times_asked()), (409, "not_cleared", 1));
    assert_eq!(first.body["preview"]["ways"][0]["over"], "acs:contoso");
    assert_eq!(first.body, second.body);
}

#[tokio::test]
async fn every_kind_of_write_takes_a_key() {
    let stage = Stage::new().await;
    let supervision = format!("/v1/supervisions/{SUPERVISION}");
    for (method, path, body) in [
        (Method::PATCH, supervision.clone(), json!({"role": "barge"})),
        (Method::POST, format!("{supervision}/takeover"), Value::Null),
        (Method::DELETE, supervision, Value::Null),
        (Method::DELETE, format!("/v1/calls/{CALL}"), Value::Null),
    ] {
        let before = stage.times_asked();
        for replayed in [false, true] {
            let mut request = stage.request(method.clone(), &path, "software");
            request = request.header("Idempotency-Key", format!("{method} {path}"));
            let told = told(if body.is_null() { request } else { request.json(&body) }).await;
            assert!(told.status.is_success(), "{}", told.text);
            assert_eq!(told.headers.contains_key("idempotent-replayed"), replayed, "{method} {path}");
        }
        assert_eq!(stage.times_asked(), before + 1);
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let stage = Stage::new().await;
    for key in ["", &"k".repeat(256)] {
        let told = keyed(&stage, "software", key, "/v1/calls", json!({"agent": "alice", "to": "1"})).await;
        assert_eq!((told.status.as_u16(), told.code()), (400, "idempotency_key_invalid"));
    }
    assert_eq!(stage.times_asked(), 0);
}
