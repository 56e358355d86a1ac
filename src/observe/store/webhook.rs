//! How far each webhook got.

use sqlx::Row as _;

use super::{Store, StoreError, failed};

impl Store {
    /// How far a webhook got and whether it was switched off, if it is known under `fingerprint`.
    pub(in crate::observe) async fn webhook(
        &self,
        name: &str,
        fingerprint: &str,
    ) -> Result<Option<(u64, bool)>, StoreError> {
        let failed = |source| StoreError::Database { attempt: "read a webhook's state", source };
        let row = sqlx::query("SELECT delivered, disabled, fingerprint FROM webhooks WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        let Some(row) = row else { return Ok(None) };
        let delivered: i64 = row.try_get(0).map_err(failed)?;
        let disabled: i64 = row.try_get(1).map_err(failed)?;
        let known: String = row.try_get(2).map_err(failed)?;
        // A webhook that was pointed elsewhere keeps its place and gets a new chance.
        Ok(Some((delivered as u64, disabled != 0 && known == fingerprint)))
    }

    pub(in crate::observe) async fn set_webhook(
        &self,
        name: &str,
        fingerprint: &str,
        delivered: u64,
        disabled: bool,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO webhooks (name, delivered, disabled, fingerprint) VALUES ($1, $2, $3, $4)
             ON CONFLICT (name) DO UPDATE SET delivered = excluded.delivered, disabled = excluded.disabled,
                fingerprint = excluded.fingerprint",
        )
        .bind(name)
        .bind(delivered as i64)
        .bind(i64::from(disabled))
        .bind(fingerprint)
        .execute(&self.pool)
        .await
        .map_err(failed("keep a webhook's state"))?;
        Ok(())
    }
}
