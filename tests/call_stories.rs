//! What happens in a call, told as stories in virtual time: by whom it is heard, what the doors are
//! asked, what is told of it. `world` checks the promises that hold always after every step.

#[path = "model/world.rs"]
mod world;

use std::time::Duration;

use sbc_config::PersonId;
use sidetone::call::hearing::Hears;
use sidetone::call::{
    Arrival, AskedBy, CallEvent, Cause, ChangedBy, Coaching, Command, CommandError, ENDING_MAX, EXPECTED_MAX,
    LegAction, LegEnd, LegEvent, LegId, MAX_ATTEMPTS, Output, RELEASE_MAX, RINGS_MAX, RUNG_MAX, Referral,
    Role, Setup, Supervise, SupervisionId, Takeover,
};

use world::{CALLER, Line, World, attempt, setup};

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

// Finding somebody to talk to.

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

// Calls we place.

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

// Hold and mute.

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

// Supervision.

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

// Taking over.

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

// The end.

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

// Transfers.

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
