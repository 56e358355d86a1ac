//! Calls that come up, ring, are refused, cancelled and hung up.

use super::End::{Alice, Bob};
use super::*;
use crate::sip::session::{By, How, Refusal};

#[test]
fn a_call_rings_is_answered_and_hung_up_by_the_caller() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut wire = Wire::new(transport);
        let alice = wire.alice_dials();
        wire.settle();
        let bob = wire.came();
        let now = wire.now;
        wire.bob.ring(now, bob).unwrap();
        wire.settle();
        wire.bob.accept(now, bob, sdp(ANSWER)).unwrap();
        wire.settle();
        wire.alice.hang_up(now, alice, &["Q.850;cause=16".into()]).unwrap();
        wire.settle();

        let lines: Vec<&str> = wire.log.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(
            lines,
            [
                "INVITE sip:bob@192.0.2.2:5060 SIP/2.0",
                "SIP/2.0 100 Trying",
                "SIP/2.0 180 Ringing",
                "SIP/2.0 200 OK",
                if transport == Transport::Udp {
                    "ACK sip:sidetone@192.0.2.2:5060 SIP/2.0"
                } else {
                    "ACK sip:sidetone@192.0.2.2:5060;transport=tcp SIP/2.0"
                },
                if transport == Transport::Udp {
                    "BYE sip:sidetone@192.0.2.2:5060 SIP/2.0"
                } else {
                    "BYE sip:sidetone@192.0.2.2:5060;transport=tcp SIP/2.0"
                },
                "SIP/2.0 200 OK",
            ]
        );
        assert_eq!(wire.incoming[0].1.offer.as_deref(), Some(OFFER.as_bytes()));
        let ended = wire.ended(Alice, alice).unwrap();
        assert_eq!((ended.by, ended.how), (By::Us, How::Bye));
        let ended = wire.ended(Bob, bob).unwrap();
        assert_eq!((ended.by, ended.how, ended.q850()), (By::Peer, How::Bye, Some(16)));
        wire.assert_nothing_is_left();
    }
}

#[test]
fn the_callee_hangs_up() {
    let mut wire = Wire::new(Transport::Udp);
    let (alice, bob) = wire.a_call();
    let now = wire.now;
    wire.bob.hang_up(now, bob, &[]).unwrap();
    wire.settle();
    assert_eq!(wire.ended(Alice, alice).unwrap().by, By::Peer);
    assert_eq!(wire.ended(Bob, bob).unwrap().by, By::Us);
    wire.assert_nothing_is_left();
}

#[test]
fn a_refused_call_tells_status_reason_and_when_to_try_again() {
    let mut wire = Wire::new(Transport::Udp);
    let alice = wire.alice_dials();
    wire.settle();
    let (bob, now) = (wire.came(), wire.now);
    let refusal = Refusal {
        reasons: vec!["Q.850;cause=17;text=\"User busy\"".into()],
        retry_after: Some(Duration::from_secs(30)),
        ..Refusal::new(486)
    };
    wire.bob.reject(now, bob, &refusal).unwrap();
    wire.settle();
    let ended = wire.ended(Alice, alice).unwrap();
    assert_eq!((ended.by, ended.how, ended.status), (By::Peer, How::Refused, Some(486)));
    assert_eq!((ended.q850(), ended.retry_after), (Some(17), Some(Duration::from_secs(30))));
    assert_eq!(wire.count(Alice, "ACK"), 1);
    wire.assert_nothing_is_left();
}

#[test]
fn a_ringing_call_is_cancelled() {
    let mut wire = Wire::new(Transport::Udp);
    let alice = wire.alice_dials();
    wire.settle();
    let (bob, now) = (wire.came(), wire.now);
    wire.bob.ring(now, bob).unwrap();
    wire.settle();
    wire.alice.hang_up(now, alice, &["SIP;cause=200;text=\"Call completed elsewhere\"".into()]).unwrap();
    wire.settle();
    let ended = wire.ended(Bob, bob).unwrap();
    assert_eq!((ended.by, ended.how, ended.reasons[0].cause), (By::Peer, How::Cancelled, Some(200)));
    assert_eq!(wire.ended(Alice, alice).unwrap().how, How::Cancelled);
    assert_eq!(wire.count(Bob, "SIP/2.0 487"), 1);
    wire.assert_nothing_is_left();
}

#[test]
fn a_cancel_waits_for_the_first_provisional_response() {
    let mut wire = Wire::new(Transport::Udp);
    let alice = wire.alice_dials();
    let now = wire.now;
    wire.alice.hang_up(now, alice, &[]).unwrap();
    wire.collect();
    assert_eq!(wire.count(Alice, "CANCEL"), 0);
    wire.settle();
    assert_eq!(wire.count(Alice, "CANCEL"), 1);
    assert_eq!(wire.count(Bob, "SIP/2.0 487"), 1);
    wire.assert_nothing_is_left();
}

#[test]
fn a_cancel_that_crosses_the_200_leads_to_ack_and_bye() {
    let mut wire = Wire::new(Transport::Udp);
    let alice = wire.alice_dials();
    wire.settle();
    let (bob, now) = (wire.came(), wire.now);
    wire.bob.accept(now, bob, sdp(ANSWER)).unwrap();
    wire.alice.hang_up(now, alice, &[]).unwrap();
    wire.settle();
    assert_eq!(wire.count(Alice, "CANCEL"), 1);
    assert_eq!(wire.count(Alice, "ACK"), 1);
    assert_eq!(wire.count(Alice, "BYE"), 1);
    assert_eq!(wire.ended(Alice, alice).unwrap().how, How::Cancelled);
    assert_eq!(wire.ended(Bob, bob).unwrap().how, How::Bye);
    wire.assert_nothing_is_left();
}

#[test]
fn nobody_answers_the_invite() {
    let mut wire = Wire::new(Transport::Udp);
    let alice = wire.alice_dials();
    wire.pass_in_silence(Duration::from_secs(33));
    assert_eq!(wire.count(Alice, "INVITE"), 7);
    let ended = wire.ended(Alice, alice).unwrap();
    assert_eq!((ended.by, ended.how), (By::Network, How::NoAnswer));
    wire.assert_nothing_is_left();
}
