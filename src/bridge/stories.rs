//! What parties hear, told through a [`Room`] in virtual time: each hums its own tone.

mod srtp;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sidetone_media::codec::opus::{Tuning, Wishes};
use sidetone_media::codec::{Codec, Decoder, Encoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD};
use sidetone_media::frame::SampleRate;
use sidetone_media::stream::rtp::{HEADER_BYTES, Header, Line, write_header};
use sidetone_media::time::{RtpTimestamp, Sequence};
use sidetone_media::tone::{RingbackTone, Sine, high_band_peak, level_at};

use crate::call::door::AgreedMedia;
use crate::call::hearing::hearing;
use crate::call::{CallId, Coaching, Hold, LegId, Presence, Role, Seat};

use super::room::{Entering, House, Room, Wire};
use super::{BridgeEvent, Music, PlanKind};

mod delay;
mod holding;
mod listening;
mod opus;
mod sounding;

const CUSTOMER: usize = 0;
const AGENT: usize = 1;
const BOSS: usize = 2;
const EVENT_TYPE: u8 = 101;
const TONES_HZ: [f32; 3] = [310.0, 470.0, 650.0];

#[test]
fn the_customers_packets_are_the_agents_whether_or_not_somebody_whispers() {
    let mut stage = Stage::new([Codec::Pcma; 3]);
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
    let mut stage = Stage::new([Codec::Pcma; 3]);
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
    let mut stage = Stage::new([Codec::Pcmu; 3]);
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
fn a_media_thread_that_was_late_catches_up_without_a_hole_in_the_music() {
    let mut stage = Stage::new([Codec::Pcmu; 3]);
    stage.seats[CUSTOMER].hold = Hold::Held;
    stage.apply();
    stage.run(15);
    let mark = stage.heard[CUSTOMER].len();
    for stall_ms in [30, 55, 70, 90] {
        stage.now += Duration::from_millis(stall_ms);
        stage.pass(Duration::from_millis(1));
        stage.run(10);
    }
    for pair in stage.heard[CUSTOMER][mark - 1..].windows(2) {
        let (before, after) = (&pair[0].header, &pair[1].header);
        assert_eq!(
            after.timestamp.distance_from(before.timestamp),
            160,
            "what was late is sent, not skipped"
        );
    }
    let caught_up = stage.heard[CUSTOMER].len() - mark;
    // Where in a packet's time the count begins is the agent's, whose voice faded away by its own packets.
    let whole = 40 + (30 + 55 + 70 + 90 + 4) / 20;
    assert!((whole..=whole + 1).contains(&caught_up), "and all of it: {caught_up} of {whole}");
}

#[test]
fn no_switch_of_a_supervisor_or_of_hold_clicks() {
    // Tones lie below 1.5 kHz; what is above comes of the switch, or of G.711's own rounding.
    type Switch = fn(&mut Stage);
    let switches: [(&str, Switch); 6] = [
        ("whisper", |stage| stage.coach(Some(Coaching::Whisper))),
        ("barge", |stage| stage.coach(Some(Coaching::Barge))),
        ("monitor", |stage| stage.coach(Some(Coaching::Monitor))),
        ("hold", |stage| stage.hold(CUSTOMER, Hold::Held)),
        ("resume", |stage| stage.hold(CUSTOMER, Hold::None)),
        ("alone", |stage| stage.coach(None)),
    ];
    for ear in [CUSTOMER, AGENT] {
        let mut stage = Stage::new([Codec::Pcma; 3]);
        stage.coach(Some(Coaching::Monitor));
        stage.run(30);
        let mut rounding = stage.rounding(ear);
        // A tone that begins at its peak.
        let mut cut = vec![0; 320];
        let mut tone = vec![0; 320];
        Sine::new(SampleRate::Hz8000, TONES_HZ[BOSS], -18.0).fill(&mut tone);
        cut.extend_from_slice(&tone[2..]);
        let hard = high_band_peak(&cut, SampleRate::Hz8000, 80);
        for (name, switch) in switches {
            let from = stage.heard[ear].len();
            switch(&mut stage);
            stage.run(6);
            let clicks = high_band_peak(&stage.pcm(ear, from.saturating_sub(2)), SampleRate::Hz8000, 80);
            stage.run(30);
            let before = std::mem::replace(&mut rounding, stage.rounding(ear));
            let steady = before.max(rounding);
            assert!(
                clicks < (steady + 4.0).max(hard - 40.0),
                "leg {ear}, {name}: {clicks:.1} dB; steady {steady:.1}, hard cut {hard:.1}"
            );
        }
    }
}

#[test]
fn the_first_packet_of_a_leg_is_relayed() {
    let mut stage = Stage::new([Codec::Pcma; 3]);
    stage.run(1);
    assert_eq!(stage.heard[AGENT][0].payload, stage.said[CUSTOMER][0]);
    assert_eq!(stage.heard[CUSTOMER].last().map(|p| &p.payload), stage.said[AGENT].last());
}

#[test]
fn a_supervisor_who_speaks_just_after_the_customer_is_delayed_by_no_more_than_a_frame() {
    for after_us in [50, 500, 5_000, 10_000, 19_950] {
        let mut stage = Stage::new([Codec::Pcma; 3]);
        stage.silence(CUSTOMER);
        stage.silence(BOSS);
        stage.coach(Some(Coaching::Whisper));
        for n in 0..150 {
            if n == 120 {
                stage.tones[BOSS] = Some(Sine::new(SampleRate::Hz8000, TONES_HZ[BOSS], -18.0));
            }
            let before = stage.heard[AGENT].len();
            stage.speak(CUSTOMER);
            stage.pass(Duration::from_micros(after_us));
            stage.speak(BOSS);
            stage.pass(Duration::from_micros(20_000 - after_us));
            // What the supervisor said in this round must leave before the next round's end.
            if n == 122 {
                stage.speak(CUSTOMER);
                stage.pass(Duration::from_micros(after_us));
                let heard = stage.pcm(AGENT, before);
                let loud = level_at(&heard, SampleRate::Hz8000, TONES_HZ[BOSS]);
                assert!(loud > -30.0, "{after_us} us after: {loud}");
                break;
            }
        }
        let agent = LegId(AGENT as u64 + 1);
        assert!(stage.room.report().ears.iter().any(|ear| ear.leg == agent && ear.plan == PlanKind::Mix));
    }
}

#[test]
fn loss_and_reordering_leave_a_mix_whole() {
    let mut stage = Stage::new([Codec::Pcma; 3]);
    stage.coach(Some(Coaching::Barge));
    stage.run(50);
    let (from, mut kept) = (stage.heard[AGENT].len(), None::<(usize, Vec<u8>)>);
    for n in 0..200 {
        stage.lose = n % 20 == 7;
        stage.keeps = (n % 20 == 13).then_some(CUSTOMER);
        stage.run(1);
        if let Some((slot, mut octets)) = kept.take() {
            stage.arrive(slot, &mut octets, address(slot));
        }
        kept = stage.kept.take();
    }
    let heard = &stage.heard[AGENT][from..];
    let mut numbers: Vec<u16> = heard.iter().map(|p| p.header.sequence.0).collect();
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count, "no number twice");
    assert!(count >= 175, "{count} packets");
    // Since the last loss: each one moves the tones on, and so apart from themselves.
    let (customer, boss) = (stage.level(AGENT, CUSTOMER, 5), stage.level(AGENT, BOSS, 5));
    assert!(customer > -25.0 && boss > -25.0, "{customer}, {boss}");
}

#[test]
fn parties_of_different_packet_times_hear_each_other() {
    for (ear_ms, mouth_ms) in [(20, 30), (30, 20), (10, 60), (60, 10), (40, 20), (20, 20)] {
        let mut stage = Stage::new([Codec::Pcmu; 3]);
        let mut wire = Sent::default();
        for (slot, ptime_ms) in [(AGENT, ear_ms), (CUSTOMER, mouth_ms)] {
            let media = AgreedMedia { ptime_ms, ..agreed(slot, Codec::Pcmu) };
            stage.room.agree(stage.now, slot, media, false, &stage.house, &mut wire);
            stage.ptime_ms[slot] = ptime_ms.into();
        }
        stage.coach(Some(Coaching::Whisper));
        stage.run(120);
        let packets = 1000 / usize::from(ear_ms);
        for mouth in [CUSTOMER, BOSS] {
            let level = stage.level(AGENT, mouth, packets);
            assert!(level > -20.0, "{ear_ms} ms hears {mouth_ms} ms: {mouth} at {level}");
        }
        let last = &stage.heard[AGENT][stage.heard[AGENT].len() - packets..];
        assert!(last.iter().all(|p| p.payload.len() == 8 * usize::from(ear_ms)));
        let steps = last.windows(2).map(|p| p[1].header.timestamp.distance_from(p[0].header.timestamp));
        assert!(steps.clone().all(|step| step == 8 * i32::from(ear_ms)), "{:?}", steps.collect::<Vec<_>>());
    }
}

#[test]
fn a_companions_digits_are_passed_on_unless_they_steer() {
    for consumed in [false, true] {
        let mut stage = Stage::new([Codec::Pcma; 3]);
        let mut wire = Sent::default();
        let media = agreed(BOSS, Codec::Pcma);
        stage.room.agree(stage.now, BOSS, media, consumed, &stage.house, &mut wire);
        stage.coach(Some(Coaching::Whisper));
        stage.run(20);
        for (end, duration) in [(0, 160), (0, 320), (0x80, 480), (0x80, 480), (0x80, 480)] {
            let payload = [5, end | 10, (duration >> 8) as u8, duration as u8];
            let mut octets = packet(EVENT_TYPE, stage.sequence[BOSS], stage.timestamp[BOSS], 3, &payload);
            stage.sequence[BOSS] = stage.sequence[BOSS].wrapping_add(1);
            stage.arrive(BOSS, &mut octets, address(BOSS));
            stage.speak(CUSTOMER);
            stage.pass(Duration::from_millis(20));
        }
        stage.run(5);
        assert_eq!(stage.digits, ['5']);
        let heard = &stage.heard[AGENT];
        let events: Vec<_> = heard.iter().filter(|p| p.header.payload_type == EVENT_TYPE).collect();
        assert_eq!(events.len(), if consumed { 0 } else { 5 });
        assert!(events.windows(2).all(|pair| pair[0].header.timestamp == pair[1].header.timestamp));
        assert!(heard.windows(2).all(|pair| pair[1].header.sequence == pair[0].header.sequence.next()));
    }
}

#[test]
fn a_pause_told_by_comfort_noise_leaves_no_gap_for_an_ear_that_knows_none() {
    let mut stage = Stage::new([Codec::Pcma; 3]);
    let mut wire = Sent::default();
    let media = AgreedMedia { comfort_noise: true, ..agreed(CUSTOMER, Codec::Pcma) };
    stage.room.agree(stage.now, CUSTOMER, media, false, &stage.house, &mut wire);
    for coaching in [None, Some(Coaching::Whisper)] {
        stage.coach(coaching);
        stage.run(20);
        let mut noise = packet(13, stage.sequence[CUSTOMER], stage.timestamp[CUSTOMER], 1, &[60]);
        stage.sequence[CUSTOMER] = stage.sequence[CUSTOMER].wrapping_add(1);
        stage.arrive(CUSTOMER, &mut noise, address(CUSTOMER));
        stage.run(20);
        let heard = &stage.heard[AGENT];
        assert!(heard.iter().all(|p| p.header.payload_type == 8));
        assert!(heard.windows(2).all(|pair| pair[1].header.sequence == pair[0].header.sequence.next()));
    }
}

#[test]
fn a_leg_that_moves_to_another_call_keeps_its_line_and_fades_out_of_the_old_one() {
    let mut stage = Stage::new([Codec::Pcma; 3]);
    stage.coach(Some(Coaching::Whisper));
    stage.run(30);
    let house = stage.house.clone();
    let moving = stage.room.move_out(stage.now, AGENT, &house).expect("the agent is there");
    stage.room = Room::new(CallId(2));
    for slot in [CUSTOMER, AGENT] {
        let leg = Entering { id: LegId(77), ssrc: 1, first_sequence: 1, first_timestamp: 1 };
        if slot == CUSTOMER {
            assert_eq!(stage.room.enter(stage.now, leg), slot);
        }
    }
    assert_eq!(stage.room.move_in(stage.now, moving, &house), AGENT);
    stage.run(20);
    for pair in stage.heard[AGENT].windows(2) {
        assert_eq!(pair[1].header.ssrc, pair[0].header.ssrc);
        assert_eq!(pair[1].header.sequence, pair[0].header.sequence.next());
    }
    let moved = &stage.pcm(AGENT, stage.heard[AGENT].len() - 24);
    let clicks = high_band_peak(moved, SampleRate::Hz8000, 80);
    assert!(clicks < -50.0, "{clicks}");
}

#[test]
fn an_ear_is_sent_the_source_that_its_description_names_and_keeps_it() {
    let mut stage = Stage::new([Codec::Pcma; 3]);
    for named in [0xbeef, 0xcafe] {
        let agreed = AgreedMedia { ssrc: Some(named), ..agreed(AGENT, Codec::Pcma) };
        stage.room.agree(stage.now, AGENT, agreed, false, &stage.house, &mut Sent::default());
        stage.run(10);
    }
    assert!(stage.heard[AGENT].len() > 15);
    assert!(stage.heard[AGENT].iter().all(|packet| packet.header.ssrc == 0xbeef), "one source for life");
}

#[test]
fn a_mouth_that_restarts_under_another_ssrc_is_heard_again() {
    let mut stage = Stage::new([Codec::Pcma; 3]);
    stage.coach(Some(Coaching::Whisper));
    stage.run(30);
    (stage.ssrc[CUSTOMER], stage.sequence[CUSTOMER], stage.timestamp[CUSTOMER]) = (99, 40_000, 7);
    stage.run(30);
    assert!(stage.level(AGENT, CUSTOMER, 20) > -25.0 && stage.level(AGENT, BOSS, 20) > -25.0);
    assert!(stage.heard[AGENT].windows(2).all(|p| p[1].header.sequence == p[0].header.sequence.next()));
    assert!(stage.heard[AGENT].iter().all(|p| p.header.ssrc == 0xa000 + AGENT as u32));
}

#[test]
fn a_leg_whose_media_stops_is_told_of_once() {
    let mut stage = Stage::new([Codec::Pcma; 3]);
    stage.run(10);
    stage.stopped[CUSTOMER] = true;
    stage.run(29 * 50);
    let sweeps = |stage: &mut Stage| {
        let mut events = Vec::new();
        stage.room.sweep(stage.now, &stage.house, &mut events);
        events.retain(|event| !matches!(event, BridgeEvent::Quality { .. }));
        events
    };
    assert_eq!(sweeps(&mut stage), [], "not yet");
    stage.run(2 * 50);
    let events = [sweeps(&mut stage), sweeps(&mut stage)].concat();
    let leg = LegId(CUSTOMER as u64 + 1);
    assert_eq!(events, [BridgeEvent::MediaTimeout { call: CallId(1), leg }]);
}

#[test]
fn when_the_main_mouth_falls_silent_the_whisper_goes_on() {
    let mut stage = Stage::new([Codec::Pcma; 3]);
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
    use Codec::{G722, Pcma, Pcmu};
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
    let mut stage = Stage::new([Codec::Pcma; 3]);
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
        let mut quiet = Stage::new([Codec::Pcma; 3]);
        quiet.coach(Some(Coaching::Barge));
        quiet.run(60);
        quiet.heard[CUSTOMER].iter().map(|p| p.payload.clone()).collect::<Vec<_>>()
    };
    let sprayed: Vec<_> = stage.heard[CUSTOMER].iter().map(|p| p.payload.clone()).collect();
    assert_eq!(clean, sprayed, "every octet as if the stranger were not there");
}

#[test]
fn a_digit_is_passed_on_and_told_of_once_however_its_packets_fare() {
    let mut stage = Stage::new([Codec::Pcma; 3]);
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
    ms: u32,
    house: House,
    room: Room,
    seats: Vec<Seat>,
    generation: u64,
    codecs: [Codec; 3],
    encoders: Vec<Encoder>,
    tones: Vec<Option<Sine>>,
    ssrc: [u32; 3],
    ptime_ms: [u32; 3],
    /// When in its packet time each speaks, and how much later its packets may be, at random.
    phase_ms: [u32; 3],
    jitter_ms: [u32; 3],
    sequence: [u16; 3],
    timestamp: [u32; 3],
    /// The next packet of this one, the customer unless it is said, is lost.
    lose: bool,
    loser: usize,
    /// Whose next packet is kept to come later.
    keeps: Option<usize>,
    kept: Option<(usize, Vec<u8>)>,
    stopped: [bool; 3],
    said: [Vec<Vec<u8>>; 3],
    heard: [Vec<Packet>; 3],
    /// The far end's SRTP, of those who have it.
    far: [Option<srtp::Far>; 3],
    strayed: Vec<SocketAddr>,
    digits: Vec<char>,
}

struct Packet {
    at: Instant,
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
    fn new(codecs: [Codec; 3]) -> Stage {
        let now = Instant::now();
        let house = House {
            media_timeout: Duration::from_secs(30),
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

    fn hold(&mut self, slot: usize, hold: Hold) {
        self.seats[slot].hold = hold;
        self.apply();
    }

    /// `packets` times 20 ms; the parties speak 7 ms after each other.
    fn run(&mut self, packets: usize) {
        (0..20 * packets).for_each(|_| self.step());
    }

    /// A millisecond.
    fn step(&mut self) {
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
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.room.poll_timeout().filter(|at| *at <= until) {
            let mut wire = Sent::default();
            self.now = self.now.max(at);
            self.room.handle_timeout(self.now, &self.house, &mut wire);
            self.deliver(wire);
        }
        self.now = until;
    }

    fn speak(&mut self, slot: usize) {
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

    fn plan(&self, slot: usize) -> PlanKind {
        let id = LegId(slot as u64 + 1);
        self.room.report().ears.into_iter().find(|ear| ear.leg == id).expect("the leg has an ear").plan
    }

    /// What an ear has heard since its packet `from`.
    fn pcm(&self, ear: usize, from: usize) -> Vec<i16> {
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
    fn rounding(&mut self, ear: usize) -> f32 {
        let from = self.heard[ear].len();
        self.run(50);
        high_band_peak(&self.pcm(ear, from), SampleRate::Hz8000, 80)
    }

    /// How loud `mouth` was at `ear` over its last `packets`, in dB under full scale.
    fn level(&self, ear: usize, mouth: usize, packets: usize) -> f32 {
        let pcm = self.pcm(ear, self.heard[ear].len() - packets);
        level_at(&pcm, self.codecs[ear].sample_rate(), TONES_HZ[mouth])
    }
}

fn seat((slot, role): (usize, Role)) -> Seat {
    let leg = LegId(slot as u64 + 1);
    Seat { leg, role, presence: Presence::Talking, hold: Hold::None, muted: false }
}

fn agreed(slot: usize, codec: Codec) -> AgreedMedia {
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

fn address(slot: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, slot as u8 + 1], 4000))
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
