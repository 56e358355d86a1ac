//! A client of the gateway's HTTP API, as an integrator would write it.

use reqwest::{Client, Method, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::sim::{Hung, until};

/// The most bytes of one event that are gathered; the gateway's are below 16 KiB.
const EVENT_BYTES_MAX: usize = 256 * 1024;

/// The API, seen with one token. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    http: Client,
    base: String,
    token: String,
}

/// Why a request had no success.
#[derive(Debug, Error)]
pub enum ApiError {
    /// The request or its answer was lost.
    #[error("the API cannot be reached")]
    Http(#[from] reqwest::Error),
    /// The gateway refused (RFC 9457).
    #[error("{status} {code}: {detail}")]
    Problem {
        /// HTTP status.
        status: u16,
        /// The stable code.
        code: String,
        /// What it says to people.
        detail: String,
        /// All of it, as it came.
        document: Box<Value>,
    },
    /// The answer is not what the API promises.
    #[error("the API answered something unexpected")]
    Answer(#[from] serde_json::Error),
}

impl ApiError {
    /// The stable code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem { code, .. } => Some(code),
            Self::Http(_) | Self::Answer(_) => None,
        }
    }

    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem { status, .. } => Some(*status),
            Self::Http(_) | Self::Answer(_) => None,
        }
    }
}

/// A live call.
#[derive(Debug, Clone, Deserialize)]
pub struct Call {
    /// Its id.
    pub id: String,
    /// The calling number.
    pub from: String,
    /// `ringing`, `talking` or `ending`.
    pub state: String,
    /// Its legs.
    pub legs: Vec<Leg>,
}

/// One leg of a call.
#[derive(Debug, Clone, Deserialize)]
pub struct Leg {
    /// Its id.
    pub id: String,
    /// `customer`, `agent`, `supervisor` and so on.
    pub role: String,
    /// Who it is, when it is one of the tenant's people.
    pub person: Option<String>,
    /// `ringing`, `early`, `waiting` or `talking`.
    pub presence: String,
    /// `none`, `held` or `holding`.
    pub hold: String,
    /// How it sounds, once that is measured.
    pub quality: Option<Quality>,
}

/// How a leg sounds.
#[derive(Debug, Clone, Deserialize)]
pub struct Quality {
    /// Mean opinion score of the last seconds.
    pub mos: f64,
    /// Packets that came.
    pub packets_received: u64,
    /// The share that did not.
    pub loss: f64,
    /// Jitter of arrival.
    pub jitter_ms: f64,
    /// Round trip, by the far end's reports.
    pub round_trip_ms: Option<f64>,
}

/// A supervision.
#[derive(Debug, Clone, Deserialize)]
pub struct Supervision {
    /// Its id.
    pub id: String,
    /// The call it is on.
    pub call: Option<String>,
    /// `monitor`, `whisper`, `barge` or `takeover`.
    pub role: String,
    /// `requested`, `active` or `waiting`.
    pub state: String,
    /// What the supervisor dials to join.
    pub dial_in: Option<String>,
}

/// A role change in force.
#[derive(Debug, Clone, Deserialize)]
pub struct Switched {
    /// The supervision now.
    pub supervision: Supervision,
    /// Who hears whom now.
    pub audio: Audio,
}

/// A consult.
#[derive(Debug, Clone, Deserialize)]
pub struct Consult {
    /// Its id.
    pub id: String,
    /// `ringing` or `talking`.
    pub state: String,
    /// Whom the one who asked speaks to, once answered.
    pub speak_to: Option<String>,
}

/// Who hears whom.
#[derive(Debug, Clone, Deserialize)]
pub struct Audio {
    /// Counts up with every change.
    pub generation: u64,
    /// One row for each ear.
    pub ears: Vec<EarRow>,
}

/// One row of the table.
#[derive(Debug, Clone, Deserialize)]
pub struct EarRow {
    /// Whose ear.
    pub leg: String,
    /// `silence`, `ringback`, `music`, `relay` or `mix`.
    pub plan: String,
    /// Who is heard.
    pub mouths: Vec<MouthCell>,
}

/// One mouth of a row.
#[derive(Debug, Clone, Deserialize)]
pub struct MouthCell {
    /// Whose mouth.
    pub leg: String,
}

impl Call {
    /// The leg of a person.
    pub fn leg_of(&self, person: &str) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.person.as_deref() == Some(person))
    }

    /// The customer's leg.
    pub fn customer(&self) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.role == "customer")
    }
}

impl Api {
    /// The API at this address, with this bearer token.
    pub fn new(at: std::net::SocketAddr, token: &str) -> Result<Self, ApiError> {
        // The proxies of the environment are for the way out; this never leaves the machine.
        let http = crate::client::http().no_proxy().build()?;
        Ok(Self { http, base: format!("http://{at}"), token: token.to_owned() })
    }

    /// The same with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// A link that signs somebody in to the console, once; the bearer of the token when nobody is named.
    pub async fn sign_in_link(&self, person: Option<&str>) -> Result<String, ApiError> {
        let body = person.map_or_else(|| json!({}), |person| json!({ "person": person }));
        let answer = self.ask(Method::POST, "/v1/sign-ins", Some(body)).await?;
        Ok(self.url(answer["link"].as_str().unwrap_or_default()))
    }

    /// Whether somebody is signed in to the console.
    pub async fn is_signed_in(&self, person: &str) -> Result<bool, ApiError> {
        let overview = self.ask(Method::GET, "/v1/overview", None).await?;
        let mut people = overview["people"].as_array().into_iter().flatten();
        Ok(people.any(|one| one["id"] == person && one["signed_in"] == true))
    }

    /// Ends all sessions of somebody at the console.
    pub async fn sign_out(&self, person: &str) -> Result<(), ApiError> {
        let sessions = self.ask(Method::GET, "/v1/sessions", None).await?;
        let all = sessions["items"].as_array().into_iter().flatten();
        for session in all.filter(|session| session["bearer"] == person) {
            let id = session["id"].as_str().unwrap_or_default();
            self.ask(Method::DELETE, &format!("/v1/sessions/{id}"), None).await?;
        }
        Ok(())
    }

    /// The live calls this token may see.
    pub async fn calls(&self) -> Result<Vec<Call>, ApiError> {
        #[derive(Deserialize)]
        struct Calls {
            items: Vec<Call>,
        }
        let answer = self.ask(Method::GET, "/v1/calls", None).await?;
        Ok(serde_json::from_value::<Calls>(answer)?.items)
    }

    /// One live call.
    pub async fn call(&self, call: &str) -> Result<Call, ApiError> {
        Ok(serde_json::from_value(self.ask(Method::GET, &format!("/v1/calls/{call}"), None).await?)?)
    }

    /// Who hears whom, as the gateway says.
    pub async fn audio(&self, call: &str) -> Result<Audio, ApiError> {
        Ok(serde_json::from_value(self.ask(Method::GET, &format!("/v1/calls/{call}/audio"), None).await?)?)
    }

    /// Places a call: the agent is rung, then the number.
    pub async fn originate(&self, agent: &str, to: &str) -> Result<Call, ApiError> {
        let body = json!({ "agent": agent, "to": to });
        Ok(serde_json::from_value(self.ask(Method::POST, "/v1/calls", Some(body)).await?)?)
    }

    /// Ends a call.
    pub async fn hang_up(&self, call: &str) -> Result<(), ApiError> {
        self.ask(Method::DELETE, &format!("/v1/calls/{call}"), None).await.map(drop)
    }

    /// Does something to a leg: `hold`, `resume`, `mute`, `unmute`, `hangup`.
    pub async fn leg(&self, call: &str, leg: &str, act: &str) -> Result<(), ApiError> {
        self.ask(Method::POST, &format!("/v1/calls/{call}/legs/{leg}/{act}"), None).await.map(drop)
    }

    /// Puts a supervisor on a call. `request` is the body.
    pub async fn supervise(&self, call: &str, request: Value) -> Result<Supervision, ApiError> {
        let path = format!("/v1/calls/{call}/supervisions");
        Ok(serde_json::from_value(self.ask(Method::POST, &path, Some(request)).await?)?)
    }

    /// One supervision.
    pub async fn supervision(&self, id: &str) -> Result<Supervision, ApiError> {
        Ok(serde_json::from_value(self.ask(Method::GET, &format!("/v1/supervisions/{id}"), None).await?)?)
    }

    /// Switches the role of a supervision.
    pub async fn switch(&self, id: &str, role: &str) -> Result<Switched, ApiError> {
        let path = format!("/v1/supervisions/{id}");
        Ok(serde_json::from_value(self.ask(Method::PATCH, &path, Some(json!({ "role": role }))).await?)?)
    }

    /// Takes the call over from the agent.
    pub async fn take_over(&self, id: &str) -> Result<Switched, ApiError> {
        let path = format!("/v1/supervisions/{id}/takeover");
        Ok(serde_json::from_value(self.ask(Method::POST, &path, None).await?)?)
    }

    /// Ends a supervision.
    pub async fn end_supervision(&self, id: &str) -> Result<(), ApiError> {
        self.ask(Method::DELETE, &format!("/v1/supervisions/{id}"), None).await.map(drop)
    }

    /// Asks an expert. `request` is the body.
    pub async fn consult(&self, call: &str, request: Value) -> Result<Consult, ApiError> {
        let path = format!("/v1/calls/{call}/consults");
        Ok(serde_json::from_value(self.ask(Method::POST, &path, Some(request)).await?)?)
    }

    /// What asking an expert would come to, without ringing anybody. `request` is the body, `dry_run` in it.
    pub async fn consult_preview(&self, call: &str, request: Value) -> Result<Value, ApiError> {
        self.ask(Method::POST, &format!("/v1/calls/{call}/consults"), Some(request)).await
    }

    /// Takes in what the collector wrote.
    pub async fn import(&self, file: &Value) -> Result<(), ApiError> {
        let body = json!({ "import": file });
        self.ask(Method::POST, "/v1/integration/teams/evidence", Some(body)).await.map(drop)
    }

    /// One consult.
    pub async fn consult_of(&self, id: &str) -> Result<Consult, ApiError> {
        Ok(serde_json::from_value(self.ask(Method::GET, &format!("/v1/consults/{id}"), None).await?)?)
    }

    /// Speaks to `expert`, `customer`, `both`, or in `conference`.
    pub async fn speak_to(&self, id: &str, whom: &str) -> Result<Consult, ApiError> {
        let path = format!("/v1/consults/{id}");
        Ok(serde_json::from_value(self.ask(Method::PATCH, &path, Some(json!({ "speak_to": whom }))).await?)?)
    }

    /// Ends a consult: `complete` or `cancel`.
    pub async fn end_consult(&self, id: &str, how: &str) -> Result<(), ApiError> {
        self.ask(Method::POST, &format!("/v1/consults/{id}/{how}"), None).await.map(drop)
    }

    /// Gives a place away. `request` is the body; the outcome, if the request waits for one.
    pub async fn transfer(&self, call: &str, request: Value) -> Result<Option<String>, ApiError> {
        let path = format!("/v1/calls/{call}/transfers");
        let answer = self.ask(Method::POST, &path, Some(request)).await?;
        Ok(answer["outcome"].as_str().map(str::to_owned))
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, ApiError> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let status = response.status();
        let octets = response.bytes().await?;
        let answer = if octets.is_empty() { Value::Null } else { serde_json::from_slice(&octets)? };
        if status.is_success() {
            return Ok(answer);
        }
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let (status, code, detail) = (status.as_u16(), text("code"), text("detail"));
        Err(ApiError::Problem { status, code, detail, document: Box::new(answer) })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }
}

/// The events of a tenant from the beginning, followed as server-sent events.
pub struct Events {
    seen: watch::Receiver<Vec<Event>>,
    task: JoinHandle<()>,
}

/// One CloudEvent.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// Its name, such as `call.answered`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The call it is about.
    #[serde(rename = "subject")]
    pub call: Option<String>,
    /// What it says.
    pub data: Value,
}

impl Events {
    /// Follows all events that this token may see.
    pub async fn follow(api: &Api) -> Result<Self, ApiError> {
        let response = api.request(Method::GET, "/v1/events?after=0").send().await?.error_for_status()?;
        let (told, seen) = watch::channel(Vec::new());
        let task = tokio::spawn(gather(response, told));
        Ok(Self { seen, task })
    }

    /// Everything seen so far.
    pub fn seen(&self) -> Vec<Event> {
        self.seen.borrow().clone()
    }

    /// Waits for an event and gives it.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Event) -> bool) -> Result<Event, Hung> {
        let hung = |seen: &Vec<Event>| Hung {
            who: "the listener of events".to_owned(),
            what: what.to_owned(),
            last: seen.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>().join(", "),
        };
        let mut found = None;
        let seen = |seen: &Vec<Event>| {
            found = seen.iter().find(|event| wanted(event)).cloned();
            found.is_some()
        };
        let seen = until(&mut self.seen.clone(), seen, hung).await?;
        seen.into_iter().find(|event| wanted(event)).ok_or_else(|| Hung {
            who: "the listener of events".to_owned(),
            what: what.to_owned(),
            last: String::new(),
        })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads `data:` lines until the stream ends; the other lines repeat what is in the data.
async fn gather(mut response: reqwest::Response, told: watch::Sender<Vec<Event>>) {
    let mut rest = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        rest.extend_from_slice(&chunk);
        while let Some(end) = rest.iter().position(|&octet| octet == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let event = line.strip_prefix(b"data:").map(serde_json::from_slice);
            if let Some(Ok(event)) = event {
                told.send_modify(|seen| seen.push(event));
            }
        }
        if rest.len() > EVENT_BYTES_MAX {
            return;
        }
    }
}
