//! The bridge: real time, and the only place where sockets meet `media`.
//!
//! A few threads of its own, each with an epoll loop, carry all media; a call lives on one of them.
//! They are no tasks of the async runtime: a relayed packet costs one read and one write, and
//! waking a task for each of fifty packets a second of every leg would cost more than that.
//!
//! ```text
//!   Bridge (handle) ──Command──> shard thread:  epoll ─> Room (pure) ─> sockets
//!        ^                             │
//!        └──────── BridgeEvent ────────┘
//! ```
//!
//! [`Bridge::set_hearing`] takes a [`Hearing`] and is the only way to connect a mouth to an ear:
//!
//! ```compile_fail
//! # fn f(bridge: sidetone::bridge::Bridge, call: sidetone::call::CallId) {
//! bridge.set_hearing(call, 1, vec![(sidetone::call::LegId(1), sidetone::call::LegId(2))]);
//! # }
//! ```

mod latch;
mod ports;
mod room;
mod shard;
#[cfg(test)]
mod stories;
mod wire;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sbc_config::HoldMedia;
use sidetone_media::answer::Heard;
use sidetone_media::codec::opus::Tuning;
use sidetone_media::frame::SampleRate;
use sidetone_media::tone::{Recording, RingbackTone};
use tokio::sync::{mpsc, oneshot};

use crate::call::door::{AgreedMedia, IN_PROCESS};
use crate::call::{CallId, Hearing, LegId};

use ports::Ports;
pub use ports::PortsError;
pub use room::Listen;
use room::{Entering, House};
use shard::{Command, Link, Shard, ShardHandle};
use wire::Wires;
pub use wire::{LegWire, Outbound};

/// The figures of a leg's media.
pub use sidetone_media::stream::rtcp::Quality as LegQuality;

/// How the bridge is set up.
#[derive(Debug, Clone)]
pub struct BridgeConfig {
    /// The address media sockets are bound to.
    pub bind: IpAddr,
    /// The address written into descriptions.
    pub advertised: IpAddr,
    /// The ports: RTP on even ones, RTCP above.
    pub ports: RangeInclusive<u16>,
    /// Media threads, at least one.
    pub shards: usize,
    /// A leg from which nothing comes for this long, neither sound nor a report, has timed out.
    pub media_timeout: Duration,
    /// A leg without sound for this long is told of.
    pub media_warn: Duration,
    /// The ringing tone.
    pub ringback: RingbackTone,
    /// What held parties hear.
    pub music: Music,
    /// What they may hear instead, by name.
    pub prompts: HashMap<Arc<str>, Music>,
    /// How far an ear may fall behind a mouth.
    pub behind_max: Duration,
    /// How our Opus is made.
    pub opus: Tuning,
}

/// Music on hold.
#[derive(Debug, Clone)]
pub enum Music {
    /// A melody that needs no file.
    BuiltIn,
    /// A recording, over and over.
    Recording(Recording),
    /// A soft tone now and then.
    Tone,
    /// Nothing.
    Silence,
}

/// The longest recording: ten minutes at 16 kHz are 19 MB, and nobody should wait longer.
const MUSIC_SAMPLES_MAX: usize = 10 * 60 * 16_000;

impl Music {
    /// Reads a WAV file: 8 or 16 kHz, 16 bits, of whose channels the first is used.
    ///
    /// # Errors
    /// The file cannot be read, or is none of that.
    pub fn from_wav(path: &Path) -> Result<Music, hound::Error> {
        let mut reader = hound::WavReader::open(path)?;
        let spec = reader.spec();
        let rate = match spec.sample_rate {
            8000 => SampleRate::Hz8000,
            16_000 => SampleRate::Hz16000,
            _ => return Err(hound::Error::Unsupported),
        };
        if spec.bits_per_sample != 16 || spec.sample_format != hound::SampleFormat::Int {
            return Err(hound::Error::Unsupported);
        }
        let channels = usize::from(spec.channels.max(1));
        let samples: Result<Arc<[i16]>, _> =
            reader.samples::<i16>().step_by(channels).take(MUSIC_SAMPLES_MAX).collect();
        Ok(Music::Recording(Recording::new(samples?, rate)))
    }
}

/// Why the bridge did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A thread, its epoll or its wake-up could not be had.
    #[error("a media thread cannot be started")]
    Thread(#[source] io::Error),
    /// No randomness for SSRCs.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(getrandom::Error),
}

/// What the bridge tells of its own accord.
#[derive(Debug, Clone, PartialEq)]
pub enum BridgeEvent {
    /// A digit was pressed, told once.
    Digit {
        /// The call.
        call: CallId,
        /// Whose telephone.
        leg: LegId,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
    },
    /// The first packet of a leg has come.
    FirstMedia {
        /// The call.
        call: CallId,
        /// The leg.
        leg: LegId,
    },
    /// A leg that was listened to ([`Bridge::listen`]) has been heard.
    Screened {
        /// The call.
        call: CallId,
        /// The leg.
        leg: LegId,
        /// As what.
        heard: Heard,
    },
    /// Nothing has come from a leg for the configured time.
    MediaTimeout {
        /// The call.
        call: CallId,
        /// The leg.
        leg: LegId,
    },
    /// No sound has come from a leg for a while that should send some; or it comes again.
    MediaMissing {
        /// The call.
        call: CallId,
        /// The leg.
        leg: LegId,
        /// Whether it is missing now.
        missing: bool,
    },
    /// A table governs the media from now on.
    HearingApplied {
        /// The call.
        call: CallId,
        /// Which table.
        generation: u64,
    },
    /// How a leg sounds, every few seconds in which something came.
    Quality {
        /// The call.
        call: CallId,
        /// The leg.
        leg: LegId,
        /// What it has been like so far; its `mos` is that of the last seconds alone.
        quality: LegQuality,
        /// Whether that is clearly worse, or better again, than when it last was so.
        is_news: bool,
    },
    /// A leg's media is closed, its ports are free.
    Closed {
        /// The call.
        call: CallId,
        /// The leg.
        leg: LegId,
        /// What it was like.
        quality: LegQuality,
    },
    /// A defect met in this call's media: it is closed.
    CallFailed {
        /// The call.
        call: CallId,
    },
}

/// Our end of a leg's media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegMedia {
    /// Where the far end sends RTP; RTCP goes to the next port.
    pub rtp: SocketAddr,
}

/// What each ear hears, as the media path carries it out.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioReport {
    /// The table in force.
    pub generation: u64,
    /// One row per leg with media.
    pub ears: Vec<EarReport>,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct EarReport {
    /// Whose ear.
    pub leg: LegId,
    /// What is done for it.
    pub plan: PlanKind,
    /// Who is heard; during a switch also who is fading away.
    pub mouths: Vec<MouthReport>,
}

/// What is done for an ear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanKind {
    /// Silence is sent, or nothing.
    Silence,
    /// The tone of a telephone ringing elsewhere.
    Ringback,
    /// Music on hold.
    Music,
    /// One mouth's packets, as they come.
    Relay,
    /// Decoded, summed, encoded.
    Mix,
}

impl PlanKind {
    /// Its word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            PlanKind::Silence => "silence",
            PlanKind::Ringback => "ringback",
            PlanKind::Music => "music",
            PlanKind::Relay => "relay",
            PlanKind::Mix => "mix",
        }
    }
}

/// One mouth of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MouthReport {
    /// Whose.
    pub leg: LegId,
    /// Its level, if it is being decoded.
    pub level_dbfs: Option<f32>,
}

/// The bridge. Cheap to clone; the threads end when the last handle is gone.
#[derive(Clone)]
pub struct Bridge {
    shards: Arc<[ShardHandle]>,
    ports: Ports,
    wires: Wires,
    advertised: IpAddr,
    prompts: Arc<HashMap<Arc<str>, Music>>,
}

impl Bridge {
    /// Starts the media threads. Events that do not fit into `events` wait in the bridge.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: BridgeConfig, events: mpsc::Sender<BridgeEvent>) -> Result<Bridge, StartError> {
        let ports = Ports::new(config.bind, config.ports, random().map_err(StartError::Randomness)?[0]);
        let house = House {
            media_timeout: config.media_timeout,
            media_warn: config.media_warn,
            behind_ms_max: u32::try_from(config.behind_max.as_millis()).unwrap_or(u32::MAX),
            ringback: config.ringback,
            music: config.music,
            opus: config.opus,
        };
        let shards = (0..config.shards.max(1))
            .map(|number| {
                let [seed, _] = random().map_err(StartError::Randomness)?;
                Shard::start(number, house.clone(), events.clone(), seed).map_err(StartError::Thread)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let (wires, prompts) = (Wires::default(), Arc::new(config.prompts));
        Ok(Bridge { shards: shards.into(), ports, wires, advertised: config.advertised, prompts })
    }

    /// Lets the media threads see what was asked of them since the last time. Whoever gives orders
    /// calls this when the orders of one event are complete.
    pub fn announce(&self) {
        self.shards.iter().for_each(ShardHandle::announce);
    }

    /// Whether something was asked that the media threads have not been told to see.
    pub fn is_unannounced(&self) -> bool {
        self.shards.iter().any(ShardHandle::is_unannounced)
    }

    /// Opens our end of a leg's media.
    ///
    /// # Errors
    /// No pair of ports, or no socket: see [`PortsError`].
    pub fn open(&self, call: CallId, leg: LegId) -> Result<LegMedia, PortsError> {
        let pair = self.ports.open()?;
        let port = pair.port;
        self.enter(call, leg, Link::Udp(pair))?;
        Ok(LegMedia { rtp: SocketAddr::new(self.advertised, port) })
    }

    /// Opens a leg's media for packets that come by another way than UDP: see [`Bridge::wire`].
    ///
    /// # Errors
    /// The machine has no descriptor or no randomness left.
    pub fn open_wire(&self, call: CallId, leg: LegId) -> Result<LegMedia, PortsError> {
        let (wire, end) = LegWire::new().map_err(PortsError::Socket)?;
        self.wires.add(leg, &wire);
        self.enter(call, leg, Link::Wire(end))?;
        Ok(LegMedia { rtp: IN_PROCESS })
    }

    /// The door's end of a leg's wire, while its media is open; in whichever call the leg is.
    pub fn wire(&self, leg: LegId) -> Option<LegWire> {
        self.wires.get(leg)
    }

    fn enter(&self, call: CallId, leg: LegId, link: Link) -> Result<(), PortsError> {
        let [bits, more] = random().map_err(|error| PortsError::Socket(error.into()))?;
        let entering = Entering {
            id: leg,
            // Zero would look like no SSRC at all to some stacks.
            ssrc: (bits as u32).max(1),
            // In the lower half: a far end that misses the first packets must not miss a rollover with them
            // (RFC 3711 section 3.3.1).
            first_sequence: (bits >> 32) as u16 & 0x7fff,
            first_timestamp: more as u32,
        };
        self.shard(call).queue(Command::Open { call, link, entering });
        Ok(())
    }

    /// What both ends of a leg agreed on. `consume_digits`: its digits are told and not passed on.
    pub fn agree(&self, call: CallId, leg: LegId, agreed: AgreedMedia, consume_digits: bool) {
        self.shard(call).queue(Command::Agree { call, leg, agreed: Box::new(agreed), consume_digits });
    }

    /// The leg is answered: from now on it is missed when nothing comes from it. Before that it may be silent by right.
    pub fn answered(&self, call: CallId, leg: LegId) {
        self.shard(call).queue(Command::Answered { call, leg });
    }

    /// The table in force from now on.
    pub fn set_hearing(&self, call: CallId, generation: u64, hearing: Hearing) {
        self.shard(call).queue(Command::Hearing { call, generation, hearing });
    }

    /// Sends a digit to a leg, as telephone-events.
    pub fn send_digit(&self, call: CallId, leg: LegId, digit: char) {
        self.shard(call).queue(Command::Digit { call, leg, digit });
    }

    /// What those of a call hear who are held from now on. Whoever is held already goes on hearing what they hear.
    pub fn hold_with(&self, call: CallId, media: &HoldMedia) {
        let music = match media {
            HoldMedia::Music => None,
            HoldMedia::Tone => Some(Music::Tone),
            HoldMedia::Silence => Some(Music::Silence),
            // One that is new in the file is there after a restart, and until then the music is.
            HoldMedia::Prompt(name) => self.prompts.get(name).cloned(),
        };
        self.shard(call).queue(Command::HoldWith { call, music });
    }

    /// Listens to a leg that has just answered, for a machine.
    pub fn listen(&self, call: CallId, leg: LegId, how: Listen) {
        self.shard(call).queue(Command::Listen { call, leg, how });
    }

    /// Closes a leg's media.
    pub fn close(&self, call: CallId, leg: LegId) {
        self.shard(call).queue(Command::Close { call, leg });
    }

    /// Closes what is left of a call's media.
    pub fn close_call(&self, call: CallId) {
        self.shard(call).queue(Command::CloseCall { call });
    }

    /// Moves a leg into another call, its line of packets unbroken.
    pub fn move_leg(&self, from: CallId, to: CallId, leg: LegId) {
        // The place is taken now, so that whatever is asked of the leg next finds it there: the new
        // shard waits for the old one, which has nothing before this to wait for in turn.
        let (hand_over, handed) = std::sync::mpsc::sync_channel(1);
        self.shard(from).queue(Command::MoveOut { call: from, leg, hand_over });
        self.shard(to).queue(Command::MoveIn { call: to, handed });
    }

    /// What each ear of a call hears now. `None` if the call has no media.
    pub async fn audio(&self, call: CallId) -> Option<AudioReport> {
        let (answer, answered) = oneshot::channel();
        self.shard(call).send(Command::Report { call, answer });
        answered.await.ok()?
    }

    /// Pairs of media ports in use.
    pub fn ports_in_use(&self) -> usize {
        self.ports.in_use()
    }

    /// A call lives on one shard, by its random bits.
    fn shard(&self, call: CallId) -> &ShardHandle {
        &self.shards[(call.0 % self.shards.len() as u128) as usize]
    }
}

fn random() -> Result<[u64; 2], getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    let bits = u128::from_le_bytes(bytes);
    Ok([bits as u64, (bits >> 64) as u64])
}
