//! Keys pressed on a telephone that is not ours, as telephone-events from a capture of our own making.

use serde_json::json;

use super::support::capture;
use super::support::gateway::Gateway;
use super::support::house::{CARRIER_IP, House, SAM};
use super::support::patience::until;
use super::support::sipp::{ONCE, Over, PHONE_IP, Sipp};
use super::support::{may_play_captures, ports, program};

const NUMBER: &str = "+15550100";

/// Sam monitors with SIPp for a telephone, and presses 6 once: the supervision becomes a barge, exactly once.
#[test]
fn a_supervisors_6_is_taken_once_however_often_its_end_is_sent() {
    if program("sipp", "sip-tester").is_none() || !may_play_captures() {
        return;
    }
    let (alice, sam) = (ports::free(PHONE_IP), ports::free(PHONE_IP));
    let house = House::new()
        .person_at("alice", "agent", &format!("sip:alice@{PHONE_IP}:{alice}"))
        .person_at("sam", "supervisor", &format!("sip:sam@{PHONE_IP}:{sam}"))
        .number("main", NUMBER, &["alice"], "");
    let gateway = Gateway::start(&house);
    let rest = gateway.holdings();
    capture::write_key(&gateway.dir().join("key.pcap"), '6');
    let at_alice = Sipp::telephone(gateway.dir(), "phone_answers", alice, 1, Over::Udp);
    let at_sam = Sipp::telephone(gateway.dir(), "phone_presses_a_key", sam, 1, Over::Udp);
    let carrier = Sipp::carrier(gateway.dir(), "carrier_talks_longer", CARRIER_IP, gateway.sip, NUMBER, ONCE);

    let call = until("the call is up", || {
        let calls = gateway.calls();
        let talking = calls.into_iter().find(|call| call["state"] == "talking")?;
        Some(talking["id"].as_str()?.to_owned())
    });
    let wanted = json!({ "supervisor": "sam", "role": "monitor" });
    let begun = gateway.expect(201, SAM, "POST", &format!("/v1/calls/{call}/supervisions"), Some(wanted));
    let path = format!("/v1/supervisions/{}", begun["id"].as_str().expect("a supervision has an id"));
    until("the supervision is a barge", || {
        (gateway.ask(SAM, "GET", &path, None).json()["role"] == "barge").then_some(())
    });

    carrier.went_well();
    at_alice.went_well();
    at_sam.went_well();
    gateway.comes_to_rest(rest);
    let changes = gateway.timeline(&call).into_iter().filter(|event| event == "supervision.role_changed");
    assert_eq!(changes.count(), 1);
}
