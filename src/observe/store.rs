//! The store: one small SQL database for events, call records, the audit, idempotency keys and how
//! far each webhook got.
//!
//! SQLite by default, Postgres by URL, with the same statements: `$1` parameters, no NULL (an
//! absent text is empty, an absent time is 0), integers of 64 bits. What must differ stands in
//! [`Dialect`]. Times are microseconds since 1970.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sbc_config::{PersonId, TeamId};
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{AnyPool, Executor as _, Row as _};

use super::event::Audience;

mod acs;
mod evidence;
mod idempotency;
mod journal;
mod records;
mod schema;
mod webhook;

pub use idempotency::{Claim, Replay};
pub use records::{KeptAudit, KeptRecord};
use schema::Dialect;

/// Connections at once: the journal's writer, two readers and an API write, with room for one
/// more. SQLite has one writer at a time anyway.
const CONNECTIONS_MAX: u32 = 5;

/// A connection beyond the first that nobody has used for this long is closed: with it go a thread and
/// its cache.
const CONNECTION_IDLE: Duration = Duration::from_secs(20);

/// How long a request waits for a connection. Longer would only make a queue of a failing store.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

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

#[cfg(test)]
mod tests;
