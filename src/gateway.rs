//! The composition root: builds doors, bridge, switchboard and API, and owns every long-lived task.

mod certificates;
mod prerequisites;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use sbc_config::Config;
use sidetone_media::codec::opus::Tuning;
use sidetone_media::tone::RingbackTone;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::acs::{self, Acs};
use crate::api::{self, ApiConfig, ApiState, Issuers, Readiness, SharedIssuers, SharedTokens, Tokens};
use crate::bridge::{Bridge, BridgeConfig, Music, StartError};
use crate::call::door::DoorName;
use crate::config;
use crate::observe::webhook::{Patience, Webhook, Webhooks};
use crate::observe::{
    Audience, Event, Journal as _, Ledger, LedgerSettings, Store, StoreError, metrics as names,
};
use crate::prereq::Engine;
use crate::rtc::{self, Browsers, Rtc};
use crate::sip::door::{self, Door};
use crate::sip::endpoint::EndpointConfig;
use crate::sip::names::ask::{self as dns, Asker, WORDS_MAX, Word};
use crate::sip::names::{Names, wanted};
use crate::sip::transport::{BindError, Limits, Listen, Wires};
use crate::sip::uri::Host;
use crate::switchboard::desk::{Answer, Desk, Request};
use crate::switchboard::gate::{self, Gate, QUESTIONS_MAX};
use crate::switchboard::{self, BRIDGE_EVENTS_MAX, DoorOrders, Lines, ORDERS_MAX, REPORTS_MAX};
use crate::tls::{Tls, files};

pub use prerequisites::recall;

/// How long the switchboard may take to hang everybody up and to record what it knows: what it allows far ends, and room for
/// a machine that is busy.
const HUNG_UP_MAX: Duration = switchboard::HANGING_UP_MAX.saturating_add(Duration::from_millis(500));

/// How long deliveries and requests that are under way may take when the gateway stops.
const STOPPING_MAX: Duration = Duration::from_secs(5);

/// How long the last writes may take after that: as long as the journal itself allows them, and time to say what it lost.
const WRITING_MAX: Duration = Duration::from_secs(6);

/// Where the configuration came from, and so whether it can change while the gateway runs.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file, followed for changes.
    File(PathBuf),
    /// Nowhere: it stays as it is.
    Fixed,
}

impl Source {
    fn directory(&self) -> &Path {
        match self {
            Source::File(path) => path.parent().unwrap_or(Path::new(".")),
            Source::Fixed => Path::new("."),
        }
    }
}

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The store.
    #[error("records and events cannot be kept (server.database)")]
    Store(#[from] StoreError),
    /// SIP.
    #[error(transparent)]
    Sip(#[from] BindError),
    /// Certificates, keys or roots.
    #[error("TLS cannot be spoken")]
    Tls(#[from] files::FileError),
    /// ACS.
    #[error(transparent)]
    Acs(#[from] acs::run::OpenError),
    /// WebRTC.
    #[error(transparent)]
    Rtc(#[from] rtc::run::OpenError),
    /// HTTP.
    #[error("could not listen for HTTP on {at}; is another program using it?")]
    Http {
        /// The address.
        at: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Media.
    #[error("the media bridge cannot start")]
    Media(#[from] StartError),
    /// The address of media.
    #[error("no media port can be opened on {at} (media.listen); is it an address of this machine?")]
    MediaAddress {
        /// The address.
        at: IpAddr,
        /// Why.
        source: io::Error,
    },
    /// Music on hold, or a prompt.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// Metrics.
    #[error("metrics cannot be set up")]
    Metrics(#[source] metrics_exporter_prometheus::BuildError),
    /// Webhooks.
    #[error("the HTTP client for webhooks and checks cannot be made")]
    Webhooks(#[source] reqwest::Error),
    /// The operating system has no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(getrandom::Error),
}

/// A running gateway.
pub struct Gateway {
    api: SocketAddr,
    sip_udp: Option<SocketAddr>,
    sip_tcp: Option<SocketAddr>,
    sip_tls: Option<SocketAddr>,
    acs: Option<SocketAddr>,
    webrtc: Option<SocketAddr>,
    desk: Desk,
    readiness: Arc<Readiness>,
    ledger: Ledger,
    webhooks: Arc<Webhooks>,
    /// Turns true to hang everybody up.
    hang_up: watch::Sender<bool>,
    /// Ends with the switchboard.
    hung_up: oneshot::Receiver<()>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    /// Writes the journal, and ends when that is closed.
    writer: JoinHandle<()>,
}

impl Gateway {
    /// Starts everything; when it returns, calls are taken.
    ///
    /// # Errors
    /// What could not be opened, and why. Nothing is left running then.
    pub async fn start(config: Config, source: Source) -> Result<Gateway, GatewayError> {
        // Two TLS users, one provider. An error says that it is installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let metrics = metrics_handle()?;
        let store = Store::open(config.server.database.expose()).await?;
        let settings = LedgerSettings {
            source: format!("urn:sidetone:{}", config.server.name),
            keep_events: config.server.events_kept,
            keep_records: config.server.records_kept,
        };
        let (ledger, writer) = Ledger::open(store, settings).await?;

        // Ports are opened call by call. That none can ever be is told now, and not by a 503 to every caller.
        let at = config.media.listen;
        std::net::UdpSocket::bind((at, 0)).map_err(|source| GatewayError::MediaAddress { at, source })?;
        let (bridge_events_in, bridge_events) = mpsc::channel(BRIDGE_EVENTS_MAX);
        let bridge = Bridge::start(bridge_config(&config, source.directory())?, bridge_events_in)?;
        let limits = Limits {
            connections: config.sip.tcp_connections_max,
            tls_connections: config.sip.tls_connections_max,
            message_bytes: config.sip.message_bytes_max,
            idle: config.sip.tcp_idle,
            handshake: config.sip.tls_handshake,
            half_open: config.sip.tls_half_open_max,
            ..Limits::default()
        };
        let listen = Listen { udp: config.sip.udp, tcp: config.sip.tcp, tls: config.sip.tls };
        let tls = Arc::new(Tls::new(files::load(&config, source.directory())?));
        let wires = Wires::bind(listen, tls.clone(), limits).await?;
        let (sip_udp, sip_tcp, sip_tls) = (wires.udp_addr(), wires.tcp_addr(), wires.tls_addr());
        let http = TcpListener::bind(config.api.listen)
            .await
            .map_err(|source| GatewayError::Http { at: config.api.listen, source })?;
        let api_addr = http.local_addr().unwrap_or(config.api.listen);

        if !config.emergency.enabled {
            tracing::warn!(
                "emergency calls are not set up: 112, 911 and their like are ordinary calls here, with every limit on \
                 them; whoever answers for the law of the place sets [emergency]"
            );
        }
        let tokens: SharedTokens = Arc::new(ArcSwap::from_pointee(Tokens::from(&config.tokens[..])));
        let webhooks =
            Arc::new(Webhooks::new(ledger.clone(), Patience::default()).map_err(GatewayError::Webhooks)?);
        webhooks.set(config.webhooks.iter().map(Webhook::from).collect());
        let api_config = ApiConfig::from(&config.api);
        let engine = Engine::new().map_err(GatewayError::Webhooks)?;
        engine.configure(&config.integrations);
        prerequisites::recall(&engine, ledger.store()).await?;
        let issuers = Issuers::of(&config).map_err(GatewayError::Webhooks)?;
        let issuers: SharedIssuers = Arc::new(ArcSwap::from_pointee(issuers));
        let endpoint = endpoint_config(&config, sip_udp, sip_tcp, sip_tls);
        let config = Arc::new(ArcSwap::from_pointee(config));
        let dns_names = Arc::new(ArcSwap::from_pointee(Names::new(&config.load().dns)));
        let asker = Asker::new(&config.load().dns);
        dns::refresh(&wanted(&config.load()), &dns_names, &asker).await;

        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(GatewayError::Randomness)?;
        let door = Door::new(config.clone(), dns_names.clone(), endpoint, seed, Instant::now());
        let (orders_in, orders) = mpsc::channel(ORDERS_MAX);
        let (reports_in, reports) = mpsc::channel(REPORTS_MAX);
        let (desk, asked) = Desk::new();
        let acs = if config.load().acs.is_empty() {
            None
        } else {
            let (orders_in, orders) = mpsc::channel(ORDERS_MAX);
            let pieces = acs::Pieces {
                config: config.clone(),
                bridge: bridge.clone(),
                orders,
                reports: reports_in.clone(),
                tls: tls.clone(),
                ledger: ledger.clone(),
            };
            Some((Acs::open(pieces).await?, orders_in))
        };
        let acs_addr = acs.as_ref().and_then(|(acs, _)| acs.local_addr());
        let browsers = Browsers::default();
        let (rtc_desk, asked_of_rtc) = rtc::Desk::new();
        let settings = config.load().webrtc.clone();
        let rtc = match settings.listen {
            None => None,
            Some(listen) => {
                let (orders_in, orders) = mpsc::channel(ORDERS_MAX);
                let pieces = rtc::Pieces {
                    config: config.clone(),
                    bridge: bridge.clone(),
                    browsers: browsers.clone(),
                    orders,
                    reports: reports_in.clone(),
                    asked: asked_of_rtc,
                };
                Some((Rtc::open(listen, &settings, own_address(listen.ip()), pieces)?, orders_in))
            }
        };
        let webrtc_addr = rtc.as_ref().and_then(|(rtc, _)| rtc.local_addr());
        let readiness = Arc::new(Readiness::default());
        let (stop, stopped) = watch::channel(false);
        let (hang_up, told_to_hang_up) = watch::channel(false);
        let (switchboard_lives, hung_up) = oneshot::channel();

        let mut tasks = JoinSet::new();
        let writer = tokio::spawn(writer.run());
        let (words_in, words) = mpsc::channel(WORDS_MAX);
        let (drains, draining) = watch::channel(false);
        let door = door::run(door, wires, orders, reports_in, words_in.clone(), draining);
        tasks.spawn(taking_calls("the SIP door", readiness.clone(), door));
        let mut doors = DoorOrders::from([(DoorName::Sip, orders_in)]);
        if let Some((acs, orders_in)) = acs {
            tasks.spawn(taking_calls("the ACS door", readiness.clone(), acs.run()));
            doors.insert(DoorName::Acs, orders_in);
        }
        let rtc_is_open = rtc.is_some();
        if let Some((rtc, orders_in)) = rtc {
            tasks.spawn(taking_calls("the WebRTC door", readiness.clone(), rtc.run()));
            doors.insert(DoorName::Rtc, orders_in);
        }
        let (gate, words_to_engine) = Gate::new();
        let (rulings_in, rulings) = mpsc::channel(QUESTIONS_MAX);
        tasks.spawn(gate::stand(engine.clone(), words_to_engine, rulings_in));
        let lines = Lines {
            reports,
            gate,
            rulings,
            doors,
            draining: drains,
            asked,
            bridge_events,
            bridge,
            journal: Arc::new(ledger.clone()),
            config: config.clone(),
            stop: told_to_hang_up,
        };
        let switchboard = async move {
            switchboard::run(lines).await;
            drop(switchboard_lives);
        };
        tasks.spawn(taking_calls("the switchboard", readiness.clone(), switchboard));
        tasks.spawn(until_stopped(tell_of_store(ledger.clone(), config.clone()), stopped.clone()));
        let keeper = dns::keep(config.clone(), dns_names.clone(), asker.clone(), words);
        tasks.spawn(until_stopped(keeper, stopped.clone()));
        let state = ApiState::new(
            desk.clone(),
            tokens.clone(),
            ledger.clone(),
            readiness.clone(),
            metrics,
            api_config,
        )
        .with_prerequisites(engine.clone(), issuers.clone())
        .with_configuration(config.clone());
        let state = if rtc_is_open { state.with_browsers(rtc_desk, browsers) } else { state };
        let kept = prerequisites::keep(engine, ledger.clone(), config.clone());
        tasks.spawn(until_stopped(kept, stopped.clone()));
        let until = stopped.clone();
        tasks.spawn(async move {
            if let Err(error) = api::serve(http, state, told_to_stop(until)).await {
                tracing::error!(%error, "the API has stopped");
            }
        });
        let beside = source.directory().to_owned();
        let certificates = certificates::follow(config.clone(), beside, tls, ledger.clone());
        tasks.spawn(until_stopped(certificates, stopped.clone()));
        if let Source::File(path) = source {
            let (reloaded, reloads) = mpsc::channel(1);
            tasks.spawn(until_stopped(config::follow(path, config.clone(), reloaded), stopped.clone()));
            let applied = apply_reloads(reloads, config, tokens, issuers, webhooks.clone(), words_in);
            tasks.spawn(until_stopped(applied, stopped));
        }
        readiness.set_listeners_up(true);
        Ok(Gateway {
            api: api_addr,
            sip_udp,
            sip_tcp,
            sip_tls,
            acs: acs_addr,
            webrtc: webrtc_addr,
            desk,
            readiness,
            ledger,
            webhooks,
            hang_up,
            hung_up,
            stop,
            tasks,
            writer,
        })
    }

    /// Where the API listens.
    pub fn api_addr(&self) -> SocketAddr {
        self.api
    }

    /// Where SIP over UDP listens.
    pub fn sip_udp_addr(&self) -> Option<SocketAddr> {
        self.sip_udp
    }

    /// Where SIP over TCP listens.
    pub fn sip_tcp_addr(&self) -> Option<SocketAddr> {
        self.sip_tcp
    }

    /// Where SIP over TLS listens.
    pub fn sip_tls_addr(&self) -> Option<SocketAddr> {
        self.sip_tls
    }

    /// Where the clouds of ACS are listened to.
    pub fn acs_addr(&self) -> Option<SocketAddr> {
        self.acs
    }

    /// Where browsers send their sound.
    pub fn webrtc_addr(&self) -> Option<SocketAddr> {
        self.webrtc
    }

    /// Takes no new calls and waits until the running ones are over, for at most `patience`.
    pub async fn drained(&self, patience: Duration) {
        self.readiness.set_draining();
        let over = async {
            let mut poll = tokio::time::interval(Duration::from_millis(200));
            loop {
                poll.tick().await;
                match self.desk.ask(operator(), Request::Drain).await {
                    Ok(Answer::Draining { calls: 0 }) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        if tokio::time::timeout(patience, over).await.is_err() {
            tracing::warn!("calls are still up after the time for draining; they are cut off");
        }
    }

    /// Stops everything. Running calls are hung up, so that nobody is left in one that is dead; what
    /// is known is written down.
    pub async fn stop(mut self) {
        self.readiness.set_draining();
        self.hang_up.send_replace(true);
        if tokio::time::timeout(HUNG_UP_MAX, &mut self.hung_up).await.is_err() {
            tracing::warn!("the switchboard has not recorded every call; stopping all the same");
        }
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let (ended, ()) =
            tokio::join!(tokio::time::timeout(STOPPING_MAX, ended), self.webhooks.close(STOPPING_MAX));
        if ended.is_err() {
            self.tasks.shutdown().await;
        }
        // Last, for what the others had to say while they ended.
        self.ledger.close();
        if tokio::time::timeout(WRITING_MAX, &mut self.writer).await.is_err() {
            tracing::error!("the store does not answer; the gateway stops with unwritten records");
            self.writer.abort();
        }
    }
}

/// Runs a task without which no call can be taken. However it ends, with a panic or by being dropped,
/// readiness goes with it, so that calls are sent elsewhere and somebody looks.
async fn taking_calls(what: &'static str, readiness: Arc<Readiness>, task: impl Future<Output = ()>) {
    let _ends = Ends { what, readiness };
    task.await;
}

/// Says when it is dropped that a task has ended.
struct Ends {
    what: &'static str,
    readiness: Arc<Readiness>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.readiness.set_listeners_up(false);
        if !self.readiness.draining() {
            tracing::error!(
                what = self.what,
                "a task without which no call is taken has ended; restart the gateway"
            );
        }
    }
}

/// Tells every tenant when events and records cannot be written, and why, and when they can again. Until then they
/// wait in memory, and calls go on.
async fn tell_of_store(ledger: Ledger, config: Arc<ArcSwap<Config>>) {
    let mut failure = ledger.store_failure();
    while failure.changed().await.is_ok() {
        let reason = failure.borrow_and_update().clone();
        for tenant in &config.load().tenants {
            ledger.event(Event {
                kind: if reason.is_some() { "store.down" } else { "store.up" },
                tenant: tenant.id.clone(),
                call: None,
                audience: Audience::default(),
                at: SystemTime::now(),
                data: serde_json::json!({ "detail": reason.as_deref().unwrap_or_default() }),
            });
        }
    }
}

/// The process itself, when it drains.
fn operator() -> crate::call::rights::Principal {
    crate::call::rights::Principal {
        token: "the process".to_owned(),
        actor: crate::call::rights::Actor::Operator,
    }
}

async fn told_to_stop(mut stop: watch::Receiver<bool>) {
    // An error means that the gateway is gone, which is as good as being told.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn until_stopped(task: impl Future<Output = ()>, stop: watch::Receiver<bool>) {
    tokio::select! {
        () = task => {}
        () = told_to_stop(stop) => {}
    }
}

async fn apply_reloads(
    mut reloads: mpsc::Receiver<()>,
    config: Arc<ArcSwap<Config>>,
    tokens: SharedTokens,
    issuers: SharedIssuers,
    webhooks: Arc<Webhooks>,
    renew_names: mpsc::Sender<Word>,
) {
    let mut before = config.load_full();
    while reloads.recv().await.is_some() {
        let config = config.load_full();
        forget_trunks(&before, &config);
        before = config.clone();
        tokens.store(Arc::new(Tokens::from(&config.tokens[..])));
        match Issuers::of(&config) {
            Ok(new) => issuers.store(Arc::new(new)),
            Err(error) => tracing::error!(%error, "the token issuers stay as they were"),
        }
        webhooks.set(config.webhooks.iter().map(Webhook::from).collect());
        // The keeper of names looks at the configuration whenever it wakes; a full queue wakes it, too.
        let _woken = renew_names.try_send(Word::Changed);
    }
}

/// A trunk that is no more is neither up nor down: its last 0 would keep an alarm going until the next start.
fn forget_trunks(before: &Config, config: &Config) {
    for gone in before.trunks.iter().filter(|trunk| config.trunk(&trunk.id).is_none()) {
        metrics::gauge!(names::TRUNK_UP, "trunk" => gone.id.to_string()).set(f64::NAN);
    }
}

/// The one recorder of this process: a second gateway in it, as in tests, shares the first one's.
fn metrics_handle() -> Result<metrics_exporter_prometheus::PrometheusHandle, GatewayError> {
    static HANDLE: std::sync::Mutex<Option<metrics_exporter_prometheus::PrometheusHandle>> =
        std::sync::Mutex::new(None);
    let mut handle = HANDLE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match &*handle {
        Some(handle) => Ok(handle.clone()),
        None => {
            let installed = names::install().map_err(GatewayError::Metrics)?;
            Ok(handle.insert(installed).clone())
        }
    }
}

/// Why a recording cannot be played.
#[derive(Debug, thiserror::Error)]
#[error("the recording {} of {setting} cannot be used", path.display())]
pub struct RecordingError {
    /// The setting that names it.
    pub setting: String,
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: hound::Error,
}

/// Every recording of a configuration whose file lies in `beside` that cannot be played, all of them at once.
pub fn unplayable(config: &Config, beside: &Path) -> Vec<RecordingError> {
    let music = config.media.music_on_hold.iter().map(|path| (MUSIC_ON_HOLD.to_owned(), path));
    let prompts = config.media.prompts.iter().map(|(name, path)| (prompt(name), path));
    music.chain(prompts).filter_map(|(setting, path)| recording(setting, path, beside).err()).collect()
}

const MUSIC_ON_HOLD: &str = "media.music_on_hold";

fn prompt(name: &str) -> String {
    format!("media.prompts.{name}")
}

fn recording(setting: String, path: &Path, beside: &Path) -> Result<Music, RecordingError> {
    let path = beside.join(path);
    Music::from_wav(&path).map_err(|source| RecordingError { setting, path, source })
}

fn music(config: &Config, beside: &Path) -> Result<Music, RecordingError> {
    match &config.media.music_on_hold {
        None => Ok(Music::BuiltIn),
        Some(path) => recording(MUSIC_ON_HOLD.to_owned(), path, beside),
    }
}

fn prompts(config: &Config, beside: &Path) -> Result<HashMap<Arc<str>, Music>, RecordingError> {
    let read =
        |(name, path): (&Arc<str>, &PathBuf)| Ok((name.clone(), recording(prompt(name), path, beside)?));
    config.media.prompts.iter().map(read).collect()
}

fn bridge_config(config: &Config, beside: &Path) -> Result<BridgeConfig, GatewayError> {
    let media = &config.media;
    let music = music(config, beside)?;
    Ok(BridgeConfig {
        bind: media.listen,
        advertised: media.advertised.unwrap_or(media.listen),
        ports: media.ports.first..=media.ports.last,
        shards: media.shards.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
        media_timeout: media.timeout,
        media_warn: media.warn,
        ringback: match media.ringback {
            sbc_config::RingbackTone::Us => RingbackTone::Us,
            sbc_config::RingbackTone::Eu => RingbackTone::Eu,
        },
        music,
        prompts: prompts(config, beside)?,
        behind_max: media.jitter_max,
        opus: Tuning {
            bitrate: media.opus_kbps * 1000,
            complexity: u8::try_from(media.opus_complexity).unwrap_or(Tuning::DEFAULT.complexity),
            ..Tuning::DEFAULT
        },
    })
}

fn endpoint_config(
    config: &Config,
    udp: Option<SocketAddr>,
    tcp: Option<SocketAddr>,
    tls: Option<SocketAddr>,
) -> EndpointConfig {
    let sip = &config.sip;
    let advertised = |bound: Option<SocketAddr>| -> Option<(Host, u16)> {
        let bound = bound?;
        match &sip.advertised {
            Some(host) => Some((crate::sip::door::host(host), bound.port())),
            // Bound to every address: the one a peer reaches us by is known per message only.
            None if bound.ip().is_unspecified() => Some((Host::from(own_address(bound.ip())), bound.port())),
            None => Some((Host::from(bound.ip()), bound.port())),
        }
    };
    EndpointConfig {
        advertised_udp: advertised(udp),
        advertised_tcp: advertised(tcp),
        advertised_tls: advertised(tls),
        user_agent: sip.user_agent.to_string(),
        datagram_max: sip.udp_bytes_max,
        ..EndpointConfig::default()
    }
}

/// The address this machine uses towards the outside, by asking the kernel's routing table; nothing
/// is sent. Loopback if there is no outside.
fn own_address(unspecified: IpAddr) -> IpAddr {
    let outside = |bind: &str, far: &str| -> io::Result<IpAddr> {
        let socket = std::net::UdpSocket::bind(bind)?;
        socket.connect(far)?;
        Ok(socket.local_addr()?.ip())
    };
    let found = match unspecified {
        // Addresses for documentation (RFC 5737, RFC 3849): routed like any other, owned by nobody.
        IpAddr::V4(_) => outside("0.0.0.0:0", "192.0.2.1:9"),
        IpAddr::V6(_) => outside("[::]:0", "[2001:db8::1]:9"),
    };
    found.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_dies_takes_readiness_with_it() {
        for dies in [true, false] {
            let readiness = Arc::new(Readiness::default());
            readiness.set_listeners_up(true);
            let task = async move { assert!(!dies, "a defect") };
            let ended = tokio::spawn(taking_calls("a task", readiness.clone(), task)).await;
            assert_eq!(ended.is_err(), dies);
            assert!(!readiness.listeners_up());
        }
    }
}
