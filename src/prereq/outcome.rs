//! What a real call proves of the checks behind its clearance.
//!
//! | over | what became of it | proves |
//! |---|---|---|
//! | VOIP | answered | federation, allow-list, ACS, external access, licence, Enterprise Voice |
//! | VOIP | 403, or 10124 | no federation: ACS does not say whose setting refused it |
//! | VOIP | 403/7507, 403/7509 | nothing about Teams: the key is another resource's, or wrong |
//! | Direct Routing | answered | trunk, licence, Enterprise Voice, Teams Only |
//! | Direct Routing | 404 | the number is not assigned |
//! | Direct Routing | 403 with 510560 to 510562 | Enterprise Voice is off |
//! | VOIP | 404 | no such user |
//! | PSTN | anything | nothing: whoever answered a telephone, or did not |
//!
//! Busy, declined and not answered are a person's doing and prove that the way works no more than that it does not.

use std::time::SystemTime;

use super::check::{Check, Route};
use super::evidence::{Evidence, Source, Subject, Verdict};

/// What became of a call that was cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The person answered.
    Answered,
    /// A network refused it.
    Refused {
        /// As what.
        why: Refused,
        /// In its own words and numbers: `ACS 403/7504`.
        said: String,
    },
}

/// As what a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Not allowed.
    Forbidden,
    /// Nobody of that name or number.
    NotFound,
    /// Anything else that no person does.
    Otherwise,
}

/// What it proves.
pub(super) fn evidence(route: Route, person: &Subject, outcome: &Outcome, at: SystemTime) -> Vec<Evidence> {
    use Check::*;
    let pass = |check: Check| say(check, person, Verdict::Pass, "answered", at);
    let fail =
        |check: Check, code, said: &str| vec![say(check, person, Verdict::Fail, code, at).saying(said)];
    match (route, outcome) {
        (Route::Voip, Outcome::Answered) => {
            [Federation, ResourceAllowed, AcsReachable, ExternalAccess, Licence, EnterpriseVoice]
                .map(pass)
                .into()
        }
        (Route::DirectRouting, Outcome::Answered) => {
            [TrunkUp, Licence, EnterpriseVoice, TeamsOnly].map(pass).into()
        }
        (Route::Voip, Outcome::Refused { why, said }) => {
            let own_fault = names(said, &[7507, 7509]);
            match why {
                Refused::Forbidden if !own_fault => fail(Federation, "call_refused", said),
                _ if names(said, &[10124]) => fail(Federation, "call_refused", said),
                Refused::NotFound => fail(Exists, "call_not_found", said),
                Refused::Forbidden | Refused::Otherwise => Vec::new(),
            }
        }
        (Route::DirectRouting, Outcome::Refused { why, said }) => match why {
            Refused::NotFound => fail(TeamsNumber, "call_not_found", said),
            Refused::Forbidden if names(said, &[510_560, 510_561, 510_562]) => {
                fail(EnterpriseVoice, "call_refused", said)
            }
            Refused::Forbidden | Refused::Otherwise => Vec::new(),
        },
        (Route::Pstn, _) => Vec::new(),
    }
}

fn say(check: Check, person: &Subject, verdict: Verdict, code: &'static str, at: SystemTime) -> Evidence {
    let subject = match check.about() {
        super::check::About::Tenant => Subject::Tenant,
        super::check::About::Person => person.clone(),
    };
    Evidence::new(check, subject, verdict, code, Source::CallOutcome, at)
}

/// Whether one of these numbers stands in what a network said.
fn names(said: &str, numbers: &[u32]) -> bool {
    let mut found = said.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse::<u32>().ok());
    found.any(|number| numbers.contains(&number))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn of(route: Route, outcome: &Outcome) -> Vec<(&'static str, Verdict)> {
        let person = Subject::person("adele@example.com");
        let all = evidence(route, &person, outcome, UNIX_EPOCH);
        assert!(all.iter().all(|one| one.source == Source::CallOutcome));
        all.iter().map(|one| (one.check.id(), one.verdict)).collect()
    }

    fn refused(why: Refused, said: &str) -> Outcome {
        Outcome::Refused { why, said: said.into() }
    }

    #[test]
    fn what_a_call_proves_is_this() {
        use Refused::*;
        use Verdict::{Fail, Pass};
        let voip = of(Route::Voip, &Outcome::Answered);
        assert_eq!(
            voip.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            ["T07", "T08", "T09", "U09", "U03", "U04"]
        );
        let trunk = of(Route::DirectRouting, &Outcome::Answered);
        assert_eq!(trunk.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["T13", "U03", "U04", "U12"]);
        assert!(voip.iter().chain(&trunk).all(|(_, verdict)| *verdict == Pass));
        for (route, outcome, right) in [
            (Route::Voip, refused(Forbidden, "ACS 403/7504"), vec![("T07", Fail)]),
            (Route::Voip, refused(Forbidden, "ACS 403/0"), vec![("T07", Fail)]),
            (Route::Voip, refused(Otherwise, "ACS 400/10124"), vec![("T07", Fail)]),
            (Route::Voip, refused(Forbidden, "ACS 403/7507"), vec![]),
            (Route::Voip, refused(NotFound, "ACS 404/0"), vec![("U01", Fail)]),
            (Route::Voip, refused(Otherwise, "ACS 480/10037"), vec![]),
            (Route::DirectRouting, refused(NotFound, "404 Not Found"), vec![("U07", Fail)]),
            (Route::DirectRouting, refused(Forbidden, "403 Forbidden"), vec![]),
            (Route::DirectRouting, refused(Forbidden, "403 510561"), vec![("U04", Fail)]),
            (Route::DirectRouting, refused(Otherwise, "503 Service Unavailable"), vec![]),
            (Route::Pstn, refused(NotFound, "404 Not Found"), vec![]),
            (Route::Pstn, Outcome::Answered, vec![]),
        ] {
            assert_eq!(of(route, &outcome), right, "{route} {outcome:?}");
        }
    }

    #[test]
    fn the_words_of_the_network_are_kept() {
        let person = Subject::person("adele@example.com");
        let said = evidence(Route::Voip, &person, &refused(Refused::Forbidden, "ACS 403/7505"), UNIX_EPOCH);
        assert_eq!(said[0].detail, "ACS 403/7505");
    }
}
