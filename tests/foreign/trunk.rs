//! Calls from a carrier to telephones, as SIPp plays both.

use super::support::gateway::Gateway;
use super::support::house::{CARRIER_IP, House};
use super::support::sipp::{Calls, ONCE, Over, PHONE_IP, Sipp};
use super::support::{ports, program};

const NUMBER: &str = "+15550100";

/// A gateway with one agent at a fixed contact, and the port of her telephone.
fn house(over: Over) -> (Gateway, u16) {
    let phone = ports::free(PHONE_IP);
    let contact = format!("sip:alice@{PHONE_IP}:{phone};transport={}", over.parameter());
    let house = House::new()
        .person_at("alice", "agent", &contact)
        .person_registers("sam", "supervisor")
        .number("main", NUMBER, &["alice"], "");
    (Gateway::start(&house), phone)
}

/// One carrier scenario against one telephone scenario. Afterwards everything has gone back.
fn story(carrier: &'static str, telephone: &'static str, calls: Calls) -> Option<Gateway> {
    program("sipp", "sip-tester")?;
    let (gateway, port) = house(calls.over);
    let rest = gateway.holdings();
    let phone = Sipp::telephone(gateway.dir(), telephone, port, calls.count, calls.over);
    Sipp::carrier(gateway.dir(), carrier, CARRIER_IP, gateway.sip, NUMBER, calls).went_well();
    phone.went_well();
    gateway.comes_to_rest(rest);
    Some(gateway)
}

#[test]
fn two_hundred_calls_go_through_over_udp_and_leave_nothing_behind() {
    let calls = Calls { count: 200, rate: 20, over: Over::Udp };
    let Some(gateway) = story("carrier_calls", "phone_answers", calls) else { return };
    let records = gateway.wait_for_records(200);
    assert!(
        records.iter().all(|record| record["cause"] == "normal" && record["trunk"] == "carrier"),
        "{records:#?}"
    );
    assert!(records.iter().all(|record| record["to"].as_str().is_some_and(|to| to.contains("15550100"))));
}

#[test]
fn fifty_calls_go_through_over_tcp_and_leave_nothing_behind() {
    story("carrier_calls", "phone_answers", Calls { count: 50, rate: 10, over: Over::Tcp });
}

#[test]
fn a_telephone_that_hangs_up_ends_the_call_for_the_carrier() {
    story("carrier_waits_for_hangup", "phone_hangs_up", ONCE);
}

#[test]
fn early_media_of_a_telephone_reaches_the_carrier_as_a_description() {
    story("carrier_hears_early", "phone_answers_early", ONCE);
}

#[test]
fn a_call_without_an_offer_gets_ours_and_is_answered_in_the_ack() {
    story("carrier_calls_without_an_offer", "phone_answers", ONCE);
}

#[test]
fn a_reinvite_without_an_offer_gets_ours() {
    story("carrier_asks_for_an_offer", "phone_answers", ONCE);
}

#[test]
fn a_carrier_that_holds_is_answered_in_kind_and_the_hold_is_told() {
    let Some(gateway) = story("carrier_holds", "phone_answers", ONCE) else { return };
    let record = &gateway.wait_for_records(1)[0];
    let events = gateway.timeline(record["call"].as_str().expect("a record names its call"));
    let place = |name: &str| {
        events.iter().position(|event| event == name).unwrap_or_else(|| panic!("no {name} in {events:?}"))
    };
    assert!(place("call.answered") < place("call.held"));
    assert!(place("call.held") < place("call.resumed"));
    assert!(place("call.resumed") < place("call.ended"));
}
