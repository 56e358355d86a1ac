//! Tokens of Entra: with which the gateway asks, and which Event Grid shows.

use reqwest::StatusCode;
use sbc_config::{Entra as Settings, EntraIdentity, Secret};
use sidetone::acs::token::{Azure, TokenError, TokenSource as _};
use sidetone::sim::acs::entra::{ASSERTION, CLIENT, Entra, TENANT};
use sidetone::sim::acs::{AcsSim, Entry, FLAWS, Faults, Flaw};
use sidetone::sim::phone::{Line, Status};
use sidetone::sim::stage::{Setting, Stage, WEBHOOK, at};
use sidetone::sim::voice::Voice;

use crate::Story;
use crate::support::{CUSTOMER, House, LINE};

async fn house(
    entra: &Entra,
    credential: Option<&str>,
    more: String,
) -> Result<House, Box<dyn std::error::Error>> {
    let acs = AcsSim::start().await?;
    acs.trusts(entra, credential);
    let setting = Setting { acs: Some(acs.clone()), acs_more: more, ..Setting::default() };
    Ok(House { stage: Stage::start(setting).await?, acs })
}

/// A call is answered, heard and ended by a gateway that asks with this credential.
async fn a_call_is_had(entra: &Entra, credential: &str, how: &str) -> Story {
    let house = house(entra, Some(credential), String::new()).await?;
    let (call, customer) = house.customer_reaches_alice().await?;
    house.talker_hears(&customer, &[house.stage.alice.hz], &[]).await?;
    house.stage.api_of(sidetone::sim::stage::TokenOf::Crm).hang_up(&call.id).await?;
    house.stage.until_no_call().await?;
    let ended = |e: &Entry| matches!(e, Entry::Request(_, target, 204) if target.ends_with(":terminate"));
    house.acs.until("an end", |all| all.iter().any(ended)).await?;
    assert_eq!(entra.asked(), [how], "one token is enough for one call");
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_with_a_secret_asks_with_tokens() -> Story {
    let entra = Entra::start().await?;
    let credential = format!(
        "entra = {{ identity = \"secret\", tenant = \"{TENANT}\", client_id = \"{CLIENT}\", \
         client_secret_file = \"entra-secret\", authority = \"{}\" }}",
        entra.base()
    );
    a_call_is_had(&entra, &credential, "secret").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_with_an_identity_asks_with_tokens() -> Story {
    let entra = Entra::start().await?;
    let credential = format!("entra = {{ identity = \"managed\", endpoint = \"{}\" }}", entra.base());
    a_call_is_had(&entra, &credential, "machine").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_of_kubernetes_asks_with_tokens() -> Story {
    let entra = Entra::start().await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, ASSERTION)?;
    let credential = format!(
        "entra = {{ identity = \"workload\", tenant = \"{TENANT}\", client_id = \"{CLIENT}\", token_file = \"{}\", \
         authority = \"{}\" }}",
        file.display(),
        entra.base()
    );
    a_call_is_had(&entra, &credential, "assertion").await
}

#[tokio::test]
async fn a_refusal_is_told_by_its_code_and_without_its_words() -> Story {
    let _named = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let entra = Entra::start().await?;
    let identity = EntraIdentity::Secret {
        tenant: TENANT.into(),
        client_id: CLIENT.into(),
        secret: Secret::new("not-the-secret"),
        authority: entra.base().into(),
    };
    let scope = "https://communication.azure.com//.default";
    let azure = Azure::new(&Settings { scope: scope.into(), identity }, reqwest::Client::new())?;
    let error = azure.token(scope).await.err().ok_or("a token for a wrong secret")?;
    assert_eq!(error, TokenError(Some("AADSTS7000215".into())));
    assert!(!format!("{error} {error:?}").contains("Canary"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_needs_a_sound_token_where_entra_protects_it() -> Story {
    let entra = Entra::start().await?;
    let house = house(&entra, None, entra.webhook_settings()).await?;
    let deliveries = |all: &[Entry]| -> Vec<u16> {
        let status = |e: &Entry| if let Entry::Delivery(status) = e { Some(*status) } else { None };
        all.iter().filter_map(status).collect()
    };
    for (n, flaw) in FLAWS.into_iter().enumerate() {
        house.acs.faults(Faults { delivery_token: flaw, ..Faults::default() });
        house.acs.call(CUSTOMER, LINE, Voice::Silence, WEBHOOK, true);
        house.acs.until("a delivery", |all| deliveries(all).len() == n + 1).await?;
        assert_eq!(deliveries(&house.acs.journal())[n], StatusCode::UNAUTHORIZED.as_u16(), "{flaw:?}");
    }
    house.acs.faults(Faults { delivery_token: Flaw::Sound, ..Faults::default() });
    // A sound token does not stand for the secret.
    house.acs.call(CUSTOMER, LINE, Voice::Silence, "/acs/contoso/events?secret=guess", true);
    house.acs.until("a delivery", |all| deliveries(all).len() == FLAWS.len() + 1).await?;
    assert_eq!(deliveries(&house.acs.journal())[FLAWS.len()], StatusCode::UNAUTHORIZED.as_u16());
    house.customer_calls();
    let alice = &house.stage.alice;
    let talks = |status: &Status| status.line == Line::Talking;
    alice.phone.until("a call from ACS", talks).await.map_err(at(alice))?;
    house.stage.stop().await;
    Ok(())
}
