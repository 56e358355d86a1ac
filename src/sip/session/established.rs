//! A call that is up (RFC 3261 sections 12.2, 14 and 15; RFC 4028): what comes for it is sorted here, and each matter
//! has a file of its own.

use std::time::Instant;

use bytes::Bytes;

use super::{By, Common, Ended, How, Next, Ring, SessionTimers, Way};
use crate::sip::build::ResponseBuilder;
use crate::sip::dialog::{Dialog, Order};
use crate::sip::flow::Destination;
use crate::sip::header::{Method, Name};
use crate::sip::hub::{Hub, Question};
use crate::sip::layer::{ClientId, Kind};
use crate::sip::login::Login;
use crate::sip::message::{Response, StatusCode};
use crate::sip::refer::Pending;
use crate::sip::text::Text;
use crate::sip::transaction::T2;

mod ack;
mod leaving;
mod refer;
mod reinvite;
mod timer;

pub(super) use ack::Ack;
use ack::Unacknowledged;
pub(super) use leaving::Leaving;
use reinvite::{Ours, Theirs, Wanted};
pub(super) use timer::Agreed;
pub(in crate::sip) use timer::too_brief;

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

    pub(super) fn flow(&self) -> &Destination {
        &self.way.flow
    }

    /// Begins an answer that is no refusal: with our tag, our Contact and what this peer is to know of us.
    fn welcome(
        &self,
        common: &Common,
        hub: &Hub,
        question: &Question,
        status: StatusCode,
    ) -> ResponseBuilder {
        let contact = hub.contact(&common.manners, &self.way.flow);
        let response = question.response(status).to_tag(&common.tag_text()).header(Name::Contact, contact);
        common.manners.sign_response(response)
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
}
