//! One call with everything around it: doors that obey and answer lawfully, a clock, and somebody
//! who checks after every step that the call keeps its promises.

// Stories and random stories use different halves of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sbc_config::PersonId;
use sidetone::call::hearing::{Hearing, hearing};
use sidetone::call::{
    Address, Arrival, Attempt, Call, CallEvent, Callee, CallerIs, Cause, Coaching, Command, CommandError,
    ENDING_MAX, Hold, Input, LegAction, LegEnd, LegEvent, LegId, MAX_PARTIES, Output, Presence, Role, Seat,
    Setup, SpeakTo, Supervise, Supervision, Takeover, Target, TeamsUser,
};

#[path = "teams.rs"]
pub(crate) mod teams;

/// One call and its surroundings.
pub(crate) struct World {
    pub(crate) call: Call,
    pub(crate) now: Instant,
    /// Every leg the call ever had, as its door sees it.
    pub(crate) legs: BTreeMap<LegId, DoorLeg>,
    /// Everything the call ever said.
    pub(crate) said: Vec<Output>,
    started: Instant,
    generation: u64,
    table: Hearing,
    ending_since: Option<Instant>,
    over: bool,
    bridged: bool,
}

/// A leg at its door.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DoorLeg {
    pub(crate) line: Line,
    pub(crate) held: bool,
    /// What was dialled, if we called.
    pub(crate) target: Option<Target>,
    /// Who was to be cleared, if they are at Teams.
    pub(crate) wish: Option<TeamsUser>,
}

impl DoorLeg {
    fn new(line: Line) -> DoorLeg {
        DoorLeg { line, held: false, target: None, wish: None }
    }
}

/// How the leg stands with its door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// The prerequisite engine is asked, and no door knows of it.
    Clearing,
    /// We called, and it has not answered.
    Dialled,
    /// It called.
    CallingIn,
    /// It called, and our answer is on its way.
    Answering,
    /// Answered.
    Up,
    /// The call is done with it; it has still to go.
    HungUp,
    /// Gone.
    Gone,
    /// Let go by this call for the agent's next.
    Kept,
}

/// Whom the tests call.
pub(crate) fn target(name: &str) -> Callee {
    Target { address: Address::Person(PersonId::new(name).unwrap()), name: name.to_owned() }.into()
}

/// Targets rung together, for so many seconds.
pub(crate) fn attempt(names: &[&str], seconds: u64) -> Attempt {
    Attempt::new(names.iter().map(|name| target(name)).collect(), Duration::from_secs(seconds))
}

/// The leg of the caller of an inbound call.
pub(crate) const CALLER: LegId = LegId(1);

/// An ordinary setup with these attempts.
pub(crate) fn setup(attempts: Vec<Attempt>) -> Setup {
    Setup {
        first: CALLER,
        first_is: CallerIs::Customer,
        first_person: None,
        first_trunk: None,
        attempts,
        when_exhausted: None,
        takeover: Takeover::ReleasesAgent,
        parties_max: MAX_PARTIES,
        seed: 7,
    }
}

impl World {
    /// Somebody calls.
    pub(crate) fn inbound(setup: Setup) -> World {
        let now = Instant::now(); // of no meaning: all that counts is what is added to it
        World::with(Call::inbound(now, setup), now, [(CALLER, DoorLeg::new(Line::CallingIn))].into())
    }

    /// We call the customer for an agent.
    pub(crate) fn outbound(setup: Setup, customer: Attempt) -> World {
        let now = Instant::now();
        World::with(Call::outbound(now, setup, customer), now, BTreeMap::new())
    }

    fn with(call: Call, now: Instant, legs: BTreeMap<LegId, DoorLeg>) -> World {
        let mut world = World {
            call,
            now,
            legs,
            said: Vec::new(),
            started: now,
            generation: 0,
            table: Hearing::default(),
            ending_since: None,
            over: false,
            bridged: false,
        };
        world.listen();
        world
    }

    /// A door tells something of a leg. Returns what the call said to it.
    pub(crate) fn leg(&mut self, leg: LegId, event: LegEvent) -> Vec<Output> {
        if let Some(door) = self.legs.get_mut(&leg) {
            match event {
                LegEvent::Ended(_) if door.line != Line::Kept => door.line = Line::Gone,
                LegEvent::Answered if matches!(door.line, Line::Dialled | Line::Answering) => {
                    door.line = Line::Up
                }
                _ => {}
            }
        }
        self.call.handle(self.now, Input::Leg(leg, event));
        self.listen()
    }

    /// The engine has cleared the Teams user of a leg, as of `given`. Returns what the call said to it.
    pub(crate) fn cleared_at(&mut self, leg: LegId, given: Instant) -> Vec<Output> {
        let wish = self.legs[&leg].wish.clone().expect("nobody asked for a clearance");
        let address = Box::new(teams::clearance(&wish, given));
        self.call.handle(self.now, Input::Cleared(leg, address));
        self.listen()
    }

    /// The engine has cleared them just now.
    pub(crate) fn cleared(&mut self, leg: LegId) -> Vec<Output> {
        self.cleared_at(leg, self.now)
    }

    /// The engine refuses, as the switchboard tells it.
    pub(crate) fn refused(&mut self, leg: LegId) -> Vec<Output> {
        assert_eq!(self.legs[&leg].line, Line::Clearing, "who is rung already is not refused");
        self.leg(leg, LegEvent::Ended(LegEnd::of(Cause::NotCleared)))
    }

    /// Somebody asks for something.
    pub(crate) fn command(&mut self, command: Command) -> Result<Vec<Output>, CommandError> {
        if let Command::Seat(_, leg) | Command::Replace(_, leg) = command {
            self.legs.insert(leg, DoorLeg::new(Line::CallingIn));
        }
        let done = self.call.command(self.now, command.clone());
        if let (Ok(()), Command::Supervise(Supervise { by: Arrival::Here(leg), .. })) = (&done, &command) {
            self.legs.insert(*leg, DoorLeg::new(Line::Up));
        }
        if let (Err(_), Command::Seat(_, leg) | Command::Replace(_, leg)) = (&done, &command) {
            self.legs.remove(leg); // not of this call
        }
        let said = self.listen();
        match done {
            Ok(()) => Ok(said),
            Err(refusal) => {
                assert_eq!(said, [], "refused with {refusal:?}, so nothing may change");
                Err(refusal)
            }
        }
    }

    /// Time passes, with every timeout at its instant.
    pub(crate) fn wait(&mut self, time: Duration) -> Vec<Output> {
        let until = self.now + time;
        let mut said = Vec::new();
        while let Some(at) = self.call.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.call.handle(self.now, Input::Timeout);
            assert_ne!(self.call.poll_timeout(), Some(at), "a timeout leads on");
            said.extend(self.listen());
        }
        self.now = until;
        self.call.handle(self.now, Input::Timeout); // one that nobody asked for does no harm
        said.extend(self.listen());
        said
    }

    /// Every door ends what it was told to end.
    pub(crate) fn doors_hang_up(&mut self) {
        let leaving: Vec<LegId> = self.legs_that_are(Line::HungUp);
        for leg in leaving {
            self.leg(leg, LegEvent::Ended(LegEnd::of(Cause::Normal)));
        }
    }

    pub(crate) fn legs_that_are(&self, line: Line) -> Vec<LegId> {
        self.legs.iter().filter(|(_, door)| door.line == line).map(|(leg, _)| *leg).collect()
    }

    /// The leg on which this person or number was last called, or is to be.
    pub(crate) fn leg_of(&self, name: &str) -> LegId {
        let dialled = |output: &Output| match output {
            Output::Leg(leg, LegAction::Dial(target)) if target.name == name => Some(*leg),
            Output::Clear(leg, user) if user.name == name => Some(*leg),
            _ => None,
        };
        self.said.iter().rev().find_map(dialled).unwrap_or_else(|| panic!("{name} was never called"))
    }

    /// Whether everything is over.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// The live seats, from the promises: whoever the call has not hung up on.
    pub(crate) fn seats(&self) -> Vec<Seat> {
        let live = |seat: &Seat| !matches!(self.line(seat.leg), Line::HungUp | Line::Gone | Line::Kept);
        self.call.parties().iter().map(|party| party.seat()).filter(live).collect()
    }

    fn line(&self, leg: LegId) -> Line {
        self.legs.get(&leg).unwrap_or_else(|| panic!("no door ever knew {leg}")).line
    }

    /// Takes in what the call says, and checks it.
    fn listen(&mut self) -> Vec<Output> {
        let mut said = Vec::new();
        while let Some(output) = self.call.poll() {
            self.hear(&output);
            said.push(output.clone());
            self.said.push(output);
        }
        self.check();
        said
    }

    fn hear(&mut self, output: &Output) {
        assert!(!self.over, "after the end: {output:?}");
        match output {
            Output::Leg(leg, action) => self.obey(*leg, action),
            Output::Clear(leg, user) => self.ask_engine(*leg, user),
            Output::Hearing(generation, table) => {
                assert_eq!(*generation, self.generation + 1, "generations count up by one");
                assert_ne!(*table, self.table, "a table is told when it differs");
                self.generation = *generation;
                self.table = table.clone();
            }
            Output::Event(CallEvent::Bridged) => {
                assert!(!self.bridged, "bridged once");
                self.bridged = true;
            }
            Output::Event(CallEvent::Ended { .. }) => {
                assert_eq!(self.ending_since, None, "ended once");
                self.ending_since = Some(self.now);
            }
            Output::Event(_) => {}
            Output::Keep(Supervision { leg, .. }) => {
                let leg = leg.expect("a follower is on the line");
                let door = self.legs.get_mut(&leg).expect("a follower has a leg");
                assert_eq!(door.line, Line::Up, "a follower is on the line");
                assert!(!door.held, "a follower comes to the next call without this one's hold");
                door.line = Line::Kept;
            }
            Output::Over(..) => {
                let since = self.ending_since.expect("a call ends before it is over");
                let gone = |door: &DoorLeg| matches!(door.line, Line::Gone | Line::Kept);
                let told = |door: &DoorLeg| door.line == Line::HungUp;
                let patient = self.now >= since + ENDING_MAX;
                assert!(
                    self.legs.values().all(|door| gone(door) || patient && told(door)),
                    "over too early: {:?}",
                    self.legs
                );
                self.over = true;
            }
        }
    }

    /// The engine is asked about a new leg, or again about one that it has not cleared in time.
    fn ask_engine(&mut self, leg: LegId, user: &TeamsUser) {
        let asked = DoorLeg { wish: Some(user.clone()), ..DoorLeg::new(Line::Clearing) };
        let before = self.legs.insert(leg, asked.clone());
        assert!(before.is_none_or(|before| before == asked), "asked again about somebody else");
    }

    /// Whoever is at Teams is dialled with a clearance of their own that is still good, and nobody else needs one.
    fn dial(&mut self, leg: LegId, target: &Target) {
        let mut dialled = DoorLeg { target: Some(target.clone()), ..DoorLeg::new(Line::Dialled) };
        let before = self.legs.remove(&leg);
        if let Address::Teams(address) = &target.address {
            let asked = before.filter(|door| door.line == Line::Clearing).and_then(|door| door.wish);
            let wish = asked.unwrap_or_else(|| panic!("{} is dialled, and nobody was asked", target.name));
            assert!(address.good_at(self.now), "{} is dialled too late", target.name);
            assert_eq!(address.clearance().subject(), &wish.subject);
            dialled.wish = Some(wish);
        } else {
            assert_eq!(before, None, "a new leg has a new id");
        }
        self.legs.insert(leg, dialled);
    }

    /// A door does as it is told, and notices when it is told nonsense.
    fn obey(&mut self, leg: LegId, action: &LegAction) {
        if let LegAction::Dial(target) = action {
            return self.dial(leg, target);
        }
        let door =
            self.legs.get_mut(&leg).unwrap_or_else(|| panic!("{action:?} for {leg}, which nobody knows"));
        let lawful = match action {
            LegAction::Dial(_) => false,
            LegAction::Alert | LegAction::OpenEarly | LegAction::Answer => door.line == Line::CallingIn,
            LegAction::Hold => door.line == Line::Up && !door.held,
            LegAction::Resume => door.line == Line::Up && door.held,
            LegAction::SendDigits(_) | LegAction::Refer(_) => door.line == Line::Up,
            LegAction::HangUp(_) => !matches!(door.line, Line::HungUp | Line::Gone | Line::Kept),
        };
        assert!(lawful, "{action:?} for {leg}, which is {door:?}");
        match action {
            LegAction::Answer => door.line = Line::Answering,
            LegAction::Hold => door.held = true,
            LegAction::Resume => door.held = false,
            LegAction::HangUp(_) => door.line = Line::HungUp,
            LegAction::Dial(_)
            | LegAction::Alert
            | LegAction::OpenEarly
            | LegAction::SendDigits(_)
            | LegAction::Refer(_) => {}
        }
    }

    /// The promises of `call` that hold at every moment.
    fn check(&self) {
        let seats = self.seats();
        assert_eq!(self.call.table().0, self.generation);
        if !self.over {
            assert_eq!(self.table, hearing(&seats), "the table in force is that of the live seats");
            assert_eq!(self.call.table().1, &self.table);
        }
        for leg in self.legs_of(|line| !matches!(line, Line::HungUp | Line::Gone | Line::Kept)) {
            assert!(seats.iter().any(|seat| seat.leg == leg), "{leg} is on the line and in no seat");
        }
        assert!(seats.len() <= MAX_PARTIES, "{} parties", seats.len());
        self.check_silence(&seats);
        self.check_cleared();
        self.check_replaced(&seats);
        self.check_supervisions(&seats);
        self.check_consult(&seats);
        assert_eq!(self.ending_since.is_some(), self.call.is_ending());
        if self.call.is_ending() {
            assert_eq!(seats, [], "an ending call has nobody left to talk");
            assert_eq!(self.call.poll_timeout().is_some(), !self.over, "an ending call ends");
        } else {
            self.check_nobody_is_stranded(&seats);
        }
    }

    fn legs_of(&self, which: impl Fn(Line) -> bool) -> Vec<LegId> {
        self.legs.iter().filter(|(_, door)| which(door.line)).map(|(leg, _)| *leg).collect()
    }

    /// Those who monitor are heard by nobody, and those who whisper by an agent at most.
    fn check_silence(&self, seats: &[Seat]) {
        for mouth in seats {
            let Role::Supervisor { coaching: coaching @ (Coaching::Monitor | Coaching::Whisper), subject } =
                mouth.role
            else {
                continue;
            };
            for ear in seats.iter().filter(|ear| self.table.connects(ear.leg, mouth.leg)) {
                assert_eq!((coaching, ear.role, ear.leg), (Coaching::Whisper, Role::Agent, subject));
            }
        }
    }

    /// Whoever is not cleared yet has no telephone that could hear or be heard.
    fn check_cleared(&self) {
        for leg in self.legs_of(|line| line == Line::Clearing) {
            assert_eq!(self.table.hears(leg).mouths(), []);
            assert!(self.legs.keys().all(|ear| !self.table.connects(*ear, leg)), "{leg} is heard");
        }
    }

    /// Whoever gave their place away, and has still to hang up, hears nobody and is heard by nobody.
    fn check_replaced(&self, seats: &[Seat]) {
        for seat in seats.iter().filter(|seat| seat.role == Role::Unassigned) {
            assert_eq!(self.table.hears(seat.leg).mouths(), []);
            assert!(seats.iter().all(|ear| !self.table.connects(ear.leg, seat.leg)), "{seat:?} is heard");
        }
        if let Some((_, target)) = self.call.transferring() {
            assert!(seats.iter().any(|seat| seat.leg == target), "who is awaited has a seat");
        }
    }

    /// A supervision and its party say the same.
    fn check_supervisions(&self, seats: &[Seat]) {
        for supervision in self.call.supervisions() {
            let Some(leg) = supervision.leg else {
                assert!(!supervision.started);
                continue;
            };
            let seat =
                seats.iter().find(|seat| seat.leg == leg).expect("a supervision with a leg has a seat");
            let (coaching, subject) = (supervision.role, supervision.subject);
            assert_eq!(seat.role, Role::Supervisor { coaching, subject });
            assert_eq!(supervision.started, seat.presence == Presence::Talking);
        }
        let supervised = |leg: LegId| self.call.supervisions().iter().any(|s| s.leg == Some(leg));
        for seat in seats {
            assert_eq!(matches!(seat.role, Role::Supervisor { .. }), supervised(seat.leg), "{seat:?}");
        }
    }

    /// A consult and its expert's seat say the same, and what is said in private stays there, whatever the
    /// telephones do about their holds.
    fn check_consult(&self, seats: &[Seat]) {
        let consult = self.call.consult();
        for seat in seats {
            let Role::Expert { by, speak_to } = seat.role else { continue };
            let consult = consult.expect("an expert is there because of a consult");
            assert_eq!(consult.by(), by);
            match consult.talking() {
                Some((leg, to)) => assert_eq!((leg, to), (seat.leg, speak_to)),
                None => assert_ne!(seat.presence, Presence::Talking, "{seat:?}"),
            }
            let customers = || seats.iter().filter(|customer| customer.role == Role::Customer);
            let heard =
                |ear: LegId, mouth: LegId| self.table.connects(ear, mouth) || self.table.connects(mouth, ear);
            for customer in customers() {
                assert!(speak_to == SpeakTo::Conference || !heard(customer.leg, seat.leg), "{seats:#?}");
                assert!(speak_to != SpeakTo::Expert || !heard(customer.leg, by), "{seats:#?}");
            }
            assert!(speak_to != SpeakTo::Customer || !heard(by, seat.leg), "{seats:#?}");
        }
        if let Some(consult) = consult {
            assert!(
                seats.iter().any(|seat| seat.leg == consult.by()),
                "the one who asked is there: {seats:#?}"
            );
            assert!(
                seats.iter().any(|seat| matches!(seat.role, Role::Expert { .. })),
                "somebody is asked: {seats:#?}"
            );
        }
    }

    /// A call that goes on has somebody for the customer, or is about to give up at a known instant.
    fn check_nobody_is_stranded(&self, seats: &[Seat]) {
        let talks = |seat: &Seat| {
            let speaks = match seat.role {
                Role::Agent | Role::Expert { .. } => true,
                Role::Supervisor { coaching, .. } => {
                    matches!(coaching, Coaching::Barge | Coaching::TakenOver)
                }
                Role::Customer | Role::Unassigned => false,
            };
            speaks && seat.presence == Presence::Talking
        };
        let rung = |seat: &Seat| {
            matches!(seat.presence, Presence::Ringing | Presence::Early)
                && !matches!(seat.role, Role::Supervisor { .. })
        };
        let customer = seats.iter().any(|seat| seat.role == Role::Customer);
        let served = seats.iter().any(talks);
        let ringing = seats.iter().any(rung);
        // A target that called in is answered at once, and counts as somebody who comes.
        let transferred = self.call.transferring().is_some();
        assert!(customer && served || ringing || transferred, "nobody to talk to: {seats:#?}");
        let awaited = self.call.supervisions().iter().any(|s| !s.started);
        let still_to_go = seats.iter().any(|seat| seat.role == Role::Unassigned);
        let timed = self.call.poll_timeout().is_some();
        assert_eq!(
            timed,
            ringing || awaited || transferred || still_to_go,
            "rings and is awaited for a time: {seats:#?}"
        );
        let resumable = |seat: &Seat| self.legs[&seat.leg].held == (seat.hold == Hold::Held);
        assert!(seats.iter().all(resumable), "held by us and told so: {seats:#?}");
    }

    /// How long the story has lasted.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.started
    }
}
