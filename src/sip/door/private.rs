//! Who is at the far end of a TLS connection, as its certificate proved, and as whom we open one.

use std::collections::HashMap;
use std::sync::Arc;

use sbc_config::{Config, Dialect, Trunk, TrunkId, VerifyPeer};

use crate::sip::flow::{ConnectionId, Destination, Peer, TlsWay, Transport, Ways};
use crate::sip::message::Request;
use crate::tls::{Outward, Verified};

/// The TLS connections that live, and the ways by which others are opened.
#[derive(Debug, Default)]
pub(super) struct Private {
    connections: HashMap<ConnectionId, Far>,
    ways: Ways,
}

#[derive(Debug)]
struct Far {
    verified: Verified,
    way: Option<TlsWay>,
}

/// Why a request that comes from a trunk's range is not the trunk's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stranger {
    #[error("the request is for none of the names that this range knows us by")]
    WrongName,
    #[error("the trunk speaks TLS, and this did not come over it")]
    InClear,
    #[error("no certificate has proved the trunk")]
    Unproved,
}

impl Private {
    /// The trunk that a request outside any dialog comes from, or `None` when it comes from no trunk's range.
    ///
    /// A source address alone says little: it can be forged in a datagram, and Microsoft's ranges are everybody's who
    /// has a tenant. So what a trunk is known by adds up: its range, its certificate where it has to show one, and our
    /// paired name in the request URI where several share the range. Nothing in a header makes anybody trusted.
    pub(super) fn trunk<'a>(
        &self,
        config: &'a Config,
        peer: &Peer,
        request: &Request,
    ) -> Result<Option<&'a Trunk>, Stranger> {
        let source = peer.remote.ip();
        let host = request.uri().host().map(|host| host.to_string()).unwrap_or_default();
        let Some(trunk) = config.trunk_of_request(source, &host) else {
            return match config.trunk_by_source(source) {
                Some(_) => Err(Stranger::WrongName),
                None => Ok(None),
            };
        };
        let secure = peer.transport.is_secure();
        let private = trunk.dialect == Dialect::Microsoft || {
            let mut over = trunk.destinations.iter().map(|to| to.transport_or_default());
            !trunk.destinations.is_empty() && over.all(|over| over == sbc_config::Transport::Tls)
        };
        if private && !secure {
            return Err(Stranger::InClear);
        }
        if secure && trunk.tls.verify == VerifyPeer::Required && !self.is(peer, &trunk.id) {
            return Err(Stranger::Unproved);
        }
        Ok(Some(trunk))
    }

    /// A connection stands.
    pub(super) fn secured(&mut self, config: &Config, peer: Peer, verified: Verified) {
        let Some(id) = peer.connection else { return };
        tracing::debug!(remote = %peer.remote, trunks = ?verified.trunks, "a TLS connection stands");
        let way = peer.tls.or_else(|| {
            let trunk = config.trunk(verified.likely.as_ref()?)?;
            self.way_back(trunk, &peer)
        });
        self.connections.insert(id, Far { verified, way });
    }

    /// The way by which another connection to a trunk's peer is opened.
    pub(super) fn way_back(&mut self, trunk: &Trunk, peer: &Peer) -> Option<TlsWay> {
        if !peer.transport.is_secure() {
            return None;
        }
        let name = match trunk.destination() {
            Some(destination) => destination.host.to_string(),
            None => peer.remote.ip().to_string(),
        };
        self.way(Some(trunk.id.clone()), &name)
    }

    /// A connection is gone.
    pub(super) fn gone(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    /// The peer, with the way by which another connection to it would be opened.
    pub(super) fn introduce(&self, peer: Peer) -> Peer {
        let known = peer.connection.and_then(|id| self.connections.get(&id));
        Peer { tls: peer.tls.or(known.and_then(|far| far.way)), ..peer }
    }

    /// Whether the peer has proved by its certificate that it is this trunk.
    fn is(&self, peer: &Peer, trunk: &TrunkId) -> bool {
        let known = peer.connection.and_then(|id| self.connections.get(&id));
        known.is_some_and(|far| far.verified.trunks.contains(trunk))
    }

    /// The number of the way to `name` as `trunk`.
    pub(super) fn way(&mut self, trunk: Option<TrunkId>, name: &str) -> Option<TlsWay> {
        self.ways.number(Outward { trunk, name: name.into() })
    }

    /// As whom and to whom the connection is opened that a message needs.
    pub(super) fn outward(&self, to: &Destination) -> Option<Arc<Outward>> {
        if to.transport != Transport::Tls {
            return None;
        }
        self.ways.get(to.tls?)
    }
}
