//! The house at a glance: people, trunks and the account at Microsoft, as far as the caller may see them. What a
//! wallboard shows beside the calls.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use sbc_config::{Config, PersonRole, Reach, TenantId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::ApiState;
use super::auth::Caller;
use super::problem::Problem;
use crate::call::rights::{Actor, Denial};
use crate::observe::Kept;
use crate::prereq::Verdict;

/// Pause after the journal could not be read.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What trunks said last, by name.
#[derive(Debug, Default)]
pub(super) struct Trunks(Mutex<HashMap<String, Said>>);

#[derive(Debug, Clone)]
struct Said {
    up: bool,
    at: SystemTime,
    detail: String,
}

impl Trunks {
    fn note(&self, event: &Kept) {
        let up = match &*event.kind {
            "trunk.up" => true,
            "trunk.down" => false,
            _ => return,
        };
        let data = event.data_value();
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let at = UNIX_EPOCH + Duration::from_micros(u64::try_from(event.at).unwrap_or_default());
        let said = Said { up, at, detail: text("detail") };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(text("trunk"), said);
    }

    fn of(&self, trunk: &str) -> Option<Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(trunk).cloned()
    }

    /// Forgets trunks that are not configured any more, so that the map does not grow with their names.
    fn keep(&self, config: &Config) {
        let mut trunks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trunks.retain(|name, _| config.trunks.iter().any(|trunk| trunk.id.as_str() == name));
    }
}

/// Follows what trunks say, for as long as the API is served.
pub(super) async fn follow_trunks(state: ApiState) {
    let mut follower = state.ledger().follow(None, None);
    loop {
        match follower.next().await {
            Ok(page) => page.events.iter().for_each(|event| state.trunks().note(event)),
            Err(_) => tokio::time::sleep(STORE_PAUSE).await,
        }
        if let Some(config) = state.configuration() {
            state.trunks().keep(&config.load());
        }
    }
}

/// The house at a glance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"tenant": "acme", "name": "Acme", "teams": [{"id": "support", "name": "Support"}],
    "people": [{"id": "alice", "name": "Alice", "role": "agent", "teams": ["support"], "extension": "100",
        "browser": true, "signed_in": true}],
    "trunks": [{"id": "carrier", "up": true, "since": "2026-11-25T09:00:00Z"}],
    "integration": {"state": "pass", "ends_at": "2027-01-31T00:00:00Z"}, "draining": false}))]
pub(super) struct Overview {
    /// The tenant.
    pub tenant: String,
    /// Its name for people.
    pub name: String,
    /// Its teams.
    pub teams: Vec<TeamView>,
    /// Its agents and supervisors.
    pub people: Vec<PersonView>,
    /// Its trunks; not for agents.
    pub trunks: Vec<TrunkView>,
    /// Its account at Microsoft, if it has one; for its admin and its software.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub integration: Option<Account>,
    /// Whether the gateway takes no new calls.
    pub draining: bool,
}

/// A team.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TeamView {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
}

/// Somebody who answers or supervises.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PersonView {
    /// Their id: what consults, transfers and supervisions are told.
    pub id: String,
    /// Their name for people.
    pub name: String,
    /// `agent` or `supervisor`.
    pub role: &'static str,
    /// Their teams.
    pub teams: Vec<String>,
    /// Their short number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub extension: Option<String>,
    /// Whether their calls ring in a browser.
    pub browser: bool,
    /// Whether they are signed in to the console.
    pub signed_in: bool,
}

/// A trunk.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TrunkView {
    /// Its id.
    pub id: String,
    /// Whether a destination answers; absent when none is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub up: Option<bool>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub since: Option<Timestamp>,
    /// What it says of itself; for the admin and software.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
}

/// The account at Microsoft.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Account {
    /// Whether its credential has some time left: `pass`, `fail` or `unknown`.
    pub state: &'static str,
    /// A stable word for why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub code: Option<String>,
    /// When the credential ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ends_at: Option<String>,
}

/// See the house at a glance.
///
/// People, trunks and the account at Microsoft. Live calls are a list of their own.
#[utoipa::path(get, path = "/v1/overview", operation_id = "getOverview", tag = "house",
    responses((status = 200, description = "What the caller may see of it", body = Overview)))]
pub(super) async fn get(State(state): State<ApiState>, caller: Caller) -> Result<Json<Overview>, Problem> {
    let actor = &caller.principal.actor;
    let Some(tenant) = actor.tenant() else {
        return Err(state.refused(&caller, "read_overview", "overview", Denial::RoleForbids));
    };
    let config = state.configuration().map(|config| config.load_full()).ok_or_else(Problem::internal)?;
    let whole = matches!(actor, Actor::TenantAdmin { .. } | Actor::Integration { .. });
    let trunks = if whole || matches!(actor, Actor::Supervisor { .. }) {
        state.trunks_of(&config, tenant, whole)
    } else {
        Vec::new()
    };
    let texts = |all: &[sbc_config::TeamId]| all.iter().map(ToString::to_string).collect();
    let signed_in = state.signed_in(tenant);
    let people = config.people.iter().filter(|one| one.tenant == *tenant && one.role != PersonRole::Customer);
    let people = people.map(|one| PersonView {
        id: one.id.to_string(),
        name: one.display_name.as_deref().unwrap_or(one.id.as_str()).to_owned(),
        role: if one.role == PersonRole::Supervisor { "supervisor" } else { "agent" },
        teams: texts(&one.teams),
        extension: one.extension.as_deref().map(str::to_owned),
        browser: one.reach == Reach::Browser,
        signed_in: signed_in.contains(&one.id.to_string()),
    });
    let teams = config.teams.iter().filter(|team| team.tenant == *tenant);
    Ok(Json(Overview {
        tenant: tenant.to_string(),
        name: config.tenant(tenant).map_or_else(|| tenant.to_string(), |known| known.name.to_string()),
        teams: teams.map(|team| TeamView { id: team.id.to_string(), name: team.name.to_string() }).collect(),
        people: people.collect(),
        trunks,
        integration: whole.then(|| state.account_of(tenant)).flatten(),
        draining: state.readiness().draining(),
    }))
}

impl ApiState {
    fn trunks_of(&self, config: &Config, tenant: &TenantId, whole: bool) -> Vec<TrunkView> {
        let own = config.trunks.iter().filter(|trunk| trunk.tenant == *tenant);
        own.map(|trunk| {
            let said = self.trunks().of(trunk.id.as_str());
            let detail = said.as_ref().map(|said| said.detail.clone());
            TrunkView {
                id: trunk.id.to_string(),
                up: said.as_ref().map(|said| said.up),
                since: said.as_ref().map(|said| super::timestamp(said.at)),
                detail: detail.filter(|detail| whole && !detail.is_empty()),
            }
        })
        .collect()
    }

    fn account_of(&self, tenant: &TenantId) -> Option<Account> {
        let engine = self.engine().ok()?;
        engine.account(tenant)?;
        let expiry = engine.secret_expiry(tenant);
        Some(Account {
            state: expiry.as_ref().map_or(Verdict::Unknown, |expiry| expiry.verdict).name(),
            code: expiry.as_ref().map(|expiry| expiry.code.to_string()),
            ends_at: expiry.and_then(|expiry| expiry.value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Audience, Event, Journal as _, Ledger, LedgerSettings, Store};

    #[tokio::test]
    async fn a_trunk_is_as_it_said_last_and_one_taken_out_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", dir.path().join("store").display())).await.unwrap();
        let (ledger, _writer) = Ledger::open(store, LedgerSettings::default()).await.unwrap();
        let mut follower = ledger.follow(None, None);
        for (kind, trunk, detail) in
            [("trunk.up", "carrier", ""), ("trunk.down", "carrier", "timeout"), ("trunk.up", "other", "")]
        {
            ledger.event(Event {
                kind,
                tenant: TenantId::new("demo").unwrap(),
                call: None,
                audience: Audience::default(),
                at: SystemTime::now(),
                data: serde_json::json!({ "trunk": trunk, "detail": detail }),
            });
        }
        let trunks = Trunks::default();
        follower.next().await.unwrap().events.iter().for_each(|event| trunks.note(event));
        let said = trunks.of("carrier").unwrap();
        assert!(!said.up && said.detail == "timeout");
        assert!(trunks.of("other").is_some_and(|said| said.up) && trunks.of("third").is_none());
    }
}
