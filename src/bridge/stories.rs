//! What parties hear, told through a [`Room`] in virtual time: each hums its own tone.

use std::net::SocketAddr;
use std::time::Duration;

use sidetone_media::codec::opus::Tuning;
use sidetone_media::codec::{Codec, Decoder, Encoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD};
use sidetone_media::frame::SampleRate;
use sidetone_media::tone::{Sine, high_band_peak, level_at};

use crate::call::door::AgreedMedia;
use crate::call::{CallId, Coaching, Hold, LegId};

use super::room::{Entering, Room};
use super::{BridgeEvent, Music, PlanKind};

mod delay;
mod holding;
mod listening;
mod opus;
mod sounding;
mod srtp;
mod stage;

use stage::{Sent, Stage, address, agreed, packet};

const CUSTOMER: usize = 0;
const AGENT: usize = 1;
const BOSS: usize = 2;
const EVENT_TYPE: u8 = 101;
const TONES_HZ: [f32; 3] = [310.0, 470.0, 650.0];

#[test]
fn the_customers_packets_are_the_agents_whether_or_not_somebody_whispers() {
    let mut stage = Stage::new([Codec::Pcma; 3]);
    stage.assert_the_customer_is_relayed_the_agent();
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

/// What a look at the legs tells, how they sound left aside.
fn sweep(stage: &mut Stage) -> Vec<BridgeEvent> {
    let mut events = Vec::new();
    stage.room.sweep(stage.now, &stage.house, &mut events);
    events.retain(|event| !matches!(event, BridgeEvent::Quality { .. }));
    events
}

#[test]
fn a_leg_whose_media_stops_is_warned_of_once_and_told_of_once() {
    let (call, leg) = (CallId(1), LegId(CUSTOMER as u64 + 1));
    let mut stage = Stage::new([Codec::Pcma; 3]);
    stage.run(10);
    stage.stopped[CUSTOMER] = true;
    stage.run(9 * 50);
    assert_eq!(sweep(&mut stage), [], "not yet");
    stage.run(2 * 50);
    let events = [sweep(&mut stage), sweep(&mut stage)].concat();
    assert_eq!(events, [BridgeEvent::MediaMissing { call, leg, missing: true }]);
    stage.run(18 * 50);
    assert_eq!(sweep(&mut stage), [], "it may come again");
    stage.run(2 * 50);
    let events = [sweep(&mut stage), sweep(&mut stage)].concat();
    assert_eq!(events, [BridgeEvent::MediaTimeout { call, leg }]);
}

#[test]
fn sound_that_comes_again_takes_the_warning_back() {
    let (call, leg) = (CallId(1), LegId(CUSTOMER as u64 + 1));
    let mut stage = Stage::new([Codec::Pcma; 3]);
    stage.run(10);
    stage.stopped[CUSTOMER] = true;
    stage.run(11 * 50);
    assert_eq!(sweep(&mut stage), [BridgeEvent::MediaMissing { call, leg, missing: true }]);
    stage.stopped[CUSTOMER] = false;
    stage.run(50);
    let events = [sweep(&mut stage), sweep(&mut stage)].concat();
    assert_eq!(events, [BridgeEvent::MediaMissing { call, leg, missing: false }]);
}

#[test]
fn who_sends_reports_alone_is_warned_of_and_stays() {
    let (call, leg) = (CallId(1), LegId(CUSTOMER as u64 + 1));
    let mut stage = Stage::new([Codec::Pcma; 3]);
    stage.run(10);
    stage.stopped[CUSTOMER] = true;
    let mut told = Vec::new();
    for _ in 0..12 {
        stage.run(5 * 50);
        stage.room.note_report(stage.now, CUSTOMER);
        told.extend(sweep(&mut stage));
    }
    assert_eq!(told, [BridgeEvent::MediaMissing { call, leg, missing: true }], "a minute without sound");
    stage.run(31 * 50);
    assert_eq!(sweep(&mut stage), [BridgeEvent::MediaTimeout { call, leg }], "then the reports end as well");
}

#[test]
fn nothing_is_missed_of_a_leg_that_is_not_to_send() {
    let mut stage = Stage::new([Codec::Pcma; 3]);
    stage.run(10);
    stage.stopped[CUSTOMER] = true;
    let held = AgreedMedia { receives: false, ..agreed(CUSTOMER, Codec::Pcma) };
    stage.room.agree(stage.now, CUSTOMER, held, false, &stage.house, &mut Sent::default());
    stage.run(60 * 50);
    assert_eq!(sweep(&mut stage), [], "it is on hold");
}

#[test]
fn one_that_is_rung_with_early_media_is_missed_from_its_answer_on() {
    let Stage { now, house, .. } = Stage::new([Codec::Pcma; 3]);
    let mut room = Room::new(CallId(2));
    let entering = Entering { id: LegId(9), ssrc: 9, first_sequence: 1, first_timestamp: 1 };
    let slot = room.enter(now, entering);
    room.agree(now, slot, agreed(slot, Codec::Pcma), false, &house, &mut Sent::default());
    let mut after = |seconds, answered: bool| {
        let (now, mut events) = (now + Duration::from_secs(seconds), Vec::new());
        if answered {
            room.answered(now, slot);
        }
        room.sweep(now, &house, &mut events);
        events
    };
    let (call, leg) = (CallId(2), LegId(9));
    assert_eq!(after(90, false), [], "it is rung for a minute and a half, without a sound");
    assert_eq!(after(95, true), []);
    assert_eq!(after(104, false), []);
    assert_eq!(after(105, false), [BridgeEvent::MediaMissing { call, leg, missing: true }]);
    assert_eq!(after(125, false), [BridgeEvent::MediaTimeout { call, leg }]);
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
