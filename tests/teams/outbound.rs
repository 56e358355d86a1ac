//! Calls to Teams: a customer behind a carrier, a user of Teams, and a proxy with its moods between them.

use sidetone::sim::ear::Ear;
use sidetone::sim::phone::Status;
use sidetone::sim::teams::{CUSTOMER, FQDN, Manner, Rule, Stage, State, USER};

use crate::{
    A_WHILE, NOT_HEARD_DBFS, TEAMS_HZ, Test, customer_reaches_teams, open, they_talk, until_heard, until_up,
};

/// The ringing tone of the house: the American one, each of its two tones at this level.
const RINGING_HZ: [f64; 2] = [440.0, 480.0];
const RINGING_DBFS: f64 = -22.0;

/// A whole period of it and more: 6.6 s.
const A_PERIOD: usize = 330;

/// How many provisional answers but 100 the caller got.
fn above_100(status: &Status) -> usize {
    status.provisional.iter().filter(|status| status.as_u16() > 100).count()
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

/// Until our ringing sounds, both tones of it and at the level it is made with, or until it pauses: it has 2 s of 6.
async fn until_ringing(ear: &Ear, sounds: bool) -> Test {
    for _ in 0..A_PERIOD / A_WHILE {
        let clip = ear.listen(A_WHILE).await?;
        assert!(clip.level_of(TEAMS_HZ) < NOT_HEARD_DBFS, "nobody has spoken");
        let tones = RINGING_HZ.map(|hz| clip.level_of(hz));
        let heard = match sounds {
            true => tones.iter().all(|level| (level - RINGING_DBFS).abs() < 3.0),
            false => clip.level() < NOT_HEARD_DBFS,
        };
        if heard {
            return Ok(());
        }
    }
    Err(format!("{}: a whole period of ringing passed; waited for sound: {sounds}", ear.name()).into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_183_is_covered_by_our_ringing_at_the_callers_ear_until_sound_truly_comes() -> Test {
    let house = open().await?;
    house.proxy.set_manner(Manner::Silent183).await?;
    house.customer_dials(USER).await?;
    let status = house.customer.until("early media", |status| status.agreed.is_some()).await?;
    assert_eq!(
        status.provisional.last().map(|status| status.as_u16()),
        Some(183),
        "{:?}",
        status.provisional
    );
    let ear = house.customer.ear().await?;
    // Burst, pause and burst again: it goes on for as long as nothing comes.
    for sounds in [true, false, true] {
        until_ringing(&ear, sounds).await?;
    }

    house.proxy.speak_early(0).await?;
    until_heard(&ear, TEAMS_HZ).await?;
    let mark = ear.count();
    ear.listen(A_PERIOD).await?;
    let all = ear.since(mark);
    for hz in RINGING_HZ {
        let loudest = all.loudest_of(hz, all.rate as usize / 2);
        assert!(loudest < NOT_HEARD_DBFS, "ringing over the sound: {hz} Hz at {loudest:.1} dBFS");
    }
    assert_eq!(house.proxy.state().stages, [Some(Stage::Coming)], "and nobody has answered");
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
    let refusals = [(Manner::Busy, 486, "Q.850;cause=17"), (Manner::Decline, 603, "Q.850;cause=21")];
    for (manner, wanted, reason) in refusals {
        let house = open().await?;
        house.proxy.set_manner(manner).await?;
        house.customer_dials(USER).await?;
        let end = house.customer.over().await?;
        assert!(end.status.is_some_and(|status| status.as_u16() == wanted), "{end:?}");
        // Microsoft said 34 of the busy one, no circuit available, and a carrier would dial again.
        assert_eq!(end.reason.as_deref(), Some(reason), "{end:?}");
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
