//! Opus in a room: relayed untouched where both sides have it, one line by its own clock whatever the plan, switches
//! that cannot be heard, and a lost packet heard again from what the next one repeats.

use super::*;

const RATE: SampleRate = SampleRate::Hz16000;
/// Samples of 10 ms.
const WINDOW: usize = RATE.samples_in_ms(10);
/// Units of a packet of 20 ms by Opus' clock (RFC 7587 section 4.1).
const UNITS: i32 = 960;

#[test]
fn opus_passes_as_it_is_whether_or_not_somebody_whispers() {
    let mut stage = Stage::new([Codec::Opus; 3]);
    stage.assert_the_customer_is_relayed_the_agent();
    stage.run(25);
    assert_eq!(stage.plan(AGENT), PlanKind::Relay, "and so do the customer's, once the whisper has faded");
    let (said, heard) = (stage.said[CUSTOMER].len(), stage.heard[AGENT].len());
    stage.run(25);
    let heard: Vec<_> = stage.heard[AGENT][heard..].iter().map(|p| p.payload.clone()).collect();
    assert!(stage.said[CUSTOMER][said..] == heard);
}

#[test]
fn a_line_of_opus_stays_whole_from_relay_to_mix_to_music_and_back() {
    use Codec::{Opus, Pcma};
    for codecs in [[Opus; 3], [Opus, Opus, Pcma], [Pcma, Opus, Opus], [Opus, Pcma, Opus]] {
        let mut stage = Stage::new(codecs);
        let round = [Some(Coaching::Whisper), Some(Coaching::Barge), Some(Coaching::Monitor), None];
        for coaching in round.into_iter().chain(round) {
            stage.coach(coaching);
            stage.run(15);
        }
        stage.hold(CUSTOMER, Hold::Held);
        stage.run(15);
        stage.hold(CUSTOMER, Hold::None);
        stage.run(15);
        for ear in (0..3).filter(|ear| codecs[*ear] == Opus) {
            assert!(stage.heard[ear].len() > 100, "{codecs:?}: leg {ear} hears");
            for pair in stage.heard[ear].windows(2) {
                let (before, after) = (&pair[0].header, &pair[1].header);
                assert_eq!(after.ssrc, before.ssrc);
                assert_eq!(after.sequence, before.sequence.next());
                let step = after.timestamp.distance_from(before.timestamp);
                let table = pair[1].table;
                let whole = (UNITS..=3 * UNITS).contains(&step);
                assert!(whole, "{codecs:?}, leg {ear}, table {table}: time stepped by {step}");
            }
        }
    }
}

#[test]
fn no_switch_clicks_in_an_ear_with_opus() {
    type Switch = fn(&mut Stage);
    let switches: [(&str, Switch); 6] = [
        ("whisper", |stage| stage.coach(Some(Coaching::Whisper))),
        ("barge", |stage| stage.coach(Some(Coaching::Barge))),
        ("monitor", |stage| stage.coach(Some(Coaching::Monitor))),
        ("hold", |stage| stage.hold(CUSTOMER, Hold::Held)),
        ("resume", |stage| stage.hold(CUSTOMER, Hold::None)),
        ("alone", |stage| stage.coach(None)),
    ];
    let hard = hard_cut();
    for (ear, music) in [(CUSTOMER, Music::Silence), (CUSTOMER, Music::BuiltIn), (AGENT, Music::BuiltIn)] {
        let mut stage = Stage::new([Codec::Opus; 3]);
        stage.house.music = music;
        stage.coach(Some(Coaching::Monitor));
        stage.run(50);
        let mut coding = coding(&mut stage, ear);
        for (name, switch) in switches {
            let from = stage.heard[ear].len();
            switch(&mut stage);
            stage.run(6);
            let clicks = high_band_peak(&stage.pcm(ear, from.saturating_sub(2)), RATE, WINDOW);
            stage.run(30);
            let before = std::mem::replace(&mut coding, self::coding(&mut stage, ear));
            // The noise of coding comes and goes with what is coded.
            let most = (before.max(coding) + 6.0).max(hard - 40.0);
            assert!(
                clicks < most,
                "leg {ear}, {name}: {clicks:.1} dB; coding {coding:.1}, hard cut {hard:.1}"
            );
        }
    }
}

/// What a steady ear has above 1.5 kHz: the noise of coding, and music.
fn coding(stage: &mut Stage, ear: usize) -> f32 {
    let from = stage.heard[ear].len();
    stage.run(50);
    high_band_peak(&stage.pcm(ear, from), RATE, WINDOW)
}

/// A tone that begins at its peak, coded as any other sound would be.
fn hard_cut() -> f32 {
    let mut sound = vec![0; RATE.samples_in_ms(200)];
    let mut tone = vec![0; RATE.samples_in_ms(200)];
    Sine::new(RATE, TONES_HZ[BOSS], -18.0).fill(&mut tone);
    let peak = (RATE.hz() as f32 / TONES_HZ[BOSS] / 4.0) as usize;
    sound.extend_from_slice(&tone[peak..]);
    let (mut encoder, mut decoder) = (Encoder::new(Codec::Opus), Decoder::new(Codec::Opus));
    let mut heard = Vec::new();
    for frame in sound.chunks_exact(RATE.samples_in_ms(20)) {
        let (mut payload, mut pcm) = ([0; MAX_PAYLOAD], [0; MAX_PACKET_SAMPLES]);
        let length = encoder.encode(frame, &mut payload);
        let made = decoder.decode(&payload[..length], &mut pcm);
        heard.extend_from_slice(&pcm[..made]);
    }
    high_band_peak(&heard, RATE, WINDOW)
}

/// A whisper is read from what its mouth has said, a little behind; what was lost is there when the next packet has come.
#[test]
fn a_lost_packet_of_a_whisper_is_heard_again_from_the_one_after_it() {
    // A pitch that is in the lost packet alone, so that going on with what was before gives none of it.
    const BEEP_HZ: f32 = 1100.0;
    let beep = |fec: bool, lost: bool| {
        let mut stage = Stage::new([Codec::Pcma, Codec::Pcma, Codec::Opus]);
        stage.encoders[BOSS] = Encoder::tuned(Codec::Opus, Tuning { fec, ..Tuning::DEFAULT });
        stage.encoders[BOSS].expect_loss(0.2);
        stage.silence(CUSTOMER);
        stage.coach(Some(Coaching::Whisper));
        stage.run(50);
        (stage.loser, stage.lose) = (BOSS, lost);
        let usual = stage.tones[BOSS].replace(Sine::new(RATE, BEEP_HZ, -14.0));
        let (before, from) = (stage.sequence[BOSS], stage.heard[AGENT].len());
        while stage.sequence[BOSS] == before {
            stage.step();
        }
        stage.lose = false;
        stage.tones[BOSS] = usual;
        stage.run(10);
        let heard = stage.pcm(AGENT, from);
        let pieces = heard.windows(160).step_by(40);
        pieces.map(|piece| level_at(piece, SampleRate::Hz8000, BEEP_HZ)).fold(f32::MIN, f32::max)
    };
    let (whole, mended, guessed) = (beep(true, false), beep(true, true), beep(false, true));
    assert!(whole > -18.0, "{whole:.1}");
    assert!(mended > whole - 8.0, "of {whole:.1} dB {mended:.1} are heard again");
    assert!(guessed < mended - 10.0, "without what is repeated it is a guess: {guessed:.1} dB");
}

#[test]
fn losses_of_one_packet_in_ten_leave_a_voice_and_its_pitch() {
    let mut stage = Stage::new([Codec::Opus; 3]);
    stage.coach(Some(Coaching::Whisper));
    stage.run(50);
    for n in 0..200 {
        stage.lose = n % 10 == 3;
        stage.run(1);
    }
    for mouth in [CUSTOMER, BOSS] {
        let level = stage.level(AGENT, mouth, 50);
        assert!(level > -24.0, "{mouth} at {level:.1}");
    }
}
