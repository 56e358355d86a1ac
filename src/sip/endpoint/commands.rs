//! What the door orders: calls to place, answer, change and end, and requests outside of calls.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{AskId, Endpoint, OptionsId};
use crate::random::Random;
use crate::sip::build::RequestBuilder;
use crate::sip::flow::{Destination, TlsWay};
use crate::sip::header::{Method, Name, NameAddr, Via};
use crate::sip::hub::{Errand, MAX_FORWARDS};
use crate::sip::layer::Kind;
use crate::sip::manners::Manners;
use crate::sip::message::StatusCode;
use crate::sip::session::{CommandError, Dial, Refusal, Session, SessionId, supported};
use crate::sip::uri::Uri;

impl Endpoint {
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
    /// with [`SessionEvent::Acked`](crate::sip::session::SessionEvent::Acked). When a reliable provisional response has carried a description
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
    /// (RFC 3326), `Q.850;cause=16` for example. [`SessionEvent::Ended`](crate::sip::session::SessionEvent::Ended) follows at once.
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

    /// Answers [`SessionEvent::Reinvited`](crate::sip::session::SessionEvent::Reinvited): a description, or a status of 300 to 699.
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
    pub(in crate::sip) fn reopened_by(&mut self, id: SessionId, tls: TlsWay) {
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

    /// Sends a request outside of any dialog, which is written around its Via. What becomes of it is [`Output::Told`](super::Output::Told).
    pub(in crate::sip) fn ask(
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
}
