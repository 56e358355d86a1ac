//! The telephone as a caller: its commands, its requests and the answers to them.

use std::collections::HashMap;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use super::dialog::{Call, Description, Draft, Reinvite, Stage, Unacked, address_of, sdp_of, tell};
use super::ring::Answered;
use super::talk::{Mouth, Talk};
use super::{Command, Done, End, Line, Manner, Options, PhoneError, Reliable, Side, Status};
use crate::sim::ear::Ear;
use crate::sim::{random, random_token};
use crate::sip::header::{MAGIC_COOKIE, NameAddr};
use crate::sip::message::{Message, Method, Name, Response, StatusCode};
use crate::sip::uri::Uri;

mod client;
mod registration;

use client::{Client, Purpose, ReinviteKind};
use registration::Registrar;

/// RFC 3261 section 17.1.1.1: the round trip assumed.
pub(super) const T1: Duration = Duration::from_millis(500);
/// The longest pause between two copies.
pub(super) const T2: Duration = Duration::from_secs(4);
/// Timers B, F and H: when to give up.
pub(super) const GIVE_UP: Duration = Duration::from_secs(32);
/// What we understand.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE";

/// The user agent. Knows no socket: messages come in by [`Ua::received`] and go out by [`Ua::take_outgoing`].
pub(super) struct Ua {
    pub(super) options: Options,
    pub(super) local: SocketAddr,
    pub(super) contact: NameAddr,
    pub(super) status: watch::Sender<Status>,
    pub(super) call: Option<Call>,
    /// Sound of the call on the line, or of the last one.
    pub(super) sound: Option<(Ear, Mouth, SocketAddr)>,
    pub(super) answers: Vec<Answered>,
    clients: HashMap<(String, Method), Client>,
    registrar: Registrar,
    outgoing: Vec<(SocketAddr, Bytes)>,
}

impl Ua {
    pub(super) fn new(
        options: Options,
        local: SocketAddr,
        status: watch::Sender<Status>,
    ) -> Result<Self, PhoneError> {
        let mut uri = Uri::sip_at(Some(&options.name), local)?;
        let transport = match options.transport {
            super::Transport::Udp => None,
            super::Transport::Tcp => Some("tcp"),
            super::Transport::Tls => Some("tls"),
        };
        if transport.is_some() {
            uri = uri.with_param("transport", transport)?;
        }
        let registrar = Registrar { call_id: random_token(), tag: random_token(), cseq: 0, refresh_at: None };
        Ok(Self {
            options,
            local,
            contact: NameAddr::new(uri),
            status,
            call: None,
            sound: None,
            answers: Vec::new(),
            clients: HashMap::new(),
            registrar,
            outgoing: Vec::new(),
        })
    }

    pub(super) fn take_outgoing(&mut self) -> Vec<(SocketAddr, Bytes)> {
        std::mem::take(&mut self.outgoing)
    }

    pub(super) fn send(&mut self, to: SocketAddr, octets: Bytes) {
        self.outgoing.push((to, octets));
    }

    pub(super) fn received(&mut self, octets: Bytes, from: SocketAddr) {
        let read = match self.options.transport {
            super::Transport::Udp => Message::parse_datagram(octets),
            super::Transport::Tcp | super::Transport::Tls => Message::parse_stream(octets),
        };
        match read.and_then(Message::validated) {
            Ok(Message::Request(request)) => self.requested(request, from),
            Ok(Message::Response(response)) => self.responded(&response),
            // Keep-alives, and what a plain telephone does not understand.
            Err(_) => {}
        }
    }

    pub(super) fn told(&mut self, command: Command) {
        match command {
            Command::Register(expires, done) => self.register(expires, Some(done)),
            Command::Dial(target, done) => tell(Some(done), self.dial(target)),
            Command::Answer(done) => tell(Some(done), self.answer()),
            Command::Reject(status, done) => tell(Some(done), self.reject(status)),
            Command::Hangup(done) => self.hang_up(done),
            Command::Offer(direction, done) => self.reinvite(Reinvite::Offer(direction), done),
            Command::Rekey(done) => {
                let direction = self.call.as_mut().map(|call| call.description.renew_keys());
                match direction {
                    Some(direction) => self.reinvite(Reinvite::Offer(direction), done),
                    None => tell(Some(done), Err(PhoneError::NotNow("there is no call"))),
                }
            }
            Command::Refresh(done) => self.reinvite(Reinvite::WithoutOffer, done),
            Command::Say(voice, done) => {
                if let Some(call) = &self.call {
                    call.talk.mouth.say(voice.clone());
                }
                self.options.voice = voice;
                tell(Some(done), Ok(()));
            }
            Command::Press(digits, done) => {
                let talks = self.call.as_ref().map(|call| call.talk.mouth.press(&digits));
                tell(Some(done), talks.ok_or(PhoneError::NotNow("there is no call")));
            }
            Command::Manner(manner, done) => {
                self.options.manner = manner;
                tell(Some(done), Ok(()));
            }
            Command::Sound(answer) => {
                let _ = answer.send(self.sound.clone());
            }
        }
    }

    /// When [`Ua::woke`] has something to do.
    pub(super) fn wakes_at(&self) -> Instant {
        let clients = self
            .clients
            .values()
            .map(|client| client.again.map_or(client.give_up, |at| at.min(client.give_up)));
        let call = self.call.iter().flat_map(|call| {
            let reliable = match &call.stage {
                Stage::In { reliable, .. } => reliable.as_ref(),
                Stage::Out { .. } | Stage::Up => None,
            };
            let unacked =
                call.unacked.iter().chain(reliable).map(|unacked| unacked.again.min(unacked.give_up));
            unacked.chain(call.retry.as_ref().map(|(at, ..)| *at))
        });
        let rest = Instant::now() + GIVE_UP;
        clients.chain(call).chain(self.registrar.refresh_at).min().unwrap_or(rest).min(rest)
    }

    /// Sends again what was not answered, gives up on what never will be.
    pub(super) fn woke(&mut self) {
        let now = Instant::now();
        let due: Vec<_> =
            self.clients.iter().filter(|(_, client)| client.is_due(now)).map(|(k, _)| k.clone()).collect();
        for key in due {
            self.client_due(&key, now);
        }
        if let Some(call) = &mut self.call {
            let reliable = match &mut call.stage {
                Stage::In { reliable, .. } => reliable.as_mut(),
                Stage::Out { .. } | Stage::Up => None,
            };
            let copies: Vec<_> =
                call.unacked.iter_mut().chain(reliable).filter_map(|unacked| unacked.copy_due(now)).collect();
            let lost = call.unacked.as_ref().is_some_and(|unacked| now >= unacked.give_up);
            let retry = call.retry.take_if(|(at, ..)| now >= *at);
            self.outgoing.extend(copies);
            if lost {
                // RFC 3261 section 13.3.1.4: never acknowledged, so the dialog ends.
                self.bye(None);
            }
            if let Some((_, what, done)) = retry {
                self.reinvite(what, done);
            }
        }
        if self.registrar.refresh_at.is_some_and(|at| now >= at) {
            self.register(self.options.register_for, None);
        }
    }

    fn dial(&mut self, target: Uri) -> Result<(), PhoneError> {
        if self.call.is_some() {
            return Err(PhoneError::NotNow("there is a call already"));
        }
        let to = self.options.server.or_else(|| address_of(&target)).ok_or(PhoneError::NoServer)?;
        let us = Uri::sip_at(Some(&self.options.name), self.options.server.unwrap_or(self.local))?;
        let mut call = self.new_call(Call {
            caller: Side::Us,
            call_id: random_token(),
            local: NameAddr::new(us).with_tag(&random_token()),
            remote: NameAddr::new(target.clone()),
            target,
            routes: Vec::new(),
            peer: to,
            cseq: 0,
            their_cseq: 0,
            description: Description::new(self.options.srtp),
            talk: self.open_talk()?,
            stage: Stage::Up,
            hanging: None,
            acked: None,
            unacked: None,
            reinviting: false,
            retry: None,
        });
        let mut draft = call.draft(Method::Invite);
        draft.set(Name::Contact, self.contact.to_bytes());
        draft.set(Name::Allow, ALLOW);
        match self.options.reliable {
            Reliable::Off => {}
            Reliable::Supported => draft.set(Name::Supported, "100rel"),
            Reliable::Required => draft.set(Name::Require, "100rel"),
        }
        draft.body = Some(call.description.offer(&self.options, &call.talk));
        self.call = Some(call);
        self.start(draft, to, Purpose::Invite, 0, None);
        Ok(())
    }

    /// A call on a line where there was none: what the status said of the last one is forgotten.
    pub(super) fn new_call(&mut self, call: Call) -> Call {
        self.sound = Some((call.talk.ear.clone(), call.talk.mouth.clone(), call.talk.rtp));
        let line = if call.caller == Side::Us { Line::Dialling } else { Line::Ringing };
        self.status.send_modify(|status| {
            *status = Status {
                registration: status.registration,
                calls_in: status.calls_in + u32::from(call.caller == Side::Them),
                talks: status.talks,
                line,
                ..Status::default()
            };
        });
        call
    }

    pub(super) fn open_talk(&self) -> Result<Talk, PhoneError> {
        Talk::open(&self.options.name, self.options.ip, self.options.voice.clone())
            .map_err(PhoneError::Sockets)
    }

    fn hang_up(&mut self, done: Done) {
        let Some(call) = &mut self.call else {
            return tell(Some(done), Err(PhoneError::NotNow("there is no call")));
        };
        match &mut call.stage {
            Stage::Up => self.bye(Some(done)),
            Stage::In { .. } => tell(Some(done), self.reject(StatusCode::DECLINE)),
            Stage::Out { provisional, cancel, .. } => {
                // RFC 3261 section 9.1: CANCEL waits for a provisional answer.
                *cancel = true;
                call.hanging = Some(done);
                if *provisional {
                    self.cancel();
                }
            }
        }
    }

    fn cancel(&mut self) {
        let Some(Stage::Out { branch, .. }) = self.call.as_ref().map(|call| &call.stage) else { return };
        let Some(invite) = self.clients.get(&(branch.clone(), Method::Invite)) else { return };
        // RFC 3261 section 9.1: same Request-URI, Via, From, To, Call-ID and number as the INVITE.
        let mut draft =
            Draft { method: Method::Cancel, headers: Vec::new(), body: None, ..invite.draft.clone() };
        draft.routes = invite.draft.routes.clone();
        let (to, branch) = (invite.to, branch.clone());
        self.start_with_branch(draft, to, Purpose::Cancel, 0, None, branch);
    }

    /// Ends an answered call.
    pub(super) fn bye(&mut self, done: Option<Done>) {
        let Some(call) = &mut self.call else { return };
        call.unacked = None;
        call.hanging = done;
        let (draft, to) = (call.draft(Method::Bye), call.next_hop());
        self.start(draft, to, Purpose::Bye, 0, None);
    }

    fn reinvite(&mut self, what: Reinvite, done: Done) {
        let Some(call) = self.call.as_mut().filter(|call| matches!(call.stage, Stage::Up)) else {
            return tell(Some(done), Err(PhoneError::NotNow("there is no answered call")));
        };
        if call.reinviting || call.unacked.is_some() {
            return tell(Some(done), Err(PhoneError::NotNow("another re-INVITE is on its way")));
        }
        call.reinviting = true;
        let mut draft = call.draft(Method::Invite);
        draft.set(Name::Contact, self.contact.to_bytes());
        let kind = match what {
            Reinvite::Offer(direction) => {
                call.description.direction = direction;
                draft.body = Some(call.description.offer(&self.options, &call.talk));
                ReinviteKind::Offer(direction)
            }
            Reinvite::WithoutOffer => ReinviteKind::WithoutOffer,
        };
        let to = call.next_hop();
        self.start(draft, to, Purpose::Reinvite(kind), 0, Some(done));
    }

    // ---- the call we placed

    fn call_progresses(&mut self, response: &Response) {
        let status = response.status();
        self.status.send_modify(|s| s.provisional.push(status));
        let Some(call) = &mut self.call else { return };
        let Stage::Out { provisional, cancel, rseq, .. } = &mut call.stage else { return };
        let cancel_now = *cancel && !*provisional;
        *provisional = true;
        let headers = response.headers();
        let news = headers.rseq().ok().flatten().filter(|_| headers.has_token(Name::Require, "100rel"));
        let acknowledge = news.filter(|number| *number > *rseq && self.options.reliable != Reliable::Off);
        if let Some(number) = acknowledge {
            *rseq = number;
        }
        if let Some(answer) = sdp_of(headers, response.body())
            && !call.description.settled
            && let Some(agreed) = call.description.accept(answer, &call.talk)
        {
            // Only a reliable answer is the answer (RFC 3262 section 5); another is early media that may change.
            call.description.settled = acknowledge.is_some();
            self.status.send_modify(|s| s.agreed = Some(agreed));
        }
        if let Some(number) = acknowledge {
            self.acknowledge_provisional(number, response);
        }
        if cancel_now {
            self.cancel();
        }
    }

    fn acknowledge_provisional(&mut self, rseq: u32, response: &Response) {
        let (Some(call), Ok(cseq)) = (&mut self.call, response.headers().cseq()) else { return };
        call.learn(response.headers());
        let mut draft = call.draft(Method::Prack);
        draft.set(Name::RAck, format!("{rseq} {} INVITE", cseq.number));
        let to = call.next_hop();
        self.start(draft, to, Purpose::Prack, 0, None);
    }

    fn call_answered(&mut self, response: &Response) {
        let Some(call) = &mut self.call else { return };
        let cancelled = matches!(call.stage, Stage::Out { cancel: true, .. });
        call.learn(response.headers());
        call.stage = Stage::Up;
        let agreed = match sdp_of(response.headers(), response.body()) {
            Some(answer) if !call.description.settled => call.description.accept(answer, &call.talk),
            _ => None,
        };
        call.description.settled = true;
        self.acknowledge_success(response, None);
        self.status.send_modify(|status| {
            status.line = Line::Talking;
            status.talks += 1;
            status.agreements += 1;
            status.agreed = agreed.or(status.agreed.take());
        });
        if cancelled {
            // The answer crossed our CANCEL.
            let done = self.call.as_mut().and_then(|call| call.hanging.take());
            self.bye(done);
        }
    }

    /// RFC 3261 section 13.2.2.4: the ACK to a 2xx is a request of its own.
    fn acknowledge_success(&mut self, response: &Response, answer: Option<Bytes>) {
        let (Some(call), Ok(cseq)) = (&self.call, response.headers().cseq()) else { return };
        let mut draft = call.draft_numbered(Method::Ack, cseq.number);
        draft.body = answer;
        let to = call.next_hop();
        let branch = format!("{MAGIC_COOKIE}{}", random_token());
        let Ok(ack) = draft.write(&self.via(&branch)) else { return };
        let octets = ack.bytes().clone();
        self.send(to, octets.clone());
        if let Some(call) = &mut self.call {
            call.acked = Some((cseq.number, to, octets));
        }
    }

    fn reinvite_answered(&mut self, client: &mut Client, kind: ReinviteKind, response: Option<&Response>) {
        let Some(call) = &mut self.call else {
            return tell(client.done.take(), Err(PhoneError::NotNow("the call is over")));
        };
        call.reinviting = false;
        let Some(response) = response else { return };
        let status = response.status();
        if status == StatusCode::REQUEST_PENDING
            && let Some(done) = client.done.take()
        {
            // RFC 3261 section 14.1: the owner of the Call-ID waits longer, so that one of the two goes first.
            let millis = match call.caller {
                Side::Us => 2100 + random() % 1900,
                Side::Them | Side::Nobody => random() % 2000,
            };
            let what = match kind {
                ReinviteKind::Offer(direction) => Reinvite::Offer(direction),
                ReinviteKind::WithoutOffer => Reinvite::WithoutOffer,
            };
            call.retry = Some((Instant::now() + Duration::from_millis(millis), what, done));
            return;
        }
        if !status.is_success() {
            return tell(client.done.take(), Err(PhoneError::Refused(status)));
        }
        if let Ok(Some(contact)) = response.headers().contact() {
            call.target = contact.uri;
        }
        let body = sdp_of(response.headers(), response.body());
        let (agreed, answer) = match (kind, body) {
            (ReinviteKind::Offer(_), Some(body)) => (call.description.accept(body, &call.talk), None),
            (ReinviteKind::WithoutOffer, Some(body)) => {
                match call.description.answer(body, &self.options, &call.talk) {
                    Ok((answer, agreed)) => (Some(agreed), Some(answer)),
                    Err(_) => (None, None),
                }
            }
            (_, None) => (None, None),
        };
        let is_agreed = agreed.is_some();
        self.acknowledge_success(response, answer);
        self.agreed(agreed);
        let outcome =
            if is_agreed { Ok(()) } else { Err(PhoneError::Refused(StatusCode::NOT_ACCEPTABLE_HERE)) };
        tell(client.done.take(), outcome);
    }

    pub(super) fn agreed(&self, agreed: Option<crate::sip::offer::NegotiatedAudio>) {
        if let Some(agreed) = agreed {
            self.status.send_modify(|status| {
                status.agreements += 1;
                status.agreed = Some(agreed);
            });
        }
    }

    /// The call is over, however it ended.
    pub(super) fn end(&mut self, end: End) {
        let Some(mut call) = self.call.take() else { return };
        self.status.send_modify(|status| status.line = Line::Over(end));
        tell(call.hanging.take(), Ok(()));
    }

    pub(super) fn manner(&self) -> Manner {
        self.options.manner
    }
}

impl Unacked {
    pub(super) fn new(cseq: u32, to: SocketAddr, octets: Bytes) -> Self {
        let now = Instant::now();
        Self { cseq, to, octets, again: now + T1, wait: T1, give_up: now + GIVE_UP }
    }

    fn copy_due(&mut self, now: Instant) -> Option<(SocketAddr, Bytes)> {
        if now < self.again {
            return None;
        }
        self.wait = (self.wait * 2).min(T2);
        self.again = now + self.wait;
        Some((self.to, self.octets.clone()))
    }
}
