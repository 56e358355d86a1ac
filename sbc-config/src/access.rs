//! Who may use the API, and who is told what happens.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::id::{PersonId, TeamId, TenantId, TokenId, WebhookId};
use crate::secret::Secret;

/// `[[token]]`: a bearer token, of which only the hash is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name in audit records.
    pub id: TokenId,
    /// SHA-256 of the token.
    pub sha256: TokenHash,
    /// What its bearer may do.
    pub grant: Grant,
    /// Its last day; `None` never ends.
    pub expires: Option<Date>,
}

impl Token {
    /// Whether the token is still good. It is good until the end of its last day, UTC.
    #[must_use]
    pub fn is_good_at(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|day| now < day.end())
    }
}

/// SHA-256 of a bearer token. Redacted, because short tokens can be guessed from it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(pub(crate) [u8; 32]);

impl TokenHash {
    /// The 32 bytes of the hash. Compare in constant time.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(redacted)")
    }
}

/// What the bearer of a token may do, with the scope that belongs to the role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Own calls.
    Agent {
        /// The agent's tenant.
        tenant: TenantId,
        /// The agent.
        person: PersonId,
    },
    /// Supervision of the agents in `teams`.
    Supervisor {
        /// The supervisor's tenant.
        tenant: TenantId,
        /// The supervisor.
        person: PersonId,
        /// The scope: the token's own, or the teams the person is in.
        teams: Vec<TeamId>,
    },
    /// The tenant's calls to read, its policies to set.
    TenantAdmin {
        /// The tenant.
        tenant: TenantId,
    },
    /// The platform: drain, configuration, metrics. No calls, hence no tenant.
    Operator,
    /// Another program acting for the tenant.
    Integration {
        /// The tenant.
        tenant: TenantId,
    },
}

impl Grant {
    /// The role alone.
    #[must_use]
    pub fn role(&self) -> TokenRole {
        match self {
            Self::Agent { .. } => TokenRole::Agent,
            Self::Supervisor { .. } => TokenRole::Supervisor,
            Self::TenantAdmin { .. } => TokenRole::TenantAdmin,
            Self::Operator => TokenRole::Operator,
            Self::Integration { .. } => TokenRole::Integration,
        }
    }

    /// The tenant whose things the bearer may see; none for the operator.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Agent { tenant, .. }
            | Self::Supervisor { tenant, .. }
            | Self::TenantAdmin { tenant }
            | Self::Integration { tenant } => Some(tenant),
            Self::Operator => None,
        }
    }

    /// The person the bearer is, for agents and supervisors.
    #[must_use]
    pub fn person(&self) -> Option<&PersonId> {
        match self {
            Self::Agent { person, .. } | Self::Supervisor { person, .. } => Some(person),
            Self::TenantAdmin { .. } | Self::Operator | Self::Integration { .. } => None,
        }
    }
}

/// The role of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenRole {
    /// See [`Grant::Agent`].
    Agent,
    /// See [`Grant::Supervisor`].
    Supervisor,
    /// See [`Grant::TenantAdmin`].
    TenantAdmin,
    /// See [`Grant::Operator`].
    Operator,
    /// See [`Grant::Integration`].
    Integration,
}

/// A day of the calendar, UTC, from 1970 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// 1970 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to the length of the month.
    pub day: u8,
}

impl Date {
    /// The first moment of the day, UTC.
    #[must_use]
    pub fn start(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.days_since_1970() * 86_400)
    }

    /// The first moment of the next day.
    #[must_use]
    pub fn end(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs((self.days_since_1970() + 1) * 86_400)
    }

    fn days_since_1970(self) -> u64 {
        // Years begin in March here, so that the leap day is the last of its year and needs no case of its own.
        let (year, month) = match self.month {
            1 | 2 => (u64::from(self.year).saturating_sub(1), u64::from(self.month) + 9),
            _ => (u64::from(self.year), u64::from(self.month).saturating_sub(3)),
        };
        let days_before_month = (153 * month + 2) / 5;
        let days = 365 * year + year / 4 - year / 100 + year / 400 + days_before_month + u64::from(self.day);
        // 719 469 of these days lie before 1 January 1970.
        days.saturating_sub(719_469)
    }
}

/// As in RFC 3339: `2027-01-31`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// `[[webhook]]`: somebody who is told about events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// The tenant whose events it gets.
    pub tenant: TenantId,
    /// `https://` or `http://`, without user name and password.
    pub url: Arc<str>,
    /// The key of the HMAC over each delivery.
    pub secret: Secret,
    /// Which events. Never empty.
    pub events: Vec<EventPattern>,
}

impl Webhook {
    /// Whether the event goes to this webhook, by its name (`call.answered`).
    #[must_use]
    pub fn wants(&self, event: &str) -> bool {
        self.events.iter().any(|pattern| pattern.matches(event))
    }
}

/// `*`, a family such as `call.*`, or one event such as `call.answered`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EventPattern {
    /// Every event.
    All,
    /// Every event whose name begins with this and a dot.
    Family(Arc<str>),
    /// This one.
    One(Arc<str>),
}

impl EventPattern {
    /// Whether the pattern takes the event of this name.
    #[must_use]
    pub fn matches(&self, event: &str) -> bool {
        match self {
            Self::All => true,
            Self::Family(family) => event.split_once('.').is_some_and(|(head, _)| head == &**family),
            Self::One(name) => event == &**name,
        }
    }
}
