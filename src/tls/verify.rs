//! Whether a certificate is good: descent, use, and name.
//!
//! rustls has a verifier for each role, and each insists on the extended key usage of that role. Microsoft's proxies
//! show one and the same certificate as server and as client, and from 2026 on it says `serverAuth` only, which the
//! stock verifier refuses in a client. So here either usage is good in either role; what makes a peer trusted is that it
//! descends from the roots and bears the right name, and that it comes from the right place, which the door holds.
//!
//! Not done: revocation. Certificates of SIP peers carry no stapled answer in a client's hand, and a gateway that asks
//! a responder in the middle of a handshake hands its availability to a third party.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{Demand, TrunkRules, provider};

/// Names of one certificate that are looked at. Public CAs stop at 100 to 250.
pub const NAMES_MAX: usize = 256;

/// What a good certificate is.
#[derive(Debug, Clone)]
pub struct Judge {
    roots: Arc<RootCertStore>,
    names: Vec<Arc<str>>,
}

impl Judge {
    /// By the rules of a trunk.
    pub fn of(rules: &TrunkRules) -> Judge {
        Judge { roots: rules.roots.clone(), names: rules.names.clone() }
    }

    /// Descent and use, and one of our names if there are any.
    pub(super) fn chain_and_names(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        self.chain(end, intermediates, now)?;
        if self.names.is_empty() || names_of(end).iter().any(|name| self.wants(name)) {
            return Ok(());
        }
        Err(CertificateError::NotValidForName.into())
    }

    fn chain(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(end)?;
        let algorithms = provider().signature_verification_algorithms;
        let as_server = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms.all,
        );
        let Err(refused) = as_server else { return Ok(()) };
        // Not of that use? Then of the other. Everything else is the same, and so is what it refuses.
        match WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider()).build() {
            Ok(verifier) if verifier.verify_client_cert(end, intermediates, now).is_ok() => Ok(()),
            Ok(_) | Err(_) => Err(refused),
        }
    }

    /// Whether a name of a certificate is one of ours. Ours may have a `*` for its first label; theirs may, too.
    fn wants(&self, name: &str) -> bool {
        self.names
            .iter()
            .any(|wanted| wanted.eq_ignore_ascii_case(name) || covers(wanted, name) || covers(name, wanted))
    }
}

/// RFC 6125 section 6.4.3: `*` stands for exactly one whole label, the first.
pub(super) fn covers(pattern: &str, name: &str) -> bool {
    if pattern.eq_ignore_ascii_case(name) {
        return true;
    }
    let Some(parent) = pattern.strip_prefix("*.") else { return false };
    match name.split_once('.') {
        Some((label, rest)) => !label.is_empty() && label != "*" && rest.eq_ignore_ascii_case(parent),
        None => false,
    }
}

/// The names and addresses in the subject's alternative names. A common name is none (RFC 6125 section 6.4.4).
pub(super) fn names_of(certificate: &CertificateDer<'_>) -> Vec<Box<str>> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(alternatives)) = parsed.subject_alternative_name() else { return Vec::new() };
    let names = alternatives.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).into()),
        GeneralName::IPAddress(octets) => {
            let four = <[u8; 4]>::try_from(*octets).map(std::net::IpAddr::from);
            let sixteen = <[u8; 16]>::try_from(*octets).map(std::net::IpAddr::from);
            four.or(sixteen).ok().map(|ip| ip.to_string().into())
        }
        _ => None,
    });
    names.take(NAMES_MAX).collect()
}

/// Judges peers that open connections to us.
#[derive(Debug)]
pub(super) struct ClientJudge {
    judges: Vec<Judge>,
    mandatory: bool,
    /// One of the candidates does not look at certificates: a bad one must not cost it the connection.
    indifferent: bool,
    provider: Arc<CryptoProvider>,
}

impl ClientJudge {
    /// `None` when no candidate wants a certificate.
    pub(super) fn of(candidates: &[&TrunkRules], provider: Arc<CryptoProvider>) -> Option<ClientJudge> {
        let asking = candidates.iter().filter(|rules| rules.demand != Demand::Off);
        let judges: Vec<Judge> = asking.map(|rules| Judge::of(rules)).collect();
        (!judges.is_empty()).then(|| ClientJudge {
            indifferent: judges.len() < candidates.len(),
            mandatory: candidates.iter().all(|rules| rules.demand == Demand::Required),
            judges,
            provider,
        })
    }
}

impl ClientCertVerifier for ClientJudge {
    /// Names of authorities are no help: a peer that finds its own missing among them shows nothing at all.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let mut refused = Error::General("nobody to judge a certificate".to_owned());
        for judge in &self.judges {
            match judge.chain_and_names(end, intermediates, now) {
                Ok(()) => return Ok(ClientCertVerified::assertion()),
                Err(error) => refused = error,
            }
        }
        if self.indifferent { Ok(ClientCertVerified::assertion()) } else { Err(refused) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Judges the peers that we open connections to.
#[derive(Debug)]
pub(super) struct ServerJudge {
    /// None believes anybody.
    judge: Option<Judge>,
    provider: Arc<CryptoProvider>,
}

impl ServerJudge {
    pub(super) fn of_trunk(rules: &TrunkRules, provider: Arc<CryptoProvider>) -> ServerJudge {
        ServerJudge { judge: (rules.demand != Demand::Off).then(|| Judge::of(rules)), provider }
    }

    /// A server that belongs to no trunk: the name dialled, under these roots.
    pub(super) fn of_stranger(roots: Arc<RootCertStore>, provider: Arc<CryptoProvider>) -> ServerJudge {
        ServerJudge { judge: Some(Judge { roots, names: Vec::new() }), provider }
    }
}

impl ServerCertVerifier for ServerJudge {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(judge) = &self.judge {
            judge.chain_and_names(end, intermediates, now)?;
            if judge.names.is_empty() {
                verify_server_name(&ParsedCertificate::try_from(end)?, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
