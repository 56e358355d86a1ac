//! A tenant's account at Microsoft: how prerequisites are read, how strictly they are judged, and whose API tokens
//! of Entra are taken.

use std::sync::Arc;
use std::time::Duration;

use crate::access::Date;
use crate::id::{PersonId, TenantId, TrunkId};
use crate::secret::Secret;

/// `[[integration]]`: at most one per tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integration {
    /// Whose.
    pub tenant: TenantId,
    /// Which of Microsoft's clouds.
    pub cloud: Cloud,
    /// The Entra tenant: a GUID or a domain, never `common`.
    pub entra_tenant: Option<Arc<str>>,
    /// The application's client id.
    pub client_id: Option<Arc<str>>,
    /// The application's object id.
    pub object_id: Option<Arc<str>>,
    /// What the account proves itself with.
    pub credential: AppCredential,
    /// The day the credential ends, as an operator read it; asked of the directory when absent.
    pub expires: Option<Date>,
    /// Base address of the token endpoint.
    pub authority: Arc<str>,
    /// Base address of Graph, without a version.
    pub graph: Arc<str>,
    /// Base address of Azure Resource Manager.
    pub arm: Arc<str>,
    /// The ACS resource, as `/subscriptions/…/communicationServices/NAME`.
    pub acs_resource: Option<Arc<str>>,
    /// The trunk that leads to this tenant's Teams by Direct Routing.
    pub direct_routing_trunk: Option<TrunkId>,
    /// The group of those who may ask for help.
    pub agent_group: Option<Arc<str>>,
    /// The group of those who may supervise.
    pub supervisor_group: Option<Arc<str>>,
    /// Which numbers of a directory entry are dialled, the preferred first.
    pub phones: Vec<DirectoryPhone>,
    /// The routes for which somebody who is not free is not rung.
    pub presence_decides: Vec<RouteName>,
    /// What happens when a check cannot be answered.
    pub unknown: UnknownPolicy,
    /// The longest a person waits for fresh evidence before what is there decides.
    pub budget: Duration,
    /// How long evidence holds.
    pub lives: EvidenceLives,
    /// Whose Entra tokens the API takes; none when absent.
    pub api_tokens: Option<ApiTokens>,
}

/// One of Microsoft's clouds. Tokens of one are worth nothing in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cloud {
    /// The worldwide cloud, and GCC.
    Global,
    /// US Government L4.
    GccHigh,
    /// US Government L5.
    Dod,
    /// 21Vianet.
    China,
}

impl Cloud {
    /// Where tokens come from.
    #[must_use]
    pub fn authority(self) -> &'static str {
        match self {
            Self::Global => "https://login.microsoftonline.com",
            Self::GccHigh | Self::Dod => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }

    /// Where Graph is.
    #[must_use]
    pub fn graph(self) -> &'static str {
        match self {
            Self::Global => "https://graph.microsoft.com",
            Self::GccHigh => "https://graph.microsoft.us",
            Self::Dod => "https://dod-graph.microsoft.us",
            Self::China => "https://microsoftgraph.chinacloudapi.cn",
        }
    }

    /// Where Azure Resource Manager is.
    #[must_use]
    pub fn arm(self) -> &'static str {
        match self {
            Self::Global => "https://management.azure.com",
            Self::GccHigh | Self::Dod => "https://management.usgovcloudapi.net",
            Self::China => "https://management.chinacloudapi.cn",
        }
    }

    /// Whether Graph knows Teams user configurations and number assignments there.
    #[must_use]
    pub fn has_teams_admin(self) -> bool {
        self == Self::Global
    }

    /// Whether Graph knows presence there.
    #[must_use]
    pub fn has_presence(self) -> bool {
        self != Self::China
    }
}

/// What an application proves itself with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppCredential {
    /// Nothing yet.
    None,
    /// A client secret.
    Secret(Secret),
    /// A certificate whose key signs an assertion.
    Certificate {
        /// PEM.
        certificate: Arc<str>,
        /// PEM, RSA.
        key: Secret,
    },
    /// The identity of the machine, asked at its metadata address.
    ManagedIdentity {
        /// The address, as `http://169.254.169.254/metadata/identity/oauth2/token`.
        endpoint: Arc<str>,
    },
}

/// A kind of number of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DirectoryPhone {
    /// The number assigned in Teams.
    Teams,
    /// The office phone.
    Business,
    /// The mobile.
    Mobile,
    /// The fax.
    Fax,
}

/// A way to reach somebody at Teams, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteName {
    /// ACS to the Teams client.
    Voip,
    /// Their telephone number.
    Pstn,
    /// Their Teams number over Direct Routing.
    DirectRouting,
}

/// What an unanswered check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnUnknown {
    /// Nobody is rung.
    Refuse,
    /// It is shown.
    Warn,
    /// It is as good as passed.
    Allow,
}

/// The policy for the unknown, per class of check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownPolicy {
    /// Trunk, ACS, credentials.
    pub connection: OnUnknown,
    /// What the tenant's administrator allowed.
    pub federation: OnUnknown,
    /// Whether the person exists and is of the right kind.
    pub identity: OnUnknown,
    /// Licence, Enterprise Voice, Teams number, mode.
    pub voice: OnUnknown,
    /// The number to dial.
    pub number: OnUnknown,
    /// Groups.
    pub authorisation: OnUnknown,
    /// Presence.
    pub presence: OnUnknown,
}

impl Default for UnknownPolicy {
    fn default() -> Self {
        Self {
            connection: OnUnknown::Warn,
            federation: OnUnknown::Refuse,
            identity: OnUnknown::Refuse,
            voice: OnUnknown::Refuse,
            number: OnUnknown::Refuse,
            authorisation: OnUnknown::Refuse,
            presence: OnUnknown::Warn,
        }
    }
}

/// How long evidence holds, by what it is about and who said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvidenceLives {
    /// User, licence, voice, number.
    pub person: Duration,
    /// Group membership.
    pub groups: Duration,
    /// Presence.
    pub presence: Duration,
    /// The end of the credential.
    pub expiry: Duration,
    /// The immutable id of the ACS resource.
    pub acs_id: Duration,
    /// A file of the collector.
    pub import: Duration,
    /// Somebody's word.
    pub attestation: Duration,
    /// What a call proved.
    pub call_outcome: Duration,
}

impl Default for EvidenceLives {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Self {
            person: Duration::from_secs(15 * 60),
            groups: Duration::from_secs(5 * 60),
            presence: Duration::from_secs(10),
            expiry: hours(12),
            acs_id: hours(24),
            import: hours(30 * 24),
            attestation: hours(30 * 24),
            call_outcome: hours(24),
        }
    }
}

/// Which Entra tokens open the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiTokens {
    /// The token is meant for one of these.
    pub audiences: Vec<Arc<str>>,
    /// The token comes from one of these.
    pub issuers: Vec<Arc<str>>,
    /// Where the issuer publishes its keys.
    pub jwks: Arc<str>,
    /// The person behind an Entra object id, for agents and supervisors.
    pub people: Vec<(Arc<str>, PersonId)>,
}
