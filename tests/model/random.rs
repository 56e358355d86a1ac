//! Random stories through the real `Call`: whatever lawful doors, impatient people and the API do,
//! in any order, the promises that `world` checks after every step hold, and the call ends.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use sbc_config::PersonId;
use sidetone::call::{
    After, Arrival, AskExpert, Attempt, Callee, Cause, Coaching, Command, ConsultId, ENDING_MAX, LegAction,
    LegEnd, LegEvent, LegId, Output, Role, Setup, SpeakTo, Supervise, SupervisionId, Takeover,
};

use crate::world::teams::{TOO_LONG, at_teams};
use crate::world::{Line, World, setup, target};

/// One thing that happens. Numbers choose among the legs, or supervisions, that there are.
#[derive(Debug, Clone)]
enum Step {
    /// A door tells something of a leg.
    Door(usize, Told),
    /// A door tells what it should keep to itself: of a leg told to hang up, gone, or never known.
    Stray(usize, Told),
    /// The prerequisite engine answers about somebody at Teams, perhaps for nobody any more.
    Engine(usize, Ruling),
    /// The doors carry out every hang-up they were told.
    DoorsHangUp,
    /// Somebody asks for something.
    Command(Wish),
    /// The expected supervisor dials in.
    DialsIn(usize),
    /// Somebody calls in to take a leg's place.
    Replaces(usize),
    /// Time passes.
    Wait(u64),
}

#[derive(Debug, Clone, Copy)]
enum Told {
    Ringing,
    EarlyMedia,
    Answered,
    Held,
    Resumed,
    Digit(char),
    Referred(Reach),
    MediaLost,
    Ended(Cause),
}

/// Where somebody is to be rung.
#[derive(Debug, Clone, Copy)]
enum Reach {
    Telephone,
    Teams,
}

impl Reach {
    fn of(self, name: &str) -> Callee {
        match self {
            Reach::Telephone => target(name),
            Reach::Teams => at_teams(name),
        }
    }
}

/// What the prerequisite engine says of somebody.
#[derive(Debug, Clone, Copy)]
enum Ruling {
    /// They may be rung.
    Clear,
    /// They may have been, some time ago.
    ClearBefore,
    Refused,
}

/// Some who are rung together.
#[derive(Debug, Clone)]
struct Try {
    whom: Vec<Reach>,
    seconds: u64,
    only_if_not_reached: bool,
}

impl Try {
    fn attempt(&self, names: &str) -> Attempt {
        let callees = self.whom.iter().enumerate().map(|(n, reach)| reach.of(&format!("{names}{n}")));
        let after = if self.only_if_not_reached { After::NotReached } else { After::Anything };
        Attempt { after, ..Attempt::new(callees.collect(), Duration::from_secs(self.seconds)) }
    }
}

#[derive(Debug, Clone)]
enum Wish {
    Hold(usize),
    Resume(usize),
    Mute(usize),
    Unmute(usize),
    SendDigits(usize),
    HangUpLeg(usize),
    Transfer(usize, Reach),
    HangUp,
    Supervise(Supervision),
    SwitchRole(usize, Coaching),
    EndSupervision(usize),
    /// Ask an expert, by these ways.
    Consult(Option<usize>, Vec<Try>),
    SpeakTo(SpeakTo),
    CompleteConsult,
    CancelConsult,
}

#[derive(Debug, Clone)]
struct Supervision {
    who: u8,
    role: Coaching,
    subject: Option<usize>,
    allowed_roles: Vec<Coaching>,
    dtmf_control: bool,
    follows: bool,
    arrival: u8,
    reach: Reach,
}

#[derive(Debug, Clone)]
struct Opening {
    inbound: bool,
    attempts: Vec<Try>,
    customers: Vec<Reach>,
    when_exhausted: Option<Cause>,
    takeover: Takeover,
}

fn opening() -> impl Strategy<Value = Opening> {
    let attempts = prop::collection::vec(attempt(prop_oneof![8 => 0..4usize, 1 => 4..10usize].boxed()), 0..5);
    let exhausted = prop::option::weighted(0.3, cause());
    let takeover = prop_oneof![Just(Takeover::ReleasesAgent), Just(Takeover::KeepsAgent)];
    let customers = prop::collection::vec(reach(), 0..4);
    (any::<bool>(), attempts, customers, exhausted, takeover).prop_map(
        |(inbound, attempts, customers, when_exhausted, takeover)| Opening {
            inbound,
            attempts,
            customers,
            when_exhausted,
            takeover,
        },
    )
}

/// Telephones come first, so that a story shrinks to one without Teams if it can.
fn reach() -> impl Strategy<Value = Reach> {
    prop_oneof![2 => Just(Reach::Telephone), 1 => Just(Reach::Teams)]
}

fn ruling() -> impl Strategy<Value = Ruling> {
    prop_oneof![4 => Just(Ruling::Clear), 1 => Just(Ruling::ClearBefore), 1 => Just(Ruling::Refused)]
}

fn attempt(how_many: BoxedStrategy<usize>) -> impl Strategy<Value = Try> {
    let whom = how_many.prop_flat_map(|n| prop::collection::vec(reach(), n));
    (whom, 5..30u64, any::<bool>()).prop_map(|(whom, seconds, only_if_not_reached)| Try {
        whom,
        seconds,
        only_if_not_reached,
    })
}

fn cause() -> impl Strategy<Value = Cause> {
    prop::sample::select(vec![
        Cause::Normal,
        Cause::Busy,
        Cause::NoAnswer,
        Cause::Declined,
        Cause::Unreachable,
    ])
}

fn coaching() -> impl Strategy<Value = Coaching> {
    prop::sample::select(vec![Coaching::Monitor, Coaching::Whisper, Coaching::Barge, Coaching::TakenOver])
}

fn told() -> impl Strategy<Value = Told> {
    prop_oneof![
        2 => Just(Told::Ringing),
        2 => Just(Told::EarlyMedia),
        8 => Just(Told::Answered),
        1 => Just(Told::Held),
        1 => Just(Told::Resumed),
        3 => prop::sample::select(vec!['4', '5', '6', '1', '#']).prop_map(Told::Digit),
        3 => reach().prop_map(Told::Referred),
        1 => Just(Told::MediaLost),
        2 => cause().prop_map(Told::Ended),
    ]
}

fn supervision() -> impl Strategy<Value = Supervision> {
    let roles = prop::collection::vec(coaching(), 0..4);
    let who = (0..4u8, reach());
    (who, coaching(), prop::option::of(any::<usize>()), roles, any::<bool>(), any::<bool>(), 0..3u8).prop_map(
        |((who, reach), role, subject, allowed_roles, dtmf_control, follows, arrival)| Supervision {
            who,
            role,
            subject,
            allowed_roles,
            dtmf_control,
            follows,
            arrival,
            reach,
        },
    )
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        2 => any::<usize>().prop_map(Wish::Hold),
        2 => any::<usize>().prop_map(Wish::Resume),
        1 => any::<usize>().prop_map(Wish::Mute),
        1 => any::<usize>().prop_map(Wish::Unmute),
        1 => any::<usize>().prop_map(Wish::SendDigits),
        1 => any::<usize>().prop_map(Wish::HangUpLeg),
        1 => Just(Wish::HangUp),
        2 => (any::<usize>(), reach()).prop_map(|(leg, reach)| Wish::Transfer(leg, reach)),
        8 => supervision().prop_map(Wish::Supervise),
        8 => (any::<usize>(), coaching()).prop_map(|(which, role)| Wish::SwitchRole(which, role)),
        2 => any::<usize>().prop_map(Wish::EndSupervision),
        8 => consult(),
    ]
}

fn consult() -> impl Strategy<Value = Wish> {
    let whom = vec![SpeakTo::Expert, SpeakTo::Customer, SpeakTo::Both, SpeakTo::Conference];
    prop_oneof![
        3 => (prop::option::weighted(0.2, any::<usize>()), prop::collection::vec(attempt((1..3usize).boxed()), 0..4))
            .prop_map(|(by, ways)| Wish::Consult(by, ways)),
        4 => prop::sample::select(whom).prop_map(Wish::SpeakTo),
        1 => Just(Wish::CompleteConsult),
        1 => Just(Wish::CancelConsult),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (any::<usize>(), told()).prop_map(|(leg, told)| Step::Door(leg, told)),
        1 => (any::<usize>(), told()).prop_map(|(leg, told)| Step::Stray(leg, told)),
        4 => (any::<usize>(), ruling()).prop_map(|(leg, ruling)| Step::Engine(leg, ruling)),
        1 => Just(Step::DoorsHangUp),
        8 => wish().prop_map(Step::Command),
        3 => any::<usize>().prop_map(Step::DialsIn),
        1 => any::<usize>().prop_map(Step::Replaces),
        2 => (0..20_000u64).prop_map(Step::Wait),
    ]
}

/// The story as it goes on.
struct Story {
    world: World,
    supervisions: u64,
    consults: u64,
    dial_ins: u64,
}

impl Story {
    fn begin(opening: &Opening) -> Story {
        let tries = opening.attempts.iter().enumerate();
        let attempts = tries.map(|(n, wanted)| wanted.attempt(&format!("agent{n}-"))).collect();
        let setup =
            Setup { takeover: opening.takeover, when_exhausted: opening.when_exhausted, ..setup(attempts) };
        let world = if opening.inbound {
            World::inbound(setup)
        } else {
            let whom = opening.customers.clone();
            let customers = Try { whom, seconds: 30, only_if_not_reached: false };
            World::outbound(setup, customers.attempt("customer"))
        };
        Story { world, supervisions: 0, consults: 0, dial_ins: 0 }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Door(which, told) => self.door(which, told),
            Step::Stray(which, told) => self.stray(which, told),
            Step::Engine(which, ruling) => self.engine(which, ruling),
            Step::DoorsHangUp => self.world.doors_hang_up(),
            Step::Command(wish) => self.command(wish),
            Step::DialsIn(which) => self.dials_in(which),
            Step::Replaces(which) => self.replaces(which),
            Step::Wait(ms) => drop(self.world.wait(Duration::from_millis(ms))),
        }
    }

    /// A lawful door: it reports of legs as they stand with it. Repeating itself is lawful.
    fn door(&mut self, which: usize, told: Told) {
        let live = |line: &Line| matches!(line, Line::Dialled | Line::CallingIn | Line::Answering | Line::Up);
        let legs: Vec<(LegId, Line)> = self
            .world
            .legs
            .iter()
            .map(|(leg, door)| (*leg, door.line))
            .filter(|(_, line)| live(line))
            .collect();
        let Some((leg, line)) = choose(&legs, which) else { return };
        let lawful = match told {
            Told::Ringing | Told::EarlyMedia => matches!(line, Line::Dialled | Line::Up),
            Told::Answered => line != Line::CallingIn,
            Told::Held | Told::Resumed | Told::Digit(_) | Told::Referred(_) => line == Line::Up,
            Told::MediaLost | Told::Ended(_) => true,
        };
        if !lawful {
            return;
        }
        let supervisor =
            self.world.seats().iter().any(|s| s.leg == leg && matches!(s.role, Role::Supervisor { .. }));
        let said = self.world.leg(leg, event(told));
        if let Told::Digit(_) = told {
            let sent = |output: &Output| matches!(output, Output::Leg(..));
            assert!(
                !said.iter().any(sent) || supervisor && !sends_digits(&said),
                "a digit reached somebody: {said:?}"
            );
        }
    }

    fn stray(&mut self, which: usize, told: Told) {
        let settled = |line: &Line| matches!(line, Line::HungUp | Line::Gone | Line::Kept);
        let mut legs: Vec<LegId> =
            self.world.legs.iter().filter(|(_, door)| settled(&door.line)).map(|(leg, _)| *leg).collect();
        legs.push(LegId(0xdead));
        let Some(leg) = choose(&legs, which) else { return };
        let ends = matches!(told, Told::Ended(_));
        let said = self.world.leg(leg, event(told));
        // The end of a leg we hung up on may be the last one waited for. Nothing else says anything.
        assert!(said.is_empty() || ends && matches!(said[..], [Output::Over(..)]), "{told:?}: {said:?}");
    }

    /// The engine answers in its own time, and to the last.
    fn engine(&mut self, which: usize, ruling: Ruling) {
        let asked: Vec<(LegId, Line)> = self
            .world
            .legs
            .iter()
            .filter(|(_, door)| door.wish.is_some())
            .map(|(leg, door)| (*leg, door.line))
            .collect();
        let Some((leg, line)) = choose(&asked, which) else { return };
        let said = match ruling {
            Ruling::Clear => self.world.cleared(leg),
            Ruling::ClearBefore => {
                let Some(before) = self.world.now.checked_sub(TOO_LONG) else { return };
                self.world.cleared_at(leg, before)
            }
            Ruling::Refused if line == Line::Clearing => self.world.refused(leg),
            Ruling::Refused => return,
        };
        if line != Line::Clearing {
            assert_eq!(said, [], "{leg} is dialled already, or nobody is to be rung any more");
        } else if let Ruling::Clear = ruling {
            let dialled = matches!(said[..], [Output::Leg(rung, LegAction::Dial(_))] if rung == leg);
            assert!(dialled, "who is cleared is rung: {said:?}");
        } else if let Ruling::ClearBefore = ruling {
            assert!(matches!(said[..], [Output::Clear(again, _)] if again == leg), "{said:?}");
        }
    }

    fn command(&mut self, wish: Wish) {
        let legs: Vec<LegId> = self.world.legs.keys().copied().collect();
        let leg = |which| choose(&legs, which).unwrap_or(LegId(0xdead));
        let supervisions: Vec<SupervisionId> = self.world.call.supervisions().iter().map(|s| s.id).collect();
        let supervision = |which| choose(&supervisions, which).unwrap_or(SupervisionId(0xdead));
        let command = match wish {
            Wish::Hold(which) => Command::Hold(leg(which)),
            Wish::Resume(which) => Command::Resume(leg(which)),
            Wish::Mute(which) => Command::Mute(leg(which)),
            Wish::Unmute(which) => Command::Unmute(leg(which)),
            Wish::SendDigits(which) => Command::SendDigits(leg(which), "12#".into()),
            Wish::HangUpLeg(which) => Command::HangUpLeg(leg(which)),
            Wish::Transfer(which, reach) => Command::Transfer(leg(which), reach.of("target")),
            Wish::HangUp => Command::HangUp(Cause::Normal),
            Wish::SwitchRole(which, role) => Command::SwitchRole(supervision(which), role),
            Wish::EndSupervision(which) => Command::EndSupervision(supervision(which)),
            Wish::Consult(by, ways) => {
                self.consults += 1;
                let ways = ways.iter().enumerate();
                let ways = ways.map(|(n, way)| way.attempt(&format!("expert{n}-"))).collect();
                Command::Consult(AskExpert { id: ConsultId(self.consults), by: by.map(leg), ways })
            }
            Wish::SpeakTo(to) => Command::SpeakTo(ConsultId(self.consults), to),
            Wish::CompleteConsult => Command::CompleteConsult(ConsultId(self.consults)),
            Wish::CancelConsult => Command::CancelConsult(ConsultId(self.consults)),
            Wish::Supervise(wanted) => {
                self.supervisions += 1;
                let name = format!("supervisor{}", wanted.who);
                Command::Supervise(Supervise {
                    id: SupervisionId(self.supervisions),
                    supervisor: PersonId::new(&name).unwrap(),
                    role: wanted.role,
                    subject: wanted.subject.map(leg),
                    allowed_roles: wanted.allowed_roles,
                    dtmf_control: wanted.dtmf_control,
                    follows: wanted.follows,
                    by: match wanted.arrival {
                        0 => Arrival::Dial(wanted.reach.of(&name)),
                        1 => Arrival::Expected,
                        _ => Arrival::Here(self.new_leg()),
                    },
                })
            }
        };
        let allowed = self.world.call.supervisions().to_vec();
        let done = self.world.command(command.clone());
        if let (Command::SwitchRole(id, role), Ok(_)) = (command, done) {
            let before = allowed.iter().find(|s| s.id == id).expect("a supervision that is there");
            assert!(before.allowed_roles.contains(&role), "{before:?} switched to {role:?}");
        }
    }

    fn dials_in(&mut self, which: usize) {
        let supervisions: Vec<SupervisionId> = self.world.call.supervisions().iter().map(|s| s.id).collect();
        let Some(id) = choose(&supervisions, which) else { return };
        let leg = self.new_leg();
        let _refused_if_there_already = self.world.command(Command::Seat(id, leg));
    }

    fn replaces(&mut self, which: usize) {
        let legs: Vec<LegId> = self.world.legs.keys().copied().collect();
        let Some(old) = choose(&legs, which) else { return };
        let new = self.new_leg();
        let _refused_if_it_has_no_place = self.world.command(Command::Replace(old, new));
    }

    fn new_leg(&mut self) -> LegId {
        self.dial_ins += 1;
        LegId(1000 + self.dial_ins)
    }

    /// Somebody hangs up for everybody, and the doors obey or are deaf.
    fn finish(mut self, doors_obey: bool) {
        let _over_already = self.world.command(Command::HangUp(Cause::Normal));
        if doors_obey {
            self.world.doors_hang_up();
        } else {
            self.world.wait(ENDING_MAX);
        }
        assert!(self.world.is_over());
        let overs = self.world.said.iter().filter(|output| matches!(output, Output::Over(..))).count();
        assert_eq!(overs, 1);
        assert!(matches!(self.world.said.last(), Some(Output::Over(..))), "the last output");
        for door in self.world.legs.values() {
            assert!(matches!(door.line, Line::HungUp | Line::Gone | Line::Kept), "{door:?} is left behind");
        }
        assert_eq!(self.world.call.poll_timeout(), None);
        assert_eq!(self.world.call.parties().len(), 0);
    }
}

fn choose<T: Copy>(from: &[T], which: usize) -> Option<T> {
    from.get(which.checked_rem(from.len())?).copied()
}

fn event(told: Told) -> LegEvent {
    match told {
        Told::Ringing => LegEvent::Ringing,
        Told::EarlyMedia => LegEvent::EarlyMedia,
        Told::Answered => LegEvent::Answered,
        Told::Held => LegEvent::Held,
        Told::Resumed => LegEvent::Resumed,
        Told::Digit(digit) => LegEvent::Digit(digit),
        Told::Referred(reach) => LegEvent::Referred(Box::new(reach.of("target"))),
        Told::MediaLost => LegEvent::MediaLost,
        Told::Ended(cause) => LegEvent::Ended(LegEnd::of(cause)),
    }
}

fn sends_digits(said: &[Output]) -> bool {
    said.iter().any(|output| matches!(output, Output::Leg(_, LegAction::SendDigits(_))))
}

fn rung_for_20_s(how_many: usize) -> Try {
    Try { whom: vec![Reach::Telephone; how_many], seconds: 20, only_if_not_reached: false }
}

fn config(cases: u32) -> ProptestConfig {
    // Stories that once failed are kept beside this file and told again first.
    let kept = FileFailurePersistence::WithSource("regressions");
    ProptestConfig { cases, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(4_000))]

    #[test]
    fn whatever_happens_the_call_keeps_its_promises_and_ends(
        opening in opening(),
        steps in prop::collection::vec(step(), 0..60),
        doors_obey in any::<bool>(),
    ) {
        let mut story = Story::begin(&opening);
        for step in steps {
            story.step(step);
        }
        story.finish(doors_obey);
    }

    /// Most random stories are short, since somebody hangs up. This one is about the middle of a
    /// call: two people talk, supervisors come, switch, take over and go, and experts are asked.
    #[test]
    fn whatever_supervisors_and_experts_do_to_a_talking_call_it_keeps_its_promises_and_ends(
        inbound in any::<bool>(),
        keeps in any::<bool>(),
        steps in prop::collection::vec(supervisor_step(), 0..40),
        doors_obey in any::<bool>(),
    ) {
        let mut story = Story::begin(&Opening {
            inbound,
            attempts: vec![rung_for_20_s(2)],
            customers: vec![Reach::Telephone],
            when_exhausted: None,
            takeover: if keeps { Takeover::KeepsAgent } else { Takeover::ReleasesAgent },
        });
        let agent = story.world.leg_of("agent0-0");
        story.world.leg(agent, LegEvent::Answered);
        let customer = if inbound { crate::world::CALLER } else { story.world.leg_of("customer0") };
        story.world.leg(customer, LegEvent::Answered);
        prop_assert!(story.world.call.is_talking());
        for step in steps {
            story.step(step);
        }
        story.finish(doors_obey);
    }
}

proptest! {
    #![proptest_config(config(4_000))]

    /// Two people talk, a supervisor may listen, and people are transferred, hang up and come back.
    #[test]
    fn whatever_transfers_do_to_a_talking_call_nobody_is_stranded(
        inbound in any::<bool>(),
        keeps in any::<bool>(),
        steps in prop::collection::vec(transfer_step(), 0..40),
        doors_obey in any::<bool>(),
    ) {
        let mut story = Story::begin(&Opening {
            inbound,
            attempts: vec![rung_for_20_s(1)],
            customers: vec![Reach::Telephone],
            when_exhausted: None,
            takeover: if keeps { Takeover::KeepsAgent } else { Takeover::ReleasesAgent },
        });
        let agent = story.world.leg_of("agent0-0");
        story.world.leg(agent, LegEvent::Answered);
        let customer = if inbound { crate::world::CALLER } else { story.world.leg_of("customer0") };
        story.world.leg(customer, LegEvent::Answered);
        for step in steps {
            story.step(step);
        }
        story.finish(doors_obey);
    }
}

fn transfer_step() -> impl Strategy<Value = Step> {
    let hang_ups = prop_oneof![2 => Just(Told::Ended(Cause::Normal)), 1 => Just(Told::MediaLost), 1 => cause().prop_map(Told::Ended)];
    prop_oneof![
        6 => (any::<usize>(), reach()).prop_map(|(leg, reach)| Step::Door(leg, Told::Referred(reach))),
        2 => (any::<usize>(), reach()).prop_map(|(leg, reach)| Step::Command(Wish::Transfer(leg, reach))),
        4 => (any::<usize>(), ruling()).prop_map(|(leg, ruling)| Step::Engine(leg, ruling)),
        2 => any::<usize>().prop_map(Step::Replaces),
        5 => any::<usize>().prop_map(|leg| Step::Door(leg, Told::Answered)),
        2 => any::<usize>().prop_map(|leg| Step::Door(leg, Told::Ringing)),
        1 => any::<usize>().prop_map(|leg| Step::Door(leg, Told::EarlyMedia)),
        2 => any::<usize>().prop_map(|leg| Step::Door(leg, Told::Held)),
        1 => any::<usize>().prop_map(|leg| Step::Door(leg, Told::Resumed)),
        1 => any::<usize>().prop_map(|which| Step::Command(Wish::Hold(which))),
        1 => (any::<usize>(), hang_ups).prop_map(|(leg, told)| Step::Door(leg, told)),
        2 => supervision().prop_map(|wanted| Step::Command(Wish::Supervise(Supervision { subject: None, ..wanted }))),
        2 => (any::<usize>(), coaching()).prop_map(|(which, role)| Step::Command(Wish::SwitchRole(which, role))),
        1 => Just(Step::DoorsHangUp),
        2 => (0..40_000u64).prop_map(Step::Wait),
    ]
}

fn supervisor_step() -> impl Strategy<Value = Step> {
    let hang_ups = prop_oneof![Just(Told::MediaLost), cause().prop_map(Told::Ended)];
    prop_oneof![
        8 => supervision().prop_map(|wanted| Step::Command(Wish::Supervise(Supervision { subject: None, ..wanted }))),
        8 => (any::<usize>(), coaching()).prop_map(|(which, role)| Step::Command(Wish::SwitchRole(which, role))),
        3 => any::<usize>().prop_map(|which| Step::Command(Wish::EndSupervision(which))),
        8 => consult().prop_map(Step::Command),
        3 => any::<usize>().prop_map(Step::DialsIn),
        5 => (any::<usize>(), ruling()).prop_map(|(leg, ruling)| Step::Engine(leg, ruling)),
        4 => any::<usize>().prop_map(|leg| Step::Door(leg, Told::Answered)),
        4 => (any::<usize>(), prop::sample::select(vec!['4', '5', '6'])).prop_map(|(leg, d)| Step::Door(leg, Told::Digit(d))),
        2 => any::<usize>().prop_map(|which| Step::Command(Wish::Hold(which))),
        1 => any::<usize>().prop_map(|which| Step::Command(Wish::Resume(which))),
        1 => (any::<usize>(), hang_ups).prop_map(|(leg, told)| Step::Door(leg, told)),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(leg, holds)| {
            Step::Door(leg, if holds { Told::Held } else { Told::Resumed })
        }),
        1 => any::<usize>().prop_map(|which| Step::Command(Wish::HangUpLeg(which))),
        1 => (0..20_000u64).prop_map(Step::Wait),
        1 => Just(Step::DoorsHangUp),
    ]
}
