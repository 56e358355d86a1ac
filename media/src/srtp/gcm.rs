//! AES in Galois/counter mode (RFC 7714).

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::kdf::Kdf;
use super::{ENCRYPTED, INDEX_BYTES, KEY_BYTES, RTCP_HEADER_BYTES};

/// RFC 7714 section 13.2: a tag of 16 octets, never a shorter one.
pub(super) const TAG_BYTES: usize = 16;

const SALT_BYTES: usize = 12;

pub(super) struct Gcm {
    key: LessSafeKey,
    salt: [u8; SALT_BYTES],
}

impl Gcm {
    pub(super) fn new(keys: &Kdf) -> Gcm {
        Gcm::of(&keys.key, keys.salt.first_chunk().copied().unwrap_or_default())
    }

    pub(super) fn of(key: &[u8; KEY_BYTES], salt: [u8; SALT_BYTES]) -> Gcm {
        // The key is as long as the algorithm wants; the type says so.
        let key = UnboundKey::new(&AES_128_GCM, key).unwrap_or_else(|_| unreachable!());
        Gcm { key: LessSafeKey::new(key), salt }
    }

    /// Encrypts and appends the tag; the new length.
    pub(super) fn seal_rtp(
        &self,
        buffer: &mut [u8],
        header: usize,
        length: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<usize> {
        let (aad, rest) = buffer.split_at_mut_checked(header)?;
        let (payload, room) = rest.split_at_mut_checked(length.checked_sub(header)?)?;
        let sealed = self
            .key
            .seal_in_place_separate_tag(self.rtp_nonce(ssrc, index), Aad::from(&*aad), payload)
            .ok()?;
        room.get_mut(..TAG_BYTES)?.copy_from_slice(sealed.as_ref());
        Some(length + TAG_BYTES)
    }

    /// Authenticates and decrypts; the length without the tag. What did not fit is spoilt.
    pub(super) fn open_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) -> Option<usize> {
        let (aad, sealed) = packet.split_at_mut_checked(header)?;
        let plain = self.key.open_in_place(self.rtp_nonce(ssrc, index), Aad::from(&*aad), sealed).ok()?.len();
        Some(header + plain)
    }

    /// Encrypts, appends tag and index; the new length.
    pub(super) fn seal_rtcp(&self, buffer: &mut [u8], length: usize, ssrc: u32, word: u32) -> Option<usize> {
        let (header, rest) = buffer.split_at_mut_checked(RTCP_HEADER_BYTES)?;
        let (body, room) = rest.split_at_mut_checked(length.checked_sub(RTCP_HEADER_BYTES)?)?;
        let aad = Aad::from(associated(header, word));
        let sealed = self.key.seal_in_place_separate_tag(self.rtcp_nonce(ssrc, word), aad, body).ok()?;
        room.get_mut(..TAG_BYTES)?.copy_from_slice(sealed.as_ref());
        room.get_mut(TAG_BYTES..TAG_BYTES + INDEX_BYTES)?.copy_from_slice(&word.to_be_bytes());
        Some(length + TAG_BYTES + INDEX_BYTES)
    }

    /// Authenticates a compound without its index, and decrypts it if the index says that it is encrypted; the
    /// length without the tag.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, word: u32) -> Option<usize> {
        let nonce = self.rtcp_nonce(ssrc, word);
        if word & ENCRYPTED == 0 {
            // Section 9.3: all of it is associated data, the index word last.
            let length = packet.len().checked_sub(TAG_BYTES)?;
            let (plain, tag) = packet.split_at_mut_checked(length)?;
            let mut aad = [0; crate::stream::rtp::MAX_PACKET_BYTES + INDEX_BYTES];
            aad.get_mut(..length)?.copy_from_slice(plain);
            aad.get_mut(length..length + INDEX_BYTES)?.copy_from_slice(&word.to_be_bytes());
            let aad = Aad::from(aad.get(..length + INDEX_BYTES)?);
            self.key.open_in_place(nonce, aad, tag).ok()?;
            return Some(length);
        }
        let (header, sealed) = packet.split_at_mut_checked(RTCP_HEADER_BYTES)?;
        let aad = Aad::from(associated(header, word));
        let plain = self.key.open_in_place(nonce, aad, sealed).ok()?.len();
        Some(RTCP_HEADER_BYTES + plain)
    }

    /// Section 8.1: two octets of zeros, SSRC, rollover counter and sequence number, mixed with the salt.
    fn rtp_nonce(&self, ssrc: u32, index: u64) -> Nonce {
        self.nonce(ssrc, (index << 16).to_be_bytes().first_chunk().copied().unwrap_or_default())
    }

    /// Section 9.1: two octets of zeros, SSRC, two of zeros, the index.
    fn rtcp_nonce(&self, ssrc: u32, word: u32) -> Nonce {
        let index = u64::from(word & !ENCRYPTED);
        self.nonce(ssrc, (index << 16).to_be_bytes().first_chunk().copied().unwrap_or_default())
    }

    fn nonce(&self, ssrc: u32, number: [u8; 6]) -> Nonce {
        let mut nonce = self.salt;
        nonce[2..6].iter_mut().zip(ssrc.to_be_bytes()).for_each(|(octet, mix)| *octet ^= mix);
        nonce[6..12].iter_mut().zip(number).for_each(|(octet, mix)| *octet ^= mix);
        Nonce::assume_unique_for_key(nonce)
    }
}

fn associated(header: &[u8], word: u32) -> [u8; RTCP_HEADER_BYTES + INDEX_BYTES] {
    let mut aad = [0; RTCP_HEADER_BYTES + INDEX_BYTES];
    aad.iter_mut().zip(header.iter().chain(&word.to_be_bytes())).for_each(|(aad, octet)| *aad = *octet);
    aad
}

#[cfg(test)]
mod tests {
    use super::super::tests::hex;
    use super::*;

    /// RFC 7714 sections 16 and 17 give session keys, not master keys.
    fn gcm() -> Gcm {
        Gcm::of(&std::array::from_fn(|at| at as u8), hex("517569642070726f2071756f").try_into().unwrap())
    }

    const RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 \
        696e2070 61727465 73207472 6573";
    const SRTP: &str = "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f \
        42a5f47a 51c7d19b 36de3adf 8833 899d7f27 beb16a91 52cf765e e4390cce";
    const RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef \
        deadbeef deadbeef deadbeef deadbeef";
    const SRTCP: &str = "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 \
        730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4";
    const TAGGED_RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef \
        deadbeef deadbeef deadbeef deadbeef 841dd968 3dd78ec9 2ae58790 125f62b3 000005d4";

    #[test]
    fn rfc_7714_section_16_1_both_ways() {
        let mut packet = hex(RTP);
        let length = packet.len();
        packet.resize(length + TAG_BYTES, 0);
        assert_eq!(gcm().seal_rtp(&mut packet, 12, length, 0x5501_a0b2, 0xf17b), Some(packet.len()));
        assert_eq!(packet, hex(SRTP));
        assert_eq!(gcm().open_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b), Some(length));
        assert_eq!(packet[..length], hex(RTP));
    }

    #[test]
    fn rfc_7714_section_17_1_both_ways_and_17_3_without_encryption() {
        let mut packet = hex(RTCP);
        let length = packet.len();
        packet.resize(length + TAG_BYTES + INDEX_BYTES, 0);
        let word = ENCRYPTED | 0x5d4;
        assert_eq!(gcm().seal_rtcp(&mut packet, length, 0x4d61_7273, word), Some(packet.len()));
        assert_eq!(packet, hex(SRTCP));
        packet.truncate(length + TAG_BYTES);
        assert_eq!(gcm().open_rtcp(&mut packet, 0x4d61_7273, word), Some(length));
        assert_eq!(packet[..length], hex(RTCP));

        let mut tagged = hex(TAGGED_RTCP);
        tagged.truncate(length + TAG_BYTES);
        assert_eq!(gcm().open_rtcp(&mut tagged.clone(), 0x4d61_7273, 0x5d4), Some(length));
        tagged[20] ^= 1;
        assert_eq!(gcm().open_rtcp(&mut tagged, 0x4d61_7273, 0x5d4), None);
    }
}
