//! Events about our calls: one CloudEvent or several, in any order, more than once.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::wire::{self, Participant, ResultInformation};

/// Events in one body. The service sends one; a few are no harm.
const EVENTS_MAX: usize = 64;

/// The prefix of every type.
const PREFIX: &str = "Microsoft.Communication.";

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its own id, by which a duplicate is known.
    pub id: String,
    /// The call connection it is about.
    pub connection: String,
    /// One for all connections of a call.
    pub correlation: String,
    /// What we gave along with the operation.
    pub context: Option<String>,
    /// When it happened, if it says so.
    pub at: Option<Timestamp>,
    /// What came of it.
    pub result: ResultInformation,
    /// What happened.
    pub happened: Happened,
}

/// What happened. All types of API version 2026-03-12.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// The call is up.
    Connected,
    /// The call is over.
    Disconnected,
    /// Our answer did not work.
    AnswerFailed,
    /// Our call was not answered.
    CreateFailed,
    /// Our connecting to a call did not work.
    ConnectFailed,
    /// Who is in the call, and which telling of it this is.
    Participants {
        /// Which telling: the highest counts.
        sequence: u64,
        /// Who.
        participants: Vec<Participant>,
    },
    /// The stream began.
    StreamingStarted,
    /// The stream ended as asked.
    StreamingStopped,
    /// The stream failed; why, in ACS's word.
    StreamingFailed(String),
    /// A digit was pressed.
    Tone {
        /// Which press.
        sequence: u64,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
    },
    /// Our digits were played, or could not be: the next may follow.
    DigitsPlayed,
    /// Something else the API tells of, by its name; nothing of ours depends on it.
    Other(&'static str),
    /// A type we have never heard of.
    Unknown(String),
}

/// Types that are known and change nothing here.
const OTHERS: [&str; 25] = [
    "AddParticipantSucceeded",
    "AddParticipantFailed",
    "CallTransferAccepted",
    "CallTransferFailed",
    "CancelAddParticipantSucceeded",
    "CancelAddParticipantFailed",
    "ContinuousDtmfRecognitionToneFailed",
    "ContinuousDtmfRecognitionStopped",
    "HoldFailed",
    "MoveParticipantSucceeded",
    "MoveParticipantFailed",
    "PlayStarted",
    "PlayCompleted",
    "PlayFailed",
    "PlayCanceled",
    "RecognizeCompleted",
    "RecognizeFailed",
    "RecognizeCanceled",
    "RecordingStateChanged",
    "RemoveParticipantSucceeded",
    "RemoveParticipantFailed",
    "StartRecordingFailed",
    "TranscriptionStarted",
    "TranscriptionStopped",
    "TranscriptionUpdated",
];

/// A body that is no list of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoEvents {
    /// Not JSON, or JSON of another shape.
    #[error("the body is no list of CloudEvents")]
    Shape,
    /// More than [`EVENTS_MAX`].
    #[error("more than {EVENTS_MAX} events in one body")]
    TooMany,
}

#[derive(Deserialize)]
struct Envelope {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    time: Value,
    data: Data,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Data {
    call_connection_id: String,
    correlation_id: String,
    operation_context: Option<String>,
    // What follows may be of another kind than published without an event being lost for it.
    result_information: Value,
    sequence_number: Value,
    participants: Vec<Value>,
    media_streaming_update: Value,
    sequence_id: Value,
    tone: Value,
}

/// A body, read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Told {
    /// What it tells.
    pub events: Vec<Event>,
    /// How much of it could not be read.
    pub unreadable: usize,
}

/// Reads a body. What in it is no event is left out, and counted.
///
/// # Errors
/// [`NoEvents`].
pub fn read(body: &[u8]) -> Result<Told, NoEvents> {
    let mut value: Value = serde_json::from_slice(body).map_err(|_| NoEvents::Shape)?;
    wire::without_nulls(&mut value);
    let all = match value {
        Value::Array(all) => all,
        one @ Value::Object(_) => vec![one],
        _ => return Err(NoEvents::Shape),
    };
    if all.len() > EVENTS_MAX {
        return Err(NoEvents::TooMany);
    }
    let came = all.len();
    let envelopes = all.into_iter().filter_map(|value| serde_json::from_value::<Envelope>(value).ok());
    let events: Vec<Event> = envelopes.filter_map(event).collect();
    Ok(Told { unreadable: came - events.len(), events })
}

fn event(envelope: Envelope) -> Option<Event> {
    let Envelope { id, kind, time, data } = envelope;
    let name = kind.strip_prefix(PREFIX).unwrap_or(&kind);
    let happened = match name {
        "CallConnected" => Happened::Connected,
        "CallDisconnected" => Happened::Disconnected,
        "AnswerFailed" => Happened::AnswerFailed,
        "CreateCallFailed" => Happened::CreateFailed,
        "ConnectFailed" => Happened::ConnectFailed,
        "ParticipantsUpdated" => {
            let participants = data.participants.into_iter();
            Happened::Participants {
                sequence: data.sequence_number.as_u64().unwrap_or(0),
                participants: participants.filter_map(|one| serde_json::from_value(one).ok()).collect(),
            }
        }
        "MediaStreamingStarted" => Happened::StreamingStarted,
        "MediaStreamingStopped" => Happened::StreamingStopped,
        "MediaStreamingFailed" => {
            let detail = data.media_streaming_update.get("mediaStreamingStatusDetails");
            Happened::StreamingFailed(detail.and_then(Value::as_str).unwrap_or("unknown").to_owned())
        }
        "ContinuousDtmfRecognitionToneReceived" => Happened::Tone {
            sequence: data.sequence_id.as_u64().unwrap_or(0),
            digit: wire::digit(data.tone.as_str()?)?,
        },
        "SendDtmfTonesCompleted" | "SendDtmfTonesFailed" => Happened::DigitsPlayed,
        "TranscriptionFailed" => Happened::Other("TranscriptionFailed"),
        other => match OTHERS.iter().find(|known| **known == other) {
            Some(known) => Happened::Other(known),
            None => Happened::Unknown(other.chars().take(64).collect()),
        },
    };
    Some(Event {
        id,
        connection: data.call_connection_id,
        correlation: data.correlation_id,
        context: data.operation_context,
        at: time.as_str().and_then(|time| time.parse().ok()),
        result: serde_json::from_value(data.result_information).unwrap_or_default(),
        happened,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies() -> Vec<(String, Vec<u8>)> {
        let file: Value =
            serde_json::from_str(include_str!("../../tests/wire/acs/callback-events.json")).unwrap();
        let groups = file["bodies"].as_object().unwrap().values();
        let all = groups.flat_map(|group| group.as_object().unwrap());
        all.map(|(name, body)| (name.clone(), serde_json::to_vec(body).unwrap())).collect()
    }

    fn one(name: &str) -> Event {
        let (_, body) = bodies().into_iter().find(|(known, _)| known == name).unwrap();
        read(&body).unwrap().events.remove(0)
    }

    #[test]
    fn every_body_is_read_and_none_is_unknown() {
        let all = bodies();
        assert!(all.len() >= 23);
        for (name, body) in all {
            let Told { events, unreadable: 0 } = read(&body).unwrap() else { panic!("{name}") };
            assert_eq!(events.len(), 1, "{name}");
            assert!(!matches!(events[0].happened, Happened::Unknown(_)), "{name}");
            assert!(!events[0].connection.is_empty() && events[0].at.is_some(), "{name}");
        }
    }

    #[test]
    fn what_they_say_is_kept() {
        assert_eq!(one("CallConnected").context.as_deref(), Some("answer-1"));
        assert_eq!(one("CallDisconnected_other_leg").result.codes(), (200, 5001));
        assert_eq!(
            one("ContinuousDtmfRecognitionToneReceived").happened,
            Happened::Tone { sequence: 1, digit: '#' }
        );
        assert_eq!(
            one("MediaStreamingFailed_initial_ws").happened,
            Happened::StreamingFailed("initialWebSocketConnectionFailed".into())
        );
        let Happened::Participants { sequence, participants } = one("ParticipantsUpdated_hold").happened
        else {
            panic!()
        };
        assert!(sequence > 0 && participants[0].is_on_hold);
        let busy = one("AddParticipantFailed_pstn_busy").result;
        assert_eq!(busy.verbatim(), "ACS 486/560486, SIP 486, Q.850 17");
    }

    #[test]
    fn no_end_of_a_call_is_lost_for_what_is_null_or_of_another_kind() {
        let body = serde_json::json!([{ "id": "x", "type": "Microsoft.Communication.CallDisconnected", "time": null,
            "data": { "callConnectionId": "c", "correlationId": null, "operationContext": null, "participants": null,
                "resultInformation": { "code": 0, "subCode": 560000, "message": null, "sipDetails": null,
                    "q850Details": { "code": 16, "message": null } } } }]);
        let ended = read(body.to_string().as_bytes()).unwrap().events.remove(0);
        assert_eq!(
            (ended.happened, ended.result.verbatim()),
            (Happened::Disconnected, "ACS 0/560000, Q.850 16".into())
        );
        let body = serde_json::json!([{ "id": "x", "type": "Microsoft.Communication.ParticipantsUpdated",
            "data": { "callConnectionId": "c", "resultInformation": "fine", "sequenceNumber": -1,
                "participants": [7, { "identifier": { "rawId": "4:+15550100" } }, { "identifier": "x" }] } }]);
        let told = read(body.to_string().as_bytes()).unwrap().events.remove(0);
        let Happened::Participants { participants, .. } = told.happened else { panic!("{told:?}") };
        assert_eq!(participants.len(), 1);
    }

    #[test]
    fn strange_bodies_are_no_events_and_no_panic() {
        assert_eq!(read(b"nonsense"), Err(NoEvents::Shape));
        assert_eq!(read(b"7"), Err(NoEvents::Shape));
        assert_eq!(read(b"[1, null, {}]"), Ok(Told { events: vec![], unreadable: 3 }));
        let many = format!("[{}1]", "1,".repeat(EVENTS_MAX));
        assert_eq!(read(many.as_bytes()), Err(NoEvents::TooMany));
        let strange = br#"{"id":"x","type":"Microsoft.Communication.Surprise","data":{}}"#;
        assert_eq!(read(strange).unwrap().events[0].happened, Happened::Unknown("Surprise".into()));
    }
}
