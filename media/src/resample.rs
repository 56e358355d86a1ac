//! Between 8 and 16 kHz: one half-band filter, used to double or to halve.

use crate::frame::SampleRate;

/// Length of the half-band filter. 63 taps of a Blackman window keep images and aliases 60 dB
/// down and pass speech up to 3.4 kHz unharmed; the delay is 2 ms.
const TAPS: usize = 63;
const MIDDLE: usize = TAPS / 2;

/// Samples fed at a time, so that the work space is fixed: 60 ms at 16 kHz.
const CHUNK_MAX: usize = 960;

/// Changes the rate of a stream, with the memory that takes.
pub struct Resampler {
    from: SampleRate,
    to: SampleRate,
    filter: [f32; TAPS],
    past: [f32; TAPS],
}

impl Resampler {
    /// From one rate to the other; the same rate copies.
    pub fn new(from: SampleRate, to: SampleRate) -> Resampler {
        Resampler { from, to, filter: half_band(), past: [0.0; TAPS] }
    }

    /// Converts up to 60 ms; the number of samples written is returned. `out` must have room for
    /// twice as many when the rate goes up; what does not fit is left out.
    pub fn process(&mut self, samples: &[i16], out: &mut [i16]) -> usize {
        let samples = &samples[..samples.len().min(CHUNK_MAX)];
        match (self.from, self.to) {
            (SampleRate::Hz8000, SampleRate::Hz16000) => self.double(samples, out),
            (SampleRate::Hz16000, SampleRate::Hz8000) => self.halve(samples, out),
            _ => {
                let length = samples.len().min(out.len());
                out[..length].copy_from_slice(&samples[..length]);
                length
            }
        }
    }

    fn double(&mut self, samples: &[i16], out: &mut [i16]) -> usize {
        let mut written = 0;
        for (sample, pair) in samples.iter().zip(out.chunks_exact_mut(2)) {
            // A zero between every two samples, twice as loud to make up for it.
            self.push(2.0 * f32::from(*sample));
            pair[0] = self.filtered();
            self.push(0.0);
            pair[1] = self.filtered();
            written += 2;
        }
        written
    }

    fn halve(&mut self, samples: &[i16], out: &mut [i16]) -> usize {
        let mut written = 0;
        for (pair, sample) in samples.chunks_exact(2).zip(out) {
            self.push(f32::from(pair[0]));
            self.push(f32::from(pair[1]));
            *sample = self.filtered();
            written += 1;
        }
        written
    }

    fn push(&mut self, sample: f32) {
        self.past.copy_within(1.., 0);
        self.past[TAPS - 1] = sample;
    }

    fn filtered(&self) -> i16 {
        let sum: f32 = self.past.iter().zip(&self.filter).map(|(sample, tap)| sample * tap).sum();
        sum.round().clamp(-32_768.0, 32_767.0) as i16
    }
}

/// A windowed sinc that passes the lower half of the band.
fn half_band() -> [f32; TAPS] {
    let mut filter = [0.0; TAPS];
    for (n, tap) in filter.iter_mut().enumerate() {
        let x = n as f64 - MIDDLE as f64;
        let sinc =
            if x == 0.0 { 0.5 } else { (std::f64::consts::PI * x / 2.0).sin() / (std::f64::consts::PI * x) };
        let turn = 2.0 * std::f64::consts::PI * n as f64 / (TAPS - 1) as f64;
        let window = 0.42 - 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos();
        *tap = (sinc * window) as f32;
    }
    filter
}
