//! Registering at a carrier, in virtual time.

use super::door::{House, udp};
use super::trunks::house;
use super::*;
use crate::call::door::Report;

const REGISTRAR: &str = "192.0.2.1:5060";

const REALM: &str = "carrier.example.net";

fn registering(more: &str) -> House {
    house(
        "\"192.0.2.1:5060\"",
        &format!(
            "auth = {{ username = \"acme\", password_env = \"PASSWORD\", realm = \"{REALM}\" }}\n\
             register = {{ registrar = \"192.0.2.1:5060\", address_of_record = \"sip:+15550100@sip.example.net\", \
             expires_s = 3600 }}\n{more}"
        ),
    )
}

fn challenge(realm: &str) -> String {
    format!("WWW-Authenticate: Digest realm=\"{realm}\",nonce=\"n1\",qop=\"auth\",algorithm=SHA-256\n")
}

impl House {
    /// Waits for the next REGISTER, at most so long, and tells how long it took.
    fn registers_within(&mut self, most: Duration) -> Option<(Duration, Said)> {
        let begun = self.now;
        while self.now - begun <= most {
            let said = self.pass(Duration::from_secs(1)).into_iter();
            if let Some(said) = said.into_iter().find(|said| said.line().starts_with("REGISTER ")) {
                return Some((self.now - begun, said));
            }
        }
        None
    }

    /// The first REGISTER of a house left the building before anybody looked; this is the next new one.
    fn registers(&mut self) -> Said {
        self.registers_within(Duration::from_secs(60)).expect("a REGISTER").1
    }

    fn answers(&mut self, to: &Said, status: &str, more: &str) -> Option<Said> {
        let said = self.hears(udp(REGISTRAR), &to.answered(status, "r", more));
        said.into_iter().find(|said| said.line().starts_with("REGISTER "))
    }

    /// Registers, with the password asked for.
    fn is_registered(&mut self, granted: &str) -> Said {
        let first = self.registers();
        let signed = self.answers(&first, "401 Unauthorized", &challenge(REALM)).expect("a signed one");
        assert_eq!(self.answers(&signed, "200 OK", granted).map(|s| s.0), None);
        signed
    }

    fn turned(&mut self) -> Option<(bool, String)> {
        let last = self.told().into_iter().rev();
        last.into_iter().find_map(|r| match r {
            Report::Trunk { up, detail, .. } => Some((up, detail)),
            _ => None,
        })
    }
}

#[test]
fn a_trunk_registers_with_its_password_and_again_before_the_time_is_over() {
    let mut house = registering("");
    let first = house.registers();
    assert_eq!(first.line(), "REGISTER sip:sip.example.net SIP/2.0");
    assert_eq!(first.get("To"), "<sip:+15550100@sip.example.net>");
    assert_eq!(first.get("Contact"), "<sip:+15550100@192.0.2.2:5060>");
    assert_eq!((first.get("Expires"), first.get("Authorization")), ("3600", ""));
    let signed = house.answers(&first, "401 Unauthorized", &challenge(REALM)).unwrap();
    assert!(signed.get("Authorization").contains("uri=\"sip:sip.example.net\""), "{}", signed.0);
    assert_eq!((signed.get("Call-ID"), signed.tag("From")), (first.get("Call-ID"), first.tag("From")));
    assert_ne!(signed.get("CSeq"), first.get("CSeq"));
    // Our Contact among others of the account, and the time that stands at it, not the one in Expires.
    let granted =
        "Contact: <sip:other@192.0.2.77>;expires=9, <sip:+15550100@192.0.2.2:5060>;expires=100\nExpires: 7\n";
    assert!(house.answers(&signed, "200 OK", granted).is_none());
    assert_eq!(house.turned(), Some((true, "registered".into())));
    for _ in 0..5 {
        let (after, again) = house.registers_within(Duration::from_secs(100)).unwrap();
        assert!((50..=81).contains(&after.as_secs()), "{after:?}");
        assert!(again.get("Authorization").contains("n1"), "signed before it is asked to be");
        assert!(house.answers(&again, "200 OK", granted).is_none());
        assert_eq!(house.turned(), None, "a refresh is no news");
    }
}

#[test]
fn a_registrar_of_another_realm_gets_no_password() {
    let mut house = registering("");
    let first = house.registers();
    assert!(house.answers(&first, "401 Unauthorized", &challenge("evil.example.org")).is_none());
    assert_eq!(house.turned(), Some((false, "the registrar answers 401".into())));
}

#[test]
fn a_wrong_password_is_tried_once_and_then_from_time_to_time() {
    let mut house = registering("");
    let mut waits = Vec::new();
    let mut at = house.registers();
    for _ in 0..7 {
        // The second refusal of one nonce means that the password is wrong.
        while let Some(again) = house.answers(&at, "401 Unauthorized", &challenge(REALM)) {
            at = again;
        }
        let (after, next) = house.registers_within(Duration::from_secs(1_200)).unwrap();
        waits.push(after.as_secs());
        at = next;
    }
    for (wait, least) in waits.iter().zip([30, 60, 120, 240, 480, 900, 900]) {
        assert!((least..=least * 12 / 10 + 1).contains(wait), "{waits:?}");
    }
    assert_eq!(house.turned(), Some((false, "the registrar answers 401".into())));
}

#[test]
fn a_registrar_may_ask_for_a_longer_time_and_for_patience() {
    let mut house = registering("retry_after_max_s = 600");
    let first = house.registers();
    let longer = house.answers(&first, "423 Interval Too Brief", "Min-Expires: 7200\n").unwrap();
    assert_eq!(longer.get("Expires"), "7200");
    // The same again is a registrar that does not know what it wants.
    assert!(house.answers(&longer, "423 Interval Too Brief", "Min-Expires: 7200\n").is_none());
    let (_, again) = house.registers_within(Duration::from_secs(60)).unwrap();
    assert!(house.answers(&again, "503 Service Unavailable", "Retry-After: 500\n").is_none());
    let (after, again) = house.registers_within(Duration::from_secs(700)).unwrap();
    assert!((500..=601).contains(&after.as_secs()), "{after:?}");
    assert!(house.answers(&again, "503 Service Unavailable", "Retry-After: 90000\n").is_none());
    let (after, _) = house.registers_within(Duration::from_secs(800)).unwrap();
    assert!(after.as_secs() >= 600, "no longer than the file lets it: {after:?}");
}

#[test]
fn what_was_granted_holds_while_the_registrar_is_silent_and_no_longer() {
    let mut house = registering("");
    house.is_registered("Expires: 200\n");
    assert_eq!(house.turned(), Some((true, "registered".into())));
    // 80 % are 160 s, and 32 s of silence after it the time is not over yet.
    house.pass(Duration::from_secs(190));
    assert_eq!(house.turned(), None);
    house.pass(Duration::from_secs(20));
    assert_eq!(house.turned(), Some((false, "the registration has run out".into())));
    let back = house.registers_within(Duration::from_secs(300)).unwrap().1;
    assert!(house.answers(&back, "200 OK", "").is_none());
    assert_eq!(house.turned(), Some((true, "registered".into())));
}

#[test]
fn a_gateway_that_drains_ends_its_registrations_and_makes_no_other() {
    let mut house = registering("");
    let signed = house.is_registered("");
    house.door.take_no_more(house.now);
    let said = house.collect();
    let bye = said.iter().find(|said| said.line().starts_with("REGISTER ")).expect("the end of it");
    assert_eq!((bye.get("Expires"), bye.get("Call-ID")), ("0", signed.get("Call-ID")));
    assert!(bye.get("Authorization").contains("n1"));
    house.hears(udp(REGISTRAR), &bye.answered("200 OK", "r", ""));
    assert!(house.registers_within(Duration::from_secs(7_200)).is_none());
}

#[test]
fn the_end_of_a_registration_is_said_again_with_the_password_when_it_is_asked_for() {
    let mut house = registering("");
    house.is_registered("");
    house.door.take_no_more(house.now);
    let said = house.collect();
    let bye = said.into_iter().find(|said| said.line().starts_with("REGISTER ")).expect("the end of it");
    assert!(house.door.is_leaving());
    // The nonce of the beginning is too old by now.
    let fresh = challenge(REALM).replace("n1", "n2");
    let again = house.answers(&bye, "401 Unauthorized", &fresh).expect("the end of it, signed anew");
    assert_eq!((again.get("Expires"), again.get("Call-ID")), ("0", bye.get("Call-ID")));
    assert!(again.get("Authorization").contains("n2"), "{}", again.0);
    assert_ne!(again.get("CSeq"), bye.get("CSeq"));
    // A password that is wrong by now is not tried for ever, and no other realm gets any.
    let other = challenge("evil.example.org");
    assert!(house.answers(&again, "401 Unauthorized", &other).is_none());
    assert!(!house.door.is_leaving(), "it runs out by itself");
    assert!(house.registers_within(Duration::from_secs(7_200)).is_none());
}

#[test]
fn a_registration_that_changes_begins_when_the_old_one_has_ended() {
    let mut house = registering("");
    let old = house.is_registered("");
    let mut changed = sbc_config::Config::clone(&house.config.load());
    changed.trunks[0].register.as_mut().unwrap().expires = Duration::from_secs(600);
    house.config.store(std::sync::Arc::new(changed));
    let bye = house.registers();
    assert_eq!((bye.get("Expires"), bye.get("Call-ID")), ("0", old.get("Call-ID")));
    // Were it to arrive after the new one, it would take that away.
    let fresh = challenge(REALM).replace("n1", "n2");
    let again = house.answers(&bye, "401 Unauthorized", &fresh).expect("the end of it, signed anew");
    assert_eq!(again.get("Expires"), "0");
    assert!(house.answers(&again, "200 OK", "").is_none());
    let new = house.registers();
    assert_eq!(new.get("Expires"), "600");
    assert_ne!(new.get("Call-ID"), old.get("Call-ID"));
}

#[test]
fn a_trunk_that_answers_options_is_not_up_before_it_is_registered() {
    let mut house = registering("options_s = 60");
    let mut options =
        house.pass(Duration::from_secs(61)).into_iter().filter(|s| s.line().starts_with("OPTIONS "));
    let last = options.next_back().unwrap();
    assert_eq!(house.turned(), Some((false, "no answer from the registrar".into())));
    house.hears(udp(REGISTRAR), &last.answered("200 OK", "t", ""));
    assert_eq!(house.turned(), None, "it answers, and knows us not yet");
    let first = house.registers_within(Duration::from_secs(120)).unwrap().1;
    assert!(house.answers(&first, "200 OK", "").is_none());
    assert_eq!(house.turned().map(|(up, _)| up), Some(true));
}
