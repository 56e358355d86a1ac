//! A certificate authority for tests and the demo: a root, an intermediate below it, and leaves of any kind, bad ones too.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SanType,
};
use thiserror::Error;

/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);

/// A root and the intermediate that signs for it.
pub struct Authority {
    root: String,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate to be made.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Names and addresses; the first is the common name, too.
    pub names: Vec<String>,
    /// What it may be used for.
    pub usage: Usage,
    /// From when, relative to now: negative is in the past.
    pub from_days: i64,
    /// Until when.
    pub until_days: i64,
    /// The kind of its key.
    pub key: Key,
}

/// The extended key usage of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// `serverAuth`, as public authorities give out from 2026 on.
    Server,
    /// `clientAuth`
    Client,
    /// Both, as they did before.
    Both,
    /// `codeSigning`: neither.
    Other,
}

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// P-256: made in a moment.
    Ecdsa,
    /// RSA of 2048 bits, the only kind that Microsoft's suites take.
    Rsa,
}

impl Wanted {
    /// A good certificate for these names: both uses, from yesterday for 90 days, ECDSA.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Wanted {
        Wanted {
            names: names.into_iter().map(Into::into).collect(),
            usage: Usage::Both,
            from_days: -1,
            until_days: 90,
            key: Key::Ecdsa,
        }
    }

    /// The same for another use.
    pub fn usable_as(self, usage: Usage) -> Wanted {
        Wanted { usage, ..self }
    }

    /// The same, run out yesterday.
    pub fn expired(self) -> Wanted {
        Wanted { from_days: -30, until_days: -1, ..self }
    }

    /// The same with an RSA key.
    pub fn rsa(self) -> Wanted {
        Wanted { key: Key::Rsa, ..self }
    }
}

/// A certificate with its key, in PEM.
pub struct Leaf {
    /// The certificate and the intermediate that signed it.
    pub chain: String,
    /// The certificate alone: what a careless administrator installs.
    pub alone: String,
    /// The key.
    pub key: String,
}

/// A certificate that could not be made.
#[derive(Debug, Error)]
#[error("no certificate could be made")]
pub struct NotMade(#[from] rcgen::Error);

impl Authority {
    /// A new authority of this name.
    ///
    /// # Errors
    /// [`NotMade`]
    pub fn new(name: &str) -> Result<Authority, NotMade> {
        let root =
            CertifiedIssuer::self_signed(of_authority(&format!("{name} root"))?, KeyPair::generate()?)?;
        let intermediate = of_authority(&format!("{name} intermediate"))?;
        let intermediate = CertifiedIssuer::signed_by(intermediate, KeyPair::generate()?, &root)?;
        Ok(Authority { root: root.pem(), intermediate })
    }

    /// The root, in PEM: for whoever is to believe this authority.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Makes a certificate.
    ///
    /// # Errors
    /// [`NotMade`]
    pub fn issue(&self, wanted: &Wanted) -> Result<Leaf, NotMade> {
        let mut params = CertificateParams::default();
        for name in &wanted.names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        if let Some(first) = wanted.names.first() {
            params.distinguished_name.push(DnType::CommonName, first.as_str());
        }
        params.extended_key_usages = match wanted.usage {
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Both => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Other => vec![ExtendedKeyUsagePurpose::CodeSigning],
        };
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.use_authority_key_identifier_extension = true;
        params.not_before = in_days(wanted.from_days).into();
        params.not_after = in_days(wanted.until_days).into();
        let key = match wanted.key {
            Key::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
            Key::Rsa => KeyPair::generate_for(&PKCS_RSA_SHA256)?,
        };
        let alone = params.signed_by(&key, &self.intermediate)?.pem();
        let chain = format!("{alone}{}", self.intermediate.pem());
        Ok(Leaf { chain, alone, key: key.serialize_pem() })
    }
}

fn of_authority(name: &str) -> Result<CertificateParams, NotMade> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params.not_before = in_days(-400).into();
    params.not_after = in_days(3650).into();
    Ok(params)
}

fn in_days(days: i64) -> SystemTime {
    let span = DAY.saturating_mul(u32::try_from(days.unsigned_abs()).unwrap_or(u32::MAX));
    let now = SystemTime::now();
    if days < 0 { now - span } else { now + span }
}
