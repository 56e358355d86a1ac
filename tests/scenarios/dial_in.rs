//! A supervisor calls instead of being called.

use serde_json::json;
use sidetone::sim::phone::PhoneError;
use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage};
use sidetone::sip::message::StatusCode;

use crate::Story;

#[tokio::test]
async fn a_supervisor_who_was_given_a_number_dials_in_once() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let (customer, alice, sam) = (&stage.customer, &stage.alice, &stage.sam);
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let asked = stage.api.supervise(&call.id, json!({ "role": "whisper", "join": "dial_in" })).await?;
    let number = asked.dial_in.ok_or("no number to dial")?;

    sam.phone.dial(stage.address(&number)?).await?;
    sam.phone.talking().await?;
    stage.until_supervision(&asked.id, "an active supervision", |seen| seen.state == "active").await?;
    stage
        .assert_hears(&[
            Expected::voices(customer, [alice]),
            Expected::voices(alice, [customer, sam]),
            Expected::voices(sam, [customer, alice]),
        ])
        .await?;
    stage.assert_never_heard(customer, sam).await?;

    sam.phone.hang_up().await?;
    sam.phone.dial(stage.address(&number)?).await?;
    assert!(matches!(sam.phone.talking().await, Err(PhoneError::Refused(_))), "the number was good twice");
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_prefix_and_an_extension_are_enough_to_listen() -> Story {
    let stage = Stage::start(Setting {
        supervision: "monitor_prefix = \"*41\"\nwhisper_prefix = \"*42\"\nbarge_prefix = \"*43\"".to_owned(),
        ..Setting::default()
    })
    .await?;
    let (customer, alice, sam) = (&stage.customer, &stage.alice, &stage.sam);
    stage.customer_reaches(ALICES_NUMBER, alice).await?;

    sam.phone.dial(stage.address("*42100")?).await?;
    sam.phone.talking().await?;
    stage
        .assert_hears(&[Expected::voices(customer, [alice]), Expected::voices(alice, [customer, sam])])
        .await?;
    stage.assert_never_heard(customer, sam).await?;
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn who_dials_in_to_an_agent_without_a_call_is_told_so() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    stage.sam.phone.dial(stage.address("*41100")?).await?;
    assert!(matches!(
        stage.sam.phone.talking().await,
        Err(PhoneError::Refused(StatusCode::TEMPORARILY_UNAVAILABLE))
    ));
    stage.stop().await;
    Ok(())
}
