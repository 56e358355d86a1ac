//! One media thread: an epoll loop over the sockets of its calls.
//!
//! One wake-up reads the clock once and one packet of each ready socket, and then sends what came of them; a relayed packet is one
//! read and one write. Once a socket's peer is certain, the socket is connected to it: the kernel
//! then needs no route lookup per packet, and drops strangers' packets before we see them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, channel};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use sidetone_media::stream::rtcp::{self, Interval};
use sidetone_media::stream::rtp::MAX_PACKET_BYTES;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::call::{CallId, LegId};

use super::BridgeEvent;
use super::room::{House, Moving, Room};

mod handle;
mod reports;
mod sockets;

use handle::Wake;
pub(super) use handle::{Command, Link, ShardHandle};
use sockets::{Out, Socket, Sockets, disconnect, read};

/// Ready sockets taken in one wake-up.
const READY_MAX: usize = 256;

/// How often rooms are asked what has stopped and what is due.
const SWEEP: Duration = Duration::from_secs(1);

/// Events that may wait for the switchboard. Beyond it the oldest are dropped, and that is counted:
/// a switchboard this far behind is not coming back.
const BACKLOG_MAX: usize = 65_536;

/// The epoll token of the wake-up.
const WAKE: u64 = u64::MAX;

/// One media thread's state.
pub(super) struct Shard {
    epoll: OwnedFd,
    woken: OwnedFd,
    commands: Receiver<Command>,
    events: mpsc::Sender<BridgeEvent>,
    house: House,
    rooms: HashMap<CallId, Entry>,
    sockets: Sockets,
    timers: BinaryHeap<Reverse<(Instant, CallId)>>,
    next_sweep: Instant,
    backlog: VecDeque<BridgeEvent>,
    news: Vec<BridgeEvent>,
    random: u64,
    number: usize,
}

struct Entry {
    room: Room,
    /// Which socket a slot of the room has.
    by_slot: Vec<Option<usize>>,
    /// The earliest timer in the heap for it.
    armed: Option<Instant>,
}

impl Shard {
    /// Starts the thread.
    pub(super) fn start(
        number: usize,
        house: House,
        events: mpsc::Sender<BridgeEvent>,
        random: u64,
    ) -> io::Result<ShardHandle> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let woken = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let wake = Arc::new(Wake { bell: woken.try_clone()?, unannounced: AtomicBool::new(false) });
        epoll::add(&epoll, &woken, EventData::new_u64(WAKE), EventFlags::IN)?;
        let (commands_in, commands) = channel();
        let shard = Shard {
            epoll,
            woken,
            commands,
            events,
            house,
            rooms: HashMap::new(),
            sockets: Sockets::default(),
            timers: BinaryHeap::new(),
            next_sweep: Instant::now() + SWEEP,
            backlog: VecDeque::new(),
            news: Vec::new(),
            random,
            number,
        };
        std::thread::Builder::new().name(format!("media-{number}")).spawn(move || shard.run())?;
        Ok(ShardHandle { commands: commands_in, wake })
    }

    fn run(mut self) {
        let mut ready = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; READY_MAX];
        let mut packet = [0; MAX_PACKET_BYTES + 1];
        loop {
            let timeout = self.patience(Instant::now());
            let count = match epoll::wait(&self.epoll, &mut ready, Some(&timeout)) {
                Ok(count) => count,
                Err(rustix::io::Errno::INTR) => 0,
                Err(error) => {
                    tracing::error!(%error, "the media thread cannot wait for packets");
                    return;
                }
            };
            let now = Instant::now();
            let mut told = false;
            for event in &ready[..count] {
                match event.data.u64() {
                    WAKE => told = true,
                    token => self.readable(now, token, &mut packet),
                }
            }
            self.sockets.leave();
            if told {
                let mut count = [0; 8];
                // Reading resets the wake-up; it is nonblocking, and there may be nothing to reset.
                let _reset = rustix::io::read(&self.woken, &mut count);
            }
            if !self.obey(now) {
                return;
            }
            self.run_timers(now);
            if now >= self.next_sweep {
                self.sweep(now);
            }
            self.sockets.leave();
            self.tell();
        }
    }

    fn patience(&self, now: Instant) -> Timespec {
        let mut until = self.next_sweep;
        if let Some(Reverse((at, _))) = self.timers.peek() {
            until = until.min(*at);
        }
        let mut patience = until.saturating_duration_since(now);
        if !self.backlog.is_empty() {
            patience = patience.min(Duration::from_millis(5));
        }
        Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) }
    }

    // --- packets

    fn readable(&mut self, now: Instant, token: u64, packet: &mut [u8]) {
        let (index, is_rtcp) = ((token >> 1) as usize, token & 1 == 1);
        let Some(socket) = self.sockets.get(index) else { return };
        let (call, slot) = (socket.call, socket.slot);
        let (from, length) = match read(socket, is_rtcp, packet) {
            Some(read) => read,
            None => return,
        };
        if length > MAX_PACKET_BYTES {
            return;
        }
        let octets = &mut packet[..length];
        if is_rtcp || rtcp::is_rtcp(octets) {
            return self.rtcp_in(now, call, slot, from, octets);
        }
        let Some(entry) = self.rooms.get_mut(&call) else { return };
        let mut wire = Out { sockets: &mut self.sockets, by_slot: &entry.by_slot };
        let (house, news) = (&self.house, &mut self.news);
        let room = &mut entry.room;
        let step = AssertUnwindSafe(|| room.rtp(now, slot, octets, from, house, &mut wire, news));
        if catch_unwind(step).is_err() {
            return self.fail(now, call);
        }
        let wanted = entry.room.poll_timeout();
        arm(&mut self.timers, &mut entry.armed, call, wanted);
    }

    // --- commands

    /// Does what it was told. False when nobody is left to tell it anything.
    fn obey(&mut self, now: Instant) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.carry_out(now, command),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn carry_out(&mut self, now: Instant, command: Command) {
        match command {
            Command::Open { call, link, entering } => {
                let leg = entering.id;
                let entry = self.entry(call);
                let slot = entry.room.enter(now, entering);
                self.plug_in(now, call, leg, slot, link);
            }
            Command::Agree { call, leg, agreed, consume_digits } => {
                self.with_leg(now, call, leg, |room, slot, house, wire| {
                    room.agree(now, slot, *agreed, consume_digits, house, wire);
                });
            }
            Command::Answered { call, leg } => {
                self.with_leg(now, call, leg, |room, slot, _, _| room.answered(now, slot));
            }
            Command::Hearing { call, generation, hearing } => {
                if let Some(entry) = self.rooms.get_mut(&call) {
                    let before = entry.room.set_hearing(now, generation, hearing, &self.house);
                    for socket in entry.by_slot.iter().flatten().filter_map(|at| self.sockets.get(*at)) {
                        if let Link::Wire(wire) = &socket.link
                            && entry.room.hears(socket.leg) != before.hears(socket.leg)
                        {
                            wire.switch();
                        }
                    }
                    let wanted = entry.room.poll_timeout();
                    arm(&mut self.timers, &mut entry.armed, call, wanted);
                }
                // A call without media yet obeys every table.
                self.news.push(BridgeEvent::HearingApplied { call, generation });
            }
            Command::Digit { call, leg, digit } => {
                self.with_leg(now, call, leg, |room, slot, _, _| room.send_digit(now, slot, digit));
            }
            Command::HoldWith { call, music } => self.entry(call).room.hold_with(music),
            Command::Listen { call, leg, how } => {
                self.with_leg(now, call, leg, |room, slot, _, _| room.listen(now, slot, how));
            }
            Command::Close { call, leg } => self.close(now, call, leg),
            Command::CloseCall { call } => {
                let legs: Vec<LegId> =
                    self.sockets.iter().filter(|s| s.call == call).map(|s| s.leg).collect();
                legs.into_iter().for_each(|leg| self.close(now, call, leg));
                self.rooms.remove(&call);
            }
            Command::MoveOut { call, leg, hand_over } => self.move_out(now, call, leg, &hand_over),
            Command::MoveIn { call, handed } => {
                // Nothing comes when the leg was gone before it could move.
                let Ok(handed) = handed.recv() else { return };
                let (moving, link) = *handed;
                let leg = moving.id();
                let house = self.house.clone();
                let slot = self.entry(call).room.move_in(now, moving, &house);
                self.plug_in(now, call, leg, slot, link);
            }
            Command::Report { call, answer } => {
                // Whoever asked may have gone.
                let _gone = answer.send(self.rooms.get(&call).map(|entry| entry.room.report()));
            }
        }
    }

    fn entry(&mut self, call: CallId) -> &mut Entry {
        self.rooms.entry(call).or_insert_with(|| Entry {
            room: Room::new(call),
            by_slot: Vec::new(),
            armed: None,
        })
    }

    fn with_leg(
        &mut self,
        _now: Instant,
        call: CallId,
        leg: LegId,
        act: impl FnOnce(&mut Room, usize, &House, &mut Out<'_>),
    ) {
        let Some(entry) = self.rooms.get_mut(&call) else { return };
        let Some(slot) = entry.room.slot(leg) else { return };
        let mut wire = Out { sockets: &mut self.sockets, by_slot: &entry.by_slot };
        act(&mut entry.room, slot, &self.house, &mut wire);
        let wanted = entry.room.poll_timeout();
        arm(&mut self.timers, &mut entry.armed, call, wanted);
    }

    fn plug_in(&mut self, now: Instant, call: CallId, leg: LegId, slot: usize, link: Link) {
        let random = self.random();
        let socket = Socket {
            link,
            call,
            leg,
            slot,
            connected: None,
            reported: false,
            report: Interval::new(now, random),
        };
        let index = self.sockets.add(socket);
        let Some(socket) = self.sockets.get(index) else { return };
        let token = (index as u64) << 1;
        let (rtp, rtcp) = (EventData::new_u64(token), EventData::new_u64(token | 1));
        let listened = match &socket.link {
            Link::Udp(pair) => epoll::add(&self.epoll, &pair.rtp, rtp, EventFlags::IN)
                .and_then(|()| epoll::add(&self.epoll, &pair.rtcp, rtcp, EventFlags::IN)),
            Link::Wire(wire) => epoll::add(&self.epoll, wire.bell(), rtp, EventFlags::IN),
        };
        if let Err(error) = listened {
            tracing::error!(%call, %leg, %error, "a media socket cannot be listened to");
        }
        let entry = self.entry(call);
        if entry.by_slot.len() <= slot {
            entry.by_slot.resize(slot + 1, None);
        }
        entry.by_slot[slot] = Some(index);
        let wanted = entry.room.poll_timeout();
        if let Some(entry) = self.rooms.get_mut(&call) {
            arm(&mut self.timers, &mut entry.armed, call, wanted);
        }
    }

    /// Takes a leg's socket out of the table. Epoll forgets it when it is closed.
    fn unplug(&mut self, call: CallId, slot: usize) -> Option<Socket> {
        let entry = self.rooms.get_mut(&call)?;
        let index = entry.by_slot.get_mut(slot)?.take()?;
        let socket = self.sockets.remove(index)?;
        if let Link::Wire(wire) = &socket.link {
            // Its bell may be held by others still, and must not ring here any more.
            let _gone = epoll::delete(&self.epoll, wire.bell());
        }
        Some(socket)
    }

    fn close(&mut self, now: Instant, call: CallId, leg: LegId) {
        let Some(entry) = self.rooms.get_mut(&call) else { return };
        let Some(slot) = entry.room.slot(leg) else { return };
        self.say_goodbye(now, call, slot);
        let socket = self.unplug(call, slot);
        drop(socket);
        let Some(entry) = self.rooms.get_mut(&call) else { return };
        if let Some(quality) = entry.room.leave(now, slot, &self.house) {
            self.news.push(BridgeEvent::Closed { call, leg, quality });
        }
        if entry.room.is_empty() {
            self.rooms.remove(&call);
        } else {
            let wanted = entry.room.poll_timeout();
            arm(&mut self.timers, &mut entry.armed, call, wanted);
        }
    }

    fn move_out(
        &mut self,
        now: Instant,
        call: CallId,
        leg: LegId,
        hand_over: &SyncSender<Box<(Moving, Link)>>,
    ) {
        let Some(entry) = self.rooms.get_mut(&call) else { return };
        let Some(slot) = entry.room.slot(leg) else { return };
        let Some(socket) = self.unplug(call, slot) else { return };
        if let Link::Udp(pair) = &socket.link {
            for fd in [&pair.rtp, &pair.rtcp] {
                // It lives on, and must not ring here any more.
                let _gone = epoll::delete(&self.epoll, fd);
            }
            if socket.connected.is_some() {
                disconnect(&pair.rtp);
            }
        }
        let Some(entry) = self.rooms.get_mut(&call) else { return };
        let Some(moving) = entry.room.move_out(now, slot, &self.house) else { return };
        if entry.room.is_empty() {
            self.rooms.remove(&call);
        }
        // There is room for one, and with nobody to take it the leg ends here.
        let _shard_gone = hand_over.send(Box::new((moving, socket.link)));
    }

    // --- time

    fn run_timers(&mut self, now: Instant) {
        while let Some(Reverse((at, call))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            let Some(entry) = self.rooms.get_mut(&call) else { continue };
            if entry.armed != Some(at) {
                continue; // armed anew since
            }
            entry.armed = None;
            if entry.room.poll_timeout().is_some_and(|wanted| wanted <= now) {
                let mut wire = Out { sockets: &mut self.sockets, by_slot: &entry.by_slot };
                let (room, house) = (&mut entry.room, &self.house);
                if catch_unwind(AssertUnwindSafe(|| room.handle_timeout(now, house, &mut wire))).is_err() {
                    self.fail(now, call);
                    continue;
                }
            }
            let wanted = entry.room.poll_timeout();
            arm(&mut self.timers, &mut entry.armed, call, wanted);
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.next_sweep = now + SWEEP;
        for entry in self.rooms.values_mut() {
            entry.room.sweep(now, &self.house, &mut self.news);
        }
        let due: Vec<(CallId, usize)> =
            self.sockets.iter().filter(|s| s.report.due() <= now).map(|s| (s.call, s.slot)).collect();
        for (call, slot) in due {
            self.report(now, call, slot, rtcp::report);
        }
        metrics::gauge!(crate::observe::metrics::MEDIA_LEGS, "shard" => self.number.to_string())
            .set(self.sockets.iter().count() as f64);
    }

    /// Ends the media of a call in which a defect showed.
    fn fail(&mut self, now: Instant, call: CallId) {
        let legs: Vec<usize> =
            self.sockets.iter().filter(|socket| socket.call == call).map(|socket| socket.slot).collect();
        for slot in legs {
            drop(self.unplug(call, slot));
        }
        self.rooms.remove(&call);
        self.news.push(BridgeEvent::CallFailed { call });
        let _ = now;
    }

    /// Hands news on; what does not fit waits here.
    fn tell(&mut self) {
        self.backlog.extend(self.news.drain(..));
        while let Some(event) = self.backlog.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.backlog.push_front(event);
                    break;
                }
                Err(TrySendError::Closed(_)) => self.backlog.clear(),
            }
        }
        if self.backlog.len() > BACKLOG_MAX {
            let lost = self.backlog.len() - BACKLOG_MAX;
            self.backlog.drain(..lost);
            metrics::counter!(crate::observe::metrics::MEDIA_EVENTS_LOST).increment(lost as u64);
        }
    }

    /// A SplitMix64 sequence: only spreads reports over time.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Puts a timer into the heap unless an earlier one of the call is there.
fn arm(
    timers: &mut BinaryHeap<Reverse<(Instant, CallId)>>,
    armed: &mut Option<Instant>,
    call: CallId,
    wanted: Option<Instant>,
) {
    let Some(at) = wanted else { return };
    if armed.is_none_or(|armed| at < armed) {
        *armed = Some(at);
        timers.push(Reverse((at, call)));
    }
}
