//! A supervisor in the browser, everybody on telephones: one click a role, and the banner says who hears.

use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage, TokenOf};

use crate::Outcome;
use crate::browser::{Browser, ENTER, Kind, SPACE, TAB, chromium};

/// Opens the console as somebody, by a link that an administrator or the software made.
pub async fn signed_in(
    stage: &Stage,
    token: TokenOf,
    person: Option<&str>,
    kind: Kind,
) -> Result<Browser, Box<dyn std::error::Error>> {
    let browser = Browser::open(kind).await?;
    browser.visit(&stage.sign_in_link(token, person).await?).await?;
    browser
        .until("the wallboard", "document.querySelector('.tiles') && document.querySelector('.line.live')")
        .await?;
    Ok(browser)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_signs_in_once_and_its_code_is_nowhere_afterwards() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let stage = Stage::start(Setting::default()).await?;
    let link = stage.sign_in_link(TokenOf::Crm, Some("sam")).await?;
    let browser = Browser::open(Kind::default()).await?;
    browser.visit(&link).await?;
    browser.until_says("Sam Supervisor").await?;
    let address = browser.run("return location.href + history.length").await?;
    assert!(!address.as_str().unwrap().contains("stc_"), "{address}");

    // A reload keeps the session, another tab or browser has none.
    browser.run("location.reload()").await?;
    browser.until_says("Sam Supervisor").await?;
    let other = Browser::open(Kind::default()).await?;
    other.visit(&link).await?;
    other.until_says("was used already").await?;
    other.until_says("Sign-in link or code").await?;

    // Signing out is for good: the token that was kept is gone, here and at the gateway.
    browser.run("document.querySelectorAll('header button')[1].click()").await?;
    browser.until_says("Sign-in link or code").await?;
    browser.run("location.reload()").await?;
    browser.until_says("Sign-in link or code").await?;
    assert_eq!(browser.log().await?, Vec::<String>::new(), "nothing the policy had to stop");
    stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_is_one_click_and_the_banner_says_who_hears() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let stage = Stage::start(Setting::default()).await?;
    let (customer, alice, sam) = (&stage.customer, &stage.alice, &stage.sam);
    let browser = signed_in(&stage, TokenOf::Crm, Some("sam"), Kind::default()).await?;
    browser.until_says("No call at the moment").await?;
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;

    // The board knew of the call without being asked again.
    browser.click("td.acts button").await?;
    browser.until_air("Nobody hears you").await?;
    let monitor = [
        Expected::voices(customer, [alice]),
        Expected::voices(alice, [customer]),
        Expected::voices(sam, [customer, alice]),
    ];
    stage.assert_hears(&monitor).await?;

    browser.click("button.whisper").await?;
    browser.until_air("Alice hears you, the customer does not").await?;
    let whisper = [
        Expected::voices(customer, [alice]),
        Expected::voices(alice, [customer, sam]),
        Expected::voices(sam, [customer, alice]),
    ];
    stage.assert_hears(&whisper).await?;
    // The page's table is the gateway's.
    let table = "[...document.querySelectorAll('.matrix tbody tr')].map(row => [...row.cells].slice(1)
        .map(cell => cell.className === 'hears' ? 'x' : '-').join('')).join(' ')";
    assert_eq!(browser.run(&format!("return {table}")).await?, "-x- x-x xx-");
    stage.assert_never_heard(customer, sam).await?;

    browser.click("button.barge").await?;
    browser.until_air("hear you").await?;
    browser.until("everybody in the table", &format!("{table} === '-xx x-x xx-'")).await?;
    let barge = [
        Expected::voices(customer, [alice, sam]),
        Expected::voices(alice, [customer, sam]),
        Expected::voices(sam, [customer, alice]),
    ];
    stage.assert_hears(&barge).await?;

    browser.click("button.takeover").await?;
    alice.phone.over().await?;
    browser.until_air("The customer hears you").await?;
    stage.assert_hears(&[Expected::voices(customer, [sam]), Expected::voices(sam, [customer])]).await?;

    // Muting is seen at once, and heard.
    browser.click("section[aria-labelledby=controls-title] button:nth-child(2)").await?;
    browser.until_air("You are muted").await?;
    let _ = call;
    browser.click("section[aria-labelledby=controls-title] button.danger").await?;
    customer.phone.over().await?;
    browser.until("no banner", "!document.querySelector('.air')").await?;
    assert_eq!(browser.log().await?, Vec::<String>::new());
    stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyboard_is_enough_and_the_focus_stays_and_is_seen() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let stage = Stage::start(Setting::default()).await?;
    let (customer, alice, sam) = (&stage.customer, &stage.alice, &stage.sam);
    stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let browser = signed_in(&stage, TokenOf::Crm, Some("sam"), Kind::default()).await?;
    browser.until("the call", "document.querySelector('td.acts button')").await?;

    // The first stop skips the header.
    browser.press(&[TAB]).await?;
    let focused = "document.activeElement.innerText.trim().split('\\n')[0]";
    assert_eq!(browser.run(&format!("return {focused}")).await?, "Skip to the content");
    browser.press(&[ENTER]).await?;
    tab_to(&browser, "Listen").await?;
    browser.press(&[ENTER]).await?;
    browser.until_air("Nobody hears you").await?;

    tab_to(&browser, "Whisper").await?;
    let seen = browser.run("return getComputedStyle(document.activeElement).outlineStyle").await?;
    assert_eq!(seen, "solid", "the focus is seen");
    browser.press(&[SPACE]).await?;
    browser.until_air("Alice hears you").await?;
    browser
        .until("the pressed button", "document.querySelector('button.whisper[aria-pressed=true]')")
        .await?;
    assert_eq!(browser.run(&format!("return {focused}")).await?, "Whisper", "the focus stayed");
    stage
        .assert_hears(&[Expected::voices(customer, [alice]), Expected::voices(alice, [customer, sam])])
        .await?;
    stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_signed_out_by_an_administrator_sees_nothing_more() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let stage = Stage::start(Setting::default()).await?;
    let browser = signed_in(&stage, TokenOf::Crm, Some("sam"), Kind::default()).await?;
    stage.api_of(TokenOf::Admin).sign_out("sam").await?;
    stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    browser.until_says("Sign-in link or code").await?;
    let page = browser.run("return document.body.innerText").await?;
    assert!(!page.as_str().unwrap().contains(ALICES_NUMBER));
    stage.stop().await;
    Ok(())
}

/// The page renews ten minutes in; here the first three of its long timers are short.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_renewed_while_the_page_is_open_and_the_events_go_on() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let stage = Stage::start(Setting::default()).await?;
    let browser = Browser::open(Kind::default()).await?;
    browser
        .prepare(
            "let short = 3; const real = setTimeout;
             window.setTimeout = (done, ms, ...rest) => real(done, ms > 60000 && short-- > 0 ? 50 : ms, ...rest);
             window.opened = 0; const Real = WebSocket;
             window.WebSocket = class extends Real { constructor(...all) { super(...all); opened++; } };",
        )
        .await?;
    browser.visit(&stage.sign_in_link(TokenOf::Crm, Some("sam")).await?).await?;
    browser.until("the wallboard", "document.querySelector('.line.live')").await?;
    let kept = "JSON.parse(sessionStorage.getItem('sidetone-session')).token";
    let renewals =
        "performance.getEntriesByType('resource').filter(one => one.name.endsWith('/session/renew')).length";
    browser.until("three renewals", &format!("{renewals} === 3")).await?;
    let token = browser.run(&format!("return {kept}")).await?;
    let who = stage.api.with_token(token.as_str().unwrap_or_default()).calls().await?;
    assert!(who.is_empty(), "the token kept is good");
    stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    browser.until("the call", "document.querySelector('td.acts a')").await?;
    assert_eq!(browser.run("return opened").await?, 1, "over the connection of before");
    stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_made_again_and_nothing_is_missed() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let stage = Stage::start(Setting::default()).await?;
    let browser = Browser::open(Kind::default()).await?;
    browser
        .prepare(
            "window.sockets = []; window.shut = false; const Real = WebSocket;
             window.WebSocket = class extends Real {
               constructor(...all) { super(...all); sockets.push(this); if (shut) this.close(); }
             };",
        )
        .await?;
    browser.visit(&stage.sign_in_link(TokenOf::Crm, Some("sam")).await?).await?;
    browser.until("the wallboard", "document.querySelector('.line.live')").await?;
    stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    browser.until("the call", "document.querySelector('td.acts a')").await?;

    browser.run("shut = true; sockets.at(-1).close()").await?;
    browser.until("the loss is shown", "document.querySelector('.line.down')").await?;
    stage.customer.phone.hang_up().await?;
    stage.until_no_call().await?;
    browser.until("one more try in vain", "sockets.length > 2").await?;
    assert_eq!(
        browser.run("return !!document.querySelector('td.acts a')").await?,
        true,
        "what was known stays"
    );
    browser.run("shut = false").await?;
    browser.until("the wallboard", "document.querySelector('.line.live')").await?;
    browser.until_says("No call at the moment").await?;
    let resumed = browser.run("return /after=\\d+/.test(sockets.at(-1).url)").await?;
    assert_eq!(resumed, true, "from the number seen last");
    stage.stop().await;
    Ok(())
}

/// Goes from control to control until one is called so; fails after a whole round.
pub async fn tab_to(browser: &Browser, name: &str) -> Outcome {
    for _ in 0..60 {
        browser.press(&[TAB]).await?;
        let said = browser.run("return document.activeElement.innerText ?? ''").await?;
        if said.as_str().unwrap_or_default().trim().starts_with(name) {
            return Ok(());
        }
    }
    Err(format!("no way by keyboard to {name}").into())
}
