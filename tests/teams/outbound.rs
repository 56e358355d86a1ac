//! Calls to Teams: a customer behind a carrier, a user of Teams, and a proxy with its moods between them.

use sidetone::sim::phone::Status;
use sidetone::sim::teams::{CUSTOMER, CUSTOMER_HZ, FQDN, House, Manner, Rule, Stage, State, USER};

use crate::{
    A_WHILE, HEARD_DBFS, NOT_HEARD_DBFS, TEAMS_HZ, Test, customer_reaches_teams, open, until_heard, until_up,
};

/// How many provisional answers but 100 the caller got.
fn above_100(status: &Status) -> usize {
    status.provisional.iter().filter(|status| status.as_u16() > 100).count()
}

/// Customer and Teams user hear each other, and not themselves.
async fn they_talk(house: &House, call: usize) -> Test {
    let (teams, customer) = (house.proxy.ear(call).await?.ok_or("an ear")?, house.customer.ear().await?);
    until_heard(&customer, TEAMS_HZ).await?;
    until_heard(&teams, CUSTOMER_HZ).await?;
    let (at_teams, at_customer) = (teams.listen(A_WHILE).await?, customer.listen(A_WHILE).await?);
    assert!(at_teams.level_of(CUSTOMER_HZ) > HEARD_DBFS, "{}", at_teams.level_of(CUSTOMER_HZ));
    assert!(at_customer.level_of(TEAMS_HZ) > HEARD_DBFS, "{}", at_customer.level_of(TEAMS_HZ));
    assert!(
        at_teams.level_of(TEAMS_HZ) < NOT_HEARD_DBFS && at_customer.level_of(CUSTOMER_HZ) < NOT_HEARD_DBFS
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_16_a_carriers_call_to_a_teams_user_is_offered_early_and_secured_and_breaks_no_rule() -> Test
{
    let house = open().await?;
    let call = customer_reaches_teams(&house).await?;
    they_talk(&house, call).await?;

    let state = house.proxy.state();
    assert!(state.seen.broken.is_empty(), "{:?}", state.seen.broken);
    let invite = state.seen.last_invite.ok_or("an INVITE")?;
    let invite = String::from_utf8_lossy(&invite);
    let line = |name: &str| invite.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    assert!(
        line("INVITE ").starts_with(&format!("INVITE sip:{USER}@sip.pstnhub.microsoft.com:")),
        "{invite}"
    );
    assert!(line("INVITE ").contains(";user=phone"), "{invite}");
    assert!(line("From: ").contains(&format!("sip:{CUSTOMER}@{FQDN}")), "{invite}");
    assert!(line("From: ").contains("user=phone"), "{invite}");
    assert!(line("Contact: ").contains(FQDN) && line("Record-Route: ").is_empty(), "{invite}");
    // Pitfall 15: one suite, with its lifetime and without an MKI; nothing of GCM, nothing of 32 bits.
    let offer = state.seen.descriptions.first().ok_or("an offer")?;
    assert_eq!((offer.profile.as_str(), offer.crypto.len()), ("RTP/SAVP", 1));
    let crypto = offer.crypto.first().ok_or("a line")?;
    assert_eq!(
        (crypto.suite.as_str(), crypto.after.as_slice()),
        ("AES_CM_128_HMAC_SHA1_80", &["2^31".to_owned()][..])
    );

    house.customer.hang_up().await?;
    house.proxy.until("the gateway hangs up", |state| state.stages == [Some(Stage::Over(None))]).await?;
    assert!(house.proxy.state().seen.broken.is_empty(), "{:?}", house.proxy.state().seen.broken);
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_18_two_devices_ring_and_a_third_tag_answers_and_the_caller_is_told_once() -> Test {
    let house = open().await?;
    house.proxy.set_manner(Manner::Forks).await?;
    house.customer_dials(USER).await?;
    house.customer.until("ringing", |status| above_100(status) > 0).await?;
    house.proxy.answer(0).await?;
    until_up(&house, 0).await?;
    let status = house.customer.talking().await?;
    assert_eq!(above_100(&status), 1, "{:?}", status.provisional);
    they_talk(&house, 0).await?;
    let state = house.proxy.state();
    assert!(state.seen.broken.is_empty(), "{:?}", state.seen.broken);
    house.proxy.bye(0).await?;
    house.customer.over().await?;
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_183_is_told_once_and_the_call_comes_up() -> Test {
    let house = open().await?;
    house.proxy.set_manner(Manner::Silent183).await?;
    house.customer_dials(USER).await?;
    house.customer.until("ringing", |status| above_100(status) > 0).await?;
    house.proxy.answer(0).await?;
    until_up(&house, 0).await?;
    let status = house.customer.talking().await?;
    assert_eq!(above_100(&status), 1, "{:?}", status.provisional);
    they_talk(&house, 0).await?;
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_19_busy_and_declined_reach_the_caller_and_are_tried_nowhere_else() -> Test {
    for (manner, wanted) in [(Manner::Busy, 486), (Manner::Decline, 603)] {
        let house = open().await?;
        house.proxy.set_manner(manner).await?;
        house.customer_dials(USER).await?;
        let end = house.customer.over().await?;
        assert!(end.status.is_some_and(|status| status.as_u16() == wanted), "{end:?}");
        assert_eq!(house.proxy.state().seen.requests.get("INVITE"), Some(&1), "{manner:?}");
        house.gateway.stop().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_site_is_left_for_the_next_and_rests_as_long_as_it_asked() -> Test {
    let house = open().await?;
    house.proxy.set_manner_at(0, Manner::Unavailable(50)).await?;
    house.customer_dials(USER).await?;
    house.customer.talking().await?;
    // The customer may talk a moment before our ACK has reached the proxy.
    let wanted = [Some(Stage::Over(Some(503))), Some(Stage::Up)];
    house.proxy.until("the next site has the call", |state| state.stages == wanted).await?;
    they_talk(&house, 1).await?;
    house.customer.hang_up().await?;
    house.customer.over().await?;
    house
        .proxy
        .until("the call is over", |state| state.stages.get(1) == Some(&Some(Stage::Over(None))))
        .await?;

    // It is well again, and is not asked: it wanted 50 s.
    house.proxy.set_manner_at(0, Manner::Answer).await?;
    house.customer_dials(USER).await?;
    house.customer.talking().await?;
    let state = house.proxy.state();
    assert_eq!((state.stages.len(), state.seen.invites_at.as_slice()), (3, &[0, 1, 1][..]));
    assert!(!state.seen.broke(Rule::NotAlongTheRoute), "{:?}", state.seen.broken);
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallen_site_costs_a_call_nothing() -> Test {
    let house = open().await?;
    let paired = |state: &State| state.seen.options.len() == 3;
    house.proxy.until("all three sites are known", paired).await?;
    house.proxy.fall(0).await?;
    house.customer_dials(USER).await?;
    house.customer.talking().await?;
    they_talk(&house, 0).await?;
    assert_eq!(house.proxy.state().seen.invites_at, [1]);
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_teams_user_calls_out_through_the_carrier() -> Test {
    let house = open().await?;
    let call = house.proxy.call(USER, CUSTOMER).await?;
    until_up(&house, call).await?;
    house.customer.talking().await?;
    they_talk(&house, call).await?;
    assert!(house.proxy.state().seen.broken.is_empty(), "{:?}", house.proxy.state().seen.broken);
    house.customer.hang_up().await?;
    house.proxy.until("the gateway hangs up", |state| state.stages == [Some(Stage::Over(None))]).await?;
    house.gateway.stop().await;
    Ok(())
}
