//! What the gateway says: its requests are judged and answered, its answers change the call they belong to.

use super::super::rules::{Broken, Rule, SUITE, judge_first, judge_within};
use super::super::sdp::Theirs;
use super::super::write::message;
use super::said::{AGENT, ALLOW, copied, header, uri_of};
use super::{Along, Call, CallId, Connection, Goodbye, Machine, Output, Site, Stage};
use crate::sip::message::{Request, Response};

impl Machine {
    pub(super) fn request(&mut self, site: Site, connection: Connection, request: Request) {
        let method = request.method().as_str().to_owned();
        *self.seen.requests.entry(method.clone()).or_default() += 1;
        match self.dialog_of(request.headers()) {
            Some(id) if self.is_within(&request, &method) => {
                self.request_within(id, site, connection, request, &method);
            }
            _ => self.request_first(site, connection, request, &method),
        }
    }

    fn request_first(&mut self, site: Site, connection: Connection, request: Request, method: &str) {
        if method == "ACK" {
            return;
        }
        let broken = judge_first(&request, &self.known);
        let refused = broken.iter().find_map(|broken| Some((broken.rule.refusal()?, broken.detail.clone())));
        self.seen.broken.extend(broken);
        if let Some(((status, code), detail)) = refused {
            let reason = format!("X-Microsoft;cause={code};text=\"{}\"", detail.replace('"', "'"));
            return self.refuse(site, connection, &request, status, &[("Reason", reason)]);
        }
        match method {
            "OPTIONS" => {
                *self.seen.options.entry(site).or_default() += 1;
                self.answer_options(site, connection, &request);
                self.options(site);
            }
            _ => self.let_in(site, connection, request),
        }
    }

    /// Our 200 to OPTIONS has a To without a tag, against RFC 3261 section 8.2.6.2; two traces agree on it.
    fn answer_options(&mut self, site: Site, connection: Connection, request: &Request) {
        let mut headers = copied(request.headers(), None);
        headers.push(("Server", AGENT.to_owned()));
        headers.push(("Allow", ALLOW.to_owned()));
        let octets = message("SIP/2.0 200 OK", &headers, "");
        self.out.push_back(Output::Send { site, along: Along::Back(connection), octets });
    }

    fn let_in(&mut self, site: Site, connection: Connection, request: Request) {
        let n = self.next();
        let text = |name: &str| header(request.headers(), name);
        self.seen.invites_at.push(site);
        self.seen.last_invite = Some(request.bytes().clone());
        let offer = Theirs::read(request.body()).unwrap_or_default();
        let their_key = offer.key(SUITE).and_then(|crypto| crypto.key.clone()).unwrap_or_default();
        self.seen.descriptions.push(offer);
        let (contact, record_route) = (self.contact(n), self.record_route(site));
        self.calls.push(Call {
            stage: Stage::Coming,
            site,
            call_id: text("Call-ID"),
            ours: text("To"),
            our_tag: format!("{n:08x}"),
            theirs: text("From"),
            cseq: 0,
            invite_cseq: 0,
            contact,
            record_route,
            target: uri_of(&text("Contact")).to_owned(),
            media: None,
            their_key,
            invite: Some((connection, request)),
            refused: false,
            goodbye: None,
            roams: false,
        });
        let id = self.calls.len() - 1;
        self.respond(id, 100, None, "", &[]);
        self.out.push_back(Output::Incoming(id));
    }

    fn request_within(
        &mut self,
        id: CallId,
        site: Site,
        connection: Connection,
        request: Request,
        method: &str,
    ) {
        let Some(call) = self.calls.get(id) else { return };
        let answers_us = method == "ACK" && matches!(call.stage, Stage::Coming | Stage::Over(_));
        if !answers_us {
            let broken = judge_within(&request, &call.contact, std::slice::from_ref(&call.record_route));
            let refused = broken.iter().find_map(|broken| broken.rule.refusal());
            self.seen.broken.extend(broken);
            if let (Some((status, _)), true) = (refused, method != "ACK") {
                return self.refuse(site, connection, &request, status, &[]);
            }
        }
        match method {
            "ACK" => {
                let answered = self.calls.get_mut(id).filter(|call| call.stage == Stage::Answered);
                if let Some(call) = answered {
                    call.stage = Stage::Up;
                }
            }
            "BYE" => {
                self.refuse(site, connection, &request, 200, &[]);
                self.end(id, None);
            }
            "CANCEL" => {
                self.refuse(site, connection, &request, 200, &[]);
                self.respond(id, 487, None, "", &[]);
            }
            "NOTIFY" => {
                let body = String::from_utf8_lossy(request.body()).into_owned();
                let line = body.lines().next().unwrap_or_default().to_owned();
                let state = header(request.headers(), "Subscription-State");
                self.refuse(site, connection, &request, 200, &[]);
                let done = state.starts_with("terminated") && line.contains(" 200 ");
                self.seen.notified.push((line, state));
                // Only now, and by us: the gateway must not hang up itself.
                if done && self.calls.get(id).is_some_and(|call| call.goodbye == Some(Goodbye::InTime)) {
                    self.bye(id);
                }
            }
            "INVITE" => self.reinvited(id, connection, request),
            _ => self.refuse(site, connection, &request, 200, &[]),
        }
    }

    fn reinvited(&mut self, id: CallId, connection: Connection, request: Request) {
        let offer = Theirs::read(request.body());
        let Some(call) = self.calls.get_mut(id) else { return };
        if let Some(offer) = offer {
            if let Some(ours) = &mut call.media {
                ours.version += 1;
                ours.direction = if offer.direction == "inactive" { "inactive" } else { "sendrecv" };
            }
            if let Some(key) = offer.key(SUITE).and_then(|crypto| crypto.key.clone()) {
                call.their_key = key;
            }
            self.seen.descriptions.push(offer);
        }
        call.invite = Some((connection, request));
        let answer = self.answer_text(id);
        self.respond(id, 200, None, &answer, &[]);
    }

    pub(super) fn response(&mut self, connection: Connection, response: &Response) {
        let status = response.status().as_u16();
        let method =
            response.headers().cseq().map(|cseq| cseq.method.as_str().to_owned()).unwrap_or_default();
        if method == "OPTIONS" {
            self.seen.options_answers.push((status, response.bytes().clone()));
            return;
        }
        if status > 100 {
            self.seen.answers.push((method.clone(), status));
            self.seen.answered_over.push(connection);
        }
        let Some(id) = self.dialog_of(response.headers()) else { return };
        match (method.as_str(), status) {
            ("INVITE", 200..300) => self.answered(id, response),
            ("INVITE", 300..) => self.refused(id, response, status),
            ("REFER", 202) if self.calls.get(id).is_some_and(|call| call.goodbye == Some(Goodbye::Early)) => {
                self.bye(id)
            }
            _ => {}
        }
    }

    fn answered(&mut self, id: CallId, response: &Response) {
        let answer = Theirs::read(response.body());
        let Some(call) = self.calls.get_mut(id) else { return };
        call.theirs = header(response.headers(), "To");
        call.target = uri_of(&header(response.headers(), "Contact")).to_owned();
        if call.stage == Stage::Dialling {
            call.stage = Stage::Up;
        }
        call.refused = false;
        if let Some(key) =
            answer.as_ref().and_then(|sdp| sdp.key(SUITE)).and_then(|crypto| crypto.key.clone())
        {
            call.their_key = key;
        }
        self.ask(id, "ACK", Along::Usual, &[], "");
        if let Some(answer) = answer {
            // The tag names the line that was taken: 2 is the only one that may be.
            let taken =
                answer.crypto.first().is_some_and(|crypto| crypto.tag == "2" && answer.crypto.len() == 1);
            if !taken || answer.profile != "RTP/SAVP" {
                let detail = format!("answer {} {:?}", answer.profile, answer.crypto);
                self.seen.broken.push(Broken { rule: Rule::NoUsableKey, detail });
            }
            if ["sendonly", "recvonly"].contains(&answer.direction.as_str()) {
                self.seen
                    .broken
                    .push(Broken { rule: Rule::DirectionNotUnderstood, detail: answer.direction.clone() });
            }
            self.media_changed(id, &answer);
            self.seen.descriptions.push(answer);
        }
    }

    fn refused(&mut self, id: CallId, response: &Response, status: u16) {
        if let Some(call) = self.calls.get_mut(id) {
            call.theirs = header(response.headers(), "To");
            call.refused = true;
        }
        self.ask(id, "ACK", Along::Usual, &[], "");
        if self.calls.get(id).is_some_and(|call| call.stage == Stage::Dialling) {
            self.end(id, Some(status));
        }
    }
}
