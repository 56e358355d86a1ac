//! The words of settings that take one of a few, for reading them and for writing them back.

use crate::secure::{SrtpPolicy, TlsVersion, VerifyPeer};
use crate::trunk::{
    CallerIdPolicy, CallerIdentity, ContextHeaders, Dialect, Diversions, HoldStyle, Prack, Privacy, Ringback,
    TransferStyle,
};

/// The word of a value. A table that forgot one would show here as an empty word, which no reader takes.
pub(crate) fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    words.iter().find(|(_, of)| of == value).map_or("", |(word, _)| word)
}

pub(crate) const SRTP: &[(&str, SrtpPolicy)] =
    &[("required", SrtpPolicy::Required), ("optional", SrtpPolicy::Optional), ("off", SrtpPolicy::Off)];
pub(crate) const VERIFY: &[(&str, VerifyPeer)] =
    &[("required", VerifyPeer::Required), ("optional", VerifyPeer::Optional), ("off", VerifyPeer::Off)];
pub(crate) const TLS_VERSIONS: &[(&str, TlsVersion)] =
    &[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];
pub(crate) const DIALECTS: &[(&str, Dialect)] =
    &[("standard", Dialect::Standard), ("microsoft", Dialect::Microsoft)];
pub(crate) const PRACK: &[(&str, Prack)] =
    &[("off", Prack::Off), ("supported", Prack::Supported), ("required", Prack::Required)];
pub(crate) const RINGBACK: &[(&str, Ringback)] =
    &[("alerting", Ringback::Alerting), ("tone", Ringback::Tone)];
pub(crate) const HOLD: &[(&str, HoldStyle)] =
    &[("sendonly", HoldStyle::Sendonly), ("inactive", HoldStyle::Inactive)];
pub(crate) const TRANSFER: &[(&str, TransferStyle)] =
    &[("refer", TransferStyle::Refer), ("hidden", TransferStyle::Hidden)];
pub(crate) const CALLER_IDENTITY: &[(&str, CallerIdentity)] = &[
    ("from", CallerIdentity::From),
    ("p_asserted_identity", CallerIdentity::PAssertedIdentity),
    ("p_preferred_identity", CallerIdentity::PPreferredIdentity),
    ("remote_party_id", CallerIdentity::RemotePartyId),
];
pub(crate) const PRIVACY: &[(&str, Privacy)] = &[("id", Privacy::Id), ("anonymous", Privacy::Anonymous)];
pub(crate) const CONTEXT_HEADERS: &[(&str, ContextHeaders)] = &[
    ("off", ContextHeaders::Off),
    ("in", ContextHeaders::In),
    ("out", ContextHeaders::Out),
    ("both", ContextHeaders::Both),
];
pub(crate) const DIVERSIONS: &[(&str, Diversions)] = &[
    ("none", Diversions::None),
    ("diversion", Diversions::Diversion),
    ("history_info", Diversions::HistoryInfo),
    ("both", Diversions::Both),
];
pub(crate) const CALLER_ID_POLICY: &[(&str, CallerIdPolicy)] =
    &[("warn", CallerIdPolicy::Warn), ("reject", CallerIdPolicy::Reject)];
