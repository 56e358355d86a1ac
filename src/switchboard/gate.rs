//! The gate: no Teams user is rung before the prerequisites have said that they may be.
//!
//! ```text
//!   call ──Output::Clear──┐                               ┌──> Input::Cleared ──> the leg is dialled
//!   API ──consult, ...────┼──> Question ──> engine ──> Ruling
//!                         │    (at most its budget)       └──> the leg ends, or the request is refused,
//!   leg ends, answers ────┴──> Outcome                         with the findings
//! ```
//!
//! The switchboard never waits: it asks, goes on, and is told. A request is asked for once, to choose among the ways and
//! to show them; each leg is asked for again when its turn comes, because what was so may have ended meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sbc_config::{Config, PersonId, Reach, RouteName, TenantId};
use tokio::sync::{Semaphore, mpsc};

use crate::call::{
    Address, CallId, Callee, Carrier, Cause, Input, LegEnd, LegEvent, LegId, Target, TeamsAddress, TeamsUser,
    TeamsWay,
};
use crate::prereq::{Check, Engine, Judgement, Outcome, Refused, Route, Subject, Weight};

use super::Switchboard;
use super::admission::dialled_target;
use super::cost::Path;
use super::live::TeamsLeg;

/// Questions and outcomes waiting for the engine; beyond it nobody at Teams is rung until it has caught up. As many as the
/// desk takes requests.
pub const QUESTIONS_MAX: usize = 1024;

/// Questions being answered at one time. Each waits for reads that it shares with the others.
const ANSWERING_MAX: usize = 512;

/// An engine that says nothing for this long says no. Longer than the longest budget that can be configured.
const RULING_MAX: Duration = Duration::from_secs(8);

/// How often one leg asks anew because its clearance had ended on the way.
const CLEARANCES_MAX: u8 = 3;

/// What the switchboard tells the engine.
#[derive(Debug)]
pub enum Word {
    /// May they be rung?
    Question(Question),
    /// What became of a call that was cleared.
    Outcome {
        /// Whose call.
        tenant: TenantId,
        /// To whom.
        subject: Subject,
        /// Over what.
        route: Route,
        /// What became of it.
        outcome: Outcome,
        /// When.
        at: SystemTime,
    },
}

/// Whether people may be rung.
#[derive(Debug)]
pub struct Question {
    /// What hangs on it.
    pub about: About,
    /// Whose account is asked.
    pub tenant: TenantId,
    /// Who asks, when Entra knows them.
    pub asker: Option<Subject>,
    /// Whom, over which routes.
    pub wishes: Vec<(Subject, Vec<Route>)>,
}

/// What hangs on a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum About {
    /// A leg that is to be dialled.
    Leg(LegId),
    /// A request that is to be answered.
    Request(u64),
}

/// An answer of the engine.
#[derive(Debug)]
pub struct Ruling {
    /// To what.
    pub about: About,
    /// When the clearances were given, on the clock that calls go by.
    pub at: Instant,
    /// Per wish, and in it per route, in the order of the question. Empty when the engine could not say.
    pub judged: Vec<Vec<Judgement>>,
}

/// The way to the engine.
#[derive(Debug, Clone)]
pub struct Gate(mpsc::Sender<Word>);

impl Gate {
    /// The way, and what stands at its other end.
    pub fn new() -> (Gate, mpsc::Receiver<Word>) {
        let (words, heard) = mpsc::channel(QUESTIONS_MAX);
        (Gate(words), heard)
    }

    /// Asks. False when nobody is there to answer.
    pub(super) fn ask(&self, question: Question) -> bool {
        self.0.try_send(Word::Question(question)).is_ok()
    }

    fn tell(&self, word: Word) {
        if self.0.try_send(word).is_err() {
            tracing::warn!("the prerequisite engine is behind; what a call proved is lost");
        }
    }
}

/// Answers for the engine for as long as the switchboard asks.
pub async fn stand(engine: Engine, mut words: mpsc::Receiver<Word>, rulings: mpsc::Sender<Ruling>) {
    let room = Arc::new(Semaphore::new(ANSWERING_MAX));
    while let Some(word) = words.recv().await {
        match word {
            Word::Outcome { tenant, subject, route, outcome, at } => {
                engine.call_outcome(&tenant, &subject, route, &outcome, at);
            }
            Word::Question(question) => {
                let Ok(place) = room.clone().acquire_owned().await else { return };
                let (engine, rulings) = (engine.clone(), rulings.clone());
                tokio::spawn(async move {
                    let about = question.about;
                    // In a task of its own, so that a defect there is an answer as well.
                    let judging = tokio::spawn(async move { judged(&engine, &question).await });
                    let stop = judging.abort_handle();
                    let judged = tokio::time::timeout(RULING_MAX, judging).await;
                    stop.abort();
                    let judged = judged.ok().and_then(Result::ok).unwrap_or_default();
                    // Both clocks at one moment: a clearance says its time on the other one.
                    let (at, wall) = (Instant::now(), SystemTime::now());
                    let given = judged.iter().flatten().filter_map(|one| one.clearance.as_ref());
                    let first = given.map(crate::prereq::Clearance::given_at).min();
                    let since = first.and_then(|first| wall.duration_since(first).ok()).unwrap_or_default();
                    let at = at.checked_sub(since).unwrap_or(at);
                    // A switchboard that is gone needs no answer.
                    let _gone = rulings.send(Ruling { about, at, judged }).await;
                    drop(place);
                });
            }
        }
    }
}

async fn judged(engine: &Engine, question: &Question) -> Vec<Vec<Judgement>> {
    let Question { tenant, asker, wishes, .. } = question;
    let each = wishes.iter().map(|(subject, routes)| engine.judge(tenant, subject, routes, asker.as_ref()));
    futures_util::future::join_all(each).await
}

/// Legs that wait for the engine.
pub(super) type Clearing = HashMap<LegId, Wait>;

/// A leg that waits.
pub(super) struct Wait {
    user: TeamsUser,
    asked: u8,
    /// Whether a ruling is on its way.
    waits: bool,
}

/// Why a way that is clear cannot be taken, or that it can.
pub(super) fn carrier(
    config: &Config,
    tenant: &TenantId,
    way: &TeamsWay,
    judged: &Judgement,
) -> Result<Carrier, &'static str> {
    let clearance = judged.clearance.as_ref().ok_or("not_cleared")?;
    if let Some(carrier) = &way.carrier {
        return Ok(carrier.clone());
    }
    let crate::prereq::Address::Number(number) = clearance.address() else { return Err("no_carrier") };
    let target = dialled_target(config, tenant, number, None, None).map_err(|_| "no_route_for_number")?;
    // Microsoft's trunk rings their Teams client, which is another way with other checks.
    let Callee::Target(target) = target else { return Err("no_route_for_number") };
    match target.address {
        Address::Trunk { trunk, .. } => Ok(Carrier::Trunk(trunk)),
        Address::Acs { resource, .. } => Ok(Carrier::Acs(resource)),
        _ => Err("no_route_for_number"),
    }
}

/// The cheapest of several ways that can be taken: a known price before an unknown one, then in their order.
pub(super) fn cheapest(
    config: &Config,
    ways: impl Iterator<Item = (usize, Route, Carrier)>,
    at: SystemTime,
) -> Vec<(usize, Carrier)> {
    let mut all: Vec<_> = ways
        .map(|(n, route, carrier)| {
            let price = price(config, route, &carrier, at).map(|price| price.per_minute);
            (price.is_none(), price, n, carrier)
        })
        .collect();
    all.sort_by_key(|(unknown, price, n, _)| (*unknown, *price, *n));
    all.into_iter().map(|(_, _, n, carrier)| (n, carrier)).collect()
}

/// What a minute of this way costs.
pub(super) fn price<'a>(
    config: &'a Config,
    route: Route,
    carrier: &Carrier,
    at: SystemTime,
) -> Option<&'a sbc_config::Price> {
    let trunk = match carrier {
        Carrier::Trunk(trunk) => Some(trunk),
        Carrier::Acs(_) => None,
    };
    Path::to_teams(config, route, carrier).price_at(config, trunk, at)
}

/// One of our people, as they are rung: at their telephone, or at Teams, where they are cleared first.
pub(super) fn to_person(config: &Config, person: &PersonId) -> Callee {
    match config.person(person).map(|known| (&known.tenant, &known.reach)) {
        Some((tenant, Reach::Teams { user, routes })) => Callee::Teams(TeamsUser {
            subject: Subject::person(user),
            ways: ways(config, tenant, routes, None),
            name: person.to_string(),
            person: Some(person.clone()),
            asker: None,
            unless_engaged: false,
        }),
        _ => Target { address: Address::Person(person.clone()), name: person.to_string() }.into(),
    }
}

/// The ways there are to the Teams users of a tenant, of those that may be taken.
pub(super) fn ways(
    config: &Config,
    tenant: &TenantId,
    allowed: &[RouteName],
    trunk: Option<&sbc_config::TrunkId>,
) -> Vec<TeamsWay> {
    let account = config.integrations.iter().find(|account| account.tenant == *tenant);
    let way = |name: &RouteName| {
        let (route, carrier) = match name {
            RouteName::Voip => {
                let acs = config.acs.iter().find(|acs| acs.tenant == *tenant)?;
                (Route::Voip, Some(Carrier::Acs(acs.id.clone())))
            }
            RouteName::Pstn => (Route::Pstn, trunk.cloned().map(Carrier::Trunk)),
            RouteName::DirectRouting => {
                let trunk = account?.direct_routing_trunk.clone()?;
                (Route::DirectRouting, Some(Carrier::Trunk(trunk)))
            }
        };
        Some(TeamsWay { route, carrier })
    };
    allowed.iter().filter_map(way).collect()
}

/// Whether somebody is known to be in a call or meeting, or not to be disturbed. What is not known is not guessed.
fn is_engaged(judged: &Judgement) -> bool {
    let presence = judged.findings.iter().find(|finding| finding.check == Check::Presence);
    presence.is_some_and(|finding| finding.code == crate::prereq::presence::Free::No.code())
}

/// The findings that stand in the way, in a line for records and events: `T07 federation_off, U03 no_licence`.
pub(super) fn in_words<'a>(judged: impl IntoIterator<Item = &'a Judgement>) -> String {
    let mut words = Vec::new();
    for one in judged {
        let refusing = one.findings.iter().filter(|finding| finding.weight == Weight::Refuses);
        let list: Vec<_> =
            refusing.map(|finding| format!("{} {}", finding.check.id(), finding.code)).collect();
        if one.clearance.is_none() {
            let why = if list.is_empty() { "nothing to dial".to_owned() } else { list.join(", ") };
            words.push(format!("{}: {why}", one.route));
        }
    }
    if words.is_empty() { "the prerequisites could not be looked at".to_owned() } else { words.join("; ") }
}

impl Switchboard {
    /// A leg to a Teams user is to be dialled: the engine is asked.
    pub(super) fn clear(&mut self, now: Instant, call: CallId, leg: LegId, user: TeamsUser) {
        let Some(live) = self.calls.get_mut(&call) else { return };
        live.asked_for(leg, &user, SystemTime::now());
        self.by_leg.insert(leg, call);
        let question = Question {
            about: About::Leg(leg),
            tenant: live.tenant.clone(),
            asker: user.asker.clone(),
            wishes: vec![(user.subject.clone(), user.ways.iter().map(|way| way.route).collect())],
        };
        let wait = self.clearing.entry(leg).or_insert(Wait { user, asked: 0, waits: false });
        wait.asked = wait.asked.saturating_add(1);
        wait.waits = true;
        if wait.asked > CLEARANCES_MAX {
            return self.not_cleared(
                now,
                leg,
                "what was cleared had ended each time before it could be dialled",
            );
        }
        if !self.gate.ask(question) {
            self.not_cleared(now, leg, "the prerequisite engine takes no questions");
        }
    }

    /// The engine has answered.
    pub(super) fn ruled(&mut self, now: Instant, ruling: Ruling) {
        match ruling.about {
            About::Leg(leg) => {
                self.leg_ruled(now, leg, ruling.at, ruling.judged.into_iter().next().unwrap_or_default())
            }
            About::Request(id) => self.request_ruled(now, id, &ruling),
        }
    }

    fn leg_ruled(&mut self, now: Instant, leg: LegId, at: Instant, judged: Vec<Judgement>) {
        // A leg that has been given up meanwhile is nobody's.
        let Some(wait) = self.clearing.get_mut(&leg).filter(|wait| wait.waits) else { return };
        wait.waits = false;
        let user = wait.user.clone();
        let Some(call) = self.by_leg.get(&leg).copied() else { return };
        let Some(tenant) = self.calls.get(&call).map(|live| live.tenant.clone()) else { return };
        let config = self.config.load_full();
        let can = user.ways.iter().zip(&judged).enumerate().filter_map(|(n, (way, one))| {
            if user.unless_engaged && is_engaged(one) {
                return None;
            }
            Some((n, way.route, carrier(&config, &tenant, way, one).ok()?))
        });
        let best = cheapest(&config, can, SystemTime::now()).into_iter().next();
        let address = best.and_then(|(n, carrier)| {
            let clearance = judged.get(n)?.clearance.clone()?;
            TeamsAddress::new(clearance, carrier, at).ok()
        });
        match address {
            Some(address) => {
                self.drive(now, call, |c| c.handle(now, Input::Cleared(leg, Box::new(address))));
            }
            None => {
                let engaged = user.unless_engaged && judged.iter().any(is_engaged);
                let why = if engaged { "in a call or meeting".to_owned() } else { in_words(&judged) };
                self.not_cleared(now, leg, &why);
            }
        }
    }

    fn not_cleared(&mut self, now: Instant, leg: LegId, why: &str) {
        tracing::info!(%leg, why, "a Teams user is not rung");
        metrics::counter!(crate::observe::metrics::NOT_CLEARED).increment(1);
        let end = LegEnd { cause: Cause::NotCleared, detail: why.to_owned() };
        self.leg_event(now, leg, LegEvent::Ended(end));
    }

    /// A leg that no door knows of yet is given up. True when it was one.
    pub(super) fn gives_up_clearing(&mut self, now: Instant, leg: LegId, cause: Cause) -> bool {
        if self.clearing.remove(&leg).is_none() {
            return false;
        }
        self.leg_event(now, leg, LegEvent::Ended(LegEnd::of(cause)));
        true
    }

    /// What becomes of a call to a Teams user is evidence for the next.
    pub(super) fn proves(&mut self, call: CallId, leg: LegId, event: &LegEvent) {
        let Some(live) = self.calls.get(&call) else { return };
        let Some(known) = live.legs.iter().find(|known| known.id == leg) else { return };
        let Some(TeamsLeg { subject, route }) = known.teams.clone() else { return };
        let outcome = match event {
            LegEvent::Answered => Outcome::Answered,
            LegEvent::Ended(end) if known.answered_at.is_none() => {
                let why = match end.cause {
                    Cause::Forbidden => Refused::Forbidden,
                    Cause::NotFound => Refused::NotFound,
                    Cause::Unreachable | Cause::NotAcceptable | Cause::Congestion | Cause::Internal => {
                        Refused::Otherwise
                    }
                    // A person, or we ourselves.
                    _ => return,
                };
                Outcome::Refused { why, said: end.detail.clone() }
            }
            _ => return,
        };
        let (tenant, at) = (live.tenant.clone(), SystemTime::now());
        self.gate.tell(Word::Outcome { tenant, subject, route, outcome, at });
    }
}
