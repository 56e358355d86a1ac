//! Opus (RFC 6716) in RTP (RFC 7587), mono, by libopus.
//!
//! The codec has no rate of its own: RTP counts at 48 kHz whatever is in a packet, and an encoder or a decoder works at
//! any rate that it is asked for. Ours work at [`Codec::sample_rate`](super::Codec::sample_rate), the rate of the mix, so that
//! nothing is resampled around them.
//!
//! How long a packet sounds stands in its first octet or two (RFC 6716 section 3.1) and is read here without libopus: a
//! relayed packet is never decoded.
//!
//! libopus allocates when an encoder or decoder is made, and then never again.

use crate::frame::SampleRate;

/// RTP clock, whatever the sound in the packets was sampled at (RFC 7587 section 4.1).
pub const CLOCK_HZ: u32 = 48_000;

/// The longest a packet may sound, in units of [`CLOCK_HZ`]: 120 ms (RFC 6716 section 3.2.5, requirement R5).
pub const MAX_PACKET_UNITS: u32 = CLOCK_HZ / 1000 * 120;

/// The most octets one frame can have (RFC 6716 section 3.2.1).
pub const MAX_FRAME_BYTES: usize = 1275;

/// Lengths of a frame that an encoder takes, in tenths of a millisecond. Our packets hold one frame each.
const FRAMES: [usize; 6] = [600, 400, 200, 100, 50, 25];

/// Share of lost packets that an encoder protects against while nobody reports any, in percent. libopus spends nothing
/// on redundancy at zero; at this much, a single lost packet of a voice is heard again.
const LOSS_EXPECTED: u8 = 5;

/// Share of lost packets that is protected against at most, in percent: beyond it the voice itself would get too
/// little of the bit rate.
const LOSS_MOST: u8 = 30;

/// How an encoder works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// 0 to 10: how much computing a frame may cost.
    pub complexity: u8,
    /// Bits per second on average, within [`Tuning::BITRATES`].
    pub bitrate: u32,
    /// Whether the next packet repeats a lost one in brief (RFC 6716 section 2.1.7).
    pub fec: bool,
    /// Whether all packets are as long as each other, so that their lengths tell nothing (RFC 6562).
    pub constant: bool,
}

impl Tuning {
    /// Average bit rates that make sense for one voice (RFC 7587 section 7.1 has 6000 to 510 000 for everything).
    pub const BITRATES: std::ops::RangeInclusive<u32> = 6_000..=64_000;

    /// Wideband speech that nobody complains of, with its repetition (RFC 7587 section 3.1.1: 16 to 20 kbit/s).
    pub const DEFAULT: Self = Self { complexity: 5, bitrate: 24_000, fec: true, constant: false };

    /// The same as far as the far end wishes it so.
    pub fn towards(self, far: Wishes) -> Self {
        let most = far.bitrate_max.unwrap_or(u32::MAX).max(*Self::BITRATES.start());
        Self {
            bitrate: self.bitrate.min(most),
            fec: self.fec && far.fec,
            constant: self.constant || far.constant,
            ..self
        }
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a far end says of the Opus that it wants to receive: `a=fmtp` (RFC 7587 section 6.1). What it does not say is as
/// the RFC has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// `useinbandfec`: it can use what a packet repeats of the one before.
    pub fec: bool,
    /// `usedtx`: it would like us to pause in pauses. We never do: a line that goes silent looks dead to middle boxes
    /// and to our far ends' timeouts.
    pub dtx: bool,
    /// `maxaveragebitrate`, in bits per second.
    pub bitrate_max: Option<u32>,
    /// `cbr`: packets of one length.
    pub constant: bool,
}

impl Wishes {
    /// What we say of ourselves: a decoder that mends losses, no pauses, and one channel.
    pub const OURS: &'static str = "useinbandfec=1;usedtx=0;stereo=0;sprop-stereo=0";

    /// Reads the parameters of an `a=fmtp`. Unknown and malformed ones are passed over (RFC 7587 section 7).
    pub fn read(parameters: &str) -> Self {
        let mut wishes = Self::default();
        for parameter in parameters.split(';') {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("useinbandfec") {
                wishes.fec = value == "1";
            } else if name.eq_ignore_ascii_case("usedtx") {
                wishes.dtx = value == "1";
            } else if name.eq_ignore_ascii_case("cbr") {
                wishes.constant = value == "1";
            } else if name.eq_ignore_ascii_case("maxaveragebitrate") {
                wishes.bitrate_max = value.parse().ok().filter(|bits| (6_000..=510_000).contains(bits));
            }
        }
        wishes
    }
}

/// How long a packet sounds, in units of [`CLOCK_HZ`]; none if it is no Opus packet (RFC 6716 section 3.1).
///
/// ```
/// # use sidetone_media::codec::opus::packet_units;
/// assert_eq!(packet_units(&[0x48, 1, 2, 3]), Some(960)); // wideband, one frame of 20 ms
/// assert_eq!(packet_units(&[]), None);
/// ```
pub fn packet_units(payload: &[u8]) -> Option<u32> {
    let &toc = payload.first()?;
    let frame = match toc >> 3 {
        silk @ 0..12 => [480, 960, 1920, 2880][usize::from(silk & 3)],
        hybrid @ 12..16 => [480, 960][usize::from(hybrid & 1)],
        celt => [120, 240, 480, 960][usize::from(celt & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(payload.get(1)? & 0x3f),
    };
    Some(frame * frames).filter(|units| (1..=MAX_PACKET_UNITS).contains(units))
}

/// PCM to packets, for one stream.
pub struct Encoder {
    state: ::opus::Encoder,
    rate: SampleRate,
    lookahead: usize,
}

impl Encoder {
    /// An encoder at the start of a stream.
    ///
    /// # Panics
    /// When there is no memory for it.
    pub fn new(rate: SampleRate, tuning: Tuning) -> Self {
        let mut state =
            ::opus::Encoder::new(rate.hz(), ::opus::Channels::Mono, ::opus::Application::Voip).expect(MADE);
        let lookahead = state.get_lookahead().ok().and_then(|samples| usize::try_from(samples).ok());
        let mut encoder = Self { state, rate, lookahead: lookahead.unwrap_or(0) };
        encoder.tune(tuning);
        encoder
    }

    /// Works so from the next packet on.
    pub fn tune(&mut self, tuning: Tuning) {
        let bitrate = tuning.bitrate.clamp(*Tuning::BITRATES.start(), *Tuning::BITRATES.end());
        let settings = [
            self.state.set_bitrate(::opus::Bitrate::Bits(bitrate as i32)),
            self.state.set_complexity(tuning.complexity.min(10).into()),
            self.state.set_inband_fec(tuning.fec),
            self.state.set_packet_loss_perc(if tuning.fec { LOSS_EXPECTED.into() } else { 0 }),
            self.state.set_vbr(!tuning.constant),
            self.state.set_dtx(false),
        ];
        debug_assert!(settings.iter().all(Result::is_ok), "values that libopus takes: {settings:?}");
    }

    /// The far end loses this share of our packets, 0 to 1: it is protected against, as far as redundancy is on.
    pub fn expect_loss(&mut self, share: f32) {
        let percent = (share * 100.0).ceil() as u8; // saturates, and not-a-number is zero
        if self.state.get_inband_fec().unwrap_or(false) {
            let set = self.state.set_packet_loss_perc(percent.clamp(LOSS_EXPECTED, LOSS_MOST).into());
            debug_assert!(set.is_ok(), "a percentage");
        }
    }

    /// By how many samples what a packet says lies behind what was given in with it.
    pub const fn lookahead(&self) -> usize {
        self.lookahead
    }

    /// Encodes `pcm` as one frame into `out` and returns the octets written. A length that no frame has is cut to the
    /// next that one has; too little, or no room, gives nothing.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        let frames = FRAMES.map(|tenths| self.rate.samples_in_ms(1) * tenths / 10);
        let Some(samples) = frames.into_iter().find(|samples| *samples <= pcm.len()) else { return 0 };
        let room = out.len().min(MAX_FRAME_BYTES);
        self.state.encode(&pcm[..samples], &mut out[..room]).unwrap_or(0)
    }
}

/// Packets to PCM, for one stream.
pub struct Decoder {
    state: ::opus::Decoder,
    rate: SampleRate,
}

/// What making an encoder or decoder needs is what any allocation needs.
const MADE: &str = "libopus takes a rate of the mix and one channel, if there is memory";

impl Decoder {
    /// A decoder at the start of a stream.
    ///
    /// # Panics
    /// When there is no memory for it.
    pub fn new(rate: SampleRate) -> Self {
        Self { state: ::opus::Decoder::new(rate.hz(), ::opus::Channels::Mono).expect(MADE), rate }
    }

    /// Decodes a packet of any number of frames, stereo or not, into `out` and returns the samples written. What is no
    /// Opus packet, or has no room, gives nothing.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let Some(samples) = packet_units(payload).map(|units| self.samples(units)) else { return 0 };
        let Some(out) = out.get_mut(..samples) else { return 0 };
        // What is broken inside is as good as lost, and its length is known.
        let made = self.state.decode(payload, out, false).or_else(|_| self.state.decode(&[], out, false));
        made.unwrap_or(0)
    }

    /// Makes up what was lost just before the packet `next`: its end from what `next` repeats of it, if it does, and the
    /// rest as a continuation of what was heard. Fills `out` as far as steps of 2.5 ms go and returns the samples.
    pub fn conceal(&mut self, next: &[u8], out: &mut [i16]) -> usize {
        let step = self.rate.samples_in_ms(5) / 2;
        let samples = (out.len() / step * step).min(self.samples(MAX_PACKET_UNITS));
        let Some(out) = out.get_mut(..samples).filter(|out| !out.is_empty()) else { return 0 };
        let repeats = packet_units(next).is_some_and(|units| self.samples(units) <= samples);
        // An empty packet is how libopus is told of a loss.
        let made =
            if repeats { self.state.decode(next, out, true) } else { self.state.decode(&[], out, false) };
        made.unwrap_or(0)
    }

    const fn samples(&self, units: u32) -> usize {
        (units as u64 * self.rate.hz() as u64 / CLOCK_HZ as u64) as usize
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("opus::Encoder").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("opus::Decoder").field("rate", &self.rate).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
