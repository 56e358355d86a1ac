//! A call that comes to us, until we have answered its INVITE for good (RFC 3261 section 13.3, RFC 3262 section 3).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::established::{Established, Opening};
use super::{
    By, CommandError, Common, Ended, How, Next, NextHop, Refusal, Ring, SessionEvent, SessionTimers, State,
    Way, sdp_of,
};
use crate::sip::build::ResponseBuilder;
use crate::sip::dialog::{Dialog, Order};
use crate::sip::flow::{Destination, TlsWay};
use crate::sip::header::{Method, Name};
use crate::sip::hub::{Hub, Question};
use crate::sip::manners::Manners;
use crate::sip::message::{Headers, StatusCode};
use crate::sip::transaction::{T1, T1_TIMES_64};

/// RFC 3261 section 13.3.1.1: a provisional response every minute keeps proxies from cancelling.
const STILL_RINGING_EVERY: Duration = Duration::from_secs(60);

/// A guard, not a ring time-out: the core has its own. A call that the core forgot must not stay for ever.
const UNANSWERED_MAX: Duration = Duration::from_secs(600);

/// Provisional responses that may wait for the PRACK of an earlier one. A call has one or two.
const MAX_WAITING: usize = 8;

#[derive(Debug)]
pub(super) struct Incoming {
    invite: Question,
    pub(super) dialog: Dialog,
    pub(super) way: Way,
    /// The caller left the offer to us.
    no_offer: bool,
    /// The last unreliable provisional response, said again every minute.
    last: Option<Bytes>,
    rseq: u32,
    unacknowledged: Option<Reliably>,
    waiting: VecDeque<(StatusCode, Option<Bytes>)>,
    /// The description that a reliable response has carried.
    described: Option<Bytes>,
    /// `accept` came while a reliable response was still unacknowledged (RFC 3262 section 3).
    then_accept: Option<Bytes>,
}

/// A reliable provisional response on its way.
#[derive(Debug)]
struct Reliably {
    wire: Bytes,
    pause: Duration,
    had_sdp: bool,
}

impl Incoming {
    pub(super) fn new(
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        invite: Question,
    ) -> Option<Incoming> {
        let tag = common.tag_text();
        let local = invite.headers().to().ok().map(|to| to.with_tag(&tag).to_bytes());
        let dialog = local.and_then(|local| Dialog::as_server(&invite.request, local));
        let Some(dialog) = dialog else {
            let response = ResponseBuilder::with_reason(
                &invite.request,
                StatusCode::BAD_REQUEST,
                "Missing Contact Or Too Many Routes",
                invite.peer.remote,
            );
            hub.respond(now, &invite, response.to_tag(&tag));
            return None;
        };
        let listens = invite.headers().top_via().ok().and_then(|via| via.port);
        let flow = Destination::back(invite.peer, listens);
        let way = Way { flow, next_hop: next_hop(&invite, &dialog) };
        let no_offer = matches!(sdp_of(invite.headers(), invite.request.body()), Ok(None));
        hub.layer.own(invite.id, common.id);
        common.set(hub, Ring::RungTooLong, now + UNANSWERED_MAX);
        Some(Incoming {
            invite,
            dialog,
            way,
            no_offer,
            last: None,
            rseq: 1 + hub.random.below(1 << 30) as u32,
            unacknowledged: None,
            waiting: VecDeque::new(),
            described: None,
            then_accept: None,
        })
    }

    pub(super) fn progress(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        status: u16,
        sdp: Option<Bytes>,
        reliable: bool,
    ) -> Result<(), CommandError> {
        let status = StatusCode::new(status)
            .filter(|s| s.is_provisional() && *s != StatusCode::TRYING)
            .ok_or(CommandError::Unwritable)?;
        if self.then_accept.is_some() {
            return Err(CommandError::WrongState);
        }
        if !self.is_reliable(common, reliable) {
            let response = self.response(common, hub, status, sdp);
            self.last = Some(hub.respond(now, &self.invite, response).ok_or(CommandError::Unwritable)?);
            common.set(hub, Ring::StillRinging, now + STILL_RINGING_EVERY);
            return Ok(());
        }
        if self.unacknowledged.is_some() {
            if self.waiting.len() == MAX_WAITING {
                return Err(CommandError::Limit);
            }
            self.waiting.push_back((status, sdp));
            return Ok(());
        }
        self.send_reliably(common, hub, now, status, sdp)
    }

    /// The peer wants requests inside the dialog where its Record-Route says.
    pub(super) fn come_by_route(&mut self, manners: &Manners) {
        if manners.by_route {
            self.way.next_hop = NextHop::ByRoute;
        }
    }

    pub(super) fn flow(&self) -> &Destination {
        &self.way.flow
    }

    /// As whom and to whom another TLS connection to the caller is opened, for requests and answers alike.
    pub(super) fn reopened_by(&mut self, hub: &mut Hub, tls: TlsWay) {
        self.way.flow.tls = Some(tls);
        hub.layer.reopened_by(self.invite.id, tls);
    }

    /// RFC 3262 section 3: only when the caller can, and always when it insists.
    fn is_reliable(&self, common: &Common, wanted: bool) -> bool {
        if !common.manners.prack {
            return false;
        }
        let headers = self.invite.headers();
        headers.has_token(Name::Require, "100rel") || wanted && headers.has_token(Name::Supported, "100rel")
    }

    fn send_reliably(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        status: StatusCode,
        sdp: Option<Bytes>,
    ) -> Result<(), CommandError> {
        self.rseq = self.rseq.wrapping_add(1);
        // One description for the dialog: the first is the answer (or offer), later ones would be new offers.
        let sdp = sdp.filter(|_| self.described.is_none());
        let response = self
            .response(common, hub, status, sdp.clone())
            .header(Name::Require, "100rel")
            .header(Name::RSeq, self.rseq.to_string());
        let wire = hub.respond(now, &self.invite, response).ok_or(CommandError::Unwritable)?;
        self.unacknowledged = Some(Reliably { wire, pause: T1, had_sdp: sdp.is_some() });
        if sdp.is_some() {
            self.described = sdp;
        }
        common.stop(Ring::StillRinging);
        common.set(hub, Ring::RepeatReliable, now + T1);
        common.set(hub, Ring::NoPrack, now + T1_TIMES_64);
        Ok(())
    }

    fn response(
        &self,
        common: &Common,
        hub: &Hub,
        status: StatusCode,
        sdp: Option<Bytes>,
    ) -> ResponseBuilder {
        let response = self
            .invite
            .response(status)
            .to_tag(&common.tag_text())
            .record_routes(&self.invite.request)
            .header(Name::Contact, hub.contact(&common.manners, &self.way.flow));
        let response = common.manners.sign_response(response);
        match sdp {
            Some(sdp) => response.body("application/sdp", sdp),
            None => response,
        }
    }

    pub(super) fn accept(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        sdp: Bytes,
    ) -> Result<Next, CommandError> {
        if self.then_accept.is_some() {
            return Err(CommandError::WrongState);
        }
        if self.unacknowledged.is_some() {
            self.waiting.clear();
            self.then_accept = Some(sdp);
            return Ok(Next::Stay);
        }
        common.rings.clear();
        let timers = common.timers(hub);
        let mut response = self
            .response(common, hub, StatusCode::OK, self.described.is_none().then(|| sdp.clone()))
            .header(Name::Supported, common.supported(timers))
            .header(Name::Server, hub.config.user_agent.clone());
        let agreed = Established::agree(timers, self.invite.headers(), None);
        if let Some(agreed) = &agreed {
            response = agreed.write(response);
        }
        let wire = hub.respond(now, &self.invite, response).ok_or(CommandError::Unwritable)?;
        let cseq = self.invite.headers().cseq().map(|cseq| cseq.number).unwrap_or_default();
        // An offer of ours in the 2xx is answered in the ACK; one in a reliable provisional was in the PRACK.
        let awaits_answer = self.no_offer && self.described.is_none();
        let local_sdp = Some(self.described.take().unwrap_or(sdp));
        let mut established = Established::new(Opening {
            dialog: self.dialog.clone(),
            way: self.way,
            we_called: false,
            local_sdp,
            timers,
            invite: None,
            login: None,
        });
        established.await_ack(common, hub, now, cseq, wire, self.way.flow, awaits_answer);
        established.keep_timer(common, hub, now, agreed);
        Ok(Next::Become(Box::new(State::Established(established))))
    }

    pub(super) fn reject(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        refusal: &Refusal,
    ) -> Result<Next, CommandError> {
        let status =
            StatusCode::new(refusal.status).filter(|s| s.as_u16() >= 300).ok_or(CommandError::Unwritable)?;
        self.refuse(common, hub, now, status, refusal)?;
        let mut ended = Ended::new(By::Us, How::Refused).with_status(refusal.status);
        ended.retry_after = refusal.retry_after;
        common.end(hub, ended);
        Ok(Next::Over)
    }

    fn refuse(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        status: StatusCode,
        refusal: &Refusal,
    ) -> Result<(), CommandError> {
        let mut response = self.invite.response(status).to_tag(&common.tag_text());
        for (name, value) in &common.manners.headers {
            response = response.named(name, value);
        }
        for reason in &refusal.reasons {
            response = response.header(Name::Reason, reason);
        }
        if let Some(after) = refusal.retry_after {
            response = response.header(Name::RetryAfter, after.as_secs().to_string());
        }
        for (name, value) in &refusal.headers {
            response = response.named(name, value);
        }
        common.rings.clear();
        hub.respond(now, &self.invite, response).ok_or(CommandError::Unwritable)?;
        Ok(())
    }

    pub(super) fn on_cancel(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        cancel: &Headers,
    ) -> Next {
        let status = StatusCode::REQUEST_TERMINATED;
        let _ = self.refuse(common, hub, now, status, &Refusal::default());
        let ended = Ended::new(By::Peer, How::Cancelled).with_status(status.as_u16()).with_reasons(cancel);
        common.end(hub, ended);
        Next::Over
    }

    pub(super) fn on_request(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        question: Question,
    ) -> Next {
        let tag = common.tag_text();
        let cseq = question.headers().cseq().map(|cseq| cseq.number).unwrap_or_default();
        if self.dialog.heard(cseq) == Order::Late {
            hub.answer(now, &question, StatusCode::SERVER_INTERNAL_ERROR, &tag);
            return Next::Stay;
        }
        match question.request.method() {
            Method::Prack => self.on_prack(common, hub, now, &question),
            Method::Bye => {
                // RFC 3261 section 15.1.2: the BYE is answered, and so is the INVITE.
                hub.answer(now, &question, StatusCode::OK, &tag);
                self.on_cancel(common, hub, now, question.headers())
            }
            Method::Options => {
                hub.answer_options(now, &question, &tag, &common.manners);
                Next::Stay
            }
            Method::Invite => {
                hub.answer_retry_after(now, &question, &tag);
                Next::Stay
            }
            _ => {
                hub.answer(now, &question, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST, &tag);
                Next::Stay
            }
        }
    }

    fn on_prack(&mut self, common: &mut Common, hub: &mut Hub, now: Instant, question: &Question) -> Next {
        let tag = common.tag_text();
        let invite_cseq = self.invite.headers().cseq().ok();
        let rack = question.headers().rack().ok().flatten();
        let fits = rack.is_some_and(|rack| rack.rseq == self.rseq && Some(rack.cseq) == invite_cseq);
        let Some(acknowledged) = self.unacknowledged.take_if(|_| fits) else {
            hub.answer(now, question, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST, &tag);
            return Next::Stay;
        };
        common.stop(Ring::RepeatReliable);
        common.stop(Ring::NoPrack);
        let sdp = sdp_of(question.headers(), question.request.body()).unwrap_or_default();
        if self.no_offer && acknowledged.had_sdp {
            hub.answer(now, question, StatusCode::OK, &tag);
            common.tell(hub, SessionEvent::Acked { sdp });
        } else if sdp.is_some() {
            // A new offer in PRACK is legal and unheard of; refused, the session stays as agreed.
            hub.answer(now, question, StatusCode::NOT_ACCEPTABLE_HERE, &tag);
        } else {
            hub.answer(now, question, StatusCode::OK, &tag);
        }
        if let Some(sdp) = self.then_accept.take() {
            return self.accept(common, hub, now, sdp).unwrap_or(Next::Stay);
        }
        if let Some((status, sdp)) = self.waiting.pop_front() {
            let _ = self.send_reliably(common, hub, now, status, sdp);
        }
        Next::Stay
    }

    pub(super) fn on_ring(&mut self, common: &mut Common, hub: &mut Hub, now: Instant, ring: Ring) -> Next {
        match ring {
            Ring::NothingSaid => {
                // A way on that is slow to ring is no reason to lose the call: it rings soon, or ends.
                if self.last.is_none() && self.unacknowledged.is_none() {
                    let _ = self.progress(common, hub, now, StatusCode::RINGING.as_u16(), None, false);
                }
                Next::Stay
            }
            Ring::StillRinging => {
                if let Some(wire) = &self.last {
                    hub.layer.respond(now, self.invite.id, StatusCode::RINGING.as_u16(), wire.clone());
                    common.set(hub, ring, now + STILL_RINGING_EVERY);
                }
                Next::Stay
            }
            Ring::RepeatReliable => {
                if let Some(pending) = &mut self.unacknowledged {
                    // RFC 3262 section 3: doubling without the ceiling of T2.
                    pending.pause *= 2;
                    let (wire, pause) = (pending.wire.clone(), pending.pause);
                    hub.layer.respond(now, self.invite.id, StatusCode::RINGING.as_u16(), wire);
                    common.set(hub, ring, now + pause);
                }
                Next::Stay
            }
            Ring::RungTooLong => {
                let status = StatusCode::TEMPORARILY_UNAVAILABLE;
                let _ = self.refuse(common, hub, now, status, &Refusal::default());
                common.end(hub, Ended::new(By::Us, How::NoAnswer).with_status(status.as_u16()));
                Next::Over
            }
            Ring::NoPrack => {
                let status = StatusCode::SERVER_TIMEOUT;
                let _ = self.refuse(common, hub, now, status, &Refusal::default());
                common.end(hub, Ended::new(By::Network, How::NoPrack).with_status(status.as_u16()));
                Next::Over
            }
            _ => Next::Stay,
        }
    }
}

/// What we support, for 2xx responses and OPTIONS.
pub(in crate::sip) fn supported(timers: Option<SessionTimers>) -> &'static str {
    if timers.is_some() { "100rel, timer" } else { "100rel" }
}

/// A caller behind NAT: no proxy between us, and the address it names is not the one it has. Its Contact is of no
/// more use than its Via, so requests go back to where the INVITE came from.
fn next_hop(invite: &Question, dialog: &Dialog) -> NextHop {
    let headers = invite.headers();
    let source = invite.peer.remote.ip();
    let hops = headers.list(Name::Via).take(2).count();
    let sent_by = headers.top_via().ok().and_then(|via| via.host.ip());
    let behind_nat = hops == 1
        && headers.get(Name::RecordRoute).is_none()
        && (sent_by.is_some_and(|ip| ip != source)
            || sent_by.is_none()
                && dialog.next_hop().host().and_then(|h| h.ip()).is_some_and(|ip| ip != source));
    if behind_nat { NextHop::Pinned } else { NextHop::Follow }
}
