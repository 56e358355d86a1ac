//! Reads `[[integration]]`.

use std::sync::Arc;
use std::time::Duration;

use super::access::date;
use super::names::Names;
use super::secrets::{Named, SecretKeys, secret};
use super::table::{Field, Section};
use super::unique::Unique;
use crate::address::Host;
use crate::finding::Code;
use crate::id::TenantId;
use crate::integration::{
    ApiTokens, AppCredential, Cloud, DirectoryPhone, EvidenceLives, Integration, OnUnknown, RouteName,
    UnknownPolicy,
};
use crate::secret::{MAX_SECRET_BYTES, Secret, SecretSource};

/// Audiences and issuers of one account: an application id in its two forms, two token versions, and room.
const MAX_NAMES: usize = 8;
/// People whose Entra id is written down here.
const MAX_PEOPLE: usize = 5000;

const CLOUDS: &[(&str, Cloud)] = &[
    ("global", Cloud::Global),
    ("gcc", Cloud::Global),
    ("gcc_high", Cloud::GccHigh),
    ("dod", Cloud::Dod),
    ("china", Cloud::China),
];
const PHONES: &[(&str, DirectoryPhone)] = &[
    ("teams", DirectoryPhone::Teams),
    ("business", DirectoryPhone::Business),
    ("mobile", DirectoryPhone::Mobile),
    ("fax", DirectoryPhone::Fax),
];
pub(super) const ROUTES: &[(&str, RouteName)] =
    &[("voip", RouteName::Voip), ("pstn", RouteName::Pstn), ("direct_routing", RouteName::DirectRouting)];
const ON_UNKNOWN: &[(&str, OnUnknown)] =
    &[("refuse", OnUnknown::Refuse), ("warn", OnUnknown::Warn), ("allow", OnUnknown::Allow)];

pub(super) fn integration<'a>(
    section: &Section<'a>,
    names: &Names<'a>,
    source: &dyn SecretSource,
    tenants: &mut Unique<'a, String>,
) -> Option<Integration> {
    let tenant = names.tenant_of(section);
    if let (Some(tenant), Some(field)) = (&tenant, section.field("tenant")) {
        tenants.note(tenant.to_string(), &field, Code::Duplicate, "the one account of this tenant");
    }
    let cloud = section.choice("cloud", CLOUDS, Cloud::Global);
    let entra_tenant = section.field("entra_tenant").and_then(|field| entra_tenant(&field));
    let client_id = section.field("client_id").and_then(|field| guid(&field));
    let object_id = section.field("object_id").and_then(|field| guid(&field));
    let credential = credential(section, source);
    let expires = section.field("expires").and_then(|field| date(&field));
    let base = |key: &'static str, default: &str| {
        section.field(key).map_or_else(|| Some(default.into()), |field| base_address(&field))
    };
    let authority = base("authority", cloud.authority());
    let graph = base("graph", cloud.graph());
    let arm = base("arm", cloud.arm());
    let acs_resource = section.field("acs_resource").and_then(|field| acs_resource(&field));
    let direct_routing_trunk = section
        .field("direct_routing_trunk")
        .and_then(|field| names.trunk(&field, field.text()?, tenant.as_ref()));
    let agent_group = section.field("agent_group").and_then(|field| guid(&field));
    let supervisor_group = section.field("supervisor_group").and_then(|field| guid(&field));
    let phones =
        section.field("phones").and_then(|field| field.list(PHONES.len(), |item| item.choice(PHONES)));
    let presence_decides = section
        .field("presence_decides")
        .and_then(|field| field.list(ROUTES.len(), |item| item.choice(ROUTES)));
    let unknown = section
        .field("unknown")
        .and_then(|field| field.section())
        .map_or_else(UnknownPolicy::default, |section| unknown(&section));
    let budget = Duration::from_millis(section.number("budget_ms", 0..=5000, 300).into());
    let lives = section
        .field("lives")
        .and_then(|field| field.section())
        .map_or_else(EvidenceLives::default, |section| lives(&section));
    let api_tokens = match section.field("api_tokens").map(|field| field.section()) {
        None => None,
        Some(tokens) => Some(api_tokens(
            &tokens?,
            names,
            tenant.as_ref(),
            authority.as_deref().unwrap_or_default(),
            entra_tenant.as_deref(),
        )),
    };
    section.finish();
    let api_tokens = match api_tokens {
        None => None,
        Some(tokens) => Some(tokens?),
    };
    Some(Integration {
        tenant: tenant?,
        cloud,
        entra_tenant,
        client_id,
        object_id,
        credential: credential?,
        expires,
        authority: authority?,
        graph: graph?,
        arm: arm?,
        acs_resource,
        direct_routing_trunk,
        agent_group,
        supervisor_group,
        phones: phones
            .unwrap_or_else(|| vec![DirectoryPhone::Business, DirectoryPhone::Teams, DirectoryPhone::Mobile]),
        presence_decides: presence_decides.unwrap_or_default(),
        unknown,
        budget,
        lives,
        api_tokens,
    })
}

/// At most one kind of credential; none leaves the account incomplete, which its test says.
fn credential(section: &Section<'_>, source: &dyn SecretSource) -> Option<AppCredential> {
    let keys = SecretKeys { inline: "client_secret", file: "client_secret_file", env: "client_secret_env" };
    let client_secret = secret(section, source, &keys);
    let certificate = section.field("certificate_file");
    let key = section.field("certificate_key_file");
    let identity = section.field("managed_identity_endpoint");
    let given = [
        !matches!(client_secret, Named::Nowhere),
        certificate.is_some() || key.is_some(),
        identity.is_some(),
    ];
    if given.iter().filter(|given| **given).count() > 1 {
        let message = "more than one kind of credential is given";
        section.fail(Code::ExactlyOne, message, "keep the secret, the certificate or the managed identity");
        return None;
    }
    match (client_secret, certificate, key, identity) {
        (Named::Refused, ..) => None,
        (Named::Secret(secret), ..) => Some(AppCredential::Secret(secret)),
        (_, Some(certificate), Some(key), _) => {
            let certificate = pem(&certificate, source);
            let key = pem(&key, source);
            Some(AppCredential::Certificate { certificate: certificate?.into(), key: Secret::new(&key?) })
        }
        (_, Some(field), None, _) | (_, None, Some(field), _) => {
            let message = "a certificate needs its key";
            field.fail(Code::ExactlyOne, message, "write certificate_file and certificate_key_file");
            None
        }
        (_, _, _, Some(identity)) => {
            // The metadata address of a cloud machine is plain HTTP on a link-local address by design.
            let endpoint =
                identity.text().filter(|text| text.starts_with("http://") || text.starts_with("https://"));
            if endpoint.is_none() {
                let remedy = "write \"http://169.254.169.254/metadata/identity/oauth2/token\"";
                identity.fail(Code::BadValue, "this is not an HTTP address", remedy);
            }
            Some(AppCredential::ManagedIdentity { endpoint: endpoint?.into() })
        }
        (Named::Nowhere, None, None, None) => Some(AppCredential::None),
    }
}

/// A PEM file: a secret of several lines.
fn pem(field: &Field<'_>, source: &dyn SecretSource) -> Option<String> {
    match source.file(field.text()?) {
        Ok(text) if text.len() <= MAX_SECRET_BYTES && text.contains("-----BEGIN ") => Some(text),
        Ok(_) => {
            field.fail(Code::SecretUnfit, "the file holds no PEM", "put one PEM block into it");
            None
        }
        Err(error) => {
            let message = format!("the file is of no use: {error}");
            field.fail(Code::SecretUnavailable, message, "create the file and let the gateway read it");
            None
        }
    }
}

fn unknown(section: &Section<'_>) -> UnknownPolicy {
    let default = UnknownPolicy::default();
    let choice = |key, default| section.choice(key, ON_UNKNOWN, default);
    let policy = UnknownPolicy {
        connection: choice("connection", default.connection),
        federation: choice("federation", default.federation),
        identity: choice("identity", default.identity),
        voice: choice("voice", default.voice),
        number: choice("number", default.number),
        authorisation: choice("authorisation", default.authorisation),
        presence: choice("presence", default.presence),
    };
    section.finish();
    policy
}

fn lives(section: &Section<'_>) -> EvidenceLives {
    const DAY: u32 = 24 * 3600;
    let lives = EvidenceLives {
        person: section.seconds("person_s", 1..=DAY, 15 * 60),
        groups: section.seconds("groups_s", 1..=DAY, 5 * 60),
        presence: section.seconds("presence_s", 1..=600, 10),
        expiry: section.seconds("expiry_s", 60..=7 * DAY, DAY / 2),
        acs_id: section.seconds("acs_id_s", 60..=30 * DAY, DAY),
        import: section.seconds("import_s", 60..=365 * DAY, 30 * DAY),
        attestation: section.seconds("attestation_s", 60..=365 * DAY, 30 * DAY),
        call_outcome: section.seconds("call_outcome_s", 60..=30 * DAY, DAY),
    };
    section.finish();
    lives
}

fn api_tokens<'a>(
    section: &Section<'a>,
    names: &Names<'a>,
    tenant: Option<&TenantId>,
    authority: &str,
    entra_tenant: Option<&str>,
) -> Option<ApiTokens> {
    let list = |field: Field<'a>| field.list(MAX_NAMES, |item| item.text().map(Arc::from));
    let audiences =
        section.required("audience", "write audience = [\"api://…\"], as its tokens say").and_then(list);
    // Both versions of Entra's tokens, for the tenant that is configured and no other.
    let usual = entra_tenant.map(|tenant| {
        vec![format!("{authority}/{tenant}/v2.0").into(), format!("https://sts.windows.net/{tenant}/").into()]
    });
    let issuers = match section.field("issuer") {
        Some(field) => list(field),
        None => usual,
    };
    let jwks = match section.field("jwks") {
        Some(field) => base_address(&field),
        None => entra_tenant.map(|tenant| format!("{authority}/{tenant}/discovery/v2.0/keys").into()),
    };
    if issuers.is_none() || jwks.is_none() {
        let message = "nobody can tell whose tokens these would be";
        section.fail(Code::MissingKey, message, "write entra_tenant, or issuer and jwks");
    }
    let mut people = Vec::new();
    if let Some(field) = section.field("people") {
        match field.value().as_table() {
            None => {
                field.fail(Code::WrongType, "this is no table", "write people = { OBJECT_ID = \"alice\" }")
            }
            Some(table) if table.len() > MAX_PEOPLE => {
                field.fail(Code::TooLong, format!("more than {MAX_PEOPLE} people"), "divide the gateway");
            }
            Some(table) => {
                for (key, value) in table {
                    let (id, item) = (key.get_ref(), field.child(value, key.get_ref()));
                    if !is_guid(id) {
                        item.fail(
                            Code::BadValue,
                            "the name is no object id",
                            "write the person's Entra object id",
                        );
                        continue;
                    }
                    let person = item.text().and_then(|name| names.person(&item, name, tenant, None));
                    people.extend(person.map(|person| (id.to_lowercase().into(), person)));
                }
            }
        }
    }
    section.finish();
    Some(ApiTokens { audiences: audiences?, issuers: issuers?, jwks: jwks?, people })
}

fn entra_tenant(field: &Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    let several = ["common", "organizations", "consumers"].contains(&text);
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    if several || !plain {
        let remedy = "write the tenant's GUID or domain; `common` cannot be signed in to without a person";
        field.fail(Code::BadValue, "this is not one Entra tenant", remedy);
        return None;
    }
    Some(text.to_lowercase().into())
}

fn guid(field: &Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    let bare = text.trim_start_matches('{').trim_end_matches('}');
    if !is_guid(bare) {
        field.fail(Code::BadValue, "this is not a GUID", "write it as 00000000-0000-0000-0000-000000000000");
        return None;
    }
    Some(bare.to_lowercase().into())
}

pub(super) fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

fn acs_resource(field: &Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    let parts: Vec<_> = text.split('/').collect();
    let plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.()".contains(&b))
            && part != ".."
    };
    let fits = match parts.as_slice() {
        ["", subscriptions, s, groups, g, "providers", provider, services, n] => {
            subscriptions.eq_ignore_ascii_case("subscriptions")
                && groups.eq_ignore_ascii_case("resourceGroups")
                && provider.eq_ignore_ascii_case("Microsoft.Communication")
                && services.eq_ignore_ascii_case("communicationServices")
                && [s, g, n].into_iter().all(|part| plain(part))
        }
        _ => false,
    };
    if !fits {
        let remedy = "write /subscriptions/S/resourceGroups/G/providers/Microsoft.Communication/communicationServices/N";
        field.fail(Code::BadValue, "this is not the id of an ACS resource", remedy);
        return None;
    }
    Some(text.into())
}

/// `https://host[:port][/path]`, without a slash at the end. Plain HTTP only on this machine: secrets travel there.
fn base_address(field: &Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?.trim_end_matches('/');
    let remedy = "write it as \"https://login.example.net\"";
    let parsed = text.split_once("://").and_then(|(scheme, rest)| {
        let authority = rest.split('/').next()?;
        let host = match authority.strip_prefix('[') {
            Some(v6) => v6.split(']').next()?,
            None => authority.split(':').next()?,
        };
        let host = host.parse::<Host>().ok().or_else(|| host.parse().ok().map(Host::Ip))?;
        let plain = !text.contains(['?', '#', '@']) && !text.contains(char::is_whitespace);
        plain.then_some((scheme, host))
    });
    let here = |host: &Host| match host {
        Host::Ip(address) => address.is_loopback(),
        Host::Name(name) => &**name == "localhost",
    };
    match parsed {
        Some(("https", _)) => Some(text.into()),
        Some(("http", host)) if here(&host) => Some(text.into()),
        Some(("http", _)) => {
            field.fail(Code::PlainHttp, "the credential would travel unencrypted", "use https://");
            None
        }
        _ => {
            field.fail(Code::BadValue, "this is not the address of a service", remedy);
            None
        }
    }
}
