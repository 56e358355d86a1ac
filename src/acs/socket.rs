//! A leg's media WebSocket: messages of ACS into the bridge, packets of the bridge to ACS.
//!
//! There is one for each leg. When ACS dials anew, the new one has the leg's wire and the old one is closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::extract::ws::{Message as Frame, WebSocket};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::{mpsc, oneshot};

use crate::bridge::{LegWire, Outbound};
use crate::call::LegId;
use crate::observe::metrics as names;

use super::door::Stream;
use super::routes::{House, lock};
use super::run::Input;
use super::stream::{Inlet, Message, Outlet, Pacer, STOP_AUDIO, read};

/// Keys that wait for their stream: more than anybody presses at one time.
const KEYS_MAX: usize = 32;

/// Messages that make no sense before the far end is taken for something else than ACS.
const ODD_MAX: u32 = 500;

/// The sockets that are up, by leg.
#[derive(Default)]
pub(super) struct Sockets(Mutex<HashMap<LegId, Socket>>);

struct Socket {
    number: u64,
    go: oneshot::Sender<()>,
    keys: mpsc::Sender<char>,
}

impl Sockets {
    /// A new socket of a leg: the one before is told to go.
    fn take_over(&self, leg: LegId) -> (u64, oneshot::Receiver<()>, mpsc::Receiver<char>) {
        let (go, told) = oneshot::channel();
        let (keys, pressed) = mpsc::channel(KEYS_MAX);
        let mut sockets = lock(&self.0);
        let number = sockets.get(&leg).map_or(0, |before| before.number + 1);
        if let Some(before) = sockets.insert(leg, Socket { number, go, keys }) {
            // One that has gone by itself needs no telling.
            let _gone = before.go.send(());
        }
        (number, told, pressed)
    }

    /// The far end of a leg has pressed a key, as ACS tells beside the stream. False if there is no stream to put it into.
    pub(super) fn press(&self, leg: LegId, digit: char) -> bool {
        lock(&self.0).get(&leg).is_some_and(|socket| socket.keys.try_send(digit).is_ok())
    }

    /// A socket is gone. True if it was the leg's newest.
    fn leave(&self, leg: LegId, number: u64) -> bool {
        let mut sockets = lock(&self.0);
        let newest = sockets.get(&leg).is_some_and(|known| known.number == number);
        if newest {
            sockets.remove(&leg);
        }
        newest
    }
}

/// Carries sound until either side is gone, or another socket takes over.
pub(super) async fn run(house: Arc<House>, leg: LegId, wire: LegWire, rate: u32, far: WebSocket) {
    let (number, mut told_to_go, mut keys) = house.sockets.take_over(leg);
    wire.forget();
    // A door that is gone wants to know nothing.
    let _gone = house.inputs.send(Input::Stream(leg, Stream::Opened)).await;
    let (mut to_far, mut from_far) = far.split();
    // ACS says the rate first; until it does, it is what we asked for.
    let (Some(mut inlet), Some(mut outlet)) = (Inlet::new(rate, ssrc(leg)), Outlet::new(rate)) else {
        return;
    };
    let (mut pacer, mut odd) = (Pacer::default(), 0);
    let mut idle_at = Instant::now() + house.media_idle;
    // One packet waits for its time; the rest waits in the wire.
    let mut waiting: Option<String> = None;
    loop {
        let due = pacer.due(Instant::now());
        tokio::select! {
            message = from_far.next() => {
                let text = match message {
                    Some(Ok(Frame::Text(text))) => text,
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Binary(_))) => continue,
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => break,
                };
                let now = Instant::now();
                idle_at = now + house.media_idle;
                match read(&text) {
                    Message::Audio(audio) => {
                        for packet in inlet.take(now, audio) {
                            wire.push(packet);
                        }
                    }
                    Message::Metadata { rate, channels, encoding } => {
                        let known = channels == 1 && encoding.eq_ignore_ascii_case("PCM");
                        match (known.then(|| inlet.at_rate(rate)).flatten(), outlet.at_rate(rate)) {
                            (Some(at_rate), Some(out)) => (inlet, outlet) = (at_rate, out),
                            _ => {
                                tracing::warn!(%leg, rate, channels, "ACS streams what we cannot play");
                                break;
                            }
                        }
                    }
                    Message::Digit(digit) => press(&mut inlet, leg, digit),
                    Message::Unknown => {}
                    Message::Odd => {
                        metrics::counter!(names::ACS_ODD_FRAMES).increment(1);
                        odd += 1;
                        if odd > ODD_MAX {
                            break;
                        }
                    }
                }
            }
            outbound = wire.next(), if waiting.is_none() => match outbound {
                Some(Outbound::Packet(packet)) => {
                    if let Some(digit) = outlet.key(&packet) {
                        let _gone = house.inputs.send(Input::Stream(leg, Stream::Key(digit))).await;
                    }
                    waiting = outlet.message(&packet);
                }
                Some(Outbound::Switch) => {
                    // What ACS still holds was for the ear as it was.
                    pacer.stopped();
                    if to_far.send(Frame::text(STOP_AUDIO)).await.is_err() {
                        break;
                    }
                }
                None => break, // the leg's media is closed
            },
            () = tokio::time::sleep_until(due.into()), if waiting.is_some() => {
                if let Some(message) = waiting.take() {
                    pacer.sent(Instant::now());
                    if to_far.send(Frame::text(message)).await.is_err() {
                        break;
                    }
                }
            }
            () = tokio::time::sleep_until(idle_at.into()) => {
                tracing::info!(%leg, "a media stream has been silent for too long");
                break;
            }
            Some(digit) = keys.recv() => press(&mut inlet, leg, digit),
            _ = &mut told_to_go => break,
        }
    }
    // It may be broken; closing is a courtesy.
    let _closed = to_far.close().await;
    if house.sockets.leave(leg, number) {
        let _gone = house.inputs.send(Input::Stream(leg, Stream::Lost)).await;
    }
}

fn press(inlet: &mut Inlet, leg: LegId, digit: char) {
    if !inlet.press(digit) {
        tracing::info!(%leg, "keys come faster than they can be passed on; one is dropped");
    }
}

/// A stream has no source of its own; a leg has one voice.
fn ssrc(leg: LegId) -> u32 {
    (leg.0 as u32).max(1)
}
