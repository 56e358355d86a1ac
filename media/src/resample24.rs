//! Between 24 kHz and 16 kHz, for sound that reaches us at the higher rate. The mixer works at 8 and 16 kHz, where
//! telephony has all it ever has.
//!
//! Both ways go through 48 kHz in thought: one low-pass of [`TAPS`] taps (a windowed sinc, flat to 7 kHz and at least
//! 60 dB down from 9 kHz), of which each sample given out uses a third or half. The delay is 1 ms at most.

use std::f32::consts::PI;
use std::sync::LazyLock;

/// Taps of the low-pass at 48 kHz. A multiple of both steps, so that every phase has as many.
const TAPS: usize = 96;

/// Where it is 6 dB down, in Hz: half of the lower rate would let its own mirror image in.
const CUTOFF_HZ: f32 = 7_750.0;

/// 48 kHz counted in samples of the lower and of the higher rate.
const PER_16: usize = 3;
const PER_24: usize = 2;

static LOW_PASS: LazyLock<[f32; TAPS]> = LazyLock::new(|| {
    let middle = (TAPS - 1) as f32 / 2.0;
    let mut taps = [0.0; TAPS];
    for (n, tap) in taps.iter_mut().enumerate() {
        let t = n as f32 - middle;
        let turn = 2.0 * PI * n as f32 / (TAPS - 1) as f32;
        let blackman = 0.42 - 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos();
        let x = 2.0 * CUTOFF_HZ / 48_000.0 * t;
        *tap = (PI * x).sin() / (PI * x) * blackman; // t is never 0: the number of taps is even
    }
    let sum: f32 = taps.iter().sum();
    taps.iter_mut().for_each(|tap| *tap /= sum);
    taps
});

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// 24 kHz in, 16 kHz out.
    Down,
    /// 16 kHz in, 24 kHz out.
    Up,
}

/// Takes one stream from one rate to the other, piece by piece.
#[derive(Debug, Clone)]
pub struct Resampler24 {
    /// 48 kHz samples for one given in, and for one given out.
    step_in: usize,
    step_out: usize,
    /// The newest samples, newest last.
    window: Vec<f32>,
    /// How far, at 48 kHz, the next sample out lies behind the newest in.
    ahead: usize,
}

impl Resampler24 {
    /// A resampler at the start of a stream.
    pub fn new(way: Way) -> Resampler24 {
        let (step_in, step_out) = match way {
            Way::Down => (PER_24, PER_16),
            Way::Up => (PER_16, PER_24),
        };
        Resampler24 { step_in, step_out, window: vec![0.0; TAPS / step_in], ahead: 0 }
    }

    /// Resamples `input`, adding to `out`: two samples for three, or three for two.
    pub fn process(&mut self, input: &[i16], out: &mut Vec<i16>) {
        for &sample in input {
            self.window.rotate_left(1);
            if let Some(newest) = self.window.last_mut() {
                *newest = f32::from(sample);
            }
            while self.ahead < self.step_in {
                out.push(self.filtered(self.ahead));
                self.ahead += self.step_out;
            }
            self.ahead -= self.step_in;
        }
    }

    /// The sample that lies `phase` after the newest, at 48 kHz.
    fn filtered(&self, phase: usize) -> i16 {
        let taps = LOW_PASS[phase..].iter().step_by(self.step_in);
        let sum: f32 = taps.zip(self.window.iter().rev()).map(|(tap, sample)| tap * sample).sum();
        // Of every `step_in` samples at 48 kHz all but one are nothing.
        (sum * self.step_in as f32).round().clamp(i16::MIN.into(), i16::MAX.into()) as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::level_dbfs;

    fn tone(hz: f32, rate: f32, samples: usize) -> Vec<i16> {
        (0..samples).map(|n| ((2.0 * PI * hz * n as f32 / rate).sin() * 10_000.0) as i16).collect()
    }

    fn level_of(hz: f32, way: Way) -> f32 {
        let rate = if way == Way::Down { 24_000.0 } else { 16_000.0 };
        let mut out = Vec::new();
        let mut resampler = Resampler24::new(way);
        for piece in tone(hz, rate, 12_000).chunks(479) {
            resampler.process(piece, &mut out);
        }
        level_dbfs(&out[200..]) - level_dbfs(&tone(hz, rate, 12_000))
    }

    #[test]
    fn three_samples_become_two_and_two_become_three() {
        let mut out = Vec::new();
        Resampler24::new(Way::Down).process(&[0; 480], &mut out);
        assert_eq!(out.len(), 320);
        out.clear();
        Resampler24::new(Way::Up).process(&[0; 320], &mut out);
        assert_eq!(out.len(), 480);
    }

    #[test]
    fn speech_keeps_its_level_both_ways() {
        for way in [Way::Down, Way::Up] {
            for hz in [300.0, 1_000.0, 3_400.0, 6_500.0] {
                let change = level_of(hz, way);
                assert!(change.abs() < 0.5, "{hz} Hz {way:?}: {change} dB");
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_taken_away() {
        for hz in [9_500.0, 11_000.0] {
            assert!(level_of(hz, Way::Down) < -55.0, "{hz} Hz folds back: {} dB", level_of(hz, Way::Down));
        }
    }
}
