//! The way to a shard: what it can be told, and the bell that wakes it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender};

use tokio::sync::oneshot;

use crate::bridge::ports::PortPair;
use crate::bridge::room::{Entering, Listen, Moving};
use crate::bridge::wire::WireEnd;
use crate::bridge::{AudioReport, Music};
use crate::call::door::AgreedMedia;
use crate::call::{CallId, Hearing, LegId};

/// What a shard is told.
pub(in crate::bridge) enum Command {
    Open { call: CallId, link: Link, entering: Entering },
    Agree { call: CallId, leg: LegId, agreed: Box<AgreedMedia>, consume_digits: bool },
    Answered { call: CallId, leg: LegId },
    Hearing { call: CallId, generation: u64, hearing: Hearing },
    Digit { call: CallId, leg: LegId, digit: char },
    HoldWith { call: CallId, music: Option<Music> },
    Listen { call: CallId, leg: LegId, how: Listen },
    Close { call: CallId, leg: LegId },
    CloseCall { call: CallId },
    MoveOut { call: CallId, leg: LegId, hand_over: SyncSender<Box<(Moving, Link)>> },
    MoveIn { call: CallId, handed: Receiver<Box<(Moving, Link)>> },
    Report { call: CallId, answer: oneshot::Sender<Option<AudioReport>> },
}

/// How a leg's packets come and go.
pub(in crate::bridge) enum Link {
    /// Over two sockets of the machine.
    Udp(PortPair),
    /// Over a wire inside the process.
    Wire(WireEnd),
}

/// The way to a shard. The thread ends when the last handle is gone.
#[derive(Clone)]
pub(in crate::bridge) struct ShardHandle {
    // Before `wake`, so that the thread finds the queue closed when it is woken for the last time.
    pub(super) commands: Sender<Command>,
    pub(super) wake: Arc<Wake>,
}

pub(super) struct Wake {
    pub(super) bell: OwnedFd,
    /// Commands are queued that no ring has announced.
    pub(super) unannounced: AtomicBool,
}

impl Wake {
    fn ring(&self) {
        self.unannounced.store(false, Ordering::Relaxed);
        // The counter is far from full, and a write that would block means it is rung already.
        let _rung = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        self.ring();
    }
}

impl ShardHandle {
    /// Queues a command; the thread sees it after [`ShardHandle::announce`], at the latest at its
    /// next packet.
    pub(in crate::bridge) fn queue(&self, command: Command) {
        if self.commands.send(command).is_err() {
            tracing::error!("a media thread is gone");
            return;
        }
        self.wake.unannounced.store(true, Ordering::Relaxed);
    }

    /// Wakes the thread if anything is queued. One ring for much that is queued: waking a thread costs
    /// more than what it is woken for.
    pub(in crate::bridge) fn announce(&self) {
        if self.is_unannounced() {
            self.wake.ring();
        }
    }

    pub(in crate::bridge) fn is_unannounced(&self) -> bool {
        self.wake.unannounced.load(Ordering::Relaxed)
    }

    /// Queues a command and wakes the thread for it.
    pub(in crate::bridge) fn send(&self, command: Command) {
        self.queue(command);
        self.wake.ring();
    }
}
