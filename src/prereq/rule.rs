//! Facts in, findings out.
//!
//! For each check the route needs: what counts of everything known ([`best`]), what that means
//! for this route, and what it does to it. Some checks are not observed but follow from others: whether our resource
//! is on the tenant's list, whether the number is international, whether two numbers agree.

use std::borrow::Cow;
use std::time::SystemTime;

use sbc_config::{E164, OnUnknown, UnknownPolicy};

use super::check::{About, Check, Class, Need, Route};
use super::evidence::{Evidence, Subject, Verdict, best};
use super::finding::{Finding, Names, Weight, remedy};
use super::number::{self, NumberFault};

/// How the unknown is judged, and where presence decides.
///
/// A tenant without an account has promised no look into its directory. A number over Direct Routing is rung there as by
/// any SBC, and the findings say that nothing is known ([`Policy::without_account`]); everything else is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Per class of check.
    pub unknown: UnknownPolicy,
    /// Routes over which nobody is rung who is not free.
    pub presence_decides: Vec<Route>,
}

impl Policy {
    /// Where nobody can be asked.
    pub(super) fn without_account(target: &Subject, route: Route) -> Policy {
        let mut policy = Policy::default();
        if matches!((target, route), (Subject::Number(_), Route::DirectRouting)) {
            policy.unknown.voice = OnUnknown::Warn;
        }
        policy
    }

    fn on_unknown(&self, class: Class) -> OnUnknown {
        match class {
            Class::Connection => self.unknown.connection,
            Class::Federation => self.unknown.federation,
            Class::Identity => self.unknown.identity,
            Class::Voice => self.unknown.voice,
            Class::Number => self.unknown.number,
            Class::Authorisation => self.unknown.authorisation,
            Class::Presence => self.unknown.presence,
        }
    }

    /// What `route` makes of a check, where this is in force.
    pub(super) fn need(&self, check: Check, route: Route) -> Need {
        if check == Check::Presence && self.presence_decides.contains(&route) {
            return Need::Required;
        }
        check.need(route)
    }
}

/// Everything that is known about reaching somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whom.
    pub target: Subject,
    /// Over which route.
    pub route: Route,
    /// Everything said about the tenant and this person, under any of their names.
    pub evidence: Vec<Evidence>,
    /// How it is judged.
    pub policy: Policy,
    /// The account's application, for remedies.
    pub client_id: Option<String>,
    /// When.
    pub now: SystemTime,
}

/// The findings of one route, in the order of the checks.
#[must_use]
pub fn assess(facts: &Facts) -> Vec<Finding> {
    let acs_id = facts.best(Check::AcsId, About::Tenant).and_then(|evidence| evidence.value.as_deref());
    let names = Names {
        acs_id,
        person: match &facts.target {
            Subject::Person(name) => Some(name),
            Subject::Tenant | Subject::Number(_) => None,
        },
        client_id: facts.client_id.as_deref(),
    };
    let mut findings = Vec::new();
    for check in Check::ALL.iter().copied() {
        let need = facts.policy.need(check, facts.route);
        if need == Need::Not {
            continue;
        }
        let known = facts.known(check, acs_id);
        let (verdict, code) = facts.for_route(check, known.as_deref());
        let stale = known.as_ref().is_some_and(|evidence| evidence.stale(facts.now));
        findings.push(Finding {
            check,
            route: facts.route,
            verdict,
            weight: weigh(need, verdict, stale, facts.policy.on_unknown(check.class())),
            remedy: remedy(check, verdict, &code, names),
            code,
            evidence: known.map(Cow::into_owned),
        });
    }
    findings
}

/// What a verdict does to a route.
fn weigh(need: Need, verdict: Verdict, stale: bool, on_unknown: OnUnknown) -> Weight {
    match (need, verdict, on_unknown) {
        (Need::Not, ..) => Weight::Clear,
        (_, Verdict::Pass, _) if stale => Weight::Warns,
        (_, Verdict::Pass | Verdict::NotApplicable, _) => Weight::Clear,
        (Need::Required, Verdict::Fail, _) => Weight::Refuses,
        (Need::Advisory, Verdict::Fail, _) => Weight::Warns,
        (_, Verdict::Unknown, OnUnknown::Allow) => Weight::Clear,
        (Need::Required, Verdict::Unknown, OnUnknown::Refuse) => Weight::Refuses,
        (_, Verdict::Unknown, _) => Weight::Warns,
    }
}

impl Facts {
    fn best(&self, check: Check, about: About) -> Option<&Evidence> {
        let said = self.evidence.iter().filter(|evidence| {
            evidence.check == check && (evidence.subject == Subject::Tenant) == (about == About::Tenant)
        });
        best(said, self.now)
    }

    /// What is known of a check: seen, said, or following from something else.
    fn known(&self, check: Check, acs_id: Option<&str>) -> Option<Cow<'_, Evidence>> {
        let own = self.best(check, check.about()).map(Cow::Borrowed);
        let derived = match check {
            Check::ResourceAllowed => self.resource_allowed(acs_id),
            Check::Number => self.number(),
            Check::NumbersAgree => self.numbers_agree(),
            // A policy of the whole tenant is each person's, unless their own is known.
            Check::ExternalAccess => match &own {
                Some(own) if own.verdict != Verdict::Unknown => None,
                _ => self.best(check, About::Tenant).cloned(),
            },
            _ => None,
        };
        match (own, derived) {
            (own, None) => own,
            (None, Some(derived)) => Some(Cow::Owned(derived)),
            (Some(own), Some(derived)) => {
                let counts = best([own.as_ref(), &derived], self.now) == Some(&derived);
                Some(if counts { Cow::Owned(derived) } else { own })
            }
        }
    }

    /// The list that came with the federation settings, and our id.
    fn resource_allowed(&self, acs_id: Option<&str>) -> Option<Evidence> {
        // Only what was imported carries a list; a call or an attestation speaks for itself.
        let lists = self.evidence.iter().filter(|evidence| {
            evidence.check == Check::Federation && evidence.value.is_some() && evidence.holds(self.now)
        });
        let list = lists.max_by_key(|evidence| evidence.observed_at)?;
        let allowed = list.value.as_deref().unwrap_or_default();
        let (verdict, code) = match acs_id {
            None => (Verdict::Unknown, "acs_id_unknown"),
            Some(id) if allowed.split(',').any(|one| one.eq_ignore_ascii_case(id)) => {
                (Verdict::Pass, "on_the_list")
            }
            Some(_) => (Verdict::Fail, "not_on_the_list"),
        };
        Some(Evidence {
            check: Check::ResourceAllowed,
            verdict,
            code: code.into(),
            detail: String::new(),
            value: None,
            ..list.clone()
        })
    }

    /// The number this route would dial, and whether it can be.
    fn number(&self) -> Option<Evidence> {
        let source = match (&self.target, self.route) {
            (Subject::Number(_), _) => return None,
            (_, Route::DirectRouting) => Check::TeamsNumber,
            _ => Check::OfficePhone,
        };
        let found = self.best(source, About::Person)?;
        let text = found.value.as_deref()?;
        let evidence = Evidence { check: Check::Number, value: None, ..found.clone() };
        Some(match number::dialable(text) {
            Ok(number) => {
                let value = match self.route {
                    Route::DirectRouting => number.full(),
                    Route::Pstn | Route::Voip => number.number.as_str().to_owned(),
                };
                let extension = number.extension.is_some();
                let code = if extension { "number_has_extension" } else { "number_ok" };
                let detail = if extension { "the extension is dialled by Direct Routing only" } else { "" };
                Evidence {
                    verdict: Verdict::Pass,
                    code: code.into(),
                    detail: detail.into(),
                    value: Some(value),
                    ..evidence
                }
            }
            Err(fault) => {
                let verdict = if fault == NumberFault::Missing { Verdict::Unknown } else { Verdict::Fail };
                Evidence { verdict, code: fault.code().into(), detail: fault.detail().into(), ..evidence }
            }
        })
    }

    fn numbers_agree(&self) -> Option<Evidence> {
        let office = self.best(Check::OfficePhone, About::Person)?;
        let teams = self.best(Check::TeamsNumber, About::Person)?;
        let (one, other) = (office.value.as_deref()?, teams.value.as_deref()?);
        let agree = number::agree(one, other);
        let older = if office.observed_at <= teams.observed_at { office } else { teams };
        Some(Evidence {
            check: Check::NumbersAgree,
            verdict: if agree { Verdict::Pass } else { Verdict::Fail },
            code: if agree { "numbers_agree" } else { "numbers_differ" }.into(),
            detail: String::new(),
            value: None,
            expires_at: office.expires_at.min(teams.expires_at),
            ..older.clone()
        })
    }

    /// What is known, as this route has to take it.
    fn for_route(&self, check: Check, known: Option<&Evidence>) -> (Verdict, String) {
        let fixed = |verdict, code: &str| (verdict, code.to_owned());
        if let Subject::Number(_) = &self.target {
            match (check, self.route) {
                (Check::Number, Route::Pstn | Route::DirectRouting) => {
                    return fixed(Verdict::Pass, "number_ok");
                }
                (Check::Kind, Route::Voip) => return fixed(Verdict::Fail, "not_a_person"),
                (Check::Group, _) | (Check::TeamsNumber, Route::DirectRouting) => {}
                // Of the mode Graph says nothing but that it is wrong. A person is asked after once; a number rings
                // all day, and would wait for a file of the administrator's.
                (Check::TeamsOnly, Route::DirectRouting) if known.is_none() => {
                    return fixed(Verdict::NotApplicable, "bare_number");
                }
                // Whoever has the number is looked at as if they had been named.
                (_, Route::DirectRouting) if self.holder_is_known() => {}
                _ if check.about() == About::Person => {
                    return fixed(Verdict::NotApplicable, "bare_number");
                }
                _ => {}
            }
        }
        match known {
            // VOIP reaches people of the own tenant; a guest has a telephone all the same.
            Some(evidence)
                if check == Check::Kind && self.route == Route::Pstn && evidence.code == "guest" =>
            {
                fixed(Verdict::Pass, "guest")
            }
            Some(evidence) => (evidence.verdict, evidence.code.to_string()),
            None => {
                let expired = self.evidence.iter().any(|evidence| evidence.check == check);
                fixed(Verdict::Unknown, if expired { "evidence_expired" } else { "evidence_missing" })
            }
        }
    }

    /// Whether anything is known of a person who has the number that is asked for.
    fn holder_is_known(&self) -> bool {
        self.evidence.iter().any(|one| matches!(one.subject, Subject::Person(_)))
    }

    /// What would be dialled, if the findings allow it.
    pub(super) fn address(&self) -> Option<Address> {
        match (self.route, &self.target) {
            (Route::Pstn | Route::DirectRouting, Subject::Number(number)) => {
                Some(Address::Number(number.as_str().to_owned()))
            }
            (Route::Voip, Subject::Person(name)) => {
                let id = self.best(Check::Exists, About::Person).and_then(|evidence| evidence.value.clone());
                let id = id.or_else(|| super::read::is_guid(name).then(|| name.to_string()))?;
                Some(Address::Teams(id))
            }
            (Route::Pstn | Route::DirectRouting, Subject::Person(_)) => {
                let number = self.known(Check::Number, None)?;
                Some(Address::Number(number.value.clone()?))
            }
            _ => None,
        }
    }
}

/// What is dialled.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// A Teams user by Entra object id: `8:orgid:…` to ACS.
    Teams(String),
    /// `+` and digits, with `;ext=` when Direct Routing needs it.
    Number(String),
}

/// A number or a person's id: it stays out of log lines above debug, so it is not in `Debug` either.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Address::Teams(_) => "Address::Teams(redacted)",
            Address::Number(_) => "Address::Number(redacted)",
        })
    }
}

/// Whether the target, as a caller wrote it, is a number or a person.
///
/// # Errors
/// Why it is neither.
pub fn target(text: &str) -> Result<Subject, &'static str> {
    const NAME_BYTES_MAX: usize = 256;
    let text = text.trim();
    let name_ok = |c: char| c.is_alphanumeric() || "@.-_'#!+~&%$^".contains(c);
    if let Some(rest) = text.strip_prefix('+') {
        let digits = rest.chars().all(|c| c.is_ascii_digit() || " -.()".contains(c));
        if digits {
            return E164::parse(text)
                .map(Subject::Number)
                .map_err(|_| "an international number is + and 7 to 15 digits");
        }
    }
    if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(name_ok) {
        return Err(
            "a target is a user principal name, an Entra object id, or an international number with +",
        );
    }
    Ok(Subject::person(text))
}

#[cfg(test)]
mod tests;
