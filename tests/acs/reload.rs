//! Resources come and go while calls go on.

use std::time::Duration;

use sidetone::sim::acs::Entry;
use sidetone::sim::stage::{CONFIG_FILE, Setting, TokenOf, WEBHOOK};
use sidetone::sim::voice::Voice;

use crate::Story;
use crate::support::{CUSTOMER, CUSTOMER_HZ, House, LINE};

/// Delivers calls of nobody's until one is answered with this status.
async fn until_delivered(house: &House, webhook: &str, wanted: u16) -> Story {
    let deliveries = |all: &[Entry]| -> Vec<u16> {
        let status = |e: &Entry| if let Entry::Delivery(status) = e { Some(*status) } else { None };
        all.iter().filter_map(status).collect()
    };
    let looking = async {
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        loop {
            looks.tick().await;
            let before = deliveries(&house.acs.journal()).len();
            house.acs.call("4:+15550666", "4:+15550667", Voice::Silence, webhook, true);
            house.acs.until("a delivery", |all| deliveries(all).len() > before).await?;
            if deliveries(&house.acs.journal()).last() == Some(&wanted) {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(sidetone::sim::HUNG_AFTER, looking).await?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_is_taken_away_and_given_back_with_another_secret_while_a_call_goes_on() -> Story {
    let folder = tempfile::tempdir()?;
    let setting = Setting { folder: Some(folder.path().to_owned()), followed: true, ..Setting::default() };
    let house = House::set(setting).await?;
    let (call, customer) = house.customer_reaches_alice().await?;

    let file = folder.path().join(CONFIG_FILE);
    let whole = std::fs::read_to_string(&file)?;
    let without = whole.split("[[acs]]").next().unwrap_or_default();
    std::fs::write(&file, without)?;
    until_delivered(&house, WEBHOOK, 404).await?;
    // The call goes on, and its stream is let in again when it drops.
    house.acs.drops_stream(CUSTOMER, Duration::ZERO).await;
    house.acs.until_figures(CUSTOMER, "another dialling", |figures| figures.dialled == 2).await?;
    house.talker_hears(&customer, &[house.stage.alice.hz], &[]).await?;
    house.hears(&house.stage.alice, &[CUSTOMER_HZ], &[]).await?;
    // And it is ended at ACS, which is still asked with the key that was.
    house.stage.api_of(TokenOf::Crm).hang_up(&call.id).await?;
    house.stage.until_no_call().await?;
    let ended = |e: &Entry| matches!(e, Entry::Request(_, target, 204) if target.ends_with(":terminate"));
    house.acs.until("the end at ACS", |all| all.iter().any(ended)).await?;

    std::fs::write(folder.path().join("acs-webhook"), "another-secret")?;
    std::fs::write(&file, &whole)?;
    until_delivered(&house, "/acs/contoso/events?secret=another-secret", 200).await?;
    until_delivered(&house, WEBHOOK, 401).await?;
    let webhook = "/acs/contoso/events?secret=another-secret";
    house.acs.call(CUSTOMER, LINE, Voice::tone(CUSTOMER_HZ), webhook, true);
    house.acs.until_figures(CUSTOMER, "sound to the customer", |figures| figures.frames > 10).await?;
    house.stage.stop().await;
    Ok(())
}
