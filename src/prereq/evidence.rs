//! What is known, from whom and for how long; and which word counts when several were said.
//!
//! | situation | counts |
//! |---|---|
//! | two observations | the newer |
//! | an observation and an attestation, whichever is newer | the observation: nobody's word outranks a fact |
//! | an attestation, and an observer who could not tell | the attestation |
//! | only what has expired | nothing: unknown |

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sbc_config::E164;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check::Check;

/// An imported file is fresh for so long; after that it is used with a warning until it expires.
pub const IMPORT_FRESH: Duration = Duration::from_secs(7 * 24 * 3600);
/// An imported file is good for so long.
pub const IMPORT_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Somebody's word is good for so long.
pub const ATTESTATION_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// What a call proved is good for so long.
pub const CALL_OUTCOME_LIFE: Duration = Duration::from_secs(24 * 3600);
/// A note, a name or a detail longer than this is cut: they are shown on one screen and kept in one row.
pub const TEXT_CHARS_MAX: usize = 500;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is so.
    Pass,
    /// It is not so.
    Fail,
    /// Nobody can say.
    Unknown,
    /// The question does not arise.
    NotApplicable,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Verdict; 4] = [Verdict::Pass, Verdict::Fail, Verdict::Unknown, Verdict::NotApplicable];

    /// Its name in answers and events.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Unknown => "unknown",
            Verdict::NotApplicable => "not_applicable",
        }
    }
}

/// Whom evidence is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// The tenant as a whole.
    Tenant,
    /// A person, by Entra object id or user principal name, in lower case.
    Person(Arc<str>),
    /// A bare telephone number, which belongs to nobody we can look up.
    Number(E164),
}

impl Subject {
    /// A person, however the id was written.
    pub fn person(id: &str) -> Subject {
        Subject::Person(id.trim().to_lowercase().into())
    }
}

/// `tenant`, `person:adele@example.com`, `number:+14255550100`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Tenant => f.write_str("tenant"),
            Subject::Person(id) => write!(f, "person:{id}"),
            Subject::Number(number) => write!(f, "number:{}", number.as_str()),
        }
    }
}

impl FromStr for Subject {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Subject, &'static str> {
        const WRONG: &str = "a subject is `tenant`, `person:ID` or `number:+NUMBER`";
        match text.split_once(':') {
            None if text == "tenant" => Ok(Subject::Tenant),
            Some(("person", id)) if !id.trim().is_empty() => Ok(Subject::person(id)),
            Some(("number", number)) => E164::parse(number).map(Subject::Number).map_err(|_| WRONG),
            _ => Err(WRONG),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Subject, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Who said so.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Microsoft Graph.
    Graph,
    /// Azure Resource Manager.
    Arm,
    /// Entra's token endpoint.
    Entra,
    /// The endpoint of the ACS resource.
    Acs,
    /// A trunk's answer to OPTIONS.
    Sip,
    /// A file of the collector.
    Import,
    /// An operator gave their word.
    Attested {
        /// Who.
        by: String,
        /// Why they are sure.
        note: String,
    },
    /// A real call.
    CallOutcome,
    /// The gateway's own configuration.
    Config,
}

impl Source {
    /// Its name in answers and events.
    pub fn name(&self) -> &'static str {
        match self {
            Source::Graph => "graph",
            Source::Arm => "arm",
            Source::Entra => "entra",
            Source::Acs => "acs",
            Source::Sip => "sip",
            Source::Import => "import",
            Source::Attested { .. } => "attested",
            Source::CallOutcome => "call_outcome",
            Source::Config => "config",
        }
    }

    /// Whether it was seen, rather than said.
    pub fn verified(&self) -> bool {
        !matches!(self, Source::Attested { .. })
    }
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What about.
    pub check: Check,
    /// Whom about.
    pub subject: Subject,
    /// What it came to.
    pub verdict: Verdict,
    /// A stable word for why: `number_needs_plus`, `pending`, `guest`.
    pub code: Cow<'static, str>,
    /// Who said so.
    pub source: Source,
    /// When it was seen.
    #[serde(with = "seconds")]
    pub observed_at: SystemTime,
    /// From when on it no longer counts.
    #[serde(with = "seconds")]
    pub expires_at: SystemTime,
    /// A sentence for people; empty when the code says it all.
    pub detail: String,
    /// What was found, when something is to be dialled by it: a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl Evidence {
    /// Evidence that holds as long as its check says.
    pub fn new(
        check: Check,
        subject: Subject,
        verdict: Verdict,
        code: impl Into<Cow<'static, str>>,
        source: Source,
        at: SystemTime,
    ) -> Evidence {
        let life = match source {
            Source::Import => IMPORT_LIFE,
            Source::Attested { .. } => ATTESTATION_LIFE,
            Source::CallOutcome => CALL_OUTCOME_LIFE,
            _ => check.life(),
        };
        Evidence {
            check,
            subject,
            verdict,
            code: code.into(),
            source,
            observed_at: at,
            expires_at: at + life,
            detail: String::new(),
            value: None,
        }
    }

    /// With a sentence for people.
    #[must_use]
    pub fn saying(mut self, detail: impl Into<String>) -> Evidence {
        self.detail = cut(detail.into());
        self
    }

    /// With what was found.
    #[must_use]
    pub fn with_value(mut self, value: impl Into<String>) -> Evidence {
        self.value = Some(value.into());
        self
    }

    /// Good for another time than its check says.
    #[must_use]
    pub fn lasting(mut self, life: Duration) -> Evidence {
        self.expires_at = self.observed_at + life;
        self
    }

    /// Whether it counts at `now`.
    pub fn holds(&self, now: SystemTime) -> bool {
        now < self.expires_at
    }

    /// Imported so long ago that somebody should collect anew.
    pub fn stale(&self, now: SystemTime) -> bool {
        self.source == Source::Import
            && now.duration_since(self.observed_at).is_ok_and(|age| age > IMPORT_FRESH)
    }

    fn decides(&self) -> bool {
        self.verdict != Verdict::Unknown
    }
}

/// At most [`TEXT_CHARS_MAX`] characters, none of them a control character.
pub(crate) fn cut(text: String) -> String {
    if text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control) {
        return text;
    }
    text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}

/// What counts at `now`, of everything said about one check and subject. `None` when nothing does.
pub fn best<'a>(said: impl IntoIterator<Item = &'a Evidence>, now: SystemTime) -> Option<&'a Evidence> {
    said.into_iter().filter(|evidence| evidence.holds(now)).max_by_key(|evidence| {
        let rank = match (evidence.decides(), evidence.source.verified()) {
            (true, true) => 2,
            (true, false) => 1,
            (false, _) => 0,
        };
        (rank, evidence.observed_at)
    })
}

/// Whole seconds since 1970, as they stand in the store.
mod seconds {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use serde::{Deserialize, Deserializer, Serializer};

    /// Until the year 9999: later times cannot be written as RFC 3339.
    const MOST: u64 = 253_402_300_799;

    pub(super) fn serialize<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let seconds = u64::deserialize(deserializer)?.min(MOST);
        Ok(UNIX_EPOCH + Duration::from_secs(seconds))
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn said(verdict: Verdict, source: Source, seconds: u64) -> Evidence {
        Evidence::new(Check::Federation, Subject::Tenant, verdict, "x", source, at(seconds))
    }

    fn word() -> Source {
        Source::Attested { by: "ops".into(), note: "seen in the portal".into() }
    }

    #[test]
    fn which_word_counts() {
        use Source::*;
        use Verdict::*;
        let now = at(1000);
        let cases = [
            ("the newer of two observations", vec![said(Fail, Import, 10), said(Pass, CallOutcome, 20)], 1),
            ("in any order", vec![said(Pass, CallOutcome, 20), said(Fail, Import, 10)], 0),
            ("a fact before a newer word", vec![said(Fail, Import, 10), said(Pass, word(), 20)], 0),
            ("a fact before an older word", vec![said(Pass, word(), 10), said(Fail, CallOutcome, 20)], 1),
            ("a good fact before a bad word", vec![said(Pass, Import, 10), said(Fail, word(), 20)], 0),
            (
                "a word before an observer who cannot tell",
                vec![said(Unknown, Graph, 20), said(Pass, word(), 10)],
                1,
            ),
            (
                "an older fact before one who cannot tell",
                vec![said(Pass, Import, 10), said(Unknown, Graph, 20)],
                0,
            ),
            ("one who cannot tell before nobody", vec![said(Unknown, Graph, 20)], 0),
        ];
        for (what, several, right) in &cases {
            assert_eq!(best(several, now), Some(&several[*right]), "{what}");
        }
        assert_eq!(best(&[], now), None);
    }

    #[test]
    fn what_has_expired_does_not_count() {
        let old = said(Verdict::Pass, Source::CallOutcome, 0);
        let end = old.expires_at;
        assert_eq!(best([&old], end - Duration::from_secs(1)), Some(&old));
        assert_eq!(best([&old], end), None);
        let word = said(Verdict::Fail, word(), 100);
        assert_eq!(best([&old, &word], end), Some(&word), "a word outlives a fact that has expired");
    }

    #[test]
    fn an_import_grows_stale_before_it_expires() {
        let import = said(Verdict::Pass, Source::Import, 0);
        assert!(!import.stale(at(0) + IMPORT_FRESH) && import.stale(at(1) + IMPORT_FRESH));
        assert!(import.holds(at(0) + IMPORT_FRESH * 2) && !import.holds(at(0) + IMPORT_LIFE));
        assert!(!said(Verdict::Pass, word(), 0).stale(at(1) + IMPORT_FRESH));
    }

    #[test]
    fn evidence_survives_the_store() {
        for subject in ["tenant", "person:adele@example.com", "number:+14255550100"] {
            let evidence =
                Evidence::new(Check::Number, subject.parse().unwrap(), Verdict::Pass, "ok", word(), at(77))
                    .saying("line\none")
                    .with_value("+14255550100");
            let text = serde_json::to_string(&evidence).unwrap();
            assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), evidence);
            assert_eq!(evidence.detail, "lineone");
        }
        assert_eq!(Subject::person(" Adele@Example.COM "), "person:adele@example.com".parse().unwrap());
        for bad in ["", "person:", "person", "number:12", "team:x"] {
            assert!(bad.parse::<Subject>().is_err(), "{bad}");
        }
    }
}
