//! WebRTC: where browsers send their sound.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// `[webrtc]`: the one port of every browser's sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webrtc {
    /// Where it is listened for; without it there is no such door.
    pub listen: Option<SocketAddr>,
    /// Where browsers whose network lets no datagrams out may connect instead (ICE over TCP); without it they are given up.
    pub tcp: Option<SocketAddr>,
    /// Such connections at one time.
    pub tcp_connections_max: usize,
    /// What browsers are told instead of the listen addresses.
    pub advertised: Option<IpAddr>,
    /// A browser that is not connected this long after its offer is given up.
    pub connect: Duration,
}
