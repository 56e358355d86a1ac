//! A simulated tenant at Microsoft, with Erin, an expert who has no telephone here but Teams, and an administrator who
//! runs what a finding tells him.
//!
//! The federation with ACS is known to PowerShell alone, so that is what is played: of a command just what the product
//! writes is understood, and anything else is an error, so that a remedy that would mend nothing is found out.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use thiserror::Error;

use super::graph::{Cloud, Person};

/// The expert, as the configuration names her.
pub const EXPERT: &str = "erin";
/// How Teams names her to ACS.
pub const EXPERT_RAW_ID: &str = "8:orgid:5c802b19-0000-0000-0000-000000000010";
/// What she hums: away from the tones of the stage.
pub const EXPERT_HZ: f64 = 1_702.0;

const OBJECT_ID: &str = "5c802b19-0000-0000-0000-000000000010";
const PRINCIPAL: &str = "erin@example.com";
const TENANT: &str = "11111111-2222-3333-4444-555555555555";
/// The gateway's ACS resource, as Azure knows it.
pub const RESOURCE: &str = "faced04c-2ced-433d-90db-063e424b87b1";
/// Somebody else's, which is on the allow list already and must stay there.
const ANOTHER_RESOURCE: &str = "0ddba11c-0000-0000-0000-0000000000aa";

/// The tenant. Its services answer for as long as it is there.
pub struct Tenant {
    cloud: Cloud,
    federation: Mutex<Federation>,
}

struct Federation {
    enabled: bool,
    allowed: BTreeSet<String>,
}

/// A line of a command that the administrator's shell does not know.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the tenant's shell does not understand: {0}")]
pub struct NotUnderstood(String);

impl Tenant {
    /// The services on loopback, Erin ready, and the federation with ACS off.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start() -> io::Result<Tenant> {
        let cloud = Cloud::start().await?;
        cloud.add(Person::ready(OBJECT_ID, PRINCIPAL, "+14255550100"));
        cloud.world().acs = json!({"properties": {"immutableResourceId": RESOURCE}});
        let allowed = BTreeSet::from([ANOTHER_RESOURCE.to_owned()]);
        Ok(Tenant { cloud, federation: Mutex::new(Federation { enabled: false, allowed }) })
    }

    /// Its Graph, Entra and Azure.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// The settings of a gateway's tenant `demo` that go with it: the account, Erin, and what a minute costs.
    pub fn settings(&self) -> String {
        let base = self.cloud.base();
        format!(
            "[[integration]]\ntenant = \"demo\"\nentra_tenant = \"{TENANT}\"\nclient_secret_file = \"entra-secret\"\n\
             client_id = \"aaaaaaaa-0000-0000-0000-000000000001\"\nobject_id = \"bbbbbbbb-0000-0000-0000-000000000002\"\n\
             authority = \"{base}\"\ngraph = \"{base}\"\narm = \"{base}\"\nbudget_ms = 5000\n\
             acs_resource = \"/subscriptions/s/resourceGroups/g/providers/Microsoft.Communication/communicationServices/n\"\n\
             [[person]]\nid = \"{EXPERT}\"\ntenant = \"demo\"\nrole = \"agent\"\nteams = [\"support\"]\n\
             display_name = \"Erin\"\nteams_user = \"{PRINCIPAL}\"\nteams_routes = [\"voip\"]\n\
             [[price]]\nroute = \"voip\"\nper_minute = \"0.004\"\ncurrency = \"USD\"\nfrom = 2025-01-01\n"
        )
    }

    /// An administrator runs a command.
    ///
    /// # Errors
    /// With the first line that is not understood; nothing is changed then.
    pub fn runs(&self, command: &str) -> Result<(), NotUnderstood> {
        let (mut id, mut read, mut merged) = (None, false, false);
        let mut set = false;
        for line in command.lines().map(str::trim) {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            match (name.trim(), value.trim()) {
                ("$id", text) => {
                    id = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).map(str::to_owned);
                }
                ("$cur", "Get-CsTeamsAcsFederationConfiguration") => read = true,
                ("$new", text) if read && text.starts_with("@($cur.AllowedAcsResources) + $id |") => {
                    merged = true
                }
                (
                    "Set-CsTeamsAcsFederationConfiguration -EnableAcsUsers $true -AllowedAcsResources $new",
                    "",
                ) if merged => {
                    set = true;
                }
                _ => return Err(NotUnderstood(line.to_owned())),
            }
        }
        let id = id.filter(|_| set).ok_or_else(|| NotUnderstood(command.to_owned()))?;
        let mut federation = self.federation();
        federation.enabled = true;
        federation.allowed.insert(id);
        Ok(())
    }

    /// The tenant takes calls of this gateway's ACS resource, whoever saw to that.
    pub fn opens(&self) {
        let mut federation = self.federation();
        federation.enabled = true;
        federation.allowed.insert(RESOURCE.to_owned());
    }

    fn federation(&self) -> MutexGuard<'_, Federation> {
        self.federation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file that the collector writes when it is run now.
    pub fn collected(&self) -> Value {
        let federation = self.federation();
        json!({
            "schema": "sidetone.teams-evidence/1",
            "collectedAt": jiff::Timestamp::now().to_string(),
            "tenantId": TENANT,
            "acsFederation": {
                "Identity": "Global",
                "EnableAcsUsers": federation.enabled,
                "AllowedAcsResources": federation.allowed,
            },
            "externalAccess": [{"Identity": "Global", "EnableAcsFederationAccess": true}],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMEDY: &str = "$id  = 'faced04c-2ced-433d-90db-063e424b87b1'\n\
         $cur = Get-CsTeamsAcsFederationConfiguration\n\
         $new = @($cur.AllowedAcsResources) + $id | Where-Object { $_ } | Sort-Object -Unique\n\
         Set-CsTeamsAcsFederationConfiguration -EnableAcsUsers $true -AllowedAcsResources $new";

    #[tokio::test]
    async fn a_remedy_is_carried_out_and_what_others_put_on_the_list_stays() {
        let tenant = Tenant::start().await.unwrap();
        assert_eq!(tenant.collected()["acsFederation"]["EnableAcsUsers"], false);
        tenant.runs(REMEDY).unwrap();
        let after = &tenant.collected()["acsFederation"];
        assert_eq!(after["EnableAcsUsers"], true);
        assert_eq!(after["AllowedAcsResources"], json!([ANOTHER_RESOURCE, RESOURCE]));
    }

    #[tokio::test]
    async fn half_a_remedy_mends_nothing() {
        let tenant = Tenant::start().await.unwrap();
        let lines: Vec<_> = REMEDY.lines().collect();
        for without in 0..lines.len() {
            let mut lines = lines.clone();
            lines.remove(without);
            assert!(tenant.runs(&lines.join("\n")).is_err(), "without line {without}");
        }
        assert!(tenant.runs("Remove-Item *").is_err());
        assert_eq!(tenant.collected()["acsFederation"]["EnableAcsUsers"], false);
    }
}
