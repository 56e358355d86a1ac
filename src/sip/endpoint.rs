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

use super::build::{RequestBuilder, ResponseBuilder};
use super::flow::{ConnectionId, Destination, Peer, TlsWay, Transport};
use super::header::{MAGIC_COOKIE, Method, Name, NameAddr, Replaces, Via};
use super::hub::{Errand, Hub, MAX_FORWARDS, Question, Resolver, hop_by_hop};
use super::layer::{ClientId, Kind, Notice};
use super::manners::Manners;
use super::message::{Message, ParseError, Rejected, Request, Response, StatusCode};
use super::register::{Change, Registrar};
use super::session::{
    CommandError, Dial, How, Refusal, Session, SessionEvent, SessionId, SessionTimers, sdp_of, supported,
    too_brief,
};
use super::uri::{Host, Uri};
use crate::random::Random;

/// The methods we understand. UPDATE, REFER and INFO are not among them: they are answered 405.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK";
/// The same with a registrar.
const ALLOW_WITH_REGISTER: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, REGISTER";

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

/// What a caller is told to wait after 503.
const RETRY_AFTER: Duration = Duration::from_secs(5);

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

    // --- commands

    /// Places a call.
    pub fn dial(&mut self, now: Instant, dial: Dial) -> Result<SessionId, CommandError> {
        if self.is_full() {
            return Err(CommandError::Limit);
        }
        let id = self.next_session();
        let session = Session::dial(&mut self.hub, now, id, dial)?;
        self.sessions.insert(id, session);
        self.tidy();
        Ok(id)
    }

    /// Answers a call provisionally, 101 to 199; with `sdp` there can be early media. `reliable` asks for
    /// RFC 3262 if the caller knows it; a caller that requires it gets it anyway.
    pub fn progress(
        &mut self,
        now: Instant,
        id: SessionId,
        status: u16,
        sdp: Option<Bytes>,
        reliable: bool,
    ) -> Result<(), CommandError> {
        let session = self.sessions.get_mut(&id).ok_or(CommandError::NoSession)?;
        session.progress(&mut self.hub, now, status, sdp, reliable)
    }

    /// Answers 180.
    pub fn ring(&mut self, now: Instant, id: SessionId) -> Result<(), CommandError> {
        self.progress(now, id, 180, None, false)
    }

    /// Accepts a call. `sdp` answers the caller's offer, or is the offer when the INVITE had none; then the answer comes
    /// with [`SessionEvent::Acked`]. When a reliable provisional response has carried a description
    /// already, that one stands and `sdp` is not sent.
    pub fn accept(&mut self, now: Instant, id: SessionId, sdp: Bytes) -> Result<(), CommandError> {
        let session = self.sessions.get_mut(&id).ok_or(CommandError::NoSession)?;
        session.accept(&mut self.hub, now, sdp)
    }

    /// Refuses a call.
    pub fn reject(&mut self, now: Instant, id: SessionId, refusal: &Refusal) -> Result<(), CommandError> {
        let session = self.sessions.get_mut(&id).ok_or(CommandError::NoSession)?;
        let over = session.reject(&mut self.hub, now, refusal)?;
        self.bury_if(id, over);
        Ok(())
    }

    /// Ends a session in whatever state it is: CANCEL, 480 or BYE. `reasons` are values of Reason headers
    /// (RFC 3326), `Q.850;cause=16` for example. [`SessionEvent::Ended`] follows at once.
    pub fn hang_up(&mut self, now: Instant, id: SessionId, reasons: &[String]) -> Result<(), CommandError> {
        let session = self.sessions.get_mut(&id).ok_or(CommandError::NoSession)?;
        let over = session.hang_up(&mut self.hub, now, reasons)?;
        self.bury_if(id, over);
        Ok(())
    }

    /// Offers a change of an established session, or asks the peer for an offer. When a re-INVITE is under way
    /// already this one follows it, and a later one replaces an earlier one that still waits.
    pub fn reinvite(
        &mut self,
        now: Instant,
        id: SessionId,
        offer: Option<Bytes>,
    ) -> Result<(), CommandError> {
        let session = self.sessions.get_mut(&id).ok_or(CommandError::NoSession)?;
        session.reinvite(&mut self.hub, now, offer)
    }

    /// Answers [`SessionEvent::Reinvited`]: a description, or a status of 300 to 699.
    pub fn answer_reinvite(
        &mut self,
        now: Instant,
        id: SessionId,
        answer: Result<Bytes, u16>,
    ) -> Result<(), CommandError> {
        let session = self.sessions.get_mut(&id).ok_or(CommandError::NoSession)?;
        session.answer_reinvite(&mut self.hub, now, answer)
    }

    /// Sends the ACK that answers an offer of the peer's 2xx.
    pub fn acknowledge(&mut self, now: Instant, id: SessionId, sdp: Bytes) -> Result<(), CommandError> {
        let session = self.sessions.get_mut(&id).ok_or(CommandError::NoSession)?;
        session.acknowledge(&mut self.hub, now, sdp)
    }

    /// From now on the peer of this session is spoken to like this. For a call that has come: before it is answered.
    pub fn set_manners(&mut self, now: Instant, id: SessionId, manners: Arc<Manners>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.set_manners(&mut self.hub, now, manners);
        }
    }

    /// As whom and to whom another TLS connection is opened for a call that came in, when the one it came on is gone.
    pub(super) fn reopened_by(&mut self, id: SessionId, tls: TlsWay) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.reopened_by(&mut self.hub, tls);
        }
    }

    /// Tells the peer what has become of its REFER: 101 to 199 while it goes on, and the final status once.
    pub fn referral(&mut self, now: Instant, id: SessionId, status: u16) -> Result<(), CommandError> {
        let status = StatusCode::new(status).ok_or(CommandError::Unwritable)?;
        let session = self.sessions.get_mut(&id).ok_or(CommandError::NoSession)?;
        session.referral(&mut self.hub, now, status)
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

    /// Asks a peer for a sign of life, with its manners.
    pub fn options(
        &mut self,
        now: Instant,
        target: &Uri,
        from: &NameAddr,
        to: Destination,
        manners: &Manners,
    ) -> Result<OptionsId, CommandError> {
        if self.hub.layer.len() >= self.hub.config.max_transactions {
            return Err(CommandError::Limit);
        }
        self.options_made += 1;
        let id = OptionsId(self.options_made);
        let tag = format!("{:016x}", self.hub.random.bits());
        let call_id = format!("{:016x}{:016x}", self.hub.random.bits(), self.hub.random.bits());
        let contact = self.hub.own_contact(manners, &to);
        let supported = manners.supported.unwrap_or_else(|| supported(self.hub.config.session_timers));
        let agent = self.hub.config.user_agent.clone();
        // RFC 3261 section 19.1.1: how to get there has no place in To.
        let host = target.host();
        let named = host.and_then(|host| Uri::sip(target.user(), &host, target.port()).ok());
        let asked = NameAddr::new(named.unwrap_or_else(|| target.clone()));
        let sent = self.hub.request(now, Kind::Other, to, Errand::Options(id), manners, |via, _| {
            let request = RequestBuilder::new(Method::Options, target)
                .via(via)
                .max_forwards(MAX_FORWARDS)
                .from(&from.clone().with_tag(&tag))
                .to(&asked)
                .call_id(&call_id)
                .cseq(1)
                .header(Name::Contact, contact)
                .header(Name::Allow, manners.allow)
                .header(Name::Supported, supported)
                .header(Name::UserAgent, agent);
            manners.headers.iter().fold(request, |request, (name, value)| request.named(name, value))
        });
        sent.ok_or(CommandError::Unwritable)?;
        self.options.insert(id, now);
        Ok(id)
    }

    /// Our Contact on the way to `to`, with these manners.
    pub(super) fn contact(&self, manners: &Manners, to: &Destination) -> Bytes {
        self.hub.contact(manners, to)
    }

    /// Sends a request outside of any dialog, which is written around its Via. What becomes of it is [`Output::Told`].
    pub(super) fn ask(
        &mut self,
        now: Instant,
        to: Destination,
        id: AskId,
        manners: &Manners,
        write: impl FnOnce(&Via, &mut Random) -> RequestBuilder,
    ) -> Result<(), CommandError> {
        if self.hub.layer.len() >= self.hub.config.max_transactions {
            return Err(CommandError::Limit);
        }
        let errand = Errand::Ask(id);
        let agent = self.hub.config.user_agent.clone();
        let write = |via: &Via, random: &mut Random| write(via, random).header(Name::UserAgent, agent);
        let sent = self.hub.request(now, Kind::Other, to, errand, manners, write);
        sent.map(|_| ()).ok_or(CommandError::Unwritable)
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

    // --- requests

    fn on_request(&mut self, now: Instant, peer: Peer, request: Request) {
        let Some(keys) = Keys::of(&request, &peer) else { return };
        if *request.method() == Method::Ack {
            return self.on_ack(now, &keys, &request, &peer);
        }
        if let Some(id) = self.hub.layer.server(&keys.transaction) {
            return self.hub.layer.repeated(id);
        }
        if self.hub.layer.len() >= self.hub.config.max_transactions {
            let response = ResponseBuilder::new(&request, StatusCode::SERVICE_UNAVAILABLE, peer.remote);
            return self.send_stateless(peer, request.headers().top_via().ok(), response);
        }
        let merged = keys.origin.as_ref().is_some_and(|origin| self.hub.layer.is_merged(origin));
        let path = response_path(peer, &keys.via);
        let invite = *request.method() == Method::Invite;
        let id = self.hub.layer.open(keys.transaction, keys.origin.filter(|_| !merged), invite, path);
        let question = Question { id, peer, request };
        if *question.request.method() == Method::Cancel {
            return self.on_cancel(now, &question, &keys.invite);
        }
        if let Some(refused) = self.refusal(&question, merged) {
            let tag = self.stray_tag();
            self.hub.respond(now, &question, refused.to_tag(&tag));
            return;
        }
        match question.headers().to().ok().and_then(|to| to.tag()) {
            Some(tag) => self.on_request_inside(now, question, &tag),
            None => self.on_request_outside(now, question),
        }
    }

    /// What every request must pass (RFC 3261 section 8.2), in the order of the RFC.
    fn refusal(&self, question: &Question, merged: bool) -> Option<ResponseBuilder> {
        let request = &question.request;
        let headers = request.headers();
        let known = match request.method() {
            Method::Invite | Method::Bye | Method::Options | Method::Prack => true,
            Method::Register => self.registrar.is_some(),
            // A session says for itself whether its peer may; outside one nobody may.
            Method::Refer | Method::Notify | Method::Update | Method::Info => {
                headers.to().is_ok_and(|to| to.tag().is_some())
            }
            _ => false,
        };
        if !known {
            let allow = if self.registrar.is_some() { ALLOW_WITH_REGISTER } else { ALLOW };
            return Some(question.response(StatusCode::METHOD_NOT_ALLOWED).header(Name::Allow, allow));
        }
        if matches!(headers.max_forwards(), Ok(Some(0))) && *request.method() != Method::Options {
            return Some(question.response(StatusCode::TOO_MANY_HOPS));
        }
        if merged {
            return Some(question.response(StatusCode::LOOP_DETECTED));
        }
        let unknown: Vec<String> = headers
            .tokens(Name::Require)
            .unwrap_or_default()
            .iter()
            .filter(|option| !self.understands(option))
            .map(|option| option.to_string())
            .collect();
        if !unknown.is_empty() {
            let response = question.response(StatusCode::BAD_EXTENSION);
            return Some(response.header(Name::Unsupported, unknown.join(", ")));
        }
        if *request.method() == Method::Invite
            && (sdp_of(headers, request.body()).is_err()
                || headers.get(Name::ContentEncoding).is_some_and(|e| e != "identity"))
        {
            return Some(unknown_body(question));
        }
        None
    }

    fn understands(&self, option: &str) -> bool {
        option.eq_ignore_ascii_case("100rel")
            || option.eq_ignore_ascii_case("replaces")
            || option.eq_ignore_ascii_case("timer") && self.hub.config.session_timers.is_some()
    }

    fn on_request_inside(&mut self, now: Instant, question: Question, tag: &str) {
        match self.find(tag, &question.request, &question.peer) {
            Some(id) => self.with(id, |session, hub| {
                if let Some(tls) = session.flow().tls {
                    hub.layer.reopened_by(question.id, tls);
                }
                session.on_request(hub, now, question)
            }),
            None => {
                self.hub.answer(now, &question, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST, tag);
            }
        }
    }

    fn on_request_outside(&mut self, now: Instant, question: Question) {
        match question.request.method() {
            Method::Invite => self.on_invite(now, question),
            Method::Options => {
                let tag = self.stray_tag();
                let (peer, request) = (&question.peer, &question.request);
                let of = self.manners_of.0.as_deref();
                let manners = of.map_or_else(Manners::plain, |of| {
                    let (_, port) = self.hub.sent_by(&Destination::from(*peer));
                    of(peer, request, port.unwrap_or(peer.transport.default_port()))
                });
                self.hub.answer_options(now, &question, &tag, &manners);
            }
            Method::Register => self.on_register(now, &question),
            _ => {
                let tag = self.stray_tag();
                self.hub.answer(now, &question, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST, &tag);
            }
        }
    }

    fn on_invite(&mut self, now: Instant, question: Question) {
        let tag = self.stray_tag();
        if self.is_full() {
            let response = question.response(StatusCode::SERVICE_UNAVAILABLE).to_tag(&tag);
            let after = RETRY_AFTER.as_secs().to_string();
            self.hub.respond(now, &question, response.header(Name::RetryAfter, after));
            return;
        }
        if let Some(min) = too_brief(self.hub.config.session_timers, question.headers()) {
            let response = question.response(StatusCode::SESSION_INTERVAL_TOO_SMALL).to_tag(&tag);
            self.hub.respond(now, &question, response.header(Name::MinSe, min.to_string()));
            return;
        }
        self.hub.respond(now, &question, question.response(StatusCode::TRYING));
        let id = self.next_session();
        let (peer, request) = (question.peer, question.request.clone());
        let Some(session) = Session::invited(&mut self.hub, now, id, question) else { return };
        self.sessions.insert(id, session);
        let offer = sdp_of(request.headers(), request.body()).unwrap_or_default();
        self.hub.events.push_back(Output::Incoming(Box::new(Incoming { session: id, peer, request, offer })));
    }

    fn on_register(&mut self, now: Instant, question: &Question) {
        let Some(registrar) = &mut self.registrar else { return };
        let answer = registrar.on_register(now, &question.request, question.peer);
        self.hub.events.extend(answer.change.map(Output::Registered));
        let tag = self.stray_tag();
        let response = question.response(answer.status).to_tag(&tag);
        let response = answer.headers.iter().fold(response, |r, (name, value)| r.header(*name, value));
        self.hub.respond(now, question, response);
    }

    fn on_cancel(&mut self, now: Instant, cancel: &Question, invite: &[u8]) {
        let Some(id) = self.hub.layer.server(invite) else {
            let tag = self.stray_tag();
            return self.hub.answer(now, cancel, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST, &tag);
        };
        // RFC 3261 section 9.2: To tag of the CANCEL's answer and of the INVITE's should be the same.
        let session = self.hub.layer.server_owner(id);
        let tag = match session.and_then(|id| self.sessions.get(&id)) {
            Some(session) => session.tag(),
            None => self.stray_tag(),
        };
        self.hub.answer(now, cancel, StatusCode::OK, &tag);
        if let Some(session) = session {
            self.with(session, |session, hub| session.on_cancel(hub, now, cancel.headers()));
        }
    }

    fn on_ack(&mut self, now: Instant, keys: &Keys, request: &Request, peer: &Peer) {
        if let Some(id) = self.hub.layer.server(&keys.invite)
            && self.hub.layer.acknowledged(now, id)
        {
            return;
        }
        let Some(tag) = request.headers().to().ok().and_then(|to| to.tag()) else { return };
        if let Some(id) = self.find(&tag, request, peer) {
            self.with(id, |session, hub| session.on_ack(hub, now, request.headers(), request.body()));
        }
    }

    /// The session of a request inside a dialog: found by our tag, checked by Call-ID and the peer's tag.
    ///
    /// A dialog that began over TLS is not there for whoever asks in clear: its answers have keys in them.
    fn find(&self, our_tag: &str, request: &Request, peer: &Peer) -> Option<SessionId> {
        let id = *self.hub.tags.get(&parse_hex(our_tag)?)?;
        let headers = request.headers();
        let remote_tag = headers.from().ok()?.tag().unwrap_or_default();
        let call_id = headers.call_id().ok()?;
        let session = self.sessions.get(&id).filter(|session| session.has_dialog(&call_id, &remote_tag))?;
        let downgraded = session.flow().transport.is_secure() && !peer.transport.is_secure();
        (!downgraded).then_some(id)
    }

    // --- responses

    fn on_response(&mut self, now: Instant, response: &Response) {
        let headers = response.headers();
        let (Ok(via), Ok(cseq)) = (headers.top_via(), headers.cseq()) else { return };
        let branch = via.branch();
        let Some(branch) = branch.as_deref().and_then(|b| b.strip_prefix(MAGIC_COOKIE)).and_then(parse_hex)
        else {
            return;
        };
        let kind = match cseq.method {
            Method::Invite => Kind::Invite,
            Method::Cancel => Kind::Cancel,
            _ => Kind::Other,
        };
        let id = ClientId { branch, kind };
        let Some(errand) = self.hub.layer.client(id) else { return };
        let status = response.status().as_u16();
        let to = headers.get(Name::To);
        let pass = self
            .hub
            .layer
            .response(now, id, status, |invite| hop_by_hop(invite, Method::Ack, to, |request| request));
        if !pass {
            return;
        }
        match errand {
            Errand::Session(session) => {
                self.with(session, |session, hub| session.on_response(hub, now, id, response));
            }
            Errand::Options(options) if status >= 200 => {
                if let Some(asked) = self.options.remove(&options) {
                    let round_trip = now.saturating_duration_since(asked);
                    let retry_after = response.headers().retry_after().ok().flatten();
                    let retry_after = retry_after.map(|s| Duration::from_secs(u64::from(s)));
                    let outcome = OptionsOutcome::Answered { status, round_trip, retry_after };
                    self.hub.events.push_back(Output::Outcome(options, outcome));
                }
            }
            Errand::Ask(ask) if status >= 200 => {
                self.hub.events.push_back(Output::Told(ask, Told::Answered(response.clone())));
            }
            Errand::Options(_) | Errand::Ask(_) | Errand::Nobody => {}
        }
    }

    fn on_notice(&mut self, now: Instant, notice: Notice<Errand, SessionId>) {
        let (id, errand, how) = match notice {
            Notice::ClientTimedOut(id, errand) => (id, errand, How::NoAnswer),
            Notice::ClientUnreachable(id, errand) => (id, errand, How::Unreachable),
            // The refusal was not acknowledged: the session has ended long ago.
            Notice::ServerFailed(_) => return,
        };
        match errand {
            Errand::Session(session) => {
                self.with(session, |session, hub| session.on_silence(hub, now, id, how));
            }
            Errand::Options(options) => {
                if self.options.remove(&options).is_some() {
                    let outcome = match how {
                        How::Unreachable => OptionsOutcome::Unreachable,
                        _ => OptionsOutcome::TimedOut,
                    };
                    self.hub.events.push_back(Output::Outcome(options, outcome));
                }
            }
            Errand::Ask(ask) => {
                let told = if how == How::Unreachable { Told::NoWay } else { Told::Silence };
                self.hub.events.push_back(Output::Told(ask, told));
            }
            Errand::Nobody => {}
        }
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

    /// A tag for an answer outside any session.
    fn stray_tag(&mut self) -> String {
        format!("{:016x}", self.hub.random.bits())
    }

    fn refuse_unread(&mut self, peer: Peer, rejected: &Rejected) {
        let response = ResponseBuilder::to_rejected(rejected, peer.remote);
        self.send_stateless(peer, rejected.headers.top_via().ok(), response);
    }

    /// Answers without remembering: for what cannot be read, or when there is no room.
    fn send_stateless(&mut self, peer: Peer, via: Option<Via>, response: ResponseBuilder) {
        let tag = self.stray_tag();
        let mut response = response.to_tag(&tag);
        if self.hub.layer.len() >= self.hub.config.max_transactions {
            response = response.header(Name::RetryAfter, RETRY_AFTER.as_secs().to_string());
        }
        if let Ok(response) = response.build() {
            let to = via.map_or(Destination::from(peer), |via| response_path(peer, &via));
            self.hub.layer.out.push_back((to, response.bytes().clone()));
        }
    }
}

impl Hub {
    pub(super) fn tell(&mut self, id: SessionId, event: SessionEvent) {
        self.events.push_back(Output::Event(id, event));
    }

    /// RFC 3261 section 11: what we can do.
    pub(super) fn answer_options(&mut self, now: Instant, question: &Question, tag: &str, manners: &Manners) {
        let contact = self.own_contact(manners, &Destination::from(question.peer));
        let supported = manners.supported.unwrap_or_else(|| supported(self.config.session_timers));
        let response = question
            .response(StatusCode::OK)
            .to_tag(tag)
            .header(Name::Contact, contact)
            .header(Name::Allow, manners.allow)
            .header(Name::Accept, "application/sdp")
            .header(Name::AcceptEncoding, "identity")
            .header(Name::AcceptLanguage, "en")
            .header(Name::Supported, supported)
            .header(Name::Server, self.config.user_agent.clone());
        self.respond(now, question, response);
    }

    /// RFC 3261 section 14.2: an INVITE while another of theirs is unanswered.
    pub(super) fn answer_retry_after(&mut self, now: Instant, question: &Question, tag: &str) {
        let response = question.response(StatusCode::SERVER_INTERNAL_ERROR).to_tag(tag);
        let after = self.random.below(11).to_string();
        self.respond(now, question, response.header(Name::RetryAfter, after));
    }

    pub(super) fn answer_unknown_body(&mut self, now: Instant, question: &Question, tag: &str) {
        self.respond(now, question, unknown_body(question).to_tag(tag));
    }
}

fn unknown_body(question: &Question) -> ResponseBuilder {
    question
        .response(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        .header(Name::Accept, "application/sdp, multipart/mixed")
        .header(Name::AcceptEncoding, "identity")
}

/// By what a request is recognised.
struct Keys {
    via: Via,
    /// RFC 3261 section 17.2.3.
    transaction: Box<[u8]>,
    /// The INVITE that a CANCEL or an ACK means; empty for other requests.
    invite: Box<[u8]>,
    /// RFC 3261 section 8.2.2.2, for requests outside a dialog.
    origin: Option<Box<[u8]>>,
}

impl Keys {
    /// A transaction that came over TLS has another key than one in clear: whoever has read a branch elsewhere can neither
    /// cancel nor acknowledge what was private, nor stand in the way of whoever may.
    fn of(request: &Request, peer: &Peer) -> Option<Keys> {
        let headers = request.headers();
        let via = headers.top_via().ok()?;
        let cseq = headers.cseq().ok()?;
        let number = cseq.number.to_be_bytes();
        let call_id = headers.get(Name::CallId)?;
        let from_tag = headers.from().ok()?.tag().unwrap_or_default();
        let sent_by = format!("{}:{}", via.host, via.port.unwrap_or(5060)).to_ascii_lowercase();
        let secure: &[u8] = if peer.transport.is_secure() { b"private" } else { b"clear" };
        let key = |method: &str| -> Box<[u8]> {
            match via.transaction_branch() {
                Some(branch) => joined(&[secure, method.as_bytes(), branch.as_bytes(), sent_by.as_bytes()]),
                // RFC 2543 peers: everything that stays the same between copies.
                None => joined(&[
                    secure,
                    method.as_bytes(),
                    request.uri().as_str().as_bytes(),
                    from_tag.as_bytes(),
                    &call_id,
                    &number,
                    via.to_string().as_bytes(),
                ]),
            }
        };
        let inside = headers.to().ok()?.tag().is_some();
        let method = request.method().as_str();
        let out_of_dialog = !inside && !matches!(request.method(), Method::Ack | Method::Cancel);
        let origin =
            out_of_dialog.then(|| joined(&[method.as_bytes(), from_tag.as_bytes(), &call_id, &number]));
        let needs_invite = matches!(request.method(), Method::Ack | Method::Cancel);
        let (transaction, invite) = (key(method), if needs_invite { key("INVITE") } else { Box::default() });
        Some(Keys { via, transaction, invite, origin })
    }
}

/// Pieces with their lengths, so that no two lists of pieces look the same.
fn joined(pieces: &[&[u8]]) -> Box<[u8]> {
    let mut key = Vec::with_capacity(pieces.iter().map(|piece| piece.len() + 4).sum());
    for piece in pieces {
        key.extend_from_slice(&(piece.len() as u32).to_be_bytes());
        key.extend_from_slice(piece);
    }
    key.into_boxed_slice()
}

/// RFC 3261 section 18.2.2 and RFC 3581: over a stream on the same connection, or a new one when that is gone; over UDP to the address the request
/// came from, at the port it came from when the sender asked for that, else at the port it named. `maddr` is not followed:
/// it would let anyone point our answers at a third party.
fn response_path(peer: Peer, via: &Via) -> Destination {
    let mut to = Destination::back(peer, via.port);
    if peer.transport == Transport::Udp && via.rport().is_none() {
        to.remote.set_port(via.port.unwrap_or(5060));
    }
    to
}

/// The number in a tag or branch of ours: exactly 16 lower-case hexadecimal digits.
fn parse_hex(text: &str) -> Option<u64> {
    let ours = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if ours { u64::from_str_radix(text, 16).ok() } else { None }
}
