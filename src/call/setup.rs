//! How a call begins, and what is settled about it then.

use sbc_config::{PersonId, TrunkId};

use super::{Attempt, Cause, LegId};

/// How a call begins.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The leg it begins with: the caller's of an inbound call.
    pub first: LegId,
    /// Who called: a customer, or an agent who dials one.
    pub first_is: CallerIs,
    /// The person of the first leg, if it is one of ours.
    pub first_person: Option<PersonId>,
    /// The trunk of the first leg.
    pub first_trunk: Option<TrunkId>,
    /// Whom to ring.
    pub attempts: Vec<Attempt>,
    /// The cause told to the caller when nobody came, if the route fixes one.
    pub when_exhausted: Option<Cause>,
    /// What happens to the agent when a supervisor takes over.
    pub takeover: Takeover,
    /// The most parties the call may have; never more than [`MAX_PARTIES`](super::MAX_PARTIES).
    pub parties_max: usize,
    /// Seed of this call's leg ids: two calls with different seeds draw different ids.
    pub seed: u64,
}

/// Who begins an inbound call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CallerIs {
    /// A customer, who is looking for an agent.
    #[default]
    Customer,
    /// An agent, who dials a customer.
    Agent,
}

/// What happens to the agent when a supervisor takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Takeover {
    /// The agent's leg is hung up.
    #[default]
    ReleasesAgent,
    /// The agent stays in the conversation.
    KeepsAgent,
}
