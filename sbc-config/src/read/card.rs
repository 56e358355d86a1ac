//! Reads `[[card]]`: which fields of a record an expert is shown.

use std::sync::Arc;

use super::names::Names;
use super::table::{Field, Section};
use super::unique::Unique;
use crate::card::{CARD_NAME_MAX, CardField, CardKind, CardView};
use crate::finding::Code;

/// Fields of a view. Five are shown; what stands behind them steps in for those that cannot be.
const MAX_FIELDS: usize = 64;

/// The longest link, before the record's id is in it.
const MAX_LINK: usize = 512;

/// The header, unless the tenant names another.
const HEADER: &str = "X-Sidetone-Card";

const SUPPORTED: &[(&str, CardKind)] = &[
    ("text", CardKind::Text),
    ("choice", CardKind::Text),
    ("phone", CardKind::Text),
    ("email", CardKind::Text),
    ("number", CardKind::Number),
    ("money", CardKind::Number),
    ("date", CardKind::Date),
    ("flag", CardKind::Flag),
];

pub(super) fn card<'a>(
    section: &Section<'a>,
    names: &Names<'a>,
    tenants: &mut Unique<'a, String>,
) -> Option<CardView> {
    let tenant = names.tenant_of(section);
    if let (Some(tenant), Some(field)) = (&tenant, section.field("tenant")) {
        tenants.note(tenant.to_string(), &field, Code::Duplicate, "the one card of this tenant");
    }
    let fields = section.required("fields", "name the fields, as [{ name = \"customer\", kind = \"text\" }]");
    let fields = fields.and_then(|field| fields_of(&field));
    let link_field = section.field("link");
    let link = link_field.as_ref().map(|field| {
        field.parsed(Code::BadValue, "write it as \"https://crm.example.net/cases/{record}\"", link)
    });
    let header_field = section.field("header");
    let header = header_field.as_ref().map_or_else(
        || Some(HEADER.into()),
        |field| field.parsed(Code::BadValue, "write it as \"X-Sidetone-Card\"", header),
    );
    section.finish();
    let link = match link {
        Some(link) => Some(link?),
        None => None,
    };
    Some(CardView { tenant: tenant?, fields: fields?, link, header: header? })
}

fn fields_of(field: &Field<'_>) -> Option<Vec<CardField>> {
    let mut fields: Vec<CardField> = Vec::new();
    let mut whole = true;
    for item in field.items(MAX_FIELDS)? {
        let Some(read) = item.section().and_then(|section| one(&section)) else {
            whole = false;
            continue;
        };
        if fields.iter().any(|known| known.name == read.name) {
            item.fail(Code::Duplicate, "a field of this name is there already", "remove one of them");
            whole = false;
        }
        fields.push(read);
    }
    whole.then_some(fields)
}

fn one(section: &Section<'_>) -> Option<CardField> {
    let remedy = "write small letters, digits, '_' and '-'";
    let name_field = section.required("name", "give it the name that requests use");
    let name = name_field.and_then(|field| field.parsed(Code::BadValue, remedy, field_name));
    let label = section.name("label", name.as_deref().unwrap_or_default());
    let kind =
        section.required("kind", "say what its values are, as \"text\"").and_then(|field| kind(&field));
    let sensitive = section.field("sensitive").and_then(|field| field.flag()).unwrap_or_default();
    section.finish();
    Some(CardField { name: name?, label, kind: kind?, sensitive })
}

/// Views are copied from other software, whose kinds are an open set: one that cannot be shown is no error.
fn kind(field: &Field<'_>) -> Option<CardKind> {
    let word = field.name()?;
    Some(match SUPPORTED.iter().find(|(known, _)| **known == *word) {
        Some((_, kind)) => kind.clone(),
        None => CardKind::Unsupported(word),
    })
}

fn field_name(text: &str) -> Result<Arc<str>, &'static str> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    if text.len() > CARD_NAME_MAX {
        Err("the name is longer than 32 bytes")
    } else if text == "link" {
        Err("`link` is what the link to the record is called")
    } else if text.bytes().all(plain) {
        Ok(text.into())
    } else {
        Err("this is not the name of a field")
    }
}

fn link(text: &str) -> Result<Arc<str>, &'static str> {
    let rest = text.strip_prefix("https://").ok_or("a link begins with https://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if text.len() > MAX_LINK {
        Err("the link is longer than 512 bytes")
    } else if !text.bytes().all(|b| b.is_ascii_graphic()) {
        Err("a link is written in plain characters without spaces")
    } else if host.is_empty() || host.contains(['{', '}', '@']) {
        // A record must not choose whose page is opened.
        Err("the link names no host, or one that a record would decide about")
    } else if path.matches("{record}").count() != 1 || path.matches(['{', '}']).count() != 2 {
        Err("the link has no {record}, or more than one")
    } else {
        Ok(text.into())
    }
}

fn header(text: &str) -> Result<Arc<str>, &'static str> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let own = text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"));
    if !own || text.len() < 3 || text.len() > 64 || !text.bytes().all(token) {
        Err("this is not a header of ours: X- and letters, digits or hyphens, 64 at most")
    } else {
        Ok(text.into())
    }
}
