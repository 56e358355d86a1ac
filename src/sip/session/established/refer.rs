//! A peer's REFER and the news of it (RFC 3515).

use std::time::Instant;

use super::Established;
use crate::sip::header::{Method, Name};
use crate::sip::hub::{Errand, Hub, Question};
use crate::sip::layer::Kind;
use crate::sip::login::signed;
use crate::sip::message::StatusCode;
use crate::sip::refer::{Asked, MAX_PENDING, Pending};
use crate::sip::session::{CommandError, Common, SessionEvent};

impl Established {
    pub(in crate::sip::session) fn has_referral(&self) -> bool {
        self.referral.is_some()
    }

    pub(super) fn on_refer(
        &mut self,
        common: &mut Common,
        hub: &mut Hub,
        now: Instant,
        question: &Question,
        cseq: u32,
    ) {
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
        let response = self.welcome(common, hub, question, StatusCode::ACCEPTED);
        hub.respond(now, question, response);
        self.dialog.refresh_target(question.headers());
        self.referral = Some(Pending::new(cseq, !self.referred));
        self.referred = true;
        hub.referrals += 1;
        // Pending, so it can be told.
        let _told = self.referral(common, hub, now, StatusCode::TRYING);
        common.tell(hub, SessionEvent::Referred(asked));
    }

    /// Tells the peer what has become of its REFER. A final status is the last that can be told.
    pub(in crate::sip::session) fn referral(
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
}
