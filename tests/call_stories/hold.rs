//! Hold and mute.

use sidetone::call::hearing::Hears;
use sidetone::call::{CallEvent, Cause, Command, CommandError, LegAction, LegEvent, LegId, Output, Takeover};

use super::world::{CALLER, World, attempt, setup};
use super::{hears, mouths, talking};

#[test]
fn a_held_customer_hears_music_and_is_heard_by_nobody_until_resumed() {
    let (mut world, alice) = talking(Takeover::ReleasesAgent);
    let said = world.command(Command::Hold(CALLER)).unwrap();
    assert_eq!(said[0], Output::Leg(CALLER, LegAction::Hold));
    assert_eq!((hears(&world, CALLER), hears(&world, alice)), (Hears::Music, Hears::Silence));
    assert_eq!(world.command(Command::Hold(CALLER)), Err(CommandError::AlreadyHeld));
    assert_eq!(world.leg(CALLER, LegEvent::Held), [], "held is held");

    world.command(Command::Resume(CALLER)).unwrap();
    assert_eq!((mouths(&world, CALLER), mouths(&world, alice)), (vec![alice], vec![CALLER]));
    assert_eq!(world.command(Command::Resume(CALLER)), Err(CommandError::NotHeld));
}

#[test]
fn an_agent_who_holds_with_the_telephone_leaves_the_customer_with_music() {
    let (mut world, alice) = talking(Takeover::ReleasesAgent);
    let said = world.leg(alice, LegEvent::Held);
    assert_eq!(said[0], Output::Event(CallEvent::Held { leg: alice, by_peer: true }));
    assert_eq!((hears(&world, CALLER), hears(&world, alice)), (Hears::Music, Hears::Silence));
    assert_eq!(world.command(Command::Resume(alice)), Err(CommandError::NotHeld));
    assert_eq!(world.leg(alice, LegEvent::Held), [], "told twice, said once");

    world.leg(alice, LegEvent::Resumed);
    assert_eq!(hears(&world, CALLER), Hears::One(alice));
}

#[test]
fn a_muted_agent_hears_and_is_not_heard() {
    let (mut world, alice) = talking(Takeover::ReleasesAgent);
    let said = world.command(Command::Mute(alice)).unwrap();
    assert!(matches!(said[..], [Output::Hearing(..)]), "no signalling: {said:?}");
    assert_eq!((hears(&world, CALLER), hears(&world, alice)), (Hears::Silence, Hears::One(CALLER)));
    assert_eq!(world.command(Command::Mute(alice)), Ok(vec![]), "muting twice is muting");
    world.command(Command::Unmute(alice)).unwrap();
    assert_eq!(hears(&world, CALLER), Hears::One(alice));
}

#[test]
fn nothing_can_be_asked_of_a_leg_that_has_not_answered_or_does_not_exist() {
    let mut world = World::inbound(setup(vec![attempt(&["alice"], 20)]));
    let alice = world.leg_of("alice");
    type Ask = fn(LegId) -> Command;
    let asks: [Ask; 4] =
        [Command::Hold, Command::Mute, Command::Unmute, |leg| Command::SendDigits(leg, "1".to_owned())];
    for ask in asks {
        for leg in [alice, CALLER] {
            assert_eq!(world.command(ask(leg)), Err(CommandError::NotTalking));
        }
        assert_eq!(world.command(ask(LegId(99))), Err(CommandError::NoSuchLeg));
    }
    assert_eq!(world.command(Command::Resume(alice)), Err(CommandError::NotHeld));
    world.command(Command::HangUp(Cause::Normal)).unwrap();
    assert_eq!(world.command(Command::HangUpLeg(alice)), Err(CommandError::Over));
}
