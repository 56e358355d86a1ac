//! One ear outside the stage's own measures: what it heard, and whether that is as it should be.

use super::Row;
use crate::sim::ear::Clip;
use crate::sim::stage::Person;
use crate::sim::stage::levels::{HEARD_DBFS, Heard, Limit, MUSIC_DBFS, UNHEARD_DBFS, WrongLevel};

/// Somebody with a column, and their tone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mouth<'a> {
    pub(super) name: &'a str,
    pub(super) hz: f64,
}

/// What an ear should hear.
#[derive(Debug, Clone, Copy)]
pub(super) enum Should<'a> {
    /// These voices and no others.
    Voices(&'a [Mouth<'a>]),
    /// Music, and no voice.
    Music,
}

impl<'a> From<&'a Person> for Mouth<'a> {
    fn from(person: &'a Person) -> Mouth<'a> {
        Mouth { name: person.name(), hz: person.hz }
    }
}

/// Searches the clip for every tone of the cast. Nobody hears an echo of themselves either.
pub(super) fn row(ear: &str, clip: &Clip, cast: &[Mouth<'_>], should: Should<'_>) -> Row {
    let mouths = match should {
        Should::Voices(mouths) => mouths,
        Should::Music => &[],
    };
    let music = matches!(should, Should::Music);
    let levels: Vec<_> = cast.iter().map(|mouth| (mouth.name.to_owned(), clip.level_of(mouth.hz))).collect();
    let wrong = |mouth: &str, measured: f64, limit: Limit| {
        let right = match limit {
            Limit::AtLeast(level) => measured >= level,
            Limit::AtMost(level) => measured <= level,
        };
        (!right).then(|| WrongLevel { ear: ear.to_owned(), mouth: mouth.to_owned(), measured, limit })
    };
    let voices = levels.iter().filter_map(|(mouth, measured)| {
        let heard = mouths.iter().any(|named| named.name == mouth);
        let limit = if heard { Limit::AtLeast(HEARD_DBFS) } else { Limit::AtMost(UNHEARD_DBFS) };
        wrong(mouth, *measured, limit)
    });
    let silent = music.then(|| wrong("music", clip.level(), Limit::AtLeast(MUSIC_DBFS))).flatten();
    Row {
        mouths: mouths.iter().map(|mouth| mouth.name.to_owned()).collect(),
        music,
        wrong: voices.chain(silent).collect(),
        heard: Heard { ear: ear.to_owned(), levels, total: clip.level(), packets: clip.packets },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::voice::Voice;

    const CAST: [Mouth<'static>; 2] =
        [Mouth { name: "customer", hz: 738.0 }, Mouth { name: "alice", hz: 604.5 }];

    fn clip(hz: f64) -> Clip {
        let voice = Voice::tone(hz);
        Clip { pcm: (0..8000).map(|at| voice.sample(at, 8000)).collect(), rate: 8000, packets: 50 }
    }

    fn wrong(clip: &Clip, should: Should<'_>) -> Vec<String> {
        row("customer", clip, &CAST, should).wrong.into_iter().map(|wrong| wrong.mouth).collect()
    }

    #[test]
    fn whoever_is_missing_or_too_many_is_named() {
        let alice = &CAST[1..];
        assert_eq!(wrong(&clip(604.5), Should::Voices(alice)), Vec::<String>::new());
        assert_eq!(wrong(&clip(604.5), Should::Voices(&[])), ["alice"]);
        assert_eq!(wrong(&clip(738.0), Should::Voices(alice)), ["customer", "alice"]);
    }

    #[test]
    fn a_voice_is_no_music_and_neither_is_silence() {
        let silence = Clip { pcm: vec![0; 8000], rate: 8000, packets: 50 };
        assert_eq!(wrong(&clip(604.5), Should::Music), ["alice"]);
        assert_eq!(wrong(&silence, Should::Music), ["music"]);
        assert_eq!(wrong(&clip(440.0), Should::Music), Vec::<String>::new());
    }
}
