//! Voice media without a clock, a socket or a task.
//!
//! Everything a gateway does to audio lives here as plain state machines: packets and the time of
//! day go in as arguments, frames and packets come out. Nothing in this crate asks what time it is,
//! opens a socket or spawns anything, so a minute of call is tested in milliseconds, and the caller
//! decides on which thread and at which beat the work is done.
//!
//! # Invariants
//! - One beat is [`frame::TICK_MS`] (20 ms). Audio between the rooms is a [`frame::Frame`]: one tick
//!   of 16 bit mono PCM at 8 or 16 kHz.
//! - Nothing is allocated per frame: state is fixed arrays, output goes to the caller's buffer. The
//!   one thing that allocates at all is a jitter buffer, once, at its first packet.
//! - Nothing that comes off the network can panic, and every store has a named limit.
//!
//! # Where to look
//! [`frame`] and [`time`] are the vocabulary. [`codec`] turns octets to PCM and back. [`jitter`]
//! decides *when* a packet is played, [`playout`] turns that decision into one frame per tick.
//! [`resample`] joins the two rates, [`tone`] makes and measures sound.

pub mod codec;
pub mod frame;
pub mod jitter;
pub mod playout;
pub mod resample;
pub mod time;
pub mod tone;
