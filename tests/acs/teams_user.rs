//! An expert at Teams, rung over ACS: refused with the command that mends it while the federation is off, and with the
//! customer still talking to the agent; mended, they come. Everything but the voices is simulated Microsoft: Graph, Entra,
//! Azure and ACS.

use serde_json::{Value, json};
use sidetone::sim::acs::{AcsSim, Behaviour, Entry};
use sidetone::sim::graph::{Cloud, Person};
use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage, TokenOf};
use sidetone::sim::voice::Voice;

use crate::Story;
use crate::support::{House, judge};

const ERIN: &str = "5c802b19-0000-0000-0000-000000000010";
const RAW_ID: &str = "8:orgid:5c802b19-0000-0000-0000-000000000010";
const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const RESOURCE: &str = "faced04c-2ced-433d-90db-063e424b87b1";
/// What the expert hums at Teams.
const EXPERT_HZ: f64 = 1_702.0;

/// A house with an account at Microsoft, where Erin is ready but for what nobody has said of the federation.
async fn house(cloud: &Cloud) -> Result<House, Box<dyn std::error::Error>> {
    let base = cloud.base();
    cloud.add(Person::ready(ERIN, "erin@example.com", "+14255550100"));
    cloud.world().acs = json!({"properties": {"immutableResourceId": RESOURCE}});
    let more = format!(
        "[[integration]]\ntenant = \"demo\"\nentra_tenant = \"{TENANT}\"\nclient_secret_file = \"x\"\n\
         client_id = \"aaaaaaaa-0000-0000-0000-000000000001\"\nobject_id = \"bbbbbbbb-0000-0000-0000-000000000002\"\n\
         authority = \"{base}\"\ngraph = \"{base}\"\narm = \"{base}\"\nbudget_ms = 5000\n\
         acs_resource = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.Communication/communicationServices/n\"\n\
         [[person]]\nid = \"erin\"\ntenant = \"demo\"\nrole = \"agent\"\nteams = [\"support\"]\n\
         teams_user = \"erin@example.com\"\nteams_routes = [\"voip\"]\n\
         [[price]]\nroute = \"voip\"\nper_minute = \"0.004\"\ncurrency = \"USD\"\nfrom = 2025-01-01\n"
    );
    let acs = AcsSim::start().await?;
    let setting = Setting { acs: Some(acs.clone()), acs_more: more, ..Setting::default() };
    Ok(House { stage: Stage::start(setting).await?, acs })
}

/// What the collector reads of the tenant.
async fn import(stage: &Stage, enabled: bool) -> Story {
    let file = json!({
        "schema": "sidetone.teams-evidence/1",
        "collectedAt": jiff::Timestamp::now().to_string(),
        "tenantId": TENANT,
        "acsFederation": {"Identity": "Global", "EnableAcsUsers": enabled, "AllowedAcsResources": [RESOURCE]},
        "externalAccess": [{"Identity": "Global", "EnableAcsFederationAccess": true}],
    });
    let (status, answer) = post(stage, "/v1/integration/teams/evidence", &json!({ "import": file })).await?;
    if status != 200 {
        return Err(format!("{status}: {answer}").into());
    }
    Ok(())
}

async fn post(stage: &Stage, path: &str, body: &Value) -> Result<(u16, Value), Box<dyn std::error::Error>> {
    let url = format!("http://{}{path}", stage.http());
    let request = reqwest::Client::new().post(url).bearer_auth(TokenOf::Crm.clear()).json(body);
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

fn calls_created(acs: &AcsSim) -> usize {
    let created = |entry: &&Entry| matches!(entry, Entry::Request(method, path, _) if method == "POST" && path == "/calling/callConnections");
    acs.journal().iter().filter(created).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn federation_off_is_refused_with_its_command_and_mended_the_expert_comes() -> Story {
    let cloud = Cloud::start().await?;
    let house = house(&cloud).await?;
    let (stage, customer, alice) = (&house.stage, &house.stage.customer, &house.stage.alice);
    house.acs.behaves(RAW_ID, Behaviour::Answers(Voice::tone(EXPERT_HZ)));
    import(stage, false).await?;
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let consults = format!("/v1/calls/{}/consults", call.id);

    let (status, problem) = post(stage, &consults, &json!({"target": "erin"})).await?;
    assert_eq!((status, &problem["code"]), (409, &json!("not_cleared")), "{problem}");
    let way = &problem["preview"]["ways"][0];
    assert_eq!((&way["via"], &way["clear"]), (&json!("voip"), &json!(false)));
    let findings = way["findings"].as_array().ok_or("findings")?;
    let refusing: Vec<_> = findings.iter().filter(|finding| finding["weight"] == "refuses").collect();
    assert_eq!(refusing.len(), 1, "{refusing:#?}");
    assert_eq!(refusing[0]["check"], "T07");
    let command = refusing[0]["remedy"]["command"].as_str().ok_or("a command")?;
    assert!(command.contains("Set-CsTeamsAcsFederationConfiguration -EnableAcsUsers $true"), "{command}");
    assert!(command.contains(RESOURCE), "{command}");
    assert_eq!(calls_created(&house.acs), 0, "nobody is rung");
    let talking = [Expected::voices(customer, [alice]), Expected::voices(alice, [customer])];
    stage.assert_hears(&talking).await?;

    // The administrator has run it, and the collector after it.
    import(stage, true).await?;
    let (status, preview) = post(stage, &consults, &json!({"target": "erin", "dry_run": true})).await?;
    assert_eq!((status, &preview["taken"]), (200, &json!(0)), "{preview:#}");
    assert_eq!(preview["ways"][0]["cost"]["per_minute"], "0.004");
    assert_eq!(calls_created(&house.acs), 0, "shown, not done");

    let (status, consult) = post(stage, &consults, &json!({"target": "erin", "via": "voip"})).await?;
    assert_eq!((status, &consult["preview"]["taken"]), (201, &json!(0)), "{consult:#}");
    stage.events.until("the expert's answer", |event| event.kind == "consult.answered").await?;
    house.acs.until_figures(RAW_ID, "sound to the expert", |figures| figures.frames > 10).await?;
    let expert = house.acs.talker(RAW_ID).ok_or("the expert is not in a call")?;
    house.hears(alice, &[EXPERT_HZ], &[customer.hz]).await?;
    house.talker_hears(&expert, &[alice.hz], &[customer.hz]).await?;

    let id = consult["id"].as_str().ok_or("an id")?;
    stage.api_of(TokenOf::Alice).end_consult(id, "complete").await?;
    alice.phone.over().await?;
    judge("customer", &house.ear_of(customer).await?, &[EXPERT_HZ], &[alice.hz])?;
    stage.api_of(TokenOf::Crm).hang_up(&call.id).await?;
    stage.until_no_call().await?;
    house.stage.stop().await;
    Ok(())
}

/// What passed on paper and is refused by ACS is not believed again; the customer is back with the agent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_by_acs_itself_is_evidence_and_is_not_asked_for_twice() -> Story {
    let cloud = Cloud::start().await?;
    let house = house(&cloud).await?;
    let (stage, customer, alice) = (&house.stage, &house.stage.customer, &house.stage.alice);
    house.acs.behaves(RAW_ID, Behaviour::Fails(403, 7504));
    import(stage, true).await?;
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let consults = format!("/v1/calls/{}/consults", call.id);
    let (status, began) = post(stage, &consults, &json!({"target": "erin"})).await?;
    assert_eq!(status, 201, "{began:#}");
    let failed = stage.events.until("the end of the consult", |event| event.kind == "consult.failed").await?;
    assert_eq!(failed.data["cause"], "forbidden");
    stage.assert_hears(&[Expected::voices(customer, [alice]), Expected::voices(alice, [customer])]).await?;
    let rung = calls_created(&house.acs);

    let (status, problem) = post(stage, &consults, &json!({"target": "erin"})).await?;
    assert_eq!((status, &problem["code"]), (409, &json!("not_cleared")), "{problem}");
    let findings = problem["preview"]["ways"][0]["findings"].as_array().ok_or("findings")?.clone();
    let federation = findings.iter().find(|finding| finding["check"] == "T07").ok_or("T07")?;
    assert_eq!(federation["evidence"]["source"], "call_outcome");
    assert!(
        federation["evidence"]["detail"].as_str().unwrap_or_default().contains("403/7504"),
        "{federation}"
    );
    assert_eq!(calls_created(&house.acs), rung, "ACS is not asked again");
    house.stage.stop().await;
    Ok(())
}
