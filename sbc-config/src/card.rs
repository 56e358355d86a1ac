//! What an expert is told of the matter before they answer: the fields of a record that a tenant lets out.

use std::sync::Arc;

use crate::id::TenantId;

/// `[[card]]`: at most one per tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardView {
    /// Whose.
    pub tenant: TenantId,
    /// The fields, in the order in which they are shown. Never empty.
    pub fields: Vec<CardField>,
    /// Where the record is looked at, with `{record}` where its id belongs; none shows no link.
    pub link: Option<Arc<str>>,
    /// The header that carries it to a telephone: `X-` and a token.
    pub header: Arc<str>,
}

/// One field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardField {
    /// What requests and headers call it: small letters, digits, `_` and `-`, which need no escape anywhere.
    pub name: Arc<str>,
    /// What people read.
    pub label: Arc<str>,
    /// What its values are.
    pub kind: CardKind,
    /// Whether it is shown only when a request names it.
    pub sensitive: bool,
}

/// What the values of a field are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardKind {
    /// A short text, as a name, a telephone number or one of several words.
    Text,
    /// A number.
    Number,
    /// A day, as `2026-11-25`, or an instant of RFC 3339.
    Date,
    /// Yes or no.
    Flag,
    /// Something that cannot be said in a line: a picture, a list, another record. Named as the tenant's software does.
    Unsupported(Arc<str>),
}

/// The longest name of a field, in bytes: the key of a header of ACS has 64 at most.
pub const CARD_NAME_MAX: usize = 32;
