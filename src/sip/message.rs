//! A SIP message as a one-pass index over the octets it came in.
//!
//! Reading has two steps. [`Message::parse_datagram`] and [`Message::parse_stream`] find the start line, the header
//! lines and the body; no value is copied. [`Message::validated`] then checks what RFC 3261 section 8.1.1 makes
//! mandatory. Either step ends in a [`ParseError`] that says what to do: answer with a status, or drop.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use super::header::{
    self, AuthValue, BadValue, CSeq, Contacts, Event, HeaderError, MediaType, NameAddr, RAck, Reason,
    Replaces, SessionExpires, SubscriptionState, Via, split_list,
};
use super::text::Text;
use super::uri::{Scheme, Uri};

pub use super::header::{Method, Name};

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

/// A response status from 100 to 699.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusCode(u16);

/// The header lines of a message, in order.
#[derive(Clone)]
pub struct Headers {
    /// The whole message.
    raw: Bytes,
    lines: Vec<Line>,
}

/// Where one header line lies. Offsets fit `u32`: a message is at most [`MAX_MESSAGE_BYTES`] long.
#[derive(Debug, Clone, Copy)]
struct Line {
    name: Name,
    folded: bool,
    name_at: (u32, u32),
    value_at: (u32, u32),
}

/// What to do with octets that are no acceptable message.
#[derive(Debug, Error)]
pub enum ParseError {
    /// A request understood well enough to be answered.
    #[error("answer {}: {}", .0.status, .0.reason)]
    Reject(Box<Rejected>),
    /// Nothing can or should be answered.
    #[error("drop: {0}")]
    Drop(Defect),
}

/// A bad request with the answer it deserves. `build::ResponseBuilder::to_rejected` writes that answer.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// The status of the answer.
    pub status: StatusCode,
    /// Its reason phrase, which names the fault.
    pub reason: Cow<'static, str>,
    /// The method of the request; never ACK.
    pub method: Method,
    /// The headers of the request, as far as they were understood.
    pub headers: Headers,
}

/// What is wrong with a message as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Defect {
    /// Nothing but line ends: a keep-alive.
    #[error("empty message")]
    Empty,
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("message too large")]
    TooLarge,
    /// The first line is no SIP start line.
    #[error("not SIP")]
    NotSip,
    /// A request line with blanks or characters where none may be.
    #[error("Malformed Request Line")]
    RequestLine,
    /// The Request-URI cannot be read.
    #[error("Malformed Request-URI")]
    RequestUri,
    /// The Request-URI carries `?headers`.
    #[error("Headers In Request-URI")]
    UriHeaders,
    /// A scheme other than sip, sips and tel.
    #[error("Unsupported URI Scheme")]
    Scheme,
    /// A SIP version other than 2.0.
    #[error("Version Not Supported")]
    Version,
    /// The status code is not from 100 to 699.
    #[error("malformed status line")]
    StatusLine,
    /// A header line without name or colon.
    #[error("Malformed Header Line")]
    HeaderLine,
    /// A CR or LF alone inside the headers: another reader would see other header lines there.
    #[error("Bare Line End In Headers")]
    BareLineEnd,
    /// No empty line after the headers.
    #[error("Missing End Of Headers")]
    Unfinished,
    /// More than [`MAX_HEADERS`] lines, a line longer than [`MAX_HEADER_LINE_BYTES`] or a list too long.
    #[error("Header Limit Exceeded")]
    HeaderLimit,
    /// Content-Length is larger than what came.
    #[error("Content-Length Beyond End Of Message")]
    BodyCut,
    /// One header is wrong.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

impl Defect {
    /// The status that answers a request with this fault.
    fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::VERSION_NOT_SUPPORTED,
            Self::Scheme => StatusCode::UNSUPPORTED_URI_SCHEME,
            Self::TooLarge | Self::HeaderLimit => StatusCode::MESSAGE_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
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

    /// Checks what every message must have: one readable From, To, Call-ID, CSeq and Via each, a CSeq that names
    /// the request's method, no single-value header twice, no number out of range, readable Contact and Route
    /// headers, and a Request-URI of a scheme that can be used.
    ///
    /// A missing Max-Forwards is let pass: RFC 3261 section 16.3 says so for proxies, and RFC 2543 peers send none.
    pub fn validated(self) -> Result<Self, ParseError> {
        match self {
            Self::Request(request) => request.validated().map(Self::Request),
            Self::Response(response) => match check_headers(&response.headers) {
                Ok(_) => Ok(Self::Response(response)),
                Err(defect) => Err(ParseError::Drop(defect)),
            },
        }
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

    /// See [`Message::validated`].
    pub fn validated(self) -> Result<Self, ParseError> {
        match self.check() {
            Ok(()) => Ok(self),
            Err(defect) => Err(refuse_request(self.method, self.headers, defect)),
        }
    }

    fn check(&self) -> Result<(), Defect> {
        let cseq = check_headers(&self.headers)?;
        if cseq.method != self.method {
            return Err(HeaderError::MethodMismatch.into());
        }
        if self.uri.scheme() == Scheme::Other {
            return Err(Defect::Scheme);
        }
        // RFC 3261 section 19.1.1: headers are not allowed in a Request-URI.
        if self.uri.headers_part().is_some() {
            return Err(Defect::UriHeaders);
        }
        Ok(())
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

/// Checks what requests and responses share; gives back the CSeq it had to read.
fn check_headers(headers: &Headers) -> Result<CSeq, Defect> {
    const ONCE: [Name; 17] = [
        Name::From,
        Name::To,
        Name::CallId,
        Name::CSeq,
        Name::MaxForwards,
        Name::ContentType,
        Name::ContentLength,
        Name::Event,
        Name::Expires,
        Name::MinSe,
        Name::RAck,
        Name::RSeq,
        Name::ReferTo,
        Name::ReferredBy,
        Name::Replaces,
        Name::SessionExpires,
        Name::SubscriptionState,
    ];
    let mut seen = [false; ONCE.len()];
    for line in &headers.lines {
        if let Some(i) = ONCE.iter().position(|name| *name == line.name)
            && std::mem::replace(&mut seen[i], true)
        {
            return Err(HeaderError::Repeated(line.name).into());
        }
    }
    let mut vias = 0;
    for via in headers.list(Name::Via) {
        vias += 1;
        if vias > MAX_VIAS {
            return Err(Defect::HeaderLimit);
        }
        Via::parse(via).map_err(|bad| HeaderError::new(Name::Via, bad))?;
    }
    if vias == 0 {
        return Err(HeaderError::Missing(Name::Via).into());
    }
    headers.from()?;
    headers.to()?;
    headers.call_id()?;
    let cseq = headers.cseq()?;
    headers.max_forwards()?;
    headers.expires()?;
    headers.contacts()?;
    headers.routes()?;
    headers.record_routes()?;
    headers.content_type()?;
    Ok(cseq)
}

enum StartLine {
    Request { method: Method, uri: Result<Uri, Defect>, version: Result<(), Defect> },
    Response { status: StatusCode, reason: Text },
}

impl StartLine {
    /// Reads the first line. `Err` is a line that is neither a request nor a response, or a response nobody could
    /// use; faults of a request line are kept, because they can be answered.
    fn parse(line: &Bytes) -> Result<Self, Defect> {
        if line.len() >= 4 && line[..4].eq_ignore_ascii_case(b"SIP/") {
            return Self::parse_status(line);
        }
        let blank = line.iter().position(|&b| b == b' ').ok_or(Defect::NotSip)?;
        let method = Method::parse(&line.slice(..blank)).ok_or(Defect::NotSip)?;
        let rest = line.slice(blank + 1..);
        // RFC 4475 section 3.1.2.10: blanks at the end are a fault worth 400, but the version is behind the URI.
        let text = rest.trim_ascii_end();
        let trailing = text.len() != rest.len();
        let cut = text.iter().rposition(|&b| b == b' ').ok_or(Defect::NotSip)?;
        let (uri, version) = (rest.slice(..cut), &text[cut + 1..]);
        if version.len() < 4 || !version[..4].eq_ignore_ascii_case(b"SIP/") {
            return Err(Defect::NotSip);
        }
        let version = match version[4..] == *b"2.0" {
            false => Err(Defect::Version),
            true if trailing => Err(Defect::RequestLine),
            true => Ok(()),
        };
        let uri = Uri::parse(uri).map_err(|_| Defect::RequestUri);
        Ok(Self::Request { method, uri, version })
    }

    fn parse_status(line: &Bytes) -> Result<Self, Defect> {
        let blank = line.iter().position(|&b| b == b' ').ok_or(Defect::StatusLine)?;
        if line[4..blank] != *b"2.0" {
            return Err(Defect::Version);
        }
        let rest = line.slice(blank + 1..);
        let end = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
        let number = header::parse_number(&rest[..end]).map_err(|_| Defect::StatusLine)?;
        let status = u16::try_from(number).ok().and_then(StatusCode::new).filter(|_| end == 3);
        let reason = rest.slice((end + 1).min(rest.len())..);
        Ok(Self::Response { status: status.ok_or(Defect::StatusLine)?, reason: Text::lossy(reason) })
    }

    fn defect(&self) -> Option<Defect> {
        match self {
            // The version first: of another version we cannot know what a Request-URI may be.
            Self::Request { uri, version, .. } => version.err().or(uri.as_ref().err().copied()),
            Self::Response { .. } => None,
        }
    }

    fn refuse(self, headers: Headers, defect: Defect) -> ParseError {
        match self {
            Self::Request { method, .. } => refuse_request(method, headers, defect),
            Self::Response { .. } => ParseError::Drop(defect),
        }
    }
}

/// An answer if one can find its way back: there must be a Via with a readable sender, and an ACK is never answered.
/// To, From, Call-ID and CSeq may be missing; the answer then goes without them (RFC 4475 section 3.3.1).
fn refuse_request(method: Method, headers: Headers, defect: Defect) -> ParseError {
    if method == Method::Ack || headers.list(Name::Via).next().is_none() {
        return ParseError::Drop(defect);
    }
    let (status, reason) = (defect.status(), Cow::Owned(defect.to_string()));
    ParseError::Reject(Box::new(Rejected { status, reason, method, headers }))
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

impl Headers {
    /// Indexes the header lines from `start`. Gives where the body begins, or the first fault together with the
    /// lines that were good, so that an answer can still be made.
    pub(super) fn index(raw: Bytes, start: usize) -> (Self, Result<usize, Defect>) {
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

    /// All Via values, topmost first.
    pub fn vias(&self) -> Result<Vec<Via>, HeaderError> {
        self.each(Name::Via, MAX_VIAS, Via::parse)
    }

    /// The topmost Via.
    pub fn top_via(&self) -> Result<Via, HeaderError> {
        let first = self.list(Name::Via).next().ok_or(HeaderError::Missing(Name::Via))?;
        Via::parse(first).map_err(|bad| HeaderError::new(Name::Via, bad))
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        self.must(Name::From, NameAddr::parse)
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        self.must(Name::To, NameAddr::parse)
    }

    /// Call-ID.
    pub fn call_id(&self) -> Result<Text, HeaderError> {
        self.must(Name::CallId, |raw| {
            Text::new(raw).filter(|id| header::is_call_id(id)).ok_or(BadValue::Malformed)
        })
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        self.must(Name::CSeq, CSeq::parse)
    }

    /// Max-Forwards, at most 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        self.may(Name::MaxForwards, |raw| {
            u8::try_from(header::parse_number(&raw)?).map_err(|_| BadValue::OutOfRange)
        })
    }

    /// Content-Length in octets.
    pub fn content_length(&self) -> Result<Option<u32>, HeaderError> {
        if self.all(Name::ContentLength).nth(1).is_some() {
            return Err(HeaderError::Repeated(Name::ContentLength));
        }
        self.number(Name::ContentLength)
    }

    /// Content-Type.
    pub fn content_type(&self) -> Result<Option<MediaType>, HeaderError> {
        self.may(Name::ContentType, MediaType::parse)
    }

    /// Contact: addresses, or `*`.
    pub fn contacts(&self) -> Result<Contacts, HeaderError> {
        if self.list(Name::Contact).any(|value| value == "*") {
            let alone = self.list(Name::Contact).count() == 1;
            return if alone { Ok(Contacts::All) } else { Err(HeaderError::Malformed(Name::Contact)) };
        }
        self.name_addrs(Name::Contact).map(Contacts::List)
    }

    /// The first Contact address.
    pub fn contact(&self) -> Result<Option<NameAddr>, HeaderError> {
        match self.contacts()? {
            Contacts::All => Ok(None),
            Contacts::List(list) => Ok(list.into_iter().next()),
        }
    }

    /// Route, topmost first.
    pub fn routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.name_addrs(Name::Route)
    }

    /// Record-Route, topmost first.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.name_addrs(Name::RecordRoute)
    }

    /// All addresses of a header that lists them (P-Asserted-Identity, Diversion, Path, ...).
    pub fn name_addrs(&self, name: Name) -> Result<Vec<NameAddr>, HeaderError> {
        self.each(name, MAX_LIST_VALUES, NameAddr::parse)
    }

    /// Refer-To.
    pub fn refer_to(&self) -> Result<Option<NameAddr>, HeaderError> {
        self.may(Name::ReferTo, NameAddr::parse)
    }

    /// Referred-By.
    pub fn referred_by(&self) -> Result<Option<NameAddr>, HeaderError> {
        self.may(Name::ReferredBy, NameAddr::parse)
    }

    /// RSeq (RFC 3262).
    pub fn rseq(&self) -> Result<Option<u32>, HeaderError> {
        self.number(Name::RSeq)
    }

    /// RAck (RFC 3262).
    pub fn rack(&self) -> Result<Option<RAck>, HeaderError> {
        self.may(Name::RAck, RAck::parse)
    }

    /// Session-Expires (RFC 4028).
    pub fn session_expires(&self) -> Result<Option<SessionExpires>, HeaderError> {
        self.may(Name::SessionExpires, SessionExpires::parse)
    }

    /// Min-SE in seconds (RFC 4028).
    pub fn min_se(&self) -> Result<Option<u32>, HeaderError> {
        self.may(Name::MinSe, |raw| SessionExpires::parse(raw).map(|v| v.seconds))
    }

    /// Expires in seconds.
    pub fn expires(&self) -> Result<Option<u32>, HeaderError> {
        self.number(Name::Expires)
    }

    /// Min-Expires in seconds.
    pub fn min_expires(&self) -> Result<Option<u32>, HeaderError> {
        self.number(Name::MinExpires)
    }

    /// Retry-After in seconds.
    pub fn retry_after(&self) -> Result<Option<u32>, HeaderError> {
        self.may(Name::RetryAfter, |raw| header::parse_retry_after(&raw))
    }

    /// All Reason values (RFC 3326).
    pub fn reasons(&self) -> Result<Vec<Reason>, HeaderError> {
        self.each(Name::Reason, MAX_LIST_VALUES, Reason::parse)
    }

    /// Replaces (RFC 3891).
    pub fn replaces(&self) -> Result<Option<Replaces>, HeaderError> {
        self.may(Name::Replaces, Replaces::parse)
    }

    /// Event (RFC 6665).
    pub fn event(&self) -> Result<Option<Event>, HeaderError> {
        self.may(Name::Event, Event::parse)
    }

    /// Subscription-State (RFC 6665).
    pub fn subscription_state(&self) -> Result<Option<SubscriptionState>, HeaderError> {
        self.may(Name::SubscriptionState, SubscriptionState::parse)
    }

    /// The tokens of Require, Proxy-Require, Supported, Allow, Unsupported, Allow-Events.
    pub fn tokens(&self, name: Name) -> Result<Vec<Text>, HeaderError> {
        self.each(name, MAX_LIST_VALUES, |raw| {
            Some(raw).filter(|r| header::is_token(r)).and_then(Text::new).ok_or(BadValue::Malformed)
        })
    }

    /// Whether a token list holds this token, in any case.
    pub fn has_token(&self, name: Name, token: &str) -> bool {
        self.list(name).any(|value| value.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// All values of WWW-Authenticate, Proxy-Authenticate, Authorization or Proxy-Authorization, one per line.
    pub fn auth(&self, name: Name) -> Result<Vec<AuthValue>, HeaderError> {
        self.all(name)
            .take(MAX_LIST_VALUES)
            .map(|raw| AuthValue::parse(raw).map_err(|bad| HeaderError::new(name, bad)))
            .collect()
    }

    fn number(&self, name: Name) -> Result<Option<u32>, HeaderError> {
        self.may(name, |raw| header::parse_number(&raw))
    }

    fn must<T>(&self, name: Name, read: impl Fn(Bytes) -> Result<T, BadValue>) -> Result<T, HeaderError> {
        self.may(name, read)?.ok_or(HeaderError::Missing(name))
    }

    fn may<T>(
        &self,
        name: Name,
        read: impl Fn(Bytes) -> Result<T, BadValue>,
    ) -> Result<Option<T>, HeaderError> {
        self.get(name).map(|raw| read(raw).map_err(|bad| HeaderError::new(name, bad))).transpose()
    }

    fn each<T>(
        &self,
        name: Name,
        most: usize,
        read: impl Fn(Bytes) -> Result<T, BadValue>,
    ) -> Result<Vec<T>, HeaderError> {
        let mut all = Vec::new();
        for raw in self.list(name) {
            if all.len() == most {
                return Err(HeaderError::OutOfRange(name));
            }
            all.push(read(raw).map_err(|bad| HeaderError::new(name, bad))?);
        }
        Ok(all)
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
    fn parse(line: &[u8], at: usize, folded: bool) -> Option<Self> {
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

impl StatusCode {
    /// A status from 100 to 699.
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 100 && code <= 699 { Some(Self(code)) } else { None }
    }

    /// The number.
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// 1xx.
    pub const fn is_provisional(self) -> bool {
        self.0 < 200
    }

    /// 2xx.
    pub const fn is_success(self) -> bool {
        self.0 >= 200 && self.0 < 300
    }

    /// 2xx to 6xx.
    pub const fn is_final(self) -> bool {
        self.0 >= 200
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

macro_rules! statuses {
    ($($name:ident $code:literal $phrase:literal;)*) => {
        impl StatusCode {
            $(#[doc = concat!($code, " ", $phrase)] pub const $name: Self = Self($code);)*

            /// The usual reason phrase; empty for a code without one.
            pub fn phrase(self) -> &'static str {
                match self.0 {
                    $($code => $phrase,)*
                    _ => "",
                }
            }
        }
    };
}

statuses! {
    TRYING 100 "Trying";
    RINGING 180 "Ringing";
    CALL_IS_BEING_FORWARDED 181 "Call Is Being Forwarded";
    QUEUED 182 "Queued";
    SESSION_PROGRESS 183 "Session Progress";
    OK 200 "OK";
    ACCEPTED 202 "Accepted";
    NO_NOTIFICATION 204 "No Notification";
    MULTIPLE_CHOICES 300 "Multiple Choices";
    MOVED_PERMANENTLY 301 "Moved Permanently";
    MOVED_TEMPORARILY 302 "Moved Temporarily";
    USE_PROXY 305 "Use Proxy";
    BAD_REQUEST 400 "Bad Request";
    UNAUTHORIZED 401 "Unauthorized";
    PAYMENT_REQUIRED 402 "Payment Required";
    FORBIDDEN 403 "Forbidden";
    NOT_FOUND 404 "Not Found";
    METHOD_NOT_ALLOWED 405 "Method Not Allowed";
    NOT_ACCEPTABLE 406 "Not Acceptable";
    PROXY_AUTHENTICATION_REQUIRED 407 "Proxy Authentication Required";
    REQUEST_TIMEOUT 408 "Request Timeout";
    GONE 410 "Gone";
    REQUEST_ENTITY_TOO_LARGE 413 "Request Entity Too Large";
    REQUEST_URI_TOO_LONG 414 "Request-URI Too Long";
    UNSUPPORTED_MEDIA_TYPE 415 "Unsupported Media Type";
    UNSUPPORTED_URI_SCHEME 416 "Unsupported URI Scheme";
    BAD_EXTENSION 420 "Bad Extension";
    EXTENSION_REQUIRED 421 "Extension Required";
    SESSION_INTERVAL_TOO_SMALL 422 "Session Interval Too Small";
    INTERVAL_TOO_BRIEF 423 "Interval Too Brief";
    TEMPORARILY_UNAVAILABLE 480 "Temporarily Unavailable";
    CALL_OR_TRANSACTION_DOES_NOT_EXIST 481 "Call/Transaction Does Not Exist";
    LOOP_DETECTED 482 "Loop Detected";
    TOO_MANY_HOPS 483 "Too Many Hops";
    ADDRESS_INCOMPLETE 484 "Address Incomplete";
    AMBIGUOUS 485 "Ambiguous";
    BUSY_HERE 486 "Busy Here";
    REQUEST_TERMINATED 487 "Request Terminated";
    NOT_ACCEPTABLE_HERE 488 "Not Acceptable Here";
    BAD_EVENT 489 "Bad Event";
    REQUEST_PENDING 491 "Request Pending";
    UNDECIPHERABLE 493 "Undecipherable";
    SERVER_INTERNAL_ERROR 500 "Server Internal Error";
    NOT_IMPLEMENTED 501 "Not Implemented";
    BAD_GATEWAY 502 "Bad Gateway";
    SERVICE_UNAVAILABLE 503 "Service Unavailable";
    SERVER_TIMEOUT 504 "Server Time-out";
    VERSION_NOT_SUPPORTED 505 "Version Not Supported";
    MESSAGE_TOO_LARGE 513 "Message Too Large";
    BUSY_EVERYWHERE 600 "Busy Everywhere";
    DECLINE 603 "Decline";
    DOES_NOT_EXIST_ANYWHERE 604 "Does Not Exist Anywhere";
    NOT_ACCEPTABLE_ANYWHERE 606 "Not Acceptable";
    UNWANTED 607 "Unwanted";
}
