//! Offer and answer (RFC 3264): two descriptions in, one agreement about audio out.
//!
//! A [`LocalSession`] is our side of one dialog. It remembers what we said last, so that the `o=` version rises only
//! when something changed and a later offer keeps the m-lines of earlier ones. Everything refused here is answered
//! with 488.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use super::message::StatusCode;
use super::sdp::{Attribute, Direction, Media, Origin, Sdp, socket_address};
use super::uri::Host;

/// Static payload type of comfort noise at 8 kHz (RFC 3389).
pub const COMFORT_NOISE: u8 = 13;
/// Packet durations we can send, in ms.
pub const PTIMES: [u8; 6] = [10, 20, 30, 40, 50, 60];
/// Packet duration when nobody says (RFC 3551 section 4.5).
pub const DEFAULT_PTIME: u8 = 20;
/// First payload type that needs an rtpmap (RFC 3551 section 6).
const FIRST_DYNAMIC: u8 = 96;

/// A speech codec this gateway speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s. Its RTP clock is 8000 Hz by an old mistake (RFC 3551 section 4.5.2).
    G722,
}

/// What we can and want to do on one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Codecs, best first.
    pub codecs: Vec<AudioCodec>,
    /// Payload type of telephone-event in our offers; `None` refuses it everywhere.
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
}

/// What both sides agreed on for the audio of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedAudio {
    /// The codec, both ways.
    pub codec: AudioCodec,
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
}

/// Why no agreement was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OfferError {
    /// No m-line for audio with a port.
    #[error("no audio stream")]
    NoAudio,
    /// Audio only over a transport other than RTP/AVP or RTP/AVPF.
    #[error("audio transport not supported")]
    Protocol,
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
}

impl LocalSession {
    /// A session with this id, which should be hard to guess and below 2^62 (RFC 3264 section 5).
    pub fn new(id: u64) -> Self {
        let id = id & ((1 << 62) - 1);
        Self { id, version: id, last: None }
    }

    /// What we said last.
    pub fn last(&self) -> Option<&Sdp> {
        self.last.as_ref()
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
    let event = capabilities.telephone_event.map(|ours| {
        let used = before.get(audio_at).and_then(|m| find_event(m, &m.formats));
        used.unwrap_or(ours)
    });
    let lines: Vec<_> =
        capabilities.codecs.iter().map(|&codec| (codec.static_payload_type(), codec)).collect();
    let audio =
        describe(capabilities, "RTP/AVP", &lines, event, capabilities.comfort_noise, capabilities.ptime);
    let audio = finish(audio, capabilities.direction, capabilities.rtcp_mux);

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
    prefer: Option<AudioCodec>,
    session: &mut LocalSession,
) -> Result<(Sdp, NegotiatedAudio), OfferError> {
    let (at, chosen) = choose(offer, capabilities, prefer)?;
    let theirs = &offer.media[at];
    let remote = Remote::of(offer, theirs)?;
    let event = capabilities.telephone_event.and_then(|_| find_event(theirs, &theirs.formats));
    let comfort_noise = capabilities.comfort_noise && has_comfort_noise(theirs);
    let rtcp_mux = capabilities.rtcp_mux && theirs.rtcp_mux();
    let direction = capabilities.direction.and(remote.direction.reversed());
    let ptime = send_ptime(theirs, capabilities.ptime);

    // RFC 3264 section 6.1: an answer uses the payload types of the offer.
    let lines = [chosen];
    let audio = describe(capabilities, &theirs.protocol, &lines, event, comfort_noise, ptime);
    let audio = finish(audio, direction, rtcp_mux);
    let mut media: Vec<Media> = offer.media.iter().map(refuse).collect();
    media[at] = audio;

    let agreed = NegotiatedAudio {
        codec: chosen.1,
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
    };
    Ok((session.publish(capabilities, media), agreed))
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
    let our_codecs: Vec<(u8, AudioCodec)> = codecs(ours).collect();
    let (send, receive, codec) = codecs(theirs)
        .find_map(|(send, codec)| {
            let (receive, _) = our_codecs.iter().find(|(_, ours)| *ours == codec)?;
            Some((send, *receive, codec))
        })
        .ok_or(OfferError::NoCodec)?;
    let remote = Remote::of(answer, theirs)?;
    let rtcp_mux = ours.rtcp_mux() && theirs.rtcp_mux();
    let events = find_event(ours, &ours.formats).zip(find_event(theirs, &theirs.formats));
    let our_ptime = ours.ptime().and_then(|ms| u8::try_from(ms).ok()).unwrap_or(DEFAULT_PTIME);
    Ok(NegotiatedAudio {
        codec,
        send_payload_type: send,
        receive_payload_type: receive,
        telephone_event_send: events.map(|(_, theirs)| theirs),
        telephone_event_receive: events.map(|(ours, _)| ours),
        comfort_noise: has_comfort_noise(ours) && has_comfort_noise(theirs),
        ptime: send_ptime(theirs, our_ptime),
        remote_rtp: remote.rtp,
        remote_rtcp: remote.rtcp(theirs, rtcp_mux),
        direction: our_offer.direction_of(ours).and(remote.direction.reversed()),
        remote_direction: remote.direction,
        rtcp_mux,
    })
}

/// The m-line to accept and the codec with its payload type.
fn choose(
    offer: &Sdp,
    capabilities: &Capabilities,
    prefer: Option<AudioCodec>,
) -> Result<(usize, (u8, AudioCodec)), OfferError> {
    let mut why = OfferError::NoAudio;
    for (at, media) in offer.media.iter().enumerate() {
        if !media.is_audio() || media.port == 0 {
            continue;
        }
        let protocol = &media.protocol;
        if !["RTP/AVP", "RTP/AVPF"].iter().any(|known| protocol.eq_ignore_ascii_case(known)) {
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
    codecs: &[(u8, AudioCodec)],
    event: Option<u8>,
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
    let mut add = |payload_type: u8, map: String| {
        audio.formats.push(payload_type.to_string());
        audio.attributes.push(Attribute::new("rtpmap", Some(format!("{payload_type} {map}"))));
    };
    for (payload_type, codec) in codecs {
        add(*payload_type, format!("{}/8000", codec.encoding_name()));
    }
    if comfort_noise {
        add(COMFORT_NOISE, "CN/8000".into());
    }
    if let Some(event) = event {
        add(event, "telephone-event/8000".into());
        audio.attributes.push(Attribute::new("fmtp", Some(format!("{event} 0-15"))));
    }
    audio.attributes.push(Attribute::new("ptime", Some(ptime.to_string())));
    audio
}

fn finish(mut audio: Media, direction: Direction, rtcp_mux: bool) -> Media {
    if rtcp_mux {
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
fn codecs(media: &Media) -> impl Iterator<Item = (u8, AudioCodec)> {
    payload_types(&media.formats).filter_map(|payload_type| {
        let codec = match media.rtpmap(payload_type) {
            Some(map) if map.clock == 8000 && map.channels == 1 => {
                AudioCodec::from_encoding_name(map.encoding)?
            }
            Some(_) => return None,
            None if payload_type < FIRST_DYNAMIC => AudioCodec::from_static_payload_type(payload_type)?,
            None => return None,
        };
        Some((payload_type, codec))
    })
}

/// telephone-event on the clock of our codecs.
fn find_event(media: &Media, formats: &[String]) -> Option<u8> {
    payload_types(formats).find(|&payload_type| {
        media
            .rtpmap(payload_type)
            .is_some_and(|map| map.encoding.eq_ignore_ascii_case("telephone-event") && map.clock == 8000)
    })
}

fn has_comfort_noise(media: &Media) -> bool {
    payload_types(&media.formats).any(|payload_type| payload_type == COMFORT_NOISE)
}

fn payload_types(formats: &[String]) -> impl Iterator<Item = u8> {
    formats.iter().filter_map(|format| format.parse().ok().filter(|&payload_type: &u8| payload_type < 128))
}

/// What the peer wants, if we can; otherwise ours; never beyond its maxptime.
fn send_ptime(theirs: &Media, ours: u8) -> u8 {
    let can = |ms: u16| u8::try_from(ms).ok().filter(|ms| PTIMES.contains(ms));
    let wanted = theirs.ptime().and_then(can).or(can(u16::from(ours))).unwrap_or(DEFAULT_PTIME);
    let most = theirs.maxptime().unwrap_or(u16::MAX);
    PTIMES.into_iter().rev().find(|&ms| ms <= wanted && u16::from(ms) <= most).unwrap_or(PTIMES[0])
}

impl AudioCodec {
    /// Every codec.
    pub const ALL: [Self; 3] = [Self::G722, Self::Pcma, Self::Pcmu];

    /// The encoding name of SDP.
    pub const fn encoding_name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
        }
    }

    /// The codec of an encoding name, in any case.
    pub fn from_encoding_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.encoding_name().eq_ignore_ascii_case(name))
    }

    /// The static payload type (RFC 3551 table 4).
    pub const fn static_payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::G722 => 9,
        }
    }

    fn from_static_payload_type(payload_type: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.static_payload_type() == payload_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capabilities() -> Capabilities {
        Capabilities {
            codecs: vec![AudioCodec::G722, AudioCodec::Pcma, AudioCodec::Pcmu],
            telephone_event: Some(101),
            comfort_noise: true,
            ptime: 20,
            rtp: "192.0.2.10:4000".parse().unwrap(),
            rtcp_mux: false,
            direction: Direction::SendRecv,
        }
    }

    fn sdp(rest: &str) -> Sdp {
        let text =
            format!("v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n{rest}");
        Sdp::parse(text.as_bytes()).unwrap()
    }

    fn answered(rest: &str) -> Result<(Sdp, NegotiatedAudio), OfferError> {
        answer(&sdp(rest), &capabilities(), None, &mut LocalSession::new(7))
    }

    #[test]
    fn an_offer_answered_by_ourselves_agrees_on_both_sides() {
        let offered = offer(&capabilities(), &mut LocalSession::new(1));
        let other =
            Capabilities { rtp: "[::1]:5000".parse().unwrap(), telephone_event: Some(96), ..capabilities() };
        let (said, theirs) =
            answer(&offered, &other, Some(AudioCodec::Pcmu), &mut LocalSession::new(2)).unwrap();
        let ours = accept_answer(&offered, &Sdp::parse(&said.to_bytes()).unwrap()).unwrap();
        assert_eq!((ours.codec, theirs.codec), (AudioCodec::Pcmu, AudioCodec::Pcmu));
        assert_eq!((ours.telephone_event_send, theirs.telephone_event_receive), (Some(101), Some(101)));
        assert!(ours.comfort_noise && theirs.comfort_noise);
        assert_eq!(theirs.remote_rtp, Some("192.0.2.10:4000".parse().unwrap()));
        assert_eq!(theirs.remote_rtcp, Some("192.0.2.10:4001".parse().unwrap()));
        assert_eq!(ours.remote_rtp, Some("[::1]:5000".parse().unwrap()));
    }

    #[test]
    fn the_offerers_order_decides_unless_a_codec_is_preferred() {
        let body = "m=audio 4000 RTP/AVP 18 8 0\r\n";
        assert_eq!(answered(body).unwrap().1.codec, AudioCodec::Pcma);
        let preferred =
            answer(&sdp(body), &capabilities(), Some(AudioCodec::Pcmu), &mut LocalSession::new(1)).unwrap();
        assert_eq!(preferred.1.codec, AudioCodec::Pcmu);
        let unknown =
            answer(&sdp(body), &capabilities(), Some(AudioCodec::G722), &mut LocalSession::new(1)).unwrap();
        assert_eq!(unknown.1.codec, AudioCodec::Pcma);
    }

    #[test]
    fn payload_types_follow_each_sides_own_numbers() {
        let said = answered(
            "m=audio 4000 RTP/AVP 97 98\r\na=rtpmap:97 g722/8000\r\na=rtpmap:98 telephone-event/8000\r\n",
        );
        let agreed = said.unwrap().1;
        assert_eq!(
            (agreed.codec, agreed.send_payload_type, agreed.receive_payload_type),
            (AudioCodec::G722, 97, 97)
        );
        assert_eq!(agreed.telephone_event_send, Some(98));

        let offered = offer(&capabilities(), &mut LocalSession::new(1));
        let reply = sdp(
            "m=audio 4000 RTP/AVP 97 98\r\na=rtpmap:97 PCMA/8000\r\na=rtpmap:98 telephone-event/8000\r\n",
        );
        let agreed = accept_answer(&offered, &reply).unwrap();
        assert_eq!((agreed.send_payload_type, agreed.receive_payload_type), (97, 8));
        assert_eq!((agreed.telephone_event_send, agreed.telephone_event_receive), (Some(98), Some(101)));
    }

    #[test]
    fn a_static_number_remapped_to_another_codec_is_believed() {
        let said = answered("m=audio 4000 RTP/AVP 0 8\r\na=rtpmap:0 L16/44100\r\n").unwrap();
        assert_eq!(said.1.codec, AudioCodec::Pcma);
        assert_eq!(answered("m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/16000\r\n"), Err(OfferError::NoCodec));
    }

    #[test]
    fn every_m_line_is_answered_and_only_the_first_usable_audio_accepted() {
        let body = "m=video 5000 RTP/AVP 31\r\nm=audio 6000 RTP/SAVP 0\r\nm=audio 4000 RTP/AVP 0\r\n\
            m=audio 4002 RTP/AVP 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
        let (said, _) = answered(body).unwrap();
        let ports: Vec<_> = said.media.iter().map(|m| (m.kind.as_str(), m.port)).collect();
        assert_eq!(ports, [("video", 0), ("audio", 0), ("audio", 4000), ("audio", 0), ("application", 0)]);
        assert_eq!(said.media[4].formats, ["webrtc-datachannel"]);
    }

    #[test]
    fn what_cannot_be_agreed_says_why() {
        for (body, why) in [
            ("", OfferError::NoAudio),
            ("m=video 4000 RTP/AVP 31\r\n", OfferError::NoAudio),
            ("m=audio 0 RTP/AVP 0\r\n", OfferError::NoAudio),
            ("m=audio 4000 RTP/SAVP 0\r\n", OfferError::Protocol),
            ("m=audio 4000 RTP/AVP 18 101\r\n", OfferError::NoCodec),
            ("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 media.example.com\r\n", OfferError::Address),
            ("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 224.2.1.1/127\r\n", OfferError::Address),
            ("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 255.255.255.255\r\n", OfferError::Address),
        ] {
            assert_eq!(answered(body), Err(why), "{body}");
            assert_eq!(why.status().as_u16(), 488);
        }
        let offered = offer(&capabilities(), &mut LocalSession::new(1));
        for (body, why) in [
            ("", OfferError::Mismatch),
            ("m=video 4000 RTP/AVP 31\r\n", OfferError::Mismatch),
            ("m=audio 0 RTP/AVP 0\r\n", OfferError::NoAudio),
            ("m=audio 4000 RTP/SAVP 0\r\n", OfferError::Protocol),
            ("m=audio 4000 RTP/AVP 18\r\n", OfferError::NoCodec),
        ] {
            assert_eq!(accept_answer(&offered, &sdp(body)), Err(why), "{body}");
        }
    }

    #[test]
    fn holds_old_and_new_are_understood_and_answered_in_kind() {
        let cases = [
            ("a=sendonly\r\n", Direction::RecvOnly),
            ("a=recvonly\r\n", Direction::SendOnly),
            ("a=inactive\r\n", Direction::Inactive),
            ("c=IN IP4 0.0.0.0\r\n", Direction::RecvOnly),
            ("c=IN IP4 0.0.0.0\r\na=recvonly\r\n", Direction::Inactive),
            ("", Direction::SendRecv),
        ];
        for (line, ours) in cases {
            let (said, agreed) = answered(&format!("m=audio 4000 RTP/AVP 0\r\n{line}")).unwrap();
            assert_eq!(agreed.direction, ours, "{line}");
            assert_eq!(said.direction_of(&said.media[0]), ours, "{line}");
            assert_eq!(agreed.remote_rtp.is_none(), line.contains("0.0.0.0"), "{line}");
            assert_eq!(agreed.remote_rtcp.is_none(), line.contains("0.0.0.0"), "{line}");
        }
        let holding = Capabilities { direction: Direction::SendOnly, ..capabilities() };
        let offered = offer(&holding, &mut LocalSession::new(1));
        let agreed = accept_answer(&offered, &sdp("m=audio 4000 RTP/AVP 0\r\na=recvonly\r\n")).unwrap();
        assert_eq!(agreed.direction, Direction::SendOnly);
        // A peer that ignores our hold does not lift it.
        let agreed = accept_answer(&offered, &sdp("m=audio 4000 RTP/AVP 0\r\n")).unwrap();
        assert_eq!(agreed.direction, Direction::SendOnly);
    }

    #[test]
    fn the_version_rises_with_a_change_and_only_then() {
        let mut session = LocalSession::new(41);
        let first = offer(&capabilities(), &mut session);
        let again = offer(&capabilities(), &mut session);
        assert_eq!((first.origin.version.as_str(), again.origin.version.as_str()), ("41", "41"));
        let held = offer(&Capabilities { direction: Direction::SendOnly, ..capabilities() }, &mut session);
        assert_eq!((held.origin.session.as_str(), held.origin.version.as_str()), ("41", "42"));
        let same = offer(&Capabilities { direction: Direction::SendOnly, ..capabilities() }, &mut session);
        assert_eq!(same.origin.version, "42");
        let resumed = offer(&capabilities(), &mut session);
        assert_eq!(resumed.origin.version, "43");
    }

    #[test]
    fn a_later_offer_keeps_the_m_lines_and_the_event_number_of_the_first_agreement() {
        let mut session = LocalSession::new(1);
        let theirs = sdp(
            "m=video 5000 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 0 96\r\na=rtpmap:96 telephone-event/8000\r\n",
        );
        answer(&theirs, &capabilities(), None, &mut session).unwrap();
        let again = offer(&capabilities(), &mut session);
        let kinds: Vec<_> = again.media.iter().map(|m| (m.kind.as_str(), m.port)).collect();
        assert_eq!(kinds, [("video", 0), ("audio", 4000)]);
        assert!(again.media[1].formats.contains(&"96".to_owned()), "{again}");
        let reply = sdp("m=video 0 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 8\r\n");
        assert_eq!(accept_answer(&again, &reply).unwrap().codec, AudioCodec::Pcma);
    }

    #[test]
    fn rtcp_goes_to_its_own_port_the_stated_one_or_the_shared_one() {
        let rtcp =
            |lines: &str| answered(&format!("m=audio 4000 RTP/AVP 0\r\n{lines}")).unwrap().1.remote_rtcp;
        let at = |text: &str| Some(text.parse::<SocketAddr>().unwrap());
        assert_eq!(rtcp(""), at("192.0.2.20:4001"));
        assert_eq!(rtcp("a=rtcp:4999\r\n"), at("192.0.2.20:4999"));
        assert_eq!(rtcp("a=rtcp:4999 IN IP4 192.0.2.21\r\n"), at("192.0.2.21:4999"));
        assert_eq!(rtcp("a=rtcp:4999 IN IP4 255.255.255.255\r\n"), None);
        assert_eq!(rtcp("a=rtcp-mux\r\n"), at("192.0.2.20:4001"), "we did not agree to share");
        let sharing = Capabilities { rtcp_mux: true, ..capabilities() };
        let (said, agreed) = answer(
            &sdp("m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n"),
            &sharing,
            None,
            &mut LocalSession::new(1),
        )
        .unwrap();
        assert!(said.media[0].rtcp_mux() && agreed.rtcp_mux);
        assert_eq!(agreed.remote_rtcp, at("192.0.2.20:4000"));
        assert_eq!(answered("m=audio 65535 RTP/AVP 0\r\n").unwrap().1.remote_rtcp, None);
    }

    #[test]
    fn packet_times_stay_within_what_both_can_do() {
        for (lines, ms) in [
            ("", 20),
            ("a=ptime:30\r\n", 30),
            ("a=ptime:200\r\n", 20),
            ("a=ptime:25\r\n", 20),
            ("a=maxptime:10\r\n", 10),
            ("a=ptime:60\r\na=maxptime:40\r\n", 40),
            ("a=maxptime:5\r\n", 10),
        ] {
            let agreed = answered(&format!("m=audio 4000 RTP/AVP 0\r\n{lines}")).unwrap().1;
            assert_eq!(agreed.ptime, ms, "{lines}");
        }
    }
}
