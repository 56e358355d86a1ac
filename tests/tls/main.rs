//! TLS on real sockets: who is believed, who is not, and what a flood costs.
//!
//! The far ends are the stock rustls with certificates of a test authority. Nothing here judges the clock: what counts is
//! which handshakes were completed, which octets came, and in what order.

#![cfg(feature = "sim")]

mod flood;
mod gateway;
mod handshake;
mod reload;
mod renewal;
mod rules;
mod town;

/// What a story returns: anything that went wrong, as its own error says it.
type Story = Result<(), Box<dyn std::error::Error>>;
