//! Which leg is at which door, and the way there.

use std::collections::HashMap;

use sbc_config::{Config, PersonId, Reach};
use tokio::sync::{mpsc, watch};

use crate::call::door::{DoorName, Incoming, Order, Origin};
use crate::call::{Address, Carrier, LegId, Target};

/// The ways to the doors that are open.
pub type DoorOrders = HashMap<DoorName, mpsc::Sender<Order>>;

/// The ways to the doors.
pub(super) struct Doors {
    orders: DoorOrders,
    /// Whether calls are wanted elsewhere.
    draining: watch::Sender<bool>,
    /// Every other leg is at the SIP door.
    elsewhere: HashMap<LegId, Place>,
}

struct Place {
    door: DoorName,
    /// Whose it is, for a door that reaches a person and nobody else.
    person: Option<PersonId>,
}

/// The door does not take the order: it is gone, or far behind.
pub(super) struct Shut;

impl Doors {
    pub(super) fn new(orders: DoorOrders, draining: watch::Sender<bool>) -> Doors {
        Doors { orders, draining, elsewhere: HashMap::new() }
    }

    /// No new calls are taken from now on, which peers are to notice before they send one.
    pub(super) fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// A leg has come in.
    pub(super) fn came(&mut self, incoming: &Incoming) {
        let person = match &incoming.origin {
            Origin::Person(person) => Some(person.clone()),
            Origin::Trunk(_) | Origin::Acs(_) => None,
        };
        self.put(incoming.leg, incoming.door, person);
    }

    /// A leg goes out to `target`.
    pub(super) fn goes(&mut self, leg: LegId, target: &Target, config: &Config) {
        let reach = target.person().and_then(|person| config.person(person)).map(|known| &known.reach);
        let at_acs =
            matches!(&target.address, Address::Teams(teams) if matches!(teams.carrier(), Carrier::Acs(_)));
        let door = match (&target.address, reach) {
            _ if at_acs => DoorName::Acs,
            (Address::Acs { .. }, _) | (_, Some(Reach::Acs { .. })) => DoorName::Acs,
            (_, Some(Reach::Browser)) => DoorName::Rtc,
            (_, Some(Reach::Contact(_) | Reach::Register(_) | Reach::Teams { .. }) | None) => DoorName::Sip,
        };
        self.put(leg, door, target.person().cloned());
    }

    fn put(&mut self, leg: LegId, door: DoorName, person: Option<PersonId>) {
        if door != DoorName::Sip {
            self.elsewhere.insert(leg, Place { door, person });
        }
    }

    /// A leg is over at its door.
    pub(super) fn gone(&mut self, leg: LegId) {
        self.elsewhere.remove(&leg);
    }

    fn door_of(&self, leg: LegId) -> DoorName {
        self.elsewhere.get(&leg).map_or(DoorName::Sip, |place| place.door)
    }

    /// Whose browser the leg is in, if it is in one.
    pub(super) fn browser_of(&self, leg: LegId) -> Option<&PersonId> {
        self.elsewhere.get(&leg).filter(|place| place.door == DoorName::Rtc)?.person.as_ref()
    }

    /// Whether the leg's sound comes over a wire inside the process.
    pub(super) fn is_wired(&self, leg: LegId) -> bool {
        match self.door_of(leg) {
            DoorName::Sip => false,
            DoorName::Acs | DoorName::Rtc => true,
        }
    }

    /// Whether the leg's door sends digits itself, because they do not travel as media there.
    pub(super) fn takes_digits(&self, leg: LegId) -> bool {
        match self.door_of(leg) {
            DoorName::Acs => true,
            DoorName::Sip | DoorName::Rtc => false,
        }
    }

    /// Hands an order to the leg's door. A leg of a person or resource that is configured while no door for it is open
    /// ends here.
    pub(super) fn order(&self, order: Order) -> Result<(), Shut> {
        let door = self.orders.get(&self.door_of(order.leg)).ok_or(Shut)?;
        door.try_send(order).map_err(|_| Shut)
    }
}
