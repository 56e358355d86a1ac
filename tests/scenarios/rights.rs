//! Who may supervise whom, and as what.

use serde_json::json;
use sidetone::sim::phone::Line;
use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage, TokenOf};

use crate::Story;

#[tokio::test]
async fn a_role_that_was_not_allowed_cannot_be_switched_to() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    let request = json!({ "role": "monitor", "allowed_roles": ["monitor", "whisper"] });
    let id = stage.api.supervise(&call.id, request).await?.id;
    stage.sam.phone.talking().await?;
    stage.until_supervision(&id, "an active supervision", |seen| seen.state == "active").await?;

    let refused = stage.api.switch(&id, "barge").await.err().ok_or("barge was allowed")?;
    assert_eq!((refused.status(), refused.code()), (Some(409), Some("role_not_allowed")));
    let refused = stage.api.take_over(&id).await.err().ok_or("a takeover was allowed")?;
    assert_eq!((refused.status(), refused.code()), (Some(409), Some("role_not_allowed")));
    stage.assert_never_heard(&stage.customer, &stage.sam).await?;

    stage.api.switch(&id, "whisper").await?;
    stage.assert_hears(&[Expected::voices(&stage.alice, [&stage.customer, &stage.sam])]).await?;
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_supervisor_of_another_team_and_an_agent_are_refused_and_no_telephone_rings() -> Story {
    let stage = Stage::start(Setting::default()).await?;
    let call = stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    for token in [TokenOf::Stranger, TokenOf::Alice] {
        let request = json!({ "role": "monitor", "supervisor": "sam" });
        let refused = stage.api_of(token).supervise(&call.id, request).await;
        let refused = refused.err().ok_or_else(|| format!("{token:?} was allowed"))?;
        assert_eq!(refused.status(), Some(403), "{token:?}: {refused}");
    }
    stage.events.until("a denial", |event| event.kind == "supervision.denied").await?;
    assert_eq!(stage.sam.phone.status().line, Line::Idle);
    stage.stop().await;
    Ok(())
}
