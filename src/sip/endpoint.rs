//! One SIP user agent without sockets: messages and time go in, messages and events come out.
//!
//! ```text
//!            receive(now, peer, octets)            poll() -> Transmit, Incoming, Event, Outcome
//!   sockets -----------------------------> Endpoint ------------------------------------> sockets, core
//!            handle_timeout(now)                   poll_timeout() -> when to come back
//! ```
//!
//! After every call that takes `now`, call [`Endpoint::poll`] until it gives `None`, then wait for the earlier of
//! the next message and [`Endpoint::poll_timeout`]. The endpoint never blocks, never asks the time and never
//! panics on what a peer sends. What arrives is authenticated by nobody here: [`Incoming`] names the peer, and the door
//! decides.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::flow::{ConnectionId, Destination, Peer, Transport};
use super::header::Replaces;
use super::hub::{Hub, Resolver};
use super::large::DATAGRAM_MAX;
use super::manners::Manners;
use super::message::{Message, ParseError, Request, Response};
use super::register::{Change, Registrar};
use super::session::{Session, SessionEvent, SessionId, SessionTimers};
use super::uri::{Host, Uri};

mod commands;
mod keys;
mod requests;
mod responses;

pub(super) use requests::ALLOW;

/// Branches of one forked INVITE that are followed. Further ones are ignored until they answer; a hunt group has
/// about this many members.
pub const MAX_FORKS: usize = 16;

/// Most transactions kept at a time. 300 calls/s with five transactions each, remembered for 32 s, are 48,000.
pub const MAX_TRANSACTIONS: usize = 100_000;

/// Most sessions kept at a time.
pub const MAX_SESSIONS: usize = 20_000;

/// Whoever knows the address that a host of a URI has now, for this port and transport; at once, or not at all.
pub type Lookup = dyn Fn(Instant, &Host, u16, Transport) -> Option<SocketAddr> + Send + Sync;

/// Whoever knows how a peer is spoken to that sends OPTIONS: by the peer, its request and the port it finds us at.
pub type MannersOf = dyn Fn(&Peer, &Request, u16) -> Arc<Manners> + Send + Sync;

/// [`MannersOf`], where somebody knows.
#[derive(Default)]
struct OfPeers(Option<Arc<MannersOf>>);

impl std::fmt::Debug for OfPeers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "OfPeers" } else { "none" })
    }
}

/// Who we are and what we allow.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// The host and port by which peers reach us over UDP, for Via and Contact. `None`: the local address of the
    /// socket, which is right without NAT in front of us.
    pub advertised_udp: Option<(Host, u16)>,
    /// The same over TCP.
    pub advertised_tcp: Option<(Host, u16)>,
    /// The same over TLS.
    pub advertised_tls: Option<(Host, u16)>,
    /// The user part of our Contact.
    pub contact_user: String,
    /// User-Agent and Server.
    pub user_agent: String,
    /// Session timers (RFC 4028) for calls that come to us; `None` leaves the extension out.
    pub session_timers: Option<SessionTimers>,
    /// Octets of the longest request that is sent as a datagram; a longer one goes by TCP (RFC 3261 section 18.1.1).
    pub datagram_max: usize,
    /// See [`MAX_TRANSACTIONS`].
    pub max_transactions: usize,
    /// See [`MAX_SESSIONS`].
    pub max_sessions: usize,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        EndpointConfig {
            advertised_udp: None,
            advertised_tcp: None,
            advertised_tls: None,
            contact_user: "sidetone".into(),
            user_agent: concat!("Sidetone/", env!("CARGO_PKG_VERSION")).into(),
            session_timers: Some(SessionTimers { interval: 1800, min: 90 }),
            datagram_max: DATAGRAM_MAX,
            max_transactions: MAX_TRANSACTIONS,
            max_sessions: MAX_SESSIONS,
        }
    }
}

/// An OPTIONS that we sent, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OptionsId(pub u64);

/// A request that the door has written, by its number for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AskId(pub u64);

/// What became of a request that the door has written.
#[derive(Debug)]
pub enum Told {
    /// The final answer.
    Answered(Response),
    /// None within 32 s.
    Silence,
    /// The transport could not deliver it.
    NoWay,
}

/// What the endpoint wants done.
#[derive(Debug)]
pub enum Output {
    /// Put these octets on the wire.
    Transmit {
        /// Where to.
        to: Destination,
        /// One whole message.
        bytes: Bytes,
    },
    /// A call has come. 100 was sent; now [`Endpoint::progress`], [`Endpoint::accept`] or [`Endpoint::reject`].
    Incoming(Box<Incoming>),
    /// Something happened in a session.
    Event(SessionId, SessionEvent),
    /// A phone was registered anew, registered away, or its registration ran out.
    Registered(Change),
    /// What became of an OPTIONS of ours.
    Outcome(OptionsId, OptionsOutcome),
    /// What became of a request that the door has written.
    Told(AskId, Told),
}

/// A call that has come.
#[derive(Debug)]
pub struct Incoming {
    /// Its session.
    pub session: SessionId,
    /// Who sent it, as the socket saw it. Trust rests on this, not on headers.
    pub peer: Peer,
    /// The INVITE: Request-URI, From, To, P-Asserted-Identity, Authorization and all else.
    pub request: Request,
    /// The caller's offer, taken out of a multipart body if it was in one.
    pub offer: Option<Bytes>,
}

/// What became of an OPTIONS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionsOutcome {
    /// The peer answered, with whatever status: it lives.
    Answered {
        /// The status.
        status: u16,
        /// From question to answer.
        round_trip: Duration,
        /// For how long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// No answer for 32 s.
    TimedOut,
    /// The transport could not deliver.
    Unreachable,
}

/// One SIP user agent: all its transactions, dialogs and sessions.
#[derive(Debug)]
pub struct Endpoint {
    hub: Hub,
    registrar: Option<Registrar>,
    manners_of: OfPeers,
    sessions: HashMap<SessionId, Session>,
    options: HashMap<OptionsId, Instant>,
    sessions_made: u64,
    options_made: u64,
    dropped: u64,
}

impl Endpoint {
    /// An endpoint with nothing to do. Tags, branches and Call-IDs grow from `seed`: random in production.
    pub fn new(config: EndpointConfig, seed: [u8; 32]) -> Endpoint {
        Endpoint {
            hub: Hub::new(config, seed),
            registrar: None,
            manners_of: OfPeers::default(),
            sessions: HashMap::new(),
            options: HashMap::new(),
            sessions_made: 0,
            options_made: 0,
            dropped: 0,
        }
    }

    /// Takes REGISTER requests from now on.
    pub fn with_registrar(mut self, registrar: Registrar) -> Endpoint {
        self.registrar = Some(registrar);
        self
    }

    /// Looks names of routes up with this.
    pub fn with_lookup(mut self, lookup: Arc<Lookup>) -> Endpoint {
        self.hub.resolver = Resolver(Some(lookup));
        self
    }

    /// Answers OPTIONS outside of calls with the manners that this gives. Without it, plainly.
    pub fn with_manners(mut self, of: Arc<MannersOf>) -> Endpoint {
        self.manners_of = OfPeers(Some(of));
        self
    }

    /// The registrar: to look up where a phone is, to ask who is calling, to give it new passwords.
    pub fn registrar(&mut self) -> Option<&mut Registrar> {
        self.registrar.as_mut()
    }

    /// Takes one datagram, or one message cut from a stream.
    pub fn receive(&mut self, now: Instant, peer: Peer, message: Bytes) {
        let parsed = match peer.transport {
            Transport::Udp => Message::parse_datagram(message),
            Transport::Tcp | Transport::Tls => Message::parse_stream(message),
        };
        match parsed.and_then(Message::validated) {
            Ok(Message::Request(request)) => self.on_request(now, peer, request),
            Ok(Message::Response(response)) => self.on_response(now, &response),
            Err(ParseError::Reject(rejected)) => self.refuse_unread(peer, &rejected),
            Err(ParseError::Drop(defect)) => {
                self.dropped += 1;
                tracing::trace!(%defect, "message dropped");
            }
        }
        self.tidy();
    }

    /// A message to `to` could not be delivered: every transaction that waits for an answer from there has failed.
    pub fn transport_failed(&mut self, now: Instant, to: Destination) {
        for notice in self.hub.layer.transport_failed(now, to) {
            self.on_notice(now, notice);
        }
        self.note_datagrams_only(now);
        self.tidy();
    }

    /// A connection that stood has ended; `to` is where it was the way for requests that named none. Sessions go on (their
    /// next request opens another); phones registered over it are not reachable any more.
    pub fn connection_gone(&mut self, now: Instant, connection: ConnectionId, to: Option<Destination>) {
        let changes = self.registrar.as_mut().map(|registrar| registrar.connection_closed(connection));
        self.hub.events.extend(changes.into_iter().flatten().map(Output::Registered));
        for notice in self.hub.layer.connection_gone(now, connection, to) {
            self.on_notice(now, notice);
        }
        self.note_datagrams_only(now);
        self.tidy();
    }

    /// Lets every timer fire that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(notice) = self.hub.layer.fire(now) {
            self.on_notice(now, notice);
        }
        while let Some((at, (id, ring))) = self.hub.alarms.pop_due(now) {
            if self.sessions.get(&id).is_some_and(|session| session.is_due(ring, at)) {
                self.with(id, |session, hub| session.on_ring(hub, now, ring));
            }
        }
        let changes = self.registrar.as_mut().map(|registrar| registrar.handle_timeout(now));
        self.hub.events.extend(changes.into_iter().flatten().map(Output::Registered));
        self.tidy();
    }

    /// When [`Endpoint::handle_timeout`] is next wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let registrar = self.registrar.as_ref().and_then(Registrar::poll_timeout);
        [self.hub.layer.poll_timeout(), self.hub.alarms.next(), registrar].into_iter().flatten().min()
    }

    /// The next thing to do: messages first, then events, each in the order in which they came to be.
    pub fn poll(&mut self) -> Option<Output> {
        if let Some((to, bytes)) = self.hub.layer.out.pop_front() {
            return Some(Output::Transmit { to, bytes });
        }
        self.hub.events.pop_front()
    }

    /// The host and port that we give for ourselves on the way to `to`.
    pub fn address_for(&self, to: &Destination) -> (Host, Option<u16>) {
        self.hub.sent_by(to)
    }

    /// How many sessions are kept, those included whose BYE or CANCEL is still under way.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// How many transactions are kept.
    pub fn transactions(&self) -> usize {
        self.hub.layer.len()
    }

    /// How many received messages were no SIP, or not fit for an answer.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes a new configuration for calls from now on.
    pub fn configure(&mut self, config: EndpointConfig) {
        self.hub.config = config;
    }

    /// The session whose dialog this names, and whether it is confirmed (RFC 3891 section 3). A session that is over
    /// but for its courtesies is none.
    pub(super) fn replaced(&self, replaces: &Replaces) -> Option<(SessionId, bool)> {
        let id = *self.hub.tags.get(&parse_hex(&replaces.to_tag)?)?;
        let session = self.sessions.get(&id)?;
        let ours = session.has_dialog(&replaces.call_id, &replaces.from_tag);
        (ours && !session.is_over()).then(|| (id, session.is_confirmed()))
    }

    /// The Call-ID of a session and the peer's Contact, once there is a dialog.
    pub fn dialog(&self, id: SessionId) -> Option<(&str, &Uri)> {
        let dialog = self.sessions.get(&id)?.dialog()?;
        Some((dialog.call_id(), dialog.target()))
    }

    /// Where requests inside this session's dialog are to go by its first Route, where the peer's manners say that they go
    /// there alone.
    pub(super) fn way_back(&self, id: SessionId) -> Option<(Host, u16, Transport)> {
        self.sessions.get(&id)?.way_back()
    }

    /// Our Contact on the way to `to`, with these manners.
    pub(super) fn contact(&self, manners: &Manners, to: &Destination) -> Bytes {
        self.hub.contact(manners, to)
    }

    /// Holds that nothing is kept: no call, no transaction, no tag, no timer, no message.
    #[cfg(test)]
    pub(super) fn assert_empty(&self) {
        assert!(self.sessions.is_empty(), "sessions: {:?}", self.sessions);
        assert!(self.hub.layer.is_empty(), "transactions: {:?}", self.hub.layer);
        assert!(self.hub.tags.is_empty(), "tags: {:?}", self.hub.tags);
        assert!(self.hub.alarms.is_empty(), "alarms: {:?}", self.hub.alarms);
        assert!(self.hub.layer.out.is_empty() && self.hub.events.is_empty());
        assert!(self.options.is_empty());
        assert_eq!(self.hub.referrals, 0, "referrals");
        assert_eq!(self.poll_timeout(), None);
    }

    // --- helpers

    fn with(&mut self, id: SessionId, step: impl FnOnce(&mut Session, &mut Hub) -> bool) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let over = step(session, &mut self.hub);
        self.bury_if(id, over);
    }

    fn bury_if(&mut self, id: SessionId, over: bool) {
        if over && let Some(session) = self.sessions.remove(&id) {
            session.bury(&mut self.hub);
        }
    }

    /// Places that have taken no TCP are spared it for a while.
    fn note_datagrams_only(&mut self, now: Instant) {
        for place in std::mem::take(&mut self.hub.layer.fell_back) {
            self.hub.datagrams_only.note(now, place);
        }
    }

    fn tidy(&mut self) {
        self.hub.layer.tidy();
        let sessions = &self.sessions;
        self.hub
            .alarms
            .tidy(|at, (id, ring)| sessions.get(&id).is_some_and(|session| session.is_due(ring, at)));
    }

    fn is_full(&self) -> bool {
        self.sessions.len() >= self.hub.config.max_sessions
            || self.hub.layer.len() >= self.hub.config.max_transactions
    }

    fn next_session(&mut self) -> SessionId {
        self.sessions_made += 1;
        SessionId(self.sessions_made)
    }
}

/// The number in a tag or branch of ours: exactly 16 lower-case hexadecimal digits.
fn parse_hex(text: &str) -> Option<u64> {
    let ours = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if ours { u64::from_str_radix(text, 16).ok() } else { None }
}
