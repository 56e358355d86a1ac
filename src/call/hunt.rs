//! Finding somebody to talk to: targets rung in order, each for its time.
//!
//! ```text
//!   attempts ──> ring one attempt ──answered──> done: the others are released
//!      ^               │ busy, declined, absent, or its time is up
//!      └───── next ────┘
//!   an attempt for when nobody was reached is left out when somebody was
//!   none left: the caller is told the kindest true reason
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Callee, Cause, LegId};

/// The most attempts one route may make: a caller who heard sixteen telephones ring has left.
pub const MAX_ATTEMPTS: usize = 16;

/// Some targets to ring together, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Rung at the same time; the first to answer has the call.
    pub targets: Vec<Callee>,
    /// How long to ring before the next attempt.
    pub ring: Duration,
    /// What of the attempt before it lets it be made.
    pub after: After,
}

impl Attempt {
    /// One that is made whatever became of the one before.
    pub fn new(targets: Vec<Callee>, ring: Duration) -> Attempt {
        Attempt { targets, ring, after: After::Anything }
    }
}

/// After what an attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum After {
    /// After whatever became of the one before it.
    #[default]
    Anything,
    /// Only when nobody was reached: a network refused, or did not answer. Not when a person was busy, declined, or let
    /// it ring: they know of the call, and another telephone of theirs would not make them want it.
    NotReached,
}

/// The search for an agent.
#[derive(Debug)]
pub(super) struct Hunt {
    left: VecDeque<Attempt>,
    ringing: Vec<LegId>,
    /// Who said that they ring.
    rang: Vec<LegId>,
    /// Whether the last attempt came to a person.
    reached: bool,
    give_up_at: Option<Instant>,
    best_reason: Option<Cause>,
    when_exhausted: Option<Cause>,
}

impl Hunt {
    pub(super) fn new(attempts: Vec<Attempt>, when_exhausted: Option<Cause>) -> Hunt {
        let left = attempts.into_iter().take(MAX_ATTEMPTS).collect();
        Hunt {
            left,
            ringing: Vec::new(),
            rang: Vec::new(),
            reached: false,
            give_up_at: None,
            best_reason: None,
            when_exhausted,
        }
    }

    /// The next targets to ring, if any are left.
    pub(super) fn next(&mut self, now: Instant) -> Option<Vec<Callee>> {
        let reached = self.reached;
        let attempt = std::iter::from_fn(|| self.left.pop_front())
            .find(|attempt| attempt.after == After::Anything || !reached)?;
        self.reached = false;
        self.rang.clear();
        self.give_up_at = Some(now + attempt.ring);
        Some(attempt.targets)
    }

    pub(super) fn rings(&mut self, leg: LegId) {
        self.ringing.push(leg);
    }

    /// `leg` says that it rings.
    pub(super) fn rang(&mut self, leg: LegId) {
        // A telephone may say so over and over.
        if !self.rang.contains(&leg) {
            self.rang.push(leg);
        }
    }

    /// Whether an attempt has failed already.
    pub(super) fn has_failed(&self) -> bool {
        self.best_reason.is_some()
    }

    pub(super) fn is_ringing(&self, leg: LegId) -> bool {
        self.ringing.contains(&leg)
    }

    /// `leg` will not talk. Returns whether this attempt has nobody left.
    pub(super) fn failed(&mut self, leg: LegId, cause: Cause) -> bool {
        self.ringing.retain(|other| *other != leg);
        if cause == Cause::Loop {
            // The call has come round through here many times, and each round would ring whoever is left: with two ways
            // to go on it would be two to the power of the rounds (RFC 5393 section 3).
            self.left.clear();
        }
        self.reached |= match cause {
            Cause::Busy | Cause::Declined => true,
            // A network without an answer says so before anything rings.
            Cause::NoAnswer => self.rang.contains(&leg),
            _ => false,
        };
        self.note(cause);
        self.ringing.is_empty()
    }

    /// The attempt's time is up; who must stop ringing.
    pub(super) fn give_up(&mut self, now: Instant) -> Vec<LegId> {
        match self.give_up_at {
            Some(at) if now >= at => {
                self.note(Cause::NoAnswer);
                self.reached |= self.ringing.iter().any(|leg| self.rang.contains(leg));
                self.stop()
            }
            _ => Vec::new(),
        }
    }

    /// Nobody is to be rung any more; who must stop ringing.
    pub(super) fn stop(&mut self) -> Vec<LegId> {
        self.give_up_at = None;
        std::mem::take(&mut self.ringing)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.give_up_at
    }

    /// Why nobody came, for whoever waited: what the route says, otherwise the reason that
    /// says most about a person. Busy beats no answer beats not there.
    pub(super) fn verdict(&self) -> Cause {
        if self.best_reason == Some(Cause::Loop) {
            return Cause::Loop; // so that every round behind this one ends as well
        }
        self.when_exhausted.or(self.best_reason).unwrap_or(Cause::Unreachable)
    }

    fn note(&mut self, cause: Cause) {
        let weight = |cause: Cause| match cause {
            Cause::Loop => 6,
            Cause::Busy => 5,
            Cause::Declined => 4,
            Cause::NoAnswer => 3,
            Cause::Congestion => 2,
            _ => 1,
        };
        if self.best_reason.is_none_or(|best| weight(cause) > weight(best)) {
            self.best_reason = Some(cause);
        }
    }
}
