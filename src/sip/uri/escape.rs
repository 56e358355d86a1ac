//! `%HH` in URIs, done and undone (RFC 3261 section 25.1).

/// Undoes `%HH`. A `%` that is no escape stays as it is; octets that are not UTF-8 are replaced.
pub fn unescape(text: &str) -> String {
    let octets: Vec<u8> = Unescaped(text.as_bytes()).map(|(octet, _)| octet).collect();
    String::from_utf8(octets).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// Appends `text`, writing each octet for which `plain` is false as `%HH`.
pub(super) fn escape_into(out: &mut String, text: &str, plain: fn(u8) -> bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for octet in text.bytes() {
        if plain(octet) {
            out.push(char::from(octet));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(octet >> 4)]));
            out.push(char::from(HEX[usize::from(octet & 15)]));
        }
    }
}

/// Escapes a value for the `?name=value` part of a URI.
pub fn escape_header(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 16);
    escape_into(&mut out, value, |b| {
        is_unreserved(b) || matches!(b, b'[' | b']' | b'/' | b':' | b'+' | b'$')
    });
    out
}

fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
}

pub(super) fn is_user_char(b: u8) -> bool {
    is_unreserved(b) || matches!(b, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
}

pub(super) fn is_param_char(b: u8) -> bool {
    is_unreserved(b) || matches!(b, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$')
}

/// Octets with `%HH` undone; the flag tells a reserved character that was escaped, which is not the same as the
/// bare character (RFC 3261 section 19.1.4).
pub(super) struct Unescaped<'a>(pub(super) &'a [u8]);

impl Iterator for Unescaped<'_> {
    type Item = (u8, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let (&first, rest) = self.0.split_first()?;
        let hex = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
        if first == b'%'
            && let [high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            self.0 = after;
            let octet = high << 4 | low;
            let reserved =
                matches!(octet, b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',');
            return Some((octet, reserved));
        }
        self.0 = rest;
        Some((first, false))
    }
}
