//! What the gateway tells of itself: events, records, audit, metrics, logs.
//!
//! [`event`](Event) says what there is to tell, [`Ledger`] numbers and keeps it in a [`Store`],
//! [`webhook`] carries it to those who asked, [`metrics`] counts and [`logging`] writes lines.

mod event;
mod journal;
pub mod logging;
pub mod metrics;
mod redact;
mod store;
pub mod webhook;

pub use event::{Audience, AuditRecord, CallRecord, Event, Journal};
pub use journal::{Follower, Kept, Ledger, LedgerSettings, LedgerWriter, Page};
pub use redact::Redacted;
pub use store::{Claim, KeptAudit, KeptRecord, Replay, Store, StoreError, from_micros, micros};
