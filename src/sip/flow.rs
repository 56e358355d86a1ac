//! Where a message came from and where one goes: addresses without sockets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::tls::Outward;

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One datagram, one message; may be lost.
    Udp,
    /// A stream; nothing is lost while the connection lives.
    Tcp,
    /// A stream that nobody on the way can read or change.
    Tls,
}

impl Transport {
    /// True when the transport itself repeats what is lost, so that the transactions need not.
    pub fn is_reliable(self) -> bool {
        self != Transport::Udp
    }

    /// True when nobody on the way can read what is said: only then may keys for media be said (RFC 4568 section 7).
    pub fn is_secure(self) -> bool {
        self == Transport::Tls
    }

    /// The name in a Via header.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }

    /// The `transport` parameter of a URI by which we are reached this way; UDP is what its absence means
    /// (RFC 3263 section 4.1).
    pub fn param(self) -> Option<&'static str> {
        match self {
            Transport::Udp => None,
            Transport::Tcp => Some("tcp"),
            Transport::Tls => Some("tls"),
        }
    }

    /// What the `transport` parameter of a URI means.
    pub fn from_param(param: &str) -> Option<Transport> {
        let known = [("udp", Transport::Udp), ("tcp", Transport::Tcp), ("tls", Transport::Tls)];
        known.into_iter().find(|(name, _)| param.eq_ignore_ascii_case(name)).map(|(_, transport)| transport)
    }

    /// The port meant where none is named (RFC 3261 section 19.1.2).
    pub fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
        }
    }
}

/// A stream connection, numbered by whoever holds the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// As whom and to whom a TLS connection is opened: the number of an [`Outward`], so that a
/// destination stays a few octets. Whoever holds the sockets never sends a message with one number over a connection
/// that was opened with another: two trunks at one address are two parties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TlsWay(pub u32);

/// Different ways out that are numbered: every trunk with each of its names, and the names that peers put in their
/// routes. Beyond it no further name is spoken to, which only a flood of invented names brings about.
const WAYS_MAX: usize = 4096;

/// The ways out by number.
#[derive(Debug, Default)]
pub struct Ways {
    numbers: HashMap<Arc<Outward>, TlsWay>,
    known: Vec<Arc<Outward>>,
}

impl Ways {
    /// The number of a way out. `None` when there are too many.
    pub fn number(&mut self, outward: Outward) -> Option<TlsWay> {
        if let Some(known) = self.numbers.get(&outward) {
            return Some(*known);
        }
        if self.known.len() >= WAYS_MAX {
            tracing::warn!("as many TLS peers as can be told apart; a new one is not spoken to");
            return None;
        }
        let outward = Arc::new(outward);
        let way = TlsWay(self.known.len() as u32);
        self.known.push(outward.clone());
        self.numbers.insert(outward, way);
        Some(way)
    }

    /// The way out of this number.
    pub fn get(&self, way: TlsWay) -> Option<Arc<Outward>> {
        self.known.get(way.0 as usize).cloned()
    }
}

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
    /// With TLS, as whom and to whom another connection to it would be opened.
    pub tls: Option<TlsWay>,
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
    /// With TLS, as whom and to whom a connection is opened if one must be.
    pub tls: Option<TlsWay>,
}

impl From<Peer> for Destination {
    /// Straight back to the sender.
    fn from(peer: Peer) -> Destination {
        Destination {
            transport: peer.transport,
            remote: peer.remote,
            local: Some(peer.local),
            connection: peer.connection,
            tls: peer.tls,
        }
    }
}

impl Destination {
    /// Back to the sender over its connection, or when that is gone, by a new one to the port that the sender said it
    /// listens on (RFC 3261 section 18.2.2). Where it sent from is no place to call at.
    pub fn back(peer: Peer, listens: Option<u16>) -> Destination {
        let mut to = Destination::from(peer);
        if peer.transport.is_reliable() {
            to.remote.set_port(listens.unwrap_or(peer.transport.default_port()));
        }
        to
    }
}
