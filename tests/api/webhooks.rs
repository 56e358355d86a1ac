//! Webhooks, against receivers that take, refuse, hang, and have gone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use sbc_config::{EventPattern, Secret, TenantId};
use serde_json::{Value, json};
use sidetone::observe::Journal as _;
use sidetone::observe::webhook::{BEHIND_MAX, Patience, Webhook, Webhooks, signature};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::stage::{Stage, event, within};

const SECRET: &str = "canary-5cr3t";

/// Somebody's server.
#[derive(Default)]
struct Receiver {
    url: String,
    /// Type and data of what was taken.
    taken: Mutex<Vec<(String, Value)>>,
    /// How often anything arrived.
    tries: Mutex<usize>,
    /// What to answer; the last is repeated. None is silence.
    answers: Mutex<Vec<Option<u16>>>,
    changed: Notify,
}

impl Receiver {
    async fn new(answers: &[Option<u16>]) -> Arc<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver =
            Arc::new(Receiver { url, answers: Mutex::new(answers.to_vec()), ..Receiver::default() });
        let app = Router::new().route("/hook", post(receive)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    fn answer(&self, answers: &[Option<u16>]) {
        *self.answers.lock().unwrap() = answers.to_vec();
    }

    async fn until(&self, met: impl Fn(&Receiver) -> bool) {
        within(async {
            loop {
                let changed = self.changed.notified();
                if met(self) {
                    break;
                }
                changed.await;
            }
        })
        .await;
    }

    async fn takes(&self, kinds: &[&str]) {
        self.until(|receiver| receiver.taken.lock().unwrap().len() >= kinds.len()).await;
        let taken: Vec<_> = self.taken.lock().unwrap().iter().map(|(kind, _)| kind.clone()).collect();
        assert_eq!(taken, kinds);
    }

    fn tries(&self) -> usize {
        *self.tries.lock().unwrap()
    }

    fn hook(&self, name: &str) -> Webhook {
        Webhook {
            name: name.into(),
            tenant: TenantId::new("acme").unwrap(),
            url: self.url.clone(),
            secret: Secret::new(SECRET),
            events: vec![EventPattern::All],
        }
    }
}

async fn receive(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: String) -> StatusCode {
    let signed = headers["sidetone-signature"].to_str().unwrap();
    let at = signed.strip_prefix("t=").and_then(|rest| rest.split(',').next()).unwrap().parse().unwrap();
    assert_eq!(signed, signature(SECRET, at, &body), "the signature covers the body as it came");
    assert_eq!(headers["content-type"], "application/cloudevents+json");
    let answer = {
        let mut answers = receiver.answers.lock().unwrap();
        if answers.len() > 1 { answers.remove(0) } else { answers[0] }
    };
    *receiver.tries.lock().unwrap() += 1;
    if answer.is_some_and(|status| status < 300) {
        let event: Value = serde_json::from_str(&body).unwrap();
        let kind = event["type"].as_str().unwrap().to_owned();
        receiver.taken.lock().unwrap().push((kind, event["data"].clone()));
    }
    receiver.changed.notify_one();
    match answer {
        Some(status) => StatusCode::from_u16(status).unwrap(),
        None => std::future::pending().await,
    }
}

fn hurried() -> Patience {
    Patience {
        answer: Duration::from_millis(200),
        retry_min: Duration::from_millis(2),
        retry_max: Duration::from_millis(10),
        tries_max: 4,
    }
}

fn webhooks(stage: &Stage, hooks: Vec<Webhook>) -> Webhooks {
    let webhooks = Webhooks::new(stage.ledger.clone(), hurried()).unwrap();
    webhooks.set(hooks);
    webhooks
}

#[tokio::test]
async fn events_arrive_signed_and_in_order() {
    let stage = Stage::new().await;
    let receiver = Receiver::new(&[Some(204)]).await;
    let only_calls = Webhook { events: vec![EventPattern::Family("call".into())], ..receiver.hook("crm") };
    let _webhooks = webhooks(&stage, vec![only_calls]);
    stage.happens("call.ringing", json!({"n": 1}));
    stage.happens("supervision.started", json!({}));
    stage.ledger.event(event("call.answered", "zeta", &[], &[], json!({})));
    stage.happens("call.answered", json!({"n": 2}));
    receiver.takes(&["call.ringing", "call.answered"]).await;
    assert_eq!(receiver.taken.lock().unwrap()[1].1, json!({"n": 2}));
}

#[tokio::test]
async fn what_is_refused_is_sent_again_before_anything_newer() {
    let stage = Stage::new().await;
    let receiver = Receiver::new(&[Some(500), Some(302), Some(429), Some(200)]).await;
    let _webhooks = webhooks(&stage, vec![receiver.hook("crm")]);
    stage.happens("call.ringing", json!({}));
    stage.happens("call.answered", json!({}));
    receiver.takes(&["call.ringing", "call.answered"]).await;
    assert_eq!(receiver.tries(), 5);
}

#[tokio::test]
async fn what_nobody_takes_is_given_up_so_that_the_rest_arrives() {
    let stage = Stage::new().await;
    let receiver = Receiver::new(&[Some(500), Some(500), Some(500), Some(500), Some(200)]).await;
    let _webhooks = webhooks(&stage, vec![receiver.hook("crm")]);
    stage.happens("call.ringing", json!({}));
    stage.happens("call.answered", json!({}));
    receiver.takes(&["call.answered"]).await;
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_nobody_else() {
    let stage = Stage::new().await;
    let hanging = Receiver::new(&[None]).await;
    let healthy = Receiver::new(&[Some(200)]).await;
    let _webhooks = webhooks(&stage, vec![hanging.hook("slow"), healthy.hook("fast")]);
    for _ in 0..20 {
        stage.happens("call.held", json!({}));
    }
    healthy.takes(&["call.held"; 20]).await;
    assert!(hanging.tries() <= 1 + 20, "one at a time");
    // It gives up on the receiver, not on the hook: once it answers, events arrive.
    hanging.until(|receiver| receiver.tries() >= 2).await;
    hanging.answer(&[Some(200)]);
    hanging.until(|receiver| !receiver.taken.lock().unwrap().is_empty()).await;
}

#[tokio::test]
async fn after_a_restart_delivery_goes_on_where_it_stopped() {
    let stage = Stage::new().await;
    let receiver = Receiver::new(&[Some(200)]).await;
    let hooks = webhooks(&stage, vec![receiver.hook("crm")]);
    stage.happens("call.ringing", json!({}));
    receiver.takes(&["call.ringing"]).await;
    hooks.close(Duration::from_secs(5)).await;
    stage.happens("call.answered", json!({})); // while nobody carries
    let stage = stage.restart().await;
    let _hooks = webhooks(&stage, vec![receiver.hook("crm")]);
    stage.happens("call.ended", json!({}));
    receiver.takes(&["call.ringing", "call.answered", "call.ended"]).await;
}

#[tokio::test]
async fn what_was_on_its_way_when_the_process_died_is_delivered_by_the_next() {
    let stage = Stage::new().await;
    let receiver = Receiver::new(&[Some(200)]).await;
    let hooks = webhooks(&stage, vec![receiver.hook("crm")]);
    stage.happens("call.ringing", json!({}));
    receiver.takes(&["call.ringing"]).await;
    hooks.close(Duration::from_secs(5)).await;
    let before = stage.happens("call.answered", json!({}));
    stage.happens("call.held", json!({}));
    let stage = stage.crash().await;
    let after = stage.happens("call.ended", json!({}));
    assert!(after - before > BEHIND_MAX, "numbers skip, and nothing is old for it");
    let _hooks = webhooks(&stage, vec![receiver.hook("crm")]);
    receiver.takes(&["call.ringing", "call.answered", "call.held", "call.ended"]).await;
}

#[tokio::test]
async fn a_receiver_that_says_gone_is_left_alone_until_it_moves() {
    let stage = Stage::new().await;
    let gone = Receiver::new(&[Some(410)]).await;
    let hooks = webhooks(&stage, vec![gone.hook("crm")]);
    stage.happens("call.ringing", json!({}));
    gone.until(|receiver| receiver.tries() == 1).await;
    hooks.close(Duration::from_secs(5)).await;
    gone.answer(&[Some(200)]);

    // Not even a restart makes it try again.
    let stage = stage.restart().await;
    let hooks = webhooks(&stage, vec![gone.hook("crm")]);
    let elsewhere = Receiver::new(&[Some(200)]).await;
    stage.happens("call.answered", json!({}));
    hooks.set(vec![elsewhere.hook("crm")]);
    elsewhere.takes(&["call.ringing", "call.answered"]).await;
    assert_eq!(gone.tries(), 1);
    hooks.close(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn webhooks_may_be_exchanged_while_calls_go_on() {
    let stage = Stage::new().await;
    let (one, two) = (Receiver::new(&[Some(200)]).await, Receiver::new(&[Some(200)]).await);
    let hooks = webhooks(&stage, vec![one.hook("one")]);
    stage.happens("call.ringing", json!({}));
    one.takes(&["call.ringing"]).await;
    hooks.set(vec![one.hook("one"), two.hook("two")]);
    stage.happens("call.ended", json!({}));
    one.takes(&["call.ringing", "call.ended"]).await;
    two.takes(&["call.ended"]).await;
    hooks.close(Duration::from_secs(5)).await;
}
