//! Context cards of consults and transfers: drawn when asked for, told to those who may know.

use std::sync::Arc;
use std::time::SystemTime;

use sbc_config::{Config, PersonRole, Reach, TenantId};
use serde_json::{Value, json};

use crate::call::card::{Card, Drawn, Matter, draw};
use crate::call::{Address, CallEvent, CallId, Carrier, LegId, Role, Target};
use crate::observe::{Audience, Event};

use super::Switchboard;
use super::desk::{CardView, Refusal};
use super::live::Live;

/// The card of a request, drawn by the tenant's view.
pub(super) fn drawn(
    config: &Config,
    tenant: &TenantId,
    matter: Option<&Matter>,
) -> Result<Option<Arc<Drawn>>, Refusal> {
    let Some(matter) = matter else { return Ok(None) };
    let view = config.card(tenant).ok_or_else(|| Refusal::Invalid {
        code: "no_card",
        detail: "no [[card]] of the configuration says which fields are shown to an expert".into(),
    })?;
    let drawn = draw(view, matter)
        .map_err(|error| Refusal::Invalid { code: "card_invalid", detail: error.to_string() })?;
    Ok(Some(Arc::new(drawn)))
}

/// What the one who asked is told of their card: names alone.
pub(super) fn view_of(drawn: &Drawn) -> CardView {
    let names = |names: &[Arc<str>]| names.iter().map(|name| name.to_string()).collect();
    CardView {
        shown: names(&drawn.shown),
        skipped: names(&drawn.skipped),
        withheld: names(&drawn.withheld),
        empty: names(&drawn.empty),
    }
}

/// Whether a card may travel with a call to this target: to a telephone of our people, and over a trunk or a resource
/// whose configuration says so. A target that a peer has named is a stranger's.
fn may_be_told(config: &Config, target: &Target) -> bool {
    let over_acs = |resource| config.acs(resource).is_some_and(|acs| acs.card);
    match &target.address {
        Address::Person(person) => config.person(person).is_some_and(|person| match &person.reach {
            _ if person.role == PersonRole::Customer => false,
            Reach::Acs { resource, .. } => over_acs(resource),
            Reach::Contact(_) | Reach::Register(_) | Reach::Browser => true,
            // As what carries the call says, below.
            Reach::Teams { .. } => false,
        }),
        Address::Trunk { trunk, .. } => config.trunk(trunk).is_some_and(|trunk| trunk.card),
        Address::Acs { resource, .. } => over_acs(resource),
        Address::Teams(teams) => match teams.carrier() {
            Carrier::Acs(resource) => over_acs(resource),
            Carrier::Trunk(trunk) => config.trunk(trunk).is_some_and(|trunk| trunk.card),
        },
        Address::Referred { .. } => false,
    }
}

impl Live {
    /// The card of the consult or transfer that this leg is rung for.
    fn card_of(&self, leg: LegId) -> Option<&Arc<Drawn>> {
        let is_target = self.call.transferring().is_some_and(|(_, target)| target == leg);
        let mut parties = self.call.parties().iter().map(|party| party.seat());
        let is_expert = parties.any(|seat| seat.leg == leg && matches!(seat.role, Role::Expert { .. }));
        if is_target { self.transfer_card.as_ref() } else { self.consult_card.as_ref().filter(|_| is_expert) }
    }

    /// The card that goes along with the call to a target.
    pub(super) fn card_for(&self, config: &Config, leg: LegId, target: &Target) -> Option<Arc<Card>> {
        let drawn = self.card_of(leg).filter(|_| may_be_told(config, target))?;
        Some(Arc::new(drawn.card.clone()))
    }
}

impl Switchboard {
    /// A consult or transfer rings somebody: they, and software of the tenant, are told of the matter.
    pub(super) fn tell_card(&mut self, id: CallId, event: &CallEvent) {
        let Some(live) = self.calls.get_mut(&id) else { return };
        let (kind, leg, key, about) = match event {
            CallEvent::ConsultDialing { id, leg, .. } => ("consult.card", *leg, "consult", json!(id)),
            CallEvent::TransferStarted { target, .. } => ("transfer.card", *target, "target", json!(target)),
            CallEvent::ConsultOver { .. } => {
                live.consult_card = None;
                return;
            }
            CallEvent::TransferCompleted { .. } | CallEvent::TransferFailed { .. } => {
                live.transfer_card = None;
                return;
            }
            _ => return,
        };
        let Some(drawn) = live.card_of(leg) else { return };
        let person = live.legs.iter().find(|known| known.id == leg).and_then(|known| known.person.clone());
        let mut data = json!({
            "leg": leg, "person": person, "link": drawn.card.link(), "fields": fields(&drawn.card),
            "skipped": names(&drawn.skipped), "withheld": names(&drawn.withheld), "empty": names(&drawn.empty),
        });
        data[key] = about;
        self.journal.event(Event {
            kind,
            tenant: live.tenant.clone(),
            call: Some(id),
            // Who is rung, and whoever reads all of the tenant: nobody else needs it.
            audience: Audience { people: person.into_iter().collect(), teams: Vec::new() },
            at: SystemTime::now(),
            data,
        });
    }
}

fn names(names: &[Arc<str>]) -> Vec<&str> {
    names.iter().map(|name| &**name).collect()
}

fn fields(card: &Card) -> Vec<Value> {
    card.fields()
        .map(|(name, label, value)| json!({ "name": name, "label": label, "value": value }))
        .collect()
}
