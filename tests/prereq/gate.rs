//! The gate before every dial, with the real engine behind it: two hundred who want one person at once cause one read of
//! each thing there is to read, counted at the simulated services; and what stands in the way is never blamed on a secret.

use std::collections::HashSet;
use std::time::Duration;

use sidetone::call::LegId;
use sidetone::prereq::{Check, Route, Subject, Verdict, Weight};
use sidetone::sim::graph::Person;
use sidetone::switchboard::gate::{About, Question, Ruling, Word, stand};
use tokio::sync::mpsc;

use crate::stage::{ADELE, Stage};

const GROUP: &str = "99999999-0000-0000-0000-000000000001";
const ASKER: &str = "5c802b19-0000-0000-0000-000000000077";
/// The calls that want an expert at once.
const CALLS: u64 = 200;
/// The longest a test waits for what must come.
const SOON: Duration = Duration::from_secs(20);

/// A gate as the switchboard has it.
fn gate(stage: &Stage) -> (mpsc::Sender<Word>, mpsc::Receiver<Ruling>) {
    let (words, heard) = mpsc::channel(1024);
    let (told, rulings) = mpsc::channel(1024);
    tokio::spawn(stand(stage.engine.clone(), heard, told));
    (words, rulings)
}

fn question(stage: &Stage, leg: u64, asker: Option<&str>) -> Word {
    Word::Question(Question {
        about: About::Leg(LegId(leg)),
        tenant: stage.tenant.clone(),
        asker: asker.map(Subject::person),
        wishes: vec![(Subject::person(ADELE), Route::ALL.to_vec())],
    })
}

async fn ruling(rulings: &mut mpsc::Receiver<Ruling>) -> Ruling {
    tokio::time::timeout(SOON, rulings.recv()).await.expect("an answer in time").expect("the gate stands")
}

#[tokio::test]
async fn two_hundred_consults_with_one_person_at_once_read_everything_once() {
    let stage = Stage::with(&format!("agent_group = '{GROUP}'")).await;
    let asker = Person::ready(ASKER, "asker@example.com", "+14255550107");
    stage.cloud.add(Person { groups: vec![GROUP.to_owned()], ..asker });
    stage.note(Check::TrunkUp, Subject::Tenant, None);
    let (words, mut rulings) = gate(&stage);
    // Nothing is answered before all have asked.
    stage.cloud.world().held = true;
    for leg in 0..CALLS {
        words.send(question(&stage, leg, Some(ASKER))).await.unwrap();
    }
    while words.capacity() < words.max_capacity() {
        tokio::task::yield_now().await;
    }
    assert!(rulings.try_recv().is_err(), "nobody is cleared unread");
    stage.cloud.let_go();

    let mut answered = HashSet::new();
    for _ in 0..CALLS {
        let Ruling { about, judged, .. } = ruling(&mut rulings).await;
        assert!(answered.insert(about), "each is answered once");
        assert_eq!(judged.len(), 1);
        for one in &judged[0] {
            assert!(one.clearance.is_some(), "{}: {:#?}", one.route, one.findings);
        }
        assert_eq!(judged[0].len(), Route::ALL.len());
    }
    let user = format!("/users/{ADELE}");
    let counts = |path: &str| stage.cloud.world().asked.get(path).copied();
    assert_eq!(counts(&user), Some(1));
    assert_eq!(counts(&format!("{user}/licenseDetails")), Some(1));
    assert_eq!(counts(&format!("/users/{ASKER}/checkMemberGroups")), Some(1));
    for path in [
        "/admin/teams/userConfigurations",
        "/admin/teams/telephoneNumberManagement",
        "/communications/getPresencesByUserId",
        "/applications",
        "/subscriptions",
    ] {
        assert_eq!(stage.cloud.asked(path), 1, "{path}");
    }
    // One token for Graph; ARM is at the same address here.
    assert_eq!(stage.cloud.world().token_requests.len(), 1);

    // And the two hundred after them read nothing: it is fresh, but for what ends after seconds.
    for leg in 0..CALLS {
        words.send(question(&stage, CALLS + leg, Some(ASKER))).await.unwrap();
    }
    for _ in 0..CALLS {
        assert!(ruling(&mut rulings).await.judged[0].iter().all(|one| one.clearance.is_some()));
    }
    assert_eq!(counts(&user), Some(1));
    assert_eq!(stage.cloud.world().token_requests.len(), 1);
}

/// At dial: whatever the token endpoint does, nobody is rung, nothing is failed that was not looked at, and no secret is
/// blamed but by Entra itself.
#[tokio::test]
async fn a_token_endpoint_out_of_order_refuses_without_blame() {
    for (status, body) in [
        (503, ""),
        (429, "{}"),
        (200, "<html>hotel</html>"),
        (403, "<html>proxy</html>"),
        (401, r#"{"error":{"code":"x"}}"#),
        (401, r#"{"error":"invalid_client"}"#),
    ] {
        let stage = Stage::new().await;
        stage.cloud.world().token_fault = Some((status, body.to_owned()));
        let (words, mut rulings) = gate(&stage);
        words.send(question(&stage, 1, None)).await.unwrap();
        let Ruling { judged, .. } = ruling(&mut rulings).await;
        for one in &judged[0] {
            assert!(one.clearance.is_none(), "{status} {body}: {} is rung unread", one.route);
            let read = |check| one.findings.iter().find(|finding| finding.check == check);
            for check in [Check::Token, Check::Exists, Check::Licence] {
                let Some(finding) = read(check) else { continue };
                assert_ne!(finding.verdict, Verdict::Fail, "{status} {body}: {finding:#?}");
            }
            let refusing = one.findings.iter().filter(|finding| finding.weight == Weight::Refuses);
            for finding in refusing {
                let told = format!("{} {:?}", finding.code, finding.remedy);
                assert!(!told.contains("secret"), "{status} {body}: {told}");
            }
        }
    }
}
