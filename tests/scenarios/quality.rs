//! How each leg sounds is shown while the call lasts.

use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage, TokenOf};

use crate::Story;

#[tokio::test]
async fn whoever_looks_at_a_call_sees_how_each_leg_sounds() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    assert!(call.legs.iter().all(|leg| leg.quality.is_none()), "nothing is measured yet");
    let measured = stage
        .until_call("figures of both legs", |call| {
            call.legs.len() == 2 && call.legs.iter().all(|leg| leg.quality.is_some())
        })
        .await?;
    let one = stage.api_of(TokenOf::Alice).call(&call.id).await?;
    for leg in measured.legs.iter().chain(&one.legs) {
        let quality = leg.quality.as_ref().ok_or("no figures")?;
        assert!((1.0..=4.5).contains(&quality.mos), "{quality:?}");
        assert!(quality.packets_received > 100 && quality.loss < 0.5, "{quality:?}");
        assert!(quality.jitter_ms.is_finite(), "{quality:?}");
    }
    stage.stop().await;
    Ok(())
}
