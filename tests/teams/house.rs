//! A gateway with a Teams trunk, an agent with a telephone, and Microsoft's proxy.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sidetone::config;
use sidetone::gateway::{Gateway, Source};
use sidetone::sim::authority::{Authority, Usage, Wanted};
use sidetone::sim::phone::{self, Phone};
use sidetone::sim::teams::{Options, Proxy, SITES};
use sidetone::sim::voice::Voice;

/// The name that is paired.
pub(crate) const FQDN: &str = "sbc1.example.com";
/// What the agent hums, and what the people behind Teams hum.
pub(crate) const AGENT_HZ: f64 = 440.0;
pub(crate) const TEAMS_HZ: f64 = 1000.0;

/// The addresses of the three sites: of a range that is the trunk's alone.
const SITES_AT: [&str; 3] = ["127.0.0.41", "127.0.0.42", "127.0.0.43"];

const FILE: &str = r#"
[server]
database = "sqlite:STORE"
[sip]
udp = "127.0.0.1:0"
tls = "127.0.0.1:0"
advertised = "sbc1.example.com"
[dns]
overrides = { "sip.pstnhub.microsoft.com" = ["127.0.0.41"], "sip2.pstnhub.microsoft.com" = ["127.0.0.42"], "sip3.pstnhub.microsoft.com" = ["127.0.0.43"] }
[media]
listen = "127.0.0.1"
ports = "PORTS"
[api]
listen = "127.0.0.1:0"
[[certificate]]
id = "sbc1"
certificate_file = "sbc1.pem"
key_file = "sbc1.key"
[[tenant]]
id = "acme"
[[person]]
id = "alice"
tenant = "acme"
role = "agent"
extension = "100"
register = { username = "alice", password_file = "alice.txt" }
[[trunk]]
id = "teams"
tenant = "acme"
profile = "teams_direct_routing"
fqdn = "sbc1.example.com"
certificate = "sbc1"
sources = ["127.0.0.40/29"]
destinations = [DESTINATIONS]
tls = { roots_file = "root.pem" }
[[route]]
id = "line"
tenant = "acme"
number = "+15550100"
targets = ["alice"]
"#;

/// Everything that a story needs; all of it goes when it goes.
pub(crate) struct House {
    pub(crate) proxy: Proxy,
    pub(crate) alice: Phone,
    pub(crate) gateway: Gateway,
    _folder: tempfile::TempDir,
}

impl House {
    /// A gateway whose media ports are `ports`, paired and with its agent registered.
    pub(crate) async fn open(ports: &str) -> Result<House, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let authority = Authority::new("Sidetone tests")?;
        let ours = authority.issue(&Wanted::new([FQDN]))?;
        // As Microsoft's are from 2026 on: for servers alone, and shown by it as a client, too.
        let theirs = authority.issue(&Wanted::new(SITES).usable_as(Usage::Server))?;
        let sites: Vec<IpAddr> = SITES_AT.iter().map(|ip| ip.parse()).collect::<Result<_, _>>()?;
        let proxy = Proxy::start(Options {
            fqdn: FQDN.to_owned(),
            sbc: SocketAddr::from(([127, 0, 0, 1], 1)),
            sites: <[IpAddr; 3]>::try_from(sites).map_err(|_| "three sites")?,
            chain: theirs.chain,
            key: theirs.key,
            root: authority.root().to_owned(),
            voice: Voice::Tone { hz: TEAMS_HZ, dbfs: -20.0 },
        })
        .await?;

        let destinations = SITES.iter().zip(proxy.addresses());
        let destinations: Vec<_> =
            destinations.map(|(name, at)| format!("\"{name}:{};transport=tls\"", at.port())).collect();
        let text = FILE
            .replace("STORE", &folder.path().join("store.sqlite3").display().to_string())
            .replace("PORTS", ports)
            .replace("DESTINATIONS", &destinations.join(", "));
        for (name, content) in [
            ("sidetone.toml", text.as_str()),
            ("sbc1.pem", &ours.chain),
            ("sbc1.key", &ours.key),
            ("root.pem", authority.root()),
            ("alice.txt", "her-password"),
        ] {
            std::fs::write(folder.path().join(name), content)?;
        }
        let path = folder.path().join("sidetone.toml");
        let gateway = Gateway::start(config::load(&path)?, Source::File(path)).await?;
        proxy.pair(gateway.sip_tls_addr().ok_or("the gateway listens to TLS")?).await?;

        let alice = Phone::start(phone::Options {
            server: gateway.sip_udp_addr(),
            password: Some("her-password".to_owned()),
            voice: Voice::Tone { hz: AGENT_HZ, dbfs: -20.0 },
            ..phone::Options::new("alice")
        })
        .await?;
        alice.register(Duration::from_secs(300)).await?;
        Ok(House { proxy, alice, gateway, _folder: folder })
    }
}
