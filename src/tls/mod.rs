//! TLS, for SIP above all: as whom we speak, and whom we believe.
//!
//! ```text
//!   certificate files ─┐                       ┌─ server_config(peer, name asked for) ─ acceptor
//!   trunks' rules ─────┴─> Material ──> Tls ───┤
//!                          (replaced whole)    └─ client_config(as whom, to whom) ──── connector
//! ```
//!
//! One listener serves every trunk and the telephones besides. What a peer is asked for therefore depends on where it
//! comes from: the trunks whose source ranges hold its address are its *candidates*, narrowed to those whose
//! certificate answers to the name it asked for (SNI). A peer with no candidate is asked for no certificate. One with
//! candidates is asked when any of them wants that, and the handshake fails without one only if all of them insist.
//! Which trunks the certificate proved good for is told with the connection ([`Verified`]), and the door decides per
//! trunk: a certificate that is good for one trunk opens no other.
//!
//! Every handshake takes the [`Material`] that is in force at its beginning, so a renewed certificate is used from the
//! next connection on, for both roles. Nothing is resumed: a session ticket would carry a peer past the rules that are
//! in force now.

pub mod files;
mod identity;
mod verify;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use sbc_config::{IpNet, TrunkId};
use tokio::sync::watch;

pub use identity::{Identity, IdentityError, RootsError, platform_roots, roots_from_pem};
pub use verify::{Judge, NAMES_MAX};

/// As whom and to whom a connection is opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Outward {
    /// The trunk whose identity we show and whose rules the peer must meet; none for a telephone at a fixed address.
    pub trunk: Option<TrunkId>,
    /// The name or address we mean: asked for by SNI, and to be found in the peer's certificate unless the trunk
    /// names others.
    pub name: Arc<str>,
}

/// Whether a peer must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// It must, and the certificate must be good.
    Required,
    /// It may; what it shows must be good.
    Optional,
    /// It is not asked, and what a server shows is not looked at. The line is private, and nobody knows to whom.
    Off,
}

/// The oldest and the newest version spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2
    Tls12,
    /// TLS 1.3
    Tls13,
}

/// The versions between two, ends included.
fn versions(oldest: Version, newest: Version) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    static OLD: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
    static NEW: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    match (oldest, newest) {
        (Version::Tls12, Version::Tls13) => BOTH,
        (Version::Tls12, Version::Tls12) => OLD,
        (Version::Tls13, _) => NEW,
    }
}

/// The rules of one trunk.
#[derive(Debug, Clone)]
pub struct TrunkRules {
    /// Whose.
    pub trunk: TrunkId,
    /// Where it may come from.
    pub sources: Vec<IpNet>,
    /// As whom we speak to it; the default identity otherwise.
    pub identity: Option<Arc<Identity>>,
    /// Whether it must show a certificate.
    pub demand: Demand,
    /// The names its certificate must bear one of, a `*` standing for one label. Towards us, none means that any name
    /// under the roots is good; from us, the name we dialled.
    pub names: Vec<Arc<str>>,
    /// Whom its certificate must descend from.
    pub roots: Arc<RootCertStore>,
    /// The oldest version spoken with it.
    pub oldest: Version,
    /// The newest.
    pub newest: Version,
}

/// Everything it takes to speak TLS, as it stands at one moment.
#[derive(Debug, Clone)]
pub struct Material {
    /// Who we can be. The first is shown to whoever asks for no name we know.
    pub identities: Vec<Arc<Identity>>,
    /// The trunks.
    pub trunks: Vec<TrunkRules>,
    /// Whom a server without a trunk must descend from.
    pub roots: Arc<RootCertStore>,
    /// The oldest version spoken with peers that belong to no trunk.
    pub oldest: Version,
    /// The newest.
    pub newest: Version,
}

/// What the certificate of a peer proved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// The trunks whose rules it meets.
    pub trunks: Vec<TrunkId>,
    /// The trunk it most likely is, by where it comes from and the name it asked for: as that trunk another connection
    /// to it would be opened. Nothing is trusted for it.
    pub likely: Option<TrunkId>,
    /// The names it bears, for the log.
    pub names: Vec<Box<str>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// We have no certificate to show.
    #[error("no identity is configured for the TLS listener")]
    NoIdentity,
    /// The trunk is not, or no longer, configured.
    #[error("the trunk {0} has no TLS rules")]
    NoTrunk(TrunkId),
    /// The name cannot be asked for.
    #[error("{0} is not a name that a certificate could bear")]
    Name(Arc<str>),
    /// The identity cannot be used.
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
    /// The handshake.
    #[error("the TLS handshake failed")]
    Handshake(#[from] std::io::Error),
    /// The peer let too much time pass.
    #[error("the TLS handshake took too long")]
    TooSlow,
}

impl Material {
    /// No identity, no trunk: TLS cannot be spoken.
    pub fn none() -> Material {
        Material {
            identities: Vec::new(),
            trunks: Vec::new(),
            roots: Arc::new(RootCertStore::empty()),
            oldest: Version::Tls12,
            newest: Version::Tls13,
        }
    }

    /// How to take a connection from `peer` that asks for `name`.
    pub(crate) fn server_config(
        &self,
        peer: IpAddr,
        name: Option<&str>,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let candidates = self.candidates(peer, name);
        let identity = self.identity(name, &candidates).ok_or(TlsError::NoIdentity)?;
        let oldest = candidates.iter().map(|trunk| trunk.oldest).min().unwrap_or(self.oldest);
        let newest = candidates.iter().map(|trunk| trunk.newest).max().unwrap_or(self.newest);
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions(oldest, newest))?;
        let builder = match verify::ClientJudge::of(&candidates, provider) {
            Some(judge) => builder.with_client_cert_verifier(Arc::new(judge)),
            None => builder.with_no_client_auth(),
        };
        let mut config =
            builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified().clone())));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// How to take a connection of HTTP as the identity of this id: from anybody, who is asked for no certificate.
    ///
    /// # Errors
    /// [`TlsError`]: there is no such identity.
    pub(crate) fn http_server_config(&self, id: &str) -> Result<Arc<ServerConfig>, TlsError> {
        let identity = self.identities.iter().find(|identity| identity.id() == id);
        let identity = identity.ok_or(TlsError::NoIdentity)?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(self.oldest, self.newest))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified().clone())));
        // WebSockets begin as HTTP/1.1 (RFC 6455).
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// How to open a connection.
    ///
    /// # Errors
    /// [`TlsError`]: the name is none that can be asked for, or the trunk is not known.
    pub fn client_config(
        &self,
        outward: &Outward,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), TlsError> {
        let name = ServerName::try_from(outward.name.to_string())
            .map_err(|_| TlsError::Name(outward.name.clone()))?;
        let rules = match &outward.trunk {
            Some(id) => {
                let known = self.trunks.iter().find(|rules| rules.trunk == *id);
                Some(known.ok_or_else(|| TlsError::NoTrunk(id.clone()))?)
            }
            None => None,
        };
        let judge = match rules {
            Some(rules) => verify::ServerJudge::of_trunk(rules, provider()),
            None => verify::ServerJudge::of_stranger(self.roots.clone(), provider()),
        };
        let (oldest, newest) = rules.map_or((self.oldest, self.newest), |rules| (rules.oldest, rules.newest));
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(oldest, newest))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(judge));
        let own = rules.and_then(|rules| rules.identity.as_ref()).or(self.identities.first());
        let mut config = match own {
            Some(identity) => builder
                .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified().clone()))),
            None => builder.with_no_client_auth(),
        };
        config.resumption = rustls::client::Resumption::disabled();
        Ok((Arc::new(config), name))
    }

    /// What the certificate of an incoming connection proves.
    pub(crate) fn verified(
        &self,
        peer: IpAddr,
        name: Option<&str>,
        chain: Option<&[CertificateDer<'_>]>,
        now: UnixTime,
    ) -> Verified {
        let likely = self.candidates(peer, name).first().map(|rules| rules.trunk.clone());
        let Some([end, intermediates @ ..]) = chain else {
            return Verified { likely, ..Verified::default() };
        };
        let peer = peer.to_canonical();
        let trunks = self.trunks.iter().filter(|rules| {
            rules.demand != Demand::Off
                && rules.sources.iter().any(|range| range.contains(&peer))
                && Judge::of(rules).chain_and_names(end, intermediates, now).is_ok()
        });
        let trunks = trunks.map(|rules| rules.trunk.clone()).collect();
        Verified { trunks, likely, names: verify::names_of(end) }
    }

    /// What a connection that we opened proves: the rules were held in the handshake.
    pub(crate) fn verified_by_dialling(&self, outward: &Outward) -> Verified {
        let held = self
            .trunks
            .iter()
            .filter(|rules| Some(&rules.trunk) == outward.trunk.as_ref() && rules.demand != Demand::Off);
        let trunks: Vec<TrunkId> = held.map(|rules| rules.trunk.clone()).collect();
        let names = trunks.iter().map(|_| (*outward.name).into()).collect();
        Verified { names, trunks, likely: outward.trunk.clone() }
    }

    /// The trunks that a peer may belong to.
    fn candidates(&self, peer: IpAddr, name: Option<&str>) -> Vec<&TrunkRules> {
        let peer = peer.to_canonical(); // a socket for both families shows IPv4 as ::ffff:a.b.c.d
        let by_source: Vec<&TrunkRules> = self
            .trunks
            .iter()
            .filter(|rules| rules.sources.iter().any(|range| range.contains(&peer)))
            .collect();
        let meant: Vec<&TrunkRules> = by_source
            .iter()
            .filter(|rules| match (name, &rules.identity) {
                (Some(name), Some(identity)) => identity.covers(name),
                _ => false,
            })
            .copied()
            .collect();
        if meant.is_empty() { by_source } else { meant }
    }

    /// Who we are to a peer that asks for `name`, or for none.
    fn identity<'a>(
        &'a self,
        name: Option<&str>,
        candidates: &[&'a TrunkRules],
    ) -> Option<&'a Arc<Identity>> {
        let asked = name.and_then(|name| {
            // A certificate that bears the very name goes before one that covers it by a wildcard.
            let exact = self.identities.iter().find(|identity| identity.bears(name));
            exact.or_else(|| self.identities.iter().find(|identity| identity.covers(name)))
        });
        let of_trunk = || match candidates {
            [only] => only.identity.as_ref(),
            _ => None,
        };
        asked.or_else(of_trunk).or(self.identities.first())
    }
}

/// The TLS side of the sockets: material that can be replaced while connections live.
#[derive(Debug)]
pub struct Tls {
    in_force: ArcSwap<Material>,
    replaced: watch::Sender<u64>,
}

impl Tls {
    /// TLS with this material.
    pub fn new(material: Material) -> Tls {
        Tls { in_force: ArcSwap::from_pointee(material), replaced: watch::Sender::new(0) }
    }

    /// The material in force.
    pub fn material(&self) -> Arc<Material> {
        self.in_force.load_full()
    }

    /// Puts new material in force. Connections that live are left in peace; they take no new business and close when
    /// they are idle.
    pub fn replace(&self, material: Material) {
        self.in_force.store(Arc::new(material));
        self.replaced.send_modify(|times| *times += 1);
    }

    /// Tells when the material is replaced.
    pub(crate) fn replacements(&self) -> watch::Receiver<u64> {
        self.replaced.subscribe()
    }
}

/// The one crypto provider.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())).clone()
}
