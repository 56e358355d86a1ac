//! Two calls of one telephone become one: its two far ends talk on without it (RFC 5589 section 7, attended transfer).
//!
//! ```text
//!    call 1   customer ── Alice's telephone ── Bob   call 2
//!                │       REFER, Replaces        │
//!    call 1   customer ─────────────────────── Bob   call 2 ends
//! ```
//!
//! Nobody is rung: Bob's leg goes over into the first call as it is, and has Alice's place there. Whatever could refuse
//! is asked in both calls before anything changes in either, so there is nothing to roll back.

use std::time::Instant;

use super::transfer::AskedBy;
use super::{Call, Cause, CommandError, Hold, LegId, Party, Presence, Role};

/// A party between two calls: connected, and heard by nobody until [`Call::take_in`].
#[derive(Debug)]
#[must_use = "whoever has left one call has to be in another, or be hung up"]
pub struct Passage(Party);

impl Passage {
    /// Whose.
    pub fn leg(&self) -> LegId {
        self.0.seat.leg
    }
}

impl Call {
    /// Whether another could have the place of this party now.
    ///
    /// # Errors
    /// Why not.
    pub fn may_take_in(&self, transferor: LegId) -> Result<(), CommandError> {
        self.place_of(transferor)?;
        if self.is_full() { Err(CommandError::Full) } else { Ok(()) }
    }

    /// The only one whom this party talks with.
    fn far_end_of(&self, leg: LegId) -> Result<LegId, CommandError> {
        // Its place is free to give, which is to say: it talks, and no consult or transfer goes on.
        self.place_of(leg)?;
        let talkers = self.parties.iter().filter(|party| !matches!(party.seat.role, Role::Supervisor { .. }));
        let mut others = talkers.filter(|party| party.seat.leg != leg);
        match (others.next(), others.next()) {
            (Some(other), None) if !other.leaving && other.seat.presence == Presence::Talking => {
                Ok(other.seat.leg)
            }
            // Nobody, or more than one: who of them was meant cannot be told.
            _ => Err(CommandError::NotTalking),
        }
    }

    /// Whoever talks with this party leaves for another call, and this call ends.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub fn let_go(&mut self, now: Instant, transferor: LegId) -> Result<Passage, CommandError> {
        let leg = self.far_end_of(transferor)?;
        if self.party(leg).is_some_and(|party| party.seat.hold == Hold::Held) {
            // It is held, so resuming cannot be refused.
            let _resumed = self.resume(leg);
        }
        let at =
            self.parties.iter().position(|party| party.seat.leg == leg).ok_or(CommandError::NoSuchLeg)?;
        let party = self.parties.remove(at);
        self.end(now, Cause::Released, None);
        self.settle();
        Ok(Passage(party))
    }

    /// One from another call has the place of a party of this one, who asked for it on their telephone.
    ///
    /// # Errors
    /// Why not. [`Call::may_take_in`] says so before.
    pub fn take_in(
        &mut self,
        now: Instant,
        transferor: LegId,
        from: Passage,
        name: String,
    ) -> Result<(), CommandError> {
        self.may_take_in(transferor)?;
        let role = self.place_of(transferor)?;
        let Passage(mut party) = from;
        let target = party.seat.leg;
        party.seat.role = role;
        self.parties.push(party);
        self.begin(now, transferor, target, name, AskedBy::Transferor);
        self.complete_transfer(now);
        self.settle();
        Ok(())
    }
}
