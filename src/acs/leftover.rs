//! What an earlier life of the gateway left behind at ACS: call connections with somebody in them whom nobody here talks to.
//!
//! Calls do not survive a restart, and ACS does not know that: it would keep a caller in a dead call until they give up. So
//! the names of connections are kept in the store while they are up, and those that are there at the start are ended. One
//! whose name was not written in time makes itself known: its events, and its stream when ACS dials it anew, come to addresses
//! whose secrets are not of this life. Such a word, if it is signed by ACS, makes us ask ACS about the connection; only when
//! ACS says that its callbacks go to an address of ours, from another life, is it ended. Nothing is done on the word alone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::observe::{Audience, AuditRecord, Event, Journal as _, Ledger, metrics as names};

use super::operation::Operation;
use super::resources::Resource;
use super::routes::House;
use super::wire::CallConnection;

/// News that wait to be written. When there are more, the store is down, and what is not written is not ended after a crash.
pub(super) const WORDS_MAX: usize = 4096;

/// Connections ended at one time.
const ENDING_MAX: usize = 8;

/// How often an end is tried when ACS cannot be asked, beyond what the client itself tries, and after which pause at first.
const TRIES_MAX: u32 = 6;
const PAUSE: Duration = Duration::from_secs(5);

/// Strangers that were asked about, so that each word after the first costs nothing.
const STRANGERS_MAX: usize = 1024;

/// What is told of connections.
#[derive(Debug)]
pub(super) enum Word {
    /// One is up, of this resource.
    Up(String, String),
    /// One is over.
    Over(String),
    /// ACS speaks of one of this resource that nobody here knows.
    Stranger(String, String),
    /// There will be no more.
    Stop,
}

/// What became of one that was left over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Somebody was in it, and is let go.
    Ended,
    /// It was over already.
    Gone,
    /// ACS cannot be asked; the next start tries again.
    Failed,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Outcome::Ended => "ended",
            Outcome::Gone => "gone",
            Outcome::Failed => "failed",
        }
    }
}

/// Keeps the store equal to what is up, and ends what is left over.
pub(super) struct Leftover {
    pub(super) ledger: Ledger,
    pub(super) house: Arc<House>,
    pub(super) words: mpsc::Receiver<Word>,
    /// Resource and name of what is left.
    pub(super) left: Vec<(String, String)>,
}

impl Leftover {
    /// Runs until nobody tells anything any more.
    pub(super) async fn run(self) {
        let Leftover { ledger, house, mut words, left } = self;
        let (room, mut ending) = (Arc::new(Semaphore::new(ENDING_MAX)), JoinSet::new());
        let mut strangers = HashSet::new();
        let see_to = |ending: &mut JoinSet<()>, resource: String, connection: String, asks: bool| {
            let Some(resource) = house.resources.get(&resource) else {
                return tracing::warn!(
                    resource,
                    "a call of an earlier life is at a resource that is configured no more"
                );
            };
            let (ledger, house, room) = (ledger.clone(), house.clone(), room.clone());
            ending.spawn(async move {
                let Ok(_place) = room.acquire().await else { return };
                if !asks || is_of_an_earlier_life(&house, &resource, &connection).await {
                    end(&ledger, &resource, &connection).await;
                }
            });
        };
        for (resource, connection) in left {
            see_to(&mut ending, resource, connection, false);
        }
        loop {
            let word = tokio::select! {
                word = words.recv() => word,
                Some(_) = ending.join_next() => continue,
            };
            let written = match word {
                Some(Word::Up(resource, connection)) => {
                    ledger.store().keep_acs_connection(ledger.source(), &resource, &connection).await
                }
                Some(Word::Over(connection)) => {
                    ledger.store().forget_acs_connection(ledger.source(), &connection).await
                }
                Some(Word::Stranger(resource, connection)) => {
                    if strangers.len() >= STRANGERS_MAX {
                        strangers.clear();
                    }
                    if strangers.insert(connection.clone()) && !house.knows(&connection) {
                        see_to(&mut ending, resource, connection, true);
                    }
                    Ok(())
                }
                Some(Word::Stop) | None => return,
            };
            if let Err(error) = written {
                tracing::warn!(%error, "a call connection is not noted; a crash now would leave its caller in a dead call");
            }
        }
    }
}

/// Asks ACS where the events of a connection go.
async fn is_of_an_earlier_life(house: &House, resource: &Resource, connection: &str) -> bool {
    let connection = connection.to_owned();
    match resource.client.connection(&Operation::Get { connection }).await {
        Ok(CallConnection { callback_uri: Some(uri), .. }) => {
            house.gave_in_an_earlier_life(&resource.acs, uri.expose())
        }
        Ok(_) => false,
        Err(error) => {
            tracing::debug!(%error, "nothing is known of a connection that nobody here knows");
            false
        }
    }
}

async fn end(ledger: &Ledger, resource: &Resource, connection: &str) {
    let (mut outcome, mut pause) = (Outcome::Failed, PAUSE);
    for tried in 1..=TRIES_MAX {
        let operation = Operation::Terminate { connection: connection.to_owned() };
        outcome = match resource.client.ask(&operation).await {
            Ok(_) => Outcome::Ended,
            Err(error) if error.is_gone() => Outcome::Gone,
            Err(_) if tried == TRIES_MAX => Outcome::Failed,
            Err(_) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
                continue;
            }
        };
        break;
    }
    metrics::counter!(names::ACS_LEFT_OVER, "outcome" => outcome.word()).increment(1);
    let forgotten = match outcome {
        Outcome::Failed => Ok(()),
        _ => ledger.store().forget_acs_connection(ledger.source(), connection).await,
    };
    if let Err(error) = forgotten {
        tracing::warn!(%error, "a connection that is over stays noted");
    }
    if outcome == Outcome::Gone {
        return; // nobody was in it
    }
    tracing::warn!(
        connection,
        outcome = outcome.word(),
        "a call that an earlier life of the gateway left behind"
    );
    let (at, tenant) = (SystemTime::now(), resource.acs.tenant.clone());
    let detail =
        json!({ "resource": resource.acs.id.as_str(), "connection": connection, "outcome": outcome.word() });
    ledger.audit(AuditRecord {
        at,
        tenant: Some(tenant.clone()),
        token: "the process".to_owned(),
        person: None,
        act: "end_left_over",
        target: connection.to_owned(),
        outcome: outcome.word().to_owned(),
        detail: detail.clone(),
    });
    let (kind, audience) = ("acs.left_over", Audience::default());
    ledger.event(Event { kind, tenant, call: None, audience, at, data: detail });
}
