//! The way requests inside a dialog go (RFC 3261 section 12.2.1.1).

use std::time::Instant;

use super::NextHop;
use crate::sip::dialog::Dialog;
use crate::sip::flow::{Destination, Peer, Transport};
use crate::sip::hub::Hub;
use crate::sip::uri::{Host, Uri};

/// The way requests inside a dialog go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// Where the first request went to or came from.
    pub(super) flow: Destination,
    pub(super) next_hop: NextHop,
}

impl Way {
    /// A request inside the dialog came by another way than before: a phone whose connection broke and was made anew,
    /// or whose NAT gave it another port. Whoever knows both tags and the Call-ID is the peer.
    pub(super) fn heard_from(&mut self, peer: Peer) {
        let by_flow = self.next_hop == NextHop::Pinned || self.flow.connection.is_some();
        if by_flow && peer.transport == self.flow.transport {
            let listens = Some(self.flow.remote.port());
            // The dialog knows whose it is; of a connection that came to us only a guess is known.
            self.flow = Destination { tls: self.flow.tls.or(peer.tls), ..Destination::back(peer, listens) };
        }
    }

    /// RFC 3261 section 12.2.1.1: the address of the first route or of the target, when it is one.
    pub(super) fn to(&self, hub: &Hub, now: Instant, dialog: &Dialog) -> Destination {
        match self.next_hop {
            NextHop::Pinned => self.flow,
            NextHop::Follow => self.follow(dialog.next_hop()),
            NextHop::ByRoute => {
                dialog.first_route().and_then(|route| self.by_route(hub, now, route)).unwrap_or(self.flow)
            }
        }
    }

    /// The address behind the name of a route. `None` while nobody knows it.
    pub(super) fn by_route(&self, hub: &Hub, now: Instant, route: &Uri) -> Option<Destination> {
        let (host, transport) = (route.host()?, self.flow.transport);
        // A port that is named for another transport is none where TLS is spoken.
        let named = route.transport().and_then(Transport::from_param);
        let elsewhere = transport.is_secure() && named.is_some_and(|named| named != transport);
        let port = route.port().filter(|_| !elsewhere).unwrap_or(transport.default_port());
        let remote = match host.ip() {
            Some(ip) => std::net::SocketAddr::new(ip, port),
            None => hub.resolver.0.as_ref()?(now, &host, port, transport)?,
        };
        if self.flow.connection.is_some() && self.flow.remote == remote {
            return Some(self.flow);
        }
        Some(Destination { remote, local: None, connection: None, ..self.flow })
    }

    fn follow(&self, uri: &Uri) -> Destination {
        let Some(host) = uri.host() else { return self.flow };
        let Some(ip) = Host::ip(&host) else { return self.flow };
        // A stream to the same machine is already open; its far port is the caller's, not the one it listens on.
        if self.flow.connection.is_some() && self.flow.remote.ip() == ip {
            return self.flow;
        }
        let named = uri.transport().and_then(Transport::from_param);
        let (transport, port) = match (self.flow.transport, named) {
            // What began in secret goes on in secret, whatever a Contact or a Route says (in the spirit of RFC 3261
            // section 26.2). A port that is named for another transport is none where TLS is spoken.
            (secure, Some(other)) if secure.is_secure() && other != secure => {
                (secure, (self.flow.remote.ip() == ip).then_some(self.flow.remote.port()))
            }
            // A call in clear does not know whose certificate to believe: it goes on in clear.
            (clear, Some(Transport::Tls)) if self.flow.tls.is_none() && !clear.is_secure() => {
                return self.flow;
            }
            (flow, named) => (named.unwrap_or(flow), uri.port()),
        };
        let remote = std::net::SocketAddr::new(ip, port.unwrap_or(transport.default_port()));
        let same = transport == self.flow.transport;
        Destination {
            transport,
            remote,
            local: self.flow.local.filter(|_| same),
            connection: None,
            tls: self.flow.tls,
        }
    }
}
