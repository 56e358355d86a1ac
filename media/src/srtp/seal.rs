//! What we send.

use super::replay::Replay;
use super::{Cipher, Clear, ENCRYPTED, INDEX_BYTES, MasterKey, RTCP_PACKETS_MAX, Suite, rtcp_ssrc};

/// Seals the packets of one line under one key.
///
/// The line has one SSRC: its rollover counter begins at zero with the key. Numbers may come out of order, as
/// those of a relayed voice do, but none may come twice.
pub struct Seal {
    suite: Suite,
    rtp: Cipher,
    rtcp: Cipher,
    ssrc: Option<u32>,
    used: Replay,
    rtp_left: u64,
    next_rtcp: u32,
    rtcp_left: u64,
}

/// Why a packet was not sealed. It must not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is no RTP or RTCP.
    #[error("not a packet that can be sealed")]
    NotAPacket,
    /// The buffer ends before the tag would.
    #[error("no room for the tag")]
    NoRoom,
    /// It is of another SSRC than those before.
    #[error("a packet of another line")]
    OtherLine,
    /// The number was used before, or is too old to know.
    #[error("a packet of this number was sealed before")]
    UsedBefore,
    /// The key has protected as many packets as it may.
    #[error("the key has reached the end of its life")]
    KeyExhausted,
}

impl Seal {
    /// With our key.
    pub fn new(key: &MasterKey) -> Seal {
        Seal {
            suite: key.suite(),
            rtp: Cipher::rtp(key),
            rtcp: Cipher::rtcp(key),
            ssrc: None,
            used: Replay::default(),
            rtp_left: key.rtp_packets(),
            next_rtcp: 0,
            rtcp_left: key.rtcp_packets(),
        }
    }

    /// Seals the RTP packet in the first `length` octets of `buffer`, which has room for a tag behind it. How
    /// long it is now.
    ///
    /// # Errors
    /// [`SealError`]; then the packet must not be sent.
    pub fn rtp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SealError> {
        let clear = buffer.get(..length).and_then(Clear::parse).ok_or(SealError::NotAPacket)?;
        if buffer.len() < length + self.suite.rtp_tag_bytes() {
            return Err(SealError::NoRoom);
        }
        if self.ssrc.is_some_and(|ours| ours != clear.ssrc) {
            return Err(SealError::OtherLine);
        }
        if self.rtp_left == 0 {
            return Err(SealError::KeyExhausted);
        }
        let index = self.used.index_of(clear.sequence).ok_or(SealError::UsedBefore)?;
        if !self.used.is_fresh(index) {
            return Err(SealError::UsedBefore);
        }
        let sealed = match &self.rtp {
            Cipher::Cm(cm) => cm.seal_rtp(buffer, clear.header..length, clear.ssrc, index),
            Cipher::Gcm(gcm) => gcm.seal_rtp(buffer, clear.header, length, clear.ssrc, index),
        };
        self.used.note(index);
        self.ssrc = Some(clear.ssrc);
        self.rtp_left -= 1;
        sealed.ok_or(SealError::NoRoom)
    }

    /// Seals the RTCP compound in the first `length` octets of `buffer`, likewise.
    ///
    /// # Errors
    /// [`SealError`]; then the compound must not be sent.
    pub fn rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SealError> {
        let ssrc = buffer.get(..length).and_then(rtcp_ssrc).ok_or(SealError::NotAPacket)?;
        if buffer.len() < length + self.suite.rtcp_tag_bytes() + INDEX_BYTES {
            return Err(SealError::NoRoom);
        }
        if self.rtcp_left == 0 || u64::from(self.next_rtcp) >= RTCP_PACKETS_MAX {
            return Err(SealError::KeyExhausted);
        }
        let word = ENCRYPTED | self.next_rtcp;
        let sealed = match &self.rtcp {
            Cipher::Cm(cm) => cm.seal_rtcp(buffer, length, ssrc, word),
            Cipher::Gcm(gcm) => gcm.seal_rtcp(buffer, length, ssrc, word),
        };
        self.next_rtcp += 1;
        self.rtcp_left -= 1;
        sealed.ok_or(SealError::NoRoom)
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").field("suite", &self.suite).finish_non_exhaustive()
    }
}
