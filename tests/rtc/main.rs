//! Browsers, played by str0m: an independent ICE, DTLS and SRTP, against a whole gateway on real sockets.
//!
//! Nothing here judges the clock: waits are for packets, events and answers, and measures are taken over samples received.

#![cfg(feature = "sim")]

mod browser;
mod calls;
mod link;
mod roles;
mod strangers;
mod tcp;

/// What a story returns: anything that went wrong, as its own error says it.
type Story = Result<(), Box<dyn std::error::Error>>;
