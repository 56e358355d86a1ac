//! Reads `[acs_listener]` and `[[acs]]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use super::names::Names;
use super::report::Report;
use super::secrets::{Named, SecretKeys, secret};
use super::table::{Field, Section};
use super::tenant::id;
use super::unique::Unique;
use super::words::CONTEXT_HEADERS;
use crate::acs::{
    Acs, AcsAudio, AcsChannels, AcsCredential, AcsDtmf, AcsIdentity, AcsListener, Entra, EntraIdentity,
    TokenIssuer,
};
use crate::finding::Code;
use crate::id::AcsId;
use crate::number::{Dialled, E164};
use crate::secret::SecretSource;
use crate::trunk::ContextHeaders;

/// Numbers and identities of one resource. A resource with more of them is better served by several gateways.
const ANSWERS_MAX: usize = 1_000;
/// Event Grid allows 500 subscriptions for a topic.
const SUBSCRIPTIONS_MAX: usize = 500;
/// The newest stable one.
const API_VERSION: &str = "2026-03-12";
/// What tokens of Entra are for; the double slash is right.
const SCOPE: &str = "https://communication.azure.com//.default";
/// Where Entra gives tokens in the public cloud.
const AUTHORITY: &str = "https://login.microsoftonline.com";
/// Where the metadata service of a machine in Azure is.
const METADATA: &str = "http://169.254.169.254";
/// Who signs callbacks and streams in the public cloud.
const ISSUER: &str = "https://acscallautomation.communication.azure.com";
/// Where its keys are published.
const JWKS_URL: &str = "https://acscallautomation.communication.azure.com/calling/keys";

pub(super) fn listener<'a>(section: &Section<'a>, names: &Names<'a>) -> AcsListener {
    let listen = section.field("listen").as_ref().and_then(Field::socket_address);
    let listener = AcsListener {
        listen: listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8090))),
        certificate: section.field("certificate").and_then(|field| {
            let name = field.text()?;
            names.certificate(&field, name)
        }),
        connections_max: section.count("connections_max", 16..=65_535, 4_096),
        body_bytes_max: section.count("body_bytes_max", 65_536..=16_777_216, 1_048_576),
        media_idle: section.seconds("media_idle_s", 2..=600, 15),
    };
    section.finish();
    listener
}

/// Reads resources and what must differ between them.
pub(super) struct Resources<'a> {
    ids: Unique<'a, String>,
    answers: Unique<'a, Arc<str>>,
}

impl<'a> Resources<'a> {
    pub(super) fn new(report: &'a Report<'a>) -> Self {
        Self { ids: Unique::new(report), answers: Unique::new(report) }
    }

    pub(super) fn read(
        &mut self,
        section: &Section<'a>,
        names: &Names<'a>,
        source: &dyn SecretSource,
    ) -> Option<Acs> {
        let id = id(section, &mut self.ids, AcsId::new);
        let tenant = names.tenant_of(section);
        let endpoint = section.required("endpoint", "write \"https://NAME.communication.azure.com\"");
        let endpoint = endpoint.and_then(|field| url(&field));
        let callback = section.required(
            "callback_url",
            "write what the clouds reach the gateway by, as \"https://gateway.example.com\"",
        );
        let callback_url = callback.and_then(|field| {
            let address = url(&field)?;
            if !address.starts_with("https://") {
                let remedy = "put TLS in front, or name a certificate in [acs_listener], and write https://";
                field.fail(Code::BadValue, "ACS calls back over https only", remedy);
                return None;
            }
            Some(address)
        });
        let version = section.field("api_version").map(|field| field.name());
        let credential = credential(section, source);
        let tokens = issuer(section, IssuerKeys::CALLBACK, Some((ISSUER, JWKS_URL)));
        if tokens.is_none() {
            let remedy = "write resource_id = \"…\", the resource's immutable id, a GUID";
            section.fail(Code::MissingKey, "nothing says for whom callbacks are signed", remedy);
        }
        let keys =
            SecretKeys { inline: "webhook_secret", file: "webhook_secret_file", env: "webhook_secret_env" };
        let webhook_secret = secret(section, source, &keys);
        let webhook_tokens = issuer(section, IssuerKeys::WEBHOOK, None);
        if matches!(webhook_secret, Named::Nowhere) && webhook_tokens.is_none() {
            let remedy = "write webhook_secret_file = \"…\" and append ?secret=… to the subscription's address, or name webhook_issuer";
            section.fail(Code::ExactlyOne, "anybody could deliver incoming calls", remedy);
        }
        let subscriptions =
            section.field("subscriptions").and_then(|f| f.list(SUBSCRIPTIONS_MAX, |i| i.name()));
        let caller_field = section.field("caller_id");
        let caller_id = caller_field
            .as_ref()
            .and_then(|f| f.parsed(Code::BadValue, "write it as \"+15550100\"", str::parse::<E164>));
        let answers = section.field("answers").and_then(|field| self.answers(&field));
        let rates = [("16k", AcsAudio::Pcm16K), ("24k", AcsAudio::Pcm24K)];
        let audio = section.choice("audio", &rates, AcsAudio::Pcm16K);
        let channels = [("mixed", AcsChannels::Mixed), ("unmixed", AcsChannels::Unmixed)];
        let channels = section.choice("channels", &channels, AcsChannels::Mixed);
        let dtmf = [("stream", AcsDtmf::Stream), ("subscribe", AcsDtmf::Subscribe)];
        let dtmf = section.choice("dtmf", &dtmf, AcsDtmf::Stream);
        let card = section.field("card").and_then(|field| field.flag()).unwrap_or_default();
        let context_headers = section.choice("context_headers", CONTEXT_HEADERS, ContextHeaders::Off);
        section.finish();
        Some(Acs {
            id: id?,
            tenant: tenant?,
            endpoint: endpoint?,
            api_version: version.unwrap_or_else(|| Some(API_VERSION.into()))?,
            credential: credential?,
            callback_url: callback_url?,
            tokens: tokens?,
            webhook_secret: match webhook_secret {
                Named::Secret(secret) => Some(secret),
                Named::Nowhere => None,
                Named::Refused => return None,
            },
            webhook_tokens,
            subscriptions: subscriptions.unwrap_or_default(),
            caller_id: match (caller_field, caller_id) {
                (Some(_), None) => return None,
                (_, caller_id) => caller_id,
            },
            answers: answers.unwrap_or_default(),
            audio,
            channels,
            dtmf,
            card,
            context_headers,
        })
    }

    fn answers(&mut self, field: &Field<'a>) -> Option<Vec<AcsIdentity>> {
        let mut answers = Vec::new();
        for item in field.items(ANSWERS_MAX)? {
            let Some(answer) = answer(&item) else { continue };
            let what = "this number or identity";
            self.answers.note(answer.raw_id.clone(), &item, Code::Duplicate, what);
            answers.push(answer);
        }
        Some(answers)
    }
}

/// `"+15550100"`, or `{ raw_id = "28:orgid:…", dialled = "700" }`.
fn answer(item: &Field<'_>) -> Option<AcsIdentity> {
    if item.value().as_str().is_some() {
        let number = item.parsed(Code::BadValue, "write it as \"+15550100\"", str::parse::<E164>)?;
        let number = number.to_string();
        return Some(AcsIdentity { raw_id: format!("4:{number}").into(), dialled: number.into() });
    }
    let section = item.section()?;
    let raw_id = section.required("raw_id", "write it as \"28:orgid:…\" or \"8:acs:…\"");
    let raw_id = raw_id.and_then(|f| f.parsed(Code::BadValue, "write it as \"28:orgid:…\"", raw_id_of));
    let dialled = section.required("dialled", "write what routes match, as \"700\"");
    let dialled = dialled.and_then(|f| f.parsed(Code::BadValue, "write digits, as \"700\"", Dialled::parse));
    section.finish();
    Some(AcsIdentity { raw_id: raw_id?, dialled: dialled?.as_str().into() })
}

/// A raw id as a setting.
pub(super) fn raw_id_of(text: &str) -> Result<Arc<str>, &'static str> {
    let fit = text.len() <= 256 && text.contains(':') && text.bytes().all(|b| b.is_ascii_graphic());
    if fit { Ok(text.into()) } else { Err("this is no raw id of ACS") }
}

fn credential(section: &Section<'_>, source: &dyn SecretSource) -> Option<AcsCredential> {
    let keys = SecretKeys { inline: "access_key", file: "access_key_file", env: "access_key_env" };
    let key = secret(section, source, &keys);
    let entra_field = section.field("entra");
    let entra = match &entra_field {
        Some(field) if field.value().as_bool() == Some(false) => None,
        Some(field) => Some(entra(field, source)),
        None => None,
    };
    match (key, entra) {
        (Named::Secret(key), None) if is_base64(key.expose()) => Some(AcsCredential::Key(key)),
        (Named::Secret(_), None) => {
            let remedy = "copy the key of the resource as it is";
            section.fail(Code::SecretUnfit, "the access key is not base64", remedy);
            None
        }
        (Named::Nowhere, Some(entra)) => entra.map(AcsCredential::Entra),
        (Named::Refused, _) => None,
        (Named::Nowhere, None) => {
            let remedy = "write access_key_file, access_key_env, or entra = true";
            section.fail(Code::ExactlyOne, "nothing says how the resource is asked", remedy);
            None
        }
        (Named::Secret(_), Some(_)) => {
            let message = "an access key and Entra are both given";
            section.fail_at(entra_field.as_ref(), Code::ExactlyOne, message, "remove one of them");
            None
        }
    }
}

/// Whether this has the form of base64 (RFC 4648 section 4).
fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    let known = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    !body.is_empty() && text.len().is_multiple_of(4) && padding <= 2 && body.bytes().all(known)
}

/// `true` for the identity of the machine, or a table that says whose tokens.
fn entra(field: &Field<'_>, source: &dyn SecretSource) -> Option<Entra> {
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Who {
        Managed,
        Workload,
        Secret,
    }
    if field.value().as_bool() == Some(true) {
        let identity = EntraIdentity::Managed { client_id: None, endpoint: METADATA.into() };
        return Some(Entra { scope: SCOPE.into(), identity });
    }
    let section = field.section()?;
    let kinds = [("managed", Who::Managed), ("workload", Who::Workload), ("secret", Who::Secret)];
    let who = section.choice("identity", &kinds, Who::Managed);
    let text = |key: &'static str| section.field(key).and_then(|field| field.text()).map(Arc::<str>::from);
    let base = |key: &'static str, usual: &str| {
        section.field(key).map_or_else(|| Some(Arc::from(usual)), |field| url(&field))
    };
    let scope = text("scope").unwrap_or_else(|| SCOPE.into());
    let (client_id, tenant) = (text("client_id"), if who == Who::Managed { None } else { text("tenant") });
    let authority = if who == Who::Managed { Some(AUTHORITY.into()) } else { base("authority", AUTHORITY) };
    let identity = match who {
        Who::Managed => EntraIdentity::Managed { client_id, endpoint: base("endpoint", METADATA)? },
        Who::Workload => {
            let token_file = text("token_file").map(|text| PathBuf::from(&*text));
            EntraIdentity::Workload { tenant, client_id, token_file, authority: authority? }
        }
        Who::Secret => {
            let keys =
                SecretKeys { inline: "client_secret", file: "client_secret_file", env: "client_secret_env" };
            let secret = secret(&section, source, &keys);
            if tenant.is_none() || client_id.is_none() || matches!(secret, Named::Nowhere) {
                let remedy = "write tenant, client_id, and client_secret_file or client_secret_env";
                section.fail(Code::MissingKey, "the application is not named in full", remedy);
            }
            let Named::Secret(secret) = secret else {
                section.finish();
                return None;
            };
            EntraIdentity::Secret { tenant: tenant?, client_id: client_id?, secret, authority: authority? }
        }
    };
    section.finish();
    Some(Entra { scope, identity })
}

/// The names of the settings of one issuer.
struct IssuerKeys {
    issuer: &'static str,
    audience: &'static str,
    jwks_url: &'static str,
}

impl IssuerKeys {
    const CALLBACK: Self = Self { issuer: "issuer", audience: "resource_id", jwks_url: "jwks_url" };
    const WEBHOOK: Self =
        Self { issuer: "webhook_issuer", audience: "webhook_audience", jwks_url: "webhook_jwks_url" };
}

/// `None` if the section does not speak of it (without `usual`), or a finding says why.
fn issuer(section: &Section<'_>, keys: IssuerKeys, usual: Option<(&str, &str)>) -> Option<TokenIssuer> {
    let fields = [keys.issuer, keys.audience, keys.jwks_url].map(|key| section.field(key));
    let written = fields.iter().flatten().count();
    let [issuer, audience, jwks_url] = fields.each_ref().map(Option::as_ref);
    let usual_issuer = usual.map(|(issuer, _)| Arc::from(issuer));
    let usual_jwks = usual.map(|(_, jwks_url)| Arc::from(jwks_url));
    let found = (
        issuer.map_or(usual_issuer, |f| f.text().map(Arc::from)),
        audience.and_then(|f| f.text()).map(Arc::from),
        jwks_url.map_or(usual_jwks, url),
    );
    match found {
        (Some(issuer), Some(audience), Some(jwks_url)) => Some(TokenIssuer { issuer, audience, jwks_url }),
        _ if written > 0 && usual.is_none() => {
            let remedy = format!("write all of {}, {} and {}", keys.issuer, keys.audience, keys.jwks_url);
            section.fail(Code::MissingKey, "a token issuer is not named in full", remedy);
            None
        }
        _ => None,
    }
}

/// An address of HTTP, without what could go wrong when a path is appended.
fn url(field: &Field<'_>) -> Option<Arc<str>> {
    let parse = |text: &str| {
        let rest =
            text.strip_prefix("https://").or(text.strip_prefix("http://")).ok_or("this is no web address")?;
        if rest.is_empty() || rest.contains(['?', '#', '@']) || text.contains(char::is_whitespace) {
            return Err("this is no plain web address");
        }
        Ok(Arc::from(text.trim_end_matches('/')))
    };
    field.parsed(Code::BadValue, "write it as \"https://HOST\"", parse)
}
