//! Event packages and the state of a subscription (RFC 6665 section 8.2).

use std::fmt;

use bytes::Bytes;

use super::params::token_and_params;
use super::{BadValue, Params, parse_number};
use crate::sip::text::Text;

/// Event (RFC 6665 section 8.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The package, with any template: `refer`, `presence.winfo`.
    pub package: Text,
    /// `id` and others.
    pub params: Params,
}

impl Event {
    /// Reads `package;params`.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (package, params) = token_and_params(&raw)?;
        Ok(Self { package, params })
    }

    /// The id parameter.
    pub fn id(&self) -> Option<Text> {
        self.params.value("id")
    }
}

/// Subscription-State (RFC 6665 section 8.2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionState {
    /// `active`, `pending`, `terminated` or another token.
    pub state: Text,
    /// Seconds until the subscription ends.
    pub expires: Option<u32>,
    /// Why it ended.
    pub reason: Option<Text>,
    /// Seconds to wait before trying again.
    pub retry_after: Option<u32>,
}

impl SubscriptionState {
    /// Reads `state;params`.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (state, params) = token_and_params(&raw)?;
        let seconds = |name: &str| params.value(name).map(|v| parse_number(v.as_ref())).transpose();
        let (expires, retry_after) = (seconds("expires")?, seconds("retry-after")?);
        Ok(Self { state, expires, reason: params.value("reason"), retry_after })
    }

    /// Whether the subscription is over.
    pub fn is_terminated(&self) -> bool {
        self.state.eq_ignore_ascii_case("terminated")
    }
}

impl fmt::Display for SubscriptionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.state)?;
        if let Some(seconds) = self.expires {
            write!(f, ";expires={seconds}")?;
        }
        if let Some(reason) = &self.reason {
            write!(f, ";reason={reason}")?;
        }
        match self.retry_after {
            Some(seconds) => write!(f, ";retry-after={seconds}"),
            None => Ok(()),
        }
    }
}
