//! The demo is the main job, and so it is a test.

use sidetone::sim::{DemoOptions, demo};

use crate::Story;

#[tokio::test]
async fn the_demo_plays_to_its_end_with_every_level_right() -> Story {
    let folder = tempfile::tempdir()?;
    let report = demo(DemoOptions { out: folder.path().join("out"), keep: false }).await?;

    assert_eq!(report.steps.len(), 15);
    for name in ["customer.wav", "alice.wav", "sam.wav", "expert.wav"] {
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
    for said in
        ["T07", "T08", "Set-CsTeamsAcsFederationConfiguration -EnableAcsUsers $true", "0.004 USD a minute"]
    {
        assert!(table.contains(said), "{said} is not in\n{table}");
    }
    let measured =
        |title: &str| report.steps.iter().find(|step| step.title == title).map(|step| step.rows.len());
    assert_eq!(measured("Consult, refused"), Some(2), "the customer and Alice talk on");
    assert_eq!(measured("Consult"), Some(3));
    assert_eq!(measured("Consult, completed"), Some(2), "the customer and the expert");
    Ok(())
}
