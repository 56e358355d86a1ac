//! Evidence from outside, and what a tenant's administrator chose: what no source would give a second time.

use sbc_config::TenantId;
use sqlx::Row as _;

use super::{Store, StoreError, failed};
use crate::prereq::Evidence;

impl Store {
    /// Keeps evidence; of one check, subject and source the newest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_evidence(&self, tenant: &TenantId, all: &[Evidence]) -> Result<(), StoreError> {
        let attempt = "keep evidence";
        let mut tx = self.pool.begin().await.map_err(failed(attempt))?;
        for one in all {
            // Written by us, from types without a way to fail.
            let Ok(body) = serde_json::to_string(one) else { continue };
            sqlx::query(
                "INSERT INTO evidence (tenant, check_id, subject, source, observed_at, body)
                 VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (tenant, check_id, subject, source)
                 DO UPDATE SET observed_at = excluded.observed_at, body = excluded.body
                 WHERE evidence.observed_at <= excluded.observed_at",
            )
            .bind(tenant.as_str())
            .bind(one.check.id())
            .bind(one.subject.to_string())
            .bind(one.source.name())
            .bind(super::micros(one.observed_at))
            .bind(body)
            .execute(&mut *tx)
            .await
            .map_err(failed(attempt))?;
        }
        tx.commit().await.map_err(failed(attempt))
    }

    /// All evidence kept for a tenant. A row that a newer gateway wrote and this one cannot read is skipped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn evidence(&self, tenant: &TenantId) -> Result<Vec<Evidence>, StoreError> {
        let attempt = "read evidence";
        let rows = sqlx::query("SELECT body FROM evidence WHERE tenant = $1")
            .bind(tenant.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(failed(attempt))?;
        let bodies = rows.iter().map(|row| row.try_get::<String, _>(0));
        let bodies = bodies.collect::<Result<Vec<_>, _>>().map_err(failed(attempt))?;
        Ok(bodies.iter().filter_map(|body| serde_json::from_str(body).ok()).collect())
    }

    /// What a tenant's administrator chose, as text of the API's making.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn integration(&self, tenant: &TenantId) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar("SELECT options FROM integration WHERE tenant = $1")
            .bind(tenant.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read an integration"))
    }

    /// Keeps what a tenant's administrator chose.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_integration(&self, tenant: &TenantId, options: &str) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO integration (tenant, options) VALUES ($1, $2)
             ON CONFLICT (tenant) DO UPDATE SET options = excluded.options",
        )
        .bind(tenant.as_str())
        .bind(options)
        .execute(&self.pool)
        .await
        .map_err(failed("keep an integration"))?;
        Ok(())
    }

    /// Forgets choices and evidence of a tenant.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_integration(&self, tenant: &TenantId) -> Result<(), StoreError> {
        for sql in ["DELETE FROM integration WHERE tenant = $1", "DELETE FROM evidence WHERE tenant = $1"] {
            sqlx::query(sql)
                .bind(tenant.as_str())
                .execute(&self.pool)
                .await
                .map_err(failed("forget an integration"))?;
        }
        Ok(())
    }
}
