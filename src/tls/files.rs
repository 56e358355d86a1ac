//! Certificates, keys and roots out of the files that the configuration names.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use sbc_config::{Certificate, Config, TlsVersion, VerifyPeer};

use super::identity::certificates;
use super::{
    Demand, Identity, IdentityError, Material, RootsError, TrunkRules, Version, platform_roots,
    roots_from_pem,
};

/// The largest file read: a store of all public roots is a quarter of this.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Read, and no identity.
    #[error("the certificate {id} cannot be used")]
    Identity {
        /// Its id in the configuration.
        id: String,
        /// Why.
        source: IdentityError,
    },
    /// Read, and no roots.
    #[error("{} cannot be used", path.display())]
    Roots {
        /// Which.
        path: PathBuf,
        /// Why.
        source: RootsError,
    },
}

impl FileError {
    /// The same in one word, for those who are told that something is wrong with a certificate and not where it lies.
    pub fn reason(&self) -> &'static str {
        match self {
            FileError::Unreadable { .. } => "file_unreadable",
            FileError::Identity { source: IdentityError::Chain, .. } => "chain_unreadable",
            FileError::Identity { source: IdentityError::Key, .. } => "key_unreadable",
            FileError::Identity { source: IdentityError::Mismatch(_), .. } => "key_of_another_certificate",
            FileError::Roots { .. } => "roots_unreadable",
        }
    }
}

/// Reads everything it takes to speak TLS. `beside` is where relative paths start.
///
/// # Errors
/// The first [`FileError`].
pub fn load(config: &Config, beside: &Path) -> Result<Material, FileError> {
    let identities =
        config.certificates.iter().map(|certificate| identity(certificate, beside).map(Arc::new));
    let identities: Vec<Arc<Identity>> = identities.collect::<Result<_, _>>()?;
    let system = Arc::new(platform_roots().unwrap_or_else(|error| {
        // Only who believes by it is harmed, and every handshake with them will say so.
        tracing::warn!("{error}; peers are believed by a trunk's roots_file only");
        RootCertStore::empty()
    }));
    let trunks = config.trunks.iter().map(|trunk| {
        let roots = match &trunk.tls.roots_file {
            Some(file) => roots(&beside.join(file))?,
            None => system.clone(),
        };
        let named = |identity: &&Arc<Identity>| {
            trunk.certificate.as_ref().is_some_and(|certificate| certificate.as_str() == identity.id())
        };
        Ok(TrunkRules {
            trunk: trunk.id.clone(),
            sources: trunk.sources.clone(),
            identity: identities.iter().find(named).or(identities.first()).cloned(),
            demand: match trunk.tls.verify {
                VerifyPeer::Required => Demand::Required,
                VerifyPeer::Optional => Demand::Optional,
                VerifyPeer::Off => Demand::Off,
            },
            names: trunk.tls.names.iter().map(|name| name.as_str().into()).collect(),
            roots,
            oldest: version(trunk.tls.min_version),
            newest: version(trunk.tls.max_version),
        })
    });
    let trunks = trunks.collect::<Result<_, FileError>>()?;
    Ok(Material { trunks, identities, roots: system, ..Material::none() })
}

/// Reads one identity.
///
/// # Errors
/// [`FileError`]
pub fn identity(certificate: &Certificate, beside: &Path) -> Result<Identity, FileError> {
    let chain = read(&beside.join(&certificate.certificate_file))?;
    let key = read(&beside.join(&certificate.key_file))?;
    let id = certificate.id.as_str();
    Identity::from_pem(id, &chain, &key).map_err(|source| FileError::Identity { id: id.to_owned(), source })
}

/// The certificates by which a trunk's peer is believed: those of its file, or of the system.
///
/// # Errors
/// [`FileError`]
pub fn root_certificates(
    roots_file: Option<&Path>,
    beside: &Path,
) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let Some(file) = roots_file else { return Ok(rustls_native_certs::load_native_certs().certs) };
    let path = beside.join(file);
    let found = certificates(&read(&path)?);
    found.ok_or(FileError::Roots { path, source: RootsError::Unreadable })
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>, FileError> {
    let pem = read(path)?;
    let roots = roots_from_pem(&pem);
    roots.map(Arc::new).map_err(|source| FileError::Roots { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    use std::io::Read as _;
    let read = || -> io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut octets)?;
        if octets.len() as u64 > FILE_BYTES_MAX {
            Err(io::ErrorKind::FileTooLarge.into())
        } else {
            Ok(octets)
        }
    };
    read().map_err(|source| FileError::Unreadable { path: path.to_owned(), source })
}

fn version(version: TlsVersion) -> Version {
    match version {
        TlsVersion::V1_2 => Version::Tls12,
        TlsVersion::V1_3 => Version::Tls13,
    }
}

/// What tells one state of the files from another: when each was written, and how long it is. Looking is cheap, and
/// unlike a watch it follows files that are replaced, linked or mounted anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Vec<Option<(SystemTime, u64)>>);

/// The state of the files that [`load`] would read.
pub fn stamp(config: &Config, beside: &Path) -> Stamp {
    let own = config.certificates.iter().flat_map(|one| [&one.certificate_file, &one.key_file]);
    let roots = config.trunks.iter().filter_map(|trunk| trunk.tls.roots_file.as_ref());
    let state = |file: &PathBuf| {
        let found = std::fs::metadata(beside.join(file)).ok()?;
        Some((found.modified().ok()?, found.len()))
    };
    Stamp(own.chain(roots).map(state).collect())
}
