//! Where a caller is goes on with a call to an emergency service, to the octet (RFC 6442), over a trunk that wants it.

use super::*;

/// As Microsoft encloses it, with blanks, a comment and a line that looks like the end.
const PIDF: &str = "Content-Type: application/pidf+xml\r\nContent-ID: <loc1@sip.pstnhub.microsoft.com>\r\n\
    Content-Disposition: render;handling=optional\r\n\r\n\
    <?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<presence  entity=\"pres:a@b\">\r\n <!-- --b7 -->\r\n\t<civicAddress>1</civicAddress>\r\n\
    </presence>\r\n";

const HEADERS: &str = "Geolocation: <cid:loc1@sip.pstnhub.microsoft.com>;inserted-by=\"sip.pstnhub.microsoft.com\"\nGeolocation-Routing: yes\n";

/// An INVITE of the carrier's with a description and these further parts.
fn enclosing(parts: &[&str]) -> String {
    let mut body = format!("--b7\r\nContent-Type: application/sdp\r\n\r\n{}\r\n", offer("0", ""));
    for part in parts {
        body.push_str(&format!("--b7\r\n{part}\r\n"));
    }
    body.push_str("--b7--\r\n");
    let head = invite("a", HEADERS, "");
    format!("{head}Content-Type: multipart/mixed; boundary=b7\n\n{body}")
}

/// The house, and the call that came with this in it.
fn came_with(settings: &str, parts: &[&str]) -> (House, Caller) {
    let mut house = House::with_two_trunks("", settings);
    let said = house.hears(udp(CARRIER), &enclosing(parts));
    assert_eq!(said[0].line(), "SIP/2.0 100 Trying");
    let came = house.came();
    assert!(!came.codecs.is_empty(), "the description is found beside it");
    (house, came.from)
}

/// The place the INVITE goes to takes it over TCP: it is a large one.
fn answered_by_stream(house: &mut House, invite: &Said, status: &str) -> Vec<Said> {
    let peer = Peer { transport: Transport::Tcp, connection: Some(ConnectionId(4)), ..udp("192.0.2.9:5060") };
    house.hears(peer, &invite.answered(status, "far", ""))
}

#[test]
fn the_location_goes_on_to_the_octet_beside_a_description_of_ours() {
    let (mut house, from) = came_with("pidf_lo = true\n", &[PIDF]);
    let on = house.goes_on(0, from, "beyond");
    let said = "<cid:loc1@sip.pstnhub.microsoft.com>;inserted-by=\"sip.pstnhub.microsoft.com\"";
    assert_eq!((on.get("Geolocation"), on.get("Geolocation-Routing")), (said, "yes"));
    let kind = on.get("Content-Type");
    let boundary = kind.strip_prefix("multipart/mixed;boundary=\"").unwrap().trim_end_matches('"');
    let parts: Vec<&str> = on.body().split(&format!("--{boundary}")).collect();
    assert_eq!(parts.len(), 4, "nothing before, two parts, the end: {}", on.body());
    assert!(parts[1].starts_with("\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n"), "{}", parts[1]);
    assert!(
        parts[1].contains("c=IN IP4 192.0.2.2\r\n") && !parts[1].contains("192.0.2.1"),
        "ours: {}",
        parts[1]
    );
    assert_eq!(parts[2], format!("\r\n{PIDF}\r\n"), "theirs, to the octet");
    assert_eq!(parts[3], "--\r\n");
    assert_eq!(on.get("Content-Length"), on.body().len().to_string());
}

#[test]
fn a_trunk_that_does_not_want_it_gets_the_description_alone() {
    let (mut house, from) = came_with("", &[PIDF]);
    assert!(from.journey.location.is_some());
    let on = house.goes_on(0, from, "beyond");
    assert_eq!((on.get("Content-Type"), on.get("Geolocation")), ("application/sdp", ""));
    assert!(!on.0.contains("pidf") && !on.0.contains("Geolocation"), "{}", on.0);
}

#[test]
fn a_reference_alone_goes_on_as_a_line_and_what_else_is_enclosed_stays_behind() {
    let other = "Content-Type: application/vnd.secret+xml\r\n\r\n<secret/>\r\n";
    let (mut house, from) = came_with("pidf_lo = true\n", &[other]);
    let on = house.goes_on(0, from, "beyond");
    assert_eq!(on.get("Content-Type"), "application/sdp");
    assert!(on.get("Geolocation").starts_with("<cid:loc1@") && !on.0.contains("secret"), "{}", on.0);
}

#[test]
fn a_call_whose_location_is_refused_is_placed_without_it() {
    for refusal in ["415 Unsupported Media Type", "424 Bad Location Information"] {
        let (mut house, from) = came_with("pidf_lo = true\n", &[PIDF]);
        let first = house.goes_on(0, from, "beyond");
        let said = answered_by_stream(&mut house, &first, refusal);
        assert!(said[0].line().starts_with("ACK "), "{}", said[0].0);
        let again = &said[1];
        assert!(again.line().starts_with("INVITE "), "{}", again.0);
        assert_eq!((again.get("Content-Type"), again.get("Geolocation")), ("application/sdp", ""));
        assert_eq!((again.get("Call-ID"), again.tag("From")), (first.get("Call-ID"), first.tag("From")));
        assert!(house.told().is_empty(), "the call does not hear of it");
        // Once: without a location such a refusal is one.
        house.hears(udp("192.0.2.9:5060"), &again.answered(refusal, "far", ""));
        assert!(matches!(&house.events()[..], [LegEvent::Ended(_)]));
    }
}

#[test]
fn what_is_too_long_or_too_many_is_left_out_and_the_call_comes_in() {
    let long = format!("Content-Type: application/pidf+xml\r\n\r\n{}\r\n", "x".repeat(20_000));
    let (_, from) = came_with("", &[&long, PIDF, PIDF, PIDF, PIDF, PIDF]);
    let location = from.journey.location.as_ref().unwrap();
    assert_eq!((location.parts.len(), location.lines.len()), (4, 2));
    assert!(location.parts.iter().all(|part| part.0 == PIDF), "the long one is not among them");
    assert!(!format!("{location:?}").contains("civic"), "it names a place, and is not printed");
}
