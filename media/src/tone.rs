//! Sound that the gateway makes itself, and the means to measure it.
//!
//! Sources run at either rate, keep their phase from call to call, and fill any buffer: [`Sine`],
//! [`TonePair`] (which is also DTMF), [`Ringback`], [`HoldMusic`], [`Loop`]. Measures are plain functions over
//! samples: [`level_at`] tells how loud one frequency is, [`high_band_dbfs`] how much a click
//! stands out.
//!
//! Levels are dBFS on the scale of [`crate::frame::Frame::level_dbfs`]: mean power relative to a
//! full-scale square wave, so that a full-scale sine is -3.01.

use std::f32::consts::{SQRT_2, TAU};

use std::sync::Arc;

use crate::frame::{SILENCE_DBFS, SampleRate};
use crate::mix::Generator;

/// A sine that never breaks its phase.
#[derive(Debug, Clone)]
pub struct Sine {
    phase: Phase,
    peak: f32,
}

impl Sine {
    /// A tone of `hz` at `dbfs`. Above -3.01 dBFS it would clip and is held there.
    pub fn new(rate: SampleRate, hz: f32, dbfs: f32) -> Self {
        Self { phase: Phase::new(rate, hz), peak: peak_of(dbfs) }
    }

    /// Fills `out` with the tone, going on where the last call ended.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            *sample = (self.phase.next() * self.peak).round() as i16;
        }
    }
}

/// Two sines at once, each at the given level.
#[derive(Debug, Clone)]
pub struct TonePair {
    low: Phase,
    high: Phase,
    peak: f32,
}

impl TonePair {
    /// Two tones, each at `dbfs`; above -9.03 dBFS the sum would clip and is held there.
    pub fn new(rate: SampleRate, hz: (f32, f32), dbfs: f32) -> Self {
        let peak = peak_of(dbfs).min(FULL_SCALE / 2.0);
        Self { low: Phase::new(rate, hz.0), high: Phase::new(rate, hz.1), peak }
    }

    /// The tones of a telephone key; see [`dtmf_pair`].
    pub fn dtmf(rate: SampleRate, key: char, dbfs: f32) -> Option<Self> {
        dtmf_pair(key).map(|hz| Self::new(rate, hz, dbfs))
    }

    /// Fills `out` with both tones, going on where the last call ended.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            *sample = ((self.low.next() + self.high.next()) * self.peak).round() as i16;
        }
    }
}

/// The two frequencies of a telephone key `0`-`9`, `*`, `#`, `A`-`D` (ITU-T Q.23), low one first.
pub fn dtmf_pair(key: char) -> Option<(f32, f32)> {
    const ROWS: [(&str, f32); 4] = [("123A", 697.0), ("456B", 770.0), ("789C", 852.0), ("*0#D", 941.0)];
    const COLUMNS: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
    ROWS.iter().find_map(|&(keys, low)| {
        keys.find(key.to_ascii_uppercase()).and_then(|column| COLUMNS.get(column)).map(|&high| (low, high))
    })
}

/// Whose ringing a caller expects to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RingbackTone {
    /// 440 and 480 Hz, two seconds on, four off (United States, Canada).
    Us,
    /// 425 Hz, one second on, four off (most of Europe; ETSI TR 101 041-2).
    Eu,
}

/// Ringback: what a caller hears while the other phone rings.
#[derive(Debug, Clone)]
pub struct Ringback {
    tones: TonePair,
    /// Samples since the cadence began.
    at: u32,
    on: u32,
    period: u32,
    edge: u32,
}

impl Ringback {
    /// Each tone of a ringback: loud enough to be heard, below speech.
    const DBFS: f32 = -22.0;

    /// Ringback from the beginning of a ring.
    pub fn new(rate: SampleRate, style: RingbackTone) -> Self {
        let (hz, on, period) = match style {
            RingbackTone::Us => ((440.0, 480.0), 2, 6),
            RingbackTone::Eu => ((425.0, 425.0), 1, 5),
        };
        let tones = TonePair::new(rate, hz, Self::DBFS);
        let edge = rate.samples_in_ms(EDGE_MS) as u32;
        Self { tones, at: 0, on: on * rate.hz(), period: period * rate.hz(), edge }
    }

    /// Fills `out` with the cadence, going on where the last call ended.
    pub fn fill(&mut self, out: &mut [i16]) {
        self.tones.fill(out);
        for sample in out {
            *sample = (f32::from(*sample) * ramp(self.at, self.on, self.edge)) as i16;
            self.at = (self.at + 1) % self.period;
        }
    }
}

/// Music on hold: a slow arpeggio over four chords, made up here and free for anyone's use.
#[derive(Debug, Clone)]
pub struct HoldMusic {
    rate: SampleRate,
    note: usize,
    /// Samples since the note began.
    at: u32,
    phases: [Phase; Self::VOICES],
    /// Loudness each voice has left; a plucked note dies away.
    gains: [f32; Self::VOICES],
    decay: f32,
}

impl HoldMusic {
    /// Notes that may ring at once.
    const VOICES: usize = 4;
    /// Loudest moment of one note.
    const DBFS: f32 = -24.0;
    /// One note follows the other after this.
    const NOTE_MS: u32 = 320;
    /// Half-tones above C4. C major, A minor, F major, G major, each broken up and down.
    const MELODY: [i8; 32] = [
        0, 4, 7, 12, 16, 12, 7, 4, -3, 0, 4, 9, 12, 9, 4, 0, -7, -3, 0, 5, 9, 5, 0, -3, -5, -1, 2, 7, 11, 7,
        2, -1,
    ];

    /// The melody from its beginning.
    pub fn new(rate: SampleRate) -> Self {
        // A note falls by 60 dB in two seconds.
        let decay = 10f32.powf(-60.0 / 20.0 / (2 * rate.hz()) as f32);
        let phases = std::array::from_fn(|_| Phase::new(rate, 0.0));
        let mut music = Self { rate, note: 0, at: 0, phases, gains: [0.0; Self::VOICES], decay };
        music.pluck();
        music
    }

    /// Fills `out` with the melody, going on where the last call ended. It repeats for ever.
    pub fn fill(&mut self, out: &mut [i16]) {
        let edge = self.rate.samples_in_ms(EDGE_MS) as u32;
        let peak = peak_of(Self::DBFS);
        for sample in out {
            if self.at == self.rate.samples_in_ms(Self::NOTE_MS) as u32 {
                self.note = (self.note + 1) % Self::MELODY.len();
                self.at = 0;
                self.pluck();
            }
            let mut sum = 0.0;
            for (voice, (phase, gain)) in self.phases.iter_mut().zip(&mut self.gains).enumerate() {
                let newest = voice == self.note % Self::VOICES;
                let attack = if newest { (self.at as f32 / edge as f32).min(1.0) } else { 1.0 };
                sum += phase.next() * *gain * attack;
                *gain *= self.decay;
            }
            *sample = (sum * peak).round() as i16;
            self.at += 1;
        }
    }

    fn pluck(&mut self) {
        let voice = self.note % Self::VOICES;
        let hz = 261.63 * 2f32.powf(f32::from(Self::MELODY[self.note]) / 12.0);
        self.phases[voice] = Phase::new(self.rate, hz);
        self.gains[voice] = 1.0;
    }
}

/// What tells a held party that the line is alive: a soft tone of [`HOLD_TONE_MS`] every [`HOLD_TONE_EVERY_MS`].
#[derive(Debug, Clone)]
pub struct HoldTone {
    sine: Sine,
    at: usize,
    on: usize,
    period: usize,
}

/// How long the tone on hold sounds.
pub const HOLD_TONE_MS: u32 = 400;

/// How often.
pub const HOLD_TONE_EVERY_MS: u32 = 5_000;

impl HoldTone {
    /// Begins with the tone.
    pub fn new(rate: SampleRate) -> Self {
        let (on, period) = (rate.samples_in_ms(HOLD_TONE_MS), rate.samples_in_ms(HOLD_TONE_EVERY_MS));
        Self { sine: Sine::new(rate, 440.0, -24.0), at: 0, on, period }
    }
}

impl Generator for HoldTone {
    fn fill(&mut self, out: &mut [i16]) {
        self.sine.fill(out);
        for sample in out {
            // Up and down within a sixteenth of its time, so that it does not click.
            let edge = (self.on / 16).max(1);
            let near = self.at.min(self.on.saturating_sub(self.at));
            *sample = (f32::from(*sample) * (near as f32 / edge as f32).min(1.0)).round() as i16;
            self.at = (self.at + 1) % self.period.max(1);
        }
    }
}

/// A recording, for all who play it at once.
#[derive(Debug, Clone)]
pub struct Recording {
    samples: Arc<[i16]>,
    rate: SampleRate,
}

impl Recording {
    /// `samples`, recorded at `rate`.
    pub fn new(samples: Arc<[i16]>, rate: SampleRate) -> Self {
        Self { samples, rate }
    }
}

/// A recording played over and over.
#[derive(Debug, Clone)]
pub struct Loop {
    samples: Arc<[i16]>,
    /// Where it plays, in samples of the recording and their 2^32nd parts.
    at: u64,
    step: u64,
}

impl Loop {
    /// Plays `recording` at `rate`, from the start.
    pub fn new(rate: SampleRate, recording: &Recording) -> Self {
        let step = (u64::from(recording.rate.hz()) << 32) / u64::from(rate.hz());
        Self { samples: recording.samples.clone(), at: 0, step }
    }

    /// Fills `out`, going on where the last call ended; with silence if nothing was recorded.
    pub fn fill(&mut self, out: &mut [i16]) {
        let length = self.samples.len();
        if length == 0 {
            return out.fill(0);
        }
        for sample in out {
            // Between two samples by their distance: background music bears it.
            let (here, part) = ((self.at >> 32) as usize, (self.at as u32) as f32 / 4_294_967_296.0);
            let (one, two) = (f32::from(self.samples[here]), f32::from(self.samples[(here + 1) % length]));
            *sample = (one + (two - one) * part).round() as i16;
            self.at = (self.at + self.step) % ((length as u64) << 32);
        }
    }
}

impl Generator for Ringback {
    fn fill(&mut self, out: &mut [i16]) {
        Ringback::fill(self, out);
    }
}

impl Generator for HoldMusic {
    fn fill(&mut self, out: &mut [i16]) {
        HoldMusic::fill(self, out);
    }
}

impl Generator for Loop {
    fn fill(&mut self, out: &mut [i16]) {
        Loop::fill(self, out);
    }
}

/// How loud `hz` is in `samples`, in dBFS, by Goertzel's algorithm: the level a sine of that frequency
/// would have alone. [`SILENCE_DBFS`] if there is nothing.
///
/// Over a window of `n` samples neighbours closer than about `4 * rate / n` Hz are not told apart; a
/// Hann window keeps everything farther away out.
pub fn level_at(samples: &[i16], rate: SampleRate, hz: f32) -> f32 {
    if samples.len() < 2 {
        return SILENCE_DBFS;
    }
    // In f64: over a second of sound the recursion gathers more error than f32 has digits.
    let step = std::f64::consts::TAU * f64::from(hz) / f64::from(rate.hz());
    let turn = 2.0 * step.cos();
    let spread = std::f64::consts::TAU / samples.len() as f64;
    let (mut s1, mut s2, mut weight) = (0.0, 0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        let window = 0.5 - 0.5 * ((n as f64 + 0.5) * spread).cos();
        weight += window;
        (s2, s1) = (s1, f64::from(sample) * window + turn * s1 - s2);
    }
    let peak = 2.0 * (s1 * s1 + s2 * s2 - turn * s1 * s2).max(0.0).sqrt() / weight;
    to_dbfs(peak * peak / 2.0)
}

/// Mean power of `samples` above 1.5 kHz, in dBFS: where a click shows and a test tone does not.
///
/// A Butterworth high-pass of eighth order: 3 dB down at 1.5 kHz, 80 dB at 470 Hz. Its own start is
/// left out by running it over a mirror of the window's beginning first, so a window may be cut from
/// the middle of a sound.
pub fn high_band_dbfs(samples: &[i16], rate: SampleRate) -> f32 {
    high_band_peak(samples, rate, samples.len())
}

/// The loudest `window` samples of `samples` above 1.5 kHz, in dBFS; see [`high_band_dbfs`].
pub fn high_band_peak(samples: &[i16], rate: SampleRate, window: usize) -> f32 {
    if samples.is_empty() || window == 0 {
        return SILENCE_DBFS;
    }
    let mut sections = HighPass::sections(rate);
    let mut filter = |sample: i16| sections.iter_mut().fold(f64::from(sample), |x, section| section.next(x));
    let first = i32::from(samples[0]);
    for &sample in samples[1..].iter().take(rate.samples_in_ms(50)).rev() {
        // Mirrored through the first sample, so that value and slope go on without a break.
        filter((2 * first - i32::from(sample)).clamp(i16::MIN.into(), i16::MAX.into()) as i16);
    }
    let loudest = samples.chunks(window).map(|piece| {
        let power: f64 = piece.iter().map(|&sample| filter(sample).powi(2)).sum();
        power / piece.len() as f64
    });
    to_dbfs(loudest.fold(0.0, f64::max))
}

/// One second-order section of a Butterworth high-pass.
struct HighPass {
    gain: f64,
    a1: f64,
    a2: f64,
    x: [f64; 2],
    y: [f64; 2],
}

impl HighPass {
    const CORNER_HZ: f64 = 1_500.0;

    /// The four sections of the eighth order: the bilinear transform, with the quality of each pole pair.
    fn sections(rate: SampleRate) -> [Self; 4] {
        let k = (std::f64::consts::PI * Self::CORNER_HZ / f64::from(rate.hz())).tan();
        std::array::from_fn(|n| {
            let damping = 2.0 * (std::f64::consts::PI * (2 * n + 1) as f64 / 16.0).cos();
            let gain = 1.0 / (1.0 + damping * k + k * k);
            let (a1, a2) = (2.0 * gain * (k * k - 1.0), gain * (1.0 - damping * k + k * k));
            Self { gain, a1, a2, x: [0.0; 2], y: [0.0; 2] }
        })
    }

    fn next(&mut self, x: f64) -> f64 {
        let y = self.gain * (x - 2.0 * self.x[0] + self.x[1]) - self.a1 * self.y[0] - self.a2 * self.y[1];
        self.x = [x, self.x[0]];
        self.y = [y, self.y[0]];
        y
    }
}

/// A running angle, in turns as a fraction of 2^32, which wraps by itself and never loses precision.
#[derive(Debug, Clone)]
struct Phase {
    at: u32,
    step: u32,
}

impl Phase {
    fn new(rate: SampleRate, hz: f32) -> Self {
        let turns = f64::from(hz) / f64::from(rate.hz());
        Self { at: 0, step: (turns * 4_294_967_296.0) as u32 }
    }

    /// The sine of the angle, which then moves on by a sample.
    fn next(&mut self) -> f32 {
        let angle = self.at as f32 / 4_294_967_296.0 * TAU;
        self.at = self.at.wrapping_add(self.step);
        angle.sin()
    }
}

/// Tones begin and end over this long, so that they do not click.
const EDGE_MS: u32 = 10;

const FULL_SCALE: f32 = 32_767.0;

/// 1 between 0 and `on`, 0 after, with linear edges of `edge` samples inside.
fn ramp(at: u32, on: u32, edge: u32) -> f32 {
    let inside = at.min(on.saturating_sub(at)).min(edge);
    inside as f32 / edge as f32
}

/// The peak of a sine at `dbfs`.
fn peak_of(dbfs: f32) -> f32 {
    (32_768.0 * SQRT_2 * 10f32.powf(dbfs / 20.0)).min(FULL_SCALE)
}

fn to_dbfs(mean_power: f64) -> f32 {
    if mean_power <= 0.0 {
        return SILENCE_DBFS;
    }
    ((10.0 * (mean_power / (32_768.0 * 32_768.0)).log10()) as f32).max(SILENCE_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::level_dbfs;

    const RATES: [SampleRate; 2] = [SampleRate::Hz8000, SampleRate::Hz16000];

    #[test]
    fn a_tone_has_its_level_and_nothing_elsewhere() {
        for rate in RATES {
            let mut out = vec![0; rate.hz() as usize];
            Sine::new(rate, 440.0, -20.0).fill(&mut out);
            assert!((level_dbfs(&out) + 20.0).abs() < 0.05);
            assert!((level_at(&out, rate, 440.0) + 20.0).abs() < 0.05);
            for elsewhere in [300.0, 430.0, 450.0, 880.0, 1000.0, 3000.0] {
                assert!(level_at(&out, rate, elsewhere) < -85.0, "{elsewhere} Hz");
            }
        }
    }

    #[test]
    fn a_weak_tone_is_found_under_a_strong_one() {
        let rate = SampleRate::Hz8000;
        let (mut strong, mut weak) = (vec![0; 8_000], vec![0; 8_000]);
        Sine::new(rate, 440.0, -12.0).fill(&mut strong);
        Sine::new(rate, 1_020.0, -60.0).fill(&mut weak);
        let both: Vec<i16> = strong.iter().zip(&weak).map(|(a, b)| a + b).collect();
        let found = level_at(&both, rate, 1_020.0);
        assert!((found + 60.0).abs() < 0.5, "{found}");
        assert!(level_at(&strong, rate, 1_020.0) < -80.0);
    }

    #[test]
    fn a_tone_filled_in_pieces_is_the_tone_filled_at_once() {
        let rate = SampleRate::Hz16000;
        let (mut whole, mut pieces) = (vec![0; 3_200], vec![0; 3_200]);
        Sine::new(rate, 997.0, -10.0).fill(&mut whole);
        let mut tone = Sine::new(rate, 997.0, -10.0);
        pieces.chunks_mut(77).for_each(|piece| tone.fill(piece));
        assert_eq!(pieces, whole);
    }

    #[test]
    fn every_key_sounds_its_row_and_column() {
        for (key, low, high) in
            [('1', 697.0, 1209.0), ('5', 770.0, 1336.0), ('#', 941.0, 1477.0), ('d', 941.0, 1633.0)]
        {
            assert_eq!(dtmf_pair(key), Some((low, high)));
            let mut out = [0; 1_600];
            TonePair::dtmf(SampleRate::Hz8000, key, -12.0).expect("a key").fill(&mut out);
            for hz in [low, high] {
                let level = level_at(&out, SampleRate::Hz8000, hz);
                assert!((level + 12.0).abs() < 0.2, "{key} {hz}: {level}");
            }
        }
        assert_eq!("0123456789*#ABCD".chars().filter_map(dtmf_pair).count(), 16);
        assert_eq!(dtmf_pair('x'), None);
    }

    #[test]
    fn a_recording_is_played_over_and_over_at_either_rate() {
        let recording = Recording::new((0..80).map(|n| n * 100).collect(), SampleRate::Hz8000);
        let mut same = [0; 200];
        Loop::new(SampleRate::Hz8000, &recording).fill(&mut same);
        assert_eq!((same[79], same[80], same[161]), (7900, 0, 100));
        let mut doubled = [0; 400];
        Loop::new(SampleRate::Hz16000, &recording).fill(&mut doubled);
        assert_eq!((doubled[2], doubled[3], doubled[160]), (100, 150, 0));
        let mut nothing = [7; 3];
        Loop::new(SampleRate::Hz8000, &Recording::new([].into(), SampleRate::Hz8000)).fill(&mut nothing);
        assert_eq!(nothing, [0; 3]);
    }

    #[test]
    fn ringback_keeps_its_cadence() {
        for rate in RATES {
            for (style, on, period, hz) in [(RingbackTone::Us, 2, 6, 480.0), (RingbackTone::Eu, 1, 5, 425.0)]
            {
                let mut ringback = Ringback::new(rate, style);
                for second in 0..2 * period {
                    let mut out = vec![0; rate.hz() as usize];
                    ringback.fill(&mut out);
                    let rings = second % period < on;
                    let level = level_at(&out, rate, hz);
                    assert_eq!(level > -30.0, rings, "{style:?} second {second}: {level}");
                    assert!(rings || out.iter().all(|&s| s == 0));
                }
            }
        }
    }

    #[test]
    fn ringback_begins_and_ends_without_a_click() {
        for style in [RingbackTone::Us, RingbackTone::Eu] {
            let mut out = vec![0; 5 * 8_000];
            Ringback::new(SampleRate::Hz8000, style).fill(&mut out);
            let click = high_band_peak(&out, SampleRate::Hz8000, 80);
            assert!(click < -65.0, "{style:?}: {click}");
        }
    }

    #[test]
    fn hold_music_plays_on_at_a_moderate_level_and_repeats_exactly() {
        for rate in RATES {
            let melody = rate.samples_in_ms(HoldMusic::NOTE_MS) * HoldMusic::MELODY.len();
            let mut out = vec![0; 2 * melody];
            HoldMusic::new(rate).fill(&mut out);
            for second in out.chunks_exact(rate.hz() as usize) {
                let level = level_dbfs(second);
                assert!((-35.0..-15.0).contains(&level), "{level}");
            }
            let mut again = vec![0; 2 * melody];
            HoldMusic::new(rate).fill(&mut again);
            assert_eq!(out, again);
            let largest = out.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max();
            assert!(largest < Some(3_000), "{largest:?}");
        }
    }

    #[test]
    fn a_hard_cut_stands_out_above_1500_hz_and_a_steady_tone_does_not() {
        for rate in RATES {
            let mut out = vec![0; rate.hz() as usize];
            Sine::new(rate, 440.0, -12.0).fill(&mut out);
            let window = rate.samples_in_ms(20);
            let steady = high_band_peak(&out, rate, window);
            // At a crest, where a cut is worst.
            let crest = out.iter().position(|&s| s > 11_000).expect("a crest") + rate.samples_in_ms(500);
            out[crest..].fill(0);
            let cut = high_band_peak(&out, rate, window);
            assert!(cut - steady > 40.0, "{rate:?}: cut {cut}, steady {steady}");
        }
    }

    #[test]
    fn the_high_band_measure_passes_what_lies_above_and_stops_what_lies_below() {
        for rate in RATES {
            for (hz, expected) in [(3_000.0, -12.0), (2_500.0, -12.0), (1_500.0, -15.0)] {
                let mut out = vec![0; rate.hz() as usize];
                Sine::new(rate, hz, -12.0).fill(&mut out);
                let level = high_band_dbfs(&out, rate);
                assert!((level - expected).abs() < 0.3, "{hz}: {level}");
            }
        }
    }
}
