//! A gateway paired with the proxy: a Teams trunk, an agent with a telephone, certificates of an authority of its own.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thiserror::Error;

use super::{Options, Proxy, SITES};
use crate::config;
use crate::gateway::{Gateway, Source};
use crate::sim::authority::{Authority, Usage, Wanted};
use crate::sim::phone::{self, Phone};
use crate::sim::stage::{Folder, media_ports};
use crate::sim::voice::Voice;

/// The name that is paired.
pub const FQDN: &str = "sbc1.example.com";
/// The number that Teams users call.
pub const NUMBER: &str = "+15550100";

/// The addresses of the three sites: of a range that is the trunk's alone.
const SITES_AT: [&str; 3] = ["127.0.0.41", "127.0.0.42", "127.0.0.43"];

const FILE: &str = r#"
[server]
name = "direct-routing"
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

/// The gateway, its agent and the proxy; all of it goes when it goes.
pub struct House {
    /// Microsoft's side.
    pub proxy: Proxy,
    /// An agent, registered over UDP and without encryption: the gateway stands between.
    pub alice: Phone,
    /// The gateway.
    pub gateway: Gateway,
    _folder: Folder,
}

/// Why the house does not stand.
#[derive(Debug, Error)]
#[error("a gateway with Direct Routing could not be set up")]
pub struct HouseError(#[source] Box<dyn Error + Send + Sync>);

impl House {
    /// A gateway that is paired and has its agent registered. Alice hums one tone, everybody behind Teams another.
    ///
    /// # Errors
    /// [`HouseError`]
    pub async fn open(alice_hz: f64, teams_hz: f64) -> Result<House, HouseError> {
        Self::build(alice_hz, teams_hz).await.map_err(HouseError)
    }

    async fn build(alice_hz: f64, teams_hz: f64) -> Result<House, Box<dyn Error + Send + Sync>> {
        let folder = Folder::new(None)?;
        let authority = Authority::new("Sidetone")?;
        let ours = authority.issue(&Wanted::new([FQDN]))?;
        // As Microsoft's are from 2026 on: for servers alone, and shown by it as a client, too.
        let theirs = authority.issue(&Wanted::new(SITES).usable_as(Usage::Server))?;
        let sites: Vec<IpAddr> = SITES_AT.iter().map(|ip| ip.parse()).collect::<Result<_, _>>()?;
        let proxy = Proxy::start(Options {
            fqdn: FQDN.to_owned(),
            sbc: SocketAddr::from(([127, 0, 0, 1], 1)),
            sites: <[IpAddr; 3]>::try_from(sites).map_err(|_| "there are three sites")?,
            chain: theirs.chain,
            key: theirs.key,
            root: authority.root().to_owned(),
            voice: Voice::tone(teams_hz),
        })
        .await?;

        let destinations = SITES.iter().zip(proxy.addresses());
        let destinations: Vec<_> =
            destinations.map(|(name, at)| format!("\"{name}:{};transport=tls\"", at.port())).collect();
        let ports = media_ports();
        let text = FILE
            .replace("STORE", &folder.path().join("store.sqlite3").display().to_string())
            .replace("PORTS", &format!("{}-{}", ports.start(), ports.end()))
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
        proxy.pair(gateway.sip_tls_addr().ok_or("the gateway does not listen to TLS")?).await?;

        let alice = Phone::start(phone::Options {
            server: gateway.sip_udp_addr(),
            password: Some("her-password".to_owned()),
            voice: Voice::tone(alice_hz),
            ..phone::Options::new("alice")
        })
        .await?;
        alice.register(Duration::from_secs(300)).await?;
        Ok(House { proxy, alice, gateway, _folder: folder })
    }
}
