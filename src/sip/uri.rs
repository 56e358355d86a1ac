//! SIP, SIPS and tel URIs: kept as they came, with parsed views.
//!
//! A [`Uri`] holds the received octets and the places of its parts. Writing it back gives the same octets, which is
//! how Microsoft's opaque parameters survive; comparing two is a separate question (RFC 3261 section 19.1.4).

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use bytes::Bytes;
use thiserror::Error;

use super::text::Text;

mod equivalent;
mod escape;
mod host;

pub use escape::{escape_header, unescape};
use escape::{escape_into, is_param_char, is_user_char};
pub use host::Host;
pub(super) use host::parse_port;

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

fn split_params(text: &str, separator: char) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split(separator).filter(|p| !p.is_empty()).map(|p| match p.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (p, None),
    })
}

#[cfg(test)]
mod tests;
