//! Sidetone, a voice-consult gateway.

pub mod call;
