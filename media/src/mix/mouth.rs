//! What a party said lately, decoded once for all who listen.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::codec::comfort_noise::ComfortNoise;
use crate::codec::conceal::{self, Concealer, FADED_OUT_MS};
use crate::codec::{Codec, Decoder, MAX_PACKET_SAMPLES};
use crate::frame::{SILENCE_DBFS, SampleRate};
use crate::stream::rtp::Header;
use crate::time::{RtpTimestamp, Sequence};

/// How much of the past is kept: the most delay any ear can have, plus the packet being read.
pub const HISTORY_MS: u32 = 380;

/// A hole up to this long is filled, so that ears do not run out for a lost packet or two. In a
/// longer one concealment would be silent anyway.
const FILL_MS_MAX: u32 = FADED_OUT_MS;

/// Weight of the newest packet in the level: about a tenth of a second of memory.
const LEVEL_WEIGHT: f32 = 0.2;

/// A timestamp more than this behind, a second, is no late packet but a clock that began anew.
const FORGOTTEN_MS: u32 = 1000;

/// Where a packet written late meets what was made up after it.
const BLEND_MS: u32 = 5;

/// The decoded voice of one party.
#[derive(Debug)]
pub struct Mouth {
    decoder: Decoder,
    rate: SampleRate,
    ring: Box<[i16]>,
    /// Samples ever written; the newest is at `written - 1`.
    written: i64,
    expected: Option<Expected>,
    ssrc: u32,
    arrived: Option<Instant>,
    period: Duration,
    /// Mean power of late, of full scale.
    power: f32,
    concealer: Option<Box<Concealer>>,
    /// Where the newest hole was filled, in which a late packet may still find its place.
    filled: Range<i64>,
    filled_samples: u64,
    comfort: Option<u8>,
}

/// What the next packet has if nothing is lost.
#[derive(Debug, Clone, Copy)]
struct Expected {
    sequence: Sequence,
    timestamp: RtpTimestamp,
}

/// Where in the mouth's history a packet's audio lies: positions for [`super::Tap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// First sample.
    pub start: i64,
    /// How many.
    pub samples: usize,
}

impl Mouth {
    /// A mouth that has said nothing yet.
    pub fn new(codec: Codec) -> Mouth {
        let rate = codec.sample_rate();
        Mouth {
            decoder: Decoder::new(codec),
            rate,
            ring: vec![0; rate.samples_in_ms(HISTORY_MS)].into_boxed_slice(),
            written: 0,
            expected: None,
            ssrc: 0,
            arrived: None,
            period: Duration::from_millis(20),
            power: 0.0,
            concealer: None,
            filled: 0..0,
            filled_samples: 0,
            comfort: None,
        }
    }

    /// The codec it is decoded from.
    pub fn codec(&self) -> Codec {
        self.decoder.codec()
    }

    /// Samples per second of its history.
    pub fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Where the newest sample ends.
    pub fn written(&self) -> i64 {
        self.written
    }

    /// Milliseconds made up for lost packets.
    pub fn filled_ms(&self) -> u64 {
        self.filled_samples * 1000 / u64::from(self.rate.hz())
    }

    /// Decodes a packet. `None` if it came too late to be the newest sound; it may still have
    /// replaced what was made up in its place.
    pub fn hear(&mut self, now: Instant, header: &Header, payload: &[u8]) -> Option<Said> {
        if header.ssrc != self.ssrc {
            self.ssrc = header.ssrc;
            self.expected = None;
        }
        let units_per_ms = self.codec().rtp_clock() / 1000;
        let units = self.codec().rtp_units_in(payload);
        if units == 0 {
            return None; // no sound, or none that can be understood: as if lost
        }
        if let Some(expected) = self.expected {
            let missing = header.timestamp.distance_from(expected.timestamp);
            if missing < 0 && missing > -((FORGOTTEN_MS * units_per_ms) as i32) {
                self.mend(missing.unsigned_abs(), payload);
                return None;
            }
            // With no packet missing, the sender paused, and there is nothing to make up for.
            let lost = header.sequence.is_newer(expected.sequence) && self.comfort.is_none();
            if lost && missing > 0 && missing.unsigned_abs() <= FILL_MS_MAX * units_per_ms {
                self.fill(self.samples_of(missing.unsigned_abs()), payload);
            }
        }
        self.expected =
            Some(Expected { sequence: header.sequence.next(), timestamp: header.timestamp.plus(units) });
        self.period = Duration::from_micros(u64::from(units) * 1000 / u64::from(units_per_ms));
        self.arrived = Some(now);
        self.comfort = None;
        let (start, from) = (self.written, self.place_of(self.written));
        let room = from + self.codec().samples_in(payload);
        let samples = match self.ring.get_mut(from..room) {
            // Straight into its place: a buffer in between would have to be cleared for the longest packet there is.
            Some(place) => {
                let samples = self.decoder.decode(payload, place);
                let pcm = &mut place[..samples];
                join(&mut self.concealer, pcm);
                self.power = power_after(self.power, pcm);
                self.written += samples as i64;
                samples
            }
            None => self.hear_around_the_end(payload),
        };
        Some(Said { start, samples })
    }

    /// A packet whose place lies around the end of the ring.
    #[cold]
    fn hear_around_the_end(&mut self, payload: &[u8]) -> usize {
        let mut pcm = [0; MAX_PACKET_SAMPLES];
        let samples = self.decoder.decode(payload, &mut pcm);
        let pcm = &mut pcm[..samples];
        join(&mut self.concealer, pcm);
        self.power = power_after(self.power, pcm);
        self.write(pcm);
        samples
    }

    /// Where in the ring a sample lies.
    fn place_of(&self, position: i64) -> usize {
        (position as u64 % self.ring.len() as u64) as usize
    }

    /// The sender pauses and says how loud its silence is (RFC 3389): so it sounds until it speaks
    /// again.
    pub fn rest(&mut self, header: &Header, payload: &[u8]) {
        let late = self.expected.is_some_and(|expected| {
            header.ssrc == self.ssrc && expected.timestamp.is_newer(header.timestamp)
        });
        if let (false, Some(noise)) = (late, ComfortNoise::parse(payload)) {
            self.comfort = Some(noise.level());
            self.power = 10f32.powf(-f32::from(noise.level()) / 10.0);
        }
    }

    /// The level of the sender's pause, in -dBov, while it pauses.
    pub fn comfort(&self) -> Option<u8> {
        self.comfort
    }

    /// How long a packet of its sounds.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// When the next packet is due, if packets come regularly.
    pub fn next_due(&self) -> Option<Instant> {
        Some(self.arrived? + self.period)
    }

    /// How loud it has been over the last tenth of a second, in dB under full scale.
    pub fn level_dbfs(&self) -> f32 {
        if self.power <= 0.0 { SILENCE_DBFS } else { (10.0 * self.power.log10()).max(SILENCE_DBFS) }
    }

    /// How loud it has been over the last tenth of a second, as power of full scale.
    pub(super) fn power(&self) -> f32 {
        self.power
    }

    /// Copies samples from `start` on; silence where nothing was said or it is forgotten.
    pub fn read(&self, start: i64, out: &mut [i16]) {
        let length = self.ring.len();
        let known =
            start >= 0 && start >= self.written - length as i64 && start + out.len() as i64 <= self.written;
        if !known {
            for (offset, sample) in out.iter_mut().enumerate() {
                *sample = self.at(start + offset as i64);
            }
            return;
        }
        let from = self.place_of(start);
        let first = out.len().min(length - from);
        let (head, tail) = out.split_at_mut(first);
        head.copy_from_slice(&self.ring[from..from + first]);
        let rest = tail.len();
        tail.copy_from_slice(&self.ring[..rest]);
    }

    fn at(&self, position: i64) -> i16 {
        if position < 0 || position >= self.written || position < self.written - self.ring.len() as i64 {
            return 0;
        }
        self.ring[self.place_of(position)]
    }

    pub(super) fn write(&mut self, pcm: &[i16]) {
        let length = self.ring.len();
        let from = self.place_of(self.written);
        let first = pcm.len().min(length - from);
        self.ring[from..from + first].copy_from_slice(&pcm[..first]);
        self.ring[..pcm.len() - first].copy_from_slice(&pcm[first..]);
        self.written += pcm.len() as i64;
    }

    /// Makes up for a hole before the packet `next`; what is said next is blended in.
    fn fill(&mut self, samples: usize, next: &[u8]) {
        let mut pcm = [0; MAX_PACKET_SAMPLES];
        let mut pcm = &mut pcm[..samples.min(MAX_PACKET_SAMPLES)];
        match self.decoder.conceal(next, pcm) {
            // It goes on from there by itself.
            Some(made) => pcm = &mut pcm[..made],
            None => {
                let mut past = [0; conceal::HISTORY];
                self.read(self.written - past.len() as i64, &mut past);
                let rate = self.rate;
                let concealer = self.concealer.get_or_insert_with(|| Box::new(Concealer::new(rate)));
                concealer.learn(&past);
                concealer.conceal(pcm);
            }
        }
        self.filled = self.written..self.written + pcm.len() as i64;
        self.filled_samples += pcm.len() as u64;
        self.write(pcm);
    }

    /// Puts a packet that came after a newer one where a hole was filled for it. Whoever reads
    /// behind that hears it whole. G.722 and Opus cannot be decoded out of order.
    fn mend(&mut self, behind_units: u32, payload: &[u8]) {
        if !self.codec().is_memoryless() {
            return;
        }
        let start = self.written - self.samples_of(behind_units) as i64;
        let mut pcm = [0; MAX_PACKET_SAMPLES];
        let samples = self.decoder.decode(payload, &mut pcm);
        let end = start + samples as i64;
        if start < self.filled.start || end > self.filled.end || start < self.written - self.ring.len() as i64
        {
            return;
        }
        // It goes on seamlessly from the sound before it; what follows began out of the made-up part.
        let blend = self.rate.samples_in_ms(BLEND_MS).min(samples);
        for (n, sample) in pcm[..samples].iter().enumerate() {
            let position = start + n as i64;
            let made = f32::from(self.at(position));
            let weight = (samples - n) as f32 / blend as f32;
            let place = self.place_of(position);
            self.ring[place] = (made + (f32::from(*sample) - made) * weight.min(1.0)).round() as i16;
        }
        self.filled_samples = self.filled_samples.saturating_sub(samples as u64);
    }

    fn samples_of(&self, units: u32) -> usize {
        (u64::from(units) * u64::from(self.rate.hz()) / u64::from(self.codec().rtp_clock())) as usize
    }
}

/// What was made up goes over into what was said after it.
fn join(concealer: &mut Option<Box<Concealer>>, pcm: &mut [i16]) {
    if let Some(concealer) = concealer
        && concealer.is_concealing()
    {
        concealer.heard(pcm);
    }
}

/// The mean power of late once this has been said, too.
fn power_after(before: f32, pcm: &[i16]) -> f32 {
    if pcm.is_empty() {
        return before;
    }
    let square = |sample: i16| (i32::from(sample) * i32::from(sample)) as u32;
    // In pairs, which is what processors multiply and add at once.
    let (pairs, rest) = pcm.as_chunks();
    let sum: u64 = pairs.iter().map(|[one, other]| u64::from(square(*one) + square(*other))).sum();
    let sum = sum + rest.iter().map(|sample| u64::from(square(*sample))).sum::<u64>();
    let power = sum as f32 / pcm.len() as f32 / (32_768.0 * 32_768.0);
    before + LEVEL_WEIGHT * (power - before)
}
