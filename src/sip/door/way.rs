//! The way to somebody: what is dialled, where it goes, and who it says it is from.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use sbc_config::{Codec, Config, Host as ConfigHost, Prack, Reach, Trunk, TrunkId};

use super::keys::Terms;
use super::{Door, internal, not_there};
use crate::call::door::{Caller, Order};
use crate::call::{Address, Cause, LegEnd, LegId, Target};
use crate::sip::endpoint::{OptionsId, OptionsOutcome};
use crate::sip::flow::{Destination, Transport};
use crate::sip::header::NameAddr;
use crate::sip::leg::Leg;
use crate::sip::session::{Dial, NextHop, Reliable, SessionId, SessionTimers};
use crate::sip::uri::{Host, Uri};

/// The shortest session interval we agree to, in seconds (RFC 4028 section 5).
const SESSION_TIMER_MIN_S: u32 = 90;

/// Everything it takes to call somebody.
struct Way<'a> {
    uri: Uri,
    destination: Destination,
    next_hop: NextHop,
    codecs: Vec<Codec>,
    reliable: Reliable,
    timers: Option<SessionTimers>,
    behind_nat: bool,
    terms: Terms<'a>,
}

impl Door {
    pub(super) fn dial(
        &mut self,
        now: Instant,
        id: LegId,
        target: &Target,
        order: &Order,
    ) -> Result<(), LegEnd> {
        let config = self.config.load_full();
        let way = self.way_to(now, &config, target)?;
        let caller = order.caller.clone().unwrap_or(Caller { number: "anonymous".into(), name: None });
        let from = self.from(&way.destination, &caller)?;
        let mut leg = Leg::new(SessionId(0), self.random.bits(), way.codecs);
        leg.signalled_from = way.behind_nat.then_some(way.destination.remote.ip());
        leg.set_media(order.media);
        let protection = self.protection(&way.terms, way.destination.transport).map_err(internal)?;
        leg.protect(protection).map_err(internal)?;
        leg.offers_mux = way.terms.offers_mux;
        let offer = leg.offer(&order.prefer).map_err(internal)?;
        let dial = Dial {
            target: way.uri,
            destination: way.destination,
            next_hop: way.next_hop,
            from,
            to: None,
            routes: Vec::new(),
            offer: Some(offer),
            headers: Vec::new(),
            reliable: way.reliable,
            timers: way.timers,
            credentials: None,
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

    /// Our From towards `to`: the caller's number at our own address.
    fn from(&self, to: &Destination, caller: &Caller) -> Result<NameAddr, LegEnd> {
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
                        destination: self.resolve(None, &contact.destination)?,
                        next_hop: NextHop::Follow,
                        codecs: config.media.codecs.clone(),
                        reliable: Reliable::Supported,
                        timers: None,
                        behind_nat: false,
                        terms: Terms::of_person(known),
                    }),
                    Reach::Register(credentials) => {
                        let found = self.endpoint.registrar().map(|r| r.lookup(now, &credentials.username));
                        let best = found.and_then(|bindings| bindings.into_iter().next());
                        let binding =
                            best.ok_or_else(|| not_there("the person's telephone is not registered"))?;
                        Ok(Way {
                            uri: binding.contact,
                            destination: binding.flow,
                            next_hop: binding.next_hop,
                            codecs: config.media.codecs.clone(),
                            reliable: Reliable::Supported,
                            timers: None,
                            behind_nat: true,
                            terms: Terms::of_person(known),
                        })
                    }
                }
            }
            Address::Trunk { trunk, number } => {
                let known = config.trunk(trunk).ok_or_else(|| not_there("the trunk is not configured"))?;
                let destination =
                    known.destination().ok_or_else(|| not_there("the trunk has no destination"))?;
                let port = Some(destination.port_or_default());
                let mut target = Uri::sip(Some(number), &host(&destination.host), port).map_err(internal)?;
                match destination.transport_or_default() {
                    sbc_config::Transport::Udp => {}
                    other => {
                        target =
                            target.with_param("transport", Some(&other.to_string())).map_err(internal)?;
                    }
                }
                Ok(Way {
                    uri: target,
                    destination: self.resolve(Some(&known.id), destination)?,
                    next_hop: NextHop::Follow,
                    codecs: codecs_of(config, known),
                    reliable: reliable(known.prack),
                    timers: known.session_timer.map(|interval| SessionTimers {
                        interval: u32::try_from(interval.as_secs()).unwrap_or(u32::MAX),
                        min: SESSION_TIMER_MIN_S,
                    }),
                    behind_nat: false,
                    terms: Terms::of_trunk(known),
                })
            }
        }
    }

    /// Where to send to, and with TLS as whom: as the trunk, if it is one.
    fn resolve(
        &mut self,
        trunk: Option<&TrunkId>,
        destination: &sbc_config::Destination,
    ) -> Result<Destination, LegEnd> {
        let ip = match &destination.host {
            ConfigHost::Ip(ip) => *ip,
            ConfigHost::Name(name) => self
                .names
                .load()
                .get(name)
                .ok_or_else(|| not_there(&format!("the name {name} does not resolve")))?,
        };
        let tls = match destination.transport_or_default() {
            sbc_config::Transport::Tls => self.private.way(trunk.cloned(), &destination.host.to_string()),
            sbc_config::Transport::Udp | sbc_config::Transport::Tcp => None,
        };
        Ok(Destination {
            transport: match destination.transport_or_default() {
                sbc_config::Transport::Udp => Transport::Udp,
                sbc_config::Transport::Tcp => Transport::Tcp,
                sbc_config::Transport::Tls => Transport::Tls,
            },
            remote: SocketAddr::new(ip, destination.port_or_default()),
            local: None,
            connection: None,
            tls,
        })
    }

    pub(super) fn ask_trunks(&mut self, now: Instant) {
        let config = self.config.load_full();
        for trunk in self.trunks.due(now, &config) {
            let Some(destination) = trunk.destination() else { continue };
            let asked = self.resolve(Some(&trunk.id), destination).and_then(|to| {
                let port = Some(destination.port_or_default());
                let uri = Uri::sip(None, &host(&destination.host), port).map_err(internal)?;
                let from = self.from(&to, &Caller { number: "sidetone".into(), name: None })?;
                self.endpoint.options(now, &uri, &from, to).map_err(internal)
            });
            match asked {
                Ok(id) => self.trunks.asked(&trunk.id, id),
                Err(end) => self.reports.extend(self.trunks.failed(&trunk.id, end.detail)),
            }
        }
    }

    pub(super) fn trunk_answered(&mut self, _now: Instant, id: OptionsId, outcome: OptionsOutcome) {
        self.reports.extend(self.trunks.answered(id, outcome));
    }
}

pub(super) fn codecs_of(config: &Config, trunk: &Trunk) -> Vec<Codec> {
    trunk.codecs.clone().unwrap_or_else(|| config.media.codecs.clone())
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
