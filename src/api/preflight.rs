//! The question whether somebody may be rung, and over what: answered by the same engine, and shown as the same ways, as
//! when somebody is rung.

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiState;
use super::auth::Caller;
use super::extract::Body;
use super::integration::FindingView;
use super::preview::PreviewView;
use super::problem::Problem;
use crate::call::rights::{Actor, Denial};
use crate::observe::Journal as _;
use crate::prereq::{Route, Subject};
use crate::switchboard::desk::Wish;
use crate::switchboard::{Checked, Looked, look};

/// Whether somebody may be rung.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"target": "adele@example.com", "via": "auto"}))]
pub(super) struct NewPreflight {
    /// As a consult names it: the id of one of your people, a user principal name, an Entra object id, or a number.
    pub target: String,
    /// Over which route; `auto` looks at all of them.
    #[serde(default)]
    pub via: Via,
}

/// A route, or all.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Via {
    /// The cheapest that works.
    #[default]
    Auto,
    /// ACS to the Teams client.
    Voip,
    /// Their telephone number.
    Pstn,
    /// Their Teams number over our trunk.
    DirectRouting,
}

/// What the checks came to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Preflight {
    /// The route at Microsoft that would be taken; absent when every one is refused, or when none is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub route: Option<&'static str>,
    /// Each route that was looked at, in order of preference.
    pub routes: Vec<RouteReport>,
    /// The ways that are configured, as a consult or transfer would show and take them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub preview: Option<PreviewView>,
}

/// One route.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RouteReport {
    /// `voip`, `pstn` or `direct_routing`.
    pub via: &'static str,
    /// Whether somebody would be rung over it now.
    pub clear: bool,
    /// Why not, as in a preview; `not_configured` when nothing here leads over it, whatever the checks say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub obstacle: Option<&'static str>,
    /// What was found, in the order of the checks.
    pub findings: Vec<FindingView>,
}

/// Ask whether somebody may be rung, and over what.
///
/// The same engine decides before every dial. Nothing is dialled.
#[utoipa::path(post, path = "/v1/preflights", operation_id = "preflight", tag = "prerequisites",
    request_body = NewPreflight,
    responses((status = 200, description = "What the checks came to", body = Preflight)))]
pub(super) async fn preflight(
    State(state): State<ApiState>,
    caller: Caller,
    Body(new): Body<NewPreflight>,
) -> Result<Json<Preflight>, Problem> {
    let tenant = match &caller.principal.actor {
        // Whoever may ask for an expert may ask whether that would work.
        Actor::Agent { tenant, .. }
        | Actor::Supervisor { tenant, .. }
        | Actor::TenantAdmin { tenant }
        | Actor::Integration { tenant } => tenant.clone(),
        Actor::Operator => return Err(state.refused(&caller, "preflight", "gateway", Denial::RoleForbids)),
    };
    let asker = caller.entra_id().map(Subject::person);
    let wish = Wish { target: new.target, via: new.via.into() };
    let config = state.configuration().ok_or_else(Problem::internal)?.load_full();
    let looked = look(&config, state.engine()?, &tenant, &wish, asker.as_ref()).await?;
    let preflight = Preflight::from(looked);
    state.ledger().event(crate::observe::Event {
        kind: "preflight.completed",
        tenant,
        call: None,
        audience: Default::default(),
        at: SystemTime::now(),
        data: serde_json::json!({
            "route": preflight.route,
            "refused": preflight.routes.iter().filter(|route| !route.clear).map(|route| route.via).collect::<Vec<_>>(),
        }),
    });
    Ok(Json(preflight))
}

impl From<Looked> for Preflight {
    fn from(looked: Looked) -> Preflight {
        let route = looked.route().map(Route::name);
        let report = |Checked { route, obstacle, findings }: Checked| RouteReport {
            via: route.name(),
            clear: obstacle.is_none(),
            obstacle,
            findings: findings.into_iter().map(FindingView::from).collect(),
        };
        let routes = looked.routes.into_iter().map(report).collect();
        Preflight { route, routes, preview: looked.preview.ok().map(PreviewView::from) }
    }
}
