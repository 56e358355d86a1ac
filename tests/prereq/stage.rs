//! One tenant with an account at the simulated cloud, and one person for whom everything is in order.

use std::time::{Duration, SystemTime};

use sbc_config::{Config, Integration, SecretError, SecretSource, TenantId};
use serde_json::json;
use sidetone::prereq::{Check, Engine, Evidence, Finding, Route, Source, Subject, Verdict, assess};
use sidetone::sim::graph::{Cloud, Person};

pub(crate) const ADELE: &str = "5c802b19-0000-0000-0000-000000000010";
pub(crate) const ACS: &str = "faced04c-2ced-433d-90db-063e424b87b1";
pub(crate) const SECRET: &str = "x7Q-canary-s3cret";

struct Drawer;

impl SecretSource for Drawer {
    fn file(&self, name: &str) -> Result<String, SecretError> {
        Ok(if name.ends_with(".b64") { "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0" } else { SECRET }.into())
    }

    fn env(&self, _: &str) -> Result<String, SecretError> {
        Err(SecretError::NotFound)
    }
}

pub(crate) struct Stage {
    pub(crate) cloud: Cloud,
    pub(crate) engine: Engine,
    pub(crate) tenant: TenantId,
    pub(crate) config: Config,
}

impl Stage {
    pub(crate) async fn new() -> Stage {
        Stage::with("").await
    }

    /// With more lines in `[[integration]]`.
    pub(crate) async fn with(more: &str) -> Stage {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let cloud = Cloud::start().await.unwrap();
        let base = cloud.base();
        let text = format!(
            "sip.udp = '127.0.0.1:5060'\n[[tenant]]\nid = 'acme'\n[[person]]\nid = 'alice'\ntenant = 'acme'\n\
             role = 'agent'\ncontact = 'sip:alice@192.0.2.1'\n[[integration]]\ntenant = 'acme'\n\
             entra_tenant = '11111111-2222-3333-4444-555555555555'\nclient_secret_file = 'x'\n\
             client_id = 'aaaaaaaa-0000-0000-0000-000000000001'\nobject_id = 'bbbbbbbb-0000-0000-0000-000000000002'\n\
             authority = '{base}'\ngraph = '{base}'\narm = '{base}'\nbudget_ms = 5000\n\
             acs_resource = '/subscriptions/s/resourceGroups/g/providers/Microsoft.Communication/communicationServices/n'\n{more}"
        );
        let config = Config::parse(&text, &Drawer).unwrap();
        cloud.add(Person::ready(ADELE, "adele@example.com", "+14255550100"));
        {
            let mut world = cloud.world();
            world.acs = json!({"properties": {"immutableResourceId": ACS}});
            world.application = json!({"id": "bbbbbbbb-0000-0000-0000-000000000002",
                "appId": "aaaaaaaa-0000-0000-0000-000000000001",
                "passwordCredentials": [{"hint": "x7Q", "endDateTime": "2099-01-01T00:00:00Z"}]});
        }
        let engine = Engine::new().unwrap();
        engine.configure(&config.integrations);
        let stage = Stage { cloud, engine, tenant: TenantId::new("acme").unwrap(), config };
        stage.note(Check::Federation, Subject::Tenant, Some(ACS));
        stage.note(Check::ExternalAccess, Subject::Tenant, None);
        stage.note(Check::TeamsOnly, Subject::person(ADELE), None);
        stage
    }

    /// As an import would say.
    pub(crate) fn note(&self, check: Check, subject: Subject, value: Option<&str>) {
        let evidence =
            Evidence::new(check, subject, Verdict::Pass, "imported", Source::Import, SystemTime::now());
        let evidence = match value {
            Some(value) => evidence.with_value(value),
            None => evidence,
        };
        self.engine.note(&self.tenant, [evidence]);
    }

    pub(crate) async fn findings(&self, who: &str, route: Route) -> Vec<Finding> {
        let target = sidetone::prereq::rule::target(who).unwrap();
        assess(&self.engine.facts(&self.tenant, &target, route, None).await)
    }

    pub(crate) async fn clear(&self, who: &str, route: Route) -> bool {
        let target = sidetone::prereq::rule::target(who).unwrap();
        sidetone::prereq::clear(&self.engine.facts(&self.tenant, &target, route, None).await).is_ok()
    }

    pub(crate) async fn one(&self, who: &str, route: Route, check: Check) -> (Verdict, String) {
        let all = self.findings(who, route).await;
        let one = all.into_iter().find(|finding| finding.check == check).unwrap();
        (one.verdict, one.code)
    }

    pub(crate) fn settings(&self) -> &Integration {
        &self.config.integrations[0]
    }

    /// An engine that knows nothing yet and waits for nobody.
    pub(crate) fn hurried(&self) -> Engine {
        let engine = Engine::new().unwrap();
        engine.configure(&[Integration { budget: Duration::from_millis(50), ..self.settings().clone() }]);
        engine
    }
}
