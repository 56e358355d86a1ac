//! The one leg abstraction: what the core asks of a door, and what a door tells the core.

use std::fmt;

use sbc_config::{AcsId, PersonId, TrunkId};
use serde::Serialize;

use super::{Callee, Carrier, Cause, LegId, TeamsAddress};

/// What the core asks a door to do with a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegAction {
    /// Call somebody. The leg exists from now on and ends with [`LegEvent::Ended`], whatever happens.
    Dial(Target),
    /// Tell the caller that somebody is being rung.
    Alert,
    /// Open media towards the caller before the answer, because there is something to hear.
    OpenEarly,
    /// Answer the caller.
    Answer,
    /// Tell the telephone it is on hold; it will get music.
    Hold,
    /// Tell it that it is not any more.
    Resume,
    /// Send digits as telephone-events.
    SendDigits(String),
    /// Tell the one who asked to be replaced ([`LegEvent::Referred`]) what becomes of it.
    Refer(Referral),
    /// End it: reject, cancel or hang up, whichever its state calls for.
    HangUp(Cause),
}

/// What a door tells of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegEvent {
    /// The far end alerts.
    Ringing,
    /// The far end sends media before its answer.
    EarlyMedia,
    /// Answered, media agreed: either the far end answered our call, or our answer was sent.
    Answered,
    /// Its telephone put us on hold.
    Held,
    /// Its telephone took us off hold.
    Resumed,
    /// A digit was pressed: `0`-`9`, `*`, `#`, `A`-`D`. Each press is told once.
    Digit(char),
    /// Its telephone asks that this target take its place. The door has said that it will be tried; what becomes of it
    /// is told by [`LegAction::Refer`].
    Referred(Box<Callee>),
    /// Whoever answered was listened to, or its network said who took the call.
    Screened(Screening),
    /// No media has come for the configured time.
    MediaLost,
    /// It is over. Nothing follows.
    Ended(LegEnd),
}

/// What is thought of whoever answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screening {
    /// Nothing speaks for a machine.
    Nothing,
    /// Voicemail, perhaps.
    Voicemail(VoicemailSign),
}

/// What speaks for voicemail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VoicemailSign {
    /// It spoke on and on.
    LongSpeech,
    /// A tone came after speech.
    Beep,
    /// Its network says so.
    Signalled,
}

/// What becomes of a party's wish to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referral {
    /// The target rings.
    Ringing,
    /// The target has answered and has the place: the one who asked may go.
    Connected,
    /// The target did not come, for this cause. Nothing has changed.
    Failed(Cause),
}

/// How a leg ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LegEnd {
    /// Why, in our words.
    pub cause: Cause,
    /// Why, in the door's own words, for the record: `486 Busy Here`.
    pub detail: String,
}

impl LegEnd {
    /// An ending with our words alone.
    pub fn of(cause: Cause) -> LegEnd {
        LegEnd { cause, detail: String::new() }
    }
}

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where the call goes.
    pub address: Address,
    /// What to call them in records: the number or the person.
    pub name: String,
}

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// One of our people, at their fixed contact or wherever they are registered.
    Person(PersonId),
    /// A number beyond a trunk.
    Trunk {
        /// The trunk.
        trunk: TrunkId,
        /// The number, as it will be dialled.
        number: String,
    },
    /// A telephone beyond a resource of Azure Communication Services.
    Acs {
        /// The resource.
        resource: AcsId,
        /// The number, as it will be dialled.
        number: String,
    },
    /// A Teams user, where the prerequisites cleared them. Nobody else can make one.
    Teams(Box<TeamsAddress>),
    /// Where a party asked to be replaced from, in words that only its own door can read.
    Referred {
        /// The trunk of the one who asked, over which the target is called.
        trunk: TrunkId,
        /// Who asked.
        by: LegId,
        /// The target.
        to: Opaque,
    },
}

/// Octets that a door has handed over to get them back: carried, never read.
#[derive(Clone, PartialEq, Eq)]
pub struct Opaque(pub bytes::Bytes);

impl fmt::Debug for Opaque {
    /// They may name people, so only how many there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opaque({} octets)", self.0.len())
    }
}

impl Target {
    /// The person called, if it is one of ours.
    pub fn person(&self) -> Option<&PersonId> {
        match &self.address {
            Address::Person(person) => Some(person),
            Address::Trunk { .. } | Address::Acs { .. } | Address::Teams(_) | Address::Referred { .. } => {
                None
            }
        }
    }

    /// The number dialled, where it is one.
    pub fn number(&self) -> Option<&str> {
        match &self.address {
            Address::Trunk { number, .. } | Address::Acs { number, .. } => Some(number),
            Address::Teams(teams) => teams.number(),
            Address::Person(_) | Address::Referred { .. } => None,
        }
    }

    /// The trunk used, if any.
    pub fn trunk(&self) -> Option<&TrunkId> {
        match &self.address {
            Address::Person(_) | Address::Acs { .. } => None,
            Address::Trunk { trunk, .. } | Address::Referred { trunk, .. } => Some(trunk),
            Address::Teams(teams) => match teams.carrier() {
                Carrier::Trunk(trunk) => Some(trunk),
                Carrier::Acs(_) => None,
            },
        }
    }
}
