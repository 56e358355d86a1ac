//! What the service does by itself: it finds the gateway, delivers, tells, streams, and ends.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::media::{self, Control};
use super::{Entry, GATEWAY_HOST, Gateway, Inner, KEPT_MAX, OF_CALLS, World, lock, rest};
use crate::acs::rest::uuid;
use crate::acs::wire::without_nulls;

impl Inner {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(super) fn note(&self, entry: Entry) {
        self.journal.send_modify(|journal| journal.push(entry));
    }

    /// An address as the gateway gave it, reached. `None` if nobody said where the gateway is, or it is another's
    /// address: nothing leaves this machine.
    pub(super) fn reach(&self, url: &str) -> Option<String> {
        let Gateway { address, tls, .. } = self.world().gateway.clone()?;
        if !url.contains(GATEWAY_HOST) {
            return None;
        }
        if tls.is_some() {
            return Some(url.replacen(GATEWAY_HOST, &format!("{GATEWAY_HOST}:{}", address.port()), 1));
        }
        let plain = url.replacen("https://", "http://", 1).replacen("wss://", "ws://", 1);
        Some(plain.replacen(GATEWAY_HOST, &address.to_string(), 1))
    }

    /// How the gateway is asked.
    pub(super) fn http(&self) -> reqwest::Client {
        self.world().gateway.as_ref().map(|gateway| gateway.http.clone()).unwrap_or_default()
    }

    pub(super) async fn deliver(&self, webhook: &str, body: &Value) {
        let Some(url) = self.reach(&format!("https://{GATEWAY_HOST}{webhook}")) else { return };
        let mut sending = self.http().post(url).header("aeg-event-type", "Notification").json(body);
        let authorization = {
            let world = self.world();
            world.entra.as_ref().and_then(|entra| entra.delivery(world.faults.delivery_token))
        };
        if let Some(authorization) = authorization {
            sending = sending.header("authorization", authorization);
        }
        let sent = sending.send().await;
        self.note(Entry::Delivery(sent.map_or(0, |answer| answer.status().as_u16())));
    }

    /// Sends an event about a call, if it is not to be lost; twice, if that is to be.
    pub(super) async fn emit(&self, connection: &str, kind: &str, result: Option<(u16, u32)>, more: Value) {
        let (event, url, times, flaw, delay) = {
            let mut world = self.world();
            let Some(call) = world.calls.get(connection) else { return };
            if world.faults.lost.iter().any(|lost| lost == kind) {
                return;
            }
            let mut data = json!({ "version": "2026-03-12", "callConnectionId": connection,
                "serverCallId": call.server_call, "correlationId": call.correlation,
                "publicEventType": format!("Microsoft.Communication.{kind}") });
            if let Some((code, subcode)) = result {
                data["resultInformation"] =
                    json!({ "code": code, "subCode": subcode, "message": world.faults.words });
            }
            // What was said when the call began comes back with its beginning and its end, and with nothing between.
            if OF_CALLS.contains(&kind) {
                data["operationContext"] = json!(call.context);
            }
            if let (Some(data), Some(more)) = (data.as_object_mut(), more.as_object()) {
                data.extend(more.clone());
            }
            without_nulls(&mut data);
            let subject = format!("calling/callConnections/{connection}");
            let event = json!([{ "id": uuid(), "source": subject, "subject": subject, "data": data,
                "type": format!("Microsoft.Communication.{kind}"), "specversion": "1.0",
                "datacontenttype": "application/json",
                "time": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%7f+00:00").to_string() }]);
            let callback = call.callback.clone();
            let times = if world.faults.duplicates { 2 } else { 1 };
            if world.told.len() < KEPT_MAX {
                world.told.push(event[0].clone());
            }
            (event, callback, times, world.faults.token, Duration::from_millis(world.faults.delay_ms))
        };
        let Some(url) = self.reach(&url) else { return self.note(Entry::Event(kind.to_owned(), 0)) };
        let http = self.http();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        for _ in 0..times {
            let mut sending = http.post(&url).json(&event);
            if let Some(authorization) = self.issuer.authorization(Timestamp::now(), flaw) {
                sending = sending.header("authorization", authorization);
            }
            let status = sending.send().await.map_or(0, |answer| answer.status().as_u16());
            self.note(Entry::Event(kind.to_owned(), status));
        }
    }

    /// Tells who is in a call.
    pub(super) async fn tell_participants(&self, connection: &str) {
        let more = {
            let mut world = self.world();
            let Some(call) = world.calls.get_mut(connection) else { return };
            // There are gaps in it, as in the real one.
            call.sequence += 2;
            json!({ "participants": rest::participants(call), "sequenceNumber": call.sequence })
        };
        self.emit(connection, "ParticipantsUpdated", None, more).await;
    }

    /// A call is up: its people talk, its stream begins.
    pub(super) async fn connected(self: &Arc<Self>, connection: &str) {
        {
            let mut world = self.world();
            let Some(call) = world.calls.get_mut(connection) else { return };
            call.state = "connected";
        }
        self.tell_participants(connection).await;
        self.emit(connection, "CallConnected", Some((200, 0)), json!({})).await;
        let starts = self.world().calls.get(connection).is_some_and(|call| {
            call.streaming.as_ref().is_some_and(|streaming| streaming.start_media_streaming == Some(true))
        });
        if starts {
            self.start_stream(connection);
        }
    }

    pub(super) fn start_stream(self: &Arc<Self>, connection: &str) {
        let (ask, talkers, figures, control) = {
            let mut world = self.world();
            let first_frame = world.faults.first_frame.clone();
            let Some(call) = world.calls.get_mut(connection) else { return };
            let Some(streaming) = &call.streaming else { return };
            let is = |said: &Option<String>, word: &str| {
                said.as_deref().is_some_and(|said| said.eq_ignore_ascii_case(word))
            };
            let ask = media::Ask {
                url: streaming.transport_url.as_ref().map_or("", |url| url.expose()).to_owned(),
                rate: if is(&streaming.audio_format, "pcm24KMono") { 24_000 } else { 16_000 },
                unmixed: streaming.audio_channel_type.eq_ignore_ascii_case("unmixed"),
                bidirectional: streaming.enable_bidirectional == Some(true),
                connection: connection.to_owned(),
                correlation: call.correlation.clone(),
                first_frame,
            };
            let (tell, control) = mpsc::channel(16);
            call.stream = Some(tell);
            (ask, call.talkers.clone(), call.figures.clone(), control)
        };
        let Some(url) = self.reach(&ask.url) else { return };
        let ask = media::Ask { url, ..ask };
        let (inner, connection) = (self.clone(), connection.to_owned());
        tokio::spawn(async move {
            let started = json!({ "mediaStreamingUpdate": { "contentType": "Audio",
                "mediaStreamingStatus": "mediaStreamingStarted", "mediaStreamingStatusDetails": "subscriptionStarted" } });
            inner.emit(&connection, "MediaStreamingStarted", Some((200, 0)), started).await;
            let signer = inner.clone();
            let token = move || {
                let faults = signer.world().faults.clone();
                let flaw = faults.stream_token.unwrap_or(faults.token);
                signer.issuer.authorization(Timestamp::now(), flaw)
            };
            let gateway = inner.world().gateway.clone();
            let line = gateway.map(|gateway| (gateway.address, gateway.tls));
            if media::stream(ask, line, talkers, figures, control, token).await.is_err() {
                if let Some(call) = inner.world().calls.get_mut(&connection) {
                    call.stream = None;
                }
                let failed = json!({ "mediaStreamingUpdate": { "contentType": "Audio",
                    "mediaStreamingStatus": "mediaStreamingFailed",
                    "mediaStreamingStatusDetails": "initialWebSocketConnectionFailed" } });
                inner.emit(&connection, "MediaStreamingFailed", Some((500, 8603)), failed).await;
            }
        });
    }

    /// A call is over.
    pub(super) async fn end(&self, connection: &str, code: u16, subcode: u32) {
        let stream = {
            let mut world = self.world();
            let Some(call) = world.calls.get_mut(connection) else { return };
            call.state = "disconnected";
            call.stream.take()
        };
        if let Some(stream) = stream {
            let _gone = stream.send(Control::Stop).await;
        }
        self.emit(connection, "CallDisconnected", Some((code, subcode)), json!({})).await;
        self.world().calls.remove(connection);
    }
}
