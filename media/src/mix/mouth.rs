//! What a party said lately, decoded once for all who listen.

use std::time::{Duration, Instant};

use crate::codec::{Codec, Decoder, MAX_PACKET_SAMPLES};
use crate::frame::{SILENCE_DBFS, SampleRate, level_dbfs};
use crate::stream::rtp::Header;
use crate::time::RtpTimestamp;

/// How much of the past is kept: the most delay any ear can have, plus the packet being read.
pub const HISTORY_MS: u32 = 320;

/// A hole up to this long is filled, so that ears do not run out for a lost packet or two. A longer
/// one is a pause: nothing is made up for it.
const FILL_MS_MAX: u32 = 60;

/// Weight of the newest packet in the level: about a tenth of a second of memory.
const LEVEL_WEIGHT: f32 = 0.2;

/// The decoded voice of one party.
#[derive(Debug)]
pub struct Mouth {
    decoder: Decoder,
    rate: SampleRate,
    ring: Box<[i16]>,
    /// Samples ever written; the newest is at `written - 1`.
    written: i64,
    expected: Option<RtpTimestamp>,
    ssrc: u32,
    arrived: Option<Instant>,
    period: Duration,
    power: f32,
    filled_samples: u64,
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
            filled_samples: 0,
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

    /// Decodes a packet. `None` if it came too late to be of use.
    pub fn hear(&mut self, now: Instant, header: &Header, payload: &[u8]) -> Option<Said> {
        if header.ssrc != self.ssrc {
            self.ssrc = header.ssrc;
            self.expected = None;
        }
        let units = self.codec().rtp_units_of(payload.len());
        if let Some(expected) = self.expected {
            let missing = header.timestamp.distance_from(expected);
            if missing < 0 && missing > -(FORGOTTEN_UNITS) {
                return None;
            }
            if missing > 0 && missing as u32 <= FILL_MS_MAX * UNITS_PER_MS {
                self.fill(missing as u32);
            }
        }
        self.expected = Some(header.timestamp.plus(units));
        self.period = Duration::from_micros(u64::from(units) * 125);
        self.arrived = Some(now);
        let mut pcm = [0; MAX_PACKET_SAMPLES];
        let samples = self.decoder.decode(payload, &mut pcm);
        let start = self.written;
        self.write(&pcm[..samples]);
        self.measure(&pcm[..samples]);
        Some(Said { start, samples })
    }

    /// When the next packet is due, if packets come regularly.
    pub fn next_due(&self) -> Option<Instant> {
        Some(self.arrived? + self.period)
    }

    /// When the newest packet came.
    pub fn arrived(&self) -> Option<Instant> {
        self.arrived
    }

    /// How loud it has been over the last tenth of a second, in dB under full scale.
    pub fn level_dbfs(&self) -> f32 {
        if self.power <= 0.0 { SILENCE_DBFS } else { (10.0 * self.power.log10()).max(SILENCE_DBFS) }
    }

    /// The sample at a position; silence where nothing was said or it is forgotten.
    pub fn at(&self, position: i64) -> i16 {
        if position < 0 || position >= self.written || position < self.written - self.ring.len() as i64 {
            return 0;
        }
        self.ring[(position as u64 % self.ring.len() as u64) as usize]
    }

    /// Copies samples from `start` on.
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
        let from = (start as u64 % length as u64) as usize;
        let first = out.len().min(length - from);
        let (head, tail) = out.split_at_mut(first);
        head.copy_from_slice(&self.ring[from..from + first]);
        let rest = tail.len();
        tail.copy_from_slice(&self.ring[..rest]);
    }

    fn write(&mut self, pcm: &[i16]) {
        let length = self.ring.len();
        let from = (self.written as u64 % length as u64) as usize;
        let first = pcm.len().min(length - from);
        self.ring[from..from + first].copy_from_slice(&pcm[..first]);
        self.ring[..pcm.len() - first].copy_from_slice(&pcm[first..]);
        self.written += pcm.len() as i64;
    }

    /// Fills a hole with what was said just before it, fading away.
    fn fill(&mut self, units: u32) {
        let samples = (units * self.rate.hz() / 8000) as usize;
        let period = self.rate.samples_in_ms(20);
        let mut pcm = [0; MAX_PACKET_SAMPLES];
        let samples = samples.min(pcm.len());
        let start = self.written - period as i64;
        for (offset, sample) in pcm[..samples].iter_mut().enumerate() {
            // Back and forth through the last 20 ms, so that there is no step at the seams.
            let turn = offset % (2 * period);
            let back = if turn < period { period - 1 - turn } else { turn - period };
            let fade = 1.0 - offset as f32 / samples as f32;
            *sample = (f32::from(self.at(start + back as i64)) * fade) as i16;
        }
        self.filled_samples += samples as u64;
        self.write(&pcm[..samples]);
    }

    fn measure(&mut self, pcm: &[i16]) {
        let power = 10f32.powf(level_dbfs(pcm) / 10.0);
        self.power += LEVEL_WEIGHT * (power - self.power);
    }
}

/// RTP units in a millisecond, for every codec here.
const UNITS_PER_MS: u32 = 8;

/// A timestamp this far back is no late packet but a clock that began anew.
const FORGOTTEN_UNITS: i32 = 8000;
