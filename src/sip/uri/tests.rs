//! URIs as RFC 3261 compares them and as peers write them.

use std::net::Ipv4Addr;

use super::{Host, Scheme, Uri, UriError, escape_header};

fn uri(text: &str) -> Uri {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn microsofts_opaque_parameters_come_back_as_they_were() {
    let raw = "sip:api-du-a-euwe.pstnhub.microsoft.com:443;x-i=9f0a%2d1;x-c=a/b:c;x-m=8:orgid:11-22/33;transport=TLS";
    let uri = uri(raw);
    assert_eq!(uri.to_string(), raw);
    assert_eq!(uri.param("X-M"), Some(Some("8:orgid:11-22/33")));
    assert_eq!(uri.transport(), Some("TLS"));
    assert_eq!((uri.user(), uri.port()), (None, Some(443)));
}

#[test]
fn an_escaped_address_in_the_user_part_stays_in_the_user_part() {
    let uri = uri("sip:sips%3Auser%40example.com@example.net");
    assert_eq!(uri.user(), Some("sips%3Auser%40example.com"));
    assert_eq!(uri.user_unescaped().as_deref(), Some("sips:user@example.com"));
    assert_eq!(uri.host(), Some("example.net".parse().unwrap()));
}

#[test]
fn hosts_are_names_or_addresses_with_optional_port() {
    let v6 = uri("sip:a:secret@[2001:db8::1]:5070;lr");
    assert_eq!(v6.host().and_then(|h| h.ip()), Some("2001:db8::1".parse().unwrap()));
    assert_eq!((v6.password(), v6.port(), v6.is_loose_router()), (Some("secret"), Some(5070), true));
    assert_eq!(uri("sip:192.0.2.1").host(), Some(Host::V4(Ipv4Addr::new(192, 0, 2, 1))));
    for (bad, why) in [
        ("sip:", UriError::Host),
        ("sip:@", UriError::Host),
        ("sip:a@[::1", UriError::Host),
        ("sip:a@b@c", UriError::Host),
        ("sip:a@[::1]x", UriError::Host),
        ("sip:h:0", UriError::Port),
        ("sip:h:65536", UriError::Port),
        ("sip:h:", UriError::Port),
        ("sip:h;;lr", UriError::Empty),
        ("sip:h;", UriError::Empty),
        ("tel:", UriError::Empty),
        ("x:", UriError::Empty),
        ("user@host", UriError::Scheme),
        ("5:x", UriError::Scheme),
        ("sip:a b@h", UriError::Character),
        ("<sip:h>", UriError::Character),
    ] {
        assert_eq!(bad.parse::<Uri>(), Err(why), "{bad}");
    }
}

#[test]
fn a_telephone_number_is_the_user_of_its_uri() {
    let tel = uri("tel:+49-30-1234;ext=7;phone-context=example.com");
    assert_eq!((tel.scheme(), tel.user()), (Scheme::Tel, Some("+49-30-1234")));
    assert_eq!(tel.param("ext"), Some(Some("7")));
    assert!(tel.equivalent(&uri("TEL:+49301234;phone-context=EXAMPLE.com;ext=7")));
    assert!(!tel.equivalent(&uri("tel:+49301235;ext=7;phone-context=example.com")));
}

#[test]
fn rfc_3261_19_1_4_equal_pairs_are_equal_both_ways() {
    for (a, b) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
    ] {
        assert!(uri(a).equivalent(&uri(b)) && uri(b).equivalent(&uri(a)), "{a} {b}");
    }
}

#[test]
fn rfc_3261_19_1_4_unequal_pairs_differ_both_ways() {
    for (a, b) in [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=off", "sip:carol@chicago.com;security=on"),
        ("sip:null-%00-null@example.com", "sip:null-%00%00-null@example.com"),
        ("sip:a;b@example.com", "sip:a%3Bb@example.com"),
        ("sip:a@example.com", "sips:a@example.com"),
    ] {
        assert!(!uri(a).equivalent(&uri(b)) && !uri(b).equivalent(&uri(a)), "{a} {b}");
    }
}

#[test]
fn a_constructed_uri_escapes_what_could_break_out() {
    let host = "example.com".parse().unwrap();
    let made = Uri::sip(Some("a b>@\r\nX"), &host, Some(5060)).unwrap();
    assert_eq!(made.as_str(), "sip:a%20b%3E%40%0D%0AX@example.com:5060");
    assert_eq!(made.user_unescaped().as_deref(), Some("a b>@\r\nX"));
    let made = uri("sip:h?a=b").with_param("x y", Some("1;2")).unwrap();
    assert_eq!(made.as_str(), "sip:h;x%20y=1%3B2?a=b");
    assert_eq!(made.without_headers().as_str(), "sip:h;x%20y=1%3B2");
    let at = Uri::sip_at(None, "[::1]:5060".parse().unwrap()).unwrap();
    assert_eq!(at.as_str(), "sip:[::1]:5060");
}

#[test]
fn a_refer_to_uri_yields_its_embedded_replaces() {
    let refer = uri("sip:b@h?Replaces=12%40x%3Bto-tag%3D1%3Bfrom-tag%3D2&Require=replaces");
    let all: Vec<_> = refer.headers().collect();
    assert_eq!(all[0], ("Replaces".into(), "12@x;to-tag=1;from-tag=2".into()));
    assert_eq!(all[1], ("Require".into(), "replaces".into()));
    assert_eq!(escape_header("12@x;to-tag=1"), "12%40x%3Bto-tag%3D1");
}
