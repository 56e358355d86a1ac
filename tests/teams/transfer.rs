//! Transfers from Teams: REFER from another address on a new connection, and INVITE with Replaces.

use sidetone::sim::phone::{Line, Phone};
use sidetone::sim::teams::{CUSTOMER_HZ, Goodbye, House, Manner, Stage, State};
use sidetone::sim::voice::Voice;

use crate::{
    A_WHILE, AGENT_HZ, HEARD_DBFS, NOT_HEARD_DBFS, TARGET_HZ, TEAMS_HZ, Test, customer_reaches_teams, open,
    teams_reaches_alice, they_talk, until_heard, until_up,
};

/// What is heard of the one who joined two calls at Microsoft.
const JOINED_HZ: f64 = 2093.0;

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
    // Refused at once, and refused after it has rung for a while.
    for (manner, status) in [(Manner::Busy, 486), (Manner::Ring, 480), (Manner::Ring, 603)] {
        let house = open().await?;
        let call = customer_reaches_teams(&house).await?;
        they_talk(&house, call).await?;
        house.proxy.set_manner(manner).await?;
        house.proxy.set_voice(Voice::tone(TARGET_HZ)).await?;
        house.proxy.hold(call, true).await?;
        house.proxy.until("the hold is answered", |state| state.seen.descriptions.len() == 2).await?;
        house.proxy.refer(call, None, Goodbye::InTime).await?;
        if manner == Manner::Ring {
            house.proxy.until("the target rings", |state| told(state, " 180 ")).await?;
            hears_ringing(&house.customer).await?;
            house.proxy.reject(1, status).await?;
        }
        let news = format!(" {status} ");
        let state = house.proxy.until("news of the failure", |state| told(state, &news)).await?;
        let (_, subscription) = state.seen.notified.last().ok_or("news")?;
        assert!(subscription.starts_with("terminated"), "{subscription}");
        assert_eq!(
            state.stages,
            [Some(Stage::Up), Some(Stage::Over(Some(status)))],
            "and nothing else is tried"
        );
        let answers = state.seen.answers.len();

        // Microsoft takes the customer off hold, and all is as it was.
        house.proxy.hold(call, false).await?;
        let state =
            house.proxy.until("the call is resumed", |state| state.seen.answers.len() > answers).await?;
        assert_eq!(state.seen.answers.last(), Some(&("INVITE".to_owned(), 200)), "{manner:?} {status}");
        they_talk(&house, call).await?;
        let state = house.proxy.state();
        assert_eq!((state.seen.requests.get("BYE"), state.stages.len()), (None, 2), "{manner:?} {status}");
        assert!(state.seen.broken.is_empty(), "{:?}", state.seen.broken);
        house.proxy.bye(call).await?;
        house.customer.over().await?;
        house.gateway.stop().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consulted_target_has_the_customer_at_once_and_no_replaces_is_sent() -> Test {
    let house = open().await?;
    let call = customer_reaches_teams(&house).await?;
    they_talk(&house, call).await?;
    house.proxy.hold(call, true).await?;
    house.proxy.until("the hold is answered", |state| state.seen.descriptions.len() == 2).await?;
    // The transferor and the target talk within Microsoft, which nobody here sees.
    house.proxy.set_voice(Voice::tone(TARGET_HZ)).await?;
    house.proxy.refer_to_consulted(call, None).await?;
    let over = |state: &State| state.stages == [Some(Stage::Over(None)), Some(Stage::Up)];
    let state = house.proxy.until("the transferor hangs up", over).await?;
    assert!(accepted(&state), "{:?}", state.seen.answers);
    let (line, subscription) = state.seen.notified.last().ok_or("news")?;
    assert!(line.starts_with("SIP/2.0 200") && subscription.starts_with("terminated"), "{line}");
    let invite = state.seen.last_invite.ok_or("an INVITE")?;
    let invite = String::from_utf8_lossy(&invite).to_ascii_lowercase();
    // Microsoft refuses it since April 2022, and a Request-URI has no headers (RFC 3261 section 19.1.1).
    assert!(!invite.contains("\r\nreplaces:") && !invite.contains("?replaces"), "{invite}");
    customer_and_target_talk(&house, 1).await?;
    let state = house.proxy.state();
    assert_eq!(state.seen.requests.get("BYE"), None, "the old call is Microsoft's to end");
    assert!(state.seen.broken.is_empty(), "{:?}", state.seen.broken);
    house.customer.hang_up().await?;
    house.customer.over().await?;
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consult_that_went_through_us_is_joined_by_microsoft_and_both_ends_are_bridged_anew() -> Test {
    let house = open().await?;
    let call = customer_reaches_teams(&house).await?;
    they_talk(&house, call).await?;
    house.proxy.hold(call, true).await?;
    house.proxy.until("the hold is answered", |state| state.seen.descriptions.len() == 2).await?;
    // The transferor consults Alice, who is behind us: a second call, which the customer hears nothing of.
    let consult = teams_reaches_alice(&house).await?;
    let (alice, customer) = (house.alice.ear().await?, house.customer.ear().await?);
    until_heard(&alice, TEAMS_HZ).await?;
    customer.listen(A_WHILE).await?;
    let private = customer.listen(A_WHILE).await?;
    assert!(private.level_of(AGENT_HZ) < NOT_HEARD_DBFS && private.level_of(TEAMS_HZ) < NOT_HEARD_DBFS);

    // The customer is called back to Microsoft; Microsoft joins the new call with Alice's, whose place it takes.
    house.proxy.set_voice(Voice::tone(TARGET_HZ)).await?;
    house.proxy.refer_to_consulted(call, Some(consult)).await?;
    let referred = |state: &State| {
        state.stages.first() == Some(&Some(Stage::Over(None)))
            && state.stages.get(2) == Some(&Some(Stage::Up))
    };
    house.proxy.until("the transferor hangs up", referred).await?;
    house.proxy.set_voice(Voice::tone(JOINED_HZ)).await?;
    let joined = house.proxy.call_replacing(consult, "+15550122").await?;
    until_up(&house, joined).await?;
    let replaced = |state: &State| state.stages.get(consult) == Some(&Some(Stage::Over(None)));
    house.proxy.until("the consult is hung up by us", replaced).await?;

    customer_and_target_talk(&house, 2).await?;
    let at_joined = house.proxy.ear(joined).await?.ok_or("an ear")?;
    until_heard(&alice, JOINED_HZ).await?;
    until_heard(&at_joined, AGENT_HZ).await?;
    assert_eq!(house.alice.status().calls_in, 1, "and she was rung once");
    assert!(house.proxy.state().seen.broken.is_empty(), "{:?}", house.proxy.state().seen.broken);
    house.customer.hang_up().await?;
    house.alice.hang_up().await?;
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
