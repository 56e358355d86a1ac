//! The sound of one call at a media processor: SRTP both ways, RTCP beside it, a tone for a voice.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sidetone_media::codec::{Codec, Encoder, MAX_PACKET_SAMPLES, MAX_PAYLOAD};
use sidetone_media::srtp::{MAX_TAG_BYTES, MasterKey, Open, Seal, Suite};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::machine::Media;
use super::sdp::KEY_BYTES;
use crate::sim::ear::{Ear, Understood};
use crate::sim::random;
use crate::sim::rtp::{Packet, is_rtcp};
use crate::sim::voice::Voice;

const BEAT: Duration = Duration::from_millis(20);
/// RTP clock units in a beat; the clock of all our codecs is 8000 Hz.
const BEAT_UNITS: u32 = 160;
/// The longest datagram received.
const DATAGRAM_BYTES: usize = 2048;
/// Attempts to find an even port whose successor is free too.
const PORT_TRIES: usize = 200;
/// The telephone-event that our descriptions name.
const EVENT: u8 = 101;

/// The sound of one call. Ports and tasks go when it goes.
pub(super) struct Sound {
    pub(super) ear: Ear,
    /// Where we receive.
    pub(super) at: SocketAddr,
    flow: Arc<Mutex<Option<Flow>>>,
    _tasks: JoinSet<()>,
}

struct Flow {
    media: Media,
    codec: Codec,
    seal: Seal,
    open: Open,
}

impl Sound {
    /// Opens the ports. Must be called within a tokio runtime.
    pub(super) fn open(name: &str, ip: IpAddr, voice: Voice) -> io::Result<Self> {
        let (rtp, rtcp) = bind_pair(ip)?;
        let at = rtp.local_addr()?;
        let rtp = Arc::new(rtp);
        let ear = Ear::new(name);
        let flow = Arc::new(Mutex::new(None));
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(rtp.clone(), ear.clone(), flow.clone()));
        tasks.spawn(listen(Arc::new(rtcp), ear.clone(), flow.clone()));
        tasks.spawn(speak(rtp, flow.clone(), voice));
        Ok(Self { ear, at, flow, _tasks: tasks })
    }

    /// Follows a description. A key that is new begins a context that is new, with its roll-over counter at 0.
    pub(super) fn agree(&self, media: Media) {
        let codec = match media.payload {
            0 => Codec::Pcmu,
            9 => Codec::G722,
            _ => Codec::Pcma,
        };
        self.ear.understand(Understood { codec, payload_type: media.payload, event: Some(EVENT) });
        let mut flow = self.flow.lock().unwrap_or_else(PoisonError::into_inner);
        let key = |keying: &[u8]| MasterKey::new(Suite::AesCm128HmacSha1_80, keying);
        let (Some(ours), Some(theirs)) = (key(&media.our_key), key(&media.their_key)) else {
            *flow = None;
            return;
        };
        let same =
            |of: fn(&Media) -> &[u8]| flow.as_ref().is_some_and(|flow: &Flow| of(&flow.media) == of(&media));
        let (same_ours, same_theirs) = (same(our_key), same(their_key));
        let (seal, open) = match flow.take() {
            Some(Flow { seal, open, .. }) => (
                if same_ours { seal } else { Seal::new(&ours) },
                if same_theirs { open } else { Open::new(&theirs) },
            ),
            None => (Seal::new(&ours), Open::new(&theirs)),
        };
        *flow = Some(Flow { media, codec, seal, open });
    }
}

fn our_key(media: &Media) -> &[u8] {
    let key: &[u8; KEY_BYTES] = &media.our_key;
    key
}

fn their_key(media: &Media) -> &[u8] {
    &media.their_key
}

async fn listen(socket: Arc<UdpSocket>, ear: Ear, flow: Arc<Mutex<Option<Flow>>>) {
    let mut datagram = [0; DATAGRAM_BYTES];
    loop {
        // An error here is an ICMP answer to something we sent; the port is still good.
        let Ok((length, from)) = socket.recv_from(&mut datagram).await else { continue };
        let datagram = &mut datagram[..length];
        let mut flow = flow.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(flow) = &mut *flow else { continue };
        if is_rtcp(datagram) {
            if flow.open.rtcp(datagram).is_ok() {
                ear.hear_rtcp();
            }
        } else if let Ok(length) = flow.open.rtp(datagram) {
            ear.hear(&Bytes::copy_from_slice(&datagram[..length]), from);
        }
    }
}

async fn speak(socket: Arc<UdpSocket>, flow: Arc<Mutex<Option<Flow>>>, voice: Voice) {
    let seed = random();
    let (ssrc, mut sequence, mut timestamp) = (seed as u32, (seed >> 32) as u16, random() as u32);
    let mut position = 0;
    let mut encoder = None::<Encoder>;
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        beat.tick().await;
        timestamp = timestamp.wrapping_add(BEAT_UNITS);
        let sealed = {
            let mut flow = flow.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(flow) = flow.as_mut().filter(|flow| flow.media.sends) else { continue };
            if encoder.as_ref().map(Encoder::codec) != Some(flow.codec) {
                encoder = Some(Encoder::new(flow.codec));
            }
            let Some(encoder) = &mut encoder else { continue };
            let payload = spoken(encoder, &voice, &mut position);
            let packet = Packet {
                marker: false,
                payload_type: flow.media.payload,
                sequence,
                timestamp,
                ssrc,
                payload,
            };
            sequence = sequence.wrapping_add(1);
            let plain = packet.to_bytes();
            let mut octets = plain.to_vec();
            octets.resize(plain.len() + MAX_TAG_BYTES, 0);
            flow.seal.rtp(&mut octets, plain.len()).ok().map(|length| {
                octets.truncate(length);
                (octets, flow.media.to)
            })
        };
        if let Some((octets, to)) = sealed {
            // As on any network: what cannot be sent is lost.
            let _ = socket.send_to(&octets, to).await;
        }
    }
}

fn spoken(encoder: &mut Encoder, voice: &Voice, position: &mut u64) -> Bytes {
    let rate = encoder.codec().sample_rate().hz();
    let samples = (rate / 50) as usize;
    let mut pcm = [0; MAX_PACKET_SAMPLES];
    for (at, sample) in pcm[..samples].iter_mut().enumerate() {
        *sample = voice.sample(*position + at as u64, rate);
    }
    *position += samples as u64;
    let mut payload = [0; MAX_PAYLOAD];
    let made = encoder.encode(&pcm[..samples], &mut payload);
    Bytes::copy_from_slice(&payload[..made])
}

/// An even port and the odd one above it.
fn bind_pair(ip: IpAddr) -> io::Result<(UdpSocket, UdpSocket)> {
    for _ in 0..PORT_TRIES {
        let rtp = std::net::UdpSocket::bind((ip, 0))?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 1 {
            continue;
        }
        let Ok(rtcp) = std::net::UdpSocket::bind((ip, port + 1)) else { continue };
        for socket in [&rtp, &rtcp] {
            socket.set_nonblocking(true)?;
        }
        return Ok((UdpSocket::from_std(rtp)?, UdpSocket::from_std(rtcp)?));
    }
    Err(io::ErrorKind::AddrInUse.into())
}
