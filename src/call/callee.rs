//! Whom a call rings: somebody who can be dialled as they are, or a Teams user, who has to be cleared first.
//!
//! ```text
//!   Callee::Target ───────────────────────────────────────────────> LegAction::Dial
//!   Callee::Teams ──> Output::Clear ──> Input::Cleared(TeamsAddress) ──> LegAction::Dial
//!                         │                    └── not good any more: asked again
//!                         └── refused: the leg ends, `Cause::NotCleared`
//! ```
//!
//! A [`TeamsUser`] is a wish. What is dialled is a [`TeamsAddress`], which only a [`Clearance`] makes, and a clearance
//! only the prerequisite engine:
//!
//! ```
//! use std::time::Instant;
//! use sidetone::call::{Address, Carrier, TeamsAddress, WrongCarrier};
//! use sidetone::prereq::Clearance;
//! fn address(clearance: Clearance, carrier: Carrier, given: Instant) -> Result<Address, WrongCarrier> {
//!     Ok(Address::Teams(Box::new(TeamsAddress::new(clearance, carrier, given)?)))
//! }
//! ```
//!
//! ```compile_fail
//! use std::time::Instant;
//! use sidetone::call::{Address, Carrier, TeamsAddress, WrongCarrier};
//! use sidetone::prereq::Clearance;
//! // Not even from a clearance is one made by hand: it would be good for as long as its maker likes.
//! fn address(clearance: Clearance, carrier: Carrier, given: Instant) -> Result<Address, WrongCarrier> {
//!     Ok(Address::Teams(Box::new(TeamsAddress { clearance, carrier, given, until: given })))
//! }
//! ```
//!
//! ```compile_fail
//! use sidetone::call::{Callee, LegAction, TeamsUser};
//! // And a wish cannot be ordered.
//! fn order(wish: TeamsUser) -> LegAction {
//!     LegAction::Dial(Callee::Teams(wish))
//! }
//! ```

use std::time::Instant;

use sbc_config::{AcsId, PersonId, TrunkId};

use super::{Address, Call, LegAction, LegId, Output, Role, Target};
use crate::prereq::{self, Clearance, Route, Subject};

/// Whom an attempt rings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Callee {
    /// Somebody who can be dialled as they are.
    Target(Target),
    /// A Teams user: cleared at the moment they are rung.
    Teams(TeamsUser),
}

/// A Teams user who is to be rung: a wish, which nobody can dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamsUser {
    /// Whom.
    pub subject: Subject,
    /// The ways that may be taken, the preferred first. The first that is clear is.
    pub ways: Vec<TeamsWay>,
    /// What to call them in records.
    pub name: String,
    /// Which of our people it is, if any.
    pub person: Option<PersonId>,
    /// Who asks, when Entra knows them.
    pub asker: Option<Subject>,
    /// Whether they are left alone while they are in a call or meeting.
    pub unless_engaged: bool,
}

/// One way to a Teams user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamsWay {
    /// The route.
    pub route: Route,
    /// What carries it; where it leads is found by the number when absent, once that is known.
    pub carrier: Option<Carrier>,
}

/// What carries a call to a Teams user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carrier {
    /// A resource of Azure Communication Services.
    Acs(AcsId),
    /// A trunk: to Microsoft's Direct Routing, or of a carrier.
    Trunk(TrunkId),
}

/// Where a Teams user is reached: what was checked, and as long as that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamsAddress {
    clearance: Clearance,
    carrier: Carrier,
    given: Instant,
    until: Instant,
}

/// This route does not lead over this carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what was cleared does not lead over this carrier")]
pub struct WrongCarrier;

impl TeamsAddress {
    /// What a clearance allows over a carrier. `given` is the moment of the clearance, on the clock that calls go by.
    ///
    /// # Errors
    /// When the carrier cannot reach what was cleared: a trunk has no way to an object id.
    pub fn new(clearance: Clearance, carrier: Carrier, given: Instant) -> Result<TeamsAddress, WrongCarrier> {
        let fits = match (clearance.route(), &carrier) {
            (Route::Voip, Carrier::Acs(_)) | (Route::DirectRouting, Carrier::Trunk(_)) => true,
            (Route::Pstn, Carrier::Acs(_) | Carrier::Trunk(_)) => true,
            (Route::Voip, Carrier::Trunk(_)) | (Route::DirectRouting, Carrier::Acs(_)) => false,
        };
        if !fits {
            return Err(WrongCarrier);
        }
        let until = given + clearance.life();
        Ok(TeamsAddress { clearance, carrier, given, until })
    }

    /// A number at Teams in whose way nothing stands, for stories of rooms that have no engine to ask.
    #[cfg(test)]
    pub(crate) fn of_number(number: &str, trunk: TrunkId, given: Instant) -> TeamsAddress {
        use crate::prereq::{Check, Evidence, Facts, Policy, Source, Verdict, clear, rule};
        let target = rule::target(number).expect("a number");
        let now = std::time::SystemTime::now();
        let passes = |check| {
            let subject = if check == Check::TrunkUp { Subject::Tenant } else { target.clone() };
            Evidence::new(check, subject, Verdict::Pass, "ok", Source::Graph, now)
        };
        let evidence = [Check::TrunkUp, Check::TeamsNumber, Check::Group].map(passes).to_vec();
        let (route, policy) = (Route::DirectRouting, Policy::default());
        let facts = Facts { target: target.clone(), route, evidence, policy, client_id: None, now };
        let clearance = clear(&facts).expect("nothing stands in its way");
        TeamsAddress::new(clearance, Carrier::Trunk(trunk), given).expect("a trunk leads there")
    }

    /// Whether it may still be dialled.
    pub fn good_at(&self, now: Instant) -> bool {
        self.given <= now && now < self.until
    }

    /// What was cleared.
    pub fn clearance(&self) -> &Clearance {
        &self.clearance
    }

    /// Over what it goes.
    pub fn carrier(&self) -> &Carrier {
        &self.carrier
    }

    /// The Entra object id, if the Teams client is rung.
    pub fn object_id(&self) -> Option<&str> {
        match self.clearance.address() {
            prereq::Address::Teams(id) => Some(id),
            prereq::Address::Number(_) => None,
        }
    }

    /// The number, if it is one that is dialled.
    pub fn number(&self) -> Option<&str> {
        match self.clearance.address() {
            prereq::Address::Number(number) => Some(number),
            prereq::Address::Teams(_) => None,
        }
    }
}

impl Callee {
    /// Which of our people it is, if any.
    pub fn person(&self) -> Option<&PersonId> {
        match self {
            Callee::Target(target) => target.person(),
            Callee::Teams(user) => user.person.as_ref(),
        }
    }

    /// What to call them in records.
    pub fn name(&self) -> &str {
        match self {
            Callee::Target(target) => &target.name,
            Callee::Teams(user) => &user.name,
        }
    }
}

impl From<Target> for Callee {
    fn from(target: Target) -> Callee {
        Callee::Target(target)
    }
}

impl Call {
    /// A new leg to somebody: dialled, or cleared first.
    pub(super) fn dial(&mut self, callee: impl Into<Callee>, role: Role) -> LegId {
        let callee = callee.into();
        let leg = self.ids.next();
        let trunk = match &callee {
            Callee::Target(target) => target.trunk().cloned(),
            Callee::Teams(_) => None,
        };
        self.seat(leg, role, super::Presence::Ringing, callee.person().cloned(), trunk);
        match callee {
            Callee::Target(target) => self.act(leg, LegAction::Dial(target)),
            Callee::Teams(user) => {
                if let Some(party) = self.party_mut(leg) {
                    party.clearing = Some(Box::new(user.clone()));
                }
                self.outputs.push_back(Output::Clear(leg, user));
            }
        }
        leg
    }

    /// The prerequisites allow it: the leg is dialled, unless the clearance has ended on its way.
    pub(super) fn cleared(&mut self, now: Instant, leg: LegId, address: TeamsAddress) {
        let Some(party) = self.party_mut(leg) else { return };
        if party.leaving {
            return;
        }
        let Some(user) = party.clearing.take() else { return };
        if !address.good_at(now) {
            party.clearing = Some(user.clone());
            return self.outputs.push_back(Output::Clear(leg, *user));
        }
        let target = Target { address: Address::Teams(Box::new(address)), name: user.name };
        party.trunk = target.trunk().cloned();
        self.act(leg, LegAction::Dial(target));
    }
}
