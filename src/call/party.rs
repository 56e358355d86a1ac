//! Who takes part in a call: identifiers, roles, and how present each party is.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// The most parties one call can hold, ringing ones included. A consult with two supervisors
/// listening is five; eight leaves room, and bounds the work of one mixed frame.
pub const MAX_PARTIES: usize = 8;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty), $prefix:literal, $digits:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:0", $digits, "x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = UnknownId;
            fn from_str(text: &str) -> Result<Self, UnknownId> {
                let digits = text.strip_prefix($prefix).ok_or(UnknownId)?;
                // Exactly as printed: no sign, no capitals, no short forms, so that an id has one spelling.
                let plain = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                if digits.len() != $digits.parse::<usize>().unwrap_or(0) || !plain {
                    return Err(UnknownId);
                }
                <$int>::from_str_radix(digits, 16).map($name).map_err(|_| UnknownId)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
    };
}

id!(
    /// One conversation, for its whole life. Written `call_` and 32 hexadecimal digits; the first
    /// twelve are milliseconds since 1970, so ids sort by time of birth.
    CallId(u128), "call_", "32"
);
id!(
    /// One connection of a call. Written `leg_` and 16 hexadecimal digits.
    LegId(u64), "leg_", "16"
);
id!(
    /// One supervisor's presence on one agent's calls. Written `sup_` and 16 hexadecimal digits.
    SupervisionId(u64), "sup_", "16"
);
id!(
    /// One consult of an expert. Written `con_` and 16 hexadecimal digits.
    ConsultId(u64), "con_", "16"
);

/// The text is not an id of this kind as we print them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct UnknownId;

/// What a party is in this call. The hearing table is written over these and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A leg nobody has given a part yet, for instance a dial-in that is still to be authorised, or
    /// one that has given its part to another and has still to hang up.
    /// Hears nobody and is heard by nobody.
    Unassigned,
    /// The one who called, or was called, from outside.
    Customer,
    /// The one who serves the customer.
    Agent,
    /// Someone an agent asked for help.
    Expert {
        /// The leg of the one who asked.
        by: LegId,
        /// Whom the one who asked speaks to now.
        speak_to: SpeakTo,
    },
    /// Someone with the right to listen in, coach, or step in.
    Supervisor {
        /// What the supervisor does now.
        coaching: Coaching,
        /// The agent's leg this is about: a whisper goes to this ear and no other.
        subject: LegId,
    },
}

/// Whom the one who asked for help speaks to: swapping and merging are this one choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SpeakTo {
    /// The expert alone, in private; the customer has music.
    Expert,
    /// The customer alone; the expert has music.
    Customer,
    /// Both at once, who do not hear each other.
    Both,
    /// Everybody hears everybody.
    Conference,
}

/// The four supervision roles, by the field's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Coaching {
    /// Hears all, is heard by nobody.
    Monitor,
    /// Hears all, is heard by the subject alone.
    Whisper,
    /// Hears all, is heard by all.
    Barge,
    /// Has the call: hears all, is heard by all, and may hold, consult and transfer.
    TakenOver,
}

/// How far a party's connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// We called; the far end alerts. Nothing may be heard either way.
    Ringing,
    /// We called; the far end plays something before it answers (183 with media).
    Early,
    /// It called us; we have not answered. It may hear ringback or early media.
    Waiting,
    /// Answered on both sides.
    Talking,
}

/// Whether the party is out of the conversation for the moment, and by whose hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Hold {
    /// In the conversation.
    #[default]
    None,
    /// The gateway was asked to hold this party: it hears music (a supervisor silence) and is heard
    /// by nobody.
    Held,
    /// The party's own telephone put the gateway on hold: it listens to nothing, and a party that
    /// would hear it, and is left with nobody to hear, gets music.
    Holding,
}

/// One party as the hearing table sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seat {
    /// Whose seat.
    pub leg: LegId,
    /// Its part in the call.
    pub role: Role,
    /// How far its connection has come.
    pub presence: Presence,
    /// Whether it is on hold.
    pub hold: Hold,
    /// Silenced by request, without signalling: still hears.
    pub muted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_exactly_one_spelling() {
        let leg = LegId(0x2a);
        assert_eq!(leg.to_string(), "leg_000000000000002a");
        assert_eq!("leg_000000000000002a".parse(), Ok(leg));
        for wrong in
            ["leg_2a", "leg_000000000000002A", "leg_+00000000000002a", "call_000000000000002a", "", "leg_"]
        {
            assert_eq!(wrong.parse::<LegId>(), Err(UnknownId), "{wrong}");
        }
        let call = CallId(u128::MAX);
        assert_eq!(call.to_string().parse(), Ok(call));
    }
}
