//! Door 3: browsers and softphones over WebRTC.
//!
//! ```text
//!   POST, PATCH, DELETE ──> Desk ──┐                     ┌──> Report ──> switchboard
//!   orders ────────────────────────┼──> Door (pure) ─────┤
//!   datagrams ──> Mux ──> Peer ────┘                     └──> packets: checks, handshakes
//!   streams ──────┘└── sealed RTP and RTCP <──> the bridge's wire of the leg
//! ```
//!
//! All browsers share one UDP port, and those whose network lets no datagrams out one TCP port ([`streams`]), where the
//! same packets come [framed](frame). [`mux`] finds a datagram's leg by the ICE user name, by our own check's number or
//! by where it comes from; [`ice`] proves that whoever sends there has the password of the description; [`dtls`] agrees
//! on keys with whoever has the certificate of the description. The room opens and seals the packets, as it does for
//! any leg with SRTP: the door hands them through as they are, so one SSRC, one line of numbers and one set of reports
//! is the same for browsers and telephones.
//!
//! Invariants:
//! - **Authenticate before you learn.** An address counts when a check has been answered from it under the password;
//!   DTLS and media from any other address are not looked at. State grows by nothing that anybody could forge.
//! - **Strangers hear nothing.** What belongs to no leg, or proves nothing, is not answered.
//! - **What is in clear decides nothing.** An alert without a seal ends no handshake, sound that nobody has opened is no
//!   sign of life, and a packet whose source nobody can vouch for does not reach the room's queue ([`sources`]).
//! - **Nobody waits for a handshake.** Sound and checks are handled as they come; handshakes have their turns after them.
//! - **A call is not a path.** A browser that changes its network, or restarts ICE, keeps its keys, its SSRC and its
//!   place in the call.
//!
//! Absent on purpose: TURN and gathering (our address is known; browsers come to it), connections that we open, DTLS 1.3,
//! data channels, video.
//!
//! Look next at [`door`] for what a leg goes through.

pub mod codec;
mod connections;
pub mod door;
pub mod dtls;
pub mod frame;
pub mod ice;
pub mod mux;
pub mod peer;
pub mod place;
pub mod presence;
pub mod run;
pub mod sdp;
pub mod signal;
pub mod sources;
#[cfg(test)]
mod stories;
pub mod streams;

pub use presence::Browsers;
pub use run::{Pieces, Rtc};
pub use signal::Desk;
