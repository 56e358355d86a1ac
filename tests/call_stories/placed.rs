//! Calls we place.

use sidetone::call::hearing::Hears;
use sidetone::call::{CallEvent, Cause, LegAction, LegEvent, Output, Role};

use super::world::{World, attempt, setup};
use super::{ended, hears, seconds, told};

#[test]
fn an_originated_call_rings_the_agent_and_then_the_customer() {
    let mut world = World::outbound(setup(vec![attempt(&["alice"], 20)]), attempt(&["customer"], 30));
    let alice = world.leg_of("alice");
    world.leg(alice, LegEvent::Answered);
    let customer = world.leg_of("customer");
    assert_eq!(hears(&world, alice), Hears::Ringback);

    world.leg(customer, LegEvent::EarlyMedia);
    assert_eq!(hears(&world, alice), Hears::One(customer));
    assert_eq!(hears(&world, customer), Hears::Silence, "who has not answered hears nothing");

    let said = world.leg(customer, LegEvent::Answered);
    assert!(said.contains(&Output::Event(CallEvent::Bridged)));
    let role = |leg| world.seats().iter().find(|seat| seat.leg == leg).map(|seat| seat.role);
    assert_eq!((role(alice), role(customer)), (Some(Role::Agent), Some(Role::Customer)));
    assert_eq!(world.wait(seconds(60)), [], "nobody waits for an answer any more");
}

#[test]
fn the_agent_of_an_originated_call_is_told_why_the_customer_did_not_come() {
    for (ending, after) in [(Cause::Busy, 0), (Cause::NoAnswer, 30)] {
        let mut world = World::outbound(setup(vec![attempt(&["alice"], 20)]), attempt(&["customer"], 30));
        let alice = world.leg_of("alice");
        world.leg(alice, LegEvent::Answered);
        let customer = world.leg_of("customer");
        let said = if after == 0 { world.leg(customer, ended(ending)) } else { world.wait(seconds(after)) };
        assert!(told(&said, alice, LegAction::HangUp(ending)), "{ending:?}");
    }
}

#[test]
fn an_agent_who_leaves_while_the_customer_rings_ends_an_originated_call() {
    let mut world = World::outbound(setup(vec![attempt(&["alice"], 20)]), attempt(&["customer"], 30));
    let alice = world.leg_of("alice");
    world.leg(alice, LegEvent::Answered);
    let said = world.leg(alice, ended(Cause::Normal));
    assert!(told(&said, world.leg_of("customer"), LegAction::HangUp(Cause::Normal)));
}

#[test]
fn the_customer_of_an_originated_call_is_not_rung_when_no_agent_came() {
    let mut world = World::outbound(setup(vec![attempt(&["alice"], 20)]), attempt(&["customer"], 30));
    world.wait(seconds(20));
    world.doors_hang_up();
    assert!(world.is_over());
    let rung = |output: &Output| matches!(output, Output::Leg(_, LegAction::Dial(target)) if target.name == "customer");
    assert!(!world.said.iter().any(rung));
    assert!(matches!(world.said.last(), Some(Output::Over(Cause::NoAnswer, None))));
}
