//! The telephone's sound: one RTP and one RTCP port for one call, a mouth that sends a packet each 20 ms and an ear
//! that keeps what comes.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sidetone_media::codec::{Codec, Encoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD};
use sidetone_media::srtp::{MAX_RTCP_TRAILER_BYTES, Open, OpenError, Seal, SealError};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::call::door::MediaKeys;
use crate::sim::ear::{Ear, Understood};
use crate::sim::rtp::{Packet, SenderReport, TelephoneEvent, is_rtcp};
use crate::sim::voice::Voice;
use crate::sim::{Hung, random, until};
use crate::sip::offer::NegotiatedAudio;

/// The beat of the mouth.
const BEAT: Duration = Duration::from_millis(20);
/// Beats in a second.
const BEATS_PER_S: u32 = 50;
/// Beats between two sender reports: 5 s, the least of RFC 3550 section 6.2. The first comes after one.
const REPORT_BEATS: u64 = 250;
/// Beats a key is pressed: 160 ms, twice what RFC 4733 section 2.5.1.5 calls the least.
const KEY_BEATS: u16 = 8;
/// Beats of speech between two keys.
const GAP_BEATS: u64 = 5;
/// How often the end of a key is told (RFC 4733 section 2.5.1.4).
const END_PACKETS: u16 = 3;
/// Attempts to find an even port whose successor is free too.
const PORT_TRIES: usize = 200;
/// The longest datagram received; RTP of 60 ms has 492 octets.
const DATAGRAM_BYTES: usize = 2048;

/// The sound of one call. Ports and tasks go when it goes.
pub(super) struct Talk {
    pub(super) ear: Ear,
    pub(super) mouth: Mouth,
    /// Where we receive RTP; RTCP is one port above.
    pub(super) rtp: SocketAddr,
    flow: watch::Sender<Option<Flow>>,
    guard: Guard,
    _tasks: JoinSet<()>,
}

/// What a person says in one call, and what of it went out. Cheap to clone.
#[derive(Clone)]
pub struct Mouth {
    name: Arc<str>,
    state: Arc<Mutex<State>>,
    /// Beats since the call got its sound, sent or not.
    beats: watch::Sender<u64>,
}

struct State {
    voice: Voice,
    keys: VecDeque<u8>,
    /// Payloads of speech, in order.
    sent: Vec<Bytes>,
}

/// Where sound goes and how.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Flow {
    codec: Codec,
    payload_type: u8,
    event: Option<u8>,
    to: Option<SocketAddr>,
    to_rtcp: Option<SocketAddr>,
}

impl Talk {
    /// Opens the ports. Must be called within a tokio runtime.
    pub(super) fn open(name: &str, ip: IpAddr, voice: Voice) -> io::Result<Self> {
        let (rtp, rtcp) = bind_pair(ip)?;
        let at = rtp.local_addr()?;
        let (rtp, rtcp) = (Arc::new(rtp), Arc::new(rtcp));
        let ear = Ear::new(name);
        let mouth = Mouth::new(name, voice);
        let (flow, watched) = watch::channel(None);
        let mut tasks = JoinSet::new();
        let guard = Guard::default();
        tasks.spawn(listen(rtp.clone(), ear.clone(), Port::Rtp, guard.clone()));
        tasks.spawn(listen(rtcp.clone(), ear.clone(), Port::Rtcp, guard.clone()));
        tasks.spawn(speak(rtp, rtcp, mouth.clone(), watched, guard.clone()));
        Ok(Self { ear, mouth, rtp: at, flow, guard, _tasks: tasks })
    }

    /// Follows what both sides agreed on.
    pub(super) fn agree(&self, agreed: &NegotiatedAudio) {
        let codec = agreed.codec;
        self.ear.understand(Understood {
            codec,
            payload_type: agreed.receive_payload_type,
            event: agreed.telephone_event_receive,
        });
        self.guard.agree(agreed.keys.as_ref());
        let sends = agreed.direction.sends();
        self.flow.send_replace(Some(Flow {
            codec,
            payload_type: agreed.send_payload_type,
            event: agreed.telephone_event_send,
            to: agreed.remote_rtp.filter(|_| sends),
            to_rtcp: agreed.remote_rtcp,
        }));
    }
}

/// What protects the sound, if anything does. Cheap to clone.
#[derive(Clone, Default)]
struct Guard(Arc<Mutex<Option<Keyed>>>);

struct Keyed {
    keys: MediaKeys,
    seal: Seal,
    open: Open,
}

impl Guard {
    fn agree(&self, keys: Option<&MediaKeys>) {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(keys) = keys else { return *guard = None };
        match &mut *guard {
            Some(keyed) => {
                if keyed.keys.ours != keys.ours {
                    keyed.seal = Seal::new(&keys.ours);
                }
                if keyed.keys.theirs != keys.theirs {
                    keyed.open.rekey(&keys.theirs);
                }
                keyed.keys = keys.clone();
            }
            None => {
                let (seal, open) = (Seal::new(&keys.ours), Open::new(&keys.theirs));
                *guard = Some(Keyed { keys: keys.clone(), seal, open });
            }
        }
    }

    /// The datagram as it goes out; none if it must not.
    fn sealed(
        &self,
        plain: &Bytes,
        seal: fn(&mut Seal, &mut [u8], usize) -> Result<usize, SealError>,
    ) -> Option<Bytes> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(keyed) = &mut *guard else { return Some(plain.clone()) };
        let mut octets = plain.to_vec();
        octets.resize(plain.len() + MAX_RTCP_TRAILER_BYTES, 0);
        let length = seal(&mut keyed.seal, &mut octets, plain.len()).ok()?;
        octets.truncate(length);
        Some(octets.into())
    }

    /// What came, in clear; none if it is not the other end's.
    fn opened<'a>(
        &self,
        datagram: &'a mut [u8],
        open: fn(&mut Open, &mut [u8]) -> Result<usize, OpenError>,
    ) -> Option<&'a [u8]> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(keyed) = &mut *guard else { return Some(datagram) };
        let length = open(&mut keyed.open, datagram).ok()?;
        datagram.get(..length)
    }
}

impl Mouth {
    fn new(name: &str, voice: Voice) -> Self {
        let state = State { voice, keys: VecDeque::new(), sent: Vec::new() };
        Self { name: name.into(), state: Arc::new(Mutex::new(state)), beats: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Speaks with another voice from the next beat on.
    pub fn say(&self, voice: Voice) {
        self.state().voice = voice;
    }

    /// Presses keys one after the other; characters that are no keys are left out.
    pub fn press(&self, digits: &str) {
        self.state().keys.extend(digits.chars().filter_map(TelephoneEvent::of_digit));
    }

    /// The payloads of all packets of speech sent, in order.
    pub fn sent(&self) -> Vec<Bytes> {
        self.state().sent.clone()
    }

    /// How many packets of speech were sent.
    pub fn sent_count(&self) -> usize {
        self.state().sent.len()
    }

    /// Waits for `beats` beats of 20 ms of this mouth, whether or not anything may be sent. A machine that is late
    /// makes them longer.
    pub async fn wait_for(&self, beats: u64) -> Result<(), Hung> {
        let goal = *self.beats.borrow() + beats;
        let hung = |at: &u64| Hung {
            who: self.name.to_string(),
            what: format!("beat {goal}"),
            last: format!("beat {at}"),
        };
        until(&mut self.beats.subscribe(), |at| *at >= goal, hung).await.map(drop)
    }
}

/// An even port for RTP and the next one for RTCP (RFC 3550 section 11).
fn bind_pair(ip: IpAddr) -> io::Result<(UdpSocket, UdpSocket)> {
    let bind = |port: u16| -> io::Result<UdpSocket> {
        let socket = std::net::UdpSocket::bind((ip, port))?;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    };
    for _ in 0..PORT_TRIES {
        let rtp = bind(0)?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 0
            && let Ok(rtcp) = bind(port + 1)
        {
            return Ok((rtp, rtcp));
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no two neighbouring UDP ports are free"))
}

#[derive(Clone, Copy, PartialEq)]
enum Port {
    Rtp,
    Rtcp,
}

async fn listen(socket: Arc<UdpSocket>, ear: Ear, port: Port, guard: Guard) {
    let mut datagram = [0; DATAGRAM_BYTES];
    loop {
        // An error here is an ICMP answer to something we sent; the port is still good.
        let Ok((len, from)) = socket.recv_from(&mut datagram).await else { continue };
        let datagram = &mut datagram[..len];
        if port == Port::Rtcp || is_rtcp(datagram) {
            if guard.opened(datagram, Open::rtcp).is_some() {
                ear.hear_rtcp();
            }
        } else if let Some(plain) = guard.opened(datagram, Open::rtp) {
            ear.hear(&Bytes::copy_from_slice(plain), from);
        }
    }
}

async fn speak(
    rtp: Arc<UdpSocket>,
    rtcp: Arc<UdpSocket>,
    mouth: Mouth,
    mut flows: watch::Receiver<Option<Flow>>,
    guard: Guard,
) {
    if flows.wait_for(Option::is_some).await.is_err() {
        return;
    }
    let mut stream = Stream::new();
    let mut beat = interval(BEAT);
    // A late beat is made up for at once: the far end's buffer is there for that, and no sound is lost.
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        beat.tick().await;
        let Some(flow) = *flows.borrow_and_update() else { continue };
        let packets = stream.beat(&flow, &mut mouth.state());
        if let Some(to) = flow.to {
            for packet in &packets {
                // As on any network: what cannot be sent is lost.
                if let Some(octets) = guard.sealed(&packet.to_bytes(), Seal::rtp) {
                    let _ = rtp.send_to(&octets, to).await;
                }
            }
        }
        if let Some(to) = flow.to_rtcp
            && stream.beats % REPORT_BEATS == 1
            && let Some(octets) = guard.sealed(&stream.report(&mouth.name), Seal::rtcp)
        {
            let _ = rtcp.send_to(&octets, to).await;
        }
        mouth.beats.send_modify(|beats| *beats += 1);
    }
}

impl Flow {
    /// RTP clock units in a beat.
    fn beat_units(&self) -> u32 {
        self.codec.rtp_clock() / BEATS_PER_S
    }
}

/// One line of outgoing packets.
struct Stream {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    encoder: Option<Encoder>,
    /// Samples of voice so far.
    position: u64,
    beats: u64,
    key: Option<Key>,
    /// No key before this beat.
    next_key: u64,
    packets: u32,
    octets: u32,
    /// The next packet of speech follows a pause.
    spurt: bool,
}

/// A key being pressed.
struct Key {
    event: u8,
    began: u32,
    beats: u16,
}

impl Stream {
    fn new() -> Self {
        let seed = random();
        Self {
            ssrc: seed as u32,
            sequence: (seed >> 32) as u16,
            timestamp: random() as u32,
            encoder: None,
            position: 0,
            beats: 0,
            key: None,
            next_key: 0,
            packets: 0,
            octets: 0,
            spurt: true,
        }
    }

    /// What goes out in this beat. Time goes on even when nothing may.
    fn beat(&mut self, flow: &Flow, state: &mut State) -> Vec<Packet> {
        let packets = match (flow.to, flow.event) {
            (None, _) => {
                self.spurt = true;
                Vec::new()
            }
            (Some(_), Some(event)) if self.presses(state) => self.key_packets(event, flow.beat_units()),
            (Some(_), _) => self.speech(flow, state),
        };
        self.position += u64::from(flow.codec.sample_rate().hz() / 50);
        self.timestamp = self.timestamp.wrapping_add(flow.beat_units());
        self.beats += 1;
        packets
    }

    fn presses(&mut self, state: &mut State) -> bool {
        if self.key.is_none()
            && self.beats >= self.next_key
            && let Some(event) = state.keys.pop_front()
        {
            self.key = Some(Key { event, began: self.timestamp, beats: 0 });
        }
        self.key.is_some()
    }

    fn key_packets(&mut self, payload_type: u8, beat_units: u32) -> Vec<Packet> {
        let Some(key) = &mut self.key else { return Vec::new() };
        key.beats += 1;
        let (began, first, end) = (key.began, key.beats == 1, key.beats == KEY_BEATS);
        let event = TelephoneEvent { event: key.event, end, duration: key.beats * beat_units as u16 };
        if end {
            self.key = None;
            self.next_key = self.beats + GAP_BEATS;
        }
        let copies = if end { END_PACKETS } else { 1 };
        (0..copies).map(|_| self.packet(first, payload_type, began, event.to_bytes())).collect()
    }

    fn speech(&mut self, flow: &Flow, state: &mut State) -> Vec<Packet> {
        if self.encoder.as_ref().map(Encoder::codec) != Some(flow.codec) {
            self.encoder = Some(Encoder::new(flow.codec));
        }
        let Some(encoder) = &mut self.encoder else { return Vec::new() };
        let rate = flow.codec.sample_rate().hz();
        let mut pcm = [0; MAX_PACKET_SAMPLES];
        let samples = (rate / 50) as usize;
        for (i, sample) in pcm[..samples].iter_mut().enumerate() {
            *sample = state.voice.sample(self.position + i as u64, rate);
        }
        let mut payload = [0; MAX_PAYLOAD];
        let made = encoder.encode(&pcm[..samples], &mut payload);
        let payload = Bytes::copy_from_slice(&payload[..made]);
        state.sent.push(payload.clone());
        let marker = std::mem::take(&mut self.spurt);
        vec![self.packet(marker, flow.payload_type, self.timestamp, payload)]
    }

    fn packet(&mut self, marker: bool, payload_type: u8, timestamp: u32, payload: Bytes) -> Packet {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        Packet { marker, payload_type, sequence, timestamp, ssrc: self.ssrc, payload }
    }

    fn report(&self, cname: &str) -> Bytes {
        // RFC 3550 section 4: seconds since 1900, 70 years and 17 leap days before 1970.
        const TO_1900: u64 = 2_208_988_800;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
        let ntp = (now.as_secs() + TO_1900) << 32 | fraction;
        let report = SenderReport {
            ssrc: self.ssrc,
            ntp,
            timestamp: self.timestamp,
            packets: self.packets,
            octets: self.octets,
        };
        report.to_bytes(cname)
    }
}
