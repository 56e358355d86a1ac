//! A request comes: whose it is, whether it may be, and who answers it (RFC 3261 section 8.2).

use std::time::{Duration, Instant};

use super::keys::Keys;
use super::{Endpoint, Incoming, Output, parse_hex};
use crate::sip::build::ResponseBuilder;
use crate::sip::flow::{Destination, Peer, Transport};
use crate::sip::header::{Method, Name, Via};
use crate::sip::hub::{Question, unknown_body};
use crate::sip::manners::Manners;
use crate::sip::message::{Rejected, Request, StatusCode};
use crate::sip::session::{Session, SessionId, sdp_of, too_brief};

/// The methods we understand. UPDATE, REFER and INFO are not among them: they are answered 405.
pub(in crate::sip) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK";
/// The same with a registrar.
const ALLOW_WITH_REGISTER: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, REGISTER";

/// What a caller is told to wait after 503.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl Endpoint {
    pub(super) fn on_request(&mut self, now: Instant, peer: Peer, request: Request) {
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
            return self.hub.answer_too_brief(now, &question, &tag, min);
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

    pub(super) fn refuse_unread(&mut self, peer: Peer, rejected: &Rejected) {
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

    /// A tag for an answer outside any session.
    fn stray_tag(&mut self) -> String {
        format!("{:016x}", self.hub.random.bits())
    }
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
