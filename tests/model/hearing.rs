//! Who hears whom, exhaustively, against a reference written from the promises (design section 1,
//! the docs of `call::party`) and not from the table.
//!
//! The table asks of each pair: the reference asks each mouth for its audience. What an ear gets
//! depends on the *set* of parties, so seats of equal standing need be tried in one order only;
//! that the order is indeed nothing to the table is a test of its own.

use std::ops::RangeInclusive;

use sidetone::call::hearing::{Hears, hearing};
use sidetone::call::{Coaching, Hold, LegId, MAX_PARTIES, Presence, Role, Seat, SpeakTo};

/// A leg that is in no call of these tests: what a whisper aimed at somebody who left points at.
const NOBODY: LegId = LegId(99);

const COACHINGS: [Coaching; 4] = [Coaching::Monitor, Coaching::Whisper, Coaching::Barge, Coaching::TakenOver];
const PRESENCES: [Presence; 4] = [Presence::Talking, Presence::Waiting, Presence::Early, Presence::Ringing];
const HOLDS: [Hold; 3] = [Hold::None, Hold::Held, Hold::Holding];

// The reference.

/// Everybody a mouth is meant for, were both on the line: nobody unless a line says so.
fn audience(mouth: &Seat, ear: &Seat, seats: &[Seat]) -> bool {
    let has_ears = ear.role != Role::Unassigned && ear.leg != mouth.leg;
    has_ears
        && in_one_circle(mouth, ear, seats)
        && match mouth.role {
            Role::Customer | Role::Agent | Role::Expert { .. } => true,
            Role::Supervisor { coaching: Coaching::Barge | Coaching::TakenOver, .. } => true,
            Role::Supervisor { coaching: Coaching::Whisper, subject } => {
                ear.role == Role::Agent && ear.leg == subject
            }
            Role::Supervisor { coaching: Coaching::Monitor, .. } | Role::Unassigned => false,
        }
}

/// Whether no consult stands between the two: each expert sorts those who speak into circles, and the two must
/// share one in the eyes of every expert. Whoever listens in is in every circle.
fn in_one_circle(a: &Seat, b: &Seat, seats: &[Seat]) -> bool {
    let listens_in = |seat: &Seat| match seat.role {
        Role::Supervisor { coaching, .. } => coaching != Coaching::TakenOver,
        _ => false,
    };
    if listens_in(a) || listens_in(b) {
        return true;
    }
    seats.iter().all(|expert| {
        let Role::Expert { by, speak_to } = expert.role else { return true };
        let circles: &[&dyn Fn(&Seat) -> bool] = match speak_to {
            SpeakTo::Conference => return true,
            // The two apart; and everybody else with everybody, but no customer with the one who asked.
            SpeakTo::Expert => &[
                &|seat| seat.leg == expert.leg || seat.leg == by,
                &|seat| seat.leg != expert.leg && seat.leg != by,
                &|seat| seat.leg != expert.leg && (seat.leg == by || seat.role != Role::Customer),
            ],
            SpeakTo::Customer => &[&|seat| seat.leg != expert.leg],
            SpeakTo::Both => {
                &[&|seat| seat.leg == expert.leg || seat.leg == by, &|seat| seat.leg != expert.leg]
            }
        };
        circles.iter().any(|circle| circle(a) && circle(b))
    })
}

fn owns_the_call(seat: &Seat) -> bool {
    match seat.role {
        Role::Agent => true,
        Role::Supervisor { coaching, .. } => coaching == Coaching::TakenOver,
        Role::Customer | Role::Expert { .. } | Role::Unassigned => false,
    }
}

/// The two who wait for each other's answer.
fn partners(a: &Seat, b: &Seat) -> bool {
    let asked_by = |expert: &Seat, who: &Seat| match expert.role {
        Role::Expert { by, .. } => by == who.leg && owns_the_call(who),
        _ => false,
    };
    [(a.role, b.role), (b.role, a.role)].contains(&(Role::Customer, Role::Agent))
        || asked_by(a, b)
        || asked_by(b, a)
}

fn on_the_line(seat: &Seat) -> bool {
    seat.presence == Presence::Talking
}

fn is_heard(mouth: &Seat, ear: &Seat, seats: &[Seat]) -> bool {
    let reach = match mouth.presence {
        Presence::Talking => on_the_line(ear),
        Presence::Early => partners(mouth, ear) && (on_the_line(ear) || ear.presence == Presence::Waiting),
        Presence::Waiting | Presence::Ringing => false,
    };
    reach && !mouth.muted && mouth.hold == Hold::None && ear.hold == Hold::None && audience(mouth, ear, seats)
}

/// What an ear gets that hears nobody.
fn comfort(ear: &Seat, seats: &[Seat]) -> Hears {
    let serves_callers = !matches!(ear.role, Role::Unassigned | Role::Supervisor { .. });
    let some = |what: &dyn Fn(&Seat) -> bool| seats.iter().any(|seat| seat.leg != ear.leg && what(seat));
    let held_by_us = on_the_line(ear) && ear.hold == Hold::Held;
    let held_by_another = on_the_line(ear)
        && some(&|other| on_the_line(other) && other.hold == Hold::Holding && audience(other, ear, seats));
    let waits = (on_the_line(ear) || ear.presence == Presence::Waiting)
        && some(&|other| other.presence == Presence::Ringing && partners(ear, other));
    let may_ask = matches!(ear.role, Role::Supervisor { .. }) && on_the_line(ear) && ear.hold == Hold::None;
    match serves_callers && ear.hold != Hold::Holding {
        true if held_by_us => Hears::Music,
        true if waits => Hears::Ringback,
        true if held_by_another => Hears::Music,
        false if waits && may_ask => Hears::Ringback,
        _ => Hears::Silence,
    }
}

/// Whether the table says of every ear what the reference says.
fn check(seats: &[Seat], expected: &Expected) {
    let table = hearing(seats);
    assert_eq!(table.ears().len(), seats.len());
    for (seat, row) in seats.iter().zip(table.ears()) {
        assert_eq!(row.leg(), seat.leg);
        let mouths = row.hears().mouths();
        let heard = mouths.iter().fold(0u8, |set, leg| set | bit(*leg));
        let (wanted, comfort) = &expected[slot(seat.leg)];
        assert!(
            heard == *wanted && mouths.len() == heard.count_ones() as usize,
            "{seat:?} in {seats:#?}: {row:?}"
        );
        match row.hears() {
            Hears::One(_) => assert_eq!(mouths.len(), 1),
            Hears::Many(_) => assert!(mouths.len() > 1),
            other => assert_eq!(other, comfort, "{seat:?} in {seats:#?}"),
        }
        // Never a listener's packets as the clock while the conversation itself is heard.
        let listens_in = |leg: &LegId| {
            matches!(
                seats.iter().find(|seat| seat.leg == *leg).map(|seat| seat.role),
                Some(Role::Supervisor { .. })
            )
        };
        assert!(mouths.is_sorted_by_key(listens_in), "{seat:?} in {seats:#?}: {row:?}");
    }
    let somebody_joins = seats.iter().any(|seat| {
        !on_the_line(seat)
            && matches!(seat.role, Role::Supervisor { .. } | Role::Expert { .. } | Role::Unassigned)
    });
    let talking = seats.iter().filter(|seat| somebody_joins && on_the_line(seat)).map(|seat| seat.leg);
    assert!(talking.eq(table.warm().iter().copied()), "{seats:#?}: warm {:?}", table.warm());
}

/// By leg: the set of mouths heard, and the comfort given where it is empty.
type Expected = [(u8, Hears); MAX_PARTIES];

fn expected(seats: &[Seat]) -> Expected {
    let mut rows = [const { (0, Hears::Silence) }; MAX_PARTIES];
    for ear in seats {
        let heard = seats
            .iter()
            .filter(|mouth| is_heard(mouth, ear, seats))
            .fold(0, |set, mouth| set | bit(mouth.leg));
        rows[slot(ear.leg)] = (heard, if heard == 0 { comfort(ear, seats) } else { Hears::Silence });
    }
    rows
}

fn slot(leg: LegId) -> usize {
    leg.0 as usize - 1
}

fn bit(leg: LegId) -> u8 {
    1 << slot(leg)
}

// The combinations. Agents sit on the first legs, so that supervisors can name them.

/// How a party's line stands.
type Line = (Presence, Hold, bool);

/// All 24 of them.
fn every_line() -> Vec<Line> {
    let mut lines = Vec::new();
    for presence in PRESENCES {
        for hold in HOLDS {
            lines.extend([(presence, hold, false), (presence, hold, true)]);
        }
    }
    lines
}

/// How many kinds of expert there are in a combination: all of them, or, where that is too many to try, one who
/// is spoken to in private.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Experts {
    All,
    InPrivate,
}

/// Every role but Agent, in a call with `agents` of them.
fn other_roles(agents: usize, experts: Experts) -> Vec<Role> {
    let mut roles = vec![Role::Unassigned, Role::Customer];
    match experts {
        Experts::All => roles.extend(every_expert(agents as u64)),
        Experts::InPrivate => roles.push(Role::Expert { by: LegId(1), speak_to: SpeakTo::Expert }),
    }
    for coaching in COACHINGS {
        let subjects = (1..=agents as u64).map(LegId).chain([NOBODY]);
        roles.extend(subjects.map(|subject| Role::Supervisor { coaching, subject }));
    }
    roles
}

const SPEAK_TO: [SpeakTo; 4] = [SpeakTo::Expert, SpeakTo::Customer, SpeakTo::Both, SpeakTo::Conference];

/// Experts asked by each of the first legs or by somebody who has left, in each circle.
fn every_expert(askers: u64) -> Vec<Role> {
    let askers = (1..=askers).map(LegId).chain([NOBODY]);
    askers.flat_map(|by| SPEAK_TO.map(|speak_to| Role::Expert { by, speak_to })).collect()
}

fn seat(place: usize, role: Role, (presence, hold, muted): Line) -> Seat {
    Seat { leg: LegId(place as u64 + 1), role, presence, hold, muted }
}

/// Every call of `size` parties with these lines, up to order: agents first, by line, then the others,
/// by role and line, each supervisor naming each of the agents. Tells how many there were.
fn every_call(size: usize, lines: &[Line], experts: Experts, visit: &mut impl FnMut(&[Seat])) -> u64 {
    every_call_with(0..=size, size, lines, experts, visit)
}

/// The same, with so many agents among them.
fn every_call_with(
    agents: RangeInclusive<usize>,
    size: usize,
    lines: &[Line],
    experts: Experts,
    visit: &mut impl FnMut(&[Seat]),
) -> u64 {
    let mut calls = 0;
    let mut counted = |seats: &[Seat]| {
        calls += 1;
        visit(seats);
    };
    for agents in agents {
        let others: Vec<(Role, Line)> = other_roles(agents, experts)
            .into_iter()
            .flat_map(|role| lines.iter().map(move |line| (role, *line)))
            .collect();
        seat_agents(&mut Vec::new(), agents, size, lines, &others, &mut counted);
    }
    calls
}

fn seat_agents(
    seats: &mut Vec<Seat>,
    agents: usize,
    size: usize,
    lines: &[Line],
    others: &[(Role, Line)],
    visit: &mut impl FnMut(&[Seat]),
) {
    if seats.len() == agents {
        return seat_others(seats, size, others, visit);
    }
    for (place, line) in lines.iter().enumerate() {
        seats.push(seat(seats.len(), Role::Agent, *line));
        seat_agents(seats, agents, size, &lines[place..], others, visit);
        seats.pop();
    }
}

fn seat_others(seats: &mut Vec<Seat>, size: usize, others: &[(Role, Line)], visit: &mut impl FnMut(&[Seat])) {
    if seats.len() == size {
        return visit(seats);
    }
    for (place, (role, line)) in others.iter().enumerate() {
        seats.push(seat(seats.len(), *role, *line));
        seat_others(seats, size, &others[place..], visit);
        seats.pop();
    }
}

const TALKING: Line = (Presence::Talking, Hold::None, false);
const MUTED: Line = (Presence::Talking, Hold::None, true);
const HELD: Line = (Presence::Talking, Hold::Held, false);
const HOLDING: Line = (Presence::Talking, Hold::Holding, false);
const WAITING: Line = (Presence::Waiting, Hold::None, false);
const EARLY: Line = (Presence::Early, Hold::None, false);
const RINGING: Line = (Presence::Ringing, Hold::None, false);

#[test]
fn up_to_three_parties_hear_what_the_reference_says_in_every_state() {
    let check_all = &mut |seats: &[Seat]| check(seats, &expected(seats));
    let lines = every_line();
    let calls: u64 = (0..=3).map(|size| every_call(size, &lines, Experts::All, check_all)).sum();
    assert_eq!(calls, 4_807_205);
}

#[test]
fn four_parties_hear_what_the_reference_says_on_every_kind_of_line() {
    let lines = [TALKING, MUTED, HELD, HOLDING, WAITING, EARLY, RINGING];
    let calls = every_call(4, &lines, Experts::InPrivate, &mut |seats| check(seats, &expected(seats)));
    assert_eq!(calls, 991_480);
}

#[test]
fn five_parties_hear_what_the_reference_says_through_holds_and_joins() {
    let calls = every_call(5, &[TALKING, MUTED, HELD, HOLDING, RINGING], Experts::InPrivate, &mut |seats| {
        check(seats, &expected(seats))
    });
    assert_eq!(calls, 3_962_133);
}

// In two halves, for two cores.

#[test]
fn six_parties_with_at_most_one_agent_hear_what_the_reference_says_through_holds_and_joins() {
    let lines = [TALKING, HELD, HOLDING, RINGING];
    let calls =
        every_call_with(0..=1, 6, &lines, Experts::InPrivate, &mut |seats| check(seats, &expected(seats)));
    assert_eq!(calls, 7_956_784);
}

#[test]
fn six_parties_with_more_agents_hear_what_the_reference_says_through_holds_and_joins() {
    let lines = [TALKING, HELD, HOLDING, RINGING];
    let calls =
        every_call_with(2..=6, 6, &lines, Experts::InPrivate, &mut |seats| check(seats, &expected(seats)));
    assert_eq!(calls, 7_634_032);
}

#[test]
fn a_consult_of_up_to_six_parties_is_as_private_as_the_reference_says() {
    // One agent, one expert in each circle, asked by the agent, by the supervisor or by nobody here, and up to
    // four others on every kind of line.
    let lines = [TALKING, MUTED, HELD, HOLDING, RINGING];
    let askers = [LegId(1), LegId(3), NOBODY];
    let experts = askers.iter().flat_map(|by| SPEAK_TO.map(|speak_to| Role::Expert { by: *by, speak_to }));
    let others: Vec<(Role, Line)> = [Role::Customer, Role::Agent]
        .into_iter()
        .chain(COACHINGS.map(|coaching| Role::Supervisor { coaching, subject: LegId(1) }))
        .flat_map(|role| lines.iter().map(move |line| (role, *line)))
        .collect();
    for expert in experts {
        for a in lines {
            for b in [TALKING, HELD, EARLY, RINGING] {
                for size in 2..=5 {
                    let mut seats = vec![seat(0, Role::Agent, a), seat(1, expert, b)];
                    seat_others(&mut seats, size, &others, &mut |seats| check(seats, &expected(seats)));
                }
            }
        }
    }
}

#[test]
fn a_whisper_aimed_at_anybody_but_an_agent_reaches_nobody() {
    // Subjects here are any leg at all: the customer's, the supervisor's own, one that is gone.
    let roles = |size: u64| {
        let mut roles = vec![Role::Unassigned, Role::Customer, Role::Agent];
        roles.extend(every_expert(size));
        for coaching in COACHINGS {
            let subjects = (1..=size).map(LegId).chain([NOBODY]);
            roles.extend(subjects.map(|subject| Role::Supervisor { coaching, subject }));
        }
        roles
    };
    let lines = [TALKING, HELD, WAITING];
    for a in roles(3) {
        for b in roles(3) {
            for c in roles(3) {
                for x in lines {
                    for y in lines {
                        let seats = [seat(0, a, x), seat(1, b, y), seat(2, c, TALKING)];
                        check(&seats, &expected(&seats));
                    }
                }
            }
        }
    }
}

#[test]
fn the_order_of_joining_is_nothing_to_the_table() {
    // Every order of up to six parties of every role, and of four on every kind of line.
    let orders: Vec<Vec<Vec<usize>>> = (0..=6).map(orders_of).collect();
    let mut in_every_order = |seats: &[Seat]| {
        let expected = expected(seats);
        for order in &orders[seats.len()] {
            let joined: Vec<Seat> = order.iter().map(|place| seats[*place]).collect();
            check(&joined, &expected);
        }
    };
    every_call(4, &[TALKING, HELD, RINGING], Experts::InPrivate, &mut in_every_order);
    let kinds = |seats: &[Seat]| {
        let first_or_nobody = |seat: &Seat| match seat.role {
            Role::Supervisor { subject, .. } => {
                subject == LegId(1) || subject == NOBODY && seats[0].role != Role::Agent
            }
            _ => true,
        };
        seats.iter().all(first_or_nobody)
    };
    every_call(6, &[TALKING], Experts::InPrivate, &mut |seats| {
        if kinds(seats) {
            in_every_order(seats);
        }
    });
}

fn orders_of(size: usize) -> Vec<Vec<usize>> {
    let Some(last) = size.checked_sub(1) else { return vec![Vec::new()] };
    let mut orders = Vec::new();
    for shorter in orders_of(last) {
        for place in 0..=last {
            let mut order = shorter.clone();
            order.insert(place, last);
            orders.push(order);
        }
    }
    orders
}

#[test]
fn a_silent_listener_changes_nothing_for_anybody_else() {
    // Not only the mouths: music, ringback and the order of a mix stay as they were, whatever the
    // listener's telephone does. Otherwise a customer could tell that somebody listens.
    let lines = [TALKING, MUTED, HELD, HOLDING, WAITING, EARLY, RINGING];
    every_call(4, &lines, Experts::InPrivate, &mut |seats| {
        let with = hearing(seats);
        let silent = |seat: &Seat| {
            matches!(seat.role, Role::Unassigned | Role::Supervisor { coaching: Coaching::Monitor, .. })
        };
        let whispers =
            |seat: &Seat| matches!(seat.role, Role::Supervisor { coaching: Coaching::Whisper, .. });
        let heard: Vec<Seat> = seats.iter().filter(|seat| !silent(seat)).copied().collect();
        let without = hearing(&heard);
        for seat in &heard {
            assert_eq!(with.hears(seat.leg), without.hears(seat.leg), "{seat:?} in {seats:#?}");
        }
        let open: Vec<Seat> = heard.iter().filter(|seat| !whispers(seat)).copied().collect();
        let without = hearing(&open);
        for seat in open.iter().filter(|seat| seat.role != Role::Agent) {
            assert_eq!(with.hears(seat.leg), without.hears(seat.leg), "{seat:?} in {seats:#?}");
        }
    });
}

#[test]
fn seats_beyond_the_most_parties_are_deaf_and_dumb() {
    let seats: Vec<Seat> = (0..MAX_PARTIES + 2).map(|place| seat(place, Role::Agent, TALKING)).collect();
    let table = hearing(&seats);
    assert_eq!(table.ears().len(), seats.len());
    for row in table.ears() {
        let seated = (1..=MAX_PARTIES as u64).contains(&row.leg().0);
        let hears = row.hears().mouths();
        assert_eq!(hears.len(), if seated { MAX_PARTIES - 1 } else { 0 });
        assert!(hears.iter().all(|mouth| mouth.0 <= MAX_PARTIES as u64));
    }
}
