//! Transfers from Teams: REFER from another address on a new connection, and INVITE with Replaces.

use sidetone::sim::phone::{Line, Phone};
use sidetone::sim::teams::{CUSTOMER_HZ, Goodbye, House, Manner, Stage, State};
use sidetone::sim::voice::Voice;

use crate::{
    A_WHILE, AGENT_HZ, HEARD_DBFS, NOT_HEARD_DBFS, TARGET_HZ, TEAMS_HZ, Test, customer_reaches_teams, open,
    teams_reaches_alice, until_heard, until_up,
};

/// Ringing of ours is at least this loud, all in all, where it sounds.
const RINGING_DBFS: f64 = -40.0;

/// One period of every ringing tone and more: 6.6 s of sound hold a burst of it.
const A_PERIOD: usize = 330;

async fn hears_ringing(phone: &Phone) -> Test {
    let ear = phone.ear().await?;
    // What was said before passes first.
    ear.listen(A_WHILE).await?;
    let mut heard = 0;
    loop {
        let clip = ear.listen(A_WHILE).await?;
        heard += A_WHILE;
        assert!(clip.level_of(TARGET_HZ) < NOT_HEARD_DBFS, "nobody has answered");
        if clip.level() > RINGING_DBFS && clip.level_of(TEAMS_HZ) < NOT_HEARD_DBFS {
            return Ok(());
        }
        assert!(heard < A_PERIOD, "silence for a whole period of the ringing tone");
    }
}

/// The customer and the target of a transfer, which is the call `target`, hear each other.
async fn customer_and_target_talk(house: &House, target: usize) -> Test {
    let (at_target, at_customer) =
        (house.proxy.ear(target).await?.ok_or("an ear")?, house.customer.ear().await?);
    until_heard(&at_customer, TARGET_HZ).await?;
    until_heard(&at_target, CUSTOMER_HZ).await?;
    let clip = at_customer.listen(A_WHILE).await?;
    assert!(clip.level_of(TEAMS_HZ) < NOT_HEARD_DBFS, "the transferor is gone: {}", clip.level_of(TEAMS_HZ));
    Ok(())
}

fn accepted(state: &State) -> bool {
    state.seen.answers.contains(&("REFER".to_owned(), 202))
}

fn told(state: &State, status: &str) -> bool {
    state.seen.notified.iter().any(|(line, _)| line.contains(status))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_10_a_referral_to_a_user_without_a_user_part_comes_back_as_an_invite_with_the_very_bytes()
-> Test {
    let house = open().await?;
    let call = customer_reaches_teams(&house).await?;
    house.proxy.set_manner(Manner::Ring).await?;
    house.proxy.set_voice(Voice::tone(TARGET_HZ)).await?;
    house.proxy.hold(call, true).await?;
    house.proxy.until("the hold is answered", |state| state.seen.descriptions.len() == 2).await?;
    house.proxy.refer(call, None, Goodbye::InTime).await?;

    let rings = |state: &State| state.stages.get(1) == Some(&Some(Stage::Coming)) && told(state, " 180 ");
    let state = house.proxy.until("the target rings", rings).await?;
    assert!(accepted(&state), "{:?}", state.seen.answers);
    assert!(
        state
            .seen
            .notified
            .first()
            .is_some_and(|(line, state)| line == "SIP/2.0 100 Trying" && state.starts_with("active")),
        "{:?}",
        state.seen.notified
    );
    // Pitfall 13: held, and yet the target is offered a call that speaks.
    let offer = state.seen.descriptions.last().ok_or("an offer")?;
    assert_eq!(offer.direction, "sendrecv");
    hears_ringing(&house.customer).await?;

    house.proxy.answer(1).await?;
    let over = |state: &State| state.stages == [Some(Stage::Over(None)), Some(Stage::Up)];
    let state = house.proxy.until("the transferor hangs up", over).await?;
    let (line, subscription) = state.seen.notified.last().ok_or("news")?;
    assert!(
        line.starts_with("SIP/2.0 200") && subscription.starts_with("terminated"),
        "{line} {subscription}"
    );
    customer_and_target_talk(&house, 1).await?;
    let state = house.proxy.state();
    assert_eq!(state.seen.requests.get("BYE"), None, "the old call is Microsoft's to end");
    assert!(state.seen.broken.is_empty(), "{:?}", state.seen.broken);

    house.customer.hang_up().await?;
    house
        .proxy
        .until("the new call ends", |state| state.stages.get(1) == Some(&Some(Stage::Over(None))))
        .await?;
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_referral_to_a_number_goes_back_to_microsoft_as_well() -> Test {
    let house = open().await?;
    let call = teams_reaches_alice(&house).await?;
    house.proxy.set_voice(Voice::tone(TARGET_HZ)).await?;
    house.proxy.refer(call, Some("+15550144"), Goodbye::InTime).await?;
    let over = |state: &State| state.stages == [Some(Stage::Over(None)), Some(Stage::Up)];
    let state = house.proxy.until("the transferor hangs up", over).await?;
    assert!(state.seen.broken.is_empty(), "{:?}", state.seen.broken);
    let (target, alice) = (house.proxy.ear(1).await?.ok_or("an ear")?, house.alice.ear().await?);
    until_heard(&alice, TARGET_HZ).await?;
    until_heard(&target, AGENT_HZ).await?;
    house.alice.hang_up().await?;
    house
        .proxy
        .until("the new call ends", |state| state.stages.get(1) == Some(&Some(Stage::Over(None))))
        .await?;
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_referral_that_fails_leaves_the_old_call_as_it_was() -> Test {
    let house = open().await?;
    let call = customer_reaches_teams(&house).await?;
    house.proxy.set_manner(Manner::Busy).await?;
    house.proxy.refer(call, None, Goodbye::InTime).await?;
    let state = house.proxy.until("news of the failure", |state| told(state, " 486 ")).await?;
    let (_, subscription) = state.seen.notified.last().ok_or("news")?;
    assert!(subscription.starts_with("terminated"), "{subscription}");
    assert_eq!(state.stages, [Some(Stage::Up), Some(Stage::Over(Some(486)))]);

    let (teams, customer) = (house.proxy.ear(call).await?.ok_or("an ear")?, house.customer.ear().await?);
    until_heard(&customer, TEAMS_HZ).await?;
    until_heard(&teams, CUSTOMER_HZ).await?;
    assert_eq!(house.proxy.state().seen.requests.get("BYE"), None);
    house.proxy.bye(call).await?;
    house.customer.over().await?;
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transferor_that_hangs_up_early_does_not_strand_the_customer() -> Test {
    let house = open().await?;
    let call = customer_reaches_teams(&house).await?;
    house.proxy.set_manner(Manner::Ring).await?;
    house.proxy.set_voice(Voice::tone(TARGET_HZ)).await?;
    house.proxy.refer(call, None, Goodbye::Early).await?;
    let gone = |state: &State| {
        state.stages == [Some(Stage::Over(None)), Some(Stage::Coming)]
            && state.seen.answers.contains(&("BYE".to_owned(), 200))
    };
    house.proxy.until("the transferor is gone and the target rings", gone).await?;
    hears_ringing(&house.customer).await?;
    assert_eq!(house.customer.status().line, Line::Talking);
    house.proxy.answer(1).await?;
    until_up(&house, 1).await?;
    customer_and_target_talk(&house, 1).await?;
    assert!(house.proxy.state().seen.broken.is_empty(), "{:?}", house.proxy.state().seen.broken);
    house.customer.hang_up().await?;
    house
        .proxy
        .until("the new call ends", |state| state.stages.get(1) == Some(&Some(Stage::Over(None))))
        .await?;
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invite_with_replaces_takes_the_place_of_a_call_and_rings_nobody() -> Test {
    let house = open().await?;
    let call = teams_reaches_alice(&house).await?;
    let rung = house.alice.status().calls_in;
    house.proxy.set_voice(Voice::tone(TARGET_HZ)).await?;
    let new = house.proxy.call_replacing(call, "+15550122").await?;
    until_up(&house, new).await?;
    let replaced = |state: &State| state.stages == [Some(Stage::Over(None)), Some(Stage::Up)];
    house.proxy.until("the old call is hung up by us", replaced).await?;
    let (target, alice) = (house.proxy.ear(new).await?.ok_or("an ear")?, house.alice.ear().await?);
    until_heard(&alice, TARGET_HZ).await?;
    until_heard(&target, AGENT_HZ).await?;
    let clip = alice.listen(A_WHILE).await?;
    assert!(clip.level_of(TARGET_HZ) > HEARD_DBFS && clip.level_of(TEAMS_HZ) < NOT_HEARD_DBFS);
    assert_eq!(house.alice.status().calls_in, rung, "nobody is rung");

    // The call that was replaced is known no more.
    let late = house.proxy.call_replacing(call, "+15550133").await?;
    house.proxy.until("481", |state| state.stages.get(late) == Some(&Some(Stage::Over(Some(481))))).await?;
    assert_eq!(house.alice.status().line, Line::Talking);
    assert_eq!(house.alice.status().calls_in, rung);
    house.gateway.stop().await;
    Ok(())
}
