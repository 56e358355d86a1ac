//! Door 1: SIP.

pub mod transaction;
