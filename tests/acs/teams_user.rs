//! An expert at Teams, rung over ACS: refused with the command that mends it while the federation is off, and with the
//! customer still talking to the agent; mended, they come. Everything but the voices is simulated Microsoft: Graph, Entra,
//! Azure and ACS.

use serde_json::{Value, json};
use sidetone::sim::acs::{ACCESS_KEY, AcsSim, Behaviour, Entry, Issuer};
use sidetone::sim::graph::{Cloud, Person};
use sidetone::sim::stage::levels::Expected;
use sidetone::sim::stage::{ALICES_NUMBER, Setting, Stage, TokenOf};
use sidetone::sim::voice::Voice;

use crate::Story;
use crate::logs::{Lines, has_none_of};
use crate::support::{CUSTOMER_HZ, House};

const ERIN: &str = "5c802b19-0000-0000-0000-000000000010";
const RAW_ID: &str = "8:orgid:5c802b19-0000-0000-0000-000000000010";
const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const RESOURCE: &str = "faced04c-2ced-433d-90db-063e424b87b1";
/// What the expert hums at Teams.
const EXPERT_HZ: f64 = 1_702.0;

/// A house with an account at Microsoft, where Erin is ready but for what nobody has said of the federation.
async fn house(cloud: &Cloud) -> Result<House, Box<dyn std::error::Error>> {
    house_with(cloud, "").await
}

/// The same with more about the account.
async fn house_with(cloud: &Cloud, account: &str) -> Result<House, Box<dyn std::error::Error>> {
    let base = cloud.base();
    cloud.add(Person::ready(ERIN, "erin@example.com", "+14255550100"));
    cloud.world().acs = json!({"properties": {"immutableResourceId": RESOURCE}});
    let more = format!(
        "[[integration]]\ntenant = \"demo\"\nentra_tenant = \"{TENANT}\"\nclient_secret_file = \"x\"\n\
         client_id = \"aaaaaaaa-0000-0000-0000-000000000001\"\nobject_id = \"bbbbbbbb-0000-0000-0000-000000000002\"\n\
         authority = \"{base}\"\ngraph = \"{base}\"\narm = \"{base}\"\nbudget_ms = 5000\n\
         acs_resource = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.Communication/communicationServices/n\"\n{account}\
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
    post_as(stage, TokenOf::Crm.clear(), path, body).await
}

async fn post_as(
    stage: &Stage,
    token: &str,
    path: &str,
    body: &Value,
) -> Result<(u16, Value), Box<dyn std::error::Error>> {
    let url = format!("http://{}{path}", stage.http());
    let request = reqwest::Client::new().post(url).bearer_auth(token).json(body);
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
    house.hears(customer, &[EXPERT_HZ], &[alice.hz]).await?;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_at_acs_and_an_expert_whose_teams_client_rings() -> Story {
    let cloud = Cloud::start().await?;
    let house = house(&cloud).await?;
    let (stage, alice) = (&house.stage, &house.stage.alice);
    house.acs.behaves(RAW_ID, Behaviour::Answers(Voice::tone(EXPERT_HZ)));
    import(stage, true).await?;
    let (call, customer) = house.customer_reaches_alice().await?;
    let consults = format!("/v1/calls/{}/consults", call.id);
    let (status, consult) = post(stage, &consults, &json!({"target": "erin", "via": "voip"})).await?;
    assert_eq!(status, 201, "{consult:#}");
    stage.events.until("the expert's answer", |event| event.kind == "consult.answered").await?;
    house.acs.until_figures(RAW_ID, "sound to the expert", |figures| figures.frames > 10).await?;
    let expert = house.acs.talker(RAW_ID).ok_or("the expert is not in a call")?;
    house.hears(alice, &[EXPERT_HZ], &[CUSTOMER_HZ]).await?;
    house.talker_hears(&expert, &[alice.hz], &[CUSTOMER_HZ]).await?;
    house.talker_hears(&customer, &[], &[alice.hz, EXPERT_HZ]).await?;

    let id = consult["id"].as_str().ok_or("an id")?;
    stage.api_of(TokenOf::Alice).end_consult(id, "complete").await?;
    alice.phone.over().await?;
    house.talker_hears(&customer, &[EXPERT_HZ], &[alice.hz]).await?;
    house.talker_hears(&expert, &[CUSTOMER_HZ], &[alice.hz]).await?;
    stage.api_of(TokenOf::Crm).hang_up(&call.id).await?;
    stage.until_no_call().await?;
    house.stage.stop().await;
    Ok(())
}

/// A consult that is refused, one that comes, and one that ACS refuses: what was logged meanwhile, and the secrets used.
async fn logged(level: &str) -> Result<(String, Vec<String>), Box<dyn std::error::Error>> {
    let (lines, _guard) = Lines::of(level)?;
    let cloud = Cloud::start().await?;
    let house = house(&cloud).await?;
    let (stage, alice) = (&house.stage, &house.stage.alice);
    house.acs.behaves(RAW_ID, Behaviour::Answers(Voice::tone(EXPERT_HZ)));
    import(stage, false).await?;
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let consults = format!("/v1/calls/{}/consults", call.id);
    let (status, problem) = post(stage, &consults, &json!({"target": "erin"})).await?;
    assert_eq!(status, 409, "{problem}");
    import(stage, true).await?;
    let (status, consult) = post(stage, &consults, &json!({"target": "erin"})).await?;
    assert_eq!(status, 201, "{consult:#}");
    stage.events.until("the expert's answer", |event| event.kind == "consult.answered").await?;
    let id = consult["id"].as_str().ok_or("an id")?;
    stage.api_of(TokenOf::Alice).end_consult(id, "cancel").await?;
    stage.events.until("the end of the consult", |event| event.kind == "consult.ended").await?;
    house.acs.behaves(RAW_ID, Behaviour::Fails(403, 7504));
    let (status, began) = post(stage, &consults, &json!({"target": "erin"})).await?;
    assert_eq!(status, 201, "{began:#}");
    stage.events.until("a refusal", |event| event.kind == "consult.failed").await?;
    let (status, problem) = post(stage, &consults, &json!({"target": "erin"})).await?;
    assert_eq!(status, 409, "{problem}");
    stage.api_of(TokenOf::Crm).hang_up(&call.id).await?;
    stage.until_no_call().await?;
    house.stage.stop().await;
    let tokens = [TokenOf::Crm, TokenOf::Alice].map(|token| token.clear().to_owned());
    let mut secrets = vec![ACCESS_KEY.to_owned(), "stage-password".to_owned(), "canary-token".to_owned()];
    secrets.extend(tokens);
    let sent = cloud.world().token_requests.join("\n");
    assert!(sent.contains("client_secret=stage-password"), "it was sent where it belongs");
    Ok((lines.text(), secrets))
}

/// One thread, so that all that is logged passes through this test's subscriber.
#[tokio::test]
async fn no_secret_of_the_account_is_in_any_line_even_at_trace() -> Story {
    let (text, secrets) = logged("trace").await?;
    assert!(text.contains(" DEBUG ") && text.contains(" TRACE "), "the log is looked at: {text}");
    has_none_of(&text, &secrets);
    Ok(())
}

#[tokio::test]
async fn above_debug_nobody_at_teams_is_named() -> Story {
    let (text, mut canaries) = logged("info").await?;
    canaries.extend(["erin@example.com", ERIN, "14255550100"].map(str::to_owned));
    has_none_of(&text, &canaries);
    Ok(())
}

/// Whom Entra knows may ask only from within the group; what the group is asked about is who asks, not who is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_from_outside_the_group_is_refused_and_from_within_it_the_expert_comes() -> Story {
    const GROUP: &str = "99999999-0000-0000-0000-000000000001";
    const OUTSIDE: &str = "00000000-0000-0000-0000-00000000000a";
    const WITHIN: &str = "00000000-0000-0000-0000-00000000000b";
    let cloud = Cloud::start().await?;
    let entra = Issuer::of(&format!("{}/{TENANT}/v2.0", cloud.base()), "api://sidetone");
    cloud.world().jwks = entra.jwks();
    cloud.add(Person::ready(OUTSIDE, "outside@example.com", "+14255550107"));
    let within = Person::ready(WITHIN, "within@example.com", "+14255550108");
    cloud.add(Person { groups: vec![GROUP.to_owned()], ..within });
    let account = format!(
        "agent_group = \"{GROUP}\"\napi_tokens = {{ audience = [\"api://sidetone\"], \
         people = {{ \"{OUTSIDE}\" = \"alice\", \"{WITHIN}\" = \"alice\" }} }}\n"
    );
    let house = house_with(&cloud, &account).await?;
    let (stage, customer, alice) = (&house.stage, &house.stage.customer, &house.stage.alice);
    house.acs.behaves(RAW_ID, Behaviour::Answers(Voice::tone(EXPERT_HZ)));
    import(stage, true).await?;
    let call = stage.customer_reaches(ALICES_NUMBER, alice).await?;
    let consults = format!("/v1/calls/{}/consults", call.id);
    let token = |oid: &str| {
        let exp = jiff::Timestamp::now().as_second() + 600;
        let iss = format!("{}/{TENANT}/v2.0", cloud.base());
        entra.token(&json!({"iss": iss, "aud": "api://sidetone", "exp": exp, "oid": oid, "roles": ["Sidetone.Agent"]}))
    };

    let wanted = json!({"target": "erin", "via": "voip"});
    let transfers = format!("/v1/calls/{}/transfers", call.id);
    let transfer = json!({"mode": "blind", "target": "erin", "via": "voip"});
    for (path, body) in [(&consults, &wanted), (&transfers, &transfer)] {
        let (status, problem) = post_as(stage, &token(OUTSIDE), path, body).await?;
        assert_eq!((status, &problem["code"]), (409, &json!("not_cleared")), "{problem:#}");
        let findings = problem["preview"]["ways"][0]["findings"].as_array().ok_or("findings")?;
        let refusing: Vec<_> = findings.iter().filter(|finding| finding["weight"] == "refuses").collect();
        assert_eq!(refusing.len(), 1, "{refusing:#?}");
        assert_eq!((&refusing[0]["check"], &refusing[0]["code"]), (&json!("U13"), &json!("not_in_group")));
        assert!(refusing[0]["remedy"]["text"].is_string(), "{:#}", refusing[0]);
    }
    assert_eq!(calls_created(&house.acs), 0, "nobody is rung");
    stage.assert_hears(&[Expected::voices(customer, [alice]), Expected::voices(alice, [customer])]).await?;

    let (status, began) = post_as(stage, &token(WITHIN), &consults, &wanted).await?;
    assert_eq!(status, 201, "{began:#}");
    stage.events.until("the expert's answer", |event| event.kind == "consult.answered").await?;
    house.acs.until_figures(RAW_ID, "sound to the expert", |figures| figures.frames > 10).await?;
    house.hears(alice, &[EXPERT_HZ], &[customer.hz]).await?;
    stage.api_of(TokenOf::Crm).hang_up(&call.id).await?;
    stage.until_no_call().await?;
    house.stage.stop().await;
    Ok(())
}
