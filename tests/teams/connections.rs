//! A connection is a way and not a tie: what belongs to a call comes from any site of Microsoft's, and by any connection.

use std::collections::BTreeSet;

use sidetone::sim::teams::{Rule, Stage, State};

use crate::{Test, customer_reaches_teams, open, they_talk};

/// Whether the last answer to what the proxy sent is this one.
fn answered_last(state: &State, method: &str, status: u16) -> bool {
    state.seen.answers.last().is_some_and(|(asked, said)| asked == method && *said == status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_a_call_comes_from_anywhere_on_any_connection() -> Test {
    let house = open().await?;
    let call = customer_reaches_teams(&house).await?;
    they_talk(&house, call).await?;

    // The connection that the INVITE went over is no more, and every request comes on one of its own.
    house.proxy.part(0).await?;
    they_talk(&house, call).await?;
    house.proxy.roam(call).await?;
    let before = house.proxy.state().seen.answers.len();

    house.proxy.hold(call, true).await?;
    let held = house.proxy.until("the hold is answered", |state| answered_last(state, "INVITE", 200)).await?;
    assert_eq!(held.seen.descriptions.last().ok_or("an answer")?.direction, "inactive");
    house.proxy.rekey(call).await?;
    let answers = |state: &State, count: usize| state.seen.answers.len() == before + count;
    house.proxy.until("the new key is answered", |state| answers(state, 2)).await?;
    house.proxy.hold(call, false).await?;
    let resumed = house.proxy.until("the call is resumed", |state| answers(state, 3)).await?;
    assert_eq!(resumed.seen.descriptions.last().ok_or("an answer")?.direction, "sendrecv");
    they_talk(&house, call).await?;

    house.proxy.bye(call).await?;
    let end = house.customer.over().await?;
    assert_eq!(end.status, None, "hung up and not refused: {end:?}");
    let state = house.proxy.until("the BYE is answered", |state| answered_last(state, "BYE", 200)).await?;
    assert!(
        state.seen.answers[before..].iter().all(|(_, status)| *status == 200),
        "{:?}",
        state.seen.answers
    );
    // RFC 3261 section 18.2.2: an answer goes back by the connection of its request, and there were four of them.
    let over: BTreeSet<_> = state.seen.answered_over[before..].iter().collect();
    assert_eq!(over.len(), 4, "{:?}", state.seen.answers);
    assert!(!state.seen.broke(Rule::NotAlongTheRoute), "{:?}", state.seen.broken);
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_bye_finds_its_way_when_the_connection_of_the_call_is_gone() -> Test {
    let house = open().await?;
    let call = customer_reaches_teams(&house).await?;
    they_talk(&house, call).await?;
    house.proxy.part(0).await?;
    let accepted = house.proxy.state().accepted;
    they_talk(&house, call).await?;

    house.customer.hang_up().await?;
    let over = |state: &State| state.stages == [Some(Stage::Over(None))];
    let state = house.proxy.until("the gateway hangs up", over).await?;
    assert!(state.accepted > accepted, "over a new connection of ours");
    assert_eq!(state.seen.requests.get("BYE"), Some(&1));
    assert!(state.seen.broken.is_empty(), "{:?}", state.seen.broken);
    house.gateway.stop().await;
    Ok(())
}
