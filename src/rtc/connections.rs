//! The sockets of ICE over TCP: octets in, whole packets out.
//!
//! Each connection has a task that reads it; what it reads goes to the door's task, which cuts it into packets and judges
//! them. What leaves is written where it is made, on the room's thread or the door's: the socket never waits. The kernel
//! keeps little that has not been sent, so a reader that is slow gets fewer packets and not older ones.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::SendFlags;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::frame::{Left, Writer};
use super::place::StreamId;

/// Octets read at a time: twenty packets of sound, of which there is one in 20 ms.
const READ_BYTES: usize = 4096;

/// What has been read and not yet been handled, in pieces of [`READ_BYTES`] at most: a megabyte. Readers wait when it is
/// full, and their peers then.
const NEWS_MAX: usize = 256;

/// What the kernel may keep of a connection's packets before it has sent them: a fifth of a second of G.711. What more there
/// is to be said is dropped.
const UNSENT_BYTES: u32 = 2048;

/// After a failure to accept (no descriptor is left, say) the next try has so much time: others are served meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the connections' tasks tell.
pub(super) enum News {
    /// Octets have come.
    Octets(StreamId, Vec<u8>),
    /// It is over.
    Ended(StreamId),
}

/// One connection, for whoever writes to it. Cheap to share.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    /// Held while the socket takes what it takes, which is never waited for.
    writer: Mutex<Writer>,
    /// There is something to write later, or it is over.
    stirred: Notify,
    over: AtomicBool,
}

impl Connection {
    fn new(socket: TcpStream) -> io::Result<Connection> {
        socket.set_nodelay(true)?;
        SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_BYTES)?;
        let (writer, stirred, over) = (Mutex::default(), Notify::new(), AtomicBool::new(false));
        Ok(Connection { socket, writer, stirred, over })
    }

    /// Sends a packet, if there is room for it; whole, or not at all.
    pub(super) fn send(&self, packet: &[u8]) {
        let left = self.writer().send(packet, |octets| self.write(octets));
        match left {
            Ok(Left::Whole | Left::Dropped) => {}
            Ok(Left::Begun) => self.stirred.notify_one(),
            Err(_) => self.end(),
        }
    }

    /// Without a packet's end being marked, the kernel would go on filling what it has not sent beyond the limit.
    fn write(&self, octets: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::EOR | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        self.socket.try_io(Interest::WRITABLE, || Ok(rustix::net::send(&self.socket, octets, flags)?))
    }

    /// Ends it, whoever else still holds it: what was written is sent, nothing more is.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.stirred.notify_one();
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn live(self: Arc<Self>, id: StreamId, news: mpsc::Sender<News>) {
        // Whatever goes wrong on a connection is its end, and nobody's business.
        let _why = self.talk(id, &news).await;
        self.over.store(true, Ordering::Release);
        let _closed_by_them = SockRef::from(&self.socket).shutdown(std::net::Shutdown::Both);
        let _door_is_gone = news.send(News::Ended(id)).await;
    }

    async fn talk(&self, id: StreamId, news: &mpsc::Sender<News>) -> io::Result<()> {
        let mut buffer = [0; READ_BYTES];
        while !self.over.load(Ordering::Acquire) {
            let under_way = self.writer().is_under_way();
            tokio::select! {
                readable = self.socket.readable() => {
                    readable?;
                    let length = match self.socket.try_read(&mut buffer) {
                        Ok(0) => return Ok(()),
                        Ok(length) => length,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                        Err(error) => return Err(error),
                    };
                    let octets = buffer.get(..length).unwrap_or_default().to_vec();
                    if news.send(News::Octets(id, octets)).await.is_err() {
                        return Ok(());
                    }
                }
                writable = self.socket.writable(), if under_way => {
                    writable?;
                    self.writer().flush(|octets| self.write(octets))?;
                }
                () = self.stirred.notified() => {}
            }
        }
        Ok(())
    }
}

/// Where connections are listened for, if they are.
pub(super) struct Listener(Option<TcpListener>);

impl Listener {
    /// Listens there, if anywhere.
    pub(super) fn bind(at: Option<SocketAddr>) -> io::Result<Listener> {
        let Some(at) = at else { return Ok(Listener(None)) };
        let listener = StdListener::bind(at)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Some).map(Listener)
    }

    /// Where it listens.
    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.0.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// The next that connects. Cancel-safe.
    pub(super) async fn accept(&self) -> (TcpStream, SocketAddr) {
        let Some(listener) = &self.0 else { return std::future::pending().await };
        loop {
            match listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "a browser's connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// The connections that are open.
pub(super) struct Connections {
    open: HashMap<StreamId, Arc<Connection>>,
    news: mpsc::Receiver<News>,
    news_in: mpsc::Sender<News>,
    tasks: JoinSet<()>,
}

impl Connections {
    pub(super) fn new() -> Connections {
        let (news_in, news) = mpsc::channel(NEWS_MAX);
        Connections { open: HashMap::new(), news, news_in, tasks: JoinSet::new() }
    }

    /// Takes care of a connection from now on.
    pub(super) fn adopt(&mut self, id: StreamId, socket: TcpStream) {
        match Connection::new(socket).map(Arc::new) {
            Ok(connection) => {
                self.open.insert(id, connection.clone());
                self.tasks.spawn(connection.live(id, self.news_in.clone()));
            }
            // It has ended already. If there is no room to tell of it, the door gives it the time that any other has.
            Err(_) => drop(self.news_in.try_send(News::Ended(id))),
        }
    }

    /// The connection, to write to.
    pub(super) fn get(&self, id: StreamId) -> Option<&Arc<Connection>> {
        self.open.get(&id)
    }

    /// Ends a connection.
    pub(super) fn close(&mut self, id: StreamId) {
        if let Some(connection) = self.open.remove(&id) {
            connection.end();
        }
    }

    /// What the next one tells. Cancel-safe.
    pub(super) async fn news(&mut self) -> News {
        loop {
            tokio::select! {
                // We hold a sender: there is always one.
                Some(news) = self.news.recv() => return self.heard(news),
                Some(_ended) = self.tasks.join_next() => {}
            }
        }
    }

    /// What has been told already.
    pub(super) fn told(&mut self) -> Option<News> {
        self.news.try_recv().ok().map(|news| self.heard(news))
    }

    fn heard(&mut self, news: News) -> News {
        if let News::Ended(id) = news {
            self.open.remove(&id);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::rtc::frame::Framer;

    /// A connection with its task, and its far end.
    async fn pair() -> (Connections, Arc<Connection>, TcpStream) {
        let listener = Listener::bind(Some((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, _) = listener.accept().await;
        let mut all = Connections::new();
        all.adopt(StreamId(1), ours);
        let connection = all.get(StreamId(1)).unwrap().clone();
        connection.socket.writable().await.unwrap();
        (all, connection, theirs)
    }

    #[tokio::test]
    async fn a_reader_that_stops_gets_whole_packets_and_few_old_ones() {
        const MADE: u32 = 20_000;
        let (mut all, connection, mut theirs) = pair().await;
        // Nobody reads: what the kernels between hold is full soon, and nothing here waits for it.
        for n in 0..MADE {
            connection.send(&[&n.to_be_bytes()[..], &[7; 168]].concat());
        }
        let packet_of = |packet: &[u8]| u32::from_be_bytes(*packet.first_chunk().unwrap());
        let (mut framer, mut buffer) = (Framer::default(), [0; 4096]);
        let mut came = Vec::new();
        // Then they read, and what is said from now on comes.
        let mut more = MADE;
        while came.last().is_none_or(|last| *last < MADE) {
            tokio::select! {
                length = theirs.read(&mut buffer) => framer.push(&buffer[..length.unwrap()]),
                writable = connection.socket.writable() => {
                    writable.unwrap();
                    connection.send(&[&more.to_be_bytes()[..], &[7; 168]].concat());
                    more += 1;
                }
            }
            while let Some(packet) = framer.pop().unwrap() {
                assert_eq!((packet.len(), &packet[4..]), (172, &[7; 168][..]));
                came.push(packet_of(&packet));
            }
        }
        assert!(came.is_sorted(), "in order");
        let old = came.iter().filter(|n| **n < MADE).count();
        assert!((1..MADE as usize / 2).contains(&old), "{old} of {MADE} waited; the rest was dropped");
        all.close(StreamId(1));
        while theirs.read(&mut buffer).await.unwrap() > 0 {}
        assert!(matches!(all.news().await, News::Ended(StreamId(1))));
    }

    #[tokio::test]
    async fn whoever_holds_a_connection_does_not_hold_it_open() {
        let (mut all, connection, mut theirs) = pair().await;
        all.close(StreamId(1));
        assert_eq!(theirs.read(&mut [0; 8]).await.unwrap(), 0, "they see its end");
        assert!(matches!(all.news().await, News::Ended(StreamId(1))));
        connection.send(b"to nobody");
        assert!(all.get(StreamId(1)).is_none() && all.told().is_none());
    }

    #[tokio::test]
    async fn what_comes_is_told_and_so_is_the_end() {
        use tokio::io::AsyncWriteExt as _;

        let (mut all, _connection, mut theirs) = pair().await;
        theirs.write_all(b"octets").await.unwrap();
        let News::Octets(StreamId(1), octets) = all.news().await else { panic!("no octets") };
        assert!(!octets.is_empty() && b"octets".starts_with(&octets[..]));
        drop(theirs);
        loop {
            if let News::Ended(id) = all.news().await {
                break assert_eq!(id, StreamId(1));
            }
        }
    }
}
