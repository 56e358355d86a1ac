//! Sounds the gateway makes, and measures: sines, ringback, music on hold; levels and clicks.

use crate::frame::{SILENCE_DBFS, SampleRate};
use crate::mix::Generator;

/// A sine without a step in it, however it is cut into frames.
#[derive(Debug, Clone)]
pub struct Sine {
    hz: f64,
    amplitude: f64,
    turn: f64,
}

impl Sine {
    /// A tone of `hz` at `dbfs` (0 is a sine that touches full scale).
    pub fn new(hz: f64, dbfs: f64) -> Sine {
        Sine { hz, amplitude: 32_767.0 * 10f64.powf(dbfs / 20.0), turn: 0.0 }
    }

    fn next(&mut self, rate: SampleRate) -> f64 {
        let sample = self.amplitude * (self.turn * std::f64::consts::TAU).sin();
        self.turn = (self.turn + self.hz / f64::from(rate.hz())).fract();
        sample
    }
}

impl Generator for Sine {
    fn fill(&mut self, rate: SampleRate, out: &mut [i16]) {
        out.iter_mut().for_each(|sample| *sample = self.next(rate).round() as i16);
    }
}

/// Which ringing tone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingbackTone {
    /// North America: 440 and 480 Hz, 2 s on, 4 s off.
    Us,
    /// Europe: 425 Hz, 1 s on, 4 s off.
    Eu,
}

/// A telephone ringing far away.
#[derive(Debug)]
pub struct Ringback {
    tones: Vec<Sine>,
    on_ms: u64,
    at_sample: u64,
}

impl Ringback {
    /// The tone, beginning with its loud part.
    pub fn new(tone: RingbackTone) -> Ringback {
        let (tones, on_ms) = match tone {
            RingbackTone::Us => (vec![Sine::new(440.0, -22.0), Sine::new(480.0, -22.0)], 2000),
            RingbackTone::Eu => (vec![Sine::new(425.0, -19.0)], 1000),
        };
        Ringback { tones, on_ms, at_sample: 0 }
    }
}

/// Both cadences are silent for four seconds.
const RINGBACK_OFF_MS: u64 = 4000;

impl Generator for Ringback {
    fn fill(&mut self, rate: SampleRate, out: &mut [i16]) {
        for sample in out {
            let at_ms = self.at_sample * 1000 / u64::from(rate.hz()) % (self.on_ms + RINGBACK_OFF_MS);
            // 10 ms of ramp at both ends: a bell has no click.
            let edge = at_ms.min(self.on_ms.saturating_sub(at_ms)).min(10) as f64 / 10.0;
            let sum: f64 = self.tones.iter_mut().map(|tone| tone.next(rate)).sum();
            *sample = if at_ms < self.on_ms { (sum * edge).round() as i16 } else { 0 };
            self.at_sample += 1;
        }
    }
}

/// Music on hold that needs no file and no licence: a slow run through four chords.
#[derive(Debug)]
pub struct Melody {
    at_sample: u64,
    voices: [Sine; 2],
}

/// Each note sounds this long.
const NOTE_MS: u64 = 400;

/// The notes, in Hz: broken chords of C, A minor, F and G.
const NOTES: [f64; 16] = [
    261.63, 329.63, 392.0, 523.25, 220.0, 261.63, 329.63, 440.0, 174.61, 220.0, 261.63, 349.23, 196.0,
    246.94, 293.66, 392.0,
];

impl Default for Melody {
    fn default() -> Self {
        Melody { at_sample: 0, voices: [Sine::new(NOTES[0], -20.0), Sine::new(NOTES[0] * 2.0, -32.0)] }
    }
}

impl Generator for Melody {
    fn fill(&mut self, rate: SampleRate, out: &mut [i16]) {
        for sample in out {
            let at_ms = self.at_sample * 1000 / u64::from(rate.hz());
            let note = NOTES[(at_ms / NOTE_MS) as usize % NOTES.len()];
            (self.voices[0].hz, self.voices[1].hz) = (note, note * 2.0);
            // A plucked string: a quick rise, a long fall.
            let into = (at_ms % NOTE_MS) as f64;
            let envelope = (into / 15.0).min(1.0) * (1.0 - into / NOTE_MS as f64);
            let sum: f64 = self.voices.iter_mut().map(|voice| voice.next(rate)).sum();
            *sample = (sum * envelope).round() as i16;
            self.at_sample += 1;
        }
    }
}

/// A recording played over and over.
#[derive(Debug, Clone)]
pub struct Loop {
    samples: std::sync::Arc<[i16]>,
    rate: SampleRate,
    at: f64,
}

impl Loop {
    /// Plays `samples`, recorded at `rate`, from the start.
    pub fn new(samples: std::sync::Arc<[i16]>, rate: SampleRate) -> Loop {
        Loop { samples, rate, at: 0.0 }
    }
}

impl Generator for Loop {
    fn fill(&mut self, rate: SampleRate, out: &mut [i16]) {
        if self.samples.is_empty() {
            return out.fill(0);
        }
        let step = f64::from(self.rate.hz()) / f64::from(rate.hz());
        for sample in out {
            // Between two samples by their distance: background music bears it.
            let here = self.at as usize;
            let next = (here + 1) % self.samples.len();
            let part = self.at.fract();
            let value = f64::from(self.samples[here]) * (1.0 - part) + f64::from(self.samples[next]) * part;
            *sample = value.round() as i16;
            self.at = (self.at + step) % self.samples.len() as f64;
        }
    }
}

/// Silence, as a sound: keeps a line alive that has nothing to say.
#[derive(Debug)]
pub struct Quiet;

impl Generator for Quiet {
    fn fill(&mut self, _rate: SampleRate, out: &mut [i16]) {
        out.fill(0);
    }
}

/// The level of one frequency in `samples`, in dB under a full-scale sine (Goertzel's algorithm,
/// with a Hann window so that a loud neighbour does not leak in).
pub fn level_at(samples: &[i16], rate: SampleRate, hz: f64) -> f32 {
    if samples.is_empty() {
        return SILENCE_DBFS;
    }
    let coefficient = 2.0 * (std::f64::consts::TAU * hz / f64::from(rate.hz())).cos();
    let length = samples.len() as f64;
    let (mut one, mut two) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let window = 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / length).cos();
        let next = f64::from(*sample) * window + coefficient * one - two;
        (two, one) = (one, next);
    }
    let power = one * one + two * two - coefficient * one * two;
    // Half the window's sum is its mean; a sine's amplitude is twice its share of the sum.
    let amplitude = 4.0 * power.max(0.0).sqrt() / length;
    if amplitude <= 0.0 {
        SILENCE_DBFS
    } else {
        ((20.0 * (amplitude / 32_768.0).log10()) as f32).max(SILENCE_DBFS)
    }
}
