//! WebRTC: where browsers send their sound.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// `[webrtc]`: the one UDP port of every browser's sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webrtc {
    /// Where it is listened for; without it there is no such door.
    pub listen: Option<SocketAddr>,
    /// What browsers are told instead of the listen address.
    pub advertised: Option<IpAddr>,
    /// A browser that is not connected this long after its offer is given up.
    pub connect: Duration,
}
