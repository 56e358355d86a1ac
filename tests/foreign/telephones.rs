//! Ordinary softphones, as the README sets them up: they register with a password, call, are called, and talk.

use super::support::baresip::{Baresip, WhenCalled};
use super::support::gateway::Gateway;
use super::support::house::House;
use super::support::linphone::Linphone;
use super::support::patience::until;
use super::support::program;
use super::support::wav::VOICE_DBFS;

const NUMBER: &str = "+15550100";
const SECOND_NUMBER: &str = "+15550101";
const CAROL_HZ: f64 = 440.0;
const BOB_HZ: f64 = 1000.0;
const ALICE_HZ: f64 = 700.0;

/// G.711 and a jitter buffer cost next to nothing of a level.
const AS_SPOKEN_DB: f64 = 3.0;

/// Alice's number, which Carol calls.
fn alices_and_carols() -> House {
    House::new()
        .person_registers("alice", "agent")
        .person_registers("sam", "supervisor")
        .person_registers("carol", "customer")
        .number("main", NUMBER, &["alice"], "")
}

#[test]
fn a_customer_and_an_agent_on_softphones_hear_each_other() {
    if program("baresip", "baresip-core").is_none() {
        return;
    }
    let gateway = Gateway::start(&alices_and_carols());
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

#[test]
fn an_agents_transfer_button_gives_the_customer_to_another() {
    if program("baresip", "baresip-core").is_none() {
        return;
    }
    let house = House::new()
        .person_registers("alice", "agent")
        .person_registers("bob", "agent")
        .person_registers("sam", "supervisor")
        .person_registers("carol", "customer")
        .number("main", NUMBER, &["alice"], "")
        .number("second", SECOND_NUMBER, &["bob"], "");
    let gateway = Gateway::start(&house);
    let rest = gateway.holdings();
    let alice = Baresip::register("alice", ALICE_HZ, gateway.sip, WhenCalled::Answers);
    let bob = Baresip::register("bob", BOB_HZ, gateway.sip, WhenCalled::Answers);
    let carol = Baresip::register("carol", CAROL_HZ, gateway.sip, WhenCalled::Rings);
    carol.dial(NUMBER);
    carol.wait_until_talking();
    alice.wait_until_talking();

    alice.transfer(&format!("sip:{SECOND_NUMBER}@{}", gateway.sip));
    bob.wait_until_talking();
    alice.wait_until_silent();
    let at_carol = carol.listen(2);
    assert!((at_carol.level(BOB_HZ) - VOICE_DBFS).abs() < AS_SPOKEN_DB, "{}", at_carol.level(BOB_HZ));
    carol.hang_up();
    bob.wait_until_silent();
    gateway.comes_to_rest(rest);
}

/// RFC 5589 section 7, as an agent does it: the customer waits, a colleague is called, and the button joins them.
#[test]
fn an_agents_attended_transfer_joins_the_customer_and_the_colleague_she_has_called() {
    if program("baresip", "baresip-core").is_none() || program("linphonec", "linphone-cli").is_none() {
        return;
    }
    let house = House::new()
        .person_registers("alice", "agent")
        .person_registers("bob", "agent")
        .person_registers("sam", "supervisor")
        .person_registers("carol", "customer")
        .number("main", NUMBER, &["alice"], "");
    let gateway = Gateway::start(&house);
    let rest = gateway.holdings();
    let alice = Linphone::register("alice", ALICE_HZ, gateway.sip);
    let bob = Baresip::register("bob", BOB_HZ, gateway.sip, WhenCalled::Answers);
    let carol = Baresip::register("carol", CAROL_HZ, gateway.sip, WhenCalled::Rings);
    carol.dial(NUMBER);
    carol.wait_until_talking();
    alice.wait_until_talked(1);
    alice.hold();
    alice.dial("101");
    bob.wait_until_talking();
    alice.wait_until_talked(2);

    alice.join();
    gateway.event("transfer.completed");
    until("the second call is over", || (gateway.calls().len() == 1).then_some(()));
    let (at_carol, at_bob) = (carol.listen(2), bob.listen(2));
    for (who, heard, other) in [("carol", &at_carol, BOB_HZ), ("bob", &at_bob, CAROL_HZ)] {
        let level = heard.level(other);
        assert!((level - VOICE_DBFS).abs() < AS_SPOKEN_DB, "{who} hears the other at {level:.1} dBFS");
        assert!(heard.level(ALICE_HZ) < -60.0, "{who} still hears Alice: {:.1} dBFS", heard.level(ALICE_HZ));
    }
    carol.hang_up();
    bob.wait_until_silent();
    gateway.comes_to_rest(rest);
}

#[test]
fn a_linphone_calls_another_and_both_hear_each_other() {
    if program("linphonec", "linphone-cli").is_none() {
        return;
    }
    let gateway = Gateway::start(&alices_and_carols());
    let rest = gateway.holdings();
    let alice = Linphone::register("alice", ALICE_HZ, gateway.sip);
    let carol = Linphone::register("carol", CAROL_HZ, gateway.sip);

    carol.dial(NUMBER);
    carol.wait_until_talking();
    alice.wait_until_talking();

    let at_carol = carol.listen(2);
    let at_alice = alice.listen(2);
    for (who, heard, other, own) in
        [("carol", &at_carol, ALICE_HZ, CAROL_HZ), ("alice", &at_alice, CAROL_HZ, ALICE_HZ)]
    {
        let level = heard.level(other);
        assert!((level - VOICE_DBFS).abs() < AS_SPOKEN_DB, "{who} hears the other at {level:.1} dBFS");
        assert!(heard.level(own) < level - 40.0, "{who} hears herself: {:.1} dBFS", heard.level(own));
    }

    carol.hang_up();
    alice.wait_until_silent();
    gateway.comes_to_rest(rest);
}

#[test]
fn softphones_with_srtp_over_tls_call_and_are_called_and_talk_to_one_in_clear() {
    if program("baresip", "baresip-core").is_none() {
        return;
    }
    let house = House::new()
        .person_registers("alice", "agent")
        .person_registers("sam", "supervisor")
        .person_protected("bob", "agent")
        .person_protected("carol", "customer")
        .number("main", NUMBER, &["alice"], "")
        .number("second", SECOND_NUMBER, &["bob"], "");
    let gateway = Gateway::start(&house);
    let alice = Baresip::register("alice", ALICE_HZ, gateway.sip, WhenCalled::Answers);
    let bob = Baresip::register_protected("bob", BOB_HZ, &gateway, WhenCalled::Answers);
    let carol = Baresip::register_protected("carol", CAROL_HZ, &gateway, WhenCalled::Rings);
    let rest = gateway.holdings();

    // SRTP to plain RTP, then SRTP to SRTP under other keys.
    for (number, agent, hz) in [(NUMBER, &alice, ALICE_HZ), (SECOND_NUMBER, &bob, BOB_HZ)] {
        carol.dial(number);
        carol.wait_until_talking();
        agent.wait_until_talking();

        let at_carol = carol.listen(2);
        let at_agent = agent.listen(2);
        for (who, level) in [("carol", at_carol.level(hz)), ("the agent", at_agent.level(CAROL_HZ))] {
            assert!(
                (level - VOICE_DBFS).abs() < AS_SPOKEN_DB,
                "{who} hears the other at {level:.1} dBFS instead of {VOICE_DBFS}"
            );
        }

        // Whoever hangs up, both are told.
        let (first, second) = if number == NUMBER { (&carol, agent) } else { (agent, &carol) };
        first.hang_up();
        second.wait_until_silent();
        first.wait_until_silent();
    }
    gateway.comes_to_rest(rest);
}
