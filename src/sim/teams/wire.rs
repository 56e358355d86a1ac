//! The proxy on real sockets: TLS both ways, each side showing its certificate.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::machine::{
    Along, CallId, Connection, Goodbye, Machine, Manner, Output, ReferTo, Seen, Site, Stage,
};
use super::sound::Sound;
use crate::sim::ear::Ear;
use crate::sim::voice::Voice;
use crate::sim::{Hung, until};
use crate::sip::frame::{Framed, Framer};
use crate::sip::message::Message;

/// Messages waiting for the proxy or for a connection.
const QUEUE_MAX: usize = 256;
/// The longest piece of a message that goes into one TLS record: receivers must not take a record for a message.
const RECORD_BYTES: usize = 7;

/// How a proxy is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The gateway's paired name.
    pub fqdn: String,
    /// Where the gateway listens; [`Proxy::pair`] says it later.
    pub sbc: SocketAddr,
    /// The addresses of the three sites.
    pub sites: [IpAddr; 3],
    /// PEM: the proxy's certificate with its chain.
    pub chain: String,
    /// PEM: its key.
    pub key: String,
    /// PEM: the root that gateway certificates must lead to.
    pub root: String,
    /// What the people behind it say.
    pub voice: Voice,
}

/// Why there is no proxy, or it cannot do what was asked.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// A socket could not be opened.
    #[error("a socket of the proxy failed")]
    Io(#[from] io::Error),
    /// Certificate, key or root cannot be used.
    #[error("the proxy's TLS cannot be set up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The proxy is gone.
    #[error("the proxy is gone")]
    Gone,
    /// Something waited for never came.
    #[error(transparent)]
    Hung(#[from] Hung),
}

/// What the proxy saw and how its calls stand.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// What was seen.
    pub seen: Seen,
    /// Calls in their order.
    pub stages: Vec<Option<Stage>>,
    /// Connections the gateway opened to us.
    pub accepted: u32,
    /// Connections that the gateway has closed, of its own accord or because we did.
    pub closed: u32,
    /// Why the last connection of ours to the gateway, or of it to us, came to nothing.
    pub refused: Option<String>,
}

/// The proxy. Its sockets and tasks go when it goes.
pub struct Proxy {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<State>,
    addresses: [SocketAddr; 3],
    _tasks: JoinSet<()>,
}

/// Something to be done at the machine, by its only owner.
type Act = Box<dyn FnOnce(&mut Machine) + Send>;

enum Command {
    Act(Act),
    Call { from: String, number: String, replacing: Option<CallId>, told: oneshot::Sender<CallId> },
    Ear(CallId, oneshot::Sender<Option<Ear>>),
    Pair(SocketAddr),
    Voice(Voice),
    Fall(Site, oneshot::Sender<u32>),
    Part(Site, oneshot::Sender<u32>),
    Say(Site, Bytes),
}

enum Event {
    Received(Site, Connection, Message),
    Opened(Site, Connection, mpsc::Sender<Bytes>),
    Closed(Connection),
    Failed(String),
}

impl Proxy {
    /// Opens the three sites.
    ///
    /// # Errors
    /// [`ProxyError`]
    pub async fn start(options: Options) -> Result<Proxy, ProxyError> {
        let (server, client) = tls(&options).map_err(ProxyError::Tls)?;
        let (to_actor, events) = mpsc::channel(QUEUE_MAX);
        let (commands, commanded) = mpsc::channel(QUEUE_MAX);
        let (told, state) = watch::channel(State::default());
        let mut tasks = JoinSet::new();
        let mut listeners = Vec::new();
        let mut addresses = [options.sbc; 3];
        for (site, ip) in options.sites.into_iter().enumerate() {
            let listener = TcpListener::bind((ip, 0)).await?;
            if let Some(address) = addresses.get_mut(site) {
                *address = listener.local_addr()?;
            }
            let acceptor = TlsAcceptor::from(server.clone());
            listeners.push(tasks.spawn(accept(site, listener, acceptor, to_actor.clone())));
        }
        let machine =
            Machine::new(&options.fqdn, options.sbc.port(), addresses.map(|address| address.port()));
        let actor = Actor {
            machine,
            options,
            connector: TlsConnector::from(client),
            connections: HashMap::new(),
            usual: HashMap::new(),
            listeners,
            sounds: HashMap::new(),
            to_actor,
            state: told,
        };
        tasks.spawn(actor.run(events, commanded));
        Ok(Proxy { commands, state, addresses, _tasks: tasks })
    }

    /// Where the sites listen.
    pub fn addresses(&self) -> [SocketAddr; 3] {
        self.addresses
    }

    /// What was seen so far.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Waits until what was seen is so.
    ///
    /// # Errors
    /// [`ProxyError::Hung`]
    pub async fn until(&self, what: &str, seen: impl FnMut(&State) -> bool) -> Result<State, ProxyError> {
        let mut watched = self.state.clone();
        let hung = |state: &State| Hung {
            who: "the simulated proxy".to_owned(),
            what: what.to_owned(),
            last: format!("{state:?}"),
        };
        Ok(until(&mut watched, seen, hung).await?)
    }

    /// Says where the gateway listens, when it was started after the proxy.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn pair(&self, sbc: SocketAddr) -> Result<(), ProxyError> {
        self.commands.send(Command::Pair(sbc)).await.map_err(|_| ProxyError::Gone)
    }

    /// What calls from the gateway meet from now on.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn set_manner(&self, manner: Manner) -> Result<(), ProxyError> {
        self.act(move |machine| machine.set_manner(None, manner)).await
    }

    /// What they meet at one of the sites.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn set_manner_at(&self, site: Site, manner: Manner) -> Result<(), ProxyError> {
        self.act(move |machine| machine.set_manner(Some(site), manner)).await
    }

    /// What everybody says whose call begins from now on.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn set_voice(&self, voice: Voice) -> Result<(), ProxyError> {
        self.commands.send(Command::Voice(voice)).await.map_err(|_| ProxyError::Gone)
    }

    /// A site falls: its connections break, and nobody listens there any more. Returns when the gateway has seen it.
    ///
    /// # Errors
    /// [`ProxyError`]
    pub async fn fall(&self, site: Site) -> Result<(), ProxyError> {
        self.parted(|told| Command::Fall(site, told)).await
    }

    /// Every connection with a site is closed, by us; it listens, and may open new ones. Returns when the gateway has
    /// seen that they are closed.
    ///
    /// # Errors
    /// [`ProxyError`]
    pub async fn part(&self, site: Site) -> Result<(), ProxyError> {
        self.parted(|told| Command::Part(site, told)).await
    }

    async fn parted(&self, command: impl FnOnce(oneshot::Sender<u32>) -> Command) -> Result<(), ProxyError> {
        let (told, heard) = oneshot::channel();
        let before = self.state().closed;
        self.commands.send(command(told)).await.map_err(|_| ProxyError::Gone)?;
        let parted = heard.await.map_err(|_| ProxyError::Gone)?;
        self.until("the gateway sees its connections closed", |state| state.closed >= before + parted)
            .await?;
        Ok(())
    }

    /// Says octets of any kind to the gateway, on a new connection from a site.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn say(&self, site: Site, octets: Bytes) -> Result<(), ProxyError> {
        self.commands.send(Command::Say(site, octets)).await.map_err(|_| ProxyError::Gone)
    }

    /// Calls a number through the gateway.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn call(&self, from: &str, number: &str) -> Result<CallId, ProxyError> {
        self.place(from, number, None).await
    }

    /// Calls the gateway to take the place of a call (RFC 3891).
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn call_replacing(&self, replaced: CallId, from: &str) -> Result<CallId, ProxyError> {
        self.place(from, "", Some(replaced)).await
    }

    async fn place(&self, from: &str, number: &str, replacing: Option<CallId>) -> Result<CallId, ProxyError> {
        let (told, heard) = oneshot::channel();
        let (from, number) = (from.to_owned(), number.to_owned());
        let command = Command::Call { from, number, replacing, told };
        self.commands.send(command).await.map_err(|_| ProxyError::Gone)?;
        heard.await.map_err(|_| ProxyError::Gone)
    }

    /// Answers a call that rings.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn answer(&self, call: CallId) -> Result<(), ProxyError> {
        self.act(move |machine| machine.answer(call)).await
    }

    /// Lets a call speak that was answered 183, before its 200.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn speak_early(&self, call: CallId) -> Result<(), ProxyError> {
        self.act(move |machine| machine.speak_early(call)).await
    }

    /// From now on each request within a call comes from another site, on a new connection.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn roam(&self, call: CallId) -> Result<(), ProxyError> {
        self.act(move |machine| machine.roam(call)).await
    }

    /// Holds or resumes a call.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn hold(&self, call: CallId, held: bool) -> Result<(), ProxyError> {
        self.act(move |machine| machine.hold(call, held)).await
    }

    /// Changes the key of a call.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn rekey(&self, call: CallId) -> Result<(), ProxyError> {
        self.act(move |machine| machine.rekey(call)).await
    }

    /// Transfers a call to a user of Teams, or to a number.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn refer(
        &self,
        call: CallId,
        number: Option<&str>,
        goodbye: Goodbye,
    ) -> Result<(), ProxyError> {
        let number = number.map(str::to_owned);
        self.act(move |machine| {
            let to = number.as_deref().map_or(ReferTo::User, ReferTo::Number);
            machine.refer(call, to, goodbye);
        })
        .await
    }

    /// Transfers a call to a user with whom the transferor has talked: in a call with the gateway, or within Microsoft.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn refer_to_consulted(&self, call: CallId, consult: Option<CallId>) -> Result<(), ProxyError> {
        self.act(move |machine| machine.refer(call, ReferTo::Consulted(consult), Goodbye::InTime)).await
    }

    /// Refuses a call that rings.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn reject(&self, call: CallId, status: u16) -> Result<(), ProxyError> {
        self.act(move |machine| machine.reject(call, status)).await
    }

    /// Hangs up.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn bye(&self, call: CallId) -> Result<(), ProxyError> {
        self.act(move |machine| machine.bye(call)).await
    }

    /// The ear of a call's person, once there is sound.
    ///
    /// # Errors
    /// [`ProxyError::Gone`]
    pub async fn ear(&self, call: CallId) -> Result<Option<Ear>, ProxyError> {
        let (told, heard) = oneshot::channel();
        self.commands.send(Command::Ear(call, told)).await.map_err(|_| ProxyError::Gone)?;
        heard.await.map_err(|_| ProxyError::Gone)
    }

    async fn act(&self, act: impl FnOnce(&mut Machine) + Send + 'static) -> Result<(), ProxyError> {
        self.commands.send(Command::Act(Box::new(act))).await.map_err(|_| ProxyError::Gone)
    }
}

struct Actor {
    machine: Machine,
    options: Options,
    connector: TlsConnector,
    connections: HashMap<Connection, (Site, mpsc::Sender<Bytes>)>,
    /// Each site's listener, that it may fall.
    listeners: Vec<AbortHandle>,
    /// Each site's own connection to the gateway.
    usual: HashMap<Site, Connection>,
    sounds: HashMap<CallId, Sound>,
    to_actor: mpsc::Sender<Event>,
    state: watch::Sender<State>,
}

impl Actor {
    async fn run(mut self, mut events: mpsc::Receiver<Event>, mut commands: mpsc::Receiver<Command>) {
        loop {
            tokio::select! {
                Some(event) = events.recv() => self.event(event),
                command = commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => return,
                },
            }
            self.carry_out().await;
            let stages = (0..self.machine.calls()).map(|call| self.machine.stage(call)).collect();
            let seen = self.machine.seen.clone();
            self.state.send_modify(|state| (state.seen, state.stages) = (seen, stages));
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Received(site, connection, message) => self.machine.receive(site, connection, message),
            Event::Opened(site, connection, out) => {
                self.connections.insert(connection, (site, out));
                self.state.send_modify(|state| state.accepted += 1);
            }
            Event::Closed(connection) => {
                self.connections.remove(&connection);
                self.usual.retain(|_, usual| *usual != connection);
                self.state.send_modify(|state| state.closed += 1);
            }
            Event::Failed(why) => self.state.send_modify(|state| state.refused = Some(why)),
        }
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Act(act) => act(&mut self.machine),
            Command::Call { from, number, replacing, told } => {
                let id = self.machine.calls();
                let Some(at) = self.open_sound(id) else { return };
                let placed = match replacing {
                    Some(replaced) => self.machine.call_replacing(replaced, &from, at),
                    None => Some(self.machine.call(0, &from, &number, at)),
                };
                if let Some(placed) = placed {
                    // Who asked may have stopped waiting.
                    let _ = told.send(placed);
                }
            }
            Command::Pair(sbc) => {
                self.options.sbc = sbc;
                self.machine.pair(sbc.port());
            }
            Command::Voice(voice) => self.options.voice = voice,
            Command::Fall(site, told) => {
                if let Some(listener) = self.listeners.get(site) {
                    listener.abort();
                }
                self.part(site, told);
            }
            Command::Part(site, told) => self.part(site, told),
            Command::Say(site, octets) => self.send(site, Along::Fresh, octets).await,
            Command::Ear(call, told) => {
                let _ = told.send(self.sounds.get(&call).map(|sound| sound.ear.clone()));
            }
        }
    }

    fn part(&mut self, site: Site, told: oneshot::Sender<u32>) {
        let before = self.connections.len();
        // What is said on them is at its end; they are read until the gateway closes them, too.
        self.connections.retain(|_, (at, _)| *at != site);
        self.usual.remove(&site);
        let parted = u32::try_from(before - self.connections.len()).unwrap_or(u32::MAX);
        // Who asked may have stopped waiting.
        let _ = told.send(parted);
    }

    fn open_sound(&mut self, id: CallId) -> Option<SocketAddr> {
        match Sound::open(&format!("teams-{id}"), self.options.sites[0], self.options.voice.clone()) {
            Ok(sound) => {
                let at = sound.at;
                self.sounds.insert(id, sound);
                Some(at)
            }
            Err(error) => {
                self.state.send_modify(|state| state.refused = Some(format!("no sound: {error}")));
                None
            }
        }
    }

    async fn carry_out(&mut self) {
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Send { site, along, octets } => self.send(site, along, octets).await,
                Output::Incoming(call) => {
                    if let Some(at) = self.open_sound(call) {
                        self.machine.go_on(call, at);
                    }
                }
                Output::Media(call, media) => {
                    if let Some(sound) = self.sounds.get(&call) {
                        sound.agree(media);
                    }
                }
            }
        }
    }

    async fn send(&mut self, site: Site, along: Along, octets: Bytes) {
        let known = match along {
            Along::Back(connection) => Some(connection),
            Along::Usual => self.usual.get(&site).copied(),
            Along::Fresh => None,
        };
        let out = known.and_then(|connection| self.connections.get(&connection));
        let out = out.map(|(_, out)| out.clone());
        let out = match out {
            Some(out) => Some(out),
            None => self.dial(site).await,
        };
        if let Some(out) = out {
            // A connection that closed meanwhile loses what was on it, as any does.
            let _ = out.send(octets).await;
        }
    }

    /// A new connection to the gateway, from the site's own address.
    async fn dial(&mut self, site: Site) -> Option<mpsc::Sender<Bytes>> {
        match self.try_dial(site).await {
            Ok(out) => Some(out),
            Err(error) => {
                self.state.send_modify(|state| state.refused = Some(format!("{error:?}")));
                None
            }
        }
    }

    async fn try_dial(&mut self, site: Site) -> io::Result<mpsc::Sender<Bytes>> {
        let ip = self.options.sites.get(site).copied().unwrap_or(self.options.sites[0]);
        let socket = if ip.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(ip, 0))?;
        let stream = socket.connect(self.options.sbc).await?;
        let name = ServerName::try_from(self.options.fqdn.clone()).map_err(io::Error::other)?;
        let stream = self.connector.connect(name, stream).await?;
        let connection = crate::sim::random();
        let (out, to_send) = mpsc::channel(QUEUE_MAX);
        self.connections.insert(connection, (site, out.clone()));
        self.usual.insert(site, connection);
        carry(site, connection, stream, to_send, self.to_actor.clone());
        Ok(out)
    }
}

async fn accept(site: Site, listener: TcpListener, acceptor: TlsAcceptor, to_actor: mpsc::Sender<Event>) {
    loop {
        // A peer that is gone before it was taken is no trouble of the listener.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, to_actor) = (acceptor.clone(), to_actor.clone());
        tokio::spawn(async move {
            match acceptor.accept(stream).await {
                Ok(stream) => {
                    let connection = crate::sim::random();
                    let (out, to_send) = mpsc::channel(QUEUE_MAX);
                    if to_actor.send(Event::Opened(site, connection, out)).await.is_ok() {
                        carry(site, connection, stream, to_send, to_actor);
                    }
                }
                Err(error) => {
                    let _ = to_actor.send(Event::Failed(format!("{error:?}"))).await;
                }
            }
        });
    }
}

fn carry<S>(
    site: Site,
    connection: Connection,
    stream: S,
    to_send: mpsc::Receiver<Bytes>,
    to_actor: mpsc::Sender<Event>,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, write) = tokio::io::split(stream);
    tokio::spawn(read_messages(site, connection, read, to_actor));
    tokio::spawn(write_records(write, to_send));
}

async fn read_messages<S: AsyncRead>(
    site: Site,
    connection: Connection,
    mut stream: ReadHalf<S>,
    to_actor: mpsc::Sender<Event>,
) {
    let mut framer = Framer::new();
    let mut octets = [0; 4096];
    'open: while let Ok(length @ 1..) = stream.read(&mut octets).await {
        framer.push(&octets[..length]);
        while let Some(framed) = framer.next() {
            match framed {
                Framed::Message(raw) => match Message::parse_stream(raw) {
                    Ok(message) => {
                        if to_actor.send(Event::Received(site, connection, message)).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        let _ = to_actor.send(Event::Failed(format!("not a message: {error}"))).await;
                    }
                },
                Framed::Ping | Framed::Pong => {}
                Framed::Broken { .. } => break 'open,
            }
        }
    }
    let _ = to_actor.send(Event::Closed(connection)).await;
}

async fn write_records<S: AsyncWrite>(mut stream: WriteHalf<S>, mut to_send: mpsc::Receiver<Bytes>) {
    while let Some(octets) = to_send.recv().await {
        for piece in octets.chunks(RECORD_BYTES) {
            // Flushed one by one, so that each is a record of its own.
            if stream.write_all(piece).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
    }
    let _ = stream.shutdown().await;
}

type TlsError = Box<dyn std::error::Error + Send + Sync>;

fn tls(options: &Options) -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_slice_iter(options.chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(options.root.as_bytes()) {
        roots.add(root?)?;
    }
    let roots = Arc::new(roots);
    let key = || PrivateKeyDer::from_pem_slice(options.key.as_bytes());
    // Microsoft asks every SBC for its certificate, and takes nobody without.
    let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.clone(), key()?)?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key()?)?;
    Ok((Arc::new(server), Arc::new(client)))
}
