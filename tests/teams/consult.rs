//! An expert at Teams, rung over Direct Routing when the simulated Graph says that nothing stands in the way: the customer at a
//! carrier or at ACS, voices measured at every ear. With the trunk down nobody is rung, and the refusal says so.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sidetone::sim::acs::{ACCESS_KEY, AcsSim, Talker};
use sidetone::sim::graph::{Cloud, Person};
use sidetone::sim::stage::api::Api;
use sidetone::sim::stage::{WEBHOOK, WEBHOOK_SECRET};
use sidetone::sim::teams::{CUSTOMER_HZ, House, NUMBER, Stage, State};
use sidetone::sim::voice::Voice;

use crate::{A_WHILE, AGENT_HZ, HEARD_DBFS, NOT_HEARD_DBFS, TEAMS_HZ, Test, until_heard, until_up};

const ERIN: &str = "5c802b19-0000-0000-0000-000000000010";
const ERINS_NUMBER: &str = "+14255550100";
const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const TOKEN: &str = "programs-token";
/// Who calls over ACS, and what they hum.
const AT_ACS: &str = "4:+15550001";
const AT_ACS_HZ: f64 = 1402.0;

/// The house with an account at Microsoft, a program that may ask, and a resource of ACS.
struct Desk {
    house: House,
    api: Api,
    acs: AcsSim,
    _cloud: Cloud,
}

/// The customer, wherever they are.
enum Caller {
    Carrier,
    Acs(Talker),
}

impl Desk {
    async fn open() -> Result<Desk, Box<dyn std::error::Error>> {
        let cloud = Cloud::start().await?;
        cloud.add(Person::ready(ERIN, "erin@example.com", ERINS_NUMBER));
        let base = cloud.base();
        let sha256: String = Sha256::digest(TOKEN).iter().map(|octet| format!("{octet:02x}")).collect();
        let acs = AcsSim::start().await?;
        let more = format!(
            "[[integration]]\ntenant = \"acme\"\nentra_tenant = \"{TENANT}\"\nclient_secret_file = \"entra-secret\"\n\
             client_id = \"aaaaaaaa-0000-0000-0000-000000000001\"\nobject_id = \"bbbbbbbb-0000-0000-0000-000000000002\"\n\
             authority = \"{base}\"\ngraph = \"{base}\"\narm = \"{base}\"\nbudget_ms = 5000\n\
             direct_routing_trunk = \"teams\"\n\
             [[person]]\nid = \"erin\"\ntenant = \"acme\"\nrole = \"agent\"\nteams = [\"support\"]\n\
             teams_user = \"erin@example.com\"\nteams_routes = [\"direct_routing\"]\n\
             [[token]]\nid = \"program\"\ntenant = \"acme\"\nsha256 = \"{sha256}\"\nrole = \"integration\"\n{}",
            acs.config("acme", NUMBER, "", "")
        );
        let files = [("entra-secret", "secret"), ("acs-key", ACCESS_KEY), ("acs-webhook", WEBHOOK_SECRET)];
        let house = House::open_with(AGENT_HZ, TEAMS_HZ, &more, &files).await?;
        acs.gateway_is_at(house.gateway.acs_addr().ok_or("no way in for ACS")?, None)?;
        let api = house.api.with_token(TOKEN);
        let desk = Desk { house, api, acs, _cloud: cloud };
        let file = json!({"import": {
            "schema": "sidetone.teams-evidence/1",
            "collectedAt": jiff::Timestamp::now().to_string(),
            "tenantId": TENANT,
            "users": [{"UserPrincipalName": "erin@example.com", "TeamsUpgradeEffectiveMode": "TeamsOnly"}],
        }});
        let (status, answer) = desk.post("/v1/integration/teams/evidence", &file).await?;
        assert_eq!(status, 200, "{answer}");
        Ok(desk)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<(u16, Value), Box<dyn std::error::Error>> {
        let request = reqwest::Client::new().post(self.api.url(path)).bearer_auth(TOKEN).json(body);
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// The customer calls and Alice answers: the call.
    async fn customer_reaches_alice(
        &self,
        over_acs: bool,
    ) -> Result<(String, Caller), Box<dyn std::error::Error>> {
        if over_acs {
            let to = format!("4:{NUMBER}");
            self.acs.call(AT_ACS, &to, Voice::tone(AT_ACS_HZ), WEBHOOK, true);
        } else {
            self.house.customer_dials(NUMBER).await?;
            self.house.customer.talking().await?;
        }
        self.house.alice.talking().await?;
        let call = self.until("a call that talks", async || {
            let calls = self.api.calls().await?;
            Ok(calls.into_iter().find(|call| call.state == "talking").map(|call| call.id))
        });
        let call = call.await?;
        if !over_acs {
            return Ok((call, Caller::Carrier));
        }
        self.acs.until_figures(AT_ACS, "sound to the customer", |figures| figures.frames > 10).await?;
        Ok((call, Caller::Acs(self.acs.talker(AT_ACS).ok_or("the customer is gone")?)))
    }

    /// Asks until it is so: for what the gateway tells by no event.
    async fn until<T>(
        &self,
        what: &str,
        look: impl AsyncFn() -> Result<Option<T>, Box<dyn std::error::Error>>,
    ) -> Result<T, Box<dyn std::error::Error>> {
        let looking = async {
            let mut looks = tokio::time::interval(Duration::from_millis(50));
            loop {
                looks.tick().await;
                if let Some(found) = look().await? {
                    return Ok(found);
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), looking).await.map_err(|_| what.to_owned())?
    }

    /// Until Direct Routing to Erin is as wanted: clear, or refused by this check alone. Gives the way.
    async fn until_way(
        &self,
        call: &str,
        refused_by: Option<&str>,
    ) -> Result<Value, Box<dyn std::error::Error>> {
        let path = format!("/v1/calls/{call}/consults");
        let wanted = json!({"target": "erin", "via": "direct_routing", "dry_run": true});
        let way = self.until("the way to be as wanted", async || {
            let (_, preview) = self.post(&path, &wanted).await?;
            let way = preview["ways"][0].clone();
            let findings = way["findings"].as_array().cloned().unwrap_or_default();
            let refusing: Vec<_> = findings
                .iter()
                .filter(|finding| finding["weight"] == "refuses")
                .filter_map(|finding| finding["check"].as_str())
                .collect();
            Ok((!findings.is_empty() && refusing == Vec::from_iter(refused_by)).then_some(way))
        });
        way.await
    }

    /// The customer hears these tones and not those.
    async fn customer_hears(&self, customer: &Caller, loud: &[f64], quiet: &[f64]) -> Test {
        let clip = match customer {
            Caller::Carrier => {
                let ear = self.house.customer.ear().await?;
                for hz in loud {
                    until_heard(&ear, *hz).await?;
                }
                ear.listen(A_WHILE).await?;
                ear.listen(A_WHILE).await?
            }
            Caller::Acs(talker) => {
                talker.listen(2 * A_WHILE).await?;
                talker.listen(A_WHILE).await?
            }
        };
        for (hz, heard) in loud.iter().map(|hz| (hz, true)).chain(quiet.iter().map(|hz| (hz, false))) {
            let level = clip.level_of(*hz);
            assert_eq!(level > HEARD_DBFS, heard, "{hz} Hz at {level:.1} dBFS");
            assert!(heard || level < NOT_HEARD_DBFS, "{hz} Hz at {level:.1} dBFS");
        }
        Ok(())
    }

    async fn close(self) {
        self.house.gateway.stop().await;
    }
}

/// Private talk, conference and hand-over with an expert whose Teams client rings over Direct Routing.
async fn pairing(over_acs: bool) -> Test {
    let desk = Desk::open().await?;
    let house = &desk.house;
    let (call, customer) = desk.customer_reaches_alice(over_acs).await?;
    let hz = if over_acs { AT_ACS_HZ } else { CUSTOMER_HZ };
    let way = desk.until_way(&call, None).await?;
    assert_eq!((&way["over"], &way["clear"]), (&json!("trunk:teams"), &json!(true)), "{way:#}");
    assert!(house.proxy.state().stages.is_empty(), "shown, not done");

    let request = json!({"target": "erin", "via": "direct_routing"});
    let consult = desk.api.consult(&call, request).await?;
    until_up(house, 0).await?;
    let erin = house.proxy.ear(0).await?.ok_or("an ear")?;
    let alice = house.alice.ear().await?;
    until_heard(&alice, TEAMS_HZ).await?;
    until_heard(&erin, AGENT_HZ).await?;
    let at_erin = erin.listen(A_WHILE).await?;
    assert!(at_erin.level_of(hz) < NOT_HEARD_DBFS, "{}", at_erin.level_of(hz));
    desk.customer_hears(&customer, &[], &[AGENT_HZ, TEAMS_HZ]).await?;

    // She was called as Microsoft wants a number to be called.
    let state = house.proxy.state();
    assert!(state.seen.broken.is_empty(), "{:?}", state.seen.broken);
    let invite = state.seen.last_invite.ok_or("an INVITE")?;
    let line = String::from_utf8_lossy(&invite).lines().next().unwrap_or_default().to_owned();
    assert!(line.starts_with(&format!("INVITE sip:{ERINS_NUMBER}@sip.pstnhub.microsoft.com:")), "{line}");
    assert!(line.contains(";user=phone"), "{line}");

    desk.api.speak_to(&consult.id, "conference").await?;
    until_heard(&erin, hz).await?;
    desk.customer_hears(&customer, &[AGENT_HZ, TEAMS_HZ], &[]).await?;

    desk.api.end_consult(&consult.id, "complete").await?;
    house.alice.over().await?;
    desk.customer_hears(&customer, &[TEAMS_HZ], &[AGENT_HZ]).await?;
    until_heard(&erin, hz).await?;
    let at_erin = erin.listen(A_WHILE).await?;
    assert!(at_erin.level_of(AGENT_HZ) < NOT_HEARD_DBFS, "{}", at_erin.level_of(AGENT_HZ));
    desk.api.hang_up(&call).await?;
    let over = |state: &State| state.stages == [Some(Stage::Over(None))];
    house.proxy.until("the gateway hangs up", over).await?;
    assert!(house.proxy.state().seen.broken.is_empty(), "{:?}", house.proxy.state().seen.broken);
    desk.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_at_a_carrier_and_an_expert_over_direct_routing() -> Test {
    pairing(false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_at_acs_and_an_expert_over_direct_routing() -> Test {
    pairing(true).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_trunk_to_microsoft_down_nobody_is_rung_and_the_refusal_says_so() -> Test {
    let desk = Desk::open().await?;
    let house = &desk.house;
    let (call, customer) = desk.customer_reaches_alice(false).await?;
    desk.until_way(&call, None).await?;

    // All of Microsoft falls. Nobody knows until somebody is called: the customer is back with Alice, and it is known.
    for site in 0..3 {
        house.proxy.fall(site).await?;
    }
    let wanted = json!({"target": "erin", "via": "direct_routing"});
    let consults = format!("/v1/calls/{call}/consults");
    let (status, began) = desk.post(&consults, &wanted).await?;
    assert!(status == 201 || status == 409, "{status}: {began}");
    desk.customer_hears(&customer, &[AGENT_HZ], &[TEAMS_HZ]).await?;

    let way = desk.until_way(&call, Some("T13")).await?;
    let findings = way["findings"].as_array().ok_or("findings")?;
    let down = findings.iter().find(|finding| finding["check"] == "T13").ok_or("T13")?;
    assert_eq!((&down["verdict"], &down["evidence"]["source"]), (&json!("fail"), &json!("sip")), "{down:#}");
    assert!(down["remedy"]["text"].as_str().is_some_and(|text| !text.is_empty()), "{down:#}");

    let (status, problem) = desk.post(&consults, &wanted).await?;
    assert_eq!((status, &problem["code"]), (409, &json!("not_cleared")), "{problem:#}");
    assert!(house.proxy.state().stages.is_empty(), "nobody was rung");
    desk.customer_hears(&customer, &[AGENT_HZ], &[TEAMS_HZ]).await?;
    let alice = house.alice.ear().await?;
    until_heard(&alice, CUSTOMER_HZ).await?;
    desk.close().await;
    Ok(())
}
