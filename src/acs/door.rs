//! The door: call connections as legs of calls. Pure: orders, calls, events, answers and the time go in; reports and
//! operations come out.
//!
//! ```text
//!            ┌─────────┐ Answer ┌───────┐ CallConnected, or seen so ┌────┐
//!   call ──> │ Offered │ ─────> │ Asked │ ────────────────────────> │ Up │
//!            └────┬────┘        └───┬───┘                           └─┬──┘
//!   Dial ───────────────────────────┘                                 │
//!         reject, or 30 s     failed, disconnected, gone      disconnected, or
//!                 │                 │                          Ending ──> terminated
//!                 └─────────────────┴───────> Ended <─────────────────┘
//! ```

mod keys;
mod told;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use sbc_config::{AcsAudio, AcsChannels, AcsDtmf, AcsId, Cloud, Config, Reach};
use sidetone_media::codec::Codec;
use sidetone_media::codec::opus::Wishes;

use crate::call::alarm::LegAlarms;
use crate::call::card::Card;
use crate::call::context::{Context, USER_TO_USER};
use crate::call::door::{
    AgreedMedia, Caller, Correlation, DoorName, IN_PROCESS, Incoming, Order, Origin, Report,
};
use crate::call::{Address, Carrier, Cause, LegAction, LegEnd, LegEvent, LegId, Target, TeamsAddress};

use super::grid::{self, IncomingCall};
use super::identifier::{Kind, RawId};
use super::operation::Operation;
use super::stream::{KEYS_PAYLOAD_TYPE, PAYLOAD_TYPE};
use super::wire::{
    AnswerCall, CreateCall, ForParticipant, Hidden, Identifier, MediaStreaming, PhoneNumber, RejectCall,
    SendDtmf,
};
use keys::Keys;

/// SIP headers that ACS takes with a call, beside User-to-User.
const SIP_HEADERS_MAX: usize = 5;

/// An event that has not come after this long is asked for.
const LOOK_AFTER: Duration = Duration::from_secs(5);

/// A hang-up that nobody confirms is taken for done after this long: its request has been tried again by then.
const HANGING_UP_MAX: Duration = Duration::from_secs(20);

/// Events remembered of a leg, against duplicates.
const SEEN_MAX: usize = 64;

/// How often a stream that failed is started anew, and after which pause at first.
const STREAM_TRIES_MAX: u32 = 3;
const STREAM_PAUSE: Duration = Duration::from_millis(500);

/// What the door wants done.
#[derive(Debug)]
pub enum Wanted {
    /// News for the switchboard.
    Report(Report),
    /// Ask ACS, and say what came of it with [`Door::done`].
    Ask(Box<Asking>),
    /// The far end has pressed a key, as ACS tells beside the stream: it goes where the sound goes.
    Press(LegId, char),
    /// ACS's names of a leg, as far as they are known; `None` when the leg is over.
    Names(LegId, Option<Names>),
}

/// What ACS calls a leg.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Its call connection.
    pub connection: Option<String>,
    /// One for all connections of a call.
    pub correlation: Option<String>,
}

/// A request to be made.
#[derive(Debug)]
pub struct Asking {
    /// For which leg.
    pub leg: LegId,
    /// Of which resource.
    pub resource: AcsId,
    /// Why, to be handed back.
    pub why: Why,
    /// What.
    pub operation: Operation,
}

/// Why something is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// To answer.
    Answer,
    /// To call.
    Dial,
    /// To refuse.
    Reject,
    /// To learn what an event would have told.
    Look,
    /// To end it.
    Terminate,
    /// To send digits.
    Digits,
    /// For what the leg can do without: a stream, a subscription.
    Aside,
}

/// Why an operation failed, as far as a leg is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The connection is not there any more.
    pub is_gone: bool,
    /// In our words.
    pub cause: Cause,
    /// In ACS's.
    pub detail: String,
}

/// What happens to a leg's media stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// ACS has dialled it.
    Opened,
    /// It is gone.
    Lost,
    /// Somebody whom the far end hears has pressed a key.
    Key(char),
}

/// Makes the addresses that ACS is given: the leg, and a secret that nobody else can make.
pub trait Paths: Send {
    /// Where a leg's events go, below the callback address.
    fn callback(&self, resource: &AcsId, leg: LegId) -> String;
    /// Where a leg's stream goes.
    fn media(&self, resource: &AcsId, leg: LegId) -> String;
    /// A leg that comes to us gets an id that nobody can guess.
    fn leg_id(&mut self) -> LegId;
}

/// The ACS door.
pub struct Door {
    config: Arc<ArcSwap<Config>>,
    paths: Box<dyn Paths>,
    legs: HashMap<LegId, Leg>,
    alarms: LegAlarms,
    wanted: VecDeque<Wanted>,
}

struct Leg {
    resource: AcsId,
    /// The far end.
    remote: RawId,
    /// Whether we call it.
    is_dialled: bool,
    state: State,
    /// From whichever message brings them first.
    names: Names,
    seen: VecDeque<String>,
    stream_tries: u32,
    keys: Keys,
    /// What it waits for.
    look_at: Option<Instant>,
    stream_at: Option<Instant>,
    end_at: Option<Instant>,
}

enum State {
    /// It rings; this answers it.
    Offered(Hidden),
    /// We have asked for it to be answered or called.
    Asked,
    Up,
    /// We have asked for its end, or shall when we know its name.
    Ending {
        cause: Cause,
        asked: bool,
    },
}

impl Door {
    /// A door with nobody at it.
    pub fn new(config: Arc<ArcSwap<Config>>, paths: Box<dyn Paths>) -> Door {
        let (legs, alarms, wanted) = (HashMap::new(), LegAlarms::default(), VecDeque::new());
        Door { config, paths, legs, alarms, wanted }
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<Wanted> {
        self.wanted.pop_front()
    }

    /// When [`Door::handle_timeout`] is next wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.alarms.next()
    }

    /// The resource of a leg.
    pub fn resource_of(&self, leg: LegId) -> Option<&AcsId> {
        self.legs.get(&leg).map(|leg| &leg.resource)
    }

    /// Whether legs of a resource are open.
    pub fn has_legs_of(&self, resource: &AcsId) -> bool {
        self.legs.values().any(|leg| leg.resource == *resource)
    }

    /// How many legs are open.
    pub fn legs(&self) -> usize {
        self.legs.len()
    }

    /// A message has named a leg.
    fn learn(&mut self, id: LegId, connection: &str, correlation: Option<&str>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let before = leg.names.clone();
        if leg.names.connection.is_none() && !connection.is_empty() {
            leg.names.connection = Some(connection.to_owned());
        }
        if leg.names.correlation.is_none() {
            leg.names.correlation = correlation.filter(|text| !text.is_empty()).map(str::to_owned);
        }
        if leg.names != before {
            let names = leg.names.clone();
            if let Some(connection) = names.connection.clone() {
                let correlation = Correlation { connection, peer_key: names.correlation.clone() };
                self.report(Report::Correlated(id, correlation));
            }
            self.wanted.push_back(Wanted::Names(id, Some(names)));
        }
    }

    /// Somebody calls. `wall` tells how long it has been ringing.
    pub fn incoming(&mut self, now: Instant, wall: Timestamp, resource: &AcsId, call: IncomingCall) {
        let config = self.config.load_full();
        let Some(acs) = config.acs(resource) else { return };
        let Some(answered) = acs.answers.iter().find(|answer| *answer.raw_id == *call.to.as_str()) else {
            return;
        };
        let id = self.paths.leg_id();
        let rung = wall.as_second().saturating_sub(call.rings_since.as_second());
        // A clock of theirs that is ahead of ours makes no telephone ring longer.
        let left = grid::RINGING_S.saturating_sub(rung).min(grid::RINGING_S);
        let left = u64::try_from(left).unwrap_or(0);
        let incoming = Incoming {
            leg: id,
            door: DoorName::Acs,
            tenant: acs.tenant.clone(),
            origin: Origin::Acs(resource.clone()),
            from: Caller { context: context_of(acs, &call), ..grid::caller(&call) },
            to: answered.dialled.to_string(),
            codecs: vec![Codec::L16],
            replaces: None,
        };
        let mut leg = Leg::new(resource.clone(), call.from, State::Offered(call.context));
        leg.end_at = Some(now + Duration::from_secs(left));
        self.legs.insert(id, leg);
        self.learn(id, "", Some(&call.correlation));
        self.arm(id);
        self.report(Report::Incoming(incoming));
    }

    /// Carries out an order of the switchboard.
    pub fn order(&mut self, now: Instant, order: Order) {
        let id = order.leg;
        match order.action {
            // None of its legs asks to be replaced, so none is told what becomes of it.
            LegAction::Refer(_) => {}
            LegAction::Dial(target) => {
                if let Err(end) = self.dial(now, id, &target, order.caller, order.card.as_deref()) {
                    self.report(Report::Leg(id, LegEvent::Ended(end)));
                }
            }
            LegAction::Answer => self.answer(now, id),
            LegAction::HangUp(cause) => self.hang_up(now, id, cause),
            LegAction::SendDigits(digits) => self.send_digits(id, &digits),
            // It rings by itself, nothing can be heard before it is answered, and hold is the gateway's music.
            LegAction::Alert | LegAction::OpenEarly | LegAction::Hold | LegAction::Resume => {}
        }
        self.arm(id);
    }

    fn dial(
        &mut self,
        now: Instant,
        id: LegId,
        target: &Target,
        caller: Option<Caller>,
        card: Option<&Card>,
    ) -> Result<(), LegEnd> {
        let config = self.config.load_full();
        let (resource, raw_id) = match &target.address {
            Address::Acs { resource, number } => (resource.clone(), format!("4:{number}")),
            Address::Teams(teams) => teams_user(&config, teams)?,
            Address::Person(person) => match config.person(person).map(|known| &known.reach) {
                Some(Reach::Acs { resource, raw_id }) => (resource.clone(), raw_id.to_string()),
                _ => return Err(not_there("the person has no ACS identity")),
            },
            _ => return Err(not_there("this is no address of ACS")),
        };
        let acs = config.acs(&resource).ok_or_else(|| not_there("the ACS resource is not configured"))?;
        let remote = RawId::new(&raw_id).ok_or_else(|| not_there("this is no raw id of ACS"))?;
        let number = acs.caller_id.as_ref().map(|number| number.to_string());
        let is_phone = remote.kind() == Kind::Phone;
        if is_phone && number.is_none() {
            return Err(not_there("the ACS resource has no caller_id to call telephones from"));
        }
        let brought = caller.as_ref().and_then(|caller| caller.context.clone());
        let brought = brought.filter(|_| acs.context_headers.is_out());
        let shown = caller.filter(|caller| !caller.private);
        let shown = shown.map(|caller| caller.name.unwrap_or(caller.number));
        let body = CreateCall {
            targets: vec![Identifier::of(&remote)],
            callback_uri: format!("{}{}", acs.callback_url, self.paths.callback(&resource, id)).into(),
            source_caller_id_number: number
                .filter(|_| is_phone)
                .map(|value| PhoneNumber { value, is_anonymous: None }),
            source_display_name: shown.filter(|_| !is_phone),
            operation_context: Some(id.to_string()),
            media_streaming_options: Some(self.streaming(acs, id)),
            teams_app_source: None,
            custom_calling_context: context(card, brought.as_deref(), is_phone),
        };
        let mut leg = Leg::new(resource, remote, State::Asked);
        leg.look_at = Some(now + LOOK_AFTER);
        self.legs.insert(id, leg);
        self.ask(id, Why::Dial, Operation::Create(body));
        Ok(())
    }

    fn answer(&mut self, now: Instant, id: LegId) {
        let config = self.config.load_full();
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(acs) = config.acs(&leg.resource) else {
            // It is configured no more; the caller need not ring on.
            return self.hang_up(now, id, Cause::Unreachable);
        };
        let State::Offered(context) = &leg.state else { return }; // once is enough
        let incoming_call_context = context.clone();
        leg.state = State::Asked;
        leg.end_at = None;
        leg.look_at = Some(now + LOOK_AFTER);
        let callback_uri = format!("{}{}", acs.callback_url, self.paths.callback(&acs.id, id)).into();
        let media_streaming_options = Some(self.streaming(acs, id));
        let operation_context = Some(id.to_string());
        let body =
            AnswerCall { incoming_call_context, callback_uri, operation_context, media_streaming_options };
        self.ask(id, Why::Answer, Operation::Answer(body));
    }

    fn streaming(&self, acs: &sbc_config::Acs, leg: LegId) -> MediaStreaming {
        let base = match acs.callback_url.strip_prefix("http") {
            Some(rest) => format!("ws{rest}"),
            None => acs.callback_url.to_string(),
        };
        MediaStreaming {
            transport_type: "websocket".into(),
            transport_url: Some(format!("{base}{}", self.paths.media(&acs.id, leg)).into()),
            content_type: Some("audio".into()),
            audio_channel_type: match acs.channels {
                AcsChannels::Mixed => "mixed".into(),
                AcsChannels::Unmixed => "unmixed".into(),
            },
            start_media_streaming: Some(true),
            enable_bidirectional: Some(true),
            audio_format: Some(match acs.audio {
                AcsAudio::Pcm16K => "pcm16KMono".into(),
                AcsAudio::Pcm24K => "pcm24KMono".into(),
            }),
            enable_dtmf_tones: Some(acs.dtmf == AcsDtmf::Stream),
        }
    }

    fn hang_up(&mut self, now: Instant, id: LegId, cause: Cause) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        match &leg.state {
            State::Offered(context) => {
                let reason = match cause {
                    Cause::Busy | Cause::Congestion => "busy",
                    Cause::Forbidden | Cause::Declined => "forbidden",
                    _ => "none",
                };
                let body = RejectCall {
                    incoming_call_context: context.clone(),
                    call_reject_reason: Some(reason.into()),
                };
                self.ask(id, Why::Reject, Operation::Reject(body));
                self.end(id, LegEnd::of(cause));
            }
            State::Asked | State::Up => {
                leg.state = State::Ending { cause, asked: false };
                leg.look_at = None;
                leg.stream_at = None;
                leg.end_at = Some(now + HANGING_UP_MAX);
                self.terminate(id);
            }
            State::Ending { .. } => {}
        }
    }

    /// Asks for the end of a leg that is to end, if its name is known and it has not been asked yet.
    fn terminate(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if let (State::Ending { asked: asked @ false, .. }, Some(connection)) =
            (&mut leg.state, &leg.names.connection)
        {
            *asked = true;
            let connection = connection.clone();
            self.ask(id, Why::Terminate, Operation::Terminate { connection });
        }
    }

    fn send_digits(&mut self, id: LegId, digits: &str) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if !matches!(leg.state, State::Up) {
            return;
        }
        if leg.remote.kind() != Kind::Phone {
            tracing::info!(leg = %id, "digits can be sent to telephones only; ACS has no other way");
            return;
        }
        leg.keys.push(digits);
        self.send_next_digits(id);
    }

    /// Sends what waits, if nothing is on its way.
    fn send_next_digits(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let (State::Up, Some(connection)) = (&leg.state, leg.names.connection.clone()) else { return };
        let Some(tones) = leg.keys.next_request() else { return };
        let target_participant = Identifier::of(&leg.remote);
        let body = SendDtmf { tones, target_participant, operation_context: None };
        self.ask(id, Why::Digits, Operation::SendDtmf { connection, body });
    }

    fn up(&mut self, id: LegId) {
        let config = self.config.load_full();
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.state = State::Up;
        leg.look_at = None;
        let subscribes = config.acs(&leg.resource).is_some_and(|acs| acs.dtmf == AcsDtmf::Subscribe);
        let target_participant = Identifier::of(&leg.remote);
        let connection = leg.names.connection.clone();
        let is_phone = leg.remote.kind() == Kind::Phone;
        self.report(Report::Agreed(id, Box::new(agreed())));
        self.report(Report::Leg(id, LegEvent::Answered));
        if let (true, true, Some(connection)) = (subscribes, is_phone, connection) {
            let body = ForParticipant { target_participant, ..ForParticipant::default() };
            self.ask(id, Why::Aside, Operation::StartDtmf { connection, body });
        }
    }

    fn end_as_wanted(&mut self, id: LegId, detail: String) {
        let Some(leg) = self.legs.get(&id) else { return };
        let cause = match leg.state {
            State::Ending { cause, .. } => cause,
            State::Offered(_) | State::Asked | State::Up => Cause::Normal,
        };
        self.end(id, LegEnd { cause, detail });
    }

    fn end(&mut self, id: LegId, end: LegEnd) {
        if self.legs.remove(&id).is_none() {
            return;
        }
        self.alarms.set(id, None);
        self.wanted.push_back(Wanted::Names(id, None));
        self.report(Report::Leg(id, LegEvent::Ended(end)));
    }

    fn ask(&mut self, leg: LegId, why: Why, operation: Operation) {
        let Some(resource) = self.legs.get(&leg).map(|leg| leg.resource.clone()) else { return };
        self.wanted.push_back(Wanted::Ask(Box::new(Asking { leg, resource, why, operation })));
    }

    fn report(&mut self, report: Report) {
        self.wanted.push_back(Wanted::Report(report));
    }

    fn arm(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let next =
            [leg.look_at, leg.stream_at, leg.end_at, leg.keys.poll_timeout()].into_iter().flatten().min();
        self.alarms.set(id, next);
    }
}

/// A card as headers of the call: a telephone is told in SIP's, whose values ACS takes up to 256 characters, a client in its
/// own, up to 1024. A card's line is of the characters that both allow.
///
/// What the caller's system brought goes along in the same way. ACS takes five SIP headers beside User-to-User: the card is
/// one of them.
fn context(card: Option<&Card>, brought: Option<&Context>, is_phone: bool) -> Option<serde_json::Value> {
    let (headers, most) = if is_phone { ("sipHeaders", 256) } else { ("voipHeaders", 1024) };
    let mut all = serde_json::Map::new();
    if let Some((card, line)) = card.and_then(|card| Some((card, card.line(most)?))) {
        all.insert(card.header().to_owned(), line.into());
    }
    for (name, value) in brought.into_iter().flat_map(Context::headers) {
        let beside = all.keys().filter(|name| *name != USER_TO_USER).count();
        if name == USER_TO_USER || beside < SIP_HEADERS_MAX {
            all.insert(name.to_owned(), value.into());
        }
    }
    (!all.is_empty()).then(|| serde_json::json!({ headers: all }))
}

/// What an ACS caller's system brings, where the resource says that it is taken.
fn context_of(acs: &sbc_config::Acs, call: &IncomingCall) -> Option<Arc<Context>> {
    let headers = call.sip_headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    acs.context_headers.is_in().then(|| Context::of(headers))?
}

impl Leg {
    fn new(resource: AcsId, remote: RawId, state: State) -> Leg {
        Leg {
            resource,
            remote,
            is_dialled: matches!(state, State::Asked),
            state,
            names: Names::default(),
            seen: VecDeque::new(),
            stream_tries: 0,
            keys: Keys::new(),
            look_at: None,
            stream_at: None,
            end_at: None,
        }
    }
}

/// What the two ends of the wire inside the process speak.
fn agreed() -> AgreedMedia {
    AgreedMedia {
        codec: Codec::L16,
        opus: Wishes::default(),
        send_payload_type: PAYLOAD_TYPE,
        receive_payload_type: PAYLOAD_TYPE,
        telephone_event: Some((KEYS_PAYLOAD_TYPE, KEYS_PAYLOAD_TYPE)),
        comfort_noise: false,
        ptime_ms: 20,
        remote_rtp: Some(IN_PROCESS),
        remote_rtcp: None,
        rtcp_mux: false,
        sends: true,
        receives: true,
        nat_host: None,
        keys: None,
        ssrc: None,
    }
}

/// The resource and the raw id of a Teams user, or of their telephone, as the prerequisites cleared them.
fn teams_user(config: &Config, teams: &TeamsAddress) -> Result<(AcsId, String), LegEnd> {
    let Carrier::Acs(resource) = teams.carrier() else {
        return Err(not_there("this is no address of ACS"));
    };
    let tenant = config.acs(resource).map(|acs| &acs.tenant);
    let account = config.integrations.iter().find(|account| Some(&account.tenant) == tenant);
    if let Some(number) = teams.number() {
        return Ok((resource.clone(), format!("4:{number}")));
    }
    let id = teams.object_id().ok_or_else(|| not_there("nothing was cleared to be dialled"))?;
    let raw_id = match account.map(|account| account.cloud) {
        Some(Cloud::Dod) => format!("8:dod:{id}"),
        Some(Cloud::GccHigh) => format!("8:gcch:{id}"),
        Some(Cloud::Global | Cloud::China) | None => format!("8:orgid:{id}"),
    };
    Ok((resource.clone(), raw_id))
}

fn not_there(detail: &str) -> LegEnd {
    LegEnd { cause: Cause::Unreachable, detail: detail.to_owned() }
}
