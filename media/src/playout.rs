//! One frame per tick out of one party's packets.
//!
//! The [`JitterBuffer`] says what comes next; a packet may cover half a tick or three. A [`Player`]
//! decodes into a small store of PCM and cuts ticks from it: concealment fills holes, comfort noise
//! fills pauses in which the sender asked for it, and packets that the jitter buffer calls surplus are
//! shortened by a pitch period, so that delay goes away without a gap anyone hears.

use std::time::Instant;

use crate::codec::comfort_noise::{self, ComfortNoise};
use crate::codec::conceal::Concealer;
use crate::codec::{Codec, Decoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD};
use crate::frame::{Frame, MAX_FRAME_SAMPLES, SampleRate, TICK_MS, level_dbfs};
use crate::jitter::{JitterBuffer, JitterStats, Packet, Playout, Pushed};
use crate::time::{RtpTimestamp, Sequence};

/// Pops for one tick at most. A tick needs two packets of 10 ms; a shortened one, or one with a
/// payload that is not ours, needs more, but not without end.
const MAX_POPS: usize = 8;

/// Room for a tick that lacks one sample, and the longest packet.
const STORE: usize = MAX_FRAME_SAMPLES + MAX_PACKET_SAMPLES;

/// Loud sound is shortened at most in every third packet; quiet sound in each.
const SHORTEN_EVERY: u32 = 3;

/// Below this, in dBFS, nobody hears a cut.
const QUIET_DBFS: f32 = -50.0;

/// The shortest stretch taken out: the period of the highest voices, in milliseconds.
const SHORTEST_CUT_MS: u32 = 3;

/// What a tick was made of; the least good wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Played {
    /// Decoded sound.
    Speech,
    /// Comfort noise, because the sender pauses and said how loud its room is.
    Comfort,
    /// Some of it was made up in place of lost sound.
    Concealed,
    /// Nothing: no stream, or a pause without comfort noise.
    Silence,
}

/// Plays one RTP stream.
#[derive(Debug, Clone)]
pub struct Player {
    jitter: JitterBuffer,
    decoder: Decoder,
    payload_type: u8,
    comfort_payload_type: Option<u8>,
    concealer: Concealer,
    comfort: comfort_noise::Generator,
    /// The sender announced a pause; until it speaks again, holes are filled with noise.
    in_comfort: bool,
    store: [i16; STORE],
    stored: usize,
    since_shortened: u32,
    concealed_ticks: u64,
    shortened_samples: u64,
}

impl Player {
    /// A player of a stream in `codec` under `payload_type`, with comfort noise under its own type if
    /// that was negotiated.
    pub fn new(codec: Codec, payload_type: u8, comfort_payload_type: Option<u8>) -> Self {
        let rate = codec.sample_rate();
        Self {
            jitter: JitterBuffer::new(codec.rtp_clock()),
            decoder: Decoder::new(codec),
            payload_type,
            comfort_payload_type,
            concealer: Concealer::new(rate),
            comfort: comfort_noise::Generator::new(rate, u32::from(payload_type)),
            in_comfort: false,
            store: [0; STORE],
            stored: 0,
            since_shortened: 0,
            concealed_ticks: 0,
            shortened_samples: 0,
        }
    }

    /// The codec played.
    pub const fn codec(&self) -> Codec {
        self.decoder.codec()
    }

    /// The rate of the frames that come out.
    pub const fn rate(&self) -> SampleRate {
        self.codec().sample_rate()
    }

    /// Takes in a packet; see [`JitterBuffer::push`].
    pub fn push(
        &mut self,
        arrival: Instant,
        sequence: Sequence,
        timestamp: RtpTimestamp,
        marker: bool,
        payload_type: u8,
        payload: &[u8],
    ) -> Pushed {
        self.jitter.push(arrival, sequence, timestamp, marker, payload_type, payload)
    }

    /// Notes a packet of the stream that carries no sound; see [`JitterBuffer::pass`].
    pub fn pass(&mut self, sequence: Sequence) {
        self.jitter.pass(sequence);
    }

    /// Makes the tick that is due at `now`, at the codec's rate.
    pub fn tick(&mut self, now: Instant, frame: &mut Frame) -> Played {
        let rate = self.rate();
        let tick = rate.samples_per_tick();
        let mut played = Played::Speech;
        let mut payload = [0; MAX_PAYLOAD];
        for _ in 0..MAX_POPS {
            if self.stored >= tick {
                break;
            }
            match self.jitter.pop(now, &mut payload) {
                Playout::Packet(packet) => self.packet(&packet, &payload[..packet.len]),
                Playout::Missing { units } => {
                    let len = units as usize * rate.hz() as usize / self.codec().rtp_clock() as usize;
                    played = played.max(self.fill(len));
                }
                Playout::Empty => break,
            }
        }
        if self.stored < tick {
            played = played.max(self.fill(tick - self.stored));
        }
        if self.in_comfort {
            played = played.max(Played::Comfort);
        }
        self.concealed_ticks += u64::from(played == Played::Concealed);
        frame.clear(rate);
        frame.samples_mut().copy_from_slice(&self.store[..tick]);
        self.store.copy_within(tick..self.stored, 0);
        self.stored -= tick;
        played
    }

    /// Starts over for a new stream, as when the SSRC changes. What was played last is remembered, so
    /// that the change is blended.
    pub fn reset(&mut self) {
        self.jitter.reset();
        self.decoder = Decoder::new(self.codec());
        self.in_comfort = false;
        self.stored = 0;
    }

    /// Starts over and gives back the jitter buffer's memory.
    pub fn release(&mut self) {
        self.reset();
        self.jitter.release();
    }

    /// The jitter buffer's counts.
    pub fn stats(&self) -> JitterStats {
        self.jitter.stats()
    }

    /// The jitter buffer, for its delay, target and jitter.
    pub fn jitter(&self) -> &JitterBuffer {
        &self.jitter
    }

    /// Ticks of which some was concealed.
    pub const fn concealed_ticks(&self) -> u64 {
        self.concealed_ticks
    }

    /// Sound taken out to lower the delay, in samples at the codec's rate.
    pub const fn shortened_samples(&self) -> u64 {
        self.shortened_samples
    }

    fn packet(&mut self, packet: &Packet, payload: &[u8]) {
        if Some(packet.payload_type) == self.comfort_payload_type {
            if let Some(noise) = ComfortNoise::parse(payload) {
                self.comfort.set_level(noise.level());
                self.in_comfort = true;
            }
            self.fill(self.rate().samples_per_tick());
            return;
        }
        if packet.payload_type != self.payload_type {
            // Not what was agreed; it cannot be decoded, so it is as good as lost.
            self.fill(self.rate().samples_per_tick());
            return;
        }
        self.in_comfort = false;
        let fresh = &mut self.store[self.stored..];
        let mut len = self.decoder.decode(payload, fresh);
        self.concealer.heard(&mut fresh[..len]);
        self.since_shortened += 1;
        if packet.surplus {
            let fresh = &mut fresh[..len];
            if self.since_shortened >= SHORTEN_EVERY || level_dbfs(fresh) < QUIET_DBFS {
                let cut = shorten(fresh, self.decoder.codec().sample_rate());
                len -= cut;
                self.shortened_samples += cut as u64;
                self.since_shortened = 0;
            }
        }
        self.stored += len;
    }

    /// Appends up to `len` samples where there is no packet, and says what they are.
    fn fill(&mut self, len: usize) -> Played {
        let end = (self.stored + len).min(STORE);
        let fresh = &mut self.store[self.stored..end];
        self.stored = end;
        if self.in_comfort {
            self.comfort.fill(fresh);
            // Speech that follows is blended from the noise.
            self.concealer.heard(fresh);
            return Played::Comfort;
        }
        let silent = self.concealer.is_faded_out();
        self.concealer.conceal(fresh);
        if silent || fresh.iter().all(|&sample| sample == 0) { Played::Silence } else { Played::Concealed }
    }
}

/// Takes one period out of `pcm` by blending the sound with itself one period later; returns the
/// samples taken out. The period is where the two resemble each other most.
fn shorten(pcm: &mut [i16], rate: SampleRate) -> usize {
    let (shortest, longest) = (rate.samples_in_ms(SHORTEST_CUT_MS), pcm.len() / 2);
    if longest < shortest {
        return 0;
    }
    let stride = rate.samples_in_ms(1) / 8;
    let difference = |lag: usize| -> i64 {
        let pairs = pcm[..longest].iter().zip(&pcm[lag..]).step_by(stride);
        pairs.map(|(&a, &b)| (i64::from(a) - i64::from(b)).pow(2)).sum()
    };
    // Of equal lags the longest: a quiet packet has no period, and may go at once.
    let lag = (shortest..=longest).rev().min_by_key(|&lag| difference(lag)).unwrap_or(shortest);
    for n in 0..lag {
        let (now, later) = (f32::from(pcm[n]), f32::from(pcm[n + lag]));
        pcm[n] = (now + (later - now) * (n + 1) as f32 / (lag + 1) as f32).round() as i16;
    }
    pcm.copy_within(2 * lag.., lag);
    lag
}

const _: () = assert!(TICK_MS == 20, "a packet of 60 ms covers three ticks; STORE is sized for that");
