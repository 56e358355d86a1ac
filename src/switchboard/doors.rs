//! Which leg is at which door, and the way there.

use std::collections::HashSet;

use sbc_config::{Config, Reach};
use tokio::sync::{mpsc, watch};

use crate::call::door::{Order, Origin};
use crate::call::{Address, LegId, Target};

/// The ways to the doors.
pub(super) struct Doors {
    sip: mpsc::Sender<Order>,
    acs: Option<mpsc::Sender<Order>>,
    /// Whether calls are wanted elsewhere.
    draining: watch::Sender<bool>,
    /// Every other leg is at the SIP door.
    at_acs: HashSet<LegId>,
}

/// The door does not take the order: it is gone, or far behind.
pub(super) struct Shut;

impl Doors {
    pub(super) fn new(
        sip: mpsc::Sender<Order>,
        acs: Option<mpsc::Sender<Order>>,
        draining: watch::Sender<bool>,
    ) -> Doors {
        Doors { sip, acs, draining, at_acs: HashSet::new() }
    }

    /// No new calls are taken from now on, which peers are to notice before they send one.
    pub(super) fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// A leg has come in.
    pub(super) fn came(&mut self, leg: LegId, origin: &Origin) {
        if matches!(origin, Origin::Acs(_)) {
            self.at_acs.insert(leg);
        }
    }

    /// A leg goes out to `target`.
    pub(super) fn goes(&mut self, leg: LegId, target: &Target, config: &Config) {
        let at_acs = match &target.address {
            Address::Acs { .. } => true,
            Address::Person(person) => {
                config.person(person).is_some_and(|known| matches!(known.reach, Reach::Acs { .. }))
            }
            _ => false,
        };
        if at_acs {
            self.at_acs.insert(leg);
        }
    }

    /// A leg is over at its door.
    pub(super) fn gone(&mut self, leg: LegId) {
        self.at_acs.remove(&leg);
    }

    /// Whether the leg's sound comes over a wire inside the process.
    pub(super) fn is_wired(&self, leg: LegId) -> bool {
        self.at_acs.contains(&leg)
    }

    /// Whether the leg's door sends digits itself, because they do not travel as media there.
    pub(super) fn takes_digits(&self, leg: LegId) -> bool {
        self.at_acs.contains(&leg)
    }

    /// Hands an order to the leg's door.
    pub(super) fn order(&self, order: Order) -> Result<(), Shut> {
        let door = if self.at_acs.contains(&order.leg) {
            // A leg of a resource that is configured while no door for it is open ends here.
            self.acs.as_ref().ok_or(Shut)?
        } else {
            &self.sip
        };
        door.try_send(order).map_err(|_| Shut)
    }
}
