//! The first line of a message (RFC 3261 sections 7.1 and 7.2).

use bytes::Bytes;

use super::defect::refuse_request;
use super::{Defect, Headers, ParseError, StatusCode};
use crate::sip::header::{self, Method};
use crate::sip::text::Text;
use crate::sip::uri::Uri;

pub(super) enum StartLine {
    Request { method: Method, uri: Result<Uri, Defect>, version: Result<(), Defect> },
    Response { status: StatusCode, reason: Text },
}

impl StartLine {
    /// Reads the first line. `Err` is a line that is neither a request nor a response, or a response nobody could
    /// use; faults of a request line are kept, because they can be answered.
    pub(super) fn parse(line: &Bytes) -> Result<Self, Defect> {
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

    pub(super) fn defect(&self) -> Option<Defect> {
        match self {
            // The version first: of another version we cannot know what a Request-URI may be.
            Self::Request { uri, version, .. } => version.err().or(uri.as_ref().err().copied()),
            Self::Response { .. } => None,
        }
    }

    pub(super) fn refuse(self, headers: Headers, defect: Defect) -> ParseError {
        match self {
            Self::Request { method, .. } => refuse_request(method, headers, defect),
            Self::Response { .. } => ParseError::Drop(defect),
        }
    }
}
