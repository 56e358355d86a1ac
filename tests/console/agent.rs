//! An agent in the browser: hold, mute, digits, and a consult from the ring to the hand-over.

use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage, TokenOf};

use crate::Outcome;
use crate::browser::{Browser, Kind, chromium};
use crate::supervisor::signed_in;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_holds_presses_keys_and_consults() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let stage = Stage::start(Setting::default()).await?;
    let (customer, alice, sam) = (&stage.customer, &stage.alice, &stage.sam);
    stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let browser = signed_in(&stage, TokenOf::Alice, None, Kind::default()).await?;
    browser.click("nav a:nth-child(2)").await?;
    browser.until_air("The customer hears you").await?;
    assert_eq!(browser.run("return !!document.querySelector('.supervise')").await?, false, "not for agents");

    let controls = "section[aria-labelledby=controls-title]";
    browser.click(&format!("{controls} .buttons button:first-child")).await?;
    browser.until_air("Nobody hears you").await?;
    stage.assert_hears(&[Expected::music(customer)]).await?;
    browser.until_says("Resume the customer").await?;
    browser.click(&format!("{controls} .buttons button:first-child")).await?;
    browser.until_air("The customer hears you").await?;

    browser.click(&format!("{controls} summary")).await?;
    for key in ["[key='4']", "[key='2']", "[aria-label='hash']"] {
        browser.click(&format!("{controls} .keys button{key}")).await?;
        browser
            .until("the key is up", &format!("!document.querySelector(\"{controls} .keys [aria-busy]\")"))
            .await?;
    }
    let ear = customer.phone.ear().await?;
    while ear.digits() != "42#" {
        ear.wait_for(1).await?;
    }

    // A colleague needs no check, and the page says so before anybody is rung.
    let consult = "section[aria-labelledby=consult-title]";
    browser.type_into(&format!("{consult} input"), "sam").await?;
    browser.click(&format!("{consult} form button[type=button]")).await?;
    browser.until_says("is a colleague").await?;
    browser.click(&format!("{consult} form button[type=submit]")).await?;
    browser.until_air("Sam hears you").await?;
    stage.assert_hears(&[Expected::music(customer), Expected::voices(sam, [alice])]).await?;
    browser.click(&format!("{consult} button.role:nth-child(4)")).await?;
    browser.until_air("hear you").await?;
    let all = [Expected::voices(customer, [alice, sam]), Expected::voices(alice, [customer, sam])];
    browser
        .until(
            "everybody speaks",
            &format!("document.querySelector(\"{consult} .role:nth-child(4)\").ariaPressed === 'true'"),
        )
        .await?;
    stage.assert_hears(&all).await?;
    browser.click(&format!("{consult} button.primary")).await?;
    alice.phone.over().await?;
    stage.assert_hears(&[Expected::voices(customer, [sam]), Expected::voices(sam, [customer])]).await?;
    assert_eq!(browser.log().await?, Vec::<String>::new());
    stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_shown_before_the_ring_with_the_command_to_copy() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let stage = Stage::start(Setting::default()).await?;
    stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    let browser = asks_in_vain(&stage, Kind::default()).await?;
    browser.until("a finding", "document.querySelectorAll('.findings li .chip.down').length").await?;
    browser.until("its remedy", "document.querySelector('.remedy .command')").await?;
    browser.allow_pasting().await?;
    browser.click(".remedy .command button").await?;
    browser.until_says("Copied").await?;
    let pasted = "const done = arguments[0]; navigator.clipboard.readText().then(done, (error) => done(String(error)));";
    let shown = browser.run("return document.querySelector('.remedy .command pre').innerText").await?;
    assert_eq!(browser.run_async(pasted).await?, shown);
    stage.stop().await;
    Ok(())
}

/// Alice's browser at her call, once she has asked what it takes to consult somebody at Teams of whom nothing is known.
pub async fn asks_in_vain(stage: &Stage, kind: Kind) -> Result<Browser, Box<dyn std::error::Error>> {
    let browser = signed_in(stage, TokenOf::Alice, None, kind).await?;
    browser.click("nav a:nth-child(2)").await?;
    let consult = "section[aria-labelledby=consult-title]";
    browser.until("the form", &format!("document.querySelector(\"{consult} input\")")).await?;
    browser.type_into(&format!("{consult} input"), "adele@example.com").await?;
    browser.click(&format!("{consult} form button[type=button]")).await?;
    browser.until_says("Nobody can be rung yet").await?;
    Ok(browser)
}
