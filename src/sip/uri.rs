//! SIP, SIPS and tel URIs: kept as they came, with parsed views.
//!
//! A [`Uri`] holds the received octets and the places of its parts. Writing it back gives the same octets, which is
//! how Microsoft's opaque parameters survive; comparing two is a separate question (RFC 3261 section 19.1.4).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use bytes::Bytes;
use thiserror::Error;

use super::text::Text;

/// Longest URI accepted, in octets. Teams sends Contacts of about 500; RFC 4475's longest is 400.
pub const MAX_URI_BYTES: usize = 8 * 1024;

/// Most parameters of one URI; comparing two looks each of them up. Teams sends up to six.
pub const MAX_URI_PARAMS: usize = 64;

/// A URI exactly as received or as constructed here.
///
/// `==` compares octets. For "the same resource" use [`Uri::equivalent`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    raw: Text,
    parts: Parts,
}

/// Where the parts lie in the raw octets. Ranges are (start, end); absent parts are `None`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Parts {
    scheme: Scheme,
    user: Option<(u16, u16)>,
    password: Option<(u16, u16)>,
    host: Option<(u16, u16)>,
    port: Option<u16>,
    /// After the first `;`, up to `?` or the end.
    params: (u16, u16),
    /// After `?`.
    headers: Option<(u16, u16)>,
}

/// What precedes the first colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966)
    Tel,
    /// Anything else; only the raw octets are offered.
    Other,
}

/// A host as it appears in URIs and Via: a name or an address. Names compare without regard to case.
#[derive(Debug, Clone, Eq)]
pub enum Host {
    /// A domain name.
    Name(Text),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
}

/// Why octets are not a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UriError {
    /// Longer than [`MAX_URI_BYTES`], or with more than [`MAX_URI_PARAMS`] parameters.
    #[error("URI too long")]
    TooLong,
    /// No `scheme:` in front.
    #[error("URI without scheme")]
    Scheme,
    /// Blanks, control characters, `<`, `>`, `"` or bytes that are not UTF-8.
    #[error("URI with forbidden character")]
    Character,
    /// The host is empty or not a name, IPv4 address or bracketed IPv6 address.
    #[error("URI with malformed host")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("URI with malformed port")]
    Port,
    /// A parameter without a name, or nothing after `tel:`.
    #[error("URI with an empty part")]
    Empty,
}

impl Uri {
    /// Reads a URI; the buffer is shared, not copied.
    pub fn parse(raw: Bytes) -> Result<Self, UriError> {
        if raw.len() > MAX_URI_BYTES {
            return Err(UriError::TooLong);
        }
        if raw.iter().any(|&b| b <= b' ' || b == 0x7f || matches!(b, b'<' | b'>' | b'"')) {
            return Err(UriError::Character);
        }
        let raw = Text::new(raw).ok_or(UriError::Character)?;
        let parts = Parts::find(&raw)?;
        Ok(Self { raw, parts })
    }

    /// `sip:user@host:port`. The user part is escaped as RFC 3261 section 25.1 asks.
    pub fn sip(user: Option<&str>, host: &Host, port: Option<u16>) -> Result<Self, UriError> {
        let mut text = String::from("sip:");
        if let Some(user) = user {
            escape_into(&mut text, user, is_user_char);
            text.push('@');
        }
        text.push_str(&host.to_string());
        if let Some(port) = port {
            text.push(':');
            text.push_str(&port.to_string());
        }
        Self::parse(Bytes::from(text))
    }

    /// `sip:user@address:port`.
    pub fn sip_at(user: Option<&str>, at: SocketAddr) -> Result<Self, UriError> {
        Self::sip(user, &Host::from(at.ip()), Some(at.port()))
    }

    /// The same URI with `;name` or `;name=value` added behind its parameters, escaped where needed. A parameter of
    /// that name already there is left alone: first wins, as for every reader.
    pub fn with_param(&self, name: &str, value: Option<&str>) -> Result<Self, UriError> {
        let (head, tail) = match self.parts.headers {
            Some((start, _)) => self.raw.split_at(usize::from(start).saturating_sub(1)),
            None => (self.raw.as_str(), ""),
        };
        let mut text = String::with_capacity(self.raw.len() + name.len() + 16);
        text.push_str(head);
        text.push(';');
        escape_into(&mut text, name, is_param_char);
        if let Some(value) = value {
            text.push('=');
            escape_into(&mut text, value, is_param_char);
        }
        text.push_str(tail);
        Self::parse(Bytes::from(text))
    }

    /// The same URI without its `?headers`, as a Request-URI must be.
    pub fn without_headers(&self) -> Self {
        let Some((start, _)) = self.parts.headers else { return self.clone() };
        let end = usize::from(start).saturating_sub(1);
        let raw = Text::new(self.raw.as_bytes().slice(..end)).unwrap_or_default();
        Self { raw, parts: Parts { headers: None, ..self.parts } }
    }

    /// The URI as it came.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// The URI as it came, sharing the buffer.
    pub fn raw(&self) -> &Text {
        &self.raw
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.parts.scheme
    }

    /// Whether this is `sip:` or `sips:`.
    pub fn is_sip(&self) -> bool {
        matches!(self.parts.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The user part as written, without the password. For `tel:` the number as written.
    pub fn user(&self) -> Option<&str> {
        self.range(self.parts.user?)
    }

    /// The user part with `%HH` undone. Octets that are then not UTF-8 are replaced.
    pub fn user_unescaped(&self) -> Option<String> {
        Some(unescape(self.user()?))
    }

    /// The password part as written.
    pub fn password(&self) -> Option<&str> {
        self.range(self.parts.password?)
    }

    /// The host of a `sip:` or `sips:` URI.
    pub fn host(&self) -> Option<Host> {
        let (start, end) = self.parts.host?;
        Host::parse(&self.raw.as_bytes().slice(usize::from(start)..usize::from(end)))
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.parts.port
    }

    /// Parameters in order, as written: name and, after `=`, value.
    pub fn params(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        split_params(self.range(self.parts.params).unwrap_or_default(), ';')
    }

    /// The first parameter of this name (any case), as written. `Some(None)` is a parameter without value.
    pub fn param(&self, name: &str) -> Option<Option<&str>> {
        self.params().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// The value of the `transport` parameter.
    pub fn transport(&self) -> Option<&str> {
        self.param("transport").flatten()
    }

    /// Whether the `lr` parameter is there: the hop is a loose router (RFC 3261 section 16.4).
    pub fn is_loose_router(&self) -> bool {
        self.param("lr").is_some()
    }

    /// What follows `?`, as written.
    pub fn headers_part(&self) -> Option<&str> {
        self.range(self.parts.headers?)
    }

    /// The `?` headers in order, names and values with `%HH` undone (Refer-To carries Replaces this way).
    pub fn headers(&self) -> impl Iterator<Item = (String, String)> {
        split_params(self.headers_part().unwrap_or_default(), '&')
            .map(|(name, value)| (unescape(name), unescape(value.unwrap_or_default())))
    }

    /// Whether two URIs name the same resource: RFC 3261 section 19.1.4, for `tel:` RFC 3966 section 4; any other
    /// scheme octet by octet.
    pub fn equivalent(&self, other: &Self) -> bool {
        if self.raw == other.raw {
            return true;
        }
        if self.scheme() != other.scheme() {
            return false;
        }
        match self.scheme() {
            Scheme::Sip | Scheme::Sips => self.sip_equivalent(other),
            Scheme::Tel => self.tel_equivalent(other),
            Scheme::Other => false,
        }
    }

    fn sip_equivalent(&self, other: &Self) -> bool {
        same_part(self.user(), other.user(), Case::Matters)
            && same_part(self.password(), other.password(), Case::Matters)
            && self.host() == other.host()
            // RFC 3261 section 19.1.4: an omitted port does not match the default written out.
            && self.port() == other.port()
            && self.params_cover(other)
            && other.params_cover(self)
            && self.same_headers(other)
    }

    /// Every parameter here that the other also has must match; the five that change routing must be in both.
    fn params_cover(&self, other: &Self) -> bool {
        const IN_BOTH_OR_NEITHER: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
        self.params().all(|(name, value)| match other.param(name) {
            Some(theirs) => same_part(value, theirs, Case::Ignored),
            None => !IN_BOTH_OR_NEITHER.iter().any(|n| n.eq_ignore_ascii_case(name)),
        })
    }

    fn same_headers(&self, other: &Self) -> bool {
        let sorted = |uri: &Self| {
            let mut all: Vec<_> = uri.headers().map(|(n, v)| (n.to_ascii_lowercase(), v)).collect();
            all.sort();
            all
        };
        sorted(self) == sorted(other)
    }

    fn tel_equivalent(&self, other: &Self) -> bool {
        let digits = |uri: &Self| -> String {
            let number = uri.user().unwrap_or_default();
            number
                .chars()
                .filter(|c| !matches!(c, '-' | '.' | '(' | ')'))
                .map(|c| c.to_ascii_lowercase())
                .collect()
        };
        let params = |uri: &Self| -> Vec<(String, Option<String>)> {
            let lower = |text: &str| text.to_ascii_lowercase();
            let mut all: Vec<_> = uri.params().map(|(n, v)| (lower(n), v.map(lower))).collect();
            all.sort();
            all
        };
        digits(self) == digits(other) && params(self) == params(other)
    }

    fn range(&self, (start, end): (u16, u16)) -> Option<&str> {
        self.raw.get(usize::from(start)..usize::from(end))
    }
}

impl Parts {
    fn find(text: &str) -> Result<Self, UriError> {
        let colon = text.find(':').ok_or(UriError::Scheme)?;
        let name = &text[..colon];
        let lawful = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        if !lawful || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(UriError::Scheme);
        }
        let scheme = if name.eq_ignore_ascii_case("sip") {
            Scheme::Sip
        } else if name.eq_ignore_ascii_case("sips") {
            Scheme::Sips
        } else if name.eq_ignore_ascii_case("tel") {
            Scheme::Tel
        } else {
            Scheme::Other
        };
        match scheme {
            Scheme::Sip | Scheme::Sips => Self::find_sip(text, scheme, colon + 1),
            Scheme::Tel => Self::find_tel(text, colon + 1),
            Scheme::Other if text.len() == colon + 1 => Err(UriError::Empty),
            Scheme::Other => Ok(Self::empty(scheme)),
        }
    }

    fn empty(scheme: Scheme) -> Self {
        Self { scheme, user: None, password: None, host: None, port: None, params: (0, 0), headers: None }
    }

    fn find_sip(text: &str, scheme: Scheme, start: usize) -> Result<Self, UriError> {
        let mut parts = Self::empty(scheme);
        // The user part may hold `;` and `?` but no bare `@`, so the first `@` ends it (RFC 4475 section 3.1.1.9).
        let host_start = match text[start..].find('@') {
            None => start,
            Some(at) => {
                let at = start + at;
                let user_end = text[start..at].find(':').map_or(at, |colon| start + colon);
                parts.user = Some(span(start, user_end));
                if user_end < at {
                    parts.password = Some(span(user_end + 1, at));
                }
                at + 1
            }
        };
        let rest = &text[host_start..];
        let host_end = if rest.starts_with('[') {
            rest.find(']').map(|close| host_start + close + 1).ok_or(UriError::Host)?
        } else {
            host_start + rest.find([':', ';', '?']).unwrap_or(rest.len())
        };
        if Host::lawful(&text.as_bytes()[host_start..host_end]).is_none() {
            return Err(UriError::Host);
        }
        parts.host = Some(span(host_start, host_end));

        let mut at = host_end;
        if text[at..].starts_with(':') {
            let digits = &text[at + 1..];
            let end = digits.find([';', '?']).unwrap_or(digits.len());
            parts.port = Some(parse_port(&digits.as_bytes()[..end]).ok_or(UriError::Port)?);
            at += 1 + end;
        }
        parts.find_tail(text, at)?;
        Ok(parts)
    }

    fn find_tel(text: &str, start: usize) -> Result<Self, UriError> {
        let mut parts = Self::empty(Scheme::Tel);
        let end = text[start..].find(';').map_or(text.len(), |semicolon| start + semicolon);
        if end == start {
            return Err(UriError::Empty);
        }
        parts.user = Some(span(start, end));
        parts.find_tail(text, end)?;
        Ok(parts)
    }

    /// `;params?headers` from `at` to the end.
    fn find_tail(&mut self, text: &str, at: usize) -> Result<(), UriError> {
        let question = text[at..].find('?').map(|q| at + q);
        let params_end = question.unwrap_or(text.len());
        match text.as_bytes().get(at) {
            None | Some(b'?') => {}
            Some(b';') => {
                self.params = span(at + 1, params_end);
                if text[at + 1..params_end].split(';').nth(MAX_URI_PARAMS).is_some() {
                    return Err(UriError::TooLong);
                }
                if text[at + 1..params_end].split(';').any(|p| p.is_empty() || p.starts_with('=')) {
                    return Err(UriError::Empty);
                }
            }
            Some(_) => return Err(UriError::Host),
        }
        self.headers = question.map(|q| span(q + 1, text.len()));
        Ok(())
    }
}

/// Offsets fit: a URI is at most [`MAX_URI_BYTES`] long.
fn span(start: usize, end: usize) -> (u16, u16) {
    (start as u16, end as u16)
}

impl Host {
    /// Reads a host: `[v6]`, an IPv4 address or a name of letters, digits, `-`, `.` and the common slip `_`.
    pub fn parse(raw: &Bytes) -> Option<Self> {
        Some(match Self::lawful(raw)? {
            Kind::V4(address) => Self::V4(address),
            Kind::V6(address) => Self::V6(address),
            Kind::Name => Self::Name(Text::new(raw.clone())?),
        })
    }

    fn lawful(raw: &[u8]) -> Option<Kind> {
        let text = std::str::from_utf8(raw).ok()?;
        if let Some(inner) = text.strip_prefix('[') {
            return inner.strip_suffix(']')?.parse().ok().map(Kind::V6);
        }
        if text.starts_with(|c: char| c.is_ascii_digit())
            && let Ok(address) = text.parse()
        {
            return Some(Kind::V4(address));
        }
        let lawful = raw.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        (lawful && !raw.is_empty()).then_some(Kind::Name)
    }

    /// The address, when it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(IpAddr::V6(*address)),
        }
    }
}

enum Kind {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    Name,
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a.eq_ignore_ascii_case(b),
            (Self::V4(a), Self::V4(b)) => a == b,
            (Self::V6(a), Self::V6(b)) => a == b,
            _ => false,
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

impl FromStr for Host {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(&Bytes::copy_from_slice(text.as_bytes())).ok_or(UriError::Host)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::parse(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({})", self.raw)
    }
}

/// Reads a port from 1 to 65535.
pub(super) fn parse_port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|&port| port != 0)
}

fn split_params(text: &str, separator: char) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split(separator).filter(|p| !p.is_empty()).map(|p| match p.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (p, None),
    })
}

/// Undoes `%HH`. A `%` that is no escape stays as it is; octets that are not UTF-8 are replaced.
pub fn unescape(text: &str) -> String {
    let octets: Vec<u8> = Unescaped(text.as_bytes()).map(|(octet, _)| octet).collect();
    String::from_utf8(octets).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// Appends `text`, writing each octet for which `plain` is false as `%HH`.
fn escape_into(out: &mut String, text: &str, plain: fn(u8) -> bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for octet in text.bytes() {
        if plain(octet) {
            out.push(char::from(octet));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(octet >> 4)]));
            out.push(char::from(HEX[usize::from(octet & 15)]));
        }
    }
}

/// Escapes a value for the `?name=value` part of a URI.
pub fn escape_header(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 16);
    escape_into(&mut out, value, |b| {
        is_unreserved(b) || matches!(b, b'[' | b']' | b'/' | b':' | b'+' | b'$')
    });
    out
}

fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
}

fn is_user_char(b: u8) -> bool {
    is_unreserved(b) || matches!(b, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
}

fn is_param_char(b: u8) -> bool {
    is_unreserved(b) || matches!(b, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$')
}

/// Octets with `%HH` undone; the flag tells a reserved character that was escaped, which is not the same as the
/// bare character (RFC 3261 section 19.1.4).
struct Unescaped<'a>(&'a [u8]);

impl Iterator for Unescaped<'_> {
    type Item = (u8, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let (&first, rest) = self.0.split_first()?;
        let hex = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
        if first == b'%'
            && let [high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            self.0 = after;
            let octet = high << 4 | low;
            let reserved =
                matches!(octet, b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',');
            return Some((octet, reserved));
        }
        self.0 = rest;
        Some((first, false))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Case {
    Matters,
    Ignored,
}

fn same_part(a: Option<&str>, b: Option<&str>, case: Case) -> bool {
    let (a, b) = match (a, b) {
        (None, None) => return true,
        (Some(a), Some(b)) => (a, b),
        _ => return false,
    };
    let fold = |(octet, reserved): (u8, bool)| match case {
        Case::Matters => (octet, reserved),
        Case::Ignored => (octet.to_ascii_lowercase(), reserved),
    };
    Unescaped(a.as_bytes()).map(fold).eq(Unescaped(b.as_bytes()).map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn microsofts_opaque_parameters_come_back_as_they_were() {
        let raw = "sip:api-du-a-euwe.pstnhub.microsoft.com:443;x-i=9f0a%2d1;x-c=a/b:c;x-m=8:orgid:11-22/33;transport=TLS";
        let uri = uri(raw);
        assert_eq!(uri.to_string(), raw);
        assert_eq!(uri.param("X-M"), Some(Some("8:orgid:11-22/33")));
        assert_eq!(uri.transport(), Some("TLS"));
        assert_eq!((uri.user(), uri.port()), (None, Some(443)));
    }

    #[test]
    fn an_escaped_address_in_the_user_part_stays_in_the_user_part() {
        let uri = uri("sip:sips%3Auser%40example.com@example.net");
        assert_eq!(uri.user(), Some("sips%3Auser%40example.com"));
        assert_eq!(uri.user_unescaped().as_deref(), Some("sips:user@example.com"));
        assert_eq!(uri.host(), Some("example.net".parse().unwrap()));
    }

    #[test]
    fn hosts_are_names_or_addresses_with_optional_port() {
        let v6 = uri("sip:a:secret@[2001:db8::1]:5070;lr");
        assert_eq!(v6.host().and_then(|h| h.ip()), Some("2001:db8::1".parse().unwrap()));
        assert_eq!((v6.password(), v6.port(), v6.is_loose_router()), (Some("secret"), Some(5070), true));
        assert_eq!(uri("sip:192.0.2.1").host(), Some(Host::V4(Ipv4Addr::new(192, 0, 2, 1))));
        for (bad, why) in [
            ("sip:", UriError::Host),
            ("sip:@", UriError::Host),
            ("sip:a@[::1", UriError::Host),
            ("sip:a@b@c", UriError::Host),
            ("sip:a@[::1]x", UriError::Host),
            ("sip:h:0", UriError::Port),
            ("sip:h:65536", UriError::Port),
            ("sip:h:", UriError::Port),
            ("sip:h;;lr", UriError::Empty),
            ("sip:h;", UriError::Empty),
            ("tel:", UriError::Empty),
            ("x:", UriError::Empty),
            ("user@host", UriError::Scheme),
            ("5:x", UriError::Scheme),
            ("sip:a b@h", UriError::Character),
            ("<sip:h>", UriError::Character),
        ] {
            assert_eq!(bad.parse::<Uri>(), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_telephone_number_is_the_user_of_its_uri() {
        let tel = uri("tel:+49-30-1234;ext=7;phone-context=example.com");
        assert_eq!((tel.scheme(), tel.user()), (Scheme::Tel, Some("+49-30-1234")));
        assert_eq!(tel.param("ext"), Some(Some("7")));
        assert!(tel.equivalent(&uri("TEL:+49301234;phone-context=EXAMPLE.com;ext=7")));
        assert!(!tel.equivalent(&uri("tel:+49301235;ext=7;phone-context=example.com")));
    }

    #[test]
    fn rfc_3261_19_1_4_equal_pairs_are_equal_both_ways() {
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ] {
            assert!(uri(a).equivalent(&uri(b)) && uri(b).equivalent(&uri(a)), "{a} {b}");
        }
    }

    #[test]
    fn rfc_3261_19_1_4_unequal_pairs_differ_both_ways() {
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=off", "sip:carol@chicago.com;security=on"),
            ("sip:null-%00-null@example.com", "sip:null-%00%00-null@example.com"),
            ("sip:a;b@example.com", "sip:a%3Bb@example.com"),
            ("sip:a@example.com", "sips:a@example.com"),
        ] {
            assert!(!uri(a).equivalent(&uri(b)) && !uri(b).equivalent(&uri(a)), "{a} {b}");
        }
    }

    #[test]
    fn a_constructed_uri_escapes_what_could_break_out() {
        let host = "example.com".parse().unwrap();
        let made = Uri::sip(Some("a b>@\r\nX"), &host, Some(5060)).unwrap();
        assert_eq!(made.as_str(), "sip:a%20b%3E%40%0D%0AX@example.com:5060");
        assert_eq!(made.user_unescaped().as_deref(), Some("a b>@\r\nX"));
        let made = uri("sip:h?a=b").with_param("x y", Some("1;2")).unwrap();
        assert_eq!(made.as_str(), "sip:h;x%20y=1%3B2?a=b");
        assert_eq!(made.without_headers().as_str(), "sip:h;x%20y=1%3B2");
        let at = Uri::sip_at(None, "[::1]:5060".parse().unwrap()).unwrap();
        assert_eq!(at.as_str(), "sip:[::1]:5060");
    }

    #[test]
    fn a_refer_to_uri_yields_its_embedded_replaces() {
        let refer = uri("sip:b@h?Replaces=12%40x%3Bto-tag%3D1%3Bfrom-tag%3D2&Require=replaces");
        let all: Vec<_> = refer.headers().collect();
        assert_eq!(all[0], ("Replaces".into(), "12@x;to-tag=1;from-tag=2".into()));
        assert_eq!(all[1], ("Require".into(), "replaces".into()));
        assert_eq!(escape_header("12@x;to-tag=1"), "12%40x%3Bto-tag%3D1");
    }
}
