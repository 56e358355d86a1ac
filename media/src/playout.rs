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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Encoder;
    use crate::frame::Ptime;
    use crate::tone::{Sine, high_band_peak, level_at};
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn a_tone_is_played_whole_in_every_codec_and_packet_length() {
        for codec in Codec::ALL {
            for ms in [10, 20, 30, 40, 50, 60] {
                let mut call = Call::new(codec, ms);
                for n in 0..120 / (ms / 10) {
                    call.send_tone(n, n * ms);
                }
                call.run(50);
                let rate = codec.sample_rate();
                let steady = &call.heard[STARTED * rate.samples_per_tick()..];
                let level = level_at(steady, rate, TONE_HZ);
                assert!((level + 12.0).abs() < 0.2, "{codec:?} {ms} ms: {level}");
                let clicks = high_band_peak(steady, rate, rate.samples_in_ms(10));
                assert!(clicks < -40.0, "{codec:?} {ms} ms: {clicks}");
                // Where packets do not fill whole ticks, the first ticks find out how much to hold back.
                assert!(
                    call.played[STARTED..].iter().all(|&played| played == Played::Speech),
                    "{codec:?} {ms} ms"
                );
            }
        }
    }

    #[test]
    fn a_lost_packet_is_concealed_without_a_click() {
        for codec in Codec::ALL {
            let mut call = Call::new(codec, 20);
            for n in (0..50).filter(|n| ![20, 30, 31].contains(n)) {
                call.send_tone(n, n * 20);
            }
            call.run(50);
            let rate = codec.sample_rate();
            let clicks = high_band_peak(&call.heard[rate.hz() as usize / 10..], rate, rate.samples_in_ms(20));
            assert!(clicks < -38.0, "{codec:?}: {clicks}");
            assert_eq!(call.player.concealed_ticks(), 3, "{codec:?}");
            assert_eq!(call.player.stats().lost, 3, "{codec:?}");
        }
    }

    #[test]
    fn the_end_of_a_stream_fades_into_silence() {
        let mut call = Call::new(Codec::Pcma, 20);
        for n in 0..25 {
            call.send_tone(n, n * 20);
        }
        call.run(50);
        assert_eq!(call.played[24], Played::Speech);
        assert!(call.played[25..28].iter().all(|&played| played == Played::Concealed));
        assert!(call.played[29..].iter().all(|&played| played == Played::Silence));
        assert!(call.heard[29 * 160..].iter().all(|&sample| sample == 0));
        let clicks = high_band_peak(&call.heard[800..], SampleRate::Hz8000, 80);
        assert!(clicks < -40.0, "{clicks}");
    }

    #[test]
    fn a_pause_with_comfort_noise_has_the_level_the_sender_named() {
        let mut call = Call::new(Codec::Pcmu, 20);
        for n in 0..25 {
            call.send_tone(n, n * 20);
        }
        // One message, then nothing for a second and a half.
        call.send(25, 25 * 20, 25 * 160, COMFORT_TYPE, vec![52]);
        for n in 100..125 {
            call.send_tone_as(26 + n - 100, n * 20, n);
        }
        call.run(125);
        let pause = &call.heard[30 * 160..95 * 160];
        let level = level_dbfs(pause);
        assert!((level + 52.0).abs() < 1.0, "{level}");
        assert!(call.played[30..95].iter().all(|&played| played == Played::Comfort));
        assert!(call.played[101..].iter().all(|&played| played == Played::Speech));
        assert_eq!(call.player.stats().lost, 0);
    }

    #[test]
    fn delay_that_a_stall_left_behind_is_taken_away_without_clicks() {
        for codec in Codec::ALL {
            let mut call = Call::new(codec, 20);
            for n in 0..500 {
                // Packets 100 to 109 are held up and come together.
                call.send_tone(n, if (100..110).contains(&n) { 2_200 } else { n * 20 });
            }
            call.run(112);
            let held_up = call.delay();
            call.run(388);
            assert!(held_up > Duration::from_millis(50), "{codec:?}: {held_up:?}");
            assert!(call.delay() <= Duration::from_millis(41), "{codec:?}: {:?}", call.delay());
            assert!(call.player.shortened_samples() > 0);
            let rate = codec.sample_rate();
            let while_shortening = &call.heard[120 * rate.samples_per_tick()..];
            let clicks = high_band_peak(while_shortening, rate, rate.samples_in_ms(20));
            assert!(clicks < -40.0, "{codec:?}: {clicks}");
            assert!((level_dbfs(while_shortening) + 12.0).abs() < 0.5);
        }
    }

    #[test]
    fn ten_percent_loss_and_forty_milliseconds_of_jitter_leave_the_tone_recognisable() {
        let mut call = Call::new(Codec::G722, 20);
        let mut state = 11u64;
        for n in 0..1_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if !(state >> 33).is_multiple_of(10) {
                call.send_tone(n, n * 20 + (state >> 40) as u32 % 41);
            }
        }
        call.run(1_000);
        let level = level_dbfs(&call.heard[32_000..]);
        assert!((level + 12.0).abs() < 1.5, "{level}");
        assert!(call.delay() < Duration::from_millis(100), "{:?}", call.delay());
    }

    #[test]
    fn a_player_of_an_idle_leg_is_small() {
        // Two of these a call, of at most 65 KB in all.
        assert!(size_of::<Player>() <= 12 * 1024, "{}", size_of::<Player>());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn whatever_arrives_there_is_a_frame_each_tick(
            codec in prop::sample::select(Codec::ALL.to_vec()),
            packets in prop::collection::vec(
                (any::<u8>(), 0u32..2_000, 0u16..100, prop::sample::select(vec![0u8, 8, 9, 13, 96]), 0usize..=MAX_PAYLOAD), 0..150),
        ) {
            let mut call = Call::new(codec, 20);
            for (fill, at, sequence, payload_type, len) in packets {
                call.send(sequence.into(), at, u32::from(sequence) * 160, payload_type, vec![fill; len]);
            }
            call.run(110);
            prop_assert_eq!(call.heard.len(), 110 * codec.sample_rate().samples_per_tick());
        }
    }

    const TONE_HZ: f32 = 440.0;
    /// Ticks after which the delay of an even stream has settled.
    const STARTED: usize = 5;
    const COMFORT_TYPE: u8 = 13;

    /// One direction of a call: a sender that hums, and a player that ticks 5 ms after the beat.
    struct Call {
        player: Player,
        ptime: Ptime,
        encoded: Vec<u8>,
        on_the_way: Vec<(u32, u32, u32, u8, Vec<u8>)>,
        tick: u32,
        heard: Vec<i16>,
        played: Vec<Played>,
        epoch: Instant,
    }

    impl Call {
        fn new(codec: Codec, ms: u32) -> Self {
            let mut sound = vec![0; 20 * codec.sample_rate().hz() as usize];
            Sine::new(codec.sample_rate(), TONE_HZ, -12.0).fill(&mut sound);
            let mut encoded = vec![0; 20 * 8_000];
            Encoder::new(codec).encode(&sound, &mut encoded);
            Self {
                player: Player::new(codec, codec.static_payload_type(), Some(COMFORT_TYPE)),
                ptime: Ptime::from_ms(ms).expect("a packet time"),
                encoded,
                on_the_way: Vec::new(),
                tick: 0,
                heard: Vec::new(),
                played: Vec::new(),
                epoch: crate::time::an_instant(),
            }
        }

        /// Packet `n` of the hum arrives at `ms`.
        fn send_tone(&mut self, n: u32, ms: u32) {
            self.send_tone_as(n, ms, n);
        }

        /// The hum's packet `n`, as sequence number `sequence`.
        fn send_tone_as(&mut self, sequence: u32, ms: u32, n: u32) {
            let len = self.player.codec().payload_bytes(self.ptime);
            let from = n as usize * len;
            let payload = self.encoded[from..from + len].to_vec();
            let payload_type = self.player.codec().static_payload_type();
            self.send(sequence, ms, n * self.ptime.ms() * 8, payload_type, payload);
        }

        fn send(&mut self, sequence: u32, ms: u32, timestamp: u32, payload_type: u8, payload: Vec<u8>) {
            self.on_the_way.push((ms, sequence, timestamp, payload_type, payload));
        }

        fn run(&mut self, ticks: u32) {
            self.on_the_way.sort();
            for _ in 0..ticks {
                let ms = self.tick * TICK_MS + 5;
                let here = self.on_the_way.partition_point(|packet| packet.0 <= ms);
                for (at, sequence, timestamp, payload_type, payload) in self.on_the_way.drain(..here) {
                    let at = self.epoch + Duration::from_millis(at.into());
                    let (sequence, timestamp) = (Sequence(sequence as u16), RtpTimestamp(timestamp));
                    self.player.push(at, sequence, timestamp, false, payload_type, &payload);
                }
                let now = self.epoch + Duration::from_millis(ms.into());
                let mut frame = Frame::silence(SampleRate::Hz8000);
                self.played.push(self.player.tick(now, &mut frame));
                self.heard.extend_from_slice(frame.samples());
                self.tick += 1;
            }
        }

        /// The delay of the sound that the next tick would begin with.
        fn delay(&self) -> Duration {
            self.player.jitter().delay(self.epoch + Duration::from_millis((self.tick * TICK_MS + 5).into()))
        }
    }
}
