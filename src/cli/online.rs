//! `sidetone check --online`: names are asked for and judged, and every address of a trunk and every ACS resource is spoken
//! to, once.
//!
//! What the gateway would do at start, done before: NAPTR, SRV and addresses as its own table of names follows them, connect,
//! shake hands with its own certificate and the trunk's rules, and ask OPTIONS. Any answer but 503 shows that the far end
//! lives (RFC 3261 section 11).

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use sbc_config::{Config, Destination, Dialect, Host, Severity, Transport, Trunk};
use serde::Serialize;
use sidetone::acs::probe::{Probe, probe};
use sidetone::random::Random;
use sidetone::sip::flow;
use sidetone::sip::names::ask::{Asker, refresh};
use sidetone::sip::names::judge::{Judged, Weight, judge, judge_own};
use sidetone::sip::names::{Found, Names, place, wanted};
use sidetone::tls::{Material, Outward, files};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long one step may take: a carrier abroad answers in a second, a wrong address never.
const STEP_MAX: Duration = Duration::from_secs(5);
/// Datagrams are repeated, as SIP does over UDP (RFC 3261 section 17.1.2.1).
const UDP_REPEAT: Duration = Duration::from_millis(500);
const UDP_TRIES: u32 = 6;
/// The first line of an answer is all that is read; it fits well into this.
const ANSWER_BYTES: usize = 2048;

/// What is written where all is well.
const NOTHING: &str = "nothing to do";

/// What came of one destination.
#[derive(Debug, Serialize)]
pub(super) struct Tried {
    pub(super) severity: Severity,
    /// Whether it works.
    pub(super) works: bool,
    path: String,
    message: String,
    remedy: &'static str,
}

impl Tried {
    fn of(path: String, outcome: Result<String, Failed>) -> Tried {
        match outcome {
            Ok(message) => Tried { severity: Severity::Warning, works: true, path, message, remedy: NOTHING },
            Err((message, remedy)) => {
                Tried { severity: Severity::Error, works: false, path, message, remedy }
            }
        }
    }
}

impl Tried {
    pub(super) fn judged(path: String, Judged { weight, message, remedy }: Judged) -> Tried {
        let severity = if weight == Weight::Wrong { Severity::Error } else { Severity::Warning };
        Tried { severity, works: weight < Weight::Wrong, path, message, remedy }
    }
}

impl std::fmt::Display for Tried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.works && self.remedy == NOTHING {
            true => write!(f, "{}: {}", self.path, self.message),
            false => write!(f, "{}[online] {}: {}; {}", self.severity, self.path, self.message, self.remedy),
        }
    }
}

/// Judges every name and tries every address of every trunk, one after the other.
pub(super) async fn try_all(config: &Config, beside: &Path) -> Vec<Tried> {
    let material = files::load(config, beside);
    let asker = Asker::new(&config.dns);
    let names = ArcSwap::from_pointee(Names::new(&config.dns));
    refresh(&wanted(config), &names, &asker).await;
    let names = names.load_full();
    let mut tried = Vec::new();
    for trunk in &config.trunks {
        if let Some(fqdn) = trunk.fqdn.as_deref().filter(|_| trunk.dialect == Dialect::Microsoft) {
            tried.push(Tried::judged(format!("trunk[{}] fqdn", trunk.id), judge_own(&asker, fqdn).await));
        }
        let registrar = trunk.register.as_ref().map(|register| &register.registrar);
        for destination in trunk.destinations.iter().chain(registrar) {
            let path = format!("trunk[{}] {destination}", trunk.id);
            if let Some(place) = place(destination) {
                let judged = judge(&asker, config, &place).await;
                tried.extend(judged.into_iter().map(|judged| Tried::judged(path.clone(), judged)));
            }
            // An address without a name is that of the machine itself; a name may have several.
            for found in found(&names, destination) {
                let answer = match &material {
                    Ok(material) => ask(config, material, trunk, destination, found).await,
                    Err(error) => Err((error.to_string(), "mend the certificate's files")),
                };
                tried.push(Tried::of(path.clone(), answer));
            }
        }
    }
    tried.extend(try_acs(config).await);
    tried
}

/// Every address that the gateway would try for a destination. Why a name has none is told where it is judged.
fn found(names: &Names, destination: &Destination) -> Vec<Found> {
    match (&destination.host, place(destination)) {
        (Host::Name(_), Some(place)) => {
            // Servers of one rank are drawn by lot; here all of them are tried, in whatever order.
            names.find(Instant::now(), &place, &mut Random::new([0; 32]))
        }
        (Host::Name(_), None) => Vec::new(),
        (Host::Ip(ip), _) => {
            let transport = match destination.transport_or_default() {
                Transport::Udp => flow::Transport::Udp,
                Transport::Tcp => flow::Transport::Tcp,
                Transport::Tls => flow::Transport::Tls,
            };
            vec![Found { at: SocketAddr::new(*ip, destination.port_or_default()), transport }]
        }
    }
}

/// Tries every ACS resource.
async fn try_acs(config: &Config) -> Vec<Tried> {
    if config.acs.is_empty() {
        return Vec::new();
    }
    let http = match sidetone::client::http().build() {
        Ok(http) => http,
        Err(error) => {
            let remedy = "HTTP cannot be spoken on this machine";
            return vec![Tried::of("acs".to_owned(), Err((error.to_string(), remedy)))];
        }
    };
    let mut tried = Vec::new();
    for acs in &config.acs {
        for Probe { what, outcome } in probe(acs, &http).await {
            tried.push(Tried::of(format!("acs[{}] {what}", acs.id), outcome));
        }
    }
    tried
}

type Failed = (String, &'static str);

async fn ask(
    config: &Config,
    material: &Material,
    trunk: &Trunk,
    destination: &Destination,
    Found { at: address, transport }: Found,
) -> Result<String, Failed> {
    let transport = match transport {
        flow::Transport::Udp => Transport::Udp,
        flow::Transport::Tcp => Transport::Tcp,
        flow::Transport::Tls => Transport::Tls,
    };
    let request = options(config, trunk, destination, transport);
    let failed =
        |what: &str, error: &dyn std::fmt::Display| (format!("{address}: {what}: {error}"), FIREWALL);
    let line = if transport == Transport::Udp {
        by_datagram(address, &request).await.map_err(|error| failed("no answer to OPTIONS", &error))?
    } else {
        let stream =
            timeout(STEP_MAX, TcpStream::connect(address)).await.unwrap_or_else(|late| Err(late.into()));
        let stream = stream.map_err(|error| failed("no connection", &error))?;
        if transport == Transport::Tls {
            let outward = Outward { trunk: Some(trunk.id.clone()), name: name_of(destination) };
            let (client, name) =
                material.client_config(&outward).map_err(|error| (error.to_string(), CERTIFICATE))?;
            let shaken = tokio_rustls::TlsConnector::from(client).connect(name, stream);
            let stream = timeout(STEP_MAX, shaken).await.unwrap_or_else(|late| Err(late.into()));
            let stream = stream
                .map_err(|error| (format!("{address}: the TLS handshake failed: {error}"), CERTIFICATE))?;
            over_stream(stream, &request).await
        } else {
            over_stream(stream, &request).await
        }
        .map_err(|error| failed("no answer to OPTIONS", &error))?
    };
    match line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()) {
        Some(503) => Err((format!("{address} answers 503"), "it is out of service, or does not know us yet")),
        Some(status) => Ok(format!("{address} answers {status}")),
        None => Err((format!("{address} answers, and not in SIP"), "look at the port")),
    }
}

const FIREWALL: &str = "is the address right, and the port open on the way? sidetone check --ports";
const CERTIFICATE: &str = "look at the certificates of both sides, and the trunk's tls settings";

fn name_of(destination: &Destination) -> std::sync::Arc<str> {
    match &destination.host {
        Host::Name(name) => name.clone(),
        Host::Ip(ip) => ip.to_string().into(),
    }
}

/// An OPTIONS as the gateway itself would send it, by our name on this trunk.
fn options(config: &Config, trunk: &Trunk, destination: &Destination, transport: Transport) -> String {
    let listener = match transport {
        Transport::Udp => config.sip.udp,
        Transport::Tcp => config.sip.tcp,
        Transport::Tls => config.sip.tls,
    };
    let advertised = config.sip.advertised.as_ref().map(ToString::to_string);
    let listens = listener.map(|listener| listener.ip().to_string());
    let us = trunk.fqdn.as_deref().map(str::to_owned).or(advertised).or(listens);
    let us = us.unwrap_or_else(|| "sidetone.invalid".to_owned());
    // Port 0 is any that is free; which it will be is known to the running gateway alone.
    let port = listener.map(|listener| listener.port()).filter(|port| *port != 0);
    let port = port.unwrap_or(transport.default_port());
    let named = trunk.x_ms_sbc.as_ref().map(|us| format!("X-MS-SBC: {us}\r\n")).unwrap_or_default();
    let mark = format!("check{:x}", std::process::id());
    format!(
        "OPTIONS sip:{host} SIP/2.0\r\nVia: SIP/2.0/{upper} {us}:{port};branch=z9hG4bK{mark};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:{us}>;tag={mark}\r\nTo: <sip:{host}>\r\nCall-ID: {mark}@{us}\r\nCSeq: 1 OPTIONS\r\n\
         Contact: <sip:{us}:{port};transport={transport}>\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY\r\n\
         Accept: application/sdp\r\nUser-Agent: {agent}\r\n{named}Content-Length: 0\r\n\r\n",
        host = destination.host,
        upper = transport.to_string().to_uppercase(),
        agent = config.sip.user_agent,
    )
}

async fn by_datagram(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    let mut answer = [0; ANSWER_BYTES];
    for _ in 0..UDP_TRIES {
        socket.send(request.as_bytes()).await?;
        if let Ok(received) = timeout(UDP_REPEAT, socket.recv(&mut answer)).await {
            return Ok(first_line(&answer[..received?]));
        }
    }
    Err(std::io::ErrorKind::TimedOut.into())
}

async fn over_stream(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> std::io::Result<String> {
    let asked = async {
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        while !answer.contains(&b'\n') && answer.len() < ANSWER_BYTES {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(first_line(&answer))
    };
    timeout(STEP_MAX, asked).await.unwrap_or_else(|late| Err(late.into()))
}

fn first_line(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).lines().next().unwrap_or_default().to_owned()
}
