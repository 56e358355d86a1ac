//! The one task that writes: in batches, again while the store fails, and away with what is old.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use metrics::{counter, gauge};
use tokio::time::{Instant, timeout};

use super::Ledger;
use crate::observe::metrics as names;
use crate::observe::store::StoreError;

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
pub(super) const CLOSING_MAX: Duration = Duration::from_secs(5);
/// Events kept longest are forgotten in strides, because finding where to cut walks the index over
/// all that is kept.
const FORGET_EVERY: u64 = 65_536;
/// How often old call records are looked for. They are kept for days, so an hour more is none too many.
const RECORDS_LOOKED_AT_EVERY: Duration = Duration::from_secs(3_600);

/// The one task that writes: see [`Ledger::open`].
pub struct LedgerWriter {
    pub(super) ledger: Ledger,
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
    pub(super) async fn write(&self) -> Result<(), StoreError> {
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
    pub(super) async fn forget_records(&self) {
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
