//! Profiles: what a kind of trunk has in common, shipped as commented TOML and compiled in.
//!
//! A profile is nothing but settings of `[[trunk]]`. What the trunk itself says goes before it, setting by setting,
//! inside `tls` as well.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Serialize, Serializer};
use toml::Spanned;
use toml::de::DeTable;

macro_rules! profiles {
    ($($(#[$doc:meta])* $name:ident $text:literal)*) => {
        /// A shipped profile.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Profile {$(
            $(#[$doc])*
            $name,
        )*}

        impl Profile {
            /// Every profile.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in the file.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {$(Self::$name => $text,)*}
            }

            /// Its file, comments and all.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self {$(Self::$name => include_str!(concat!("../profiles/", $text, ".toml")),)*}
            }

            pub(crate) fn table(self) -> &'static DeTable<'static> {
                match self {$(Self::$name => {
                    static TABLE: LazyLock<Spanned<DeTable<'static>>> = LazyLock::new(|| {
                        // Our own file, and a test reads each: what is left of a broken one is a broken build.
                        DeTable::parse_recoverable(Profile::$name.text()).0
                    });
                    TABLE.get_ref()
                })*}
            }
        }
    };
}

profiles! {
    /// Microsoft Teams Direct Routing.
    TeamsDirectRouting "teams_direct_routing"
    /// Direct Routing of Azure Communication Services: the same proxies, another pairing.
    AcsDirectRouting "acs_direct_routing"
    /// A carrier that trusts our address.
    CarrierStatic "carrier_static"
    /// A carrier that asks for a password with each call.
    CarrierDigest "carrier_digest"
    /// A carrier at which we register.
    CarrierRegistration "carrier_registration"
}

impl Profile {
    /// Whether the peer is Microsoft's proxy.
    #[must_use]
    pub fn is_direct_routing(self) -> bool {
        matches!(self, Self::TeamsDirectRouting | Self::AcsDirectRouting)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        Self::ALL.iter().copied().find(|profile| profile.as_str() == text).ok_or(UnknownProfile)
    }
}

impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// No profile has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no profile has this name")]
pub struct UnknownProfile;
