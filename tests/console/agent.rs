//! An agent in the browser: hold, mute, digits, and a consult from the ring to the hand-over.

use sidetone::sim::acs::{AcsSim, Behaviour};
use sidetone::sim::stage::levels::{Expected, HEARD_DBFS, LISTEN_PACKETS, UNHEARD_DBFS};
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage, TokenOf};
use sidetone::sim::tenant::{EXPERT_HZ, EXPERT_RAW_ID, Tenant};
use sidetone::sim::voice::Voice;

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
    browser.until_says("Sam's telephone: nothing to check").await?;
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

/// The command that is copied out of the page is what the tenant's administrator runs, and it mends what was missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_shown_with_the_command_to_copy_and_mended_the_expert_is_rung() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let (tenant, acs) = (Tenant::start().await?, AcsSim::start().await?);
    let setting = Setting { acs: Some(acs.clone()), acs_more: tenant.settings(), ..Setting::default() };
    let stage = Stage::start(setting).await?;
    let (customer, alice) = (&stage.customer, &stage.alice);
    acs.behaves(EXPERT_RAW_ID, Behaviour::Answers(Voice::tone(EXPERT_HZ)));
    let admin = stage.api_of(TokenOf::Admin);
    admin.import(&tenant.collected()).await?;
    stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let browser = signed_in(&stage, TokenOf::Alice, None, Kind::default()).await?;
    browser.click("nav a:nth-child(2)").await?;
    let consult = "section[aria-labelledby=consult-title]";
    browser.until("the form", &format!("document.querySelector(\"{consult} input\")")).await?;

    // Asked for outright, it is refused, and the refusal shows the ways.
    browser.type_into(&format!("{consult} input"), "erin").await?;
    browser.click(&format!("{consult} form button[type=submit]")).await?;
    browser.until_says("Nobody can be rung yet").await?;
    browser.until_says("Teams, over the internet, acs:contoso (about 0.004 USD a minute)").await?;
    browser.until_says("refused by what was found").await?;
    browser.until_air("The customer hears you").await?;
    let remedies = "document.querySelectorAll('.findings li:has(.chip.down) .remedy pre')";
    // The federation is off, and our resource is not on its list: one command mends both.
    assert_eq!(browser.run(&format!("return {remedies}.length")).await?, 2);
    browser.allow_pasting().await?;
    browser.click(".findings li:has(.chip.down) .remedy button").await?;
    browser.until_says("Copied: the command for T07").await?;
    let pasted = "const done = arguments[0]; navigator.clipboard.readText().then(done, (error) => done(String(error)));";
    let pasted = browser.run_async(pasted).await?;
    assert_eq!(browser.run(&format!("return {remedies}[0].innerText")).await?, pasted);

    tenant.runs(pasted.as_str().unwrap_or_default())?;
    admin.import(&tenant.collected()).await?;
    browser.click(&format!("{consult} form button[type=button]")).await?;
    browser.until_says("Would be rung over Teams, over the internet, acs:contoso").await?;
    let first = "document.querySelector('.report summary .chip').innerText";
    assert_eq!(browser.run(&format!("return {first}")).await?, "Taken");
    assert_eq!(acs.ringing() + acs.connections().len(), 0, "looked at, and nobody is rung");

    browser.click(&format!("{consult} form button[type=submit]")).await?;
    browser.until_air("Erin hears you").await?;
    let heard = acs.until_figures(EXPERT_RAW_ID, "sound to the expert", |figures| figures.frames > 10);
    heard.await?;
    stage.assert_hears(&[Expected::music(customer)]).await?;
    let clip = alice.phone.ear().await?.listen(LISTEN_PACKETS).await?;
    assert!(clip.level_of(EXPERT_HZ) >= HEARD_DBFS, "Alice hears Erin");
    assert!(clip.level_of(customer.hz) <= UNHEARD_DBFS, "and not the customer");
    stage.stop().await;
    Ok(())
}

/// Alice's browser at her call, once she has asked what it takes to consult somebody at Teams of whom nothing is known.
pub async fn asks_in_vain(
    stage: &Stage,
    whom: &str,
    kind: Kind,
) -> Result<Browser, Box<dyn std::error::Error>> {
    let browser = signed_in(stage, TokenOf::Alice, None, kind).await?;
    browser.click("nav a:nth-child(2)").await?;
    let consult = "section[aria-labelledby=consult-title]";
    browser.until("the form", &format!("document.querySelector(\"{consult} input\")")).await?;
    browser.type_into(&format!("{consult} input"), whom).await?;
    browser.click(&format!("{consult} form button[type=button]")).await?;
    browser.until_says("Nobody can be rung yet").await?;
    Ok(browser)
}
