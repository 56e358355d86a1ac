//! A connection is a way, not a tie: dialogs outlive it, and nobody is known by it.

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
