//! What a simulated person says: a tone of their own, a recording, or nothing.

use std::f64::consts::TAU;
use std::path::Path;
use std::sync::Arc;

/// The level of a tone when nobody says otherwise, in dBFS as [`level_dbfs`](super::ear::level_dbfs) counts it: that
/// of lively speech.
pub const USUAL_DBFS: f64 = -20.0;

/// A voice. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub enum Voice {
    /// Silent, though packets flow.
    #[default]
    Silence,
    /// A sine.
    Tone {
        /// Its pitch.
        hz: f64,
        /// Its level in dBFS; 0 would be a full-scale square wave, so a sine reaches -3.
        dbfs: f64,
    },
    /// A recording, again and again.
    Recording {
        /// Its samples.
        samples: Arc<[i16]>,
        /// Samples per second.
        rate: u32,
    },
}

impl Voice {
    /// A tone at the usual level.
    pub const fn tone(hz: f64) -> Self {
        Self::Tone { hz, dbfs: USUAL_DBFS }
    }

    /// A WAV file of 16 bit samples; of several channels the first is used.
    pub fn wav(path: &Path) -> Result<Self, hound::Error> {
        let mut file = hound::WavReader::open(path)?;
        let spec = file.spec();
        let samples: Result<Vec<i16>, _> = file.samples().step_by(usize::from(spec.channels)).collect();
        Ok(Self::Recording { samples: samples?.into(), rate: spec.sample_rate })
    }

    /// The pitch, when it is a tone.
    pub const fn hz(&self) -> Option<f64> {
        match self {
            Self::Tone { hz, .. } => Some(*hz),
            Self::Silence | Self::Recording { .. } => None,
        }
    }

    /// The sample at `position` of a stream of `rate` samples per second.
    pub fn sample(&self, position: u64, rate: u32) -> i16 {
        match self {
            Self::Silence => 0,
            Self::Tone { hz, dbfs } => {
                let turns = (position as f64 * hz / f64::from(rate)).fract();
                let peak = 32_768.0 * 10_f64.powf((dbfs + 3.0103) / 20.0);
                (peak * (TAU * turns).sin()).round() as i16
            }
            Self::Recording { samples, .. } if samples.is_empty() => 0,
            Self::Recording { samples, rate: recorded } => {
                // The nearest sample is enough: a recording is for people to listen to, nothing measures it.
                let at = position * u64::from(*recorded) / u64::from(rate);
                samples[(at % samples.len() as u64) as usize]
            }
        }
    }
}
