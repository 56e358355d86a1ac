//! No secret and no token in any log line, at the most verbose level there is.

use std::io::Write;
use std::sync::{Arc, Mutex};

use sidetone::observe::logging::env_filter;
use sidetone::prereq::Route;
use sidetone::prereq::account::test;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::stage::{ADELE, Stage};

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

/// One thread, so that everything passes through this test's subscriber.
#[tokio::test]
async fn secrets_and_tokens_are_in_no_line_even_at_trace() {
    let lines = Lines::default();
    let writer = {
        let lines = lines.clone();
        move || lines.clone()
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    let subscriber = tracing_subscriber::registry().with(env_filter("trace").unwrap()).with(layer);
    let _guard = tracing::subscriber::set_default(subscriber);

    let stage = Stage::new().await;
    assert!(stage.clear(ADELE, Route::Voip).await);
    let account = stage.engine.account(&stage.tenant).unwrap();
    stage.cloud.world().token_fault = Some((401, r#"{"error":"invalid_client","error_codes":[1]}"#.into()));
    let tested = test(&account).await;
    tracing::info!(?tested, settings = ?stage.settings(), "shown");

    let text = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
    assert!(text.contains("no token for the checks"), "the log is looked at: {text}");
    for canary in ["canary", "x7Q", "+14255550100", "adele@example.com"] {
        assert!(!text.contains(canary), "{canary}: {text}");
    }
    let sent = stage.cloud.world().token_requests.join("\n");
    assert!(sent.contains("client_secret=x7Q-canary-s3cret"), "it was sent where it belongs");
}
