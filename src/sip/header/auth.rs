//! Challenges and credentials (RFC 3261 section 20.44).

use std::fmt;

use bytes::Bytes;

use super::grammar::{cut_word, unquote};
use super::params::pieces;
use super::{BadValue, is_token};
use crate::sip::text::Text;

/// WWW-/Proxy-Authenticate or (Proxy-)Authorization: a scheme with `name=value` items, or opaque text for schemes
/// that are written otherwise.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthValue {
    /// `Digest`, or whatever was named.
    pub scheme: Text,
    rest: Bytes,
}

impl AuthValue {
    /// Reads `scheme rest`. An unknown scheme is no error (RFC 4475 section 3.3.7); reading its items may find none.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (scheme, rest) = cut_word(&raw);
        let scheme = Some(scheme).filter(|s| is_token(s)).and_then(Text::new).ok_or(BadValue::Malformed)?;
        Ok(Self { scheme, rest })
    }

    /// Whether the scheme is Digest.
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    /// The first item of this name, unquoted.
    pub fn item(&self, name: &str) -> Option<Text> {
        pieces(&self.rest, b',')
            .map_while(|piece| piece)
            .find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .and_then(|(_, value)| Some(Text::lossy(unquote(&self.rest.slice_ref(value?)))))
    }

    /// How many items bear this name; a repeated one is ambiguous and must not be trusted.
    pub fn count(&self, name: &str) -> usize {
        pieces(&self.rest, b',')
            .map_while(|piece| piece)
            .filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .count()
    }
}

impl fmt::Debug for AuthValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The response hash is a credential: it feeds offline guessing.
        write!(f, "{} [redacted]", self.scheme)
    }
}
