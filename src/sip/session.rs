//! One call's life in SIP: from INVITE to BYE.
//!
//! ```text
//!   dial()                                   INVITE came
//!     |                                          |
//!     v   3xx-6xx, timeout, cancelled            v   reject(), CANCEL, BYE
//!  +----------+-------------------> over <--+----------+
//!  | Outgoing |                      ^      | Incoming |
//!  +----------+                      |      +----------+
//!     | 2xx                          |           | accept()
//!     v                              |           v
//!  +-------------------------------------------------+
//!  | Established: ACK, re-INVITE, session timer      |
//!  +-------------------------------------------------+
//!     | hangup(), expiry, no ACK     ^ BYE came
//!     v                              |
//!  +---------+  BYE answered         |
//!  | Leaving |-----------------------+
//!  +---------+
//! ```
//!
//! The user of a session is told of its end exactly once, by [`SessionEvent::Ended`], as soon as the end is certain;
//! what courtesy SIP still owes (a BYE's answer, a CANCEL's 487) happens behind its back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;

use super::dialog::Dialog;
use super::flow::{Destination, Peer, TlsWay, Transport};
use super::header::{MediaType, NameAddr, Reason};
use super::hub::{Hub, Question};
use super::layer::ClientId;
use super::login::Credentials;
use super::manners::Manners;
use super::message::{Headers, Response, StatusCode};
use super::refer::Asked;
use super::text::Text;
use super::uri::{Host, Uri};
use established::{Established, Leaving};
use incoming::Incoming;
use outgoing::Outgoing;

pub(super) use established::too_brief;
pub(super) use incoming::supported;

mod established;
mod incoming;
mod outgoing;

/// A session, counted; a number is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// What a session tells.
#[derive(Debug, Clone)]
pub enum SessionEvent {
    /// Our INVITE was answered provisionally (101 to 199). With `sdp` there may be early media. `fork` tells the branches
    /// of a forked call apart: equal tags, equal far end.
    Provisional {
        /// The status, 180 for ringing.
        status: u16,
        /// A session description, early media.
        sdp: Option<Bytes>,
        /// It came reliably (RFC 3262) and was acknowledged with PRACK.
        reliable: bool,
        /// The far end's tag.
        fork: Text,
    },
    /// Our INVITE was accepted. With `is_answer` the description answers our offer (none when a provisional response of this
    /// fork had brought it already: that one holds) and the ACK has been sent. Without, it is an offer, and
    /// [`acknowledge`](super::endpoint::Endpoint::acknowledge) must bring the answer.
    Answered {
        /// The description of the far end.
        sdp: Option<Bytes>,
        /// Answer or offer.
        is_answer: bool,
        /// The far end's tag, the same as that of the provisional responses of this fork.
        fork: Text,
        /// Whether it says that a mailbox has taken the call.
        voicemail: bool,
    },
    /// The call we accepted, or the re-INVITE we answered, was acknowledged. `sdp` is the far end's answer when
    /// the offer was ours.
    Acked {
        /// The answer to our offer.
        sdp: Option<Bytes>,
    },
    /// The peer wants to change the session. [`answer_reinvite`](super::endpoint::Endpoint::answer_reinvite) must
    /// follow; without an `offer`, the answer brings ours.
    Reinvited {
        /// The peer's offer.
        offer: Option<Bytes>,
    },
    /// Our re-INVITE was accepted. When it held no offer, `sdp` is the peer's offer (`is_answer` false) and
    /// [`acknowledge`](super::endpoint::Endpoint::acknowledge) must bring the answer.
    ReinviteAnswered {
        /// The description of the far end.
        sdp: Option<Bytes>,
        /// Answer or offer.
        is_answer: bool,
    },
    /// Our re-INVITE was refused; the session goes on as it was.
    ReinviteFailed {
        /// The status; 408 when no answer came.
        status: u16,
    },
    /// The peer asks that whom it talks with be connected elsewhere (RFC 3515). It has been told that we shall try;
    /// [`referral`](super::endpoint::Endpoint::referral) must tell it what becomes of it.
    Referred(Asked),
    /// The session is over. Nothing follows.
    Ended(Ended),
}

/// Why a session ended, and by whom.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Who ended it.
    pub by: By,
    /// In what way.
    pub how: How,
    /// The final status of the INVITE, if one came or was sent.
    pub status: Option<u16>,
    /// Reason headers of the message that ended it (RFC 3326).
    pub reasons: Vec<Reason>,
    /// Contacts of a 3xx, in order. They are reported, never called.
    pub contacts: Vec<NameAddr>,
    /// Retry-After of the refusal.
    pub retry_after: Option<Duration>,
    /// Texts of Warning headers of the message that ended it (RFC 3261 section 20.43).
    pub warnings: Vec<Text>,
}

impl Ended {
    fn new(by: By, how: How) -> Ended {
        Ended {
            by,
            how,
            status: None,
            reasons: Vec::new(),
            contacts: Vec::new(),
            retry_after: None,
            warnings: Vec::new(),
        }
    }

    fn with_status(mut self, status: u16) -> Ended {
        self.status = Some(status);
        self
    }

    fn with_reasons(mut self, headers: &Headers) -> Ended {
        self.reasons = headers.reasons().unwrap_or_default();
        self.reasons.truncate(MAX_REASONS);
        self.warnings =
            headers.list(super::header::Name::Warning).filter_map(Text::new).take(MAX_REASONS).collect();
        self
    }

    /// The Q.850 cause, when a Reason gave one.
    pub fn q850(&self) -> Option<u32> {
        self.reasons.iter().find(|r| r.protocol.eq_ignore_ascii_case("Q.850")).and_then(|r| r.cause)
    }
}

/// Most Reason values that are reported. One per protocol makes sense, and there are three protocols.
const MAX_REASONS: usize = 8;

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A command of ours, or a rule of ours.
    Us,
    /// The far end.
    Peer,
    /// Nobody answered, or the way was broken.
    Network,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The INVITE was refused (3xx to 6xx): see the status.
    Refused,
    /// The INVITE was cancelled before it was answered.
    Cancelled,
    /// An established call was hung up.
    Bye,
    /// No final answer to the INVITE came in time.
    NoAnswer,
    /// We accepted, and no ACK came for 32 s.
    NoAck,
    /// Our reliable provisional response was not acknowledged for 32 s.
    NoPrack,
    /// The session timer (RFC 4028) ran out.
    Expired,
    /// The transport could not deliver.
    Unreachable,
    /// The peer no longer knows the dialog (408 or 481 inside it).
    Lost,
    /// A message could not be understood or written.
    Broken,
}

/// RFC 4028: keep a session only while it is refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimers {
    /// The interval we ask for, in seconds. RFC 4028 recommends 1800.
    pub interval: u32,
    /// The shortest interval we agree to, in seconds; at least 90.
    pub min: u32,
}

/// Provisional responses that cannot get lost (RFC 3262).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reliable {
    /// Not offered.
    No,
    /// Offered in Supported; used when the other side wants it.
    #[default]
    Supported,
    /// Demanded by Require.
    Required,
}

/// How the address of requests inside a dialog is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NextHop {
    /// From the first Route or the peer's Contact, as RFC 3261 says. A name that is no address is not looked up: the
    /// request goes where the first one went.
    #[default]
    Follow,
    /// Where the first request went or came from: for phones behind NAT, whose Contact cannot be reached.
    Pinned,
    /// The first Route alone, whose name is looked up; without one, where the first request went or came from. For
    /// Microsoft, at whose Contact nobody listens.
    ByRoute,
}

/// A call to place.
#[derive(Debug, Clone)]
pub struct Dial {
    /// The Request-URI, and To unless that is given.
    pub target: Uri,
    /// Where the INVITE goes.
    pub destination: Destination,
    /// Where later requests go.
    pub next_hop: NextHop,
    /// Our From, without tag; display name as wanted.
    pub from: NameAddr,
    /// To when it is not the target.
    pub to: Option<NameAddr>,
    /// A pre-loaded route set, topmost first.
    pub routes: Vec<NameAddr>,
    /// Our offer; without one the callee makes it.
    pub offer: Option<Bytes>,
    /// Further header lines of the INVITE: name, value.
    pub headers: Vec<(String, Bytes)>,
    /// Whether provisional responses shall be reliable. Ignored without an offer: then none are asked for,
    /// because a reliable provisional response would have to bring the offer.
    pub reliable: Reliable,
    /// Session timer to ask for.
    pub timers: Option<SessionTimers>,
    /// Name and password for a peer that asks for them. Without, a 401 or 407 ends the call.
    pub credentials: Option<Credentials>,
    /// How long the other side may say nothing at all before the call is given up: shorter than a transaction's
    /// 32 s where there is another destination to try.
    pub patience: Option<Duration>,
    /// How many more gateways and proxies the call may pass: Max-Forwards.
    pub hops: u8,
    /// How the peer is spoken to.
    pub manners: Arc<Manners>,
}

/// A refusal of a call: its status and what goes with it.
#[derive(Debug, Clone, Default)]
pub struct Refusal {
    /// 300 to 699.
    pub status: u16,
    /// Values of Reason headers, `Q.850;cause=17` for example.
    pub reasons: Vec<String>,
    /// Retry-After in whole seconds.
    pub retry_after: Option<Duration>,
    /// Further header lines: name, value (WWW-Authenticate of a 401).
    pub headers: Vec<(String, Bytes)>,
}

impl Refusal {
    /// A refusal with nothing but a status.
    pub fn new(status: u16) -> Refusal {
        Refusal { status, ..Refusal::default() }
    }
}

/// The timers of a session, beside those of its transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ring {
    /// Outgoing: the other side has not said a word.
    NothingHeard,
    /// Outgoing: the callee has rung long enough. Incoming: nobody here has answered.
    RungTooLong,
    /// Outgoing: no final answer followed our CANCEL.
    CancelIgnored,
    /// Incoming: the caller has not been told yet that anything happens.
    NothingSaid,
    /// Incoming: say 18x again, so that proxies on the way stay patient.
    StillRinging,
    /// Incoming: the reliable provisional response was not acknowledged yet.
    RepeatReliable,
    /// Incoming: it never was.
    NoPrack,
    /// Established: our 2xx was not acknowledged yet.
    RepeatSuccess,
    /// Established: it never was.
    NoAck,
    /// Established: glare is over, try the re-INVITE again.
    Retry,
    /// Established: refresh the session.
    Refresh,
    /// Established: nobody refreshed the session.
    Expire,
}

/// What becomes of a session after a step.
#[derive(Debug)]
enum Next {
    Stay,
    Become(Box<State>),
    Over,
}

#[derive(Debug)]
enum State {
    Outgoing(Outgoing),
    Incoming(Incoming),
    Established(Established),
    Leaving(Leaving),
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    common: Common,
    state: Box<State>,
}

/// What a session has in every state.
#[derive(Debug)]
struct Common {
    id: SessionId,
    /// Our tag, as the number that finds the session.
    tag: u64,
    rings: SmallVec<[(Ring, Instant); 3]>,
    ended: bool,
    manners: Arc<Manners>,
}

/// Why a command could not be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The session ended, or never was.
    #[error("no such session")]
    NoSession,
    /// The session is not in a state in which this can be done.
    #[error("not possible in this state of the session")]
    WrongState,
    /// A limit of the endpoint was reached.
    #[error("limit reached")]
    Limit,
    /// What was given does not make a message.
    #[error("cannot be written as a message")]
    Unwritable,
}

impl Session {
    pub(super) fn dial(
        hub: &mut Hub,
        now: Instant,
        id: SessionId,
        dial: Dial,
    ) -> Result<Session, CommandError> {
        let mut common = Common::new(hub, id, dial.manners.clone());
        match Outgoing::new(&mut common, hub, now, dial) {
            Some(outgoing) => Ok(Session { common, state: Box::new(State::Outgoing(outgoing)) }),
            None => {
                hub.tags.remove(&common.tag);
                Err(CommandError::Unwritable)
            }
        }
    }

    /// `None` when the INVITE cannot make a dialog; it has been refused then.
    pub(super) fn invited(hub: &mut Hub, now: Instant, id: SessionId, question: Question) -> Option<Session> {
        let mut common = Common::new(hub, id, Manners::plain());
        match Incoming::new(&mut common, hub, now, question) {
            Some(incoming) => Some(Session { common, state: Box::new(State::Incoming(incoming)) }),
            None => {
                hub.tags.remove(&common.tag);
                None
            }
        }
    }

    /// Our tag.
    pub(super) fn tag(&self) -> String {
        self.common.tag_text()
    }

    /// Forgets what the hub knows of this session.
    pub(super) fn bury(&self, hub: &mut Hub) {
        hub.tags.remove(&self.common.tag);
        let refers = match &*self.state {
            State::Established(state) => state.has_referral(),
            State::Leaving(state) => state.was.has_referral(),
            State::Outgoing(_) | State::Incoming(_) => false,
        };
        hub.referrals = hub.referrals.saturating_sub(usize::from(refers));
    }

    /// From now on the peer is spoken to like this.
    pub(super) fn set_manners(&mut self, hub: &mut Hub, now: Instant, manners: Arc<Manners>) {
        if let State::Incoming(state) = &mut *self.state {
            state.come_by_route(&manners);
            if let Some(within) = manners.alert_within {
                self.common.set(hub, Ring::NothingSaid, now + within);
            }
        }
        self.common.manners = manners;
    }

    /// The Call-ID and the peer's Contact, once there is a dialog.
    pub(super) fn dialog(&self) -> Option<&Dialog> {
        match &*self.state {
            State::Outgoing(_) => None,
            State::Incoming(state) => Some(&state.dialog),
            State::Established(state) => Some(&state.dialog),
            State::Leaving(state) => Some(&state.was.dialog),
        }
    }

    /// The first Route, where requests go there and nowhere else.
    pub(super) fn way_back(&self) -> Option<(Host, u16, Transport)> {
        let (dialog, way) = match &*self.state {
            State::Outgoing(_) => return None,
            State::Incoming(state) => (&state.dialog, &state.way),
            State::Established(state) => (&state.dialog, &state.way),
            State::Leaving(state) => (&state.was.dialog, &state.was.way),
        };
        if way.next_hop != NextHop::ByRoute {
            return None;
        }
        let route = dialog.first_route()?;
        Some((route.host()?, route.port().unwrap_or(way.flow.transport.default_port()), way.flow.transport))
    }

    /// Whether the session is over for its user.
    pub(super) fn is_over(&self) -> bool {
        self.common.ended
    }

    /// Whether the call is up: answered, and not ended.
    pub(super) fn is_confirmed(&self) -> bool {
        matches!(*self.state, State::Established(_)) && !self.common.ended
    }

    /// True when the timer is still set for this moment.
    pub(super) fn is_due(&self, ring: Ring, at: Instant) -> bool {
        self.common.rings.contains(&(ring, at))
    }

    // --- from the wire. Each is true when the session is over and can be forgotten.

    /// A response to a request of this session.
    pub(super) fn on_response(
        &mut self,
        hub: &mut Hub,
        now: Instant,
        id: ClientId,
        response: &Response,
    ) -> bool {
        let common = &mut self.common;
        let next = match &mut *self.state {
            State::Outgoing(state) => state.on_response(common, hub, now, id, response),
            State::Incoming(_) => Next::Stay,
            State::Established(state) => state.on_response(common, hub, now, id, response),
            State::Leaving(state) => state.on_response(common, hub, now, id, response),
        };
        self.take(next)
    }

    /// A request of this session got no answer, or did not get through.
    pub(super) fn on_silence(&mut self, hub: &mut Hub, now: Instant, id: ClientId, how: How) -> bool {
        let common = &mut self.common;
        let next = match &mut *self.state {
            State::Outgoing(state) => state.on_silence(common, hub, now, id, how),
            State::Incoming(_) => Next::Stay,
            State::Established(state) => state.on_silence(common, hub, now, id, how),
            State::Leaving(state) => state.on_silence(id),
        };
        self.take(next)
    }

    /// A request inside the dialog, ACK and CANCEL excepted. Its transaction is open.
    pub(super) fn on_request(&mut self, hub: &mut Hub, now: Instant, question: Question) -> bool {
        let common = &mut self.common;
        let next = match &mut *self.state {
            State::Outgoing(state) => state.on_request(common, hub, now, question),
            State::Incoming(state) => state.on_request(common, hub, now, question),
            State::Established(state) => state.on_request(common, hub, now, question),
            State::Leaving(state) => state.on_request(common, hub, now, question),
        };
        self.take(next)
    }

    /// Whether a message with this Call-ID and remote tag is of this session's dialog.
    pub(super) fn has_dialog(&self, call_id: &str, remote_tag: &str) -> bool {
        match &*self.state {
            State::Outgoing(state) => state.has_dialog(call_id, remote_tag),
            State::Incoming(state) => state.dialog.is_of(call_id, remote_tag),
            State::Established(state) => state.dialog.is_of(call_id, remote_tag),
            State::Leaving(state) => state.was.dialog.is_of(call_id, remote_tag),
        }
    }

    /// Where the first request went or came from, or whoever showed up since.
    pub(super) fn flow(&self) -> &Destination {
        match &*self.state {
            State::Outgoing(state) => state.flow(),
            State::Incoming(state) => state.flow(),
            State::Established(state) => state.flow(),
            State::Leaving(state) => state.was.flow(),
        }
    }

    /// As whom and to whom another TLS connection is opened for a call that came in: the caller is known now.
    pub(super) fn reopened_by(&mut self, hub: &mut Hub, tls: TlsWay) {
        if let State::Incoming(state) = &mut *self.state {
            state.reopened_by(hub, tls);
        }
    }

    /// The ACK to a 2xx of ours.
    pub(super) fn on_ack(&mut self, hub: &mut Hub, now: Instant, headers: &Headers, body: &Bytes) -> bool {
        let next = match &mut *self.state {
            State::Established(state) => state.on_ack(&mut self.common, hub, now, headers, body),
            State::Leaving(state) => state.on_ack(&mut self.common, hub, now, headers),
            State::Outgoing(_) | State::Incoming(_) => Next::Stay,
        };
        self.take(next)
    }

    /// The INVITE was cancelled by the caller.
    pub(super) fn on_cancel(&mut self, hub: &mut Hub, now: Instant, cancel: &Headers) -> bool {
        let common = &mut self.common;
        let next = match &mut *self.state {
            State::Incoming(state) => state.on_cancel(common, hub, now, cancel),
            State::Established(state) => state.on_cancel(common, hub, now),
            // RFC 3261 section 9.2: once the final response is sent, a CANCEL changes nothing.
            State::Outgoing(_) | State::Leaving(_) => Next::Stay,
        };
        self.take(next)
    }

    /// A timer of this session.
    pub(super) fn on_ring(&mut self, hub: &mut Hub, now: Instant, ring: Ring) -> bool {
        let common = &mut self.common;
        common.stop(ring);
        let next = match &mut *self.state {
            State::Outgoing(state) => state.on_ring(common, hub, now, ring),
            State::Incoming(state) => state.on_ring(common, hub, now, ring),
            State::Established(state) => state.on_ring(common, hub, now, ring),
            State::Leaving(state) => state.on_ring(common, hub, now, ring),
        };
        self.take(next)
    }

    // --- commands

    pub(super) fn progress(
        &mut self,
        hub: &mut Hub,
        now: Instant,
        status: u16,
        sdp: Option<Bytes>,
        reliable: bool,
    ) -> Result<(), CommandError> {
        match &mut *self.state {
            State::Incoming(state) => state.progress(&mut self.common, hub, now, status, sdp, reliable),
            _ => Err(CommandError::WrongState),
        }
    }

    pub(super) fn accept(&mut self, hub: &mut Hub, now: Instant, sdp: Bytes) -> Result<(), CommandError> {
        let next = match &mut *self.state {
            State::Incoming(state) => state.accept(&mut self.common, hub, now, sdp)?,
            _ => return Err(CommandError::WrongState),
        };
        self.take(next);
        Ok(())
    }

    pub(super) fn reject(
        &mut self,
        hub: &mut Hub,
        now: Instant,
        refusal: &Refusal,
    ) -> Result<bool, CommandError> {
        let next = match &mut *self.state {
            State::Incoming(state) => state.reject(&mut self.common, hub, now, refusal)?,
            _ => return Err(CommandError::WrongState),
        };
        Ok(self.take(next))
    }

    pub(super) fn hang_up(
        &mut self,
        hub: &mut Hub,
        now: Instant,
        reasons: &[String],
    ) -> Result<bool, CommandError> {
        let common = &mut self.common;
        let next = match &mut *self.state {
            State::Outgoing(state) => state.hang_up(common, hub, now, reasons),
            State::Incoming(state) => {
                let refusal = Refusal { reasons: reasons.to_vec(), ..Refusal::new(480) };
                state.reject(common, hub, now, &refusal)?
            }
            State::Established(state) => state.leave(common, hub, now, reasons, Ended::new(By::Us, How::Bye)),
            State::Leaving(_) => return Err(CommandError::NoSession),
        };
        Ok(self.take(next))
    }

    pub(super) fn reinvite(
        &mut self,
        hub: &mut Hub,
        now: Instant,
        offer: Option<Bytes>,
    ) -> Result<(), CommandError> {
        match &mut *self.state {
            State::Established(state) => {
                state.reinvite(&mut self.common, hub, now, offer);
                Ok(())
            }
            _ => Err(CommandError::WrongState),
        }
    }

    pub(super) fn answer_reinvite(
        &mut self,
        hub: &mut Hub,
        now: Instant,
        answer: Result<Bytes, u16>,
    ) -> Result<(), CommandError> {
        match &mut *self.state {
            State::Established(state) => state.answer_reinvite(&mut self.common, hub, now, answer),
            _ => Err(CommandError::WrongState),
        }
    }

    pub(super) fn referral(
        &mut self,
        hub: &mut Hub,
        now: Instant,
        status: StatusCode,
    ) -> Result<(), CommandError> {
        match &mut *self.state {
            State::Established(state) => state.referral(&self.common, hub, now, status),
            _ => Err(CommandError::WrongState),
        }
    }

    pub(super) fn acknowledge(
        &mut self,
        hub: &mut Hub,
        now: Instant,
        sdp: Bytes,
    ) -> Result<(), CommandError> {
        match &mut *self.state {
            State::Established(state) => state.acknowledge(&mut self.common, hub, now, sdp),
            _ => Err(CommandError::WrongState),
        }
    }

    fn take(&mut self, next: Next) -> bool {
        match next {
            Next::Stay => false,
            Next::Become(state) => {
                self.state = state;
                false
            }
            Next::Over => true,
        }
    }
}

impl Common {
    fn new(hub: &mut Hub, id: SessionId, manners: Arc<Manners>) -> Common {
        Common { id, tag: hub.tag(id), rings: SmallVec::new(), ended: false, manners }
    }

    fn tag_text(&self) -> String {
        format!("{:016x}", self.tag)
    }

    /// The session timers that are kept with this peer.
    fn timers(&self, hub: &Hub) -> Option<SessionTimers> {
        self.manners.timers.or(hub.config.session_timers)
    }

    /// What we support towards this peer.
    fn supported(&self, timers: Option<SessionTimers>) -> &'static str {
        self.manners.supported.unwrap_or_else(|| supported(timers))
    }

    fn set(&mut self, hub: &mut Hub, ring: Ring, at: Instant) {
        self.stop(ring);
        self.rings.push((ring, at));
        hub.alarms.set(at, (self.id, ring));
    }

    fn stop(&mut self, ring: Ring) {
        self.rings.retain(|(kind, _)| *kind != ring);
    }

    fn tell(&mut self, hub: &mut Hub, event: SessionEvent) {
        if !self.ended {
            hub.tell(self.id, event);
        }
    }

    fn end(&mut self, hub: &mut Hub, ended: Ended) {
        self.tell(hub, SessionEvent::Ended(ended));
        self.ended = true;
    }
}

/// The way requests inside a dialog go.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// Where the first request went to or came from.
    flow: Destination,
    next_hop: NextHop,
}

impl Way {
    /// A request inside the dialog came by another way than before: a phone whose connection broke and was made anew,
    /// or whose NAT gave it another port. Whoever knows both tags and the Call-ID is the peer.
    fn heard_from(&mut self, peer: Peer) {
        let by_flow = self.next_hop == NextHop::Pinned || self.flow.connection.is_some();
        if by_flow && peer.transport == self.flow.transport {
            let listens = Some(self.flow.remote.port());
            // The dialog knows whose it is; of a connection that came to us only a guess is known.
            self.flow = Destination { tls: self.flow.tls.or(peer.tls), ..Destination::back(peer, listens) };
        }
    }

    /// RFC 3261 section 12.2.1.1: the address of the first route or of the target, when it is one.
    fn to(&self, hub: &Hub, now: Instant, dialog: &Dialog) -> Destination {
        match self.next_hop {
            NextHop::Pinned => self.flow,
            NextHop::Follow => self.follow(dialog.next_hop()),
            NextHop::ByRoute => {
                dialog.first_route().and_then(|route| self.by_route(hub, now, route)).unwrap_or(self.flow)
            }
        }
    }

    /// The address behind the name of a route. `None` while nobody knows it.
    fn by_route(&self, hub: &Hub, now: Instant, route: &Uri) -> Option<Destination> {
        let (host, transport) = (route.host()?, self.flow.transport);
        // A port that is named for another transport is none where TLS is spoken.
        let named = route.transport().and_then(Transport::from_param);
        let elsewhere = transport.is_secure() && named.is_some_and(|named| named != transport);
        let port = route.port().filter(|_| !elsewhere).unwrap_or(transport.default_port());
        let remote = match host.ip() {
            Some(ip) => std::net::SocketAddr::new(ip, port),
            None => hub.resolver.0.as_ref()?(now, &host, port, transport)?,
        };
        if self.flow.connection.is_some() && self.flow.remote == remote {
            return Some(self.flow);
        }
        Some(Destination { remote, local: None, connection: None, ..self.flow })
    }

    fn follow(&self, uri: &Uri) -> Destination {
        let Some(host) = uri.host() else { return self.flow };
        let Some(ip) = Host::ip(&host) else { return self.flow };
        // A stream to the same machine is already open; its far port is the caller's, not the one it listens on.
        if self.flow.connection.is_some() && self.flow.remote.ip() == ip {
            return self.flow;
        }
        let named = uri.transport().and_then(Transport::from_param);
        let (transport, port) = match (self.flow.transport, named) {
            // What began in secret goes on in secret, whatever a Contact or a Route says (in the spirit of RFC 3261
            // section 26.2). A port that is named for another transport is none where TLS is spoken.
            (secure, Some(other)) if secure.is_secure() && other != secure => {
                (secure, (self.flow.remote.ip() == ip).then_some(self.flow.remote.port()))
            }
            // A call in clear does not know whose certificate to believe: it goes on in clear.
            (clear, Some(Transport::Tls)) if self.flow.tls.is_none() && !clear.is_secure() => {
                return self.flow;
            }
            (flow, named) => (named.unwrap_or(flow), uri.port()),
        };
        let remote = std::net::SocketAddr::new(ip, port.unwrap_or(transport.default_port()));
        let same = transport == self.flow.transport;
        Destination {
            transport,
            remote,
            local: self.flow.local.filter(|_| same),
            connection: None,
            tls: self.flow.tls,
        }
    }
}

/// The session description of a message: its body, or that part of a multipart body (SIP-I carries ISUP beside it).
/// `Err` when there is a body that says it must be understood and cannot be.
pub(super) fn sdp_of(headers: &Headers, body: &Bytes) -> Result<Option<Bytes>, UnknownBody> {
    if body.is_empty() {
        return Ok(None);
    }
    let Ok(Some(kind)) = headers.content_type() else { return Err(UnknownBody) };
    if kind.is_sdp() {
        return Ok(Some(Bytes::copy_from_slice(body)));
    }
    if kind.kind.eq_ignore_ascii_case("multipart") {
        return sdp_part(&kind, body);
    }
    let disposition = headers.get(super::header::Name::ContentDisposition).unwrap_or_default();
    if handling_is_optional(&disposition) { Ok(None) } else { Err(UnknownBody) }
}

/// A body that must be understood and is not: answered 415.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnknownBody;

/// Most parts looked at in a multipart body. SIP-I has two, PIDF-LO calls three.
const MAX_PARTS: usize = 16;

/// RFC 2046 section 5.1.1, and two quotes. It also bounds the search.
const MAX_BOUNDARY: usize = 72;

fn sdp_part(kind: &MediaType, body: &Bytes) -> Result<Option<Bytes>, UnknownBody> {
    let boundary = kind.params.value("boundary").filter(|b| b.len() <= MAX_BOUNDARY).ok_or(UnknownBody)?;
    let mut marker = b"--".to_vec();
    marker.extend_from_slice(boundary.as_str().trim_matches('"').as_bytes());
    let mut rest = &body[..];
    let find = |hay: &[u8], needle: &[u8]| hay.windows(needle.len().max(1)).position(|w| w == needle);
    let Some(first) = find(rest, &marker) else { return Err(UnknownBody) };
    rest = &rest[first + marker.len()..];
    for _ in 0..MAX_PARTS {
        let Some(end) = find(rest, &marker) else { break };
        let part = &rest[..end];
        if let Some(gap) = find(part, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&part[..gap]).to_ascii_lowercase();
            let is_sdp = head.lines().any(|line| {
                line.strip_prefix("content-type")
                    .and_then(|line| line.trim_start().strip_prefix(':'))
                    .is_some_and(|value| value.trim_start().starts_with("application/sdp"))
            });
            if is_sdp {
                let text = &part[gap + 4..];
                // The line end in front of a boundary belongs to the boundary (RFC 2046 section 5.1.1).
                let text = text.strip_suffix(b"\r\n").unwrap_or(text);
                return Ok(Some(Bytes::copy_from_slice(text)));
            }
        }
        rest = &rest[end + marker.len()..];
    }
    Ok(None)
}

fn handling_is_optional(disposition: &[u8]) -> bool {
    String::from_utf8_lossy(disposition).to_ascii_lowercase().replace(' ', "").contains("handling=optional")
}
