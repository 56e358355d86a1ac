//! The only SIP sockets: UDP and TCP. Octets in, whole messages out, and the other way round.
//!
//! [`Wires`] belongs to the door's task. UDP is read and written there; every TCP connection has a
//! task of its own that cuts its stream into messages, so a slow or hostile peer costs nobody else
//! anything. A connection that breaks the framing is closed; one bad message on it is not.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::flow::{ConnectionId, Destination, Peer, Transport};
use super::frame::{Framed, Framer};
use super::message::MAX_MESSAGE_BYTES;

/// Messages waiting to be written to one connection. A carrier's connection takes the BYEs of all its
/// calls at once when the gateway stops; a peer that lets more than this wait does not read.
const WRITES_MAX: usize = 4096;

/// Messages read from streams and not yet handled; readers wait when it is full.
const ARRIVALS_MAX: usize = 1024;

/// How long a connection we open may take: shorter than a transaction's 32 s, so that another
/// destination can still be tried.
const CONNECT_MAX: Duration = Duration::from_secs(4);

/// How long one write may take before the peer counts as gone.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Octets read from a stream at a time.
const READ_BYTES: usize = 8 * 1024;

/// UDP receive buffer asked of the kernel: a burst of a few hundred calls' messages.
const UDP_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// What may be open and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at one time, ours and theirs.
    pub connections: usize,
    /// A connection silent for this long is closed.
    pub idle: Duration,
}

/// Something from the wire.
#[derive(Debug)]
pub enum Arrival {
    /// A datagram or one framed message.
    Message(Peer, Bytes),
    /// The head of a message after which a stream's framing is lost. It may be answered; then the
    /// connection closes.
    Broken(Peer, Bytes),
    /// A connection is gone, or could not be made.
    Gone(ConnectionId, SocketAddr),
}

/// The sockets of the door.
pub struct Wires {
    udp: Option<UdpSocket>,
    tcp: Option<TcpListener>,
    limits: Limits,
    connections: HashMap<ConnectionId, Connection>,
    by_remote: HashMap<SocketAddr, ConnectionId>,
    opened: u64,
    arrivals: mpsc::Receiver<Arrival>,
    arrivals_in: mpsc::Sender<Arrival>,
    tasks: JoinSet<()>,
    buffer: Box<[u8]>,
}

struct Connection {
    remote: SocketAddr,
    writes: mpsc::Sender<Bytes>,
    task: AbortHandle,
}

impl Wires {
    /// Binds what is asked for.
    ///
    /// # Errors
    /// The address and why it could not be bound.
    pub async fn bind(
        udp: Option<SocketAddr>,
        tcp: Option<SocketAddr>,
        limits: Limits,
    ) -> Result<Wires, BindError> {
        let udp = udp.map(bind_udp).transpose()?;
        let tcp = match tcp {
            Some(at) => Some(TcpListener::bind(at).await.map_err(|source| BindError {
                transport: "TCP",
                at,
                source,
            })?),
            None => None,
        };
        let (arrivals_in, arrivals) = mpsc::channel(ARRIVALS_MAX);
        Ok(Wires {
            udp,
            tcp,
            limits,
            connections: HashMap::new(),
            by_remote: HashMap::new(),
            opened: 0,
            arrivals,
            arrivals_in,
            tasks: JoinSet::new(),
            buffer: vec![0; MAX_MESSAGE_BYTES].into_boxed_slice(),
        })
    }

    /// Where UDP is bound.
    pub fn udp_addr(&self) -> Option<SocketAddr> {
        self.udp.as_ref().and_then(|socket| socket.local_addr().ok())
    }

    /// Where TCP is bound.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// The next thing from any wire. Cancel-safe.
    pub async fn next(&mut self) -> Arrival {
        loop {
            tokio::select! {
                datagram = receive(self.udp.as_ref(), &mut self.buffer) => {
                    let Some((length, remote, local)) = datagram else { continue };
                    let peer = Peer { transport: Transport::Udp, remote, local, connection: None };
                    return Arrival::Message(peer, Bytes::copy_from_slice(&self.buffer[..length]));
                }
                Some(arrival) = self.arrivals.recv() => {
                    if let Arrival::Gone(id, remote) = &arrival {
                        self.forget(*id, *remote);
                    }
                    return arrival;
                }
                accepted = accept(self.tcp.as_ref()) => {
                    if let Some((stream, remote)) = accepted {
                        self.adopt(stream, remote);
                    }
                }
                Some(_ended) = self.tasks.join_next() => {}
            }
        }
    }

    /// Sends a message, over the connection named or one that is open, or a new one. What cannot
    /// be sent is lost, as on any network; a connection that fails is told as [`Arrival::Gone`].
    pub fn send(&mut self, to: Destination, message: Bytes) {
        match to.transport {
            Transport::Udp => self.send_udp(to.remote, &message),
            Transport::Tcp => self.send_tcp(to, message),
        }
    }

    /// Sends to every connection whose framing broke what is left to say, then closes it.
    pub fn close(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.remove(&id) {
            // Dropping the queue's only sender lets the task write what is queued and end.
            if self.by_remote.get(&connection.remote) == Some(&id) {
                self.by_remote.remove(&connection.remote);
            }
        }
    }

    /// Ends a connection at once, with whatever is still to be written.
    fn cut_off(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let remote = connection.remote;
        connection.task.abort();
        self.forget(id, remote);
        self.report_gone(id, remote);
    }

    fn send_udp(&self, remote: SocketAddr, message: &[u8]) {
        let Some(socket) = &self.udp else {
            tracing::warn!(%remote, "no UDP listener is configured; a message for UDP is dropped");
            return;
        };
        if let Err(error) = socket.try_send_to(message, remote) {
            // A full buffer or an ICMP error of an earlier packet: the transaction repeats itself.
            tracing::debug!(%remote, %error, "datagram not sent");
        }
    }

    fn send_tcp(&mut self, to: Destination, message: Bytes) {
        let named = to.connection.filter(|id| self.connections.contains_key(id));
        let Some(id) = named.or_else(|| self.by_remote.get(&to.remote).copied()) else {
            return self.connect(to.remote, message);
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

    fn connect(&mut self, remote: SocketAddr, first: Bytes) {
        let id = self.number();
        if self.tasks.len() >= self.limits.connections {
            tracing::warn!(%remote, "as many TCP connections as allowed; none is opened");
            self.report_gone(id, remote);
            return;
        }
        let (writes, queue) = mpsc::channel(WRITES_MAX);
        // The queue is new and holds more than one.
        let _room = writes.try_send(first);
        let (arrivals, idle) = (self.arrivals_in.clone(), self.limits.idle);
        let task = self.tasks.spawn(async move {
            match timeout(CONNECT_MAX, TcpStream::connect(remote)).await {
                Ok(Ok(stream)) => talk(stream, remote, id, queue, arrivals, idle).await,
                Ok(Err(error)) => {
                    tracing::debug!(%remote, %error, "TCP connection refused");
                    tell_gone(&arrivals, id, remote).await;
                }
                Err(_) => tell_gone(&arrivals, id, remote).await,
            }
        });
        self.connections.insert(id, Connection { remote, writes, task });
        self.by_remote.insert(remote, id);
    }

    fn adopt(&mut self, stream: TcpStream, remote: SocketAddr) {
        // Tasks, not connections: one that is closing still writes its last words.
        if self.tasks.len() >= self.limits.connections {
            return; // closed by being dropped: the peer sees it at once
        }
        let id = self.number();
        let (writes, queue) = mpsc::channel(WRITES_MAX);
        let (arrivals, idle) = (self.arrivals_in.clone(), self.limits.idle);
        let task = self.tasks.spawn(talk(stream, remote, id, queue, arrivals, idle));
        self.connections.insert(id, Connection { remote, writes, task });
        self.by_remote.insert(remote, id);
    }

    fn number(&mut self) -> ConnectionId {
        self.opened += 1;
        ConnectionId(self.opened)
    }

    fn report_gone(&mut self, id: ConnectionId, remote: SocketAddr) {
        let arrivals = self.arrivals_in.clone();
        self.tasks.spawn(async move { tell_gone(&arrivals, id, remote).await });
    }

    fn forget(&mut self, id: ConnectionId, remote: SocketAddr) {
        self.connections.remove(&id);
        if self.by_remote.get(&remote) == Some(&id) {
            self.by_remote.remove(&remote);
        }
    }
}

/// An address that could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("could not listen for SIP on {transport} {at}; is another program using it?")]
pub struct BindError {
    transport: &'static str,
    at: SocketAddr,
    source: io::Error,
}

fn bind_udp(at: SocketAddr) -> Result<UdpSocket, BindError> {
    let bind = || -> io::Result<UdpSocket> {
        let domain = socket2::Domain::for_address(at);
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
        socket.set_recv_buffer_size(UDP_BUFFER_BYTES)?;
        socket.set_nonblocking(true)?;
        socket.bind(&at.into())?;
        UdpSocket::from_std(socket.into())
    };
    bind().map_err(|source| BindError { transport: "UDP", at, source })
}

async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> Option<(usize, SocketAddr, SocketAddr)> {
    let Some(socket) = socket else { return std::future::pending().await };
    match socket.recv_from(buffer).await {
        Ok((length, remote)) => Some((length, remote, socket.local_addr().ok()?)),
        // An ICMP error of something we sent earlier; the socket goes on.
        Err(_) => None,
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<(TcpStream, SocketAddr)> {
    let Some(listener) = listener else { return std::future::pending().await };
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            // Out of descriptors, or the peer left while queued. Others must not suffer, and a
            // busy loop helps nobody.
            tracing::warn!(%error, "TCP connection not accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn tell_gone(arrivals: &mpsc::Sender<Arrival>, id: ConnectionId, remote: SocketAddr) {
    // The door is gone too when nobody receives.
    let _stopped = arrivals.send(Arrival::Gone(id, remote)).await;
}

/// One connection's life: reads messages, writes messages, until either side is done.
async fn talk(
    mut stream: TcpStream,
    remote: SocketAddr,
    id: ConnectionId,
    mut queue: mpsc::Receiver<Bytes>,
    arrivals: mpsc::Sender<Arrival>,
    idle: Duration,
) {
    if let Err(error) = exchange(&mut stream, remote, id, &mut queue, &arrivals, idle).await {
        tracing::debug!(%remote, %error, "TCP connection ended");
    }
    tell_gone(&arrivals, id, remote).await;
}

async fn exchange(
    stream: &mut TcpStream,
    remote: SocketAddr,
    id: ConnectionId,
    queue: &mut mpsc::Receiver<Bytes>,
    arrivals: &mpsc::Sender<Arrival>,
    idle: Duration,
) -> io::Result<()> {
    stream.set_nodelay(true)?; // a SIP message is whole when written: nothing to wait for
    let peer = Peer { transport: Transport::Tcp, remote, local: stream.local_addr()?, connection: Some(id) };
    let mut framer = Framer::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        tokio::select! {
            read = timeout(idle, stream.read(&mut buffer)) => {
                let Ok(read) = read else { return Ok(()) }; // silent for too long
                let length = read?;
                if length == 0 {
                    return Ok(());
                }
                framer.push(&buffer[..length]);
                if !deliver(stream, &mut framer, peer, queue, arrivals).await? {
                    return Ok(());
                }
            }
            message = queue.recv() => match message {
                Some(message) => write(stream, &message).await?,
                None => return Ok(()), // the door has closed this connection
            },
        }
    }
}

/// Hands on what the framer has. False when the connection must close.
async fn deliver(
    stream: &mut TcpStream,
    framer: &mut Framer,
    peer: Peer,
    queue: &mut mpsc::Receiver<Bytes>,
    arrivals: &mpsc::Sender<Arrival>,
) -> io::Result<bool> {
    while let Some(framed) = framer.next() {
        let arrival = match framed {
            Framed::Message(message) => Arrival::Message(peer, message),
            Framed::Ping => {
                write(stream, b"\r\n").await?;
                continue;
            }
            Framed::Pong => continue,
            Framed::Broken { head, why } => {
                tracing::info!(remote = %peer.remote, %why, "SIP framing lost; closing the connection");
                if arrivals.send(Arrival::Broken(peer, head)).await.is_ok() {
                    // What the door answers, it answers now; then it closes the queue.
                    while let Some(message) = queue.recv().await {
                        write(stream, &message).await?;
                    }
                }
                return Ok(false);
            }
        };
        if arrivals.send(arrival).await.is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn write(stream: &mut TcpStream, octets: &[u8]) -> io::Result<()> {
    timeout(WRITE_MAX, stream.write_all(octets)).await.map_err(|_| io::ErrorKind::TimedOut)?
}
