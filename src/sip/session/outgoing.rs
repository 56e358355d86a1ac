//! A call that we place, until its INVITE has a final answer (RFC 3261 section 13.2).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::established::{Ack, Established, Opening};
use super::{By, Common, Dial, Ended, How, Next, Reliable, Ring, SessionEvent, State, Way, sdp_of};
use crate::sip::build::RequestBuilder;
use crate::sip::dialog::Dialog;
use crate::sip::endpoint::MAX_FORKS;
use crate::sip::flow::Destination;
use crate::sip::header::{Method, Name, NameAddr, Refresher, SessionExpires, Via};
use crate::sip::hub::{Errand, Hub, Question, hop_by_hop};
use crate::sip::layer::{ClientId, Kind};
use crate::sip::location;
use crate::sip::login::{Login, signed};
use crate::sip::message::{Response, StatusCode};
use crate::sip::text::Text;
use crate::sip::transaction::T1_TIMES_64;

/// RFC 3261 section 16.6 lets a proxy end a call that rings for three minutes; no voicemail waits longer. Starts
/// anew with each provisional response.
const RING_MAX: Duration = Duration::from_secs(180);

/// How often an INVITE is sent anew because the answer said how: 422 with the interval, 401 with a nonce.
const MAX_ATTEMPTS: u8 = 4;

#[derive(Debug)]
pub(super) struct Outgoing {
    dial: Dial,
    login: Option<Box<Login>>,
    from: Bytes,
    to: Bytes,
    call_id: Text,
    cseq: u32,
    attempts: u8,
    invite: ClientId,
    forks: Vec<Fork>,
    heard: bool,
    cancel: Cancel,
}

/// A branch of a forked call that has answered provisionally.
#[derive(Debug)]
struct Fork {
    dialog: Dialog,
    /// The last reliable provisional response of this branch.
    rseq: Option<u32>,
    /// A reliable response has brought the answer to our offer.
    answered: bool,
}

/// The way of a CANCEL. RFC 3261 section 9.1: not before a provisional response has come.
#[derive(Debug)]
enum Cancel {
    No,
    Wanted(Vec<String>),
    Sent,
}

impl Outgoing {
    pub(super) fn new(common: &mut Common, hub: &mut Hub, now: Instant, dial: Dial) -> Option<Outgoing> {
        let call_id = format!("{:016x}{:016x}", hub.random.bits(), hub.random.bits());
        let from = dial.from.clone().with_tag(&common.tag_text()).to_bytes();
        let to = dial.to.clone().unwrap_or_else(|| NameAddr::new(dial.target.clone())).to_bytes();
        let cseq = 1 + hub.random.below(1 << 16) as u32;
        let login = dial.credentials.clone().map(|credentials| Box::new(Login::new(credentials)));
        let mut outgoing = Outgoing {
            dial,
            login,
            from,
            to,
            call_id: Text::from(call_id),
            cseq,
            attempts: 0,
            invite: ClientId { branch: 0, kind: Kind::Invite },
            forks: Vec::new(),
            heard: false,
            cancel: Cancel::No,
        };
        outgoing.send_invite(common, hub, now)?;
        Some(outgoing)
    }

    fn send_invite(&mut self, common: &mut Common, hub: &mut Hub, now: Instant) -> Option<()> {
        self.attempts += 1;
        let to = self.dial.destination;
        let contact = hub.contact(&common.manners, &to);
        let agent = hub.config.user_agent.clone();
        let errand = Errand::Session(common.id);
        let mut login = self.login.take();
        let manners = common.manners.clone();
        let sent = hub.request(now, Kind::Invite, to, errand, &manners, |via, random| {
            let request = self.invite_request(via, contact, &agent);
            signed(&mut login, random, &Method::Invite, &self.dial.target, request)
        });
        self.login = login;
        self.invite = sent?;
        if let Some(patience) = self.dial.patience {
            common.set(hub, Ring::NothingHeard, now + patience);
        }
        Some(())
    }

    fn invite_request(&self, via: &Via, contact: Bytes, agent: &str) -> RequestBuilder {
        let dial = &self.dial;
        let mut request = RequestBuilder::new(Method::Invite, &dial.target)
            .via(via)
            .max_forwards(dial.hops)
            .routes(&dial.routes)
            .header(Name::From, &self.from)
            .header(Name::To, &self.to)
            .call_id(&self.call_id)
            .cseq(self.cseq)
            .header(Name::Contact, contact);
        request = dial.manners.sign(request).header(Name::UserAgent, agent);
        let mut supported = Vec::new();
        let reliable = if dial.manners.prack { dial.reliable } else { Reliable::No };
        match (reliable, &dial.offer) {
            (Reliable::No, _) | (_, None) => {}
            (Reliable::Supported, Some(_)) => supported.push("100rel"),
            (Reliable::Required, Some(_)) => request = request.header(Name::Require, "100rel"),
        }
        if let Some(timers) = dial.timers {
            supported.push("timer");
            let refresher = dial.manners.we_refresh.then_some(Refresher::Uac);
            let expires = SessionExpires { seconds: timers.interval, refresher };
            request = request
                .header(Name::SessionExpires, expires.to_string())
                .header(Name::MinSe, timers.min.to_string());
        }
        let supported = dial.manners.supported.map_or_else(|| supported.join(", "), str::to_owned);
        if !supported.is_empty() {
            request = request.header(Name::Supported, supported);
        }
        for (name, value) in &dial.headers {
            request = request.named(name, value);
        }
        let location = dial.location.as_deref();
        for (name, value) in location.iter().flat_map(|location| &location.lines) {
            request = request.named(name, &value.0);
        }
        let Some(offer) = &dial.offer else { return request };
        let request = request.header(Name::Accept, "application/sdp");
        match location.filter(|location| !location.parts.is_empty()) {
            Some(location) => {
                // Nobody who wrote a part can have known our Call-ID.
                let (kind, body) = location::beside(offer, location, &self.call_id);
                request.header(Name::MimeVersion, "1.0").body(&kind, body)
            }
            None => request.body("application/sdp", offer.clone()),
        }
    }

    pub(super) fn has_dialog(&self, call_id: &str, remote_tag: &str) -> bool {
        self.forks.iter().any(|fork| fork.dialog.is_of(call_id, remote_tag))
    }

    pub(super) fn on_response(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        id: ClientId,
        response: &Response,
    ) -> Next {
        if id != self.invite {
            return Next::Stay; // a PRACK or CANCEL was answered: nothing depends on how
        }
        let status = response.status();
        if status.is_provisional() {
            self.on_provisional(common, hub, now, response)
        } else if status.is_success() {
            self.on_success(common, hub, now, response)
        } else {
            self.on_refusal(common, hub, now, response)
        }
    }

    fn on_provisional(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        response: &Response,
    ) -> Next {
        self.heard = true;
        common.stop(Ring::NothingHeard);
        match std::mem::replace(&mut self.cancel, Cancel::No) {
            Cancel::No => common.set(hub, Ring::RungTooLong, now + RING_MAX),
            Cancel::Wanted(reasons) => {
                self.send_cancel(common, hub, now, &reasons);
                return Next::Stay;
            }
            Cancel::Sent => {
                self.cancel = Cancel::Sent;
                return Next::Stay;
            }
        }
        let headers = response.headers();
        let tag = headers.to().ok().and_then(|to| to.tag());
        let (false, Some(tag)) = (response.status() == StatusCode::TRYING, tag) else { return Next::Stay };
        let Some(fork) = self.fork(&tag, response) else { return Next::Stay };
        let reliably = self.dial.manners.prack && headers.has_token(Name::Require, "100rel");
        let rseq = headers.rseq().ok().flatten().filter(|_| reliably);
        let sdp = sdp_of(headers, response.body()).unwrap_or_default();
        if let Some(rseq) = rseq {
            // RFC 3262 section 4: in order, once each; anything else is not acknowledged.
            if self.forks[fork].rseq.is_some_and(|last| rseq != last.wrapping_add(1)) {
                return Next::Stay;
            }
            self.forks[fork].rseq = Some(rseq);
            self.forks[fork].answered |= sdp.is_some();
            self.send_prack(common, hub, now, fork, rseq);
        }
        let status = response.status().as_u16();
        let fork = Text::from(tag.as_str());
        common.tell(hub, SessionEvent::Provisional { status, sdp, reliable: rseq.is_some(), fork });
        Next::Stay
    }

    /// The early dialog of this tag, made if it is new. `None` when it cannot be made or there are too many.
    fn fork(&mut self, tag: &str, response: &Response) -> Option<usize> {
        if let Some(known) = self.forks.iter().position(|fork| fork.dialog.remote_tag() == tag) {
            return Some(known);
        }
        if self.forks.len() == MAX_FORKS {
            return None;
        }
        let dialog = Dialog::as_client(response, self.from.clone(), self.cseq, &self.dial.target)?;
        self.forks.push(Fork { dialog, rseq: None, answered: false });
        Some(self.forks.len() - 1)
    }

    fn send_prack(&mut self, common: &Common, hub: &mut Hub, now: Instant, fork: usize, rseq: u32) {
        let way = self.way();
        let rack = format!("{rseq} {} INVITE", self.cseq);
        let (dialog, login) = (&mut self.forks[fork].dialog, &mut self.login);
        let cseq = dialog.next_cseq();
        let to = way.to(hub, now, dialog);
        hub.request(now, Kind::Other, to, Errand::Session(common.id), &common.manners, |via, random| {
            let prack = dialog.request(Method::Prack, cseq, |request| request.via(via));
            signed(login, random, &Method::Prack, dialog.request_uri(), prack.header(Name::RAck, rack))
        });
    }

    fn on_success(&mut self, common: &mut Common, hub: &mut Hub, now: Instant, response: &Response) -> Next {
        common.rings.clear();
        let headers = response.headers();
        let tag = headers.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        // RFC 3261 section 13.2.2.4: the 2xx decides the route set, even when an early dialog had one.
        let Some(mut dialog) = Dialog::as_client(response, self.from.clone(), self.cseq, &self.dial.target)
        else {
            common.end(hub, Ended::new(By::Network, How::Broken));
            return Next::Over;
        };
        let early = self.forks.iter().find(|fork| fork.dialog.remote_tag() == &*tag);
        let answered = early.is_some_and(|fork| fork.answered);
        if let Some(early) = early {
            dialog.continue_from(&early.dialog);
        }
        let mut opening = Opening {
            dialog,
            way: self.way(),
            we_called: true,
            local_sdp: self.dial.offer.clone(),
            timers: self.dial.timers,
            invite: Some((self.invite, self.cseq)),
            login: self.login.take(),
        };
        let cancelled = !matches!(self.cancel, Cancel::No);
        let voicemail = crate::sip::voicemail::is_announced(headers);
        if self.dial.offer.is_none() && !cancelled {
            let mut established = Established::new(opening);
            established.owe_ack(self.cseq);
            established.start_timer(common, hub, now, headers, true);
            let sdp = sdp_of(headers, response.body()).unwrap_or_default();
            let fork = Text::from(&*tag);
            common.tell(hub, SessionEvent::Answered { sdp, is_answer: false, fork, voicemail });
            return Next::Become(Box::new(State::Established(established)));
        }
        let to = opening.way.to(hub, now, &opening.dialog);
        let ack = Ack::send(common, hub, &opening.dialog, to, &mut opening.login, self.cseq, None);
        let mut established = Established::new(opening);
        established.acked(ack);
        if cancelled {
            // The 200 and our CANCEL crossed on the way: the call is up, so it is hung up.
            return established.leave(common, hub, now, &[], Ended::new(By::Us, How::Cancelled));
        }
        established.start_timer(common, hub, now, headers, true);
        let sdp = sdp_of(headers, response.body()).unwrap_or_default().filter(|_| !answered);
        let fork = Text::from(&*tag);
        common.tell(hub, SessionEvent::Answered { sdp, is_answer: true, fork, voicemail });
        Next::Become(Box::new(State::Established(established)))
    }

    fn on_refusal(&mut self, common: &mut Common, hub: &mut Hub, now: Instant, response: &Response) -> Next {
        common.rings.clear();
        if matches!(self.cancel, Cancel::No) && self.try_again(common, hub, now, response) {
            return Next::Stay;
        }
        let headers = response.headers();
        let status = response.status().as_u16();
        let mut ended = Ended::new(By::Peer, How::Refused).with_status(status).with_reasons(headers);
        if status < 400 {
            ended.contacts = headers.name_addrs(Name::Contact).unwrap_or_default();
            ended.contacts.truncate(MAX_FORKS);
        }
        ended.retry_after = headers.retry_after().ok().flatten().map(|s| Duration::from_secs(u64::from(s)));
        common.end(hub, ended);
        Next::Over
    }

    /// Sends the INVITE anew when the refusal says what would please.
    fn try_again(&mut self, common: &mut Common, hub: &mut Hub, now: Instant, response: &Response) -> bool {
        if self.attempts >= MAX_ATTEMPTS {
            return false;
        }
        let headers = response.headers();
        match (response.status(), &mut self.dial.timers) {
            // RFC 4028 section 7.3: ask again with the interval that is long enough.
            (StatusCode::SESSION_INTERVAL_TOO_SMALL, Some(timers)) => match headers.min_se() {
                Ok(Some(min)) if min > timers.interval => {
                    timers.interval = min;
                    timers.min = timers.min.max(min);
                }
                _ => return false,
            },
            // RFC 6442 section 4.3 and RFC 3261 section 21.4.13: it cannot do anything with where the caller is. Help must not
            // fail for that.
            (StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::BAD_LOCATION_INFORMATION, _) => {
                if self.dial.location.take().is_none() {
                    return false;
                }
                tracing::warn!("a trunk refuses a call for the caller's location; it is placed without");
            }
            (StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED, _) => {
                if !self.login.as_mut().is_some_and(|login| login.learn(response)) {
                    return false;
                }
            }
            _ => return false,
        }
        self.cseq += 1;
        self.forks.clear();
        self.heard = false;
        self.send_invite(common, hub, now).is_some()
    }

    pub(super) fn on_silence(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        _now: Instant,
        id: ClientId,
        how: How,
    ) -> Next {
        if id != self.invite {
            return Next::Stay;
        }
        common.end(hub, Ended::new(By::Network, how));
        Next::Over
    }

    /// A request from a callee that has not accepted yet: RFC 3261 knows none that we allow, but each gets its answer.
    pub(super) fn on_request(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        question: Question,
    ) -> Next {
        let status = match question.request.method() {
            Method::Options => {
                hub.answer_options(now, &question, &common.tag_text(), &common.manners);
                return Next::Stay;
            }
            Method::Invite => StatusCode::REQUEST_PENDING,
            // RFC 3261 section 15: the callee must not send BYE in an early dialog.
            _ => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
        };
        hub.answer(now, &question, status, &common.tag_text());
        Next::Stay
    }

    pub(super) fn on_ring(&mut self, common: &mut Common, hub: &mut Hub, now: Instant, ring: Ring) -> Next {
        match ring {
            Ring::RungTooLong => {
                let ended =
                    Ended::new(By::Us, How::NoAnswer).with_status(StatusCode::REQUEST_TIMEOUT.as_u16());
                self.cancel_with(common, hub, now, &[], ended)
            }
            // What comes after all is cancelled, or hung up.
            Ring::NothingHeard => {
                self.cancel_with(common, hub, now, &[], Ended::new(By::Network, How::NoAnswer))
            }
            Ring::CancelIgnored => {
                // RFC 3261 section 9.1: after 64*T1 the client considers the transaction cancelled.
                hub.layer.forget_client(self.invite);
                Next::Over
            }
            _ => Next::Stay,
        }
    }

    pub(super) fn hang_up(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        reasons: &[String],
    ) -> Next {
        self.cancel_with(common, hub, now, reasons, Ended::new(By::Us, How::Cancelled))
    }

    fn cancel_with(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        reasons: &[String],
        ended: Ended,
    ) -> Next {
        if matches!(self.cancel, Cancel::No) {
            common.stop(Ring::RungTooLong);
            common.end(hub, ended);
            if self.heard {
                self.send_cancel(common, hub, now, reasons);
            } else {
                hub.layer.no_other_way(self.invite);
                self.cancel = Cancel::Wanted(reasons.to_vec());
            }
        }
        Next::Stay
    }

    fn send_cancel(&mut self, common: &mut Common, hub: &mut Hub, now: Instant, reasons: &[String]) {
        self.cancel = Cancel::Sent;
        common.set(hub, Ring::CancelIgnored, now + T1_TIMES_64);
        let Some((to, invite)) = hub.layer.sent(self.invite) else { return };
        let with_reasons = |request: RequestBuilder| {
            reasons.iter().fold(request, |request, reason| request.header(Name::Reason, reason))
        };
        if let Some(cancel) = hop_by_hop(&invite, Method::Cancel, None, with_reasons) {
            let id = ClientId { branch: self.invite.branch, kind: Kind::Cancel };
            hub.layer.request(now, id, to, cancel, None, Errand::Session(common.id));
        }
    }

    pub(super) fn flow(&self) -> &Destination {
        &self.dial.destination
    }

    fn way(&self) -> Way {
        Way { flow: self.dial.destination, next_hop: self.dial.next_hop }
    }
}
