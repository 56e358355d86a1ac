//! Who may do what: the table of acts, checked when the act happens.

use std::fmt;

use sbc_config::{PersonId, TeamId, TenantId};
use serde::Serialize;

/// Who is asking, as their token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The token's name, for the audit record.
    pub token: String,
    /// What the token lets its bearer be.
    pub actor: Actor,
}

/// The five kinds of caller of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// An agent: own calls only.
    Agent {
        /// The tenant.
        tenant: TenantId,
        /// The person.
        person: PersonId,
    },
    /// A supervisor: the calls of the agents in these teams.
    Supervisor {
        /// The tenant.
        tenant: TenantId,
        /// The person.
        person: PersonId,
        /// The teams whose agents this supervisor answers for.
        teams: Vec<TeamId>,
    },
    /// Reads everything of the tenant, steers nothing.
    TenantAdmin {
        /// The tenant.
        tenant: TenantId,
    },
    /// Contact-centre software: acts for the tenant, supervises on behalf of a named supervisor.
    Integration {
        /// The tenant.
        tenant: TenantId,
    },
    /// Runs the platform and sees no calls.
    Operator,
}

impl Actor {
    /// The tenant this actor belongs to; none for the operator.
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Actor::Agent { tenant, .. }
            | Actor::Supervisor { tenant, .. }
            | Actor::TenantAdmin { tenant }
            | Actor::Integration { tenant } => Some(tenant),
            Actor::Operator => None,
        }
    }
}

/// What somebody wants to do with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// List calls, read one, read its audio table, follow its events.
    Read,
    /// Monitor, whisper, barge, take over, and change between them.
    Supervise,
    /// Hold, resume, mute, unmute, send digits, consult, transfer.
    Steer,
    /// Hang up a leg or the call.
    HangUp,
    /// Place a call.
    Originate,
    /// Drain, read configuration and metrics.
    Operate,
}

/// The call as rights see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// People with a leg in the call.
    pub people: Vec<PersonId>,
    /// Teams of the call's agents.
    pub teams: Vec<TeamId>,
    /// Supervisors who are a party of the call: they barge or have taken over.
    pub joined_supervisors: Vec<PersonId>,
}

/// Why an act was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Denial {
    /// It belongs to another tenant, so for this caller it does not exist: 404.
    Foreign,
    /// In the tenant, but not in the caller's scope: 403.
    OutsideScope,
    /// The caller's role never allows this act: 403.
    RoleForbids,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Denial::Foreign => "there is no such call",
            Denial::OutsideScope => "the call is outside the scope of this token",
            Denial::RoleForbids => "the role of this token does not allow this act",
        })
    }
}

/// Decides whether `actor` may do `act` to a call of `tenant` with this `scope`. Deny by default.
pub fn may(actor: &Actor, act: Act, tenant: &TenantId, scope: &Scope) -> Result<(), Denial> {
    if let Some(own) = actor.tenant()
        && own != tenant
    {
        return Err(Denial::Foreign);
    }
    match (actor, act) {
        (Actor::Operator, Act::Operate) => Ok(()),
        // The platform's operator has no tenant and sees nobody's calls.
        (Actor::Operator, _) => Err(Denial::RoleForbids),
        (_, Act::Operate) => Err(Denial::RoleForbids),

        (Actor::Agent { person, .. }, Act::Read | Act::Steer | Act::HangUp | Act::Originate) => {
            within(scope.people.contains(person))
        }
        (Actor::Agent { .. }, Act::Supervise) => Err(Denial::RoleForbids),

        (Actor::Supervisor { teams, .. }, Act::Read | Act::Supervise | Act::HangUp) => {
            within(scope.teams.iter().any(|team| teams.contains(team)))
        }
        (Actor::Supervisor { person, teams, .. }, Act::Steer) => within(
            scope.joined_supervisors.contains(person) && scope.teams.iter().any(|team| teams.contains(team)),
        ),
        (Actor::Supervisor { .. }, Act::Originate) => Err(Denial::RoleForbids),

        (Actor::TenantAdmin { .. }, Act::Read) => Ok(()),
        (Actor::TenantAdmin { .. }, _) => Err(Denial::RoleForbids),

        (Actor::Integration { .. }, _) => Ok(()),
    }
}

fn within(scope: bool) -> Result<(), Denial> {
    if scope { Ok(()) } else { Err(Denial::OutsideScope) }
}
