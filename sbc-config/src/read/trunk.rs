//! Reads `[[trunk]]`: whom it trusts and how it is dialled, with the settings of its profile behind its own.

mod account;
mod numbers;
mod rules;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::gateway::codecs;
use super::names::Names;
use super::report::Report;
use super::secure::{default_suites, suites, trunk_tls};
use super::table::{Field, Section};
use super::tenant::id;
use super::unique::Unique;
use super::words::{
    CALLER_ID_POLICY, CALLER_IDENTITY, CONTEXT_HEADERS, DIALECTS, DIVERSIONS, HOLD, PRACK, PRIVACY, RINGBACK,
    SRTP, TRANSFER,
};
use crate::address::Destination;
use crate::finding::Code;
use crate::id::{TenantId, TrunkId};
use crate::number::E164;
use crate::profile::Profile;
use crate::secret::SecretSource;
use crate::secure::SrtpPolicy;
use crate::settings::Sip;
use crate::trunk::{
    CallerIdPolicy, CallerIdentity, ContextHeaders, Dialect, Diversions, HoldStyle, Prack, Privacy,
    Registration, Ringback, TransferStyle, Trunk,
};

/// Source ranges of one trunk. Large carriers publish a few dozen.
const MAX_SOURCES: usize = 256;
/// No carrier owns more than a /8 of IPv4 or a /16 of IPv6: a wider range trusts strangers.
const WIDEST_V4_PREFIX: u8 = 8;
const WIDEST_V6_PREFIX: u8 = 16;
/// Places to try one after the other: a caller gives up long before the ninth.
const MAX_DESTINATIONS: usize = 8;
/// Ours in `X-MS-SBC`: vendor, model, version.
const X_MS_SBC: &str = concat!("Sidetone/gateway/", env!("CARGO_PKG_VERSION"));

/// Reads trunks and what must differ between them.
pub(super) struct Trunks<'a> {
    ids: Unique<'a, String>,
    sources: Unique<'a, IpNet>,
    fqdns: Unique<'a, Arc<str>>,
    has_tls_listener: bool,
}

impl<'a> Trunks<'a> {
    /// Needs `sip` to see that Microsoft finds a listener.
    pub(super) fn new(report: &'a Report<'a>, sip: &Sip) -> Self {
        Self {
            ids: Unique::new(report),
            sources: Unique::new(report),
            fqdns: Unique::new(report),
            has_tls_listener: sip.tls.is_some(),
        }
    }

    pub(super) fn read(
        &mut self,
        section: &Section<'a>,
        names: &Names<'a>,
        source: &dyn SecretSource,
    ) -> Option<Trunk> {
        let profile_field = section.field("profile");
        let profile = profile_field.as_ref().and_then(|field| {
            let words: Vec<_> = Profile::ALL.iter().map(|profile| (profile.as_str(), *profile)).collect();
            field.choice(&words)
        });
        let over;
        let section = match profile {
            Some(profile) => {
                over = section.over(profile.table());
                over.field("profile");
                &over
            }
            None => section,
        };
        let id = id(section, &mut self.ids, TrunkId::new);
        let tenant = names.tenant_of(section);
        let dialect = section.choice("dialect", DIALECTS, Dialect::Standard);
        let fqdn_field = section.field("fqdn");
        let fqdn = fqdn_field.as_ref().and_then(|field| field.parsed(Code::BadFqdn, FQDN_REMEDY, fqdn));
        if let (Some(field), Some(fqdn)) = (&fqdn_field, &fqdn) {
            // Which tenant a Direct Routing call is for is told by this name alone, and Microsoft pairs it once.
            self.fqdns.note(fqdn.clone(), field, Code::Duplicate, &format!("the name {fqdn}"));
        }
        let certificate =
            section.field("certificate").and_then(|field| names.certificate(&field, field.text()?));
        let sources =
            section.required("sources", "name the address ranges it calls from, as [\"192.0.2.0/24\"]");
        let sources = sources.and_then(|field| self.sources(&field, dialect));
        let auth_field = section.field("auth");
        let auth = auth_field.as_ref().and_then(|field| account::auth(field, source));
        let register_field = section.field("register");
        let register = register_field.as_ref().and_then(account::registration);
        if let (Some(field), None) = (&register_field, &auth_field) {
            let message = "a registration is asked for a password, and there is none";
            field.fail(Code::MissingKey, message, "add auth = { username, password_file, realm }");
        }
        let destinations = destinations(section, register.as_ref());
        let options_interval = if destinations.is_empty() && !says_destination(section) {
            section.refuse_out_of_place("options_s", "without a destination there is nobody to ask");
            for told in ["pidf_lo", "charge_to"] {
                section.refuse_out_of_place(told, "without a destination there is nobody to tell");
            }
            None
        } else {
            section.field("options_s").and_then(|field| number_or_off(&field, 5..=3_600))
        };
        let tls = trunk_tls(section.field("tls").as_ref());
        let srtp_suites = section.field("srtp_suites").and_then(|field| suites(&field));
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let optional =
            |key, range| section.field(key).and_then(|field: Field<'a>| number_or_off(&field, range));
        let x_ms_sbc = section.field("x_ms_sbc").map(|field| field.parsed(Code::BadValue, SBC_REMEDY, sbc));
        let x_ms_sbc = match (x_ms_sbc, dialect) {
            (Some(written), _) => written,
            (None, Dialect::Microsoft) => Some(X_MS_SBC.into()),
            (None, Dialect::Standard) => None,
        };
        // One that cannot be read in full is still checked in full, under a name that nobody sees.
        let whole = id.is_some() && tenant.is_some() && sources.as_ref().is_some_and(|s| !s.is_empty());
        let trunk = Trunk {
            id: id.or_else(|| TrunkId::new("unread").ok())?,
            tenant: tenant.or_else(|| TenantId::new("unread").ok())?,
            profile,
            dialect,
            sources: sources.unwrap_or_default(),
            fqdn,
            certificate,
            destinations,
            tls,
            auth,
            register,
            options_interval: options_interval.map(seconds),
            failover: section.seconds("failover_s", 1..=32, 6),
            retry_after_max: section.seconds("retry_after_max_s", 1..=3_600, 300),
            // RFC 4028 section 4: no session interval is below 90 seconds.
            session_timer: optional("session_timer_s", 90..=86_400).map(seconds),
            prack: section.choice("prack", PRACK, Prack::Supported),
            ringback: section.choice("ringback", RINGBACK, Ringback::Alerting),
            codecs: section.field("codecs").and_then(|field| codecs(&field)),
            srtp: section.choice("srtp", SRTP, SrtpPolicy::Off),
            srtp_suites: srtp_suites.unwrap_or_else(default_suites),
            hold: section.choice("hold", HOLD, HoldStyle::Sendonly),
            caller_identity: section.choice("caller_identity", CALLER_IDENTITY, CallerIdentity::From),
            privacy: section.choice("privacy", PRIVACY, Privacy::Id),
            diversion_in: section.choice("diversion_in", DIVERSIONS, Diversions::None),
            diversion_out: section.choice("diversion_out", DIVERSIONS, Diversions::None),
            pass_identity: section.field("pass_identity").and_then(|field| field.flag()).unwrap_or_default(),
            pidf_lo: section.field("pidf_lo").and_then(|field| field.flag()).unwrap_or_default(),
            charge_to: section.field("charge_to").and_then(|field| {
                field.parsed(Code::BadValue, "write the number as \"+15550100\"", str::parse::<E164>)
            }),
            numbers_in: numbers::rules(section.field("numbers_in").as_ref()),
            numbers_out: numbers::rules(section.field("numbers_out").as_ref()),
            caller_numbers_out: numbers::rules(section.field("caller_numbers_out").as_ref()),
            x_ms_sbc,
            transfer: section.choice("transfer", TRANSFER, TransferStyle::Hidden),
            channels_max: optional("channels_max", 1..=100_000).and_then(|n| usize::try_from(n).ok()),
            calls_per_second_max: optional("calls_per_second_max", 1..=10_000),
            minutes_per_day_max: optional("minutes_per_day_max", 1..=144_000_000),
            destinations_allowed: numbers::patterns(section.field("destinations_allowed").as_ref()),
            allowed_caller_ids: numbers::patterns(section.field("allowed_caller_ids").as_ref()),
            caller_id_policy: section.choice("caller_id_policy", CALLER_ID_POLICY, CallerIdPolicy::Warn),
            card: section.field("card").and_then(|field| field.flag()).unwrap_or_default(),
            context_headers: section.choice("context_headers", CONTEXT_HEADERS, ContextHeaders::Off),
        };
        rules::check(section, &trunk, self.has_tls_listener, names.has_certificate());
        let unchecked = trunk.leads_to_teams() && !trunk.destinations.is_empty();
        if whole && unchecked && !names.has_account(&trunk.tenant) {
            let message = "numbers behind this trunk are rung without a look at whoever has them";
            let remedy =
                "add an [[integration]] for the tenant; until then only the state of the trunk is known";
            section.warn(Code::TeamsUnchecked, message, remedy);
        }
        section.finish();
        whole.then_some(trunk)
    }

    fn sources(&mut self, field: &Field<'a>, dialect: Dialect) -> Option<Vec<IpNet>> {
        let mut ranges = Vec::new();
        for item in field.items(MAX_SOURCES)? {
            let Some(range) = source_range(&item) else { continue };
            // Those of Microsoft are told apart by our name, not by where they call from.
            if dialect == Dialect::Standard {
                self.sources.note(range, &item, Code::Duplicate, &format!("the source range {range}"));
            }
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

/// A number, or `false` for none where a profile sets one.
fn number_or_off(field: &Field<'_>, range: RangeInclusive<u32>) -> Option<u32> {
    if field.value().as_bool() == Some(false) { None } else { field.number(range) }
}

/// Whether the file or the profile says where calls go, however badly.
fn says_destination(section: &Section<'_>) -> bool {
    ["destination", "destinations", "register"].into_iter().any(|key| section.field(key).is_some())
}

/// In the order they are tried. What the trunk writes goes before its profile, and both before its registrar.
fn destinations(section: &Section<'_>, register: Option<&Registration>) -> Vec<Destination> {
    let one = section.field("destination");
    let list = section.field("destinations");
    if let (Some(field), true) = (&one, section.writes("destinations")) {
        let message = "both `destination` and `destinations` are given";
        field.fail(Code::ExactlyOne, message, "put all of them into `destinations`");
    }
    let read = |field: &Field<'_>| {
        let remedy = "write it as \"sip.example.net:5060;transport=udp\"";
        field.parsed(Code::BadValue, remedy, str::parse::<Destination>)
    };
    match (one, list) {
        (Some(field), _) => read(&field).into_iter().collect(),
        (None, Some(field)) => field.list(MAX_DESTINATIONS, read).unwrap_or_default(),
        (None, None) => register.map(|register| register.registrar.clone()).into_iter().collect(),
    }
}

const FQDN_REMEDY: &str = "write the name that is paired, as \"sbc1.example.net\"";

/// RFC 1035 section 2.3.1, and what Microsoft pairs of it.
fn fqdn(text: &str) -> Result<Arc<str>, &'static str> {
    const MOST_CHARACTERS: usize = 63;
    let Ok(crate::Host::Name(name)) = text.parse() else { return Err("this is not a DNS name") };
    if !name.contains('.') {
        Err("this is a name without a domain")
    } else if name.len() > MOST_CHARACTERS {
        Err("the name is longer than 63 characters")
    } else if name.ends_with(".onmicrosoft.com") {
        Err("Microsoft pairs no name under onmicrosoft.com")
    } else {
        Ok(name)
    }
}

const SBC_REMEDY: &str = "write it as \"Vendor/Model/Version\"";

fn sbc(text: &str) -> Result<Arc<str>, &'static str> {
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    let fits = text.len() <= 128 && text.split('/').count() == 3 && text.split('/').all(token);
    if fits { Ok(text.into()) } else { Err("this is not vendor, model and version") }
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
