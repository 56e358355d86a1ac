//! Sidetone, a voice-consult gateway.

pub mod api;
pub mod call;
pub mod observe;
pub mod sip;
pub mod switchboard;
