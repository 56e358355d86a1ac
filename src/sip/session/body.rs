//! The session description in the body of a message (RFC 3261 section 20.11).

use bytes::Bytes;

use crate::sip::header::MediaType;
use crate::sip::message::Headers;
use crate::sip::multipart::parts;

/// The session description of a message: its body, or that part of a multipart body (SIP-I carries ISUP beside it).
/// `Err` when there is a body that says it must be understood and cannot be.
pub(in crate::sip) fn sdp_of(headers: &Headers, body: &Bytes) -> Result<Option<Bytes>, UnknownBody> {
    if body.is_empty() {
        return Ok(None);
    }
    let Ok(Some(kind)) = headers.content_type() else { return Err(UnknownBody) };
    if kind.is_sdp() {
        return Ok(Some(Bytes::copy_from_slice(body)));
    }
    if kind.kind.eq_ignore_ascii_case("multipart") {
        return sdp_part(&kind, body);
    }
    let disposition = headers.get(crate::sip::header::Name::ContentDisposition).unwrap_or_default();
    if handling_is_optional(&disposition) { Ok(None) } else { Err(UnknownBody) }
}

/// A body that must be understood and is not: answered 415.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sip) struct UnknownBody;

fn sdp_part(kind: &MediaType, body: &Bytes) -> Result<Option<Bytes>, UnknownBody> {
    let parts = parts(kind, body).ok_or(UnknownBody)?;
    let sdp = parts.iter().find(|part| part.is("application/sdp"));
    Ok(sdp.map(|part| Bytes::copy_from_slice(part.body)))
}

fn handling_is_optional(disposition: &[u8]) -> bool {
    String::from_utf8_lossy(disposition).to_ascii_lowercase().replace(' ', "").contains("handling=optional")
}
