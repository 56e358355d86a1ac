//! RTP streams: what arrives, what is sent, and what both ends tell each other about it.
//!
//! A leg has one stream each way. [`rtp`] reads and writes headers. [`receive`] judges every packet
//! that comes in and counts; [`line`] numbers every packet that goes out; [`rtcp`] turns both counts
//! into reports and reads the other side's. [`event`] is the keypad: digits as RTP packets.
//!
//! # Invariants
//! - One SSRC out for the life of a leg; at most one SSRC in at a time.
//! - State is small and fixed: nothing here grows with the length of a call.

pub mod event;
pub mod line;
pub mod receive;
pub mod rtcp;
pub mod rtp;
