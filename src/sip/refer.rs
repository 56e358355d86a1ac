//! REFER and the news of what became of it (RFC 3515), as the one who is asked.
//!
//! ```text
//!   peer ── REFER ──────────────────> us      one at a time in a dialog
//!        <── 202 ─────────────────────        at once: accepted says no more than that we shall try
//!        <── NOTIFY 100 Trying, active ──
//!        <── NOTIFY 180 Ringing, active ─     once
//!        <── NOTIFY final, terminated ───     then another REFER may come
//! ```
//!
//! What is written here is the words alone; the dialog they travel in is `session`'s affair. Refer-To and Referred-By are
//! kept as the octets they came as: Microsoft's name a person by parameters that only Microsoft can read, and a byte
//! altered in them is a 400.

use bytes::Bytes;

use super::build::RequestBuilder;
use super::header::{Name, NameAddr};
use super::message::{Headers, StatusCode};

/// Longest Refer-To and Referred-By we carry. Microsoft documents 400 characters.
pub const MAX_VALUE: usize = 8 * 1024;

/// Referrals under way in one endpoint. Each is a call with two legs beside it, so this is more than the calls of a large
/// gateway could have transferred at one time.
pub const MAX_PENDING: usize = 1_000;

/// How long a subscription lives without news, in seconds. A transfer is given up before (`call::RINGS_MAX`).
const EXPIRES_S: u32 = 60;

/// The type of a body that quotes a status line (RFC 3420).
const SIPFRAG: &str = "message/sipfrag;version=2.0";

/// What a peer asks for by REFER.
#[derive(Clone, PartialEq, Eq)]
pub struct Asked {
    /// The Refer-To URI as it came.
    pub to: Bytes,
    /// The whole Referred-By value as it came, if there was one.
    pub by: Option<Bytes>,
}

impl std::fmt::Debug for Asked {
    /// Both name people.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let by = self.by.as_ref().map(Bytes::len);
        write!(f, "Asked {{ to: {} octets, by: {by:?} }}", self.to.len())
    }
}

impl Asked {
    /// Reads a REFER. The error is the status that says what is wrong with it.
    pub(super) fn read(headers: &Headers) -> Result<Asked, StatusCode> {
        // RFC 3515 section 2.4.2: exactly one Refer-To.
        let mut all = headers.all(Name::ReferTo);
        let (Some(value), None) = (all.next(), all.next()) else { return Err(StatusCode::BAD_REQUEST) };
        let by = headers.get(Name::ReferredBy);
        if value.len() > MAX_VALUE || by.as_ref().is_some_and(|by| by.len() > MAX_VALUE) {
            return Err(StatusCode::BAD_REQUEST);
        }
        let to = NameAddr::parse(value).map_err(|_| StatusCode::BAD_REQUEST)?;
        if !to.uri.is_sip() {
            return Err(StatusCode::UNSUPPORTED_URI_SCHEME);
        }
        let to = Bytes::copy_from_slice(to.uri.as_str().as_bytes());
        Ok(Asked { to, by: by.map(|by| Bytes::copy_from_slice(&by)) })
    }

    /// Both values as one run of octets, to be carried by somebody who does not read them.
    pub fn packed(&self) -> Bytes {
        let by = self.by.as_deref().unwrap_or_default();
        Bytes::from([&self.to[..], b"\n", by].concat())
    }

    /// The opposite of [`Asked::packed`]. No header value holds a line end, so the first one parts them.
    pub fn unpacked(packed: &Bytes) -> Asked {
        let end = packed.iter().position(|b| *b == b'\n').unwrap_or(packed.len());
        let by = packed.slice((end + 1).min(packed.len())..);
        Asked { to: packed.slice(..end), by: (!by.is_empty()).then_some(by) }
    }
}

/// A referral that was accepted and has not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pending {
    /// For a second REFER in a dialog: news of it are told apart by its CSeq (RFC 3515 section 2.4.6).
    id: Option<u32>,
}

impl Pending {
    pub(super) fn new(cseq: u32, first: bool) -> Pending {
        Pending { id: (!first).then_some(cseq) }
    }

    /// Completes a NOTIFY with this news. A final status ends the subscription.
    pub(super) fn write(self, notify: RequestBuilder, status: StatusCode) -> RequestBuilder {
        let event = match self.id {
            Some(id) => format!("refer;id={id}"),
            None => "refer".to_owned(),
        };
        let state = if status.is_final() {
            "terminated;reason=noresource".to_owned()
        } else {
            format!("active;expires={EXPIRES_S}")
        };
        // RFC 3515 section 2.4.5: at least a status line.
        let line = format!("SIP/2.0 {} {}\r\n", status.as_u16(), status.phrase());
        notify.header(Name::Event, event).header(Name::SubscriptionState, state).body(SIPFRAG, line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_as_it_went_in() {
        let both = Asked {
            to: Bytes::from_static(b"sip:a@b;x-m=8:orgid:1"),
            by: Some(Bytes::from_static(b"<sip:c;x=%3D>")),
        };
        let one = Asked { to: Bytes::from_static(b"sip:a@b"), by: None };
        for asked in [both, one] {
            assert_eq!(Asked::unpacked(&asked.packed()), asked);
        }
        assert_eq!(Asked::unpacked(&Bytes::new()).to, Bytes::new());
    }
}
