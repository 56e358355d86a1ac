//! A customer, an agent and a supervisor who hum, in a room whose time is moved by hand.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sidetone_media::codec::opus::{Tuning, Wishes};
use sidetone_media::codec::{Codec, Decoder, Encoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD};
use sidetone_media::frame::SampleRate;
use sidetone_media::stream::rtp::{HEADER_BYTES, Header, Line, write_header};
use sidetone_media::time::{RtpTimestamp, Sequence};
use sidetone_media::tone::{RingbackTone, Sine, high_band_peak, level_at};

use super::{AGENT, BOSS, CUSTOMER, EVENT_TYPE, TONES_HZ, srtp};
use crate::bridge::room::{Entering, House, Room, Wire};
use crate::bridge::{BridgeEvent, Music, PlanKind};
use crate::call::door::AgreedMedia;
use crate::call::hearing::hearing;
use crate::call::{CallId, Coaching, Hold, LegId, Presence, Role, Seat};

pub(super) struct Stage {
    pub(super) now: Instant,
    ms: u32,
    pub(super) house: House,
    pub(super) room: Room,
    pub(super) seats: Vec<Seat>,
    generation: u64,
    pub(super) codecs: [Codec; 3],
    pub(super) encoders: Vec<Encoder>,
    pub(super) tones: Vec<Option<Sine>>,
    pub(super) ssrc: [u32; 3],
    pub(super) ptime_ms: [u32; 3],
    /// When in its packet time each speaks, and how much later its packets may be, at random.
    pub(super) phase_ms: [u32; 3],
    pub(super) jitter_ms: [u32; 3],
    pub(super) sequence: [u16; 3],
    pub(super) timestamp: [u32; 3],
    /// The next packet of this one, the customer unless it is said, is lost.
    pub(super) lose: bool,
    pub(super) loser: usize,
    /// Whose next packet is kept to come later.
    pub(super) keeps: Option<usize>,
    pub(super) kept: Option<(usize, Vec<u8>)>,
    pub(super) stopped: [bool; 3],
    pub(super) said: [Vec<Vec<u8>>; 3],
    pub(super) heard: [Vec<Packet>; 3],
    /// The far end's SRTP, of those who have it.
    pub(super) far: [Option<srtp::Far>; 3],
    pub(super) strayed: Vec<SocketAddr>,
    pub(super) digits: Vec<char>,
}

pub(super) struct Packet {
    pub(super) at: Instant,
    /// The generation of the table in force.
    pub(super) table: u64,
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Sent(pub(super) Vec<(usize, SocketAddr, Vec<u8>)>);

impl Wire for Sent {
    fn rtp(&mut self, slot: usize, to: SocketAddr, octets: &[u8]) {
        self.0.push((slot, to, octets.to_vec()));
    }

    fn locked(&mut self, _slot: usize, _to: Option<SocketAddr>) {}
}

impl Stage {
    /// A customer and an agent who talk, and a supervisor who is there and has no part yet.
    pub(super) fn new(codecs: [Codec; 3]) -> Stage {
        let now = Instant::now();
        let house = House {
            media_timeout: Duration::from_secs(30),
            media_warn: Duration::from_secs(10),
            behind_ms_max: 200,
            ringback: RingbackTone::Us,
            music: Music::BuiltIn,
            opus: Tuning::DEFAULT,
        };
        let mut stage = Stage {
            now,
            ms: 0,
            house,
            room: Room::new(CallId(1)),
            seats: [Role::Customer, Role::Agent, Role::Unassigned]
                .into_iter()
                .enumerate()
                .map(seat)
                .collect(),
            generation: 0,
            codecs,
            encoders: codecs.map(Encoder::new).into(),
            tones: TONES_HZ
                .iter()
                .zip(codecs)
                .map(|(hz, codec)| Some(Sine::new(codec.sample_rate(), *hz, -18.0)))
                .collect(),
            ssrc: [1, 2, 3],
            ptime_ms: [20; 3],
            phase_ms: [0, 7, 14],
            jitter_ms: [0; 3],
            lose: false,
            loser: CUSTOMER,
            keeps: None,
            kept: None,
            sequence: [10, 20, 30],
            timestamp: [1_000, 2_000, 3_000],
            stopped: [false; 3],
            said: Default::default(),
            heard: Default::default(),
            strayed: Vec::new(),
            far: Default::default(),
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
            stage.room.answered(now, slot);
        }
        stage.apply();
        stage
    }

    pub(super) fn coach(&mut self, coaching: Option<Coaching>) {
        self.seats[BOSS].role = match coaching {
            Some(coaching) => Role::Supervisor { coaching, subject: LegId(AGENT as u64 + 1) },
            None => Role::Unassigned,
        };
        self.apply();
    }

    pub(super) fn apply(&mut self) {
        self.generation += 1;
        self.room.set_hearing(self.now, self.generation, hearing(&self.seats), &self.house);
    }

    pub(super) fn silence(&mut self, slot: usize) {
        self.tones[slot] = None;
    }

    pub(super) fn hold(&mut self, slot: usize, hold: Hold) {
        self.seats[slot].hold = hold;
        self.apply();
    }

    /// `packets` times 20 ms; the parties speak 7 ms after each other.
    pub(super) fn run(&mut self, packets: usize) {
        (0..20 * packets).for_each(|_| self.step());
    }

    /// A millisecond.
    pub(super) fn step(&mut self) {
        let ms = self.ms;
        self.ms += 1;
        for slot in [CUSTOMER, AGENT, BOSS] {
            if self.speaks_at(slot, ms) {
                self.speak(slot);
            }
        }
        self.pass(Duration::from_millis(1));
    }

    fn speaks_at(&self, slot: usize, ms: u32) -> bool {
        let ptime = self.ptime_ms[slot];
        let Some(since) = ms.checked_sub(self.phase_ms[slot] % ptime) else { return false };
        let spread = (since / ptime + slot as u32).wrapping_mul(2_654_435_761) >> 16;
        since % ptime == spread % (self.jitter_ms[slot] + 1)
    }

    /// Time passes, with every timer at its time.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.room.poll_timeout().filter(|at| *at <= until) {
            let mut wire = Sent::default();
            self.now = self.now.max(at);
            self.room.handle_timeout(self.now, &self.house, &mut wire);
            self.deliver(wire);
        }
        self.now = until;
    }

    pub(super) fn speak(&mut self, slot: usize) {
        let codec = self.codecs[slot];
        let ptime_ms = self.ptime_ms[slot];
        let mut pcm = vec![0; codec.sample_rate().samples_in_ms(ptime_ms)];
        if let Some(tone) = &mut self.tones[slot] {
            tone.fill(&mut pcm);
        }
        let units = codec.rtp_clock() / 1000 * ptime_ms;
        let mut payload = vec![0; MAX_PAYLOAD];
        let length = self.encoders[slot].encode(&pcm, &mut payload);
        payload.truncate(length);
        let (sequence, timestamp) = (self.sequence[slot], self.timestamp[slot]);
        self.sequence[slot] = sequence.wrapping_add(1);
        self.timestamp[slot] = timestamp.wrapping_add(units);
        if self.stopped[slot] || (self.lose && slot == self.loser) {
            return;
        }
        self.said[slot].push(payload.clone());
        let kind = codec.payload_type();
        let mut octets = packet(kind, sequence, timestamp, self.ssrc[slot], &payload);
        if self.keeps == Some(slot) {
            self.kept = Some((slot, octets));
            return;
        }
        if let Some(far) = &mut self.far[slot] {
            octets = far.sealed(&octets);
        }
        self.arrive(slot, &mut octets, address(slot));
    }

    pub(super) fn arrive(&mut self, slot: usize, octets: &mut [u8], from: SocketAddr) {
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
        for (slot, to, mut octets) in wire.0 {
            if to != address(slot) {
                self.strayed.push(to);
            }
            if let Some(far) = &mut self.far[slot] {
                far.opens(&mut octets);
            }
            let header = Header::parse(&octets).expect("we send what can be read");
            let payload = header.payload(&octets).to_vec();
            self.heard[slot].push(Packet { at: self.now, table: self.generation, header, payload });
        }
    }

    pub(super) fn plan(&self, slot: usize) -> PlanKind {
        let id = LegId(slot as u64 + 1);
        self.room.report().ears.into_iter().find(|ear| ear.leg == id).expect("the leg has an ear").plan
    }

    /// Holds that the customer gets the agent's packets as they are, whatever the supervisor does that they must not notice.
    #[track_caller]
    pub(super) fn assert_the_customer_is_relayed_the_agent(&mut self) {
        for coaching in [None, Some(Coaching::Monitor), Some(Coaching::Whisper), None] {
            self.coach(coaching);
            let (said, heard) = (self.said[AGENT].len(), self.heard[CUSTOMER].len());
            self.run(25);
            let said: Vec<_> = self.said[AGENT][said..].to_vec();
            let heard: Vec<_> = self.heard[CUSTOMER][heard..].iter().map(|p| p.payload.clone()).collect();
            assert!(said == heard, "{coaching:?}: {} said, {} heard", said.len(), heard.len());
            assert_eq!(self.plan(CUSTOMER), PlanKind::Relay);
        }
    }

    /// What an ear has heard since its packet `from`.
    pub(super) fn pcm(&self, ear: usize, from: usize) -> Vec<i16> {
        let codec = self.codecs[ear];
        let mut decoder = Decoder::new(codec);
        let mut heard = Vec::new();
        for (at, packet) in self.heard[ear].iter().enumerate() {
            let mut pcm = [0; MAX_PACKET_SAMPLES];
            let samples = decoder.decode(&packet.payload, &mut pcm);
            if at >= from {
                heard.extend_from_slice(&pcm[..samples]);
            }
        }
        heard
    }

    /// What a steady ear has above 1.5 kHz: the rounding of G.711, and music.
    pub(super) fn rounding(&mut self, ear: usize) -> f32 {
        let from = self.heard[ear].len();
        self.run(50);
        high_band_peak(&self.pcm(ear, from), SampleRate::Hz8000, 80)
    }

    /// How loud `mouth` was at `ear` over its last `packets`, in dB under full scale.
    pub(super) fn level(&self, ear: usize, mouth: usize, packets: usize) -> f32 {
        let pcm = self.pcm(ear, self.heard[ear].len() - packets);
        level_at(&pcm, self.codecs[ear].sample_rate(), TONES_HZ[mouth])
    }
}

fn seat((slot, role): (usize, Role)) -> Seat {
    let leg = LegId(slot as u64 + 1);
    Seat { leg, role, presence: Presence::Talking, hold: Hold::None, muted: false }
}

pub(super) fn agreed(slot: usize, codec: Codec) -> AgreedMedia {
    let payload_type = codec.payload_type();
    AgreedMedia {
        codec,
        opus: Wishes { fec: true, ..Wishes::default() },
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
        keys: None,
        ssrc: None,
    }
}

pub(super) fn address(slot: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, slot as u8 + 1], 4000))
}

pub(super) fn packet(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
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
