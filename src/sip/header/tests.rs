//! Header values, as RFC 3261 writes them and as peers do.

use bytes::Bytes;

use super::name::ALL;
use super::{BadValue, CSeq, Method, Name, NameAddr, Reason, parse_retry_after};

fn address(raw: &'static [u8]) -> NameAddr {
    NameAddr::parse(Bytes::from_static(raw)).unwrap()
}

#[test]
fn every_name_is_found_in_any_case_and_compact_forms_fold() {
    for name in ALL {
        assert_eq!(Name::from_bytes(name.as_str().to_ascii_uppercase().as_bytes()), *name);
    }
    assert_eq!(
        [b"v", b"M", b"x", b"q"].map(|n| Name::from_bytes(n)),
        [Name::Via, Name::Contact, Name::SessionExpires, Name::Other]
    );
}

#[test]
fn a_latin_1_name_is_shown_replaced_and_sent_on_as_it_came() {
    let from = address(b"M\xfcller<sip:m@example.com>;tag=1");
    assert_eq!(from.display_name().unwrap(), "M\u{fffd}ller");
    assert_eq!(&from.to_bytes()[..], b"M\xfcller <sip:m@example.com>;tag=1");
}

#[test]
fn without_brackets_parameters_belong_to_the_header() {
    let to = address(b"sip:b@example.com;tag=7");
    assert_eq!((to.uri.as_str(), to.tag().unwrap().as_str()), ("sip:b@example.com", "7"));
    let to = address(b"<sip:b@example.com;tag=7>");
    assert_eq!(to.tag(), None);
}

#[test]
fn a_retagged_address_keeps_its_other_parameters() {
    let to = address(b"<sip:b@example.com>;x=\"a;b\";tag=1").with_tag("2");
    assert_eq!(to.to_string(), "<sip:b@example.com>;x=\"a;b\";tag=2");
}

#[test]
fn numbers_have_their_ranges() {
    assert_eq!(CSeq::parse(Bytes::from_static(b"2147483648 BYE")), Err(BadValue::OutOfRange));
    assert_eq!(CSeq::parse(Bytes::from_static(b"2147483647  BYE")).unwrap().method, Method::Bye);
    assert_eq!(parse_retry_after(b"120 (busy);duration=9"), Ok(120));
    assert_eq!(parse_retry_after(b"soon"), Err(BadValue::Malformed));
}

#[test]
fn a_reason_reads_and_writes_its_quoted_text() {
    let raw = Bytes::from_static(b"Q.850;cause=16;text=\"Normal; \\\"call\\\" clearing\"");
    let reason = Reason::parse(raw.clone()).unwrap();
    assert_eq!((reason.cause, reason.text.as_deref()), (Some(16), Some("Normal; \"call\" clearing")));
    assert_eq!(reason.to_string().as_bytes(), &raw[..]);
}
