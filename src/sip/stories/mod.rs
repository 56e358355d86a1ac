//! Stories of two user agents on a virtual wire, in virtual time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::endpoint::{Endpoint, EndpointConfig, Incoming, OptionsId, OptionsOutcome, Output};
use super::flow::{ConnectionId, Destination, Peer, Transport};
use super::header::NameAddr;
use super::register::Change;
use super::session::{Dial, Ended, NextHop, Reliable, SessionEvent, SessionId};
use super::uri::Uri;

mod calls;

pub(super) const OFFER: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";
pub(super) const ANSWER: &str =
    "v=0\r\no=- 2 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 5000 RTP/AVP 8\r\n";

pub(super) fn sdp(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) fn uri(text: &str) -> Uri {
    Uri::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

/// Which end of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Alice,
    Bob,
}

use End::{Alice, Bob};

impl End {
    pub(super) fn other(self) -> End {
        match self {
            Alice => Bob,
            Bob => Alice,
        }
    }

    pub(super) fn address(self) -> SocketAddr {
        match self {
            Alice => "192.0.2.1:5060".parse().unwrap(),
            Bob => "192.0.2.2:5060".parse().unwrap(),
        }
    }
}

/// A message on its way.
#[derive(Debug, Clone)]
pub(super) struct Flying {
    pub(super) from: End,
    pub(super) bytes: Bytes,
}

impl Flying {
    pub(super) fn first_line(&self) -> String {
        text(&self.bytes).lines().next().unwrap_or_default().to_owned()
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Two endpoints, the wire between them, and everything they said.
pub(super) struct Wire {
    pub(super) now: Instant,
    pub(super) alice: Endpoint,
    pub(super) bob: Endpoint,
    pub(super) transport: Transport,
    /// Messages sent and not delivered yet.
    pub(super) flying: VecDeque<Flying>,
    /// First lines of everything sent.
    pub(super) log: Vec<(End, String)>,
    pub(super) sent: Vec<Flying>,
    pub(super) incoming: Vec<(End, Incoming)>,
    pub(super) events: Vec<(End, SessionId, SessionEvent)>,
    pub(super) registered: Vec<Change>,
    pub(super) outcomes: Vec<(OptionsId, OptionsOutcome)>,
}

impl Wire {
    pub(super) fn new(transport: Transport) -> Wire {
        Wire::with(transport, EndpointConfig::default(), EndpointConfig::default())
    }

    pub(super) fn with(transport: Transport, alice: EndpointConfig, bob: EndpointConfig) -> Wire {
        Wire {
            now: Instant::now(),
            alice: Endpoint::new(alice, [1; 32]),
            bob: Endpoint::new(bob, [2; 32]),
            transport,
            flying: VecDeque::new(),
            log: Vec::new(),
            sent: Vec::new(),
            incoming: Vec::new(),
            events: Vec::new(),
            registered: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    pub(super) fn end(&mut self, end: End) -> &mut Endpoint {
        match end {
            Alice => &mut self.alice,
            Bob => &mut self.bob,
        }
    }

    pub(super) fn destination(&self, from: End) -> Destination {
        Destination {
            transport: self.transport,
            remote: from.other().address(),
            local: Some(from.address()),
            connection: (self.transport == Transport::Tcp).then_some(ConnectionId(1)),
        }
    }

    pub(super) fn peer(&self, of: End) -> Peer {
        Peer {
            transport: self.transport,
            remote: of.address(),
            local: of.other().address(),
            connection: (self.transport == Transport::Tcp).then_some(ConnectionId(1)),
        }
    }

    /// A call from one end to the other, with an offer.
    pub(super) fn a_dial(&self, from: End) -> Dial {
        Dial {
            target: uri(&format!("sip:bob@{}", from.other().address())),
            destination: self.destination(from),
            next_hop: NextHop::Follow,
            from: NameAddr::new(uri("sip:alice@example.com")),
            to: None,
            routes: Vec::new(),
            offer: Some(sdp(OFFER)),
            headers: Vec::new(),
            reliable: Reliable::No,
            timers: None,
            credentials: None,
        }
    }

    pub(super) fn alice_dials(&mut self) -> SessionId {
        let dial = self.a_dial(Alice);
        let now = self.now;
        let id = self.alice.dial(now, dial).unwrap();
        self.collect();
        id
    }

    /// Takes what both ends have to say.
    pub(super) fn collect(&mut self) {
        for end in [Alice, Bob] {
            while let Some(output) = self.end(end).poll() {
                match output {
                    Output::Transmit { bytes, .. } => {
                        let message = Flying { from: end, bytes };
                        self.log.push((end, message.first_line()));
                        self.sent.push(message.clone());
                        self.flying.push_back(message);
                    }
                    Output::Incoming(incoming) => self.incoming.push((end, *incoming)),
                    Output::Event(id, event) => self.events.push((end, id, event)),
                    Output::Registered(change) => self.registered.push(change),
                    Output::Outcome(id, outcome) => self.outcomes.push((id, outcome)),
                }
            }
        }
    }

    /// Delivers everything that flies, and what that brings about.
    pub(super) fn settle(&mut self) {
        self.collect();
        while let Some(message) = self.flying.pop_front() {
            self.deliver(message);
        }
    }

    pub(super) fn deliver(&mut self, message: Flying) {
        let (peer, now) = (self.peer(message.from), self.now);
        self.end(message.from.other()).receive(now, peer, message.bytes);
        self.collect();
    }

    /// Loses everything that flies.
    pub(super) fn lose(&mut self) -> Vec<Flying> {
        self.collect();
        self.flying.drain(..).collect()
    }

    /// Lets time pass, delivering as it goes.
    pub(super) fn pass(&mut self, span: Duration) {
        self.run(span, true);
    }

    /// Lets time pass while every message is lost.
    pub(super) fn pass_in_silence(&mut self, span: Duration) {
        self.run(span, false);
    }

    fn run(&mut self, span: Duration, delivers: bool) {
        let until = self.now + span;
        loop {
            if delivers {
                self.settle()
            } else {
                self.lose().clear()
            }
            let next = [self.alice.poll_timeout(), self.bob.poll_timeout()].into_iter().flatten().min();
            match next.filter(|at| *at <= until) {
                Some(at) => {
                    self.now = self.now.max(at);
                    let now = self.now;
                    self.alice.handle_timeout(now);
                    self.bob.handle_timeout(now);
                }
                None => break,
            }
        }
        self.now = until;
    }

    /// The session of the call that came last.
    pub(super) fn came(&self) -> SessionId {
        self.incoming.last().expect("a call has come").1.session
    }

    pub(super) fn ended(&self, end: End, id: SessionId) -> Option<&Ended> {
        let mut ends = self.events.iter().filter_map(|(at, session, event)| match event {
            SessionEvent::Ended(ended) if (*at, *session) == (end, id) => Some(ended),
            _ => None,
        });
        let first = ends.next();
        assert!(ends.next().is_none(), "a session ends once");
        first
    }

    pub(super) fn events_of(&self, end: End, id: SessionId) -> Vec<&SessionEvent> {
        self.events
            .iter()
            .filter(|(at, session, _)| (*at, *session) == (end, id))
            .map(|(_, _, e)| e)
            .collect()
    }

    /// A call that is up: Alice's session and Bob's.
    pub(super) fn a_call(&mut self) -> (SessionId, SessionId) {
        let alice = self.alice_dials();
        self.settle();
        let bob = self.came();
        let now = self.now;
        self.bob.accept(now, bob, sdp(ANSWER)).unwrap();
        self.settle();
        (alice, bob)
    }

    /// How often a line was sent by one end.
    pub(super) fn count(&self, end: End, start: &str) -> usize {
        self.log.iter().filter(|(from, line)| *from == end && line.starts_with(start)).count()
    }

    /// Lets every timer run out, and holds that nothing is kept after that.
    pub(super) fn assert_nothing_is_left(&mut self) {
        self.pass(Duration::from_secs(70));
        for endpoint in [&self.alice, &self.bob] {
            endpoint.assert_empty();
        }
    }
}
