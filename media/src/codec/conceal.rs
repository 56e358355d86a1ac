//! Packet-loss concealment: what is played where a packet should have been.
//!
//! In the manner of G.711 appendix I: the last pitch period before the loss is repeated, its ends
//! blended so that the repetition has no seam, full for 10 ms and faded out by 60 ms. When sound
//! comes back it is blended in over the continued repetition. Unlike the appendix, nothing is held
//! back in good times: the appendix delays everything by 3.75 ms to blend at the start of a loss;
//! here the small step that may remain there is spread over the first milliseconds instead.

use crate::frame::SampleRate;

/// Concealment is silent after this much lost sound, in milliseconds (G.711 appendix I.2.6).
pub const FADED_OUT_MS: u32 = 60;

/// Concealment keeps its level for this long, in milliseconds (G.711 appendix I.2.5).
pub const FULL_LEVEL_MS: u32 = 10;

/// The lowest pitch that is followed: 66 Hz, a period of 15 ms.
const LONGEST_PERIOD_MS: u32 = 15;

/// Blend at each end of a concealed stretch.
const BLEND_MS: u32 = 5;

/// What a pitch is measured on.
const MATCH_MS: u32 = 20;

/// Past sound kept, in samples: at 16 kHz a match window and two of the longest periods.
pub const HISTORY: usize = 800;

/// The longest period in samples at 16 kHz.
const LONGEST_PERIOD: usize = 16 * LONGEST_PERIOD_MS as usize;

/// Remembers the recent sound of one stream, and continues it when packets are missing.
///
/// Either every decoded piece passes through [`Concealer::heard`]; or, where past sound is kept
/// anyway, it is handed over by [`Concealer::learn`] when a loss begins, and only what follows a
/// loss passes through. Missing pieces come out of [`Concealer::conceal`].
#[derive(Debug, Clone)]
pub struct Concealer {
    rate: SampleRate,
    history: [i16; HISTORY],
    loss: Option<Loss>,
}

/// A stretch of loss under way.
#[derive(Debug, Clone)]
struct Loss {
    period: [f32; LONGEST_PERIOD],
    len: usize,
    /// Samples made so far.
    made: usize,
    /// How far the real sound's end lay from where the repetition begins.
    step: f32,
}

impl Concealer {
    /// A concealer for a stream at `rate` of which nothing was heard yet.
    pub fn new(rate: SampleRate) -> Self {
        Self { rate, history: [0; HISTORY], loss: None }
    }

    /// The rate it works at.
    pub const fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Whether the last piece played was made up.
    pub const fn is_concealing(&self) -> bool {
        self.loss.is_some()
    }

    /// Whether what it would make now is silence.
    pub fn is_faded_out(&self) -> bool {
        self.loss.as_ref().is_some_and(|loss| loss.made >= self.rate.samples_in_ms(FADED_OUT_MS))
    }

    /// The sound just played, oldest first: what a loss that begins now continues. [`HISTORY`] samples
    /// are all that is used.
    pub fn learn(&mut self, past: &[i16]) {
        self.loss = None;
        self.remember(past);
    }

    /// Takes note of decoded sound about to be played; after a loss its beginning is blended in.
    pub fn heard(&mut self, pcm: &mut [i16]) {
        if pcm.is_empty() {
            return;
        }
        if let Some(mut loss) = self.loss.take() {
            let blend = self.rate.samples_in_ms(BLEND_MS).min(pcm.len());
            for (n, sample) in pcm[..blend].iter_mut().enumerate() {
                let weight = (n + 1) as f32 / (blend + 1) as f32;
                let made = loss.next(self.rate);
                *sample = (made + (f32::from(*sample) - made) * weight).round() as i16;
            }
        }
        self.remember(pcm);
    }

    /// Fills `out` with a continuation of what was heard.
    pub fn conceal(&mut self, out: &mut [i16]) {
        let rate = self.rate;
        let mut loss = self.loss.take().unwrap_or_else(|| self.begin());
        for sample in out.iter_mut() {
            *sample = loss.next(rate).round() as i16;
        }
        self.loss = Some(loss);
        self.remember(out);
    }

    fn remember(&mut self, pcm: &[i16]) {
        let new = &pcm[pcm.len().saturating_sub(HISTORY)..];
        self.history.copy_within(new.len().., 0);
        self.history[HISTORY - new.len()..].copy_from_slice(new);
    }

    fn begin(&self) -> Loss {
        let len = self.pitch_period();
        let blend = (len / 4).max(1);
        let last = &self.history[HISTORY - len..];
        let before = &self.history[HISTORY - 2 * len..HISTORY - len];
        let mut period = [0.0; LONGEST_PERIOD];
        for (n, made) in period[..len].iter_mut().enumerate() {
            let weight = (n + blend + 1).saturating_sub(len) as f32 / blend as f32;
            // Towards its end the period turns into the one before it, whose continuation is the
            // start of this one.
            *made = f32::from(last[n]) + (f32::from(before[n]) - f32::from(last[n])) * weight;
        }
        let step = f32::from(last[len - 1]) - f32::from(before[len - 1]);
        Loss { period, len, made: 0, step }
    }

    /// The distance at which the recent sound resembles itself most, in samples.
    ///
    /// Found on every second (16 kHz: every fourth) sample, then refined to the sample.
    fn pitch_period(&self) -> usize {
        let coarse = self.rate.samples_in_ms(1) / 4;
        let (shortest, longest) = (self.rate.samples_in_ms(5), self.rate.samples_in_ms(LONGEST_PERIOD_MS));
        let best = |lags: &mut dyn Iterator<Item = usize>, stride| {
            let scored = lags.map(|lag| (lag, self.likeness(lag, stride)));
            scored.fold((shortest, f32::MIN), |best, next| if next.1 > best.1 { next } else { best }).0
        };
        let rough = best(&mut (shortest..=longest).step_by(coarse), coarse);
        best(&mut (rough.saturating_sub(coarse).max(shortest)..=(rough + coarse).min(longest)), 1)
    }

    /// Normalised correlation of the last [`MATCH_MS`] with the sound `lag` samples earlier.
    fn likeness(&self, lag: usize, stride: usize) -> f32 {
        let window = self.rate.samples_in_ms(MATCH_MS);
        let (mut product, mut energy) = (0.0, 0.0);
        for n in (HISTORY - window..HISTORY).step_by(stride) {
            let (now, then) = (f32::from(self.history[n]), f32::from(self.history[n - lag]));
            product += now * then;
            energy += then * then;
        }
        product / energy.max(1.0).sqrt()
    }
}

impl Loss {
    fn next(&mut self, rate: SampleRate) -> f32 {
        let (full, faded) = (rate.samples_in_ms(FULL_LEVEL_MS), rate.samples_in_ms(FADED_OUT_MS));
        if self.made >= faded {
            return 0.0;
        }
        let spread = rate.samples_in_ms(BLEND_MS);
        let step = self.step * spread.saturating_sub(self.made) as f32 / spread as f32;
        let gain = (faded - self.made) as f32 / (faded - full) as f32;
        let sample = (self.period[self.made % self.len] + step) * gain.min(1.0);
        self.made += 1;
        sample.clamp(f32::from(i16::MIN), f32::from(i16::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::f64::consts::TAU;

    const RATES: [SampleRate; 2] = [SampleRate::Hz8000, SampleRate::Hz16000];

    #[test]
    fn a_lost_packet_in_a_voice_like_sound_leaves_no_step_larger_than_the_sound_itself_makes() {
        for rate in RATES {
            for hz in [90.0, 123.0, 200.0, 440.0, 997.0] {
                let sound = harmonics(rate, hz, 30);
                let natural = largest_step(&sound);
                for lost in 1..=5 {
                    let played = play_with_loss(rate, &sound, 10..10 + lost);
                    let step = largest_step(&played);
                    assert!(
                        step <= natural * 5 / 4 + 50,
                        "{rate:?} {hz} Hz, {lost} lost: {step} of {natural}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_single_lost_packet_of_a_steady_sound_keeps_its_level() {
        for rate in RATES {
            let tick = rate.samples_per_tick();
            let sound = harmonics(rate, 140.0, 30);
            let played = play_with_loss(rate, &sound, 10..11);
            let level = |pcm: &[i16]| crate::frame::level_dbfs(&pcm[10 * tick..11 * tick]);
            assert!(level(&sound) - level(&played) < 2.0, "{} {}", level(&sound), level(&played));
        }
    }

    #[test]
    fn concealment_is_silent_after_sixty_milliseconds() {
        for rate in RATES {
            let tick = rate.samples_per_tick();
            let played = play_with_loss(rate, &harmonics(rate, 140.0, 30), 10..16);
            assert!(played[12 * tick..13 * tick].iter().any(|&s| s != 0), "not yet before");
            assert!(played[13 * tick..16 * tick].iter().all(|&s| s == 0));
        }
    }

    #[test]
    fn good_sound_passes_unchanged_once_the_blend_is_over() {
        for rate in RATES {
            let (tick, sound) = (rate.samples_per_tick(), harmonics(rate, 140.0, 30));
            let played = play_with_loss(rate, &sound, 10..12);
            assert_eq!(played[..10 * tick], sound[..10 * tick]);
            let after = 12 * tick + rate.samples_in_ms(BLEND_MS);
            assert_eq!(played[after..], sound[after..]);
        }
    }

    #[test]
    fn a_loss_before_anything_was_heard_is_silence() {
        let mut concealer = Concealer::new(SampleRate::Hz8000);
        let mut out = [99; 160];
        concealer.conceal(&mut out);
        assert_eq!(out, [0; 160]);
    }

    proptest! {
        #[test]
        fn any_sound_and_any_pattern_of_loss_is_survived(
            seed: u32, pieces in prop::collection::vec((any::<bool>(), 1usize..1000), 1..40), wide: bool
        ) {
            let rate = if wide { SampleRate::Hz16000 } else { SampleRate::Hz8000 };
            let mut concealer = Concealer::new(rate);
            let mut state = seed;
            for (lost, len) in pieces {
                let mut pcm = vec![0i16; len];
                for sample in &mut pcm {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    *sample = (state >> 16) as i16;
                }
                if lost { concealer.conceal(&mut pcm) } else { concealer.heard(&mut pcm) }
                prop_assert_eq!(concealer.is_concealing(), lost);
            }
        }
    }

    fn play_with_loss(rate: SampleRate, sound: &[i16], lost: std::ops::Range<usize>) -> Vec<i16> {
        let mut concealer = Concealer::new(rate);
        let mut played = sound.to_vec();
        for (n, piece) in played.chunks_mut(rate.samples_per_tick()).enumerate() {
            if lost.contains(&n) { concealer.conceal(piece) } else { concealer.heard(piece) }
        }
        played
    }

    /// A few falling harmonics, like a sung vowel.
    fn harmonics(rate: SampleRate, hz: f64, ticks: usize) -> Vec<i16> {
        (0..ticks * rate.samples_per_tick())
            .map(|n| {
                let angle = TAU * hz * n as f64 / f64::from(rate.hz());
                (8_000.0 * (angle.sin() + 0.4 * (2.0 * angle).sin() + 0.2 * (3.0 * angle + 1.0).sin())) as i16
            })
            .collect()
    }

    fn largest_step(pcm: &[i16]) -> i32 {
        pcm.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap_or(0)
    }
}
