//! A whole gateway on loopback and the people around it: a customer behind a carrier, agents and supervisors.
//!
//! The gateway runs in this process with free ports and a store in a folder of its own; everything it is asked goes
//! over its public interfaces, SIP, RTP and HTTP. Each person hums a tone of their own, away from the notes and octaves
//! of the built-in music and from ringing, and [`levels`] measures who hears whom.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use sbc_config::{Config, Finding, SecretSource as _};
use serde_json::json;
use thiserror::Error;
use tokio::time::MissedTickBehavior;

use super::acs::AcsSim;
use super::authority::{Authority, NotMade, Wanted};
use super::phone::{NoTls, Options, Phone, PhoneError, Srtp, Tls, Transport};
use super::voice::Voice;
use super::{HUNG_AFTER, Hung, random, random_token};
use crate::gateway::{Gateway, GatewayError, Source};
use crate::sip::uri::{Uri, UriError};
use api::{Api, ApiError, Call, Events, Supervision};
use levels::{Expected, Heard, LISTEN_PACKETS, LevelError, Limit, UNHEARD_DBFS, WrongLevel};

pub mod api;
mod config;
pub mod levels;

pub use config::{
    ABSENT_NUMBER, ALICES_NUMBER, CARRIER_IP, CHAIN_FILE, CONFIG_FILE, KEY_FILE, TEAM_NUMBER, TokenOf,
    UNKNOWN_NUMBER, WEBHOOK, WEBHOOK_SECRET, WENDYS_NUMBER,
};
use config::{OUR_NAME, PASSWORD, Passwords, config_text};

/// What people sound like.
const TONES: [(&str, f64); 5] =
    [("customer", 738.0), ("alice", 604.5), ("bob", 1141.0), ("sam", 905.8), ("sue", 1281.0)];

/// How long phones register for.
const REGISTER_FOR: Duration = Duration::from_secs(300);

/// Media ports lie below the range from which the kernel gives out ports, so that no telephone takes one.
const FIRST_PORT: u16 = 10_000;
/// Ports of one stage: 64 legs.
const PORTS: u16 = 128;
/// Stages side by side before the ports begin again.
const STAGES: u16 = 160;
/// How much of an ear is searched at a time for a voice that should never be there: 0.8 s. One leaked packet of a voice at
/// -20 dBFS shows as -52 in it; the edges of other voices that come and go stay under -70.
const NEVER_SAMPLES: usize = 6400;
/// How often a condition that the gateway does not tell by an event is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Somebody with a telephone and a tone.
pub struct Person {
    /// The telephone.
    pub phone: Phone,
    /// The tone it hums.
    pub hz: f64,
}

impl Person {
    /// Their name; that of an agent or supervisor is their id in the configuration too.
    pub fn name(&self) -> &str {
        self.phone.name()
    }
}

/// The gateway and the people.
pub struct Stage {
    /// Calls from outside, over the trunk.
    pub customer: Person,
    /// An agent, extension 100, registered.
    pub alice: Person,
    /// Another agent, extension 101, registered.
    pub bob: Person,
    /// A supervisor, extension 200, registered.
    pub sam: Person,
    /// Another supervisor, extension 201, at a fixed contact.
    pub sue: Person,
    /// The API, with Sam's token.
    pub api: Api,
    /// What the tenant is told.
    pub events: Events,
    life: Life,
    gateway: Gateway,
    sip: SocketAddr,
    media_ports: RangeInclusive<u16>,
    _folder: Folder,
}

/// What a stage can be given.
#[derive(Clone, Default)]
pub struct Setting {
    /// Where the store goes; a temporary folder otherwise.
    pub folder: Option<PathBuf>,
    /// The codecs of the gateway, best first, as the configuration has them; G.711 mu-law first otherwise.
    pub codecs: Option<String>,
    /// More of the `[supervision]` section.
    pub supervision: String,
    /// An ACS resource of the tenant: its service.
    pub acs: Option<AcsSim>,
    /// More of the `[acs_listener]` section.
    pub acs_listener: String,
    /// More settings of that resource.
    pub acs_more: String,
    /// Whether the gateway can die: it has threads of its own then, which [`Stage::crash`] stops where they are.
    pub mortal: bool,
    /// Whether the configuration lies in the folder, as [`CONFIG_FILE`], and is followed there.
    pub followed: bool,
    /// Whether there is a WebRTC door, and with it Wendy, an agent at extension 110, and Walter, a supervisor at 210, who
    /// have browsers and no telephones.
    pub browsers: bool,
    /// Whether browsers may come over TCP as well.
    pub browsers_over_tcp: bool,
    /// Whether the carrier and Sam's telephone come over TLS with SRTP, and must, and ACS over TLS; the others stay as they
    /// are.
    pub protected: bool,
}

/// Why the stage does not stand, or something on it did not happen.
#[derive(Debug, Error)]
pub enum StageError {
    /// The gateway did not start.
    #[error("the gateway does not start")]
    Gateway(#[from] GatewayError),
    /// Its configuration is wrong.
    #[error("the stage's configuration is wrong: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<Finding>),
    /// It has no SIP address.
    #[error("the gateway does not listen for SIP over UDP")]
    NoSip,
    /// Its certificate is not believed by ACS.
    #[error("ACS does not believe the gateway's certificate")]
    Root(#[from] super::acs::NoRoot),
    /// Its certificate could not be made.
    #[error("no certificate for the gateway")]
    Certificate(#[from] NotMade),
    /// A telephone has no TLS.
    #[error("no TLS for a telephone")]
    Tls(#[from] NoTls),
    /// A telephone did not do its part.
    #[error("the telephone of {who}")]
    Phone {
        /// Whose.
        who: String,
        /// What went wrong.
        source: PhoneError,
    },
    /// The API refused.
    #[error("the API, asked to {what}")]
    Api {
        /// What was asked.
        what: &'static str,
        /// What went wrong.
        source: ApiError,
    },
    /// The store has no folder.
    #[error("no folder for the store")]
    Folder(#[from] io::Error),
    /// No such address.
    #[error("no SIP address")]
    Address(#[from] UriError),
    /// Something waited for never came.
    #[error(transparent)]
    Hung(#[from] Hung),
    /// Levels are wrong.
    #[error(transparent)]
    Levels(#[from] LevelError),
    /// The call has no such leg.
    #[error("the call has no leg of {0}")]
    NoLeg(String),
}

impl Stage {
    /// Starts the gateway and plugs the telephones in; agents and Sam register.
    pub async fn start(setting: Setting) -> Result<Self, StageError> {
        let folder = Folder::new(setting.folder.as_deref())?;
        let sue = person(Options::new("sue")).await?;
        let media_ports = media_ports();
        let authority = setting.protected.then(|| Authority::new("stage")).transpose()?;
        if let Some(authority) = &authority {
            let leaf = authority.issue(&Wanted::new([OUR_NAME, super::acs::GATEWAY_HOST]))?;
            std::fs::write(folder.path().join(CHAIN_FILE), &leaf.chain)?;
            std::fs::write(folder.path().join(KEY_FILE), &leaf.key)?;
        }
        let text = config_text(&setting, folder.path(), &media_ports, sue.phone.address());
        let config = Config::parse(&text, &Passwords).map_err(StageError::Config)?;
        let source = if setting.followed {
            for file in ["alice", "bob", "dave", "sam", "stranger", "acs-key", "acs-webhook"] {
                std::fs::write(folder.path().join(file), Passwords.file(file).unwrap_or_default())?;
            }
            let file = folder.path().join(CONFIG_FILE);
            std::fs::write(&file, &text)?;
            Source::File(file)
        } else {
            Source::Fixed
        };
        let life = Life::new(setting.mortal)?;
        let gateway = life.live(Gateway::start(config, source)).await?;
        if let (Some(acs), Some(address)) = (&setting.acs, gateway.acs_addr()) {
            acs.gateway_is_at(address, authority.as_ref().map(Authority::root))?;
        }
        let sip = gateway.sip_udp_addr().ok_or(StageError::NoSip)?;
        let protect = |options: Options| -> Result<Options, StageError> {
            let (Some(authority), Some(sip_tls)) = (&authority, gateway.sip_tls_addr()) else {
                return Ok(options);
            };
            let tls = Tls::new(authority.root(), OUR_NAME, None)?;
            let (transport, srtp) = (Transport::Tls, Srtp::Always);
            Ok(Options { transport, srtp, tls: Some(tls), server: Some(sip_tls), ..options })
        };
        let customer = person(protect(Options { ip: CARRIER_IP, ..Options::new("customer") })?).await?;

        let with = |name: &str| Options {
            server: Some(sip),
            password: Some(PASSWORD.to_owned()),
            ..Options::new(name)
        };
        let (alice, bob, sam) =
            (person(with("alice")).await?, person(with("bob")).await?, person(protect(with("sam"))?).await?);
        for person in [&alice, &bob, &sam] {
            person.phone.register(REGISTER_FOR).await.map_err(at(person))?;
        }
        let unreachable = |source| StageError::Api { what: "be there", source };
        let api = Api::new(gateway.api_addr(), TokenOf::Sam.clear()).map_err(unreachable)?;
        let events = Events::follow(&api.with_token(TokenOf::Crm.clear())).await.map_err(unreachable)?;
        Ok(Self {
            customer,
            alice,
            bob,
            sam,
            sue,
            api,
            events,
            life,
            gateway,
            sip,
            media_ports,
            _folder: folder,
        })
    }

    /// Where the gateway takes SIP over UDP.
    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// Where the gateway takes SIP over TCP.
    pub fn sip_tcp(&self) -> Option<SocketAddr> {
        self.gateway.sip_tcp_addr()
    }

    /// Where the gateway takes SIP over TLS.
    pub fn sip_tls(&self) -> Option<SocketAddr> {
        self.gateway.sip_tls_addr()
    }

    /// Where the gateway listens for ACS.
    pub fn acs(&self) -> Option<SocketAddr> {
        self.gateway.acs_addr()
    }

    /// The gateway of a stage that was set so dies on the spot: nobody is told, nothing more is written.
    pub fn crash(self) {
        let Stage { mut life, gateway, .. } = self;
        life.end();
        drop(gateway);
    }

    /// Where the gateway takes the sound of browsers.
    pub fn webrtc(&self) -> Option<SocketAddr> {
        self.gateway.webrtc_addr()
    }

    /// Where the gateway takes requests.
    pub fn http(&self) -> SocketAddr {
        self.gateway.api_addr()
    }

    /// The ports of the gateway's RTP and RTCP sockets.
    pub fn media_ports(&self) -> RangeInclusive<u16> {
        self.media_ports.clone()
    }

    /// The API with another token.
    pub fn api_of(&self, token: TokenOf) -> Api {
        self.api.with_token(token.clear())
    }

    /// A link that signs somebody in to the console, made with this token.
    pub async fn sign_in_link(&self, token: TokenOf, person: Option<&str>) -> Result<String, StageError> {
        let made = self.api_of(token).sign_in_link(person).await;
        made.map_err(|source| StageError::Api { what: "make a sign-in link", source })
    }

    /// Another telephone that knows the gateway, with the options of one on this stage.
    pub fn options(&self, name: &str) -> Options {
        Options { server: Some(self.sip), password: Some(PASSWORD.to_owned()), ..Options::new(name) }
    }

    /// Everybody.
    pub fn cast(&self) -> [&Person; 5] {
        [&self.customer, &self.alice, &self.bob, &self.sam, &self.sue]
    }

    /// A number or name at the gateway.
    pub fn address(&self, user: &str) -> Result<Uri, StageError> {
        Ok(Uri::sip_at(Some(user), self.sip)?)
    }

    /// The customer dials; the answer is not waited for.
    pub async fn customer_dials(&self, number: &str) -> Result<(), StageError> {
        let target = self.address(number)?;
        self.customer.phone.dial(target).await.map_err(at(&self.customer))
    }

    /// The customer dials and an agent answers; the call as the API shows it.
    pub async fn customer_reaches(&self, number: &str, agent: &Person) -> Result<Call, StageError> {
        self.customer_dials(number).await?;
        self.customer.phone.talking().await.map_err(at(&self.customer))?;
        agent.phone.talking().await.map_err(at(agent))?;
        let name = agent.name().to_owned();
        self.until_call("two talking parties", move |call| {
            call.state == "talking" && call.leg_of(&name).is_some_and(|leg| leg.presence == "talking")
        })
        .await
    }

    /// Waits until one of the live calls is as wanted, and gives it.
    pub async fn until_call(&self, what: &str, wanted: impl Fn(&Call) -> bool) -> Result<Call, StageError> {
        let crm = self.api_of(TokenOf::Crm);
        let look = async || {
            let calls = crm.calls().await.map_err(|source| StageError::Api { what: "list calls", source })?;
            Ok(calls.into_iter().find(|call| wanted(call)))
        };
        self.until(what, look).await
    }

    /// Waits until no call is left.
    pub async fn until_no_call(&self) -> Result<(), StageError> {
        let crm = self.api_of(TokenOf::Crm);
        let look = async || {
            let calls = crm.calls().await.map_err(|source| StageError::Api { what: "list calls", source })?;
            Ok(calls.is_empty().then_some(()))
        };
        self.until("the end of all calls", look).await
    }

    /// Waits until every media port of the gateway is free again.
    pub async fn until_ports_free(&self) -> Result<(), StageError> {
        let free = |port: u16| std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        let look = async || Ok(self.media_ports().all(free).then_some(()));
        self.until("free media ports", look).await
    }

    /// Waits until a supervision is as wanted, and gives it.
    pub async fn until_supervision(
        &self,
        id: &str,
        what: &str,
        wanted: impl Fn(&Supervision) -> bool,
    ) -> Result<Supervision, StageError> {
        let look = async || {
            let seen = self.api_of(TokenOf::Crm).supervision(id).await;
            let seen = seen.map_err(|source| StageError::Api { what: "show a supervision", source })?;
            Ok(wanted(&seen).then_some(seen))
        };
        self.until(what, look).await
    }

    async fn until<T>(
        &self,
        what: &str,
        look: impl AsyncFn() -> Result<Option<T>, StageError>,
    ) -> Result<T, StageError> {
        let hung = || Hung { who: "the stage".to_owned(), what: what.to_owned(), last: "not so".to_owned() };
        let looking = async {
            let mut looks = tokio::time::interval(LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                looks.tick().await;
                if let Some(found) = look().await? {
                    return Ok(found);
                }
            }
        };
        tokio::time::timeout(HUNG_AFTER, looking).await.map_err(|_| hung())?
    }

    /// Sam is rung and joins; the supervision once it is active.
    pub async fn sam_joins(&self, call: &Call, role: &str) -> Result<Supervision, StageError> {
        self.joins(&self.sam, TokenOf::Sam, call, role).await
    }

    /// A supervisor is rung and joins; the supervision once it is active.
    pub async fn joins(
        &self,
        who: &Person,
        token: TokenOf,
        call: &Call,
        role: &str,
    ) -> Result<Supervision, StageError> {
        let api = self.api_of(token);
        // The end of an earlier call is not that of this one, which may not have rung yet.
        let before = who.phone.status().talks;
        let asked = api.supervise(&call.id, json!({ "role": role })).await;
        let asked = asked.map_err(|source| StageError::Api { what: "supervise", source })?;
        who.phone.until("another call answered", |status| status.talks > before).await.map_err(at(who))?;
        self.until_supervision(&asked.id, "an active supervision", |seen| seen.state == "active").await
    }

    /// Measures what each of these parties hears; all listen at the same time.
    pub async fn measure(&self, expected: &[Expected<'_>]) -> Result<Vec<Heard>, StageError> {
        self.measure_packets(expected, LISTEN_PACKETS).await
    }

    /// The same over as many packets.
    pub async fn measure_packets(
        &self,
        expected: &[Expected<'_>],
        packets: usize,
    ) -> Result<Vec<Heard>, StageError> {
        let cast = self.cast();
        let measures = expected.iter().map(|row| {
            let cast = &cast;
            async move { row.measure(cast, packets).await.map_err(at(row.ear)) }
        });
        try_join_all(measures).await
    }

    /// Each of these parties hears exactly what is expected.
    pub async fn assert_hears(&self, expected: &[Expected<'_>]) -> Result<(), StageError> {
        let heard = self.measure(expected).await?;
        let wrong: Vec<_> = expected.iter().zip(&heard).flat_map(|(row, heard)| row.judge(heard)).collect();
        if wrong.is_empty() { Ok(()) } else { Err(LevelError::Wrong(wrong).into()) }
    }

    /// Nowhere in all that reached this ear in its call is the other's tone, not even for one packet.
    pub async fn assert_never_heard(&self, ear: &Person, mouth: &Person) -> Result<(), StageError> {
        let heard = ear.phone.ear().await.map_err(at(ear))?.since(0);
        let measured = heard.loudest_of(mouth.hz, NEVER_SAMPLES);
        if measured <= UNHEARD_DBFS {
            return Ok(());
        }
        let limit = Limit::AtMost(UNHEARD_DBFS);
        let wrong =
            WrongLevel { ear: ear.name().to_owned(), mouth: mouth.name().to_owned(), measured, limit };
        Err(LevelError::Wrong(vec![wrong]).into())
    }

    /// Stops the gateway.
    pub async fn stop(self) {
        self.gateway.stop().await;
    }
}

/// Names the person in a telephone's error.
pub fn at(person: &Person) -> impl Fn(PhoneError) -> StageError {
    let who = person.name().to_owned();
    move |source| StageError::Phone { who: who.clone(), source }
}

async fn person(options: Options) -> Result<Person, StageError> {
    let name = options.name.clone();
    let hz = TONES.iter().find(|(known, _)| *known == name).map_or(0.0, |(_, hz)| *hz);
    let phone = Phone::start(Options { voice: Voice::tone(hz), ..options }).await;
    let phone = phone.map_err(|source| StageError::Phone { who: name, source })?;
    Ok(Person { phone, hz })
}

/// Where the gateway runs: with everybody else, or on threads that can be stopped where they are.
struct Life(Option<tokio::runtime::Runtime>);

impl Life {
    fn new(mortal: bool) -> io::Result<Life> {
        let own = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        Ok(Life(mortal.then(own).transpose()?))
    }

    async fn live<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> T {
        match &self.0 {
            None => task.await,
            Some(own) => match own.spawn(task).await {
                Ok(done) => done,
                Err(ended) => std::panic::resume_unwind(ended.into_panic()),
            },
        }
    }

    fn end(&mut self) {
        if let Some(own) = self.0.take() {
            // Waited for, so that nothing runs any more when what the tasks hold on to is let go; and on a thread that
            // may wait.
            let ends = std::thread::spawn(move || own.shutdown_timeout(HUNG_AFTER));
            assert!(ends.join().is_ok(), "the threads of a gateway do not end");
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(own) = self.0.take() {
            own.shutdown_background();
        }
    }
}

/// A range of media ports that no other stage of this process has, and hardly one of another process.
pub(in crate::sim) fn media_ports() -> RangeInclusive<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    static FIRST: std::sync::OnceLock<u16> = std::sync::OnceLock::new();
    let first = *FIRST.get_or_init(|| (random() % u64::from(STAGES)) as u16);
    let slot = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % STAGES;
    let low = FIRST_PORT + slot * PORTS;
    low..=low + PORTS - 1
}

/// A folder for the store: given, or temporary and gone with the stage.
pub(in crate::sim) struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    pub(in crate::sim) fn new(given: Option<&Path>) -> io::Result<Self> {
        let temporary = given.is_none();
        let path = given.map_or_else(
            || std::env::temp_dir().join(format!("sidetone-stage-{}", random_token())),
            Path::to_owned,
        );
        std::fs::create_dir_all(&path)?;
        Ok(Self { path, temporary })
    }

    pub(in crate::sim) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            // The gateway may still write its last lines; what is left in the temporary folder is the system's affair.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
