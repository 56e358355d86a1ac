//! Bodies of several parts (RFC 2046 section 5.1): the description of a session beside what else a network encloses.

use bytes::Bytes;

use super::header::MediaType;

/// Most parts looked at. SIP-I has two, a call that brings its caller's location three.
const PARTS_MAX: usize = 16;

/// RFC 2046 section 5.1.1, and two quotes. It also bounds the search.
const BOUNDARY_MAX: usize = 72;

/// One part.
pub(super) struct Part<'a> {
    /// Its own header lines, the empty line after them, and its body.
    pub(super) whole: &'a [u8],
    head: &'a [u8],
    pub(super) body: &'a [u8],
}

impl Part<'_> {
    /// Whether its Content-Type is this, given in lower case.
    pub(super) fn is(&self, kind: &str) -> bool {
        let head = String::from_utf8_lossy(self.head).to_ascii_lowercase();
        head.replace("\r\n ", " ").replace("\r\n\t", " ").lines().any(|line| {
            let value =
                line.strip_prefix("content-type").and_then(|line| line.trim_start().strip_prefix(':'));
            let rest = value.and_then(|value| value.trim_start().strip_prefix(kind));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([';', ' ', '\t']))
        })
    }
}

/// The parts of a body of this type; `None` if it is not cut into any.
pub(super) fn parts<'a>(kind: &MediaType, body: &'a [u8]) -> Option<Vec<Part<'a>>> {
    let boundary = kind.params.value("boundary").filter(|boundary| boundary.len() <= BOUNDARY_MAX)?;
    let mut marker = b"--".to_vec();
    marker.extend_from_slice(boundary.as_str().trim_matches('"').as_bytes());
    let mut from = line_with(&marker, body, 0)? + marker.len();
    let mut found = Vec::new();
    while found.len() < PARTS_MAX {
        let Some(to) = line_with(&marker, body, from) else { break };
        let between = body.get(from..to).unwrap_or_default();
        // What is left of the boundary's own line, and the line end in front of the next one, which belongs to it.
        let line = between.iter().position(|octet| *octet == b'\n').map_or(between.len(), |at| at + 1);
        let whole = between.get(line..).unwrap_or_default();
        let whole = whole.strip_suffix(b"\r\n").unwrap_or(whole);
        found.extend(part(whole));
        from = to + marker.len();
    }
    Some(found)
}

fn part(whole: &[u8]) -> Option<Part<'_>> {
    // RFC 2046 section 5.1: a part may have no header lines at all.
    if let Some(body) = whole.strip_prefix(b"\r\n") {
        return Some(Part { whole, head: &[], body });
    }
    let gap = whole.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(Part { whole, head: whole.get(..gap)?, body: whole.get(gap + 4..)? })
}

/// Where a line begins with the marker, from here on.
fn line_with(marker: &[u8], body: &[u8], from: usize) -> Option<usize> {
    let begins = |at: usize| at == 0 || body.get(at - 1) == Some(&b'\n');
    let rest = body.get(from..)?;
    let mut places = rest.windows(marker.len()).enumerate().filter(|(_, octets)| *octets == marker);
    places.find(|(at, _)| begins(from + at)).map(|(at, _)| from + at)
}

/// A body of these parts, each with its own header lines, and its Content-Type. `boundary` must be one that no part can have
/// foreseen.
pub(super) fn written<'a>(parts: impl IntoIterator<Item = &'a [u8]>, boundary: &str) -> (String, Bytes) {
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/mixed;boundary=\"{boundary}\""), Bytes::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(boundary: &str, body: &str) -> Option<Vec<(String, String)>> {
        let kind = MediaType::parse(Bytes::from(format!("multipart/mixed;boundary={boundary}"))).unwrap();
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        Some(parts(&kind, body.as_bytes())?.iter().map(|part| (text(part.head), text(part.body))).collect())
    }

    #[test]
    fn what_is_written_is_read_back_to_the_octet() {
        let both: [&[u8]; 2] = [
            b"Content-Type: application/sdp\r\n\r\nv=0\r\n",
            b"Content-ID: <a@b>\r\nContent-Type: application/pidf+xml\r\n\r\n<x>\r\n</x>\r\n\r\n",
        ];
        let (kind, body) = written(both, "b0");
        let kind = MediaType::parse(Bytes::from(kind)).unwrap();
        let read = parts(&kind, &body).unwrap();
        assert_eq!(read.iter().map(|part| part.whole).collect::<Vec<_>>(), both);
        assert!(read[0].is("application/sdp") && !read[0].is("application/pidf+xml"));
        assert!(read[1].is("application/pidf+xml") && !read[1].is("application/pidf"));
        assert_eq!(read[1].body, b"<x>\r\n</x>\r\n\r\n");
    }

    #[test]
    fn a_boundary_counts_at_the_beginning_of_a_line_alone() {
        let body = "preamble\r\n--b  \r\nContent-Type: text/plain\r\n\r\nsay --b here\r\n--b\r\n\r\nbare\r\n--b--\r\nepilogue";
        let expected = [("Content-Type: text/plain", "say --b here"), ("", "bare")];
        assert_eq!(of("b", body).unwrap(), expected.map(|(head, body)| (head.to_owned(), body.to_owned())));
    }

    #[test]
    fn nonsense_has_no_parts() {
        assert_eq!(of("b", ""), None);
        assert_eq!(of("b", "no boundary"), None);
        assert_eq!(of(&"b".repeat(BOUNDARY_MAX + 1), "--b\r\n"), None);
        assert_eq!(of("b", "--b"), Some(Vec::new()));
        assert_eq!(of("b", "--b\r\nno end of its head\r\n--b--"), Some(Vec::new()));
        assert_eq!(of("b", &"--b\r\n\r\nx\r\n".repeat(40)).unwrap().len(), PARTS_MAX);
    }
}
