//! What happens when messages are lost and nobody speaks.

use super::End::{Alice, Bob};
use super::*;
use crate::sip::session::{By, How, SessionTimers};

#[test]
fn our_200_is_said_again_until_the_ack_comes() {
    let mut wire = Wire::new(Transport::Udp);
    let alice = wire.alice_dials();
    wire.settle();
    let (bob, now) = (wire.came(), wire.now);
    wire.bob.accept(now, bob, sdp(ANSWER)).unwrap();
    wire.pass_in_silence(Duration::from_millis(3600));
    assert_eq!(wire.count(Bob, "SIP/2.0 200"), 4); // at 0, 0.5, 1.5 and 3.5 s
    wire.pass(Duration::from_secs(10));
    assert_eq!(wire.count(Bob, "SIP/2.0 200"), 5); // the next one came through
    assert_eq!(wire.count(Alice, "ACK"), 1);
    let now = wire.now;
    wire.alice.hang_up(now, alice, &[]).unwrap();
    wire.assert_nothing_is_left();
}

#[test]
fn a_call_whose_ack_never_comes_is_hung_up() {
    let mut solo = Solo::new();
    solo.hears(&an_invite("a", ""));
    let id = solo.incoming[0].session;
    solo.endpoint.accept(solo.now, id, sdp(ANSWER)).unwrap();
    let said = solo.pass(Duration::from_secs(33));
    assert_eq!(said.iter().filter(|said| said.line() == "SIP/2.0 200 OK").count(), 11);
    assert!(said.iter().any(|said| said.line().starts_with("BYE")));
    let ended = solo.ended(id).unwrap();
    assert_eq!((ended.by, ended.how), (By::Network, How::NoAck));
    solo.assert_nothing_is_left();
}

#[test]
fn a_caller_without_session_timers_is_left_alone() {
    let mut solo = Solo::new();
    solo.is_called();
    assert!(solo.sent.iter().all(|(_, said)| said.all("Session-Expires").is_empty()));
    assert!(solo.pass(Duration::from_secs(4000)).is_empty());
}

#[test]
fn a_call_that_nobody_answers_is_given_up() {
    let mut solo = Solo::new();
    solo.hears(&an_invite("a", ""));
    let id = solo.incoming[0].session;
    let said = solo.pass(Duration::from_secs(601));
    assert!(said.iter().any(|said| said.line() == "SIP/2.0 480 Temporarily Unavailable"));
    let ended = solo.ended(id).unwrap();
    assert_eq!((ended.by, ended.how, ended.status), (By::Us, How::NoAnswer, Some(480)));
    solo.assert_nothing_is_left();
}

#[test]
fn a_callee_that_hangs_up_before_the_ack_waits_with_its_bye() {
    let mut solo = Solo::new();
    solo.hears(&an_invite("a", ""));
    let id = solo.incoming[0].session;
    solo.endpoint.accept(solo.now, id, sdp(ANSWER)).unwrap();
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    let said = solo.collect();
    assert_eq!(said.len(), 1);
    assert_eq!(solo.ended(id).unwrap().by, By::Us);
    let said = solo.hears(&a_request("ACK", "k", &said[0].tag("To"), 1, ""));
    assert!(said[0].line().starts_with("BYE"));
    solo.assert_nothing_is_left();
}

#[test]
fn when_both_hang_up_at_once_both_are_answered() {
    let mut wire = Wire::new(Transport::Udp);
    let (alice, bob) = wire.a_call();
    let now = wire.now;
    wire.alice.hang_up(now, alice, &[]).unwrap();
    wire.bob.hang_up(now, bob, &[]).unwrap();
    wire.settle();
    assert_eq!((wire.count(Alice, "BYE"), wire.count(Bob, "BYE")), (1, 1));
    assert_eq!(wire.ended(Alice, alice).unwrap().by, By::Us);
    assert_eq!(wire.ended(Bob, bob).unwrap().by, By::Us);
    assert_eq!((wire.alice.sessions(), wire.bob.sessions()), (0, 0));
    wire.assert_nothing_is_left();
}

#[test]
fn a_bye_that_nobody_answers_is_forgotten() {
    let mut wire = Wire::new(Transport::Udp);
    let (alice, bob) = wire.a_call();
    let now = wire.now;
    wire.alice.hang_up(now, alice, &[]).unwrap();
    wire.pass_in_silence(Duration::from_secs(33));
    assert_eq!(wire.count(Alice, "BYE"), 11);
    assert_eq!(wire.alice.sessions(), 0);
    let now = wire.now;
    wire.bob.hang_up(now, bob, &[]).unwrap();
    wire.assert_nothing_is_left();
}

#[test]
fn a_broken_transport_ends_the_call_at_once() {
    let mut wire = Wire::new(Transport::Tcp);
    let alice = wire.alice_dials();
    wire.lose();
    let (now, to) = (wire.now, wire.destination(Alice));
    wire.alice.transport_failed(now, to);
    wire.collect();
    let ended = wire.ended(Alice, alice).unwrap();
    assert_eq!((ended.by, ended.how), (By::Network, How::Unreachable));
    wire.assert_nothing_is_left();
}

#[test]
fn a_peers_sign_of_life_is_measured_and_its_silence_told() {
    let mut wire = Wire::new(Transport::Udp);
    let (from, to, now) = (NameAddr::new(uri("sip:us@example.com")), wire.destination(Alice), wire.now);
    let lives = wire.alice.options(now, &uri("sip:192.0.2.2"), &from, to, &Manners::default()).unwrap();
    wire.collect();
    wire.now += Duration::from_millis(30);
    wire.settle();
    let round_trip = Duration::from_millis(30);
    assert_eq!(
        wire.outcomes,
        [(lives, OptionsOutcome::Answered { status: 200, round_trip, retry_after: None })]
    );

    let now = wire.now;
    let silent = wire.alice.options(now, &uri("sip:192.0.2.2"), &from, to, &Manners::default()).unwrap();
    wire.pass_in_silence(Duration::from_secs(33));
    assert_eq!(wire.outcomes[1], (silent, OptionsOutcome::TimedOut));

    let now = wire.now;
    let broken = wire.alice.options(now, &uri("sip:192.0.2.2"), &from, to, &Manners::default()).unwrap();
    wire.alice.transport_failed(now, to);
    wire.lose();
    assert_eq!(wire.outcomes[2], (broken, OptionsOutcome::Unreachable));
    wire.assert_nothing_is_left();
}

fn a_timed_call(interval: u32) -> (Wire, SessionId, SessionId) {
    let mut wire = Wire::new(Transport::Udp);
    let mut dial = wire.a_dial(Alice);
    dial.timers = Some(SessionTimers { interval, min: 90 });
    let now = wire.now;
    let alice = wire.alice.dial(now, dial).unwrap();
    wire.settle();
    let bob = wire.came();
    wire.bob.accept(now, bob, sdp(ANSWER)).unwrap();
    wire.settle();
    (wire, alice, bob)
}

#[test]
fn a_session_is_refreshed_at_half_time_and_lives_on() {
    let (mut wire, alice, bob) = a_timed_call(600);
    for round in 1..4 {
        wire.pass(Duration::from_secs(301));
        // The refresh repeats the offer; Bob's user answers it like any other.
        let now = wire.now;
        wire.bob.answer_reinvite(now, bob, Ok(sdp(ANSWER))).unwrap();
        wire.settle();
        assert_eq!(wire.count(Alice, "INVITE"), 1 + round);
    }
    assert!(wire.sent.iter().rev().any(|m| text(&m.bytes).contains("Session-Expires: 600;refresher=uac")));
    // Alice's user was not bothered with any of it.
    assert_eq!(wire.events_of(Alice, alice).len(), 1);
    let now = wire.now;
    wire.alice.hang_up(now, alice, &[]).unwrap();
    wire.assert_nothing_is_left();
}

#[test]
fn a_session_that_nobody_refreshes_ends_with_bye() {
    let (mut wire, _, bob) = a_timed_call(600);
    wire.alice = Endpoint::new(EndpointConfig::default(), [9; 32]);
    wire.pass(Duration::from_secs(569));
    let ended = wire.ended(Bob, bob).unwrap();
    assert_eq!((ended.by, ended.how), (By::Us, How::Expired));
    assert_eq!(wire.count(Bob, "BYE"), 1);
    wire.assert_nothing_is_left();
}

#[test]
fn too_short_an_interval_is_422_and_asked_for_again() {
    let session_timers = Some(SessionTimers { interval: 1800, min: 300 });
    let config = EndpointConfig { session_timers, ..EndpointConfig::default() };
    let mut wire = Wire::with(Transport::Udp, EndpointConfig::default(), config);
    let mut dial = wire.a_dial(Alice);
    dial.timers = Some(SessionTimers { interval: 120, min: 90 });
    let now = wire.now;
    let alice = wire.alice.dial(now, dial).unwrap();
    wire.settle();
    assert_eq!(wire.count(Bob, "SIP/2.0 422"), 1);
    assert_eq!(wire.count(Alice, "INVITE"), 2);
    let bob = wire.came();
    wire.bob.accept(now, bob, sdp(ANSWER)).unwrap();
    wire.settle();
    assert!(wire.sent.iter().any(|m| text(&m.bytes).contains("Session-Expires: 300;refresher=uac")));
    assert!(matches!(wire.events_of(Alice, alice)[..], [SessionEvent::Answered { .. }]));
    wire.alice.hang_up(now, alice, &[]).unwrap();
    wire.assert_nothing_is_left();
}

#[test]
fn a_caller_that_knows_session_timers_and_asks_for_none_is_refreshed_by_us() {
    let mut solo = Solo::new();
    solo.hears(&an_invite("a", "Supported: timer\n"));
    let id = solo.incoming[0].session;
    solo.endpoint.accept(solo.now, id, sdp(ANSWER)).unwrap();
    let tag = solo.collect()[0].tag("To");
    solo.hears(&a_request("ACK", "k", &tag, 1, ""));
    assert!(solo.sent.iter().any(|(_, said)| said.get("Session-Expires") == "1800;refresher=uas"));
    let refresh = solo.pass(Duration::from_secs(901)).remove(0);
    assert!(refresh.line().starts_with("INVITE sip:carol@192.0.2.1:5060"));
    assert_eq!(refresh.body(), ANSWER);
    assert_eq!(refresh.tag("From"), tag);
    let ok = format!("Contact: <sip:carol@192.0.2.1:5060>\nContent-Type: application/sdp\n\n{OFFER}");
    assert!(solo.hears(&refresh.answered("200 OK", "", &ok))[0].line().starts_with("ACK"));
    assert!(solo.ended(id).is_none());
}
