//! A call that finds nobody ends in the answer that says why, and one that finds somebody else goes on.

use sidetone::sim::phone::{Line, Manner, PhoneError, Side};
use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ABSENT_NUMBER, ALICES_NUMBER, Setting, Stage, TEAM_NUMBER, UNKNOWN_NUMBER};
use sidetone::sip::message::StatusCode;

use crate::Story;

#[tokio::test]
async fn busy_declining_absent_and_unknown_each_have_their_answer_and_event() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    for (manner, number, status, kind, cause) in [
        (Manner::Refuse(StatusCode::BUSY_HERE), ALICES_NUMBER, StatusCode::BUSY_HERE, "call.ended", "busy"),
        (Manner::Refuse(StatusCode::DECLINE), ALICES_NUMBER, StatusCode::DECLINE, "call.ended", "declined"),
        (Manner::Answer, ABSENT_NUMBER, StatusCode::TEMPORARILY_UNAVAILABLE, "call.ended", "unreachable"),
        (Manner::Answer, UNKNOWN_NUMBER, StatusCode::NOT_FOUND, "call.refused", "not_found"),
    ] {
        stage.alice.phone.behave(manner).await?;
        stage.customer_dials(number).await?;
        match stage.customer.phone.talking().await {
            Err(PhoneError::Refused(code)) => assert_eq!(code, status, "{number}"),
            other => return Err(format!("{number}: {other:?}").into()),
        }
        stage.events.until(cause, |event| event.kind == kind && event.data["cause"] == cause).await?;
        stage.until_no_call().await?;
    }
    stage.until_ports_free().await?;
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn the_second_agent_is_rung_when_the_first_is_busy() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    stage.alice.phone.behave(Manner::Refuse(StatusCode::BUSY_HERE)).await?;
    stage.customer_reaches(TEAM_NUMBER, &stage.bob).await?;
    stage
        .assert_hears(&[
            Expected::voices(&stage.customer, [&stage.bob]),
            Expected::voices(&stage.bob, [&stage.customer]),
        ])
        .await?;
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_customer_who_gives_up_leaves_no_telephone_ringing() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    stage.alice.phone.behave(Manner::Ring).await?;
    stage.customer_dials(ALICES_NUMBER).await?;
    stage.alice.phone.ringing().await?;
    stage.customer.phone.hang_up().await?;

    let end = stage.alice.phone.over().await?;
    assert_eq!((end.by, end.status), (Side::Them, Some(StatusCode::REQUEST_TERMINATED)));
    let end = stage.customer.phone.over().await?;
    assert_eq!(end.status, Some(StatusCode::REQUEST_TERMINATED));
    stage.until_no_call().await?;
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn an_agent_who_hangs_up_ends_the_call_for_all() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    stage.sam_joins(&call, "monitor").await?;
    stage.alice.phone.hang_up().await?;
    for person in [&stage.customer, &stage.sam] {
        assert_eq!(person.phone.over().await?.by, Side::Them);
    }
    stage.until_no_call().await?;
    stage.until_ports_free().await?;
    assert!(matches!(stage.alice.phone.status().line, Line::Over(_)));
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_supervisor_who_hangs_up_leaves_the_call_as_it_was() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    stage.sam_joins(&call, "barge").await?;
    stage.sam.phone.hang_up().await?;
    stage
        .assert_hears(&[
            Expected::voices(&stage.customer, [&stage.alice]),
            Expected::voices(&stage.alice, [&stage.customer]),
        ])
        .await?;
    stage.stop().await;
    Ok(())
}
