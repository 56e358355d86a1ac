//! REFER from a telephone of ours: the button that says transfer. What it asks for is a request like one over the API, with
//! the rights of the person whose telephone it is.

use std::time::Instant;

use sbc_config::PersonRole;

use crate::call::door::Order;
use crate::call::rights::{Act, Actor, Principal};
use crate::call::{CallId, Callee, Cause, Input, LegAction, LegEvent, LegId, Referral};

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

    /// Whom that is, if the person may.
    fn referred_to(&self, call: CallId, leg: LegId, to: &str) -> Result<Callee, Cause> {
        let config = self.config.load_full();
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
        let who = Principal { token: telephone_of(&known.id), actor };
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
