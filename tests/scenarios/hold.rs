//! Hold, by the API and by a party's own telephone.

use serde_json::json;
use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage, TokenOf};
use sidetone::sip::sdp::Direction;

use crate::Story;

#[tokio::test]
async fn a_customer_on_hold_hears_music_and_then_the_agent_again() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let (customer, alice) = (&stage.customer, &stage.alice);
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let leg = call.customer().ok_or("no customer")?.id.clone();
    let api = stage.api_of(TokenOf::Alice);
    // Ringing may have come before; from here on one line runs through hold and resume.
    let ear = customer.phone.ear().await?;
    ear.wait_for(10).await?;
    let mark = ear.count();

    for _ in 0..2 {
        api.leg(&call.id, &leg, "hold").await?;
        stage.assert_hears(&[Expected::music(customer), Expected::voices(alice, [])]).await?;
        api.leg(&call.id, &leg, "resume").await?;
        stage
            .assert_hears(&[Expected::voices(customer, [alice]), Expected::voices(alice, [customer])])
            .await?;
    }
    ear.check_line(mark)?;
    stage.stop().await;
    Ok(())
}

/// A consult that is refused for its card has changed nothing, and so not what is heard on hold.
#[tokio::test]
async fn a_consult_that_is_refused_leaves_the_music_as_it_was() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let (customer, alice) = (&stage.customer, &stage.alice);
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let leg = call.customer().ok_or("no customer")?.id.clone();
    let api = stage.api_of(TokenOf::Alice);
    let wanted = json!({ "target": "bob", "hold_media": "silence", "card": { "record": "CAS-1" } });
    let refused = api.consult(&call.id, wanted).await.err().ok_or("there is no view of a card")?;
    assert_eq!((refused.status(), refused.code()), (Some(422), Some("no_card")));
    api.leg(&call.id, &leg, "hold").await?;
    stage.assert_hears(&[Expected::music(customer), Expected::voices(alice, [])]).await?;
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn an_agents_own_hold_key_gives_the_customer_music() -> Story {
    for direction in [Direction::SendOnly, Direction::Inactive] {
        let stage = Stage::start(Setting::default()).await?;
        let (customer, alice) = (&stage.customer, &stage.alice);
        stage.customer_reaches(ALICES_NUMBER, alice).await?;
        let ear = customer.phone.ear().await?;
        ear.wait_for(10).await?;
        let mark = ear.count();

        alice.phone.hold(direction).await?;
        stage.assert_hears(&[Expected::music(customer)]).await?;
        stage
            .until_call("the agent's hold in the API", |call| {
                call.leg_of("alice").is_some_and(|leg| leg.hold == "holding")
            })
            .await?;
        alice.phone.resume().await?;
        stage
            .assert_hears(&[Expected::voices(customer, [alice]), Expected::voices(alice, [customer])])
            .await?;
        ear.check_line(mark)?;
        stage.stop().await;
    }
    Ok(())
}
