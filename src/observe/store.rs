//! The store: one small SQL database for events, call records, the audit, idempotency keys and how
//! far each webhook got.
//!
//! SQLite by default, Postgres by URL, with the same statements: `$1` parameters, no NULL (an
//! absent text is empty, an absent time is 0), integers of 64 bits. What must differ stands in
//! [`Dialect`]. Times are microseconds since 1970.

mod acs;
mod evidence;

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sbc_config::{PersonId, TeamId, TenantId};
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection as _, Executor as _, Row as _};

use super::event::{Audience, AuditRecord, CallRecord};
use super::journal::Kept;

/// Connections at once: the journal's writer, two readers and an API write, with room for one
/// more. SQLite has one writer at a time anyway.
const CONNECTIONS_MAX: u32 = 5;

/// A connection beyond the first that nobody has used for this long is closed: with it go a thread and
/// its cache.
const CONNECTION_IDLE: Duration = Duration::from_secs(20);

/// How long a request waits for a connection. Longer would only make a queue of a failing store.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// Rows of one multi-row insert, largest first: a few fixed sizes, so that only a few statements are
/// ever prepared. 256 rows of 15 values stay far under SQLite's 32,766 and Postgres' 65,535 parameters.
const ROWS_PER_INSERT: [usize; 5] = [256, 64, 16, 4, 1];

/// The statements that insert so many events, for either dialect.
static INSERT_EVENTS: LazyLock<[[String; 5]; 2]> = LazyLock::new(|| {
    let table = "events (seq, kind, tenant, call_id, at, people, teams, data)";
    [Dialect::Sqlite, Dialect::Postgres].map(|dialect| {
        ROWS_PER_INSERT.map(|rows| insert(dialect, table, 8, rows, "ON CONFLICT (seq) DO NOTHING"))
    })
});

/// The same for call records.
static INSERT_RECORDS: LazyLock<[[String; 5]; 2]> = LazyLock::new(|| {
    let table = "cdr (call_id, tenant, people, teams, direction, from_number, to_number, trunk, started_at,
                      answered_at, ended_at, cause, legs, history, costs)";
    [Dialect::Sqlite, Dialect::Postgres].map(|dialect| {
        ROWS_PER_INSERT.map(|rows| insert(dialect, table, 15, rows, "ON CONFLICT (call_id) DO NOTHING"))
    })
});

/// An idempotency claim older than this was left by a request that died; another may take it. Far
/// above the longest request.
const CLAIM_ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// Call records forgotten by one statement.
const RECORDS_FORGOTTEN_MAX: i64 = 500;

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
    dialect: Dialect,
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no database we know.
    #[error("the store URL must begin with sqlite: or postgres:")]
    Url,
    /// The database cannot be had at all.
    #[error(
        "the database {shown} cannot be opened; is there such a server, or such a directory that may be written to?"
    )]
    Open {
        /// Which, without what is secret of its URL.
        shown: String,
        /// What was said.
        source: sqlx::Error,
    },
    /// The database said no, or nothing.
    #[error("could not {attempt}")]
    Database {
        /// What was tried.
        attempt: &'static str,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The database was made by a newer version of the gateway.
    #[error("the database has schema version {found}, this gateway knows up to {known}")]
    TooNew {
        /// In the database.
        found: i64,
        /// The newest known here.
        known: i64,
    },
}

/// What differs between the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// A 64-bit key given by us; in SQLite only `INTEGER` makes it the row's own number.
    fn key(self) -> &'static str {
        match self {
            Dialect::Sqlite => "INTEGER PRIMARY KEY",
            Dialect::Postgres => "BIGINT PRIMARY KEY",
        }
    }

    /// A 64-bit key given by the database, never given twice.
    fn serial(self) -> &'static str {
        match self {
            Dialect::Sqlite => "INTEGER PRIMARY KEY AUTOINCREMENT",
            Dialect::Postgres => "BIGSERIAL PRIMARY KEY",
        }
    }

    /// Makes the audit refuse every change to a line once written.
    fn append_only_audit(self) -> &'static str {
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
const MIGRATIONS: &[&str] = &["
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
    /// Opens `url` (`sqlite:FILE` or `postgres://…`), making the file and the tables where needed.
    ///
    /// # Errors
    /// [`StoreError`], when the URL names no known database or the database does not answer.
    pub async fn open(url: &str) -> Result<Store, StoreError> {
        let dialect = match url.split_once(':') {
            Some(("sqlite", _)) => Dialect::Sqlite,
            Some(("postgres" | "postgresql", _)) => Dialect::Postgres,
            _ => return Err(StoreError::Url),
        };
        sqlx::any::install_default_drivers();
        let create = dialect == Dialect::Sqlite && !url.contains('?');
        let url = if create { format!("{url}?mode=rwc") } else { url.to_owned() };
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .min_connections(1)
            .idle_timeout(CONNECTION_IDLE)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if dialect == Dialect::Sqlite {
                        // WAL with NORMAL: a crash of the process loses nothing, a crash of the
                        // machine at most the last moments, and a batch costs no fsync.
                        for pragma in [
                            "PRAGMA busy_timeout = 5000",
                            "PRAGMA journal_mode = WAL",
                            "PRAGMA synchronous = NORMAL",
                            // Kilobytes a connection. What is appended needs no more; two megabytes,
                            // the default, would stay for as long as the process lives.
                            "PRAGMA cache_size = -512",
                        ] {
                            connection.execute(pragma).await?;
                        }
                    }
                    Ok(())
                })
            })
            .connect(&url)
            .await
            .map_err(|source| StoreError::Open { shown: shown(&url), source })?;
        let store = Store { pool, dialect };
        store.migrate().await?;
        Ok(store)
    }

    async fn migrate(&self) -> Result<(), StoreError> {
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

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// When it gives none.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let one: Result<i64, _> = sqlx::query_scalar("SELECT CAST(1 AS BIGINT)").fetch_one(&self.pool).await;
        one.map(|_| ()).map_err(failed("reach the store"))
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    // ---- the journal ----

    /// Writes one batch, all or nothing. Writing an event or record a second time changes nothing.
    pub(super) async fn write_batch(
        &self,
        events: &[std::sync::Arc<Kept>],
        records: &[std::sync::Arc<CallRecord>],
        audits: &[std::sync::Arc<AuditRecord>],
    ) -> Result<(), StoreError> {
        let failed = |source| StoreError::Database { attempt: "write the journal", source };
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let written = self.write_on(&mut connection, events, records, audits).await;
        if written.is_err() {
            // On a full disk SQLite ends the transaction itself, and sqlx, which believes it open, would begin the
            // next one inside it: a savepoint, released and never committed. So this connection is not used again.
            connection.close_on_drop();
        }
        written.map_err(failed)
    }

    async fn write_on(
        &self,
        connection: &mut AnyConnection,
        events: &[std::sync::Arc<Kept>],
        records: &[std::sync::Arc<CallRecord>],
        audits: &[std::sync::Arc<AuditRecord>],
    ) -> Result<(), sqlx::Error> {
        let mut tx = connection.begin().await?;
        let mut rest = events;
        while !rest.is_empty() {
            let size = size_of_chunk(rest.len());
            let (chunk, after) = rest.split_at(ROWS_PER_INSERT[size]);
            rest = after;
            let mut query = sqlx::query(INSERT_EVENTS[self.dialect as usize][size].as_str());
            for event in chunk {
                query = query
                    .bind(event.seq as i64)
                    .bind(&*event.kind)
                    .bind(event.tenant.as_str())
                    .bind(event.call.as_str())
                    .bind(event.at)
                    .bind(joined(&event.audience.people))
                    .bind(joined(&event.audience.teams))
                    .bind(event.data());
            }
            query.execute(&mut *tx).await?;
        }
        let mut rest = records;
        while !rest.is_empty() {
            let size = size_of_chunk(rest.len());
            let (chunk, after) = rest.split_at(ROWS_PER_INSERT[size]);
            rest = after;
            let query = sqlx::query(INSERT_RECORDS[self.dialect as usize][size].as_str());
            let query = chunk.iter().fold(query, |query, record| bind_record(query, record));
            query.execute(&mut *tx).await?;
        }
        for line in audits {
            sqlx::query(
                "INSERT INTO audit (at, tenant, token, person, act, target, outcome, detail)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(micros(line.at))
            .bind(line.tenant.as_ref().map_or("", |tenant| tenant.as_str()))
            .bind(&line.token)
            .bind(line.person.as_ref().map_or("", |person| person.as_str()))
            .bind(line.act)
            .bind(plain(&line.target))
            .bind(&line.outcome)
            .bind(line.detail.to_string())
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await
    }

    /// Events numbered above `after` and below `before`, at most `limit`, lowest first; of one
    /// tenant, or of all when `tenant` is empty.
    pub(super) async fn events_between(
        &self,
        after: u64,
        before: u64,
        tenant: &str,
        limit: usize,
    ) -> Result<Vec<Kept>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, kind, tenant, call_id, at, people, teams, data FROM events
             WHERE seq > $1 AND seq < $2 AND ($3 = '' OR tenant = $3) ORDER BY seq LIMIT $4",
        )
        .bind(after as i64)
        .bind(i64::try_from(before).unwrap_or(i64::MAX))
        .bind(tenant)
        .bind(limit as i64)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read events"))?;
        rows.iter().map(kept).collect::<Result<_, _>>().map_err(failed("read events"))
    }

    /// The events of one call, lowest number first.
    pub(super) async fn events_of_call(&self, call: &str, limit: usize) -> Result<Vec<Kept>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, kind, tenant, call_id, at, people, teams, data FROM events
             WHERE call_id = $1 ORDER BY seq LIMIT $2",
        )
        .bind(call)
        .bind(limit as i64)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read a timeline"))?;
        rows.iter().map(kept).collect::<Result<_, _>>().map_err(failed("read a timeline"))
    }

    /// The highest event number kept, 0 when there is none.
    pub(super) async fn last_event(&self) -> Result<u64, StoreError> {
        let last: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(seq), 0) FROM events")
            .fetch_one(&self.pool)
            .await
            .map_err(failed("read the last event number"))?;
        Ok(last as u64)
    }

    /// Forgets all but the newest `keep` events; returns the highest number gone, if any went.
    /// Numbers may skip, so it is rows that are counted.
    pub(super) async fn forget_events_beyond(&self, keep: u64) -> Result<Option<u64>, StoreError> {
        let failed = |source| StoreError::Database { attempt: "forget old events", source };
        let upto: Option<i64> =
            sqlx::query_scalar("SELECT seq FROM events ORDER BY seq DESC LIMIT 1 OFFSET $1")
                .bind(i64::try_from(keep).unwrap_or(i64::MAX))
                .fetch_optional(&self.pool)
                .await
                .map_err(failed)?;
        let Some(upto) = upto else { return Ok(None) };
        // First the mark, then the deed: after a crash in between a follower is told of a gap that
        // is not there, never the other way round.
        self.set_meta("forgotten_to", upto as u64).await?;
        sqlx::query("DELETE FROM events WHERE seq <= $1")
            .bind(upto)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(Some(upto as u64))
    }

    /// Forgets some of the call records that ended before then. True when there may be more: the oldest are looked at
    /// in strides, so that the journal does not wait for a walk over ten years of calls.
    pub(super) async fn forget_records_before(&self, before: SystemTime) -> Result<bool, StoreError> {
        let gone = sqlx::query(
            "DELETE FROM cdr WHERE ended_at < $1 AND id IN (SELECT id FROM cdr ORDER BY id LIMIT $2)",
        )
        .bind(micros(before))
        .bind(RECORDS_FORGOTTEN_MAX)
        .execute(&self.pool)
        .await
        .map_err(failed("forget old call records"))?;
        Ok(gone.rows_affected() >= RECORDS_FORGOTTEN_MAX as u64)
    }

    pub(super) async fn meta(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let value: Option<i64> = sqlx::query_scalar("SELECT value FROM meta WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read the journal's state"))?;
        Ok(value.map(|value| value as u64))
    }

    pub(super) async fn set_meta(&self, name: &str, value: u64) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
            .bind(name)
            .bind(value as i64)
            .execute(&self.pool)
            .await
            .map_err(failed("write the journal's state"))?;
        Ok(())
    }

    // ---- records ----

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

    // ---- idempotency keys ----

    /// Takes the key for one request, or says who has it. Only one of many at once gets
    /// [`Claim::Yours`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim(
        &self,
        token: &str,
        key: &str,
        hash: &str,
        now: SystemTime,
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
        .bind(micros(now) - CLAIM_ABANDONED_AFTER.as_micros() as i64)
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

    // ---- webhooks ----

    /// How far a webhook got and whether it was switched off, if it is known under `fingerprint`.
    pub(super) async fn webhook(
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

    pub(super) async fn set_webhook(
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

/// Microseconds since 1970; 0 for anything before.
pub fn micros(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The time `micros` microseconds after 1970.
pub fn from_micros(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// A database URL as it may be printed: without user, password and options.
fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.split('?').next().unwrap_or_default().to_owned();
    };
    let bare = rest.split('?').next().unwrap_or_default();
    let place = match bare.rsplit_once('@') {
        Some((_, place)) => place,
        None if rest.contains('@') => "", // a password with a `?` of its own is no part of a place
        None => bare,
    };
    format!("{scheme}://{place}")
}

fn failed(attempt: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { attempt, source }
}

/// A page begins below its cursor; 0 is "from the newest".
fn cursor(before: u64) -> i64 {
    if before == 0 { i64::MAX } else { i64::try_from(before).unwrap_or(i64::MAX) }
}

/// Which of [`ROWS_PER_INSERT`] is the largest that fits into `rows`, which are not 0.
fn size_of_chunk(rows: usize) -> usize {
    ROWS_PER_INSERT.iter().position(|&size| rows >= size).unwrap_or(ROWS_PER_INSERT.len() - 1)
}

/// `INSERT INTO {table} VALUES ($1, …), (…) {tail}` for `rows` rows of `columns`.
fn insert(dialect: Dialect, table: &str, columns: usize, rows: usize, tail: &str) -> String {
    let mut sql = format!("INSERT INTO {table} VALUES ");
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 1..=columns {
            sql.push_str(if column == 1 { "" } else { ", " });
            let _ = match dialect {
                // To SQLite `$1` is a name, and it looks names up one after the other: with
                // thousands of them that was a tenth of all the time.
                Dialect::Sqlite => write!(sql, "?"),
                Dialect::Postgres => write!(sql, "${}", row * columns + column),
            };
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(tail);
    sql
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

fn bind_record<'q>(query: Query<'q>, record: &'q CallRecord) -> Query<'q> {
    let cause = serde_json::to_value(record.cause).ok();
    query
        .bind(record.call.to_string())
        .bind(record.tenant.as_str())
        .bind(joined(&record.audience.people))
        .bind(joined(&record.audience.teams))
        .bind(record.direction)
        .bind(plain(&record.from))
        .bind(plain(&record.to))
        .bind(record.trunk.as_ref().map_or("", |trunk| trunk.as_str()))
        .bind(micros(record.started_at))
        .bind(record.answered_at.map_or(0, micros))
        .bind(micros(record.ended_at))
        .bind(cause.as_ref().and_then(|cause| cause.as_str()).unwrap_or("internal").to_owned())
        .bind(record.legs.to_string())
        .bind(record.history.to_string())
        .bind(record.costs.to_string())
}

/// Text from a peer without NUL, which Postgres takes in no text: one such number must not stop the
/// journal.
fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Ids side by side; an id holds no comma.
fn joined<T: std::fmt::Display>(ids: &[T]) -> String {
    let mut text = String::new();
    for id in ids {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{id}");
    }
    text
}

fn split<T: std::str::FromStr>(text: &str) -> Vec<T> {
    text.split(',').filter_map(|id| id.parse().ok()).collect()
}

fn audience(row: &AnyRow, first: usize) -> Result<Audience, sqlx::Error> {
    let people: String = row.try_get(first)?;
    let teams: String = row.try_get(first + 1)?;
    Ok(Audience { people: split::<PersonId>(&people), teams: split::<TeamId>(&teams) })
}

fn kept(row: &AnyRow) -> Result<Kept, sqlx::Error> {
    let tenant: String = row.try_get(2)?;
    let tenant = TenantId::new(&tenant).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Kept::from_store(
        row.try_get::<i64, _>(0)? as u64,
        row.try_get(1)?,
        tenant,
        row.try_get(3)?,
        audience(row, 5)?,
        row.try_get(4)?,
        row.try_get(7)?,
    ))
}

/// Our own JSON back; only a hand in the database could have broken it.
fn json(text: String) -> serde_json::Value {
    serde_json::from_str(&text).unwrap_or(serde_json::Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multi_row_insert_numbers_its_parameters_through_where_they_have_numbers() {
        let sql = |dialect| insert(dialect, "t (a, b)", 2, 2, "END");
        assert_eq!(sql(Dialect::Postgres), "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4) END");
        assert_eq!(sql(Dialect::Sqlite), "INSERT INTO t (a, b) VALUES (?, ?), (?, ?) END");
    }

    #[test]
    fn a_chunk_is_the_largest_size_that_fits() {
        for rows in 1..=600 {
            let size = size_of_chunk(rows);
            assert!(ROWS_PER_INSERT[size] <= rows, "{rows}");
            assert!(size == 0 || ROWS_PER_INSERT[size - 1] > rows, "{rows}");
        }
    }

    #[test]
    fn a_time_survives_the_store_to_the_microsecond() {
        let at = UNIX_EPOCH + Duration::from_micros(1_763_715_600_250_001);
        assert_eq!(from_micros(micros(at)), at);
        assert_eq!(micros(UNIX_EPOCH - Duration::from_secs(1)), 0);
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_opened_is_named_without_what_is_secret() {
        let error = Store::open("sqlite:/no/such/place/x.sqlite3").await.unwrap_err();
        assert!(error.to_string().contains("sqlite:/no/such/place/x.sqlite3 cannot"), "{error}");
        for (url, told) in [
            (
                "postgres://sidetone:s3cret@db.example/records?sslmode=require",
                "postgres://db.example/records",
            ),
            ("postgres://u:p@ss@db.example/records", "postgres://db.example/records"),
            ("postgres://u:what?@db.example/records", "postgres://"),
            ("postgres://db.example/records?password=s3cret@x", "postgres://"),
            ("sqlite://records.sqlite3?mode=rwc", "sqlite://records.sqlite3"),
        ] {
            assert_eq!(shown(url), told, "{url}");
        }
    }

    #[tokio::test]
    async fn records_of_an_older_gateway_are_read_by_this_one() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("store").display());
        // The file as the gateway left it that knew no costs.
        let old = AnyPoolOptions::new();
        sqlx::any::install_default_drivers();
        let old = old.connect(&format!("{url}?mode=rwc")).await.unwrap();
        let before = MIGRATIONS.iter().position(|sql| sql.contains("costs")).unwrap();
        let known = "CREATE TABLE schema_versions (version BIGINT PRIMARY KEY)";
        sqlx::raw_sql(known).execute(&old).await.unwrap();
        for (version, sql) in (1..).zip(MIGRATIONS).take(before) {
            let dialect = Dialect::Sqlite;
            let sql = sql.replace("{key}", dialect.key()).replace("{serial}", dialect.serial());
            let sql = sql.replace("{append_only_audit}", dialect.append_only_audit());
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&old).await.unwrap();
            let note = sqlx::query("INSERT INTO schema_versions (version) VALUES ($1)");
            note.bind(version as i64).execute(&old).await.unwrap();
        }
        let record = "INSERT INTO cdr (call_id, tenant, people, teams, direction, from_number, to_number, trunk,
            started_at, answered_at, ended_at, cause, legs)
            VALUES ('call_1', 'acme', '', '', 'inbound', '+1', '+2', '', 1, 2, 3, 'normal', '[{\"role\":\"agent\"}]')";
        sqlx::raw_sql(record).execute(&old).await.unwrap();
        old.close().await;

        let store = Store::open(&url).await.unwrap();
        let records = store.records(&TenantId::new("acme").unwrap(), 0, 10).await.unwrap();
        let [record] = &records[..] else { panic!("{records:?}") };
        assert_eq!((record.call.as_str(), &record.legs[0]["role"]), ("call_1", &serde_json::json!("agent")));
        assert_eq!((&record.history, &record.costs), (&serde_json::json!([]), &serde_json::json!({})));
    }

    #[tokio::test]
    async fn a_database_of_a_newer_gateway_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("store").display());
        let store = Store::open(&url).await.unwrap();
        sqlx::query("INSERT INTO schema_versions (version) VALUES (1000)")
            .execute(&store.pool)
            .await
            .unwrap();
        store.close().await;
        assert!(matches!(Store::open(&url).await, Err(StoreError::TooNew { found: 1000, .. })));
        assert!(matches!(Store::open("mysql://x").await, Err(StoreError::Url)));
    }

    #[tokio::test]
    async fn a_claim_left_behind_can_be_taken_and_old_keys_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", dir.path().join("store").display())).await.unwrap();
        let begun = UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(store.claim("t", "k", "hash", begun).await.unwrap(), Claim::Yours);
        let soon = begun + CLAIM_ABANDONED_AFTER;
        assert_eq!(store.claim("t", "k", "hash", soon).await.unwrap(), Claim::InFlight);
        assert_eq!(store.claim("t", "k", "other", soon).await.unwrap(), Claim::OtherRequest);
        let late = soon + Duration::from_secs(1);
        assert_eq!(store.claim("t", "k", "other", late).await.unwrap(), Claim::Yours);
        let answer = Replay { status: 201, content_type: "application/json".into(), body: "{}".into() };
        store.settle("t", "k", &answer).await.unwrap();
        let much_later = late + 10 * CLAIM_ABANDONED_AFTER;
        assert_eq!(store.claim("t", "k", "other", much_later).await.unwrap(), Claim::Done(answer.clone()));

        store.claim("t", "newer", "hash", much_later).await.unwrap();
        store.forget_keys(late, 1).await.unwrap();
        assert_eq!(store.claim("t", "k", "hash", much_later).await.unwrap(), Claim::Yours, "the oldest went");
        store.forget_keys(much_later + Duration::from_secs(1), 10).await.unwrap();
        assert_eq!(store.claim("t", "newer", "hash", much_later).await.unwrap(), Claim::Yours);
    }
}
