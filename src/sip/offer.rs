//! Offer and answer (RFC 3264): two descriptions in, one agreement about audio out.
//!
//! A [`LocalSession`] is our side of one dialog. It remembers what we said last, so that the `o=` version rises only
//! when something changed and a later offer keeps the m-lines of earlier ones. Everything refused here is answered
//! with 488.

use std::net::{IpAddr, SocketAddr};

use sidetone_media::codec::opus::Wishes;
use sidetone_media::codec::{Codec, FIRST_DYNAMIC};
use sidetone_media::frame::Ptime;
use thiserror::Error;

use crate::call::door::MediaKeys;

use super::message::StatusCode;
use super::sdes::{self, CryptoError, OwnKeys, Protection};
use super::sdp::{Attribute, Direction, Media, Origin, Sdp, socket_address};
use super::uri::Host;

/// Static payload type of comfort noise at 8 kHz (RFC 3389).
pub const COMFORT_NOISE: u8 = 13;
/// Clock of most codecs, and of their telephone-events.
const USUAL_CLOCK_HZ: u32 = 8000;
/// Payload type of telephone-event on any other clock in our offers: the one that browsers use at 48 kHz.
const WIDE_EVENT: u8 = 110;
/// Packet durations we can send, in ms; Opus has fewer.
pub const PTIMES: [u8; 6] = [10, 20, 30, 40, 50, 60];
/// Packet duration when nobody says (RFC 3551 section 4.5).
pub const DEFAULT_PTIME: u8 = 20;
/// Plain RTP (RFC 3551).
const AVP: &str = "RTP/AVP";
/// SRTP with keys from the description (RFC 3711, RFC 4568).
const SAVP: &str = "RTP/SAVP";

/// What we can and want to do on one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Codecs, best first.
    pub codecs: Vec<Codec>,
    /// Payload type of telephone-event at 8000 Hz in our offers; `None` refuses it at every clock.
    pub telephone_event: Option<u8>,
    /// Whether comfort noise is understood.
    pub comfort_noise: bool,
    /// Packet duration we like to receive, in ms.
    pub ptime: u8,
    /// Where we receive RTP.
    pub rtp: SocketAddr,
    /// Whether RTCP may share the RTP port. Otherwise it is the next port.
    pub rtcp_mux: bool,
    /// What we want: sendrecv, or a hold.
    pub direction: Direction,
    /// Whether sound is protected.
    pub protection: Protection,
}

/// What both sides agreed on for the audio of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedAudio {
    /// The codec, both ways.
    pub codec: Codec,
    /// How the peer wants its Opus.
    pub opus: Wishes,
    /// Payload type to write into packets we send.
    pub send_payload_type: u8,
    /// Payload type in packets we receive.
    pub receive_payload_type: u8,
    /// Payload type for telephone-event we send, when both know it.
    pub telephone_event_send: Option<u8>,
    /// Payload type of telephone-event we receive, when both know it.
    pub telephone_event_receive: Option<u8>,
    /// Whether comfort noise (payload type 13) may flow.
    pub comfort_noise: bool,
    /// Duration of packets we send, in ms: one of [`PTIMES`].
    pub ptime: u8,
    /// Where to send RTP. `None` while the peer gives 0.0.0.0, the hold of RFC 2543: nothing may be sent.
    pub remote_rtp: Option<SocketAddr>,
    /// Where to send RTCP.
    pub remote_rtcp: Option<SocketAddr>,
    /// Our direction after both sides' wishes.
    pub direction: Direction,
    /// The direction the peer asked for, as the peer sees it; a peer that does not receive holds us.
    pub remote_direction: Direction,
    /// Whether RTCP shares the RTP port.
    pub rtcp_mux: bool,
    /// The keys, when sound is protected.
    pub keys: Option<MediaKeys>,
}

/// Why no agreement was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OfferError {
    /// No m-line for audio with a port.
    #[error("no audio stream")]
    NoAudio,
    /// Audio only over a transport other than RTP, or over one that may not be used here: protected where that is not
    /// wanted or keys would travel in clear, plain where protection is required.
    #[error("audio transport not supported")]
    Protocol,
    /// Protected, but by no key or suite that can be used.
    #[error("audio protection not usable: {0}")]
    Crypto(CryptoError),
    /// No codec in common.
    #[error("no codec in common")]
    NoCodec,
    /// The audio address is a name, multicast or broadcast, or there is none.
    #[error("audio address not usable")]
    Address,
    /// The answer's m-lines do not match the offer's.
    #[error("answer does not match the offer")]
    Mismatch,
}

impl OfferError {
    /// The status to answer an unacceptable offer with (RFC 3261 section 13.3.1.3).
    pub fn status(self) -> StatusCode {
        StatusCode::NOT_ACCEPTABLE_HERE
    }
}

/// Our side of the descriptions of one dialog.
#[derive(Debug, Clone)]
pub struct LocalSession {
    id: u64,
    version: u64,
    last: Option<Sdp>,
    /// Whether protection was agreed last: later offers keep to it.
    is_protected: bool,
}

impl LocalSession {
    /// A session with this id, which should be hard to guess and below 2^62 (RFC 3264 section 5).
    pub fn new(id: u64) -> Self {
        let id = id & ((1 << 62) - 1);
        Self { id, version: id, last: None, is_protected: false }
    }

    /// What we said last.
    pub fn last(&self) -> Option<&Sdp> {
        self.last.as_ref()
    }

    /// Notes what their answer to our offer agreed on.
    pub fn agreed(&mut self, agreed: &NegotiatedAudio) {
        self.is_protected = agreed.keys.is_some();
    }

    /// Gives the description its origin. RFC 3264 section 8: the version rises by one with every change, and only then.
    fn publish(&mut self, capabilities: &Capabilities, media: Vec<Media>) -> Sdp {
        let host = Host::from(capabilities.rtp.ip());
        let origin = |version: u64| Origin {
            user: "-".into(),
            session: self.id.to_string(),
            version: version.to_string(),
            host: host.clone(),
        };
        let mut sdp = Sdp {
            origin: origin(self.version),
            name: "-".into(),
            connection: Some(host.clone()),
            attributes: Vec::new(),
            media,
        };
        if self.last.as_ref().is_some_and(|last| *last != sdp) {
            sdp.origin = origin(self.version + 1);
            self.version += 1;
        }
        self.last = Some(sdp.clone());
        sdp
    }
}

/// Offers what we can, first or again.
///
/// RFC 3264 section 8: a later offer has every m-line of the description before it, in the same order; those that are
/// not our audio stay refused. Payload types once used keep their meaning.
pub fn offer(capabilities: &Capabilities, session: &mut LocalSession) -> Sdp {
    let before = session.last.as_ref().map_or(&[][..], |last| &last.media[..]);
    let audio_at = before.iter().position(|m| m.is_audio() && m.port != 0);
    let audio_at = audio_at.or_else(|| before.iter().position(Media::is_audio)).unwrap_or(before.len());
    let audio_before = before.get(audio_at);
    let number_of = |codec: Codec| {
        let used = audio_before.and_then(|media| codecs(media).find(|(_, used)| *used == codec));
        used.map_or(codec.payload_type(), |(payload_type, _)| payload_type)
    };
    let lines: Vec<_> = capabilities.codecs.iter().map(|&codec| (number_of(codec), codec)).collect();
    // One event for each clock: it has that of the sound around it (RFC 4733 section 2.1).
    let mut events: Vec<(u8, u32)> = Vec::new();
    for clock in capabilities.codecs.iter().map(|codec| codec.rtp_clock()) {
        let Some(ours) = capabilities.telephone_event else { break };
        if events.iter().all(|(_, known)| *known != clock) {
            let used = audio_before.and_then(|media| find_event(media, clock));
            let ours = if clock == USUAL_CLOCK_HZ { ours } else { WIDE_EVENT };
            events.push((used.unwrap_or(ours), clock));
        }
    }
    let comfort_noise =
        capabilities.comfort_noise && lines.iter().any(|(_, codec)| codec.rtp_clock() == USUAL_CLOCK_HZ);
    let keys = offered_keys(capabilities, session);
    let profile = if keys.is_some() { SAVP } else { AVP };
    let audio = describe(capabilities, profile, &lines, &events, comfort_noise, capabilities.ptime);
    let crypto = keys.map(OwnKeys::offered).unwrap_or_default();
    let audio = finish(audio, crypto, capabilities.direction, capabilities.rtcp_mux);

    let mut media: Vec<Media> = before.iter().map(refuse).collect();
    match media.get_mut(audio_at) {
        Some(line) => *line = audio,
        None => media.push(audio),
    }
    session.publish(capabilities, media)
}

/// Answers an offer: the first usable audio stream is accepted with one codec, everything else refused by port 0.
///
/// The codec is `prefer` if both know it, else the first of the offer that we know (RFC 3264 section 6.1).
pub fn answer(
    offer: &Sdp,
    capabilities: &Capabilities,
    prefer: Option<Codec>,
    session: &mut LocalSession,
) -> Result<(Sdp, NegotiatedAudio), OfferError> {
    let (at, chosen) = choose(offer, capabilities, prefer)?;
    let theirs = &offer.media[at];
    let remote = Remote::of(offer, theirs)?;
    let clock = chosen.1.rtp_clock();
    let event = capabilities.telephone_event.and_then(|_| find_event(theirs, clock));
    let comfort_noise = capabilities.comfort_noise && has_comfort_noise(theirs, chosen.1);
    let rtcp_mux = capabilities.rtcp_mux && theirs.rtcp_mux();
    let direction = capabilities.direction.and(remote.direction.reversed());
    let ptime = send_ptime(theirs, chosen.1, capabilities.ptime);

    let (crypto, keys) = match capabilities.protection.keys().filter(|_| is_protected(theirs)) {
        Some(ours) => {
            ours.answer(theirs).map(|(line, keys)| (Some(line), Some(keys))).map_err(OfferError::Crypto)?
        }
        None => (None, None),
    };

    // RFC 3264 section 6.1: an answer uses the payload types of the offer.
    let lines = [chosen];
    let events: Vec<_> = event.map(|event| (event, clock)).into_iter().collect();
    let audio = describe(capabilities, &theirs.protocol, &lines, &events, comfort_noise, ptime);
    let audio = finish(audio, crypto.into_iter().collect(), direction, rtcp_mux);
    let mut media: Vec<Media> = offer.media.iter().map(refuse).collect();
    media[at] = audio;

    let agreed = NegotiatedAudio {
        codec: chosen.1,
        opus: wishes(theirs, chosen.0),
        send_payload_type: chosen.0,
        receive_payload_type: chosen.0,
        telephone_event_send: event,
        telephone_event_receive: event,
        comfort_noise,
        ptime,
        remote_rtp: remote.rtp,
        remote_rtcp: remote.rtcp(theirs, rtcp_mux),
        direction,
        remote_direction: remote.direction,
        rtcp_mux,
        keys,
    };
    session.agreed(&agreed);
    Ok((session.publish(capabilities, media), agreed))
}

/// Whether any audio of an offer could be agreed to, as far as its protection goes. Tells before anybody is rung what
/// [`answer`] would tell afterwards.
pub fn protects(offer: &Sdp, ours: &Protection) -> Result<(), OfferError> {
    let mut why = Ok(());
    for media in offer.media.iter().filter(|media| media.is_audio() && media.port != 0) {
        let refused = match (is_protected(media), ours.keys()) {
            (true, Some(keys)) => keys.answer(media).err().map(OfferError::Crypto),
            (true, None) => Some(OfferError::Protocol),
            (false, _) => (!is_plain(media) || !ours.allows_plain()).then_some(OfferError::Protocol),
        };
        match refused {
            None => return Ok(()),
            Some(error) => why = why.and(Err(error)),
        }
    }
    why
}

/// Reads the answer to our offer. The codec is the first of the answer that we offered.
pub fn accept_answer(our_offer: &Sdp, answer: &Sdp) -> Result<NegotiatedAudio, OfferError> {
    let at = our_offer.media.iter().position(|m| m.is_audio() && m.port != 0).ok_or(OfferError::NoAudio)?;
    let ours = &our_offer.media[at];
    let theirs = answer.media.get(at).filter(|m| m.is_audio()).ok_or(OfferError::Mismatch)?;
    if theirs.port == 0 {
        return Err(OfferError::NoAudio);
    }
    if !theirs.protocol.eq_ignore_ascii_case(&ours.protocol) {
        return Err(OfferError::Protocol);
    }
    let our_codecs: Vec<(u8, Codec)> = codecs(ours).collect();
    let (send, receive, codec) = codecs(theirs)
        .find_map(|(send, codec)| {
            let (receive, _) = our_codecs.iter().find(|(_, ours)| *ours == codec)?;
            Some((send, *receive, codec))
        })
        .ok_or(OfferError::NoCodec)?;
    let remote = Remote::of(answer, theirs)?;
    let rtcp_mux = ours.rtcp_mux() && theirs.rtcp_mux();
    let keys =
        is_protected(ours).then(|| sdes::answered(ours, theirs)).transpose().map_err(OfferError::Crypto)?;
    let clock = codec.rtp_clock();
    let events = find_event(ours, clock).zip(find_event(theirs, clock));
    let our_ptime = ours.ptime().and_then(|ms| u8::try_from(ms).ok()).unwrap_or(DEFAULT_PTIME);
    Ok(NegotiatedAudio {
        codec,
        opus: wishes(theirs, send),
        send_payload_type: send,
        receive_payload_type: receive,
        telephone_event_send: events.map(|(_, theirs)| theirs),
        telephone_event_receive: events.map(|(ours, _)| ours),
        comfort_noise: has_comfort_noise(ours, codec) && has_comfort_noise(theirs, codec),
        ptime: send_ptime(theirs, codec, our_ptime),
        remote_rtp: remote.rtp,
        remote_rtcp: remote.rtcp(theirs, rtcp_mux),
        direction: our_offer.direction_of(ours).and(remote.direction.reversed()),
        remote_direction: remote.direction,
        rtcp_mux,
        keys,
    })
}

/// Our keys, if this offer is to have any: always, or because what was agreed before had some. Never both plain and
/// protected lines: few understand them, and Microsoft refuses them.
fn offered_keys<'a>(capabilities: &'a Capabilities, session: &LocalSession) -> Option<&'a OwnKeys> {
    match &capabilities.protection {
        Protection::Never => None,
        Protection::IfWanted(keys) => session.is_protected.then_some(keys),
        Protection::Always(keys) => Some(keys),
    }
}

fn is_protected(media: &Media) -> bool {
    [SAVP, "RTP/SAVPF"].iter().any(|known| media.protocol.eq_ignore_ascii_case(known))
}

fn is_plain(media: &Media) -> bool {
    [AVP, "RTP/AVPF"].iter().any(|known| media.protocol.eq_ignore_ascii_case(known))
}

/// The m-line to accept and the codec with its payload type.
fn choose(
    offer: &Sdp,
    capabilities: &Capabilities,
    prefer: Option<Codec>,
) -> Result<(usize, (u8, Codec)), OfferError> {
    let mut why = OfferError::NoAudio;
    let protected_first = {
        let audio =
            || offer.media.iter().enumerate().filter(|(_, media)| media.is_audio() && media.port != 0);
        audio()
            .filter(|(_, media)| is_protected(media))
            .chain(audio().filter(|(_, media)| !is_protected(media)))
    };
    for (at, media) in protected_first {
        let allowed = if is_protected(media) {
            capabilities.protection.keys().is_some()
        } else {
            is_plain(media) && capabilities.protection.allows_plain()
        };
        if !allowed {
            why = OfferError::Protocol;
            continue;
        }
        let known: Vec<_> = codecs(media).filter(|(_, codec)| capabilities.codecs.contains(codec)).collect();
        let preferred = known.iter().find(|(_, codec)| Some(*codec) == prefer);
        match preferred.or(known.first()) {
            Some(chosen) => return Ok((at, *chosen)),
            None => why = OfferError::NoCodec,
        }
    }
    Err(why)
}

/// Where and how the peer wants its audio.
struct Remote {
    host: Host,
    rtp: Option<SocketAddr>,
    direction: Direction,
}

impl Remote {
    fn of(sdp: &Sdp, media: &Media) -> Result<Self, OfferError> {
        let host = sdp.host_of(media).ok_or(OfferError::Address)?.clone();
        let ip = host.ip().ok_or(OfferError::Address)?;
        // RFC 4475 section 3.3.10: a description must not aim our packets at a broadcast or multicast address.
        if ip.is_multicast() || ip == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
            return Err(OfferError::Address);
        }
        let mut direction = sdp.direction_of(media);
        let mut rtp = socket_address(&host, media.port);
        if ip.is_unspecified() {
            // RFC 3264 section 8.4: 0.0.0.0 is the old hold; the peer wants nothing.
            direction = direction.and(Direction::SendOnly);
            rtp = None;
        }
        Ok(Self { host, rtp, direction })
    }

    /// RFC 5761 when multiplexed, else RFC 3605, else the next port.
    fn rtcp(&self, media: &Media, mux: bool) -> Option<SocketAddr> {
        let rtp = self.rtp?;
        if mux {
            return Some(rtp);
        }
        match media.rtcp() {
            Some((port, host)) => {
                let host = host.unwrap_or_else(|| self.host.clone());
                let usable = host.ip().is_some_and(|ip| {
                    !ip.is_unspecified()
                        && !ip.is_multicast()
                        && ip != IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
                });
                usable.then(|| socket_address(&host, port))?
            }
            None => socket_address(&self.host, media.port.checked_add(1)?),
        }
    }
}

/// An audio m-line of ours without direction and RTCP.
fn describe(
    capabilities: &Capabilities,
    protocol: &str,
    codecs: &[(u8, Codec)],
    events: &[(u8, u32)],
    comfort_noise: bool,
    ptime: u8,
) -> Media {
    let mut audio = Media {
        kind: "audio".into(),
        port: capabilities.rtp.port(),
        protocol: protocol.to_owned(),
        formats: Vec::new(),
        connection: None,
        attributes: Vec::new(),
    };
    let mut add = |payload_type: u8, map: String, parameters: Option<&str>| {
        audio.formats.push(payload_type.to_string());
        audio.attributes.push(Attribute::new("rtpmap", Some(format!("{payload_type} {map}"))));
        if let Some(parameters) = parameters {
            audio.attributes.push(Attribute::new("fmtp", Some(format!("{payload_type} {parameters}"))));
        }
    };
    for (payload_type, codec) in codecs {
        let (name, clock) = (codec.encoding_name(), codec.rtp_clock());
        match codec.channels() {
            1 => add(*payload_type, format!("{name}/{clock}"), None),
            channels => add(*payload_type, format!("{name}/{clock}/{channels}"), Some(Wishes::OURS)),
        }
    }
    if comfort_noise {
        add(COMFORT_NOISE, format!("CN/{USUAL_CLOCK_HZ}"), None);
    }
    for (event, clock) in events {
        add(*event, format!("telephone-event/{clock}"), Some("0-15"));
    }
    audio.attributes.push(Attribute::new("ptime", Some(ptime.to_string())));
    audio
}

fn finish(mut audio: Media, crypto: Vec<Attribute>, direction: Direction, rtcp_mux: bool) -> Media {
    audio.attributes.extend(crypto);
    if rtcp_mux {
        // RFC 5761 section 5.1.1: who does not know rtcp-mux is told by RFC 3605, and sends it to the same port.
        audio.attributes.push(Attribute::new("rtcp", Some(audio.port.to_string())));
        audio.attributes.push(Attribute::new("rtcp-mux", None));
    }
    audio.attributes.push(Attribute::new(direction.as_str(), None));
    audio
}

/// RFC 3264 section 6: a refused stream has port 0; its formats are repeated, since there must be one.
fn refuse(media: &Media) -> Media {
    Media { port: 0, connection: None, attributes: Vec::new(), ..media.clone() }
}

/// The codecs of an m-line that we know, in its order, with their payload types.
pub(super) fn codecs(media: &Media) -> impl Iterator<Item = (u8, Codec)> {
    payload_types(&media.formats).filter_map(|payload_type| {
        let codec = match media.rtpmap(payload_type) {
            Some(map) => Codec::from_encoding_name(map.encoding)
                .filter(|codec| (map.clock, map.channels) == (codec.rtp_clock(), codec.channels()))?,
            None if payload_type < FIRST_DYNAMIC => Codec::from_static_payload_type(payload_type)?,
            None => return None,
        };
        Some((payload_type, codec))
    })
}

/// telephone-event on a clock.
fn find_event(media: &Media, clock: u32) -> Option<u8> {
    payload_types(&media.formats).find(|&payload_type| {
        media
            .rtpmap(payload_type)
            .is_some_and(|map| map.encoding.eq_ignore_ascii_case("telephone-event") && map.clock == clock)
    })
}

/// Comfort noise has a static payload type at the usual clock only; Opus has pauses of its own.
fn has_comfort_noise(media: &Media, codec: Codec) -> bool {
    codec.rtp_clock() == USUAL_CLOCK_HZ
        && payload_types(&media.formats).any(|payload_type| payload_type == COMFORT_NOISE)
}

/// How the peer wants what we send it under this payload type, if that is Opus.
fn wishes(theirs: &Media, payload_type: u8) -> Wishes {
    theirs.fmtp(payload_type).map(Wishes::read).unwrap_or_default()
}

fn payload_types(formats: &[String]) -> impl Iterator<Item = u8> {
    formats.iter().filter_map(|format| format.parse().ok().filter(|&payload_type: &u8| payload_type < 128))
}

/// What the peer wants, if we can; otherwise ours; never beyond its maxptime.
fn send_ptime(theirs: &Media, codec: Codec, ours: u8) -> u8 {
    let can = |ms: u16| u8::try_from(ms).ok().filter(|ms| PTIMES.contains(ms));
    let wanted = theirs.ptime().and_then(can).or(can(u16::from(ours))).unwrap_or(DEFAULT_PTIME);
    let most = theirs.maxptime().unwrap_or(u16::MAX);
    let sendable = |ms: &u8| Ptime::from_ms(u32::from(*ms)).is_some_and(|ptime| codec.can_send(ptime));
    let mut ptimes = PTIMES.into_iter().rev().filter(sendable);
    ptimes.find(|&ms| ms <= wanted && u16::from(ms) <= most).unwrap_or(PTIMES[0])
}

#[cfg(test)]
mod tests;
