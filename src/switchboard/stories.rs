//! The switchboard at work: reports and requests in, orders, events, records and audit lines out.
//!
//! The doors are played here, the bridge is a real one on loopback without a packet. Time is an
//! argument, so nobody waits for it; only the bridge's threads are waited for, by their events.

mod asked_first;
mod card;
mod cost;
mod endings;
mod hold_media;
mod journey;
mod promised;
mod refer;
mod screen;
mod supervision;
mod teams;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

use sbc_config::{PersonId, SecretError, SecretSource, TeamId, TenantId};
use sidetone_media::tone::RingbackTone;
use tokio::sync::oneshot;

use super::desk::{Follow, Join, LegAct, Refusal, SuperviseRequest, SupervisionState, SupervisionView};
use super::*;
use crate::bridge::{BridgeConfig, Music};
use crate::call::door::{Caller, DoorName, Incoming, Origin};
use crate::call::rights::{Actor, Denial, Principal};
use crate::call::{Screening, VoicemailSign};
use crate::observe::{AuditRecord, CallRecord, Event};

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
[api]
listen = "127.0.0.1:0"
[limits]
LIMITS
[[tenant]]
id = "acme"
name = "Acme"
[[tenant]]
id = "other"
name = "Other"
[[team]]
id = "support"
tenant = "acme"
name = "Support"
[[team]]
id = "sales"
tenant = "acme"
name = "Sales"
[[person]]
id = "alice"
tenant = "acme"
role = "agent"
teams = ["support"]
extension = "100"
contact = "sip:alice@192.0.2.11"
[[person]]
id = "bob"
tenant = "acme"
role = "agent"
teams = ["support"]
extension = "101"
contact = "sip:bob@192.0.2.12"
[[person]]
id = "sam"
tenant = "acme"
role = "supervisor"
teams = ["support"]
extension = "200"
contact = "sip:sam@192.0.2.13"
[[person]]
id = "sue"
tenant = "acme"
role = "supervisor"
teams = ["support"]
extension = "201"
contact = "sip:sue@192.0.2.14"
[[person]]
id = "stranger"
tenant = "acme"
role = "supervisor"
teams = ["sales"]
extension = "202"
contact = "sip:stranger@192.0.2.15"
[[trunk]]
id = "carrier"
tenant = "acme"
sources = ["192.0.2.1/32"]
destination = "192.0.2.1:5060;transport=udp"
channels_max = CHANNELS
[[route]]
id = "alices"
tenant = "acme"
number = "+15550100"
targets = ["alice"]
[[route]]
id = "team"
tenant = "acme"
number = "+15550101"
targets = ["team:support"]
[[route]]
id = "out"
tenant = "acme"
prefix = "+44"
targets = ["trunk:carrier"]
"#;

/// Files that hold what their names promise.
struct Files;

impl SecretSource for Files {
    fn file(&self, name: &str) -> Result<String, SecretError> {
        Ok(if name.ends_with("b64") {
            "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
        } else {
            "secretsecretsecretsecret"
        }
        .into())
    }

    fn env(&self, _: &str) -> Result<String, SecretError> {
        Err(SecretError::NotFound)
    }
}

fn config(limits: &str, channels: usize) -> Config {
    parsed(&CONFIG.replace("LIMITS", limits).replace("CHANNELS", &channels.to_string()))
}

/// As [`config`], over TLS as well, with `more`.
fn config_with_tls(more: &str) -> Config {
    let text = CONFIG.replace("LIMITS", "").replace("CHANNELS", "10");
    parsed(&format!("{}{more}", text.replace("[sip]\n", "[sip]\ntls = \"127.0.0.1:5061\"\n")))
}

/// A trunk to Microsoft, and the certificate that it shows.
const DIRECT_ROUTING: &str = r#"
[[certificate]]
id = "sbc1"
certificate_file = "sbc1.pem"
key_file = "sbc1.key"
[[trunk]]
id = "teams"
tenant = "acme"
profile = "teams_direct_routing"
fqdn = "sbc1.example.com"
certificate = "sbc1"
"#;

fn config_with_teams(more: &str) -> Config {
    config_with_tls(&format!("{DIRECT_ROUTING}{more}"))
}

fn parsed(text: &str) -> Config {
    match Config::parse(text, &Files) {
        Ok(config) => config,
        Err(findings) => panic!("{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>()),
    }
}

/// Everything the switchboard told, kept.
#[derive(Default)]
struct Notebook {
    events: Mutex<Vec<Event>>,
    records: Mutex<Vec<CallRecord>>,
    audits: Mutex<Vec<AuditRecord>>,
}

impl Journal for Notebook {
    fn event(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn record(&self, record: CallRecord) {
        self.records.lock().unwrap().push(record);
    }

    fn audit(&self, record: AuditRecord) {
        self.audits.lock().unwrap().push(record);
    }
}

mod toll;

struct House {
    board: Switchboard,
    orders: mpsc::Receiver<Order>,
    /// What the prerequisite engine is told.
    words: mpsc::Receiver<gate::Word>,
    draining: watch::Sender<bool>,
    bridge_events: mpsc::Receiver<BridgeEvent>,
    bridge: Bridge,
    notebook: Arc<Notebook>,
    config: Arc<ArcSwap<Config>>,
    now: Instant,
    legs: u64,
}

/// Somebody, over whatever works.
fn wish_for(target: &str) -> desk::Wish {
    desk::Wish { target: target.to_owned(), via: desk::Via::Auto }
}

/// Pairs of media ports in a house, below the range the kernel gives out and above the stage's.
const PAIRS: u16 = 12;

fn ports(pairs: u16) -> std::ops::RangeInclusive<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 30_600 + NEXT.fetch_add(1, Ordering::Relaxed) % 80 * 2 * PAIRS;
    first..=first + 2 * pairs - 1
}

impl House {
    fn new() -> House {
        House::with(config("", 10), PAIRS)
    }

    fn with(config: Config, pairs: u16) -> House {
        let (bridge_events_in, bridge_events) = mpsc::channel(BRIDGE_EVENTS_MAX);
        let bridge = Bridge::start(
            BridgeConfig {
                bind: [127, 0, 0, 1].into(),
                advertised: [127, 0, 0, 1].into(),
                ports: ports(pairs),
                shards: 1,
                media_timeout: Duration::from_secs(3600),
                media_warn: Duration::from_secs(1800),
                ringback: RingbackTone::Us,
                music: Music::BuiltIn,
                prompts: HashMap::new(),
                behind_max: Duration::from_millis(200),
                opus: sidetone_media::codec::opus::Tuning::DEFAULT,
            },
            bridge_events_in,
        )
        .unwrap();
        let (orders_in, orders) = mpsc::channel(ORDERS_MAX);
        let notebook = Arc::new(Notebook::default());
        let config = Arc::new(ArcSwap::from_pointee(config));
        let (draining, _) = watch::channel(false);
        let (gate, words) = Gate::new();
        let doors = HashMap::from([(DoorName::Sip, orders_in.clone()), (DoorName::Acs, orders_in)]);
        let board = Switchboard::new(
            Doors::new(doors, draining.clone()),
            gate,
            bridge.clone(),
            notebook.clone(),
            config.clone(),
        );
        let now = Instant::now();
        House { board, orders, words, draining, bridge_events, bridge, notebook, config, now, legs: 0 }
    }

    fn configure(&self, config: Config) {
        self.config.store(Arc::new(config));
    }

    /// What the doors are asked since the last look.
    fn orders(&mut self) -> Vec<(LegId, LegAction)> {
        std::iter::from_fn(|| self.orders.try_recv().ok()).map(|order| (order.leg, order.action)).collect()
    }

    fn tell(&mut self, leg: LegId, event: LegEvent) {
        self.board.report(self.now, Report::Leg(leg, event));
    }

    /// Obeys orders: answers are sent, hang-ups done. Gives the legs that are to be dialled.
    fn obey(&mut self) -> Vec<(LegId, String)> {
        let mut dialled = Vec::new();
        loop {
            let orders = self.orders();
            if orders.is_empty() {
                return dialled;
            }
            for (leg, action) in orders {
                match action {
                    LegAction::Dial(target) => dialled.push((leg, target.name)),
                    LegAction::Answer => self.tell(leg, LegEvent::Answered),
                    LegAction::HangUp(cause) => self.tell(leg, LegEvent::Ended(LegEnd::of(cause))),
                    _ => {}
                }
            }
        }
    }

    fn comes(&mut self, origin: Origin, to: &str) -> LegId {
        self.comes_from(Caller::shown("+15550001", None), origin, to)
    }

    fn comes_from(&mut self, from: Caller, origin: Origin, to: &str) -> LegId {
        self.legs += 1;
        let leg = LegId(self.legs);
        let incoming = Incoming {
            leg,
            door: DoorName::Sip,
            tenant: TenantId::new("acme").unwrap(),
            origin,
            from,
            to: to.into(),
            codecs: vec![sidetone_media::codec::Codec::Pcmu],
            replaces: None,
        };
        self.board.report(self.now, Report::Incoming(incoming));
        leg
    }

    fn customer_calls(&mut self, to: &str) -> LegId {
        self.comes(Origin::Trunk(TrunkId::new("carrier").unwrap()), to)
    }

    fn dials_in(&mut self, person: &str, to: &str) -> LegId {
        self.comes(Origin::Person(PersonId::new(person).unwrap()), to)
    }

    /// A customer talks to alice: the call, the customer's leg, alice's.
    fn talking(&mut self) -> (CallId, LegId, LegId) {
        let customer = self.customer_calls("+15550100");
        let (alice, name) = self.obey().remove(0);
        assert_eq!(name, "alice");
        self.tell(alice, LegEvent::Answered);
        self.obey();
        let call = self.board.by_leg[&customer];
        assert!(self.board.calls[&call].call.is_talking());
        (call, customer, alice)
    }

    fn hangs_up(&mut self, leg: LegId) {
        self.tell(leg, LegEvent::Ended(LegEnd::of(Cause::Normal)));
        self.obey();
    }

    fn ask(&mut self, who: &Principal, request: Request) -> oneshot::Receiver<Result<Answer, Refusal>> {
        let (answer, answered) = oneshot::channel();
        self.board.asked(self.now, Asked { principal: who.clone(), request, answer });
        answered
    }

    fn asked(&mut self, who: &Principal, request: Request) -> Result<Answer, Refusal> {
        self.ask(who, request).try_recv().expect("answered at once")
    }

    fn supervise(&mut self, who: &Principal, wanted: SuperviseRequest) -> Result<SupervisionView, Refusal> {
        self.asked(who, Request::Supervise(wanted)).map(|answer| match answer {
            Answer::Supervision(view) => view,
            other => panic!("{other:?}"),
        })
    }

    /// Sam listens in, on the line.
    fn sam_listens(&mut self, call: CallId, follow: Follow) -> (SupervisionId, LegId) {
        let wanted = SuperviseRequest { follow, ..wish(call, "sam") };
        let view = self.supervise(&supervisor("sam", "support"), wanted).unwrap();
        let (leg, name) = self.obey().remove(0);
        assert_eq!((name.as_str(), Some(leg)), ("sam", view.leg));
        self.tell(leg, LegEvent::Answered);
        (view.id, leg)
    }

    /// Feeds what the bridge says until `done`. It frees ports a moment after it has said so, and
    /// has no event for that, so this looks now and then.
    async fn until(&mut self, done: impl Fn(&House) -> bool) {
        let late = Instant::now() + Duration::from_secs(20);
        self.bridge.announce();
        while !done(self) {
            assert!(Instant::now() < late, "the bridge owes something");
            let event = tokio::time::timeout(Duration::from_millis(2), self.bridge_events.recv()).await;
            if let Ok(event) = event {
                self.board.bridge_event(self.now, event.expect("the bridge lives"));
                self.bridge.announce();
            }
        }
    }

    async fn until_recorded(&mut self) {
        self.until(|house| house.board.closing.is_empty()).await;
    }

    fn events(&self) -> Vec<&'static str> {
        self.notebook.events.lock().unwrap().iter().map(|event| event.kind).collect()
    }

    fn last(&self, kind: &str) -> Event {
        let events = self.notebook.events.lock().unwrap();
        events.iter().rev().find(|event| event.kind == kind).unwrap_or_else(|| panic!("no {kind}")).clone()
    }

    /// Acts and outcomes of the audit since the last look.
    fn audited(&self) -> Vec<(&'static str, String)> {
        let audits = std::mem::take(&mut *self.notebook.audits.lock().unwrap());
        audits.into_iter().map(|line| (line.act, line.outcome)).collect()
    }

    fn records(&self) -> usize {
        self.notebook.records.lock().unwrap().len()
    }

    /// A call turned away: with this cause at the door and this reason in its event.
    fn assert_turned_away(&mut self, leg: LegId, cause: Cause, reason: &str) {
        assert_eq!(self.orders(), [(leg, LegAction::HangUp(cause))], "{reason}");
        assert_eq!(self.last("call.refused").data["reason"], reason);
        assert!(!self.board.by_leg.contains_key(&leg));
    }

    fn assert_nothing_is_left(&self) {
        let board = &self.board;
        assert!(board.calls.is_empty() && board.by_leg.is_empty() && board.by_supervision.is_empty());
        assert!(board.standby.is_empty() && board.timers.is_empty() && board.closing.is_empty());
        assert!(board.channels.is_empty(), "{:?}", board.channels);
        assert!(board.on_line.is_empty());
        assert_eq!(self.bridge.ports_in_use(), 0);
    }
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn supervisor(id: &str, team: &str) -> Principal {
    let (person, teams) = (PersonId::new(id).unwrap(), vec![TeamId::new(team).unwrap()]);
    Principal { token: format!("token of {id}"), actor: Actor::Supervisor { tenant: acme(), person, teams } }
}

fn agent(id: &str) -> Principal {
    let person = PersonId::new(id).unwrap();
    Principal { token: format!("token of {id}"), actor: Actor::Agent { tenant: acme(), person } }
}

fn software(tenant: &str) -> Principal {
    let tenant = TenantId::new(tenant).unwrap();
    Principal { token: "software".into(), actor: Actor::Integration { tenant } }
}

fn wish(call: CallId, person: &str) -> SuperviseRequest {
    SuperviseRequest {
        call,
        supervisor: PersonId::new(person).unwrap(),
        role: Coaching::Monitor,
        subject: None,
        allowed_roles: Vec::new(),
        dtmf_control: None,
        follow: Follow::Call,
        join: Join::Dial,
    }
}

// Letting calls in.

#[tokio::test]
async fn a_call_beyond_a_limit_is_refused_with_its_reason_and_leaves_nothing() {
    for (limits, channels, reason) in [
        ("calls_max = 1", 10, "calls_max"),
        ("", 1, "channels_max"),
        ("calls_per_second_max = 1", 10, "calls_per_second_max"),
    ] {
        let mut house = House::with(config(limits, channels), PAIRS);
        let (_, customer, _) = house.talking();
        let second = house.customer_calls("+15550100");
        house.assert_turned_away(second, Cause::Congestion, reason);
        house.hangs_up(customer);
        house.until_recorded().await;
        house.assert_nothing_is_left();
        house.now += Duration::from_secs(1);
        house.talking(); // there is room again
    }
}

#[tokio::test]
async fn a_draining_gateway_takes_no_calls_and_still_lets_supervisors_join_the_running_ones() {
    let mut house = House::new();
    house.talking();
    let denied = house.asked(&supervisor("sam", "support"), Request::Drain);
    assert!(matches!(denied, Err(Refusal::Denied(Denial::RoleForbids))));
    assert_eq!(house.audited(), [("drain", "role_forbids".into())]);
    let operator = Principal { token: "ops".into(), actor: Actor::Operator };
    assert!(!*house.draining.borrow());
    assert!(matches!(house.asked(&operator, Request::Drain), Ok(Answer::Draining { calls: 1 })));
    assert!(*house.draining.borrow(), "the doors know");

    let late = house.customer_calls("+15550100");
    house.assert_turned_away(late, Cause::ShuttingDown, "draining");
    let sam = house.dials_in("sam", "*41100");
    assert_eq!(house.orders(), [(sam, LegAction::Answer)]);
}

#[tokio::test]
async fn calls_go_where_routes_and_extensions_say() {
    let mut house = House::new();
    house.customer_calls("+15550101");
    let (first, name) = house.obey().remove(0);
    assert_eq!(name, "alice", "the team in order");
    house.tell(first, LegEvent::Ended(LegEnd::of(Cause::Busy)));
    assert_eq!(house.obey()[0].1, "bob");

    house.customer_calls("+441234");
    assert_eq!(house.obey()[0].1, "+441234", "over the trunk");
    house.dials_in("bob", "100");
    assert_eq!(house.obey()[0].1, "alice", "a colleague by extension");

    let by_extension = house.customer_calls("100");
    house.assert_turned_away(by_extension, Cause::NotFound, "no_route");
    let unknown = house.dials_in("bob", "999");
    house.assert_turned_away(unknown, Cause::NotFound, "no_route");
}

#[tokio::test]
async fn every_leg_of_a_trunk_takes_a_channel_and_gives_back_its_own_alone() {
    let mut house = House::with(config("", 3), PAIRS);
    let trunk = TrunkId::new("carrier").unwrap();
    let through = house.customer_calls("+441234");
    house.obey();
    assert_eq!(house.board.channels[&trunk], 2);
    let (_, customer, _) = house.talking();
    assert_eq!(house.board.channels[&trunk], 3);
    let fourth = house.customer_calls("+15550100");
    house.assert_turned_away(fourth, Cause::Congestion, "channels_max");

    house.hangs_up(customer);
    assert_eq!(house.board.channels[&trunk], 2);
    // In through the trunk is the third, so out again has no room.
    let none_left = house.customer_calls("+441234");
    assert!(house.orders().contains(&(none_left, LegAction::HangUp(Cause::Congestion))));
    house.tell(none_left, LegEvent::Ended(LegEnd::of(Cause::Congestion)));
    let failed = house.last("call.attempt_failed");
    assert_eq!(failed.data["cause"], "congestion");
    assert!(failed.data["detail"].as_str().unwrap().contains("channels_max"));
    house.hangs_up(through);
    house.until_recorded().await;
    house.assert_nothing_is_left();
}

#[tokio::test]
async fn a_call_without_a_media_port_ends_with_congestion_and_leaks_nothing() {
    let mut house = House::with(config("", 10), 1);
    let customer = house.customer_calls("+15550100");
    let alice = house.obey()[0].0; // has the only pair
    house.tell(alice, LegEvent::Answered);
    let orders = house.orders();
    assert!(orders.contains(&(customer, LegAction::HangUp(Cause::Congestion))), "{orders:?}");
    house.tell(alice, LegEvent::Ended(LegEnd::of(Cause::Congestion)));
    assert_eq!(house.last("call.ended").data["cause"], "congestion");
    house.until_recorded().await;
    assert_eq!(house.records(), 1);
    house.assert_nothing_is_left();
}

#[tokio::test]
async fn an_originated_call_rings_the_agent_then_the_number_and_is_the_agents_own() {
    let mut house = House::new();
    let originate = |to: &str| Request::Originate {
        agent: PersonId::new("alice").unwrap(),
        to: to.into(),
        trunk: Some(TrunkId::new("carrier").unwrap()),
    };
    let not_hers = house.asked(&agent("bob"), originate("+15550123"));
    assert!(matches!(not_hers, Err(Refusal::Denied(Denial::OutsideScope))));
    let foreign = house.asked(&software("other"), originate("+15550123"));
    assert_eq!(foreign.unwrap_err(), Refusal::NotFound("person"));
    assert_eq!(house.audited().len(), 2);

    let Ok(Answer::Call(call)) = house.asked(&agent("alice"), originate("+15550123")) else { panic!() };
    let alice = house.obey().remove(0);
    assert_eq!(alice.1, "alice");
    house.tell(alice.0, LegEvent::Answered);
    let customer = house.obey().remove(0);
    assert_eq!(customer.1, "+15550123");
    house.tell(customer.0, LegEvent::Answered);
    assert!(house.board.calls[&call.id].call.is_talking());
    assert!(matches!(house.asked(&agent("alice"), Request::HangUp(call.id)), Ok(Answer::Done)));
    house.obey();
    house.until_recorded().await;
    assert_eq!(house.notebook.records.lock().unwrap()[0].direction, "outbound");
    house.assert_nothing_is_left();
}
