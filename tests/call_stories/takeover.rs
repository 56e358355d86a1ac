//! A supervisor takes the call over, or is left with it.

use sidetone::call::hearing::Hears;
use sidetone::call::{
    CallEvent, Cause, ChangedBy, Coaching, Command, CommandError, LegAction, LegEvent, Output, Supervise,
    SupervisionId, Takeover,
};

use super::world::{CALLER, World, attempt, setup};
use super::{SUPERVISION, ended, hears, mouths, place, supervised, supervised_call, talking, told, wish};

#[test]
fn a_takeover_releases_the_agent_only_once_the_customer_hears_the_supervisor() {
    for role in [Coaching::Monitor, Coaching::Whisper] {
        let (mut world, alice, carol) = supervised_call(role, Takeover::ReleasesAgent);
        let said = world.command(Command::SwitchRole(SUPERVISION, Coaching::TakenOver)).unwrap();
        let heard = place(
            &said,
            |output| matches!(output, Output::Hearing(_, table) if table.connects(CALLER, carol)),
        );
        let released =
            place(&said, |output| *output == Output::Leg(alice, LegAction::HangUp(Cause::Released)));
        assert!(heard < released, "{role:?}: {said:#?}");
        assert_eq!((mouths(&world, CALLER), mouths(&world, carol)), (vec![carol], vec![CALLER]));
    }
}

#[test]
fn a_customer_on_hold_and_the_supervisor_are_given_back_at_a_takeover() {
    for takeover in [Takeover::ReleasesAgent, Takeover::KeepsAgent] {
        let (mut world, _, carol) = supervised_call(Coaching::Monitor, takeover);
        world.command(Command::Hold(CALLER)).unwrap();
        world.command(Command::Hold(carol)).unwrap();
        let said = world.command(Command::SwitchRole(SUPERVISION, Coaching::TakenOver)).unwrap();
        for leg in [CALLER, carol] {
            assert!(told(&said, leg, LegAction::Resume), "{takeover:?}");
        }
        assert!(world.call.table().1.connects(CALLER, carol), "{takeover:?}");
    }
}

#[test]
fn a_customer_on_hold_is_given_back_when_the_agent_leaves_them_to_a_barging_supervisor() {
    for takeover in [Takeover::ReleasesAgent, Takeover::KeepsAgent] {
        let (mut world, alice, carol) = supervised_call(Coaching::Barge, takeover);
        world.command(Command::Hold(CALLER)).unwrap();
        let said = world.leg(alice, ended(Cause::Normal));
        assert!(told(&said, CALLER, LegAction::Resume), "{takeover:?}");
        assert_eq!(hears(&world, CALLER), Hears::One(carol), "{takeover:?}");
    }
}

#[test]
fn an_agent_who_leaves_does_not_strand_the_customer_with_a_supervisor_who_may_only_barge() {
    let (mut world, alice) = talking(Takeover::ReleasesAgent);
    let allowed_roles = vec![Coaching::Monitor, Coaching::Barge];
    let carol =
        supervised(&mut world, Supervise { allowed_roles, ..wish(SUPERVISION, "carol", Coaching::Barge) });
    world.leg(alice, ended(Cause::Normal));
    assert_eq!(hears(&world, CALLER), Hears::One(carol));

    // Neither a digit nor a request can now leave the customer alone with a listener.
    assert_eq!(world.leg(carol, LegEvent::Digit('4')), []);
    assert_eq!(world.command(Command::EndSupervision(SUPERVISION)), Err(CommandError::TakenOver));
    let said = world.leg(carol, ended(Cause::Normal));
    assert!(told(&said, CALLER, LegAction::HangUp(Cause::Normal)));
}

#[test]
fn a_supervisor_who_took_over_leaves_the_customer_to_another_who_barges() {
    let (mut world, _, carol) = supervised_call(Coaching::Barge, Takeover::ReleasesAgent);
    let dave = supervised(&mut world, wish(SupervisionId(2), "dave", Coaching::Barge));
    world.command(Command::SwitchRole(SUPERVISION, Coaching::TakenOver)).unwrap();
    world.leg(carol, ended(Cause::Normal));
    assert_eq!(hears(&world, CALLER), Hears::One(dave));
    assert_eq!(world.leg(dave, LegEvent::Digit('4')), [], "dave has the call");
    assert_eq!(world.command(Command::EndSupervision(SupervisionId(2))), Err(CommandError::TakenOver));
}

#[test]
fn a_supervisor_who_takes_over_before_the_customer_answers_is_the_one_bridged() {
    let mut world = World::outbound(setup(vec![attempt(&["alice"], 20)]), attempt(&["customer"], 30));
    let alice = world.leg_of("alice");
    world.leg(alice, LegEvent::Answered);
    let carol = supervised(&mut world, wish(SUPERVISION, "carol", Coaching::Monitor));
    world.command(Command::SwitchRole(SUPERVISION, Coaching::TakenOver)).unwrap();
    world.doors_hang_up();

    let customer = world.leg_of("customer");
    let said = world.leg(customer, LegEvent::Answered);
    assert!(said.contains(&Output::Event(CallEvent::Bridged)));
    assert!(world.call.is_talking());
    assert_eq!(mouths(&world, customer), [carol]);
}

#[test]
fn an_agent_kept_at_a_takeover_stays_in_the_conversation() {
    let (mut world, alice, carol) = supervised_call(Coaching::Monitor, Takeover::KeepsAgent);
    let said = world.command(Command::SwitchRole(SUPERVISION, Coaching::TakenOver)).unwrap();
    assert!(!said.iter().any(|output| matches!(output, Output::Leg(..))), "no signalling: {said:?}");
    assert_eq!(mouths(&world, CALLER), [alice, carol]);

    world.leg(alice, ended(Cause::Normal));
    assert_eq!(mouths(&world, CALLER), [carol], "and may leave");
    let said = world.leg(carol, ended(Cause::Normal));
    assert!(told(&said, CALLER, LegAction::HangUp(Cause::Normal)));
}

#[test]
fn a_call_taken_over_ends_with_the_supervisor_and_not_with_the_supervision() {
    let (mut world, alice, carol) = supervised_call(Coaching::Barge, Takeover::ReleasesAgent);
    world.command(Command::SwitchRole(SUPERVISION, Coaching::TakenOver)).unwrap();
    assert_eq!(world.leg(alice, ended(Cause::Released)), [], "as asked for");
    assert_eq!(world.command(Command::EndSupervision(SUPERVISION)), Err(CommandError::TakenOver));
    let back = Command::SwitchRole(SUPERVISION, Coaching::Monitor);
    assert_eq!(world.command(back), Err(CommandError::TakenOver));
    assert_eq!(world.leg(carol, LegEvent::Digit('4')), []);

    let said = world.leg(CALLER, ended(Cause::Normal));
    assert!(told(&said, carol, LegAction::HangUp(Cause::Normal)));
}

#[test]
fn an_agent_who_leaves_a_listener_behind_ends_the_call() {
    for role in [Coaching::Monitor, Coaching::Whisper] {
        let (mut world, alice, carol) = supervised_call(role, Takeover::ReleasesAgent);
        let said = world.leg(alice, ended(Cause::Normal));
        for leg in [CALLER, carol] {
            assert!(told(&said, leg, LegAction::HangUp(Cause::Normal)), "{role:?}");
        }
    }
}

#[test]
fn an_agent_who_hangs_up_leaves_the_customer_to_the_barging_supervisor() {
    let (mut world, alice, carol) = supervised_call(Coaching::Barge, Takeover::ReleasesAgent);
    let said = world.leg(alice, ended(Cause::Normal));
    let changed = CallEvent::RoleChanged {
        id: SUPERVISION,
        from: Coaching::Barge,
        to: Coaching::TakenOver,
        by: ChangedBy::AgentLeft,
    };
    assert_eq!(said[0], Output::Event(changed));
    assert_eq!((mouths(&world, CALLER), mouths(&world, carol)), (vec![carol], vec![CALLER]));
    assert!(!world.call.is_ending());
}
