//! Calls that come with a PASSporT (RFC 8224): what it attests is told, and nothing is decided by it.

use super::*;
use crate::call::door::Attestation;

/// `{"alg":"ES256","ppt":"shaken"}` and `{"attest":"B"}`, and what would be a signature.
const PARTIAL: &str =
    "eyJhbGciOiJFUzI1NiIsInBwdCI6InNoYWtlbiJ9.eyJhdHRlc3QiOiJCIn0.c2ln;info=<https://c.example/p>;ppt=shaken";

fn attested(headers: &str) -> Option<Attestation> {
    let mut house = House::new();
    house.hears(udp(CARRIER), &invite("a", headers, &offer("0", "")));
    house.came().from.attestation
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
}
