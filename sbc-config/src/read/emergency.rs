//! Reads `[emergency]`: the numbers that save lives, and how calls to them are placed.

use std::sync::Arc;

use super::names::Names;
use super::table::{Field, Section};
use crate::finding::Code;
use crate::number::E164;
use crate::settings::Emergency;
use crate::trunk::Trunk;

/// A country has a handful of such numbers.
const MAX_NUMBERS: usize = 32;
/// One for each tenant that dials out.
const MAX_TRUNKS: usize = 1_024;
/// The longest in use is six digits; none is as long as a subscriber's number.
const MAX_DIGITS: usize = 6;

pub(super) fn emergency<'a>(section: &Section<'a>, names: &Names<'a>) -> Emergency {
    let enabled = section.field("enabled").and_then(|field| field.flag()).unwrap_or_default();
    let numbers = section.field("numbers").and_then(|field| field.list(MAX_NUMBERS, number));
    let trunk = |item: &Field<'a>| names.any_trunk_to_dial(item, item.text()?);
    let trunks = section.field("trunks").and_then(|field| field.list(MAX_TRUNKS, trunk));
    let caller_id = section.field("caller_id").and_then(|field| {
        field.parsed(Code::BadValue, "write the number as \"+15550100\"", |text| text.parse::<E164>())
    });
    if enabled {
        for (key, missing) in [("numbers", !section.writes("numbers")), ("trunks", !section.writes("trunks"))]
        {
            if missing {
                let message = format!("emergency calls are enabled and there are no `{key}`");
                section.fail(Code::MissingKey, message, format!("name the {key}, or remove `enabled`"));
            }
        }
    }
    section.finish();
    Emergency { enabled, numbers: numbers.unwrap_or_default(), trunks: trunks.unwrap_or_default(), caller_id }
}

/// Calls that would tell nobody where help is needed: neither by a number that the service knows the place by, nor by a
/// location. `trunks` are all there are.
pub(super) fn placeless(section: &Section<'_>, emergency: &Emergency, trunks: &[Trunk]) {
    if !emergency.enabled || emergency.caller_id.is_some() {
        return;
    }
    let mut silent = trunks.iter().filter(|trunk| emergency.trunks.contains(&trunk.id) && !trunk.pidf_lo);
    if let Some(trunk) = silent.next() {
        let message =
            format!("a call to an emergency service over trunk {} says nowhere whence it comes", trunk.id);
        let remedy = "write caller_id, a number whose place the service knows; or pidf_lo = true at the trunk, if its \
                      carrier takes locations";
        section.warn(Code::EmergencyPlaceless, message, remedy);
    }
}

fn number(field: &Field<'_>) -> Option<Arc<str>> {
    let parse = |text: &str| {
        let fits = (2..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if fits { Ok(Arc::from(text)) } else { Err("this is not an emergency number") }
    };
    field.parsed(Code::BadValue, "write the digits in quotes, as \"112\"", parse)
}
