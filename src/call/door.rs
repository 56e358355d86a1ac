//! What passes between a door and the switchboard: the same for every door.
//!
//! A door turns these into its protocol and its protocol into these. It allots the ids of legs
//! that reach it; legs that it is told to dial come with theirs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use sbc_config::{AcsId, PersonId, TenantId, TrunkId};
use sidetone_media::codec::Codec;
use sidetone_media::codec::opus::Wishes;
use sidetone_media::srtp::MasterKey;

use super::card::Card;
use super::context::Context;
use super::journey::Journey;
use super::{LegAction, LegEvent, LegId};

/// The doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DoorName {
    /// SIP.
    Sip,
    /// Azure Communication Services.
    Acs,
    /// WebRTC.
    Rtc,
}

/// From the switchboard to a door.
#[derive(Debug, Clone)]
pub struct Order {
    /// The leg.
    pub leg: LegId,
    /// What to do with it.
    pub action: LegAction,
    /// Our end of its media, with the first order that needs one.
    pub media: Option<MediaEnd>,
    /// Codecs to put first, because the other side of the call speaks them.
    pub prefer: Vec<Codec>,
    /// Who is shown as calling, for [`LegAction::Dial`].
    pub caller: Option<Caller>,
    /// What the one who is called is told of the matter, for [`LegAction::Dial`], where they may be told.
    pub card: Option<Arc<Card>>,
}

/// The codecs that a configuration names.
pub fn codecs(named: &[sbc_config::Codec]) -> Vec<Codec> {
    let spoken = named.iter().map(|codec| match codec {
        sbc_config::Codec::Pcmu => Codec::Pcmu,
        sbc_config::Codec::Pcma => Codec::Pcma,
        sbc_config::Codec::G722 => Codec::G722,
        sbc_config::Codec::Opus => Codec::Opus,
    });
    spoken.collect()
}

/// Stands in for the address of media that never touches the network: that of a leg whose packets come over a wire
/// inside the process. Nothing can be sent to port 0, and no leg with sockets is ever told to expect it.
pub const IN_PROCESS: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// Our end of a leg's media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaEnd {
    /// Where the far end sends RTP; RTCP goes to the next port.
    pub rtp: SocketAddr,
}

/// Who is shown as calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The number or user part.
    pub number: String,
    /// The display name, if the caller sent one.
    pub name: Option<String>,
    /// The number that the network vouches for, if it does. Shown to nobody when `private`.
    pub asserted: Option<String>,
    /// Whether the caller withholds the number; `number` says nothing then.
    pub private: bool,
    /// Where the call has been.
    pub journey: Arc<Journey>,
    /// What their system gives along, where that is taken.
    pub context: Option<Arc<Context>>,
}

impl Caller {
    /// A caller who shows a number, with nobody vouching for it.
    pub fn shown(number: impl Into<String>, name: Option<String>) -> Caller {
        let journey = Arc::default();
        Caller { number: number.into(), name, asserted: None, private: false, journey, context: None }
    }
}

/// From a door to the switchboard.
#[derive(Debug, Clone)]
pub enum Report {
    /// A new leg wants in. It waits until it is ordered to be answered or hung up.
    Incoming(Incoming),
    /// Something happened to a leg.
    Leg(LegId, LegEvent),
    /// The leg's media is agreed, for the first time or anew.
    Agreed(LegId, Box<AgreedMedia>),
    /// The telephone of one of our people wants another in its place. The door has said that it will be tried; what becomes
    /// of it is told by [`LegAction::Refer`].
    Refers {
        /// The leg.
        leg: LegId,
        /// Whom, as it would be dialled.
        to: String,
    },
    /// The telephone of one of our people wants the far ends of two of its calls to talk without it. The door has said that
    /// it will be tried; what becomes of it is told by [`LegAction::Refer`].
    Joins {
        /// The leg that asked.
        leg: LegId,
        /// Its other one.
        with: LegId,
    },
    /// By what the far end's support finds this leg.
    Correlated(LegId, Correlation),
    /// A trunk changed between reachable and not.
    Trunk {
        /// The trunk.
        trunk: TrunkId,
        /// Whether it answers now.
        up: bool,
        /// What it said, or what failed.
        detail: String,
    },
}

/// The keys by which a leg is found in another's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlation {
    /// What both sides call the connection: over SIP, the Call-ID.
    pub connection: String,
    /// The peer's own key, if it gives one.
    pub peer_key: Option<String>,
}

/// A leg that reached us.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The leg.
    pub leg: LegId,
    /// The door it is at.
    pub door: DoorName,
    /// The tenant it belongs to, by its origin.
    pub tenant: TenantId,
    /// Where it came from.
    pub origin: Origin,
    /// Who calls, as the origin says.
    pub from: Caller,
    /// What was dialled.
    pub to: String,
    /// What the caller's codecs are, best first; empty when it made no offer.
    pub codecs: Vec<Codec>,
    /// The leg whose place it takes, by right of knowing its connection: then it is no new call.
    pub replaces: Option<LegId>,
}

/// Where a leg came from, as authenticated: by source range, digest or signed token, never by header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A trunk.
    Trunk(TrunkId),
    /// The telephone of one of our people, or their browser.
    Person(PersonId),
    /// A resource of Azure Communication Services.
    Acs(AcsId),
}

/// What both ends of a leg agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreedMedia {
    /// The codec.
    pub codec: Codec,
    /// How the far end wants its Opus; without meaning for other codecs.
    pub opus: Wishes,
    /// Payload type of packets we send.
    pub send_payload_type: u8,
    /// Payload type of packets we receive.
    pub receive_payload_type: u8,
    /// Payload types of telephone-event, to send and to receive.
    pub telephone_event: Option<(u8, u8)>,
    /// Whether comfort noise (RFC 3389) may be sent.
    pub comfort_noise: bool,
    /// Milliseconds of audio in a packet that we send.
    pub ptime_ms: u8,
    /// Where to send RTP; none while the far end has no address (`0.0.0.0`, port 0).
    pub remote_rtp: Option<SocketAddr>,
    /// Where to send RTCP.
    pub remote_rtcp: Option<SocketAddr>,
    /// Whether RTCP shares the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// Whether we may send.
    pub sends: bool,
    /// Whether the far end may send.
    pub receives: bool,
    /// The host that signalling came from, if media is promised from another: the far end sits
    /// behind an address translator there, and its packets come from a port nobody could announce.
    pub nat_host: Option<IpAddr>,
    /// The keys of SRTP; none for plain RTP.
    pub keys: Option<MediaKeys>,
    /// The SSRC of what we send, if our description has named one (RFC 5576).
    pub ssrc: Option<u32>,
}

/// The keys of a leg's SRTP, as agreed in its descriptions. Debug shows none of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaKeys {
    /// Seals what we send.
    pub ours: MasterKey,
    /// Opens what the far end sends.
    pub theirs: MasterKey,
}
