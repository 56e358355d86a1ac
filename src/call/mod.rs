//! The core: what a call is and what happens to it. No clock, no socket, no task.

mod cause;
pub mod hearing;
mod party;
pub mod rights;

pub use cause::Cause;
pub use party::{CallId, Coaching, Hold, LegId, MAX_PARTIES, Presence, Role, Seat, SupervisionId, UnknownId};
