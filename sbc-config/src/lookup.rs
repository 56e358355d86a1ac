//! Finding people and trunks by what a SIP message says, without walking the lists for each message.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::id::{PersonId, TenantId};
use crate::people::{Person, Reach};
use crate::trunk::Trunk;

/// Positions in `Config::people` and `Config::trunks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lookup {
    people: HashMap<PersonId, usize>,
    usernames: HashMap<Arc<str>, usize>,
    extensions: HashMap<TenantId, HashMap<Arc<str>, usize>>,
    // Narrowest first, so that the first hit is the answer. A list, because a gateway has tens of ranges.
    sources: Vec<(IpNet, usize)>,
}

impl Lookup {
    pub(crate) fn new(people: &[Person], trunks: &[Trunk]) -> Self {
        let mut usernames = HashMap::new();
        let mut extensions = HashMap::<_, HashMap<_, _>>::new();
        for (at, person) in people.iter().enumerate() {
            if let Reach::Register(credentials) = &person.reach {
                usernames.insert(credentials.username.clone(), at);
            }
            if let Some(extension) = &person.extension {
                extensions.entry(person.tenant.clone()).or_default().insert(extension.clone(), at);
            }
        }
        let of_trunk = |(at, trunk): (usize, &Trunk)| {
            trunk.sources.iter().map(move |range| (*range, at)).collect::<Vec<_>>()
        };
        let mut sources: Vec<_> = trunks.iter().enumerate().flat_map(of_trunk).collect();
        sources.sort_by_key(|(range, at)| (Reverse(range.prefix_len()), *at));
        let people = people.iter().enumerate().map(|(at, person)| (person.id.clone(), at)).collect();
        Self { people, usernames, extensions, sources }
    }

    pub(crate) fn person(&self, id: &PersonId) -> Option<usize> {
        self.people.get(id).copied()
    }

    pub(crate) fn username(&self, username: &str) -> Option<usize> {
        self.usernames.get(username).copied()
    }

    pub(crate) fn extension(&self, tenant: &TenantId, extension: &str) -> Option<usize> {
        self.extensions.get(tenant)?.get(extension).copied()
    }

    /// The trunks whose ranges hold the address, the one with the narrowest first.
    pub(crate) fn sources(&self, source: IpAddr) -> impl Iterator<Item = usize> + Clone {
        // A dual-stack socket shows IPv4 peers as ::ffff:a.b.c.d; ranges are written as IPv4.
        let source = source.to_canonical();
        self.sources.iter().filter(move |(range, _)| range.contains(&source)).map(|(_, at)| *at)
    }
}
