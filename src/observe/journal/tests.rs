//! The ledger over a crash, a full memory, a quiet time and a store that fails.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sbc_config::TenantId;
use serde_json::json;
use tokio::time::timeout;

use super::writer::CLOSING_MAX;
use super::{EVENTS_WAITING_MAX, Ledger, LedgerSettings, LedgerWriter, WINDOW_MIN, WINDOW_QUIET};
use crate::call::{CallId, Cause};
use crate::observe::event::{Audience, CallRecord, Event, Journal as _};
use crate::observe::store::Store;

struct Desk {
    url: String,
    _dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        let dir = tempfile::tempdir().unwrap();
        Desk { url: format!("sqlite:{}", dir.path().join("store").display()), _dir: dir }
    }

    async fn open(&self, keep_events: u64) -> (Ledger, LedgerWriter) {
        let store = Store::open(&self.url).await.unwrap();
        Ledger::open(store, LedgerSettings { keep_events, ..LedgerSettings::default() }).await.unwrap()
    }
}

fn happens(ledger: &Ledger) -> u64 {
    ledger.event(Event {
        kind: "call.held",
        tenant: TenantId::new("acme").unwrap(),
        call: Some(CallId(1)),
        audience: Audience::default(),
        at: UNIX_EPOCH,
        data: json!({}),
    });
    ledger.latest()
}

fn a_record(call: u128, ended_at: SystemTime) -> CallRecord {
    CallRecord {
        call: CallId(call),
        tenant: TenantId::new("acme").unwrap(),
        audience: Audience::default(),
        direction: "inbound",
        from: String::new(),
        to: String::new(),
        trunk: None,
        started_at: UNIX_EPOCH,
        answered_at: None,
        ended_at,
        cause: Cause::Normal,
        legs: json!([]),
        history: json!([]),
        costs: json!({}),
    }
}

#[tokio::test]
async fn call_records_are_kept_as_long_as_the_setting_says() {
    let desk = Desk::new();
    let store = Store::open(&desk.url).await.unwrap();
    let settings = LedgerSettings { keep_records: Duration::from_secs(600), ..LedgerSettings::default() };
    let (ledger, writer) = Ledger::open(store, settings).await.unwrap();
    // More than one statement forgets, and more than one inserts.
    for call in 0..1_300 {
        let age = if call < 1_200 { 700 } else { 500 };
        ledger.record(a_record(call, SystemTime::now() - Duration::from_secs(age)));
    }
    while ledger.state().waiting() > 0 {
        writer.write().await.unwrap();
    }
    writer.forget_records().await;
    let kept = ledger.store().records(&TenantId::new("acme").unwrap(), 0, 2_000).await.unwrap();
    assert_eq!(kept.len(), 100);
}

async fn all_after(ledger: &Ledger, mut after: u64) -> (Vec<u64>, bool) {
    let (mut seen, mut gap) = (Vec::new(), false);
    while after < ledger.latest() {
        let page = ledger.page(after, 100, None).await.unwrap();
        gap |= page.gap;
        seen.extend(page.events.iter().map(|event| event.seq));
        after = page.upto;
    }
    (seen, gap)
}

#[tokio::test]
async fn numbers_go_on_after_a_good_end_and_skip_after_a_crash() {
    let desk = Desk::new();
    let (ledger, writer) = desk.open(1_000).await;
    let first = happens(&ledger);
    ledger.close();
    writer.run().await;
    let (ledger, writer) = desk.open(1_000).await;
    let second = happens(&ledger);
    assert_eq!(second, first + 1);
    drop(writer); // the process dies with a told but unwritten event
    let (ledger, _writer) = desk.open(1_000).await;
    let third = happens(&ledger);
    assert!(third > second, "a number told once is never given again: {third}");
    assert_eq!(all_after(&ledger, 0).await.0, [first, third]);
}

#[tokio::test]
async fn old_events_are_forgotten_and_who_asks_for_them_is_told() {
    let desk = Desk::new();
    let (ledger, writer) = desk.open(10).await;
    let writing = tokio::spawn(writer.run());
    for _ in 0..25 {
        for _ in 0..20 {
            happens(&ledger);
        }
        ledger.settled().await;
    }
    ledger.close();
    writing.await.unwrap();
    let (ledger, _writer) = desk.open(10).await;
    let (seen, gap) = all_after(&ledger, 1).await;
    assert!(gap && seen.len() < 500 && seen.len() >= 10, "{seen:?}");
    assert_eq!(seen.last(), Some(&500));
    assert_eq!(all_after(&ledger, 499).await, (vec![500], false));
}

/// The writer never runs: a store that never answers.
#[tokio::test]
async fn what_waits_is_bounded_and_the_oldest_goes_first() {
    let desk = Desk::new();
    let (ledger, _writer) = desk.open(1_000_000).await;
    for _ in 0..EVENTS_WAITING_MAX + 10 {
        happens(&ledger);
    }
    let state = ledger.state();
    assert_eq!(state.window.len(), EVENTS_WAITING_MAX);
    assert_eq!(state.window.front().unwrap().seq, 11);
    assert_eq!((state.written, *ledger.0.done.borrow()), (10, 10), "ten are counted as gone");
}

#[tokio::test]
async fn a_quiet_ledger_keeps_little_in_memory_and_forgets_nothing() {
    let desk = Desk::new();
    let (ledger, writer) = desk.open(1_000_000).await;
    let writing = tokio::spawn(writer.run());
    let first = happens(&ledger);
    for _ in 0..2 * WINDOW_MIN {
        happens(&ledger);
    }
    while ledger.state().waiting() > 0 {
        ledger.settled().await;
    }
    ledger.state().rest();
    assert_eq!(ledger.state().window.len(), WINDOW_QUIET);
    assert!(ledger.state().window.capacity() <= 4 * WINDOW_QUIET);
    let (seen, gap) = all_after(&ledger, first - 1).await;
    assert!(!gap && seen.len() == 2 * WINDOW_MIN + 1, "{} seen", seen.len());
    ledger.close();
    writing.await.unwrap();
}

#[tokio::test]
async fn an_end_while_the_store_fails_does_not_wait_for_ever() {
    let desk = Desk::new();
    let (ledger, writer) = desk.open(1_000).await;
    ledger.store().close().await;
    ledger.record(a_record(1, UNIX_EPOCH));
    ledger.close();
    timeout(CLOSING_MAX * 2, writer.run()).await.unwrap();
    assert!(!ledger.store_is_well());
}
