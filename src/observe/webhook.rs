//! Webhooks: events carried to whoever asked for them, in order, signed, and tried again.
//!
//! The spool is the journal itself: all that a webhook needs to survive a restart is the number of
//! the last event delivered, which is kept in the store. Each webhook has a task of its own with one
//! request in flight, so one that hangs holds up nobody else. Delivery is at least once and in order;
//! receivers know repetitions by the event's `id`.
//!
//! ```text
//! POST {url}
//! Content-Type: application/cloudevents+json
//! Sidetone-Signature: t=1763715600,v1=3478b0358e1b26ceff4ba03983e1d6b511455870e0c0b22883580f84a2cb6a88
//! ```
//!
//! `v1` is the hexadecimal HMAC-SHA256, under the webhook's secret, of the bytes of `t`, a dot and the
//! body. A receiver computes it over the body as it came and refuses an old `t`.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use metrics::counter;
use reqwest::{StatusCode, header};
use sbc_config::{EventPattern, Secret, TenantId};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::journal::{Kept, Ledger, Page};
use super::metrics as names;
use super::store::StoreError;

/// The most events a webhook may be behind; older ones are given up. A million events of a KB each is
/// what the journal keeps by default; a receiver so far behind is better served by `/v1/cdr`.
pub const BEHIND_MAX: u64 = 1_000_000;
/// How often how far it got is written, at most. After a crash that much is delivered again.
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// Pause when the store cannot be read.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Why a webhook never gets an event: the ledger has forgotten it, it is too far behind, or it was tried too often.
const FORGOTTEN: &str = "forgotten";
const BEHIND: &str = "behind";
const TRIES: &str = "tries";

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Whose events it gets.
    pub tenant: TenantId,
    /// Where they go.
    pub url: String,
    /// The key they are signed with.
    pub secret: Secret,
    /// Which events.
    pub events: Vec<EventPattern>,
}

impl From<&sbc_config::Webhook> for Webhook {
    fn from(webhook: &sbc_config::Webhook) -> Webhook {
        Webhook {
            name: webhook.id.to_string(),
            tenant: webhook.tenant.clone(),
            url: webhook.url.to_string(),
            secret: webhook.secret.clone(),
            events: webhook.events.clone(),
        }
    }
}

impl Webhook {
    fn wants(&self, event: &Kept) -> bool {
        event.tenant == self.tenant && self.events.iter().any(|pattern| pattern.matches(&event.kind))
    }

    /// Tells whether this is the receiver that said 410, without keeping its address.
    fn fingerprint(&self) -> String {
        hex(&Sha256::digest(self.url.as_bytes()))
    }
}

/// How patient deliveries are. The defaults are meant to be kept; tests are less patient.
#[derive(Debug, Clone)]
pub struct Patience {
    /// A receiver must answer within this.
    pub answer: Duration,
    /// Pause after the first failure; doubles, with jitter.
    pub retry_min: Duration,
    /// The longest pause.
    pub retry_max: Duration,
    /// Tries for one event before it is given up and the next begins. With the pauses above some
    /// two hours: a receiver's bad deployment, not its weekend.
    pub tries_max: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(10 * 60),
            tries_max: 20,
        }
    }
}

/// All webhooks of the gateway.
pub struct Webhooks {
    ledger: Ledger,
    client: reqwest::Client,
    patience: Patience,
    running: Mutex<HashMap<String, Running>>,
}

struct Running {
    webhook: Webhook,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Webhooks {
    /// None yet: see [`Webhooks::set`].
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(ledger: Ledger, patience: Patience) -> Result<Webhooks, reqwest::Error> {
        let client = crate::client::http()
            .timeout(patience.answer)
            .user_agent(concat!("sidetone/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Webhooks { ledger, client, patience, running: Mutex::new(HashMap::new()) })
    }

    /// From now on these and no others. Those that stay as they are are not disturbed; one that is
    /// changed goes on where it was.
    pub fn set(&self, webhooks: Vec<Webhook>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *running);
        for webhook in webhooks {
            let name = webhook.name.clone();
            let predecessor = match before.remove(&name) {
                Some(same) if same.webhook == webhook => {
                    running.insert(name, same);
                    continue;
                }
                Some(changed) => {
                    changed.stop.send_replace(true);
                    Some(changed.task)
                }
                None => None,
            };
            let (stop, stopped) = watch::channel(false);
            let courier = Courier {
                webhook: webhook.clone(),
                fingerprint: webhook.fingerprint(),
                ledger: self.ledger.clone(),
                client: self.client.clone(),
                patience: self.patience.clone(),
                set_at: self.ledger.latest(),
                stopped,
            };
            let task = tokio::spawn(async move {
                if let Some(predecessor) = predecessor {
                    let _ = predecessor.await; // it writes down how far it got
                }
                courier.run().await;
            });
            running.insert(name, Running { webhook, stop, task });
        }
        for gone in before.into_values() {
            gone.stop.send_replace(true);
        }
    }

    /// Ends all deliveries and waits for requests in flight and until what was delivered is written
    /// down, up to `patience`.
    pub async fn close(&self, patience: Duration) {
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for one in running.values() {
            one.stop.send_replace(true);
        }
        let all = async {
            for one in running.into_values() {
                let _ = one.task.await;
            }
        };
        if timeout(patience, all).await.is_err() {
            tracing::warn!("a webhook did not stop in time; its last events may be delivered again");
        }
    }
}

/// Carries events to one webhook.
struct Courier {
    webhook: Webhook,
    fingerprint: String,
    ledger: Ledger,
    client: reqwest::Client,
    patience: Patience,
    /// Where a webhook begins that was never seen before: with what happens after it was set.
    set_at: u64,
    stopped: watch::Receiver<bool>,
}

/// What became of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Delivered,
    GivenUp,
    /// 410: the receiver wants no more.
    Gone,
    Stopped,
}

impl Courier {
    async fn run(self) {
        for reason in [FORGOTTEN, BEHIND, TRIES] {
            self.dropped(reason, 0);
        }
        let Some((mut delivered, disabled)) = self.begin().await else { return };
        if disabled {
            tracing::warn!(webhook = %self.webhook.name, "this webhook said 410 Gone; change its URL to use it again");
            return;
        }
        let mut kept_at = Instant::now();
        let mut kept = delivered;
        let mut follower = self.ledger.follow(Some(delivered), Some(self.webhook.tenant.clone()));
        loop {
            let page = tokio::select! {
                page = follower.next() => page,
                () = self.stopped() => break,
                () = sleep(KEEP_EVERY), if kept != delivered => {
                    self.keep(delivered, false, &mut kept).await;
                    continue;
                }
            };
            let Ok(page) = page else {
                tokio::select! {
                    () = sleep(STORE_PAUSE) => continue,
                    () = self.stopped() => break,
                }
            };
            if page.gap {
                self.dropped(FORGOTTEN, 1);
            }
            let too_old = self.too_old(&page).await;
            let mut over = None;
            for event in &page.events {
                if self.webhook.wants(event) {
                    if event.seq <= too_old {
                        self.dropped(BEHIND, 1);
                    } else {
                        match self.deliver(event).await {
                            Outcome::Delivered | Outcome::GivenUp => {}
                            end @ (Outcome::Gone | Outcome::Stopped) => {
                                over = Some(end);
                                break;
                            }
                        }
                    }
                }
                delivered = event.seq;
                if kept_at.elapsed() >= KEEP_EVERY {
                    self.keep(delivered, false, &mut kept).await;
                    kept_at = Instant::now();
                }
            }
            match over {
                None => delivered = delivered.max(page.upto),
                Some(Outcome::Gone) => {
                    tracing::warn!(webhook = %self.webhook.name, "the receiver said 410 Gone; this webhook is switched off");
                    self.keep(delivered, true, &mut kept).await;
                    return;
                }
                Some(_) => break,
            }
        }
        self.keep(delivered, false, &mut kept).await;
    }

    /// Up to which number the events of a page are given up; 0 when none is.
    async fn too_old(&self, page: &Page) -> u64 {
        let first = page.events.first().map_or(u64::MAX, |first| first.seq);
        if self.ledger.latest().saturating_sub(first) <= BEHIND_MAX {
            return 0;
        }
        // Numbers skip after a crash, by as many as this: what was on its way then is not old for it. So events are
        // counted. Where they cannot be, one delivered late is better than one that is lost.
        self.ledger.store().event_before(BEHIND_MAX).await.ok().flatten().unwrap_or(0)
    }

    /// Where to go on, and whether the receiver said it wants no more. None when stopped meanwhile.
    async fn begin(&self) -> Option<(u64, bool)> {
        loop {
            match self.known().await {
                Ok(known) => return Some(known),
                Err(_) => tokio::select! {
                    () = sleep(STORE_PAUSE) => {}
                    () = self.stopped() => return None,
                },
            }
        }
    }

    async fn known(&self) -> Result<(u64, bool), StoreError> {
        let store = self.ledger.store();
        if let Some(known) = store.webhook(&self.webhook.name, &self.fingerprint).await? {
            return Ok(known);
        }
        store.set_webhook(&self.webhook.name, &self.fingerprint, self.set_at, false).await?;
        Ok((self.set_at, false))
    }

    async fn keep(&self, delivered: u64, disabled: bool, kept: &mut u64) {
        match self
            .ledger
            .store()
            .set_webhook(&self.webhook.name, &self.fingerprint, delivered, disabled)
            .await
        {
            Ok(()) => *kept = delivered,
            Err(error) => tracing::debug!(error = %error, "a webhook's place could not be written down"),
        }
    }

    /// Tries until the receiver takes the event, or patience ends.
    async fn deliver(&self, event: &Kept) -> Outcome {
        let body = event.cloud_event(self.ledger.source());
        let mut pause = self.patience.retry_min;
        for attempt in 1..=self.patience.tries_max {
            // Not cut off by a stop: what the receiver has taken should not be sent again.
            let outcome = self.post(&body).await;
            counter!(names::WEBHOOK_ATTEMPTS, "webhook" => self.webhook.name.clone(), "outcome" => outcome.label())
                .increment(1);
            match outcome {
                Attempt::Taken => return Outcome::Delivered,
                Attempt::Gone => return Outcome::Gone,
                Attempt::Refused | Attempt::Failed => {}
            }
            if attempt == 1 {
                tracing::info!(webhook = %self.webhook.name, seq = event.seq, "a webhook delivery failed; trying again");
            }
            if attempt < self.patience.tries_max {
                tokio::select! {
                    () = sleep(jittered(pause)) => {}
                    () = self.stopped() => return Outcome::Stopped,
                }
                pause = (pause * 2).min(self.patience.retry_max);
            }
        }
        tracing::warn!(webhook = %self.webhook.name, seq = event.seq, "a webhook delivery was given up");
        self.dropped(TRIES, 1);
        Outcome::GivenUp
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stopped.clone();
        async move {
            // A sender that is gone means the webhook is no longer wanted, too.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }

    async fn post(&self, body: &str) -> Attempt {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let answer = self
            .client
            .post(&self.webhook.url)
            .header(header::CONTENT_TYPE, "application/cloudevents+json")
            .header("sidetone-signature", signature(self.webhook.secret.expose(), at, body))
            .body(body.to_owned())
            .send()
            .await;
        match answer.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => Attempt::Taken,
            Ok(StatusCode::GONE) => Attempt::Gone,
            Ok(_) => Attempt::Refused,
            // The error names the URL, and URLs of webhooks often hold a secret.
            Err(error) => {
                tracing::debug!(webhook = %self.webhook.name, error = %error.without_url(), "a webhook did not answer");
                Attempt::Failed
            }
        }
    }

    fn dropped(&self, reason: &'static str, count: u64) {
        counter!(names::WEBHOOK_DROPPED, "webhook" => self.webhook.name.clone(), "reason" => reason)
            .increment(count);
    }
}

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Taken,
    Gone,
    /// An answer that is no success.
    Refused,
    /// No answer.
    Failed,
}

impl Attempt {
    fn label(self) -> &'static str {
        match self {
            Attempt::Taken => "taken",
            Attempt::Gone => "gone",
            Attempt::Refused => "refused",
            Attempt::Failed => "failed",
        }
    }
}

/// The value of `Sidetone-Signature` for `body` sent at `at`, in seconds since 1970.
pub fn signature(secret: &str, at: u64, body: &str) -> String {
    // HMAC takes keys of any length; the error is for other constructions.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(at.to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    format!("t={at},v1={}", hex(&mac.finalize().into_bytes()))
}

/// Half to all of `pause`, so that receivers that failed together are not tried together.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness there is no jitter, which is no harm.
    let _ = getrandom::fill(&mut random);
    let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
    pause.mul_f64(0.5 + share / 2.0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_hmac_of_time_dot_body() {
        // printf '1763715600.{}' | openssl dgst -sha256 -hmac key
        let expected = "t=1763715600,v1=3478b0358e1b26ceff4ba03983e1d6b511455870e0c0b22883580f84a2cb6a88";
        let signed = signature("key", 1_763_715_600, "{}");
        assert_eq!(signed, expected);
        assert_ne!(signed, signature("key", 1_763_715_600, "{ }"));
        assert_ne!(signed, signature("kez", 1_763_715_600, "{}"));
    }

    #[test]
    fn pauses_have_jitter_and_never_exceed_what_was_asked() {
        let pauses: Vec<_> = (0..64).map(|_| jittered(Duration::from_secs(8))).collect();
        assert!(pauses.iter().all(|pause| (4.0..=8.0).contains(&pause.as_secs_f64())));
        assert!(pauses.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
