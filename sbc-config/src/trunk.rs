//! Trunks: the SIP peers that calls come from and go to, told apart by their source address.

use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

use crate::address::Destination;
use crate::id::{TenantId, TrunkId};
use crate::settings::Codec;

/// `[[trunk]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// Its id.
    pub id: TrunkId,
    /// The tenant whose calls it carries.
    pub tenant: TenantId,
    /// The addresses it is trusted at. Never empty.
    pub sources: Vec<IpNet>,
    /// Where calls to it are sent; `None` if it only brings calls.
    pub destination: Option<Destination>,
    /// Reliable provisional responses.
    pub prack: Prack,
    /// What its callers get while an agent's phone rings.
    pub ringback: Ringback,
    /// Codecs for this trunk, best first; `None` is those of `[media]`.
    pub codecs: Option<Vec<Codec>>,
    /// Calls at one time over this trunk; `None` is up to the limit of the gateway.
    pub channels_max: Option<usize>,
    /// The session interval offered (RFC 4028); `None` offers no session timer.
    pub session_timer: Option<Duration>,
    /// How often OPTIONS asks whether the trunk is alive; `None` never asks. Set only with a `destination`.
    pub options_interval: Option<Duration>,
}

/// Reliable provisional responses (RFC 3262) on a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Prack {
    /// Neither offered nor used; a peer that requires it is answered 420.
    Off,
    /// Used when the peer asks for it.
    Supported,
    /// Asked of the peer; one without it is answered 421.
    Required,
}

/// What a trunk's caller gets while the called phone rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ringback {
    /// 180: the caller's network makes the tone.
    Alerting,
    /// 183 with SDP: the gateway makes the tone.
    Tone,
}
