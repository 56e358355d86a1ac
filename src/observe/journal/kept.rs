//! An event with its number, and the form in which it is told.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use sbc_config::TenantId;
use serde_json::{Value, json};

use crate::observe::event::{Audience, Event};
use crate::observe::store::{from_micros, micros};

/// An event with its number.
#[derive(Debug)]
pub struct Kept {
    /// Its number. Numbers rise; they may skip.
    pub seq: u64,
    /// Its name.
    pub kind: Cow<'static, str>,
    /// Whose it is.
    pub tenant: TenantId,
    /// The call's id, empty when it is about no call.
    pub call: String,
    /// Who may see it.
    pub audience: Audience,
    /// When it happened, in microseconds since 1970.
    pub at: i64,
    /// Its data as JSON text: a quarter of what the tree it was made from takes, and the window keeps
    /// thousands.
    data: Box<str>,
    cloud_event: OnceLock<Arc<str>>,
}

impl Kept {
    pub(super) fn live(seq: u64, event: Event) -> Kept {
        Kept {
            seq,
            kind: Cow::Borrowed(event.kind),
            tenant: event.tenant,
            call: event.call.map(|call| call.to_string()).unwrap_or_default(),
            audience: event.audience,
            at: micros(event.at),
            data: event.data.to_string().into(),
            cloud_event: OnceLock::new(),
        }
    }

    pub(in crate::observe) fn from_store(
        seq: u64,
        kind: String,
        tenant: TenantId,
        call: String,
        audience: Audience,
        at: i64,
        data: String,
    ) -> Kept {
        let data = data.into();
        Kept { seq, kind: Cow::Owned(kind), tenant, call, audience, at, data, cloud_event: OnceLock::new() }
    }

    /// Its `data`, as JSON text.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// Its `data`, as JSON.
    pub fn data_value(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or(Value::Null)
    }

    /// The event as CloudEvents 1.0 in JSON.
    ///
    /// `seq` is text: the specification's integers end at 2^31, and its own `sequence` extension
    /// is text for the same reason.
    pub fn cloud_event(&self, source: &str) -> Arc<str> {
        let render = || {
            let mut event = json!({
                "specversion": "1.0",
                "id": self.seq.to_string(),
                "source": source,
                "type": self.kind,
                "time": rfc3339(self.at),
                "datacontenttype": "application/json",
                "seq": self.seq.to_string(),
                "tenant": self.tenant,
                "data": self.data_value(),
            });
            if !self.call.is_empty() {
                event["subject"] = json!(self.call);
            }
            Arc::from(event.to_string())
        };
        self.cloud_event.get_or_init(render).clone()
    }
}

/// Microseconds since 1970 as RFC 3339 in UTC.
fn rfc3339(at: i64) -> String {
    jiff::Timestamp::try_from(from_micros(at)).map_or_else(|_| String::new(), |at| at.to_string())
}
