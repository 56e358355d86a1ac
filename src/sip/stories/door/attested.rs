//! Calls that come with a PASSporT (RFC 8224): what it attests is told, nothing is decided by it, and it goes on only where that
//! is wanted and while it fits.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::call::journey::{Attestation, Verstat};

/// `{"alg":"ES256","ppt":"shaken"}` and `{"attest":"B"}`, and what would be a signature.
const PARTIAL: &str =
    "eyJhbGciOiJFUzI1NiIsInBwdCI6InNoYWtlbiJ9.eyJhdHRlc3QiOiJCIn0.c2ln;info=<https://c.example/p>;ppt=shaken";

fn attested(headers: &str) -> Option<Attestation> {
    let mut house = House::new();
    house.hears(udp(CARRIER), &invite("a", headers, &offer("0", "")));
    house.came().from.journey.passport.as_ref().map(|passport| passport.level)
}

#[test]
fn what_a_carrier_hands_on_is_told() {
    assert_eq!(attested(&format!("Identity: {PARTIAL}\n")), Some(Attestation::Partial));
    assert_eq!(attested(&format!("y: {PARTIAL}\n")), Some(Attestation::Partial), "its compact form");
    assert_eq!(attested(&format!("Identity: nonsense\nIdentity: {PARTIAL}\n")), Some(Attestation::Partial));
}

#[test]
fn a_call_with_nonsense_or_nothing_comes_in_all_the_same() {
    assert_eq!(attested(""), None);
    assert_eq!(attested("Identity: ..;;,\n"), None);
}

#[test]
fn what_networks_write_behind_a_number_is_not_part_of_it() {
    let marked = invite("a", "", &offer("0", ""))
        .replace(
            "<sip:+15550001@192.0.2.1>",
            "<sip:+15550001;verstat=TN-Validation-Passed@192.0.2.1;user=phone>",
        )
        .replace("INVITE sip:+15550100@", "INVITE sip:+15550100;npdi;rn=+15550000@");
    let mut house = House::new();
    house.hears(udp(CARRIER), &marked);
    let came = house.came();
    assert_eq!((came.from.number.as_str(), came.to.as_str()), ("+15550001", "+15550100"));
    assert_eq!(came.from.journey.verstat, Some(Verstat::Passed), "and the carrier's word is told");
}

/// The Identity of a call from this number to that.
fn identity(orig: &str, dest: &str) -> String {
    let claims = format!(
        r#"{{"attest":"A","dest":{{"tn":["{dest}"]}},"iat":1795000000,"orig":{{"tn":"{orig}"}},"origid":"1"}}"#
    );
    let [head, claims] =
        [r#"{"alg":"ES256","ppt":"shaken"}"#, &claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{head}.{claims}.c2lnbmF0dXJl;info=<https://cert.example/p.cer>;alg=ES256;ppt=shaken")
}

/// What of a call with this Identity goes on to a trunk with these settings.
fn goes_on(settings: &str, identity: &str, change: impl FnOnce(Caller) -> Caller) -> String {
    let mut house = House::with_two_trunks("", settings);
    house.hears(udp(CARRIER), &invite("a", &format!("Identity: {identity}\n"), &offer("0", "")));
    let from = house.came().from;
    house.goes_on(0, change(from), "beyond").get("Identity").to_owned()
}

#[test]
fn it_goes_on_as_it_came_to_a_trunk_that_wants_it_and_to_no_other() {
    let fits = identity("15550001", "15550123");
    assert_eq!(goes_on("pass_identity = true\n", &fits, |from| from), fits, "to the octet");
    assert_eq!(goes_on("", &fits, |from| from), "");
    // How the trunk writes numbers changes nothing in who calls whom.
    let national = "pass_identity = true\ncaller_numbers_out = [{ strip_plus = true }]\nnumbers_out = [{ add_prefix = \"9\" }]\n";
    assert_eq!(goes_on(national, &fits, |from| from), fits);
}

#[test]
fn it_stays_behind_when_it_speaks_of_another_call_or_of_one_who_is_not_shown() {
    let wants = "pass_identity = true\n";
    let fits = identity("15550001", "15550123");
    for other in [identity("15550002", "15550123"), identity("15550001", "15550100"), identity("", "")] {
        assert_eq!(goes_on(wants, &other, |from| from), "");
    }
    assert_eq!(goes_on(wants, &fits, |from| Caller { number: "+15550009".into(), ..from }), "");
    assert_eq!(goes_on(wants, &fits, |from| Caller { private: true, ..from }), "");
}
