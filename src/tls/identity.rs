//! Who we can be: a certificate chain with its key; and whom we can believe: roots.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::provider;
use super::verify::{covers, names_of};

/// Certificates in one file: a chain has two to four, a root store about 150.
const CERTIFICATES_MAX: usize = 1024;

/// A certificate chain and its key. `Debug` shows the name only.
pub struct Identity {
    id: String,
    certified: Arc<CertifiedKey>,
    names: Vec<Box<str>>,
    not_after: i64,
}

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No certificate in the file, or something that is none.
    #[error("the certificate file holds no readable chain of PEM certificates")]
    Chain,
    /// No key in the file.
    #[error("the key file holds no readable PEM key (PKCS#8, PKCS#1 or SEC1, without a passphrase)")]
    Key,
    /// A key of another kind, or not that of the certificate.
    #[error("the key does not belong to the certificate, or is of a kind that TLS has no use for")]
    Mismatch(#[source] rustls::Error),
}

/// Why there are no roots.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// Not PEM, or no certificate in it.
    #[error("the file of roots holds no readable PEM certificate")]
    Unreadable,
    /// The machine has none.
    #[error("this machine has no store of root certificates (Debian: apt-get install ca-certificates)")]
    NoStore,
}

impl Identity {
    /// From PEM: the certificate first, then those above it; and the key.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub fn from_pem(id: &str, chain: &[u8], key: &[u8]) -> Result<Identity, IdentityError> {
        let chain = certificates(chain).ok_or(IdentityError::Chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| IdentityError::Key)?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(IdentityError::Mismatch)?;
        let end = certified.end_entity_cert().map_err(IdentityError::Mismatch)?;
        let (_, parsed) = X509Certificate::from_der(end).map_err(|_| IdentityError::Chain)?;
        let not_after = parsed.validity().not_after.timestamp();
        let names = names_of(end);
        Ok(Identity { id: id.to_owned(), certified: Arc::new(certified), names, not_after })
    }

    /// What the configuration calls it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When it runs out, in seconds of Unix time.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The chain, the certificate itself first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    pub(super) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// Whether its certificate bears this very name.
    pub(super) fn bears(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Whether its certificate is good for this name.
    pub(super) fn covers(&self, name: &str) -> bool {
        self.names.iter().any(|own| covers(own, name))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PartialEq for Identity {
    /// The same chain; a key that fits it is the same key.
    fn eq(&self, other: &Identity) -> bool {
        self.id == other.id && self.certified.cert == other.certified.cert
    }
}

/// Roots out of a PEM file.
///
/// # Errors
/// [`RootsError::Unreadable`]
pub fn roots_from_pem(pem: &[u8]) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(certificates(pem).ok_or(RootsError::Unreadable)?);
    if taken == 0 { Err(RootsError::Unreadable) } else { Ok(roots) }
}

/// The roots of this machine: what its administrators keep up to date for every program.
///
/// # Errors
/// [`RootsError::NoStore`]
pub fn platform_roots() -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 { Err(RootsError::NoStore) } else { Ok(roots) }
}

pub(super) fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).take(CERTIFICATES_MAX).collect();
    read.ok().filter(|chain| !chain.is_empty())
}
