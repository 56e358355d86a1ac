//! The 2xx of an INVITE and its ACK, theirs and ours (RFC 3261 sections 13.2.2.4 and 13.3.1.4).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Established;
use crate::sip::dialog::Dialog;
use crate::sip::endpoint::MAX_FORKS;
use crate::sip::flow::Destination;
use crate::sip::header::Method;
use crate::sip::hub::{Errand, Hub};
use crate::sip::layer::{ClientId, Kind};
use crate::sip::login::{Login, signed};
use crate::sip::message::{Headers, Response};
use crate::sip::session::{CommandError, Common, Next, Ring, SessionEvent, sdp_of};
use crate::sip::text::Text;
use crate::sip::transaction::{T1, T1_TIMES_64};

/// An ACK that was sent.
#[derive(Debug)]
pub(in crate::sip::session) struct Ack {
    cseq: u32,
    to: Destination,
    wire: Bytes,
}

#[derive(Debug)]
pub(super) struct Unacknowledged {
    pub(super) cseq: u32,
    pub(super) wire: Bytes,
    pub(super) to: Destination,
    pub(super) pause: Duration,
    /// Our 2xx held an offer.
    pub(super) awaits_answer: bool,
}

impl Ack {
    /// Sends the ACK to a 2xx: a request of its own, outside any transaction (RFC 3261 section 13.2.2.4).
    pub(in crate::sip::session) fn send(
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
    pub(super) fn send_ack(
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

    pub(in crate::sip::session) fn acked(&mut self, ack: Option<Ack>) {
        self.ack = ack;
    }

    pub(in crate::sip::session) fn owe_ack(&mut self, cseq: u32) {
        self.owed_ack = Some(cseq);
    }

    /// RFC 3261 section 13.3.1.4: the 2xx is said again until the ACK comes, over every transport.
    #[allow(clippy::too_many_arguments)]
    pub(in crate::sip::session) fn await_ack(
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

    pub(in crate::sip::session) fn on_ack(
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

    /// A 2xx that we have seen before, or that another fork sent too late.
    pub(super) fn on_success_again(
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

    pub(in crate::sip::session) fn acknowledge(
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
}
