//! Reads `[[route]]` and sees to it that no two take the same calls.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::names::Names;
use super::report::Report;
use super::table::{Field, Section};
use super::tenant::id;
use super::unique::Unique;
use crate::finding::Code;
use crate::id::{RouteId, TenantId, TrunkId};
use crate::number::{Dialled, MAX_E164_DIGITS};
use crate::route::{Fallback, Match, Route, Strategy, Target};

/// Targets of one route. Nobody listens to ringing for longer than a few of them take.
const MAX_TARGETS: usize = 32;
/// Trunks named by one route.
const MAX_ROUTE_TRUNKS: usize = 64;
/// RFC 3261 section 16.6 step 11: a proxy gives up on a ringing phone after three minutes (timer C).
const MAX_RING_S: u32 = 180;

/// Reads routes and notices ties between them.
pub(super) struct Routes<'a> {
    report: &'a Report<'a>,
    ids: Unique<'a, String>,
    /// The routes so far that take the same numbers.
    taken: HashMap<(TenantId, MatchKey), Vec<Taken>>,
}

/// The calls of one route among those that take the same numbers.
struct Taken {
    /// `None` is every trunk.
    trunks: Option<Vec<TrunkId>>,
    span: Range<usize>,
}

/// A match as the route table compares it.
#[derive(PartialEq, Eq, Hash)]
enum MatchKey {
    Number(Box<str>),
    Prefix(Box<str>),
    Any,
}

impl<'a> Routes<'a> {
    pub(super) fn new(report: &'a Report<'a>) -> Self {
        Self { report, ids: Unique::new(report), taken: HashMap::new() }
    }

    pub(super) fn read(&mut self, section: &Section<'a>, names: &Names<'a>) -> Option<Route> {
        let id = id(section, &mut self.ids, RouteId::new);
        let tenant = names.tenant_of(section);
        let trunk = |item: &Field<'a>| names.trunk(item, item.text()?, tenant.as_ref());
        let trunks_field = section.field("trunks");
        let trunks = trunks_field.as_ref().map(|field| field.list(MAX_ROUTE_TRUNKS, trunk));
        let matched = matches(section);
        let target = |item: &Field<'a>| target(item, names, tenant.as_ref());
        let targets = section.required("targets", "name whom to ring, as [\"alice\", \"team:support\"]");
        let targets = targets.and_then(|field| field.list(MAX_TARGETS, target));
        let strategies = [("in_order", Strategy::InOrder), ("all_at_once", Strategy::AllAtOnce)];
        let strategy = section.choice("strategy", &strategies, Strategy::InOrder);
        let ring = section.seconds("ring_s", 3..=MAX_RING_S, 20);
        let presence = section.field("presence").map_or(Some(false), |field| field.flag());
        let fallback = match (section.field("fallback"), section.field("reject")) {
            (None, None) => Some(Fallback::Reject(480)),
            (Some(field), None) => target(&field).map(Fallback::Target),
            (None, Some(field)) => {
                let status = field.number(400..=699).and_then(|status| u16::try_from(status).ok());
                status.map(Fallback::Reject)
            }
            (Some(_), Some(reject)) => {
                reject.fail(Code::ExactlyOne, "both `fallback` and `reject` are given", "remove one of them");
                None
            }
        };
        section.finish();
        let (tenant, (field, matches)) = (tenant?, matched?);
        // A list of trunks that could not be read is no list that takes every trunk.
        let trunks = match trunks {
            None => None,
            Some(trunks) => Some(trunks?),
        };
        self.refuse_ties(&tenant, &field, &matches, trunks.as_ref());
        Some(Route {
            id: id?,
            tenant,
            trunks,
            matches,
            targets: targets?,
            strategy,
            ring,
            fallback: fallback?,
            presence: presence?,
        })
    }

    fn refuse_ties(
        &mut self,
        tenant: &TenantId,
        field: &Field<'a>,
        matches: &Match,
        trunks: Option<&Vec<TrunkId>>,
    ) {
        let key = match matches {
            Match::Number(number) => MatchKey::Number(number.match_key().into()),
            Match::Prefix(prefix) => MatchKey::Prefix(prefix.as_ref().into()),
            Match::Any => MatchKey::Any,
        };
        let equals = self.taken.entry((tenant.clone(), key)).or_default();
        let ties = |other: &&Taken| match (&other.trunks, trunks) {
            (None, None) => true,
            (Some(theirs), Some(mine)) => mine.iter().any(|trunk| theirs.contains(trunk)),
            // The one that names the trunk is preferred.
            (None, Some(_)) | (Some(_), None) => false,
        };
        if let Some(first) = equals.iter().find(ties) {
            let line = self.report.line(&first.span);
            let message = format!("the route at line {line} takes the same calls");
            field.fail(Code::RouteTie, message, "change the number, or give them different `trunks`");
        }
        equals.push(Taken { trunks: trunks.cloned(), span: field.span().clone() });
    }
}

fn matches<'a>(section: &Section<'a>) -> Option<(Field<'a>, Match)> {
    let fields = [section.field("number"), section.field("prefix"), section.field("any")];
    let remedy = "write number = \"+15550100\", prefix = \"1\" or any = true";
    match fields {
        [Some(field), None, None] => {
            let number = field.parsed(Code::BadValue, "write it as \"+15550100\"", Dialled::parse)?;
            Some((field, Match::Number(number)))
        }
        [None, Some(field), None] => {
            let prefix = field.parsed(Code::BadValue, "write the first digits, as \"1555\"", prefix)?;
            Some((field, Match::Prefix(prefix)))
        }
        [None, None, Some(field)] => {
            if !field.flag()? {
                field.fail(Code::BadValue, "a route that takes no number is of no use", remedy);
                return None;
            }
            Some((field, Match::Any))
        }
        [None, None, None] => {
            section.fail(Code::ExactlyOne, "the route takes no number", remedy);
            None
        }
        fields => {
            let last = fields.into_iter().flatten().last()?;
            last.fail(Code::ExactlyOne, "the route says more than once which numbers it takes", remedy);
            None
        }
    }
}

fn prefix(text: &str) -> Result<Arc<str>, &'static str> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let fit = (1..=MAX_E164_DIGITS).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#'));
    if fit { Ok(digits.into()) } else { Err("a prefix is 1 to 15 keys of the dial pad") }
}

fn target<'a>(field: &Field<'a>, names: &Names<'a>, tenant: Option<&TenantId>) -> Option<Target> {
    let text = field.text()?;
    match text.split_once(':') {
        None => names.person(field, text, tenant, None).map(Target::Person),
        Some(("trunk", name)) => names.trunk_to_dial(field, name, tenant).map(Target::Trunk),
        Some(("acs", name)) => names.acs_to_dial(field, name, tenant).map(Target::Acs),
        Some(("team", name)) => {
            let team = names.team(field, name, tenant)?;
            if !names.has_agent(name) {
                let message = format!("no agent is in the team `{name}`");
                field.warn(Code::NobodyToReach, message, "put the team into an agent's `teams`");
            }
            Some(Target::Team(team))
        }
        Some(_) => {
            let remedy = "write the id of a person, \"team:ID\", \"trunk:ID\" or \"acs:ID\"";
            field.fail(Code::BadValue, "this is no target", remedy);
            None
        }
    }
}
