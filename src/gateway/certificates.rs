//! Certificates while the gateway runs: taken over when their files change, and counted down to their end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use sbc_config::Config;

use crate::observe::metrics::CERTIFICATE_DAYS_LEFT;
use crate::tls::{Material, Tls, files};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Seconds in a day.
const DAY_S: i64 = 86_400;

/// Keeps the TLS material equal to the files and the configuration. Files that are wrong change nothing: what was in
/// force stays, and the log says so. That also bridges the moment between a new certificate and its new key.
pub(super) async fn follow(config: Arc<ArcSwap<Config>>, beside: PathBuf, tls: Arc<Tls>) {
    let mut seen = state(&config.load_full(), &beside);
    count_down(&tls.material());
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        let current = config.load_full();
        let now = state(&current, &beside);
        if now != seen {
            seen = now;
            match files::load(&current, &beside) {
                Ok(material) => {
                    tracing::info!(
                        certificates = material.identities.len(),
                        "certificates are reloaded; connections made with those before close when they are idle"
                    );
                    tls.replace(material);
                }
                Err(error) => {
                    let because = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, because, "the certificates before stay in force");
                }
            }
        }
        count_down(&tls.material());
    }
}

/// What the material depends on.
fn state(config: &Config, beside: &std::path::Path) -> (files::Stamp, String) {
    // Certificates and rules are few and change rarely: their description is their fingerprint.
    let rules = config.trunks.iter().map(|t| (&t.id, &t.sources, &t.certificate, &t.tls)).collect::<Vec<_>>();
    (files::stamp(config, beside), format!("{:?}{rules:?}", config.certificates))
}

fn count_down(material: &Material) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    for identity in &material.identities {
        let left = identity.not_after().saturating_sub(now) as f64 / DAY_S as f64;
        metrics::gauge!(CERTIFICATE_DAYS_LEFT, "identity" => identity.id().to_owned()).set(left);
    }
}
