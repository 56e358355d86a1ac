//! The sockets of a shard's legs: packets in, packets out.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use sidetone_media::stream::rtcp::Interval;

use super::Link;
use crate::bridge::room::Wire;
use crate::call::door::IN_PROCESS;
use crate::call::{CallId, LegId};

#[derive(Default)]
pub(super) struct Sockets {
    all: Vec<Option<Socket>>,
    free: Vec<usize>,
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
        let Some(socket) = self.socket(slot) else { return };
        let rtp = match &socket.link {
            Link::Udp(pair) => &pair.rtp,
            Link::Wire(wire) => return wire.send(octets),
        };
        let sent = if socket.connected == Some(to) { rtp.send(octets) } else { rtp.send_to(octets, to) };
        if let Err(error) = sent
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            // That was the ICMP answer to an earlier packet; this one has not been sent yet.
            let _lost = if socket.connected == Some(to) { rtp.send(octets) } else { rtp.send_to(octets, to) };
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
