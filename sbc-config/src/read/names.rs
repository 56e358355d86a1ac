//! Every id that the file defines, gathered before anything is read in full, so that a reference is checked
//! where it stands and a person with a bad password does not make every route to that person wrong as well.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::report::Report;
use super::similar;
use super::table::{Field, Section, shown};
use crate::finding::Code;
use crate::id::{AcsId, CertificateId, PersonId, TeamId, TenantId, TrunkId};
use crate::people::PersonRole;
use crate::profile::Profile;

/// The ids of the file by kind.
pub(super) struct Names<'a> {
    report: &'a Report<'a>,
    tenants: Defined<'a>,
    teams: Defined<'a>,
    people: Defined<'a>,
    trunks: Defined<'a>,
    certificates: Defined<'a>,
    resources: Defined<'a>,
    /// The tenants with an `[[integration]]`.
    accounts: BTreeSet<&'a str>,
    /// For each team named in a person's `teams`, whether one of them is an agent.
    team_has_agent: HashMap<&'a str, bool>,
}

type Defined<'a> = BTreeMap<&'a str, Definition<'a>>;

/// What others need to know of a thing before it is read. Nothing here is checked yet.
struct Definition<'a> {
    tenant: Option<&'a str>,
    role: Option<&'a str>,
    has_destination: bool,
    has_caller_id: bool,
}

impl<'a> Names<'a> {
    pub(super) fn gather(report: &'a Report<'a>, root: &'a DeTable<'a>) -> Self {
        let mut team_has_agent = HashMap::new();
        for (_, table) in tables(root, "person") {
            let is_agent = text(table, "role") == Some("agent");
            let teams = table.get("teams").and_then(|teams| teams.get_ref().as_array());
            for team in
                teams.into_iter().flat_map(|teams| teams.iter()).filter_map(|team| team.get_ref().as_str())
            {
                *team_has_agent.entry(team).or_default() |= is_agent;
            }
        }
        Self {
            report,
            tenants: defined(root, "tenant"),
            teams: defined(root, "team"),
            people: defined(root, "person"),
            trunks: defined(root, "trunk"),
            certificates: defined(root, "certificate"),
            resources: defined(root, "acs"),
            accounts: tables(root, "integration").filter_map(|(_, table)| text(table, "tenant")).collect(),
            team_has_agent,
        }
    }

    /// The tenant that a thing belongs to.
    pub(super) fn tenant_of(&self, section: &Section<'a>) -> Option<TenantId> {
        let field = section.required("tenant", "name the [[tenant]] it belongs to")?;
        let name = self.known(&field, field.text()?, "tenant", &self.tenants)?.0;
        TenantId::new(name).ok()
    }

    /// A team of the tenant.
    pub(super) fn team(&self, field: &Field<'a>, name: &'a str, tenant: Option<&TenantId>) -> Option<TeamId> {
        self.known_to(field, name, "team", &self.teams, tenant)?;
        TeamId::new(name).ok()
    }

    /// A certificate. It belongs to the gateway and not to a tenant.
    pub(super) fn certificate(&self, field: &Field<'a>, name: &'a str) -> Option<CertificateId> {
        self.known(field, name, "certificate", &self.certificates)?;
        CertificateId::new(name).ok()
    }

    /// Whether the tenant's people at Teams can be looked up.
    pub(super) fn has_account(&self, tenant: &TenantId) -> bool {
        self.accounts.contains(tenant.as_str())
    }

    /// Whether there is a certificate to show.
    pub(super) fn has_certificate(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// A trunk of the tenant.
    pub(super) fn trunk(
        &self,
        field: &Field<'a>,
        name: &'a str,
        tenant: Option<&TenantId>,
    ) -> Option<TrunkId> {
        self.known_to(field, name, "trunk", &self.trunks, tenant)?;
        TrunkId::new(name).ok()
    }

    /// An ACS resource of whichever tenant.
    pub(super) fn any_acs(&self, field: &Field<'a>, name: &'a str) -> Option<AcsId> {
        self.known_to(field, name, "acs", &self.resources, None)?;
        AcsId::new(name).ok()
    }

    /// A trunk that can be dialled, of whichever tenant.
    pub(super) fn any_trunk_to_dial(&self, field: &Field<'a>, name: &'a str) -> Option<TrunkId> {
        self.trunk_to_dial(field, name, None)
    }

    /// A trunk of the tenant that can be dialled.
    pub(super) fn trunk_to_dial(
        &self,
        field: &Field<'a>,
        name: &'a str,
        tenant: Option<&TenantId>,
    ) -> Option<TrunkId> {
        let trunk = self.known_to(field, name, "trunk", &self.trunks, tenant)?;
        if !trunk.has_destination {
            let message = format!("the trunk `{}` has no destination to dial", shown(name));
            field.fail(Code::NoDestination, message, "give the trunk a `destination`");
            return None;
        }
        TrunkId::new(name).ok()
    }

    /// An ACS resource of the tenant.
    pub(super) fn acs(&self, field: &Field<'a>, name: &'a str, tenant: Option<&TenantId>) -> Option<AcsId> {
        self.known_to(field, name, "acs", &self.resources, tenant)?;
        AcsId::new(name).ok()
    }

    /// An ACS resource of the tenant over which telephones can be called.
    pub(super) fn acs_to_dial(
        &self,
        field: &Field<'a>,
        name: &'a str,
        tenant: Option<&TenantId>,
    ) -> Option<AcsId> {
        let resource = self.known_to(field, name, "acs", &self.resources, tenant)?;
        if !resource.has_caller_id {
            let message = format!("the resource `{}` has no number to call from", shown(name));
            field.fail(Code::NoDestination, message, "give the resource a `caller_id`");
            return None;
        }
        AcsId::new(name).ok()
    }

    /// A person of the tenant, in any role or in the one given.
    pub(super) fn person(
        &self,
        field: &Field<'a>,
        name: &'a str,
        tenant: Option<&TenantId>,
        role: Option<PersonRole>,
    ) -> Option<PersonId> {
        let person = self.known_to(field, name, "person", &self.people, tenant)?;
        if let (Some(wanted), Some(is)) = (role, person.role)
            && wanted.to_string() != is
        {
            let message = format!("`{}` is not of the role {wanted}", shown(name));
            field.fail(Code::WrongRole, message, format!("name a [[person]] with role = \"{wanted}\""));
            return None;
        }
        PersonId::new(name).ok()
    }

    /// Whether the team has at least one agent.
    pub(super) fn has_agent(&self, team: &str) -> bool {
        self.team_has_agent.get(team).copied().unwrap_or_default()
    }

    fn known_to(
        &self,
        field: &Field<'a>,
        name: &'a str,
        kind: &str,
        defined: &'a Defined<'a>,
        tenant: Option<&TenantId>,
    ) -> Option<&Definition<'a>> {
        let (_, definition) = self.known(field, name, kind, defined)?;
        if let (Some(mine), Some(its)) = (tenant, definition.tenant)
            && mine.as_str() != its
        {
            let message = format!("the {kind} `{}` belongs to another tenant", shown(name));
            field.fail(Code::ForeignReference, message, format!("name a {kind} of tenant `{mine}`"));
            return None;
        }
        Some(definition)
    }

    fn known<'s>(
        &self,
        field: &Field<'a>,
        name: &'a str,
        kind: &str,
        defined: &'s Defined<'a>,
    ) -> Option<(&'a str, &'s Definition<'a>)> {
        if let Some(definition) = defined.get(name) {
            return Some((name, definition));
        }
        let near =
            if self.report.has_room() { similar::nearest(name, defined.keys().copied()) } else { None };
        let remedy = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("define a [[{kind}]] with this id or name another"),
        };
        field.fail(Code::UnknownReference, format!("there is no {kind} `{}`", shown(name)), remedy);
        None
    }
}

fn defined<'a>(root: &'a DeTable<'a>, kind: &str) -> Defined<'a> {
    let definition = |(_, table): (Range<usize>, &'a DeTable<'a>)| {
        let definition = Definition {
            tenant: text(table, "tenant"),
            role: text(table, "role"),
            has_destination: has_destination(table),
            has_caller_id: table.contains_key("caller_id"),
        };
        Some((text(table, "id")?, definition))
    };
    // The first of two with the same id counts; the second is a finding of its own.
    let mut defined = BTreeMap::new();
    for (id, definition) in tables(root, kind).filter_map(definition) {
        defined.entry(id).or_insert(definition);
    }
    defined
}

/// Whether a trunk says, itself or by its profile, where calls go. Calls go to the registrar where nothing else is said.
fn has_destination(trunk: &DeTable<'_>) -> bool {
    let says = |table: &DeTable<'_>| {
        ["destination", "destinations", "register"].iter().any(|key| table.contains_key(*key))
    };
    let profile = text(trunk, "profile").and_then(|name| name.parse::<Profile>().ok());
    says(trunk) || profile.is_some_and(|profile| says(profile.table()))
}

fn tables<'a>(root: &'a DeTable<'a>, kind: &str) -> impl Iterator<Item = (Range<usize>, &'a DeTable<'a>)> {
    let array = root.get(kind).and_then(|value| value.get_ref().as_array());
    let items = array.into_iter().flat_map(|array| array.iter());
    items.filter_map(|item| Some((item.span(), item.get_ref().as_table()?)))
}

fn text<'a>(table: &'a DeTable<'_>, key: &str) -> Option<&'a str> {
    table.get(key).and_then(|value| DeValue::as_str(value.get_ref()))
}
