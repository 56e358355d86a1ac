//! Listening to whoever has answered, for a machine: their mouth is decoded meanwhile, whatever the ears' plans are.

use std::time::{Duration, Instant};

use sidetone_media::answer::{AnswerListener, Heard};
use sidetone_media::codec::MAX_PACKET_SAMPLES;
use sidetone_media::frame::SampleRate;
use sidetone_media::mix::{Mouth, Said};

use super::Room;

/// How answers are listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// This much speech on end is suspicious.
    pub speech: Duration,
    /// After this nobody listens any more.
    pub most: Duration,
}

/// A leg that is listened to.
pub(super) struct Listening {
    how: Listen,
    until: Instant,
    listener: Option<(SampleRate, AnswerListener)>,
}

impl Listening {
    /// What a packet's sound comes to.
    pub(super) fn hear(&mut self, mouth: &Mouth, said: Said) -> Option<Heard> {
        let rate = mouth.rate();
        if self.listener.as_ref().is_none_or(|(of, _)| *of != rate) {
            let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
            self.listener = Some((rate, AnswerListener::new(rate, ms(self.how.speech), ms(self.how.most))));
        }
        let mut pcm = [0; MAX_PACKET_SAMPLES];
        let pcm = &mut pcm[..said.samples.min(MAX_PACKET_SAMPLES)];
        mouth.read(said.start, pcm);
        self.listener.as_mut().and_then(|(_, listener)| listener.hear(pcm))
    }

    /// A far end that sends nothing is heard to the end as well.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until <= now
    }
}

impl Room {
    /// Listens to a leg from now on.
    pub(in crate::bridge) fn listen(&mut self, now: Instant, slot: usize, how: Listen) {
        if let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_mut) {
            leg.listening = Some(Box::new(Listening { how, until: now + how.most, listener: None }));
        }
        self.plan_mouths(now);
    }
}
