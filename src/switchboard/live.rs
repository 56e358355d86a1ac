//! One live call: the pure [`Call`], and what the switchboard knows around it.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use sbc_config::{Config, PersonId, PersonRole, TeamId, TenantId, TrunkId};
use sidetone_media::codec::Codec;
use tokio::sync::oneshot;

use crate::bridge::LegQuality;
use crate::call::card::Drawn;
use crate::call::door::{AgreedMedia, Caller, Correlation, MediaEnd};
use crate::call::journey::{Journey, Passport};
use crate::call::rights::Scope;
use crate::call::{
    Address, Call, CallId, Cause, Coaching, LegEnd, LegEvent, LegId, Party, Role, Supervision, SupervisionId,
    Target, TeamsUser,
};
use crate::observe::Audience;
use crate::prereq::{Route, Subject};

use super::admission::new_call_id;
use super::cost::Path;
use super::desk::{
    Answer, AttestationView, CallState, CallView, Direction, DivertedView, Follow, LegView, Refusal,
    SupervisionState, SupervisionView,
};
use super::history::History;

/// A call and its surroundings.
pub(super) struct Live {
    pub(super) id: CallId,
    pub(super) call: Call,
    pub(super) tenant: TenantId,
    pub(super) direction: Direction,
    pub(super) from: Caller,
    pub(super) to: String,
    /// Whether it is a call to an emergency service: then nothing limits it and nobody listens in.
    pub(super) emergency: bool,
    /// The trunk the call came over or was placed by.
    pub(super) trunk: Option<TrunkId>,
    pub(super) started_at: SystemTime,
    pub(super) answered_at: Option<SystemTime>,
    pub(super) legs: Vec<Leg>,
    /// The timer armed for the call.
    pub(super) timer: Option<Instant>,
    /// Who waits for a table to govern the media.
    pub(super) waiting: Vec<Waiting>,
    /// Who waits for what becomes of a transfer: there is one at a time.
    pub(super) transferring: Option<oneshot::Sender<Result<Answer, Refusal>>>,
    /// What the expert of the consult is told of the matter.
    pub(super) consult_card: Option<Arc<Drawn>>,
    /// What the target of the transfer is told of the matter.
    pub(super) transfer_card: Option<Arc<Drawn>>,
    /// The target of a transfer that is listened to.
    pub(super) screening: Option<LegId>,
    /// Its consults and transfers, for the record.
    pub(super) history: History,
    /// The newest table known to govern the media.
    pub(super) applied: u64,
}

/// Somebody who asked for a change and is answered when it is heard.
pub(super) struct Waiting {
    pub(super) generation: u64,
    pub(super) supervision: SupervisionId,
    pub(super) answer: oneshot::Sender<Result<Answer, Refusal>>,
}

impl Leg {
    /// Whether this leg is a call that we placed to the trunk, and pay for.
    pub(super) fn is_toll(&self, trunk: &TrunkId) -> bool {
        self.placed && self.channel.as_ref() == Some(trunk)
    }
}

/// What is known of a leg besides its part in the call. Stays after the leg's end, for the record.
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) name: String,
    pub(super) person: Option<PersonId>,
    pub(super) trunk: Option<TrunkId>,
    /// Whether we called them; else they called us.
    pub(super) placed: bool,
    /// Which Teams user was cleared for it, over what.
    pub(super) teams: Option<TeamsLeg>,
    /// The trunk of which it occupies a channel.
    pub(super) channel: Option<TrunkId>,
    pub(super) role: &'static str,
    pub(super) media: Option<MediaEnd>,
    /// What the far end offered, while nothing is agreed.
    pub(super) offered: Vec<Codec>,
    pub(super) codec: Option<Codec>,
    pub(super) started_at: SystemTime,
    pub(super) answered_at: Option<SystemTime>,
    pub(super) end: Option<LegEnd>,
    pub(super) ended_at: Option<SystemTime>,
    /// How it is connected, for its price.
    pub(super) path: Option<Path>,
    /// What its early media is worth.
    pub(super) early: Early,
    /// By what the far end's support finds it.
    pub(super) correlation: Option<Correlation>,
    /// How it sounded when it was last measured.
    pub(super) sounds: Option<LegQuality>,
    /// Media figures, once its media is closed.
    pub(super) quality: Option<LegQuality>,
}

/// Whom a clearance was for, and over what.
#[derive(Debug, Clone)]
pub(super) struct TeamsLeg {
    pub(super) subject: Subject,
    pub(super) route: Route,
}

/// A description before the answer promises sound. Of some peers only the sound itself is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Early {
    /// Neither has come.
    #[default]
    Silent,
    /// Promised, and nothing has been heard.
    Promised,
    /// Packets have come.
    Heard,
}

impl Leg {
    /// The connection goes on in another call, as a new line of that call's record; here it is over.
    pub(super) fn goes_over(&mut self, role: &'static str, to: CallId, at: SystemTime) -> Leg {
        let here = Leg {
            person: self.person.clone(),
            trunk: self.trunk.clone(),
            placed: self.placed,
            teams: self.teams.clone(),
            channel: self.channel.take(),
            media: self.media.take(),
            codec: self.codec,
            answered_at: Some(at),
            path: self.path.clone(),
            correlation: self.correlation.clone(),
            ..Leg::new(self.id, self.name.clone(), role, at)
        };
        self.ended_at = Some(at);
        self.end = Some(LegEnd { cause: Cause::Released, detail: format!("goes on in {to}") });
        here
    }

    pub(super) fn new(id: LegId, name: String, role: &'static str, started_at: SystemTime) -> Leg {
        Leg {
            id,
            name,
            person: None,
            trunk: None,
            placed: false,
            teams: None,
            channel: None,
            role,
            media: None,
            offered: Vec::new(),
            codec: None,
            started_at,
            answered_at: None,
            end: None,
            ended_at: None,
            path: None,
            early: Early::default(),
            correlation: None,
            sounds: None,
            quality: None,
        }
    }
}

impl Live {
    /// A call that begins now, nobody's yet.
    pub(super) fn new(
        call: Call,
        (tenant, direction, from, to): (TenantId, Direction, Caller, String),
    ) -> Live {
        Live {
            id: new_call_id(),
            call,
            tenant,
            direction,
            from,
            to,
            emergency: false,
            trunk: None,
            started_at: SystemTime::now(),
            answered_at: None,
            legs: Vec::new(),
            timer: None,
            waiting: Vec::new(),
            transferring: None,
            consult_card: None,
            transfer_card: None,
            screening: None,
            history: History::default(),
            applied: 0,
        }
    }

    pub(super) fn legs(&self) -> Vec<LegId> {
        self.legs.iter().map(|leg| leg.id).collect()
    }

    pub(super) fn leg_mut(&mut self, leg: LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|known| known.id == leg)
    }

    /// A Teams user is to be rung on `leg`, once they are cleared.
    pub(super) fn asked_for(&mut self, leg: LegId, user: &TeamsUser, at: SystemTime) {
        if self.leg_mut(leg).is_some() {
            return;
        }
        let role = self.party(leg).map_or("unassigned", |party| role_label(party.seat().role));
        let mut known = Leg::new(leg, user.name.clone(), role, at);
        known.person.clone_from(&user.person);
        self.legs.push(known);
    }

    /// The call has begun to dial `target` on `leg`.
    pub(super) fn dialled(&mut self, leg: LegId, target: &Target, at: SystemTime, path: Path) {
        if let Address::Teams(teams) = &target.address
            && let Some(known) = self.leg_mut(leg)
        {
            let clearance = teams.clearance();
            known.teams = Some(TeamsLeg { subject: clearance.subject().clone(), route: clearance.route() });
            known.trunk = target.trunk().cloned();
            known.placed = true;
            known.path = Some(path);
            return;
        }
        let role = self.party(leg).map_or("unassigned", |party| role_label(party.seat().role));
        let mut known = Leg::new(leg, target.name.clone(), role, at);
        known.person = target.person().cloned();
        known.trunk = target.trunk().cloned();
        known.placed = true;
        known.path = Some(path);
        self.legs.push(known);
    }

    /// Keeps what the record will say of a leg.
    pub(super) fn note(&mut self, leg: LegId, event: &LegEvent) {
        let now = SystemTime::now();
        let Some(known) = self.legs.iter_mut().find(|known| known.id == leg) else { return };
        match event {
            LegEvent::Answered => {
                known.answered_at.get_or_insert(now);
            }
            LegEvent::Ended(end) => {
                known.end = Some(end.clone());
                known.ended_at = Some(now);
            }
            _ => {}
        }
    }

    pub(super) fn agreed(&mut self, leg: LegId, media: &AgreedMedia) {
        if let Some(known) = self.leg_mut(leg) {
            known.codec = Some(media.codec);
        }
    }

    /// Whether every leg that had media has told its figures.
    pub(super) fn is_measured(&self) -> bool {
        self.legs.iter().all(|leg| leg.media.is_none() || leg.quality.is_some())
    }

    pub(super) fn is_supervisor(&self, leg: LegId) -> bool {
        self.party(leg).is_some_and(|party| matches!(party.seat().role, Role::Supervisor { .. }))
    }

    fn party(&self, leg: LegId) -> Option<&Party> {
        self.call.parties().iter().find(|party| party.seat().leg == leg)
    }

    /// What the rest of the call speaks, so that packets can be relayed as they are: agreed codecs
    /// first, then what the others offered, conversation before supervisors.
    pub(super) fn codecs_of_others(&self, leg: LegId) -> Vec<Codec> {
        let mut others: Vec<&Leg> = self.legs.iter().filter(|l| l.id != leg && l.end.is_none()).collect();
        others.sort_by_key(|other| self.is_supervisor(other.id));
        let agreed = others.iter().filter_map(|other| other.codec);
        let offered = others.iter().filter(|o| o.codec.is_none()).flat_map(|o| o.offered.iter().copied());
        let mut codecs = Vec::new();
        // Linear sound stays inside; wideband is what a telephone can do for it.
        let spoken = |codec| if codec == Codec::L16 { Codec::G722 } else { codec };
        for codec in agreed.chain(offered).map(spoken) {
            if !codecs.contains(&codec) {
                codecs.push(codec);
            }
        }
        codecs
    }

    /// Who is shown to the one who is dialled: the caller to an agent and a supervisor, the number
    /// that was dialled for an agent's customer.
    pub(super) fn caller_for(&self, leg: LegId) -> Caller {
        if let Some(transferee) = self.transferee(leg) {
            return transferee;
        }
        let customer = self.party(leg).is_some_and(|party| party.seat().role == Role::Customer);
        match (self.direction, customer) {
            (Direction::Outbound, false) => Caller::shown(self.to.clone(), None),
            // What goes along is for those who talk with the caller.
            _ if self.is_supervisor(leg) => Caller { context: None, ..self.from.clone() },
            _ => self.from.clone(),
        }
    }

    /// What the call takes along to whoever is dialled for it now, whoever is shown as calling.
    pub(super) fn journey_on(&self) -> Arc<Journey> {
        let journey = &self.from.journey;
        let on = if self.call.is_talking() { journey.hops_alone() } else { journey.at(SystemTime::now()) };
        // Where somebody is concerns those who come to help, and nobody else.
        Arc::new(Journey { location: on.location.clone().filter(|_| self.emergency), ..on })
    }

    /// Who is shown to the target of a transfer: whoever talked with the one whose place it takes.
    fn transferee(&self, target: LegId) -> Option<Caller> {
        let (transferor, _) = self.call.transferring().filter(|(_, to)| *to == target)?;
        // The one who called is shown as they showed themselves; anybody else by what was dialled.
        let first = self.legs.first().map(|leg| leg.id);
        let inbound = matches!(self.direction, Direction::Inbound);
        let called_in = inbound && first != Some(transferor);
        Some(if called_in { self.from.clone() } else { Caller::shown(self.to.clone(), None) })
    }

    /// The verified number that a call to an emergency service is placed from, towards the service.
    pub(super) fn emergency_caller(&self, config: &Config, target: &Target) -> Option<Caller> {
        let number =
            config.emergency.caller_id.as_ref().filter(|_| self.emergency && target.trunk().is_some())?;
        Some(Caller::shown(number.to_string(), None))
    }

    /// Who may see and steer this call.
    pub(super) fn scope(&self, config: &Config) -> Scope {
        let mut scope = Scope::default();
        for leg in &self.legs {
            let Some(person) = leg.person.as_ref() else { continue };
            if !scope.people.contains(person) {
                scope.people.push(person.clone());
            }
            if let Some(known) = config.person(person)
                && known.role == PersonRole::Agent
            {
                add_teams(&mut scope.teams, &known.teams);
            }
        }
        scope.joined_supervisors = self
            .call
            .supervisions()
            .iter()
            .filter(|s| s.started && matches!(s.role, Coaching::Barge | Coaching::TakenOver))
            .map(|s| s.supervisor.clone())
            .collect();
        scope
    }

    pub(super) fn audience(&self, config: &Config) -> Audience {
        let scope = self.scope(config);
        // A supervisor sees by team, not by being on the line: an agent must not learn from an
        // event stream that they are listened to.
        let is_supervisor =
            |p: &PersonId| config.person(p).is_some_and(|known| known.role == PersonRole::Supervisor);
        let people = scope.people.into_iter().filter(|person| !is_supervisor(person)).collect();
        Audience { people, teams: scope.teams }
    }

    pub(super) fn view(&self) -> CallView {
        let state = if self.call.is_ending() {
            CallState::Ending
        } else if self.call.is_talking() {
            CallState::Talking
        } else {
            CallState::Ringing
        };
        CallView {
            id: self.id,
            tenant: self.tenant.clone(),
            direction: self.direction,
            from: self.from.number.clone(),
            to: self.to.clone(),
            state,
            started_at: self.started_at,
            answered_at: self.answered_at,
            legs: self.call.parties().iter().map(|party| self.leg_view(party)).collect(),
            supervisions: self.call.supervisions().iter().map(|s| s.id).collect(),
            attestation: self.attestation(),
            diverted_by: self.diverted_by(),
        }
    }

    /// What the networks say of the caller's right to the number.
    pub(super) fn attestation(&self) -> Option<AttestationView> {
        let journey = &self.from.journey;
        let passport = journey.passport.as_ref();
        (passport.is_some() || journey.verstat.is_some()).then(|| AttestationView {
            level: passport.map(|passport| passport.level),
            // One who withholds the number is not told by the way.
            orig: passport.and_then(|passport| passport.orig.clone()).filter(|_| !self.from.private),
            dest: passport.map(|passport| passport.dest.clone()).unwrap_or_default(),
            issued_at: passport.and_then(Passport::made),
            carrier_says: journey.verstat,
        })
    }

    /// From whom it was diverted, the first of them first.
    pub(super) fn diverted_by(&self) -> Vec<DivertedView> {
        let told = self.from.journey.diversions.iter().map(|diversion| DivertedView {
            number: diversion.shown().map(str::to_owned),
            reason: diversion.reason,
        });
        told.collect()
    }

    fn leg_view(&self, party: &Party) -> LegView {
        let seat = party.seat();
        let coaching = match seat.role {
            Role::Supervisor { coaching, .. } => Some(coaching),
            _ => None,
        };
        let known = self.legs.iter().find(|leg| leg.id == seat.leg);
        LegView {
            id: seat.leg,
            role: role_label(seat.role),
            coaching,
            person: party.person().cloned(),
            trunk: party.trunk().cloned(),
            presence: seat.presence,
            hold: seat.hold,
            muted: seat.muted,
            codec: known.and_then(|leg| leg.codec).map(Codec::encoding_name),
            quality: known.and_then(|leg| leg.sounds),
        }
    }

    pub(super) fn supervision_view(&self, id: SupervisionId) -> Option<SupervisionView> {
        let supervision = self.call.supervisions().iter().find(|s| s.id == id)?;
        Some(view_of(supervision, Some(self.id)))
    }
}

pub(super) fn view_of(supervision: &Supervision, call: Option<CallId>) -> SupervisionView {
    let state = match (call, supervision.started) {
        (None, _) => SupervisionState::Waiting,
        (Some(_), true) => SupervisionState::Active,
        (Some(_), false) => SupervisionState::Requested,
    };
    SupervisionView {
        id: supervision.id,
        call,
        supervisor: supervision.supervisor.clone(),
        leg: supervision.leg,
        agent: supervision.agent.clone(),
        subject: call.map(|_| supervision.subject),
        role: supervision.role,
        allowed_roles: supervision.allowed_roles.clone(),
        dtmf_control: supervision.dtmf_control,
        follow: if supervision.follows { Follow::Agent } else { Follow::Call },
        dial_in: supervision.leg.is_none().then(|| supervision.id.to_string()),
        state,
    }
}

pub(super) fn role_label(role: Role) -> &'static str {
    match role {
        Role::Unassigned => "unassigned",
        Role::Customer => "customer",
        Role::Agent => "agent",
        Role::Expert { .. } => "expert",
        Role::Supervisor { .. } => "supervisor",
    }
}

fn add_teams(teams: &mut Vec<TeamId>, more: &[TeamId]) {
    for team in more {
        if !teams.contains(team) {
            teams.push(team.clone());
        }
    }
}
