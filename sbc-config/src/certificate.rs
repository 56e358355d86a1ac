//! The rules of a certificate of ours: everything that would make a peer refuse it, before the peer does.
//!
//! Pure like the rest of the crate: the octets of the chain, of the roots and the time come in, findings go out. Signatures
//! are not checked here; what a certificate *says* is what administrators get wrong.

use serde::Serialize;
use sha1::{Digest as _, Sha1};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::finding::{Code, Finding, Severity};
use crate::id::{CertificateId, TrunkId};
use crate::secure::CertificateName;

/// Seconds in a day.
const DAY_S: i64 = 86_400;

/// Days before the end from which on it is warned of: the rhythm of renewal of certificates that live 90 days.
pub const EXPIRY_WARNING_DAYS: i64 = 30;

/// RSA keys below this are weak, and no public authority signs them.
const RSA_BITS_MIN: usize = 2048;

/// A root certificate that must be believed, known by the SHA-1 of its octets, as Windows and Microsoft's pages show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KnownRoot {
    /// Its common name.
    pub name: &'static str,
    /// SHA-1, upper-case hexadecimal.
    pub thumbprint: &'static str,
}

/// The roots above the certificates of Microsoft's SIP proxies. A store that lacks one works until Microsoft moves a
/// datacenter to it.
pub const MICROSOFT_ROOTS: [KnownRoot; 7] = [
    KnownRoot { name: "DigiCert Global Root CA", thumbprint: "A8985D3A65E5E5C4B2D7D66D40C6DD2FB19C5436" },
    KnownRoot { name: "DigiCert Global Root G2", thumbprint: "DF3C24F9BFD666761B268073FE06D1CC8D4F82A4" },
    KnownRoot { name: "DigiCert Global Root G3", thumbprint: "7E04DE896A3E666D00E687D33FFAD93BE83D349E" },
    KnownRoot {
        name: "DigiCert TLS ECC P384 Root G5",
        thumbprint: "17F3DE5E9F0F19E98EF61F32266E20C407AE30EE",
    },
    KnownRoot {
        name: "DigiCert TLS RSA4096 Root G5",
        thumbprint: "A78849DC5D7C758C8CDE399856B3AAD0B2A57135",
    },
    KnownRoot {
        name: "Microsoft ECC Root Certificate Authority 2017",
        thumbprint: "999A64C37FF47D9FAB95F14769891460EEC4C3C5",
    },
    KnownRoot {
        name: "Microsoft RSA Root Certificate Authority 2017",
        thumbprint: "73A5E64A3BFF8316FF0EDCCC618A906E4EAE4D74",
    },
];

/// What a certificate of ours is for.
#[derive(Debug, Clone, Copy)]
pub struct Duty<'a> {
    /// The trunk it is shown to.
    pub trunk: &'a TrunkId,
    /// Our name there.
    pub fqdn: Option<&'a str>,
    /// Whether the rules of Direct Routing hold.
    pub microsoft: bool,
}

/// Judges a chain of ours, our certificate first. `roots` are those of the system, for telling whether the chain is
/// complete; without any, that is told by its length. `now` is Unix time in seconds.
#[must_use]
pub fn examine(
    id: &CertificateId,
    chain: &[impl AsRef<[u8]>],
    duties: &[Duty<'_>],
    roots: &[impl AsRef<[u8]>],
    now: i64,
) -> Vec<Finding> {
    let mut report = Report { path: format!("certificate[{}]", id.as_str()), findings: Vec::new() };
    let parsed: Result<Vec<_>, _> =
        chain.iter().map(|der| X509Certificate::from_der(der.as_ref()).map(|(_, read)| read)).collect();
    let Ok([end, above @ ..]) = parsed.as_deref() else {
        report.error(
            Code::CertificateUnreadable,
            "the file holds no certificate that can be read".to_owned(),
            "write the certificate in PEM, then every intermediate".to_owned(),
        );
        return report.findings;
    };
    let microsoft = duties.iter().any(|duty| duty.microsoft);
    report.order(end, above, roots, microsoft);
    report.dates(end, above, now);
    report.usage(end);
    report.key(end, microsoft);
    for duty in duties {
        report.names(end, duty);
    }
    report.findings
}

/// The roots of Microsoft's proxies that a store lacks. `roots` are the octets of its certificates.
#[must_use]
pub fn missing_roots(roots: &[impl AsRef<[u8]>]) -> Vec<KnownRoot> {
    let thumbprints: Vec<String> = roots.iter().map(|der| thumbprint(der.as_ref())).collect();
    MICROSOFT_ROOTS.into_iter().filter(|root| !thumbprints.iter().any(|own| own == root.thumbprint)).collect()
}

/// The finding on a trunk of Direct Routing whose store of roots lacks some of Microsoft's.
#[must_use]
pub fn examine_roots(trunk: &TrunkId, roots: &[impl AsRef<[u8]>]) -> Option<Finding> {
    let missing = missing_roots(roots);
    if missing.is_empty() {
        return None;
    }
    let listed: Vec<String> =
        missing.iter().map(|root| format!("{} ({})", root.name, root.thumbprint)).collect();
    let mut report =
        Report { path: format!("trunk[{}].tls.roots_file", trunk.as_str()), findings: Vec::new() };
    let message = format!(
        "{} of the roots of Microsoft's proxies are not believed: {}",
        missing.len(),
        listed.join(", ")
    );
    let remedy = "add them to the store of this machine, or to the file of roots".to_owned();
    // With none of them no call is possible; with some, those of today may be.
    if missing.len() == MICROSOFT_ROOTS.len() {
        report.error(Code::CertificateRoots, message, remedy);
    } else {
        report.warn(Code::CertificateRoots, message, remedy);
    }
    report.findings.pop()
}

/// The SHA-1 by which administrators know a certificate, in upper-case hexadecimal.
#[must_use]
pub fn thumbprint(der: &[u8]) -> String {
    Sha1::digest(der).iter().map(|octet| format!("{octet:02X}")).collect()
}

struct Report {
    path: String,
    findings: Vec<Finding>,
}

impl Report {
    fn order(
        &mut self,
        end: &X509Certificate<'_>,
        above: &[X509Certificate<'_>],
        roots: &[impl AsRef<[u8]>],
        microsoft: bool,
    ) {
        if end.subject() == end.issuer() {
            let message = "the certificate is signed by itself".to_owned();
            let remedy = "get one from a public authority; Microsoft takes those of its Trusted Root Program"
                .to_owned();
            match microsoft {
                true => self.error(Code::CertificateSelfSigned, message, remedy),
                false => self.warn(Code::CertificateSelfSigned, message, remedy),
            }
            return;
        }
        let mut below = end;
        for (at, next) in above.iter().enumerate() {
            if below.issuer() != next.subject() {
                self.error(
                    Code::CertificateChain,
                    format!("certificate {} of the file did not sign the one before it", at + 2),
                    "write our certificate first, then each authority above it in turn".to_owned(),
                );
                return;
            }
            below = next;
        }
        if below.subject() == below.issuer() {
            return; // the root itself is there, which is more than needed
        }
        let known = |der: &[u8]| {
            X509Certificate::from_der(der).is_ok_and(|(_, root)| root.subject() == below.issuer())
        };
        let complete =
            if roots.is_empty() { !above.is_empty() } else { roots.iter().any(|der| known(der.as_ref())) };
        if !complete {
            let message =
                format!("the chain ends below {}, which is no root that this machine knows", below.issuer());
            let remedy =
                "append the missing intermediates; they stand on the page of the authority".to_owned();
            // A private authority is a carrier's own affair, and Microsoft refuses it.
            match microsoft || above.is_empty() {
                true => self.error(Code::CertificateChain, message, remedy),
                false => self.warn(Code::CertificateChain, message, remedy),
            }
        }
    }

    fn dates(&mut self, end: &X509Certificate<'_>, above: &[X509Certificate<'_>], now: i64) {
        let renew = || "renew it; a changed file is taken over while calls go on".to_owned();
        if end.validity().not_before.timestamp() > now {
            let message = "the certificate is not valid yet".to_owned();
            self.error(Code::CertificateExpiry, message, "set the clock of this machine, or wait".to_owned());
        }
        let left = end.validity().not_after.timestamp().saturating_sub(now);
        if left < 0 {
            self.error(Code::CertificateExpiry, "the certificate has run out".to_owned(), renew());
        } else if left < EXPIRY_WARNING_DAYS * DAY_S {
            let message = format!("the certificate runs out in {} days", left / DAY_S);
            self.warn(Code::CertificateExpiry, message, renew());
        }
        for over in above.iter().filter(|over| over.validity().not_after.timestamp() < now) {
            let message = format!("the certificate of {} above it has run out", over.subject());
            self.error(
                Code::CertificateExpiry,
                message,
                "replace it by the authority's present one".to_owned(),
            );
        }
    }

    fn usage(&mut self, end: &X509Certificate<'_>) {
        let Ok(Some(usage)) = end.extended_key_usage() else { return }; // none said is every use
        let usage = usage.value;
        if !usage.server_auth && !usage.any {
            let message = "the certificate is not for servers (no serverAuth)".to_owned();
            self.error(Code::CertificateUsage, message, "order one for TLS servers".to_owned());
        }
        if !usage.client_auth && !usage.any {
            let message = "the certificate is not for clients (no clientAuth)".to_owned();
            let remedy = "public authorities stop issuing it in 2026 and Microsoft stops asking for it; a carrier may \
                          still want it"
                .to_owned();
            self.warn(Code::CertificateUsage, message, remedy);
        }
    }

    fn key(&mut self, end: &X509Certificate<'_>, microsoft: bool) {
        let fault = match end.public_key().parsed() {
            Ok(PublicKey::RSA(key)) if key.key_size() >= RSA_BITS_MIN => return,
            Ok(PublicKey::RSA(key)) => format!("its RSA key has {} bits", key.key_size()),
            Ok(_) | Err(_) if microsoft => {
                "its key is not RSA, and Microsoft's cipher suites all are".to_owned()
            }
            Ok(_) | Err(_) => return,
        };
        let remedy = format!("order one with an RSA key of {RSA_BITS_MIN} bits or more");
        self.error(Code::CertificateKey, fault, remedy);
    }

    fn names(&mut self, end: &X509Certificate<'_>, duty: &Duty<'_>) {
        let Some(fqdn) = duty.fqdn else { return };
        let mut names: Vec<&str> = Vec::new();
        if let Ok(Some(alternatives)) = end.subject_alternative_name() {
            names.extend(alternatives.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(*name),
                _ => None,
            }));
        }
        names.extend(end.subject().iter_common_name().filter_map(|name| name.as_str().ok()));
        if names.iter().filter_map(|name| CertificateName::parse(name)).any(|name| name.covers(fqdn)) {
            return;
        }
        let below_a_star = names.iter().find(|name| {
            name.strip_prefix('*').is_some_and(|parent| fqdn.ends_with(&parent.to_ascii_lowercase()))
        });
        let message = match below_a_star {
            Some(star) => format!(
                "it bears {star}, and a star is one label, so it does not cover {fqdn} of trunk {}",
                duty.trunk.as_str()
            ),
            None => format!("it does not bear {fqdn}, our name on trunk {}", duty.trunk.as_str()),
        };
        self.error(Code::CertificateName, message, format!("order one that bears {fqdn}"));
    }

    fn error(&mut self, code: Code, message: String, remedy: String) {
        self.push(Severity::Error, code, message, remedy);
    }

    fn warn(&mut self, code: Code, message: String, remedy: String) {
        self.push(Severity::Warning, code, message, remedy);
    }

    fn push(&mut self, severity: Severity, code: Code, message: String, remedy: String) {
        // What stands in another file has no place in this one: whoever has the text may look for it.
        let path = self.path.clone();
        self.findings.push(Finding { severity, code, line: 1, column: 1, path, message, remedy });
    }
}
