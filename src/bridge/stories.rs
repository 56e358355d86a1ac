//! What parties hear, told through a [`Room`] in virtual time: each hums its own tone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sidetone_media::codec::{Codec, Decoder, Encoder};
use sidetone_media::frame::SampleRate;
use sidetone_media::stream::rtp::{HEADER_BYTES, Header, Line, write_header};
use sidetone_media::time::{RtpTimestamp, Sequence};
use sidetone_media::tone::{RingbackTone, Sine, level_at};

use crate::call::door::AgreedMedia;
use crate::call::hearing::hearing;
use crate::call::{CallId, Coaching, Hold, LegId, Presence, Role, Seat};

use super::room::{Entering, House, Room, Wire};
use super::{BridgeEvent, Music, PlanKind};

const CUSTOMER: usize = 0;
const AGENT: usize = 1;
const BOSS: usize = 2;
const EVENT_TYPE: u8 = 101;
const TONES_HZ: [f32; 3] = [400.0, 700.0, 1100.0];

#[test]
fn the_customers_packets_are_the_agents_whether_or_not_somebody_whispers() {
    let mut stage = Stage::new([sbc_config::Codec::Pcma; 3]);
    stage.run(3); // a stream counts from its second packet (RFC 3550 appendix A.1)
    for coaching in [None, Some(Coaching::Monitor), Some(Coaching::Whisper), None] {
        stage.coach(coaching);
        let (said, heard) = (stage.said[AGENT].len(), stage.heard[CUSTOMER].len());
        stage.run(25);
        let said: Vec<_> = stage.said[AGENT][said..].to_vec();
        let heard: Vec<_> = stage.heard[CUSTOMER][heard..].iter().map(|p| p.payload.clone()).collect();
        assert!(said == heard, "{coaching:?}: {} said, {} heard", said.len(), heard.len());
        assert_eq!(stage.plan(CUSTOMER), PlanKind::Relay);
    }
}

#[test]
fn a_whisper_is_heard_by_the_agent_alone_and_at_once() {
    let mut stage = Stage::new([sbc_config::Codec::Pcma; 3]);
    stage.coach(Some(Coaching::Monitor));
    stage.run(20);
    assert!(stage.level(AGENT, BOSS, 10) < -60.0);
    stage.coach(Some(Coaching::Whisper));
    stage.run(2);
    assert!(stage.level(AGENT, BOSS, 1) > -30.0, "within 40 ms");
    stage.run(20);
    assert!(stage.level(AGENT, CUSTOMER, 10) > -25.0);
    assert!(stage.level(AGENT, BOSS, 10) > -25.0);
    assert!(stage.level(BOSS, CUSTOMER, 10) > -25.0 && stage.level(BOSS, AGENT, 10) > -25.0);
    assert!(stage.level(CUSTOMER, BOSS, 10) < -60.0);
    stage.coach(None);
    stage.run(20);
    assert!(stage.level(AGENT, BOSS, 10) < -60.0);
    assert_eq!(stage.plan(AGENT), PlanKind::Relay, "once the whisper has faded");
}

#[test]
fn every_line_stays_whole_from_relay_to_mix_to_music_and_back() {
    let mut stage = Stage::new([sbc_config::Codec::Pcmu; 3]);
    for coaching in [None, Some(Coaching::Whisper), Some(Coaching::Barge), Some(Coaching::Monitor), None] {
        stage.coach(coaching);
        stage.run(15);
    }
    stage.seats[CUSTOMER].hold = Hold::Held;
    stage.apply();
    stage.run(15);
    assert_eq!(stage.plan(CUSTOMER), PlanKind::Music);
    stage.seats[CUSTOMER].hold = Hold::None;
    stage.apply();
    stage.run(15);
    assert_eq!(stage.plan(CUSTOMER), PlanKind::Relay);
    for ear in [CUSTOMER, AGENT] {
        for pair in stage.heard[ear].windows(2) {
            let (before, after) = (&pair[0].header, &pair[1].header);
            assert_eq!(after.ssrc, before.ssrc);
            assert_eq!(after.sequence, before.sequence.next());
            let step = after.timestamp.distance_from(before.timestamp);
            let table = pair[1].table;
            assert!((160..=480).contains(&step), "leg {ear}, table {table}: time stepped by {step}");
        }
    }
}

#[test]
fn a_joining_whisper_clicks_less_than_a_hard_cut() {
    let mut stage = Stage::new([sbc_config::Codec::Pcma; 3]);
    stage.silence(CUSTOMER);
    stage.coach(Some(Coaching::Monitor));
    stage.run(30);
    let from = stage.heard[AGENT].len();
    stage.coach(Some(Coaching::Whisper));
    stage.run(4);
    let ramped = above_1500_hz(&stage.pcm(AGENT, from - 1));
    let mut cut: Vec<i16> = vec![0; 320];
    let mut tone = vec![0; 320];
    Sine::new(SampleRate::Hz8000, TONES_HZ[BOSS], -18.0).fill(&mut tone);
    cut.extend_from_slice(&tone[2..]); // at its steepest
    let hard = above_1500_hz(&cut);
    assert!(ramped < hard - 10.0, "ramped {ramped:.1} dB, hard {hard:.1} dB");
}

#[test]
fn when_the_main_mouth_falls_silent_the_whisper_goes_on() {
    let mut stage = Stage::new([sbc_config::Codec::Pcma; 3]);
    stage.coach(Some(Coaching::Whisper));
    stage.run(20);
    stage.stopped[CUSTOMER] = true;
    stage.run(10);
    let before = stage.heard[AGENT].len();
    stage.run(50);
    let packets = stage.heard[AGENT].len() - before;
    assert!((49..=51).contains(&packets), "{packets} packets in a second");
    assert!(stage.level(AGENT, BOSS, 20) > -25.0);
    stage.stopped[CUSTOMER] = false;
    stage.run(10);
    let before = stage.heard[AGENT].len();
    stage.run(50);
    let packets = stage.heard[AGENT].len() - before;
    assert!((49..=51).contains(&packets), "handed back: {packets} packets in a second");
    assert!(stage.level(AGENT, CUSTOMER, 20) > -25.0);
}

#[test]
fn parties_of_different_codecs_hear_each_other() {
    use sbc_config::Codec::{G722, Pcma, Pcmu};
    for codecs in [[Pcmu, Pcma, G722], [G722, Pcmu, Pcma], [Pcma, G722, Pcmu]] {
        let mut stage = Stage::new(codecs);
        stage.coach(Some(Coaching::Barge));
        stage.run(60);
        for ear in [CUSTOMER, AGENT, BOSS] {
            for mouth in [CUSTOMER, AGENT, BOSS] {
                let level = stage.level(ear, mouth, 20);
                assert_eq!(level > -25.0, ear != mouth, "{codecs:?}: {ear} hears {mouth} at {level}");
            }
        }
    }
}

#[test]
fn a_stranger_who_sprays_every_port_is_neither_heard_nor_answered() {
    let mut stage = Stage::new([sbc_config::Codec::Pcma; 3]);
    stage.coach(Some(Coaching::Barge));
    stage.run(10);
    let stranger: SocketAddr = "203.0.113.66:9".parse().expect("an address");
    for step in 0..50 {
        for slot in 0..3 {
            let mut packet = packet(8, step, u32::from(step) * 160, 0xbad, &[0x2a; 160]);
            stage.arrive(slot, &mut packet, stranger);
        }
        stage.run(1);
    }
    assert!(stage.strayed.is_empty(), "sent to {:?}", stage.strayed);
    let clean = {
        let mut quiet = Stage::new([sbc_config::Codec::Pcma; 3]);
        quiet.coach(Some(Coaching::Barge));
        quiet.run(60);
        quiet.heard[CUSTOMER].iter().map(|p| p.payload.clone()).collect::<Vec<_>>()
    };
    let sprayed: Vec<_> = stage.heard[CUSTOMER].iter().map(|p| p.payload.clone()).collect();
    assert_eq!(clean, sprayed, "every octet as if the stranger were not there");
}

#[test]
fn a_digit_is_passed_on_and_told_of_once_however_its_packets_fare() {
    let mut stage = Stage::new([sbc_config::Codec::Pcma; 3]);
    stage.run(5);
    let timestamp = stage.timestamp[CUSTOMER];
    let mut last = Vec::new();
    for (count, (end, duration)) in
        [(0, 160), (0, 320), (0x80, 480), (0x80, 480), (0x80, 480)].into_iter().enumerate()
    {
        let payload = [5, end | 10, (duration >> 8) as u8, duration as u8];
        let mut octets = packet(EVENT_TYPE, stage.sequence[CUSTOMER], timestamp, 1, &payload);
        stage.sequence[CUSTOMER] = stage.sequence[CUSTOMER].wrapping_add(1);
        last = octets.clone();
        if count != 1 {
            stage.arrive(CUSTOMER, &mut octets, address(CUSTOMER));
        }
    }
    stage.arrive(CUSTOMER, &mut last, address(CUSTOMER));
    assert_eq!(stage.digits, ['5']);
    let passed: Vec<_> = stage.heard[AGENT].iter().filter(|p| p.header.payload_type == EVENT_TYPE).collect();
    assert_eq!(passed.len(), 4, "three ends, one start; the lost one stays lost, the copy is not passed on");
    assert!(passed.windows(2).all(|pair| pair[0].header.timestamp == pair[1].header.timestamp));
}

struct Stage {
    now: Instant,
    house: House,
    room: Room,
    seats: Vec<Seat>,
    generation: u64,
    codecs: [sbc_config::Codec; 3],
    encoders: Vec<Encoder>,
    tones: Vec<Option<Sine>>,
    sequence: [u16; 3],
    timestamp: [u32; 3],
    stopped: [bool; 3],
    said: [Vec<Vec<u8>>; 3],
    heard: [Vec<Packet>; 3],
    strayed: Vec<SocketAddr>,
    digits: Vec<char>,
}

struct Packet {
    /// The generation of the table in force.
    table: u64,
    header: Header,
    payload: Vec<u8>,
}

#[derive(Default)]
struct Sent(Vec<(usize, SocketAddr, Vec<u8>)>);

impl Wire for Sent {
    fn rtp(&mut self, slot: usize, to: SocketAddr, octets: &[u8]) {
        self.0.push((slot, to, octets.to_vec()));
    }

    fn locked(&mut self, _slot: usize, _to: Option<SocketAddr>) {}
}

impl Stage {
    /// A customer and an agent who talk, and a supervisor who is there and has no part yet.
    fn new(codecs: [sbc_config::Codec; 3]) -> Stage {
        let now = Instant::now();
        let house = House {
            media_timeout: Duration::from_secs(30),
            behind_ms_max: 200,
            ringback: RingbackTone::Us,
            music: Music::BuiltIn,
        };
        let mut stage = Stage {
            now,
            house,
            room: Room::new(CallId(1)),
            seats: [Role::Customer, Role::Agent, Role::Unassigned]
                .into_iter()
                .enumerate()
                .map(seat)
                .collect(),
            generation: 0,
            codecs,
            encoders: codecs.map(|codec| Encoder::new(media_codec(codec))).into(),
            tones: TONES_HZ
                .iter()
                .zip(codecs)
                .map(|(hz, codec)| Some(Sine::new(media_codec(codec).sample_rate(), *hz, -18.0)))
                .collect(),
            sequence: [10, 20, 30],
            timestamp: [1_000, 2_000, 3_000],
            stopped: [false; 3],
            said: Default::default(),
            heard: Default::default(),
            strayed: Vec::new(),
            digits: Vec::new(),
        };
        for (slot, codec) in codecs.into_iter().enumerate() {
            let leg = Entering {
                id: LegId(slot as u64 + 1),
                ssrc: 0xa000 + slot as u32,
                first_sequence: 65_530,
                first_timestamp: u32::MAX - 500,
            };
            assert_eq!(stage.room.enter(now, leg), slot);
            let mut wire = Sent::default();
            let agreed = agreed(slot, codec);
            stage.room.agree(now, slot, agreed, false, &stage.house, &mut wire);
        }
        stage.apply();
        stage
    }

    fn coach(&mut self, coaching: Option<Coaching>) {
        self.seats[BOSS].role = match coaching {
            Some(coaching) => Role::Supervisor { coaching, subject: LegId(AGENT as u64 + 1) },
            None => Role::Unassigned,
        };
        self.apply();
    }

    fn apply(&mut self) {
        self.generation += 1;
        self.room.set_hearing(self.now, self.generation, hearing(&self.seats), &self.house);
    }

    fn silence(&mut self, slot: usize) {
        self.tones[slot] = None;
    }

    /// `packets` times 20 ms; the parties speak 7 ms after each other.
    fn run(&mut self, packets: usize) {
        for _ in 0..packets {
            for ms in 0..20 {
                if ms % 7 == 0 {
                    self.speak(ms / 7);
                }
                let mut wire = Sent::default();
                if self.room.poll_timeout().is_some_and(|at| at <= self.now) {
                    self.room.handle_timeout(self.now, &self.house, &mut wire);
                }
                self.deliver(wire);
                self.now += Duration::from_millis(1);
            }
        }
    }

    fn speak(&mut self, slot: usize) {
        let codec = media_codec(self.codecs[slot]);
        let mut pcm = vec![0; codec.sample_rate().samples_in_ms(20)];
        if let Some(tone) = &mut self.tones[slot] {
            tone.fill(&mut pcm);
        }
        let mut payload = [0; 160];
        assert_eq!(self.encoders[slot].encode(&pcm, &mut payload), 160);
        let (sequence, timestamp) = (self.sequence[slot], self.timestamp[slot]);
        self.sequence[slot] = sequence.wrapping_add(1);
        self.timestamp[slot] = timestamp.wrapping_add(160);
        if self.stopped[slot] {
            return;
        }
        self.said[slot].push(payload.to_vec());
        let kind = codec.static_payload_type();
        let mut octets = packet(kind, sequence, timestamp, slot as u32 + 1, &payload);
        self.arrive(slot, &mut octets, address(slot));
    }

    fn arrive(&mut self, slot: usize, octets: &mut [u8], from: SocketAddr) {
        let mut wire = Sent::default();
        let mut events = Vec::new();
        self.room.rtp(self.now, slot, octets, from, &self.house, &mut wire, &mut events);
        for event in events {
            if let BridgeEvent::Digit { digit, .. } = event {
                self.digits.push(digit);
            }
        }
        self.deliver(wire);
    }

    fn deliver(&mut self, wire: Sent) {
        for (slot, to, octets) in wire.0 {
            if to != address(slot) {
                self.strayed.push(to);
            }
            let header = Header::parse(&octets).expect("we send what can be read");
            let payload = header.payload(&octets).to_vec();
            self.heard[slot].push(Packet { table: self.generation, header, payload });
        }
    }

    fn plan(&self, slot: usize) -> PlanKind {
        let id = LegId(slot as u64 + 1);
        self.room.report().ears.into_iter().find(|ear| ear.leg == id).expect("the leg has an ear").plan
    }

    /// What an ear has heard since its packet `from`.
    fn pcm(&self, ear: usize, from: usize) -> Vec<i16> {
        let codec = media_codec(self.codecs[ear]);
        let mut decoder = Decoder::new(codec);
        let mut heard = Vec::new();
        for (at, packet) in self.heard[ear].iter().enumerate() {
            let mut pcm = [0; 320];
            let samples = decoder.decode(&packet.payload, &mut pcm);
            if at >= from {
                heard.extend_from_slice(&pcm[..samples]);
            }
        }
        heard
    }

    /// How loud `mouth` was at `ear` over its last `packets`, in dB under full scale.
    fn level(&self, ear: usize, mouth: usize, packets: usize) -> f32 {
        let pcm = self.pcm(ear, self.heard[ear].len() - packets);
        level_at(&pcm, media_codec(self.codecs[ear]).sample_rate(), TONES_HZ[mouth])
    }
}

fn seat((slot, role): (usize, Role)) -> Seat {
    let leg = LegId(slot as u64 + 1);
    Seat { leg, role, presence: Presence::Talking, hold: Hold::None, muted: false }
}

fn agreed(slot: usize, codec: sbc_config::Codec) -> AgreedMedia {
    let payload_type = media_codec(codec).static_payload_type();
    AgreedMedia {
        codec,
        send_payload_type: payload_type,
        receive_payload_type: payload_type,
        telephone_event: Some((EVENT_TYPE, EVENT_TYPE)),
        comfort_noise: false,
        ptime_ms: 20,
        remote_rtp: Some(address(slot)),
        remote_rtcp: None,
        rtcp_mux: false,
        sends: true,
        receives: true,
        nat_host: None,
    }
}

fn address(slot: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, slot as u8 + 1], 4000))
}

fn media_codec(codec: sbc_config::Codec) -> Codec {
    match codec {
        sbc_config::Codec::Pcmu => Codec::Pcmu,
        sbc_config::Codec::Pcma => Codec::Pcma,
        sbc_config::Codec::G722 => Codec::G722,
    }
}

fn packet(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![0; HEADER_BYTES + payload.len()];
    octets[HEADER_BYTES..].copy_from_slice(payload);
    let line = Line {
        marker: false,
        payload_type,
        sequence: Sequence(sequence),
        timestamp: RtpTimestamp(timestamp),
        ssrc,
    };
    write_header(octets.first_chunk_mut().expect("a header's room"), line);
    octets
}

/// Power above 1.5 kHz of 8 kHz samples, in dB: what a click adds to a low tone. A windowed-sinc
/// high-pass of 129 taps, so that the tone itself lies 70 dB down.
fn above_1500_hz(pcm: &[i16]) -> f64 {
    const TAPS: i32 = 129;
    let cutoff = 1500.0 / 8000.0;
    let taps: Vec<f64> = (0..TAPS)
        .map(|n| {
            let x = f64::from(n - TAPS / 2);
            let turn = std::f64::consts::TAU * f64::from(n) / f64::from(TAPS - 1);
            let window = 0.42 - 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos();
            let low = if x == 0.0 {
                2.0 * cutoff
            } else {
                (std::f64::consts::TAU * cutoff * x).sin() / (std::f64::consts::PI * x)
            };
            window * (if x == 0.0 { 1.0 } else { 0.0 } - low)
        })
        .collect();
    let power: f64 = pcm
        .windows(taps.len())
        .map(|part| part.iter().zip(&taps).map(|(s, t)| f64::from(*s) * t).sum::<f64>().powi(2))
        .sum();
    10.0 * power.max(1e-9).log10()
}
