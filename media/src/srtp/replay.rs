//! Which indices have been seen (RFC 3711 section 3.3.2), and which index a number stands for.

/// How many indices back are told apart: two and a half seconds of voice, twice what the RFC asks for at least.
/// What comes later than that is of no use to a listener.
const WINDOW: u64 = u128::BITS as u64;

/// Half the sequence numbers: what is further ahead is behind.
const HALF: u16 = 1 << 15;

/// The highest index an SRTP stream can have: 2^48 - 1.
const INDEX_MAX: u64 = (1 << 48) - 1;

/// The window. Empty until an index is noted.
#[derive(Debug, Clone, Default)]
pub(super) struct Replay {
    /// The highest index, if there is one.
    highest: Option<u64>,
    /// Bit n: the index n below the highest has been seen.
    seen: u128,
}

impl Replay {
    /// Whether any index has been noted.
    pub(super) fn is_new(&self) -> bool {
        self.highest.is_none()
    }

    /// Whether this index may still come.
    pub(super) fn is_fresh(&self, index: u64) -> bool {
        match self.highest {
            None => true,
            Some(highest) if index > highest => true,
            Some(highest) => highest - index < WINDOW && self.seen >> (highest - index) & 1 == 0,
        }
    }

    /// It has come, authenticated.
    pub(super) fn note(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {
                if let Some(bit) = 1u128.checked_shl((highest - index).min(u64::from(u32::MAX)) as u32) {
                    self.seen |= bit;
                }
            }
            before => {
                let step = before.map_or(WINDOW, |highest| index - highest);
                self.seen = self.seen.checked_shl(step.min(WINDOW) as u32).unwrap_or(0) | 1;
                self.highest = Some(index);
            }
        }
    }

    /// The index a sequence number most likely stands for (RFC 3711 section 3.3.1 and appendix A). `None` if
    /// it lies before the first index or beyond the last one of a key.
    pub(super) fn index_of(&self, sequence: u16) -> Option<u64> {
        let Some(highest) = self.highest else { return Some(sequence.into()) };
        let (roc, newest) = (highest >> 16, highest as u16);
        let roc = if newest < HALF {
            if sequence.saturating_sub(newest) > HALF { roc.checked_sub(1)? } else { roc }
        } else if newest - HALF > sequence {
            roc + 1
        } else {
            roc
        };
        Some(roc << 16 | u64::from(sequence)).filter(|index| *index <= INDEX_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(index: u64) -> Replay {
        let mut replay = Replay::default();
        replay.note(index);
        replay
    }

    #[test]
    fn a_number_stands_for_the_nearest_index() {
        for (highest, sequence, index) in [
            (0x0_0005, 6, Some(0x0_0006)),
            (0x0_ffff, 0, Some(0x1_0000)),
            (0x0_ffff, 1, Some(0x1_0001)),
            (0x1_0000, 0xffff, Some(0x0_ffff)),
            (0x0_0000, 0xffff, None),
            (0x0_0000, 0x8000, Some(0x0_8000)),
            (0x1_0000, 0x8001, Some(0x0_8001)),
            (0x0_8001, 0, Some(0x1_0000)),
            (0x0_8000, 0, Some(0)),
            (INDEX_MAX, 0, None),
        ] {
            assert_eq!(after(highest).index_of(sequence), index, "{highest:x} then {sequence:x}");
        }
        assert_eq!(Replay::default().index_of(40_000), Some(40_000));
    }

    #[test]
    fn each_index_is_fresh_once_and_old_ones_never() {
        let mut replay = after(1000);
        assert!(!replay.is_fresh(1000));
        assert!(replay.is_fresh(1000 - WINDOW + 1) && !replay.is_fresh(1000 - WINDOW));
        replay.note(990);
        assert!(!replay.is_fresh(990) && replay.is_fresh(991));
        replay.note(1127);
        assert!(!replay.is_fresh(1000) && replay.is_fresh(1001));
        replay.note(1_000_000);
        assert!(replay.is_fresh(999_999) && !replay.is_fresh(1127));
    }
}
