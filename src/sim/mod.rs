//! Simulated people with telephones, for the demo and the audio tests.
//!
//! Everything here stands outside the gateway and judges it: a [`phone`] is a SIP telephone of its own on real
//! sockets, with a [`voice`] it speaks with and an [`ear`] that keeps every packet it got. It shares the reader
//! and writer of messages with the gateway and nothing else: transactions, dialogs, RTP and the measuring of
//! sound are written a second time, so that a mistake in one is not repeated in its judge.
//!
//! Nobody is told the time to wait for. Whoever waits, waits for a condition, and [`HUNG_AFTER`] only ends a run
//! that would never end by itself.

pub mod acs;
pub mod authority;
pub mod demo;
pub mod ear;
pub mod graph;
pub mod phone;
pub mod rtp;
pub mod stage;
pub mod teams;
pub mod tenant;
pub mod voice;

use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;

pub use demo::{DemoError, DemoOptions, DemoReport, demo};

/// After this long a wait is given up. Ten times longer than the slowest thing anybody waits for (a lost SIP
/// message on a machine with too much to do), so it says "never", not "late".
pub const HUNG_AFTER: Duration = Duration::from_secs(60);

/// Something waited for that never came.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{who} waited in vain for {what}; at the end: {last}")]
pub struct Hung {
    /// Who waited.
    pub who: String,
    /// For what.
    pub what: String,
    /// How things stood when the wait was given up.
    pub last: String,
}

/// Waits until `seen` is true of what is watched, and gives it.
async fn until<T: Clone>(
    watched: &mut watch::Receiver<T>,
    seen: impl FnMut(&T) -> bool,
    hung: impl FnOnce(&T) -> Hung,
) -> Result<T, Hung> {
    let found = match tokio::time::timeout(HUNG_AFTER, watched.wait_for(seen)).await {
        Ok(Ok(value)) => Some(value.clone()),
        Ok(Err(_)) | Err(_) => None,
    };
    found.ok_or_else(|| hung(&watched.borrow()))
}

/// Octets nobody can guess, as lower-case hexadecimal: for tags, branches and nonces.
fn random_token() -> String {
    format!("{:016x}", random())
}

/// A number nobody can guess.
fn random() -> u64 {
    let mut octets = [0; 8];
    match getrandom::fill(&mut octets) {
        Ok(()) => u64::from_ne_bytes(octets),
        Err(error) => panic!("the system has no random numbers: {error}"),
    }
}
