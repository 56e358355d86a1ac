//! Keys of a leg: those to be sent, one request after the other; and those told by events, in the order they were pressed.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::super::wire;

/// Digits that wait to be sent; more are dropped. A long card number and its PIN, twice.
const WAITING_MAX: usize = 64;

/// Digits of one request.
const TONES_MAX: usize = 18;

/// Digits are taken for played without word of it after this long, and so much more for each.
const PLAYED_AFTER: Duration = Duration::from_secs(5);
const PLAYED_EACH: Duration = Duration::from_millis(250);

/// A key that is told before the one pressed before it waits this long for that one: events race each other over different
/// connections, which takes them some milliseconds.
const LATE_AFTER: Duration = Duration::from_millis(400);

/// Keys that wait for one before them.
const EARLY_MAX: usize = 32;

/// Both ways of a leg's keys.
#[derive(Debug)]
pub(super) struct Keys {
    waiting: VecDeque<char>,
    out: Out,
    /// The next press to be told, and those told before it.
    next: u64,
    early: BTreeMap<u64, char>,
    late_at: Option<Instant>,
}

/// What of ours is on its way. ACS refuses digits while others play: the next request waits for the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Out {
    Nothing,
    /// A request of so many digits; its event may overtake its answer.
    Asked {
        tones: u32,
        is_played: bool,
    },
    Plays {
        until: Instant,
    },
}

impl Keys {
    pub(super) fn new() -> Keys {
        let (waiting, out, early) = (VecDeque::new(), Out::Nothing, BTreeMap::new());
        Keys { waiting, out, next: 1, early, late_at: None }
    }

    /// Digits are to be sent.
    pub(super) fn push(&mut self, digits: &str) {
        let room = WAITING_MAX.saturating_sub(self.waiting.len());
        self.waiting.extend(digits.chars().filter(|digit| wire::tone(*digit).is_some()).take(room));
    }

    /// The tones of the next request, if nothing is on its way and something waits.
    pub(super) fn next_request(&mut self) -> Option<Vec<String>> {
        if self.out != Out::Nothing || self.waiting.is_empty() {
            return None;
        }
        let some = self.waiting.drain(..TONES_MAX.min(self.waiting.len()));
        let tones: Vec<String> = some.filter_map(wire::tone).map(str::to_owned).collect();
        self.out = Out::Asked { tones: tones.len() as u32, is_played: false };
        Some(tones)
    }

    /// The request was answered.
    pub(super) fn answered(&mut self, now: Instant, is_taken: bool) {
        self.out = match self.out {
            Out::Asked { tones, is_played: false } if is_taken => {
                Out::Plays { until: now + PLAYED_AFTER + PLAYED_EACH * tones }
            }
            _ => Out::Nothing,
        };
    }

    /// ACS tells that digits were played, or that they could not be.
    pub(super) fn played(&mut self) {
        self.out = match self.out {
            Out::Asked { tones, .. } => Out::Asked { tones, is_played: true },
            Out::Plays { .. } | Out::Nothing => Out::Nothing,
        };
    }

    /// The far end has pressed a key, the so manyeth; what is to be passed on now. Zero is a key without a place in line.
    pub(super) fn pressed(&mut self, now: Instant, sequence: u64, digit: char) -> Vec<char> {
        if sequence == 0 {
            return vec![digit];
        }
        // One that is given up comes too late: it would be heard among those after it.
        if sequence < self.next {
            return Vec::new();
        }
        self.early.insert(sequence, digit);
        if self.early.len() > EARLY_MAX {
            return self.give_up();
        }
        let line = self.in_line();
        self.late_at = match self.early.is_empty() {
            true => None,
            // Whatever is missing now has been missing since now, if something came through.
            false if !line.is_empty() => Some(now + LATE_AFTER),
            false => self.late_at.or(Some(now + LATE_AFTER)),
        };
        line
    }

    /// When [`Keys::handle_timeout`] is next wanted.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let played = if let Out::Plays { until } = self.out { Some(until) } else { None };
        played.into_iter().chain(self.late_at).min()
    }

    /// Lets due timers fire; what is to be passed on now.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<char> {
        if let Out::Plays { until } = self.out
            && until <= now
        {
            self.out = Out::Nothing;
        }
        if self.late_at.is_some_and(|at| at <= now) { self.give_up() } else { Vec::new() }
    }

    /// Those whose turn it is.
    fn in_line(&mut self) -> Vec<char> {
        let mut line = Vec::new();
        while let Some(digit) = self.early.remove(&self.next) {
            self.next = self.next.saturating_add(1);
            line.push(digit);
        }
        line
    }

    /// What is missing will not come: those after it are passed on without it.
    fn give_up(&mut self) -> Vec<char> {
        self.late_at = None;
        let all = std::mem::take(&mut self.early);
        self.next = all.last_key_value().map_or(self.next, |(last, _)| last.saturating_add(1));
        all.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_passed_on_as_they_were_pressed_however_they_are_told() {
        let (mut keys, now) = (Keys::new(), Instant::now());
        let mut heard = String::new();
        for (sequence, digit) in [(2, '2'), (1, '1'), (1, '1'), (2, '2'), (4, '4'), (5, '5'), (3, '3')] {
            heard.extend(keys.pressed(now, sequence, digit));
        }
        assert_eq!(heard, "12345");
        assert_eq!(keys.poll_timeout(), None, "and nothing waits");
    }

    #[test]
    fn a_key_that_is_never_told_holds_up_those_after_it_for_a_moment_only() {
        let (mut keys, now) = (Keys::new(), Instant::now());
        assert_eq!(keys.pressed(now, 1, '1'), ['1']);
        assert!(keys.pressed(now, 3, '3').is_empty());
        assert!(keys.pressed(now + LATE_AFTER / 2, 4, '4').is_empty());
        let at = keys.poll_timeout().unwrap();
        assert_eq!(at, now + LATE_AFTER);
        assert_eq!(keys.handle_timeout(at), ['3', '4']);
        assert!(
            keys.pressed(at, 2, '2').is_empty(),
            "it would be heard after those that were pressed after it"
        );
        assert_eq!(keys.pressed(at, 5, '5'), ['5']);
        // Any number of them waits for none for ever, nor in any amount of memory.
        let mut heard = 0;
        for sequence in 7..10_000 {
            heard += keys.pressed(at, sequence, '7').len();
            assert!(keys.early.len() <= EARLY_MAX);
        }
        assert!(heard > 9_000);
        assert_eq!(keys.pressed(at, u64::MAX, '#').len(), usize::from(keys.early.is_empty()));
    }

    #[test]
    fn digits_wait_until_those_before_them_have_been_played() {
        let (mut keys, now) = (Keys::new(), Instant::now());
        keys.push("123x");
        assert_eq!(keys.next_request().map(|tones| tones.len()), Some(3));
        keys.push("4");
        keys.answered(now, true);
        assert_eq!(keys.next_request(), None, "they play");
        keys.played();
        assert_eq!(keys.next_request(), Some(vec!["four".to_owned()]));
        // Told before it is answered.
        keys.played();
        keys.push("5");
        assert_eq!(keys.next_request(), None, "one request at a time");
        keys.answered(now, true);
        assert_eq!(keys.next_request(), Some(vec!["five".to_owned()]));
        // Never told.
        keys.answered(now, true);
        keys.push("6");
        let at = keys.poll_timeout().unwrap();
        assert_eq!(keys.next_request(), None);
        keys.handle_timeout(at);
        assert_eq!(keys.next_request(), Some(vec!["six".to_owned()]));
        keys.answered(now, false);
        keys.push(&"7".repeat(100));
        let all = std::iter::from_fn(|| {
            let tones = keys.next_request()?;
            keys.answered(now, false);
            Some(tones.len())
        });
        assert_eq!(all.collect::<Vec<_>>(), [18, 18, 18, 10]);
    }
}
