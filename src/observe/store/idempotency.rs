//! Idempotency keys: who has one, and the answer that is kept for it.

use std::time::{Duration, SystemTime};

use sqlx::Row as _;

use super::{Store, StoreError, failed, micros};

impl Store {
    /// Takes the key for one request, or says who has it. Only one of many at once gets
    /// [`Claim::Yours`]. A claim older than `abandoned_after` was left by a request that died.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim(
        &self,
        token: &str,
        key: &str,
        hash: &str,
        now: SystemTime,
        abandoned_after: Duration,
    ) -> Result<Claim, StoreError> {
        let failed = |source| StoreError::Database { attempt: "claim an idempotency key", source };
        let taken = sqlx::query(
            "INSERT INTO idempotency (token, idem_key, hash, status, content_type, body, created)
             VALUES ($1, $2, $3, 0, '', '', $4)
             ON CONFLICT (token, idem_key) DO UPDATE SET hash = excluded.hash, created = excluded.created
             WHERE idempotency.status = 0 AND idempotency.created < $5",
        )
        .bind(token)
        .bind(key)
        .bind(hash)
        .bind(micros(now))
        .bind(micros(now) - abandoned_after.as_micros() as i64)
        .execute(&self.pool)
        .await
        .map_err(failed)?
        .rows_affected();
        if taken == 1 {
            return Ok(Claim::Yours);
        }
        let row = sqlx::query(
            "SELECT hash, status, content_type, body FROM idempotency WHERE token = $1 AND idem_key = $2",
        )
        .bind(token)
        .bind(key)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed)?;
        // Gone between the two statements: its request failed and released it. To ask again is right.
        let Some(row) = row else { return Ok(Claim::InFlight) };
        let theirs: String = row.try_get(0).map_err(failed)?;
        let status: i64 = row.try_get(1).map_err(failed)?;
        if theirs != hash {
            return Ok(Claim::OtherRequest);
        }
        if status == 0 {
            return Ok(Claim::InFlight);
        }
        Ok(Claim::Done(Replay {
            status: status as u16,
            content_type: row.try_get(2).map_err(failed)?,
            body: row.try_get(3).map_err(failed)?,
        }))
    }

    /// Keeps the answer for whoever sends the key again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle(&self, token: &str, key: &str, answer: &Replay) -> Result<(), StoreError> {
        sqlx::query("UPDATE idempotency SET status = $1, content_type = $2, body = $3 WHERE token = $4 AND idem_key = $5")
            .bind(i64::from(answer.status))
            .bind(&answer.content_type)
            .bind(&answer.body)
            .bind(token)
            .bind(key)
            .execute(&self.pool)
            .await
            .map_err(failed("keep an idempotent answer"))?;
        Ok(())
    }

    /// Gives the key back: the request was not carried out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release(&self, token: &str, key: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM idempotency WHERE token = $1 AND idem_key = $2 AND status = 0")
            .bind(token)
            .bind(key)
            .execute(&self.pool)
            .await
            .map_err(failed("release an idempotency key"))?;
        Ok(())
    }

    /// Forgets keys made before `oldest`, and the oldest beyond `keep`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_keys(&self, oldest: SystemTime, keep: u64) -> Result<(), StoreError> {
        let failed = |source| StoreError::Database { attempt: "forget idempotency keys", source };
        let crowded: Option<i64> =
            sqlx::query_scalar("SELECT created FROM idempotency ORDER BY created DESC LIMIT 1 OFFSET $1")
                .bind(keep as i64)
                .fetch_optional(&self.pool)
                .await
                .map_err(failed)?;
        let before = micros(oldest).max(crowded.map_or(0, |created| created + 1));
        sqlx::query("DELETE FROM idempotency WHERE created < $1")
            .bind(before)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }
}

/// Who has an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nobody had: carry the request out, then settle or release the key.
    Yours,
    /// The same request is being carried out now.
    InFlight,
    /// It was used for a different request.
    OtherRequest,
    /// It was carried out; this was the answer.
    Done(Replay),
}

/// An answer kept for repetition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// HTTP status.
    pub status: u16,
    /// The `Content-Type`, empty when there was none.
    pub content_type: String,
    /// The body.
    pub body: String,
}
