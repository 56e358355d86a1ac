//! A door with a carrier, a telephone and their words, in virtual time.

use std::sync::Arc;

use arc_swap::ArcSwap;
use sbc_config::{Config, PersonId, SecretError, SecretSource, TrunkId};
use sidetone_media::codec::Codec;

use super::*;
use crate::call::door::{AgreedMedia, Caller, Incoming as Came, MediaEnd, Order, Report};
use crate::call::{Address, LegAction, LegEvent, LegId, Target};
use crate::sip::digest::Challenge;
use crate::sip::door::{Door, Wanted};
use crate::sip::header::{AuthValue, Method};
use crate::sip::names::Names;
use crate::sip::names::ask::Word;

pub(super) const CONFIG: &str = r#"
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

pub(in crate::sip::stories) struct Secrets;

impl SecretSource for Secrets {
    fn file(&self, _: &str) -> Result<String, SecretError> {
        Err(SecretError::NotFound)
    }

    fn env(&self, _: &str) -> Result<String, SecretError> {
        Ok("secret-of-alice".into())
    }
}

pub(in crate::sip::stories) fn config(prack: &str, options: &str) -> Config {
    let text = CONFIG.replace("PRACK", prack).replace("OPTIONS", options);
    match Config::parse(&text, &Secrets) {
        Ok(config) => config,
        Err(findings) => panic!("{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>()),
    }
}

/// The door, the time, and what it said.
pub(in crate::sip::stories) struct House {
    pub(in crate::sip::stories) now: Instant,
    pub(in crate::sip::stories) door: Door,
    reports: Vec<Report>,
    pub(super) closed: Vec<ConnectionId>,
    pub(in crate::sip::stories) words: Vec<Word>,
    pub(super) sent_to: Vec<Destination>,
    pub(super) names: Arc<ArcSwap<Names>>,
    pub(in crate::sip::stories) config: Arc<ArcSwap<Config>>,
}

pub(in crate::sip::stories) fn udp(remote: &str) -> Peer {
    let (remote, local) = (remote.parse().unwrap(), "192.0.2.2:5060".parse().unwrap());
    Peer { transport: Transport::Udp, remote, local, connection: None, tls: None }
}

impl House {
    pub(super) fn new() -> House {
        House::with(config("supported", ""))
    }

    pub(in crate::sip::stories) fn with(config: Config) -> House {
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

    pub(in crate::sip::stories) fn collect(&mut self) -> Vec<Said> {
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
    pub(in crate::sip::stories) fn hears(&mut self, from: Peer, message: &str) -> Vec<Said> {
        let (head, body) = message.split_once("\n\n").unwrap_or((message.trim_end(), ""));
        let head = head.trim_end().replace('\n', "\r\n");
        let whole = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.door.receive(self.now, from, Bytes::from(whole));
        self.collect()
    }

    pub(in crate::sip::stories) fn order(
        &mut self,
        leg: LegId,
        action: LegAction,
        prefer: &[Codec],
    ) -> Vec<Said> {
        let media = Some(MediaEnd { rtp: OUR_RTP.parse().unwrap() });
        let caller = Some(Caller::shown("+15550001", Some("Carol \"C\" Customer".into())));
        let order = Order { leg, action, media, prefer: prefer.to_vec(), caller, card: None };
        self.door.order(self.now, order);
        self.collect()
    }

    pub(in crate::sip::stories) fn pass(&mut self, span: Duration) -> Vec<Said> {
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
    pub(in crate::sip::stories) fn told(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }

    pub(in crate::sip::stories) fn events(&mut self) -> Vec<LegEvent> {
        let told = self.told();
        told.into_iter()
            .filter_map(|r| if let Report::Leg(_, event) = r { Some(event) } else { None })
            .collect()
    }

    /// What happened to a leg, and what was agreed for it, told apart.
    pub(super) fn happened(&mut self) -> (Vec<LegEvent>, Vec<AgreedMedia>) {
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

    pub(in crate::sip::stories) fn came(&mut self) -> Came {
        match self.told().remove(0) {
            Report::Incoming(incoming) => incoming,
            other => panic!("{other:?}"),
        }
    }

    /// A call from the carrier that is up: its leg and our To tag.
    pub(super) fn carrier_is_answered(&mut self) -> (LegId, String) {
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
    pub(super) fn alice_calls(&mut self) -> LegId {
        let no = self.hears(udp(PHONE), &alices_invite(1, "alice", "")).pop().unwrap();
        let uri = "sip:+15550123@example.com";
        let right = signature(&no, "secret-of-alice", &Method::Invite, uri);
        self.hears(udp(PHONE), &alices_invite(2, "alice", &right));
        self.came().leg
    }

    /// Alice's telephone registers.
    pub(super) fn alice_registers(&mut self) {
        let register = "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKrN;rport\n\
             Max-Forwards: 70\nFrom: <sip:alice@example.com>;tag=f\nTo: <sip:alice@example.com>\n\
             Call-ID: reg\nCSeq: N REGISTER\nContact: <sip:alice@10.0.0.5:5060>;expires=600\n";
        let no = self.hears(udp(PHONE), &register.replace('N', "1")).remove(0);
        let signed = signature(&no, "secret-of-alice", &Method::Register, "sip:example.com");
        let ok = self.hears(udp(PHONE), &format!("{}{signed}", register.replace('N', "2"))).remove(0);
        assert_eq!(ok.line(), "SIP/2.0 200 OK");
    }
}

pub(in crate::sip::stories) fn beyond_the_trunk() -> Target {
    let address = Address::Trunk { trunk: TrunkId::new("carrier").unwrap(), number: "+15550123".into() };
    Target { address, name: "+15550123".into() }
}

pub(super) fn person(id: &str) -> Target {
    Target { address: Address::Person(PersonId::new(id).unwrap()), name: id.into() }
}

/// An Authorization line that answers the challenge in `no`.
pub(super) fn signature(no: &Said, password: &str, method: &Method, uri: &str) -> String {
    let challenges = no.all("WWW-Authenticate");
    let values: Vec<AuthValue> =
        challenges.iter().map(|value| AuthValue::parse(sdp(value)).unwrap()).collect();
    let mut challenge = Challenge::choose(&values).unwrap();
    format!("Authorization: {}\n", text(&challenge.answer("alice", password, method, uri, "c1")))
}

pub(in crate::sip::stories) fn offer(formats: &str, direction: &str) -> String {
    offer_at("192.0.2.1", formats, direction)
}

pub(super) fn offer_at(ip: &str, formats: &str, direction: &str) -> String {
    let direction = if direction.is_empty() { String::new() } else { format!("a={direction}\r\n") };
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 4000 RTP/AVP {formats}\r\n{direction}"
    )
}

pub(super) fn with_body(head: String, body: &str) -> String {
    if body.is_empty() { head } else { format!("{head}Content-Type: application/sdp\n\n{body}") }
}

/// An INVITE from the carrier to our line.
pub(super) fn invite(branch: &str, more: &str, body: &str) -> String {
    let head = format!(
        "INVITE sip:+15550100@192.0.2.2 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{branch};rport\n\
         Max-Forwards: 70\nFrom: \"Carol\" <sip:+15550001@192.0.2.1>;tag=carol\nTo: <sip:+15550100@192.0.2.2>\n\
         Call-ID: by-hand\nCSeq: 1 INVITE\nContact: <sip:carol@192.0.2.1:5060>\n{more}"
    );
    with_body(head, body)
}

pub(super) fn inside(method: &str, branch: &str, tag: &str, cseq: u32, more: &str, body: &str) -> String {
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
pub(super) fn alices_invite(cseq: u32, from: &str, more: &str) -> String {
    let head = format!(
        "INVITE sip:+15550123@example.com SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKal{cseq};rport\n\
         Max-Forwards: 70\nFrom: <sip:{from}@example.com>;tag=al\nTo: <sip:+15550123@example.com>\n\
         Call-ID: alices\nCSeq: {cseq} INVITE\nContact: <sip:alice@10.0.0.5:5060>\n{more}"
    );
    with_body(head, &offer_at("10.0.0.5", "0", ""))
}

pub(super) const CONTACT: &str = "Contact: <sip:far@192.0.2.1:5060>\n";

pub(super) fn answered_with(invite: &Said, status: &str, body: &str) -> String {
    with_body(invite.answered(status, "far", CONTACT), body)
}
