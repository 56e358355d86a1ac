//! Certificates while the gateway runs: taken over when their files change or SIGHUP says so, told of, and counted down to
//! their end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use sbc_config::{Config, TenantId};
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::observe::metrics::{CERTIFICATE_DAYS_LEFT, CERTIFICATE_FILES_WRONG, CERTIFICATE_RELOADS};
use crate::observe::{Audience, Event, Journal as _, Ledger};
use crate::tls::files::{self, FileError};
use crate::tls::{Identity, Material, Tls};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Seconds in a day.
const DAY_S: i64 = 86_400;

/// Keeps the TLS material equal to the files and the configuration. Files that are wrong change nothing: what was in
/// force stays, and log, metrics and events say so and why.
pub(super) async fn follow(config: Arc<ArcSwap<Config>>, beside: PathBuf, tls: Arc<Tls>, ledger: Ledger) {
    let mut keeper = Keeper { config, beside, tls, ledger, doubt: Doubt::None };
    let mut seen = state(&keeper.config.load_full(), &keeper.beside);
    count_down(&keeper.tls.material());
    metrics::gauge!(CERTIFICATE_FILES_WRONG).set(0.0);
    let mut hangup = signal(SignalKind::hangup()).inspect_err(|error| {
        tracing::warn!(%error, "SIGHUP is not listened to; changed certificate files are seen all the same");
    });
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = look.tick() => {
                let now = state(&keeper.config.load_full(), &keeper.beside);
                if now == seen {
                    keeper.still_wrong();
                } else {
                    seen = now;
                    keeper.reload(Patience::ALook);
                }
            }
            Some(()) = hung_up(&mut hangup) => {
                seen = state(&keeper.config.load_full(), &keeper.beside);
                keeper.reload(Patience::None);
            }
        }
        count_down(&keeper.tls.material());
    }
}

/// The next SIGHUP; never, where it is not listened to.
async fn hung_up(hangup: &mut std::io::Result<Signal>) -> Option<()> {
    match hangup {
        Ok(hangup) => hangup.recv().await,
        Err(_) => std::future::pending().await,
    }
}

struct Keeper {
    config: Arc<ArcSwap<Config>>,
    beside: PathBuf,
    tls: Arc<Tls>,
    ledger: Ledger,
    doubt: Doubt,
}

/// What is thought of files that cannot be used.
enum Doubt {
    None,
    /// Perhaps the moment between a new certificate and its new key: it is told if it is so at the next look, too.
    Fresh(FileError),
    /// It has been told.
    Told,
}

/// How long files that are wrong may be so before it is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Until the next look.
    ALook,
    /// Whoever sent SIGHUP has finished writing, and wants to know.
    None,
}

impl Keeper {
    fn reload(&mut self, patience: Patience) {
        let config = self.config.load_full();
        match files::load(&config, &self.beside) {
            Ok(material) => self.take_over(&config, material),
            Err(error) if patience == Patience::ALook => self.doubt = Doubt::Fresh(error),
            Err(error) => self.tell_wrong(&error),
        }
    }

    fn take_over(&mut self, config: &Config, material: Material) {
        self.doubt = Doubt::None;
        metrics::gauge!(CERTIFICATE_FILES_WRONG).set(0.0);
        metrics::counter!(CERTIFICATE_RELOADS, "outcome" => "reloaded").increment(1);
        let before = self.tls.material();
        let renewed: Vec<_> = material
            .identities
            .iter()
            .filter(|identity| !before.identities.iter().any(|known| known == *identity))
            .cloned()
            .collect();
        tracing::info!(
            certificates = material.identities.len(),
            renewed = renewed.len(),
            "certificates are reloaded; connections made with those before close when they are idle"
        );
        self.tls.replace(material);
        for identity in renewed {
            let data = json!({
                "certificate": identity.id(),
                "not_after": identity.not_after(),
                "days_left": days_left(&identity).floor(),
            });
            self.tell(config, "certificate.renewed", Some(identity.id()), &data);
        }
    }

    /// Nothing has changed since the last look: what was wrong then is no passing moment.
    fn still_wrong(&mut self) {
        match std::mem::replace(&mut self.doubt, Doubt::None) {
            Doubt::Fresh(error) => self.tell_wrong(&error),
            known @ (Doubt::None | Doubt::Told) => self.doubt = known,
        }
    }

    fn tell_wrong(&mut self, error: &FileError) {
        self.doubt = Doubt::Told;
        let because = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(%error, because, "the certificates before stay in force");
        metrics::gauge!(CERTIFICATE_FILES_WRONG).set(1.0);
        metrics::counter!(CERTIFICATE_RELOADS, "outcome" => "failed").increment(1);
        let certificate = match error {
            FileError::Identity { id, .. } => Some(id.as_str()),
            FileError::Unreadable { .. } | FileError::Roots { .. } => None,
        };
        // Paths are the operator's affair; they are in the log.
        let data = json!({ "certificate": certificate, "reason": error.reason() });
        self.tell(&self.config.load_full(), "certificate.reload_failed", certificate, &data);
    }

    /// To the tenants whose trunks show this certificate; to all when none does, or when it is about every one.
    fn tell(&self, config: &Config, kind: &'static str, certificate: Option<&str>, data: &Value) {
        for tenant in concerned(config, certificate) {
            self.ledger.event(Event {
                kind,
                tenant,
                call: None,
                audience: Audience::default(),
                at: SystemTime::now(),
                data: data.clone(),
            });
        }
    }
}

fn concerned(config: &Config, certificate: Option<&str>) -> Vec<TenantId> {
    let first = config.certificates.first().map(|first| &first.id);
    let shows = |tenant: &TenantId| {
        let own = config.trunks.iter().filter(|trunk| trunk.tenant == *tenant);
        own.filter_map(|trunk| trunk.certificate.as_ref().or(first))
            .any(|id| Some(id.as_str()) == certificate)
    };
    let all: Vec<TenantId> = config.tenants.iter().map(|tenant| tenant.id.clone()).collect();
    let some: Vec<TenantId> = all.iter().filter(|tenant| shows(tenant)).cloned().collect();
    if some.is_empty() { all } else { some }
}

/// What the material depends on.
fn state(config: &Config, beside: &Path) -> (files::Stamp, String) {
    // Certificates and rules are few and change rarely: their description is their fingerprint.
    let rules = config.trunks.iter().map(|t| (&t.id, &t.sources, &t.certificate, &t.tls)).collect::<Vec<_>>();
    (files::stamp(config, beside), format!("{:?}{rules:?}", config.certificates))
}

fn count_down(material: &Material) {
    for identity in &material.identities {
        metrics::gauge!(CERTIFICATE_DAYS_LEFT, "identity" => identity.id().to_owned())
            .set(days_left(identity));
    }
}

fn days_left(identity: &Identity) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    identity.not_after().saturating_sub(now) as f64 / DAY_S as f64
}
