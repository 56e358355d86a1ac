//! Call records, timelines and the audit.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sbc_config::{TenantId, TrunkId};
use serde_json::{Value, json};
use sidetone::call::{CallId, Cause};
use sidetone::observe::{AuditRecord, CallRecord, Journal as _};

use crate::stage::{CALL, FOREIGN_CALL, Stage, audience, event, within};

fn record(call: u128, tenant: &str, people: &[&str], teams: &[&str]) -> CallRecord {
    let at = |second: u64| UNIX_EPOCH + Duration::from_secs(1_763_715_600 + second);
    CallRecord {
        call: CallId(call),
        tenant: TenantId::new(tenant).unwrap(),
        audience: audience(people, teams),
        direction: "inbound",
        from: "+4930123456".into(),
        to: "+4930999000".into(),
        trunk: Some(TrunkId::new("carrier").unwrap()),
        started_at: at(0),
        answered_at: Some(at(4)),
        ended_at: at(180),
        cause: Cause::MediaTimeout,
        legs: json!([{"role": "customer", "codec": "PCMA"}]),
        history: json!([{"kind": "consult", "outcome": "completed"}]),
        costs: json!({"USD": "0.013"}),
    }
}

async fn calls_of(stage: &Stage, token: &str, mut path: String) -> (Vec<Value>, usize) {
    let (mut items, mut pages) = (Vec::new(), 0);
    let first = path.clone();
    loop {
        let told = stage.get(&path, token).await;
        assert_eq!(told.status, 200, "{}", told.text);
        items.extend(told.body["items"].as_array().unwrap().iter().cloned());
        pages += 1;
        let Some(next) = told.body["next"].as_str() else { return (items, pages) };
        path = format!("{first}&cursor={next}");
    }
}

#[tokio::test]
async fn a_record_says_what_became_of_a_call() {
    let stage = Stage::new().await;
    stage.ledger.record(record(1, "acme", &["alice"], &["support"]));
    stage.ledger.record(record(1, "acme", &["alice"], &["support"]));
    let told = stage.get("/v1/cdr", "admin").await;
    assert_eq!(
        told.body,
        json!({"items": [{
            "call": CALL.to_string(), "direction": "inbound", "from": "+4930123456", "to": "+4930999000",
            "trunk": "carrier", "started_at": "2025-11-21T09:00:00Z", "answered_at": "2025-11-21T09:00:04Z",
            "ended_at": "2025-11-21T09:03:00Z", "duration_ms": 176_000, "cause": "media_timeout",
            "legs": [{"role": "customer", "codec": "PCMA"}],
            "history": [{"kind": "consult", "outcome": "completed"}], "costs": {"USD": "0.013"},
        }]}),
        "and a call has one record, however often it is told"
    );
    let own = stage.get("/v1/cdr", "alice").await;
    assert!(own.body["items"][0]["legs"].is_array());
    assert!(own.body["items"][0].get("costs").is_none(), "it would tell of a supervisor's leg");
}

#[tokio::test]
async fn pages_of_records_fit_together_and_hold_what_the_caller_may_read() {
    let stage = Stage::new().await;
    for call in 1..=450 {
        let people: &[&str] = if call % 3 == 0 { &["alice"] } else { &["bob"] };
        let teams: &[&str] = if call % 2 == 0 { &["support"] } else { &["sales"] };
        stage.ledger.record(record(call, if call % 5 == 0 { "zeta" } else { "acme" }, people, teams));
    }
    let expected = |wanted: fn(u128) -> bool| -> Vec<String> {
        (1..=450).rev().filter(|call| wanted(*call)).map(|call| CallId(call).to_string()).collect()
    };
    for (token, expected) in [
        ("admin", expected(|call| call % 5 != 0)),
        ("software", expected(|call| call % 5 != 0)),
        ("alice", expected(|call| call % 5 != 0 && call % 3 == 0)),
        ("sam", expected(|call| call % 5 != 0 && call % 2 == 0)),
        ("foreign-admin", expected(|call| call % 5 == 0)),
    ] {
        for limit in [7, 200] {
            let (items, pages) = calls_of(&stage, token, format!("/v1/cdr?limit={limit}")).await;
            let calls: Vec<_> = items.iter().map(|item| item["call"].as_str().unwrap()).collect();
            assert_eq!(calls, expected, "{token}");
            assert_eq!(pages, expected.len().div_ceil(limit), "{token}: no page more than needed");
        }
    }
}

#[tokio::test]
async fn a_timeline_holds_what_the_caller_may_see_of_a_call() {
    let stage = Stage::new().await;
    stage.happens("call.answered", json!({}));
    stage.ledger.event(event("supervision.started", "acme", &[], &["support"], json!({"role": "whisper"})));
    stage.ledger.event(event("call.answered", "zeta", &["zoe"], &[], json!({})));
    let path = format!("/v1/calls/{CALL}/timeline");
    let kinds = |body: &Value| -> Vec<String> {
        body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["type"].as_str().unwrap().to_owned())
            .collect()
    };
    let sam = stage.get(&path, "sam").await.body;
    assert_eq!(kinds(&sam), ["call.answered", "supervision.started"]);
    assert_eq!(sam["items"][1]["data"]["role"], "whisper");
    assert_eq!(
        kinds(&stage.get(&path, "alice").await.body),
        ["call.answered"],
        "an agent is not told of a whisper"
    );
    assert_eq!(stage.get(&path, "tom").await.status, 403);
    assert_eq!(stage.get(&path, "operator").await.status, 403);
    let foreign = stage.get(&path, "foreign-admin").await;
    let missing = stage.get(&format!("/v1/calls/{}/timeline", CallId(9)), "foreign-admin").await;
    assert_eq!((foreign.status.as_u16(), &foreign.body["detail"]), (404, &missing.body["detail"]));
    assert_eq!(stage.get(&format!("/v1/calls/{FOREIGN_CALL}/timeline"), "foreign-admin").await.status, 200);

    // The same after a restart, from the store alone.
    let stage = stage.restart().await;
    assert_eq!(stage.get(&path, "sam").await.body, sam);
}

#[tokio::test]
async fn the_audit_is_read_by_whom_it_serves_in_pages() {
    let stage = Stage::new().await;
    let line = |tenant: Option<&str>, target: String| AuditRecord {
        at: SystemTime::UNIX_EPOCH,
        tenant: tenant.map(|tenant| TenantId::new(tenant).unwrap()),
        token: "sam-desktop".into(),
        person: None,
        act: "supervise",
        target,
        outcome: "allowed".into(),
        detail: json!({"role": "whisper"}),
    };
    for n in 0..25 {
        stage.ledger.audit(line(Some("acme"), format!("call {n}")));
    }
    stage.ledger.audit(line(Some("zeta"), "theirs".into()));
    stage.ledger.audit(line(None, "platform".into()));
    let (items, pages) = calls_of(&stage, "admin", "/v1/audit?limit=10".into()).await;
    let targets: Vec<_> = items.iter().map(|item| item["target"].as_str().unwrap().to_owned()).collect();
    assert_eq!(targets, (0..25).rev().map(|n| format!("call {n}")).collect::<Vec<_>>());
    assert_eq!((pages, &items[0]["detail"]["role"]), (3, &json!("whisper")));
    assert_eq!(calls_of(&stage, "foreign-admin", "/v1/audit?limit=10".into()).await.0[0]["target"], "theirs");
    assert_eq!(calls_of(&stage, "operator", "/v1/audit?limit=10".into()).await.0[0]["target"], "platform");
}

#[tokio::test]
async fn nobody_changes_the_audit_not_even_in_the_database() {
    let stage = Stage::new().await;
    stage.get("/v1/audit", "alice").await;
    stage.ledger.settled().await;
    let pool = sqlx::AnyPool::connect(&stage.url).await.unwrap();
    for statement in ["UPDATE audit SET outcome = 'allowed'", "DELETE FROM audit"] {
        let error = sqlx::query(statement).execute(&pool).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
    assert_eq!(stage.get("/v1/audit", "admin").await.body["items"].as_array().unwrap().len(), 1);
}

/// The table of events vanishes, as a full disk or a lost server would have it, and comes back.
#[tokio::test]
async fn while_the_store_fails_events_wait_and_the_gateway_is_not_ready() {
    let stage = Stage::new().await;
    let pool = sqlx::AnyPool::connect(&stage.url).await.unwrap();
    sqlx::query("ALTER TABLE events RENAME TO away").execute(&pool).await.unwrap();
    stage.happens("call.answered", json!({}));
    stage.ledger.record(record(1, "acme", &["alice"], &["support"]));
    let ready = |wanted: bool| {
        let stage = &stage;
        within(async move {
            loop {
                let told = stage.get("/readyz", "").await;
                if told.body["store"] == wanted {
                    break told.status.as_u16();
                }
            }
        })
    };
    assert_eq!(ready(false).await, 503);
    let mut follower = stage.ledger.follow(Some(0), None);
    assert_eq!(within(follower.next()).await.unwrap().events.len(), 1, "followers still hear of it");
    assert_eq!(stage.get("/v1/calls", "admin").await.status, 200, "calls go on");

    sqlx::query("ALTER TABLE away RENAME TO events").execute(&pool).await.unwrap();
    assert_eq!(ready(true).await, 200);
    assert_eq!(stage.get("/v1/cdr", "admin").await.body["items"].as_array().unwrap().len(), 1);
    let stage = stage.restart().await;
    let told = stage.get(&format!("/v1/calls/{CALL}/timeline"), "admin").await;
    assert_eq!(told.body["items"].as_array().unwrap().len(), 1, "{}", told.text);
}
