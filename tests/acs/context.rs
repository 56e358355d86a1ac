//! What a caller's system gives along (User-to-User, `X-MS-Custom-*`) goes to those who talk with the caller, where the
//! configuration says so.

use serde_json::{Map, Value, json};
use sidetone::sim::acs::{Behaviour, Entry};
use sidetone::sim::stage::TokenOf;
use sidetone::sim::voice::Voice;

use crate::Story;
use crate::support::{CUSTOMER, House};

const ERIN: &str = "8:acs:r_erin";
const BOSS: &str = "8:acs:r_boss";

/// A customer at ACS is transferred to an agent there, and a supervisor there listens; with what each was called.
async fn called(setting: &str) -> Result<(Value, Value), Box<dyn std::error::Error>> {
    let more = format!(
        "{setting}[[person]]\nid = \"erin\"\ntenant = \"demo\"\nrole = \"agent\"\nteams = [\"support\"]\nextension = \"109\"\n\
         acs = {{ resource = \"contoso\", raw_id = \"{ERIN}\" }}\n\
         [[person]]\nid = \"boss\"\ntenant = \"demo\"\nrole = \"supervisor\"\nteams = [\"support\"]\nextension = \"210\"\n\
         acs = {{ resource = \"contoso\", raw_id = \"{BOSS}\" }}\n\
         [[token]]\nid = \"boss-token\"\ntenant = \"demo\"\nrole = \"supervisor\"\nperson = \"boss\"\nsha256 = \"{}\"\n",
        "e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8"
    );
    let house = House::start(&more).await?;
    for raw_id in [ERIN, BOSS] {
        house.acs.behaves(raw_id, Behaviour::Answers(Voice::Silence));
    }
    let brought: Map<String, Value> = serde_json::from_value(json!({ "userToUser": "616d;encoding=hex",
        "X-MS-Custom-Ticket": "42", "X-MS-Custom-Odd": "no spaces here", "X-Other": "1" }))?;
    house.acs.brings(CUSTOMER, brought);
    let (call, _) = house.customer_reaches_alice().await?;
    house.stage.api.with_token("t").supervise(&call.id, json!({ "role": "monitor" })).await?;
    house.acs.until_figures(BOSS, "a supervisor", |figures| figures.dialled > 0).await?;
    house
        .stage
        .api_of(TokenOf::Alice)
        .transfer(&call.id, json!({ "mode": "blind", "target": "erin" }))
        .await?;
    house.acs.until_figures(ERIN, "an agent", |figures| figures.dialled > 0).await?;
    let created = |raw_id: &str| {
        let exchanges = house.acs.exchanges();
        let mut all = exchanges.into_iter().filter(|one| one.path == "/calling/callConnections");
        all.find(|one| one.request["targets"][0]["rawId"] == raw_id).map(|one| one.request)
    };
    let (erin, boss) =
        (created(ERIN).ok_or("nobody called erin")?, created(BOSS).ok_or("nobody called the boss")?);
    house.stage.api_of(TokenOf::Crm).hang_up(&call.id).await?;
    let ended = |e: &Entry| matches!(e, Entry::Request(_, target, 204) if target.ends_with(":terminate"));
    house.acs.until("the ends", |all| all.iter().filter(|e| ended(e)).count() >= 2).await?;
    house.stage.stop().await;
    Ok((erin["customCallingContext"].clone(), boss["customCallingContext"].clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_at_acs_gets_what_the_customer_s_system_gave_along_and_a_supervisor_does_not() -> Story {
    let (agent, supervisor) = called("context_headers = \"both\"\n").await?;
    let along = json!({ "User-to-User": "616d;encoding=hex", "X-MS-Custom-ticket": "42" });
    assert_eq!(agent, json!({ "voipHeaders": along }));
    assert_eq!(supervisor, Value::Null);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_along_where_nobody_said_so() -> Story {
    for setting in ["", "context_headers = \"in\"\n", "context_headers = \"out\"\n"] {
        assert_eq!(called(setting).await?, (Value::Null, Value::Null), "{setting}");
    }
    Ok(())
}
