//! Provisional responses that cannot get lost (RFC 3262), and early media.

use super::End::{Alice, Bob};
use super::*;
use crate::sip::session::{By, How};

fn a_reliable_call(wire: &mut Wire, reliable: Reliable) -> (SessionId, SessionId) {
    let mut dial = wire.a_dial(Alice);
    dial.reliable = reliable;
    let now = wire.now;
    let alice = wire.alice.dial(now, dial).unwrap();
    wire.settle();
    (alice, wire.came())
}

#[test]
fn early_media_comes_unreliably_when_nobody_asks_for_more() {
    let mut wire = Wire::new(Transport::Udp);
    let (alice, bob) = a_reliable_call(&mut wire, Reliable::No);
    let now = wire.now;
    wire.bob.progress(now, bob, 183, Some(sdp(ANSWER)), true).unwrap();
    wire.settle();
    assert!(matches!(
        wire.events_of(Alice, alice)[..],
        [SessionEvent::Provisional { status: 183, sdp: Some(_), reliable: false, .. }]
    ));
    assert_eq!(wire.count(Alice, "PRACK"), 0);
    wire.bob.accept(now, bob, sdp(ANSWER)).unwrap();
    wire.settle();
    assert!(matches!(
        wire.events_of(Alice, alice)[1..],
        [SessionEvent::Answered { sdp: Some(_), is_answer: true, .. }]
    ));
    wire.alice.hang_up(now, alice, &[]).unwrap();
    wire.assert_nothing_is_left();
}

#[test]
fn early_media_comes_reliably_and_the_200_need_not_repeat_it() {
    for reliable in [Reliable::Supported, Reliable::Required] {
        let mut wire = Wire::new(Transport::Udp);
        let (alice, bob) = a_reliable_call(&mut wire, reliable);
        let now = wire.now;
        wire.bob.progress(now, bob, 183, Some(sdp(ANSWER)), true).unwrap();
        wire.bob.progress(now, bob, 180, None, true).unwrap();
        wire.settle();
        assert_eq!(wire.count(Alice, "PRACK"), 2);
        wire.bob.accept(now, bob, sdp(ANSWER)).unwrap();
        wire.settle();
        assert!(matches!(
            wire.events_of(Alice, alice)[..],
            [
                SessionEvent::Provisional { status: 183, sdp: Some(_), reliable: true, .. },
                SessionEvent::Provisional { status: 180, sdp: None, reliable: true, .. },
                SessionEvent::Answered { sdp: None, is_answer: true, .. },
            ]
        ));
        wire.alice.hang_up(now, alice, &[]).unwrap();
        wire.settle();
        assert_eq!(wire.ended(Bob, bob).unwrap().how, How::Bye);
        wire.assert_nothing_is_left();
    }
}

#[test]
fn a_caller_that_insists_gets_even_plain_ringing_reliably() {
    let mut wire = Wire::new(Transport::Udp);
    let (alice, bob) = a_reliable_call(&mut wire, Reliable::Required);
    let now = wire.now;
    wire.bob.ring(now, bob).unwrap();
    wire.settle();
    assert_eq!(wire.count(Alice, "PRACK"), 1);
    wire.alice.hang_up(now, alice, &[]).unwrap();
    wire.assert_nothing_is_left();
}

#[test]
fn an_acceptance_waits_for_the_prack() {
    let mut wire = Wire::new(Transport::Udp);
    let (_, bob) = a_reliable_call(&mut wire, Reliable::Supported);
    let now = wire.now;
    wire.bob.progress(now, bob, 183, Some(sdp(ANSWER)), true).unwrap();
    wire.bob.accept(now, bob, sdp(ANSWER)).unwrap();
    wire.collect();
    assert_eq!(wire.count(Bob, "SIP/2.0 200"), 0);
    wire.settle();
    assert_eq!(wire.count(Alice, "ACK"), 1);
}

#[test]
fn a_lost_reliable_response_is_said_again_and_told_once() {
    let mut wire = Wire::new(Transport::Udp);
    let (alice, bob) = a_reliable_call(&mut wire, Reliable::Supported);
    let now = wire.now;
    wire.bob.progress(now, bob, 183, Some(sdp(ANSWER)), true).unwrap();
    wire.pass_in_silence(Duration::from_millis(1600));
    assert_eq!(wire.count(Bob, "SIP/2.0 183"), 3);
    // The copy that comes through is acknowledged; a further one that was on its way changes nothing.
    let copy = wire.sent.iter().rev().find(|m| m.first_line().contains("183")).unwrap().clone();
    wire.deliver(copy.clone());
    wire.deliver(copy);
    wire.settle();
    assert_eq!(wire.events_of(Alice, alice).len(), 1);
    assert_eq!(wire.count(Alice, "PRACK"), 1);
    wire.pass(Duration::from_secs(5));
    assert_eq!(wire.count(Bob, "SIP/2.0 183"), 3);
    let now = wire.now;
    wire.alice.hang_up(now, alice, &[]).unwrap();
    wire.assert_nothing_is_left();
}

#[test]
fn a_reliable_response_that_is_never_acknowledged_ends_the_call_with_504() {
    let mut solo = Solo::new();
    solo.hears(&an_invite("a", "Supported: 100rel\n"));
    let id = solo.incoming[0].session;
    solo.endpoint.progress(solo.now, id, 183, Some(sdp(ANSWER)), true).unwrap();
    let said = solo.pass(Duration::from_secs(33));
    assert_eq!(said.iter().filter(|said| said.line().contains("183")).count(), 7);
    assert!(said.iter().any(|said| said.line() == "SIP/2.0 504 Server Time-out"));
    let ended = solo.ended(id).unwrap();
    assert_eq!((ended.by, ended.how, ended.status), (By::Network, How::NoPrack, Some(504)));
    solo.assert_nothing_is_left();
}

#[test]
fn a_prack_that_fits_nothing_is_481() {
    let mut solo = Solo::new();
    solo.hears(&an_invite("a", "Supported: 100rel\n"));
    let id = solo.incoming[0].session;
    solo.endpoint.progress(solo.now, id, 183, None, true).unwrap();
    let progress = solo.collect().remove(0);
    let (tag, rseq) = (progress.tag("To"), progress.get("RSeq").parse::<u32>().unwrap());
    let prack = |branch: &str, cseq, rseq| {
        a_request("PRACK", branch, &tag, cseq, &format!("RAck: {rseq} 1 INVITE\n"))
    };
    assert!(solo.hears(&prack("p1", 2, rseq + 1))[0].line().starts_with("SIP/2.0 481"));
    assert_eq!(solo.hears(&prack("p2", 3, rseq))[0].line(), "SIP/2.0 200 OK");
    assert!(solo.hears(&prack("p3", 4, rseq))[0].line().starts_with("SIP/2.0 481"));
}

#[test]
fn an_offer_of_ours_in_a_reliable_response_is_answered_in_the_prack() {
    let mut solo = Solo::new();
    let invite = a_request("INVITE", "a", "", 1, "Require: 100rel\n");
    solo.hears(&invite);
    let id = solo.incoming[0].session;
    solo.endpoint.progress(solo.now, id, 183, Some(sdp(OFFER)), true).unwrap();
    let progress = solo.collect().remove(0);
    let more = format!("RAck: {} 1 INVITE\nContent-Type: application/sdp\n\n{ANSWER}", progress.get("RSeq"));
    solo.hears(&a_request("PRACK", "p", &progress.tag("To"), 2, &more));
    assert!(
        matches!(&solo.events[..], [(_, SessionEvent::Acked { sdp: Some(answer) })] if *answer == sdp(ANSWER))
    );
    solo.endpoint.accept(solo.now, id, sdp(OFFER)).unwrap();
    assert_eq!(solo.collect()[0].body(), "");
}

#[test]
fn a_phone_that_rings_long_says_so_every_minute() {
    let mut solo = Solo::new();
    solo.hears(&an_invite("a", ""));
    let id = solo.incoming[0].session;
    solo.endpoint.ring(solo.now, id).unwrap();
    let said = solo.pass(Duration::from_secs(150));
    assert_eq!(said.iter().filter(|said| said.line() == "SIP/2.0 180 Ringing").count(), 3);
}
