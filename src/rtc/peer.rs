//! One browser's connection: ICE finds the way, DTLS agrees on keys, and media is let through. Pure.
//!
//! ```text
//!   Checking ── an address is valid ──> Handshaking ── keys ──> Secured
//!      │                                    │                     │
//!      └─ nobody came in time ─> Failed <───┘ wrong certificate    ├─ close_notify ─> Closed
//!                                                                 └─ no consent ───> Lost, and back when it proves itself
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::call::door::MediaKeys;
use crate::random::Random;

use super::dtls::{Association, DtlsError, Identity};
use super::ice::{Agent, Credentials, Event as Ice};
use super::mux::Kind;
use super::sdp::{Fragment, Offer};

/// What a connection tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// From here the far end has proved itself.
    Proved(SocketAddr),
    /// This address does not count any more.
    Gone(SocketAddr),
    /// Media goes here from now on, or nowhere.
    Target(Option<SocketAddr>),
    /// Keys are agreed. Told once.
    Secured(MediaKeys),
    /// It does not answer any more.
    Lost,
    /// It will not come about, for this reason.
    Failed(String),
    /// The far end has ended it.
    Closed,
}

/// A connection with one browser.
pub struct Peer {
    ice: Agent,
    dtls: Association,
    /// The sources that the description admits; any that prove themselves if it names none.
    sources: Vec<u32>,
    /// When it is given up; none once it is secured.
    give_up_at: Option<Instant>,
    out: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<Event>,
}

impl Peer {
    /// A connection with whoever made this offer. `number` leads our checks.
    ///
    /// # Errors
    /// [`DtlsError`]: a defect.
    pub fn new(
        now: Instant,
        offer: &Offer,
        identity: &Identity,
        number: u32,
        connect: Duration,
        random: &mut Random,
    ) -> Result<Peer, DtlsError> {
        let dtls = Association::new(identity, offer.role, offer.fingerprint.clone())?;
        let local = Credentials::random(random);
        let ice = Agent::new(now, number, local, offer.ice.clone(), &offer.candidates, random.seed());
        let give_up_at = Some(now + connect);
        let (out, events) = (VecDeque::new(), VecDeque::new());
        Ok(Peer { ice, dtls, sources: offer.sources.clone(), give_up_at, out, events })
    }

    /// What proves our ICE.
    pub fn credentials(&self) -> &Credentials {
        self.ice.local()
    }

    /// More of the far end's description. True when ICE begins anew, with new credentials of ours.
    pub fn add(&mut self, now: Instant, fragment: &Fragment, random: &mut Random) -> bool {
        let anew = fragment.ice.as_ref().filter(|theirs| *theirs != self.ice.remote());
        let restarts = anew.is_some();
        if let Some(theirs) = anew {
            self.ice.restart(now, Credentials::random(random), theirs.clone());
        }
        fragment.candidates.iter().for_each(|at| self.ice.add_candidate(now, *at));
        self.settle(now);
        restarts
    }

    /// A datagram has come that is this connection's. True when it is media, to be opened by the room.
    pub fn receive(&mut self, now: Instant, kind: Kind, from: SocketAddr, octets: &[u8]) -> bool {
        match kind {
            // What proves nothing is not answered, and nobody is to be told of it.
            Kind::Stun => drop(self.ice.receive(now, from, octets)),
            Kind::Dtls if self.ice.admits(now, from) => match self.dtls.receive(now, octets) {
                Ok(false) => {}
                Ok(true) => self.events.push_back(Event::Closed),
                Err(error) => self.fail(&error),
            },
            Kind::Dtls => return false,
            Kind::Media => {
                return self.dtls.keys().is_some()
                    && self.admits_source(octets)
                    && self.ice.admits(now, from);
            }
        }
        self.settle(now);
        false
    }

    /// Whether the source of a packet was signalled. RTCP is of whoever reports, which the description does not say; its
    /// tag does.
    fn admits_source(&self, octets: &[u8]) -> bool {
        const RTCP: std::ops::RangeInclusive<u8> = 192..=223; // RFC 5761 section 4
        let Some([_, kind, _, _, _, _, _, _, s0, s1, s2, s3]) = octets.first_chunk() else { return false };
        let source = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
        RTCP.contains(kind) || self.sources.is_empty() || self.sources.contains(&source)
    }

    fn fail(&mut self, error: &DtlsError) {
        use std::error::Error as _;
        let because = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        self.events.push_back(Event::Failed(format!("{error}{because}")));
    }

    /// Carries news from ICE to DTLS, and what both want to send.
    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.ice.poll_event() {
            match event {
                Ice::Valid(at) => {
                    self.events.push_back(Event::Proved(at));
                    if let Err(error) = self.dtls.begin(now) {
                        self.fail(&error);
                    }
                }
                Ice::Gone(at) => self.events.push_back(Event::Gone(at)),
                Ice::Selected(at) => self.events.push_back(Event::Target(Some(at))),
                Ice::Lost => self.events.extend([Event::Target(None), Event::Lost]),
            }
        }
        self.out.extend(std::iter::from_fn(|| self.ice.poll_transmit()));
        while let Some(octets) = self.dtls.poll_transmit() {
            // Without an address it is lost as on a network, and sent again.
            self.out.extend(self.ice.target().map(|to| (to, octets)));
        }
        if self.give_up_at.is_some()
            && let Some(keys) = self.dtls.keys()
        {
            self.give_up_at = None;
            self.events.push_back(Event::Secured(keys.clone()));
        }
    }

    /// The next datagram, and where it goes.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.out.pop_front()
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Peer::handle_timeout`] is next wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.ice.poll_timeout(), self.dtls.poll_timeout(), self.give_up_at].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.ice.handle_timeout(now);
        if let Err(error) = self.dtls.handle_timeout(now) {
            self.fail(&error);
        }
        if self.give_up_at.is_some_and(|at| at <= now) {
            self.give_up_at = None;
            let what = if self.ice.target().is_some() {
                "the DTLS handshake did not end in time"
            } else {
                "no ICE check has come through; is UDP to the gateway's [webrtc] port let through?"
            };
            self.events.push_back(Event::Failed(what.to_owned()));
        }
        self.settle(now);
    }

    /// Tells the far end that it is over.
    pub fn close(&mut self, now: Instant) {
        self.dtls.close(now);
        self.settle(now);
    }

    /// How many addresses of the far end are kept.
    pub fn paths(&self) -> usize {
        self.ice.paths()
    }
}

#[cfg(test)]
mod tests {
    use ::rtc::crypto::RTCCryptoProvider as _;
    use ::rtc::crypto::providers::AwsLcRsProvider;
    use ::rtc::stun::attributes::{ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME};
    use ::rtc::stun::fingerprint::FINGERPRINT;
    use ::rtc::stun::integrity::MessageIntegrity;
    use ::rtc::stun::message::{
        BINDING_REQUEST, BINDING_SUCCESS, Message, MessageType, Setter as _, TransactionId,
    };
    use sidetone_media::srtp::{MAX_RTCP_TRAILER_BYTES, Open, OpenError, Seal};

    use super::*;
    use crate::rtc::dtls::Role;

    const PASSWORD: &str = "abcdefghijklmnopqrstuvwx";
    const SOURCE: u32 = 2_345_678_901;
    const FORGERIES: u32 = 50_000;

    fn browser_at() -> SocketAddr {
        "192.0.2.5:61000".parse().unwrap()
    }

    fn stranger_at() -> SocketAddr {
        "198.51.100.66:666".parse().unwrap()
    }

    /// A connection, and the DTLS of its browser.
    fn peer(now: Instant, browsers: Role) -> (Peer, Association) {
        let (ours, theirs) = (Identity::new().unwrap(), Identity::new().unwrap());
        let setup = if browsers == Role::Active { "active" } else { "passive" };
        let sdp = format!(
            "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=rtcp-mux\r\na=ice-ufrag:them\r\na=ice-pwd:{PASSWORD}\r\n\
             a=setup:{setup}\r\na=fingerprint:{}\r\na=ssrc:{SOURCE} cname:x\r\n",
            theirs.fingerprint()
        );
        let offer = Offer::read(&sdp).unwrap();
        let connect = Duration::from_secs(15);
        let peer = Peer::new(now, &offer, &ours, 7, connect, &mut Random::new([3; 32])).unwrap();
        (peer, Association::new(&theirs, browsers, ours.fingerprint().clone()).unwrap())
    }

    type More<'a> = &'a [(::rtc::stun::attributes::AttrType, &'a [u8])];

    /// A STUN message: what is before its integrity, which is under `password`, and what is behind.
    fn stun(
        class: MessageType,
        id: TransactionId,
        password: &str,
        before: More<'_>,
        behind: More<'_>,
    ) -> Vec<u8> {
        let crypto = AwsLcRsProvider::new();
        let mut message = Message::new();
        message.write_header();
        class.add_to(&mut message).unwrap();
        id.add_to(&mut message).unwrap();
        before.iter().for_each(|(kind, value)| message.add(*kind, value));
        MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), crypto.crypto())
            .add_to(&mut message)
            .unwrap();
        behind.iter().for_each(|(kind, value)| message.add(*kind, value));
        FINGERPRINT.add_to(&mut message).unwrap();
        message.raw
    }

    fn check(user: &str, password: &str, nominates: bool) -> Vec<u8> {
        let nominates = nominates.then_some((ATTR_USE_CANDIDATE, &[][..]));
        let priority = 1u32.to_be_bytes();
        let all: Vec<_> = [(ATTR_USERNAME, user.as_bytes()), (ATTR_PRIORITY, &priority)]
            .into_iter()
            .chain(nominates)
            .collect();
        stun(BINDING_REQUEST, TransactionId([9; 12]), password, &all, &[])
    }

    fn ours(peer: &Peer) -> (String, String) {
        let credentials = peer.credentials();
        (format!("{}:them", credentials.ufrag), credentials.pwd.clone())
    }

    fn sent(peer: &mut Peer) -> Vec<(SocketAddr, Vec<u8>)> {
        std::iter::from_fn(|| peer.poll_transmit()).collect()
    }

    fn told(peer: &mut Peer) -> Vec<Event> {
        std::iter::from_fn(|| peer.poll_event()).collect()
    }

    /// The browser answers the checks among these.
    fn answers(datagrams: &[(SocketAddr, Vec<u8>)], password: &str) -> Vec<Vec<u8>> {
        let checks = datagrams.iter().filter(|(_, octets)| octets.starts_with(&[0, 1]));
        let id = |octets: &[u8]| TransactionId(octets[8..20].try_into().unwrap());
        checks.map(|(_, octets)| stun(BINDING_SUCCESS, id(octets), password, &[], &[])).collect()
    }

    /// The browser proves itself, is nominated, and agrees on keys.
    fn connected(now: Instant) -> (Peer, MediaKeys, MediaKeys) {
        let (mut peer, mut browser) = peer(now, Role::Passive);
        let (user, password) = ours(&peer);
        peer.receive(now, Kind::Stun, browser_at(), &check(&user, &password, true));
        for answer in answers(&sent(&mut peer), PASSWORD) {
            peer.receive(now, Kind::Stun, browser_at(), &answer);
        }
        while browser.keys().is_none() || peer.dtls.keys().is_none() {
            let datagrams = sent(&mut peer);
            for (_, octets) in &datagrams {
                assert!(!browser.receive(now, octets).unwrap());
            }
            let back: Vec<_> = std::iter::from_fn(|| browser.poll_transmit()).collect();
            assert!(!(datagrams.is_empty() && back.is_empty()), "nobody says anything any more");
            for octets in &back {
                assert!(!peer.receive(now, Kind::Dtls, browser_at(), octets));
            }
        }
        let events = told(&mut peer);
        let Some(Event::Secured(keys)) = events.last() else { panic!("{events:?}") };
        assert_eq!(events[..2], [Event::Proved(browser_at()), Event::Target(Some(browser_at()))]);
        sent(&mut peer);
        (peer, keys.clone(), browser.keys().unwrap().clone())
    }

    /// All that a datagram could have changed.
    fn state(peer: &Peer) -> impl PartialEq + std::fmt::Debug + use<> {
        (peer.paths(), peer.ice.target(), peer.poll_timeout(), peer.events.len(), peer.out.len())
    }

    #[test]
    fn strangers_change_nothing_of_a_call_and_are_not_answered() {
        let now = Instant::now();
        let (mut peer, ..) = connected(now);
        let before = state(&peer);
        let (user, password) = ours(&peer);
        let id = TransactionId([0; 12]);
        let spray = [
            (Kind::Stun, check(&user, "a password that is wrong", true)),
            (Kind::Stun, check(&user, PASSWORD, true)),
            (Kind::Stun, check("them:them", &password, true)),
            (Kind::Stun, check(&user[..user.len() - 1], &password, true)),
            (Kind::Stun, stun(BINDING_REQUEST, id, &password, &[], &[])),
            (Kind::Stun, stun(BINDING_SUCCESS, id, PASSWORD, &[], &[])),
            (
                Kind::Dtls,
                [&[22, 0xfe, 0xff][..], &[0; 7], &[1, 0, 14, 1, 0, 0, 2], &[0; 7], &[2, 0xfe, 0xfd]].concat(),
            ),
            (Kind::Dtls, vec![40; 300]),
            (Kind::Media, [&[0x80, 0, 0, 1, 0, 0, 0, 0][..], &SOURCE.to_be_bytes(), &[7; 170]].concat()),
        ];
        for (kind, octets) in &spray {
            assert!(!peer.receive(now, *kind, stranger_at(), octets));
            assert_eq!(state(&peer), before, "{kind:?} {octets:?}");
        }
        // The same check with the password is one: what is refused above is refused for that alone.
        peer.receive(now, Kind::Stun, stranger_at(), &check(&user, &password, true));
        assert_ne!(state(&peer), before);
    }

    #[test]
    fn what_stands_behind_the_integrity_of_a_check_says_nothing() {
        let now = Instant::now();
        let (mut peer, _) = peer(now, Role::Passive);
        let (user, password) = ours(&peer);
        // Overheard, and nominated by whoever overheard it: the integrity does not cover that.
        let behind: More<'_> = &[(ATTR_USE_CANDIDATE, &[]), (ATTR_PRIORITY, &[0xff; 4])];
        let name = [(ATTR_USERNAME, user.as_bytes())];
        let octets = stun(BINDING_REQUEST, TransactionId([9; 12]), &password, &name, behind);
        peer.receive(now, Kind::Stun, browser_at(), &octets);
        peer.receive(now, Kind::Stun, browser_at(), &check(&user, &password, false));
        for answer in answers(&sent(&mut peer), PASSWORD) {
            peer.receive(now, Kind::Stun, browser_at(), &answer);
        }
        assert_eq!(told(&mut peer), [Event::Proved(browser_at())], "valid, and nominated by nobody");
    }

    #[test]
    fn dtls_is_taken_only_from_where_a_check_of_ours_was_answered() {
        let now = Instant::now();
        let (mut peer, mut browser) = peer(now, Role::Active);
        let (user, password) = ours(&peer);
        browser.begin(now).unwrap();
        let hello = browser.poll_transmit().unwrap();
        let taken = |peer: &mut Peer, from| {
            peer.receive(now, Kind::Dtls, from, &hello);
            !sent(peer).is_empty()
        };
        assert!(!taken(&mut peer, browser_at()), "nobody has proved anything");
        peer.receive(now, Kind::Stun, browser_at(), &check(&user, &password, true));
        let datagrams = sent(&mut peer);
        assert!(!taken(&mut peer, browser_at()), "an authentic check came, and ours has no answer yet");
        for password in ["a password that is wrong", &password] {
            for answer in answers(&datagrams, password) {
                peer.receive(now, Kind::Stun, browser_at(), &answer);
            }
            assert!(!taken(&mut peer, browser_at()), "under another password than theirs");
        }
        let [answer] = &answers(&datagrams, PASSWORD)[..] else { panic!("one check") };
        peer.receive(now, Kind::Stun, stranger_at(), answer);
        assert!(
            !taken(&mut peer, browser_at()) && !taken(&mut peer, stranger_at()),
            "answered from elsewhere"
        );
        peer.receive(now, Kind::Stun, browser_at(), answer);
        assert!(!taken(&mut peer, stranger_at()));
        assert!(taken(&mut peer, browser_at()));
    }

    #[test]
    fn forged_sources_change_nothing_and_what_came_before_is_dropped() {
        let now = Instant::now();
        let (mut peer, ours, theirs) = connected(now);
        let before = state(&peer);
        let packet = |source: u32, number: u16| {
            let [high, low] = number.to_be_bytes();
            [&[0x80, 0, high, low, 0, 0, 0, 9][..], &source.to_be_bytes(), &[5; 160]].concat()
        };
        let mut open = Open::new(&ours.theirs);
        let unopened = format!("{open:?}");
        for forged in (0..FORGERIES).map(|n| SOURCE.wrapping_add(1 + n)) {
            let octets = packet(forged, 1);
            assert!(!peer.receive(now, Kind::Media, browser_at(), &octets), "a source that nobody has named");
            // A browser that names none gets as far as the room.
            assert_eq!(open.rtp(&mut octets.clone()), Err(OpenError::NotAuthentic));
        }
        assert_eq!((state(&peer), format!("{open:?}")), (before, unopened));

        let mut sealed = packet(SOURCE, 1);
        let length = sealed.len();
        sealed.resize(length + MAX_RTCP_TRAILER_BYTES, 0);
        let made = Seal::new(&theirs.ours).rtp(&mut sealed, length).unwrap();
        sealed.truncate(made);
        assert!(!peer.receive(now, Kind::Media, stranger_at(), &sealed), "from elsewhere");
        assert!(peer.receive(now, Kind::Media, browser_at(), &sealed));
        assert_eq!(open.rtp(&mut sealed.clone()), Ok(length));
        assert_eq!(open.rtp(&mut sealed), Err(OpenError::Replayed));
    }

    #[test]
    fn checks_gone_wrong_are_refused_whatever_their_fingerprint_says() {
        const ROUNDS: u64 = 20_000;
        let now = Instant::now();
        let (mut peer, ..) = connected(now);
        let before = state(&peer);
        let (user, password) = ours(&peer);
        let whole = check(&user, &password, true);
        // Without its fingerprint, which anybody can write anew.
        let whole = &whole[..whole.len() - 8];
        let mut random = Random::new([9; 32]);
        for round in 0..ROUNDS {
            let mut raw = whole.to_vec();
            for _ in 0..=random.below(3) {
                let at = 20 + random.below(raw.len() as u64 - 20) as usize;
                match random.below(4) {
                    0 => raw.truncate(at.max(24)),
                    1 => raw.insert(at, random.bits() as u8),
                    2 => drop(raw.remove(at)),
                    _ => raw[at] = random.bits() as u8,
                }
            }
            if raw == whole {
                continue;
            }
            let mut message = Message { length: raw.len() as u32 - 20, raw, ..Message::default() };
            FINGERPRINT.add_to(&mut message).unwrap();
            peer.receive(now, Kind::Stun, stranger_at(), &message.raw);
            assert_eq!(state(&peer), before, "round {round}: {:?}", message.raw);
        }
    }
}
