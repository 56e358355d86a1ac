//! A gateway paired with the proxy: a Teams trunk, a carrier, an agent and her supervisor with their telephones, and
//! certificates of an authority of its own.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::{Options, Proxy, SITES};
use crate::config;
use crate::gateway::{Gateway, Source};
use crate::sim::authority::{Authority, Usage, Wanted};
use crate::sim::phone::{self, Phone};
use crate::sim::stage::api::Api;
use crate::sim::stage::{CARRIER_IP, Folder, media_ports};
use crate::sim::voice::Voice;
use crate::sip::uri::{Uri, UriError};

/// The name that is paired.
pub const FQDN: &str = "sbc1.example.com";
/// The agent's number.
pub const NUMBER: &str = "+15550100";
/// The number of a user of Teams, whom the carrier's customers call.
pub const USER: &str = "+15550111";
/// The number of the customer behind the carrier.
pub const CUSTOMER: &str = "+15550199";
/// What the customer hums.
pub const CUSTOMER_HZ: f64 = 738.0;
/// What the supervisor hums.
pub const SUPERVISOR_HZ: f64 = 1281.0;

/// The addresses of the three sites: of a range that is the trunk's alone.
const SITES_AT: [&str; 3] = ["127.0.0.41", "127.0.0.42", "127.0.0.43"];

const FILE: &str = r#"
[server]
name = "direct-routing"
database = "sqlite:STORE"
[sip]
udp = "127.0.0.1:0"
tls = "127.0.0.1:0"
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
[[team]]
id = "support"
tenant = "acme"
name = "Support"
[[person]]
id = "alice"
tenant = "acme"
role = "agent"
teams = ["support"]
extension = "100"
register = { username = "alice", password_file = "password.txt" }
[[person]]
id = "sam"
tenant = "acme"
role = "supervisor"
teams = ["support"]
extension = "200"
register = { username = "sam", password_file = "password.txt" }
[[token]]
id = "sam"
tenant = "acme"
sha256 = "SHA256"
role = "supervisor"
person = "sam"
[[trunk]]
id = "teams"
tenant = "acme"
profile = "teams_direct_routing"
fqdn = "sbc1.example.com"
certificate = "sbc1"
sources = ["127.0.0.40/29"]
destinations = [DESTINATIONS]
tls = { roots_file = "root.pem" }
[[trunk]]
id = "carrier"
tenant = "acme"
sources = ["CARRIER_IP/32"]
destination = "CARRIER_AT;transport=udp"
[[route]]
id = "line"
tenant = "acme"
number = "+15550100"
targets = ["alice"]
[[route]]
id = "user"
tenant = "acme"
number = "+15550111"
targets = ["trunk:teams"]
ring_s = 60
[[route]]
id = "customer"
tenant = "acme"
number = "+15550199"
targets = ["trunk:carrier"]
ring_s = 60
"#;

const PASSWORD: &str = "their-password";
const TOKEN: &str = "sams-token";

/// The gateway, the people and the proxy; all of it goes when it goes.
pub struct House {
    /// Microsoft's side.
    pub proxy: Proxy,
    /// An agent, registered over UDP and without encryption: the gateway stands between.
    pub alice: Phone,
    /// Her supervisor, alike.
    pub sam: Phone,
    /// The customer, behind a carrier that speaks plain UDP.
    pub customer: Phone,
    /// The API, with Sam's token.
    pub api: Api,
    /// The gateway.
    pub gateway: Gateway,
    folder: Folder,
}

/// Why the house does not stand.
#[derive(Debug, Error)]
#[error("a gateway with Direct Routing could not be set up")]
pub struct HouseError(#[source] Box<dyn Error + Send + Sync>);

impl House {
    /// A gateway that is paired and has its people registered. Alice hums one tone, everybody behind Teams another.
    ///
    /// # Errors
    /// [`HouseError`]
    pub async fn open(alice_hz: f64, teams_hz: f64) -> Result<House, HouseError> {
        Self::open_with(alice_hz, teams_hz, "", &[]).await
    }

    /// The same with more in its configuration, and the files that this names.
    ///
    /// # Errors
    /// [`HouseError`]
    pub async fn open_with(
        alice_hz: f64,
        teams_hz: f64,
        more: &str,
        files: &[(&str, &str)],
    ) -> Result<House, HouseError> {
        Self::build(alice_hz, teams_hz, more, files).await.map_err(HouseError)
    }

    /// The gateway's configuration, with its certificates beside it.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("sidetone.toml")
    }

    /// The customer calls a number through the carrier.
    ///
    /// # Errors
    /// [`HouseError`]
    pub async fn customer_dials(&self, number: &str) -> Result<(), HouseError> {
        let target = || -> Result<Uri, UriError> {
            let sip = self.gateway.sip_udp_addr().unwrap_or_else(|| ([127, 0, 0, 1], 1).into());
            Uri::sip_at(Some(number), sip)
        };
        let target = target().map_err(|error| HouseError(error.into()))?;
        self.customer.dial(target).await.map_err(|error| HouseError(error.into()))
    }

    async fn build(
        alice_hz: f64,
        teams_hz: f64,
        more: &str,
        files: &[(&str, &str)],
    ) -> Result<House, Box<dyn Error + Send + Sync>> {
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
        let customer = Phone::start(phone::Options {
            ip: CARRIER_IP,
            voice: Voice::tone(CUSTOMER_HZ),
            ..phone::Options::new(CUSTOMER)
        })
        .await?;
        let sha256: String = Sha256::digest(TOKEN).iter().map(|octet| format!("{octet:02x}")).collect();
        let ports = media_ports();
        let text = FILE
            .replace("CARRIER_IP", &CARRIER_IP.to_string())
            .replace("CARRIER_AT", &customer.address().to_string())
            .replace("SHA256", &sha256)
            .replace("STORE", &folder.path().join("store.sqlite3").display().to_string())
            .replace("PORTS", &format!("{}-{}", ports.start(), ports.end()))
            .replace("DESTINATIONS", &destinations.join(", "));
        let text = text + more;
        let own = [
            ("sidetone.toml", text.as_str()),
            ("sbc1.pem", &ours.chain),
            ("sbc1.key", &ours.key),
            ("root.pem", authority.root()),
            ("password.txt", PASSWORD),
        ];
        for (name, content) in own.iter().chain(files) {
            std::fs::write(folder.path().join(name), content)?;
        }
        let path = folder.path().join("sidetone.toml");
        let gateway = Gateway::start(config::load(&path)?, Source::File(path)).await?;
        proxy.pair(gateway.sip_tls_addr().ok_or("the gateway does not listen to TLS")?).await?;

        let server = gateway.sip_udp_addr();
        let with = |name: &str, hz: f64| phone::Options {
            server,
            password: Some(PASSWORD.to_owned()),
            voice: Voice::tone(hz),
            ..phone::Options::new(name)
        };
        let alice = Phone::start(with("alice", alice_hz)).await?;
        let sam = Phone::start(with("sam", SUPERVISOR_HZ)).await?;
        for phone in [&alice, &sam] {
            phone.register(Duration::from_secs(300)).await?;
        }
        let api = Api::new(gateway.api_addr(), TOKEN)?;
        Ok(House { proxy, alice, sam, customer, api, gateway, folder })
    }
}
