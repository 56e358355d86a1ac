//! The telephone as the one who is called: requests of the other end and our answers.

use std::net::SocketAddr;

use bytes::Bytes;

use super::dialog::{Call, Description, SDP, Stage, Unacked, sdp_of};
use super::ua::{ALLOW, Ua};
use super::{End, Line, Manner, PhoneError, Reliable, Side};
use crate::sim::random_token;
use crate::sip::build::ResponseBuilder;
use crate::sip::header::NameAddr;
use crate::sip::message::{Headers, Method, Name, Request, StatusCode};
use crate::sip::uri::Uri;

/// Answers kept for copies of their requests: many more than one call has open at a time.
const ANSWERS_MAX: usize = 64;

/// An answer, to be given again to every copy of its request (RFC 3261 section 17.2).
pub(super) struct Answered {
    branch: String,
    method: Method,
    octets: Bytes,
}

/// What a response has besides what every response has.
#[derive(Default)]
struct Extra {
    tag: Option<String>,
    contact: Option<NameAddr>,
    rseq: Option<u32>,
    body: Option<Bytes>,
}

impl Ua {
    pub(super) fn requested(&mut self, request: Request, from: SocketAddr) {
        let copy_of = self.answers.iter().find(|answered| answered.is_for(&request));
        if let Some(octets) = copy_of.map(|answered| answered.octets.clone()) {
            return self.send(from, octets);
        }
        match request.method() {
            Method::Ack => self.acked(&request),
            Method::Invite if self.is_ours(&request) => self.reinvited(&request, from),
            Method::Invite => self.called(request, from),
            Method::Cancel => self.cancelled(&request, from),
            Method::Options => self.respond(&request, from, StatusCode::OK, Extra::default()),
            Method::Bye | Method::Prack | Method::Update if !self.is_ours(&request) => {
                let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
                self.respond(&request, from, status, Extra::default());
            }
            Method::Bye => self.bid_farewell(&request, from),
            Method::Prack => {
                if let Some(Call { stage: Stage::In { reliable, .. }, .. }) = &mut self.call {
                    *reliable = None;
                }
                self.respond(&request, from, StatusCode::OK, Extra::default());
            }
            Method::Update => self.reinvited(&request, from),
            _ => self.respond(&request, from, StatusCode::METHOD_NOT_ALLOWED, Extra::default()),
        }
    }

    fn is_ours(&self, request: &Request) -> bool {
        self.call.as_ref().is_some_and(|call| call.owns(request.headers()))
    }

    fn called(&mut self, invite: Request, from: SocketAddr) {
        if self.manner() == Manner::Dead {
            return;
        }
        if invite.headers().to().is_ok_and(|to| to.tag().is_some()) {
            let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
            return self.respond(&invite, from, status, Extra::default());
        }
        if self.call.is_some() {
            // A copy of the INVITE that rings was answered above; this is somebody else.
            return self.respond(&invite, from, StatusCode::BUSY_HERE, Extra::default());
        }
        let Some(call) = self.call_of(&invite, from) else {
            return self.respond(&invite, from, StatusCode::SERVER_INTERNAL_ERROR, Extra::default());
        };
        let caller = call.remote.uri.user_unescaped();
        let call = self.new_call(call);
        self.call = Some(call);
        self.status.send_modify(|status| status.caller = caller);
        match self.manner() {
            Manner::Refuse(status) => {
                let _ = self.reject(status);
            }
            Manner::EarlyMedia => self.ring(StatusCode::SESSION_PROGRESS),
            Manner::Ring | Manner::Dead => self.ring(StatusCode::RINGING),
            Manner::Answer => {
                self.ring(StatusCode::RINGING);
                let _ = self.answer();
            }
        }
    }

    fn call_of(&self, invite: &Request, from: SocketAddr) -> Option<Call> {
        let headers = invite.headers();
        let remote = headers.from().ok()?;
        let target: Uri = headers.contact().ok()?.map_or_else(|| remote.uri.clone(), |contact| contact.uri);
        Some(Call {
            caller: Side::Them,
            call_id: headers.call_id().ok()?.to_string(),
            local: headers.to().ok()?.with_tag(&random_token()),
            remote,
            target,
            routes: headers.record_routes().ok()?,
            peer: from,
            cseq: 0,
            their_cseq: headers.cseq().ok()?.number,
            description: Description::new(self.options.srtp),
            talk: self.open_talk().ok()?,
            stage: Stage::In { invite: invite.clone(), from, reliable: None, rseq: 0 },
            hanging: None,
            acked: None,
            unacked: None,
            reinviting: false,
            retry: None,
        })
    }

    /// 180, or 183 with our description.
    fn ring(&mut self, status: StatusCode) {
        let Some(call) = &mut self.call else { return };
        let Stage::In { invite, from, rseq, .. } = &mut call.stage else { return };
        let headers = invite.headers();
        let must = headers.has_token(Name::Require, "100rel");
        let may = headers.has_token(Name::Supported, "100rel") && self.options.reliable == Reliable::Required;
        let reliable = must || may;
        *rseq += 1;
        let (invite, from, number) = (invite.clone(), *from, *rseq);
        let body = match (status, sdp_of(invite.headers(), invite.body())) {
            (StatusCode::SESSION_PROGRESS, Some(offer)) => {
                match call.description.answer(offer, &self.options, &call.talk) {
                    Ok((answer, _)) => Some(answer),
                    Err(error) => {
                        let _ = self.reject(error.status());
                        return;
                    }
                }
            }
            _ => None,
        };
        let extra = Extra { rseq: reliable.then_some(number), body, ..self.dialog_extra() };
        let Some(octets) = self.respond_dialog(&invite, from, status, extra) else { return };
        if reliable && let Some(Call { stage: Stage::In { reliable, .. }, their_cseq, .. }) = &mut self.call {
            *reliable = Some(Unacked::new(*their_cseq, from, octets));
        }
    }

    /// Answers the call that rings.
    pub(super) fn answer(&mut self) -> Result<(), PhoneError> {
        let nothing = PhoneError::NotNow("nobody calls");
        let Some(call) = &mut self.call else { return Err(nothing) };
        let Stage::In { invite, from, .. } = &call.stage else { return Err(nothing) };
        let (invite, from) = (invite.clone(), *from);
        let described = match sdp_of(invite.headers(), invite.body()) {
            Some(offer) => call
                .description
                .answer(offer, &self.options, &call.talk)
                .map(|(body, agreed)| (body, Some(agreed))),
            // No offer came: ours goes out, and the ACK answers it (RFC 3261 section 13.2.2.4).
            None => Ok((call.description.offer(&self.options, &call.talk), None)),
        };
        let (body, agreed) = match described {
            Ok(described) => described,
            Err(error) => return self.reject(error.status()),
        };
        let cseq = call.their_cseq;
        let extra = Extra { body: Some(body), ..self.dialog_extra() };
        let octets = self.respond_dialog(&invite, from, StatusCode::OK, extra);
        if let (Some(call), Some(octets)) = (&mut self.call, octets) {
            call.stage = Stage::Up;
            call.unacked = Some(Unacked::new(cseq, from, octets));
        }
        self.agreed(agreed);
        Ok(())
    }

    /// Refuses the call that rings.
    pub(super) fn reject(&mut self, status: StatusCode) -> Result<(), PhoneError> {
        let nothing = PhoneError::NotNow("nobody calls");
        let Some(Call { stage: Stage::In { invite, from, .. }, .. }) = &self.call else {
            return Err(nothing);
        };
        let (invite, from) = (invite.clone(), *from);
        let extra = Extra { contact: None, ..self.dialog_extra() };
        self.respond_dialog(&invite, from, status, extra);
        self.end(End { by: Side::Us, status: Some(status), reason: None });
        Ok(())
    }

    fn cancelled(&mut self, cancel: &Request, from: SocketAddr) {
        let branch = |request: &Request| request.headers().top_via().ok().and_then(|via| via.branch());
        let ringing = match &self.call {
            Some(Call { stage: Stage::In { invite, from, .. }, .. }) if branch(invite) == branch(cancel) => {
                Some((invite.clone(), *from))
            }
            _ => None,
        };
        let Some((invite, invited_from)) = ringing else {
            let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
            return self.respond(cancel, from, status, Extra::default());
        };
        self.respond(cancel, from, StatusCode::OK, Extra::default());
        let status = StatusCode::REQUEST_TERMINATED;
        let extra = Extra { contact: None, ..self.dialog_extra() };
        self.respond_dialog(&invite, invited_from, status, extra);
        self.end(End { by: Side::Them, status: Some(status), reason: reason_of(cancel.headers()) });
    }

    fn bid_farewell(&mut self, bye: &Request, from: SocketAddr) {
        self.respond(bye, from, StatusCode::OK, Extra::default());
        self.end(End { by: Side::Them, status: None, reason: reason_of(bye.headers()) });
    }

    fn acked(&mut self, ack: &Request) {
        let Some(call) = self.call.as_mut().filter(|call| call.owns(ack.headers())) else { return };
        let number = ack.headers().cseq().map(|cseq| cseq.number);
        if call.unacked.take_if(|unacked| number == Ok(unacked.cseq)).is_none() {
            return;
        }
        let agreed = match sdp_of(ack.headers(), ack.body()) {
            Some(answer) => call.description.accept(answer, &call.talk),
            None => None,
        };
        call.description.settled = true;
        self.agreed(agreed);
        self.status.send_modify(|status| {
            status.talks += u32::from(status.line != Line::Talking);
            status.line = Line::Talking;
        });
    }

    /// A re-INVITE or an UPDATE (RFC 3311).
    fn reinvited(&mut self, request: &Request, from: SocketAddr) {
        let Some(call) = &mut self.call else { return };
        let cseq = request.headers().cseq().map_or(0, |cseq| cseq.number);
        if cseq <= call.their_cseq {
            // RFC 3261 section 12.2.2.
            return self.respond(request, from, StatusCode::SERVER_INTERNAL_ERROR, Extra::default());
        }
        call.their_cseq = cseq;
        if call.reinviting || call.unacked.is_some() {
            return self.respond(request, from, StatusCode::REQUEST_PENDING, Extra::default());
        }
        if let Ok(Some(contact)) = request.headers().contact() {
            call.target = contact.uri;
        }
        let is_invite = *request.method() == Method::Invite;
        let (body, agreed) = match sdp_of(request.headers(), request.body()) {
            Some(offer) => match call.description.answer(offer, &self.options, &call.talk) {
                Ok((body, agreed)) => (Some(body), Some(agreed)),
                Err(error) => return self.respond(request, from, error.status(), Extra::default()),
            },
            None if is_invite => (Some(call.description.offer(&self.options, &call.talk)), None),
            None => (None, None),
        };
        let extra = Extra { body, ..self.dialog_extra() };
        let octets = self.respond_dialog(request, from, StatusCode::OK, extra);
        if let (Some(call), Some(octets), true) = (&mut self.call, octets, is_invite) {
            call.unacked = Some(Unacked::new(cseq, from, octets));
        }
        self.agreed(agreed);
    }

    /// Our tag and contact.
    fn dialog_extra(&self) -> Extra {
        let tag = self.call.as_ref().and_then(|call| call.local.tag()).map(|tag| tag.to_string());
        Extra { tag, contact: Some(self.contact.clone()), rseq: None, body: None }
    }

    fn respond(&mut self, request: &Request, from: SocketAddr, status: StatusCode, extra: Extra) {
        self.respond_dialog(request, from, status, extra);
    }

    /// Writes, keeps and sends an answer, and gives its octets.
    fn respond_dialog(
        &mut self,
        request: &Request,
        from: SocketAddr,
        status: StatusCode,
        extra: Extra,
    ) -> Option<Bytes> {
        let tag = extra.tag.unwrap_or_else(random_token);
        let mut response = ResponseBuilder::new(request, status, from)
            .to_tag(&tag)
            .record_routes(request)
            .header(Name::Allow, ALLOW);
        if let Some(contact) = &extra.contact {
            response = response.contact(contact);
        }
        if let Some(rseq) = extra.rseq {
            response = response.header(Name::Require, "100rel").header(Name::RSeq, rseq.to_string());
        }
        if let Some(body) = extra.body {
            response = response.body(SDP, body);
        }
        let octets = response.build().ok()?.bytes().clone();
        self.answers.retain(|answered| !answered.is_for(request));
        if self.answers.len() >= ANSWERS_MAX {
            self.answers.remove(0);
        }
        if let Some(branch) = request.headers().top_via().ok().and_then(|via| via.branch()) {
            let method = request.method().clone();
            self.answers.push(Answered { branch: branch.to_string(), method, octets: octets.clone() });
        }
        self.send(from, octets.clone());
        Some(octets)
    }
}

impl Answered {
    fn is_for(&self, request: &Request) -> bool {
        let branch = request.headers().top_via().ok().and_then(|via| via.branch());
        self.method == *request.method() && branch.is_some_and(|branch| *branch == *self.branch)
    }
}

pub(super) fn reason_of(headers: &Headers) -> Option<String> {
    headers.text(Name::Reason).map(|reason| reason.to_string())
}
