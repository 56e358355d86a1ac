//! Who may do what, over HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use crate::stage::{AGENT, CALL, CONSULT, SUPERVISION, Stage, TOKENS, all_tokens, body_for, token, within};
use sidetone::api::Tokens;

/// The statuses of one operation, in the order of [`TOKENS`]: alice (the call's agent), bob (another
/// agent), sam (her supervisor), tom (another team's), admin, software, operator, and two of another
/// tenant.
#[tokio::test]
async fn every_role_gets_what_the_table_of_acts_says() {
    let stage = Stage::new().await;
    let call = format!("/v1/calls/{CALL}");
    let leg = format!("{call}/legs/{AGENT}");
    let supervision = format!("/v1/supervisions/{SUPERVISION}");
    let consult = format!("/v1/consults/{CONSULT}");
    let read = [200, 403, 200, 403, 200, 200, 403, 404, 404];
    let supervised = [403, 403, 200, 403, 200, 200, 403, 404, 404];
    let steer = [200, 403, 403, 403, 403, 200, 403, 404, 404];
    let supervise = [403, 403, 200, 403, 403, 200, 403, 404, 404];
    let created = |row: [u16; 9], to| row.map(|status| if status == 200 { to } else { status });
    // An account is its tenant's; a tenant without one is told so.
    let account = [403, 403, 403, 403, 200, 200, 403, 404, 404];
    let unconfigured = |row: [u16; 9]| row.map(|status| if status == 404 { 409 } else { status });
    let hang_up = [204, 403, 204, 403, 403, 204, 403, 404, 404];
    let table: Vec<(Method, String, [u16; 9])> = vec![
        (Method::GET, "/v1/calls".into(), [200, 200, 200, 200, 200, 200, 403, 200, 200]),
        (Method::GET, call.clone(), read),
        // Not for agents, who do not learn that somebody listens.
        (Method::GET, format!("{call}/audio"), supervised),
        (Method::GET, format!("{call}/supervisions"), supervised),
        (Method::POST, "/v1/calls".into(), [201, 403, 403, 403, 403, 201, 403, 404, 404]),
        (Method::POST, format!("{leg}/hold"), steer),
        (Method::POST, format!("{leg}/resume"), steer),
        (Method::POST, format!("{leg}/mute"), steer),
        (Method::POST, format!("{leg}/unmute"), steer),
        (Method::POST, format!("{leg}/dtmf"), steer),
        (Method::POST, format!("{leg}/hangup"), hang_up),
        (Method::DELETE, call.clone(), hang_up),
        (Method::POST, format!("{call}/supervisions"), created(supervise, 201)),
        (Method::GET, supervision.clone(), supervise),
        (Method::PATCH, supervision.clone(), supervise),
        (Method::POST, format!("{supervision}/takeover"), supervise),
        (Method::DELETE, supervision, created(supervise, 204)),
        (Method::POST, format!("{call}/consults"), created(steer, 201)),
        (Method::POST, format!("{call}/transfers"), created(steer, 202)),
        (Method::GET, consult.clone(), read),
        (Method::PATCH, consult.clone(), steer),
        (Method::POST, format!("{consult}/complete"), created(steer, 204)),
        (Method::POST, format!("{consult}/cancel"), created(steer, 204)),
        (Method::GET, "/v1/integration/teams".into(), account),
        (Method::PUT, "/v1/integration/teams".into(), unconfigured(account)),
        (Method::DELETE, "/v1/integration/teams".into(), created(account, 204)),
        (Method::POST, "/v1/integration/teams/test".into(), account),
        (Method::POST, "/v1/integration/teams/evidence".into(), account),
        (Method::POST, "/v1/preflights".into(), [200, 200, 200, 200, 200, 200, 403, 200, 200]),
        (Method::GET, "/v1/cdr".into(), [200, 200, 200, 200, 200, 200, 403, 200, 200]),
        (Method::GET, "/v1/audit".into(), [403, 403, 403, 403, 200, 403, 200, 200, 403]),
        // This stage has no WebRTC door; tests/rtc has the stories of one.
        (Method::POST, "/v1/legs/webrtc".into(), [503, 503, 503, 503, 403, 403, 403, 403, 403]),
        (Method::PATCH, format!("/v1/legs/webrtc/{AGENT}"), [503, 503, 503, 503, 403, 403, 403, 403, 403]),
        (Method::DELETE, format!("/v1/legs/webrtc/{AGENT}"), [503, 503, 503, 503, 403, 403, 403, 403, 403]),
        (Method::GET, "/v1/overview".into(), [200, 200, 200, 200, 200, 200, 403, 200, 200]),
        (Method::POST, "/v1/sign-ins".into(), [201, 403, 403, 403, 201, 201, 403, 404, 404]),
        (Method::GET, "/v1/session".into(), [200; 9]),
        // None of these tokens is a session's.
        (Method::POST, "/v1/session/renew".into(), [409; 9]),
        (Method::DELETE, "/v1/session".into(), [409; 9]),
        (Method::GET, "/v1/sessions".into(), [403, 403, 403, 403, 200, 200, 403, 200, 200]),
        (Method::DELETE, "/v1/sessions/ses_1".into(), [403, 403, 403, 403, 404, 404, 403, 404, 404]),
        (Method::GET, "/metrics".into(), [403, 403, 403, 403, 403, 403, 200, 403, 403]),
        (Method::POST, "/v1/drain".into(), [403, 403, 403, 403, 403, 403, 202, 403, 403]),
    ];
    assert_whole(&table);
    for (method, path, expected) in table {
        let body = match method {
            Method::GET | Method::DELETE => Value::Null,
            Method::PATCH if path.starts_with("/v1/legs") => json!("a=end-of-candidates\r\n"),
            _ => body_for(&path),
        };
        for (token, expected) in TOKENS.iter().zip(expected) {
            let told = stage.send(method.clone(), &path, token, body.clone()).await;
            assert_eq!(told.status, expected, "{token}: {method} {path}: {}", told.text);
        }
        for bad in ["", "nobody"] {
            let told = stage.send(method.clone(), &path, bad, body.clone()).await;
            assert_eq!(told.status, 401, "{method} {path} with `{bad}`");
            assert!(told.headers["www-authenticate"].starts_with("Bearer"));
        }
    }
}

/// Every operation of the description has a row, or a reason to have none.
fn assert_whole(table: &[(Method, String, [u16; 9])]) {
    /// Open to everybody; a stream, whose rights `events.rs` tests; or made of records, which `records.rs` has.
    const WITHOUT: [(&str, &str); 6] = [
        ("get", "/v1/calls/{id}/timeline"),
        ("get", "/healthz"),
        ("get", "/readyz"),
        ("post", "/v1/session"),
        ("get", "/v1/events"),
        ("get", "/v1/events/ws"),
    ];
    let described: Value = serde_json::from_str(include_str!("../../api/openapi.json")).unwrap();
    for (path, operations) in described["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let is_it = |asked: &str| {
                let (asked, described) = (asked.split('/'), path.split('/'));
                asked.clone().count() == described.clone().count()
                    && asked.zip(described).all(|(asked, part)| part.starts_with('{') || asked == part)
            };
            assert!(
                WITHOUT.contains(&(method.as_str(), path.as_str()))
                    || table
                        .iter()
                        .any(|(one, asked, _)| { one.as_str().eq_ignore_ascii_case(method) && is_it(asked) }),
                "{method} {path} has no row"
            );
        }
    }
}

#[tokio::test]
async fn a_list_holds_only_what_the_caller_may_see() {
    let stage = Stage::new().await;
    for (token, count) in [("alice", 1), ("bob", 0), ("sam", 1), ("tom", 0), ("foreign-admin", 0)] {
        let told = stage.get("/v1/calls", token).await;
        assert_eq!(told.body["items"].as_array().unwrap().len(), count, "{token}");
    }
}

#[tokio::test]
async fn a_supervisor_and_an_agent_need_not_say_who_they_are() {
    let stage = Stage::new().await;
    let path = format!("/v1/calls/{CALL}/supervisions");
    assert_eq!(stage.send(Method::POST, &path, "sam", json!({"role": "coach"})).await.status, 201);
    let told = stage.send(Method::POST, &path, "software", json!({"role": "coach"})).await;
    assert_eq!((told.status.as_u16(), told.code()), (422, "body_invalid"));
    assert_eq!(stage.send(Method::POST, "/v1/calls", "alice", json!({"to": "+49301"})).await.status, 201);
    let asked = format!("{:?}", stage.board.asked.lock().unwrap());
    assert!(asked.contains("supervisor: PersonId(sam), role: Whisper"), "{asked}");
    assert!(asked.contains("agent: PersonId(alice), to: \"+49301\""), "{asked}");
}

#[tokio::test]
async fn a_role_has_the_aliases_of_other_systems() {
    let stage = Stage::new().await;
    let path = format!("/v1/calls/{CALL}/supervisions");
    for (name, role) in [("listen", "monitor"), ("spy", "monitor"), ("coach", "whisper"), ("barge", "barge")]
    {
        let told =
            stage.send(Method::POST, &path, "sam", json!({"role": name, "allowed_roles": [name]})).await;
        assert_eq!(told.body["role"], role, "{}", told.text);
        assert_eq!(told.headers["location"], format!("/v1/supervisions/{SUPERVISION}"));
    }
}

/// The expert of an attended transfer is there already: whoever wants to look first must not find it done.
#[tokio::test]
async fn an_attended_transfer_takes_nothing_that_is_of_a_ring() {
    let stage = Stage::new().await;
    let path = format!("/v1/calls/{CALL}/transfers");
    let attended = json!({"mode": "attended", "consult_id": CONSULT.to_string()});
    for (name, value) in [
        ("dry_run", json!(true)),
        ("via", json!("pstn")),
        ("trunk", json!("carrier")),
        ("by_leg", json!(AGENT.to_string())),
        ("card", json!({"record": "CAS-1"})),
    ] {
        let mut body = attended.clone();
        body[name] = value;
        let told = stage.send(Method::POST, &path, "alice", body).await;
        assert_eq!((told.status.as_u16(), told.code()), (422, "body_invalid"), "{name}: {}", told.text);
        assert!(told.text.contains(name), "{}", told.text);
    }
    assert_eq!(stage.times_asked(), 0, "nobody was handed over");
    let told = stage.send(Method::POST, &path, "alice", attended).await;
    assert_eq!((told.status.as_u16(), &told.body["outcome"]), (200, &json!("connected")));
}

#[tokio::test]
async fn a_switch_says_when_it_is_in_force_and_shows_the_table() {
    let stage = Stage::new().await;
    let path = format!("/v1/supervisions/{SUPERVISION}");
    let told = stage.send(Method::PATCH, &path, "sam", json!({"role": "whisper"})).await;
    assert_eq!(told.body["effective_at"], "2025-11-21T09:00:00.02Z");
    assert_eq!(told.body["supervision"]["role"], "whisper");
    assert_eq!(told.body["audio"]["ears"][1]["plan"], "mix");
    assert_eq!(told.body["audio"]["ears"][1]["mouths"][1]["level_dbfs"], -120.0, "silence is a number");
    assert!(
        told.body["audio"]["ears"][0]["mouths"][0].get("level_dbfs").is_none(),
        "a relayed mouth is not measured"
    );
}

#[tokio::test]
async fn exchanged_tokens_hold_from_the_next_request_on() {
    let stage = Stage::new().await;
    assert_eq!(stage.get("/v1/calls", "alice").await.status, 200);
    stage.tokens.store(std::sync::Arc::new(Tokens::new(vec![token("bob")])));
    assert_eq!(stage.get("/v1/calls", "alice").await.code(), "token_invalid");
    assert_eq!(stage.get("/v1/calls", "bob").await.status, 200);
    stage.tokens.store(std::sync::Arc::new(all_tokens()));
    assert_eq!(stage.get("/v1/calls", "alice").await.status, 200);
}

#[tokio::test]
async fn a_refusal_of_the_api_is_one_line_of_the_audit() {
    let stage = Stage::new().await;
    stage.send(Method::POST, "/v1/drain", "sam", Value::Null).await;
    stage.get("/v1/audit", "alice").await;
    stage.get("/metrics", "admin").await;
    let told = stage.get("/v1/audit", "admin").await;
    let lines: Vec<_> = told.body["items"].as_array().unwrap().iter().rev().collect();
    let seen: Vec<_> =
        lines.iter().map(|line| (line["token"].as_str().unwrap(), line["act"].as_str().unwrap())).collect();
    assert_eq!(
        seen,
        [("token-of-sam", "drain"), ("token-of-alice", "read_audit"), ("token-of-admin", "read_metrics")]
    );
    assert!(lines.iter().all(|line| line["outcome"] == "role_forbids"));
    assert_eq!(lines[0]["person"], "sam");
}

#[tokio::test]
async fn a_draining_gateway_is_alive_but_not_ready() {
    let stage = Stage::new().await;
    let ready = stage.get("/readyz", "").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.body),
        (200, &json!({"ready": true, "store": true, "listeners": true, "draining": false}))
    );
    let told = stage.send(Method::POST, "/v1/drain", "operator", Value::Null).await;
    assert_eq!((told.status.as_u16(), told.body), (202, json!({"draining": true, "calls": 1})));
    assert_eq!(stage.get("/readyz", "").await.status, 503);
    assert_eq!(stage.get("/healthz", "").await.status, 200);
    within(stage.stop()).await;
}
