//! G.722: 16 kHz speech in 64 kbit/s, by sub-band ADPCM.
//!
//! A quadrature mirror filter splits the signal at 4 kHz; the lower band is coded in six bits a
//! sample, the upper in two, each by adaptive differential PCM whose step size and predictor both
//! ends derive from the codes alone. That is why every operation follows the fixed-point description
//! of ITU-T G.722 (clause 6.2) to the bit: an encoder and a decoder that round differently drift
//! apart. Names of steps in the comments (QUANTL, LOGSCL, UPPOL2, ...) are the Recommendation's.
//!
//! Mode 1 (64 kbit/s) only: RTP carries no other (RFC 3551 section 4.5.2).

/// PCM at 16 kHz to octets.
#[derive(Debug, Clone)]
pub struct Encoder {
    low: Band,
    high: Band,
    history: History,
}

impl Encoder {
    /// An encoder at the start of a stream.
    pub const fn new() -> Self {
        Self { low: Band::LOW, high: Band::HIGH, history: History::EMPTY }
    }

    /// Encodes pairs of samples into `out`, one octet each; returns the octets written.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        let len = (pcm.len() / 2).min(out.len());
        for (octet, pair) in out[..len].iter_mut().zip(pcm.chunks_exact(2)) {
            *octet = self.encode_pair(i32::from(pair[0]), i32::from(pair[1]));
        }
        len
    }

    fn encode_pair(&mut self, first: i32, second: i32) -> u8 {
        let (odd, even) = self.history.filter(first, second);
        // The filter gains 2^13; one bit more goes because the ADPCM works on 15 bits.
        let (low, high) = ((even + odd) >> 14, (even - odd) >> 14);

        // Lower band: SUBTRA, QUANTL, INVQAL.
        let difference = saturate(low - self.low.estimate);
        let magnitude = if difference < 0 { !difference } else { difference };
        let interval =
            1 + LOW_DECISIONS.iter().take_while(|&&level| magnitude >= (level * self.low.step) >> 12).count();
        let low_code = match (difference < 0, interval) {
            (true, 1) => 63,
            (true, 2) => 62,
            (true, interval) => 34 - interval,
            (false, interval) => 62 - interval,
        };
        self.low.adapt_low(low_code);

        // Upper band: SUBTRA, QUANTH, INVQAH.
        let difference = saturate(high - self.high.estimate);
        let magnitude = if difference < 0 { !difference } else { difference };
        let large = magnitude >= (HIGH_DECISION * self.high.step) >> 12;
        let high_code = match (difference < 0, large) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        self.high.adapt_high(high_code);

        (high_code << 6 | low_code) as u8
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Octets to PCM at 16 kHz.
#[derive(Debug, Clone)]
pub struct Decoder {
    low: Band,
    high: Band,
    history: History,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub const fn new() -> Self {
        Self { low: Band::LOW, high: Band::HIGH, history: History::EMPTY }
    }

    /// Decodes octets into `out`, two samples each; returns the samples written.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let mut written = 0;
        for (pair, &octet) in out.chunks_exact_mut(2).zip(payload) {
            let (first, second) = self.decode_octet(octet);
            (pair[0], pair[1]) = (first, second);
            written += 2;
        }
        written
    }

    fn decode_octet(&mut self, octet: u8) -> (i16, i16) {
        let low_code = usize::from(octet & 0x3F);
        let high_code = usize::from(octet >> 6);

        // INVQBL: what is heard uses all six bits, what adapts only four of them.
        let low = limit(self.low.estimate + ((self.low.step * LOW_LEVELS_6_BIT[low_code]) >> 15));
        self.low.adapt_low(low_code);

        let high = limit(self.high.estimate + ((self.high.step * HIGH_LEVELS[high_code]) >> 15));
        self.high.adapt_high(high_code);

        let (odd, even) = self.history.filter(low + high, low - high);
        // The filter gains 2^12; one bit less goes to come back from 15 bits to 16.
        (saturate(even >> 11) as i16, saturate(odd >> 11) as i16)
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The quadrature mirror filter's memory: the last twelve pairs.
#[derive(Debug, Clone)]
struct History {
    /// First and second of each pair, kept twice in a row so that a window never wraps.
    first: [i32; 2 * TAPS],
    second: [i32; 2 * TAPS],
    at: usize,
}

impl History {
    const EMPTY: Self = Self { first: [0; 2 * TAPS], second: [0; 2 * TAPS], at: 0 };

    /// Takes in a pair; returns the two phases of the filter, over the firsts and over the seconds.
    fn filter(&mut self, first: i32, second: i32) -> (i32, i32) {
        for at in [self.at, self.at + TAPS] {
            self.first[at] = first;
            self.second[at] = second;
        }
        self.at = (self.at + 1) % TAPS;
        let firsts = &self.first[self.at..self.at + TAPS];
        let seconds = &self.second[self.at..self.at + TAPS];
        let odd = firsts.iter().zip(&QMF).map(|(x, h)| x * h).sum();
        let even = seconds.iter().zip(QMF.iter().rev()).map(|(x, h)| x * h).sum();
        (odd, even)
    }
}

/// The adaptive state of one band; both ends of a stream hold the same.
#[derive(Debug, Clone)]
struct Band {
    /// SL, SH: what the predictor expects next.
    estimate: i32,
    /// SZL, SZH: the zero section's share of the estimate.
    zero_estimate: i32,
    /// DETL, DETH: the quantiser's step.
    step: i32,
    /// NBL, NBH: the logarithm of the step.
    log_step: i32,
    /// A: pole section, two coefficients.
    pole: [i32; 2],
    /// RLT, RH: the last two reconstructed samples, newest first.
    reconstructed: [i32; 2],
    /// Signs of PLT, PH: whether the last two partial reconstructions were negative.
    partial_negative: [bool; 2],
    /// B: zero section, six coefficients.
    zero: [i32; 6],
    /// DLT, DH: the last six quantised differences, newest first.
    differences: [i32; 6],
}

impl Band {
    const LOW: Self = Self::starting_at(32);
    const HIGH: Self = Self::starting_at(8);

    const fn starting_at(step: i32) -> Self {
        Self {
            estimate: 0,
            zero_estimate: 0,
            step,
            log_step: 0,
            pole: [0; 2],
            reconstructed: [0; 2],
            partial_negative: [false; 2],
            zero: [0; 6],
            differences: [0; 6],
        }
    }

    /// INVQAL, LOGSCL, SCALEL and the predictor, for a lower band code.
    fn adapt_low(&mut self, code: usize) {
        let coarse = code >> 2;
        let difference = (self.step * LOW_LEVELS_4_BIT[coarse]) >> 15;
        self.log_step = (((self.log_step * 127) >> 7) + LOW_LOG_STEP[coarse]).clamp(0, 18_432);
        self.step = step_of(self.log_step, 8);
        self.predict(difference);
    }

    /// INVQAH, LOGSCH, SCALEH and the predictor, for an upper band code.
    fn adapt_high(&mut self, code: usize) {
        let difference = (self.step * HIGH_LEVELS[code]) >> 15;
        self.log_step = (((self.log_step * 127) >> 7) + HIGH_LOG_STEP[code]).clamp(0, 22_528);
        self.step = step_of(self.log_step, 10);
        self.predict(difference);
    }

    /// Block 4: moves both sections of the predictor towards `difference` and forms the next estimate.
    fn predict(&mut self, difference: i32) {
        // RECONS, PARREC.
        let reconstructed = saturate(self.estimate + difference);
        let negative = self.zero_estimate + difference < 0;
        let [negative_1, negative_2] = self.partial_negative;

        // UPPOL2: the second pole coefficient, leaking and held within stability.
        let lean = saturate(self.pole[0] << 2);
        let lean = if negative == negative_1 { -lean } else { lean }.min(32_767);
        let push = if negative == negative_2 { 128 } else { -128 };
        let pole_2 = (push + (lean >> 7) + ((self.pole[1] * 32_512) >> 15)).clamp(-12_288, 12_288);

        // UPPOL1: the first, held inside the triangle that the second leaves.
        let push = if negative == negative_1 { 192 } else { -192 };
        let bound = 15_360 - pole_2;
        let pole_1 = saturate(push + ((self.pole[0] * 32_640) >> 15)).clamp(-bound, bound);

        // UPZERO: the six zeros, each pushed by the agreement of signs; no push on a zero difference.
        let push = if difference == 0 { 0 } else { 128 };
        for (coefficient, &past) in self.zero.iter_mut().zip(&self.differences) {
            let agree = (past < 0) == (difference < 0);
            *coefficient = saturate(if agree { push } else { -push } + ((*coefficient * 32_640) >> 15));
        }

        // DELAYA.
        self.pole = [pole_1, pole_2];
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.partial_negative = [negative, negative_1];
        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;

        // FILTEP, FILTEZ, PREDIC.
        let tap = |coefficient: i32, sample: i32| (coefficient * saturate(sample << 1)) >> 15;
        let poles = saturate(tap(pole_1, self.reconstructed[0]) + tap(pole_2, self.reconstructed[1]));
        let zeros: i32 = self.zero.iter().zip(&self.differences).map(|(&b, &d)| tap(b, d)).sum();
        self.zero_estimate = saturate(zeros);
        self.estimate = saturate(poles + self.zero_estimate);
    }
}

/// SCALEL, SCALEH: the step from its logarithm, by table and shift.
fn step_of(log_step: i32, shift: i32) -> i32 {
    let mantissa = STEP_MANTISSA[(log_step >> 6 & 31) as usize];
    let shift = shift - (log_step >> 11);
    (if shift < 0 { mantissa << -shift } else { mantissa >> shift }) << 2
}

/// Holds a value within 16 bits, as every adder of the Recommendation does.
fn saturate(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

/// LIMIT: holds a reconstructed sub-band sample within 15 bits.
fn limit(value: i32) -> i32 {
    value.clamp(-16_384, 16_383)
}

const TAPS: usize = 12;

/// G.722 table 11: every other coefficient of the 24 tap filter, which is symmetrical.
const QMF: [i32; TAPS] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// G.722 table 14, Q6: decision levels of the lower band, the first (zero) left out.
const LOW_DECISIONS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219,
    1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
];

/// The one decision level of the upper band.
const HIGH_DECISION: i32 = 564;

/// QM6: output levels of the lower band, all six bits.
const LOW_LEVELS_6_BIT: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360,
    -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688,
    -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856,
    7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136,
    -432, -136,
];

/// QM4: output levels of the lower band, the upper four bits, from which both ends adapt.
const LOW_LEVELS_4_BIT: [i32; 16] =
    [0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0];

/// WL by way of RL42: how each four bit code moves the logarithm of the step.
const LOW_LOG_STEP: [i32; 16] =
    [-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60];

/// QM2: output levels of the upper band.
const HIGH_LEVELS: [i32; 4] = [-7408, -1616, 7408, 1616];

/// WH by way of RH2.
const HIGH_LOG_STEP: [i32; 4] = [798, -214, 798, -214];

/// ILB: 2048 times two to the power of n/32.
const STEP_MANTISSA: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896,
    2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    type Source = fn() -> Vec<i16>;

    /// What another implementation (libg722, bit exact with the ITU test sequences) makes of the
    /// same input, as FNV-1a hashes: octets out of its encoder, PCM out of its decoder.
    const KNOWN_ANSWERS: [(&str, Source, u64, u64); 3] = [
        ("quiet noise", || noise(16_000, 20), 0x96f7_9071_3b3a_e276, 0x2dd0_f74b_0543_b8e8),
        ("full-scale noise", || noise(16_000, 100), 0x6767_4370_f199_fadf, 0xbf6b_4681_7bfb_352b),
        ("triangle sweep", || sweep(16_000), 0x0e29_e8ca_d4b1_25d2, 0x30c0_1605_b286_c0bb),
    ];

    #[test]
    fn encoder_and_decoder_agree_bit_for_bit_with_a_foreign_implementation() {
        for (name, source, octets_hash, pcm_hash) in KNOWN_ANSWERS {
            let octets = encode(&source());
            assert_eq!(fnv(octets.iter().copied()), octets_hash, "octets of {name}");
            let pcm = decode(&octets);
            assert_eq!(fnv(pcm.iter().flat_map(|s| s.to_le_bytes())), pcm_hash, "PCM of {name}");
        }
    }

    #[test]
    fn arbitrary_octets_decode_bit_for_bit_as_a_foreign_decoder_does() {
        let octets: Vec<u8> = noise(8_000, 100).iter().map(|&s| s as u8).collect();
        assert_eq!(fnv(octets.iter().copied()), 0x2ea3_f5b3_2d14_3a8a, "the input itself");
        let pcm = decode(&octets);
        assert_eq!(fnv(pcm.iter().flat_map(|s| s.to_le_bytes())), 0x4b0a_da3e_01dd_378d);
    }

    #[test]
    fn a_tone_in_either_band_comes_back_clean() {
        // The lower band has six bits a sample, the upper two.
        for (hz, snr_at_least) in [(300.0, 30.0), (1000.0, 30.0), (3000.0, 25.0), (5500.0, 10.0)] {
            let tone = sine(16_000, hz, 8_000.0);
            let snr = snr_of_tone(&decode(&encode(&tone))[1_600..], hz);
            assert!(snr > snr_at_least, "{hz} Hz: {snr:.1} dB");
        }
    }

    #[test]
    fn the_filters_of_both_ends_delay_by_22_samples() {
        let tone = noise(4_000, 10);
        let back = decode(&encode(&tone));
        let correlation = |lag: usize| -> i64 {
            tone.iter().zip(&back[lag..]).map(|(&a, &b)| i64::from(a) * i64::from(b)).sum()
        };
        let best = (0..64).max_by_key(|&lag| correlation(lag)).expect("some lag");
        assert_eq!(best, 22);
    }

    #[test]
    fn silence_stays_silent() {
        let back = decode(&encode(&[0; 3_200]));
        assert!(back.iter().all(|s| s.abs() <= 16), "{:?}", back.iter().max());
    }

    #[test]
    fn splitting_a_stream_into_packets_changes_nothing() {
        let pcm = noise(9_600, 50);
        let whole = encode(&pcm);
        let mut encoder = Encoder::new();
        let mut parts = Vec::new();
        for packet in pcm.chunks(320) {
            let mut out = [0; 160];
            let len = encoder.encode(packet, &mut out);
            parts.extend_from_slice(&out[..len]);
        }
        assert_eq!(parts, whole);
    }

    fn encode(pcm: &[i16]) -> Vec<u8> {
        let mut out = vec![0; pcm.len() / 2];
        assert_eq!(Encoder::new().encode(pcm, &mut out), out.len());
        out
    }

    fn decode(octets: &[u8]) -> Vec<i16> {
        let mut out = vec![0; octets.len() * 2];
        assert_eq!(Decoder::new().decode(octets, &mut out), out.len());
        out
    }

    fn noise(len: usize, percent: i32) -> Vec<i16> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (((state >> 16) as i32 - 32_768) * percent).div_euclid(100) as i16
        };
        (0..len).map(|_| next()).collect()
    }

    fn sweep(len: usize) -> Vec<i16> {
        let (mut phase, mut step) = (0i32, 200);
        let mut next = |at: usize| {
            phase = (phase + step) & 0xFFFF;
            step += i32::from(at.is_multiple_of(4));
            (if phase < 32_768 { phase } else { 65_535 - phase } - 16_384) as i16
        };
        (0..len).map(&mut next).collect()
    }

    fn sine(len: usize, hz: f64, peak: f64) -> Vec<i16> {
        (0..len).map(|n| (peak * (TAU * hz * n as f64 / 16_000.0).sin()) as i16).collect()
    }

    /// Power at `hz` over all other power, by projection on sine and cosine.
    fn snr_of_tone(pcm: &[i16], hz: f64) -> f64 {
        let (mut s, mut c, mut all) = (0.0, 0.0, 0.0);
        for (n, &x) in pcm.iter().enumerate() {
            let angle = TAU * hz * n as f64 / 16_000.0;
            s += f64::from(x) * angle.sin();
            c += f64::from(x) * angle.cos();
            all += f64::from(x).powi(2);
        }
        let tone = 2.0 * (s * s + c * c) / pcm.len() as f64;
        10.0 * (tone / (all - tone)).log10()
    }

    fn fnv(octets: impl Iterator<Item = u8>) -> u64 {
        octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}
