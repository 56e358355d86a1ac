//! Sidetone.

pub mod sip;
