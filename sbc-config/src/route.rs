//! Routes: which people a dialled number rings, in which order, and what happens when nobody answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::id::{AcsId, PersonId, RouteId, TeamId, TenantId, TrunkId};
use crate::number::Dialled;

/// `[[route]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its id.
    pub id: RouteId,
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// The trunks whose calls it takes; `None` takes calls of every trunk of the tenant and of customer phones.
    pub trunks: Option<Vec<TrunkId>>,
    /// The numbers it takes.
    pub matches: Match,
    /// Whom to ring. Never empty, no duplicates.
    pub targets: Vec<Target>,
    /// One after the other, or all together.
    pub strategy: Strategy,
    /// How long each target rings (all of them, if together).
    pub ring: Duration,
    /// What happens when no target answered.
    pub fallback: Fallback,
    /// Whether somebody at Teams who is in a call or meeting is passed over. Who is not known to be is rung.
    pub presence: bool,
}

/// The dialled numbers a route takes. Numbers are compared without a leading `+` ([`Dialled::match_key`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Match {
    /// Exactly this one.
    Number(Dialled),
    /// All that begin so; stored without `+`.
    Prefix(Arc<str>),
    /// All.
    Any,
}

/// Whom a route rings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// One person.
    Person(PersonId),
    /// The agents of a team, in the order of the file ([`Config::agents_of`](crate::Config::agents_of)).
    Team(TeamId),
    /// The number as dialled, over a trunk with a destination.
    Trunk(TrunkId),
    /// The number as dialled, over an ACS resource.
    Acs(AcsId),
}

/// How targets are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// One after the other.
    InOrder,
    /// All together; the first to answer has the call.
    AllAtOnce,
}

/// What happens when no target answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fallback {
    /// Ring this one more.
    Target(Target),
    /// Answer with this SIP status, 400 to 699.
    Reject(u16),
}

/// Every route, arranged for finding the one that takes a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteTable {
    routes: Vec<Route>,
    by_tenant: HashMap<TenantId, Index>,
}

/// The routes of one tenant by what they match; the numbers are positions in `RouteTable::routes`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Index {
    number: HashMap<Box<str>, Vec<usize>>,
    prefix: HashMap<Box<str>, Vec<usize>>,
    any: Vec<usize>,
}

impl RouteTable {
    /// Arranges the routes.
    #[must_use]
    pub fn new(routes: Vec<Route>) -> Self {
        let mut by_tenant = HashMap::<TenantId, Index>::new();
        for (position, route) in routes.iter().enumerate() {
            let index = by_tenant.entry(route.tenant.clone()).or_default();
            match &route.matches {
                Match::Number(number) => index.number.entry(number.match_key().into()).or_default(),
                Match::Prefix(prefix) => index.prefix.entry(prefix.as_ref().into()).or_default(),
                Match::Any => &mut index.any,
            }
            .push(position);
        }
        Self { routes, by_tenant }
    }

    /// The route for a call of `tenant` that came over `trunk` (`None`: from a customer's phone).
    ///
    /// An exact number goes before a prefix, a longer prefix before a shorter one, any prefix before `any`.
    /// Between equal matches the route that names the trunk goes before one that takes every trunk.
    #[must_use]
    pub fn find(&self, tenant: &TenantId, trunk: Option<&TrunkId>, dialled: &Dialled) -> Option<&Route> {
        let index = self.by_tenant.get(tenant)?;
        let key = dialled.match_key();
        let exact = index.number.get(key).into_iter();
        let prefixes = key.char_indices().map(|(at, c)| &key[..at + c.len_utf8()]).rev();
        let prefixes = prefixes.filter_map(|prefix| index.prefix.get(prefix));
        exact.chain(prefixes).chain([&index.any]).find_map(|equals| self.first_for(equals, trunk))
    }

    /// Every route, in the order of the file.
    #[must_use]
    pub fn all(&self) -> &[Route] {
        &self.routes
    }

    fn first_for(&self, equals: &[usize], trunk: Option<&TrunkId>) -> Option<&Route> {
        let routes = || equals.iter().map(|position| &self.routes[*position]);
        let names_it = |route: &&Route| match (&route.trunks, trunk) {
            (Some(trunks), Some(trunk)) => trunks.contains(trunk),
            _ => false,
        };
        routes().find(names_it).or_else(|| routes().find(|route| route.trunks.is_none()))
    }
}
