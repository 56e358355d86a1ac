//! Requests too large for a datagram change to TCP, and back where nobody takes it (RFC 3261 section 18.1.1).

use super::*;
use crate::call::Opaque;
use crate::call::journey::{Attestation, Journey, Passport};

const BEYOND: &str = "192.0.2.9:5060";

/// A caller whose PASSporT makes an INVITE of far more than 1300 octets.
fn attested() -> Caller {
    let identity = format!("{};info=<https://cert.example/p.cer>;alg=ES256;ppt=shaken", "x".repeat(900));
    let passport = Passport {
        level: Attestation::Full,
        orig: Some("15550001".into()),
        dest: vec!["15550123".into()],
        issued_at: Some(1_795_000_000),
        identity: Opaque(identity.into()),
    };
    let journey = Arc::new(Journey { passport: Some(passport), ..Journey::default() });
    Caller { journey, ..Caller::shown("+15550001", None) }
}

fn wants_identity() -> House {
    House::with_two_trunks("", "pass_identity = true\n")
}

fn tcp_to_beyond() -> Destination {
    let remote = BEYOND.parse().unwrap();
    Destination { transport: Transport::Tcp, remote, local: None, connection: None, tls: None }
}

/// What comes back on the connection to the trunk.
fn on_connection() -> Peer {
    Peer { transport: Transport::Tcp, connection: Some(ConnectionId(4)), ..udp(BEYOND) }
}

#[test]
fn a_large_invite_goes_by_tcp_and_says_so_in_its_via_alone() {
    let mut house = wants_identity();
    let invite = house.goes_on(0, attested(), "beyond");
    assert!(invite.0.len() > 1300);
    assert_eq!(house.sent_to.last(), Some(&tcp_to_beyond()));
    assert!(invite.get("Via").starts_with("SIP/2.0/TCP 192.0.2.2:5060;"), "{}", invite.0);
    assert_eq!(invite.all("Via").len(), 1);
    assert_eq!(invite.line(), "INVITE sip:+15550123@192.0.2.9:5060 SIP/2.0", "it is the same request");
    assert_eq!(invite.get("Contact"), "<sip:sidetone@192.0.2.2:5060>", "and we are where we were");

    // It is answered on the connection, and the call goes on by datagrams.
    house.hears(on_connection(), &invite.answered("180 Ringing", "far", ""));
    let contact = "Contact: <sip:far@192.0.2.9:5060>\n";
    let ok = with_body(invite.answered("200 OK", "far", contact), &offer("0", ""));
    let ack = house.hears(on_connection(), &ok).remove(0);
    assert!(ack.line().starts_with("ACK ") && ack.get("Via").starts_with("SIP/2.0/UDP "), "{}", ack.0);
    assert_eq!(house.sent_to.last().unwrap().transport, Transport::Udp);
    let bye = house.order(LegId(1_000), LegAction::HangUp(Cause::Normal), &[]).remove(0);
    assert!(bye.line().starts_with("BYE ") && bye.get("Via").starts_with("SIP/2.0/UDP "), "{}", bye.0);
}

#[test]
fn its_cancel_goes_the_way_it_went_and_so_does_the_ack_to_a_refusal() {
    let mut house = wants_identity();
    let invite = house.goes_on(0, attested(), "beyond");
    house.hears(on_connection(), &invite.answered("180 Ringing", "far", ""));
    let cancel = house.order(LegId(1_000), LegAction::HangUp(Cause::Cancelled), &[]).remove(0);
    assert!(cancel.line().starts_with("CANCEL "), "{}", cancel.0);
    assert_eq!((cancel.get("Via"), house.sent_to.last()), (invite.get("Via"), Some(&tcp_to_beyond())));
    let no = invite.answered("487 Request Terminated", "far", "");
    let ack = house.hears(on_connection(), &no).remove(0);
    assert_eq!((ack.get("Via"), house.sent_to.last()), (invite.get("Via"), Some(&tcp_to_beyond())));
}

#[test]
fn where_tcp_is_refused_it_goes_as_a_datagram_and_the_next_ones_at_once() {
    let mut house = wants_identity();
    let first = house.goes_on(0, attested(), "beyond");
    house.door.unreachable(house.now, tcp_to_beyond());
    let again = house.collect().remove(0);
    assert_eq!(house.sent_to.last().unwrap().transport, Transport::Udp);
    assert!(again.get("Via").starts_with("SIP/2.0/UDP 192.0.2.2:5060;"), "{}", again.0);
    let other_than_via =
        |said: &Said| said.0.lines().filter(|l| !l.starts_with("Via: ")).collect::<Vec<_>>().join("\n");
    assert_eq!(other_than_via(&again), other_than_via(&first), "the same request");
    assert!(house.told().is_empty(), "the call does not hear of it");
    let repeated = house.pass(Duration::from_millis(600));
    assert_eq!(repeated.iter().map(|said| &said.0).collect::<Vec<_>>(), [&again.0], "as any datagram");
    house.hears(udp(BEYOND), &again.answered("180 Ringing", "far", ""));
    assert_eq!(house.events(), [LegEvent::Ringing]);

    house.goes_on(1, attested(), "beyond");
    assert_eq!(house.sent_to.last().unwrap().transport, Transport::Udp, "nobody tries it again for a while");
    house.pass(Duration::from_secs(601));
    house.goes_on(2, attested(), "beyond");
    assert_eq!(house.sent_to.last(), Some(&tcp_to_beyond()), "and then somebody does");
}

#[test]
fn a_connection_that_breaks_before_any_answer_came_is_no_way_either() {
    let mut house = wants_identity();
    house.goes_on(0, attested(), "beyond");
    house.door.gone(house.now, ConnectionId(4), Some(tcp_to_beyond()));
    let again = house.collect().remove(0);
    assert!(
        again.line().starts_with("INVITE ") && again.get("Via").starts_with("SIP/2.0/UDP "),
        "{}",
        again.0
    );
    // One that has been answered has arrived: it is not sent twice.
    let mut house = wants_identity();
    let invite = house.goes_on(0, attested(), "beyond");
    house.hears(on_connection(), &invite.answered("100 Trying", "", ""));
    house.door.gone(house.now, ConnectionId(4), Some(tcp_to_beyond()));
    assert!(house.collect().is_empty());
}

#[test]
fn a_call_that_is_given_up_meanwhile_is_not_sent_by_the_other_way() {
    let mut house = wants_identity();
    house.goes_on(0, attested(), "beyond");
    house.order(LegId(1_000), LegAction::HangUp(Cause::Cancelled), &[]);
    house.door.unreachable(house.now, tcp_to_beyond());
    assert!(house.collect().is_empty(), "nobody waits for it any more");
    house.pass(Duration::from_secs(70));
    assert_eq!(house.door.legs(), 0);
}

#[test]
fn a_small_one_and_one_to_a_telephone_that_came_by_datagrams_stay() {
    let mut house = wants_identity();
    let invite = house.goes_on(0, Caller::shown("+15550001", None), "beyond");
    assert!(invite.0.len() <= 1300 && house.sent_to.last().unwrap().transport == Transport::Udp);

    let mut house = House::new();
    house.alice_registers();
    let name = Some("Carol ".repeat(200));
    let order = Order {
        leg: LegId(5),
        action: LegAction::Dial(person("alice")),
        media: Some(MediaEnd { rtp: OUR_RTP.parse().unwrap() }),
        prefer: Vec::new(),
        caller: Some(Caller::shown("+15550001", name)),
        card: None,
    };
    house.door.order(house.now, order);
    let invite = house.collect().remove(0);
    assert!(invite.0.len() > 1300, "{}", invite.0.len());
    let to = house.sent_to.last().unwrap();
    assert_eq!((to.transport, to.remote), (Transport::Udp, PHONE.parse().unwrap()));
}
