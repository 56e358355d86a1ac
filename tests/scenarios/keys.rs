//! A supervisor switches roles on the keys of the telephone: 4 monitors, 5 whispers, 6 barges.

use serde_json::json;
use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage};

use crate::Story;

#[tokio::test]
async fn keys_switch_the_role_and_nobody_hears_them() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let (customer, alice, sam) = (&stage.customer, &stage.alice, &stage.sam);
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let id = stage.sam_joins(&call, "monitor").await?.id;

    for (key, role) in [("5", "whisper"), ("4", "monitor"), ("5", "whisper")] {
        sam.phone.press(key).await?;
        stage.until_supervision(&id, role, |seen| seen.role == role).await?;
        let to_alice = if role == "whisper" { vec![customer, sam] } else { vec![customer] };
        stage.assert_hears(&[Expected::voices(customer, [alice]), Expected::voices(alice, to_alice)]).await?;
    }
    stage.assert_never_heard(customer, sam).await?;

    sam.phone.press("6").await?;
    stage.until_supervision(&id, "barge", |seen| seen.role == "barge").await?;
    stage.assert_hears(&[Expected::voices(customer, [alice, sam])]).await?;
    for person in [customer, alice] {
        assert_eq!(person.phone.ear().await?.digits(), "", "{} got keys", person.name());
    }
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn keys_do_nothing_when_they_are_switched_off_or_their_role_is_not_allowed() -> Story {
    for request in [
        json!({ "role": "monitor", "dtmf_control": false }),
        json!({ "role": "monitor", "allowed_roles": ["monitor"] }),
    ] {
        let stage = Stage::start(Setting::default()).await?;
        let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
        let id = stage.api.supervise(&call.id, request).await?.id;
        stage.sam.phone.talking().await?;
        stage.until_supervision(&id, "an active supervision", |seen| seen.state == "active").await?;

        stage.sam.phone.press("65").await?;
        // Both keys and the pauses around them are over after this many beats.
        stage.sam.phone.mouth().await?.wait_for(50).await?;
        assert_eq!(stage.api.supervision(&id).await?.role, "monitor");
        stage.assert_never_heard(&stage.customer, &stage.sam).await?;
        stage.assert_never_heard(&stage.alice, &stage.sam).await?;
        stage.stop().await;
    }
    Ok(())
}
