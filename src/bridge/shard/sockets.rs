//! The sockets of a shard's legs: packets in, packets out.
//!
//! What rooms send leaves together when the packets of a wake-up are done. Making it and sending it in turns would cost
//! more: each time the kernel's working set pushes out that of the mixer, and whoever receives has fallen asleep again.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use sidetone_media::stream::rtcp::Interval;

use super::Link;
use crate::bridge::room::Wire;
use crate::call::door::IN_PROCESS;
use crate::call::{CallId, LegId};

/// Packets that may wait for the end of a wake-up: as many as are made in a fraction of a millisecond.
const LEAVING_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Sockets {
    all: Vec<Option<Socket>>,
    free: Vec<usize>,
    leaving: Leaving,
}

/// Packets that are made and not sent, in the order in which they leave.
#[derive(Default)]
struct Leaving {
    /// From which socket, to where, and where in `octets` each ends.
    packets: Vec<(usize, SocketAddr, usize)>,
    octets: Vec<u8>,
}

pub(super) struct Socket {
    pub(super) link: Link,
    pub(super) call: CallId,
    pub(super) leg: LegId,
    pub(super) slot: usize,
    /// The peer the kernel has been told of.
    pub(super) connected: Option<SocketAddr>,
    /// RTCP has been sent.
    pub(super) reported: bool,
    pub(super) report: Interval,
}

impl Sockets {
    pub(super) fn add(&mut self, socket: Socket) -> usize {
        match self.free.pop() {
            Some(index) => {
                self.all[index] = Some(socket);
                index
            }
            None => {
                self.all.push(Some(socket));
                self.all.len() - 1
            }
        }
    }

    pub(super) fn remove(&mut self, index: usize) -> Option<Socket> {
        // What it was given leaves by it, and not by the one that has its place next.
        self.leave();
        let socket = self.all.get_mut(index)?.take()?;
        self.free.push(index);
        Some(socket)
    }

    pub(super) fn get(&self, index: usize) -> Option<&Socket> {
        self.all.get(index)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Socket> {
        self.all.get_mut(index)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Socket> {
        self.all.iter().flatten()
    }

    fn send(&mut self, index: usize, to: SocketAddr, octets: &[u8]) {
        if self.leaving.packets.len() == LEAVING_MAX {
            self.leave();
        }
        self.leaving.octets.extend_from_slice(octets);
        self.leaving.packets.push((index, to, self.leaving.octets.len()));
    }

    /// Sends what was made.
    pub(super) fn leave(&mut self) {
        let Leaving { packets, octets } = &mut self.leaving;
        let mut begin = 0;
        for (index, to, end) in packets.drain(..) {
            if let Some(Some(socket)) = self.all.get(index) {
                socket.send(to, &octets[begin..end]);
            }
            begin = end;
        }
        octets.clear();
    }
}

impl Socket {
    fn send(&self, to: SocketAddr, octets: &[u8]) {
        let Link::Udp(pair) = &self.link else { return };
        let send = || match self.connected == Some(to) {
            true => pair.rtp.send(octets),
            false => pair.rtp.send_to(octets, to),
        };
        if let Err(error) = send()
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            // That was the ICMP answer to an earlier packet; this one has not been sent yet.
            let _lost = send();
        }
    }
}

/// A room's way to its sockets.
pub(super) struct Out<'a> {
    pub(super) sockets: &'a mut Sockets,
    pub(super) by_slot: &'a [Option<usize>],
}

impl Out<'_> {
    fn socket(&mut self, slot: usize) -> Option<&mut Socket> {
        let index = self.by_slot.get(slot).copied().flatten()?;
        self.sockets.get_mut(index)
    }
}

impl Wire for Out<'_> {
    fn rtp(&mut self, slot: usize, to: SocketAddr, octets: &[u8]) {
        let Some(index) = self.by_slot.get(slot).copied().flatten() else { return };
        match self.sockets.get(index).map(|socket| &socket.link) {
            Some(Link::Wire(wire)) => wire.send(octets),
            Some(Link::Udp(_)) => self.sockets.send(index, to, octets),
            None => {}
        }
    }

    fn locked(&mut self, slot: usize, to: Option<SocketAddr>) {
        let Some(socket) = self.socket(slot) else { return };
        let Link::Udp(pair) = &socket.link else { return };
        match to {
            Some(to) => {
                if pair.rtp.connect(to).is_ok() {
                    socket.connected = Some(to);
                }
            }
            None => {
                if socket.connected.take().is_some() {
                    disconnect(&pair.rtp);
                }
            }
        }
    }
}

pub(super) fn disconnect(socket: &UdpSocket) {
    if let Err(error) = rustix::net::connect_unspec(socket) {
        tracing::warn!(%error, "a media socket keeps its old peer");
    }
}

/// One datagram, and who sent it. `None` if there is none after all.
pub(super) fn read(socket: &Socket, is_rtcp: bool, packet: &mut [u8]) -> Option<(SocketAddr, usize)> {
    let pair = match &socket.link {
        Link::Udp(pair) => pair,
        Link::Wire(wire) => return Some((IN_PROCESS, wire.read(packet)?)),
    };
    if is_rtcp {
        let (length, from) = pair.rtcp.recv_from(packet).ok()?;
        return Some((from, length));
    }
    match socket.connected {
        // The kernel has looked at the address already.
        Some(peer) => Some((peer, pair.rtp.recv(packet).ok()?)),
        None => {
            let (length, from) = pair.rtp.recv_from(packet).ok()?;
            Some((from, length))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::super::ports::Ports;
    use super::*;

    /// One leg with a socket, and whoever it talks to.
    fn talking() -> (Sockets, usize, UdpSocket) {
        let far = UdpSocket::bind("127.0.0.1:0").unwrap();
        far.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let pair = Ports::new([127, 0, 0, 1].into(), 41_000..=41_999, 7).open().unwrap();
        let (call, leg) = (CallId(1), LegId(1));
        let (connected, reported, report) = (None, false, Interval::new(Instant::now(), 1));
        let mut sockets = Sockets::default();
        let index =
            sockets.add(Socket { link: Link::Udp(pair), call, leg, slot: 0, connected, reported, report });
        (sockets, index, far)
    }

    fn arrived(far: &UdpSocket, count: usize) -> Vec<u8> {
        let mut octets = [0; 4];
        (0..count).map(|_| far.recv(&mut octets).map(|length| octets[length - 1]).unwrap()).collect()
    }

    fn nothing_more(far: &UdpSocket) -> bool {
        far.set_nonblocking(true).unwrap();
        let nothing = far.recv(&mut [0; 4]).is_err();
        far.set_nonblocking(false).unwrap();
        nothing
    }

    #[test]
    fn packets_leave_together_in_the_order_in_which_they_were_made() {
        let (mut sockets, index, far) = talking();
        let to = far.local_addr().unwrap();
        let mut out = Out { sockets: &mut sockets, by_slot: &[Some(index)] };
        for octets in [&b"1"[..], b"--2", b"-3"] {
            out.rtp(0, to, octets);
        }
        assert!(nothing_more(&far), "they wait for the end of the wake-up");
        sockets.leave();
        assert_eq!(arrived(&far, 3), b"123");
        sockets.leave();
        assert!(nothing_more(&far), "each once");
    }

    #[test]
    fn no_more_than_a_few_wait() {
        let (mut sockets, index, far) = talking();
        let to = far.local_addr().unwrap();
        for n in 0..=LEAVING_MAX {
            sockets.send(index, to, &[n as u8]);
        }
        let first: Vec<u8> = (0..LEAVING_MAX as u8).collect();
        assert_eq!(arrived(&far, LEAVING_MAX), first);
        assert!(nothing_more(&far));
    }

    #[test]
    fn what_a_leg_was_given_leaves_before_its_socket_goes() {
        let (mut sockets, index, far) = talking();
        sockets.send(index, far.local_addr().unwrap(), b"!");
        let gone = sockets.remove(index).unwrap();
        assert_eq!(sockets.add(gone), index, "the next has its place");
        assert_eq!(arrived(&far, 1), b"!");
        sockets.leave();
        assert!(nothing_more(&far));
    }
}
