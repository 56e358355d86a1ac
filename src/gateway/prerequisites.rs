//! Keeps the prerequisite engine up to date: accounts of the configuration, evidence of the store, the state of
//! trunks, and the notice that a credential ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use metrics::gauge;
use sbc_config::{Config, TenantId};
use serde_json::json;

use crate::observe::{Audience, Event, Journal as _, Ledger, Store, StoreError, metrics as names};
use crate::prereq::{Check, Engine, Evidence, Source, Subject, Verdict};

/// How often the store is looked at for what the command line put there, and trunk states are renewed.
const LOOK: Duration = Duration::from_secs(10);
/// How often the end of a credential is told again.
const NOTICE_AGAIN: Duration = Duration::from_secs(24 * 3600);

/// Loads what the store keeps for every account.
///
/// # Errors
/// When the store fails.
pub async fn recall(engine: &Engine, store: &Store) -> Result<(), StoreError> {
    for tenant in engine.tenants() {
        let options = store.integration(&tenant).await?;
        let options = options.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        if engine.account(&tenant).is_some_and(|account| account.options() != options) {
            engine.choose(&tenant, options);
        }
        engine.note(&tenant, store.evidence(&tenant).await?);
    }
    Ok(())
}

/// Runs for as long as the gateway does.
pub(super) async fn keep(engine: Engine, ledger: Ledger, config: Arc<ArcSwap<Config>>) {
    let mut in_force = config.load_full();
    let mut look = tokio::time::interval(LOOK);
    let mut follower = ledger.follow(None, None);
    // What trunks said last, by name.
    let mut trunks: HashMap<String, bool> = HashMap::new();
    let mut told: HashMap<TenantId, SystemTime> = HashMap::new();
    loop {
        tokio::select! {
            _ = look.tick() => {}
            page = follower.next() => {
                let Ok(page) = page else {
                    // The store is down; the next look tries again.
                    look.tick().await;
                    continue;
                };
                let changed: Vec<_> = page.events.iter().filter(|event| event.kind.starts_with("trunk.")).collect();
                if changed.is_empty() {
                    continue;
                }
                for event in changed {
                    if let Some(trunk) = event.data_value().get("trunk").and_then(|trunk| trunk.as_str()) {
                        trunks.insert(trunk.to_owned(), event.kind == "trunk.up");
                    }
                }
            }
        }
        let now = config.load_full();
        if !Arc::ptr_eq(&now, &in_force) {
            in_force = now;
            engine.configure(&in_force.integrations);
        }
        if let Err(error) = recall(&engine, ledger.store()).await {
            tracing::debug!(%error, "evidence could not be read from the store");
        }
        for account in &in_force.integrations {
            let trunk = account.direct_routing_trunk.as_ref();
            if let Some(up) = trunk.and_then(|trunk| trunks.get(trunk.as_str())) {
                engine.note(&account.tenant, [trunk_state(*up)]);
            }
            if let Some(acs) = in_force.acs.iter().find(|acs| acs.tenant == account.tenant) {
                // Its answer is evidence; nobody here waits for it.
                let _ = engine.try_acs(&account.tenant, &acs.endpoint);
            }
            notice(&engine, &ledger, &account.tenant, &mut told);
        }
    }
}

fn trunk_state(up: bool) -> Evidence {
    let (verdict, code) = if up { (Verdict::Pass, "up") } else { (Verdict::Fail, "down") };
    Evidence::new(Check::TrunkUp, Subject::Tenant, verdict, code, Source::Sip, SystemTime::now())
}

/// Tells once a day that a credential ends within 15 days, or has ended.
fn notice(engine: &Engine, ledger: &Ledger, tenant: &TenantId, told: &mut HashMap<TenantId, SystemTime>) {
    let Some(expiry) = engine.secret_expiry(tenant) else { return };
    let end = expiry.value.as_deref().and_then(|end| end.parse::<jiff::Timestamp>().ok());
    if let Some(end) = end {
        // Seconds since 1970; a dashboard subtracts the time.
        gauge!(names::SECRET_EXPIRES, "tenant" => tenant.to_string()).set(end.as_second() as f64);
    }
    let now = SystemTime::now();
    let lately =
        told.get(tenant).is_some_and(|at| now.duration_since(*at).is_ok_and(|age| age < NOTICE_AGAIN));
    if expiry.verdict != Verdict::Fail || lately {
        return;
    }
    told.insert(tenant.clone(), now);
    tracing::warn!(%tenant, code = %expiry.code, "the credential of an integration ends");
    ledger.event(Event {
        kind: "integration.secret_expiring",
        tenant: tenant.clone(),
        call: None,
        audience: Audience::default(),
        at: now,
        data: json!({ "code": expiry.code, "ends_at": expiry.value, "source": expiry.source.name() }),
    });
}

#[cfg(test)]
mod tests {
    use sbc_config::{SecretError, SecretSource};

    use super::*;
    use crate::observe::LedgerSettings;
    use crate::prereq::gather::Options;

    struct NoSecrets;

    impl SecretSource for NoSecrets {
        fn file(&self, _: &str) -> Result<String, SecretError> {
            Err(SecretError::NotFound)
        }

        fn env(&self, _: &str) -> Result<String, SecretError> {
            Err(SecretError::NotFound)
        }
    }

    #[tokio::test]
    async fn a_credential_that_ends_soon_is_told_of_once_a_day_and_one_that_does_not_never() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("store").display());
        let store = Store::open(&url).await.unwrap();
        let (ledger, writer) = Ledger::open(store, LedgerSettings::default()).await.unwrap();
        tokio::spawn(writer.run());
        let text = "sip.udp = '127.0.0.1:5060'\n[[tenant]]\nid = 'acme'\n[[integration]]\ntenant = 'acme'";
        let config = Config::parse(text, &NoSecrets).unwrap();
        let engine = Engine::new().unwrap();
        engine.configure(&config.integrations);
        let tenant = config.tenants[0].id.clone();
        let mut told = HashMap::new();
        let mut follower = ledger.follow(Some(0), Some(tenant.clone()));

        for (days, events) in [(20, 0), (14, 1), (14, 1)] {
            let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
            let expires = Some(end.to_zoned(jiff::tz::TimeZone::UTC).date().to_string());
            engine.choose(&tenant, Options { expires, ..Options::default() });
            notice(&engine, &ledger, &tenant, &mut told);
            assert_eq!(ledger.latest(), events, "{days} days");
        }
        let page = follower.next().await.unwrap();
        assert_eq!(&*page.events[0].kind, "integration.secret_expiring");
        assert_eq!(page.events[0].data_value()["code"], "expires_soon");
        // A day later it is told again.
        told.insert(tenant.clone(), SystemTime::now() - NOTICE_AGAIN);
        notice(&engine, &ledger, &tenant, &mut told);
        assert_eq!(ledger.latest(), 2);
    }
}
