//! An agent asks an expert, with ears on it: what is said in private stays there, and the customer is never lost.

use serde_json::json;
use sidetone::sim::phone::{Line, Manner, Side};
use sidetone::sim::stage::api::Call;
use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage, TokenOf};
use sidetone::sip::message::StatusCode;

use crate::Story;

/// Alice asks bob, who answers.
async fn consulting(stage: &Stage, call: &Call) -> Result<String, Box<dyn std::error::Error>> {
    let consult = stage.api_of(TokenOf::Alice).consult(&call.id, json!({"target": "bob"})).await?;
    stage.bob.phone.talking().await?;
    stage.events.until("the expert's answer", |event| event.kind == "consult.answered").await?;
    Ok(consult.id)
}

#[tokio::test]
async fn private_talk_swap_merge_and_hand_over_are_heard_by_whom_they_are_for() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let (customer, alice, bob, sam) = (&stage.customer, &stage.alice, &stage.bob, &stage.sam);
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let api = stage.api_of(TokenOf::Alice);
    let ear = customer.phone.ear().await?;
    ear.wait_for(10).await?;
    let mark = ear.count();

    let consult = consulting(&stage, &call).await?;
    // A supervisor who comes late hears the private talk, and is heard by nobody.
    stage.sam_joins(&call, "monitor").await?;
    let private = [
        Expected::music(customer),
        Expected::voices(alice, [bob]),
        Expected::voices(bob, [alice]),
        Expected::voices(sam, [alice, bob]),
    ];
    stage.assert_hears(&private).await?;

    for (whom, customer_hears, alice_hears, bob_hears) in [
        ("customer", Expected::voices(customer, [alice]), vec![customer], Expected::music(bob)),
        ("both", Expected::voices(customer, [alice]), vec![customer, bob], Expected::voices(bob, [alice])),
        (
            "conference",
            Expected::voices(customer, [alice, bob]),
            vec![customer, bob],
            Expected::voices(bob, [alice, customer]),
        ),
        ("expert", Expected::music(customer), vec![bob], Expected::voices(bob, [alice])),
    ] {
        let now = api.speak_to(&consult, whom).await?;
        assert_eq!(now.speak_to.as_deref(), Some(whom));
        stage.assert_hears(&[customer_hears, Expected::voices(alice, alice_hears), bob_hears]).await?;
        stage.assert_never_heard(customer, sam).await?;
    }

    api.end_consult(&consult, "complete").await?;
    assert_eq!(alice.phone.over().await?.by, Side::Them);
    stage.assert_hears(&[Expected::voices(customer, [bob]), Expected::voices(bob, [customer])]).await?;
    stage.events.until("the hand-over", |event| event.kind == "consult.completed").await?;
    assert_eq!(customer.phone.status().line, Line::Talking);
    ear.check_line(mark)?;
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn whatever_becomes_of_the_expert_the_customer_is_back_with_the_agent() -> Story {
    for (manner, cause) in [
        (Manner::Refuse(StatusCode::BUSY_HERE), "busy"),
        (Manner::Refuse(StatusCode::DECLINE), "declined"),
        (Manner::Ring, "no_answer"),
    ] {
        let stage = Stage::start(Setting::default()).await?;
        let (customer, alice, bob) = (&stage.customer, &stage.alice, &stage.bob);
        let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
        bob.phone.behave(manner).await?;
        let api = stage.api_of(TokenOf::Alice);
        api.consult(&call.id, json!({"target": "bob", "ring_s": 1})).await?;
        let failed =
            stage.events.until("the end of the consult", |event| event.kind == "consult.failed").await?;
        assert_eq!(failed.data["cause"], cause);
        stage
            .assert_hears(&[Expected::voices(customer, [alice]), Expected::voices(alice, [customer])])
            .await?;
        stage.stop().await;
    }
    Ok(())
}

#[tokio::test]
async fn an_expert_who_hangs_up_and_an_agent_who_does_leave_nobody_alone() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let (customer, alice, bob) = (&stage.customer, &stage.alice, &stage.bob);
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    consulting(&stage, &call).await?;
    bob.phone.hang_up().await?;
    stage.events.until("the end of the consult", |event| event.kind == "consult.ended").await?;
    stage.assert_hears(&[Expected::voices(customer, [alice]), Expected::voices(alice, [customer])]).await?;

    let consult = stage.api_of(TokenOf::Alice).consult(&call.id, json!({"target": "bob"})).await?;
    bob.phone.talking().await?;
    stage
        .events
        .until("the second expert's answer", |event| {
            event.kind == "consult.answered" && event.data["consult"] == consult.id
        })
        .await?;
    alice.phone.hang_up().await?;
    stage.assert_hears(&[Expected::voices(customer, [bob]), Expected::voices(bob, [customer])]).await?;
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn an_expert_whose_telephone_is_off_leaves_the_customer_with_the_agent_at_once() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let (customer, alice) = (&stage.customer, &stage.alice);
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    // Dave has never registered.
    let begun = stage.api_of(TokenOf::Alice).consult(&call.id, json!({"target": "dave"})).await;
    let failed = stage.events.until("the end of the consult", |event| event.kind == "consult.failed").await?;
    assert_eq!(failed.data["cause"], "unreachable", "{begun:?}");
    stage.assert_hears(&[Expected::voices(customer, [alice]), Expected::voices(alice, [customer])]).await?;
    stage.stop().await;
    Ok(())
}
