//! The telephone's SIP socket: UDP, or TCP or TLS with a listener and connections of its own.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Tls, Transport};
use crate::sip::frame::{Framed, Framer};
use crate::sip::message::MAX_MESSAGE_BYTES;

/// Messages waiting for the telephone; it handles one in microseconds.
const QUEUE_MAX: usize = 256;

/// One message from the network.
pub(super) struct Received {
    pub(super) octets: Bytes,
    pub(super) from: SocketAddr,
}

/// The SIP side of a telephone's network.
pub(super) struct Net {
    /// Where we can be reached.
    pub(super) local: SocketAddr,
    inbox: mpsc::Receiver<Received>,
    out: Out,
    tasks: JoinSet<()>,
}

enum Out {
    Udp(Arc<UdpSocket>),
    Streams(Streams),
}

/// Everything that connections share.
#[derive(Clone)]
struct Streams {
    /// Those open, by the far address.
    connections: Arc<Mutex<HashMap<SocketAddr, mpsc::Sender<Bytes>>>>,
    inbox: mpsc::Sender<Received>,
    /// For private ones.
    tls: Option<Tls>,
    /// Where those that we open come from: trust begins with it.
    ip: IpAddr,
}

/// A connection, plain or private.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Net {
    pub(super) async fn open(transport: Transport, ip: IpAddr, tls: Option<Tls>) -> io::Result<Self> {
        let (to_inbox, inbox) = mpsc::channel(QUEUE_MAX);
        let mut tasks = JoinSet::new();
        let (local, out) = match transport {
            Transport::Udp => {
                let socket = Arc::new(UdpSocket::bind((ip, 0)).await?);
                tasks.spawn(receive_datagrams(socket.clone(), to_inbox));
                (socket.local_addr()?, Out::Udp(socket))
            }
            Transport::Tcp | Transport::Tls => {
                let listener = TcpListener::bind((ip, 0)).await?;
                let local = listener.local_addr()?;
                let tls = match transport {
                    Transport::Tls => {
                        let none = || io::Error::other("a telephone that speaks TLS needs roots to believe");
                        Some(tls.ok_or_else(none)?)
                    }
                    Transport::Udp | Transport::Tcp => None,
                };
                let streams = Streams { connections: Arc::default(), inbox: to_inbox, tls, ip };
                tasks.spawn(accept(listener, streams.clone()));
                (local, Out::Streams(streams))
            }
        };
        Ok(Self { local, inbox, out, tasks })
    }

    pub(super) async fn receive(&mut self) -> Option<Received> {
        self.inbox.recv().await
    }

    /// Sends a message; what cannot be sent is lost, as on any network, and SIP's own timers see to it.
    pub(super) async fn send(&mut self, to: SocketAddr, octets: Bytes) {
        match &self.out {
            Out::Udp(socket) => {
                let _ = socket.send_to(&octets, to).await;
            }
            Out::Streams(streams) => {
                let known =
                    streams.connections.lock().unwrap_or_else(PoisonError::into_inner).get(&to).cloned();
                if let Some(connection) = known
                    && connection.send(octets.clone()).await.is_ok()
                {
                    return;
                }
                let outgoing = streams.enter(to);
                // The queue is new and holds more than one.
                if let Some(connection) = streams.get(to) {
                    let _ = connection.send(octets).await;
                }
                self.tasks.spawn(streams.clone().dial(to, outgoing));
            }
        }
    }
}

impl Streams {
    fn get(&self, far: SocketAddr) -> Option<mpsc::Sender<Bytes>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).get(&far).cloned()
    }

    /// Enters a connection in the list, and gives what is to be written to it.
    fn enter(&self, far: SocketAddr) -> mpsc::Receiver<Bytes> {
        let (sender, outgoing) = mpsc::channel(QUEUE_MAX);
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).insert(far, sender);
        outgoing
    }

    async fn dial(self, far: SocketAddr, outgoing: mpsc::Receiver<Bytes>) {
        let connected = async {
            let socket = if self.ip.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.bind(SocketAddr::new(self.ip, 0))?;
            let stream = socket.connect(far).await?;
            Ok::<Box<dyn Stream>, io::Error>(match &self.tls {
                Some(tls) => Box::new(tls.connector.connect(tls.server.clone(), stream).await?),
                None => Box::new(stream),
            })
        };
        match connected.await {
            Ok(stream) => self.talk(stream, far, outgoing).await,
            Err(_) => self.leave(far),
        }
    }

    async fn answer(self, stream: TcpStream, far: SocketAddr) {
        let stream: Box<dyn Stream> = match &self.tls {
            Some(tls) => match tls.acceptor.accept(stream).await {
                Ok(stream) => Box::new(stream),
                Err(_) => return,
            },
            None => Box::new(stream),
        };
        let outgoing = self.enter(far);
        self.talk(stream, far, outgoing).await;
    }

    async fn talk(self, stream: Box<dyn Stream>, far: SocketAddr, mut outgoing: mpsc::Receiver<Bytes>) {
        let (read, mut write) = tokio::io::split(stream);
        let writing = async {
            while let Some(octets) = outgoing.recv().await {
                if write.write_all(&octets).await.is_err() || write.flush().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = writing => {}
            () = read_messages(read, far, self.inbox.clone()) => {}
        }
        self.leave(far);
    }

    fn leave(&self, far: SocketAddr) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).remove(&far);
    }
}

async fn receive_datagrams(socket: Arc<UdpSocket>, inbox: mpsc::Sender<Received>) {
    let mut datagram = vec![0; MAX_MESSAGE_BYTES];
    loop {
        let Ok((len, from)) = socket.recv_from(&mut datagram).await else { continue };
        let octets = Bytes::copy_from_slice(&datagram[..len]);
        if inbox.send(Received { octets, from }).await.is_err() {
            return;
        }
    }
}

async fn accept(listener: TcpListener, streams: Streams) {
    let mut open = JoinSet::new();
    while let Ok((stream, from)) = listener.accept().await {
        open.spawn(streams.clone().answer(stream, from));
    }
}

async fn read_messages(mut read: impl AsyncRead + Unpin, from: SocketAddr, inbox: mpsc::Sender<Received>) {
    let mut framer = Framer::new();
    let mut chunk = vec![0; 4096];
    while let Ok(len @ 1..) = read.read(&mut chunk).await {
        framer.push(&chunk[..len]);
        while let Some(framed) = framer.next() {
            match framed {
                Framed::Message(octets) => {
                    if inbox.send(Received { octets, from }).await.is_err() {
                        return;
                    }
                }
                Framed::Ping | Framed::Pong => {}
                Framed::Broken { .. } => return,
            }
        }
    }
}
