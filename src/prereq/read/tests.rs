//! Answers as Graph gives them, and some it should not give.

use std::time::UNIX_EPOCH;

use serde_json::json;

use super::*;

const OFFICE: [Phone; 1] = [Phone::Business];

fn adele() -> Answers {
    Answers {
        user: Answer::Got(json!({"id": "5c802b19-0000-0000-0000-000000000010",
            "userPrincipalName": "Adele@example.com", "userType": "Member", "accountEnabled": true,
            "businessPhones": ["+14255550100"], "mobilePhone": "+1 425 555 0199", "faxNumber": null})),
        licences: licensed("MCOEV", "Success"),
        voice: Answer::Got(json!({"accountType": "user", "isEnterpriseVoiceEnabled": true,
            "featureTypes": ["Teams"],
            "telephoneNumbers": [{"telephoneNumber": "+14255550102", "assignmentCategory": "private"},
                {"telephoneNumber": "+14255550101", "assignmentCategory": "primary"}]})),
        numbers: Answer::Got(json!({"value": [{"telephoneNumber": "+14255550101",
            "numberType": "directRouting", "activationState": "activated"}]})),
    }
}

fn licensed(plan: &str, status: &str) -> Answer {
    Answer::Got(json!({"value": [{"servicePlans":
        [{"servicePlanId": "00000000-0000-0000-0000-000000000000", "servicePlanName": plan,
          "provisioningStatus": status}]}]}))
}

fn read(answers: &Answers, check: Check) -> (Verdict, String) {
    let found = person(&Subject::person("adele@example.com"), answers, &OFFICE, UNIX_EPOCH);
    let found = found.into_iter().find(|evidence| evidence.check == check);
    found.map_or((Verdict::Unknown, "nothing".to_owned()), |found| (found.verdict, found.code.into_owned()))
}

fn with(change: impl FnOnce(&mut Answers)) -> Answers {
    let mut answers = adele();
    change(&mut answers);
    answers
}

/// `answer` with one field changed; null takes it away as Graph does.
fn set(answer: &mut Answer, field: &str, value: Value) {
    let Answer::Got(body) = answer else { panic!("{answer:?}") };
    body[field] = value;
}

#[test]
fn a_ready_person_passes_everything_that_graph_can_say() {
    for check in [
        Check::Exists,
        Check::Kind,
        Check::Licence,
        Check::EnterpriseVoice,
        Check::OfficePhone,
        Check::TeamsNumber,
    ] {
        assert_eq!(read(&adele(), check).0, Verdict::Pass, "{check}");
    }
    let names: Vec<_> = names(&adele().user).iter().map(ToString::to_string).collect();
    assert_eq!(names, ["person:5c802b19-0000-0000-0000-000000000010", "person:adele@example.com"]);
}

#[test]
fn what_the_directory_says() {
    use Verdict::*;
    let cases: Vec<(Answers, Check, Verdict, &str)> = vec![
        (with(|a| set(&mut a.user, "accountEnabled", json!(false))), Check::Exists, Fail, "account_disabled"),
        (with(|a| set(&mut a.user, "accountEnabled", json!(null))), Check::Exists, Unknown, "not_said"),
        (with(|a| a.user = Answer::NotFound), Check::Exists, Fail, "no_such_user"),
        (with(|a| a.user = Answer::Forbidden("User.Read.All")), Check::Exists, Unknown, "permission_missing"),
        (with(|a| a.user = Answer::Failed("503".into())), Check::Exists, Unknown, "source_unavailable"),
        (with(|a| a.user = Answer::Got(json!([]))), Check::Exists, Unknown, "not_said"),
        (with(|a| set(&mut a.user, "userType", json!("Guest"))), Check::Kind, Fail, "guest"),
        (with(|a| set(&mut a.user, "userPrincipalName", json!("g#EXT#@x"))), Check::Kind, Fail, "guest"),
        (with(|a| set(&mut a.user, "userType", json!(null))), Check::Kind, Unknown, "kind_unknown"),
        (with(|a| set(&mut a.user, "userType", json!("Alien"))), Check::Kind, Unknown, "kind_unknown"),
        (
            with(|a| set(&mut a.voice, "accountType", json!("resourceAccount"))),
            Check::Kind,
            Fail,
            "resource_account",
        ),
        (
            with(|a| set(&mut a.voice, "accountType", json!("ineligibleUser"))),
            Check::Kind,
            Fail,
            "ineligible_user",
        ),
        (with(|a| set(&mut a.voice, "accountType", json!("somethingNew"))), Check::Kind, Pass, "member"),
        (
            with(|a| a.licences = licensed("MCOEV_VIRTUALUSER_GOV", "Success")),
            Check::Kind,
            Fail,
            "resource_account",
        ),
        (
            with(|a| set(&mut a.user, "businessPhones", json!([]))),
            Check::OfficePhone,
            Fail,
            "no_number_listed",
        ),
        (
            with(|a| set(&mut a.user, "businessPhones", json!(null))),
            Check::OfficePhone,
            Fail,
            "no_number_listed",
        ),
        (
            with(|a| set(&mut a.user, "businessPhones", json!([" "]))),
            Check::OfficePhone,
            Fail,
            "no_number_listed",
        ),
    ];
    for (answers, check, verdict, code) in cases {
        assert_eq!(read(&answers, check), (verdict, code.to_owned()), "{check} {code}");
    }
}

#[test]
fn licences_in_every_state() {
    use Verdict::*;
    for (plan, status, verdict, code) in [
        ("MCOEV", "Success", Pass, "licensed"),
        ("MCOEV_GOV", "Success", Pass, "licensed"),
        ("mcoevsmb", "success", Pass, "licensed"),
        ("MCOEV", "PendingInput", Unknown, "pending"),
        ("MCOEV", "PendingActivation", Unknown, "pending"),
        ("MCOEV", "PendingProvisioning", Unknown, "pending"),
        ("MCOEV", "Disabled", Fail, "licence_disabled"),
        ("MCOEV", "Error", Fail, "licence_disabled"),
        ("MCOEV", "Hibernating", Unknown, "status_unknown"),
        ("MCOEV_VIRTUALUSER", "Success", Fail, "no_phone_licence"),
        ("MCOPSTN1", "Success", Fail, "no_phone_licence"),
        ("TEAMS1", "Success", Fail, "no_phone_licence"),
    ] {
        let answers = with(|a| a.licences = licensed(plan, status));
        assert_eq!(read(&answers, Check::Licence), (verdict, code.to_owned()), "{plan} {status}");
    }
    let by_id = json!({"value": [{"servicePlans": [{"servicePlanId": "4828C8EC-dc2e-4779-b502-87ac9ce28ab7",
        "servicePlanName": "RENAMED", "provisioningStatus": "Success"}]}]});
    assert_eq!(read(&with(|a| a.licences = Answer::Got(by_id)), Check::Licence).0, Pass);
    let pending_with_feature = with(|a| {
        a.licences = Answer::Forbidden("LicenseAssignment.Read.All");
        set(&mut a.voice, "featureTypes", json!(["Teams", "PhoneSystem"]));
    });
    assert_eq!(read(&pending_with_feature, Check::Licence), (Pass, "phone_system_feature".into()));
}

#[test]
fn what_teams_says() {
    use Verdict::*;
    let number = |kind: &str, state: Value| {
        Answer::Got(
            json!({"value": [{"telephoneNumber": "+14255550101", "numberType": kind, "activationState": state}]}),
        )
    };
    let cases: Vec<(Answers, Check, Verdict, &str)> = vec![
        (
            with(|a| set(&mut a.voice, "isEnterpriseVoiceEnabled", json!(false))),
            Check::EnterpriseVoice,
            Fail,
            "off",
        ),
        (
            with(|a| set(&mut a.voice, "isEnterpriseVoiceEnabled", json!(null))),
            Check::EnterpriseVoice,
            Unknown,
            "not_said",
        ),
        (
            with(|a| a.voice = Answer::Got(json!({"value": {"isEnterpriseVoiceEnabled": true}}))),
            Check::EnterpriseVoice,
            Pass,
            "on",
        ),
        (with(|a| a.voice = Answer::NotFound), Check::EnterpriseVoice, Fail, "not_a_teams_user"),
        (with(|a| a.voice = Answer::NotHere), Check::EnterpriseVoice, Unknown, "not_in_this_cloud"),
        (
            with(|a| a.numbers = number("callingPlan", json!("activated"))),
            Check::TeamsNumber,
            Fail,
            "number_of_other_kind",
        ),
        (
            with(|a| a.numbers = number("directRouting", json!("assignmentPending"))),
            Check::TeamsNumber,
            Fail,
            "number_not_activated",
        ),
        (with(|a| a.numbers = number("directRouting", json!(null))), Check::TeamsNumber, Unknown, "not_said"),
        (
            with(|a| a.numbers = Answer::Got(json!({"value": []}))),
            Check::TeamsNumber,
            Fail,
            "no_number_assigned",
        ),
        (
            with(|a| a.numbers = Answer::Forbidden("TeamsTelephoneNumber.Read.All")),
            Check::TeamsNumber,
            Unknown,
            "permission_missing",
        ),
        (adele(), Check::TeamsOnly, Unknown, "nothing"),
        (
            with(|a| set(&mut a.voice, "accountType", json!("sfbOnPremUser"))),
            Check::TeamsOnly,
            Fail,
            "homed_on_premises",
        ),
    ];
    for (answers, check, verdict, code) in cases {
        assert_eq!(read(&answers, check), (verdict, code.to_owned()), "{check} {code}");
    }
}

#[test]
fn the_first_listed_phone_that_exists_is_the_one() {
    let value = |phones: &[Phone], answers: &Answers| {
        let found = person(&Subject::person("adele"), answers, phones, UNIX_EPOCH);
        found.into_iter().find(|evidence| evidence.check == Check::OfficePhone).unwrap().value
    };
    assert_eq!(value(&[Phone::Teams, Phone::Business], &adele()).as_deref(), Some("+14255550101"));
    assert_eq!(value(&[Phone::Fax, Phone::Mobile], &adele()).as_deref(), Some("+1 425 555 0199"));
    let no_voice = with(|a| a.voice = Answer::Failed("timed out".into()));
    assert_eq!(value(&[Phone::Teams, Phone::Business], &no_voice).as_deref(), Some("+14255550100"));
}

#[test]
fn presence_shows_what_it_does_not_know() {
    let subject = Subject::person("adele");
    let read = |entry: Option<Value>| {
        presence(&subject, entry.as_ref(), UNIX_EPOCH)
            .into_iter()
            .map(|evidence| (evidence.verdict, evidence.code.into_owned(), evidence.detail))
            .collect::<Vec<_>>()
    };
    let busy = read(Some(json!({"availability": "Busy", "activity": "InACall",
        "outOfOfficeSettings": {"isOutOfOffice": true, "message": null}})));
    assert_eq!(busy[0], (Verdict::Fail, "busy".into(), "out of office".into()));
    assert_eq!(busy[1].0, Verdict::Unknown);
    assert_eq!(read(Some(json!({"availability": "offline"})))[1].0, Verdict::Fail);
    for nothing in [None, Some(json!({"availability": null})), Some(json!({"availability": "Levitating"}))] {
        assert_eq!(read(nothing)[0].0, Verdict::Unknown);
    }
}
