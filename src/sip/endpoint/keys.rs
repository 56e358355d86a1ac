//! By what a request is recognised (RFC 3261 sections 8.2.2.2 and 17.2.3).

use crate::sip::flow::Peer;
use crate::sip::header::{Method, Name, Via};
use crate::sip::message::Request;

/// By what a request is recognised.
pub(super) struct Keys {
    pub(super) via: Via,
    /// RFC 3261 section 17.2.3.
    pub(super) transaction: Box<[u8]>,
    /// The INVITE that a CANCEL or an ACK means; empty for other requests.
    pub(super) invite: Box<[u8]>,
    /// RFC 3261 section 8.2.2.2, for requests outside a dialog.
    pub(super) origin: Option<Box<[u8]>>,
}

impl Keys {
    /// A transaction that came over TLS has another key than one in clear: whoever has read a branch elsewhere can neither
    /// cancel nor acknowledge what was private, nor stand in the way of whoever may.
    pub(super) fn of(request: &Request, peer: &Peer) -> Option<Keys> {
        let headers = request.headers();
        let via = headers.top_via().ok()?;
        let cseq = headers.cseq().ok()?;
        let number = cseq.number.to_be_bytes();
        let call_id = headers.get(Name::CallId)?;
        let from_tag = headers.from().ok()?.tag().unwrap_or_default();
        let sent_by = format!("{}:{}", via.host, via.port.unwrap_or(5060)).to_ascii_lowercase();
        let secure: &[u8] = if peer.transport.is_secure() { b"private" } else { b"clear" };
        let key = |method: &str| -> Box<[u8]> {
            match via.transaction_branch() {
                Some(branch) => joined(&[secure, method.as_bytes(), branch.as_bytes(), sent_by.as_bytes()]),
                // RFC 2543 peers: everything that stays the same between copies.
                None => joined(&[
                    secure,
                    method.as_bytes(),
                    request.uri().as_str().as_bytes(),
                    from_tag.as_bytes(),
                    &call_id,
                    &number,
                    via.to_string().as_bytes(),
                ]),
            }
        };
        let inside = headers.to().ok()?.tag().is_some();
        let method = request.method().as_str();
        let out_of_dialog = !inside && !matches!(request.method(), Method::Ack | Method::Cancel);
        let origin =
            out_of_dialog.then(|| joined(&[method.as_bytes(), from_tag.as_bytes(), &call_id, &number]));
        let needs_invite = matches!(request.method(), Method::Ack | Method::Cancel);
        let (transaction, invite) = (key(method), if needs_invite { key("INVITE") } else { Box::default() });
        Some(Keys { via, transaction, invite, origin })
    }
}

/// Pieces with their lengths, so that no two lists of pieces look the same.
fn joined(pieces: &[&[u8]]) -> Box<[u8]> {
    let mut key = Vec::with_capacity(pieces.iter().map(|piece| piece.len() + 4).sum());
    for piece in pieces {
        key.extend_from_slice(&(piece.len() as u32).to_be_bytes());
        key.extend_from_slice(piece);
    }
    key.into_boxed_slice()
}
