//! Where a SIP peer is: host, port, transport, and the contact URI of a phone that stays in one place.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

/// RFC 3261 section 19.1.2: the port of SIP over UDP and TCP where none is written, and of SIP over TLS.
const DEFAULT_PORT: u16 = 5060;
const DEFAULT_TLS_PORT: u16 = 5061;
/// RFC 1035 section 2.3.4.
const MAX_HOST_BYTES: usize = 253;

/// Why a text is not an address of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither an address nor a DNS name.
    #[error("the host is neither an address nor a name")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// A transport other than UDP, TCP and TLS.
    #[error("the transport is none of udp, tcp and tls")]
    Transport,
    /// A parameter other than `transport` where only that is understood.
    #[error("the only parameter understood here is transport")]
    Parameter,
    /// A URI of another scheme.
    #[error("the address does not begin with sip:")]
    Scheme,
    /// A password before the `@`.
    #[error("a password may not stand in a SIP address")]
    Password,
    /// A character that may not stand in a URI unescaped, or headers after `?`.
    #[error("a character may not stand in a SIP address")]
    Character,
}

/// A host in a URI: an address or a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A DNS name, in lower case.
    Name(Arc<str>),
}

/// As in a URI: an IPv6 address stands in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Ip(IpAddr::V4(address)) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for Host {
    type Err = AddressError;

    /// Takes `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]` and DNS names.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Some(inner) = bracketed {
            return inner.parse::<Ipv6Addr>().map(|v6| Self::Ip(v6.into())).map_err(|_| AddressError::Host);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(address));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let last = text.rsplit('.').next().unwrap_or_default();
        // RFC 3696 section 2: a name does not end in a number, so `192.0.2.300` is a slip and not a name.
        if text.len() <= MAX_HOST_BYTES
            && text.split('.').all(label)
            && !last.bytes().all(|b| b.is_ascii_digit())
        {
            Ok(Self::Name(text.to_ascii_lowercase().into()))
        } else {
            Err(AddressError::Host)
        }
    }
}

/// Where a SIP peer is, as the file says it. What it leaves out DNS may fill in (RFC 3263 section 4): a name
/// without port is looked up by SRV, a name with neither port nor transport by NAPTR first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Address or name.
    pub host: Host,
    /// The port, where the file says one.
    pub port: Option<u16>,
    /// The transport, where the file says one.
    pub transport: Option<Transport>,
}

impl Destination {
    /// The port, or the usual one of the transport where neither file nor DNS says one.
    #[must_use]
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or_else(|| self.transport_or_default().default_port())
    }

    /// The transport, or UDP where neither file nor DNS says one.
    #[must_use]
    pub fn transport_or_default(&self) -> Transport {
        self.transport.unwrap_or(Transport::Udp)
    }
}

/// `sip.example.net:5060;transport=udp`, without what the file leaves out.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.transport {
            Some(transport) => write!(f, ";transport={transport}"),
            None => Ok(()),
        }
    }
}

/// A SIP transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl Transport {
    /// RFC 3261 section 19.1.2.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => DEFAULT_PORT,
            Self::Tls => DEFAULT_TLS_PORT,
        }
    }
}

/// As in a `transport` parameter: lower case.
impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        })
    }
}

/// As `host`, `host:port` or `host:port;transport=tcp`.
impl FromStr for Destination {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (address, parameters) = text.split_once(';').map_or((text, None), |(a, p)| (a, Some(p)));
        let mut transport = None;
        for parameter in parameters.into_iter().flat_map(|parameters| parameters.split(';')) {
            transport = Some(transport_of(parameter)?.ok_or(AddressError::Parameter)?);
        }
        let (host, port) = host_and_port(address)?;
        Ok(Self { host, port, transport })
    }
}

/// A fixed SIP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The URI as written, `sip:` scheme; goes into the request line unchanged.
    pub uri: Arc<str>,
    /// The part before the `@`.
    pub user: Option<Arc<str>>,
    /// Where the URI points.
    pub destination: Destination,
}

/// As `sip:alice@192.0.2.5:5060;transport=tcp`; other parameters stay in the URI and mean nothing here.
impl FromStr for Contact {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once(':').ok_or(AddressError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("sip") {
            return Err(AddressError::Scheme);
        }
        if !text.is_ascii() || text.contains([' ', '"', '<', '>', '\\', '?', '\t']) {
            return Err(AddressError::Character);
        }
        let (user, rest) = rest.split_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
        match user {
            Some(user) if user.contains(':') => return Err(AddressError::Password),
            Some("") => return Err(AddressError::Character),
            _ => {}
        }
        let (address, parameters) = rest.split_once(';').map_or((rest, None), |(a, p)| (a, Some(p)));
        let mut transport = None;
        for parameter in parameters.into_iter().flat_map(|parameters| parameters.split(';')) {
            transport = transport_of(parameter)?.or(transport);
        }
        let (host, port) = host_and_port(address)?;
        Ok(Self {
            uri: text.into(),
            user: user.map(Into::into),
            destination: Destination { host, port, transport },
        })
    }
}

/// The transport, if the parameter is one.
fn transport_of(parameter: &str) -> Result<Option<Transport>, AddressError> {
    let Some((name, value)) = parameter.split_once('=') else { return Ok(None) };
    if !name.trim().eq_ignore_ascii_case("transport") {
        return Ok(None);
    }
    match value.trim().to_ascii_lowercase().as_str() {
        "udp" => Ok(Some(Transport::Udp)),
        "tcp" => Ok(Some(Transport::Tcp)),
        "tls" => Ok(Some(Transport::Tls)),
        _ => Err(AddressError::Transport),
    }
}

fn host_and_port(text: &str) -> Result<(Host, Option<u16>), AddressError> {
    // A colon inside brackets belongs to an IPv6 address; without brackets it begins the port.
    let (host, port) = match text.rfind(']') {
        Some(end) => text.split_at(end + 1),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        None => return Err(AddressError::Host),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port != 0).ok_or(AddressError::Port)?)
        }
        Some(_) => return Err(AddressError::Port),
    };
    Ok((host.parse()?, port))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_destination_keeps_what_is_written_and_knows_what_is_usual() {
        let shown = |text: &str| text.parse::<Destination>().map(|destination| destination.to_string());
        assert_eq!(shown("192.0.2.5").unwrap(), "192.0.2.5");
        assert_eq!(shown("sip.example.net;transport=tls").unwrap(), "sip.example.net;transport=tls");
        assert_eq!(shown("[2001:db8::1]:5061").unwrap(), "[2001:db8::1]:5061");
        let usual = |text: &str| {
            let destination = text.parse::<Destination>().unwrap();
            (destination.port_or_default(), destination.transport_or_default())
        };
        assert_eq!(usual("192.0.2.5"), (5060, Transport::Udp));
        assert_eq!(usual("192.0.2.5;transport=tls"), (5061, Transport::Tls));
        assert_eq!(usual("192.0.2.5:5070;transport=tcp"), (5070, Transport::Tcp));
        assert_eq!(
            shown("SBC.Example.net:5070;transport=TCP").unwrap(),
            "sbc.example.net:5070;transport=tcp"
        );
        assert_eq!(shown("2001:db8::1"), Err(AddressError::Port));
        assert_eq!(shown("192.0.2.300"), Err(AddressError::Host));
        assert_eq!(shown("host:0"), Err(AddressError::Port));
        assert_eq!(shown("host:+5"), Err(AddressError::Port));
        assert_eq!(shown("host;transport=sctp"), Err(AddressError::Transport));
        assert_eq!(shown("host;lr"), Err(AddressError::Parameter));
        assert_eq!(shown(""), Err(AddressError::Host));
    }

    #[test]
    fn a_contact_keeps_its_uri_and_knows_where_it_points() {
        let contact: Contact = "sip:alice@192.0.2.5:5080;line=7;transport=tcp".parse().unwrap();
        assert_eq!(&*contact.uri, "sip:alice@192.0.2.5:5080;line=7;transport=tcp");
        assert_eq!(contact.user.as_deref(), Some("alice"));
        let v4 = Host::Ip(Ipv4Addr::new(192, 0, 2, 5).into());
        assert_eq!(
            contact.destination,
            Destination { host: v4, port: Some(5080), transport: Some(Transport::Tcp) }
        );
        for (text, error) in [
            ("alice@192.0.2.5", AddressError::Scheme),
            ("sips:alice@192.0.2.5", AddressError::Scheme),
            ("sip:alice:secret@192.0.2.5", AddressError::Password),
            ("sip:al ice@192.0.2.5", AddressError::Character),
            ("sip:@192.0.2.5", AddressError::Character),
            ("sip:alice@192.0.2.5?Subject=x", AddressError::Character),
        ] {
            assert_eq!(text.parse::<Contact>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_an_error_and_a_destination_reads_back(text in "[a-z0-9:;=.@\\[\\]]{0,40}") {
            let _ = format!("sip:{text}").parse::<Contact>();
            if let Ok(destination) = text.parse::<Destination>() {
                prop_assert_eq!(destination.to_string().parse::<Destination>(), Ok(destination));
            }
        }
    }
}
