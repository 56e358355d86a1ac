//! A call that is over for its user while the BYE is under way (RFC 3261 section 15).

use std::time::Instant;

use super::{Established, Opening};
use crate::sip::header::{Method, Name};
use crate::sip::hub::{Errand, Hub, Question};
use crate::sip::layer::{ClientId, Kind};
use crate::sip::login::signed;
use crate::sip::message::{Headers, Response, StatusCode};
use crate::sip::session::{Common, Ended, Next, Ring, State};

impl Established {
    /// Ends the call on our side: the user is told at once, the peer by BYE as soon as that is allowed.
    pub(in crate::sip::session) fn leave(
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

/// A call that is over for its user while the BYE is under way.
#[derive(Debug)]
pub(in crate::sip::session) struct Leaving {
    pub(in crate::sip::session) was: Established,
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

    pub(in crate::sip::session) fn on_response(
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

    pub(in crate::sip::session) fn on_silence(&mut self, id: ClientId) -> Next {
        if Some(id) == self.bye { Next::Over } else { Next::Stay }
    }

    pub(in crate::sip::session) fn on_request(
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

    pub(in crate::sip::session) fn on_ack(
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

    pub(in crate::sip::session) fn on_ring(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        ring: Ring,
    ) -> Next {
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
