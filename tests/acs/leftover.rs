//! A gateway that died while people talked at ACS: the next one leaves nobody in a dead call.

use std::path::Path;

use sidetone::sim::acs::{AcsSim, Entry, Flaw};
use sidetone::sim::stage::{Setting, Stage};

use crate::Story;
use crate::support::{CUSTOMER, CUSTOMER_HZ, House};

async fn house(acs: &AcsSim, folder: &Path) -> Result<House, Box<dyn std::error::Error>> {
    let folder = Some(folder.to_owned());
    let setting = Setting { acs: Some(acs.clone()), folder, mortal: true, ..Setting::default() };
    Ok(House { stage: Stage::start(setting).await?, acs: acs.clone() })
}

fn ends(journal: &[Entry]) -> Vec<u16> {
    let status = |entry: &Entry| match entry {
        Entry::Request(_, target, status) if target.ends_with(":terminate") => Some(*status),
        _ => None,
    };
    journal.iter().filter_map(status).collect()
}

/// The dead call is ended at ACS, told and written down, and the next customer is served.
async fn is_ended_and_told(house: &House, connection: &str) -> Story {
    house.acs.until("an end", |all| ends(all) == [204]).await?;
    let told = house.stage.events.until("what was left over", |event| event.kind == "acs.left_over").await?;
    assert_eq!((&told.data["connection"], &told.data["outcome"]), (&connection.into(), &"ended".into()));
    assert!(house.acs.connections().is_empty());
    let (_, customer) = house.customer_reaches_alice().await?;
    house.talker_hears(&customer, &[house.stage.alice.hz], &[]).await?;
    house.hears(&house.stage.alice, &[CUSTOMER_HZ], &[]).await?;
    house.acs.hangs_up(CUSTOMER).await;
    house.stage.until_no_call().await?;
    Ok(())
}

fn connection(acs: &AcsSim) -> Result<String, Box<dyn std::error::Error>> {
    Ok(acs.connections().into_keys().next().ok_or("nobody is connected")?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_up_is_ended_by_the_next_gateway() -> Story {
    let (acs, folder) = (AcsSim::start().await?, tempfile::tempdir()?);
    let died = house(&acs, folder.path()).await?;
    died.customer_reaches_alice().await?;
    let connection = connection(&acs)?;
    died.stage.crash();
    let next = house(&acs, folder.path()).await?;
    is_ended_and_told(&next, &connection).await?;
    next.stage.stop().await;
    // What ended as it should leaves nothing to end.
    let last = house(&acs, folder.path()).await?;
    assert_eq!(ends(&acs.journal()), [204]);
    last.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_name_was_not_written_makes_itself_known() -> Story {
    let (acs, folder, other) = (AcsSim::start().await?, tempfile::tempdir()?, tempfile::tempdir()?);
    let died = house(&acs, folder.path()).await?;
    died.customer_reaches_alice().await?;
    let connection = connection(&acs)?;
    died.stage.crash();
    // Its store is lost with it; ACS goes on telling of the call, at addresses of before.
    let next = house(&acs, other.path()).await?;
    acs.tells_participants(CUSTOMER).await;
    is_ended_and_told(&next, &connection).await?;
    next.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_at_a_wrong_address_ends_nothing_that_is_alive_or_another_s() -> Story {
    let (acs, folder) = (AcsSim::start().await?, tempfile::tempdir()?);
    let house = house(&acs, folder.path()).await?;
    house.customer_reaches_alice().await?;
    let alive = connection(&acs)?;
    // Somebody else's call at the same resource: its events go to them.
    let others = acs.has_call_of_another("https://another.test/callbacks");
    let url = acs.callback_of(CUSTOMER).ok_or("no callback")?;
    let foreign = format!("{}/0000", url.rsplit_once('/').ok_or("no path")?.0);
    for connection in [&alive, &others] {
        let body = serde_json::json!([{ "id": "x", "type": "Microsoft.Communication.ParticipantsUpdated",
            "specversion": "1.0", "data": { "callConnectionId": connection } }]);
        let token = acs.authorization(Flaw::Sound).ok_or("no token")?;
        let sent = reqwest::Client::new().post(&foreign).header("authorization", token).json(&body).send();
        assert_eq!(sent.await?.status(), 404);
    }
    let looked = |all: &[Entry]| {
        all.iter().any(|e| matches!(e, Entry::Request(method, target, 200) if method == "GET" && target.ends_with(&others)))
    };
    acs.until("a look at the other's call", looked).await?;
    house.hears(&house.stage.alice, &[CUSTOMER_HZ], &[]).await?;
    assert_eq!(acs.connections().len(), 2, "both are up");
    assert!(ends(&acs.journal()).is_empty());
    house.stage.stop().await;
    Ok(())
}
