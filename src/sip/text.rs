//! UTF-8 text that shares the buffer it arrived in.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

/// A slice of a received message (or a fresh string) known to be UTF-8. Cloning shares the buffer.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Bytes);

impl Text {
    /// Takes the bytes as they are, or gives `None` when they are not UTF-8.
    pub fn new(bytes: Bytes) -> Option<Self> {
        match std::str::from_utf8(&bytes) {
            Ok(_) => Some(Self(bytes)),
            Err(_) => None,
        }
    }

    /// Takes the bytes, replacing what is not UTF-8 (Latin-1 display names, say) by U+FFFD.
    pub fn lossy(bytes: Bytes) -> Self {
        let replaced = match String::from_utf8_lossy(&bytes) {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text),
        };
        Self(replaced.map_or(bytes, Bytes::from))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Checked in every constructor, and `Bytes` cannot change.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The buffer behind the text.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin_1_is_refused_or_replaced_but_never_trusted() {
        let latin = Bytes::from_static(b"M\xfcller");
        assert_eq!(Text::new(latin.clone()), None);
        assert_eq!(Text::lossy(latin), "M\u{fffd}ller");
    }
}
