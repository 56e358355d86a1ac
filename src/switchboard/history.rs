//! What a call's record says of its consults and transfers: whom they were to reach, by which ways, and what came of it.

use std::time::SystemTime;

use sbc_config::PricedRoute;
use serde::Serialize;
use serde_json::{Value, json};

use crate::call::{CallEvent, Cause, ConsultEnd, ConsultId, LegId};

use super::desk::TransferOutcome;
use super::live::{Leg, Live};
use super::told::rfc3339;

/// Consults and transfers of one call that its record tells of. A call that sees more is not handled, it is played with.
const STEPS_MAX: usize = 64;

/// Ways of one consult.
const WAYS_MAX: usize = 16;

/// Consults and transfers, in their order.
#[derive(Debug, Default)]
pub(super) struct History(Vec<Step>);

#[derive(Debug, Serialize)]
struct Step {
    /// `consult` or `transfer`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    consult: Option<ConsultId>,
    /// The leg of the one who asked, or whose place it was.
    by_leg: LegId,
    at: String,
    /// Every way that was tried: those that failed are the fallbacks' reason.
    ways: Vec<Way>,
    outcome: Option<&'static str>,
    cause: Option<Cause>,
}

#[derive(Debug, Serialize)]
struct Way {
    leg: LegId,
    to: String,
    route: Option<PricedRoute>,
    /// `answered` or `failed`; nothing when it was let go before either.
    outcome: Option<&'static str>,
    cause: Option<Cause>,
    detail: String,
}

impl Way {
    fn of(leg: LegId, known: Option<&Leg>) -> Way {
        Way {
            leg,
            to: known.map(|known| known.name.clone()).unwrap_or_default(),
            route: known.and_then(|known| known.path.as_ref()).map(|path| path.route),
            outcome: None,
            cause: None,
            detail: String::new(),
        }
    }
}

impl History {
    fn begin(&mut self, step: Step) {
        if self.0.len() < STEPS_MAX {
            self.0.push(step);
        }
    }

    fn of_consult(&mut self, id: ConsultId) -> Option<&mut Step> {
        self.0.iter_mut().rev().find(|step| step.consult == Some(id))
    }

    /// The transfer that is under way: there is one at a time.
    fn transfer(&mut self) -> Option<&mut Step> {
        self.0.iter_mut().rev().find(|step| step.kind == "transfer")
    }

    pub(super) fn told(&self) -> Value {
        json!(self.0)
    }
}

impl Step {
    fn way(&mut self, leg: LegId) -> Option<&mut Way> {
        self.ways.iter_mut().find(|way| way.leg == leg)
    }

    fn over(&mut self, outcome: &'static str, cause: Option<Cause>) {
        (self.outcome, self.cause) = (Some(outcome), cause);
    }
}

impl Live {
    /// Keeps what the record will say of consults and transfers.
    pub(super) fn remember(&mut self, event: &CallEvent) {
        let Live { history, legs, .. } = self;
        let known = |leg: LegId| legs.iter().find(|known| known.id == leg);
        let at = rfc3339(SystemTime::now());
        let begun = |kind, consult, by_leg, ways| Step {
            kind,
            consult,
            by_leg,
            at,
            ways,
            outcome: None,
            cause: None,
        };
        match event {
            CallEvent::ConsultRequested { id, by } => {
                history.begin(begun("consult", Some(*id), *by, Vec::new()));
            }
            CallEvent::ConsultDialing { id, leg, .. } => {
                if let Some(step) = history.of_consult(*id).filter(|step| step.ways.len() < WAYS_MAX) {
                    step.ways.push(Way::of(*leg, known(*leg)));
                }
            }
            CallEvent::ConsultWayFailed { id, leg, end } => {
                if let Some(way) = history.of_consult(*id).and_then(|step| step.way(*leg)) {
                    (way.outcome, way.cause) = (Some("failed"), Some(end.cause));
                    way.detail.clone_from(&end.detail);
                }
            }
            CallEvent::ConsultAnswered { id, leg } => {
                if let Some(way) = history.of_consult(*id).and_then(|step| step.way(*leg)) {
                    way.outcome = Some("answered");
                }
            }
            CallEvent::ConsultOver { id, end } => {
                if let Some(step) = history.of_consult(*id) {
                    match end {
                        ConsultEnd::Completed => step.over("completed", None),
                        ConsultEnd::Failed(cause) => step.over("failed", Some(*cause)),
                        ConsultEnd::Ended(cause) => step.over("ended", Some(*cause)),
                    }
                }
            }
            CallEvent::VoicemailSuspected { leg, consult: Some(id), .. } => {
                if let Some(way) = history.of_consult(*id).and_then(|step| step.way(*leg)) {
                    way.outcome = Some("voicemail_suspected");
                }
            }
            CallEvent::VoicemailSuspected { leg, consult: None, .. } => {
                if let Some(step) = history.transfer() {
                    step.over("voicemail_suspected", None);
                    if let Some(way) = step.way(*leg) {
                        way.outcome = Some("voicemail_suspected");
                    }
                }
            }
            CallEvent::TransferStarted { transferor, target, .. } => {
                let way = Way::of(*target, known(*target));
                history.begin(begun("transfer", None, *transferor, vec![way]));
            }
            CallEvent::TransferCompleted { target, .. } => {
                if let Some(step) = history.transfer() {
                    step.over("connected", None);
                    if let Some(way) = step.way(*target) {
                        way.outcome = Some("answered");
                    }
                }
            }
            CallEvent::TransferFailed { target, end, .. } => {
                if let Some(step) = history.transfer() {
                    let outcome = match TransferOutcome::from(end.cause) {
                        TransferOutcome::Connected => "connected",
                        TransferOutcome::Declined => "declined",
                        TransferOutcome::Busy => "busy",
                        TransferOutcome::NoAnswer => "no_answer",
                        TransferOutcome::Unreachable => "unreachable",
                        TransferOutcome::RolledBack => "rolled_back",
                        TransferOutcome::VoicemailSuspected => "voicemail_suspected",
                    };
                    step.over(outcome, Some(end.cause));
                    if let Some(way) = step.way(*target) {
                        (way.outcome, way.cause) = (Some("failed"), Some(end.cause));
                        way.detail.clone_from(&end.detail);
                    }
                }
            }
            _ => {}
        }
    }
}
