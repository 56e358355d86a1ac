//! Calls between browsers and telephones.

use sidetone::sim::stage::levels::{HEARD_DBFS, UNHEARD_DBFS};
use sidetone::sim::stage::{Setting, Stage, TokenOf, WENDYS_NUMBER, at};

use serde_json::json;
use sidetone_media::codec::Codec;

use crate::Story;
use crate::browser::{Browser, Offering, Options, Window, ask};

pub(crate) const WENDY: f64 = 1047.0;
pub(crate) const MEASURED: usize = 40;

pub(crate) async fn stage() -> Result<Stage, Box<dyn std::error::Error>> {
    Ok(Stage::start(Setting { browsers: true, ..Setting::default() }).await?)
}

#[tokio::test]
async fn a_customer_and_an_agent_in_a_browser_hear_each_other() -> Story {
    let stage = stage().await?;
    let mut window = Window::opens(&stage, TokenOf::Wendy).await?;
    stage.customer_dials(WENDYS_NUMBER).await?;
    let leg = window.offered().await?;
    let wendy = Browser::connect(&stage, TokenOf::Wendy, ("leg", &leg), Options::humming(WENDY)).await?;
    assert_eq!(wendy.leg, leg);
    wendy.connected().await?;
    stage.customer.phone.talking().await.map_err(at(&stage.customer))?;

    let heard = wendy.listen(MEASURED).await?;
    assert!(heard.level_of(stage.customer.hz) >= HEARD_DBFS, "{}", heard.level_of(stage.customer.hz));
    assert!(heard.level_of(WENDY) <= UNHEARD_DBFS);
    let ear = stage.customer.phone.ear().await?;
    let heard = ear.listen(MEASURED).await?;
    assert!(heard.level_of(WENDY) >= HEARD_DBFS, "{}", heard.level_of(WENDY));

    wendy.assert_one_line();
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn what_both_sides_speak_passes_as_it_is() -> Story {
    let stage = stage().await?;
    let mut window = Window::opens(&stage, TokenOf::Wendy).await?;
    stage.customer_dials(WENDYS_NUMBER).await?;
    let leg = window.offered().await?;
    let wendy = Browser::connect(&stage, TokenOf::Wendy, ("leg", &leg), Options::humming(WENDY)).await?;
    stage.customer.phone.talking().await.map_err(at(&stage.customer))?;
    // The customer's telephone has mu-law, so that is what the browser is answered with, wider sound or not.
    assert_eq!(wendy.codec(), Codec::Pcmu);
    let ear = stage.customer.phone.ear().await?;
    ear.wait_for(MEASURED).await?;
    let said = wendy.said();
    for payload in ear.payloads() {
        assert!(said.iter().any(|one| *one == *payload), "a packet of hers that is not hers any more");
    }
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_key_is_a_digit_at_the_other_end() -> Story {
    let stage = stage().await?;
    let mut window = Window::opens(&stage, TokenOf::Wendy).await?;
    stage.customer_dials(WENDYS_NUMBER).await?;
    let leg = window.offered().await?;
    let wendy = Browser::connect(&stage, TokenOf::Wendy, ("leg", &leg), Options::humming(WENDY)).await?;
    stage.customer.phone.talking().await.map_err(at(&stage.customer))?;
    let ear = stage.customer.phone.ear().await?;
    ear.wait_for(MEASURED).await?;
    wendy.press('5');
    while ear.digits() != "5" {
        ear.wait_for(1).await?;
    }
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_browser_that_changes_its_network_stays_in_the_call() -> Story {
    let stage = stage().await?;
    let mut window = Window::opens(&stage, TokenOf::Wendy).await?;
    stage.customer_dials(WENDYS_NUMBER).await?;
    let leg = window.offered().await?;
    let wendy = Browser::connect(&stage, TokenOf::Wendy, ("leg", &leg), Options::humming(WENDY)).await?;
    stage.customer.phone.talking().await.map_err(at(&stage.customer))?;
    let ear = stage.customer.phone.ear().await?;
    ear.wait_for(MEASURED).await?;
    wendy.heard_packets(MEASURED).await?;

    let _from = wendy.moves().await?;
    let heard = ear.listen(MEASURED).await?;
    assert!(heard.level_of(WENDY) >= HEARD_DBFS, "{}", heard.level_of(WENDY));
    let heard = wendy.listen(MEASURED).await?;
    assert!(heard.level_of(stage.customer.hz) >= HEARD_DBFS, "{}", heard.level_of(stage.customer.hz));
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn whoever_ends_it_it_is_over_for_both() -> Story {
    let stage = stage().await?;
    let mut window = Window::opens(&stage, TokenOf::Wendy).await?;
    for who in ["the browser asks", "the browser closes", "the customer"] {
        stage.customer_dials(WENDYS_NUMBER).await?;
        let leg = window.offered().await?;
        let wendy = Browser::connect(&stage, TokenOf::Wendy, ("leg", &leg), Options::humming(WENDY)).await?;
        wendy.connected().await?;
        stage.customer.phone.talking().await.map_err(at(&stage.customer))?;
        match who {
            "the browser asks" => {
                let below = format!("/{leg}");
                let (status, _) = ask(&stage, TokenOf::Wendy, reqwest::Method::DELETE, &below, None).await?;
                assert_eq!(status, 204);
            }
            "the browser closes" => wendy.close(),
            _ => stage.customer.phone.hang_up().await.map_err(at(&stage.customer))?,
        }
        stage.customer.phone.over().await.map_err(at(&stage.customer))?;
        assert_eq!(window.until("leg.ended").await?["leg"], leg);
        wendy.closed().await?;
        stage.until_no_call().await?;
    }
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_browser_answers_for_its_own_person_alone() -> Story {
    let stage = stage().await?;
    let mut window = Window::opens(&stage, TokenOf::Wendy).await?;
    stage.customer_dials(WENDYS_NUMBER).await?;
    let leg = window.offered().await?;
    let offer = async |token, purpose: (&str, &str)| {
        let offering = Offering::new(Options::humming(WENDY)).await?;
        let body = json!({ "sdp": offering.sdp, purpose.0: purpose.1 });
        ask(&stage, token, reqwest::Method::POST, "", Some(body)).await
    };
    for (token, purpose, status, code) in [
        (TokenOf::Walter, ("leg", &*leg), 403, "outside_scope"),
        (TokenOf::Alice, ("to", "100"), 403, "no_browser"),
        (TokenOf::Crm, ("leg", &*leg), 403, "role_forbids"),
        (TokenOf::Wendy, ("leg", "leg_0000000000000001"), 404, "not_found"),
        (TokenOf::Wendy, ("to", ""), 422, "body_invalid"),
    ] {
        let (said, answer) = offer(token, purpose).await?;
        assert_eq!((said, answer["code"].as_str()), (status, Some(code)), "{purpose:?} of {token:?}");
    }
    assert_eq!(offer(TokenOf::Wendy, ("leg", &leg)).await?.0, 201);
    let (said, answer) = offer(TokenOf::Wendy, ("leg", &leg)).await?;
    assert_eq!((said, answer["code"].as_str()), (409, Some("leg_answered")));
    stage.stop().await;
    Ok(())
}
