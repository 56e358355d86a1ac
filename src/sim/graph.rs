//! A simulated Entra, Graph and Azure Resource Manager on loopback, with people to invent and faults to order.
//!
//! One HTTP server plays all three; an account whose three base addresses point at it talks to it as to Microsoft.
//! Whoever is not there is answered as the services answer: with their statuses and their shapes.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The simulated services.
pub struct Cloud {
    addr: SocketAddr,
    state: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    world: Mutex<World>,
    let_go: Notify,
}

/// What the services know and how they behave. Everything may be changed while they run.
#[derive(Default)]
pub struct World {
    /// People by object id.
    pub people: HashMap<String, Person>,
    /// Assignments of numbers that no person has: those of voice applications.
    pub numbers: Vec<Value>,
    /// The token endpoint's answer when it is not a token: status and body.
    pub token_fault: Option<(u16, String)>,
    /// The permissions in a token.
    pub roles: Vec<String>,
    /// `/applications/{id}`
    pub application: Value,
    /// The ACS resource of ARM.
    pub acs: Value,
    /// Paths that begin so are answered with this status instead, and a `Retry-After` when it is 429.
    pub faults: Vec<(String, u16)>,
    /// Answers wait until [`Cloud::let_go`].
    pub held: bool,
    /// Requests by path, parts of a batch included.
    pub asked: HashMap<String, usize>,
    /// Bodies of the token requests.
    pub token_requests: Vec<String>,
    /// The key set that is served, for tokens minted elsewhere.
    pub jwks: Value,
}

/// One person, as the answers about them.
#[derive(Debug, Clone)]
pub struct Person {
    /// `/users/{id}`
    pub user: Value,
    /// `/users/{id}/licenseDetails`
    pub licences: Value,
    /// `/admin/teams/userConfigurations/{id}`
    pub voice: Value,
    /// The number assignments.
    pub numbers: Value,
    /// One entry of `getPresencesByUserId`.
    pub presence: Value,
    /// Groups the person is in.
    pub groups: Vec<String>,
}

impl Person {
    /// Somebody for whom everything is in order.
    pub fn ready(oid: &str, principal: &str, number: &str) -> Person {
        Person {
            user: json!({"id": oid, "userPrincipalName": principal, "userType": "Member", "accountEnabled": true,
                "businessPhones": [number], "mobilePhone": null, "faxNumber": null}),
            licences: json!({"value": [{"servicePlans": [{"servicePlanName": "MCOEV",
                "servicePlanId": "4828c8ec-dc2e-4779-b502-87ac9ce28ab7", "provisioningStatus": "Success"}]}]}),
            voice: json!({"id": oid, "accountType": "user", "isEnterpriseVoiceEnabled": true,
                "featureTypes": ["Teams", "PhoneSystem"],
                "telephoneNumbers": [{"telephoneNumber": number, "assignmentCategory": "primary"}]}),
            numbers: json!({"value": [{"telephoneNumber": number, "numberType": "directRouting",
                "activationState": "activated", "assignmentStatus": "userAssigned", "assignmentTargetId": oid}]}),
            presence: json!({"id": oid, "availability": "Available", "activity": "Available"}),
            groups: Vec::new(),
        }
    }
}

impl Cloud {
    /// Starts the services on a free port of loopback.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> io::Result<Cloud> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let state = Arc::new(Shared::default());
        state.world().roles = ["User.Read.All", "TeamsUserConfiguration.Read.All", "Presence.Read.All"]
            .map(str::to_owned)
            .to_vec();
        let app = axum::Router::new().fallback(answer).with_state(state.clone());
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the simulated cloud has stopped");
            }
        });
        Ok(Cloud { addr, state, serving })
    }

    /// Its base address, for authority, Graph and ARM alike.
    pub fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it knows.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.state.world()
    }

    /// Invents somebody.
    pub fn add(&self, person: Person) {
        let id = person.user["id"].as_str().unwrap_or_default().to_owned();
        self.world().people.insert(id, person);
    }

    /// How often paths with this beginning were asked.
    pub fn asked(&self, path: &str) -> usize {
        let world = self.world();
        world.asked.iter().filter(|(asked, _)| asked.starts_with(path)).map(|(_, times)| times).sum()
    }

    /// Lets held answers go, and holds no more.
    pub fn let_go(&self) {
        self.world().held = false;
        self.state.let_go.notify_waiters();
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let gone = shared.let_go.notified();
    if shared.world().held {
        gone.await;
    }
    let mut world = shared.world();
    let path = uri.path().to_owned();
    if path.ends_with("/oauth2/v2.0/token") {
        return world.token(&path, &body);
    }
    if path.ends_with("/discovery/v2.0/keys") {
        world.count(&path);
        return (StatusCode::OK, world.jwks.to_string()).into_response();
    }
    let authorized = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("Bearer e30."));
    if !authorized {
        return reply(401, &error("InvalidAuthenticationToken"));
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if path == "/v1.0/$batch" {
        world.count(&path);
        if let Some(status) = world.fault(&path) {
            return reply(status, &error("fault"));
        }
        return world.batch(&body);
    }
    let relative = path.strip_prefix("/v1.0").unwrap_or(&path).to_owned();
    let query = uri.query().unwrap_or_default().to_owned();
    let (status, value) = world.one(&method, &relative, &query, &body);
    reply(status, &value)
}

impl World {
    fn count(&mut self, path: &str) {
        *self.asked.entry(path.to_owned()).or_default() += 1;
    }

    fn fault(&self, path: &str) -> Option<u16> {
        self.faults.iter().find(|(prefix, _)| path.starts_with(prefix.as_str())).map(|(_, status)| *status)
    }

    fn token(&mut self, path: &str, body: &[u8]) -> Response {
        self.count(path);
        self.token_requests.push(String::from_utf8_lossy(body).into_owned());
        if let Some((status, body)) = &self.token_fault {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY);
            return (status, body.clone()).into_response();
        }
        let claims = URL_SAFE_NO_PAD.encode(json!({ "roles": self.roles }).to_string());
        let token = format!("e30.{claims}.canary-token");
        reply(200, &json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token}))
    }

    /// Answers in reverse order: the real service promises none.
    fn batch(&mut self, body: &Value) -> Response {
        let requests = body["requests"].as_array().cloned().unwrap_or_default();
        let mut responses: Vec<_> = requests
            .iter()
            .map(|request| {
                let url = request["url"].as_str().unwrap_or_default();
                let (path, query) = url.split_once('?').unwrap_or((url, ""));
                let (status, body) = self.one(&Method::GET, path, query, &Value::Null);
                let headers = if status == 429 { json!({"Retry-After": "0"}) } else { json!({}) };
                json!({"id": request["id"], "status": status, "headers": headers, "body": body})
            })
            .collect();
        responses.reverse();
        reply(200, &json!({ "responses": responses }))
    }

    fn find(&self, name: &str) -> Option<&Person> {
        let name = name.replace("%40", "@");
        self.people.get(&name).or_else(|| {
            self.people.values().find(|person| person.user["userPrincipalName"].as_str() == Some(&name))
        })
    }

    fn one(&mut self, method: &Method, path: &str, query: &str, body: &Value) -> (u16, Value) {
        self.count(path);
        if let Some(status) = self.fault(path) {
            return (status, error(if status == 403 { "Authorization_RequestDenied" } else { "fault" }));
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let found = |value: Option<&Value>| match value {
            Some(value) if !value.is_null() => (200, value.clone()),
            _ => (404, error("Request_ResourceNotFound")),
        };
        match (method, parts.as_slice()) {
            (_, ["users", name]) => found(self.find(name).map(|person| &person.user)),
            (_, ["users", name, "licenseDetails"]) => found(self.find(name).map(|person| &person.licences)),
            (&Method::POST, ["users", name, "checkMemberGroups"]) => match self.find(name) {
                Some(person) => {
                    let asked = body["groupIds"].as_array().cloned().unwrap_or_default();
                    let is_in = |id: &Value| person.groups.iter().any(|group| Some(&**group) == id.as_str());
                    (200, json!({"value": asked.into_iter().filter(is_in).collect::<Vec<_>>()}))
                }
                None => found(None),
            },
            (_, ["admin", "teams", "userConfigurations", name]) => {
                found(self.find(name).map(|person| &person.voice))
            }
            (_, ["admin", "teams", "telephoneNumberManagement", "numberAssignments"]) => {
                let by_number = |one: &&Value| {
                    let number = one["telephoneNumber"].as_str().unwrap_or_default().trim_start_matches('+');
                    !number.is_empty() && query.contains(number)
                };
                let of_people = self.people.iter().flat_map(|(id, person)| {
                    let all = person.numbers["value"].as_array().into_iter().flatten();
                    all.filter(|one| query.contains(id.as_str()) || by_number(one))
                });
                let all: Vec<_> = of_people.chain(self.numbers.iter().filter(by_number)).collect();
                (200, json!({ "value": all }))
            }
            (&Method::POST, ["communications", "getPresencesByUserId"]) => {
                let ids = body["ids"].as_array().cloned().unwrap_or_default();
                let all = ids.iter().filter_map(|id| self.find(id.as_str()?));
                (200, json!({"value": all.map(|person| person.presence.clone()).collect::<Vec<_>>()}))
            }
            (_, ["applications", _]) => found(Some(&self.application)),
            (_, [_, "appRoleAssignments"]) => (403, error("Authorization_RequestDenied")),
            (_, ["subscriptions", ..]) => found(Some(&self.acs)),
            _ => found(None),
        }
    }
}

fn error(code: &str) -> Value {
    json!({"error": {"code": code, "message": "a simulated answer"}})
}

fn reply(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
