//! A leg's wire inside the process, for media that reaches us in another way than by UDP: packets in, packets out.
//!
//! The room at one end takes it for a socket like any other: RTP packets with a line of their own, in step or late or
//! missing. At the other end a door turns them into what its far end speaks. Both directions are short queues; what
//! is too old when there is no more room is dropped, as a network would. A door that has nothing to turn takes what leaves
//! at once, and then nothing of it waits.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::Notify;

use crate::call::LegId;

/// Packets that may wait on the way in: a second. A burst after a stall of the far end's connection is taken, and the
/// room sorts out what is too late.
const INBOUND_MAX: usize = 50;

/// Packets that may wait on the way out: a fifth of a second. What is older is of no use to an ear.
const OUTBOUND_MAX: usize = 10;

/// What leaves a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbound {
    /// An RTP packet.
    Packet(Vec<u8>),
    /// The ear hears somebody else from here on: what the far end still holds of the sound before is to be forgotten.
    Switch,
}

/// The door's end of a wire. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LegWire(Arc<Shared>);

/// The room's end; the wire ends with it.
#[derive(Debug)]
pub(crate) struct WireEnd(Arc<Shared>);

/// Takes what leaves away, on the thread of the room.
type Outlet = Box<dyn Fn(&[u8]) + Send + Sync>;

struct Shared {
    inbound: Mutex<VecDeque<Vec<u8>>>,
    /// Readable once for each packet that waits, which is how a media thread waits for a socket, too.
    bell: OwnedFd,
    outbound: Mutex<VecDeque<Outbound>>,
    ready: Notify,
    closed: AtomicBool,
    /// By which packets leave, if they do not wait.
    outlet: OnceLock<Outlet>,
    dropped: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("closed", &self.closed).finish_non_exhaustive()
    }
}

impl LegWire {
    /// A wire with its two ends.
    pub(crate) fn new() -> io::Result<(LegWire, WireEnd)> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK | EventfdFlags::SEMAPHORE;
        let shared = Arc::new(Shared {
            inbound: Mutex::default(),
            bell: eventfd(0, flags)?,
            outbound: Mutex::default(),
            ready: Notify::new(),
            closed: AtomicBool::new(false),
            outlet: OnceLock::new(),
            dropped: AtomicU64::new(0),
        });
        Ok((LegWire(shared.clone()), WireEnd(shared)))
    }

    /// Hands the room a packet. False when the leg's media is closed.
    pub fn push(&self, packet: Vec<u8>) -> bool {
        if self.is_closed() {
            return false;
        }
        let mut inbound = lock(&self.0.inbound);
        if inbound.len() >= INBOUND_MAX {
            inbound.pop_front();
            inbound.push_back(packet);
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return true; // the bell has rung for the one that made room
        }
        inbound.push_back(packet);
        drop(inbound);
        // The counter is far from full.
        let _rung = rustix::io::write(&self.0.bell, &1u64.to_ne_bytes());
        true
    }

    /// What the room sends next. `None` when the leg's media is closed and all is taken.
    pub async fn next(&self) -> Option<Outbound> {
        loop {
            let ready = self.0.ready.notified();
            if let Some(outbound) = lock(&self.0.outbound).pop_front() {
                return Some(outbound);
            }
            if self.is_closed() {
                return None;
            }
            ready.await;
        }
    }

    /// How many packets wait to leave.
    pub fn waiting(&self) -> usize {
        lock(&self.0.outbound).len()
    }

    /// From now on packets leave by this, at once, as by a socket of the room's own: for a far end that plays what it gets.
    /// Nothing waits, so nothing is lost here when the door is late, and there is nothing that a [switch](Outbound::Switch)
    /// would empty. It must not block, since the room's other legs wait meanwhile.
    pub fn leave_by(&self, outlet: impl Fn(&[u8]) + Send + Sync + 'static) {
        if self.0.outlet.set(Box::new(outlet)).is_err() {
            tracing::error!("a wire has its outlet already; the first one stays");
        }
        self.forget();
    }

    /// Throws away what waits to leave: whoever takes over the wire begins with the present.
    pub fn forget(&self) {
        lock(&self.0.outbound).clear();
    }

    /// Whether the leg's media is closed.
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Packets dropped because a queue was full.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl WireEnd {
    pub(super) fn bell(&self) -> &OwnedFd {
        &self.0.bell
    }

    /// The next packet, into `packet`; its length.
    pub(super) fn read(&self, packet: &mut [u8]) -> Option<usize> {
        let mut count = [0; 8];
        // Takes one from the counter; there may be nothing to take.
        let _taken = rustix::io::read(&self.0.bell, &mut count);
        let octets = lock(&self.0.inbound).pop_front()?;
        packet.get_mut(..octets.len())?.copy_from_slice(&octets);
        Some(octets.len())
    }

    pub(crate) fn send(&self, octets: &[u8]) {
        match self.0.outlet.get() {
            Some(outlet) => outlet(octets),
            None => self.put(Outbound::Packet(octets.to_vec())),
        }
    }

    /// From here on the ear hears somebody else.
    pub(crate) fn switch(&self) {
        if self.0.outlet.get().is_none() {
            self.put(Outbound::Switch);
        }
    }

    fn put(&self, outbound: Outbound) {
        let mut queue = lock(&self.0.outbound);
        if outbound == Outbound::Switch {
            queue.clear();
        }
        if queue.len() >= OUTBOUND_MAX {
            // A switch is at the front, if there is one, and never too old: it is the sound behind it that gives way.
            let oldest = usize::from(queue.front() == Some(&Outbound::Switch));
            queue.remove(oldest);
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        queue.push_back(outbound);
        drop(queue);
        self.0.ready.notify_one();
    }
}

impl Drop for WireEnd {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.ready.notify_waiters();
        self.0.ready.notify_one();
    }
}

/// The wires of a bridge by leg, for whoever brings the far end.
#[derive(Debug, Clone, Default)]
pub(super) struct Wires(Arc<Mutex<HashMap<LegId, Weak<Shared>>>>);

impl Wires {
    pub(super) fn add(&self, leg: LegId, wire: &LegWire) {
        let mut wires = lock(&self.0);
        // Closed ones are taken out when there may be many of them, so that this stays cheap.
        if wires.len() == wires.capacity() {
            wires.retain(|_, wire| wire.strong_count() > 0);
        }
        wires.insert(leg, Arc::downgrade(&wire.0));
    }

    pub(super) fn get(&self, leg: LegId) -> Option<LegWire> {
        let wire = LegWire(lock(&self.0).get(&leg)?.upgrade()?);
        (!wire.is_closed()).then_some(wire)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_ways_are_short_and_the_oldest_gives_way() {
        let (wire, end) = LegWire::new().unwrap();
        for n in 0..=INBOUND_MAX {
            assert!(wire.push(vec![n as u8]));
        }
        let mut packet = [0; 8];
        assert_eq!(end.read(&mut packet), Some(1));
        assert_eq!(packet[0], 1, "the oldest was dropped");
        for n in 0..=OUTBOUND_MAX {
            end.send(&[n as u8]);
        }
        assert_eq!(wire.next().await, Some(Outbound::Packet(vec![1])));
        assert_eq!(wire.dropped(), 2);
        end.switch();
        end.send(&[99]);
        assert_eq!(wire.next().await, Some(Outbound::Switch), "nothing old is sent after a switch");
        assert_eq!(wire.next().await, Some(Outbound::Packet(vec![99])));
        end.switch();
        for n in 0..=OUTBOUND_MAX {
            end.send(&[n as u8]);
        }
        assert_eq!(wire.next().await, Some(Outbound::Switch), "a switch is not lost to what comes after it");
        assert_eq!(wire.next().await, Some(Outbound::Packet(vec![2])));
        assert_eq!(wire.waiting(), OUTBOUND_MAX - 2);
        wire.forget();
        assert_eq!(wire.waiting(), 0);
        drop(end);
        assert_eq!(wire.next().await, None);
        assert!(!wire.push(vec![1]));
    }

    #[test]
    fn what_leaves_by_an_outlet_leaves_whole_however_late_the_door_is() {
        let (wire, end) = LegWire::new().unwrap();
        let left = Arc::new(Mutex::new(Vec::new()));
        end.send(b"before");
        wire.leave_by({
            let left = left.clone();
            move |octets| lock(&left).push(octets.to_vec())
        });
        let all: Vec<_> = (0..10 * OUTBOUND_MAX).map(|n| vec![n as u8]).collect();
        for octets in &all {
            end.send(octets);
            end.switch();
        }
        assert_eq!(*lock(&left), all);
        assert_eq!(wire.dropped(), 0);
        assert!(lock(&wire.0.outbound).is_empty(), "nothing waits");
    }

    #[test]
    fn a_wire_is_found_while_it_is_open() {
        let wires = Wires::default();
        let (wire, end) = LegWire::new().unwrap();
        wires.add(LegId(1), &wire);
        drop(wire);
        assert!(wires.get(LegId(1)).is_some(), "the room holds it");
        assert!(wires.get(LegId(2)).is_none());
        drop(end);
        assert!(wires.get(LegId(1)).is_none());
    }
}
