//! The header lines of a message, indexed in one pass (RFC 3261 section 7.3).

use std::fmt;

use bytes::Bytes;

use super::{Defect, MAX_HEADER_LINE_BYTES, MAX_HEADERS};
use crate::sip::header::{self, Name, split_list};
use crate::sip::text::Text;

/// The header lines of a message, in order.
#[derive(Clone)]
pub struct Headers {
    /// The whole message.
    pub(super) raw: Bytes,
    pub(super) lines: Vec<Line>,
}

/// Where one header line lies. Offsets fit `u32`: a message is at most [`MAX_MESSAGE_BYTES`](super::MAX_MESSAGE_BYTES) long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) name: Name,
    folded: bool,
    name_at: (u32, u32),
    value_at: (u32, u32),
}

impl Headers {
    /// Indexes the header lines from `start`. Gives where the body begins, or the first fault together with the
    /// lines that were good, so that an answer can still be made.
    pub(in crate::sip) fn index(raw: Bytes, start: usize) -> (Self, Result<usize, Defect>) {
        let mut headers = Self { raw, lines: Vec::with_capacity(32) };
        // The first fault, unless a bare line end follows: that one also puts the framing in doubt.
        let mut fault = None;
        let mut at = start;
        loop {
            let (end, folded, bare) = match find_line_end(&headers.raw, at) {
                LineEnd::At { end, folded, bare } => (end, folded, bare),
                LineEnd::Nowhere => return (headers, Err(fault.unwrap_or(Defect::Unfinished))),
            };
            if end == at {
                return (headers, fault.map_or(Ok(at + 2), Err));
            }
            if headers.lines.len() == MAX_HEADERS {
                return (headers, Err(fault.unwrap_or(Defect::HeaderLimit)));
            }
            if end - at > MAX_HEADER_LINE_BYTES {
                fault = fault.or(Some(Defect::HeaderLimit));
            } else if bare {
                fault = Some(Defect::BareLineEnd);
            } else {
                match Line::parse(&headers.raw[at..end], at, folded) {
                    Some(line) => headers.lines.push(line),
                    None => fault = fault.or(Some(Defect::HeaderLine)),
                }
            }
            at = end + 2;
        }
    }

    /// The first value of this header, unfolded and trimmed.
    pub fn get(&self, name: Name) -> Option<Bytes> {
        self.all(name).next()
    }

    /// Every line of this header, unfolded and trimmed, in order. Lists are not cut; see [`Headers::list`].
    pub fn all(&self, name: Name) -> impl Iterator<Item = Bytes> {
        self.lines.iter().filter(move |line| line.name == name).map(|line| self.value(line))
    }

    /// Every value of a header that may be a comma-separated list, over all its lines.
    pub fn list(&self, name: Name) -> impl Iterator<Item = Bytes> {
        self.all(name).flat_map(|line| split_list(&line))
    }

    /// The first value of a header by its written name (any case, long form).
    pub fn get_named(&self, name: &str) -> Option<Bytes> {
        self.all_named(name).next()
    }

    /// Every line of a header by its written name (any case, long form).
    pub fn all_named(&self, name: &str) -> impl Iterator<Item = Bytes> {
        let known = Name::from_bytes(name.as_bytes());
        let name = name.to_owned();
        self.lines
            .iter()
            .filter(move |line| match known {
                Name::Other => self.octets(line.name_at).eq_ignore_ascii_case(name.as_bytes()),
                known => line.name == known,
            })
            .map(|line| self.value(line))
    }

    /// The first value as text, octets that are not UTF-8 replaced.
    pub fn text(&self, name: Name) -> Option<Text> {
        self.get(name).map(Text::lossy)
    }

    /// All lines in order: name, name as written, value unfolded and trimmed.
    pub fn iter(&self) -> impl Iterator<Item = (Name, &[u8], Bytes)> {
        self.lines.iter().map(|line| (line.name, self.octets(line.name_at), self.value(line)))
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn value(&self, line: &Line) -> Bytes {
        let (start, end) = line.value_at;
        let raw = self.raw.slice(start as usize..end as usize);
        if line.folded { unfold(&raw) } else { raw }
    }

    fn octets(&self, (start, end): (u32, u32)) -> &[u8] {
        &self.raw[start as usize..end as usize]
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: values hold numbers, names and credentials.
        f.debug_list().entries(self.lines.iter().map(|line| line.name)).finish()
    }
}

impl Line {
    pub(super) fn parse(line: &[u8], at: usize, folded: bool) -> Option<Self> {
        let colon = line.iter().position(|&b| b == b':')?;
        let name_length = colon - line[..colon].iter().rev().take_while(|b| header::is_blank(**b)).count();
        let written = &line[..name_length];
        if !header::is_token(written) {
            return None;
        }
        let is_space = |b: &&u8| b.is_ascii_whitespace();
        let value = &line[colon + 1..];
        let lead = value.iter().take_while(is_space).count();
        let length = value.len() - lead - value[lead..].iter().rev().take_while(is_space).count();
        let value_at = at + colon + 1 + lead;
        Some(Self {
            name: Name::from_bytes(written),
            folded: folded && value[lead..lead + length].contains(&b'\n'),
            name_at: (at as u32, (at + name_length) as u32),
            value_at: (value_at as u32, (value_at + length) as u32),
        })
    }
}

enum LineEnd {
    At { end: usize, folded: bool, bare: bool },
    Nowhere,
}

/// Finds the CRLF that ends the header line at `start`; one before a blank continues it (RFC 3261 section 7.3.1).
fn find_line_end(raw: &[u8], start: usize) -> LineEnd {
    let (mut folded, mut bare) = (false, false);
    let mut at = start;
    while let Some(i) = raw[at..].iter().position(|&b| b == b'\r' || b == b'\n').map(|i| at + i) {
        if raw[i] == b'\n' || raw.get(i + 1) != Some(&b'\n') {
            bare = true;
            at = i + 1;
        } else if i > start && raw.get(i + 2).is_some_and(|b| header::is_blank(*b)) {
            folded = true;
            at = i + 2;
        } else {
            return LineEnd::At { end: i, folded, bare };
        }
    }
    LineEnd::Nowhere
}

/// Replaces each line break and the blanks around it by one blank.
fn unfold(raw: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(raw.len());
    for (i, piece) in raw.split(|&b| b == b'\n').enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(piece.trim_ascii());
    }
    Bytes::from(out)
}
