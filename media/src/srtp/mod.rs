//! SRTP and SRTCP, where the packet lies (RFC 3711, RFC 7714).
//!
//! A [`MasterKey`] serves one direction: ours seals what we send ([`Seal`]), theirs opens what they
//! send ([`Open`]). Both work in the caller's buffer; nothing is copied and nothing allocated per
//! packet.
//!
//! ```text
//!   RTP   header │ payload (encrypted) │ tag            GCM: the tag belongs to the ciphertext
//!   RTCP  header │ rest (encrypted) │ E,index │ tag     GCM: header │ rest │ tag │ E,index
//! ```
//!
//! # Invariants
//! - **Authenticate before you learn.** A packet whose tag does not fit changes nothing: no rollover
//!   counter, no window, no table of sources.
//! - **No keystream twice.** [`Seal`] refuses an index it has used; with AES in counter mode two
//!   packets under one index give away the exclusive or of both.
//! - **A key ends.** Beyond its lifetime nothing is sealed or opened any more, and the error says so.
//! - **State is bounded**: [`MAX_SOURCES`] of one key, a window of 128 packets for each.
//!
//! Absent on purpose: the master key identifier (nobody we talk to needs one, and descriptions that
//! insist on one are refused), key derivation rates other than zero, and suites with NULL cipher or no tag.

mod cm;
mod gcm;
mod kdf;
mod open;
mod replay;
mod seal;
#[cfg(test)]
mod tests;

use std::fmt;

use zeroize::Zeroize;

pub use open::{MAX_SOURCES, Open, OpenError};
pub use seal::{Seal, SealError};

/// Octets of the longest tag that sealing appends to RTP.
pub const MAX_TAG_BYTES: usize = 16;

/// Octets of the longest trailer that sealing appends to RTCP: tag and index.
pub const MAX_RTCP_TRAILER_BYTES: usize = MAX_TAG_BYTES + INDEX_BYTES;

/// Packets that one master key may protect (RFC 3711 section 9.2).
const RTP_PACKETS_MAX: u64 = 1 << 48;
/// SRTCP packets that one master key may protect (RFC 3711 section 9.2).
const RTCP_PACKETS_MAX: u64 = 1 << 31;

/// Octets of an AES-128 key.
const KEY_BYTES: usize = 16;
/// Octets of the longest salt.
const SALT_BYTES_MAX: usize = 14;
/// Octets of the SRTCP index with its E bit.
const INDEX_BYTES: usize = 4;
/// Octets of an RTCP header that stay readable (RFC 3711 section 3.4).
const RTCP_HEADER_BYTES: usize = 8;
/// The E bit: the rest of the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// What is done to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// AES in counter mode, HMAC-SHA1 of 80 bits: what everybody speaks.
    AesCm128HmacSha1_80,
    /// The same with 32 bits on RTP. RTCP keeps 80 (RFC 4568 section 6.2.2).
    AesCm128HmacSha1_32,
    /// AES in Galois/counter mode (RFC 7714).
    AeadAes128Gcm,
}

impl Suite {
    /// Every suite.
    pub const ALL: [Suite; 3] =
        [Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32, Suite::AeadAes128Gcm];

    /// Octets of a master salt.
    pub const fn salt_bytes(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => 14,
            Suite::AeadAes128Gcm => 12,
        }
    }

    /// Octets of a master key and its salt, as SDES carries them.
    pub const fn keying_bytes(self) -> usize {
        KEY_BYTES + self.salt_bytes()
    }

    /// Octets that sealing appends to RTP.
    pub const fn rtp_tag_bytes(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 => 10,
            Suite::AesCm128HmacSha1_32 => 4,
            Suite::AeadAes128Gcm => gcm::TAG_BYTES,
        }
    }

    /// Octets of the tag of RTCP.
    const fn rtcp_tag_bytes(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => 10,
            Suite::AeadAes128Gcm => gcm::TAG_BYTES,
        }
    }
}

/// A master key with its salt: one direction's secret. Debug does not show it, and it is wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    suite: Suite,
    octets: [u8; KEY_BYTES + SALT_BYTES_MAX],
    lifetime: u64,
}

impl MasterKey {
    /// Of a key followed by its salt. `None` if they are not as long as the suite wants, or the key is all
    /// zeros, which is somebody's way of asking for none.
    pub fn new(suite: Suite, keying: &[u8]) -> Option<MasterKey> {
        if keying.len() != suite.keying_bytes() || keying.iter().take(KEY_BYTES).all(|octet| *octet == 0) {
            return None;
        }
        let mut octets = [0; KEY_BYTES + SALT_BYTES_MAX];
        octets.iter_mut().zip(keying).for_each(|(ours, theirs)| *ours = *theirs);
        Some(MasterKey { suite, octets, lifetime: RTP_PACKETS_MAX })
    }

    /// The same key for no more packets than this. Longer than the suite allows is not possible.
    #[must_use]
    pub fn with_lifetime(mut self, packets: u64) -> MasterKey {
        self.lifetime = packets.min(RTP_PACKETS_MAX);
        self
    }

    /// What it is for.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Key and salt, to be written into a description. Nowhere else.
    pub fn keying(&self) -> &[u8] {
        self.octets.get(..self.suite.keying_bytes()).unwrap_or_default()
    }

    fn key(&self) -> [u8; KEY_BYTES] {
        *self.octets.first_chunk().unwrap_or(&[0; KEY_BYTES])
    }

    /// The salt, padded with zeros on the right (RFC 7714 section 11 for the shorter one).
    fn salt(&self) -> [u8; SALT_BYTES_MAX] {
        *self.octets.last_chunk().unwrap_or(&[0; SALT_BYTES_MAX])
    }

    fn rtp_packets(&self) -> u64 {
        self.lifetime
    }

    fn rtcp_packets(&self) -> u64 {
        self.lifetime.min(RTCP_PACKETS_MAX)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({:?}, ..)", self.suite)
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.octets.zeroize();
    }
}

/// The session keys of one direction, for RTP or for RTCP.
#[expect(
    clippy::large_enum_variant,
    reason = "two of them live as long as a call; a pointer would cost each packet"
)]
enum Cipher {
    Cm(cm::Cm),
    Gcm(gcm::Gcm),
}

impl Cipher {
    fn rtp(key: &MasterKey) -> Cipher {
        match key.suite {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => {
                Cipher::Cm(cm::Cm::new(&kdf::Kdf::rtp(key), key.suite.rtp_tag_bytes()))
            }
            Suite::AeadAes128Gcm => Cipher::Gcm(gcm::Gcm::new(&kdf::Kdf::rtp(key))),
        }
    }

    fn rtcp(key: &MasterKey) -> Cipher {
        match key.suite {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => {
                Cipher::Cm(cm::Cm::new(&kdf::Kdf::rtcp(key), key.suite.rtcp_tag_bytes()))
            }
            Suite::AeadAes128Gcm => Cipher::Gcm(gcm::Gcm::new(&kdf::Kdf::rtcp(key))),
        }
    }
}

/// What of an RTP header sealing needs. The padding count is encrypted, so this is less than
/// [`Header`](crate::stream::rtp::Header) reads.
#[derive(Debug, Clone, Copy)]
struct Clear {
    ssrc: u32,
    sequence: u16,
    /// Octets of the header with its sources and its extension: they stay readable.
    header: usize,
}

impl Clear {
    /// `None` if it is not RTP version 2 or ends before its header does.
    fn parse(packet: &[u8]) -> Option<Clear> {
        let [first, _, high, low, _, _, _, _, s0, s1, s2, s3] = packet.first_chunk::<12>()?;
        if first >> 6 != 2 {
            return None;
        }
        let mut header = 12 + 4 * usize::from(first & 0x0f);
        if first & 0x10 != 0 {
            let words = packet.get(header + 2..header + 4)?;
            header += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
        }
        (header <= packet.len()).then_some(Clear {
            ssrc: u32::from_be_bytes([*s0, *s1, *s2, *s3]),
            sequence: u16::from_be_bytes([*high, *low]),
            header,
        })
    }
}

/// The SSRC of an RTCP compound: that of its first packet.
fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    let [first, _, _, _, ssrc @ ..] = packet.first_chunk::<RTCP_HEADER_BYTES>()?;
    (first >> 6 == 2).then_some(u32::from_be_bytes(*ssrc))
}
