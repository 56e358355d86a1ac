//! AES in counter mode with HMAC-SHA1 (RFC 3711 sections 4.1.1 and 4.2.1).
//!
//! RustCrypto rather than aws-lc-rs: its SHA-1 uses the processor's instructions and its HMAC can be keyed once and
//! cloned for each packet, which is half the cost of a packet.

use std::ops::Range;

use aes::Aes128Enc;
use aes::cipher::KeyInit;
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::kdf::{Kdf, keystream};
use super::{INDEX_BYTES, RTCP_HEADER_BYTES, SALT_BYTES_MAX};

pub(super) struct Cm {
    aes: Aes128Enc,
    salt: [u8; SALT_BYTES_MAX],
    /// Keyed, and cloned for each packet.
    hmac: Hmac<Sha1>,
    tag_bytes: usize,
}

impl Cm {
    pub(super) fn new(keys: &Kdf, tag_bytes: usize) -> Cm {
        // HMAC takes keys of any length.
        let hmac =
            <Hmac<Sha1> as hmac::KeyInit>::new_from_slice(&keys.auth).unwrap_or_else(|_| unreachable!());
        Cm { aes: Aes128Enc::new(&keys.key.into()), salt: keys.salt, hmac, tag_bytes }
    }

    /// Encrypts and appends the tag; the new length. The caller has seen to it that there is room.
    pub(super) fn seal_rtp(
        &self,
        buffer: &mut [u8],
        payload: Range<usize>,
        ssrc: u32,
        index: u64,
    ) -> Option<usize> {
        let length = payload.end;
        self.keystream(buffer.get_mut(payload)?, ssrc, index);
        let tag = self.tag(buffer.get(..length)?, &roc(index));
        self.append(buffer, length, &tag)
    }

    /// Whether the tag at the end fits the packet before it under this index.
    pub(super) fn is_authentic_rtp(&self, packet: &[u8], tag: &[u8], index: u64) -> bool {
        self.hmac.clone().chain_update(packet).chain_update(roc(index)).verify_truncated_left(tag).is_ok()
    }

    /// Encrypts, appends index and tag; the new length.
    pub(super) fn seal_rtcp(&self, buffer: &mut [u8], length: usize, ssrc: u32, word: u32) -> Option<usize> {
        self.keystream(buffer.get_mut(RTCP_HEADER_BYTES..length)?, ssrc, index_of(word));
        let end = length + INDEX_BYTES;
        buffer.get_mut(length..end)?.copy_from_slice(&word.to_be_bytes());
        let tag = self.tag(buffer.get(..end)?, &[]);
        self.append(buffer, end, &tag)
    }

    /// Whether the tag fits a compound with its index.
    pub(super) fn is_authentic_rtcp(&self, packet: &[u8], tag: &[u8]) -> bool {
        self.hmac.clone().chain_update(packet).verify_truncated_left(tag).is_ok()
    }

    pub(super) fn tag_bytes(&self) -> usize {
        self.tag_bytes
    }

    /// Encrypts or decrypts.
    pub(super) fn keystream(&self, octets: &mut [u8], ssrc: u32, index: u64) {
        // Section 4.1.1: salt * 2^16 ^ SSRC * 2^64 ^ index * 2^16. The low 16 bits count blocks, of which no
        // packet has more than a hundred.
        let mut iv = [0; 16];
        iv[..SALT_BYTES_MAX].copy_from_slice(&self.salt);
        iv[4..8].iter_mut().zip(ssrc.to_be_bytes()).for_each(|(iv, octet)| *iv ^= octet);
        iv[6..14].iter_mut().zip(index.to_be_bytes()).for_each(|(iv, octet)| *iv ^= octet);
        keystream(&self.aes, iv, octets);
    }

    fn tag(&self, packet: &[u8], after: &[u8]) -> [u8; 20] {
        self.hmac.clone().chain_update(packet).chain_update(after).finalize().into_bytes().into()
    }

    fn append(&self, buffer: &mut [u8], at: usize, tag: &[u8; 20]) -> Option<usize> {
        let end = at + self.tag_bytes;
        buffer.get_mut(at..end)?.copy_from_slice(tag.get(..self.tag_bytes)?);
        Some(end)
    }
}

/// The rollover counter of an index.
fn roc(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// The index in the word that ends an SRTCP packet.
fn index_of(word: u32) -> u64 {
    u64::from(word & !super::ENCRYPTED)
}

#[cfg(test)]
mod tests {
    use super::super::tests::hex;
    use super::*;

    #[test]
    fn the_keystream_of_rfc_3711_appendix_b_2_comes_out() {
        let keys = Kdf {
            key: hex("2B7E151628AED2A6ABF7158809CF4F3C").try_into().unwrap(),
            salt: hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap(),
            auth: [1; 20],
        };
        let mut octets = [0; 48];
        Cm::new(&keys, 10).keystream(&mut octets, 0, 0);
        let expected = "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB \
            41E95B3BB0A2E8DD477901E4FCA894C0";
        assert_eq!(octets[..], hex(expected));
    }
}
