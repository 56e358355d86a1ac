//! Somebody calls: who is it, and may they?

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sbc_config::{Config, HoldStyle, Prack};
use sidetone_media::codec::Codec;

use super::keys::Terms;
use super::way::codecs_of;
use super::{Door, unacceptable};
use crate::call::LegId;
use crate::call::door::{Caller, DoorName, Incoming, Origin, Report, codecs};
use crate::sip::flow::Destination;
use crate::sip::header::Name;
use crate::sip::leg::Leg;
use crate::sip::manners::Manners;
use crate::sip::message::Request;
use crate::sip::session::{Refusal, SessionId};
use crate::sip::{endpoint, identity};

impl Door {
    /// Somebody calls. Who is it, and may they?
    pub(super) fn incoming(&mut self, now: Instant, incoming: endpoint::Incoming) {
        let config = self.config.load_full();
        let trunk = match self.private.trunk(&config, &incoming.peer, &incoming.request) {
            Ok(trunk) => trunk,
            Err(stranger) => {
                tracing::info!(remote = %incoming.peer.remote, because = %stranger, "a call is refused");
                return self.refuse(now, incoming.session, &Refusal::new(403));
            }
        };
        let (tenant, origin, codecs, prack, terms) = match trunk {
            Some(trunk) => (
                trunk.tenant.clone(),
                Origin::Trunk(trunk.id.clone()),
                codecs_of(&config, trunk),
                trunk.prack,
                Terms::of_trunk(trunk),
            ),
            None => match self.authenticate(now, &config, &incoming.request) {
                Ok(person) => (
                    person.tenant.clone(),
                    Origin::Person(person.id.clone()),
                    codecs(&config.media.codecs),
                    Prack::Supported,
                    Terms::of_person(person),
                ),
                Err(refusal) => return self.refuse(now, incoming.session, &refusal),
            },
        };
        if let Some(refusal) = prack_refusal(prack, &incoming.request) {
            return self.refuse(now, incoming.session, &refusal);
        }
        let trunk = match &origin {
            Origin::Trunk(trunk) => config.trunk(trunk),
            Origin::Person(_) | Origin::Acs(_) => None,
        };
        let manners = match &origin {
            Origin::Person(_) => Manners::of_our_people(),
            Origin::Trunk(_) | Origin::Acs(_) => self.manners(trunk, &Destination::from(incoming.peer), None),
        };
        let replaces = match self.replaced(&incoming.request, &origin, &manners) {
            Ok(replaces) => replaces,
            Err(refusal) => return self.refuse(now, incoming.session, &refusal),
        };
        self.endpoint.set_manners(now, incoming.session, manners);
        self.meet_route(now, incoming.session);
        // Whoever it most likely was when the connection stood: now it is known.
        if let Some(way) = trunk.and_then(|trunk| self.private.way_back(trunk, &incoming.peer)) {
            self.endpoint.reopened_by(incoming.session, way);
        }
        let Some(mut leg) = self.described(&incoming, codecs, &terms) else {
            return self.refuse(now, incoming.session, &Refusal::new(488));
        };
        leg.offers_mux = terms.offers_mux;
        leg.signalled_from = matches!(origin, Origin::Person(_)).then_some(incoming.peer.remote.ip());
        leg.reliable = prack != Prack::Off;
        leg.trunk = trunk.map(|trunk| trunk.id.clone());
        leg.holds_inactive = trunk.is_some_and(|trunk| trunk.hold == HoldStyle::Inactive);
        let id = LegId(self.random.bits());
        let report = Incoming {
            leg: id,
            door: DoorName::Sip,
            tenant,
            from: match trunk {
                Some(trunk) => identity::caller(&incoming.request, trunk),
                None => caller(&incoming.request),
            },
            origin,
            to: match trunk {
                Some(trunk) => {
                    identity::dialled(&incoming.request, trunk, self.registrations.user(&trunk.id))
                }
                None => dialled(&incoming.request),
            },
            codecs: leg.offered(),
            replaces,
        };
        self.by_session.insert(incoming.session, id);
        self.legs.insert(id, leg);
        self.report(Report::Incoming(report));
    }

    /// The leg that the caller's description makes; none when nothing in it can be agreed to, or not protected as it must be.
    fn described(
        &mut self,
        incoming: &endpoint::Incoming,
        codecs: Vec<Codec>,
        terms: &Terms<'_>,
    ) -> Option<Leg> {
        let offer = incoming.offer.as_ref();
        let mut leg = match Leg::incoming(incoming.session, self.random.bits(), codecs, offer) {
            Ok(leg) => leg,
            Err(error) => {
                tracing::info!(%error, "a call without a usable description is refused");
                return None;
            }
        };
        let protection = self.protection(terms, incoming.peer.transport);
        let protected = protection
            .map_err(|error| error.to_string())
            .and_then(|protection| leg.protect(protection).map_err(|error| unacceptable(error).detail));
        if let Err(error) = protected {
            tracing::info!(%error, "a call whose sound would be protected too little or too much is refused");
            return None;
        }
        Some(leg)
    }

    /// The person whose credentials the request carries, or the refusal that asks for them.
    fn authenticate<'a>(
        &mut self,
        now: Instant,
        config: &'a Config,
        request: &Request,
    ) -> Result<&'a sbc_config::Person, Refusal> {
        let registrar = self.endpoint.registrar().ok_or(Refusal::new(403))?;
        let known = registrar.authenticate(now, request).map_err(|challenges| {
            let name = Name::WwwAuthenticate.as_str();
            let headers: Vec<_> =
                challenges.into_iter().map(|value| (name.to_owned(), Bytes::from(value))).collect();
            // No challenge to offer: the credentials are right, and belong to somebody else.
            let status = if headers.is_empty() { 403 } else { 401 };
            Refusal { headers, ..Refusal::new(status) }
        })?;
        config.person_by_username(&known.user).ok_or(Refusal::new(403))
    }

    fn refuse(&mut self, now: Instant, session: SessionId, refusal: &Refusal) {
        if let Err(error) = self.endpoint.reject(now, session, refusal) {
            tracing::debug!(%error, "the caller is gone already");
        }
    }
}

/// What a trunk's rule for reliable provisional responses (RFC 3262) refuses: the extension where it
/// is off, a caller without it where it is required.
fn prack_refusal(prack: Prack, request: &Request) -> Option<Refusal> {
    let headers = request.headers();
    let insists = headers.has_token(Name::Require, "100rel");
    let (status, header) = match prack {
        Prack::Off if insists => (420, Name::Unsupported),
        Prack::Required if !insists && !headers.has_token(Name::Supported, "100rel") => (421, Name::Require),
        Prack::Off | Prack::Supported | Prack::Required => return None,
    };
    let headers = vec![(header.as_str().to_owned(), Bytes::from_static(b"100rel"))];
    Some(Refusal { headers, ..Refusal::new(status) })
}

/// What was dialled: the user part of the Request-URI, or the number of a `tel:` URI.
fn dialled(request: &Request) -> String {
    request.uri().user_unescaped().unwrap_or_default()
}

/// Whose telephone calls.
fn caller(request: &Request) -> Caller {
    let from = request.headers().from().ok();
    let number = from.as_ref().and_then(|from| from.uri.user_unescaped());
    let name = from.and_then(|from| from.display_name()).map(|name| name.to_string());
    let number = number.unwrap_or_else(|| "anonymous".to_owned());
    Caller { journey: Arc::new(identity::journey(request)), ..Caller::shown(number, name) }
}
