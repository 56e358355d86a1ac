//! What a firewall in front of the gateway must let through, as the configuration says it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::acs::{AcsCredential, EntraIdentity};
use crate::address::{Host, Transport};
use crate::integration::AppCredential;
use crate::people::Reach;
use crate::trunk::{Dialect, Trunk};
use crate::{Config, PortRange};

/// UDP ports of Microsoft's media processors and transport relays.
const MICROSOFT_MEDIA_PORTS: &str = "3478-3481,49152-53247";
const DNS_PORT: u16 = 53;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortRule {
    /// Who opens it.
    pub direction: Opened,
    /// `udp` or `tcp`.
    pub protocol: &'static str,
    /// Our address and ports; `any` for connections that we open.
    pub local: String,
    /// Their ranges or name.
    pub remote: String,
    /// Their ports.
    pub remote_ports: String,
    /// What for.
    pub purpose: String,
}

/// Who opens a connection or sends the first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Opened {
    /// They do.
    In,
    /// We do.
    Out,
    /// Either side.
    Both,
}

impl fmt::Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Both => "both",
        })
    }
}

/// The table for this configuration: trunks in the order of the file, then phones, then the gateway's own errands.
#[must_use]
pub fn port_rules(config: &Config) -> Vec<PortRule> {
    let mut rules = Vec::new();
    for trunk in &config.trunks {
        of_trunk(config, trunk, &mut rules);
    }
    of_phones(config, &mut rules);
    of_acs(config, &mut rules);
    of_microsofts_directory(config, &mut rules);
    of_the_gateway(config, &mut rules);
    rules
}

/// The rules as a table for people.
#[must_use]
pub fn port_table(rules: &[PortRule]) -> String {
    let heads = ["opened", "protocol", "our side", "their side", "their ports", "for"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(rules.iter().map(|rule| {
        let PortRule { direction, protocol, local, remote, remote_ports, purpose } = rule;
        [
            direction.to_string(),
            (*protocol).to_owned(),
            local.clone(),
            remote.clone(),
            remote_ports.clone(),
            purpose.clone(),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut table = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        table.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        table.push('\n');
    }
    table
}

fn of_trunk(config: &Config, trunk: &Trunk, rules: &mut Vec<PortRule>) {
    let ranges = trunk.sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let signalling = |direction, protocol, local: String, remote: String, remote_ports: String| PortRule {
        direction,
        protocol,
        local,
        remote,
        remote_ports,
        purpose: format!("SIP of trunk {}", trunk.id),
    };
    let microsoft = trunk.dialect == Dialect::Microsoft;
    for (transport, protocol, listener) in listeners(config) {
        // Microsoft comes over TLS alone; a carrier as it is dialled, or as it likes if it never is.
        let comes = match trunk.destinations.as_slice() {
            _ if microsoft => transport == Transport::Tls,
            [] => true,
            dialled => dialled.iter().any(|d| d.transport.is_none_or(|written| written == transport)),
        };
        if comes {
            rules.push(signalling(
                Opened::In,
                protocol,
                listener.to_string(),
                ranges.clone(),
                "any".to_owned(),
            ));
        }
    }
    let registrar = trunk.register.as_ref().map(|register| &register.registrar);
    for destination in trunk.destinations.iter().chain(registrar) {
        let (protocol, local) = match destination.transport_or_default() {
            Transport::Udp => ("udp", config.sip.udp.map_or("any".to_owned(), |udp| udp.to_string())),
            Transport::Tcp | Transport::Tls => ("tcp", "any".to_owned()),
        };
        let ports = match (&destination.host, destination.port) {
            (Host::Name(_), None) => format!("as SRV says, else {}", destination.port_or_default()),
            _ => destination.port_or_default().to_string(),
        };
        let remote = if microsoft { ranges.clone() } else { destination.host.to_string() };
        let rule = signalling(Opened::Out, protocol, local, remote, ports);
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    // Where a carrier's sound comes from is in its descriptions and in no range that it must publish.
    let (remote, ports) =
        if microsoft { (ranges, MICROSOFT_MEDIA_PORTS) } else { ("as its SDP says".to_owned(), "any") };
    rules.push(PortRule {
        direction: Opened::Both,
        protocol: "udp",
        local: media(config),
        remote,
        remote_ports: ports.to_owned(),
        purpose: format!("sound of trunk {}", trunk.id),
    });
}

fn of_phones(config: &Config, rules: &mut Vec<PortRule>) {
    let registers = config.people.iter().any(|person| matches!(person.reach, Reach::Register(_)));
    if registers {
        for (_, protocol, listener) in listeners(config) {
            rules.push(PortRule {
                direction: Opened::In,
                protocol,
                local: listener.to_string(),
                remote: "wherever phones are".to_owned(),
                remote_ports: "any".to_owned(),
                purpose: "SIP of phones that register".to_owned(),
            });
        }
    }
    if let Some(listen) = config.webrtc.listen {
        rules.push(PortRule {
            direction: Opened::Both,
            protocol: "udp",
            local: listen.to_string(),
            remote: "wherever browsers are".to_owned(),
            remote_ports: "any".to_owned(),
            purpose: "sound of browsers".to_owned(),
        });
    }
    if let Some(tcp) = config.webrtc.tcp {
        rules.push(PortRule {
            direction: Opened::In,
            protocol: "tcp",
            local: tcp.to_string(),
            remote: "wherever browsers are".to_owned(),
            remote_ports: "any".to_owned(),
            purpose: "sound of browsers without UDP".to_owned(),
        });
    }
    if !config.people.is_empty() {
        rules.push(PortRule {
            direction: Opened::Both,
            protocol: "udp",
            local: media(config),
            remote: "wherever phones are".to_owned(),
            remote_ports: "any".to_owned(),
            purpose: "sound of phones".to_owned(),
        });
    }
}

/// Microsoft publishes no ranges from which ACS and Event Grid come; their tokens are what is believed.
fn of_acs(config: &Config, rules: &mut Vec<PortRule>) {
    if config.acs.is_empty() {
        return;
    }
    let listener = &config.acs_listener;
    let remote = match listener.certificate {
        Some(_) => "anywhere: Azure",
        None => "the proxy with the certificate",
    };
    rules.push(PortRule {
        direction: Opened::In,
        protocol: "tcp",
        local: listener.listen.to_string(),
        remote: remote.to_owned(),
        remote_ports: "any".to_owned(),
        purpose: "callbacks and sound of ACS".to_owned(),
    });
    for acs in &config.acs {
        let mut asked = vec![(&acs.endpoint, "requests to"), (&acs.tokens.jwks_url, "keys of")];
        asked.extend(acs.webhook_tokens.as_ref().map(|issuer| (&issuer.jwks_url, "keys of deliveries to")));
        if let AcsCredential::Entra(entra) = &acs.credential {
            let (EntraIdentity::Managed { endpoint: authority, .. }
            | EntraIdentity::Workload { authority, .. }
            | EntraIdentity::Secret { authority, .. }) = &entra.identity;
            asked.push((authority, "tokens for"));
        }
        for (url, what) in asked {
            let (remote, remote_ports) = url_authority(url);
            let purpose = format!("{what} ACS resource {}", acs.id);
            let (direction, protocol) = (Opened::Out, "tcp");
            let local = "any".to_owned();
            rules.push(PortRule { direction, protocol, local, remote, remote_ports, purpose });
        }
    }
}

/// Graph, Entra and Azure Resource Manager, where prerequisites are read, and the keys of Entra's tokens for the API.
fn of_microsofts_directory(config: &Config, rules: &mut Vec<PortRule>) {
    for integration in &config.integrations {
        let mut asked: Vec<(&str, &str)> = Vec::new();
        if integration.credential != AppCredential::None {
            asked.push((&integration.graph, "Graph"));
            asked.push(match &integration.credential {
                AppCredential::ManagedIdentity { endpoint } => (endpoint, "tokens of the managed identity"),
                _ => (&integration.authority, "tokens of Entra"),
            });
            if integration.acs_resource.is_some() {
                asked.push((&integration.arm, "Azure Resource Manager"));
            }
        }
        if let Some(tokens) = &integration.api_tokens {
            asked.push((&tokens.jwks, "keys of Entra's tokens for the API"));
        }
        for (url, what) in asked {
            let (remote, remote_ports) = url_authority(url);
            rules.push(PortRule {
                direction: Opened::Out,
                protocol: "tcp",
                local: "any".to_owned(),
                remote,
                remote_ports,
                purpose: format!("{what}, tenant {}", integration.tenant),
            });
        }
    }
}

fn of_the_gateway(config: &Config, rules: &mut Vec<PortRule>) {
    let mut rule = |direction, protocol, local: String, remote: String, ports: String, purpose: &str| {
        rules.push(PortRule {
            direction,
            protocol,
            local,
            remote,
            remote_ports: ports,
            purpose: purpose.to_owned(),
        });
    };
    let any = || "any".to_owned();
    rule(
        Opened::In,
        "tcp",
        config.api.listen.to_string(),
        "your own networks".to_owned(),
        any(),
        "HTTP API, metrics",
    );
    for server in &config.dns.servers {
        for protocol in ["udp", "tcp"] {
            rule(Opened::Out, protocol, any(), server.ip().to_string(), server.port().to_string(), "names");
        }
    }
    if config.dns.servers.is_empty() {
        for protocol in ["udp", "tcp"] {
            rule(
                Opened::Out,
                protocol,
                any(),
                "the system's name servers".to_owned(),
                DNS_PORT.to_string(),
                "names",
            );
        }
    }
    if let Some((host, port)) = postgres_at(config.server.database.expose()) {
        rule(Opened::Out, "tcp", any(), host, port, "records and events in Postgres");
    }
    for webhook in &config.webhooks {
        let (host, port) = url_authority(&webhook.url);
        rule(Opened::Out, "tcp", any(), host, port, &format!("webhook {}", webhook.id));
    }
}

fn listeners(config: &Config) -> impl Iterator<Item = (Transport, &'static str, SocketAddr)> {
    let sip = &config.sip;
    let all = [
        (Transport::Udp, "udp", sip.udp),
        (Transport::Tcp, "tcp", sip.tcp),
        (Transport::Tls, "tcp", sip.tls),
    ];
    all.into_iter().filter_map(|(transport, protocol, address)| Some((transport, protocol, address?)))
}

fn media(config: &Config) -> String {
    let PortRange { first, last } = config.media.ports;
    match config.media.listen {
        IpAddr::V4(address) => format!("{address}:{first}-{last}"),
        IpAddr::V6(address) => format!("[{address}]:{first}-{last}"),
    }
}

/// Host and port of a database elsewhere; none for a file, or a server behind a socket of this machine's.
fn postgres_at(url: &str) -> Option<(String, String)> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.starts_with("postgres") {
        return None;
    }
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let of_query = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            (host, Some(port))
        }
        _ => (authority, None),
    };
    // libpq's way to say it: a query wins over the authority.
    let host = of_query("host").unwrap_or(host);
    if host.is_empty() || host.starts_with(['/', '%']) {
        return None;
    }
    Some((host.to_owned(), of_query("port").or(port).unwrap_or("5432").to_owned()))
}

/// Host and port of an `http` or `https` URL.
fn url_authority(url: &str) -> (String, String) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let usual = if scheme == "http" { "80" } else { "443" };
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host.to_owned(), port.to_owned()),
        _ => (authority.to_owned(), usual.to_owned()),
    }
}
