//! The door: browsers as legs of calls. Pure: orders, offers, packets and the time go in; reports and packets come out.
//!
//! ```text
//!   Dial ──> Rings ── offer for the leg ──┐              keys are agreed,
//!                                         ├─> Connects ── and the order is there ──> Up
//!   offer to call ── Incoming ────────────┘                                          │
//!               declined, given up, ordered to end, not connected in time            │ hung up, ordered to end, closed
//!                                         └──────────────> Ended <───────────────────┘
//! ```

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use sbc_config::{Config, Person, PersonId, Reach};
use sidetone_media::codec::Codec;

use crate::call::alarm::LegAlarms;
use crate::call::door::{
    AgreedMedia, Caller, DoorName, IN_PROCESS, Incoming, MediaKeys, Order, Origin, Report, codecs,
};
use crate::call::{Address, Cause, LegAction, LegEnd, LegEvent, LegId, Target};
use crate::random::Random;

use super::codec::{Chosen, choose};
use super::dtls::Identity;
use super::mux::{Kind, Mux};
use super::peer::{Event, Peer};
use super::place::{Place, StreamId};
use super::presence::Browsers;
use super::sdp::{self, Fragment, Here, Offer};
use super::signal::{Answer, Purpose, Refusal, Request};
use super::streams::Streams;

/// Milliseconds of sound in a packet to a browser.
const PTIME_MS: u8 = 20;

/// Legs at one time: what the tables of a gateway that is attacked by its own people may hold.
pub const LEGS_MAX: usize = 20_000;

/// Legs of one person at one time: a call, one on hold, one that rings, and one that has not been cleared away.
pub const LEGS_OF_PERSON_MAX: usize = 4;

/// Datagrams of one leg's handshake that may wait: as many as two flights of a browser that cuts its messages small. Who
/// sends more sends them again.
const HANDSHAKES_WAITING_MAX: usize = 8;

/// What the door wants done.
#[derive(Debug)]
pub enum Wanted {
    /// News for the switchboard.
    Report(Report),
    /// A packet to be sent.
    Send(Place, Vec<u8>),
    /// The leg's packets go here from now on, or nowhere.
    Target(LegId, Option<Place>),
    /// A connection to be closed.
    Close(StreamId),
    /// The leg is over: its wire is not the door's business any more.
    Over(LegId),
}

/// The WebRTC door.
pub struct Door {
    config: Arc<ArcSwap<Config>>,
    browsers: Browsers,
    identity: Identity,
    at: Here,
    random: Random,
    mux: Mux,
    streams: Streams,
    legs: HashMap<LegId, Leg>,
    alarms: LegAlarms,
    /// Legs with handshakes that wait, each once, in the order of their turns.
    turns: VecDeque<LegId>,
    wanted: VecDeque<Wanted>,
}

struct Leg {
    person: PersonId,
    side: Side,
    connection: Option<Connection>,
}

/// Who began.
enum Side {
    /// The gateway rings the browser; what the rest of the call speaks.
    Rung(Vec<Codec>),
    /// The browser calls.
    Calls(Admitted),
}

/// How far a call of a browser's has been let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Admitted {
    /// It waits.
    Not,
    /// There is something to hear before the answer.
    ToHear,
    /// It is answered.
    ToTalk,
}

/// An offer has been answered.
struct Connection {
    peer: Peer,
    chosen: Chosen,
    /// Whether the browser listens, and whether it sends.
    listens: bool,
    sends: bool,
    /// The SSRC that our description names.
    source: u32,
    /// Datagrams of its handshake that wait for their turn.
    handshakes: VecDeque<(Place, Vec<u8>)>,
    keys: Option<MediaKeys>,
    agreed: bool,
    up: bool,
}

impl Door {
    /// A door with nobody at it.
    pub fn new(
        config: Arc<ArcSwap<Config>>,
        browsers: Browsers,
        identity: Identity,
        at: Here,
        seed: [u8; 32],
    ) -> Door {
        let streams = Streams::new(config.load().webrtc.tcp_connections_max);
        Door {
            config,
            browsers,
            identity,
            at,
            random: Random::new(seed),
            mux: Mux::default(),
            streams,
            legs: HashMap::new(),
            alarms: LegAlarms::default(),
            turns: VecDeque::new(),
            wanted: VecDeque::new(),
        }
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<Wanted> {
        self.wanted.pop_front()
    }

    /// When [`Door::handle_timeout`] is next wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.alarms.next().into_iter().chain(self.streams.poll_timeout()).min()
    }

    /// How many legs are open.
    pub fn legs(&self) -> usize {
        self.legs.len()
    }

    /// How many connections are open.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// How much is remembered of legs, their addresses and their handshakes, and of connections.
    pub fn remembered(&self) -> usize {
        let of = |connection: &Connection| connection.peer.paths() + connection.handshakes.len();
        let connections = self.legs.values().filter_map(|leg| leg.connection.as_ref());
        self.mux.len() + self.turns.len() + self.streams.len() + connections.map(of).sum::<usize>()
    }

    // --- orders

    /// Carries out an order of the switchboard.
    pub fn order(&mut self, now: Instant, order: Order) {
        let id = order.leg;
        match order.action {
            LegAction::Dial(target) => {
                if let Err(end) = self.dial(id, &target, order.prefer) {
                    self.report(Report::Leg(id, LegEvent::Ended(end)));
                }
            }
            LegAction::OpenEarly => self.admit(id, Admitted::ToHear),
            LegAction::Answer => self.admit(id, Admitted::ToTalk),
            LegAction::HangUp(cause) => self.end(now, id, LegEnd::of(cause)),
            // A browser that calls hears of ringing by events. Hold is the gateway's music, digits are packets of the
            // room's, and no browser asks to be replaced over this door.
            LegAction::Alert
            | LegAction::Hold
            | LegAction::Resume
            | LegAction::SendDigits(_)
            | LegAction::Refer(_) => {}
        }
        self.settle(now, id);
    }

    fn dial(&mut self, id: LegId, target: &Target, prefer: Vec<Codec>) -> Result<(), LegEnd> {
        let config = self.config.load_full();
        let Address::Person(person) = &target.address else {
            return Err(unreachable("this is no address of a browser"));
        };
        let known = config.person(person).filter(|known| known.reach == Reach::Browser);
        let known = known.ok_or_else(|| unreachable("the person takes no calls in a browser"))?;
        if !self.browsers.listens(&known.id) {
            return Err(unreachable("no browser of this person is ready"));
        }
        if self.legs.len() >= LEGS_MAX {
            return Err(LegEnd { cause: Cause::Congestion, detail: "too many browsers".to_owned() });
        }
        let leg = Leg { person: person.clone(), side: Side::Rung(prefer), connection: None };
        self.legs.insert(id, leg);
        self.report(Report::Leg(id, LegEvent::Ringing));
        Ok(())
    }

    fn admit(&mut self, id: LegId, how_far: Admitted) {
        if let Some(Side::Calls(admitted)) = self.legs.get_mut(&id).map(|leg| &mut leg.side) {
            *admitted = how_far.max(*admitted);
        }
    }

    // --- what browsers ask

    /// A browser of this person asks for something.
    ///
    /// # Errors
    /// [`Refusal`]. Nothing has changed.
    pub fn ask(&mut self, now: Instant, person: &PersonId, request: Request) -> Result<Answer, Refusal> {
        match request {
            Request::Offer { sdp, purpose } => {
                let config = self.config.load_full();
                let known = config.person(person).filter(|known| known.reach == Reach::Browser);
                let known = known.ok_or(Refusal::NoBrowser)?;
                let offer = Offer::read(&sdp)?;
                match purpose {
                    Purpose::Answer(leg) => self.answer(now, &config, leg, person, &offer),
                    Purpose::Call(to) => self.call(now, &config, known, to, &offer),
                }
            }
            Request::Fragment { leg, text } => {
                let fragment = Fragment::read(&text).ok_or(Refusal::BadFragment)?;
                self.add(now, leg, person, &fragment)
            }
            Request::HangUp(id) => {
                let leg = self.leg_of(id, person)?;
                let (rung, up) = (matches!(leg.side, Side::Rung(_)), leg.is_up());
                let cause = match (rung, up) {
                    (_, true) => Cause::Normal,
                    (true, false) => Cause::Declined,
                    (false, false) => Cause::Cancelled,
                };
                self.end(now, id, LegEnd::of(cause));
                Ok(Answer::Done)
            }
        }
    }

    /// The leg, if it is this person's.
    fn leg_of(&self, id: LegId, person: &PersonId) -> Result<&Leg, Refusal> {
        let leg = self.legs.get(&id).ok_or(Refusal::NoSuchLeg)?;
        if leg.person == *person { Ok(leg) } else { Err(Refusal::NotYours) }
    }

    fn answer(
        &mut self,
        now: Instant,
        config: &Config,
        id: LegId,
        person: &PersonId,
        offer: &Offer,
    ) -> Result<Answer, Refusal> {
        let leg = self.leg_of(id, person)?;
        let (Side::Rung(prefer), None) = (&leg.side, &leg.connection) else { return Err(Refusal::Answered) };
        let chosen = choose(&offer.formats, prefer.iter().chain(&codecs(&config.media.codecs)));
        let (connection, sdp) = self.connect(now, config, id, offer, chosen)?;
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.connection = Some(connection);
        }
        self.settle(now, id);
        Ok(Answer::Description { leg: id, sdp })
    }

    fn call(
        &mut self,
        now: Instant,
        config: &Config,
        person: &Person,
        to: String,
        offer: &Offer,
    ) -> Result<Answer, Refusal> {
        let own = self.legs.values().filter(|leg| leg.person == person.id).count();
        if self.legs.len() >= LEGS_MAX || own >= LEGS_OF_PERSON_MAX {
            return Err(Refusal::Full);
        }
        let id = LegId(self.random.bits());
        let chosen = choose(&offer.formats, codecs(&config.media.codecs).iter());
        let (connection, sdp) = self.connect(now, config, id, offer, chosen)?;
        let codecs = vec![connection.chosen.codec];
        let side = Side::Calls(Admitted::Not);
        let leg = Leg { person: person.id.clone(), side, connection: Some(connection) };
        self.legs.insert(id, leg);
        let number = person.extension.as_deref().unwrap_or(person.id.as_str());
        self.report(Report::Incoming(Incoming {
            leg: id,
            door: DoorName::Rtc,
            tenant: person.tenant.clone(),
            origin: Origin::Person(person.id.clone()),
            from: Caller::shown(number, person.display_name.as_deref().map(str::to_owned)),
            to,
            codecs,
            replaces: None,
        }));
        self.settle(now, id);
        Ok(Answer::Description { leg: id, sdp })
    }

    /// A connection with whoever made the offer, and our answer to it.
    fn connect(
        &mut self,
        now: Instant,
        config: &Config,
        id: LegId,
        offer: &Offer,
        chosen: Option<Chosen>,
    ) -> Result<(Connection, String), Refusal> {
        let chosen = chosen.ok_or(Refusal::NoCodec)?;
        let number = loop {
            let number = self.random.bits() as u32;
            if !self.mux.has_number(number) {
                break number;
            }
        };
        let connect = config.webrtc.connect;
        let peer = Peer::new(now, offer, &self.identity, number, connect, &mut self.random)
            .map_err(|error| Refusal::Internal(error.to_string()))?;
        self.mux.add(id, &peer.credentials().ufrag, number);
        let source = loop {
            let source = self.random.bits() as u32;
            // Zero would look like no source at all to some stacks; RFC 3550 section 8.2 wants ours not to be theirs.
            if source != 0 && !offer.sources.contains(&source) {
                break source;
            }
        };
        let answer = sdp::Answer {
            way: sdp::Way { ice: peer.credentials(), at: self.at },
            fingerprint: self.identity.fingerprint(),
            formats: &chosen.answered(),
            ptime_ms: PTIME_MS,
            session: id.0 >> 1, // RFC 8866 section 5.2: it fits into a signed number everywhere
            source: (source, &id.to_string()), // as the room's reports call us
        };
        let sdp = answer.write(offer);
        let (listens, sends) = (offer.receives, offer.sends);
        let connection = Connection {
            peer,
            chosen,
            listens,
            sends,
            source,
            handshakes: VecDeque::new(),
            keys: None,
            agreed: false,
            up: false,
        };
        Ok((connection, sdp))
    }

    fn add(
        &mut self,
        now: Instant,
        id: LegId,
        person: &PersonId,
        fragment: &Fragment,
    ) -> Result<Answer, Refusal> {
        self.leg_of(id, person)?;
        let connection = self.legs.get_mut(&id).and_then(|leg| leg.connection.as_mut());
        let connection = connection.ok_or(Refusal::NoSuchLeg)?;
        let restarts = connection.peer.add(now, fragment, &mut self.random);
        let ice = connection.peer.credentials().clone();
        self.settle(now, id);
        if !restarts {
            return Ok(Answer::Done);
        }
        self.mux.rename(id, &ice.ufrag);
        let mut text = String::new();
        sdp::Way { ice: &ice, at: self.at }.write(&mut text);
        Ok(Answer::Fragment(text))
    }

    // --- datagrams and time

    /// A packet has come. The leg, if it is media of its browser's, to be handed to its room as it is. A handshake
    /// waits for [`Door::shake`].
    pub fn receive(&mut self, now: Instant, from: Place, octets: &[u8]) -> Option<LegId> {
        let kind = Kind::of(octets)?;
        let id = self.mux.find(kind, octets, from)?;
        let connection = self.legs.get_mut(&id)?.connection.as_mut()?;
        match kind {
            Kind::Media => return connection.peer.receive(now, kind, from, octets).then_some(id),
            Kind::Stun => {
                connection.peer.receive(now, kind, from, octets);
                self.settle(now, id);
            }
            Kind::Dtls => {
                let waiting = connection.handshakes.len();
                if waiting < HANDSHAKES_WAITING_MAX {
                    connection.handshakes.push_back((from, octets.to_vec()));
                    self.turns.extend((waiting == 0).then_some(id));
                }
            }
        }
        None
    }

    /// Somebody connects from there. `None` when there are too many connections that have proved themselves: this one is to
    /// be closed.
    pub fn accept(&mut self, now: Instant, from: SocketAddr) -> Option<StreamId> {
        if self.streams.is_full() {
            let oldest = self.streams.oldest_unproved()?;
            self.cut(now, oldest);
        }
        Some(self.streams.add(now, from))
    }

    /// Octets have come on a connection. What of them is media of its browser's goes to `media`, packet by packet.
    pub fn read(&mut self, now: Instant, id: StreamId, octets: &[u8], mut media: impl FnMut(LegId, Vec<u8>)) {
        let Some(place) = self.streams.push(id, octets) else { return };
        loop {
            let packet = match self.streams.next(id) {
                Ok(Some(packet)) => packet,
                Ok(None) => return,
                Err(_) => return self.cut(now, id),
            };
            let kind = Kind::of(&packet);
            let leg = kind.and_then(|kind| self.mux.find(kind, &packet, place));
            if !self.streams.may_speak_of(id, leg, kind == Some(Kind::Stun)) {
                return self.cut(now, id);
            }
            if let Some(leg) = self.receive(now, place, &packet) {
                media(leg, packet);
            }
        }
    }

    /// A connection has ended.
    pub fn ended(&mut self, now: Instant, id: StreamId) {
        let Some((place, leg)) = self.streams.remove(id) else { return };
        let Some(leg) = leg else { return };
        if let Some(connection) = self.connection(leg) {
            connection.peer.left(now, place);
        }
        self.settle(now, leg);
    }

    /// A connection is to end.
    fn cut(&mut self, now: Instant, id: StreamId) {
        self.wanted.push_back(Wanted::Close(id));
        self.ended(now, id);
    }

    /// Takes one datagram of one handshake, of whose turn it is; whether more wait. A handshake signs and verifies, which
    /// takes as long as hundreds of packets of sound do, so they must not come all at once.
    pub fn shake(&mut self, now: Instant) -> bool {
        if let Some(id) = self.turns.pop_front()
            && let Some(connection) = self.connection(id)
            && let Some((from, octets)) = connection.handshakes.pop_front()
        {
            let more = !connection.handshakes.is_empty();
            connection.peer.receive(now, Kind::Dtls, from, &octets);
            self.turns.extend(more.then_some(id));
            self.settle(now, id);
        }
        !self.turns.is_empty()
    }

    /// Lets due timers fire.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.streams.overdue(now) {
            self.cut(now, id);
        }
        while let Some(id) = self.alarms.pop_due(now) {
            if let Some(connection) = self.connection(id) {
                connection.peer.handle_timeout(now);
            }
            self.settle(now, id);
        }
    }

    /// Carries out what a leg's connection wants and tells.
    fn settle(&mut self, now: Instant, id: LegId) {
        while let Some(event) = self.connection(id).and_then(|connection| connection.peer.poll_event()) {
            match event {
                Event::Proved(place) => {
                    self.mux.proved(id, place);
                    place.stream.into_iter().for_each(|stream| self.streams.proved(stream));
                }
                Event::Gone(place) => {
                    self.mux.gone(id, place);
                    self.close(place.stream);
                }
                Event::Target(to) => self.wanted.push_back(Wanted::Target(id, to)),
                Event::Secured(keys) => {
                    if let Some(connection) = self.connection(id) {
                        connection.keys = Some(keys);
                    }
                }
                Event::Lost => self.report(Report::Leg(id, LegEvent::MediaLost)),
                Event::Failed(detail) => {
                    return self.end(now, id, LegEnd { cause: Cause::NotAcceptable, detail });
                }
                Event::Closed => {
                    let up = self.legs.get(&id).is_some_and(Leg::is_up);
                    let cause = if up { Cause::Normal } else { Cause::Cancelled };
                    return self.end(now, id, LegEnd { cause, detail: "the browser closed".to_owned() });
                }
            }
        }
        self.send(id);
        self.tell(id);
        self.arm(id);
    }

    fn connection(&mut self, id: LegId) -> Option<&mut Connection> {
        self.legs.get_mut(&id)?.connection.as_mut()
    }

    fn send(&mut self, id: LegId) {
        let Some(connection) = self.legs.get_mut(&id).and_then(|leg| leg.connection.as_mut()) else { return };
        let datagrams = std::iter::from_fn(|| connection.peer.poll_transmit());
        self.wanted.extend(datagrams.map(|(to, octets)| Wanted::Send(to, octets)));
    }

    /// Tells what is agreed when there are keys and the leg may be heard, and that it is up when it may talk.
    fn tell(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let admitted = match &leg.side {
            Side::Rung(_) => Admitted::ToTalk,
            Side::Calls(admitted) => *admitted,
        };
        let Some(connection) = &mut leg.connection else { return };
        let Some(keys) = connection.keys.clone().filter(|_| admitted >= Admitted::ToHear) else { return };
        if !connection.agreed {
            connection.agreed = true;
            let agreed = Box::new(connection.agree(keys));
            self.wanted.push_back(Wanted::Report(Report::Agreed(id, agreed)));
        }
        if admitted == Admitted::ToTalk && !connection.up {
            connection.up = true;
            self.wanted.push_back(Wanted::Report(Report::Leg(id, LegEvent::Answered)));
        }
    }

    fn arm(&mut self, id: LegId) {
        let wanted = self.connection(id).and_then(|connection| connection.peer.poll_timeout());
        self.alarms.set(id, wanted);
    }

    fn end(&mut self, now: Instant, id: LegId, end: LegEnd) {
        if let Some(connection) = self.connection(id) {
            connection.peer.close(now);
        }
        self.send(id);
        if self.legs.remove(&id).is_none() {
            return;
        }
        self.alarms.set(id, None);
        self.mux.remove(id);
        self.close(self.streams.of(id));
        self.wanted.push_back(Wanted::Over(id));
        self.report(Report::Leg(id, LegEvent::Ended(end)));
    }

    /// Closes connections that their leg knows no more of.
    fn close(&mut self, streams: impl IntoIterator<Item = StreamId>) {
        for id in streams {
            if self.streams.remove(id).is_some() {
                self.wanted.push_back(Wanted::Close(id));
            }
        }
    }

    fn report(&mut self, report: Report) {
        self.wanted.push_back(Wanted::Report(report));
    }
}

impl Leg {
    fn is_up(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.up)
    }
}

impl Connection {
    fn agree(&self, keys: MediaKeys) -> AgreedMedia {
        let payload_type = self.chosen.format.payload_type;
        AgreedMedia {
            codec: self.chosen.codec,
            opus: self.chosen.wishes(),
            send_payload_type: payload_type,
            receive_payload_type: payload_type,
            telephone_event: self.chosen.event.as_ref().map(|event| (event.payload_type, event.payload_type)),
            comfort_noise: false,
            ptime_ms: PTIME_MS,
            remote_rtp: Some(IN_PROCESS),
            remote_rtcp: Some(IN_PROCESS),
            rtcp_mux: true,
            sends: self.listens,
            receives: self.sends,
            nat_host: None,
            keys: Some(keys),
            ssrc: Some(self.source),
        }
    }
}

fn unreachable(detail: &str) -> LegEnd {
    LegEnd { cause: Cause::Unreachable, detail: detail.to_owned() }
}
