//! Reads `auth` and `register` of a trunk.

use std::sync::Arc;
use std::time::Duration;

use crate::address::{Contact, Destination};
use crate::finding::Code;
use crate::read::secrets::{Named, SecretKeys, secret};
use crate::read::table::Field;
use crate::secret::SecretSource;
use crate::trunk::{Registration, TrunkAuth};

pub(super) fn auth(field: &Field<'_>, source: &dyn SecretSource) -> Option<TrunkAuth> {
    let section = field.section()?;
    let username = section.required("username", "write the user name that the carrier gave");
    let username = username.and_then(|field| field.name());
    let keys = SecretKeys { inline: "password", file: "password_file", env: "password_env" };
    let password = match secret(&section, source, &keys) {
        Named::Secret(password) => Some(password),
        Named::Refused => None,
        Named::Nowhere => {
            section.fail(Code::ExactlyOne, "there is no password", "write password_file or password_env");
            None
        }
    };
    let remedy = "write the realm of the carrier's challenge, so that no other one gets an answer";
    let realm = section.required("realm", remedy).and_then(|field| field.name());
    section.finish();
    Some(TrunkAuth { username: username?, password: password?, realm: realm? })
}

pub(super) fn registration(field: &Field<'_>) -> Option<Registration> {
    let section = field.section()?;
    let remedy = "write it as \"sip.example.net\" or \"sip.example.net:5060;transport=udp\"";
    let registrar = section.required("registrar", remedy);
    let registrar =
        registrar.and_then(|field| field.parsed(Code::BadValue, remedy, str::parse::<Destination>));
    let remedy = "write it as \"sip:+15550100@sip.example.net\"";
    let address = section.required("address_of_record", remedy);
    let address = address.and_then(|field| field.parsed(Code::BadValue, remedy, address_of_record));
    let expires = section.seconds("expires_s", 60..=86_400, 3_600);
    let least = section.number("backoff_min_s", 1..=3_600, 30);
    let most = section.seconds("backoff_max_s", least..=86_400, 900.max(least));
    section.finish();
    Some(Registration {
        registrar: registrar?,
        address_of_record: address?,
        expires,
        backoff_min: Duration::from_secs(least.into()),
        backoff_max: most,
    })
}

/// RFC 3261 section 10.2: a URI with a user part.
fn address_of_record(text: &str) -> Result<Arc<str>, String> {
    let contact: Contact = text.parse().map_err(|error| format!("{error}"))?;
    if contact.user.is_none() {
        return Err("there is nobody before the @".to_owned());
    }
    Ok(contact.uri)
}
