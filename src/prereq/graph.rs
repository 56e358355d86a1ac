//! Microsoft Graph and Azure Resource Manager: the questions asked of them, one plain function each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use sbc_config::{Cloud, Integration};
use serde_json::{Value, json};

use super::http::{Reply, escaped, fetch};
use super::read::{Answer, Answers, is_guid};
use super::token::TokenSource;

/// How often the parts of a batch that were throttled are asked again.
const ROUNDS_MAX: usize = 3;
/// The pause before the first repetition when the server names none; doubled each time.
const PAUSE: Duration = Duration::from_millis(500);
/// Microsoft's own limit for `checkMemberGroups`.
pub const GROUPS_MAX: usize = 20;

const USER_FIELDS: &str =
    "id,displayName,userPrincipalName,mail,userType,accountEnabled,businessPhones,mobilePhone,faxNumber";

/// Graph and ARM for one account.
pub struct Graph {
    http: reqwest::Client,
    base: Arc<str>,
    arm: Arc<str>,
    cloud: Cloud,
    pub(super) tokens: Arc<TokenSource>,
    /// No request before: the service asked us to wait.
    quiet_until: Mutex<Option<Instant>>,
}

/// One question of a batch.
struct Part {
    id: &'static str,
    url: String,
    permission: &'static str,
}

impl Graph {
    /// The services of this account.
    pub fn new(account: &Integration, http: reqwest::Client, tokens: Arc<TokenSource>) -> Graph {
        Graph {
            http,
            base: account.graph.clone(),
            arm: account.arm.clone(),
            cloud: account.cloud,
            tokens,
            quiet_until: Mutex::default(),
        }
    }

    /// The next request signs in anew.
    pub fn forget_token(&self) {
        self.tokens.forget();
    }

    /// The service whose token the checks use.
    pub fn resource(&self) -> &str {
        &self.base
    }

    /// Everything about one person, by object id or user principal name.
    pub async fn person(&self, name: &str) -> Answers {
        let first = |id: &str| {
            let id = escaped(id);
            vec![
                Part {
                    id: "user",
                    url: format!("/users/{id}?$select={USER_FIELDS}"),
                    permission: "User.Read.All",
                },
                Part {
                    id: "licences",
                    url: format!("/users/{id}/licenseDetails"),
                    permission: "LicenseAssignment.Read.All",
                },
            ]
        };
        let second = |oid: &str| {
            if !self.cloud.has_teams_admin() {
                return Vec::new();
            }
            vec![
                Part {
                    id: "voice",
                    url: format!("/admin/teams/userConfigurations/{oid}"),
                    permission: "TeamsUserConfiguration.Read.All",
                },
                Part {
                    id: "numbers",
                    url: format!(
                        "/admin/teams/telephoneNumberManagement/numberAssignments?$filter={}",
                        escaped(&format!("assignmentTargetId eq '{oid}'"))
                    ),
                    permission: "TeamsTelephoneNumber.Read.All",
                },
            ]
        };
        // Teams asks for the object id; with a name only, the directory has to give it first.
        let mut answers = if is_guid(name) {
            self.batch(first(name).into_iter().chain(second(name)).collect()).await
        } else {
            let mut answers = self.batch(first(name)).await;
            let oid = match answers.get("user") {
                Some(Answer::Got(user)) => user.get("id").and_then(Value::as_str).filter(|id| is_guid(id)),
                _ => None,
            };
            if let Some(oid) = oid.map(str::to_owned) {
                answers.extend(self.batch(second(&oid)).await);
            }
            answers
        };
        let unasked = match answers.get("user") {
            _ if !self.cloud.has_teams_admin() => Answer::NotHere,
            // Whom the directory does not know, Teams does not know either.
            Some(Answer::NotFound) => Answer::NotFound,
            _ => Answer::Failed("the person is not known yet".into()),
        };
        let mut take = |id| answers.remove(id).unwrap_or_else(|| unasked.clone());
        Answers {
            user: take("user"),
            licences: take("licences"),
            voice: take("voice"),
            numbers: take("numbers"),
        }
    }

    /// The assignments of one number.
    pub async fn number(&self, number: &str) -> Answer {
        if !self.cloud.has_teams_admin() {
            return Answer::NotHere;
        }
        let filter = escaped(&format!("telephoneNumber eq '{number}'"));
        let url = format!("/admin/teams/telephoneNumberManagement/numberAssignments?$filter={filter}");
        self.get(&url, "TeamsTelephoneNumber.Read.All").await
    }

    /// Presence of one person by object id.
    pub async fn presence(&self, oid: &str) -> Answer {
        if !self.cloud.has_presence() {
            return Answer::NotHere;
        }
        self.post("/communications/getPresencesByUserId", json!({"ids": [oid]}), "Presence.Read.All").await
    }

    /// Which of these groups the person is in, directly or not.
    pub async fn member_of(&self, person: &str, groups: &[&str]) -> Answer {
        let groups = groups.get(..GROUPS_MAX).unwrap_or(groups);
        let url = format!("/users/{}/checkMemberGroups", escaped(person));
        self.post(&url, json!({"groupIds": groups}), "GroupMember.Read.All").await
    }

    /// The application and what was granted to it.
    pub async fn application(&self, client_id: &str, object_id: Option<&str>) -> (Answer, Answer) {
        let which = match object_id {
            Some(id) => format!("/applications/{}", escaped(id)),
            None => format!("/applications(appId='{}')", escaped(client_id)),
        };
        let select = "$select=id,appId,displayName,passwordCredentials,keyCredentials";
        let permission = "Application.Read.All";
        let parts = vec![
            Part { id: "application", url: format!("{which}?{select}"), permission },
            Part {
                id: "granted",
                url: format!("/servicePrincipals(appId='{}')/appRoleAssignments", escaped(client_id)),
                permission,
            },
        ];
        let mut answers = self.batch(parts).await;
        let mut take = |id| answers.remove(id).unwrap_or_else(|| Answer::Failed("no answer".into()));
        (take("application"), take("granted"))
    }

    /// The ACS resource, from Azure Resource Manager.
    pub async fn acs_resource(&self, resource: &str) -> Answer {
        const VERSION: &str = "2025-05-01";
        let token = match self.tokens.token(&self.arm).await {
            Ok(token) => token,
            Err(error) => return Answer::Failed(error.to_string()),
        };
        let url = format!("{}{resource}?api-version={VERSION}", self.arm);
        let request = self.http.get(&url).bearer_auth(token.expose());
        match fetch(request, &self.arm).await {
            Ok(reply) => answer(&reply, "Reader on the ACS resource"),
            Err(error) => Answer::Failed(error.to_string()),
        }
    }

    async fn get(&self, path: &str, permission: &'static str) -> Answer {
        match self.send(Method::GET, path, None).await {
            Ok(reply) => answer(&reply, permission),
            Err(why) => Answer::Failed(why),
        }
    }

    async fn post(&self, path: &str, body: Value, permission: &'static str) -> Answer {
        match self.send(Method::POST, path, Some(&body)).await {
            Ok(reply) => answer(&reply, permission),
            Err(why) => Answer::Failed(why),
        }
    }

    /// One request, repeated once with a new token if the old one was not taken.
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, String> {
        for again in [false, true] {
            if let Some(until) = *self.quiet() {
                let left = until.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    return Err(format!("throttled for {} s more", left.as_secs() + 1));
                }
            }
            let token = self.tokens.token(&self.base).await.map_err(|error| error.to_string())?;
            let url = format!("{}/v1.0{path}", self.base);
            let mut request = self.http.request(method.clone(), &url).bearer_auth(token.expose());
            if let Some(body) = body {
                request = request.json(body);
            }
            let reply = fetch(request, &self.base).await.map_err(|error| error.to_string())?;
            if reply.status == StatusCode::UNAUTHORIZED && !again {
                self.tokens.forget();
                continue;
            }
            if let (true, Some(pause)) = (reply.unavailable(), reply.retry_after) {
                *self.quiet() = Some(Instant::now() + pause);
            }
            return Ok(reply);
        }
        Err("the token is not taken".to_owned())
    }

    /// Several questions in one request. Those that were throttled are asked again after the pause they name.
    async fn batch(&self, mut parts: Vec<Part>) -> HashMap<&'static str, Answer> {
        let mut answers = HashMap::new();
        let mut pause = PAUSE;
        for round in 1..=ROUNDS_MAX {
            if parts.is_empty() {
                break;
            }
            let requests: Vec<_> =
                parts.iter().map(|part| json!({"id": part.id, "method": "GET", "url": part.url})).collect();
            let reply = self.send(Method::POST, "/$batch", Some(&json!({"requests": requests}))).await;
            let replies = match &reply {
                Ok(reply) if reply.status.is_success() => reply.json(),
                _ => None,
            };
            let Some(replies) = replies else {
                let said = match &reply {
                    Ok(reply) => answer(reply, "Graph"),
                    Err(why) => Answer::Failed(why.clone()),
                };
                // A refusal of the whole says nothing about a part.
                let said = if let Answer::Failed(_) = said {
                    said
                } else {
                    Answer::Failed("the batch was refused".into())
                };
                answers.extend(parts.iter().map(|part| (part.id, said.clone())));
                return answers;
            };
            let replies = replies.get("responses").and_then(Value::as_array).cloned().unwrap_or_default();
            let mut waits = None;
            parts.retain(|part| {
                let one = replies.iter().find(|one| one.get("id").and_then(Value::as_str) == Some(part.id));
                let (said, wait) = part_answer(one, part.permission);
                let again = matches!(said, Answer::Failed(_)) && wait.is_some() && round < ROUNDS_MAX;
                waits = waits.max(wait.filter(|_| again));
                answers.insert(part.id, said);
                again
            });
            if !parts.is_empty() {
                tokio::time::sleep(waits.filter(|wait| !wait.is_zero()).unwrap_or(pause)).await;
                pause *= 2;
            }
        }
        answers
    }

    fn quiet(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer of one part, and the pause it asks for when it is to be asked again.
fn part_answer(one: Option<&Value>, permission: &'static str) -> (Answer, Option<Duration>) {
    let Some(one) = one else { return (Answer::Failed("no answer".into()), None) };
    let status = one.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let Some(status) = status else { return (Answer::Failed("no status".into()), None) };
    let retry_after = one.get("headers").and_then(Value::as_object).and_then(|headers| {
        let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
        let seconds = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())?;
        Some(Duration::from_secs(seconds).min(super::http::PAUSE_MAX))
    });
    let body = one.get("body").cloned().unwrap_or_default();
    let reply = Reply { status, retry_after, body: body.to_string().into_bytes() };
    let wait = reply.unavailable().then(|| retry_after.unwrap_or_default());
    (answer(&reply, permission), wait)
}

fn answer(reply: &Reply, permission: &'static str) -> Answer {
    match reply.status {
        status if status.is_success() => match reply.json() {
            Some(body) => Answer::Got(body),
            None => Answer::Failed("the answer is not JSON".into()),
        },
        StatusCode::NOT_FOUND => match reply.json() {
            // A portal or proxy also knows 404; only Graph's own means the person.
            Some(body) if body.get("error").is_some() => Answer::NotFound,
            _ => Answer::Failed("404 from somebody else".into()),
        },
        StatusCode::FORBIDDEN => Answer::Forbidden(permission),
        status => Answer::Failed(format!("status {}", status.as_u16())),
    }
}
