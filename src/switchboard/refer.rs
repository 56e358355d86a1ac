//! REFER from a telephone of ours: the button that says transfer. What it asks for is a request like one over the API, with
//! the rights of the person whose telephone it is.

use std::time::{Instant, SystemTime};

use sbc_config::PersonRole;

use crate::call::door::Order;
use crate::call::rights::{Act, Actor, Principal};
use crate::call::{CallId, Callee, Cause, CommandError, Input, LegAction, LegEvent, LegId, Referral};

use super::Switchboard;
use super::desk::{Refusal, Via, Wish};
use super::supervise::telephone_of;
use super::ways::wanted;

impl Switchboard {
    /// A person's telephone wants whoever is dialled as `to` in its place.
    pub(super) fn refers(&mut self, now: Instant, leg: LegId, to: &str) {
        let call = self.by_leg.get(&leg).copied();
        let target = call.ok_or(Cause::NotFound).and_then(|call| self.referred_to(call, leg, to));
        match (call, target) {
            (Some(call), Ok(target)) => {
                self.drive(now, call, |c| {
                    c.handle(now, Input::Leg(leg, LegEvent::Referred(Box::new(target))))
                });
            }
            (_, Err(cause)) => self.refer_failed(leg, cause),
            (None, Ok(_)) => {}
        }
    }

    /// A person's telephone wants the far ends of two of its calls to talk without it.
    pub(super) fn joins(&mut self, now: Instant, leg: LegId, with: LegId) {
        if let Err(cause) = self.join_calls(now, leg, with) {
            self.refer_failed(leg, cause);
        }
    }

    fn join_calls(&mut self, now: Instant, leg: LegId, with: LegId) -> Result<(), Cause> {
        let call_of = |leg| self.by_leg.get(&leg).copied().ok_or(Cause::NotFound);
        let (stays, ends) = (call_of(leg)?, call_of(with)?);
        let (who, other) = (self.presser(stays, leg)?, self.presser(ends, with)?);
        // Two legs of one telephone, in two calls.
        if stays == ends || who != other {
            return Err(Cause::Forbidden);
        }
        self.allowed(&who, Act::Steer, stays, "transfer").map_err(|_| Cause::Forbidden)?;
        self.allowed(&who, Act::Steer, ends, "transfer").map_err(|_| Cause::Forbidden)?;
        let live = self.calls.get(&stays).ok_or(Cause::NotFound)?;
        live.call.may_take_in(leg).map_err(CommandError::to_a_telephone)?;
        let mut gone = Err(CommandError::Over);
        self.drive(now, ends, |c| gone = c.let_go(now, with));
        let passage = gone.map_err(CommandError::to_a_telephone)?;
        let name = self.goes_over(passage.leg(), ends, stays, leg);
        let (target, mut taken) = (passage.leg(), Err(CommandError::Over));
        self.drive(now, stays, |c| taken = c.take_in(now, leg, passage, name));
        if let Err(error) = taken {
            // It was asked before; a call that failed in between has nobody left to talk with.
            tracing::error!(call = %stays, leg = %target, %error, "a call did not take in whom it would have");
            self.refuse_leg(now, target, Cause::Internal, error.to_string());
            return Err(Cause::Internal);
        }
        Ok(())
    }

    /// A leg is in another call from now on, with its media, in the place of one there. What it is called.
    fn goes_over(&mut self, leg: LegId, from: CallId, to: CallId, place: LegId) -> String {
        self.bridge.move_leg(from, to, leg);
        self.by_leg.insert(leg, to);
        let given = self.calls.get(&to).and_then(|live| live.legs.iter().find(|known| known.id == place));
        let role = if given.is_some_and(|leg| leg.role == "customer") { "customer" } else { "agent" };
        // There it is counted from now on.
        self.note_toll(from, leg);
        let gone = self.calls.get_mut(&from).and_then(|live| live.leg_mut(leg));
        let Some(here) = gone.map(|known| known.goes_over(role, to, SystemTime::now())) else {
            return String::new();
        };
        let name = here.name.clone();
        if let Some(live) = self.calls.get_mut(&to) {
            live.legs.push(here);
        }
        name
    }

    /// Whom that is, if the person may.
    fn referred_to(&self, call: CallId, leg: LegId, to: &str) -> Result<Callee, Cause> {
        let config = self.config.load_full();
        let who = self.presser(call, leg)?;
        let live = self.allowed(&who, Act::Steer, call, "transfer").map_err(|_| Cause::Forbidden)?;
        let wish = Wish { target: to.to_owned(), via: Via::Auto };
        wanted(&config, &live.tenant, &wish, None, None).map_err(|refusal| {
            self.audit_refused(&who, Some(&live.tenant), "transfer", &call.to_string(), &refusal);
            match refusal {
                Refusal::Denied(_) => Cause::Forbidden,
                Refusal::Busy | Refusal::Unavailable { .. } => Cause::Congestion,
                Refusal::NotCleared(_) => Cause::NotCleared,
                Refusal::NotFound(_) | Refusal::Invalid { .. } | Refusal::Conflict { .. } => Cause::NotFound,
            }
        })
    }

    /// As whom a telephone asks.
    fn presser(&self, call: CallId, leg: LegId) -> Result<Principal, Cause> {
        let config = self.config.load();
        let live = self.calls.get(&call).ok_or(Cause::NotFound)?;
        // Nobody is taken from a call for help by a button.
        if live.emergency {
            return Err(Cause::Forbidden);
        }
        let person = live.legs.iter().find(|known| known.id == leg).and_then(|known| known.person.clone());
        let known = person.and_then(|person| config.person(&person)).ok_or(Cause::Forbidden)?;
        let (tenant, person) = (known.tenant.clone(), known.id.clone());
        let actor = match known.role {
            PersonRole::Agent => Actor::Agent { tenant, person },
            PersonRole::Supervisor => Actor::Supervisor { tenant, person, teams: known.teams.clone() },
            // One who calls in would send themselves anywhere, at the tenant's cost.
            PersonRole::Customer => return Err(Cause::Forbidden),
        };
        Ok(Principal { token: telephone_of(&known.id), actor })
    }

    fn refer_failed(&mut self, leg: LegId, cause: Cause) {
        let order = Order {
            leg,
            action: LegAction::Refer(Referral::Failed(cause)),
            media: None,
            prefer: Vec::new(),
            caller: None,
            card: None,
        };
        if self.doors.order(order).is_err() {
            tracing::error!(%leg, "could not tell a telephone what became of its transfer");
        }
    }
}
