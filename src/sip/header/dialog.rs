//! What is said of a whole dialog: how long it lasts, why it ends, whose place it takes.

use std::fmt;

use bytes::Bytes;

use super::grammar::cut_params;
use super::params::token_and_params;
use super::{BadValue, Params, is_call_id, parse_number, quote};
use crate::sip::text::Text;

/// Session-Expires (RFC 4028 section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionExpires {
    /// Seconds until the session ends unless refreshed.
    pub seconds: u32,
    /// Who refreshes, when said.
    pub refresher: Option<Refresher>,
}

/// Who sends the session refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresher {
    /// The caller of the refresh transaction.
    Uac,
    /// Its server.
    Uas,
}

impl SessionExpires {
    /// Reads `seconds;refresher=uac|uas`.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (head, tail) = cut_params(&raw);
        let refresher = match Params::parse(tail)?.value("refresher") {
            Some(who) if who.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(who) if who.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        };
        Ok(Self { seconds: parse_number(&head)?, refresher })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        match self.refresher {
            Some(Refresher::Uac) => f.write_str(";refresher=uac"),
            Some(Refresher::Uas) => f.write_str(";refresher=uas"),
            None => Ok(()),
        }
    }
}

/// One Reason value (RFC 3326): `Q.850;cause=16;text="Normal call clearing"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// `SIP`, `Q.850`, ...
    pub protocol: Text,
    /// The cause number of that protocol.
    pub cause: Option<u32>,
    /// The words.
    pub text: Option<Text>,
}

impl Reason {
    /// Reads one value.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (head, params) = token_and_params(&raw)?;
        let cause = params.value("cause").map(|c| parse_number(c.as_ref())).transpose()?;
        Ok(Self { protocol: head, cause, text: params.value("text") })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        match &self.text {
            Some(text) => write!(f, ";text={}", quote(text)),
            None => Ok(()),
        }
    }
}

/// Replaces (RFC 3891) or Join: names a dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaces {
    /// Call-ID of the dialog.
    pub call_id: Text,
    /// Tag of the side the request is sent to.
    pub to_tag: Text,
    /// Tag of the other side.
    pub from_tag: Text,
    /// Replace only an early dialog.
    pub early_only: bool,
}

impl Replaces {
    /// Reads `call-id;to-tag=..;from-tag=..`; both tags must be there (RFC 3891 section 3).
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (head, tail) = cut_params(&raw);
        let params = Params::parse(tail)?;
        let one = |name: &str| {
            let mut all = params.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
            match (all.next(), all.next()) {
                (Some((_, Some(value))), None) => Ok(value),
                _ => Err(BadValue::Malformed),
            }
        };
        let call_id = Text::new(head).filter(|id| is_call_id(id)).ok_or(BadValue::Malformed)?;
        let early_only = params.has("early-only");
        Ok(Self { call_id, to_tag: one("to-tag")?, from_tag: one("from-tag")?, early_only })
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};to-tag={};from-tag={}", self.call_id, self.to_tag, self.from_tag)?;
        if self.early_only { f.write_str(";early-only") } else { Ok(()) }
    }
}
