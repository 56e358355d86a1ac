//! Mixing: what several mouths say, at one ear.
//!
//! A [`Mouth`] keeps the last moments of what a party said, decoded once, however many ears listen.
//! A [`Tap`] is one ear's place in it: where it reads, how loud, and how far behind it may fall. A
//! [`Mix`] is one ear's sum of taps, encoded for that ear.
//!
//! ```text
//!   packets ─> Mouth ──ring──┬─> Tap ─┐
//!   packets ─> Mouth ──ring──┼─> Tap ─┼─> Mix ─> payload for one ear
//!                            └─> Tap  │ (another ear's)
//!   music, ringback ───────────> Tap ─┘
//! ```
//!
//! Mechanism only: who may be heard by whom is decided elsewhere, and nothing here knows a role.

mod ear;
mod mouth;
mod tap;

pub use ear::{Generator, Mix};
pub use mouth::{HISTORY_MS, Mouth, Said};
pub use tap::{BEHIND_MS_MAX, RAMP_MS, Tap};
