//! The checks by name, and the one table of what each way to reach somebody needs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A way to reach somebody at Microsoft Teams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Azure Communication Services rings the Teams client: `8:orgid:…`.
    Voip,
    /// Their telephone number, over a carrier or ACS.
    Pstn,
    /// Their Teams number, over our own Direct Routing trunk.
    DirectRouting,
}

impl Route {
    /// Every route, the cheapest first.
    pub const ALL: [Route; 3] = [Route::Voip, Route::Pstn, Route::DirectRouting];

    /// Its name in requests and events.
    pub fn name(self) -> &'static str {
        match self {
            Route::Voip => "voip",
            Route::Pstn => "pstn",
            Route::DirectRouting => "direct_routing",
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much a route depends on a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// A failure refuses the route; what cannot be known is judged by the policy of its class.
    Required,
    /// A failure is shown and refuses nothing.
    Advisory,
    /// It has nothing to do with this route.
    Not,
}

/// What kind of thing a check is about: the policy for the unknown is set per class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The connection to Microsoft and to our own trunks.
    Connection,
    /// What the tenant's administrator allowed.
    Federation,
    /// Whether the person exists and is of a kind that can be rung.
    Identity,
    /// Licence, Enterprise Voice, Teams number, mode.
    Voice,
    /// The number that would be dialled.
    Number,
    /// Who may ask and who may be asked.
    Authorisation,
    /// Whether the person is free.
    Presence,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 7] = [
        Class::Connection,
        Class::Federation,
        Class::Identity,
        Class::Voice,
        Class::Number,
        Class::Authorisation,
        Class::Presence,
    ];
}

/// Whom a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The whole tenant.
    Tenant,
    /// One person.
    Person,
}

const MINUTES: u64 = 60;
const HOURS: u64 = 60 * MINUTES;
const DAYS: u64 = 24 * HOURS;

macro_rules! checks {
    ($($name:ident $id:literal $word:literal $about:ident $class:ident $ttl:expr, $voip:ident $pstn:ident $dr:ident $title:literal)*) => {
        /// One thing that must be so before somebody is rung.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Check {$(
            #[doc = $title]
            $name,
        )*}

        impl Check {
            /// Every check, in the order in which they are shown.
            pub const ALL: &'static [Check] = &[$(Check::$name),*];

            /// The short id: `T07`, `U03`.
            pub fn id(self) -> &'static str {
                match self {$(Check::$name => $id,)*}
            }

            /// The name in words of a program: `acs_federation`.
            pub fn name(self) -> &'static str {
                match self {$(Check::$name => $word,)*}
            }

            /// What is so when the check passes.
            pub fn title(self) -> &'static str {
                match self {$(Check::$name => $title,)*}
            }

            /// The class whose policy judges it when it is unknown.
            pub fn class(self) -> Class {
                match self {$(Check::$name => Class::$class,)*}
            }

            /// Whom it is about.
            pub fn about(self) -> About {
                match self {$(Check::$name => About::$about,)*}
            }

            /// How long what a source said about it holds, unless the source says so itself.
            pub fn life(self) -> Duration {
                Duration::from_secs(match self {$(Check::$name => $ttl,)*})
            }

            /// What `route` makes of it. This table is the gate.
            pub fn need(self, route: Route) -> Need {
                use Need::*;
                match (self, route) {$(
                    (Check::$name, Route::Voip) => $voip,
                    (Check::$name, Route::Pstn) => $pstn,
                    (Check::$name, Route::DirectRouting) => $dr,
                )*}
            }
        }
    };
}

// The connection checks say how well we can know, not whether a ring would succeed: with Graph down, what is still
// fresh decides. So they advise, and what they keep from being known is judged where it is needed.
checks! {
    // name             id    word                       about   class          holds          voip     pstn     direct_routing
    CredentialsComplete "T01" "credentials_complete"     Tenant  Connection     12 * HOURS,    Advisory Advisory Advisory "The account names tenant, client and a credential"
    Token               "T02" "token"                    Tenant  Connection     HOURS,         Advisory Advisory Advisory "Entra gives the account a token"
    ObjectId            "T03" "object_id_matches_client" Tenant  Connection     12 * HOURS,    Advisory Not      Not      "Object ID and Client ID are of one application"
    SecretExpiry        "T04" "secret_expiry"            Tenant  Connection     12 * HOURS,    Advisory Advisory Advisory "The credential is good for more than 15 days"
    Roles               "T05" "granted_roles"            Tenant  Connection     HOURS,         Advisory Advisory Advisory "The permissions that the checks read with are granted"
    AcsId               "T06" "acs_immutable_id"         Tenant  Federation     24 * HOURS,    Advisory Not      Not      "The immutable id of the ACS resource is known"
    Federation          "T07" "acs_federation"           Tenant  Federation     30 * DAYS,     Required Not      Not      "The Teams tenant takes calls of ACS"
    ResourceAllowed     "T08" "acs_resource_allowed"     Tenant  Federation     30 * DAYS,     Required Not      Not      "Our ACS resource is on the tenant's list"
    AcsReachable        "T09" "acs_reachable"            Tenant  Connection     MINUTES,       Required Advisory Not      "The ACS resource answers"
    NetworkRanges       "T10" "network_ranges"           Tenant  Connection     30 * DAYS,     Advisory Advisory Advisory "The firewall lets Microsoft's media and signalling ranges through"
    MeetingPolicy       "T11" "meeting_policy"           Tenant  Authorisation  12 * HOURS,    Not      Not      Not      "An application access policy lets us make meetings"
    EnhancedVoice       "T12" "enhanced_voice"           Tenant  Voice          30 * DAYS,     Advisory Not      Not      "The tenant's enhanced voice set-up is done"
    TrunkUp             "T13" "direct_routing_trunk_up"  Tenant  Connection     2 * MINUTES,   Not      Not      Required "The Direct Routing trunk answers OPTIONS"
    Exists              "U01" "exists_and_enabled"       Person  Identity       15 * MINUTES,  Required Required Required "The account exists and is enabled"
    Kind                "U02" "account_kind"             Person  Identity       15 * MINUTES,  Required Required Required "The account is of a kind this route reaches"
    Licence             "U03" "phone_licence"            Person  Voice          15 * MINUTES,  Required Not      Required "A Teams Phone licence is in force"
    EnterpriseVoice     "U04" "enterprise_voice"         Person  Voice          15 * MINUTES,  Required Not      Required "Enterprise Voice is on"
    OfficePhone         "U05" "office_phone"             Person  Number         15 * MINUTES,  Not      Required Not      "The directory has a telephone number"
    Number              "U06" "number_e164"              Person  Number         15 * MINUTES,  Not      Required Required "The number is international, with a plus"
    TeamsNumber         "U07" "teams_number"             Person  Voice          15 * MINUTES,  Not      Not      Required "A Direct Routing number is assigned and active"
    NumbersAgree        "U08" "numbers_agree"            Person  Number         15 * MINUTES,  Not      Advisory Advisory "Directory and Teams name the same number"
    ExternalAccess      "U09" "external_access_policy"   Person  Federation     30 * DAYS,     Required Not      Not      "The person's external access policy allows ACS"
    Presence            "U10" "presence"                 Person  Presence       10,            Advisory Advisory Advisory "The person is free"
    DesktopClient       "U11" "desktop_client"           Person  Presence       10,            Advisory Not      Not      "A Teams client is signed in"
    TeamsOnly           "U12" "teams_only"               Person  Voice          15 * MINUTES,  Not      Not      Required "The person is in Teams Only mode"
    Group               "U13" "authorised"               Person  Authorisation  5 * MINUTES,   Required Required Required "Who asks is in an allowed group, and who is asked is enabled"
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// There is no check of this id or name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such check; they are T01 to T13 and U01 to U13")]
pub struct NoSuchCheck;

/// By id or by name.
impl FromStr for Check {
    type Err = NoSuchCheck;

    fn from_str(text: &str) -> Result<Check, NoSuchCheck> {
        let found =
            Check::ALL.iter().find(|check| check.id().eq_ignore_ascii_case(text) || check.name() == text);
        found.copied().ok_or(NoSuchCheck)
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl<'de> Deserialize<'de> for Check {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Check, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn ids_and_names_are_unique_and_are_read_back() {
        let mut seen = HashSet::new();
        for check in Check::ALL {
            assert!(seen.insert(check.id()) && seen.insert(check.name()), "{check}");
            assert_eq!(check.id().parse(), Ok(*check));
            assert_eq!(check.name().parse(), Ok(*check));
            let tenant = check.id().starts_with('T');
            assert_eq!(check.about() == About::Tenant, tenant, "{check}");
        }
        assert_eq!(Check::ALL.len(), 26);
        assert_eq!("T14".parse::<Check>(), Err(NoSuchCheck));
    }

    /// The gate as a picture: a change of it is a change of what the product promises.
    #[test]
    fn the_gate_is_this() {
        let mut table = String::new();
        for route in Route::ALL {
            let of = |need| Check::ALL.iter().filter(move |check| check.need(route) == need);
            let ids = |need| of(need).map(|check| check.id()).collect::<Vec<_>>().join(" ");
            let _ = writeln!(table, "{route}: {} | {}", ids(Need::Required), ids(Need::Advisory));
        }
        assert_eq!(
            table,
            "voip: T07 T08 T09 U01 U02 U03 U04 U09 U13 | T01 T02 T03 T04 T05 T06 T10 T12 U10 U11\n\
             pstn: U01 U02 U05 U06 U13 | T01 T02 T04 T05 T09 T10 U08 U10\n\
             direct_routing: T13 U01 U02 U03 U04 U06 U07 U12 U13 | T01 T02 T04 T05 T10 U08 U10\n"
        );
    }
}
