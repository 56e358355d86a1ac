//! Reads `[[price]]`.

use std::sync::Arc;

use super::access::date;
use super::names::Names;
use super::table::Section;
use crate::finding::Code;
use crate::price::{Amount, Price, PricedRoute};

const ROUTES: &[(&str, PricedRoute)] = &[
    ("trunk", PricedRoute::Trunk),
    ("direct_routing", PricedRoute::DirectRouting),
    ("voip", PricedRoute::Voip),
    ("pstn", PricedRoute::Pstn),
    ("phone", PricedRoute::Phone),
    ("webrtc", PricedRoute::Webrtc),
];

pub(super) fn price<'a>(section: &Section<'a>, names: &Names<'a>) -> Option<Price> {
    let route =
        section.required("route", "say for what it is, as \"voip\"").and_then(|field| field.choice(ROUTES));
    let per_minute = section.required("per_minute", "write it as \"0.004\"").and_then(|field| {
        field.parsed(Code::BadValue, "write it in quotes, as \"0.004\"", str::parse::<Amount>)
    });
    let currency = section.required("currency", "write it as \"USD\"");
    let currency =
        currency.and_then(|field| field.parsed(Code::BadValue, "write it as \"USD\"", currency_of));
    let from = section.required("from", "write the first day on which it holds, as 2026-01-01");
    let from = from.and_then(|field| date(&field));
    let trunk_field = section.field("trunk");
    let trunk = trunk_field.as_ref().map(|field| names.trunk(field, field.text()?, None));
    let acs_field = section.field("acs");
    let acs = acs_field.as_ref().map(|field| names.any_acs(field, field.text()?));
    let inbound = section.field("inbound").and_then(|field| field.flag()).unwrap_or_default();
    let over_trunk = matches!(route, Some(PricedRoute::Trunk | PricedRoute::DirectRouting));
    let over_acs = matches!(route, Some(PricedRoute::Voip | PricedRoute::Pstn));
    for (field, fits, what) in [(&trunk_field, over_trunk, "trunk"), (&acs_field, over_acs, "ACS resource")] {
        if let (Some(field), false, Some(_)) = (field, fits, route) {
            let message = format!("calls of this route run over no {what}");
            field.fail(Code::OutOfPlace, message, "remove it, or price another route");
        }
    }
    section.finish();
    let trunk = match trunk {
        Some(trunk) => Some(trunk?),
        None => None,
    };
    let acs = match acs {
        Some(acs) => Some(acs?),
        None => None,
    };
    Some(Price {
        route: route?,
        trunk,
        acs,
        per_minute: per_minute?,
        currency: currency?,
        from: from?,
        inbound,
    })
}

fn currency_of(text: &str) -> Result<Arc<str>, &'static str> {
    let fits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase());
    if fits { Ok(text.into()) } else { Err("this is not a currency of ISO 4217") }
}
