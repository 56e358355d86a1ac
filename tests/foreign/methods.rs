//! Requests other than a plain call: what the gateway knows, what it says it does not know, and RFC 3262.

use super::support::gateway::Gateway;
use super::support::house::{CARRIER_IP, House};
use super::support::sipp::{Calls, ONCE, Over, PHONE_IP, Sipp};
use super::support::{ports, program};

const NUMBER: &str = "+15550100";

fn house(prack: &'static str) -> Option<(Gateway, u16)> {
    program("sipp", "sip-tester")?;
    let phone = ports::free(PHONE_IP);
    let house = House::new()
        .person_at("alice", "agent", &format!("sip:alice@{PHONE_IP}:{phone}"))
        .person_registers("sam", "supervisor")
        .number("main", NUMBER, &["alice"], "")
        .prack(prack);
    Some((Gateway::start(&house), phone))
}

/// A carrier that is answered by the gateway itself, over UDP and over TCP.
fn answered_by_the_gateway(scenario: &'static str) {
    let Some((gateway, _)) = house("supported") else { return };
    let rest = gateway.holdings();
    for over in [Over::Udp, Over::Tcp] {
        Sipp::carrier(gateway.dir(), scenario, CARRIER_IP, gateway.sip, NUMBER, Calls { over, ..ONCE })
            .went_well();
    }
    gateway.comes_to_rest(rest);
}

#[test]
fn options_are_answered() {
    answered_by_the_gateway("carrier_asks_for_options");
}

#[test]
fn an_unknown_method_is_answered_405_with_those_allowed() {
    answered_by_the_gateway("carrier_uses_an_unknown_method");
}

#[test]
fn an_unknown_required_extension_is_answered_420_with_its_name() {
    answered_by_the_gateway("carrier_requires_the_unknown");
}

#[test]
fn a_carrier_that_requires_reliable_ringing_gets_it_and_acknowledges_it() {
    for prack in ["supported", "required"] {
        let Some((gateway, port)) = house(prack) else { return };
        let rest = gateway.holdings();
        let phone = Sipp::telephone(gateway.dir(), "phone_answers", port, 1, Over::Udp);
        Sipp::carrier(gateway.dir(), "carrier_requires_prack", CARRIER_IP, gateway.sip, NUMBER, ONCE)
            .went_well();
        phone.went_well();
        gateway.comes_to_rest(rest);
    }
}
