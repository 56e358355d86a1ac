//! Pitfalls 6 and 7: what is shown to Microsoft, which takes nobody who shows nothing, or a certificate whose chain has a gap.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sidetone::sim::teams::House;
use sidetone::tls::roots_from_pem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{Test, customer_reaches_teams, open, they_talk};

/// A question as ours are, from a stranger who shows this.
const OPTIONS: &str = "OPTIONS sip:sip.pstnhub.microsoft.com:5061;transport=tls SIP/2.0\r\n\
    Via: SIP/2.0/TLS sbc1.example.com:5061;branch=z9hG4bKstranger\r\nMax-Forwards: 70\r\n\
    From: <sip:sbc1.example.com:5061>;tag=s\r\nTo: <sip:sip.pstnhub.microsoft.com:5061>\r\nCall-ID: stranger\r\n\
    CSeq: 1 OPTIONS\r\nContact: <sip:sbc1.example.com:5061;transport=tls>\r\nContent-Length: 0\r\n\r\n";

/// The gateway's name, and that of the proxy's first site.
const OURS: &str = "sbc1.example.com";
const MICROSOFT: &str = "sip.pstnhub.microsoft.com";

type Failed = Box<dyn std::error::Error>;

/// What lies in the gateway's folder: its chain, its key, and the authority that everybody knows.
fn beside(
    house: &House,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, RootCertStore), Failed> {
    let read = |name: &str| std::fs::read(house.file().with_file_name(name));
    let chain = CertificateDer::pem_slice_iter(&read("sbc1.pem")?).collect::<Result<_, _>>()?;
    Ok((chain, PrivateKeyDer::from_pem_slice(&read("sbc1.key")?)?, roots_from_pem(&read("root.pem")?)?))
}

/// Shakes hands with somebody of this name who must be believed by the root alone, and shows this.
async fn shake(
    house: &House,
    at: SocketAddr,
    name: &'static str,
    shown: Vec<CertificateDer<'static>>,
) -> Result<TlsStream<TcpStream>, Failed> {
    let (_, key, roots) = beside(house)?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match shown.is_empty() {
        true => config.with_no_client_auth(),
        false => config.with_client_auth_cert(shown, key)?,
    };
    let stream = TcpStream::connect(at).await?;
    Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name)?, stream).await?)
}

/// Whether the proxy answers one who shows this. With TLS 1.3 a certificate is refused after the handshake.
async fn is_taken(house: &House, shown: Vec<CertificateDer<'static>>) -> Result<bool, Failed> {
    let [site, ..] = house.proxy.addresses();
    let Ok(mut stream) = shake(house, site, MICROSOFT, shown).await else { return Ok(false) };
    let mut answer = [0; 12];
    let said = async {
        stream.write_all(OPTIONS.as_bytes()).await?;
        stream.flush().await?;
        stream.read_exact(&mut answer).await
    };
    Ok(said.await.is_ok() && answer.starts_with(b"SIP/2.0 "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_6_a_proxy_that_takes_nobody_without_a_certificate_takes_our_connections() -> Test {
    let house = open().await?;
    assert!(!is_taken(&house, Vec::new()).await?, "who shows nothing is turned away");
    let call = customer_reaches_teams(&house).await?;
    assert!(house.proxy.state().accepted > 0, "the call went over connections that we opened");
    they_talk(&house, call).await?;
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_7_the_whole_chain_is_shown_whoever_connects_and_only_the_whole_chain_is_taken() -> Test {
    let house = open().await?;
    let (chain, ..) = beside(&house)?;
    assert_eq!(chain.len(), 2, "the certificate and the intermediate that signed it");

    // Microsoft connects to us: it knows the root alone, and asks for our name.
    let at = house.gateway.sip_tls_addr().ok_or("a TLS listener")?;
    let stream = shake(&house, at, OURS, Vec::new()).await?;
    let shown = stream.get_ref().1.peer_certificates().ok_or("a certificate")?;
    assert_eq!(shown, chain, "in order, with nothing missing");

    // We connect to it: the same, and without the intermediate nobody is taken.
    assert!(!is_taken(&house, chain[..1].to_vec()).await?, "a chain with a gap");
    assert!(is_taken(&house, chain).await?);
    let call = customer_reaches_teams(&house).await?;
    they_talk(&house, call).await?;
    house.gateway.stop().await;
    Ok(())
}
