//! Where a far end is: an address that its datagrams come from, or a connection that it has opened.

use std::net::SocketAddr;

/// A connection to us. Numbers are never used again, and go up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// A place that packets come from and go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The address, as we see it.
    pub at: SocketAddr,
    /// The connection, if they come on one. The next from the same address is another place.
    pub stream: Option<StreamId>,
}

impl From<SocketAddr> for Place {
    /// Where datagrams come from.
    fn from(at: SocketAddr) -> Place {
        Place { at, stream: None }
    }
}
