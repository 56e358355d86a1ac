//! What they send.

use crate::stream::rtp::MAX_PACKET_BYTES;

use super::replay::Replay;
use super::{Cipher, Clear, ENCRYPTED, INDEX_BYTES, MasterKey, RTCP_HEADER_BYTES, Suite, rtcp_ssrc};

/// Sources that one key of theirs may have over its life. A telephone has one; a media server takes a new one when
/// its media moves, and usually a new key with it. More would only be somebody who wears us out.
pub const MAX_SOURCES: usize = 32;

/// Opens the packets of one far end under one key of theirs.
pub struct Open {
    suite: Suite,
    rtp: Cipher,
    rtcp: Cipher,
    pub(super) sources: Vec<Source>,
    rtp_left: u64,
    rtcp_left: u64,
    /// The key before this one, until a packet of this one has come: what was under way when the key changed is
    /// still theirs.
    before: Option<Box<Open>>,
}

/// One SSRC of theirs that has proved itself.
pub(super) struct Source {
    ssrc: u32,
    rtp: Replay,
    rtcp: Replay,
}

/// Why a packet was not opened. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is no SRTP or SRTCP: too short, too long, or of another version.
    #[error("not a protected packet")]
    NotAPacket,
    /// The tag does not fit.
    #[error("not authentic")]
    NotAuthentic,
    /// It came before, or is too old to know.
    #[error("came before, or too old to know")]
    Replayed,
    /// The key has more than [`MAX_SOURCES`] sources.
    #[error("too many sources under one key")]
    TooManySources,
    /// The key has protected as many packets as it may.
    #[error("the key has reached the end of its life")]
    KeyExhausted,
}

impl Open {
    /// With their key.
    pub fn new(key: &MasterKey) -> Open {
        Open {
            suite: key.suite(),
            rtp: Cipher::rtp(key),
            rtcp: Cipher::rtcp(key),
            sources: Vec::new(),
            rtp_left: key.rtp_packets(),
            rtcp_left: key.rtcp_packets(),
            before: None,
        }
    }

    /// They have a new key: rollover counters, windows and sources begin anew. Packets under the old key are
    /// opened until the first one under the new key.
    pub fn rekey(&mut self, key: &MasterKey) {
        let mut before = std::mem::replace(self, Open::new(key));
        before.before = None;
        self.before = Some(Box::new(before));
    }

    /// Opens an RTP packet where it lies; how long it is now.
    ///
    /// # Errors
    /// [`OpenError`]. The packet may be spoilt; nothing else has changed.
    pub fn rtp(&mut self, packet: &mut [u8]) -> Result<usize, OpenError> {
        self.or_before(packet, Open::rtp_here)
    }

    /// Opens an RTCP compound where it lies; how long it is now.
    ///
    /// # Errors
    /// [`OpenError`], likewise.
    pub fn rtcp(&mut self, packet: &mut [u8]) -> Result<usize, OpenError> {
        self.or_before(packet, Open::rtcp_here)
    }

    fn or_before(
        &mut self,
        packet: &mut [u8],
        open: fn(&mut Open, &mut [u8]) -> Result<usize, OpenError>,
    ) -> Result<usize, OpenError> {
        let Some(mut before) = self.before.take() else { return open(self, packet) };
        // GCM spoils what it cannot open.
        let mut copy = [0; MAX_PACKET_BYTES];
        let kept = copy.get_mut(..packet.len()).ok_or(OpenError::NotAPacket);
        let kept = match kept {
            Ok(kept) => kept,
            Err(error) => {
                self.before = Some(before);
                return Err(error);
            }
        };
        kept.copy_from_slice(packet);
        match open(self, packet) {
            Ok(length) => Ok(length),
            Err(error) => {
                packet.copy_from_slice(kept);
                let opened = open(&mut before, packet);
                self.before = Some(before);
                opened.map_err(|_| error)
            }
        }
    }

    fn rtp_here(&mut self, packet: &mut [u8]) -> Result<usize, OpenError> {
        let clear = Clear::parse(packet).ok_or(OpenError::NotAPacket)?;
        let length = packet.len().checked_sub(self.suite.rtp_tag_bytes()).ok_or(OpenError::NotAPacket)?;
        if length < clear.header || packet.len() > MAX_PACKET_BYTES {
            return Err(OpenError::NotAPacket);
        }
        if self.rtp_left == 0 {
            return Err(OpenError::KeyExhausted);
        }
        let known = self.known(clear.ssrc)?;
        let window = known.and_then(|at| self.sources.get(at)).map(|source| &source.rtp);
        let index = match window {
            Some(window) => window.index_of(clear.sequence).ok_or(OpenError::Replayed)?,
            None => clear.sequence.into(),
        };
        if window.is_some_and(|window| !window.is_fresh(index)) {
            return Err(OpenError::Replayed);
        }
        let is_new = window.is_none_or(Replay::is_new);
        let (index, length) = match &self.rtp {
            Cipher::Cm(cm) => {
                let (octets, tag) = packet.split_at_checked(length).ok_or(OpenError::NotAPacket)?;
                let mut index = index;
                if !cm.is_authentic_rtp(octets, tag, index) {
                    // A stream whose numbers began just below the wrap, and whose first packet got lost or late,
                    // shows itself with a rollover counter of one.
                    let next = index + (1 << 16);
                    if !is_new || clear.sequence >= 1 << 15 || !cm.is_authentic_rtp(octets, tag, next) {
                        return Err(OpenError::NotAuthentic);
                    }
                    index = next;
                }
                let payload = packet.get_mut(clear.header..length).ok_or(OpenError::NotAPacket)?;
                cm.keystream(payload, clear.ssrc, index);
                (index, length)
            }
            Cipher::Gcm(gcm) => {
                let opened = gcm.open_rtp(packet, clear.header, clear.ssrc, index);
                (index, opened.ok_or(OpenError::NotAuthentic)?)
            }
        };
        self.source(known, clear.ssrc, |source| source.rtp.note(index));
        self.rtp_left -= 1;
        Ok(length)
    }

    fn rtcp_here(&mut self, packet: &mut [u8]) -> Result<usize, OpenError> {
        let ssrc = rtcp_ssrc(packet).ok_or(OpenError::NotAPacket)?;
        let trailer = INDEX_BYTES + self.suite.rtcp_tag_bytes();
        let length = packet.len().checked_sub(trailer).ok_or(OpenError::NotAPacket)?;
        if length < RTCP_HEADER_BYTES || packet.len() > MAX_PACKET_BYTES {
            return Err(OpenError::NotAPacket);
        }
        if self.rtcp_left == 0 {
            return Err(OpenError::KeyExhausted);
        }
        // The word with the index: before the tag, but behind that of GCM.
        let at = match &self.rtcp {
            Cipher::Cm(_) => length,
            Cipher::Gcm(_) => packet.len() - INDEX_BYTES,
        };
        let word = packet.get(at..).and_then(|rest| rest.first_chunk()).ok_or(OpenError::NotAPacket)?;
        let word = u32::from_be_bytes(*word);
        let index = u64::from(word & !ENCRYPTED);
        let known = self.known(ssrc)?;
        if known.and_then(|at| self.sources.get(at)).is_some_and(|source| !source.rtcp.is_fresh(index)) {
            return Err(OpenError::Replayed);
        }
        match &self.rtcp {
            Cipher::Cm(cm) => {
                let signed = packet.len() - cm.tag_bytes();
                let (octets, tag) = packet.split_at_checked(signed).ok_or(OpenError::NotAPacket)?;
                if !cm.is_authentic_rtcp(octets, tag) {
                    return Err(OpenError::NotAuthentic);
                }
                if word & ENCRYPTED != 0 {
                    let rest = packet.get_mut(RTCP_HEADER_BYTES..length).ok_or(OpenError::NotAPacket)?;
                    cm.keystream(rest, ssrc, index);
                }
            }
            Cipher::Gcm(gcm) => {
                let sealed = packet.get_mut(..at).ok_or(OpenError::NotAPacket)?;
                gcm.open_rtcp(sealed, ssrc, word).ok_or(OpenError::NotAuthentic)?;
            }
        }
        self.source(known, ssrc, |source| source.rtcp.note(index));
        self.rtcp_left -= 1;
        Ok(length)
    }

    /// Where a source is, if it has proved itself.
    fn known(&self, ssrc: u32) -> Result<Option<usize>, OpenError> {
        match self.sources.iter().position(|source| source.ssrc == ssrc) {
            None if self.sources.len() >= MAX_SOURCES => Err(OpenError::TooManySources),
            known => Ok(known),
        }
    }

    /// A source has proved itself.
    fn source(&mut self, known: Option<usize>, ssrc: u32, note: impl FnOnce(&mut Source)) {
        match known.and_then(|at| self.sources.get_mut(at)) {
            Some(source) => note(source),
            None => {
                let mut source = Source { ssrc, rtp: Replay::default(), rtcp: Replay::default() };
                note(&mut source);
                self.sources.push(source);
            }
        }
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("suite", &self.suite)
            .field("sources", &self.sources.len())
            .field("rekeying", &self.before.is_some())
            .finish_non_exhaustive()
    }
}
