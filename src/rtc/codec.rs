//! Which codec is spoken with a browser.

use sidetone_media::codec::Codec;
use sidetone_media::codec::opus::Wishes;

use super::sdp::Format;

/// What we speak with a browser when nothing else decides: the widest sound first.
const OURS: [Codec; 4] = Codec::ALL;

/// A codec of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The codec.
    pub codec: Codec,
    /// As the offer has it.
    pub format: Format,
    /// Its telephone-event, which counts with the same clock (RFC 4733 section 2.1).
    pub event: Option<Format>,
}

/// The first of `wanted` that is offered, or of what we speak otherwise. A codec that the other side of the call speaks
/// is wanted first: then packets pass as they are.
pub fn choose<'a>(offered: &[Format], wanted: impl Iterator<Item = &'a Codec>) -> Option<Chosen> {
    let spoken = wanted.filter(|codec| OURS.contains(codec)).chain(&OURS);
    spoken.copied().find_map(|codec| {
        let format = offered.iter().find(|format| is(format, codec))?;
        let event = offered
            .iter()
            .find(|event| event.name.eq_ignore_ascii_case("telephone-event") && event.clock == format.clock);
        Some(Chosen { codec, format: format.clone(), event: event.cloned() })
    })
}

fn is(format: &Format, codec: Codec) -> bool {
    let counted = match codec {
        // RFC 7587 section 7: always 48000 and two channels, whatever is in it.
        Codec::Opus => (codec.rtp_clock(), 2),
        // G.722 counts at 8000 (RFC 3551 section 4.5.2).
        _ => (codec.rtp_clock(), 1),
    };
    format.name.eq_ignore_ascii_case(codec.encoding_name()) && (format.clock, format.channels) == counted
}

impl Chosen {
    /// How the browser wants its Opus.
    pub fn wishes(&self) -> Wishes {
        Wishes::read(&self.format.parameters)
    }

    /// The formats of the answer.
    pub fn answered(&self) -> Vec<Format> {
        let ours = if self.codec == Codec::Opus { Wishes::OURS } else { "" };
        let plain = Format { parameters: ours.to_owned(), ..self.format.clone() };
        // RFC 4733 section 2.4.1: the sixteen keys, and no other event.
        let event = self.event.clone().map(|event| Format { parameters: "0-15".to_owned(), ..event });
        [plain].into_iter().chain(event).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(payload_type: u8, name: &str, clock: u32) -> Format {
        Format { payload_type, name: name.into(), clock, channels: 1, parameters: String::new() }
    }

    #[test]
    fn what_the_other_side_speaks_comes_first() {
        let opus = Format { channels: 2, parameters: "useinbandfec=1".into(), ..format(111, "opus", 48_000) };
        let offered = [
            format(9, "G722", 8000),
            format(0, "PCMU", 8000),
            format(8, "PCMA", 8000),
            format(110, "telephone-event", 48_000),
            format(126, "telephone-event", 8000),
        ];
        let chosen = choose(&offered, [Codec::L16, Codec::Pcmu].iter()).unwrap();
        assert_eq!((chosen.codec, chosen.event.as_ref().unwrap().payload_type), (Codec::Pcmu, 126));
        assert_eq!(choose(&offered, [].iter()).unwrap().codec, Codec::G722);
        assert_eq!(choose(&offered[1..], [Codec::G722].iter()).unwrap().codec, Codec::Pcma);
        assert_eq!(choose(&offered[3..], [Codec::G722].iter()), None);
        let offered = [&offered[..], &[opus]].concat();
        let chosen = choose(&offered, [].iter()).unwrap();
        assert_eq!((chosen.codec, chosen.event.as_ref().unwrap().payload_type), (Codec::Opus, 110));
        assert!(chosen.wishes().fec && chosen.answered()[0].parameters.contains("useinbandfec=1"));
    }
}
