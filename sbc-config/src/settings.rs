//! The settings of the gateway itself: listeners, names, media, limits, supervision, emergency calls.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::address::Host;
use crate::id::TrunkId;
use crate::number::E164;
use crate::secret::Secret;

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The name of this gateway in events, records and metrics.
    pub name: Arc<str>,
    /// Where records, audit and the event spool live.
    pub database: DatabaseUrl,
    /// How long running calls may go on after the gateway was asked to stop.
    pub drain: Duration,
    /// How many events are kept; the oldest are forgotten.
    pub events_kept: u64,
    /// How long call records are kept.
    pub records_kept: Duration,
}

/// `sqlite:FILE` or `postgres://HOST/NAME`. It may hold a password, so `Debug` shows the scheme only.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(pub(crate) Secret);

impl DatabaseUrl {
    /// The whole URL, with the password if it has one.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// `sqlite` or `postgres`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.expose().split(':').next().unwrap_or_default()
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({}:redacted)", self.scheme())
    }
}

/// `[sip]`: the SIP listeners and what holds for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sip {
    /// Listen address for UDP. At least one of `udp`, `tcp` and `tls` is set.
    pub udp: Option<SocketAddr>,
    /// Listen address for TCP.
    pub tcp: Option<SocketAddr>,
    /// Listen address for TLS. Set only if there is a certificate to show.
    pub tls: Option<SocketAddr>,
    /// What Via and Contact say instead of the listen address.
    pub advertised: Option<Host>,
    /// The digest realm of registrations (RFC 3261 section 22.1).
    pub realm: Arc<str>,
    /// The hashes that phones are offered for their password, best first (RFC 8760 section 2.4). Not empty.
    pub digest: Vec<DigestHash>,
    /// `User-Agent` and `Server` (RFC 3261 sections 20.41 and 20.35).
    pub user_agent: Arc<str>,
    /// A registration asking for less is answered 423 (RFC 3261 section 10.3).
    pub register_expires_min: Duration,
    /// A registration asking for more gets this.
    pub register_expires_max: Duration,
    /// The largest message accepted on a stream transport, header and body.
    pub message_bytes_max: usize,
    /// Octets of the longest request that is sent as a datagram (RFC 3261 section 18.1.1).
    pub udp_bytes_max: usize,
    /// TCP connections open at one time.
    pub tcp_connections_max: usize,
    /// A TCP or TLS connection silent for this long is closed.
    pub tcp_idle: Duration,
    /// TLS connections open at one time, handshakes included.
    pub tls_connections_max: usize,
    /// TLS connections at one time whose handshake is not done: what a flood of them may hold.
    pub tls_half_open_max: usize,
    /// A TLS handshake not done after this long is given up.
    pub tls_handshake: Duration,
}

/// `[dns]`: how names of peers are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// The name servers to ask; empty asks those of the system.
    pub servers: Vec<SocketAddr>,
    /// How long one question may take.
    pub timeout: Duration,
    /// How long an answer may be used after it expired while no name server answers.
    pub stale_max: Duration,
    /// Addresses that stand here are not asked for. Keys in lower case; no list is empty.
    pub overrides: BTreeMap<Arc<str>, Vec<IpAddr>>,
}

/// `[emergency]`: calls to the numbers that save lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emergency {
    /// Whether such calls are treated apart. Off until somebody who knows the law of the place has set it up.
    pub enabled: bool,
    /// The numbers as they are dialled, such as `112`. Not empty if `enabled`.
    pub numbers: Vec<Arc<str>>,
    /// The trunks that carry them; of a tenant with none here, calls to these numbers are ordinary calls.
    pub trunks: Vec<TrunkId>,
    /// The verified number they are placed from; `None` leaves the caller's own.
    pub caller_id: Option<E164>,
}

impl Emergency {
    /// Whether a call to this number is one to an emergency service.
    #[must_use]
    pub fn is_dialled(&self, dialled: &str) -> bool {
        let digits = dialled.strip_prefix('+').unwrap_or(dialled);
        self.enabled && self.numbers.iter().any(|number| &**number == digits)
    }
}

/// `[media]`: RTP sockets and how audio is treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// The address that RTP and RTCP sockets are bound to.
    pub listen: IpAddr,
    /// The address written into SDP instead of `listen`.
    pub advertised: Option<IpAddr>,
    /// The UDP ports of the media sockets.
    pub ports: PortRange,
    /// Media threads; `None` is one for each processor core.
    pub shards: Option<usize>,
    /// What is offered, best first. Never empty, no duplicates.
    pub codecs: Vec<Codec>,
    /// What our Opus may take of the line on average, in kbit/s.
    pub opus_kbps: u32,
    /// How much computing a frame of Opus may cost: 0 to 10.
    pub opus_complexity: u32,
    /// A leg from which nothing came for this long, neither sound nor reports, is ended.
    pub timeout: Duration,
    /// A leg from which no sound came for this long is warned of. Less than `timeout`.
    pub warn: Duration,
    /// A WAV file of 8 or 16 kHz, relative to the configuration file's directory; `None` is the built-in melody.
    pub music_on_hold: Option<PathBuf>,
    /// Further recordings that held parties may hear, by name.
    pub prompts: BTreeMap<Arc<str>, PathBuf>,
    /// The ringing tone that callers hear where the gateway makes it.
    pub ringback: RingbackTone,
    /// The most delay a jitter buffer may build up.
    pub jitter_max: Duration,
}

/// The UDP ports of the media sockets, both ends included. The first is even, the last is odd, because each leg
/// takes a pair: RTP on the even port, RTCP above it (RFC 3550 section 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PortRange {
    /// The lowest port, even.
    pub first: u16,
    /// The highest port, odd.
    pub last: u16,
}

impl PortRange {
    /// How many legs find a pair of ports here.
    #[must_use]
    pub fn pairs(self) -> usize {
        (usize::from(self.last) + 1).saturating_sub(usize::from(self.first)) / 2
    }

    /// Whether the port lies inside.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// A hash of digest authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum DigestHash {
    /// MD5: what every phone speaks.
    #[serde(rename = "MD5")]
    Md5,
    /// SHA-256 (RFC 8760).
    #[serde(rename = "SHA-256")]
    Sha256,
}

/// An audio codec that can be offered. `telephone-event` is always offered and not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Codec {
    /// G.711 A-law, 8 kHz, payload type 8.
    #[serde(rename = "PCMA")]
    Pcma,
    /// G.711 mu-law, 8 kHz, payload type 0.
    #[serde(rename = "PCMU")]
    Pcmu,
    /// G.722, 16 kHz, payload type 9 (its RTP clock says 8000, RFC 3551 section 4.5.2).
    #[serde(rename = "G722")]
    G722,
    /// Opus, one channel, wideband; a dynamic payload type and an RTP clock of 48 kHz (RFC 7587).
    #[serde(rename = "opus")]
    Opus,
}

impl Codec {
    /// The encoding name in SDP.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
            Self::G722 => "G722",
            Self::Opus => "opus",
        }
    }
}

/// The cadence and pitch of ringing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RingbackTone {
    /// 440 and 480 Hz, 2 s on, 4 s off.
    Us,
    /// 425 Hz, 1 s on, 4 s off.
    Eu,
}

/// `[api]`: the HTTP listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Listen address of HTTP.
    pub listen: SocketAddr,
    /// A larger request body is answered 413.
    pub body_bytes_max: usize,
}

/// `[limits]`: what the gateway accepts at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Calls at one time; the next is answered 503.
    pub calls_max: usize,
    /// Parties in one call: customer, agent and supervisors. Eight are the most a call can hold.
    pub parties_per_call_max: usize,
    /// New calls in a second; the next is answered 503 with Retry-After.
    pub calls_per_second_max: u32,
}

/// `[supervision]`: what a supervisor may do when the request does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervision {
    /// Whether a supervisor's phone may switch roles with the digits 4, 5 and 6.
    pub dtmf_control: bool,
    /// The roles a supervision may switch to unless its request names others.
    pub allowed_roles: Vec<SupervisionRole>,
    /// Whether a takeover hangs up on the agent (otherwise the agent stays in the conversation).
    pub takeover_releases_agent: bool,
    /// Dialled before an agent's extension to start monitoring.
    pub monitor_prefix: Arc<str>,
    /// Dialled before an agent's extension to start whispering.
    pub whisper_prefix: Arc<str>,
    /// Dialled before an agent's extension to start barging.
    pub barge_prefix: Arc<str>,
}

impl Supervision {
    /// Reads `*41100` as "monitor, extension 100". `None` if no prefix fits or no extension follows it.
    #[must_use]
    pub fn dialled<'a>(&self, dialled: &'a str) -> Option<(SupervisionRole, &'a str)> {
        let prefixes = [
            (SupervisionRole::Monitor, &self.monitor_prefix),
            (SupervisionRole::Whisper, &self.whisper_prefix),
            (SupervisionRole::Barge, &self.barge_prefix),
        ];
        prefixes.into_iter().find_map(|(role, prefix)| {
            let extension = dialled.strip_prefix(&**prefix)?;
            (!extension.is_empty()).then_some((role, extension))
        })
    }
}

/// What a supervisor is to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SupervisionRole {
    /// Hears everybody, heard by nobody.
    Monitor,
    /// Heard by the agent alone.
    Whisper,
    /// Heard by everybody.
    Barge,
    /// In the agent's place.
    Takeover,
}
