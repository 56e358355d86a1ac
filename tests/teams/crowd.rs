//! A crowd at the door: a thousand connections that say nothing, or an octet now and then, while people talk and call.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sidetone::sim::teams::{House, State};
use sidetone::tls::roots_from_pem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{
    A_WHILE, AGENT_HZ, HEARD_DBFS, TEAMS_HZ, Test, open, teams_reaches_alice, they_talk, until_heard,
    until_up,
};

/// Connections of the crowd, of each of its two kinds.
const EACH: usize = 500;

/// Whence it comes: nobody's address.
const STRANGER: &str = "127.0.0.66:0";

/// One round of the crowd: an octet on every connection.
const A_ROUND: Duration = Duration::from_millis(250);

/// Octets of a message that never ends, of which one is said at a time.
const ENDLESS: &[u8] = b"OPTIONS sip:sbc1.example.com SIP/2.0\r\nSubject: ";

/// The crowd, as long as it lives. Half of it never ends its handshake, which the gateway bears with for some seconds; the
/// other half has ended it and trickles, and is held.
struct Crowd {
    leave: watch::Sender<bool>,
    trickling: JoinHandle<Vec<TlsStream<TcpStream>>>,
}

impl Crowd {
    async fn gathers(house: &House) -> Result<Crowd, Box<dyn std::error::Error>> {
        let at = house.gateway.sip_tls_addr().ok_or("a TLS listener")?;
        let roots = std::fs::read(house.file().with_file_name("root.pem"))?;
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots_from_pem(&roots)?)
                .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let (mut half, mut whole) = (Vec::new(), Vec::new());
        for number in 0..EACH {
            let mut stream = from_elsewhere(at).await?;
            // Every other one begins: the head of a handshake record of 512 octets.
            if number % 2 == 0 {
                stream.write_all(&[22, 3, 1, 2, 0]).await?;
            }
            half.push(stream);
            let name = ServerName::try_from("sbc1.example.com")?;
            whole.push(connector.connect(name, from_elsewhere(at).await?).await?);
        }
        let (leave, mut leaves) = watch::channel(false);
        let trickling = tokio::spawn(async move {
            for round in 0.. {
                for stream in &mut half {
                    // Those of whom the gateway has had enough are gone.
                    let _closed = stream.try_write(&[1]);
                }
                let octet = ENDLESS.get(round).copied().unwrap_or(b'a');
                for stream in &mut whole {
                    let _closed = stream.write_all(&[octet]).await;
                    let _closed = stream.flush().await;
                }
                if timeout(A_ROUND, leaves.wait_for(|leaves| *leaves)).await.is_ok() {
                    break;
                }
            }
            whole
        });
        Ok(Crowd { leave, trickling })
    }

    /// The crowd goes; how many of it the gateway has held until now.
    async fn goes(self) -> Result<usize, Box<dyn std::error::Error>> {
        self.leave.send(true)?;
        let mut held = 0;
        for mut stream in self.trickling.await? {
            // One that was cut off reads its end; one that is held has nothing to read.
            held += usize::from(timeout(Duration::from_millis(1), stream.read_u8()).await.is_err());
        }
        Ok(held)
    }
}

async fn from_elsewhere(at: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(STRANGER.parse().map_err(io::Error::other)?)?;
    socket.connect(at).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_and_trickling_connections_change_nothing_for_a_call_and_let_the_next_ones_in() -> Test
{
    let house = open().await?;
    let call = teams_reaches_alice(&house).await?;
    let (teams, alice) = (house.proxy.ear(call).await?.ok_or("an ear")?, house.alice.ear().await?);
    until_heard(&alice, TEAMS_HZ).await?;

    let crowd = Crowd::gathers(&house).await?;
    // The call that was there sounds as before, both ways.
    until_heard(&alice, TEAMS_HZ).await?;
    let (at_teams, at_alice) = (teams.listen(A_WHILE).await?, alice.listen(A_WHILE).await?);
    assert!(at_alice.level_of(TEAMS_HZ) > HEARD_DBFS, "{}", at_alice.level_of(TEAMS_HZ));
    assert!(at_teams.level_of(AGENT_HZ) > HEARD_DBFS, "{}", at_teams.level_of(AGENT_HZ));

    // What belongs to it comes on a new connection, through the crowd.
    house.proxy.part(0).await?;
    house.proxy.roam(call).await?;
    house.proxy.rekey(call).await?;
    let answered = |state: &State| state.seen.descriptions.len() == 2;
    house.proxy.until("the new key is answered", answered).await?;
    until_heard(&alice, TEAMS_HZ).await?;

    // And another call is set up, with sound.
    house.customer_dials(sidetone::sim::teams::USER).await?;
    until_up(&house, call + 1).await?;
    house.customer.talking().await?;
    they_talk(&house, call + 1).await?;
    let (at_teams, at_alice) = (teams.listen(A_WHILE).await?, alice.listen(A_WHILE).await?);
    assert!(at_alice.level_of(TEAMS_HZ) > HEARD_DBFS, "{}", at_alice.level_of(TEAMS_HZ));
    assert!(at_teams.level_of(AGENT_HZ) > HEARD_DBFS, "{}", at_teams.level_of(AGENT_HZ));

    for call in [call, call + 1] {
        house.proxy.bye(call).await?;
    }
    house.alice.over().await?;
    house.customer.over().await?;
    assert_eq!(crowd.goes().await?, EACH, "the crowd was there all the time");
    house.gateway.stop().await;
    Ok(())
}
