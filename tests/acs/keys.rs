//! Keys pressed at either side reach the other once and in order, over the stream or by events; a supervisor's steer.

use sidetone::acs::wire::digit;
use sidetone::sim::acs::{AcsSim, Behaviour, Entry, Exchange};
use sidetone::sim::stage::Setting;
use sidetone::sim::voice::Voice;

use crate::Story;
use crate::support::{CUSTOMER, CUSTOMER_HZ, House};

/// The digits that ACS sends: it takes none while it plays others.
fn sent(acs: &AcsSim) -> String {
    let taken = |exchange: &Exchange| exchange.path.ends_with(":sendDtmfTones") && exchange.status == 202;
    let asked = acs.exchanges().into_iter().filter(taken);
    let tones = asked.flat_map(|exchange| exchange.request["tones"].as_array().cloned().unwrap_or_default());
    tones.filter_map(|tone| digit(tone.as_str()?)).collect()
}

async fn keys_pass_both_ways(acs_more: &str) -> Story {
    let house = House::start(acs_more).await?;
    let (_, customer) = house.customer_reaches_alice().await?;
    let alice = &house.stage.alice;
    let ear = alice.phone.ear().await?;
    if acs_more.contains("subscribe") {
        let asked = |e: &Entry| matches!(e, Entry::Request(_, target, 200) if target.ends_with(":startContinuousDtmfRecognition"));
        house.acs.until("a subscription", |all| all.iter().any(asked)).await?;
    }
    for digit in "42#5".chars() {
        house.acs.presses(CUSTOMER, digit).await;
    }
    // Four keys, of a tenth of a second each and as much between them.
    while ear.digits().len() < 4 {
        ear.listen(10).await?;
    }
    ear.listen(20).await?;
    assert_eq!(ear.digits(), "42#5");

    alice.phone.press("7*09").await?;
    let all = |_: &[Entry]| sent(&house.acs).len() >= 4;
    house.acs.until("four digits", all).await?;
    assert_eq!(sent(&house.acs), "7*09");
    // Sound goes on as before.
    house.talker_hears(&customer, &[alice.hz], &[CUSTOMER_HZ]).await?;
    house.hears(alice, &[CUSTOMER_HZ], &[]).await?;
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_over_the_stream_and_go_by_request() -> Story {
    keys_pass_both_ways("").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_by_events_where_they_are_subscribed_to() -> Story {
    keys_pass_both_ways("dtmf = \"subscribe\"").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_at_acs_steers_with_keys_that_nobody_hears() -> Story {
    let boss = "8:acs:r_boss";
    let more = format!(
        "[[person]]\nid = \"boss\"\ntenant = \"demo\"\nrole = \"supervisor\"\nteams = [\"support\"]\nextension = \"210\"\n\
         acs = {{ resource = \"contoso\", raw_id = \"{boss}\" }}\n\
         [[token]]\nid = \"boss-token\"\ntenant = \"demo\"\nrole = \"supervisor\"\nperson = \"boss\"\nsha256 = \"{}\"\n",
        "e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8"
    );
    let house = House::set(Setting { acs_more: more, ..Setting::default() }).await?;
    let (stage, boss_hz) = (&house.stage, 2_106.0);
    house.acs.behaves(boss, Behaviour::Answers(Voice::tone(boss_hz)));
    let (call, customer) = house.customer_reaches_alice().await?;
    let api = stage.api.with_token("t");
    let id = api.supervise(&call.id, serde_json::json!({ "role": "monitor" })).await?.id;
    stage.until_supervision(&id, "an active supervision", |seen| seen.state == "active").await?;
    let ear = stage.alice.phone.ear().await?;
    house.acs.presses(boss, '5').await;
    stage.until_supervision(&id, "whisper", |seen| seen.role == "whisper").await?;
    house.hears(&stage.alice, &[CUSTOMER_HZ, boss_hz], &[]).await?;
    house.talker_hears(&customer, &[stage.alice.hz], &[boss_hz]).await?;
    assert_eq!(ear.digits(), "", "a key that steers is passed on to nobody");
    assert_eq!(sent(&house.acs), "");
    // And takes over: then both who talk are at ACS, each alone in a call connection.
    api.take_over(&id).await?;
    let at_acs = house.acs.talker(boss).ok_or("the boss is gone")?;
    house.talker_hears(&at_acs, &[CUSTOMER_HZ], &[boss_hz, stage.alice.hz]).await?;
    house.talker_hears(&customer, &[boss_hz], &[CUSTOMER_HZ, stage.alice.hz]).await?;
    stage.api_of(sidetone::sim::stage::TokenOf::Crm).hang_up(&call.id).await?;
    house.stage.stop().await;
    Ok(())
}
