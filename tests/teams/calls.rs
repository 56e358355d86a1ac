//! Calls from Teams: encrypted sound both ways, hold as Microsoft holds, keys that change.

use sidetone::sim::teams::{Rule, Stage};

use crate::{A_WHILE, AGENT_HZ, HEARD_DBFS, NOT_HEARD_DBFS, TEAMS_HZ, Test, open, teams_reaches_alice};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_teams_user_calls_an_agent_and_each_hears_the_other_through_srtp() -> Test {
    let house = open().await?;
    let call = teams_reaches_alice(&house).await?;

    let teams = house.proxy.ear(call).await?.ok_or("the proxy has an ear")?;
    let alice = house.alice.ear().await?;
    let (at_teams, at_alice) = (teams.listen(A_WHILE).await?, alice.listen(A_WHILE).await?);
    assert!(at_teams.level_of(AGENT_HZ) > HEARD_DBFS, "{}", at_teams.level_of(AGENT_HZ));
    assert!(at_teams.level_of(TEAMS_HZ) < NOT_HEARD_DBFS, "nobody hears himself");
    assert!(at_alice.level_of(TEAMS_HZ) > HEARD_DBFS, "{}", at_alice.level_of(TEAMS_HZ));

    let state = house.proxy.state();
    let answer = state.seen.descriptions.first().ok_or("an answer")?;
    assert_eq!(answer.profile, "RTP/SAVP");
    assert_eq!(answer.crypto.len(), 1, "one line, of the suite and tag that may be taken");
    assert_eq!(answer.crypto[0].tag, "2", "neither the 32-bit tag nor the key with an MKI");
    assert!(!answer.webrtc && answer.medias == 1);
    let within =
        [Rule::NotAlongTheRoute, Rule::MethodNotAllowed, Rule::NoUsableKey, Rule::DirectionNotUnderstood];
    assert!(within.into_iter().all(|rule| !state.seen.broke(rule)), "{:?}", state.seen.broken);

    house.proxy.bye(call).await?;
    house.alice.over().await?;
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_by_inactive_is_answered_inactive_and_sound_comes_back_with_a_new_key() -> Test {
    let house = open().await?;
    let call = teams_reaches_alice(&house).await?;
    let alice = house.alice.ear().await?;
    alice.listen(A_WHILE).await?;

    house.proxy.hold(call, true).await?;
    let held = house.proxy.until("the hold is answered", |state| state.seen.descriptions.len() == 2).await?;
    let answer = held.seen.descriptions.last().ok_or("an answer")?;
    assert_eq!(answer.direction, "inactive");
    assert!(answer.address.is_some_and(|address| !address.ip().is_unspecified()), "a real address");

    house.proxy.rekey(call).await?;
    house.proxy.until("the new key is answered", |state| state.seen.descriptions.len() == 3).await?;
    house.proxy.hold(call, false).await?;
    house.proxy.until("the call is resumed", |state| state.seen.descriptions.len() == 4).await?;
    let teams = house.proxy.ear(call).await?.ok_or("the proxy has an ear")?;
    // What was under way meanwhile passes first: music, comfort.
    alice.listen(A_WHILE).await?;
    let (at_teams, at_alice) = (teams.listen(A_WHILE).await?, alice.listen(A_WHILE).await?);
    assert!(at_alice.level_of(TEAMS_HZ) > HEARD_DBFS, "{}", at_alice.level_of(TEAMS_HZ));
    assert!(at_teams.level_of(AGENT_HZ) > HEARD_DBFS, "{}", at_teams.level_of(AGENT_HZ));

    house.alice.hang_up().await?;
    house.proxy.until("the gateway hangs up", |state| state.stages == [Some(Stage::Over(None))]).await?;
    assert!(!house.proxy.state().seen.broke(Rule::NotAlongTheRoute), "{:?}", house.proxy.state().seen.broken);
    house.gateway.stop().await;
    Ok(())
}
