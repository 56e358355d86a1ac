//! One ear's mix: its taps summed, limited softly, encoded for that ear.

use crate::codec::opus::Tuning;
use crate::codec::{Codec, Encoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD};
use crate::frame::{Ptime, SampleRate};
use crate::resample::Resampler;

use super::mouth::{Mouth, Said};
use super::tap::{RAMP_MS, RAMP_SAMPLES, Tap, smooth, toward};

/// Above this the sum is bent instead of cut: two voices at full level fit under the ceiling.
const KNEE: i32 = 24_000;

/// The ceiling of 16-bit samples.
const CEILING: i32 = 32_767;

/// Samples of a usual packet: 20 ms at the highest rate. To clear buffers for the longest packet there may be takes
/// longer than to mix a usual one, so there are two sizes.
const USUAL_SAMPLES: usize = SampleRate::Hz16000.samples_per_tick();

/// A sound of our own making: music on hold, ringback. It is made for one ear, at that ear's rate.
pub trait Generator: Send {
    /// The next samples.
    fn fill(&mut self, out: &mut [i16]);
}

/// How much of the past leads an encoder with a memory to where the far end's decoder is.
const LEAD_MS: u32 = 60;

/// The same in samples at the highest rate.
const LEAD_SAMPLES: usize = SampleRate::Hz16000.samples_in_ms(LEAD_MS);

/// Everything one ear hears, as one stream.
pub struct Mix {
    encoder: Encoder,
    taps: Vec<Heard>,
    generators: Vec<Made>,
    /// The last sound of mouths that are gone, to be heard yet.
    farewell: [i32; RAMP_SAMPLES],
    takes_leave: bool,
    /// Samples that are summed and not yet a whole packet of this ear's ptime.
    left: Vec<i16>,
    /// The next packet is the first after a voice that went past this mix, and begins where that one was.
    leads_in: bool,
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
        Mix::tuned(codec, Tuning::DEFAULT)
    }

    /// The same; Opus works as `tuning` says.
    pub fn tuned(codec: Codec, tuning: Tuning) -> Mix {
        Mix {
            encoder: Encoder::tuned(codec, tuning),
            taps: Vec::with_capacity(4),
            generators: Vec::new(),
            farewell: [0; RAMP_SAMPLES],
            takes_leave: false,
            left: Vec::new(),
            leads_in: false,
        }
    }

    /// The codec it is encoded to.
    pub fn codec(&self) -> Codec {
        self.encoder.codec()
    }

    /// The far end loses this share of our packets, 0 to 1.
    pub fn expect_loss(&mut self, share: f32) {
        self.encoder.expect_loss(share);
    }

    /// Encodes to another codec from now on.
    pub fn recode(&mut self, codec: Codec, tuning: Tuning) {
        self.encoder = Encoder::tuned(codec, tuning);
        self.leads_in = false;
        self.left.clear();
        self.takes_leave = false;
        self.taps.iter_mut().for_each(|heard| heard.resampler = None);
        self.generators.clear();
    }

    /// Adds a mouth unless it is there, and lets it be heard.
    pub fn hear(&mut self, who: u64, tap: impl FnOnce() -> Tap) {
        match self.taps.iter_mut().find(|heard| heard.who == who) {
            Some(heard) => heard.tap.fade(true),
            None => self.taps.push(Heard { who, tap: tap(), resampler: None }),
        }
    }

    /// Goes on from a voice whose packets this ear got as they were. An encoder that adapts to what
    /// it encodes is led to where the far end's decoder is.
    pub fn take_over(&mut self, who: u64, mouth: &Mouth, behind_ms_max: u32) {
        if mouth.codec() == self.codec() && self.encoder.lookahead() > 0 {
            self.leads_in = true;
        } else if mouth.codec() == self.codec() {
            let mut past = [0; MAX_PACKET_SAMPLES];
            let past = &mut past[..self.codec().sample_rate().samples_per_tick()];
            mouth.read(mouth.written() - past.len() as i64, past);
            self.encoder.encode(past, &mut [0; MAX_PAYLOAD]);
        }
        self.taps.push(Heard { who, tap: Tap::open(mouth, behind_ms_max), resampler: None });
    }

    /// Lets every mouth fade away that is not among these.
    pub fn only(&mut self, who: &[u64]) {
        for heard in &mut self.taps {
            if !who.contains(&heard.who) {
                heard.tap.fade(false);
            }
        }
    }

    /// Plays a sound of our making, fading in while what was played before fades out; `None` lets
    /// that fade out alone.
    pub fn play(&mut self, generator: Option<Box<dyn Generator>>) {
        self.generators.retain(|made| made.gain > 0.0);
        self.generators.iter_mut().for_each(|made| made.target = 0.0);
        self.generators.extend(generator.map(|generator| Made { generator, gain: 0.0, target: 1.0 }));
    }

    /// Forgets what has faded away. True when nothing is on its way in or out.
    pub fn is_settled(&mut self) -> bool {
        self.taps.retain(|heard| !heard.tap.is_silent());
        self.generators.retain(|made| made.gain > 0.0 || made.target > 0.0);
        self.taps.iter().all(|heard| !heard.tap.is_moving())
            && self.generators.iter().all(|made| made.gain == made.target)
            && !self.takes_leave
    }

    /// The mouths it has taps into, those fading away included.
    pub fn mouths(&self) -> impl Iterator<Item = u64> {
        self.taps.iter().map(|heard| heard.who)
    }

    /// The tap into a mouth.
    pub fn tap(&self, who: u64) -> Option<&Tap> {
        self.taps.iter().find(|heard| heard.who == who).map(|heard| &heard.tap)
    }

    /// The taps into all mouths.
    pub fn taps(&mut self) -> impl Iterator<Item = (u64, &mut Tap)> {
        self.taps.iter_mut().map(|heard| (heard.who, &mut heard.tap))
    }

    /// Drops a mouth that is about to be gone, and its history with it. The ear hears it out: it
    /// fades away in the next packet.
    pub fn drop_mouth(&mut self, who: u64, mouth: Option<&Mouth>) {
        let Some(at) = self.taps.iter().position(|heard| heard.who == who) else { return };
        let mut heard = self.taps.remove(at);
        let Some(mouth) = mouth else { return };
        let rate = self.codec().sample_rate();
        heard.tap.fade(false);
        let mut theirs = [0; RAMP_SAMPLES];
        let theirs = &mut theirs[..mouth.rate().samples_in_ms(RAMP_MS)];
        if heard.tap.is_silent() || !heard.tap.read(mouth, theirs) {
            return;
        }
        let mut ours = [0; RAMP_SAMPLES];
        let voice = heard.at_rate(mouth.rate(), rate, theirs, &mut ours);
        if !self.takes_leave {
            self.farewell.fill(0);
        }
        self.takes_leave = true;
        add(&mut self.farewell, voice);
    }

    /// One packet, in step with what `main` just said, or of `ms` milliseconds by the tick. The
    /// payload goes to `out`; its length is returned.
    pub fn packet<'a>(
        &mut self,
        main: Option<(u64, Said)>,
        ms: u32,
        mouth: impl Fn(u64) -> Option<&'a Mouth>,
        out: &mut [u8; MAX_PAYLOAD],
    ) -> usize {
        if self.is_usual(main, ms, &mouth) {
            self.packet_within::<USUAL_SAMPLES>(main, ms, &mouth, out)
        } else {
            self.packet_within::<MAX_PACKET_SAMPLES>(main, ms, &mouth, out)
        }
    }

    /// Whether the next packet fits buffers of [`USUAL_SAMPLES`], at whatever rate the voices come.
    fn is_usual<'a>(
        &self,
        main: Option<(u64, Said)>,
        ms: u32,
        mouth: &impl Fn(u64) -> Option<&'a Mouth>,
    ) -> bool {
        let rate = self.codec().sample_rate();
        self.samples(main, ms, mouth) <= rate.samples_per_tick()
    }

    /// How many samples the next packet has.
    fn samples<'a>(
        &self,
        main: Option<(u64, Said)>,
        ms: u32,
        mouth: &impl Fn(u64) -> Option<&'a Mouth>,
    ) -> usize {
        let rate = self.codec().sample_rate();
        match main.and_then(|(who, said)| Some((said, mouth(who)?))) {
            Some((said, mouth)) => said.samples * rate.hz() as usize / mouth.rate().hz() as usize,
            None => rate.samples_in_ms(ms),
        }
    }

    fn packet_within<'a, const ROOM: usize>(
        &mut self,
        main: Option<(u64, Said)>,
        ms: u32,
        mouth: &impl Fn(u64) -> Option<&'a Mouth>,
        out: &mut [u8; MAX_PAYLOAD],
    ) -> usize {
        let mut pcm = [0; ROOM];
        let samples = self.mixed(main, ms, mouth, &mut pcm);
        let pcm = &mut pcm[..samples];
        if !self.left.is_empty() {
            self.pass_over_left(pcm);
        }
        if std::mem::take(&mut self.leads_in)
            && let Some((who, said)) = main
            && let Some(mouth) = mouth(who)
        {
            self.lead_in(mouth, said, pcm);
        }
        self.encoder.encode(pcm, out)
    }

    /// Until now the ear got the voice's own packets; from here on it gets ours, in which everything lies
    /// [`Encoder::lookahead`] behind. So that nothing is said twice at the seam, the encoder is led there with the past
    /// moved up by as much, and the first packet goes back to its own time over its whole length.
    ///
    /// ```text
    ///   ear, their packets  ... 5 6 7 8 |
    ///   encoder             ... 7 8 9 A | B C c d e      A packet holds what was given in two letters before:
    ///   ear, our packets                | 9 A B C c      it goes on with 9.
    /// ```
    fn lead_in(&mut self, mouth: &Mouth, said: Said, pcm: &mut [i16]) {
        let (ahead, whole) = (self.encoder.lookahead(), self.codec().sample_rate().samples_in_ms(LEAD_MS));
        let frame = self.codec().sample_rate().samples_per_tick();
        if pcm.len() <= ahead {
            return;
        }
        let mut past = [0; LEAD_SAMPLES];
        let past = &mut past[..whole];
        let (known, next) = past.split_at_mut(whole - ahead);
        mouth.read(said.start - known.len() as i64, known);
        next.copy_from_slice(&pcm[..ahead]);
        for frame in past.chunks(frame) {
            self.encoder.encode(frame, &mut [0; MAX_PAYLOAD]);
        }
        let blend = pcm.len() - ahead;
        for n in 0..blend {
            let (early, own) = (f32::from(pcm[n + ahead]), f32::from(pcm[n]));
            let weight = (n + 1) as f32 / (blend + 1) as f32;
            pcm[n] = (early + (own - early) * weight).round() as i16;
        }
    }

    /// As [`Mix::packet`], for an ear whose packets are longer or shorter than what clocks it: what
    /// is summed waits until [`Mix::whole`] gives packets of the ear's own length.
    pub fn gather<'a>(
        &mut self,
        main: Option<(u64, Said)>,
        ms: u32,
        mouth: impl Fn(u64) -> Option<&'a Mouth>,
    ) {
        let mut pcm = [0; MAX_PACKET_SAMPLES];
        let samples = self.mixed(main, ms, &mouth, &mut pcm);
        self.leads_in = false;
        if self.left.len() + samples <= 2 * MAX_PACKET_SAMPLES {
            self.left.extend_from_slice(&pcm[..samples]);
        }
    }

    /// The next whole packet of `ptime` out of what was gathered.
    pub fn whole(&mut self, ptime: Ptime, out: &mut [u8; MAX_PAYLOAD]) -> Option<usize> {
        let samples = self.codec().sample_rate().samples_in_ms(ptime.ms());
        if self.left.len() < samples {
            return None;
        }
        let length = self.encoder.encode(&self.left[..samples], out);
        self.left.drain(..samples);
        Some(length)
    }

    /// Blends from what waited to be sent into the sound that is sent instead.
    fn pass_over_left(&mut self, pcm: &mut [i16]) {
        let blend = self.codec().sample_rate().samples_in_ms(RAMP_MS).min(self.left.len());
        for (n, (sample, old)) in pcm.iter_mut().zip(&self.left[..blend]).enumerate() {
            let (old, weight) = (f32::from(*old), (n + 1) as f32 / (blend + 1) as f32);
            *sample = (old + (f32::from(*sample) - old) * weight).round() as i16;
        }
        self.left.clear();
    }

    /// The sum, before it is encoded, as far as there is room for it.
    pub(super) fn mixed<'a, const ROOM: usize>(
        &mut self,
        main: Option<(u64, Said)>,
        ms: u32,
        mouth: &impl Fn(u64) -> Option<&'a Mouth>,
        pcm: &mut [i16; ROOM],
    ) -> usize {
        let rate = self.codec().sample_rate();
        let samples = self.samples(main, ms, mouth).min(ROOM);
        let mut sum = [0; ROOM];
        let sum = &mut sum[..samples];
        let mut theirs = [0; ROOM];
        let mut ours = [0; ROOM];
        let mut voices = self.generators.len() + usize::from(self.takes_leave);
        for heard in &mut self.taps {
            let Some(mouth) = mouth(heard.who) else { continue };
            let length = samples * mouth.rate().hz() as usize / rate.hz() as usize;
            let theirs = &mut theirs[..length.min(ROOM)];
            match main {
                Some((who, said)) if who == heard.who => heard.tap.read_packet(mouth, said, theirs),
                _ if heard.tap.read(mouth, theirs) => {}
                _ => continue,
            }
            voices += 1;
            add(sum, heard.at_rate(mouth.rate(), rate, theirs, &mut ours));
        }
        for made in &mut self.generators {
            let ours = &mut ours[..samples];
            made.generator.fill(ours);
            if made.gain < 1.0 || made.target < 1.0 {
                let step = 1.0 / rate.samples_in_ms(RAMP_MS) as f32;
                for sample in ours.iter_mut() {
                    made.gain = toward(made.gain, made.target, step);
                    *sample = (f32::from(*sample) * smooth(made.gain)).round() as i16;
                }
            }
            add(sum, ours);
        }
        if std::mem::take(&mut self.takes_leave) {
            sum.iter_mut().zip(&self.farewell).for_each(|(sum, last)| *sum += last);
        }
        // One voice alone fits as it is, however loud, and reaches the ear unchanged.
        let bends = voices != 1 && sum.iter().fold(false, |bends, sum| bends | (sum.abs() > KNEE));
        for (sample, sum) in pcm.iter_mut().zip(&*sum) {
            *sample = (*sum).clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        }
        if bends {
            pcm.iter_mut().zip(&*sum).for_each(|(sample, sum)| *sample = limited(*sum));
        }
        samples
    }
}

fn add(sum: &mut [i32], voice: &[i16]) {
    sum.iter_mut().zip(voice).for_each(|(sum, sample)| *sum += i32::from(*sample));
}

impl Heard {
    /// What was read, at the ear's rate.
    fn at_rate<'a>(
        &mut self,
        from: SampleRate,
        to: SampleRate,
        theirs: &'a [i16],
        ours: &'a mut [i16],
    ) -> &'a [i16] {
        if from == to {
            return theirs;
        }
        let resampler = self.resampler.get_or_insert_with(|| Resampler::new(from, to));
        let made = resampler.process(theirs, ours);
        &ours[..made]
    }
}

/// Exact below the knee, bent towards the ceiling above it.
fn limited(sum: i32) -> i16 {
    let (room, over) = (CEILING - KNEE, sum.saturating_abs() - KNEE);
    if over <= 0 {
        return sum as i16;
    }
    let (room, over) = (room as f32, over as f32);
    let bent = KNEE as f32 + room * over / (over + room);
    bent.copysign(sum as f32).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limiter_is_exact_below_the_knee_and_never_reaches_over_the_ceiling() {
        for sample in [0, 1, -1, 12_345, -24_000] {
            assert_eq!(i32::from(limited(sample)), sample);
        }
        let mut last = 0;
        for sum in (0..200_000).step_by(500) {
            let out = limited(sum);
            assert!(out >= last, "louder in, softer out at {sum}");
            assert_eq!(limited(-sum), -out);
            last = out;
        }
    }
}
