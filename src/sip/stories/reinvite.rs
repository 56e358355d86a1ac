//! Changing a call that is up: offers both ways, glare, refusals.

use super::End::{Alice, Bob};
use super::*;
use crate::sip::session::{By, How};

fn reinvited(wire: &Wire, end: End, id: SessionId) -> Vec<Option<Bytes>> {
    let offers = wire.events_of(end, id).into_iter().filter_map(|event| match event {
        SessionEvent::Reinvited { offer } => Some(offer.clone()),
        _ => None,
    });
    offers.collect()
}

fn answered(wire: &Wire, end: End, id: SessionId) -> Vec<(Option<Bytes>, bool)> {
    let answers = wire.events_of(end, id).into_iter().filter_map(|event| match event {
        SessionEvent::ReinviteAnswered { sdp, is_answer } => Some((sdp.clone(), *is_answer)),
        _ => None,
    });
    answers.collect()
}

#[test]
fn either_side_offers_and_the_other_answers() {
    let mut wire = Wire::new(Transport::Udp);
    let (alice, bob) = wire.a_call();
    for (from, ours, theirs) in [(Alice, alice, bob), (Bob, bob, alice)] {
        let now = wire.now;
        wire.end(from).reinvite(now, ours, Some(sdp(OFFER))).unwrap();
        wire.settle();
        assert_eq!(reinvited(&wire, from.other(), theirs).last().unwrap().as_deref(), Some(OFFER.as_bytes()));
        wire.end(from.other()).answer_reinvite(now, theirs, Ok(sdp(ANSWER))).unwrap();
        wire.settle();
        assert_eq!(answered(&wire, from, ours), [(Some(sdp(ANSWER)), true)]);
    }
    assert_eq!(wire.count(Alice, "ACK"), 2);
    assert_eq!(wire.count(Bob, "ACK"), 1);
    let now = wire.now;
    wire.alice.hang_up(now, alice, &[]).unwrap();
    wire.assert_nothing_is_left();
}

#[test]
fn a_reinvite_without_offer_is_answered_with_one_and_the_ack_brings_the_answer() {
    let mut wire = Wire::new(Transport::Udp);
    let (alice, bob) = wire.a_call();
    let now = wire.now;
    wire.bob.reinvite(now, bob, None).unwrap();
    wire.settle();
    assert_eq!(reinvited(&wire, Alice, alice), [None]);
    wire.alice.answer_reinvite(now, alice, Ok(sdp(OFFER))).unwrap();
    wire.settle();
    assert_eq!(answered(&wire, Bob, bob), [(Some(sdp(OFFER)), false)]);
    wire.bob.acknowledge(now, bob, sdp(ANSWER)).unwrap();
    wire.settle();
    let acked = wire.events_of(Alice, alice).into_iter().rev().find_map(|event| match event {
        SessionEvent::Acked { sdp } => Some(sdp.clone()),
        _ => None,
    });
    assert_eq!(acked, Some(Some(sdp(ANSWER))));
    wire.bob.hang_up(now, bob, &[]).unwrap();
    wire.assert_nothing_is_left();
}

#[test]
fn an_invite_without_offer_gets_one_and_the_ack_brings_the_answer() {
    let mut wire = Wire::new(Transport::Udp);
    let mut dial = wire.a_dial(Alice);
    dial.offer = None;
    let now = wire.now;
    let alice = wire.alice.dial(now, dial).unwrap();
    wire.settle();
    let bob = wire.came();
    assert_eq!(wire.incoming[0].1.offer, None);
    wire.bob.accept(now, bob, sdp(OFFER)).unwrap();
    wire.settle();
    assert!(matches!(
        wire.events_of(Alice, alice)[..],
        [SessionEvent::Answered { sdp: Some(_), is_answer: false, .. }]
    ));
    assert_eq!(wire.count(Alice, "ACK"), 0);
    wire.alice.acknowledge(now, alice, sdp(ANSWER)).unwrap();
    wire.settle();
    assert!(
        matches!(wire.events_of(Bob, bob)[..], [SessionEvent::Acked { sdp: Some(answer) }] if *answer == sdp(ANSWER))
    );
    wire.alice.hang_up(now, alice, &[]).unwrap();
    wire.assert_nothing_is_left();
}

#[test]
fn when_both_offer_at_once_both_are_refused_and_both_come_through_later() {
    let mut wire = Wire::new(Transport::Udp);
    let (alice, bob) = wire.a_call();
    let now = wire.now;
    wire.alice.reinvite(now, alice, Some(sdp(OFFER))).unwrap();
    wire.bob.reinvite(now, bob, Some(sdp(ANSWER))).unwrap();
    wire.settle();
    assert_eq!(wire.count(Alice, "SIP/2.0 491"), 1);
    assert_eq!(wire.count(Bob, "SIP/2.0 491"), 1);
    assert!(reinvited(&wire, Alice, alice).is_empty() && reinvited(&wire, Bob, bob).is_empty());

    // RFC 3261 section 14.1: Bob, who did not make the Call-ID, waits 0 to 2 s, Alice 2.1 to 4 s.
    wire.pass(Duration::from_millis(2050));
    assert_eq!(reinvited(&wire, Alice, alice), [Some(sdp(ANSWER))]);
    assert!(reinvited(&wire, Bob, bob).is_empty());
    let now = wire.now;
    wire.alice.answer_reinvite(now, alice, Ok(sdp(OFFER))).unwrap();
    wire.settle();
    assert!(reinvited(&wire, Bob, bob).is_empty());
    wire.pass(Duration::from_millis(2000));
    assert_eq!(reinvited(&wire, Bob, bob), [Some(sdp(OFFER))]);
    let now = wire.now;
    wire.bob.answer_reinvite(now, bob, Ok(sdp(ANSWER))).unwrap();
    wire.settle();
    assert_eq!((answered(&wire, Alice, alice).len(), answered(&wire, Bob, bob).len()), (1, 1));
    wire.bob.hang_up(now, bob, &[]).unwrap();
    wire.assert_nothing_is_left();
}

#[test]
fn a_refused_reinvite_leaves_the_call_as_it_was() {
    let mut wire = Wire::new(Transport::Udp);
    let (alice, bob) = wire.a_call();
    let now = wire.now;
    wire.alice.reinvite(now, alice, Some(sdp(OFFER))).unwrap();
    wire.settle();
    wire.bob.answer_reinvite(now, bob, Err(488)).unwrap();
    wire.settle();
    assert!(matches!(
        wire.events_of(Alice, alice).last(),
        Some(SessionEvent::ReinviteFailed { status: 488 })
    ));
    assert!(wire.ended(Alice, alice).is_none() && wire.ended(Bob, bob).is_none());
    wire.alice.hang_up(now, alice, &[]).unwrap();
    wire.assert_nothing_is_left();
}

#[test]
fn wishes_made_while_a_reinvite_is_under_way_wait_and_the_last_one_counts() {
    let mut wire = Wire::new(Transport::Udp);
    let (alice, bob) = wire.a_call();
    let now = wire.now;
    wire.alice.reinvite(now, alice, Some(sdp("first"))).unwrap();
    wire.alice.reinvite(now, alice, Some(sdp("second"))).unwrap();
    wire.alice.reinvite(now, alice, Some(sdp("third"))).unwrap();
    wire.settle();
    wire.bob.answer_reinvite(now, bob, Ok(sdp(ANSWER))).unwrap();
    wire.settle();
    assert_eq!(reinvited(&wire, Bob, bob), [Some(sdp("first")), Some(sdp("third"))]);
    wire.bob.answer_reinvite(now, bob, Ok(sdp(ANSWER))).unwrap();
    wire.settle();
    wire.alice.hang_up(now, alice, &[]).unwrap();
    wire.assert_nothing_is_left();
}

#[test]
fn a_second_reinvite_of_theirs_before_our_answer_is_500_with_retry_after() {
    let mut solo = Solo::new();
    let (_, tag) = solo.is_called();
    let reinvite = |branch: &str, cseq| {
        a_request("INVITE", branch, &tag, cseq, &format!("Content-Type: application/sdp\n\n{OFFER}"))
    };
    assert_eq!(solo.hears(&reinvite("r2", 2))[0].line(), "SIP/2.0 100 Trying");
    let no = solo.hears(&reinvite("r3", 3)).remove(0);
    assert_eq!(no.line(), "SIP/2.0 500 Server Internal Error");
    assert!(no.get("Retry-After").parse::<u32>().unwrap() <= 10);
}

#[test]
fn a_bye_while_a_reinvite_waits_answers_both() {
    let mut solo = Solo::new();
    let (id, tag) = solo.is_called();
    solo.hears(&a_request("INVITE", "r", &tag, 2, &format!("Content-Type: application/sdp\n\n{OFFER}")));
    let lines: Vec<String> =
        solo.hears(&a_request("BYE", "b", &tag, 3, "")).iter().map(|said| said.line().to_owned()).collect();
    assert_eq!(lines, ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert_eq!(solo.ended(id).unwrap().how, How::Bye);
    solo.assert_nothing_is_left();
}

#[test]
fn a_cancelled_reinvite_ends_with_487_and_the_call_goes_on() {
    let mut solo = Solo::new();
    let (id, tag) = solo.is_called();
    let body = format!("Content-Type: application/sdp\n\n{OFFER}");
    solo.hears(&a_request("INVITE", "r", &tag, 2, &body));
    let answers = solo.hears(&a_request("CANCEL", "r", &tag, 2, ""));
    assert_eq!(answers[0].line(), "SIP/2.0 200 OK");
    assert_eq!(answers[1].line(), "SIP/2.0 487 Request Terminated");
    assert!(solo.ended(id).is_none());
    assert!(solo.endpoint.answer_reinvite(solo.now, id, Ok(sdp(ANSWER))).is_err());
}

#[test]
fn a_peer_that_forgot_the_dialog_ends_the_call() {
    let mut wire = Wire::new(Transport::Udp);
    let (alice, _) = wire.a_call();
    wire.bob = Endpoint::new(EndpointConfig::default(), [9; 32]);
    let now = wire.now;
    wire.alice.reinvite(now, alice, Some(sdp(OFFER))).unwrap();
    wire.settle();
    let ended = wire.ended(Alice, alice).unwrap();
    assert_eq!((ended.by, ended.how, ended.status), (By::Network, How::Lost, Some(481)));
    wire.assert_nothing_is_left();
}

#[test]
fn a_reinvite_that_nobody_answers_ends_the_call() {
    let mut wire = Wire::new(Transport::Udp);
    let (alice, bob) = wire.a_call();
    let now = wire.now;
    wire.alice.reinvite(now, alice, Some(sdp(OFFER))).unwrap();
    wire.pass_in_silence(Duration::from_secs(33));
    assert_eq!(wire.ended(Alice, alice).unwrap().how, How::Lost);
    let now = wire.now;
    wire.bob.hang_up(now, bob, &[]).unwrap();
    wire.assert_nothing_is_left();
}
