//! Azure Communication Services: the resources whose calls reach us, and how each is asked and believed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use crate::id::{AcsId, CertificateId, TenantId};
use crate::number::E164;
use crate::secret::Secret;
use crate::trunk::ContextHeaders;

/// `[acs_listener]`: where Microsoft's clouds reach us. Apart from the API's listener, because this one faces the
/// internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcsListener {
    /// Listen address of HTTP.
    pub listen: SocketAddr,
    /// The certificate it shows over TLS. Without one it speaks plainly, to a proxy in front of it that has the certificate.
    pub certificate: Option<CertificateId>,
    /// Connections open at one time. When there are as many, a newcomer takes the place of one that has proven nothing.
    pub connections_max: usize,
    /// A larger request body is answered 413.
    pub body_bytes_max: usize,
    /// A media WebSocket silent for this long is closed.
    pub media_idle: std::time::Duration,
}

/// `[[acs]]`: one ACS resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acs {
    /// Its id.
    pub id: AcsId,
    /// The tenant its calls belong to.
    pub tenant: TenantId,
    /// `https://NAME.communication.azure.com`, or that of another cloud, without a slash at the end.
    pub endpoint: Arc<str>,
    /// The version of its API that is spoken.
    pub api_version: Arc<str>,
    /// How it is asked.
    pub credential: AcsCredential,
    /// What the clouds reach us by: `https://gateway.example.com`, without a slash at the end.
    pub callback_url: Arc<str>,
    /// Whose tokens callbacks and media streams must carry.
    pub tokens: TokenIssuer,
    /// What must stand in the query of Event Grid's deliveries, as `?secret=…`.
    pub webhook_secret: Option<Secret>,
    /// Whose tokens Event Grid's deliveries must carry, if it was told to send some.
    pub webhook_tokens: Option<TokenIssuer>,
    /// The names of the Event Grid subscriptions that may deliver; any if empty.
    pub subscriptions: Vec<Arc<str>>,
    /// The number that telephones are shown, and that must be owned by the resource.
    pub caller_id: Option<E164>,
    /// Whose calls are taken.
    pub answers: Vec<AcsIdentity>,
    /// The sound of its streams.
    pub audio: AcsAudio,
    /// Whether speakers come mixed or apart.
    pub channels: AcsChannels,
    /// How digits of the far end are learned.
    pub dtmf: AcsDtmf,
    /// Whether cards ([`crate::CardView`]) may be told to those who are called over it.
    pub card: bool,
    /// Whether what a caller's system gives along with a call is taken from it, or passed on to it.
    pub context_headers: ContextHeaders,
}

/// A number or identity of a resource, and what a call to it counts as having dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcsIdentity {
    /// `4:+15550100`, `8:acs:…`, `28:orgid:…`.
    pub raw_id: Arc<str>,
    /// What routes match.
    pub dialled: Arc<str>,
}

/// How a resource is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcsCredential {
    /// With its access key, in base64.
    Key(Secret),
    /// With tokens of Entra.
    Entra(Entra),
}

/// Whose tokens of Entra a resource is asked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entra {
    /// What they are for; the double slash of the usual one is right.
    pub scope: Arc<str>,
    /// Who we are there.
    pub identity: EntraIdentity,
}

/// Who we are to Entra.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntraIdentity {
    /// Whoever the machine is.
    Managed {
        /// Which of its identities, if it has several.
        client_id: Option<Arc<str>>,
        /// Where the machine's metadata service is.
        endpoint: Arc<str>,
    },
    /// A workload of Kubernetes; what is left out stands in its environment.
    Workload {
        /// The Entra tenant.
        tenant: Option<Arc<str>>,
        /// The application.
        client_id: Option<Arc<str>>,
        /// The file with the token of Kubernetes.
        token_file: Option<PathBuf>,
        /// Where Entra gives tokens.
        authority: Arc<str>,
    },
    /// An application with a secret.
    Secret {
        /// The Entra tenant.
        tenant: Arc<str>,
        /// The application.
        client_id: Arc<str>,
        /// What it proves itself with.
        secret: Secret,
        /// Where Entra gives tokens.
        authority: Arc<str>,
    },
}

/// Somebody who signs tokens, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIssuer {
    /// `iss`.
    pub issuer: Arc<str>,
    /// `aud`.
    pub audience: Arc<str>,
    /// Where the keys are published.
    pub jwks_url: Arc<str>,
}

/// The sound of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum AcsAudio {
    /// 16 kHz.
    Pcm16K,
    /// 24 kHz.
    Pcm24K,
}

/// Speakers of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum AcsChannels {
    /// One stream of everybody.
    Mixed,
    /// One for each of the four loudest.
    Unmixed,
}

/// How digits are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum AcsDtmf {
    /// Over the media stream.
    Stream,
    /// By subscribing to them once the call is up: for telephones alone.
    Subscribe,
}
