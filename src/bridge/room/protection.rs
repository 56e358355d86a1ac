//! What protects a leg's packets: opened as they come in, before anything is learnt from them, and sealed as they
//! leave.

use sidetone_media::srtp::{
    MAX_RTCP_TRAILER_BYTES, MAX_TAG_BYTES, MasterKey, Open, OpenError, Seal, SealError,
};
use sidetone_media::stream::rtcp::MAX_REPORT_BYTES;
use sidetone_media::stream::rtp::MAX_PACKET_BYTES;

use crate::call::door::MediaKeys;

/// Keys of ours kept with what was sealed under them: one for each suite that a far end may change to and back. A key
/// that comes again must go on where it stopped, or it would seal two packets alike.
const SEALS_MAX: usize = 4;

/// Room for a sealed report.
pub(in crate::bridge) const SEALED_REPORT_BYTES: usize = MAX_REPORT_BYTES + MAX_RTCP_TRAILER_BYTES;

/// The protection of one leg. Without keys, packets pass as they are.
#[derive(Default)]
pub(super) struct Protection(Option<Box<Keyed>>);

struct Keyed {
    /// Whether it is in force: a description may turn to plain RTP and back.
    on: bool,
    /// Our keys, the one in force last.
    seals: Vec<(MasterKey, Seal)>,
    theirs: MasterKey,
    open: Open,
    /// Our key has ended, and that has been told.
    exhausted: bool,
}

impl Protection {
    /// What both ends agreed on, for the first time or anew. Equal keys go on as they were; a new key of theirs
    /// begins with new rollover counters.
    pub(super) fn agree(&mut self, keys: Option<&MediaKeys>) {
        let Some(keys) = keys else {
            if let Some(keyed) = &mut self.0 {
                keyed.on = false;
            }
            return;
        };
        let keyed = self.0.get_or_insert_with(|| {
            Box::new(Keyed {
                on: true,
                seals: Vec::new(),
                theirs: keys.theirs.clone(),
                open: Open::new(&keys.theirs),
                exhausted: false,
            })
        });
        keyed.on = true;
        if keyed.theirs != keys.theirs {
            keyed.theirs = keys.theirs.clone();
            keyed.open.rekey(&keys.theirs);
        }
        let known = keyed.seals.iter().position(|(key, _)| *key == keys.ours);
        if known.is_none() || known != keyed.seals.len().checked_sub(1) {
            let seal = known.map_or_else(
                || (keys.ours.clone(), Seal::new(&keys.ours)),
                |known| keyed.seals.remove(known),
            );
            if keyed.seals.len() == SEALS_MAX {
                keyed.seals.remove(0);
            }
            keyed.seals.push(seal);
            keyed.exhausted = false;
        }
    }

    /// Whether packets are protected.
    pub(super) fn is_on(&self) -> bool {
        self.0.as_deref().is_some_and(|keyed| keyed.on)
    }

    /// A packet of the far end as it was before it was sealed: how long it is. `None` if it is not theirs.
    pub(super) fn open_rtp(&mut self, packet: &mut [u8]) -> Option<usize> {
        match self.keyed() {
            None => Some(packet.len()),
            Some(keyed) => keyed.open.rtp(packet).inspect_err(|error| refused(*error)).ok(),
        }
    }

    /// A compound of the far end, likewise.
    pub(super) fn open_rtcp(&mut self, packet: &mut [u8]) -> Option<usize> {
        match self.keyed() {
            None => Some(packet.len()),
            Some(keyed) => keyed.open.rtcp(packet).inspect_err(|error| refused(*error)).ok(),
        }
    }

    /// Hands a packet of ours to `send` as it is to be sent: the one copy that sealing needs, because other ears get
    /// the same packet under other keys. What cannot be sealed is not sent.
    pub(super) fn seal_rtp(&mut self, packet: &[u8], send: impl FnOnce(&[u8])) {
        let Some(keyed) = self.keyed() else { return send(packet) };
        let mut sealed = [0; MAX_PACKET_BYTES + MAX_TAG_BYTES];
        let Some(place) = sealed.get_mut(..packet.len()) else { return };
        place.copy_from_slice(packet);
        let Some((_, seal)) = keyed.seals.last_mut() else { return };
        match seal.rtp(&mut sealed, packet.len()) {
            Ok(length) => send(sealed.get(..length).unwrap_or_default()),
            Err(error) => keyed.unsealed(error),
        }
    }

    /// Seals the report in the first `length` octets of `octets`; its new length. `None` if it must not be sent.
    pub(super) fn seal_rtcp(&mut self, octets: &mut [u8], length: usize) -> Option<usize> {
        let Some(keyed) = self.keyed() else { return Some(length) };
        let (_, seal) = keyed.seals.last_mut()?;
        match seal.rtcp(octets, length) {
            Ok(length) => Some(length),
            Err(error) => {
                keyed.unsealed(error);
                None
            }
        }
    }

    fn keyed(&mut self) -> Option<&mut Keyed> {
        self.0.as_deref_mut().filter(|keyed| keyed.on)
    }
}

impl Keyed {
    fn unsealed(&mut self, error: SealError) {
        tracing::trace!(%error, "a packet is not sent");
        if error == SealError::KeyExhausted && !self.exhausted {
            self.exhausted = true;
            tracing::warn!(
                "a leg's SRTP key has protected as many packets as it may: nothing more is sent under it"
            );
        }
    }
}

fn refused(error: OpenError) {
    let reason = match error {
        OpenError::NotAPacket => "not_a_packet",
        OpenError::NotAuthentic => "not_authentic",
        OpenError::Replayed => "replayed",
        OpenError::TooManySources => "too_many_sources",
        OpenError::KeyExhausted => "key_exhausted",
    };
    metrics::counter!(crate::observe::metrics::SRTP_REFUSED, "reason" => reason).increment(1);
}
