//! What a zone says of a place, judged before a call finds it out: every step of RFC 3263 asked once, and told.
//!
//! The gateway itself follows the table and never judges it: a call wants an address, and an operator wants to know why there is
//! none, or only one.

use std::net::IpAddr;
use std::sync::Arc;

use sbc_config::Config;

use super::ask::Asker;
use super::{Heard, Kind, Place, Question, Record, service_name, transport_of};
use crate::sip::flow::Transport;

/// One thing that is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// How bad it is.
    pub weight: Weight,
    /// What is so.
    pub message: String,
    /// What would mend it.
    pub remedy: &'static str,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// As it should be.
    Well,
    /// Calls go, and somebody should look at it.
    Doubtful,
    /// Calls do not go, or not always.
    Wrong,
}

const NOTHING: &str = "nothing to do";
const NO_SERVER: &str = "name the servers in [dns], and open port 53 to them: sidetone check --ports";
const NO_ADDRESS: &str = "is the name spelt right? Its owner has to publish an A or AAAA record";

/// What a zone says of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    /// It has servers.
    There,
    /// Nothing.
    None,
    /// That there is decidedly none.
    Denied,
    /// It could not be asked, which has been said.
    Unknown,
}

struct Looks<'a> {
    asker: &'a Asker,
    config: &'a Config,
    said: Vec<Judged>,
    /// What was found on the way, for the line that says that all is well.
    path: Vec<String>,
    addresses: usize,
}

/// Follows a place from step to step, and says what is wrong on the way and what is well.
pub async fn judge(asker: &Asker, config: &Config, place: &Place) -> Vec<Judged> {
    let mut looks = Looks { asker, config, said: Vec::new(), path: Vec::new(), addresses: 0 };
    if let Some(addresses) = config.dns.overrides.get(&place.host) {
        let message = format!("[dns] overrides names {} address(es), and nobody is asked", addresses.len());
        return vec![Judged { weight: Weight::Well, message, remedy: NOTHING }];
    }
    looks.place(place).await;
    if looks.said.iter().all(|judged| judged.weight < Weight::Wrong) {
        looks.path.push(format!("{} address(es)", looks.addresses));
        let message = looks.path.join(", ");
        looks.said.push(Judged { weight: Weight::Well, message, remedy: NOTHING });
    }
    looks.said
}

impl Looks<'_> {
    fn say(&mut self, weight: Weight, message: String, remedy: &'static str) {
        self.said.push(Judged { weight, message, remedy });
    }

    /// The records of a name. That nobody could be asked is said here, and there are none then.
    async fn records(&mut self, name: &Arc<str>, kind: Kind) -> Option<Vec<Record>> {
        match self.asker.ask(&Question { name: name.clone(), kind }).await {
            Heard::Records(records, _) => Some(records),
            Heard::Failed => {
                let kind = format!("{kind:?}").to_uppercase();
                self.say(
                    Weight::Wrong,
                    format!("no name server could tell the {kind} records of {name}"),
                    NO_SERVER,
                );
                None
            }
        }
    }

    async fn place(&mut self, place: &Place) {
        let transport = place.transport.unwrap_or(Transport::Udp);
        match (place.port, place.transport) {
            (Some(_), _) => {
                self.unused_servers(&place.host, transport).await;
                self.addresses(&place.host).await;
            }
            (None, Some(transport)) => self.service(&place.host, transport).await,
            (None, None) => self.any_service(&place.host).await,
        }
    }

    /// RFC 3263 section 4.2: with a port, servers are not asked for. Their owner may think they are.
    async fn unused_servers(&mut self, host: &Arc<str>, transport: Transport) {
        let servers = self.records(&service_name(host, transport), Kind::Srv).await.unwrap_or_default();
        if !servers.is_empty() {
            self.say(
                Weight::Doubtful,
                format!("{host} publishes {} server(s) by SRV, which a destination with a port does not ask for", servers.len()),
                "leave the port out, and calls go and fail over as the owner of the name says (RFC 3263 section 4.2)",
            );
        }
    }

    /// RFC 3263 section 4.1: what the domain speaks.
    async fn any_service(&mut self, host: &Arc<str>) {
        let Some(records) = self.records(host, Kind::Naptr).await else { return };
        let offered: Vec<(&str, &Arc<str>)> = records
            .iter()
            .filter_map(|record| match record {
                Record::Naptr { service, replacement, .. } => Some((service.as_str(), replacement)),
                _ => None,
            })
            .collect();
        let spoken: Vec<_> = offered
            .iter()
            .filter_map(|(service, to)| Some((transport_of(service)?, (*to).clone())))
            .collect();
        if spoken.is_empty() && !offered.is_empty() {
            let services = offered.iter().map(|(service, _)| *service).collect::<Vec<_>>().join(", ");
            let remedy = "write the transport behind the destination, as ;transport=tcp";
            self.say(
                Weight::Doubtful,
                format!("NAPTR of {host} offers {services}, of which none is spoken here"),
                remedy,
            );
        }
        if spoken.is_empty() {
            return self.services_one_by_one(host).await;
        }
        self.path.push(format!("NAPTR {}", spoken.len()));
        for (transport, replacement) in spoken {
            if transport == Transport::Tls && self.config.certificates.is_empty() {
                self.say(
                    Weight::Doubtful,
                    format!("NAPTR of {host} offers TLS, and there is no certificate of ours to show"),
                    "add a [[certificate]], or write the transport behind the destination",
                );
            }
            match self.servers(&replacement).await {
                Service::There | Service::Unknown => {}
                Service::Denied => self.denied(&replacement),
                Service::None => self.say(
                    Weight::Wrong,
                    format!("NAPTR of {host} leads to {replacement}, which has no SRV record"),
                    "its owner has to mend the zone; until then write port and transport behind the destination",
                ),
            }
        }
    }

    /// Without NAPTR: the services that the gateway asks for, and then the host itself.
    async fn services_one_by_one(&mut self, host: &Arc<str>) {
        let names = [Transport::Udp, Transport::Tcp].map(|transport| service_name(host, transport));
        let mut found = [Service::None; 2];
        for (name, found) in names.iter().zip(&mut found) {
            *found = self.servers(name).await;
        }
        if found == [Service::None; 2] {
            self.path.push("no NAPTR, no SRV".to_owned());
            self.addresses(host).await;
        }
        // A domain that speaks one of the two and says so of the other is as it should be.
        if !found.contains(&Service::There) {
            let denied = names.iter().zip(found).filter(|(_, found)| *found == Service::Denied);
            denied.for_each(|(name, _)| self.denied(name));
        }
    }

    async fn service(&mut self, host: &Arc<str>, transport: Transport) {
        let name = service_name(host, transport);
        match self.servers(&name).await {
            Service::There | Service::Unknown => return,
            Service::Denied => return self.denied(&name),
            Service::None => {}
        }
        if transport == Transport::Tls {
            // Microsoft's and some carriers' guides name the service so.
            let other: Arc<str> = format!("_sip._tls.{host}").into();
            let published = self.records(&other, Kind::Srv).await.unwrap_or_default();
            if !published.is_empty() {
                self.say(
                    Weight::Doubtful,
                    format!("the servers of {host} are published as _sip._tls, which RFC 3263 does not know: _sips._tcp is asked for"),
                    "write each server as a destination of its own, or ask the owner for _sips._tcp",
                );
            }
        }
        self.path.push("no SRV".to_owned());
        self.addresses(host).await;
    }

    /// RFC 2782: a target of "." says that there is none.
    fn denied(&mut self, name: &Arc<str>) {
        let remedy = "ask the owner which transport they speak, and write it behind the destination";
        self.say(Weight::Wrong, format!("{name} says that there is decidedly no such service"), remedy);
    }

    /// Looks at the servers of a service.
    async fn servers(&mut self, name: &Arc<str>) -> Service {
        let Some(records) = self.records(name, Kind::Srv).await else { return Service::Unknown };
        let targets: Vec<&Arc<str>> = records
            .iter()
            .filter_map(|record| match record {
                Record::Srv { target, .. } => Some(target),
                _ => None,
            })
            .collect();
        if targets.iter().any(|target| target.is_empty()) {
            return Service::Denied;
        }
        if targets.is_empty() {
            return Service::None;
        }
        self.path.push(format!("SRV {name}: {} server(s)", targets.len()));
        for target in &targets {
            self.addresses(target).await;
        }
        Service::There
    }

    async fn addresses(&mut self, host: &Arc<str>) {
        if let Some(addresses) = self.config.dns.overrides.get(host) {
            self.addresses += addresses.len();
            return;
        }
        let mut found = 0;
        for kind in [Kind::A, Kind::Aaaa] {
            match self.records(host, kind).await {
                Some(records) => found += records.len(),
                None => return,
            }
        }
        if found == 0 {
            self.say(Weight::Wrong, format!("{host} has no address"), NO_ADDRESS);
        }
        self.addresses += found;
    }
}

/// Our own name on a trunk to Microsoft, which looks it up to find us.
pub async fn judge_own(asker: &Asker, fqdn: &str) -> Judged {
    let name: Arc<str> = fqdn.to_ascii_lowercase().into();
    let mut found = Vec::new();
    for kind in [Kind::A, Kind::Aaaa] {
        match asker.ask(&Question { name: name.clone(), kind }).await {
            Heard::Records(records, _) => {
                found.extend(records.into_iter().filter_map(|record| match record {
                    Record::Ip(ip) => Some(ip),
                    _ => None,
                }))
            }
            Heard::Failed => {
                let message = format!("no name server could tell the addresses of our name {name}");
                return Judged { weight: Weight::Wrong, message, remedy: NO_SERVER };
            }
        }
    }
    let hidden = found.iter().find(|ip| !is_public(ip));
    match (found.is_empty(), hidden) {
        (true, _) => Judged {
            weight: Weight::Wrong,
            message: format!(
                "our name {name} has no A or AAAA record: Microsoft cannot reach us (504/569015, 504/569016)"
            ),
            remedy: "publish an A record with the public address of this gateway; a TXT record is not enough",
        },
        (false, Some(ip)) => Judged {
            weight: Weight::Doubtful,
            message: format!("our name {name} leads to {ip}, which Microsoft cannot reach"),
            remedy: "publish the public address; if this is a view for the inside only, ask a server outside ([dns] servers)",
        },
        (false, None) => Judged {
            weight: Weight::Well,
            message: format!("our name {name} has {} public address(es)", found.len()),
            remedy: NOTHING,
        },
    }
}

/// Whether somebody on the internet could send there.
fn is_public(ip: &IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            // RFC 6598: shared by the customers of a carrier.
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared)
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local())
        }
    }
}
