//! Waiting for what other programs do. They tell nobody when they have done it, so they are asked.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before it counts as never. Far more than it takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often is asked.
const BEAT: Duration = Duration::from_millis(20);

/// Asks until there is an answer.
///
/// # Panics
/// After [`PATIENCE`].
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        thread::sleep(BEAT);
    }
}

/// Asks until it is true.
pub(crate) fn until_true(what: &str, mut ask: impl FnMut() -> bool) {
    until(what, || ask().then_some(()));
}
