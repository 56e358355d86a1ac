//! Voices: every party hums its own tone, so what an ear hears is measured.

use std::f64::consts::TAU;
use std::path::Path;

/// Samples a second of all files here.
pub(crate) const RATE: u32 = 8_000;

/// A plain header, of which some write the octets last.
const HEADER_BYTES: usize = 44;

/// How loud a voice is, in dB under full scale.
pub(crate) const VOICE_DBFS: f64 = -15.0;

/// Writes `seconds` of a tone.
pub(crate) fn write_tone(file: &Path, hz: f64, seconds: u32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(file, spec).expect("a WAV file is written");
    let peak = 32_768.0 * 10_f64.powf(VOICE_DBFS / 20.0);
    for n in 0..RATE * seconds {
        let sample = peak * (TAU * hz * f64::from(n) / f64::from(RATE)).sin();
        writer.write_sample(sample.round() as i16).expect("a sample is written");
    }
    writer.finalize().expect("the WAV file is finished");
}

/// A recording.
pub(crate) struct Heard {
    samples: Vec<f64>,
}

impl Heard {
    /// Reads a WAV file. One that is still being written has no length in its header yet, or only room for a header;
    /// what follows is taken as it is.
    pub(crate) fn read(file: &Path) -> Heard {
        let raw = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let data = raw.windows(4).position(|four| four == b"data").map_or(HEADER_BYTES, |at| at + 8);
        let samples = raw.get(data..).unwrap_or_default().chunks_exact(2);
        Heard {
            samples: samples.map(|two| f64::from(i16::from_le_bytes([two[0], two[1]])) / 32_768.0).collect(),
        }
    }

    /// How many samples.
    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }

    /// What came after the first `samples`.
    pub(crate) fn after(&self, samples: usize) -> Heard {
        Heard { samples: self.samples.get(samples..).unwrap_or_default().to_vec() }
    }

    /// The level of a tone in dB under full scale, over the whole recording: a sine of full scale is 0.
    ///
    /// A Hann window keeps other tones out: side lobes fall below -60 dB within a few hertz for half a second.
    pub(crate) fn level(&self, hz: f64) -> f64 {
        let count = self.samples.len();
        let (mut cos, mut sin, mut weight) = (0.0, 0.0, 0.0);
        for (n, sample) in self.samples.iter().enumerate() {
            let window = 0.5 - 0.5 * (TAU * n as f64 / count as f64).cos();
            let angle = TAU * hz * n as f64 / f64::from(RATE);
            cos += window * sample * angle.cos();
            sin += window * sample * angle.sin();
            weight += window;
        }
        20.0 * (2.0 * f64::hypot(cos, sin) / weight.max(1.0)).max(1e-9).log10()
    }
}

#[test]
fn a_tone_is_measured_at_its_own_frequency_and_nowhere_else() {
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let file = dir.path().join("tone.wav");
    write_tone(&file, 440.0, 2);
    let heard = Heard::read(&file);
    assert_eq!(heard.len(), 2 * RATE as usize);
    assert!((heard.level(440.0) - VOICE_DBFS).abs() < 0.2, "{}", heard.level(440.0));
    assert!(heard.level(620.0) < -90.0 && heard.level(1000.0) < -90.0);
}
