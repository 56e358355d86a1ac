//! Reads `[[person]]`: who somebody is and how the phone is reached.

use std::sync::Arc;

use super::integration::{ROUTES, is_guid};
use super::names::Names;
use super::report::Report;
use super::secrets::{Named, SecretKeys, secret};
use super::table::{Field, Section};
use super::tenant::{id, teams};
use super::unique::Unique;
use super::words::SRTP;
use crate::address::Contact;
use crate::finding::Code;
use crate::id::{PersonId, TenantId};
use crate::people::{Credentials, Password, Person, PersonRole, Reach};
use crate::secret::{Secret, SecretSource};
use crate::secure::SrtpPolicy;

/// The longest user principal name is 113 characters; a guest's has another one in it.
const MAX_USER_BYTES: usize = 256;

const ROLES: &[(&str, PersonRole)] = &[
    ("agent", PersonRole::Agent),
    ("supervisor", PersonRole::Supervisor),
    ("customer", PersonRole::Customer),
];

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
            .and_then(|field| field.choice(ROLES));
        let teams = teams(section, names, tenant.as_ref());
        let acs = acs_of(section, names, tenant.as_ref());
        let browser = section.field("webrtc").filter(|field| field.flag() == Some(true));
        if let (Some(field), Some(PersonRole::Customer)) = (&browser, role) {
            let message =
                "a customer bears no token and does not sign in, so no browser ever answers for this person";
            let remedy =
                "give the customer a telephone (contact, register or acs), or write role = \"agent\"";
            field.fail(Code::OutOfPlace, message, remedy);
        }
        let phone = section.field("contact").or(section.field("register"));
        let teams_user = teams_user(section);
        let others = acs.is_some() || browser.is_some() || phone.is_some();
        let reach = match (acs, browser, phone) {
            _ if teams_user.is_some() && others => {
                let message = "a Teams user has another telephone as well";
                let remedy = "keep the one that rings; a second [[person]] can have the other";
                section.fail(Code::ExactlyOne, message, remedy);
                None
            }
            (None, None, None) if teams_user.is_some() => teams_user.flatten(),
            (Some(_), Some(other), _) | (Some(_), None, Some(other)) | (None, Some(_), Some(other)) => {
                let message = "of a SIP phone, an ACS identity and the browser more than one is given";
                other.fail(Code::ExactlyOne, message, "keep the one that the person has");
                None
            }
            (Some(acs), None, None) => acs,
            (None, Some(_), None) => Some(Reach::Browser),
            (None, None, _) => self.reach(section, id.as_ref().map(PersonId::as_str), source),
        };
        let extension_field = section.field("extension");
        let extension = extension_field.as_ref().and_then(|field| {
            field.parsed(Code::BadValue, "write 1 to 10 digits in quotes, as \"100\"", extension)
        });
        if let (Some(field), Some(extension), Some(tenant)) = (&extension_field, &extension, &tenant) {
            let key = (tenant.clone(), extension.clone());
            self.extensions.note(key, field, Code::Duplicate, &format!("the extension {extension}"));
        }
        let display_name = section.field("display_name").and_then(|field| field.name());
        let srtp = section.choice("srtp", SRTP, SrtpPolicy::Off);
        section.finish();
        Some(Person {
            id: id?,
            tenant: tenant?,
            role: role?,
            teams,
            reach: reach?,
            extension,
            display_name,
            srtp,
        })
    }

    fn reach(&mut self, section: &Section<'a>, id: Option<&str>, source: &dyn SecretSource) -> Option<Reach> {
        match (section.field("contact"), section.field("register")) {
            (Some(contact), None) => {
                let remedy = "write it as \"sip:alice@192.0.2.5:5060;transport=tcp\"";
                contact.parsed(Code::BadValue, remedy, str::parse::<Contact>).map(Reach::Contact)
            }
            (None, Some(register)) => self.credentials(&register, id, source).map(Reach::Register),
            (None, None) => {
                let remedy = "write contact = \"sip:…\" for a fixed phone, register = { … } for one that registers, webrtc = true for a browser, or teams_user = \"…\" for Teams";
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

/// `teams_user = "erin@example.com"`, with the ways that may be taken. The outer `None`: there is none.
fn teams_user(section: &Section<'_>) -> Option<Option<Reach>> {
    let routes_field = section.field("teams_routes");
    let Some(field) = section.field("teams_user") else {
        if let Some(routes) = routes_field {
            routes.fail(
                Code::OutOfPlace,
                "there is no Teams user to reach",
                "write teams_user, or remove it",
            );
        }
        return None;
    };
    let remedy = "write the user principal name, as \"erin@example.com\", or the Entra object id";
    let user = field.parsed(Code::BadValue, remedy, user_name);
    let routes = match &routes_field {
        Some(field) => field.list(ROUTES.len(), |item| item.choice(ROUTES)),
        None => Some(ROUTES.iter().map(|(_, route)| *route).collect()),
    };
    if let (Some(field), Some([])) = (&routes_field, routes.as_deref()) {
        field.fail(Code::BadValue, "no way is left", "name one of \"voip\", \"pstn\" and \"direct_routing\"");
    }
    let routes = routes.filter(|routes: &Vec<_>| !routes.is_empty());
    Some((|| Some(Reach::Teams { user: user?, routes: routes? }))())
}

/// A user principal name or an object id. Neither can be dialled as it stands, so little is asked of it.
fn user_name(text: &str) -> Result<Arc<str>, &'static str> {
    let fit = text.len() <= MAX_USER_BYTES
        && text.chars().all(|c| c.is_alphanumeric() || "@.-_'#!+~&%$^".contains(c))
        && (text.contains('@') || is_guid(text));
    if fit { Ok(text.to_lowercase().into()) } else { Err("this is no user of Entra") }
}

/// `acs = { resource = "…", raw_id = "8:acs:…" }`, or with `number`. The outer `None`: there is none.
fn acs_of<'a>(section: &Section<'a>, names: &Names<'a>, tenant: Option<&TenantId>) -> Option<Option<Reach>> {
    let field = section.field("acs")?;
    let Some(section) = field.section() else { return Some(None) };
    let resource = section.required("resource", "name the [[acs]] over which the person is reached");
    let resource = resource.and_then(|field| names.acs(&field, field.text()?, tenant));
    let remedy = "write it as \"8:acs:…\" for an ACS user or \"4:+15550100\" for a telephone";
    let raw_id_field = section.required("raw_id", remedy);
    let raw_id = raw_id_field.as_ref().and_then(|f| f.parsed(Code::BadValue, remedy, reachable));
    section.finish();
    Some((|| Some(Reach::Acs { resource: resource?, raw_id: raw_id? }))())
}

/// Who can be called over ACS without asking first. Teams users cannot: their tenant has to be ready for it.
fn reachable(text: &str) -> Result<Arc<str>, &'static str> {
    if text.starts_with("8:acs:") || text.starts_with("4:+") {
        super::acs::raw_id_of(text)
    } else {
        Err("this is neither an ACS user nor a telephone")
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
