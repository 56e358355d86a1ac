//! One tick of sound: the unit in which audio moves between the rooms of this crate.

use std::fmt;
use std::time::Duration;

/// Length of one beat of the gateway, in milliseconds.
pub const TICK_MS: u32 = 20;

/// [`TICK_MS`] as a [`Duration`].
pub const TICK: Duration = Duration::from_millis(TICK_MS as u64);

/// Samples in a tick at the highest rate we mix at (16 kHz).
pub const MAX_FRAME_SAMPLES: usize = 320;

/// The level reported for digital silence, in dBFS. Below one 16 bit step (-90.3 dBFS), so no
/// signal can be quieter.
pub const SILENCE_DBFS: f32 = -100.0;

/// Sampling rate of PCM in this crate: narrowband (G.711) or wideband (G.722).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleRate {
    /// 8000 samples a second.
    Hz8000,
    /// 16 000 samples a second.
    Hz16000,
}

impl SampleRate {
    /// Samples per second.
    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8_000,
            Self::Hz16000 => 16_000,
        }
    }

    /// Samples in one tick of [`TICK_MS`]: 160 or 320.
    pub const fn samples_per_tick(self) -> usize {
        self.samples_in_ms(TICK_MS)
    }

    /// Samples in `ms` milliseconds.
    pub const fn samples_in_ms(self, ms: u32) -> usize {
        (self.hz() / 1000 * ms) as usize
    }
}

/// Packetisation time: how much sound one RTP packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ptime(u8);

impl Ptime {
    /// The usual 20 ms, the default of RFC 3551 section 4.2.
    pub const DEFAULT: Self = Self(20);
    /// The shortest we take: below it headers outweigh speech.
    pub const MIN: Self = Self(10);
    /// The longest we take: beyond it one lost packet is a lost syllable.
    pub const MAX: Self = Self(60);

    /// A packetisation time of `ms` milliseconds: 10, 20, 30, 40, 50 or 60; `None` for anything else.
    pub const fn from_ms(ms: u32) -> Option<Self> {
        if ms >= 10 && ms <= 60 && ms.is_multiple_of(10) { Some(Self(ms as u8)) } else { None }
    }

    /// Milliseconds.
    pub const fn ms(self) -> u32 {
        self.0 as u32
    }

    /// The same as a [`Duration`].
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }
}

impl Default for Ptime {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One tick of mono PCM.
///
/// The array is always the largest size, so a frame lives on the stack or inside its owner and
/// never allocates; [`Frame::samples`] shows the part that belongs to the rate.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    rate: SampleRate,
    pcm: [i16; MAX_FRAME_SAMPLES],
}

impl Frame {
    /// A tick in which nothing is heard.
    pub const fn silence(rate: SampleRate) -> Self {
        Self { rate, pcm: [0; MAX_FRAME_SAMPLES] }
    }

    /// A tick holding `samples`; a short slice is followed by silence, a long one is cut at the tick.
    pub fn from_samples(rate: SampleRate, samples: &[i16]) -> Self {
        let mut frame = Self::silence(rate);
        let len = samples.len().min(rate.samples_per_tick());
        frame.pcm[..len].copy_from_slice(&samples[..len]);
        frame
    }

    /// The rate the samples are at.
    pub const fn rate(&self) -> SampleRate {
        self.rate
    }

    /// The samples of this tick: 160 or 320 of them.
    pub fn samples(&self) -> &[i16] {
        &self.pcm[..self.rate.samples_per_tick()]
    }

    /// The samples of this tick, to write to.
    pub fn samples_mut(&mut self) -> &mut [i16] {
        &mut self.pcm[..self.rate.samples_per_tick()]
    }

    /// Makes this a silent tick at `rate`.
    pub fn clear(&mut self, rate: SampleRate) {
        self.rate = rate;
        self.pcm.fill(0);
    }

    /// Mean power in dB relative to a full-scale square wave; a full-scale sine is -3.01.
    /// Digital silence is [`SILENCE_DBFS`].
    pub fn level_dbfs(&self) -> f32 {
        level_dbfs(self.samples())
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("rate", &self.rate).field("level_dbfs", &self.level_dbfs()).finish()
    }
}

/// Mean power of `samples` in dBFS, on the scale of [`Frame::level_dbfs`].
pub fn level_dbfs(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return SILENCE_DBFS;
    }
    let power: i64 = samples.iter().map(|&s| i64::from(s) * i64::from(s)).sum();
    if power == 0 {
        return SILENCE_DBFS;
    }
    let mean = power as f64 / samples.len() as f64;
    ((10.0 * (mean / (32768.0 * 32768.0)).log10()) as f32).max(SILENCE_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_160_samples_narrowband_and_320_wideband() {
        assert_eq!(Frame::silence(SampleRate::Hz8000).samples().len(), 160);
        assert_eq!(Frame::silence(SampleRate::Hz16000).samples().len(), MAX_FRAME_SAMPLES);
    }

    #[test]
    fn a_packetisation_time_is_a_multiple_of_ten_up_to_sixty() {
        let taken: Vec<u32> = (0..=200).filter(|&ms| Ptime::from_ms(ms).is_some()).collect();
        assert_eq!(taken, [10, 20, 30, 40, 50, 60]);
    }

    #[test]
    fn the_level_of_full_scale_half_scale_and_silence() {
        let mut frame = Frame::silence(SampleRate::Hz8000);
        assert_eq!(frame.level_dbfs(), SILENCE_DBFS);
        frame.samples_mut().fill(i16::MIN);
        assert_eq!(frame.level_dbfs(), 0.0);
        frame.samples_mut().fill(16_384);
        assert!((frame.level_dbfs() + 6.02).abs() < 0.01);
    }

    #[test]
    fn a_frame_pads_short_input_and_cuts_long_input() {
        let short = Frame::from_samples(SampleRate::Hz8000, &[7; 3]);
        assert_eq!(&short.samples()[..4], &[7, 7, 7, 0]);
        assert_eq!(Frame::from_samples(SampleRate::Hz8000, &[7; 999]).samples(), &[7; 160]);
    }
}
