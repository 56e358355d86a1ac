//! What the ledger writes and reads back: events, call records and audit lines in batches, and how far it is.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::SystemTime;

use sbc_config::TenantId;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Connection as _, Row as _};

use super::schema::Dialect;
use super::{Store, StoreError, audience, failed, joined, micros, plain};
use crate::observe::event::{AuditRecord, CallRecord};
use crate::observe::journal::Kept;

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

/// Call records forgotten by one statement.
const RECORDS_FORGOTTEN_MAX: i64 = 500;

impl Store {
    /// Writes one batch, all or nothing. Writing an event or record a second time changes nothing.
    pub(in crate::observe) async fn write_batch(
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
    pub(in crate::observe) async fn events_between(
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
    pub(in crate::observe) async fn events_of_call(
        &self,
        call: &str,
        limit: usize,
    ) -> Result<Vec<Kept>, StoreError> {
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
    pub(in crate::observe) async fn last_event(&self) -> Result<u64, StoreError> {
        let last: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(seq), 0) FROM events")
            .fetch_one(&self.pool)
            .await
            .map_err(failed("read the last event number"))?;
        Ok(last as u64)
    }

    /// Forgets all but the newest `keep` events; returns the highest number gone, if any went.
    /// Numbers may skip, so it is rows that are counted.
    pub(in crate::observe) async fn forget_events_beyond(
        &self,
        keep: u64,
    ) -> Result<Option<u64>, StoreError> {
        let Some(upto) = self.event_before(keep).await? else { return Ok(None) };
        // First the mark, then the deed: after a crash in between a follower is told of a gap that
        // is not there, never the other way round.
        self.set_meta("forgotten_to", upto).await?;
        sqlx::query("DELETE FROM events WHERE seq <= $1")
            .bind(upto as i64)
            .execute(&self.pool)
            .await
            .map_err(failed("forget old events"))?;
        Ok(Some(upto))
    }

    /// The number of the event just before the newest `count`, if so many are kept.
    pub(in crate::observe) async fn event_before(&self, count: u64) -> Result<Option<u64>, StoreError> {
        let seq: Option<i64> =
            sqlx::query_scalar("SELECT seq FROM events ORDER BY seq DESC LIMIT 1 OFFSET $1")
                .bind(i64::try_from(count).unwrap_or(i64::MAX))
                .fetch_optional(&self.pool)
                .await
                .map_err(failed("count the newest events"))?;
        Ok(seq.map(|seq| seq as u64))
    }

    /// Forgets some of the call records that ended before then. True when there may be more: the oldest are looked at
    /// in strides, so that the journal does not wait for a walk over ten years of calls.
    pub(in crate::observe) async fn forget_records_before(
        &self,
        before: SystemTime,
    ) -> Result<bool, StoreError> {
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

    pub(in crate::observe) async fn meta(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let value: Option<i64> = sqlx::query_scalar("SELECT value FROM meta WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read the journal's state"))?;
        Ok(value.map(|value| value as u64))
    }

    pub(in crate::observe) async fn set_meta(&self, name: &str, value: u64) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
            .bind(name)
            .bind(value as i64)
            .execute(&self.pool)
            .await
            .map_err(failed("write the journal's state"))?;
        Ok(())
    }
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
}
