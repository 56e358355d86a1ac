//! What RFC 3261 section 8.1.1 makes mandatory.

use super::defect::refuse_request;
use super::{Defect, Headers, MAX_VIAS, Message, ParseError, Request};
use crate::sip::header::{CSeq, HeaderError, Name, Via};
use crate::sip::uri::Scheme;

impl Message {
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
}

impl Request {
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
