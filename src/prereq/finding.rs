//! One finding: what a check came to, what that means for the route, and what would mend it.

use serde::Serialize;

use super::check::{About, Check, Route};
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
    let look_up = || format!("Get-CsOnlineUser -Identity {person}");
    // What keeps a check from being answered is mended first, whatever the check.
    match code {
        "permission_missing" => return Some(consent("grant the permission that the finding names")),
        "source_unavailable" | "no_token" => {
            let text = "the source gave no answer, which says nothing about the subject; the finding names what came instead";
            return Some(Remedy { command: Some(TEST.to_owned()), ..say(Who::Operator, text) });
        }
        "not_in_this_cloud" => {
            return Some(attest(
                check,
                names,
                "no API answers this in this cloud: look, and attest what you saw",
            ));
        }
        "evidence_missing" | "evidence_expired" => match check {
            Check::TeamsOnly | Check::NetworkRanges | Check::EnhancedVoice | Check::MeetingPolicy => {
                return Some(attest(check, names, "no API answers this: look, and attest what you saw"));
            }
            Check::TrunkUp => {
                let text = "name the trunk to this tenant's Teams as direct_routing_trunk in [[integration]]; the state of a named one is known within a minute";
                return Some(Remedy { command: Some(CHECK.to_owned()), ..say(Who::Operator, text) });
            }
            Check::CredentialsComplete
            | Check::AcsId
            | Check::Federation
            | Check::ResourceAllowed
            | Check::AcsReachable
            | Check::ExternalAccess => {}
            _ => {
                let text = "this has not been read: complete the account, or ask again in a moment";
                return Some(Remedy { command: Some(TEST.to_owned()), ..say(Who::Operator, text) });
            }
        },
        _ => {}
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
            command: Some(TEST.to_owned()),
            ..say(Who::Operator, "test the connection; its answer says which part is refused")
        },
        Check::ObjectId => Remedy {
            portal: Some("Entra admin center > App registrations > Overview"),
            ..say(Who::Operator, "copy Object ID and Application (client) ID from the same application")
        },
        Check::SecretExpiry if verdict == Verdict::Unknown => Remedy {
            command: Some("PUT /v1/integration/teams {\"expires\": \"<YYYY-MM-DD>\"}".to_owned()),
            portal: Some("Entra admin center > App registrations > Certificates & secrets"),
            ..say(Who::Operator, "read the credential's last day and write it as `expires`")
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
        Check::Roles => consent("grant the missing permissions, then test the connection again"),
        // Without our own id there is nothing to look for on the list.
        Check::ResourceAllowed if code == "acs_id_unknown" => {
            return remedy(Check::AcsId, verdict, "not_said", names);
        }
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
        Check::AcsReachable => Remedy {
            portal: Some("Azure portal > Communication Service > Keys, and Resource health"),
            ..say(Who::Operator, "check the endpoint in [[acs]] and the way out of this network to it")
        },
        Check::NetworkRanges => attest(
            check,
            names,
            "open the firewall for Microsoft's media and signalling ranges, and attest it",
        ),
        Check::MeetingPolicy => Remedy {
            command: Some(format!(
                "New-CsApplicationAccessPolicy -Identity Sidetone -AppIds {}\nGrant-CsApplicationAccessPolicy -PolicyName Sidetone -Identity {person}",
                quoted(names.client_id.unwrap_or("<client id>")),
            )),
            ..say(Who::TeamsAdministrator, "grant the application access policy; takes up to 30 minutes")
        },
        Check::EnhancedVoice => {
            attest(check, names, "finish the enhanced voice set-up of the tenant and attest it")
        }
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
            _ => Remedy {
                command: Some(look_up()),
                portal: Some("Entra admin center > Users > User principal name"),
                ..say(Who::Operator, "write the user principal name or object id as the directory has it")
            },
        },
        Check::Kind => match code {
            "guest" => Remedy {
                command: Some(over_pstn(&person)),
                ..say(Who::Operator, "a guest is reached over PSTN only")
            },
            "resource_account" => Remedy {
                portal: Some("Teams admin center > Voice > Resource accounts"),
                ..say(Who::Operator, "this is a voice application, not a person: choose a person")
            },
            "homed_on_premises" => Remedy {
                command: Some(format!("Move-CsUser -Identity {person} -Target sipfed.online.lync.com")),
                ..say(Who::TeamsAdministrator, "move the person to the cloud")
            },
            "not_a_person" => Remedy {
                command: Some("sidetone preflight '<user>' --via auto -c FILE".to_owned()),
                ..say(Who::Operator, "a bare number is dialled over PSTN; name a person for this route")
            },
            _ => Remedy {
                command: Some(look_up()),
                portal: Some("Entra admin center > Users > User type"),
                ..say(Who::Operator, "choose a member of the tenant")
            },
        },
        Check::Licence => match code {
            "pending" => Remedy {
                portal: Some(LICENCES),
                ..say(Who::UserAdministrator, "wait: a new licence may need up to 24 hours")
            },
            _ => Remedy {
                portal: Some(LICENCES),
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
        Check::NumbersAgree => Remedy {
            command: Some("PUT /v1/integration/teams {\"phones\": [\"teams\", \"business\"]}".to_owned()),
            portal: Some("Entra admin center > Users > Contact information > Office phone"),
            ..say(
                Who::UserAdministrator,
                "directory and Teams name different numbers: correct the office phone, or prefer the Teams number",
            )
        },
        Check::Presence => Remedy {
            command: Some(format!("sidetone preflight {person} --via auto -c FILE")),
            ..say(Who::Person, "ring later, or somebody else")
        },
        Check::DesktopClient => Remedy {
            command: Some(over_pstn(&person)),
            ..say(
                Who::Person,
                "sign in to Teams on a desktop, since other clients do not ring everywhere; or try the telephone",
            )
        },
        Check::TeamsOnly => Remedy {
            command: Some(format!(
                "Grant-CsTeamsUpgradePolicy -PolicyName UpgradeToTeams -Identity {person}"
            )),
            ..say(Who::TeamsAdministrator, "put the person into Teams Only mode")
        },
        Check::Group => match code {
            "not_enabled_here" => Remedy {
                command: Some(
                    "PUT /v1/integration/teams {\"people\": [\"<all who may be asked>\"]}".to_owned(),
                ),
                ..say(Who::Operator, "add the person to the account's `people`, or leave that list out")
            },
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

/// A request to the gateway's own API that tells why a source is silent.
const TEST: &str = "POST /v1/integration/teams/test";
/// Speaks to every destination of every trunk, once.
const CHECK: &str = "sidetone check FILE --online";
const LICENCES: &str = "Microsoft 365 admin center > Users > Licenses and apps > Microsoft Teams Phone";

fn over_pstn(person: &str) -> String {
    format!("sidetone preflight {person} --via pstn -c FILE")
}

fn consent(text: &str) -> Remedy {
    Remedy {
        who: Who::ApplicationAdministrator,
        text: text.to_owned(),
        command: Some("sidetone consent-url -c FILE --tenant ID".to_owned()),
        portal: Some("Entra admin center > App registrations > API permissions > Grant admin consent"),
    }
}

/// An operator's word, as the API takes it.
fn attest(check: Check, names: Names<'_>, text: &str) -> Remedy {
    let mut word = serde_json::json!({"check": check.id(), "verdict": "pass", "note": "<what you saw>"});
    if let (About::Person, Some(word)) = (check.about(), word.as_object_mut()) {
        word.insert("person".to_owned(), names.person.unwrap_or("<user>").into());
    }
    let body = serde_json::json!({ "attest": word });
    Remedy {
        who: Who::Operator,
        text: text.to_owned(),
        command: Some(format!("POST /v1/integration/teams/evidence {body}")),
        portal: None,
    }
}

/// A PowerShell text that nothing is expanded in.
fn quoted(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).collect();
    // PowerShell takes the typographic quotation marks for the straight one.
    format!("'{}'", plain.replace(['\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}'], "'").replace('\'', "''"))
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
        // Every word that a source or a rule gives as a reason.
        const CODES: [&str; 19] = [
            "x",
            "permission_missing",
            "source_unavailable",
            "not_in_this_cloud",
            "evidence_missing",
            "evidence_expired",
            "no_token",
            "no_match",
            "acs_id_unknown",
            "account_disabled",
            "no_such_user",
            "guest",
            "resource_account",
            "homed_on_premises",
            "not_a_person",
            "pending",
            "not_enabled_here",
            "not_in_group",
            "not_said",
        ];
        for check in Check::ALL {
            for verdict in Verdict::ALL {
                for code in CODES {
                    let remedy = remedy(*check, verdict, code, Names::default());
                    let needed = matches!(verdict, Verdict::Fail | Verdict::Unknown);
                    assert_eq!(remedy.is_some(), needed, "{check} {verdict:?} {code}");
                    let Some(remedy) = remedy else { continue };
                    assert!(!remedy.text.is_empty(), "{check} {code}");
                    assert!(
                        remedy.command.is_some() || remedy.portal.is_some(),
                        "{check} {verdict:?} {code}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_could_not_be_read_is_not_mended_by_a_change() {
        for check in Check::ALL {
            for code in ["source_unavailable", "permission_missing", "not_in_this_cloud"] {
                let remedy = remedy(*check, Verdict::Unknown, code, Names::default()).unwrap();
                let command = remedy.command.unwrap();
                assert!(
                    !command.contains("Set-Cs") && !command.contains("Grant-Cs"),
                    "{check} {code}: {command}"
                );
            }
        }
        let unread = remedy(Check::SecretExpiry, Verdict::Unknown, "no_match", Names::default()).unwrap();
        assert!(!unread.text.contains("new"), "an unknown end is no reason for a new secret");
    }

    #[test]
    fn an_attestation_is_what_the_api_takes() {
        let names = Names { person: Some("o'brien\"@example.com"), ..Names::default() };
        let remedy = remedy(Check::TeamsOnly, Verdict::Unknown, "evidence_missing", names).unwrap();
        let command = remedy.command.unwrap();
        let body: serde_json::Value =
            serde_json::from_str(command.strip_prefix("POST /v1/integration/teams/evidence ").unwrap())
                .unwrap();
        assert_eq!(body["attest"]["person"], "o'brien\"@example.com");
        assert_eq!(body["attest"]["check"], "U12");
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
