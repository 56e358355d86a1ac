//! Names of peers and the addresses behind them (RFC 3263), as a table that never waits.
//!
//! The door is pure and cannot ask a name server. It looks names up here; [`ask`] keeps the table fresh
//! for every name in the configuration, ahead of time, so that no call ever waits for DNS. Names that peers give as the way back into a
//! dialog are [`met`], and asked for from then on.
//!
//! ```text
//!   place without port or transport ──NAPTR──> services, by order and preference
//!            without port ──────────────SRV──> targets, by priority, then drawn by weight (RFC 2782)
//!            with port ──────────────A, AAAA──> addresses
//! ```
//!
//! Where a step has no records the next one is taken (RFC 3263 section 4). An answer is good for its time to live. When no server
//! answers, an old one serves on (RFC 8767): an old address that may work beats none. A server that says that
//! there is no such name is believed, briefly.

pub mod ask;
pub mod judge;
pub mod met;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sbc_config::{Config, Dns, Host, Reach};

use super::flow::Transport;
use crate::random::Random;

/// An answer is kept this long at least: a time to live of 0 must not make a request of every look.
const TTL_MIN: Duration = Duration::from_secs(5);

/// And this long at most: a change that the zone's owner regrets is over within the hour.
const TTL_MAX: Duration = Duration::from_secs(3600);

/// That there is no such name is believed this long: names appear while somebody sets a trunk up.
const NEGATIVE_MAX: Duration = Duration::from_secs(30);

/// After a server that did not answer, the next try. RFC 8767 section 5 advises 30 s.
const FAILED_RETRY: Duration = Duration::from_secs(30);

/// Records of one answer that are kept. No carrier spreads calls over more addresses.
const MAX_RECORDS: usize = 16;

/// Addresses behind one place. More than a call can be tried at before its caller gives up.
const MAX_FOUND: usize = 16;

/// Answers kept. A thousand trunks at four questions each; when it is full, new names stay unknown.
const MAX_ANSWERS: usize = 4096;

/// What a configuration or a URI says of where somebody is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The name, in lower case.
    pub host: Arc<str>,
    /// The port, if one is written: then SRV is not asked (RFC 3263 section 4.2).
    pub port: Option<u16>,
    /// The transport, if one is written: then NAPTR is not asked (RFC 3263 section 4.1).
    pub transport: Option<Transport>,
}

/// One address of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub at: SocketAddr,
    /// How.
    pub transport: Transport,
}

/// What a name server is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// The name.
    pub name: Arc<str>,
    /// The type of record.
    pub kind: Kind,
}

/// A type of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Services of a domain (RFC 3403).
    Naptr,
    /// Servers of a service (RFC 2782).
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

/// What a name server said.
#[derive(Debug, Clone)]
pub enum Heard {
    /// Records, and how long they are good. None at all: there is no such name, or it has none of the type.
    Records(Vec<Record>, Duration),
    /// Nothing that can be used: no answer, or an excuse.
    Failed,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A service: what is spoken there, and the name to ask for SRV.
    Naptr {
        /// Lower first.
        order: u16,
        /// Lower first, within an order.
        preference: u16,
        /// `SIP+D2U` and its like.
        service: String,
        /// Where to go on.
        replacement: Arc<str>,
    },
    /// A server of a service.
    Srv {
        /// Lower first.
        priority: u16,
        /// Its share among those of its priority.
        weight: u16,
        /// The port.
        port: u16,
        /// The machine. Empty: there is decidedly no such service (RFC 2782).
        target: Arc<str>,
    },
    /// An address.
    Ip(IpAddr),
}

/// Everything known of names. Cheap enough to copy whenever it changes, which is rare.
#[derive(Debug, Default, Clone)]
pub struct Names {
    /// What the configuration says instead of a name server.
    overrides: BTreeMap<Arc<str>, Vec<IpAddr>>,
    /// How long an answer serves on while nobody answers.
    stale_max: Duration,
    answers: HashMap<Question, Answer>,
}

#[derive(Debug, Clone)]
struct Answer {
    records: Vec<Record>,
    ask_again: Instant,
    /// Until then it serves, whether anybody can be asked or not.
    serves_until: Instant,
}

impl Names {
    /// A table that knows only what the configuration says.
    pub fn new(settings: &Dns) -> Names {
        Names {
            overrides: settings.overrides.clone(),
            stale_max: settings.stale_max,
            answers: HashMap::new(),
        }
    }

    /// Takes the settings in force and keeps what was learned.
    pub fn configure(&mut self, settings: &Dns) {
        self.overrides.clone_from(&settings.overrides);
        self.stale_max = settings.stale_max;
    }

    /// The addresses of a place, in the order in which they are to be tried. Servers of equal rank are drawn anew
    /// each time, as their weights ask.
    pub fn find(&self, now: Instant, place: &Place, random: &mut Random) -> Vec<Found> {
        let mut walk = Walk::new(self, Some(now), Some(random));
        walk.place(place);
        walk.found.truncate(MAX_FOUND);
        walk.found
    }

    /// What must be asked, or asked again, for these places to be known at `now`. What it yields changes with
    /// every answer: a server's name brings the question for its address.
    pub fn open(&self, now: Instant, places: &[Place]) -> Vec<Question> {
        let mut seen = HashSet::new();
        let due = |question: &Question| self.answers.get(question).is_none_or(|known| known.ask_again <= now);
        let questions = places.iter().flat_map(|place| self.questions(place));
        questions.filter(|question| due(question) && seen.insert(question.clone())).collect()
    }

    /// When the next of the answers for these places has to be renewed.
    pub fn next(&self, places: &[Place]) -> Option<Instant> {
        let questions = places.iter().flat_map(|place| self.questions(place));
        questions.filter_map(|question| self.answers.get(&question)).map(|known| known.ask_again).min()
    }

    /// Takes an answer in.
    pub fn learn(&mut self, now: Instant, question: Question, heard: Heard) {
        if self.answers.len() >= MAX_ANSWERS && !self.answers.contains_key(&question) {
            return;
        }
        match heard {
            Heard::Records(mut records, ttl) => {
                records.truncate(MAX_RECORDS);
                let ttl = if records.is_empty() { ttl.min(NEGATIVE_MAX) } else { ttl.min(TTL_MAX) };
                let ask_again = now + ttl.max(TTL_MIN);
                let serves_until = ask_again + self.stale_max;
                self.answers.insert(question, Answer { records, ask_again, serves_until });
            }
            Heard::Failed => {
                // RFC 8767: what was known before serves on.
                let ask_again = now + FAILED_RETRY;
                let nothing = Answer { records: Vec::new(), ask_again, serves_until: ask_again };
                let known = self.answers.entry(question).or_insert(nothing);
                known.ask_again = ask_again;
                if known.records.is_empty() {
                    known.serves_until = ask_again;
                }
            }
        }
    }

    /// Nobody answers at the addresses of this name: they are asked for anew, and serve until then.
    pub fn doubt(&mut self, now: Instant, host: &str) {
        let ways = [None, Some(Transport::Udp), Some(Transport::Tcp), Some(Transport::Tls)];
        let places = ways.map(|transport| Place { host: host.into(), port: None, transport });
        let on_the_way: Vec<Question> = places.iter().flat_map(|place| self.questions(place)).collect();
        let addresses = [Kind::A, Kind::Aaaa].map(|kind| Question { name: host.into(), kind });
        for question in on_the_way.into_iter().chain(addresses) {
            if let Some(known) = self.answers.get_mut(&question) {
                known.ask_again = now;
            }
        }
    }

    /// Forgets what none of these places needs.
    pub fn keep_only(&mut self, places: &[Place]) {
        let needed: HashSet<Question> = places.iter().flat_map(|place| self.questions(place)).collect();
        self.answers.retain(|question, _| needed.contains(question));
    }

    /// Every question on the way to a place, as far as the way is known.
    fn questions(&self, place: &Place) -> Vec<Question> {
        let mut walk = Walk::new(self, None, None);
        walk.place(place);
        walk.asked
    }
}

/// One walk from a place to its addresses.
struct Walk<'a> {
    names: &'a Names,
    found: Vec<Found>,
    asked: Vec<Question>,
    /// Without it, servers of equal rank come in the order of the answer.
    random: Option<&'a mut Random>,
    /// Without it, answers are followed however old they are.
    now: Option<Instant>,
}

impl<'a> Walk<'a> {
    fn new(names: &'a Names, now: Option<Instant>, random: Option<&'a mut Random>) -> Walk<'a> {
        Walk { names, found: Vec::new(), asked: Vec::new(), random, now }
    }

    fn place(&mut self, place: &Place) {
        let transport = place.transport.unwrap_or(Transport::Udp);
        if self.overridden(&place.host, place.port.unwrap_or(transport.default_port()), transport) {
            return;
        }
        match (place.port, place.transport) {
            (Some(port), _) => self.addresses(&place.host, port, transport),
            (None, Some(transport)) => self.service(&place.host, transport),
            (None, None) => self.any_service(&place.host),
        }
    }

    /// RFC 3263 section 4.1: what the domain speaks, and then where.
    fn any_service(&mut self, host: &Arc<str>) {
        let Some(records) = self.records(host, Kind::Naptr) else { return };
        let mut services: Vec<_> = records
            .iter()
            .filter_map(|record| match record {
                Record::Naptr { order, preference, service, replacement } => {
                    Some((*order, *preference, transport_of(service)?, replacement.clone()))
                }
                _ => None,
            })
            .collect();
        services.sort_by_key(|(order, preference, ..)| (*order, *preference));
        for (_, _, transport, replacement) in &services {
            self.servers(replacement, *transport);
        }
        if !services.is_empty() {
            return;
        }
        // No NAPTR that we understand: the services are looked for one by one.
        let offered = [Transport::Udp, Transport::Tcp]
            .map(|transport| self.servers(&service_name(host, transport), transport));
        if offered.iter().all(|offered| *offered == Some(false)) {
            self.addresses(host, Transport::Udp.default_port(), Transport::Udp);
        }
    }

    /// RFC 3263 section 4.2: the servers of a service, or the host itself at the usual port.
    fn service(&mut self, host: &Arc<str>, transport: Transport) {
        if self.servers(&service_name(host, transport), transport) == Some(false) {
            self.addresses(host, transport.default_port(), transport);
        }
    }

    /// The servers of a service, and whether there are any; `None` while nobody has said.
    fn servers(&mut self, name: &Arc<str>, transport: Transport) -> Option<bool> {
        let records = self.records(name, Kind::Srv)?;
        for (target, port) in in_order(records, self.random.as_deref_mut()) {
            self.addresses(&target, port, transport);
        }
        Some(!records.is_empty())
    }

    fn addresses(&mut self, host: &Arc<str>, port: u16, transport: Transport) {
        if self.overridden(host, port, transport) {
            return;
        }
        for kind in [Kind::A, Kind::Aaaa] {
            for record in self.records(host, kind).unwrap_or_default() {
                if let Record::Ip(ip) = record {
                    self.found.push(Found { at: SocketAddr::new(*ip, port), transport });
                }
            }
        }
    }

    /// Whether the configuration says where this is.
    fn overridden(&mut self, host: &Arc<str>, port: u16, transport: Transport) -> bool {
        let Some(addresses) = self.names.overrides.get(host) else { return false };
        let at = addresses.iter().map(|ip| SocketAddr::new(*ip, port));
        self.found.extend(at.map(|at| Found { at, transport }));
        true
    }

    fn records(&mut self, name: &Arc<str>, kind: Kind) -> Option<&'a [Record]> {
        let question = Question { name: name.clone(), kind };
        let known = self.names.answers.get(&question);
        let serves = known.filter(|answer| self.now.is_none_or(|now| now < answer.serves_until));
        let known = serves.map(|answer| &answer.records[..]);
        self.asked.push(question);
        known
    }
}

/// RFC 2782: by priority; within one, drawn without putting back, each with the chance its weight gives it.
fn in_order(records: &[Record], mut random: Option<&mut Random>) -> Vec<(Arc<str>, u16)> {
    let mut servers: Vec<(u16, u16, Arc<str>, u16)> = records
        .iter()
        .filter_map(|record| match record {
            Record::Srv { priority, weight, port, target } if !target.is_empty() => {
                Some((*priority, *weight, target.clone(), *port))
            }
            _ => None,
        })
        .collect();
    // Those of weight 0 first: then they are drawn with a chance that is small, but not none.
    servers.sort_by_key(|(priority, weight, ..)| (*priority, *weight));
    let mut ordered = Vec::new();
    while let Some((first, ..)) = servers.first() {
        let group = servers.iter().take_while(|(priority, ..)| priority == first).count();
        let total: u64 = servers.iter().take(group).map(|(_, weight, ..)| u64::from(*weight)).sum();
        let mut drawn = random.as_deref_mut().map_or(0, |random| random.below(total + 1));
        let chosen = servers.iter().take(group).position(|(_, weight, ..)| {
            let here = drawn <= u64::from(*weight);
            drawn = drawn.saturating_sub(u64::from(*weight));
            here
        });
        let (_, _, target, port) = servers.remove(chosen.unwrap_or(0));
        ordered.push((target, port));
    }
    ordered
}

/// The transport of a NAPTR service we speak (RFC 3263 section 4.1).
fn transport_of(service: &str) -> Option<Transport> {
    let known = [("SIP+D2U", Transport::Udp), ("SIP+D2T", Transport::Tcp), ("SIPS+D2T", Transport::Tls)];
    known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(service)).map(|(_, transport)| transport)
}

/// The name of a service for SRV.
fn service_name(host: &str, transport: Transport) -> Arc<str> {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
    };
    format!("{service}.{host}").into()
}

/// Every place the configuration sends calls and registrations to.
pub fn wanted(config: &Config) -> Vec<Place> {
    let trunks = config.trunks.iter().flat_map(|trunk| &trunk.destinations);
    let registrars = config.trunks.iter().filter_map(|trunk| Some(&trunk.register.as_ref()?.registrar));
    let contacts = config.people.iter().filter_map(|person| match &person.reach {
        Reach::Contact(contact) => Some(&contact.destination),
        Reach::Register(_) | Reach::Acs { .. } | Reach::Teams { .. } | Reach::Browser => None,
    });
    trunks.chain(registrars).chain(contacts).filter_map(place).collect()
}

/// The place of a destination, unless it is an address already.
pub fn place(destination: &sbc_config::Destination) -> Option<Place> {
    let Host::Name(name) = &destination.host else { return None };
    let transport = match destination.transport {
        Some(sbc_config::Transport::Udp) => Some(Transport::Udp),
        Some(sbc_config::Transport::Tcp) => Some(Transport::Tcp),
        Some(sbc_config::Transport::Tls) => Some(Transport::Tls),
        None => None,
    };
    Some(Place { host: name.clone(), port: destination.port, transport })
}

#[cfg(test)]
mod tests;
