//! How often one source may come with a token that is not good.
//!
//! A token has 256 random bits and cannot be guessed; the limit is for the machine that tries all the same, so that
//! it costs neither our time nor our log. Who is over it is answered 429 unread, so behind a proxy, where all callers
//! are one source, a client with an old token can lock the others out: the limit is set so high that only a loop
//! reaches it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures of one source in a row before it has to wait.
const FAILURES_MAX: f64 = 300.0;

/// After so long, one more failure is forgiven.
const FORGIVEN_AFTER: Duration = Duration::from_millis(200);

/// Sources remembered. Beyond it the one that was forgiven most is forgotten.
const SOURCES_MAX: usize = 4096;

/// The failures of late, by source.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, Failures>>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: f64,
    at: Instant,
}

impl Failures {
    /// How many are left of them.
    fn now(self, now: Instant) -> f64 {
        let forgiven = now.saturating_duration_since(self.at).as_secs_f64() / FORGIVEN_AFTER.as_secs_f64();
        (self.count - forgiven).max(0.0)
    }
}

impl Attempts {
    /// Whether a source may try again.
    pub(super) fn allows(&self, now: Instant, source: IpAddr) -> bool {
        let sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.get(&household(source)).is_none_or(|failures| failures.now(now) < FAILURES_MAX)
    }

    /// A source came with a token that is not good.
    pub(super) fn failed(&self, now: Instant, source: IpAddr) {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let source = household(source);
        if sources.len() >= SOURCES_MAX && !sources.contains_key(&source) {
            let least = sources.iter().min_by(|(_, a), (_, b)| a.now(now).total_cmp(&b.now(now)));
            if let Some(least) = least.map(|(source, _)| *source) {
                sources.remove(&least);
            }
        }
        let failures = sources.entry(source).or_insert(Failures { count: 0.0, at: now });
        *failures = Failures { count: failures.now(now) + 1.0, at: now };
    }
}

/// Whoever has one IPv6 address has all of its /64.
fn household(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_fails_in_a_loop_waits_and_is_forgiven_and_others_are_not_concerned() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let (loops, other): (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), [192, 0, 2, 1].into());
        let neighbour: IpAddr = "2001:db8::ffff".parse().unwrap();
        for _ in 0..FAILURES_MAX as u32 {
            assert!(attempts.allows(start, loops));
            attempts.failed(start, loops);
        }
        assert!(!attempts.allows(start, loops) && !attempts.allows(start, neighbour), "one household");
        assert!(attempts.allows(start, other));
        assert!(attempts.allows(start + 2 * FORGIVEN_AFTER, loops));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for n in 0..2 * SOURCES_MAX as u32 {
            attempts.failed(now, IpAddr::V4(n.into()));
        }
        assert_eq!(attempts.0.lock().unwrap().len(), SOURCES_MAX);
    }
}
