//! What a call brings of its way to us, and takes along when it goes on.
//!
//! A gateway makes every outgoing call anew, and with that a call would forget where it has been. A door that knows of it
//! writes it down here, and the door that places the next call reads it. How much of it a far end may be told is that door's
//! to decide.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::Opaque;

/// How long after its making a PASSporT is of use (RFC 8224 section 4.4 recommends a minute).
const FRESH: Duration = Duration::from_secs(60);

/// See the module. A call that begins here has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journey {
    /// How many more gateways and proxies it may pass; `None` if nobody has counted. Without it a call that comes round would
    /// do so for ever (RFC 7332).
    pub hops: Option<u8>,
    /// From whom it was diverted, the first of them first.
    pub diversions: Vec<Diversion>,
    /// What the network of origin attests of its caller.
    pub passport: Option<Passport>,
    /// What the carrier in front of us says of its own check of that.
    pub verstat: Option<Verstat>,
    /// Where its caller is. It goes on with a call to an emergency service, and with no other.
    pub location: Option<Arc<Location>>,
}

impl Journey {
    /// What goes with a call that somebody has asked for while the first one talks: an expert, a target, a supervisor. Why that
    /// one came is not why they are called.
    #[must_use]
    pub fn hops_alone(&self) -> Journey {
        Journey { hops: self.hops, ..Journey::default() }
    }

    /// What may go with a call that is placed now: a PASSporT that is too old proves nothing but that somebody kept it.
    #[must_use]
    pub fn at(&self, now: SystemTime) -> Journey {
        let passport = self.passport.clone().filter(|passport| passport.is_fresh(now));
        Journey { passport, ..self.clone() }
    }
}

/// Where a caller is, as their telephone or its network says (RFC 6442). It is handed on and read by nobody here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Location {
    /// Header lines that name it: name, value.
    pub lines: Vec<(&'static str, Opaque)>,
    /// Parts of a body that say it, each with its own header lines.
    pub parts: Vec<Opaque>,
}

/// Somebody to whom the call was going, and who is why it came here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diversion {
    /// The number, or what else the network knows them by.
    pub number: String,
    /// Why.
    pub reason: Diverted,
    /// Whether the number is not to be shown.
    pub private: bool,
    /// For how many diversions it stands, where some between are not told one by one.
    pub count: u8,
}

impl Diversion {
    /// The number, if it may be shown.
    #[must_use]
    pub fn shown(&self) -> Option<&str> {
        (!self.private).then_some(&*self.number)
    }
}

/// Why a call was diverted (RFC 5806 section 4, whose words these are).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Diverted {
    /// Every call is.
    Unconditional,
    /// They were busy.
    UserBusy,
    /// They did not answer.
    NoAnswer,
    /// They could not be reached.
    Unavailable,
    /// They sent this one on.
    Deflection,
    /// They do not want to be disturbed.
    DoNotDisturb,
    /// They are followed to where they are.
    FollowMe,
    /// They are away.
    Away,
    /// It is that time of the day.
    TimeOfDay,
    /// Their telephone is out of service.
    OutOfService,
    /// Nobody says.
    Unknown,
}

/// What the network in which a call began says of its caller (RFC 8225), as it came. Nobody here has checked its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passport {
    /// How much it vouches for.
    pub level: Attestation,
    /// The calling number that it is about, without plus.
    pub orig: Option<String>,
    /// The called numbers, without plus.
    pub dest: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub issued_at: Option<u64>,
    /// The header, to go on as it came.
    pub identity: Opaque,
}

impl Passport {
    /// When it was made.
    #[must_use]
    pub fn made(&self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(Duration::from_secs(self.issued_at?))
    }

    /// Whether it may still be of use to whoever checks it. Clocks differ, so one made in a moment is as good.
    fn is_fresh(&self, now: SystemTime) -> bool {
        let apart = |made: SystemTime| now.duration_since(made).unwrap_or_else(|ahead| ahead.duration());
        self.made().is_some_and(|made| apart(made) <= FRESH)
    }
}

/// What the network in which a call began says of the caller's right to the number (STIR/SHAKEN, RFC 8588 section 4).
/// Nobody here has checked its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Attestation {
    /// It knows the customer and the customer's right to the number.
    #[serde(rename = "A")]
    Full,
    /// It knows the customer and not whether the number is theirs.
    #[serde(rename = "B")]
    Partial,
    /// It only let the call in.
    #[serde(rename = "C")]
    Gateway,
}

/// What a carrier says of its own check of a PASSporT (3GPP TS 24.229, `verstat`). It is the carrier's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verstat {
    /// The number is the caller's.
    Passed,
    /// It is not, or the signature is bad.
    Failed,
    /// Nobody has checked.
    NotChecked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passport_goes_on_for_a_minute_and_no_longer() {
        let made = 1_795_000_000;
        let with = |issued_at| Journey {
            hops: Some(7),
            passport: Some(Passport {
                level: Attestation::Full,
                orig: None,
                dest: Vec::new(),
                issued_at,
                identity: Opaque(bytes::Bytes::new()),
            }),
            ..Journey::default()
        };
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        for (now, goes) in
            [(made, true), (made + 60, true), (made + 61, false), (made - 60, true), (made - 61, false)]
        {
            let journey = with(Some(made)).at(at(now));
            assert_eq!((journey.passport.is_some(), journey.hops), (goes, Some(7)), "{now}");
        }
        assert_eq!(with(None).at(at(made)).passport, None, "nobody says how old it is");
        assert_eq!(with(Some(u64::MAX)).at(at(made)).passport, None);
    }
}
