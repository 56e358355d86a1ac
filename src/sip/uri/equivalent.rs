//! Whether two URIs name the same resource (RFC 3261 section 19.1.4, RFC 3966 section 4).

use super::escape::Unescaped;
use super::{Scheme, Uri};

impl Uri {
    /// Whether two URIs name the same resource: RFC 3261 section 19.1.4, for `tel:` RFC 3966 section 4; any other
    /// scheme octet by octet.
    pub fn equivalent(&self, other: &Self) -> bool {
        if self.raw == other.raw {
            return true;
        }
        if self.scheme() != other.scheme() {
            return false;
        }
        match self.scheme() {
            Scheme::Sip | Scheme::Sips => self.sip_equivalent(other),
            Scheme::Tel => self.tel_equivalent(other),
            Scheme::Other => false,
        }
    }

    fn sip_equivalent(&self, other: &Self) -> bool {
        same_part(self.user(), other.user(), Case::Matters)
            && same_part(self.password(), other.password(), Case::Matters)
            && self.host() == other.host()
            // RFC 3261 section 19.1.4: an omitted port does not match the default written out.
            && self.port() == other.port()
            && self.params_cover(other)
            && other.params_cover(self)
            && self.same_headers(other)
    }

    /// Every parameter here that the other also has must match; the five that change routing must be in both.
    fn params_cover(&self, other: &Self) -> bool {
        const IN_BOTH_OR_NEITHER: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
        self.params().all(|(name, value)| match other.param(name) {
            Some(theirs) => same_part(value, theirs, Case::Ignored),
            None => !IN_BOTH_OR_NEITHER.iter().any(|n| n.eq_ignore_ascii_case(name)),
        })
    }

    fn same_headers(&self, other: &Self) -> bool {
        let sorted = |uri: &Self| {
            let mut all: Vec<_> = uri.headers().map(|(n, v)| (n.to_ascii_lowercase(), v)).collect();
            all.sort();
            all
        };
        sorted(self) == sorted(other)
    }

    fn tel_equivalent(&self, other: &Self) -> bool {
        let digits = |uri: &Self| -> String {
            let number = uri.user().unwrap_or_default();
            number
                .chars()
                .filter(|c| !matches!(c, '-' | '.' | '(' | ')'))
                .map(|c| c.to_ascii_lowercase())
                .collect()
        };
        let params = |uri: &Self| -> Vec<(String, Option<String>)> {
            let lower = |text: &str| text.to_ascii_lowercase();
            let mut all: Vec<_> = uri.params().map(|(n, v)| (lower(n), v.map(lower))).collect();
            all.sort();
            all
        };
        digits(self) == digits(other) && params(self) == params(other)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Case {
    Matters,
    Ignored,
}

fn same_part(a: Option<&str>, b: Option<&str>, case: Case) -> bool {
    let (a, b) = match (a, b) {
        (None, None) => return true,
        (Some(a), Some(b)) => (a, b),
        _ => return false,
    };
    let fold = |(octet, reserved): (u8, bool)| match case {
        Case::Matters => (octet, reserved),
        Case::Ignored => (octet.to_ascii_lowercase(), reserved),
    };
    Unescaped(a.as_bytes()).map(fold).eq(Unescaped(b.as_bytes()).map(fold))
}
