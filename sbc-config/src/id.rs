//! Names that the configuration gives to things, one type for each kind of thing.
//!
//! An id is 1 to 64 characters of `A-Z a-z 0-9 . _ -`, starts with a letter or digit and is unique in the file
//! among its kind, across tenants. It holds no `:`, so that `team:support` in a route cannot be mistaken.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The longest id, in bytes. Ids appear in URLs, log lines and metric labels, so they stay short.
pub const MAX_ID_BYTES: usize = 64;

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing there.
    #[error("an id may not be empty")]
    Empty,
    /// More than [`MAX_ID_BYTES`].
    #[error("an id has at most {MAX_ID_BYTES} characters")]
    TooLong,
    /// A character outside `A-Z a-z 0-9 . _ -`, or a first character that is neither letter nor digit.
    #[error("an id starts with a letter or digit and holds only letters, digits, '.', '_' and '-'")]
    BadCharacter,
}

fn check(text: &str) -> Result<(), IdError> {
    let Some(first) = text.bytes().next() else { return Err(IdError::Empty) };
    if text.len() > MAX_ID_BYTES {
        return Err(IdError::TooLong);
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if !first.is_ascii_alphanumeric() || !text.bytes().all(plain) {
        return Err(IdError::BadCharacter);
    }
    Ok(())
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the id if it is well formed.
            ///
            /// # Errors
            /// [`IdError`] says which rule of the module it breaks.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The id as written in the file.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        // So that a map keyed by the id can be asked with a plain text, for instance from a URL path.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// One customer of the platform. Nothing crosses from one tenant to another.
    TenantId
    /// A configured SIP peer.
    TrunkId
    /// A certificate of ours with its key.
    CertificateId
    /// A resource of Azure Communication Services.
    AcsId
    /// An agent, a supervisor or a customer's trial phone.
    PersonId
    /// A group of people: the unit of routing and of a supervisor's scope.
    TeamId
    /// One line of the route table.
    RouteId
    /// An API token, by name; the token itself is never stored.
    TokenId
    /// A subscriber to events.
    WebhookId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_its_text_and_refuses_what_could_be_mistaken() {
        assert_eq!(PersonId::new("alice.b-2").unwrap().to_string(), "alice.b-2");
        assert_eq!(PersonId::new(""), Err(IdError::Empty));
        assert_eq!(PersonId::new("team:support"), Err(IdError::BadCharacter));
        assert_eq!(PersonId::new("-alice"), Err(IdError::BadCharacter));
        assert_eq!(PersonId::new("älice"), Err(IdError::BadCharacter));
        assert_eq!(PersonId::new(&"a".repeat(MAX_ID_BYTES + 1)), Err(IdError::TooLong));
        assert!(PersonId::new(&"a".repeat(MAX_ID_BYTES)).is_ok());
    }
}
