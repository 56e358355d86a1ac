//! Reads `[[tenant]]` and `[[team]]`, and what every section of a tenant has: an id and teams.

use super::names::Names;
use super::table::{Field, Section, shown};
use super::unique::Unique;
use crate::finding::Code;
use crate::id::{IdError, TeamId, TenantId};
use crate::people::{HoldMedia, Team, Tenant};
use crate::settings::Media;

/// Teams of one person, or of one token's scope.
const MAX_TEAMS: usize = 64;

/// The `id` of a section, well formed and not used before.
pub(super) fn id<'a, T>(
    section: &Section<'a>,
    ids: &mut Unique<'a, String>,
    parse: impl FnOnce(&str) -> Result<T, IdError>,
) -> Option<T> {
    let field = section.required("id", "give it an id that is unique in the file")?;
    let remedy = "write letters, digits, '.', '_' and '-' only";
    let text = field.text()?;
    let id = field.parsed(Code::BadId, remedy, parse)?;
    ids.note(text.to_owned(), &field, Code::DuplicateId, &format!("the id `{text}`"));
    Some(id)
}

pub(super) fn tenant<'a>(
    section: &Section<'a>,
    media: &Media,
    ids: &mut Unique<'a, String>,
) -> Option<Tenant> {
    let id = id(section, ids, TenantId::new);
    let name = section.name("name", id.as_ref().map_or("", TenantId::as_str));
    let field = section.field("hold_media");
    let remedy = "write \"music\", \"tone\", \"silence\" or \"prompt:NAME\"";
    let hold_media =
        field.as_ref().map(|field| field.parsed(Code::BadValue, remedy, str::parse::<HoldMedia>));
    if let (Some(field), Some(Some(HoldMedia::Prompt(name)))) = (&field, &hold_media)
        && !media.prompts.contains_key(name)
    {
        let message = format!("there is no prompt `{}`", shown(name));
        field.fail(Code::UnknownReference, message, "name its file in [media] prompts");
    }
    section.finish();
    Some(Tenant { id: id?, name, hold_media: hold_media.unwrap_or(Some(HoldMedia::Music))? })
}

pub(super) fn team<'a>(
    section: &Section<'a>,
    names: &Names<'a>,
    ids: &mut Unique<'a, String>,
) -> Option<Team> {
    let id = id(section, ids, TeamId::new);
    let name = section.name("name", id.as_ref().map_or("", TeamId::as_str));
    let tenant = names.tenant_of(section);
    section.finish();
    Some(Team { id: id?, tenant: tenant?, name })
}

/// The `teams` of a section, none if it names none.
pub(super) fn teams<'a>(section: &Section<'a>, names: &Names<'a>, tenant: Option<&TenantId>) -> Vec<TeamId> {
    let team = |item: &Field<'a>| names.team(item, item.text()?, tenant);
    section.field("teams").and_then(|field| field.list(MAX_TEAMS, team)).unwrap_or_default()
}
