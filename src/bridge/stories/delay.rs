//! How long a whisper takes, from the arrival of the supervisor's packet to the departure of the agent's that
//! says the same, wherever in the customer's packet time the supervisor happens to speak.

use super::*;

#[test]
fn a_whisper_is_half_a_frame_behind_on_average_and_never_more_than_one() {
    let mut delays = Vec::new();
    for phase in 0..20 {
        delays.extend(whisper_delays(phase, 0));
    }
    assert!(mean(&delays) <= 10.0, "{delays:?}: {} ms on average", mean(&delays));
    assert!(delays.iter().all(|delay| *delay <= 20), "{delays:?}");
}

#[test]
fn a_little_jitter_does_not_put_a_whisper_a_frame_behind() {
    let mut delays = Vec::new();
    for phase in 0..20 {
        delays.extend(whisper_delays(phase, 2));
    }
    assert!(mean(&delays) <= 10.0, "{delays:?}: {} ms on average", mean(&delays));
    assert!(delays.iter().all(|delay| *delay <= 22), "{delays:?}");
}

#[test]
fn a_packet_that_came_late_once_puts_a_whisper_back_by_less_than_a_frame_and_not_for_long() {
    // The supervisor speaks just after the customer, whose packet waits for it.
    for phase in 1..=3 {
        let mut stage = Stage::new([Codec::Pcma; 3]);
        stage.phase_ms[BOSS] = phase;
        [CUSTOMER, AGENT, BOSS].into_iter().for_each(|slot| stage.silence(slot));
        stage.coach(Some(Coaching::Whisper));
        stage.run(50);
        assert!(click(&mut stage) <= 1, "{phase} ms after the customer");

        stage.keeps = Some(BOSS);
        stage.run(1);
        stage.keeps = None;
        (0..10).for_each(|_| stage.step());
        let (slot, mut late) = stage.kept.take().expect("the packet that is late");
        stage.arrive(slot, &mut late, address(slot));

        let delays: Vec<u32> = (0..3).map(|_| click(&mut stage)).collect();
        assert!(delays.iter().all(|delay| *delay < 20), "{phase} ms after the customer: {delays:?}");
        stage.run(60);
        assert!(click(&mut stage) <= 1, "{phase} ms after the customer");
    }
}

fn mean(delays: &[u32]) -> f64 {
    delays.iter().map(|delay| f64::from(*delay)).sum::<f64>() / delays.len() as f64
}

/// Ten clicks of a supervisor who speaks `phase_ms` after the customer, and at most `jitter_ms` later than even
/// that.
fn whisper_delays(phase_ms: u32, jitter_ms: u32) -> Vec<u32> {
    let mut stage = Stage::new([Codec::Pcma; 3]);
    (stage.phase_ms[BOSS], stage.jitter_ms[BOSS]) = (phase_ms, jitter_ms);
    [CUSTOMER, AGENT, BOSS].into_iter().for_each(|slot| stage.silence(slot));
    stage.coach(Some(Coaching::Whisper));
    stage.run(50);
    (0..10).map(|_| click(&mut stage)).collect()
}

/// A click of the supervisor's: from its arrival to its departure, in milliseconds.
fn click(stage: &mut Stage) -> u32 {
    stage.run(7);
    let (said, heard) = (stage.said[BOSS].len(), stage.heard[AGENT].len());
    stage.tones[BOSS] = Some(Sine::new(SampleRate::Hz8000, TONES_HZ[BOSS], -6.0));
    while stage.said[BOSS].len() == said {
        stage.step();
    }
    let spoken = stage.now - Duration::from_millis(1);
    stage.silence(BOSS);
    stage.run(4);
    let loud = stage.heard[AGENT][heard..].iter().find(|packet| is_loud(&packet.payload));
    let heard = loud.expect("the click is heard").at;
    u32::try_from(heard.saturating_duration_since(spoken).as_millis()).expect("a delay")
}

fn is_loud(payload: &[u8]) -> bool {
    let mut pcm = [0; 960];
    let samples = Decoder::new(Codec::Pcma).decode(payload, &mut pcm);
    pcm[..samples].iter().any(|sample| sample.unsigned_abs() > 4_000)
}
