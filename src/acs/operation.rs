//! The operations of Call Automation, and the request for each. Pure.

use reqwest::Method;
use serde::Serialize;
use serde_json::Value;

use super::identifier::{RawId, percent_encoded};
use super::wire::{
    AddParticipant, AnswerCall, CancelAdd, ConnectCall, CreateCall, ForParticipant, MoveParticipants,
    MuteParticipants, Play, Recognize, RedirectCall, RejectCall, RemoveParticipant, SendDtmf, Streaming,
    TransferCall,
};

/// What is asked of the service. `connection` is a call connection id.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each is the operation of its name in the API")]
pub enum Operation {
    Answer(AnswerCall),
    Create(CreateCall),
    Connect(ConnectCall),
    Redirect(RedirectCall),
    Reject(RejectCall),
    Get { connection: String },
    HangUp { connection: String },
    Terminate { connection: String },
    Transfer { connection: String, body: TransferCall },
    ListParticipants { connection: String },
    GetParticipant { connection: String, who: RawId },
    Add { connection: String, body: AddParticipant },
    CancelAdd { connection: String, body: CancelAdd },
    Remove { connection: String, body: RemoveParticipant },
    Mute { connection: String, body: MuteParticipants },
    MoveHere { connection: String, body: MoveParticipants },
    Hold { connection: String, body: ForParticipant },
    Unhold { connection: String, body: ForParticipant },
    Play { connection: String, body: Play },
    Recognize { connection: String, body: Recognize },
    CancelMedia { connection: String },
    SendDtmf { connection: String, body: SendDtmf },
    StartDtmf { connection: String, body: ForParticipant },
    StopDtmf { connection: String, body: ForParticipant },
    StartStreaming { connection: String, body: Streaming },
    StopStreaming { connection: String, body: Streaming },
}

/// A request, but for who sends it and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The verb.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The body, empty if there is none.
    pub body: Vec<u8>,
    /// Whether it carries a Repeatability pair.
    pub repeatable: bool,
}

impl Operation {
    /// The name, for errors and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Operation::Answer(_) => "answer",
            Operation::Create(_) => "create call",
            Operation::Connect(_) => "connect",
            Operation::Redirect(_) => "redirect",
            Operation::Reject(_) => "reject",
            Operation::Get { .. } => "get call",
            Operation::HangUp { .. } => "hang up",
            Operation::Terminate { .. } => "terminate",
            Operation::Transfer { .. } => "transfer",
            Operation::ListParticipants { .. } => "list participants",
            Operation::GetParticipant { .. } => "get participant",
            Operation::Add { .. } => "add participant",
            Operation::CancelAdd { .. } => "cancel add participant",
            Operation::Remove { .. } => "remove participant",
            Operation::Mute { .. } => "mute",
            Operation::MoveHere { .. } => "move here",
            Operation::Hold { .. } => "hold",
            Operation::Unhold { .. } => "unhold",
            Operation::Play { .. } => "play",
            Operation::Recognize { .. } => "recognize",
            Operation::CancelMedia { .. } => "cancel media",
            Operation::SendDtmf { .. } => "send DTMF",
            Operation::StartDtmf { .. } => "start DTMF recognition",
            Operation::StopDtmf { .. } => "stop DTMF recognition",
            Operation::StartStreaming { .. } => "start media streaming",
            Operation::StopStreaming { .. } => "stop media streaming",
        }
    }

    /// The request that asks for it.
    pub fn request(&self, api_version: &str) -> Request {
        let top = |verb: &str| format!("/calling/callConnections{verb}");
        let of = |connection: &str, rest: &str| {
            format!("/calling/callConnections/{}{rest}", percent_encoded(connection))
        };
        let (method, path, body, repeatable) = match self {
            Operation::Answer(body) => (Method::POST, top(":answer"), json(body), true),
            Operation::Create(body) => (Method::POST, top(""), json(body), true),
            Operation::Connect(body) => (Method::POST, top(":connect"), json(body), true),
            Operation::Redirect(body) => (Method::POST, top(":redirect"), json(body), true),
            Operation::Reject(body) => (Method::POST, top(":reject"), json(body), true),
            Operation::Get { connection } => (Method::GET, of(connection, ""), Vec::new(), false),
            Operation::HangUp { connection } => (Method::DELETE, of(connection, ""), Vec::new(), false),
            Operation::Terminate { connection } => {
                (Method::POST, of(connection, ":terminate"), Vec::new(), true)
            }
            Operation::Transfer { connection, body } => {
                (Method::POST, of(connection, ":transferToParticipant"), json(body), true)
            }
            Operation::ListParticipants { connection } => {
                (Method::GET, of(connection, "/participants"), Vec::new(), false)
            }
            Operation::GetParticipant { connection, who } => {
                (Method::GET, of(connection, &format!("/participants/{}", who.in_path())), Vec::new(), false)
            }
            Operation::Add { connection, body } => {
                (Method::POST, of(connection, "/participants:add"), json(body), true)
            }
            Operation::CancelAdd { connection, body } => {
                (Method::POST, of(connection, "/participants:cancelAddParticipant"), json(body), true)
            }
            Operation::Remove { connection, body } => {
                (Method::POST, of(connection, "/participants:remove"), json(body), true)
            }
            Operation::Mute { connection, body } => {
                (Method::POST, of(connection, "/participants:mute"), json(body), true)
            }
            Operation::MoveHere { connection, body } => {
                (Method::POST, of(connection, "/participants:moveHere"), json(body), true)
            }
            Operation::Hold { connection, body } => {
                (Method::POST, of(connection, ":hold"), json(body), false)
            }
            Operation::Unhold { connection, body } => {
                (Method::POST, of(connection, ":unhold"), json(body), false)
            }
            Operation::Play { connection, body } => {
                (Method::POST, of(connection, ":play"), json(body), false)
            }
            Operation::Recognize { connection, body } => {
                (Method::POST, of(connection, ":recognize"), json(body), false)
            }
            Operation::CancelMedia { connection } => {
                (Method::POST, of(connection, ":cancelAllMediaOperations"), Vec::new(), false)
            }
            Operation::SendDtmf { connection, body } => {
                (Method::POST, of(connection, ":sendDtmfTones"), json(body), true)
            }
            Operation::StartDtmf { connection, body } => {
                (Method::POST, of(connection, ":startContinuousDtmfRecognition"), json(body), false)
            }
            Operation::StopDtmf { connection, body } => {
                (Method::POST, of(connection, ":stopContinuousDtmfRecognition"), json(body), false)
            }
            Operation::StartStreaming { connection, body } => {
                (Method::POST, of(connection, ":startMediaStreaming"), json(body), false)
            }
            Operation::StopStreaming { connection, body } => {
                (Method::POST, of(connection, ":stopMediaStreaming"), json(body), false)
            }
        };
        let target = format!("{path}?api-version={}", percent_encoded(api_version));
        Request { method, target, body, repeatable }
    }

    /// What to read to learn whether it was carried out; `None` if nothing tells.
    pub(super) fn effect(&self) -> Option<Operation> {
        let connection = |connection: &String| connection.clone();
        match self {
            Operation::Hold { connection: c, body } | Operation::Unhold { connection: c, body } => {
                let who = body.target_participant.raw()?;
                Some(Operation::GetParticipant { connection: connection(c), who })
            }
            Operation::StartStreaming { connection: c, .. }
            | Operation::StopStreaming { connection: c, .. } => {
                Some(Operation::Get { connection: connection(c) })
            }
            _ => None,
        }
    }

    /// Whether what was read says that it was carried out.
    pub(super) fn is_done(&self, read: &Value) -> bool {
        let held = || read.get("isOnHold").and_then(Value::as_bool);
        let streams = || {
            let state = read.pointer("/mediaStreamingSubscription/state").and_then(Value::as_str);
            state.is_some_and(|state| state.eq_ignore_ascii_case("active"))
        };
        match self {
            Operation::Hold { .. } => held() == Some(true),
            Operation::Unhold { .. } => held() == Some(false),
            Operation::StartStreaming { .. } => streams(),
            Operation::StopStreaming { .. } => !streams(),
            _ => false,
        }
    }
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default() // our own shapes hold nothing that JSON cannot
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured() -> Vec<Value> {
        let file: Value =
            serde_json::from_str(include_str!("../../tests/wire/acs/python-sdk-1.6.0.requests.json"))
                .unwrap();
        file["requests"].as_array().unwrap().clone()
    }

    /// The captured request of an SDK call, as an operation of ours.
    fn operation(call: &Value) -> Option<Operation> {
        let body = || call["raw_body"].as_str().unwrap_or_default();
        let connection = || "401f2500-0000-4000-8000-000000000001".to_owned();
        macro_rules! of {
            ($name:ident) => {
                Operation::$name { connection: connection(), body: serde_json::from_str(body()).unwrap() }
            };
        }
        Some(match call["sdk_call"].as_str()? {
            "answer_call_min" | "answer_call_media" => {
                Operation::Answer(serde_json::from_str(body()).unwrap())
            }
            "reject_call" => Operation::Reject(serde_json::from_str(body()).unwrap()),
            "redirect_call_teams" => Operation::Redirect(serde_json::from_str(body()).unwrap()),
            name if name.starts_with("create_call") => {
                Operation::Create(serde_json::from_str(body()).unwrap())
            }
            name if name.starts_with("connect_call") => {
                Operation::Connect(serde_json::from_str(body()).unwrap())
            }
            "get_call_properties" => Operation::Get { connection: connection() },
            name if name.starts_with("add_participant") => of!(Add),
            "cancel_add" => of!(CancelAdd),
            "remove_participant" => of!(Remove),
            name if name.starts_with("transfer") => of!(Transfer),
            "mute" => of!(Mute),
            "hold" => of!(Hold),
            "unhold" => of!(Unhold),
            "play_to" | "play_all_interrupt" => of!(Play),
            "recognize_dtmf" | "recognize_choices" => of!(Recognize),
            "cancel_all_media" => Operation::CancelMedia { connection: connection() },
            "send_dtmf" => of!(SendDtmf),
            "start_cont_dtmf" => of!(StartDtmf),
            "stop_cont_dtmf" => of!(StopDtmf),
            "start_media_streaming" => of!(StartStreaming),
            "stop_media_streaming" => of!(StopStreaming),
            "list_participants" => Operation::ListParticipants { connection: connection() },
            "get_participant" => Operation::GetParticipant {
                connection: connection(),
                who: RawId::new("4:+15550100").unwrap(),
            },
            "move_participants" => of!(MoveHere),
            "hang_up_self" => Operation::HangUp { connection: connection() },
            "hang_up_everyone" => Operation::Terminate { connection: connection() },
            _ => return None, // recording, transcription, and the SDK's own retries
        })
    }

    #[test]
    fn each_operation_is_asked_for_as_the_sdk_does() {
        let mut seen = std::collections::BTreeSet::new();
        for call in captured() {
            let Some(operation) = operation(&call) else { continue };
            let request = operation.request("2026-03-12");
            let name = call["sdk_call"].as_str().unwrap();
            assert_eq!(request.method.as_str(), call["method"].as_str().unwrap(), "{name}");
            assert_eq!(request.target, call["target"].as_str().unwrap(), "{name}");
            let repeats =
                call["headers"].as_array().unwrap().iter().any(|header| {
                    header[0].as_str().unwrap().eq_ignore_ascii_case("Repeatability-Request-ID")
                });
            assert_eq!(request.repeatable, repeats, "{name}");
            let raw = call["raw_body"].as_str().unwrap_or_default();
            if raw.is_empty() {
                assert!(request.body.is_empty(), "{name}");
            }
            seen.insert(operation.name());
        }
        assert_eq!(seen.len(), 26, "every operation: {seen:?}");
    }
}
