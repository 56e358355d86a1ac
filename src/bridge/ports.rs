//! The pool of media ports: pairs of UDP sockets, RTP on the even port, RTCP above it.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Pairs tried before the pool says that it is exhausted although some look free. They are spread over the whole pool:
/// another program, a second gateway above all, has its ports in a row as we do.
const TRIES_MAX: usize = 256;

/// Why no pair of ports could be had.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// All are in use.
    #[error("all {0} pairs of media ports are in use; widen media.ports")]
    Exhausted(usize),
    /// The kernel refuses.
    #[error("a media socket could not be opened")]
    Socket(#[source] io::Error),
}

/// The pool. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Ports(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    bind: IpAddr,
    pairs: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Even ports, the longest unused first: a packet that is late for an old call finds nobody.
    free: VecDeque<u16>,
    used: HashSet<u16>,
}

/// Two sockets and the promise to give their ports back.
#[derive(Debug)]
pub(super) struct PortPair {
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    /// The even one, of RTP.
    pub(super) port: u16,
    pool: Ports,
}

impl Ports {
    /// A pool over `ports`, beginning at a place that `random` chooses.
    pub(super) fn new(bind: IpAddr, ports: RangeInclusive<u16>, random: u64) -> Ports {
        let first = u32::from(*ports.start()).next_multiple_of(2);
        let last = u32::from(*ports.end());
        let mut free: VecDeque<u16> =
            (first..last).step_by(2).filter_map(|port| u16::try_from(port).ok()).collect();
        let pairs = free.len();
        if pairs > 0 {
            free.rotate_left((random % pairs as u64) as usize);
        }
        Ports(Arc::new(Pool { bind, pairs, state: Mutex::new(State { free, used: HashSet::new() }) }))
    }

    /// Opens a pair. Ports that another program holds are passed over and tried again later.
    pub(super) fn open(&self) -> Result<PortPair, PortsError> {
        let mut busy = None;
        for _ in 0..TRIES_MAX {
            let Some(port) = self.take() else { break };
            match self.bind(port) {
                Ok((rtp, rtcp)) => return Ok(PortPair { rtp, rtcp, port, pool: self.clone() }),
                Err(error) => {
                    self.give_back(port);
                    self.go_further();
                    if error.kind() != io::ErrorKind::AddrInUse {
                        return Err(PortsError::Socket(error));
                    }
                    busy = Some(error);
                }
            }
        }
        tracing::warn!(cause = ?busy, "no pair of media ports is free");
        Err(PortsError::Exhausted(self.0.pairs))
    }

    /// Pairs in use.
    pub(super) fn in_use(&self) -> usize {
        self.state().used.len()
    }

    fn take(&self) -> Option<u16> {
        let mut state = self.state();
        let port = state.free.pop_front()?;
        state.used.insert(port);
        Some(port)
    }

    fn give_back(&self, port: u16) {
        let mut state = self.state();
        if state.used.remove(&port) {
            state.free.push_back(port);
        }
    }

    /// The next pair is looked for so far on that all tries together go round the pool.
    fn go_further(&self) {
        let mut state = self.state();
        let stride = state.free.len() / TRIES_MAX;
        state.free.rotate_left(stride);
    }

    fn bind(&self, port: u16) -> io::Result<(UdpSocket, UdpSocket)> {
        let at = |port| SocketAddr::new(self.0.bind, port);
        let open = |port: u16| -> io::Result<UdpSocket> {
            // Two calls into the kernel, not three: every call opens four of these.
            let kind = socket2::Type::DGRAM.nonblocking().cloexec();
            let socket = socket2::Socket::new(socket2::Domain::for_address(at(port)), kind, None)?;
            socket.bind(&at(port).into())?;
            Ok(socket.into())
        };
        Ok((open(port)?, open(port + 1)?))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PortPair {
    fn drop(&mut self) {
        self.pool.give_back(self.port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Below the range that the kernel gives out (32768 and up): nobody's socket comes to lie here by chance.

    #[test]
    fn pairs_come_back_when_dropped_and_an_empty_pool_says_so() {
        let ports = Ports::new([127, 0, 0, 1].into(), 32_560..=32_565, 1);
        let pairs: Vec<_> = (0..3).map(|_| ports.open().unwrap()).collect();
        assert_eq!(ports.in_use(), 3);
        for pair in &pairs {
            let rtp = pair.rtp.local_addr().unwrap().port();
            assert_eq!(rtp % 2, 0);
            assert_eq!(pair.rtcp.local_addr().unwrap().port(), rtp + 1);
        }
        assert!(matches!(ports.open(), Err(PortsError::Exhausted(3))));
        drop(pairs);
        assert_eq!(ports.in_use(), 0);
        assert!(ports.open().is_ok());
    }

    #[test]
    fn a_port_of_another_program_is_passed_over() {
        let other = UdpSocket::bind("127.0.0.1:32570").unwrap();
        let ports = Ports::new([127, 0, 0, 1].into(), 32_570..=32_573, 0);
        let pair = ports.open().unwrap();
        assert_eq!(pair.rtp.local_addr().unwrap().port(), 32_572);
        drop(other);
    }

    #[test]
    fn a_second_gateway_that_has_hundreds_in_a_row_is_passed_over() {
        // An address of our own among those of this machine, so that these ports are nobody's.
        let here: IpAddr = [127, 0, 0, 9].into();
        let row: Vec<_> =
            (20_000..20_600).step_by(2).map(|port| UdpSocket::bind((here, port)).unwrap()).collect();
        assert!(row.len() > TRIES_MAX);
        let ports = Ports::new(here, 20_000..=21_199, 0);
        let pair = ports.open().unwrap();
        assert!(pair.port >= 20_600, "{}", pair.port);
        let two = [Ports::new(here, 30_000..=30_007, 0), Ports::new(here, 30_000..=30_007, 0)];
        let pairs: Vec<_> = (0..4).map(|n| two[n % 2].open().unwrap()).collect();
        let distinct: HashSet<_> = pairs.iter().map(|pair| pair.port).collect();
        assert_eq!(distinct.len(), 4, "two pools over one range have each what the other has not");
        assert!(matches!(two[0].open(), Err(PortsError::Exhausted(_))));
    }
}
