//! What a minute costs: written down with the day from which it holds, because prices change and records stay.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use crate::access::Date;
use crate::id::{AcsId, TrunkId};

/// `[[price]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// What it is for.
    pub route: PricedRoute,
    /// Only legs over this trunk; all when absent.
    pub trunk: Option<TrunkId>,
    /// Only legs over this ACS resource; all when absent.
    pub acs: Option<AcsId>,
    /// Of a minute.
    pub per_minute: Amount,
    /// Three capital letters (ISO 4217).
    pub currency: Arc<str>,
    /// The first day on which it holds, UTC.
    pub from: Date,
    /// Whether legs that came to us cost it as well.
    pub inbound: bool,
}

/// How a leg is connected, as far as money is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PricedRoute {
    /// A SIP trunk of a carrier.
    Trunk,
    /// Microsoft's Direct Routing.
    DirectRouting,
    /// A client over ACS.
    Voip,
    /// A telephone over ACS.
    Pstn,
    /// A telephone of ours.
    Phone,
    /// A browser.
    Webrtc,
}

/// An amount of money, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(u64);

impl Amount {
    /// What this much a minute comes to in that time: by the millisecond, rounded up to a millionth. What a provider
    /// rounds besides, to seconds or begun minutes, is on its bill and not here.
    #[must_use]
    pub fn for_time(self, time: Duration) -> Amount {
        let cost = (u128::from(self.0) * time.as_millis()).div_ceil(60_000);
        Amount(u64::try_from(cost).unwrap_or(u64::MAX))
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Amount) -> Amount {
        Amount(self.0.saturating_add(other.0))
    }
}

/// At least two places after the point: `0.013`, `1.20`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = format!("{:06}", self.0 % 1_000_000);
        let kept = places.trim_end_matches('0').len().max(2);
        write!(f, "{}.{}", self.0 / 1_000_000, &places[..kept])
    }
}

/// The text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an amount of money with at most six places")]
pub struct NotAnAmount;

impl FromStr for Amount {
    type Err = NotAnAmount;

    fn from_str(text: &str) -> Result<Amount, NotAnAmount> {
        let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
        let digits =
            |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        // A minute for a million is no price.
        if !digits(whole, 6) || !digits(places, 6) {
            return Err(NotAnAmount);
        }
        let parse = |text: &str| text.parse::<u64>().map_err(|_| NotAnAmount);
        Ok(Amount(parse(whole)? * 1_000_000 + parse(&format!("{places:0<6}"))?))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The price of a leg that was answered at `at`: the newest that holds then, and of those of one day the one that names
/// the trunk or resource.
#[must_use]
pub fn price_of<'a>(
    prices: &'a [Price],
    route: PricedRoute,
    trunk: Option<&TrunkId>,
    acs: Option<&AcsId>,
    came_in: bool,
    at: SystemTime,
) -> Option<&'a Price> {
    let named = |price: &Price| price.trunk.is_some() || price.acs.is_some();
    let fits = |price: &&Price| {
        price.route == route
            && (price.inbound || !came_in)
            && price.trunk.as_ref().is_none_or(|named| Some(named) == trunk)
            && price.acs.as_ref().is_none_or(|named| Some(named) == acs)
            && price.from.start() <= at
    };
    prices.iter().filter(fits).max_by_key(|price| (named(price), price.from.start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, shown) in [
            ("0.004", "0.004"),
            ("0.013", "0.013"),
            ("1", "1.00"),
            ("12.5", "12.50"),
            ("0.000001", "0.000001"),
        ] {
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), shown);
        }
        for bad in ["", ".", "1.", ".5", "-1", "+1", "1,5", "0.0000001", "1234567", "1e3", "1.2.3"] {
            assert_eq!(bad.parse::<Amount>(), Err(NotAnAmount), "{bad}");
        }
        let minute: Amount = "0.013".parse().unwrap();
        assert_eq!(minute.for_time(Duration::from_secs(60)).to_string(), "0.013");
        assert_eq!(minute.for_time(Duration::from_secs(90)).to_string(), "0.0195");
        assert_eq!(
            minute.for_time(Duration::from_millis(1)).to_string(),
            "0.000001",
            "never less than it was"
        );
        assert_eq!(minute.for_time(Duration::ZERO), Amount::default());
        assert_eq!(minute.for_time(Duration::MAX).plus(minute), Amount(u64::MAX));
    }

    #[test]
    fn the_newest_price_that_holds_and_the_closest_one() {
        let day = |year| Date { year, month: 1, day: 1 };
        let trunk = TrunkId::new("carrier").unwrap();
        let price = |route, trunk: Option<&TrunkId>, per_minute: &str, from, inbound| Price {
            route,
            trunk: trunk.cloned(),
            acs: None,
            per_minute: per_minute.parse().unwrap(),
            currency: "USD".into(),
            from,
            inbound,
        };
        let prices = [
            price(PricedRoute::Trunk, None, "0.03", day(2024), false),
            price(PricedRoute::Trunk, None, "0.02", day(2026), false),
            price(PricedRoute::Trunk, Some(&trunk), "0.01", day(2025), false),
            price(PricedRoute::Voip, None, "0.004", day(2025), true),
        ];
        let of = |route, trunk, came_in, year| {
            price_of(&prices, route, trunk, None, came_in, day(year).start())
                .map(|p| p.per_minute.to_string())
        };
        assert_eq!(of(PricedRoute::Trunk, None, false, 2025).as_deref(), Some("0.03"));
        assert_eq!(of(PricedRoute::Trunk, None, false, 2026).as_deref(), Some("0.02"));
        assert_eq!(of(PricedRoute::Trunk, Some(&trunk), false, 2026).as_deref(), Some("0.01"));
        assert_eq!(of(PricedRoute::Trunk, Some(&trunk), false, 2024).as_deref(), Some("0.03"));
        assert_eq!(of(PricedRoute::Trunk, None, true, 2026), None, "what came to us is the caller's to pay");
        assert_eq!(of(PricedRoute::Voip, None, true, 2026).as_deref(), Some("0.004"));
        assert_eq!(of(PricedRoute::Trunk, None, false, 2023), None);
        assert_eq!(of(PricedRoute::Phone, None, false, 2026), None);
    }
}
