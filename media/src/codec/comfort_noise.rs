//! Comfort noise (RFC 3389): what a listener hears while the other side sends nothing.
//!
//! A sender that stops in pauses tells the level, and perhaps the colour, of its background noise.
//! [`ComfortNoise`] is that message; [`WhiteNoise`] makes noise of a level. The colour is carried
//! through parsing and building but not synthesised: white noise at the right level is what keeps a
//! line from sounding dead, and RFC 3389 section 4 leaves the synthesis to the receiver.

use crate::frame::SampleRate;

/// The static payload type at 8 kHz (RFC 3551 table 4).
pub const PAYLOAD_TYPE: u8 = 13;

/// Reflection coefficients kept from a message; RFC 3389 section 3.3 sets no bound, appendix II of
/// G.711 uses ten.
pub const MAX_ORDER: usize = 12;

/// The quietest level that can be said, in -dBov.
pub const QUIETEST: u8 = 127;

/// The loudest noise we make, in -dBov: nobody's room is louder, but a broken sender may claim 0.
pub const LOUDEST_PLAYED: u8 = 30;

/// One comfort noise payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComfortNoise {
    level: u8,
    reflection: [u8; MAX_ORDER],
    order: usize,
}

impl ComfortNoise {
    /// White noise at `level` in -dBov: 0 is a full-scale square wave, 127 the quietest.
    pub const fn white(level: u8) -> Self {
        let level = if level > QUIETEST { QUIETEST } else { level };
        Self { level, reflection: [0; MAX_ORDER], order: 0 }
    }

    /// Reads a payload (RFC 3389 section 3); `None` if it is empty. Coefficients beyond
    /// [`MAX_ORDER`] are left out, as section 3.3 allows.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (&level, coefficients) = payload.split_first()?;
        let order = coefficients.len().min(MAX_ORDER);
        // The top bit of the level is reserved and ignored.
        let mut noise = Self { order, ..Self::white(level & QUIETEST) };
        noise.reflection[..order].copy_from_slice(&coefficients[..order]);
        Some(noise)
    }

    /// Writes the payload to `out` and returns its length; 0 if it does not fit.
    pub fn build(&self, out: &mut [u8]) -> usize {
        let len = 1 + self.order;
        let Some(out) = out.get_mut(..len) else { return 0 };
        out[0] = self.level;
        out[1..].copy_from_slice(&self.reflection[..self.order]);
        len
    }

    /// The level in -dBov.
    pub const fn level(&self) -> u8 {
        self.level
    }

    /// The reflection coefficients, each within -1 to 1 (RFC 3389 section 3.2).
    pub fn reflection(&self) -> impl Iterator<Item = f32> + '_ {
        self.reflection[..self.order].iter().map(|&n| 258.0 * (f32::from(n) - 127.0) / 32_768.0)
    }
}

/// Makes white noise; the same seed gives the same noise.
#[derive(Debug, Clone)]
pub struct WhiteNoise {
    state: u32,
    gain: f32,
    wanted: f32,
    glide: f32,
}

impl WhiteNoise {
    /// A generator that is silent until it is given a level.
    pub fn new(rate: SampleRate, seed: u32) -> Self {
        // Levels glide over about 10 ms, so that a change is not heard as a step.
        let glide = 1.0 / rate.samples_in_ms(10) as f32;
        // The generator has one state it never leaves, zero.
        Self { state: seed | 1, gain: 0.0, wanted: 0.0, glide }
    }

    /// The level to make from now on, in -dBov; held at [`LOUDEST_PLAYED`].
    pub fn set_level(&mut self, level: u8) {
        let level = level.clamp(LOUDEST_PLAYED, QUIETEST);
        // Uniform noise has a mean power of a third of its peak's.
        self.wanted = 3f32.sqrt() * 10f32.powf(-f32::from(level) / 20.0);
    }

    /// Fills `out` with noise.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            self.gain += (self.wanted - self.gain) * self.glide;
            *sample = (self.next() * self.gain).round() as i16;
        }
    }

    /// Marsaglia's xorshift, as a number from -32768 to 32768.
    fn next(&mut self) -> f32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        (self.state as i32) as f32 / 65_536.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::level_dbfs;
    use proptest::prelude::*;

    #[test]
    fn noise_has_the_level_it_was_told() {
        for rate in [SampleRate::Hz8000, SampleRate::Hz16000] {
            for level in [30, 45, 60, 70] {
                let mut generator = WhiteNoise::new(rate, 7);
                generator.set_level(level);
                let mut out = [0; 16_000];
                generator.fill(&mut out);
                let measured = level_dbfs(&out[2_000..]);
                assert!((measured + f32::from(level)).abs() < 0.5, "{level}: {measured}");
            }
        }
    }

    #[test]
    fn a_claim_of_full_scale_noise_is_held_down() {
        let mut generator = WhiteNoise::new(SampleRate::Hz8000, 7);
        generator.set_level(0);
        let mut out = [0; 8_000];
        generator.fill(&mut out);
        assert!(level_dbfs(&out) < -29.0);
    }

    #[test]
    fn the_same_seed_makes_the_same_noise() {
        let noise = |seed| {
            let mut generator = WhiteNoise::new(SampleRate::Hz8000, seed);
            generator.set_level(50);
            let mut out = [0; 160];
            generator.fill(&mut out);
            out
        };
        assert_eq!(noise(2), noise(2));
        assert_ne!(noise(2), noise(4));
    }

    #[test]
    fn a_message_with_level_and_colour_is_read_as_rfc_3389_says() {
        let noise = ComfortNoise::parse(&[0x80 | 42, 127, 254, 0]).expect("not empty");
        assert_eq!(noise.level(), 42);
        let colour: Vec<f32> = noise.reflection().collect();
        assert_eq!(colour[0], 0.0);
        assert!((colour[1] - 0.99994).abs() < 1e-4 && (colour[2] + 0.99994).abs() < 1e-4, "{colour:?}");
        assert_eq!(ComfortNoise::parse(&[]), None);
    }

    proptest! {
        #[test]
        fn a_message_survives_building_and_parsing(level in 0u8..=127, colour in prop::collection::vec(any::<u8>(), 0..=MAX_ORDER)) {
            let payload: Vec<u8> = std::iter::once(level).chain(colour).collect();
            let noise = ComfortNoise::parse(&payload).expect("not empty");
            let mut out = [0; 1 + MAX_ORDER];
            let len = noise.build(&mut out);
            prop_assert_eq!(&out[..len], &payload[..]);
            prop_assert_eq!(noise.build(&mut out[..payload.len() - 1]), 0);
        }
    }
}
