//! The telephone as a caller: its commands, its requests and the answers to them.

use std::collections::HashMap;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use super::dialog::{Call, Description, Draft, Reinvite, Stage, Unacked, address_of, sdp_of, tell};
use super::ring::{Answered, reason_of};
use super::talk::{Mouth, Talk};
use super::{Command, Done, End, Line, Manner, Options, PhoneError, Registration, Reliable, Side, Status};
use crate::sim::ear::Ear;
use crate::sim::{random, random_token};
use crate::sip::digest::Challenge;
use crate::sip::header::{self, MAGIC_COOKIE, NameAddr, Via};
use crate::sip::message::{Message, Method, Name, Response, StatusCode};
use crate::sip::uri::{Host, Uri};

/// RFC 3261 section 17.1.1.1: the round trip assumed.
pub(super) const T1: Duration = Duration::from_millis(500);
/// The longest pause between two copies.
pub(super) const T2: Duration = Duration::from_secs(4);
/// Timers B, F and H: when to give up.
pub(super) const GIVE_UP: Duration = Duration::from_secs(32);
/// How often a request goes out with credentials: once, and once more for a nonce that got old.
const CREDENTIAL_TRIES: u8 = 2;
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

/// A request of ours and what became of it.
struct Client {
    draft: Draft,
    to: SocketAddr,
    octets: Bytes,
    purpose: Purpose,
    /// When to send it again; none over TCP and once it was answered.
    again: Option<Instant>,
    wait: Duration,
    give_up: Instant,
    tries: u8,
    done: Option<Done>,
    /// The ACK to the final answer that refused it.
    ack: Option<Bytes>,
    over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Purpose {
    Register(Duration),
    Invite,
    Reinvite(ReinviteKind),
    Bye,
    Cancel,
    Prack,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum ReinviteKind {
    Offer(crate::sip::sdp::Direction),
    WithoutOffer,
}

/// What the registrar knows us by.
struct Registrar {
    call_id: String,
    tag: String,
    cseq: u32,
    refresh_at: Option<Instant>,
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

    fn client_due(&mut self, key: &(String, Method), now: Instant) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if now >= client.give_up {
            let Some(mut client) = self.clients.remove(key) else { return };
            if !client.over {
                self.finished(&mut client, None);
                tell(client.done.take(), Err(PhoneError::NoAnswer));
            }
            return;
        }
        client.wait *= 2;
        if client.draft.method != Method::Invite {
            client.wait = client.wait.min(T2);
        }
        client.again = Some(now + client.wait);
        let copy = (client.to, client.octets.clone());
        self.outgoing.push(copy);
    }

    // ---- commands

    fn register(&mut self, expires: Duration, done: Option<Done>) {
        let drafted = self.draft_register(expires);
        match drafted {
            Ok((draft, server)) => {
                self.registrar.refresh_at = None;
                self.start(draft, server, Purpose::Register(expires), 0, done);
            }
            Err(error) => tell(done, Err(error)),
        }
    }

    fn draft_register(&mut self, expires: Duration) -> Result<(Draft, SocketAddr), PhoneError> {
        let server = self.options.server.ok_or(PhoneError::NoServer)?;
        let us = NameAddr::new(Uri::sip_at(Some(&self.options.name), server)?);
        self.registrar.cseq += 1;
        let draft = Draft {
            method: Method::Register,
            uri: Uri::sip_at(None, server)?,
            from: us.clone().with_tag(&self.registrar.tag),
            to: us,
            call_id: self.registrar.call_id.clone(),
            cseq: self.registrar.cseq,
            routes: Vec::new(),
            headers: vec![
                (Name::Contact, self.contact.to_bytes()),
                (Name::Expires, Bytes::from(expires.as_secs().to_string())),
            ],
            body: None,
        };
        Ok((draft, server))
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

    // ---- requests of ours

    fn start(&mut self, draft: Draft, to: SocketAddr, purpose: Purpose, tries: u8, done: Option<Done>) {
        let branch = format!("{MAGIC_COOKIE}{}", random_token());
        self.start_with_branch(draft, to, purpose, tries, done, branch);
    }

    fn start_with_branch(
        &mut self,
        draft: Draft,
        to: SocketAddr,
        purpose: Purpose,
        tries: u8,
        done: Option<Done>,
        branch: String,
    ) {
        let octets = match draft.write(&self.via(&branch)) {
            Ok(request) => request.bytes().clone(),
            Err(error) => return tell(done, Err(error.into())),
        };
        if purpose == Purpose::Invite
            && let Some(call) = &mut self.call
        {
            call.stage = Stage::Out { branch: branch.clone(), provisional: false, cancel: false, rseq: 0 };
            call.cseq = draft.cseq;
        }
        self.send(to, octets.clone());
        let now = Instant::now();
        let again = (self.options.transport == super::Transport::Udp).then_some(now + T1);
        let client = Client {
            to,
            octets,
            purpose,
            again,
            wait: T1,
            give_up: now + GIVE_UP,
            tries,
            done,
            ack: None,
            over: false,
            draft,
        };
        self.clients.insert((branch, client.draft.method.clone()), client);
    }

    pub(super) fn via(&self, branch: &str) -> Via {
        let transport = match self.options.transport {
            super::Transport::Udp => header::Transport::Udp,
            super::Transport::Tcp => header::Transport::Tcp,
            super::Transport::Tls => header::Transport::Tls,
        };
        Via::new(transport, Host::from(self.local.ip()), Some(self.local.port()), branch)
    }

    fn responded(&mut self, response: &Response) {
        let headers = response.headers();
        let branch = headers.top_via().ok().and_then(|via| via.branch());
        let (Some(branch), Ok(cseq)) = (branch, headers.cseq()) else { return };
        let key = (branch.to_string(), cseq.method);
        let Some(client) = self.clients.get_mut(&key) else { return };
        if client.over {
            return self.responded_again(&key, response);
        }
        if response.status().is_provisional() {
            if client.draft.method == Method::Invite {
                client.again = None;
                // Timer C of the far end takes over; a telephone rings for as long as its owner lets it.
                client.give_up = Instant::now() + Duration::from_secs(300);
            }
            if client.purpose == Purpose::Invite {
                self.call_progresses(response);
            }
            return;
        }
        client.over = true;
        client.again = None;
        client.give_up = Instant::now() + GIVE_UP;
        let Some(mut client) = self.clients.remove(&key) else { return };
        if client.draft.method == Method::Invite && !response.status().is_success() {
            client.ack = self.acknowledge_refusal(&client, &key.0, response);
        }
        let retried = self.retry_with_credentials(&mut client, response);
        if !retried {
            self.finished(&mut client, Some(response));
        }
        if client.draft.method == Method::Invite {
            self.clients.insert(key, client);
        }
    }

    /// A copy of a final answer: the ACK was lost.
    fn responded_again(&mut self, key: &(String, Method), response: &Response) {
        if !response.status().is_final() {
            return;
        }
        let refused = self.clients.get(key).and_then(|client| Some((client.to, client.ack.clone()?)));
        let acked = self.call.as_ref().and_then(|call| call.acked.clone());
        let cseq = response.headers().cseq().map(|cseq| cseq.number);
        match (refused, acked) {
            (Some((to, ack)), _) => self.send(to, ack),
            (None, Some((number, to, ack))) if cseq == Ok(number) => self.send(to, ack),
            (None, _) => {}
        }
    }

    /// RFC 3261 section 17.1.1.3: the ACK to a refusal belongs to the transaction of the INVITE.
    fn acknowledge_refusal(&mut self, client: &Client, branch: &str, response: &Response) -> Option<Bytes> {
        let to = response.headers().to().ok()?;
        let draft =
            Draft { method: Method::Ack, to, headers: Vec::new(), body: None, ..client.draft.clone() };
        let ack = draft.write(&self.via(branch)).ok()?.bytes().clone();
        self.send(client.to, ack.clone());
        Some(ack)
    }

    fn retry_with_credentials(&mut self, client: &mut Client, response: &Response) -> bool {
        let (asked, given) = match response.status() {
            StatusCode::UNAUTHORIZED => (Name::WwwAuthenticate, Name::Authorization),
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
            _ => return false,
        };
        let challenge = response.headers().auth(asked).ok().and_then(|values| Challenge::choose(&values));
        let (Some(mut challenge), Some(password)) = (challenge, self.options.password.clone()) else {
            return false;
        };
        // A second challenge means a wrong password, unless only the nonce was old.
        let hopeless = client.tries >= CREDENTIAL_TRIES || (client.tries > 0 && !challenge.stale);
        if hopeless {
            return false;
        }
        let mut draft = client.draft.clone();
        let uri = draft.uri.to_string();
        let value = challenge.answer(&self.options.name, &password, &draft.method, &uri, &random_token());
        draft.set(given, value);
        draft.cseq += 1;
        match (client.purpose, &mut self.call) {
            (Purpose::Register(_), _) => self.registrar.cseq = draft.cseq,
            (_, Some(call)) => call.cseq = draft.cseq,
            (_, None) => {}
        }
        let cancelled = matches!(&self.call, Some(Call { stage: Stage::Out { cancel: true, .. }, .. }));
        if client.purpose == Purpose::Invite && cancelled {
            return false;
        }
        self.start(draft, client.to, client.purpose, client.tries + 1, client.done.take());
        true
    }

    /// A request is over: answered for good, or (without response) never.
    fn finished(&mut self, client: &mut Client, response: Option<&Response>) {
        let status = response.map_or(StatusCode::REQUEST_TIMEOUT, Response::status);
        match client.purpose {
            Purpose::Register(asked) => self.registered(client, asked, response),
            Purpose::Invite => match response {
                Some(response) if status.is_success() => self.call_answered(response),
                Some(response) => {
                    let reason = reason_of(response.headers());
                    self.end(End { by: Side::Them, status: Some(status), reason })
                }
                None => self.end(End { by: Side::Nobody, status: Some(status), reason: None }),
            },
            Purpose::Reinvite(kind) => self.reinvite_answered(client, kind, response),
            Purpose::Bye => self.end(End { by: Side::Us, status: None, reason: None }),
            Purpose::Cancel | Purpose::Prack => {}
        }
    }

    fn registered(&mut self, client: &mut Client, asked: Duration, response: Option<&Response>) {
        let Some(response) = response else { return };
        let status = response.status();
        let headers = response.headers();
        if status == StatusCode::INTERVAL_TOO_BRIEF
            && let Ok(Some(least)) = headers.min_expires()
            && u64::from(least) > asked.as_secs()
        {
            return self.register(Duration::from_secs(least.into()), client.done.take());
        }
        if !status.is_success() {
            self.status.send_modify(|s| s.registration = Registration::Refused(status));
            return tell(client.done.take(), Err(PhoneError::Refused(status)));
        }
        let given = self.expires_given(response).unwrap_or(asked);
        let registration = if asked.is_zero() { Registration::None } else { Registration::For(given) };
        // Well before its end, so that a lost datagram or two do no harm.
        self.registrar.refresh_at = (!asked.is_zero()).then(|| Instant::now() + given / 2);
        self.status.send_modify(|s| s.registration = registration);
        tell(client.done.take(), Ok(()));
    }

    /// How long the registrar keeps us: by our Contact's parameter, or the Expires header (RFC 3261 section 10.2.4).
    fn expires_given(&self, response: &Response) -> Option<Duration> {
        let header::Contacts::List(contacts) = response.headers().contacts().ok()? else { return None };
        let ours = contacts.iter().find(|contact| contact.uri.equivalent(&self.contact.uri));
        let own = ours.and_then(|contact| contact.params.value("expires")?.parse().ok());
        let seconds: u32 = own.or_else(|| response.headers().expires().ok()?)?;
        Some(Duration::from_secs(seconds.into()))
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

impl Client {
    fn is_due(&self, now: Instant) -> bool {
        now >= self.give_up || self.again.is_some_and(|again| now >= again)
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
