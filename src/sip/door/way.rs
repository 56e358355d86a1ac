//! The way to somebody: what is dialled, where it goes, and who it says it is from.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sbc_config::{
    Config, Direction, HoldStyle, Host as ConfigHost, NumberRule, Prack, Reach, TransferStyle, Trunk,
    TrunkAuth, TrunkId,
};
use sidetone_media::codec::Codec;

use super::failover::Stop;
use super::keys::Terms;
use super::{Door, internal, not_there};
use crate::call::door::{Caller, Order, codecs};
use crate::call::{Address, Cause, LegEnd, LegId, Target};
use crate::sip::diversion;
use crate::sip::endpoint::{OptionsId, OptionsOutcome};
use crate::sip::flow::{Destination, Transport};
use crate::sip::header::{Name, NameAddr};
use crate::sip::hub::MAX_FORWARDS;
use crate::sip::identity;
use crate::sip::leg::Leg;
use crate::sip::login::Credentials;
use crate::sip::manners::Manners;
use crate::sip::names::{Found, Place};
use crate::sip::passport;
use crate::sip::refer::Asked;
use crate::sip::session::{Dial, NextHop, Reliable, SessionId, SessionTimers};
use crate::sip::teams;
use crate::sip::trunk::Heard;
use crate::sip::uri::{Host, Uri};

/// The shortest session interval we agree to, in seconds (RFC 4028 section 5).
const SESSION_TIMER_MIN_S: u32 = 90;

/// The longest card in a header: an INVITE with a description over UDP has so much room below the 1300 bytes at which it
/// would have to change to TCP (RFC 3261 section 18.1.1).
const CARD_LINE_MAX: usize = 256;

/// The longest that goes along of a caller's system over UDP, for the same reason; a stream takes all there is.
const CONTEXT_OVER_UDP_MAX: usize = 300;

/// Everything it takes to call somebody.
pub(super) struct Way<'a> {
    uri: Uri,
    destination: Destination,
    next_hop: NextHop,
    codecs: Vec<Codec>,
    reliable: Reliable,
    timers: Option<SessionTimers>,
    behind_nat: bool,
    terms: Terms<'a>,
    credentials: Option<Credentials>,
    patience: Option<Duration>,
    headers: Vec<(String, Bytes)>,
    /// The trunk it leads over.
    over: Option<&'a Trunk>,
    /// The number that is dialled, in our numbers.
    dialled: Option<String>,
    /// The leg whose far end asked for this call.
    referred_by: Option<LegId>,
}

impl Door {
    pub(super) fn dial(
        &mut self,
        now: Instant,
        id: LegId,
        target: &Target,
        order: &Order,
    ) -> Result<(), LegEnd> {
        if let Some(trunk) = by_destinations(target) {
            return self.dial_trunk(now, id, target, order, trunk);
        }
        let config = self.config.load_full();
        let way = self.way_to(now, &config, target)?;
        self.place(now, id, way, order)
    }

    /// Sends the INVITE on its way.
    pub(super) fn place(
        &mut self,
        now: Instant,
        id: LegId,
        way: Way<'_>,
        order: &Order,
    ) -> Result<(), LegEnd> {
        let caller = order.caller.clone().unwrap_or(Caller::shown("anonymous", None));
        let caller = match way.over {
            Some(trunk) => identity::outward(trunk, caller),
            None => caller,
        };
        let from = self.from(&way.destination, way.over, &caller)?;
        let mut headers = way.headers;
        if let Some(trunk) = way.over {
            let (host, port) = self.known_as(trunk, &way.destination);
            headers.extend(identity::lines(trunk, &caller, &host, port));
            headers.extend(identity::charge(trunk, &host, port));
            let shown = order.caller.as_ref().zip(way.dialled.as_deref());
            headers.extend(shown.and_then(|(caller, dialled)| passport::line(trunk, caller, dialled)));
            headers.extend(diversion::lines(trunk, &caller.journey.diversions, &way.uri, (&host, port)));
        }
        if let Some(card) = &order.card
            && let Some(line) = card.line(CARD_LINE_MAX)
        {
            headers.push((card.header().to_owned(), Bytes::from(line)));
        }
        let takes_context = way.over.is_none_or(|trunk| trunk.context_headers.is_out());
        if let Some(context) = caller.context.as_ref().filter(|_| takes_context) {
            let over_udp = way.destination.transport == Transport::Udp;
            let most = if over_udp { CONTEXT_OVER_UDP_MAX } else { usize::MAX };
            headers.extend(identity::context_lines(context, most));
        }
        let manners = match way.over {
            Some(_) => self.manners(way.over, &way.destination, Some(&caller.number)),
            None => Manners::of_our_people(),
        };
        let mut leg = Leg::new(SessionId(0), self.random.bits(), way.codecs);
        leg.signalled_from = way.behind_nat.then_some(way.destination.remote.ip());
        leg.trunk = way.over.map(|trunk| trunk.id.clone());
        leg.referred_by = way.referred_by;
        leg.holds_inactive = way.over.is_some_and(|trunk| trunk.hold == HoldStyle::Inactive);
        leg.early_means_ringing = way.over.is_some_and(teams::is_teams);
        leg.set_media(order.media);
        let protection = self.protection(&way.terms, way.destination.transport).map_err(internal)?;
        leg.protect(protection).map_err(internal)?;
        leg.offers_mux = way.terms.offers_mux;
        let offer = leg.offer(&order.prefer).map_err(internal)?;
        let dial = Dial {
            target: way.uri,
            destination: way.destination,
            next_hop: if manners.by_route { NextHop::ByRoute } else { way.next_hop },
            from,
            to: None,
            routes: Vec::new(),
            offer: Some(offer),
            headers,
            location: caller.journey.location.clone().filter(|_| way.over.is_some_and(|trunk| trunk.pidf_lo)),
            reliable: way.reliable,
            timers: way.timers,
            credentials: way.credentials,
            patience: way.patience,
            hops: caller.journey.hops.unwrap_or(MAX_FORWARDS),
            manners,
        };
        let session = self.endpoint.dial(now, dial).map_err(|error| LegEnd {
            cause: Cause::Congestion,
            detail: format!("the call could not be placed: {error}"),
        })?;
        leg.session = session;
        self.by_session.insert(session, id);
        self.legs.insert(id, leg);
        Ok(())
    }

    /// How the peer of a trunk is spoken to, and anybody else. `caller` is shown by a call of ours.
    pub(super) fn manners(
        &self,
        trunk: Option<&Trunk>,
        to: &Destination,
        caller: Option<&str>,
    ) -> Arc<Manners> {
        manners_of(trunk, self.our_port(to), caller)
    }

    /// The port at which we are reached by way of this.
    fn our_port(&self, to: &Destination) -> u16 {
        self.endpoint.address_for(to).1.unwrap_or(to.transport.default_port())
    }

    /// Our host and port where we vouch for a number: the name that the trunk knows us by, or our address.
    fn known_as(&self, trunk: &Trunk, to: &Destination) -> (Host, Option<u16>) {
        match &trunk.fqdn {
            Some(fqdn) => (Host::Name(fqdn.as_ref().into()), None),
            None => self.endpoint.address_for(to),
        }
    }

    /// Our From towards `to`: the caller's number at our own address, or at the name a trunk knows us by.
    fn from(&self, to: &Destination, trunk: Option<&Trunk>, caller: &Caller) -> Result<NameAddr, LegEnd> {
        if caller.private && trunk.is_some() {
            return identity::anonymous().ok_or_else(|| internal("no From can be written"));
        }
        if let Some(trunk) = trunk.filter(|trunk| teams::is_teams(trunk)) {
            let from = teams::from(trunk, self.our_port(to), &caller.number, caller.name.as_deref());
            return from.ok_or_else(|| internal("no From can be written"));
        }
        let (host, port) = self.endpoint.address_for(to);
        let uri = Uri::sip(Some(&caller.number), &host, port).map_err(internal)?;
        let from = NameAddr::new(uri);
        Ok(match &caller.name {
            Some(name) => from.with_display(name),
            None => from,
        })
    }

    fn way_to<'a>(&mut self, now: Instant, config: &'a Config, target: &Target) -> Result<Way<'a>, LegEnd> {
        match &target.address {
            Address::Person(person) => {
                let known = config.person(person).ok_or_else(|| not_there("the person is not configured"))?;
                match &known.reach {
                    Reach::Contact(contact) => Ok(Way {
                        uri: uri(contact.uri.as_bytes())?,
                        destination: self.resolve(now, None, &contact.destination)?,
                        next_hop: NextHop::Follow,
                        codecs: codecs(&config.media.codecs),
                        reliable: Reliable::Supported,
                        timers: None,
                        behind_nat: false,
                        terms: Terms::of_person(known),
                        credentials: None,
                        patience: None,
                        headers: Vec::new(),
                        over: None,
                        dialled: None,
                        referred_by: None,
                    }),
                    Reach::Acs { .. } | Reach::Browser => Err(not_there("the person has no SIP telephone")),
                    // Their address is that of a clearance, and this one was never cleared.
                    Reach::Teams { .. } => Err(not_there("a Teams user is dialled with a clearance")),
                    Reach::Register(credentials) => {
                        let found = self.endpoint.registrar().map(|r| r.lookup(now, &credentials.username));
                        let best = found.and_then(|bindings| bindings.into_iter().next());
                        let binding =
                            best.ok_or_else(|| not_there("the person's telephone is not registered"))?;
                        Ok(Way {
                            uri: binding.contact,
                            destination: binding.flow,
                            next_hop: binding.next_hop,
                            codecs: codecs(&config.media.codecs),
                            reliable: Reliable::Supported,
                            timers: None,
                            behind_nat: true,
                            terms: Terms::of_person(known),
                            credentials: None,
                            patience: None,
                            headers: Vec::new(),
                            over: None,
                            dialled: None,
                            referred_by: None,
                        })
                    }
                }
            }
            Address::Referred { trunk, by, to } => {
                let known = config.trunk(trunk).ok_or_else(|| not_there("the trunk is not configured"))?;
                let asked = Asked::unpacked(&to.0);
                // RFC 3261 section 19.1.1: neither Request-URI nor To has headers. What a consultative transfer says in them, Replaces,
                // is never sent: Microsoft refuses it, and knows by Referred-By what the call is for.
                let uri = uri(&asked.to)?.without_headers();
                let destination = self.resolve_referred(now, known, &uri)?;
                // RFC 3892: on whose behalf, in the words it came in.
                let said = asked.by.map(|said| (Name::ReferredBy.as_str().to_owned(), said));
                Ok(Way {
                    uri,
                    destination,
                    next_hop: NextHop::Follow,
                    codecs: codecs_of(config, known),
                    reliable: reliable(known.prack),
                    timers: timers(known),
                    behind_nat: false,
                    terms: Terms::of_trunk(known),
                    credentials: known.auth.as_ref().map(credentials_of),
                    patience: None,
                    headers: said.into_iter().collect(),
                    over: Some(known),
                    dialled: None,
                    referred_by: Some(*by),
                })
            }
            Address::Trunk { .. } | Address::Teams(_) => {
                Err(not_there("a trunk is dialled by its destinations"))
            }
            Address::Acs { .. } => Err(not_there("this is no address of SIP")),
        }
    }

    /// The way to a number behind one address of a trunk.
    pub(super) fn way_at<'a>(
        &self,
        config: &'a Config,
        target: &Target,
        stop: &Stop,
    ) -> Result<Way<'a>, LegEnd> {
        let (Some(trunk), Some(number)) = (by_destinations(target), target.number()) else {
            return Err(not_there("only trunks have several addresses"));
        };
        let known = config.trunk(trunk).ok_or_else(|| not_there("the trunk is not configured"))?;
        let theirs = match &target.address {
            // It was cleared as it is.
            Address::Teams(_) => number.to_owned(),
            _ if known.leads_to_teams() => {
                return Err(not_there(
                    "a number at Teams is dialled with a clearance, as + and digits; numbers_out of the trunk can make it so",
                ));
            }
            _ => NumberRule::apply_all(&known.numbers_out, Direction::Out, number),
        };
        let mut uri = at_destination(Some(&theirs), &stop.destination, stop.to.transport)?;
        if teams::is_teams(known) {
            uri = uri.with_param("user", Some("phone")).map_err(internal)?;
        }
        Ok(Way {
            uri,
            destination: stop.to,
            next_hop: NextHop::Follow,
            codecs: codecs_of(config, known),
            reliable: reliable(known.prack),
            timers: timers(known),
            behind_nat: false,
            terms: Terms::of_trunk(known),
            credentials: known.auth.as_ref().map(credentials_of),
            patience: Some(known.failover),
            headers: Vec::new(),
            over: Some(known),
            dialled: Some(number.to_owned()),
            referred_by: None,
        })
    }

    /// The first address of a destination, dialled as this trunk.
    pub(super) fn resolve(
        &mut self,
        now: Instant,
        trunk: Option<&TrunkId>,
        destination: &sbc_config::Destination,
    ) -> Result<Destination, LegEnd> {
        let first = self.resolve_all(now, trunk, destination).into_iter().next();
        first.ok_or_else(|| not_there(&format!("the name {} does not resolve", destination.host)))
    }

    /// Every address of a destination, in the order in which they are to be tried.
    pub(super) fn resolve_all(
        &mut self,
        now: Instant,
        trunk: Option<&TrunkId>,
        destination: &sbc_config::Destination,
    ) -> Vec<Destination> {
        let spoken = destination.transport.map(transport_of);
        let found = match &destination.host {
            ConfigHost::Name(name) => {
                let place = Place { host: name.clone(), port: destination.port, transport: spoken };
                self.names.load().find(now, &place, &mut self.random)
            }
            ConfigHost::Ip(ip) => vec![Found {
                at: SocketAddr::new(*ip, destination.port_or_default()),
                transport: spoken.unwrap_or(Transport::Udp),
            }],
        };
        let mut all = Vec::new();
        for Found { at, transport } in found {
            let tls = match transport {
                Transport::Udp | Transport::Tcp => None,
                Transport::Tls => match self.private.way(trunk.cloned(), &destination.host.to_string()) {
                    Some(way) => Some(way),
                    None => continue, // too many peers to tell apart, which has been said
                },
            };
            all.push(Destination { transport, remote: at, local: None, connection: None, tls });
        }
        all
    }

    pub(super) fn ask_trunks(&mut self, now: Instant) {
        if self.draining {
            return; // who hears nothing of us for a while sends its calls elsewhere
        }
        let config = self.config.load_full();
        for (trunk, destination) in self.trunks.due(now, &config, &mut self.random) {
            let asked = self.resolve(now, Some(&trunk), &destination).and_then(|to| {
                let uri = at_destination(None, &destination, to.transport)?;
                let known = config.trunk(&trunk);
                let from = match known.filter(|known| teams::is_teams(known)) {
                    Some(known) => teams::ourselves(known, self.our_port(&to))
                        .ok_or_else(|| not_there("the trunk has no name for us"))?,
                    None => self.from(&to, known, &Caller::shown("sidetone", None))?,
                };
                let manners = self.manners(known, &to, None);
                self.endpoint.options(now, &uri, &from, to, &manners).map_err(internal)
            });
            match asked {
                Ok(id) => self.trunks.asked(id, &trunk, &destination),
                Err(end) => self.heard_of(now, &trunk, &destination, Heard::NoWay, &end.detail),
            }
        }
    }

    pub(super) fn trunk_answered(&mut self, now: Instant, id: OptionsId, outcome: OptionsOutcome) {
        let Some((trunk, destination, heard)) = self.trunks.answered(id, outcome) else { return };
        let detail = match heard {
            Heard::Answer(503, _) => "it answers 503 Service Unavailable".to_owned(),
            Heard::Answer(status, _) => format!("it answers {status}"),
            Heard::Silence => "no answer to OPTIONS".to_owned(),
            Heard::NoWay => "the transport cannot reach it".to_owned(),
        };
        self.heard_of(now, &trunk, &destination, heard, &detail);
    }
}

/// How the peer of a trunk is spoken to, and anybody else. `port` is where it finds us.
pub(super) fn manners_of(trunk: Option<&Trunk>, port: u16, caller: Option<&str>) -> Arc<Manners> {
    let Some(trunk) = trunk else { return Manners::plain() };
    if teams::is_teams(trunk) {
        return Arc::new(teams::manners(trunk, port, caller));
    }
    match trunk.transfer {
        TransferStyle::Refer => Arc::new(Manners::referring()),
        TransferStyle::Hidden => Manners::plain(),
    }
}

fn timers(trunk: &Trunk) -> Option<SessionTimers> {
    trunk.session_timer.map(|interval| SessionTimers {
        interval: u32::try_from(interval.as_secs()).unwrap_or(u32::MAX),
        min: SESSION_TIMER_MIN_S,
    })
}

/// The trunk whose destinations are tried for a number: one that was named, or that a Teams user was cleared for.
fn by_destinations(target: &Target) -> Option<&TrunkId> {
    match &target.address {
        Address::Trunk { trunk, .. } => Some(trunk),
        Address::Teams(_) => target.trunk(),
        Address::Person(_) | Address::Acs { .. } | Address::Referred { .. } => None,
    }
}

/// The URI of a number at a destination, or of the destination itself.
fn at_destination(
    number: Option<&str>,
    destination: &sbc_config::Destination,
    transport: Transport,
) -> Result<Uri, LegEnd> {
    let uri = Uri::sip(number, &host(&destination.host), destination.port).map_err(internal)?;
    match transport {
        Transport::Udp => Ok(uri), // what is meant where nothing is said
        other => uri.with_param("transport", Some(&other.name().to_ascii_lowercase())).map_err(internal),
    }
}

fn credentials_of(auth: &TrunkAuth) -> Credentials {
    Credentials::new(&*auth.username, auth.password.expose()).for_realm(&*auth.realm)
}

fn transport_of(transport: sbc_config::Transport) -> Transport {
    match transport {
        sbc_config::Transport::Udp => Transport::Udp,
        sbc_config::Transport::Tcp => Transport::Tcp,
        sbc_config::Transport::Tls => Transport::Tls,
    }
}

pub(super) fn codecs_of(config: &Config, trunk: &Trunk) -> Vec<Codec> {
    codecs(trunk.codecs.as_deref().unwrap_or(&config.media.codecs))
}

fn reliable(prack: Prack) -> Reliable {
    match prack {
        Prack::Off => Reliable::No,
        Prack::Supported => Reliable::Supported,
        Prack::Required => Reliable::Required,
    }
}

pub(crate) fn host(host: &ConfigHost) -> Host {
    match host {
        ConfigHost::Ip(ip) => Host::from(*ip),
        ConfigHost::Name(name) => Host::Name(name.as_ref().into()),
    }
}

fn uri(raw: &[u8]) -> Result<Uri, LegEnd> {
    Uri::parse(Bytes::copy_from_slice(raw)).map_err(internal)
}
