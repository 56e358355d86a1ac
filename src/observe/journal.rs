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

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use metrics::{counter, gauge};
use sbc_config::TenantId;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::event::{Audience, AuditRecord, CallRecord, Event, Journal};
use super::metrics as names;
use super::store::{Store, StoreError, from_micros, micros};
use crate::call::CallId;

/// Events held while the store fails. At 300 calls a second and eight events a call this is
/// half a minute; at some 1.5 KB each it is at most 100 MB.
pub const EVENTS_WAITING_MAX: usize = 65_536;
/// Call records held while the store fails: more time than events get, because each is money.
pub const RECORDS_WAITING_MAX: usize = 65_536;
/// Audit lines held while the store fails.
pub const AUDITS_WAITING_MAX: usize = 16_384;
/// Stored events kept in memory, so that live followers cost the database nothing.
const WINDOW_MIN: usize = 4_096;
/// Of those, what stays in memory once nothing has happened for [`QUIET`]: followers are at the end then,
/// and who is not reads from the database.
const WINDOW_QUIET: usize = 64;
/// How long nothing happens before memory is given back.
const QUIET: Duration = Duration::from_secs(10);
/// The most of each kind in one transaction: large enough to amortise it, small enough that readers
/// of the database see events within milliseconds.
const BATCH_MAX: usize = 512;
/// How long the writer lets a batch gather: what a transaction costs is shared by all in it, and a
/// crash of the process loses at most this much. Nobody waits for it: followers read the window, and
/// readers of records hurry the writer.
const GATHER: Duration = Duration::from_millis(100);
/// Pause after a failed write; doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest pause between tries: how stale `readyz` may be once the disk has room again.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How long the last writes may take when the gateway stops.
const CLOSING_MAX: Duration = Duration::from_secs(5);
/// Numbers skipped after a crash. Events told to followers but not yet written had numbers above the
/// last one stored; new events must not reuse them. More than were ever waiting at once.
const CRASH_SKIP: u64 = 1_000_000;
/// Events kept longest are forgotten in strides, because finding where to cut walks the index over
/// all that is kept.
const FORGET_EVERY: u64 = 65_536;
/// The most events of one call in its timeline: an eight-hour call with a role change a minute.
pub const TIMELINE_MAX: usize = 2_000;
/// How long a reader of records waits for writes that were asked for before.
const SETTLE_MAX: Duration = Duration::from_millis(250);

/// Longer than any law asks call records to be kept.
const DECADE: Duration = Duration::from_secs(3_650 * 86_400);
/// How often old call records are looked for. They are kept for days, so an hour more is none too many.
const RECORDS_LOOKED_AT_EVERY: Duration = Duration::from_secs(3_600);

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

/// An event with its number.
#[derive(Debug)]
pub struct Kept {
    /// Its number. Numbers rise; they may skip.
    pub seq: u64,
    /// Its name.
    pub kind: Cow<'static, str>,
    /// Whose it is.
    pub tenant: TenantId,
    /// The call's id, empty when it is about no call.
    pub call: String,
    /// Who may see it.
    pub audience: Audience,
    /// When it happened, in microseconds since 1970.
    pub at: i64,
    /// Its data as JSON text: a quarter of what the tree it was made from takes, and the window keeps
    /// thousands.
    data: Box<str>,
    cloud_event: OnceLock<Arc<str>>,
}

impl Kept {
    fn live(seq: u64, event: Event) -> Kept {
        Kept {
            seq,
            kind: Cow::Borrowed(event.kind),
            tenant: event.tenant,
            call: event.call.map(|call| call.to_string()).unwrap_or_default(),
            audience: event.audience,
            at: micros(event.at),
            data: event.data.to_string().into(),
            cloud_event: OnceLock::new(),
        }
    }

    pub(super) fn from_store(
        seq: u64,
        kind: String,
        tenant: TenantId,
        call: String,
        audience: Audience,
        at: i64,
        data: String,
    ) -> Kept {
        let data = data.into();
        Kept { seq, kind: Cow::Owned(kind), tenant, call, audience, at, data, cloud_event: OnceLock::new() }
    }

    /// Its `data`, as JSON text.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// Its `data`, as JSON.
    pub fn data_value(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or(Value::Null)
    }

    /// The event as CloudEvents 1.0 in JSON.
    ///
    /// `seq` is text: the specification's integers end at 2^31, and its own `sequence` extension
    /// is text for the same reason.
    pub fn cloud_event(&self, source: &str) -> Arc<str> {
        let render = || {
            let mut event = json!({
                "specversion": "1.0",
                "id": self.seq.to_string(),
                "source": source,
                "type": self.kind,
                "time": rfc3339(self.at),
                "datacontenttype": "application/json",
                "seq": self.seq.to_string(),
                "tenant": self.tenant,
                "data": self.data_value(),
            });
            if !self.call.is_empty() {
                event["subject"] = json!(self.call);
            }
            Arc::from(event.to_string())
        };
        self.cloud_event.get_or_init(render).clone()
    }
}

/// Microseconds since 1970 as RFC 3339 in UTC.
fn rfc3339(at: i64) -> String {
    jiff::Timestamp::try_from(from_micros(at)).map_or_else(|_| String::new(), |at| at.to_string())
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

/// Follows the ledger: see [`Ledger::follow`].
pub struct Follower {
    ledger: Ledger,
    latest: watch::Receiver<u64>,
    cursor: u64,
    tenant: Option<TenantId>,
}

/// The most events one read of a follower brings: what a client can take at once.
const FOLLOW_PAGE: usize = 256;

impl Follower {
    /// The number up to which everything was seen.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Waits for events after the cursor and moves it. The page may be empty, when the numbers in
    /// between were another tenant's. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the store cannot be read; the cursor stays, so trying again loses nothing.
    pub async fn next(&mut self) -> Result<Page, StoreError> {
        // The ledger outlives its followers: each holds it.
        let cursor = self.cursor;
        let _ = self.latest.wait_for(|latest| *latest > cursor).await;
        let page = self.ledger.page(self.cursor, FOLLOW_PAGE, self.tenant.as_ref()).await?;
        self.cursor = page.upto;
        Ok(page)
    }
}

/// The one task that writes: see [`Ledger::open`].
pub struct LedgerWriter {
    ledger: Ledger,
}

impl LedgerWriter {
    /// Writes until [`Ledger::close`], then writes what is left and returns.
    pub async fn run(self) {
        let mut pause = RETRY_MIN;
        let mut forgotten_at = 0;
        let mut records_due = Instant::now();
        loop {
            let closing = self.ledger.0.closing.load(Ordering::Acquire);
            if self.ledger.state().waiting() == 0 {
                if closing {
                    break;
                }
                self.something_happens().await;
                if !self.ledger.0.closing.load(Ordering::Acquire) {
                    let _ = timeout(GATHER, self.ledger.0.hurry.notified()).await;
                }
                continue;
            }
            match self.write().await {
                Ok(()) => {
                    pause = RETRY_MIN;
                    self.well();
                    self.forget(&mut forgotten_at).await;
                    if Instant::now() >= records_due {
                        records_due = Instant::now() + RECORDS_LOOKED_AT_EVERY;
                        self.forget_records().await;
                    }
                }
                Err(error) => {
                    self.failing(&error);
                    if closing {
                        // One more try within the time we have, then the rest is lost and said.
                        if timeout(CLOSING_MAX, self.write_all()).await != Ok(true) {
                            let waiting = self.ledger.state().waiting();
                            tracing::error!(waiting, "the gateway stops with unwritten records");
                            return;
                        }
                        continue;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.closing() => {}
                    }
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
        let last = self.ledger.latest();
        let store = &self.ledger.0.store;
        let closed = async {
            store.set_meta("last_number", last).await?;
            store.set_meta("open", 0).await
        };
        if let Err(error) = closed.await {
            tracing::warn!(error = %error, "the journal could not be closed; the next start skips some numbers");
        }
    }

    /// Waits until there is something to write. When that takes long, most of the window is let go.
    async fn something_happens(&self) {
        let wake = &self.ledger.0.wake;
        if timeout(QUIET, wake.notified()).await.is_err() {
            self.ledger.state().rest();
            wake.notified().await;
        }
    }

    async fn closing(&self) {
        while !self.ledger.0.closing.load(Ordering::Acquire) {
            // Wake-ups for new events are swallowed here: there is a pause to sit out.
            self.ledger.0.wake.notified().await;
        }
    }

    async fn write_all(&self) -> bool {
        while self.ledger.state().waiting() > 0 {
            if self.write().await.is_err() {
                tokio::time::sleep(RETRY_MIN).await;
            }
        }
        true
    }

    /// Writes one batch. On failure everything stays where it was.
    async fn write(&self) -> Result<(), StoreError> {
        let (events, (records, records_upto), (audits, audits_upto)) = {
            let state = self.ledger.state();
            let from = state.window.partition_point(|event| event.seq <= state.written);
            let events: Vec<_> = state.window.range(from..).take(BATCH_MAX).cloned().collect();
            (events, state.records.first(BATCH_MAX), state.audits.first(BATCH_MAX))
        };
        self.ledger.0.store.write_batch(&events, &records, &audits).await?;
        let (finished, waiting) = {
            let mut state = self.ledger.state();
            let before = state.unwritten();
            if let Some(last) = events.last() {
                state.written = state.written.max(last.seq);
            }
            let events = (before - state.unwritten()) as u64;
            let finished = events + state.records.finish(records_upto) + state.audits.finish(audits_upto);
            (finished, state.waiting())
        };
        self.ledger.0.done.send_modify(|done| *done += finished);
        counter!(names::JOURNAL_WRITES, "outcome" => "written").increment(1);
        gauge!(names::JOURNAL_WAITING).set(waiting as f64);
        Ok(())
    }

    /// Forgets events beyond the number to be kept.
    async fn forget(&self, forgotten_at: &mut u64) {
        let settings = &self.ledger.0.settings;
        let written = self.ledger.state().written;
        if written < *forgotten_at + settings.keep_events.clamp(1, FORGET_EVERY) {
            return;
        }
        *forgotten_at = written;
        match self.ledger.0.store.forget_events_beyond(settings.keep_events).await {
            Ok(Some(upto)) => self.ledger.state().forgotten = upto,
            Ok(None) => {}
            Err(error) => tracing::warn!(error = %error, "old events could not be forgotten"),
        }
    }

    /// Forgets call records that are older than they have to be.
    async fn forget_records(&self) {
        let Some(before) = SystemTime::now().checked_sub(self.ledger.0.settings.keep_records) else { return };
        loop {
            match self.ledger.0.store.forget_records_before(before).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    return tracing::warn!(error = %error, "old call records could not be forgotten");
                }
            }
        }
    }

    fn well(&self) {
        if self.ledger.0.failing.send_if_modified(|failing| failing.take().is_some()) {
            tracing::info!("the store takes writes again");
            gauge!(names::STORE_UP).set(1.0);
        }
    }

    fn failing(&self, error: &StoreError) {
        counter!(names::JOURNAL_WRITES, "outcome" => "failed").increment(1);
        let waiting = self.ledger.state().waiting();
        gauge!(names::JOURNAL_WAITING).set(waiting as f64);
        let source = std::error::Error::source(error).map(ToString::to_string);
        let reason: Arc<str> = source.unwrap_or_else(|| error.to_string()).into();
        let is_news = self.ledger.0.failing.send_if_modified(|failing| {
            let is_news = failing.is_none();
            failing.get_or_insert_with(|| reason.clone());
            is_news
        });
        if is_news {
            tracing::error!(error = %error, %reason, waiting, "the store fails; events wait in memory, calls go on");
            gauge!(names::STORE_UP).set(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::call::Cause;

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
}
