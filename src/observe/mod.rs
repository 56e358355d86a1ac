//! What the gateway tells of itself: events, records, audit, metrics, logs.

mod event;

pub use event::{Audience, AuditRecord, CallRecord, Event, Journal};
