//! Reads `[[certificate]]` and what a trunk says of TLS and SRTP.

use std::path::PathBuf;

use super::table::{Field, Section};
use super::tenant::id;
use super::unique::Unique;
use super::words::{TLS_VERSIONS, VERIFY};
use crate::finding::Code;
use crate::id::CertificateId;
use crate::secure::{Certificate, CertificateName, SrtpSuite, TlsVersion, TrunkTls, VerifyPeer};

/// Names one peer may have. Microsoft has three with a star.
const MAX_NAMES: usize = 64;

const SUITES: &[(&str, SrtpSuite)] = &[
    ("AES_CM_128_HMAC_SHA1_80", SrtpSuite::AesCm128HmacSha1_80),
    ("AES_CM_128_HMAC_SHA1_32", SrtpSuite::AesCm128HmacSha1_32),
    ("AEAD_AES_128_GCM", SrtpSuite::AeadAes128Gcm),
];

pub(super) fn certificate<'a>(section: &Section<'a>, ids: &mut Unique<'a, String>) -> Option<Certificate> {
    let id = id(section, ids, CertificateId::new);
    let file = |key, remedy| section.required(key, remedy).and_then(|field| field.text()).map(PathBuf::from);
    let certificate_file =
        file("certificate_file", "name the PEM file with our certificate and its intermediates");
    let key_file = file("key_file", "name the PEM file with the private key");
    section.finish();
    Some(Certificate { id: id?, certificate_file: certificate_file?, key_file: key_file? })
}

/// The `tls` of a trunk.
pub(super) fn trunk_tls(field: Option<&Field<'_>>) -> TrunkTls {
    let mut tls = TrunkTls {
        verify: VerifyPeer::Required,
        names: Vec::new(),
        roots_file: None,
        min_version: TlsVersion::V1_2,
        max_version: TlsVersion::V1_3,
    };
    let Some(section) = field.and_then(Field::section) else { return tls };
    tls.verify = section.choice("verify", VERIFY, tls.verify);
    tls.names = section.field("names").and_then(|field| field.list(MAX_NAMES, name)).unwrap_or_default();
    tls.roots_file = section.field("roots_file").and_then(|field| field.text()).map(PathBuf::from);
    tls.min_version = section.choice("min_version", TLS_VERSIONS, tls.min_version);
    let newest = section.field("max_version");
    tls.max_version = newest.as_ref().and_then(|field| field.choice(TLS_VERSIONS)).unwrap_or(tls.max_version);
    if tls.min_version > tls.max_version {
        let message = "the newest version is older than the oldest";
        section.fail_at(newest.as_ref(), Code::BadValue, message, "exchange the two");
    }
    section.finish();
    tls
}

/// The `srtp_suites` of a trunk.
pub(super) fn suites(field: &Field<'_>) -> Option<Vec<SrtpSuite>> {
    field.list(SUITES.len(), |item| item.choice(SUITES))
}

/// What is offered where the file says nothing: what everybody speaks, the longer tag first.
pub(super) fn default_suites() -> Vec<SrtpSuite> {
    vec![SrtpSuite::AesCm128HmacSha1_80, SrtpSuite::AesCm128HmacSha1_32]
}

fn name(field: &Field<'_>) -> Option<CertificateName> {
    let parse = |text: &str| CertificateName::parse(text).ok_or("this is not a name of a certificate");
    field.parsed(Code::BadValue, "write it as \"sip.example.net\" or \"*.example.net\"", parse)
}
