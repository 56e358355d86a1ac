//! The listener faces the internet: who says nothing keeps nobody out, and what is said can be private.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use sidetone::sim::acs::GATEWAY_HOST;
use sidetone::sim::authority::{Authority, Wanted};
use sidetone::sim::stage::{CHAIN_FILE, KEY_FILE, Setting};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Story;
use crate::support::{CUSTOMER, CUSTOMER_HZ, House};

/// Connections of the flood: more than there are places, many times over.
const FLOOD: usize = 1_000;

async fn flood(at: SocketAddr) -> std::io::Result<Vec<TcpStream>> {
    let mut open = Vec::new();
    for number in 0..FLOOD {
        let mut stream = TcpStream::connect(at).await?;
        // A third says nothing, a third begins a request, a third begins a handshake.
        let words: &[u8] = match number % 3 {
            0 => b"",
            1 => b"POST /acs/contoso/events?secret=guess HTTP/1.1\r\nhost: gateway.test\r\ncontent-length: 9\r\n\r\n[",
            _ => &[22, 3, 1, 2, 0, 1],
        };
        let _pushed_out = stream.write_all(words).await;
        open.push(stream);
    }
    Ok(open)
}

async fn a_flood_hinders_nobody(setting: Setting) -> Story {
    let house = House::set(Setting { acs_listener: "connections_max = 64\n".to_owned(), ..setting }).await?;
    let at = house.stage.acs().ok_or("no listener")?;
    let before = flood(at).await?;
    let (call, customer) = house.customer_reaches_alice().await?;
    house.talker_hears(&customer, &[house.stage.alice.hz], &[]).await?;
    // What is up stays up while they come again: it has proven itself.
    let after = flood(at).await?;
    house.hears(&house.stage.alice, &[CUSTOMER_HZ], &[]).await?;
    let figures = house.acs.figures(CUSTOMER).ok_or("no stream")?;
    assert_eq!(figures.dialled, 1, "nobody took the place of the stream");
    house.acs.hangs_up(CUSTOMER).await;
    house.stage.until_no_call().await?;
    assert_eq!((before.len(), after.len(), call.state.as_str()), (FLOOD, FLOOD, "talking"));
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_connections_do_not_keep_a_call_out() -> Story {
    a_flood_hinders_nobody(Setting::default()).await
}

/// The status that is answered to a head whose body never comes.
async fn answered_before_the_body(at: SocketAddr, path: &str) -> Result<u16, Box<dyn std::error::Error>> {
    let mut stream = TcpStream::connect(at).await?;
    let head = format!("POST {path} HTTP/1.1\r\nhost: gateway.test\r\ncontent-length: 1000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut line = [0; 12];
    tokio::time::timeout(sidetone::sim::HUNG_AFTER, stream.read_exact(&mut line)).await??;
    Ok(String::from_utf8_lossy(&line[9..]).parse()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_of_whoever_has_not_shown_who_they_are() -> Story {
    let house = House::start("").await?;
    house.customer_reaches_alice().await?;
    let at = house.stage.acs().ok_or("no listener")?;
    assert_eq!(answered_before_the_body(at, "/acs/contoso/events?secret=guess").await?, 401);
    let callback = house.acs.callback_of(CUSTOMER).ok_or("no callback")?;
    let path = callback.split_once("/acs/").map(|(_, rest)| format!("/acs/{rest}")).ok_or("no path")?;
    assert_eq!(answered_before_the_body(at, &path).await?, 401, "the secret alone is not enough");
    let (other, _) = path.rsplit_once('/').ok_or("no secret")?;
    assert_eq!(answered_before_the_body(at, &format!("{other}/0123456789abcdef")).await?, 404);
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_over_tls() -> Story {
    a_flood_hinders_nobody(Setting { protected: true, ..Setting::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_listener_takes_nothing_in_clear() -> Story {
    let house = House::set(Setting { protected: true, ..Setting::default() }).await?;
    let at = house.stage.acs().ok_or("no listener")?;
    let plain = reqwest::get(format!("http://{at}/acs/contoso/events")).await;
    assert!(plain.is_err(), "{plain:?}");
    house.customer_reaches_alice().await?;
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_shown_to_whoever_comes_next_while_a_call_goes_on() -> Story {
    let folder = tempfile::tempdir()?;
    let setting = Setting { protected: true, folder: Some(folder.path().to_owned()), ..Setting::default() };
    let house = House::set(setting).await?;
    let at = house.stage.acs().ok_or("no listener")?;
    let (_, customer) = house.customer_reaches_alice().await?;

    let renewed = Authority::new("another")?;
    let leaf = renewed.issue(&Wanted::new([GATEWAY_HOST]))?;
    std::fs::write(folder.path().join(KEY_FILE), &leaf.key)?;
    std::fs::write(folder.path().join(CHAIN_FILE), &leaf.chain)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(renewed.root().as_bytes())?)?;
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let shown = async {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            looks.tick().await;
            let stream = TcpStream::connect(at).await?;
            if connector.connect(GATEWAY_HOST.try_into()?, stream).await.is_ok() {
                return Ok::<_, Box<dyn std::error::Error>>(());
            }
        }
    };
    tokio::time::timeout(sidetone::sim::HUNG_AFTER, shown).await??;
    // The stream of before is where it was.
    house.talker_hears(&customer, &[house.stage.alice.hz], &[]).await?;
    assert_eq!(house.acs.figures(CUSTOMER).ok_or("no stream")?.dialled, 1);
    house.acs.gateway_is_at(at, Some(renewed.root()))?;
    house.acs.hangs_up(CUSTOMER).await;
    house.stage.until_no_call().await?;
    house.stage.stop().await;
    Ok(())
}
