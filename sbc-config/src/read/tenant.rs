//! Reads what belongs to tenants: `[[tenant]]`, `[[team]]`, `[[person]]`, `[[trunk]]` and `[[route]]`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::gateway::codecs;
use super::names::Names;
use super::report::Report;
use super::secrets::{Named, SecretKeys, secret};
use super::table::{Field, Section};
use super::unique::Unique;
use crate::address::{Contact, Destination};
use crate::finding::Code;
use crate::id::{IdError, PersonId, RouteId, TeamId, TenantId, TrunkId};
use crate::number::{Dialled, MAX_E164_DIGITS};
use crate::people::{Credentials, Password, Person, PersonRole, Reach, Team, Tenant};
use crate::route::{Fallback, Match, Route, Strategy, Target};
use crate::secret::{Secret, SecretSource};
use crate::trunk::{Prack, Ringback, Trunk};

/// Teams of one person, or of one token's scope.
pub(super) const MAX_TEAMS: usize = 64;
/// Source ranges of one trunk. Large carriers publish a few dozen.
const MAX_SOURCES: usize = 256;
/// Targets of one route. Nobody listens to ringing for longer than a few of them take.
const MAX_TARGETS: usize = 32;
/// Trunks named by one route.
const MAX_ROUTE_TRUNKS: usize = 64;
/// RFC 3261 section 16.6 step 11: a proxy gives up on a ringing phone after three minutes (timer C).
const MAX_RING_S: u32 = 180;
/// Source ranges wider than this trust a whole continent of strangers: an eighth of IPv4, all of one IPv6 /16.
const WIDEST_V4_PREFIX: u8 = 8;
const WIDEST_V6_PREFIX: u8 = 16;

pub(super) const PERSON_ROLES: &[(&str, PersonRole)] = &[
    ("agent", PersonRole::Agent),
    ("supervisor", PersonRole::Supervisor),
    ("customer", PersonRole::Customer),
];

/// The `id` of a section, well formed and not used before.
pub(super) fn id<'a, T>(
    section: &Section<'a>,
    ids: &mut Unique<'a, String>,
    parse: impl FnOnce(&str) -> Result<T, IdError>,
) -> Option<T> {
    let field = section.required("id", "give it an id that is unique in the file")?;
    let remedy = "write letters, digits, '.', '_' and '-' only";
    let text = field.text()?;
    let id = field.parsed(Code::BadId, remedy, parse)?;
    ids.note(text.to_owned(), &field, Code::DuplicateId, &format!("the id `{text}`"));
    Some(id)
}

pub(super) fn tenant<'a>(section: &Section<'a>, ids: &mut Unique<'a, String>) -> Option<Tenant> {
    let id = id(section, ids, TenantId::new);
    let name = section.name("name", id.as_ref().map_or("", TenantId::as_str));
    section.finish();
    Some(Tenant { id: id?, name })
}

pub(super) fn team<'a>(
    section: &Section<'a>,
    names: &Names<'a>,
    ids: &mut Unique<'a, String>,
) -> Option<Team> {
    let id = id(section, ids, TeamId::new);
    let name = section.name("name", id.as_ref().map_or("", TeamId::as_str));
    let tenant = names.tenant_of(section);
    section.finish();
    Some(Team { id: id?, tenant: tenant?, name })
}

/// Reads people and what must differ between them.
pub(super) struct People<'a> {
    ids: Unique<'a, String>,
    extensions: Unique<'a, (TenantId, Arc<str>)>,
    usernames: Unique<'a, Arc<str>>,
}

impl<'a> People<'a> {
    pub(super) fn new(report: &'a Report<'a>) -> Self {
        Self { ids: Unique::new(report), extensions: Unique::new(report), usernames: Unique::new(report) }
    }

    pub(super) fn read(
        &mut self,
        section: &Section<'a>,
        names: &Names<'a>,
        source: &dyn SecretSource,
    ) -> Option<Person> {
        let id = id(section, &mut self.ids, PersonId::new);
        let tenant = names.tenant_of(section);
        let role = section
            .required("role", "write \"agent\", \"supervisor\" or \"customer\"")
            .and_then(|field| field.choice(PERSON_ROLES));
        let teams = teams(section, names, tenant.as_ref());
        let reach = self.reach(section, id.as_ref().map(PersonId::as_str), source);
        let extension_field = section.field("extension");
        let extension = extension_field.as_ref().and_then(|field| {
            field.parsed(Code::BadValue, "write 1 to 10 digits in quotes, as \"100\"", extension)
        });
        if let (Some(field), Some(extension), Some(tenant)) = (&extension_field, &extension, &tenant) {
            let key = (tenant.clone(), extension.clone());
            self.extensions.note(key, field, Code::Duplicate, &format!("the extension {extension}"));
        }
        let display_name = section.field("display_name").and_then(|field| field.name());
        section.finish();
        Some(Person { id: id?, tenant: tenant?, role: role?, teams, reach: reach?, extension, display_name })
    }

    fn reach(&mut self, section: &Section<'a>, id: Option<&str>, source: &dyn SecretSource) -> Option<Reach> {
        match (section.field("contact"), section.field("register")) {
            (Some(contact), None) => {
                let remedy = "write it as \"sip:alice@192.0.2.5:5060;transport=tcp\"";
                contact.parsed(Code::BadValue, remedy, str::parse::<Contact>).map(Reach::Contact)
            }
            (None, Some(register)) => self.credentials(&register, id, source).map(Reach::Register),
            (None, None) => {
                let remedy =
                    "write contact = \"sip:…\" for a fixed phone or register = { … } for one that registers";
                section.fail(Code::ExactlyOne, "there is no way to reach this person", remedy);
                None
            }
            (Some(_), Some(register)) => {
                let message = "both `contact` and `register` are given";
                register.fail(Code::ExactlyOne, message, "keep the one that the phone does");
                None
            }
        }
    }

    fn credentials(
        &mut self,
        field: &Field<'a>,
        id: Option<&str>,
        source: &dyn SecretSource,
    ) -> Option<Credentials> {
        let section = field.section()?;
        let username_field = section.field("username");
        let username = match &username_field {
            Some(field) => field.name(),
            None => id.map(Arc::from),
        };
        if let Some(username) = &username {
            let place = username_field.as_ref().unwrap_or(field);
            self.usernames.note(
                username.clone(),
                place,
                Code::Duplicate,
                &format!("the user name `{username}`"),
            );
        }
        let password = password(&section, source);
        section.finish();
        Some(Credentials { username: username?, password: password? })
    }
}

fn password(section: &Section<'_>, source: &dyn SecretSource) -> Option<Password> {
    let keys = SecretKeys { inline: "password", file: "password_file", env: "password_env" };
    let clear = secret(section, source, &keys);
    let (md5_field, sha256_field) = (section.field("ha1_md5"), section.field("ha1_sha256"));
    let ha1 = |field: &Option<Field<'_>>, digits| {
        let remedy = format!("write {digits} hex digits: the hash of username:realm:password");
        field
            .as_ref()
            .and_then(|field| field.parsed(Code::BadValue, &remedy, |text| hex_digits(text, digits)))
    };
    let (md5, sha256) = (ha1(&md5_field, 32), ha1(&sha256_field, 64));
    let hashed = md5_field.or(sha256_field);
    match (clear, hashed) {
        (Named::Secret(password), None) => Some(Password::Clear(password)),
        (Named::Nowhere, Some(_)) if md5.is_some() || sha256.is_some() => {
            Some(Password::Hashed { md5, sha256 })
        }
        (Named::Nowhere, None) => {
            let remedy = "write password_file, password_env, or ha1_md5 and ha1_sha256";
            section.fail(Code::ExactlyOne, "there is no password", remedy);
            None
        }
        (Named::Secret(_), Some(hashed)) => {
            hashed.fail(Code::ExactlyOne, "a password and its hash are both given", "remove one of them");
            None
        }
        (Named::Refused, _) | (Named::Nowhere, Some(_)) => None,
    }
}

fn hex_digits(text: &str, digits: usize) -> Result<Secret, String> {
    if text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(Secret::new(&text.to_ascii_lowercase()))
    } else {
        Err(format!("this is not a hash of {digits} hex digits"))
    }
}

fn extension(text: &str) -> Result<Arc<str>, &'static str> {
    let fit = text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit());
    if fit { Ok(text.into()) } else { Err("an extension is 1 to 10 digits") }
}

/// The `teams` of a section, none if it names none.
pub(super) fn teams<'a>(section: &Section<'a>, names: &Names<'a>, tenant: Option<&TenantId>) -> Vec<TeamId> {
    let team = |item: &Field<'a>| names.team(item, item.text()?, tenant);
    section.field("teams").and_then(|field| field.list(MAX_TEAMS, team)).unwrap_or_default()
}

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

/// Reads routes and notices ties between them.
pub(super) struct Routes<'a> {
    report: &'a Report<'a>,
    ids: Unique<'a, String>,
    /// By tenant and match: the trunks (`None` is all of them) and place of each route so far.
    matches: HashMap<(TenantId, MatchKey), Vec<(Option<Vec<TrunkId>>, Range<usize>)>>,
}

/// A match as the route table compares it.
#[derive(PartialEq, Eq, Hash)]
enum MatchKey {
    Number(Box<str>),
    Prefix(Box<str>),
    Any,
}

impl<'a> Routes<'a> {
    pub(super) fn new(report: &'a Report<'a>) -> Self {
        Self { report, ids: Unique::new(report), matches: HashMap::new() }
    }

    pub(super) fn read(&mut self, section: &Section<'a>, names: &Names<'a>) -> Option<Route> {
        let id = id(section, &mut self.ids, RouteId::new);
        let tenant = names.tenant_of(section);
        let trunk = |item: &Field<'a>| names.trunk(item, item.text()?, tenant.as_ref());
        let trunks_field = section.field("trunks");
        let trunks = trunks_field.as_ref().map(|field| field.list(MAX_ROUTE_TRUNKS, trunk));
        let matched = matches(section);
        let target = |item: &Field<'a>| target(item, names, tenant.as_ref());
        let targets = section.required("targets", "name whom to ring, as [\"alice\", \"team:support\"]");
        let targets = targets.and_then(|field| field.list(MAX_TARGETS, target));
        let strategies = [("in_order", Strategy::InOrder), ("all_at_once", Strategy::AllAtOnce)];
        let strategy = section.choice("strategy", &strategies, Strategy::InOrder);
        let ring = section.seconds("ring_s", 3..=MAX_RING_S, 20);
        let fallback = match (section.field("fallback"), section.field("reject")) {
            (None, None) => Some(Fallback::Reject(480)),
            (Some(field), None) => target(&field).map(Fallback::Target),
            (None, Some(field)) => {
                let status = field.number(400..=699).and_then(|status| u16::try_from(status).ok());
                status.map(Fallback::Reject)
            }
            (Some(_), Some(reject)) => {
                reject.fail(Code::ExactlyOne, "both `fallback` and `reject` are given", "remove one of them");
                None
            }
        };
        section.finish();
        let (tenant, (field, matches)) = (tenant?, matched?);
        // A list of trunks that could not be read is no list that takes every trunk.
        let trunks = match trunks {
            None => None,
            Some(trunks) => Some(trunks?),
        };
        self.refuse_ties(&tenant, &field, &matches, trunks.as_ref());
        Some(Route {
            id: id?,
            tenant,
            trunks,
            matches,
            targets: targets?,
            strategy,
            ring,
            fallback: fallback?,
        })
    }

    fn refuse_ties(
        &mut self,
        tenant: &TenantId,
        field: &Field<'a>,
        matches: &Match,
        trunks: Option<&Vec<TrunkId>>,
    ) {
        let key = match matches {
            Match::Number(number) => MatchKey::Number(number.match_key().into()),
            Match::Prefix(prefix) => MatchKey::Prefix(prefix.as_ref().into()),
            Match::Any => MatchKey::Any,
        };
        let equals = self.matches.entry((tenant.clone(), key)).or_default();
        let ties = |(theirs, _): &&(Option<Vec<_>>, Range<usize>)| match (theirs, trunks) {
            (None, None) => true,
            (Some(theirs), Some(mine)) => mine.iter().any(|trunk| theirs.contains(trunk)),
            // The one that names the trunk is preferred.
            (None, Some(_)) | (Some(_), None) => false,
        };
        if let Some((_, first)) = equals.iter().find(ties) {
            let line = self.report.line(first);
            let message = format!("the route at line {line} takes the same calls");
            field.fail(Code::RouteTie, message, "change the number, or give them different `trunks`");
        }
        equals.push((trunks.cloned(), field.span().clone()));
    }
}

fn matches<'a>(section: &Section<'a>) -> Option<(Field<'a>, Match)> {
    let fields = [section.field("number"), section.field("prefix"), section.field("any")];
    let remedy = "write number = \"+15550100\", prefix = \"1\" or any = true";
    match fields {
        [Some(field), None, None] => {
            let number = field.parsed(Code::BadValue, "write it as \"+15550100\"", Dialled::parse)?;
            Some((field, Match::Number(number)))
        }
        [None, Some(field), None] => {
            let prefix = field.parsed(Code::BadValue, "write the first digits, as \"1555\"", prefix)?;
            Some((field, Match::Prefix(prefix)))
        }
        [None, None, Some(field)] => {
            if !field.flag()? {
                field.fail(Code::BadValue, "a route that takes no number is of no use", remedy);
                return None;
            }
            Some((field, Match::Any))
        }
        [None, None, None] => {
            section.fail(Code::ExactlyOne, "the route takes no number", remedy);
            None
        }
        fields => {
            let last = fields.into_iter().flatten().last()?;
            last.fail(Code::ExactlyOne, "the route says more than once which numbers it takes", remedy);
            None
        }
    }
}

fn prefix(text: &str) -> Result<Arc<str>, &'static str> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let fit = (1..=MAX_E164_DIGITS).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#'));
    if fit { Ok(digits.into()) } else { Err("a prefix is 1 to 15 keys of the dial pad") }
}

fn target<'a>(field: &Field<'a>, names: &Names<'a>, tenant: Option<&TenantId>) -> Option<Target> {
    let text = field.text()?;
    match text.split_once(':') {
        None => names.person(field, text, tenant, None).map(Target::Person),
        Some(("trunk", name)) => names.trunk_to_dial(field, name, tenant).map(Target::Trunk),
        Some(("team", name)) => {
            let team = names.team(field, name, tenant)?;
            if !names.has_agent(name) {
                let message = format!("no agent is in the team `{name}`");
                field.warn(Code::NobodyToReach, message, "put the team into an agent's `teams`");
            }
            Some(Target::Team(team))
        }
        Some(_) => {
            let remedy = "write the id of a person, \"team:ID\" or \"trunk:ID\"";
            field.fail(Code::BadValue, "this is no target", remedy);
            None
        }
    }
}
