//! A call that a proxy sends to several phones at once.

use super::*;
use crate::sip::endpoint::MAX_FORKS;
use crate::sip::session::How;

const CONTACT: &str = "Contact: <sip:phone@192.0.2.1:5070>\n";

#[test]
fn each_fork_rings_under_its_tag_and_the_one_that_answers_has_the_call() {
    let mut solo = Solo::new();
    let (id, invite) = solo.dials(|_| {});
    for tag in ["desk", "mobile"] {
        solo.hears(&invite.answered("180 Ringing", tag, CONTACT));
    }
    let late = format!("{CONTACT}Content-Type: application/sdp\n\n{ANSWER}");
    let said = solo.hears(&invite.answered("200 OK", "soft", &late));
    assert!(said[0].line().starts_with("ACK sip:phone@192.0.2.1:5070"));
    assert_eq!(said[0].tag("To"), "soft");
    let forks: Vec<String> = solo
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            SessionEvent::Provisional { fork, .. } | SessionEvent::Answered { fork, .. } => {
                Some(fork.to_string())
            }
            _ => None,
        })
        .collect();
    assert_eq!(forks, ["desk", "mobile", "soft"]);
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    let bye = solo.collect().remove(0);
    solo.hears(&bye.answered("200 OK", "", ""));
    solo.assert_nothing_is_left();
}

#[test]
fn a_second_phone_that_answers_is_acknowledged_and_hung_up() {
    let mut solo = Solo::new();
    let (id, invite) = solo.dials(|_| {});
    let body = format!("{CONTACT}Content-Type: application/sdp\n\n{ANSWER}");
    solo.hears(&invite.answered("200 OK", "one", &body));
    let second = invite.answered("200 OK", "two", &body);
    let said = solo.hears(&second);
    let lines: Vec<&str> = said.iter().map(|said| said.line().split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["ACK", "BYE"]);
    assert!(said.iter().all(|said| said.tag("To") == "two"));
    // Its 200 comes again: acknowledged again, hung up once.
    let again: Vec<Said> = solo.hears(&second);
    assert_eq!(again.len(), 1);
    assert!(again[0].line().starts_with("ACK"));
    assert!(solo.ended(id).is_none());
    solo.hears(&said[1].answered("200 OK", "", ""));
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    solo.assert_nothing_is_left();
}

#[test]
fn a_200_that_comes_again_is_acknowledged_again_and_told_once() {
    let mut solo = Solo::new();
    let (_, invite) = solo.dials(|_| {});
    let ok = invite.answered("200 OK", "one", &format!("{CONTACT}Content-Type: application/sdp\n\n{ANSWER}"));
    let first = solo.hears(&ok).remove(0);
    let second = solo.hears(&ok).remove(0);
    assert_eq!(first.0, second.0);
    assert_eq!(solo.events.len(), 1);
}

#[test]
fn more_forks_than_allowed_are_not_followed() {
    let mut solo = Solo::new();
    let (id, invite) = solo.dials(|_| {});
    for i in 0..MAX_FORKS + 10 {
        solo.hears(&invite.answered("180 Ringing", &format!("f{i}"), CONTACT));
    }
    assert_eq!(solo.events.len(), MAX_FORKS);
    solo.hears(&invite.answered("486 Busy Here", "f1", ""));
    assert_eq!(solo.ended(id).unwrap().how, How::Refused);
    solo.assert_nothing_is_left();
}

#[test]
fn a_redirection_is_reported_with_its_contacts_and_not_followed() {
    let mut solo = Solo::new();
    let (id, invite) = solo.dials(|_| {});
    let more = "Contact: <sip:a@192.0.2.8>;q=0.9, <sip:b@192.0.2.9;x=%20y>\n";
    let said = solo.hears(&invite.answered("302 Moved Temporarily", "r", more));
    assert_eq!(said.len(), 1); // the ACK and nothing else
    let ended = solo.ended(id).unwrap();
    assert_eq!((ended.how, ended.status), (How::Refused, Some(302)));
    let contacts: Vec<&str> = ended.contacts.iter().map(|contact| contact.uri.as_str()).collect();
    assert_eq!(contacts, ["sip:a@192.0.2.8", "sip:b@192.0.2.9;x=%20y"]);
    solo.assert_nothing_is_left();
}

#[test]
fn a_callee_that_rings_for_ever_is_cancelled_at_last() {
    let mut solo = Solo::new();
    let (id, invite) = solo.dials(|_| {});
    solo.hears(&invite.answered("180 Ringing", "r", CONTACT));
    let said = solo.pass(Duration::from_secs(181));
    assert!(said.iter().any(|said| said.line().starts_with("CANCEL")));
    assert_eq!(solo.ended(id).unwrap().how, How::NoAnswer);
    solo.assert_nothing_is_left();
}

#[test]
fn a_cancel_that_is_ignored_is_forgotten_after_32_seconds() {
    let mut solo = Solo::new();
    let (id, invite) = solo.dials(|_| {});
    solo.hears(&invite.answered("180 Ringing", "r", CONTACT));
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    let cancel = solo.collect().remove(0);
    assert_eq!(cancel.get("Via"), invite.get("Via"));
    assert_eq!(cancel.get("CSeq"), invite.get("CSeq").replace("INVITE", "CANCEL"));
    solo.hears(&cancel.answered("200 OK", "r", ""));
    assert_eq!(solo.ended(id).unwrap().how, How::Cancelled);
    assert_eq!(solo.endpoint.sessions(), 1);
    solo.assert_nothing_is_left();
}
