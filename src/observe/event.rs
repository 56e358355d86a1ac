//! What happened, as told to the outside: events, call records and audit records.

use sbc_config::{PersonId, TeamId, TenantId, TrunkId};
use std::time::SystemTime;

use crate::call::{CallId, Cause};

/// One event before it has a number. The journal numbers it, keeps it, and tells whoever follows.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its name, such as `call.answered` (design: event names).
    pub kind: &'static str,
    /// Whose it is.
    pub tenant: TenantId,
    /// The call it is about.
    pub call: Option<CallId>,
    /// Who may see it besides the tenant's admin and integration.
    pub audience: Audience,
    /// When it happened.
    pub at: SystemTime,
    /// The CloudEvents `data`.
    pub data: serde_json::Value,
}

/// Who may see something: agents by person, supervisors by team.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audience {
    /// People of the call.
    pub people: Vec<PersonId>,
    /// Teams of its agents.
    pub teams: Vec<TeamId>,
}

/// A call detail record: written once, when the call is over.
#[derive(Debug, Clone)]
pub struct CallRecord {
    /// The call.
    pub call: CallId,
    /// Whose.
    pub tenant: TenantId,
    /// Who may read it.
    pub audience: Audience,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// Calling number as received.
    pub from: String,
    /// Number dialled.
    pub to: String,
    /// The trunk it came over, if any.
    pub trunk: Option<TrunkId>,
    /// When it reached us.
    pub started_at: SystemTime,
    /// When somebody first answered.
    pub answered_at: Option<SystemTime>,
    /// When it was over.
    pub ended_at: SystemTime,
    /// Why it ended.
    pub cause: Cause,
    /// Per leg: role, person, codec, SIP status, packets, loss, jitter, route and cost, as a JSON array.
    pub legs: serde_json::Value,
    /// Consults and transfers with every way that was tried and what came of it, as a JSON array.
    pub history: serde_json::Value,
    /// What all legs cost together, by currency, as a JSON object.
    pub costs: serde_json::Value,
}

/// One line of the append-only audit: a refusal or an act of supervision.
#[derive(Debug, Clone)]
pub struct AuditRecord {
    /// When.
    pub at: SystemTime,
    /// Whose tenant the act touched; none for the platform.
    pub tenant: Option<TenantId>,
    /// Which token.
    pub token: String,
    /// Which person, if the token names one.
    pub person: Option<PersonId>,
    /// What was tried: `supervise`, `switch_role`, `take_over`, ...
    pub act: &'static str,
    /// The call or supervision it was tried on.
    pub target: String,
    /// `allowed`, or the stable code of the refusal.
    pub outcome: String,
    /// Anything more, without secrets.
    pub detail: serde_json::Value,
}

/// Where the switchboard sends what happened. Never blocks the caller; what cannot be kept is
/// counted and logged, never silently lost.
pub trait Journal: Send + Sync {
    /// Number it, keep it, tell it on.
    fn event(&self, event: Event);
    /// Keep the record of a finished call.
    fn record(&self, record: CallRecord);
    /// Keep an audit line.
    fn audit(&self, record: AuditRecord);
}
