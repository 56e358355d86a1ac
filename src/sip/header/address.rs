//! Name and address, as in From, To, Contact and Route (RFC 3261 section 20.10).

use std::fmt;

use bytes::Bytes;

use super::grammar::{cut_params, end_of_quoted, unquote};
use super::{BadValue, Params, is_blank, quote, trim};
use crate::sip::text::Text;
use crate::sip::uri::Uri;

/// A name-addr or addr-spec with parameters: From, To, Contact, Route, Record-Route, Refer-To and their kin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name as written: with its quotes if it had them, octets as they came.
    display: Option<Bytes>,
    /// The address.
    pub uri: Uri,
    /// Header parameters (not those of the URI).
    pub params: Params,
}

impl NameAddr {
    /// An address without display name or parameters.
    pub fn new(uri: Uri) -> Self {
        Self { display: None, uri, params: Params::EMPTY }
    }

    /// The same with this display name, quoted.
    pub fn with_display(mut self, name: &str) -> Self {
        self.display = Some(Bytes::from(quote(name)));
        self
    }

    /// The same with a header parameter added.
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> Self {
        self.params.push(name, value);
        self
    }

    /// The same with this tag instead of any there was.
    pub fn with_tag(mut self, tag: &str) -> Self {
        if self.params.has("tag") {
            self.params = self.params.without("tag");
        }
        self.with_param("tag", Some(tag))
    }

    /// Reads one value (see [`split_list`](super::split_list) for a line of several).
    ///
    /// Lenient where the sense is plain: no blank before `<`, blanks inside `<>` (RFC 4475 section 3.1.2.14), a
    /// comma or other non-token in an unquoted display name where only one value is legal (section 3.1.2.15).
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let raw = trim(&raw);
        let mark = raw.iter().position(|&b| b == b'<' || b == b'"');
        match mark.map(|i| (i, raw[i])) {
            Some((0, b'"')) => {
                let end = end_of_quoted(&raw[1..]).ok_or(BadValue::Malformed)? + 2;
                let open = end + raw[end..].iter().take_while(|b| is_blank(**b)).count();
                if raw.get(open) != Some(&b'<') {
                    return Err(BadValue::Malformed);
                }
                Self::parse_bracketed(&raw, Some(raw.slice(..end)), open)
            }
            Some((open, b'<')) => {
                let display = trim(&raw.slice(..open));
                Self::parse_bracketed(&raw, (!display.is_empty()).then_some(display), open)
            }
            _ => Self::parse_bare(&raw),
        }
    }

    fn parse_bracketed(raw: &Bytes, display: Option<Bytes>, open: usize) -> Result<Self, BadValue> {
        let close = raw[open..].iter().position(|&b| b == b'>').ok_or(BadValue::Malformed)? + open;
        let uri = Uri::parse(trim(&raw.slice(open + 1..close))).map_err(|_| BadValue::Malformed)?;
        Ok(Self { display, uri, params: Params::parse(raw.slice(close + 1..))? })
    }

    /// RFC 3261 section 20: without `<>`, what follows `;` belongs to the header, and `?` or `,` may not occur.
    fn parse_bare(raw: &Bytes) -> Result<Self, BadValue> {
        let (head, tail) = cut_params(raw);
        if head.iter().any(|b| matches!(b, b'?' | b',')) {
            return Err(BadValue::Malformed);
        }
        let uri = Uri::parse(head).map_err(|_| BadValue::Malformed)?;
        Ok(Self { display: None, uri, params: Params::parse(tail)? })
    }

    /// The display name for people: unquoted, octets that are not UTF-8 replaced.
    pub fn display_name(&self) -> Option<Text> {
        self.display.as_ref().map(|raw| Text::lossy(unquote(raw))).filter(|name| !name.is_empty())
    }

    /// The tag, when there is one and it is not empty.
    pub fn tag(&self) -> Option<Text> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }

    /// The value as octets; a Latin-1 display name goes out as it came.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(64);
        if let Some(display) = &self.display {
            out.extend_from_slice(display);
            out.push(b' ');
        }
        out.push(b'<');
        out.extend_from_slice(self.uri.as_str().as_bytes());
        out.push(b'>');
        out.extend_from_slice(self.params.raw());
        Bytes::from(out)
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

/// The Contact headers of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contacts {
    /// `Contact: *` of a REGISTER that removes every binding.
    All,
    /// Addresses in order; none when there is no Contact.
    List(Vec<NameAddr>),
}
