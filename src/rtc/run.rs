//! The task that gives the door a clock and its socket, and each leg a way for its packets.

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

use super::door::{Door, Wanted};
use super::dtls::{DtlsError, Identity};
use super::presence::Browsers;
use super::signal::Asked;

/// The longest datagram: what fits into a packet of an Ethernet, and a little for those who think otherwise. Longer
/// ones are cut by the kernel, and prove nothing then.
const DATAGRAM_BYTES_MAX: usize = 2048;

/// Datagrams handled in one go, before orders and timers have their turn.
const BURST_MAX: usize = 64;

/// What the kernel may keep for us while we do something else, in octets: a tenth of a second of two thousand browsers.
/// It gives what its own limit lets it.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

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
    #[error("could not listen for WebRTC on UDP {at}; is another program using it?")]
    Listen {
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
    pieces: Pieces,
}

/// The way of a leg's packets.
#[derive(Default)]
struct Way {
    wire: Option<LegWire>,
    target: Arc<ArcSwapOption<SocketAddr>>,
}

impl Rtc {
    /// Opens the port. `own_address` is what browsers are told when we listen everywhere and nothing else is said.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        listen: SocketAddr,
        settings: &Webrtc,
        own_address: IpAddr,
        pieces: Pieces,
    ) -> Result<Rtc, OpenError> {
        let socket = bind(listen).map_err(|source| OpenError::Listen { at: listen, source })?;
        let bound = socket.local_addr().unwrap_or(listen);
        let ip =
            settings.advertised.unwrap_or(if bound.ip().is_unspecified() { own_address } else { bound.ip() });
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(OpenError::Randomness)?;
        let at = vec![SocketAddr::new(ip, bound.port())];
        let door = Door::new(pieces.config.clone(), pieces.browsers.clone(), Identity::new()?, at, seed);
        Ok(Rtc { door, socket: Arc::new(socket), pieces })
    }

    /// Where browsers are listened to.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// Runs until the switchboard is gone.
    pub async fn run(self) {
        let Rtc { mut door, socket, pieces } = self;
        let Pieces { bridge, mut orders, reports, mut asked, .. } = pieces;
        let mut ways = Ways { bridge, socket: socket.clone(), legs: HashMap::new() };
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        let mut counted = 0;
        let mut shaking = false;
        loop {
            while let Some(wanted) = door.poll() {
                match wanted {
                    Wanted::Report(report) => {
                        if let Report::Agreed(leg, _) = &report {
                            ways.open(*leg);
                        }
                        if reports.send(report).await.is_err() {
                            return;
                        }
                    }
                    // What the kernel does not take is lost, as on any network.
                    Wanted::Send(to, octets) => drop(socket.try_send_to(&octets, to)),
                    Wanted::Target(leg, to) => ways.aim(leg, to),
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
                () = sleep_until(wake) => survive(|| door.handle_timeout(Instant::now())),
                () = std::future::ready(()), if shaking => {}
            }
            let now = Instant::now();
            for _ in 0..BURST_MAX {
                // An error is none to read after all, or the echo of a datagram that found nobody.
                let Ok((length, from)) = socket.try_recv_from(&mut datagram) else { break };
                let octets = &datagram[..length];
                survive(|| {
                    if let Some(leg) = door.receive(now, from, octets) {
                        ways.push(leg, octets);
                    }
                });
            }
            // One step of one handshake, and then it is the turn of everybody's sound again.
            survive(|| shaking = door.shake(now));
            if door.legs() != counted {
                counted = door.legs();
                metrics::gauge!(names::WEBRTC_LEGS).set(counted as f64);
            }
        }
    }
}

struct Ways {
    bridge: Bridge,
    socket: Arc<UdpSocket>,
    legs: HashMap<LegId, Way>,
}

impl Ways {
    fn way(&mut self, leg: LegId) -> &mut Way {
        self.legs.entry(leg).or_default()
    }

    fn aim(&mut self, leg: LegId, to: Option<SocketAddr>) {
        self.way(leg).target.store(to.map(Arc::new));
    }

    /// The leg's media is open: its packets go out from now on, on the room's thread. Nobody needs to be woken for each,
    /// and a door that is late, in a handshake say, makes no hole in anybody's line.
    fn open(&mut self, leg: LegId) {
        let Some(wire) = self.bridge.wire(leg) else {
            tracing::error!(%leg, "a browser's leg has no wire");
            return;
        };
        let socket = self.socket.clone();
        let way = self.way(leg);
        let target = way.target.clone();
        wire.leave_by(move |packet| {
            if let Some(to) = target.load().as_deref() {
                // As with any socket of media: what is not taken is lost.
                let _lost = socket.try_send_to(packet, *to);
            }
        });
        way.wire = Some(wire);
    }

    /// Media of a browser's, to its room.
    fn push(&self, leg: LegId, octets: &[u8]) {
        // Before its media is open there is nobody to hear it.
        if let Some(wire) = self.legs.get(&leg).and_then(|way| way.wire.as_ref()) {
            wire.push(octets.to_vec());
        }
    }

    fn close(&mut self, leg: LegId) {
        self.legs.remove(&leg);
    }
}

fn bind(at: SocketAddr) -> io::Result<UdpSocket> {
    let domain = socket2::Domain::for_address(at);
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Less is no reason not to start.
    let _as_much_as_it_lets = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
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
