//! Datagrams.

use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

use super::BindError;

/// UDP receive buffer asked of the kernel: a burst of a few hundred calls' messages.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

pub(super) fn bind(at: SocketAddr) -> Result<UdpSocket, BindError> {
    let bind = || -> io::Result<UdpSocket> {
        let domain = socket2::Domain::for_address(at);
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        socket.set_nonblocking(true)?;
        socket.bind(&at.into())?;
        UdpSocket::from_std(socket.into())
    };
    bind().map_err(|source| BindError { transport: "UDP", at, source })
}

pub(super) async fn receive(
    socket: Option<&UdpSocket>,
    buffer: &mut [u8],
) -> Option<(usize, SocketAddr, SocketAddr)> {
    let Some(socket) = socket else { return std::future::pending().await };
    match socket.recv_from(buffer).await {
        Ok((length, remote)) => Some((length, remote, socket.local_addr().ok()?)),
        // An ICMP error of something we sent earlier; the socket goes on.
        Err(_) => None,
    }
}

pub(super) fn send(socket: Option<&UdpSocket>, remote: SocketAddr, message: &[u8]) {
    let Some(socket) = socket else {
        tracing::warn!(%remote, "no UDP listener is configured; a message for UDP is dropped");
        return;
    };
    if let Err(error) = socket.try_send_to(message, remote) {
        // A full buffer or an ICMP error of an earlier packet: the transaction repeats itself.
        tracing::debug!(%remote, %error, "datagram not sent");
    }
}
