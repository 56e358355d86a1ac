//! The demo is the main job, and so it is a test.

use sidetone::sim::{DemoOptions, demo};

use crate::Story;

#[tokio::test]
async fn the_demo_plays_to_its_end_with_every_level_right() -> Story {
    let folder = tempfile::tempdir()?;
    let report = demo(DemoOptions { out: folder.path().join("out"), keep: false }).await?;

    assert_eq!(report.steps.len(), 10);
    for name in ["customer.wav", "alice.wav", "sam.wav"] {
        let file = hound::WavReader::open(report.out.join(name))?;
        let seconds = file.duration() / file.spec().sample_rate;
        assert!(seconds >= 5, "{name} lasts {seconds} s");
    }
    let teams = hound::WavReader::open(report.out.join("teams-0.wav"))?;
    assert!(teams.duration() >= teams.spec().sample_rate, "a second of what the Teams user heard");
    let table = std::fs::read_to_string(report.out.join("table.txt"))?;
    assert!(
        table.contains("Whisper") && table.contains("Direct Routing") && !table.contains("WRONG"),
        "{table}"
    );
    Ok(())
}
