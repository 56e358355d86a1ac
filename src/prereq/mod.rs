//! Whether somebody at Teams can be rung, and what is missing.
//!
//! Before a Teams user is dialled, a dozen things must be so: the tenant takes calls of our ACS resource, the person
//! has a licence, the number begins with a plus. Each is a [`Check`]. Sources say what is so as [`Evidence`]: Graph and
//! Azure ([`gather`]), a file an administrator collected ([`collect`]), an operator's word, a real call. [`rule`] turns
//! all of it into [`Finding`]s, purely; each carries who can mend it and the exact command. Only when nothing refuses
//! does [`clear`] make a [`Clearance`], which nobody else can. Without one there is no address of a Teams user that could
//! be dialled ([`TeamsAddress`](crate::call::TeamsAddress)):
//!
//! ```compile_fail
//! use std::time::SystemTime;
//! use sidetone::prereq::{Address, Clearance, Route, Subject};
//! // Its fields are private, and `clear` is the only place that makes one.
//! let now = SystemTime::now();
//! let address = Address::Number("+15550100".into());
//! let forged = Clearance { subject: Subject::Tenant, route: Route::Pstn, address, at: now, until: now };
//! ```
//!
//! Invariants:
//! - what cannot be known is unknown, never failed and never passed; the policy of the check's class judges it;
//! - an outage of Microsoft's is never blamed on the credential, and a missing permission never on the person;
//! - a clearance names whom, over what and until when, and what is dialled is what was checked.
//!
//! Read [`check`] first: its table is the gate.

pub mod account;
pub mod check;
pub mod collect;
pub mod evidence;
pub mod finding;
pub mod gather;
pub mod graph;
mod http;
pub mod number;
pub mod outcome;
pub mod presence;
pub mod read;
pub mod rule;
pub mod token;

use std::time::{Duration, SystemTime};

pub use check::{About, Check, Class, Need, Route};
pub use evidence::{Evidence, Source, Subject, Verdict};
pub use finding::{Finding, Remedy, Weight, Who};
pub use gather::Engine;
pub use outcome::{Outcome, Refused};
pub use rule::{Address, Facts, Policy, assess};

/// A clearance is for the ring that follows it. Longer, and it would be evidence of its own.
const CLEARANCE_LIFE: Duration = Duration::from_secs(30);

/// Proof that nothing refuses ringing somebody over one route, now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a clearance is asked for to dial with it"]
pub struct Clearance {
    subject: Subject,
    route: Route,
    address: Address,
    at: SystemTime,
    until: SystemTime,
}

impl Clearance {
    /// Whom it is for.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Over which route.
    pub fn route(&self) -> Route {
        self.route
    }

    /// What to dial: what was checked.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// When it was given.
    pub fn given_at(&self) -> SystemTime {
        self.at
    }

    /// How long it may be used, from when it was given.
    pub fn life(&self) -> Duration {
        self.until.duration_since(self.at).unwrap_or_default()
    }

    /// Whether it may still be used.
    pub fn good_at(&self, now: SystemTime) -> bool {
        self.at <= now && now < self.until
    }
}

/// What the checks of one route came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The route.
    pub route: Route,
    /// Every finding, in the order of the checks.
    pub findings: Vec<Finding>,
    /// Proof that it may be taken; none when it may not.
    pub clearance: Option<Clearance>,
}

/// Decides whether somebody may be rung, and says why.
#[must_use]
pub fn judge(facts: &Facts) -> Judgement {
    let findings = assess(facts);
    Judgement { route: facts.route, clearance: cleared(facts, &findings), findings }
}

/// Decides whether somebody may be rung.
///
/// # Errors
/// All findings of the route, when one of them refuses it.
pub fn clear(facts: &Facts) -> Result<Clearance, Vec<Finding>> {
    let Judgement { findings, clearance, .. } = judge(facts);
    clearance.ok_or(findings)
}

/// The only maker of a [`Clearance`].
fn cleared(facts: &Facts, findings: &[Finding]) -> Option<Clearance> {
    if findings.iter().any(|finding| finding.weight == Weight::Refuses) {
        return None;
    }
    // A policy may allow the unknown, but nobody can dial what is not known.
    let address = facts.address()?;
    // What only advises refuses nothing by failing, and so nothing by growing old.
    let leant_on = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Pass)
        .filter(|finding| facts.policy.need(finding.check, facts.route) == Need::Required);
    let first_end = leant_on.filter_map(|finding| Some(finding.evidence.as_ref()?.expires_at)).min();
    let until = facts.now + CLEARANCE_LIFE;
    let until = first_end.map_or(until, |end| until.min(end));
    Some(Clearance { subject: facts.target.clone(), route: facts.route, address, at: facts.now, until })
}
