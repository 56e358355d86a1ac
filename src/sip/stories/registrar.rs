//! Phones that register.

use super::*;
use crate::sip::digest::{Algorithm, Challenge, Ha1};
use crate::sip::header::{AuthValue, Method};
use crate::sip::register::{Accounts, Expiry, MAX_BINDINGS, Registrar};

#[derive(Debug)]
struct Phones;

impl Accounts for Phones {
    fn ha1(&self, user: &str, algorithm: Algorithm) -> Option<Ha1> {
        ["anna", "bert"].contains(&user).then(|| Ha1::new(algorithm, user, "example.com", "secret"))
    }
}

fn solo() -> Solo {
    let mut solo = Solo::new();
    let registrar = Registrar::new("example.com", Box::new(Phones), Expiry::default(), [5; 32], solo.now);
    solo.endpoint = Endpoint::new(EndpointConfig::default(), [3; 32]).with_registrar(registrar);
    solo
}

struct Phone {
    user: &'static str,
    password: &'static str,
    algorithm: Algorithm,
    cseq: u32,
}

impl Phone {
    fn new(user: &'static str) -> Phone {
        Phone { user, password: "secret", algorithm: Algorithm::Sha256, cseq: 0 }
    }

    fn register(&mut self, of: &str, more: &str) -> String {
        self.cseq += 1;
        let (user, cseq) = (self.user, self.cseq);
        format!(
            "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK{user}{cseq};rport\n\
             Max-Forwards: 70\nFrom: <sip:{of}@example.com>;tag=f\nTo: <sip:{of}@example.com>\n\
             Call-ID: {user}-phone\nCSeq: {cseq} REGISTER\n{more}"
        )
    }

    /// Registers, answering the challenge, and gives the final answer.
    fn registers_as(&mut self, solo: &mut Solo, of: &str, more: &str) -> Said {
        let no = solo.hears(&self.register(of, more)).remove(0);
        assert_eq!(no.line(), "SIP/2.0 401 Unauthorized");
        let values: Vec<AuthValue> = no
            .all("WWW-Authenticate")
            .iter()
            .map(|value| AuthValue::parse(sdp(value)).unwrap())
            .filter(|value| value.item("algorithm").unwrap() == *self.algorithm.as_str())
            .collect();
        let mut challenge = Challenge::choose(&values).unwrap();
        let signature =
            challenge.answer(self.user, self.password, &Method::Register, "sip:example.com", "c1");
        let signed = self.register(of, &format!("Authorization: {}\n{more}", text(&signature)));
        solo.hears(&signed).remove(0)
    }

    fn registers(&mut self, solo: &mut Solo, more: &str) -> Said {
        let of = self.user;
        self.registers_as(solo, of, more)
    }
}

#[test]
fn a_phone_registers_with_either_hash_and_is_found_where_it_came_from() {
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        let mut solo = solo();
        solo.peer.remote = "198.51.100.7:61234".parse().unwrap();
        let mut phone = Phone { algorithm, ..Phone::new("anna") };
        let ok = phone.registers(&mut solo, "Contact: <sip:anna@10.0.0.9:5060>;expires=120\n");
        assert_eq!(ok.line(), "SIP/2.0 200 OK");
        assert_eq!(ok.get("Contact"), "<sip:anna@10.0.0.9:5060>;expires=120");
        let now = solo.now;
        let found = solo.endpoint.registrar().unwrap().lookup(now, "anna");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].flow.remote, solo.peer.remote);
        assert_eq!(found[0].next_hop, NextHop::Pinned);
        assert_eq!(solo.registered, [Change { user: "anna".into(), bindings: 1 }]);
    }
}

#[test]
fn a_phone_whose_contact_is_its_address_is_called_by_the_rules() {
    let mut solo = solo();
    Phone::new("anna").registers(&mut solo, "Contact: <sip:anna@192.0.2.1:5060>\n");
    let now = solo.now;
    assert_eq!(solo.endpoint.registrar().unwrap().lookup(now, "anna")[0].next_hop, NextHop::Follow);
}

#[test]
fn the_challenge_offers_the_strong_hash_first() {
    let mut solo = solo();
    let no = solo.hears(&Phone::new("anna").register("anna", "")).remove(0);
    let algorithms: Vec<bool> =
        no.all("WWW-Authenticate").iter().map(|value| value.contains("algorithm=SHA-256")).collect();
    assert_eq!(algorithms, [true, false]);
}

#[test]
fn a_wrong_password_an_unknown_user_and_anothers_name_register_nothing() {
    let contact = "Contact: <sip:x@192.0.2.1>\n";
    let mut solo = solo();
    let mut wrong = Phone { password: "guess", ..Phone::new("anna") };
    assert_eq!(wrong.registers(&mut solo, contact).line(), "SIP/2.0 401 Unauthorized");
    assert_eq!(Phone::new("zoe").registers(&mut solo, contact).line(), "SIP/2.0 401 Unauthorized");
    let mut bert = Phone::new("bert");
    assert_eq!(bert.registers_as(&mut solo, "anna", contact).line(), "SIP/2.0 403 Forbidden");
    assert!(solo.endpoint.registrar().unwrap().is_empty() && solo.registered.is_empty());
}

#[test]
fn a_registration_runs_out_unless_it_is_refreshed() {
    let mut solo = solo();
    let mut anna = Phone::new("anna");
    anna.registers(&mut solo, "Contact: <sip:anna@10.0.0.9>;expires=60\n");
    solo.pass(Duration::from_secs(50));
    anna.registers(&mut solo, "Contact: <sip:anna@10.0.0.9>;expires=60\n");
    solo.pass(Duration::from_secs(50));
    let now = solo.now;
    assert_eq!(solo.endpoint.registrar().unwrap().lookup(now, "anna").len(), 1);
    solo.pass(Duration::from_secs(11));
    let now = solo.now;
    assert!(solo.endpoint.registrar().unwrap().lookup(now, "anna").is_empty());
    assert_eq!(solo.registered.last(), Some(&Change { user: "anna".into(), bindings: 0 }));
    solo.assert_nothing_is_left();
}

#[test]
fn too_short_a_wish_is_423_and_too_long_a_one_is_cut() {
    let mut solo = solo();
    let mut anna = Phone::new("anna");
    let no = anna.registers(&mut solo, "Contact: <sip:anna@10.0.0.9>\nExpires: 5\n");
    assert_eq!((no.line(), no.get("Min-Expires")), ("SIP/2.0 423 Interval Too Brief", "60"));
    let ok = anna.registers(&mut solo, "Contact: <sip:anna@10.0.0.9>\nExpires: 99999\n");
    assert!(ok.get("Contact").ends_with("expires=3600"));
}

#[test]
fn contacts_are_listed_ranked_removed_one_by_one_and_all_at_once() {
    let mut solo = solo();
    let mut anna = Phone::new("anna");
    anna.registers(&mut solo, "Contact: <sip:desk@10.0.0.9>;q=0.2, <sip:soft@10.0.0.9>;q=0.8\n");
    let fetched = anna.registers(&mut solo, "");
    assert_eq!(fetched.all("Contact").len(), 2);
    let now = solo.now;
    let ranked: Vec<String> = solo
        .endpoint
        .registrar()
        .unwrap()
        .lookup(now, "anna")
        .iter()
        .map(|binding| binding.contact.user().unwrap().to_owned())
        .collect();
    assert_eq!(ranked, ["soft", "desk"]);
    let left = anna.registers(&mut solo, "Contact: <sip:soft@10.0.0.9>;expires=0\n");
    assert_eq!(left.all("Contact").len(), 1);
    assert_eq!(anna.registers(&mut solo, "Contact: *\n").line(), "SIP/2.0 400 Bad Request");
    let none = anna.registers(&mut solo, "Contact: *\nExpires: 0\n");
    assert!(none.line().contains("200") && none.all("Contact").is_empty());
    assert!(solo.endpoint.registrar().unwrap().is_empty());
}

#[test]
fn more_contacts_than_a_person_has_phones_are_refused_and_change_nothing() {
    let mut solo = solo();
    let contacts: Vec<String> = (0..=MAX_BINDINGS).map(|i| format!("<sip:p{i}@10.0.0.9>")).collect();
    let no = Phone::new("anna").registers(&mut solo, &format!("Contact: {}\n", contacts.join(",")));
    assert_eq!(no.line(), "SIP/2.0 503 Service Unavailable");
    assert!(solo.endpoint.registrar().unwrap().is_empty());
}

#[test]
fn a_phone_on_a_connection_is_gone_with_it() {
    let mut solo = solo();
    solo.peer.transport = Transport::Tcp;
    solo.peer.connection = Some(ConnectionId(4));
    Phone::new("anna").registers(&mut solo, "Contact: <sip:anna@192.0.2.1;transport=tcp>\n");
    assert_eq!(solo.endpoint.registrar().unwrap().len(), 1);
    solo.endpoint.connection_gone(solo.now, ConnectionId(4), None);
    solo.collect();
    assert!(solo.endpoint.registrar().unwrap().is_empty());
    assert_eq!(solo.registered.last(), Some(&Change { user: "anna".into(), bindings: 0 }));
}

#[test]
fn a_caller_proves_who_it_is_and_cannot_be_another() {
    let mut solo = solo();
    for (from, proves) in [("anna", true), ("bert", false)] {
        let invite = an_invite(from, "")
            .replace("by-hand", from)
            .replace("sip:carol@192.0.2.1>;", &format!("sip:{from}@x>;"));
        solo.hears(&invite);
        let now = solo.now;
        let request = solo.incoming.last().unwrap().request.clone();
        let asked = solo.endpoint.registrar().unwrap().authenticate(now, &request).unwrap_err();
        let values: Vec<AuthValue> =
            asked.iter().map(|value| AuthValue::parse(sdp(value)).unwrap()).collect();
        let mut challenge = Challenge::choose(&values).unwrap();
        let signature = challenge.answer("anna", "secret", &Method::Invite, "sip:bob@192.0.2.2", "c");
        let signed = an_invite(&format!("{from}2"), &format!("Authorization: {}\n", text(&signature)))
            .replace("by-hand", &format!("{from}2"))
            .replace("sip:carol@192.0.2.1>;", &format!("sip:{from}@x>;"));
        solo.hears(&signed);
        let request = solo.incoming.last().unwrap().request.clone();
        let who = solo.endpoint.registrar().unwrap().authenticate(now, &request);
        assert_eq!(who.is_ok(), proves);
    }
}
