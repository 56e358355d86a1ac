//! A host and a port, as in URIs and Via.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use bytes::Bytes;

use super::UriError;
use crate::sip::text::Text;

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

impl Host {
    /// Reads a host: `[v6]`, an IPv4 address or a name of letters, digits, `-`, `.` and the common slip `_`.
    pub fn parse(raw: &Bytes) -> Option<Self> {
        Some(match Self::lawful(raw)? {
            Kind::V4(address) => Self::V4(address),
            Kind::V6(address) => Self::V6(address),
            Kind::Name => Self::Name(Text::new(raw.clone())?),
        })
    }

    pub(super) fn lawful(raw: &[u8]) -> Option<Kind> {
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

pub(super) enum Kind {
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

/// Reads a port from 1 to 65535.
pub(in crate::sip) fn parse_port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|&port| port != 0)
}
