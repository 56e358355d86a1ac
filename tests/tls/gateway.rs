//! Calls over TLS through a whole gateway: a carrier that proves itself, a telephone that registers, a certificate that is
//! renewed in the middle, and a caller who only comes from the right address.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sidetone::config;
use sidetone::gateway::{Gateway, Source};
use sidetone::sim::authority::Leaf;
use sidetone::sim::phone::{Options, Phone, PhoneError, Tls, Transport};
use sidetone::sim::stage::api::{Api, Events};
use sidetone::sip::uri::Uri;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::Story;
use crate::town::*;

/// The carrier's address: trust begins with it and does not end there.
pub(crate) const CARRIER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Tokens of the API.
const ADMIN: &str = "the-admins-token";
pub(crate) const OPERATOR: &str = "the-operators-token";

fn sha256(token: &str) -> String {
    Sha256::digest(token).iter().map(|octet| format!("{octet:02x}")).collect()
}

const NUMBER: &str = "+15550100";

pub(crate) struct House {
    pub(crate) town: Town,
    pub(crate) folder: TempDir,
    pub(crate) gateway: Gateway,
    pub(crate) at: SocketAddr,
    pub(crate) api: Api,
}

impl House {
    /// A gateway with a certificate for our name, a carrier that must show one, and Alice. `ports` are for its media.
    pub(crate) async fn open(ports: &str) -> Result<House, Box<dyn std::error::Error>> {
        let town = Town::new();
        let folder = TempDir::new()?;
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
        install(&folder, &town.of(OURS))?;
        write("roots.pem", town.authority.root())?;
        write("alice.txt", "password-of-alice")?;
        let database = folder.path().join("records.sqlite3");
        let database = database.display();
        let text = format!(
            r#"
[server]
name = "tls"
database = "sqlite:{database}"
[sip]
udp = "127.0.0.1:0"
tls = "127.0.0.1:0"
realm = "sidetone"
[media]
listen = "127.0.0.1"
ports = "{ports}"
shards = 1
[api]
listen = "127.0.0.1:0"
[limits]
calls_max = 4
[[certificate]]
id = "sbc1"
certificate_file = "sbc1.pem"
key_file = "sbc1.key"
[[tenant]]
id = "demo"
name = "Demo"
[[team]]
id = "support"
tenant = "demo"
name = "Support"
[[person]]
id = "alice"
tenant = "demo"
role = "agent"
teams = ["support"]
extension = "100"
register = {{ username = "alice", password_file = "alice.txt" }}
[[trunk]]
id = "carrier"
tenant = "demo"
sources = ["{CARRIER_IP}/32"]
destinations = ["{CARRIER_IP}:5061;transport=tls"]
tls = {{ verify = "required", names = ["*.carrier.example"], roots_file = "roots.pem" }}
[[route]]
id = "line"
tenant = "demo"
number = "{NUMBER}"
targets = ["alice"]
[[token]]
id = "admin"
sha256 = "{admin}"
role = "tenant_admin"
tenant = "demo"
[[token]]
id = "platform"
sha256 = "{operator}"
role = "operator"
"#,
            admin = sha256(ADMIN),
            operator = sha256(OPERATOR),
        );
        let file = folder.path().join("sidetone.toml");
        fs::write(&file, text)?;
        let config = match config::load(&file) {
            Ok(config) => config,
            Err(config::LoadError::Wrong { findings, .. }) => panic!("{findings:#?}"),
            Err(error) => return Err(error.into()),
        };
        let gateway = Gateway::start(config, Source::File(file)).await?;
        let at = gateway.sip_tls_addr().expect("a TLS listener");
        let api = Api::new(gateway.api_addr(), ADMIN)?;
        Ok(House { town, folder, gateway, at, api })
    }

    /// A telephone that speaks TLS and shows this.
    pub(crate) async fn phone(
        &self,
        name: &str,
        ip: IpAddr,
        own: Option<&Leaf>,
    ) -> Result<Phone, Box<dyn std::error::Error>> {
        let tls = Tls::new(self.town.authority.root(), OURS, own)?;
        let options = Options {
            transport: Transport::Tls,
            tls: Some(tls),
            ip,
            server: Some(self.at),
            password: Some(format!("password-of-{name}")),
            ..Options::new(name)
        };
        Ok(Phone::start(options).await?)
    }

    pub(crate) fn number(&self) -> Uri {
        Uri::sip_at(Some(NUMBER), self.at).expect("an address")
    }
}

/// Puts a certificate where the gateway looks for it, as a renewal does.
pub(crate) fn install(folder: &TempDir, leaf: &Leaf) -> std::io::Result<()> {
    fs::write(folder.path().join("sbc1.key"), &leaf.key)?;
    fs::write(folder.path().join("sbc1.pem"), &leaf.chain)
}

#[tokio::test]
async fn a_certificate_is_renewed_while_a_call_over_tls_goes_on() -> Story {
    let house = House::open("31000-31031").await?;
    let alice = house.phone("alice", Ipv4Addr::LOCALHOST.into(), None).await?;
    alice.register(Duration::from_secs(300)).await?;
    let carrier = house.phone("carrier", CARRIER_IP, Some(&house.town.of("sip.carrier.example"))).await?;
    carrier.dial(house.number()).await?;
    carrier.talking().await?;
    alice.talking().await?;
    carrier.ear().await?.wait_for(5).await?;

    let events = Events::follow(&house.api).await?;
    let renewed = house.town.of(OURS);
    install(&house.folder, &renewed)?;
    // Whoever connects comes to see the new certificate.
    let client = house.town.client(None);
    let shown = async {
        loop {
            let stream = shake(&client, house.at, OURS).await?;
            let (_, connection) = stream.get_ref();
            if connection.peer_certificates().map(|chain| &chain[0]) == Some(&chain(&renewed)[0]) {
                return Ok::<_, std::io::Error>(());
            }
        }
    };
    timeout(SOON, shown).await??;

    let told = events.until("the renewal", |event| event.kind == "certificate.renewed").await?;
    assert_eq!(told.data["certificate"], "sbc1");
    assert!(told.data["days_left"].as_f64().is_some_and(|days| days > 0.0), "{}", told.data);

    // The call has not noticed: sound flows, and its end is told over the connections it began on.
    carrier.ear().await?.wait_for(5).await?;
    alice.ear().await?.wait_for(5).await?;
    carrier.hang_up().await?;
    alice.over().await?;
    house.gateway.stop().await;
    Ok(())
}

#[tokio::test]
async fn the_right_address_alone_does_not_make_a_caller_the_carrier() -> Story {
    let house = House::open("31100-31131").await?;
    // Over a datagram, whose source address anybody may write.
    let in_clear = Phone::start(Options {
        ip: CARRIER_IP,
        server: house.gateway.sip_udp_addr(),
        ..Options::new("carrier")
    })
    .await?;
    in_clear.dial(house.number()).await?;
    let refused = in_clear.talking().await;
    assert!(matches!(&refused, Err(PhoneError::Refused(code)) if code.as_u16() == 403), "{refused:?}");

    // Over TLS with a certificate of a good authority and another's name: not even a handshake.
    let impostor = house.town.client(Some(&house.town.of("sip.impostor.example")));
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(CARRIER_IP, 0))?;
    let stream = socket.connect(house.at).await?;
    let talk = async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = impostor.connect(OURS.try_into().expect("a name"), stream).await?;
        stream.write_all(OPTIONS.as_bytes()).await?;
        stream.flush().await?;
        let mut answer = [0; 1];
        stream.read_exact(&mut answer).await
    };
    let answered = timeout(SOON, talk).await?;
    assert!(answered.is_err(), "{answered:?}");
    house.gateway.stop().await;
    Ok(())
}
