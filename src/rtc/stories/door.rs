//! Calls of browsers at the door: how they begin and end, and what the door does not let itself be made to do.

mod streams;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use sbc_config::{Config, PersonId, SecretError, SecretSource};
use sidetone_media::srtp::{MAX_RTCP_TRAILER_BYTES, Seal};

use super::*;
use crate::call::door::{AgreedMedia, Order, Report};
use crate::call::{Address, Cause, LegAction, LegEvent, LegId, Target};
use crate::rtc::door::{Door, LEGS_OF_PERSON_MAX, Wanted};
use crate::rtc::dtls::{Association, Fingerprint, Identity, Role};
use crate::rtc::ice::PATHS_MAX;
use crate::rtc::place::StreamId;
use crate::rtc::presence::{Browsers, Ready};
use crate::rtc::sdp::Here;
use crate::rtc::signal::{Answer, Purpose, Refusal, Request};

const CONFIG: &str = r#"
[server]
name = "test"
database = "sqlite::memory:"
[sip]
udp = "127.0.0.1:5060"
realm = "test"
[media]
listen = "127.0.0.1"
ports = "20000-29999"
[webrtc]
listen = "127.0.0.1:7000"
[api]
listen = "127.0.0.1:0"
[[tenant]]
id = "acme"
name = "Acme"
[[person]]
id = "wendy"
tenant = "acme"
role = "agent"
extension = "105"
webrtc = true
[[person]]
id = "walter"
tenant = "acme"
role = "agent"
extension = "106"
webrtc = true
[[person]]
id = "alice"
tenant = "acme"
role = "agent"
extension = "100"
contact = "sip:alice@192.0.2.11"
"#;

struct NoSecrets;

impl SecretSource for NoSecrets {
    fn file(&self, _: &str) -> Result<String, SecretError> {
        Err(SecretError::NotFound)
    }

    fn env(&self, _: &str) -> Result<String, SecretError> {
        Err(SecretError::NotFound)
    }
}

/// The door, and what it has wanted.
struct Stage {
    now: Instant,
    door: Door,
    browsers: Browsers,
    sent: Vec<(Place, Vec<u8>)>,
    targets: Vec<(LegId, Option<Place>)>,
    told: Vec<Report>,
    /// Legs whose wires are nobody's business any more.
    over: Vec<LegId>,
    /// Connections that were to be closed.
    closed: Vec<StreamId>,
}

/// A browser with a call.
struct Browser {
    leg: LegId,
    at: Place,
    dtls: Association,
    checks: Checks,
    voice: u32,
    /// The source that the description names for what it is sent.
    source: u32,
    number: u16,
}

fn wendy() -> PersonId {
    PersonId::new("wendy").unwrap()
}

/// The voice of the browser that offers as its `n`th.
fn voice(n: u16) -> u32 {
    0x5eed_0000 + u32::from(n)
}

fn nth(n: u16) -> Place {
    Place::from(SocketAddr::from(([192, 0, 2, 5], 61_000 + n)))
}

impl Stage {
    fn new() -> Stage {
        Stage::with(CONFIG)
    }

    fn with(config: &str) -> Stage {
        let config = match Config::parse(config, &NoSecrets) {
            Ok(config) => config,
            Err(findings) => panic!("{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>()),
        };
        let browsers = Browsers::default();
        let at =
            Here { udp: "203.0.113.7:7000".parse().unwrap(), tcp: Some("203.0.113.8:443".parse().unwrap()) };
        let config = Arc::new(ArcSwap::from_pointee(config));
        let door = Door::new(config, browsers.clone(), Identity::new().unwrap(), at, [4; 32]);
        Stage {
            now: Instant::now(),
            door,
            browsers,
            sent: Vec::new(),
            targets: Vec::new(),
            told: Vec::new(),
            over: Vec::new(),
            closed: Vec::new(),
        }
    }

    fn ready(&self) -> Ready {
        self.browsers.ready(&wendy())
    }

    fn order(&mut self, leg: LegId, action: LegAction) {
        let order = Order { leg, action, media: None, prefer: Vec::new(), caller: None, card: None };
        self.door.order(self.now, order);
        self.drain();
    }

    fn dials(&mut self, leg: LegId, person: &str) {
        let address = Address::Person(PersonId::new(person).unwrap());
        self.order(leg, LegAction::Dial(Target { address, name: person.to_owned() }));
    }

    /// The `n`th browser of this person offers.
    fn offers(
        &mut self,
        n: u16,
        role: Role,
        person: &PersonId,
        purpose: Purpose,
    ) -> Result<Browser, Refusal> {
        let identity = Identity::new().unwrap();
        let setup = if role == Role::Active { "active" } else { "actpass" };
        let sdp = format!(
            "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=rtcp-mux\r\na=ice-ufrag:them\r\na=ice-pwd:{PASSWORD}\r\n\
             a=setup:{setup}\r\na=fingerprint:{}\r\na=ssrc:{} cname:x\r\n",
            identity.fingerprint(),
            voice(n),
        );
        let answer = self.door.ask(self.now, person, Request::Offer { sdp, purpose })?;
        self.drain();
        let Answer::Description { leg, sdp } = answer else { panic!("{answer:?}") };
        let fingerprint = Fingerprint::parse(said(&sdp, "a=fingerprint:")).unwrap();
        let source = said(&sdp, "a=ssrc:").split(' ').next().unwrap().parse().unwrap();
        Ok(Browser {
            leg,
            at: nth(n),
            dtls: Association::new(&identity, role, fingerprint).unwrap(),
            checks: Checks::of(&credentials(&sdp)),
            voice: voice(n),
            source,
            number: 0,
        })
    }

    /// A browser that calls and gets as far as keys.
    fn calls(&mut self, n: u16) -> Browser {
        let to = Purpose::Call("100".to_owned());
        let mut browser = self.offers(n, Role::Passive, &wendy(), to).unwrap();
        self.connects(&mut browser);
        browser
    }

    /// A browser in a call, heard and hearing.
    fn in_call(&mut self, n: u16) -> Browser {
        let browser = self.calls(n);
        self.order(browser.leg, LegAction::Answer);
        assert!(self.reports(browser.leg).contains(&"Answered".to_owned()));
        browser
    }

    /// The browser proves its address and agrees on keys.
    fn connects(&mut self, browser: &mut Browser) {
        self.proves(browser);
        self.agrees(browser);
    }

    fn proves(&mut self, browser: &mut Browser) {
        let check = browser.checks.nominating();
        self.comes(browser.at, &check);
        self.answers(browser);
    }

    /// The browser answers the checks that were sent to it.
    fn answers(&mut self, browser: &Browser) {
        let to_it = |(to, octets): &(Place, Vec<u8>)| *to == browser.at && is_check(octets);
        let checks: Vec<_> = self.sent.iter().filter(|sent| to_it(sent)).cloned().collect();
        self.sent.retain(|sent| !to_it(sent));
        for (at, check) in checks {
            self.comes(at, &answer(&check, PASSWORD));
        }
    }

    fn agrees(&mut self, browser: &mut Browser) {
        browser.dtls.begin(self.now).unwrap();
        for _ in 0..16 {
            let sent = std::mem::take(&mut self.sent);
            for (_, octets) in sent.iter().filter(|(to, octets)| *to == browser.at && octets[0] > 19) {
                browser.dtls.receive(self.now, octets).unwrap();
            }
            while let Some(octets) = browser.dtls.poll_transmit() {
                self.comes(browser.at, &octets);
            }
            while self.door.shake(self.now) {}
            self.drain();
        }
        assert!(browser.dtls.keys().is_some());
    }

    fn comes(&mut self, from: Place, octets: &[u8]) -> Option<LegId> {
        if let Some(id) = from.stream {
            let media = self.reads(id, &framed(octets));
            assert!(media.iter().all(|(_, packet)| packet == octets));
            return media.first().map(|(leg, _)| *leg);
        }
        let leg = self.door.receive(self.now, from, octets);
        self.drain();
        leg
    }

    /// Octets come on a connection: the sound in them, and whose it is.
    fn reads(&mut self, id: StreamId, octets: &[u8]) -> Vec<(LegId, Vec<u8>)> {
        let mut media = Vec::new();
        self.door.read(self.now, id, octets, |leg, packet| media.push((leg, packet)));
        self.drain();
        media
    }

    /// Somebody connects from there.
    fn accepts(&mut self, from: Place) -> Option<Place> {
        let stream = self.door.accept(self.now, from.at);
        self.drain();
        stream.map(|stream| Place { stream: Some(stream), ..from })
    }

    /// The browser opens a connection, and is there from now on.
    fn connects_to(&mut self, browser: &mut Browser) -> StreamId {
        browser.at = self.accepts(browser.at).unwrap();
        browser.at.stream.unwrap()
    }

    fn drain(&mut self) {
        while let Some(wanted) = self.door.poll() {
            match wanted {
                Wanted::Report(report) => self.told.push(report),
                Wanted::Send(to, octets) => self.sent.push((to, octets)),
                Wanted::Target(leg, to) => self.targets.push((leg, to)),
                Wanted::Over(leg) => self.over.push(leg),
                Wanted::Close(id) => self.closed.push(id),
            }
        }
    }

    fn lasts(&mut self, how_long: Duration) {
        let end = self.now + how_long;
        while let Some(at) = self.door.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.door.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// What has been told of a leg since, in short.
    fn reports(&mut self, leg: LegId) -> Vec<String> {
        let (of_it, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.told).into_iter().partition(|report| {
                matches!(report, Report::Leg(of, _) | Report::Agreed(of, _) if *of == leg)
                    || matches!(report, Report::Incoming(incoming) if incoming.leg == leg)
            });
        self.told = others;
        let short = |report: &Report| match report {
            Report::Leg(_, LegEvent::Ended(end)) => format!("Ended: {:?}", end.cause),
            Report::Leg(_, event) => format!("{event:?}"),
            Report::Agreed(..) => "Agreed".to_owned(),
            Report::Incoming(_) => "Incoming".to_owned(),
            other => format!("{other:?}"),
        };
        of_it.iter().map(short).collect()
    }

    fn agreed(&self, leg: LegId) -> &AgreedMedia {
        let agreed = self.told.iter().find_map(|report| match report {
            Report::Agreed(of, agreed) if *of == leg => Some(agreed),
            _ => None,
        });
        agreed.unwrap()
    }
}

impl Browser {
    /// Its next packet of sound, sealed.
    fn speaks(&mut self) -> Vec<u8> {
        self.number += 1;
        let [high, low] = self.number.to_be_bytes();
        let mut packet =
            [&[0x80, 0, high, low, 0, 0, 0, 9][..], &self.voice.to_be_bytes(), &[5; 160]].concat();
        let length = packet.len();
        packet.resize(length + MAX_RTCP_TRAILER_BYTES, 0);
        let made = Seal::new(&self.dtls.keys().unwrap().ours).rtp(&mut packet, length).unwrap();
        packet.truncate(made);
        packet
    }
}

/// As it stands on a connection.
fn framed(octets: &[u8]) -> Vec<u8> {
    [&(octets.len() as u16).to_be_bytes()[..], octets].concat()
}

fn said<'a>(sdp: &'a str, what: &str) -> &'a str {
    sdp.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_else(|| panic!("no {what} in {sdp}"))
}

fn credentials(sdp: &str) -> Credentials {
    Credentials { ufrag: said(sdp, "a=ice-ufrag:").to_owned(), pwd: said(sdp, "a=ice-pwd:").to_owned() }
}

/// A ClientHello that its server has to answer.
fn hello() -> Vec<u8> {
    let (us, them) = (Identity::new().unwrap(), Identity::new().unwrap());
    let mut client = Association::new(&us, Role::Active, them.fingerprint().clone()).unwrap();
    client.begin(Instant::now()).unwrap();
    client.poll_transmit().unwrap()
}

#[test]
fn a_browser_that_is_rung_answers() {
    let mut stage = Stage::new();
    let leg = LegId(7);
    stage.dials(leg, "wendy");
    assert_eq!(stage.reports(leg), ["Ended: Unreachable"], "nobody listens");
    let _window = stage.ready();
    stage.dials(leg, "alice");
    assert_eq!(stage.reports(leg), ["Ended: Unreachable"], "her telephone is no browser");
    stage.dials(leg, "wendy");
    assert_eq!(stage.reports(leg), ["Ringing"]);
    let walter = PersonId::new("walter").unwrap();
    for (person, leg, refusal) in [
        (&walter, leg, Refusal::NotYours),
        (&wendy(), LegId(8), Refusal::NoSuchLeg),
        (&PersonId::new("alice").unwrap(), leg, Refusal::NoBrowser),
    ] {
        let refused = stage.offers(0, Role::Passive, person, Purpose::Answer(leg));
        assert_eq!(refused.err(), Some(refusal));
    }
    for role in [Role::Passive, Role::Active] {
        let mut browser = stage.offers(0, role, &wendy(), Purpose::Answer(leg)).unwrap();
        let twice = stage.offers(1, role, &wendy(), Purpose::Answer(leg));
        assert_eq!(twice.err(), Some(Refusal::Answered));
        stage.connects(&mut browser);
        assert_eq!(
            stage.agreed(leg).ssrc,
            Some(browser.source),
            "what the description names is what is sent"
        );
        assert_eq!(stage.reports(leg), ["Agreed", "Answered"], "{role:?}");
        let sound = browser.speaks();
        assert_eq!(stage.comes(browser.at, &sound), Some(leg));
        stage.door.ask(stage.now, &wendy(), Request::HangUp(leg)).unwrap();
        stage.drain();
        assert_eq!(stage.reports(leg), ["Ended: Normal"]);
        assert_eq!((stage.door.legs(), stage.door.remembered()), (0, 0));
        stage.dials(leg, "wendy");
        assert_eq!(stage.reports(leg), ["Ringing"]);
    }
}

#[test]
fn a_browser_that_calls_is_heard_when_the_switchboard_lets_it() {
    let mut stage = Stage::new();
    let browser = stage.calls(0);
    let leg = browser.leg;
    assert_eq!(stage.reports(leg), ["Incoming"], "keys are agreed, and nobody has answered");
    stage.order(leg, LegAction::OpenEarly);
    assert_eq!(stage.reports(leg), ["Agreed"]);
    stage.order(leg, LegAction::Answer);
    assert_eq!(stage.reports(leg), ["Answered"]);
    stage.order(leg, LegAction::OpenEarly);
    stage.order(leg, LegAction::Answer);
    assert_eq!(stage.reports(leg), Vec::<String>::new(), "once");
    stage.order(leg, LegAction::HangUp(Cause::Normal));
    assert_eq!(stage.reports(leg), ["Ended: Normal"]);
    assert_eq!(stage.over, [leg]);
    assert_eq!(stage.comes(browser.at, &[0x80; 172]), None, "nothing leads there any more");
}

#[test]
fn whoever_does_not_connect_is_given_up_and_forgotten() {
    let mut stage = Stage::new();
    let to = || Purpose::Call("100".to_owned());
    let legs: Vec<LegId> = (0..LEGS_OF_PERSON_MAX as u16)
        .map(|n| stage.offers(n, Role::Passive, &wendy(), to()).unwrap().leg)
        .collect();
    assert_eq!(stage.offers(9, Role::Passive, &wendy(), to()).err(), Some(Refusal::Full));
    let walter = PersonId::new("walter").unwrap();
    assert!(stage.offers(9, Role::Passive, &walter, to()).is_ok(), "one person's limit is not another's");
    stage.lasts(Duration::from_secs(16));
    for leg in legs {
        assert_eq!(stage.reports(leg), ["Incoming", "Ended: NotAcceptable"]);
    }
    assert_eq!((stage.door.legs(), stage.door.remembered()), (0, 0));
    assert_eq!(stage.door.poll_timeout(), None);
}

#[test]
fn a_browser_that_changes_its_address_keeps_its_call() {
    let mut stage = Stage::new();
    let mut browser = stage.in_call(0);
    let leg = browser.leg;
    assert_eq!(stage.targets, [(leg, Some(nth(0)))]);
    stage.told.clear();
    for to in [1, 2, 0] {
        browser.at = nth(to);
        stage.proves(&mut browser);
        // Its sound is taken from there at once; ours goes there when the old address does not answer.
        let sound = browser.speaks();
        assert_eq!(stage.comes(browser.at, &sound), Some(leg));
        stage.lasts(Duration::from_secs(1));
        assert_eq!(stage.targets.last(), Some(&(leg, Some(browser.at))));
    }
    assert_eq!(stage.reports(leg), Vec::<String>::new(), "the switchboard need not know");
    assert_eq!(stage.targets.len(), 4);
}

#[test]
fn ice_that_begins_anew_leaves_the_call_as_it_is() {
    let mut stage = Stage::new();
    let mut browser = stage.in_call(0);
    let leg = browser.leg;
    stage.told.clear();
    let old = browser.checks.clone();
    let text = format!("a=ice-ufrag:them\r\na=ice-pwd:{PASSWORD}AGAIN\r\n");
    let ask = |stage: &mut Stage, text: &str| {
        let answer =
            stage.door.ask(stage.now, &wendy(), Request::Fragment { leg, text: text.to_owned() }).unwrap();
        stage.drain();
        answer
    };
    let Answer::Fragment(ours) = ask(&mut stage, &text) else { panic!("no new beginning") };
    assert_eq!(said(&ours, "a=candidate:1 "), "1 udp 2130706431 203.0.113.7 7000 typ host");
    assert_eq!(said(&ours, "a=candidate:2 "), "1 tcp 1520435199 203.0.113.8 443 typ host tcptype passive");
    assert_eq!(ask(&mut stage, &text), Answer::Done, "the same again is none");
    let before = stage.door.remembered();
    browser.checks = old;
    let check = browser.checks.nominating();
    stage.comes(nth(1), &check);
    assert_eq!((stage.door.remembered(), stage.sent.len()), (before, 0), "nobody has the old name any more");
    browser.checks = Checks::of(&credentials(&ours));
    let check = browser.checks.nominating();
    stage.comes(nth(1), &check);
    let (_, ours) =
        stage.sent.iter().find(|(to, octets)| *to == nth(1) && is_check(octets)).cloned().unwrap();
    stage.comes(nth(1), &answer(&ours, &format!("{PASSWORD}AGAIN")));
    assert_eq!(stage.targets.last(), Some(&(leg, Some(nth(1)))));
    let sound = browser.speaks();
    assert_eq!(stage.comes(nth(1), &sound), Some(leg), "under the same keys");
    assert_eq!(stage.reports(leg), Vec::<String>::new());
}

#[test]
fn a_flood_of_hellos_waits_and_sound_does_not() {
    let mut stage = Stage::new();
    let mut talks = stage.in_call(0);
    // Three browsers that would begin the handshake, each at an address that it has proved.
    let others: Vec<Browser> = (1..LEGS_OF_PERSON_MAX as u16)
        .map(|n| {
            let to = Purpose::Call("100".to_owned());
            let mut browser = stage.offers(n, Role::Active, &wendy(), to).unwrap();
            stage.proves(&mut browser);
            browser
        })
        .collect();
    stage.sent.clear();
    let hello = hello();
    let before = stage.door.remembered();
    for round in 0..1000 {
        for other in &others {
            assert_eq!(stage.comes(other.at, &hello), None);
        }
        if round % 100 == 0 {
            let sound = talks.speaks();
            assert_eq!(stage.comes(talks.at, &sound), Some(talks.leg), "at once");
        }
    }
    assert_eq!(stage.sent, [], "nothing has been signed yet");
    let waiting = stage.door.remembered() - before;
    assert_eq!(waiting, others.len() * (8 + 1), "eight of each, and its place in the row");
    // One at a time, and everybody's first before anybody's second.
    let mut answered = Vec::new();
    while stage.door.shake(stage.now) {
        stage.drain();
        answered.extend(stage.sent.drain(..).map(|(to, _)| to));
        answered.dedup();
    }
    assert_eq!(answered[..others.len()], others.iter().map(|other| other.at).collect::<Vec<_>>());
    assert_eq!(stage.door.remembered(), before);
    assert!(!stage.door.shake(stage.now), "nothing is left");
}

#[test]
fn handshakes_that_wait_go_with_their_leg() {
    let mut stage = Stage::new();
    let to = Purpose::Call("100".to_owned());
    let mut browser = stage.offers(0, Role::Active, &wendy(), to).unwrap();
    stage.proves(&mut browser);
    stage.comes(browser.at, &hello());
    stage.order(browser.leg, LegAction::HangUp(Cause::Normal));
    assert!(!stage.door.shake(stage.now));
    assert_eq!(stage.door.remembered(), 0);
}

#[test]
fn what_strangers_and_forgers_send_is_not_remembered() {
    const ROUNDS: u32 = 20_000;
    let mut stage = Stage::new();
    let mut browser = stage.in_call(0);
    stage.sent.clear();
    let before = (stage.door.remembered(), stage.door.poll_timeout());
    let overheard = browser.checks.clone();
    let hello = hello();
    for round in 0..ROUNDS {
        let from = (std::net::Ipv4Addr::from(0xc633_6400 + round % 200), round as u16 | 1);
        let from = Place::from(SocketAddr::from(from));
        let source = (round | 1 << 31).to_be_bytes();
        let sound = [&[0x80, 0, 0, 1, 0, 0, 0, 0][..], &source, &[9; 100]].concat();
        let wrong =
            Checks { password: "a password that is wrong".to_owned(), ..overheard.clone() }.nominating();
        for (from, octets) in [(from, &hello), (from, &sound), (from, &wrong), (browser.at, &sound)] {
            assert_eq!(stage.comes(from, octets), None);
        }
    }
    assert_eq!((stage.door.remembered(), stage.door.poll_timeout()), before);
    assert_eq!(stage.sent, []);

    // Even checks that are genuine take no more room than a browser may have.
    for n in 0..200 {
        let check = browser.checks.plain();
        stage.comes(SocketAddr::from(([198, 51, 100, 7], 1000 + n)).into(), &check);
    }
    assert!(stage.door.remembered() < before.0 + PATHS_MAX);
    let sound = browser.speaks();
    assert_eq!(stage.comes(browser.at, &sound), Some(browser.leg));
}

#[test]
fn a_browser_that_says_goodbye_has_ended_its_call() {
    let mut stage = Stage::new();
    let mut browser = stage.in_call(0);
    stage.told.clear();
    browser.dtls.close(stage.now);
    let farewell = browser.dtls.poll_transmit().unwrap();
    stage.comes(browser.at, &farewell);
    while stage.door.shake(stage.now) {}
    stage.drain();
    assert_eq!(stage.reports(browser.leg), ["Ended: Normal"]);
    assert_eq!((stage.door.legs(), stage.door.remembered()), (0, 0));
}

#[test]
fn media_that_is_lost_is_told_and_the_call_is_the_switchboards_to_end() {
    let mut stage = Stage::new();
    let mut browser = stage.in_call(0);
    stage.told.clear();
    stage.lasts(Duration::from_secs(31));
    assert_eq!(stage.reports(browser.leg), ["MediaLost"]);
    assert_eq!(stage.targets.last(), Some(&(browser.leg, None)), "nothing is sent without consent");
    stage.proves(&mut browser);
    assert_eq!(stage.targets.last(), Some(&(browser.leg, Some(browser.at))), "and back");
    assert_eq!(stage.door.legs(), 1);
}
