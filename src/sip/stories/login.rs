//! Calls to a peer that asks for name and password.

use super::*;
use crate::sip::login::Credentials;
use crate::sip::session::How;

const ASKS: &str = "WWW-Authenticate: Digest realm=\"carrier\",nonce=\"n1\",algorithm=MD5,qop=\"auth\"\n";
const PROXY_ASKS: &str = "Proxy-Authenticate: Digest realm=\"edge\",nonce=\"p1\"\n";

fn with_password(dial: &mut Dial) {
    dial.credentials = Some(Credentials::new("trunk", "secret"));
}

#[test]
fn a_challenged_call_is_signed_and_goes_through_and_so_does_its_bye() {
    let mut solo = Solo::new();
    let (id, invite) = solo.dials(with_password);
    assert!(invite.all("Authorization").is_empty());
    let said = solo.hears(&invite.answered("401 Unauthorized", "t", ASKS));
    assert!(said[0].line().starts_with("ACK"));
    let signed = &said[1];
    assert!(signed.get("Authorization").contains("username=\"trunk\""));
    assert!(signed.get("Authorization").contains("nc=00000001"));
    assert_eq!(signed.get("Call-ID"), invite.get("Call-ID"));
    assert_ne!(signed.get("CSeq"), invite.get("CSeq"));
    assert_ne!(signed.get("Via"), invite.get("Via"));

    let proxy = solo.hears(&signed.answered("407 Proxy Authentication Required", "t", PROXY_ASKS));
    let twice = &proxy[1];
    assert!(twice.get("Proxy-Authorization").contains("realm=\"edge\""));
    assert!(twice.get("Authorization").contains("nc=00000002"));

    let ack = solo.hears(&twice.answered("200 OK", "u", "Contact: <sip:c@192.0.2.1>\n")).remove(0);
    // RFC 3261 section 13.2.2.4: the ACK carries the credentials of its INVITE.
    assert_eq!(ack.get("Authorization"), twice.get("Authorization"));
    solo.endpoint.hang_up(solo.now, id, &[]).unwrap();
    let bye = solo.collect().remove(0);
    assert!(bye.get("Authorization").contains("nc=00000003"));
    // The nonce has grown old: one more round, and no third.
    let stale = ASKS.replace("n1", "n2");
    let again = solo.hears(&bye.answered("401 Unauthorized", "", &stale)).remove(0);
    assert!(again.get("Authorization").contains("nonce=\"n2\""));
    assert!(solo.hears(&again.answered("401 Unauthorized", "", &stale)).is_empty());
    solo.assert_nothing_is_left();
}

#[test]
fn a_wrong_password_is_told_after_one_attempt() {
    let mut solo = Solo::new();
    let (id, invite) = solo.dials(with_password);
    let signed = solo.hears(&invite.answered("401 Unauthorized", "t", ASKS)).remove(1);
    let said = solo.hears(&signed.answered("401 Unauthorized", "t", &ASKS.replace("n1", "n2")));
    assert_eq!(said.len(), 1); // the ACK
    let ended = solo.ended(id).unwrap();
    assert_eq!((ended.how, ended.status), (How::Refused, Some(401)));
    solo.assert_nothing_is_left();
}

#[test]
fn a_server_that_calls_every_nonce_stale_does_not_keep_us_busy() {
    let mut solo = Solo::new();
    let (id, mut invite) = solo.dials(with_password);
    let stale = ASKS.trim_end().to_owned() + ",stale=true\n";
    let mut rounds = 0;
    while solo.ended(id).is_none() {
        let said = solo.hears(&invite.answered("401 Unauthorized", "t", &stale));
        if let Some(next) = said.get(1) {
            invite = next.clone();
        }
        rounds += 1;
    }
    assert_eq!(rounds, 4);
    solo.assert_nothing_is_left();
}

#[test]
fn without_a_password_a_challenge_is_a_refusal() {
    let mut solo = Solo::new();
    let (id, invite) = solo.dials(|_| {});
    solo.hears(&invite.answered("401 Unauthorized", "t", ASKS));
    assert_eq!(solo.ended(id).unwrap().status, Some(401));
    solo.assert_nothing_is_left();
}

#[test]
fn a_password_shows_in_no_log() {
    let mut solo = Solo::new();
    solo.dials(with_password);
    assert!(format!("{:?}", solo.endpoint).contains("trunk"));
    assert!(!format!("{:?}", solo.endpoint).contains("secret"));
}
