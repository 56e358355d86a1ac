//! The service's end of a media stream: every participant hums, hears the others and what the gateway plays, and is
//! recorded.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::sim::ear::Clip;
use crate::sim::voice::Voice;

/// The most sound kept of an ear: ten minutes.
const KEPT_FRAMES: usize = 30_000;
/// Frames waiting to be played; the real service's limit is unknown, and nothing faithful depends on it.
const QUEUE_FRAMES: usize = 500;

/// What a call connection's stream is told.
#[derive(Debug)]
pub(super) enum Control {
    /// A digit is pressed.
    Digit(char),
    /// The connection is lost; after so long it is dialled anew.
    Drop(Duration),
    /// The connection is lost and dialled anew with sound at another rate; everybody's ear begins anew with it.
    Rate(u32),
    /// A message as it is.
    Raw(Message),
    /// It is over.
    Stop,
}

/// Somebody in the call with a voice and an ear.
#[derive(Clone)]
pub struct Talker {
    raw_id: String,
    voice: Voice,
    tape: Arc<Mutex<Vec<i16>>>,
    frames: watch::Sender<usize>,
    rate: u32,
}

impl Talker {
    pub(super) fn new(raw_id: &str, voice: Voice, rate: u32) -> Talker {
        Talker { raw_id: raw_id.to_owned(), voice, tape: Arc::default(), frames: watch::Sender::new(0), rate }
    }

    pub(super) fn raw_id(&self) -> &str {
        &self.raw_id
    }

    /// Frames of 20 ms heard so far.
    pub fn heard(&self) -> usize {
        *self.frames.borrow()
    }

    /// Waits until so many further frames are heard, and gives them.
    ///
    /// # Errors
    /// They never came.
    pub async fn listen(&self, frames: usize) -> Result<Clip, crate::sim::Hung> {
        let from = self.heard();
        let hung = |heard: &usize| crate::sim::Hung {
            who: self.raw_id.clone(),
            what: format!("{frames} frames of sound"),
            last: format!("{} frames", heard - from),
        };
        crate::sim::until(&mut self.frames.subscribe(), |heard| *heard >= from + frames, hung).await?;
        Ok(self.since(from))
    }

    /// All that was heard after so many frames.
    pub fn since(&self, frame: usize) -> Clip {
        let tape = lock(&self.tape);
        let samples = self.rate as usize / 50;
        let pcm = tape.get(frame * samples..).unwrap_or_default().to_vec();
        Clip { packets: pcm.len() / samples, pcm, rate: self.rate }
    }

    fn hear(&self, pcm: &[i16]) {
        let mut tape = lock(&self.tape);
        if self.heard() < KEPT_FRAMES {
            tape.extend_from_slice(pcm);
            drop(tape);
            self.frames.send_modify(|frames| *frames += 1);
        }
    }
}

/// What a stream was asked to be.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) url: String,
    pub(super) rate: u32,
    pub(super) unmixed: bool,
    pub(super) bidirectional: bool,
    pub(super) connection: String,
    pub(super) correlation: String,
    /// Comes in place of the metadata.
    pub(super) first_frame: Option<String>,
}

/// What a stream did, for those who judge the gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StreamFigures {
    /// Frames the gateway sent.
    pub frames: u64,
    /// The most frames that were waiting to be played.
    pub queued_max: usize,
    /// The most frames that had come before their time, counted from when the gateway was dialled first. It cannot be too many
    /// because a machine is slow: what is late is read later. What StopAudio threw away is not counted, as if it had been
    /// three frames.
    pub ahead_max: u64,
    /// StopAudio messages.
    pub stops: u64,
    /// Times it was dialled.
    pub dialled: u64,
    /// Messages that could not be read.
    pub odd: u64,
}

/// Where the gateway is dialled, and how over TLS, if it is.
type Line = (SocketAddr, Option<Arc<rustls::ClientConfig>>);

/// A line to the gateway, private or plain.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

async fn dial(line: Option<&Line>) -> std::io::Result<Box<dyn Wire>> {
    let Some((address, tls)) = line else { return Err(std::io::ErrorKind::NotFound.into()) };
    let stream = TcpStream::connect(address).await?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let name = super::GATEWAY_HOST.try_into().map_err(|_| std::io::ErrorKind::InvalidInput)?;
    Ok(Box::new(TlsConnector::from(tls.clone()).connect(name, stream).await?))
}

/// Streams until told to stop. `token` gives the authorization of each dialling. False if it could not be dialled.
pub(super) async fn stream(
    mut ask: Ask,
    line: Option<Line>,
    talkers: Arc<Mutex<Vec<Talker>>>,
    figures: watch::Sender<StreamFigures>,
    mut control: mpsc::Receiver<Control>,
    token: impl Fn() -> Option<String> + Send,
) -> Result<(), Error> {
    let (mut position, mut queue) = (0u64, VecDeque::<i16>::new());
    let begun = tokio::time::Instant::now();
    loop {
        let samples = ask.rate as usize / 50;
        let mut request = ask.url.as_str().into_client_request()?;
        let headers = request.headers_mut();
        let put = |text: &str| text.parse().expect("a header value of ours");
        headers.insert("x-ms-call-connection-id", put(&ask.connection));
        headers.insert("x-ms-call-correlation-id", put(&ask.correlation));
        if let Some(token) = token() {
            headers.insert("authorization", put(&token));
        }
        let wire = dial(line.as_ref()).await?;
        let (socket, _) = tokio_tungstenite::client_async(request, wire).await?;
        figures.send_modify(|figures| figures.dialled += 1);
        let (mut out, mut incoming) = socket.split();
        let metadata = json!({ "kind": "AudioMetadata", "audioMetadata": { "subscriptionId": ask.connection,
            "encoding": "PCM", "sampleRate": ask.rate, "channels": 1, "length": samples * 2 } });
        let first = ask.first_frame.clone().unwrap_or_else(|| metadata.to_string());
        out.send(Message::text(first)).await?;
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        // As the service: a frame for each 20 ms, whatever came between.
        beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let redial_after = loop {
            tokio::select! {
                _ = beat.tick() => {
                    let voices = voices(&talkers, position, samples, ask.rate);
                    // A frame that the machine was too slow for is no silence to be judged: it is not recorded.
                    let complete = queue.len() >= samples || voices.len() > 1;
                    let played: Vec<i16> = (0..samples).map(|_| queue.pop_front().unwrap_or(0)).collect();
                    for (talker, own) in &voices {
                        let others = voices.iter().filter(|(other, _)| other.raw_id != talker.raw_id);
                        let mut heard = played.clone();
                        others.for_each(|(_, voice)| add(&mut heard, voice));
                        debug_assert_eq!(own.len(), samples);
                        if complete {
                            talker.hear(&heard);
                        }
                    }
                    position += samples as u64;
                    let mut broken = false;
                    for text in messages(&ask, &voices, position, samples) {
                        broken |= out.send(Message::text(text)).await.is_err();
                    }
                    if broken {
                        break Some(Duration::ZERO);
                    }
                }
                message = incoming.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        figures.send_modify(|figures| {
                            take(&text, &mut queue, samples, ask.bidirectional, figures);
                            let played = begun.elapsed().as_millis() as u64 / 20 + 3 * figures.stops;
                            figures.ahead_max = figures.ahead_max.max(figures.frames.saturating_sub(played));
                        });
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break Some(Duration::ZERO),
                    Some(Ok(_)) => {}
                },
                told = control.recv() => match told {
                    Some(Control::Digit(digit)) => {
                        let text = json!({ "kind": "DtmfData", "dtmfData": { "data": digit.to_string() } });
                        out.send(Message::text(text.to_string())).await?;
                    }
                    Some(Control::Drop(after)) => break Some(after),
                    Some(Control::Rate(rate)) => {
                        ask.rate = rate;
                        queue.clear();
                        let mut talkers = lock(&talkers);
                        talkers.iter_mut().for_each(|one| *one = Talker::new(&one.raw_id, one.voice.clone(), rate));
                        break Some(Duration::ZERO);
                    }
                    Some(Control::Raw(message)) => out.send(message).await?,
                    Some(Control::Stop) | None => break None,
                },
            }
        };
        let _closed = out.close().await;
        match redial_after {
            Some(after) => tokio::time::sleep(after).await,
            None => return Ok(()),
        }
    }
}

fn voices(talkers: &Mutex<Vec<Talker>>, position: u64, samples: usize, rate: u32) -> Vec<(Talker, Vec<i16>)> {
    let said = |talker: &Talker| {
        let end = position + samples as u64;
        (talker.clone(), (position..end).map(|at| talker.voice.sample(at, rate)).collect())
    };
    lock(talkers).iter().map(said).collect()
}

fn messages(ask: &Ask, voices: &[(Talker, Vec<i16>)], position: u64, samples: usize) -> Vec<String> {
    let data = |pcm: &[i16]| {
        STANDARD.encode(pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>())
    };
    let milliseconds = position * 1000 / u64::from(ask.rate);
    let began: jiff::Timestamp = "2026-08-05T10:15:31Z".parse().unwrap_or_default();
    let timestamp = began + jiff::SignedDuration::from_millis(milliseconds as i64);
    let timestamp = timestamp.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
    let silent = |pcm: &[i16]| pcm.iter().all(|sample| *sample == 0);
    if ask.unmixed {
        // The fifth talker is not delivered.
        let four = voices.iter().take(4);
        let each = four.map(|(talker, pcm)| {
            json!({ "kind": "AudioData", "audioData": { "timestamp": timestamp,
                "participantRawID": talker.raw_id, "data": data(pcm), "silent": silent(pcm) } })
            .to_string()
        });
        return each.collect();
    }
    let mut all = vec![0; samples];
    voices.iter().for_each(|(_, voice)| add(&mut all, voice));
    let message = json!({ "kind": "AudioData", "audioData": { "timestamp": timestamp, "data": data(&all),
        "silent": silent(&all) } });
    vec![message.to_string()]
}

/// Takes a message of the gateway, in whatever case its members are.
fn take(
    text: &str,
    queue: &mut VecDeque<i16>,
    samples: usize,
    bidirectional: bool,
    figures: &mut StreamFigures,
) {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let kind = member(&value, "kind").and_then(Value::as_str).unwrap_or_default();
    if kind.eq_ignore_ascii_case("StopAudio") {
        queue.clear();
        figures.stops += 1;
        return;
    }
    let octets = member(&value, "audioData")
        .and_then(|body| member(body, "data")?.as_str())
        .and_then(|data| STANDARD.decode(data).ok());
    let Some(octets) = octets.filter(|_| kind.eq_ignore_ascii_case("AudioData") && bidirectional) else {
        figures.odd += 1;
        return;
    };
    figures.frames += 1;
    if queue.len() < QUEUE_FRAMES * samples {
        queue.extend(octets.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])));
    }
    figures.queued_max = figures.queued_max.max(queue.len() / samples);
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_object()?.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn add(sum: &mut [i16], voice: &[i16]) {
    sum.iter_mut().zip(voice).for_each(|(sum, sample)| *sum = sum.saturating_add(*sample));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
