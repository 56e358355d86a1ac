//! One ear's place in a mouth's history: where it reads, how loud, how far behind.
//!
//! The tap is the jitter buffer. A reader that finds too little makes do for one frame and stays
//! where it is, so it is one frame further behind and finds more next time: the delay has grown. A
//! reader that has found a whole frame too much for a second skips it: the delay has shrunk.

use super::mouth::{Mouth, Said};

/// Gain moves from silence to full and back in this time: no click, and still at once to the ear.
pub const RAMP_MS: u32 = 8;

/// Reads in a row with a frame to spare, after which the spare frame is skipped: one second.
const SPARE_READS: u16 = 50;

/// One ear's reading of one mouth.
#[derive(Debug)]
pub struct Tap {
    cursor: Option<i64>,
    gain: f32,
    target: f32,
    spare: u16,
    /// The frame before had to be made up.
    dry: bool,
    behind_ms_max: u32,
    concealed_samples: u64,
}

impl Tap {
    /// A tap that fades in, and lets its ear fall behind by at most `behind_ms_max`.
    pub fn fading_in(behind_ms_max: u32) -> Tap {
        Tap {
            cursor: None,
            gain: 0.0,
            target: 1.0,
            spare: 0,
            dry: false,
            behind_ms_max,
            concealed_samples: 0,
        }
    }

    /// A tap that has been open all along: a voice that was relayed until now.
    pub fn open(behind_ms_max: u32) -> Tap {
        Tap { gain: 1.0, ..Tap::fading_in(behind_ms_max) }
    }

    /// From now on louder, until fully heard, or softer, until not at all.
    pub fn fade(&mut self, heard: bool) {
        self.target = if heard { 1.0 } else { 0.0 };
    }

    /// Whether it has faded away and may be dropped.
    pub fn is_silent(&self) -> bool {
        self.gain == 0.0 && self.target == 0.0
    }

    /// Whether it is on its way between silence and full.
    pub fn is_moving(&self) -> bool {
        self.gain != self.target
    }

    /// Milliseconds made up because the mouth's packets were late.
    pub fn concealed_ms(&self, rate_hz: u32) -> u64 {
        self.concealed_samples * 1000 / u64::from(rate_hz.max(1))
    }

    /// Whether reading `samples` now would find nothing fresh.
    pub fn is_dry(&self, mouth: &Mouth, samples: usize) -> bool {
        match self.cursor {
            None => true,
            Some(cursor) => mouth.written() - cursor < 2 * samples as i64,
        }
    }

    /// Reads the packet that clocks this mix: exactly what was just said.
    pub fn read_packet(&mut self, mouth: &Mouth, said: Said, out: &mut [i16]) {
        let from = self.cursor.unwrap_or(said.start);
        self.read_moving(mouth, from, said.start, out);
        self.cursor = Some(said.start + out.len() as i64);
        self.dry = false;
        self.ramp(mouth, out);
    }

    /// Reads the next samples at somebody else's pace. False if there was nothing to read at all.
    pub fn read(&mut self, mouth: &Mouth, out: &mut [i16]) -> bool {
        let length = out.len() as i64;
        let Some(cursor) = self.cursor.or_else(|| self.begin(mouth, length)) else {
            out.fill(0);
            return false;
        };
        let ahead = mouth.written() - cursor;
        if ahead < length {
            self.make_do(mouth, cursor, out);
            self.cursor = Some(cursor);
            self.ramp(mouth, out);
            return true;
        }
        let behind_max = mouth.rate().samples_in_ms(self.behind_ms_max) as i64;
        let start = if ahead > behind_max.max(2 * length) {
            mouth.written() - length
        } else if self.has_spare(ahead - length, length) {
            cursor + length
        } else {
            cursor
        };
        if self.dry {
            self.dry = false;
            mouth.read(start, out);
            fade_in(mouth, out);
        } else {
            self.read_moving(mouth, cursor, start, out);
        }
        self.cursor = Some(start + length);
        self.ramp(mouth, out);
        true
    }

    /// The newest frame, if one is there.
    fn begin(&mut self, mouth: &Mouth, length: i64) -> Option<i64> {
        (mouth.written() >= length).then(|| mouth.written() - length)
    }

    /// Counts reads that left a whole frame unread; true when it is time to skip one.
    fn has_spare(&mut self, left: i64, length: i64) -> bool {
        if left < length {
            self.spare = 0;
            return false;
        }
        self.spare += 1;
        let skip = self.spare >= SPARE_READS;
        if skip {
            self.spare = 0;
        }
        skip
    }

    /// The packet is late: the last frame once more, fading away; silence if that is late too.
    fn make_do(&mut self, mouth: &Mouth, cursor: i64, out: &mut [i16]) {
        self.spare = 0;
        self.concealed_samples += out.len() as u64;
        if self.dry {
            out.fill(0);
            return;
        }
        self.dry = true;
        let length = out.len();
        for (offset, sample) in out.iter_mut().enumerate() {
            // Backwards from the last sample heard: no step where the made-up part begins.
            let fade = 1.0 - offset as f32 / length as f32;
            *sample = (f32::from(mouth.at(cursor - 1 - offset as i64)) * fade) as i16;
        }
    }

    /// Reads from `to`, fading over from `from` where the two differ, so that a jump has no step.
    fn read_moving(&mut self, mouth: &Mouth, from: i64, to: i64, out: &mut [i16]) {
        mouth.read(to, out);
        if from == to {
            return;
        }
        let ramp = mouth.rate().samples_in_ms(RAMP_MS).min(out.len());
        for (offset, sample) in out[..ramp].iter_mut().enumerate() {
            let new = offset as f32 / ramp as f32;
            let old = f32::from(mouth.at(from + offset as i64)) * (1.0 - new);
            *sample = (old + f32::from(*sample) * new) as i16;
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
            *sample = (f32::from(*sample) * self.gain) as i16;
        }
    }
}

/// One step of a linear ramp.
pub(super) fn toward(gain: f32, target: f32, step: f32) -> f32 {
    if gain < target { (gain + step).min(target) } else { (gain - step).max(target) }
}

fn fade_in(mouth: &Mouth, out: &mut [i16]) {
    let ramp = mouth.rate().samples_in_ms(RAMP_MS).min(out.len());
    for (offset, sample) in out[..ramp].iter_mut().enumerate() {
        *sample = (f32::from(*sample) * (offset as f32 / ramp as f32)) as i16;
    }
}
