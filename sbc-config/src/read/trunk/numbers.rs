//! Reads what a trunk does to numbers and which it allows.

use std::sync::Arc;

use crate::finding::Code;
use crate::numbering::{NumberPattern, NumberRule};
use crate::read::table::{Field, Section};

/// Rules for one direction: a handful say everything a carrier's manual does.
const MAX_RULES: usize = 32;
/// Numbers and prefixes of one list.
const MAX_PATTERNS: usize = 10_000;
/// The longest prefix: a tech prefix before a country code.
const MAX_PREFIX_BYTES: usize = 16;

const PREFIX_REMEDY: &str = "write digits in quotes, as \"00\"";

pub(super) fn rules(field: Option<&Field<'_>>) -> Vec<NumberRule> {
    let items = field.and_then(|field| field.items(MAX_RULES)).unwrap_or_default();
    items.iter().filter_map(rule).collect()
}

pub(super) fn patterns(field: Option<&Field<'_>>) -> Option<Vec<NumberPattern>> {
    let read = |item: &Field<'_>| {
        let remedy = "write one number as \"+15550100\", or all that begin so as \"+1555*\"";
        item.parsed(Code::BadValue, remedy, NumberPattern::parse)
    };
    field?.list(MAX_PATTERNS, read)
}

fn rule(field: &Field<'_>) -> Option<NumberRule> {
    let section = field.section()?;
    let found = [
        section.field("strip_plus").map(|field| match field.flag()? {
            true => Some(NumberRule::StripPlus),
            false => {
                field.fail(Code::BadValue, "a rule that does nothing", "remove the rule");
                None
            }
        }),
        section.field("add_prefix").map(|field| prefix(&field).map(NumberRule::AddPrefix)),
        section.field("strip_prefix").map(|field| prefix(&field).map(NumberRule::StripPrefix)),
        section.field("replace_prefix").map(|field| replace(&field.section()?)),
        section.field("national").map(|field| national(&field.section()?)),
    ];
    section.finish();
    let mut found = found.into_iter().flatten();
    match (found.next(), found.next()) {
        (Some(rule), None) => rule,
        _ => {
            let remedy = "write one of strip_plus, add_prefix, strip_prefix, replace_prefix and national";
            section.fail(Code::ExactlyOne, "a rule does exactly one thing", remedy);
            None
        }
    }
}

fn replace(section: &Section<'_>) -> Option<NumberRule> {
    let from = section.required("from", PREFIX_REMEDY).and_then(|field| prefix(&field));
    let to = section.required("to", PREFIX_REMEDY).and_then(|field| prefix(&field));
    section.finish();
    Some(NumberRule::ReplacePrefix { from: from?, to: to? })
}

fn national(section: &Section<'_>) -> Option<NumberRule> {
    let remedy = "write the country code in quotes, as \"44\"";
    let country = section.required("country", remedy);
    let country = country.and_then(|field| field.parsed(Code::BadValue, remedy, country_code));
    let remedy = "write it as \"0\", or false where national numbers have none";
    let trunk_prefix = match section.field("trunk_prefix") {
        None => Some("0".into()),
        // A text may not be empty, and North America has no prefix to write.
        Some(field) if field.value().as_bool() == Some(false) => Some("".into()),
        Some(field) => field.parsed(Code::BadValue, remedy, digits),
    };
    section.finish();
    Some(NumberRule::National { country: country?, trunk_prefix: trunk_prefix? })
}

fn prefix(field: &Field<'_>) -> Option<Arc<str>> {
    let parse = |text: &str| {
        let dial_pad = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'*' | b'#');
        let fits = text.len() <= MAX_PREFIX_BYTES && text.bytes().all(dial_pad);
        if fits { Ok(Arc::from(text)) } else { Err("this is not the beginning of a number") }
    };
    field.parsed(Code::BadValue, PREFIX_REMEDY, parse)
}

fn digits(text: &str) -> Result<Arc<str>, &'static str> {
    let fits = text.len() <= MAX_PREFIX_BYTES && text.bytes().all(|b| b.is_ascii_digit());
    if fits { Ok(text.into()) } else { Err("this is not a row of digits") }
}

/// ITU-T E.164 section 6.2.1: one to three digits, none of which begins with 0.
fn country_code(text: &str) -> Result<Arc<str>, &'static str> {
    let fits =
        (1..=3).contains(&text.len()) && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    if fits { Ok(text.into()) } else { Err("this is not a country code") }
}
