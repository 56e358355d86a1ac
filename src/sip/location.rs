//! Where the caller of an emergency service is (RFC 6442): the header that names it, and the part of the body that says it
//! (PIDF-LO, RFC 4119).
//!
//! Nobody here reads it. It goes on to the octet, to a trunk that says it wants it (`pidf_lo`) and with calls to emergency
//! services alone, which the switchboard sees to; the description beside it is ours, as in every call.

use std::sync::Arc;

use bytes::Bytes;

use super::message::Request;
use super::multipart::{parts, written};
use crate::call::Opaque;
use crate::call::journey::Location;

/// RFC 6442 section 4.1.
const GEOLOCATION: &str = "Geolocation";

/// RFC 6442 section 4.2: whether the call may be routed by it.
const GEOLOCATION_ROUTING: &str = "Geolocation-Routing";

const PIDF: &str = "application/pidf+xml";

/// Header lines, and parts, that go on: one from the telephone and one from its network are two.
const EACH_MAX: usize = 4;

/// The longest header line that goes on: some URIs and their parameters.
const LINE_BYTES_MAX: usize = 1_024;

/// The longest part that goes on. A civic address with a shape on a map has some three thousand octets.
const PART_BYTES_MAX: usize = 16_384;

/// What a call brings of its caller's location.
pub(super) fn read(request: &Request) -> Option<Arc<Location>> {
    let headers = request.headers();
    let lines = [GEOLOCATION, GEOLOCATION_ROUTING].into_iter().flat_map(|name| {
        let short = headers.all_named(name).filter(|line| line.len() <= LINE_BYTES_MAX).take(EACH_MAX);
        short.map(move |line| (name, Opaque(Bytes::copy_from_slice(&line))))
    });
    let kind = headers.content_type().ok().flatten();
    let kind = kind.filter(|kind| kind.kind.eq_ignore_ascii_case("multipart"));
    let enclosed = kind.and_then(|kind| parts(&kind, request.body())).unwrap_or_default();
    let located = enclosed.iter().filter(|part| part.is(PIDF) && part.whole.len() <= PART_BYTES_MAX);
    let location = Location {
        lines: lines.collect(),
        parts: located.take(EACH_MAX).map(|part| Opaque(Bytes::copy_from_slice(part.whole))).collect(),
    };
    (location != Location::default()).then(|| Arc::new(location))
}

/// Our description with the location beside it: the Content-Type and the body. `boundary` is drawn by us, after they wrote.
pub(super) fn beside(sdp: &Bytes, location: &Location, boundary: &str) -> (String, Bytes) {
    let mut ours = b"Content-Type: application/sdp\r\n\r\n".to_vec();
    ours.extend_from_slice(sdp);
    let theirs = location.parts.iter().map(|part| &part.0[..]);
    written(std::iter::once(&ours[..]).chain(theirs), boundary)
}
