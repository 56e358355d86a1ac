//! Signing in with a link: who may make one, what the session may do, and when it is over.

use std::sync::Arc;

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use sidetone::api::Tokens;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use crate::stage::{CALL, Stage, TOKENS, Told, house, token, within};

impl Stage {
    /// A code for a person, made with a token.
    async fn code(&self, token: &str, person: Value) -> String {
        let body = if person.is_null() { json!({}) } else { json!({ "person": person }) };
        let told = self.send(Method::POST, "/v1/sign-ins", token, body).await;
        assert_eq!(told.status, 201, "{}", told.text);
        assert_eq!(told.headers["cache-control"], "no-store");
        let code = told.body["code"].as_str().unwrap().to_owned();
        assert_eq!(told.body["link"], format!("/console#sign-in={code}"));
        assert!(code.len() >= 43, "256 bits");
        code
    }

    async fn sign_in(&self, code: &str) -> Told {
        self.send(Method::POST, "/v1/session", "", json!({ "code": code })).await
    }

    /// The token of a new session.
    async fn session(&self, token: &str, person: Value) -> String {
        let told = self.sign_in(&self.code(token, person).await).await;
        assert_eq!(told.status, 201, "{}", told.text);
        assert_eq!(told.headers["cache-control"], "no-store");
        told.body["token"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_code_signs_one_browser_in_and_the_session_is_the_persons() {
    let stage = Stage::new().await;
    let code = stage.code("software", json!("sam")).await;
    let told = stage.sign_in(&code).await;
    assert_eq!(told.status, 201);
    assert_eq!(
        (&told.body["role"], &told.body["person"], &told.body["name"], &told.body["teams"]),
        (&json!("supervisor"), &json!("sam"), &json!("sam of Acme"), &json!(["support"]))
    );
    let token = told.body["token"].as_str().unwrap();
    assert_eq!(stage.get("/v1/calls", token).await.body["items"].as_array().unwrap().len(), 1);
    let body = json!({"role": "whisper"});
    let path = format!("/v1/calls/{CALL}/supervisions");
    assert_eq!(stage.send(Method::POST, &path, token, body).await.body["supervisor"], "sam");
    assert_eq!(stage.send(Method::POST, "/v1/calls", token, json!({"to": "+49301"})).await.status, 422);

    let again = stage.sign_in(&code).await;
    assert_eq!((again.status.as_u16(), again.code()), (403, "code_invalid"));
    assert_eq!(stage.sign_in("stc_guess").await.code(), "code_invalid");
    assert_eq!(stage.sign_in(&"x".repeat(5000)).await.code(), "code_invalid");
}

#[tokio::test]
async fn a_session_may_what_its_person_may_at_the_moment() {
    let stage = Stage::new().await;
    let token = stage.session("admin", json!("sam")).await;
    let calls = async || {
        let told = stage.get("/v1/calls", &token).await;
        told.body["items"].as_array().map(Vec::len).ok_or(told.status.as_u16())
    };
    assert_eq!(calls().await, Ok(1));
    stage.people.store(Arc::new(house("['sales']")));
    assert_eq!(calls().await, Ok(0), "moved to another team");
    stage.people.store(Arc::new(house("['support']")));
    assert_eq!(calls().await, Ok(1));
    stage.people.store(Arc::new(house("")));
    assert_eq!(calls().await, Err(401), "taken out");
}

#[tokio::test]
async fn a_session_one_makes_for_oneself_goes_with_the_token_it_was_made_with() {
    let stage = Stage::new().await;
    for (maker, role) in [("alice", "agent"), ("sam", "supervisor"), ("admin", "tenant_admin")] {
        let own = stage.session(maker, Value::Null).await;
        let who = stage.get("/v1/session", &own).await;
        assert_eq!(who.body["role"], role);
        let kept = TOKENS.iter().filter(|text| **text != maker);
        stage.tokens.store(Arc::new(Tokens::new(kept.map(|text| token(text)).collect())));
        assert_eq!(stage.get("/v1/session", &own).await.status, 401, "{maker}");
    }
}

#[tokio::test]
async fn only_staff_of_the_own_tenant_is_signed_in_and_a_session_signs_nobody_in() {
    let stage = Stage::new().await;
    let ask = async |token: &str, body: Value| {
        let told = stage.send(Method::POST, "/v1/sign-ins", token, body).await;
        (told.status.as_u16(), told.code().to_owned())
    };
    assert_eq!(ask("software", json!({"person": "carol"})).await, (422, "person_not_staff".into()));
    assert_eq!(ask("software", json!({"person": "nobody"})).await, (404, "not_found".into()));
    assert_eq!(ask("foreign-admin", json!({"person": "sam"})).await, (404, "not_found".into()));
    assert_eq!(ask("software", json!({})).await, (422, "body_invalid".into()));
    assert_eq!(ask("alice", json!({"person": "sam"})).await, (403, "outside_scope".into()));
    let token = stage.session("sam", Value::Null).await;
    assert_eq!(ask(&token, json!({})).await, (403, "role_forbids".into()));
}

#[tokio::test]
async fn a_token_is_renewed_and_a_session_ends() {
    let stage = Stage::new().await;
    let first = stage.session("software", json!("alice")).await;
    let renewed = stage.send(Method::POST, "/v1/session/renew", &first, Value::Null).await;
    assert_eq!((renewed.status.as_u16(), &*renewed.headers["cache-control"]), (201, "no-store"));
    let second = renewed.body["token"].as_str().unwrap();
    assert_ne!(first, second);
    // The first is good for what was under way.
    for token in [&*first, second] {
        assert_eq!(stage.get("/v1/calls", token).await.status, 200);
    }
    assert_eq!(stage.send(Method::DELETE, "/v1/session", second, Value::Null).await.status, 204);
    for token in [&*first, second] {
        assert_eq!(stage.get("/v1/calls", token).await.code(), "token_invalid");
    }
}

#[tokio::test]
async fn an_admin_sees_who_is_signed_in_and_signs_them_out_and_their_streams_end() {
    let stage = Stage::new().await;
    let token = stage.session("software", json!("sam")).await;
    let url = format!("{}/v1/events/ws?after=0", stage.base.replace("http", "ws"));
    let mut request = url.as_str().into_client_request().unwrap();
    let offered = format!("sidetone, bearer.{token}");
    request.headers_mut().insert("sec-websocket-protocol", offered.parse().unwrap());
    let (mut socket, answer) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "sidetone", "never the token");
    stage.happens("call.answered", json!({}));
    let told = within(socket.next()).await.unwrap().unwrap();
    assert!(told.to_text().unwrap().contains("call.answered"));

    let listed = stage.get("/v1/sessions", "admin").await;
    let items = listed.body["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["bearer"]), (1, &json!("sam")));
    assert!(!listed.text.contains(&token[4..]), "a list holds no token");
    let people = stage.get("/v1/overview", "admin").await.body["people"].clone();
    let signed_in = |name: &str| people.as_array().unwrap().iter().find(|one| one["id"] == name).cloned();
    assert_eq!(signed_in("sam").unwrap()["signed_in"], true);
    assert_eq!(signed_in("tom").unwrap()["signed_in"], false);

    let path = format!("/v1/sessions/{}", items[0]["id"].as_str().unwrap());
    assert_eq!(stage.send(Method::DELETE, &path, "foreign-admin", Value::Null).await.status, 404);
    assert_eq!(stage.send(Method::DELETE, &path, "admin", Value::Null).await.status, 204);
    assert_eq!(stage.get("/v1/calls", &token).await.status, 401);
    stage.happens("call.held", json!({}));
    let end = within(async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(frame))) => break frame,
                Some(Ok(Message::Text(text))) => panic!("told after the end: {text}"),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(matches!(end.await, Some(CloseFrame { code, .. }) if u16::from(code) == 1008));
}

#[tokio::test]
async fn signing_in_is_in_the_audit_and_no_secret_is() {
    let stage = Stage::new().await;
    let code = stage.code("software", json!("sam")).await;
    let token = stage.sign_in(&code).await.body["token"].as_str().unwrap().to_owned();
    stage.send(Method::DELETE, "/v1/session", &token, Value::Null).await;
    let audit = stage.get("/v1/audit", "admin").await;
    let acts: Vec<_> = audit.body["items"].as_array().unwrap().iter().map(|line| &line["act"]).collect();
    assert_eq!(acts, ["sign_out", "sign_in", "create_sign_in"]);
    assert!(!audit.text.contains(&code) && !audit.text.contains(&token));
    assert_eq!(audit.body["items"][1]["person"], "sam");
}

#[tokio::test]
async fn an_answer_with_a_secret_is_not_kept_under_a_key() {
    let stage = Stage::new().await;
    let code = stage.code("software", json!("sam")).await;
    for (path, token, body) in [
        ("/v1/sign-ins", "software", json!({"person": "sam"})),
        ("/v1/session", "", json!({ "code": code })),
        ("/v1/session/renew", "software", json!({})),
    ] {
        let request = stage.request(Method::POST, path, token).header("idempotency-key", "k").json(&body);
        let told = crate::stage::told(request).await;
        assert_eq!((told.status.as_u16(), told.code()), (400, "idempotency_key_refused"), "{path}");
    }
    assert_eq!(stage.sign_in(&code).await.status, 201, "the code was not used up");
}

#[tokio::test]
async fn the_console_is_served_with_a_fence_around_it() {
    let stage = Stage::new().await;
    let page = stage.get("/console", "").await;
    assert_eq!((page.status.as_u16(), &*page.headers["cache-control"]), (200, "no-cache"));
    let policy = &page.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"));
    assert_eq!(page.headers["x-frame-options"], "DENY");
    let script = page.text.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let told = stage.get(script, "").await;
    assert!(told.headers["cache-control"].contains("immutable"));
    assert!(told.headers["content-type"].starts_with("text/javascript"));
    let (_, name) = script.rsplit_once('/').unwrap();
    assert_eq!(
        stage.get(&format!("/console/0000000000000000/{name}"), "").await.status,
        404,
        "another version"
    );
    assert_eq!(stage.get("/console/../Cargo.toml", "").await.status, 404);
    let root = stage.http.get(&stage.base).send().await.unwrap();
    assert_eq!(root.url().path(), "/console");
}

#[tokio::test]
async fn the_overview_shows_each_what_concerns_them() {
    let stage = Stage::new().await;
    let of = async |token: &str| stage.get("/v1/overview", token).await.body;
    let (agent, supervisor, admin) = (of("alice").await, of("sam").await, of("admin").await);
    assert_eq!(agent["people"].as_array().unwrap().len(), 4, "colleagues, and no customer");
    assert_eq!(agent["trunks"], json!([]));
    assert_eq!(supervisor["trunks"], json!([{"id": "carrier"}]));
    assert!(supervisor.get("integration").is_none());
    assert!(["pass", "fail", "unknown"].contains(&admin["integration"]["state"].as_str().unwrap()));
    assert_eq!(of("foreign-admin").await["people"], json!([]));

    stage.happens("trunk.down", json!({"trunk": "carrier", "detail": "no answer to OPTIONS"}));
    let down = within(async {
        loop {
            let trunk = of("admin").await["trunks"][0].clone();
            if trunk.get("up").is_some() {
                return trunk;
            }
        }
    });
    let down = down.await;
    assert_eq!((&down["up"], &down["detail"]), (&json!(false), &json!("no answer to OPTIONS")));
    let seen = of("sam").await["trunks"][0].clone();
    assert_eq!(seen["up"], false);
    assert!(seen.get("detail").is_none(), "what a trunk says of itself is for the administrator");
}
