//! Header names and typed header values.
//!
//! Every reader takes one unfolded value as [`Bytes`](bytes::Bytes) and shares its buffer. Values that are carried on (URIs,
//! parameters) keep their octets; writing one out is its `Display`.

use thiserror::Error;

mod address;
mod auth;
mod dialog;
mod event;
mod grammar;
mod media_type;
mod method;
mod name;
mod params;
mod via;

pub use address::{Contacts, NameAddr};
pub use auth::AuthValue;
pub use dialog::{Reason, Refresher, Replaces, SessionExpires};
pub use event::{Event, SubscriptionState};
pub(super) use grammar::{is_blank, is_token, trim};
pub use grammar::{is_call_id, parse_number, parse_retry_after, quote, split_list};
pub use media_type::MediaType;
pub use method::{CSeq, Method, RAck};
pub use name::Name;
pub use params::Params;
pub use via::{MAGIC_COOKIE, Transport, Via};

/// What is wrong with one header value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadValue {
    /// It does not follow its grammar.
    #[error("malformed")]
    Malformed,
    /// A number is too large for its field.
    #[error("out of range")]
    OutOfRange,
}

/// What is wrong with a header of a message. `Display` is fit for a reason phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// A mandatory header is not there.
    #[error("Missing {0} Header")]
    Missing(Name),
    /// A header that may occur once occurs more often.
    #[error("Repeated {0} Header")]
    Repeated(Name),
    /// A value does not follow its grammar.
    #[error("Malformed {0} Header")]
    Malformed(Name),
    /// A number is too large for its field.
    #[error("{0} Out Of Range")]
    OutOfRange(Name),
    /// CSeq names another method than the start line.
    #[error("CSeq Method Mismatch")]
    MethodMismatch,
}

impl HeaderError {
    pub(super) fn new(name: Name, bad: BadValue) -> Self {
        match bad {
            BadValue::Malformed => Self::Malformed(name),
            BadValue::OutOfRange => Self::OutOfRange(name),
        }
    }
}

#[cfg(test)]
mod tests;
