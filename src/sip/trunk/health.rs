//! Whether one destination of a trunk lives, by what it answers and by what becomes of calls to it.
//!
//! ```text
//!    ┌─────────┐  any answer but 503  ┌────┐  2 answers   ┌──────┐
//!    │ unknown │─────────────────────>│ up │<─────────────│ down │
//!    └─────────┘                      └────┘              └──────┘
//!      ^     │  3 silences, no way there │  3 silences,      ^
//!      │     └───────────────────────────┼─ no way there ────┤
//!      │                                 │                   │
//!      │ the time is over  ┌─────────┐   │ 503, Retry-After  │ 503 without
//!      └───────────────────│ resting │<──┴───────────────────┘
//!                          └─────────┘
//! ```
//!
//! From every state, 503 with Retry-After leads to rest: the peer has said how long it wants none of us
//! (RFC 3261 section 21.5.4). One good answer does not make a peer that was down trustworthy again; two in a row do.

use std::time::{Duration, Instant};

/// Silences in a row after which a destination counts as down: one lost packet is not an outage.
const SILENCES_MAX: u32 = 3;

/// Answers in a row that bring it up again: a peer that comes and goes would take calls with it each time.
const ANSWERS_MIN: u32 = 2;

/// How long one that is asked by nobody stays out of use after it failed a call.
const UNASKED_REST: Duration = Duration::from_secs(30);

/// What was heard of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sip) enum Heard {
    /// It answered with this status, and wants to be left alone for a while if it says so.
    Answer(u16, Option<Duration>),
    /// It said nothing.
    Silence,
    /// There is no way there: no connection, no certificate, no address.
    NoWay,
}

/// How a destination may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sip) enum Standing {
    /// For calls.
    Good,
    /// When no other is left: what is known of it may be old.
    LastResort,
    /// Not at all: it asked for that.
    Resting,
}

/// The health of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Unknown { silences: u32 },
    Up { silences: u32 },
    Down { answers: u32 },
    Resting { until: Instant },
}

impl Health {
    pub(super) const NEW: Health = Health::Unknown { silences: 0 };

    /// What this changes. `rest_max` bounds what a peer may ask for; `asked` says whether OPTIONS will tell when it
    /// is back.
    pub(super) fn hear(&mut self, now: Instant, heard: Heard, rest_max: Duration, asked: bool) {
        self.wake(now);
        *self = match (*self, heard) {
            (_, Heard::Answer(503, Some(wait))) => Health::Resting { until: now + wait.min(rest_max) },
            (_, Heard::Answer(503, None)) => Health::Down { answers: 0 },
            // Any other answer is a sign of life: 404, 405 and 483 come from peers that work.
            (Health::Down { answers }, Heard::Answer(..)) if answers + 1 < ANSWERS_MIN => {
                Health::Down { answers: answers + 1 }
            }
            // What it answers to calls that are up already does not end its rest.
            (resting @ Health::Resting { .. }, _) => resting,
            (_, Heard::Answer(..)) => Health::Up { silences: 0 },
            (_, Heard::NoWay) if !asked => Health::Resting { until: now + UNASKED_REST.min(rest_max) },
            (_, Heard::NoWay) => Health::Down { answers: 0 },
            (Health::Unknown { silences }, Heard::Silence) if silences + 1 < SILENCES_MAX => {
                Health::Unknown { silences: silences + 1 }
            }
            (Health::Up { silences }, Heard::Silence) if silences + 1 < SILENCES_MAX => {
                Health::Up { silences: silences + 1 }
            }
            (_, Heard::Silence) if !asked => Health::Resting { until: now + UNASKED_REST.min(rest_max) },
            (_, Heard::Silence) => Health::Down { answers: 0 },
        };
    }

    pub(super) fn standing(self, now: Instant) -> Standing {
        match self {
            Health::Unknown { .. } | Health::Up { .. } => Standing::Good,
            Health::Down { .. } => Standing::LastResort,
            Health::Resting { until } if until <= now => Standing::Good,
            Health::Resting { .. } => Standing::Resting,
        }
    }

    /// Whether it is known to live; `None` while nobody knows.
    pub(super) fn is_up(self, now: Instant) -> Option<bool> {
        match self {
            Health::Unknown { .. } => None,
            Health::Up { .. } => Some(true),
            Health::Down { .. } => Some(false),
            Health::Resting { until } => (until > now).then_some(false),
        }
    }

    /// When it comes back by itself.
    pub(super) fn wakes(self) -> Option<Instant> {
        if let Health::Resting { until } = self { Some(until) } else { None }
    }

    fn wake(&mut self, now: Instant) {
        if matches!(self, Health::Resting { until } if *until <= now) {
            *self = Health::NEW;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn after(heard: &[Heard]) -> Health {
        let (now, mut health) = (Instant::now(), Health::NEW);
        heard.iter().for_each(|heard| health.hear(now, *heard, HOUR, true));
        health
    }

    const OK: Heard = Heard::Answer(200, None);

    #[test]
    fn any_answer_is_life_but_503() {
        for status in [200, 404, 405, 483, 500] {
            assert_eq!(after(&[Heard::Answer(status, None)]), Health::Up { silences: 0 }, "{status}");
        }
        assert_eq!(after(&[Heard::Answer(503, None)]), Health::Down { answers: 0 });
        assert_eq!(after(&[OK, Heard::Answer(503, None)]), Health::Down { answers: 0 });
    }

    #[test]
    fn three_silences_in_a_row_are_an_outage_and_two_answers_in_a_row_its_end() {
        let silence = Heard::Silence;
        assert_eq!(after(&[OK, silence, silence]), Health::Up { silences: 2 });
        assert_eq!(after(&[OK, silence, silence, OK, silence]), Health::Up { silences: 1 });
        assert_eq!(after(&[OK, silence, silence, silence]), Health::Down { answers: 0 });
        assert_eq!(after(&[silence, silence, silence, OK]), Health::Down { answers: 1 });
        assert_eq!(after(&[silence, silence, silence, OK, silence, OK]), Health::Down { answers: 1 });
        assert_eq!(after(&[Heard::NoWay, OK, OK]), Health::Up { silences: 0 });
    }

    #[test]
    fn a_peer_that_wants_rest_gets_it_for_as_long_as_we_allow() {
        let (now, mut health) = (Instant::now(), Health::Up { silences: 0 });
        health.hear(now, Heard::Answer(503, Some(Duration::from_secs(60))), Duration::from_secs(20), true);
        assert_eq!(health.standing(now + Duration::from_secs(19)), Standing::Resting);
        health.hear(now, OK, HOUR, true);
        assert_eq!(health.standing(now), Standing::Resting, "an answer meanwhile does not end the rest");
        assert_eq!(health.standing(now + Duration::from_secs(20)), Standing::Good);
        assert_eq!(health.is_up(now + Duration::from_secs(20)), None);
        health.hear(now + Duration::from_secs(21), OK, HOUR, true);
        assert_eq!(health, Health::Up { silences: 0 });
    }

    #[test]
    fn one_that_nobody_asks_is_tried_again_by_itself() {
        let (now, mut health) = (Instant::now(), Health::NEW);
        health.hear(now, Heard::NoWay, HOUR, false);
        assert_eq!(health.standing(now), Standing::Resting);
        assert_eq!(health.standing(now + UNASKED_REST), Standing::Good);
    }
}
