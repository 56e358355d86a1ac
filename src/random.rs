//! Unguessable numbers from one seed: tags, branches, Call-IDs, ICE passwords, back-off times.
//!
//! The generator is SHA-256 over the seed and a counter. Whoever sees every tag of a call cannot tell the next
//! one (RFC 3261 section 19.3 asks for 32 random bits at least), and the same seed plays the same story
//! again in a test. In production the seed comes from the operating system.

use sha2::{Digest, Sha256};

/// A seeded generator.
#[derive(Debug)]
pub struct Random {
    seed: [u8; 32],
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl Random {
    /// A generator that is wholly decided by its seed.
    pub fn new(seed: [u8; 32]) -> Random {
        Random { seed, counter: 0, block: [0; 32], used: 32 }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        if self.used == self.block.len() {
            let mut hash = Sha256::new();
            hash.update(self.seed);
            hash.update(self.counter.to_be_bytes());
            self.block.copy_from_slice(&hash.finalize());
            self.counter += 1;
            self.used = 0;
        }
        let mut eight = [0; 8];
        eight.copy_from_slice(&self.block[self.used..self.used + 8]);
        self.used += 8;
        u64::from_be_bytes(eight)
    }

    /// The seed of another generator.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        seed.chunks_exact_mut(8).for_each(|eight| eight.copy_from_slice(&self.bits().to_be_bytes()));
        seed
    }

    /// A number from 0 to `bound`, the bound itself left out; 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of the product is under 2^-32 for the small bounds (back-off times) asked for here.
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_tells_one_story_and_another_seed_another() {
        let draw = |seed| {
            let mut random = Random::new([seed; 32]);
            [random.bits(), random.bits(), random.bits(), random.bits(), random.bits()]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let numbers = draw(3);
        assert!((0..5).all(|i| (0..i).all(|j| numbers[i] != numbers[j])));
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_its_ends() {
        let mut random = Random::new([7; 32]);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[random.below(5) as usize] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.below(0), 0);
    }
}
