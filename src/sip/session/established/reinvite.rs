//! Changes of a session by re-INVITE, theirs and ours, one at a time (RFC 3261 section 14).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Established;
use super::timer::with_timer;
use crate::sip::header::{Method, Name};
use crate::sip::hub::{Errand, Hub, Question};
use crate::sip::layer::{ClientId, Kind};
use crate::sip::login::signed;
use crate::sip::message::{Response, StatusCode};
use crate::sip::session::{
    By, CommandError, Common, Ended, How, Next, Ring, SessionEvent, UnknownBody, sdp_of,
};

#[derive(Debug)]
pub(super) struct Theirs {
    pub(super) question: Question,
    has_offer: bool,
}

#[derive(Debug)]
pub(super) struct Ours {
    pub(super) id: ClientId,
    pub(super) cseq: u32,
    pub(super) wanted: Wanted,
    /// It was sent anew because the refusal said how: that is done once.
    second: bool,
}

/// A re-INVITE to send.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) offer: Option<Bytes>,
    /// Only to keep the session timer from running out: the user need not know.
    pub(super) is_refresh: bool,
}

impl Established {
    pub(super) fn on_reinvite(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        question: Question,
    ) {
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
            return hub.answer_too_brief(now, &question, &tag, min);
        }
        // The user may have to ask somebody else first.
        hub.respond(now, &question, question.response(StatusCode::TRYING));
        hub.layer.own(question.id, common.id);
        self.dialog.refresh_target(question.headers());
        self.theirs = Some(Theirs { question, has_offer: offer.is_some() });
        common.tell(hub, SessionEvent::Reinvited { offer });
    }

    pub(in crate::sip::session) fn answer_reinvite(
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
                let response = self.welcome(common, hub, question, StatusCode::OK);
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
    pub(in crate::sip::session) fn on_cancel(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
    ) -> Next {
        self.drop_theirs(common, hub, now);
        Next::Stay
    }

    pub(super) fn drop_theirs(&mut self, common: &mut Common, hub: &mut Hub, now: Instant) {
        if let Some(theirs) = self.theirs.take() {
            hub.answer(now, &theirs.question, StatusCode::REQUEST_TERMINATED, &common.tag_text());
        }
    }

    pub(super) fn abandon_ours(&mut self, hub: &mut Hub, now: Instant) {
        if let Some(ours) = &self.ours {
            hub.layer.abandon(now, ours.id);
        }
    }

    pub(in crate::sip::session) fn reinvite(
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
    pub(super) fn go_on(&mut self, common: &mut Common, hub: &mut Hub, now: Instant) {
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

    pub(super) fn on_reinvite_answer(
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
}
