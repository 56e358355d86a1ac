//! A telephone's TLS: the stock one of rustls, not the gateway's, so that it judges what the gateway does.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName, pem};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::sim::authority::Leaf;

/// Whom a telephone believes, and what it shows of itself.
#[derive(Clone)]
pub struct Tls {
    pub(super) acceptor: TlsAcceptor,
    pub(super) connector: TlsConnector,
    pub(super) server: ServerName<'static>,
}

/// Why a telephone has no TLS.
#[derive(Debug, Error)]
pub enum NoTls {
    /// Not PEM.
    #[error("no readable PEM")]
    Pem(#[from] pem::Error),
    /// Not fit for TLS.
    #[error("TLS refuses it")]
    Tls(#[from] rustls::Error),
    /// Not fit to verify by.
    #[error("no verifier")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// No name.
    #[error("no name of a server")]
    Name(#[from] InvalidDnsNameError),
}

impl Tls {
    /// Believes what descends from `root`, expects the server called `server`, and shows `own` in both roles. Clients
    /// may show a certificate to it, and must show a good one if any.
    ///
    /// # Errors
    /// [`NoTls`]
    pub fn new(root: &str, server: &str, own: Option<&Leaf>) -> Result<Tls, NoTls> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes())?)?;
        let roots = Arc::new(roots);
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots.clone());
        let client = match own {
            Some(leaf) => client.with_client_auth_cert(chain(leaf)?, key(leaf)?)?,
            None => client.with_no_client_auth(),
        };
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
            .allow_unauthenticated()
            .build()?;
        let listener = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier);
        let listener = match own {
            Some(leaf) => listener.with_single_cert(chain(leaf)?, key(leaf)?)?,
            // Nobody can call it; a telephone that only calls needs no certificate.
            None => listener.with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new())),
        };
        Ok(Tls {
            acceptor: TlsAcceptor::from(Arc::new(listener)),
            connector: TlsConnector::from(Arc::new(client)),
            server: ServerName::try_from(server.to_owned())?,
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server", &self.server).finish_non_exhaustive()
    }
}

fn chain(leaf: &Leaf) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(leaf.chain.as_bytes()).collect()
}

fn key(leaf: &Leaf) -> Result<PrivateKeyDer<'static>, pem::Error> {
    PrivateKeyDer::from_pem_slice(leaf.key.as_bytes())
}
