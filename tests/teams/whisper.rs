//! A supervisor whispers on a Direct Routing call: the agent hears it, and nobody beyond Teams ever does.

use serde_json::json;
use sidetone::sim::teams::SUPERVISOR_HZ;
use sidetone::sim::voice::Voice;

use crate::{A_WHILE, AGENT_HZ, NOT_HEARD_DBFS, TEAMS_HZ, Test, open, teams_reaches_alice, until_heard};

/// How much is searched at a time for a voice that should never be there: 0.4 s of G.722. One leaked packet shows as -46.
const NEVER_SAMPLES: usize = 6400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whisper_is_never_heard_by_the_teams_user_not_even_through_a_hold_and_a_new_key() -> Test {
    let house = open().await?;
    let call = teams_reaches_alice(&house).await?;
    let teams = house.proxy.ear(call).await?.ok_or("an ear")?;
    until_heard(&teams, AGENT_HZ).await?;
    // The agent falls silent: the edges of her tone are not to be taken for a leak.
    house.alice.say(Voice::Silence).await?;
    teams.listen(A_WHILE).await?;
    let mark = teams.count();

    let live = house.api.calls().await?;
    let live = live.first().ok_or("a live call")?;
    house.api.supervise(&live.id, json!({ "role": "whisper" })).await?;
    house.sam.talking().await?;
    let (alice, sam) = (house.alice.ear().await?, house.sam.ear().await?);
    until_heard(&alice, SUPERVISOR_HZ).await?;
    until_heard(&sam, TEAMS_HZ).await?;
    house.proxy.hold(call, true).await?;
    house.proxy.until("the hold is answered", |state| state.seen.descriptions.len() == 2).await?;
    house.proxy.rekey(call).await?;
    house.proxy.until("the new key is answered", |state| state.seen.descriptions.len() == 3).await?;
    house.proxy.hold(call, false).await?;
    house.proxy.until("the call is resumed", |state| state.seen.descriptions.len() == 4).await?;
    until_heard(&alice, TEAMS_HZ).await?;
    until_heard(&alice, SUPERVISOR_HZ).await?;
    teams.listen(A_WHILE).await?;

    let all = teams.since(mark);
    assert!(all.packets > A_WHILE, "{} packets", all.packets);
    let loudest = all.loudest_of(SUPERVISOR_HZ, NEVER_SAMPLES);
    assert!(loudest < NOT_HEARD_DBFS, "the whisper leaks: {loudest:.1} dBFS");
    // The ear is no deaf one.
    house.alice.say(Voice::tone(AGENT_HZ)).await?;
    until_heard(&teams, AGENT_HZ).await?;
    house.gateway.stop().await;
    Ok(())
}
