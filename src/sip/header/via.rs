//! Via: the way a request came and its answer goes back (RFC 3261 section 20.42, RFC 3581).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::grammar::{cut_params, trim_slice};
use super::{BadValue, Params, is_blank, is_token, trim};
use crate::sip::text::Text;
use crate::sip::uri::{self, Host};

/// A Via value: one hop of a request's way (RFC 3261 section 20.42).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// The transport the hop used.
    pub transport: Transport,
    /// Where the hop wants responses, unless `received` and `rport` say better.
    pub host: Host,
    /// The port of sent-by.
    pub port: Option<u16>,
    /// Everything behind sent-by.
    pub params: Params,
}

/// The transport token of a Via.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// `UDP`
    Udp,
    /// `TCP`
    Tcp,
    /// `TLS`
    Tls,
    /// `WS`
    Ws,
    /// `WSS`
    Wss,
    /// Any other token.
    Other(Text),
}

impl Transport {
    fn from_token(token: Bytes) -> Option<Self> {
        const KNOWN: [(&str, Transport); 5] = [
            ("UDP", Transport::Udp),
            ("TCP", Transport::Tcp),
            ("TLS", Transport::Tls),
            ("WS", Transport::Ws),
            ("WSS", Transport::Wss),
        ];
        for (name, transport) in KNOWN {
            if token.eq_ignore_ascii_case(name.as_bytes()) {
                return Some(transport);
            }
        }
        if is_token(&token) { Text::new(token).map(Self::Other) } else { None }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
            Self::Other(token) => token,
        })
    }
}

/// Every RFC 3261 branch begins so (section 8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

impl Via {
    /// A Via of ours: `branch` (with the magic cookie) and the request for `rport` (RFC 3581).
    pub fn new(transport: Transport, host: Host, port: Option<u16>, branch: &str) -> Self {
        let mut params = Params::EMPTY;
        params.push("branch", Some(branch));
        params.push("rport", None);
        Self { transport, host, port, params }
    }

    /// Reads one Via value (see [`split_list`](super::split_list) for a line of several).
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (head, tail) = cut_params(&raw);
        let params = Params::parse(tail)?;
        let (transport, host, port) = Self::parse_sent(&head).ok_or(BadValue::Malformed)?;
        Ok(Self { transport, host, port, params })
    }

    /// Protocol, version, transport and sent-by; blanks may stand around each `/`.
    fn parse_sent(head: &Bytes) -> Option<(Transport, Host, Option<u16>)> {
        let slash = |from: usize| head[from..].iter().position(|&b| b == b'/').map(|i| from + i);
        let first = slash(0)?;
        let second = slash(first + 1)?;
        if !trim_slice(&head[..first]).eq_ignore_ascii_case(b"SIP")
            || !is_token(trim_slice(&head[first + 1..second]))
        {
            return None;
        }
        let rest = trim(&head.slice(second + 1..));
        let blank = rest.iter().position(|&b| is_blank(b))?;
        let transport = Transport::from_token(rest.slice(..blank))?;
        let sent_by = trim(&rest.slice(blank..));
        let host_end = match sent_by.first()? {
            b'[' => sent_by.iter().position(|&b| b == b']')? + 1,
            _ => sent_by.iter().position(|&b| b == b':' || is_blank(b)).unwrap_or(sent_by.len()),
        };
        let host = Host::parse(&sent_by.slice(..host_end))?;
        let port = match trim_slice(&sent_by[host_end..]) {
            [] => None,
            [b':', digits @ ..] => Some(uri::parse_port(trim_slice(digits))?),
            _ => return None,
        };
        Some((transport, host, port))
    }

    /// The branch parameter.
    pub fn branch(&self) -> Option<Text> {
        self.params.value("branch")
    }

    /// The branch when it identifies a transaction by RFC 3261: the cookie and something behind it. A bare cookie
    /// (RFC 4475 section 3.2.1) is treated as an RFC 2543 branch, or all such requests would be one transaction.
    pub fn transaction_branch(&self) -> Option<Text> {
        let has_cookie = |b: &Text| {
            b.len() > MAGIC_COOKIE.len()
                && b.as_ref()[..MAGIC_COOKIE.len()].eq_ignore_ascii_case(MAGIC_COOKIE.as_bytes())
        };
        self.branch().filter(has_cookie)
    }

    /// The `received` address, with or without brackets.
    pub fn received(&self) -> Option<IpAddr> {
        let value = self.params.value("received")?;
        value.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// `Some(None)`: the sender asks for `rport`; `Some(Some(port))`: it was filled in.
    pub fn rport(&self) -> Option<Option<u16>> {
        Some(self.params.get("rport")?.and_then(|v| uri::parse_port(v.as_ref())))
    }

    /// The `maddr` parameter.
    pub fn maddr(&self) -> Option<Host> {
        Host::parse(self.params.value("maddr")?.as_bytes())
    }

    /// The same Via after a hop saw it come from `source`: `received` when sent-by is not that address (RFC 3261
    /// section 18.2.1), and both `received` and `rport` when the sender asked for rport (RFC 3581 section 4).
    /// What the sender wrote into these two itself is replaced; nobody else can know them.
    pub fn seen_from(&self, source: SocketAddr) -> Self {
        let mut via = self.clone();
        let asked = via.params.has("rport");
        let differs = via.host.ip() != Some(source.ip());
        if via.params.has("received") {
            via.params = via.params.without("received");
        }
        if asked {
            via.params = via.params.without("rport");
        }
        if differs || asked {
            via.params.push("received", Some(&source.ip().to_string()));
        }
        if asked {
            via.params.push("rport", Some(&source.port().to_string()));
        }
        via
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&String::from_utf8_lossy(self.params.raw()))
    }
}
