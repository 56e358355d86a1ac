//! The task that gives the door a clock and its sockets, and each leg a way for its packets.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use sbc_config::{Config, Webrtc};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::bridge::{Bridge, LegWire};
use crate::call::LegId;
use crate::call::door::{Order, Report};
use crate::observe::metrics as names;

use super::connections::{Connection, Connections, Listener, News};
use super::door::{Door, Wanted};
use super::dtls::{DtlsError, Identity};
use super::frame::PACKET_BYTES_MAX;
use super::place::Place;
use super::presence::Browsers;
use super::sdp::Here;
use super::signal::Asked;

/// Datagrams, and pieces of streams, handled in one go, before orders and timers have their turn.
const BURST_MAX: usize = 64;

/// What the kernel may keep for us while we do something else, in octets, and for the network while all rooms speak at
/// once: a tenth of a second of two thousand browsers. It gives what its own limit lets it.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// What the door is connected to.
pub struct Pieces {
    /// The configuration in force.
    pub config: Arc<ArcSwap<Config>>,
    /// The bridge, for the wires of legs.
    pub bridge: Bridge,
    /// Who listens.
    pub browsers: Browsers,
    /// Orders of the switchboard.
    pub orders: mpsc::Receiver<Order>,
    /// Reports to it.
    pub reports: mpsc::Sender<Report>,
    /// What browsers ask.
    pub asked: mpsc::Receiver<Asked>,
}

/// Why the door did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The port.
    #[error("could not listen for WebRTC on {protocol} {at}; is another program using it?")]
    Listen {
        /// Of UDP or TCP.
        protocol: &'static str,
        /// The address.
        at: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate.
    #[error("WebRTC cannot be spoken")]
    Identity(#[from] DtlsError),
    /// The operating system has no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(getrandom::Error),
}

/// The door, open and not yet running.
pub struct Rtc {
    door: Door,
    socket: Arc<UdpSocket>,
    listener: Listener,
    pieces: Pieces,
}

/// The way of a leg's packets.
#[derive(Default)]
struct Way {
    wire: Option<LegWire>,
    target: Arc<ArcSwapOption<Target>>,
}

/// Where a leg's packets go.
enum Target {
    Datagrams(SocketAddr),
    Stream(Arc<Connection>),
}

impl Rtc {
    /// Opens the ports. `own_address` is what browsers are told when we listen everywhere and nothing else is said.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        listen: SocketAddr,
        settings: &Webrtc,
        own_address: IpAddr,
        pieces: Pieces,
    ) -> Result<Rtc, OpenError> {
        let failed = |protocol: &'static str, at: SocketAddr| {
            move |source: io::Error| OpenError::Listen { protocol, at, source }
        };
        let socket = bind(listen).map_err(failed("UDP", listen))?;
        let bound = socket.local_addr().unwrap_or(listen);
        let listener = Listener::bind(settings.tcp);
        let listener = listener.map_err(failed("TCP", settings.tcp.unwrap_or(listen)))?;
        let told = |bound: SocketAddr| {
            let ip = if bound.ip().is_unspecified() { own_address } else { bound.ip() };
            SocketAddr::new(settings.advertised.unwrap_or(ip), bound.port())
        };
        let at = Here { udp: told(bound), tcp: listener.local_addr().map(told) };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(OpenError::Randomness)?;
        let door = Door::new(pieces.config.clone(), pieces.browsers.clone(), Identity::new()?, at, seed);
        Ok(Rtc { door, socket: Arc::new(socket), listener, pieces })
    }

    /// Where browsers are listened to.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// Runs until the switchboard is gone.
    pub async fn run(self) {
        let Rtc { mut door, socket, listener, pieces } = self;
        let mut connections = Connections::new();
        let Pieces { bridge, mut orders, reports, mut asked, .. } = pieces;
        let mut ways = Ways { socket: socket.clone(), legs: HashMap::new() };
        // Longer ones are cut by the kernel, and prove nothing then.
        let mut datagram = [0; PACKET_BYTES_MAX];
        let mut counted = (0, 0);
        let mut shaking = false;
        loop {
            while let Some(wanted) = door.poll() {
                match wanted {
                    Wanted::Report(report) => {
                        if let Report::Agreed(leg, _) = &report {
                            match bridge.wire(*leg) {
                                Some(wire) => ways.open(*leg, wire),
                                None => tracing::error!(%leg, "a browser's leg has no wire"),
                            }
                        }
                        if reports.send(report).await.is_err() {
                            return;
                        }
                    }
                    // What the kernel does not take is lost, as on any network.
                    Wanted::Send(Place { at, stream: None }, octets) => drop(socket.try_send_to(&octets, at)),
                    Wanted::Send(Place { stream: Some(id), .. }, octets) => {
                        if let Some(connection) = connections.get(id) {
                            connection.send(&octets);
                        }
                    }
                    Wanted::Target(leg, to) => ways.aim(leg, to.and_then(|to| target(&connections, to))),
                    Wanted::Close(id) => connections.close(id),
                    Wanted::Over(leg) => ways.close(leg),
                }
            }
            let wake = door.poll_timeout();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => survive(|| door.order(Instant::now(), order)),
                    None => return,
                },
                Some(asked) = asked.recv() => survive(|| {
                    let told = door.ask(Instant::now(), &asked.person, asked.request);
                    // A caller who no longer waits has gone; a leg of theirs is given up when nobody connects.
                    let _gone = asked.answer.send(told);
                }),
                readable = socket.readable() => if let Err(error) = readable {
                    tracing::error!(%error, "the WebRTC socket cannot be read");
                    return;
                },
                (stream, from) = listener.accept() => survive(|| {
                    if let Some(id) = door.accept(Instant::now(), from) {
                        connections.adopt(id, stream);
                    }
                }),
                news = connections.news() => survive(|| hear(&mut door, &ways, Instant::now(), news)),
                () = sleep_until(wake) => survive(|| door.handle_timeout(Instant::now())),
                () = std::future::ready(()), if shaking => {}
            }
            let now = Instant::now();
            for _ in 0..BURST_MAX {
                // An error is none to read after all, or the echo of a datagram that found nobody.
                let Ok((length, from)) = socket.try_recv_from(&mut datagram) else { break };
                let octets = &datagram[..length];
                survive(|| {
                    if let Some(leg) = door.receive(now, from.into(), octets) {
                        ways.push(leg, octets.to_vec());
                    }
                });
            }
            for _ in 0..BURST_MAX {
                let Some(news) = connections.told() else { break };
                survive(|| hear(&mut door, &ways, now, news));
            }
            // One step of one handshake, and then it is the turn of everybody's sound again.
            survive(|| shaking = door.shake(now));
            if (door.legs(), door.streams()) != counted {
                counted = (door.legs(), door.streams());
                metrics::gauge!(names::WEBRTC_LEGS).set(counted.0 as f64);
                metrics::gauge!(names::WEBRTC_TCP_CONNECTIONS).set(counted.1 as f64);
            }
        }
    }
}

fn hear(door: &mut Door, ways: &Ways, now: Instant, news: News) {
    match news {
        News::Octets(id, octets) => door.read(now, id, &octets, |leg, packet| ways.push(leg, packet)),
        News::Ended(id) => door.ended(now, id),
    }
}

fn target(connections: &Connections, to: Place) -> Option<Target> {
    match to.stream {
        None => Some(Target::Datagrams(to.at)),
        // One that has just ended is told of next.
        Some(id) => connections.get(id).cloned().map(Target::Stream),
    }
}

struct Ways {
    socket: Arc<UdpSocket>,
    legs: HashMap<LegId, Way>,
}

impl Ways {
    fn way(&mut self, leg: LegId) -> &mut Way {
        self.legs.entry(leg).or_default()
    }

    fn aim(&mut self, leg: LegId, to: Option<Target>) {
        self.way(leg).target.store(to.map(Arc::new));
    }

    /// The leg's media is open: its packets go out from now on, on the room's thread. Nobody needs to be woken for each,
    /// and a door that is late, in a handshake say, makes no hole in anybody's line.
    fn open(&mut self, leg: LegId, wire: LegWire) {
        let socket = self.socket.clone();
        let way = self.way(leg);
        let target = way.target.clone();
        wire.leave_by(move |packet| {
            // As with any socket of media: what is not taken is lost.
            match target.load().as_deref() {
                Some(Target::Datagrams(to)) => drop(socket.try_send_to(packet, *to)),
                Some(Target::Stream(connection)) => connection.send(packet),
                None => {}
            }
        });
        way.wire = Some(wire);
    }

    /// Media of a browser's, to its room.
    fn push(&self, leg: LegId, packet: Vec<u8>) {
        // Before its media is open there is nobody to hear it.
        if let Some(wire) = self.legs.get(&leg).and_then(|way| way.wire.as_ref()) {
            wire.push(packet);
        }
    }

    /// The leg is over. Its room may be open for a while yet: nothing of it goes out any more (RFC 7675 section 5.2), and
    /// no connection is kept for it.
    fn close(&mut self, leg: LegId) {
        if let Some(way) = self.legs.remove(&leg) {
            way.target.store(None);
        }
    }
}

fn bind(at: SocketAddr) -> io::Result<UdpSocket> {
    let domain = socket2::Domain::for_address(at);
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Less is no reason not to start.
    let _as_much_as_it_lets = socket.set_recv_buffer_size(BUFFER_BYTES);
    let _as_much_as_it_lets = socket.set_send_buffer_size(BUFFER_BYTES);
    socket.bind(&at.into())?;
    UdpSocket::from_std(socket.into())
}

/// A defect met while one thing is handled must not take the door from everybody.
fn survive(step: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(step)).is_err() {
        tracing::error!("a defect in the WebRTC door; what it was doing is lost, the door goes on");
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_leg_that_is_over_is_sent_nothing_however_long_its_room_is_open() {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (ours, theirs) = (bind(local).unwrap(), bind(local).unwrap());
        let to = theirs.local_addr().unwrap();
        ours.writable().await.unwrap();
        let mut ways = Ways { socket: Arc::new(ours), legs: HashMap::new() };
        let leg = LegId(7);
        let (wire, room) = LegWire::new().unwrap();
        ways.open(leg, wire);
        room.send(b"to nowhere");
        ways.aim(leg, Some(Target::Datagrams(to)));
        room.send(b"sound");
        let mut datagram = [0; 64];
        let mut came = async || {
            let length = theirs.recv(&mut datagram).await.unwrap();
            datagram[..length].to_vec()
        };
        assert_eq!(came().await, b"sound");
        ways.close(leg);
        room.send(b"to one who has gone");
        ways.socket.send_to(b"after that", to).await.unwrap();
        assert_eq!(came().await, b"after that");
    }
}
