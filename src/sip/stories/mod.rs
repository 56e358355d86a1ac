//! Stories of two user agents on a virtual wire, in virtual time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::endpoint::{Endpoint, EndpointConfig, Incoming, OptionsId, OptionsOutcome, Output};
use super::flow::{ConnectionId, Destination, Peer, Transport};
use super::header::NameAddr;
use super::manners::Manners;
use super::register::Change;
use super::session::{Dial, Ended, NextHop, Reliable, SessionEvent, SessionId};
use super::uri::Uri;

mod calls;
mod chaos;
mod door;
mod forks;
mod limits;
mod login;
mod refer;
mod registering;
mod registrar;
mod reinvite;
mod reliable;
mod requests;
mod routes;
mod timers;
mod transport;
mod trunks;
mod ways;

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
            tls: None,
        }
    }

    pub(super) fn peer(&self, of: End) -> Peer {
        Peer {
            transport: self.transport,
            remote: of.address(),
            local: of.other().address(),
            connection: (self.transport == Transport::Tcp).then_some(ConnectionId(1)),
            tls: None,
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
            location: None,
            reliable: Reliable::No,
            timers: None,
            credentials: None,
            patience: None,
            hops: 70,
            manners: Manners::plain(),
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
                    Output::Told(..) => {} // only the door asks
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

/// One endpoint and a peer that speaks by hand.
pub(super) struct Solo {
    pub(super) now: Instant,
    pub(super) endpoint: Endpoint,
    pub(super) peer: Peer,
    pub(super) sent: Vec<(Destination, Said)>,
    pub(super) incoming: Vec<Incoming>,
    pub(super) events: Vec<(SessionId, SessionEvent)>,
    pub(super) registered: Vec<Change>,
}

/// A message that the endpoint sent, read for its words.
#[derive(Debug, Clone)]
pub(super) struct Said(pub(super) String);

impl Said {
    pub(super) fn line(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    /// The values of a header, one per line.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let head = self.0.split("\r\n\r\n").next().unwrap_or_default();
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(n, _)| *n == name).map(|(_, value)| value).collect()
    }

    pub(super) fn get(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    pub(super) fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default()
    }

    /// The tag of a From or To value.
    pub(super) fn tag(&self, name: &str) -> String {
        self.get(name)
            .split(";tag=")
            .nth(1)
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    /// This request answered: status line, the copied headers and `more`.
    pub(super) fn answered(&self, status: &str, to_tag: &str, more: &str) -> String {
        let to = self.get("To");
        let to = if to_tag.is_empty() || to.contains(";tag=") {
            to.to_owned()
        } else {
            format!("{to};tag={to_tag}")
        };
        format!(
            "SIP/2.0 {status}\nVia: {}\nFrom: {}\nTo: {to}\nCall-ID: {}\nCSeq: {}\n{more}",
            self.get("Via"),
            self.get("From"),
            self.get("Call-ID"),
            self.get("CSeq"),
        )
    }
}

impl Solo {
    pub(super) fn new() -> Solo {
        Solo::with(EndpointConfig::default())
    }

    pub(super) fn with(config: EndpointConfig) -> Solo {
        Solo {
            now: Instant::now(),
            endpoint: Endpoint::new(config, [3; 32]),
            peer: Peer {
                transport: Transport::Udp,
                remote: Alice.address(),
                local: Bob.address(),
                connection: None,
                tls: None,
            },
            sent: Vec::new(),
            incoming: Vec::new(),
            events: Vec::new(),
            registered: Vec::new(),
        }
    }

    /// The peer says this: lines end with \n here, and Content-Length is added with the body after an empty line.
    pub(super) fn hears(&mut self, message: &str) -> Vec<Said> {
        let (head, body) = message.split_once("\n\n").unwrap_or((message.trim_end(), ""));
        let head = head.trim_end().replace('\n', "\r\n");
        let whole = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.hears_octets(whole.as_bytes())
    }

    pub(super) fn hears_octets(&mut self, octets: &[u8]) -> Vec<Said> {
        let (now, peer) = (self.now, self.peer);
        self.endpoint.receive(now, peer, Bytes::copy_from_slice(octets));
        self.collect()
    }

    /// What the endpoint sent since the last look.
    pub(super) fn collect(&mut self) -> Vec<Said> {
        let mut fresh = Vec::new();
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Transmit { to, bytes } => {
                    let message = Said(text(&bytes));
                    self.sent.push((to, message.clone()));
                    fresh.push(message);
                }
                Output::Incoming(incoming) => self.incoming.push(*incoming),
                Output::Event(id, event) => self.events.push((id, event)),
                Output::Registered(change) => self.registered.push(change),
                Output::Outcome(..) | Output::Told(..) => {}
            }
        }
        fresh
    }

    pub(super) fn pass(&mut self, span: Duration) -> Vec<Said> {
        let until = self.now + span;
        let mut all = self.collect();
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            all.extend(self.collect());
        }
        self.now = until;
        all
    }

    /// A call of ours to the peer, and its INVITE.
    pub(super) fn dials(&mut self, change: impl FnOnce(&mut Dial)) -> (SessionId, Said) {
        let mut dial = Dial {
            target: uri("sip:carol@192.0.2.1"),
            destination: Destination::from(self.peer),
            next_hop: NextHop::Follow,
            from: NameAddr::new(uri("sip:us@192.0.2.2")),
            to: None,
            routes: Vec::new(),
            offer: Some(sdp(OFFER)),
            headers: Vec::new(),
            location: None,
            reliable: Reliable::No,
            timers: None,
            credentials: None,
            patience: None,
            hops: 70,
            manners: Manners::plain(),
        };
        change(&mut dial);
        let id = self.endpoint.dial(self.now, dial).unwrap();
        let invite = self.collect().remove(0);
        (id, invite)
    }

    /// A call from the peer that is up; gives its session and our To tag.
    pub(super) fn is_called(&mut self) -> (SessionId, String) {
        self.hears(&an_invite("a", ""));
        let id = self.incoming.last().unwrap().session;
        self.endpoint.accept(self.now, id, sdp(ANSWER)).unwrap();
        let ok = self.collect().remove(0);
        let tag = ok.tag("To");
        self.hears(&a_request("ACK", "a-ack", &tag, 1, ""));
        (id, tag)
    }

    pub(super) fn ended(&self, id: SessionId) -> Option<&Ended> {
        self.events.iter().find_map(|(session, event)| match event {
            SessionEvent::Ended(ended) if *session == id => Some(ended),
            _ => None,
        })
    }

    pub(super) fn assert_nothing_is_left(&mut self) {
        self.pass(Duration::from_secs(140));
        self.endpoint.assert_empty();
    }
}

/// An INVITE by hand; `more` are further header lines. It carries an offer.
pub(super) fn an_invite(branch: &str, more: &str) -> String {
    format!("{}{more}Content-Type: application/sdp\n\n{OFFER}", head("INVITE", branch, "", 1))
}

/// A request by hand, inside the dialog when `tag` is ours.
pub(super) fn a_request(method: &str, branch: &str, tag: &str, cseq: u32, more: &str) -> String {
    format!("{}{more}", head(method, branch, tag, cseq))
}

fn head(method: &str, branch: &str, tag: &str, cseq: u32) -> String {
    let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    format!(
        "{method} sip:bob@192.0.2.2 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{branch};rport\n\
         Max-Forwards: 70\nFrom: <sip:carol@192.0.2.1>;tag=carol\nTo: <sip:bob@192.0.2.2>{tag}\n\
         Call-ID: by-hand\nCSeq: {cseq} {method}\nContact: <sip:carol@192.0.2.1:5060>\n"
    )
}
