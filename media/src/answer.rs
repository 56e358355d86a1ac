//! Who has answered: somebody who says hello and waits, or a machine that goes on and then beeps.
//!
//! A person says a word or two and listens. A voicemail greeting speaks on without waiting, and ends in a tone. Neither is
//! proof, so this only *suspects*; what becomes of a suspicion is for others to say.
//!
//! ```text
//!   speech ──> silence of [`TURN_MS`] before `speech` is full ──────────────> Nothing: they wait for us
//!      │ │
//!      │ └───> a steady tone of [`BEEP_MS`] after [`GREETING_MS`] of speech ──> Beep
//!      └─────> `speech` of it with no such silence ─────────────────────────> LongSpeech
//!   `listen` is over ──────────────────────────────────────────────────────> Nothing
//! ```

use crate::frame::SampleRate;

/// A silence this long is a turn: whoever speaks to nobody in particular makes shorter ones.
pub const TURN_MS: u32 = 1_200;

/// A tone this long is no vowel. The beeps of voicemail last 200 ms to a second.
pub const BEEP_MS: u32 = 160;

/// A beep counts after this much speech: before it, a tone is a network's.
pub const GREETING_MS: u32 = 1_000;

/// Softer is silence: a speaker is at -30 to -15 dBFS, a quiet line at -60.
const SPEECH_DBFS: f32 = -45.0;

/// A beep is not faint.
const BEEP_DBFS: f32 = -35.0;

/// Of the power of a steady tone, no more than this is anything else.
const IMPURITY_MAX: f32 = 0.02;

/// The tones of voicemail. Hum of the mains lies below, a modem's carrier above.
const BEEP_HZ: std::ops::RangeInclusive<f32> = 350.0..=2_200.0;

/// The same tone from one frame to the next.
const BEEP_DRIFT_HZ: f32 = 25.0;

/// Samples looked at in one go, of either rate: 20 ms.
const FRAME_MS: u32 = 20;

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Nothing that speaks for a machine.
    Nothing,
    /// Speech that went on too long for a person who has just answered.
    LongSpeech,
    /// A tone after speech.
    Beep,
}

/// Listens to the first seconds of an answered call.
#[derive(Debug)]
pub struct AnswerListener {
    rate: SampleRate,
    speech_ms_max: u32,
    listen_ms_max: u32,
    heard_ms: u32,
    /// Speech so far, the short silences in it included.
    speech_ms: u32,
    silence_ms: u32,
    tone_ms: u32,
    tone_hz: f32,
    frame: [i16; 320],
    filled: usize,
}

impl AnswerListener {
    /// Suspects speech of `speech_ms`, and stops after `listen_ms`.
    pub fn new(rate: SampleRate, speech_ms: u32, listen_ms: u32) -> AnswerListener {
        AnswerListener {
            rate,
            speech_ms_max: speech_ms,
            listen_ms_max: listen_ms,
            heard_ms: 0,
            speech_ms: 0,
            silence_ms: 0,
            tone_ms: 0,
            tone_hz: 0.0,
            frame: [0; 320],
            filled: 0,
        }
    }

    /// Takes in sound as it comes; the verdict, once there is one.
    pub fn hear(&mut self, pcm: &[i16]) -> Option<Heard> {
        let length = self.rate.samples_in_ms(FRAME_MS).min(self.frame.len());
        let mut rest = pcm;
        while !rest.is_empty() {
            let (now, after) = rest.split_at(rest.len().min(length - self.filled));
            self.frame[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            rest = after;
            if self.filled == length {
                self.filled = 0;
                let verdict = self.judge(length);
                if verdict.is_some() {
                    return verdict;
                }
            }
        }
        None
    }

    fn judge(&mut self, length: usize) -> Option<Heard> {
        let frame = &self.frame[..length];
        self.heard_ms += FRAME_MS;
        let power = frame.iter().map(|s| f32::from(*s) * f32::from(*s)).sum::<f32>() / length as f32;
        let dbfs = 10.0 * (power / (32_768.0 * 32_768.0)).max(1e-10).log10();
        match tone_hz(frame, self.rate).filter(|_| dbfs >= BEEP_DBFS) {
            Some(hz) if BEEP_HZ.contains(&hz) => {
                let goes_on = self.tone_ms > 0 && (hz - self.tone_hz).abs() <= BEEP_DRIFT_HZ;
                self.tone_ms = if goes_on { self.tone_ms + FRAME_MS } else { FRAME_MS };
                self.tone_hz = hz;
                self.silence_ms = 0;
                if self.tone_ms >= BEEP_MS && self.speech_ms >= GREETING_MS {
                    return Some(Heard::Beep);
                }
            }
            // A steady tone is nobody's speech, at whatever pitch.
            Some(_) => self.tone_ms = 0,
            None if dbfs >= SPEECH_DBFS => {
                self.tone_ms = 0;
                self.speech_ms += FRAME_MS + std::mem::take(&mut self.silence_ms);
                if self.speech_ms >= self.speech_ms_max {
                    return Some(Heard::LongSpeech);
                }
            }
            None => {
                self.tone_ms = 0;
                if self.speech_ms > 0 {
                    self.silence_ms += FRAME_MS;
                    if self.silence_ms >= TURN_MS {
                        return Some(Heard::Nothing);
                    }
                }
            }
        }
        (self.heard_ms >= self.listen_ms_max).then_some(Heard::Nothing)
    }
}

/// The frequency of a frame that holds one steady sine and little else. Of a sine, each sample's neighbours sum to
/// `2 cos ω` times the sample itself; what is left over when that is fitted is everything that is not the sine.
fn tone_hz(frame: &[i16], rate: SampleRate) -> Option<f32> {
    let (mut cross, mut own, mut pairs) = (0.0f32, 0.0f32, 0.0f32);
    for three in frame.windows(3) {
        let [before, now, after] = three else { continue };
        let (sum, now) = (f32::from(*before) + f32::from(*after), f32::from(*now));
        cross += now * sum;
        own += now * now;
        pairs += sum * sum;
    }
    if own <= 0.0 {
        return None;
    }
    let cosine = cross / (2.0 * own);
    let left = pairs - 4.0 * cosine * cross + 4.0 * cosine * cosine * own;
    let is_one = cosine.abs() < 1.0 && left <= IMPURITY_MAX * own;
    is_one.then(|| cosine.acos() / std::f32::consts::TAU * rate.hz() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{Sine, TonePair};

    /// Something with the loudness and the spectrum of a voice: three moving formants over noise, in syllables.
    fn speech(rate: SampleRate, ms: u32) -> Vec<i16> {
        let mut noise = 0x2545_f491_u32;
        let samples = rate.samples_in_ms(ms);
        let hz = rate.hz() as f32;
        (0..samples)
            .map(|n| {
                let t = n as f32 / hz;
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                let hiss = (noise as f32 / u32::MAX as f32 - 0.5) * 0.3;
                let syllable = 0.55 + 0.45 * (std::f32::consts::TAU * 4.0 * t).sin();
                let pitch = 120.0 + 20.0 * (std::f32::consts::TAU * 0.7 * t).sin();
                let voice: f32 = [1.0, 4.0, 11.0]
                    .iter()
                    .map(|k| (std::f32::consts::TAU * pitch * k * t).sin() / k.sqrt())
                    .sum();
                ((voice * 0.3 + hiss) * syllable * 6_000.0) as i16
            })
            .collect()
    }

    fn tone(rate: SampleRate, hz: f32, ms: u32) -> Vec<i16> {
        let mut out = vec![0; rate.samples_in_ms(ms)];
        Sine::new(rate, hz, -15.0).fill(&mut out);
        out
    }

    fn silence(rate: SampleRate, ms: u32) -> Vec<i16> {
        vec![0; rate.samples_in_ms(ms)]
    }

    /// The verdict, and after how many milliseconds, when the sound comes in packets of 20 ms.
    fn listen(rate: SampleRate, parts: &[Vec<i16>]) -> (Option<Heard>, u32) {
        let mut listener = AnswerListener::new(rate, 5_000, 12_000);
        let sound = parts.concat();
        for (n, packet) in sound.chunks(rate.samples_in_ms(20)).enumerate() {
            if let Some(verdict) = listener.hear(packet) {
                return (Some(verdict), (n as u32 + 1) * 20);
            }
        }
        (None, 0)
    }

    #[test]
    fn a_person_says_hello_and_waits() {
        for rate in [SampleRate::Hz8000, SampleRate::Hz16000] {
            let hello = [silence(rate, 400), speech(rate, 900), silence(rate, 2_000), speech(rate, 9_000)];
            let (verdict, after) = listen(rate, &hello);
            assert_eq!(verdict, Some(Heard::Nothing), "{rate:?}");
            assert!(after <= 2_600, "who waits for us is known soon: {after}");
            let company =
                [speech(rate, 2_500), silence(rate, 300), speech(rate, 1_000), silence(rate, 2_000)];
            assert_eq!(listen(rate, &company).0, Some(Heard::Nothing), "a company's name takes longer");
        }
    }

    #[test]
    fn a_greeting_goes_on_and_a_beep_ends_it() {
        for rate in [SampleRate::Hz8000, SampleRate::Hz16000] {
            let greeting = [speech(rate, 2_000), silence(rate, 500), speech(rate, 4_000)];
            let (verdict, after) = listen(rate, &greeting);
            assert_eq!(verdict, Some(Heard::LongSpeech), "{rate:?}");
            assert!((4_500..=5_600).contains(&after), "pauses in it are part of it: {after}");
            for hz in [440.0, 1_000.0, 1_400.0] {
                let short = [speech(rate, 2_500), silence(rate, 600), tone(rate, hz, 400)];
                assert_eq!(listen(rate, &short).0, Some(Heard::Beep), "{hz} Hz at {rate:?}");
            }
        }
    }

    #[test]
    fn what_is_neither_is_not_suspected() {
        let rate = SampleRate::Hz8000;
        let mut dtmf = vec![0; rate.samples_in_ms(800)];
        TonePair::dtmf(rate, '5', -15.0).unwrap().fill(&mut dtmf);
        for (what, parts) in [
            ("a tone before anybody spoke", vec![tone(rate, 1_000.0, 500), silence(rate, 12_000)]),
            ("a line that hums", vec![tone(rate, 50.0, 13_000)]),
            ("a tone that never ends", vec![tone(rate, 1_000.0, 13_000)]),
            ("nothing at all", vec![silence(rate, 13_000)]),
            ("keys", vec![speech(rate, 1_500), silence(rate, 200), dtmf, silence(rate, 2_000)]),
        ] {
            assert_eq!(listen(rate, &parts).0, Some(Heard::Nothing), "{what}");
        }
    }

    #[test]
    fn a_sine_is_known_by_its_frequency_and_a_voice_is_none() {
        for rate in [SampleRate::Hz8000, SampleRate::Hz16000] {
            for hz in [350.0, 440.0, 1_000.0, 2_000.0] {
                let found = tone_hz(&tone(rate, hz, 20), rate).unwrap();
                assert!((found - hz).abs() < 5.0, "{hz}: {found}");
            }
            let voiced = speech(rate, 2_000);
            let frames = voiced.chunks(rate.samples_in_ms(20));
            let tones = frames.filter(|frame| tone_hz(frame, rate).is_some_and(|hz| BEEP_HZ.contains(&hz)));
            assert!(tones.count() <= 2);
        }
    }
}
