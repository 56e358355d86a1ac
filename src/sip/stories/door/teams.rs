//! Direct Routing at the door, in virtual time: Microsoft's proxy speaks by hand, over TLS.

use super::*;
use crate::call::{Callee, Opaque, Referral, TeamsAddress};
use crate::sip::names::{Heard, Kind, Place, Question, Record};
use crate::sip::refer::Asked;
use crate::tls::Verified;

const TEAMS: &str = r#"
[[certificate]]
id = "sbc1"
certificate_file = "sbc1.pem"
key_file = "sbc1.key"
[[trunk]]
id = "teams"
tenant = "acme"
profile = "teams_direct_routing"
fqdn = "sbc1.example.com"
certificate = "sbc1"
"#;

/// Where Microsoft's three proxies are, in this story.
const NAMES: &str = r#"
[dns.overrides]
"sip.pstnhub.microsoft.com" = ["52.112.0.7"]
"sip2.pstnhub.microsoft.com" = ["52.112.1.7"]
"sip3.pstnhub.microsoft.com" = ["52.112.2.7"]
"#;

pub(super) const MICROSOFT: &str = "52.112.0.7:5061";
pub(super) const ELSEWHERE: &str = "52.120.9.9:44123";

pub(super) const OFFER: &str = "v=0\r\no=- 7 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 52.112.0.8\r\nt=0 0\r\n\
    m=audio 50000 RTP/SAVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw|2^31\r\na=sendrecv\r\n";

/// The target as seen, but for an address in place of the name: byte for byte is what counts.
const REFER_TO: &str = "sip:52.112.0.7:5061;transport=tls;x-m=8:orgid:0F1E2D3C-aaaa-bbbb-cccc-0123456789ab";
const REFERRED_BY: &str = "<sip:sip.pstnhub.microsoft.com:5061;x-m=8:orgid:77-Bb;x-t=11-22;x-ti=33-44;x-tt=aHR0cHM6Ly9hL2I_Yz0x%3D%3d>";
const MS_CONTACT: &str =
    "CONTACT: <sip:api-du-a-uswe2.pstnhub.microsoft.com:443;x-i=0f1e-2d;x-c=aA/d/8/00ff>\n";
pub(super) const ROUTE: &str =
    "RECORD-ROUTE: <sip:sip-du-a-eu.pstnhub.microsoft.com:5061;transport=tls;lr>\n";

fn tls(remote: &str, connection: u64) -> Peer {
    let (remote, local) = (remote.parse().unwrap(), "192.0.2.2:5061".parse().unwrap());
    let connection = Some(ConnectionId(connection));
    Peer { transport: Transport::Tls, remote, local, connection, tls: None }
}

/// A connection of Microsoft's whose certificate proved it.
pub(super) fn microsoft(house: &mut House, remote: &str, connection: u64) -> Peer {
    let trunk = TrunkId::new("teams").unwrap();
    let peer = tls(remote, connection);
    let verified = Verified { trunks: vec![trunk.clone()], likely: Some(trunk), names: Vec::new() };
    house.door.secured(peer, verified);
    peer
}

pub(super) fn ms(
    method: &str,
    branch: &str,
    call_id: &str,
    tag: &str,
    cseq: u32,
    more: &str,
    body: &str,
) -> String {
    let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    let head = format!(
        "{method} sip:+15550100@sbc1.example.com:5061;user=phone;transport=tls SIP/2.0\n\
         FROM: Jane Q Doe<sip:+15550111@sip.pstnhub.microsoft.com:5061;user=phone>;tag=6dfc92be\n\
         TO: <sip:+15550100@sbc1.example.com:5061;user=phone>{tag}\nCSEQ: {cseq} {method}\n\
         CALL-ID: {call_id}\nMAX-FORWARDS: 70\n\
         VIA: SIP/2.0/TLS 52.112.0.7:5061;branch=z9hG4bK{branch}\n{MS_CONTACT}{more}"
    );
    with_body(head, body)
}

impl House {
    pub(super) fn with_teams() -> House {
        House::with_teams_and("")
    }

    /// With these settings of the carrier.
    pub(super) fn with_teams_and(carrier: &str) -> House {
        let text = CONFIG.replace("PRACK", "supported").replace("OPTIONS", carrier);
        let text = text.replace("[sip]\n", "[sip]\ntls = \"192.0.2.2:5061\"\n");
        let text = text.replace("[media]\n", &format!("{NAMES}[media]\n"));
        match Config::parse(&format!("{text}{TEAMS}"), &Files) {
            Ok(config) => House::with(config),
            Err(findings) => panic!("{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>()),
        }
    }

    /// A number at Teams that is cleared.
    pub(super) fn cleared(&self, number: &str) -> Target {
        let address = TeamsAddress::of_number(number, TrunkId::new("teams").unwrap(), self.now);
        Target { address: Address::Teams(Box::new(address)), name: "somebody at Teams".into() }
    }

    /// A call from Microsoft that is up: its leg and our To tag.
    pub(super) fn teams_is_answered(&mut self) -> (LegId, String) {
        let peer = microsoft(self, MICROSOFT, 1);
        self.hears(peer, &ms("INVITE", "a", "19233e6b", "", 1, ROUTE, OFFER));
        let came = self.came();
        assert_eq!(
            came.from.name.as_deref(),
            Some("Jane Q Doe"),
            "unquoted, and no space before the bracket"
        );
        let said = self.order(came.leg, LegAction::Answer, &[]);
        let ok = said.into_iter().find(|said| said.line() == "SIP/2.0 200 OK").unwrap();
        assert!(ok.get("Contact").contains("@sbc1.example.com:"), "{}", ok.get("Contact"));
        let tag = ok.tag("To");
        self.hears(peer, &ms("ACK", "a-ack", "19233e6b", &tag, 1, "", ""));
        (came.leg, tag)
    }
}

struct Files;

impl SecretSource for Files {
    fn file(&self, _: &str) -> Result<String, SecretError> {
        Ok("secret".into())
    }

    fn env(&self, _: &str) -> Result<String, SecretError> {
        Ok("secret-of-alice".into())
    }
}

pub(super) fn refers(house: &mut House, tag: &str, cseq: u32) -> (LegId, Target, Vec<Said>) {
    refers_to(house, tag, cseq, "")
}

/// The same, with headers in the Refer-To.
fn refers_to(house: &mut House, tag: &str, cseq: u32, headers: &str) -> (LegId, Target, Vec<Said>) {
    // From another datacentre, on a connection of its own.
    let peer = microsoft(house, ELSEWHERE, 2);
    let more = format!("REFER-TO: <{REFER_TO}{headers}>\nREFERRED-BY: {REFERRED_BY}\n");
    house.told();
    let said = house.hears(peer, &ms("REFER", "r", "19233e6b", tag, cseq, &more, ""));
    let told = house.told();
    let referred = told.into_iter().find_map(|report| match report {
        Report::Leg(leg, LegEvent::Referred(target)) => match *target {
            Callee::Target(target) => Some((leg, target)),
            Callee::Teams(_) => None,
        },
        _ => None,
    });
    let (leg, target) = referred.expect("the switchboard is told");
    (leg, target, said)
}

#[test]
fn pitfall_10_a_referred_target_is_called_at_microsoft_in_the_very_words() {
    let mut house = House::with_teams();
    let (leg, tag) = house.teams_is_answered();
    let (asker, target, said) = refers(&mut house, &tag, 2);
    assert_eq!(said[0].line(), "SIP/2.0 202 Accepted");
    assert_eq!(said[1].body(), "SIP/2.0 100 Trying\r\n");
    assert_eq!(asker, leg);
    assert_eq!(target.name, "8:orgid:0F1E2D3C-aaaa-bbbb-cccc-0123456789ab");

    let said = house.order(LegId(99), LegAction::Dial(target), &[]);
    let invite = said.iter().find(|said| said.line().starts_with("INVITE ")).unwrap();
    assert_eq!(invite.line(), format!("INVITE {REFER_TO} SIP/2.0"));
    assert_eq!(invite.get("To"), format!("<{REFER_TO}>"));
    assert_eq!(invite.get("Referred-By"), REFERRED_BY);
    assert!(invite.get("From").contains("<sip:+15550001@sbc1.example.com:5061;user=phone>"));
    assert!(invite.get("Contact").starts_with("<sip:+15550001@sbc1.example.com:"));
    assert!(invite.get("Contact").contains("transport=tls"));
    assert!(invite.get("X-MS-SBC").starts_with("Sidetone/"));
    assert_ne!(invite.get("Call-ID"), "19233e6b");
    for never in ["Replaces:", "Record-Route", "100rel", "sips:"] {
        assert!(!invite.0.contains(never), "{never}");
    }
    assert!(invite.body().contains("a=sendrecv"), "pitfall 13: {}", invite.body());
    assert!(invite.body().contains("a=crypto:"), "keys of its own: {}", invite.body());
}

#[test]
fn a_consultative_referral_is_an_invite_back_to_microsoft_and_never_carries_its_replaces() {
    // A dialog of Microsoft's own that we know nothing of, and one that is with us.
    for with_us in [false, true] {
        let mut house = House::with_teams();
        let (leg, tag) = house.teams_is_answered();
        let dialog = match with_us {
            true => format!("19233e6b%3Bto-tag%3D{tag}%3Bfrom-tag%3D6dfc92be"),
            false => "5d2e%3Bto-tag%3D77%3Bfrom-tag%3D88".to_owned(),
        };
        let headers = format!("?Replaces={dialog}&Require=replaces");
        let (asker, target, said) = refers_to(&mut house, &tag, 2, &headers);
        assert_eq!((asker, said[0].line()), (leg, "SIP/2.0 202 Accepted"));
        assert_eq!(said[1].body(), "SIP/2.0 100 Trying\r\n");
        let invite = house.order(LegId(99), LegAction::Dial(target), &[]).remove(0);
        // Pitfalls 10, 11 and 17: the very words of the URI, without headers that a Request-URI must not have.
        assert_eq!(invite.line(), format!("INVITE {REFER_TO} SIP/2.0"));
        assert_eq!((invite.get("To"), invite.get("Referred-By")), (&*format!("<{REFER_TO}>"), REFERRED_BY));
        assert!(!invite.0.to_ascii_lowercase().contains("replaces="), "{}", invite.0);
        assert!(
            !invite.0.contains("\r\nReplaces:") && !invite.0.contains("\r\nRequire: replaces"),
            "{}",
            invite.0
        );
        // The target was talking already: no ringing, the answer at once.
        let peer = microsoft(&mut house, MICROSOFT, 3);
        let contact = format!("{MS_CONTACT}{ROUTE}");
        house.hears(peer, &with_body(invite.answered("200 OK", "t", &contact), OFFER));
        assert!(house.events().contains(&LegEvent::Answered));
        let said = house.order(leg, LegAction::Refer(Referral::Connected), &[]).remove(0);
        assert_eq!(said.body(), "SIP/2.0 200 OK\r\n");
        assert_eq!(said.get("Subscription-State"), "terminated;reason=noresource");
    }
}

#[test]
fn the_transferor_is_told_of_ringing_and_then_of_the_targets_own_status() {
    let mut house = House::with_teams();
    let (leg, tag) = house.teams_is_answered();
    let (_, target, _) = refers(&mut house, &tag, 2);
    let invite = house.order(LegId(99), LegAction::Dial(target), &[]).remove(0);
    let said = house.order(leg, LegAction::Refer(Referral::Ringing), &[]);
    assert_eq!(said[0].body(), "SIP/2.0 180 Ringing\r\n");
    let peer = microsoft(&mut house, MICROSOFT, 3);
    house.hears(peer, &invite.answered("600 Busy Everywhere", "t", "REASON: Q.850;cause=34\n"));
    let ends = house.events();
    let end = ends.iter().find_map(|event| match event {
        LegEvent::Ended(end) => Some(end),
        _ => None,
    });
    // Pitfall 19: 34 would have a carrier dial again; towards it, busy is 17.
    assert_eq!(end.unwrap().cause, Cause::Busy);
    assert_eq!(Cause::Busy.q850(), 17);
    let said = house.order(leg, LegAction::Refer(Referral::Failed(Cause::Busy)), &[]);
    assert_eq!(said[0].body(), "SIP/2.0 600 Busy Everywhere\r\n");
    assert_eq!(said[0].get("Subscription-State"), "terminated;reason=noresource");
}

#[test]
fn pitfall_14_microsoft_is_held_by_inactive_with_a_true_address() {
    let mut house = House::with_teams();
    let (leg, _) = house.teams_is_answered();
    let said = house.order(leg, LegAction::Hold, &[]);
    let invite = said.iter().find(|said| said.line().starts_with("INVITE ")).unwrap();
    assert!(invite.body().contains("a=inactive"), "{}", invite.body());
    assert!(!invite.body().contains("0.0.0.0"));
}

#[test]
fn pitfall_17_replaces_is_matched_before_any_route_and_never_sent() {
    let mut house = House::with_teams();
    let (leg, tag) = house.teams_is_answered();
    let peer = microsoft(&mut house, ELSEWHERE, 4);
    let replaces = |tag: &str, more: &str| {
        format!("REQUIRE: replaces\nREPLACES: 19233e6b;to-tag={tag};from-tag=6dfc92be{more}\n")
    };
    let unknown = replaces("0123456789abcdef", "");
    let said = house.hears(peer, &ms("INVITE", "u", "other-1", "", 1, &unknown, OFFER));
    assert_eq!(said.last().unwrap().line(), "SIP/2.0 481 Call/Transaction Does Not Exist");
    let early = replaces(&tag, ";early-only");
    let said = house.hears(peer, &ms("INVITE", "e", "other-2", "", 1, &early, OFFER));
    assert_eq!(said.last().unwrap().line(), "SIP/2.0 486 Busy Here");
    house.told();
    house.hears(peer, &ms("INVITE", "k", "other-3", "", 1, &replaces(&tag, ""), OFFER));
    assert_eq!(house.came().replaces, Some(leg));
}

#[test]
fn another_trunk_takes_nobodys_place() {
    let mut house = House::with_teams();
    let (_, tag) = house.teams_is_answered();
    house.told();
    let replaces = format!("Replaces: 19233e6b;to-tag={tag};from-tag=6dfc92be\n");
    house.hears(udp(CARRIER), &invite("x", &replaces, &offer("0", "")));
    assert_eq!(house.came().replaces, None, "an ordinary call: this trunk may not transfer");
    let insists = invite("y", &format!("Require: replaces\n{replaces}"), &offer("0", ""));
    let said = house.hears(udp(CARRIER), &insists.replace("by-hand", "insists"));
    let no = said.last().unwrap();
    assert_eq!((no.line(), no.get("Unsupported")), ("SIP/2.0 420 Bad Extension", "replaces"));
}

#[test]
fn what_is_carried_to_the_core_is_what_came() {
    let mut house = House::with_teams();
    let (_, tag) = house.teams_is_answered();
    let (_, target, _) = refers(&mut house, &tag, 2);
    let Address::Referred { to: Opaque(octets), .. } = &target.address else { panic!("{target:?}") };
    let asked = Asked::unpacked(octets);
    assert_eq!((&asked.to[..], asked.by.as_deref()), (REFER_TO.as_bytes(), Some(REFERRED_BY.as_bytes())));
    assert!(!format!("{target:?}").contains("x-tt"), "opaque in logs as well");
}

/// The OPTIONS among these messages that goes to the first of Microsoft's proxies, with what is drawn at random named.
fn asked(said: &[Said]) -> Option<String> {
    let options =
        said.iter().find(|said| said.line().starts_with("OPTIONS sip:sip.pstnhub.microsoft.com:5061"))?;
    let branch = options.get("Via").split(';').find_map(|param| param.strip_prefix("branch="))?.to_owned();
    let (tag, call_id) = (options.tag("From"), options.get("Call-ID").to_owned());
    Some(options.0.replace(&branch, "BRANCH").replace(&tag, "TAG").replace(&call_id, "CALL"))
}

/// Octet for octet as the documentation shows it: a Contact with the paired name and no user, Allow with REFER and NOTIFY, and no
/// Record-Route, which would be looked at first.
const OPTIONS: &str = "OPTIONS sip:sip.pstnhub.microsoft.com:5061;transport=tls SIP/2.0\r\n\
    Via: SIP/2.0/TLS sbc1.example.com:5061;branch=BRANCH;rport\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:sbc1.example.com:5061>;tag=TAG\r\n\
    To: <sip:sip.pstnhub.microsoft.com:5061>\r\n\
    Call-ID: CALL\r\n\
    CSeq: 1 OPTIONS\r\n\
    Contact: <sip:sbc1.example.com:5061;transport=tls>\r\n\
    Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REFER, NOTIFY, UPDATE, INFO\r\n\
    Supported: replaces, timer\r\n\
    User-Agent: Sidetone/VERSION\r\n\
    X-MS-SBC: Sidetone/gateway/VERSION\r\n\
    Content-Length: 0\r\n\r\n";

#[test]
fn microsoft_is_asked_in_the_very_words_of_its_documentation() {
    let mut house = House::with_teams();
    let said = house.pass(Duration::from_secs(61));
    assert_eq!(asked(&said).unwrap(), OPTIONS.replace("VERSION", env!("CARGO_PKG_VERSION")));
}

#[test]
fn microsofts_question_is_answered_with_the_name_it_asked_for() {
    let mut house = House::with_teams();
    let peer = microsoft(&mut house, ELSEWHERE, 1);
    let ok = house.hears(peer, &ms("OPTIONS", "o", "77", "", 1, "", "")).remove(0);
    assert_eq!(ok.line(), "SIP/2.0 200 OK");
    assert_eq!(ok.get("Contact"), "<sip:sbc1.example.com:5061;transport=tls>");
    assert_eq!(ok.get("Allow"), "INVITE, ACK, CANCEL, BYE, OPTIONS, REFER, NOTIFY, UPDATE, INFO");
    assert_eq!((ok.get("Supported"), ok.get("Accept")), ("replaces, timer", "application/sdp"));
    assert!(!ok.tag("To").is_empty());

    // A carrier gets nothing of it.
    let plain = house.hears(udp(CARRIER), &inside("OPTIONS", "o", "", 1, "", "")).remove(0);
    assert!(!plain.get("Contact").contains("sbc1"), "{}", plain.get("Contact"));
    assert!(!plain.get("Allow").contains("REFER"));
}

#[test]
fn a_draining_house_asks_nobody_and_answers_everybody() {
    let mut house = House::with_teams();
    house.door.take_no_more(house.now);
    let said = house.pass(Duration::from_secs(600));
    // What was under way is finished: the last questions are repeated for half a minute, and no new ones put.
    assert!(house.pass(Duration::from_secs(600)).is_empty(), "{said:?}");
    let peer = microsoft(&mut house, ELSEWHERE, 1);
    let ok = house.hears(peer, &ms("OPTIONS", "o", "77", "", 1, "", "")).remove(0);
    assert_eq!(ok.line(), "SIP/2.0 200 OK");
}

#[test]
fn pitfall_5_requests_go_to_the_route_of_the_datacentre_once_its_name_is_known() {
    let mut house = House::with_teams();
    let (leg, _) = house.teams_is_answered();
    let place = Place {
        host: "sip-du-a-eu.pstnhub.microsoft.com".into(),
        port: Some(5061),
        transport: Some(Transport::Tls),
    };
    assert_eq!(house.words, [Word::Met(place)], "asked for as soon as the call comes in, and once");

    // Nobody has said where that is: the request goes where the dialog began, not to the Contact's port 443.
    house.order(leg, LegAction::Hold, &[]);
    assert_eq!(house.sent_to.last().unwrap().remote, MICROSOFT.parse::<std::net::SocketAddr>().unwrap());

    // Hours later than the door was opened, the name server has answered.
    let mut house = House::with_teams();
    let (leg, _) = house.teams_is_answered();
    house.now += Duration::from_secs(7200);
    let question = Question { name: "sip-du-a-eu.pstnhub.microsoft.com".into(), kind: Kind::A };
    let answer = Heard::Records(vec![Record::Ip([52, 114, 0, 9].into())], Duration::from_secs(60));
    let mut names = Names::clone(&house.names.load());
    names.learn(house.now, question, answer);
    house.names.store(Arc::new(names));
    let said = house.order(leg, LegAction::Hold, &[]);
    let contact = "sip:api-du-a-uswe2.pstnhub.microsoft.com:443;x-i=0f1e-2d;x-c=aA/d/8/00ff";
    assert_eq!(said[0].line(), format!("INVITE {contact} SIP/2.0"));
    assert_eq!(
        house.sent_to.last().unwrap().remote,
        "52.114.0.9:5061".parse::<std::net::SocketAddr>().unwrap()
    );
    assert!(house.sent_to.last().unwrap().transport.is_secure());
}

fn fork(invite: &Said, status: &str, tag: &str, body: &str) -> String {
    let contact = format!("CONTACT: <sip:api-du-a-uswe2.pstnhub.microsoft.com:443;x-i={tag}>\n{ROUTE}");
    with_body(invite.answered(status, tag, &contact), body)
}

#[test]
fn forks_as_microsoft_makes_them_are_one_call_and_the_one_that_answers_late_is_hung_up() {
    let mut house = House::with_teams();
    let invite = house.order(LegId(77), LegAction::Dial(house.cleared("+15550111")), &[]).remove(0);
    assert!(invite.line().starts_with("INVITE sip:+15550111@"), "{}", invite.line());
    assert!(invite.line().contains(";user=phone"), "{}", invite.line());
    let peer = microsoft(&mut house, MICROSOFT, 1);
    house.told();
    // Every telephone that rings has a tag of its own, and the description comes on yet another.
    house.hears(peer, &fork(&invite, "183 Session Progress", "f1", OFFER));
    let events = house.events();
    assert!(
        matches!(events[..], [LegEvent::Ringing, LegEvent::EarlyMedia]),
        "silent or not, it rings: {events:?}"
    );
    house.hears(peer, &fork(&invite, "180 Ringing", "f2", ""));
    house.hears(peer, &fork(&invite, "180 Ringing", "f3", ""));
    assert!(house.events().is_empty(), "it rings already");

    let said = house.hears(peer, &fork(&invite, "200 OK", "f4", OFFER));
    let ack = &said[0];
    assert_eq!(ack.line(), "ACK sip:api-du-a-uswe2.pstnhub.microsoft.com:443;x-i=f4 SIP/2.0");
    assert_eq!(ack.tag("To"), "f4");
    assert_eq!(ack.get("Route"), "<sip:sip-du-a-eu.pstnhub.microsoft.com:5061;transport=tls;lr>");
    let told = house.told();
    assert!(told.iter().any(|report| matches!(report, Report::Leg(_, LegEvent::Answered))), "{told:?}");
    let keys = told.into_iter().find_map(|report| match report {
        Report::Correlated(_, correlation) => correlation.peer_key,
        _ => None,
    });
    assert_eq!(keys.as_deref(), Some("f4"), "the key in Microsoft's records");

    let said = house.hears(peer, &fork(&invite, "200 OK", "f5", OFFER));
    let lines: Vec<_> =
        said.iter().map(|said| (said.line().split(' ').next().unwrap(), said.tag("To"))).collect();
    assert_eq!(lines, [("ACK", "f5".to_owned()), ("BYE", "f5".to_owned())]);
    assert!(house.events().is_empty(), "the call goes on with the first");
}

#[test]
fn a_number_at_teams_is_not_rung_without_a_clearance() {
    let mut house = House::with_teams();
    let address = Address::Trunk { trunk: TrunkId::new("teams").unwrap(), number: "+15550111".into() };
    let target = Target { address, name: "+15550111".into() };
    assert!(house.order(LegId(77), LegAction::Dial(target), &[]).is_empty(), "nothing is said to anybody");
    let told = house.told();
    let ended = told.iter().find_map(|report| match report {
        Report::Leg(LegId(77), LegEvent::Ended(end)) => Some(end),
        _ => None,
    });
    let end = ended.expect("the leg has ended");
    assert_eq!(end.cause, Cause::Unreachable);
    assert!(end.detail.contains("clearance"), "{}", end.detail);
}

/// The INVITE among these messages, and where it went.
fn invited(house: &House, said: &[Said]) -> Option<(Said, std::net::SocketAddr)> {
    let place = said.iter().position(|said| said.line().starts_with("INVITE "))?;
    let sent = house.sent_to.len() - said.len() + place;
    Some((Said(said[place].0.clone()), house.sent_to[sent].remote))
}

#[test]
fn a_cleared_user_is_called_at_the_proxies_by_number_and_at_the_next_when_one_has_no_room() {
    let mut house = House::with_teams();
    let mut said = house.order(LegId(77), LegAction::Dial(house.cleared("+15550111")), &[]);
    let sites = [
        ("sip.pstnhub.microsoft.com", "52.112.0.7:5061"),
        ("sip2.pstnhub.microsoft.com", "52.112.1.7:5061"),
        ("sip3.pstnhub.microsoft.com", "52.112.2.7:5061"),
    ];
    for (n, (name, at)) in sites.into_iter().enumerate() {
        let (invite, to) = invited(&house, &said).unwrap_or_else(|| panic!("nobody is called at {name}"));
        let uri =
            invite.line().strip_prefix("INVITE ").and_then(|rest| rest.strip_suffix(" SIP/2.0")).unwrap();
        assert!(uri.starts_with(&format!("sip:+15550111@{name}:5061;")), "{uri}");
        assert!(uri.contains(";user=phone") && uri.contains(";transport=tls"), "{uri}");
        assert_eq!(to, at.parse::<std::net::SocketAddr>().unwrap(), "{name}");
        assert!(invite.get("To").contains("sip:+15550111@") && invite.get("To").contains("user=phone"));
        assert!(invite.body().contains("m=audio 20000 RTP/SAVP ") && invite.body().contains("a=crypto:"));
        let peer = microsoft(&mut house, at, 10 + n as u64);
        if n < 2 {
            said = house.hears(peer, &invite.answered("503 Service Unavailable", "t", ""));
            assert!(house.events().is_empty(), "for the core it is one call");
        } else {
            let contact = format!("{MS_CONTACT}{ROUTE}");
            said = house.hears(peer, &with_body(invite.answered("200 OK", "t", &contact), OFFER));
            assert!(said[0].line().starts_with("ACK sip:api-du-a-uswe2.pstnhub.microsoft.com:443;"));
        }
    }
    assert!(house.events().contains(&LegEvent::Answered));
    assert!(invited(&house, &said).is_none());
}

#[test]
fn what_microsoft_says_of_a_cleared_user_is_said_for_all_its_proxies() {
    for (status, cause) in [
        ("404 Not Found", Cause::NotFound),
        ("403 Forbidden", Cause::Forbidden),
        ("486 Busy Here", Cause::Busy),
        ("603 Decline", Cause::Declined),
    ] {
        let mut house = House::with_teams();
        let said = house.order(LegId(77), LegAction::Dial(house.cleared("+15550111")), &[]);
        let (invite, _) = invited(&house, &said).unwrap();
        let peer = microsoft(&mut house, MICROSOFT, 10);
        let said = house.hears(peer, &invite.answered(status, "t", ""));
        assert!(invited(&house, &said).is_none(), "{status}");
        let ends = house.events();
        assert!(matches!(&ends[..], [LegEvent::Ended(end)] if end.cause == cause), "{status}: {ends:?}");
    }
}

#[test]
fn a_call_of_microsofts_is_told_within_its_ten_seconds_that_somebody_is_rung() {
    let mut house = House::with_teams();
    let peer = microsoft(&mut house, MICROSOFT, 1);
    house.hears(peer, &ms("INVITE", "a", "19233e6b", "", 1, ROUTE, OFFER));
    let leg = house.came().leg;
    assert!(house.pass(Duration::from_secs(7)).iter().all(|said| !said.line().starts_with("SIP/2.0 18")));
    let said = house.pass(Duration::from_secs(2));
    let ringing: Vec<_> = said.iter().filter(|said| said.line() == "SIP/2.0 180 Ringing").collect();
    assert_eq!((ringing.len(), ringing[0].body()), (1, ""), "the way on is slow to ring: {said:?}");
    let ok = house.order(leg, LegAction::Answer, &[]).remove(0);
    assert_eq!(ok.line(), "SIP/2.0 200 OK");

    // One that has been told already is not told again, and a carrier is not told what is not so.
    let mut house = House::with_teams();
    let peer = microsoft(&mut house, MICROSOFT, 1);
    house.hears(peer, &ms("INVITE", "a", "19233e6b", "", 1, ROUTE, OFFER));
    let leg = house.came().leg;
    assert_eq!(house.order(leg, LegAction::OpenEarly, &[])[0].line(), "SIP/2.0 183 Session Progress");
    house.hears(udp(CARRIER), &invite("b", "", &offer("0", "")));
    assert!(house.pass(Duration::from_secs(20)).iter().all(|said| !said.line().starts_with("SIP/2.0 18")));
}
