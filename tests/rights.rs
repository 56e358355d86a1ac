//! Who may do what to a call: the table of design section 5, cell by cell.

use sbc_config::{PersonId, TeamId, TenantId};
use sidetone::call::rights::{Act, Actor, Denial, Scope, may};

use Act::{HangUp, Operate, Originate, Read, Steer, Supervise};

/// What a cell of the table asks of the call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cell {
    /// `–`: whatever the call.
    Never,
    /// Any call of the tenant.
    Tenant,
    /// Only calls the agent is a person of.
    Own,
    /// Only calls of the supervisor's teams.
    OwnScope,
    /// The same, and only as a party: barging, or having taken over.
    OncePartyInScope,
    /// Not a matter of any tenant.
    Platform,
}

const ACTS: [Act; 6] = [Read, Supervise, Steer, HangUp, Originate, Operate];

#[rustfmt::skip]
const TABLE: [(&str, [Cell; 6]); 5] = {
    use Cell::*;
    //                 read      supervise  steer             hang up   originate  operate
    [
        ("agent",       [Own,      Never,     Own,              Own,      Own,       Never]),
        ("supervisor",  [OwnScope, OwnScope,  OncePartyInScope, OwnScope, Never,     Never]),
        ("admin",       [Tenant,   Never,     Never,            Never,    Never,     Never]),
        ("integration", [Tenant,   Tenant,    Tenant,           Tenant,   Tenant,    Never]),
        ("operator",    [Never,    Never,     Never,            Never,    Never,     Platform]),
    ]
};

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn person(name: &str) -> PersonId {
    PersonId::new(name).unwrap()
}

fn team(name: &str) -> TeamId {
    TeamId::new(name).unwrap()
}

fn actor(row: &str) -> Actor {
    let tenant = tenant("acme");
    match row {
        "agent" => Actor::Agent { tenant, person: person("me") },
        "supervisor" => {
            Actor::Supervisor { tenant, person: person("me"), teams: vec![team("sales"), team("support")] }
        }
        "admin" => Actor::TenantAdmin { tenant },
        "integration" => Actor::Integration { tenant },
        "operator" => Actor::Operator,
        other => panic!("no such row: {other}"),
    }
}

/// Every scope a call can have for the actor: on it or not, of its team or not, joined or not.
fn scopes() -> impl Iterator<Item = (bool, bool, bool, Scope)> {
    (0..8).map(|bits| {
        let (on_it, of_team, joined) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
        let me_or_other = |me| person(if me { "me" } else { "somebody-else" });
        let scope = Scope {
            people: vec![person("alice"), me_or_other(on_it)],
            teams: vec![team("billing"), team(if of_team { "support" } else { "complaints" })],
            joined_supervisors: vec![person("carol"), me_or_other(joined)],
        };
        (on_it, of_team, joined, scope)
    })
}

#[test]
fn every_actor_may_do_exactly_what_the_table_says() {
    let mut allowed = 0;
    for (row, cells) in TABLE {
        let actor = actor(row);
        for (act, cell) in ACTS.into_iter().zip(cells) {
            for (on_it, of_team, joined, scope) in scopes() {
                let within = |is: bool| if is { Ok(()) } else { Err(Denial::OutsideScope) };
                let own_tenant = match cell {
                    Cell::Never => Err(Denial::RoleForbids),
                    Cell::Tenant | Cell::Platform => Ok(()),
                    Cell::Own => within(on_it),
                    Cell::OwnScope => within(of_team),
                    Cell::OncePartyInScope => within(of_team && joined),
                };
                // Another tenant's call does not exist, before anything else is asked. The operator
                // belongs to no tenant, so none is foreign, and none is seen.
                let foreign = if row == "operator" { own_tenant } else { Err(Denial::Foreign) };

                let case = format!("{row} {act:?} of {scope:?}");
                assert_eq!(may(&actor, act, &tenant("acme"), &scope), own_tenant, "{case}");
                assert_eq!(may(&actor, act, &tenant("other"), &scope), foreign, "foreign: {case}");
                allowed += usize::from(own_tenant.is_ok());
            }
        }
    }
    // Own: 4 acts, half of 8 scopes. Own scope: 3 acts, half; once a party: a quarter. Tenant: 6 acts, all.
    assert_eq!(allowed, 4 * 4 + 3 * 4 + 2 + 6 * 8 + 8);
}

#[test]
fn nobody_but_integration_and_admin_reaches_a_call_without_people_or_teams() {
    let nobodys = Scope::default();
    for (row, _) in TABLE {
        for act in [Read, Supervise, Steer, HangUp, Originate] {
            let may = may(&actor(row), act, &tenant("acme"), &nobodys).is_ok();
            assert_eq!(may, row == "integration" || (row == "admin" && act == Read), "{row} {act:?}");
        }
    }
}

#[test]
fn a_supervisor_without_teams_supervises_nobody() {
    let actor = Actor::Supervisor { tenant: tenant("acme"), person: person("me"), teams: Vec::new() };
    for act in [Read, Supervise, Steer, HangUp] {
        for (.., scope) in scopes() {
            assert_eq!(
                may(&actor, act, &tenant("acme"), &scope),
                Err(Denial::OutsideScope),
                "{act:?} {scope:?}"
            );
        }
    }
}

#[test]
fn names_are_compared_whole_and_as_they_are_written() {
    let scope = Scope { people: vec![person("me-too")], teams: vec![team("support2")], ..Scope::default() };
    for row in ["agent", "supervisor"] {
        assert_eq!(may(&actor(row), Read, &tenant("acme"), &scope), Err(Denial::OutsideScope), "{row}");
        assert_eq!(may(&actor(row), Read, &tenant("acme2"), &scope), Err(Denial::Foreign), "{row}");
    }
}
