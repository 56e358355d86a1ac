//! When to wake up: one heap of deadlines for many small timers.
//!
//! Nothing is ever searched for in the heap. Whoever owns a timer remembers its deadline; an entry whose deadline is
//! no longer the remembered one is stale and dropped when it surfaces. So that stale entries cannot pile up (a
//! transaction's 32 s timer outlives a transaction that ended in 2 ms), the heap is swept whenever it
//! has doubled since the last sweep, which costs a constant per entry.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::slack::shrink_heap;

/// Below this many entries a sweep is not worth its time.
const SWEEP_FROM: usize = 1024;

/// A heap of deadlines, each with the name of what is due.
#[derive(Debug)]
pub struct Alarms<K> {
    heap: BinaryHeap<Reverse<Entry<K>>>,
    /// Counts entries, so that equal deadlines ring in the order they were set.
    count: u64,
    sweep_at: usize,
}

impl<K> Default for Alarms<K> {
    fn default() -> Self {
        Alarms { heap: BinaryHeap::new(), count: 0, sweep_at: SWEEP_FROM }
    }
}

impl<K: Copy> Alarms<K> {
    /// Adds a deadline.
    pub fn set(&mut self, at: Instant, key: K) {
        self.count += 1;
        self.heap.push(Reverse(Entry { at, order: self.count, key }));
    }

    /// The next deadline, which may be a stale one unless [`Alarms::tidy`] ran since the last change.
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes out the next entry that is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.key))
    }

    /// Drops stale entries from the top, and from everywhere when many may have gathered.
    pub fn tidy(&mut self, live: impl Fn(Instant, K) -> bool) {
        while let Some(Reverse(top)) = self.heap.peek() {
            if live(top.at, top.key) {
                break;
            }
            self.heap.pop();
        }
        shrink_heap(&mut self.heap);
        if self.heap.len() >= self.sweep_at {
            self.heap.retain(|Reverse(entry)| live(entry.at, entry.key));
            self.sweep_at = (self.heap.len() * 2).max(SWEEP_FROM);
        }
    }

    /// How many entries are kept, stale ones included.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// True when no entry is kept.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[derive(Debug)]
struct Entry<K> {
    at: Instant,
    order: u64,
    key: K,
}

impl<K> Entry<K> {
    fn rank(&self) -> (Instant, u64) {
        (self.at, self.order)
    }
}

impl<K> PartialEq for Entry<K> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}
impl<K> Eq for Entry<K> {}
impl<K> PartialOrd for Entry<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Entry<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn alarms_ring_in_order_of_time_and_equal_ones_in_order_of_setting() {
        let start = Instant::now();
        let mut alarms = Alarms::default();
        alarms.set(start + Duration::from_secs(2), 'c');
        alarms.set(start + Duration::from_secs(1), 'a');
        alarms.set(start + Duration::from_secs(1), 'b');
        assert_eq!(alarms.pop_due(start), None);
        let later = start + Duration::from_secs(3);
        let rung: String = std::iter::from_fn(|| alarms.pop_due(later)).map(|(_, key)| key).collect();
        assert_eq!(rung, "abc");
    }

    #[test]
    fn stale_entries_cannot_pile_up() {
        let start = Instant::now();
        let mut alarms = Alarms::default();
        for i in 0..100_000u64 {
            alarms.set(start + Duration::from_micros(i), i);
            alarms.tidy(|_, key| key % 1000 == 0);
        }
        assert!(alarms.len() <= SWEEP_FROM, "{} entries for 100 live ones", alarms.len());
    }
}
