//! A dialog: what two user agents must remember to keep talking (RFC 3261 section 12).
//!
//! It holds octets, not messages: tags, Call-ID, addresses and route set are copied out of the message that made the
//! dialog, so no datagram stays alive for the length of a call, and the peer's Contact and Record-Route go back
//! byte for byte.

use bytes::Bytes;

use super::build::RequestBuilder;
use super::header::{Method, Name, NameAddr};
use super::message::{Headers, Request, Response};
use super::text::Text;
use super::uri::Uri;

/// Most Record-Route entries a dialog keeps. A request with more hops than this on its way is a loop.
pub const MAX_ROUTES: usize = 32;

/// One side of a dialog.
#[derive(Debug, Clone)]
pub struct Dialog {
    call_id: Text,
    /// Our From or To value, with our tag.
    local: Bytes,
    /// The peer's, with its tag if it has one (RFC 2543 peers may have none).
    remote: Bytes,
    remote_tag: Text,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    target: Uri,
    routes: Vec<NameAddr>,
}

/// What a request inside a dialog is, by its CSeq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It comes after all that came before.
    InOrder,
    /// Its number was passed already: RFC 3261 section 12.2.2 answers 500.
    Late,
}

impl Dialog {
    /// The dialog that our answer to `request` makes (RFC 3261 section 12.1.1). `local` is the To of our
    /// responses, tag included. `None` when the request has no usable Contact or too many routes.
    pub fn as_server(request: &Request, local: Bytes) -> Option<Dialog> {
        let headers = request.headers();
        let from = headers.from().ok()?;
        let routes = copied_routes(headers, false)?;
        Some(Dialog {
            call_id: copied(&headers.call_id().ok()?),
            local,
            remote: Bytes::copy_from_slice(&headers.get(Name::From)?),
            remote_tag: copied(&from.tag().unwrap_or_default()),
            local_cseq: 0,
            remote_cseq: Some(headers.cseq().ok()?.number),
            target: copied_uri(&headers.contact().ok()??.uri)?,
            routes,
        })
    }

    /// The dialog that `response` makes for the caller (RFC 3261 section 12.1.2). `local` is our From value,
    /// `asked` the URI we called, which stands in for a missing Contact.
    pub fn as_client(response: &Response, local: Bytes, cseq: u32, asked: &Uri) -> Option<Dialog> {
        let headers = response.headers();
        let to = headers.to().ok()?;
        let target = match headers.contact() {
            Ok(Some(contact)) => copied_uri(&contact.uri)?,
            _ => asked.clone(),
        };
        Some(Dialog {
            call_id: copied(&headers.call_id().ok()?),
            local,
            remote: Bytes::copy_from_slice(&headers.get(Name::To)?),
            remote_tag: copied(&to.tag().unwrap_or_default()),
            local_cseq: cseq,
            remote_cseq: None,
            target,
            routes: copied_routes(headers, true)?,
        })
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Our From or To value, tag included.
    pub fn local(&self) -> &Bytes {
        &self.local
    }

    /// The peer's tag, empty when it has none.
    pub fn remote_tag(&self) -> &str {
        &self.remote_tag
    }

    /// Where requests inside the dialog are addressed.
    pub fn target(&self) -> &Uri {
        &self.target
    }

    /// The URI whose address the next request is sent to: the first route, or the target.
    pub fn next_hop(&self) -> &Uri {
        self.routes.first().map_or(&self.target, |route| &route.uri)
    }

    /// The first route, if requests are routed.
    pub fn first_route(&self) -> Option<&Uri> {
        self.routes.first().map(|route| &route.uri)
    }

    /// Whether a message with this Call-ID and remote tag belongs here. The local tag was looked up already.
    pub fn is_of(&self, call_id: &str, remote_tag: &str) -> bool {
        self.call_id == *call_id && self.remote_tag == *remote_tag
    }

    /// The number for the next request of ours.
    pub fn next_cseq(&mut self) -> u32 {
        self.local_cseq += 1;
        self.local_cseq
    }

    /// Goes on with the numbers of the early dialog that this one confirms.
    pub fn continue_from(&mut self, early: &Dialog) {
        self.local_cseq = self.local_cseq.max(early.local_cseq);
        self.remote_cseq = self.remote_cseq.or(early.remote_cseq);
    }

    /// Notes the number of a request of theirs.
    pub fn heard(&mut self, cseq: u32) -> Order {
        match self.remote_cseq {
            Some(last) if cseq <= last => Order::Late,
            _ => {
                self.remote_cseq = Some(cseq);
                Order::InOrder
            }
        }
    }

    /// Takes the Contact of a target refresh request or its answer as the new target (RFC 3261 section 12.2).
    pub fn refresh_target(&mut self, headers: &Headers) {
        if let Ok(Some(contact)) = headers.contact()
            && contact.uri != self.target
            && let Some(uri) = copied_uri(&contact.uri)
        {
            self.target = uri;
        }
    }

    /// The Request-URI of a request inside the dialog: the target, or a strict router that wants to be it.
    pub fn request_uri(&self) -> &Uri {
        match self.routes.first() {
            Some(first) if !first.uri.is_loose_router() => &first.uri,
            _ => &self.target,
        }
    }

    /// A request inside the dialog (RFC 3261 section 12.2.1.1), short of its Via, which `via` adds in its place.
    pub fn request(
        &self,
        method: Method,
        cseq: u32,
        via: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> RequestBuilder {
        let (uri, last) = match self.routes.first() {
            // A strict router wants to be the Request-URI, and the target goes to the end of the route.
            Some(first) if !first.uri.is_loose_router() => {
                (&first.uri, Some(NameAddr::new(self.target.clone())))
            }
            _ => (&self.target, None),
        };
        let skipped = usize::from(last.is_some());
        via(RequestBuilder::new(method, uri))
            .max_forwards(70)
            .routes(self.routes.iter().skip(skipped))
            .routes(last.as_ref())
            .header(Name::From, &self.local)
            .header(Name::To, &self.remote)
            .call_id(&self.call_id)
            .cseq(cseq)
    }
}

fn copied(text: &Text) -> Text {
    Text::from(text.as_str())
}

fn copied_uri(uri: &Uri) -> Option<Uri> {
    Uri::parse(Bytes::copy_from_slice(uri.as_str().as_bytes())).ok()
}

/// The Record-Route values, reversed for the caller (RFC 3261 section 12.1.2).
fn copied_routes(headers: &Headers, reversed: bool) -> Option<Vec<NameAddr>> {
    let mut routes = Vec::new();
    for value in headers.list(Name::RecordRoute) {
        if routes.len() == MAX_ROUTES {
            return None;
        }
        routes.push(NameAddr::parse(Bytes::copy_from_slice(&value)).ok()?);
    }
    if reversed {
        routes.reverse();
    }
    routes.shrink_to_fit();
    Some(routes)
}
