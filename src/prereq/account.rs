//! What the account itself proves: its credential, its permissions, its ACS resource, its configuration.

use std::time::{Duration, SystemTime};

use sbc_config::{AppCredential, Date, Integration, RouteName};
use serde::Serialize;
use serde_json::Value;

use super::check::{Check, Route};
use super::evidence::{Evidence, Source, Subject, Verdict};
use super::gather::{Account, Options};
use super::http::{Reply, Unreachable};
use super::read::{Answer, is_guid};
use super::rule::Policy;
use super::token::{self, AccessToken, TokenError};

/// A credential that ends within this is worth a notice.
pub const NOTICE: Duration = Duration::from_secs(15 * 24 * 3600);

/// The ids of permissions in Graph's own application.
const ROLE_IDS: [(&str, &str); 5] = [
    ("df021288-bdef-4463-88db-98f22de89214", "User.Read.All"),
    ("7ab1d382-f21e-4acd-a863-ba3e13f7da61", "Directory.Read.All"),
    ("98830695-27a2-44f7-8c18-0c3ebc9698f6", "GroupMember.Read.All"),
    ("a91eadaf-2c3c-4362-908b-fb172d208fc6", "TeamsUserConfiguration.Read.All"),
    ("a70e0c2d-e793-494c-94c4-118fa0a67f42", "Presence.Read.All"),
];

/// The permissions the checks of this account read with; of the alternatives any one will do.
fn needed(settings: &Integration) -> Vec<&'static [&'static str]> {
    let mut all: Vec<&[&str]> = vec![&["User.Read.All", "Directory.Read.All"]];
    if settings.cloud.has_teams_admin() {
        all.push(&["TeamsUserConfiguration.Read.All"]);
    }
    if settings.cloud.has_teams_admin() && settings.direct_routing_trunk.is_some() {
        all.push(&["TeamsTelephoneNumber.Read.All"]);
    }
    if settings.cloud.has_presence() {
        all.push(&["Presence.Read.All"]);
    }
    if settings.agent_group.is_some() || settings.supervisor_group.is_some() {
        all.push(&["GroupMember.Read.All", "Group.Read.All", "Directory.Read.All"]);
    }
    all
}

fn say(check: Check, verdict: Verdict, code: &'static str, source: Source, at: SystemTime) -> Evidence {
    Evidence::new(check, Subject::Tenant, verdict, code, source, at)
}

/// The policy of an account.
pub fn policy(settings: &Integration) -> Policy {
    let route = |name: &RouteName| match name {
        RouteName::Voip => Route::Voip,
        RouteName::Pstn => Route::Pstn,
        RouteName::DirectRouting => Route::DirectRouting,
    };
    Policy {
        unknown: settings.unknown,
        presence_decides: settings.presence_decides.iter().map(route).collect(),
    }
}

/// There is no account at all.
pub(super) fn missing(at: SystemTime) -> Evidence {
    say(Check::CredentialsComplete, Verdict::Fail, "no_integration", Source::Config, at)
}

/// A tenant without an account has no groups either.
pub(super) fn ungrouped(target: &Subject, at: SystemTime) -> Evidence {
    Evidence::new(
        Check::Group,
        target.clone(),
        Verdict::NotApplicable,
        "no_group_asked_for",
        Source::Config,
        at,
    )
}

/// What the configuration alone says.
pub(super) fn configured(settings: &Integration, options: &Options, at: SystemTime) -> Vec<Evidence> {
    let (verdict, code) = match token::complete(settings) {
        true => (Verdict::Pass, "complete"),
        false => (Verdict::Fail, "incomplete"),
    };
    let mut all = vec![say(Check::CredentialsComplete, verdict, code, Source::Config, at)];
    if let Some(end) = options.expires.as_deref().and_then(day).or(settings.expires) {
        let source = Source::Attested { by: "the account".into(), note: "the day written there".into() };
        all.push(expiry(end.end(), source, at));
    }
    if matches!(settings.credential, AppCredential::ManagedIdentity { .. }) {
        all.push(say(Check::SecretExpiry, Verdict::NotApplicable, "managed_identity", Source::Config, at));
        all.push(say(Check::ObjectId, Verdict::NotApplicable, "managed_identity", Source::Config, at));
    }
    all
}

/// `2026-12-01`
pub fn day(text: &str) -> Option<Date> {
    let day: jiff::civil::Date = text.parse().ok()?;
    Some(Date {
        year: u16::try_from(day.year()).ok().filter(|year| *year >= 1970)?,
        month: u8::try_from(day.month()).ok()?,
        day: u8::try_from(day.day()).ok()?,
    })
}

/// 15 days and 0 hours counts; the moment of the end is the end.
fn expiry(end: SystemTime, source: Source, at: SystemTime) -> Evidence {
    let (verdict, code) = match end.duration_since(at) {
        Err(_) => (Verdict::Fail, "expired"),
        Ok(Duration::ZERO) => (Verdict::Fail, "expired"),
        Ok(left) if left <= NOTICE => (Verdict::Fail, "expires_soon"),
        Ok(_) => (Verdict::Pass, "good"),
    };
    let end = jiff::Timestamp::try_from(end).map_or_else(|_| String::new(), |end| end.to_string());
    say(Check::SecretExpiry, verdict, code, source, at).with_value(end)
}

/// Whether there is a token.
pub(super) fn token(token: &Result<AccessToken, TokenError>, at: SystemTime) -> Evidence {
    match token {
        Ok(_) => say(Check::Token, Verdict::Pass, "token", Source::Entra, at),
        Err(error) => say(Check::Token, error.hint.verdict(), error.hint.code(), Source::Entra, at)
            .saying(error.to_string()),
    }
}

/// What is unknown when an answer has no content.
fn unanswered(check: Check, answer: &Answer, at: SystemTime) -> Evidence {
    let (code, detail) = match answer {
        Answer::Forbidden(permission) => ("permission_missing", format!("missing permission {permission}")),
        Answer::NotHere => ("not_in_this_cloud", String::new()),
        Answer::Failed(why) => ("source_unavailable", why.clone()),
        Answer::NotFound => ("not_found", String::new()),
        Answer::Got(_) => ("not_said", String::new()),
    };
    say(check, Verdict::Unknown, code, Source::Graph, at).saying(detail)
}

/// The application: is it the one of the client id, and when does our credential end?
pub(super) fn application(settings: &Integration, application: &Answer, at: SystemTime) -> Vec<Evidence> {
    let Answer::Got(body) = application else {
        let object = match application {
            Answer::NotFound => say(Check::ObjectId, Verdict::Fail, "no_such_application", Source::Graph, at),
            other => unanswered(Check::ObjectId, other, at),
        };
        return vec![object, unanswered(Check::SecretExpiry, application, at)];
    };
    let client = body.get("appId").and_then(Value::as_str);
    let matches = client.zip(settings.client_id.as_deref()).map(|(its, ours)| its.eq_ignore_ascii_case(ours));
    let (verdict, code) = match matches {
        Some(true) => (Verdict::Pass, "same_application"),
        Some(false) => (Verdict::Fail, "object_id_mismatch"),
        None => (Verdict::Unknown, "not_said"),
    };
    let mut all = vec![say(Check::ObjectId, verdict, code, Source::Graph, at)];
    if let AppCredential::Secret(secret) = &settings.credential {
        // The directory shows the first three characters of each secret. They are compared and never printed.
        let hint: String = secret.expose().chars().take(3).collect();
        let list = body.get("passwordCredentials").and_then(Value::as_array);
        let ours = list.into_iter().flatten().filter(|one| {
            let time = |field| one.get(field).and_then(Value::as_str).and_then(moment);
            let begun = time("startDateTime").is_none_or(|begin| begin <= at);
            begun && one.get("hint").and_then(Value::as_str) == Some(&hint)
        });
        let ends: Vec<_> =
            ours.filter_map(|one| one.get("endDateTime").and_then(Value::as_str).and_then(moment)).collect();
        // One in force is ours before one that ended; of several in force the earliest end is the safe guess.
        let end = ends.iter().filter(|end| **end > at).min().or_else(|| ends.iter().max());
        all.push(match end {
            Some(end) => expiry(*end, Source::Graph, at),
            None => say(Check::SecretExpiry, Verdict::Unknown, "no_match", Source::Graph, at),
        });
    }
    all
}

fn moment(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

/// What was granted: the assignments when they may be read, else what the token carries.
pub(super) fn roles(
    settings: &Integration,
    granted: Option<&Answer>,
    token: Option<&AccessToken>,
    at: SystemTime,
) -> Evidence {
    let mut names: Vec<String> = match granted {
        Some(Answer::Got(body)) => {
            let list = body.get("value").and_then(Value::as_array);
            let ids = list.into_iter().flatten().filter_map(|one| one.get("appRoleId")?.as_str());
            let name = |id: &str| ROLE_IDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(id));
            ids.filter_map(|id| name(id).map(|(_, name)| (*name).to_owned())).collect()
        }
        _ => Vec::new(),
    };
    let Some(token) = token else {
        return say(Check::Roles, Verdict::Unknown, "no_token", Source::Entra, at);
    };
    names.extend(token.roles.iter().cloned());
    let missing = missing_roles(settings, &names);
    if missing.is_empty() {
        say(Check::Roles, Verdict::Pass, "granted", Source::Entra, at)
    } else {
        say(Check::Roles, Verdict::Fail, "roles_missing", Source::Entra, at)
            .saying(format!("missing: {}", missing.join(", ")))
    }
}

/// The permissions that the checks of an account read with and that are not among `granted`.
pub fn missing_roles(settings: &Integration, granted: &[String]) -> Vec<&'static str> {
    needed(settings)
        .into_iter()
        .filter(|any| !any.iter().any(|one| granted.iter().any(|name| name == one)))
        .filter_map(|any| any.first().copied())
        .collect()
}

/// The immutable id of the ACS resource.
pub(super) fn acs_id(answer: &Answer, at: SystemTime) -> Evidence {
    let Answer::Got(body) = answer else {
        let evidence = unanswered(Check::AcsId, answer, at);
        return Evidence { source: Source::Arm, ..evidence };
    };
    let id = body.pointer("/properties/immutableResourceId").and_then(Value::as_str).filter(|id| is_guid(id));
    match id {
        Some(id) => say(Check::AcsId, Verdict::Pass, "known", Source::Arm, at).with_value(id.to_lowercase()),
        None => say(Check::AcsId, Verdict::Unknown, "not_said", Source::Arm, at),
    }
}

/// Whether the endpoint of the ACS resource answers. Without a signature it refuses, and that is an answer.
pub(super) fn acs_reachable(answer: &Result<Reply, Unreachable>, at: SystemTime) -> Evidence {
    let check = Check::AcsReachable;
    match answer {
        Ok(reply) if reply.unavailable() => {
            say(check, Verdict::Unknown, "source_unavailable", Source::Acs, at)
                .saying(format!("status {}", reply.status.as_u16()))
        }
        Ok(_) => say(check, Verdict::Pass, "answers", Source::Acs, at),
        Err(error) => say(check, Verdict::Fail, "unreachable", Source::Acs, at).saying(error.to_string()),
    }
}

/// Whether who asks is in one of the groups.
pub(super) fn membership(asker: &Subject, answer: &Answer, groups: &[&str], at: SystemTime) -> Evidence {
    let (verdict, code) = match answer {
        Answer::Got(body) => {
            let list = body.get("value").and_then(Value::as_array);
            let ids = list.into_iter().flatten().filter_map(Value::as_str);
            let ours: Vec<_> =
                ids.filter(|id| groups.iter().any(|group| group.eq_ignore_ascii_case(id))).collect();
            let (verdict, code) = match ours.is_empty() {
                false => (Verdict::Pass, "in_group"),
                true => (Verdict::Fail, "not_in_group"),
            };
            return Evidence::new(Check::Group, asker.clone(), verdict, code, Source::Graph, at)
                .with_value(ours.join(","));
        }
        Answer::NotFound => (Verdict::Fail, "asker_unknown"),
        Answer::Forbidden(_) => (Verdict::Unknown, "permission_missing"),
        Answer::NotHere | Answer::Failed(_) => (Verdict::Unknown, "source_unavailable"),
    };
    Evidence::new(Check::Group, asker.clone(), verdict, code, Source::Graph, at)
}

/// Whether the target may be asked at all, and whether a group is asked for. Failing here outranks any group.
pub(super) fn enabled(
    options: &Options,
    settings: &Integration,
    target: &Subject,
    names: &[&Subject],
    asker: Option<&Subject>,
    at: SystemTime,
) -> Option<Evidence> {
    let say = |verdict, code| Evidence::new(Check::Group, target.clone(), verdict, code, Source::Config, at);
    let is_person = |name: &&Subject| matches!(name, Subject::Person(_));
    // By number as by name: whoever has the number is the one who is enabled, or not.
    if let Some(people) = options.people.as_ref().filter(|_| names.iter().any(is_person)) {
        let listed = people.iter().map(|name| Subject::person(name)).any(|one| names.contains(&&one));
        if !listed {
            return Some(say(Verdict::Fail, "not_enabled_here"));
        }
    }
    let grouped = settings.agent_group.is_some() || settings.supervisor_group.is_some();
    match asker {
        Some(_) if grouped => None,
        // A static token's role is its bearer's right; groups are for people whom Entra knows.
        _ => Some(say(Verdict::NotApplicable, "no_group_asked_for")),
    }
}

/// What a test of the connection came to.
#[derive(Debug, Clone, Serialize)]
pub struct Tested {
    /// Whether Entra gave a token.
    pub verdict: Verdict,
    /// One of the two fixed messages, when one is due.
    pub message: Option<&'static str>,
    /// A stable word for why.
    pub hint: Option<&'static str>,
    /// The word in a sentence.
    pub detail: Option<&'static str>,
    /// Who was asked.
    pub host: Option<String>,
    /// What Microsoft calls the attempt.
    pub correlation_id: Option<String>,
    /// The permissions the token carries.
    pub roles: Vec<String>,
}

/// Signs in anew and says what came of it.
pub async fn test(account: &Account) -> Tested {
    account.graph.tokens.forget();
    match account.graph.tokens.token(account.graph.resource()).await {
        Ok(token) => Tested {
            verdict: Verdict::Pass,
            message: None,
            hint: None,
            detail: None,
            host: None,
            correlation_id: None,
            roles: token.roles,
        },
        Err(error) => Tested {
            verdict: error.hint.verdict(),
            message: error.hint.message(),
            hint: Some(error.hint.code()),
            detail: Some(error.hint.text()),
            host: (error.hint != token::Hint::Incomplete).then_some(error.host),
            correlation_id: error.correlation_id,
            roles: Vec::new(),
        },
    }
}

/// Where an administrator grants the permissions. `state` comes back and should be compared.
pub fn consent_url(settings: &Integration, redirect: Option<&str>, state: &str) -> Option<String> {
    use super::http::escaped;
    let (tenant, client) = (settings.entra_tenant.as_deref()?, settings.client_id.as_deref()?);
    let mut url =
        format!("{}/{tenant}/adminconsent?client_id={client}&state={}", settings.authority, escaped(state));
    if let Some(redirect) = redirect {
        url.push_str("&redirect_uri=");
        url.push_str(&escaped(redirect));
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use sbc_config::{Config, SecretError, SecretSource};
    use serde_json::json;

    use super::*;

    struct OneSecret;

    impl SecretSource for OneSecret {
        fn file(&self, _: &str) -> Result<String, SecretError> {
            Ok("x7Q-canary".into())
        }

        fn env(&self, _: &str) -> Result<String, SecretError> {
            Err(SecretError::NotFound)
        }
    }

    fn settings() -> Integration {
        let text = "sip.udp = '127.0.0.1:5060'\n[[tenant]]\nid = 'acme'\n[[integration]]\ntenant = 'acme'\n\
            entra_tenant = 'acme.example'\nclient_id = 'aaaaaaaa-0000-0000-0000-000000000001'\n\
            object_id = 'bbbbbbbb-0000-0000-0000-000000000002'\nclient_secret_file = 'x'";
        Config::parse(text, &OneSecret).unwrap().integrations.remove(0)
    }

    fn at(text: &str) -> SystemTime {
        moment(text).unwrap()
    }

    #[test]
    fn the_secret_is_found_by_its_hint_and_the_earliest_end_in_force_counts() {
        let secret = |hint: &str, start: &str, end: Value| json!({"hint": hint, "startDateTime": start, "endDateTime": end});
        let now = at("2026-11-25T00:00:00Z");
        let (begin, old, near) = ("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-12-01T00:00:00Z");
        for (secrets, verdict, code) in [
            (vec![secret("x7Q", begin, json!("2027-12-01T00:00:00Z"))], Verdict::Pass, "good"),
            (vec![secret("x7Q", begin, json!("2026-12-10T00:00:00Z"))], Verdict::Fail, "expires_soon"),
            (vec![secret("x7Q", begin, json!("2026-12-10T00:00:01Z"))], Verdict::Pass, "good"),
            (vec![secret("x7Q", begin, json!("2026-11-25T00:00:00Z"))], Verdict::Fail, "expired"),
            (
                vec![secret("x7Q", begin, json!(old)), secret("x7Q", begin, json!(near))],
                Verdict::Fail,
                "expires_soon",
            ),
            (vec![secret("Abc", begin, json!(near))], Verdict::Unknown, "no_match"),
            (vec![secret("x7Q", begin, json!(null))], Verdict::Unknown, "no_match"),
            (vec![secret("x7Q", near, json!("2028-01-01T00:00:00Z"))], Verdict::Unknown, "no_match"),
            (vec![], Verdict::Unknown, "no_match"),
        ] {
            let body =
                json!({"appId": "AAAAAAAA-0000-0000-0000-000000000001", "passwordCredentials": secrets});
            let said = application(&settings(), &Answer::Got(body), now);
            assert_eq!((said[0].verdict, said[1].verdict, &*said[1].code), (Verdict::Pass, verdict, code));
            assert!(!format!("{said:?}").contains("x7Q"), "the hint is never printed");
        }
        let other = json!({"appId": "cccccccc-0000-0000-0000-000000000001"});
        assert_eq!(application(&settings(), &Answer::Got(other), now)[0].code, "object_id_mismatch");
        let refused = application(&settings(), &Answer::Forbidden("Application.Read.All"), now);
        assert!(refused.iter().all(|one| one.verdict == Verdict::Unknown));
    }

    #[test]
    fn the_consent_url_is_of_the_tenant() {
        assert_eq!(
            consent_url(&settings(), Some("https://a.example/x?y"), "s 1").unwrap(),
            "https://login.microsoftonline.com/acme.example/adminconsent?client_id=aaaaaaaa-0000-0000-0000-000000000001\
             &state=s%201&redirect_uri=https%3A%2F%2Fa.example%2Fx%3Fy"
        );
    }

    #[test]
    fn people_can_be_enabled_one_by_one() {
        let options = Options { people: Some(vec!["Adele@example.com".into()]), ..Options::default() };
        let code = |who: &str| {
            let target = Subject::person(who);
            let said = enabled(&options, &settings(), &target, &[&target], None, UNIX_EPOCH).unwrap();
            (said.verdict, said.code.into_owned())
        };
        assert_eq!(code("adele@example.com").0, Verdict::NotApplicable);
        assert_eq!(code("ben@example.com"), (Verdict::Fail, "not_enabled_here".into()));
    }
}
