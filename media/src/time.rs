//! RTP's two counters, which wrap, and what can safely be asked of them.
//!
//! A sequence number has 16 bits and a timestamp 32; both start anywhere and wrap (RFC 3550 section
//! 5.1). Comparing them with `<` is wrong once per wrap, so the types here do not implement `Ord`:
//! they offer the signed distance on the circle, and [`Unwrapper`] lays a wrapping counter out on a
//! straight line where ordinary arithmetic holds again.

/// An RTP sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sequence(pub u16);

impl Sequence {
    /// The number after this one.
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// This number moved on by `n`, around the circle.
    pub const fn plus(self, n: u16) -> Self {
        Self(self.0.wrapping_add(n))
    }

    /// Steps from `earlier` to this, the short way round: -32768..=32767.
    pub const fn distance_from(self, earlier: Self) -> i16 {
        self.0.wrapping_sub(earlier.0) as i16
    }

    /// Whether this was sent after `other`.
    pub const fn is_newer(self, other: Self) -> bool {
        self.distance_from(other) > 0
    }
}

/// An RTP timestamp, in units of the payload's RTP clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RtpTimestamp(pub u32);

impl RtpTimestamp {
    /// This instant moved on by `units`, around the circle.
    pub const fn plus(self, units: u32) -> Self {
        Self(self.0.wrapping_add(units))
    }

    /// Units from `earlier` to this, the short way round.
    pub const fn distance_from(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }

    /// Whether this is later than `other`.
    pub const fn is_newer(self, other: Self) -> bool {
        self.distance_from(other) > 0
    }
}

/// Lays sequence numbers and timestamps out on a line that does not wrap.
///
/// Each value is placed at the spot nearest to the newest one seen, so reordering across a wrap is
/// harmless. The line starts at the first value's own number plus one full circle, so that packets
/// which are older than the first still have a place that is not negative.
#[derive(Debug, Clone, Default)]
pub struct Unwrapper {
    newest: Option<i64>,
}

impl Unwrapper {
    /// A line on which nothing has been placed.
    pub const fn new() -> Self {
        Self { newest: None }
    }

    /// The place of `seq` on the line; the newest seen so far moves the reference.
    pub fn sequence(&mut self, seq: Sequence) -> i64 {
        let at = self.place_sequence(seq);
        self.newest = Some(self.newest.map_or(at, |newest| newest.max(at)));
        at
    }

    /// The place of `ts` on the line; the newest seen so far moves the reference.
    pub fn timestamp(&mut self, ts: RtpTimestamp) -> i64 {
        let at = self.place_timestamp(ts);
        self.newest = Some(self.newest.map_or(at, |newest| newest.max(at)));
        at
    }

    /// Where `seq` would lie, without learning from it.
    pub fn place_sequence(&self, seq: Sequence) -> i64 {
        match self.newest {
            None => i64::from(seq.0) + (1 << 16),
            Some(newest) => newest + i64::from(seq.distance_from(Sequence(newest as u16))),
        }
    }

    /// Where `ts` would lie, without learning from it.
    pub fn place_timestamp(&self, ts: RtpTimestamp) -> i64 {
        match self.newest {
            None => i64::from(ts.0) + (1 << 32),
            Some(newest) => newest + i64::from(ts.distance_from(RtpTimestamp(newest as u32))),
        }
    }
}

/// An instant to count test time from.
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can only be had by asking; all others are counted from it"
)]
pub(crate) fn an_instant() -> std::time::Instant {
    std::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sequence_number_is_newer_across_the_wrap() {
        assert!(Sequence(3).is_newer(Sequence(65_530)));
        assert!(!Sequence(65_530).is_newer(Sequence(3)));
        assert!(!Sequence(3).is_newer(Sequence(3)));
        assert_eq!(Sequence(65_535).next(), Sequence(0));
        assert_eq!(Sequence(2).distance_from(Sequence(65_535)), 3);
    }

    #[test]
    fn a_timestamp_is_newer_across_the_wrap() {
        let before = RtpTimestamp(u32::MAX - 79);
        assert_eq!(before.plus(160), RtpTimestamp(80));
        assert!(before.plus(160).is_newer(before));
        assert_eq!(before.distance_from(before.plus(160)), -160);
    }

    proptest! {
        #[test]
        fn unwrapped_sequence_numbers_keep_every_step(start: u16, steps in prop::collection::vec(-99i64..3000, 1..200)) {
            let mut line = Unwrapper::new();
            let first = line.sequence(Sequence(start));
            let mut newest = first;
            for step in steps {
                let truth = newest + step;
                prop_assert_eq!(line.sequence(Sequence(truth as u16)), truth);
                newest = newest.max(truth);
            }
        }

        #[test]
        fn unwrapped_timestamps_keep_every_step(start: u32, steps in prop::collection::vec(-9600i64..2_000_000_000, 1..50)) {
            let mut line = Unwrapper::new();
            let mut newest = line.timestamp(RtpTimestamp(start));
            for step in steps {
                let truth = newest + step;
                prop_assert_eq!(line.timestamp(RtpTimestamp(truth as u32)), truth);
                newest = newest.max(truth);
            }
        }
    }
}
