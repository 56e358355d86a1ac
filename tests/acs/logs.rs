//! What log lines may say: above debug nobody's number or name, and no secret in any line.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sidetone::observe::logging::env_filter;
use sidetone::sim::acs::{ACCESS_KEY, Behaviour, Entry, Faults, Flaw};
use sidetone::sim::phone::{Line, Status};
use sidetone::sim::stage::{Setting, TokenOf, WEBHOOK, at};
use sidetone::sim::voice::Voice;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::Story;
use crate::support::{House, LINE};

const CALLER: &str = "4:+15550987321";
const NAME: &str = "Cornelia Canary";
const CALLED: &str = "4:+15550987654";
const WORDS: &str = "Participant +15550123987 of Cornelius Canary cannot be reached";

/// What is logged on this thread for as long as the guard is held.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Listens from now on.
    pub(crate) fn of(
        level: &str,
    ) -> Result<(Lines, tracing::subscriber::DefaultGuard), Box<dyn std::error::Error>> {
        let lines = Lines::default();
        let writer = {
            let lines = lines.clone();
            move || lines.clone()
        };
        let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
        let subscriber = tracing_subscriber::registry().with(env_filter(level)?).with(layer);
        Ok((lines, tracing::subscriber::set_default(subscriber)))
    }

    /// All of it so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Calls that go well and badly in every way that is logged; the lines, and the secrets that were used.
async fn logged(level: &str) -> Result<(String, Vec<String>), Box<dyn std::error::Error>> {
    let (lines, _guard) = Lines::of(level)?;
    let more = "[[route]]\nid = \"out\"\ntenant = \"demo\"\nnumber = \"+15550987654\"\ntargets = [\"acs:contoso\"]\n\
                ring_s = 60\n";
    let house = House::set(Setting { acs_more: more.to_owned(), ..Setting::default() }).await?;
    let mut secrets = vec![ACCESS_KEY.to_owned(), "stage-webhook".to_owned()];
    let alice = &house.stage.alice;
    house.acs.is_named(CALLER, NAME);
    secrets.push(house.acs.call(CALLER, LINE, Voice::Silence, WEBHOOK, true));
    let talks = |status: &Status| status.line == Line::Talking;
    alice.phone.until("a call from ACS", talks).await.map_err(at(alice))?;
    house.acs.until_figures(CALLER, "sound to the customer", |figures| figures.frames > 10).await?;
    let callback = house.acs.callback_of(CALLER).ok_or("no callback")?;
    secrets.push(callback.rsplit('/').next().unwrap_or_default().to_owned());

    // Strangers with tokens that are wrong, at addresses that are right.
    for flaw in [Flaw::Expired, Flaw::UnknownKey, Flaw::PublicKeyAsSecret] {
        let token = house.acs.authorization(flaw).ok_or("no token")?;
        reqwest::Client::new().post(&callback).header("authorization", &token).body("[]").send().await?;
        secrets.push(token.trim_start_matches("Bearer ").to_owned());
    }
    // From here on the service refuses, in words that name people.
    let refused = [":terminate", ":startMediaStreaming"].map(str::to_owned).to_vec();
    house.acs.faults(Faults {
        words: WORDS.to_owned(),
        refused,
        stream_token: Some(Flaw::Audience),
        ..Faults::default()
    });
    house.acs.drops_stream(CALLER, Duration::ZERO).await;
    let is =
        |wanted: &'static str| move |entry: &Entry| matches!(entry, Entry::Event(kind, _) if kind == wanted);
    house.acs.until("a refused stream", |all| all.iter().any(is("MediaStreamingFailed"))).await?;
    let asked = |tail: &'static str| {
        move |all: &[Entry]| {
            all.iter().any(|e| matches!(e, Entry::Request(_, target, 400) if target.ends_with(tail)))
        }
    };
    house.acs.until("a new stream that is refused", asked(":startMediaStreaming")).await?;
    let call = house.stage.until_call("the call", |_| true).await?;
    house.stage.api_of(TokenOf::Crm).hang_up(&call.id).await?;
    house.acs.until("an end that is refused", asked(":terminate")).await?;
    house.stage.until_no_call().await?;
    // A telephone at ACS that is busy, and one that may not be called.
    house.acs.behaves(CALLED, Behaviour::Fails(486, 560_486));
    house.stage.customer_dials("+15550987654").await?;
    house.acs.until("a failure", |all| all.iter().any(is("CreateCallFailed"))).await?;
    house.stage.until_no_call().await?;
    let refused = vec!["/calling/callConnections".to_owned()];
    house.acs.faults(Faults { words: WORDS.to_owned(), refused, ..Faults::default() });
    house.stage.customer_dials("+15550987654").await?;
    house.acs.until("a refused call", asked("/calling/callConnections")).await?;
    house.stage.until_no_call().await?;
    house.stage.stop().await;
    Ok((lines.text(), secrets))
}

pub(crate) fn has_none_of(text: &str, canaries: &[String]) {
    for canary in canaries {
        assert!(!text.contains(canary.as_str()), "{canary} in: {text}");
    }
}

/// One thread, so that all that is logged passes through this test's subscriber.
#[tokio::test]
async fn above_debug_no_line_names_anybody() -> Story {
    let (text, mut canaries) = logged("info").await?;
    for line in [
        "ACS did not end a call",
        "ACS refuses an operation",
        "a token is not believed",
        "a media stream failed",
    ] {
        assert!(text.contains(line), "the test sees what is logged: {line} is missing in {text}");
    }
    let people =
        [CALLER, CALLED, "15550987", "15550123987", "Canary", "Cornel", LINE.trim_start_matches("4:")];
    canaries.extend(people.map(str::to_owned));
    has_none_of(&text, &canaries);
    Ok(())
}

#[tokio::test]
async fn no_secret_is_in_any_line_even_at_trace() -> Story {
    let (text, secrets) = logged("trace").await?;
    assert!(text.contains("because") && text.contains("Cornelius"), "the test sees DEBUG lines: {text}");
    has_none_of(&text, &secrets);
    Ok(())
}
