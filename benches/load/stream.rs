//! Paced RTP through a device, and what comes back: loss, delay, and who hears the clicks.
//!
//! Two threads on the load's processor: one sends and reads what the device used, one receives. Every stream has a packet each 20 ms at a
//! phase of its own. A stamp in the payload, of the clock that the receiver reads, gives loss and one-way
//! delay without any clock agreement. Clicks go through a mixer, where no stamp survives: a talker sends
//! silence and once a second one loud packet; its delay runs from the departure of that packet to the first
//! loud packet at the listener, so that it counts the framing and jitter buffering of the mixer.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use sidetone_media::srtp::{MAX_TAG_BYTES, MasterKey, Open, Seal, Suite};

use crate::gateway::{Cpu, pin};
use crate::phones::Keys;

/// One packet each 20 ms.
pub(crate) const PTIME: Duration = Duration::from_millis(20);

/// Samples, and octets of G.711, in a packet.
const SAMPLES: usize = 160;
const HEADER: usize = 12;
const PACKET: usize = HEADER + SAMPLES;

/// Phases within a packet time; streams are spread over them. 250 µs apart.
const PHASES: u32 = 80;

/// A click each second.
const CLICK_EVERY: u64 = 50;

/// µ-law silence, and its loudest values by sign (G.711).
const SILENCE: u8 = 0xff;
const LOUD: [u8; 2] = [0x80, 0x00];

/// What counts as loud: a fortieth of full scale is far above anything that silence is coded as, and a click
/// stays above it through any gain the mixer may apply. As µ-law: exponent field of 3 or more, 1 000 of 32 124.
const LOUD_EXPONENT_MIN: u8 = 3;

/// Before this, packets are not counted: caches, jitter buffers and the kernel's sockets are warming up.
const WARM_UP: Duration = Duration::from_secs(1);

/// How long packets of the window may still arrive.
const DRAIN: Duration = Duration::from_millis(400);

/// Marks our payloads, so that a comfort tone is not taken for a stamp.
const MAGIC: u32 = 0x5349_4445;

/// Ready sockets taken in one wake-up.
const READY_MAX: usize = 256;

/// What a party says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    /// Payloads that carry their time of departure.
    Stamps,
    /// Digital silence.
    Silence,
    /// Silence with a loud packet each second.
    Clicks,
}

/// What a party listens for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hears {
    /// Stamps.
    Stamps,
    /// The clicks of its own call.
    Clicks,
    /// No click: one that is heard is a leak.
    NoClick,
    /// Whatever comes.
    Anything,
}

/// One party of a call and its stream into the device.
pub(crate) struct Party<'a> {
    /// Where it speaks from and listens at.
    pub(crate) socket: &'a UdpSocket,
    /// Where the device takes its packets.
    pub(crate) to: SocketAddr,
    /// Its call: clicks belong to one.
    pub(crate) call: usize,
    pub(crate) says: Says,
    pub(crate) hears: Hears,
    ssrc: u32,
    sequence: u16,
    guard: Option<Guard>,
}

/// What protects a party's sound. The window's listener shares the opener, which goes on from window to window.
struct Guard {
    seal: Seal,
    open: Arc<Mutex<Open>>,
}

impl<'a> Party<'a> {
    /// A party whose stream begins at sequence number zero.
    pub(crate) fn new(
        socket: &'a UdpSocket,
        to: SocketAddr,
        call: usize,
        says: Says,
        hears: Hears,
    ) -> Party<'a> {
        let ssrc = u32::from(socket.local_addr().map_or(0, |own| own.port())) << 8 | 1;
        Party { socket, to, call, says, hears, ssrc, sequence: 0, guard: None }
    }

    /// Its sound is SRTP from now on.
    pub(crate) fn protect(&mut self, keys: &Keys) {
        let key = |keying: &[u8]| MasterKey::new(Suite::AesCm128HmacSha1_80, keying).expect("a whole key");
        let (seal, open) = (Seal::new(&key(&keys.ours)), Open::new(&key(&keys.theirs)));
        self.guard = Some(Guard { seal, open: Arc::new(Mutex::new(open)) });
    }

    /// Says one stamp outside of any window, so that whoever has just come hears somebody.
    pub(crate) fn greet(&mut self, epoch: Instant) {
        let mut packet = [0; PACKET];
        packet[0] = 0x80;
        let slot = (epoch.elapsed().as_nanos() / PTIME.as_nanos()) as u32;
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&slot.wrapping_mul(SAMPLES as u32).to_be_bytes());
        packet[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        packet[HEADER..].copy_from_slice(&stamp(epoch));
        self.sequence = self.sequence.wrapping_add(1);
        // A full socket buffer loses it as a network would; another one follows.
        let _ = self.socket.send_to(&packet, self.to);
    }

    /// A stream of stamps from the same socket to another device.
    pub(crate) fn stamping_to(&self, to: SocketAddr) -> Party<'a> {
        Party::new(self.socket, to, self.call, Says::Stamps, Hears::Stamps)
    }
}

/// What was measured in one window.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Packets sent into the device.
    pub(crate) sent: u64,
    /// Packets that came back: those with a stamp of the window, or all when stamps do not survive.
    pub(crate) received: u64,
    /// One-way delays of stamped packets or of clicks, sorted, µs.
    pub(crate) delays_us: Vec<u32>,
    pub(crate) clicks_sent: u64,
    pub(crate) clicks_heard: u64,
    /// Parties who heard nothing of what they listen for, warm-up included.
    pub(crate) deaf: usize,
    /// Loud packets at parties that must not hear any.
    pub(crate) leaks: u64,
    /// Processor time of the device.
    pub(crate) cpu: Cpu,
}

impl Heard {
    /// Processor time of the device for each packet that it took, µs, by the scheduler's account.
    pub(crate) fn cpu_us_per_packet(&self) -> f64 {
        self.cpu.scheduled.as_secs_f64() * 1e6 / self.sent.max(1) as f64
    }

    /// The same by utime and stime.
    pub(crate) fn ticks_us_per_packet(&self) -> f64 {
        self.cpu.ticks.as_secs_f64() * 1e6 / self.sent.max(1) as f64
    }

    /// Packets that never came back, in hundredths of those sent.
    pub(crate) fn loss_percent(&self) -> f64 {
        100.0 * self.sent.saturating_sub(self.received) as f64 / self.sent.max(1) as f64
    }
}

/// The window in which packets count, in nanoseconds since the epoch of the clock.
#[derive(Clone, Copy)]
struct Window {
    epoch: Instant,
    from: u64,
    to: u64,
}

impl Window {
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn holds(&self, ns: u64) -> bool {
        (self.from..self.to).contains(&ns)
    }
}

/// Runs all streams for `window` after a warm-up. `cpu` reads the device's processor time.
pub(crate) fn run(
    parties: &mut [Party<'_>],
    epoch: Instant,
    window: Duration,
    load_cpu: usize,
    cpu: impl Fn() -> Cpu,
) -> Heard {
    let begin = u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let from = begin + nanos(WARM_UP);
    let window = Window { epoch, from, to: from + nanos(window) };
    let calls = parties.iter().map(|party| party.call + 1).max().unwrap_or(0);
    let clicks: Vec<AtomicU64> = (0..calls).map(|_| AtomicU64::new(0)).collect();
    let ears: Vec<Ear<'_>> = parties
        .iter()
        .map(|party| Ear {
            socket: party.socket,
            call: party.call,
            hears: party.hears,
            last: 0,
            heard: false,
            open: party.guard.as_ref().map(|guard| guard.open.clone()),
        })
        .collect();
    thread::scope(|scope| {
        let clicks = &clicks;
        let listener = scope.spawn(move || {
            pin(load_cpu);
            listen(ears, clicks, window)
        });
        let spoken = speak(parties, clicks, window, cpu);
        let heard = listener.join().expect("the receiving thread ends by itself");
        Heard { sent: spoken.sent, clicks_sent: spoken.clicks, cpu: spoken.cpu, ..heard }
    })
}

/// What went into the device within the window, and what the device used meanwhile.
#[derive(Default)]
struct Spoken {
    sent: u64,
    clicks: u64,
    cpu: Cpu,
}

/// Sends until the window closes.
fn speak(parties: &mut [Party<'_>], clicks: &[AtomicU64], window: Window, cpu: impl Fn() -> Cpu) -> Spoken {
    let step = PTIME / PHASES;
    let begin = Instant::now();
    // The timestamp goes on while the stream pauses, as with a telephone that suppresses silence.
    let slots_before = u64::try_from(window.epoch.elapsed().as_nanos() / PTIME.as_nanos()).unwrap_or(0);
    let mut packet = [SILENCE; PACKET];
    let mut spoken = Spoken::default();
    let mut before = None;
    for tick in 0u32.. {
        let due = begin + step * tick;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let now = window.now();
        if now >= window.from && before.is_none() {
            before = Some(cpu());
        }
        if now >= window.to {
            break;
        }
        let (phase, round) = (tick % PHASES, u64::from(tick / PHASES));
        for (index, party) in parties.iter_mut().enumerate().skip(phase as usize).step_by(PHASES as usize) {
            let now = window.now();
            packet[HEADER..].fill(SILENCE);
            match party.says {
                Says::Silence => {}
                Says::Stamps => {
                    packet[12..16].copy_from_slice(&MAGIC.to_be_bytes());
                    packet[16..24].copy_from_slice(&now.to_be_bytes());
                }
                // Talkers click at different times, so that not all calls are loud at once.
                Says::Clicks if (round + index as u64).is_multiple_of(CLICK_EVERY) => {
                    for (at, octet) in packet[HEADER..].iter_mut().enumerate() {
                        // A tone of 1 kHz: a steady level would be lost in anything that removes an offset.
                        *octet = LOUD[at / 4 % 2];
                    }
                    clicks[party.call].store(now, Ordering::Release);
                    spoken.clicks += u64::from(window.holds(now));
                }
                Says::Clicks => {}
            }
            let first = if party.sequence == 0 { 0x80 } else { 0 };
            let timestamp = (slots_before + round).wrapping_mul(SAMPLES as u64) as u32;
            packet[..2].copy_from_slice(&[0x80, first]);
            packet[2..4].copy_from_slice(&party.sequence.to_be_bytes());
            packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
            packet[8..12].copy_from_slice(&party.ssrc.to_be_bytes());
            party.sequence = party.sequence.wrapping_add(1);
            // A packet that the kernel does not take is a packet lost: it was due, so it counts.
            let _ = match &mut party.guard {
                None => party.socket.send_to(&packet, party.to),
                Some(guard) => {
                    let mut sealed = [0; PACKET + MAX_TAG_BYTES];
                    sealed[..PACKET].copy_from_slice(&packet);
                    let length = guard.seal.rtp(&mut sealed, PACKET).expect("a number used once");
                    party.socket.send_to(&sealed[..length], party.to)
                }
            };
            spoken.sent += u64::from(window.holds(now));
        }
    }
    spoken.cpu = before.map_or(Cpu::default(), |before| cpu().since(before));
    spoken
}

struct Ear<'a> {
    socket: &'a UdpSocket,
    call: usize,
    hears: Hears,
    /// The departure of the click it heard last.
    last: u64,
    /// Whether anything of what it listens for has come.
    heard: bool,
    open: Option<Arc<Mutex<Open>>>,
}

/// Receives until the window has closed and drained.
fn listen(mut ears: Vec<Ear<'_>>, clicks: &[AtomicU64], window: Window) -> Heard {
    let epoll = epoll::create(CreateFlags::CLOEXEC).expect("the kernel has epoll");
    for (index, ear) in ears.iter().enumerate() {
        epoll::add(&epoll, ear.socket, EventData::new_u64(index as u64), EventFlags::IN)
            .expect("a socket can be waited for");
    }
    let mut heard = Heard::default();
    let mut ready = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; READY_MAX];
    let mut packet = [0; 2_048];
    let beat = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    let end = window.to + u64::try_from(DRAIN.as_nanos()).unwrap_or(0);
    while window.now() < end {
        let count = epoll::wait(&epoll, &mut ready, Some(&beat)).unwrap_or(0);
        for event in &ready[..count] {
            let ear = &mut ears[event.data.u64() as usize];
            let Ok(mut length) = ear.socket.recv(&mut packet) else { continue };
            let now = window.now();
            if let Some(open) = &ear.open
                && !(192..224).contains(&packet[1])
            {
                let mut open = open.lock().expect("nobody panics with it");
                // What cannot be opened was not heard: it counts as lost, and is a fault when nothing else comes.
                let Ok(opened) = open.rtp(&mut packet[..length]) else { continue };
                length = opened;
            }
            // RFC 5761 section 4: these second octets are RTCP, of a neighbour.
            if length > HEADER && !(192..224).contains(&packet[1]) {
                take(ear, &packet[HEADER..length], now, clicks, window, &mut heard);
            }
        }
    }
    heard.deaf = ears.iter().filter(|ear| !ear.heard).count();
    heard.delays_us.sort_unstable();
    heard
}

fn take(
    ear: &mut Ear<'_>,
    payload: &[u8],
    now: u64,
    clicks: &[AtomicU64],
    window: Window,
    heard: &mut Heard,
) {
    let micros = |ns: u64| u32::try_from(ns / 1_000).unwrap_or(u32::MAX);
    match ear.hears {
        Hears::Stamps => {
            let Some(departed) = departure(payload) else { return };
            ear.heard = true;
            if !window.holds(departed) {
                return;
            }
            heard.received += 1;
            heard.delays_us.push(micros(now.saturating_sub(departed)));
        }
        Hears::Clicks => {
            heard.received += u64::from(window.holds(now));
            let departed = clicks[ear.call].load(Ordering::Acquire);
            if departed != ear.last && departed != 0 && is_loud(payload) {
                ear.last = departed;
                ear.heard = true;
                if window.holds(departed) {
                    heard.clicks_heard += 1;
                    heard.delays_us.push(micros(now.saturating_sub(departed)));
                }
            }
        }
        // Leaks count in the warm-up, too: there is no time at which one is allowed.
        Hears::NoClick => {
            ear.heard = true;
            heard.received += u64::from(window.holds(now));
            heard.leaks += u64::from(is_loud(payload));
        }
        Hears::Anything => {
            ear.heard = true;
            heard.received += u64::from(window.holds(now));
        }
    }
}

/// A payload that carries its time of departure, on the clock of `epoch`.
pub(crate) fn stamp(epoch: Instant) -> [u8; SAMPLES] {
    let mut payload = [SILENCE; SAMPLES];
    let now = u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
    payload[..4].copy_from_slice(&MAGIC.to_be_bytes());
    payload[4..12].copy_from_slice(&now.to_be_bytes());
    payload
}

/// When a stamped payload left, in nanoseconds since the epoch.
pub(crate) fn departure(payload: &[u8]) -> Option<u64> {
    let magic = u32::from_be_bytes(payload.get(..4)?.try_into().ok()?);
    let stamp = u64::from_be_bytes(payload.get(4..12)?.try_into().ok()?);
    (magic == MAGIC).then_some(stamp)
}

/// G.711 µ-law octets are inverted; bits 4 to 6 are the exponent.
fn is_loud(payload: &[u8]) -> bool {
    payload.iter().any(|octet| (!octet >> 4) & 7 >= LOUD_EXPONENT_MIN)
}
