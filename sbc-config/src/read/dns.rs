//! Reads `[dns]`: how names of peers are resolved.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::table::{Field, Section};
use crate::address::Host;
use crate::finding::Code;
use crate::settings::Dns;

/// Name servers that are asked in turn; nobody runs more for one machine.
const MAX_SERVERS: usize = 8;
/// Names with fixed addresses: a handful of peers, each with a few names.
const MAX_OVERRIDES: usize = 256;
/// Addresses of one name. An answer over UDP holds about as many.
const MAX_ADDRESSES: usize = 16;
/// The port of DNS (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;

pub(super) fn dns(section: &Section<'_>) -> Dns {
    let servers = section.field("servers").and_then(|field| field.list(MAX_SERVERS, server));
    let dns = Dns {
        servers: servers.unwrap_or_default(),
        timeout: Duration::from_millis(section.number("timeout_ms", 100..=30_000, 2_000).into()),
        // RFC 8767 section 5 suggests one to three days.
        stale_max: section.seconds("stale_max_s", 0..=604_800, 86_400),
        overrides: section.field("overrides").and_then(|field| overrides(&field)).unwrap_or_default(),
    };
    section.finish();
    dns
}

fn server(field: &Field<'_>) -> Option<SocketAddr> {
    let parse = |text: &str| match text.parse::<IpAddr>() {
        Ok(address) => Ok(SocketAddr::new(address, DNS_PORT)),
        Err(_) => text.parse::<SocketAddr>().map_err(|_| "this is not the address of a name server"),
    };
    field.parsed(Code::BadValue, "write it as \"192.0.2.53\" or \"192.0.2.53:5353\"", parse)
}

fn overrides(field: &Field<'_>) -> Option<BTreeMap<Arc<str>, Vec<IpAddr>>> {
    let mut overrides = BTreeMap::new();
    for (name, field) in field.section()?.entries(MAX_OVERRIDES) {
        let Ok(Host::Name(name)) = name.parse() else {
            let remedy = "write it as \"sip.example.net\" = [\"192.0.2.5\"]";
            field.fail(Code::BadValue, "the left side is not a DNS name", remedy);
            continue;
        };
        let address = |item: &Field<'_>| {
            let parse = |text: &str| text.parse::<IpAddr>().map_err(|_| "this is not an address");
            item.parsed(Code::BadValue, "write an address, without port", parse)
        };
        if let Some(addresses) = field.list(MAX_ADDRESSES, address) {
            overrides.insert(name, addresses);
        }
    }
    Some(overrides)
}
