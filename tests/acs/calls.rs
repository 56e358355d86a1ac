//! Calls that come and go: in any order, twice, not at all, and with a stream that drops.

use std::time::Duration;

use sidetone::sim::acs::{Behaviour, Entry, Faults};
use sidetone::sim::stage::{TokenOf, at};
use sidetone::sim::voice::Voice;

use crate::Story;
use crate::support::{CUSTOMER, CUSTOMER_HZ, House};

fn asked(journal: &[Entry], tail: &str) -> usize {
    journal
        .iter()
        .filter(|entry| matches!(entry, Entry::Request(_, target, _) if target.ends_with(tail)))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_twice_early_and_in_the_wrong_order_make_one_call() -> Story {
    let house = House::start("").await?;
    house.acs.faults(Faults { duplicates: true, early: true, ..Faults::default() });
    let (_, customer) = house.customer_reaches_alice().await?;
    house.talker_hears(&customer, &[house.stage.alice.hz], &[]).await?;
    assert_eq!(house.stage.api_of(TokenOf::Crm).calls().await?.len(), 1);
    house.acs.hangs_up(CUSTOMER).await;
    house.stage.until_no_call().await?;
    assert_eq!(asked(&house.acs.journal(), ":answer"), 1);
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_never_comes_is_asked_for() -> Story {
    let house = House::start("").await?;
    let lost = vec!["CallConnected".to_owned(), "ParticipantsUpdated".to_owned()];
    house.acs.faults(Faults { lost, ..Faults::default() });
    let (_, customer) = house.customer_reaches_alice().await?;
    house.talker_hears(&customer, &[house.stage.alice.hz], &[]).await?;
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_throttled_or_lost_is_one_answer() -> Story {
    let house = House::start("").await?;
    house.acs.faults(Faults { throttled: 1, answers_lost: 1, ..Faults::default() });
    house.customer_reaches_alice().await?;
    // The call is up before the answer is: its events overtake it.
    house.acs.until("three tries", |all| asked(all, ":answer") == 3).await?;
    let statuses: Vec<u16> = house
        .acs
        .journal()
        .iter()
        .filter_map(|entry| match entry {
            Entry::Request(_, target, status) if target.ends_with(":answer") => Some(*status),
            _ => None,
        })
        .collect();
    assert_eq!(statuses, [429, 503, 200], "refused, lost, and then the first answer once more");
    assert_eq!(house.acs.connections().len(), 1);
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_drops_is_taken_up_again_at_the_same_leg() -> Story {
    let house = House::start("").await?;
    let (call, customer) = house.customer_reaches_alice().await?;
    house.acs.drops_stream(CUSTOMER, Duration::from_millis(100)).await;
    house.acs.until_figures(CUSTOMER, "another dialling", |figures| figures.dialled == 2).await?;
    house.hears(&house.stage.alice, &[CUSTOMER_HZ], &[]).await?;
    house.talker_hears(&customer, &[house.stage.alice.hz], &[]).await?;
    assert_eq!(house.stage.api_of(TokenOf::Crm).call(&call.id).await?.legs.len(), call.legs.len());
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_event_schemas_bring_a_call_and_strangers_bring_none() -> Story {
    let house = House::start("").await?;
    let deliver = |webhook: &str, to: &str, cloud| {
        house.acs.call(CUSTOMER, to, Voice::Silence, webhook, cloud);
    };
    deliver("/acs/contoso/events?secret=wrong", "4:+15550100", true);
    deliver("/acs/elsewhere/events?secret=stage-webhook", "4:+15550100", true);
    deliver("/acs/contoso/events?secret=stage-webhook", "4:+15550777", true);
    house
        .acs
        .until("three deliveries", |all| all.iter().filter(|e| matches!(e, Entry::Delivery(_))).count() == 3)
        .await?;
    let mut statuses: Vec<u16> = house
        .acs
        .journal()
        .iter()
        .filter_map(|entry| match entry {
            Entry::Delivery(status) => Some(*status),
            _ => None,
        })
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401, 404]);
    assert!(
        house.stage.api_of(TokenOf::Crm).calls().await?.is_empty(),
        "a foreign number is no call of ours"
    );
    deliver("/acs/contoso/events?secret=stage-webhook", "4:+15550100", false);
    house.stage.alice.phone.talking().await.map_err(at(&house.stage.alice))?;
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_customer_hangs_up_and_so_does_the_agent() -> Story {
    let house = House::start("").await?;
    house.customer_reaches_alice().await?;
    house.acs.hangs_up(CUSTOMER).await;
    house.stage.until_no_call().await?;
    let (call, _) = house.customer_reaches_alice().await?;
    house.stage.api_of(TokenOf::Crm).hang_up(&call.id).await?;
    house.stage.until_no_call().await?;
    house.acs.until("the end at ACS", |all| asked(all, ":terminate") == 1).await?;
    assert!(house.acs.connections().is_empty());
    house.stage.until_ports_free().await?;
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_at_acs_is_called_and_a_failure_has_its_cause() -> Story {
    let agent = "8:acs:11111111-1111-1111-1111-111111111111_00000000-0000-0000-0000-000000000009";
    let more = format!(
        "[[person]]\nid = \"erin\"\ntenant = \"demo\"\nrole = \"agent\"\nteams = [\"support\"]\nextension = \"109\"\n\
         acs = {{ resource = \"contoso\", raw_id = \"{agent}\" }}\n\
         [[route]]\nid = \"erin\"\ntenant = \"demo\"\nnumber = \"+15550109\"\ntargets = [\"erin\"]\nring_s = 60\n"
    );
    let house = House::start(&more).await?;
    let (stage, customer) = (&house.stage, &house.stage.customer);
    house.acs.behaves(agent, Behaviour::Answers(Voice::tone(CUSTOMER_HZ)));
    stage.customer_dials("+15550109").await?;
    customer.phone.talking().await.map_err(at(customer))?;
    house.hears(customer, &[CUSTOMER_HZ], &[]).await?;
    let erin = house.acs.talker(agent).ok_or("erin is not in a call")?;
    house.talker_hears(&erin, &[customer.hz], &[CUSTOMER_HZ]).await?;
    house.acs.hangs_up(agent).await;
    customer.phone.over().await.map_err(at(customer))?;
    stage.until_no_call().await?;
    house.acs.behaves(agent, Behaviour::Fails(486, 560_486));
    stage.customer_dials("+15550109").await?;
    stage.until_no_call().await?;
    let failed = |entry: &Entry| matches!(entry, Entry::Event(kind, 200) if kind == "CreateCallFailed");
    house.acs.until("a failure", |all| all.iter().any(failed)).await?;
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_introduce_themselves_in_either_way_if_they_know_the_secret_and_are_known() -> Story {
    let house = House::start("subscriptions = [\"sidetone\"]").await?;
    let (right, wrong) = ("/acs/contoso/events?secret=stage-webhook", "/acs/contoso/events?secret=guess");
    for cloud_events in [true, false] {
        assert!(house.acs.subscribes(right, "sidetone", cloud_events).await);
        assert!(!house.acs.subscribes(wrong, "sidetone", cloud_events).await);
        assert!(!house.acs.subscribes("/acs/contoso/events", "sidetone", cloud_events).await);
        assert!(
            !house
                .acs
                .subscribes("/acs/elsewhere/events?secret=stage-webhook", "sidetone", cloud_events)
                .await
        );
    }
    assert!(!house.acs.subscribes(right, "strangers", false).await, "nobody allowed this subscription");
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_withholds_their_number_is_shown_to_nobody() -> Story {
    let house = House::start("").await?;
    house.acs.is_named("4:anonymous", "Anna");
    house.acs.call(
        "4:anonymous",
        crate::support::LINE,
        Voice::tone(CUSTOMER_HZ),
        sidetone::sim::stage::WEBHOOK,
        true,
    );
    let alice = &house.stage.alice;
    alice.phone.talking().await.map_err(at(alice))?;
    let call = house.stage.until_call("the call", |call| call.state == "talking").await?;
    let text = format!("{call:?}");
    assert!(!text.contains("Anna"), "{text}");
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_has_acs_s_own_numbers_and_names_beside_ours() -> Story {
    let more = "[[route]]\nid = \"out\"\ntenant = \"demo\"\nnumber = \"+15550123\"\ntargets = [\"acs:contoso\"]\nring_s = 60\n";
    let house = House::start(more).await?;
    house.acs.behaves("4:+15550123", Behaviour::Fails(486, 560_486));
    house.stage.customer_dials("+15550123").await?;
    house.stage.until_no_call().await?;
    house.customer_reaches_alice().await?;
    let connection = house.acs.connections().into_keys().next().ok_or("nobody is connected")?;
    house.acs.hangs_up(CUSTOMER).await;
    house.stage.until_no_call().await?;
    let api = house.stage.api_of(TokenOf::Crm);
    let legs = async || -> Result<Vec<serde_json::Value>, reqwest::Error> {
        let asked = reqwest::Client::new().get(api.url("/v1/cdr")).bearer_auth(TokenOf::Crm.clear());
        let records: serde_json::Value = asked.send().await?.json().await?;
        let records = records["items"].as_array().cloned().unwrap_or_default();
        Ok(records.iter().flat_map(|record| record["legs"].as_array().cloned().unwrap_or_default()).collect())
    };
    let written = async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        loop {
            looks.tick().await;
            let legs = legs().await?;
            let failed = legs.iter().find(|leg| leg["detail"] == "ACS 486/560486");
            let ended = legs.iter().find(|leg| leg["connection"] == connection.as_str());
            if let (Some(failed), Some(ended)) = (failed, ended) {
                return Ok::<_, reqwest::Error>((failed.clone(), ended.clone()));
            }
        }
    };
    let (failed, ended) = tokio::time::timeout(sidetone::sim::HUNG_AFTER, written).await??;
    assert_eq!(failed["cause"], "busy");
    assert_eq!((&ended["cause"], &ended["detail"]), (&"normal".into(), &"ACS 0/560000".into()));
    assert!(ended["peer_key"].as_str().is_some_and(|key| key.len() == 36), "{ended}");
    house.stage.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_at_acs_rings_until_they_answer_the_caller_gives_up_or_another_is_tried() -> Story {
    let agent = "8:acs:r_erin";
    let more = format!(
        "[[person]]\nid = \"erin\"\ntenant = \"demo\"\nrole = \"agent\"\nteams = [\"support\"]\nextension = \"109\"\n\
         acs = {{ resource = \"contoso\", raw_id = \"{agent}\" }}\n\
         [[route]]\nid = \"erin\"\ntenant = \"demo\"\nnumber = \"+15550109\"\ntargets = [\"erin\"]\nring_s = 60\n\
         [[route]]\nid = \"either\"\ntenant = \"demo\"\nnumber = \"+15550110\"\ntargets = [\"erin\", \"alice\"]\nring_s = 3\n"
    );
    let house = House::start(&more).await?;
    let (stage, customer) = (&house.stage, &house.stage.customer);
    house.acs.behaves(agent, Behaviour::Rings(Voice::tone(CUSTOMER_HZ)));
    let ended = |times: usize| {
        move |all: &[Entry]| {
            let ends =
                |e: &&Entry| matches!(e, Entry::Request(_, target, 204) if target.ends_with(":terminate"));
            all.iter().filter(ends).count() == times
        }
    };
    let rings = async |house: &House| {
        stage
            .until_call("a ringing agent", |call| {
                call.leg_of("erin").is_some_and(|l| l.presence == "ringing")
            })
            .await?;
        house.acs.until_ringing(1).await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };

    stage.customer_dials("+15550109").await?;
    rings(&house).await?;
    house.acs.answers(agent).await;
    customer.phone.talking().await.map_err(at(customer))?;
    house.hears(customer, &[CUSTOMER_HZ], &[]).await?;
    customer.phone.hang_up().await.map_err(at(customer))?;
    house.acs.until("the first end", ended(1)).await?;
    stage.until_no_call().await?;

    stage.customer_dials("+15550109").await?;
    rings(&house).await?;
    customer.phone.hang_up().await.map_err(at(customer))?;
    house.acs.until("the second end", ended(2)).await?;
    stage.until_no_call().await?;
    house.acs.until_ringing(0).await?;

    stage.customer_dials("+15550110").await?;
    stage.alice.phone.talking().await.map_err(at(&stage.alice))?;
    house.acs.until("the third end", ended(3)).await?;
    house.acs.until_ringing(0).await?;
    house.stage.stop().await;
    Ok(())
}
