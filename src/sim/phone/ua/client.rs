//! Requests of ours: sent, sent again, answered, and given up.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::time::{Duration, Instant};

use super::{GIVE_UP, T1, T2, Ua};
use crate::sim::phone::dialog::{Call, Draft, Stage, tell};
use crate::sim::phone::ring::reason_of;
use crate::sim::phone::{Done, End, PhoneError, Side};
use crate::sim::random_token;
use crate::sip::digest::Challenge;
use crate::sip::header::{self, MAGIC_COOKIE, Via};
use crate::sip::message::{Method, Name, Response, StatusCode};
use crate::sip::uri::Host;

/// How often a request goes out with credentials: once, and once more for a nonce that got old.
const CREDENTIAL_TRIES: u8 = 2;

/// A request of ours and what became of it.
pub(super) struct Client {
    pub(super) draft: Draft,
    pub(super) to: SocketAddr,
    octets: Bytes,
    purpose: Purpose,
    /// When to send it again; none over TCP and once it was answered.
    pub(super) again: Option<Instant>,
    wait: Duration,
    pub(super) give_up: Instant,
    tries: u8,
    pub(super) done: Option<Done>,
    /// The ACK to the final answer that refused it.
    ack: Option<Bytes>,
    over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Purpose {
    Register(Duration),
    Invite,
    Reinvite(ReinviteKind),
    Bye,
    Cancel,
    Prack,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ReinviteKind {
    Offer(crate::sip::sdp::Direction),
    WithoutOffer,
}

impl Ua {
    pub(super) fn client_due(&mut self, key: &(String, Method), now: Instant) {
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

    pub(super) fn start(
        &mut self,
        draft: Draft,
        to: SocketAddr,
        purpose: Purpose,
        tries: u8,
        done: Option<Done>,
    ) {
        let branch = format!("{MAGIC_COOKIE}{}", random_token());
        self.start_with_branch(draft, to, purpose, tries, done, branch);
    }

    pub(super) fn start_with_branch(
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
        let again = (self.options.transport == crate::sim::phone::Transport::Udp).then_some(now + T1);
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

    pub(in crate::sim::phone) fn via(&self, branch: &str) -> Via {
        let transport = match self.options.transport {
            crate::sim::phone::Transport::Udp => header::Transport::Udp,
            crate::sim::phone::Transport::Tcp => header::Transport::Tcp,
            crate::sim::phone::Transport::Tls => header::Transport::Tls,
        };
        Via::new(transport, Host::from(self.local.ip()), Some(self.local.port()), branch)
    }

    pub(super) fn responded(&mut self, response: &Response) {
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
}

impl Client {
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.give_up || self.again.is_some_and(|again| now >= again)
    }
}
