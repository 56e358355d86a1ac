//! Speech codecs: octets to PCM and back, with the RTP numbers that go with each.
//!
//! A [`Codec`] is the name; an [`Encoder`] or [`Decoder`] is one direction of one stream and carries
//! that stream's state. Both work into the caller's buffer, take any length and never fail: a codec
//! that could refuse a payload would only move the question of what to play to its caller.

pub mod comfort_noise;
pub mod conceal;
pub mod g711;
pub mod g722;
pub mod linear;
pub mod opus;

use crate::frame::{Ptime, SampleRate};

/// The longest payload a packet of ours carries, in octets: [`Ptime::DEFAULT`] of linear sound, which is more than
/// [`Ptime::MAX`] at 64 kbit/s. What is relayed may be longer.
pub const MAX_PAYLOAD: usize = 640;

/// The most samples one payload can decode to: an Opus packet of 120 ms at 16 kHz.
pub const MAX_PACKET_SAMPLES: usize = 1920;

/// The first payload type that needs an rtpmap (RFC 3551 section 6).
pub const FIRST_DYNAMIC: u8 = 96;

/// A codec the gateway can decode and encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Opus, one channel, at the rate of the mix.
    Opus,
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s.
    G722,
    /// Linear samples of 16 bits at 16 kHz, in network order (RFC 3551 section 4.5.11). For wires inside the
    /// process: it is in no offer, and its packets are no longer than [`Ptime::DEFAULT`].
    L16,
}

impl Codec {
    /// Every codec that can be offered, in the order we do when nothing else decides.
    pub const ALL: [Self; 4] = [Self::Opus, Self::G722, Self::Pcma, Self::Pcmu];

    /// The encoding name used in SDP (RFC 3551 section 6).
    pub const fn encoding_name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::L16 => "L16",
        }
    }

    /// The codec with this SDP encoding name; names are compared without case (RFC 4855 section 3).
    pub fn from_encoding_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.encoding_name().eq_ignore_ascii_case(name))
    }

    /// The payload type we offer it under: the static one (RFC 3551 table 4) if it has one.
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::G722 => 9,
            // The one that browsers use.
            Self::Opus => 111,
            // RFC 3551 has static ones for 44.1 kHz alone; this is the first of the dynamic ones.
            Self::L16 => 96,
        }
    }

    /// The codec with this static payload type.
    pub fn from_static_payload_type(payload_type: u8) -> Option<Self> {
        let named = |codec: &Self| codec.payload_type() == payload_type && payload_type < FIRST_DYNAMIC;
        Self::ALL.into_iter().find(named)
    }

    /// The RTP clock in Hz.
    ///
    /// G.722 samples at 16 kHz and yet counts at 8000: RFC 3551 section 4.5.2 keeps the value that
    /// RFC 1890 got wrong, because everyone had implemented it. Linear sound has no far end that minds, and counts
    /// as most do, so that a line of packets can follow any other's.
    pub const fn rtp_clock(self) -> u32 {
        match self {
            Self::Opus => opus::CLOCK_HZ,
            Self::Pcmu | Self::Pcma | Self::G722 | Self::L16 => 8_000,
        }
    }

    /// Channels that its rtpmap names: RFC 7587 section 7 wants two of Opus, whatever is in the packets.
    pub const fn channels(self) -> u8 {
        match self {
            Self::Opus => 2,
            Self::Pcmu | Self::Pcma | Self::G722 | Self::L16 => 1,
        }
    }

    /// Whether each packet can be understood without those before it.
    pub const fn is_memoryless(self) -> bool {
        match self {
            Self::Pcmu | Self::Pcma | Self::L16 => true,
            Self::G722 | Self::Opus => false,
        }
    }

    /// Whether a packet of ours can be as long as `ptime`. All but Opus take any; its frames have lengths of their own.
    pub const fn can_send(self, ptime: Ptime) -> bool {
        match self {
            Self::Opus => matches!(ptime.ms(), 10 | 20 | 40 | 60),
            Self::Pcmu | Self::Pcma | Self::G722 | Self::L16 => true,
        }
    }

    /// The rate of the PCM on the other side of the codec.
    pub const fn sample_rate(self) -> SampleRate {
        match self {
            Self::Pcmu | Self::Pcma => SampleRate::Hz8000,
            Self::G722 | Self::L16 | Self::Opus => SampleRate::Hz16000,
        }
    }

    /// Octets of payload in a packet of `ptime`; with Opus, whose packets differ, the most.
    pub const fn payload_bytes(self, ptime: Ptime) -> usize {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => ptime.ms() as usize * 8,
            Self::L16 => ptime.ms() as usize * 32,
            Self::Opus => MAX_PAYLOAD,
        }
    }

    /// RTP clock units a packet of `ptime` covers.
    pub const fn rtp_units(self, ptime: Ptime) -> u32 {
        self.rtp_clock() / 1000 * ptime.ms()
    }

    /// RTP clock units that a payload covers; zero if it is none.
    pub fn rtp_units_in(self, payload: &[u8]) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => payload.len() as u32,
            Self::L16 => payload.len() as u32 / 4,
            Self::Opus => opus::packet_units(payload).unwrap_or(0),
        }
    }

    /// Samples that a payload decodes to.
    pub fn samples_in(self, payload: &[u8]) -> usize {
        match self {
            Self::Pcmu | Self::Pcma => payload.len(),
            Self::G722 => payload.len() * 2,
            Self::L16 => payload.len() / 2,
            Self::Opus => opus::packet_units(payload).unwrap_or(0) as usize / 3,
        }
    }
}

/// PCM to payload, for one stream.
#[derive(Debug)]
pub enum Encoder {
    /// Opus.
    Opus(opus::Encoder),
    /// G.711 mu-law, stateless.
    Pcmu,
    /// G.711 A-law, stateless.
    Pcma,
    /// G.722 with its predictor state.
    G722(g722::Encoder),
    /// Linear, stateless.
    L16,
}

impl Encoder {
    /// An encoder at the start of a stream.
    pub fn new(codec: Codec) -> Self {
        Self::tuned(codec, opus::Tuning::DEFAULT)
    }

    /// The same; Opus works as `tuning` says.
    pub fn tuned(codec: Codec, tuning: opus::Tuning) -> Self {
        match codec {
            Codec::Opus => Self::Opus(opus::Encoder::new(codec.sample_rate(), tuning)),
            Codec::Pcmu => Self::Pcmu,
            Codec::Pcma => Self::Pcma,
            Codec::G722 => Self::G722(g722::Encoder::new()),
            Codec::L16 => Self::L16,
        }
    }

    /// By how many samples what a packet says lies behind what was given in with it.
    pub const fn lookahead(&self) -> usize {
        match self {
            Self::Opus(state) => state.lookahead(),
            // G.722's filters have a delay too, a millisecond, with which a seam is no louder than its noise.
            Self::Pcmu | Self::Pcma | Self::G722(_) | Self::L16 => 0,
        }
    }

    /// The far end loses this share of what is encoded, 0 to 1.
    pub fn expect_loss(&mut self, share: f32) {
        match self {
            Self::Opus(state) => state.expect_loss(share),
            Self::Pcmu | Self::Pcma | Self::G722(_) | Self::L16 => {}
        }
    }

    /// The codec this encodes to.
    pub const fn codec(&self) -> Codec {
        match self {
            Self::Pcmu => Codec::Pcmu,
            Self::Pcma => Codec::Pcma,
            Self::G722(_) => Codec::G722,
            Self::L16 => Codec::L16,
            Self::Opus(_) => Codec::Opus,
        }
    }

    /// Encodes `pcm`, which is at the codec's rate, into `out` and returns the octets written.
    ///
    /// Stops when `out` is full or `pcm` is used up; G.722 takes samples in pairs and leaves a lone
    /// last one out, and Opus what is no whole frame.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        match self {
            Self::Opus(state) => state.encode(pcm, out),
            Self::Pcmu => g711::encode_ulaw(pcm, out),
            Self::Pcma => g711::encode_alaw(pcm, out),
            Self::G722(state) => state.encode(pcm, out),
            Self::L16 => linear::encode(pcm, out),
        }
    }
}

/// Payload to PCM, for one stream.
#[derive(Debug)]
pub enum Decoder {
    /// Opus.
    Opus(opus::Decoder),
    /// G.711 mu-law, stateless.
    Pcmu,
    /// G.711 A-law, stateless.
    Pcma,
    /// G.722 with its predictor state.
    G722(g722::Decoder),
    /// Linear, stateless.
    L16,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new(codec: Codec) -> Self {
        match codec {
            Codec::Opus => Self::Opus(opus::Decoder::new(codec.sample_rate())),
            Codec::Pcmu => Self::Pcmu,
            Codec::Pcma => Self::Pcma,
            Codec::G722 => Self::G722(g722::Decoder::new()),
            Codec::L16 => Self::L16,
        }
    }

    /// The codec this decodes.
    pub const fn codec(&self) -> Codec {
        match self {
            Self::Pcmu => Codec::Pcmu,
            Self::Pcma => Codec::Pcma,
            Self::G722(_) => Codec::G722,
            Self::L16 => Codec::L16,
            Self::Opus(_) => Codec::Opus,
        }
    }

    /// Decodes `payload` into `out`, at the codec's rate, and returns the samples written.
    ///
    /// Any octets are a valid payload, but with Opus: what is none decodes to nothing. Stops when `out` is full.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        match self {
            Self::Opus(state) => state.decode(payload, out),
            Self::Pcmu => g711::decode_ulaw(payload, out),
            Self::Pcma => g711::decode_alaw(payload, out),
            Self::G722(state) => state.decode(payload, out),
            Self::L16 => linear::decode(payload, out),
        }
    }

    /// Makes up what was lost before the packet `next`, if this codec knows better how to than
    /// [`conceal`]: `out` is filled as far as it goes, and the samples are returned.
    pub fn conceal(&mut self, next: &[u8], out: &mut [i16]) -> Option<usize> {
        match self {
            Self::Opus(state) => Some(state.conceal(next, out)),
            Self::Pcmu | Self::Pcma | Self::G722(_) | Self::L16 => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn static_payload_types_are_those_of_rfc_3551() {
        for (payload_type, name) in [(0, "PCMU"), (8, "PCMA"), (9, "G722")] {
            let codec = Codec::from_static_payload_type(payload_type).expect("known");
            assert_eq!(codec.encoding_name(), name);
            assert_eq!(Codec::from_encoding_name(&name.to_lowercase()), Some(codec));
        }
        assert_eq!(Codec::from_static_payload_type(18), None);
        assert_eq!(Codec::from_encoding_name("G729"), None);
    }

    #[test]
    fn g722_counts_at_8000_while_it_samples_at_16000() {
        assert_eq!(Codec::G722.rtp_clock(), 8_000);
        assert_eq!(Codec::G722.sample_rate().hz(), 16_000);
        assert_eq!(Codec::G722.payload_bytes(Ptime::DEFAULT), 160);
        assert_eq!(Codec::G722.samples_in(&[0; 160]), 320);
        assert_eq!(Codec::G722.rtp_units(Ptime::DEFAULT), 160);
    }

    #[test]
    fn the_longest_packet_fits_the_limits() {
        for codec in Codec::ALL {
            assert!(codec.payload_bytes(Ptime::MAX) <= MAX_PAYLOAD);
            assert!(codec.sample_rate().samples_in_ms(Ptime::MAX.ms()) <= MAX_PACKET_SAMPLES);
        }
        assert!(Codec::L16.payload_bytes(Ptime::DEFAULT) <= MAX_PAYLOAD);
    }

    proptest! {
        #[test]
        fn a_decoder_takes_any_payload_into_any_buffer(payload in prop::collection::vec(any::<u8>(), 0..600), room in 0usize..1300) {
            for codec in Codec::ALL.into_iter().chain([Codec::L16]) {
                let mut out = vec![0; room];
                let written = Decoder::new(codec).decode(&payload, &mut out);
                prop_assert!(written <= room);
                if room >= codec.samples_in(&payload) && codec != Codec::Opus {
                    prop_assert_eq!(written, codec.samples_in(&payload));
                }
            }
        }

        #[test]
        fn an_encoder_takes_any_sound_into_any_buffer(pcm in prop::collection::vec(any::<i16>(), 0..1000), room in 0usize..600) {
            for codec in Codec::ALL.into_iter().chain([Codec::L16]) {
                let mut out = vec![0; room];
                let mut encoder = Encoder::new(codec);
                let written = encoder.encode(&pcm, &mut out);
                prop_assert!(written <= room);
                prop_assert!(codec.samples_in(&out[..written]) <= pcm.len());
            }
        }
    }
}
