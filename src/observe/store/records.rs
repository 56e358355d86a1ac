//! Call records and audit lines, as they are read, page by page.

use std::time::SystemTime;

use sbc_config::TenantId;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Store, StoreError, audience, failed, from_micros};
use crate::observe::event::Audience;

impl Store {
    /// Call records of a tenant older than the cursor `before` (0: from the newest), newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn records(
        &self,
        tenant: &TenantId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<KeptRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, call_id, tenant, people, teams, direction, from_number, to_number, trunk, started_at,
                    answered_at, ended_at, cause, legs, history, costs FROM cdr
             WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        )
        .bind(tenant.as_str())
        .bind(cursor(before))
        .bind(limit as i64)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read call records"))?;
        rows.iter().map(KeptRecord::read).collect::<Result<_, _>>().map_err(failed("read call records"))
    }

    /// Audit lines of a tenant, or of the platform when `tenant` is none; newest first, older than
    /// the cursor `before` (0: from the newest).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit(
        &self,
        tenant: Option<&TenantId>,
        before: u64,
        limit: usize,
    ) -> Result<Vec<KeptAudit>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, at, tenant, token, person, act, target, outcome, detail FROM audit
             WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        )
        .bind(tenant.map_or("", |tenant| tenant.as_str()))
        .bind(cursor(before))
        .bind(limit as i64)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read the audit"))?;
        rows.iter().map(KeptAudit::read).collect::<Result<_, _>>().map_err(failed("read the audit"))
    }
}

/// A call record as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptRecord {
    /// Its place in the list.
    pub id: u64,
    /// The call's id.
    pub call: String,
    /// Who may read it.
    pub audience: Audience,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// Calling number.
    pub from: String,
    /// Number dialled.
    pub to: String,
    /// The trunk, if any.
    pub trunk: Option<String>,
    /// When it reached us.
    pub started_at: SystemTime,
    /// When somebody first answered.
    pub answered_at: Option<SystemTime>,
    /// When it was over.
    pub ended_at: SystemTime,
    /// Why it ended, by the cause's name.
    pub cause: String,
    /// Per leg, a JSON array.
    pub legs: serde_json::Value,
    /// Consults and transfers, a JSON array.
    pub history: serde_json::Value,
    /// Costs by currency, a JSON object.
    pub costs: serde_json::Value,
}

impl KeptRecord {
    fn read(row: &AnyRow) -> Result<KeptRecord, sqlx::Error> {
        let answered: i64 = row.try_get(10)?;
        let trunk: String = row.try_get(8)?;
        Ok(KeptRecord {
            id: row.try_get::<i64, _>(0)? as u64,
            call: row.try_get(1)?,
            audience: audience(row, 3)?,
            direction: row.try_get(5)?,
            from: row.try_get(6)?,
            to: row.try_get(7)?,
            trunk: Some(trunk).filter(|trunk| !trunk.is_empty()),
            started_at: from_micros(row.try_get(9)?),
            answered_at: (answered != 0).then(|| from_micros(answered)),
            ended_at: from_micros(row.try_get(11)?),
            cause: row.try_get(12)?,
            legs: json(row.try_get(13)?),
            history: json(row.try_get(14)?),
            costs: json(row.try_get(15)?),
        })
    }
}

/// An audit line as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptAudit {
    /// Its place in the list.
    pub id: u64,
    /// When.
    pub at: SystemTime,
    /// Which token.
    pub token: String,
    /// Which person, if the token names one.
    pub person: Option<String>,
    /// What was tried.
    pub act: String,
    /// On what.
    pub target: String,
    /// `allowed` or the code of the refusal.
    pub outcome: String,
    /// Anything more.
    pub detail: serde_json::Value,
}

impl KeptAudit {
    fn read(row: &AnyRow) -> Result<KeptAudit, sqlx::Error> {
        let person: String = row.try_get(4)?;
        Ok(KeptAudit {
            id: row.try_get::<i64, _>(0)? as u64,
            at: from_micros(row.try_get(1)?),
            token: row.try_get(3)?,
            person: Some(person).filter(|person| !person.is_empty()),
            act: row.try_get(5)?,
            target: row.try_get(6)?,
            outcome: row.try_get(7)?,
            detail: json(row.try_get(8)?),
        })
    }
}

/// A page begins below its cursor; 0 is "from the newest".
fn cursor(before: u64) -> i64 {
    if before == 0 { i64::MAX } else { i64::try_from(before).unwrap_or(i64::MAX) }
}

/// Our own JSON back; only a hand in the database could have broken it.
fn json(text: String) -> serde_json::Value {
    serde_json::from_str(&text).unwrap_or(serde_json::Value::Null)
}
