//! A SIP message as a one-pass index over the octets it came in.
//!
//! Reading has two steps. [`Message::parse_datagram`] and [`Message::parse_stream`] find the start line, the header
//! lines and the body; no value is copied. [`Message::validated`] then checks what RFC 3261 section 8.1.1 makes
//! mandatory. Either step ends in a [`ParseError`] that says what to do: answer with a status, or drop.

use bytes::Bytes;

use super::header::HeaderError;
use super::text::Text;
use super::uri::Uri;

mod check;
mod defect;
mod headers;
mod start_line;
mod status;
mod typed;

pub use super::header::{Method, Name};
pub use defect::{Defect, ParseError, Rejected};
pub use headers::Headers;
use start_line::StartLine;
pub use status::StatusCode;

/// Longest message accepted, in octets: the most a UDP datagram can carry, and ten times a large INVITE.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Longest body accepted, in octets. It is bounded by the message; the constant is named for stream framing.
pub const MAX_BODY_BYTES: usize = MAX_MESSAGE_BYTES;
/// Longest start line, in octets: the longest URI, a method and a version.
pub const MAX_START_LINE_BYTES: usize = 8 * 1024 + 256;
/// Longest header line with its continuations, in octets. A STIR Identity header is about 1.5 KiB.
pub const MAX_HEADER_LINE_BYTES: usize = 16 * 1024;
/// Most header lines. A Teams INVITE has about 30; RFC 4475's longest has 45.
pub const MAX_HEADERS: usize = 256;
/// Most Via values; RFC 3261 allows 70 hops and RFC 4475 sends 34.
pub const MAX_VIAS: usize = 72;
/// Most values of any other list (Contact, Route, Record-Route, Require, ...).
pub const MAX_LIST_VALUES: usize = 128;

/// A request or a response.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum Message {
    Request(Request),
    Response(Response),
}

/// A request: method, Request-URI, headers and body.
#[derive(Debug, Clone)]
pub struct Request {
    method: Method,
    uri: Uri,
    headers: Headers,
    body: Bytes,
}

/// A response: status, reason phrase, headers and body.
#[derive(Debug, Clone)]
pub struct Response {
    status: StatusCode,
    reason: Text,
    headers: Headers,
    body: Bytes,
}

/// How the end of the body is known.
#[derive(Clone, Copy, PartialEq)]
enum Carrier {
    Datagram,
    Stream,
}

impl Message {
    /// Reads one datagram. Octets beyond Content-Length are dropped; without Content-Length the body goes to the end
    /// (RFC 3261 section 18.3).
    pub fn parse_datagram(raw: Bytes) -> Result<Self, ParseError> {
        Self::parse(raw, Carrier::Datagram)
    }

    /// Reads one message that [`frame`](super::frame) cut from a stream; Content-Length must be there.
    pub fn parse_stream(raw: Bytes) -> Result<Self, ParseError> {
        Self::parse(raw, Carrier::Stream)
    }

    fn parse(raw: Bytes, carrier: Carrier) -> Result<Self, ParseError> {
        // RFC 3261 section 7.5: line ends in front of the start line are ignored.
        let start = raw.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let raw = raw.slice(start..);
        if raw.is_empty() {
            return Err(ParseError::Drop(Defect::Empty));
        }
        if raw.len() > MAX_MESSAGE_BYTES {
            return Err(ParseError::Drop(Defect::TooLarge));
        }
        let line_end = raw.windows(2).take(MAX_START_LINE_BYTES).position(|pair| pair == b"\r\n");
        let line = raw.slice(..line_end.ok_or(ParseError::Drop(Defect::NotSip))?);
        let start_line = StartLine::parse(&line).map_err(ParseError::Drop)?;
        let (headers, indexed) = Headers::index(raw.clone(), line.len() + 2);
        let head_end = match indexed {
            Ok(end) => end,
            Err(defect) => return Err(start_line.refuse(headers, defect)),
        };
        if let Some(defect) = start_line.defect() {
            return Err(start_line.refuse(headers, defect));
        }
        let body = match find_body(&headers, &raw, head_end, carrier) {
            Ok(body) => body,
            Err(defect) => return Err(start_line.refuse(headers, defect)),
        };
        Ok(match start_line {
            StartLine::Request { method, uri: Ok(uri), .. } => {
                Self::Request(Request { method, uri, headers, body })
            }
            StartLine::Request { .. } => return Err(ParseError::Drop(Defect::RequestUri)),
            StartLine::Response { status, reason } => {
                Self::Response(Response { status, reason, headers, body })
            }
        })
    }

    /// The headers.
    pub fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }

    /// The body octets.
    pub fn body(&self) -> &Bytes {
        match self {
            Self::Request(request) => &request.body,
            Self::Response(response) => &response.body,
        }
    }
}

impl Request {
    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The Request-URI.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The headers.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The body octets.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The message as it came or will go.
    pub fn bytes(&self) -> &Bytes {
        &self.headers.raw
    }
}

impl Response {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason phrase, which may be empty.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The headers.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The body octets.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The message as it came or will go.
    pub fn bytes(&self) -> &Bytes {
        &self.headers.raw
    }
}

fn find_body(headers: &Headers, raw: &Bytes, head_end: usize, carrier: Carrier) -> Result<Bytes, Defect> {
    let rest = raw.slice(head_end..);
    match headers.content_length()? {
        Some(length) if length as usize > rest.len() => Err(Defect::BodyCut),
        Some(length) => Ok(rest.slice(..length as usize)),
        None if carrier == Carrier::Stream => Err(HeaderError::Missing(Name::ContentLength).into()),
        None => Ok(rest),
    }
}
