//! Transfers that a peer asks for: REFER and Replaces, as legs see them.

use std::time::Instant;

use bytes::Bytes;
use sbc_config::{Host as ConfigHost, Trunk};

use super::{Door, not_there};
use crate::call::door::{Origin, Report};
use crate::call::{Address, LegEnd, LegEvent, LegId, Opaque, Referral, Target};
use crate::sip::flow::{Destination, Transport};
use crate::sip::header::{Name, Replaces};
use crate::sip::manners::Manners;
use crate::sip::message::Request;
use crate::sip::names::Place;
use crate::sip::names::ask::Word;
use crate::sip::refer::Asked;
use crate::sip::session::Refusal;
use crate::sip::teams;
use crate::sip::uri::Uri;

impl Door {
    /// The far end of a leg asks that a target take its place: a trunk in its own words, a person as they would dial.
    pub(super) fn referred(&mut self, now: Instant, id: LegId, asked: &Asked) {
        let Some(leg) = self.legs.get(&id) else { return };
        let (session, trunk) = (leg.session, leg.trunk.clone());
        let uri = Uri::parse(asked.to.clone());
        let Ok(uri) = uri else {
            // It was accepted, so it is told how it ended.
            return self.tell_of_referral(now, id, session, 400);
        };
        let Some(trunk) = trunk else { return self.person_refers(now, id, session, &uri) };
        let address = Address::Referred { trunk, by: id, to: Opaque(asked.packed()) };
        let target = Target { address, name: teams::target_name(&uri) };
        self.report(Report::Leg(id, LegEvent::Referred(Box::new(target.into()))));
    }

    /// A button of a telephone. Whose host the URI names does not matter: the number is dialled as its person would.
    fn person_refers(&mut self, now: Instant, id: LegId, session: super::SessionId, uri: &Uri) {
        let mut replaced = uri.headers().filter(|(name, _)| name.eq_ignore_ascii_case("Replaces"));
        if let Some((_, dialog)) = replaced.next() {
            // Another call of the telephone's, with us as well: its two far ends are to talk.
            return match self.other_call(id, dialog.into()) {
                Some(with) => self.report(Report::Joins { leg: id, with }),
                None => self.tell_of_referral(now, id, session, 481),
            };
        }
        match uri.user_unescaped().filter(|user| !user.is_empty()) {
            Some(to) => self.report(Report::Refers { leg: id, to }),
            None => self.tell_of_referral(now, id, session, 404),
        }
    }

    /// The answered leg of a telephone whose dialog this names, other than `id`. Whose telephone is for others to compare.
    fn other_call(&self, id: LegId, dialog: Bytes) -> Option<LegId> {
        let replaces = Replaces::parse(dialog).ok()?;
        let (session, confirmed) = self.endpoint.replaced(&replaces)?;
        let with = *self.by_session.get(&session)?;
        let telephones = self.legs.get(&with).is_some_and(|leg| leg.trunk.is_none());
        (telephones && confirmed && !replaces.early_only && with != id).then_some(with)
    }

    /// Tells the one who asked what becomes of it.
    pub(super) fn refer_news(&mut self, now: Instant, id: LegId, news: Referral) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let status = match news {
            Referral::Ringing => 180,
            Referral::Connected => 200,
            // What the target said, in its own number where it said one.
            Referral::Failed(cause) => leg.target_refused.take().unwrap_or(cause.sip_status().0),
        };
        let session = leg.session;
        self.tell_of_referral(now, id, session, status);
    }

    fn tell_of_referral(&mut self, now: Instant, id: LegId, session: super::SessionId, status: u16) {
        if let Err(error) = self.endpoint.referral(now, session, status) {
            // The dialog has ended meanwhile, and the subscription with it.
            tracing::debug!(leg = %id, status, %error, "news of a transfer that nobody waits for");
        }
    }

    /// A leg has ended that was called because another asked for it: with this status.
    pub(super) fn target_ended(&mut self, by: Option<LegId>, status: Option<u16>) {
        if let Some(asker) = by.and_then(|by| self.legs.get_mut(&by)) {
            asker.target_refused = status.filter(|status| (300..700).contains(status));
        }
    }

    /// The leg whose place an INVITE takes (RFC 3891 section 3), looked for before anything else is done with the call.
    pub(super) fn replaced(
        &self,
        request: &Request,
        origin: &Origin,
        manners: &Manners,
    ) -> Result<Option<LegId>, Refusal> {
        let headers = request.headers();
        if headers.get(Name::Replaces).is_none() {
            return Ok(None);
        }
        if !manners.replaces {
            // Whoever insists is refused; otherwise it is a header we know nothing of.
            let insists = headers.has_token(Name::Require, "replaces");
            let unsupported = (Name::Unsupported.as_str().to_owned(), Bytes::from_static(b"replaces"));
            let refusal = Refusal { headers: vec![unsupported], ..Refusal::new(420) };
            return if insists { Err(refusal) } else { Ok(None) };
        }
        let one = headers.all(Name::Replaces).count() == 1 && headers.get(Name::Join).is_none();
        let replaces = headers.replaces().ok().flatten().filter(|_| one).ok_or(Refusal::new(400))?;
        let unknown = Refusal::new(481);
        let (session, confirmed) = self.endpoint.replaced(&replaces).ok_or(unknown.clone())?;
        let id = *self.by_session.get(&session).ok_or(unknown.clone())?;
        // Tags are unguessable, and yet: one trunk does not take another's calls.
        let Origin::Trunk(trunk) = origin else { return Err(unknown) };
        if self.legs.get(&id).and_then(|leg| leg.trunk.as_ref()) != Some(trunk) {
            return Err(unknown);
        }
        match (confirmed, replaces.early_only) {
            (true, true) => Err(Refusal::new(486)),
            (true, false) => Ok(Some(id)),
            // Nobody here gives a call away that has not been answered.
            (false, _) => Err(unknown),
        }
    }

    /// The address of a referral's target. A name of Microsoft's that is not known yet is met, and any of its proxies will take the call
    /// meanwhile: the Request-URI says to whom it is.
    pub(super) fn resolve_referred(
        &mut self,
        now: Instant,
        trunk: &Trunk,
        uri: &Uri,
    ) -> Result<Destination, LegEnd> {
        let named = self.referred_to(trunk, uri)?;
        let found = self.resolve(now, Some(&trunk.id), &named);
        if found.is_ok() {
            return found;
        }
        if let ConfigHost::Name(host) = &named.host {
            let place = Place { host: host.clone(), port: named.port, transport: Some(Transport::Tls) };
            if self.met.meet(now, &place) {
                self.words.push_back(Word::Met(place));
            }
        }
        let usual = self.trunks.candidates(now, trunk);
        let mut others = usual.iter().filter_map(|usual| self.resolve(now, Some(&trunk.id), usual).ok());
        others.next().map_or(found, Ok)
    }

    /// Where the target of a referral is called: at the host that its URI names, the way its trunk is spoken to.
    pub(super) fn referred_to(&self, trunk: &Trunk, uri: &Uri) -> Result<sbc_config::Destination, LegEnd> {
        let usual = trunk.destination().ok_or_else(|| not_there("the trunk has no destination"))?;
        if !teams::is_teams(trunk) {
            // A carrier's transfers go where its calls go: it does not choose hosts for us.
            return Ok(usual.clone());
        }
        let host = uri.host().ok_or_else(|| not_there("the target has no host"))?;
        let host = match host.ip() {
            Some(ip) => ConfigHost::Ip(ip),
            None => ConfigHost::Name(host.to_string().to_ascii_lowercase().into()),
        };
        let port = Some(uri.port().unwrap_or(teams::PORT));
        Ok(sbc_config::Destination { host, port, transport: usual.transport })
    }
}
