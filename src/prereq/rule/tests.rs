//! Every check, every verdict, every route; then what follows from what.

use std::time::{Duration, UNIX_EPOCH};

use super::super::{Clearance, Source, clear};
use super::*;

const ACS: &str = "faced04c-2ced-433d-90db-063e424b87b1";
const ADELE: &str = "5c802b19-0000-0000-0000-000000000010";

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn said(check: Check, verdict: Verdict, code: &'static str) -> Evidence {
    let subject = match check.about() {
        About::Tenant => Subject::Tenant,
        About::Person => Subject::person(ADELE),
    };
    Evidence::new(check, subject, verdict, code, Source::Graph, now())
}

/// Somebody for whom everything is in order.
fn ready(route: Route) -> Facts {
    let mut evidence: Vec<_> = Check::ALL.iter().map(|check| said(*check, Verdict::Pass, "ok")).collect();
    for one in &mut evidence {
        one.value = match one.check {
            Check::AcsId => Some(ACS.into()),
            Check::Federation => Some(ACS.into()),
            Check::Exists => Some(ADELE.into()),
            Check::OfficePhone => Some("+1 425 555 0100".into()),
            Check::TeamsNumber => Some("+14255550100;ext=7".into()),
            _ => None,
        };
    }
    // What follows from others is not said by anybody.
    evidence.retain(|one| !matches!(one.check, Check::ResourceAllowed | Check::Number | Check::NumbersAgree));
    let policy = Policy::default();
    Facts { target: Subject::person(ADELE), route, evidence, policy, client_id: None, now: now() }
}

fn change(facts: &mut Facts, check: Check, change: impl FnOnce(&mut Evidence)) {
    change(facts.evidence.iter_mut().find(|one| one.check == check).unwrap());
}

fn finding(facts: &Facts, check: Check) -> Finding {
    assess(facts).into_iter().find(|finding| finding.check == check).unwrap()
}

#[test]
fn every_check_with_every_verdict_on_every_route() {
    let mut seen = 0;
    for route in Route::ALL {
        for check in Check::ALL.iter().copied() {
            for verdict in Verdict::ALL {
                let mut facts = ready(route);
                facts.evidence.retain(|one| one.check != check);
                // A check that follows from others is overruled by what is seen later.
                let mut one = said(check, verdict, "x");
                one.value = match check {
                    Check::AcsId | Check::Federation => Some(ACS.into()),
                    Check::Exists => Some(ADELE.into()),
                    Check::OfficePhone | Check::TeamsNumber => Some("+14255550100".into()),
                    Check::Number => Some("+14255550100".into()),
                    _ => None,
                };
                one.observed_at += Duration::from_secs(1);
                if verdict == Verdict::Unknown {
                    let sources: &[Check] = match check {
                        Check::ResourceAllowed => &[Check::Federation],
                        Check::Number => &[Check::OfficePhone, Check::TeamsNumber],
                        // The number that this route does not dial.
                        Check::NumbersAgree if route == Route::Pstn => &[Check::TeamsNumber],
                        Check::NumbersAgree => &[Check::OfficePhone],
                        _ => &[],
                    };
                    for source in sources {
                        change(&mut facts, *source, |one| one.value = None);
                    }
                }
                facts.evidence.push(one);
                let found = assess(&facts).into_iter().find(|finding| finding.check == check);
                let what = format!("{route} {check} {verdict:?}");
                let need = check.need(route);
                let Some(found) = found else {
                    assert_eq!(need, Need::Not, "{what}");
                    continue;
                };
                seen += 1;
                assert_eq!(found.verdict, verdict, "{what}");
                let lenient = matches!(check.class(), Class::Connection | Class::Presence);
                let right = match (need, verdict) {
                    (_, Verdict::Pass | Verdict::NotApplicable) => Weight::Clear,
                    (Need::Required, Verdict::Fail) => Weight::Refuses,
                    (Need::Required, Verdict::Unknown) if !lenient => Weight::Refuses,
                    _ => Weight::Warns,
                };
                assert_eq!(found.weight, right, "{what}");
                assert_eq!(found.remedy.is_some(), right != Weight::Clear, "{what}");
                assert_eq!(clear(&facts).is_err(), right == Weight::Refuses, "{what}");
            }
        }
    }
    assert_eq!(seen, (19 + 13 + 16) * 4);
}

#[test]
fn the_policy_for_the_unknown_is_per_class() {
    for class in Class::ALL {
        for (policy, right) in [
            (OnUnknown::Refuse, Weight::Refuses),
            (OnUnknown::Warn, Weight::Warns),
            (OnUnknown::Allow, Weight::Clear),
        ] {
            assert_eq!(weigh(Need::Required, Verdict::Unknown, false, policy), right, "{class:?}");
        }
        let mut facts = ready(Route::Voip);
        facts.policy.unknown = UnknownPolicy {
            connection: OnUnknown::Allow,
            federation: OnUnknown::Warn,
            identity: OnUnknown::Refuse,
            voice: OnUnknown::Allow,
            number: OnUnknown::Warn,
            authorisation: OnUnknown::Refuse,
            presence: OnUnknown::Allow,
        };
        let right = match class {
            Class::Connection | Class::Voice | Class::Presence => OnUnknown::Allow,
            Class::Federation | Class::Number => OnUnknown::Warn,
            Class::Identity | Class::Authorisation => OnUnknown::Refuse,
        };
        assert_eq!(facts.policy.on_unknown(class), right);
    }
    assert_eq!(weigh(Need::Advisory, Verdict::Unknown, false, OnUnknown::Refuse), Weight::Warns);
}

#[test]
fn a_clearance_names_whom_over_what_and_until_when() {
    let voip: Clearance = clear(&ready(Route::Voip)).unwrap();
    assert_eq!(voip.address(), &Address::Teams(ADELE.into()));
    assert_eq!((voip.route(), voip.subject()), (Route::Voip, &Subject::person(ADELE)));
    assert!(voip.good_at(now()) && voip.good_at(now() + Duration::from_secs(29)));
    assert!(!voip.good_at(now() + Duration::from_secs(30)) && !voip.good_at(now() - Duration::from_secs(1)));
    let pstn = clear(&ready(Route::Pstn)).unwrap();
    assert_eq!(pstn.address(), &Address::Number("+14255550100".into()));
    let direct = clear(&ready(Route::DirectRouting)).unwrap();
    assert_eq!(
        direct.address(),
        &Address::Number("+14255550100;ext=7".into()),
        "in full, or the lookup fails"
    );
    assert!(!format!("{direct:?}").contains("4255550100"), "no number in Debug");
}

#[test]
fn a_clearance_ends_with_what_the_route_needs_and_outlives_what_only_advises() {
    let life = |facts: &Facts| clear(facts).unwrap().life().as_secs();
    for route in Route::ALL {
        for check in Check::ALL.iter().copied() {
            let mut facts = ready(route);
            let Some(own) = facts.evidence.iter_mut().find(|one| one.check == check) else { continue };
            own.expires_at = now() + Duration::from_secs(2);
            let right = if check.need(route) == Need::Required { 2 } else { 30 };
            assert_eq!(life(&facts), right, "{route} {check}");
        }
    }
    // Where presence decides, it is needed like the rest: ten seconds.
    let mut facts = ready(Route::Voip);
    facts.policy.presence_decides = vec![Route::Voip];
    assert_eq!(life(&facts), 10);
}

#[test]
fn our_resource_is_looked_up_on_the_list_that_came_with_the_federation() {
    for (list, id, verdict, code) in [
        (Some(ACS.to_uppercase()), Some(ACS), Verdict::Pass, "on_the_list"),
        (Some(String::new()), Some(ACS), Verdict::Fail, "not_on_the_list"),
        (Some("00000000-0000-0000-0000-000000000000".into()), Some(ACS), Verdict::Fail, "not_on_the_list"),
        (Some(ACS.into()), None, Verdict::Unknown, "acs_id_unknown"),
        (None, Some(ACS), Verdict::Unknown, "evidence_missing"),
    ] {
        let mut facts = ready(Route::Voip);
        change(&mut facts, Check::Federation, |one| one.value = list.clone());
        change(&mut facts, Check::AcsId, |one| one.value = id.map(Into::into));
        let found = finding(&facts, Check::ResourceAllowed);
        assert_eq!((found.verdict, &*found.code), (verdict, code));
        if verdict == Verdict::Fail {
            assert!(found.remedy.unwrap().command.unwrap().contains(&format!("$id  = '{ACS}'")));
        }
    }
    let mut proved = ready(Route::Voip);
    change(&mut proved, Check::Federation, |one| one.value = Some(String::new()));
    let mut outcome = said(Check::ResourceAllowed, Verdict::Pass, "answered");
    outcome.observed_at += Duration::from_secs(5);
    proved.evidence.push(outcome);
    assert_eq!(finding(&proved, Check::ResourceAllowed).code, "answered", "a later call proves more");
}

#[test]
fn guests_and_resource_accounts() {
    for (code, voip, pstn) in
        [("guest", Verdict::Fail, Verdict::Pass), ("resource_account", Verdict::Fail, Verdict::Fail)]
    {
        for (route, right) in [(Route::Voip, voip), (Route::Pstn, pstn), (Route::DirectRouting, voip)] {
            let mut facts = ready(route);
            change(&mut facts, Check::Kind, |one| (one.verdict, one.code) = (Verdict::Fail, code.into()));
            assert_eq!(finding(&facts, Check::Kind).verdict, right, "{code} {route}");
        }
    }
}

#[test]
fn numbers_that_cannot_be_dialled_are_not_guessed() {
    for (text, verdict, code) in [
        ("425 555 0100", Verdict::Fail, "number_needs_plus"),
        ("0049 89 1234567", Verdict::Fail, "number_needs_plus"),
        ("+1 425 FLOWERS", Verdict::Fail, "number_not_digits"),
        ("+1 425 555 0100 x7", Verdict::Pass, "number_has_extension"),
    ] {
        let mut facts = ready(Route::Pstn);
        change(&mut facts, Check::OfficePhone, |one| one.value = Some(text.into()));
        let found = finding(&facts, Check::Number);
        assert_eq!((found.verdict, &*found.code), (verdict, code), "{text}");
        assert_eq!(clear(&facts).is_ok(), verdict == Verdict::Pass, "{text}");
    }
    let mut differ = ready(Route::Pstn);
    change(&mut differ, Check::TeamsNumber, |one| one.value = Some("+14255550199".into()));
    assert_eq!(finding(&differ, Check::NumbersAgree).weight, Weight::Warns);
}

#[test]
fn a_bare_number_of_which_nothing_is_known_is_dialled_over_pstn_alone() {
    for route in Route::ALL {
        let mut facts = ready(route);
        facts.target = target("+1 425 555 0177").unwrap();
        facts.evidence.retain(|one| one.subject == Subject::Tenant);
        facts.evidence.push(Evidence::new(
            Check::Group,
            facts.target.clone(),
            Verdict::NotApplicable,
            "x",
            Source::Config,
            now(),
        ));
        match route {
            Route::Pstn => {
                assert_eq!(clear(&facts).unwrap().address(), &Address::Number("+14255550177".into()));
            }
            Route::Voip => {
                assert_eq!(finding(&facts, Check::Kind).code, "not_a_person");
                assert!(clear(&facts).is_err());
            }
            Route::DirectRouting => {
                assert_eq!(finding(&facts, Check::TeamsNumber).code, "evidence_missing");
                assert!(clear(&facts).is_err());
            }
        }
    }
}

#[test]
fn a_policy_of_the_whole_tenant_is_each_persons_unless_their_own_is_known() {
    let mut facts = ready(Route::Voip);
    facts.evidence.retain(|one| one.check != Check::ExternalAccess);
    let mut tenants = said(Check::ExternalAccess, Verdict::Fail, "no_policy_allows");
    tenants.subject = Subject::Tenant;
    facts.evidence.push(tenants);
    assert_eq!(finding(&facts, Check::ExternalAccess).code, "no_policy_allows");
    facts.evidence.push(said(Check::ExternalAccess, Verdict::Pass, "own_policy_allows"));
    assert_eq!(finding(&facts, Check::ExternalAccess).code, "own_policy_allows");
}

#[test]
fn presence_decides_only_where_it_was_told_to() {
    for (decides, verdict, right) in [
        (false, Verdict::Fail, Weight::Warns),
        (true, Verdict::Fail, Weight::Refuses),
        (true, Verdict::Unknown, Weight::Warns),
        (true, Verdict::Pass, Weight::Clear),
    ] {
        let mut facts = ready(Route::Voip);
        facts.policy.presence_decides = if decides { vec![Route::Voip] } else { vec![Route::Pstn] };
        change(&mut facts, Check::Presence, |one| one.verdict = verdict);
        assert_eq!(finding(&facts, Check::Presence).weight, right, "{decides} {verdict:?}");
    }
}

#[test]
fn what_has_expired_is_unknown_and_says_so() {
    let mut facts = ready(Route::Voip);
    change(&mut facts, Check::Licence, |one| one.expires_at = now());
    facts.evidence.retain(|one| one.check != Check::EnterpriseVoice);
    let licence = finding(&facts, Check::Licence);
    assert_eq!((licence.verdict, &*licence.code), (Verdict::Unknown, "evidence_expired"));
    assert_eq!(finding(&facts, Check::EnterpriseVoice).code, "evidence_missing");
}

#[test]
fn an_old_import_still_counts_with_a_warning() {
    let mut facts = ready(Route::Voip);
    change(&mut facts, Check::Federation, |one| {
        one.source = Source::Import;
        one.observed_at = now() - Duration::from_secs(8 * 24 * 3600);
        one.expires_at = now() + Duration::from_secs(1);
    });
    assert_eq!(finding(&facts, Check::Federation).weight, Weight::Warns);
    assert!(clear(&facts).is_ok());
}

#[test]
fn whom_a_caller_may_name() {
    assert_eq!(target(" Adele@Example.com "), Ok(Subject::person("adele@example.com")));
    assert_eq!(target("g_x#EXT#@acme.onmicrosoft.com"), Ok(Subject::person("g_x#ext#@acme.onmicrosoft.com")));
    assert!(matches!(target("+1 (425) 555-0100"), Ok(Subject::Number(_))));
    for bad in ["", "+12", "a b", "a/b", "a?b", "a\"b", "a\nb", &"a".repeat(300)] {
        assert!(target(bad).is_err(), "{bad}");
    }
}

/// A bare number over Direct Routing, with what the directory says of it.
fn by_number(assigned: Option<Evidence>) -> Facts {
    let number = target("+14255550100").unwrap();
    let mut facts = ready(Route::DirectRouting);
    facts.evidence.retain(|one| one.subject == Subject::Tenant);
    facts.evidence.extend(assigned);
    facts.evidence.push(Evidence { subject: number.clone(), ..said(Check::Group, Verdict::Pass, "ok") });
    facts.target = number;
    facts
}

fn assigned(verdict: Verdict, code: &'static str) -> Option<Evidence> {
    Some(Evidence { subject: target("+14255550100").unwrap(), ..said(Check::TeamsNumber, verdict, code) })
}

#[test]
fn a_number_at_teams_is_rung_when_it_is_assigned_and_whoever_has_it_is_in_order() {
    // A voice application: nobody has a licence to look at.
    let facts = by_number(assigned(Verdict::Pass, "direct_routing_number"));
    assert_eq!(clear(&facts).unwrap().address(), &Address::Number("+14255550100".into()));
    assert_eq!(finding(&facts, Check::Licence).verdict, Verdict::NotApplicable);

    for (verdict, code) in [(Verdict::Fail, "no_number_assigned"), (Verdict::Unknown, "permission_missing")] {
        let facts = by_number(assigned(verdict, code));
        let refusing = clear(&facts).unwrap_err();
        let refusing: Vec<_> = refusing.iter().filter(|one| one.weight == Weight::Refuses).collect();
        assert_eq!(refusing.len(), 1, "{refusing:?}");
        assert_eq!((refusing[0].check, &*refusing[0].code), (Check::TeamsNumber, code));
    }
    assert!(clear(&by_number(None)).is_err(), "nothing is known of it");

    // Somebody has it.
    for lacking in [Check::Licence, Check::EnterpriseVoice, Check::Exists, Check::Kind, Check::TeamsOnly] {
        let mut facts = by_number(assigned(Verdict::Pass, "direct_routing_number"));
        facts.evidence.extend(
            ready(Route::DirectRouting)
                .evidence
                .into_iter()
                .filter(|one| one.subject != Subject::Tenant && one.check != Check::Group),
        );
        assert!(clear(&facts).is_ok(), "{:?}", clear(&facts));
        change(&mut facts, lacking, |one| one.verdict = Verdict::Fail);
        assert!(clear(&facts).is_err(), "{lacking}");
    }
    let mut facts = by_number(assigned(Verdict::Pass, "direct_routing_number"));
    change(&mut facts, Check::TrunkUp, |one| one.verdict = Verdict::Fail);
    assert!(clear(&facts).is_err(), "the trunk is down");
}

#[test]
fn without_an_account_a_number_at_teams_is_rung_with_a_warning_and_a_person_is_not() {
    let number = target("+14255550100").unwrap();
    let group = Evidence { subject: number.clone(), ..said(Check::Group, Verdict::NotApplicable, "x") };
    let facts = |target: &Subject, route| Facts {
        target: target.clone(),
        route,
        evidence: vec![group.clone()],
        policy: Policy::without_account(target, route),
        client_id: None,
        now: now(),
    };
    let known = facts(&number, Route::DirectRouting);
    assert!(clear(&known).is_ok(), "{:?}", clear(&known));
    assert_eq!(finding(&known, Check::TeamsNumber).weight, Weight::Warns);
    let mut down = known;
    down.evidence.push(said(Check::TrunkUp, Verdict::Fail, "down"));
    assert!(clear(&down).is_err());
    assert!(clear(&facts(&Subject::person(ADELE), Route::DirectRouting)).is_err());
    assert!(clear(&facts(&number, Route::Voip)).is_err());
}
