//! Who hears whom, measured: every party hums a tone of its own, and every ear is searched for every tone.

use std::fmt;

use thiserror::Error;

use super::Person;
use crate::sim::Hung;
use crate::sim::ear::Clip;
use crate::sim::phone::PhoneError;

/// A voice that should be heard is at least this loud. It was sent at -20 dBFS; nothing on the way may cost more than a
/// limiter does.
pub const HEARD_DBFS: f64 = -30.0;
/// A voice that should not be heard is at most this loud: 40 dB under one that is, and under the noise of G.711.
pub const UNHEARD_DBFS: f64 = -60.0;
/// Music is at least this loud, all in all.
pub const MUSIC_DBFS: f64 = -50.0;

/// Beats of 20 ms after which what was said before a change is gone: the deepest jitter buffers of both ends.
pub const SETTLE_BEATS: u64 = 25;
/// Packets listened to for one measure, 800 ms of sound.
pub const LISTEN_PACKETS: usize = 40;

/// What one party should hear.
#[derive(Clone)]
pub struct Expected<'a> {
    /// Whose ear.
    pub ear: &'a Person,
    /// Whose voices, and nobody else's.
    pub mouths: Vec<&'a Person>,
    /// Music on hold.
    pub music: bool,
}

/// What one party did hear.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Whose ear.
    pub ear: String,
    /// The level of every party's tone, in the order of the cast.
    pub levels: Vec<(String, f64)>,
    /// The level of everything.
    pub total: f64,
    /// How many packets of sound were measured.
    pub packets: usize,
}

/// A level that is not as it should be.
#[derive(Debug, Clone, Error)]
pub struct WrongLevel {
    /// Whose ear.
    pub ear: String,
    /// Whose voice, or `music`.
    pub mouth: String,
    /// What was measured, in dBFS.
    pub measured: f64,
    /// At least or at most this, in dBFS.
    pub limit: Limit,
}

/// Which side of a level is right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// It should be heard.
    AtLeast(f64),
    /// It should not.
    AtMost(f64),
}

impl fmt::Display for WrongLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ear, mouth, measured, limit } = self;
        let (verb, bound, level) = match limit {
            Limit::AtLeast(level) => ("should hear", "at least", level),
            Limit::AtMost(level) => ("should not hear", "at most", level),
        };
        write!(f, "{ear} {verb} {mouth}: {measured:.1} dBFS measured, {bound} {level:.0} expected")
    }
}

impl<'a> Expected<'a> {
    /// These voices and no others.
    pub fn voices(ear: &'a Person, mouths: impl IntoIterator<Item = &'a Person>) -> Self {
        Self { ear, mouths: mouths.into_iter().collect(), music: false }
    }

    /// Music and no voices.
    pub fn music(ear: &'a Person) -> Self {
        Self { ear, mouths: Vec::new(), music: true }
    }

    /// Listens for a while, and measures the tones of the whole cast.
    pub async fn measure(&self, cast: &[&Person], packets: usize) -> Result<Heard, PhoneError> {
        let (ear, mouth) = (self.ear.phone.ear().await?, self.ear.phone.mouth().await?);
        mouth.wait_for(SETTLE_BEATS).await?;
        let clip = if self.music || !self.mouths.is_empty() {
            ear.listen(packets).await?
        } else {
            // Nothing need come; what does come while this party's own mouth beats is judged.
            let mark = ear.count();
            mouth.wait_for(packets as u64).await?;
            ear.since(mark)
        };
        Ok(Heard::of(self.ear, &clip, cast, packets))
    }

    /// Everything in `heard` that is not as expected.
    pub fn judge(&self, heard: &Heard) -> Vec<WrongLevel> {
        let wrong = |mouth: &str, measured: f64, limit: Limit| {
            let right = match limit {
                Limit::AtLeast(level) => measured >= level,
                Limit::AtMost(level) => measured <= level,
            };
            let wrong = WrongLevel { ear: heard.ear.clone(), mouth: mouth.to_owned(), measured, limit };
            (!right).then_some(wrong)
        };
        let voices =
            heard.levels.iter().filter(|(name, _)| *name != heard.ear).filter_map(|(name, level)| {
                let named = self.mouths.iter().any(|mouth| mouth.name() == name);
                wrong(
                    name,
                    *level,
                    if named { Limit::AtLeast(HEARD_DBFS) } else { Limit::AtMost(UNHEARD_DBFS) },
                )
            });
        // Nobody hears an echo of themselves either.
        let own = heard.levels.iter().filter(|(name, _)| *name == heard.ear);
        let own = own.filter_map(|(name, level)| wrong(name, *level, Limit::AtMost(UNHEARD_DBFS)));
        let music = self.music.then(|| wrong("music", heard.total, Limit::AtLeast(MUSIC_DBFS))).flatten();
        voices.chain(own).chain(music).collect()
    }
}

impl Heard {
    fn of(ear: &Person, clip: &Clip, cast: &[&Person], packets: usize) -> Self {
        // A tone in less sound than asked for counts for less; and a measure over a few packets would be a coarse one.
        let mut pcm = clip.pcm.clone();
        pcm.resize(pcm.len().max(packets * clip.rate as usize / 50), 0);
        let padded = Clip { pcm, ..clip.clone() };
        let levels = cast.iter().map(|mouth| (mouth.name().to_owned(), padded.level_of(mouth.hz))).collect();
        Self { ear: ear.name().to_owned(), levels, total: padded.level(), packets: clip.packets }
    }

    /// The level of a party's tone.
    pub fn level_of(&self, name: &str) -> Option<f64> {
        self.levels.iter().find(|(known, _)| known == name).map(|(_, level)| *level)
    }
}

/// Why a check of levels failed.
#[derive(Debug, Error)]
pub enum LevelError {
    /// A telephone did not do its part.
    #[error(transparent)]
    Phone(#[from] PhoneError),
    /// Something waited for never came.
    #[error(transparent)]
    Hung(#[from] Hung),
    /// Some levels are wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Wrong(Vec<WrongLevel>),
}
