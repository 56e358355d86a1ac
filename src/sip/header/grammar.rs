//! What header values are made of (RFC 3261 section 25.1): tokens, quoted strings, numbers and lists.

use bytes::Bytes;

use super::BadValue;

/// Reads Retry-After (RFC 3261 section 20.33): seconds, whatever comment or parameters follow.
pub fn parse_retry_after(raw: &[u8]) -> Result<u32, BadValue> {
    let end = raw.iter().position(|b| !b.is_ascii_digit()).unwrap_or(raw.len());
    let tail = trim_slice(&raw[end..]);
    if !matches!(tail.first(), None | Some(b'(' | b';')) {
        return Err(BadValue::Malformed);
    }
    parse_number(&raw[..end])
}

/// Reads a decimal number of any length, with blanks around it.
pub fn parse_number(raw: &[u8]) -> Result<u32, BadValue> {
    let digits = trim_slice(raw);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadValue::Malformed);
    }
    digits
        .iter()
        .try_fold(0u32, |sum, d| sum.checked_mul(10)?.checked_add(u32::from(d - b'0')))
        .ok_or(BadValue::OutOfRange)
}

/// Whether this can be a Call-ID: `word [@ word]`, which in practice is any visible text.
pub fn is_call_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b > b' ' && b != 0x7f)
}

/// Cuts a value at the commas outside quotes and `<>`. Empty pieces (`a,,b`) are left out; an open quote keeps the
/// rest as one piece, which its reader then refuses.
pub fn split_list(raw: &Bytes) -> impl Iterator<Item = Bytes> + use<> {
    let mut rest = Some(raw.clone());
    std::iter::from_fn(move || {
        loop {
            let text = rest.take()?;
            let mut in_brackets = false;
            let found = find_outside_quotes(&text, |b| {
                match b {
                    b'<' => in_brackets = true,
                    b'>' => in_brackets = false,
                    _ => {}
                }
                b == b',' && !in_brackets
            });
            let piece = match found {
                Found::At(i) => {
                    rest = Some(text.slice(i + 1..));
                    trim(&text.slice(..i))
                }
                Found::Nowhere | Found::OpenQuote => trim(&text),
            };
            if !piece.is_empty() {
                return Some(piece);
            }
        }
    })
}

pub(super) enum Found {
    At(usize),
    Nowhere,
    OpenQuote,
}

pub(super) fn find_outside_quotes(text: &[u8], mut wanted: impl FnMut(u8) -> bool) -> Found {
    let mut i = 0;
    while let Some(&b) = text.get(i) {
        if b == b'"' {
            match end_of_quoted(&text[i + 1..]) {
                Some(end) => i += end + 2,
                None => return Found::OpenQuote,
            }
            continue;
        }
        if wanted(b) {
            return Found::At(i);
        }
        i += 1;
    }
    Found::Nowhere
}

/// Where the closing quote lies in text that begins behind the opening one.
pub(super) fn end_of_quoted(inner: &[u8]) -> Option<usize> {
    let mut i = 0;
    loop {
        match inner.get(i)? {
            b'\\' => i += 2,
            b'"' => return Some(i),
            _ => i += 1,
        }
    }
}

/// Value and `;params`, cut at the first `;` outside quotes.
pub(super) fn cut_params(raw: &Bytes) -> (Bytes, Bytes) {
    match find_outside_quotes(raw, |b| b == b';') {
        Found::At(i) => (trim(&raw.slice(..i)), raw.slice(i..)),
        Found::Nowhere | Found::OpenQuote => (trim(raw), Bytes::new()),
    }
}

/// The first word and what follows it.
pub(super) fn cut_word(raw: &Bytes) -> (Bytes, Bytes) {
    let raw = trim(raw);
    let end = raw.iter().position(|&b| is_blank(b)).unwrap_or(raw.len());
    (raw.slice(..end), trim(&raw.slice(end..)))
}

/// Without quotes and escapes; text without quotes stays as it is.
pub(super) fn unquote(raw: &Bytes) -> Bytes {
    let Some(inner) = raw.strip_prefix(b"\"").and_then(|r| r.strip_suffix(b"\"")) else { return raw.clone() };
    if !inner.contains(&b'\\') {
        return raw.slice_ref(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut octets = inner.iter();
    while let Some(&b) = octets.next() {
        out.push(if b == b'\\' { octets.next().copied().unwrap_or(b) } else { b });
    }
    Bytes::from(out)
}

/// A quoted-string; line breaks, which no quoting can carry, become blanks.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\r' | '\n' | '\0' => out.push(' '),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

pub(in crate::sip) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_char)
}

pub(super) const fn is_token_char(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

pub(in crate::sip) fn is_blank(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

pub(in crate::sip) fn trim(raw: &Bytes) -> Bytes {
    raw.slice_ref(trim_slice(raw))
}

pub(super) fn trim_slice(mut raw: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = raw
        && is_blank(*first)
    {
        raw = rest;
    }
    while let [rest @ .., last] = raw
        && is_blank(*last)
    {
        raw = rest;
    }
    raw
}
