//! A running gateway whose file changes under it, and one that is told to stop while people talk.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sidetone::config;
use sidetone::gateway::{Gateway, Source};
use sidetone::sim::phone::{Options, Phone};
use sidetone::sip::message::StatusCode;
use sidetone::sip::uri::Uri;

type Test = Result<(), Box<dyn std::error::Error>>;

/// The longest anything that must come is waited for.
const SOON: Duration = Duration::from_secs(20);

const FILE: &str = r#"
[server]
name = "reload"
database = "sqlite:STORE"
[sip]
udp = "127.0.0.1:0"
realm = "reload"
[media]
listen = "127.0.0.1"
ports = "9900-9939"
[api]
listen = "127.0.0.1:0"
[[tenant]]
id = "acme"
name = "Acme"
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
register = { username = "alice", password_file = "alice.txt" }
[[token]]
id = "crm"
sha256 = "TOKEN"
role = "integration"
tenant = "acme"
"#;

const TRUNK_AND_ROUTE: &str = r#"
[[trunk]]
id = "carrier"
tenant = "acme"
sources = ["127.0.0.4/32"]
[[route]]
id = "line"
tenant = "acme"
number = "+15550100"
targets = ["alice"]
"#;

fn file(folder: &Path, token: &str, more: &str) -> String {
    let sha256: String =
        Sha256::digest(token.as_bytes()).iter().map(|octet| format!("{octet:02x}")).collect();
    let store = folder.join("store.sqlite3");
    FILE.replace("TOKEN", &sha256).replace("STORE", &store.display().to_string()) + more
}

/// Looks until it is so.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let looking = async {
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        loop {
            looks.tick().await;
            if so().await {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, looking).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn status(api: SocketAddr, token: &str) -> u16 {
    let asked = reqwest::Client::new().get(format!("http://{api}/v1/calls")).bearer_auth(token).send().await;
    asked.expect("the API answers").status().as_u16()
}

async fn phone(name: &str, password: &str, sip: SocketAddr) -> Result<Phone, Box<dyn std::error::Error>> {
    let options = Options { server: Some(sip), password: Some(password.to_owned()), ..Options::new(name) };
    Ok(Phone::start(options).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_in_force_while_the_gateway_runs_and_a_broken_one_never_is() -> Test {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sidetone.toml");
    std::fs::write(folder.path().join("alice.txt"), "first-password")?;
    std::fs::write(&path, file(folder.path(), "old-token", ""))?;
    let gateway = Gateway::start(config::load(&path)?, Source::File(path.clone())).await?;
    let (api, sip) = (gateway.api_addr(), gateway.sip_udp_addr().expect("UDP"));
    assert_eq!(status(api, "old-token").await, 200);

    let alice = phone("alice", "first-password", sip).await?;
    alice.register(SOON).await?;
    let carrier = Phone::start(Options { ip: "127.0.0.4".parse()?, ..Options::new("customer") }).await?;
    let line = Uri::sip_at(Some("+15550100"), sip)?;
    carrier.dial(line.clone()).await?;
    assert_eq!(carrier.over().await?.status, Some(StatusCode::UNAUTHORIZED), "no trunk has this address yet");

    std::fs::write(&path, file(folder.path(), "new-token", TRUNK_AND_ROUTE))?;
    until("the new token is good", async || status(api, "new-token").await == 200).await;
    assert_eq!(status(api, "old-token").await, 401);
    let carrier = Phone::start(Options { ip: "127.0.0.4".parse()?, ..Options::new("customer") }).await?;
    carrier.dial(line).await?;
    carrier.talking().await?;
    alice.talking().await?;

    // The secret changes and the file does not: SIGHUP reads both again. The call goes on.
    std::fs::write(folder.path().join("alice.txt"), "second-password")?;
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP)?;
    until("the new password is good", async || match phone("alice", "second-password", sip).await {
        Ok(again) => again.register(SOON).await.is_ok(),
        Err(_) => false,
    })
    .await;
    assert!(phone("alice", "first-password", sip).await?.register(SOON).await.is_err());

    std::fs::write(&path, "this is no configuration")?;
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP)?;
    let served = status(api, "new-token").await;
    assert_eq!(served, 200);
    std::fs::write(&path, file(folder.path(), "third-token", TRUNK_AND_ROUTE))?;
    until("a mended file counts again", async || status(api, "third-token").await == 200).await;

    // Told to stop, it leaves nobody in a dead call.
    gateway.stop().await;
    assert_eq!(carrier.over().await?.by, sidetone::sim::phone::Side::Them);
    assert_eq!(alice.over().await?.by, sidetone::sim::phone::Side::Them);
    Ok(())
}
