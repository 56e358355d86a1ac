//! One ear and its mouths in virtual time.

use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::codec::{Codec, Encoder, MAX_PAYLOAD};
use crate::frame::{Ptime, SampleRate, level_dbfs};
use crate::stream::rtp::{HEADER_BYTES, Header, Line, write_header};
use crate::time::{RtpTimestamp, Sequence, an_instant};
use crate::tone::{Sine, high_band_peak, level_at};

const TONE_HZ: f32 = 440.0;

#[test]
fn one_voice_alone_reaches_the_ear_octet_for_octet() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let mut speaker = Speaker::new(codec, 20);
        let mut mix = Mix::new(codec);
        mix.take_over(1, &speaker.mouth, 200);
        let mut out = [0; MAX_PAYLOAD];
        for n in 0..200u32 {
            // Every octet there is but mu-law's second zero, which says the same as the first.
            let payload: Vec<u8> = (0..160)
                .map(|k| (n * 7 + k) as u8)
                .map(|octet| if octet == 0x7f { 0xff } else { octet })
                .collect();
            let said = speaker.say_payload(n, &payload).expect("in order");
            let length = mix.packet(Some((1, said)), 20, |_| Some(&speaker.mouth), &mut out);
            assert_eq!(out[..length], payload[..], "{codec:?}, packet {n}");
        }
    }
}

#[test]
fn a_late_ear_falls_behind_by_what_was_missing_and_catches_up_within_two_seconds() {
    for codec in Codec::ALL {
        let mut ear = Ear::new(codec, 20, 20);
        ear.run(100, |n| n * 20 + 1);
        assert_eq!(ear.behind_ms(), 0, "{codec:?}: an even stream needs no delay");
        // Three packets come 50 ms late, together.
        ear.run(103, |n| if (100..103).contains(&n) { 2060 + 1 } else { n * 20 + 1 });
        ear.run(110, |n| n * 20 + 1);
        assert!((20..=60).contains(&ear.behind_ms()), "{codec:?}: {} ms", ear.behind_ms());
        ear.run(210, |n| n * 20 + 1);
        assert_eq!(ear.behind_ms(), 0, "{codec:?}: what is not needed is given back");
        let rate = codec.sample_rate();
        let caught_up = &ear.heard[115 * rate.samples_per_tick()..];
        let clicks = high_band_peak(caught_up, rate, rate.samples_per_tick());
        assert!(clicks < -45.0, "{codec:?}: {clicks}");
    }
}

#[test]
fn steady_jitter_is_held_back_for_and_then_nothing_is_made_up() {
    let mut ear = Ear::new(Codec::Pcma, 20, 20);
    let late = |n: u32| n * 20 + (n.wrapping_mul(2_654_435_761) >> 20) % 30;
    ear.run(500, late);
    let made_up = ear.tap.concealed_samples();
    ear.run(3000, late);
    let more = (ear.tap.concealed_samples() - made_up) / 160;
    assert!(more <= 50, "{more} frames of 2500 made up");
    assert!(ear.behind_ms() <= 60, "{} ms", ear.behind_ms());
}

#[test]
fn clocks_that_differ_by_200_ppm_cost_a_seam_now_and_then_and_no_delay() {
    for ppm in [-200i64, 200] {
        let mut ear = Ear::new(Codec::Pcma, 20, 20);
        // Ten minutes.
        ear.run(30_000, |n| (i64::from(n) * (20_000_000 + 20 * ppm) / 1_000_000) as u32 + 10);
        assert!(ear.behind_ms() <= 40, "{ppm}: {} ms", ear.behind_ms());
        let frames = ear.tap.concealed_samples() / 160;
        assert!(frames <= 16, "{ppm}: {frames} frames of 30000 made up");
    }
}

#[test]
fn packets_of_any_length_are_heard_whole_by_ears_of_any_other() {
    for theirs in [10, 20, 30, 40, 60] {
        for ours in [10, 20, 30, 40, 60] {
            let mut ear = Ear::new(Codec::Pcmu, theirs, ours);
            ear.run(3000 / ours, |n| n * theirs + 3);
            let steady = &ear.heard[1200 * 8..];
            let level = level_at(steady, SampleRate::Hz8000, TONE_HZ);
            assert!((level + 20.0).abs() < 0.3, "{theirs} to {ours} ms: {level}");
            let made_up = ear.tap.concealed_samples() / 8;
            assert!(made_up <= 120, "{theirs} to {ours} ms: {made_up} ms made up in three seconds");
        }
    }
}

#[test]
fn a_lost_packet_and_a_pause_leave_no_click() {
    for codec in Codec::ALL {
        let mut ear = Ear::new(codec, 20, 20);
        // Behind by a frame, so that a hole is seen before it is reached; then nothing for good.
        ear.run(300, |n| if n % 50 == 49 { u32::MAX } else { n * 20 + 1 });
        ear.run(330, |_| u32::MAX);
        let rate = codec.sample_rate();
        let clicks = high_band_peak(&ear.heard[rate.samples_in_ms(100)..], rate, rate.samples_per_tick());
        assert!(clicks < -42.0, "{codec:?}: {clicks}");
        assert_eq!(level_dbfs(&ear.heard[310 * rate.samples_per_tick()..]), crate::frame::SILENCE_DBFS);
    }
}

#[test]
fn a_packet_out_of_order_still_finds_its_place() {
    let mut speaker = Speaker::new(Codec::Pcma, 20);
    for n in [0, 1, 2, 4, 3, 5, 6] {
        let said = speaker.say(n);
        assert_eq!(said.is_none(), n == 3);
    }
    assert_eq!(speaker.mouth.filled_ms(), 0, "nothing of what was made up is left");
    let mut whole = vec![0; 7 * 160];
    speaker.mouth.read(0, &mut whole);
    let level = level_at(&whole, SampleRate::Hz8000, TONE_HZ);
    assert!((level + 20.0).abs() < 0.3, "{level}");
    assert!(high_band_peak(&whole[80..], SampleRate::Hz8000, 160) < -45.0);
}

#[test]
fn a_sender_that_pauses_sounds_as_loud_as_it_says_its_silence_is() {
    let mut ear = Ear::new(Codec::Pcmu, 20, 20);
    ear.run(51, |n| if n < 50 { n * 20 } else { u32::MAX });
    let header = ear.speaker.header(50);
    ear.speaker.mouth.rest(&header, &[50]);
    ear.run(150, |_| u32::MAX);
    let level = level_dbfs(&ear.heard[60 * 160..]);
    assert!((level + 50.0).abs() < 1.0, "{level}");
    ear.run(200, |n| if n < 151 { u32::MAX } else { n * 20 });
    let level = level_at(&ear.heard[160 * 160..], SampleRate::Hz8000, TONE_HZ);
    assert!((level + 20.0).abs() < 0.3, "{level}");
}

#[test]
fn a_mouth_that_goes_is_heard_out() {
    let mut speaker = Speaker::new(Codec::Pcma, 20);
    let mut mix = Mix::new(Codec::Pcma);
    speaker.say(0);
    mix.take_over(1, &speaker.mouth, 200);
    let mut out = [0; MAX_PAYLOAD];
    let mut payloads = Vec::new();
    for n in 1..30 {
        let said = speaker.say(n).expect("in order");
        let length = mix.packet(Some((1, said)), 20, |_| Some(&speaker.mouth), &mut out);
        payloads.extend_from_slice(&out[..length]);
    }
    mix.drop_mouth(1, Some(&speaker.mouth));
    assert!(!mix.is_settled(), "its last sound is to be heard yet");
    for _ in 0..5 {
        let length = mix.packet(None, 20, |_| None, &mut out);
        payloads.extend_from_slice(&out[..length]);
    }
    assert!(mix.is_settled());
    let mut pcm = vec![0; payloads.len()];
    crate::codec::Decoder::new(Codec::Pcma).decode(&payloads, &mut pcm);
    let gone = high_band_peak(&pcm[20 * 160..], SampleRate::Hz8000, 160);
    pcm[29 * 160 + 4..].fill(0);
    let cut = high_band_peak(&pcm[20 * 160..], SampleRate::Hz8000, 160);
    assert!(gone < cut - 10.0, "heard out {gone}, cut {cut}");
}

#[test]
fn a_switch_clicks_forty_decibels_less_than_a_hard_cut() {
    // In linear PCM: G.711 would round both, and its noise hide the switch. Low tones, because what the
    // filter of the measurement lets through of a higher one lies above the switch, too.
    for codec in Codec::ALL {
        let rate = codec.sample_rate();
        let frame = rate.samples_per_tick();
        for (main_hz, other_hz) in [(440.0, 330.0), (310.0, 400.0), (250.0, 350.0)] {
            let mut humming = Humming::new(codec, main_hz, other_hz);
            humming.run(20);
            humming.mix.hear(2, || Tap::fading_in(&humming.other, 200));
            humming.run(20);
            humming.mix.only(&[1]);
            humming.run(20);
            let soft = high_band_peak(&humming.heard[10 * frame..], rate, frame);
            // The same two voices, the second there from one sample to the next and gone again.
            let hard = cut_hard(rate, main_hz, other_hz);
            assert!(soft <= hard - 40.0, "{codec:?}, {main_hz} and {other_hz} Hz: {soft} dBFS, cut {hard}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_arrives_an_ear_never_falls_farther_behind_than_it_may(
        codec in prop::sample::select(Codec::ALL.to_vec()),
        behind_ms in 0u32..400,
        ours in prop::sample::select(vec![10u32, 20, 30, 60]),
        packets in prop::collection::vec((any::<u16>(), any::<u32>(), 0usize..=MAX_PAYLOAD, 0u32..4, any::<bool>()), 1..300),
    ) {
        let mut speaker = Speaker::new(codec, 20);
        let mut tap = Tap::fading_in(&speaker.mouth, behind_ms);
        let mut out = vec![0; codec.sample_rate().samples_in_ms(ours)];
        let mut n = 0u32;
        for (jump, timestamp, length, reads, wild) in packets {
            n = n.wrapping_add(if wild { u32::from(jump) } else { 1 });
            let timestamp = if wild { timestamp } else { n.wrapping_mul(codec.rtp_clock() / 50) };
            let header = header(n as u16, timestamp);
            speaker.mouth.hear(speaker.now, &header, &vec![jump as u8; length]);
            for _ in 0..reads {
                tap.read(&speaker.mouth, &mut out);
                let unread_ms = tap.unread(&speaker.mouth) * 1000 / codec.sample_rate().hz() as usize;
                prop_assert!(unread_ms <= behind_ms.min(BEHIND_MS_MAX).max(ours) as usize);
            }
        }
    }
}

/// Somebody who hums.
struct Speaker {
    mouth: Mouth,
    encoder: Encoder,
    tone: Sine,
    ptime: Ptime,
    now: Instant,
}

impl Speaker {
    fn new(codec: Codec, ms: u32) -> Speaker {
        Speaker {
            mouth: Mouth::new(codec),
            encoder: Encoder::new(codec),
            tone: Sine::new(codec.sample_rate(), TONE_HZ, -20.0),
            ptime: Ptime::from_ms(ms).expect("a packet time"),
            now: an_instant(),
        }
    }

    fn header(&self, n: u32) -> Header {
        header(n as u16, n.wrapping_mul(self.encoder.codec().rtp_units(self.ptime)))
    }

    /// The next of the hum, unless an earlier number is asked for: then what belongs there.
    fn say(&mut self, n: u32) -> Option<Said> {
        let payload = self.payload(n);
        self.say_payload(n, &payload)
    }

    fn payload(&mut self, n: u32) -> Vec<u8> {
        let codec = self.encoder.codec();
        let mut pcm = vec![0; codec.sample_rate().samples_in_ms(self.ptime.ms())];
        if !codec.is_memoryless() {
            self.tone.fill(&mut pcm);
        } else {
            // Stateless: the hum at this place, whatever was said before.
            let mut tone = Sine::new(codec.sample_rate(), TONE_HZ, -20.0);
            (0..=n).for_each(|_| tone.fill(&mut pcm));
        }
        let mut payload = vec![0; codec.payload_bytes(self.ptime)];
        let length = self.encoder.encode(&pcm, &mut payload);
        payload.truncate(length);
        payload
    }

    fn say_payload(&mut self, n: u32, payload: &[u8]) -> Option<Said> {
        let header = self.header(n);
        self.mouth.hear(self.now, &header, payload)
    }
}

/// One ear that reads at its own pace.
struct Ear {
    speaker: Speaker,
    tap: Tap,
    heard: Vec<i16>,
    payloads: Vec<Vec<u8>>,
    on_the_way: Vec<(u32, u32)>,
    planned: u32,
    reads: u32,
    ptime_ms: u32,
}

impl Ear {
    fn new(codec: Codec, theirs_ms: u32, ours_ms: u32) -> Ear {
        let speaker = Speaker::new(codec, theirs_ms);
        let tap = Tap::fading_in(&speaker.mouth, 200);
        Ear {
            speaker,
            tap,
            heard: Vec::new(),
            payloads: Vec::new(),
            on_the_way: Vec::new(),
            planned: 0,
            reads: 0,
            ptime_ms: ours_ms,
        }
    }

    /// Reads up to number `reads`. Packet `n` of the speaker arrives at `arrives(n)` milliseconds;
    /// read `k` is at `k` times the ear's packet time.
    fn run(&mut self, reads: u32, arrives: impl Fn(u32) -> u32) {
        let rate = self.speaker.mouth.rate();
        let mut out = vec![0; rate.samples_in_ms(self.ptime_ms)];
        while self.reads < reads {
            let ms = self.reads * self.ptime_ms;
            while self.planned * self.speaker.ptime.ms() <= ms {
                self.on_the_way.push((arrives(self.planned), self.planned));
                self.planned += 1;
            }
            self.on_the_way.sort();
            let here = self.on_the_way.partition_point(|(at, _)| *at <= ms);
            for (_, n) in self.on_the_way.drain(..here).collect::<Vec<_>>() {
                while self.payloads.len() <= n as usize {
                    let codec = self.speaker.encoder.codec();
                    let mut pcm = vec![0; codec.sample_rate().samples_in_ms(self.speaker.ptime.ms())];
                    self.speaker.tone.fill(&mut pcm);
                    let mut payload = vec![0; codec.payload_bytes(self.speaker.ptime)];
                    let length = self.speaker.encoder.encode(&pcm, &mut payload);
                    payload.truncate(length);
                    self.payloads.push(payload);
                }
                let payload = std::mem::take(&mut self.payloads[n as usize]);
                self.speaker.say_payload(n, &payload);
            }
            self.tap.read(&self.speaker.mouth, &mut out);
            self.heard.extend_from_slice(&out);
            self.reads += 1;
        }
    }

    fn behind_ms(&self) -> usize {
        self.tap.unread(&self.speaker.mouth) * 1000 / self.speaker.mouth.rate().hz() as usize
    }
}

fn header(sequence: u16, timestamp: u32) -> Header {
    let mut octets = [0; HEADER_BYTES];
    let (sequence, timestamp) = (Sequence(sequence), RtpTimestamp(timestamp));
    write_header(&mut octets, Line { marker: false, payload_type: 0, sequence, timestamp, ssrc: 1 });
    Header::parse(&octets).expect("a header")
}

/// The high band of two tones summed, the second cut in and out where it is loudest.
fn cut_hard(rate: SampleRate, main_hz: f32, other_hz: f32) -> f32 {
    let frame = rate.samples_per_tick();
    let (mut main, mut other) = (vec![0; 60 * frame], vec![0; 60 * frame]);
    Sine::new(rate, main_hz, -20.0).fill(&mut main);
    Sine::new(rate, other_hz, -20.0).fill(&mut other);
    let loudest = |from: usize| {
        (from..from + frame).max_by_key(|at| other[*at].unsigned_abs()).expect("a frame has samples")
    };
    let (first, last) = (loudest(20 * frame), loudest(40 * frame));
    main[first..last].iter_mut().zip(&other[first..last]).for_each(|(sum, sample)| *sum += sample);
    high_band_peak(&main[10 * frame..], rate, frame)
}

/// Two voices whose histories are written in linear PCM, and an ear clocked by the first.
struct Humming {
    mix: Mix,
    main: Mouth,
    other: Mouth,
    tones: [Sine; 2],
    heard: Vec<i16>,
}

impl Humming {
    fn new(codec: Codec, main_hz: f32, other_hz: f32) -> Humming {
        let (main, other) = (Mouth::new(codec), Mouth::new(codec));
        let mut mix = Mix::new(codec);
        mix.take_over(1, &main, 200);
        let tones = [main_hz, other_hz].map(|hz| Sine::new(codec.sample_rate(), hz, -20.0));
        Humming { mix, main, other, tones, heard: Vec::new() }
    }

    fn run(&mut self, frames: usize) {
        let mut pcm = [0; crate::codec::MAX_PACKET_SAMPLES];
        let samples = self.main.rate().samples_per_tick();
        for _ in 0..frames {
            self.tones[1].fill(&mut pcm[..samples]);
            self.other.write(&pcm[..samples]);
            self.tones[0].fill(&mut pcm[..samples]);
            let said = Said { start: self.main.written(), samples };
            self.main.write(&pcm[..samples]);
            let mouth = |who| Some(if who == 1 { &self.main } else { &self.other });
            let summed = self.mix.mixed(Some((1, said)), 20, &mouth, &mut pcm);
            self.heard.extend_from_slice(&pcm[..summed]);
            self.mix.is_settled();
        }
    }
}
