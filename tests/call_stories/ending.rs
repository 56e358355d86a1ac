//! How a call ends.

use sidetone::call::{Cause, Command, ENDING_MAX, LegAction, LegEvent, LegId, Output, Takeover};

use super::world::CALLER;
use super::{ended, seconds, talking, told};

#[test]
fn a_door_that_never_lets_go_does_not_keep_a_call_alive() {
    let (mut world, alice) = talking(Takeover::ReleasesAgent);
    world.command(Command::HangUp(Cause::ShuttingDown)).unwrap();
    world.leg(alice, ended(Cause::ShuttingDown));
    assert_eq!(world.wait(ENDING_MAX - seconds(1)), []);
    assert_eq!(world.wait(seconds(1)), [Output::Over(Cause::ShuttingDown, None)]);
    assert_eq!(world.leg(CALLER, ended(Cause::Normal)), [], "and what it says later is nothing to anybody");
}

#[test]
fn a_leg_without_media_is_hung_up_and_ends_the_call() {
    let (mut world, alice) = talking(Takeover::ReleasesAgent);
    let said = world.leg(alice, LegEvent::MediaLost);
    assert!(told(&said, alice, LegAction::HangUp(Cause::MediaTimeout)));
    assert!(told(&said, CALLER, LegAction::HangUp(Cause::MediaTimeout)));
    assert_eq!(world.leg(alice, LegEvent::MediaLost), []);
}

#[test]
fn what_legs_say_after_the_hang_up_changes_nothing() {
    let (mut world, alice) = talking(Takeover::ReleasesAgent);
    world.command(Command::HangUpLeg(alice)).unwrap();
    for event in [
        LegEvent::Ringing,
        LegEvent::EarlyMedia,
        LegEvent::Answered,
        LegEvent::Held,
        LegEvent::Resumed,
        LegEvent::Digit('5'),
        LegEvent::MediaLost,
    ] {
        for leg in [alice, CALLER, LegId(99)] {
            assert_eq!(world.leg(leg, event.clone()), []);
        }
    }
}
