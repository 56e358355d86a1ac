//! What is wrong with a message, and what becomes of it: an answer, or nothing.

use std::borrow::Cow;

use thiserror::Error;

use super::{Headers, StatusCode};
use crate::sip::header::{HeaderError, Method, Name};

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
    /// Longer than [`MAX_MESSAGE_BYTES`](super::MAX_MESSAGE_BYTES).
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
    /// More than [`MAX_HEADERS`](super::MAX_HEADERS) lines, a line longer than [`MAX_HEADER_LINE_BYTES`](super::MAX_HEADER_LINE_BYTES) or a list too long.
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
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::VERSION_NOT_SUPPORTED,
            Self::Scheme => StatusCode::UNSUPPORTED_URI_SCHEME,
            Self::TooLarge | Self::HeaderLimit => StatusCode::MESSAGE_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// An answer if one can find its way back: there must be a Via with a readable sender, and an ACK is never answered.
/// To, From, Call-ID and CSeq may be missing; the answer then goes without them (RFC 4475 section 3.3.1).
pub(super) fn refuse_request(method: Method, headers: Headers, defect: Defect) -> ParseError {
    if method == Method::Ack || headers.list(Name::Via).next().is_none() {
        return ParseError::Drop(defect);
    }
    let (status, reason) = (defect.status(), Cow::Owned(defect.to_string()));
    ParseError::Reject(Box::new(Rejected { status, reason, method, headers }))
}
