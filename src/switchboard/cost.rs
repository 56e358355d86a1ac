//! What legs cost: how each is connected, for how long, at which price.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sbc_config::{AcsId, Amount, Config, Dialect, Price, PricedRoute, Reach, TrunkId, price_of};
use serde_json::{Value, json};

use crate::call::door::{Incoming, Origin};
use crate::call::{Address, Carrier, Target};
use crate::prereq::Route;

use super::desk::LegCost;
use super::live::{Leg, Live};

/// How a leg is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) route: PricedRoute,
    /// The ACS resource it runs over.
    pub(super) acs: Option<AcsId>,
    /// It came to us.
    pub(super) came_in: bool,
}

impl Path {
    /// Of a leg that goes out.
    pub(super) fn to(config: &Config, target: &Target) -> Path {
        let (route, acs) = match &target.address {
            Address::Person(person) => match config.person(person).map(|person| &person.reach) {
                Some(Reach::Acs { resource, raw_id }) => (over_acs(raw_id), Some(resource.clone())),
                Some(Reach::Browser) => (PricedRoute::Webrtc, None),
                // Who is at Teams has no address of a person.
                Some(Reach::Contact(_) | Reach::Register(_) | Reach::Teams { .. }) | None => {
                    (PricedRoute::Phone, None)
                }
            },
            Address::Trunk { trunk, .. } | Address::Referred { trunk, .. } => {
                (over_trunk(config.trunk(trunk).map(|trunk| trunk.dialect)), None)
            }
            Address::Acs { resource, .. } => (PricedRoute::Pstn, Some(resource.clone())),
            Address::Teams(teams) => {
                return Path::to_teams(config, teams.clearance().route(), teams.carrier());
            }
        };
        Path { route, acs, came_in: false }
    }

    /// Of a leg to a Teams user.
    pub(super) fn to_teams(config: &Config, route: Route, carrier: &Carrier) -> Path {
        let (route, acs) = match (route, carrier) {
            (Route::Voip, Carrier::Acs(resource)) => (PricedRoute::Voip, Some(resource.clone())),
            (_, Carrier::Acs(resource)) => (PricedRoute::Pstn, Some(resource.clone())),
            (_, Carrier::Trunk(trunk)) => (over_trunk(config.trunk(trunk).map(|trunk| trunk.dialect)), None),
        };
        Path { route, acs, came_in: false }
    }

    /// What a minute costs at `at`, if a price is known.
    pub(super) fn price_at<'a>(
        &self,
        config: &'a Config,
        trunk: Option<&TrunkId>,
        at: SystemTime,
    ) -> Option<&'a Price> {
        price_of(&config.prices, self.route, trunk, self.acs.as_ref(), self.came_in, at)
    }

    /// Of a leg that has come in.
    pub(super) fn of(config: &Config, incoming: &Incoming) -> Path {
        let (route, acs) = match &incoming.origin {
            Origin::Trunk(trunk) => (over_trunk(config.trunk(trunk).map(|trunk| trunk.dialect)), None),
            Origin::Person(person) => {
                let browser = config.person(person).is_some_and(|known| known.reach == Reach::Browser);
                (if browser { PricedRoute::Webrtc } else { PricedRoute::Phone }, None)
            }
            Origin::Acs(resource) => {
                // A number calls from a telephone, anything else is a client's name.
                let phone = incoming.from.private || incoming.from.number.starts_with('+');
                (if phone { PricedRoute::Pstn } else { PricedRoute::Voip }, Some(resource.clone()))
            }
        };
        Path { route, acs, came_in: true }
    }
}

/// `4:` is a telephone; everything else at ACS is a client.
fn over_acs(raw_id: &str) -> PricedRoute {
    if raw_id.starts_with("4:") { PricedRoute::Pstn } else { PricedRoute::Voip }
}

fn over_trunk(dialect: Option<Dialect>) -> PricedRoute {
    match dialect {
        Some(Dialect::Microsoft) => PricedRoute::DirectRouting,
        Some(Dialect::Standard) | None => PricedRoute::Trunk,
    }
}

impl Leg {
    /// From its answer to its end, or to that of the call.
    fn talked(&self, call_ended: SystemTime) -> Duration {
        let end = self.ended_at.unwrap_or(call_ended);
        self.answered_at.and_then(|answered| end.duration_since(answered).ok()).unwrap_or_default()
    }

    fn price<'a>(&self, config: &'a Config) -> Option<&'a Price> {
        let (path, at) = (self.path.as_ref()?, self.answered_at?);
        path.price_at(config, self.trunk.as_ref(), at)
    }

    /// What the record says of it: the route, how long, and what that costs where a price is known.
    pub(super) fn bill(&self, config: &Config, call_ended: SystemTime) -> Value {
        let talked = self.talked(call_ended);
        let price = self.price(config);
        json!({
            "route": self.path.as_ref().map(|path| path.route),
            "acs": self.path.as_ref().and_then(|path| path.acs.as_ref()),
            "duration_ms": u64::try_from(talked.as_millis()).unwrap_or(u64::MAX),
            "price_per_minute": price.map(|price| price.per_minute),
            "price_from": price.map(|price| price.from.to_string()),
            "currency": price.map(|price| &*price.currency),
            "cost": price.map(|price| price.per_minute.for_time(talked)),
        })
    }
}

impl Live {
    /// What a minute costs of each leg that is up, as far as prices are known.
    pub(super) fn costs_now(&self, config: &Config, now: SystemTime) -> Vec<LegCost> {
        let up = self.legs.iter().filter(|leg| leg.end.is_none() && leg.answered_at.is_some());
        let cost = |leg: &Leg| {
            let path = leg.path.as_ref()?;
            let price = path.price_at(config, leg.trunk.as_ref(), now)?;
            Some(LegCost {
                leg: leg.role,
                route: path.route,
                per_minute: price.per_minute,
                currency: price.currency.clone(),
                from: price.from,
            })
        };
        up.filter_map(cost).collect()
    }

    /// What all its legs cost together, by currency: those whose price is known.
    pub(super) fn costs(&self, config: &Config, call_ended: SystemTime) -> Value {
        let mut sums: BTreeMap<Arc<str>, Amount> = BTreeMap::new();
        for leg in &self.legs {
            let Some(price) = leg.price(config) else { continue };
            let sum = sums.entry(price.currency.clone()).or_default();
            *sum = sum.plus(price.per_minute.for_time(leg.talked(call_ended)));
        }
        json!(sums.iter().map(|(currency, sum)| (currency.to_string(), sum)).collect::<BTreeMap<_, _>>())
    }
}
