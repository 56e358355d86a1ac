//! What held parties hear: the house's music, or what their call was told to play.

use sidetone_media::frame::SampleRate;
use sidetone_media::tone::{Recording, level_at};

use super::*;

fn held(music: Option<Music>) -> (Vec<i16>, PlanKind) {
    let mut stage = Stage::new([Codec::Pcmu; 3]);
    stage.room.hold_with(music);
    stage.run(10);
    stage.hold(CUSTOMER, Hold::Held);
    stage.run(5);
    let from = stage.heard[CUSTOMER].len();
    stage.run(300);
    (stage.pcm(CUSTOMER, from), stage.plan(CUSTOMER))
}

fn loudest(pcm: &[i16]) -> i16 {
    pcm.iter().map(|sample| sample.saturating_abs()).max().unwrap_or_default()
}

#[test]
fn each_kind_sounds_as_it_is_called() {
    let (music, plan) = held(None);
    assert_eq!(plan, PlanKind::Music);
    assert!(loudest(&music) > 500);

    let (silence, plan) = held(Some(Music::Silence));
    assert_eq!(plan, PlanKind::Music, "packets go on, so that the line stays alive");
    assert!(silence.len() > 40_000 && loudest(&silence) < 50);

    let (tone, _) = held(Some(Music::Tone));
    let windows: Vec<f32> =
        tone.chunks(1_600).map(|part| level_at(part, SampleRate::Hz8000, 440.0)).collect();
    let (on, off) = (windows.iter().filter(|level| **level > -35.0), windows.iter().filter(|l| **l < -60.0));
    assert!((4..=6).contains(&on.count()), "twice in six seconds, over two or three parts each: {windows:?}");
    assert!(off.count() >= 22, "and otherwise nothing");

    let mut sine = vec![0; 8_000];
    Sine::new(SampleRate::Hz8000, 700.0, -20.0).fill(&mut sine);
    let (prompt, _) = held(Some(Music::Recording(Recording::new(sine.into(), SampleRate::Hz8000))));
    assert!(level_at(&prompt[..8_000], SampleRate::Hz8000, 700.0) > -24.0);
}
