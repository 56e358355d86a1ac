//! Letting calls in, placing calls, and steering their legs: limits, routes, rights.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use sbc_config::{
    Config, Dialled, Direction as RuleDirection, E164, Fallback, NumberRule, OnVoicemail, PersonId,
    PersonRole, Ringback, Route, Strategy, TenantId, TrunkId,
};

use crate::call::door::{Caller, Incoming, Order, Origin};
use crate::call::rights::{Act, Actor, Denial, Principal, may};
use crate::call::{
    Address, Attempt, Call, CallId, Callee, CallerIs, Carrier, Cause, Command, LegAction, LegId, Setup,
    SupervisionId, Takeover, Target, TeamsUser, TeamsWay,
};
use crate::observe::metrics as names;
use crate::prereq::Subject;

use super::cost::Path;
use super::desk::{Answer, CallView, DTMF_DIGITS_MAX, Direction, LegAct, Refusal, Via, Wish};
use super::gate::to_person;
use super::live::{Leg, Live};
use super::toll::{emergency_trunks, emergency_trunks_of};
use super::ways::wanted;
use super::{Switchboard, told};

/// How long somebody is rung when no route says so.
const RING: Duration = Duration::from_secs(30);

/// How long an emergency service may ring before the next trunk is tried: no answering point lets anybody wait longer
/// without a word, and a second call in parallel would take another person's line.
const EMERGENCY_RING: Duration = Duration::from_secs(120);

/// Calls of the last second, for the rate limit.
#[derive(Debug, Default)]
pub(super) struct Pace(VecDeque<Instant>);

impl Pace {
    /// Counts a new call unless the second is full.
    pub(super) fn admit(&mut self, now: Instant, per_second: u32) -> bool {
        while self.0.front().is_some_and(|first| now.duration_since(*first) >= Duration::from_secs(1)) {
            self.0.pop_front();
        }
        let room = self.0.len() < per_second as usize;
        if room {
            self.0.push_back(now);
        }
        room
    }
}

/// What becomes of a call that came in.
struct Plan {
    attempts: Vec<Attempt>,
    when_exhausted: Option<Cause>,
    caller_is: CallerIs,
    emergency: bool,
}

/// Where an incoming leg is to go.
enum Way {
    Call(Plan),
    Supervision,
    /// Somebody who is no supervisor dials like one.
    NoSupervisor,
    Nowhere(Cause, &'static str),
}

impl Switchboard {
    pub(super) fn incoming(&mut self, now: Instant, incoming: Incoming) {
        let config = self.config.load_full();
        if let Some(old) = incoming.replaces {
            return self.takes_place_of(now, old, incoming);
        }
        metrics::counter!(names::CALLS_OFFERED).increment(1);
        let emergency = emergency_trunks(&config, &incoming);
        if !emergency.is_empty() {
            return self.emergency(now, &config, incoming, &emergency);
        }
        let way = self.way(&config, &incoming);
        if let Some((cause, why)) = self.over_limit(now, &config, &incoming, &way) {
            return self.turn_away(&incoming, cause, why);
        }
        match way {
            Way::Nowhere(cause, why) => self.turn_away(&incoming, cause, why),
            Way::Supervision => self.supervisor_dials_in(now, &config, incoming),
            Way::NoSupervisor => self.no_supervisor_dials_in(&incoming),
            Way::Call(plan) => self.take_in(now, &config, incoming, plan),
        }
    }

    /// A call that came in begins.
    fn take_in(&mut self, now: Instant, config: &Config, incoming: Incoming, plan: Plan) {
        let Plan { attempts, when_exhausted, caller_is, emergency } = plan;
        let (first_person, first_trunk) = match &incoming.origin {
            Origin::Person(person) => (Some(person.clone()), None),
            Origin::Trunk(trunk) => (None, Some(trunk.clone())),
            Origin::Acs(_) => (None, None),
        };
        let role = if caller_is == CallerIs::Agent { "agent" } else { "customer" };
        let mut first = Leg::new(incoming.leg, incoming.from.number.clone(), role, SystemTime::now());
        first.person.clone_from(&first_person);
        first.trunk.clone_from(&first_trunk);
        first.path = Some(Path::of(config, &incoming));
        first.offered = incoming.codecs;
        let call = Call::inbound(
            now,
            Setup {
                first: incoming.leg,
                first_is: caller_is,
                first_person,
                first_trunk: first_trunk.clone(),
                attempts,
                when_exhausted,
                takeover: takeover(config),
                parties_max: config.limits.parties_per_call_max,
                seed: random(),
            },
        );
        let parts = (incoming.tenant, Direction::Inbound, incoming.from, incoming.to);
        let live = Live { emergency, trunk: first_trunk, legs: vec![first], ..Live::new(call, parts) };
        self.by_leg.insert(incoming.leg, live.id);
        if emergency {
            tracing::warn!(id = %live.id, "a call to an emergency service");
            self.tell_emergency(&live);
        }
        self.begin(now, live);
    }

    fn begin(&mut self, now: Instant, mut live: Live) {
        if self.config.load().voicemail.on_voicemail == OnVoicemail::Rollback {
            live.call.screen_targets();
        }
        self.hold_as_usual(&live);
        let id = live.id;
        let first = live.legs.first().map(|leg| (leg.id, leg.trunk.clone()));
        metrics::counter!(names::CALLS_STARTED, "direction" => live.direction.label()).increment(1);
        self.calls.insert(id, live);
        metrics::gauge!(names::CALLS_LIVE).set(self.calls.len() as f64);
        if let Some((leg, Some(trunk))) = first {
            // Its limit has been looked at before.
            let _has_room = self.take_channel(id, leg, &trunk);
        }
        self.carry_out(now, id);
    }

    /// What held parties of a call hear when nobody has said anything else.
    pub(super) fn hold_as_usual(&self, live: &Live) {
        let config = self.config.load();
        if let Some(tenant) = config.tenant(&live.tenant) {
            self.bridge.hold_with(live.id, &tenant.hold_media);
        }
    }

    fn over_limit(
        &mut self,
        now: Instant,
        config: &Config,
        incoming: &Incoming,
        way: &Way,
    ) -> Option<(Cause, &'static str)> {
        // A supervisor joins a call that is up: that is no new one.
        let is_call = !matches!(way, Way::Supervision);
        if is_call && self.draining {
            return Some((Cause::ShuttingDown, "draining"));
        }
        if is_call && self.calls.len() >= config.limits.calls_max {
            return Some((Cause::Congestion, "calls_max"));
        }
        if let Origin::Trunk(trunk) = &incoming.origin
            && self.is_trunk_full(config, trunk)
        {
            return Some((Cause::Congestion, "channels_max"));
        }
        if !self.pace.admit(now, config.limits.calls_per_second_max) {
            return Some((Cause::Congestion, "calls_per_second_max"));
        }
        self.over_limit_of_trunk(now, config, incoming)
    }

    /// A call to an emergency service: no limit holds it up, nobody is asked, every trunk that may carry it is tried.
    fn emergency(&mut self, now: Instant, config: &Config, incoming: Incoming, trunks: &[TrunkId]) {
        let to = |trunk| Attempt::new(vec![to_trunk(trunk, &incoming.to).into()], EMERGENCY_RING);
        let attempts = trunks.iter().map(to).collect();
        let plan = Plan { attempts, when_exhausted: None, caller_is: CallerIs::Agent, emergency: true };
        self.take_in(now, config, incoming, plan);
    }

    fn way(&self, config: &Config, incoming: &Incoming) -> Way {
        let role = match &incoming.origin {
            Origin::Trunk(_) | Origin::Acs(_) => None,
            Origin::Person(person) => config.person(person).map(|known| known.role),
        };
        if role == Some(PersonRole::Supervisor) {
            return Way::Supervision;
        }
        // Before any route: one that takes any number must not take these for a customer's.
        let supervises = config.supervision.dialled(&incoming.to).is_some()
            || incoming.to.parse::<SupervisionId>().is_ok();
        if role.is_some() && supervises {
            return Way::NoSupervisor;
        }
        let trunk = match &incoming.origin {
            Origin::Trunk(trunk) => Some(trunk),
            Origin::Person(_) | Origin::Acs(_) => None,
        };
        let caller_is = if role == Some(PersonRole::Agent) { CallerIs::Agent } else { CallerIs::Customer };
        if let Ok(dialled) = Dialled::parse(&incoming.to)
            && let Some(route) = config.routes.find(&incoming.tenant, trunk, &dialled)
        {
            let (attempts, when_exhausted) = attempts(config, route, &incoming.to, None);
            return Way::Call(Plan { attempts, when_exhausted, caller_is, emergency: false });
        }
        // Our own telephones may dial each other by extension. A trunk may not: it reaches what
        // routes give it.
        let extension = match incoming.origin {
            Origin::Person(_) => config.person_by_extension(&incoming.tenant, &incoming.to),
            Origin::Trunk(_) | Origin::Acs(_) => None,
        };
        match extension {
            Some(person) if person.role != PersonRole::Supervisor => Way::Call(Plan {
                attempts: vec![Attempt::new(vec![to_person(config, &person.id)], RING)],
                when_exhausted: None,
                caller_is,
                emergency: false,
            }),
            _ => Way::Nowhere(Cause::NotFound, "no_route"),
        }
    }

    /// Refuses a leg before it is a call: told as an event with its reason, and nothing is kept.
    pub(super) fn turn_away(&mut self, incoming: &Incoming, cause: Cause, why: &'static str) {
        metrics::counter!(names::CALLS_REFUSED, "reason" => why).increment(1);
        let order = Order {
            leg: incoming.leg,
            action: LegAction::HangUp(cause),
            media: None,
            prefer: Vec::new(),
            caller: None,
            card: None,
        };
        if self.doors.order(order).is_err() {
            tracing::error!(leg = %incoming.leg, "could not turn a call away: the door takes no orders");
        }
        self.tell_turned_away(incoming, cause, why);
    }

    pub(super) fn originate(
        &mut self,
        now: Instant,
        who: &Principal,
        agent: &PersonId,
        to: &str,
        trunk: Option<TrunkId>,
    ) -> Result<Answer, Refusal> {
        let config = self.config.load_full();
        let Some(person) = config.person(agent) else { return Err(Refusal::NotFound("person")) };
        let scope = crate::call::rights::Scope {
            people: vec![agent.clone()],
            teams: person.teams.clone(),
            joined_supervisors: Vec::new(),
        };
        self.allow(who, Act::Originate, &person.tenant, &scope, "originate", agent.as_str(), "person")?;
        if person.role != PersonRole::Agent {
            return Err(Refusal::Invalid {
                code: "not_an_agent",
                detail: format!("{agent} is not an agent; calls are placed for agents"),
            });
        }
        if self.draining {
            return Err(Refusal::Unavailable {
                code: "draining",
                detail: "the gateway takes no new calls".into(),
            });
        }
        let emergency = emergency_trunks_of(&config, &person.tenant, to).into_iter().next();
        if emergency.is_none() && self.calls.len() >= config.limits.calls_max {
            return Err(Refusal::Unavailable {
                code: "calls_max",
                detail: format!("{} calls are up, as many as limits.calls_max allows", self.calls.len()),
            });
        }
        if emergency.is_none() && !self.pace.admit(now, config.limits.calls_per_second_max) {
            return Err(Refusal::Unavailable {
                code: "calls_per_second_max",
                detail: "too many new calls in this second; try again in the next".into(),
            });
        }
        let is_emergency = emergency.is_some();
        let customer = match emergency {
            Some(emergency) => to_trunk(&emergency, to).into(),
            None => {
                let wish = Wish { target: to.to_owned(), via: Via::Auto };
                wanted(&config, &person.tenant, &wish, trunk, None)?
            }
        };
        let setup = Setup {
            first: LegId(0),
            first_is: CallerIs::Agent,
            first_person: None,
            first_trunk: None,
            attempts: vec![Attempt::new(vec![to_person(&config, agent)], RING)],
            when_exhausted: None,
            takeover: takeover(&config),
            parties_max: config.limits.parties_per_call_max,
            seed: random(),
        };
        let number = person.extension.as_deref().unwrap_or(agent.as_str()).to_owned();
        let call = Call::outbound(now, setup, Attempt::new(vec![customer], RING * 2));
        let from = Caller::shown(number, person.display_name.as_deref().map(str::to_owned));
        let parts = (person.tenant.clone(), Direction::Outbound, from, to.to_owned());
        let live = Live { emergency: is_emergency, ..Live::new(call, parts) };
        let id = live.id;
        if is_emergency {
            self.tell_emergency(&live);
        }
        self.begin(now, live);
        self.calls.get(&id).map(|live| Answer::Call(live.view())).ok_or(Refusal::Unavailable {
            code: "not_placed",
            detail: "the call ended at once; see its events".into(),
        })
    }

    pub(super) fn list(&self, who: &Principal) -> Vec<CallView> {
        let config = self.config.load();
        let visible = |live: &&Live| may(&who.actor, Act::Read, &live.tenant, &live.scope(&config)).is_ok();
        let mut calls: Vec<CallView> = self.calls.values().filter(visible).map(Live::view).collect();
        calls.sort_by_key(|call| call.id);
        calls.iter_mut().for_each(|call| hide_supervision(who, call));
        calls
    }

    pub(super) fn view(&self, who: &Principal, call: CallId) -> Result<CallView, Refusal> {
        let live = self.allowed(who, Act::Read, call, "read")?;
        let mut view = live.view();
        hide_supervision(who, &mut view);
        Ok(view)
    }

    pub(super) fn hang_up(&mut self, now: Instant, who: &Principal, call: CallId) -> Result<Answer, Refusal> {
        self.allowed(who, Act::HangUp, call, "hang_up")?;
        self.command(now, call, Command::HangUp(Cause::Normal)).map_err(told::conflict)?;
        Ok(Answer::Done)
    }

    pub(super) fn leg_act(
        &mut self,
        now: Instant,
        who: &Principal,
        call: CallId,
        leg: LegId,
        act: LegAct,
    ) -> Result<Answer, Refusal> {
        let right = if act == LegAct::HangUp { Act::HangUp } else { Act::Steer };
        let live = self.allowed(who, right, call, "steer")?;
        if matches!(who.actor, Actor::Agent { .. }) && live.is_supervisor(leg) {
            return Err(Refusal::NotFound("leg")); // as for any leg the agent cannot see
        }
        let command = match act {
            LegAct::Hold => Command::Hold(leg),
            LegAct::Resume => Command::Resume(leg),
            LegAct::Mute => Command::Mute(leg),
            LegAct::Unmute => Command::Unmute(leg),
            LegAct::HangUp => Command::HangUpLeg(leg),
            LegAct::Dtmf { digits } => Command::SendDigits(leg, digits_checked(digits)?),
        };
        let hangs_up = matches!(command, Command::HangUpLeg(_));
        self.command(now, call, command).map_err(told::conflict)?;
        match self.calls.get(&call) {
            Some(live) if !hangs_up => {
                let mut view = live.view();
                hide_supervision(who, &mut view);
                Ok(Answer::Call(view))
            }
            _ => Ok(Answer::Done),
        }
    }

    pub(super) fn drain(&mut self, who: &Principal) -> Result<Answer, Refusal> {
        if !matches!(who.actor, Actor::Operator) {
            let denial = Denial::RoleForbids;
            self.audit_denied(who, who.actor.tenant(), "drain", "gateway", denial);
            return Err(Refusal::Denied(denial));
        }
        // Asked again and again while the process waits for its calls to end; news the first time only.
        if !std::mem::replace(&mut self.draining, true) {
            self.doors.drain();
            tracing::info!(calls = self.calls.len(), "draining");
        }
        Ok(Answer::Draining { calls: self.calls.len() })
    }

    /// The call, if `who` may do `act` to it. A refusal is an audit record.
    pub(super) fn allowed(
        &self,
        who: &Principal,
        act: Act,
        call: CallId,
        name: &'static str,
    ) -> Result<&Live, Refusal> {
        let live = self.calls.get(&call).ok_or(Refusal::NotFound("call"))?;
        let scope = live.scope(&self.config.load());
        self.allow(who, act, &live.tenant, &scope, name, &call.to_string(), "call")?;
        Ok(live)
    }

    #[expect(clippy::too_many_arguments, reason = "an audit line has this many columns")]
    pub(super) fn allow(
        &self,
        who: &Principal,
        act: Act,
        tenant: &TenantId,
        scope: &crate::call::rights::Scope,
        name: &'static str,
        target: &str,
        what: &'static str,
    ) -> Result<(), Refusal> {
        let Err(denial) = may(&who.actor, act, tenant, scope) else { return Ok(()) };
        self.audit_denied(who, Some(tenant), name, target, denial);
        Err(match denial {
            Denial::Foreign => Refusal::NotFound(what),
            Denial::OutsideScope | Denial::RoleForbids => Refusal::Denied(denial),
        })
    }

    /// Whether the caller of this call gets its ringing tone from us.
    pub(super) fn wants_tone(&self, id: CallId) -> bool {
        let Some(live) = self.calls.get(&id) else { return false };
        if self.rings_teams(live) {
            return true;
        }
        let Some(trunk) = live.trunk.as_ref() else { return false };
        self.config.load().trunk(trunk).is_some_and(|trunk| trunk.ringback == Ringback::Tone)
    }
}

/// An agent does not learn from the API that somebody listens in: that is the supervisor's to say.
fn hide_supervision(who: &Principal, call: &mut CallView) {
    if matches!(who.actor, Actor::Agent { .. }) {
        call.legs.retain(|leg| leg.role != "supervisor");
        call.supervisions.clear();
    }
}

fn takeover(config: &Config) -> Takeover {
    if config.supervision.takeover_releases_agent { Takeover::ReleasesAgent } else { Takeover::KeepsAgent }
}

fn to_trunk(trunk: &TrunkId, number: &str) -> Target {
    let address = Address::Trunk { trunk: trunk.clone(), number: number.to_owned() };
    Target { address, name: number.to_owned() }
}

fn to_acs(resource: &sbc_config::AcsId, number: &str) -> Target {
    let address = Address::Acs { resource: resource.clone(), number: number.to_owned() };
    Target { address, name: number.to_owned() }
}

/// A number beyond a trunk. Behind Microsoft's it is somebody at Teams, who is cleared first.
fn beyond(config: &Config, trunk: &TrunkId, number: &str, asker: Option<&Subject>) -> Callee {
    let Some(teams) = config.trunk(trunk).filter(|known| known.leads_to_teams()) else {
        return to_trunk(trunk, number).into();
    };
    // What is cleared is what is dialled, so the trunk's rules come first.
    match E164::parse(&NumberRule::apply_all(&teams.numbers_out, RuleDirection::Out, number)) {
        Ok(cleared) => Callee::Teams(TeamsUser {
            subject: Subject::Number(cleared),
            ways: vec![TeamsWay {
                route: crate::prereq::Route::DirectRouting,
                carrier: Some(Carrier::Trunk(trunk.clone())),
            }],
            name: number.to_owned(),
            person: None,
            asker: asker.cloned(),
            unless_engaged: false,
        }),
        // Nobody at Teams has it; the door says so.
        Err(_) => to_trunk(trunk, number).into(),
    }
}

/// The attempts a route asks for.
fn attempts(
    config: &Config,
    route: &Route,
    dialled: &str,
    asker: Option<&Subject>,
) -> (Vec<Attempt>, Option<Cause>) {
    let expand = |target: &sbc_config::Target| -> Vec<Callee> {
        let mut callees = match target {
            sbc_config::Target::Person(person) => vec![to_person(config, person)],
            sbc_config::Target::Team(team) => {
                config.agents_of(team).map(|p| to_person(config, &p.id)).collect()
            }
            sbc_config::Target::Trunk(trunk) => vec![beyond(config, trunk, dialled, asker)],
            sbc_config::Target::Acs(resource) => vec![to_acs(resource, dialled).into()],
        };
        for callee in &mut callees {
            if let Callee::Teams(user) = callee {
                user.unless_engaged = route.presence;
            }
        }
        callees
    };
    let targets = route.targets.iter().flat_map(&expand);
    let mut attempts: Vec<Attempt> = match route.strategy {
        Strategy::InOrder => targets.map(|target| Attempt::new(vec![target], route.ring)).collect(),
        Strategy::AllAtOnce => vec![Attempt::new(targets.collect(), route.ring)],
    };
    let when_exhausted = match &route.fallback {
        Fallback::Target(target) => {
            attempts.extend(expand(target).into_iter().map(|callee| Attempt::new(vec![callee], route.ring)));
            None
        }
        Fallback::Reject(480) => None, // the default: then the truest reason is told instead
        Fallback::Reject(status) => Some(Cause::from_sip_status(*status)),
    };
    (attempts, when_exhausted)
}

/// Whom a number typed by an agent dials: beyond the named trunk, where a route leads, or a colleague.
pub(super) fn dialled_target(
    config: &Config,
    tenant: &TenantId,
    to: &str,
    trunk: Option<TrunkId>,
    asker: Option<&Subject>,
) -> Result<Callee, Refusal> {
    let dialled = Dialled::parse(to).map_err(|error| Refusal::Invalid {
        code: "number_invalid",
        detail: format!("`to` cannot be dialled: {error}"),
    })?;
    if let Some(trunk) = trunk {
        return match config.trunk(&trunk) {
            Some(known) if known.tenant == *tenant && known.destination().is_some() => {
                Ok(beyond(config, &trunk, dialled.as_str(), asker))
            }
            Some(known) if known.tenant == *tenant => Err(Refusal::Invalid {
                code: "trunk_inbound_only",
                detail: format!("trunk {trunk} has no destination; give it one to place calls over it"),
            }),
            _ => Err(Refusal::NotFound("trunk")),
        };
    }
    let route = config.routes.find(tenant, None, &dialled);
    let by_route =
        route.and_then(|route| attempts(config, route, dialled.as_str(), asker).0.into_iter().next());
    if let Some(target) = by_route.and_then(|attempt| attempt.targets.into_iter().next()) {
        return Ok(target);
    }
    match config.person_by_extension(tenant, to) {
        Some(person) => Ok(to_person(config, &person.id)),
        None => Err(Refusal::Invalid {
            code: "no_route",
            detail: "no route takes this number; name a trunk or add a route".into(),
        }),
    }
}

fn digits_checked(digits: String) -> Result<String, Refusal> {
    let good = |c: char| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D');
    if digits.is_empty() || digits.len() > DTMF_DIGITS_MAX || !digits.chars().all(good) {
        return Err(Refusal::Invalid {
            code: "digits_invalid",
            detail: format!("digits are 1 to {DTMF_DIGITS_MAX} of 0-9, *, # and A-D"),
        });
    }
    Ok(digits)
}

/// A new call id: milliseconds since 1970, then randomness.
pub(super) fn new_call_id() -> CallId {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let millis = (now.as_millis() as u64) & 0xffff_ffff_ffff;
    CallId((u128::from(millis) << 80) | (u128::from(random()) << 16) | u128::from(random() & 0xffff))
}

/// 64 random bits from the operating system.
pub(super) fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness ids could be guessed and collide: nothing sensible can go on.
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    u64::from_le_bytes(bytes)
}
