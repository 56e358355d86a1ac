//! The door for HTTP connections: a limit on how many, an end for those that bring nothing, and TLS where it is wanted.
//!
//! A connection to which nothing was written for [`IDLE_MAX`] is closed. That one rule ends the
//! forgotten keep-alive, the client that sends its head a byte a minute, and the reader that stopped
//! reading; everything honest is written to in time: event streams have a beat, and while a request is
//! handled its own limit counts instead ([`Source::is_asked`]), for nothing can be written before the
//! answer. Whoever hands a connection to something with a clock of its own says so
//! ([`Source::keeps_own_time`]).
//!
//! When the house is full, a newcomer takes the place of the connection that has been in it longest without proving
//! anything: whoever has shown a token or secret that is good ([`Source::has_proven`]) keeps their place. So any number of
//! connections that say nothing keeps nobody out.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::tls::TlsError;

/// Longer than any answer or beat takes, shorter than anybody's patience with a full house.
const IDLE_MAX: Duration = Duration::from_secs(75);
/// Pause when the process has no descriptor left: accepting again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// A TLS handshake may take this long; it is two round trips and one signature.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// One that was pushed out may be busy for a moment with what it was asked last; after this the next one goes, too.
const PUSHED_OUT_WITHIN: Duration = Duration::from_millis(100);

/// As whom TLS is spoken, asked anew for every connection.
pub(crate) type AsWhom = Arc<dyn Fn() -> Result<Arc<ServerConfig>, TlsError> + Send + Sync>;

/// Where a connection comes from, and its standing in the house.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The address.
    pub(crate) address: IpAddr,
    standing: Arc<Standing>,
}

#[derive(Debug)]
struct Standing {
    number: u64,
    keeps_own_time: AtomicBool,
    /// Requests that are being handled.
    asked: AtomicUsize,
    house: Arc<House>,
}

/// A request of a connection is being handled.
#[derive(Debug)]
pub(crate) struct Asked(Arc<Standing>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.asked.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Source {
    /// Whoever is there has shown who they are: nobody takes their place.
    pub(crate) fn has_proven(&self) {
        self.standing.house.unproven().remove(&self.standing.number);
    }

    /// A request is handled for as long as the value lives, and whoever holds it sees to it that this ends.
    pub(crate) fn is_asked(&self) -> Asked {
        self.standing.asked.fetch_add(1, Ordering::Relaxed);
        Asked(self.standing.clone())
    }

    /// What happens on the connection has limits of its own from here on.
    pub(crate) fn keeps_own_time(&self) {
        self.standing.keeps_own_time.store(true, Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, Door>> for Source {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Source {
        Source { address: stream.remote_addr().ip(), standing: stream.io().standing.clone() }
    }
}

/// Who is in, and has proven nothing yet: the oldest first.
#[derive(Debug, Default)]
struct House {
    unproven: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
}

impl House {
    fn unproven(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<()>>> {
        self.unproven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the oldest that has proven nothing to go. False if there is none.
    fn push_out(&self) -> bool {
        let Some((_, go)) = self.unproven().pop_first() else { return false };
        // One that is going by itself needs no telling.
        let _gone = go.send(());
        true
    }
}

/// Accepts connections while there is room.
pub(crate) struct Door {
    listener: TcpListener,
    room: Arc<Semaphore>,
    house: Arc<House>,
    next: u64,
    as_whom: Option<AsWhom>,
}

impl Door {
    pub(crate) fn new(listener: TcpListener, connections_max: usize) -> Door {
        let room = Arc::new(Semaphore::new(connections_max.clamp(1, Semaphore::MAX_PERMITS)));
        Door { listener, room, house: Arc::default(), next: 0, as_whom: None }
    }

    /// The same over TLS.
    pub(crate) fn private(self, as_whom: AsWhom) -> Door {
        Door { as_whom: Some(as_whom), ..self }
    }

    async fn place(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(place) = self.room.clone().try_acquire_owned() {
                return place;
            }
            let somebody_goes = self.house.push_out();
            let wait = if somebody_goes { PUSHED_OUT_WITHIN } else { IDLE_MAX };
            // It is never closed, so what comes is a place, or time that has passed.
            if let Ok(Ok(place)) = timeout(wait, self.room.clone().acquire_owned()).await {
                return place;
            }
        }
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    // Small answers should not wait for an acknowledgement.
                    let _ = stream.set_nodelay(true);
                    let place = self.place().await;
                    self.next += 1;
                    let (go, told_to_go) = oneshot::channel();
                    self.house.unproven().insert(self.next, go);
                    let standing = Standing {
                        number: self.next,
                        keeps_own_time: AtomicBool::new(false),
                        asked: AtomicUsize::new(0),
                        house: self.house.clone(),
                    };
                    let wire = match &self.as_whom {
                        None => Wire::Plain(stream),
                        Some(as_whom) => Wire::Shaking(Box::pin(shaken(stream, as_whom.clone()))),
                    };
                    let idle = Box::pin(sleep(IDLE_MAX));
                    let standing = Arc::new(standing);
                    let told_to_go = Some(told_to_go);
                    let connection =
                        Connection { wire, idle, told_to_go, is_out: false, standing, _place: place };
                    return (connection, peer);
                }
                Err(error) => {
                    tracing::debug!(error = %error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn shaken(stream: TcpStream, as_whom: AsWhom) -> io::Result<TlsStream<TcpStream>> {
    let config = as_whom().map_err(|error| {
        tracing::error!(%error, "TLS cannot be spoken");
        io::Error::other(error)
    })?;
    let shaking = timeout(HANDSHAKE_MAX, TlsAcceptor::from(config).accept(stream)).await;
    shaking.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// One connection, with its place and its clock.
pub(crate) struct Connection {
    wire: Wire,
    idle: Pin<Box<Sleep>>,
    told_to_go: Option<oneshot::Receiver<()>>,
    is_out: bool,
    standing: Arc<Standing>,
    _place: OwnedSemaphorePermit,
}

enum Wire {
    Plain(TcpStream),
    /// The handshake goes on whenever the connection is read from or written to: in its own task, where it delays nobody.
    Shaking(Pin<Box<dyn Future<Output = io::Result<TlsStream<TcpStream>>> + Send>>),
    Private(Box<TlsStream<TcpStream>>),
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.standing.house.unproven().remove(&self.standing.number);
    }
}

impl Connection {
    /// What waits for the peer waits no longer than the clock, and not in another's place.
    fn or_idle<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            return poll;
        }
        if let Some(told) = &mut self.told_to_go
            && let Poll::Ready(told) = Pin::new(told).poll(context)
        {
            // The sender of whoever has proven themselves is dropped: they will not be told.
            self.told_to_go = None;
            self.is_out = told.is_ok();
        }
        if self.is_out {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let standing = &self.standing;
        let timed =
            !standing.keeps_own_time.load(Ordering::Relaxed) && standing.asked.load(Ordering::Relaxed) == 0;
        if timed && self.idle.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        poll
    }

    fn wrote(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(poll, Poll::Ready(Ok(1..))) {
            self.idle.as_mut().reset(Instant::now() + IDLE_MAX);
        }
        self.or_idle(context, poll)
    }

    /// The wire as it can be read from and written to, once the handshake is done.
    fn ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Line<'_>>> {
        if let Wire::Shaking(shaking) = &mut self.wire {
            match shaking.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(private)) => self.wire = Wire::Private(Box::new(private)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        match &mut self.wire {
            Wire::Plain(stream) => Poll::Ready(Ok(Line::Plain(Pin::new(stream)))),
            Wire::Private(stream) => Poll::Ready(Ok(Line::Private(Pin::new(&mut **stream)))),
            Wire::Shaking(_) => Poll::Pending,
        }
    }
}

/// A wire whose handshake, if there is one, is done.
enum Line<'a> {
    Plain(Pin<&'a mut TcpStream>),
    Private(Pin<&'a mut TlsStream<TcpStream>>),
}

/// The same done to either kind of line.
macro_rules! on_line {
    ($self:ident, $context:ident, $line:ident => $act:expr) => {
        match $self.ready($context) {
            Poll::Ready(Ok(Line::Plain($line))) => $act,
            Poll::Ready(Ok(Line::Private($line))) => $act,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = on_line!(self, context, line => line.poll_read(context, buffer));
        self.or_idle(context, poll)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = on_line!(self, context, line => line.poll_write(context, bytes));
        self.wrote(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = on_line!(self, context, line => line.poll_write_vectored(context, bytes));
        self.wrote(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Plain(stream) => stream.is_write_vectored(),
            Wire::Private(stream) => stream.is_write_vectored(),
            Wire::Shaking(_) => false,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_line!(self, context, line => line.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.wire, Wire::Shaking(_)) {
            // There is nothing to end politely.
            return Poll::Ready(Ok(()));
        }
        on_line!(self, context, line => line.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::advance;

    use super::*;

    async fn door(places: usize) -> (Door, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Door::new(listener, places), address)
    }

    fn source(connection: &Connection) -> Source {
        Source { address: IpAddr::from([127, 0, 0, 1]), standing: connection.standing.clone() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_nobody_writes_to_is_closed_however_much_it_sends() {
        let (mut door, address) = door(1).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = door.accept().await;
        let begun = Instant::now();
        advance(IDLE_MAX / 2).await;
        connection.write_all(b"HTTP/1.1 200 OK").await.unwrap();
        let answered = Instant::now();
        // A head that never ends, a byte now and then.
        for _ in 0..3 {
            advance(IDLE_MAX / 4).await;
            client.write_all(b"G").await.unwrap();
            assert_eq!(connection.read(&mut [0; 16]).await.unwrap(), 1);
        }
        let error = connection.read(&mut [0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(answered.elapsed() >= IDLE_MAX && begun.elapsed() < 2 * IDLE_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_a_clock_of_its_own_is_left_to_it() {
        let (mut door, address) = door(1).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = door.accept().await;
        source(&connection).keeps_own_time();
        advance(IDLE_MAX * 3).await;
        client.write_all(b"sound").await.unwrap();
        assert_eq!(connection.read(&mut [0; 16]).await.unwrap(), 5);
        let mut buffer = [0; 16];
        let waits = timeout(IDLE_MAX * 3, connection.read(&mut buffer)).await;
        assert!(waits.is_err(), "it waits on: {waits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_has_the_time_it_needs_and_the_clock_begins_anew_with_its_answer() {
        let (mut door, address) = door(1).await;
        let _client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = door.accept().await;
        let mut buffer = [0; 16];
        let asked = source(&connection).is_asked();
        let waits = timeout(IDLE_MAX * 3, connection.read(&mut buffer)).await;
        assert!(waits.is_err(), "it waits on: {waits:?}");
        drop(asked);
        connection.write_all(b"HTTP/1.1 200 OK").await.unwrap();
        let answered = Instant::now();
        let error = connection.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(answered.elapsed() >= IDLE_MAX);
    }

    #[tokio::test]
    async fn a_newcomer_takes_the_place_of_the_oldest_who_has_proven_nothing() {
        let (mut door, address) = door(2).await;
        let _clients =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let ((mut first, _), (mut second, _)) = (door.accept().await, door.accept().await);
        source(&first).has_proven();
        let pushed_out = tokio::spawn(async move {
            let error = second.read(&mut [0; 16]).await.unwrap_err();
            error.kind()
        });
        let mut third = TcpStream::connect(address).await.unwrap();
        let (mut taken, _) = door.accept().await;
        assert_eq!(pushed_out.await.unwrap(), io::ErrorKind::ConnectionAborted);
        third.write_all(b"hello").await.unwrap();
        assert_eq!(taken.read(&mut [0; 16]).await.unwrap(), 5);
        first.write_all(b"still here").await.unwrap();
        // With nobody left to push out, a newcomer waits until somebody goes.
        source(&taken).has_proven();
        let _fourth = TcpStream::connect(address).await.unwrap();
        let waiting = tokio::spawn(async move { door.accept().await.1 });
        drop(first);
        waiting.await.unwrap();
    }
}
