//! A role switch is quick and cannot be heard as anything but a voice that begins.

use sidetone::sim::ear::{Ear, over};
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage};
use sidetone::sim::voice::{USUAL_DBFS, Voice};

use crate::Story;

/// Samples of one packet at 8 kHz.
const PACKET: usize = 160;
/// Switches to a whisper and back.
const ROUNDS: usize = 5;
/// A tone in one packet is there from this level on. The ramp of the first frame costs a few decibels.
const THERE_DBFS: f64 = -30.0;
/// Packets listened to around each switch.
const AROUND: usize = 30;

#[tokio::test]
async fn a_switch_is_heard_within_two_frames_and_breaks_no_line() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    let id = stage.sam_joins(&call, "monitor").await?.id;
    let ears =
        [stage.customer.phone.ear().await?, stage.alice.phone.ear().await?, stage.sam.phone.ear().await?];
    for ear in &ears {
        ear.wait_for(AROUND).await?;
    }
    let marks = ears.each_ref().map(Ear::count);
    let [_, alice, _] = &ears;

    let mut frames = Vec::new();
    for _ in 0..ROUNDS {
        for (role, heard) in [("whisper", true), ("monitor", false)] {
            stage.api.switch(&id, role).await?;
            let answered = alice.count();
            alice.wait_for(AROUND).await?;
            frames.push(frames_until(alice, answered, stage.sam.hz, heard));
        }
    }

    // The answer takes its own way through the machine and may be read late or early by a busy one; the quickest of
    // ten switches says what the gateway does.
    let quickest = frames.iter().flatten().min();
    assert!(frames.iter().all(Option::is_some), "a switch was not heard at all: {frames:?}");
    assert!(quickest.is_some_and(|quickest| *quickest <= 2), "{frames:?}");
    for (ear, mark) in ears.iter().zip(marks) {
        ear.check_line(mark)?;
    }
    stage.stop().await;
    Ok(())
}

/// How many packets after `answered` the tone has come (or gone).
fn frames_until(ear: &Ear, answered: usize, hz: f64, heard: bool) -> Option<usize> {
    (0..AROUND).find(|after| {
        let packet = answered + after;
        (ear.between(packet..packet + 1).level_of(hz) >= THERE_DBFS) == heard
    })
}

/// G.711 rounds every sample to within 38 dB of it, which hides whatever is softer. So through telephones this much can be
/// shown: what a switch adds above 1.5 kHz is lost in that noise, where a hard cut would stand 10 dB and more above
/// it. The mixer's own tests look deeper, before any codec.
#[tokio::test]
async fn a_switch_makes_no_click() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    // Only the supervisor hums, so that what is heard is the switch and nothing else.
    stage.customer.phone.say(Voice::Silence).await?;
    stage.alice.phone.say(Voice::Silence).await?;
    let id = stage.sam_joins(&call, "whisper").await?.id;
    let alice = stage.alice.phone.ear().await?;
    alice.wait_for(AROUND).await?;
    let steady = loudest_click(&alice.listen(AROUND * 2).await?.pcm);

    let mut clicks = Vec::new();
    for _ in 0..ROUNDS {
        for role in ["monitor", "whisper"] {
            let mark = alice.count();
            stage.api.switch(&id, role).await?;
            alice.wait_for(AROUND).await?;
            let click = loudest_click(&alice.since(mark).pcm);
            clicks.push((role, 10.0 * (click / steady).log10()));
        }
    }
    let cut = loudest_click(&hard_cut(stage.sam.hz));

    let cut = 10.0 * (cut / steady).log10();
    assert!(cut > 10.0, "a hard cut could not be told from noise: {cut:.1} dB");
    for role in ["monitor", "whisper"] {
        let mut over_noise: Vec<f64> =
            clicks.iter().filter(|(known, _)| *known == role).map(|(_, click)| *click).collect();
        over_noise.sort_by(f64::total_cmp);
        // A busy machine may be late with a packet of the voice in one or two of the rounds, which is heard as well.
        assert!(
            over_noise[ROUNDS / 2] < 4.0,
            "switching to {role} clicks, in dB over noise: {over_noise:.1?}"
        );
    }
    stage.stop().await;
    Ok(())
}

/// The most energy above 1.5 kHz in any 5 ms.
fn loudest_click(pcm: &[i16]) -> f64 {
    let high = over(pcm, 8000, 1500.0);
    // The filter rings where the clip begins and ends.
    let whole = &high[PACKET..high.len() - PACKET];
    whole.windows(PACKET / 4).map(|window| window.iter().map(|x| x * x).sum()).fold(0.0, f64::max)
}

/// The same tone begun at its peak, out of nothing.
fn hard_cut(hz: f64) -> Vec<i16> {
    let tone = Voice::Tone { hz, dbfs: USUAL_DBFS };
    let peak = (8000.0 / hz / 4.0) as u64;
    let silence = std::iter::repeat_n(0, PACKET * 4);
    silence.chain((0..PACKET as u64 * 4).map(|i| tone.sample(peak + i, 8000))).collect()
}
