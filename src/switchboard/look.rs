//! The ways to somebody outside of any call: what a preflight shows, by the engine and the rules that a consult goes by.

use sbc_config::{Config, PersonId, Reach, TenantId};

use crate::prereq::rule::{assess, target};
use crate::prereq::{Engine, Finding, Route, Subject, clear};

use super::desk::{Preview, Refusal, Via, Wish};
use super::ways::ways_to;

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The checks of every route that was asked about, whether anything here leads over it or not. None for whoever is
    /// reached without Microsoft.
    pub routes: Vec<Checked>,
    /// The ways there are, as a consult would show and take them; why there are none otherwise.
    pub preview: Result<Preview, Refusal>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Which.
    pub route: Route,
    /// Why nobody would be rung over it: as of a way, or `not_configured` when nothing here leads over it.
    pub obstacle: Option<&'static str>,
    /// What was found, in the order of the checks.
    pub findings: Vec<Finding>,
}

impl Looked {
    /// The route that would be taken, where it is one of Microsoft's.
    pub fn route(&self) -> Option<Route> {
        let preview = self.preview.as_ref().ok()?;
        preview.ways.get(preview.taken?)?.via
    }

    /// Whether anybody would be rung.
    pub fn is_clear(&self) -> bool {
        self.preview.as_ref().is_ok_and(|preview| preview.taken.is_some())
    }
}

/// Looks, and rings nobody.
///
/// # Errors
/// When the words name nobody.
pub async fn look(
    config: &Config,
    engine: &Engine,
    tenant: &TenantId,
    wish: &Wish,
    asker: Option<&Subject>,
) -> Result<Looked, Refusal> {
    let preview = ways_to(config, engine, tenant, wish, asker).await;
    let whom = match (subject(config, tenant, &wish.target), &preview) {
        (Ok(whom), _) => whom,
        // A telephone of ours: nothing at Microsoft has to be so.
        (Err(_), Ok(_)) => return Ok(Looked { routes: Vec::new(), preview }),
        (Err(why), Err(_)) => {
            return Err(Refusal::Invalid { code: "target_invalid", detail: why.to_owned() });
        }
    };
    let routes = match wish.via {
        Via::Auto => Route::ALL.to_vec(),
        Via::Only(route) => vec![route],
    };
    let mut checked = Vec::new();
    for route in routes {
        let facts = engine.facts(tenant, &whom, route, asker).await;
        let mut ways = preview.iter().flat_map(|preview| &preview.ways);
        let obstacle = match (ways.find(|way| way.via == Some(route)), clear(&facts)) {
            (Some(way), _) => way.obstacle,
            (None, Err(_)) => Some("not_cleared"),
            (None, Ok(_)) => Some("not_configured"),
        };
        checked.push(Checked { route, obstacle, findings: assess(&facts) });
    }
    Ok(Looked { routes: checked, preview })
}

/// Who that is at Teams: one of our people, or as the words say.
fn subject(config: &Config, tenant: &TenantId, words: &str) -> Result<Subject, &'static str> {
    let known = PersonId::new(words).ok().and_then(|id| config.person(&id));
    match known.map(|person| (&person.tenant, &person.reach)) {
        Some((of, Reach::Teams { user, .. })) if of == tenant => Ok(Subject::person(user)),
        Some((of, _)) if of == tenant => Err("this person has a telephone of their own here"),
        _ => target(words),
    }
}
