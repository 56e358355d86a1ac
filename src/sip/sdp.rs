//! Session descriptions (RFC 8866): what we use is typed, the rest is read over or kept as it came.
//!
//! Reading is lenient about line ends, missing `s=` and `t=` and lines nobody needs. Writing is by `Display`, with CRLF.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use thiserror::Error;

use super::uri::Host;

/// Longest description read, in octets. Offers with a dozen codecs and ICE candidates stay below 4 KiB.
pub const MAX_SDP_BYTES: usize = 16 * 1024;
/// Most lines read.
pub const MAX_SDP_LINES: usize = 512;
/// Most m-lines; a video conference endpoint sends four.
pub const MAX_MEDIA: usize = 16;
/// Most formats in one m-line: there are 128 payload types.
pub const MAX_FORMATS: usize = 128;

/// A session description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdp {
    /// `o=`
    pub origin: Origin,
    /// `s=`
    pub name: String,
    /// Session-level `c=`, for media without their own.
    pub connection: Option<Host>,
    /// Session-level `a=`, in order.
    pub attributes: Vec<Attribute>,
    /// The m-lines, in order.
    pub media: Vec<Media>,
}

/// `o=`: who made the description, and which version of it this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// User name, `-` for none.
    pub user: String,
    /// Session id, digits of any length.
    pub session: String,
    /// Version, digits of any length.
    pub version: String,
    /// Address of the maker; not where media goes.
    pub host: Host,
}

/// One `a=` line. Debug does not show keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// What precedes the colon.
    pub name: String,
    /// What follows it.
    pub value: Option<String>,
}

/// One m-line with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, `application`, ...
    pub kind: String,
    /// The port; 0 refuses or removes the stream.
    pub port: u16,
    /// `RTP/AVP`, `RTP/SAVP`, ...
    pub protocol: String,
    /// The formats, for RTP payload types.
    pub formats: Vec<String>,
    /// The `c=` of this m-line.
    pub connection: Option<Host>,
    /// The `a=` lines, in order. `a=crypto` is among them, as it came.
    pub attributes: Vec<Attribute>,
}

/// One `a=rtpmap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpMap<'a> {
    /// The payload type.
    pub payload_type: u8,
    /// The encoding name, to be compared without case.
    pub encoding: &'a str,
    /// The RTP clock in Hz.
    pub clock: u32,
    /// Channels, 1 when not said.
    pub channels: u8,
}

/// Which way media flows, as the one who says it sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// We send only: the peer is on hold and hears our music.
    SendOnly,
    /// We receive only.
    RecvOnly,
    /// Neither way.
    Inactive,
}

/// Why octets are no session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SdpError {
    /// A limit of this module was passed.
    #[error("session description too large")]
    TooLarge,
    /// The first line is not `v=0`.
    #[error("session description without v=0")]
    Version,
    /// A line is not `letter=value`, or one that we need is malformed. Lines count from 1.
    #[error("session description malformed in line {0}")]
    Line(usize),
    /// There is no `o=`.
    #[error("session description without origin")]
    Origin,
}

impl Sdp {
    /// Reads a description. Octets that are not UTF-8 are replaced.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        if body.len() > MAX_SDP_BYTES {
            return Err(SdpError::TooLarge);
        }
        let text = String::from_utf8_lossy(body);
        let mut lines = text.lines().map(|line| line.trim_end_matches('\r')).enumerate();
        if lines.next().map(|(_, line)| line.trim_end()) != Some("v=0") {
            return Err(SdpError::Version);
        }
        let mut origin = None;
        let mut sdp = Self::empty();
        for (i, line) in lines {
            if i >= MAX_SDP_LINES {
                return Err(SdpError::TooLarge);
            }
            if line.trim().is_empty() {
                continue;
            }
            let malformed = SdpError::Line(i + 1);
            let (kind, value) = match line.as_bytes() {
                [kind, b'=', ..] if kind.is_ascii_alphabetic() => (*kind, line[2..].trim_end()),
                _ => return Err(malformed),
            };
            if kind == b'm' && sdp.media.len() == MAX_MEDIA {
                return Err(SdpError::TooLarge);
            }
            match (kind, sdp.media.last_mut()) {
                (b'o', _) => origin = Some(Origin::parse(value).ok_or(malformed)?),
                (b's', None) => sdp.name = value.to_owned(),
                (b'c', Some(media)) => media.connection = Some(parse_connection(value).ok_or(malformed)?),
                (b'c', None) => sdp.connection = Some(parse_connection(value).ok_or(malformed)?),
                (b'a', Some(media)) => media.attributes.push(Attribute::parse(value)),
                (b'a', None) => sdp.attributes.push(Attribute::parse(value)),
                (b'm', _) => sdp.media.push(Media::parse(value).ok_or(malformed)?),
                // Time, bandwidth, keys, and what is yet to come.
                _ => {}
            }
        }
        sdp.origin = origin.ok_or(SdpError::Origin)?;
        Ok(sdp)
    }

    fn empty() -> Self {
        let host = Host::V4(std::net::Ipv4Addr::UNSPECIFIED);
        let zero = || String::from("0");
        Self {
            origin: Origin { user: "-".into(), session: zero(), version: zero(), host },
            name: "-".into(),
            connection: None,
            attributes: Vec::new(),
            media: Vec::new(),
        }
    }

    /// The address for an m-line: its own `c=` or that of the session.
    pub fn host_of<'a>(&'a self, media: &'a Media) -> Option<&'a Host> {
        media.connection.as_ref().or(self.connection.as_ref())
    }

    /// The direction of an m-line: its own attribute, that of the session, or sendrecv.
    pub fn direction_of(&self, media: &Media) -> Direction {
        let own = media.attributes.iter().find_map(Attribute::direction);
        own.or_else(|| self.attributes.iter().find_map(Attribute::direction)).unwrap_or_default()
    }

    /// The octets, as a message body.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from(self.to_string())
    }
}

impl Origin {
    fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let [user, session, version] = [words.next()?, words.next()?, words.next()?];
        let digits = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        if !digits(session) || !digits(version) {
            return None;
        }
        let (_net, kind, address) = (words.next()?, words.next()?, words.next()?);
        let host = parse_host(kind, address)?;
        Some(Self { user: user.into(), session: session.into(), version: version.into(), host })
    }
}

impl Attribute {
    /// `a=name` or `a=name:value`.
    pub fn new(name: &str, value: Option<String>) -> Self {
        Self { name: name.to_owned(), value }
    }

    fn parse(line: &str) -> Self {
        match line.split_once(':') {
            Some((name, value)) => Self::new(name.trim(), Some(value.trim().to_owned())),
            None => Self::new(line.trim(), None),
        }
    }

    fn direction(&self) -> Option<Direction> {
        [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
            .into_iter()
            .find(|d| d.as_str().eq_ignore_ascii_case(&self.name))
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match &self.value {
            Some(_) if self.name.eq_ignore_ascii_case("crypto") => Some("redacted"),
            value => value.as_deref(),
        };
        f.debug_struct("Attribute").field("name", &self.name).field("value", &value).finish()
    }
}

impl Media {
    fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let (kind, port, protocol) = (words.next()?, words.next()?, words.next()?);
        // `port/count` offers several ports; the first is the one we can use.
        let port = port.split_once('/').map_or(port, |(port, _)| port).parse().ok()?;
        let formats: Vec<String> = words.take(MAX_FORMATS).map(str::to_owned).collect();
        Some(Self {
            kind: kind.into(),
            port,
            protocol: protocol.into(),
            formats,
            connection: None,
            attributes: Vec::new(),
        })
    }

    /// Whether this is `audio`.
    pub fn is_audio(&self) -> bool {
        self.kind.eq_ignore_ascii_case("audio")
    }

    /// The values of all attributes of this name.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.attributes
            .iter()
            .filter(move |a| a.name.eq_ignore_ascii_case(name))
            .map(|a| a.value.as_deref().unwrap_or_default())
    }

    /// Whether an attribute of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|a| a.name.eq_ignore_ascii_case(name))
    }

    /// The `a=rtpmap` of a payload type.
    pub fn rtpmap(&self, payload_type: u8) -> Option<RtpMap<'_>> {
        self.values("rtpmap").filter_map(RtpMap::parse).find(|map| map.payload_type == payload_type)
    }

    /// The `a=fmtp` text of a payload type.
    pub fn fmtp(&self, payload_type: u8) -> Option<&str> {
        self.values("fmtp").find_map(|value| {
            let (number, text) = value.split_once(' ')?;
            (number.parse() == Ok(payload_type)).then(|| text.trim())
        })
    }

    /// `a=ptime` in ms. Some write `20.0`.
    pub fn ptime(&self) -> Option<u16> {
        self.values("ptime").find_map(parse_millis)
    }

    /// `a=maxptime` in ms.
    pub fn maxptime(&self) -> Option<u16> {
        self.values("maxptime").find_map(parse_millis)
    }

    /// `a=rtcp` (RFC 3605): the port, and the host when it is not that of the media.
    pub fn rtcp(&self) -> Option<(u16, Option<Host>)> {
        self.values("rtcp").find_map(|value| {
            let mut words = value.split_ascii_whitespace();
            let port = words.next()?.parse().ok().filter(|&port| port != 0)?;
            let host = match (words.next(), words.next(), words.next()) {
                (Some(_), Some(kind), Some(address)) => Some(parse_host(kind, address)?),
                _ => None,
            };
            Some((port, host))
        })
    }

    /// `a=rtcp-mux` (RFC 5761).
    pub fn rtcp_mux(&self) -> bool {
        self.has("rtcp-mux")
    }

    /// The `a=crypto` values as they came (RFC 4568). They hold keys: never log them.
    pub fn cryptos(&self) -> impl Iterator<Item = &str> {
        self.values("crypto")
    }
}

impl<'a> RtpMap<'a> {
    fn parse(value: &'a str) -> Option<Self> {
        let (number, coding) = value.split_once(' ')?;
        let mut parts = coding.trim().split('/');
        let (encoding, clock) = (parts.next()?, parts.next()?.trim().parse().ok()?);
        let channels = parts.next().and_then(|c| c.trim().parse().ok()).unwrap_or(1);
        Some(Self { payload_type: number.trim().parse().ok()?, encoding, clock, channels })
    }
}

impl Direction {
    /// Of two flags.
    pub const fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the one who says it sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the one who says it receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same as the other side sees it.
    pub const fn reversed(self) -> Self {
        Self::of(self.receives(), self.sends())
    }

    /// What both allow; both seen from the same side.
    pub const fn and(self, other: Self) -> Self {
        Self::of(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// The attribute's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

impl fmt::Display for Sdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { user, session, version, host } = &self.origin;
        let (user, name) = (OneLine(user), OneLine(&self.name));
        write!(f, "v=0\r\no={user} {session} {version} {}\r\ns={name}\r\n", Connection(host))?;
        if let Some(host) = &self.connection {
            write!(f, "c={}\r\n", Connection(host))?;
        }
        f.write_str("t=0 0\r\n")?;
        write_attributes(f, &self.attributes)?;
        for media in &self.media {
            let (kind, protocol) = (OneLine(&media.kind), OneLine(&media.protocol));
            write!(f, "m={kind} {} {protocol}", media.port)?;
            for format in &media.formats {
                write!(f, " {}", OneLine(format))?;
            }
            f.write_str("\r\n")?;
            if let Some(host) = &media.connection {
                write!(f, "c={}\r\n", Connection(host))?;
            }
            write_attributes(f, &media.attributes)?;
        }
        Ok(())
    }
}

fn write_attributes(f: &mut fmt::Formatter<'_>, attributes: &[Attribute]) -> fmt::Result {
    for Attribute { name, value } in attributes {
        match value {
            Some(value) => write!(f, "a={}:{}\r\n", OneLine(name), OneLine(value))?,
            None => write!(f, "a={}\r\n", OneLine(name))?,
        }
    }
    Ok(())
}

/// Text without the characters that would begin another line.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.split(['\r', '\n', '\0']).try_for_each(|piece| f.write_str(piece))
    }
}

struct Connection<'a>(&'a Host);

impl fmt::Display for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // A name says nothing of its family; RFC 8866 wants one, and IP4 is what every reader knows.
            Host::Name(name) => write!(f, "IN IP4 {name}"),
            Host::V4(address) => write!(f, "IN IP4 {address}"),
            Host::V6(address) => write!(f, "IN IP6 {address}"),
        }
    }
}

fn parse_connection(value: &str) -> Option<Host> {
    let mut words = value.split_ascii_whitespace();
    let (net, kind, address) = (words.next()?, words.next()?, words.next()?);
    net.eq_ignore_ascii_case("IN").then(|| parse_host(kind, address))?
}

/// An address with its family; `/ttl` and `/count` of multicast are left out.
fn parse_host(kind: &str, address: &str) -> Option<Host> {
    let address = address.split_once('/').map_or(address, |(address, _)| address);
    if kind.eq_ignore_ascii_case("IP6") {
        // Never in brackets here, unlike in URIs; some write them all the same.
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Some(Host::V6(address));
        }
    } else if !kind.eq_ignore_ascii_case("IP4") {
        return None;
    }
    address.parse().ok()
}

fn parse_millis(value: &str) -> Option<u16> {
    let whole = value.split_once('.').map_or(value, |(whole, _)| whole);
    whole.trim().parse().ok().filter(|&ms| ms != 0)
}

/// A socket address from a host that is an address, unless the port is 0.
pub(super) fn socket_address(host: &Host, port: u16) -> Option<SocketAddr> {
    let ip: IpAddr = host.ip()?;
    (port != 0).then_some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: &str = "v=0\r\no=- 13357 99999999999999999999999 IN IP6 2001:db8::1\r\ns=\r\n\
        c=IN IP6 2001:db8::7\r\nb=AS:84\r\nt=0 0\r\na=sendonly\r\n\
        m=audio 49170/2 RTP/AVP 0 101 x\r\na=rtpmap:0 pcmu/8000/1\r\na=rtpmap:101 telephone-event/8000\r\n\
        a=fmtp:101 0-16,66\r\na=ptime:20.0\r\na=maxptime:150\r\na=rtcp:53020 IN IP4 126.16.64.4\r\na=rtcp-mux\r\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:xyz|2^20\r\n\
        m=video 0 RTP/AVP 31\r\nc=IN IP4 224.2.1.1/127/3\r\na=inactive\r\n";

    #[test]
    fn what_a_phone_says_is_read() {
        let sdp = Sdp::parse(PHONE.as_bytes()).unwrap();
        let [audio, video] = &sdp.media[..] else { panic!("{sdp:?}") };
        assert_eq!((audio.port, audio.protocol.as_str(), audio.formats.len()), (49170, "RTP/AVP", 3));
        let map = audio.rtpmap(0).unwrap();
        assert_eq!((map.encoding, map.clock, map.channels), ("pcmu", 8000, 1));
        assert_eq!(audio.rtpmap(8), None);
        assert_eq!(audio.fmtp(101), Some("0-16,66"));
        assert_eq!((audio.ptime(), audio.maxptime(), audio.rtcp_mux()), (Some(20), Some(150), true));
        assert_eq!(audio.rtcp(), Some((53020, Some("126.16.64.4".parse().unwrap()))));
        assert_eq!(audio.cryptos().collect::<Vec<_>>(), ["1 AES_CM_128_HMAC_SHA1_80 inline:xyz|2^20"]);
        assert_eq!(sdp.host_of(audio).and_then(Host::ip), Some("2001:db8::7".parse().unwrap()));
        assert_eq!(sdp.host_of(video).and_then(Host::ip), Some("224.2.1.1".parse().unwrap()));
        assert_eq!(sdp.direction_of(audio), Direction::SendOnly);
        assert_eq!(sdp.direction_of(video), Direction::Inactive);
    }

    #[test]
    fn writing_and_reading_again_gives_the_same() {
        let sdp = Sdp::parse(PHONE.as_bytes()).unwrap();
        assert_eq!(Sdp::parse(&sdp.to_bytes()).unwrap(), sdp);
    }

    #[test]
    fn a_value_cannot_begin_a_line_of_its_own() {
        let mut sdp = Sdp::parse(PHONE.as_bytes()).unwrap();
        sdp.name = "a\r\nm=audio 1 RTP/AVP 0".into();
        assert_eq!(Sdp::parse(&sdp.to_bytes()).unwrap().media.len(), 2);
    }

    #[test]
    fn line_feeds_and_missing_lines_are_tolerated_nonsense_is_not() {
        let short = "v=0\no=- 1 1 IN IP4 192.0.2.1\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\n\n";
        assert_eq!(Sdp::parse(short.as_bytes()).unwrap().media[0].port, 4000);
        for (bad, why) in [
            ("", SdpError::Version),
            ("v=1\r\n", SdpError::Version),
            ("v=0\r\ns=-\r\n", SdpError::Origin),
            ("v=0\r\no=- x 1 IN IP4 192.0.2.1\r\n", SdpError::Line(2)),
            ("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm =audio 1 RTP/AVP 0\r\n", SdpError::Line(3)),
            ("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio 70000 RTP/AVP 0\r\n", SdpError::Line(3)),
            ("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nc=IN IP4\r\n", SdpError::Line(3)),
        ] {
            assert_eq!(Sdp::parse(bad.as_bytes()), Err(why), "{bad:?}");
        }
        let lines = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n".to_owned() + &"a=x\r\n".repeat(MAX_SDP_LINES);
        assert_eq!(Sdp::parse(lines.as_bytes()), Err(SdpError::TooLarge));
        let media = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n".to_owned()
            + &"m=audio 0 RTP/AVP 0\r\n".repeat(MAX_MEDIA + 1);
        assert_eq!(Sdp::parse(media.as_bytes()), Err(SdpError::TooLarge));
    }

    #[test]
    fn directions_turn_round_and_meet() {
        for d in [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive] {
            assert_eq!(d.reversed().reversed(), d);
            assert_eq!(d.and(Direction::SendRecv), d);
            assert_eq!(d.and(Direction::Inactive), Direction::Inactive);
        }
        assert_eq!(Direction::SendOnly.reversed(), Direction::RecvOnly);
        assert_eq!(Direction::SendOnly.and(Direction::RecvOnly), Direction::Inactive);
    }
}
