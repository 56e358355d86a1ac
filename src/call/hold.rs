//! Hold, resume and mute.

use super::{Call, CallEvent, CommandError, Hold, LegAction, LegId, Presence};

impl Call {
    pub(super) fn hold(&mut self, leg: LegId) -> Result<(), CommandError> {
        let party = self.party_mut(leg).ok_or(CommandError::NoSuchLeg)?;
        if party.leaving || party.seat.presence != Presence::Talking {
            return Err(CommandError::NotTalking);
        }
        if party.seat.hold != Hold::None {
            return Err(CommandError::AlreadyHeld);
        }
        party.seat.hold = Hold::Held;
        self.act(leg, LegAction::Hold);
        self.tell(CallEvent::Held { leg, by_peer: false });
        Ok(())
    }

    pub(super) fn resume(&mut self, leg: LegId) -> Result<(), CommandError> {
        let party = self.party_mut(leg).ok_or(CommandError::NoSuchLeg)?;
        if party.leaving || party.seat.hold != Hold::Held {
            return Err(CommandError::NotHeld);
        }
        party.seat.hold = Hold::None;
        self.act(leg, LegAction::Resume);
        self.tell(CallEvent::Resumed { leg, by_peer: false });
        Ok(())
    }

    pub(super) fn mute(&mut self, leg: LegId, muted: bool) -> Result<(), CommandError> {
        let party = self.party_mut(leg).ok_or(CommandError::NoSuchLeg)?;
        if party.leaving || party.seat.presence != Presence::Talking {
            return Err(CommandError::NotTalking);
        }
        party.seat.muted = muted;
        Ok(())
    }

    /// The party's own telephone holds or resumes. A telephone that holds while we hold it stays
    /// held by us: it will be asked again when we resume.
    pub(super) fn peer_hold(&mut self, leg: LegId, hold: Hold) {
        let Some(party) = self.party_mut(leg) else { return };
        if party.seat.hold == Hold::Held || party.seat.hold == hold {
            return;
        }
        party.seat.hold = hold;
        let event = match hold {
            Hold::None => CallEvent::Resumed { leg, by_peer: true },
            Hold::Held | Hold::Holding => CallEvent::Held { leg, by_peer: true },
        };
        self.tell(event);
    }
}
