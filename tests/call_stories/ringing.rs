//! Finding somebody to talk to.

use sidetone::call::hearing::Hears;
use sidetone::call::{CallEvent, Cause, Command, LegAction, LegEnd, LegEvent, MAX_ATTEMPTS, Output, Setup};

use super::world::{CALLER, Line, World, attempt, setup};
use super::{ended, hears, mouths, seconds, told};

#[test]
fn an_answered_call_is_told_step_by_step() {
    let mut world = World::inbound(setup(vec![attempt(&["alice"], 20)]));
    let alice = world.leg_of("alice");
    assert_eq!(hears(&world, CALLER), Hears::Ringback);
    assert_eq!(hears(&world, alice), Hears::Silence);

    let said = world.leg(alice, LegEvent::Ringing);
    assert_eq!(
        said,
        [Output::Event(CallEvent::Ringing { leg: alice }), Output::Leg(CALLER, LegAction::Alert)]
    );

    let said = world.leg(alice, LegEvent::Answered);
    assert_eq!(said[0], Output::Event(CallEvent::Answered { leg: alice }));
    assert!(told(&said, CALLER, LegAction::Answer));
    assert!(!world.call.is_talking());

    let said = world.leg(CALLER, LegEvent::Answered);
    assert_eq!(said[0], Output::Event(CallEvent::Answered { leg: CALLER }));
    assert_eq!(said[2], Output::Event(CallEvent::Bridged));
    assert!(world.call.is_talking());
    assert_eq!((mouths(&world, CALLER), mouths(&world, alice)), (vec![alice], vec![CALLER]));

    let said = world.leg(alice, ended(Cause::Normal));
    assert!(told(&said, CALLER, LegAction::HangUp(Cause::Normal)));
    assert!(said.contains(&Output::Event(CallEvent::Ended { cause: Cause::Normal, by: Some(alice) })));

    let said = world.leg(CALLER, ended(Cause::Normal));
    assert_eq!(said, [Output::Over(Cause::Normal, Some(alice))]);
}

#[test]
fn a_telephone_that_says_again_that_it_rings_is_told_of_once() {
    let mut world = World::inbound(setup(vec![attempt(&["alice", "bob"], 20)]));
    let (alice, bob) = (world.leg_of("alice"), world.leg_of("bob"));
    assert_eq!(world.leg(alice, LegEvent::Ringing).len(), 2);
    assert_eq!(world.leg(alice, LegEvent::Ringing), []);
    let said = world.leg(bob, LegEvent::Ringing);
    assert!(said.contains(&Output::Event(CallEvent::Ringing { leg: bob })), "another telephone is news");
}

#[test]
fn an_agent_who_does_not_answer_gives_way_to_the_next_and_then_to_the_reason() {
    let mut world = World::inbound(setup(vec![attempt(&["alice"], 20), attempt(&["bob"], 10)]));
    let alice = world.leg_of("alice");
    assert_eq!(world.wait(seconds(19)), []);

    let said = world.wait(seconds(1));
    assert!(told(&said, alice, LegAction::HangUp(Cause::NoAnswer)));
    let failed = CallEvent::AttemptFailed { leg: alice, end: LegEnd::of(Cause::NoAnswer) };
    assert!(said.contains(&Output::Event(failed)));
    let bob = world.leg_of("bob");
    assert_eq!(hears(&world, CALLER), Hears::Ringback);
    // Too late: alice was told to stop, and her door's answer crossed it.
    assert_eq!(world.leg(alice, LegEvent::Answered), []);
    assert_eq!(world.leg(alice, ended(Cause::NoAnswer)), []);

    let said = world.wait(seconds(10));
    assert!(told(&said, bob, LegAction::HangUp(Cause::NoAnswer)));
    assert!(told(&said, CALLER, LegAction::HangUp(Cause::NoAnswer)));
    assert_eq!(world.elapsed(), seconds(30));
}

#[test]
fn busy_says_more_than_no_answer_and_no_answer_more_than_not_there() {
    let verdict = |endings: &[Cause]| {
        let names: Vec<String> = (0..endings.len()).map(|n| format!("agent{n}")).collect();
        let attempts = names.iter().map(|name| attempt(&[name], 20)).collect();
        let mut world = World::inbound(setup(attempts));
        for (name, cause) in names.iter().zip(endings) {
            let leg = world.leg_of(name);
            world.leg(leg, ended(*cause));
        }
        world.said.iter().find_map(|output| match output {
            Output::Leg(CALLER, LegAction::HangUp(cause)) => Some(*cause),
            _ => None,
        })
    };
    use Cause::{Busy, Congestion, Declined, Internal, NoAnswer, Unreachable};
    assert_eq!(verdict(&[Unreachable, NoAnswer]), Some(NoAnswer));
    assert_eq!(verdict(&[Busy, NoAnswer]), Some(Busy));
    assert_eq!(verdict(&[NoAnswer, Declined, Busy]), Some(Busy));
    assert_eq!(verdict(&[Internal, Congestion]), Some(Congestion));
    assert_eq!(verdict(&[]), Some(Unreachable));
}

#[test]
fn the_reason_a_route_fixes_is_the_one_told() {
    let mut world = World::inbound(Setup {
        when_exhausted: Some(Cause::NotFound),
        ..setup(vec![attempt(&["alice"], 20)])
    });
    let alice = world.leg_of("alice");
    let said = world.leg(alice, ended(Cause::Busy));
    let failed = CallEvent::AttemptFailed { leg: alice, end: LegEnd::of(Cause::Busy) };
    assert_eq!(said[0], Output::Event(failed));
    assert!(told(&said, CALLER, LegAction::HangUp(Cause::NotFound)));
}

#[test]
fn a_call_that_has_come_round_rings_nobody_else_whatever_the_route_says() {
    let mut world = World::inbound(Setup {
        when_exhausted: Some(Cause::NoAnswer),
        ..setup(vec![attempt(&["alice"], 20), attempt(&["bob"], 20)])
    });
    let alice = world.leg_of("alice");
    let said = world.leg(alice, ended(Cause::Loop));
    assert!(!said.iter().any(|output| matches!(output, Output::Leg(_, LegAction::Dial(_)))), "{said:?}");
    assert!(told(&said, CALLER, LegAction::HangUp(Cause::Loop)), "{said:?}");
}

#[test]
fn the_first_of_several_to_answer_has_the_call_and_the_others_stop_ringing() {
    let mut world = World::inbound(setup(vec![attempt(&["alice", "bob", "dora"], 20)]));
    let [alice, bob, dora] = ["alice", "bob", "dora"].map(|name| world.leg_of(name));
    world.leg(dora, ended(Cause::Busy));

    let said = world.leg(bob, LegEvent::Answered);
    assert!(told(&said, alice, LegAction::HangUp(Cause::Released)));
    assert!(!said.iter().any(|output| matches!(output, Output::Leg(leg, _) if *leg == dora)));

    // Both lifted the receiver at once; one was first here.
    assert_eq!(world.leg(alice, LegEvent::Answered), []);
    world.leg(CALLER, LegEvent::Answered);
    assert_eq!(mouths(&world, CALLER), [bob]);
    assert_eq!(world.wait(seconds(60)), [], "nobody waits for an answer any more");
}

#[test]
fn a_caller_who_gives_up_stops_every_telephone() {
    let mut world = World::inbound(setup(vec![attempt(&["alice", "bob"], 20), attempt(&["dora"], 20)]));
    let said = world.leg(CALLER, ended(Cause::Cancelled));
    for name in ["alice", "bob"] {
        assert!(told(&said, world.leg_of(name), LegAction::HangUp(Cause::Cancelled)));
    }
    assert!(said.contains(&Output::Event(CallEvent::Ended { cause: Cause::Cancelled, by: Some(CALLER) })));
    world.doors_hang_up();
    assert!(world.is_over());
}

#[test]
fn early_media_takes_the_place_of_ringback() {
    let mut world = World::inbound(setup(vec![attempt(&["alice"], 20), attempt(&["bob"], 20)]));
    let alice = world.leg_of("alice");
    let said = world.leg(alice, LegEvent::EarlyMedia);
    assert!(told(&said, CALLER, LegAction::OpenEarly));
    assert_eq!(hears(&world, CALLER), Hears::One(alice));

    world.leg(alice, ended(Cause::Declined));
    assert_eq!(hears(&world, CALLER), Hears::Ringback);
}

#[test]
fn a_target_whose_early_media_dries_up_gives_way_to_the_next_at_once() {
    let mut world = World::inbound(setup(vec![attempt(&["alice"], 20), attempt(&["bob"], 20)]));
    let alice = world.leg_of("alice");
    world.leg(alice, LegEvent::EarlyMedia);
    let said = world.leg(alice, LegEvent::MediaLost);
    assert!(told(&said, alice, LegAction::HangUp(Cause::MediaTimeout)));
    world.leg_of("bob");
    assert_eq!(hears(&world, CALLER), Hears::Ringback);
}

#[test]
fn a_ringing_target_hung_up_by_request_gives_way_to_the_next() {
    let mut world = World::inbound(setup(vec![attempt(&["alice"], 20), attempt(&["bob"], 20)]));
    let alice = world.leg_of("alice");
    let said = world.command(Command::HangUpLeg(alice)).unwrap();
    assert!(told(&said, alice, LegAction::HangUp(Cause::Normal)));
    world.leg_of("bob");
}

#[test]
fn a_route_of_endless_attempts_is_cut_short() {
    let names: Vec<String> = (0..MAX_ATTEMPTS + 4).map(|n| format!("agent{n}")).collect();
    let mut world = World::inbound(setup(names.iter().map(|name| attempt(&[name], 1)).collect()));
    world.wait(seconds(60));
    let dialled =
        world.said.iter().filter(|output| matches!(output, Output::Leg(_, LegAction::Dial(_)))).count();
    assert_eq!(dialled, MAX_ATTEMPTS);
    assert!(world.call.is_ending());
}

#[test]
fn telephones_that_are_still_being_told_to_stop_leave_room_for_the_next() {
    let all = ["a1", "a2", "a3", "a4", "a5", "a6", "a7"];
    let mut world = World::inbound(setup(vec![attempt(&all, 20), attempt(&["bob", "dora"], 20)]));
    world.wait(seconds(20));
    assert_eq!(world.legs_that_are(Line::HungUp).len(), all.len(), "no door has let go yet");
    let bob = world.leg_of("bob");
    world.leg_of("dora");
    world.leg(bob, LegEvent::Answered);
    assert!(told(&world.said, CALLER, LegAction::Answer));
}
