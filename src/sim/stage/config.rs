//! The configuration of a stage: who is there, at which numbers, with which tokens and secrets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;

use sbc_config::{SecretError, SecretSource};
use sha2::{Digest as _, Sha256};

use super::Setting;

/// The number of the agents' line: Alice, and nobody else.
pub const ALICES_NUMBER: &str = "+15550100";
/// Alice, and Bob when she cannot.
pub const TEAM_NUMBER: &str = "+15550101";
/// Dave, who has never registered.
pub const ABSENT_NUMBER: &str = "+15550102";
/// Wendy, in her browser, and Bob when she cannot.
pub const WENDYS_NUMBER: &str = "+15550103";
/// A number no route takes.
pub const UNKNOWN_NUMBER: &str = "+15550999";

/// The address the carrier sends from. Not that of the gateway, because trust comes by address.
pub const CARRIER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// What the stage's gateway calls itself in its certificate, and the files of that.
pub(super) const OUR_NAME: &str = "sbc.stage.example";
/// The file of the configuration on a stage that follows it.
pub const CONFIG_FILE: &str = "sidetone.toml";
/// The file of the gateway's certificate on a protected stage.
pub const CHAIN_FILE: &str = "sbc.pem";
/// The file of its key.
pub const KEY_FILE: &str = "sbc.key";

/// The password of every telephone on the stage; only the gateway and the phones on it know each other.
pub(super) const PASSWORD: &str = "stage-password";
/// What Event Grid must know to deliver.
pub const WEBHOOK_SECRET: &str = "stage-webhook";
/// Where Event Grid delivers.
pub const WEBHOOK: &str = "/acs/contoso/events?secret=stage-webhook";

/// Tokens that the stage's configuration knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenOf {
    /// The agent.
    Alice,
    /// The supervisor of the agents' team.
    Sam,
    /// The other supervisor of the agents' team.
    Sue,
    /// A supervisor of another team.
    Stranger,
    /// The administrator of the tenant.
    Admin,
    /// The agent with a browser.
    Wendy,
    /// The supervisor with a browser.
    Walter,
    /// Another program.
    Crm,
}

impl TokenOf {
    /// The token in clear.
    pub fn clear(self) -> &'static str {
        match self {
            Self::Alice => "alice-stage-token",
            Self::Sam => "sam-stage-token",
            Self::Sue => "sue-stage-token",
            Self::Stranger => "stranger-stage-token",
            Self::Admin => "admin-stage-token",
            Self::Wendy => "wendy-stage-token",
            Self::Walter => "walter-stage-token",
            Self::Crm => "crm-stage-token",
        }
    }

    fn sha256(self) -> String {
        Sha256::digest(self.clear()).iter().map(|octet| format!("{octet:02x}")).collect()
    }
}

/// The secrets of the stage.
pub(super) struct Passwords;

impl SecretSource for Passwords {
    fn file(&self, path: &str) -> Result<String, SecretError> {
        Ok(match path {
            "acs-key" => crate::sim::acs::ACCESS_KEY.to_owned(),
            "acs-webhook" => WEBHOOK_SECRET.to_owned(),
            "entra-secret" => crate::sim::acs::entra::CLIENT_SECRET.to_owned(),
            _ => PASSWORD.to_owned(),
        })
    }

    fn env(&self, _name: &str) -> Result<String, SecretError> {
        Err(SecretError::NotFound)
    }
}

pub(super) fn config_text(
    setting: &Setting,
    folder: &Path,
    ports: &RangeInclusive<u16>,
    sue: SocketAddr,
) -> String {
    let (low, high) = (ports.start(), ports.end());
    let database = folder.join("sidetone.sqlite3");
    let codecs = setting.codecs.as_deref().unwrap_or(r#""PCMU", "PCMA", "G722""#);
    let (tls, certificate, protected, sams) = if setting.protected {
        let [chain, key] = [CHAIN_FILE, KEY_FILE].map(|name| folder.join(name).display().to_string());
        (
            "tls = \"127.0.0.1:0\"",
            format!("[[certificate]]\nid = \"sbc\"\ncertificate_file = \"{chain}\"\nkey_file = \"{key}\""),
            "srtp = \"required\"\ntls = { verify = \"off\" }",
            "srtp = \"required\"\n",
        )
    } else {
        ("", String::new(), "", "")
    };
    let mut text = format!(
        r#"
[server]
name = "stage"
database = "sqlite:{}"
[sip]
udp = "127.0.0.1:0"
tcp = "127.0.0.1:0"
realm = "sidetone"
{tls}
[media]
listen = "127.0.0.1"
ports = "{low}-{high}"
codecs = [{codecs}]
shards = 1
[api]
listen = "127.0.0.1:0"
[limits]
calls_max = 20
[supervision]
{}
{certificate}
[[tenant]]
id = "demo"
name = "Demo contact centre"
[[team]]
id = "support"
tenant = "demo"
name = "Support"
[[team]]
id = "sales"
tenant = "demo"
name = "Sales"
[[trunk]]
id = "carrier"
tenant = "demo"
sources = ["{CARRIER_IP}/32"]
{protected}
"#,
        database.display(),
        setting.supervision,
    );
    text += &people(sams, sue);
    text += &routes();
    if setting.browsers {
        text += &browsers(setting);
    }
    text += &tokens(setting);
    if let Some(acs) = &setting.acs {
        let certificate = if setting.protected { "certificate = \"sbc\"\n" } else { "" };
        let listener = format!("{certificate}{}", setting.acs_listener);
        text += &acs.config("demo", ALICES_NUMBER, &listener, &setting.acs_more);
    }
    text
}

/// Those with telephones, and Sue, who is reached at a fixed contact. `sams` is said of Sam beside.
fn people(sams: &str, sue: SocketAddr) -> String {
    let mut text = String::new();
    let registered = [
        ("alice", "agent", "support", "100"),
        ("bob", "agent", "support", "101"),
        ("dave", "agent", "support", "102"),
        ("sam", "supervisor", "support", "200"),
        ("stranger", "supervisor", "sales", "209"),
    ];
    for (id, role, team, extension) in registered {
        text += &format!(
            "[[person]]\nid = \"{id}\"\ntenant = \"demo\"\nrole = \"{role}\"\nteams = [\"{team}\"]\n\
             display_name = \"{}\"\nextension = \"{extension}\"\nregister = {{ username = \"{id}\", password_file = \"{id}\" }}\n{}",
            capital(id),
            if id == "sam" { sams } else { "" }
        );
    }
    text += &format!(
        "[[person]]\nid = \"sue\"\ntenant = \"demo\"\nrole = \"supervisor\"\nteams = [\"support\"]\n\
         display_name = \"Sue\"\nextension = \"201\"\ncontact = \"sip:sue@{sue}\"\n"
    );
    text
}

fn routes() -> String {
    let mut text = String::new();
    let routes = [
        ("alice", ALICES_NUMBER, r#""alice""#),
        ("team", TEAM_NUMBER, r#""alice", "bob""#),
        ("absent", ABSENT_NUMBER, r#""dave""#),
    ];
    for (id, number, targets) in routes {
        text += &format!(
            "[[route]]\nid = \"{id}\"\ntenant = \"demo\"\nnumber = \"{number}\"\ntargets = [{targets}]\n\
             ring_s = 60\n"
        );
    }
    text
}

/// The WebRTC door, those who come by it, and the number that leads to them.
fn browsers(setting: &Setting) -> String {
    let mut text = String::from("[webrtc]\nlisten = \"127.0.0.1:0\"\n");
    if setting.browsers_over_tcp {
        text += "tcp = \"127.0.0.1:0\"\n";
    }
    for (id, role, extension) in [("wendy", "agent", "110"), ("walter", "supervisor", "210")] {
        text += &format!(
            "[[person]]\nid = \"{id}\"\ntenant = \"demo\"\nrole = \"{role}\"\nteams = [\"support\"]\n\
             display_name = \"{}\"\nextension = \"{extension}\"\nwebrtc = true\n",
            capital(id)
        );
    }
    text += &format!(
        "[[route]]\nid = \"wendy\"\ntenant = \"demo\"\nnumber = \"{WENDYS_NUMBER}\"\n\
         targets = [\"wendy\", \"bob\"]\nring_s = 60\n"
    );
    text
}

fn tokens(setting: &Setting) -> String {
    let mut text = String::new();
    let mut tokens = vec![
        ("alice", TokenOf::Alice, "role = \"agent\"\nperson = \"alice\""),
        ("sam", TokenOf::Sam, "role = \"supervisor\"\nperson = \"sam\""),
        ("sue", TokenOf::Sue, "role = \"supervisor\"\nperson = \"sue\""),
        ("stranger", TokenOf::Stranger, "role = \"supervisor\"\nperson = \"stranger\""),
        ("admin", TokenOf::Admin, "role = \"tenant_admin\""),
        ("crm", TokenOf::Crm, "role = \"integration\""),
    ];
    if setting.browsers {
        tokens.push(("wendy", TokenOf::Wendy, "role = \"agent\"\nperson = \"wendy\""));
        tokens.push(("walter", TokenOf::Walter, "role = \"supervisor\"\nperson = \"walter\""));
    }
    for (id, token, rest) in tokens {
        text += &format!(
            "[[token]]\nid = \"{id}-token\"\ntenant = \"demo\"\nsha256 = \"{}\"\n{rest}\n",
            token.sha256()
        );
    }
    text
}

/// A name as people write it.
fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}
