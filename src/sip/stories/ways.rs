//! A connection is a way, not a tie: dialogs outlive it, and nobody is known by it. What is said over TLS is never said
//! in clear later.

use super::*;
use crate::sip::flow::TlsWay;

fn tls(connection: u64, remote: &str) -> Peer {
    Peer {
        transport: Transport::Tls,
        remote: remote.parse().unwrap(),
        local: "192.0.2.2:5061".parse().unwrap(),
        connection: Some(ConnectionId(connection)),
        tls: Some(TlsWay(7)),
    }
}

fn over_tls(message: &str) -> String {
    message.replace("SIP/2.0/UDP 192.0.2.1:5060", "SIP/2.0/TLS 192.0.2.1:5061")
}

/// A call over connection 1 that is up; its session and our tag.
fn a_private_call() -> (Solo, SessionId, String) {
    let mut solo = Solo::new();
    solo.peer = tls(1, "192.0.2.1:40001");
    solo.hears(&over_tls(&an_invite("a", "")));
    let id = solo.incoming.last().unwrap().session;
    solo.endpoint.accept(solo.now, id, sdp(ANSWER)).unwrap();
    let ok = solo.collect().remove(0);
    let tag = ok.tag("To");
    assert!(ok.get("Contact").contains(";transport=tls"), "{ok:?}");
    solo.hears(&over_tls(&a_request("ACK", "a-ack", &tag, 1, "")));
    (solo, id, tag)
}

#[test]
fn a_bye_from_another_address_on_another_connection_ends_the_call() {
    let (mut solo, id, tag) = a_private_call();
    solo.peer = tls(2, "192.0.2.77:50002");
    let answers = solo.hears(&over_tls(&a_request("BYE", "b", &tag, 2, "")));
    assert_eq!(answers[0].line(), "SIP/2.0 200 OK");
    let (to, _) = solo.sent.last().unwrap();
    assert_eq!(to.connection, Some(ConnectionId(2)), "the answer goes where the question came from");
    assert!(solo.ended(id).is_some());
    solo.assert_nothing_is_left();
}

#[test]
fn a_re_invite_on_another_connection_is_of_the_same_call() {
    let (mut solo, id, tag) = a_private_call();
    solo.endpoint.connection_gone(solo.now, ConnectionId(1), None);
    solo.peer = tls(2, "192.0.2.77:50002");
    let offer = format!("Content-Type: application/sdp\n\n{OFFER}");
    solo.hears(&over_tls(&a_request("INVITE", "r", &tag, 2, &offer)));
    assert!(matches!(solo.events.last(), Some((same, SessionEvent::Reinvited { .. })) if *same == id));
    solo.endpoint.answer_reinvite(solo.now, id, Ok(sdp(ANSWER))).unwrap();
    let ok = solo.collect().remove(0);
    assert_eq!(ok.line(), "SIP/2.0 200 OK");
}

#[test]
fn a_call_whose_connection_is_gone_is_answered_by_a_new_one_to_where_the_caller_listens() {
    let mut solo = Solo::new();
    solo.peer = tls(1, "192.0.2.1:40001");
    solo.hears(&over_tls(&an_invite("a", "")));
    let id = solo.incoming.last().unwrap().session;
    solo.endpoint.connection_gone(solo.now, ConnectionId(1), None);
    solo.collect();
    assert!(solo.ended(id).is_none(), "the caller still waits");
    solo.endpoint.accept(solo.now, id, sdp(ANSWER)).unwrap();
    solo.collect();
    let (to, ok) = solo.sent.last().unwrap().clone();
    assert_eq!(ok.line(), "SIP/2.0 200 OK");
    // The connection is named, and whoever holds the sockets finds it gone: then the rest of the destination counts.
    assert_eq!((to.remote, to.tls), ("192.0.2.1:5061".parse().unwrap(), Some(TlsWay(7))));
}

#[test]
fn our_bye_goes_by_a_new_connection_when_that_of_the_call_is_gone() {
    let (mut solo, id, _) = a_private_call();
    solo.endpoint.connection_gone(solo.now, ConnectionId(1), None);
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    solo.collect();
    let (to, bye) = solo.sent.last().unwrap();
    assert!(bye.line().starts_with("BYE "));
    assert_eq!((to.remote.port(), to.tls, to.transport), (5061, Some(TlsWay(7)), Transport::Tls));
    assert!(bye.get("Via").starts_with("SIP/2.0/TLS "));
}

#[test]
fn a_request_with_no_answer_yet_fails_with_its_connection_and_one_that_rings_does_not() {
    let mut solo = Solo::new();
    solo.peer = tls(1, "192.0.2.1:5061");
    let (lost, _) = solo.dials(|_| {});
    solo.endpoint.connection_gone(solo.now, ConnectionId(1), None);
    solo.collect();
    assert!(solo.ended(lost).is_some(), "it may never have arrived");

    solo.peer = tls(2, "192.0.2.1:5061");
    let (rings, invite) = solo.dials(|_| {});
    let head = |name: &str| format!("{name}: {}\n", invite.get(name));
    let ringing = format!(
        "SIP/2.0 180 Ringing\n{}{}{}{}To: <sip:carol@192.0.2.1>;tag=c\n",
        head("Via"),
        head("From"),
        head("Call-ID"),
        head("CSeq"),
    );
    solo.hears(&ringing);
    solo.endpoint.connection_gone(solo.now, ConnectionId(2), None);
    solo.collect();
    assert!(solo.ended(rings).is_none(), "its answer may come by another way");
}

/// Contacts and Record-Routes that say nothing of TLS, or speak against it.
const SAID_BESIDE_TLS: [(&str, &str); 8] = [
    ("<sip:c@192.0.2.66>", ""),
    ("<sip:c@192.0.2.66:5061>", ""),
    ("<sip:c@192.0.2.66:5060;transport=udp>", ""),
    ("<sip:c@192.0.2.66;transport=tcp>", ""),
    ("<sip:c@192.0.2.1:5060;transport=UDP>", ""),
    ("<sip:c@pbx.example.com;transport=udp>", ""),
    ("<sip:c@10.0.0.1>", "<sip:192.0.2.66;lr>"),
    ("<sip:c@10.0.0.1>", "<sip:192.0.2.66:5060;transport=udp;lr>"),
];

/// All went over TLS as the same trunk, and to a port where TLS is spoken.
fn assert_private(sent: &[(Destination, Said)], case: (&str, &str)) {
    for (to, message) in sent {
        let line = message.line();
        assert_eq!((to.transport, to.tls), (Transport::Tls, Some(TlsWay(7))), "{line} {case:?}");
        let via = message.get("Via");
        assert!(line.starts_with("SIP/2.0") || via.starts_with("SIP/2.0/TLS "), "{line} {via} {case:?}");
        assert_ne!(to.remote.port(), 5060, "{line} {case:?}");
    }
}

#[test]
fn a_call_of_ours_over_tls_goes_on_over_tls_whatever_contact_and_route_say() {
    for case @ (contact, route) in SAID_BESIDE_TLS {
        for next_hop in [NextHop::Follow, NextHop::ByRoute, NextHop::Pinned] {
            let mut solo = Solo::new();
            solo.peer = tls(1, "192.0.2.1:5061");
            let peer = solo.peer;
            let (id, invite) = solo.dials(|dial| {
                dial.destination = Destination { connection: None, ..Destination::from(peer) };
                dial.next_hop = next_hop;
            });
            let route = if route.is_empty() { String::new() } else { format!("Record-Route: {route}\n") };
            let ok = format!("{route}Contact: {contact}\nContent-Type: application/sdp\n\n{ANSWER}");
            let ack = solo.hears(&invite.answered("200 OK", "t", &ok)).remove(0);
            assert!(ack.line().starts_with("ACK "), "{ack:?}");
            solo.endpoint.reinvite(solo.now, id, Some(sdp(OFFER))).unwrap();
            let reinvite = solo.collect().remove(0);
            solo.hears(&reinvite.answered("200 OK", "", &ok));
            solo.endpoint.connection_gone(solo.now, ConnectionId(1), None);
            solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
            let bye = solo.collect().pop().unwrap();
            assert!(bye.line().starts_with("BYE "), "{bye:?}");
            assert_private(&solo.sent, case);
        }
    }
}

#[test]
fn a_call_that_came_over_tls_goes_on_over_tls_whatever_contact_and_route_say() {
    for case @ (contact, route) in SAID_BESIDE_TLS {
        let mut solo = Solo::new();
        solo.peer = tls(1, "192.0.2.1:40001");
        let route = if route.is_empty() { String::new() } else { format!("Record-Route: {route}\n") };
        let invite = an_invite("a", &route).replace("<sip:carol@192.0.2.1:5060>", contact);
        assert!(invite.contains(&format!("Contact: {contact}")), "{invite}");
        solo.hears(&over_tls(&invite));
        let id = solo.incoming[0].session;
        solo.endpoint.accept(solo.now, id, sdp(ANSWER)).unwrap();
        let tag = solo.collect()[0].tag("To");
        solo.hears(&over_tls(&a_request("ACK", "a-ack", &tag, 1, "")));
        solo.endpoint.reinvite(solo.now, id, Some(sdp(OFFER))).unwrap();
        let reinvite = solo.collect().remove(0);
        solo.hears(&reinvite.answered("488 Not Acceptable Here", "", ""));
        solo.endpoint.connection_gone(solo.now, ConnectionId(1), None);
        solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
        solo.collect();
        assert!(solo.sent.last().unwrap().1.line().starts_with("BYE "));
        // What goes back over the caller's own connection names the port it came from, until that is gone.
        assert_private(&solo.sent, case);
    }
}

#[test]
fn a_call_in_clear_whose_contact_says_tls_goes_on_where_it_began() {
    let mut solo = Solo::new();
    let (id, invite) = solo.dials(|_| {});
    let ok =
        format!("Contact: <sip:c@192.0.2.66:5061;transport=tls>\nContent-Type: application/sdp\n\n{ANSWER}");
    solo.hears(&invite.answered("200 OK", "t", &ok));
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    solo.collect();
    let began = solo.sent.first().unwrap().0;
    assert!(solo.sent.iter().all(|(to, _)| *to == began), "{:?}", solo.sent);
}

#[test]
fn whoever_asks_in_clear_for_a_call_over_tls_finds_none() {
    let (mut solo, id, tag) = a_private_call();
    let private = solo.peer;
    for transport in [Transport::Udp, Transport::Tcp] {
        let connection = transport.is_reliable().then_some(ConnectionId(9));
        solo.peer = Peer { transport, connection, tls: None, ..private };
        let offer = format!("Content-Type: application/sdp\n\n{OFFER}");
        let (events, cseq) = (solo.events.len(), 2 + solo.sent.len() as u32);
        for (method, more) in [("INVITE", offer.as_str()), ("BYE", ""), ("OPTIONS", "")] {
            let branch = format!("{method}-{}", transport.name());
            let answers = solo.hears(&a_request(method, &branch, &tag, cseq, more));
            assert!(answers.last().unwrap().line().starts_with("SIP/2.0 481 "), "{method}: {answers:?}");
        }
        assert_eq!(solo.events.len(), events, "nobody heard of it");
        // RFC 3261 section 17.2.3: the ACK of the refusal, so that nothing is left of it.
        solo.hears(&a_request("ACK", &format!("INVITE-{}", transport.name()), &tag, cseq, ""));
    }
    solo.peer = private;
    let answers = solo.hears(&over_tls(&a_request("BYE", "b", &tag, 100, "")));
    assert_eq!(answers[0].line(), "SIP/2.0 200 OK");
    assert!(solo.ended(id).is_some());
}

#[test]
fn a_cancel_in_clear_cancels_nothing_that_came_over_tls() {
    let mut solo = Solo::new();
    solo.peer = tls(1, "192.0.2.1:40001");
    let private = solo.peer;
    solo.hears(&over_tls(&an_invite("i", "")));
    let id = solo.incoming[0].session;
    let cancel = over_tls(&a_request("CANCEL", "i", "", 1, ""));
    for transport in [Transport::Udp, Transport::Tcp] {
        let connection = transport.is_reliable().then_some(ConnectionId(9));
        solo.peer = Peer { transport, connection, tls: None, ..private };
        let answers = solo.hears(&cancel);
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert!(answers[0].line().starts_with("SIP/2.0 481 "), "{answers:?}");
        assert!(solo.ended(id).is_none());
    }
    // Over another connection that is as good, it counts.
    solo.peer = Peer { connection: Some(ConnectionId(5)), ..private };
    let answers = solo.hears(&cancel);
    assert!(answers.iter().any(|said| said.line() == "SIP/2.0 200 OK"), "{answers:?}");
    assert!(answers.iter().any(|said| said.line().starts_with("SIP/2.0 487 ")), "{answers:?}");
    assert!(solo.ended(id).is_some());
}

#[test]
fn an_ack_in_clear_acknowledges_nothing_that_was_said_over_tls() {
    let mut solo = Solo::new();
    solo.peer = tls(1, "192.0.2.1:40001");
    let private = solo.peer;
    solo.hears(&over_tls(&an_invite("a", "")));
    let id = solo.incoming[0].session;
    solo.endpoint.accept(solo.now, id, sdp(ANSWER)).unwrap();
    let tag = solo.collect()[0].tag("To");
    solo.peer = Peer { transport: Transport::Udp, connection: None, tls: None, ..private };
    solo.hears(&a_request("ACK", "a-ack", &tag, 1, ""));
    assert!(solo.pass(Duration::from_secs(1)).iter().any(|again| again.line() == "SIP/2.0 200 OK"));
    solo.peer = private;
    solo.hears(&over_tls(&a_request("ACK", "a-ack", &tag, 1, "")));
    assert!(solo.pass(Duration::from_secs(10)).is_empty());
    assert!(solo.ended(id).is_none());
}

#[test]
fn a_lost_connection_is_reopened_as_the_trunk_of_the_call_and_not_as_whoever_it_seemed() {
    let mut solo = Solo::new();
    solo.peer = tls(1, "192.0.2.1:40001");
    solo.hears(&over_tls(&an_invite("a", "")));
    let id = solo.incoming[0].session;
    solo.endpoint.reopened_by(id, TlsWay(3));
    solo.endpoint.connection_gone(solo.now, ConnectionId(1), None);
    solo.endpoint.accept(solo.now, id, sdp(ANSWER)).unwrap();
    let ok = solo.collect().remove(0);
    assert_eq!(solo.sent.last().unwrap().0.tls, Some(TlsWay(3)), "the answer");

    // The caller comes by another connection, of which no more is guessed than before.
    solo.peer = tls(2, "192.0.2.1:40002");
    solo.hears(&over_tls(&a_request("ACK", "a-ack", &ok.tag("To"), 1, "")));
    let offer = format!("Content-Type: application/sdp\n\n{OFFER}");
    solo.hears(&over_tls(&a_request("INVITE", "r", &ok.tag("To"), 2, &offer)));
    solo.endpoint.connection_gone(solo.now, ConnectionId(2), None);
    solo.endpoint.answer_reinvite(solo.now, id, Ok(sdp(ANSWER))).unwrap();
    solo.collect();
    assert_eq!(solo.sent.last().unwrap().0.tls, Some(TlsWay(3)), "the answer to the re-INVITE");
    solo.hears(&over_tls(&a_request("ACK", "r-ack", &ok.tag("To"), 2, "")));
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    solo.collect();
    let (to, bye) = solo.sent.last().unwrap();
    assert!(bye.line().starts_with("BYE "));
    assert_eq!((to.tls, to.transport), (Some(TlsWay(3)), Transport::Tls));
}
