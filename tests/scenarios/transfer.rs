//! A transfer over the API, with ears on it: whatever becomes of the target, the customer has somebody to talk to.

use serde_json::json;
use sidetone::sim::phone::{Line, Manner, Side};
use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage, TokenOf};
use sidetone::sip::message::StatusCode;

use crate::Story;

#[tokio::test]
async fn a_blind_transfer_leaves_the_customer_with_the_target_and_the_supervisor_with_both() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let (customer, alice, bob, sam) = (&stage.customer, &stage.alice, &stage.bob, &stage.sam);
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    stage.sam_joins(&call, "whisper").await?;
    let ear = customer.phone.ear().await?;
    ear.wait_for(10).await?;
    let mark = ear.count();

    let request = json!({"mode": "blind", "target": "bob", "wait": true});
    let outcome = stage.api_of(TokenOf::Alice).transfer(&call.id, request).await?;
    assert_eq!(outcome.as_deref(), Some("connected"));
    assert_eq!(alice.phone.over().await?.by, Side::Them);
    stage
        .assert_hears(&[
            Expected::voices(customer, [bob]),
            Expected::voices(bob, [customer, sam]),
            Expected::voices(sam, [customer, bob]),
        ])
        .await?;
    stage.assert_never_heard(customer, sam).await?;
    ear.check_line(mark)?;
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_target_who_does_not_come_leaves_everybody_where_they_were_and_says_why() -> Story {
    for (manner, wanted) in
        [(Manner::Refuse(StatusCode::BUSY_HERE), "busy"), (Manner::Refuse(StatusCode::DECLINE), "declined")]
    {
        let stage = Stage::start(Setting::default()).await?;
        let (customer, alice, bob) = (&stage.customer, &stage.alice, &stage.bob);
        let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
        bob.phone.behave(manner).await?;
        let request = json!({"mode": "blind", "target": "bob", "wait": true});
        let outcome = stage.api_of(TokenOf::Alice).transfer(&call.id, request).await?;
        assert_eq!(outcome.as_deref(), Some(wanted));
        stage.events.until("the roll-back", |event| event.kind == "transfer.rolled_back").await?;
        assert_eq!(alice.phone.status().line, Line::Talking);
        stage
            .assert_hears(&[Expected::voices(customer, [alice]), Expected::voices(alice, [customer])])
            .await?;
        stage.stop().await;
    }
    Ok(())
}

#[tokio::test]
async fn an_attended_transfer_is_a_completed_consult() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let (customer, alice, bob) = (&stage.customer, &stage.alice, &stage.bob);
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let api = stage.api_of(TokenOf::Alice);
    let consult = api.consult(&call.id, json!({"target": "bob"})).await?;
    bob.phone.talking().await?;
    stage.events.until("the expert's answer", |event| event.kind == "consult.answered").await?;
    let outcome = api.transfer(&call.id, json!({"mode": "attended", "consult_id": consult.id})).await?;
    assert_eq!(outcome.as_deref(), Some("connected"));
    stage.assert_hears(&[Expected::voices(customer, [bob]), Expected::voices(bob, [customer])]).await?;
    stage.stop().await;
    Ok(())
}
