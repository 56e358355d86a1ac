//! What all sessions of an endpoint share: transactions, timers, tags, the outbox and the house's own identity.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::alarm::Alarms;
use super::build::{RequestBuilder, ResponseBuilder};
use super::endpoint::{AskId, EndpointConfig, Lookup, OptionsId, Output};
use super::flow::{Destination, Peer, Transport};
use super::header::{self, MAGIC_COOKIE, Method, Name, Via};
use super::large::DatagramsOnly;
use super::layer::{ClientId, Kind, Layer, ServerId};
use super::manners::Manners;
use super::message::{Headers, Message, Request, StatusCode};
use super::session::{Ring, SessionEvent, SessionId, supported};
use super::uri::Host;
use crate::random::Random;

/// RFC 3261 section 8.1.1.6 recommends 70 hops.
pub(super) const MAX_FORWARDS: u8 = 70;

/// What a client transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    /// A request of a session.
    Session(SessionId),
    /// An OPTIONS asked for by the door.
    Options(OptionsId),
    /// A request that the door has written.
    Ask(AskId),
    /// Nobody cares for the answer: the BYE to a fork that lost.
    Nobody,
}

#[derive(Debug)]
pub(super) struct Hub {
    pub(super) config: EndpointConfig,
    pub(super) layer: Layer<Errand, SessionId>,
    pub(super) random: Random,
    pub(super) events: VecDeque<Output>,
    /// Our tags are unguessable and unique, so one number finds the session of a message inside a dialog.
    pub(super) tags: HashMap<u64, SessionId>,
    pub(super) alarms: Alarms<(SessionId, Ring)>,
    /// Transfers that peers have asked for and that are under way.
    pub(super) referrals: usize,
    pub(super) resolver: Resolver,
    pub(super) datagrams_only: DatagramsOnly,
}

/// Whoever knows the addresses behind names. It answers at once, or not at all.
#[derive(Clone, Default)]
pub(super) struct Resolver(pub(super) Option<Arc<Lookup>>);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Resolver" } else { "none" })
    }
}

impl Hub {
    pub(super) fn new(config: EndpointConfig, seed: [u8; 32]) -> Hub {
        Hub {
            config,
            layer: Layer::new(),
            random: Random::new(seed),
            events: VecDeque::new(),
            tags: HashMap::new(),
            alarms: Alarms::default(),
            referrals: 0,
            resolver: Resolver::default(),
            datagrams_only: DatagramsOnly::default(),
        }
    }

    /// The host and port that we give for ourselves on the way to `to`.
    pub(super) fn sent_by(&self, to: &Destination) -> (Host, Option<u16>) {
        let advertised = match to.transport {
            Transport::Udp => &self.config.advertised_udp,
            // A gateway without a listener for it may still call by TCP; answers come back on the connection.
            Transport::Tcp => match &self.config.advertised_tcp {
                None => &self.config.advertised_udp,
                listener => listener,
            },
            Transport::Tls => &self.config.advertised_tls,
        };
        match (advertised, to.local) {
            (Some((host, port)), _) => (host.clone(), Some(*port)),
            (None, Some(local)) => (Host::from(local.ip()), Some(local.port())),
            // Nobody knows our address; answers still find the way back by rport.
            (None, None) => (Host::from(std::net::IpAddr::from([127, 0, 0, 1])), None),
        }
    }

    /// The host and port that we give for ourselves to a peer with these manners.
    fn named(&self, manners: &Manners, to: &Destination) -> (Host, Option<u16>) {
        match &manners.name {
            Some((host, port)) => (host.clone(), Some(*port)),
            None => self.sent_by(to),
        }
    }

    /// Our Contact on the way to `to`.
    pub(super) fn contact(&self, manners: &Manners, to: &Destination) -> Bytes {
        let (host, port) = self.named(manners, to);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let transport = to.transport.param().map(|name| format!(";transport={name}")).unwrap_or_default();
        let user = manners.contact_user.as_ref().unwrap_or(&self.config.contact_user);
        Bytes::from(format!("<sip:{user}@{host}{port}{transport}>"))
    }

    /// Our Contact where the gateway speaks and no call of it: whoever knows us by a name knows the name alone.
    pub(super) fn own_contact(&self, manners: &Manners, to: &Destination) -> Bytes {
        let Some((host, port)) = &manners.name else { return self.contact(manners, to) };
        let transport = to.transport.param().map(|name| format!(";transport={name}")).unwrap_or_default();
        Bytes::from(format!("<sip:{host}:{port}{transport}>"))
    }

    /// A fresh branch with its Via.
    pub(super) fn via(&mut self, manners: &Manners, to: &Destination) -> (u64, Via) {
        let branch = self.random.bits();
        (branch, self.via_of(manners, to, branch))
    }

    fn via_of(&self, manners: &Manners, to: &Destination, branch: u64) -> Via {
        let (host, port) = self.named(manners, to);
        let transport = match to.transport {
            Transport::Udp => header::Transport::Udp,
            Transport::Tcp => header::Transport::Tcp,
            Transport::Tls => header::Transport::Tls,
        };
        Via::new(transport, host, port, &format!("{MAGIC_COOKIE}{branch:016x}"))
    }

    /// Writes a request around its Via and starts its transaction. `None` when it cannot be written.
    pub(super) fn request(
        &mut self,
        now: Instant,
        kind: Kind,
        to: Destination,
        errand: Errand,
        manners: &Manners,
        write: impl FnOnce(&Via, &mut Random) -> RequestBuilder,
    ) -> Option<ClientId> {
        let (branch, via) = self.via(manners, &to);
        let request = write(&via, &mut self.random);
        let id = ClientId { branch, kind };
        let most = self.config.datagram_max;
        let Some(stream) = self.datagrams_only.instead(now, &to, request.octets(), most) else {
            self.layer.request(now, id, to, written(request)?, None, errand);
            return Some(id);
        };
        let moved = request.clone().by_way_of(&self.via_of(manners, &stream, branch));
        let (moved, datagram) = (written(moved)?, written(request)?);
        self.layer.request(now, id, stream, moved, Some((to, datagram)), errand);
        Some(id)
    }

    /// A new To or From tag, known from now on as `session`'s.
    pub(super) fn tag(&mut self, session: SessionId) -> u64 {
        let tag = self.random.bits();
        self.tags.insert(tag, session);
        tag
    }

    /// Sends a plain answer to a request: status and reason, nothing else.
    pub(super) fn answer(&mut self, now: Instant, question: &Question, status: StatusCode, tag: &str) {
        self.respond(now, question, question.response(status).to_tag(tag));
    }

    /// Sends an answer that was written at length, and gives its octets.
    pub(super) fn respond(
        &mut self,
        now: Instant,
        question: &Question,
        response: ResponseBuilder,
    ) -> Option<Bytes> {
        match response.build() {
            Ok(response) => {
                let wire = response.bytes().clone();
                self.layer.respond(now, question.id, response.status().as_u16(), wire.clone());
                Some(wire)
            }
            Err(error) => {
                tracing::debug!(%error, "a response could not be written");
                None
            }
        }
    }

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

    /// RFC 4028 section 9: a session timer shorter than we agree to, and the shortest there may be.
    pub(super) fn answer_too_brief(&mut self, now: Instant, question: &Question, tag: &str, min: u32) {
        let response = question.response(StatusCode::SESSION_INTERVAL_TOO_SMALL).to_tag(tag);
        self.respond(now, question, response.header(Name::MinSe, min.to_string()));
    }

    pub(super) fn answer_unknown_body(&mut self, now: Instant, question: &Question, tag: &str) {
        self.respond(now, question, unknown_body(question).to_tag(tag));
    }
}

pub(super) fn unknown_body(question: &Question) -> ResponseBuilder {
    question
        .response(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        .header(Name::Accept, "application/sdp, multipart/mixed")
        .header(Name::AcceptEncoding, "identity")
}

fn written(request: RequestBuilder) -> Option<Bytes> {
    match request.build() {
        Ok(request) => Some(request.bytes().clone()),
        Err(error) => {
            tracing::debug!(%error, "a request could not be written");
            None
        }
    }
}

/// A request that waits for its answer.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) id: ServerId,
    pub(super) peer: Peer,
    pub(super) request: Request,
}

impl Question {
    /// Begins an answer.
    pub(super) fn response(&self, status: StatusCode) -> ResponseBuilder {
        ResponseBuilder::new(&self.request, status, self.peer.remote)
    }

    pub(super) fn headers(&self) -> &Headers {
        self.request.headers()
    }
}

/// The ACK to a refusal or the CANCEL of an INVITE of ours: both repeat the INVITE's top Via, Request-URI, From,
/// Call-ID, CSeq number and Route (RFC 3261 sections 17.1.1.3 and 9.1). `to` replaces the To of the INVITE.
pub(super) fn hop_by_hop(
    invite: &Bytes,
    method: Method,
    to: Option<Bytes>,
    more: impl FnOnce(RequestBuilder) -> RequestBuilder,
) -> Option<Bytes> {
    let Ok(Message::Request(invite)) = Message::parse_stream(invite.clone()) else { return None };
    let headers = invite.headers();
    let mut request = RequestBuilder::new(method, invite.uri())
        .via(&headers.top_via().ok()?)
        .max_forwards(MAX_FORWARDS)
        .header(Name::From, headers.get(Name::From)?)
        .header(Name::To, to.or_else(|| headers.get(Name::To))?)
        .call_id(&headers.call_id().ok()?)
        .cseq(headers.cseq().ok()?.number);
    for route in headers.all(Name::Route) {
        request = request.header(Name::Route, route);
    }
    Some(more(request).build().ok()?.bytes().clone())
}
