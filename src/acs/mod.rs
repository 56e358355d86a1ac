//! Door 2: Azure Communication Services Call Automation. Its clouds tell us of calls and events over HTTP, we ask over
//! REST, and sound goes both ways over a WebSocket.
//!
//! ```text
//!   Event Grid ──> routes ──┐                      ┌──> Report ──> switchboard
//!   callbacks ───> routes ──┼──> Door (pure) ──────┤
//!   orders ─────────────────┘                      └──> Operation ──> rest ──> ACS
//!   media WebSocket <──> socket, stream <──> the bridge's wire of the leg
//! ```
//!
//! Every ACS party is a call connection of its own with nobody in it but them and us ("split legs"): ACS mixes one
//! conference for all, has no whisper and no way back from mute, and the gateway's table of who hears whom has both. So
//! hold and music are the gateway's, too, and an ACS leg is a leg like any other.
//!
//! Invariants:
//! - JSON dies in [`wire`], [`grid`], [`callback`] and [`stream`]; nothing above them sees any.
//! - A leg's id and a secret of its own are in the paths the clouds are given, before they are given them: an event that
//!   overtakes the answer to our request finds its leg.
//! - Nothing depends on an event's order, or on its coming once, or at all: what is missing is asked for.
//!
//! Look next at [`door`] for what a leg goes through.

pub mod callback;
pub mod cause;
pub mod door;
pub mod grid;
pub mod identifier;
mod leftover;
pub mod operation;
pub mod probe;
mod resources;
pub mod rest;
pub mod routes;
pub mod run;
pub mod sign;
pub mod socket;
pub mod stream;
pub mod token;
pub mod wire;

pub use run::{Acs, Pieces};
