//! Signs of voicemail in what a peer says when it answers. Pure: header fields in, a word out.

use super::header::Name;
use super::message::Headers;

/// Whether the answer says that a mailbox has taken the call: Microsoft's `opaque=app:voicemail`, which it takes for its
/// own, or the last entry of History-Info naming a mailbox the way RFC 4458 does (`target` and `cause` in its URI).
///
/// Neither is promised by anybody, so both are signs and no proof.
pub(super) fn is_announced(headers: &Headers) -> bool {
    let says = |name| {
        let mut values = headers.all(name);
        values.any(|value| is_microsofts(&lower(&value)))
    };
    if [Name::Contact, Name::To, Name::HistoryInfo].into_iter().any(says) {
        return true;
    }
    let last = headers.all(Name::HistoryInfo).last().map(|value| lower(&value));
    last.is_some_and(|value| value.rsplit(',').next().is_some_and(is_mailbox))
}

fn lower(value: &[u8]) -> String {
    String::from_utf8_lossy(value).to_ascii_lowercase()
}

fn is_microsofts(value: &str) -> bool {
    value.split([';', '>', '?', ',']).any(|part| part.trim() == "opaque=app:voicemail")
}

/// RFC 4458 section 2: `target` is the mailbox, `cause` why the call has come to it.
fn is_mailbox(entry: &str) -> bool {
    let Some(uri) = entry.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(uri, _)| uri)
    else {
        return false;
    };
    // What follows `?` are headers of the URI, where Microsoft writes a Reason with a cause of its own.
    let uri = uri.split('?').next().unwrap_or_default();
    let has = |name: &str| uri.split(';').skip(1).any(|param| param.split('=').next() == Some(name));
    has("target") && has("cause")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_known_by_its_words() {
        for entry in [
            "<sip:voicemail@example.com;target=sip:+15551002%40example.com;cause=486>;index=1",
            "<sip:vm@example.com;cause=408;target=bob>;index=1.1",
        ] {
            assert!(is_mailbox(entry), "{entry}");
        }
        for entry in [
            "<sip:+15550122@sip.example.com?reason=sip%3bcause%3d302>;index=1",
            "<sip:+15550122@sip.example.com;user=phone>;index=1;cause=302;target=x",
            "<sip:bob@example.com;cause=302>;index=1.1",
            "sip:bob@example.com;cause=302;target=x",
        ] {
            assert!(!is_mailbox(entry), "{entry}");
        }
        assert!(is_microsofts("<sip:+1555@sip.pstnhub.microsoft.com:5061;opaque=app:voicemail;user=phone>"));
        assert!(!is_microsofts("<sip:opaque=app:voicemails@example.com>"));
    }
}
