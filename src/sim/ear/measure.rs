//! How loud is what: levels in dBFS on the scale on which a full-scale square wave is 0 and a full-scale sine -3.01.

use std::f64::consts::{PI, TAU};

/// The level given for no sound at all.
pub const SILENCE_DBFS: f64 = -120.0;

/// Mean power of the samples.
pub fn level_dbfs(pcm: &[i16]) -> f64 {
    let power: f64 = pcm.iter().map(|&sample| full_scale(sample).powi(2)).sum();
    decibels(power / pcm.len().max(1) as f64)
}

/// The level of a sine of `hz` in the samples.
///
/// One bin of a Fourier transform under a Hann window, so that a tone a few bins away does not leak in: with 20 packets
/// of 20 ms (a bin is 2.5 Hz wide) a loud tone 100 Hz away counts for less than -110 dBFS.
pub fn level_of(pcm: &[i16], rate: u32, hz: f64) -> f64 {
    let turn = TAU * hz / f64::from(rate);
    let (mut re, mut im, mut weights) = (0.0, 0.0, 0.0);
    for (i, &sample) in pcm.iter().enumerate() {
        let weight = hann(i, pcm.len());
        let (sin, cos) = (turn * i as f64).sin_cos();
        re += weight * full_scale(sample) * cos;
        im += weight * full_scale(sample) * sin;
        weights += weight;
    }
    // A sine of peak A gives |X| = A/2 times the sum of the weights; its power is A squared over 2.
    let peak = 2.0 * re.hypot(im) / f64::max(weights, 1e-9);
    decibels(peak * peak / 2.0)
}

/// The level of a sine of `hz` in the loudest stretch of `samples`; stretches overlap by half.
pub fn loudest_of(pcm: &[i16], rate: u32, hz: f64, samples: usize) -> f64 {
    let samples = samples.max(2);
    if pcm.len() <= samples {
        return level_of(pcm, rate, hz);
    }
    let stretches = pcm.windows(samples).step_by(samples / 2);
    stretches.map(|stretch| level_of(stretch, rate, hz)).fold(SILENCE_DBFS, f64::max)
}

/// What of the samples lies over `hz`, as a waveform of the same length (full scale is 1).
///
/// A linear-phase high-pass of [`TAPS`] taps under a Blackman window: 74 dB down from 150 Hz under `hz` at 8 kHz.
pub fn over(pcm: &[i16], rate: u32, hz: f64) -> Vec<f64> {
    let half = (TAPS / 2) as isize;
    let cut = hz / f64::from(rate);
    let tap = |k: isize| {
        let sinc = if k == 0 { 2.0 * cut } else { (TAU * cut * k as f64).sin() / (PI * k as f64) };
        let place = (k + half) as f64 / (TAPS - 1) as f64;
        let blackman = 0.42 - 0.5 * (TAU * place).cos() + 0.08 * (2.0 * TAU * place).cos();
        let through = if k == 0 { 1.0 } else { 0.0 };
        through - sinc * blackman
    };
    let taps: Vec<f64> = (-half..=half).map(tap).collect();
    let at = |i: isize| usize::try_from(i).ok().and_then(|i| pcm.get(i)).map_or(0.0, |&s| full_scale(s));
    (0..pcm.len() as isize)
        .map(|i| taps.iter().zip(-half..=half).map(|(tap, k)| tap * at(i - k)).sum())
        .collect()
}

/// Length of the filter of [`over`], odd: 32 ms at 8 kHz.
const TAPS: usize = 255;

fn hann(i: usize, len: usize) -> f64 {
    0.5 - 0.5 * (TAU * (i as f64 + 0.5) / len as f64).cos()
}

fn full_scale(sample: i16) -> f64 {
    f64::from(sample) / 32_768.0
}

fn decibels(power: f64) -> f64 {
    (10.0 * f64::max(power, 1e-12).log10()).max(SILENCE_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::voice::Voice;

    fn tone(hz: f64, dbfs: f64, samples: u64) -> Vec<i16> {
        (0..samples).map(|i| Voice::Tone { hz, dbfs }.sample(i, 8000)).collect()
    }

    #[test]
    fn a_tone_measures_what_it_was_made_with() {
        for dbfs in [-6.0, -20.0, -50.0] {
            let pcm = tone(613.0, dbfs, 3200);
            assert!((level_of(&pcm, 8000, 613.0) - dbfs).abs() < 0.2, "{dbfs}");
            assert!((level_dbfs(&pcm) - dbfs).abs() < 0.2, "{dbfs}");
        }
    }

    #[test]
    fn a_loud_tone_hides_no_quiet_one_and_makes_none_up() {
        let loud = tone(613.0, -10.0, 3200);
        assert!(level_of(&loud, 8000, 911.0) < -90.0);
        let quiet = tone(911.0, -70.0, 3200);
        let both: Vec<i16> = loud.iter().zip(&quiet).map(|(a, b)| a + b).collect();
        assert!((level_of(&both, 8000, 911.0) + 70.0).abs() < 1.0);
    }

    #[test]
    fn a_short_leak_is_found_where_it_is() {
        let mut pcm = vec![0; 80_000];
        pcm[40_000..41_600].copy_from_slice(&tone(911.0, -30.0, 1600));
        assert!(loudest_of(&pcm, 8000, 911.0, 1600) > -40.0);
        // Over the whole it is 28 dB less: a fiftieth of the time, at the window's middle, which counts double.
        assert!((level_of(&pcm, 8000, 911.0) + 58.0).abs() < 1.0);
    }

    #[test]
    fn silence_and_nothing_are_silent() {
        assert_eq!(level_of(&[], 8000, 613.0), SILENCE_DBFS);
        assert_eq!(level_of(&[0; 160], 8000, 613.0), SILENCE_DBFS);
        assert_eq!(level_dbfs(&[]), SILENCE_DBFS);
    }

    #[test]
    fn only_what_lies_over_the_cut_passes() {
        let energy = |pcm: &[i16]| over(pcm, 8000, 1500.0)[400..1200].iter().map(|x| x * x).sum::<f64>();
        let (low, high) = (energy(&tone(900.0, -10.0, 1600)), energy(&tone(2200.0, -10.0, 1600)));
        assert!(10.0 * (high / low).log10() > 60.0);
    }
}
