//! The `;name=value` tail of a value.

use std::fmt;

use bytes::Bytes;

use super::grammar::{
    Found, cut_params, end_of_quoted, find_outside_quotes, is_token_char, trim_slice, unquote,
};
use super::{BadValue, is_blank, is_token, quote, trim};
use crate::sip::text::Text;

/// The `;name=value` tail of a value, kept as it came.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params(Bytes);

impl Params {
    /// No parameters.
    pub const EMPTY: Self = Self(Bytes::new());

    /// Reads `;a;b=c;d="e"`, with blanks anywhere around the marks; empty input is no parameters.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let raw = trim(&raw);
        if raw.is_empty() {
            return Ok(Self(raw));
        }
        if raw.first() != Some(&b';') || raw.len() == 1 {
            return Err(BadValue::Malformed);
        }
        let params = Self(raw);
        for piece in pieces(&params.0[1..], b';') {
            let (name, value) = piece.ok_or(BadValue::Malformed)?;
            let lawful_value = value.is_none_or(|v| match v {
                [b'"', inner @ ..] => matches!(end_of_quoted(inner), Some(end) if end + 1 == inner.len()),
                _ => !v.iter().any(|b| is_blank(*b) || matches!(b, b'"' | b'<' | b'>' | b',')),
            });
            if !is_token(name) || !lawful_value {
                return Err(BadValue::Malformed);
            }
        }
        Ok(params)
    }

    /// Names and values in order; quoted values come without quotes and escapes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<Text>)> {
        pieces(self.0.get(1..).unwrap_or_default(), b';').flatten().map(|(name, value)| {
            let value = value.map(|v| Text::lossy(unquote(&self.0.slice_ref(v))));
            (std::str::from_utf8(name).unwrap_or_default(), value)
        })
    }

    /// The first value of this name (any case). `Some(None)` is a parameter without value.
    pub fn get(&self, name: &str) -> Option<Option<Text>> {
        pieces(self.0.get(1..).unwrap_or_default(), b';')
            .flatten()
            .find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.map(|v| Text::lossy(unquote(&self.0.slice_ref(v)))))
    }

    /// The first value of this name, `None` also when it has no value.
    pub fn value(&self, name: &str) -> Option<Text> {
        self.get(name).flatten()
    }

    /// Whether a parameter of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Adds `;name` or `;name=value`; a value that is no token is quoted.
    pub fn push(&mut self, name: &str, value: Option<&str>) {
        let mut raw = Vec::with_capacity(self.0.len() + name.len() + 24);
        raw.extend_from_slice(&self.0);
        raw.push(b';');
        raw.extend_from_slice(name.as_bytes());
        if let Some(value) = value {
            raw.push(b'=');
            // Addresses and their brackets are plain here: `received=[::1]` is no token but legal as `host`.
            let plain = |b: &u8| is_token_char(*b) || matches!(b, b'[' | b']' | b':');
            if !value.is_empty() && value.as_bytes().iter().all(plain) {
                raw.extend_from_slice(value.as_bytes());
            } else {
                raw.extend_from_slice(quote(value).as_bytes());
            }
        }
        self.0 = Bytes::from(raw);
    }

    /// The parameters without those of this name.
    pub fn without(&self, name: &str) -> Self {
        let mut raw = Vec::with_capacity(self.0.len());
        for (n, value) in pieces(self.0.get(1..).unwrap_or_default(), b';').flatten() {
            if n.eq_ignore_ascii_case(name.as_bytes()) {
                continue;
            }
            raw.push(b';');
            raw.extend_from_slice(n);
            if let Some(value) = value {
                raw.push(b'=');
                raw.extend_from_slice(value);
            }
        }
        Self(Bytes::from(raw))
    }

    /// The octets as they came, beginning with `;` unless empty.
    pub fn raw(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(&self.0))
    }
}

/// One `name=value` with blanks trimmed.
type Piece<'a> = (&'a [u8], Option<&'a [u8]>);

/// Cuts at `separator` outside quotes; an empty piece or an open quote is `None`.
pub(super) fn pieces(raw: &[u8], separator: u8) -> impl Iterator<Item = Option<Piece<'_>>> {
    let mut rest = (!raw.is_empty()).then_some(raw);
    std::iter::from_fn(move || {
        let text = rest?;
        let (piece, after) = match find_outside_quotes(text, |b| b == separator) {
            Found::At(i) => (&text[..i], Some(&text[i + 1..])),
            Found::Nowhere => (text, None),
            Found::OpenQuote => {
                rest = None;
                return Some(None);
            }
        };
        rest = after;
        let (name, value) = match piece.iter().position(|&b| b == b'=') {
            Some(i) => (trim_slice(&piece[..i]), Some(trim_slice(&piece[i + 1..]))),
            None => (trim_slice(piece), None),
        };
        Some((!name.is_empty()).then_some((name, value)))
    })
}

pub(super) fn token_and_params(raw: &Bytes) -> Result<(Text, Params), BadValue> {
    let (head, tail) = cut_params(raw);
    let head = Some(head).filter(|h| is_token(h)).and_then(Text::new).ok_or(BadValue::Malformed)?;
    Ok((head, Params::parse(tail)?))
}
