//! The JSON of Call Automation: requests, answers, identifiers. These shapes never leave this room (the simulated
//! service reads the same ones from the other side).
//!
//! Senders differ: `kind` may be missing, words come in any case, unknown members come and go. What is read here is
//! lenient; what is written is the form of the published API.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::identifier::{Kind, RawId};

/// What must not be printed: a call's secret, which answers it, or an address with a secret in its path. On the wire it is text.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Hidden {
    fn from(text: String) -> Hidden {
        Hidden(text)
    }
}

impl From<&str> for Hidden {
    fn from(text: &str) -> Hidden {
        Hidden(text.to_owned())
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(redacted)")
    }
}

/// A member that is null is one that is not there: senders write either.
pub fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// A participant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Identifier {
    /// What it says it is; see [`RawId::kind`] for what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The raw id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_id: Option<String>,
    /// An ACS user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub communication_user: Option<CommunicationUser>,
    /// A telephone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<PhoneNumber>,
    /// A Teams user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub microsoft_teams_user: Option<TeamsUser>,
    /// A Teams app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub microsoft_teams_app: Option<TeamsApp>,
    /// A Teams user in an ACS resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teams_extension_user: Option<TeamsExtensionUser>,
}

/// `teamsExtensionUser`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TeamsExtensionUser {
    /// The Entra object id.
    pub user_id: String,
    /// The Entra tenant.
    pub tenant_id: String,
    /// The ACS resource.
    pub resource_id: String,
    /// `public`, `dod`, `gcch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<String>,
}

/// `communicationUser`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommunicationUser {
    /// The raw id once more.
    pub id: String,
}

/// `phoneNumber`, also alone as a caller's number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PhoneNumber {
    /// E.164, or `anonymous`.
    pub value: String,
    /// The caller withholds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_anonymous: Option<bool>,
}

/// `microsoftTeamsUser`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TeamsUser {
    /// The Entra object id.
    pub user_id: String,
    /// A guest without an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_anonymous: Option<bool>,
    /// `public`, `dod`, `gcch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<String>,
}

/// `microsoftTeamsApp`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TeamsApp {
    /// Its id.
    pub app_id: String,
    /// `public`, `dod`, `gcch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<String>,
}

impl Identifier {
    /// The identifier of a raw id, in the form the service wants in requests.
    pub fn of(id: &RawId) -> Identifier {
        let text = id.as_str().to_owned();
        let last = text.rsplit(':').next().unwrap_or_default().to_owned();
        let mut identifier = Identifier { raw_id: Some(text.clone()), ..Identifier::default() };
        let kind = match id.kind() {
            Kind::Phone => {
                let value = id.number().unwrap_or_default().to_owned();
                identifier.phone_number = Some(PhoneNumber { value, is_anonymous: None });
                "phoneNumber"
            }
            Kind::User => {
                identifier.communication_user = Some(CommunicationUser { id: text });
                "communicationUser"
            }
            Kind::TeamsExtension => {
                let mut parts = last.splitn(3, '_').map(str::to_owned);
                let mut next = || parts.next().unwrap_or_default();
                let (resource_id, tenant_id, user_id) = (next(), next(), next());
                let cloud = Some(cloud_of(id.as_str()).to_owned());
                identifier.teams_extension_user =
                    Some(TeamsExtensionUser { user_id, tenant_id, resource_id, cloud });
                "teamsExtensionUser"
            }
            Kind::TeamsUser => {
                let is_anonymous = id.as_str().starts_with("8:teamsvisitor:").then_some(true);
                let cloud = Some(cloud_of(id.as_str()).to_owned());
                identifier.microsoft_teams_user = Some(TeamsUser { user_id: last, is_anonymous, cloud });
                "microsoftTeamsUser"
            }
            Kind::TeamsApp => {
                let cloud = Some(cloud_of(id.as_str()).to_owned());
                identifier.microsoft_teams_app = Some(TeamsApp { app_id: last, cloud });
                "microsoftTeamsApp"
            }
            Kind::Unknown => "unknown",
        };
        identifier.kind = Some(kind.to_owned());
        identifier
    }

    /// The raw id: as it says it, or made of what else it says.
    pub fn raw(&self) -> Option<RawId> {
        if let Some(raw) = &self.raw_id {
            return RawId::new(raw);
        }
        if let Some(user) = &self.communication_user {
            return RawId::new(&user.id);
        }
        if let Some(phone) = self.phone_number.as_ref().filter(|phone| !phone.value.is_empty()) {
            return RawId::phone_number(&phone.value);
        }
        let in_cloud = |cloud: &Option<String>, public: &str| {
            let cloud = cloud.as_deref().unwrap_or_default().to_ascii_lowercase();
            if ["dod", "gcch"].contains(&cloud.as_str()) { cloud } else { public.to_owned() }
        };
        if let Some(user) = &self.microsoft_teams_user {
            let public = if user.is_anonymous == Some(true) { "teamsvisitor" } else { "orgid" };
            return RawId::new(&format!("8:{}:{}", in_cloud(&user.cloud, public), user.user_id));
        }
        if let Some(user) = &self.teams_extension_user {
            let acs = match in_cloud(&user.cloud, "").as_str() {
                "" => "acs".to_owned(),
                cloud => format!("{cloud}-acs"),
            };
            let TeamsExtensionUser { resource_id, tenant_id, user_id, .. } = user;
            return RawId::new(&format!("8:{acs}:{resource_id}_{tenant_id}_{user_id}"));
        }
        let app = self.microsoft_teams_app.as_ref()?;
        RawId::new(&format!("28:{}:{}", in_cloud(&app.cloud, "orgid"), app.app_id))
    }
}

/// The cloud that a raw id is of, by its prefix.
fn cloud_of(raw_id: &str) -> &'static str {
    let kind = raw_id.split(':').nth(1).unwrap_or_default();
    match kind.trim_end_matches("-acs") {
        "dod" => "dod",
        "gcch" => "gcch",
        _ => "public",
    }
}

/// `mediaStreamingOptions`: what the service streams to us, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MediaStreaming {
    /// `websocket`, the only one.
    pub transport_type: String,
    /// Where to dial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport_url: Option<Hidden>,
    /// `audio`, the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `mixed` or `unmixed`.
    pub audio_channel_type: String,
    /// Begin at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_media_streaming: Option<bool>,
    /// We speak, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_bidirectional: Option<bool>,
    /// `pcm16KMono` or `pcm24KMono`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_format: Option<String>,
    /// Digits come over the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_dtmf_tones: Option<bool>,
}

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
        }
    )*};
}

bodies! {
    /// Answer a call.
    AnswerCall {
        /// The secret of the call to be answered.
        incoming_call_context: Hidden,
        /// Where events go.
        callback_uri: Hidden,
        /// Comes back in events.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_context: Option<String>,
        /// The stream.
        #[serde(skip_serializing_if = "Option::is_none")]
        media_streaming_options: Option<MediaStreaming>,
    }
    /// Place a call.
    CreateCall {
        /// Whom to call.
        targets: Vec<Identifier>,
        /// Where events go.
        callback_uri: Hidden,
        /// The number shown, needed to call telephones.
        #[serde(skip_serializing_if = "Option::is_none")]
        source_caller_id_number: Option<PhoneNumber>,
        /// The name shown.
        #[serde(skip_serializing_if = "Option::is_none")]
        source_display_name: Option<String>,
        /// Comes back in events.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_context: Option<String>,
        /// The stream.
        #[serde(skip_serializing_if = "Option::is_none")]
        media_streaming_options: Option<MediaStreaming>,
        /// The Teams app in whose name the call is placed.
        #[serde(skip_serializing_if = "Option::is_none")]
        teams_app_source: Option<TeamsApp>,
        /// `{sipHeaders, voipHeaders}`.
        #[serde(skip_serializing_if = "Option::is_none")]
        custom_calling_context: Option<Value>,
    }
    /// Connect to a call that is up.
    ConnectCall {
        /// `{kind, serverCallId | groupCallId | roomId}`.
        call_locator: Value,
        /// Where events go.
        callback_uri: Hidden,
        /// Comes back in events.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_context: Option<String>,
        /// The stream.
        #[serde(skip_serializing_if = "Option::is_none")]
        media_streaming_options: Option<MediaStreaming>,
    }
    /// Send a call on without answering it.
    RedirectCall {
        /// The secret of the call.
        incoming_call_context: Hidden,
        /// To whom.
        target: Identifier,
    }
    /// Refuse a call.
    RejectCall {
        /// The secret of the call.
        incoming_call_context: Hidden,
        /// `none`, `busy` or `forbidden`.
        #[serde(skip_serializing_if = "Option::is_none")]
        call_reject_reason: Option<String>,
    }
    /// Transfer a participant.
    TransferCall {
        /// To whom.
        target_participant: Identifier,
        /// Whom; needed in a call of more than two.
        #[serde(skip_serializing_if = "Option::is_none")]
        transferee: Option<Identifier>,
        /// Comes back in events.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_context: Option<String>,
        /// Where this operation's events go.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_callback_uri: Option<Hidden>,
        /// Headers that go along.
        #[serde(skip_serializing_if = "Option::is_none")]
        custom_calling_context: Option<Value>,
        /// The number shown.
        #[serde(skip_serializing_if = "Option::is_none")]
        source_caller_id_number: Option<PhoneNumber>,
    }
    /// Bring somebody into the call.
    AddParticipant {
        /// Whom.
        participant_to_add: Identifier,
        /// The number shown, needed for telephones.
        #[serde(skip_serializing_if = "Option::is_none")]
        source_caller_id_number: Option<PhoneNumber>,
        /// The name shown.
        #[serde(skip_serializing_if = "Option::is_none")]
        source_display_name: Option<String>,
        /// How long it rings, up to 180.
        #[serde(skip_serializing_if = "Option::is_none")]
        invitation_timeout_in_seconds: Option<u32>,
        /// Comes back in events.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_context: Option<String>,
        /// Where this operation's events go.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_callback_uri: Option<Hidden>,
        /// Headers that go along.
        #[serde(skip_serializing_if = "Option::is_none")]
        custom_calling_context: Option<Value>,
    }
    /// Stop ringing somebody.
    CancelAdd {
        /// Which invitation.
        invitation_id: String,
        /// Comes back in events.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_context: Option<String>,
    }
    /// Take somebody out of the call.
    RemoveParticipant {
        /// Whom.
        participant_to_remove: Identifier,
        /// Comes back in events.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_context: Option<String>,
    }
    /// Mute; there is no way back.
    MuteParticipants {
        /// Whom: ACS users alone.
        target_participants: Vec<Identifier>,
        /// Comes back in events.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_context: Option<String>,
    }
    /// Take participants over from another call.
    MoveParticipants {
        /// Whom.
        target_participants: Vec<Identifier>,
        /// The call connection they are in.
        from_call: String,
        /// Comes back in events.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_context: Option<String>,
    }
    /// What is about one participant: hold, unhold, watching digits.
    ForParticipant {
        /// Whom.
        target_participant: Identifier,
        /// What a held one hears.
        #[serde(skip_serializing_if = "Option::is_none")]
        play_source_info: Option<Value>,
        /// Comes back in events.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_context: Option<String>,
        /// Where this operation's events go.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_callback_uri: Option<Hidden>,
    }
    /// Play something.
    Play {
        /// `{kind, file | text | ssml}` of each.
        play_sources: Vec<Value>,
        /// To whom; nobody is everybody.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        play_to: Vec<Identifier>,
        /// Whether it stops what plays.
        #[serde(skip_serializing_if = "Option::is_none")]
        interrupt_call_media_operation: Option<bool>,
        /// `{loop}`.
        #[serde(skip_serializing_if = "Option::is_none")]
        play_options: Option<Value>,
        /// Comes back in events.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_context: Option<String>,
    }
    /// Listen for digits or words.
    Recognize {
        /// `dtmf`, `speech`, `speechOrDtmf`, `choices`.
        recognize_input_type: String,
        /// What is played first.
        #[serde(skip_serializing_if = "Option::is_none")]
        play_prompt: Option<Value>,
        /// `{targetParticipant, …}`.
        recognize_options: Value,
        /// Whether it stops what plays.
        #[serde(skip_serializing_if = "Option::is_none")]
        interrupt_call_media_operation: Option<bool>,
        /// Comes back in events.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_context: Option<String>,
    }
    /// Send digits to a telephone.
    SendDtmf {
        /// `zero` to `nine`, `a` to `d`, `pound`, `asterisk`; at most 18.
        tones: Vec<String>,
        /// To whom: telephones alone.
        target_participant: Identifier,
        /// Comes back in events.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_context: Option<String>,
    }
    /// Start or stop the stream.
    Streaming {
        /// Comes back in events.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_context: Option<String>,
        /// Where this operation's events go.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_callback_uri: Option<Hidden>,
    }
}

/// What the service says of a call connection; what is missing stays empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CallConnection {
    /// Its id.
    pub call_connection_id: String,
    /// The call's, the same for all its connections.
    pub server_call_id: String,
    /// Who is called.
    pub targets: Vec<Identifier>,
    /// `connecting`, `connected`, `disconnected`, ...
    pub call_connection_state: String,
    /// Where events go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_uri: Option<Hidden>,
    /// Who calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Identifier>,
    /// The number shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_caller_id_number: Option<PhoneNumber>,
    /// One for all connections of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_streaming_subscription: Option<StreamingSubscription>,
}

/// `mediaStreamingSubscription`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamingSubscription {
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `disabled`, `inactive`, `active`.
    pub state: String,
}

/// A member of a call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Participant {
    /// Who.
    pub identifier: Identifier,
    /// Muted by us or itself.
    pub is_muted: bool,
    /// Put on hold by us.
    pub is_on_hold: bool,
}

/// `resultInformation`: what came of something.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResultInformation {
    /// Like an HTTP or SIP status.
    pub code: i64,
    /// What exactly.
    pub sub_code: i64,
    /// For people.
    pub message: String,
    /// What the phone network said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sip_details: Option<Diagnostic>,
    /// What the phone network said, as ISDN would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q850_details: Option<Diagnostic>,
}

/// A code and its words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Diagnostic {
    /// The code.
    pub code: i64,
    /// The words.
    pub message: String,
}

impl ResultInformation {
    /// The two numbers within what they can be.
    pub fn codes(&self) -> (u16, u32) {
        (u16::try_from(self.code).unwrap_or(0), u32::try_from(self.sub_code).unwrap_or(0))
    }

    /// The numbers and words as they came, for records.
    pub fn verbatim(&self) -> String {
        let (code, subcode) = self.codes();
        let mut text = super::cause::verbatim(code, subcode);
        if let Some(sip) = &self.sip_details {
            text.push_str(&format!(", SIP {}", sip.code));
        }
        if let Some(q850) = &self.q850_details {
            text.push_str(&format!(", Q.850 {}", q850.code));
        }
        text
    }
}

/// `{"error": {"code", "message"}}`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ErrorBody {
    /// What is wrong.
    #[serde(default)]
    pub error: ErrorInner,
}

/// Inside of [`ErrorBody`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ErrorInner {
    /// Usually the subcode as text, or a name.
    pub code: String,
    /// For people.
    pub message: String,
}

/// The word of a digit, and back.
const TONES: [(&str, char); 16] = [
    ("zero", '0'),
    ("one", '1'),
    ("two", '2'),
    ("three", '3'),
    ("four", '4'),
    ("five", '5'),
    ("six", '6'),
    ("seven", '7'),
    ("eight", '8'),
    ("nine", '9'),
    ("a", 'A'),
    ("b", 'B'),
    ("c", 'C'),
    ("d", 'D'),
    ("pound", '#'),
    ("asterisk", '*'),
];

/// The tone of a digit.
pub fn tone(digit: char) -> Option<&'static str> {
    TONES.iter().find(|(_, known)| *known == digit.to_ascii_uppercase()).map(|(tone, _)| *tone)
}

/// The digit of a tone, which may also come as the digit itself.
pub fn digit(tone: &str) -> Option<char> {
    let named = TONES.iter().find(|(known, _)| known.eq_ignore_ascii_case(tone)).map(|(_, digit)| *digit);
    named.or_else(|| {
        let mut chars = tone.chars();
        let (only, None) = (chars.next()?, chars.next()) else { return None };
        TONES.iter().find(|(_, digit)| *digit == only.to_ascii_uppercase()).map(|(_, digit)| *digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_made_of_a_raw_id_and_gives_it_back() {
        for text in [
            "4:+15550100",
            "8:acs:r_u",
            "8:acs:r_t_u",
            "8:gcch-acs:r_t_u",
            "8:orgid:o",
            "8:dod:o",
            "8:gcch:o",
            "8:teamsvisitor:v",
            "28:orgid:a",
            "28:dod:a",
            "8:spool:x",
        ] {
            let id = RawId::new(text).unwrap();
            let identifier = Identifier::of(&id);
            assert_eq!(identifier.raw().as_ref(), Some(&id));
            // As some senders write it: what it says besides is enough, where it says anything.
            let bare = Identifier { raw_id: None, ..identifier };
            assert_eq!(bare.raw(), Some(id).filter(|id| id.kind() != Kind::Unknown), "{text}");
        }
        let without_raw: Identifier =
            serde_json::from_str(r#"{"phoneNumber":{"value":"+15550100"}}"#).unwrap();
        assert_eq!(without_raw.raw(), RawId::new("4:+15550100"));
    }

    #[test]
    fn digits_have_words() {
        assert_eq!((tone('#'), tone('5'), tone('x')), (Some("pound"), Some("five"), None));
        assert_eq!(
            (digit("pound"), digit("Seven"), digit("3"), digit("ten")),
            (Some('#'), Some('7'), Some('3'), None)
        );
    }
}
