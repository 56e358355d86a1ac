//! Giving memory back after a burst.
//!
//! Tables and heaps grow by doubling and never shrink by themselves: after an hour at 300 calls a second the
//! transactions' tables would stay at what 32 s of that need, some ten megabytes, for as long as the process
//! lives. So whoever takes something out asks here afterwards. It costs a comparison; the table is moved only
//! when it holds an eighth of what it has held, and so not again before it has lost most of the rest.

use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, Hash};

/// What held no more than this is left alone: it takes less than a hundred kilobytes.
const SMALL: usize = 256;

/// A table is too large when it has held this many times what it holds.
const TOO_LARGE: usize = 8;

/// Room that is left, by what is held, so that the next few calls find some.
const LEFT: usize = 2;

/// The most that a table has held since it was last shrunk. The table's own capacity does not tell: places whose
/// entries were removed count to it only when it is moved.
#[derive(Debug, Default)]
pub(super) struct Slack {
    peak: usize,
}

impl Slack {
    /// One entry was removed: shrinks a table that holds far less than it did. True when it did.
    pub(super) fn removed<K: Eq + Hash, V, S: BuildHasher>(&mut self, table: &mut HashMap<K, V, S>) -> bool {
        self.peak = self.peak.max(table.len() + 1);
        let too_large = is_too_large(table.len(), self.peak);
        if too_large {
            table.shrink_to(table.len() * LEFT);
            self.peak = table.len();
        }
        too_large
    }
}

/// Shrinks a heap that holds far less than it could.
pub(super) fn shrink_heap<T>(heap: &mut BinaryHeap<T>) {
    if is_too_large(heap.len(), heap.capacity()) {
        heap.shrink_to((heap.len() * LEFT).max(SMALL / LEFT));
    }
}

fn is_too_large(holds: usize, could: usize) -> bool {
    could > SMALL && holds < could / TOO_LARGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_burst_needed_is_given_back_and_moved_seldom() {
        let mut table: HashMap<u32, u32> = (0..50_000).map(|n| (n, n)).collect();
        let (mut slack, mut moves) = (Slack::default(), 0);
        for n in 0..49_990 {
            table.remove(&n);
            moves += u32::from(slack.removed(&mut table));
        }
        assert!((1..=4).contains(&moves), "{moves} moves");
        assert!(table.capacity() <= SMALL, "{} places for ten", table.capacity());
    }
}
