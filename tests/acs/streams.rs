//! Streams that are not as they should be: dropped, at another rate, with too many speakers, with messages nobody knows.

use std::time::Duration;

use serde_json::json;
use sidetone::sim::acs::{Faults, Message};
use sidetone::sim::stage::TokenOf;
use sidetone::sim::voice::Voice;

use crate::Story;
use crate::support::{CUSTOMER, CUSTOMER_HZ, House, judge};

/// Sound must be back within so many frames: a second.
const BACK_FRAMES: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_drop_sound_is_back_within_a_second_of_frames_both_ways() -> Story {
    let house = House::start("").await?;
    let (call, customer) = house.customer_reaches_alice().await?;
    let alice = &house.stage.alice;
    for drop in 1..=3 {
        house.acs.drops_stream(CUSTOMER, Duration::from_millis(100)).await;
        let redialled = |figures: &sidetone::sim::acs::StreamFigures| figures.dialled == drop + 1;
        house.acs.until_figures(CUSTOMER, "another dialling", redialled).await?;
        // From here on frames are counted, not seconds.
        let (ear, mouth) = (alice.phone.ear().await?, alice.phone.mouth().await?);
        let at_acs = customer.listen(BACK_FRAMES).await?;
        judge("the customer", &at_acs, &[alice.hz], &[CUSTOMER_HZ])?;
        mouth.wait_for(BACK_FRAMES as u64).await?;
        judge("alice", &ear.listen(BACK_FRAMES).await?, &[CUSTOMER_HZ], &[])?;
    }
    let legs = house.stage.api_of(TokenOf::Crm).call(&call.id).await?.legs.len();
    assert_eq!(legs, call.legs.len(), "the leg is the same");
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_comes_back_at_another_rate_sounds_as_before() -> Story {
    let house = House::start("").await?;
    house.customer_reaches_alice().await?;
    let alice = &house.stage.alice;
    // Read at the wrong rate every tone would be half as high again, or a third lower.
    for (dialled, rate) in [(2, 24_000), (3, 16_000)] {
        house.acs.changes_rate(CUSTOMER, rate).await;
        house.acs.until_figures(CUSTOMER, "another dialling", |figures| figures.dialled == dialled).await?;
        let customer = house.acs.talker(CUSTOMER).ok_or("the customer is gone")?;
        house.talker_hears(&customer, &[alice.hz], &[alice.hz * 1.5, alice.hz / 1.5]).await?;
        house.hears(alice, &[CUSTOMER_HZ], &[CUSTOMER_HZ * 1.5, CUSTOMER_HZ / 1.5]).await?;
    }
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_five_speakers_that_come_apart_four_are_heard() -> Story {
    let house = House::start("channels = \"unmixed\"").await?;
    house.customer_reaches_alice().await?;
    let others =
        [("8:acs:r_2", 1_688.0), ("8:acs:r_3", 934.0), ("8:acs:r_4", 2_106.0), ("8:acs:r_5", 2_718.0)];
    for (raw_id, hz) in others {
        house.acs.joins(raw_id, CUSTOMER, Voice::tone(hz));
    }
    let heard = [CUSTOMER_HZ, 1_688.0, 934.0, 2_106.0];
    house.hears(&house.stage.alice, &heard, &[2_718.0]).await?;
    // What we say reaches everybody in that call, and nobody hears themselves through us.
    let second = house.acs.talker("8:acs:r_2").ok_or("nobody joined")?;
    house.talker_hears(&second, &[house.stage.alice.hz, CUSTOMER_HZ], &[1_688.0]).await?;
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_messages_are_survived_and_one_of_five_megabytes_costs_a_dialling() -> Story {
    let house = House::start("").await?;
    let (call, customer) = house.customer_reaches_alice().await?;
    let alice = &house.stage.alice;
    let odd = [
        String::new(),
        "{}".into(),
        "no JSON".into(),
        json!({ "kind": "Surprise", "surprise": [1, 2, 3] }).to_string(),
        json!({ "kind": "AudioData", "audioData": { "data": "AQAC" } }).to_string(), // three octets
        json!({ "kind": "AudioData", "audioData": { "data": "" } }).to_string(),
        json!({ "kind": "AudioData", "audioData": { "data": "no base64" } }).to_string(),
        json!({ "kind": "TranscriptionMetadata", "transcriptionMetadata": {} }).to_string(),
        "[".repeat(10_000),
    ];
    for text in odd {
        house.acs.streams(CUSTOMER, Message::text(text)).await;
    }
    house.acs.streams(CUSTOMER, Message::binary(vec![0; 640])).await;
    house.acs.streams(CUSTOMER, Message::Ping(vec![1, 2, 3].into())).await;
    house.hears(alice, &[CUSTOMER_HZ], &[]).await?;
    house.talker_hears(&customer, &[alice.hz], &[]).await?;
    let figures = house.acs.figures(CUSTOMER).ok_or("no stream")?;
    assert_eq!(figures.dialled, 1, "the stream is the first");

    house.acs.streams(CUSTOMER, Message::text("x".repeat(5 * 1024 * 1024))).await;
    house.acs.until_figures(CUSTOMER, "another dialling", |figures| figures.dialled == 2).await?;
    house.hears(alice, &[CUSTOMER_HZ], &[]).await?;
    house.talker_hears(&customer, &[alice.hz], &[]).await?;
    let legs = house.stage.api_of(TokenOf::Crm).call(&call.id).await?.legs.len();
    assert_eq!(legs, call.legs.len(), "the leg is the same");
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_does_not_introduce_itself_is_what_we_asked_for() -> Story {
    for audio in ["audio = \"16k\"", "audio = \"24k\""] {
        let house = House::start(audio).await?;
        let first_frame = Some(json!({ "kind": "Surprise" }).to_string());
        house.acs.faults(Faults { first_frame, ..Faults::default() });
        let (_, customer) = house.customer_reaches_alice().await?;
        house.hears(&house.stage.alice, &[CUSTOMER_HZ], &[CUSTOMER_HZ * 1.5, CUSTOMER_HZ / 1.5]).await?;
        house.talker_hears(&customer, &[house.stage.alice.hz], &[]).await?;
        house.stage.stop().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_ten_seconds_the_service_has_never_more_than_five_frames_before_their_time() -> Story {
    for audio in ["audio = \"16k\"", "audio = \"24k\""] {
        let house = House::start(audio).await?;
        let (_, customer) = house.customer_reaches_alice().await?;
        let figures =
            house.acs.until_figures(CUSTOMER, "ten seconds", |figures| figures.frames >= 500).await?;
        assert!(figures.ahead_max <= 5, "{figures:?}");
        house.talker_hears(&customer, &[house.stage.alice.hz], &[]).await?;
        house.stage.stop().await;
    }
    Ok(())
}
