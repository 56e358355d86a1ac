//! What one browser's connection goes through, and what strangers and forgers cannot do to it.

use std::time::Instant;

use ::rtc::stun::attributes::ATTR_ICE_CONTROLLING;
use sidetone_media::srtp::{MAX_RTCP_TRAILER_BYTES, Open, OpenError, Seal};

use super::*;
use crate::call::door::MediaKeys;
use crate::random::Random;
use crate::rtc::dtls::{Association, Identity, Role};
use crate::rtc::mux::Kind;
use crate::rtc::peer::{Event, Peer};
use crate::rtc::sdp::{Fragment, Offer};

const SOURCE: u32 = 2_345_678_901;
const FORGERIES: u32 = 50_000;
const CONNECT: Duration = Duration::from_secs(15);

/// A connection and its browser, with time and a network between them.
struct Stage {
    now: Instant,
    peer: Peer,
    dtls: Association,
    checks: Checks,
    password: String,
    /// Where the browser is.
    at: Vec<Place>,
    /// Which of its addresses it sends from.
    from: Place,
    /// Our handshakes that are still to be lost.
    lost: usize,
    told: Vec<Event>,
    random: Random,
}

impl Stage {
    /// `browsers`: what the browser is in the handshake. `sources`: what its description names.
    fn new(browsers: Role, sources: &[u32]) -> Stage {
        let (ours, theirs) = (Identity::new().unwrap(), Identity::new().unwrap());
        Stage::with(browsers, sources, &ours, &theirs, &theirs)
    }

    /// The browser says that it has one certificate, and has another.
    fn with(browsers: Role, sources: &[u32], ours: &Identity, said: &Identity, has: &Identity) -> Stage {
        let now = Instant::now();
        let setup = if browsers == Role::Active { "active" } else { "passive" };
        let sources: String = sources.iter().map(|source| format!("a=ssrc:{source} cname:x\r\n")).collect();
        let sdp = format!(
            "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=rtcp-mux\r\na=ice-ufrag:them\r\na=ice-pwd:{PASSWORD}\r\n\
             a=setup:{setup}\r\na=fingerprint:{}\r\n{sources}",
            said.fingerprint()
        );
        let offer = Offer::read(&sdp).unwrap();
        let mut random = Random::new([3; 32]);
        let peer = Peer::new(now, &offer, ours, 7, CONNECT, &mut random).unwrap();
        Stage {
            now,
            checks: Checks::of(peer.credentials()),
            peer,
            dtls: Association::new(has, browsers, ours.fingerprint().clone()).unwrap(),
            password: PASSWORD.to_owned(),
            at: vec![home()],
            from: home(),
            lost: 0,
            told: Vec::new(),
            random,
        }
    }

    /// The browser has proved itself, is nominated, and keys are agreed.
    fn connected(browsers: Role, sources: &[u32]) -> (Stage, MediaKeys) {
        let mut stage = Stage::new(browsers, sources);
        stage.nominates(home());
        let told = stage.told();
        let [Event::Proved(_), Event::Target(Some(_)), Event::Secured(keys)] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!((&keys.ours, &keys.theirs), (&stage.keys().theirs, &stage.keys().ours));
        let keys = keys.clone();
        (stage, keys)
    }

    /// The browser's.
    fn keys(&self) -> &MediaKeys {
        self.dtls.keys().unwrap()
    }

    fn comes(&mut self, kind: Kind, from: Place, octets: &[u8]) -> bool {
        let let_through = self.peer.receive(self.now, kind, from, octets);
        self.carry();
        let_through
    }

    fn nominates(&mut self, from: Place) {
        let check = self.checks.nominating();
        assert!(!self.comes(Kind::Stun, from, &check));
        if self.dtls.begin(self.now).is_ok() {
            self.carry();
        }
    }

    /// Carries datagrams between the two until there are none.
    fn carry(&mut self) {
        loop {
            let mut quiet = true;
            while let Some((to, octets)) = self.peer.poll_transmit() {
                quiet = false;
                if !self.at.contains(&to) {
                    continue;
                }
                if is_check(&octets) {
                    let answer = answer(&octets, &self.password);
                    self.peer.receive(self.now, Kind::Stun, to, &answer);
                } else if Kind::of(&octets) == Some(Kind::Dtls) {
                    if self.lost > 0 {
                        self.lost -= 1;
                        continue;
                    }
                    // A browser that refuses us says so, and no more; it is ours that is looked at here.
                    let _refused = self.dtls.receive(self.now, &octets);
                }
            }
            while let Some(octets) = self.dtls.poll_transmit() {
                quiet = false;
                assert!(!self.peer.receive(self.now, Kind::Dtls, self.from, &octets));
            }
            if quiet {
                break;
            }
        }
        self.told.extend(std::iter::from_fn(|| self.peer.poll_event()));
    }

    fn told(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.told)
    }

    /// Time goes by, and every timer fires when it is due.
    fn lasts(&mut self, how_long: Duration) {
        let end = self.now + how_long;
        loop {
            let due = [self.peer.poll_timeout(), self.dtls.poll_timeout()].into_iter().flatten().min();
            let Some(at) = due.filter(|at| *at <= end) else { break };
            self.now = at.max(self.now);
            self.peer.handle_timeout(self.now);
            self.dtls.handle_timeout(self.now).unwrap();
            self.carry();
        }
        self.now = end;
    }

    /// A packet of the browser's sound, sealed.
    fn sound(&self, seal: &mut Seal, number: u16) -> Vec<u8> {
        let mut sealed = packet(SOURCE, number);
        let length = sealed.len();
        sealed.resize(length + MAX_RTCP_TRAILER_BYTES, 0);
        let made = seal.rtp(&mut sealed, length).unwrap();
        sealed.truncate(made);
        sealed
    }

    /// All that a datagram could have changed, besides what goes out.
    fn state(&self) -> (usize, Option<Instant>, usize) {
        (self.peer.paths(), self.peer.poll_timeout(), self.told.len())
    }

    /// A datagram comes that changes nothing, and that nobody answers.
    fn ignores(&mut self, kind: Kind, from: Place, octets: &[u8]) {
        self.told.extend(std::iter::from_fn(|| self.peer.poll_event()));
        let before = self.state();
        assert!(!self.peer.receive(self.now, kind, from, octets), "{kind:?} {octets:?}");
        assert_eq!(self.peer.poll_transmit(), None, "{kind:?} {octets:?}");
        self.told.extend(std::iter::from_fn(|| self.peer.poll_event()));
        assert_eq!(self.state(), before, "{kind:?} {octets:?}");
    }
}

fn packet(source: u32, number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    [&[0x80, 0, high, low, 0, 0, 0, 9][..], &source.to_be_bytes(), &[5; 160]].concat()
}

/// An alert of DTLS 1.2 that is sealed with nothing.
fn alert(level: u8, what: u8) -> Vec<u8> {
    vec![21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0x11, 0x11, 0, 2, level, what]
}

#[test]
fn keys_are_agreed_whoever_begins() {
    for browsers in [Role::Active, Role::Passive] {
        let (mut stage, _) = Stage::connected(browsers, &[SOURCE]);
        let mut seal = Seal::new(&stage.keys().ours.clone());
        let sound = stage.sound(&mut seal, 1);
        assert!(stage.comes(Kind::Media, home(), &sound), "{browsers:?}");
        stage.lasts(Duration::from_secs(60));
        assert_eq!(stage.told(), [], "nobody gives it up any more");
    }
}

#[test]
fn handshakes_that_get_lost_are_sent_again() {
    for browsers in [Role::Active, Role::Passive] {
        for lost in 1..4 {
            let mut stage = Stage::new(browsers, &[SOURCE]);
            stage.lost = lost;
            stage.nominates(home());
            stage.lasts(Duration::from_secs(8));
            let told = stage.told();
            assert!(matches!(told[..], [_, _, Event::Secured(_)]), "{browsers:?} {lost}: {told:?}");
        }
    }
}

#[test]
fn whoever_does_not_come_or_does_not_finish_is_given_up_and_told_why() {
    let failed = |stage: &mut Stage| {
        stage.lasts(CONNECT + STEP);
        let told = stage.told();
        let Some(Event::Failed(why)) = told.last() else { panic!("{told:?}") };
        why.clone()
    };
    let mut stage = Stage::new(Role::Passive, &[]);
    assert!(failed(&mut stage).contains("no ICE check has come through"));

    let mut stage = Stage::new(Role::Passive, &[]);
    stage.lost = usize::MAX;
    stage.nominates(home());
    assert!(failed(&mut stage).contains("did not end in time"));

    // A browser that refuses our certificate says alert 42 in clear, and then nothing.
    let mut stage = Stage::new(Role::Passive, &[]);
    stage.lost = usize::MAX;
    stage.nominates(home());
    stage.comes(Kind::Dtls, home(), &alert(2, 42));
    assert!(failed(&mut stage).contains("alert 42"));
}

#[test]
fn a_certificate_that_is_not_the_one_of_the_description_gets_no_keys() {
    let (ours, said, has) = (Identity::new().unwrap(), Identity::new().unwrap(), Identity::new().unwrap());
    for browsers in [Role::Active, Role::Passive] {
        let mut stage = Stage::with(browsers, &[], &ours, &said, &has);
        stage.nominates(home());
        let told = stage.told();
        assert!(matches!(told.last(), Some(Event::Failed(_))), "{told:?}");
        assert!(!told.iter().any(|event| matches!(event, Event::Secured(_))));
        assert!(!stage.comes(Kind::Media, home(), &packet(SOURCE, 1)));
    }
}

#[test]
fn a_forged_alert_ends_no_handshake() {
    for browsers in [Role::Active, Role::Passive] {
        let mut stage = Stage::new(browsers, &[]);
        // The first flight of each side gets lost: there is time for mischief.
        stage.lost = 1;
        stage.nominates(home());
        for forged in [alert(2, 40), alert(1, 0), alert(2, 255)] {
            stage.ignores(Kind::Dtls, home(), &forged);
        }
        stage.lasts(Duration::from_secs(3));
        let told = stage.told();
        assert!(matches!(told[..], [_, _, Event::Secured(_)]), "{browsers:?}: {told:?}");
    }
}

#[test]
fn consent_that_ends_is_told_and_a_browser_that_comes_back_is_heard_again() {
    let (mut stage, _) = Stage::connected(Role::Passive, &[SOURCE]);
    let mut seal = Seal::new(&stage.keys().ours.clone());
    stage.at.clear();
    stage.lasts(Duration::from_secs(31));
    assert_eq!(stage.told(), [Event::Gone(home()), Event::Target(None), Event::Lost]);
    let sound = stage.sound(&mut seal, 1);
    assert!(!stage.comes(Kind::Media, home(), &sound), "no consent, no proof: nothing is taken");
    stage.at = vec![away()];
    stage.nominates(away());
    assert_eq!(stage.told(), [Event::Proved(away()), Event::Target(Some(away()))]);
    let sound = stage.sound(&mut seal, 2);
    assert!(stage.comes(Kind::Media, away(), &sound), "under the keys of before");
}

#[test]
fn a_restart_while_somebody_talks_keeps_keys_and_sound() {
    let (mut stage, _) = Stage::connected(Role::Active, &[SOURCE]);
    let mut seal = Seal::new(&stage.keys().ours.clone());
    let mut number = 0;
    let talks = |stage: &mut Stage, number: &mut u16, seal: &mut Seal, from| {
        for _ in 0..50 {
            *number += 1;
            let sound = stage.sound(seal, *number);
            assert!(stage.comes(Kind::Media, from, &sound), "{number}");
            stage.lasts(STEP);
        }
    };
    talks(&mut stage, &mut number, &mut seal, home());
    let anew = Credentials { ufrag: "them".into(), pwd: "another-password-of-theirs".into() };
    let before = stage.peer.credentials().clone();
    let fragment = Fragment { ice: Some(anew.clone()), candidates: vec![away().at] };
    let mut random = std::mem::replace(&mut stage.random, Random::new([0; 32]));
    assert!(stage.peer.add(stage.now, &fragment, &mut random));
    assert_ne!(*stage.peer.credentials(), before);
    (stage.password, stage.at) = (anew.pwd.clone(), vec![home(), away()]);
    stage.carry();
    talks(&mut stage, &mut number, &mut seal, home());
    stage.checks = Checks::of(stage.peer.credentials());
    stage.nominates(away());
    let told = stage.told();
    assert!(told.contains(&Event::Target(Some(away()))), "{told:?}");
    assert!(!told.iter().any(|event| matches!(event, Event::Target(None) | Event::Secured(_) | Event::Lost)));
    stage.from = away();
    talks(&mut stage, &mut number, &mut seal, away());
    // The same fragment again is no new beginning.
    assert!(!stage.peer.add(stage.now, &fragment, &mut random));
}

#[test]
fn forged_sound_does_not_keep_a_call_where_the_browser_has_left() {
    let (mut stage, _) = Stage::connected(Role::Passive, &[SOURCE]);
    (stage.at, stage.from) = (vec![away()], away());
    stage.nominates(away());
    for number in 0..100 {
        stage.comes(Kind::Media, home(), &packet(SOURCE, number));
        stage.comes(Kind::Dtls, home(), &[22; 40]);
        stage.lasts(STEP);
    }
    assert_eq!(stage.told(), [Event::Proved(away()), Event::Target(Some(away()))]);
    // Nor does it keep the old address for longer than it is of use.
    for number in 100..2000 {
        stage.comes(Kind::Media, home(), &packet(SOURCE, number));
        stage.lasts(STEP);
    }
    assert!(stage.told().contains(&Event::Gone(home())));
}

#[test]
fn strangers_change_nothing_of_a_call_and_are_not_answered() {
    let (mut stage, _) = Stage::connected(Role::Passive, &[SOURCE]);
    let Checks { user, password, .. } = stage.checks.clone();
    let ours = |user: &str, password: &str| {
        Checks { user: user.to_owned(), password: password.to_owned(), count: 99 }.nominating()
    };
    let id = TransactionId([0; 12]);
    let hello = [&[22, 0xfe, 0xff][..], &[0; 7], &[1, 0, 14, 1, 0, 0, 2], &[0; 7], &[2, 0xfe, 0xfd]].concat();
    for (kind, octets) in [
        (Kind::Stun, ours(&user, "a password that is wrong")),
        (Kind::Stun, ours(&user, PASSWORD)),
        (Kind::Stun, ours("them:them", &password)),
        (Kind::Stun, ours(&user[..user.len() - 1], &password)),
        (Kind::Stun, stun(BINDING_REQUEST, id, &password, &[], &[])),
        (Kind::Stun, stun(BINDING_SUCCESS, id, PASSWORD, &[], &[])),
        (Kind::Dtls, hello),
        (Kind::Dtls, vec![40; 300]),
        (Kind::Media, packet(SOURCE, 1)),
    ] {
        stage.ignores(kind, stranger(), &octets);
    }
    // The same check with the password is one: what is refused above is refused for that alone.
    let before = stage.state();
    stage.comes(Kind::Stun, stranger(), &ours(&user, &password));
    assert_ne!(stage.state(), before);
}

#[test]
fn what_stands_behind_the_integrity_of_a_check_says_nothing() {
    let mut stage = Stage::new(Role::Passive, &[]);
    let Checks { user, password, .. } = stage.checks.clone();
    // Overheard, and nominated by whoever overheard it: the integrity does not cover that.
    let behind: Attributes<'_> = &[(ATTR_USE_CANDIDATE, &[]), (ATTR_PRIORITY, &[0xff; 4])];
    let name = [(ATTR_USERNAME, user.as_bytes()), (ATTR_ICE_CONTROLLING, &[1; 8])];
    let octets = stun(BINDING_REQUEST, TransactionId([99; 12]), &password, &name, behind);
    stage.comes(Kind::Stun, home(), &octets);
    let check = stage.checks.plain();
    stage.comes(Kind::Stun, home(), &check);
    let told = stage.told();
    assert!(told.contains(&Event::Proved(home())));
    assert!(!told.iter().any(|event| matches!(event, Event::Target(_))), "nominated by nobody: {told:?}");
}

#[test]
fn dtls_is_taken_only_from_where_a_check_of_ours_was_answered() {
    let mut stage = Stage::new(Role::Active, &[]);
    stage.dtls.begin(stage.now).unwrap();
    let hello = stage.dtls.poll_transmit().unwrap();
    stage.ignores(Kind::Dtls, home(), &hello);
    let check = stage.checks.nominating();
    stage.peer.receive(stage.now, Kind::Stun, home(), &check);
    let sent: Vec<_> = std::iter::from_fn(|| stage.peer.poll_transmit()).collect();
    let (_, ours) = sent.iter().find(|(_, octets)| is_check(octets)).unwrap();
    stage.ignores(Kind::Dtls, home(), &hello); // an authentic check came, and ours has no answer yet
    for wrong in ["a password that is wrong", &stage.checks.password.clone()] {
        stage.ignores(Kind::Stun, home(), &answer(ours, wrong));
        stage.ignores(Kind::Dtls, home(), &hello);
    }
    stage.ignores(Kind::Stun, stranger(), &answer(ours, PASSWORD));
    stage.ignores(Kind::Dtls, stranger(), &hello);
    stage.peer.receive(stage.now, Kind::Stun, home(), &answer(ours, PASSWORD));
    stage.ignores(Kind::Dtls, stranger(), &hello);
    stage.peer.receive(stage.now, Kind::Dtls, home(), &hello);
    assert!(stage.peer.poll_transmit().is_some());
}

#[test]
fn forged_sources_change_nothing_and_what_came_before_is_dropped() {
    for sources in [&[SOURCE][..], &[]] {
        let (mut stage, ours) = Stage::connected(Role::Passive, sources);
        let mut open = Open::new(&ours.theirs);
        let unopened = format!("{open:?}");
        let before = stage.state();
        for forged in (0..FORGERIES).map(|n| SOURCE.wrapping_add(1 + n)) {
            let mut octets = packet(forged, 1);
            assert!(
                !stage.peer.receive(stage.now, Kind::Media, home(), &octets),
                "a source that is nobody's"
            );
            octets[1] = 192 + (forged % 32) as u8;
            assert!(!stage.peer.receive(stage.now, Kind::Media, home(), &octets), "what looks like a report");
            assert_eq!(open.rtp(&mut octets), Err(OpenError::NotAuthentic), "nor would it be opened");
        }
        assert_eq!((stage.state(), format!("{open:?}")), (before, unopened));

        stage.now += STEP;
        let mut seal = Seal::new(&stage.keys().ours.clone());
        let mut sealed = stage.sound(&mut seal, 1);
        let length = packet(SOURCE, 1).len();
        assert!(!stage.comes(Kind::Media, stranger(), &sealed), "from elsewhere");
        assert!(stage.comes(Kind::Media, home(), &sealed));
        assert_eq!(open.rtp(&mut sealed.clone()), Ok(length));
        assert_eq!(open.rtp(&mut sealed), Err(OpenError::Replayed));
    }
}

#[test]
fn checks_gone_wrong_are_refused_whatever_their_fingerprint_says() {
    const ROUNDS: u64 = 20_000;
    let (mut stage, _) = Stage::connected(Role::Passive, &[SOURCE]);
    let whole = stage.checks.nominating();
    // Without its fingerprint, which anybody can write anew.
    let whole = &whole[..whole.len() - 8];
    let mut random = Random::new([9; 32]);
    for _ in 0..ROUNDS {
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
        stage.ignores(Kind::Stun, stranger(), &message.raw);
    }
}
