//! Whatever happens in a call, the customer hears nothing of a supervisor who monitors or whispers.

use serde_json::json;
use sidetone::sim::phone::Manner;
use sidetone::sim::stage::api::Call;
use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ALICES_NUMBER, Person, Setting, Stage, TEAM_NUMBER, TokenOf};
use sidetone::sim::voice::Voice;
use sidetone::sip::message::StatusCode;
use sidetone::sip::sdp::Direction;

use crate::Story;

fn agent_hears_the_whisper(stage: &Stage) -> [Expected<'_>; 3] {
    let (customer, alice, sam) = (&stage.customer, &stage.alice, &stage.sam);
    [
        Expected::voices(customer, [alice]),
        Expected::voices(alice, [customer, sam]),
        Expected::voices(sam, [customer, alice]),
    ]
}

#[tokio::test]
async fn a_whisper_reaches_the_agent_and_nobody_else() -> Story {
    for codecs in [r#""PCMU""#, r#""PCMA""#, r#""G722", "PCMU""#] {
        let setting = Setting { codecs: Some(codecs.to_owned()), ..Setting::default() };
        let stage = Stage::start(setting).await?;
        let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
        stage.sam_joins(&call, "whisper").await?;

        stage.assert_hears(&agent_hears_the_whisper(&stage)).await?;
        stage.assert_never_heard(&stage.customer, &stage.sam).await?;
        stage.stop().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_supervisor_who_joins_before_during_or_after_a_hold_is_never_heard_by_the_customer() -> Story {
    for joins in [Moment::Before, Moment::During, Moment::After] {
        for role in ["monitor", "whisper"] {
            let stage = Stage::start(Setting::default()).await?;
            let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
            let customer = call.customer().ok_or("no customer")?.id.clone();
            let alice = stage.api_of(TokenOf::Alice);

            joins.is(Moment::Before, &stage, &call, role).await?;
            alice.leg(&call.id, &customer, "hold").await?;
            joins.is(Moment::During, &stage, &call, role).await?;
            stage.assert_hears(&[Expected::music(&stage.customer)]).await?;
            alice.leg(&call.id, &customer, "resume").await?;
            joins.is(Moment::After, &stage, &call, role).await?;

            stage.assert_hears(&[Expected::voices(&stage.customer, [&stage.alice])]).await?;
            stage.assert_never_heard(&stage.customer, &stage.sam).await?;
            stage.stop().await;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Moment {
    Before,
    During,
    After,
}

impl Moment {
    async fn is(self, now: Moment, stage: &Stage, call: &Call, role: &str) -> Story {
        if self == now {
            stage.sam_joins(call, role).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn telephones_that_hold_resume_and_reinvite_open_no_way_to_the_customer() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    stage.sam_joins(&call, "whisper").await?;

    for person in [&stage.alice, &stage.customer, &stage.sam] {
        for direction in [Direction::SendOnly, Direction::Inactive] {
            person.phone.hold(direction).await?;
            person.phone.resume().await?;
            person.phone.refresh().await?;
        }
    }

    stage.assert_hears(&agent_hears_the_whisper(&stage)).await?;
    stage.assert_never_heard(&stage.customer, &stage.sam).await?;
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn two_supervisors_may_whisper_and_monitor_in_any_order() -> Story {
    for (first, second) in [("whisper", "monitor"), ("monitor", "whisper"), ("whisper", "whisper")] {
        let stage = Stage::start(Setting::default()).await?;
        let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
        stage.joins(&stage.sue, TokenOf::Sue, &call, first).await?;
        stage.sam_joins(&call, second).await?;

        stage.assert_hears(&[Expected::voices(&stage.customer, [&stage.alice])]).await?;
        for supervisor in [&stage.sam, &stage.sue] {
            stage.assert_never_heard(&stage.customer, supervisor).await?;
        }
        // A whisper is for the agent alone, not for the other supervisor either.
        stage.assert_never_heard(&stage.sam, &stage.sue).await?;
        stage.assert_never_heard(&stage.sue, &stage.sam).await?;
        stage.stop().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_role_switched_to_and_fro_is_heard_by_the_customer_only_while_it_is_barge() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    let id = stage.sam_joins(&call, "monitor").await?.id;
    for role in ["whisper", "monitor", "whisper"] {
        stage.api.switch(&id, role).await?;
        stage.assert_hears(&[Expected::voices(&stage.customer, [&stage.alice])]).await?;
    }
    stage.assert_never_heard(&stage.customer, &stage.sam).await?;

    stage.api.switch(&id, "barge").await?;
    stage.assert_hears(&[Expected::voices(&stage.customer, [&stage.alice, &stage.sam])]).await?;
    stage.api.switch(&id, "whisper").await?;
    stage.assert_hears(&agent_hears_the_whisper(&stage)).await?;
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn the_customer_receives_the_agents_octets_with_and_without_a_whisper() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    stage.alice.phone.say(noise()).await?;
    let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    let ear = stage.customer.phone.ear().await?;
    ear.wait_for(50).await?;
    let id = stage.sam_joins(&call, "whisper").await?.id;
    ear.wait_for(50).await?;
    stage.api.switch(&id, "monitor").await?;
    ear.wait_for(50).await?;
    stage.api.end_supervision(&id).await?;
    ear.wait_for(50).await?;

    let sent = stage.alice.phone.mouth().await?.sent();
    let heard = ear.payloads();
    // What came before the two were connected is comfort; from the agent's first octets on it is the agent's line.
    let start =
        heard.iter().position(|payload| *payload == sent[SKIPPED]).ok_or("nothing of the agent came")?;
    let heard = &heard[start..];
    assert!(heard.len() >= 150, "only {} packets", heard.len());
    assert_eq!(heard, &sent[SKIPPED..SKIPPED + heard.len()]);
    ear.check_line(start)?;
    stage.stop().await;
    Ok(())
}

/// A voice of which no two packets are the same, so that one in another's place is seen.
fn noise() -> Voice {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as i16 / 8
    };
    Voice::Recording { samples: (0..80_000).map(|_| next()).collect(), rate: 8000 }
}

/// Packets at the beginning of the agent's speech that the gateway may not have passed on yet.
const SKIPPED: usize = 10;

#[tokio::test]
async fn a_whisper_goes_to_the_named_agent_whoever_that_is() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    stage.alice.phone.behave(Manner::Refuse(StatusCode::BUSY_HERE)).await?;
    let call = stage.customer_reaches(TEAM_NUMBER, &stage.bob).await?;
    let subject = call.leg_of("bob").ok_or("no leg of Bob")?.id.clone();
    let asked = stage.api.supervise(&call.id, json!({ "role": "whisper", "subject_leg": subject })).await?;
    stage.sam.phone.talking().await?;
    stage.until_supervision(&asked.id, "an active supervision", |seen| seen.state == "active").await?;

    let bob: &Person = &stage.bob;
    stage
        .assert_hears(&[
            Expected::voices(&stage.customer, [bob]),
            Expected::voices(bob, [&stage.customer, &stage.sam]),
        ])
        .await?;
    stage.assert_never_heard(&stage.customer, &stage.sam).await?;
    stage.stop().await;
    Ok(())
}
