//! Who hears whom: the one pure table.
//!
//! Everything the product promises about whispering is decided in [`hearing`] and nowhere else.
//! A [`Hearing`] has private fields and one maker, and the bridge takes nothing but a `Hearing`,
//! so no other code can connect a mouth to an ear:
//!
//! ```compile_fail,E0451
//! use sidetone::call::hearing::Hearing;
//! let forged = Hearing { ears: Default::default(), warm: Default::default() };
//! ```
//!
//! ```compile_fail,E0451
//! use sidetone::call::{LegId, hearing::{Ear, Hears}};
//! let forged = Ear { leg: LegId(1), hears: Hears::One(LegId(2)) };
//! ```
//!
//! A finished table cannot be edited either, as a whole or by the row:
//!
//! ```compile_fail,E0616
//! # let seats: Vec<sidetone::call::Seat> = Vec::new();
//! let mut table = sidetone::call::hearing::hearing(&seats);
//! table.ears.clear();
//! ```
//!
//! ```compile_fail,E0616
//! # use sidetone::call::{LegId, hearing::{Hears, hearing}};
//! let mut table = hearing(&[]);
//! let mut row = table.ears()[0].clone();
//! row.hears = Hears::One(LegId(2));
//! ```
//!
//! Nor can the seats of a call be changed behind its back, which would change its next table:
//!
//! ```compile_fail,E0616
//! # use sidetone::call::{Call, Coaching, LegId, Party, Role};
//! fn promote(party: &mut Party, subject: LegId) {
//!     party.seat.role = Role::Supervisor { coaching: Coaching::Barge, subject };
//! }
//! ```
//!
//! What can be had by anybody is a table with nobody in it, in which nobody hears anything, and
//! seats of one's own. This compiles, so the refusals above are about privacy and not about names:
//!
//! ```
//! use sidetone::call::{Coaching, Hold, LegId, Party, Presence, Role, Seat};
//! use sidetone::call::hearing::{Ear, Hearing, Hears, hearing};
//!
//! let [customer, agent] = [(1, Role::Customer), (2, Role::Agent)].map(|(leg, role)| Seat {
//!     leg: LegId(leg), role, presence: Presence::Talking, hold: Hold::None, muted: false,
//! });
//! let table: Hearing = hearing(&[customer, agent]);
//! let row: &Ear = &table.ears()[0];
//! assert_eq!(row.hears(), &Hears::One(LegId(2)));
//! assert_eq!(Hearing::default().hears(LegId(1)), &Hears::Silence);
//! let _may_be_read: fn(&Party) -> Seat = Party::seat;
//! ```
//!
//! The table is closed and denies by default: a party hears another only where a line below says so.

use smallvec::SmallVec;

use super::party::{Coaching, Hold, LegId, MAX_PARTIES, Presence, Role, Seat, SpeakTo};

/// The whole table for one call: one row per ear, complete and final.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hearing {
    ears: Vec<Ear>,
    warm: SmallVec<[LegId; 4]>,
}

/// One row of the table: what a single party hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ear {
    leg: LegId,
    hears: Hears,
}

/// What one ear hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hears {
    /// Nothing at all.
    Silence,
    /// The tone of a telephone ringing elsewhere.
    Ringback,
    /// Music on hold.
    Music,
    /// Exactly one mouth. The bridge relays its packets when codec and ptime agree.
    One(LegId),
    /// Several mouths, to be mixed. The first is the main one, whose packets clock the mix: the
    /// voice that was there before anybody listened in.
    Many(SmallVec<[LegId; MAX_PARTIES]>),
}

impl Hearing {
    /// The rows, in the order of the seats.
    pub fn ears(&self) -> &[Ear] {
        &self.ears
    }

    /// What `leg` hears; silence for a leg that has no row.
    pub fn hears(&self, leg: LegId) -> &Hears {
        self.ears.iter().find(|ear| ear.leg == leg).map_or(&Hears::Silence, |ear| &ear.hears)
    }

    /// Whether `ear` hears `mouth`.
    pub fn connects(&self, ear: LegId, mouth: LegId) -> bool {
        self.hears(ear).mouths().contains(&mouth)
    }

    /// Mouths whose buffers should run although nobody needs them mixed yet, because somebody who
    /// would is ringing: the later switch then has no gap.
    pub fn warm(&self) -> &[LegId] {
        &self.warm
    }
}

impl Ear {
    /// Whose ear.
    pub fn leg(&self) -> LegId {
        self.leg
    }

    /// What it hears.
    pub fn hears(&self) -> &Hears {
        &self.hears
    }
}

impl Hears {
    /// The mouths heard, main one first; empty for silence, ringback and music.
    pub fn mouths(&self) -> &[LegId] {
        match self {
            Hears::One(mouth) => std::slice::from_ref(mouth),
            Hears::Many(mouths) => mouths,
            Hears::Silence | Hears::Ringback | Hears::Music => &[],
        }
    }
}

/// Decides who hears whom among `seats`. Pure: the same seats give the same table.
///
/// Seats past [`MAX_PARTIES`] get silence and are heard by nobody; `Call` refuses to seat them in
/// the first place.
pub fn hearing(seats: &[Seat]) -> Hearing {
    let seated = &seats[..seats.len().min(MAX_PARTIES)];
    let ears = seats
        .iter()
        .enumerate()
        .map(|(row, ear)| {
            let hears = if row < MAX_PARTIES { row_of(ear, seated) } else { Hears::Silence };
            Ear { leg: ear.leg, hears }
        })
        .collect();
    Hearing { ears, warm: warm(seated) }
}

fn row_of(ear: &Seat, seats: &[Seat]) -> Hears {
    let mut mouths: SmallVec<[&Seat; MAX_PARTIES]> =
        seats.iter().filter(|mouth| hears(ear, mouth, seats)).collect();
    // The conversation comes before those who listen in to it: its packets clock the mix.
    mouths.sort_by_key(|mouth| matches!(mouth.role, Role::Supervisor { .. }));
    match mouths.as_slice() {
        [] => comfort(ear, seats),
        [mouth] => Hears::One(mouth.leg),
        _ => Hears::Many(mouths.iter().map(|mouth| mouth.leg).collect()),
    }
}

/// The table itself. Three gates (same party, connection, hold and mute), then the roles, then what is said in
/// private.
fn hears(ear: &Seat, mouth: &Seat, seats: &[Seat]) -> bool {
    ear.leg != mouth.leg
        && connected(ear, mouth)
        && in_conversation(ear, mouth)
        && roles(ear, mouth)
        && !apart(ear, mouth, seats)
}

fn connected(ear: &Seat, mouth: &Seat) -> bool {
    match (ear.presence, mouth.presence) {
        (Presence::Talking, Presence::Talking) => true,
        // Early media is for the one who waits for that answer: announcements of the far network.
        (Presence::Waiting | Presence::Talking, Presence::Early) => awaits(ear, mouth),
        (Presence::Ringing | Presence::Early | Presence::Waiting, _)
        | (Presence::Talking, Presence::Ringing | Presence::Waiting) => false,
    }
}

/// Customer and agent wait for each other's answer, and whoever asks an expert for theirs; nobody waits for a
/// supervisor.
fn awaits(ear: &Seat, other: &Seat) -> bool {
    matches!((ear.role, other.role), (Role::Customer, Role::Agent) | (Role::Agent, Role::Customer))
        || asks(ear, other)
        || asks(other, ear)
}

/// Whether `expert` is one, asked by `who`, who has the call.
fn asks(who: &Seat, expert: &Seat) -> bool {
    let has_the_call =
        matches!(who.role, Role::Agent | Role::Supervisor { coaching: Coaching::TakenOver, .. });
    has_the_call && matches!(expert.role, Role::Expert { by, .. } if by == who.leg)
}

fn in_conversation(ear: &Seat, mouth: &Seat) -> bool {
    ear.hold == Hold::None && mouth.hold == Hold::None && !mouth.muted
}

fn roles(ear: &Seat, mouth: &Seat) -> bool {
    match (ear.role, mouth.role) {
        (Role::Unassigned, _) | (_, Role::Unassigned) => false,
        (_, Role::Supervisor { coaching: Coaching::Monitor, .. }) => false,
        (Role::Agent, Role::Supervisor { coaching: Coaching::Whisper, subject }) => subject == ear.leg,
        // Above all, not the customer.
        (_, Role::Supervisor { coaching: Coaching::Whisper, .. }) => false,
        (_, Role::Supervisor { coaching: Coaching::Barge | Coaching::TakenOver, .. }) => true,
        (_, Role::Customer | Role::Agent | Role::Expert { .. }) => true,
    }
}

/// Whether a consult keeps these two apart. It does so by itself: a customer who is not on hold, because a hold
/// failed or their own telephone ended it, hears no more of a private talk than one who is.
///
/// Supervisors are of the talk they supervise, so nothing keeps them apart from anybody.
fn apart(a: &Seat, b: &Seat, seats: &[Seat]) -> bool {
    let listens_in = |seat: &Seat| matches!(seat.role, Role::Supervisor { coaching, .. } if coaching != Coaching::TakenOver);
    if listens_in(a) || listens_in(b) {
        return false;
    }
    let shut_out = |expert: &Seat, other: &Seat| match expert.role {
        Role::Expert { by, speak_to } if by == other.leg => speak_to == SpeakTo::Customer,
        Role::Expert { speak_to, .. } => speak_to != SpeakTo::Conference,
        _ => false,
    };
    let in_private = |who: &Seat, other: &Seat| {
        other.role == Role::Customer
            && seats.iter().any(
                |seat| matches!(seat.role, Role::Expert { by, speak_to: SpeakTo::Expert } if by == who.leg),
            )
    };
    shut_out(a, b) || shut_out(b, a) || in_private(a, b) || in_private(b, a)
}

/// What an ear gets that hears no mouth.
fn comfort(ear: &Seat, seats: &[Seat]) -> Hears {
    let others = || seats.iter().filter(|other| other.leg != ear.leg);
    let rings = || others().any(|other| awaits(ear, other) && other.presence == Presence::Ringing);
    match (ear.role, ear.presence, ear.hold) {
        // One who has the call may ask an expert, and hears that the expert's telephone rings.
        (Role::Supervisor { .. }, Presence::Talking, Hold::None) if rings() => Hears::Ringback,
        // A supervisor listens to people; a telephone on hold listens to nothing.
        (Role::Unassigned | Role::Supervisor { .. }, ..) | (_, _, Hold::Holding) => Hears::Silence,
        (_, Presence::Waiting, _) if rings() => Hears::Ringback,
        (_, Presence::Waiting | Presence::Ringing | Presence::Early, _) => Hears::Silence,
        (_, Presence::Talking, Hold::Held) => Hears::Music,
        (_, Presence::Talking, Hold::None) => {
            // By somebody it would hear: what a silent listener's telephone does must not be noticed.
            let put_on_hold = others().any(|other| {
                other.presence == Presence::Talking
                    && other.hold == Hold::Holding
                    && roles(ear, other)
                    && !apart(ear, other, seats)
            });
            // Whoever holds while the target of a transfer rings has left for good: it is the target that is waited for.
            if rings() {
                Hears::Ringback
            } else if put_on_hold {
                Hears::Music
            } else {
                Hears::Silence
            }
        }
    }
}

/// While somebody who will listen in is ringing, every talking mouth is kept warm.
fn warm(seats: &[Seat]) -> SmallVec<[LegId; 4]> {
    let awaited = seats.iter().any(|seat| {
        matches!(seat.role, Role::Supervisor { .. } | Role::Expert { .. } | Role::Unassigned)
            && seat.presence != Presence::Talking
    });
    if !awaited {
        return SmallVec::new();
    }
    seats.iter().filter(|seat| seat.presence == Presence::Talking).map(|seat| seat.leg).collect()
}
