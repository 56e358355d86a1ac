//! Who is at the far end of a TLS connection, as its certificate proved, and as whom we open one.

use std::collections::HashMap;
use std::sync::Arc;

use sbc_config::{Config, TrunkId};

use crate::sip::flow::{ConnectionId, Destination, Peer, TlsWay, Transport};
use crate::sip::tls::{Outward, Verified, Ways};

/// The TLS connections that live, and the ways by which others are opened.
#[derive(Debug, Default)]
pub(super) struct Private {
    connections: HashMap<ConnectionId, Option<TlsWay>>,
    ways: Ways,
}

impl Private {
    /// A connection stands.
    pub(super) fn secured(&mut self, config: &Config, peer: Peer, verified: Verified) {
        let Some(id) = peer.connection else { return };
        tracing::debug!(remote = %peer.remote, trunks = ?verified.trunks, "a TLS connection stands");
        let way = peer.tls.or_else(|| {
            let trunk = verified.likely.clone()?;
            let destination = config.trunk(&trunk).and_then(|trunk| trunk.destination());
            let name = destination.map_or_else(|| peer.remote.ip().to_string(), |to| to.host.to_string());
            self.way(Some(trunk), &name)
        });
        self.connections.insert(id, way);
    }

    /// A connection is gone.
    pub(super) fn gone(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    /// The peer, with the way by which another connection to it would be opened.
    pub(super) fn introduce(&self, peer: Peer) -> Peer {
        let known = peer.connection.and_then(|id| self.connections.get(&id));
        Peer { tls: peer.tls.or(known.copied().flatten()), ..peer }
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
