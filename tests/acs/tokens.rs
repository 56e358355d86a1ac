//! Whoever comes to a leg's addresses has the secret in the path and a token that is sound in every way.

use reqwest::StatusCode;
use serde_json::json;
use sidetone::sim::acs::{Entry, FLAWS, Faults, Flaw};

use crate::Story;
use crate::support::{CUSTOMER, House};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_needs_a_sound_token_and_the_right_path() -> Story {
    let house = House::start("").await?;
    house.customer_reaches_alice().await?;
    let url = house.acs.callback_of(CUSTOMER).ok_or("no callback")?;
    let http = reqwest::Client::new();
    let send = async |url: &str, flaw: Flaw| {
        let body = json!([{ "id": "x", "type": "Microsoft.Communication.CallDisconnected", "specversion": "1.0",
            "data": { "callConnectionId": "another" } }]);
        let mut request = http.post(url).json(&body);
        if let Some(authorization) = house.acs.authorization(flaw) {
            request = request.header("authorization", authorization);
        }
        request.send().await.map(|answer| answer.status())
    };
    for flaw in FLAWS {
        assert_eq!(send(&url, flaw).await?, StatusCode::UNAUTHORIZED, "{flaw:?}");
    }
    assert_eq!(send(&url, Flaw::Sound).await?, StatusCode::OK);
    let foreign = format!("{}{}", &url[..url.len() - 1], if url.ends_with('0') { '1' } else { '0' });
    assert_eq!(send(&foreign, Flaw::Sound).await?, StatusCode::NOT_FOUND, "a foreign secret");
    let as_media = url.replace("/calls/", "/media/");
    assert_ne!(send(&as_media, Flaw::Sound).await?, StatusCode::OK, "a secret is for one thing");
    assert_eq!(house.acs.connections().len(), 1, "nothing of it ended the call");
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_a_sound_token_is_not_let_in() -> Story {
    let house = House::start("").await?;
    house.customer_reaches_alice().await?;
    house.acs.faults(Faults { token: Flaw::Audience, ..Faults::default() });
    house.acs.drops_stream(CUSTOMER, std::time::Duration::ZERO).await;
    let refused = |entry: &Entry| matches!(entry, Entry::Event(kind, 401) if kind == "MediaStreamingFailed");
    house.acs.until("a refused stream", |all| all.iter().any(refused)).await?;
    let figures = house.acs.figures(CUSTOMER).ok_or("no stream")?;
    assert_eq!(figures.dialled, 1, "the second dialling was refused");
    house.stage.stop().await;
    Ok(())
}
