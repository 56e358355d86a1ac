//! Writing messages. An outgoing message is always built anew, never a received one patched.
//!
//! Values go in as typed values or as octets; CR and LF in any of them are refused by `build`, so nothing
//! that came from elsewhere can add a header or a message.

use std::net::SocketAddr;

use bytes::Bytes;
use thiserror::Error;

use super::header::{self, CSeq, NameAddr, Via};
use super::message::{
    Headers, MAX_MESSAGE_BYTES, Message, Method, Name, ParseError, Rejected, Request, Response, StatusCode,
};
use super::uri::Uri;

/// Why a message could not be written.
#[derive(Debug, Error)]
pub enum BuildError {
    /// CR or LF in a value.
    #[error("header {0} holds a line break")]
    Injection(String),
    /// A header name that is no token.
    #[error("header name is no token")]
    Name,
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("message too large")]
    TooLarge,
    /// What was put in does not make a message.
    #[error("what was built is no message")]
    Unreadable(#[source] ParseError),
}

/// Writes a request.
#[derive(Debug, Clone)]
pub struct RequestBuilder {
    method: Method,
    wire: Wire,
    /// Where its topmost Via stands.
    top_via: Option<std::ops::Range<usize>>,
}

/// Writes a response.
#[derive(Debug, Clone)]
pub struct ResponseBuilder {
    wire: Wire,
    /// To is written last, since a tag may still come.
    to: Option<To>,
}

#[derive(Debug, Clone)]
enum To {
    Read(NameAddr),
    /// Could not be read; goes back as it came.
    Raw(Bytes),
}

/// Octets so far, and the first fault.
#[derive(Debug, Clone)]
struct Wire {
    out: Vec<u8>,
    body: Bytes,
    fault: Option<Fault>,
}

#[derive(Debug, Clone)]
enum Fault {
    Injection(String),
    Name,
}

/// Room for a usual message without growing.
const USUAL_MESSAGE_BYTES: usize = 1536;

impl RequestBuilder {
    /// A request to `uri`. `?headers` of the URI are left out, as RFC 3261 section 19.1.1 asks.
    pub fn new(method: Method, uri: &Uri) -> Self {
        let mut wire = Wire::new();
        let uri = uri.without_headers();
        wire.line(&[method.as_str().as_bytes(), b" ", uri.as_str().as_bytes(), b" SIP/2.0"]);
        Self { method, wire, top_via: None }
    }

    /// Adds a Via; the first one added is topmost.
    pub fn via(mut self, via: &Via) -> Self {
        let from = self.wire.out.len();
        self.wire.header(Name::Via.as_str().as_bytes(), via.to_string().as_bytes());
        let to = self.wire.out.len();
        self.top_via.get_or_insert(from..to);
        self
    }

    /// The same request with another topmost Via: it goes by another transport (RFC 3261 section 18.1.1).
    pub(super) fn by_way_of(mut self, via: &Via) -> Self {
        let mut line = Wire { out: Vec::new(), body: Bytes::new(), fault: None };
        line.header(Name::Via.as_str().as_bytes(), via.to_string().as_bytes());
        let at = self.top_via.take().unwrap_or_default();
        self.top_via = Some(at.start..at.start + line.out.len());
        self.wire.out.splice(at, line.out);
        self.wire.fault = self.wire.fault.take().or(line.fault);
        self
    }

    /// How many octets it will have; a few more, never fewer.
    pub(super) fn octets(&self) -> usize {
        const CONTENT_LENGTH: usize = "Content-Length: 65535\r\n\r\n".len();
        self.wire.out.len() + CONTENT_LENGTH + self.wire.body.len()
    }

    /// Sets Max-Forwards.
    pub fn max_forwards(self, hops: u8) -> Self {
        self.header(Name::MaxForwards, hops.to_string())
    }

    /// Sets From.
    pub fn from(self, from: &NameAddr) -> Self {
        self.header(Name::From, from.to_bytes())
    }

    /// Sets To.
    pub fn to(self, to: &NameAddr) -> Self {
        self.header(Name::To, to.to_bytes())
    }

    /// Sets Call-ID.
    pub fn call_id(self, id: &str) -> Self {
        self.header(Name::CallId, id)
    }

    /// Sets CSeq, with the method of the request.
    pub fn cseq(self, number: u32) -> Self {
        let cseq = CSeq { number, method: self.method.clone() };
        self.header(Name::CSeq, cseq.to_string())
    }

    /// Adds a Contact.
    pub fn contact(self, contact: &NameAddr) -> Self {
        self.header(Name::Contact, contact.to_bytes())
    }

    /// Adds Route headers, topmost first.
    pub fn routes<'a>(self, routes: impl IntoIterator<Item = &'a NameAddr>) -> Self {
        routes.into_iter().fold(self, |request, route| request.header(Name::Route, route.to_bytes()))
    }

    /// Adds a header line.
    pub fn header(mut self, name: Name, value: impl AsRef<[u8]>) -> Self {
        self.wire.header(name.as_str().as_bytes(), value.as_ref());
        self
    }

    /// Adds a header line by name.
    pub fn named(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.wire.header(name.as_bytes(), value.as_ref());
        self
    }

    /// Sets the body and its Content-Type.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.wire.header(Name::ContentType.as_str().as_bytes(), content_type.as_bytes());
        self.wire.body = body.into();
        self
    }

    /// Writes Content-Length and the body. The result was read back and checked like a received message.
    pub fn build(self) -> Result<Request, BuildError> {
        match self.wire.finish()? {
            Message::Request(request) => request.validated().map_err(BuildError::Unreadable),
            Message::Response(_) => Err(BuildError::Name),
        }
    }
}

impl ResponseBuilder {
    /// A response to `request`: Via, From, To, Call-ID and CSeq go back as they came (RFC 3261 section 8.2.6.2).
    /// The request is taken to have come from `source`, which goes into the top Via.
    pub fn new(request: &Request, status: StatusCode, source: SocketAddr) -> Self {
        Self::answer(request.headers(), status, status.phrase(), source)
    }

    /// The answer that a bad request deserves. What the request lacks, the answer lacks.
    pub fn to_rejected(rejected: &Rejected, source: SocketAddr) -> Self {
        Self::answer(&rejected.headers, rejected.status, &rejected.reason, source)
    }

    /// The same as [`ResponseBuilder::new`] with a reason phrase of its own.
    pub fn with_reason(request: &Request, status: StatusCode, reason: &str, source: SocketAddr) -> Self {
        Self::answer(request.headers(), status, reason, source)
    }

    fn answer(headers: &Headers, status: StatusCode, reason: &str, source: SocketAddr) -> Self {
        let mut wire = Wire::new();
        wire.line(&[b"SIP/2.0 ", status.to_string().as_bytes(), b" ", reason.as_bytes()]);
        for (i, raw) in headers.list(Name::Via).enumerate() {
            let top = (i == 0).then(|| Via::parse(raw.clone()).ok()).flatten();
            match top {
                Some(via) => wire.header(b"Via", via.seen_from(source).to_string().as_bytes()),
                None => wire.header(b"Via", &raw),
            }
        }
        for name in [Name::From, Name::CallId, Name::CSeq] {
            if let Some(value) = headers.get(name) {
                wire.header(name.as_str().as_bytes(), &value);
            }
        }
        // RFC 3261 section 8.2.6.1: a 100 repeats the Timestamp.
        if status == StatusCode::TRYING
            && let Some(value) = headers.get(Name::Timestamp)
        {
            wire.header(b"Timestamp", &value);
        }
        let to = match headers.to() {
            Ok(to) => Some(To::Read(to)),
            Err(_) => headers.get(Name::To).map(To::Raw),
        };
        Self { wire, to }
    }

    /// Gives To this tag, unless the request had one.
    pub fn to_tag(mut self, tag: &str) -> Self {
        if let Some(To::Read(to)) = &mut self.to
            && to.tag().is_none()
        {
            *to = to.clone().with_tag(tag);
        }
        self
    }

    /// Copies the Record-Route headers of `request`, as a response that makes a dialog must
    /// (RFC 3261 section 12.1.1).
    pub fn record_routes(mut self, request: &Request) -> Self {
        for value in request.headers().all(Name::RecordRoute) {
            self.wire.header(b"Record-Route", &value);
        }
        self
    }

    /// Adds a Contact.
    pub fn contact(self, contact: &NameAddr) -> Self {
        self.header(Name::Contact, contact.to_bytes())
    }

    /// Adds a header line.
    pub fn header(mut self, name: Name, value: impl AsRef<[u8]>) -> Self {
        self.wire.header(name.as_str().as_bytes(), value.as_ref());
        self
    }

    /// Adds a header line by name.
    pub fn named(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.wire.header(name.as_bytes(), value.as_ref());
        self
    }

    /// Sets the body and its Content-Type.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.wire.header(Name::ContentType.as_str().as_bytes(), content_type.as_bytes());
        self.wire.body = body.into();
        self
    }

    /// Writes To, Content-Length and the body.
    pub fn build(mut self) -> Result<Response, BuildError> {
        match &self.to {
            Some(To::Read(to)) => self.wire.header(b"To", &to.to_bytes()),
            Some(To::Raw(raw)) => self.wire.header(b"To", raw),
            None => {}
        }
        match self.wire.finish()? {
            Message::Response(response) => Ok(response),
            Message::Request(_) => Err(BuildError::Name),
        }
    }
}

impl Wire {
    fn new() -> Self {
        Self { out: Vec::with_capacity(USUAL_MESSAGE_BYTES), body: Bytes::new(), fault: None }
    }

    fn line(&mut self, pieces: &[&[u8]]) {
        for piece in pieces {
            if piece.iter().any(|b| matches!(b, b'\r' | b'\n')) {
                self.fault.get_or_insert_with(|| Fault::Injection("start line".into()));
                return;
            }
            self.out.extend_from_slice(piece);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    fn header(&mut self, name: &[u8], value: &[u8]) {
        if !header::is_token(name) {
            self.fault.get_or_insert(Fault::Name);
            return;
        }
        if value.iter().any(|b| matches!(b, b'\r' | b'\n')) {
            let name = String::from_utf8_lossy(name).into_owned();
            self.fault.get_or_insert(Fault::Injection(name));
            return;
        }
        for piece in [name, b": ", value, b"\r\n"] {
            self.out.extend_from_slice(piece);
        }
    }

    fn finish(mut self) -> Result<Message, BuildError> {
        match self.fault {
            Some(Fault::Injection(name)) => return Err(BuildError::Injection(name)),
            Some(Fault::Name) => return Err(BuildError::Name),
            None => {}
        }
        let length = self.body.len().to_string();
        self.header(b"Content-Length", length.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        if self.out.len() + self.body.len() > MAX_MESSAGE_BYTES {
            return Err(BuildError::TooLarge);
        }
        self.out.extend_from_slice(&self.body);
        Message::parse_stream(Bytes::from(self.out)).map_err(BuildError::Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::header::Transport;

    const TEAMS: &[u8] = include_bytes!("../../tests/wire/teams-invite.sip");

    fn source() -> SocketAddr {
        "203.0.113.5:40000".parse().unwrap()
    }

    fn teams() -> Request {
        match Message::parse_datagram(Bytes::from_static(TEAMS)).and_then(Message::validated) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn options() -> RequestBuilder {
        let uri: Uri = "sip:b@example.com?Subject=x".parse().unwrap();
        let via = Via::new(Transport::Udp, "192.0.2.1".parse().unwrap(), Some(5060), "z9hG4bK1");
        let me = NameAddr::new("sip:a@example.com".parse().unwrap());
        RequestBuilder::new(Method::Options, &uri)
            .via(&via)
            .max_forwards(70)
            .from(&me.clone().with_display("A \"B\"\r\nX: y").with_tag("1"))
            .to(&me)
            .call_id("1@192.0.2.1")
            .cseq(7)
    }

    #[test]
    fn a_built_request_reads_back_as_it_was_meant() {
        let request = options().body("text/plain", "hi").build().unwrap();
        assert_eq!(request.uri().as_str(), "sip:b@example.com");
        assert_eq!(request.headers().from().unwrap().display_name().unwrap(), "A \"B\"  X: y");
        assert_eq!(request.headers().cseq().unwrap().number, 7);
        assert_eq!((&request.body()[..], request.headers().content_length()), (&b"hi"[..], Ok(Some(2))));
        assert_eq!(request.headers().len(), 8);
    }

    #[test]
    fn a_line_break_in_any_value_is_refused() {
        let refused = options().header(Name::Subject, "x\r\nContact: <sip:evil@example.net>").build();
        assert!(matches!(refused, Err(BuildError::Injection(name)) if name == "Subject"));
        assert!(matches!(options().named("X-A", "b\nc").build(), Err(BuildError::Injection(_))));
        assert!(matches!(options().named("X: y\r\nZ", "b").build(), Err(BuildError::Name)));
        let refused = ResponseBuilder::with_reason(&teams(), StatusCode::OK, "a\r\nb", source()).build();
        assert!(matches!(refused, Err(BuildError::Injection(_))));
    }

    #[test]
    fn a_response_carries_back_what_it_must_and_where_the_request_came_from() {
        let request = options().build().unwrap();
        let response = ResponseBuilder::new(&request, StatusCode::OK, source()).to_tag("9").build().unwrap();
        let via = response.headers().top_via().unwrap();
        assert_eq!((via.received(), via.rport()), (Some(source().ip()), Some(Some(40000))));
        assert_eq!(response.headers().to().unwrap().tag().unwrap(), "9");
        assert_eq!(response.headers().get(Name::From), request.headers().get(Name::From));
        assert_eq!(response.headers().get(Name::CSeq).unwrap(), "7 OPTIONS");
    }

    #[test]
    fn microsofts_record_route_and_contact_come_back_octet_by_octet() {
        let request = teams();
        let contact = request.headers().contact().unwrap().unwrap();
        let ack = RequestBuilder::new(Method::Ack, &contact.uri)
            .via(&Via::new(Transport::Tls, "sbc1.example.com".parse().unwrap(), None, "z9hG4bK2"))
            .routes(&request.headers().record_routes().unwrap())
            .from(&request.headers().to().unwrap().with_tag("t"))
            .to(&request.headers().from().unwrap())
            .call_id(&request.headers().call_id().unwrap())
            .cseq(1)
            .build()
            .unwrap();
        let raw = request.headers().get(Name::Contact).unwrap();
        assert_eq!(ack.uri().as_str().as_bytes(), &raw[1..raw.len() - 1]);
        assert_eq!(ack.headers().get(Name::Route), request.headers().get(Name::RecordRoute));
        let response = ResponseBuilder::new(&request, StatusCode::RINGING, source()).record_routes(&request);
        let response = response.build().unwrap();
        assert_eq!(response.headers().get(Name::RecordRoute), request.headers().get(Name::RecordRoute));
    }
}
