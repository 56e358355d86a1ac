//! The handshakes, each in its connection's own task and within its time: a peer that stalls stalls nobody else.

use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, client, server};

use crate::tls::{Outward, Tls, TlsError, Verified};

/// Takes a connection: reads whom the peer means, then shows that certificate and asks for the peer's.
pub(super) async fn accept(
    tls: &Tls,
    stream: TcpStream,
    within: Duration,
) -> Result<(server::TlsStream<TcpStream>, Verified), TlsError> {
    let remote = stream.peer_addr()?.ip();
    let shake = async {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let material = tls.material();
        let asked = start.client_hello().server_name().map(str::to_owned);
        let config = material.server_config(remote, asked.as_deref())?;
        let stream = start.into_stream(config).await?;
        let chain = stream.get_ref().1.peer_certificates();
        let verified = material.verified(remote, asked.as_deref(), chain, UnixTime::now());
        Ok((stream, verified))
    };
    timeout(within, shake).await.unwrap_or(Err(TlsError::TooSlow))
}

/// Opens the private line over a connection just made.
pub(super) async fn connect(
    tls: &Tls,
    stream: TcpStream,
    outward: &Outward,
    within: Duration,
) -> Result<(client::TlsStream<TcpStream>, Verified), TlsError> {
    let material = tls.material();
    let (config, name) = material.client_config(outward)?;
    let shake = async { Ok(TlsConnector::from(config).connect(name, stream).await?) };
    let stream = timeout(within, shake).await.unwrap_or(Err(TlsError::TooSlow))?;
    Ok((stream, material.verified_by_dialling(outward)))
}
