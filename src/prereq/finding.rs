//! One finding: what a check came to, what that means for the route, and what would mend it.

use std::time::SystemTime;

use serde::Serialize;

use super::check::{Check, Route};
use super::evidence::{Evidence, Verdict};

/// What a finding does to its route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// Nothing to say.
    Clear,
    /// Somebody should look at it; the route stands.
    Warns,
    /// Nobody is rung over this route.
    Refuses,
}

/// Who can mend something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Teams administrator, or Teams communications administrator.
    TeamsAdministrator,
    /// Somebody who assigns licences and edits users.
    UserAdministrator,
    /// Somebody who grants consent and manages applications.
    ApplicationAdministrator,
    /// Owner or contributor of the ACS resource.
    AzureAdministrator,
    /// Who runs this gateway.
    Operator,
    /// The person themself.
    Person,
}

/// What would mend a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// Who can.
    pub who: Who,
    /// What to do, in a sentence.
    pub text: String,
    /// The exact command, when there is one. It may have several lines.
    pub command: Option<String>,
    /// Where to click instead.
    pub portal: Option<&'static str>,
}

/// One check, applied to one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// Which route.
    pub route: Route,
    /// What it came to for this route.
    pub verdict: Verdict,
    /// A stable word for why.
    pub code: String,
    /// What it does to the route.
    pub weight: Weight,
    /// What it rests on; nothing when nothing is known.
    pub evidence: Option<Evidence>,
    /// What would mend it, when something is to be mended.
    pub remedy: Option<Remedy>,
}

/// What a remedy may name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Names<'a> {
    /// The immutable id of our ACS resource.
    pub(super) acs_id: Option<&'a str>,
    /// The person, as the directory calls them.
    pub(super) person: Option<&'a str>,
    /// The client id of the account's application.
    pub(super) client_id: Option<&'a str>,
}

/// What would mend `check` when it came to `verdict` for the reason `code`.
pub(super) fn remedy(check: Check, verdict: Verdict, code: &str, names: Names<'_>) -> Option<Remedy> {
    if matches!(verdict, Verdict::Pass | Verdict::NotApplicable) {
        return None;
    }
    let say = |who, text: &str| Remedy { who, text: text.to_owned(), command: None, portal: None };
    let person = names.person.map_or_else(|| "'<user>'".to_owned(), quoted);
    // What keeps a check from being answered is mended first, whatever the check.
    if code == "permission_missing" {
        return Some(Remedy {
            command: Some("sidetone consent-url -c FILE --tenant ID".to_owned()),
            portal: Some("Entra admin center > App registrations > API permissions > Grant admin consent"),
            ..say(Who::ApplicationAdministrator, "grant the permission to the application")
        });
    }
    if matches!(code, "not_in_this_cloud" | "evidence_missing" | "evidence_expired")
        && matches!(
            check,
            Check::EnterpriseVoice
                | Check::TeamsNumber
                | Check::TeamsOnly
                | Check::NetworkRanges
                | Check::EnhancedVoice
        )
    {
        return Some(attest(
            check,
            "no source can answer this here: check it and attest it with date and note",
        ));
    }
    Some(match check {
        Check::CredentialsComplete => Remedy {
            portal: Some("Entra admin center > App registrations > Overview, and Certificates & secrets"),
            ..say(
                Who::Operator,
                "write entra_tenant, client_id, object_id and a credential into [[integration]] and reload",
            )
        },
        Check::Token => Remedy {
            command: Some("POST /v1/integration/teams/test".to_owned()),
            ..say(Who::Operator, "test the connection; its answer says which part is refused")
        },
        Check::ObjectId => Remedy {
            portal: Some("Entra admin center > App registrations > Overview"),
            ..say(Who::Operator, "copy Object ID and Application (client) ID from the same application")
        },
        Check::SecretExpiry => Remedy {
            portal: Some(
                "Entra admin center > App registrations > Certificates & secrets > New client secret",
            ),
            ..say(
                Who::ApplicationAdministrator,
                "make a new credential, put it where [[integration]] points to, and reload",
            )
        },
        Check::Roles => Remedy {
            command: Some("sidetone consent-url -c FILE --tenant ID".to_owned()),
            portal: Some("Entra admin center > App registrations > API permissions > Grant admin consent"),
            ..say(
                Who::ApplicationAdministrator,
                "grant the missing permissions, then test the connection again",
            )
        },
        Check::AcsId => Remedy {
            command: Some(
                "az communication list --query \"[].{name:name, id:immutableResourceId}\"".to_owned(),
            ),
            portal: Some("Azure portal > Communication Service > Properties > Immutable resource ID"),
            ..say(
                Who::AzureAdministrator,
                "name acs_resource in [[integration]] and give the application Reader on it",
            )
        },
        Check::Federation | Check::ResourceAllowed if verdict == Verdict::Unknown => collect(),
        Check::Federation | Check::ResourceAllowed => Remedy {
            command: Some(allow_list(names.acs_id)),
            ..say(
                Who::TeamsAdministrator,
                "let the tenant take calls of this ACS resource; takes some minutes",
            )
        },
        Check::ExternalAccess if verdict == Verdict::Unknown => collect(),
        Check::ExternalAccess => Remedy {
            command: Some(
                "Set-CsExternalAccessPolicy -Identity Global -EnableAcsFederationAccess $true".to_owned(),
            ),
            ..say(
                Who::TeamsAdministrator,
                "allow ACS in the external access policy that applies to this person",
            )
        },
        Check::AcsReachable => {
            say(Who::Operator, "check the ACS endpoint, its access key and the way out of this network")
        }
        Check::NetworkRanges => say(
            Who::Operator,
            "open the firewall for Microsoft's media and signalling ranges, then attest it with date and note",
        ),
        Check::MeetingPolicy => Remedy {
            command: Some(format!(
                "New-CsApplicationAccessPolicy -Identity Sidetone -AppIds {}\nGrant-CsApplicationAccessPolicy -PolicyName Sidetone -Identity {person}",
                quoted(names.client_id.unwrap_or("<client id>")),
            )),
            ..say(Who::TeamsAdministrator, "grant the application access policy; takes up to 30 minutes")
        },
        Check::EnhancedVoice => attest(check, "finish the enhanced voice set-up of the tenant and attest it"),
        Check::TrunkUp => Remedy {
            command: Some("Get-CsOnlinePSTNGateway".to_owned()),
            portal: Some("Teams admin center > Voice > Direct Routing > SBCs"),
            ..say(Who::Operator, "bring the trunk up: certificate, name, port and OPTIONS in both directions")
        },
        Check::Exists => match code {
            "account_disabled" => Remedy {
                portal: Some("Entra admin center > Users > Account status"),
                ..say(Who::UserAdministrator, "enable sign-in for the account, or choose somebody else")
            },
            _ => say(Who::Operator, "write the user principal name or object id as the directory has it"),
        },
        Check::Kind => match code {
            "guest" => say(Who::Operator, "a guest is reached over PSTN only: use `via: pstn`"),
            "resource_account" => {
                say(Who::Operator, "this is a voice application, not a person: choose a person")
            }
            "homed_on_premises" => Remedy {
                command: Some(format!("Move-CsUser -Identity {person} -Target sipfed.online.lync.com")),
                ..say(Who::TeamsAdministrator, "move the person to the cloud")
            },
            "not_a_person" => {
                say(Who::Operator, "a bare number is dialled over PSTN; name a person for this route")
            }
            _ => say(Who::Operator, "choose a member of the tenant"),
        },
        Check::Licence => match code {
            "pending" => say(Who::UserAdministrator, "wait: a new licence may need up to 24 hours"),
            _ => Remedy {
                portal: Some(
                    "Microsoft 365 admin center > Users > Licenses and apps > Microsoft Teams Phone",
                ),
                ..say(Who::UserAdministrator, "assign a Teams Phone licence")
            },
        },
        Check::EnterpriseVoice => Remedy {
            command: Some(format!(
                "Set-CsPhoneNumberAssignment -Identity {person} -EnterpriseVoiceEnabled $true"
            )),
            ..say(Who::TeamsAdministrator, "switch Enterprise Voice on; assigning a number does it as well")
        },
        Check::OfficePhone => Remedy {
            portal: Some("Entra admin center > Users > Contact information > Office phone"),
            ..say(Who::UserAdministrator, "enter the person's office phone, as +14255550100")
        },
        Check::Number => Remedy {
            portal: Some("Entra admin center > Users > Contact information > Office phone"),
            ..say(Who::UserAdministrator, "write the number with + and country code; 00 becomes +")
        },
        Check::TeamsNumber => Remedy {
            command: Some(format!(
                "Set-CsPhoneNumberAssignment -Identity {person} -TelephoneNumber '<+number>' -NumberType DirectRouting"
            )),
            portal: Some("Teams admin center > Users > Phone number"),
            ..say(Who::TeamsAdministrator, "assign a Direct Routing number")
        },
        Check::NumbersAgree => say(
            Who::UserAdministrator,
            "directory and Teams name different numbers: correct the office phone, or list `teams` first in phones",
        ),
        Check::Presence => say(Who::Person, "ring later, or somebody else"),
        Check::DesktopClient => {
            say(Who::Person, "sign in to Teams on a desktop; mobile clients do not ring everywhere")
        }
        Check::TeamsOnly => Remedy {
            command: Some(format!(
                "Grant-CsTeamsUpgradePolicy -PolicyName UpgradeToTeams -Identity {person}"
            )),
            ..say(Who::TeamsAdministrator, "put the person into Teams Only mode")
        },
        Check::Group => match code {
            "not_enabled_here" => {
                say(Who::Operator, "add the person to the account's `people`, or remove that list")
            }
            _ => Remedy {
                portal: Some("Entra admin center > Groups > Members"),
                ..say(Who::UserAdministrator, "put who asks into the agent or supervisor group")
            },
        },
    })
}

/// Reads, merges, writes: a literal list would drop what others put there.
pub(super) fn allow_list(acs_id: Option<&str>) -> String {
    format!(
        "$id  = {}\n\
         $cur = Get-CsTeamsAcsFederationConfiguration\n\
         $new = @($cur.AllowedAcsResources) + $id | Where-Object {{ $_ }} | Sort-Object -Unique\n\
         Set-CsTeamsAcsFederationConfiguration -EnableAcsUsers $true -AllowedAcsResources $new",
        quoted(acs_id.unwrap_or("<immutable resource id>")),
    )
}

fn collect() -> Remedy {
    Remedy {
        who: Who::TeamsAdministrator,
        text: "there is no API for this: run the collector in PowerShell and import its file".to_owned(),
        command: Some(
            "sidetone teams collect > collect.ps1\nsidetone teams import teams-evidence.json -c FILE"
                .to_owned(),
        ),
        portal: None,
    }
}

fn attest(check: Check, text: &str) -> Remedy {
    Remedy {
        who: Who::Operator,
        text: text.to_owned(),
        command: Some(format!(
            "POST /v1/integration/teams/evidence {{\"attest\": {{\"check\": \"{check}\", \"verdict\": \"pass\", \"note\": \"…\"}}}}"
        )),
        portal: None,
    }
}

/// A PowerShell text that nothing is expanded in.
fn quoted(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).collect();
    // PowerShell takes the typographic quotation marks for the straight one.
    format!("'{}'", plain.replace(['\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}'], "'").replace('\'', "''"))
}

/// When the first piece of evidence behind `findings` ends.
pub(super) fn earliest_end<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Option<SystemTime> {
    findings
        .into_iter()
        .filter(|finding| finding.verdict == Verdict::Pass)
        .filter_map(|finding| Some(finding.evidence.as_ref()?.expires_at))
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allow_list_is_read_merged_and_written() {
        let command = allow_list(Some("faced04c-2ced-433d-90db-063e424b87b1"));
        assert_eq!(
            command,
            "$id  = 'faced04c-2ced-433d-90db-063e424b87b1'\n\
             $cur = Get-CsTeamsAcsFederationConfiguration\n\
             $new = @($cur.AllowedAcsResources) + $id | Where-Object { $_ } | Sort-Object -Unique\n\
             Set-CsTeamsAcsFederationConfiguration -EnableAcsUsers $true -AllowedAcsResources $new"
        );
        for code in ["federation_off", "not_on_the_list"] {
            for check in [Check::Federation, Check::ResourceAllowed] {
                let remedy = remedy(check, Verdict::Fail, code, Names::default()).unwrap();
                assert!(remedy.command.unwrap().contains("$cur.AllowedAcsResources"));
            }
        }
    }

    #[test]
    fn whatever_fails_or_is_unknown_has_somebody_who_can_mend_it() {
        for check in Check::ALL {
            for verdict in Verdict::ALL {
                let remedy = remedy(*check, verdict, "x", Names::default());
                let needed = matches!(verdict, Verdict::Fail | Verdict::Unknown);
                assert_eq!(remedy.is_some(), needed, "{check} {verdict:?}");
                assert!(remedy.is_none_or(|remedy| !remedy.text.is_empty()), "{check}");
            }
        }
    }

    #[test]
    fn a_name_cannot_break_out_of_a_command() {
        let names = Names { person: Some("o'brien’; Remove-Item *\n@x"), ..Names::default() };
        let remedy = remedy(Check::EnterpriseVoice, Verdict::Fail, "off", names).unwrap();
        assert_eq!(
            remedy.command.unwrap(),
            "Set-CsPhoneNumberAssignment -Identity 'o''brien''; Remove-Item *@x' -EnterpriseVoiceEnabled $true"
        );
    }
}
