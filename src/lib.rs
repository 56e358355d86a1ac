//! Sidetone, a voice-consult gateway: it takes calls from carriers and softphones, brings them to
//! agents, and lets supervisors monitor, whisper, barge and take over.
//!
//! A call walks through the rooms in this order. The [`sip`] door turns messages into legs and knows
//! nothing above them; [`acs`] is a second door, of Azure Communication Services, and [`rtc`] a third, of browsers. [`prereq`] says whether somebody at
//! Teams may be rung at all. [`call`] is the quiet core: what a call is, who hears whom, what a supervisor
//! may become; it has no clock, no socket and no task, and is told everything. The [`bridge`] carries
//! the sound as the core's table says, on threads of its own. The [`switchboard`] owns every live call
//! and carries word between core, door and bridge. [`observe`] keeps what happened: events, records,
//! audit, metrics. The [`api`] is how people and programs ask, through the switchboard's desk.
//! [`gateway`] puts all of it together, and [`config`] reads the file that says how; [`jwks`] checks tokens
//! that somebody else signed, for whoever is shown one; [`tls`] says as whom we speak and whom we believe; `connections`
//! lets HTTP in within limits, and [`client`] sends it out; [`random`] makes what nobody may guess. `sim` plays the
//! telephones of tests and demo; nothing here knows of it.
//!
//! Read [`call::hearing`] first: it is what the product promises.

pub mod prereq;

pub mod call;

pub mod sip;

pub mod acs;

pub mod rtc;

pub mod bridge;

pub mod switchboard;

pub mod observe;

pub mod api;

pub mod client;
pub mod config;
pub mod gateway;
pub mod jwks;
pub mod tls;

mod connections;
pub mod random;

#[cfg(feature = "sim")]
pub mod sim;
