//! Tenants, their teams and the people in them.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::address::Contact;
use crate::id::{AcsId, PersonId, TeamId, TenantId};
use crate::integration::RouteName;
use crate::secret::Secret;
use crate::secure::SrtpPolicy;

/// `[[tenant]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name for people to read.
    pub name: Arc<str>,
    /// What its held parties hear, unless a request says otherwise.
    pub hold_media: HoldMedia,
}

/// What a held party hears.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HoldMedia {
    /// The music of `[media]`.
    #[default]
    Music,
    /// A soft tone now and then: the line is alive, and nobody has to like it.
    Tone,
    /// Nothing.
    Silence,
    /// A recording of `[media] prompts`, by its name.
    Prompt(Arc<str>),
}

/// The text is none of the words for what a held party hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not music, tone, silence or prompt:NAME")]
pub struct NotHoldMedia;

impl std::str::FromStr for HoldMedia {
    type Err = NotHoldMedia;

    fn from_str(text: &str) -> Result<HoldMedia, NotHoldMedia> {
        match text {
            "music" => Ok(HoldMedia::Music),
            "tone" => Ok(HoldMedia::Tone),
            "silence" => Ok(HoldMedia::Silence),
            _ => match text.strip_prefix("prompt:") {
                Some(name) if !name.is_empty() => Ok(HoldMedia::Prompt(name.into())),
                _ => Err(NotHoldMedia),
            },
        }
    }
}

/// `[[team]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// Its name for people to read.
    pub name: Arc<str>,
}

/// `[[person]]`: somebody with a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The person's id.
    pub id: PersonId,
    /// The tenant the person belongs to.
    pub tenant: TenantId,
    /// What the person is in a call.
    pub role: PersonRole,
    /// The teams the person is in, in file order.
    pub teams: Vec<TeamId>,
    /// How the person's phone is reached.
    pub reach: Reach,
    /// The short number of the phone, unique in the tenant.
    pub extension: Option<Arc<str>>,
    /// The name shown to others.
    pub display_name: Option<Arc<str>>,
    /// Whether the phone's audio is encrypted.
    pub srtp: SrtpPolicy,
}

/// What a person is in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PersonRole {
    /// Answers customers.
    Agent,
    /// Monitors, whispers to, barges in on and takes over from agents.
    Supervisor,
    /// Calls in: a phone on the customer's side, for trials.
    Customer,
}

impl fmt::Display for PersonRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "agent",
            Self::Supervisor => "supervisor",
            Self::Customer => "customer",
        })
    }
}

/// How a phone is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// It is always at this address.
    Contact(Contact),
    /// It registers (RFC 3261 section 10) with digest credentials.
    Register(Credentials),
    /// Over an ACS resource, at this identity.
    Acs {
        /// The resource.
        resource: AcsId,
        /// `8:acs:…`, or `4:+1…` for a telephone.
        raw_id: Arc<str>,
    },
    /// At Microsoft Teams: rung when the prerequisites of a way allow it, and not otherwise.
    Teams {
        /// User principal name or Entra object id, in lower case.
        user: Arc<str>,
        /// The ways that may be taken. Never empty.
        routes: Vec<RouteName>,
    },
    /// In a browser, over WebRTC, while one listens for this person.
    Browser,
}

/// What a phone must know to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The digest user name, unique in the file: there is one realm.
    pub username: Arc<str>,
    /// How the password is checked.
    pub password: Password,
}

/// A digest password, in clear or hashed with user name and realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// The password itself, from a file or the environment; serves MD5 and SHA-256.
    Clear(Secret),
    /// H(username:realm:password) in lower-case hex (RFC 7616 section 3.4.2); at least one is set. An algorithm
    /// without a hash is not offered to this user. As good as a password to a thief, hence `Secret`.
    Hashed {
        /// 32 hex digits.
        md5: Option<Secret>,
        /// 64 hex digits.
        sha256: Option<Secret>,
    },
}
