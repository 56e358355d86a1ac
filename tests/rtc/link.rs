//! What a browser's packets go by: datagrams, or a connection of its own with a length before each packet (RFC 4571).

use std::net::SocketAddr;

use str0m::Candidate;
use str0m::net::{Protocol, TcpType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;

type Wrong = Box<dyn std::error::Error>;

/// What a browser sends by.
pub(crate) enum Link {
    Datagrams(UdpSocket),
    /// Packets read from a connection, packets to be written to it, and its two ends.
    Stream(mpsc::UnboundedReceiver<Vec<u8>>, mpsc::UnboundedSender<Vec<u8>>, SocketAddr, SocketAddr),
    /// It has broken.
    Nothing,
}

impl Link {
    /// Connects to where the gateway says that it may be.
    pub(crate) async fn connect(answer: &str) -> Result<Link, Wrong> {
        let stream = TcpStream::connect(tcp_of(answer)?).await?;
        stream.set_nodelay(true)?;
        let (ours, theirs) = (stream.local_addr()?, stream.peer_addr()?);
        let (mut reads, mut writes) = stream.into_split();
        let (came, packets) = mpsc::unbounded_channel();
        let (out, mut wanted) = mpsc::unbounded_channel::<Vec<u8>>();
        tokio::spawn(async move {
            while let Ok(length) = reads.read_u16().await {
                let mut packet = vec![0; length.into()];
                if reads.read_exact(&mut packet).await.is_err() || came.send(packet).is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            while let Some(packet) = wanted.recv().await {
                // In three pieces: RFC 4571 says nothing of segments.
                let (head, tail) = packet.split_at(packet.len() / 2);
                let _broken = writes.write_u16(packet.len() as u16).await;
                for piece in [head, tail] {
                    let _broken = writes.write_all(piece).await;
                }
            }
        });
        Ok(Link::Stream(packets, out, ours, theirs))
    }

    pub(crate) fn local_addr(&self) -> std::io::Result<SocketAddr> {
        match self {
            Link::Datagrams(socket) => socket.local_addr(),
            Link::Stream(_, _, ours, _) => Ok(*ours),
            Link::Nothing => Err(std::io::ErrorKind::NotConnected.into()),
        }
    }

    /// What str0m is to know of a connection; of datagrams it knows already.
    pub(crate) fn candidate(&self) -> Result<Option<Candidate>, Wrong> {
        let Link::Stream(_, _, ours, _) = self else { return Ok(None) };
        Ok(Some(Candidate::builder().tcp().host(*ours).tcptype(TcpType::Active).build()?))
    }

    pub(crate) async fn receive(&mut self) -> (Protocol, SocketAddr, Vec<u8>) {
        match self {
            Link::Datagrams(socket) => loop {
                let mut datagram = vec![0; 2048];
                if let Ok((length, source)) = socket.recv_from(&mut datagram).await {
                    datagram.truncate(length);
                    return (Protocol::Udp, source, datagram);
                }
            },
            Link::Stream(packets, _, _, theirs) => match packets.recv().await {
                Some(packet) => (Protocol::Tcp, *theirs, packet),
                None => std::future::pending().await, // closed: nothing comes any more
            },
            Link::Nothing => std::future::pending().await,
        }
    }

    /// What does not get out is lost.
    pub(crate) fn send(&self, protocol: Protocol, to: SocketAddr, octets: &[u8]) {
        match self {
            Link::Datagrams(socket) if protocol == Protocol::Udp => {
                let _lost = socket.try_send_to(octets, to);
            }
            Link::Stream(_, out, _, theirs) if protocol == Protocol::Tcp && to == *theirs => {
                let _lost = out.send(octets.to_vec());
            }
            Link::Datagrams(_) | Link::Stream(..) | Link::Nothing => {}
        }
    }
}

/// Where the gateway may be connected to.
pub(crate) fn tcp_of(answer: &str) -> Result<SocketAddr, Wrong> {
    let candidates = answer.lines().filter_map(|line| line.strip_prefix("a=candidate:"));
    let mut passive = candidates.filter(|line| line.ends_with("tcptype passive"));
    let words: Vec<&str> = passive.next().ok_or("no candidate of TCP")?.split(' ').collect();
    Ok(format!("{}:{}", words[4], words[5]).parse()?)
}
