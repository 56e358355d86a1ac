//! What a session can be asked to do: the call to place, the refusal to give, and why it cannot be done.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::call::journey::Location;
use crate::sip::flow::Destination;
use crate::sip::header::NameAddr;
use crate::sip::login::Credentials;
use crate::sip::manners::Manners;
use crate::sip::uri::Uri;

/// RFC 4028: keep a session only while it is refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimers {
    /// The interval we ask for, in seconds. RFC 4028 recommends 1800.
    pub interval: u32,
    /// The shortest interval we agree to, in seconds; at least 90.
    pub min: u32,
}

/// Provisional responses that cannot get lost (RFC 3262).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reliable {
    /// Not offered.
    No,
    /// Offered in Supported; used when the other side wants it.
    #[default]
    Supported,
    /// Demanded by Require.
    Required,
}

/// How the address of requests inside a dialog is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NextHop {
    /// From the first Route or the peer's Contact, as RFC 3261 says. A name that is no address is not looked up: the
    /// request goes where the first one went.
    #[default]
    Follow,
    /// Where the first request went or came from: for phones behind NAT, whose Contact cannot be reached.
    Pinned,
    /// The first Route alone, whose name is looked up; without one, where the first request went or came from. For
    /// Microsoft, at whose Contact nobody listens.
    ByRoute,
}

/// A call to place.
#[derive(Debug, Clone)]
pub struct Dial {
    /// The Request-URI, and To unless that is given.
    pub target: Uri,
    /// Where the INVITE goes.
    pub destination: Destination,
    /// Where later requests go.
    pub next_hop: NextHop,
    /// Our From, without tag; display name as wanted.
    pub from: NameAddr,
    /// To when it is not the target.
    pub to: Option<NameAddr>,
    /// A pre-loaded route set, topmost first.
    pub routes: Vec<NameAddr>,
    /// Our offer; without one the callee makes it.
    pub offer: Option<Bytes>,
    /// Further header lines of the INVITE: name, value.
    pub headers: Vec<(String, Bytes)>,
    /// Where the caller is: its lines, and beside our offer its parts. A callee that refuses it is called without.
    pub location: Option<Arc<Location>>,
    /// Whether provisional responses shall be reliable. Ignored without an offer: then none are asked for,
    /// because a reliable provisional response would have to bring the offer.
    pub reliable: Reliable,
    /// Session timer to ask for.
    pub timers: Option<SessionTimers>,
    /// Name and password for a peer that asks for them. Without, a 401 or 407 ends the call.
    pub credentials: Option<Credentials>,
    /// How long the other side may say nothing at all before the call is given up: shorter than a transaction's
    /// 32 s where there is another destination to try.
    pub patience: Option<Duration>,
    /// How many more gateways and proxies the call may pass: Max-Forwards.
    pub hops: u8,
    /// How the peer is spoken to.
    pub manners: Arc<Manners>,
}

/// A refusal of a call: its status and what goes with it.
#[derive(Debug, Clone, Default)]
pub struct Refusal {
    /// 300 to 699.
    pub status: u16,
    /// Values of Reason headers, `Q.850;cause=17` for example.
    pub reasons: Vec<String>,
    /// Retry-After in whole seconds.
    pub retry_after: Option<Duration>,
    /// Further header lines: name, value (WWW-Authenticate of a 401).
    pub headers: Vec<(String, Bytes)>,
}

impl Refusal {
    /// A refusal with nothing but a status.
    pub fn new(status: u16) -> Refusal {
        Refusal { status, ..Refusal::default() }
    }
}

/// Why a command could not be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The session ended, or never was.
    #[error("no such session")]
    NoSession,
    /// The session is not in a state in which this can be done.
    #[error("not possible in this state of the session")]
    WrongState,
    /// A limit of the endpoint was reached.
    #[error("limit reached")]
    Limit,
    /// What was given does not make a message.
    #[error("cannot be written as a message")]
    Unwritable,
}
