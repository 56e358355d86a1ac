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
use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

use super::dialog::Dialog;
use super::flow::{Destination, TlsWay, Transport};
use super::hub::{Hub, Question};
use super::layer::ClientId;
use super::manners::Manners;
use super::message::{Headers, Response, StatusCode};
use super::uri::Host;
use established::{Established, Leaving};
use incoming::Incoming;
use outgoing::Outgoing;

mod body;
mod command;
mod established;
mod event;
mod incoming;
mod outgoing;
mod way;

pub(super) use body::{UnknownBody, sdp_of};
pub use command::{CommandError, Dial, NextHop, Refusal, Reliable, SessionTimers};
pub(super) use established::too_brief;
pub use event::{By, Ended, How, SessionEvent};
pub(super) use incoming::supported;
use way::Way;

/// A session, counted; a number is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

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
