//! Calls to trunks, tried at one destination after the other (RFC 3263 section 4.3).
//!
//! The core dials a leg once and hears once what became of it; which of the trunk's destinations took the
//! call is settled here. A call moves on when nobody was there to take it, and only then: whoever
//! has answered with anything but "not here, not now" has decided for all of them.

use std::collections::VecDeque;
use std::time::Instant;

use sbc_config::TrunkId;

use super::{Door, not_there};
use crate::call::door::Order;
use crate::call::{Cause, LegEnd, LegId, Target};
use crate::sip::flow::Destination;
use crate::sip::names::ask::Word;
use crate::sip::session::{By, Ended, How};
use crate::sip::trunk::Heard;

/// Destinations tried for one call. A caller who waits for a fourth has hung up.
const TRIES_MAX: usize = 3;

/// A call to a trunk that is not answered yet.
#[derive(Debug)]
pub(in crate::sip) struct Attempt {
    target: Target,
    order: Order,
    trunk: TrunkId,
    /// Where it is now.
    at: sbc_config::Destination,
    /// Where it may go on.
    rest: VecDeque<Stop>,
}

/// One address of one destination.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    pub(super) destination: sbc_config::Destination,
    pub(super) to: Destination,
}

/// What a failure says of the destination, if it lets the call go on elsewhere.
fn moves_on(ended: &Ended) -> Option<Heard> {
    match (ended.by, ended.how, ended.status) {
        (By::Network, How::Unreachable, _) => Some(Heard::NoWay),
        (By::Network, How::NoAnswer, _) => Some(Heard::Silence),
        (By::Peer, How::Refused, Some(503)) => Some(Heard::Answer(503, ended.retry_after)),
        // Somebody behind the destination did not answer; the destination itself lives.
        (By::Peer, How::Refused, Some(status @ (408 | 504))) => Some(Heard::Answer(status, None)),
        _ => None,
    }
}

impl Door {
    /// Dials a trunk: the first of its destinations, with the others behind it.
    pub(super) fn dial_trunk(
        &mut self,
        now: Instant,
        id: LegId,
        target: &Target,
        order: &Order,
        trunk: &TrunkId,
    ) -> Result<(), LegEnd> {
        let config = self.config.load_full();
        let known = config.trunk(trunk).ok_or_else(|| not_there("the trunk is not configured"))?;
        if known.destinations.is_empty() {
            return Err(not_there("the trunk has no destination"));
        }
        let candidates = self.trunks.candidates(now, known);
        if candidates.is_empty() {
            let detail = "every destination of the trunk has asked to be left alone for now".to_owned();
            return Err(LegEnd { cause: Cause::Congestion, detail });
        }
        let mut stops = VecDeque::new();
        for destination in candidates {
            let found = self.resolve_all(now, Some(trunk), &destination);
            if found.is_empty() {
                self.heard_of(now, trunk, &destination, Heard::NoWay, "its name does not resolve");
            }
            stops.extend(found.into_iter().map(|to| Stop { destination: destination.clone(), to }));
        }
        stops.truncate(TRIES_MAX);
        let Some(first) = stops.pop_front() else {
            return Err(not_there("no destination of the trunk resolves"));
        };
        let attempt = Attempt {
            target: target.clone(),
            order: order.clone(),
            trunk: trunk.clone(),
            at: first.destination.clone(),
            rest: stops,
        };
        self.try_at(now, id, attempt, &first)
    }

    fn try_at(&mut self, now: Instant, id: LegId, attempt: Attempt, stop: &Stop) -> Result<(), LegEnd> {
        let config = self.config.load_full();
        let way = self.way_at(&config, &attempt.target, stop)?;
        self.place(now, id, way, &attempt.order)?;
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.attempt = Some(Box::new(attempt));
        }
        Ok(())
    }

    /// A call that we placed has ended unanswered. True when it goes on at another destination, and so has not ended
    /// for anybody but us.
    pub(super) fn goes_on(&mut self, now: Instant, id: LegId, ended: &Ended) -> bool {
        let Some(leg) = self.legs.get_mut(&id) else { return false };
        // Once it rings, a person is there: another try would ring a second time.
        let has_rung = leg.rang || leg.told.is_some();
        let session = leg.session;
        let Some(mut attempt) = leg.attempt.take() else { return false };
        let Some(heard) = moves_on(ended) else {
            if ended.by == By::Peer {
                let status = ended.status.unwrap_or_default();
                self.heard_of(
                    now,
                    &attempt.trunk,
                    &attempt.at,
                    Heard::Answer(200, None),
                    &status.to_string(),
                );
            }
            return false;
        };
        // A refusal for want of room at one moment says nothing of the destination, unless it says for how long.
        if heard != Heard::Answer(503, None) {
            let detail = match heard {
                Heard::Answer(status, _) => format!("it answers {status} to a call"),
                Heard::Silence => "no answer to a call".to_owned(),
                Heard::NoWay => "no way there for a call".to_owned(),
            };
            self.heard_of(now, &attempt.trunk, &attempt.at, heard, &detail);
        }
        // A destination that has no way there has none at its other addresses known to be different; they are tried.
        let Some(next) = attempt.rest.pop_front().filter(|_| !has_rung) else { return false };
        tracing::info!(leg = %id, from = %attempt.at, to = %next.destination, "a call goes on elsewhere");
        self.legs.remove(&id);
        self.by_session.remove(&session);
        attempt.at = next.destination.clone();
        if let Err(end) = self.try_at(now, id, *attempt, &next) {
            self.end_leg(now, id, end);
        }
        true
    }

    /// Somebody took the call: the destination lives.
    pub(super) fn was_taken(&mut self, now: Instant, id: LegId) {
        let attempt = self.legs.get_mut(&id).and_then(|leg| leg.attempt.take());
        if let Some(attempt) = attempt {
            self.heard_of(now, &attempt.trunk, &attempt.at, Heard::Answer(200, None), "it takes calls");
        }
    }

    /// Notes what was heard of a destination; one to which there is no way is looked up anew.
    pub(super) fn heard_of(
        &mut self,
        now: Instant,
        trunk: &TrunkId,
        destination: &sbc_config::Destination,
        heard: Heard,
        detail: &str,
    ) {
        if let (sbc_config::Host::Name(name), Heard::NoWay | Heard::Silence) = (&destination.host, heard) {
            self.words.push_back(Word::Doubted(name.clone()));
        }
        let report = self.trunks.hear(now, trunk, destination, heard, detail);
        self.reports.extend(report);
    }
}
