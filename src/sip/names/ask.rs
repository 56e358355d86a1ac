//! Asking name servers, ahead of time and for as long as the gateway runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use sbc_config::{Config, Dns};
use tokio::sync::mpsc;

use super::met::Met;
use super::{Heard, Kind, Names, Place, Question, Record, wanted};

/// Questions that are under way at one time: more would look like an attack to a name server.
const AT_A_TIME: usize = 32;

/// Steps from a name to its addresses: NAPTR, SRV, A.
const STEPS: usize = 3;

/// Nothing is looked at more often than this, whatever times to live say.
const LOOK_MIN: Duration = Duration::from_secs(1);

/// Nothing is left alone longer: the configuration may have changed.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// Words waiting to be heard. They come seldom, and none that is lost is missed for long.
pub const WORDS_MAX: usize = 64;

/// What the keeper of names is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Nobody answers at the addresses of this name.
    Doubted(Arc<str>),
    /// A peer that is trusted has named this as the way back to it.
    Met(Place),
    /// The configuration is another one.
    Changed,
}

/// Somebody to ask.
#[derive(Clone)]
pub struct Asker {
    resolver: Option<TokioResolver>,
    patience: Duration,
}

impl Asker {
    /// Asks these servers, or those of the system when there are none. A system without any leaves every question
    /// unanswered, and says so once.
    pub fn new(settings: &Dns) -> Asker {
        let servers = &settings.servers;
        let builder = if servers.is_empty() {
            TokioResolver::builder_tokio()
        } else {
            let servers = servers.iter().map(|server| {
                let mut known = NameServerConfig::udp_and_tcp(server.ip());
                known.connections.iter_mut().for_each(|connection| connection.port = server.port());
                known
            });
            let config = ResolverConfig::from_name_servers(servers.collect());
            Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
        };
        let built = builder.and_then(|mut builder| {
            let options = builder.options_mut();
            options.timeout = settings.timeout;
            options.attempts = 1;
            options.cache_size = 0; // the table is the cache: two would not agree on times to live
            builder.build()
        });
        if let Err(error) = &built {
            tracing::warn!(%error, "no name server can be asked; only overrides and addresses work");
        }
        Asker { resolver: built.ok(), patience: settings.timeout }
    }

    /// Asks one question, and waits no longer than the settings say.
    pub async fn ask(&self, question: &Question) -> Heard {
        let Some(resolver) = &self.resolver else { return Heard::Failed };
        let kind = match question.kind {
            Kind::Naptr => RecordType::NAPTR,
            Kind::Srv => RecordType::SRV,
            Kind::A => RecordType::A,
            Kind::Aaaa => RecordType::AAAA,
        };
        // With the dot it is whole: no search list of this machine belongs in a carrier's name.
        let asked = Name::from_ascii(format!("{}.", question.name.trim_end_matches('.')));
        let Ok(name) = asked else { return Heard::Records(Vec::new(), Duration::ZERO) };
        match tokio::time::timeout(self.patience, resolver.lookup(name, kind)).await {
            Ok(Ok(answer)) => {
                let ours = answer.answers().iter().filter(|record| record.record_type() == kind);
                let ttl = ours.clone().map(|record| record.ttl).min().unwrap_or_default();
                let records = ours.filter_map(|record| read(&record.data)).collect();
                Heard::Records(records, Duration::from_secs(ttl.into()))
            }
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) => {
                Heard::Records(Vec::new(), Duration::from_secs(none.negative_ttl.unwrap_or_default().into()))
            }
            Ok(Err(error)) => {
                tracing::warn!(name = %question.name, %error, "a name server could not tell");
                Heard::Failed
            }
            Err(_) => Heard::Failed,
        }
    }
}

fn read(data: &RData) -> Option<Record> {
    let name =
        |name: &Name| -> Arc<str> { name.to_ascii().trim_end_matches('.').to_ascii_lowercase().into() };
    match data {
        RData::A(address) => Some(Record::Ip(address.0.into())),
        RData::AAAA(address) => Some(Record::Ip(address.0.into())),
        RData::SRV(srv) => Some(Record::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: name(&srv.target),
        }),
        // RFC 3263 section 4.1 uses replacements only; "s" says that SRV follows.
        RData::NAPTR(naptr) if naptr.regexp.is_empty() && naptr.flags.eq_ignore_ascii_case(b"s") => {
            Some(Record::Naptr {
                order: naptr.order,
                preference: naptr.preference,
                service: String::from_utf8_lossy(&naptr.services).into_owned(),
                replacement: name(&naptr.replacement),
            })
        }
        _ => None,
    }
}

/// Asks for everything that is due, and puts what is found in force. Returns when the next is due.
pub async fn refresh(places: &[Place], names: &ArcSwap<Names>, asker: &Asker) -> Option<Instant> {
    for _ in 0..STEPS {
        let open = names.load().open(Instant::now(), places);
        if open.is_empty() {
            break;
        }
        let mut fresh = Names::clone(&names.load());
        for some in open.chunks(AT_A_TIME) {
            let heard = join_all(some.iter().map(|question| asker.ask(question))).await;
            let now = Instant::now();
            for (question, heard) in some.iter().zip(heard) {
                fresh.learn(now, question.clone(), heard);
            }
        }
        fresh.keep_only(places);
        names.store(Arc::new(fresh));
    }
    names.load().next(places)
}

/// Keeps the table fresh for the configuration in force, and for names that were met.
pub async fn keep(
    config: Arc<ArcSwap<Config>>,
    names: Arc<ArcSwap<Names>>,
    asker: Asker,
    mut words: mpsc::Receiver<Word>,
) {
    let mut met = Met::default();
    let mut settings = config.load().dns.clone();
    loop {
        let current = config.load_full();
        if current.dns != settings {
            settings = current.dns.clone();
            let mut configured = Names::clone(&names.load());
            configured.configure(&settings);
            names.store(Arc::new(configured));
        }
        let mut places = wanted(&current);
        places.extend(met.places(Instant::now()).cloned());
        let next = refresh(&places, &names, &asker).await;
        let now = Instant::now();
        let pause = next.map_or(LOOK_MAX, |at| at.saturating_duration_since(now)).clamp(LOOK_MIN, LOOK_MAX);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            word = words.recv() => match word {
                None => return,
                Some(Word::Changed) => {}
                Some(Word::Met(place)) => {
                    met.meet(Instant::now(), &place);
                }
                Some(Word::Doubted(host)) => {
                    let mut doubted = Names::clone(&names.load());
                    doubted.doubt(Instant::now(), &host);
                    names.store(Arc::new(doubted));
                }
            }
        }
    }
}
