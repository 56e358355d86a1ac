//! Sidetone, a voice-consult gateway.

pub mod api;
pub mod bridge;
pub mod call;
pub mod config;
pub mod gateway;
pub mod observe;
#[cfg(feature = "sim")]
pub mod sim;
pub mod sip;
pub mod switchboard;
