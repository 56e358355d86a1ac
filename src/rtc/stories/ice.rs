//! How the way to a browser is found, proved, changed and lost.

use std::time::Instant;

use ::rtc::stun::attributes::{ATTR_ICE_CONTROLLED, ATTR_ICE_CONTROLLING};

use super::*;
use crate::random::Random;
use crate::rtc::ice::{Agent, Event, PATHS_MAX, Refused};
use crate::rtc::place::StreamId;

/// An agent, and a browser with some addresses that answer and others that do not.
struct Stage {
    now: Instant,
    agent: Agent,
    checks: Checks,
    /// Where the browser answers checks.
    answers_at: Vec<Place>,
    /// Under which password.
    password: String,
    told: Vec<Event>,
    /// Checks that went out, and where to.
    asked: Vec<Place>,
}

impl Stage {
    fn new(candidates: &[Place]) -> Stage {
        let now = Instant::now();
        let mut random = Random::new([5; 32]);
        let ours = Credentials::random(&mut random);
        let checks = Checks::of(&ours);
        let candidates: Vec<SocketAddr> = candidates.iter().map(|place| place.at).collect();
        let agent = Agent::new(now, 7, ours, theirs(), &candidates, random.seed());
        let password = PASSWORD.to_owned();
        Stage { now, agent, checks, answers_at: vec![home()], password, told: Vec::new(), asked: Vec::new() }
    }

    /// With the browser at home, nominated there and selected.
    fn in_use() -> Stage {
        let mut stage = Stage::new(&[]);
        let check = stage.checks.nominating();
        stage.comes(home(), &check).unwrap();
        assert_eq!(stage.told(), [Event::Valid(home()), Event::Selected(home())]);
        stage
    }

    fn comes(&mut self, from: Place, octets: &[u8]) -> Result<(), Refused> {
        let received = self.agent.receive(self.now, from, octets);
        self.carry();
        received
    }

    /// Carries datagrams between the two until there are none.
    fn carry(&mut self) {
        while let Some((to, octets)) = self.agent.poll_transmit() {
            if !is_check(&octets) {
                continue;
            }
            self.asked.push(to);
            if self.answers_at.contains(&to) {
                self.agent.receive(self.now, to, &answer(&octets, &self.password)).unwrap();
            }
        }
        self.told.extend(std::iter::from_fn(|| self.agent.poll_event()));
    }

    fn told(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.told)
    }

    /// Time goes by, and every timer fires when it is due.
    fn lasts(&mut self, how_long: Duration) {
        let end = self.now + how_long;
        while let Some(at) = self.agent.poll_timeout().filter(|at| *at <= end) {
            assert!(at >= self.now, "a timer in the past");
            self.now = at;
            self.agent.handle_timeout(at);
            self.carry();
        }
        self.now = end;
    }

    /// What a stranger could have changed.
    fn state(&self) -> (usize, Option<Place>, Option<Instant>, usize, usize) {
        let agent = &self.agent;
        (agent.paths(), agent.target(), agent.poll_timeout(), self.asked.len(), self.told.len())
    }
}

fn nth(n: u16) -> Place {
    Place::from(SocketAddr::from(([198, 51, 100, 7], 1000 + n)))
}

#[test]
fn a_check_that_was_overheard_is_worth_nothing_from_another_address() {
    let mut stage = Stage::new(&[]);
    let check = stage.checks.nominating();
    stage.comes(home(), &check).unwrap();
    let mut before = stage.state();
    for n in 0..100 {
        assert_eq!(stage.comes(nth(n), &check), Err(Refused::Replayed));
        assert_eq!(stage.state(), before);
    }
    // The browser itself may send it again: the answer may have got lost. It says nothing new.
    stage.now += STEP;
    stage.comes(home(), &check).unwrap();
    assert_eq!(stage.state(), before);
    let fresh = stage.checks.plain();
    stage.comes(away(), &fresh).unwrap();
    before = stage.state();
    assert_eq!(before.0, 2);
    assert_eq!(stage.comes(stranger(), &fresh), Err(Refused::Replayed));
    assert_eq!(stage.state(), before);
}

#[test]
fn an_old_nomination_that_is_sent_again_from_its_own_address_changes_nothing() {
    let mut stage = Stage::in_use();
    let first = stage.checks.nominating_at(9);
    stage.comes(home(), &first).unwrap();
    stage.answers_at = vec![away()];
    let check = stage.checks.nominating_at(9);
    stage.comes(away(), &check).unwrap();
    stage.lasts(Duration::from_secs(1));
    assert_eq!(stage.told(), [Event::Valid(away()), Event::Selected(away())]);
    // Somebody who overheard the first network says again from there what was said there.
    for _ in 0..1000 {
        stage.comes(home(), &first).unwrap();
        stage.lasts(STEP);
    }
    assert_eq!(stage.agent.target(), Some(away()));
    assert_eq!(stage.told(), []);
}

#[test]
fn addresses_without_end_take_the_room_of_none_that_is_proved() {
    let mut stage = Stage::in_use();
    stage.answers_at.push(away());
    let check = stage.checks.plain();
    stage.comes(away(), &check).unwrap();
    stage.told();
    // All are authentic, and none answers: somebody on the way takes the checks and sends them on from elsewhere.
    for n in 0..60 {
        let check = stage.checks.nominating();
        let expected = if usize::from(n) < PATHS_MAX - 2 { Ok(()) } else { Err(Refused::Full) };
        assert_eq!(stage.comes(nth(n), &check), expected, "{n}");
    }
    assert_eq!(stage.agent.paths(), PATHS_MAX);
    assert!(stage.agent.admits(home()) && stage.agent.admits(away()));
    assert_eq!(stage.agent.target(), Some(home()));
    // Each had its time to answer; then it makes room.
    stage.lasts(Duration::from_secs(2));
    let third = place("192.0.2.77:7");
    stage.answers_at.push(third);
    let check = stage.checks.plain();
    stage.comes(third, &check).unwrap();
    assert_eq!(stage.told(), [Event::Valid(third)]);
    assert_eq!(stage.agent.paths(), PATHS_MAX);
}

#[test]
fn a_description_full_of_addresses_makes_room_for_one_that_checks() {
    let candidates: Vec<Place> = (0..40).map(nth).collect();
    let mut stage = Stage::new(&candidates);
    assert_eq!(stage.agent.paths(), PATHS_MAX);
    let check = stage.checks.nominating();
    stage.comes(home(), &check).unwrap();
    assert_eq!(stage.told(), [Event::Valid(home()), Event::Selected(home())]);
    assert_eq!(stage.agent.paths(), PATHS_MAX);
}

#[test]
fn a_browser_that_left_an_address_is_followed_when_that_does_not_answer() {
    let mut stage = Stage::in_use();
    stage.answers_at = vec![away()];
    let check = stage.checks.nominating();
    stage.comes(away(), &check).unwrap();
    assert_eq!(stage.told(), [Event::Valid(away())], "the old one is asked first");
    stage.lasts(Duration::from_millis(590));
    assert_eq!(stage.told(), []);
    assert_eq!(stage.asked.iter().filter(|at| **at == home()).count(), 3, "at first, and twice in doubt");
    stage.lasts(Duration::from_millis(10));
    assert_eq!(stage.told(), [Event::Selected(away())]);
    // The old one still counts for what is under way, until it has been silent for half a minute.
    assert!(stage.agent.admits(home()));
    stage.lasts(Duration::from_secs(30));
    assert_eq!(stage.told(), [Event::Gone(home())]);
}

#[test]
fn an_address_that_answers_is_kept_until_it_is_nominated_no_more() {
    let mut stage = Stage::in_use();
    stage.answers_at.push(away());
    // Both are nominated, with one and the same priority: nothing is to be gained.
    for _ in 0..10 {
        for at in [away(), home()] {
            let check = stage.checks.nominating();
            stage.comes(at, &check).unwrap();
        }
        stage.lasts(Duration::from_secs(2));
    }
    assert_eq!(stage.told(), [Event::Valid(away())]);
    // Then the other alone.
    for _ in 0..4 {
        let check = stage.checks.nominating();
        stage.comes(away(), &check).unwrap();
        stage.lasts(Duration::from_secs(2));
    }
    assert_eq!(stage.told(), [Event::Selected(away())]);
}

#[test]
fn a_better_address_takes_over_at_once_and_a_worse_one_does_not() {
    let mut stage = Stage::in_use();
    stage.answers_at.push(away());
    let check = stage.checks.nominating_at(2);
    stage.comes(away(), &check).unwrap();
    assert_eq!(stage.told(), [Event::Valid(away()), Event::Selected(away())]);
    let check = stage.checks.nominating_at(1);
    stage.comes(home(), &check).unwrap();
    stage.lasts(Duration::from_secs(1));
    assert_eq!(stage.told(), []);
}

#[test]
fn of_two_that_are_controlled_the_caller_gives_way() {
    let mut stage = Stage::new(&[]);
    let check = stage.checks.with(1, &[(ATTR_ICE_CONTROLLED, &[0xff; 8])]);
    stage.agent.receive(stage.now, home(), &check).unwrap();
    let (to, told) = stage.agent.poll_transmit().unwrap();
    assert_eq!((to, &told[..2]), (home(), &[1, 0x11][..]));
    assert!(
        told.windows(4).any(|four| four == [0, 0, 4, 87]),
        "RFC 8445 section 7.3.1.1: 487, Role Conflict"
    );
    assert_eq!((stage.agent.paths(), stage.agent.poll_transmit()), (0, None), "it proves nothing yet");
    let check = stage.checks.with(1, &[(ATTR_ICE_CONTROLLING, &[0xff; 8]), (ATTR_USE_CANDIDATE, &[])]);
    stage.comes(home(), &check).unwrap();
    assert_eq!(stage.told(), [Event::Valid(home()), Event::Selected(home())]);
}

#[test]
fn a_candidate_that_comes_later_is_checked_and_counts() {
    let mut stage = Stage::new(&[]);
    stage.lasts(Duration::from_millis(300));
    stage.agent.add_candidate(stage.now, home().at);
    stage.lasts(STEP);
    assert_eq!(stage.told(), [Event::Valid(home())], "our check found it before it sent any");
    assert_eq!(stage.agent.target(), Some(home()), "good enough until one is nominated");
    stage.agent.add_candidate(stage.now, home().at);
    assert_eq!(stage.agent.paths(), 1);
    let check = stage.checks.nominating();
    stage.comes(home(), &check).unwrap();
    assert_eq!(stage.told(), [Event::Selected(home())]);
}

#[test]
fn checks_are_spaced_and_end() {
    let candidates: Vec<Place> = (0..4).map(nth).collect();
    let mut stage = Stage::new(&candidates);
    let began = stage.now;
    let mut times = Vec::new();
    while let Some(at) = stage.agent.poll_timeout() {
        stage.now = at;
        stage.agent.handle_timeout(at);
        let sent = stage.asked.len();
        stage.carry();
        if stage.asked.len() > sent {
            times.push(at - began);
        }
    }
    assert_eq!(times.len(), 4 * 8, "eight for each");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= STEP), "{times:?}");
    assert!(*times.last().unwrap() < Duration::from_secs(30));
    assert_eq!(stage.agent.paths(), 0, "what never answered is forgotten");
}

fn stream(n: u64) -> Place {
    Place { stream: Some(StreamId(n)), ..home() }
}

#[test]
fn datagrams_are_preferred_to_a_connection_and_it_is_what_is_left_without_them() {
    let mut stage = Stage::new(&[]);
    stage.answers_at = vec![stream(1)];
    // What browsers say of the two: RFC 6544 section 4.2.
    let (worse, better) = (80 << 24, 110 << 24);
    let check = stage.checks.nominating_at(worse);
    stage.comes(stream(1), &check).unwrap();
    assert_eq!(stage.told(), [Event::Valid(stream(1)), Event::Selected(stream(1))]);
    stage.answers_at.push(home());
    let check = stage.checks.nominating_at(better);
    stage.comes(home(), &check).unwrap();
    assert_eq!(
        stage.told(),
        [Event::Valid(home()), Event::Selected(home())],
        "the same address, another place"
    );
    let check = stage.checks.nominating_at(worse);
    stage.comes(stream(1), &check).unwrap();
    stage.lasts(Duration::from_secs(1));
    assert_eq!(stage.told(), []);
    // The datagrams do not come through any more.
    stage.answers_at = vec![stream(1)];
    let check = stage.checks.nominating_at(worse);
    stage.comes(stream(1), &check).unwrap();
    stage.lasts(Duration::from_secs(1));
    assert_eq!(stage.told(), [Event::Selected(stream(1))]);
}

#[test]
fn a_connection_that_closes_is_sent_nothing_and_the_next_one_goes_on() {
    let mut stage = Stage::new(&[]);
    stage.answers_at = vec![stream(1)];
    let check = stage.checks.nominating();
    stage.comes(stream(1), &check).unwrap();
    stage.told();
    stage.agent.left(stage.now, stream(7));
    assert_eq!(stage.agent.target(), Some(stream(1)), "that was another's");
    stage.agent.left(stage.now, stream(1));
    stage.carry();
    assert_eq!(stage.told(), [Event::Gone(stream(1)), Event::Adrift]);
    assert_eq!((stage.agent.target(), stage.agent.paths()), (None, 0));
    stage.lasts(Duration::from_secs(20));
    assert_eq!(stage.told(), [], "it has the time that consent has");
    stage.answers_at = vec![stream(2)];
    let check = stage.checks.nominating();
    stage.comes(stream(2), &check).unwrap();
    assert_eq!(stage.told(), [Event::Valid(stream(2)), Event::Selected(stream(2))]);

    // Another that is nominated, and waits for the one in use to be silent, need not wait for it to close.
    stage.answers_at = vec![stream(2), home()];
    let check = stage.checks.nominating();
    stage.comes(home(), &check).unwrap();
    assert_eq!(stage.told(), [Event::Valid(home())]);
    stage.agent.left(stage.now, stream(2));
    stage.carry();
    assert_eq!(stage.told(), [Event::Gone(stream(2)), Event::Selected(home())]);
}

#[test]
fn a_connection_that_nobody_replaces_is_consent_that_ends() {
    let mut stage = Stage::new(&[]);
    stage.answers_at = vec![stream(1)];
    let check = stage.checks.nominating();
    stage.comes(stream(1), &check).unwrap();
    stage.agent.left(stage.now, stream(1));
    stage.carry();
    stage.told();
    stage.lasts(Duration::from_secs(31));
    assert_eq!(stage.told(), [Event::Lost]);
    assert_eq!((stage.agent.paths(), stage.agent.poll_timeout()), (0, None));
}

#[test]
fn consent_is_asked_for_and_ends_when_nobody_gives_it() {
    let mut stage = Stage::in_use();
    let asked = stage.asked.len();
    stage.lasts(Duration::from_secs(60));
    let asked = stage.asked.len() - asked;
    assert!((10..=15).contains(&asked), "every five seconds, more or less: {asked}");
    assert_eq!(stage.told(), []);
    stage.answers_at.clear();
    let left = stage.now;
    while stage.told.is_empty() {
        stage.lasts(Duration::from_secs(1));
    }
    assert_eq!(stage.told(), [Event::Gone(home()), Event::Lost]);
    let silent = stage.now - left;
    assert!((Duration::from_secs(23)..=Duration::from_secs(31)).contains(&silent), "{silent:?}");
    assert_eq!((stage.agent.target(), stage.agent.poll_timeout()), (None, None), "nothing is sent any more");

    // RFC 7675 section 5.1 ends consent for good; ours comes back with a proof, as the keys are the same.
    stage.answers_at.push(home());
    let check = stage.checks.nominating();
    stage.comes(home(), &check).unwrap();
    assert_eq!(stage.told(), [Event::Valid(home()), Event::Selected(home())]);
}

#[test]
fn a_restart_keeps_what_is_in_use_until_the_new_checks_have_found_a_way() {
    let mut stage = Stage::in_use();
    stage.answers_at.push(away());
    let check = stage.checks.plain();
    stage.comes(away(), &check).unwrap();
    stage.told();
    let mut old = stage.checks.clone();
    let (ours, anew) = (
        Credentials { ufrag: "anew".into(), pwd: "0123456789012345678901".into() },
        Credentials { ufrag: "them".into(), pwd: "another-password-of-theirs".into() },
    );
    stage.agent.restart(stage.now, ours.clone(), anew.clone());
    stage.carry();
    assert_eq!(stage.told(), [Event::Gone(away())]);
    assert_eq!(stage.agent.target(), Some(home()), "sound goes on");
    assert!(stage.agent.admits(home()), "and comes");
    for octets in [old.plain(), old.nominating()] {
        assert_eq!(stage.comes(away(), &octets), Err(Refused::NotAuthentic), "under the old password");
    }
    (stage.checks, stage.password) = (Checks::of(&ours), anew.pwd);
    let check = stage.checks.nominating();
    stage.comes(away(), &check).unwrap();
    assert_eq!(
        stage.told(),
        [Event::Valid(away()), Event::Selected(away())],
        "no doubt: the old one is of before"
    );
    stage.lasts(Duration::from_secs(60));
    assert_eq!(stage.told(), [Event::Gone(home())]);
    assert_eq!(stage.agent.target(), Some(away()));
}

#[test]
fn an_answer_counts_from_where_it_was_asked_once_and_under_the_password() {
    let mut stage = Stage::new(&[]);
    let check = stage.checks.plain();
    stage.agent.receive(stage.now, home(), &check).unwrap();
    let sent: Vec<_> = std::iter::from_fn(|| stage.agent.poll_transmit()).collect();
    let (_, ours) = sent.iter().find(|(_, octets)| is_check(octets)).unwrap();
    let good = answer(ours, PASSWORD);
    for (from, octets, error) in [
        (home(), answer(ours, "a password that is wrong"), Refused::NotAuthentic),
        (stranger(), good.clone(), Refused::Unasked),
        (home(), good[..good.len() - 8].to_vec(), Refused::NotACheck),
    ] {
        assert_eq!(stage.comes(from, &octets), Err(error));
        assert!(!stage.agent.admits(home()));
    }
    stage.comes(home(), &good).unwrap();
    assert_eq!(stage.told(), [Event::Valid(home())]);
    assert_eq!(stage.comes(home(), &good), Err(Refused::Unasked), "once");
}
