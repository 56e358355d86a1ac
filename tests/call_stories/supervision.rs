//! Supervision: who comes in how, and what digits and requests change.

use sidetone::call::{
    Arrival, CallEvent, Cause, ChangedBy, Coaching, Command, CommandError, EXPECTED_MAX, LegAction, LegEvent,
    LegId, Output, RUNG_MAX, Setup, Supervise, SupervisionId, Takeover,
};

use super::world::{self, CALLER, Line, World, attempt, setup};
use super::{
    SUPERVISION, ended, hears, mouths, place, seconds, supervised, supervised_call, talking, told, wish,
};

#[test]
fn a_ringing_supervisor_changes_nothing_but_the_warmth_of_the_mouths() {
    let (mut world, alice) = talking(Takeover::ReleasesAgent);
    let before = (hears(&world, CALLER), hears(&world, alice));
    world.command(Command::Supervise(wish(SUPERVISION, "carol", Coaching::Barge))).unwrap();
    assert_eq!((hears(&world, CALLER), hears(&world, alice)), before);
    assert_eq!(world.call.table().1.warm(), [CALLER, alice]);

    let carol = world.leg_of("carol");
    world.leg(carol, LegEvent::Answered);
    assert_eq!(world.call.table().1.warm(), []);
    assert_eq!(mouths(&world, CALLER), [alice, carol]);
}

#[test]
fn a_role_change_touches_the_table_and_no_signalling() {
    let (mut world, alice, carol) = supervised_call(Coaching::Monitor, Takeover::ReleasesAgent);
    assert_eq!(mouths(&world, carol), [CALLER, alice]);
    let heard_by =
        |world: &World| (mouths(world, CALLER).contains(&carol), mouths(world, alice).contains(&carol));
    assert_eq!(heard_by(&world), (false, false));

    for (from, to, heard) in [
        (Coaching::Monitor, Coaching::Whisper, (false, true)),
        (Coaching::Whisper, Coaching::Barge, (true, true)),
        (Coaching::Barge, Coaching::Monitor, (false, false)),
    ] {
        let said = world.command(Command::SwitchRole(SUPERVISION, to)).unwrap();
        let changed = CallEvent::RoleChanged { id: SUPERVISION, from, to, by: ChangedBy::Api };
        assert!(
            matches!(&said[..], [Output::Event(event), Output::Hearing(..)] if *event == changed),
            "{said:?}"
        );
        assert_eq!(heard_by(&world), heard, "{to:?}");
        assert_eq!(world.command(Command::SwitchRole(SUPERVISION, to)), Ok(vec![]), "again, and nothing new");
    }
}

#[test]
fn four_five_and_six_on_the_supervisors_telephone_switch_and_reach_nobody() {
    let (mut world, alice, carol) = supervised_call(Coaching::Monitor, Takeover::ReleasesAgent);
    for (digit, to) in [('5', Coaching::Whisper), ('6', Coaching::Barge), ('4', Coaching::Monitor)] {
        let said = world.leg(carol, LegEvent::Digit(digit));
        assert!(
            matches!(&said[..], [Output::Event(CallEvent::RoleChanged { to: now, by: ChangedBy::Dtmf, .. }), Output::Hearing(..)] if *now == to)
        );
    }
    for digit in ['4', '7', '0', '*', '#', 'A'] {
        assert_eq!(world.leg(carol, LegEvent::Digit(digit)), [], "{digit}");
    }
    for talker in [CALLER, alice] {
        assert_eq!(world.leg(talker, LegEvent::Digit('6')), [], "not theirs to switch");
    }
}

#[test]
fn digits_switch_nothing_without_dtmf_control() {
    let (mut world, _) = talking(Takeover::ReleasesAgent);
    let wanted = Supervise { dtmf_control: false, ..wish(SUPERVISION, "carol", Coaching::Monitor) };
    let carol = supervised(&mut world, wanted);
    assert_eq!(world.leg(carol, LegEvent::Digit('6')), []);
}

#[test]
fn a_supervisor_switches_to_allowed_roles_only_by_api_and_by_digit() {
    let (mut world, _) = talking(Takeover::ReleasesAgent);
    let wanted =
        Supervise { allowed_roles: vec![Coaching::Whisper], ..wish(SUPERVISION, "carol", Coaching::Monitor) };
    let carol = supervised(&mut world, wanted);
    for to in [Coaching::Barge, Coaching::TakenOver] {
        assert_eq!(world.command(Command::SwitchRole(SUPERVISION, to)), Err(CommandError::RoleNotAllowed));
    }
    assert_eq!(world.leg(carol, LegEvent::Digit('6')), []);
    assert!(!world.leg(carol, LegEvent::Digit('5')).is_empty());
    assert!(!world.leg(carol, LegEvent::Digit('4')).is_empty(), "the first role is always allowed");
}

#[test]
fn nobody_begins_a_supervision_by_taking_over() {
    let (mut world, _) = talking(Takeover::ReleasesAgent);
    let wanted = wish(SUPERVISION, "carol", Coaching::TakenOver);
    assert_eq!(world.command(Command::Supervise(wanted)), Err(CommandError::RoleNotAllowed));
}

#[test]
fn a_supervision_needs_a_talking_agent() {
    let mut world = World::inbound(setup(vec![attempt(&["alice"], 20)]));
    let alice = world.leg_of("alice");
    let about =
        |subject| Command::Supervise(Supervise { subject, ..wish(SUPERVISION, "carol", Coaching::Monitor) });
    assert_eq!(world.command(about(None)), Err(CommandError::NoSubject));
    assert_eq!(world.command(about(Some(alice))), Err(CommandError::NoSubject), "still ringing");
    world.leg(alice, LegEvent::Answered);
    assert_eq!(world.command(about(Some(CALLER))), Err(CommandError::NoSubject), "not an agent");
    assert_eq!(world.command(about(Some(LegId(99)))), Err(CommandError::NoSuchLeg));
    assert!(world.command(about(Some(alice))).is_ok());
    assert_eq!(world.command(about(None)), Err(CommandError::SupervisedAlready));
}

#[test]
fn a_supervisor_who_has_not_answered_cannot_switch() {
    let (mut world, _) = talking(Takeover::ReleasesAgent);
    world.command(Command::Supervise(wish(SUPERVISION, "carol", Coaching::Monitor))).unwrap();
    let refused = world.command(Command::SwitchRole(SUPERVISION, Coaching::TakenOver));
    assert_eq!(refused, Err(CommandError::SupervisorNotThere));
}

#[test]
fn a_supervisor_who_dials_in_is_seated_answered_and_heard() {
    let (mut world, alice) = talking(Takeover::ReleasesAgent);
    let expected = Supervise { by: Arrival::Expected, ..wish(SUPERVISION, "carol", Coaching::Whisper) };
    world.command(Command::Supervise(expected)).unwrap();
    let carol = LegId(50);
    let said = world.command(Command::Seat(SUPERVISION, carol)).unwrap();
    assert_eq!(said[0], Output::Leg(carol, LegAction::Answer));
    assert_eq!(mouths(&world, alice), [CALLER]);

    world.leg(carol, LegEvent::Answered);
    assert_eq!((mouths(&world, alice), mouths(&world, CALLER)), (vec![CALLER, carol], vec![alice]));
    assert_eq!(world.command(Command::Seat(SUPERVISION, LegId(51))), Err(CommandError::SupervisedAlready));
    assert_eq!(
        world.command(Command::Seat(SupervisionId(9), LegId(51))),
        Err(CommandError::NoSuchSupervision)
    );
}

#[test]
fn a_supervisor_dialling_in_to_an_originated_call_is_not_taken_for_its_caller() {
    let mut world = World::outbound(setup(vec![attempt(&["alice"], 20)]), attempt(&["customer"], 30));
    let alice = world.leg_of("alice");
    world.leg(alice, LegEvent::Answered);
    let expected = Supervise { by: Arrival::Expected, ..wish(SUPERVISION, "carol", Coaching::Monitor) };
    world.command(Command::Supervise(expected)).unwrap();
    let carol = LegId(50);
    world.command(Command::Seat(SUPERVISION, carol)).unwrap();

    let customer = world.leg_of("customer");
    for event in [LegEvent::Ringing, LegEvent::EarlyMedia, LegEvent::Answered] {
        let said = world.leg(customer, event);
        assert!(!said.iter().any(|output| matches!(output, Output::Leg(..))), "nobody waits: {said:?}");
    }
}

#[test]
fn a_call_has_room_for_so_many_and_keeps_a_place_for_the_expected() {
    let (mut world, _) = talking(Takeover::ReleasesAgent);
    for n in 0..6 {
        let by = if n % 2 == 0 { Arrival::Expected } else { Arrival::Here(LegId(50 + n)) };
        let id = SupervisionId(n);
        let wanted = Supervise { by, ..wish(id, &format!("carol{n}"), Coaching::Monitor) };
        world.command(Command::Supervise(wanted)).unwrap();
    }
    let one_more = wish(SupervisionId(9), "dave", Coaching::Monitor);
    assert_eq!(world.command(Command::Supervise(one_more.clone())), Err(CommandError::Full));
    world.command(Command::Seat(SupervisionId(0), LegId(60))).unwrap();
    world.command(Command::EndSupervision(SupervisionId(2))).unwrap();
    assert!(world.command(Command::Supervise(one_more)).is_ok());
}

#[test]
fn a_call_takes_no_more_supervisors_than_its_setting_allows() {
    let mut world = World::inbound(Setup { parties_max: 3, ..setup(vec![attempt(&["alice"], 20)]) });
    let alice = world.leg_of("alice");
    world.leg(alice, LegEvent::Answered);
    world.leg(CALLER, LegEvent::Answered);
    supervised(&mut world, wish(SUPERVISION, "carol", Coaching::Monitor));
    let second = Command::Supervise(wish(SupervisionId(2), "dora", Coaching::Monitor));
    assert_eq!(world.command(second), Err(CommandError::Full));
}

#[test]
fn a_supervisor_who_is_rung_or_expected_too_long_is_given_up() {
    for (by, most) in [(Arrival::Dial(world::target("carol")), RUNG_MAX), (Arrival::Expected, EXPECTED_MAX)] {
        let (mut world, alice) = talking(Takeover::ReleasesAgent);
        let wanted = Supervise { by: by.clone(), ..wish(SUPERVISION, "carol", Coaching::Whisper) };
        world.command(Command::Supervise(wanted)).unwrap();
        assert_eq!(world.wait(most - seconds(1)), []);

        let said = world.wait(seconds(1));
        let over = CallEvent::SupervisionEnded { id: SUPERVISION, cause: Cause::NoAnswer };
        assert!(said.contains(&Output::Event(over)), "{said:?}");
        if matches!(by, Arrival::Dial(_)) {
            assert!(told(&said, world.leg_of("carol"), LegAction::HangUp(Cause::NoAnswer)));
        }
        assert_eq!(world.call.supervisions(), []);
        assert_eq!(mouths(&world, CALLER), [alice], "nobody else notices");
        assert_eq!(world.wait(seconds(600)), []);
    }
}

#[test]
fn a_supervisor_who_came_in_time_stays_for_as_long_as_they_like() {
    let (mut world, _, carol) = supervised_call(Coaching::Monitor, Takeover::ReleasesAgent);
    assert_eq!(world.wait(EXPECTED_MAX * 2), []);
    assert!(!mouths(&world, carol).is_empty());
}

#[test]
fn a_supervisor_who_hangs_up_or_never_comes_leaves_the_call_as_it_was() {
    let (mut world, alice, carol) = supervised_call(Coaching::Barge, Takeover::ReleasesAgent);
    let said = world.leg(carol, ended(Cause::Normal));
    assert_eq!(said[0], Output::Event(CallEvent::SupervisionEnded { id: SUPERVISION, cause: Cause::Normal }));
    assert_eq!((mouths(&world, CALLER), mouths(&world, alice)), (vec![alice], vec![CALLER]));

    world.command(Command::Supervise(wish(SupervisionId(2), "dave", Coaching::Barge))).unwrap();
    let dave = world.leg_of("dave");
    let said = world.leg(dave, ended(Cause::Busy));
    let over = CallEvent::SupervisionEnded { id: SupervisionId(2), cause: Cause::Busy };
    assert_eq!(said[0], Output::Event(over));
    assert!(!world.call.is_ending());
}

#[test]
fn ending_a_supervision_hangs_up_the_supervisor_and_nobody_else() {
    let (mut world, _, carol) = supervised_call(Coaching::Whisper, Takeover::ReleasesAgent);
    let said = world.command(Command::EndSupervision(SUPERVISION)).unwrap();
    assert!(told(&said, carol, LegAction::HangUp(Cause::Normal)));
    assert_eq!(world.legs_that_are(Line::HungUp), [carol]);
    assert_eq!(world.leg(carol, ended(Cause::Normal)), []);
}

#[test]
fn a_follower_is_kept_for_the_agents_next_call_and_not_hung_up() {
    let (mut world, _) = talking(Takeover::ReleasesAgent);
    let carol =
        supervised(&mut world, Supervise { follows: true, ..wish(SUPERVISION, "carol", Coaching::Whisper) });
    let said = world.leg(CALLER, ended(Cause::Normal));
    let kept = place(&said, |output| matches!(output, Output::Keep(s) if s.leg == Some(carol)));
    assert!(kept < place(&said, |output| matches!(output, Output::Event(CallEvent::Ended { .. }))));
    assert!(!said.iter().any(|output| matches!(output, Output::Leg(leg, _) if *leg == carol)));
    assert_eq!(world.leg(carol, LegEvent::Digit('6')), [], "no longer of this call");
    world.doors_hang_up();
    assert!(world.is_over());

    let (mut next, alice) = talking(Takeover::ReleasesAgent);
    let here = Supervise { by: Arrival::Here(carol), ..wish(SUPERVISION, "carol", Coaching::Whisper) };
    next.command(Command::Supervise(here)).unwrap();
    assert_eq!((mouths(&next, alice), mouths(&next, CALLER)), (vec![CALLER, carol], vec![alice]));
}

#[test]
fn a_follower_on_hold_is_resumed_before_being_let_go() {
    let (mut world, _) = talking(Takeover::ReleasesAgent);
    let carol =
        supervised(&mut world, Supervise { follows: true, ..wish(SUPERVISION, "carol", Coaching::Whisper) });
    world.command(Command::Hold(carol)).unwrap();
    let said = world.command(Command::HangUp(Cause::Normal)).unwrap();
    let resumed = place(&said, |output| *output == Output::Leg(carol, LegAction::Resume));
    assert!(resumed < place(&said, |output| matches!(output, Output::Keep(_))));
}

#[test]
fn a_follower_who_has_not_answered_yet_is_hung_up_with_the_call() {
    let (mut world, _) = talking(Takeover::ReleasesAgent);
    world
        .command(Command::Supervise(Supervise {
            follows: true,
            ..wish(SUPERVISION, "carol", Coaching::Whisper)
        }))
        .unwrap();
    let said = world.leg(CALLER, ended(Cause::Normal));
    assert!(told(&said, world.leg_of("carol"), LegAction::HangUp(Cause::Normal)));
}
