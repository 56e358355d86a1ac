//! One leg in a room: its line out, what it receives, and what its ear does with the others.

use std::time::{Duration, Instant};

use sidetone_media::codec::MAX_PAYLOAD;
use sidetone_media::frame::Ptime;
use sidetone_media::mix::Mouth;
use sidetone_media::mos;
use sidetone_media::stream::event::Digits;
use sidetone_media::stream::line::SendLine;
use sidetone_media::stream::passing::Passing;
use sidetone_media::stream::receive::Receive;
use sidetone_media::stream::rtcp::{Remote, Tally};
use sidetone_media::stream::rtp::Header;

use crate::call::LegId;
use crate::call::door::AgreedMedia;

use super::digits::SendingDigits;
use super::listening::Listening;
use super::mixing::Mixing;
use super::protection::Protection;
use super::{Latch, LegQuality};

/// How long a span is measured before it is judged: as long as people take to find that something is wrong.
const SCORE_EVERY: Duration = Duration::from_secs(5);

/// By how much the mean opinion must differ from what was news last: a third of what divides satisfied from annoyed.
const TELLING_STEP: f32 = 0.3;

pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) agreed: Option<AgreedMedia>,
    /// Its digits steer and are not passed on.
    pub(super) consume_digits: bool,
    pub(super) latch: Latch,
    pub(super) protection: Protection,
    pub(super) line: SendLine,
    pub(super) receive: Receive,
    /// What the far end last reported of our line.
    pub(super) remote: Option<Remote>,
    pub(super) digits: Digits,
    /// Keys of others on their way to this leg's clock.
    pub(super) passing: Passing,
    pub(super) sending: Option<Box<SendingDigits>>,
    pub(super) mouth: Option<Box<Mouth>>,
    pub(super) last: LastAudio,
    pub(super) ear: Ear,
    pub(super) last_packet: Option<Instant>,
    /// When a report of its far end came last.
    pub(super) last_report: Option<Instant>,
    /// When it was answered.
    pub(super) answered: Option<Instant>,
    /// It has been told of that no sound comes.
    pub(super) missing: bool,
    pub(super) timed_out: bool,
    pub(super) first_told: bool,
    /// Whether a machine has answered is being found out.
    pub(super) listening: Option<Box<Listening>>,
    pub(super) score: Score,
}

/// How a leg has sounded lately.
#[derive(Debug, Clone, Copy)]
pub(super) struct Score {
    /// When the present span of measuring began.
    since: Instant,
    /// What had come by then.
    before: Tally,
    /// The score that was news last: a line is good until it is heard to be bad.
    told: f32,
}

impl Score {
    pub(super) fn new(now: Instant) -> Score {
        Score { since: now, before: Tally::default(), told: mos::BEST }
    }
}

/// The newest audio packet of a leg. Relayed voices are not decoded; when one becomes part of a mix,
/// or ends, its sound goes on from here.
pub(super) struct LastAudio {
    pub(super) at: Option<(Instant, Header)>,
    pub(super) payload: [u8; MAX_PAYLOAD],
    pub(super) length: usize,
}

pub(super) enum Ear {
    /// Nothing is sent: nothing is agreed, or the far end does not listen.
    Off,
    /// One mouth's packets, as they come.
    Relay(usize),
    Mix(Box<Mixing>),
}

impl Default for LastAudio {
    fn default() -> Self {
        LastAudio { at: None, payload: [0; MAX_PAYLOAD], length: 0 }
    }
}

impl LastAudio {
    pub(super) fn note(&mut self, now: Instant, header: &Header, payload: &[u8]) {
        let Some(place) = self.payload.get_mut(..payload.len()) else { return };
        place.copy_from_slice(payload);
        self.length = payload.len();
        self.at = Some((now, *header));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Audio,
    Event,
    Noise,
}

impl Leg {
    pub(super) fn kind_of(&self, payload_type: u8) -> Option<Kind> {
        let agreed = self.agreed.as_ref()?;
        if payload_type == agreed.receive_payload_type {
            Some(Kind::Audio)
        } else if agreed.telephone_event.is_some_and(|(_, receive)| receive == payload_type) {
            Some(Kind::Event)
        } else if payload_type == COMFORT_NOISE && agreed.comfort_noise {
            Some(Kind::Noise)
        } else {
            None
        }
    }

    /// Units per second of the timestamps of what it sends and is sent.
    pub(super) fn clock(&self) -> u32 {
        self.line.clock()
    }

    pub(super) fn mixing(&mut self) -> Option<&mut Mixing> {
        match &mut self.ear {
            Ear::Mix(mixing) => Some(mixing),
            Ear::Off | Ear::Relay(_) => None,
        }
    }

    /// Measures the span that is over, if something came in it; and whether it is clearly another than was news last.
    pub(super) fn score(&mut self, now: Instant) -> Option<(LegQuality, bool)> {
        if now.saturating_duration_since(self.score.since) < SCORE_EVERY {
            return None;
        }
        let all = Tally { received: self.receive.received(), lost: self.receive.lost() };
        let span = all.since(self.score.before);
        (self.score.since, self.score.before) = (now, all);
        let quality = self.quality();
        let mos = span.mos(quality.jitter_ms, quality.round_trip_ms)?;
        let is_news = (mos - self.score.told).abs() >= TELLING_STEP;
        if is_news {
            self.score.told = mos;
        }
        Some((LegQuality { mos: Some(mos), ..quality }, is_news))
    }

    pub(super) fn quality(&self) -> LegQuality {
        let concealed = self.mouth.as_ref().map_or(0, |mouth| mouth.filled_ms());
        LegQuality::of(&self.line, &self.receive, self.remote, concealed)
    }
}

/// Comfort noise's static payload type (RFC 3389).
pub(super) const COMFORT_NOISE: u8 = 13;

pub(super) fn ptime(agreed: &AgreedMedia) -> Ptime {
    Ptime::from_ms(agreed.ptime_ms.into()).unwrap_or_default()
}
