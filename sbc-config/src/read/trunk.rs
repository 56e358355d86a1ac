//! Reads `[[trunk]]`: whom it trusts and how it is dialled.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::gateway::codecs;
use super::names::Names;
use super::report::Report;
use super::table::{Field, Section};
use super::tenant::id;
use super::unique::Unique;
use crate::address::Destination;
use crate::finding::Code;
use crate::id::TrunkId;
use crate::trunk::{Prack, Ringback, Trunk};

/// Source ranges of one trunk. Large carriers publish a few dozen.
const MAX_SOURCES: usize = 256;
/// No carrier owns more than a /8 of IPv4 or a /16 of IPv6: a wider range trusts strangers.
const WIDEST_V4_PREFIX: u8 = 8;
const WIDEST_V6_PREFIX: u8 = 16;

/// Reads trunks and what must differ between them.
pub(super) struct Trunks<'a> {
    ids: Unique<'a, String>,
    sources: Unique<'a, IpNet>,
}

impl<'a> Trunks<'a> {
    pub(super) fn new(report: &'a Report<'a>) -> Self {
        Self { ids: Unique::new(report), sources: Unique::new(report) }
    }

    pub(super) fn read(&mut self, section: &Section<'a>, names: &Names<'a>) -> Option<Trunk> {
        let id = id(section, &mut self.ids, TrunkId::new);
        let tenant = names.tenant_of(section);
        let sources =
            section.required("sources", "name the address ranges it calls from, as [\"192.0.2.0/24\"]");
        let sources = sources.and_then(|field| self.sources(&field));
        let destination_field = section.field("destination");
        let remedy = "write it as \"sip.example.net:5060;transport=udp\"";
        let destination = destination_field
            .as_ref()
            .and_then(|f| f.parsed(Code::BadValue, remedy, str::parse::<Destination>));
        let options_interval = match &destination_field {
            Some(_) => section.field("options_s").and_then(|field| field.number(5..=3_600)),
            None => {
                section.refuse_out_of_place("options_s", "without a destination there is nobody to ask");
                None
            }
        };
        let prack = [("off", Prack::Off), ("supported", Prack::Supported), ("required", Prack::Required)];
        let ringback = [("alerting", Ringback::Alerting), ("tone", Ringback::Tone)];
        let prack = section.choice("prack", &prack, Prack::Supported);
        let ringback = section.choice("ringback", &ringback, Ringback::Alerting);
        let codecs = section.field("codecs").and_then(|field| codecs(&field));
        let channels_max = section.field("channels_max").and_then(|field| field.number(1..=100_000));
        // RFC 4028 section 4: no session interval is below 90 seconds.
        let session_timer = section.field("session_timer_s").and_then(|field| field.number(90..=86_400));
        section.finish();
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Some(Trunk {
            id: id?,
            tenant: tenant?,
            sources: sources?,
            destination,
            prack,
            ringback,
            codecs,
            channels_max: channels_max.and_then(|channels| usize::try_from(channels).ok()),
            session_timer: session_timer.map(seconds),
            options_interval: options_interval.map(seconds),
        })
    }

    fn sources(&mut self, field: &Field<'a>) -> Option<Vec<IpNet>> {
        let mut ranges = Vec::new();
        for item in field.items(MAX_SOURCES)? {
            let Some(range) = source_range(&item) else { continue };
            self.sources.note(range, &item, Code::Duplicate, &format!("the source range {range}"));
            let widest = if range.addr().is_ipv4() { WIDEST_V4_PREFIX } else { WIDEST_V6_PREFIX };
            if range.prefix_len() < widest {
                let message = format!("everybody in {range} may place calls through this trunk");
                item.warn(Code::TrustsEveryone, message, "name the carrier's own ranges");
            }
            ranges.push(range);
        }
        Some(ranges)
    }
}

fn source_range(field: &Field<'_>) -> Option<IpNet> {
    let text = field.text()?;
    let range = match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address)),
        Err(_) => text.parse::<IpNet>().ok(),
    };
    let remedy = "write it as \"192.0.2.0/24\" or \"2001:db8::/32\"";
    let Some(range) = range else {
        field.fail(Code::BadCidr, "this is not an address range", remedy);
        return None;
    };
    let (whole, one) = (range.trunc(), IpNet::from(range.addr()));
    if let IpAddr::V6(address) = range.addr()
        && let Some(address) = address.to_ipv4_mapped()
    {
        field.fail(Code::BadCidr, "this is an IPv4 address in IPv6 form", format!("write \"{address}\""));
        return None;
    }
    if range != whole {
        let message = "the address has bits set beyond its prefix";
        field.fail(
            Code::BadCidr,
            message,
            format!("write \"{whole}\" for the range or \"{one}\" for the host"),
        );
        return None;
    }
    Some(range)
}
