//! Voice media without a clock, a socket or a task.
//!
//! Everything a gateway does to audio lives here as plain state machines: packets and the time of
//! day go in as arguments, frames and packets come out. Nothing in this crate asks what time it is,
//! opens a socket or spawns anything, so a minute of call is tested in milliseconds, and the caller
//! decides on which thread and at which beat the work is done.
//!
//! # Invariants
//! - Sound is 16 bit mono PCM at 8 or 16 kHz, in slices; a packet carries 10 to 60 ms of it.
//! - Nothing is allocated per packet: state is fixed arrays, output goes to the caller's buffer. What
//!   a stream needs it allocates once: a mouth its history, a tap its concealment when packets first
//!   stay away.
//! - Nothing that comes off the network can panic, and every store has a named limit.
//!
//! # Where to look
//! [`frame`] and [`time`] are the vocabulary. [`stream`] reads, counts and numbers packets. [`codec`]
//! turns octets to PCM and back. [`mix`] decides *when* a packet is played and to whom, and sums it
//! for each ear. [`srtp`] opens and seals them on the way. [`resample`] joins the two rates, [`resample24`] a third
//! from outside, [`tone`] makes and measures sound, [`answer`] listens for machines, [`mos`] says how a line sounds.

pub mod answer;
pub mod codec;
pub mod frame;
pub mod mix;
pub mod mos;
pub mod resample;
pub mod resample24;
pub mod srtp;
pub mod stream;
pub mod time;
pub mod tone;
