//! The task that gives the door a clock, its clients and its listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use sbc_config::{AcsId, Config};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::bridge::Bridge;
use crate::call::door::{Order, Report};
use crate::call::{LegEvent, LegId};
use crate::connections;
use crate::observe::{Ledger, StoreError};
use crate::tls::{Tls, TlsError};

use super::callback::Event;
use super::door::{Door, Failure, Stream, Wanted, Why};
use super::grid::IncomingCall;
use super::leftover::{Leftover, WORDS_MAX, Word};
use super::operation::Operation;
use super::resources::Resources;
use super::rest::{BadEndpoint, Client, RestError};
use super::routes::{self, House, PathKey};
use super::wire::{CallConnection, without_nulls};

/// What waits to be handled. When it is full, callbacks wait and are at last sent again.
const INPUTS_MAX: usize = 4096;

/// Requests on their way at one time. Beyond it they queue in our memory, one for each leg.
const ASKING_MAX: usize = 256;

/// How long the last requests may take when the gateway stops.
const LAST_REQUESTS_MAX: Duration = Duration::from_secs(3);

/// How long the store may take for what is over by then.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// What reaches the door from outside.
#[derive(Debug)]
pub(super) enum Input {
    /// A call rings.
    Call(AcsId, IncomingCall),
    /// An event at a leg's address, of a resource.
    Event(AcsId, LegId, Event),
    /// Something about a leg's stream.
    Stream(LegId, Stream),
    /// What came of an operation.
    Done(AcsId, LegId, Why, Result<CallConnection, Failure>),
}

/// What the door is connected to.
pub struct Pieces {
    /// The configuration in force.
    pub config: Arc<ArcSwap<Config>>,
    /// The bridge, for the wires of legs.
    pub bridge: Bridge,
    /// Orders of the switchboard.
    pub orders: mpsc::Receiver<Order>,
    /// Reports to it.
    pub reports: mpsc::Sender<Report>,
    /// The certificates.
    pub tls: Arc<Tls>,
    /// Where it is noted which connections are up.
    pub ledger: Ledger,
}

/// Why the door did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The listener.
    #[error("could not listen for ACS on {at}; is another program using it?")]
    Listen {
        /// The address.
        at: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A resource's address.
    #[error(transparent)]
    Endpoint(#[from] BadEndpoint),
    /// A resource's key.
    #[error("the access key of ACS resource {0} is not base64")]
    AccessKey(AcsId),
    /// The identity of this machine.
    #[error("no Entra identity to ask ACS resource {resource} with")]
    Entra {
        /// The resource.
        resource: AcsId,
        /// Why.
        source: Box<azure_core::Error>,
    },
    /// HTTP.
    #[error("the HTTP client for ACS cannot be made")]
    Http(#[source] reqwest::Error),
    /// The store.
    #[error("what an earlier life left behind cannot be read")]
    Store(#[from] StoreError),
    /// No randomness for secrets.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(getrandom::Error),
}

/// The door, open and not yet running.
pub struct Acs {
    door: Door,
    listener: connections::Door,
    house: Arc<House>,
    inputs: mpsc::Receiver<Input>,
    leftover: Leftover,
    pieces: Pieces,
}

impl Acs {
    /// Opens the listener and makes a client for each resource.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(pieces: Pieces) -> Result<Acs, OpenError> {
        let config = pieces.config.load_full();
        let http = crate::client::http().build().map_err(OpenError::Http)?;
        let resources = Arc::new(Resources::open(pieces.config.clone(), http)?);
        let at = config.acs_listener.listen;
        let listener = TcpListener::bind(at).await.map_err(|source| OpenError::Listen { at, source })?;
        let listener = connections::Door::new(listener, config.acs_listener.connections_max);
        let listener = match config.acs_listener.certificate {
            Some(_) => listener.private(as_whom(pieces.config.clone(), pieces.tls.clone())),
            None => listener,
        };
        let key = PathKey::random().map_err(OpenError::Randomness)?;
        let (inputs_in, inputs) = mpsc::channel(INPUTS_MAX);
        let door = Door::new(pieces.config.clone(), Box::new(key.clone()));
        let (words_in, words) = mpsc::channel(WORDS_MAX);
        let house = House::new(&config, pieces.bridge.clone(), key, resources, inputs_in, words_in);
        let house = Arc::new(house);
        let ledger = pieces.ledger.clone();
        // Before the first new one is noted.
        let left = ledger.store().acs_connections(ledger.source()).await?;
        let leftover = Leftover { ledger, house: house.clone(), words, left };
        Ok(Acs { door, listener, house, inputs, leftover, pieces })
    }

    /// Where the clouds are listened to.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        axum::serve::Listener::local_addr(&self.listener).ok()
    }

    /// Runs until the switchboard is gone.
    pub async fn run(self) {
        let Acs { mut door, listener, house, mut inputs, leftover, pieces } = self;
        let Pieces { mut orders, reports, .. } = pieces;
        let mut tasks = JoinSet::new();
        // Both end with the door, however that ends.
        let mut beside = JoinSet::new();
        beside.spawn(routes::serve(listener, house.clone()));
        let mut noting = JoinSet::new();
        noting.spawn(leftover.run());
        let room = Arc::new(Semaphore::new(ASKING_MAX));
        // Set when the switchboard is gone. Calls that were told to end are ended at ACS, too.
        let mut until = None;
        loop {
            while let Some(wanted) = door.poll() {
                match wanted {
                    // Waiting here slows callbacks down, which is what a full switchboard needs.
                    Wanted::Report(report) => {
                        // A switchboard that is gone wants to know nothing.
                        let _gone = reports.send(report).await;
                    }
                    Wanted::Press(leg, digit) => {
                        if !house.sockets.press(leg, digit) {
                            // Nobody hears it, and a supervisor's key still counts.
                            let _gone = reports.send(Report::Leg(leg, LegEvent::Digit(digit))).await;
                        }
                    }
                    Wanted::Names(leg, names) => {
                        let over = names.is_none();
                        let connection = names.as_ref().and_then(|names| names.connection.clone());
                        let word = match (house.connection_of(leg), connection) {
                            (None, Some(connection)) => door
                                .resource_of(leg)
                                .map(|resource| Word::Up(resource.to_string(), connection)),
                            (Some(connection), None) if over => Some(Word::Over(connection)),
                            _ => None,
                        };
                        if word.is_some_and(|word| house.words.try_send(word).is_err()) {
                            tracing::warn!("the store is too slow to note which call connections are up");
                        }
                        house.note(leg, names);
                        if over {
                            house.resources.forget(|resource| door.has_legs_of(resource));
                        }
                    }
                    Wanted::Ask(asking) => {
                        let (room, back) = (room.clone(), house.inputs.clone());
                        // As it is now: a secret may have changed.
                        let resource = house.resources.get(asking.resource.as_str());
                        tasks.spawn(async move {
                            let Ok(_permit) = room.acquire().await else { return };
                            let done = match resource {
                                Some(resource) => ask(&resource.client, asking.leg, &asking.operation).await,
                                None => Err(not_configured()),
                            };
                            // A door that is gone wants to know nothing.
                            let done = Input::Done(asking.resource, asking.leg, asking.why, done);
                            let _gone = back.send(done).await;
                        });
                    }
                }
            }
            if until.is_some() && door.legs() == 0 && tasks.is_empty() {
                break;
            }
            let wake = door.poll_timeout();
            tokio::select! {
                order = orders.recv(), if until.is_none() => match order {
                    Some(order) => survive(|| door.order(Instant::now(), order)),
                    None => until = Some(Instant::now() + LAST_REQUESTS_MAX),
                },
                Some(input) = inputs.recv() => {
                    let now = Instant::now();
                    survive(|| match input {
                        Input::Call(resource, call) => door.incoming(now, Timestamp::now(), &resource, call),
                        Input::Event(resource, leg, event) => door.event(now, &resource, leg, event),
                        Input::Stream(leg, what) => door.stream(now, leg, what),
                        Input::Done(resource, leg, why, done) => door.done(now, &resource, leg, why, done),
                    });
                }
                Some(_) = tasks.join_next() => {}
                () = sleep_until(wake) => survive(|| door.handle_timeout(Instant::now())),
                () = sleep_until(until), if until.is_some() => {
                    tracing::warn!("not every last request reached ACS; the next start ends what is left");
                    break;
                }
            }
        }
        let noted = async {
            // Behind all words before it.
            let _gone = house.words.send(Word::Stop).await;
            noting.join_next().await
        };
        if tokio::time::timeout(LAST_WORDS_MAX, noted).await.is_err() {
            tracing::warn!("the store is too slow to note which call connections are over");
        }
    }
}

/// The certificate of the listener, as configuration and files are at the moment.
fn as_whom(config: Arc<ArcSwap<Config>>, tls: Arc<Tls>) -> connections::AsWhom {
    Arc::new(move || {
        let config = config.load();
        let certificate = config.acs_listener.certificate.as_ref().ok_or(TlsError::NoIdentity)?;
        tls.material().http_server_config(certificate.as_str())
    })
}

async fn ask(client: &Client, leg: LegId, operation: &Operation) -> Result<CallConnection, Failure> {
    let mut answer = client.ask(operation).await.map_err(|error| {
        log(leg, &error);
        Failure { is_gone: error.is_gone(), cause: error.cause(), detail: error.detail() }
    })?;
    without_nulls(&mut answer);
    // Most operations answer with something else, or nothing, which nobody needs.
    Ok(serde_json::from_value(answer).unwrap_or_default())
}

/// The service's numbers, and what it calls the request; its words may name people and are for debug.
fn log(leg: LegId, error: &RestError) {
    match error {
        RestError::Refused { status, operation, code, request_id, message } => {
            if [401, 403].contains(status) {
                tracing::warn!(
                    %leg, operation, status, code, request_id,
                    "ACS does not let us; check the access key, the clock and the resource"
                );
            } else {
                tracing::info!(%leg, operation, status, code, request_id, "ACS refuses an operation");
            }
            tracing::debug!(%leg, message, "because");
        }
        other => {
            use std::error::Error as _;
            tracing::info!(%leg, error = %other, because = ?other.source(), "an operation failed");
        }
    }
}

fn not_configured() -> Failure {
    let detail = "the ACS resource is not configured".to_owned();
    Failure { is_gone: false, cause: crate::call::Cause::Internal, detail }
}

/// A defect met while one thing is handled must not take the door from everybody.
fn survive(step: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(step)).is_err() {
        tracing::error!("a defect in the ACS door; what it was doing is lost, the door goes on");
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
