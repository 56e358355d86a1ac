//! Who somebody is to ACS: the raw id, whose prefix alone says what it is. The `kind` beside it on the wire is not to
//! be trusted: a Teams resource account comes as `unknown`.

use std::fmt;

/// The longest raw id. The longest known kind has three GUIDs, about 120 characters.
const RAW_ID_BYTES_MAX: usize = 256;

/// A raw id. It names a person, so it is for debug logs at most.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawId(String);

/// What a raw id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `4:+15550100`, or `4:anonymous`.
    Phone,
    /// `8:acs:RESOURCE_USER`, in government clouds `8:gcch-acs:` and `8:dod-acs:`.
    User,
    /// `8:acs:RESOURCE_TENANT_USER`: a Teams user signed in to an ACS resource.
    TeamsExtension,
    /// `8:orgid:OBJECT`, `8:dod:`, `8:gcch:`, `8:teamsvisitor:`.
    TeamsUser,
    /// `28:orgid:OBJECT`: a Teams resource account or bot.
    TeamsApp,
    /// Anything else; kept as it is.
    Unknown,
}

impl RawId {
    /// Takes a raw id. `None` if it is empty, too long or not printable: then it is none.
    pub fn new(text: &str) -> Option<RawId> {
        let fit =
            !text.is_empty() && text.len() <= RAW_ID_BYTES_MAX && text.chars().all(|c| c.is_ascii_graphic());
        fit.then(|| RawId(text.to_owned()))
    }

    /// The raw id of a phone number.
    pub fn phone_number(number: &str) -> Option<RawId> {
        RawId::new(&format!("4:{number}"))
    }

    /// As on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        let rest = |prefix: &str| self.0.strip_prefix(prefix);
        if rest("4:").is_some() {
            return Kind::Phone;
        }
        if let Some(user) = rest("8:acs:").or(rest("8:gcch-acs:")).or(rest("8:dod-acs:")) {
            return if user.matches('_').count() >= 2 { Kind::TeamsExtension } else { Kind::User };
        }
        if ["8:orgid:", "8:dod:", "8:gcch:", "8:teamsvisitor:"].iter().any(|prefix| rest(prefix).is_some()) {
            return Kind::TeamsUser;
        }
        if ["28:orgid:", "28:dod:", "28:gcch:"].iter().any(|prefix| rest(prefix).is_some()) {
            return Kind::TeamsApp;
        }
        Kind::Unknown
    }

    /// The number of a phone, without what tells two of the same number apart in one call (`4:+1555…_asserted`).
    pub fn number(&self) -> Option<&str> {
        let number = self.0.strip_prefix("4:")?;
        Some(number.split('_').next().unwrap_or(number))
    }

    /// As it stands in a path: everything but unreserved characters percent-encoded (RFC 3986 section 2.3).
    pub fn in_path(&self) -> String {
        percent_encoded(&self.0)
    }
}

/// `text` with everything but unreserved characters percent-encoded.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl fmt::Display for RawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawId({:?})", self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_decides() {
        for (text, kind) in [
            ("4:+15550100", Kind::Phone),
            ("4:anonymous", Kind::Phone),
            ("8:acs:11111111-1111-1111-1111-111111111111_00000000-0000-0000-0000-000000000002", Kind::User),
            ("8:acs:r_t_u", Kind::TeamsExtension),
            ("8:orgid:fc4ccb5f-8046-4812-803f-6c344a5d1560", Kind::TeamsUser),
            ("8:gcch:x", Kind::TeamsUser),
            ("28:orgid:cc123456-5678-5678-1234-ccc123456789", Kind::TeamsApp),
            ("8:spool:x", Kind::Unknown),
            ("surprise", Kind::Unknown),
        ] {
            assert_eq!(RawId::new(text).unwrap().kind(), kind, "{text}");
        }
        assert_eq!(RawId::new(""), None);
        assert_eq!(RawId::new("4:+1\n"), None);
        assert_eq!(RawId::new(&"8".repeat(RAW_ID_BYTES_MAX + 1)), None);
    }

    #[test]
    fn a_number_loses_what_tells_it_from_its_double() {
        assert_eq!(RawId::new("4:+15550100_9f2").unwrap().number(), Some("+15550100"));
        assert_eq!(RawId::new("8:acs:a_b").unwrap().number(), None);
    }

    #[test]
    fn a_path_and_a_log_line() {
        let id = RawId::new("4:+15550100").unwrap();
        assert_eq!(id.in_path(), "4%3A%2B15550100");
        assert_eq!(format!("{id:?}"), "RawId(Phone)", "no number in a log line");
    }
}
