//! The ledger: numbers every event, keeps it, and lets anybody follow from any number.
//!
//! ```text
//!   event() ──number──► window (memory) ──batches──► store
//!                          │ newest                   │ older
//!                          └────────► page(after) ◄───┘
//! ```
//!
//! A reader holds nothing but the number it has seen. It asks for what comes after; the answer comes
//! from the window when it reaches that far back and from the store otherwise. So a follower that is
//! slow, that resumes, or that races with the writer sees every kept event once and in order, and
//! there is no live stream to fall behind.
//!
//! While the store fails, everything waits in memory up to [`EVENTS_WAITING_MAX`] and its siblings;
//! beyond that the oldest is given up and counted. Calls are never held up: [`Ledger::event`] takes
//! a lock for a push and returns.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use sbc_config::TenantId;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::event::{AuditRecord, CallRecord, Event, Journal};
use super::metrics as names;
use super::store::{Store, StoreError};
use crate::call::CallId;

mod follower;
mod kept;
mod writer;

pub use follower::Follower;
pub use kept::Kept;
pub use writer::LedgerWriter;

/// Events held while the store fails. At 300 calls a second and eight events a call this is
/// half a minute; at some 1.5 KB each it is at most 100 MB.
pub const EVENTS_WAITING_MAX: usize = 65_536;
/// Call records held while the store fails: more time than events get, because each is money.
pub const RECORDS_WAITING_MAX: usize = 65_536;
/// Audit lines held while the store fails.
pub const AUDITS_WAITING_MAX: usize = 16_384;
/// Stored events kept in memory, so that live followers cost the database nothing.
const WINDOW_MIN: usize = 4_096;
/// Of those, what stays in memory once nothing has happened for `writer::QUIET`: followers are at the end then,
/// and who is not reads from the database.
const WINDOW_QUIET: usize = 64;
/// Numbers skipped after a crash. Events told to followers but not yet written had numbers above the
/// last one stored; new events must not reuse them. More than were ever waiting at once.
const CRASH_SKIP: u64 = 1_000_000;
/// The most events of one call in its timeline: an eight-hour call with a role change a minute.
pub const TIMELINE_MAX: usize = 2_000;
/// How long a reader of records waits for writes that were asked for before.
const SETTLE_MAX: Duration = Duration::from_millis(250);

/// Longer than any law asks call records to be kept.
const DECADE: Duration = Duration::from_secs(3_650 * 86_400);

/// What can be lost, as [`names::JOURNAL_LOST`] tells it apart.
const EVENT: &str = "event";
const RECORD: &str = "record";
const AUDIT: &str = "audit";

/// What can be set about the ledger.
#[derive(Debug, Clone)]
pub struct LedgerSettings {
    /// The CloudEvents `source`: which gateway speaks. A URI reference.
    pub source: String,
    /// How many events are kept; older ones are forgotten.
    pub keep_events: u64,
    /// How long call records are kept.
    pub keep_records: Duration,
}

impl Default for LedgerSettings {
    fn default() -> Self {
        Self { source: "urn:sidetone:gateway".into(), keep_events: 1_000_000, keep_records: DECADE }
    }
}

/// What came after a number.
#[derive(Debug, Default)]
pub struct Page {
    /// The events, lowest number first.
    pub events: Vec<Arc<Kept>>,
    /// The number to continue after. Higher than the last event's when what lay between is gone.
    pub upto: u64,
    /// Events between the number asked for and the first one here were forgotten.
    pub gap: bool,
}

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    store: Store,
    settings: LedgerSettings,
    /// The number given last.
    latest: watch::Sender<u64>,
    /// Events, records and lines that no longer wait: written, or given up.
    done: watch::Sender<u64>,
    wake: Notify,
    /// Somebody waits for what was told so far: see [`Ledger::settled`].
    hurry: Notify,
    /// Why the store takes no writes, while it takes none.
    failing: watch::Sender<Option<Arc<str>>>,
    closing: AtomicBool,
}

struct State {
    next: u64,
    /// All events from some number on; the unwritten are always among them.
    window: VecDeque<Arc<Kept>>,
    /// The highest number that needs no writing any more.
    written: u64,
    /// Everything up to this number is gone from the store.
    forgotten: u64,
    records: Waiting<CallRecord>,
    audits: Waiting<AuditRecord>,
    accepted: u64,
}

/// A bounded line of things to be written, each with its turn.
struct Waiting<T> {
    line: VecDeque<(u64, Arc<T>)>,
    turn: u64,
}

impl<T> Waiting<T> {
    fn new() -> Self {
        Self { line: VecDeque::new(), turn: 0 }
    }

    /// Appends; returns whether the oldest had to go for it.
    fn push(&mut self, thing: T, max: usize) -> bool {
        let full = self.line.len() >= max;
        if full {
            self.line.pop_front();
        }
        self.turn += 1;
        self.line.push_back((self.turn, Arc::new(thing)));
        full
    }

    fn first(&self, max: usize) -> (Vec<Arc<T>>, u64) {
        let first: Vec<_> = self.line.iter().take(max).map(|(_, thing)| thing.clone()).collect();
        let upto = self.line.get(first.len().wrapping_sub(1)).map_or(0, |(turn, _)| *turn);
        (first, upto)
    }

    /// Takes out everything up to this turn; returns how many there were.
    fn finish(&mut self, upto: u64) -> u64 {
        let before = self.line.len();
        while self.line.front().is_some_and(|(turn, _)| *turn <= upto) {
            self.line.pop_front();
        }
        (before - self.line.len()) as u64
    }
}

impl Ledger {
    /// Opens the ledger on `store`. The writer must be run on a task of its own.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(store: Store, settings: LedgerSettings) -> Result<(Ledger, LedgerWriter), StoreError> {
        let last = store.last_event().await?.max(store.meta("last_number").await?.unwrap_or(0));
        let crashed = store.meta("open").await?.unwrap_or(0) != 0;
        let forgotten = store.meta("forgotten_to").await?.unwrap_or(0);
        store.set_meta("open", 1).await?;
        let last = if crashed { last + CRASH_SKIP } else { last };
        let state = State {
            next: last + 1,
            window: VecDeque::new(),
            written: last,
            forgotten,
            records: Waiting::new(),
            audits: Waiting::new(),
            accepted: 0,
        };
        gauge!(names::STORE_UP).set(1.0);
        for what in [EVENT, RECORD, AUDIT] {
            counter!(names::JOURNAL_LOST, "what" => what).increment(0);
        }
        let ledger = Ledger(Arc::new(Shared {
            state: Mutex::new(state),
            store,
            settings,
            latest: watch::Sender::new(last),
            done: watch::Sender::new(0),
            wake: Notify::new(),
            hurry: Notify::new(),
            failing: watch::Sender::new(None),
            closing: AtomicBool::new(false),
        }));
        let writer = LedgerWriter { ledger: ledger.clone() };
        Ok((ledger, writer))
    }

    /// The number given last.
    pub fn latest(&self) -> u64 {
        *self.0.latest.borrow()
    }

    /// The CloudEvents `source` of this gateway.
    pub fn source(&self) -> &str {
        &self.0.settings.source
    }

    /// Whether the store takes writes, as far as the writer knows.
    pub fn store_is_well(&self) -> bool {
        self.0.failing.borrow().is_none()
    }

    /// Why the store takes no writes; none while it takes them.
    pub fn store_failure(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.0.failing.subscribe()
    }

    /// The store underneath.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Follows from after number `after`; from now on when it is none. With a `tenant`, only that
    /// tenant's events are read.
    pub fn follow(&self, after: Option<u64>, tenant: Option<TenantId>) -> Follower {
        let latest = self.0.latest.subscribe();
        // A number we never gave (from another database, or a guess) would never be reached.
        let cursor = after.unwrap_or(u64::MAX).min(*latest.borrow());
        Follower { ledger: self.clone(), latest, cursor, tenant }
    }

    /// Up to `limit` events after number `after`, of one tenant or of all.
    ///
    /// # Errors
    /// When they are no longer in memory and the store cannot be read.
    pub async fn page(
        &self,
        after: u64,
        limit: usize,
        tenant: Option<&TenantId>,
    ) -> Result<Page, StoreError> {
        let (before, gap) = {
            let state = self.state();
            let before = state.window.front().map_or(state.next, |event| event.seq);
            if after + 1 >= before {
                let from = state.window.partition_point(|event| event.seq <= after);
                let page: Vec<_> = state.window.range(from..).take(limit).cloned().collect();
                let upto = page.last().map_or(after.max(state.next - 1), |event| event.seq);
                let events =
                    page.into_iter().filter(|event| tenant.is_none_or(|own| *own == event.tenant)).collect();
                return Ok(Page { events, upto, gap: false });
            }
            (before, after > 0 && after < state.forgotten)
        };
        // What lies before the window has been written before it left the window, so the store has
        // it all, whatever happens to the window meanwhile.
        let own = tenant.map_or("", |tenant| tenant.as_str());
        let events = self.0.store.events_between(after, before, own, limit).await?;
        let upto =
            if events.len() < limit { before - 1 } else { events.last().map_or(before - 1, |last| last.seq) };
        Ok(Page { events: events.into_iter().map(Arc::new).collect(), upto, gap })
    }

    /// All events of one call, lowest number first, at most [`TIMELINE_MAX`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn timeline(&self, call: CallId) -> Result<Vec<Arc<Kept>>, StoreError> {
        let call = call.to_string();
        let recent: Vec<_> = self.state().window.iter().filter(|event| event.call == call).cloned().collect();
        let stored = self.0.store.events_of_call(&call, TIMELINE_MAX).await?;
        let mut events: BTreeMap<u64, Arc<Kept>> =
            stored.into_iter().map(|event| (event.seq, Arc::new(event))).collect();
        events.extend(recent.into_iter().map(|event| (event.seq, event)));
        Ok(events.into_values().take(TIMELINE_MAX).collect())
    }

    /// Waits, but not long, until everything told so far is in the store, so that who has just seen
    /// a call end also finds its record.
    pub async fn settled(&self) {
        let accepted = self.state().accepted;
        let mut done = self.0.done.subscribe();
        if !self.store_is_well() {
            return;
        }
        if *done.borrow() < accepted {
            self.0.hurry.notify_one();
        }
        let _ = timeout(SETTLE_MAX, done.wait_for(|done| *done >= accepted)).await;
    }

    /// Tells the writer to write what waits and end.
    pub fn close(&self) {
        self.0.closing.store(true, Ordering::Release);
        self.0.hurry.notify_one();
        self.0.wake.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, what: &'static str) {
        counter!(names::JOURNAL_LOST, "what" => what).increment(1);
        self.0.done.send_modify(|done| *done += 1);
    }
}

impl Journal for Ledger {
    fn event(&self, event: Event) {
        counter!(names::JOURNAL_EVENTS, "kind" => event.kind).increment(1);
        let lost = {
            let mut state = self.state();
            let seq = state.next;
            state.next += 1;
            state.accepted += 1;
            let lost = state.make_room();
            state.window.push_back(Arc::new(Kept::live(seq, event)));
            // Under the lock, so that followers are told in the order of the numbers.
            self.0.latest.send_replace(seq);
            lost
        };
        if lost {
            self.lost(EVENT);
        }
        self.0.wake.notify_one();
    }

    fn record(&self, record: CallRecord) {
        let lost = {
            let mut state = self.state();
            state.accepted += 1;
            state.records.push(record, RECORDS_WAITING_MAX)
        };
        if lost {
            self.lost(RECORD);
        }
        self.0.wake.notify_one();
    }

    fn audit(&self, record: AuditRecord) {
        let lost = {
            let mut state = self.state();
            state.accepted += 1;
            state.audits.push(record, AUDITS_WAITING_MAX)
        };
        if lost {
            self.lost(AUDIT);
        }
        self.0.wake.notify_one();
    }
}

impl State {
    fn unwritten(&self) -> usize {
        self.window.len() - self.window.partition_point(|event| event.seq <= self.written)
    }

    /// Keeps the window bounded before a push; returns whether an unwritten event had to go.
    fn make_room(&mut self) -> bool {
        let mut lost = false;
        while self.window.len() >= WINDOW_MIN {
            let oldest = self.window.front().map_or(0, |event| event.seq);
            if oldest > self.written {
                if self.window.len() < EVENTS_WAITING_MAX {
                    break;
                }
                self.written = oldest;
                lost = true;
            }
            self.window.pop_front();
        }
        lost
    }

    /// Keeps the newest few of what is written, and no room for more.
    fn rest(&mut self) {
        let written = self.window.partition_point(|event| event.seq <= self.written);
        self.window.drain(..written.min(self.window.len().saturating_sub(WINDOW_QUIET)));
        self.window.shrink_to(2 * WINDOW_QUIET);
        self.records.line.shrink_to(WINDOW_QUIET);
        self.audits.line.shrink_to(WINDOW_QUIET);
    }

    fn waiting(&self) -> usize {
        self.unwritten() + self.records.line.len() + self.audits.line.len()
    }
}

#[cfg(test)]
mod tests;
