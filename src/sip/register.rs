//! A registrar: who may be reached where (RFC 3261 section 10).
//!
//! A phone registers with name and password; the registrar remembers the address it named and the flow it came by.
//! [`Registrar::lookup`] gives both: the URI to call, and the way that is known to work, which behind NAT is
//! the flow and not the URI. Path (RFC 3327) and GRUU are not supported; nobody between us and a phone asks for them.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::digest::{Algorithm, Authenticated, DigestError, Ha1, Server};
use super::flow::{ConnectionId, Destination, Peer, Transport};
use super::header::{Contacts, Name, NameAddr};
use super::message::{Request, StatusCode};
use super::session::NextHop;
use super::text::Text;
use super::uri::Uri;

/// Addresses of record kept at a time: one per phone, and no site of ours has more phones.
pub const MAX_RECORDS: usize = 20_000;
/// Contacts of one address of record: a person has a desk phone, a softphone and a mobile, thrice over.
pub const MAX_BINDINGS: usize = 10;

/// Where passwords come from, and which names a user may register.
pub trait Accounts: fmt::Debug + Send + Sync {
    /// The stored form of a user's password for an algorithm.
    fn ha1(&self, user: &str, algorithm: Algorithm) -> Option<Ha1>;

    /// Whether `user` may register (and call as) this address of record. By default the one with its own name.
    fn owns(&self, user: &str, address: &Uri) -> bool {
        address.user_unescaped().is_some_and(|name| name == user)
    }
}

/// How long registrations last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// Shorter wishes are answered 423 with this.
    pub min: Duration,
    /// Longer wishes are cut to this.
    pub max: Duration,
    /// For those who do not say.
    pub usual: Duration,
}

impl Default for Expiry {
    fn default() -> Self {
        Expiry {
            min: Duration::from_secs(60),
            max: Duration::from_secs(3600),
            usual: Duration::from_secs(600),
        }
    }
}

/// A contact at which somebody can be reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// The Request-URI for a call to it, as it was registered.
    pub contact: Uri,
    /// The way that the REGISTER came by.
    pub flow: Destination,
    /// Whether `flow` must be used, because the contact is not where the REGISTER came from.
    pub next_hop: NextHop,
    /// When it ends unless it is refreshed.
    pub expires_at: Instant,
    /// Preference, 0 to 1000.
    pub q: u16,
    call_id: Text,
    cseq: u32,
}

/// What changed at an address of record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The user part of the address of record.
    pub user: String,
    /// Contacts that are reachable now.
    pub bindings: usize,
}

/// An answer to a REGISTER, short of what every response has.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(Name, Bytes)>,
    pub(super) change: Option<Change>,
}

impl Answer {
    fn plain(status: StatusCode) -> Answer {
        Answer { status, headers: Vec::new(), change: None }
    }

    fn with(mut self, name: Name, value: impl Into<Bytes>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }
}

/// Bindings, the passwords they need and the nonces in use.
#[derive(Debug)]
pub struct Registrar {
    digest: Server,
    accounts: Box<dyn Accounts>,
    expiry: Expiry,
    records: HashMap<String, Vec<Binding>>,
    /// When to look for bindings that have ended.
    next: Option<Instant>,
}

impl Registrar {
    /// A registrar for a realm. `key` must be random and secret: it signs nonces.
    pub fn new(
        realm: &str,
        accounts: Box<dyn Accounts>,
        expiry: Expiry,
        key: [u8; 32],
        now: Instant,
    ) -> Registrar {
        // RFC 8760 section 2.4: the strongest first; old phones take the MD5 they know.
        let digest = Server::new(realm, vec![Algorithm::Sha256, Algorithm::Md5], key, now);
        Registrar { digest, accounts, expiry, records: HashMap::new(), next: None }
    }

    /// Offers these hashes, best first, instead of SHA-256 and MD5. Some phones give up when they see one they do not
    /// know, in whatever place.
    #[must_use]
    pub fn offering(mut self, algorithms: Vec<Algorithm>) -> Registrar {
        self.digest.offer(algorithms);
        self
    }

    /// Takes new passwords; bindings stay.
    pub fn set_accounts(&mut self, accounts: Box<dyn Accounts>) {
        self.accounts = accounts;
    }

    /// Where a user can be reached, best first. Addresses of record are told apart by their user part alone, so that
    /// a phone is found whatever host name it has for us.
    pub fn lookup(&self, now: Instant, user: &str) -> Vec<Binding> {
        let mut found: Vec<Binding> = self
            .records
            .get(user)
            .into_iter()
            .flatten()
            .filter(|binding| binding.expires_at > now)
            .cloned()
            .collect();
        found.sort_by_key(|binding| std::cmp::Reverse((binding.q, binding.expires_at)));
        found
    }

    /// How many addresses of record have a binding.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True when nobody is registered.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Checks the Authorization of a request that is not a REGISTER: who is calling? `Err` holds the challenges, values for
    /// WWW-Authenticate headers of a 401; an empty list means 403: known, and not who the From says.
    pub fn authenticate(&mut self, now: Instant, request: &Request) -> Result<Authenticated, Vec<String>> {
        let user = match self.check(now, request) {
            Ok(user) => user,
            Err(DigestError::Malformed) => return Err(self.digest.challenges(now, false)),
            Err(error) => return Err(self.digest.challenges(now, error == DigestError::Stale)),
        };
        let from = request.headers().from().map(|from| from.uri);
        if from.is_ok_and(|from| self.accounts.owns(&user.user, &from)) { Ok(user) } else { Err(Vec::new()) }
    }

    fn check(&mut self, now: Instant, request: &Request) -> Result<Authenticated, DigestError> {
        let values = request.headers().auth(Name::Authorization).map_err(|_| DigestError::Malformed)?;
        let accounts = &self.accounts;
        self.digest.check(&values, request.method(), request.uri().as_str(), now, |user, algorithm| {
            accounts.ha1(user, algorithm)
        })
    }

    /// A connection ended: what was registered over it cannot be reached any more.
    pub fn connection_closed(&mut self, connection: ConnectionId) -> Vec<Change> {
        self.drop_where(|binding| binding.flow.connection == Some(connection))
    }

    /// When the next binding ends.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Drops the bindings that have ended.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Change> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let changes = self.drop_where(|binding| binding.expires_at <= now);
        // A look at all bindings at most once a second; `lookup` never gives one that has ended.
        self.next = self.next.map(|next| next.max(now + Duration::from_secs(1)));
        changes
    }

    fn drop_where(&mut self, gone: impl Fn(&Binding) -> bool) -> Vec<Change> {
        let mut changes = Vec::new();
        self.records.retain(|user, bindings| {
            let before = bindings.len();
            bindings.retain(|binding| !gone(binding));
            if bindings.len() != before {
                changes.push(Change { user: user.clone(), bindings: bindings.len() });
            }
            !bindings.is_empty()
        });
        self.next = self.records.values().flatten().map(|binding| binding.expires_at).min();
        changes.sort_by(|a, b| a.user.cmp(&b.user));
        changes
    }

    /// RFC 3261 section 10.3, in its order.
    pub(super) fn on_register(&mut self, now: Instant, request: &Request, peer: Peer) -> Answer {
        let headers = request.headers();
        let Ok(to) = headers.to() else { return Answer::plain(StatusCode::BAD_REQUEST) };
        let user = match self.check(now, request) {
            Ok(authenticated) => authenticated.user,
            Err(DigestError::Malformed) => return Answer::plain(StatusCode::BAD_REQUEST),
            Err(error) => {
                let challenges = self.digest.challenges(now, error == DigestError::Stale);
                return challenges
                    .into_iter()
                    .fold(Answer::plain(StatusCode::UNAUTHORIZED), |a, c| a.with(Name::WwwAuthenticate, c));
            }
        };
        if !self.accounts.owns(&user, &to.uri) {
            return Answer::plain(StatusCode::FORBIDDEN);
        }
        let Some(name) = to.uri.user_unescaped() else { return Answer::plain(StatusCode::NOT_FOUND) };
        let (Ok(call_id), Ok(cseq), Ok(contacts)) = (headers.call_id(), headers.cseq(), headers.contacts())
        else {
            return Answer::plain(StatusCode::BAD_REQUEST);
        };
        let asked = headers.expires().ok().flatten();
        let wishes = match contacts {
            Contacts::All if asked == Some(0) => Wishes::RemoveAll,
            // RFC 3261 section 10.2.2: `*` goes with Expires: 0 and nothing else.
            Contacts::All => return Answer::plain(StatusCode::BAD_REQUEST),
            Contacts::List(list) => Wishes::Set(list),
        };
        let before = self.lookup(now, &name).len();
        let room = self.records.len() < MAX_RECORDS || self.records.contains_key(&name);
        let mut bindings = self.records.get(&name).cloned().unwrap_or_default();
        bindings.retain(|binding| binding.expires_at > now);
        let from = Origin { call_id: Text::from(call_id.as_str()), cseq: cseq.number, peer };
        let applied = match wishes {
            Wishes::RemoveAll => from.remove_all(&mut bindings),
            Wishes::Set(list) => from.set(&mut bindings, &list, asked, self.expiry, now, room),
        };
        if let Err(status) = applied {
            let answer = Answer::plain(status);
            return match status {
                StatusCode::INTERVAL_TOO_BRIEF => {
                    answer.with(Name::MinExpires, self.expiry.min.as_secs().to_string())
                }
                _ => answer,
            };
        }
        let change =
            (before != bindings.len()).then(|| Change { user: name.clone(), bindings: bindings.len() });
        let mut answer = Answer::plain(StatusCode::OK);
        for binding in &bindings {
            let left = binding.expires_at.saturating_duration_since(now).as_secs();
            let contact =
                NameAddr::new(binding.contact.clone()).with_param("expires", Some(&left.to_string()));
            answer = answer.with(Name::Contact, contact.to_bytes());
            self.next = Some(self.next.map_or(binding.expires_at, |next| next.min(binding.expires_at)));
        }
        if bindings.is_empty() {
            self.records.remove(&name);
        } else {
            self.records.insert(name, bindings);
        }
        answer.change = change;
        answer
    }
}

enum Wishes {
    RemoveAll,
    Set(Vec<NameAddr>),
}

/// Which REGISTER a binding comes from.
struct Origin {
    call_id: Text,
    cseq: u32,
    peer: Peer,
}

impl Origin {
    /// RFC 3261 section 10.3 step 6: a late copy of an older REGISTER changes nothing.
    fn is_late(&self, binding: &Binding) -> bool {
        binding.call_id == self.call_id && self.cseq <= binding.cseq
    }

    fn remove_all(&self, bindings: &mut Vec<Binding>) -> Result<(), StatusCode> {
        if bindings.iter().any(|binding| self.is_late(binding)) {
            return Err(StatusCode::SERVER_INTERNAL_ERROR);
        }
        bindings.clear();
        Ok(())
    }

    fn set(
        &self,
        bindings: &mut Vec<Binding>,
        contacts: &[NameAddr],
        asked: Option<u32>,
        expiry: Expiry,
        now: Instant,
        room: bool,
    ) -> Result<(), StatusCode> {
        for contact in contacts {
            let said = match contact.params.value("expires") {
                // RFC 3261 section 20.10: what cannot be read means an hour.
                Some(text) => Some(text.parse::<u32>().unwrap_or(3600)),
                None => asked,
            };
            let wish = said.map_or(expiry.usual, |seconds| Duration::from_secs(u64::from(seconds)));
            // RFC 3261 section 10.3 step 7 spares an hour and more from 423.
            if !wish.is_zero() && wish < expiry.min && wish < Duration::from_secs(3600) {
                return Err(StatusCode::INTERVAL_TOO_BRIEF);
            }
            if !contact.uri.is_sip() {
                return Err(StatusCode::BAD_REQUEST);
            }
            let known = bindings.iter().position(|binding| binding.contact.equivalent(&contact.uri));
            if known.is_some_and(|known| self.is_late(&bindings[known])) {
                return Err(StatusCode::SERVER_INTERNAL_ERROR);
            }
            if let Some(known) = known {
                bindings.remove(known);
            }
            if wish.is_zero() {
                continue;
            }
            if bindings.len() == MAX_BINDINGS || !room {
                return Err(StatusCode::SERVICE_UNAVAILABLE);
            }
            let Ok(uri) = Uri::parse(Bytes::copy_from_slice(contact.uri.as_str().as_bytes())) else {
                return Err(StatusCode::BAD_REQUEST);
            };
            bindings.push(Binding {
                next_hop: next_hop(&uri, self.peer),
                contact: uri,
                flow: Destination::from(self.peer),
                expires_at: now + wish.min(expiry.max),
                q: quality(contact),
                call_id: self.call_id.clone(),
                cseq: self.cseq,
            });
        }
        Ok(())
    }
}

/// A contact that names the very address the REGISTER came from can be called there; any other is behind NAT, or a
/// name, and the flow is what works. Over a stream the flow always is.
fn next_hop(contact: &Uri, peer: Peer) -> NextHop {
    let reachable = peer.transport == Transport::Udp
        && contact.host().and_then(|host| host.ip()) == Some(peer.remote.ip())
        && contact.port().unwrap_or(5060) == peer.remote.port();
    if reachable { NextHop::Follow } else { NextHop::Pinned }
}

/// `q` from 0 to 1 in thousandths; 1 when not given.
fn quality(contact: &NameAddr) -> u16 {
    let q = contact.params.value("q").and_then(|q| q.parse::<f32>().ok());
    q.filter(|q| (0.0..=1.0).contains(q)).map_or(1000, |q| (q * 1000.0) as u16)
}
