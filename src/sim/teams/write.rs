//! Messages as Microsoft writes them: header names in capitals, display names without quotation marks, a Contact on
//! port 443 that listens to no SIP, and opaque parameters that must come back as they are.

use bytes::Bytes;

/// Header names are written in capitals here, whatever the caller has.
pub(super) fn message(first: &str, headers: &[(&str, String)], body: &str) -> Bytes {
    let mut text = format!("{first}\r\n");
    for (name, value) in headers {
        text.push_str(&name.to_ascii_uppercase());
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    }
    if !body.is_empty() {
        text.push_str("CONTENT-TYPE: application/sdp\r\n");
    }
    text.push_str(&format!("CONTENT-LENGTH: {}\r\n\r\n{body}", body.len()));
    Bytes::from(text)
}

/// A GUID of a number, so that a reader of a failed test finds it again.
pub(super) fn guid(kind: u16, number: u64) -> String {
    format!("{number:08x}-{kind:04x}-4000-8000-00155d{number:06x}")
}

/// The reason phrase of a status.
pub(super) fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        405 => "Method Not Allowed",
        420 => "Bad Extension",
        481 => "Call Leg/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        503 => "Service Unavailable",
        603 => "Decline",
        _ => "Status",
    }
}
