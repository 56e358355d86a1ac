//! Trunks: the SIP peers that calls come from and go to, told apart by their source address and our own name.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

use crate::address::Destination;
use crate::id::{CertificateId, TenantId, TrunkId};
use crate::number::E164;
use crate::numbering::{NumberPattern, NumberRule};
use crate::profile::Profile;
use crate::secret::Secret;
use crate::secure::{SrtpPolicy, SrtpSuite, TrunkTls};
use crate::settings::Codec;

/// `[[trunk]]`, with what its profile fills in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// Its id.
    pub id: TrunkId,
    /// The tenant whose calls it carries.
    pub tenant: TenantId,
    /// Where its defaults come from.
    pub profile: Option<Profile>,
    /// Whose habits it has.
    pub dialect: Dialect,

    /// The addresses it is trusted at. Never empty. Only trunks of [`Dialect::Microsoft`] share ranges with others.
    pub sources: Vec<IpNet>,
    /// Our own name on this trunk, in lower case: what the peer knows us by, and what Contact, From and Via say.
    /// Always set with [`Dialect::Microsoft`], where it is the paired name.
    pub fqdn: Option<Arc<str>>,
    /// Which certificate we show; `None` is the first of the file. Always set with [`Dialect::Microsoft`].
    pub certificate: Option<CertificateId>,
    /// Where calls to it are sent, in the order they are tried; empty if it only brings calls.
    pub destinations: Vec<Destination>,
    /// Its TLS.
    pub tls: TrunkTls,
    /// What we prove ourselves with when it asks for a password.
    pub auth: Option<TrunkAuth>,
    /// Where we register; only together with `auth`.
    pub register: Option<Registration>,

    /// How often OPTIONS asks each destination whether it is alive; `None` never asks. Only with a destination.
    pub options_interval: Option<Duration>,
    /// A destination that says nothing to an INVITE for this long is given up for the next.
    pub failover: Duration,
    /// The longest that a Retry-After may keep a destination out of use.
    pub retry_after_max: Duration,
    /// The session interval offered (RFC 4028); `None` offers no session timer.
    pub session_timer: Option<Duration>,
    /// Reliable provisional responses.
    pub prack: Prack,

    /// What its callers get while an agent's phone rings.
    pub ringback: Ringback,
    /// Codecs for this trunk, best first; `None` is those of `[media]`.
    pub codecs: Option<Vec<Codec>>,
    /// Whether its sound is encrypted.
    pub srtp: SrtpPolicy,
    /// The suites offered and taken, best first. Never empty.
    pub srtp_suites: Vec<SrtpSuite>,
    /// How it is put on hold.
    pub hold: HoldStyle,

    /// Which header carries the number that the network vouches for.
    pub caller_identity: CallerIdentity,
    /// What a caller who withholds the number shows to it.
    pub privacy: Privacy,
    /// Which of its headers say from whom a call was diverted, and are believed.
    pub diversion_in: Diversions,
    /// In which headers it is told from whom a call was diverted.
    pub diversion_out: Diversions,
    /// Whether what the network of origin attests of a caller goes on to it (`Identity`, RFC 8224).
    pub pass_identity: bool,
    /// Whether a call to an emergency service that goes over it takes its caller's location along (RFC 6442).
    pub pidf_lo: bool,
    /// The number that its calls are charged to (`P-Charge-Info`, RFC 8496); `None` leaves the header out.
    pub charge_to: Option<E164>,
    /// What is done to numbers that come from it.
    pub numbers_in: Vec<NumberRule>,
    /// What is done to the number that is dialled over it.
    pub numbers_out: Vec<NumberRule>,
    /// What is done to the numbers of callers, and of those who diverted a call, on their way to it.
    pub caller_numbers_out: Vec<NumberRule>,
    /// What we call ourselves in `X-MS-SBC`; `None` leaves the header out. Always set with [`Dialect::Microsoft`].
    pub x_ms_sbc: Option<Arc<str>>,
    /// How the peer may transfer calls.
    pub transfer: TransferStyle,

    /// Calls at one time over this trunk; `None` is up to the limit of the gateway.
    pub channels_max: Option<usize>,
    /// New calls in a second; `None` is up to the limit of the gateway.
    pub calls_per_second_max: Option<u32>,
    /// Minutes of calls to it in a day (UTC); `None` is without limit.
    pub minutes_per_day_max: Option<u32>,
    /// The numbers that may be dialled over it; `None` is all.
    pub destinations_allowed: Option<Vec<NumberPattern>>,
    /// The numbers its callers may come from; `None` is all.
    pub allowed_caller_ids: Option<Vec<NumberPattern>>,
    /// What becomes of a caller with another number.
    pub caller_id_policy: CallerIdPolicy,
    /// Whether cards ([`crate::CardView`]) may be told to it, with a call to an expert behind it.
    pub card: bool,
    /// Whether what a caller's system gives along with a call is taken from it, or passed on to it.
    pub context_headers: ContextHeaders,
}

impl Trunk {
    /// Whether the people behind it are Teams users: Microsoft's own proxy, unless it leads to a resource of ACS.
    #[must_use]
    pub fn leads_to_teams(&self) -> bool {
        self.dialect == Dialect::Microsoft && self.profile != Some(Profile::AcsDirectRouting)
    }

    /// The destination that is tried first.
    #[must_use]
    pub fn destination(&self) -> Option<&Destination> {
        self.destinations.first()
    }
}

/// Whose habits a trunk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// SIP as in RFC 3261.
    Standard,
    /// Microsoft's Direct Routing: never PRACK, UPDATE, INFO, REFER or Replaces, always an early offer, our paired
    /// name in every Contact, and the trunk of a request known by the host of its request URI.
    Microsoft,
}

/// What we prove ourselves with (RFC 3261 section 22).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkAuth {
    /// The digest user name.
    pub username: Arc<str>,
    /// The password, from a file or the environment.
    pub password: Secret,
    /// The realm that may ask. A challenge of another one gets no answer, so that nobody collects hashes.
    pub realm: Arc<str>,
}

/// Where and how we register (RFC 3261 section 10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Who takes the registration.
    pub registrar: Destination,
    /// The URI that is registered, as `sip:+15550100@sip.example.net`.
    pub address_of_record: Arc<str>,
    /// The time asked for.
    pub expires: Duration,
    /// The first wait after a failure; it doubles from one to the next.
    pub backoff_min: Duration,
    /// The longest wait after a failure.
    pub backoff_max: Duration,
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

/// How a trunk is put on hold (RFC 3264 section 8.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldStyle {
    /// `a=sendonly`: it hears our music.
    Sendonly,
    /// `a=inactive`: nothing flows. The only hold Microsoft understands.
    Inactive,
}

/// How the peer may transfer calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransferStyle {
    /// By REFER and by Replaces: both stand in our Allow and Supported, and we see every transfer.
    Refer,
    /// Neither is advertised, so the peer transfers within itself.
    Hidden,
}

/// Which header carries the number that the network vouches for (RFC 3325).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerIdentity {
    /// `From` alone.
    From,
    /// `P-Asserted-Identity`.
    PAssertedIdentity,
    /// `P-Preferred-Identity`.
    PPreferredIdentity,
    /// `Remote-Party-ID`, of equipment older than RFC 3325.
    RemotePartyId,
}

/// What a caller who withholds the number shows to a trunk (RFC 3323, RFC 3325 section 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    /// An anonymous `From`, the number where `caller_identity` says, and `Privacy: id`: for a trusted network.
    Id,
    /// An anonymous `From`, and the number nowhere.
    Anonymous,
}

/// Which way User-to-User information (RFC 7433) and `X-MS-Custom-*` headers go: from a peer's calls to whoever is called
/// (in), with calls to the peer (out).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ContextHeaders {
    /// Neither.
    Off,
    /// In.
    In,
    /// Out.
    Out,
    /// Both.
    Both,
}

impl ContextHeaders {
    /// Whether they are taken from the peer.
    pub fn is_in(self) -> bool {
        matches!(self, ContextHeaders::In | ContextHeaders::Both)
    }

    /// Whether they are passed on to the peer.
    pub fn is_out(self) -> bool {
        matches!(self, ContextHeaders::Out | ContextHeaders::Both)
    }
}

/// The headers that say from whom a call was diverted, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Diversions {
    /// None.
    None,
    /// `Diversion` (RFC 5806).
    Diversion,
    /// `History-Info` (RFC 7044).
    HistoryInfo,
    /// Both. Of one that is believed in both, `History-Info` counts where it says anything.
    Both,
}

impl Diversions {
    /// Whether `Diversion` is among them.
    #[must_use]
    pub fn has_diversion(self) -> bool {
        matches!(self, Self::Diversion | Self::Both)
    }

    /// Whether `History-Info` is among them.
    #[must_use]
    pub fn has_history(self) -> bool {
        matches!(self, Self::HistoryInfo | Self::Both)
    }
}

/// What becomes of a caller whose number is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerIdPolicy {
    /// The call goes on, and a warning is counted.
    Warn,
    /// 403.
    Reject,
}
