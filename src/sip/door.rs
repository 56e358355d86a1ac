//! The door: the endpoint's sessions as legs of calls.
//!
//! [`Door`] is pure like the endpoint below it: messages, orders and the time go in; messages and
//! reports come out. [`run`] is the one task that gives it sockets and a clock.
//!
//! Who may come in is decided here, before anything else is learned: a trunk by its source range,
//! a person by digest. Nothing in a header makes anybody trusted.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use sbc_config::{Config, DigestHash, HoldStyle, Prack};
use sidetone_media::codec::Codec;

use crate::call::door::{
    AgreedMedia, Caller, Correlation, DoorName, Incoming, Order, Origin, Report, codecs,
};
use crate::call::{Cause, LegAction, LegEnd, LegEvent, LegId, Screening, VoicemailSign};

use super::digest::Algorithm;
use super::endpoint::{self, Endpoint, EndpointConfig, Output};
use super::flow::{ConnectionId, Destination, Peer};
use super::header::Name;
use super::identity;
use super::leg::{Leg, end_of};
use super::manners::Manners;
use super::message::Request;
use super::names::ask::Word;
use super::names::met::Met;
use super::names::{Names, Place};
use super::people::People;
use super::register::{Expiry, Registrar};
use super::session::{Refusal, SessionEvent, SessionId};
use super::transport::Arrival;
use crate::random::Random;
use crate::tls::{Outward, Verified};

pub(in crate::sip) mod failover;
mod keys;
mod private;
mod registrar;
mod transfer;
mod way;

use keys::Terms;
pub(crate) use way::host;
use way::{codecs_of, manners_of};

/// Retry-After of a refusal for want of capacity, in seconds.
const RETRY_AFTER_S: u64 = 5;

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

    /// Carries out an order of the switchboard. What cannot be done ends the leg.
    pub fn order(&mut self, now: Instant, order: Order) {
        let leg = order.leg;
        if let Err(end) = self.carry_out(now, order) {
            self.end_leg(now, leg, end);
        }
        self.drain(now);
    }

    fn carry_out(&mut self, now: Instant, order: Order) -> Result<(), LegEnd> {
        let id = order.leg;
        if let LegAction::Dial(target) = &order.action {
            return self.dial(now, id, target, &order);
        }
        let Some(leg) = self.legs.get_mut(&id) else { return Ok(()) }; // it has ended meanwhile
        leg.set_media(order.media);
        let session = leg.session;
        match order.action {
            LegAction::Dial(_) => Ok(()),
            // It hears us already, or has been told already.
            LegAction::Alert if leg.early || std::mem::replace(&mut leg.alerted, true) => Ok(()),
            LegAction::Alert => self.endpoint.ring(now, session).map_err(internal),
            LegAction::OpenEarly => self.open_early(now, id, &order.prefer),
            LegAction::Answer => self.answer(now, id, &order.prefer),
            LegAction::Hold | LegAction::Resume => {
                let offer = leg.hold(order.action == LegAction::Hold).map_err(internal)?;
                self.endpoint.reinvite(now, session, Some(offer)).map_err(internal)
            }
            LegAction::SendDigits(_) => Ok(()), // digits travel as media, which the bridge sends
            LegAction::Refer(news) => {
                self.refer_news(now, id, news);
                Ok(())
            }
            LegAction::HangUp(cause) => {
                self.hang_up(now, id, cause);
                Ok(())
            }
        }
    }

    fn open_early(&mut self, now: Instant, id: LegId, prefer: &[Codec]) -> Result<(), LegEnd> {
        let Some(leg) = self.legs.get_mut(&id) else { return Ok(()) };
        // One 18x to a carrier: it that has been told 180 makes a tone of its own, and a 183 after that ends it in some
        // networks and is a second ringing in others. Whoever is to hear what comes before the answer gets 183 from the
        // beginning, which `ringback = "tone"` does. A telephone takes both.
        if leg.early || leg.alerted && leg.trunk.is_some() {
            return Ok(());
        }
        if !leg.has_their_offer() {
            // Without an offer, early media would need a reliable response to carry ours. Ringing
            // is the truth and needs nothing.
            if std::mem::replace(&mut leg.alerted, true) {
                return Ok(());
            }
            return self.endpoint.ring(now, leg.session).map_err(internal);
        }
        let (sdp, media) = leg.answer(prefer).map_err(unacceptable)?;
        leg.early = true;
        let (session, reliable) = (leg.session, leg.reliable);
        self.agreed(id, media);
        self.endpoint.progress(now, session, 183, Some(sdp), reliable).map_err(internal)
    }

    fn answer(&mut self, now: Instant, id: LegId, prefer: &[Codec]) -> Result<(), LegEnd> {
        let Some(leg) = self.legs.get_mut(&id) else { return Ok(()) };
        if !leg.unanswered {
            return Ok(()); // once is enough
        }
        let (sdp, media) = if leg.has_their_offer() {
            let (sdp, media) = leg.answer(prefer).map_err(unacceptable)?;
            (sdp, Some(media))
        } else if leg.early {
            (leg.said().unwrap_or_default(), None)
        } else {
            (leg.offer(prefer).map_err(internal)?, None)
        };
        leg.unanswered = false;
        let session = leg.session;
        if let Some(media) = media {
            self.agreed(id, media);
        }
        self.endpoint.accept(now, session, sdp).map_err(internal)?;
        self.answered(now, id);
        Ok(())
    }

    /// Ends a leg as its state asks for: refusal, CANCEL or BYE.
    fn hang_up(&mut self, now: Instant, id: LegId, cause: Cause) {
        let Some(leg) = self.legs.get(&id) else { return };
        let reason = format!("Q.850;cause={}", cause.q850());
        let done = if leg.unanswered {
            let (status, _) = cause.sip_status();
            let retry_after = (status == 503).then(|| Duration::from_secs(RETRY_AFTER_S));
            let refusal = Refusal { status, reasons: vec![reason], retry_after, headers: Vec::new() };
            self.endpoint.reject(now, leg.session, &refusal)
        } else {
            self.endpoint.hang_up(now, leg.session, &[reason])
        };
        if let Err(error) = done {
            // The session ended by itself in the meantime; its end is on its way to the switchboard.
            tracing::debug!(leg = %id, %error, "hanging up");
        }
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

    /// Tells what is agreed, if that is news: a refresh of the session is none.
    fn agreed(&mut self, id: LegId, media: AgreedMedia) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if leg.told.as_ref() != Some(&media) {
            leg.told = Some(media.clone());
            self.report(Report::Agreed(id, Box::new(media)));
        }
    }

    /// Tells that the leg is answered, and if it came up on hold, of that.
    fn answered(&mut self, now: Instant, id: LegId) {
        self.was_taken(now, id);
        if let Some(leg) = self.legs.get(&id) {
            self.meet_route(now, leg.session);
        }
        self.report(Report::Leg(id, LegEvent::Answered));
        let session = self.legs.get(&id).filter(|leg| leg.trunk.is_some()).map(|leg| leg.session);
        if let Some((call_id, contact)) = session.and_then(|session| self.endpoint.dialog(session)) {
            let peer_key = super::teams::correlation(contact).map(|key| key.to_string());
            let correlation = Correlation { connection: call_id.to_owned(), peer_key };
            self.report(Report::Correlated(id, correlation));
        }
        let hold = self.legs.get_mut(&id).and_then(Leg::hold_change);
        self.reports.extend(hold.map(|event| Report::Leg(id, event)));
    }

    /// Tells that the far end's network says who took the call, if it was a mailbox.
    fn announced(&mut self, id: LegId, voicemail: bool) {
        if voicemail {
            let screening = Screening::Voicemail(VoicemailSign::Signalled);
            self.report(Report::Leg(id, LegEvent::Screened(screening)));
        }
    }

    /// Tells that the far end alerts, once.
    fn rings(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if !std::mem::replace(&mut leg.rang, true) {
            self.report(Report::Leg(id, LegEvent::Ringing));
        }
    }

    /// The way into this session's dialog leads by a name: it is asked for now, so that it is known when we go there.
    fn meet_route(&mut self, now: Instant, session: SessionId) {
        let Some((host, port, transport)) = self.endpoint.way_back(session) else { return };
        if host.ip().is_some() {
            return;
        }
        let host = host.to_string().to_ascii_lowercase().into();
        let place = Place { host, port: Some(port), transport: Some(transport) };
        if self.met.meet(now, &place) {
            self.words.push_back(Word::Met(place));
        }
    }

    fn report(&mut self, report: Report) {
        self.reports.push_back(report);
    }

    /// Takes in everything the endpoint has to say.
    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Transmit { to, bytes } => self.wire.push_back((to, bytes)),
                Output::Incoming(incoming) => self.incoming(now, *incoming),
                Output::Event(session, event) => self.session_event(now, session, event),
                Output::Outcome(id, outcome) => self.trunk_answered(now, id, outcome),
                Output::Told(id, told) => self.registrar_told(now, id, &told),
                Output::Registered(change) => {
                    tracing::debug!(user = change.user, contacts = change.bindings, "registered");
                }
            }
        }
    }

    fn session_event(&mut self, now: Instant, session: SessionId, event: SessionEvent) {
        let Some(id) = self.by_session.get(&session).copied() else { return };
        if let Err(end) = self.leg_event(now, id, event) {
            self.end_leg(now, id, end);
        }
    }

    fn leg_event(&mut self, now: Instant, id: LegId, event: SessionEvent) -> Result<(), LegEnd> {
        let Some(leg) = self.legs.get_mut(&id) else { return Ok(()) };
        let session = leg.session;
        match event {
            SessionEvent::Provisional { status, sdp: None, .. } => {
                if matches!(status, 180 | 183) {
                    self.rings(id);
                }
            }
            SessionEvent::Provisional { status, sdp: Some(sdp), fork, .. } => {
                // Early media nobody can play is no reason to end a call that may yet be answered.
                let agreed = leg.early_answered(fork, &sdp);
                if status == 180 || leg.early_means_ringing {
                    self.rings(id);
                }
                match agreed {
                    Ok((media, first)) => {
                        self.agreed(id, media);
                        if first {
                            self.report(Report::Leg(id, LegEvent::EarlyMedia));
                        }
                    }
                    Err(error) => tracing::info!(leg = %id, %error, "early media not usable"),
                }
            }
            SessionEvent::Answered { sdp: Some(sdp), voicemail, .. } => {
                let media = leg.answered(&sdp).map_err(unacceptable)?;
                self.agreed(id, media);
                self.answered(now, id);
                self.announced(id, voicemail);
            }
            SessionEvent::Answered { sdp: None, fork, voicemail, .. } => {
                let media = leg.answered_early(&fork).map_err(unacceptable)?;
                self.agreed(id, media);
                self.answered(now, id);
                self.announced(id, voicemail);
            }
            SessionEvent::Acked { sdp: Some(sdp) } => match leg.answered(&sdp) {
                Ok(media) => {
                    let hold = leg.hold_change();
                    self.agreed(id, media);
                    self.reports.extend(hold.map(|event| Report::Leg(id, event)));
                }
                // In a session that has media already, that goes on.
                Err(error) if leg.has_agreed() => {
                    tracing::info!(leg = %id, %error, "answer in an ACK not usable");
                }
                Err(error) => return Err(unacceptable(error)),
            },
            // Our offer went out with the 200 and nobody answered it: there will be no media.
            SessionEvent::Acked { sdp: None } if !leg.has_agreed() => {
                return Err(unacceptable(super::leg::NoAgreement::Nothing));
            }
            SessionEvent::Acked { sdp: None } => {}
            SessionEvent::Reinvited { offer: Some(offer) } => {
                let answer = match leg.reoffered(&offer) {
                    Ok((answer, media, hold)) => {
                        self.agreed(id, media);
                        self.reports.extend(hold.map(|event| Report::Leg(id, event)));
                        Ok(answer)
                    }
                    // RFC 3261 section 14.2: refused, and the session stays as it was.
                    Err(error) => {
                        tracing::info!(leg = %id, %error, "re-INVITE refused");
                        Err(488)
                    }
                };
                self.endpoint.answer_reinvite(now, session, answer).map_err(internal)?;
            }
            SessionEvent::Reinvited { offer: None } => {
                let offer = leg.reoffer().map_err(internal)?;
                self.endpoint.answer_reinvite(now, session, Ok(offer)).map_err(internal)?;
            }
            SessionEvent::ReinviteAnswered { sdp: Some(sdp), is_answer: true } => {
                match leg.answered(&sdp) {
                    Ok(media) => {
                        // A telephone that held while we did is found still holding when we resume.
                        let hold = leg.hold_change();
                        self.agreed(id, media);
                        self.reports.extend(hold.map(|event| Report::Leg(id, event)));
                    }
                    // The old agreement stands: a telephone that garbles an answer still talks.
                    Err(error) => tracing::info!(leg = %id, %error, "answer to our re-INVITE not usable"),
                }
            }
            SessionEvent::ReinviteAnswered { .. } => {}
            SessionEvent::ReinviteFailed { status } => {
                tracing::info!(leg = %id, status, "re-INVITE refused; the hold goes on without it");
            }
            SessionEvent::Referred(asked) => self.referred(now, id, &asked),
            SessionEvent::Ended(ended) if self.goes_on(now, id, &ended) => {}
            SessionEvent::Ended(ended) => {
                let leg = self.legs.remove(&id);
                self.target_ended(leg.and_then(|leg| leg.referred_by), ended.status);
                self.by_session.remove(&session);
                self.report(Report::Leg(id, LegEvent::Ended(end_of(&ended))));
            }
        }
        Ok(())
    }

    /// Somebody calls. Who is it, and may they?
    fn incoming(&mut self, now: Instant, incoming: endpoint::Incoming) {
        let config = self.config.load_full();
        let trunk = match self.private.trunk(&config, &incoming.peer, &incoming.request) {
            Ok(trunk) => trunk,
            Err(stranger) => {
                tracing::info!(remote = %incoming.peer.remote, because = %stranger, "a call is refused");
                return self.refuse(now, incoming.session, &Refusal::new(403));
            }
        };
        let (tenant, origin, codecs, prack, terms) = match trunk {
            Some(trunk) => (
                trunk.tenant.clone(),
                Origin::Trunk(trunk.id.clone()),
                codecs_of(&config, trunk),
                trunk.prack,
                Terms::of_trunk(trunk),
            ),
            None => match self.authenticate(now, &config, &incoming.request) {
                Ok(person) => (
                    person.tenant.clone(),
                    Origin::Person(person.id.clone()),
                    codecs(&config.media.codecs),
                    Prack::Supported,
                    Terms::of_person(person),
                ),
                Err(refusal) => return self.refuse(now, incoming.session, &refusal),
            },
        };
        if let Some(refusal) = prack_refusal(prack, &incoming.request) {
            return self.refuse(now, incoming.session, &refusal);
        }
        let trunk = match &origin {
            Origin::Trunk(trunk) => config.trunk(trunk),
            Origin::Person(_) | Origin::Acs(_) => None,
        };
        let manners = match &origin {
            Origin::Person(_) => Manners::of_our_people(),
            Origin::Trunk(_) | Origin::Acs(_) => self.manners(trunk, &Destination::from(incoming.peer), None),
        };
        let replaces = match self.replaced(&incoming.request, &origin, &manners) {
            Ok(replaces) => replaces,
            Err(refusal) => return self.refuse(now, incoming.session, &refusal),
        };
        self.endpoint.set_manners(now, incoming.session, manners);
        self.meet_route(now, incoming.session);
        // Whoever it most likely was when the connection stood: now it is known.
        if let Some(way) = trunk.and_then(|trunk| self.private.way_back(trunk, &incoming.peer)) {
            self.endpoint.reopened_by(incoming.session, way);
        }
        let offer = incoming.offer.as_ref();
        let mut leg = match Leg::incoming(incoming.session, self.random.bits(), codecs, offer) {
            Ok(leg) => leg,
            Err(error) => {
                tracing::info!(%error, "a call without a usable description is refused");
                return self.refuse(now, incoming.session, &Refusal::new(488));
            }
        };
        let protection = self.protection(&terms, incoming.peer.transport);
        let protected = protection
            .map_err(|error| error.to_string())
            .and_then(|protection| leg.protect(protection).map_err(|error| unacceptable(error).detail));
        if let Err(error) = protected {
            tracing::info!(%error, "a call whose sound would be protected too little or too much is refused");
            return self.refuse(now, incoming.session, &Refusal::new(488));
        }
        leg.offers_mux = terms.offers_mux;
        leg.signalled_from = matches!(origin, Origin::Person(_)).then_some(incoming.peer.remote.ip());
        leg.reliable = prack != Prack::Off;
        leg.trunk = trunk.map(|trunk| trunk.id.clone());
        leg.holds_inactive = trunk.is_some_and(|trunk| trunk.hold == HoldStyle::Inactive);
        let id = LegId(self.random.bits());
        let report = Incoming {
            leg: id,
            door: DoorName::Sip,
            tenant,
            from: match trunk {
                Some(trunk) => identity::caller(&incoming.request, trunk),
                None => caller(&incoming.request),
            },
            origin,
            to: match trunk {
                Some(trunk) => {
                    identity::dialled(&incoming.request, trunk, self.registrations.user(&trunk.id))
                }
                None => dialled(&incoming.request),
            },
            codecs: leg.offered(),
            replaces,
        };
        self.by_session.insert(incoming.session, id);
        self.legs.insert(id, leg);
        self.report(Report::Incoming(report));
    }

    /// The person whose credentials the request carries, or the refusal that asks for them.
    fn authenticate<'a>(
        &mut self,
        now: Instant,
        config: &'a Config,
        request: &Request,
    ) -> Result<&'a sbc_config::Person, Refusal> {
        let registrar = self.endpoint.registrar().ok_or(Refusal::new(403))?;
        let known = registrar.authenticate(now, request).map_err(|challenges| {
            let name = Name::WwwAuthenticate.as_str();
            let headers: Vec<_> =
                challenges.into_iter().map(|value| (name.to_owned(), Bytes::from(value))).collect();
            // No challenge to offer: the credentials are right, and belong to somebody else.
            let status = if headers.is_empty() { 403 } else { 401 };
            Refusal { headers, ..Refusal::new(status) }
        })?;
        config.person_by_username(&known.user).ok_or(Refusal::new(403))
    }

    fn refuse(&mut self, now: Instant, session: SessionId, refusal: &Refusal) {
        if let Err(error) = self.endpoint.reject(now, session, refusal) {
            tracing::debug!(%error, "the caller is gone already");
        }
    }
}

/// What a trunk's rule for reliable provisional responses (RFC 3262) refuses: the extension where it
/// is off, a caller without it where it is required.
fn prack_refusal(prack: Prack, request: &Request) -> Option<Refusal> {
    let headers = request.headers();
    let insists = headers.has_token(Name::Require, "100rel");
    let (status, header) = match prack {
        Prack::Off if insists => (420, Name::Unsupported),
        Prack::Required if !insists && !headers.has_token(Name::Supported, "100rel") => (421, Name::Require),
        Prack::Off | Prack::Supported | Prack::Required => return None,
    };
    let headers = vec![(header.as_str().to_owned(), Bytes::from_static(b"100rel"))];
    Some(Refusal { headers, ..Refusal::new(status) })
}

/// What was dialled: the user part of the Request-URI, or the number of a `tel:` URI.
fn dialled(request: &Request) -> String {
    request.uri().user_unescaped().unwrap_or_default()
}

/// Whose telephone calls.
fn caller(request: &Request) -> Caller {
    let from = request.headers().from().ok();
    let number = from.as_ref().and_then(|from| from.uri.user_unescaped());
    let name = from.and_then(|from| from.display_name()).map(|name| name.to_string());
    let number = number.unwrap_or_else(|| "anonymous".to_owned());
    Caller { journey: Arc::new(identity::journey(request.headers())), ..Caller::shown(number, name) }
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

/// Messages and orders handled in one go, before what they bring about is sent.
const BURST_MAX: usize = 64;

/// How long registrars may take to answer the good-bye of a gateway that stops: with a challenge, two round trips.
const LEAVING_MAX: Duration = Duration::from_secs(1);

/// Runs the door on its sockets until the switchboard is gone, and registrars know that we are.
pub async fn run(
    mut door: Door,
    mut wires: super::transport::Wires,
    mut orders: tokio::sync::mpsc::Receiver<Order>,
    reports: tokio::sync::mpsc::Sender<Report>,
    words: tokio::sync::mpsc::Sender<Word>,
    mut draining: tokio::sync::watch::Receiver<bool>,
) {
    let mut drained = false;
    let mut leave_by = None;
    loop {
        while let Some(wanted) = door.poll() {
            match wanted {
                Wanted::Transmit(to, octets) => wires.send(to, door.outward(&to), octets),
                Wanted::Close(connection) => wires.close(connection),
                Wanted::Tell(word) => {
                    // A full queue means that somebody is at it. A doubt is looked into within the half minute anyway, and
                    // without the address of a name requests go where their dialog began.
                    let _heard = words.try_send(word);
                }
                // Waiting here slows the sockets down, which is what a full switchboard needs.
                Wanted::Report(report) => {
                    if reports.send(report).await.is_err() && leave_by.is_none() {
                        return;
                    }
                }
            }
        }
        if leave_by.is_some() && !door.is_leaving() {
            return;
        }
        let wake = door.poll_timeout();
        tokio::select! {
            arrival = wires.next() => {
                let now = Instant::now();
                let first = std::iter::once(arrival);
                for arrival in first.chain(std::iter::from_fn(|| wires.arrived()).take(BURST_MAX)) {
                    survive(|| match arrival {
                        Arrival::Message(peer, message) => door.receive(now, peer, message),
                        Arrival::Broken(peer, head) => door.receive_last(now, peer, head),
                        Arrival::Secured(peer, verified) => door.secured(peer, verified),
                        Arrival::Gone(connection, to) => door.gone(now, connection, to),
                        Arrival::Unreachable(to) => door.unreachable(now, to),
                    });
                }
            }
            order = orders.recv(), if leave_by.is_none() => match order {
                Some(order) => {
                    let now = Instant::now();
                    let more = std::iter::from_fn(|| orders.try_recv().ok()).take(BURST_MAX);
                    std::iter::once(order).chain(more).for_each(|order| survive(|| door.order(now, order)));
                }
                None => {
                    leave_by = Some(Instant::now() + LEAVING_MAX);
                    if !std::mem::replace(&mut drained, true) {
                        survive(|| door.take_no_more(Instant::now()));
                    }
                }
            },
            () = sleep_until(leave_by), if leave_by.is_some() => return,
            // An error means that nobody is left who could say so; then the orders end as well.
            _ = draining.wait_for(|draining| *draining), if !drained => {
                drained = true;
                survive(|| door.take_no_more(Instant::now()));
            }
            () = sleep_until(wake) => survive(|| door.handle_timeout(Instant::now())),
        }
    }
}

/// A defect met while one message is handled must not take the door from everybody.
fn survive(step: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(step)).is_err() {
        tracing::error!("a defect in the SIP door; what it was doing is lost, the door goes on");
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
