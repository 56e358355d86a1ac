//! Events as they happen: server-sent events and WebSocket, both resumable by number.
//!
//! A stream is a [`Follower`] and what it may see. It has no queue of its own: a client that reads
//! slowly is simply further back in the journal.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use metrics::gauge;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{MissedTickBehavior, timeout};
use utoipa::IntoParams;

use super::auth::Caller;
use super::extract::Asked;
use super::problem::Problem;
use super::webrtc::person_of;
use super::{ApiState, StreamPlace};
use crate::call::rights::{Act, Actor, Denial, Scope, may};
use crate::observe::{Follower, Kept, Page, metrics as names};

/// How often an idle stream says that it lives and looks whether its token still does.
const BEAT: Duration = Duration::from_secs(10);
/// Pause after the store could not be read.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// The largest message taken from a WebSocket client; nothing is expected from it.
const INCOMING_BYTES_MAX: usize = 4 * 1024;
/// The longest a WebSocket client may take to accept one message.
const SEND_MAX: Duration = Duration::from_secs(10);
/// Pings that a WebSocket client may leave unanswered (RFC 6455 section 5.5.2). One more, and it is gone, whatever its
/// connection says for as long as the network forgets to: the calls of whoever is ready there ring elsewhere.
const UNANSWERED_MAX: u32 = 3;

/// The subprotocol, for clients that offer any.
const PROTOCOL: &str = "sidetone";

/// Where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct After {
    /// The last number seen: what came after it is sent first, then what happens. Without it, only
    /// what happens from now on. `0` is everything kept.
    pub after: Option<u64>,
}

/// Where to begin, and whether calls may ring here.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AfterAndReady {
    /// The last number seen: what came after it is sent first, then what happens. Without it, only
    /// what happens from now on. `0` is everything kept.
    pub after: Option<u64>,
    /// `true`: calls for the person of the token may ring here for as long as the socket is open. Without any such
    /// socket the person is unreachable at once.
    #[serde(default)]
    pub ready: bool,
}

/// Follow events as server-sent events.
///
/// Each is a CloudEvents 1.0 document (see `CloudEvent`) with `id:` its number and `event:` its
/// type. `Last-Event-ID` resumes as `after` does. Numbers rise and may skip. `event: journal.gap`
/// tells that older events asked for are no longer kept.
#[utoipa::path(get, path = "/v1/events", operation_id = "followEvents", tag = "events",
    params(After, ("Last-Event-ID" = Option<u64>, Header, description = "As `after`; used when `after` is absent")),
    responses((status = 200, description = "The events", content_type = "text/event-stream", body = String)))]
pub(super) async fn sse(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Asked(After { after }): Asked<After>,
) -> Result<Response, Problem> {
    let after = match after {
        Some(after) => Some(after),
        None => last_event_id(&headers)?,
    };
    let events = Watch::open(&state, caller, after, "sse")?;
    let told = stream::unfold(events, |mut events| async {
        let (id, kind, data) = events.next().await?.into_parts(events.state.ledger().source());
        let mut event = SseEvent::default().event(&*kind).data(&*data);
        if let Some(id) = id {
            event = event.id(id.to_string());
        }
        Some((Ok::<_, Infallible>(event), events))
    });
    Ok(sse_response(told))
}

fn sse_response(events: impl Stream<Item = Result<SseEvent, Infallible>> + Send + 'static) -> Response {
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(BEAT).text(""));
    // Proxies that gather a response before passing it on would hold events back.
    ([("x-accel-buffering", "no")], sse).into_response()
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.map(Some).ok_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST, "query_invalid", "`Last-Event-ID` is the number of an event")
    })
}

/// Follow events over a WebSocket.
///
/// Each text message is one CloudEvents 1.0 document (see `CloudEvent`). Nothing is expected from
/// the client. A page in a browser, which can set no header, offers the subprotocols `sidetone` and
/// `bearer.TOKEN`; the first is agreed. The close code is 1008 when the token is no longer good, 1001 when the gateway stops.
#[utoipa::path(get, path = "/v1/events/ws", operation_id = "followEventsByWebSocket", tag = "events", params(AfterAndReady),
    responses((status = 101, description = "The WebSocket is open"),
        (status = 426, description = "The request asks for no WebSocket", body = super::problem::ProblemDocument,
            content_type = "application/problem+json")))]
pub(super) async fn ws(
    State(state): State<ApiState>,
    caller: Caller,
    Asked(AfterAndReady { after, ready }): Asked<AfterAndReady>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| {
        Problem::new(StatusCode::UPGRADE_REQUIRED, "not_a_websocket", rejection.body_text())
    })?;
    let ready = match ready {
        true => Some(state.browsers()?.1.ready(&person_of(&state, &caller, "be_ready")?)),
        false => None,
    };
    let events = Watch::open(&state, caller, after, "ws")?;
    let upgrade = upgrade.protocols([PROTOCOL]);
    let upgrade = upgrade.max_message_size(INCOMING_BYTES_MAX).max_frame_size(INCOMING_BYTES_MAX);
    Ok(upgrade.on_upgrade(async move |socket| {
        tell(socket, events).await;
        drop(ready);
    }))
}

async fn tell(mut socket: WebSocket, mut events: Watch) {
    let mut beat = tokio::time::interval(BEAT);
    // After a pause of ours nobody is asked three times in one moment.
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unanswered = 0;
    loop {
        let message = tokio::select! {
            told = events.next() => match told {
                Some(told) => {
                    let (_, _, data) = told.into_parts(events.state.ledger().source());
                    Message::Text((*data).into())
                }
                None => break,
            },
            _ = beat.tick() => {
                if unanswered >= UNANSWERED_MAX {
                    return;
                }
                unanswered += 1;
                Message::Ping(Default::default())
            }
            heard = socket.recv() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    unanswered = 0;
                    continue;
                }
            },
        };
        if !matches!(timeout(SEND_MAX, socket.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
    let (code, reason) = if events.state.closing() {
        (close_code::AWAY, "the gateway stops")
    } else {
        (close_code::POLICY, "the token is no longer good")
    };
    let _ = timeout(SEND_MAX, socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))))
        .await;
}

/// One open stream.
struct Watch {
    state: ApiState,
    caller: Caller,
    follower: Follower,
    ready: VecDeque<Told>,
    kind: &'static str,
    _place: StreamPlace,
}

/// One thing to tell a follower.
enum Told {
    Event(Arc<Kept>),
    /// Events after the number asked for were forgotten before they were read.
    Gap {
        upto: u64,
    },
}

impl Told {
    fn into_parts(self, source: &str) -> (Option<u64>, String, Arc<str>) {
        match self {
            Told::Event(event) => (Some(event.seq), event.kind.to_string(), event.cloud_event(source)),
            Told::Gap { upto } => {
                let gap = json!({
                    "specversion": "1.0", "id": format!("gap-{upto}"), "source": source, "type": "journal.gap",
                    "datacontenttype": "application/json", "data": {"upto": upto},
                });
                (None, "journal.gap".into(), gap.to_string().into())
            }
        }
    }
}

impl Watch {
    fn open(
        state: &ApiState,
        caller: Caller,
        after: Option<u64>,
        kind: &'static str,
    ) -> Result<Watch, Problem> {
        let Some(tenant) = caller.principal.actor.tenant().cloned() else {
            return Err(state.refused(&caller, "follow_events", "events", Denial::RoleForbids));
        };
        let place = state.stream_place(&caller).ok_or_else(|| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_streams",
                "too many event streams are open, of this token or of all",
            )
        })?;
        let follower = state.ledger().follow(after, Some(tenant));
        gauge!(names::API_STREAMS, "kind" => kind).increment(1.0);
        Ok(Watch { state: state.clone(), caller, follower, ready: VecDeque::new(), kind, _place: place })
    }

    /// The next thing to tell; none when the stream is over. Dropping the future loses nothing.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if self.state.closing() || !self.caller.still_good(&self.state, SystemTime::now()) {
                return None;
            }
            if let Some(told) = self.ready.pop_front() {
                return Some(told);
            }
            let page = tokio::select! {
                page = timeout(BEAT, self.follower.next()) => page,
                () = self.state.until_closing() => return None,
            };
            match page {
                Ok(Ok(page)) => self.take(page),
                Ok(Err(_)) => tokio::time::sleep(STORE_PAUSE).await,
                Err(_beat) => {}
            }
        }
    }

    fn take(&mut self, page: Page) {
        if page.gap {
            let upto = page.events.first().map_or(page.upto, |event| event.seq - 1);
            self.ready.push_back(Told::Gap { upto });
        }
        let actor = &self.caller.principal.actor;
        self.ready.extend(page.events.into_iter().filter(|event| sees(actor, event)).map(Told::Event));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        gauge!(names::API_STREAMS, "kind" => self.kind).decrement(1.0);
    }
}

/// Whether this actor may see this event.
pub(super) fn sees(actor: &Actor, event: &Kept) -> bool {
    // A supervisor is never among the people of a call's events: what names them is told to them.
    let named = match actor {
        Actor::Supervisor { tenant, person, .. } => {
            *tenant == event.tenant && event.audience.people.contains(person)
        }
        _ => false,
    };
    named || may(actor, Act::Read, &event.tenant, &scope(&event.audience)).is_ok()
}

/// An audience as rights see it.
pub(super) fn scope(audience: &crate::observe::Audience) -> Scope {
    Scope { people: audience.people.clone(), teams: audience.teams.clone(), joined_supervisors: Vec::new() }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use futures_util::StreamExt as _;
    use sha2::{Digest as _, Sha256};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;

    use super::super::auth::identify;
    use super::super::tests::lonely;
    use super::super::{Token, Tokens};
    use super::*;

    /// A WebSocket that is told events, and what ends when the telling does.
    async fn told() -> (tokio_tungstenite::WebSocketStream<TcpStream>, oneshot::Receiver<()>) {
        let tenant = sbc_config::TenantId::new("acme").unwrap();
        let tokens = || {
            let sha256 = Sha256::digest(b"t").into();
            let actor = Actor::TenantAdmin { tenant: tenant.clone() };
            Tokens::new(vec![Token { name: "t".into(), sha256, actor, expires: None }])
        };
        let headers = HeaderMap::from_iter([("authorization".parse().unwrap(), "Bearer t".parse().unwrap())]);
        let caller = identify(&headers, &tokens(), SystemTime::now()).ok().unwrap();
        let (state, folder) = lonely(tokens()).await;
        let events = Watch::open(&state, caller, None, "ws").ok().unwrap();
        let (over, ends) = oneshot::channel();
        let telling = Arc::new(std::sync::Mutex::new(Some((events, over, folder))));
        let take = move |upgrade: WebSocketUpgrade| {
            let (events, over, folder) = telling.lock().unwrap().take().unwrap();
            async move {
                upgrade.on_upgrade(async move |socket| {
                    tell(socket, events).await;
                    drop((over, folder));
                })
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/", get(take));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let stream = TcpStream::connect(address).await.unwrap();
        let (far, _) = tokio_tungstenite::client_async(format!("ws://{address}/"), stream).await.unwrap();
        // From here on nobody waits for time to pass.
        tokio::time::pause();
        (far, ends)
    }

    #[tokio::test]
    async fn a_client_that_answers_no_ping_is_told_nothing_any_more() {
        let (far, ends) = told().await;
        let begun = tokio::time::Instant::now();
        timeout(10 * UNANSWERED_MAX * BEAT, ends).await.expect("it ends").unwrap_err();
        assert!(begun.elapsed() >= (UNANSWERED_MAX - 1) * BEAT);
        drop(far);
    }

    #[tokio::test]
    async fn one_that_answers_is_told_for_as_long_as_it_likes() {
        let (mut far, mut ends) = told().await;
        for _ in 0..10 * UNANSWERED_MAX {
            // Reading answers.
            assert!(matches!(far.next().await, Some(Ok(tokio_tungstenite::tungstenite::Message::Ping(_)))));
        }
        assert!(ends.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
    }
}
