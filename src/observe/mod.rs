//! What the gateway tells of itself: events, records, audit, metrics, logs.
//!
//! `event` says what there is to tell, the [`Ledger`] numbers it and keeps it in a [`Store`],
//! [`webhook`] carries it to those who asked, [`metrics`] counts and [`logging`] writes lines.

mod event;
mod journal;
pub mod logging;
pub mod metrics;
mod store;
pub mod webhook;

pub use event::{Audience, AuditRecord, CallRecord, Event, Journal};
pub use journal::{
    AUDITS_WAITING_MAX, EVENTS_WAITING_MAX, Follower, Kept, Ledger, LedgerSettings, LedgerWriter, Page,
    RECORDS_WAITING_MAX, TIMELINE_MAX,
};
pub use logging::{LogFormat, init as init_logging};
pub use store::{Claim, KeptAudit, KeptRecord, Replay, Store, StoreError, from_micros, micros};
