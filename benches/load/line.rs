//! How the trunk speaks SIP: in datagrams, or over one TLS connection as Microsoft's proxy does, each side showing its certificate.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use sidetone::sim::authority::{Authority, Leaf, Wanted};

use crate::gateway::TRUNK_IP;
use crate::patience::PATIENCE;

/// The gateway's name on the Direct Routing trunk.
pub(crate) const FQDN: &str = "sbc1.example.com";

/// The name that the trunk's certificate bears.
const PROXY: &str = "sip.pstnhub.microsoft.com";

/// Longer than any message of the gateway.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Certificates of both sides, by an authority of our own.
pub(crate) struct Papers {
    /// PEM.
    pub(crate) root: String,
    /// The gateway's.
    pub(crate) ours: Leaf,
    client: Arc<ClientConfig>,
}

impl Papers {
    /// Makes them.
    pub(crate) fn new() -> Papers {
        let authority = Authority::new("load").expect("an authority");
        let issue = |name: &str| authority.issue(&Wanted::new([name])).expect("a certificate");
        let (ours, theirs) = (issue(FQDN), issue(PROXY));
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(authority.root().as_bytes()).expect("a root");
        roots.add(root).expect("a root");
        let chain = CertificateDer::pem_slice_iter(theirs.chain.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().expect("a chain");
        let key = PrivateKeyDer::from_pem_slice(theirs.key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .expect("a certificate of ours");
        // Each connection is to cost what the first one does.
        client.resumption = rustls::client::Resumption::disabled();
        Papers { root: authority.root().to_owned(), ours, client: Arc::new(client) }
    }

    /// A new connection, after its handshake.
    pub(crate) fn connect(&self, gateway: SocketAddr) -> io::Result<Private> {
        let socket =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)?;
        let own: Ipv4Addr = TRUNK_IP.parse().map_err(io::Error::other)?;
        rustix::net::bind(&socket, &SocketAddr::from((own, 0)))?;
        rustix::net::connect(&socket, &gateway)?;
        let mut tcp = TcpStream::from(socket);
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(FQDN).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(self.client.clone(), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        tcp.set_nonblocking(true)?;
        Ok(Private { tls, tcp, input: Vec::new() })
    }
}

/// A TLS connection that is read without waiting.
pub(crate) struct Private {
    tls: ClientConnection,
    tcp: TcpStream,
    /// What has come and is no whole message.
    input: Vec<u8>,
}

/// How the trunk speaks.
pub(crate) enum Line {
    /// In datagrams.
    Clear(UdpSocket),
    /// Over one connection.
    Private(Box<Private>),
}

impl Line {
    /// The trunk's own address.
    pub(crate) fn own(&self) -> SocketAddr {
        match self {
            Line::Clear(socket) => socket.local_addr(),
            Line::Private(private) => private.tcp.local_addr(),
        }
        .expect("a bound socket has an address")
    }

    /// As Via and a parameter say it.
    pub(crate) fn transport(&self) -> &'static str {
        match self {
            Line::Clear(_) => "UDP",
            Line::Private(_) => "TLS",
        }
    }

    /// Says a message. What cannot be said is lost as on a network; requests are repeated.
    pub(crate) fn send(&mut self, text: &str, to: SocketAddr) {
        match self {
            Line::Clear(socket) => drop(socket.send_to(text.as_bytes(), to)),
            Line::Private(private) => drop(private.send(text.as_bytes())),
        }
    }

    /// The next message that has come.
    pub(crate) fn receive(&mut self) -> Option<(String, SocketAddr)> {
        match self {
            Line::Clear(socket) => {
                let mut buffer = [0; MESSAGE_BYTES_MAX];
                // A port that closed meanwhile; the next read goes on.
                let (length, from) = socket.recv_from(&mut buffer).ok()?;
                Some((String::from_utf8_lossy(&buffer[..length]).into_owned(), from))
            }
            Line::Private(private) => Some((private.receive()?, private.tcp.peer_addr().ok()?)),
        }
    }

    /// To wait for the next.
    pub(crate) fn poll(&self) -> PollFd<'_> {
        match self {
            Line::Clear(socket) => PollFd::new(socket, PollFlags::IN),
            Line::Private(private) => PollFd::new(&private.tcp, PollFlags::IN),
        }
    }
}

impl Private {
    fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.tls.writer().write_all(octets)?;
        let deadline = Instant::now() + PATIENCE;
        while self.tls.wants_write() && Instant::now() < deadline {
            match self.tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                // The gateway is slow to read: all of it must go, or what follows is no message.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Option<String> {
        if let Some(message) = self.whole() {
            return Some(message);
        }
        while let Ok(1..) = self.tls.read_tls(&mut self.tcp) {
            self.tls.process_new_packets().expect("the gateway speaks TLS");
            let mut buffer = [0; MESSAGE_BYTES_MAX];
            while let Ok(length @ 1..) = self.tls.reader().read(&mut buffer) {
                self.input.extend_from_slice(&buffer[..length]);
            }
        }
        self.whole()
    }

    /// The first whole message of what has come (RFC 3261 section 18.3).
    fn whole(&mut self) -> Option<String> {
        // Keepalives between messages (RFC 5626 section 3.5.1).
        let begin = self.input.iter().take_while(|octet| b"\r\n".contains(octet)).count();
        self.input.drain(..begin);
        let head = self.input.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&self.input[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
        if self.input.len() < head + length {
            return None;
        }
        let message: Vec<u8> = self.input.drain(..head + length).collect();
        Some(String::from_utf8_lossy(&message).into_owned())
    }
}
