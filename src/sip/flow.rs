//! Where a message came from and where one goes: addresses without sockets.

use std::net::SocketAddr;

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One datagram, one message; may be lost.
    Udp,
    /// A stream; nothing is lost while the connection lives.
    Tcp,
}

impl Transport {
    /// True when the transport itself repeats what is lost, so that the transactions need not.
    pub fn is_reliable(self) -> bool {
        self == Transport::Tcp
    }

    /// The name in a Via header.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }
    }
}

/// A stream connection, numbered by whoever holds the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Who sent a message: the addresses as the socket saw them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    /// How it travelled.
    pub transport: Transport,
    /// The sender's address.
    pub remote: SocketAddr,
    /// Our address that it reached.
    pub local: SocketAddr,
    /// The connection it came on, for streams.
    pub connection: Option<ConnectionId>,
}

/// Where a message goes.
///
/// With a `connection`, that connection is used while it lives; without one, or after its end, whoever holds the
/// sockets may open a connection to `remote` or reuse one that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Destination {
    /// How it travels.
    pub transport: Transport,
    /// The address to send to.
    pub remote: SocketAddr,
    /// Our address to send from, when it matters: answers leave from where the question arrived.
    pub local: Option<SocketAddr>,
    /// The connection to use.
    pub connection: Option<ConnectionId>,
}

impl From<Peer> for Destination {
    /// Straight back to the sender.
    fn from(peer: Peer) -> Destination {
        Destination {
            transport: peer.transport,
            remote: peer.remote,
            local: Some(peer.local),
            connection: peer.connection,
        }
    }
}
