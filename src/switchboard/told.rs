//! Telling: a call's typed news as events, the record of a finished call, and the audit.

use std::collections::HashSet;
use std::time::{Instant, SystemTime};

use sbc_config::{Config, PersonId, TenantId, TrunkId};
use serde_json::{Value, json};
use sidetone_media::codec::Codec;

use crate::bridge::LegQuality;
use crate::call::door::{Incoming, Origin};
use crate::call::rights::{Actor, Denial, Principal};
use crate::call::{
    CallEvent, CallId, Cause, ChangedBy, Coaching, CommandError, ConsultEnd, LegEvent, LegId, SupervisionId,
};
use crate::observe::{Audience, AuditRecord, CallRecord, Event, metrics as names};

use super::desk::{Refusal, SupervisionView};
use super::live::Live;
use super::standby::Standby;
use super::supervise::telephone_of;
use super::{Closing, Switchboard};

impl Switchboard {
    /// Tells of a call, and does what the switchboard itself does on that news.
    pub(super) fn tell(&mut self, now: Instant, id: CallId, event: &CallEvent) {
        let config = self.config.load_full();
        let Some(live) = self.calls.get_mut(&id) else { return };
        let at = SystemTime::now();
        if matches!(event, CallEvent::Answered { .. }) && live.answered_at.is_none() {
            live.answered_at = Some(at);
            let waited = at.duration_since(live.started_at).unwrap_or_default();
            metrics::histogram!(names::CALL_ANSWER_SECONDS).record(waited.as_secs_f64());
        }
        let mut audience = live.audience(&config);
        let of_supervisor = match event {
            CallEvent::Held { leg, .. } | CallEvent::Resumed { leg, .. } => live.is_supervisor(*leg),
            other => other.kind().starts_with("supervision."),
        };
        if of_supervisor {
            audience.people.clear(); // an agent is not told that they are listened to
        }
        let data = data_of(live, event);
        self.journal.event(Event {
            kind: event.kind(),
            tenant: live.tenant.clone(),
            call: Some(id),
            audience,
            at,
            data,
        });
        if let Some(live) = self.calls.get_mut(&id) {
            live.remember(event);
        }
        if let (CallEvent::ConsultOver { .. }, Some(live)) = (event, self.calls.get(&id)) {
            self.hold_as_usual(live);
        }
        self.tell_card(id, event);
        match event {
            CallEvent::Bridged => self.followers_join(now, id),
            CallEvent::SupervisionStarted { id, .. } => self.count_supervisors(|on_line| {
                on_line.insert(*id);
            }),
            CallEvent::SupervisionEnded { id, .. } => {
                self.by_supervision.remove(id);
                self.count_supervisors(|on_line| {
                    on_line.remove(id);
                });
            }
            CallEvent::RoleChanged { id: supervision, to, by: ChangedBy::Dtmf, .. } => {
                self.audit_digit(id, *supervision, *to);
            }
            _ => {}
        }
    }

    pub(super) fn count_supervisors(&mut self, change: impl FnOnce(&mut HashSet<SupervisionId>)) {
        change(&mut self.on_line);
        metrics::gauge!(names::SUPERVISIONS_LIVE).set(self.on_line.len() as f64);
    }

    /// A switch by the supervisor's telephone is an act like one over the API.
    fn audit_digit(&self, call: CallId, id: SupervisionId, to: Coaching) {
        let Some(live) = self.calls.get(&call) else { return };
        let Some(view) = live.supervision_view(id) else { return };
        let person = view.supervisor.clone();
        let config = self.config.load();
        let teams = config.person(&person).map(|known| known.teams.clone()).unwrap_or_default();
        let token = telephone_of(&person);
        let who =
            Principal { token, actor: Actor::Supervisor { tenant: live.tenant.clone(), person, teams } };
        self.audit_allowed(&who, Some(&live.tenant), "switch_role", &id.to_string(), &view, to);
    }

    pub(super) fn tell_failed(&mut self, live: &Live) {
        let over: Vec<SupervisionId> = live.call.supervisions().iter().map(|s| s.id).collect();
        self.count_supervisors(|on_line| on_line.retain(|id| !over.contains(id)));
        let mut unseen = live.audience(&self.config.load());
        unseen.people.clear();
        for id in over {
            self.journal.event(Event {
                kind: "supervision.ended",
                tenant: live.tenant.clone(),
                call: Some(live.id),
                audience: unseen.clone(),
                at: SystemTime::now(),
                data: json!({ "supervision": id, "cause": Cause::Internal }),
            });
        }
        self.journal.event(Event {
            kind: "call.ended",
            tenant: live.tenant.clone(),
            call: Some(live.id),
            audience: live.audience(&self.config.load()),
            at: SystemTime::now(),
            data: json!({ "cause": Cause::Internal }),
        });
    }

    pub(super) fn tell_turned_away(&self, incoming: &Incoming, cause: Cause, why: &'static str) {
        let trunk = match &incoming.origin {
            Origin::Trunk(trunk) => Some(trunk.to_string()),
            Origin::Person(_) | Origin::Acs(_) => None,
        };
        self.journal.event(Event {
            kind: "call.refused",
            tenant: incoming.tenant.clone(),
            call: None,
            audience: Audience::default(),
            at: SystemTime::now(),
            data: json!({
                "from": incoming.from.number, "to": incoming.to, "trunk": trunk,
                "cause": cause, "reason": why,
            }),
        });
    }

    /// The person whose browser a leg is in is told that it rings there, and when it is over: whatever else they may see
    /// of the call. A supervisor's agents are not.
    pub(super) fn tell_browser(&self, leg: LegId, event: &LegEvent) {
        let Some(person) = self.doors.browser_of(leg) else { return };
        let call = self.by_leg.get(&leg).and_then(|call| self.calls.get(call));
        let (kind, data) = match event {
            LegEvent::Ringing => {
                let from = call.map(|live| live.caller_for(leg));
                let data = json!({
                    "leg": leg,
                    "person": person,
                    "role": call.and_then(|live| live.legs.iter().find(|l| l.id == leg)).map(|l| l.role),
                    "from": from.as_ref().filter(|from| !from.private).map(|from| &from.number),
                    "from_name": from.as_ref().and_then(|from| from.name.as_ref()),
                });
                ("leg.offered", data)
            }
            LegEvent::Ended(end) => (
                "leg.ended",
                json!({ "leg": leg, "person": person, "cause": end.cause, "detail": end.detail }),
            ),
            _ => return,
        };
        let Some(tenant) = self.config.load().person(person).map(|known| known.tenant.clone()) else {
            return;
        };
        self.journal.event(Event {
            kind,
            tenant,
            call: call.map(|live| live.id),
            audience: Audience { people: vec![person.clone()], teams: Vec::new() },
            at: SystemTime::now(),
            data,
        });
    }

    /// Somebody needs help: whoever watches the tenant is told at once.
    pub(super) fn tell_emergency(&self, live: &Live) {
        let config = self.config.load();
        let mut audience = live.audience(&config);
        audience.teams =
            config.teams.iter().filter(|t| t.tenant == live.tenant).map(|t| t.id.clone()).collect();
        self.journal.event(Event {
            kind: "call.emergency",
            tenant: live.tenant.clone(),
            call: Some(live.id),
            audience,
            at: SystemTime::now(),
            data: json!({ "from": live.from.number, "to": live.to }),
        });
    }

    pub(super) fn tell_denied(&self, who: &Principal, call: CallId, supervisor: &PersonId, role: Coaching) {
        let Some(live) = self.calls.get(&call) else { return };
        if who.actor.tenant() != Some(&live.tenant) {
            return; // a foreign tenant's attempt is the audit's affair
        }
        let audience = Audience { people: Vec::new(), teams: live.audience(&self.config.load()).teams };
        self.journal.event(Event {
            kind: "supervision.denied",
            tenant: live.tenant.clone(),
            call: Some(call),
            audience,
            at: SystemTime::now(),
            data: json!({ "supervisor": supervisor, "role": coaching_label(role), "token": who.token }),
        });
    }

    pub(super) fn tell_standby_ended(&mut self, standby: &Standby, cause: Cause) {
        let supervision = &standby.supervision;
        self.count_supervisors(|on_line| {
            on_line.remove(&supervision.id);
        });
        let config = self.config.load();
        let teams = config.person(&supervision.supervisor).map(|p| p.teams.clone()).unwrap_or_default();
        self.journal.event(Event {
            kind: "supervision.ended",
            tenant: standby.tenant.clone(),
            call: None,
            audience: Audience { people: Vec::new(), teams },
            at: SystemTime::now(),
            data: json!({ "supervision": supervision.id, "supervisor": supervision.supervisor, "cause": cause }),
        });
    }

    pub(super) fn tell_trunk(&self, trunk: &TrunkId, up: bool, detail: &str) {
        let config = self.config.load();
        let Some(known) = config.trunk(trunk) else { return };
        metrics::gauge!(names::TRUNK_UP, "trunk" => trunk.to_string()).set(if up { 1.0 } else { 0.0 });
        self.journal.event(Event {
            kind: if up { "trunk.up" } else { "trunk.down" },
            tenant: known.tenant.clone(),
            call: None,
            audience: Audience::default(),
            at: SystemTime::now(),
            data: json!({ "trunk": trunk, "detail": detail }),
        });
    }

    /// How a leg of a live call sounds now. Whoever looks is shown it; an event tells when it is worse, or better again.
    pub(super) fn sounds(&mut self, call: CallId, leg: LegId, quality: LegQuality, is_news: bool) {
        let Some(live) = self.calls.get_mut(&call) else { return };
        if is_news {
            let config = self.config.load_full();
            self.journal.event(quality_event(live, &config, leg, &quality, false));
        }
        if let Some(known) = live.leg_mut(leg) {
            known.sounds = Some(quality);
        }
    }

    /// No sound comes from a leg that talks, or it comes again. Whoever could do something about it is told while the call is
    /// up: one that is still rung is silent by right.
    pub(super) fn media_missing(&mut self, call: CallId, leg: LegId, missing: bool) {
        let Some(live) = self.calls.get_mut(&call) else { return };
        if live.leg_mut(leg).is_none_or(|known| known.answered_at.is_none()) {
            return;
        }
        let config = self.config.load_full();
        if missing {
            metrics::counter!(names::MEDIA_MISSING).increment(1);
        }
        tracing::info!(id = %call, %leg, missing, "sound of a leg");
        let kind = if missing { "leg.media_missing" } else { "leg.media_back" };
        let data = json!({ "leg": leg, "after_s": config.media.warn.as_secs() });
        let event = leg_event_of(live, &config, leg, kind, data);
        self.journal.event(event);
    }

    /// Media figures of a leg whose media is closed. The last of an ended call completes its record.
    pub(super) fn quality(&mut self, call: CallId, leg: LegId, quality: LegQuality) {
        let config = self.config.load_full();
        let live = match self.calls.get_mut(&call) {
            Some(live) => live,
            None => match self.closing.get_mut(&call) {
                Some(closing) => &mut closing.live,
                None => return,
            },
        };
        measure(&quality);
        self.journal.event(quality_event(live, &config, leg, &quality, true));
        if let Some(known) = live.leg_mut(leg) {
            known.quality = Some(quality);
        }
        if self.closing.get(&call).is_some_and(|closing| closing.live.is_measured()) {
            self.close_record(call);
        }
    }

    /// Writes the record of an ended call, measured or not.
    pub(super) fn close_record(&mut self, call: CallId) {
        let Some(Closing { live, cause, by, until }) = self.closing.remove(&call) else { return };
        self.timers.remove(&(until, call));
        self.record(live, cause, by);
    }

    fn record(&mut self, live: Live, cause: Cause, by: Option<LegId>) {
        let config = self.config.load();
        let ended_at = SystemTime::now();
        let audience = live.audience(&config);
        let legs: Vec<Value> = live
            .legs
            .iter()
            .map(|leg| {
                let first = live.legs.first().is_some_and(|first| first.id == leg.id);
                let mut told = json!({
                    "leg": leg.id,
                    "role": leg.role,
                    "name": leg.name,
                    "person": leg.person,
                    "trunk": leg.trunk,
                    "codec": leg.codec.map(Codec::encoding_name),
                    "started_at": rfc3339(leg.started_at),
                    "answered_at": leg.answered_at.map(rfc3339),
                    "cause": leg.end.as_ref().map(|end| end.cause),
                    "detail": leg.end.as_ref().map(|end| end.detail.clone()),
                    "connection": leg.correlation.as_ref().map(|known| known.connection.clone()),
                    "peer_key": leg.correlation.as_ref().and_then(|known| known.peer_key.clone()),
                    "media": leg.quality.as_ref().map(quality_fields),
                    "ended_call": by == Some(leg.id),
                    "attestation": attestation(&live).filter(|_| first),
                    "diverted_by": first.then(|| live.diverted_by()),
                });
                if let (Value::Object(told), Value::Object(bill)) = (&mut told, leg.bill(&config, ended_at)) {
                    told.extend(bill);
                }
                told
            })
            .collect();
        let (history, costs) = (live.history.told(), live.costs(&config, ended_at));
        self.journal.record(CallRecord {
            call: live.id,
            tenant: live.tenant,
            audience,
            direction: live.direction.label(),
            from: live.from.number,
            to: live.to,
            trunk: live.trunk,
            started_at: live.started_at,
            answered_at: live.answered_at,
            ended_at,
            cause,
            legs: Value::Array(legs),
            history,
            costs,
        });
    }

    pub(super) fn audit_denied(
        &self,
        who: &Principal,
        tenant: Option<&TenantId>,
        act: &'static str,
        target: &str,
        denial: Denial,
    ) {
        self.audit(who, tenant, act, target, denial_code(denial).to_owned(), Value::Null);
    }

    pub(super) fn audit_allowed(
        &self,
        who: &Principal,
        tenant: Option<&TenantId>,
        act: &'static str,
        target: &str,
        supervision: &SupervisionView,
        role: Coaching,
    ) {
        let detail = json!({
            "supervisor": supervision.supervisor,
            "call": supervision.call,
            "role": coaching_label(role),
        });
        self.audit(who, tenant, act, target, "allowed".to_owned(), detail);
    }

    /// An act that was allowed and could not be done.
    pub(super) fn audit_refused(
        &self,
        who: &Principal,
        tenant: Option<&TenantId>,
        act: &'static str,
        target: &str,
        refusal: &Refusal,
    ) {
        let outcome = match refusal {
            Refusal::Conflict { code, .. } | Refusal::Invalid { code, .. } => code,
            Refusal::Unavailable { code, .. } => code,
            Refusal::NotFound(_) => "not_found",
            Refusal::Denied(denial) => denial_code(*denial),
            Refusal::NotCleared(_) => "not_cleared",
            Refusal::Busy => "busy",
        };
        self.audit(who, tenant, act, target, outcome.to_owned(), Value::Null);
    }

    /// A rule of a trunk was met.
    pub(super) fn audit_toll(&self, who: &Principal, tenant: &TenantId, trunk: &TrunkId, reason: &str) {
        self.audit(who, Some(tenant), "use_trunk", trunk.as_str(), reason.to_owned(), Value::Null);
    }

    fn audit(
        &self,
        who: &Principal,
        tenant: Option<&TenantId>,
        act: &'static str,
        target: &str,
        outcome: String,
        detail: Value,
    ) {
        let person = match &who.actor {
            Actor::Agent { person, .. } | Actor::Supervisor { person, .. } => Some(person.clone()),
            Actor::TenantAdmin { .. } | Actor::Integration { .. } | Actor::Operator => None,
        };
        self.journal.audit(AuditRecord {
            at: SystemTime::now(),
            tenant: tenant.cloned(),
            token: who.token.clone(),
            person,
            act,
            target: target.to_owned(),
            outcome,
            detail,
        });
    }
}

fn data_of(live: &Live, event: &CallEvent) -> Value {
    let who = |leg: &LegId| {
        let known = live.legs.iter().find(|known| known.id == *leg);
        json!({
            "leg": leg,
            "role": known.map(|known| known.role),
            "person": known.and_then(|known| known.person.clone()),
            "trunk": known.and_then(|known| known.trunk.clone()),
        })
    };
    match event {
        CallEvent::Initiated => json!({
            "direction": live.direction, "from": live.from.number, "to": live.to, "trunk": live.trunk,
            "attestation": attestation(live), "diverted_by": live.diverted_by(),
        }),
        CallEvent::Ringing { leg } | CallEvent::Answered { leg } => who(leg),
        CallEvent::Bridged => json!({}),
        CallEvent::AttemptFailed { leg, end } => {
            let mut data = who(leg);
            data["cause"] = json!(end.cause);
            data["detail"] = json!(end.detail);
            data
        }
        CallEvent::Held { leg, by_peer } | CallEvent::Resumed { leg, by_peer } => {
            let mut data = who(leg);
            data["by_peer"] = json!(by_peer);
            data
        }
        CallEvent::Ended { cause, by } => json!({ "cause": cause, "by": by }),
        CallEvent::SupervisionRequested { id, supervisor, role, subject } => json!({
            "supervision": id, "supervisor": supervisor, "role": coaching_label(*role), "subject": subject,
        }),
        CallEvent::SupervisionStarted { id, leg, role } => {
            json!({ "supervision": id, "leg": leg, "role": coaching_label(*role) })
        }
        CallEvent::RoleChanged { id, from, to, by } => json!({
            "supervision": id, "from": coaching_label(*from), "to": coaching_label(*to), "by": by,
        }),
        CallEvent::VoicemailSuspected { leg, sign, consult } => {
            let mut data = who(leg);
            data["sign"] = json!(sign);
            if let Some(consult) = consult {
                data["consult"] = json!(consult);
            }
            data
        }
        CallEvent::TransferStarted { transferor, target, name, by } => json!({
            "transferor": who(transferor), "target": who(target), "to": name, "by": by,
        }),
        CallEvent::TransferProgress { transferor, target } => json!({
            "transferor": who(transferor), "target": who(target), "state": "ringing",
        }),
        CallEvent::TransferCompleted { transferor, target } => json!({
            "transferor": who(transferor), "target": who(target), "outcome": "connected",
        }),
        CallEvent::TransferFailed { transferor, target, end } => json!({
            "transferor": who(transferor), "target": who(target), "outcome": told_outcome(end.cause),
            "cause": end.cause, "detail": end.detail,
        }),
        CallEvent::TransferRolledBack { transferor } => json!({
            "transferor": who(transferor), "outcome": "rolled_back",
        }),
        CallEvent::SupervisionEnded { id, cause } => json!({ "supervision": id, "cause": cause }),
        CallEvent::ConsultRequested { id, by } => json!({ "consult": id, "by": by }),
        CallEvent::ConsultDialing { id, leg, .. } | CallEvent::ConsultAnswered { id, leg } => {
            let mut data = who(leg);
            data["consult"] = json!(id);
            data
        }
        CallEvent::ConsultWayFailed { id, leg, end } => {
            let mut data = who(leg);
            data["consult"] = json!(id);
            data["cause"] = json!(end.cause);
            data["detail"] = json!(end.detail);
            data
        }
        CallEvent::SpeakToChanged { id, from, to } => json!({ "consult": id, "from": from, "to": to }),
        CallEvent::ConsultOver { id, end } => match end {
            ConsultEnd::Completed => json!({ "consult": id }),
            ConsultEnd::Failed(cause) | ConsultEnd::Ended(cause) => json!({ "consult": id, "cause": cause }),
        },
    }
}

/// Media figures of a leg as an event.
fn quality_event(live: &mut Live, config: &Config, leg: LegId, quality: &LegQuality, over: bool) -> Event {
    let mut data = quality_fields(quality);
    data["leg"] = json!(leg);
    data["final"] = json!(over);
    leg_event_of(live, config, leg, "leg.quality", data)
}

/// An event about the media of a leg. Nobody but supervisors is told of a supervisor's.
fn leg_event_of(live: &mut Live, config: &Config, leg: LegId, kind: &'static str, data: Value) -> Event {
    let mut audience = live.audience(config);
    if live.leg_mut(leg).is_some_and(|known| known.role == "supervisor") {
        audience.people.clear();
    }
    let (tenant, call) = (live.tenant.clone(), Some(live.id));
    Event { kind, tenant, call, audience, at: SystemTime::now(), data }
}

/// Counts an ended leg's figures.
fn measure(quality: &LegQuality) {
    let Some(mos) = quality.mos else { return };
    metrics::histogram!(names::LEG_MOS).record(f64::from(mos));
    let sent = quality.packets_received + quality.lost;
    metrics::histogram!(names::LEG_LOSS).record(quality.lost as f64 / sent.max(1) as f64);
    metrics::histogram!(names::LEG_JITTER_SECONDS).record(f64::from(quality.jitter_ms) / 1000.0);
    if let Some(round_trip_ms) = quality.round_trip_ms {
        metrics::histogram!(names::LEG_ROUND_TRIP_SECONDS).record(f64::from(round_trip_ms) / 1000.0);
    }
}

/// What the caller's network attests, and that nobody has checked it.
fn attestation(live: &Live) -> Option<Value> {
    live.attestation().map(|said| {
        json!({
            "level": said.level,
            "verified": false,
            "orig": said.orig,
            "dest": said.dest,
            "issued_at": said.issued_at.map(rfc3339),
            "carrier_says": said.carrier_says,
        })
    })
}

fn quality_fields(quality: &LegQuality) -> Value {
    json!({
        "packets_sent": quality.packets_sent,
        "octets_sent": quality.octets_sent,
        "packets_received": quality.packets_received,
        "packets_lost": quality.lost,
        "packets_late": quality.late,
        "packets_duplicate": quality.duplicate,
        "jitter_ms": quality.jitter_ms,
        "round_trip_ms": quality.round_trip_ms,
        "remote_fraction_lost": quality.remote_fraction_lost,
        "remote_lost": quality.remote_lost,
        "remote_jitter_ms": quality.remote_jitter_ms,
        "concealed_ms": quality.concealed_ms,
        "mos": quality.mos,
        "remote_mos": quality.remote_mos,
    })
}

/// What became of a transfer, in the words of its API (design section 5).
fn told_outcome(cause: Cause) -> &'static str {
    match cause {
        Cause::Busy => "busy",
        Cause::Declined => "declined",
        Cause::NoAnswer => "no_answer",
        Cause::Voicemail => "voicemail_suspected",
        Cause::Cancelled | Cause::Released => "cancelled",
        _ => "unreachable",
    }
}

/// The word for a supervision role on the wire.
pub(crate) fn coaching_label(role: Coaching) -> &'static str {
    match role {
        Coaching::Monitor => "monitor",
        Coaching::Whisper => "whisper",
        Coaching::Barge => "barge",
        Coaching::TakenOver => "takeover",
    }
}

/// The word for a cause in metrics: the same as in events.
pub(super) fn cause_label(cause: Cause) -> String {
    match serde_json::to_value(cause) {
        Ok(Value::String(word)) => word,
        _ => "internal".to_owned(),
    }
}

fn denial_code(denial: Denial) -> &'static str {
    match denial {
        Denial::Foreign => "foreign",
        Denial::OutsideScope => "outside_scope",
        Denial::RoleForbids => "role_forbids",
    }
}

pub(super) fn rfc3339(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map(|at| at.to_string()).unwrap_or_default()
}

/// A command the call could not carry out, as the API tells it.
pub(super) fn conflict(error: CommandError) -> Refusal {
    let code = match error {
        CommandError::NoSuchLeg => return Refusal::NotFound("leg"),
        CommandError::NoSuchSupervision => return Refusal::NotFound("supervision"),
        CommandError::NoSuchConsult => return Refusal::NotFound("consult"),
        CommandError::ConsultRunning => "consult_running",
        CommandError::MayNotAsk => "may_not_ask",
        CommandError::ExpertNotThere => "expert_not_there",
        CommandError::Consulting => "consulting",
        CommandError::NotTalking => "leg_not_talking",
        CommandError::AlreadyHeld => "already_held",
        CommandError::NotHeld => "not_held",
        CommandError::NoSubject => "no_subject",
        CommandError::RoleNotAllowed => "role_not_allowed",
        CommandError::TakenOver => "taken_over",
        CommandError::Transferring => "transfer_under_way",
        CommandError::NoPlaceToGive => "no_place_to_give",
        CommandError::SupervisorNotThere => "supervisor_not_there",
        CommandError::SupervisedAlready => "supervised_already",
        CommandError::Full => "call_full",
        CommandError::Over => "call_over",
        CommandError::Emergency => "emergency_call",
    };
    Refusal::Conflict { code, detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_the_same_word_in_metrics_as_in_events() {
        assert_eq!(cause_label(Cause::NoAnswer), "no_answer");
    }
}
