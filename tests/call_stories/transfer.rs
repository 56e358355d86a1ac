//! Transfers: by REFER, by Replaces and over the API.

use sidetone::call::hearing::Hears;
use sidetone::call::{
    AskedBy, CallEvent, Cause, Coaching, Command, CommandError, LegAction, LegEnd, LegEvent, LegId, Output,
    RELEASE_MAX, RINGS_MAX, Referral, Takeover,
};

use super::world::{self, CALLER, World};
use super::{ended, hears, mouths, place, seconds, supervised_call, talking, told};

/// Alice holds, and asks that tina take her place.
fn referred() -> (World, LegId, LegId) {
    let (mut world, alice) = talking(Takeover::ReleasesAgent);
    world.leg(alice, LegEvent::Held);
    assert_eq!(hears(&world, CALLER), Hears::Music);
    let said = world.leg(alice, LegEvent::Referred(Box::new(world::target("tina"))));
    let tina = world.leg_of("tina");
    let started = CallEvent::TransferStarted {
        transferor: alice,
        target: tina,
        name: "tina".into(),
        by: AskedBy::Transferor,
    };
    assert!(said.contains(&Output::Event(started)));
    (world, alice, tina)
}

#[test]
fn a_transferred_caller_hears_ringing_then_the_target_and_the_transferor_hangs_up_itself() {
    let (mut world, alice, tina) = referred();
    assert_eq!(hears(&world, CALLER), Hears::Ringback, "the one who holds has left it to the target");

    let said = world.leg(tina, LegEvent::Ringing);
    assert!(told(&said, alice, LegAction::Refer(Referral::Ringing)));
    let progress = CallEvent::TransferProgress { transferor: alice, target: tina };
    assert!(said.contains(&Output::Event(progress)));
    assert!(!said.iter().any(|o| matches!(o, Output::Leg(CALLER, _))), "the caller is long answered");
    assert_eq!(world.leg(tina, LegEvent::Ringing), [], "once");

    let said = world.leg(tina, LegEvent::Answered);
    assert!(told(&said, alice, LegAction::Refer(Referral::Connected)));
    assert!(!said.contains(&Output::Leg(alice, LegAction::HangUp(Cause::Released))), "no early BYE");
    assert_eq!((mouths(&world, CALLER), mouths(&world, tina)), (vec![tina], vec![CALLER]));
    assert_eq!(hears(&world, alice), Hears::Silence);

    let said = world.leg(alice, ended(Cause::Normal));
    assert!(matches!(said[..], [Output::Hearing(..)]), "a row less, and nothing else: {said:?}");
    assert_eq!(mouths(&world, CALLER), [tina]);
    assert_eq!(world.call.poll_timeout(), None);
}

#[test]
fn a_transferor_who_does_not_hang_up_is_hung_up_in_the_end() {
    let (mut world, alice, tina) = referred();
    world.leg(tina, LegEvent::Answered);
    assert_eq!(world.wait(RELEASE_MAX - seconds(1)), []);
    let said = world.wait(seconds(1));
    assert_eq!(said.first(), Some(&Output::Leg(alice, LegAction::HangUp(Cause::Released))));
    assert_eq!(mouths(&world, CALLER), [tina]);
}

#[test]
fn a_transfer_that_fails_puts_everybody_back_and_says_why() {
    let (mut world, alice, tina) = referred();
    let said = world.leg(tina, ended(Cause::Busy));
    assert_eq!(
        said[..3],
        [
            Output::Leg(alice, LegAction::Refer(Referral::Failed(Cause::Busy))),
            Output::Event(CallEvent::TransferFailed {
                transferor: alice,
                target: tina,
                end: LegEnd::of(Cause::Busy)
            }),
            Output::Event(CallEvent::TransferRolledBack { transferor: alice }),
        ]
    );
    assert_eq!(hears(&world, CALLER), Hears::Music, "still on the hold that alice put them on");
    world.leg(alice, LegEvent::Resumed);
    assert_eq!((mouths(&world, CALLER), mouths(&world, alice)), (vec![alice], vec![CALLER]));
}

#[test]
fn a_target_who_does_not_answer_is_given_up_and_the_transferor_told() {
    let (mut world, alice, tina) = referred();
    world.wait(seconds(20));
    world.leg(tina, LegEvent::Ringing);
    assert_eq!(world.wait(RINGS_MAX - seconds(1)), []);
    let said = world.wait(seconds(1));
    assert!(told(&said, tina, LegAction::HangUp(Cause::NoAnswer)));
    assert!(told(&said, alice, LegAction::Refer(Referral::Failed(Cause::NoAnswer))));
}

#[test]
fn a_target_who_does_not_come_leaves_everybody_where_they_were_and_says_why() {
    for cause in [Cause::Declined, Cause::Busy, Cause::Unreachable, Cause::NotFound] {
        // By the telephone's own button, and over the API.
        let (mut world, alice, tina) = referred();
        let said = world.leg(tina, ended(cause));
        assert!(told(&said, alice, LegAction::Refer(Referral::Failed(cause))));
        world.leg(alice, LegEvent::Resumed);
        assert_eq!((mouths(&world, CALLER), mouths(&world, alice)), (vec![alice], vec![CALLER]), "{cause:?}");

        let (mut world, alice) = talking(Takeover::ReleasesAgent);
        world.command(Command::Transfer(alice, world::target("tina"))).unwrap();
        let tina = world.leg_of("tina");
        let said = world.leg(tina, ended(cause));
        let failed = CallEvent::TransferFailed { transferor: alice, target: tina, end: LegEnd::of(cause) };
        assert!(said.contains(&Output::Event(failed)));
        assert!(said.contains(&Output::Event(CallEvent::TransferRolledBack { transferor: alice })));
        assert!(!said.iter().any(|output| matches!(output, Output::Leg(..))), "nobody is touched: {said:?}");
        assert_eq!((mouths(&world, CALLER), mouths(&world, alice)), (vec![alice], vec![CALLER]), "{cause:?}");
        assert_eq!(world.call.poll_timeout(), None);
    }
}

#[test]
fn a_transfer_called_off_while_the_target_rings_leaves_everybody_where_they_were() {
    let (mut world, alice) = talking(Takeover::ReleasesAgent);
    world.command(Command::Transfer(alice, world::target("tina"))).unwrap();
    let tina = world.leg_of("tina");
    world.leg(tina, LegEvent::Ringing);
    let said = world.command(Command::HangUpLeg(tina)).unwrap();
    assert!(told(&said, tina, LegAction::HangUp(Cause::Normal)));
    assert!(said.contains(&Output::Event(CallEvent::TransferRolledBack { transferor: alice })));
    assert_eq!((mouths(&world, CALLER), mouths(&world, alice)), (vec![alice], vec![CALLER]));
    assert_eq!(world.leg(tina, LegEvent::Answered), [], "an answer that crossed it");
}

#[test]
fn a_target_who_has_the_place_and_hangs_up_ends_the_call() {
    let (mut world, alice, tina) = referred();
    world.leg(tina, LegEvent::Answered);
    world.leg(alice, ended(Cause::Normal));
    let said = world.leg(tina, ended(Cause::Normal));
    assert!(told(&said, CALLER, LegAction::HangUp(Cause::Normal)));
    assert!(said.contains(&Output::Event(CallEvent::Ended { cause: Cause::Normal, by: Some(tina) })));
    world.doors_hang_up();
    assert!(world.is_over());
}

#[test]
fn a_transferor_who_hangs_up_early_leaves_the_caller_to_the_target_and_not_alone() {
    let (mut world, alice, tina) = referred();
    let said = world.leg(alice, ended(Cause::Normal));
    assert!(!said.iter().any(|o| matches!(o, Output::Leg(..))), "the caller and the target go on: {said:?}");
    assert_eq!(hears(&world, CALLER), Hears::Ringback);
    world.leg(tina, LegEvent::Answered);
    assert_eq!((mouths(&world, CALLER), mouths(&world, tina)), (vec![tina], vec![CALLER]));
}

#[test]
fn a_transferor_gone_early_and_a_target_who_declines_end_the_call_with_the_true_reason() {
    let (mut world, alice, tina) = referred();
    world.leg(alice, ended(Cause::Normal));
    let said = world.leg(tina, ended(Cause::Declined));
    assert!(told(&said, CALLER, LegAction::HangUp(Cause::Declined)));
    assert!(!said.contains(&Output::Event(CallEvent::TransferRolledBack { transferor: alice })));
}

#[test]
fn a_transferor_who_is_lost_takes_the_ringing_with_them() {
    let (mut world, alice, tina) = referred();
    let said = world.leg(alice, ended(Cause::SignallingTimeout));
    assert!(told(&said, tina, LegAction::HangUp(Cause::Cancelled)));
    assert!(told(&said, CALLER, LegAction::HangUp(Cause::SignallingTimeout)));
}

#[test]
fn a_caller_who_hangs_up_while_the_target_rings_stops_it() {
    let (mut world, alice, tina) = referred();
    let said = world.leg(CALLER, ended(Cause::Normal));
    assert!(told(&said, tina, LegAction::HangUp(Cause::Normal)));
    assert!(told(&said, alice, LegAction::Refer(Referral::Failed(Cause::Normal))));
    assert!(told(&said, alice, LegAction::HangUp(Cause::Normal)));
}

#[test]
fn supervisors_stay_through_a_transfer_and_their_subject_follows() {
    let (mut world, alice, carol) = supervised_call(Coaching::Whisper, Takeover::ReleasesAgent);
    world.leg(alice, LegEvent::Referred(Box::new(world::target("tina"))));
    let tina = world.leg_of("tina");
    assert_eq!(mouths(&world, alice), [CALLER, carol], "until the target answers nothing is taken away");
    world.leg(tina, LegEvent::Answered);
    assert_eq!(mouths(&world, tina), [CALLER, carol]);
    assert_eq!(mouths(&world, CALLER), [tina], "above all, not the customer");
    assert_eq!(mouths(&world, carol), [CALLER, tina]);
    assert_eq!(mouths(&world, alice), []);
    assert_eq!(world.call.supervisions()[0].subject, tina);
}

#[test]
fn a_caller_may_be_the_transferor_as_well() {
    // An agent beyond a trunk has called out: to us they are the caller.
    let (mut world, alice) = talking(Takeover::ReleasesAgent);
    world.leg(CALLER, LegEvent::Held);
    world.leg(CALLER, LegEvent::Referred(Box::new(world::target("tina"))));
    let tina = world.leg_of("tina");
    assert_eq!(hears(&world, alice), Hears::Ringback);
    world.leg(CALLER, ended(Cause::Normal));
    world.leg(tina, LegEvent::Answered);
    assert_eq!((mouths(&world, alice), mouths(&world, tina)), (vec![tina], vec![alice]));
}

#[test]
fn one_transfer_of_a_call_at_a_time_and_only_by_those_who_have_a_place() {
    let (mut world, alice, carol) = supervised_call(Coaching::Barge, Takeover::ReleasesAgent);
    let failed = |leg, cause| vec![Output::Leg(leg, LegAction::Refer(Referral::Failed(cause)))];
    let said = world.leg(carol, LegEvent::Referred(Box::new(world::target("tina"))));
    assert_eq!(said, failed(carol, Cause::Forbidden), "who listens in has no place to give");
    world.leg(alice, LegEvent::Referred(Box::new(world::target("tina"))));
    let said = world.leg(alice, LegEvent::Referred(Box::new(world::target("tom"))));
    assert_eq!(said, failed(alice, Cause::Congestion));
    let refused = world.command(Command::Transfer(CALLER, world::target("tom")));
    assert_eq!(refused, Err(CommandError::Transferring));
}

#[test]
fn a_target_may_transfer_on_before_the_first_transferor_has_gone() {
    let (mut world, alice, tina) = referred();
    world.leg(tina, LegEvent::Answered);
    world.leg(tina, LegEvent::Referred(Box::new(world::target("tom"))));
    let tom = world.leg_of("tom");
    world.leg(tom, LegEvent::Answered);
    assert_eq!(mouths(&world, CALLER), [tom]);
    let said = world.wait(RELEASE_MAX);
    for leg in [alice, tina] {
        assert!(told(&said, leg, LegAction::HangUp(Cause::Released)));
    }
}

#[test]
fn who_calls_in_to_take_a_place_rings_nobody_and_the_replaced_leg_is_hung_up() {
    let (mut world, alice) = talking(Takeover::ReleasesAgent);
    let new = LegId(77);
    let said = world.command(Command::Replace(alice, new)).unwrap();
    assert!(told(&said, new, LegAction::Answer));
    assert!(!said.iter().any(|o| matches!(o, Output::Leg(_, LegAction::Dial(_) | LegAction::Alert))));
    assert_eq!(mouths(&world, CALLER), [alice]);
    let said = world.leg(new, LegEvent::Answered);
    let heard = place(&said, |o| matches!(o, Output::Hearing(..)));
    let gone = place(&said, |o| *o == Output::Leg(alice, LegAction::HangUp(Cause::Released)));
    assert!(heard < gone, "the caller hears the new leg before the old one is gone");
    assert_eq!((mouths(&world, CALLER), mouths(&world, new)), (vec![new], vec![CALLER]));
}

#[test]
fn a_transfer_over_the_api_releases_the_transferor_at_once_and_takes_the_held_caller_back() {
    let (mut world, alice) = talking(Takeover::ReleasesAgent);
    world.command(Command::Hold(CALLER)).unwrap();
    world.command(Command::Transfer(alice, world::target("tina"))).unwrap();
    let tina = world.leg_of("tina");
    let said = world.leg(tina, LegEvent::Answered);
    assert!(told(&said, CALLER, LegAction::Resume));
    assert!(told(&said, alice, LegAction::HangUp(Cause::Released)));
    assert_eq!(mouths(&world, CALLER), [tina]);
}
