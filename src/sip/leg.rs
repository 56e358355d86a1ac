//! One leg at the SIP door: a session, its descriptions, and what the core hears of it.
//!
//! Pure: a [`SessionEvent`](super::session::SessionEvent) in, [`LegEvent`]s and agreed media out. Offer and answer (RFC 3264) run
//! here for every way a description can travel: in the INVITE, in a provisional response, in the
//! 200, in the ACK, and in re-INVITEs of either side.

use std::net::IpAddr;

use bytes::Bytes;
use sbc_config::TrunkId;
use sidetone_media::codec::Codec;

use crate::call::door::{AgreedMedia, MediaEnd};
use crate::call::{Cause, LegEnd, LegEvent, LegId};

use super::door::failover::Attempt;
use super::offer::{
    Capabilities, LocalSession, NegotiatedAudio, OfferError, accept_answer, answer, codecs, offer, protects,
};
use super::sdes::Protection;
use super::sdp::{Direction, Sdp, SdpError};
use super::session::{Ended, How, SessionId};
use super::text::Text;

/// Payload type of telephone-event in our offers, the one nearly everybody uses.
const TELEPHONE_EVENT: u8 = 101;

/// Milliseconds of audio in a packet, as we like them.
const PTIME_MS: u8 = 20;

/// Longest text kept of how a leg ended: a few of Microsoft's diagnostics, which are about 200 octets each.
const DETAIL_MAX: usize = 1024;

/// Forks whose early answers are remembered: more telephones than one call rings have no early media.
const EARLIES_MAX: usize = 8;

/// A leg.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) session: SessionId,
    /// The trunk it runs over.
    pub(super) trunk: Option<TrunkId>,
    /// Whether it is held by silence both ways: `sendonly` is nothing it understands.
    pub(super) holds_inactive: bool,
    /// Whether a description before the answer only says that it rings, until sound comes.
    pub(super) early_means_ringing: bool,
    /// The leg whose far end asked for this one.
    pub(super) referred_by: Option<LegId>,
    /// The status with which the target that its far end asked for has refused.
    pub(super) target_refused: Option<u16>,
    /// The host that a telephone's signalling comes from; its media may have to come from there
    /// too. A trunk keeps to its description.
    pub(super) signalled_from: Option<IpAddr>,
    /// Whether it came to us and is not answered: then it is refused, not hung up.
    pub(super) unanswered: bool,
    /// Whether it has been told that somebody is rung.
    pub(super) alerted: bool,
    /// Whether it has told that it rings.
    pub(super) rang: bool,
    /// What the switchboard knows to be agreed.
    pub(super) told: Option<AgreedMedia>,
    /// Whether early media has been opened towards it.
    pub(super) early: bool,
    /// Whether provisional responses to it may be reliable (RFC 3262).
    pub(super) reliable: bool,
    /// Whether we offer RTCP on the port of RTP (RFC 5761).
    pub(super) offers_mux: bool,
    protection: Protection,
    /// While a call of ours to a trunk is unanswered: where else it may be tried.
    pub(super) attempt: Option<Box<Attempt>>,
    codecs: Vec<Codec>,
    local: LocalSession,
    media: Option<MediaEnd>,
    /// Their offer that waits for our answer.
    theirs: Option<Sdp>,
    /// Our offer that waits for their answer.
    ours: Option<Sdp>,
    agreed: Option<NegotiatedAudio>,
    /// Their answers in provisional responses, by fork: each is the answer of that fork for good.
    earlies: Vec<(Text, Bytes)>,
    held_by_us: bool,
    held_by_peer: bool,
}

/// Why descriptions did not come to an agreement.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAgreement {
    #[error("the description cannot be read")]
    Unreadable(#[from] SdpError),
    #[error("the description cannot be agreed to")]
    Refused(#[from] OfferError),
    #[error("there is no description to agree to")]
    Nothing,
    #[error("no media port is open for the leg")]
    NoPort,
}

impl Leg {
    pub(super) fn new(session: SessionId, seed: u64, codecs: Vec<Codec>) -> Leg {
        Leg {
            session,
            trunk: None,
            holds_inactive: false,
            early_means_ringing: false,
            referred_by: None,
            target_refused: None,
            signalled_from: None,
            unanswered: false,
            alerted: false,
            rang: false,
            told: None,
            early: false,
            reliable: false,
            offers_mux: false,
            protection: Protection::Never,
            attempt: None,
            codecs,
            local: LocalSession::new(seed),
            media: None,
            theirs: None,
            ours: None,
            agreed: None,
            earlies: Vec::new(),
            held_by_us: false,
            held_by_peer: false,
        }
    }

    /// A leg that came with this offer, if with any.
    pub(super) fn incoming(
        session: SessionId,
        seed: u64,
        codecs: Vec<Codec>,
        their_offer: Option<&Bytes>,
    ) -> Result<Leg, NoAgreement> {
        let mut leg = Leg::new(session, seed, codecs);
        leg.unanswered = true;
        leg.theirs = their_offer.map(|octets| Sdp::parse(octets)).transpose()?;
        Ok(leg)
    }

    /// The codecs the caller offered, its favourite first.
    pub(super) fn offered(&self) -> Vec<Codec> {
        let audio = self.theirs.iter().flat_map(|sdp| &sdp.media).find(|media| media.is_audio());
        let Some(audio) = audio else { return Vec::new() };
        codecs(audio).map(|(_, codec)| codec).filter(|codec| self.codecs.contains(codec)).collect()
    }

    /// How its sound may be protected, from its beginning. An error if their offer wants it otherwise.
    pub(super) fn protect(&mut self, protection: Protection) -> Result<(), NoAgreement> {
        self.protection = protection;
        match &self.theirs {
            Some(offer) => Ok(protects(offer, &self.protection)?),
            None => Ok(()),
        }
    }

    /// Whether the far end's INVITE brought an offer that is still to be answered.
    pub(super) fn has_their_offer(&self) -> bool {
        self.theirs.is_some()
    }

    pub(super) fn has_agreed(&self) -> bool {
        self.agreed.is_some()
    }

    pub(super) fn set_media(&mut self, media: Option<MediaEnd>) {
        self.media = media.or(self.media);
    }

    /// Our offer, the codecs in `prefer` first.
    pub(super) fn offer(&mut self, prefer: &[Codec]) -> Result<Bytes, NoAgreement> {
        let capabilities = self.capabilities(prefer)?;
        let sdp = offer(&capabilities, &mut self.local);
        let octets = sdp.to_bytes();
        self.ours = Some(sdp);
        Ok(octets)
    }

    /// Our answer to their offer, with a codec of `prefer` if they offered one.
    pub(super) fn answer(&mut self, prefer: &[Codec]) -> Result<(Bytes, AgreedMedia), NoAgreement> {
        // Who offers to share the port gets it (RFC 5761 section 5.1.1).
        let capabilities = Capabilities { rtcp_mux: true, ..self.capabilities(prefer)? };
        let offered = self.offered();
        let theirs = self.theirs.take().ok_or(NoAgreement::Nothing)?;
        let prefer = prefer.iter().find(|codec| offered.contains(codec)).copied();
        let (sdp, agreed) = answer(&theirs, &capabilities, prefer, &mut self.local)?;
        Ok((sdp.to_bytes(), self.agree(agreed)))
    }

    /// What we said last, once more: the 200 repeats the description of the 183.
    pub(super) fn said(&self) -> Option<Bytes> {
        self.local.last().map(Sdp::to_bytes)
    }

    /// Their answer to our offer. Several may come from a forked call; the last one stands.
    pub(super) fn answered(&mut self, octets: &Bytes) -> Result<AgreedMedia, NoAgreement> {
        let theirs = Sdp::parse(octets)?;
        let ours = self.ours.as_ref().ok_or(NoAgreement::Nothing)?;
        let agreed = accept_answer(ours, &theirs)?;
        self.local.agreed(&agreed);
        Ok(self.agree(agreed))
    }

    /// Their answer in a provisional response, and whether it is the first of all forks.
    pub(super) fn early_answered(
        &mut self,
        fork: Text,
        octets: &Bytes,
    ) -> Result<(AgreedMedia, bool), NoAgreement> {
        let first = self.earlies.is_empty();
        let media = self.answered(octets)?;
        if self.earlies.iter().all(|(known, _)| *known != fork) && self.earlies.len() < EARLIES_MAX {
            self.earlies.push((fork, octets.clone()));
        }
        Ok((media, first))
    }

    /// The fork whose provisional response brought its answer has answered the call.
    pub(super) fn answered_early(&mut self, fork: &Text) -> Result<AgreedMedia, NoAgreement> {
        let early = self.earlies.iter().find(|(known, _)| known == fork).map(|(_, octets)| octets.clone());
        self.answered(&early.ok_or(NoAgreement::Nothing)?)
    }

    /// A new offer of theirs inside the session: our answer, what is agreed, and whether it holds
    /// us or takes us back. On error nothing has changed.
    pub(super) fn reoffered(
        &mut self,
        octets: &Bytes,
    ) -> Result<(Bytes, AgreedMedia, Option<LegEvent>), NoAgreement> {
        self.theirs = Some(Sdp::parse(octets)?);
        let current: Vec<Codec> = self.agreed.iter().map(|agreed| agreed.codec).collect();
        let answered = self.answer(&current);
        self.theirs = None;
        let (answer, agreed) = answered?;
        Ok((answer, agreed, self.hold_change()))
    }

    /// Whether what is agreed now holds us, if that is news.
    pub(super) fn hold_change(&mut self) -> Option<LegEvent> {
        if self.held_by_us {
            // A telephone that answers our hold with recvonly or inactive holds nothing itself. If
            // it does hold as well, its answer to our resuming says so.
            return None;
        }
        let agreed = self.agreed.as_ref()?;
        // RFC 3264 section 8.4: sendonly or inactive; RFC 2543: no address at all.
        let holds = agreed.remote_rtp.is_none()
            || matches!(agreed.remote_direction, Direction::SendOnly | Direction::Inactive);
        if holds == self.held_by_peer {
            return None;
        }
        self.held_by_peer = holds;
        Some(if holds { LegEvent::Held } else { LegEvent::Resumed })
    }

    /// Our offer that puts the far end on hold or takes it back.
    pub(super) fn hold(&mut self, hold: bool) -> Result<Bytes, NoAgreement> {
        self.held_by_us = hold;
        if hold {
            self.held_by_peer = false; // ours is the hold that counts until we resume
        }
        self.reoffer()
    }

    /// Our offer in answer to a re-INVITE that brought none: what is agreed first, then all we can.
    pub(super) fn reoffer(&mut self) -> Result<Bytes, NoAgreement> {
        let current: Vec<Codec> = self.agreed.iter().map(|agreed| agreed.codec).collect();
        self.offer(&current)
    }

    fn capabilities(&self, prefer: &[Codec]) -> Result<Capabilities, NoAgreement> {
        let media = self.media.ok_or(NoAgreement::NoPort)?;
        let preferred = prefer.iter().filter(|codec| self.codecs.contains(codec));
        let rest = self.codecs.iter().filter(|codec| !prefer.contains(codec));
        Ok(Capabilities {
            codecs: preferred.chain(rest).copied().collect(),
            telephone_event: Some(TELEPHONE_EVENT),
            comfort_noise: true,
            ptime: PTIME_MS,
            rtp: media.rtp,
            rtcp_mux: self.offers_mux || self.agreed.as_ref().is_some_and(|agreed| agreed.rtcp_mux),
            direction: match (self.held_by_us, self.holds_inactive) {
                (false, _) => Direction::SendRecv,
                (true, false) => Direction::SendOnly,
                (true, true) => Direction::Inactive,
            },
            protection: self.protection.clone(),
        })
    }

    fn agree(&mut self, agreed: NegotiatedAudio) -> AgreedMedia {
        let media = AgreedMedia {
            codec: agreed.codec,
            opus: agreed.opus,
            send_payload_type: agreed.send_payload_type,
            receive_payload_type: agreed.receive_payload_type,
            telephone_event: agreed.telephone_event_send.zip(agreed.telephone_event_receive),
            comfort_noise: agreed.comfort_noise,
            ptime_ms: agreed.ptime,
            remote_rtp: agreed.remote_rtp,
            remote_rtcp: agreed.remote_rtcp,
            rtcp_mux: agreed.rtcp_mux,
            sends: matches!(agreed.direction, Direction::SendRecv | Direction::SendOnly),
            receives: matches!(agreed.direction, Direction::SendRecv | Direction::RecvOnly),
            nat_host: self
                .signalled_from
                .filter(|host| agreed.remote_rtp.is_some_and(|remote| remote.ip() != *host)),
            keys: agreed.keys.clone(),
            ssrc: None,
        };
        self.agreed = Some(agreed);
        media
    }
}

/// How a session's end is told to the core.
pub(super) fn end_of(ended: &Ended) -> LegEnd {
    let cause = match (ended.how, ended.status) {
        (How::Refused, Some(status)) => Cause::from_sip_status(status),
        (How::Refused, None) => Cause::Internal,
        (How::Cancelled, _) => Cause::Cancelled,
        (How::Bye, _) => Cause::Normal,
        (How::NoAnswer, _) => Cause::NoAnswer,
        (How::NoAck | How::NoPrack | How::Expired | How::Lost, _) => Cause::SignallingTimeout,
        (How::Unreachable, _) => Cause::Unreachable,
        (How::Broken, _) => Cause::Internal,
    };
    let mut detail = format!("{:?} by {:?}", ended.how, ended.by).to_lowercase();
    if let Some(status) = ended.status {
        detail.push_str(&format!(", SIP {status}"));
    }
    if let Some(q850) = ended.q850() {
        detail.push_str(&format!(", Q.850 {q850}"));
    }
    // What the far end says of it in words: its support asks for them.
    let texts = ended.reasons.iter().filter_map(|reason| reason.text.as_deref());
    let warnings = ended.warnings.iter().map(|warning| &**warning);
    for said in texts.chain(warnings) {
        if detail.len() + said.len() > DETAIL_MAX {
            break;
        }
        detail.push_str(&format!(", \"{said}\""));
    }
    LegEnd { cause, detail }
}
