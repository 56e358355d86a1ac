//! The ways to an expert or a target as the API shows them: before anybody is rung, and when nobody is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::integration::FindingView;
use super::preflight::Via;
use super::problem::Problem;
use crate::prereq::Route;
use crate::switchboard::desk::{self, LegCost, Preview, WayView, Wish};

/// The longest target: a user principal name of Entra, a guest's at most.
const TARGET_BYTES_MAX: usize = 256;

/// Whom or what to ring next: a target, or an object with a way.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum NewFallback {
    /// Somebody else: the id of one of your people, a Teams user, or a number.
    Target(String),
    /// A way, to the same person or to another.
    Way(FallbackWay),
}

/// A way to fall back to. At least one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"via": "pstn"}))]
pub(super) struct FallbackWay {
    /// To whom; to the target of the request when absent.
    #[schema(nullable = false)]
    pub target: Option<String>,
    /// Over what, when they are at Teams.
    #[serde(default)]
    #[schema(nullable = false)]
    pub via: Option<Via>,
}

/// What a request wants rung, in its order.
pub(super) fn wishes(target: String, via: Via, fallback: Vec<NewFallback>) -> Result<Vec<Wish>, Problem> {
    let mut all = vec![Wish { target, via: via.into() }];
    for next in fallback {
        let first = &all[..1];
        let wish = match next {
            NewFallback::Target(target) => Wish { target, via: desk::Via::Auto },
            NewFallback::Way(FallbackWay { target: None, via: None }) => {
                return Err(Problem::invalid("body_invalid", "a fallback names `target` or `via`"));
            }
            NewFallback::Way(FallbackWay { target, via }) => Wish {
                target: target.or_else(|| first.first().map(|wish| wish.target.clone())).unwrap_or_default(),
                via: via.unwrap_or_default().into(),
            },
        };
        all.push(wish);
    }
    if all.iter().any(|wish| wish.target.is_empty() || wish.target.len() > TARGET_BYTES_MAX) {
        let detail =
            format!("a target is an id, a Teams user or a number of 1 to {TARGET_BYTES_MAX} characters");
        return Err(Problem::invalid("body_invalid", detail));
    }
    Ok(all)
}

impl From<Via> for desk::Via {
    fn from(via: Via) -> desk::Via {
        match via {
            Via::Auto => desk::Via::Auto,
            Via::Voip => desk::Via::Only(Route::Voip),
            Via::Pstn => desk::Via::Only(Route::Pstn),
            Via::DirectRouting => desk::Via::Only(Route::DirectRouting),
        }
    }
}

/// The ways, in the order in which they would be tried.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Preview)]
pub(super) struct PreviewView {
    /// The position of the way that is taken first; absent when none is clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub taken: Option<usize>,
    /// The ways.
    pub ways: Vec<Way>,
    /// What a minute costs of the legs that are up, as far as prices are known.
    pub up: Vec<LegPrice>,
}

/// One way.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = PreviewWay)]
pub(super) struct Way {
    /// To whom, as they were named.
    pub target: String,
    /// `voip`, `pstn` or `direct_routing`, for somebody at Teams.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub via: Option<&'static str>,
    /// What carries it: `acs:ID` or `trunk:ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub over: Option<String>,
    /// Whether it would be rung.
    pub clear: bool,
    /// Why not: `not_cleared` by the findings, `no_route_for_number`, `prerequisites_unavailable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub obstacle: Option<&'static str>,
    /// It is rung only when the way before it reached nobody: not when a person was busy or declined.
    pub only_if_not_reached: bool,
    /// What a minute of its leg costs, if a price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cost: Option<LegPrice>,
    /// What was found, in the order of the checks.
    pub findings: Vec<FindingView>,
}

/// What a minute of a leg costs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct LegPrice {
    /// `expert`, or the role of a leg that is up.
    pub leg: &'static str,
    /// How it is connected, as `[[price]]` names it.
    pub route: String,
    /// Of a minute.
    pub per_minute: String,
    /// As `USD`.
    pub currency: String,
    /// The first day of this price.
    pub from: String,
}

impl From<Preview> for PreviewView {
    fn from(preview: Preview) -> PreviewView {
        PreviewView {
            taken: preview.taken,
            ways: preview.ways.into_iter().map(Way::from).collect(),
            up: preview.up.into_iter().map(LegPrice::from).collect(),
        }
    }
}

impl From<WayView> for Way {
    fn from(way: WayView) -> Way {
        Way {
            target: way.target,
            via: way.via.map(Route::name),
            over: way.over,
            clear: way.clear,
            obstacle: way.obstacle,
            only_if_not_reached: way.only_if_not_reached,
            cost: way.cost.map(LegPrice::from),
            findings: way.findings.into_iter().map(FindingView::from).collect(),
        }
    }
}

impl From<LegCost> for LegPrice {
    fn from(cost: LegCost) -> LegPrice {
        let route = serde_json::to_value(cost.route).ok();
        LegPrice {
            leg: cost.leg,
            route: route.and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default(),
            per_minute: cost.per_minute.to_string(),
            currency: cost.currency.to_string(),
            from: cost.from.to_string(),
        }
    }
}
