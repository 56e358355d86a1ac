//! Offers of browsers read, answers written (RFC 8866, RFC 8829, RFC 8839, RFC 8842). Pure.
//!
//! We take one audio section; all others are answered with port 0. What of an offer is not needed for a voice is not
//! read: extensions of RTP headers, feedback, bandwidth, simulcast.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::dtls::{Fingerprint, Role};
use super::ice::{Credentials, PATHS_MAX};

/// The longest offer: browsers write some 6 KB for one section with a dozen candidates.
pub const OFFER_BYTES_MAX: usize = 32 * 1024;

/// Sections of an offer. A call has one; more than a meeting would have is no offer.
const SECTIONS_MAX: usize = 32;

/// Payload types of a section: there are 128 at most.
const FORMATS_MAX: usize = 128;

/// Sources of a section that are admitted: a voice has one, and its repetition may have another.
pub const SOURCES_MAX: usize = 4;

/// The longest section name (RFC 5888 sets none; browsers write a digit).
const MID_BYTES_MAX: usize = 32;

/// An offer, as far as we need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What proves the far end's ICE.
    pub ice: Credentials,
    /// Where it may be.
    pub candidates: Vec<SocketAddr>,
    /// Its certificate.
    pub fingerprint: Fingerprint,
    /// What we are in the handshake.
    pub role: Role,
    /// The formats of its audio, best first.
    pub formats: Vec<Format>,
    /// The sources that it says it sends; any if it says none.
    pub sources: Vec<u32>,
    /// Whether it sends.
    pub sends: bool,
    /// Whether it listens.
    pub receives: bool,
    sections: Vec<Section>,
    /// Which section is the audio that we take.
    taken: usize,
    bundled: bool,
}

/// One line of media, to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    media: String,
    protocol: String,
    first_format: String,
    mid: Option<String>,
    /// Port 0 refuses a section, unless it shares the port of its bundle (RFC 9143 section 6).
    open: bool,
}

/// A payload type and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// The number.
    pub payload_type: u8,
    /// The encoding's name.
    pub name: String,
    /// Its clock.
    pub clock: u32,
    /// Its channels.
    pub channels: u8,
    /// Its `fmtp`, as it is.
    pub parameters: String,
}

/// Why an offer is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadOffer {
    /// Longer than any offer.
    #[error("the offer is longer than {OFFER_BYTES_MAX} bytes")]
    TooLong,
    /// Not SDP.
    #[error("this is no session description")]
    NotSdp,
    /// More sections than any call has.
    #[error("the offer has more than {SECTIONS_MAX} sections")]
    TooManySections,
    /// Nothing to hear.
    #[error("the offer has no audio section of UDP/TLS/RTP/SAVPF")]
    NoAudio,
    /// No way to prove who sends checks.
    #[error("the offer has no ICE user name and password")]
    NoIce,
    /// An offerer that waits for us to lead.
    #[error("the offer is of ICE lite, and both sides would wait")]
    IceLite,
    /// No way to prove who agrees on keys.
    #[error("the offer has no SHA-2 fingerprint of its certificate")]
    NoFingerprint,
    /// Nobody would begin, or a handshake that is none.
    #[error("the offer's `a=setup` is neither actpass, active nor passive")]
    NoSetup,
    /// RTCP on a port of its own.
    #[error("the offer has no `a=rtcp-mux`")]
    NoMux,
}

/// Attributes of the session or of a section, as they are read.
#[derive(Default)]
struct Said<'a> {
    ufrag: Option<&'a str>,
    pwd: Option<&'a str>,
    fingerprint: Option<Fingerprint>,
    setup: Option<&'a str>,
    mid: Option<&'a str>,
    mux: bool,
    direction: Option<&'a str>,
    maps: Vec<(u8, &'a str)>,
    parameters: Vec<(u8, &'a str)>,
    sources: Vec<u32>,
    candidates: Vec<SocketAddr>,
    bundle: bool,
    bundle_only: bool,
    lite: bool,
}

impl<'a> Said<'a> {
    fn read(&mut self, attribute: &'a str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let value = value.trim();
        match name {
            "ice-ufrag" => self.ufrag = Some(value),
            "ice-pwd" => self.pwd = Some(value),
            // Several may be given for one certificate; the first that we trust counts.
            "fingerprint" if self.fingerprint.is_none() => self.fingerprint = Fingerprint::parse(value),
            "setup" => self.setup = Some(value),
            "mid" => self.mid = Some(value),
            "rtcp-mux" => self.mux = true,
            "sendrecv" | "sendonly" | "recvonly" | "inactive" => self.direction = Some(name),
            "rtpmap" if self.maps.len() < FORMATS_MAX => self.maps.extend(numbered(value)),
            "fmtp" if self.parameters.len() < FORMATS_MAX => self.parameters.extend(numbered(value)),
            "ssrc" => {
                let source = value.split(' ').next().and_then(|number| number.parse().ok());
                if let Some(source) = source
                    && self.sources.len() < SOURCES_MAX
                    && !self.sources.contains(&source)
                {
                    self.sources.push(source);
                }
            }
            "candidate" if self.candidates.len() < PATHS_MAX => self.candidates.extend(candidate(value)),
            "group" => self.bundle |= value.starts_with("BUNDLE"),
            "bundle-only" => self.bundle_only = true,
            "ice-lite" => self.lite = true,
            _ => {}
        }
    }

    fn ice(&self, session: &Said<'_>) -> Option<Credentials> {
        let (ufrag, pwd) = (self.ufrag.or(session.ufrag)?, self.pwd.or(session.pwd)?);
        credentials(ufrag, pwd)
    }
}

/// RFC 8839 section 5.4: 4 to 256 of name, 22 to 256 of password, of letters, digits, `+` and `/`.
fn credentials(ufrag: &str, pwd: &str) -> Option<Credentials> {
    let good = |text: &str, least: usize| {
        (least..=256).contains(&text.len())
            && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+/".contains(&octet))
    };
    (good(ufrag, 4) && good(pwd, 22)).then(|| Credentials { ufrag: ufrag.to_owned(), pwd: pwd.to_owned() })
}

/// `111 opus/48000/2` in its two parts.
fn numbered(value: &str) -> Option<(u8, &str)> {
    let (number, rest) = value.split_once(' ')?;
    Some((number.parse().ok()?, rest.trim()))
}

/// The address of `1 1 udp 2122260223 192.0.2.5 61000 typ host …`, if we can send there: over UDP, for the component
/// that carries everything. Names (`….local`) are looked up by nobody: whoever hides its address comes to us.
fn candidate(value: &str) -> Option<SocketAddr> {
    let mut words = value.split_ascii_whitespace();
    let (_, component, transport, _) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let ip: IpAddr = words.next()?.parse().ok()?;
    let port: u16 = words.next()?.parse().ok()?;
    let usable = component == "1" && transport.eq_ignore_ascii_case("udp");
    (usable && port != 0 && !ip.is_unspecified() && !ip.is_multicast()).then(|| SocketAddr::new(ip, port))
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// [`BadOffer`].
    pub fn read(text: &str) -> Result<Offer, BadOffer> {
        if text.len() > OFFER_BYTES_MAX {
            return Err(BadOffer::TooLong);
        }
        let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
        if lines.next() != Some("v=0") {
            return Err(BadOffer::NotSdp);
        }
        let mut session = Said::default();
        let mut sections: Vec<(&str, Said<'_>)> = Vec::new();
        for line in lines {
            if let Some(media) = line.strip_prefix("m=") {
                if sections.len() >= SECTIONS_MAX {
                    return Err(BadOffer::TooManySections);
                }
                sections.push((media, Said::default()));
            } else if let Some(attribute) = line.strip_prefix("a=") {
                let said = sections.last_mut().map_or(&mut session, |(_, said)| said);
                said.read(attribute);
            }
        }
        let all: Vec<Section> = sections.iter().map(|(media, said)| Section::of(media, said)).collect();
        let taken = all.iter().position(Section::is_voice).ok_or(BadOffer::NoAudio)?;
        let (media, said) = sections.get(taken).ok_or(BadOffer::NoAudio)?;
        if session.lite || said.lite {
            return Err(BadOffer::IceLite);
        }
        if !said.mux {
            return Err(BadOffer::NoMux);
        }
        let ice = said.ice(&session).ok_or(BadOffer::NoIce)?;
        let fingerprint = said.fingerprint.clone().or(session.fingerprint.clone());
        let role = match said.setup.or(session.setup) {
            // RFC 8842 section 5.3: the answerer had better begin.
            Some("actpass" | "passive") => Role::Active,
            Some("active") => Role::Passive,
            _ => return Err(BadOffer::NoSetup),
        };
        let direction = said.direction.or(session.direction).unwrap_or("sendrecv");
        let mut candidates = said.candidates.clone();
        candidates.extend(session.candidates.iter().take(PATHS_MAX - candidates.len().min(PATHS_MAX)));
        Ok(Offer {
            ice,
            candidates,
            fingerprint: fingerprint.ok_or(BadOffer::NoFingerprint)?,
            role,
            formats: formats(media, said),
            sources: said.sources.clone(),
            sends: matches!(direction, "sendrecv" | "sendonly"),
            receives: matches!(direction, "sendrecv" | "recvonly"),
            sections: all,
            taken,
            bundled: session.bundle,
        })
    }
}

impl Section {
    fn of(media: &str, said: &Said<'_>) -> Section {
        let mut words = media.split_ascii_whitespace();
        let mut word = || words.next().unwrap_or_default().chars().take(32).collect::<String>();
        let (media, port, protocol, first_format) = (word(), word(), word(), word());
        let mid = said.mid.filter(|mid| mid.len() <= MID_BYTES_MAX).map(str::to_owned);
        let open = port != "0" || said.bundle_only;
        Section { media, protocol, first_format, mid, open }
    }

    fn is_voice(&self) -> bool {
        self.open && self.media == "audio" && self.protocol == "UDP/TLS/RTP/SAVPF"
    }
}

/// The formats in the order of the media line. A static payload type needs no map (RFC 3551 section 6).
fn formats(media: &str, said: &Said<'_>) -> Vec<Format> {
    let numbers = media.split_ascii_whitespace().skip(3).take(FORMATS_MAX);
    let numbers = numbers.filter_map(|number| number.parse::<u8>().ok()).filter(|number| *number < 128);
    let one = |number: u8| {
        let mapped = said.maps.iter().find(|(known, _)| *known == number).map(|(_, map)| *map);
        let map = mapped.or(match number {
            0 => Some("PCMU/8000"),
            8 => Some("PCMA/8000"),
            9 => Some("G722/8000"),
            13 => Some("CN/8000"),
            _ => None,
        })?;
        let mut parts = map.split('/');
        let (name, clock) = (parts.next()?, parts.next()?.parse().ok()?);
        let channels = parts.next().map_or(Some(1), |count| count.parse().ok())?;
        let parameters = said.parameters.iter().find(|(known, _)| *known == number);
        let parameters = parameters.map(|(_, text)| (*text).to_owned()).unwrap_or_default();
        Some(Format { payload_type: number, name: name.to_owned(), clock, channels, parameters })
    };
    numbers.filter_map(one).collect()
}

/// Our half of ICE: all that is said again when ICE begins anew.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    /// What proves it.
    pub ice: &'a Credentials,
    /// Where we are.
    pub at: Here,
}

/// Where browsers reach us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Here {
    /// With datagrams.
    pub udp: SocketAddr,
    /// Where they may connect, if no datagram comes through.
    pub tcp: Option<SocketAddr>,
}

/// RFC 8445 section 5.1.2.1: a host candidate of the first component, better than any other of ours.
const UDP_PRIORITY: u32 = (126 << 24) | (65_535 << 8) | 255;

/// RFC 6544 section 4.2: a passive one, for whoever has no better. The type's preference is Chromium's.
const TCP_PRIORITY: u32 = (90 << 24) | (((4 << 13) | 8191) << 8) | 255;

/// What we answer with.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// How we are reached.
    pub way: Way<'a>,
    /// Our certificate.
    pub fingerprint: &'a Fingerprint,
    /// The formats that we speak, best first.
    pub formats: &'a [Format],
    /// Milliseconds of sound in a packet.
    pub ptime_ms: u8,
    /// A number of this session, the same for its whole life.
    pub session: u64,
    /// The source of what we send, and its lasting name (RFC 5576 sections 4.1 and 6.1). Browsers take a source that
    /// nobody has named for that of the only section; others do not.
    pub source: (u32, &'a str),
}

impl Answer<'_> {
    /// The answer to `offer`.
    pub fn write(&self, offer: &Offer) -> String {
        let mut sdp = String::with_capacity(1024);
        let origin = self.way.at.udp.ip();
        // A name for the session, nothing that is listened to (RFC 8829 section 5.2.1 would hide the address; ours is public).
        let _ = write!(
            sdp,
            "v=0\r\no=- {} 1 IN {} {origin}\r\ns=-\r\nt=0 0\r\n",
            self.session,
            address_kind(origin)
        );
        let mid = offer.sections.get(offer.taken).and_then(|section| section.mid.as_deref());
        if let (true, Some(mid)) = (offer.bundled, mid) {
            let _ = write!(sdp, "a=group:BUNDLE {mid}\r\n");
        }
        sdp.push_str("a=msid-semantic: WMS *\r\n");
        for (at, section) in offer.sections.iter().enumerate() {
            if at == offer.taken {
                self.write_voice(&mut sdp, offer, mid);
            } else {
                let _ = write!(
                    sdp,
                    "m={} 0 {} {}\r\nc=IN IP4 0.0.0.0\r\n",
                    section.media, section.protocol, section.first_format
                );
                if let Some(mid) = &section.mid {
                    let _ = write!(sdp, "a=mid:{mid}\r\n");
                }
                sdp.push_str("a=inactive\r\n");
            }
        }
        sdp
    }

    fn write_voice(&self, sdp: &mut String, offer: &Offer, mid: Option<&str>) {
        let at = self.way.at.udp;
        let numbers: String = self.formats.iter().map(|format| format!(" {}", format.payload_type)).collect();
        let _ = write!(sdp, "m=audio {} UDP/TLS/RTP/SAVPF{numbers}\r\n", at.port());
        let _ = write!(sdp, "c=IN {} {}\r\n", address_kind(at.ip()), at.ip());
        self.way.write(sdp);
        let setup = match offer.role {
            Role::Active => "active",
            Role::Passive => "passive",
        };
        let _ = write!(sdp, "a=fingerprint:{}\r\na=setup:{setup}\r\n", self.fingerprint);
        if let Some(mid) = mid {
            let _ = write!(sdp, "a=mid:{mid}\r\n");
        }
        let direction = match (offer.receives, offer.sends) {
            (true, true) => "sendrecv",
            (true, false) => "sendonly",
            (false, true) => "recvonly",
            (false, false) => "inactive",
        };
        let _ = write!(sdp, "a={direction}\r\na=msid:sidetone voice\r\na=rtcp-mux\r\n");
        for format in self.formats {
            let channels = if format.channels > 1 { format!("/{}", format.channels) } else { String::new() };
            let _ = write!(
                sdp,
                "a=rtpmap:{} {}/{}{channels}\r\n",
                format.payload_type, format.name, format.clock
            );
            if !format.parameters.is_empty() {
                let _ = write!(sdp, "a=fmtp:{} {}\r\n", format.payload_type, format.parameters);
            }
        }
        let _ = write!(sdp, "a=ptime:{}\r\n", self.ptime_ms);
        if offer.receives {
            let (ssrc, cname) = self.source;
            let _ = write!(sdp, "a=ssrc:{ssrc} cname:{cname}\r\n");
        }
    }
}

impl Way<'_> {
    /// Its lines.
    pub fn write(&self, sdp: &mut String) {
        let _ = write!(sdp, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", self.ice.ufrag, self.ice.pwd);
        let Here { udp, tcp } = self.at;
        let _ = write!(sdp, "a=candidate:1 1 udp {UDP_PRIORITY} {} {} typ host\r\n", udp.ip(), udp.port());
        if let Some(tcp) = tcp {
            let (ip, port) = (tcp.ip(), tcp.port());
            let _ =
                write!(sdp, "a=candidate:2 1 tcp {TCP_PRIORITY} {ip} {port} typ host tcptype passive\r\n");
        }
        sdp.push_str("a=end-of-candidates\r\n");
    }
}

fn address_kind(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "IP4" } else { "IP6" }
}

/// A piece of a description that comes later (RFC 8840): more candidates, or new credentials with which ICE begins anew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fragment {
    /// The credentials that it is for.
    pub ice: Option<Credentials>,
    /// The addresses that it adds.
    pub candidates: Vec<SocketAddr>,
}

impl Fragment {
    /// Reads a fragment. `None` if it is none: too long, with a line of another kind, or with half of the credentials.
    pub fn read(text: &str) -> Option<Fragment> {
        if text.len() > OFFER_BYTES_MAX {
            return None;
        }
        let mut said = Said::default();
        for line in text.split('\n').map(|line| line.trim_end_matches('\r')) {
            match line.split_once('=') {
                Some(("a", attribute)) => said.read(attribute),
                Some(("m", _)) => {}
                None if line.is_empty() => {}
                _ => return None,
            }
        }
        let ice = match (said.ufrag, said.pwd) {
            (Some(ufrag), Some(pwd)) => Some(credentials(ufrag, pwd)?),
            (None, None) => None,
            _ => return None,
        };
        Some(Fragment { ice, candidates: said.candidates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Chromium writes it, shortened.
    pub(super) const CHROMIUM: &str = "v=0\r\no=- 4611 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
        a=extmap-allow-mixed\r\na=msid-semantic: WMS 5a\r\nm=audio 61000 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\n\
        c=IN IP4 192.0.2.5\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
        a=candidate:1 1 udp 2122260223 192.0.2.5 61000 typ host generation 0 network-id 1\r\n\
        a=candidate:2 1 udp 2122194687 0f1d2c3b.local 61001 typ host generation 0\r\n\
        a=candidate:3 1 tcp 1518280447 192.0.2.5 9 typ host tcptype active\r\n\
        a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=ice-options:trickle\r\n\
        a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
        a=setup:actpass\r\na=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=sendrecv\r\n\
        a=msid:5a 6b\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n\
        a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n\
        a=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:13 CN/8000\r\n\
        a=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 telephone-event/8000\r\n\
        a=ssrc:2345678901 cname:xyz\r\na=ssrc:2345678901 msid:5a 6b\r\n";

    #[test]
    fn an_offer_of_a_browser_is_read() {
        let offer = Offer::read(CHROMIUM).unwrap();
        assert_eq!(offer.ice.ufrag, "abcd");
        assert_eq!(offer.candidates, ["192.0.2.5:61000".parse::<SocketAddr>().unwrap()]);
        assert_eq!((offer.role, offer.sends, offer.receives), (Role::Active, true, true));
        assert_eq!(offer.sources, [2_345_678_901]);
        let numbers: Vec<u8> = offer.formats.iter().map(|format| format.payload_type).collect();
        assert_eq!(numbers, [111, 63, 9, 0, 8, 13, 110, 126]);
        assert_eq!((offer.formats[0].clock, offer.formats[0].channels), (48_000, 2));
        assert_eq!(offer.formats[0].parameters, "minptime=10;useinbandfec=1");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (without, error) in [
            ("v=0\r\n", BadOffer::NotSdp),
            ("a=ice-ufrag:abcd\r\n", BadOffer::NoIce),
            ("a=rtcp-mux\r\n", BadOffer::NoMux),
            ("a=setup:actpass\r\n", BadOffer::NoSetup),
            ("a=fingerprint:sha-256 00", BadOffer::NoFingerprint),
            ("m=audio 61000 UDP/TLS/RTP/SAVPF", BadOffer::NoAudio),
        ] {
            assert!(CHROMIUM.contains(without));
            assert_eq!(Offer::read(&CHROMIUM.replace(without, "x=")), Err(error), "{without}");
        }
        let lite = CHROMIUM.replace("a=extmap-allow-mixed", "a=ice-lite");
        assert_eq!(Offer::read(&lite), Err(BadOffer::IceLite));
        assert_eq!(Offer::read(&"v=0\n".repeat(OFFER_BYTES_MAX)), Err(BadOffer::TooLong));
    }

    #[test]
    fn the_answer_takes_one_voice_and_refuses_the_rest() {
        let more = format!(
            "{CHROMIUM}m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=rtcp-mux\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n"
        );
        let offer = Offer::read(&more).unwrap();
        let ice = Credentials { ufrag: "wxyz".into(), pwd: "0123456789012345678901".into() };
        let answer = Answer {
            way: Way { ice: &ice, at: Here { udp: "203.0.113.7:7000".parse().unwrap(), tcp: None } },
            fingerprint: &offer.fingerprint,
            formats: &offer.formats[3..4],
            ptime_ms: 20,
            session: 7,
            source: (0xbeef, "leg_7"),
        };
        let sdp = answer.write(&offer);
        insta::assert_snapshot!(sdp.replace("\r\n", "\n"));
        let tcp = Here { tcp: Some("203.0.113.8:443".parse().unwrap()), ..answer.way.at };
        let both = Answer { way: Way { at: tcp, ..answer.way }, ..answer };
        let candidates = |sdp: &str| -> Vec<String> {
            sdp.lines().filter_map(|line| line.strip_prefix("a=candidate:")).map(str::to_owned).collect()
        };
        let [udp, tcp] = &candidates(&both.write(&offer))[..] else { panic!("two candidates") };
        assert_eq!(candidates(&sdp), std::slice::from_ref(udp));
        assert_eq!(tcp, "2 1 tcp 1520435199 203.0.113.8 443 typ host tcptype passive");
        let deaf = Offer::read(&more.replace("a=sendrecv", "a=sendonly")).unwrap();
        assert!(!answer.write(&deaf).contains("a=ssrc"), "who does not listen is sent nothing");
    }

    #[test]
    fn a_fragment_adds_candidates_or_begins_anew() {
        let more = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.9 4000 typ host\r\na=end-of-candidates\r\n";
        let fragment = Fragment::read(more).unwrap();
        assert_eq!(fragment.ice.unwrap().ufrag, "abcd");
        assert_eq!(fragment.candidates, ["192.0.2.9:4000".parse::<SocketAddr>().unwrap()]);
        assert_eq!(Fragment::read("a=candidate:1 1 udp 1 192.0.2.9 4000 typ host").unwrap().ice, None);
        for bad in ["hello", "a=ice-ufrag:abcd", "a=ice-ufrag:a\r\na=ice-pwd:b"] {
            assert_eq!(Fragment::read(bad), None, "{bad}");
        }
    }
}
