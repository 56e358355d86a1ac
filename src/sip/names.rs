//! Names of trunks and contacts, and the addresses they resolve to.
//!
//! The door is pure and cannot ask a name server, so a task asks ahead of time for every name in
//! the configuration, and the door looks them up here. A name that stops resolving keeps its last
//! address: an old address that may work beats none.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sbc_config::{Config, Host, Reach};

/// How often names are asked for: short enough to follow a failover that DNS announces.
pub const REFRESH: Duration = Duration::from_secs(30);

/// How long a name server may take: the next refresh asks again, and others wait behind this one.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Addresses by name.
#[derive(Debug, Default, Clone)]
pub struct Names(HashMap<Arc<str>, IpAddr>);

impl Names {
    /// The address of a name, if it ever resolved.
    pub fn get(&self, name: &str) -> Option<IpAddr> {
        self.0.get(name).copied()
    }
}

/// Every name the configuration sends calls to.
pub fn wanted(config: &Config) -> Vec<Arc<str>> {
    let trunks = config.trunks.iter().flat_map(|trunk| &trunk.destinations);
    let contacts = config.people.iter().filter_map(|person| match &person.reach {
        Reach::Contact(contact) => Some(&contact.destination),
        Reach::Register(_) => None,
    });
    let names = trunks.chain(contacts).filter_map(|destination| match &destination.host {
        Host::Name(name) => Some(name.clone()),
        Host::Ip(_) => None,
    });
    names.collect()
}

/// Asks for every wanted name once, and puts what is found in force.
pub async fn refresh(config: &Config, names: &ArcSwap<Names>) {
    let mut found = Names::clone(&names.load());
    let wanted = wanted(config);
    found.0.retain(|name, _| wanted.contains(name));
    for name in wanted {
        let asked = tokio::time::timeout(ANSWER_MAX, tokio::net::lookup_host((&*name, 0))).await;
        match asked.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
            Ok(mut addresses) => {
                found.0.extend(addresses.next().map(|address| (name.clone(), address.ip())));
            }
            Err(error) => tracing::warn!(%name, %error, "a configured name does not resolve"),
        }
    }
    names.store(Arc::new(found));
}
