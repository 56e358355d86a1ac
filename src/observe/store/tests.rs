//! The store over its versions, and the keys in it.

use std::time::{Duration, UNIX_EPOCH};

use sbc_config::TenantId;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyPoolOptions;

use super::schema::{Dialect, MIGRATIONS};
use super::{Claim, Replay, Store, StoreError, from_micros, micros, shown};

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
        ("postgres://sidetone:s3cret@db.example/records?sslmode=require", "postgres://db.example/records"),
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
    sqlx::query("INSERT INTO schema_versions (version) VALUES (1000)").execute(&store.pool).await.unwrap();
    store.close().await;
    assert!(matches!(Store::open(&url).await, Err(StoreError::TooNew { found: 1000, .. })));
    assert!(matches!(Store::open("mysql://x").await, Err(StoreError::Url)));
}

#[tokio::test]
async fn a_claim_left_behind_can_be_taken_and_old_keys_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite:{}", dir.path().join("store").display())).await.unwrap();
    let begun = UNIX_EPOCH + Duration::from_secs(1_000_000);
    let abandoned_after = Duration::from_secs(60);
    let claim = async |key, hash, now| store.claim("t", key, hash, now, abandoned_after).await.unwrap();
    assert_eq!(claim("k", "hash", begun).await, Claim::Yours);
    let soon = begun + abandoned_after;
    assert_eq!(claim("k", "hash", soon).await, Claim::InFlight);
    assert_eq!(claim("k", "other", soon).await, Claim::OtherRequest);
    let late = soon + Duration::from_secs(1);
    assert_eq!(claim("k", "other", late).await, Claim::Yours);
    let answer = Replay { status: 201, content_type: "application/json".into(), body: "{}".into() };
    store.settle("t", "k", &answer).await.unwrap();
    let much_later = late + 10 * abandoned_after;
    assert_eq!(claim("k", "other", much_later).await, Claim::Done(answer.clone()));

    claim("newer", "hash", much_later).await;
    store.forget_keys(late, 1).await.unwrap();
    assert_eq!(claim("k", "hash", much_later).await, Claim::Yours, "the oldest went");
    store.forget_keys(much_later + Duration::from_secs(1), 10).await.unwrap();
    assert_eq!(claim("newer", "hash", much_later).await, Claim::Yours);
}
