//! What protects signalling and sound: our certificates, TLS towards a trunk, and SRTP.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use crate::id::CertificateId;

/// `[[certificate]]`: what we show of ourselves. The first in the file is shown to a client that asks for no
/// name, or for one that no certificate has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its id.
    pub id: CertificateId,
    /// PEM, our certificate first and every intermediate after it. Relative to the configuration file.
    pub certificate_file: PathBuf,
    /// PEM, its private key. Relative to the configuration file.
    pub key_file: PathBuf,
}

/// How a trunk's TLS is checked and bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkTls {
    /// What is asked of the peer's certificate.
    pub verify: VerifyPeer,
    /// The names of which the peer's certificate must have one. Empty means the name that was dialled, or on a
    /// connection that the peer opened any name of a trusted certificate.
    pub names: Vec<CertificateName>,
    /// PEM, the roots the peer is trusted by. Relative to the configuration file; `None` is those of the system.
    pub roots_file: Option<PathBuf>,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// The newest version spoken.
    pub max_version: TlsVersion,
}

/// What is asked of a peer's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyPeer {
    /// The peer shows one that is trusted and has a right name, also when it opens the connection.
    Required,
    /// A server shows one; a client may show none, but if it does, it must be right.
    Optional,
    /// Anything goes; the source range alone says who it is.
    Off,
}

/// A version of TLS. Older ones are not spoken (RFC 8996).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// A name a certificate may have, in lower case: `sip.example.net`, or `*.example.net` for any one label there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateName(Arc<str>);

impl CertificateName {
    /// Takes a DNS name, or `*.` and one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        matches!(name.parse(), Ok(crate::Host::Name(_))).then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// As written, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a DNS name is this one. A `*` stands for exactly one label (RFC 6125 section 6.4.3).
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match self.0.strip_prefix("*.") {
            Some(parent) => name
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
            None => name.eq_ignore_ascii_case(&self.0),
        }
    }
}

/// Whether sound is encrypted with keys from SDP (RFC 4568).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SrtpPolicy {
    /// Always; an offer without is answered 488.
    Required,
    /// If the peer wants it; offered without.
    Optional,
    /// Never.
    Off,
}

/// A crypto suite of SDES (RFC 4568 section 6.2, RFC 7714 section 14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum SrtpSuite {
    /// The one that everybody speaks, and the only one of Microsoft.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_80")]
    AesCm128HmacSha1_80,
    /// The same with a shorter tag.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_32")]
    AesCm128HmacSha1_32,
    /// AES-GCM.
    #[serde(rename = "AEAD_AES_128_GCM")]
    AeadAes128Gcm,
}

impl SrtpSuite {
    /// The name in SDP.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_label_and_never_none_or_two() {
        let name = CertificateName::parse("*.PSTNHUB.microsoft.com").unwrap();
        assert!(name.covers("sip.pstnhub.microsoft.com") && name.covers("SIP2.pstnhub.microsoft.com"));
        for other in
            ["pstnhub.microsoft.com", "a.sip.pstnhub.microsoft.com", ".pstnhub.microsoft.com", "x.example"]
        {
            assert!(!name.covers(other), "{other}");
        }
        assert!(CertificateName::parse("sip.example.net").unwrap().covers("SIP.example.net"));
        for not_a_name in ["", "*", "*.", "a.*.b", "192.0.2.1", "*.192.0.2.1", "sip example"] {
            assert_eq!(CertificateName::parse(not_a_name), None, "{not_a_name}");
        }
    }
}
