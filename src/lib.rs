//! Sidetone, a voice-consult gateway.

pub mod api;
pub mod bridge;
pub mod call;
pub mod config;
pub mod gateway;
pub mod observe;
pub mod sip;
pub mod switchboard;
