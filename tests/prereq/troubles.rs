//! Services that are down, slow, throttled or somebody else.

use std::time::Duration;

use sidetone::prereq::account::test;
use sidetone::prereq::{Check, Route, Subject, Verdict};

use crate::stage::{ADELE, Stage};

#[tokio::test]
async fn only_entra_itself_can_blame_the_secret() {
    let wrong = r#"{"error":"invalid_client","error_codes":[7000215],"correlation_id":"c-1"}"#;
    for (fault, verdict, message, hint) in [
        (None, Verdict::Pass, None, None),
        (
            Some((401, wrong)),
            Verdict::Fail,
            Some("Error: Failed to request refresh token"),
            Some("secret_wrong"),
        ),
        (Some((503, "")), Verdict::Unknown, None, Some("identity_unavailable")),
        (Some((429, "{}")), Verdict::Unknown, None, Some("identity_unavailable")),
        (Some((200, "<html>hotel</html>")), Verdict::Unknown, None, Some("unreachable")),
        (Some((403, "<html>proxy</html>")), Verdict::Unknown, None, Some("unreachable")),
        (Some((401, r#"{"error":{"code":"x"}}"#)), Verdict::Unknown, None, Some("unreachable")),
        (Some((401, r#"{"error":"invalid_client"}"#)), Verdict::Unknown, None, Some("unreachable")),
    ] {
        let stage = Stage::new().await;
        stage.cloud.world().token_fault = fault.map(|(status, body)| (status, body.to_owned()));
        let account = stage.engine.account(&stage.tenant).unwrap();
        let tested = test(&account).await;
        assert_eq!((tested.verdict, tested.message, tested.hint), (verdict, message, hint), "{fault:?}");
    }
}

#[tokio::test]
async fn a_token_endpoint_that_is_gone_leaves_what_is_known_in_force() {
    let stage = Stage::new().await;
    assert!(stage.clear(ADELE, Route::Voip).await);
    let account = stage.engine.account(&stage.tenant).unwrap();
    stage.cloud.world().token_fault = Some((503, String::new()));
    account.graph.forget_token();
    assert_eq!(test(&account).await.verdict, Verdict::Unknown);
    assert!(stage.clear(ADELE, Route::Voip).await, "fresh evidence decides");
}

#[tokio::test]
async fn an_incomplete_account_makes_no_request() {
    let stage = Stage::new().await;
    let mut settings = stage.settings().clone();
    settings.object_id = None;
    stage.engine.configure(&[settings]);
    let tested = test(&stage.engine.account(&stage.tenant).unwrap()).await;
    assert_eq!(tested.message, Some("Error: Account credentials are incomplete"));
    assert!(stage.cloud.world().token_requests.is_empty());
}

#[tokio::test]
async fn two_hundred_who_ask_at_once_cause_one_read_of_each() {
    let stage = Stage::new().await;
    stage.cloud.world().held = true;
    let target = Subject::person(ADELE);
    let asking: Vec<_> = (0..200)
        .map(|_| {
            let (engine, tenant, target) = (stage.engine.clone(), stage.tenant.clone(), target.clone());
            tokio::spawn(async move { engine.facts(&tenant, &target, Route::Voip, None).await })
        })
        .collect();
    tokio::task::yield_now().await;
    stage.cloud.let_go();
    for one in asking {
        let facts = one.await.unwrap();
        assert!(sidetone::prereq::clear(&facts).is_ok(), "{:?}", sidetone::prereq::assess(&facts));
    }
    let id = format!("/users/{ADELE}");
    assert_eq!(stage.cloud.world().asked.get(&id), Some(&1));
    for path in ["/admin/teams/userConfigurations", "/communications", "/applications", "/subscriptions"] {
        assert_eq!(stage.cloud.asked(path), 1, "{path}");
    }
    // One token for Graph; ARM is at the same address here.
    assert_eq!(stage.cloud.world().token_requests.len(), 1);
}

#[tokio::test]
async fn nobody_waits_longer_than_the_budget_and_the_read_goes_on() {
    let stage = Stage::new().await;
    let engine = stage.hurried();
    stage.cloud.world().held = true;
    let target = Subject::person(ADELE);
    let asked = engine.facts(&stage.tenant, &target, Route::Pstn, None);
    let facts = tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap();
    assert!(sidetone::prereq::clear(&facts).is_err(), "nothing is known yet");
    stage.cloud.let_go();
    // The same read, joined: nobody asks a second time.
    let known = async {
        loop {
            let facts = engine.facts(&stage.tenant, &target, Route::Pstn, None).await;
            if sidetone::prereq::clear(&facts).is_ok() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), known).await.unwrap();
    assert_eq!(stage.cloud.world().asked.get(&format!("/users/{ADELE}")), Some(&1));
}

#[tokio::test]
async fn a_throttled_part_is_asked_again_and_no_other() {
    let stage = Stage::new().await;
    stage.cloud.world().faults.push(("/admin/teams/userConfigurations".into(), 429));
    let (verdict, code) = stage.one(ADELE, Route::Voip, Check::EnterpriseVoice).await;
    assert_eq!((verdict, &*code), (Verdict::Unknown, "source_unavailable"));
    assert_eq!(stage.cloud.asked("/admin/teams/userConfigurations"), 3);
    assert_eq!(stage.cloud.world().asked.get(&format!("/users/{ADELE}")), Some(&1));
}

/// As operators see it: nothing in the finding or its remedy speaks of a secret.
async fn token_finding(stage: &Stage) -> sidetone::prereq::Finding {
    let all = stage.findings(ADELE, Route::Voip).await;
    let token = all.into_iter().find(|finding| finding.check == Check::Token).unwrap();
    let remedy = token.remedy.as_ref().unwrap();
    let told = format!("{} {:?} {}", token.code, token.evidence, remedy.text);
    for word in ["secret", "wrong", "expired"] {
        assert!(!told.contains(word), "{told}");
    }
    token
}

fn nobody_there() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_token_endpoint_that_is_down_is_named_and_nothing_is_blamed() {
    let stage = Stage::new().await;
    let gone = nobody_there();
    let mut settings = stage.settings().clone();
    settings.authority = format!("http://{gone}").into();
    stage.engine.configure(&[settings]);
    let tested = test(&stage.engine.account(&stage.tenant).unwrap()).await;
    assert_eq!((tested.verdict, tested.message, tested.hint), (Verdict::Unknown, None, Some("unreachable")));
    assert_eq!(tested.host, Some(gone));
    let token = token_finding(&stage).await;
    assert_eq!((token.verdict, &*token.code), (Verdict::Unknown, "unreachable"));
}

#[tokio::test]
async fn a_token_endpoint_that_does_not_answer_in_time_is_not_blamed_on_the_secret() {
    let stage = Stage::new().await;
    stage.cloud.world().held = true;
    // Nothing moves but the clock, which jumps to the limit of the request.
    tokio::time::pause();
    let tested = test(&stage.engine.account(&stage.tenant).unwrap()).await;
    assert_eq!((tested.verdict, tested.message, tested.hint), (Verdict::Unknown, None, Some("unreachable")));
    let token = token_finding(&stage).await;
    assert_eq!(token.verdict, Verdict::Unknown);
}

#[tokio::test]
async fn a_graph_that_is_down_sends_nobody_to_change_a_person() {
    let stage = Stage::new().await;
    stage.cloud.world().faults.push(("/v1.0/$batch".into(), 503));
    for check in [Check::Exists, Check::Licence, Check::EnterpriseVoice] {
        let all = stage.findings(ADELE, Route::Voip).await;
        let one = all.into_iter().find(|finding| finding.check == check).unwrap();
        assert_eq!((one.verdict, &*one.code), (Verdict::Unknown, "source_unavailable"), "{check}");
        let command = one.remedy.unwrap().command.unwrap();
        assert!(!command.contains("Set-Cs"), "{check}: {command}");
    }
}

#[tokio::test]
async fn a_machines_identity_has_no_application_and_no_secret_that_ends() {
    let stage = Stage::new().await;
    let mut settings = stage.settings().clone();
    let endpoint = format!("{}/machine/oauth2/v2.0/token", stage.cloud.base()).into();
    settings.credential = sbc_config::AppCredential::ManagedIdentity { endpoint };
    (settings.client_id, settings.object_id) = (None, None);
    stage.engine.configure(&[settings]);
    for (check, verdict, code) in [
        (Check::Token, Verdict::Pass, "token"),
        (Check::Roles, Verdict::Pass, "granted"),
        (Check::ObjectId, Verdict::NotApplicable, "managed_identity"),
        (Check::SecretExpiry, Verdict::NotApplicable, "managed_identity"),
    ] {
        assert_eq!(stage.one(ADELE, Route::Voip, check).await, (verdict, code.to_owned()), "{check}");
    }
    assert_eq!(stage.cloud.asked("/applications"), 0);
}

#[tokio::test]
async fn an_acs_endpoint_that_answers_anything_is_reachable() {
    let stage = Stage::new().await;
    for (endpoint, verdict, code) in [
        (stage.cloud.base(), Verdict::Pass, "answers"),
        (format!("http://{}", nobody_there()), Verdict::Fail, "unreachable"),
    ] {
        let mut answer = stage.engine.try_acs(&stage.tenant, &endpoint.into()).unwrap();
        let _ = answer.changed().await;
        assert_eq!(stage.one(ADELE, Route::Voip, Check::AcsReachable).await, (verdict, code.to_owned()));
    }
}
