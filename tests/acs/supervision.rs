//! Every supervision role on a call whose customer is at ACS and whose people have SIP telephones.

use sidetone::sim::stage::levels::UNHEARD_DBFS;
use sidetone::sim::stage::{Setting, TokenOf};

use crate::Story;
use crate::support::{CUSTOMER, CUSTOMER_HZ, House};

async fn every_role(acs_more: &str, codecs: &str) -> Story {
    let (acs_more, codecs) = (acs_more.to_owned(), Some(codecs.to_owned()));
    let house = House::set(Setting { acs_more, codecs, ..Setting::default() }).await?;
    let (stage, sam, alice) = (&house.stage, &house.stage.sam, &house.stage.alice);
    let (call, customer) = house.customer_reaches_alice().await?;
    house.hears(alice, &[CUSTOMER_HZ], &[alice.hz]).await?;
    house.talker_hears(&customer, &[alice.hz], &[CUSTOMER_HZ]).await?;

    let before = house.acs.figures(CUSTOMER).ok_or("no stream")?;
    let mark = customer.heard();
    let supervision = stage.sam_joins(&call, "monitor").await?;
    house.hears(sam, &[CUSTOMER_HZ, alice.hz], &[]).await?;
    house.hears(alice, &[CUSTOMER_HZ], &[sam.hz]).await?;

    let api = stage.api_of(TokenOf::Sam);
    api.switch(&supervision.id, "whisper").await?;
    house.hears(alice, &[CUSTOMER_HZ, sam.hz], &[]).await?;
    house.talker_hears(&customer, &[alice.hz], &[sam.hz]).await?;
    // Not for one frame of all that the customer has heard; and nothing of it told ACS to forget any.
    let leaked = customer.since(mark).loudest_of(sam.hz, 6_400);
    assert!(leaked <= UNHEARD_DBFS, "a whisper leaked: {leaked:.1} dBFS");
    let after = house.acs.figures(CUSTOMER).ok_or("no stream")?;
    assert_eq!(after.stops, before.stops, "a whisper touches nothing of the customer's");

    api.switch(&supervision.id, "barge").await?;
    house.talker_hears(&customer, &[alice.hz, sam.hz], &[]).await?;
    let barged = house.acs.figures(CUSTOMER).ok_or("no stream")?;
    assert!(barged.stops > after.stops, "what was queued for the ear as it was is forgotten");

    api.take_over(&supervision.id).await?;
    house.talker_hears(&customer, &[sam.hz], &[alice.hz]).await?;
    house.hears(sam, &[CUSTOMER_HZ], &[alice.hz]).await?;
    let played = house.acs.figures(CUSTOMER).ok_or("no stream")?;
    assert_eq!(played.odd, 0, "ACS could read all we sent");
    stage.api_of(TokenOf::Crm).hang_up(&call.id).await?;
    stage.until_no_call().await?;
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_with_a_customer_at_16_khz_and_telephones_at_8() -> Story {
    every_role("", r#""PCMU""#).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_with_everybody_at_16_khz() -> Story {
    every_role("", r#""G722""#).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_with_a_customer_at_24_khz_and_telephones_at_16() -> Story {
    every_role("audio = \"24k\"", r#""G722""#).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_with_a_customer_at_24_khz_and_telephones_at_8() -> Story {
    every_role("audio = \"24k\"", r#""PCMA""#).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speakers_that_come_apart_are_heard_together() -> Story {
    let house = House::start("channels = \"unmixed\"").await?;
    let (_, customer) = house.customer_reaches_alice().await?;
    house.hears(&house.stage.alice, &[CUSTOMER_HZ], &[]).await?;
    house.talker_hears(&customer, &[house.stage.alice.hz], &[]).await?;
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_customer_hears_music_from_the_gateway() -> Story {
    let house = House::start("").await?;
    let (call, customer) = house.customer_reaches_alice().await?;
    let leg = call.customer().ok_or("no customer")?.id.clone();
    let alice = house.stage.api_of(TokenOf::Alice);
    alice.leg(&call.id, &leg, "hold").await?;
    customer.listen(40).await?;
    let clip = customer.listen(40).await?;
    assert!(clip.level() > -50.0, "music, {:.1} dBFS", clip.level());
    assert!(clip.level_of(house.stage.alice.hz) < UNHEARD_DBFS);
    alice.leg(&call.id, &leg, "resume").await?;
    house.talker_hears(&customer, &[house.stage.alice.hz], &[]).await?;
    house.stage.stop().await;
    Ok(())
}
