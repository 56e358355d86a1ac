//! People of every kind, read from the simulated directory.

use serde_json::json;
use sidetone::prereq::{Check, Outcome, Refused, Route, Verdict};
use sidetone::sim::graph::Person;

use crate::stage::{ADELE, Stage};

#[tokio::test]
async fn somebody_in_order_is_cleared_over_every_route_by_either_name() {
    let stage = Stage::new().await;
    for name in [ADELE, "Adele@Example.com"] {
        for route in Route::ALL {
            assert!(
                stage.clear(name, route).await,
                "{name} {route}: {:?}",
                stage.findings(name, route).await
            );
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_person_is_said_by_name() {
    const OTHER: &str = "5c802b19-0000-0000-0000-000000000011";
    type Change = fn(&mut Person);
    let cases: [(Change, Route, Check, Verdict, &str); 8] = [
        (
            |p| p.voice["accountType"] = json!("resourceAccount"),
            Route::Pstn,
            Check::Kind,
            Verdict::Fail,
            "resource_account",
        ),
        (|p| p.user["userType"] = json!("Guest"), Route::Voip, Check::Kind, Verdict::Fail, "guest"),
        (|p| p.user["userType"] = json!("Guest"), Route::Pstn, Check::Kind, Verdict::Pass, "guest"),
        (
            |p| p.user["businessPhones"] = json!(["425 555 0100"]),
            Route::Pstn,
            Check::Number,
            Verdict::Fail,
            "number_needs_plus",
        ),
        (
            |p| p.user["businessPhones"] = json!(["+1 425 555 0100 x9"]),
            Route::Pstn,
            Check::Number,
            Verdict::Pass,
            "number_has_extension",
        ),
        (
            |p| {
                p.licences["value"][0]["servicePlans"][0]["provisioningStatus"] = json!("PendingActivation");
                p.voice["featureTypes"] = json!(["Teams"]);
            },
            Route::Voip,
            Check::Licence,
            Verdict::Unknown,
            "pending",
        ),
        (
            |p| p.voice["isEnterpriseVoiceEnabled"] = json!(null),
            Route::Voip,
            Check::EnterpriseVoice,
            Verdict::Unknown,
            "not_said",
        ),
        (
            |p| p.presence["availability"] = json!("Levitating"),
            Route::Voip,
            Check::Presence,
            Verdict::Unknown,
            "presence_unknown",
        ),
    ];
    for (change, route, check, verdict, code) in cases {
        let stage = Stage::new().await;
        let mut person = Person::ready(OTHER, "ben@example.com", "+14255550111");
        change(&mut person);
        stage.cloud.add(person);
        assert_eq!(stage.one(OTHER, route, check).await, (verdict, code.to_owned()), "{check}");
    }
}

#[tokio::test]
async fn nobody_of_that_name_is_not_rung() {
    let stage = Stage::new().await;
    assert_eq!(
        stage.one("nobody@example.com", Route::Pstn, Check::Exists).await,
        (Verdict::Fail, "no_such_user".into())
    );
    assert!(!stage.clear("nobody@example.com", Route::Pstn).await);
}

#[tokio::test]
async fn a_missing_permission_is_not_the_persons_fault() {
    let stage = Stage::new().await;
    stage.cloud.world().faults.push(("/admin/teams".into(), 403));
    let (verdict, code) = stage.one(ADELE, Route::Voip, Check::EnterpriseVoice).await;
    assert_eq!((verdict, &*code), (Verdict::Unknown, "permission_missing"));
}

#[tokio::test]
async fn a_call_that_was_answered_proves_the_federation() {
    let stage = Stage::new().await;
    let engine = stage.hurried();
    let target = sidetone::prereq::rule::target(ADELE).unwrap();
    let refused = Outcome::Refused { why: Refused::Forbidden, said: "ACS 403/7505".into() };
    engine.call_outcome(&stage.tenant, &target, Route::Voip, &refused, std::time::SystemTime::now());
    let federation = async |engine: &sidetone::prereq::Engine| {
        let facts = engine.facts(&stage.tenant, &target, Route::Voip, None).await;
        let all = sidetone::prereq::assess(&facts);
        let one = all.into_iter().find(|finding| finding.check == Check::Federation).unwrap();
        (one.verdict, one.evidence.unwrap().detail)
    };
    assert_eq!(
        federation(&engine).await,
        (Verdict::Fail, "ACS 403/7505".into()),
        "the code is shown as it came"
    );
    engine.call_outcome(
        &stage.tenant,
        &target,
        Route::Voip,
        &Outcome::Answered,
        std::time::SystemTime::now(),
    );
    assert_eq!(federation(&engine).await.0, Verdict::Pass);
}

/// Findings that refuse a number over Direct Routing.
async fn refusing(stage: &Stage, number: &str) -> Vec<(Check, String)> {
    let findings = stage.findings(number, Route::DirectRouting).await;
    let refusing = findings.into_iter().filter(|one| one.weight == sidetone::prereq::Weight::Refuses);
    refusing.map(|one| (one.check, one.code.to_string())).collect()
}

#[tokio::test]
async fn whoever_has_a_number_is_looked_at_when_it_is_dialled() {
    const OTHER: &str = "5c802b19-0000-0000-0000-000000000011";
    let stage = Stage::new().await;
    let mut person = Person::ready(OTHER, "ben@example.com", "+14255550111");
    person.voice["isEnterpriseVoiceEnabled"] = json!(false);
    stage.cloud.add(person);
    assert_eq!(refusing(&stage, "+14255550100").await, [], "Adele's");
    let wrong = [(Check::EnterpriseVoice, "off".to_owned())];
    assert_eq!(refusing(&stage, "+14255550111").await, wrong, "Ben's");
    let free = [(Check::TeamsNumber, "no_number_assigned".to_owned())];
    assert_eq!(refusing(&stage, "+14255550122").await, free, "nobody's");

    stage.cloud.world().numbers.push(
        json!({"telephoneNumber": "+14255550133", "numberType": "directRouting",
        "activationState": "activated", "assignmentStatus": "voiceApplicationAssigned",
        "assignmentTargetId": "5c802b19-0000-0000-0000-000000000099"}),
    );
    assert_eq!(refusing(&stage, "+14255550133").await, [], "a call queue has no licence to look at");

    stage.cloud.world().faults.push(("/admin/teams".into(), 403));
    let unknown = [(Check::TeamsNumber, "permission_missing".to_owned())];
    assert_eq!(refusing(&stage, "+14255550144").await, unknown);
}
