//! The gateway's configuration: one TOML file in, one [`Config`] out, or every [`Finding`] at once.
//!
//! The crate is pure. It is given the text of the file and a [`SecretSource`] for the passwords and keys that
//! the file points to; it opens nothing, asks no clock and knows no network.
//!
//! ```
//! use sbc_config::{Config, SecretError, SecretSource};
//!
//! struct NoSecrets;
//! impl SecretSource for NoSecrets {
//!     fn file(&self, _path: &str) -> Result<String, SecretError> { Err(SecretError::NotFound) }
//!     fn env(&self, _name: &str) -> Result<String, SecretError> { Err(SecretError::NotFound) }
//! }
//!
//! let findings = Config::parse("[sip]\nudp = \"127.0.0.1\"\n", &NoSecrets).unwrap_err();
//! assert_eq!(
//!     findings[0].to_string(),
//!     "2:7: error[bad-value] sip.udp: this is not a socket address; \
//!      write an address and a port, as \"127.0.0.1:5060\" or \"[::1]:5060\""
//! );
//! ```
//!
//! What a [`Config`] says holds: ids are unique, every reference leads to something of the same tenant, lists
//! that must not be empty are not, numbers lie in their limits. Code that gets one need not check again.
//!
//! Invariants:
//! - no input makes the reader panic, and it looks at no more than [`MAX_CONFIG_BYTES`];
//! - a name that the reader does not know is an error, never ignored;
//! - no secret stands in the file, in a finding or in the `Debug` of a [`Config`].
//!
//! Where to look next: `settings` for the gateway itself; `people`, `trunk`, `profile`, `route` and `access` for what a
//! tenant has; `finding` for the rules; `read` for how text becomes all that; `reload` for what a running
//! gateway can take over.

mod access;
mod acs;
mod address;
mod card;
mod certificate;
mod effective;
mod events;
mod finding;
mod firewall;
mod id;
mod integration;
mod lookup;
mod microsoft;
mod number;
mod numbering;
pub mod pair;
mod people;
mod price;
mod profile;
mod read;
mod reload;
mod route;
mod secret;
mod secure;
mod settings;
mod trunk;
mod voicemail;
mod webrtc;

use std::net::IpAddr;

pub use access::{Date, EventPattern, Grant, Token, TokenHash, TokenRole, Webhook};
pub use acs::{
    Acs, AcsAudio, AcsChannels, AcsCredential, AcsDtmf, AcsIdentity, AcsListener, Entra, EntraIdentity,
    TokenIssuer,
};
pub use address::{AddressError, Contact, Destination, Host, Transport};
pub use card::{CARD_NAME_MAX, CardField, CardKind, CardView};
pub use certificate::{
    Duty, EXPIRY_WARNING_DAYS, KnownRoot, MICROSOFT_ROOTS, examine as examine_certificate, examine_roots,
    missing_roots, thumbprint,
};
pub use effective::explain_trunk;
pub use events::EVENTS;
pub use finding::{Code, Finding, Severity, UnknownCode};
pub use firewall::{Opened, PortRule, port_rules, port_table};
pub use id::{
    AcsId, CertificateId, IdError, MAX_ID_BYTES, PersonId, RouteId, TeamId, TenantId, TokenId, TrunkId,
    WebhookId,
};
pub use integration::{
    ApiTokens, AppCredential, Cloud, DirectoryPhone, EvidenceLives, Integration, OnUnknown, RouteName,
    UnknownPolicy,
};
pub use ipnet::IpNet;
pub use microsoft::{NotACode, RESULT_CODES, ResultCode, explain};
pub use number::{Dialled, E164, MAX_DIALLED_BYTES, MAX_E164_DIGITS, MIN_E164_DIGITS, NumberError};
pub use numbering::{Direction, NumberPattern, NumberRule};
pub use people::{Credentials, HoldMedia, NotHoldMedia, Password, Person, PersonRole, Reach, Team, Tenant};
pub use price::{Amount, NotAnAmount, Price, PricedRoute, price_of};
pub use profile::{Profile, UnknownProfile};
pub use route::{Fallback, Match, Route, RouteTable, Strategy, Target};
pub use secret::{MAX_SECRET_BYTES, Secret, SecretError, SecretSource};
pub use secure::{Certificate, CertificateName, SrtpPolicy, SrtpSuite, TlsVersion, TrunkTls, VerifyPeer};
pub use settings::{
    Api, Codec, DatabaseUrl, DigestHash, Dns, Emergency, Limits, Media, PortRange, RingbackTone, Server, Sip,
    Supervision, SupervisionRole,
};
pub use trunk::{
    CallerIdPolicy, CallerIdentity, ContextHeaders, Dialect, Diversions, HoldStyle, Prack, Privacy,
    Registration, Ringback, TransferStyle, Trunk, TrunkAuth,
};
pub use voicemail::{OnVoicemail, Voicemail};
pub use webrtc::Webrtc;

use lookup::Lookup;

/// The largest file the reader looks at: room for five thousand people, each with a route and a token.
pub const MAX_CONFIG_BYTES: usize = 4 * 1024 * 1024;

/// A configuration in which everything fits together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[sip]`
    pub sip: Sip,
    /// `[dns]`
    pub dns: Dns,
    /// `[media]`
    pub media: Media,
    /// `[api]`
    pub api: Api,
    /// `[limits]`
    pub limits: Limits,
    /// `[supervision]`
    pub supervision: Supervision,
    /// `[emergency]`
    pub emergency: Emergency,
    /// `[voicemail]`
    pub voicemail: Voicemail,
    /// `[[certificate]]`, in the order of the file, as all that follow.
    pub certificates: Vec<Certificate>,
    /// `[[tenant]]`
    pub tenants: Vec<Tenant>,
    /// `[[team]]`
    pub teams: Vec<Team>,
    /// `[[person]]`
    pub people: Vec<Person>,
    /// `[[trunk]]`
    pub trunks: Vec<Trunk>,
    /// `[acs_listener]`
    pub acs_listener: AcsListener,
    /// `[[acs]]`
    pub acs: Vec<Acs>,
    /// `[webrtc]`
    pub webrtc: Webrtc,
    /// `[[route]]`
    pub routes: RouteTable,
    /// `[[token]]`
    pub tokens: Vec<Token>,
    /// `[[webhook]]`
    pub webhooks: Vec<Webhook>,
    /// `[[integration]]`, at most one per tenant.
    pub integrations: Vec<Integration>,
    /// `[[price]]`
    pub prices: Vec<Price>,
    /// `[[card]]`, at most one per tenant.
    pub cards: Vec<CardView>,
    /// What somebody should look at although the file can be used.
    pub warnings: Vec<Finding>,
    lookup: Lookup,
}

impl Config {
    /// The tenant of this id.
    #[must_use]
    pub fn tenant(&self, id: &TenantId) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.id == *id)
    }

    /// Whether there is what a held party would hear.
    #[must_use]
    pub fn can_hold_with(&self, media: &HoldMedia) -> bool {
        !matches!(media, HoldMedia::Prompt(name) if !self.media.prompts.contains_key(name))
    }

    /// The person of this id.
    #[must_use]
    pub fn person(&self, id: &PersonId) -> Option<&Person> {
        self.people.get(self.lookup.person(id)?)
    }

    /// The person whose phone registers with this digest user name.
    #[must_use]
    pub fn person_by_username(&self, username: &str) -> Option<&Person> {
        self.people.get(self.lookup.username(username)?)
    }

    /// The person with this extension in the tenant.
    #[must_use]
    pub fn person_by_extension(&self, tenant: &TenantId, extension: &str) -> Option<&Person> {
        self.people.get(self.lookup.extension(tenant, extension)?)
    }

    /// The agents of a team, in the order of the file.
    pub fn agents_of<'a>(&'a self, team: &'a TeamId) -> impl Iterator<Item = &'a Person> {
        let agents = self.people.iter().filter(|person| person.role == PersonRole::Agent);
        agents.filter(move |person| person.teams.contains(team))
    }

    /// The trunk of this id.
    #[must_use]
    pub fn trunk(&self, id: &TrunkId) -> Option<&Trunk> {
        self.trunks.iter().find(|trunk| trunk.id == *id)
    }

    /// The ACS resource of this id.
    #[must_use]
    pub fn acs(&self, id: &AcsId) -> Option<&Acs> {
        self.acs.iter().find(|acs| acs.id == *id)
    }

    /// What the experts of a tenant are told of a matter.
    #[must_use]
    pub fn card(&self, tenant: &TenantId) -> Option<&CardView> {
        self.cards.iter().find(|card| card.tenant == *tenant)
    }

    /// The trunk that is trusted at this address: the one with the narrowest source range that holds it.
    #[must_use]
    pub fn trunk_by_source(&self, source: IpAddr) -> Option<&Trunk> {
        self.trunks.get(self.lookup.sources(source).next()?)
    }

    /// The trunk of a request from this address whose request URI names this host: the one of that `fqdn` where
    /// several share the range, as Teams and Azure do. A Direct Routing trunk is never found by its range alone.
    #[must_use]
    pub fn trunk_of_request(&self, source: IpAddr, host: &str) -> Option<&Trunk> {
        let mut trusted = self.lookup.sources(source).filter_map(|at| self.trunks.get(at));
        let named = |trunk: &&Trunk| trunk.fqdn.as_ref().is_some_and(|fqdn| fqdn.eq_ignore_ascii_case(host));
        let by_name = trusted.clone().find(named);
        by_name.or_else(|| trusted.find(|trunk| trunk.dialect == Dialect::Standard))
    }

    /// The certificate of this id.
    #[must_use]
    pub fn certificate(&self, id: &CertificateId) -> Option<&Certificate> {
        self.certificates.iter().find(|certificate| certificate.id == *id)
    }

    /// The token with this SHA-256. Every hash is compared in full, so the time tells nothing about them.
    #[must_use]
    pub fn token_by_sha256(&self, sha256: &[u8; 32]) -> Option<&Token> {
        self.tokens.iter().fold(None, |found, token| {
            let differs =
                token.sha256.as_bytes().iter().zip(sha256).fold(0, |differs, (a, b)| differs | (a ^ b));
            if differs == 0 { Some(token) } else { found }
        })
    }
}
