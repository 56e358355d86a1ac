//! A call that is up, and the courtesies after its end (RFC 3261 sections 13.2.2.4, 13.3.1.4, 14 and 15; RFC 4028).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    By, CommandError, Common, Ended, How, Next, Ring, SessionEvent, SessionTimers, State, UnknownBody, Way,
    sdp_of,
};
use crate::sip::build::{RequestBuilder, ResponseBuilder};
use crate::sip::dialog::{Dialog, Order};
use crate::sip::endpoint::MAX_FORKS;
use crate::sip::flow::Destination;
use crate::sip::header::{Method, Name, Refresher, SessionExpires};
use crate::sip::hub::{Errand, Hub, Question};
use crate::sip::layer::{ClientId, Kind};
use crate::sip::login::{Login, signed};
use crate::sip::message::{Headers, Response, StatusCode};
use crate::sip::refer::{Asked, MAX_PENDING, Pending};
use crate::sip::text::Text;
use crate::sip::transaction::{T1, T1_TIMES_64, T2};

#[derive(Debug)]
pub(super) struct Established {
    pub(super) dialog: Dialog,
    pub(super) way: Way,
    we_called: bool,
    /// What we last described, to repeat in a refresh.
    local_sdp: Option<Bytes>,
    timers: Option<SessionTimers>,
    /// The INVITE that made the call, while late answers of other forks may come.
    invite: Option<(ClientId, u32)>,
    /// Tags of forks that answered too late and were hung up.
    strays: Vec<Text>,
    /// Our last ACK, for a 2xx that comes again.
    ack: Option<Ack>,
    /// A 2xx with an offer awaits our ACK with the answer; the CSeq it will have.
    owed_ack: Option<u32>,
    /// Our 2xx that awaits its ACK.
    unacknowledged: Option<Unacknowledged>,
    /// Their re-INVITE that awaits our answer.
    theirs: Option<Theirs>,
    /// Our re-INVITE that awaits theirs.
    ours: Option<Ours>,
    /// A re-INVITE that must wait: another is under way, or there was glare.
    wanted: Option<Wanted>,
    refresh: Option<Agreed>,
    login: Option<Box<Login>>,
    /// Their REFER whose end they have not been told.
    referral: Option<Pending>,
    /// Whether there was one before.
    referred: bool,
}

/// What is known when the call comes up.
pub(super) struct Opening {
    pub(super) dialog: Dialog,
    pub(super) way: Way,
    pub(super) we_called: bool,
    pub(super) local_sdp: Option<Bytes>,
    pub(super) timers: Option<SessionTimers>,
    pub(super) invite: Option<(ClientId, u32)>,
    pub(super) login: Option<Box<Login>>,
}

/// An ACK that was sent.
#[derive(Debug)]
pub(super) struct Ack {
    cseq: u32,
    to: Destination,
    wire: Bytes,
}

#[derive(Debug)]
struct Unacknowledged {
    cseq: u32,
    wire: Bytes,
    to: Destination,
    pause: Duration,
    /// Our 2xx held an offer.
    awaits_answer: bool,
}

#[derive(Debug)]
struct Theirs {
    question: Question,
    has_offer: bool,
}

#[derive(Debug)]
struct Ours {
    id: ClientId,
    cseq: u32,
    wanted: Wanted,
    /// It was sent anew because the refusal said how: that is done once.
    second: bool,
}

/// A re-INVITE to send.
#[derive(Debug, Clone)]
struct Wanted {
    offer: Option<Bytes>,
    /// Only to keep the session timer from running out: the user need not know.
    is_refresh: bool,
}

/// A session timer both sides agreed on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Agreed {
    seconds: u32,
    we_refresh: bool,
    /// For our response: who refreshes, in its words.
    refresher: Refresher,
    peer_supports: bool,
}

impl Agreed {
    /// Adds the headers of RFC 4028 section 9 to a 2xx.
    pub(super) fn write(&self, response: ResponseBuilder) -> ResponseBuilder {
        let value = SessionExpires { seconds: self.seconds, refresher: Some(self.refresher) };
        let response = response.header(Name::SessionExpires, value.to_string());
        // Only a caller that knows the extension can be required to refresh.
        let required = self.peer_supports && self.refresher == Refresher::Uac;
        if required { response.header(Name::Require, "timer") } else { response }
    }
}

impl Ack {
    /// Sends the ACK to a 2xx: a request of its own, outside any transaction (RFC 3261 section 13.2.2.4).
    pub(super) fn send(
        common: &Common,
        hub: &mut Hub,
        dialog: &Dialog,
        to: Destination,
        login: &mut Option<Box<Login>>,
        cseq: u32,
        sdp: Option<Bytes>,
    ) -> Option<Ack> {
        let (_, via) = hub.via(&common.manners, &to);
        let request = dialog.request(Method::Ack, cseq, |request| request.via(&via));
        let mut request = signed(login, &mut hub.random, &Method::Ack, dialog.request_uri(), request);
        if let Some(sdp) = sdp {
            request = request.body("application/sdp", sdp);
        }
        let wire = request.build().ok()?.bytes().clone();
        hub.layer.out.push_back((to, wire.clone()));
        Some(Ack { cseq, to, wire })
    }
}

impl Established {
    pub(super) fn new(opening: Opening) -> Established {
        Established {
            dialog: opening.dialog,
            way: opening.way,
            we_called: opening.we_called,
            local_sdp: opening.local_sdp.map(|sdp| Bytes::copy_from_slice(&sdp)),
            timers: opening.timers,
            invite: opening.invite,
            strays: Vec::new(),
            ack: None,
            owed_ack: None,
            unacknowledged: None,
            theirs: None,
            ours: None,
            wanted: None,
            refresh: None,
            login: opening.login,
            referral: None,
            referred: false,
        }
    }

    fn send_ack(
        &mut self,
        common: &Common,
        hub: &mut Hub,
        now: Instant,
        cseq: u32,
        sdp: Option<Bytes>,
    ) -> Option<Ack> {
        let to = self.way.to(hub, now, &self.dialog);
        Ack::send(common, hub, &self.dialog, to, &mut self.login, cseq, sdp)
    }

    pub(super) fn flow(&self) -> &Destination {
        &self.way.flow
    }

    pub(super) fn acked(&mut self, ack: Option<Ack>) {
        self.ack = ack;
    }

    pub(super) fn owe_ack(&mut self, cseq: u32) {
        self.owed_ack = Some(cseq);
    }

    // --- our 2xx and its ACK

    /// RFC 3261 section 13.3.1.4: the 2xx is said again until the ACK comes, over every transport.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn await_ack(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        cseq: u32,
        wire: Bytes,
        to: Destination,
        awaits_answer: bool,
    ) {
        self.unacknowledged = Some(Unacknowledged { cseq, wire, to, pause: T1, awaits_answer });
        common.set(hub, Ring::RepeatSuccess, now + T1);
        common.set(hub, Ring::NoAck, now + T1_TIMES_64);
    }

    pub(super) fn on_ack(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        headers: &Headers,
        body: &Bytes,
    ) -> Next {
        let cseq = headers.cseq().map(|cseq| cseq.number).unwrap_or_default();
        let Some(done) = self.unacknowledged.take_if(|open| open.cseq == cseq) else { return Next::Stay };
        common.stop(Ring::RepeatSuccess);
        common.stop(Ring::NoAck);
        let sdp = if done.awaits_answer { sdp_of(headers, body).unwrap_or_default() } else { None };
        common.tell(hub, SessionEvent::Acked { sdp });
        self.go_on(common, hub, now);
        Next::Stay
    }

    // --- the peer's requests

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
        self.way.heard_from(question.peer);
        match question.request.method() {
            Method::Bye => {
                hub.answer(now, &question, StatusCode::OK, &tag);
                self.drop_theirs(common, hub, now);
                self.abandon_ours(hub, now);
                common.end(hub, Ended::new(By::Peer, How::Bye).with_reasons(question.headers()));
                Next::Over
            }
            Method::Invite => {
                self.on_reinvite(common, hub, now, question);
                Next::Stay
            }
            Method::Options => {
                hub.answer_options(now, &question, &tag, &common.manners);
                Next::Stay
            }
            method @ (Method::Refer | Method::Update | Method::Info) if !common.manners.takes(method) => {
                let response = question.response(StatusCode::METHOD_NOT_ALLOWED).to_tag(&tag);
                hub.respond(now, &question, response.header(Name::Allow, common.manners.allow));
                Next::Stay
            }
            Method::Refer => {
                self.on_refer(common, hub, now, &question, cseq);
                Next::Stay
            }
            Method::Update => {
                self.on_update(common, hub, now, &question);
                Next::Stay
            }
            Method::Info => {
                // RFC 6086 section 4.2.2: we asked for no package; digits come as media.
                hub.answer(now, &question, StatusCode::OK, &tag);
                Next::Stay
            }
            // A PRACK whose provisional response was overtaken by the 2xx, a NOTIFY of no subscription, and whatever else
            // has no partner.
            _ => {
                hub.answer(now, &question, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST, &tag);
                Next::Stay
            }
        }
    }

    fn on_reinvite(&mut self, common: &mut Common, hub: &mut Hub, now: Instant, question: Question) {
        let tag = common.tag_text();
        // RFC 3261 section 14.2: one at a time, and none while ours is under way.
        if self.theirs.is_some() {
            return hub.answer_retry_after(now, &question, &tag);
        }
        if self.ours.is_some() || self.owed_ack.is_some() {
            return hub.answer(now, &question, StatusCode::REQUEST_PENDING, &tag);
        }
        if self.unacknowledged.as_ref().is_some_and(|open| open.awaits_answer) {
            return hub.answer(now, &question, StatusCode::REQUEST_PENDING, &tag);
        }
        let offer = match sdp_of(question.headers(), question.request.body()) {
            Ok(offer) => offer,
            Err(UnknownBody) => return hub.answer_unknown_body(now, &question, &tag),
        };
        if let Some(min) = self.too_brief(question.headers()) {
            let response = question.response(StatusCode::SESSION_INTERVAL_TOO_SMALL).to_tag(&tag);
            hub.respond(now, &question, response.header(Name::MinSe, min.to_string()));
            return;
        }
        // The user may have to ask somebody else first.
        hub.respond(now, &question, question.response(StatusCode::TRYING));
        hub.layer.own(question.id, common.id);
        self.dialog.refresh_target(question.headers());
        self.theirs = Some(Theirs { question, has_offer: offer.is_some() });
        common.tell(hub, SessionEvent::Reinvited { offer });
    }

    fn too_brief(&self, headers: &Headers) -> Option<u32> {
        too_brief(self.timers, headers)
    }

    pub(super) fn answer_reinvite(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        answer: Result<Bytes, u16>,
    ) -> Result<(), CommandError> {
        let theirs = self.theirs.take().ok_or(CommandError::WrongState)?;
        let tag = common.tag_text();
        let question = &theirs.question;
        match answer {
            Ok(sdp) => {
                let response = question
                    .response(StatusCode::OK)
                    .to_tag(&tag)
                    .header(Name::Contact, hub.contact(&common.manners, &self.way.flow));
                let response = common.manners.sign_response(response);
                let mut response = response.header(Name::Supported, common.supported(self.timers));
                let agreed = Established::agree(self.timers, question.headers(), self.refresh);
                if let Some(agreed) = &agreed {
                    response = agreed.write(response);
                }
                let response = response.body("application/sdp", sdp.clone());
                let Some(wire) = hub.respond(now, question, response) else {
                    hub.answer(now, question, StatusCode::SERVER_INTERNAL_ERROR, &tag);
                    return Err(CommandError::Unwritable);
                };
                self.local_sdp = Some(Bytes::copy_from_slice(&sdp));
                self.keep_timer(common, hub, now, agreed);
                let cseq = question.headers().cseq().map(|cseq| cseq.number).unwrap_or_default();
                let to = hub.layer.response_path(question.id).unwrap_or(self.way.flow);
                self.await_ack(common, hub, now, cseq, wire, to, !theirs.has_offer);
            }
            Err(status) => {
                let status = StatusCode::new(status)
                    .filter(|status| status.as_u16() >= 300)
                    .unwrap_or(StatusCode::NOT_ACCEPTABLE_HERE);
                hub.answer(now, question, status, &tag);
                self.go_on(common, hub, now);
            }
        }
        Ok(())
    }

    /// The CANCEL of a re-INVITE; that of the first INVITE comes too late.
    pub(super) fn on_cancel(&mut self, common: &mut Common, hub: &mut Hub, now: Instant) -> Next {
        self.drop_theirs(common, hub, now);
        Next::Stay
    }

    fn drop_theirs(&mut self, common: &mut Common, hub: &mut Hub, now: Instant) {
        if let Some(theirs) = self.theirs.take() {
            hub.answer(now, &theirs.question, StatusCode::REQUEST_TERMINATED, &common.tag_text());
        }
    }

    fn abandon_ours(&mut self, hub: &mut Hub, now: Instant) {
        if let Some(ours) = &self.ours {
            hub.layer.abandon(now, ours.id);
        }
    }

    // --- their REFER

    pub(super) fn has_referral(&self) -> bool {
        self.referral.is_some()
    }

    fn on_refer(&mut self, common: &mut Common, hub: &mut Hub, now: Instant, question: &Question, cseq: u32) {
        let tag = common.tag_text();
        if self.referral.is_some() {
            return hub.answer(now, question, StatusCode::REQUEST_PENDING, &tag);
        }
        if hub.referrals >= MAX_PENDING {
            return hub.answer(now, question, StatusCode::SERVICE_UNAVAILABLE, &tag);
        }
        let asked = match Asked::read(question.headers()) {
            Ok(asked) => asked,
            Err(status) => return hub.answer(now, question, status, &tag),
        };
        // RFC 3515 section 2.4.3: accepted before anybody is called, and the first news at once.
        let response = question
            .response(StatusCode::ACCEPTED)
            .to_tag(&tag)
            .header(Name::Contact, hub.contact(&common.manners, &self.way.flow));
        hub.respond(now, question, common.manners.sign_response(response));
        self.dialog.refresh_target(question.headers());
        self.referral = Some(Pending::new(cseq, !self.referred));
        self.referred = true;
        hub.referrals += 1;
        // Pending, so it can be told.
        let _told = self.referral(common, hub, now, StatusCode::TRYING);
        common.tell(hub, SessionEvent::Referred(asked));
    }

    /// Tells the peer what has become of its REFER. A final status is the last that can be told.
    pub(super) fn referral(
        &mut self,
        common: &Common,
        hub: &mut Hub,
        now: Instant,
        status: StatusCode,
    ) -> Result<(), CommandError> {
        let pending = self.referral.ok_or(CommandError::WrongState)?;
        let cseq = self.dialog.next_cseq();
        let to = self.way.to(hub, now, &self.dialog);
        let contact = hub.contact(&common.manners, &to);
        let (dialog, login, errand) = (&self.dialog, &mut self.login, Errand::Session(common.id));
        let sent = hub.request(now, Kind::Other, to, errand, &common.manners, |via, random| {
            let notify = dialog.request(Method::Notify, cseq, |request| request.via(via));
            let notify = signed(login, random, &Method::Notify, dialog.request_uri(), notify);
            pending.write(common.manners.sign(notify.header(Name::Contact, contact)), status)
        });
        if status.is_final() {
            self.referral = None;
            hub.referrals = hub.referrals.saturating_sub(1);
        }
        sent.map(drop).ok_or(CommandError::Unwritable)
    }

    /// An UPDATE (RFC 3311). It may refresh the session; media is changed by re-INVITE, as we told nobody otherwise.
    fn on_update(&mut self, common: &mut Common, hub: &mut Hub, now: Instant, question: &Question) {
        let tag = common.tag_text();
        if !matches!(sdp_of(question.headers(), question.request.body()), Ok(None)) {
            return hub.answer(now, question, StatusCode::NOT_ACCEPTABLE_HERE, &tag);
        }
        if let Some(min) = self.too_brief(question.headers()) {
            let response = question.response(StatusCode::SESSION_INTERVAL_TOO_SMALL).to_tag(&tag);
            hub.respond(now, question, response.header(Name::MinSe, min.to_string()));
            return;
        }
        self.dialog.refresh_target(question.headers());
        let response = question
            .response(StatusCode::OK)
            .to_tag(&tag)
            .header(Name::Contact, hub.contact(&common.manners, &self.way.flow));
        let response = common.manners.sign_response(response);
        let agreed = Established::agree(self.timers, question.headers(), self.refresh);
        let response = match &agreed {
            Some(agreed) => agreed.write(response),
            None => response,
        };
        hub.respond(now, question, response);
        self.keep_timer(common, hub, now, agreed);
    }

    // --- our re-INVITE

    pub(super) fn reinvite(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        offer: Option<Bytes>,
    ) {
        // The latest wish replaces an earlier one that could not be sent yet.
        self.wanted = Some(Wanted { offer, is_refresh: false });
        self.go_on(common, hub, now);
    }

    /// Sends the re-INVITE that waits, if nothing stands in its way (RFC 3261 section 14.1).
    fn go_on(&mut self, common: &mut Common, hub: &mut Hub, now: Instant) {
        self.send_wanted(common, hub, now, false);
    }

    fn send_wanted(&mut self, common: &mut Common, hub: &mut Hub, now: Instant, second: bool) {
        let busy = self.theirs.is_some()
            || self.ours.is_some()
            || self.unacknowledged.is_some()
            || self.owed_ack.is_some()
            || common.rings.iter().any(|(ring, _)| *ring == Ring::Retry);
        if busy {
            return;
        }
        let Some(wanted) = self.wanted.take() else { return };
        let cseq = self.dialog.next_cseq();
        let to = self.way.to(hub, now, &self.dialog);
        let contact = hub.contact(&common.manners, &to);
        let (dialog, refresh, timers, login) = (&self.dialog, self.refresh, self.timers, &mut self.login);
        let offer = wanted.offer.clone();
        let errand = Errand::Session(common.id);
        let id = hub.request(now, Kind::Invite, to, errand, &common.manners, |via, random| {
            let request = dialog
                .request(Method::Invite, cseq, |request| request.via(via))
                .header(Name::Contact, contact);
            let request = common.manners.sign(request).header(Name::Supported, common.supported(timers));
            let request = with_timer(request, refresh, timers);
            let request = signed(login, random, &Method::Invite, dialog.request_uri(), request);
            match offer {
                Some(offer) => request.body("application/sdp", offer),
                None => request,
            }
        });
        match id {
            Some(id) => self.ours = Some(Ours { id, cseq, wanted, second }),
            None => common.tell(hub, SessionEvent::ReinviteFailed { status: 500 }),
        }
    }

    pub(super) fn on_response(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        id: ClientId,
        response: &Response,
    ) -> Next {
        if let Some(ours) = self.ours.take_if(|ours| ours.id == id && response.status().is_final()) {
            return self.on_reinvite_answer(common, hub, now, ours, response);
        }
        if response.status().is_success() && id.kind == Kind::Invite {
            self.on_success_again(common, hub, now, id, response);
        }
        Next::Stay
    }

    fn on_reinvite_answer(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        ours: Ours,
        response: &Response,
    ) -> Next {
        let headers = response.headers();
        let status = response.status();
        match status {
            _ if status.is_success() => {
                self.dialog.refresh_target(headers);
                let sdp = sdp_of(headers, response.body()).unwrap_or_default();
                self.start_timer(common, hub, now, headers, true);
                let is_answer = ours.wanted.offer.is_some();
                if is_answer {
                    self.local_sdp = ours.wanted.offer.map(|sdp| Bytes::copy_from_slice(&sdp));
                    self.ack = self.send_ack(common, hub, now, ours.cseq, None);
                } else {
                    self.owed_ack = Some(ours.cseq);
                }
                if !ours.wanted.is_refresh || !is_answer {
                    common.tell(hub, SessionEvent::ReinviteAnswered { sdp, is_answer });
                }
                self.go_on(common, hub, now);
                Next::Stay
            }
            StatusCode::REQUEST_PENDING => {
                // RFC 3261 section 14.1: the owner of the Call-ID waits 2.1 to 4 s, the other 0 to 2 s, by 10 ms.
                let wait = if self.we_called { 210 + hub.random.below(191) } else { hub.random.below(201) };
                if self.wanted.is_none() {
                    self.wanted = Some(ours.wanted);
                }
                common.set(hub, Ring::Retry, now + Duration::from_millis(10 * wait));
                Next::Stay
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST => {
                // RFC 3261 section 12.2.1.2: the peer knows the dialog no longer.
                self.leave(
                    common,
                    hub,
                    now,
                    &[],
                    Ended::new(By::Network, How::Lost).with_status(status.as_u16()),
                )
            }
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED
                if !ours.second && self.login.as_mut().is_some_and(|login| login.refreshed(response)) =>
            {
                self.wanted.get_or_insert(ours.wanted);
                self.send_wanted(common, hub, now, true);
                Next::Stay
            }
            // RFC 4028 section 7.3: the refresh once more, with the interval that is long enough.
            StatusCode::SESSION_INTERVAL_TOO_SMALL if !ours.second && self.lengthen(headers) => {
                self.wanted.get_or_insert(ours.wanted);
                self.send_wanted(common, hub, now, true);
                Next::Stay
            }
            _ => {
                if !ours.wanted.is_refresh {
                    common.tell(hub, SessionEvent::ReinviteFailed { status: status.as_u16() });
                }
                self.go_on(common, hub, now);
                Next::Stay
            }
        }
    }

    fn lengthen(&mut self, headers: &Headers) -> bool {
        match (headers.min_se(), &mut self.refresh) {
            (Ok(Some(min)), Some(agreed)) if min > agreed.seconds => {
                agreed.seconds = min;
                true
            }
            _ => false,
        }
    }

    /// A 2xx that we have seen before, or that another fork sent too late.
    fn on_success_again(
        &mut self,
        common: &Common,
        hub: &mut Hub,
        now: Instant,
        id: ClientId,
        response: &Response,
    ) {
        let headers = response.headers();
        let tag = headers.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let cseq = headers.cseq().map(|cseq| cseq.number).unwrap_or_default();
        if *tag == *self.dialog.remote_tag() {
            if let Some(ack) = self.ack.as_ref().filter(|ack| ack.cseq == cseq) {
                hub.layer.out.push_back((ack.to, ack.wire.clone()));
            }
            return;
        }
        if self.invite != Some((id, cseq)) {
            return;
        }
        // RFC 3261 section 13.2.2.4: a second callee has answered. It is acknowledged and hung up.
        let local = self.dialog.local().clone();
        let Some(mut stray) = Dialog::as_client(response, local, cseq, self.dialog.target()) else { return };
        let known = self.strays.iter().any(|known| *known == *tag);
        if !known && self.strays.len() == MAX_FORKS {
            return;
        }
        let to = self.way.to(hub, now, &stray);
        Ack::send(common, hub, &stray, to, &mut self.login, cseq, None);
        if !known {
            self.strays.push(Text::from(&*tag));
            let cseq = stray.next_cseq();
            let login = &mut self.login;
            hub.request(now, Kind::Other, to, Errand::Nobody, &common.manners, |via, random| {
                let bye = stray.request(Method::Bye, cseq, |request| request.via(via));
                signed(login, random, &Method::Bye, stray.request_uri(), bye)
            });
            tracing::debug!(session = common.id.0, "a second fork answered and was hung up");
        }
    }

    pub(super) fn acknowledge(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        sdp: Bytes,
    ) -> Result<(), CommandError> {
        let cseq = self.owed_ack.take().ok_or(CommandError::WrongState)?;
        self.ack = self.send_ack(common, hub, now, cseq, Some(sdp.clone()));
        self.local_sdp = Some(Bytes::copy_from_slice(&sdp));
        self.go_on(common, hub, now);
        if self.ack.is_some() { Ok(()) } else { Err(CommandError::Unwritable) }
    }

    pub(super) fn on_silence(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        id: ClientId,
        how: How,
    ) -> Next {
        if self.ours.take_if(|ours| ours.id == id).is_none() {
            return Next::Stay;
        }
        let how = if how == How::NoAnswer { How::Lost } else { how };
        let status = StatusCode::REQUEST_TIMEOUT.as_u16();
        self.leave(common, hub, now, &[], Ended::new(By::Network, how).with_status(status))
    }

    // --- session timer

    /// What we answer to a request's Session-Expires (RFC 4028 section 9). `before` is what was agreed so far.
    pub(super) fn agree(
        timers: Option<SessionTimers>,
        headers: &Headers,
        before: Option<Agreed>,
    ) -> Option<Agreed> {
        let timers = timers?;
        let peer_supports =
            headers.has_token(Name::Supported, "timer") || headers.has_token(Name::Require, "timer");
        let asked = headers.session_expires().ok().flatten();
        // A peer that does not know the extension, and nobody on the way who asks for it: no timer.
        if !peer_supports && asked.is_none() {
            return None;
        }
        let floor = headers.min_se().ok().flatten().unwrap_or(0).max(timers.min);
        let seconds = match &asked {
            Some(asked) => asked.seconds.min(timers.interval).max(floor),
            None => timers.interval.max(floor),
        };
        let refresher = match (asked.as_ref().and_then(|asked| asked.refresher), &asked, before) {
            (Some(said), _, _) => said,
            (None, _, Some(before)) if before.we_refresh => Refresher::Uas,
            (None, Some(_), _) if peer_supports => Refresher::Uac,
            _ => Refresher::Uas,
        };
        Some(Agreed { seconds, we_refresh: refresher == Refresher::Uas, refresher, peer_supports })
    }

    /// Reads the Session-Expires of a 2xx to a request of ours and sets the timers.
    pub(super) fn start_timer(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        headers: &Headers,
        we_asked: bool,
    ) {
        let agreed =
            headers.session_expires().ok().flatten().filter(|_| we_asked && self.timers.is_some()).map(
                |expires| {
                    let refresher = expires.refresher.unwrap_or(Refresher::Uac);
                    let we_refresh = refresher == Refresher::Uac;
                    // A peer that answers less than the minimum of RFC 4028 would have us refresh without pause.
                    let seconds = expires.seconds.max(MIN_SESSION_SECONDS);
                    Agreed { seconds, we_refresh, refresher, peer_supports: true }
                },
            );
        self.keep_timer(common, hub, now, agreed);
    }

    pub(super) fn keep_timer(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        agreed: Option<Agreed>,
    ) {
        self.refresh = agreed;
        common.stop(Ring::Refresh);
        common.stop(Ring::Expire);
        let Some(agreed) = agreed else { return };
        let seconds = u64::from(agreed.seconds);
        if agreed.we_refresh {
            common.set(hub, Ring::Refresh, now + Duration::from_secs(seconds / 2));
        }
        // RFC 4028 section 10: BYE a little before the end, so that it still finds the dialog.
        let early = (seconds / 3).min(32);
        common.set(hub, Ring::Expire, now + Duration::from_secs(seconds - early));
    }

    // --- timers and the end

    pub(super) fn on_ring(&mut self, common: &mut Common, hub: &mut Hub, now: Instant, ring: Ring) -> Next {
        match ring {
            Ring::RepeatSuccess => {
                if let Some(open) = &mut self.unacknowledged {
                    hub.layer.out.push_back((open.to, open.wire.clone()));
                    open.pause = (open.pause * 2).min(T2);
                    let pause = open.pause;
                    common.set(hub, ring, now + pause);
                }
                Next::Stay
            }
            Ring::NoAck => {
                self.unacknowledged = None;
                self.leave(common, hub, now, &[], Ended::new(By::Network, How::NoAck))
            }
            Ring::Retry => {
                self.go_on(common, hub, now);
                Next::Stay
            }
            Ring::Refresh => {
                if self.wanted.is_none() {
                    self.wanted = Some(Wanted { offer: self.local_sdp.clone(), is_refresh: true });
                }
                self.go_on(common, hub, now);
                Next::Stay
            }
            Ring::Expire => self.leave(common, hub, now, &[], Ended::new(By::Us, How::Expired)),
            _ => Next::Stay,
        }
    }

    /// Ends the call on our side: the user is told at once, the peer by BYE as soon as that is allowed.
    pub(super) fn leave(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        reasons: &[String],
        ended: Ended,
    ) -> Next {
        common.end(hub, ended);
        self.drop_theirs(common, hub, now);
        self.abandon_ours(hub, now);
        for ring in [Ring::Retry, Ring::Refresh, Ring::Expire] {
            common.stop(ring);
        }
        if let Some(cseq) = self.owed_ack.take() {
            // The callee's offer will get no answer any more; its 2xx still gets an ACK before the BYE.
            self.ack = self.send_ack(common, hub, now, cseq, None);
        }
        self.local_sdp = None;
        self.wanted = None;
        let was = std::mem::replace(self, Established::new(self.husk()));
        let mut leaving = Leaving { was, bye: None, signed_anew: false, reasons: reasons.to_vec() };
        // RFC 3261 section 15: the callee sends no BYE before the ACK has come or is given up.
        if leaving.was.unacknowledged.is_none() && !leaving.send_bye(common, hub, now) {
            return Next::Over;
        }
        Next::Become(Box::new(State::Leaving(leaving)))
    }

    /// What is left behind when a state moves on; it is dropped with the state.
    fn husk(&self) -> Opening {
        Opening {
            dialog: self.dialog.clone(),
            way: self.way,
            we_called: self.we_called,
            local_sdp: None,
            timers: None,
            invite: None,
            login: None,
        }
    }
}

/// RFC 4028 section 4: the smallest interval there is.
const MIN_SESSION_SECONDS: u32 = 90;

/// RFC 4028 section 9: the Min-SE of a 422, when a caller that knows the extension asks for too short an interval.
pub(in crate::sip) fn too_brief(timers: Option<SessionTimers>, headers: &Headers) -> Option<u32> {
    let timers = timers?;
    let asked = headers.session_expires().ok().flatten()?;
    (asked.seconds < timers.min && headers.has_token(Name::Supported, "timer")).then_some(timers.min)
}

fn with_timer(
    request: RequestBuilder,
    refresh: Option<Agreed>,
    timers: Option<SessionTimers>,
) -> RequestBuilder {
    let (Some(agreed), Some(timers)) = (refresh, timers) else { return request };
    let refresher = if agreed.we_refresh { Refresher::Uac } else { Refresher::Uas };
    let value = SessionExpires { seconds: agreed.seconds, refresher: Some(refresher) };
    request.header(Name::SessionExpires, value.to_string()).header(Name::MinSe, timers.min.to_string())
}

/// A call that is over for its user while the BYE is under way.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) was: Established,
    bye: Option<ClientId>,
    /// The BYE was challenged once and signed anew.
    signed_anew: bool,
    reasons: Vec<String>,
}

impl Leaving {
    fn send_bye(&mut self, common: &Common, hub: &mut Hub, now: Instant) -> bool {
        let (dialog, login) = (&mut self.was.dialog, &mut self.was.login);
        let cseq = dialog.next_cseq();
        let to = self.was.way.to(hub, now, dialog);
        let reasons = &self.reasons;
        let errand = Errand::Session(common.id);
        self.bye = hub.request(now, Kind::Other, to, errand, &common.manners, |via, random| {
            let bye = dialog.request(Method::Bye, cseq, |request| request.via(via));
            let bye = signed(login, random, &Method::Bye, dialog.request_uri(), bye);
            reasons.iter().fold(bye, |bye, reason| bye.header(Name::Reason, reason))
        });
        self.bye.is_some()
    }

    pub(super) fn on_response(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        id: ClientId,
        response: &Response,
    ) -> Next {
        if Some(id) == self.bye {
            if !response.status().is_final() {
                return Next::Stay;
            }
            let again =
                !self.signed_anew && self.was.login.as_mut().is_some_and(|login| login.refreshed(response));
            if again {
                self.signed_anew = true;
                return if self.send_bye(common, hub, now) { Next::Stay } else { Next::Over };
            }
            return Next::Over;
        }
        if let Some(ours) = self.was.ours.take_if(|ours| ours.id == id && response.status().is_final()) {
            if response.status().is_success() {
                self.was.ack = self.was.send_ack(common, hub, now, ours.cseq, None);
            }
        } else if response.status().is_success() && id.kind == Kind::Invite {
            self.was.on_success_again(common, hub, now, id, response);
        }
        Next::Stay
    }

    pub(super) fn on_silence(&mut self, id: ClientId) -> Next {
        if Some(id) == self.bye { Next::Over } else { Next::Stay }
    }

    pub(super) fn on_request(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        question: Question,
    ) -> Next {
        let tag = common.tag_text();
        if *question.request.method() == Method::Bye {
            // Both hung up at once. Our own BYE has its answer from somewhere, or its time-out.
            hub.answer(now, &question, StatusCode::OK, &tag);
            return if self.bye.is_some() { Next::Stay } else { Next::Over };
        }
        hub.answer(now, &question, StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST, &tag);
        Next::Stay
    }

    pub(super) fn on_ack(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        headers: &Headers,
    ) -> Next {
        let cseq = headers.cseq().map(|cseq| cseq.number).unwrap_or_default();
        if self.was.unacknowledged.take_if(|open| open.cseq == cseq).is_none() {
            return Next::Stay;
        }
        common.stop(Ring::RepeatSuccess);
        common.stop(Ring::NoAck);
        if self.send_bye(common, hub, now) { Next::Stay } else { Next::Over }
    }

    pub(super) fn on_ring(&mut self, common: &mut Common, hub: &mut Hub, now: Instant, ring: Ring) -> Next {
        match ring {
            Ring::RepeatSuccess => {
                self.was.on_ring(common, hub, now, ring);
                Next::Stay
            }
            Ring::NoAck => {
                self.was.unacknowledged = None;
                common.stop(Ring::RepeatSuccess);
                if self.send_bye(common, hub, now) { Next::Stay } else { Next::Over }
            }
            _ => Next::Stay,
        }
    }
}
