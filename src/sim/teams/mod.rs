//! Microsoft's SIP proxy, simulated: three sites, mutual TLS, and the habits that make Direct Routing what it is.
//!
//! ```text
//!   sip  127.0.0.x:a ─┐                        ┌─ rules: what Microsoft refuses, and what only hurts later
//!   sip2 127.0.0.y:b ─┼─ TLS, 7-octet records ─┤ machine: calls, transfers, forks (no socket, no clock)
//!   sip3 127.0.0.z:c ─┘                        └─ sound: SRTP with a tone, an ear for what comes
//! ```
//!
//! It answers OPTIONS without a To tag and then asks the gateway itself; it writes header names in capitals and display
//! names without quotation marks; its Contact lies on port 443, where nobody listens; it offers two crypto suites and
//! a key with an MKI as a trap; it holds by `inactive`; it transfers by REFER from another address on a new connection.
//! It enforces the published rules ([`Rule`]) and tells what it saw ([`Seen`]). It is built from documentation and
//! other people's traces, not from Microsoft's software: passing here is no certification.

mod house;
mod machine;
mod rules;
mod sdp;
mod sound;
#[cfg(test)]
mod tests;
mod wire;
mod write;

pub use house::{CUSTOMER, CUSTOMER_HZ, FQDN, House, HouseError, NUMBER, SUPERVISOR_HZ, USER};
pub use machine::{
    Along, CallId, Connection, Goodbye, Machine, Manner, Media, Output, ReferTo, SITES, Seen, Site, Stage,
};
pub use rules::{Broken, Known, Rule, judge_first, judge_within};
pub use sdp::{Crypto, Theirs};
pub use wire::{Options, Proxy, ProxyError, State};
