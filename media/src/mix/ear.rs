//! One ear's mix: its taps summed, limited softly, encoded for that ear.

use crate::codec::{Codec, Encoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD};
use crate::frame::SampleRate;
use crate::resample::Resampler;

use super::mouth::{Mouth, Said};
use super::tap::{RAMP_MS, Tap, toward};

/// Above this the sum is bent instead of cut: two voices at full level fit under the ceiling.
const KNEE: f32 = 24_000.0;

/// The ceiling of 16-bit samples.
const CEILING: f32 = 32_767.0;

/// A sound of our own making: music on hold, ringback.
pub trait Generator: Send {
    /// The next samples, at this rate.
    fn fill(&mut self, rate: SampleRate, out: &mut [i16]);
}

/// Everything one ear hears, as one stream.
pub struct Mix {
    encoder: Encoder,
    taps: Vec<Heard>,
    generator: Option<Made>,
    sum: Box<[f32; MAX_PACKET_SAMPLES]>,
    /// Samples that are summed and not yet a whole packet of this ear's ptime.
    left: Vec<i16>,
}

struct Heard {
    who: u64,
    tap: Tap,
    resampler: Option<Resampler>,
}

struct Made {
    generator: Box<dyn Generator>,
    gain: f32,
    target: f32,
}

impl Mix {
    /// A mix for an ear that is sent this codec. It hears nothing yet.
    pub fn new(codec: Codec) -> Mix {
        Mix {
            encoder: Encoder::new(codec),
            taps: Vec::with_capacity(4),
            generator: None,
            sum: Box::new([0.0; MAX_PACKET_SAMPLES]),
            left: Vec::new(),
        }
    }

    /// The codec it is encoded to.
    pub fn codec(&self) -> Codec {
        self.encoder.codec()
    }

    /// Adds a mouth unless it is there, and lets it be heard.
    pub fn hear(&mut self, who: u64, tap: impl FnOnce() -> Tap) {
        match self.taps.iter_mut().find(|heard| heard.who == who) {
            Some(heard) => heard.tap.fade(true),
            None => self.taps.push(Heard { who, tap: tap(), resampler: None }),
        }
    }

    /// Lets every mouth fade away that is not among these.
    pub fn only(&mut self, who: &[u64]) {
        for heard in &mut self.taps {
            if !who.contains(&heard.who) {
                heard.tap.fade(false);
            }
        }
    }

    /// Plays a sound of our making, fading in; `None` fades it out.
    pub fn play(&mut self, generator: Option<Box<dyn Generator>>) {
        match (generator, &mut self.generator) {
            (Some(generator), slot) => {
                *slot = Some(Made { generator, gain: 0.0, target: 1.0 });
            }
            (None, Some(made)) => made.target = 0.0,
            (None, None) => {}
        }
    }

    /// Forgets what has faded away. True when nothing is on its way in or out.
    pub fn is_settled(&mut self) -> bool {
        self.taps.retain(|heard| !heard.tap.is_silent());
        if self.generator.as_ref().is_some_and(|made| made.gain == 0.0 && made.target == 0.0) {
            self.generator = None;
        }
        self.taps.iter().all(|heard| !heard.tap.is_moving())
            && self.generator.as_ref().is_none_or(|made| made.gain == made.target)
    }

    /// The mouths it has taps into, those fading away included.
    pub fn mouths(&self) -> impl Iterator<Item = u64> {
        self.taps.iter().map(|heard| heard.who)
    }

    /// The tap into a mouth.
    pub fn tap(&self, who: u64) -> Option<&Tap> {
        self.taps.iter().find(|heard| heard.who == who).map(|heard| &heard.tap)
    }

    /// Drops a mouth at once: its party is gone, and its history with it.
    pub fn drop_mouth(&mut self, who: u64) {
        self.taps.retain(|heard| heard.who != who);
    }

    /// One packet, clocked by what `main` just said, or by the tick: then `samples_8k` is how long.
    /// The payload goes to `out`; its length is returned.
    pub fn packet<'a>(
        &mut self,
        main: Option<(u64, Said)>,
        tick_ms: u32,
        mouth: impl Fn(u64) -> Option<&'a Mouth>,
        out: &mut [u8; MAX_PAYLOAD],
    ) -> usize {
        let mut pcm = [0; MAX_PACKET_SAMPLES];
        let samples = self.mixed(main, tick_ms, mouth, &mut pcm);
        self.encoder.encode(&pcm[..samples], out)
    }

    /// As [`Mix::packet`], for an ear whose packets are longer or shorter than what clocks it: what
    /// is summed waits until [`Mix::whole`] gives packets of the ear's own length.
    pub fn gather<'a>(
        &mut self,
        main: Option<(u64, Said)>,
        tick_ms: u32,
        mouth: impl Fn(u64) -> Option<&'a Mouth>,
    ) {
        let mut pcm = [0; MAX_PACKET_SAMPLES];
        let samples = self.mixed(main, tick_ms, mouth, &mut pcm);
        if self.left.len() + samples <= 2 * MAX_PACKET_SAMPLES {
            self.left.extend_from_slice(&pcm[..samples]);
        }
    }

    /// The next whole packet of `ptime_ms` out of what was gathered.
    pub fn whole(&mut self, ptime_ms: u32, out: &mut [u8; MAX_PAYLOAD]) -> Option<usize> {
        let samples = self.codec().sample_rate().samples_in_ms(ptime_ms);
        if self.left.len() < samples {
            return None;
        }
        let length = self.encoder.encode(&self.left[..samples], out);
        self.left.drain(..samples);
        Some(length)
    }

    fn mixed<'a>(
        &mut self,
        main: Option<(u64, Said)>,
        tick_ms: u32,
        mouth: impl Fn(u64) -> Option<&'a Mouth>,
        pcm: &mut [i16; MAX_PACKET_SAMPLES],
    ) -> usize {
        let rate = self.codec().sample_rate();
        let main_mouth = main.and_then(|(who, said)| Some((who, said, mouth(who)?)));
        let samples = match main_mouth {
            Some((_, said, mouth)) => said.samples * rate.hz() as usize / mouth.rate().hz() as usize,
            None => rate.samples_in_ms(tick_ms),
        };
        let samples = samples.min(MAX_PACKET_SAMPLES);
        self.sum[..samples].fill(0.0);
        let mut theirs = [0; MAX_PACKET_SAMPLES];
        let mut ours = [0; MAX_PACKET_SAMPLES];
        for heard in &mut self.taps {
            let Some(mouth) = mouth(heard.who) else { continue };
            let length = samples * mouth.rate().hz() as usize / rate.hz() as usize;
            let length = length.min(MAX_PACKET_SAMPLES);
            match main {
                Some((who, said)) if who == heard.who => {
                    heard.tap.read_packet(mouth, said, &mut theirs[..length]);
                }
                _ => {
                    if !heard.tap.read(mouth, &mut theirs[..length]) {
                        continue;
                    }
                }
            }
            let voice = if mouth.rate() == rate {
                &theirs[..length]
            } else {
                let resampler = heard.resampler.get_or_insert_with(|| Resampler::new(mouth.rate(), rate));
                let made = resampler.process(&theirs[..length], &mut ours);
                &ours[..made.min(samples)]
            };
            for (sum, sample) in self.sum.iter_mut().zip(voice) {
                *sum += f32::from(*sample);
            }
        }
        if let Some(made) = &mut self.generator {
            made.generator.fill(rate, &mut ours[..samples]);
            let step = 1.0 / rate.samples_in_ms(RAMP_MS) as f32;
            for (sum, sample) in self.sum.iter_mut().zip(&ours[..samples]) {
                made.gain = toward(made.gain, made.target, step);
                *sum += f32::from(*sample) * made.gain;
            }
        }
        for (sample, sum) in pcm.iter_mut().zip(&self.sum[..samples]) {
            *sample = limited(*sum);
        }
        samples
    }
}

/// Exact below the knee, bent towards the ceiling above it.
fn limited(sum: f32) -> i16 {
    let size = sum.abs();
    if size <= KNEE {
        return sum as i16;
    }
    let room = CEILING - KNEE;
    let over = size - KNEE;
    let bent = KNEE + room * over / (over + room);
    bent.copysign(sum) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limiter_is_exact_below_the_knee_and_never_reaches_over_the_ceiling() {
        for sample in [0.0, 1.0, -1.0, 12_345.0, -24_000.0] {
            assert_eq!(f32::from(limited(sample)), sample);
        }
        let mut last = 0;
        for sum in (0..200_000).step_by(500) {
            let out = limited(sum as f32);
            assert!(out >= last, "louder in, softer out at {sum}");
            assert_eq!(limited(-(sum as f32)), -out);
            last = out;
        }
    }
}
