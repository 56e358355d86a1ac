//! People at Teams, and what the prerequisite engine says of them: all is in order, so that what counts is when it is said.

use std::time::{Duration, Instant, SystemTime};

use sbc_config::{AcsId, PersonId};
use sidetone::call::{Attempt, Callee, Carrier, TeamsAddress, TeamsUser, TeamsWay};
use sidetone::prereq::{About, Check, Evidence, Facts, Policy, Route, Source, Subject, Verdict, judge};

const ACS: &str = "faced04c-2ced-433d-90db-063e424b87b1";
const OBJECT_ID: &str = "5c802b19-0000-0000-0000-000000000010";

/// Longer than any clearance is good for.
pub(crate) const TOO_LONG: Duration = Duration::from_secs(31);

/// Somebody whose Teams client is to be rung.
pub(crate) fn at_teams(name: &str) -> Callee {
    Callee::Teams(TeamsUser {
        subject: Subject::person(&format!("{name}@example.com")),
        ways: vec![TeamsWay { route: Route::Voip, carrier: Some(Carrier::Acs(AcsId::new("main").unwrap())) }],
        name: name.to_owned(),
        person: Some(PersonId::new(name).unwrap()),
        asker: None,
        unless_engaged: false,
    })
}

/// Teams users rung together, for so many seconds.
pub(crate) fn attempt_at_teams(names: &[&str], seconds: u64) -> Attempt {
    Attempt::new(names.iter().map(|name| at_teams(name)).collect(), Duration::from_secs(seconds))
}

/// What the engine gives for a wish, as of `given`.
pub(crate) fn clearance(wish: &TeamsUser, given: Instant) -> TeamsAddress {
    let now = SystemTime::now(); // its length is what counts, and `given` says from when
    let way = wish.ways.first().expect("a wish has a way");
    let evidence = Check::ALL.iter().map(|check| {
        let about = match check.about() {
            About::Tenant => Subject::Tenant,
            About::Person => wish.subject.clone(),
        };
        let evidence = Evidence::new(*check, about, Verdict::Pass, "ok", Source::Graph, now);
        match check {
            Check::AcsId | Check::Federation => evidence.with_value(ACS),
            Check::Exists => evidence.with_value(OBJECT_ID),
            _ => evidence,
        }
    });
    let judged = judge(&Facts {
        target: wish.subject.clone(),
        route: way.route,
        evidence: evidence.collect(),
        policy: Policy::default(),
        client_id: None,
        now,
    });
    let clearance = judged.clearance.unwrap_or_else(|| panic!("{:#?}", judged.findings));
    let carrier = way.carrier.clone().expect("their way has a carrier");
    TeamsAddress::new(clearance, carrier, given).expect("a resource reaches a client")
}
