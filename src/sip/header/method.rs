//! A request's method, and the numbers that tell requests apart: CSeq and RAck.

use std::fmt;

use bytes::Bytes;

use super::grammar::cut_word;
use super::{BadValue, is_token, parse_number};
use crate::sip::text::Text;

/// A request's method. Methods are case-sensitive (RFC 3261 section 7.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Register,
    Prack,
    Update,
    Info,
    Refer,
    Notify,
    Subscribe,
    Message,
    Publish,
    /// Any other token.
    Other(Text),
}

impl Method {
    /// Reads a method token.
    pub fn parse(token: &Bytes) -> Option<Self> {
        Some(match &token[..] {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"PRACK" => Self::Prack,
            b"UPDATE" => Self::Update,
            b"INFO" => Self::Info,
            b"REFER" => Self::Refer,
            b"NOTIFY" => Self::Notify,
            b"SUBSCRIBE" => Self::Subscribe,
            b"MESSAGE" => Self::Message,
            b"PUBLISH" => Self::Publish,
            other if is_token(other) => Self::Other(Text::new(token.clone())?),
            _ => return None,
        })
    }

    /// The method as written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Info => "INFO",
            Self::Refer => "REFER",
            Self::Notify => "NOTIFY",
            Self::Subscribe => "SUBSCRIBE",
            Self::Message => "MESSAGE",
            Self::Publish => "PUBLISH",
            Self::Other(token) => token,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A CSeq value. RFC 3261 section 8.1.1.5: the number is below 2^31.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// The sequence number.
    pub number: u32,
    /// The method of the request this belongs to.
    pub method: Method,
}

/// First CSeq number that is too large.
const CSEQ_END: u32 = 1 << 31;

impl CSeq {
    /// Reads `number method`.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (number, method) = cut_word(&raw);
        let number = parse_number(&number)?;
        if number >= CSEQ_END {
            return Err(BadValue::OutOfRange);
        }
        let method = Method::parse(&method).ok_or(BadValue::Malformed)?;
        Ok(Self { number, method })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

/// RAck of a PRACK (RFC 3262 section 7.2): the RSeq it answers and the CSeq of the INVITE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RAck {
    /// The RSeq number acknowledged.
    pub rseq: u32,
    /// The CSeq of the provisional response.
    pub cseq: CSeq,
}

impl RAck {
    /// Reads `rseq cseq method`.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (rseq, rest) = cut_word(&raw);
        Ok(Self { rseq: parse_number(&rseq)?, cseq: CSeq::parse(rest)? })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.rseq, self.cseq)
    }
}
