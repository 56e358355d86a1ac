//! When a door's legs are next to be woken.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::LegId;

/// One alarm for each leg that wants one.
#[derive(Debug, Default)]
pub struct LegAlarms {
    by_time: BTreeSet<(Instant, LegId)>,
    by_leg: HashMap<LegId, Instant>,
}

impl LegAlarms {
    /// A leg is to be woken then and at no other time, or not at all.
    pub fn set(&mut self, leg: LegId, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.by_leg.insert(leg, at),
            None => self.by_leg.remove(&leg),
        };
        if before != at {
            before.map(|before| self.by_time.remove(&(before, leg)));
            self.by_time.extend(at.map(|at| (at, leg)));
        }
    }

    /// When the first is due.
    pub fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out the next leg that is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<LegId> {
        let (at, leg) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.set(leg, None);
        Some(leg)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_leg_is_woken_when_it_said_last() {
        let (mut alarms, start) = (LegAlarms::default(), Instant::now());
        let after = |seconds| Some(start + Duration::from_secs(seconds));
        for (leg, at) in [(1, after(5)), (2, after(2)), (3, after(2)), (1, after(1)), (3, None), (4, None)] {
            alarms.set(LegId(leg), at);
        }
        assert_eq!((alarms.next(), alarms.pop_due(start)), (after(1), None));
        let later = start + Duration::from_secs(9);
        let woken: Vec<LegId> = std::iter::from_fn(|| alarms.pop_due(later)).collect();
        assert_eq!(woken, [LegId(1), LegId(2)]);
        assert_eq!((alarms.next(), alarms.by_leg.len()), (None, 0));
    }
}
