//! Trunks in virtual time: who is asked whether it lives, where calls go, and where they go next.

use std::sync::Arc;

use sbc_config::Config;

use super::door::{House, Secrets, beyond_the_trunk, udp};
use super::*;
use crate::call::card::{self, Card};
use crate::call::context::Context;
use crate::call::door::{Caller, Report};
use crate::call::{Cause, LegAction, LegEvent, LegId};
use crate::sip::names::ask::Word;

const FIRST: &str = "192.0.2.1:5060";
const SECOND: &str = "192.0.2.11:5060";
const THIRD: &str = "192.0.2.12:5060";

const LEG: LegId = LegId(77);

/// A house whose carrier has these destinations and settings.
pub(super) fn house(destinations: &str, more: &str) -> House {
    let text = format!(
        r#"
[server]
name = "test"
database = "sqlite::memory:"
[sip]
udp = "192.0.2.2:5060"
realm = "example.com"
[dns]
overrides = {{ "sip.example.net" = ["192.0.2.1", "192.0.2.11"] }}
[media]
listen = "192.0.2.2"
ports = "20000-20099"
[api]
listen = "127.0.0.1:0"
[[tenant]]
id = "acme"
name = "Acme"
[[trunk]]
id = "carrier"
tenant = "acme"
sources = ["192.0.2.0/24"]
destinations = [{destinations}]
{more}
"#
    );
    match Config::parse(&text, &Secrets) {
        Ok(config) => House::with(config),
        Err(findings) => panic!("{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>()),
    }
}

fn three() -> String {
    [FIRST, SECOND, THIRD].map(|at| format!("\"{at};transport=udp\"")).join(", ")
}

impl House {
    fn dials(&mut self) -> Vec<Said> {
        self.order(LEG, LegAction::Dial(beyond_the_trunk()), &[])
    }

    fn up(&mut self) -> Option<bool> {
        self.told().into_iter().find_map(|r| if let Report::Trunk { up, .. } = r { Some(up) } else { None })
    }

    /// Waits for the next OPTIONS, and answers it with this.
    fn answers_next(&mut self, status: &str) {
        for _ in 0..120 {
            let said = self.pass(Duration::from_secs(1));
            if let Some(ask) = said.iter().find(|said| said.line().starts_with("OPTIONS ")) {
                self.hears(udp(FIRST), &ask.answered(status, "t", ""));
                return;
            }
        }
        panic!("nobody is asked");
    }

    fn ended(&mut self) -> Option<Cause> {
        self.events().iter().find_map(|e| if let LegEvent::Ended(end) = e { Some(end.cause) } else { None })
    }
}

/// Where an INVITE among these messages goes.
fn invited(said: &[Said]) -> Option<&str> {
    let line = said.iter().map(Said::line).find(|line| line.starts_with("INVITE "))?;
    line.split(['@', ';', ' ']).nth(2)
}

fn tcp(remote: &str) -> Destination {
    let remote = remote.parse().unwrap();
    Destination { transport: Transport::Tcp, remote, local: None, connection: None, tls: None }
}

fn invite(said: Vec<Said>) -> Said {
    said.into_iter().find(|said| said.line().starts_with("INVITE ")).expect("an INVITE")
}

#[test]
fn a_trunk_is_asked_at_intervals_and_its_life_told_when_it_changes() {
    let mut house = house("\"192.0.2.1:5060\"", "options_s = 60");
    // The first question was sent while the house was built, and is lost.
    house.pass(Duration::from_secs(40));
    house.answers_next("404 Not Found");
    assert_eq!(house.up(), Some(true), "any answer is a sign of life");
    house.pass(Duration::from_secs(120));
    assert_eq!(house.up(), None, "silence once or twice is no outage");
    house.pass(Duration::from_secs(100));
    assert_eq!(house.up(), Some(false));
    house.pass(Duration::from_secs(120));
    assert_eq!(house.up(), None, "told once");
    // What is under way is lost, too: the answers that follow are to fresh questions.
    while house.pass(Duration::from_secs(4)).iter().any(|said| said.line().starts_with("OPTIONS ")) {}
    house.answers_next("200 OK");
    assert_eq!(house.up(), None, "one answer may be chance");
    house.answers_next("200 OK");
    assert_eq!(house.up(), Some(true), "two are life");
    house.answers_next("503 Service Unavailable");
    assert_eq!(house.up(), Some(false), "503 says so itself");
}

#[test]
fn every_destination_is_asked_and_no_two_minutes_pass_without_a_question() {
    // Microsoft calls an SBC unhealthy that has sent no OPTIONS for three minutes.
    let mut house = house(&three(), "options_s = 60");
    let asked = house.pass(Duration::from_secs(600));
    for at in [FIRST, SECOND, THIRD] {
        // Retransmissions carry the same branch.
        let mut questions: Vec<_> =
            asked.iter().filter(|s| s.line().contains(at)).map(|s| s.get("Via").to_owned()).collect();
        questions.dedup();
        questions.sort();
        questions.dedup();
        assert!((10..=12).contains(&questions.len()), "{at}: {}", questions.len());
    }
}

#[test]
fn an_answer_to_options_without_a_to_tag_is_an_answer() {
    let mut house = house("\"192.0.2.1:5060\"", "options_s = 60");
    let asked = house.pass(Duration::from_secs(61));
    let ask = asked.iter().rfind(|said| said.line().starts_with("OPTIONS ")).unwrap();
    house.hears(udp(FIRST), &ask.answered("200 OK", "", "Server: Microsoft.PSTNHub.SIPProxy v.1 i.X.1\n"));
    assert_eq!(house.up(), Some(true));
}

#[test]
fn a_call_goes_to_the_first_destination_and_to_the_next_when_nobody_is_there() {
    let mut house = house(&three(), "failover_s = 4");
    let first = invite(house.dials());
    assert_eq!(invited(std::slice::from_ref(&first)), Some("192.0.2.1:5060"));
    let said = house.pass(Duration::from_millis(3_900));
    assert!(said.iter().all(|said| said.get("Via") == first.get("Via")), "only the same INVITE again");
    let second = invite(
        house.pass(Duration::from_millis(200)).into_iter().filter(|s| s.line() != first.line()).collect(),
    );
    assert_eq!(invited(std::slice::from_ref(&second)), Some("192.0.2.11:5060"));
    assert_ne!(second.get("Via"), first.get("Via"), "a new branch");
    house.hears(udp(SECOND), &second.answered("180 Ringing", "b", "Contact: <sip:b@192.0.2.11>\n"));
    assert!(matches!(house.events()[..], [LegEvent::Ringing]), "the core has heard of one call");
    // The first wakes up: what it says is answered with a CANCEL, and changes nothing.
    let cancel = house.hears(udp(FIRST), &first.answered("100 Trying", "", ""));
    assert!(cancel.iter().any(|said| said.line().starts_with("CANCEL ")), "{cancel:?}");
    assert!(house.events().is_empty());
}

#[test]
fn a_busy_proxy_is_left_alone_for_as_long_as_it_asks_and_calls_go_past_it() {
    let mut house = house(&three(), "options_s = 60");
    let first = invite(house.dials());
    let said = house.hears(udp(FIRST), &first.answered("503 Service Unavailable", "t", "Retry-After: 20\n"));
    assert_eq!(invited(&said), Some("192.0.2.11:5060"));
    house.order(LEG, LegAction::HangUp(Cause::Normal), &[]);
    house.told();
    let said = house.dials();
    assert_eq!(invited(&said), Some("192.0.2.11:5060"), "it asked for twenty seconds");
    house.order(LEG, LegAction::HangUp(Cause::Normal), &[]);
    house.pass(Duration::from_secs(20));
    house.told();
    assert_eq!(invited(&house.dials()), Some("192.0.2.1:5060"));
}

#[test]
fn a_gateway_timeout_moves_on_and_a_refusal_never_does() {
    for (status, goes_on) in [
        ("408 Request Timeout", true),
        ("504 Server Time-out", true),
        ("503 Service Unavailable", true),
        ("403 Forbidden", false),
        ("404 Not Found", false),
        ("480 Temporarily Unavailable", false),
        ("486 Busy Here", false),
        ("500 Server Internal Error", false),
        ("603 Decline", false),
    ] {
        let mut house = house(&three(), "");
        let first = invite(house.dials());
        let said = house.hears(udp(FIRST), &first.answered(status, "t", ""));
        assert_eq!(invited(&said), goes_on.then_some("192.0.2.11:5060"), "{status}");
        assert_eq!(house.ended().is_none(), goes_on, "{status}");
    }
}

#[test]
fn a_call_is_tried_three_times_at_most() {
    let four = format!("{}, \"192.0.2.13:5060;transport=udp\"", three());
    let mut house = house(&four, "");
    let mut said = house.dials();
    for at in [FIRST, SECOND, THIRD] {
        assert_eq!(invited(&said), Some(at));
        let asked = invite(said);
        said = house.hears(udp(at), &asked.answered("504 Server Time-out", "t", ""));
    }
    assert_eq!(invited(&said), None);
    assert!(house.ended().is_some());
}

#[test]
fn a_call_that_has_been_taken_up_rings_on_where_it_is() {
    let mut house = house(&three(), "failover_s = 4");
    let first = invite(house.dials());
    house.hears(udp(FIRST), &first.answered("100 Trying", "", ""));
    let said = house.pass(Duration::from_secs(60));
    assert_eq!(invited(&said), None, "100 is a word: no other destination is tried");
    house.hears(udp(FIRST), &first.answered("180 Ringing", "b", "Contact: <sip:b@192.0.2.1>\n"));
    let said = house.hears(udp(FIRST), &first.answered("503 Service Unavailable", "b", ""));
    assert_eq!(invited(&said), None, "somebody has been rung");
    assert!(house.ended().is_some());
}

#[test]
fn a_broken_connection_moves_a_call_on_and_the_name_is_asked_for_anew() {
    let mut house = house("\"sip.example.net;transport=tcp\"", "");
    let said = house.dials();
    assert_eq!(said[0].line(), "INVITE sip:+15550123@sip.example.net;transport=tcp SIP/2.0");
    house.door.unreachable(house.now, tcp(FIRST));
    let again = house.collect();
    assert_eq!(again[0].line(), said[0].line(), "the same name, at its other address");
    assert_eq!(house.words, [Word::Doubted("sip.example.net".into())]);
    assert!(house.events().is_empty());
    house.door.unreachable(house.now, tcp(SECOND));
    house.collect();
    assert_eq!(house.ended(), Some(Cause::Unreachable));
    assert_eq!(house.door.legs(), 0);
}

#[test]
fn a_password_is_told_to_the_realm_it_is_for_and_to_no_other() {
    let auth = "auth = { username = \"acme\", password_env = \"PASSWORD\", realm = \"carrier.example.net\" }";
    let challenge = |realm: &str, more: &str| {
        format!("WWW-Authenticate: Digest realm=\"{realm}\",nonce=\"n1\",qop=\"auth\"{more}\n")
    };
    let mut trusted = house("\"192.0.2.1:5060\"", auth);
    let first = invite(trusted.dials());
    assert_eq!(first.get("Authorization"), "");
    // RFC 8760 section 2.4: the topmost we can answer.
    let no = format!(
        "{}{}{}",
        challenge("carrier.example.net", ",algorithm=SHA-777"),
        challenge("carrier.example.net", ",algorithm=SHA-512-256"),
        challenge("carrier.example.net", ",algorithm=MD5")
    );
    let said = trusted.hears(udp(FIRST), &first.answered("401 Unauthorized", "t", &no));
    let signed = invite(said);
    let authorization = signed.get("Authorization");
    assert!(authorization.contains("algorithm=SHA-512-256"), "{authorization}");
    assert!(authorization.contains(&format!("uri=\"{}\"", signed.line().split(' ').nth(1).unwrap())));
    assert_eq!((signed.get("Call-ID"), signed.tag("From")), (first.get("Call-ID"), first.tag("From")));
    assert_ne!((signed.get("CSeq"), signed.get("Via")), (first.get("CSeq"), first.get("Via")));
    // The same question once more means that the password is wrong; a stale nonce means that it is right.
    let stale = challenge("carrier.example.net", ",algorithm=MD5,stale=true").replace("n1", "n2");
    let said = trusted.hears(udp(FIRST), &signed.answered("401 Unauthorized", "t", &stale));
    let again = invite(said);
    assert!(again.get("Authorization").contains("n2"));
    let said = trusted
        .hears(udp(FIRST), &again.answered("401 Unauthorized", "t", &challenge("carrier.example.net", "")));
    assert_eq!(invited(&said), None);
    assert!(trusted.ended().is_some());

    let mut asked_by_a_stranger = house("\"192.0.2.1:5060\"", auth);
    let first = invite(asked_by_a_stranger.dials());
    let no = challenge("evil.example.org", "");
    let said = asked_by_a_stranger.hears(udp(FIRST), &first.answered("401 Unauthorized", "t", &no));
    assert_eq!(invited(&said), None, "no other realm gets anything to guess at");
    assert!(asked_by_a_stranger.ended().is_some());
}

/// A call from a trunk with these settings, with this From and these header lines.
fn shows(more: &str, from: &str, headers: &str) -> Caller {
    let mut house = house("\"192.0.2.1:5060\"", more);
    let call = format!(
        "INVITE sip:0205550100@192.0.2.2 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKc;rport\nMax-Forwards: 70\n\
         From: {from};tag=c\nTo: <sip:0205550100@192.0.2.2>\nCall-ID: c\nCSeq: 1 INVITE\nContact: <sip:c@192.0.2.1>\n{headers}\
         Content-Type: application/sdp\n\n{OFFER}"
    );
    house.told();
    house.hears(udp(FIRST), &call);
    let incoming = house.came();
    if more.contains("numbers_in") {
        assert_eq!(incoming.to, "+44205550100", "what was dialled, in our numbers");
    }
    incoming.from
}

/// The INVITE of a call to a trunk with these settings, from this caller.
fn told_of(more: &str, caller: Caller) -> Said {
    told_with(more, caller, None)
}

fn told_with(more: &str, caller: Caller, card: Option<Arc<Card>>) -> Said {
    let mut house = house("\"192.0.2.1:5060\"", more);
    let media = Some(crate::call::door::MediaEnd { rtp: "192.0.2.2:20000".parse().unwrap() });
    let action = LegAction::Dial(beyond_the_trunk());
    let order =
        crate::call::door::Order { leg: LEG, action, media, prefer: Vec::new(), caller: Some(caller), card };
    house.door.order(house.now, order);
    invite(house.collect())
}

const PAI: &str = "caller_identity = \"p_asserted_identity\"\n";

const SHOWN: &str = "\"Carol\" <sip:0205550001@192.0.2.1>";

#[test]
fn a_number_is_vouched_for_where_the_trunk_says_and_nowhere_else() {
    let asserted = "P-Asserted-Identity: \"Real\" <sip:0205550777@192.0.2.1>\n";
    let stranger = shows("", SHOWN, asserted);
    assert_eq!((stranger.number.as_str(), stranger.asserted), ("0205550001", None));
    let british = format!("{PAI}numbers_in = [{{ national = {{ country = \"44\" }} }}]");
    let known = shows(&british, SHOWN, asserted);
    assert_eq!((known.number.as_str(), known.name.as_deref()), ("+44205550777", Some("Real")));
    assert_eq!(known.asserted.as_deref(), Some("+44205550777"));
    let rpid = "Remote-Party-ID: <sip:0205550777@192.0.2.1>;party=calling;privacy=full\n";
    let old = shows("caller_identity = \"remote_party_id\"", SHOWN, rpid);
    assert_eq!((old.number.as_str(), old.asserted.as_deref()), ("anonymous", Some("0205550777")));
}

#[test]
fn a_withheld_number_is_shown_to_nobody_and_goes_on_to_networks_alone() {
    let withheld = "P-Asserted-Identity: <sip:+15550777@192.0.2.1>\nPrivacy: id\n";
    let caller = shows(PAI, "\"Anonymous\" <sip:anonymous@anonymous.invalid>", withheld);
    assert_eq!((caller.number.as_str(), caller.name.as_deref()), ("anonymous", None));
    assert_eq!(caller.asserted.as_deref(), Some("+15550777"));

    let on = told_of(PAI, caller.clone());
    assert!(on.get("From").starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>"), "{}", on.0);
    assert!(on.get("P-Asserted-Identity").contains("sip:+15550777@"), "{}", on.0);
    assert_eq!(on.get("Privacy"), "id");
    for nowhere in ["", "caller_identity = \"p_asserted_identity\"\nprivacy = \"anonymous\"\n"] {
        let on = told_of(nowhere, caller.clone());
        assert!(!on.0.contains("5550777"), "{}", on.0);
    }
}

#[test]
fn a_caller_is_vouched_for_in_the_header_that_the_trunk_wants() {
    let caller = || Caller::shown("+15550001", Some("Carol".into()));
    for (word, header) in [
        ("p_asserted_identity", "P-Asserted-Identity"),
        ("p_preferred_identity", "P-Preferred-Identity"),
        ("remote_party_id", "Remote-Party-ID"),
    ] {
        let said = told_of(&format!("caller_identity = \"{word}\"\n"), caller());
        assert!(said.get(header).contains("\"Carol\" <sip:+15550001@192.0.2.2"), "{word}: {}", said.0);
        assert_eq!(said.get("Privacy"), "");
    }
    let said = told_of("", caller());
    assert!(!said.0.contains("Identity") && !said.0.contains("Remote-Party"), "{}", said.0);
    let inside = told_of(PAI, Caller::shown("alice", None));
    assert_eq!(inside.get("P-Asserted-Identity"), "", "a name of ours is no number");
}

#[test]
fn a_callers_number_is_written_as_the_trunk_wants_it_wherever_it_stands() {
    let rules = format!(
        "{PAI}caller_numbers_out = [{{ national = {{ country = \"44\" }} }}]\n\
         numbers_out = [{{ strip_plus = true }}, {{ add_prefix = \"9001\" }}]\n"
    );
    let british = told_of(&rules, Caller::shown("+442079460000", None));
    assert!(british.get("From").contains("<sip:02079460000@192.0.2.2"), "{}", british.0);
    assert!(british.get("P-Asserted-Identity").contains("<sip:02079460000@192.0.2.2"), "{}", british.0);
    assert!(british.line().starts_with("INVITE sip:900115550123@"), "its own rules: {}", british.line());
    let other = told_of(&rules, Caller::shown("+15550001", None));
    assert!(other.get("From").contains("<sip:+15550001@"), "of another country: {}", other.0);
    let strip = "caller_numbers_out = [{ strip_plus = true }, { add_prefix = \"00\" }]\n";
    let withheld = Caller { private: true, ..Caller::shown("anonymous", None) };
    assert!(told_of(strip, withheld).get("From").contains("sip:anonymous@anonymous.invalid"));
    assert!(told_of(strip, Caller::shown("alice", None)).get("From").contains("<sip:alice@"));
}

#[test]
fn a_card_is_one_header_and_its_values_are_nothing_else() {
    let view = sbc_config::CardView {
        tenant: sbc_config::TenantId::new("acme").unwrap(),
        fields: vec![sbc_config::CardField {
            name: "customer".into(),
            label: "Customer".into(),
            kind: sbc_config::CardKind::Text,
            sensitive: false,
        }],
        link: None,
        header: "X-Sidetone-Card".into(),
    };
    let value = card::Value::Text("Ann <sip:x>; P-Asserted-Identity: 1".into());
    let values = [("customer".to_owned(), value)].into();
    let drawn = card::draw(&view, &card::Matter { values, ..card::Matter::default() }).unwrap();
    let said = told_with("", Caller::shown("+15550001", None), Some(Arc::new(drawn.card)));
    let line = "customer=Ann%20%3Csip%3Ax%3E%3B%20P-Asserted-Identity%3A%201";
    assert_eq!(said.get("X-Sidetone-Card"), line, "{}", said.0);
    assert_eq!(said.get("P-Asserted-Identity"), "");
}

#[test]
fn what_a_caller_s_system_gives_along_is_taken_and_passed_on_where_the_trunk_says_so() {
    let brought =
        "User-to-User: 616d;encoding=hex\nx-ms-custom-Ticket: 42\nX-MS-Custom-Odd: no spaces\nX-Other: 1\n";
    assert_eq!(shows("context_headers = \"out\"", SHOWN, brought).context, None);
    let caller = shows("context_headers = \"in\"", SHOWN, brought);
    let along: Vec<_> = caller.context.as_ref().unwrap().headers().collect();
    assert_eq!(along, [("User-to-User", "616d;encoding=hex"), ("X-MS-Custom-Ticket", "42")]);
    for (more, told) in [("", ""), ("context_headers = \"in\"", ""), ("context_headers = \"both\"", "42")] {
        let said = told_of(more, caller.clone());
        assert_eq!(said.get("X-MS-Custom-Ticket"), told, "{more}");
        assert_eq!(said.get("X-Other"), "");
    }
    // A datagram has room for some of it.
    let long = "x".repeat(250);
    let headers = [("User-to-User", long.as_str()), ("X-MS-Custom-A", &long), ("X-MS-Custom-B", "1")];
    let caller = Caller { context: Context::of(headers), ..caller };
    let said = told_of("context_headers = \"out\"", caller);
    assert_eq!(
        (said.get("User-to-User"), said.get("X-MS-Custom-A"), said.get("X-MS-Custom-B")),
        (&*long, "", "1")
    );
}
