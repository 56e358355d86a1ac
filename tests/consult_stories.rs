//! An agent asks an expert, told as stories in virtual time: every way it can end, and who hears whom meanwhile.
//! `world` checks the promises that hold always after every step.
//!
//! # Every ending, and the story that tells it
//!
//! Stories of transfers are in `call_stories`, those of people at Teams who are cleared first in `cleared_stories`. A story that is
//! renamed or lost is missed at once: [`every_ending_has_its_story`].
//!
//! | ending | consult | transfer |
//! |---|---|---|
//! | complete | `a_completed_consult_leaves_the_customer_with_the_expert_and_nobody_in_between` | `a_transfer_over_the_api_releases_the_transferor_at_once_and_takes_the_held_caller_back`, `a_transferred_caller_hears_ringing_then_the_target_and_the_transferor_hangs_up_itself` |
//! | cancel | `a_cancelled_consult_lets_the_expert_go_and_brings_the_customer_back` | `a_transfer_called_off_while_the_target_rings_leaves_everybody_where_they_were` |
//! | expert or target hangs up | `an_expert_who_hangs_up_leaves_the_two_as_they_were_whomever_the_agent_spoke_to` | `a_target_who_has_the_place_and_hangs_up_ends_the_call` |
//! | customer hangs up | `a_customer_who_hangs_up_ends_the_call_for_all`, `a_customer_who_hangs_up_while_the_expert_rings_ends_the_call_for_all` | `a_caller_who_hangs_up_while_the_target_rings_stops_it` |
//! | agent hangs up | `an_agent_who_hangs_up_while_the_expert_rings_ends_the_call`, `an_agent_who_hangs_up_while_the_expert_talks_leaves_the_customer_to_the_expert` | `a_transferor_who_hangs_up_early_leaves_the_caller_to_the_target_and_not_alone` |
//! | no answer | `an_expert_who_does_not_come_leaves_the_two_as_they_were_and_says_why` | `a_target_who_does_not_answer_is_given_up_and_the_transferor_told` |
//! | decline, busy, offline | `an_expert_who_does_not_come_leaves_the_two_as_they_were_and_says_why`, `every_way_that_fails_gives_way_to_the_next_and_the_last_to_the_customer` | `a_target_who_does_not_come_leaves_everybody_where_they_were_and_says_why`, `a_transferor_gone_early_and_a_target_who_declines_end_the_call_with_the_true_reason` |
//! | not cleared | `a_refused_expert_leaves_the_customer_with_the_agent_at_once` | `a_transfer_to_somebody_who_is_refused_is_rolled_back_and_the_transferor_told` |
//! | cleared too late | `an_engine_that_does_not_answer_is_given_up_with_the_ringing_and_what_it_says_later_is_nothing` | `a_target_cleared_and_answered_has_the_place_and_one_never_cleared_is_given_up` |
//! | the line is lost | `an_expert_whose_line_is_lost_leaves_the_two_as_they_were` | `a_transferor_who_is_lost_takes_the_ringing_with_them` |

#[path = "model/world.rs"]
mod world;

use std::time::Duration;

use sbc_config::PersonId;
use sidetone::call::hearing::Hears;
use sidetone::call::{
    Arrival, AskExpert, Attempt, CallEvent, Cause, Coaching, Command, CommandError, ConsultEnd, ConsultId,
    LegAction, LegEnd, LegEvent, LegId, Output, Role, SpeakTo, Supervise, SupervisionId, Takeover,
};

use world::{CALLER, World, attempt, setup};

const CONSULT: ConsultId = ConsultId(7);

/// Somebody calls, and alice answers.
fn talking() -> (World, LegId) {
    let mut world = World::inbound(setup(vec![attempt(&["alice"], 20)]));
    let alice = world.leg_of("alice");
    world.leg(alice, LegEvent::Answered);
    world.leg(CALLER, LegEvent::Answered);
    (world, alice)
}

fn ask(ways: &[&str]) -> Command {
    let ways: Vec<Attempt> = ways.iter().map(|way| attempt(&[way], 15)).collect();
    Command::Consult(AskExpert { id: CONSULT, by: None, ways })
}

/// Alice asks, and the expert answers.
fn consulting() -> (World, LegId, LegId) {
    let (mut world, alice) = talking();
    world.command(ask(&["erin"])).unwrap();
    let erin = world.leg_of("erin");
    world.leg(erin, LegEvent::Ringing);
    world.leg(erin, LegEvent::Answered);
    (world, alice, erin)
}

/// A supervisor on the line.
fn supervised(world: &mut World, role: Coaching) -> LegId {
    world
        .command(Command::Supervise(Supervise {
            id: SupervisionId(1),
            supervisor: PersonId::new("carol").unwrap(),
            role,
            subject: None,
            allowed_roles: vec![Coaching::Monitor, Coaching::Whisper, Coaching::Barge, Coaching::TakenOver],
            dtmf_control: true,
            follows: false,
            by: Arrival::Dial(world::target("carol")),
        }))
        .unwrap();
    let carol = world.leg_of("carol");
    world.leg(carol, LegEvent::Answered);
    carol
}

fn ended(cause: Cause) -> LegEvent {
    LegEvent::Ended(LegEnd::of(cause))
}

fn hears(world: &World, ear: LegId) -> Hears {
    world.call.table().1.hears(ear).clone()
}

fn mouths(world: &World, ear: LegId) -> Vec<LegId> {
    let mut mouths = hears(world, ear).mouths().to_vec();
    mouths.sort();
    mouths
}

fn sorted(mut legs: Vec<LegId>) -> Vec<LegId> {
    legs.sort();
    legs
}

fn told(said: &[Output], leg: LegId, action: LegAction) -> bool {
    said.contains(&Output::Leg(leg, action))
}

fn over(said: &[Output]) -> ConsultEnd {
    let end = |output: &Output| match output {
        Output::Event(CallEvent::ConsultOver { id: CONSULT, end }) => Some(*end),
        _ => None,
    };
    said.iter().find_map(end).unwrap_or_else(|| panic!("the consult is not over in {said:#?}"))
}

/// Customer and agent are as they were before.
fn assert_back_together(world: &World, said: &[Output], alice: LegId) {
    assert!(told(said, CALLER, LegAction::Resume), "{said:#?}");
    assert_eq!((mouths(world, CALLER), mouths(world, alice)), (vec![alice], vec![CALLER]));
    assert!(world.call.consult().is_none());
    assert!(world.call.is_talking());
}

// Asking.

#[test]
fn while_the_expert_rings_the_customer_has_music_and_the_agent_hears_it_ring() {
    let (mut world, alice) = talking();
    let said = world.command(ask(&["erin"])).unwrap();
    let erin = world.leg_of("erin");
    assert!(told(&said, CALLER, LegAction::Hold));
    assert!(said.contains(&Output::Event(CallEvent::ConsultRequested { id: CONSULT, by: alice })));
    let dialing = CallEvent::ConsultDialing { id: CONSULT, leg: erin, fell_back: false };
    assert!(said.contains(&Output::Event(dialing)));
    assert_eq!(hears(&world, CALLER), Hears::Music);
    assert_eq!(hears(&world, alice), Hears::Ringback);

    let said = world.leg(erin, LegEvent::Ringing);
    assert_eq!(said, [Output::Event(CallEvent::Ringing { leg: erin })]);
    world.leg(erin, LegEvent::EarlyMedia);
    assert_eq!(mouths(&world, alice), [erin], "an announcement is for the one who waits for it");
    assert_eq!(hears(&world, CALLER), Hears::Music);
}

#[test]
fn what_agent_and_expert_say_in_private_the_customer_does_not_hear() {
    let (mut world, alice, erin) = consulting();
    assert_eq!((mouths(&world, alice), mouths(&world, erin)), (vec![erin], vec![alice]));
    assert_eq!(hears(&world, CALLER), Hears::Music);

    // The customer's telephone says it holds and resumes: that ends no hold of ours.
    world.leg(CALLER, LegEvent::Held);
    world.leg(CALLER, LegEvent::Resumed);
    assert_eq!(hears(&world, CALLER), Hears::Music);
}

#[test]
fn a_customer_whose_telephone_holds_us_does_not_walk_into_a_private_talk() {
    let (mut world, alice) = talking();
    world.leg(CALLER, LegEvent::Held);
    world.command(ask(&["erin"])).unwrap();
    let erin = world.leg_of("erin");
    world.leg(erin, LegEvent::Answered);
    world.leg(CALLER, LegEvent::Resumed);
    assert_eq!((mouths(&world, alice), mouths(&world, erin)), (vec![erin], vec![alice]));
    assert_eq!(hears(&world, CALLER), Hears::Music);
}

#[test]
fn speaking_to_customer_expert_both_and_all_is_one_choice() {
    let (mut world, alice, erin) = consulting();
    let mut choose =
        |to| world.command(Command::SpeakTo(CONSULT, to)).map(|said| (said, world.call.table().1.clone()));

    let (said, table) = choose(SpeakTo::Customer).unwrap();
    assert!(told(&said, CALLER, LegAction::Resume) && told(&said, erin, LegAction::Hold));
    let tables = said.iter().filter(|output| matches!(output, Output::Hearing(..))).count();
    assert_eq!(tables, 1, "one change, one table: nobody hears a moment of anything else");
    assert_eq!((table.hears(alice), table.hears(CALLER)), (&Hears::One(CALLER), &Hears::One(alice)));
    assert_eq!(table.hears(erin), &Hears::Music);

    let (said, table) = choose(SpeakTo::Both).unwrap();
    assert!(told(&said, erin, LegAction::Resume));
    assert_eq!(sorted(table.hears(alice).mouths().to_vec()), sorted(vec![CALLER, erin]));
    assert_eq!((table.hears(CALLER), table.hears(erin)), (&Hears::One(alice), &Hears::One(alice)));

    let (_, table) = choose(SpeakTo::Conference).unwrap();
    assert_eq!(sorted(table.hears(CALLER).mouths().to_vec()), sorted(vec![alice, erin]));
    assert_eq!(sorted(table.hears(erin).mouths().to_vec()), sorted(vec![CALLER, alice]));

    let (said, table) = choose(SpeakTo::Expert).unwrap();
    assert!(told(&said, CALLER, LegAction::Hold));
    assert_eq!((table.hears(alice), table.hears(erin)), (&Hears::One(erin), &Hears::One(alice)));
    assert_eq!(table.hears(CALLER), &Hears::Music);

    assert_eq!(choose(SpeakTo::Expert).unwrap().0, [], "the same again changes nothing");
}

#[test]
fn the_conversation_cannot_be_taken_out_of_the_consults_hands_by_hold_and_resume() {
    let (mut world, _, erin) = consulting();
    for leg in [CALLER, erin] {
        assert_eq!(world.command(Command::Resume(leg)), Err(CommandError::Consulting));
        assert_eq!(world.command(Command::Hold(leg)), Err(CommandError::Consulting));
    }
}

#[test]
fn who_may_not_ask_is_told_why() {
    let (mut world, alice) = talking();
    let by =
        |leg| Command::Consult(AskExpert { id: CONSULT, by: Some(leg), ways: vec![attempt(&["erin"], 15)] });
    assert_eq!(world.command(by(CALLER)), Err(CommandError::MayNotAsk));
    assert_eq!(world.command(by(LegId(999))), Err(CommandError::NoSuchLeg));
    let carol = supervised(&mut world, Coaching::Barge);
    assert_eq!(world.command(by(carol)), Err(CommandError::MayNotAsk));
    world.command(by(alice)).unwrap();
    assert_eq!(world.command(by(alice)), Err(CommandError::ConsultRunning));
    assert_eq!(world.command(Command::SpeakTo(CONSULT, SpeakTo::Both)), Err(CommandError::ExpertNotThere));
    assert_eq!(world.command(Command::CompleteConsult(CONSULT)), Err(CommandError::ExpertNotThere));
    assert_eq!(world.command(Command::CancelConsult(ConsultId(1))), Err(CommandError::NoSuchConsult));

    let mut ringing = World::inbound(setup(vec![attempt(&["alice"], 20)]));
    assert_eq!(ringing.command(ask(&["erin"])), Err(CommandError::NotTalking));
}

// Endings without an expert.

#[test]
fn every_way_that_fails_gives_way_to_the_next_and_the_last_to_the_customer() {
    for (cause, verdict) in [
        (Cause::Busy, Cause::Busy),
        (Cause::Declined, Cause::Declined),
        (Cause::Unreachable, Cause::NoAnswer),
        (Cause::MediaTimeout, Cause::NoAnswer),
    ] {
        let (mut world, alice) = talking();
        world.command(ask(&["erin-voip", "erin-pstn"])).unwrap();
        let voip = world.leg_of("erin-voip");
        let said = world.leg(voip, ended(cause));
        let pstn = world.leg_of("erin-pstn");
        let failed = CallEvent::ConsultWayFailed { id: CONSULT, leg: voip, end: LegEnd::of(cause) };
        let fell_back = CallEvent::ConsultDialing { id: CONSULT, leg: pstn, fell_back: true };
        assert!(said.contains(&Output::Event(failed)) && said.contains(&Output::Event(fell_back)));
        assert_eq!(hears(&world, CALLER), Hears::Music, "nobody is back before the last way has failed");

        let said = world.wait(Duration::from_secs(15));
        assert!(told(&said, pstn, LegAction::HangUp(Cause::NoAnswer)));
        assert_eq!(over(&said), ConsultEnd::Failed(verdict), "the reason that says most");
        assert_back_together(&world, &said, alice);
        // Too late: the expert's telephone was told to stop, and the answer crossed it.
        assert_eq!(world.leg(pstn, LegEvent::Answered), []);
    }
}

#[test]
fn an_expert_who_does_not_come_leaves_the_two_as_they_were_and_says_why() {
    for cause in [Cause::NoAnswer, Cause::Declined, Cause::Busy, Cause::Unreachable] {
        let (mut world, alice) = talking();
        world.command(ask(&["erin"])).unwrap();
        let erin = world.leg_of("erin");
        let said = if cause == Cause::NoAnswer {
            world.leg(erin, LegEvent::Ringing);
            world.wait(Duration::from_secs(15))
        } else {
            world.leg(erin, ended(cause))
        };
        let failed = CallEvent::ConsultWayFailed { id: CONSULT, leg: erin, end: LegEnd::of(cause) };
        assert!(said.contains(&Output::Event(failed)), "{said:#?}");
        assert_eq!(over(&said), ConsultEnd::Failed(cause));
        assert_back_together(&world, &said, alice);
        assert_eq!(world.call.poll_timeout(), None, "and nothing is waited for");
    }
}

#[test]
fn an_expert_whose_line_is_lost_leaves_the_two_as_they_were() {
    for (event, cause) in [
        (LegEvent::MediaLost, Cause::MediaTimeout),
        (ended(Cause::SignallingTimeout), Cause::SignallingTimeout),
    ] {
        let (mut world, alice, erin) = consulting();
        let said = world.leg(erin, event);
        assert_eq!(over(&said), ConsultEnd::Ended(cause));
        assert_back_together(&world, &said, alice);
    }
}

#[test]
fn an_expert_who_answers_the_second_way_is_as_good_as_any() {
    let (mut world, alice) = talking();
    world.command(ask(&["erin-voip", "erin-pstn"])).unwrap();
    world.wait(Duration::from_secs(15));
    let pstn = world.leg_of("erin-pstn");
    let said = world.leg(pstn, LegEvent::Answered);
    assert!(said.contains(&Output::Event(CallEvent::ConsultAnswered { id: CONSULT, leg: pstn })));
    assert_eq!(mouths(&world, alice), [pstn]);
    assert_eq!(world.wait(Duration::from_secs(60)), [], "nothing is given up any more");
}

#[test]
fn a_consult_with_no_way_at_all_is_over_at_once() {
    let (mut world, alice) = talking();
    let said = world.command(ask(&[])).unwrap();
    assert_eq!(over(&said), ConsultEnd::Failed(Cause::Unreachable));
    assert_back_together(&world, &said, alice);
}

#[test]
fn a_cancelled_consult_lets_the_expert_go_and_brings_the_customer_back() {
    for answered in [false, true] {
        let (mut world, alice) = talking();
        world.command(ask(&["erin"])).unwrap();
        let erin = world.leg_of("erin");
        if answered {
            world.leg(erin, LegEvent::Answered);
        }
        let said = world.command(Command::CancelConsult(CONSULT)).unwrap();
        assert!(told(&said, erin, LegAction::HangUp(Cause::Cancelled)));
        let wanted = if answered { ConsultEnd::Ended } else { ConsultEnd::Failed };
        assert_eq!(over(&said), wanted(Cause::Cancelled));
        assert_back_together(&world, &said, alice);
    }
}

#[test]
fn an_expert_who_hangs_up_leaves_the_two_as_they_were_whomever_the_agent_spoke_to() {
    for to in [SpeakTo::Expert, SpeakTo::Customer, SpeakTo::Both, SpeakTo::Conference] {
        let (mut world, alice, erin) = consulting();
        world.command(Command::SpeakTo(CONSULT, to)).unwrap();
        let said = world.leg(erin, ended(Cause::Normal));
        assert_eq!(over(&said), ConsultEnd::Ended(Cause::Normal));
        assert_eq!(told(&said, CALLER, LegAction::Resume), to == SpeakTo::Expert);
        assert_eq!((mouths(&world, CALLER), mouths(&world, alice)), (vec![alice], vec![CALLER]), "{to:?}");
    }
}

#[test]
fn a_customer_who_was_on_hold_before_is_on_hold_after() {
    let (mut world, alice) = talking();
    world.command(Command::Hold(CALLER)).unwrap();
    let said = world.command(ask(&["erin"])).unwrap();
    assert!(!told(&said, CALLER, LegAction::Hold), "told once is enough");
    let erin = world.leg_of("erin");
    let said = world.leg(erin, ended(Cause::Busy));
    assert!(!told(&said, CALLER, LegAction::Resume), "everybody is back where they were");
    assert_eq!((hears(&world, CALLER), mouths(&world, alice)), (Hears::Music, vec![]));
    world.command(Command::Resume(CALLER)).unwrap();
}

// Somebody else ends it.

#[test]
fn a_customer_who_hangs_up_ends_the_call_for_all() {
    let (mut world, alice, erin) = consulting();
    let said = world.leg(CALLER, ended(Cause::Normal));
    assert_eq!(over(&said), ConsultEnd::Ended(Cause::Normal));
    for leg in [alice, erin] {
        assert!(told(&said, leg, LegAction::HangUp(Cause::Normal)));
    }
    world.doors_hang_up();
    assert!(world.is_over());
}

#[test]
fn a_customer_who_hangs_up_while_the_expert_rings_ends_the_call_for_all() {
    let (mut world, alice) = talking();
    world.command(ask(&["erin", "frank"])).unwrap();
    let erin = world.leg_of("erin");
    world.leg(erin, LegEvent::Ringing);
    let said = world.leg(CALLER, ended(Cause::Normal));
    assert_eq!(over(&said), ConsultEnd::Failed(Cause::Normal));
    for leg in [alice, erin] {
        assert!(told(&said, leg, LegAction::HangUp(Cause::Normal)));
    }
    assert!(!said.iter().any(|output| matches!(output, Output::Leg(_, LegAction::Dial(_)))), "no next way");
    world.doors_hang_up();
    assert!(world.is_over());
}

#[test]
fn an_agent_who_hangs_up_while_the_expert_rings_ends_the_call() {
    let (mut world, alice) = talking();
    world.command(ask(&["erin"])).unwrap();
    let erin = world.leg_of("erin");
    let said = world.leg(alice, ended(Cause::Normal));
    assert_eq!(over(&said), ConsultEnd::Failed(Cause::Released));
    assert!(told(&said, erin, LegAction::HangUp(Cause::Released)));
    assert!(told(&said, CALLER, LegAction::HangUp(Cause::Normal)));
}

#[test]
fn an_agent_who_hangs_up_while_the_expert_talks_leaves_the_customer_to_the_expert() {
    for to in [SpeakTo::Expert, SpeakTo::Customer, SpeakTo::Both, SpeakTo::Conference] {
        let (mut world, alice, erin) = consulting();
        world.command(Command::SpeakTo(CONSULT, to)).unwrap();
        let said = world.leg(alice, ended(Cause::Normal));
        assert_eq!(over(&said), ConsultEnd::Completed, "{to:?}");
        assert_eq!((mouths(&world, CALLER), mouths(&world, erin)), (vec![erin], vec![CALLER]));
        assert!(world.call.is_talking());
    }
}

// Handing over.

#[test]
fn a_completed_consult_leaves_the_customer_with_the_expert_and_nobody_in_between() {
    let (mut world, alice, erin) = consulting();
    let said = world.command(Command::CompleteConsult(CONSULT)).unwrap();
    assert_eq!(over(&said), ConsultEnd::Completed);
    let place = |what: &dyn Fn(&Output) -> bool| said.iter().position(what).unwrap();
    let joined = place(&|output| matches!(output, Output::Hearing(_, table) if table.connects(CALLER, erin)));
    let released = place(&|output| *output == Output::Leg(alice, LegAction::HangUp(Cause::Released)));
    assert!(joined < released, "the customer hears the expert before the agent is gone");
    assert_eq!((mouths(&world, CALLER), mouths(&world, erin)), (vec![erin], vec![CALLER]));
    let expert = world.seats().into_iter().find(|seat| seat.leg == erin).unwrap();
    assert_eq!(expert.role, Role::Agent, "who has the call can be supervised, hold and ask in turn");

    world.command(ask(&["frank"])).unwrap();
    assert_eq!(world.call.consult().unwrap().by(), erin);
}

// Supervisors, before and during.

#[test]
fn a_supervisor_hears_the_private_talk_and_whispers_to_the_agent_alone() {
    for (role, joins_late) in [
        (Coaching::Monitor, false),
        (Coaching::Monitor, true),
        (Coaching::Whisper, false),
        (Coaching::Whisper, true),
    ] {
        let (mut world, alice) = talking();
        let early = (!joins_late).then(|| supervised(&mut world, role));
        world.command(ask(&["erin"])).unwrap();
        let erin = world.leg_of("erin");
        world.leg(erin, LegEvent::Answered);
        let carol = early.unwrap_or_else(|| supervised(&mut world, role));
        let whispered = role == Coaching::Whisper;
        assert_eq!(mouths(&world, carol), sorted(vec![alice, erin]));
        assert_eq!(mouths(&world, erin), [alice], "{role:?}, late: {joins_late}");
        assert_eq!(mouths(&world, alice).contains(&carol), whispered);
        assert_eq!(hears(&world, CALLER), Hears::Music);

        world.command(Command::SpeakTo(CONSULT, SpeakTo::Conference)).unwrap();
        assert_eq!(mouths(&world, CALLER), sorted(vec![alice, erin]));
        assert_eq!(mouths(&world, erin), sorted(vec![alice, CALLER]));
    }
}

#[test]
fn after_the_hand_over_the_supervisor_is_about_the_expert() {
    let (mut world, _, erin) = consulting();
    let carol = supervised(&mut world, Coaching::Whisper);
    world.command(Command::CompleteConsult(CONSULT)).unwrap();
    assert_eq!(mouths(&world, erin), sorted(vec![CALLER, carol]));
    assert_eq!(mouths(&world, CALLER), [erin]);
}

#[test]
fn a_supervisor_who_takes_over_has_customer_and_expert() {
    let (mut world, alice, erin) = consulting();
    let carol = supervised(&mut world, Coaching::Barge);
    let said = world.command(Command::SwitchRole(SupervisionId(1), Coaching::TakenOver)).unwrap();
    assert!(told(&said, alice, LegAction::HangUp(Cause::Released)));
    assert_eq!((mouths(&world, CALLER), mouths(&world, carol)), (vec![carol], vec![CALLER]));
    assert_eq!(hears(&world, erin), Hears::Music);
    world.command(Command::SpeakTo(CONSULT, SpeakTo::Expert)).unwrap();
    assert_eq!((mouths(&world, carol), mouths(&world, erin)), (vec![erin], vec![carol]));
    assert_eq!(hears(&world, CALLER), Hears::Music);
    world.command(Command::CompleteConsult(CONSULT)).unwrap();
    assert_eq!((mouths(&world, CALLER), mouths(&world, erin)), (vec![erin], vec![CALLER]));
}

#[test]
fn a_supervisor_who_takes_over_while_the_expert_rings_begins_anew() {
    let mut world = World::inbound(sidetone::call::Setup {
        takeover: Takeover::KeepsAgent,
        ..setup(vec![attempt(&["alice"], 20)])
    });
    let alice = world.leg_of("alice");
    world.leg(alice, LegEvent::Answered);
    world.leg(CALLER, LegEvent::Answered);
    let carol = supervised(&mut world, Coaching::Barge);
    world.command(ask(&["erin"])).unwrap();
    let erin = world.leg_of("erin");
    let said = world.command(Command::SwitchRole(SupervisionId(1), Coaching::TakenOver)).unwrap();
    assert_eq!(over(&said), ConsultEnd::Failed(Cause::Released));
    assert!(told(&said, erin, LegAction::HangUp(Cause::Released)));
    assert_eq!(mouths(&world, CALLER), sorted(vec![alice, carol]));
}

// The table.

#[test]
fn every_ending_has_its_story() {
    let table = include_str!("consult_stories.rs");
    let stories = [
        table,
        include_str!("call_stories/ending.rs"),
        include_str!("call_stories/hold.rs"),
        include_str!("call_stories/placed.rs"),
        include_str!("call_stories/ringing.rs"),
        include_str!("call_stories/supervision.rs"),
        include_str!("call_stories/takeover.rs"),
        include_str!("call_stories/transfer.rs"),
        include_str!("cleared_stories.rs"),
    ]
    .concat();
    let rows = table.lines().filter_map(|line| line.strip_prefix("//! | ")).skip(1);
    let mut told = 0;
    for row in rows {
        for cell in row.trim_end_matches(" |").split(" | ").skip(1) {
            let mut names = cell.split('`').skip(1).step_by(2).peekable();
            assert!(names.peek().is_some(), "nothing tells of {row}");
            for name in names {
                assert!(stories.contains(&format!("\nfn {name}() {{")), "no story is called {name}");
                told += 1;
            }
        }
    }
    assert!(told >= 20, "the table is read: {told}");
}
