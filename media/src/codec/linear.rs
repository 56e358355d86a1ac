//! Linear PCM: samples of 16 bits in network order (RFC 3551 section 4.5.11). Nothing is lost and nothing is remembered.

/// Writes samples as octets; returns the octets written.
pub fn encode(pcm: &[i16], out: &mut [u8]) -> usize {
    let pairs = out.chunks_exact_mut(2).zip(pcm);
    pairs.map(|(octets, sample)| octets.copy_from_slice(&sample.to_be_bytes())).count() * 2
}

/// Reads octets as samples; returns the samples written. A lone last octet is no sample.
pub fn decode(payload: &[u8], out: &mut [i16]) -> usize {
    let pairs = out.iter_mut().zip(payload.chunks_exact(2));
    pairs.map(|(sample, octets)| *sample = i16::from_be_bytes([octets[0], octets[1]])).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_lone_octet_is_left_out() {
        let pcm = [0, 1, -1, i16::MAX, i16::MIN];
        let mut octets = [0; 11];
        assert_eq!(encode(&pcm, &mut octets), 10);
        assert_eq!(octets[..6], [0, 0, 0, 1, 0xff, 0xff], "network order");
        let mut back = [7; 8];
        assert_eq!(decode(&octets, &mut back), 5);
        assert_eq!(back[..5], pcm);
    }
}
