//! What log lines may say.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use sbc_config::{EventPattern, Secret, TenantId};
use serde_json::json;
use sidetone::api::{Token, Tokens};
use sidetone::call::rights::Actor;
use sidetone::observe::logging::env_filter;
use sidetone::observe::webhook::{Patience, Webhook, Webhooks};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::stage::{Stage, within};

const TOKEN: &str = "canary-t0ken";
const SECRET: &str = "canary-5cr3t";
const IN_URL: &str = "canary-ur1";
const NUMBER: &str = "+4930555777";

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// One thread, so that everything the gateway logs passes through this test's subscriber.
#[tokio::test]
async fn no_secret_and_no_number_is_in_any_line_even_at_trace() {
    let lines = Lines::default();
    let writer = {
        let lines = lines.clone();
        move || lines.clone()
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    let subscriber = tracing_subscriber::registry().with(env_filter("trace").unwrap()).with(layer);
    let _guard = tracing::subscriber::set_default(subscriber);

    let stage = Stage::new().await;
    let sha256 = { <sha2::Sha256 as sha2::Digest>::digest(TOKEN.as_bytes()).into() };
    let actor = Actor::Integration { tenant: TenantId::new("acme").unwrap() };
    let token = Token { name: "software".into(), sha256, actor, expires: None };
    stage.tokens.store(Arc::new(Tokens::new(vec![token])));
    let body = json!({"agent": "alice", "to": NUMBER});
    assert_eq!(stage.send(Method::POST, "/v1/calls", TOKEN, body.clone()).await.status, 201);
    assert_eq!(stage.send(Method::POST, "/v1/calls", "canary-t0ken-bad", body).await.status, 401);
    stage.send(Method::POST, "/v1/calls", TOKEN, json!({"to": NUMBER, "x": SECRET})).await;
    stage.get(&format!("/v1/events?token={TOKEN}"), "").await;

    // Nobody listens at this address.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let hooks = Webhooks::new(
        stage.ledger.clone(),
        Patience { retry_min: Duration::from_millis(1), tries_max: 2, ..Patience::default() },
    );
    let hooks = hooks.unwrap();
    hooks.set(vec![Webhook {
        name: "crm".into(),
        tenant: TenantId::new("acme").unwrap(),
        url: format!("http://{closed}/{IN_URL}"),
        secret: Secret::new(SECRET),
        events: vec![EventPattern::All],
    }]);
    stage.happens("call.answered", json!({"from": NUMBER}));
    within(async {
        while !lines.text().contains("was given up") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    hooks.close(Duration::from_secs(5)).await;
    let text = lines.text();
    assert!(text.contains("a webhook did not answer"), "the test sees DEBUG lines: {text}");
    for canary in [TOKEN, SECRET, IN_URL, NUMBER] {
        assert!(!text.contains(canary), "{canary} in: {text}");
    }
}
