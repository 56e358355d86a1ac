//! A stand-in for Azure Communication Services: the rules of Call Automation, its callbacks, its streams, its tokens.
//!
//! It is written from the published interface and shares with the gateway the shapes of requests and the check of
//! signatures; Microsoft's own SDK, unmodified, is what keeps it honest (`tests/acs`). What the real service enforces it
//! enforces; what the real service may do to us (twice, late, never, in another order) it does when [`Faults`] say so.

pub mod control;
pub mod entra;
mod issuer;
mod media;
mod rest;
mod service;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
pub use tokio_tungstenite::tungstenite::Message;

use crate::acs::rest::uuid;
use crate::acs::sign::AccessKey;
use crate::acs::wire::MediaStreaming;
use crate::sim::voice::Voice;

pub use entra::Entra;
pub use issuer::{FLAWS, Flaw, ISSUER, Issuer, RESOURCE};
use media::Control;
pub use media::{StreamFigures, Talker};

/// The access key of the simulated resource, in base64.
pub const ACCESS_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A host name that stands for the gateway in the addresses it gives: it is reached where [`AcsSim::gateway_is_at`] says,
/// as by an entry in a hosts file.
pub const GATEWAY_HOST: &str = "gateway.test";

/// How often something is looked at that nobody tells.
const LOOK: Duration = Duration::from_millis(20);

/// What the service does wrong, or only unpleasantly.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Every event comes twice.
    pub duplicates: bool,
    /// ParticipantsUpdated comes before CallConnected, and both before the answer to the request.
    pub early: bool,
    /// Events of these types never come.
    pub lost: Vec<String>,
    /// Events come so many milliseconds later.
    pub delay_ms: u64,
    /// So many requests are refused with 429 and `Retry-After: 0`.
    pub throttled: u32,
    /// So many requests are carried out and answered with 503.
    pub answers_lost: u32,
    /// What is wrong with the tokens on callbacks and streams.
    pub token: Flaw,
    /// What is wrong with those on streams alone.
    pub stream_token: Option<Flaw>,
    /// Operations that are refused, by the ends of their paths.
    pub refused: Vec<String>,
    /// What the service says where it has words for people.
    pub words: String,
    /// What is wrong with the tokens on Event Grid's deliveries.
    pub delivery_token: Flaw,
    /// A stream begins with this in place of its metadata.
    pub first_frame: Option<String>,
    /// Callback addresses need not be https.
    pub plain_http: bool,
}

/// What somebody does who is called.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Answers, and speaks.
    Answers(Voice),
    /// Rings until [`AcsSim::answers`] or the end.
    Rings(Voice),
    /// Does not: code and subcode of the failure.
    Fails(u16, u32),
}

/// Something that happened at the service, for those who judge.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A request: method, target without query, status answered.
    Request(String, String, u16),
    /// An event that was sent: its type, and the status it was answered with; 0 if it did not arrive.
    Event(String, u16),
    /// An Event Grid delivery, and the status it was answered with.
    Delivery(u16),
}

/// A request and its answer, whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exchange {
    /// The method.
    pub method: String,
    /// The path, without query.
    pub path: String,
    /// What was asked; null without a body.
    pub request: Value,
    /// What was answered.
    pub status: u16,
    /// And with what; null without a body.
    pub answer: Value,
}

/// Events about a call as a whole.
const OF_CALLS: [&str; 5] =
    ["CallConnected", "CallDisconnected", "AnswerFailed", "CreateCallFailed", "ConnectFailed"];

/// Requests and events that are kept whole.
const KEPT_MAX: usize = 10_000;

/// The service.
#[derive(Clone)]
pub struct AcsSim(Arc<Inner>);

pub(super) struct Inner {
    address: SocketAddr,
    key: AccessKey,
    issuer: Issuer,
    world: Mutex<World>,
    journal: watch::Sender<Vec<Entry>>,
}

#[derive(Default)]
struct World {
    gateway: Option<Gateway>,
    ringing: HashMap<String, Ringing>,
    calls: HashMap<String, Call>,
    behaviours: HashMap<String, Behaviour>,
    names: HashMap<String, String>,
    /// What somebody's system gives along when they call: SIP headers.
    brought: HashMap<String, Map<String, Value>>,
    /// Whose tokens are believed beside signatures.
    entra: Option<Entra>,
    /// What a gateway is told to ask with, in place of the key.
    credential: Option<String>,
    /// All that was asked and told, for those who judge the wire.
    exchanges: Vec<Exchange>,
    told: Vec<Value>,
    /// Answers by Repeatability-Request-ID.
    repeated: HashMap<String, (u16, Value)>,
    faults: Faults,
}

/// Where the gateway is.
#[derive(Clone)]
struct Gateway {
    address: SocketAddr,
    http: reqwest::Client,
    /// How it is spoken to over TLS, if it is.
    tls: Option<Arc<rustls::ClientConfig>>,
}

struct Ringing {
    from: String,
    to: String,
    voice: Voice,
    correlation: String,
    until: Timestamp,
}

impl Ringing {
    fn new(from: &str, to: &str, voice: Voice) -> Ringing {
        let (from, to) = (from.to_owned(), to.to_owned());
        let until = Timestamp::now() + jiff::SignedDuration::from_secs(30);
        Ringing { from, to, voice, correlation: uuid(), until }
    }
}

struct Call {
    server_call: String,
    correlation: String,
    callback: String,
    context: Option<String>,
    state: &'static str,
    source: String,
    targets: Vec<String>,
    sequence: u64,
    held: Vec<String>,
    muted: Vec<String>,
    /// Whose keys are told by events, and how many were.
    watched: Vec<String>,
    presses: u64,
    /// To whom digits are played just now.
    keyed: Vec<String>,
    talkers: Arc<Mutex<Vec<Talker>>>,
    streaming: Option<MediaStreaming>,
    stream: Option<mpsc::Sender<Control>>,
    figures: watch::Sender<StreamFigures>,
}

impl AcsSim {
    /// Starts the service on a free port of loopback.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start() -> std::io::Result<AcsSim> {
        AcsSim::start_at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// Starts the service at an address.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start_at(address: SocketAddr) -> std::io::Result<AcsSim> {
        let listener = TcpListener::bind(address).await?;
        // A provider of TLS must be named, even where nothing uses it. An error says that one is.
        let _named = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let inner = Arc::new(Inner {
            address: listener.local_addr()?,
            key: AccessKey::from_base64(ACCESS_KEY).expect("the key is base64"),
            issuer: Issuer::new(),
            world: Mutex::default(),
            journal: watch::Sender::new(Vec::new()),
        });
        tokio::spawn(rest::serve(listener, inner.clone()));
        Ok(AcsSim(inner))
    }

    /// Its endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// A configuration that has a gateway use this resource for a tenant; with more of `[acs_listener]`, and of the
    /// resource.
    pub fn config(&self, tenant: &str, number: &str, listener: &str, more: &str) -> String {
        self.config_of("127.0.0.1:0", tenant, number, listener, more)
    }

    /// The same for a gateway that listens somewhere in particular.
    pub fn config_of(&self, listen: &str, tenant: &str, number: &str, listener: &str, more: &str) -> String {
        let endpoint = self.endpoint();
        let credential = self.0.world().credential.clone();
        let credential = credential.unwrap_or_else(|| "access_key_file = \"acs-key\"".to_owned());
        format!(
            "[acs_listener]\nlisten = \"{listen}\"\n{listener}\n[[acs]]\nid = \"contoso\"\ntenant = \"{tenant}\"\n\
             endpoint = \"{endpoint}\"\n{credential}\ncallback_url = \"https://{GATEWAY_HOST}\"\n\
             issuer = \"{ISSUER}\"\nresource_id = \"{RESOURCE}\"\njwks_url = \"{endpoint}/keys\"\n\
             webhook_secret_file = \"acs-webhook\"\ncaller_id = \"{number}\"\nanswers = [\"{number}\"]\n{more}\n"
        )
    }

    /// Believes tokens of this authority beside signatures, and delivers with its tokens. With a `credential`, gateways are
    /// told to ask with that.
    pub fn trusts(&self, entra: &Entra, credential: Option<&str>) {
        let mut world = self.0.world();
        world.entra = Some(entra.clone());
        world.credential = credential.map(str::to_owned);
    }

    /// Where the gateway listens for us: over TLS, if there is a root to believe it by.
    ///
    /// # Errors
    /// The root is none.
    pub fn gateway_is_at(&self, address: SocketAddr, root: Option<&str>) -> Result<(), NoRoot> {
        let (http, tls) = match root {
            None => (crate::client::http().build()?, None),
            Some(root) => {
                let tls = believing(root)?;
                let http = reqwest::Client::builder()
                    .tls_backend_preconfigured(tls.clone())
                    .resolve(GATEWAY_HOST, address)
                    .build()?;
                (http, Some(Arc::new(tls)))
            }
        };
        self.0.world().gateway = Some(Gateway { address, http, tls });
        Ok(())
    }

    /// What goes wrong just now.
    pub fn faults_now(&self) -> Faults {
        self.0.world().faults.clone()
    }

    /// What goes wrong from now on.
    pub fn faults(&self, faults: Faults) {
        self.0.world().faults = faults;
    }

    /// What somebody does when called; who is not named here is not there.
    pub fn behaves(&self, raw_id: &str, behaviour: Behaviour) {
        self.0.world().behaviours.insert(raw_id.to_owned(), behaviour);
    }

    /// A subscription introduces itself at `webhook` (path and query), as CloudEvents do or in Event Grid's way. True if it
    /// may deliver from now on, as Event Grid judges.
    pub async fn subscribes(&self, webhook: &str, name: &str, cloud_events: bool) -> bool {
        let Some(url) = self.0.reach(&format!("https://{GATEWAY_HOST}{webhook}")) else { return false };
        let authorization = {
            let world = self.0.world();
            world.entra.as_ref().and_then(|entra| entra.delivery(world.faults.delivery_token))
        };
        let origin = "eventgrid.azure.net";
        let mut asking = if cloud_events {
            self.0.http().request(reqwest::Method::OPTIONS, url).header("webhook-request-origin", origin)
        } else {
            let body = json!([{ "id": uuid(), "topic": "/sim", "subject": "", "eventTime": Timestamp::now().to_string(),
                "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "dataVersion": "1", "metadataVersion": "1",
                "data": { "validationCode": "the-code", "validationUrl": "https://eventgrid.test/validate" } }]);
            let request = self.0.http().post(url).header("aeg-event-type", "SubscriptionValidation");
            request.header("aeg-subscription-name", name.to_uppercase()).json(&body)
        };
        if let Some(authorization) = authorization.filter(|_| !cloud_events) {
            asking = asking.header("authorization", authorization);
        }
        let Ok(answer) = asking.send().await else { return false };
        let right = answer.status() == reqwest::StatusCode::OK;
        if cloud_events {
            // A status alone is no consent.
            let allowed = answer.headers().get("webhook-allowed-origin");
            return right && allowed.is_some_and(|allowed| allowed == origin || allowed == "*");
        }
        let said: Value = answer.json().await.unwrap_or_default();
        right && said["validationResponse"] == "the-code"
    }

    /// Somebody is shown under a name when they call.
    pub fn is_named(&self, raw_id: &str, name: &str) {
        self.0.world().names.insert(raw_id.to_owned(), name.to_owned());
    }

    /// Somebody's system gives these SIP headers along when they call, as an SBC sets them.
    pub fn brings(&self, raw_id: &str, headers: Map<String, Value>) {
        self.0.world().brought.insert(raw_id.to_owned(), headers);
    }

    /// Somebody calls a number of the resource; the secret that answers the call. Event Grid tells the gateway at
    /// `webhook` (path and query), in CloudEvents or its own schema.
    pub fn call(&self, from: &str, to: &str, voice: Voice, webhook: &str, cloud_events: bool) -> String {
        let context = format!("context-{}", uuid());
        let ringing = Ringing::new(from, to, voice);
        let correlation = ringing.correlation.clone();
        let (name, brought) = {
            let mut world = self.0.world();
            world.ringing.insert(context.clone(), ringing);
            (world.names.get(from).cloned().unwrap_or_default(), world.brought.get(from).cloned())
        };
        let mut data = json!({ "to": rest::identifier(to), "from": rest::identifier(from), "serverCallId": "c2lt",
            "callerDisplayName": name, "incomingCallContext": context, "correlationId": correlation });
        if let Some(brought) = brought.filter(|brought| !brought.is_empty()) {
            data["customContext"] = json!({ "sipHeaders": brought, "voipHeaders": {} });
        }
        let (id, now) = (uuid(), Timestamp::now().to_string());
        let body = if cloud_events {
            json!({ "id": id, "source": "/sim", "subject": "/caller", "data": data, "time": now,
                "type": "Microsoft.Communication.IncomingCall", "specversion": "1.0" })
        } else {
            json!([{ "id": id, "topic": "/sim", "subject": "/caller", "data": data, "eventTime": now,
                "eventType": "Microsoft.Communication.IncomingCall", "dataVersion": "1.0", "metadataVersion": "1" }])
        };
        let (inner, webhook) = (self.0.clone(), webhook.to_owned());
        tokio::spawn(async move { inner.deliver(&webhook, &body).await });
        context
    }

    /// Somebody calls a number of the resource, and no gateway is told: this context answers it.
    pub fn rings(&self, context: &str, from: &str, to: &str) {
        let ringing = Ringing::new(from, to, Voice::Silence);
        self.0.world().ringing.insert(context.to_owned(), ringing);
    }

    /// A call connection of this name is up, with these in it, and without callbacks that reach anybody.
    pub fn has_call(&self, connection: &str, who: &[&str]) {
        let streaming = MediaStreaming {
            transport_type: "websocket".to_owned(),
            transport_url: None,
            content_type: None,
            audio_channel_type: "mixed".to_owned(),
            start_media_streaming: None,
            enable_bidirectional: None,
            audio_format: None,
            enable_dtmf_tones: None,
        };
        let talkers: Vec<_> = who.iter().map(|raw| Talker::new(raw, Voice::Silence, 16_000)).collect();
        let call = Call {
            state: "connected",
            talkers: Arc::new(talkers.into()),
            ..rest::new_call(String::new(), None, Some(streaming))
        };
        self.0.world().calls.insert(connection.to_owned(), call);
    }

    /// The call connections that are up, by who is in them.
    pub fn connections(&self) -> HashMap<String, Vec<String>> {
        let world = self.0.world();
        let up = world.calls.iter().filter(|(_, call)| call.state == "connected");
        let of = |call: &Call| lock(&call.talkers).iter().map(|talker| talker.raw_id().to_owned()).collect();
        up.map(|(id, call)| (id.clone(), of(call))).collect()
    }

    /// Every call there is, for people: its state, who is in it or called, and what its stream did.
    pub fn calls(&self) -> Vec<Value> {
        let world = self.0.world();
        let ringing = world.ringing.iter().map(|(context, ringing)| {
            json!({ "state": "ringing", "context": context, "from": ringing.from, "to": ringing.to })
        });
        let begun = world.calls.iter().map(|(connection, call)| {
            let who: Vec<String> =
                lock(&call.talkers).iter().map(|talker| talker.raw_id().to_owned()).collect();
            json!({ "state": call.state, "connection": connection, "who": who, "held": call.held,
                "stream": *call.figures.borrow() })
        });
        begun.chain(ringing).collect()
    }

    /// Somebody in a call, to listen to.
    pub fn talker(&self, raw_id: &str) -> Option<Talker> {
        let world = self.0.world();
        let calls = world.calls.values().filter(|call| call.state == "connected");
        calls.flat_map(|call| lock(&call.talkers).clone()).find(|talker| talker.raw_id() == raw_id)
    }

    /// What the stream of somebody's call did so far.
    pub fn figures(&self, raw_id: &str) -> Option<StreamFigures> {
        let connection = self.connection_of(raw_id)?;
        self.0.world().calls.get(&connection).map(|call| *call.figures.borrow())
    }

    /// Waits until the stream of somebody's call is as wanted.
    ///
    /// # Errors
    /// It never was.
    pub async fn until_figures(
        &self,
        raw_id: &str,
        what: &str,
        wanted: impl Fn(&StreamFigures) -> bool,
    ) -> Result<StreamFigures, crate::sim::Hung> {
        let hung = |last: String| crate::sim::Hung { who: raw_id.to_owned(), what: what.to_owned(), last };
        let connected = async {
            let mut looks = tokio::time::interval(LOOK);
            loop {
                looks.tick().await;
                let connection = self.connection_of(raw_id);
                let world = self.0.world();
                if let Some(call) = connection.and_then(|connection| world.calls.get(&connection)) {
                    return call.figures.subscribe();
                }
            }
        };
        let connected = tokio::time::timeout(crate::sim::HUNG_AFTER, connected).await;
        let mut watched = connected.map_err(|_| hung("in no call".into()))?;
        crate::sim::until(&mut watched, wanted, |last| hung(format!("{last:?}"))).await
    }

    /// Somebody presses a key: it is told over the stream, or by events, or not at all, as was asked for.
    pub async fn presses(&self, raw_id: &str, digit: char) {
        let Some(connection) = self.connection_of(raw_id) else { return };
        let (over_stream, sequence) = {
            let mut world = self.0.world();
            let Some(call) = world.calls.get_mut(&connection) else { return };
            let over_stream = call.streaming.as_ref().and_then(|streaming| streaming.enable_dtmf_tones);
            let subscribed = call.watched.iter().any(|watched| watched == raw_id);
            call.presses += u64::from(subscribed);
            (over_stream == Some(true), subscribed.then_some(call.presses))
        };
        if over_stream {
            self.control(raw_id, Control::Digit(digit)).await;
        }
        if let Some(sequence) = sequence {
            let more = json!({ "sequenceId": sequence, "tone": crate::acs::wire::tone(digit) });
            self.0.emit(&connection, "ContinuousDtmfRecognitionToneReceived", Some((200, 0)), more).await;
        }
    }

    /// The media connection of somebody's call is lost, and dialled anew after a while.
    pub async fn drops_stream(&self, raw_id: &str, for_: Duration) {
        self.control(raw_id, Control::Drop(for_)).await;
    }

    /// The service tells who is in somebody's call, once more.
    pub async fn tells_participants(&self, raw_id: &str) {
        if let Some(connection) = self.connection_of(raw_id) {
            self.0.tell_participants(&connection).await;
        }
    }

    /// A call that somebody else has at the resource, with callbacks to them; its connection.
    pub fn has_call_of_another(&self, callback: &str) -> String {
        let connection = uuid();
        let call = Call { state: "connected", ..rest::new_call(callback.to_owned(), None, None) };
        self.0.world().calls.insert(connection.clone(), call);
        connection
    }

    /// The media connection of somebody's call is lost, and dialled anew at another rate. Ears begin anew: ask for
    /// [`AcsSim::talker`] again.
    pub async fn changes_rate(&self, raw_id: &str, rate: u32) {
        self.control(raw_id, Control::Rate(rate)).await;
    }

    /// The media connection of somebody's call carries this message, too.
    pub async fn streams(&self, raw_id: &str, message: Message) {
        self.control(raw_id, Control::Raw(message)).await;
    }

    /// Somebody is in another's call from now on, and speaks.
    pub fn joins(&self, raw_id: &str, of: &str, voice: Voice) {
        let Some(connection) = self.connection_of(of) else { return };
        if let Some(call) = self.0.world().calls.get(&connection) {
            let rate = rest::rate_of(call.streaming.as_ref());
            lock(&call.talkers).push(Talker::new(raw_id, voice, rate));
        }
    }

    /// Somebody who rings answers. False if nobody rings there.
    pub async fn answers(&self, raw_id: &str) -> bool {
        let ringing = {
            let world = self.0.world();
            let rings =
                |call: &&Call| call.state == "connecting" && call.targets.iter().any(|raw| raw == raw_id);
            world.calls.iter().find(|(_, call)| rings(call)).map(|(id, _)| id.clone())
        };
        if let Some(connection) = &ringing {
            self.0.connected(connection).await;
        }
        ringing.is_some()
    }

    /// How many calls ring somewhere.
    pub fn ringing(&self) -> usize {
        self.0.world().calls.values().filter(|call| call.state == "connecting").count()
    }

    /// Waits until so many calls ring. A request is answered, and in the journal, before what it does has happened, as it is
    /// with the service.
    ///
    /// # Errors
    /// [`Hung`](crate::sim::Hung): others do, or nobody.
    pub async fn until_ringing(&self, count: usize) -> Result<(), crate::sim::Hung> {
        let come_to = async {
            let mut looks = tokio::time::interval(LOOK);
            while self.ringing() != count {
                looks.tick().await;
            }
        };
        let hung = |_| crate::sim::Hung {
            who: "ACS".to_owned(),
            what: format!("{count} calls that ring"),
            last: format!("{} ring", self.ringing()),
        };
        tokio::time::timeout(crate::sim::HUNG_AFTER, come_to).await.map_err(hung)
    }

    /// Somebody hangs up.
    pub async fn hangs_up(&self, raw_id: &str) {
        if let Some(connection) = self.connection_of(raw_id) {
            self.0.end(&connection, 0, 560_000).await;
        }
    }

    /// Where events of somebody's call go, as it can be reached.
    pub fn callback_of(&self, raw_id: &str) -> Option<String> {
        let connection = self.connection_of(raw_id)?;
        let callback = self.0.world().calls.get(&connection).map(|call| call.callback.clone())?;
        self.0.reach(&callback)
    }

    /// Requests and their answers.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.0.world().exchanges.clone()
    }

    /// Events as they were sent.
    pub fn told(&self) -> Vec<Value> {
        self.0.world().told.clone()
    }

    /// All that happened.
    pub fn journal(&self) -> Vec<Entry> {
        self.0.journal.borrow().clone()
    }

    /// Waits until something has happened.
    ///
    /// # Errors
    /// It never did.
    pub async fn until(&self, what: &str, seen: impl Fn(&[Entry]) -> bool) -> Result<(), crate::sim::Hung> {
        let hung = |last: &Vec<Entry>| crate::sim::Hung {
            who: "ACS".to_owned(),
            what: what.to_owned(),
            last: format!("{last:?}"),
        };
        crate::sim::until(&mut self.0.journal.subscribe(), |all| seen(all), hung).await.map(drop)
    }

    /// The value of an Authorization header as on callbacks, with a flaw.
    pub fn authorization(&self, flaw: Flaw) -> Option<String> {
        self.0.issuer.authorization(Timestamp::now(), flaw)
    }

    async fn control(&self, raw_id: &str, control: Control) {
        let Some(connection) = self.connection_of(raw_id) else { return };
        let stream = self.0.world().calls.get(&connection).and_then(|call| call.stream.clone());
        if let Some(stream) = stream {
            // A stream that is gone needs no telling.
            let _gone = stream.send(control).await;
        }
    }

    fn connection_of(&self, raw_id: &str) -> Option<String> {
        let found = self.connections().into_iter().find(|(_, who)| who.iter().any(|one| one == raw_id));
        found.map(|(connection, _)| connection)
    }
}

/// Why a root cannot be believed in.
#[derive(Debug, thiserror::Error)]
#[error("this is no root certificate")]
pub struct NoRoot;

impl From<reqwest::Error> for NoRoot {
    fn from(_: reqwest::Error) -> NoRoot {
        NoRoot
    }
}

fn believing(root: &str) -> Result<rustls::ClientConfig, NoRoot> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let mut roots = rustls::RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(root.as_bytes()).map_err(|_| NoRoot)?;
    roots.add(root).map_err(|_| NoRoot)?;
    Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
