//! A leg's media WebSocket: messages of ACS into the bridge, packets of the bridge to ACS.
//!
//! There is one for each leg. When ACS dials anew, the new one has the leg's wire and the old one is closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::ws::{Message as Frame, WebSocket};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::bridge::{LegWire, Outbound};
use crate::call::LegId;
use crate::observe::metrics as names;

use super::door::Stream;
use super::routes::{House, lock};
use super::run::Input;
use super::stream::{Backlog, Inlet, Message, Outlet, Pacer, STOP_AUDIO, read};

/// Keys that wait for their stream: more than anybody presses at one time.
const KEYS_MAX: usize = 32;

/// Messages that make no sense before the far end is taken for something else than ACS.
const ODD_MAX: u32 = 500;

/// A far end that takes nothing for this long is not there any more, whatever its connection says. Dialled anew it begins with
/// the present.
const GIVEN_MAX: Duration = Duration::from_secs(5);

/// The sockets that are up, by leg.
#[derive(Default)]
pub(super) struct Sockets(Mutex<Up>);

#[derive(Default)]
struct Up {
    /// The number given last. None is given twice: one that closes slowly may outlive those that came after it.
    last: u64,
    by_leg: HashMap<LegId, Socket>,
}

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
        let mut up = lock(&self.0);
        up.last += 1;
        let number = up.last;
        if let Some(before) = up.by_leg.insert(leg, Socket { number, go, keys }) {
            // One that has gone by itself needs no telling.
            let _gone = before.go.send(());
        }
        (number, told, pressed)
    }

    /// The far end of a leg has pressed a key, as ACS tells beside the stream. False if there is no stream to put it into.
    pub(super) fn press(&self, leg: LegId, digit: char) -> bool {
        lock(&self.0).by_leg.get(&leg).is_some_and(|socket| socket.keys.try_send(digit).is_ok())
    }

    /// A socket is gone. True if it was the leg's newest.
    fn leave(&self, leg: LegId, number: u64) -> bool {
        let mut up = lock(&self.0);
        let newest = up.by_leg.get(&leg).is_some_and(|known| known.number == number);
        if newest {
            up.by_leg.remove(&leg);
        }
        newest
    }
}

/// Carries sound until either side is gone, or another socket takes over.
pub(super) async fn run(house: Arc<House>, leg: LegId, wire: LegWire, rate: u32, far: WebSocket) {
    let (number, told_to_go, keys) = house.sockets.take_over(leg);
    wire.forget();
    // A door that is gone wants to know nothing.
    let _gone = house.inputs.send(Input::Stream(leg, Stream::Opened)).await;
    let line = Line { leg, rate, idle: house.media_idle, inputs: house.inputs.clone() };
    line.carry(wire, far, told_to_go, keys).await;
    if house.sockets.leave(leg, number) {
        let _gone = house.inputs.send(Input::Stream(leg, Stream::Lost)).await;
    }
}

/// What one socket needs to know.
struct Line {
    leg: LegId,
    /// Samples a second, until ACS says another.
    rate: u32,
    idle: Duration,
    inputs: mpsc::Sender<Input>,
}

impl Line {
    async fn carry(
        self,
        wire: LegWire,
        far: WebSocket,
        mut told_to_go: oneshot::Receiver<()>,
        mut keys: mpsc::Receiver<char>,
    ) {
        let Line { leg, rate, idle, inputs } = self;
        let (mut to_far, mut from_far) = far.split();
        // ACS says the rate first; until it does, it is what we asked for.
        let (Some(mut inlet), Some(mut outlet)) = (Inlet::new(rate, ssrc(leg)), Outlet::new(rate)) else {
            return;
        };
        let (mut pacer, mut odd) = (Pacer::default(), 0);
        let (mut backlog, mut too_many) = (Backlog::default(), 0);
        let mut idle_at = now() + idle;
        // One packet waits for its time; the rest waits in the wire.
        let mut waiting: Option<String> = None;
        loop {
            let due = pacer.due(now());
            tokio::select! {
                message = from_far.next() => {
                    let text = match message {
                        Some(Ok(Frame::Text(text))) => text,
                        Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Binary(_))) => continue,
                        Some(Ok(Frame::Close(_)) | Err(_)) | None => break,
                    };
                    let now = now();
                    idle_at = now + idle;
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
                                tracing::warn!(%leg, "a media stream says too much that makes no sense");
                                break;
                            }
                        }
                    }
                }
                outbound = wire.next(), if waiting.is_none() => match outbound {
                    Some(Outbound::Packet(packet)) => {
                        if let Some(digit) = outlet.key(&packet) {
                            let _gone = inputs.send(Input::Stream(leg, Stream::Key(digit))).await;
                        }
                        waiting = outlet.message(&packet);
                        if waiting.is_some() && too_many > 0 {
                            (waiting, too_many) = (None, too_many - 1);
                        } else {
                            too_many = backlog.taken(wire.waiting());
                        }
                    }
                    Some(Outbound::Switch) => {
                        // What ACS still holds was for the ear as it was.
                        pacer.stopped();
                        (backlog, too_many) = (Backlog::default(), 0);
                        if !give(&mut to_far, leg, STOP_AUDIO.to_owned()).await {
                            break;
                        }
                    }
                    None => break, // the leg's media is closed
                },
                () = tokio::time::sleep_until(due.into()), if waiting.is_some() => {
                    if let Some(message) = waiting.take() {
                        pacer.sent(now());
                        if !give(&mut to_far, leg, message).await {
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
        let _closed = timeout(GIVEN_MAX, to_far.close()).await;
    }
}

/// Sends a message. False if the far end is gone, or takes none.
async fn give(to_far: &mut SplitSink<WebSocket, Frame>, leg: LegId, message: String) -> bool {
    match timeout(GIVEN_MAX, to_far.send(Frame::text(message))).await {
        Ok(sent) => sent.is_ok(),
        Err(_) => {
            tracing::info!(%leg, "the far end of a media stream takes nothing; it is closed");
            false
        }
    }
}

/// The time, by the clock that wakes us.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
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

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::WebSocketUpgrade;
    use axum::routing::get;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message as Heard;

    use super::super::stream::{Audio, FRAME};
    use super::*;

    /// A packet of the bridge with sound.
    fn packet() -> Vec<u8> {
        let audio = Audio { pcm: vec![7; 320], timestamp: None, participant: None, silent: false };
        Inlet::new(16_000, 7).unwrap().take(Instant::now(), audio).remove(0)
    }

    /// A media socket that carries a wire whose other end is never at a loss for sound: ten packets lie there whatever was
    /// taken. The far end, and what ends when the socket does.
    async fn carried(
        wire: LegWire,
        idle: Duration,
    ) -> (WebSocketStream<TcpStream>, JoinHandle<()>, oneshot::Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (come, mut came) = mpsc::channel(1);
        let take = move |upgrade: WebSocketUpgrade| async move {
            upgrade.on_upgrade(move |far| async move { come.send(far).await.unwrap() })
        };
        let app = Router::new().route("/", get(take));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let stream = TcpStream::connect(address).await.unwrap();
        let (far, _) = tokio_tungstenite::client_async(format!("ws://{address}/"), stream).await.unwrap();
        let near = came.recv().await.unwrap();
        let (go, told_to_go) = oneshot::channel();
        let (inputs, _heard) = mpsc::channel(8);
        let line = Line { leg: LegId(7), rate: 16_000, idle, inputs };
        let (_keys, pressed) = mpsc::channel(1);
        let carrying = tokio::spawn(async move { line.carry(wire, near, told_to_go, pressed).await });
        (far, carrying, go)
    }

    #[test]
    fn a_socket_that_closes_slowly_takes_none_with_it_that_came_after() {
        let (sockets, leg) = (Sockets::default(), LegId(7));
        let (first, _first_told, _first_keys) = sockets.take_over(leg);
        let (second, _second_told, _second_keys) = sockets.take_over(leg);
        assert!(sockets.leave(leg, second));
        let (third, mut told_to_go, _keys) = sockets.take_over(leg);
        assert!(!sockets.leave(leg, first), "the third is the newest");
        assert_eq!(told_to_go.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        assert!(sockets.press(leg, '5') && sockets.leave(leg, third));
    }

    #[tokio::test(start_paused = true)]
    async fn over_ten_seconds_the_far_end_is_never_more_than_five_frames_ahead_of_real_time() {
        let (wire, room) = LegWire::new().unwrap();
        let room = Arc::new(room);
        let (mut far, carrying, _go) = carried(wire, Duration::from_secs(600)).await;
        let full = room.clone();
        let feeding = tokio::spawn(async move {
            let mut often = tokio::time::interval(Duration::from_millis(1));
            loop {
                (0..10).for_each(|_| full.send(&packet()));
                often.tick().await;
            }
        });
        // A switch of who is heard makes the service forget what it holds: then it may be ahead anew, and no further.
        for _ in 0..2 {
            let (began, mut frames) = (tokio::time::Instant::now(), 0);
            while began.elapsed() < Duration::from_secs(10) {
                let Some(Ok(Heard::Text(text))) = far.next().await else { panic!("the socket is gone") };
                assert!(matches!(read(&text), Message::Audio(_)), "{text:.60}");
                frames += 1;
                let played = began.elapsed().as_millis() / FRAME.as_millis();
                assert!(frames <= 5 + played, "{frames} frames, of which {played} can have been played");
            }
            // Paused time goes on while an octet is on its way, on a busy machine for long, so many are lost to the measure.
            assert!(frames > 20, "and it does not starve: {frames}");
            room.switch();
            while !matches!(far.next().await, Some(Ok(Heard::Text(text))) if text.as_str() == STOP_AUDIO) {}
        }
        feeding.abort();
        drop((feeding.await, room));
        carrying.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_stall_left_behind_is_not_heard_late_for_the_rest_of_the_call() {
        let (wire, room) = LegWire::new().unwrap();
        let queue = wire.clone();
        let (mut far, carrying, _go) = carried(wire, Duration::from_secs(600)).await;
        let feeding = tokio::spawn(async move {
            // As after a fifth of a second in which nobody sent.
            (0..10).for_each(|_| room.send(&packet()));
            let mut every = tokio::time::interval(FRAME);
            loop {
                every.tick().await;
                room.send(&packet());
            }
        });
        let heard = tokio::spawn(async move { while let Some(Ok(_)) = far.next().await {} });
        // Two spans, and some more: paused time may run on while an octet is on its way.
        let comes_to = async |wanted: std::ops::RangeInclusive<usize>| {
            let mut every = tokio::time::interval(FRAME);
            for _ in 0..4 * 100 {
                every.tick().await;
                if wanted.contains(&queue.waiting()) {
                    return;
                }
            }
            panic!("{} frames wait", queue.waiting());
        };
        comes_to(6..=10).await;
        comes_to(0..=2).await;
        feeding.abort();
        drop(feeding.await);
        carrying.await.unwrap();
        heard.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_far_end_that_takes_nothing_any_more_keeps_no_socket() {
        let (wire, room) = LegWire::new().unwrap();
        let (far, carrying, _go) = carried(wire, Duration::from_secs(24 * 3600)).await;
        let feeding = tokio::spawn(async move {
            let mut every = tokio::time::interval(FRAME);
            loop {
                room.send(&packet());
                every.tick().await;
            }
        });
        // What the machine buffers for a far end is some megabytes: minutes of sound.
        timeout(Duration::from_secs(3 * 3600), carrying).await.expect("the socket ends").unwrap();
        feeding.abort();
        drop(far);
    }

    #[tokio::test(start_paused = true)]
    async fn a_far_end_that_says_nothing_is_left_after_a_while_and_a_newer_socket_takes_over_at_once() {
        let began = tokio::time::Instant::now();
        let (wire, _room) = LegWire::new().unwrap();
        let (_far, carrying, _go) = carried(wire.clone(), Duration::from_secs(15)).await;
        carrying.await.unwrap();
        assert!(began.elapsed() >= Duration::from_secs(15));
        let (mut far, carrying, go) = carried(wire, Duration::from_secs(15)).await;
        go.send(()).unwrap();
        carrying.await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(30));
        assert!(matches!(far.next().await, Some(Ok(Heard::Close(_)))));
    }
}
