//! The door: the endpoint's sessions as legs of calls.
//!
//! [`Door`] is pure like the endpoint below it: messages, orders and the time go in; messages and
//! reports come out. [`run()`] is the one task that gives it sockets and a clock.
//!
//! Who may come in is decided here, before anything else is learned: a trunk by its source range,
//! a person by digest. Nothing in a header makes anybody trusted.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use sbc_config::{Config, DigestHash};

use crate::call::door::Report;
use crate::call::{Cause, LegEnd, LegEvent, LegId};

use super::digest::Algorithm;
use super::endpoint::{self, Endpoint, EndpointConfig};
use super::flow::{ConnectionId, Destination, Peer};
use super::leg::Leg;
use super::names::ask::Word;
use super::names::met::Met;
use super::names::{Names, Place};
use super::people::People;
use super::register::{Expiry, Registrar};
use super::session::SessionId;
use crate::random::Random;
use crate::tls::{Outward, Verified};

use way::manners_of;

pub(in crate::sip) mod failover;
mod incoming;
mod keys;
mod news;
mod orders;
mod private;
mod registrar;
mod run;
mod transfer;
mod way;

pub use run::run;
pub(crate) use way::host;

/// What the door wants done.
#[derive(Debug)]
pub enum Wanted {
    /// Octets for the wire.
    Transmit(Destination, Bytes),
    /// News for the switchboard.
    Report(Report),
    /// The framing of this connection is lost and all is said: close it.
    Close(ConnectionId),
    /// The keeper of names is to hear this.
    Tell(Word),
}

/// The SIP door. See the module.
pub struct Door {
    endpoint: Endpoint,
    config: Arc<ArcSwap<Config>>,
    names: Arc<ArcSwap<Names>>,
    legs: HashMap<LegId, Leg>,
    by_session: HashMap<SessionId, LegId>,
    trunks: super::trunk::Trunks,
    registrations: super::trunk::Registrations,
    private: private::Private,
    wire: VecDeque<(Destination, Bytes)>,
    reports: VecDeque<Report>,
    closing: VecDeque<ConnectionId>,
    words: VecDeque<Word>,
    met: Met,
    draining: bool,
    random: Random,
}

impl Door {
    /// A door with nobody at it. `seed` is random in production.
    pub fn new(
        config: Arc<ArcSwap<Config>>,
        names: Arc<ArcSwap<Names>>,
        endpoint: EndpointConfig,
        seed: [u8; 32],
        now: Instant,
    ) -> Door {
        let mut random = Random::new(seed);
        let mut key = || {
            let mut key = [0; 32];
            key.chunks_mut(8).for_each(|eight| eight.copy_from_slice(&random.bits().to_le_bytes()));
            key
        };
        let (nonce_key, endpoint_seed) = (key(), key());
        let sip = config.load().sip.clone();
        let known = names.clone();
        let lookup: Arc<endpoint::Lookup> = Arc::new(move |now, host, port, transport| {
            let host = host.to_string().to_ascii_lowercase().into();
            let place = Place { host, port: Some(port), transport: Some(transport) };
            // Any of its addresses will do, so nothing is drawn.
            let found = known.load().find(now, &place, &mut Random::new([0; 32]));
            found.first().map(|found| found.at)
        });
        let trunks = config.clone();
        let manners: Arc<endpoint::MannersOf> = Arc::new(move |peer, request, port| {
            let host = request.uri().host().map(|host| host.to_string()).unwrap_or_default();
            let config = trunks.load();
            // Only what anybody may hear is told: the name by which the range knows us, which it has just named itself.
            manners_of(config.trunk_of_request(peer.remote.ip(), &host), port, None)
        });
        let expiry = Expiry {
            min: sip.register_expires_min,
            max: sip.register_expires_max,
            usual: sip.register_expires_max,
        };
        let people = Box::new(People::new(config.clone()));
        let hashes = sip.digest.iter().map(|hash| match hash {
            DigestHash::Md5 => Algorithm::Md5,
            DigestHash::Sha256 => Algorithm::Sha256,
        });
        let registrar = Registrar::new(&sip.realm, people, expiry, nonce_key, now).offering(hashes.collect());
        Door {
            endpoint: Endpoint::new(endpoint, endpoint_seed)
                .with_registrar(registrar)
                .with_lookup(lookup)
                .with_manners(manners),
            config,
            names,
            legs: HashMap::new(),
            by_session: HashMap::new(),
            trunks: super::trunk::Trunks::new(now),
            registrations: super::trunk::Registrations::new(now),
            private: private::Private::default(),
            wire: VecDeque::new(),
            reports: VecDeque::new(),
            closing: VecDeque::new(),
            words: VecDeque::new(),
            met: Met::default(),
            draining: false,
            random,
        }
    }

    /// Takes one message.
    pub fn receive(&mut self, now: Instant, peer: Peer, message: Bytes) {
        self.endpoint.receive(now, self.private.introduce(peer), message);
        self.drain(now);
    }

    /// Takes the head of a message after which a stream is lost: it may be answered, then the
    /// connection closes.
    pub fn receive_last(&mut self, now: Instant, peer: Peer, head: Bytes) {
        self.receive(now, peer, head);
        self.closing.extend(peer.connection);
    }

    /// A TLS connection stands, and this is what the peer's certificate proved.
    pub fn secured(&mut self, peer: Peer, verified: Verified) {
        self.private.secured(&self.config.load(), peer, verified);
    }

    /// A connection that stood is gone; `to` is where it was the way.
    pub fn gone(&mut self, now: Instant, connection: ConnectionId, to: Option<Destination>) {
        self.private.gone(connection);
        self.endpoint.connection_gone(now, connection, to);
        self.drain(now);
    }

    /// No connection could be made.
    pub fn unreachable(&mut self, now: Instant, to: Destination) {
        self.endpoint.transport_failed(now, to);
        self.drain(now);
    }

    /// As whom and to whom a TLS connection for a message to `to` is opened.
    pub fn outward(&self, to: &Destination) -> Option<Arc<Outward>> {
        self.private.outward(to)
    }

    /// Lets due timers fire.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.ask_trunks(now);
        self.register_trunks(now);
        self.drain(now);
    }

    /// When [`Door::handle_timeout`] is next wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let asks = (!self.draining).then(|| self.trunks.next().min(self.registrations.next()));
        self.endpoint.poll_timeout().into_iter().chain(asks).min()
    }

    /// Calls are wanted elsewhere from now on. Registrations are ended, and trunks are not asked whether they live any more,
    /// which is how those learn of it that count our questions (Microsoft tries a gateway last that is silent for five
    /// minutes). Questions of theirs are still answered. New calls are the switchboard's to refuse, which keeps a record of
    /// each.
    pub fn take_no_more(&mut self, now: Instant) {
        self.draining = true;
        self.leave_registrars(now);
    }

    /// The next thing to be done, messages first.
    pub fn poll(&mut self) -> Option<Wanted> {
        if let Some((to, octets)) = self.wire.pop_front() {
            return Some(Wanted::Transmit(to, octets));
        }
        if let Some(report) = self.reports.pop_front() {
            return Some(Wanted::Report(report));
        }
        if let Some(word) = self.words.pop_front() {
            return Some(Wanted::Tell(word));
        }
        self.closing.pop_front().map(Wanted::Close)
    }

    /// How many legs are open.
    pub fn legs(&self) -> usize {
        self.legs.len()
    }

    /// A leg that cannot go on: the far end is told, and so is the switchboard, whatever SIP still owes.
    fn end_leg(&mut self, now: Instant, id: LegId, end: LegEnd) {
        tracing::info!(leg = %id, cause = ?end.cause, detail = end.detail, "a leg cannot go on");
        self.hang_up(now, id, end.cause);
        if let Some(leg) = self.legs.remove(&id) {
            self.by_session.remove(&leg.session);
        }
        self.report(Report::Leg(id, LegEvent::Ended(end)));
    }

    fn report(&mut self, report: Report) {
        self.reports.push_back(report);
    }
}

fn internal(error: impl std::fmt::Display) -> LegEnd {
    LegEnd { cause: Cause::Internal, detail: error.to_string() }
}

fn unacceptable(error: super::leg::NoAgreement) -> LegEnd {
    use std::error::Error as _;
    let because = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    LegEnd { cause: Cause::NotAcceptable, detail: format!("{error}{because}") }
}

fn not_there(detail: &str) -> LegEnd {
    LegEnd { cause: Cause::Unreachable, detail: detail.to_owned() }
}
