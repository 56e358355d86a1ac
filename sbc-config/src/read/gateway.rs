//! Reads `[server]`, `[sip]`, `[media]`, `[api]`, `[limits]` and `[supervision]`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::names::Names;
use super::secrets::{Named, SecretKeys, secret};
use super::table::{Field, Section};
use crate::address::Host;
use crate::finding::Code;
use crate::secret::{Secret, SecretSource};
use crate::settings::{
    Api, Codec, DatabaseUrl, DigestHash, Limits, Media, PortRange, RingbackTone, Server, Sip, Supervision,
    SupervisionRole,
};

const DEFAULT_DATABASE: &str = "sqlite:sidetone.sqlite3";
const SECONDS_OF_A_DAY: Duration = Duration::from_secs(86_400);
const DEFAULT_PORTS: PortRange = PortRange { first: 20_000, last: 29_999 };
/// The ports below are for services that root starts.
const LEAST_MEDIA_PORT: u16 = 1024;
/// With fewer pairs not even one supervised call has room.
const LEAST_PORT_PAIRS: usize = 4;
/// Every call has a customer and an agent.
const LEGS_OF_A_CALL: usize = 2;

const DIGEST_HASHES: &[(&str, DigestHash)] = &[("SHA-256", DigestHash::Sha256), ("MD5", DigestHash::Md5)];
const CODECS: &[(&str, Codec)] =
    &[("PCMU", Codec::Pcmu), ("PCMA", Codec::Pcma), ("G722", Codec::G722), ("opus", Codec::Opus)];

/// Without Opus: towards the telephone network it is only ever decoded again, which costs a hundred times a G.711 call.
const USUAL_CODECS: [Codec; 3] = [Codec::Pcmu, Codec::Pcma, Codec::G722];
const ROLES: &[(&str, SupervisionRole)] = &[
    ("monitor", SupervisionRole::Monitor),
    ("whisper", SupervisionRole::Whisper),
    ("barge", SupervisionRole::Barge),
    ("takeover", SupervisionRole::Takeover),
];

/// Recordings besides the music: each may be ten minutes, which stay in memory.
const MAX_PROMPTS: usize = 32;

pub(super) fn server(section: &Section<'_>, source: &dyn SecretSource) -> Server {
    let server = Server {
        name: section.name("name", "sidetone"),
        database: database(section, source).unwrap_or_else(|| DatabaseUrl(Secret::new(DEFAULT_DATABASE))),
        drain: section.seconds("drain_s", 0..=86_400, 30),
        events_kept: section.number("events_kept", 1_000..=1_000_000_000, 1_000_000).into(),
        records_kept: SECONDS_OF_A_DAY * section.number("records_kept_days", 1..=36_500, 3_650),
    };
    section.finish();
    server
}

fn database(section: &Section<'_>, source: &dyn SecretSource) -> Option<DatabaseUrl> {
    let written = section.field("database");
    // `database` is its own "inline" setting and may stand in the file as long as it holds no password.
    let keys = SecretKeys { inline: "database_password", file: "database_url_file", env: "database_url_env" };
    let pointed = secret(section, source, &keys);
    match (written, pointed) {
        (None, Named::Nowhere | Named::Refused) => None,
        (Some(field), Named::Nowhere) => {
            let url = field.parsed(Code::BadValue, DATABASE_REMEDY, database_url)?;
            if url_holds_password(&url) {
                let remedy =
                    "write database_url_env = \"…\" or database_url_file = \"…\" and put the URL there";
                field.fail(Code::InlineSecret, "the URL holds a password", remedy);
                return None;
            }
            Some(DatabaseUrl(Secret::new(&url)))
        }
        (Some(field), _) => {
            let message = "`database` and a place to read it from are both given";
            field.fail(Code::ExactlyOne, message, "remove one of them");
            None
        }
        (None, Named::Secret(url)) => {
            let url = database_url(url.expose());
            if url.is_err() {
                section.fail(
                    Code::SecretUnfit,
                    "what is read for the database is no database URL",
                    DATABASE_REMEDY,
                );
            }
            url.ok().map(|url| DatabaseUrl(Secret::new(&url)))
        }
    }
}

const DATABASE_REMEDY: &str = "write \"sqlite:FILE\" or \"postgres://HOST/NAME\"";

fn database_url(text: &str) -> Result<String, &'static str> {
    let rest =
        ["sqlite:", "postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(rest) if !rest.is_empty() => Ok(text.to_owned()),
        _ => Err("this is no database URL"),
    }
}

/// `postgres://user:password@host` and `?password=…`.
fn url_holds_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    user.is_some_and(|user| user.contains(':')) || query.split('&').any(|part| part.starts_with("password="))
}

/// Needs the names to see that TLS has a certificate to show.
pub(super) fn sip<'a>(section: &Section<'a>, names: &Names<'a>) -> Sip {
    let udp_field = section.field("udp");
    let tcp_field = section.field("tcp");
    let tls_field = section.field("tls");
    if udp_field.is_none() && tcp_field.is_none() && tls_field.is_none() {
        section.fail(
            Code::MissingKey,
            "there is no SIP listener",
            "write udp = \"ADDRESS:5060\", tcp = \"…\" or tls = \"ADDRESS:5061\"",
        );
    }
    let udp = udp_field.as_ref().and_then(Field::socket_address);
    let tcp = tcp_field.as_ref().and_then(Field::socket_address);
    let tls = tls_field.as_ref().and_then(Field::socket_address);
    if let (Some(field), false) = (&tls_field, names.has_certificate()) {
        let remedy = "add a [[certificate]] with certificate_file and key_file";
        field.fail(Code::NeedsTls, "there is no certificate to show", remedy);
    }
    if let (Some(field), Some(tls), Some(tcp)) = (&tls_field, tls, tcp)
        && tls.port() == tcp.port()
        && tls.port() != 0
        && (tls.ip() == tcp.ip() || tls.ip().is_unspecified() || tcp.ip().is_unspecified())
    {
        let message = format!("SIP over TCP and over TLS both want port {}", tls.port());
        field.fail(Code::Overlap, message, "give one of them another port");
    }
    let advertised_field = section.field("advertised");
    for (field, address) in [(&udp_field, udp), (&tcp_field, tcp), (&tls_field, tls)] {
        if let (Some(field), Some(address), None) = (field, address, &advertised_field)
            && address.ip().is_unspecified()
        {
            field.warn(
                Code::NeedsAdvertised,
                "this listens on every address and names none to the peers",
                "set sip.advertised to the address or name that phones and trunks reach",
            );
        }
    }
    let host_remedy = "write an address or a name, without port";
    let advertised = advertised_field.and_then(|f| f.parsed(Code::BadValue, host_remedy, str::parse::<Host>));
    let digest = section.field("digest").and_then(|field| digest_hashes(&field));
    let least = section.number("register_expires_min_s", 10..=3_600, 60);
    let sip = Sip {
        udp,
        tcp,
        tls,
        advertised,
        realm: section.name("realm", "sidetone"),
        digest: digest.unwrap_or_else(|| DIGEST_HASHES.iter().map(|(_, hash)| *hash).collect()),
        user_agent: section.name("user_agent", concat!("sidetone/", env!("CARGO_PKG_VERSION"))),
        register_expires_min: Duration::from_secs(least.into()),
        register_expires_max: section.seconds("register_expires_max_s", least..=86_400, 3_600),
        message_bytes_max: section.count("message_bytes_max", 4_096..=65_535, 65_535),
        // The most that a datagram holds is 65,507 octets; then nothing ever changes to TCP.
        udp_bytes_max: section.count("udp_bytes_max", 1_300..=65_507, 1_300),
        tcp_connections_max: section.count("tcp_connections_max", 1..=65_535, 1_000),
        tcp_idle: section.seconds("tcp_idle_s", 10..=86_400, 600),
        tls_connections_max: section.count("tls_connections_max", 1..=65_535, 2_000),
        tls_half_open_max: section.count("tls_half_open_max", 1..=65_535, 256),
        tls_handshake: section.seconds("tls_handshake_s", 1..=60, 5),
    };
    section.finish();
    sip
}

/// Needs `sip` for the default address and to see that no listener lies among the media ports.
pub(super) fn media(section: &Section<'_>, sip: &Sip) -> Media {
    let sip_address = sip.udp.or(sip.tcp).or(sip.tls).map(|address| address.ip());
    let address_remedy = "write an address, without port";
    let address = |field: &Field<'_>| {
        let parse = |text: &str| text.parse::<IpAddr>().map_err(|_| "this is not an address");
        field.parsed(Code::BadValue, address_remedy, parse)
    };
    let listen_field = section.field("listen");
    let listen = listen_field.as_ref().and_then(address).or(sip_address);
    let listen = listen.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let advertised_field = section.field("advertised");
    let advertised = advertised_field.as_ref().and_then(address);
    if listen.is_unspecified() && advertised_field.is_none() {
        section.warn(
            Code::NeedsAdvertised,
            "media is received on every address and none is named to the peers",
            "set media.advertised to the address that phones and trunks reach",
        );
    }
    if let (Some(field), Some(address)) = (&advertised_field, advertised)
        && address.is_unspecified()
    {
        field.fail(Code::BadValue, "nobody can send to this address", "write the address that peers reach");
    }
    let ports_field = section.field("ports");
    let ports = ports_field.as_ref().and_then(port_range).unwrap_or(DEFAULT_PORTS);
    if let Some(udp) = sip.udp
        && ports.contains(udp.port())
        && (udp.ip() == listen || udp.ip().is_unspecified() || listen.is_unspecified())
    {
        let message = format!("the SIP port {} lies inside the media ports", udp.port());
        let remedy = "move one of them, so that a call cannot take the port";
        section.fail_at(ports_field.as_ref(), Code::Overlap, message, remedy);
    }
    let codecs = section.field("codecs").and_then(|field| codecs(&field));
    let (timeout, warn) = patience(section);
    let media = Media {
        listen,
        advertised,
        ports,
        shards: section.field("shards").and_then(|f| f.number(1..=256)).and_then(|n| usize::try_from(n).ok()),
        codecs: codecs.unwrap_or_else(|| USUAL_CODECS.to_vec()),
        opus_kbps: section.number("opus_kbps", 6..=64, 24),
        opus_complexity: section.number("opus_complexity", 0..=10, 5),
        timeout,
        warn,
        music_on_hold: section.field("music_on_hold").and_then(|field| field.text()).map(PathBuf::from),
        prompts: prompts(section),
        ringback: section.choice(
            "ringback",
            &[("us", RingbackTone::Us), ("eu", RingbackTone::Eu)],
            RingbackTone::Us,
        ),
        jitter_max: Duration::from_millis(section.number("jitter_ms_max", 40..=1_000, 200).into()),
    };
    section.finish();
    media
}

/// How long a leg may be silent before it is ended, and before that is warned of.
fn patience(section: &Section<'_>) -> (Duration, Duration) {
    const USUAL_WARN_S: u32 = 10;
    let timeout = section.number("timeout_s", 5..=3_600, 30);
    let warn = section.number("warn_s", 1..=3_600, USUAL_WARN_S.min(timeout - 1));
    if warn >= timeout {
        let message = format!("a leg is ended after {timeout} seconds, before anybody is warned of it");
        let remedy = format!("write less than {timeout}, or raise timeout_s");
        section.fail_at(section.field("warn_s").as_ref(), Code::OutOfRange, message, remedy);
    }
    (Duration::from_secs(timeout.into()), Duration::from_secs(warn.into()))
}

/// Recordings by name.
fn prompts(section: &Section<'_>) -> BTreeMap<Arc<str>, PathBuf> {
    let Some(table) = section.field("prompts").and_then(|field| field.section()) else {
        return BTreeMap::new();
    };
    let entries = table.entries(MAX_PROMPTS).into_iter();
    entries.filter_map(|(name, field)| Some((name.into(), PathBuf::from(field.text()?)))).collect()
}

/// A list of hashes, best first.
fn digest_hashes(field: &Field<'_>) -> Option<Vec<DigestHash>> {
    field.list(DIGEST_HASHES.len(), |item| item.choice(DIGEST_HASHES))
}

/// A list of codecs, best first.
pub(super) fn codecs(field: &Field<'_>) -> Option<Vec<Codec>> {
    field.list(CODECS.len(), |item| item.choice(CODECS))
}

fn port_range(field: &Field<'_>) -> Option<PortRange> {
    let parse = |text: &str| {
        let (first, last) = text.split_once('-').ok_or("this is not a range of ports")?;
        let port = |text: &str| text.trim().parse::<u16>().map_err(|_| "a port is a number up to 65535");
        Ok::<_, &str>(PortRange { first: port(first)?, last: port(last)? })
    };
    let range = field.parsed(Code::BadValue, "write it as \"20000-29999\"", parse)?;
    let PortRange { first, last } = range;
    if first > last {
        field.fail(Code::BadValue, "the range ends before it begins", format!("write \"{last}-{first}\""));
    } else if first < LEAST_MEDIA_PORT {
        field.fail(Code::OutOfRange, "ports below 1024 are not for media", "begin at 1024 or above");
    } else if first % 2 == 1 || last % 2 == 0 {
        let message = "RTP takes even ports and RTCP the odd ones above, so a range begins even and ends odd";
        field.fail(Code::BadValue, message, format!("write \"{}-{}\"", first & !1, last | 1));
    } else if range.pairs() < LEAST_PORT_PAIRS {
        let message = format!("there are only {} pairs of ports", range.pairs());
        field.fail(Code::OutOfRange, message, format!("make room for at least {LEAST_PORT_PAIRS}"));
    } else {
        return Some(range);
    }
    None
}

/// Needs `sip` to see that the two do not want the same TCP port.
pub(super) fn api(section: &Section<'_>, sip: &Sip) -> Api {
    let field = section.field("listen");
    let listen = field.as_ref().and_then(Field::socket_address);
    let listen = listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
    for (what, sip) in [("TCP", sip.tcp), ("TLS", sip.tls)] {
        if let Some(sip) = sip
            && sip.port() == listen.port()
            && sip.port() != 0
            && (sip.ip() == listen.ip() || sip.ip().is_unspecified() || listen.ip().is_unspecified())
        {
            let message = format!("HTTP and SIP over {what} both want port {}", sip.port());
            section.fail_at(field.as_ref(), Code::Overlap, message, "give one of them another port");
        }
    }
    let api = Api { listen, body_bytes_max: section.count("body_bytes_max", 1_024..=16_777_216, 65_536) };
    section.finish();
    api
}

/// Needs `media` to see that the calls find ports.
pub(super) fn limits(section: &Section<'_>, media: &Media) -> Limits {
    let field = section.field("calls_max");
    let calls_max =
        field.as_ref().and_then(|field| field.number(1..=100_000)).map(|n| usize::try_from(n).unwrap_or(1));
    let room = media.ports.pairs() / LEGS_OF_A_CALL;
    if let (Some(field), Some(calls_max)) = (&field, calls_max)
        && calls_max > room
    {
        field.warn(
            Code::PortsTooFew,
            format!("media.ports has room for {room} calls of two parties"),
            "widen media.ports or lower this limit",
        );
    }
    let limits = Limits {
        calls_max: calls_max.unwrap_or(room.min(2_000)),
        parties_per_call_max: section.count("parties_per_call_max", 2..=8, 6),
        calls_per_second_max: section.number("calls_per_second_max", 1..=10_000, 300),
    };
    section.finish();
    limits
}

pub(super) fn supervision(section: &Section<'_>) -> Supervision {
    let roles = section.field("allowed_roles").and_then(|f| f.list(ROLES.len(), |item| item.choice(ROLES)));
    let mut taken = Vec::<Arc<str>>::new();
    let mut prefix = |key: &'static str, default: &str| {
        let field = section.field(key);
        let written = field.as_ref().map(|f| f.parsed(Code::BadValue, "write it as \"*41\"", dial_prefix));
        let prefix = written.unwrap_or_else(|| Some(default.into())).unwrap_or_default();
        let clashes = |other: &&Arc<str>| {
            !prefix.is_empty() && (other.starts_with(&*prefix) || prefix.starts_with(&***other))
        };
        if let Some(other) = taken.iter().find(clashes) {
            let message = format!("`{prefix}` and `{other}` cannot be told apart when dialled");
            let remedy = "choose prefixes of which none begins with another";
            section.fail_at(field.as_ref(), Code::Duplicate, message, remedy);
        }
        // One that could not be read stays out: its finding is made.
        taken.extend((!prefix.is_empty()).then(|| prefix.clone()));
        prefix
    };
    let supervision = Supervision {
        monitor_prefix: prefix("monitor_prefix", "*41"),
        whisper_prefix: prefix("whisper_prefix", "*42"),
        barge_prefix: prefix("barge_prefix", "*43"),
        dtmf_control: section.field("dtmf_control").and_then(|field| field.flag()).unwrap_or(true),
        allowed_roles: roles.unwrap_or_else(|| ROLES.iter().map(|(_, role)| *role).collect()),
        takeover_releases_agent: section
            .field("takeover_releases_agent")
            .and_then(|field| field.flag())
            .unwrap_or(true),
    };
    section.finish();
    supervision
}

fn dial_prefix(text: &str) -> Result<Arc<str>, &'static str> {
    let dial_pad = |b: u8| b.is_ascii_digit() || matches!(b, b'*' | b'#');
    if !text.starts_with(['*', '#']) {
        return Err("a dialled prefix begins with * or #, so that it cannot be an extension");
    }
    if text.len() > 8 || !text.bytes().all(dial_pad) {
        return Err("a dialled prefix is at most 8 keys of the dial pad");
    }
    Ok(text.into())
}
