//! Ordinary softphones, as the README sets them up: they register with a password, call, are called, and talk.

use super::support::baresip::{Baresip, WhenCalled};
use super::support::gateway::Gateway;
use super::support::house::House;
use super::support::program;
use super::support::wav::VOICE_DBFS;

const NUMBER: &str = "+15550100";
const CAROL_HZ: f64 = 440.0;
const ALICE_HZ: f64 = 700.0;

/// G.711 and a jitter buffer cost next to nothing of a level.
const AS_SPOKEN_DB: f64 = 3.0;

#[test]
fn a_customer_and_an_agent_on_softphones_hear_each_other() {
    if program("baresip", "baresip-core").is_none() {
        return;
    }
    let house = House::new()
        .person_registers("alice", "agent")
        .person_registers("sam", "supervisor")
        .person_registers("carol", "customer")
        .number("main", NUMBER, &["alice"], "");
    let gateway = Gateway::start(&house);
    let rest = gateway.holdings();
    let alice = Baresip::register("alice", ALICE_HZ, gateway.sip, WhenCalled::Answers);
    let carol = Baresip::register("carol", CAROL_HZ, gateway.sip, WhenCalled::Rings);

    carol.dial(NUMBER);
    carol.wait_until_talking();
    alice.wait_until_talking();

    let at_carol = carol.listen(2);
    let at_alice = alice.listen(2);
    assert!((at_carol.level(ALICE_HZ) - VOICE_DBFS).abs() < AS_SPOKEN_DB, "{}", at_carol.level(ALICE_HZ));
    assert!((at_alice.level(CAROL_HZ) - VOICE_DBFS).abs() < AS_SPOKEN_DB, "{}", at_alice.level(CAROL_HZ));
    assert!(at_carol.level(CAROL_HZ) < -60.0, "carol hears herself: {}", at_carol.level(CAROL_HZ));

    carol.hang_up();
    alice.wait_until_silent();
    gateway.comes_to_rest(rest);
}
