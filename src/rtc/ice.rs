//! ICE (RFC 8445) for the side that is called: full, controlled, with one socket for datagrams, and whatever connections
//! the far end opens (RFC 6544, passive). Pure: packets and the time go in, packets and events come out.
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
//! Browsers nominate again and again, on every check of the address they use, and change it within a call (RFC 8445
//! section 8.1.1 allows one nomination, so this is how they are and not what is written). Another one that is
//! nominated takes over when the far end thinks better of it; when the one in use has not been nominated for as long as
//! no browser keeps silent; or when it is asked whether it is still there and does not answer. Only what is signed
//! counts as a sign of life: media is not opened here, and anybody can send some.
//!
//! A connection is a place like any other, of less worth to browsers than one of datagrams. When the one in use is closed,
//! nothing is sent until the far end has proved and nominated another place: it may open the next connection under the same
//! name, or begin ICE anew, and has as much time for it as consent would have left it.
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

use super::place::Place;

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

/// The selected address has been left when another is nominated and it does not answer for this long: the longest
/// round trip that a call is bearable with, twice, since it is asked twice.
const LEFT: Duration = Duration::from_millis(600);

/// The selected address has been left when another is nominated and it was not for this long. The address in use is
/// checked every 2.5 s by Chromium, and within 6 s by whoever asks for consent as RFC 7675 section 5.1 says.
const FADED: Duration = Duration::from_secs(7);

/// A new address has this long to answer our check before it makes room for another.
const SETTLING: Duration = Duration::from_secs(1);

/// Numbers of checks that are remembered, so that one that was overheard is worth nothing from another address: more
/// than half an hour of a browser that checks two addresses every 2.5 s, in at most 8 KiB. A restart forgets them with
/// the password.
const CHECKS_KNOWN_MAX: usize = 2048;

/// An address that is not selected and says nothing for this long is forgotten.
const IDLE: Duration = Duration::from_secs(30);

/// What a check says of a pair whose candidate of ours were not known (RFC 8445 section 7.1.1): that of a peer-reflexive
/// one of the first component.
const PRIORITY: u32 = (110 << 24) | (65_535 << 8) | 255;

/// The same on a connection: less than any that datagrams have (RFC 6544 section 4.2; passive, and the type's preference is
/// Chromium's).
const STREAM_PRIORITY: u32 = (80 << 24) | (((4 << 13) | 8191) << 8) | 255;

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
    Valid(Place),
    /// This address does not count any more.
    Gone(Place),
    /// What we send goes here from now on.
    Selected(Place),
    /// The connection that we sent on is gone: nothing is sent until another place is selected.
    Adrift,
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
    /// It was sent before, from elsewhere: whoever sends it now has overheard it.
    #[error("the check came before, from another address")]
    Replayed,
    /// As many addresses as there may be are proved, or are about to be.
    #[error("too many addresses")]
    Full,
}

/// One far end's ICE.
pub struct Agent {
    /// Leads the number of every check of ours, so that its answer finds the leg.
    number: u32,
    local: Credentials,
    remote: Credentials,
    paths: Vec<Path>,
    selected: Option<Place>,
    /// When the next ordinary check may go out.
    next_check: Instant,
    consent_until: Option<Instant>,
    consent_next: Instant,
    /// Another address is nominated; the one in use is asked whether it is still there.
    doubt: Option<Doubt>,
    known: Known,
    out: VecDeque<(Place, Vec<u8>)>,
    events: VecDeque<Event>,
    random: Random,
    crypto: AwsLcRsProvider,
}

struct Path {
    at: Place,
    /// What the far end thinks of it, if it has told.
    priority: u32,
    valid: bool,
    /// When it was nominated last.
    nominated: Option<Instant>,
    /// Whether an authentic check has come from it; else it only stands in the description.
    asked: bool,
    checks: u32,
    /// When it is checked again; none when it is not, any more.
    check_at: Option<Instant>,
    open: VecDeque<[u8; 8]>,
    /// When something authentic came from it last.
    heard: Instant,
}

/// The address in use is asked twice, and has until then to answer.
struct Doubt {
    ask_again_at: Option<Instant>,
    until: Instant,
}

impl Doubt {
    fn due(&self) -> Instant {
        self.ask_again_at.unwrap_or(self.until)
    }
}

/// The checks that have come, by what is left of their numbers. They are the far end's own, and random: two that look
/// alike are one in two million.
#[derive(Default)]
struct Known(VecDeque<u32>);

impl Known {
    /// Whether a check is new. It is not, any more.
    fn note(&mut self, id: TransactionId) -> bool {
        let word =
            |at: usize| id.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        // Some write their numbers in letters, so that every octet has bits that never change.
        let [a, b, c] = [word(0), word(4), word(8)].map(u32::from_be_bytes);
        let mark = a ^ b.rotate_left(11) ^ c.rotate_left(22);
        if self.0.contains(&mark) {
            return false;
        }
        if self.0.len() >= CHECKS_KNOWN_MAX {
            self.0.pop_front();
        }
        self.0.push_back(mark);
        true
    }
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
            doubt: None,
            known: Known::default(),
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
        (self.doubt, self.known) = (None, Known::default());
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
        let at = Place::from(at);
        if self.paths.len() < PATHS_MAX && self.find(at).is_none() {
            self.paths.push(Path { check_at: Some(now), ..Path::new(now, at) });
        }
    }

    /// The connection that this place was is gone.
    pub fn left(&mut self, now: Instant, place: Place) {
        let Some(at) = self.find(place) else { return };
        self.forget(at);
        if self.selected == Some(place) {
            (self.selected, self.doubt) = (None, None);
            if !self.succeeded(now) {
                self.events.push_back(Event::Adrift);
            }
        }
    }

    /// Whether the far end has proved itself at this address.
    pub fn admits(&self, from: Place) -> bool {
        self.paths.iter().any(|path| path.at == from && path.valid)
    }

    /// Where to send: the selected address, or while there is none any at which the far end has proved itself.
    pub fn target(&self) -> Option<Place> {
        self.selected.or_else(|| self.paths.iter().find(|path| path.valid).map(|path| path.at))
    }

    /// How many addresses are kept.
    pub fn paths(&self) -> usize {
        self.paths.len()
    }

    /// The next datagram, and where it goes.
    pub fn poll_transmit(&mut self) -> Option<(Place, Vec<u8>)> {
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
    pub fn receive(&mut self, now: Instant, from: Place, octets: &[u8]) -> Result<(), Refused> {
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

    fn asked(&mut self, now: Instant, from: Place, message: &mut Message) -> Result<(), Refused> {
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
        // From where it is not known, a check is worth something once. From where it is, it is one whose answer got lost.
        let fresh = self.known.note(message.transaction_id);
        let known = self.find(from);
        if known.is_none() && !fresh {
            return Err(Refused::Replayed);
        }
        if message.contains(ATTR_ICE_CONTROLLED) {
            // RFC 8445 section 7.3.1.1: one of two controlled sides gives way, and it is never the one that was called.
            self.answer(from, message.transaction_id, BINDING_ERROR, Box::new(CODE_ROLE_CONFLICT));
            return Ok(());
        }
        let at = match known {
            Some(at) => at,
            None => self.learn(now, from).ok_or(Refused::Full)?,
        };
        let mapped = XorMappedAddress { ip: from.at.ip(), port: from.at.port() };
        self.answer(from, message.transaction_id, BINDING_SUCCESS, Box::new(mapped));
        let Some(path) = self.paths.get_mut(at).filter(|_| fresh) else { return Ok(()) };
        (path.heard, path.asked) = (now, true);
        if let Some(priority) = attribute(message, ATTR_PRIORITY).and_then(|octets| octets.try_into().ok()) {
            path.priority = u32::from_be_bytes(priority);
        }
        let nominates = message.contains(ATTR_USE_CANDIDATE);
        if nominates {
            path.nominated = Some(now);
        }
        let valid = path.valid;
        if !valid {
            // RFC 8445 section 7.3.1.4: a check that comes triggers one that goes.
            path.check_at = Some(now + PATIENCE);
            self.check(at);
        }
        self.is_there(from);
        if valid && nominates {
            self.consider(now, at);
        }
        Ok(())
    }

    fn answered(&mut self, now: Instant, from: Place, message: &mut Message) -> Result<(), Refused> {
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
        self.is_there(from);
        self.consider(now, at);
        Ok(())
    }

    /// A new address that an authentic check came from; `None` if there is no room for it.
    fn learn(&mut self, now: Instant, at: Place) -> Option<usize> {
        if self.paths.len() >= PATHS_MAX {
            // What only stands in the description makes room first, then whoever had time to answer us and did not. A
            // proved address never makes room for one that is not.
            let gives_way = |path: &Path| {
                !path.valid && (!path.asked || now.saturating_duration_since(path.heard) >= SETTLING)
            };
            let others = self.paths.iter().enumerate().filter(|(_, path)| gives_way(path));
            let (oldest, _) = others.min_by_key(|(_, path)| (path.asked, path.heard))?;
            self.forget(oldest);
        }
        self.paths.push(Path::new(now, at));
        Some(self.paths.len() - 1)
    }

    fn forget(&mut self, at: usize) {
        let path = self.paths.swap_remove(at);
        if path.valid {
            self.events.push_back(Event::Gone(path.at));
        }
    }

    /// Something authentic has come from an address: if it is the one in use, there is no doubt any more.
    fn is_there(&mut self, from: Place) {
        if self.selected == Some(from) {
            self.doubt = None;
        }
    }

    /// Selects an address that is valid and nominated, if it is better than the one in use, or that one has been left;
    /// whether it has is asked.
    fn consider(&mut self, now: Instant, at: usize) {
        let Some(path) = self.paths.get(at).filter(|path| path.valid && path.nominated.is_some()) else {
            return;
        };
        let in_use = self.selected.and_then(|selected| self.find(selected));
        let Some((in_use, old)) = in_use.and_then(|at| Some((at, self.paths.get(at)?))) else {
            return self.select(now, at);
        };
        if in_use == at {
            return;
        }
        // After a restart the old address is nominated by nobody.
        let faded = old.nominated.is_none_or(|last| now.saturating_duration_since(last) >= FADED);
        if faded || path.priority > old.priority {
            self.select(now, at);
        } else if self.doubt.is_none() {
            self.doubt = Some(Doubt { ask_again_at: Some(now + LEFT / 2), until: now + LEFT });
            self.check(in_use);
        }
    }

    fn select(&mut self, now: Instant, at: usize) {
        let Some(selected) = self.paths.get(at).map(|path| path.at) else { return };
        self.selected = Some(selected);
        self.doubt = None;
        self.paths.iter_mut().filter(|path| path.at != selected).for_each(|path| path.nominated = None);
        self.consent_until = Some(now + CONSENT);
        self.consent_next = now + self.consent_pause();
        self.events.push_back(Event::Selected(selected));
    }

    /// The address in use is asked again, or did not answer: whichever was nominated last takes over.
    fn resolve(&mut self, now: Instant) {
        let Some(doubt) = self.doubt.as_mut().filter(|doubt| doubt.due() <= now) else { return };
        if doubt.ask_again_at.take().is_some() && doubt.until > now {
            if let Some(in_use) = self.selected.and_then(|selected| self.find(selected)) {
                self.check(in_use);
            }
            return;
        }
        self.doubt = None;
        self.succeeded(now);
    }

    /// Whichever of the others was nominated last takes over; whether there is one.
    fn succeeded(&mut self, now: Instant) -> bool {
        let others = self.paths.iter().enumerate().filter(|(_, path)| Some(path.at) != self.selected);
        let nominated = others.filter_map(|(at, path)| Some((path.nominated.filter(|_| path.valid)?, at)));
        let Some((_, at)) = nominated.max() else { return false };
        self.select(now, at);
        true
    }

    /// When [`Agent::handle_timeout`] is next wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let checks = self.paths.iter().filter_map(|path| path.check_at).min();
        let checks = checks.map(|at| at.max(self.next_check));
        let consent = self.consent_until.map(|until| until.min(self.consent_next));
        let idle = self.idle_paths().map(|path| path.heard + IDLE).min();
        let doubt = self.doubt.as_ref().map(Doubt::due);
        checks.into_iter().chain(consent).chain(idle).chain(doubt).min()
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
            (self.consent_until, self.doubt) = (None, None);
            if let Some(at) = self.selected.take().and_then(|selected| self.find(selected)) {
                self.forget(at);
            }
            self.events.push_back(Event::Lost);
        }
        self.resolve(now);
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

    fn find(&self, at: Place) -> Option<usize> {
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
        let priority = if to.stream.is_some() { STREAM_PRIORITY } else { PRIORITY };
        let attributes: [Box<dyn Setter>; 3] = [
            Box::new(Octets(ATTR_USERNAME, name.into_bytes())),
            Box::new(Octets(ATTR_PRIORITY, priority.to_be_bytes().to_vec())),
            // The tie-breaker is the least there is: see `asked`.
            Box::new(Octets(ATTR_ICE_CONTROLLED, 0u64.to_be_bytes().to_vec())),
        ];
        self.send(to, id, BINDING_REQUEST, attributes, self.remote.pwd.clone());
    }

    fn answer(&mut self, to: Place, id: TransactionId, class: MessageType, what: Box<dyn Setter>) {
        self.send(to, id, class, [what], self.local.pwd.clone());
    }

    fn send<const N: usize>(
        &mut self,
        to: Place,
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
    fn new(now: Instant, at: Place) -> Path {
        Path {
            at,
            priority: 0,
            valid: false,
            nominated: None,
            asked: false,
            checks: 0,
            check_at: None,
            open: VecDeque::new(),
            heard: now,
        }
    }
}
