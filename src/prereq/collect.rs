//! What no API tells: the collector an administrator runs, and its file.
//!
//! Whether a Teams tenant takes calls of ACS is known to PowerShell alone. The file comes from whatever PowerShell was
//! at hand, so it is read generously (encodings, truth values, lists) and trusted narrowly: the right tenant, a known
//! schema, not from the future.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::check::Check;
use super::evidence::{Evidence, Source, Subject, Verdict};
use super::read::is_guid;

/// The collector, to be run by a Teams administrator.
pub const SCRIPT: &str = "\
Connect-MicrosoftTeams
$o = [ordered]@{
  schema        = 'sidetone.teams-evidence/1'
  collectedAt   = (Get-Date).ToUniversalTime().ToString('o')
  tenantId      = [string](Get-CsTenant).TenantId
  acsFederation = Get-CsTeamsAcsFederationConfiguration | Select-Object Identity, EnableAcsUsers, AllowedAcsResources
  externalAccess = @(Get-CsExternalAccessPolicy | Select-Object Identity, EnableAcsFederationAccess)
}
$o | ConvertTo-Json -Depth 6 | Set-Content -Encoding utf8 teams-evidence.json
";

/// The schema this gateway reads.
const SCHEMA: &str = "sidetone.teams-evidence/1";
/// A larger file is refused. A tenant with a thousand policies makes some 100 KB.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The clock of the collecting machine may be ahead by this much.
const AHEAD_MAX: Duration = Duration::from_secs(5 * 60);
/// Resources of an allow list, and policies, that are looked at.
const LIST_MAX: usize = 2000;
/// People of one file that are looked at.
const PEOPLE_MAX: usize = 5000;

/// Why a file was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// More than [`FILE_BYTES_MAX`].
    #[error("the file is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// Neither UTF-8 nor UTF-16.
    #[error("the file is neither UTF-8 nor UTF-16")]
    Encoding,
    /// No JSON object.
    #[error("the file is not the JSON object that the collector writes")]
    NotJson,
    /// Another schema, or none.
    #[error("the file's schema is not {SCHEMA}; run the collector that this gateway prints")]
    Schema,
    /// Another tenant's, or nobody's.
    #[error("the file is of another tenant")]
    WrongTenant,
    /// The account does not say its tenant as a GUID, so nobody can tell whose file it is.
    #[error(
        "write entra_tenant as a GUID: the file names its tenant so, and it cannot be compared with a domain"
    )]
    TenantNotGuid,
    /// `collectedAt` cannot be read.
    #[error("the file does not say when it was collected")]
    NoTime,
    /// Collected more than five minutes from now.
    #[error("the file was collected in the future; set the clocks right")]
    Future,
}

impl ImportError {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            ImportError::TooLarge => "import_too_large",
            ImportError::Encoding | ImportError::NotJson => "import_unreadable",
            ImportError::Schema => "import_unknown_schema",
            ImportError::WrongTenant | ImportError::TenantNotGuid => "import_wrong_tenant",
            ImportError::NoTime | ImportError::Future => "import_bad_time",
        }
    }
}

/// The file as JSON, whatever PowerShell wrote it in.
///
/// # Errors
/// When it is too large, in no encoding known, or no JSON object.
pub fn decode(bytes: &[u8]) -> Result<Value, ImportError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(ImportError::TooLarge);
    }
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        char::decode_utf16(units).collect::<Result<String, _>>().map_err(|_| ImportError::Encoding)
    };
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest)?,
        // `>` of Windows PowerShell, with its mark cut off by an editor: every second byte of JSON is 0.
        [_, 0, ..] => utf16(bytes, u16::from_le_bytes)?,
        _ => utf8(bytes)?,
    };
    match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err(ImportError::NotJson),
    }
}

fn utf8(bytes: &[u8]) -> Result<String, ImportError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ImportError::Encoding)
}

/// What a file says, if it is of the tenant with this GUID.
///
/// # Errors
/// [`ImportError`]: nothing of it is used then.
pub fn import(file: &Value, tenant: &str, now: SystemTime) -> Result<Vec<Evidence>, ImportError> {
    if text(file, "schema") != Some(SCHEMA) {
        return Err(ImportError::Schema);
    }
    let Some(own) = guid(tenant) else { return Err(ImportError::TenantNotGuid) };
    if text(file, "tenantId").and_then(guid) != Some(own) {
        return Err(ImportError::WrongTenant);
    }
    let at = text(file, "collectedAt").and_then(|at| at.parse::<jiff::Timestamp>().ok());
    let at = SystemTime::from(at.ok_or(ImportError::NoTime)?);
    if at > now + AHEAD_MAX {
        return Err(ImportError::Future);
    }
    // A clock that is a little ahead must not make evidence that is from the future.
    let file = File { file, at: at.min(now) };
    let mut all = vec![file.federation()];
    let policies = file.policies();
    all.push(file.external_access(&policies));
    for person in list(file.file.get("users")).into_iter().take(PEOPLE_MAX) {
        all.extend(file.person(person, &policies));
    }
    Ok(all)
}

struct File<'a> {
    file: &'a Value,
    at: SystemTime,
}

impl File<'_> {
    fn say(&self, check: Check, subject: Subject, verdict: Verdict, code: &'static str) -> Evidence {
        Evidence::new(check, subject, verdict, code, Source::Import, self.at)
    }

    fn federation(&self) -> Evidence {
        let settings = self.file.get("acsFederation");
        // A list of one is what some versions make of the one configuration.
        let settings = match list(settings).as_slice() {
            [one] => Some(*one),
            _ => settings,
        };
        let (verdict, code) = match settings.and_then(|settings| truth(settings.get("EnableAcsUsers")?)) {
            Some(true) => (Verdict::Pass, "federation_on"),
            Some(false) => (Verdict::Fail, "federation_off"),
            None => (Verdict::Unknown, "not_said"),
        };
        let evidence = self.say(Check::Federation, Subject::Tenant, verdict, code);
        let Some(allowed) = settings.and_then(|settings| settings.get("AllowedAcsResources")) else {
            return evidence;
        };
        let ids = list(Some(allowed)).into_iter().take(LIST_MAX);
        let ids: Vec<_> = ids.filter_map(|id| guid(id.as_str()?)).collect();
        evidence.with_value(ids.join(","))
    }

    /// Name and whether it allows ACS; nothing when the file does not say.
    fn policies(&self) -> Vec<(String, Option<bool>)> {
        let policies = list(self.file.get("externalAccess")).into_iter().take(LIST_MAX);
        let named = policies.filter_map(|policy| {
            let name = policy_name(text(policy, "Identity")?);
            Some((name, policy.get("EnableAcsFederationAccess").and_then(truth)))
        });
        named.collect()
    }

    fn external_access(&self, policies: &[(String, Option<bool>)]) -> Evidence {
        let all = |wanted| policies.iter().all(|(_, allows)| *allows == Some(wanted));
        let (verdict, code) = match policies {
            [] => (Verdict::Unknown, "not_said"),
            _ if all(true) => (Verdict::Pass, "all_policies_allow"),
            _ if all(false) => (Verdict::Fail, "no_policy_allows"),
            _ => (Verdict::Unknown, "policies_differ"),
        };
        self.say(Check::ExternalAccess, Subject::Tenant, verdict, code)
    }

    /// Files may carry people, in the words of `Get-CsOnlineUser`.
    fn person(&self, person: &Value, policies: &[(String, Option<bool>)]) -> Vec<Evidence> {
        let Some(name) = text(person, "UserPrincipalName").filter(|name| !name.trim().is_empty()) else {
            return Vec::new();
        };
        let say = |check, verdict, code| self.say(check, Subject::person(name), verdict, code);
        let mut all = Vec::new();
        if let Some(policy) = person.get("ExternalAccessPolicy") {
            // No policy of their own: the global one applies.
            let policy = policy_name(policy.as_str().unwrap_or("Global"));
            let allows = policies.iter().find(|(name, _)| *name == policy).and_then(|(_, allows)| *allows);
            all.extend(allows.map(|allows| match allows {
                true => say(Check::ExternalAccess, Verdict::Pass, "own_policy_allows"),
                false => say(Check::ExternalAccess, Verdict::Fail, "own_policy_refuses"),
            }));
        }
        all.extend(person.get("EnterpriseVoiceEnabled").and_then(truth).map(|on| match on {
            true => say(Check::EnterpriseVoice, Verdict::Pass, "on"),
            false => say(Check::EnterpriseVoice, Verdict::Fail, "off"),
        }));
        let features = list(person.get("FeatureTypes"));
        if !features.is_empty() {
            let phone = features.iter().any(|one| one.as_str() == Some("PhoneSystem"));
            all.push(match phone {
                true => say(Check::Licence, Verdict::Pass, "phone_system_feature"),
                false => say(Check::Licence, Verdict::Fail, "no_phone_licence"),
            });
        }
        if let Some(mode) = text(person, "TeamsUpgradeEffectiveMode") {
            all.push(match mode.eq_ignore_ascii_case("TeamsOnly") {
                true => say(Check::TeamsOnly, Verdict::Pass, "teams_only"),
                false => say(Check::TeamsOnly, Verdict::Fail, "other_mode"),
            });
        }
        all
    }
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str)
}

/// `Global`, `Tag:Name` or `Name`.
fn policy_name(identity: &str) -> String {
    let name = identity.trim().to_lowercase();
    name.strip_prefix("tag:").unwrap_or(&name).to_owned()
}

/// A truth value, or its name.
fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(word) if word.eq_ignore_ascii_case("true") => Some(true),
        Value::String(word) if word.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A list, the one thing PowerShell made of a list of one, or `{"value": […], "Count": n}`.
fn list(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(several)) => several.iter().collect(),
        Some(Value::Object(wrapped)) if wrapped.contains_key("value") && wrapped.contains_key("Count") => {
            list(wrapped.get("value"))
        }
        Some(one) => vec![one],
    }
}

/// A GUID in lower case, with or without braces.
fn guid(text: &str) -> Option<String> {
    let bare = text.trim().trim_start_matches('{').trim_end_matches('}');
    is_guid(bare).then(|| bare.to_lowercase())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::json;

    use super::*;

    const TENANT: &str = "11111111-2222-3333-4444-555555555555";

    fn now() -> SystemTime {
        "2026-11-01T10:00:00Z".parse::<jiff::Timestamp>().unwrap().into()
    }

    fn file() -> Value {
        json!({"schema": SCHEMA, "collectedAt": "2026-11-01T09:30:00.0000000Z", "tenantId": TENANT,
            "acsFederation": {"Identity": "Global", "EnableAcsUsers": true,
                "AllowedAcsResources": ["FACED04C-2CED-433D-90DB-063E424B87B1"]},
            "externalAccess": [{"Identity": "Global", "EnableAcsFederationAccess": true}]})
    }

    fn said(file: &Value, check: Check) -> (Verdict, String, Option<String>) {
        let all = import(file, TENANT, now()).unwrap();
        let one = all.into_iter().find(|evidence| evidence.check == check).unwrap();
        (one.verdict, one.code.into_owned(), one.value)
    }

    fn with(path: &str, value: Value) -> Value {
        let mut file = file();
        *file.pointer_mut(path).unwrap() = value;
        file
    }

    #[test]
    fn every_shape_powershell_writes() {
        const ID: &str = "faced04c-2ced-433d-90db-063e424b87b1";
        let good = (Verdict::Pass, "federation_on".to_owned(), Some(ID.to_owned()));
        assert_eq!(said(&file(), Check::Federation), good);
        for on in [json!("True"), json!("true")] {
            assert_eq!(said(&with("/acsFederation/EnableAcsUsers", on), Check::Federation), good);
        }
        for list in [
            json!(format!("{{{ID}}}")),
            json!({"value": [ID], "Count": 1}),
            json!([ID.to_uppercase(), "nonsense", 7]),
            json!({"value": ID, "Count": 1}),
        ] {
            assert_eq!(said(&with("/acsFederation/AllowedAcsResources", list), Check::Federation), good);
        }
        assert_eq!(said(&with("/acsFederation", json!([file()["acsFederation"]])), Check::Federation), good);
        let off = said(&with("/acsFederation/EnableAcsUsers", json!("False")), Check::Federation);
        assert_eq!(off.1, "federation_off");
        let null = said(&with("/acsFederation/EnableAcsUsers", json!(null)), Check::Federation);
        assert_eq!(null.0, Verdict::Unknown);
        let empty = said(&with("/acsFederation/AllowedAcsResources", json!(null)), Check::Federation);
        assert_eq!(empty.2.as_deref(), Some(""));
    }

    #[test]
    fn every_encoding_powershell_writes() {
        let text = file().to_string();
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        for bytes in [
            text.clone().into_bytes(),
            marked(&[0xef, 0xbb, 0xbf], text.as_bytes()),
            marked(&[0xff, 0xfe], &le),
            marked(&[0xfe, 0xff], &be),
            le,
        ] {
            assert_eq!(decode(&bytes), Ok(file()));
        }
        assert_eq!(decode(&[0xff, 0xfe, 0x00, 0xd8]), Err(ImportError::Encoding));
        assert_eq!(decode(&[0x80, 0x81]), Err(ImportError::Encoding));
        assert_eq!(decode(b"[]"), Err(ImportError::NotJson));
        assert_eq!(decode(b""), Err(ImportError::NotJson));
        assert_eq!(decode(&vec![b' '; FILE_BYTES_MAX + 1]), Err(ImportError::TooLarge));
    }

    #[test]
    fn what_is_not_taken() {
        let refused = |file: Value| import(&file, TENANT, now()).unwrap_err();
        assert_eq!(
            refused(with("/tenantId", json!("22222222-2222-3333-4444-555555555555"))),
            ImportError::WrongTenant
        );
        assert_eq!(refused(with("/tenantId", json!(null))), ImportError::WrongTenant);
        assert_eq!(refused(with("/schema", json!("sidetone.teams-evidence/2"))), ImportError::Schema);
        assert_eq!(refused(with("/collectedAt", json!("yesterday"))), ImportError::NoTime);
        assert_eq!(refused(with("/collectedAt", json!("2026-11-01T10:05:01Z"))), ImportError::Future);
        assert_eq!(import(&file(), "acme.example", now()), Err(ImportError::TenantNotGuid));
        let ahead = import(&with("/collectedAt", json!("2026-11-01T10:05:00Z")), TENANT, now()).unwrap();
        assert_eq!(ahead[0].observed_at, now(), "a clock that is ahead makes no evidence of the future");
        let braces = with("/tenantId", json!(format!("{{{}}}", TENANT.to_uppercase())));
        assert!(import(&braces, TENANT, now()).is_ok());
        assert!(import(&file(), TENANT, UNIX_EPOCH).is_err());
    }

    #[test]
    fn policies_speak_for_everybody_only_when_they_agree() {
        let policy =
            |name: &str, allows: Value| json!({"Identity": name, "EnableAcsFederationAccess": allows});
        let both = json!([policy("Global", json!(true)), policy("Tag:NoAcs", json!("False"))]);
        for (policies, verdict) in [
            (json!([policy("Global", json!(true))]), Verdict::Pass),
            (policy("Global", json!("True")), Verdict::Pass),
            (json!([policy("Global", json!(false)), policy("Tag:X", json!(false))]), Verdict::Fail),
            (both.clone(), Verdict::Unknown),
            (json!([policy("Global", json!(null))]), Verdict::Unknown),
            (json!([]), Verdict::Unknown),
        ] {
            assert_eq!(said(&with("/externalAccess", policies), Check::ExternalAccess).0, verdict);
        }
        let mut file = with("/externalAccess", both);
        file["users"] = json!([
            {"UserPrincipalName": "Adele@example.com", "ExternalAccessPolicy": null, "EnterpriseVoiceEnabled": true,
             "FeatureTypes": ["Teams", "PhoneSystem"], "TeamsUpgradeEffectiveMode": "TeamsOnly"},
            {"UserPrincipalName": "ben@example.com", "ExternalAccessPolicy": "NoAcs", "EnterpriseVoiceEnabled": null}]);
        let all = import(&file, TENANT, now()).unwrap();
        let of = |who: &str, check| {
            let found = all.iter().find(|one| one.check == check && one.subject == Subject::person(who));
            found.map(|one| one.verdict)
        };
        assert_eq!(of("adele@example.com", Check::ExternalAccess), Some(Verdict::Pass));
        assert_eq!(of("adele@example.com", Check::TeamsOnly), Some(Verdict::Pass));
        assert_eq!(of("adele@example.com", Check::Licence), Some(Verdict::Pass));
        assert_eq!(of("ben@example.com", Check::ExternalAccess), Some(Verdict::Fail));
        assert_eq!(of("ben@example.com", Check::EnterpriseVoice), None);
    }

    #[test]
    fn the_script_is_printed_as_it_must_be() {
        assert_eq!(SCRIPT.lines().count(), 9);
        assert!(SCRIPT.is_ascii() && SCRIPT.contains(SCHEMA));
    }
}
