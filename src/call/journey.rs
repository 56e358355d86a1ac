//! What a call brings of its way to us, and takes along when it goes on.
//!
//! A gateway makes every outgoing call anew, and with that a call would forget where it has been. A door that knows of it
//! writes it down here, and the door that places the next call reads it. How much of it a far end may be told is that door's
//! to decide.

use serde::Serialize;

/// See the module. A call that begins here has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journey {
    /// How many more gateways and proxies it may pass; `None` if nobody has counted. Without it a call that comes round would
    /// do so for ever (RFC 7332).
    pub hops: Option<u8>,
    /// From whom it was diverted, the first of them first.
    pub diversions: Vec<Diversion>,
}

impl Journey {
    /// What goes with a call that somebody has asked for while the first one talks: an expert, a target, a supervisor. Why that
    /// one came is not why they are called.
    #[must_use]
    pub fn hops_alone(&self) -> Journey {
        Journey { hops: self.hops, ..Journey::default() }
    }
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
