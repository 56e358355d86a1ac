//! Calls that go on over a trunk to another carrier, which SIPp plays: it wants a password, is full, or is registered at.

use sha2::Digest as _;

use super::support::gateway::Gateway;
use super::support::house::{ADMIN, CARRIER_IP, House, OPERATOR};
use super::support::patience::until_true;
use super::support::sipp::{ONCE, Over, PHONE_IP, Sipp};
use super::support::{ports, program};

const NUMBER: &str = "+15550100";

/// A house whose number leads out over the trunk `beyond`.
fn house(settings: &str) -> House {
    House::new()
        .person_registers("alice", "agent")
        .person_registers("sam", "supervisor")
        .trunk_beyond(settings)
        .number("main", NUMBER, &["trunk:beyond"], "")
}

fn carrier_calls(gateway: &Gateway) {
    Sipp::carrier(gateway.dir(), "carrier_calls", CARRIER_IP, gateway.sip, NUMBER, ONCE).went_well();
}

#[test]
fn a_carrier_that_wants_a_password_for_every_call_gets_it_by_digest() {
    if program("sipp", "sip-tester").is_none() {
        return;
    }
    let port = ports::free(PHONE_IP);
    let gateway = Gateway::start(&house(&format!(
        "destination = \"{PHONE_IP}:{port};transport=udp\"\nauth = {{ username = \"sidetone\", password_file = \"beyond.txt\", realm = \"beyond.example\" }}"
    )));
    let rest = gateway.holdings();
    let beyond = Sipp::telephone(gateway.dir(), "beyond_wants_a_password", port, 1, Over::Udp);
    carrier_calls(&gateway);
    beyond.went_well();
    gateway.comes_to_rest(rest);
}

/// The value of a parameter of a digest answer, without its quotes.
fn param<'a>(answer: &'a str, name: &str) -> &'a str {
    let parts = answer.split(',').map(str::trim);
    let of = |part: &'a str| part.strip_prefix(name)?.strip_prefix('=');
    parts.filter_map(of).next().map_or("", |value| value.trim_matches('"'))
}

/// Computed once more, from what was said on the wire and the password (RFC 7616 section 3.4.1).
fn expected(answer: &str, hash: fn(&str) -> String) -> String {
    let [realm, nonce, nc, cnonce, qop, uri] =
        ["realm", "nonce", "nc", "cnonce", "qop", "uri"].map(|name| param(answer, name));
    let ha1 = hash(&format!("sidetone:{realm}:beyond-trial-password"));
    let ha2 = hash(&format!("INVITE:{uri}"));
    hash(&format!("{ha1}:{nonce}:{nc}:{cnonce}:{qop}:{ha2}"))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn md5(text: &str) -> String {
    hex(&md5::Md5::digest(text))
}

fn sha256(text: &str) -> String {
    hex(&sha2::Sha256::digest(text))
}

/// The call goes through, and the answer that SIPp's log of messages holds.
fn answered_challenge(scenario: &'static str, header: &str) -> Option<String> {
    program("sipp", "sip-tester")?;
    let port = ports::free(PHONE_IP);
    let gateway = Gateway::start(&house(&format!(
        "destination = \"{PHONE_IP}:{port};transport=udp\"\nauth = {{ username = \"sidetone\", password_file = \"beyond.txt\", realm = \"beyond.example\" }}"
    )));
    let rest = gateway.holdings();
    let beyond = Sipp::telephone(gateway.dir(), scenario, port, 1, Over::Udp);
    carrier_calls(&gateway);
    beyond.went_well();
    gateway.comes_to_rest(rest);
    let log = gateway.dir().join(format!("{scenario}-{port}.messages"));
    let log = std::fs::read_to_string(log).expect("a log of messages");
    let mut answers = log.lines().filter_map(|line| line.strip_prefix(header)?.strip_prefix(": Digest "));
    let answer = answers.next().unwrap_or_else(|| panic!("no {header} in:\n{log}"));
    Some(answer.trim().to_owned())
}

#[test]
fn a_proxy_that_asks_by_407_is_answered_in_proxy_authorization() {
    let Some(answer) = answered_challenge("beyond_wants_a_proxy_password", "Proxy-Authorization") else {
        return;
    };
    assert_eq!(param(&answer, "response"), expected(&answer, md5), "{answer}");
    assert_eq!((param(&answer, "username"), param(&answer, "realm")), ("sidetone", "beyond.example"));
    assert_eq!(param(&answer, "opaque"), "5ccc069c", "given back as it came");
}

#[test]
fn of_two_challenges_the_first_is_answered_with_sha_256() {
    let Some(answer) = answered_challenge("beyond_prefers_sha256", "Authorization") else { return };
    assert_eq!(param(&answer, "algorithm"), "SHA-256", "RFC 8760 section 2.4: the topmost that is known");
    assert_eq!(param(&answer, "response"), expected(&answer, sha256), "{answer}");
    assert_eq!(param(&answer, "response").len(), 64);
}

#[test]
fn a_carrier_of_another_realm_gets_no_password() {
    if program("sipp", "sip-tester").is_none() {
        return;
    }
    let port = ports::free(PHONE_IP);
    let gateway = Gateway::start(&house(&format!(
        "destination = \"{PHONE_IP}:{port};transport=udp\"\nauth = {{ username = \"sidetone\", password_file = \"beyond.txt\", realm = \"elsewhere.example\" }}"
    )));
    let rest = gateway.holdings();
    let beyond = Sipp::telephone(gateway.dir(), "beyond_asks_in_vain", port, 1, Over::Udp);
    Sipp::carrier(gateway.dir(), "carrier_is_refused_403", CARRIER_IP, gateway.sip, NUMBER, ONCE).went_well();
    beyond.went_well();
    gateway.comes_to_rest(rest);
}

#[test]
fn a_site_that_is_full_is_left_for_the_next() {
    if program("sipp", "sip-tester").is_none() {
        return;
    }
    let (first, second) = (ports::free(PHONE_IP), ports::free(PHONE_IP));
    let gateway = Gateway::start(&house(&format!(
        "destinations = [\"{PHONE_IP}:{first};transport=udp\", \"{PHONE_IP}:{second};transport=udp\"]"
    )));
    let rest = gateway.holdings();
    let full = Sipp::telephone(gateway.dir(), "beyond_is_full", first, 1, Over::Udp);
    let next = Sipp::telephone(gateway.dir(), "phone_answers", second, 1, Over::Udp);
    carrier_calls(&gateway);
    full.went_well();
    next.went_well();
    gateway.comes_to_rest(rest);
}

#[test]
fn a_registrar_that_wants_a_password_is_registered_at() {
    if program("sipp", "sip-tester").is_none() {
        return;
    }
    let port = ports::free(PHONE_IP);
    // The registrar must listen before it is asked, so its log lies in a directory of its own.
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let registrar = Sipp::telephone(dir.path(), "registrar_wants_a_password", port, 1, Over::Udp);
    let gateway = Gateway::start(&house(&format!(
        "destination = \"{PHONE_IP}:{port};transport=udp\"\nauth = {{ username = \"sidetone\", password_file = \"beyond.txt\", realm = \"beyond.example\" }}\nregister = {{ registrar = \"{PHONE_IP}:{port};transport=udp\", address_of_record = \"sip:sidetone@beyond.example\" }}"
    )));
    registrar.went_well();
    // The registrar has said yes; the trunk is up when that has been heard.
    until_true("the trunk is up", || {
        let seen = gateway.ask(ADMIN, "GET", "/v1/overview", None).json();
        let trunks = seen["trunks"].as_array().cloned().unwrap_or_default();
        trunks.iter().any(|trunk| trunk["id"] == "beyond" && trunk["up"] == true)
    });
}

#[test]
fn a_registrar_that_asks_for_the_password_at_the_end_too_hears_it_and_the_registration_ends() {
    if program("sipp", "sip-tester").is_none() {
        return;
    }
    let port = ports::free(PHONE_IP);
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let scenario = "registrar_wants_a_password_at_the_end_too";
    let registrar = Sipp::telephone(dir.path(), scenario, port, 1, Over::Udp);
    let gateway = Gateway::start(&house(&format!(
        "destination = \"{PHONE_IP}:{port};transport=udp\"\nauth = {{ username = \"sidetone\", password_file = \"beyond.txt\", realm = \"beyond.example\" }}\nregister = {{ registrar = \"{PHONE_IP}:{port};transport=udp\", address_of_record = \"sip:sidetone@beyond.example\" }}"
    )));
    until_true("the trunk is up", || {
        let seen = gateway.ask(ADMIN, "GET", "/v1/overview", None).json();
        let trunks = seen["trunks"].as_array().cloned().unwrap_or_default();
        trunks.iter().any(|trunk| trunk["id"] == "beyond" && trunk["up"] == true)
    });
    gateway.expect(202, OPERATOR, "POST", "/v1/drain", None);
    registrar.went_well();
}
