//! The ways to an expert or a target, before anybody is rung: which there are, what stands in the way of each, what a
//! minute costs, and which would be taken.

use std::time::{Duration, Instant, SystemTime};

use sbc_config::{Config, PersonId, Price, Reach, RouteName, TenantId, TrunkId};
use tokio::sync::oneshot;

use crate::call::rights::Principal;
use crate::call::{Address, After, Attempt, CallId, Callee, Carrier, TeamsUser, TeamsWay};
use crate::observe::Event;
use crate::prereq::{Engine, Judgement, Route, Subject, rule};

use super::Switchboard;
use super::admission::dialled_target;
use super::cost::Path;
use super::desk::{Answer, ConsultRequest, LegCost, Preview, Refusal, TransferRequest, Via, WayView, Wish};
use super::gate::{self, About, Question, Ruling};

/// Requests waiting for the engine at one time; as many questions as it takes.
const PENDING_MAX: usize = gate::QUESTIONS_MAX;

/// A request that is answered when the engine has been heard.
pub(super) struct Pending {
    pub(super) who: Principal,
    pub(super) planned: Vec<Planned>,
    pub(super) then: Then,
    pub(super) answer: oneshot::Sender<Result<Answer, Refusal>>,
}

/// What is done then.
pub(super) enum Then {
    Consult(ConsultRequest),
    Transfer(TransferRequest),
}

/// Somebody who is to be rung.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    target: String,
    callee: Callee,
}

/// One way, looked at.
struct Way {
    view: WayView,
    /// How it is rung, when it is clear.
    callee: Option<Callee>,
}

/// Whom a wish means: one of our people, a Teams user, or whatever an agent could dial.
pub(super) fn wanted(
    config: &Config,
    tenant: &TenantId,
    wish: &Wish,
    trunk: Option<TrunkId>,
    asker: Option<&Subject>,
) -> Result<Callee, Refusal> {
    let person = PersonId::new(&wish.target).ok().and_then(|id| config.person(&id));
    if let Some(person) = person.filter(|person| person.tenant == *tenant) {
        return match &person.reach {
            Reach::Teams { user, routes } => {
                let subject = Subject::person(user);
                let of = Some(person.id.clone());
                teams_user(config, tenant, wish, subject, of, routes, trunk.as_ref(), asker)
                    .map(Callee::Teams)
            }
            _ if wish.via == Via::Auto => Ok(gate::to_person(config, &person.id)),
            _ => Err(Refusal::Invalid {
                code: "via_not_possible",
                detail: format!("{} has a telephone of their own here; leave `via` out", person.id),
            }),
        };
    }
    // A number never has one of these, and nobody at Teams goes without.
    if wish.target.contains('@') || crate::prereq::read::is_guid(&wish.target) {
        let Ok(subject @ Subject::Person(_)) = rule::target(&wish.target) else {
            return Err(Refusal::Invalid {
                code: "target_invalid",
                detail: "a Teams user is named by user principal name or Entra object id".into(),
            });
        };
        let all = [RouteName::Voip, RouteName::Pstn, RouteName::DirectRouting];
        let user = teams_user(config, tenant, wish, subject, None, &all, trunk.as_ref(), asker)?;
        return Ok(Callee::Teams(user));
    }
    if matches!(wish.via, Via::Only(Route::Voip | Route::DirectRouting)) {
        return Err(Refusal::Invalid {
            code: "via_not_possible",
            detail: "a bare number is dialled over PSTN; name a person for this way".into(),
        });
    }
    dialled_target(config, tenant, &wish.target, trunk, asker)
}

#[expect(clippy::too_many_arguments, reason = "each says something about one person")]
fn teams_user(
    config: &Config,
    tenant: &TenantId,
    wish: &Wish,
    subject: Subject,
    person: Option<PersonId>,
    allowed: &[RouteName],
    trunk: Option<&TrunkId>,
    asker: Option<&Subject>,
) -> Result<TeamsUser, Refusal> {
    if let Some(trunk) = trunk {
        let known = config.trunk(trunk).filter(|known| known.tenant == *tenant);
        if known.ok_or(Refusal::NotFound("trunk"))?.destination().is_none() {
            return Err(Refusal::Invalid {
                code: "trunk_inbound_only",
                detail: format!("trunk {trunk} has no destination; give it one to place calls over it"),
            });
        }
    }
    let mut ways = gate::ways(config, tenant, allowed, trunk);
    if let Via::Only(route) = wish.via {
        ways.retain(|way| way.route == route);
    }
    if ways.is_empty() {
        let detail = match wish.via {
            Via::Only(Route::Voip) => {
                "VOIP needs an [[acs]] of this tenant, and a person whose teams_routes have it"
            }
            Via::Only(Route::DirectRouting) => {
                "Direct Routing needs direct_routing_trunk in [[integration]], and a person whose teams_routes have it"
            }
            Via::Only(Route::Pstn) => "PSTN is not among the teams_routes of this person",
            Via::Auto => "none of the ways that this person's teams_routes allow is configured",
        };
        return Err(Refusal::Invalid { code: "via_not_possible", detail: detail.into() });
    }
    let name = person.as_ref().map_or_else(|| wish.target.clone(), PersonId::to_string);
    Ok(TeamsUser { subject, ways, name, person, asker: asker.cloned(), unless_engaged: false })
}

impl Planned {
    pub(super) fn all(
        config: &Config,
        tenant: &TenantId,
        wishes: &[Wish],
        trunk: Option<&TrunkId>,
        asker: Option<&Subject>,
    ) -> Result<Vec<Planned>, Refusal> {
        let one = |wish: &Wish| {
            let callee = wanted(config, tenant, wish, trunk.cloned(), asker)?;
            Ok(Planned { target: wish.target.clone(), callee })
        };
        wishes.iter().map(one).collect()
    }

    fn user(&self) -> Option<&TeamsUser> {
        match &self.callee {
            Callee::Teams(user) => Some(user),
            Callee::Target(_) => None,
        }
    }
}

/// What the engine said of each, in the order in which they would be rung: of one person's ways the cheapest first.
fn looked_at(
    config: &Config,
    tenant: &TenantId,
    planned: &[Planned],
    judged: &[Vec<Judgement>],
    at: SystemTime,
) -> Vec<Vec<Way>> {
    let mut judged = judged.iter();
    let each = planned.iter().map(|one| match &one.callee {
        Callee::Target(target) => {
            let path = Path::to(config, target);
            let price = path.price_at(config, target.trunk(), at);
            let over = match &target.address {
                Address::Acs { resource, .. } => Some(format!("acs:{resource}")),
                _ => target.trunk().map(|trunk| format!("trunk:{trunk}")),
            };
            let view = WayView {
                target: one.target.clone(),
                via: None,
                over,
                clear: true,
                obstacle: None,
                findings: Vec::new(),
                cost: cost("expert", path.route, price),
                only_if_not_reached: false,
            };
            vec![Way { view, callee: Some(one.callee.clone()) }]
        }
        Callee::Teams(user) => {
            let judged = judged.next().map(Vec::as_slice).unwrap_or_default();
            of_user(config, tenant, &one.target, user, judged, at)
        }
    });
    each.collect()
}

fn of_user(
    config: &Config,
    tenant: &TenantId,
    target: &str,
    user: &TeamsUser,
    judged: &[Judgement],
    at: SystemTime,
) -> Vec<Way> {
    let mut clear = Vec::new();
    let mut blocked = Vec::new();
    for (n, way) in user.ways.iter().enumerate() {
        let view = |carrier: Option<&Carrier>, obstacle: Option<&'static str>| WayView {
            target: target.to_owned(),
            via: Some(way.route),
            over: carrier.map(in_words),
            clear: obstacle.is_none(),
            obstacle,
            findings: judged.get(n).map(|one| one.findings.clone()).unwrap_or_default(),
            cost: carrier.and_then(|carrier| {
                let path = Path::to_teams(config, way.route, carrier);
                cost("expert", path.route, gate::price(config, way.route, carrier, at))
            }),
            only_if_not_reached: false,
        };
        let found = judged.get(n).ok_or("prerequisites_unavailable");
        match found.and_then(|one| gate::carrier(config, tenant, way, one)) {
            Ok(carrier) => clear.push((n, way.route, carrier.clone(), view(Some(&carrier), None))),
            Err(obstacle) => {
                blocked.push(Way { view: view(way.carrier.as_ref(), Some(obstacle)), callee: None });
            }
        }
    }
    let order = clear.iter().map(|(n, route, carrier, _)| (*n, *route, carrier.clone()));
    let mut ways = Vec::new();
    for (n, carrier) in gate::cheapest(config, order, at) {
        let Some(at) = clear.iter().position(|(m, ..)| *m == n) else { continue };
        let (_, route, _, mut view) = clear.remove(at);
        view.only_if_not_reached = !ways.is_empty();
        let way = TeamsWay { route, carrier: Some(carrier) };
        let callee = Callee::Teams(TeamsUser { ways: vec![way], ..user.clone() });
        ways.push(Way { view, callee: Some(callee) });
    }
    ways.extend(blocked);
    ways
}

fn in_words(carrier: &Carrier) -> String {
    match carrier {
        Carrier::Acs(resource) => format!("acs:{resource}"),
        Carrier::Trunk(trunk) => format!("trunk:{trunk}"),
    }
}

fn cost(leg: &'static str, route: sbc_config::PricedRoute, price: Option<&Price>) -> Option<LegCost> {
    let price = price?;
    Some(LegCost {
        leg,
        route,
        per_minute: price.per_minute,
        currency: price.currency.clone(),
        from: price.from,
    })
}

fn shown(ways: Vec<Vec<Way>>, up: Vec<LegCost>) -> Preview {
    let ways: Vec<_> = ways.into_iter().flatten().map(|way| way.view).collect();
    let taken = ways.iter().position(|view| view.clear);
    Preview { ways, taken, up }
}

/// The ways to somebody outside of any call, as a consult would show and take them.
pub(super) async fn ways_to(
    config: &Config,
    engine: &Engine,
    tenant: &TenantId,
    wish: &Wish,
    asker: Option<&Subject>,
) -> Result<Preview, Refusal> {
    let planned = Planned::all(config, tenant, std::slice::from_ref(wish), None, asker)?;
    let mut judged = Vec::new();
    for user in planned.iter().filter_map(Planned::user) {
        let routes: Vec<_> = user.ways.iter().map(|way| way.route).collect();
        judged.push(engine.judge(tenant, &user.subject, &routes, asker).await);
    }
    let ways = looked_at(config, tenant, &planned, &judged, SystemTime::now());
    Ok(shown(ways, Vec::new()))
}

/// How the ways are rung. What a request names as a fallback is not rung before its turn as a way of its own accord.
fn attempts(ways: &[Vec<Way>], ring: Duration) -> Vec<Attempt> {
    let named_later = |person: usize, callee: &Callee| {
        let Callee::Teams(user) = callee else { return false };
        let mut later = ways.iter().skip(person + 1).filter(|ways| ways.len() == 1).flatten();
        later.any(|way| match &way.callee {
            Some(Callee::Teams(other)) => {
                other.subject == user.subject
                    && other.ways.first().map(|w| w.route) == user.ways.first().map(|w| w.route)
            }
            _ => false,
        })
    };
    let mut all = Vec::new();
    for (person, ways) in ways.iter().enumerate() {
        for way in ways {
            let Some(callee) = &way.callee else { continue };
            if way.view.only_if_not_reached && named_later(person, callee) {
                continue;
            }
            let after = if way.view.only_if_not_reached { After::NotReached } else { After::Anything };
            all.push(Attempt { targets: vec![callee.clone()], ring, after });
        }
    }
    all
}

impl Switchboard {
    /// Asks the engine about all that are at Teams. False when nobody is: then it need not be waited for.
    pub(super) fn ask_first(
        &mut self,
        tenant: &TenantId,
        asker: Option<Subject>,
        pending: Pending,
    ) -> Option<Pending> {
        let users = pending.planned.iter().filter_map(Planned::user);
        let wishes: Vec<_> = users
            .map(|user| (user.subject.clone(), user.ways.iter().map(|way| way.route).collect()))
            .collect();
        if wishes.is_empty() {
            return Some(pending);
        }
        let id = super::admission::random();
        let question = Question { about: About::Request(id), tenant: tenant.clone(), asker, wishes };
        if self.pending.len() >= PENDING_MAX || !self.gate.ask(question) {
            let refusal = Refusal::Unavailable {
                code: "prerequisites_unavailable",
                detail: "the prerequisites cannot be looked at now, and nobody at Teams is rung without; try again".into(),
            };
            // A caller who no longer waits has gone; and so below.
            let _gone = pending.answer.send(Err(refusal));
            return None;
        }
        self.pending.insert(id, pending);
        None
    }

    /// The engine has been heard on a request.
    pub(super) fn request_ruled(&mut self, now: Instant, id: u64, ruling: &Ruling) {
        let Some(pending) = self.pending.remove(&id) else { return };
        self.go_on(now, pending, &ruling.judged);
    }

    pub(super) fn go_on(&mut self, now: Instant, pending: Pending, judged: &[Vec<Judgement>]) {
        let Pending { who, planned, then, answer } = pending;
        match then {
            Then::Consult(wanted) => {
                let done = self.consult_on(now, &who, wanted, &planned, judged);
                let _gone = answer.send(done);
            }
            Then::Transfer(wanted) => self.transfer_on(now, &who, wanted, &planned, judged, answer),
        }
    }

    /// What would be done, shown; and how it is rung when it is.
    pub(super) fn preview(
        &self,
        call: CallId,
        tenant: &TenantId,
        planned: &[Planned],
        judged: &[Vec<Judgement>],
        ring: Duration,
    ) -> (Preview, Vec<Attempt>) {
        let config = self.config.load_full();
        let at = SystemTime::now();
        let ways = looked_at(&config, tenant, planned, judged, at);
        let attempts = attempts(&ways, ring);
        let up = self.calls.get(&call).map(|live| live.costs_now(&config, at)).unwrap_or_default();
        (shown(ways, up), attempts)
    }

    /// What was looked at is told, if there was anything to look at.
    pub(super) fn tell_preflight(&self, call: CallId, kind: &'static str, preview: &Preview) {
        let Some(live) = self.calls.get(&call) else { return };
        if preview.ways.iter().all(|way| way.via.is_none()) {
            return;
        }
        let way = |way: &WayView| {
            serde_json::json!({
                "via": way.via.map(Route::name),
                "over": way.over,
                "clear": way.clear,
                "obstacle": way.obstacle,
                "refused_by": way.findings.iter()
                    .filter(|finding| finding.weight == crate::prereq::Weight::Refuses)
                    .map(|finding| serde_json::json!({ "check": finding.check.id(), "code": finding.code }))
                    .collect::<Vec<_>>(),
            })
        };
        self.journal.event(Event {
            kind,
            tenant: live.tenant.clone(),
            call: Some(call),
            audience: live.audience(&self.config.load()),
            at: SystemTime::now(),
            data: serde_json::json!({
                "taken": preview.taken,
                "ways": preview.ways.iter().map(way).collect::<Vec<_>>(),
            }),
        });
    }
}
