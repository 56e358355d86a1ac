//! What happens in a call, told as stories in virtual time: by whom it is heard, what the doors are
//! asked, what is told of it. `world` checks the promises that hold always after every step.

use std::time::Duration;

use sbc_config::PersonId;
use sidetone::call::hearing::Hears;
use sidetone::call::{
    Arrival, Cause, Coaching, Command, LegAction, LegEnd, LegEvent, LegId, Output, Setup, Supervise,
    SupervisionId, Takeover,
};

use world::{CALLER, World, attempt, setup};

mod ending;
mod hold;
mod placed;
mod ringing;
mod supervision;
mod takeover;
mod transfer;
#[path = "../model/world.rs"]
mod world;

const SUPERVISION: SupervisionId = SupervisionId(1);

fn ended(cause: Cause) -> LegEvent {
    LegEvent::Ended(LegEnd::of(cause))
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Somebody calls, and alice answers.
fn talking(takeover: Takeover) -> (World, LegId) {
    let mut world = World::inbound(Setup { takeover, ..setup(vec![attempt(&["alice"], 20)]) });
    let alice = world.leg_of("alice");
    world.leg(alice, LegEvent::Answered);
    world.leg(CALLER, LegEvent::Answered);
    (world, alice)
}

fn wish(id: SupervisionId, supervisor: &str, role: Coaching) -> Supervise {
    Supervise {
        id,
        supervisor: PersonId::new(supervisor).unwrap(),
        role,
        subject: None,
        allowed_roles: vec![Coaching::Monitor, Coaching::Whisper, Coaching::Barge, Coaching::TakenOver],
        dtmf_control: true,
        follows: false,
        by: Arrival::Dial(world::target(supervisor)),
    }
}

/// The supervisor is called and answers.
fn supervised(world: &mut World, wanted: Supervise) -> LegId {
    let supervisor = wanted.supervisor.to_string();
    world.command(Command::Supervise(wanted)).unwrap();
    let leg = world.leg_of(&supervisor);
    world.leg(leg, LegEvent::Answered);
    leg
}

/// Somebody calls, alice answers, and carol supervises.
fn supervised_call(role: Coaching, takeover: Takeover) -> (World, LegId, LegId) {
    let (mut world, alice) = talking(takeover);
    let carol = supervised(&mut world, wish(SUPERVISION, "carol", role));
    (world, alice, carol)
}

fn hears(world: &World, ear: LegId) -> Hears {
    world.call.table().1.hears(ear).clone()
}

fn mouths(world: &World, ear: LegId) -> Vec<LegId> {
    hears(world, ear).mouths().to_vec()
}

fn told(said: &[Output], leg: LegId, action: LegAction) -> bool {
    said.contains(&Output::Leg(leg, action))
}

fn place(said: &[Output], what: impl Fn(&Output) -> bool) -> usize {
    said.iter().position(what).unwrap_or_else(|| panic!("not in {said:#?}"))
}
