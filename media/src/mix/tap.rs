//! One ear's place in a mouth's history: where it reads, how loud, how far behind.
//!
//! The tap is the jitter buffer. It is no store of its own but a cursor: a reader that finds too
//! little plays a continuation of what it heard and waits where it is, so that it is further behind
//! afterwards and finds more next time: the delay has grown by what was missing. A reader that for a
//! second never needed all it had moves up by what it did not need: the delay has shrunk. In a pause of
//! the mouth it moves up sooner, because nobody hears that.
//!
//! ```text
//!    heard by this ear │ unread │
//!   ───────────────────┴────────┴──> written by the mouth
//!                    cursor
//! ```

use super::mouth::{HISTORY_MS, Mouth, Said};
use crate::codec::MAX_PACKET_SAMPLES;
use crate::codec::comfort_noise::WhiteNoise;
use crate::codec::conceal::{self, Concealer};
use crate::frame::SampleRate;

/// Gain moves from silence to full and back in this time: no click, and still at once to the ear.
pub const RAMP_MS: u32 = 8;

/// Samples of a ramp at the highest rate.
pub(super) const RAMP_SAMPLES: usize = SampleRate::Hz16000.samples_in_ms(RAMP_MS);

/// The farthest an ear may be allowed to fall behind: the history less the longest packet on its way
/// in, 120 ms, and the longest on its way out, 60 ms.
pub const BEHIND_MS_MAX: u32 = HISTORY_MS - 180;

/// What was never needed for this long is not needed.
const PATIENCE_MS: u32 = 1000;

/// A mouth softer than this, -50 dB under full scale, pauses: to pass over some of its pause is not heard.
const PAUSE_POWER: f32 = 1e-5;

/// In a pause it is enough to have watched for this part of the patience.
const PAUSE_PATIENCE_PART: u32 = 5;

/// Where that was wrong, and the packets came late again, it is watched longer before the next try.
const PATIENCE_MS_MAX: u32 = 8000;

/// Delay smaller than this is not worth a seam.
const SURPLUS_MS_MIN: u32 = 10;

/// One ear's reading of one mouth.
#[derive(Debug)]
pub struct Tap {
    /// The next sample to read.
    cursor: i64,
    /// Something was read: from then on what is missing is made up for.
    begun: bool,
    /// The newest read was of the packet that clocks its mix.
    in_step: bool,
    gain: f32,
    target: f32,
    behind_ms_max: u32,
    watch: Watch,
    concealer: Option<Box<Made>>,
    concealed_samples: u64,
}

/// What stands in for packets that are not there.
#[derive(Debug)]
struct Made {
    concealer: Concealer,
    noise: WhiteNoise,
}

/// How much of what was unread was never needed lately.
#[derive(Debug)]
struct Watch {
    least: i64,
    watched_ms: u32,
    /// For how long on end one packet more would have been there, had its ear waited a moment.
    awaited_ms: u32,
    patience_ms: u32,
    shrunk: bool,
}

impl Tap {
    /// A tap that fades in from what is said next, and lets its ear fall behind by at most
    /// `behind_ms_max`, itself held at [`BEHIND_MS_MAX`].
    pub fn fading_in(mouth: &Mouth, behind_ms_max: u32) -> Tap {
        Tap {
            cursor: mouth.written(),
            begun: false,
            in_step: false,
            gain: 0.0,
            target: 1.0,
            behind_ms_max: behind_ms_max.min(BEHIND_MS_MAX),
            watch: Watch {
                least: i64::MAX,
                watched_ms: 0,
                awaited_ms: 0,
                patience_ms: PATIENCE_MS,
                shrunk: false,
            },
            concealer: None,
            concealed_samples: 0,
        }
    }

    /// A tap that has been open all along: a voice that was relayed until now, of which the ear has
    /// heard everything that the mouth has said.
    pub fn open(mouth: &Mouth, behind_ms_max: u32) -> Tap {
        Tap { begun: mouth.written() > 0, in_step: true, gain: 1.0, ..Tap::fading_in(mouth, behind_ms_max) }
    }

    /// From now on louder, until fully heard, or softer, until not at all.
    pub fn fade(&mut self, heard: bool) {
        self.target = if heard { 1.0 } else { 0.0 };
        if !self.begun {
            // Nothing sounds yet: nothing has to fade.
            self.gain = self.gain.min(self.target);
        }
    }

    /// Whether it is to be heard, and not on its way out.
    pub fn is_heard(&self) -> bool {
        self.target > 0.0
    }

    /// Whether it has faded away and may be dropped.
    pub fn is_silent(&self) -> bool {
        self.gain == 0.0 && self.target == 0.0
    }

    /// Whether it is on its way between silence and full.
    pub fn is_moving(&self) -> bool {
        self.gain != self.target
    }

    /// Samples made up because the mouth's packets were late.
    pub fn concealed_samples(&self) -> u64 {
        self.concealed_samples
    }

    /// Samples said and not read.
    pub fn unread(&self, mouth: &Mouth) -> usize {
        (mouth.written() - self.cursor).max(0) as usize
    }

    /// Before a read of `samples` for which enough is unread: whether the mouth's next packet, which is due at any moment
    /// if `is_near`, is worth waiting for. It is when that has been so for as long as delay is watched before it is given
    /// up: with the packet there, the read moves up by one. Until then to wait would only make the ear late.
    pub fn is_worth_waiting(&mut self, mouth: &Mouth, samples: usize, is_near: bool) -> bool {
        if !is_near {
            self.watch.awaited_ms = 0;
            return false;
        }
        self.watch.awaited_ms += samples as u32 * 1000 / mouth.rate().hz();
        self.watch.has_awaited(mouth.power() < PAUSE_POWER)
    }

    /// Reads the packet that clocks this mix: exactly what was just said.
    pub fn read_packet(&mut self, mouth: &Mouth, said: Said, out: &mut [i16]) {
        mouth.read(said.start, out);
        if let Some(made) = &mut self.concealer
            && made.concealer.is_concealing()
        {
            made.concealer.heard(out);
        } else if self.begun && !self.in_step {
            self.cross_over(mouth, said.start, out);
        }
        // In step, a hole before the packet is a hole in this ear's line too, and the far end's to fill.
        self.begun = true;
        self.in_step = true;
        self.cursor = said.start + out.len() as i64;
        self.watch.begin_anew();
        self.ramp(mouth, out);
    }

    /// Reads the next samples at somebody else's pace. False if there was nothing to read at all.
    pub fn read(&mut self, mouth: &Mouth, out: &mut [i16]) -> bool {
        let length = out.len() as i64;
        let unread = mouth.written() - self.cursor;
        if !self.begun && unread < length {
            out.fill(0);
            return false;
        }
        self.begun = true;
        self.in_step = false;
        if unread < length {
            self.make_do(mouth, unread.max(0) as usize, out);
        } else {
            let start = self.cursor + self.surplus(mouth, unread - length, length);
            mouth.read(start, out);
            if let Some(made) = &mut self.concealer
                && made.concealer.is_concealing()
            {
                made.concealer.heard(out);
            } else {
                self.cross_over(mouth, start, out);
            }
            self.cursor = start + length;
        }
        self.ramp(mouth, out);
        true
    }

    /// How much of what is unread, beyond this read, to pass over.
    fn surplus(&mut self, mouth: &Mouth, spare: i64, length: i64) -> i64 {
        let in_ms = |ms| mouth.rate().samples_in_ms(ms) as i64;
        if spare > in_ms(self.behind_ms_max).max(length) {
            self.watch.begin_anew();
            return spare;
        }
        let (read_ms, pauses) = (length as u32 * 1000 / mouth.rate().hz(), mouth.power() < PAUSE_POWER);
        if self.watch.has_awaited(pauses) {
            self.watch.awaited_ms = 0;
            if spare >= length {
                self.watch.begin_anew();
                self.watch.shrunk = true;
                return spare;
            }
            // It did not come in time: the next try is when it has been near for as long again.
        }
        self.watch.surplus(spare, read_ms, in_ms(SURPLUS_MS_MIN), pauses)
    }

    /// Packets are late: what is there, and for the rest a continuation of it that fades away.
    fn make_do(&mut self, mouth: &Mouth, there: usize, out: &mut [i16]) {
        let rate = mouth.rate();
        let made = self.concealer.get_or_insert_with(|| {
            // Two ears need not hear the same noise; one ear must not hear it repeat.
            let noise = WhiteNoise::new(rate, self.cursor as u32);
            Box::new(Made { concealer: Concealer::new(rate), noise })
        });
        let (real, missing) = out.split_at_mut(there);
        if there > 0 {
            mouth.read(self.cursor, real);
            if made.concealer.is_concealing() {
                made.concealer.heard(real);
            }
            self.cursor += there as i64;
        }
        if !made.concealer.is_concealing() {
            let mut past = [0; conceal::HISTORY];
            mouth.read(self.cursor - past.len() as i64, &mut past);
            made.concealer.learn(&past);
            self.watch.ran_dry();
        }
        if !made.concealer.is_faded_out() {
            self.concealed_samples += missing.len() as u64;
        }
        made.concealer.conceal(missing);
        if let Some(level) = mouth.comfort() {
            let mut noise = [0; MAX_PACKET_SAMPLES];
            let noise = &mut noise[..missing.len().min(MAX_PACKET_SAMPLES)];
            made.noise.set_level(level);
            made.noise.fill(noise);
            missing.iter_mut().zip(noise).for_each(|(sample, noise)| *sample = sample.saturating_add(*noise));
        }
    }

    /// Blends from where the ear was to what it reads, so that a jump has no step.
    fn cross_over(&self, mouth: &Mouth, start: i64, out: &mut [i16]) {
        if start == self.cursor {
            return;
        }
        let mut old = [0; RAMP_SAMPLES];
        let ramp = mouth.rate().samples_in_ms(RAMP_MS).min(out.len());
        mouth.read(self.cursor, &mut old[..ramp]);
        for (n, (sample, old)) in out.iter_mut().zip(&old[..ramp]).enumerate() {
            let weight = (n + 1) as f32 / (ramp + 1) as f32;
            let old = f32::from(*old);
            *sample = (old + (f32::from(*sample) - old) * weight).round() as i16;
        }
    }

    fn ramp(&mut self, mouth: &Mouth, out: &mut [i16]) {
        if self.gain == self.target {
            if self.gain == 0.0 {
                out.fill(0);
            }
            return;
        }
        let step = 1.0 / mouth.rate().samples_in_ms(RAMP_MS) as f32;
        for sample in out {
            self.gain = toward(self.gain, self.target, step);
            *sample = (f32::from(*sample) * smooth(self.gain)).round() as i16;
        }
    }
}

impl Watch {
    fn begin_anew(&mut self) {
        self.least = i64::MAX;
        self.watched_ms = 0;
        self.awaited_ms = 0;
    }

    /// How long delay is watched before it is given up.
    fn patience(&self, pauses: bool) -> u32 {
        if pauses { self.patience_ms / PAUSE_PATIENCE_PART } else { self.patience_ms }
    }

    fn has_awaited(&self, pauses: bool) -> bool {
        self.awaited_ms >= self.patience(pauses)
    }

    /// The ear ran out of sound. If that comes of having moved up, it was too soon.
    fn ran_dry(&mut self) {
        if self.shrunk {
            self.patience_ms = (self.patience_ms * 2).min(PATIENCE_MS_MAX);
            self.shrunk = false;
        }
        self.begin_anew();
    }

    fn surplus(&mut self, spare: i64, read_ms: u32, least_worth: i64, pauses: bool) -> i64 {
        self.least = self.least.min(spare);
        self.watched_ms += read_ms;
        let worth_it = pauses && self.least >= least_worth;
        if self.watched_ms < self.patience(worth_it) {
            return 0;
        }
        let surplus = self.least;
        (self.least, self.watched_ms) = (i64::MAX, 0);
        self.shrunk = surplus >= least_worth;
        if self.shrunk {
            return surplus;
        }
        self.patience_ms = (self.patience_ms / 2).max(PATIENCE_MS);
        0
    }
}

/// One step of a linear ramp.
pub(super) fn toward(gain: f32, target: f32, step: f32) -> f32 {
    if gain < target { (gain + step).min(target) } else { (gain - step).max(target) }
}

/// A ramp's gain with its corners rounded, so that its ends make no sound of their own.
pub(super) fn smooth(gain: f32) -> f32 {
    gain * gain * (3.0 - 2.0 * gain)
}
