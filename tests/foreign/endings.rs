//! Every way a call can end before it began, and that nothing is left of it.

use super::support::gateway::Gateway;
use super::support::house::{CARRIER_IP, House};
use super::support::sipp::{Calls, ONCE, Over, PHONE_IP, Sipp};
use super::support::{ports, program};

/// Alice alone; Alice, then Bob; nobody at home.
const ALICE: &str = "+15550100";
const ALICE_THEN_BOB: &str = "+15550101";
const SAM_IS_OUT: &str = "+15550102";
const NOT_OURS: &str = "+15559999";

struct Office {
    gateway: Gateway,
    alice: u16,
    bob: u16,
}

fn office() -> Option<Office> {
    program("sipp", "sip-tester")?;
    let (alice, bob) = (ports::free(PHONE_IP), ports::free(PHONE_IP));
    let house = House::new()
        .person_at("alice", "agent", &format!("sip:alice@{PHONE_IP}:{alice}"))
        .person_at("bob", "agent", &format!("sip:bob@{PHONE_IP}:{bob}"))
        .person_registers("carol", "agent")
        .person_registers("sam", "supervisor")
        .number("alice", ALICE, &["alice"], "ring_s = 5")
        .number("both", ALICE_THEN_BOB, &["alice", "bob"], "ring_s = 5")
        .number("nobody", SAM_IS_OUT, &["carol"], "ring_s = 5\nreject = 480");
    Some(Office { gateway: Gateway::start(&house), alice, bob })
}

impl Office {
    fn phone(&self, scenario: &'static str, port: u16, count: u32) -> Sipp {
        Sipp::telephone(self.gateway.dir(), scenario, port, count, Over::Udp)
    }

    fn carrier(&self, scenario: &'static str, number: &str, calls: Calls) {
        Sipp::carrier(self.gateway.dir(), scenario, CARRIER_IP, self.gateway.sip, number, calls).went_well();
    }
}

#[test]
fn a_caller_who_gives_up_stops_the_ringing() {
    let Some(office) = office() else { return };
    let rest = office.gateway.holdings();
    let calls = Calls { count: 20, rate: 10, over: Over::Udp };
    let phone = office.phone("phone_rings", office.alice, calls.count);
    office.carrier("carrier_cancels", ALICE, calls);
    phone.went_well();
    office.gateway.comes_to_rest(rest);
    let records = office.gateway.wait_for_records(20);
    assert!(records.iter().all(|record| record["cause"] == "cancelled"), "{records:#?}");
}

#[test]
fn a_busy_agent_is_told_to_the_caller_as_busy_or_as_nobody_there() {
    let Some(office) = office() else { return };
    let rest = office.gateway.holdings();
    let phone = office.phone("phone_is_busy", office.alice, 1);
    office.carrier("carrier_finds_nobody_480_or_486", ALICE, ONCE);
    phone.went_well();
    office.gateway.comes_to_rest(rest);
}

#[test]
fn when_the_first_agent_is_busy_the_second_gets_the_call() {
    let Some(office) = office() else { return };
    let rest = office.gateway.holdings();
    let alice = office.phone("phone_is_busy", office.alice, 1);
    let bob = office.phone("phone_answers", office.bob, 1);
    office.carrier("carrier_calls", ALICE_THEN_BOB, ONCE);
    alice.went_well();
    bob.went_well();
    office.gateway.comes_to_rest(rest);
}

#[test]
fn an_agent_who_does_not_answer_is_left_alone_and_the_second_gets_the_call() {
    let Some(office) = office() else { return };
    let rest = office.gateway.holdings();
    let alice = office.phone("phone_rings", office.alice, 1);
    let bob = office.phone("phone_answers", office.bob, 1);
    office.carrier("carrier_calls", ALICE_THEN_BOB, ONCE);
    alice.went_well();
    bob.went_well();
    office.gateway.comes_to_rest(rest);
}

#[test]
fn an_agent_whose_telephone_is_not_registered_is_nobody() {
    let Some(office) = office() else { return };
    let rest = office.gateway.holdings();
    office.carrier("carrier_finds_nobody_480", SAM_IS_OUT, ONCE);
    office.gateway.comes_to_rest(rest);
}

#[test]
fn a_number_that_is_not_ours_is_not_found() {
    let Some(office) = office() else { return };
    let rest = office.gateway.holdings();
    office.carrier("carrier_is_refused_404", NOT_OURS, Calls { count: 20, rate: 20, over: Over::Udp });
    office.carrier("carrier_is_refused_404", NOT_OURS, Calls { count: 5, rate: 5, over: Over::Tcp });
    office.gateway.comes_to_rest(rest);
}

#[test]
fn whoever_calls_from_nowhere_known_is_asked_for_a_password_and_never_rings_anybody() {
    let Some(office) = office() else { return };
    let rest = office.gateway.holdings();
    let stranger = Sipp::carrier(
        office.gateway.dir(),
        "stranger_is_challenged",
        "127.0.0.3",
        office.gateway.sip,
        ALICE,
        ONCE,
    );
    stranger.went_well();
    assert!(office.gateway.calls().is_empty());
    office.gateway.comes_to_rest(rest);
}
