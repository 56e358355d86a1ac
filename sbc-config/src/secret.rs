//! Secrets: where they come from, and a type that cannot be printed by accident.

use std::fmt;
use std::sync::Arc;

/// The longest secret, in bytes. Longer than any password or signing key; short enough that a wrong path
/// (a log file, a device) is noticed instead of swallowed.
pub const MAX_SECRET_BYTES: usize = 4096;

/// A password, a key or a hash that opens a door as a password does. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a text that must not be printed.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The secret itself. The name is long on purpose: each use should be easy to find.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// Where the reader gets secrets from. The crate itself opens no file and asks no environment.
pub trait SecretSource {
    /// The text of a file. A relative path means relative to the directory of the configuration file.
    ///
    /// # Errors
    /// [`SecretError`] says why there is no text.
    fn file(&self, path: &str) -> Result<String, SecretError>;

    /// The value of an environment variable.
    ///
    /// # Errors
    /// [`SecretError`] says why there is no text.
    fn env(&self, name: &str) -> Result<String, SecretError>;
}

/// Why a secret could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// No such file or variable.
    #[error("not found")]
    NotFound,
    /// Not text in UTF-8.
    #[error("not UTF-8 text")]
    NotText,
    /// More than [`MAX_SECRET_BYTES`].
    #[error("longer than {MAX_SECRET_BYTES} bytes")]
    TooLong,
    /// It is there, but could not be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(redacted)");
    }
}
