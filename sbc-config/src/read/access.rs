//! Reads `[[token]]` and `[[webhook]]`.

use std::collections::HashMap;

use toml::de::DeValue;

use super::names::Names;
use super::report::Report;
use super::secrets::{Named, SecretKeys, secret};
use super::table::{Field, Section};
use super::tenant::{id, teams};
use super::unique::Unique;
use crate::access::{Date, EventPattern, Grant, Token, TokenHash, TokenRole, Webhook};
use crate::address::Host;
use crate::events::{EVENTS, families};
use crate::finding::Code;
use crate::id::{PersonId, TeamId, TenantId, TokenId, WebhookId};
use crate::people::{Person, PersonRole};
use crate::secret::SecretSource;

/// Patterns of one webhook: room for every event by name.
const MAX_EVENTS: usize = 64;
/// The shortest HMAC key. Below 16 bytes a recorded delivery gives it away to guessing.
const LEAST_WEBHOOK_SECRET_BYTES: usize = 16;

const TOKEN_ROLES: &[(&str, TokenRole)] = &[
    ("agent", TokenRole::Agent),
    ("supervisor", TokenRole::Supervisor),
    ("tenant_admin", TokenRole::TenantAdmin),
    ("operator", TokenRole::Operator),
    ("integration", TokenRole::Integration),
];

/// Reads tokens and what must differ between them.
pub(super) struct Tokens<'a> {
    ids: Unique<'a, String>,
    hashes: Unique<'a, TokenHash>,
    /// The teams of each person: a supervisor's scope unless the token has its own.
    teams_of: HashMap<PersonId, Vec<TeamId>>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(report: &'a Report<'a>, people: &[Person]) -> Self {
        let teams_of = people.iter().map(|person| (person.id.clone(), person.teams.clone())).collect();
        Self { ids: Unique::new(report), hashes: Unique::new(report), teams_of }
    }

    pub(super) fn read(&mut self, section: &Section<'a>, names: &Names<'a>) -> Option<Token> {
        const HASH_REMEDY: &str = "write the 64 hex digits that `printf %s TOKEN | sha256sum` prints";
        let id = id(section, &mut self.ids, TokenId::new);
        let inline = section.refuse_inline_secret("token", HASH_REMEDY);
        let field = if inline { section.field("sha256") } else { section.required("sha256", HASH_REMEDY) };
        let sha256 = field.as_ref().and_then(|field| field.parsed(Code::BadValue, HASH_REMEDY, token_hash));
        if let (Some(field), Some(hash)) = (&field, &sha256) {
            self.hashes.note(hash.clone(), field, Code::Duplicate, "this token");
        }
        let role = section.required("role", "write what the bearer may do, as \"supervisor\"");
        let role = role.and_then(|field| field.choice(TOKEN_ROLES));
        let grant = match role {
            Some(role) => self.grant(role, section, names),
            // So that these are not called unknown on top of the missing role.
            None => {
                for key in ["tenant", "person", "teams"] {
                    let _ = section.field(key);
                }
                None
            }
        };
        let expires = section.field("expires").map(|field| date(&field));
        section.finish();
        let expires = match expires {
            None => None,
            Some(expires) => Some(expires?),
        };
        Some(Token { id: id?, sha256: sha256?, grant: grant?, expires })
    }

    fn grant(&self, role: TokenRole, section: &Section<'a>, names: &Names<'a>) -> Option<Grant> {
        let no_person = || section.refuse_out_of_place("person", "a token of this role is nobody's own");
        let no_teams =
            || section.refuse_out_of_place("teams", "only a supervisor's token has a scope of teams");
        match role {
            TokenRole::Operator => {
                section.refuse_out_of_place(
                    "tenant",
                    "an operator serves the platform and sees no tenant's calls",
                );
                no_person();
                no_teams();
                Some(Grant::Operator)
            }
            TokenRole::TenantAdmin => {
                no_person();
                no_teams();
                Some(Grant::TenantAdmin { tenant: names.tenant_of(section)? })
            }
            TokenRole::Integration => {
                no_person();
                no_teams();
                Some(Grant::Integration { tenant: names.tenant_of(section)? })
            }
            TokenRole::Agent => {
                no_teams();
                let tenant = names.tenant_of(section);
                let person = bearer(section, names, tenant.as_ref(), PersonRole::Agent);
                Some(Grant::Agent { tenant: tenant?, person: person? })
            }
            TokenRole::Supervisor => {
                let tenant = names.tenant_of(section);
                let person = bearer(section, names, tenant.as_ref(), PersonRole::Supervisor);
                let own = teams(section, names, tenant.as_ref());
                let (tenant, person) = (tenant?, person?);
                // A person who could not be read has a finding already; nothing is known of the teams.
                let of_person = self.teams_of.get(&person);
                if own.is_empty() && of_person.is_some_and(Vec::is_empty) {
                    let message = "neither the token nor its person names a team";
                    section.warn(
                        Code::NothingInScope,
                        message,
                        "write teams = [\"…\"], or it may supervise nobody",
                    );
                }
                let teams = if own.is_empty() { of_person.cloned().unwrap_or_default() } else { own };
                Some(Grant::Supervisor { tenant, person, teams })
            }
        }
    }
}

fn bearer<'a>(
    section: &Section<'a>,
    names: &Names<'a>,
    tenant: Option<&TenantId>,
    role: PersonRole,
) -> Option<PersonId> {
    let field = section.required("person", "name the [[person]] who bears it")?;
    names.person(&field, field.text()?, tenant, Some(role))
}

fn token_hash(text: &str) -> Result<TokenHash, &'static str> {
    const WRONG: &str = "this is not a SHA-256 of 64 hex digits";
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(WRONG);
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| WRONG)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| WRONG)?;
    }
    Ok(TokenHash(hash))
}

/// `2027-01-31`, with or without quotes.
pub(super) fn date(field: &Field<'_>) -> Option<Date> {
    let remedy = "write a day, as 2027-01-31";
    let parse = |text: &str| text.parse::<toml::value::Datetime>().map_err(|_| "this is not a day");
    let datetime = match field.value() {
        DeValue::Datetime(datetime) => *datetime,
        _ => field.parsed(Code::BadValue, remedy, parse)?,
    };
    match (datetime.date, datetime.time, datetime.offset) {
        (Some(day), None, None) if day.year >= 1970 => {
            Some(Date { year: day.year, month: day.month, day: day.day })
        }
        _ => {
            field.fail(Code::BadValue, "this is not a day from 1970 on, without time", remedy);
            None
        }
    }
}

pub(super) fn webhook<'a>(
    section: &Section<'a>,
    names: &Names<'a>,
    source: &dyn SecretSource,
    ids: &mut Unique<'a, String>,
) -> Option<Webhook> {
    let id = id(section, ids, WebhookId::new);
    let tenant = names.tenant_of(section);
    let url = section.required("url", "write where events go, as \"https://example.net/hook\"");
    let url = url.and_then(|field| url_of(&field));
    let keys = SecretKeys { inline: "secret", file: "secret_file", env: "secret_env" };
    let secret = match secret(section, source, &keys) {
        Named::Secret(secret) if secret.expose().len() < LEAST_WEBHOOK_SECRET_BYTES => {
            let message = format!("the key is shorter than {LEAST_WEBHOOK_SECRET_BYTES} bytes");
            section.fail(Code::SecretUnfit, message, "make one with `openssl rand -hex 32`");
            None
        }
        Named::Secret(secret) => Some(secret),
        Named::Refused => None,
        Named::Nowhere => {
            let remedy = "write secret_file or secret_env; receivers check each delivery with it";
            section.fail(Code::ExactlyOne, "there is no key to sign deliveries with", remedy);
            None
        }
    };
    let events = match section.field("events") {
        Some(field) => field.list(MAX_EVENTS, event_pattern),
        None => Some(vec![EventPattern::All]),
    };
    section.finish();
    Some(Webhook { id: id?, tenant: tenant?, url: url?.into(), secret: secret?, events: events? })
}

fn url_of<'a>(field: &Field<'a>) -> Option<&'a str> {
    let url = field.text()?;
    let remedy = "write it as \"https://example.net/hook\"";
    let Some((scheme @ ("http" | "https"), rest)) = url.split_once("://") else {
        field.fail(Code::BadValue, "this is not an HTTP address", remedy);
        return None;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        let remedy = "leave user name and password out; receivers know us by the signature";
        field.fail(Code::InlineSecret, "the address holds a user name or password", remedy);
        return None;
    }
    let bracket = authority.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match authority[bracket..].find(':') {
        Some(colon) => (&authority[..bracket + colon], Some(&authority[bracket + colon + 1..])),
        None => (authority, None),
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    let Some(host) = host.parse::<Host>().ok().filter(|_| port_fits && !url.contains(char::is_whitespace))
    else {
        field.fail(Code::BadValue, "this is not an HTTP address", remedy);
        return None;
    };
    let here = match host {
        Host::Ip(address) => address.is_loopback(),
        Host::Name(name) => &*name == "localhost",
    };
    if scheme == "http" && !here {
        field.warn(Code::PlainHttp, "events would travel unencrypted", "use https://");
    }
    Some(url)
}

fn event_pattern(field: &Field<'_>) -> Option<EventPattern> {
    let text = field.text()?;
    if text == "*" {
        return Some(EventPattern::All);
    }
    let (family, event) = text.split_once('.').unwrap_or((text, ""));
    let families = families();
    if !families.contains(&family) {
        let remedy = match super::similar::nearest(family, families.iter().copied()) {
            Some(near) => format!("did you mean \"{near}.*\"?"),
            None => format!("events are named {}", families.join(".*, ") + ".*"),
        };
        field.fail(Code::BadValue, "there are no events of this name", remedy);
        return None;
    }
    let of_family =
        || EVENTS.iter().map(|(name, _)| *name).filter(|name| name.starts_with(&format!("{family}.")));
    match event {
        "*" => Some(EventPattern::Family(family.into())),
        _ if of_family().any(|name| name == text) => Some(EventPattern::One(text.into())),
        _ => {
            let remedy = match super::similar::nearest(text, of_family()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => {
                    format!("write \"{family}.*\" or one of {}", of_family().collect::<Vec<_>>().join(", "))
                }
            };
            field.fail(Code::BadValue, "there is no event of this name", remedy);
            None
        }
    }
}
