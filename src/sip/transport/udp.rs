//! Datagrams.

use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

use super::BindError;

/// UDP receive buffer asked of the kernel: a burst of a few hundred calls' messages.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// The socket, and where it is bound: asking the kernel for every datagram would be a system call each.
pub(super) struct Datagrams {
    socket: UdpSocket,
    pub(super) local: SocketAddr,
}

pub(super) fn bind(at: SocketAddr) -> Result<Datagrams, BindError> {
    let bind = || -> io::Result<Datagrams> {
        let domain = socket2::Domain::for_address(at);
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        socket.set_nonblocking(true)?;
        socket.bind(&at.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Datagrams { local: socket.local_addr()?, socket })
    };
    bind().map_err(|source| BindError { transport: "UDP", at, source })
}

/// The next datagram: its length, who sent it, and where it came in.
pub(super) async fn receive(
    datagrams: Option<&Datagrams>,
    buffer: &mut [u8],
) -> Option<(usize, SocketAddr, SocketAddr)> {
    let Some(Datagrams { socket, local }) = datagrams else { return std::future::pending().await };
    match socket.recv_from(buffer).await {
        Ok((length, remote)) => Some((length, remote, *local)),
        // An ICMP error of something we sent earlier; the socket goes on.
        Err(_) => None,
    }
}

/// A datagram that has come already.
pub(super) fn received(
    datagrams: Option<&Datagrams>,
    buffer: &mut [u8],
) -> Option<(usize, SocketAddr, SocketAddr)> {
    let Datagrams { socket, local } = datagrams?;
    let (length, remote) = socket.try_recv_from(buffer).ok()?;
    Some((length, remote, *local))
}

pub(super) fn send(datagrams: Option<&Datagrams>, remote: SocketAddr, message: &[u8]) {
    let Some(Datagrams { socket, .. }) = datagrams else {
        tracing::warn!(%remote, "no UDP listener is configured; a message for UDP is dropped");
        return;
    };
    if let Err(error) = socket.try_send_to(message, remote) {
        // A full buffer or an ICMP error of an earlier packet: the transaction repeats itself.
        tracing::debug!(%remote, %error, "datagram not sent");
    }
}
