//! One stream's life, plain or private: messages read, messages written, until either side is done.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::News;
use crate::sip::flow::Peer;
use crate::sip::frame::{Framed, Framer};

/// How long one write may take before the peer counts as gone.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Octets read from a stream at a time.
const READ_BYTES: usize = 8 * 1024;

/// How long a connection made with a certificate that has been replaced may be silent. Longer than the pauses within an
/// exchange, shorter than the minute between two OPTIONS, so that peers who keep asking come to see the new certificate.
const RETIRED_IDLE: Duration = Duration::from_secs(20);

/// What a connection is told, and whom it tells.
pub(super) struct Line {
    /// Messages to write; closed when the connection is to close.
    pub(super) queue: mpsc::Receiver<Bytes>,
    /// Where what arrives goes.
    pub(super) news: mpsc::Sender<News>,
    /// Octets of the longest message that is taken.
    pub(super) message_bytes: usize,
    /// Silence after which it closes.
    pub(super) idle: Duration,
    /// Silence after which we ask for a sign of life (RFC 5626 section 4.4.1), on connections that we opened.
    pub(super) keep_alive: Option<Duration>,
    /// Changes when the certificate that the connection was made with is replaced.
    pub(super) retired: Option<watch::Receiver<u64>>,
}

/// Talks until the peer leaves, breaks the framing or falls silent, or we are told to close.
pub(super) async fn talk<S>(stream: &mut S, peer: Peer, line: &mut Line) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut framer = Framer::up_to(line.message_bytes);
    let mut buffer = vec![0; READ_BYTES];
    // Only whole messages and keep-alives count as use: a peer that trickles octets is as good as silent.
    let mut used = Instant::now();
    let mut said = used;
    let mut idle = line.idle;
    loop {
        let closes = used + idle;
        let pings = line.keep_alive.map(|pause| said.max(used) + pause);
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let length = read?;
                if length == 0 {
                    break;
                }
                framer.push(buffer.get(..length).unwrap_or_default());
                match deliver(stream, &mut framer, peer, line).await? {
                    Delivered::Nothing => {}
                    Delivered::Something => used = Instant::now(),
                    Delivered::Last => break,
                }
            }
            message = line.queue.recv() => match message {
                Some(message) => {
                    write(stream, &message).await?;
                    used = Instant::now();
                }
                None => break, // the door has closed this connection
            },
            () = tokio::time::sleep_until(pings.map_or(closes, |at| at.min(closes))) => {
                if Instant::now() >= closes {
                    break;
                }
                write(stream, b"\r\n\r\n").await?;
                said = Instant::now();
            }
            () = replaced(&mut line.retired) => {
                idle = idle.min(RETIRED_IDLE);
                line.keep_alive = None;
            }
        }
    }
    // The peer learns that this is the end and nothing was cut off (RFC 8446 section 6.1).
    timeout(WRITE_MAX, stream.shutdown()).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Resolves once, when the certificate is replaced.
async fn replaced(retired: &mut Option<watch::Receiver<u64>>) {
    match retired {
        Some(watched) => {
            // An error means that nobody is left who could replace it.
            let told = watched.changed().await;
            *retired = None;
            if told.is_err() {
                std::future::pending().await
            }
        }
        None => std::future::pending().await,
    }
}

enum Delivered {
    Nothing,
    Something,
    /// The connection must close.
    Last,
}

/// Hands on what the framer has.
async fn deliver<S>(stream: &mut S, framer: &mut Framer, peer: Peer, line: &mut Line) -> io::Result<Delivered>
where
    S: AsyncWrite + Unpin,
{
    let mut delivered = Delivered::Nothing;
    while let Some(framed) = framer.next() {
        delivered = Delivered::Something;
        let news = match framed {
            Framed::Message(message) => News::Message(peer, message),
            Framed::Ping => {
                write(stream, b"\r\n").await?;
                continue;
            }
            Framed::Pong => continue,
            Framed::Broken { head, why } => {
                tracing::info!(remote = %peer.remote, %why, "SIP framing lost; closing the connection");
                if line.news.send(News::Broken(peer, head)).await.is_ok() {
                    // What the door answers, it answers now; then it closes the queue.
                    while let Some(message) = line.queue.recv().await {
                        write(stream, &message).await?;
                    }
                }
                return Ok(Delivered::Last);
            }
        };
        if line.news.send(news).await.is_err() {
            return Ok(Delivered::Last);
        }
    }
    Ok(delivered)
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, octets: &[u8]) -> io::Result<()> {
    let write = async {
        stream.write_all(octets).await?;
        stream.flush().await // TLS holds octets back otherwise
    };
    timeout(WRITE_MAX, write).await.map_err(|_| io::ErrorKind::TimedOut)?
}
