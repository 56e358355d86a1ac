//! Teams users, who are cleared before they are rung, told as stories in virtual time: the engine answers in time, too late,
//! or no; whoever waits meanwhile leaves, or is called. `world` checks after every step that nobody at Teams is
//! dialled without a clearance for them that is still good.

#[path = "model/world.rs"]
mod world;

use std::time::Duration;

use sbc_config::PersonId;
use sidetone::call::hearing::Hears;
use sidetone::call::{
    After, Arrival, AskExpert, Attempt, CallEvent, Callee, Cause, Coaching, Command, ConsultEnd, ConsultId,
    LegAction, LegEnd, LegEvent, LegId, Output, RINGS_MAX, RUNG_MAX, Referral, Supervise, SupervisionId,
};

use world::teams::{TOO_LONG, at_teams, attempt_at_teams, clearance};
use world::{CALLER, Line, World, attempt, setup};

const CONSULT: ConsultId = ConsultId(7);
const SUPERVISION: SupervisionId = SupervisionId(1);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ended(cause: Cause) -> LegEvent {
    LegEvent::Ended(LegEnd::of(cause))
}

/// Somebody calls, and alice answers at her telephone.
fn talking() -> (World, LegId) {
    let mut world = World::inbound(setup(vec![attempt(&["alice"], 20)]));
    let alice = world.leg_of("alice");
    world.leg(alice, LegEvent::Answered);
    world.leg(CALLER, LegEvent::Answered);
    (world, alice)
}

fn ask(ways: Vec<Attempt>) -> Command {
    Command::Consult(AskExpert { id: CONSULT, by: None, ways })
}

/// Alice asks erin, who is at Teams and not cleared yet.
fn clearing() -> (World, LegId, LegId) {
    let (mut world, alice) = talking();
    world.command(ask(vec![attempt_at_teams(&["erin"], 15)])).unwrap();
    let erin = world.leg_of("erin");
    (world, alice, erin)
}

fn hears(world: &World, ear: LegId) -> Hears {
    world.call.table().1.hears(ear).clone()
}

fn told(said: &[Output], leg: LegId, action: LegAction) -> bool {
    said.contains(&Output::Leg(leg, action))
}

fn dialled(said: &[Output]) -> Vec<LegId> {
    let dial = |output: &Output| match output {
        Output::Leg(leg, LegAction::Dial(_)) => Some(*leg),
        _ => None,
    };
    said.iter().filter_map(dial).collect()
}

/// Whom the engine is asked about.
fn asked(said: &[Output]) -> Vec<LegId> {
    let ask = |output: &Output| match output {
        Output::Clear(leg, _) => Some(*leg),
        _ => None,
    };
    said.iter().filter_map(ask).collect()
}

fn over(said: &[Output]) -> ConsultEnd {
    let end = |output: &Output| match output {
        Output::Event(CallEvent::ConsultOver { id: CONSULT, end }) => Some(*end),
        _ => None,
    };
    said.iter().find_map(end).unwrap_or_else(|| panic!("the consult is not over in {said:#?}"))
}

/// Customer and agent are as they were before.
fn assert_back_together(world: &World, alice: LegId) {
    assert_eq!(hears(world, CALLER), Hears::One(alice));
    assert_eq!(hears(world, alice), Hears::One(CALLER));
    assert!(world.call.consult().is_none() && world.call.is_talking());
}

// In time.

#[test]
fn an_expert_is_rung_when_they_are_cleared_and_not_before() {
    let (mut world, alice) = talking();
    let said = world.command(ask(vec![attempt_at_teams(&["erin"], 15)])).unwrap();
    let erin = world.leg_of("erin");
    assert_eq!((asked(&said), dialled(&said)), (vec![erin], vec![]));
    assert!(told(&said, CALLER, LegAction::Hold));
    assert_eq!((hears(&world, CALLER), hears(&world, alice)), (Hears::Music, Hears::Ringback));

    world.wait(Duration::from_millis(300));
    assert_eq!(dialled(&world.cleared(erin)), [erin]);
    assert_eq!(world.cleared(erin), [], "once");
    let said = world.leg(erin, LegEvent::Ringing);
    assert_eq!(said, [Output::Event(CallEvent::Ringing { leg: erin })]);
    world.leg(erin, LegEvent::Answered);
    assert_eq!((hears(&world, alice), hears(&world, erin)), (Hears::One(erin), Hears::One(alice)));
    assert_eq!(hears(&world, CALLER), Hears::Music);
    world.command(Command::CompleteConsult(CONSULT)).unwrap();
    assert_eq!((hears(&world, CALLER), hears(&world, erin)), (Hears::One(erin), Hears::One(CALLER)));
}

#[test]
fn a_caller_hears_ringing_while_the_agent_is_cleared_and_is_alerted_when_a_telephone_rings() {
    let mut world = World::inbound(setup(vec![attempt_at_teams(&["erin"], 20)]));
    let erin = world.leg_of("erin");
    assert_eq!(hears(&world, CALLER), Hears::Ringback);
    let said = world.cleared(erin);
    assert!(!told(&said, CALLER, LegAction::Alert), "nothing rings yet");
    let said = world.leg(erin, LegEvent::Ringing);
    assert!(told(&said, CALLER, LegAction::Alert));
    let said = world.leg(erin, LegEvent::Answered);
    assert!(told(&said, CALLER, LegAction::Answer));
}

#[test]
fn of_several_rung_together_whoever_is_refused_is_missed_and_the_other_has_the_call() {
    let whom = Attempt::new(vec![at_teams("erin"), at_teams("frank"), world::target("bob")], seconds(20));
    let mut world = World::inbound(setup(vec![whom, attempt(&["dora"], 20)]));
    let [erin, frank, bob] = ["erin", "frank", "bob"].map(|name| world.leg_of(name));
    assert_eq!((asked(&world.said), dialled(&world.said)), (vec![erin, frank], vec![bob]));

    let said = world.refused(erin);
    let failed = CallEvent::AttemptFailed { leg: erin, end: LegEnd::of(Cause::NotCleared) };
    assert!(said.contains(&Output::Event(failed)));
    assert_eq!((dialled(&said), asked(&said)), (vec![], vec![]), "others ring still");
    world.cleared(frank);
    let said = world.leg(frank, LegEvent::Answered);
    assert!(told(&said, bob, LegAction::HangUp(Cause::Released)));
    world.leg(CALLER, LegEvent::Answered);
    assert_eq!(hears(&world, CALLER), Hears::One(frank));
}

#[test]
fn who_answers_first_ends_the_clearing_of_the_others() {
    let (mut world, alice) = talking();
    world.command(ask(vec![attempt_at_teams(&["erin", "frank"], 15)])).unwrap();
    let [erin, frank] = ["erin", "frank"].map(|name| world.leg_of(name));
    world.cleared(erin);
    let said = world.leg(erin, LegEvent::Answered);
    assert!(told(&said, frank, LegAction::HangUp(Cause::Released)));
    assert_eq!(world.cleared(frank), [], "and nobody rings him any more");
    assert_eq!(hears(&world, alice), Hears::One(erin));
}

// Too late.

#[test]
fn a_clearance_for_a_caller_who_has_gone_rings_nobody() {
    let mut world = World::inbound(setup(vec![attempt_at_teams(&["erin"], 20)]));
    let erin = world.leg_of("erin");
    let said = world.leg(CALLER, ended(Cause::Cancelled));
    assert!(told(&said, erin, LegAction::HangUp(Cause::Cancelled)));
    assert_eq!(world.cleared(erin), []);
    world.doors_hang_up();
    assert!(world.is_over());

    let (mut world, alice, erin) = clearing();
    let said = world.leg(CALLER, ended(Cause::Normal));
    assert_eq!(over(&said), ConsultEnd::Failed(Cause::Normal));
    for leg in [alice, erin] {
        assert!(told(&said, leg, LegAction::HangUp(Cause::Normal)));
    }
    assert_eq!(world.cleared(erin), []);
    world.doors_hang_up();
    assert!(world.is_over());
}

#[test]
fn an_agent_who_hangs_up_while_the_expert_is_cleared_ends_the_call_and_rings_nobody() {
    let (mut world, alice, erin) = clearing();
    let said = world.leg(alice, ended(Cause::Normal));
    assert_eq!(over(&said), ConsultEnd::Failed(Cause::Released));
    assert!(told(&said, erin, LegAction::HangUp(Cause::Released)));
    assert!(told(&said, CALLER, LegAction::HangUp(Cause::Normal)));
    assert_eq!(world.cleared(erin), []);
}

#[test]
fn an_agent_who_cancels_while_the_expert_is_cleared_has_the_customer_back_and_rings_nobody() {
    let (mut world, alice, erin) = clearing();
    let said = world.command(Command::CancelConsult(CONSULT)).unwrap();
    assert_eq!(over(&said), ConsultEnd::Failed(Cause::Cancelled));
    assert!(told(&said, erin, LegAction::HangUp(Cause::Cancelled)));
    assert_back_together(&world, alice);
    assert_eq!(world.cleared(erin), []);
}

#[test]
fn an_engine_that_does_not_answer_is_given_up_with_the_ringing_and_what_it_says_later_is_nothing() {
    let (mut world, alice, erin) = clearing();
    assert_eq!(world.wait(seconds(14)), []);
    let said = world.wait(seconds(1));
    assert!(told(&said, erin, LegAction::HangUp(Cause::NoAnswer)));
    assert_eq!(over(&said), ConsultEnd::Failed(Cause::NoAnswer));
    assert_back_together(&world, alice);
    assert_eq!(world.cleared(erin), []);
    world.doors_hang_up();
    assert_eq!(world.leg(erin, ended(Cause::NotCleared)), [], "a refusal as well");
}

#[test]
fn the_time_to_ring_is_counted_from_the_asking_and_not_anew_from_the_clearance() {
    let (mut world, alice, erin) = clearing();
    world.wait(seconds(10));
    world.cleared(erin);
    world.leg(erin, LegEvent::Ringing);
    assert_eq!(world.wait(Duration::from_millis(4_999)), []);
    let said = world.wait(Duration::from_millis(1));
    assert_eq!(over(&said), ConsultEnd::Failed(Cause::NoAnswer));
    assert_back_together(&world, alice);
}

#[test]
fn a_clearance_that_has_ended_on_its_way_is_asked_for_again_and_not_dialled_with() {
    let (mut world, _, erin) = clearing();
    for _ in 0..3 {
        let past = world.now.checked_sub(TOO_LONG).unwrap();
        let said = world.cleared_at(erin, past);
        assert_eq!((asked(&said), said.len()), (vec![erin], 1), "{said:?}");
    }
    // What is good is good to its last moment, and not a moment longer.
    let Callee::Teams(wish) = at_teams("erin") else { unreachable!("she is at Teams") };
    let life = clearance(&wish, world.now).clearance().life();
    let said = world.cleared_at(erin, world.now - life);
    assert_eq!(asked(&said), [erin]);
    let said = world.cleared_at(erin, world.now - life + Duration::from_millis(1));
    assert_eq!(dialled(&said), [erin]);
}

#[test]
fn a_clearance_from_the_future_is_none() {
    let (mut world, _, erin) = clearing();
    let said = world.cleared_at(erin, world.now + Duration::from_millis(1));
    assert_eq!((asked(&said), dialled(&said)), (vec![erin], vec![]));
}

// Refused.

#[test]
fn a_refusal_gives_way_to_the_next_attempt_and_the_last_to_the_reason() {
    let attempts =
        vec![attempt_at_teams(&["erin"], 20), attempt(&["bob"], 20), attempt_at_teams(&["frank"], 20)];
    let mut world = World::inbound(setup(attempts));
    let erin = world.leg_of("erin");
    assert_eq!(dialled(&world.refused(erin)), [world.leg_of("bob")]);
    let bob = world.leg_of("bob");
    world.leg(bob, ended(Cause::Busy));
    let frank = world.leg_of("frank");
    let said = world.refused(frank);
    assert!(told(&said, CALLER, LegAction::HangUp(Cause::Busy)), "the reason that says most of a person");

    let mut world = World::inbound(setup(vec![attempt_at_teams(&["erin"], 20)]));
    let erin = world.leg_of("erin");
    let said = world.refused(erin);
    assert!(told(&said, CALLER, LegAction::HangUp(Cause::NotCleared)));
    assert_eq!(world.elapsed(), Duration::ZERO, "at once");
}

#[test]
fn a_refused_expert_leaves_the_customer_with_the_agent_at_once() {
    let (mut world, alice, erin) = clearing();
    world.wait(Duration::from_millis(300));
    let before = world.elapsed();
    let said = world.refused(erin);
    assert_eq!(over(&said), ConsultEnd::Failed(Cause::NotCleared));
    let failed = CallEvent::ConsultWayFailed { id: CONSULT, leg: erin, end: LegEnd::of(Cause::NotCleared) };
    assert!(said.contains(&Output::Event(failed)));
    assert!(told(&said, CALLER, LegAction::Resume));
    assert_back_together(&world, alice);
    assert_eq!(world.elapsed(), before, "within the second that is promised, and within this one");
    assert_eq!(world.call.poll_timeout(), None);
}

#[test]
fn an_expert_refused_over_one_way_is_rung_over_the_next_and_the_customer_does_not_come_and_go() {
    let (mut world, alice) = talking();
    world.command(ask(vec![attempt_at_teams(&["erin"], 15), attempt(&["erin-pstn"], 15)])).unwrap();
    let erin = world.leg_of("erin");
    let said = world.refused(erin);
    let pstn = world.leg_of("erin-pstn");
    let fell_back = CallEvent::ConsultDialing { id: CONSULT, leg: pstn, fell_back: true };
    assert!(said.contains(&Output::Event(fell_back)));
    assert!(!told(&said, CALLER, LegAction::Resume));
    world.leg(pstn, LegEvent::Answered);
    assert_eq!(hears(&world, alice), Hears::One(pstn));
}

// Another way to the same person: only when they were not reached.

/// What became of the first way, and whether another is tried of its own accord.
const REACHED: [(Option<LegEvent>, Cause, bool); 12] = [
    // A person: they know of the call.
    (None, Cause::Busy, true),
    (Some(LegEvent::Ringing), Cause::Busy, true),
    (None, Cause::Declined, true),
    (Some(LegEvent::Ringing), Cause::Declined, true),
    (Some(LegEvent::Ringing), Cause::NoAnswer, true),
    (Some(LegEvent::EarlyMedia), Cause::NoAnswer, true),
    // A network, or we ourselves.
    (None, Cause::NoAnswer, false),
    (None, Cause::NotFound, false),
    (Some(LegEvent::Ringing), Cause::Unreachable, false),
    (None, Cause::Forbidden, false),
    (None, Cause::Congestion, false),
    (None, Cause::NotCleared, false),
];

fn by_another_way(names: &str) -> Vec<Attempt> {
    let next = Attempt { after: After::NotReached, ..attempt(&[&format!("{names}-pstn")], 15) };
    vec![attempt_at_teams(&[names], 15), next]
}

#[test]
fn a_persons_answer_ends_the_fallback_and_a_networks_refusal_goes_on() {
    for (before, cause, reached) in REACHED {
        let (mut world, alice) = talking();
        world.command(ask(by_another_way("erin"))).unwrap();
        let erin = world.leg_of("erin");
        if cause != Cause::NotCleared {
            world.cleared(erin);
        }
        if let Some(event) = before.clone() {
            world.leg(erin, event);
        }
        let said = world.leg(erin, ended(cause));
        assert_eq!(dialled(&said).is_empty(), reached, "{before:?}, {cause:?}: {said:#?}");
        if reached {
            assert_eq!(over(&said), ConsultEnd::Failed(cause));
            assert_back_together(&world, alice);
        } else {
            assert_eq!(hears(&world, CALLER), Hears::Music);
        }

        // The same in a route: who calls is told the truth of the first.
        let mut world = World::inbound(setup(by_another_way("erin")));
        let erin = world.leg_of("erin");
        if cause != Cause::NotCleared {
            world.cleared(erin);
        }
        if let Some(event) = before {
            world.leg(erin, event);
        }
        let said = world.leg(erin, ended(cause));
        assert_eq!(dialled(&said).is_empty(), reached, "{cause:?}");
        assert_eq!(told(&said, CALLER, LegAction::HangUp(cause)), reached, "{cause:?}");
    }
}

#[test]
fn a_telephone_that_rang_out_was_a_person_and_one_that_never_rang_was_not() {
    for rang in [false, true] {
        let (mut world, alice) = talking();
        world.command(ask(by_another_way("erin"))).unwrap();
        let erin = world.leg_of("erin");
        world.cleared(erin);
        if rang {
            world.leg(erin, LegEvent::Ringing);
        }
        let said = world.wait(seconds(15));
        assert!(told(&said, erin, LegAction::HangUp(Cause::NoAnswer)));
        assert_eq!(dialled(&said).is_empty(), rang);
        if rang {
            assert_eq!(over(&said), ConsultEnd::Failed(Cause::NoAnswer));
            assert_back_together(&world, alice);
        }
    }
}

#[test]
fn an_engine_that_does_not_answer_has_reached_nobody() {
    let (mut world, _) = talking();
    world.command(ask(by_another_way("erin"))).unwrap();
    let said = world.wait(seconds(15));
    assert_eq!(dialled(&said), [world.leg_of("erin-pstn")]);
}

#[test]
fn of_two_rung_together_one_who_is_busy_was_reached_though_the_other_was_refused() {
    for refused_first in [true, false] {
        let both = attempt_at_teams(&["erin", "frank"], 15);
        let next = Attempt { after: After::NotReached, ..attempt(&["erin-pstn"], 15) };
        let (mut world, alice) = talking();
        world.command(ask(vec![both, next])).unwrap();
        let [erin, frank] = ["erin", "frank"].map(|name| world.leg_of(name));
        world.cleared(erin);
        let said = if refused_first {
            world.refused(frank);
            world.leg(erin, ended(Cause::Busy))
        } else {
            world.leg(erin, ended(Cause::Busy));
            world.refused(frank)
        };
        assert_eq!(over(&said), ConsultEnd::Failed(Cause::Busy));
        assert_back_together(&world, alice);
    }
}

#[test]
fn somebody_elses_turn_comes_whatever_the_one_before_said_and_forgets_it() {
    let ways = vec![
        attempt_at_teams(&["erin"], 15),
        Attempt { after: After::NotReached, ..attempt(&["erin-pstn"], 15) },
        attempt_at_teams(&["frank"], 15),
        Attempt { after: After::NotReached, ..attempt(&["frank-pstn"], 15) },
    ];
    let (mut world, _) = talking();
    world.command(ask(ways)).unwrap();
    let erin = world.leg_of("erin");
    world.cleared(erin);
    let said = world.leg(erin, ended(Cause::Declined));
    assert_eq!(asked(&said), [world.leg_of("frank")], "not erin's other telephone");
    let frank = world.leg_of("frank");
    let said = world.refused(frank);
    assert_eq!(dialled(&said), [world.leg_of("frank-pstn")], "that erin declined says nothing of him");
}

// Supervisors.

fn supervise(follows: bool) -> Command {
    Command::Supervise(Supervise {
        id: SUPERVISION,
        supervisor: PersonId::new("carol").unwrap(),
        role: Coaching::Whisper,
        subject: None,
        allowed_roles: vec![Coaching::Monitor, Coaching::Whisper],
        dtmf_control: false,
        follows,
        by: Arrival::Dial(at_teams("carol")),
    })
}

#[test]
fn a_supervisor_at_teams_who_follows_is_cleared_once_and_kept_for_the_next_call() {
    let (mut world, alice) = talking();
    let said = world.command(supervise(true)).unwrap();
    let carol = world.leg_of("carol");
    assert_eq!((asked(&said), dialled(&said)), (vec![carol], vec![]));
    world.cleared(carol);
    world.leg(carol, LegEvent::Answered);
    assert_eq!(hears(&world, alice).mouths(), [CALLER, carol]);
    let said = world.leg(CALLER, ended(Cause::Normal));
    assert!(said.iter().any(|output| matches!(output, Output::Keep(s) if s.leg == Some(carol))));
    world.doors_hang_up();
    assert!(world.is_over());

    // In the next call they are on the line, and nobody is asked.
    let (mut next, alice) = talking();
    let Command::Supervise(wanted) = supervise(true) else { unreachable!("it is one") };
    let here = Command::Supervise(Supervise { by: Arrival::Here(carol), ..wanted });
    let said = next.command(here).unwrap();
    assert_eq!((asked(&said), dialled(&said)), (vec![], vec![]));
    assert_eq!(hears(&next, alice).mouths(), [CALLER, carol]);
}

#[test]
fn a_follower_who_is_being_cleared_when_the_call_ends_is_not_rung_any_more() {
    let (mut world, _) = talking();
    world.command(supervise(true)).unwrap();
    let carol = world.leg_of("carol");
    let said = world.leg(CALLER, ended(Cause::Normal));
    assert!(!said.iter().any(|output| matches!(output, Output::Keep(_))));
    assert!(told(&said, carol, LegAction::HangUp(Cause::Normal)));
    assert_eq!(world.cleared(carol), []);
}

#[test]
fn a_supervisor_who_is_refused_or_never_cleared_leaves_the_call_as_it_was() {
    for refused in [true, false] {
        let (mut world, alice) = talking();
        world.command(supervise(false)).unwrap();
        let carol = world.leg_of("carol");
        let (said, cause) = match refused {
            true => (world.refused(carol), Cause::NotCleared),
            false => (world.wait(RUNG_MAX), Cause::NoAnswer),
        };
        assert!(said.contains(&Output::Event(CallEvent::SupervisionEnded { id: SUPERVISION, cause })));
        assert_back_together(&world, alice);
        assert_eq!(world.call.supervisions(), []);
    }
}

// Transfers.

#[test]
fn a_transfer_to_somebody_who_is_refused_is_rolled_back_and_the_transferor_told() {
    let (mut world, alice) = talking();
    world.leg(alice, LegEvent::Referred(Box::new(at_teams("tina"))));
    let tina = world.leg_of("tina");
    assert_eq!(asked(&world.said), [tina]);
    let said = world.refused(tina);
    assert!(told(&said, alice, LegAction::Refer(Referral::Failed(Cause::NotCleared))));
    assert!(said.contains(&Output::Event(CallEvent::TransferRolledBack { transferor: alice })));
    assert_back_together(&world, alice);
}

#[test]
fn a_caller_left_to_a_target_who_is_then_refused_is_told_so() {
    let (mut world, alice) = talking();
    world.leg(alice, LegEvent::Referred(Box::new(at_teams("tina"))));
    let tina = world.leg_of("tina");
    world.leg(alice, ended(Cause::Normal));
    assert_eq!(hears(&world, CALLER), Hears::Ringback);
    let said = world.refused(tina);
    assert!(told(&said, CALLER, LegAction::HangUp(Cause::NotCleared)));
}

#[test]
fn a_target_cleared_and_answered_has_the_place_and_one_never_cleared_is_given_up() {
    let (mut world, alice) = talking();
    world.command(Command::Transfer(alice, at_teams("tina"))).unwrap();
    let tina = world.leg_of("tina");
    world.cleared(tina);
    let said = world.leg(tina, LegEvent::Answered);
    assert!(told(&said, alice, LegAction::HangUp(Cause::Released)));
    assert_eq!(hears(&world, CALLER), Hears::One(tina));

    let (mut world, alice) = talking();
    world.command(Command::Transfer(alice, at_teams("tina"))).unwrap();
    let tina = world.leg_of("tina");
    let said = world.wait(RINGS_MAX);
    assert!(told(&said, tina, LegAction::HangUp(Cause::NoAnswer)));
    assert_back_together(&world, alice);
    assert_eq!(world.cleared(tina), []);
}

// Calls we place.

#[test]
fn an_agent_at_teams_is_cleared_before_the_customer_is_thought_of() {
    let mut world = World::outbound(setup(vec![attempt_at_teams(&["erin"], 20)]), attempt(&["customer"], 30));
    let erin = world.leg_of("erin");
    let said = world.refused(erin);
    assert_eq!(dialled(&said), []);
    assert!(matches!(said.last(), Some(Output::Over(Cause::NotCleared, None))), "{said:?}");

    let mut world = World::outbound(setup(vec![attempt_at_teams(&["erin"], 20)]), attempt(&["customer"], 30));
    let erin = world.leg_of("erin");
    world.cleared(erin);
    let said = world.leg(erin, LegEvent::Answered);
    assert_eq!(dialled(&said), [world.leg_of("customer")]);
}

#[test]
fn a_leg_that_is_being_cleared_can_be_hung_up_like_one_that_rings() {
    let mut world = World::inbound(setup(vec![attempt_at_teams(&["erin"], 20), attempt(&["bob"], 20)]));
    let erin = world.leg_of("erin");
    let said = world.command(Command::HangUpLeg(erin)).unwrap();
    assert!(told(&said, erin, LegAction::HangUp(Cause::Normal)));
    assert_eq!(dialled(&said), [world.leg_of("bob")]);
    assert_eq!(world.legs_that_are(Line::HungUp), [erin]);
    assert_eq!(world.cleared(erin), []);
}
