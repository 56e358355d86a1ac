//! The tables, one version after the other, and what differs between the two databases.

use sqlx::{AssertSqlSafe, Executor as _};

use super::{Store, StoreError};

/// What differs between the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// A 64-bit key given by us; in SQLite only `INTEGER` makes it the row's own number.
    pub(super) fn key(self) -> &'static str {
        match self {
            Dialect::Sqlite => "INTEGER PRIMARY KEY",
            Dialect::Postgres => "BIGINT PRIMARY KEY",
        }
    }

    /// A 64-bit key given by the database, never given twice.
    pub(super) fn serial(self) -> &'static str {
        match self {
            Dialect::Sqlite => "INTEGER PRIMARY KEY AUTOINCREMENT",
            Dialect::Postgres => "BIGSERIAL PRIMARY KEY",
        }
    }

    /// Makes the audit refuse every change to a line once written.
    pub(super) fn append_only_audit(self) -> &'static str {
        match self {
            Dialect::Sqlite => {
                "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
                 BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
                 CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
                 BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;"
            }
            Dialect::Postgres => {
                "CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$;
                 CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit
                 FOR EACH ROW EXECUTE FUNCTION audit_append_only();
                 CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit
                 FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();"
            }
        }
    }
}

/// The schema, one entry a version; an entry is never edited once released.
/// `{key}`, `{serial}` and `{append_only_audit}` are filled in per dialect.
pub(super) const MIGRATIONS: &[&str] = &["
    CREATE TABLE events (
        seq {key}, kind TEXT NOT NULL, tenant TEXT NOT NULL, call_id TEXT NOT NULL,
        at BIGINT NOT NULL, people TEXT NOT NULL, teams TEXT NOT NULL, data TEXT NOT NULL);
    CREATE INDEX events_by_call ON events (call_id);
    CREATE TABLE cdr (
        id {serial}, call_id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL,
        people TEXT NOT NULL, teams TEXT NOT NULL, direction TEXT NOT NULL,
        from_number TEXT NOT NULL, to_number TEXT NOT NULL, trunk TEXT NOT NULL,
        started_at BIGINT NOT NULL, answered_at BIGINT NOT NULL, ended_at BIGINT NOT NULL,
        cause TEXT NOT NULL, legs TEXT NOT NULL);
    CREATE TABLE audit (
        id {serial}, at BIGINT NOT NULL, tenant TEXT NOT NULL, token TEXT NOT NULL,
        person TEXT NOT NULL, act TEXT NOT NULL, target TEXT NOT NULL, outcome TEXT NOT NULL,
        detail TEXT NOT NULL);
    {append_only_audit}
    CREATE TABLE idempotency (
        token TEXT NOT NULL, idem_key TEXT NOT NULL, hash TEXT NOT NULL, status BIGINT NOT NULL,
        content_type TEXT NOT NULL, body TEXT NOT NULL, created BIGINT NOT NULL,
        PRIMARY KEY (token, idem_key));
    CREATE INDEX idempotency_by_age ON idempotency (created);
    CREATE TABLE webhooks (
        name TEXT PRIMARY KEY, delivered BIGINT NOT NULL, disabled BIGINT NOT NULL, fingerprint TEXT NOT NULL);
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
", "
    CREATE TABLE evidence (
        tenant TEXT NOT NULL, check_id TEXT NOT NULL, subject TEXT NOT NULL, source TEXT NOT NULL,
        observed_at BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (tenant, check_id, subject, source));
    CREATE TABLE integration (tenant TEXT PRIMARY KEY, options TEXT NOT NULL);
", "
    CREATE TABLE acs_connections (
        gateway TEXT NOT NULL, connection TEXT NOT NULL, resource TEXT NOT NULL, since BIGINT NOT NULL,
        PRIMARY KEY (gateway, connection));
", "
    ALTER TABLE cdr ADD COLUMN history TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE cdr ADD COLUMN costs TEXT NOT NULL DEFAULT '{}';
"];

impl Store {
    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let failed = |source| StoreError::Database { attempt: "prepare the tables", source };
        let known = MIGRATIONS.len() as i64;
        let mut tx = self.pool.begin().await.map_err(failed)?;
        if self.dialect == Dialect::Postgres {
            // Two gateways that start together must not both make the tables. SQLite has one writer.
            tx.execute("SELECT pg_advisory_xact_lock(724839100)").await.map_err(failed)?;
        }
        tx.execute("CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT PRIMARY KEY)")
            .await
            .map_err(failed)?;
        let found: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM schema_versions")
            .fetch_one(&mut *tx)
            .await
            .map_err(failed)?;
        if found > known {
            return Err(StoreError::TooNew { found, known });
        }
        for (version, sql) in (1..).zip(MIGRATIONS).skip(found as usize) {
            let sql = sql
                .replace("{key}", self.dialect.key())
                .replace("{serial}", self.dialect.serial())
                .replace("{append_only_audit}", self.dialect.append_only_audit());
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await.map_err(failed)?;
            sqlx::query("INSERT INTO schema_versions (version) VALUES ($1)")
                .bind(version as i64)
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
        }
        tx.commit().await.map_err(failed)
    }
}
