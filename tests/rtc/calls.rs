//! Calls between browsers and telephones.

use serde_json::json;
use sidetone::sim::ear::Ear;
use sidetone::sim::phone::Phone;
use sidetone::sim::stage::levels::{HEARD_DBFS, UNHEARD_DBFS};
use sidetone::sim::stage::{CARRIER_IP, Person, Setting, Stage, TokenOf, WENDYS_NUMBER, at};
use sidetone::sim::voice::Voice;
use sidetone_media::codec::Codec;
use str0m::format::Codec as Format;

use crate::Story;
use crate::browser::{Browser, Offering, Options, Window, ask};

pub(crate) const WENDY: f64 = 1047.0;
/// What the customer with Opus hums.
const OPAL: f64 = 671.0;
pub(crate) const MEASURED: usize = 40;

pub(crate) async fn stage() -> Result<Stage, Box<dyn std::error::Error>> {
    Ok(Stage::start(Setting { browsers: true, ..Setting::default() }).await?)
}

/// A customer, and Wendy in a browser, who talk.
struct Talk {
    stage: Stage,
    wendy: Browser,
}

impl Talk {
    async fn begins() -> Result<Talk, Box<dyn std::error::Error>> {
        let stage = stage().await?;
        let mut window = Window::opens(&stage, TokenOf::Wendy).await?;
        stage.customer_dials(WENDYS_NUMBER).await?;
        let leg = window.offered().await?;
        let wendy = Browser::connect(&stage, TokenOf::Wendy, ("leg", &leg), Options::humming(WENDY)).await?;
        assert_eq!(wendy.leg, leg);
        wendy.connected().await?;
        stage.customer.phone.talking().await.map_err(at(&stage.customer))?;
        Ok(Talk { stage, wendy })
    }

    /// Both hear the other, and not themselves.
    async fn is_heard(&self) -> Story {
        let customer = &self.stage.customer;
        let heard = self.wendy.listen(MEASURED).await?;
        assert!(heard.level_of(customer.hz) >= HEARD_DBFS, "{}", heard.level_of(customer.hz));
        assert!(heard.level_of(WENDY) <= UNHEARD_DBFS, "{}", heard.level_of(WENDY));
        let heard = customer.phone.ear().await?.listen(MEASURED).await?;
        assert!(heard.level_of(WENDY) >= HEARD_DBFS, "{}", heard.level_of(WENDY));
        assert!(heard.level_of(customer.hz) <= UNHEARD_DBFS, "{}", heard.level_of(customer.hz));
        Ok(())
    }

    async fn ends(self) -> Story {
        self.wendy.assert_one_source();
        self.stage.stop().await;
        Ok(())
    }
}

#[tokio::test]
async fn a_customer_and_an_agent_in_a_browser_hear_each_other() -> Story {
    let talk = Talk::begins().await?;
    talk.is_heard().await?;
    talk.wendy.assert_one_line();
    talk.ends().await
}

#[tokio::test]
async fn what_both_sides_speak_passes_as_it_is() -> Story {
    let talk = Talk::begins().await?;
    // The customer's telephone has mu-law, so that is what the browser is answered with, wider sound or not.
    assert_eq!(talk.wendy.codec(), Codec::Pcmu);
    let ear = talk.stage.customer.phone.ear().await?;
    ear.wait_for(MEASURED).await?;
    only_hers(&ear, &talk.wendy)?;
    talk.ends().await
}

/// From the first packet of hers on, the ear got nothing but hers, octet for octet and in order. What comes before is
/// comfort of the gateway's.
fn only_hers(ear: &Ear, wendy: &Browser) -> Story {
    let (heard, said) = (ear.payloads(), wendy.said());
    let found = heard.iter().enumerate().find_map(|(at, first)| {
        let from = said.iter().position(|one| *one == **first)?;
        Some((at, from))
    });
    let (at, from) = found.ok_or("nothing of hers came")?;
    let heard = &heard[at..];
    assert!(heard.len() >= MEASURED / 2, "only {} packets", heard.len());
    for (n, (heard, said)) in heard.iter().zip(&said[from..]).enumerate() {
        assert!(**heard == **said, "packet {n} of hers is not hers any more");
    }
    Ok(())
}

/// A telephone of the carrier's with Opus, and a browser with nothing else: nobody decodes anything, and a whisper is
/// mixed into one ear's Opus without a packet of the other's being touched.
#[tokio::test]
async fn opus_at_both_ends_passes_as_it_is_with_and_without_a_whisper() -> Story {
    let setting =
        Setting { browsers: true, codecs: Some(r#""opus", "PCMU""#.to_owned()), ..Setting::default() };
    let stage = Stage::start(setting).await?;
    let options = sidetone::sim::phone::Options {
        ip: CARRIER_IP,
        codecs: vec![Codec::Opus],
        voice: Voice::tone(OPAL),
        ..sidetone::sim::phone::Options::new("opal")
    };
    let opal = Person { phone: Phone::start(options).await?, hz: OPAL };
    let mut window = Window::opens(&stage, TokenOf::Wendy).await?;
    opal.phone.dial(stage.address(WENDYS_NUMBER)?).await.map_err(at(&opal))?;
    let leg = window.offered().await?;
    let options = Options { formats: vec![Format::Opus], ..Options::humming(WENDY) };
    let wendy = Browser::connect(&stage, TokenOf::Wendy, ("leg", &leg), options).await?;
    opal.phone.talking().await.map_err(at(&opal))?;
    assert_eq!(wendy.codec(), Codec::Opus);
    let call = stage.until_call("a talking call", |call| call.state == "talking").await?;
    let ear = opal.phone.ear().await?;
    ear.wait_for(MEASURED).await?;

    let id = stage.sam_joins(&call, "monitor").await?.id;
    stage.api.switch(&id, "whisper").await?;
    let heard = wendy.listen(MEASURED).await?;
    for hz in [OPAL, stage.sam.hz] {
        assert!(heard.level_of(hz) >= HEARD_DBFS, "{hz} Hz: {}", heard.level_of(hz));
    }
    stage.api.end_supervision(&id).await?;
    let heard = wendy.listen(MEASURED).await?;
    assert!(heard.level_of(stage.sam.hz) <= UNHEARD_DBFS, "{}", heard.level_of(stage.sam.hz));
    assert!(heard.level_of(OPAL) >= HEARD_DBFS, "{}", heard.level_of(OPAL));
    only_hers(&ear, &wendy)?;
    wendy.assert_one_line();
    let everything = ear.since(0);
    assert!(everything.level_of(WENDY) >= HEARD_DBFS, "{}", everything.level_of(WENDY));
    assert!(everything.loudest_of(stage.sam.hz, 12_800) <= UNHEARD_DBFS);
    stage.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_key_is_a_digit_at_the_other_end() -> Story {
    let talk = Talk::begins().await?;
    let ear = talk.stage.customer.phone.ear().await?;
    ear.wait_for(MEASURED).await?;
    talk.wendy.press('5');
    while ear.digits() != "5" {
        ear.wait_for(1).await?;
    }
    talk.ends().await
}

#[tokio::test]
async fn a_browser_that_changes_its_network_stays_in_the_call() -> Story {
    let talk = Talk::begins().await?;
    talk.is_heard().await?;
    for _ in 0..3 {
        talk.wendy.moves().await?;
        talk.is_heard().await?;
    }
    talk.ends().await
}

#[tokio::test]
async fn ice_begins_anew_and_nobody_hears_it() -> Story {
    let talk = Talk::begins().await?;
    talk.is_heard().await?;
    for elsewhere in [false, true, true] {
        talk.wendy.restarts(&talk.stage, TokenOf::Wendy, elsewhere).await?;
        talk.is_heard().await?;
    }
    talk.ends().await
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
