//! The door in virtual time: messages and orders in, messages and reports out. The peers speak by hand.

mod attested;
mod diverted;
mod fax;
mod loops;
mod pitfalls;
mod refer;
mod srtp;
mod teams;

use std::sync::Arc;

use arc_swap::ArcSwap;
use sbc_config::{Config, PersonId, SecretError, SecretSource, TrunkId};
use sidetone_media::codec::Codec;

use super::*;
use crate::call::door::{AgreedMedia, Caller, Incoming as Came, MediaEnd, Order, Origin, Report};
use crate::call::{Address, Cause, LegAction, LegEvent, LegId, Target};
use crate::sip::digest::Challenge;
use crate::sip::door::{Door, Wanted};
use crate::sip::header::{AuthValue, Method};
use crate::sip::names::Names;
use crate::sip::names::ask::Word;

pub(super) const CARRIER: &str = "192.0.2.1:5060";
const PHONE: &str = "198.51.100.7:61234";
const BOB: &str = "192.0.2.9:5060";

const OUR_RTP: &str = "192.0.2.2:20000";

const CONFIG: &str = r#"
[server]
name = "test"
database = "sqlite::memory:"
[sip]
udp = "192.0.2.2:5060"
realm = "example.com"
[media]
listen = "192.0.2.2"
ports = "20000-20099"
codecs = ["PCMU", "PCMA", "G722"]
[api]
listen = "127.0.0.1:0"
[[tenant]]
id = "acme"
name = "Acme"
[[team]]
id = "support"
tenant = "acme"
name = "Support"
[[person]]
id = "alice"
tenant = "acme"
role = "agent"
teams = ["support"]
extension = "100"
register = { username = "alice", password_env = "PASSWORD" }
[[person]]
id = "bob"
tenant = "acme"
role = "agent"
teams = ["support"]
extension = "101"
contact = "sip:bob@192.0.2.9:5060"
[[trunk]]
id = "carrier"
tenant = "acme"
sources = ["192.0.2.1/32"]
destination = "192.0.2.1:5060;transport=udp"
caller_identity = "p_asserted_identity"
prack = "PRACK"
OPTIONS
[[route]]
id = "line"
tenant = "acme"
number = "+15550100"
targets = ["alice"]
"#;

pub(super) struct Secrets;

impl SecretSource for Secrets {
    fn file(&self, _: &str) -> Result<String, SecretError> {
        Err(SecretError::NotFound)
    }

    fn env(&self, _: &str) -> Result<String, SecretError> {
        Ok("secret-of-alice".into())
    }
}

pub(super) fn config(prack: &str, options: &str) -> Config {
    let text = CONFIG.replace("PRACK", prack).replace("OPTIONS", options);
    match Config::parse(&text, &Secrets) {
        Ok(config) => config,
        Err(findings) => panic!("{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>()),
    }
}

/// The door, the time, and what it said.
pub(super) struct House {
    pub(super) now: Instant,
    pub(super) door: Door,
    reports: Vec<Report>,
    closed: Vec<ConnectionId>,
    pub(super) words: Vec<Word>,
    sent_to: Vec<Destination>,
    names: Arc<ArcSwap<Names>>,
    pub(super) config: Arc<ArcSwap<Config>>,
}

pub(super) fn udp(remote: &str) -> Peer {
    let (remote, local) = (remote.parse().unwrap(), "192.0.2.2:5060".parse().unwrap());
    Peer { transport: Transport::Udp, remote, local, connection: None, tls: None }
}

impl House {
    fn new() -> House {
        House::with(config("supported", ""))
    }

    pub(super) fn with(config: Config) -> House {
        let now = Instant::now();
        let config = Arc::new(ArcSwap::from_pointee(config));
        let names = Arc::new(ArcSwap::from_pointee(Names::new(&config.load().dns)));
        let us = (crate::sip::uri::Host::from(std::net::IpAddr::from([192, 0, 2, 2])), 5060);
        let endpoint = EndpointConfig { advertised_udp: Some(us), ..EndpointConfig::default() };
        let door = Door::new(config.clone(), names.clone(), endpoint, [7; 32], now);
        let (reports, closed, words) = (Vec::new(), Vec::new(), Vec::new());
        let mut house = House { now, door, reports, closed, words, sent_to: Vec::new(), names, config };
        house.pass(Duration::ZERO);
        house
    }

    pub(super) fn collect(&mut self) -> Vec<Said> {
        let mut fresh = Vec::new();
        while let Some(wanted) = self.door.poll() {
            match wanted {
                Wanted::Transmit(to, octets) => {
                    self.sent_to.push(to);
                    fresh.push(Said(text(&octets)));
                }
                Wanted::Report(report) => self.reports.push(report),
                Wanted::Close(connection) => self.closed.push(connection),
                Wanted::Tell(word) => self.words.push(word),
            }
        }
        fresh
    }

    /// The peer says this: lines end with \n here, and Content-Length is added.
    pub(super) fn hears(&mut self, from: Peer, message: &str) -> Vec<Said> {
        let (head, body) = message.split_once("\n\n").unwrap_or((message.trim_end(), ""));
        let head = head.trim_end().replace('\n', "\r\n");
        let whole = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.door.receive(self.now, from, Bytes::from(whole));
        self.collect()
    }

    pub(super) fn order(&mut self, leg: LegId, action: LegAction, prefer: &[Codec]) -> Vec<Said> {
        let media = Some(MediaEnd { rtp: OUR_RTP.parse().unwrap() });
        let caller = Some(Caller::shown("+15550001", Some("Carol \"C\" Customer".into())));
        let order = Order { leg, action, media, prefer: prefer.to_vec(), caller, card: None };
        self.door.order(self.now, order);
        self.collect()
    }

    pub(super) fn pass(&mut self, span: Duration) -> Vec<Said> {
        let until = self.now + span;
        let mut all = self.collect();
        while let Some(at) = self.door.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.door.handle_timeout(self.now);
            all.extend(self.collect());
        }
        self.now = until;
        all
    }

    /// What the switchboard was told since the last look.
    pub(super) fn told(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }

    pub(super) fn events(&mut self) -> Vec<LegEvent> {
        let told = self.told();
        told.into_iter()
            .filter_map(|r| if let Report::Leg(_, event) = r { Some(event) } else { None })
            .collect()
    }

    /// What happened to a leg, and what was agreed for it, told apart.
    fn happened(&mut self) -> (Vec<LegEvent>, Vec<AgreedMedia>) {
        let (mut events, mut agreed) = (Vec::new(), Vec::new());
        for report in self.told() {
            match report {
                Report::Leg(_, event) => events.push(event),
                Report::Agreed(_, media) => agreed.push(*media),
                Report::Incoming(_)
                | Report::Trunk { .. }
                | Report::Refers { .. }
                | Report::Joins { .. }
                | Report::Correlated(..) => {}
            }
        }
        (events, agreed)
    }

    pub(super) fn came(&mut self) -> Came {
        match self.told().remove(0) {
            Report::Incoming(incoming) => incoming,
            other => panic!("{other:?}"),
        }
    }

    /// A call from the carrier that is up: its leg and our To tag.
    fn carrier_is_answered(&mut self) -> (LegId, String) {
        self.hears(udp(CARRIER), &invite("a", "", &offer("0 8", "")));
        let leg = self.came().leg;
        let ok = self.order(leg, LegAction::Answer, &[]).remove(0);
        let tag = ok.tag("To");
        self.hears(udp(CARRIER), &inside("ACK", "a-ack", &tag, 1, "", ""));
        self.told();
        (leg, tag)
    }

    /// A call of ours to a number beyond the trunk, and its INVITE.
    pub(super) fn dials_carrier(&mut self, prefer: &[Codec]) -> (LegId, Said) {
        let leg = LegId(77);
        let invite = self.order(leg, LegAction::Dial(beyond_the_trunk()), prefer).remove(0);
        (leg, invite)
    }

    /// A call from Alice's telephone: its leg.
    fn alice_calls(&mut self) -> LegId {
        let no = self.hears(udp(PHONE), &alices_invite(1, "alice", "")).pop().unwrap();
        let uri = "sip:+15550123@example.com";
        let right = signature(&no, "secret-of-alice", &Method::Invite, uri);
        self.hears(udp(PHONE), &alices_invite(2, "alice", &right));
        self.came().leg
    }

    /// Alice's telephone registers.
    fn alice_registers(&mut self) {
        let register = "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKrN;rport\n\
             Max-Forwards: 70\nFrom: <sip:alice@example.com>;tag=f\nTo: <sip:alice@example.com>\n\
             Call-ID: reg\nCSeq: N REGISTER\nContact: <sip:alice@10.0.0.5:5060>;expires=600\n";
        let no = self.hears(udp(PHONE), &register.replace('N', "1")).remove(0);
        let signed = signature(&no, "secret-of-alice", &Method::Register, "sip:example.com");
        let ok = self.hears(udp(PHONE), &format!("{}{signed}", register.replace('N', "2"))).remove(0);
        assert_eq!(ok.line(), "SIP/2.0 200 OK");
    }
}

pub(super) fn beyond_the_trunk() -> Target {
    let address = Address::Trunk { trunk: TrunkId::new("carrier").unwrap(), number: "+15550123".into() };
    Target { address, name: "+15550123".into() }
}

fn person(id: &str) -> Target {
    Target { address: Address::Person(PersonId::new(id).unwrap()), name: id.into() }
}

/// An Authorization line that answers the challenge in `no`.
fn signature(no: &Said, password: &str, method: &Method, uri: &str) -> String {
    let challenges = no.all("WWW-Authenticate");
    let values: Vec<AuthValue> =
        challenges.iter().map(|value| AuthValue::parse(sdp(value)).unwrap()).collect();
    let mut challenge = Challenge::choose(&values).unwrap();
    format!("Authorization: {}\n", text(&challenge.answer("alice", password, method, uri, "c1")))
}

pub(super) fn offer(formats: &str, direction: &str) -> String {
    offer_at("192.0.2.1", formats, direction)
}

fn offer_at(ip: &str, formats: &str, direction: &str) -> String {
    let direction = if direction.is_empty() { String::new() } else { format!("a={direction}\r\n") };
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 4000 RTP/AVP {formats}\r\n{direction}"
    )
}

fn with_body(head: String, body: &str) -> String {
    if body.is_empty() { head } else { format!("{head}Content-Type: application/sdp\n\n{body}") }
}

/// An INVITE from the carrier to our line.
fn invite(branch: &str, more: &str, body: &str) -> String {
    let head = format!(
        "INVITE sip:+15550100@192.0.2.2 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{branch};rport\n\
         Max-Forwards: 70\nFrom: \"Carol\" <sip:+15550001@192.0.2.1>;tag=carol\nTo: <sip:+15550100@192.0.2.2>\n\
         Call-ID: by-hand\nCSeq: 1 INVITE\nContact: <sip:carol@192.0.2.1:5060>\n{more}"
    );
    with_body(head, body)
}

fn inside(method: &str, branch: &str, tag: &str, cseq: u32, more: &str, body: &str) -> String {
    let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    let head = format!(
        "{method} sip:sidetone@192.0.2.2 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{branch};rport\n\
         Max-Forwards: 70\nFrom: \"Carol\" <sip:+15550001@192.0.2.1>;tag=carol\n\
         To: <sip:+15550100@192.0.2.2>{tag}\nCall-ID: by-hand\nCSeq: {cseq} {method}\n\
         Contact: <sip:carol@192.0.2.1:5060>\n{more}"
    );
    with_body(head, body)
}

/// An INVITE from Alice's telephone.
fn alices_invite(cseq: u32, from: &str, more: &str) -> String {
    let head = format!(
        "INVITE sip:+15550123@example.com SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKal{cseq};rport\n\
         Max-Forwards: 70\nFrom: <sip:{from}@example.com>;tag=al\nTo: <sip:+15550123@example.com>\n\
         Call-ID: alices\nCSeq: {cseq} INVITE\nContact: <sip:alice@10.0.0.5:5060>\n{more}"
    );
    with_body(head, &offer_at("10.0.0.5", "0", ""))
}

const CONTACT: &str = "Contact: <sip:far@192.0.2.1:5060>\n";

fn answered_with(invite: &Said, status: &str, body: &str) -> String {
    with_body(invite.answered(status, "far", CONTACT), body)
}

// Who may come in.

#[test]
fn a_call_from_a_source_range_is_the_trunks_whatever_its_headers_say() {
    let mut house = House::new();
    let asserted = "P-Asserted-Identity: \"Real\" <sip:+15550777@192.0.2.1>\n";
    let said = house.hears(udp(CARRIER), &invite("a", asserted, &offer("9 8 0", "")));
    assert_eq!(said[0].line(), "SIP/2.0 100 Trying");
    let came = house.came();
    assert_eq!(came.origin, Origin::Trunk(TrunkId::new("carrier").unwrap()));
    assert_eq!((came.to.as_str(), came.from.number.as_str()), ("+15550100", "+15550777"));
    assert_eq!(came.codecs, [Codec::G722, Codec::Pcma, Codec::Pcmu], "in the caller's order");

    // The same words from elsewhere are nobody's.
    let again = invite("b", asserted, &offer("0", "")).replace("by-hand", "elsewhere");
    let said = house.hears(udp("192.0.2.200:5060"), &again);
    assert_eq!(said.last().unwrap().line(), "SIP/2.0 401 Unauthorized");
    assert!(house.told().is_empty());
}

#[test]
fn a_person_comes_in_by_digest_under_their_own_name_alone() {
    let mut house = House::new();
    let phone = udp(PHONE);
    let no = house.hears(phone, &alices_invite(1, "alice", "")).pop().unwrap();
    assert_eq!(no.line(), "SIP/2.0 401 Unauthorized");
    assert!(no.all("WWW-Authenticate").len() >= 2, "SHA-256 and MD5");
    let uri = "sip:+15550123@example.com";

    let wrong = signature(&no, "guess", &Method::Invite, uri);
    let no = house.hears(phone, &alices_invite(2, "alice", &wrong)).pop().unwrap();
    assert_eq!(no.line(), "SIP/2.0 401 Unauthorized");

    let right = signature(&no, "secret-of-alice", &Method::Invite, uri);
    let no = house.hears(phone, &alices_invite(3, "bob", &right)).pop().unwrap();
    assert_eq!(no.line(), "SIP/2.0 403 Forbidden");
    assert!(house.told().is_empty());

    let fresh = house.hears(phone, &alices_invite(4, "alice", "")).pop().unwrap();
    let right = signature(&fresh, "secret-of-alice", &Method::Invite, uri);
    house.hears(phone, &alices_invite(5, "alice", &right));
    let came = house.came();
    assert_eq!(came.origin, Origin::Person(PersonId::new("alice").unwrap()));
    assert_eq!(came.to, "+15550123");
    assert_eq!(house.door.legs(), 1, "refused attempts leave nothing");
}

#[test]
fn a_changed_realm_in_the_file_does_not_lock_people_out_before_the_restart() {
    let mut house = House::new();
    let mut changed = Config::clone(&house.config.load());
    changed.sip.realm = "other".into();
    house.config.store(Arc::new(changed));
    house.alice_registers();
}

#[test]
fn a_trunks_rule_for_reliable_provisional_responses_is_kept() {
    for (prack, header, line, named) in [
        ("off", "Require: 100rel\n", "SIP/2.0 420 Bad Extension", "Unsupported"),
        ("required", "", "SIP/2.0 421 Extension Required", "Require"),
    ] {
        let mut house = House::with(config(prack, ""));
        let said = house.hears(udp(CARRIER), &invite("a", header, &offer("0", ""))).pop().unwrap();
        assert_eq!((said.line(), said.get(named)), (line, "100rel"));
        assert!(house.told().is_empty());
    }
    let mut house = House::with(config("required", ""));
    house.hears(udp(CARRIER), &invite("a", "Supported: 100rel\n", &offer("0", "")));
    let leg = house.came().leg;
    let early = house.order(leg, LegAction::OpenEarly, &[]).remove(0);
    assert_eq!((early.line(), early.get("Require")), ("SIP/2.0 183 Session Progress", "100rel"));
}

#[test]
fn a_caller_without_a_codec_or_with_nonsense_is_refused_with_488() {
    for body in [offer("18", ""), "nonsense".to_owned()] {
        let mut house = House::new();
        let mut said = house.hears(udp(CARRIER), &invite("a", "", &body));
        if let Some(Report::Incoming(came)) = house.told().pop() {
            said = house.order(came.leg, LegAction::Answer, &[]);
            let events = house.events();
            assert!(
                matches!(&events[..], [LegEvent::Ended(end)] if end.cause == Cause::NotAcceptable),
                "{events:?}"
            );
        }
        assert_eq!(said.pop().unwrap().line(), "SIP/2.0 488 Not Acceptable Here", "{body}");
        assert_eq!(house.door.legs(), 0);
    }
}

// Answering.

#[test]
fn a_caller_is_told_once_that_somebody_is_rung_and_answered_once() {
    let mut house = House::new();
    house.hears(udp(CARRIER), &invite("a", "", &offer("0 8", "")));
    let leg = house.came().leg;
    assert_eq!(house.order(leg, LegAction::Alert, &[])[0].line(), "SIP/2.0 180 Ringing");
    assert!(house.order(leg, LegAction::Alert, &[]).is_empty());

    let ok = house.order(leg, LegAction::Answer, &[Codec::Pcma]).remove(0);
    assert_eq!(ok.line(), "SIP/2.0 200 OK");
    assert!(ok.body().contains("m=audio 20000 RTP/AVP 8"), "the far leg's codec: {}", ok.body());
    let (events, agreed) = house.happened();
    assert_eq!(events, [LegEvent::Answered]);
    assert_eq!(
        (agreed[0].codec, agreed[0].remote_rtp),
        (Codec::Pcma, Some("192.0.2.1:4000".parse().unwrap()))
    );
    assert_eq!(agreed[0].nat_host, None, "a trunk keeps to its description");

    assert!(house.order(leg, LegAction::Answer, &[]).is_empty(), "a second order changes nothing");
    assert!(house.events().is_empty());
    assert_eq!(house.door.legs(), 1);
}

#[test]
fn early_media_is_the_answer_and_the_200_repeats_it() {
    let mut house = House::new();
    house.hears(udp(CARRIER), &invite("a", "", &offer("0 8", "")));
    let leg = house.came().leg;
    let early = house.order(leg, LegAction::OpenEarly, &[]).remove(0);
    assert_eq!(early.line(), "SIP/2.0 183 Session Progress");
    assert!(house.order(leg, LegAction::OpenEarly, &[]).is_empty());
    assert!(house.order(leg, LegAction::Alert, &[]).is_empty(), "it hears us already");
    let ok = house.order(leg, LegAction::Answer, &[Codec::Pcma]).remove(0);
    assert_eq!(ok.body(), early.body());
    let (events, agreed) = house.happened();
    assert_eq!((events, agreed.len()), (vec![LegEvent::Answered], 1));
}

#[test]
fn pitfall_18_a_carrier_that_was_told_180_gets_no_183_after_it() {
    let mut house = House::new();
    house.hears(udp(CARRIER), &invite("a", "", &offer("0 8", "")));
    let leg = house.came().leg;
    assert_eq!(house.order(leg, LegAction::Alert, &[])[0].line(), "SIP/2.0 180 Ringing");
    // The hunt goes on at Teams, or at a network with a voice of its own.
    assert!(house.order(leg, LegAction::OpenEarly, &[]).is_empty(), "its own tone goes on");
    let ok = house.order(leg, LegAction::Answer, &[Codec::Pcma]).remove(0);
    assert_eq!(ok.line(), "SIP/2.0 200 OK");
    assert!(ok.body().contains("m=audio 20000 RTP/AVP 8"), "{}", ok.body());
    let (events, agreed) = house.happened();
    assert_eq!((events, agreed.len()), (vec![LegEvent::Answered], 1));
}

#[test]
fn a_telephone_of_ours_that_was_told_180_still_hears_what_comes_before_the_answer() {
    let mut house = House::new();
    let leg = house.alice_calls();
    assert_eq!(house.order(leg, LegAction::Alert, &[])[0].line(), "SIP/2.0 180 Ringing");
    let early = house.order(leg, LegAction::OpenEarly, &[]).remove(0);
    assert_eq!(early.line(), "SIP/2.0 183 Session Progress");
    assert!(early.body().contains("m=audio 20000"), "{}", early.body());
}

#[test]
fn a_caller_who_leaves_the_offer_to_us_gets_it_with_the_200_and_must_answer_it() {
    for answers in [true, false] {
        let mut house = House::new();
        house.hears(udp(CARRIER), &invite("a", "", ""));
        let came = house.came();
        assert!(came.codecs.is_empty());
        let ringing = house.order(came.leg, LegAction::OpenEarly, &[]).remove(0);
        assert_eq!((ringing.line(), ringing.body()), ("SIP/2.0 180 Ringing", ""), "nothing to hear yet");
        let ok = house.order(came.leg, LegAction::Answer, &[Codec::G722]).remove(0);
        assert!(ok.body().contains("RTP/AVP 9 0 8"), "the other leg's codec first: {}", ok.body());
        assert_eq!(house.events(), [LegEvent::Answered]);

        let body = if answers { offer("0", "") } else { String::new() };
        let said = house.hears(udp(CARRIER), &inside("ACK", "k", &ok.tag("To"), 1, "", &body));
        let (events, agreed) = house.happened();
        if answers {
            assert_eq!((events.len(), agreed[0].codec), (0, Codec::Pcmu));
        } else {
            assert!(matches!(&events[..], [LegEvent::Ended(end)] if end.cause == Cause::NotAcceptable));
            assert!(said[0].line().starts_with("BYE "));
            assert_eq!(house.door.legs(), 0);
        }
    }
}

#[test]
fn a_caller_who_gives_up_gets_487_and_the_leg_ends_once() {
    let mut house = House::new();
    house.hears(udp(CARRIER), &invite("a", "", &offer("0", "")));
    let leg = house.came().leg;
    house.order(leg, LegAction::Alert, &[]);
    let said = house.hears(udp(CARRIER), &inside("CANCEL", "a", "", 1, "", ""));
    assert!(said.iter().any(|s| s.line() == "SIP/2.0 487 Request Terminated"));
    let events = house.events();
    assert!(matches!(&events[..], [LegEvent::Ended(end)] if end.cause == Cause::Cancelled), "{events:?}");
    assert!(house.order(leg, LegAction::HangUp(Cause::Cancelled), &[]).is_empty());
    house.pass(Duration::from_secs(70));
    assert!(house.events().is_empty());
    assert_eq!(house.door.legs(), 0);
}

#[test]
fn an_unanswered_caller_is_refused_as_the_cause_says() {
    for (cause, line, q850, retry) in [
        (Cause::Busy, "SIP/2.0 486 Busy Here", 17, ""),
        (Cause::NotFound, "SIP/2.0 404 Not Found", 1, ""),
        (Cause::NoAnswer, "SIP/2.0 480 Temporarily Unavailable", 19, ""),
        (Cause::Congestion, "SIP/2.0 503 Service Unavailable", 42, "5"),
        (Cause::ShuttingDown, "SIP/2.0 503 Service Unavailable", 41, "5"),
        (Cause::Declined, "SIP/2.0 603 Decline", 21, ""),
    ] {
        let mut house = House::new();
        house.hears(udp(CARRIER), &invite("a", "", &offer("0", "")));
        let leg = house.came().leg;
        let no = house.order(leg, LegAction::HangUp(cause), &[]).remove(0);
        assert_eq!((no.line(), no.get("Retry-After")), (line, retry));
        assert_eq!(no.get("Reason"), format!("Q.850;cause={q850}"));
        assert!(matches!(&house.events()[..], [LegEvent::Ended(_)]));
        assert_eq!(house.door.legs(), 0);
    }
}

#[test]
fn an_answered_caller_is_hung_up_with_a_bye_that_says_why() {
    let mut house = House::new();
    let (leg, _) = house.carrier_is_answered();
    let bye = house.order(leg, LegAction::HangUp(Cause::ShuttingDown), &[]).remove(0);
    assert!(bye.line().starts_with("BYE sip:carol@192.0.2.1"));
    assert_eq!(bye.get("Reason"), "Q.850;cause=41");
    house.hears(udp(CARRIER), &bye.answered("200 OK", "", ""));
    assert!(matches!(&house.events()[..], [LegEvent::Ended(_)]));
    assert_eq!(house.door.legs(), 0);
}

// Dialling.

#[test]
fn a_dialled_leg_offers_the_callers_codec_first_and_says_who_calls() {
    let mut house = House::new();
    let (leg, invite) = house.dials_carrier(&[Codec::G722]);
    assert_eq!(invite.line(), "INVITE sip:+15550123@192.0.2.1:5060 SIP/2.0");
    assert!(
        invite.get("From").starts_with("\"Carol \\\"C\\\" Customer\" <sip:+15550001@192.0.2.2"),
        "{}",
        invite.get("From")
    );
    assert!(invite.body().contains("m=audio 20000 RTP/AVP 9 0 8"), "{}", invite.body());

    house.hears(udp(CARRIER), &answered_with(&invite, "180 Ringing", ""));
    house.hears(udp(CARRIER), &answered_with(&invite, "180 Ringing", ""));
    assert_eq!(house.events(), [LegEvent::Ringing], "said twice, told once");
    let ack = house.hears(udp(CARRIER), &answered_with(&invite, "200 OK", &offer("8", ""))).remove(0);
    assert!(ack.line().starts_with("ACK "));
    let (events, agreed) = house.happened();
    assert_eq!((events, agreed[0].codec), (vec![LegEvent::Answered], Codec::Pcma));
    let bye = house.order(leg, LegAction::HangUp(Cause::Normal), &[]).remove(0);
    assert!(bye.line().starts_with("BYE "));
}

#[test]
fn reliable_early_media_stands_when_the_200_has_no_description() {
    let mut house = House::new();
    let (_, invite) = house.dials_carrier(&[]);
    let reliable = format!("{CONTACT}Require: 100rel\nRSeq: 1\n");
    let early = with_body(invite.answered("183 Session Progress", "far", &reliable), &offer("0", ""));
    let prack = house.hears(udp(CARRIER), &early).remove(0);
    assert!(prack.line().starts_with("PRACK "));
    house.hears(udp(CARRIER), &prack.answered("200 OK", "", ""));
    let (events, agreed) = house.happened();
    assert_eq!((events, agreed.len()), (vec![LegEvent::EarlyMedia], 1));

    house.hears(udp(CARRIER), &answered_with(&invite, "200 OK", ""));
    let (events, agreed) = house.happened();
    assert_eq!((events, agreed.len()), (vec![LegEvent::Answered], 0), "agreed already");
}

#[test]
fn an_answer_without_any_description_or_with_a_strange_codec_is_hung_up() {
    for body in [String::new(), offer("18", "")] {
        let mut house = House::new();
        let (_, invite) = house.dials_carrier(&[]);
        let said = house.hears(udp(CARRIER), &answered_with(&invite, "200 OK", &body));
        let lines: Vec<&str> = said.iter().map(Said::line).collect();
        assert!(lines[0].starts_with("ACK ") && lines[1].starts_with("BYE "), "{lines:?}");
        let events = house.events();
        assert!(
            matches!(&events[..], [LegEvent::Ended(end)] if end.cause == Cause::NotAcceptable),
            "{events:?}"
        );
        assert_eq!(house.door.legs(), 0);
    }
}

#[test]
fn whoever_is_not_there_ends_the_leg_at_once() {
    let mut house = House::new();
    for target in [person("alice"), person("nobody")] {
        assert!(house.order(LegId(5), LegAction::Dial(target), &[]).is_empty());
        let events = house.events();
        assert!(
            matches!(&events[..], [LegEvent::Ended(end)] if end.cause == Cause::Unreachable),
            "{events:?}"
        );
    }
    let said = house.order(LegId(6), LegAction::Dial(person("bob")), &[]);
    assert_eq!(said[0].line(), "INVITE sip:bob@192.0.2.9:5060 SIP/2.0");
    let busy = house.hears(udp(BOB), &said[0].answered("486 Busy Here", "b", ""));
    assert!(busy[0].line().starts_with("ACK "));
    assert!(matches!(&house.events()[..], [LegEvent::Ended(end)] if end.cause == Cause::Busy));
    assert_eq!(house.door.legs(), 0);
}

#[test]
fn a_telephone_behind_a_translator_is_believed_by_its_signalling_host_only_when_its_description_lies() {
    let mut house = House::new();
    house.alice_registers();
    for (ip, evidence) in [("10.0.0.5", Some("198.51.100.7".parse().unwrap())), ("198.51.100.7", None)] {
        let invite = house.order(LegId(9), LegAction::Dial(person("alice")), &[]).remove(0);
        assert_eq!(invite.line(), "INVITE sip:alice@10.0.0.5:5060 SIP/2.0");
        let ok = with_body(
            invite.answered("200 OK", ip, "Contact: <sip:alice@10.0.0.5:5060>\n"),
            &offer_at(ip, "0", ""),
        );
        house.hears(udp(PHONE), &ok);
        let (_, agreed) = house.happened();
        assert_eq!(agreed[0].nat_host, evidence);
        house.order(LegId(9), LegAction::HangUp(Cause::Normal), &[]);
        house.told();
    }
}

// Hold.

#[test]
fn a_peer_that_holds_and_resumes_is_told_of_once_each() {
    let mut house = House::new();
    let (_, tag) = house.carrier_is_answered();
    let mut cseq = 1;
    for (direction, event, answer) in [
        ("sendonly", Some(LegEvent::Held), "a=recvonly"),
        ("sendonly", None, "a=recvonly"),
        ("inactive", None, "a=inactive"),
        ("sendrecv", Some(LegEvent::Resumed), "m=audio"),
        ("", None, "m=audio"),
    ] {
        cseq += 1;
        let again = inside("INVITE", &format!("h{cseq}"), &tag, cseq, "", &offer("0 8", direction));
        let said = house.hears(udp(CARRIER), &again);
        let ok = said.iter().find(|s| s.line() == "SIP/2.0 200 OK").unwrap();
        assert!(ok.body().contains(answer), "{direction}: {}", ok.body());
        house.hears(udp(CARRIER), &inside("ACK", &format!("k{cseq}"), &tag, cseq, "", ""));
        assert_eq!(house.events(), Vec::from_iter(event), "{direction}");
    }
}

#[test]
fn our_hold_is_an_offer_and_a_peer_that_holds_meanwhile_is_found_out_when_we_resume() {
    let mut house = House::new();
    let (leg, tag) = house.carrier_is_answered();
    let hold = house.order(leg, LegAction::Hold, &[]).remove(0);
    assert!(hold.line().starts_with("INVITE ") && hold.body().contains("a=sendonly"));
    house.hears(udp(CARRIER), &answered_with(&hold, "200 OK", &offer("0", "recvonly")));
    assert!(house.events().is_empty(), "recvonly answers our hold and is none of its own");

    let theirs = inside("INVITE", "h2", &tag, 2, "", &offer("0", "inactive"));
    house.hears(udp(CARRIER), &theirs);
    house.hears(udp(CARRIER), &inside("ACK", "k2", &tag, 2, "", ""));
    assert!(house.events().is_empty(), "ours counts");

    let resume = house.order(leg, LegAction::Resume, &[]).remove(0);
    assert!(!resume.body().contains("a=sendonly"));
    house.hears(udp(CARRIER), &answered_with(&resume, "200 OK", &offer("0", "inactive")));
    assert_eq!(house.events(), [LegEvent::Held]);
}

#[test]
fn a_refused_re_invite_of_either_side_leaves_the_call_as_it_was() {
    let mut house = House::new();
    let (leg, tag) = house.carrier_is_answered();
    let hold = house.order(leg, LegAction::Hold, &[]).remove(0);
    house.hears(udp(CARRIER), &hold.answered("488 Not Acceptable Here", "", ""));
    assert!(house.told().is_empty());

    let strange = inside("INVITE", "h2", &tag, 2, "", &offer("18", ""));
    let said = house.hears(udp(CARRIER), &strange);
    assert_eq!(said.last().unwrap().line(), "SIP/2.0 488 Not Acceptable Here");
    house.hears(udp(CARRIER), &inside("ACK", "h2", &tag, 2, "", ""));
    assert!(house.told().is_empty());
    assert_eq!(house.door.legs(), 1);
    assert!(house.order(leg, LegAction::HangUp(Cause::Normal), &[])[0].line().starts_with("BYE "));
}

#[test]
fn a_session_that_is_refreshed_unchanged_is_no_news() {
    let mut house = House::new();
    let (_, tag) = house.carrier_is_answered();
    for cseq in 2..5 {
        let same = inside("INVITE", &format!("r{cseq}"), &tag, cseq, "", &offer("0 8", ""));
        house.hears(udp(CARRIER), &same);
        house.hears(udp(CARRIER), &inside("ACK", &format!("k{cseq}"), &tag, cseq, "", ""));
    }
    assert!(house.told().is_empty());
}

// Trunks and connections.

#[test]
fn a_trunk_that_is_new_in_the_file_is_asked_soon() {
    let mut house = House::new();
    assert!(house.pass(Duration::from_secs(60)).is_empty());
    house.config.store(Arc::new(config("supported", "options_s = 30")));
    let said = house.pass(Duration::from_secs(6));
    assert!(said.iter().any(|s| s.line().starts_with("OPTIONS ")));
}

#[test]
fn a_connection_that_cannot_be_made_ends_the_leg_that_needed_it() {
    let mut changed = config("supported", "");
    changed.trunks[0].destinations[0].transport = Some(sbc_config::Transport::Tcp);
    let mut house = House::with(changed);
    let (_, invite) = house.dials_carrier(&[]);
    assert!(invite.get("Via").starts_with("SIP/2.0/TCP"));
    let to = Destination {
        transport: Transport::Tcp,
        remote: CARRIER.parse().unwrap(),
        local: None,
        connection: None,
        tls: None,
    };
    house.door.unreachable(house.now, to);
    house.collect();
    let events = house.events();
    assert!(matches!(&events[..], [LegEvent::Ended(end)] if end.cause == Cause::Unreachable), "{events:?}");
    assert_eq!(house.door.legs(), 0);
}

#[test]
fn a_stream_whose_framing_is_lost_is_answered_and_then_closed() {
    let mut house = House::new();
    let peer = Peer { transport: Transport::Tcp, connection: Some(ConnectionId(4)), ..udp(CARRIER) };
    let head = invite("a", "", "").replace('\n', "\r\n") + "\r\n";
    house.door.receive_last(house.now, peer, Bytes::from(head));
    let said = house.collect();
    assert_eq!(said.last().map(Said::line).map(|line| &line[..11]), Some("SIP/2.0 400"), "{said:?}");
    assert_eq!(house.closed, [ConnectionId(4)]);
}
