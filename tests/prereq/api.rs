//! The account, the evidence and the preflight as clients of the API meet them, with tokens of both kinds.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sidetone::api::{ApiConfig, ApiState, Issuers, Readiness, SharedIssuers, Token, Tokens};
use sidetone::call::CallId;
use sidetone::call::rights::Actor;
use sidetone::observe::{Audience, Event, Journal as _, Ledger, LedgerSettings, Store, metrics};
use sidetone::prereq::{Route, Subject, rule};
use sidetone::sim::graph::Person;
use sidetone::switchboard::desk::{Asked, Desk, Preview, Refusal, Request, WayView};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::entra::{Signer, seconds};
use crate::stage::{ACS, ADELE, Stage};

const GROUP: &str = "99999999-0000-0000-0000-000000000001";

struct Api {
    stage: Stage,
    base: String,
    http: reqwest::Client,
    signer: Signer,
    issuers: SharedIssuers,
    /// What reaches the switchboard.
    inbox: mpsc::Receiver<Asked>,
    ledger: Ledger,
    _dir: tempfile::TempDir,
}

impl Api {
    async fn new() -> Api {
        let stage = Stage::with(&format!(
            "agent_group = '{GROUP}'\napi_tokens = {{ audience = ['api://sidetone'], people = {{ '{ADELE}' = 'alice' }} }}\n\
             [acs_listener]\nlisten = '127.0.0.1:0'\n[[acs]]\nid = 'contoso'\ntenant = 'acme'\n\
             endpoint = 'https://contoso.example.com'\naccess_key_file = 'key.b64'\ncallback_url = 'https://gateway.example.com'\n\
             resource_id = '{ACS}'\nwebhook_secret_file = 'x'\ncaller_id = '+14255550199'\n\
             [[price]]\nroute = 'voip'\nper_minute = '0.004'\ncurrency = 'USD'\nfrom = 2025-01-01"
        ))
        .await;
        let signer = Signer::new("k1");
        stage.cloud.world().jwks = json!({"keys": [signer.jwk]});
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", dir.path().join("store").display())).await.unwrap();
        let (ledger, writer) = Ledger::open(store, LedgerSettings::default()).await.unwrap();
        tokio::spawn(writer.run());
        let token = |name: &str, actor| Token {
            name: name.into(),
            sha256: Sha256::digest(name.as_bytes()).into(),
            actor,
            expires: None,
        };
        let tenant = || stage.tenant.clone();
        let other = sbc_config::TenantId::new("other").unwrap();
        let tokens = Tokens::new(vec![
            token("admin", Actor::TenantAdmin { tenant: tenant() }),
            token("alice", Actor::Agent { tenant: tenant(), person: "alice".parse().unwrap() }),
            token("foreign", Actor::TenantAdmin { tenant: other }),
            token("operator", Actor::Operator),
        ]);
        let issuers: SharedIssuers = Arc::new(ArcSwap::from_pointee(Issuers::of(&stage.config).unwrap()));
        let (desk, inbox) = Desk::new();
        let state = ApiState::new(
            desk,
            Arc::new(ArcSwap::from_pointee(tokens)),
            ledger.clone(),
            Arc::new(Readiness::default()),
            metrics::install().unwrap(),
            ApiConfig::default(),
        )
        .with_configuration(Arc::new(ArcSwap::from_pointee(stage.config.clone())))
        .with_prerequisites(stage.engine.clone(), issuers.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(sidetone::api::serve(listener, state, std::future::pending()));
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        Api { stage, base, http, signer, issuers, inbox, ledger, _dir: dir }
    }

    async fn ask(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    async fn put(&self, body: Value) -> (StatusCode, Value) {
        self.ask(Method::PUT, "/v1/integration/teams", "admin", Some(body)).await
    }

    fn entra(&self, claims: Value) -> String {
        let mut all = json!({"aud": "api://sidetone", "exp": seconds() + 600, "oid": ADELE,
            "iss": format!("{}/11111111-2222-3333-4444-555555555555/v2.0", self.stage.cloud.base())});
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.signer.sign("k1", &all)
    }
}

#[tokio::test]
async fn a_tenant_has_one_account_and_no_secret_is_taken() {
    let api = Api::new().await;
    let code = |(status, body): (StatusCode, Value)| {
        (status.as_u16(), body["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(code(api.put(json!({"client_secret": "x"})).await), (422, "secret_not_accepted".into()));
    let another = json!({"client_id": "cccccccc-0000-0000-0000-000000000001"});
    assert_eq!(code(api.put(another).await), (409, "integration_exists".into()));
    let (status, view) = api.put(json!({"phones": ["mobile"], "people": ["ben@example.com"]})).await;
    assert_eq!(
        (status, &view["phones"], &view["complete"]),
        (StatusCode::OK, &json!(["mobile"]), &json!(true))
    );
    assert!(!view.to_string().contains("canary"));
    let (_, said) =
        api.ask(Method::POST, "/v1/preflights", "admin", Some(json!({"target": ADELE, "via": "voip"}))).await;
    let findings = said["routes"][0]["findings"].as_array().unwrap();
    assert!(findings.iter().any(|one| one["code"] == "not_enabled_here"), "{said}");
    let (status, _) = api.ask(Method::DELETE, "/v1/integration/teams", "admin", None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (_, view) = api.ask(Method::GET, "/v1/integration/teams", "admin", None).await;
    assert!(view.get("people").is_none(), "{view}");
    for (token, status) in [("alice", 403), ("operator", 403), ("foreign", 404), ("nobody", 401)] {
        let (said, _) = api.ask(Method::GET, "/v1/integration/teams", token, None).await;
        assert_eq!(said.as_u16(), status, "{token}");
    }
}

#[tokio::test]
async fn a_preflight_explains_and_evidence_mends() {
    let api = Api::new().await;
    api.stage.engine.forget(&api.stage.tenant);
    let preflight = json!({"target": "adele@example.com", "via": "voip"});
    let (_, said) = api.ask(Method::POST, "/v1/preflights", "alice", Some(preflight.clone())).await;
    let of = |said: &Value, check: &str| {
        let all = said["routes"][0]["findings"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["check"] == check).unwrap()
    };
    assert_eq!(said["routes"][0]["clear"], false);
    assert_eq!(of(&said, "T07")["verdict"], "unknown");
    assert_eq!(of(&said, "T07")["remedy"]["who"], "teams_administrator");
    let file = json!({"schema": "sidetone.teams-evidence/1", "tenantId": "{11111111-2222-3333-4444-555555555555}",
        "collectedAt": jiff::Timestamp::now().to_string(),
        "acsFederation": {"EnableAcsUsers": "True", "AllowedAcsResources": []},
        "externalAccess": [{"Identity": "Global", "EnableAcsFederationAccess": true}]});
    let give = async |body: Value| {
        api.ask(Method::POST, "/v1/integration/teams/evidence", "admin", Some(body)).await
    };
    assert_eq!(give(json!({"import": file.clone()})).await.1["taken"], 2);
    let (_, said) = api.ask(Method::POST, "/v1/preflights", "alice", Some(preflight.clone())).await;
    let command = of(&said, "T08")["remedy"]["command"].as_str().unwrap().to_owned();
    assert!(command.contains(ACS) && command.contains("$cur.AllowedAcsResources"), "{command}");
    let mut fixed = file.clone();
    fixed["acsFederation"]["AllowedAcsResources"] = json!([ACS]);
    fixed["collectedAt"] = json!(jiff::Timestamp::now().to_string());
    give(json!({"import": fixed})).await;
    let (_, said) = api.ask(Method::POST, "/v1/preflights", "alice", Some(preflight)).await;
    assert_eq!(said["route"], "voip", "{said}");
    // And what a consult would show: over what, and what it costs.
    let way = &said["preview"]["ways"][0];
    assert_eq!((&said["preview"]["taken"], &way["over"]), (&json!(0), &json!("acs:contoso")), "{said}");
    assert_eq!(way["cost"]["per_minute"], "0.004");
    // Looked at twice, and seen the same.
    let seen = |of: &Value| -> Vec<(Value, Value, Value)> {
        let findings = of["findings"].as_array().unwrap().iter();
        findings.map(|one| (one["check"].clone(), one["code"].clone(), one["weight"].clone())).collect()
    };
    assert_eq!(seen(way), seen(&said["routes"][0]));
    let mut wrong = file;
    wrong["tenantId"] = json!("22222222-2222-3333-4444-555555555555");
    assert_eq!(give(json!({"import": wrong})).await.1["code"], "import_wrong_tenant");
    let word = json!({"attest": {"check": "T10", "verdict": "pass", "note": "change 4711"}});
    assert_eq!(give(word).await.1["taken"], 1);
    let empty = json!({"attest": {"check": "T10", "verdict": "pass", "note": " "}});
    assert_eq!(give(empty).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let of_no_use = json!({"attest": {"check": "T11", "verdict": "pass", "note": "seen"}});
    assert_eq!(give(of_no_use).await.0, StatusCode::UNPROCESSABLE_ENTITY, "no route needs it");
}

/// Nobody is told that they would be rung over something that is not there, or that they cannot be where they can.
#[tokio::test]
async fn a_preflight_says_what_a_consult_would_do_with_what_is_configured() {
    let api = Api::new().await;
    let ask = async |target: &str, via: &str| {
        api.ask(Method::POST, "/v1/preflights", "alice", Some(json!({"target": target, "via": via}))).await
    };
    let (_, all) = ask(ADELE, "auto").await;
    let obstacles: Vec<_> =
        all["routes"].as_array().unwrap().iter().map(|r| (&r["via"], &r["obstacle"])).collect();
    assert!(obstacles.contains(&(&json!("direct_routing"), &json!("not_configured"))), "{all:#}");
    assert!(!all["preview"].to_string().contains("direct_routing"), "it is no way here");
    let (_, only) = ask(ADELE, "direct_routing").await;
    assert_eq!((only.get("route"), only.get("preview")), (None, None), "{only}");
    assert_eq!(only["routes"][0]["clear"], false);
    // Whoever follows the tenant's events is told what came of it, and nobody else.
    let told = api.ledger.follow(Some(0), Some(api.stage.tenant.clone())).next().await.unwrap().events;
    let told: Vec<_> = told.iter().filter(|event| &*event.kind == "preflight.completed").collect();
    let last = told.last().expect("it was told").data_value();
    assert_eq!((&last["route"], &last["refused"]), (&Value::Null, &json!(["direct_routing"])), "{last}");
    assert_eq!(told.len(), 2);
    // A colleague's telephone needs nothing of Microsoft.
    let (status, colleague) = ask("alice", "auto").await;
    assert_eq!(
        (status, &colleague["routes"], &colleague["preview"]["taken"]),
        (StatusCode::OK, &json!([]), &json!(0))
    );
    let (status, nobody) = ask("nobody at all", "auto").await;
    assert_eq!((status.as_u16(), &nobody["code"]), (422, &json!("target_invalid")), "{nobody}");
}

#[tokio::test]
async fn what_an_entra_token_lets_its_bearer_do() {
    let api = Api::new().await;
    let admin = "/v1/integration/teams";
    for (claims, right) in [
        (json!({"roles": ["Sidetone.Admin"]}), (200, "")),
        (json!({"roles": ["Sidetone.Agent"]}), (403, "role_forbids")),
        (
            json!({"roles": ["Sidetone.Agent"], "oid": "00000000-0000-0000-0000-00000000000f"}),
            (403, "person_unknown"),
        ),
        (json!({"roles": ["Sidetone.Admin"], "oid": null}), (403, "person_unknown")),
        (json!({"roles": ["Other.Admin"], "groups": []}), (403, "role_missing")),
        (json!({"groups": [GROUP]}), (403, "role_forbids")),
        (json!({"roles": ["Sidetone.Admin"], "aud": "https://graph.microsoft.com"}), (401, "token_invalid")),
        (json!({"roles": ["Sidetone.Admin"], "iss": "https://evil.example"}), (401, "token_invalid")),
        (json!({"roles": ["Sidetone.Admin"], "exp": seconds() - 3600}), (401, "token_invalid")),
    ] {
        let (status, body) = api.ask(Method::GET, admin, &api.entra(claims.clone()), None).await;
        assert_eq!((status.as_u16(), body["code"].as_str().unwrap_or_default()), right, "{claims}");
    }
    // Whom Entra vouches for and who has no role here stands in the audit; of tokens that are not good nobody knows whose.
    let (_, audit) = api.ask(Method::GET, "/v1/audit", "admin", None).await;
    let knocked = audit["items"].as_array().unwrap().iter().filter(|line| line["act"] == "use_api");
    let knocked: Vec<_> = knocked.map(|line| (line["token"].clone(), line["outcome"].clone())).collect();
    let line = |token: &str, outcome: &str| (json!(token), json!(outcome));
    assert_eq!(
        knocked,
        [
            line(&format!("entra:{ADELE}"), "role_missing"),
            line("entra:nobody", "person_unknown"),
            line("entra:00000000-0000-0000-0000-00000000000f", "person_unknown"),
        ],
        "newest first"
    );
    // Without roles and groups in the token, Graph says; and when it cannot, nobody is let in.
    let by_group = api.entra(json!({}));
    let (status, body) = api.ask(Method::GET, admin, &by_group, None).await;
    assert_eq!((status.as_u16(), &body["code"]), (403, &json!("role_missing")));
    let down = Api::new().await;
    down.stage.cloud.world().faults.push(("/users".into(), 503));
    let (status, body) = down.ask(Method::GET, admin, &down.entra(json!({})), None).await;
    assert_eq!((status.as_u16(), &body["code"]), (503, &json!("groups_unknown")));
}

/// Of somebody who is taken out of the configuration, or is another person there, nothing is told to who was let in before.
#[tokio::test]
async fn a_stream_that_an_entra_token_opened_ends_when_its_bearer_is_nobody_here_any_more() {
    let elsewhere = Stage::with(
        "api_tokens = { audience = ['api://sidetone'], people = { '5c802b19-0000-0000-0000-0000000000ff' = 'alice' } }",
    )
    .await;
    for after in [Issuers::default(), Issuers::of(&elsewhere.config).unwrap()] {
        let api = Api::new().await;
        let token = api.entra(json!({"roles": ["Sidetone.Agent"]}));
        let opening = api.http.get(format!("{}/v1/events", api.base)).bearer_auth(&token).send();
        let mut stream = opening.await.unwrap();
        assert_eq!(stream.status(), StatusCode::OK);
        let happens = |kind| {
            api.ledger.event(Event {
                kind,
                tenant: api.stage.tenant.clone(),
                call: Some(CallId(1)),
                audience: Audience { people: vec!["alice".parse().unwrap()], teams: Vec::new() },
                at: SystemTime::now(),
                data: json!({}),
            });
        };
        happens("call.ringing");
        let told = stream.chunk().await.unwrap().unwrap();
        assert!(String::from_utf8_lossy(&told).contains("call.ringing"));
        api.issuers.store(Arc::new(after));
        happens("call.answered");
        let rest = stream.chunk().await.unwrap();
        assert_eq!(rest, None, "the stream is over, and nothing is told any more");
        let (status, body) = api.ask(Method::GET, "/v1/session", &token, None).await;
        assert!(!status.is_success(), "{body}");
    }
}

/// Who asks is looked up in the group, at the dial as well: the API says who it is, and shows what the engine made of it.
#[tokio::test]
async fn a_consult_by_somebody_outside_the_group_is_refused_with_the_remedy() {
    let mut api = Api::new().await;
    api.stage.cloud.add(Person::ready(
        "5c802b19-0000-0000-0000-000000000011",
        "erin@example.com",
        "+14255550101",
    ));
    let token = api.entra(json!({"roles": ["Sidetone.Agent"]}));
    let path = format!("/v1/calls/{}/consults", CallId(1));
    let wanted = json!({"target": "erin@example.com", "via": "voip"});
    let asking = api.http.post(format!("{}{path}", api.base)).bearer_auth(token).json(&wanted).send();
    let (engine, tenant) = (api.stage.engine.clone(), api.stage.tenant.clone());
    // The switchboard, as far as it matters here.
    let inbox = &mut api.inbox;
    let ruling = async {
        let asked = inbox.recv().await.unwrap();
        let Request::Consult(wanted) = asked.request else { panic!("{:?}", asked.request) };
        assert_eq!(wanted.asker, Some(Subject::person(ADELE)));
        let target = rule::target(&wanted.wishes[0].target).unwrap();
        let judged = engine.judge(&tenant, &target, &[Route::Voip], wanted.asker.as_ref()).await.remove(0);
        assert!(judged.clearance.is_none());
        let way = WayView {
            target: wanted.wishes[0].target.clone(),
            via: Some(Route::Voip),
            over: None,
            clear: false,
            obstacle: Some("not_cleared"),
            findings: judged.findings,
            cost: None,
            only_if_not_reached: false,
        };
        let preview = Preview { ways: vec![way], taken: None, up: Vec::new() };
        asked.answer.send(Err(Refusal::NotCleared(Box::new(preview)))).unwrap();
    };
    let (answer, ()) = tokio::join!(asking, ruling);
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "not_cleared");
    let findings = problem["preview"]["ways"][0]["findings"].as_array().unwrap();
    let group = findings.iter().find(|finding| finding["check"] == "U13").unwrap();
    assert_eq!((&group["weight"], &group["code"]), (&json!("refuses"), &json!("not_in_group")), "{group:#}");
    assert_eq!(group["remedy"]["portal"], "Entra admin center > Groups > Members");
}
