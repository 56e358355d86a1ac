//! The pictures of the README: `SIDETONE_WRITE_PICTURES=1 cargo test --test console pictures` takes them anew. Without,
//! they are taken all the same, so that what they show can be shown.

use std::path::Path;

use sidetone::sim::acs::AcsSim;
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage, TokenOf};
use sidetone::sim::tenant::{EXPERT, Tenant};

use crate::Outcome;
use crate::agent::asks_in_vain;
use crate::browser::{Browser, Kind, chromium};
use crate::supervisor::signed_in;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_of_the_main_views() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let (tenant, acs) = (Tenant::start().await?, AcsSim::start().await?);
    let setting =
        Setting { browsers: true, acs: Some(acs), acs_more: tenant.settings(), ..Setting::default() };
    let stage = Stage::start(setting).await?;
    stage.api_of(TokenOf::Admin).import(&tenant.collected()).await?;
    stage.customer_reaches(ALICES_NUMBER, &stage.alice).await?;
    for (dark, suffix) in [(false, "light"), (true, "dark")] {
        let sam = signed_in(&stage, TokenOf::Crm, Some("sam"), Kind { dark, ..Kind::default() }).await?;
        sam.until("the call", "document.querySelector('td.acts a')").await?;
        keep(&sam, &format!("wallboard-{suffix}")).await?;
        sam.click("td.acts a").await?;
        sam.click("button.monitor").await?;
        sam.until_air("Nobody hears you").await?;
        sam.click("button.whisper").await?;
        sam.until_air("Alice hears you").await?;
        sam.until("levels", "document.querySelectorAll('.meter[role=meter]').length >= 4").await?;
        keep(&sam, &format!("whisper-{suffix}")).await?;
        sam.click("button.leave").await?;
        stage.sam.phone.over().await?;

        let alice = asks_in_vain(&stage, EXPERT, Kind { dark, ..Kind::default() }).await?;
        keep(&alice, &format!("agent-{suffix}")).await?;
    }
    stage.stop().await;
    Ok(())
}

async fn keep(browser: &Browser, name: &str) -> Outcome {
    let picture = browser.picture().await?;
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 10_000, "{name} shows something");
    if std::env::var_os("SIDETONE_WRITE_PICTURES").is_some() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/console");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("{name}.png")), picture)?;
    }
    Ok(())
}
