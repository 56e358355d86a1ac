//! ICE (RFC 8445) for the side that is called: full, controlled, with one socket. Pure: datagrams and the time go in,
//! datagrams and events come out.
//!
//! ```text
//!              their check, authentic          our check answered            nominated
//!   address ────────────────────────> Known ────────────────────> Valid ────────────────> selected
//!              or in the description    │                           │
//!                                       └── no answer               └── silent for 30 s ──> gone
//! ```
//!
//! An address is valid when a check of ours was answered from it, under the far end's password. What is sent goes to
//! the selected one, while the far end consents (RFC 7675): a check is answered every few seconds.
//!
//! It is our own because `rtc`'s agent never leaves a pair that it has selected, and a browser that changes its network
//! nominates another; and because everything here has a limit. The messages are `rtc`'s.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ::rtc::crypto::RTCCryptoProvider;
use ::rtc::crypto::providers::AwsLcRsProvider;
use ::rtc::stun::attributes::{
    ATTR_FINGERPRINT, ATTR_ICE_CONTROLLED, ATTR_MESSAGE_INTEGRITY, ATTR_PRIORITY, ATTR_USE_CANDIDATE,
    ATTR_USERNAME, AttrType,
};
use ::rtc::stun::error_code::CODE_ROLE_CONFLICT;
use ::rtc::stun::fingerprint::FINGERPRINT;
use ::rtc::stun::integrity::MessageIntegrity;
use ::rtc::stun::message::{
    BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, Message, MessageType, Setter, TransactionId,
};
use ::rtc::stun::xoraddr::XorMappedAddress;

use crate::random::Random;

/// Addresses of one far end that are kept. A browser has a handful: interfaces times address families, and what
/// translators make of them. The rest of a longer list is not looked at.
pub const PATHS_MAX: usize = 16;

/// Checks go out this far apart (RFC 8445 section 14.2 calls it Ta).
const PACE: Duration = Duration::from_millis(20);

/// How long an answer to an ordinary check is waited for before the next, at first; it doubles.
const PATIENCE: Duration = Duration::from_millis(60);

/// Ordinary checks of one address: the last waits for 60 ms times 2^7, eight seconds.
const CHECKS_MAX: u32 = 8;

/// Checks of one address that may still be answered.
const OPEN_CHECKS_MAX: usize = 4;

/// Consent ends when no check was answered for this long (RFC 7675 section 5.1).
const CONSENT: Duration = Duration::from_secs(30);

/// Consent is asked for this far apart, spread by a fifth either way (RFC 7675 section 5.1).
const CONSENT_EVERY: Duration = Duration::from_secs(5);

/// The selected address has been left when it says nothing for this long while another is nominated: a browser in a
/// call sends a packet every 20 ms.
const LEFT: Duration = Duration::from_millis(600);

/// An address that is not selected and says nothing for this long is forgotten.
const IDLE: Duration = Duration::from_secs(30);

/// Our own preference among its candidates says nothing about a check: there is one (RFC 8445 section 5.1.2.1, a host
/// candidate of the first component).
const PRIORITY: u32 = (110 << 24) | (65_535 << 8) | 255;

/// What proves a side of ICE.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name fragment.
    pub ufrag: String,
    /// The password.
    pub pwd: String,
}

impl Credentials {
    /// New ones of ours: 48 random bits of name, 144 of password (RFC 8445 section 5.3 asks for 24 and 128).
    pub fn random(random: &mut Random) -> Credentials {
        Credentials { ufrag: ice_chars(random, 8), pwd: ice_chars(random, 24) }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, ..)", self.ufrag)
    }
}

fn ice_chars(random: &mut Random, count: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..count).map(|_| char::from(ALPHABET[(random.bits() % 64) as usize])).collect()
}

/// What an agent tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// From this address the far end has proved itself.
    Valid(SocketAddr),
    /// This address does not count any more.
    Gone(SocketAddr),
    /// What we send goes here from now on.
    Selected(SocketAddr),
    /// The far end does not consent any more: nothing may be sent.
    Lost,
}

/// Why a message was not taken. Nothing has changed, and nothing is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no STUN message that ICE knows.
    #[error("no check and no answer to one")]
    NotACheck,
    /// Its name, its integrity or its fingerprint is wrong.
    #[error("not authentic")]
    NotAuthentic,
    /// It answers nothing that we have asked.
    #[error("the answer to no check of ours")]
    Unasked,
}

/// One far end's ICE.
pub struct Agent {
    /// Leads the number of every check of ours, so that its answer finds the leg.
    number: u32,
    local: Credentials,
    remote: Credentials,
    paths: Vec<Path>,
    selected: Option<SocketAddr>,
    /// When the next ordinary check may go out.
    next_check: Instant,
    consent_until: Option<Instant>,
    consent_next: Instant,
    out: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<Event>,
    random: Random,
    crypto: AwsLcRsProvider,
}

struct Path {
    at: SocketAddr,
    /// What the far end thinks of it, if it has told.
    priority: u32,
    valid: bool,
    nominated: bool,
    checks: u32,
    /// When it is checked again; none when it is not, any more.
    check_at: Option<Instant>,
    open: VecDeque<[u8; 8]>,
    heard: Instant,
}

impl Agent {
    /// An agent that waits for checks, and sends some to the `candidates`.
    pub fn new(
        now: Instant,
        number: u32,
        local: Credentials,
        remote: Credentials,
        candidates: &[SocketAddr],
        seed: [u8; 32],
    ) -> Agent {
        let mut agent = Agent {
            number,
            local,
            remote,
            paths: Vec::new(),
            selected: None,
            next_check: now,
            consent_until: None,
            consent_next: now,
            out: VecDeque::new(),
            events: VecDeque::new(),
            random: Random::new(seed),
            crypto: AwsLcRsProvider::new(),
        };
        candidates.iter().for_each(|at| agent.add_candidate(now, *at));
        agent
    }

    /// Our credentials.
    pub fn local(&self) -> &Credentials {
        &self.local
    }

    /// The far end's.
    pub fn remote(&self) -> &Credentials {
        &self.remote
    }

    /// Both sides begin anew, with new credentials (RFC 8445 section 2.4). What is sent goes where it went until
    /// another address is selected.
    pub fn restart(&mut self, now: Instant, local: Credentials, remote: Credentials) {
        (self.local, self.remote) = (local, remote);
        let kept = self.selected;
        for path in std::mem::take(&mut self.paths) {
            if path.valid && Some(path.at) != kept {
                self.events.push_back(Event::Gone(path.at));
            }
        }
        // The old address stays good for what comes from it: its packets carry the same keys.
        if let Some(at) = kept {
            let mut path = Path::new(now, at);
            path.valid = true;
            self.paths.push(path);
        }
        self.consent_until = self.consent_until.map(|_| now + CONSENT);
    }

    /// An address of the far end, from its description.
    pub fn add_candidate(&mut self, now: Instant, at: SocketAddr) {
        if self.paths.len() < PATHS_MAX && self.find(at).is_none() {
            self.paths.push(Path { check_at: Some(now), ..Path::new(now, at) });
        }
    }

    /// Whether the far end has proved itself at this address; if so it has been heard from there now.
    pub fn admits(&mut self, now: Instant, from: SocketAddr) -> bool {
        match self.find(from).and_then(|at| self.paths.get_mut(at)) {
            Some(path) if path.valid => {
                path.heard = now;
                true
            }
            _ => false,
        }
    }

    /// Where to send: the selected address, or while there is none any at which the far end has proved itself.
    pub fn target(&self) -> Option<SocketAddr> {
        self.selected.or_else(|| self.paths.iter().find(|path| path.valid).map(|path| path.at))
    }

    /// How many addresses are kept.
    pub fn paths(&self) -> usize {
        self.paths.len()
    }

    /// The next datagram, and where it goes.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.out.pop_front()
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// A STUN message has come.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn receive(&mut self, now: Instant, from: SocketAddr, octets: &[u8]) -> Result<(), Refused> {
        let mut message = Message { raw: octets.to_vec(), ..Message::default() };
        message.decode().map_err(|_| Refused::NotACheck)?;
        let whole = message.length as usize + STUN_HEADER_BYTES == octets.len();
        // RFC 8445 section 7.1: every message carries a fingerprint, and it comes last.
        let last = message.attributes.0.last().map(|attribute| attribute.typ);
        if !whole || last != Some(ATTR_FINGERPRINT) || FINGERPRINT.check(&message).is_err() {
            return Err(Refused::NotACheck);
        }
        if message.typ == BINDING_REQUEST {
            self.asked(now, from, &mut message)
        } else if message.typ == BINDING_SUCCESS {
            self.answered(now, from, &mut message)
        } else {
            Err(Refused::NotACheck)
        }
    }

    fn asked(&mut self, now: Instant, from: SocketAddr, message: &mut Message) -> Result<(), Refused> {
        let name = attribute(message, ATTR_USERNAME).ok_or(Refused::NotAuthentic)?;
        let ours = [self.local.ufrag.as_bytes(), b":", self.remote.ufrag.as_bytes()].concat();
        if name != ours {
            return Err(Refused::NotAuthentic);
        }
        MessageIntegrity::check(message, self.local.pwd.as_bytes(), self.crypto.crypto())
            .map_err(|_| Refused::NotAuthentic)?;
        // What stands behind the integrity is not covered by it, and says nothing (RFC 8489 section 14.5).
        let proved =
            message.attributes.0.iter().position(|attribute| attribute.typ == ATTR_MESSAGE_INTEGRITY);
        message.attributes.0.truncate(proved.unwrap_or_default());
        if message.contains(ATTR_ICE_CONTROLLED) {
            // RFC 8445 section 7.3.1.1: one of two controlled sides gives way, and it is never the one that was called.
            self.answer(from, message.transaction_id, BINDING_ERROR, Box::new(CODE_ROLE_CONFLICT));
            return Ok(());
        }
        let mapped = XorMappedAddress { ip: from.ip(), port: from.port() };
        self.answer(from, message.transaction_id, BINDING_SUCCESS, Box::new(mapped));
        let at = match self.find(from) {
            Some(at) => at,
            None => self.learn(now, from),
        };
        let Some(path) = self.paths.get_mut(at) else { return Ok(()) };
        path.heard = now;
        if let Some(priority) = attribute(message, ATTR_PRIORITY).and_then(|octets| octets.try_into().ok()) {
            path.priority = u32::from_be_bytes(priority);
        }
        let nominates = message.contains(ATTR_USE_CANDIDATE);
        path.nominated |= nominates;
        if path.valid {
            if nominates {
                self.consider(now, at);
            }
        } else {
            // RFC 8445 section 7.3.1.4: a check that comes triggers one that goes.
            path.check_at = Some(now + PATIENCE);
            self.check(at);
        }
        Ok(())
    }

    fn answered(&mut self, now: Instant, from: SocketAddr, message: &mut Message) -> Result<(), Refused> {
        let [n0, n1, n2, n3, rest @ ..] = message.transaction_id.0;
        let at = self.find(from).filter(|_| [n0, n1, n2, n3] == self.number.to_be_bytes());
        let at = at.ok_or(Refused::Unasked)?;
        // RFC 8445 section 7.2.5.2.1: from where it was asked, or it proves nothing.
        let asked = self.paths.get(at).and_then(|path| path.open.iter().position(|open| *open == rest));
        let asked = asked.ok_or(Refused::Unasked)?;
        MessageIntegrity::check(message, self.remote.pwd.as_bytes(), self.crypto.crypto())
            .map_err(|_| Refused::NotAuthentic)?;
        let Some(path) = self.paths.get_mut(at) else { return Ok(()) };
        path.open.remove(asked);
        (path.heard, path.checks, path.check_at) = (now, 0, None);
        if !path.valid {
            path.valid = true;
            self.events.push_back(Event::Valid(from));
        }
        if self.selected == Some(from) {
            self.consent_until = Some(now + CONSENT);
        }
        self.consider(now, at);
        Ok(())
    }

    /// A new address that an authentic check came from.
    fn learn(&mut self, now: Instant, at: SocketAddr) -> usize {
        if self.paths.len() >= PATHS_MAX {
            // The one that has been silent for longest makes room; never the one in use.
            let in_use = self.selected;
            let others = self.paths.iter().enumerate().filter(|(_, path)| Some(path.at) != in_use);
            if let Some((oldest, _)) = others.min_by_key(|(_, path)| (path.valid, path.heard)) {
                self.forget(oldest);
            }
        }
        self.paths.push(Path::new(now, at));
        self.paths.len() - 1
    }

    fn forget(&mut self, at: usize) {
        let path = self.paths.swap_remove(at);
        if path.valid {
            self.events.push_back(Event::Gone(path.at));
        }
    }

    /// Selects an address that is valid and nominated, if it is better than the one in use, or that one has been left.
    fn consider(&mut self, now: Instant, at: usize) {
        let Some(path) = self.paths.get(at).filter(|path| path.valid && path.nominated) else { return };
        let in_use = self.selected.and_then(|selected| self.paths.iter().find(|path| path.at == selected));
        let takes_over = in_use.is_none_or(|old| {
            old.at != path.at
                // After a restart the old address is nominated by nobody.
                && (!old.nominated
                    || path.priority > old.priority
                    || now.saturating_duration_since(old.heard) >= LEFT)
        });
        if takes_over {
            let selected = path.at;
            self.selected = Some(selected);
            self.paths.iter_mut().for_each(|path| path.nominated = path.at == selected);
            self.consent_until = Some(now + CONSENT);
            self.consent_next = now + self.consent_pause();
            self.events.push_back(Event::Selected(selected));
        }
    }

    /// When [`Agent::handle_timeout`] is next wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let checks = self.paths.iter().filter_map(|path| path.check_at).min();
        let checks = checks.map(|at| at.max(self.next_check));
        let consent = self.consent_until.map(|until| until.min(self.consent_next));
        let idle = self.idle_paths().map(|path| path.heard + IDLE).min();
        checks.into_iter().chain(consent).chain(idle).min()
    }

    fn idle_paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter().filter(|path| Some(path.at) != self.selected && path.check_at.is_none())
    }

    /// Sends what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(at) = self.paths.iter().position(|path| {
            Some(path.at) != self.selected && path.check_at.is_none() && path.heard + IDLE <= now
        }) {
            self.forget(at);
        }
        if self.consent_until.is_some_and(|until| until <= now) {
            // Whoever comes back has to prove themselves anew.
            self.consent_until = None;
            if let Some(at) = self.selected.take().and_then(|selected| self.find(selected)) {
                self.forget(at);
            }
            self.events.push_back(Event::Lost);
        }
        if self.consent_until.is_some() && self.consent_next <= now {
            self.consent_next = now + self.consent_pause();
            if let Some(at) = self.selected.and_then(|selected| self.find(selected)) {
                self.check(at);
            }
        }
        if self.next_check > now {
            return;
        }
        let due = self.paths.iter().enumerate().filter_map(|(at, path)| Some((path.check_at?, at)));
        if let Some((_, at)) = due.filter(|(check_at, _)| *check_at <= now).min() {
            self.next_check = now + PACE;
            if let Some(path) = self.paths.get_mut(at) {
                path.checks += 1;
                let more = path.checks < CHECKS_MAX;
                path.check_at = more.then(|| now + PATIENCE * (1 << path.checks.min(CHECKS_MAX)));
            }
            self.check(at);
        }
    }

    fn consent_pause(&mut self) -> Duration {
        CONSENT_EVERY * 4 / 5
            + Duration::from_millis(self.random.below(CONSENT_EVERY.as_millis() as u64 * 2 / 5))
    }

    fn find(&self, at: SocketAddr) -> Option<usize> {
        self.paths.iter().position(|path| path.at == at)
    }

    /// Sends a check to a path.
    fn check(&mut self, at: usize) {
        let fresh = self.random.bits().to_be_bytes();
        let Some(path) = self.paths.get_mut(at) else { return };
        if path.open.len() >= OPEN_CHECKS_MAX {
            path.open.pop_front();
        }
        path.open.push_back(fresh);
        let to = path.at;
        let mut id = TransactionId([0; 12]);
        let (ours, rest) = id.0.split_at_mut(4);
        ours.copy_from_slice(&self.number.to_be_bytes());
        rest.copy_from_slice(&fresh);
        let name = format!("{}:{}", self.remote.ufrag, self.local.ufrag);
        let attributes: [Box<dyn Setter>; 3] = [
            Box::new(Octets(ATTR_USERNAME, name.into_bytes())),
            Box::new(Octets(ATTR_PRIORITY, PRIORITY.to_be_bytes().to_vec())),
            // The tie-breaker is the least there is: see `asked`.
            Box::new(Octets(ATTR_ICE_CONTROLLED, 0u64.to_be_bytes().to_vec())),
        ];
        self.send(to, id, BINDING_REQUEST, attributes, self.remote.pwd.clone());
    }

    fn answer(&mut self, to: SocketAddr, id: TransactionId, class: MessageType, what: Box<dyn Setter>) {
        self.send(to, id, class, [what], self.local.pwd.clone());
    }

    fn send<const N: usize>(
        &mut self,
        to: SocketAddr,
        id: TransactionId,
        class: MessageType,
        attributes: [Box<dyn Setter>; N],
        password: String,
    ) {
        let integrity =
            MessageIntegrity::new_short_term_integrity_with_provider(password, self.crypto.crypto());
        let mut message = Message::new();
        message.write_header();
        let (head, tail): ([&dyn Setter; 2], [&dyn Setter; 2]) = ([&class, &id], [&integrity, &FINGERPRINT]);
        let all = head.into_iter().chain(attributes.iter().map(|attribute| &**attribute)).chain(tail);
        // Nothing we write is too long, and the digest does not fail; if it did, the check would be lost as on a network.
        if { all }.try_for_each(|setter| setter.add_to(&mut message)).is_ok() {
            self.out.push_back((to, message.raw));
        }
    }
}

/// Octets of a STUN header.
const STUN_HEADER_BYTES: usize = 20;

/// An attribute as it is.
struct Octets(AttrType, Vec<u8>);

impl Setter for Octets {
    fn add_to(&self, message: &mut Message) -> Result<(), ::rtc::shared::error::Error> {
        message.add(self.0, &self.1);
        Ok(())
    }
}

fn attribute(message: &Message, kind: AttrType) -> Option<Vec<u8>> {
    message.get(kind).ok()
}

impl Path {
    fn new(now: Instant, at: SocketAddr) -> Path {
        Path {
            at,
            priority: 0,
            valid: false,
            nominated: false,
            checks: 0,
            check_at: None,
            open: VecDeque::new(),
            heard: now,
        }
    }
}
