//! What a call brings of its way to us and takes along: who forwarded it, what is attested of its caller, where the caller
//! is, how far it may still go. SIPp plays both carriers, or a mirror that sends each call back.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::support::gateway::Gateway;
use super::support::house::{CARRIER_IP, House};
use super::support::sipp::{ONCE, Over, PHONE_IP, Sipp};
use super::support::{ports, program};

const NUMBER: &str = "+15550100";

/// A house whose number leads out over the trunk `beyond`, to this port of SIPp's.
fn house(port: u16, carrier: &str, beyond: &str) -> House {
    let beyond = format!("destination = \"{PHONE_IP}:{port};transport=udp\"\n{beyond}");
    House::new()
        .person_registers("alice", "agent")
        .person_registers("sam", "supervisor")
        .carrier(carrier)
        .trunk_beyond(&beyond)
        .number("main", NUMBER, &["trunk:beyond"], "")
}

/// Calls once, and gives the INVITE as the carrier beyond got it, by the log of its messages.
fn goes_on(house: &House, port: u16, over: Over, scenario: &'static str, words: &[(&str, &str)]) -> String {
    let gateway = Gateway::start(house);
    let rest = gateway.holdings();
    let beyond = Sipp::telephone(gateway.dir(), "phone_answers", port, 1, over);
    Sipp::carrier_with(gateway.dir(), scenario, CARRIER_IP, gateway.sip, NUMBER, ONCE, words).went_well();
    beyond.went_well();
    gateway.comes_to_rest(rest);
    received_invite(&gateway, port)
}

fn received_invite(gateway: &Gateway, port: u16) -> String {
    let log = gateway.dir().join(format!("phone_answers-{port}.messages"));
    let log = std::fs::read_to_string(log).expect("a log of messages");
    let from = log.find("INVITE sip:").unwrap_or_else(|| panic!("no INVITE in:\n{log}"));
    let invite = &log[from..];
    let to = invite.find("\n-----").unwrap_or(invite.len());
    invite[..to].replace('\r', "")
}

fn header<'a>(message: &'a str, name: &str) -> Vec<&'a str> {
    message.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}

#[test]
fn a_forwarded_call_tells_the_next_carrier_who_forwarded_it_in_both_headers_and_in_its_numbers() {
    if program("sipp", "sip-tester").is_none() {
        return;
    }
    let port = ports::free(PHONE_IP);
    let rules = "diversion_out = \"both\"\ncaller_identity = \"p_asserted_identity\"\n\
        caller_numbers_out = [{ national = { country = \"1\", trunk_prefix = \"0\" } }]";
    let house = house(port, "diversion_in = \"diversion\"", rules);
    let invite = goes_on(&house, port, Over::Udp, "carrier_calls_diverted", &[]);

    let diversions = header(&invite, "Diversion");
    assert_eq!(diversions.len(), 2, "{invite}");
    assert!(
        diversions[0].starts_with("<sip:05550122@") && diversions[0].contains(";reason=no-answer;counter=1")
    );
    assert!(diversions[1].starts_with("<sip:05550133@") && diversions[1].contains(";reason=unconditional"));
    let history = header(&invite, "History-Info").concat();
    let entries: Vec<&str> = history.split(", ").collect();
    assert_eq!(entries.len(), 3, "two who forwarded it and whom it goes to: {history}");
    assert!(entries[0].starts_with("<sip:05550133@") && entries[0].ends_with(";index=1"), "{history}");
    assert!(entries[1].contains("05550122@") && entries[1].contains(";index=1.1;mp=1"), "{history}");
    // The caller's number is written by the same rules, where it is shown and where it is vouched for.
    assert!(header(&invite, "From")[0].contains("<sip:05550199@"), "{invite}");
    assert!(header(&invite, "P-Asserted-Identity")[0].contains("<sip:05550199@"), "{invite}");
    assert!(
        invite.starts_with("INVITE sip:+15550100@"),
        "and the number that is dialled by its own: {invite}"
    );
}

/// An Identity of a call from the carrier to the number, made now.
fn identity() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    let claims = format!(
        r#"{{"attest":"A","dest":{{"tn":["15550100"]}},"iat":{now},"orig":{{"tn":"15550199"}},"origid":"{}"}}"#,
        "0".repeat(300)
    );
    let [head, claims] = [r#"{"alg":"ES256","ppt":"shaken","typ":"passport"}"#, &claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{head}.{claims}.{};info=<https://cert.example/p.cer>;alg=ES256;ppt=shaken", "s".repeat(86))
}

#[test]
fn an_identity_goes_on_to_the_octet_and_the_large_invite_goes_by_tcp() {
    if program("sipp", "sip-tester").is_none() {
        return;
    }
    let (port, identity) = (ports::free(PHONE_IP), identity());
    let house = house(port, "", "pass_identity = true");
    let words = [("identity", identity.as_str())];
    // The trunk says UDP, and nobody listens there but for TCP.
    let invite = goes_on(&house, port, Over::Tcp, "carrier_calls_attested", &words);
    assert_eq!(header(&invite, "Identity"), [identity.as_str()]);
    assert!(header(&invite, "Via")[0].starts_with("SIP/2.0/TCP "), "{invite}");
}

#[test]
fn where_nobody_takes_tcp_the_large_invite_goes_as_a_datagram() {
    if program("sipp", "sip-tester").is_none() {
        return;
    }
    let (port, identity) = (ports::free(PHONE_IP), identity());
    let house = house(port, "", "pass_identity = true");
    let words = [("identity", identity.as_str())];
    let invite = goes_on(&house, port, Over::Udp, "carrier_calls_attested", &words);
    assert_eq!(header(&invite, "Identity"), [identity.as_str()]);
    assert!(header(&invite, "Via")[0].starts_with("SIP/2.0/UDP "), "{invite}");
}

#[test]
fn a_trunk_that_does_not_ask_for_it_gets_no_identity() {
    if program("sipp", "sip-tester").is_none() {
        return;
    }
    let (port, identity) = (ports::free(PHONE_IP), identity());
    let words = [("identity", identity.as_str())];
    let invite = goes_on(&house(port, "", ""), port, Over::Udp, "carrier_calls_attested", &words);
    assert!(header(&invite, "Identity").is_empty(), "{invite}");
}

#[test]
fn a_telephone_that_calls_for_help_has_its_location_told_to_the_octet() {
    if program("sipp", "sip-tester").is_none() {
        return;
    }
    let port = ports::free(PHONE_IP);
    let emergency =
        "[emergency]\nenabled = true\nnumbers = [\"112\"]\ntrunks = [\"beyond\"]\ncaller_id = \"+15550188\"";
    let gateway = Gateway::start(&house(port, "", "pidf_lo = true").section(emergency));
    let rest = gateway.holdings();
    let beyond = Sipp::telephone(gateway.dir(), "phone_answers", port, 1, Over::Udp);
    Sipp::carrier(gateway.dir(), "phone_calls_for_help", PHONE_IP, gateway.sip, "112", ONCE).went_well();
    beyond.went_well();
    gateway.comes_to_rest(rest);
    let invite = received_invite(&gateway, port);
    assert!(invite.starts_with("INVITE sip:112@"), "{invite}");
    assert!(header(&invite, "From")[0].contains("+15550188@"), "from the number of the house: {invite}");
    assert_eq!(header(&invite, "Geolocation"), ["<cid:here@phone.example>"]);
    let theirs = "Content-Type: application/pidf+xml\nContent-ID: <here@phone.example>\n\n<?xml version=\"1.0\"?>\
        <presence  entity=\"pres:alice@sidetone\"><civicAddress>Main Street 1, 3rd floor</civicAddress></presence>\n--";
    assert!(invite.contains(theirs), "{invite}");
    assert!(invite.contains("Content-Type: application/sdp\n\nv=0\n"), "{invite}");
}

#[test]
fn a_call_that_may_pass_nobody_any_more_is_refused() {
    if program("sipp", "sip-tester").is_none() {
        return;
    }
    let gateway = Gateway::start(&house(ports::free(PHONE_IP), "", ""));
    Sipp::carrier(gateway.dir(), "carrier_has_no_hops_left", CARRIER_IP, gateway.sip, NUMBER, ONCE)
        .went_well();
    assert!(gateway.calls().is_empty());
}

#[test]
fn a_call_that_comes_by_two_ways_is_taken_once() {
    if program("sipp", "sip-tester").is_none() {
        return;
    }
    let port = ports::free(PHONE_IP);
    let contact = format!("sip:alice@{PHONE_IP}:{port};transport=udp");
    let house = House::new()
        .person_at("alice", "agent", &contact)
        .person_registers("sam", "supervisor")
        .number("main", NUMBER, &["alice"], "");
    let gateway = Gateway::start(&house);
    let rest = gateway.holdings();
    let phone = Sipp::telephone(gateway.dir(), "phone_rings", port, 1, Over::Udp);
    Sipp::carrier(gateway.dir(), "carrier_comes_by_two_ways", CARRIER_IP, gateway.sip, NUMBER, ONCE)
        .went_well();
    phone.went_well();
    gateway.comes_to_rest(rest);
    assert_eq!(gateway.wait_for_records(1).len(), 1, "one call and not two");
}

/// Another gateway, badly set up: it sends whatever is called back to whoever called, as a new call with one hop fewer.
struct Mirror {
    socket: UdpSocket,
    back_to: SocketAddr,
}

impl Mirror {
    /// Reflects until the first refusal has gone back to where the first call came from; how many rounds there were.
    fn reflects(self) -> usize {
        let mut rounds: Vec<String> = Vec::new();
        let mut buffer = vec![0; 65_535];
        loop {
            let length = self.socket.recv(&mut buffer).expect("something comes");
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.starts_with("INVITE ") {
                let call = header(&message.replace('\r', ""), "Call-ID").concat();
                if !rounds.contains(&message) {
                    self.sends(&answer(&message, "SIP/2.0 100 Trying"));
                    self.sends(&on(&message, &call, rounds.len()));
                    rounds.push(message);
                }
                continue;
            }
            let Some(status) = message.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)) else {
                continue;
            };
            let plain = message.replace('\r', "");
            let round = header(&plain, "Call-ID").concat();
            let round: Option<usize> = round.strip_prefix("round-").and_then(|number| number.parse().ok());
            let (Some(round), false) = (round, status.starts_with('1')) else { continue };
            self.sends(&ack(&plain));
            self.sends(&answer(&rounds[round], &message));
            if round == 0 {
                return rounds.len();
            }
        }
    }

    fn sends(&self, message: &str) {
        self.socket.send_to(message.as_bytes(), self.back_to).expect("it is sent");
    }
}

/// The call as the mirror places it.
fn on(invite: &str, call: &str, round: usize) -> String {
    let mut out = String::new();
    for line in invite.split("\r\n") {
        let line = match line.split_once(": ") {
            Some(("Via", _)) => format!("Via: SIP/2.0/UDP {MIRROR};branch=z9hG4bKround-{round};rport"),
            Some(("Max-Forwards", left)) => {
                format!("Max-Forwards: {}", left.parse::<u8>().expect("a number").saturating_sub(1))
            }
            Some(("Call-ID", _)) => format!("Call-ID: round-{round}"),
            Some(("From", from)) => {
                format!("From: {};tag={call}", from.split(";tag=").next().unwrap_or(from))
            }
            _ => line.to_owned(),
        };
        out.push_str(&line);
        out.push_str("\r\n");
    }
    out.truncate(out.len() - 2);
    out
}

/// This answer, with the first line of `as_said`, to whoever sent the INVITE.
fn answer(invite: &str, as_said: &str) -> String {
    let line = as_said.lines().next().unwrap_or_default();
    let plain = invite.replace('\r', "");
    let copied =
        ["Via", "From", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", header(&plain, name)[0]));
    format!(
        "{line}\r\n{}To: {};tag=mirror\r\nContent-Length: 0\r\n\r\n",
        copied.concat(),
        header(&plain, "To")[0]
    )
}

fn ack(refusal: &str) -> String {
    let of = |name: &str| header(refusal, name)[0].to_owned();
    format!(
        "ACK sip:{NUMBER}@127.0.0.1 SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {}\r\nContent-Length: 0\r\n\r\n",
        of("Via"),
        of("From"),
        of("To"),
        of("Call-ID"),
        of("CSeq").replace("INVITE", "ACK"),
    )
}

/// Where the mirror stands: the trunk `beyond` calls from there.
const MIRROR: &str = "127.0.0.9";

#[test]
fn a_call_that_two_gateways_send_to_and_fro_ends_when_its_hops_are_spent() {
    if program("sipp", "sip-tester").is_none() {
        return;
    }
    let socket = UdpSocket::bind((MIRROR, 0)).expect("an address of loopback");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    let port = socket.local_addr().expect("an address").port();
    let beyond = format!("destination = \"{MIRROR}:{port};transport=udp\"");
    let house = House::new()
        .person_registers("alice", "agent")
        .person_registers("sam", "supervisor")
        .trunk_beyond(&beyond)
        .number("main", NUMBER, &["trunk:beyond"], "");
    let gateway = Gateway::start(&house);
    let rest = gateway.holdings();
    let mirror = Mirror { socket, back_to: gateway.sip };
    let mirror = thread::spawn(move || mirror.reflects());
    Sipp::carrier(gateway.dir(), "carrier_is_refused_483", CARRIER_IP, gateway.sip, NUMBER, ONCE).went_well();
    let rounds = mirror.join().expect("the mirror reflects until the end");
    // Of seventy hops the gateway takes one and the mirror takes one, each time.
    assert_eq!(rounds, 35);
    gateway.comes_to_rest(rest);
}
