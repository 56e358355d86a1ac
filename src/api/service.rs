//! The gateway as a service: alive, ready, measured, drained.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::ApiState;
use super::auth::{Caller, recognise_from};
use super::problem::Problem;
use crate::call::rights::{Act, Actor, Denial};
use crate::connections::Source;
use crate::switchboard::desk::{Answer, Request};

/// How long the store may take to give a sign of life.
const STORE_PING_MAX: Duration = Duration::from_secs(1);

/// What readiness depends on besides the store; set by whoever knows.
#[derive(Debug, Default)]
pub struct Readiness {
    listeners_up: AtomicBool,
    draining: AtomicBool,
}

impl Readiness {
    /// Whether the SIP listeners take calls.
    pub fn set_listeners_up(&self, up: bool) {
        self.listeners_up.store(up, Ordering::Relaxed);
    }

    /// Whether they do.
    pub fn listeners_up(&self) -> bool {
        self.listeners_up.load(Ordering::Relaxed)
    }

    /// No new calls are taken from now on.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether new calls are no longer taken.
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Alive.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "ok"}))]
pub(super) struct Health {
    /// Always `ok`: a process that cannot say so says nothing.
    pub status: &'static str,
}

/// Whether calls should be sent here.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"ready": true, "store": true, "listeners": true, "draining": false}))]
pub(super) struct Ready {
    /// Whether everything below is as it should be.
    pub ready: bool,
    /// Whether the store can be read and takes writes.
    pub store: bool,
    /// Whether the SIP listeners are up.
    pub listeners: bool,
    /// Whether new calls are no longer taken.
    pub draining: bool,
}

/// Draining.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"draining": true, "calls": 12}))]
pub(super) struct Draining {
    /// Always true.
    pub draining: bool,
    /// Calls still up.
    pub calls: usize,
}

/// Ask whether the gateway is alive.
#[utoipa::path(get, path = "/healthz", operation_id = "health", tag = "service", security(()),
    responses((status = 200, description = "Alive", body = Health)))]
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Ask whether calls should be sent here.
#[utoipa::path(get, path = "/readyz", operation_id = "ready", tag = "service", security(()),
    responses((status = 200, description = "Ready", body = Ready), (status = 503, description = "Not ready", body = Ready)))]
pub(super) async fn readyz(State(state): State<ApiState>) -> (StatusCode, Json<Ready>) {
    let reached = matches!(timeout(STORE_PING_MAX, state.store().ping()).await, Ok(Ok(())));
    let store = reached && state.ledger().store_is_well();
    let listeners = state.readiness().listeners_up();
    let draining = state.readiness().draining();
    let ready = store && listeners && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, store, listeners, draining }))
}

/// Read the metrics.
///
/// In the Prometheus text format. Needs an operator's token.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "service",
    responses((status = 200, description = "All metrics", content_type = "text/plain", body = String)))]
pub(super) async fn metrics(
    State(state): State<ApiState>,
    source: Option<Extension<ConnectInfo<Source>>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let source = source.map(|Extension(ConnectInfo(source))| source);
    let caller = recognise_from(&state, source.as_ref(), &headers).await?;
    if caller.principal.actor != Actor::Operator {
        return Err(state.refused(&caller, "read_metrics", "metrics", Denial::RoleForbids));
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, state.render_metrics()).into_response())
}

/// Take no new calls.
///
/// Calls that are up go on. There is no way back but a restart.
#[utoipa::path(post, path = "/v1/drain", operation_id = "drain", tag = "service",
    responses((status = 202, description = "Draining", body = Draining)))]
pub(super) async fn drain(
    State(state): State<ApiState>,
    caller: Caller,
) -> Result<(StatusCode, Json<Draining>), Problem> {
    state.allow_platform(&caller, Act::Operate, "drain")?;
    match state.ask(&caller, Request::Drain).await? {
        Answer::Draining { calls } => {
            state.readiness().set_draining();
            Ok((StatusCode::ACCEPTED, Json(Draining { draining: true, calls })))
        }
        other => Err(state.puzzled(&other)),
    }
}
