//! A takeover changes who serves the customer, and nothing else for the customer.

use sidetone::sim::phone::{Line, Side};
use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage};

use crate::Story;

#[tokio::test]
async fn a_takeover_from_any_role_keeps_the_customer_talking() -> Story {
    for role in ["monitor", "whisper", "barge"] {
        let stage = Stage::start(Setting::default()).await?;
        let (customer, alice, sam) = (&stage.customer, &stage.alice, &stage.sam);
        let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
        let id = stage.sam_joins(&call, role).await?.id;
        let before = customer.phone.status();
        let ear = customer.phone.ear().await?;
        ear.wait_for(10).await?;
        let mark = ear.count();
        if role != "barge" {
            stage.assert_hears(&[Expected::voices(customer, [alice])]).await?;
            stage.assert_never_heard(customer, sam).await?;
        }

        stage.api.take_over(&id).await?;
        assert_eq!(alice.phone.over().await?.by, Side::Them);
        stage.assert_hears(&[Expected::voices(customer, [sam]), Expected::voices(sam, [customer])]).await?;
        assert_eq!(customer.phone.status().line, Line::Talking);
        assert_eq!(customer.phone.status().agreements, before.agreements, "{role}: nothing was signalled");
        ear.check_line(mark)?;
        stage.stop().await;
    }
    Ok(())
}

#[tokio::test]
async fn an_agent_who_is_kept_stays_in_the_conversation() -> Story {
    let setting = Setting { supervision: "takeover_releases_agent = false".to_owned(), ..Setting::default() };
    let stage = Stage::start(setting).await?;
    let (customer, alice, sam) = (&stage.customer, &stage.alice, &stage.sam);
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let id = stage.sam_joins(&call, "whisper").await?.id;
    stage.api.take_over(&id).await?;

    stage
        .assert_hears(&[Expected::voices(customer, [alice, sam]), Expected::voices(alice, [customer, sam])])
        .await?;
    assert_eq!(alice.phone.status().line, Line::Talking);
    stage.stop().await;
    Ok(())
}
