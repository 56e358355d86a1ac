//! Stories about calls that come and go over Azure Communication Services, told with a whole gateway, simulated telephones
//! and a simulated service; and that service judged by Microsoft's own SDK.
//!
//! Nothing here judges the clock: waits are for frames, events and answers, and measures are taken over samples received.

#![cfg(feature = "sim")]

mod calls;
mod captures;
mod consult;
mod context;
mod door;
mod entra;
mod flood;
mod keys;
mod leftover;
mod logs;
mod published;
mod reload;
mod schema;
mod sdk;
mod streams;
mod supervision;
mod support;
mod teams_user;
mod terminal;
mod tokens;

/// What a story returns: anything that went wrong, as its own error says it.
type Story = Result<(), Box<dyn std::error::Error>>;
