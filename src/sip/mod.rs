//! Door 1: SIP, for carrier trunks, Teams Direct Routing and softphones.
//!
//! The lower half is the written word and is pure: [`message`] reads a datagram or a framed piece of a stream in one
//! pass, [`header`] and [`uri`] give typed views of what it holds, [`build`] writes messages anew, [`sdp`],
//! [`offer`] and [`sdes`] agree on media, and [`digest`] proves who is speaking. Nothing there knows the time or a socket, and no
//! input makes it panic.

pub mod build;
pub mod digest;
mod diversion;
pub mod frame;
pub mod header;
pub mod message;
pub mod offer;
pub mod sdes;
pub mod sdp;
pub mod text;
pub mod uri;
mod voicemail;

pub mod alarm;
pub mod dialog;
pub mod door;
pub mod endpoint;
pub mod flow;
mod hub;
mod identity;
mod large;
mod layer;
mod leg;
mod location;
pub mod login;
pub mod manners;
mod multipart;
pub mod names;
mod passport;
mod people;
pub mod refer;
pub mod register;
pub mod session;
mod slack;
pub mod teams;
pub mod transaction;
pub mod transport;
mod trunk;

#[cfg(test)]
mod stories;
