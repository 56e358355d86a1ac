//! Calls that go on over a trunk to another carrier, which SIPp plays: it wants a password, is full, or is registered at.

use super::support::gateway::Gateway;
use super::support::house::{ADMIN, CARRIER_IP, House};
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
