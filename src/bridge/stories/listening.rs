//! Whoever has answered is listened to while their packets are relayed as they come.

use sidetone_media::answer::Heard;

use super::*;
use crate::bridge::{BridgeEvent, Listen};

const HOW: Listen = Listen { speech: Duration::from_secs(5), most: Duration::from_secs(12) };

/// Packets of the agent's, of which the `n`th sounds as `sound` says; the verdict, and after how many.
fn listens(stage: &mut Stage, packets: usize, sound: impl Fn(usize) -> bool) -> Option<(Heard, usize)> {
    stage.room.listen(stage.now, AGENT, HOW);
    let mut noise = 0x2545_f491_u32;
    for n in 0..packets {
        let mut pcm = [0i16; 160];
        for sample in pcm.iter_mut().filter(|_| sound(n)) {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            *sample = (noise % 8_000) as i16 - 4_000;
        }
        let mut payload = [0; 160];
        let length = stage.encoders[AGENT].encode(&pcm, &mut payload);
        let (sequence, timestamp) = (100 + n as u16, 50_000 + 160 * n as u32);
        let mut octets = packet(0, sequence, timestamp, 0x77, &payload[..length]);
        let (mut wire, mut events) = (Sent::default(), Vec::new());
        stage.now += Duration::from_millis(20);
        stage.room.rtp(stage.now, AGENT, &mut octets, address(AGENT), &stage.house, &mut wire, &mut events);
        let passed_on = wire.0.iter().filter(|(to, ..)| *to == CUSTOMER).count();
        assert_eq!(passed_on, 1, "packet {n} goes on at once, listened to or not");
        assert_eq!(stage.plan(CUSTOMER), PlanKind::Relay, "and as it is");
        for event in events {
            if let BridgeEvent::Screened { heard, .. } = event {
                return Some((heard, n));
            }
        }
    }
    None
}

#[test]
fn speech_without_end_is_noticed_in_a_relayed_call_and_then_nobody_listens() {
    let mut stage = Stage::new([Codec::Pcmu; 3]);
    let (heard, after) = listens(&mut stage, 600, |_| true).unwrap();
    assert_eq!(heard, Heard::LongSpeech);
    assert!((248..=252).contains(&after), "five seconds: {after}");
    let mouths = stage.room.report().ears.into_iter().flat_map(|ear| ear.mouths);
    assert!(mouths.into_iter().all(|mouth| mouth.level_dbfs.is_none()), "a relay is not decoded any more");
}

#[test]
fn a_hello_is_a_person() {
    let mut stage = Stage::new([Codec::Pcmu; 3]);
    let (heard, after) = listens(&mut stage, 600, |n| (20..60).contains(&n)).unwrap();
    assert_eq!(heard, Heard::Nothing);
    assert!(after < 130, "known as soon as they wait for us: {after}");
}

#[test]
fn a_far_end_that_sends_nothing_is_given_up() {
    let mut stage = Stage::new([Codec::Pcmu; 3]);
    stage.room.listen(stage.now, AGENT, HOW);
    let mut after = |seconds| {
        let mut events = Vec::new();
        stage.room.sweep(stage.now + Duration::from_secs(seconds), &stage.house, &mut events);
        events.retain(|event| matches!(event, BridgeEvent::Screened { .. }));
        events
    };
    assert_eq!(after(11), []);
    let agent = LegId(AGENT as u64 + 1);
    assert_eq!(after(12), [BridgeEvent::Screened { call: CallId(1), leg: agent, heard: Heard::Nothing }]);
}
