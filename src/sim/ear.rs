//! What a simulated person hears: every packet that arrived, and measures of the sound in them.
//!
//! Positions are counted in packets and samples received, never in time: a machine that is late moves nothing.

mod measure;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use sidetone_media::codec::{Codec, Decoder, MAX_PACKET_SAMPLES};
use tokio::sync::watch;

use super::rtp::{Packet, TelephoneEvent};
use super::{Hung, until};

pub use measure::{SILENCE_DBFS, level_dbfs, level_of, loudest_of, over};

/// Most packets kept: ten minutes of 20 ms. What comes after is counted and not kept.
pub const MAX_PACKETS: usize = 30_000;

/// A recording of everything that reached one RTP port. Cheap to clone; all clones are the same ear.
#[derive(Clone)]
pub struct Ear {
    name: Arc<str>,
    tape: Arc<Mutex<Tape>>,
    /// How many packets are on the tape.
    count: watch::Sender<usize>,
}

/// One packet as it arrived.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Header and payload.
    pub packet: Packet,
    /// Where it came from.
    pub from: SocketAddr,
    /// When, for reports; no test judges it.
    pub at: Instant,
    /// What it is.
    pub kind: Kind,
    /// Where its sound lies in the PCM of the tape; empty when it has none.
    pcm: Range<usize>,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Speech in this codec.
    Audio(Codec),
    /// A telephone-event.
    Event(TelephoneEvent),
    /// Comfort noise (RFC 3389): a person would hear a breath of it, a measure hears silence.
    ComfortNoise,
    /// A payload type nobody agreed on.
    Unknown,
}

/// Samples cut from a tape.
#[derive(Debug, Clone, Default)]
pub struct Clip {
    /// The samples.
    pub pcm: Vec<i16>,
    /// Samples per second.
    pub rate: u32,
    /// Packets of sound they came from.
    pub packets: usize,
}

/// Which payload types mean what on this leg.
#[derive(Debug, Clone, Copy)]
pub(super) struct Understood {
    pub(super) codec: Codec,
    pub(super) payload_type: u8,
    pub(super) event: Option<u8>,
}

#[derive(Default)]
struct Tape {
    packets: Vec<Heard>,
    pcm: Vec<i16>,
    rate: u32,
    decoder: Option<Decoder>,
    understood: Option<Understood>,
    rtcp: usize,
    not_rtp: usize,
    not_kept: usize,
}

impl Ear {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), tape: Arc::default(), count: watch::Sender::new(0) }
    }

    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn understand(&self, understood: Understood) {
        self.tape().understood = Some(understood);
    }

    pub(super) fn hear(&self, datagram: &Bytes, from: SocketAddr) {
        let mut tape = self.tape();
        match Packet::parse(datagram) {
            Some(packet) => tape.put(packet, from),
            None => tape.not_rtp += 1,
        }
        let count = tape.packets.len();
        drop(tape);
        self.count.send_replace(count);
    }

    pub(super) fn hear_rtcp(&self) {
        self.tape().rtcp += 1;
    }

    /// Whose ear it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many packets arrived so far. Also a mark for [`Ear::since`].
    pub fn count(&self) -> usize {
        self.tape().packets.len()
    }

    /// How many RTCP packets arrived so far.
    pub fn rtcp_count(&self) -> usize {
        self.tape().rtcp
    }

    /// Waits until `more` further packets have arrived.
    pub async fn wait_for(&self, more: usize) -> Result<(), Hung> {
        self.wait_until(self.count() + more).await
    }

    /// Waits until `total` packets have arrived in all.
    pub async fn wait_until(&self, total: usize) -> Result<(), Hung> {
        let hung = |count: &usize| Hung {
            who: self.name.to_string(),
            what: format!("{total} packets"),
            last: format!("{count} packets had arrived"),
        };
        until(&mut self.count.subscribe(), |count| *count >= total, hung).await.map(drop)
    }

    /// Waits for `packets` further packets and gives their sound.
    pub async fn listen(&self, packets: usize) -> Result<Clip, Hung> {
        let mark = self.count();
        self.wait_until(mark + packets).await?;
        Ok(self.between(mark..mark + packets))
    }

    /// The sound of everything from packet `mark` on.
    pub fn since(&self, mark: usize) -> Clip {
        self.between(mark..usize::MAX)
    }

    /// The sound of a range of packets.
    pub fn between(&self, packets: Range<usize>) -> Clip {
        let tape = self.tape();
        let end = packets.end.min(tape.packets.len());
        let heard = tape.packets.get(packets.start..end).unwrap_or_default();
        let pcm = heard.iter().flat_map(|heard| &tape.pcm[heard.pcm.clone()]).copied().collect();
        let sounding = heard.iter().filter(|heard| !heard.pcm.is_empty()).count();
        Clip { pcm, rate: tape.rate.max(8000), packets: sounding }
    }

    /// Everything that arrived.
    pub fn packets(&self) -> Vec<Heard> {
        self.tape().packets.clone()
    }

    /// The payloads of all packets of speech, in order of arrival.
    pub fn payloads(&self) -> Vec<Bytes> {
        let tape = self.tape();
        let speech = tape.packets.iter().filter(|heard| matches!(heard.kind, Kind::Audio(_)));
        speech.map(|heard| heard.packet.payload.clone()).collect()
    }

    /// The keys pressed at the other end, each once.
    pub fn digits(&self) -> String {
        let tape = self.tape();
        let mut seen = BTreeSet::new();
        let ends = tape.packets.iter().filter_map(|heard| match heard.kind {
            Kind::Event(event) if event.end && seen.insert(heard.packet.timestamp) => event.digit(),
            _ => None,
        });
        ends.collect()
    }

    /// The addresses that packets came from.
    pub fn sources(&self) -> BTreeSet<SocketAddr> {
        self.tape().packets.iter().map(|heard| heard.from).collect()
    }

    /// Checks that the packets from `mark` on are one unbroken line: one SSRC, each sequence number one above the one
    /// before, and timestamps that go on by exactly the sound in between (by nothing within one telephone-event).
    pub fn check_line(&self, mark: usize) -> Result<(), BrokenLine> {
        let tape = self.tape();
        let packets = tape.packets.get(mark..).unwrap_or_default();
        for (i, pair) in packets.windows(2).enumerate() {
            let (before, after) = (&pair[0], &pair[1]);
            let what = before.break_to(after);
            if let Some(what) = what {
                return Err(BrokenLine { at: mark + i + 1, what });
            }
        }
        Ok(())
    }

    /// Writes everything heard as a WAV file.
    pub fn write_wav(&self, path: &Path) -> Result<(), hound::Error> {
        self.since(0).write_wav(path)
    }
}

/// The longest silence that a stalled machine excuses, in seconds of the RTP clock.
const STALL_S_MAX: u32 = 1;

/// Where a stream of packets broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("packet {at}: {what}")]
pub struct BrokenLine {
    /// The packet, counted from the first ever received.
    pub at: usize,
    /// What is wrong with it.
    pub what: String,
}

impl Heard {
    /// What is wrong when `next` follows this packet.
    fn break_to(&self, next: &Heard) -> Option<String> {
        let (a, b) = (&self.packet, &next.packet);
        if a.ssrc != b.ssrc {
            return Some(format!("SSRC {:08x} became {:08x}", a.ssrc, b.ssrc));
        }
        if a.sequence.wrapping_add(1) != b.sequence {
            return Some(format!("sequence {} after {}", b.sequence, a.sequence));
        }
        let step = b.timestamp.wrapping_sub(a.timestamp);
        let lawful = match (self.kind, next.kind) {
            // A new spurt may come after a silence, and says so by its marker (RFC 3551 section 4.1): on a machine that
            // stalls, the next source is late. That a switch makes none is told in virtual time (`bridge::stories`).
            (Kind::Audio(codec), _) => {
                let units = codec.rtp_units_in(&a.payload);
                step == units || b.marker && (units..STALL_S_MAX * codec.rtp_clock()).contains(&step)
            }
            // All packets of one event bear the time of its beginning (RFC 4733 section 2.5.1.2); sound goes on behind it.
            (Kind::Event(_), Kind::Event(_)) => step < 1 << 31,
            (Kind::Event(event), _) => step >= u32::from(event.duration) && step < 1 << 31,
            (Kind::ComfortNoise | Kind::Unknown, _) => step < 1 << 31,
        };
        (!lawful).then(|| format!("timestamp went on by {step} after {:?}", self.kind))
    }
}

impl Tape {
    fn put(&mut self, packet: Packet, from: SocketAddr) {
        if self.packets.len() >= MAX_PACKETS {
            self.not_kept += 1;
            return;
        }
        let kind = self.kind(&packet);
        let start = self.pcm.len();
        if let Kind::Audio(codec) = kind {
            self.decode(codec, &packet.payload);
        }
        let pcm = start..self.pcm.len();
        self.packets.push(Heard { packet, from, at: Instant::now(), kind, pcm });
    }

    fn kind(&self, packet: &Packet) -> Kind {
        let Some(understood) = self.understood else { return Kind::Unknown };
        let payload_type = packet.payload_type;
        if payload_type == understood.payload_type {
            Kind::Audio(understood.codec)
        } else if Some(payload_type) == understood.event {
            TelephoneEvent::parse(&packet.payload).map_or(Kind::Unknown, Kind::Event)
        } else if payload_type == crate::sip::offer::COMFORT_NOISE {
            Kind::ComfortNoise
        } else {
            Codec::from_static_payload_type(payload_type).map_or(Kind::Unknown, Kind::Audio)
        }
    }

    fn decode(&mut self, codec: Codec, payload: &[u8]) {
        let rate = codec.sample_rate().hz();
        if self.rate == 0 {
            self.rate = rate;
        }
        // A tape has one rate. A codec of another rate in mid-call is seen in the packets and not heard here.
        if self.rate != rate {
            return;
        }
        if self.decoder.as_ref().map(Decoder::codec) != Some(codec) {
            self.decoder = Some(Decoder::new(codec));
        }
        let mut out = [0; MAX_PACKET_SAMPLES];
        let made = self.decoder.as_mut().map_or(0, |decoder| decoder.decode(payload, &mut out));
        self.pcm.extend_from_slice(&out[..made]);
    }
}

impl Clip {
    /// The level of a tone of `hz` over the whole clip, in dBFS.
    pub fn level_of(&self, hz: f64) -> f64 {
        level_of(&self.pcm, self.rate, hz)
    }

    /// The level of a tone of `hz` where it is loudest, over any `samples` in a row.
    pub fn loudest_of(&self, hz: f64, samples: usize) -> f64 {
        loudest_of(&self.pcm, self.rate, hz, samples)
    }

    /// The level of everything, in dBFS.
    pub fn level(&self) -> f64 {
        level_dbfs(&self.pcm)
    }

    /// Writes it as a WAV file.
    pub fn write_wav(&self, path: &Path) -> Result<(), hound::Error> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: self.rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut file = hound::WavWriter::create(path, spec)?;
        for &sample in &self.pcm {
            file.write_sample(sample)?;
        }
        file.finalize()
    }
}
