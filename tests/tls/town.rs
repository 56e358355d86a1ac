//! The sockets of a gateway, an authority everybody knows, and peers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sbc_config::TrunkId;
use sidetone::sim::authority::{Authority, Leaf, Wanted};
use sidetone::sip::flow::{Destination, TlsWay, Transport};
use sidetone::sip::transport::{Arrival, Limits, Listen, Wires};
use sidetone::tls::{Demand, Identity, Material, Outward, Tls, TrunkRules, Version, roots_from_pem};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

/// The longest anything that must come is waited for.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// What we are called.
pub(crate) const OURS: &str = "sbc1.example.com";

/// What the carrier is called.
pub(crate) const CARRIER: &str = "sip.carrier.example";

/// A whole message.
pub(crate) const OPTIONS: &str = "OPTIONS sip:us SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKa\r\n\
    From: <sip:a@b>;tag=a\r\nTo: <sip:us>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

pub(crate) struct Town {
    pub(crate) authority: Authority,
    pub(crate) other_authority: Authority,
}

impl Town {
    pub(crate) fn new() -> Town {
        Town {
            authority: Authority::new("town").expect("an authority"),
            other_authority: Authority::new("elsewhere").expect("an authority"),
        }
    }

    pub(crate) fn leaf(&self, wanted: &Wanted) -> Leaf {
        self.authority.issue(wanted).expect("a certificate")
    }

    /// A good certificate for this name.
    pub(crate) fn of(&self, name: &str) -> Leaf {
        self.leaf(&Wanted::new([name]))
    }

    pub(crate) fn identity(&self, id: &str, leaf: &Leaf) -> Arc<Identity> {
        Arc::new(Identity::from_pem(id, leaf.chain.as_bytes(), leaf.key.as_bytes()).expect("an identity"))
    }

    /// The rules of a trunk on loopback that believes the town's authority.
    pub(crate) fn rules(&self, trunk: &str, demand: Demand, names: &[&str]) -> TrunkRules {
        TrunkRules {
            trunk: TrunkId::new(trunk).expect("an id"),
            sources: vec!["127.0.0.0/8".parse().expect("a range")],
            identity: None,
            demand,
            names: names.iter().map(|name| (*name).into()).collect(),
            roots: Arc::new(roots_from_pem(self.authority.root().as_bytes()).expect("roots")),
            oldest: Version::Tls12,
            newest: Version::Tls13,
        }
    }

    /// Our material: one identity and these trunks.
    pub(crate) fn material(&self, trunks: Vec<TrunkRules>) -> Material {
        let identities = vec![self.identity("sbc1", &self.of(OURS))];
        Material { identities, trunks, ..Material::none() }
    }

    /// A peer that believes the town and shows this.
    pub(crate) fn client(&self, own: Option<&Leaf>) -> TlsConnector {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.store());
        TlsConnector::from(Arc::new(match own {
            Some(leaf) => builder.with_client_auth_cert(chain(leaf), key(leaf)).expect("a certificate"),
            None => builder.with_no_client_auth(),
        }))
    }

    /// A listening peer that shows this, and notes what its clients show.
    pub(crate) async fn server(&self, own: &Leaf) -> (TcpListener, SocketAddr, TlsAcceptor) {
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(self.store()), provider())
                .allow_unauthenticated()
                .build()
                .expect("a verifier");
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain(own), key(own))
            .expect("a certificate");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        (listener, at, TlsAcceptor::from(Arc::new(config)))
    }

    pub(crate) fn store(&self) -> RootCertStore {
        roots_from_pem(self.authority.root().as_bytes()).expect("roots")
    }
}

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

pub(crate) fn chain(leaf: &Leaf) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(leaf.chain.as_bytes()).collect::<Result<_, _>>().expect("a chain")
}

fn key(leaf: &Leaf) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).expect("a key")
}

/// The sockets of a gateway with this material.
pub(crate) async fn wires(material: Material, limits: Limits) -> (Wires, SocketAddr, Arc<Tls>) {
    let tls = Arc::new(Tls::new(material));
    let listen = Listen { tls: "127.0.0.1:0".parse().ok(), ..Listen::default() };
    let wires = Wires::bind(listen, tls.clone(), limits).await.expect("a port");
    let at = wires.tls_addr().expect("an address");
    (wires, at, tls)
}

pub(crate) async fn next(wires: &mut Wires) -> Arrival {
    timeout(SOON, wires.next()).await.expect("something comes")
}

/// Runs the sockets beside `act` until it is done, and gives what it gave and what arrived meanwhile.
pub(crate) async fn meanwhile<T>(wires: &mut Wires, act: impl Future<Output = T>) -> (T, Vec<Arrival>) {
    let mut arrivals = Vec::new();
    let act = timeout(SOON, act);
    tokio::pin!(act);
    loop {
        tokio::select! {
            done = &mut act => return (done.expect("it is done in time"), arrivals),
            arrival = wires.next() => arrivals.push(arrival),
        }
    }
}

/// Connects and shakes hands, asking for this name.
pub(crate) async fn shake(
    connector: &TlsConnector,
    at: SocketAddr,
    name: &str,
) -> std::io::Result<client::TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    connector.connect(name, TcpStream::connect(at).await?).await
}

/// As this trunk to this name.
pub(crate) fn as_trunk(trunk: &str, name: &str) -> Option<Arc<Outward>> {
    Some(Arc::new(Outward { trunk: TrunkId::new(trunk).ok(), name: name.into() }))
}

pub(crate) fn to(remote: SocketAddr, way: u32) -> Destination {
    Destination { transport: Transport::Tls, remote, local: None, connection: None, tls: Some(TlsWay(way)) }
}

pub(crate) fn hello() -> Bytes {
    Bytes::from_static(OPTIONS.as_bytes())
}
