//! The main job with foreign telephones: a supervisor monitors, whispers and barges, and the customer hears of it
//! only what the customer may hear.

use serde_json::json;

use super::support::baresip::{Baresip, WhenCalled};
use super::support::gateway::Gateway;
use super::support::house::{ALICE, House, SAM};
use super::support::patience::until;
use super::support::program;
use super::support::wav::VOICE_DBFS;

const NUMBER: &str = "+15550100";
const CAROL_HZ: f64 = 440.0;
const ALICE_HZ: f64 = 700.0;
const SAM_HZ: f64 = 1100.0;

/// What is below this is not heard, by anybody.
const SILENT_DBFS: f64 = -60.0;

/// A voice may come out this much above or below how it went in.
const AS_SPOKEN_DB: f64 = 3.0;

struct Floor {
    gateway: Gateway,
    carol: Baresip,
    alice: Baresip,
    sam: Baresip,
    call: String,
    supervision: String,
}

/// Carol talks to Alice, and Sam is on the line in `role`, rung by the gateway.
fn floor(role: &str) -> Option<Floor> {
    let mut floor = talking()?;
    let wanted = json!({ "supervisor": "sam", "role": role });
    let path = format!("/v1/calls/{}/supervisions", floor.call);
    let begun = floor.gateway.expect(201, SAM, "POST", &path, Some(wanted));
    floor.supervision = begun["id"].as_str().expect("a supervision has an id").to_owned();
    floor.sam.wait_until_talking();
    floor.wait_for("state", "active");
    Some(floor)
}

/// Carol talks to Alice, and Sam's telephone is registered.
fn talking() -> Option<Floor> {
    program("baresip", "baresip-core")?;
    let house = House::new()
        .person_registers("alice", "agent")
        .person_registers("sam", "supervisor")
        .person_registers("carol", "customer")
        .number("main", NUMBER, &["alice"], "");
    let gateway = Gateway::start(&house);
    let alice = Baresip::register("alice", ALICE_HZ, gateway.sip, WhenCalled::Answers);
    let sam = Baresip::register("sam", SAM_HZ, gateway.sip, WhenCalled::Answers);
    let carol = Baresip::register("carol", CAROL_HZ, gateway.sip, WhenCalled::Rings);
    carol.dial(NUMBER);
    carol.wait_until_talking();
    alice.wait_until_talking();

    let call = gateway.calls()[0]["id"].as_str().expect("a call has an id").to_owned();
    Some(Floor { gateway, carol, alice, sam, call, supervision: String::new() })
}

impl Floor {
    fn wait_for(&self, field: &str, value: &str) {
        let path = format!("/v1/supervisions/{}", self.supervision);
        until(&format!("the supervision's {field} is {value}"), || {
            let now = self.gateway.ask(SAM, "GET", &path, None).json();
            (now[field] == value).then_some(())
        });
    }

    fn switch(&self, role: &str) {
        self.gateway.expect(
            200,
            SAM,
            "PATCH",
            &format!("/v1/supervisions/{}", self.supervision),
            Some(json!({ "role": role })),
        );
    }

    /// Listens at all three ears at once, and compares who is heard with who is to be heard.
    fn hears(&self, carol: &[f64], alice: &[f64], sam: &[f64]) {
        // What was on its way during a switch belongs to neither side of it.
        self.carol.listen(1);
        let ears = [("carol", &self.carol, carol), ("alice", &self.alice, alice), ("sam", &self.sam, sam)];
        for (name, phone, to_be_heard) in ears {
            let heard = phone.listen(1);
            for hz in [CAROL_HZ, ALICE_HZ, SAM_HZ] {
                let level = heard.level(hz);
                if to_be_heard.contains(&hz) {
                    assert!(
                        (level - VOICE_DBFS).abs() < AS_SPOKEN_DB,
                        "{name} is to hear {hz} Hz, and has it at {level:.1} dBFS"
                    );
                } else {
                    assert!(
                        level <= SILENT_DBFS,
                        "{name} is not to hear {hz} Hz, and has it at {level:.1} dBFS"
                    );
                }
            }
        }
    }
}

const MONITOR: [&[f64]; 3] = [&[ALICE_HZ], &[CAROL_HZ], &[CAROL_HZ, ALICE_HZ]];
const WHISPER: [&[f64]; 3] = [&[ALICE_HZ], &[CAROL_HZ, SAM_HZ], &[CAROL_HZ, ALICE_HZ]];
const BARGE: [&[f64]; 3] = [&[ALICE_HZ, SAM_HZ], &[CAROL_HZ, SAM_HZ], &[CAROL_HZ, ALICE_HZ]];

#[test]
fn the_customer_never_hears_a_whisper_and_the_agent_does() {
    let Some(floor) = floor("whisper") else { return };
    let [carol, alice, sam] = WHISPER;
    floor.hears(carol, alice, sam);
}

#[test]
fn roles_switched_by_the_api_are_heard_at_once_by_those_who_may() {
    let Some(floor) = floor("monitor") else { return };
    for (role, [carol, alice, sam]) in [
        ("monitor", MONITOR),
        ("whisper", WHISPER),
        ("barge", BARGE),
        ("whisper", WHISPER),
        ("monitor", MONITOR),
    ] {
        floor.switch(role);
        floor.hears(carol, alice, sam);
    }
}

#[test]
fn the_digits_4_5_and_6_on_the_supervisors_telephone_switch_the_role() {
    let Some(floor) = floor("monitor") else { return };
    for (key, role, [carol, alice, sam]) in
        [('6', "barge", BARGE), ('5', "whisper", WHISPER), ('4', "monitor", MONITOR)]
    {
        floor.sam.press(key);
        floor.wait_for("role", role);
        floor.hears(carol, alice, sam);
    }
}

#[test]
fn a_supervisor_who_hangs_up_leaves_customer_and_agent_as_they_were() {
    let Some(floor) = floor("barge") else { return };
    floor.sam.hang_up();
    floor.sam.wait_until_silent();
    until("the supervision is over", || {
        (floor.gateway.calls()[0]["supervisions"].as_array()?.is_empty()).then_some(())
    });
    floor.carol.listen(1);
    let (at_carol, at_alice) = (floor.carol.listen(1), floor.alice.listen(1));
    assert!(
        (at_carol.level(ALICE_HZ) - VOICE_DBFS).abs() < AS_SPOKEN_DB && at_carol.level(SAM_HZ) <= SILENT_DBFS
    );
    assert!(
        (at_alice.level(CAROL_HZ) - VOICE_DBFS).abs() < AS_SPOKEN_DB && at_alice.level(SAM_HZ) <= SILENT_DBFS
    );
}

#[test]
fn a_supervisor_who_takes_over_has_the_customer_and_the_agent_is_released() {
    let Some(floor) = floor("monitor") else { return };
    floor.gateway.expect(200, SAM, "POST", &format!("/v1/supervisions/{}/takeover", floor.supervision), None);
    floor.alice.wait_until_silent();
    floor.carol.listen(1);
    let (at_carol, at_sam) = (floor.carol.listen(1), floor.sam.listen(1));
    for (ear, mouth) in
        [(at_carol.level(SAM_HZ), "carol hears sam"), (at_sam.level(CAROL_HZ), "sam hears carol")]
    {
        assert!((ear - VOICE_DBFS).abs() < AS_SPOKEN_DB, "{mouth} at {ear:.1} dBFS");
    }
    assert!(at_carol.level(ALICE_HZ) <= SILENT_DBFS && at_sam.level(ALICE_HZ) <= SILENT_DBFS);
    floor.carol.hang_up();
    floor.sam.wait_until_silent();
}

#[test]
fn a_supervisor_who_dials_the_whisper_prefix_and_an_extension_whispers_to_that_agent() {
    let Some(mut floor) = talking() else { return };
    floor.sam.dial("*42100");
    floor.sam.wait_until_talking();
    floor.supervision = until("the call has a supervision", || {
        Some(floor.gateway.calls()[0]["supervisions"][0].as_str()?.to_owned())
    });
    floor.wait_for("state", "active");
    floor.wait_for("role", "whisper");
    let [carol, alice, sam] = WHISPER;
    floor.hears(carol, alice, sam);
}

/// baresip stops recording at a re-INVITE, so what Carol hears on hold is taken from the gateway's own table here; the
/// simulated telephones of `tests/scenarios` have ears for it.
#[test]
fn a_customer_on_hold_gets_music_and_is_not_heard_and_comes_back() {
    let Some(floor) = floor("whisper") else { return };
    let legs = floor.gateway.calls()[0]["legs"].as_array().expect("a call has legs").clone();
    let customer = legs.iter().find(|leg| leg["role"] == "customer").expect("there is a customer");
    let customer = customer["id"].as_str().expect("a leg has an id");
    let plan = || {
        let table = floor.gateway.expect(200, SAM, "GET", &format!("/v1/calls/{}/audio", floor.call), None);
        let ears = table["ears"].as_array().expect("a table has ears").clone();
        ears.into_iter().find(|ear| ear["leg"] == customer).map(|ear| ear["plan"].clone())
    };
    assert_eq!(plan(), Some(json!("relay")));

    let leg = format!("/v1/calls/{}/legs/{customer}", floor.call);
    floor.gateway.expect(200, ALICE, "POST", &format!("{leg}/hold"), None);
    until("the customer gets music", || plan().filter(|plan| plan == "music"));
    floor.alice.listen(1);
    let at_alice = floor.alice.listen(1);
    assert!(at_alice.level(CAROL_HZ) <= SILENT_DBFS, "carol at {:.1} dBFS", at_alice.level(CAROL_HZ));

    floor.gateway.expect(200, ALICE, "POST", &format!("{leg}/resume"), None);
    until("the customer is relayed again", || plan().filter(|plan| plan == "relay"));
    floor.alice.listen(1);
    let at_alice = floor.alice.listen(1);
    for hz in [CAROL_HZ, SAM_HZ] {
        assert!(
            (at_alice.level(hz) - VOICE_DBFS).abs() < AS_SPOKEN_DB,
            "{hz} Hz at {:.1} dBFS",
            at_alice.level(hz)
        );
    }
}
