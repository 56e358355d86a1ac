//! A supervisor stays with an agent from one call to the next.

use serde_json::json;
use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage};

use crate::Story;

#[tokio::test]
async fn a_supervisor_who_follows_an_agent_hears_the_next_call_too() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let (customer, alice, sam) = (&stage.customer, &stage.alice, &stage.sam);
    let first = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let id = stage.api.supervise(&first.id, json!({ "role": "monitor", "follow": "agent" })).await?.id;
    sam.phone.talking().await?;
    stage.until_supervision(&id, "an active supervision", |seen| seen.state == "active").await?;
    stage.assert_hears(&[Expected::voices(sam, [customer, alice])]).await?;

    customer.phone.hang_up().await?;
    alice.phone.over().await?;
    stage.until_supervision(&id, "a waiting supervision", |seen| seen.state == "waiting").await?;
    stage.assert_hears(&[Expected::voices(sam, [])]).await?;

    let second = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    assert_ne!(first.id, second.id);
    let joined = stage.until_supervision(&id, "the second call", |seen| seen.state == "active").await?;
    assert_eq!(joined.call, Some(second.id));
    stage
        .assert_hears(&[
            Expected::voices(customer, [alice]),
            Expected::voices(alice, [customer]),
            Expected::voices(sam, [customer, alice]),
        ])
        .await?;
    stage.assert_never_heard(customer, sam).await?;
    assert_eq!(sam.phone.status().talks, 1, "the telephone rang once for both calls");
    stage.stop().await;
    Ok(())
}
