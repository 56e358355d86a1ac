//! Stories told with a whole gateway and simulated telephones on real sockets.
//!
//! Nothing here judges the clock: waits are for packets, beats and answers, and measures are taken over samples received.

#![cfg(feature = "sim")]

mod consult;
mod demo;
mod dial_in;
mod follow;
mod hold;
mod keys;
mod phones;
mod protected;
mod quality;
mod registration;
mod rights;
mod routing;
mod stranger;
mod switch;
mod takeover;
mod transfer;
mod whisper;

/// What a story returns: anything that went wrong, as its own error says it.
type Story = Result<(), Box<dyn std::error::Error>>;
