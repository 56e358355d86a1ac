//! Certificate files that change under a running gateway: what is told of it, to whom, and what it does to calls.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use rustls::pki_types::CertificateDer;
use sidetone::sim::authority::Leaf;
use sidetone::sim::stage::api::{Event, Events};
use tokio::time::timeout;

use crate::Story;
use crate::gateway::{CARRIER_IP, House, OPERATOR, install};
use crate::town::*;

/// Certificates made until one is as long as another: their signatures differ by an octet or two.
const TRIES: usize = 500;

fn is(kind: &'static str) -> impl Fn(&Event) -> bool {
    move |event| event.kind == kind
}

/// What a new connection is shown.
async fn shown(house: &House) -> Result<CertificateDer<'static>, Box<dyn std::error::Error>> {
    let client = house.town.client(None);
    let stream = timeout(SOON, shake(&client, house.at, OURS)).await??;
    let (_, connection) = stream.get_ref();
    let chain = connection.peer_certificates().and_then(|chain| chain.first()).cloned();
    Ok(chain.ok_or("a certificate")?.into_owned())
}

async fn metrics(house: &House) -> Result<String, Box<dyn std::error::Error>> {
    let asked = reqwest::Client::new().get(house.api.url("/metrics")).bearer_auth(OPERATOR);
    Ok(asked.send().await?.error_for_status()?.text().await?)
}

#[tokio::test]
async fn a_key_that_does_not_fit_is_told_with_its_reason_and_neither_calls_nor_connections_notice() -> Story {
    let house = House::open("31200-31231").await?;
    let alice = house.phone("alice", Ipv4Addr::LOCALHOST.into(), None).await?;
    alice.register(Duration::from_secs(300)).await?;
    let carrier = house.phone("carrier", CARRIER_IP, Some(&house.town.of("sip.carrier.example"))).await?;
    carrier.dial(house.number()).await?;
    carrier.talking().await?;
    alice.talking().await?;
    let before = shown(&house).await?;
    let events = Events::follow(&house.api).await?;

    // Half a renewal: the key of the next certificate, and not the certificate.
    let next = house.town.of(OURS);
    fs::write(house.folder.path().join("sbc1.key"), &next.key)?;
    let told = events.until("the failure", is("certificate.reload_failed")).await?;
    assert_eq!(told.data["certificate"], "sbc1");
    assert_eq!(told.data["reason"], "key_of_another_certificate");
    let said = told.data.to_string();
    assert!(
        !said.contains("sbc1.key") && !said.contains("PRIVATE"),
        "where it lies is the operator's affair: {said}"
    );
    assert!(metrics(&house).await?.contains("sidetone_certificate_reloads_total{outcome=\"failed\"}"));

    assert_eq!(shown(&house).await?, before, "the one before is in force");
    carrier.ear().await?.wait_for(5).await?;
    alice.ear().await?.wait_for(5).await?;

    // The other half.
    install(&house.folder, &next)?;
    let told = events.until("the renewal", is("certificate.renewed")).await?;
    assert_eq!(told.data["certificate"], "sbc1");
    assert_eq!(shown(&house).await?, chain(&next)[0]);
    let metrics = metrics(&house).await?;
    assert!(metrics.contains("sidetone_certificate_reloads_total{outcome=\"reloaded\"}"));
    assert!(metrics.contains("sidetone_certificate_days_left{identity=\"sbc1\"}"));
    carrier.ear().await?.wait_for(5).await?;
    alice.ear().await?.wait_for(5).await?;
    carrier.hang_up().await?;
    alice.over().await?;
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test]
async fn sighup_reads_certificate_files_that_look_as_they_did() -> Story {
    let house = House::open("31300-31331").await?;
    let path = |name: &str| house.folder.path().join(name);
    let long = |name: &str| fs::metadata(path(name)).map(|file| file.len());
    let alike = |leaf: &Leaf| -> std::io::Result<bool> {
        Ok(leaf.chain.len() as u64 == long("sbc1.pem")? && leaf.key.len() as u64 == long("sbc1.key")?)
    };
    let mut next = house.town.of(OURS);
    for _ in 0..TRIES {
        if alike(&next)? {
            break;
        }
        next = house.town.of(OURS);
    }
    assert!(alike(&next)?, "a certificate of the same length");
    let events = Events::follow(&house.api).await?;
    slip_in(&path("sbc1.key"), &next.key)?;
    slip_in(&path("sbc1.pem"), &next.chain)?;

    kill_process(getpid(), Signal::HUP)?;
    events.until("the renewal", is("certificate.renewed")).await?;
    assert_eq!(shown(&house).await?, chain(&next)[0]);
    house.gateway.stop().await;
    Ok(())
}

/// Puts a file in the place of another that was written at the same time and is as long: nothing that is looked at changes.
fn slip_in(path: &Path, text: &str) -> std::io::Result<()> {
    let written = fs::metadata(path)?.modified()?;
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::File::options().write(true).open(&new)?.set_modified(written)?;
    fs::rename(&new, path)
}
