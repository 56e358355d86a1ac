//! The session description in the body of a message (RFC 2046 section 5.1, RFC 3261 section 20.11).

use bytes::Bytes;

use crate::sip::header::MediaType;
use crate::sip::message::Headers;

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

/// Most parts looked at in a multipart body. SIP-I has two, PIDF-LO calls three.
const MAX_PARTS: usize = 16;

/// RFC 2046 section 5.1.1, and two quotes. It also bounds the search.
const MAX_BOUNDARY: usize = 72;

fn sdp_part(kind: &MediaType, body: &Bytes) -> Result<Option<Bytes>, UnknownBody> {
    let boundary = kind.params.value("boundary").filter(|b| b.len() <= MAX_BOUNDARY).ok_or(UnknownBody)?;
    let mut marker = b"--".to_vec();
    marker.extend_from_slice(boundary.as_str().trim_matches('"').as_bytes());
    let mut rest = &body[..];
    let find = |hay: &[u8], needle: &[u8]| hay.windows(needle.len().max(1)).position(|w| w == needle);
    let Some(first) = find(rest, &marker) else { return Err(UnknownBody) };
    rest = &rest[first + marker.len()..];
    for _ in 0..MAX_PARTS {
        let Some(end) = find(rest, &marker) else { break };
        let part = &rest[..end];
        if let Some(gap) = find(part, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&part[..gap]).to_ascii_lowercase();
            let is_sdp = head.lines().any(|line| {
                line.strip_prefix("content-type")
                    .and_then(|line| line.trim_start().strip_prefix(':'))
                    .is_some_and(|value| value.trim_start().starts_with("application/sdp"))
            });
            if is_sdp {
                let text = &part[gap + 4..];
                // The line end in front of a boundary belongs to the boundary (RFC 2046 section 5.1.1).
                let text = text.strip_suffix(b"\r\n").unwrap_or(text);
                return Ok(Some(Bytes::copy_from_slice(text)));
            }
        }
        rest = &rest[end + marker.len()..];
    }
    Ok(None)
}

fn handling_is_optional(disposition: &[u8]) -> bool {
    String::from_utf8_lossy(disposition).to_ascii_lowercase().replace(' ', "").contains("handling=optional")
}
