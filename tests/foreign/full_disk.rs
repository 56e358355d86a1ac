//! A disk that is full: calls go on, it is said, and nothing of what happened meanwhile is lost.

use super::support::gateway::Gateway;
use super::support::house::{CARRIER_IP, House};
use super::support::patience::until_true;
use super::support::sipp::{Calls, Over, PHONE_IP, Sipp};
use super::support::{ports, program};

const ALICE: &str = "+15550100";

/// Calls placed in one go.
const CALLS: u32 = 5;

#[test]
fn on_a_full_disk_calls_go_on_and_are_written_down_when_there_is_room() {
    if program("sipp", "sip-tester").is_none() {
        return;
    }
    let alice = ports::free(PHONE_IP);
    let house = House::new()
        .person_at("alice", "agent", &format!("sip:alice@{PHONE_IP}:{alice}"))
        .person_registers("sam", "supervisor")
        .number("alice", ALICE, &["alice"], "ring_s = 5");
    let gateway = Gateway::start_on_a_disk_that_fills(&house);
    let calls_come_and_go = || {
        let calls = Calls { count: CALLS, rate: 5, over: Over::Udp };
        let phone = Sipp::telephone(gateway.dir(), "phone_answers", alice, calls.count, Over::Udp);
        let carrier = Sipp::carrier(gateway.dir(), "carrier_calls", CARRIER_IP, gateway.sip, ALICE, calls);
        carrier.went_well();
        phone.went_well();
    };
    calls_come_and_go();
    gateway.wait_for_records(CALLS as usize);

    gateway.fill_disk();
    calls_come_and_go();
    until_true("it is noticed", || gateway.ready().status != 200);
    let said = gateway.ready();
    assert_eq!((said.status, &said.json()["store"]), (503, &false.into()), "{}", said.body);
    let told = gateway.event("store.down");
    assert!(told["data"]["detail"].as_str().is_some_and(|reason| !reason.is_empty()), "{told}");
    calls_come_and_go();
    assert_eq!(gateway.ready().status, 503, "and still there is no room");

    gateway.make_room();
    until_true("the store takes writes again", || gateway.ready().status == 200);
    gateway.event("store.up");
    let records = gateway.wait_for_records(3 * CALLS as usize);
    assert_eq!(records.len(), 3 * CALLS as usize, "one record a call");
    assert!(records.iter().all(|record| record["cause"] == "normal"), "{records:#?}");
}
