//! Event Grid's deliveries: what a webhook is sent, and which of it is a call for us.
//!
//! Deliveries come in two schemas, one event or many, late, twice, in any order, for numbers of others and for calls
//! that we placed ourselves. All of it is decided here, and the time is an argument.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::call::door::Caller;

use super::identifier::{Kind, RawId};
use super::wire::{Hidden, Identifier, without_nulls};

/// Events in one delivery: what Event Grid batches at most.
const EVENTS_MAX: usize = 5_000;

/// Calls taken of one delivery. More at one moment are beyond any gateway's pace, and would ring out in our queue.
const CALLS_MAX: usize = 256;

/// A telephone rings for 30 seconds; after that the call cannot be answered any more.
pub const RINGING_S: i64 = 30;

/// An event from further in the future than this shows a clock that is wrong.
const AHEAD_S: i64 = 300;

/// Ids of events remembered against duplicates: a second's worth at more than any gateway takes in the half minute for
/// which an event is young.
const SEEN_MAX: usize = 16_384;

/// The longest secret of a call. Recorded ones have 7 to 8 KiB.
const CONTEXT_BYTES_MAX: usize = 32 * 1024;

/// The longest name of a caller, in characters. Callers choose theirs, and telephones are told it in a SIP header.
const NAME_CHARS_MAX: usize = 128;

/// What stands in place of a number that is withheld.
const ANONYMOUS: &str = "anonymous";

/// Headers kept of a call's `customContext`: User-to-User, five more, and room.
const SIP_HEADERS_MAX: usize = 16;

/// Somebody calls.
#[derive(Debug, Clone, PartialEq)]
pub struct IncomingCall {
    /// Who is called: it is in the routing table.
    pub to: RawId,
    /// Who calls.
    pub from: RawId,
    /// The caller withholds their number.
    pub is_anonymous: bool,
    /// The caller's name, if there is one.
    pub name: Option<String>,
    /// What answers it: whoever has it and the access key can take the call.
    pub context: Hidden,
    /// One for all connections of the call.
    pub correlation: String,
    /// Since when it rings.
    pub rings_since: Timestamp,
    /// SIP headers that the SBC of Direct Routing set, names in lower case.
    pub sip_headers: BTreeMap<String, String>,
    /// By which it is remembered: its event, and the call itself.
    marks: [u64; 2],
}

/// What a delivery is, by what its headers say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Labels<'a> {
    /// `aeg-event-type`.
    pub event_type: Option<&'a str>,
    /// `aeg-subscription-name`.
    pub subscription: Option<&'a str>,
}

/// What to answer, and what to do after that.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// A subscription asks whether it may send here: answer with this code.
    Validate(String),
    /// 200; these calls ring.
    Calls(Vec<IncomingCall>),
    /// Not ours: a subscription that nobody allowed.
    Forbidden,
    /// No delivery at all.
    Malformed,
}

/// Why an event is no call for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// It has rung out, or its clock is wrong.
    Stale,
    /// It was here before.
    Duplicate,
    /// Its number is not in the routing table.
    Foreign,
    /// We placed that call ourselves.
    Loop,
    /// Some other event.
    OtherType,
    /// Something is missing or too long.
    Malformed,
}

impl Dropped {
    /// Its word in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Dropped::Stale => "stale",
            Dropped::Duplicate => "duplicate",
            Dropped::Foreign => "foreign",
            Dropped::Loop => "loop",
            Dropped::OtherType => "other_type",
            Dropped::Malformed => "malformed",
        }
    }
}

/// What is ours, for telling a call from a stranger's or our own echo.
pub trait Ours {
    /// Whether calls to this one are routed.
    fn is_routed(&self, to: &RawId) -> bool;
    /// Whether this one calls in our name, or this correlation is of a call we placed.
    fn is_own(&self, from: &RawId, correlation: &str) -> bool;
}

/// Remembers what has come, and decides.
#[derive(Debug, Default)]
pub struct Gate {
    seen: VecDeque<u64>,
    dropped: Vec<Dropped>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    id: String,
    #[serde(alias = "type")]
    event_type: String,
    #[serde(alias = "time")]
    event_time: Option<String>,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    to: Identifier,
    from: Identifier,
    #[serde(default)]
    caller_display_name: Value,
    #[serde(default)]
    custom_context: Value,
    incoming_call_context: String,
    correlation_id: String,
}

impl Gate {
    /// Judges a delivery. `subscriptions` may be empty: then any may send here.
    pub fn deliver(
        &mut self,
        now: Timestamp,
        labels: Labels<'_>,
        body: &[u8],
        subscriptions: &[impl AsRef<str>],
        ours: &impl Ours,
    ) -> Verdict {
        // Anybody may point a subscription at us. Event Grid names it on every delivery, in either schema.
        let allowed = subscriptions.is_empty()
            || labels.subscription.is_some_and(|named| {
                subscriptions.iter().any(|known| known.as_ref().eq_ignore_ascii_case(named))
            });
        if !allowed {
            return Verdict::Forbidden;
        }
        let Ok(value) = serde_json::from_slice::<Value>(body) else { return Verdict::Malformed };
        let events = match value {
            Value::Array(events) if events.len() <= EVENTS_MAX => events,
            one @ Value::Object(_) => vec![one],
            _ => return Verdict::Malformed,
        };
        if labels.event_type.is_some_and(|kind| kind.eq_ignore_ascii_case("SubscriptionValidation")) {
            let code = events.first().and_then(|event| event.pointer("/data/validationCode")?.as_str());
            return code.map_or(Verdict::Malformed, |code| Verdict::Validate(code.to_owned()));
        }
        let mut calls = Vec::new();
        for event in events {
            match self.judge(now, event, ours) {
                Ok(call) if calls.len() < CALLS_MAX => calls.push(call),
                Ok(_) => self.dropped.push(Dropped::Stale),
                Err(dropped) => self.dropped.push(dropped),
            }
        }
        Verdict::Calls(calls)
    }

    /// A call could not be taken after all: when it is delivered again, it is new.
    pub fn forget(&mut self, call: &IncomingCall) {
        self.seen.retain(|seen| !call.marks.contains(seen));
    }

    /// What was dropped since the last time, to be counted.
    pub fn dropped(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.dropped)
    }

    fn judge(&mut self, now: Timestamp, mut event: Value, ours: &impl Ours) -> Result<IncomingCall, Dropped> {
        without_nulls(&mut event);
        let envelope: Envelope = serde_json::from_value(event).map_err(|_| Dropped::Malformed)?;
        if envelope.event_type != "Microsoft.Communication.IncomingCall" {
            return Err(Dropped::OtherType);
        }
        let at =
            envelope.event_time.and_then(|time| time.parse::<Timestamp>().ok()).ok_or(Dropped::Malformed)?;
        let age = now.as_second() - at.as_second();
        if !(-AHEAD_S..=RINGING_S).contains(&age) {
            return Err(Dropped::Stale);
        }
        let data: Data = serde_json::from_value(envelope.data).map_err(|_| Dropped::Malformed)?;
        let (to, from) =
            (data.to.raw().ok_or(Dropped::Malformed)?, data.from.raw().ok_or(Dropped::Malformed)?);
        if data.incoming_call_context.is_empty() || data.incoming_call_context.len() > CONTEXT_BYTES_MAX {
            return Err(Dropped::Malformed);
        }
        if !ours.is_routed(&to) {
            return Err(Dropped::Foreign);
        }
        if ours.is_own(&from, &data.correlation_id) {
            return Err(Dropped::Loop);
        }
        // A redirected call has a new event with another `to`: both are remembered, either is enough.
        let marks = [hash(&[&envelope.id]), hash(&[&data.correlation_id, to.as_str()])];
        if self.seen.iter().any(|seen| marks.contains(seen)) {
            return Err(Dropped::Duplicate);
        }
        for seen in marks {
            if self.seen.len() >= SEEN_MAX {
                self.seen.pop_front();
            }
            self.seen.push_back(seen);
        }
        let named = data.caller_display_name.as_str().filter(|name| !name.is_empty());
        let flagged = data.from.phone_number.as_ref().and_then(|phone| phone.is_anonymous);
        Ok(IncomingCall {
            is_anonymous: flagged == Some(true) || from.number() == Some(ANONYMOUS),
            to,
            from,
            name: named.map(|name| name.chars().take(NAME_CHARS_MAX).collect()),
            context: data.incoming_call_context.into(),
            correlation: data.correlation_id,
            rings_since: at,
            marks,
            sip_headers: sip_headers(&data.custom_context),
        })
    }
}

/// What a `customContext` has of SIP headers, by their names in lower case; what is no text is none.
fn sip_headers(context: &Value) -> BTreeMap<String, String> {
    let headers = context.get("sipHeaders").and_then(Value::as_object).into_iter().flatten();
    let text =
        |(name, value): (&String, &Value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned()));
    headers.filter_map(text).take(SIP_HEADERS_MAX).collect()
}

/// Who calls, for people: the number, or the raw id of one who has none; nobody, if they withhold it.
pub fn caller(call: &IncomingCall) -> Caller {
    if call.is_anonymous {
        return Caller {
            number: ANONYMOUS.to_owned(),
            name: None,
            asserted: None,
            private: true,
            journey: Arc::default(),
            context: None,
        };
    }
    let number = match (call.from.kind(), call.from.number()) {
        (Kind::Phone, Some(number)) => number.to_owned(),
        _ => call.from.as_str().to_owned(),
    };
    Caller::shown(number, call.name.clone())
}

/// A fingerprint of an event's name. Two that collide lose one call in 2^64.
fn hash(parts: &[&str]) -> u64 {
    use sha2::{Digest as _, Sha256};
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let digest: [u8; 32] = hasher.finalize().into();
    digest.first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct House;

    impl Ours for House {
        fn is_routed(&self, to: &RawId) -> bool {
            ["4:+15550199", "8:acs:11111111-1111-1111-1111-111111111111_00000000-0000-0000-0000-000000000002"]
                .contains(&to.as_str())
                || to.kind() == Kind::TeamsApp
        }

        fn is_own(&self, from: &RawId, correlation: &str) -> bool {
            from.as_str() == "4:+15550199" || correlation == "of-ours"
        }
    }

    const NONE: [&str; 0] = [];

    fn sample(name: &str) -> Value {
        let file: Value =
            serde_json::from_str(include_str!("../../tests/wire/acs/sample-deliveries.json")).unwrap();
        file[name]["body"].clone()
    }

    fn at(second: i64) -> Timestamp {
        let began: Timestamp = "2026-08-05T10:15:30Z".parse().unwrap();
        began + jiff::SignedDuration::from_secs(second)
    }

    fn deliver(gate: &mut Gate, body: &Value) -> Verdict {
        gate.deliver(at(2), Labels::default(), &serde_json::to_vec(body).unwrap(), &NONE, &House)
    }

    fn calls(verdict: Verdict) -> Vec<IncomingCall> {
        let Verdict::Calls(calls) = verdict else { panic!("{verdict:?}") };
        calls
    }

    #[test]
    fn a_call_comes_in_either_schema_alone_or_in_a_batch() {
        for name in [
            "IncomingCall_pstn_eventgrid_schema",
            "IncomingCall_pstn_cloudevents",
            "IncomingCall_voip_cloudevents",
            "IncomingCall_teams_resource_account_kind_unknown",
            "IncomingCall_teams_app_on_behalf_of",
        ] {
            assert_eq!(calls(deliver(&mut Gate::default(), &sample(name))).len(), 1, "{name}");
            let alone = sample(name)[0].clone();
            assert_eq!(calls(deliver(&mut Gate::default(), &alone)).len(), 1, "{name} without a list");
        }
        let batch = Value::Array(vec![
            sample("IncomingCall_voip_cloudevents")[0].clone(),
            Value::Null,
            sample("IncomingCall_teams_resource_account_kind_unknown")[0].clone(),
        ]);
        let mut gate = Gate::default();
        assert_eq!(calls(deliver(&mut gate, &batch)).len(), 2);
        assert_eq!(gate.dropped(), [Dropped::Malformed]);
    }

    #[test]
    fn what_it_says_is_kept_and_its_secret_is_not_shown() {
        let call =
            calls(deliver(&mut Gate::default(), &sample("IncomingCall_pstn_eventgrid_schema"))).remove(0);
        assert_eq!(call.to.as_str(), "4:+15550199");
        assert_eq!(call.sip_headers.get("x-ms-custom-ticket").map(String::as_str), Some("42"));
        assert!(!format!("{call:?}").contains("opaque"));
    }

    #[test]
    fn no_name_is_longer_than_a_telephone_can_be_told() {
        let mut body = sample("IncomingCall_pstn_cloudevents");
        body[0]["data"]["callerDisplayName"] = "Änne".repeat(10_000).into();
        let name = calls(deliver(&mut Gate::default(), &body)).remove(0).name.unwrap();
        assert_eq!(name.chars().count(), NAME_CHARS_MAX);
    }

    #[test]
    fn a_withheld_number_is_shown_to_nobody_however_it_is_withheld() {
        let from = |edit: &dyn Fn(&mut Value)| {
            let mut body = sample("IncomingCall_pstn_cloudevents");
            body[0]["data"]["callerDisplayName"] = "Anna".into();
            edit(&mut body[0]["data"]["from"]);
            caller(&calls(deliver(&mut Gate::default(), &body)).remove(0))
        };
        let shown = from(&|_| {});
        assert_eq!((shown.private, shown.name.as_deref()), (false, Some("Anna")));
        let by_flag = from(&|from| from["phoneNumber"]["isAnonymous"] = true.into());
        let by_id = from(&|from| {
            *from = serde_json::json!({"kind": "phoneNumber", "rawId": "4:anonymous", "phoneNumber": {"value": "anonymous"}});
        });
        for caller in [by_flag, by_id] {
            assert_eq!((caller.private, caller.number.as_str(), caller.name), (true, "anonymous", None));
        }
    }

    #[test]
    fn old_foreign_doubled_and_looped_ones_are_dropped() {
        let mut gate = Gate::default();
        let sample = sample("IncomingCall_pstn_eventgrid_schema");
        let with = |edit: &dyn Fn(&mut Value)| {
            let mut body = sample.clone();
            edit(&mut body[0]);
            body
        };
        let body = serde_json::to_vec(&sample).unwrap();
        assert!(calls(gate.deliver(at(31), Labels::default(), &body, &NONE, &House)).is_empty());
        assert!(calls(gate.deliver(at(-301), Labels::default(), &body, &NONE, &House)).is_empty());
        assert_eq!(gate.dropped(), [Dropped::Stale, Dropped::Stale]);
        assert_eq!(calls(gate.deliver(at(30), Labels::default(), &body, &NONE, &House)).len(), 1);
        assert!(calls(deliver(&mut gate, &sample)).is_empty(), "the same once more");
        let other_id = with(&|event| event["id"] = "another".into());
        assert!(calls(deliver(&mut gate, &other_id)).is_empty(), "the same call under another id");
        assert_eq!(gate.dropped(), [Dropped::Duplicate, Dropped::Duplicate]);
        let foreign = with(&|event| event["data"]["to"]["rawId"] = "4:+15550777".into());
        let looped = with(&|event| event["data"]["from"]["rawId"] = "4:+15550199".into());
        let own = with(&|event| event["data"]["correlationId"] = "of-ours".into());
        let other = with(&|event| event["eventType"] = "Microsoft.Communication.CallStarted".into());
        let long =
            with(&|event| event["data"]["incomingCallContext"] = "x".repeat(CONTEXT_BYTES_MAX + 1).into());
        for body in [foreign, looped, own, other, long] {
            assert!(calls(deliver(&mut gate, &body)).is_empty());
        }
        let because =
            [Dropped::Foreign, Dropped::Loop, Dropped::Loop, Dropped::OtherType, Dropped::Malformed];
        assert_eq!(gate.dropped(), because);
    }

    #[test]
    fn a_call_for_which_there_was_no_room_is_new_when_it_comes_again() {
        let mut gate = Gate::default();
        let sample = sample("IncomingCall_pstn_eventgrid_schema");
        let call = calls(deliver(&mut gate, &sample)).remove(0);
        assert!(calls(deliver(&mut gate, &sample)).is_empty());
        gate.forget(&call);
        assert_eq!(calls(deliver(&mut gate, &sample)).len(), 1);
    }

    #[test]
    fn what_is_null_or_of_another_kind_where_nothing_hangs_on_it_loses_no_call() {
        let mut body = sample("IncomingCall_pstn_eventgrid_schema");
        let data = &mut body[0]["data"];
        data["callerDisplayName"] = Value::Null;
        data["to"]["phoneNumber"]["isAnonymous"] = Value::Null;
        data["from"] = serde_json::json!({ "kind": "phoneNumber", "rawId": "4:anonymous",
            "phoneNumber": { "value": null }, "communicationUser": null });
        data["customContext"] = serde_json::json!({ "voipHeaders": null,
            "sipHeaders": { "X-MS-Custom-None": null, "X-MS-Custom-Number": 7, "X-MS-Custom-Ticket": "42" } });
        let call = calls(deliver(&mut Gate::default(), &body)).remove(0);
        assert_eq!(
            call.sip_headers.into_iter().collect::<Vec<_>>(),
            [("x-ms-custom-ticket".into(), "42".into())]
        );
        assert!(call.is_anonymous && call.name.is_none());
        body[0]["data"]["customContext"] = "surprise".into();
        body[0]["data"]["callerDisplayName"] = 7.into();
        body[0]["data"]["correlationId"] = "another".into();
        body[0]["id"] = "another".into();
        assert_eq!(calls(deliver(&mut Gate::default(), &body)).len(), 1);
    }

    #[test]
    fn a_redirected_call_is_a_new_one() {
        let mut gate = Gate::default();
        assert_eq!(calls(deliver(&mut gate, &sample("IncomingCall_pstn_eventgrid_schema"))).len(), 1);
        let mut redirected = sample("IncomingCall_pstn_eventgrid_schema");
        redirected[0]["id"] = "b".into();
        redirected[0]["data"]["to"] = serde_json::json!({"rawId": "28:orgid:x"});
        assert_eq!(calls(deliver(&mut gate, &redirected)).len(), 1);
    }

    #[test]
    fn a_subscription_introduces_itself_if_it_is_known() {
        let mut gate = Gate::default();
        let body = serde_json::to_vec(&sample("SubscriptionValidation_request")).unwrap();
        let labels = Labels { event_type: Some("SubscriptionValidation"), subscription: Some("SIDETONE") };
        let code = "512d38b6-c7b8-40c8-89fe-f46f9e9622b6".to_owned();
        assert_eq!(gate.deliver(at(0), labels, &body, &["sidetone"], &House), Verdict::Validate(code));
        for subscription in [Some("strangers"), None] {
            let labels = Labels { subscription, ..labels };
            assert_eq!(gate.deliver(at(0), labels, &body, &["sidetone"], &House), Verdict::Forbidden);
        }
        assert_eq!(gate.deliver(at(0), Labels::default(), b"<xml/>", &NONE, &House), Verdict::Malformed);
    }
}
