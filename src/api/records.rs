//! Records: call detail records, the timeline of a call, the audit.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::ApiState;
use super::auth::Caller;
use super::events::{scope, sees};
use super::extract::{Asked, id};
use super::problem::Problem;
use crate::call::CallId;
use crate::call::rights::{Act, Actor, Denial, may};
use crate::observe::{Audience, Kept, KeptAudit, KeptRecord};

/// Items on a page unless asked otherwise.
const PAGE_DEFAULT: usize = 50;
/// The most items on a page.
const PAGE_MAX: usize = 200;
/// The most rows one request looks through for an agent or supervisor who may see only some of
/// them; a page may then be short or empty and still have a `next`.
const SCAN_MAX: usize = 2_000;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// The most items wanted, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<usize>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    fn read(&self) -> Result<(usize, u64), Problem> {
        let refuse = |detail: &'static str| Problem::new(StatusCode::BAD_REQUEST, "query_invalid", detail);
        let limit = self.limit.unwrap_or(PAGE_DEFAULT);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(refuse("`limit` is 1 to 200"));
        }
        let before = match &self.cursor {
            None => 0,
            Some(text) => text
                .parse()
                .ok()
                .filter(|before| *before > 0)
                .ok_or_else(|| refuse("`cursor` is the `next` of a page before"))?,
        };
        Ok((limit, before))
    }
}

/// What became of one call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "call": "call_019a2f4c5d6e00000000000000000001", "direction": "inbound", "from": "+4930123456",
    "to": "+4930999000", "trunk": "carrier", "started_at": "2026-11-21T09:00:00Z",
    "answered_at": "2026-11-21T09:00:04Z", "ended_at": "2026-11-21T09:03:00Z", "duration_ms": 176000,
    "cause": "normal", "legs": [{"role": "customer", "codec": "PCMA"}]}))]
pub(super) struct CallDetail {
    /// The call.
    pub call: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// The calling number, as received.
    pub from: String,
    /// The number dialled.
    pub to: String,
    /// The trunk it came over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub trunk: Option<String>,
    /// When it reached the gateway.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When somebody first answered; absent when nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub answered_at: Option<Timestamp>,
    /// When it was over.
    #[schema(value_type = String, format = DateTime)]
    pub ended_at: Timestamp,
    /// From answer to end, in milliseconds; 0 when nobody answered.
    pub duration_ms: u64,
    /// Why it ended.
    pub cause: String,
    /// Per leg: role, person, codec, SIP status, packets, loss, jitter; `route`, `duration_ms`, `price_per_minute` with its
    /// date, `cost`.
    #[schema(value_type = Vec<Object>)]
    pub legs: Value,
    /// Consults and transfers: who asked, every way that was tried with its route and why it failed, and the outcome.
    #[schema(value_type = Vec<Object>)]
    pub history: Value,
    /// What the legs cost together, by currency, as far as `[[price]]` knows. Not for agents: supervisors' legs are in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    pub costs: Option<Value>,
}

/// A page of call detail records.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CallDetails {
    /// Newest first.
    pub items: Vec<CallDetail>,
    /// The `cursor` of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}

/// One event, as CloudEvents 1.0 has it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "specversion": "1.0", "id": "1042", "source": "urn:sidetone:gateway", "type": "supervision.role_changed",
    "subject": "call_019a2f4c5d6e00000000000000000001", "time": "2026-11-21T09:01:00.25Z",
    "datacontenttype": "application/json", "seq": "1042", "tenant": "acme",
    "data": {"supervision": "sup_0000000000000001", "from": "monitor", "to": "whisper"}}))]
pub(super) struct CloudEvent {
    /// Always `1.0`.
    pub specversion: &'static str,
    /// The number, as text. Unique together with `source`.
    pub id: String,
    /// Which gateway speaks.
    pub source: String,
    /// The name of the event.
    #[serde(rename = "type")]
    pub kind: String,
    /// The call it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub subject: Option<String>,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// Always `application/json`.
    pub datacontenttype: &'static str,
    /// The number, as text because CloudEvents' integers end at 2^31. Rises; may skip.
    pub seq: String,
    /// Whose it is.
    pub tenant: String,
    /// What there is to say.
    #[schema(value_type = Object)]
    pub data: Value,
}

/// The events of one call.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Timeline {
    /// In the order in which they happened; at most 2,000.
    pub items: Vec<CloudEvent>,
}

/// One line of the audit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "77", "at": "2026-11-21T09:01:00Z", "token": "sam-desktop", "person": "sam", "act": "supervise",
    "target": "call_019a2f4c5d6e00000000000000000001", "outcome": "outside_scope", "detail": {}}))]
pub(super) struct AuditLine {
    /// Its number.
    pub id: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The name of the token.
    pub token: String,
    /// The person the token names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub person: Option<String>,
    /// What was tried.
    pub act: String,
    /// On what.
    pub target: String,
    /// `allowed`, or the code of the refusal.
    pub outcome: String,
    /// Anything more.
    #[schema(value_type = Object)]
    pub detail: Value,
}

/// A page of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditLines {
    /// Newest first.
    pub items: Vec<AuditLine>,
    /// The `cursor` of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}

/// Read call detail records.
///
/// An agent reads those of own calls, a supervisor those of the teams' calls, admin and integration
/// all of the tenant. For the first two a page may be short or empty and still have a `next`.
#[utoipa::path(get, path = "/v1/cdr", operation_id = "listCallRecords", tag = "records", params(PageQuery),
    responses((status = 200, description = "A page, newest first", body = CallDetails)))]
pub(super) async fn cdr(
    State(state): State<ApiState>,
    caller: Caller,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<CallDetails>, Problem> {
    let actor = &caller.principal.actor;
    let Some(tenant) = actor.tenant() else {
        return Err(state.refused(&caller, "read_cdr", "cdr", Denial::RoleForbids));
    };
    let (limit, mut before) = query.read()?;
    state.ledger().settled().await;
    let mut items = Vec::new();
    let mut scanned = 0;
    let next = loop {
        let rows = state.store().records(tenant, before, PAGE_MAX).await?;
        let whole = rows.len() == PAGE_MAX;
        let mut full = None;
        for row in rows {
            if items.len() == limit {
                full = Some(before.to_string());
                break;
            }
            before = row.id;
            scanned += 1;
            if may(actor, Act::Read, tenant, &scope(&row.audience)).is_ok() {
                let mut detail = CallDetail::from(row);
                hide_supervisors(actor, &mut detail);
                items.push(detail);
            }
        }
        match full {
            Some(next) => break Some(next),
            None if !whole => break None,
            None if scanned >= SCAN_MAX => break Some(before.to_string()),
            None => {}
        }
    };
    Ok(Json(CallDetails { items, next }))
}

/// Read what happened in a call.
///
/// Works during the call and after it, as long as its events are kept. Holds the events this token
/// may see.
#[utoipa::path(get, path = "/v1/calls/{id}/timeline", operation_id = "getTimeline", tag = "records",
    params(("id" = String, Path, description = "The call")),
    responses((status = 200, description = "Its events", body = Timeline)))]
pub(super) async fn timeline(
    State(state): State<ApiState>,
    caller: Caller,
    Path(call): Path<String>,
) -> Result<Json<Timeline>, Problem> {
    let call: CallId = id("call", &call)?;
    let actor = &caller.principal.actor;
    let events = state.ledger().timeline(call).await?;
    let Some(tenant) = actor.tenant() else {
        return Err(state.refused(&caller, "read_timeline", &call.to_string(), Denial::RoleForbids));
    };
    if !events.iter().any(|event| event.tenant == *tenant) {
        // Nothing known of it, or another tenant's.
        if !events.is_empty() {
            state.refused(&caller, "read_timeline", &call.to_string(), Denial::Foreign);
        }
        return Err(Problem::not_found("call"));
    }
    if let Err(denial) = may(actor, Act::Read, tenant, &scope(&everybody(&events))) {
        return Err(state.refused(&caller, "read_timeline", &call.to_string(), denial));
    }
    let source = state.ledger().source();
    let items =
        events.iter().filter(|event| sees(actor, event)).map(|event| CloudEvent::from_kept(event, source));
    Ok(Json(Timeline { items: items.collect() }))
}

/// Read the audit.
///
/// The tenant's admin reads the tenant's lines, the operator those of the platform.
#[utoipa::path(get, path = "/v1/audit", operation_id = "listAudit", tag = "records", params(PageQuery),
    responses((status = 200, description = "A page, newest first", body = AuditLines)))]
pub(super) async fn audit(
    State(state): State<ApiState>,
    caller: Caller,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<AuditLines>, Problem> {
    let tenant = match &caller.principal.actor {
        Actor::TenantAdmin { tenant } => Some(tenant),
        Actor::Operator => None,
        _ => return Err(state.refused(&caller, "read_audit", "audit", Denial::RoleForbids)),
    };
    let (limit, before) = query.read()?;
    state.ledger().settled().await;
    let rows = state.store().audit(tenant, before, limit + 1).await?;
    let next = (rows.len() > limit).then(|| rows[limit - 1].id.to_string());
    Ok(Json(AuditLines { items: rows.into_iter().take(limit).map(AuditLine::from).collect(), next }))
}

/// An agent does not learn afterwards either that somebody listened.
fn hide_supervisors(actor: &Actor, detail: &mut CallDetail) {
    if !matches!(actor, Actor::Agent { .. }) {
        return;
    }
    detail.costs = None;
    if let Value::Array(legs) = &mut detail.legs {
        legs.retain(|leg| leg["role"] != "supervisor");
    }
}

/// Everybody who may see some event of a call may ask for its timeline.
fn everybody(events: &[std::sync::Arc<Kept>]) -> Audience {
    let people: BTreeSet<_> = events.iter().flat_map(|event| &event.audience.people).collect();
    let teams: BTreeSet<_> = events.iter().flat_map(|event| &event.audience.teams).collect();
    Audience { people: people.into_iter().cloned().collect(), teams: teams.into_iter().cloned().collect() }
}

impl CloudEvent {
    fn from_kept(event: &Kept, source: &str) -> CloudEvent {
        CloudEvent {
            specversion: "1.0",
            id: event.seq.to_string(),
            source: source.to_owned(),
            kind: event.kind.to_string(),
            subject: Some(event.call.clone()).filter(|call| !call.is_empty()),
            time: super::timestamp(crate::observe::from_micros(event.at)),
            datacontenttype: "application/json",
            seq: event.seq.to_string(),
            tenant: event.tenant.to_string(),
            data: event.data_value(),
        }
    }
}

impl From<KeptRecord> for CallDetail {
    fn from(record: KeptRecord) -> CallDetail {
        let talked = record.answered_at.and_then(|answered| record.ended_at.duration_since(answered).ok());
        CallDetail {
            call: record.call,
            direction: record.direction,
            from: record.from,
            to: record.to,
            trunk: record.trunk,
            started_at: super::timestamp(record.started_at),
            answered_at: record.answered_at.map(super::timestamp),
            ended_at: super::timestamp(record.ended_at),
            duration_ms: talked.map_or(0, |talked| u64::try_from(talked.as_millis()).unwrap_or(u64::MAX)),
            cause: record.cause,
            legs: record.legs,
            history: record.history,
            costs: Some(record.costs),
        }
    }
}

impl From<KeptAudit> for AuditLine {
    fn from(line: KeptAudit) -> AuditLine {
        AuditLine {
            id: line.id.to_string(),
            at: super::timestamp(line.at),
            token: line.token,
            person: line.person,
            act: line.act,
            target: line.target,
            outcome: line.outcome,
            detail: line.detail,
        }
    }
}
