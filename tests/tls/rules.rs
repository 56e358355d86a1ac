//! What `sidetone check` says of a certificate of ours, with certificates of every kind.

use rustls::pki_types::CertificateDer;
use sbc_config::{
    CertificateId, Code, Duty, Finding, MICROSOFT_ROOTS, Severity, TrunkId, examine_certificate,
    examine_roots, missing_roots, thumbprint,
};
use sidetone::sim::authority::{Leaf, Usage, Wanted};
use sidetone::tls::Identity;

use crate::town::{OURS, Town, chain};

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

/// The findings on this chain, shown to a trunk of Direct Routing that knows us by `fqdn`.
fn found(town: &Town, chain: &[CertificateDer<'_>], fqdn: &str) -> Vec<(Severity, Code)> {
    let trunk = TrunkId::new("teams").expect("an id");
    let duty = Duty { trunk: &trunk, fqdn: Some(fqdn), microsoft: true };
    let id = CertificateId::new("sbc1").expect("an id");
    let roots = [pem(town.authority.root())];
    let all = examine_certificate(&id, chain, &[duty], &roots, now());
    assert!(all.iter().all(|finding| !finding.remedy.is_empty() && finding.path == "certificate[sbc1]"));
    all.iter().map(|Finding { severity, code, .. }| (*severity, *code)).collect()
}

fn pem(text: &str) -> CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(text.as_bytes()).expect("a certificate")
}

fn of(town: &Town, wanted: &Wanted) -> Vec<(Severity, Code)> {
    found(town, &chain(&town.leaf(wanted)), OURS)
}

use Severity::{Error, Warning};

#[test]
fn a_good_certificate_has_no_finding_and_a_wildcard_is_good_for_one_label() {
    let town = Town::new();
    assert_eq!(of(&town, &Wanted::new([OURS]).rsa()), []);
    assert_eq!(of(&town, &Wanted::new(["*.example.com"]).rsa()), []);
    let deep = Wanted::new(["*.com"]).rsa();
    assert_eq!(of(&town, &deep), [(Error, Code::CertificateName)]);
}

#[test]
fn every_fault_is_found_and_all_of_them_at_once() {
    let town = Town::new();
    let good = || Wanted::new([OURS]).rsa();
    let cases = [
        (Wanted::new([OURS]), (Error, Code::CertificateKey)),
        (good().usable_as(Usage::Server), (Warning, Code::CertificateUsage)),
        (good().expired(), (Error, Code::CertificateExpiry)),
        (Wanted { from_days: 2, ..good() }, (Error, Code::CertificateExpiry)),
        (Wanted { until_days: 20, ..good() }, (Warning, Code::CertificateExpiry)),
        (Wanted::new(["sbc2.example.com"]).rsa(), (Error, Code::CertificateName)),
    ];
    for (wanted, expected) in cases {
        assert_eq!(of(&town, &wanted), [expected], "{wanted:?}");
    }
    let worst = Wanted::new(["sbc2.example.com"]).usable_as(Usage::Client).expired();
    let all = of(&town, &worst);
    for expected in
        [Code::CertificateKey, Code::CertificateUsage, Code::CertificateExpiry, Code::CertificateName]
    {
        assert!(all.contains(&(Error, expected)), "{expected}: {all:?}");
    }
}

#[test]
fn a_chain_is_complete_and_in_order_or_it_is_told() {
    let town = Town::new();
    let whole = chain(&town.leaf(&Wanted::new([OURS]).rsa()));
    assert_eq!(found(&town, &whole[..1], OURS), [(Error, Code::CertificateChain)], "no intermediate");
    let elsewhere = chain(&town.other_authority.issue(&Wanted::new([OURS]).rsa()).expect("a certificate"));
    assert_eq!(found(&town, &elsewhere, OURS), [(Error, Code::CertificateChain)], "no root we know");
    let crossed = [whole[0].clone(), elsewhere[1].clone(), whole[1].clone()];
    assert_eq!(found(&town, &crossed, OURS), [(Error, Code::CertificateChain)], "out of order");
    let root = [pem(town.authority.root())];
    let codes: Vec<Code> = found(&town, &root, OURS).into_iter().map(|(_, code)| code).collect();
    assert!(codes.contains(&Code::CertificateSelfSigned), "{codes:?}");
    assert_eq!(found(&town, &[], OURS), [(Error, Code::CertificateUnreadable)]);
    assert_eq!(found(&town, &[b"nonsense".to_vec().into()], OURS), [(Error, Code::CertificateUnreadable)]);
}

#[test]
fn a_key_of_another_certificate_is_refused_and_never_printed() {
    let town = Town::new();
    let (one, two) = (town.of(OURS), town.of(OURS));
    let mixed = Identity::from_pem("sbc1", one.chain.as_bytes(), two.key.as_bytes());
    assert!(mixed.is_err());
    let Leaf { chain, key, .. } = one;
    let good = Identity::from_pem("sbc1", chain.as_bytes(), key.as_bytes()).expect("an identity");
    assert_eq!(format!("{good:?}"), "Identity { id: \"sbc1\", .. }");
}

#[test]
fn microsofts_roots_are_known_by_their_thumbprints() {
    let none: [CertificateDer<'_>; 0] = [];
    assert_eq!(missing_roots(&none).len(), MICROSOFT_ROOTS.len());
    let trunk = TrunkId::new("teams").expect("an id");
    let finding = examine_roots(&trunk, &none).expect("a finding");
    assert_eq!((finding.severity, finding.code), (Error, Code::CertificateRoots));
    for root in MICROSOFT_ROOTS {
        assert!(root.thumbprint.len() == 40 && finding.message.contains(root.thumbprint));
    }
    // SHA-1 of "abc" (FIPS 180-4, appendix).
    assert_eq!(thumbprint(b"abc"), "A9993E364706816ABA3E25717850C26C9CD0D89D");
}
