//! Names, outline, contrast and reach, looked at in the browser on every main view, light and dark.

use serde_json::json;
use sidetone::sim::acs::AcsSim;
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage, TokenOf, WENDYS_NUMBER};
use sidetone::sim::tenant::Tenant;

use crate::Outcome;
use crate::agent::asks_in_vain;
use crate::browser::{Browser, ENTER, Kind, chromium};
use crate::supervisor::{signed_in, tab_to};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_has_names_an_outline_and_contrast_in_light_and_dark() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let stage = Stage::start(Setting::default()).await?;
    stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    for dark in [false, true] {
        let stranger = Browser::open(Kind { dark, ..Kind::default() }).await?;
        stranger.visit(&stage.api.url("/console")).await?;
        stranger.until_says("Sign-in link or code").await?;
        judge(&stranger, "sign in", dark).await?;

        let sam = signed_in(&stage, TokenOf::Crm, Some("sam"), Kind { dark, ..Kind::default() }).await?;
        sam.until("the call", "document.querySelector('td.acts a')").await?;
        judge(&sam, "wallboard", dark).await?;
        sam.click("td.acts a").await?;
        sam.until("the table", "document.querySelector('.matrix')").await?;
        for role in ["monitor", "whisper", "barge"] {
            sam.click(&format!("button.{role}")).await?;
            sam.until(role, &format!("document.querySelector('button.{role}[aria-pressed=true]')")).await?;
            judge(&sam, role, dark).await?;
        }
        // Measured every five seconds, and looked at as often.
        sam.until_says("Sounds ").await?;
        judge(&sam, "how the legs sound", dark).await?;
        sam.click("button.leave").await?;
        stage.sam.phone.over().await?;

        let alice = asks_in_vain(&stage, "adele@example.com", Kind { dark, ..Kind::default() }).await?;
        judge(&alice, "an agent's call", dark).await?;
    }
    stage.stop().await;
    Ok(())
}

/// The telephone in the page: off, ready with its devices, ringing, and in a call, in which another microphone is chosen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_telephone_in_the_page_is_for_everybody_and_takes_another_microphone() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let stage = Stage::start(Setting { browsers: true, ..Setting::default() }).await?;
    for dark in [false, true] {
        let wendy = signed_in(&stage, TokenOf::Crm, Some("wendy"), Kind { dark, ..Kind::default() }).await?;
        wendy.until_says("No call reaches you yet").await?;
        judge(&wendy, "a telephone that is off", dark).await?;
        // All of it by keyboard.
        tab_to(&wendy, "Take calls here").await?;
        wendy.press(&[ENTER]).await?;
        wendy.until_says("Calls ring in this browser").await?;
        tab_to(&wendy, "Calls ring in this browser").await?;
        wendy.press(&[ENTER]).await?;
        wendy.until("the devices", "document.querySelector('section.phone details').open").await?;
        judge(&wendy, "a telephone's devices", dark).await?;

        stage.customer_dials(WENDYS_NUMBER).await?;
        wendy.until_says("Call from customer").await?;
        judge(&wendy, "a telephone that rings", dark).await?;
        tab_to(&wendy, "Answer").await?;
        wendy.press(&[ENTER]).await?;
        stage.customer.phone.talking().await?;
        wendy.until_says("In a call").await?;
        judge(&wendy, "a telephone in a call", dark).await?;

        let choose = "const [microphone] = document.querySelectorAll('section.phone select');
             const other = [...microphone.options].find((option) => !option.selected);
             microphone.value = other.value;
             microphone.dispatchEvent(new Event('change'));
             return microphone.value;";
        let chosen = wendy.run(choose).await?;
        let taken = format!(
            "import(document.querySelector('script[type=module]').src.replace('main.js', 'phone.js')).then(
               ({{ phone }}) => window.spoken = phone.line.peer.getSenders()[0].track.getSettings().deviceId)
               && window.spoken === {chosen}"
        );
        wendy.until("the microphone that was chosen", &taken).await?;
        let kept =
            wendy.run("return JSON.parse(localStorage.getItem('sidetone-devices')).microphone").await?;
        assert_eq!(kept, chosen);
        tab_to(&wendy, "Hang up").await?;
        wendy.press(&[ENTER]).await?;
        stage.customer.phone.over().await?;
        stage.until_no_call().await?;
    }
    stage.stop().await;
    Ok(())
}

/// What only administrators see: trunks, and the account at Microsoft.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_house_is_for_everybody() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let (tenant, acs) = (Tenant::start().await?, AcsSim::start().await?);
    let setting = Setting { acs: Some(acs), acs_more: tenant.settings(), ..Setting::default() };
    let stage = Stage::start(setting).await?;
    stage.api_of(TokenOf::Admin).import(&tenant.collected()).await?;
    stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    for dark in [false, true] {
        let admin = signed_in(&stage, TokenOf::Admin, None, Kind { dark, ..Kind::default() }).await?;
        for card in ["trunks", "account"] {
            admin.until(card, &format!("document.getElementById('{card}-title')")).await?;
        }
        judge(&admin, "the whole house", dark).await?;
    }
    stage.stop().await;
    Ok(())
}

async fn judge(browser: &Browser, view: &str, dark: bool) -> Outcome {
    let faults = browser.run(include_str!("audit.js")).await?;
    assert_eq!(faults, json!([]), "{view}, {}", if dark { "dark" } else { "light" });
    Ok(())
}

/// A check that finds nothing may be blind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_sees_what_is_wrong() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let stage = Stage::start(Setting::default()).await?;
    let browser = Browser::open(Kind::default()).await?;
    browser.visit(&stage.api.url("/console")).await?;
    browser.until_says("Sign-in link or code").await?;
    let spoil = "const main = document.querySelector('main');
        const add = (tag, text) => main.appendChild(Object.assign(document.createElement(tag), { innerText: text ?? '' }));
        add('button'); add('h1', 'Another'); add('input');
        const pale = add('p', 'hardly to be read'); pale.style.color = '#999'; pale.style.background = '#fff';
        add('p').id = 'code';";
    browser.run(spoil).await?;
    let faults = browser.run(include_str!("audit.js")).await?.to_string();
    for fault in
        ["button has no name", "input has no name", "2 main headings", "contrast 2.8", "code is there twice"]
    {
        assert!(faults.contains(fault), "{fault} in {faults}");
    }
    stage.stop().await;
    Ok(())
}
