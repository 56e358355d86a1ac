//! The type of a body (RFC 3261 section 20.15).

use bytes::Bytes;

use super::grammar::cut_params;
use super::{BadValue, Params, is_token, trim};
use crate::sip::text::Text;

/// A media type with parameters: Content-Type, one Accept value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    /// `application` of `application/sdp`.
    pub kind: Text,
    /// `sdp` of `application/sdp`.
    pub subtype: Text,
    /// `boundary` and the like.
    pub params: Params,
}

impl MediaType {
    /// Reads `type/subtype;params`.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (head, tail) = cut_params(&raw);
        let slash = head.iter().position(|&b| b == b'/').ok_or(BadValue::Malformed)?;
        let token = |part: Bytes| Some(trim(&part)).filter(|p| is_token(p)).and_then(Text::new);
        let kind = token(head.slice(..slash)).ok_or(BadValue::Malformed)?;
        let subtype = token(head.slice(slash + 1..)).ok_or(BadValue::Malformed)?;
        Ok(Self { kind, subtype, params: Params::parse(tail)? })
    }

    /// Whether this is `kind/subtype`, in any case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// Whether this is `application/sdp`.
    pub fn is_sdp(&self) -> bool {
        self.is("application", "sdp")
    }
}
