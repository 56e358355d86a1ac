//! The telephone's SIP socket: UDP, or TCP with a listener and connections of its own.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Transport;
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
    Tcp { connections: Connections, to_inbox: mpsc::Sender<Received> },
}

/// Open connections by the far address.
type Connections = Arc<Mutex<HashMap<SocketAddr, mpsc::Sender<Bytes>>>>;

impl Net {
    pub(super) async fn open(transport: Transport, ip: IpAddr) -> io::Result<Self> {
        let (to_inbox, inbox) = mpsc::channel(QUEUE_MAX);
        let mut tasks = JoinSet::new();
        let (local, out) = match transport {
            Transport::Udp => {
                let socket = Arc::new(UdpSocket::bind((ip, 0)).await?);
                tasks.spawn(receive_datagrams(socket.clone(), to_inbox));
                (socket.local_addr()?, Out::Udp(socket))
            }
            Transport::Tcp => {
                let listener = TcpListener::bind((ip, 0)).await?;
                let local = listener.local_addr()?;
                let connections = Connections::default();
                tasks.spawn(accept(listener, connections.clone(), to_inbox.clone()));
                (local, Out::Tcp { connections, to_inbox })
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
            Out::Tcp { connections, to_inbox } => {
                let known = connections.lock().unwrap_or_else(PoisonError::into_inner).get(&to).cloned();
                if let Some(connection) = known
                    && connection.send(octets.clone()).await.is_ok()
                {
                    return;
                }
                if let Ok(stream) = TcpStream::connect(to).await {
                    let (connection, task) = serve(stream, to, connections.clone(), to_inbox.clone());
                    self.tasks.spawn(task);
                    let _ = connection.send(octets).await;
                }
            }
        }
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

async fn accept(listener: TcpListener, connections: Connections, inbox: mpsc::Sender<Received>) {
    let mut open = JoinSet::new();
    while let Ok((stream, from)) = listener.accept().await {
        let (_, task) = serve(stream, from, connections.clone(), inbox.clone());
        open.spawn(task);
    }
}

/// Enters a connection in the list, and gives the way to write to it and the task that reads and writes.
fn serve(
    stream: TcpStream,
    far: SocketAddr,
    connections: Connections,
    inbox: mpsc::Sender<Received>,
) -> (mpsc::Sender<Bytes>, impl Future<Output = ()> + Send + 'static) {
    let (sender, mut outgoing) = mpsc::channel::<Bytes>(QUEUE_MAX);
    connections.lock().unwrap_or_else(PoisonError::into_inner).insert(far, sender.clone());
    let (read, mut write) = stream.into_split();
    let task = async move {
        let writing = async {
            while let Some(octets) = outgoing.recv().await {
                if write.write_all(&octets).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = writing => {}
            () = read_messages(read, far, inbox) => {}
        }
        connections.lock().unwrap_or_else(PoisonError::into_inner).remove(&far);
    };
    (sender, task)
}

async fn read_messages(mut read: OwnedReadHalf, from: SocketAddr, inbox: mpsc::Sender<Received>) {
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
