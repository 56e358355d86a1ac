//! Configuration.
mod id;
pub use id::*;
