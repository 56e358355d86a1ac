//! Where requests inside a dialog go, and what they carry.

use super::*;

/// As opaque as Microsoft's.
const OPAQUE: &str = "sip:sip-du-a-eu.example.com:5061;x-i=0f~%41;x-c=a/b/d/8/8c!;transport=tls;lr;x=\u{e9}";

#[test]
fn record_routes_and_contact_go_back_byte_for_byte_to_a_caller() {
    let mut solo = Solo::new();
    let more =
        format!("Record-Route: <{OPAQUE}>;own=1,<sip:p2.example.com;lr>\nRecord-Route: <sip:192.0.2.7;lr>\n");
    let invite =
        an_invite("a", &more).replace("<sip:carol@192.0.2.1:5060>", "<sip:c@[2001:db8::1]:99;ob;a=%2B?h=1>");
    solo.hears(&invite);
    let id = solo.incoming[0].session;
    solo.endpoint.accept(solo.now, id, sdp(ANSWER)).unwrap();
    let ok = solo.collect().remove(0);
    assert_eq!(
        ok.all("Record-Route").join(","),
        format!("<{OPAQUE}>;own=1,<sip:p2.example.com;lr>,<sip:192.0.2.7;lr>")
    );
    solo.hears(&a_request("ACK", "k", &ok.tag("To"), 1, ""));
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    let bye = solo.collect().remove(0);
    assert_eq!(bye.line(), "BYE sip:c@[2001:db8::1]:99;ob;a=%2B SIP/2.0");
    assert_eq!(
        bye.all("Route"),
        [&format!("<{OPAQUE}>;own=1"), "<sip:p2.example.com;lr>", "<sip:192.0.2.7;lr>"]
    );
    // The first route is a name: without a resolver here, the request goes where the INVITE came from.
    assert_eq!(solo.sent.last().unwrap().0.remote, solo.peer.remote);
}

#[test]
fn the_caller_reverses_the_routes_and_sends_to_the_first() {
    let mut solo = Solo::new();
    let (_, invite) = solo.dials(|_| {});
    let more = "Record-Route: <sip:192.0.2.71;lr>\nRecord-Route: <sip:192.0.2.72:5080;lr>\nContact: <sip:c@10.0.0.1>\n";
    let ack = solo.hears(&invite.answered("200 OK", "t", more)).remove(0);
    assert_eq!(ack.line(), "ACK sip:c@10.0.0.1 SIP/2.0");
    assert_eq!(ack.all("Route"), ["<sip:192.0.2.72:5080;lr>", "<sip:192.0.2.71;lr>"]);
    assert_eq!(
        solo.sent.last().unwrap().0.remote,
        "192.0.2.72:5080".parse::<std::net::SocketAddr>().unwrap()
    );
    assert_eq!(ack.get("CSeq"), invite.get("CSeq").replace("INVITE", "ACK"));
}

#[test]
fn a_strict_router_becomes_the_request_uri() {
    let mut solo = Solo::new();
    let (_, invite) = solo.dials(|_| {});
    let more = "Record-Route: <sip:192.0.2.71;lr>, <sip:192.0.2.72>\nContact: <sip:c@10.0.0.1>\n";
    let ack = solo.hears(&invite.answered("200 OK", "t", more)).remove(0);
    assert_eq!(ack.line(), "ACK sip:192.0.2.72 SIP/2.0");
    assert_eq!(ack.all("Route"), ["<sip:192.0.2.71;lr>", "<sip:c@10.0.0.1>"]);
}

#[test]
fn a_new_contact_in_a_reinvite_becomes_the_target() {
    let mut solo = Solo::new();
    let (id, tag) = solo.is_called();
    let more = format!("Content-Type: application/sdp\n\n{OFFER}");
    let moved =
        a_request("INVITE", "r", &tag, 2, &more).replace("carol@192.0.2.1:5060", "carol@192.0.2.66:6000");
    solo.hears(&moved);
    solo.endpoint.answer_reinvite(solo.now, id, Ok(sdp(ANSWER))).unwrap();
    solo.hears(&a_request("ACK", "k2", &tag, 2, ""));
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    let bye = solo.collect().pop().unwrap();
    assert_eq!(bye.line(), "BYE sip:carol@192.0.2.66:6000 SIP/2.0");
    assert_eq!(
        solo.sent.last().unwrap().0.remote,
        "192.0.2.66:6000".parse::<std::net::SocketAddr>().unwrap()
    );
}

#[test]
fn a_caller_behind_nat_is_answered_and_hung_up_where_it_came_from() {
    let mut solo = Solo::new();
    solo.peer.remote = "198.51.100.7:61234".parse().unwrap();
    let invite = an_invite("a", "").replace("192.0.2.1:5060", "10.1.1.1:5060");
    solo.hears(&invite);
    let id = solo.incoming[0].session;
    solo.endpoint.accept(solo.now, id, sdp(ANSWER)).unwrap();
    let tag = solo.collect()[0].tag("To");
    solo.hears(&a_request("ACK", "k", &tag, 1, ""));
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    solo.collect();
    let (to, bye) = solo.sent.last().unwrap();
    assert_eq!(bye.line(), "BYE sip:carol@10.1.1.1:5060 SIP/2.0");
    assert_eq!(to.remote, solo.peer.remote);
}

#[test]
fn a_call_over_tcp_stays_on_its_connection() {
    let mut solo = Solo::new();
    solo.peer.transport = Transport::Tcp;
    solo.peer.connection = Some(ConnectionId(7));
    solo.peer.remote = "192.0.2.1:40000".parse().unwrap();
    let (id, tag) = {
        solo.hears(&an_invite("a", "").replace("/UDP", "/TCP"));
        let id = solo.incoming[0].session;
        solo.endpoint.accept(solo.now, id, sdp(ANSWER)).unwrap();
        (id, solo.collect()[0].tag("To"))
    };
    solo.hears(&a_request("ACK", "k", &tag, 1, "").replace("/UDP", "/TCP"));
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    solo.collect();
    assert!(solo.sent.iter().all(|(to, _)| to.connection == Some(ConnectionId(7))));
    assert!(solo.sent.last().unwrap().1.get("Via").starts_with("SIP/2.0/TCP"));
}

#[test]
fn a_phone_that_connects_anew_is_reached_on_the_new_connection() {
    let mut solo = Solo::new();
    solo.peer.transport = Transport::Tcp;
    solo.peer.connection = Some(ConnectionId(7));
    let tcp = |text: String| text.replace("/UDP", "/TCP");
    solo.hears(&tcp(an_invite("a", "")));
    let id = solo.incoming[0].session;
    solo.endpoint.accept(solo.now, id, sdp(ANSWER)).unwrap();
    let tag = solo.collect()[0].tag("To");
    solo.hears(&tcp(a_request("ACK", "k", &tag, 1, "")));
    solo.peer.connection = Some(ConnectionId(8));
    // Somebody who does not know the dialog moves nothing.
    let guess = tcp(a_request("OPTIONS", "g", &tag, 2, "")).replace("tag=carol", "tag=guess");
    assert!(solo.hears(&guess)[0].line().starts_with("SIP/2.0 481"));
    solo.endpoint.reinvite(solo.now, id, Some(sdp(OFFER))).unwrap();
    let reinvite = solo.collect().remove(0);
    assert_eq!(solo.sent.last().unwrap().0.connection, Some(ConnectionId(7)));
    solo.hears(&reinvite.answered("488 Not Acceptable Here", "", ""));

    solo.hears(&tcp(a_request("OPTIONS", "o", &tag, 3, "")));
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    solo.collect();
    assert_eq!(solo.sent.last().unwrap().0.connection, Some(ConnectionId(8)));
}

#[test]
fn more_routes_than_a_loop_has_hops_are_refused() {
    let mut solo = Solo::new();
    let more = "Record-Route: <sip:192.0.2.7;lr>\n".repeat(40);
    let said = solo.hears(&an_invite("a", &more));
    assert!(said.last().unwrap().line().starts_with("SIP/2.0 400"));
    solo.assert_nothing_is_left();
}
