//! Door 1: SIP.

pub mod alarm;
pub mod flow;
mod layer;
pub mod random;
pub mod transaction;
