//! Text that must not be seen in logs.
//!
//! The rule for log lines: ids, counts, codes and configured names only. Telephone numbers, people's
//! names and addresses appear at DEBUG and below; tokens, keys and secrets never, because they are
//! kept in this type (or in `sbc_config`'s) and nothing prints it. Headers, bodies and query
//! strings of requests are not logged at any level.

use std::fmt;
use std::sync::Arc;

/// A secret: prints as `[redacted]` however it is formatted.
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted(Arc<str>);

impl Redacted {
    /// Keeps `secret`.
    pub fn new(secret: impl Into<Arc<str>>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the one place that must send or hash it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_nothing_anybody_could_use() {
        let secret = Redacted::new("canary-5cr3t");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "[redacted] [redacted] Some([redacted])");
        assert_eq!(secret.expose(), "canary-5cr3t");
    }
}
