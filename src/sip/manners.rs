//! How one peer is spoken to: what we say of ourselves in a session, and what we take from it there.
//!
//! A session asks this and nothing else of the peer it has to do with. Whoever knows the trunk fills it in: for Microsoft
//! that is [`teams`](super::teams).

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;

use super::build::{RequestBuilder, ResponseBuilder};
use super::endpoint::ALLOW;
use super::header::{Method, Name};
use super::session::SessionTimers;
use super::uri::Host;

/// What a peer may send that may transfer.
const ALLOW_REFER: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, REFER, NOTIFY";

/// The manners of a session. The default is plain RFC 3261 with PRACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manners {
    /// The name and port that we go by, in Contact and Via; `None` is what the endpoint is reached at.
    pub name: Option<(Host, u16)>,
    /// The user part of our Contact; `None` is the endpoint's.
    pub contact_user: Option<String>,
    /// Allow: also what is taken from the peer. Without REFER in it, nobody it talks with is connected elsewhere.
    pub allow: &'static str,
    /// Supported, whole; `None` lists what is in use.
    pub supported: Option<&'static str>,
    /// Whether provisional responses may be reliable (RFC 3262).
    pub prack: bool,
    /// Whether requests inside a dialog go to the first Route and nowhere else ([`NextHop::ByRoute`](super::session::NextHop)).
    pub by_route: bool,
    /// Whether the peer may take a dialog over (Replaces, RFC 3891).
    pub replaces: bool,
    /// Session timers for calls of this peer; `None` is the endpoint's.
    pub timers: Option<SessionTimers>,
    /// The longest that a call of this peer's may go without being told that anything happens.
    pub alert_within: Option<Duration>,
    /// Whether a call of ours says that we refresh (RFC 4028 section 7.1).
    pub we_refresh: bool,
    /// Further header lines in every INVITE, and in every answer that establishes something.
    pub headers: Vec<(&'static str, Bytes)>,
}

impl Default for Manners {
    fn default() -> Self {
        Manners {
            name: None,
            contact_user: None,
            allow: ALLOW,
            supported: None,
            prack: true,
            by_route: false,
            replaces: false,
            timers: None,
            alert_within: None,
            we_refresh: false,
            headers: Vec::new(),
        }
    }
}

impl Manners {
    /// Those of a peer about whom nothing is known.
    pub fn plain() -> Arc<Manners> {
        static PLAIN: LazyLock<Arc<Manners>> = LazyLock::new(Arc::default);
        PLAIN.clone()
    }

    /// Those towards a trunk that may transfer by REFER and Replaces.
    pub fn referring() -> Manners {
        let supported = Some("100rel, timer, replaces");
        Manners { allow: ALLOW_REFER, supported, replaces: true, ..Manners::default() }
    }

    /// Those towards a telephone of our people: its button may transfer.
    pub fn of_our_people() -> Arc<Manners> {
        static OURS: LazyLock<Arc<Manners>> =
            LazyLock::new(|| Arc::new(Manners { allow: ALLOW_REFER, ..Manners::default() }));
        OURS.clone()
    }

    /// Whether the peer was told that it may send this.
    pub(super) fn takes(&self, method: &Method) -> bool {
        self.allow.split(", ").any(|allowed| allowed == method.as_str())
    }

    /// Adds what we always say of ourselves: Allow, and the peer's own headers.
    pub(super) fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.header(Name::Allow, self.allow);
        self.headers.iter().fold(request, |request, (name, value)| request.named(name, value))
    }

    /// The same in an answer.
    pub(super) fn sign_response(&self, response: ResponseBuilder) -> ResponseBuilder {
        let response = response.header(Name::Allow, self.allow);
        self.headers.iter().fold(response, |response, (name, value)| response.named(name, value))
    }
}
