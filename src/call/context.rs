//! What a caller's system gives along with a call, for that of whoever is called: User-to-User information (RFC 7433) and
//! headers of their own. Nobody here reads it. It is taken, and passed on, only where a trunk or a resource says so; what
//! does not fit its limits is left out.
//!
//! The limits are those of Azure Communication Services, the narrower of the two sides: a value that one side would refuse
//! would cost the call.

use std::fmt;
use std::sync::Arc;

/// RFC 7433 section 4.
pub const USER_TO_USER: &str = "User-to-User";

/// How names of further headers begin.
const PREFIX: &str = "X-MS-Custom-";

/// Further headers of a call.
const CUSTOM_MAX: usize = 5;

/// Octets of a name, and of a value.
const NAME_MAX: usize = 64;
const VALUE_MAX: usize = 256;

/// What goes along with a call. It may name people, so it is not printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Context {
    user_to_user: Option<String>,
    custom: Vec<(String, String)>,
}

impl Context {
    /// Takes what belongs here of these headers, the first of each name; `None` if that is nothing.
    pub fn of<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Arc<Context>> {
        let mut context = Context::default();
        for (name, value) in headers {
            if value.is_empty() || value.len() > VALUE_MAX || !value.bytes().all(is_of_a_value) {
                continue;
            }
            // ACS writes the first of them in two ways.
            if ["user-to-user", "usertouser"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
                context.user_to_user.get_or_insert_with(|| value.to_owned());
                continue;
            }
            let is_ours = name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
            let Some(rest) = name.get(PREFIX.len()..).filter(|rest| is_ours && !rest.is_empty()) else {
                continue;
            };
            let fits = name.len() <= NAME_MAX && rest.bytes().all(is_of_a_name);
            let is_new = !context.custom.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
            if fits && is_new && context.custom.len() < CUSTOM_MAX {
                context.custom.push((format!("{PREFIX}{rest}"), value.to_owned()));
            }
        }
        (context != Context::default()).then(|| Arc::new(context))
    }

    /// The headers, User-to-User first.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let first = self.user_to_user.iter().map(|value| (USER_TO_USER, value.as_str()));
        first.chain(self.custom.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({} headers)", self.headers().count())
    }
}

fn is_of_a_name(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b".!%*_+~-".contains(&octet)
}

fn is_of_a_value(octet: u8) -> bool {
    is_of_a_name(octet) || b"=;".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(headers: &[(&str, &str)]) -> Vec<(String, String)> {
        let context = Context::of(headers.iter().copied());
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        context.map(|context| context.headers().map(owned).collect()).unwrap_or_default()
    }

    #[test]
    fn what_belongs_here_is_taken_and_nothing_else() {
        let long = "x".repeat(VALUE_MAX + 1);
        let long_name = format!("X-MS-Custom-{}", "n".repeat(NAME_MAX));
        let all = taken(&[
            ("x-ms-custom-ticket", "42"),
            ("Subject", "42"),
            ("X-MS-Custom-", "no name"),
            ("userToUser", "616d;encoding=hex"),
            ("User-To-User", "second"),
            ("X-MS-CUSTOM-Ticket", "another"),
            ("X-MS-Custom-Long", &long),
            (&long_name, "1"),
            ("X-MS-Custom-Line", "1\r\nVia: x"),
            ("X-MS-Custom-Empty", ""),
            ("X-MS-Custom-\u{e9}", "1"),
        ]);
        let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(all, [owned("User-to-User", "616d;encoding=hex"), owned("X-MS-Custom-ticket", "42")]);
        assert_eq!(Context::of([("Subject", "1")]), None);
        let many: Vec<String> = (0..100).map(|n| format!("X-MS-Custom-{n}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
        assert_eq!(taken(&many).len(), CUSTOM_MAX);
    }

    #[test]
    fn it_is_not_printed() {
        let context = Context::of([("User-to-User", "secret")]);
        assert_eq!(format!("{context:?}"), "Some(Context(1 headers))");
    }
}
