//! G.711: eight bits a sample on a logarithmic scale, A-law and mu-law.
//!
//! Bit exact with the reference of ITU-T G.191 (`alaw_compress`, `ulaw_compress` and their
//! inverses) over all 65 536 inputs. Decoding is a table look-up, encoding a few instructions.

/// Decodes mu-law octets into `out`; returns the samples written, the shorter of the two.
pub fn decode_ulaw(payload: &[u8], out: &mut [i16]) -> usize {
    decode_by(&ULAW_TO_LINEAR, payload, out)
}

/// Decodes A-law octets into `out`; returns the samples written, the shorter of the two.
pub fn decode_alaw(payload: &[u8], out: &mut [i16]) -> usize {
    decode_by(&ALAW_TO_LINEAR, payload, out)
}

/// Encodes `pcm` to mu-law into `out`; returns the octets written, the shorter of the two.
pub fn encode_ulaw(pcm: &[i16], out: &mut [u8]) -> usize {
    encode_by(linear_to_ulaw, pcm, out)
}

/// Encodes `pcm` to A-law into `out`; returns the octets written, the shorter of the two.
pub fn encode_alaw(pcm: &[i16], out: &mut [u8]) -> usize {
    encode_by(linear_to_alaw, pcm, out)
}

fn decode_by(table: &[i16; 256], payload: &[u8], out: &mut [i16]) -> usize {
    let len = payload.len().min(out.len());
    for (sample, &octet) in out[..len].iter_mut().zip(payload) {
        *sample = table[usize::from(octet)];
    }
    len
}

fn encode_by(law: impl Fn(i16) -> u8, pcm: &[i16], out: &mut [u8]) -> usize {
    let len = pcm.len().min(out.len());
    for (octet, &sample) in out[..len].iter_mut().zip(pcm) {
        *octet = law(sample);
    }
    len
}

/// One sample to mu-law. Zero is positive zero, 0xFF; the negative zero 0x7F stands for -1 to -4.
pub const fn linear_to_ulaw(sample: i16) -> u8 {
    // The law works on 14 bits of magnitude, in one's complement: the two halves are mirror images.
    let magnitude = ((if sample < 0 { !sample } else { sample }) >> 2) as u16 + ULAW_BIAS;
    let magnitude = if magnitude > 0x1FFF { 0x1FFF } else { magnitude };
    // With the bias in, the highest set bit (5 to 12) names the segment, and the four after it the step.
    let code = !((float_code(magnitude) - (5 << 4)) as u8) & 0x7F;
    if sample < 0 { code } else { code | 0x80 }
}

/// The place of a number's highest bit and the four bits after it, side by side: what both laws are made of, and what a
/// floating-point number begins with. Compilers turn this into instructions for many samples at once, as they cannot
/// with a shift by as much as each sample wants. The number is not zero, and exact as a float.
const fn float_code(magnitude: u16) -> u32 {
    /// What the exponent of 1.0 is stored as, and four bits for the step.
    const ONE: u32 = 127 << 4;
    ((magnitude as f32).to_bits() >> (23 - 4)) - ONE
}

/// One mu-law octet to a sample, the middle of its step.
pub const fn ulaw_to_linear(octet: u8) -> i16 {
    let code = !octet & 0x7F;
    let segment = code >> 4;
    let step = (code & 0x0F) as i16;
    let magnitude = (((step << 1) + ULAW_BIAS as i16) << (segment + 2)) - ((ULAW_BIAS as i16) << 2);
    if octet & 0x80 == 0 { -magnitude } else { magnitude }
}

/// One sample to A-law. A-law has no zero: silence is the smallest positive step, 0xD5.
pub const fn linear_to_alaw(sample: i16) -> u8 {
    let magnitude = ((if sample < 0 { !sample } else { sample }) >> 4) as u16;
    let code = if magnitude < 32 {
        // Segments 0 and 1 have the same step, so the code is the magnitude itself.
        magnitude as u8
    } else {
        // From there on as with mu-law, one segment to each power of two.
        (float_code(magnitude) - (3 << 4)) as u8
    };
    // Even bits are inverted on the line, so that silence is not a run of zeros.
    (if sample < 0 { code } else { code | 0x80 }) ^ 0x55
}

/// One A-law octet to a sample, the middle of its step.
pub const fn alaw_to_linear(octet: u8) -> i16 {
    let code = (octet ^ 0x55) & 0x7F;
    let segment = code >> 4;
    let step = ((code & 0x0F) as i16) << 4;
    let magnitude = match segment {
        0 => step + 8,
        _ => (step + 0x108) << (segment - 1),
    };
    if octet & 0x80 == 0 { -magnitude } else { magnitude }
}

/// Added to the magnitude so that every segment of mu-law starts at a power of two.
const ULAW_BIAS: u16 = 33;

const ULAW_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = ulaw_to_linear(octet as u8);
        octet += 1;
    }
    table
};

const ALAW_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = alaw_to_linear(octet as u8);
        octet += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The G.191 procedures, written out from their flow: a loop finds the segment.
    mod reference {
        pub(super) fn ulaw_compress(sample: i16) -> u8 {
            let absolute = (if sample < 0 { i32::from(!sample) } else { i32::from(sample) } >> 2) + 33;
            let absolute = absolute.min(0x1FFF);
            let mut rest = absolute >> 6;
            let mut segment = 1;
            while rest != 0 {
                segment += 1;
                rest >>= 1;
            }
            let high = 8 - segment;
            let low = 15 - ((absolute >> segment) & 15);
            ((high << 4) | low | if sample >= 0 { 0x80 } else { 0 }) as u8
        }

        pub(super) fn ulaw_expand(octet: u8) -> i16 {
            let sign = if octet < 0x80 { -1 } else { 1 };
            let inverted = i32::from(!octet);
            let exponent = (inverted >> 4) & 7;
            let step = 4 << (exponent + 1);
            (sign * ((0x80 << exponent) + step * (inverted & 15) + step / 2 - 4 * 33)) as i16
        }

        pub(super) fn alaw_compress(sample: i16) -> u8 {
            let mut code = if sample < 0 { i32::from(!sample) } else { i32::from(sample) } >> 4;
            if code > 15 {
                let mut exponent = 1;
                while code > 31 {
                    code >>= 1;
                    exponent += 1;
                }
                code = code - 16 + (exponent << 4);
            }
            (code | if sample >= 0 { 0x80 } else { 0 }) as u8 ^ 0x55
        }

        pub(super) fn alaw_expand(octet: u8) -> i16 {
            let code = i32::from((octet ^ 0x55) & 0x7F);
            let exponent = code >> 4;
            let mut mantissa = code & 15;
            if exponent > 0 {
                mantissa += 16;
            }
            mantissa = (mantissa << 4) + 8;
            if exponent > 1 {
                mantissa <<= exponent - 1;
            }
            (if octet > 127 { mantissa } else { -mantissa }) as i16
        }
    }

    #[test]
    fn every_sample_encodes_as_the_itu_reference_does() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(linear_to_ulaw(sample), reference::ulaw_compress(sample), "mu-law of {sample}");
            assert_eq!(linear_to_alaw(sample), reference::alaw_compress(sample), "A-law of {sample}");
        }
    }

    #[test]
    fn every_octet_decodes_as_the_itu_reference_does() {
        for octet in 0..=255 {
            assert_eq!(ulaw_to_linear(octet), reference::ulaw_expand(octet), "mu-law {octet:#04x}");
            assert_eq!(alaw_to_linear(octet), reference::alaw_expand(octet), "A-law {octet:#04x}");
        }
    }

    #[test]
    fn every_octet_survives_the_round_trip_but_the_negative_zero_of_ulaw() {
        for octet in 0..=255 {
            assert_eq!(linear_to_alaw(alaw_to_linear(octet)), octet);
            // 0x7F and 0xFF are both zero in mu-law; a zero sample has no sign left to encode.
            let expected = if octet == 0x7F { 0xFF } else { octet };
            assert_eq!(linear_to_ulaw(ulaw_to_linear(octet)), expected);
        }
    }

    #[test]
    fn known_answers_of_g711() {
        // Tables 1a to 2b of G.711: the ends of the scale and the smallest steps.
        let ulaw = [(0, 0xFF), (-1, 0x7F), (32_767, 0x80), (-32_768, 0x00), (8, 0xFE), (-8, 0x7E)];
        for (sample, octet) in ulaw {
            assert_eq!(linear_to_ulaw(sample), octet, "mu-law of {sample}");
        }
        let alaw = [(0, 0xD5), (-1, 0x55), (32_767, 0xAA), (-32_768, 0x2A), (16, 0xD4), (-17, 0x54)];
        for (sample, octet) in alaw {
            assert_eq!(linear_to_alaw(sample), octet, "A-law of {sample}");
        }
        assert_eq!((ulaw_to_linear(0x00), ulaw_to_linear(0x80)), (-32_124, 32_124));
        assert_eq!((alaw_to_linear(0x2A), alaw_to_linear(0xAA)), (-32_256, 32_256));
        assert_eq!((ulaw_to_linear(0x7F), ulaw_to_linear(0xFF)), (0, 0));
    }

    #[test]
    fn the_milliwatt_sequence_of_g711_is_a_1_khz_tone_at_0_dbm0() {
        // G.711 table 5: this octet sequence, repeated, is 0 dBm0, which lies 3.17 dB under the
        // peak of mu-law (a sine at the virtual decision value 8159 of 14 bits).
        let sequence = [0x1E, 0x0B, 0x0B, 0x1E, 0x9E, 0x8B, 0x8B, 0x9E];
        let mut pcm = [0; 8];
        decode_ulaw(&sequence, &mut pcm);
        let power: f64 = pcm.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / 8.0;
        let under_peak_sine = 10.0 * (power / ((8159.0f64 * 4.0).powi(2) / 2.0)).log10();
        assert!((under_peak_sine + 3.17).abs() < 0.05, "{under_peak_sine}");
        let mut back = [0; 8];
        encode_ulaw(&pcm, &mut back);
        assert_eq!(back, sequence);
    }
}
