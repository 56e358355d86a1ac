//! The only SIP sockets: UDP, TCP and TLS. Octets in, whole messages out, and the other way round.
//!
//! [`Wires`] belongs to the door's task. UDP is read and written there; every connection has a task of its own that
//! shakes hands and cuts its stream into messages, so a slow or hostile peer costs nobody else anything. A connection
//! that breaks the framing is closed; one bad message on it is not.
//!
//! ```text
//!              accepted              first message
//!   (TLS only) half-open ──> unproven ──────────> proven ──> gone
//!                   └── its time ──┴── no room for a newcomer: the oldest goes ──┘
//! ```
//!
//! What has proven nothing makes room for whoever comes next: a flood of idle connections pushes itself out, and never
//! a peer that has said something. A connection is a way, not a tie: an answer goes back on the one its question came
//! on while that lives, and by a new one after that (RFC 3261 section 18.2.2).

mod stream;
mod tls;
mod udp;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::flow::{ConnectionId, Destination, Peer, TlsWay, Transport};
use super::message::MAX_MESSAGE_BYTES;
use crate::tls::{Outward, Tls, TlsError, Verified};
use stream::Line;

/// Messages waiting to be written to one connection. A carrier's connection takes the BYEs of all its
/// calls at once when the gateway stops; a peer that lets more than this wait does not read.
const WRITES_MAX: usize = 4096;

/// Messages read from streams and not yet handled; readers wait when it is full.
const ARRIVALS_MAX: usize = 1024;

/// How long a connection we open may take: shorter than a transaction's 32 s, so that another
/// destination can still be tried.
const CONNECT_MAX: Duration = Duration::from_secs(4);

/// What may be open and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// TCP connections at one time, ours and theirs.
    pub connections: usize,
    /// The same of TLS, handshakes included.
    pub tls_connections: usize,
    /// Octets of the longest message taken from a stream, at most [`MAX_MESSAGE_BYTES`].
    pub message_bytes: usize,
    /// A connection on which nothing is said for this long is closed.
    pub idle: Duration,
    /// A TLS handshake that takes longer is broken off.
    pub handshake: Duration,
    /// Handshakes under way at one time, of connections to us; the oldest makes room for the next.
    pub half_open: usize,
    /// On connections that we opened, a sign of life is asked for after this much silence (RFC 5626 section 4.4.1).
    pub keep_alive: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 2000,
            tls_connections: 2000,
            message_bytes: MAX_MESSAGE_BYTES,
            idle: Duration::from_secs(600),
            // A round trip around the world is 0.3 s and a handshake takes three; the rest is for loss.
            handshake: Duration::from_secs(5),
            // 250 peers a second, each with a second of handshake.
            half_open: 256,
            keep_alive: Some(Duration::from_secs(60)),
        }
    }
}

/// What to listen on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Listen {
    /// Datagrams.
    pub udp: Option<SocketAddr>,
    /// Plain streams.
    pub tcp: Option<SocketAddr>,
    /// Private streams.
    pub tls: Option<SocketAddr>,
}

/// Something from the wire.
#[derive(Debug)]
pub enum Arrival {
    /// A datagram or one framed message.
    Message(Peer, Bytes),
    /// The head of a message after which a stream's framing is lost. It may be answered; then the
    /// connection closes.
    Broken(Peer, Bytes),
    /// A TLS connection stands, and this is what the peer's certificate proved. It comes before the first message.
    Secured(Peer, Verified),
    /// A connection that stood is gone. The destination is there when requests that named no connection went over it.
    Gone(ConnectionId, Option<Destination>),
    /// No connection could be made to there, or none is allowed.
    Unreachable(Destination),
}

/// What the connections' tasks tell.
enum News {
    Message(Peer, Bytes),
    Broken(Peer, Bytes),
    Secured(Peer, Verified),
    /// The task ends; `stood` when the connection had been usable.
    Ended {
        id: ConnectionId,
        stood: bool,
    },
}

/// The sockets of the door.
pub struct Wires {
    udp: Option<udp::Datagrams>,
    tcp: Option<TcpListener>,
    tls_listener: Option<TcpListener>,
    tls: Arc<Tls>,
    limits: Limits,
    connections: HashMap<ConnectionId, Connection>,
    /// The connection that messages for a place go over when they name none.
    ways: HashMap<Place, ConnectionId>,
    /// In their handshake, oldest first.
    half_open: BTreeSet<ConnectionId>,
    /// Opened by a peer that has said nothing yet, oldest first.
    unproven: BTreeSet<ConnectionId>,
    /// No longer ours to send on, but still writing their last words.
    closing: HashMap<ConnectionId, Transport>,
    opened: u64,
    /// Told next, before what the tasks tell.
    pending: VecDeque<Arrival>,
    news: mpsc::Receiver<News>,
    news_in: mpsc::Sender<News>,
    replaced: watch::Receiver<u64>,
    tasks: JoinSet<()>,
    buffer: Box<[u8]>,
}

/// Where a connection leads, and as whom it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    transport: Transport,
    remote: SocketAddr,
    tls: Option<TlsWay>,
}

struct Connection {
    place: Place,
    writes: mpsc::Sender<Bytes>,
    task: AbortHandle,
}

impl Wires {
    /// Binds what is asked for.
    ///
    /// # Errors
    /// The address and why it could not be bound.
    pub async fn bind(listen: Listen, tls: Arc<Tls>, limits: Limits) -> Result<Wires, BindError> {
        let udp = listen.udp.map(udp::bind).transpose()?;
        let (news_in, news) = mpsc::channel(ARRIVALS_MAX);
        Ok(Wires {
            udp,
            tcp: bind_stream("TCP", listen.tcp).await?,
            tls_listener: bind_stream("TLS", listen.tls).await?,
            replaced: tls.replacements(),
            tls,
            limits,
            connections: HashMap::new(),
            ways: HashMap::new(),
            half_open: BTreeSet::new(),
            unproven: BTreeSet::new(),
            closing: HashMap::new(),
            opened: 0,
            pending: VecDeque::new(),
            news,
            news_in,
            tasks: JoinSet::new(),
            buffer: vec![0; MAX_MESSAGE_BYTES].into_boxed_slice(),
        })
    }

    /// Where UDP is bound.
    pub fn udp_addr(&self) -> Option<SocketAddr> {
        self.udp.as_ref().map(|datagrams| datagrams.local)
    }

    /// Where TCP is bound.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Where TLS is bound.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls_listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// What has come already, if anything: a wake-up takes all of it, not one message.
    pub fn arrived(&mut self) -> Option<Arrival> {
        if let Some(arrival) = self.pending.pop_front() {
            return Some(arrival);
        }
        if let Some((length, remote, local)) = udp::received(self.udp.as_ref(), &mut self.buffer) {
            return Some(self.datagram(length, remote, local));
        }
        let news = self.news.try_recv().ok()?;
        self.heard(news)
    }

    /// The next thing from any wire. Cancel-safe.
    pub async fn next(&mut self) -> Arrival {
        loop {
            if let Some(arrival) = self.pending.pop_front() {
                return arrival;
            }
            tokio::select! {
                datagram = udp::receive(self.udp.as_ref(), &mut self.buffer) => {
                    let Some((length, remote, local)) = datagram else { continue };
                    return self.datagram(length, remote, local);
                }
                Some(news) = self.news.recv() => {
                    if let Some(arrival) = self.heard(news) {
                        return arrival;
                    }
                }
                accepted = accept(self.tcp.as_ref()) => {
                    if let Some((stream, remote)) = accepted {
                        self.adopt(stream, remote, Transport::Tcp);
                    }
                }
                accepted = accept(self.tls_listener.as_ref()) => {
                    if let Some((stream, remote)) = accepted {
                        self.adopt(stream, remote, Transport::Tls);
                    }
                }
                Ok(()) = self.replaced.changed() => self.retire(),
                Some(_ended) = self.tasks.join_next() => {}
            }
        }
    }

    fn datagram(&self, length: usize, remote: SocketAddr, local: SocketAddr) -> Arrival {
        let peer = Peer { transport: Transport::Udp, remote, local, connection: None, tls: None };
        let octets = self.buffer.get(..length).unwrap_or_default();
        Arrival::Message(peer, Bytes::copy_from_slice(octets))
    }

    fn heard(&mut self, news: News) -> Option<Arrival> {
        match news {
            News::Message(peer, message) => {
                self.proven(peer);
                Some(Arrival::Message(peer, message))
            }
            News::Broken(peer, head) => {
                self.proven(peer);
                Some(Arrival::Broken(peer, head))
            }
            News::Secured(peer, verified) => {
                self.half_open.remove(&peer.connection?);
                Some(Arrival::Secured(peer, verified))
            }
            News::Ended { id, stood } => match self.forget(id) {
                Some((to, _)) if !stood => Some(Arrival::Unreachable(to)),
                Some((to, led)) => Some(Arrival::Gone(id, led.then_some(to))),
                None => self.closing.remove(&id).map(|_| Arrival::Gone(id, None)),
            },
        }
    }

    fn proven(&mut self, peer: Peer) {
        if let Some(id) = peer.connection {
            self.unproven.remove(&id);
        }
    }

    /// Sends a message, over the connection named or one that is open, or a new one; with TLS, `outward` says as whom
    /// and to whom. What cannot be sent is lost, as on any network; a connection that fails is told as
    /// [`Arrival::Gone`], one that cannot be made as [`Arrival::Unreachable`].
    pub fn send(&mut self, to: Destination, outward: Option<Arc<Outward>>, message: Bytes) {
        if to.transport == Transport::Udp {
            return udp::send(self.udp.as_ref(), to.remote, &message);
        }
        // Between two looks at the wires, too: what is said after a replacement is said with the new certificate.
        if self.replaced.has_changed().unwrap_or(false) {
            self.replaced.mark_unchanged();
            self.retire();
        }
        let place = Place { transport: to.transport, remote: to.remote, tls: to.tls };
        let named = to.connection.filter(|id| self.connections.contains_key(id));
        let Some(id) = named.or_else(|| self.ways.get(&place).copied()) else {
            return self.connect(place, outward, message);
        };
        let full = match self.connections.get(&id) {
            Some(connection) => connection.writes.try_send(message).is_err(),
            None => false,
        };
        if full {
            tracing::info!(remote = %to.remote, "a peer does not read; its connection is cut off");
            self.cut_off(id);
        }
    }

    /// Sends to every connection whose framing broke what is left to say, then closes it.
    pub fn close(&mut self, id: ConnectionId) {
        // Dropping the queue's only sender lets the task write what is queued and end.
        if let Some((to, _)) = self.forget(id) {
            self.closing.insert(id, to.transport);
        }
    }

    /// Ends a connection at once, with whatever is still to be written.
    fn cut_off(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        connection.task.abort();
        if let Some((to, led)) = self.forget(id) {
            self.pending.push_back(Arrival::Gone(id, led.then_some(to)));
        }
    }

    /// The certificates are replaced: nothing new goes over the connections made with those before. What goes on over
    /// them may; they close when they are idle.
    fn retire(&mut self) {
        self.ways.retain(|place, _| place.transport != Transport::Tls);
    }

    fn connect(&mut self, place: Place, outward: Option<Arc<Outward>>, first: Bytes) {
        let remote = place.remote;
        if place.transport == Transport::Tls && outward.is_none() {
            tracing::debug!(%remote, "a TLS connection is gone and nobody knows as whom to open another");
            return self.pending.push_back(Arrival::Unreachable(place.into()));
        }
        if !self.has_room(place.transport) {
            tracing::warn!(%remote, "as many connections as allowed; none is opened");
            return self.pending.push_back(Arrival::Unreachable(place.into()));
        }
        let (id, writes, line) = self.line(place.transport, self.limits.keep_alive);
        // The queue is new and holds more than one.
        let _room = writes.try_send(first);
        let dialled = Dialled { id, place, outward, tls: self.tls.clone(), handshake: self.limits.handshake };
        let task = self.tasks.spawn(dialled.live(line));
        self.enter(id, Connection { place, writes, task });
    }

    fn adopt(&mut self, stream: TcpStream, remote: SocketAddr, transport: Transport) {
        if !self.has_room(transport) {
            return; // closed by being dropped: the peer sees it at once
        }
        if transport == Transport::Tls
            && self.half_open.len() >= self.limits.half_open
            && let Some(oldest) = self.half_open.first().copied()
        {
            self.cut_off(oldest);
        }
        let (id, writes, line) = self.line(transport, None);
        let accepted = Accepted { id, transport, tls: self.tls.clone(), handshake: self.limits.handshake };
        let task = self.tasks.spawn(accepted.live(stream, line));
        self.enter(id, Connection { place: Place { transport, remote, tls: None }, writes, task });
        self.unproven.insert(id);
        if transport == Transport::Tls {
            self.half_open.insert(id);
        }
    }

    /// Whether one more connection may be; the oldest that has proven nothing goes for it.
    fn has_room(&mut self, transport: Transport) -> bool {
        let most = match transport {
            Transport::Tls => self.limits.tls_connections,
            Transport::Udp | Transport::Tcp => self.limits.connections,
        };
        let open = self.connections.values().filter(|connection| connection.place.transport == transport);
        let closing = self.closing.values().filter(|closing| **closing == transport);
        if open.count() + closing.count() < most {
            return true;
        }
        let of_kind = |id: &&ConnectionId| {
            self.connections.get(id).is_some_and(|connection| connection.place.transport == transport)
        };
        let Some(oldest) = self.unproven.iter().find(of_kind).copied() else { return false };
        self.cut_off(oldest);
        true
    }

    fn line(
        &mut self,
        transport: Transport,
        keep_alive: Option<Duration>,
    ) -> (ConnectionId, mpsc::Sender<Bytes>, Line) {
        self.opened += 1;
        let (writes, queue) = mpsc::channel(WRITES_MAX);
        let line = Line {
            queue,
            news: self.news_in.clone(),
            message_bytes: self.limits.message_bytes,
            idle: self.limits.idle,
            keep_alive,
            retired: (transport == Transport::Tls).then(|| self.tls.replacements()),
        };
        (ConnectionId(self.opened), writes, line)
    }

    fn enter(&mut self, id: ConnectionId, connection: Connection) {
        self.ways.insert(connection.place, id);
        self.connections.insert(id, connection);
    }

    /// Forgets a connection. Gives where it led, and whether it was the way there.
    fn forget(&mut self, id: ConnectionId) -> Option<(Destination, bool)> {
        let connection = self.connections.remove(&id)?;
        self.half_open.remove(&id);
        self.unproven.remove(&id);
        let place = connection.place;
        let led = self.ways.get(&place) == Some(&id);
        if led {
            self.ways.remove(&place);
        }
        Some((place.into(), led))
    }
}

impl From<Place> for Destination {
    fn from(place: Place) -> Destination {
        Destination {
            transport: place.transport,
            remote: place.remote,
            local: None,
            connection: None,
            tls: place.tls,
        }
    }
}

/// A connection that we open.
struct Dialled {
    id: ConnectionId,
    place: Place,
    outward: Option<Arc<Outward>>,
    tls: Arc<Tls>,
    handshake: Duration,
}

impl Dialled {
    async fn live(self, mut line: Line) {
        let (id, mut stood) = (self.id, false);
        if let Err(error) = self.talk(&mut line, &mut stood).await {
            note(id, &error);
        }
        tell(&line, News::Ended { id, stood }).await;
    }

    async fn talk(self, line: &mut Line, stood: &mut bool) -> Result<(), TlsError> {
        let connected = timeout(CONNECT_MAX, TcpStream::connect(self.place.remote)).await;
        let mut stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let peer = Peer { tls: self.place.tls, ..introduce(&stream, self.place.transport, self.id)? };
        let Some(outward) = self.outward.filter(|_| self.place.transport.is_secure()) else {
            *stood = true;
            return Ok(stream::talk(&mut stream, peer, line).await?);
        };
        let (mut stream, verified) = tls::connect(&self.tls, stream, &outward, self.handshake).await?;
        *stood = true;
        tell(line, News::Secured(peer, verified)).await;
        Ok(stream::talk(&mut stream, peer, line).await?)
    }
}

/// A connection that a peer opened.
struct Accepted {
    id: ConnectionId,
    transport: Transport,
    tls: Arc<Tls>,
    handshake: Duration,
}

impl Accepted {
    async fn live(self, stream: TcpStream, mut line: Line) {
        let id = self.id;
        if let Err(error) = self.talk(stream, &mut line).await {
            note(id, &error);
        }
        tell(&line, News::Ended { id, stood: true }).await;
    }

    async fn talk(self, mut stream: TcpStream, line: &mut Line) -> Result<(), TlsError> {
        let peer = introduce(&stream, self.transport, self.id)?;
        if !self.transport.is_secure() {
            return Ok(stream::talk(&mut stream, peer, line).await?);
        }
        let (mut stream, verified) = tls::accept(&self.tls, stream, self.handshake).await?;
        tell(line, News::Secured(peer, verified)).await;
        Ok(stream::talk(&mut stream, peer, line).await?)
    }
}

fn introduce(stream: &TcpStream, transport: Transport, id: ConnectionId) -> io::Result<Peer> {
    stream.set_nodelay(true)?; // a SIP message is whole when written: nothing to wait for
    Ok(Peer {
        transport,
        remote: stream.peer_addr()?,
        local: stream.local_addr()?,
        connection: Some(id),
        tls: None,
    })
}

fn note(id: ConnectionId, error: &TlsError) {
    let because = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    tracing::debug!(connection = id.0, "connection ended: {error}{because}");
}

async fn tell(line: &Line, news: News) {
    // The door is gone too when nobody receives.
    let _stopped = line.news.send(news).await;
}

/// An address that could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("could not listen for SIP on {transport} {at}; is another program using it?")]
pub struct BindError {
    transport: &'static str,
    at: SocketAddr,
    source: io::Error,
}

async fn bind_stream(
    transport: &'static str,
    at: Option<SocketAddr>,
) -> Result<Option<TcpListener>, BindError> {
    let Some(at) = at else { return Ok(None) };
    let bound = TcpListener::bind(at).await;
    bound.map(Some).map_err(|source| BindError { transport, at, source })
}

async fn accept(listener: Option<&TcpListener>) -> Option<(TcpStream, SocketAddr)> {
    let Some(listener) = listener else { return std::future::pending().await };
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            // Out of descriptors, or the peer left while queued. Others must not suffer, and a
            // busy loop helps nobody.
            tracing::warn!(%error, "connection not accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}
