//! Which zones a site has, and what stands in them before leases and updates are added.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use faros_common::site::{ClusterKind, Role, Site, pointer_owner};

use super::discovery::{self, Listeners};
use super::record::{self, SITE_TIMERS, TTL_SECS};
use super::{configured, local, reverse};
use crate::protocol::code::kind;
use crate::protocol::name::{Name, NameError};
use crate::zone::Record;

/// The port of etcd's peers, as `_etcd-server-ssl._tcp` gives it.
const ETCD_PEER_PORT: u16 = 2380;

/// What a zone is for; in the order in which zones are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ZoneKind {
    /// The cluster's own names.
    Cluster,
    /// Addresses of the site, backwards.
    Reverse,
    /// Names of other domains that the site file answers in their owners' place.
    Override,
    /// Names that no server may ask the world about; see [`local`](super::local).
    Local,
    /// A conditional zone inside of one of the others: nothing in it is answered here.
    Hole,
}

impl ZoneKind {
    /// The name in status answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Reverse => "reverse",
            Self::Override => "override",
            Self::Local => "local",
            Self::Hole => "hole",
        }
    }

    /// Whether names that are not in the zone are left to others instead of being denied.
    pub fn is_transparent(self) -> bool {
        matches!(self, Self::Override | Self::Hole)
    }
}

/// A zone with all that the site file puts into it.
#[derive(Clone, Debug)]
pub struct ZonePlan {
    /// Its apex.
    pub origin: Name,
    /// What it is for.
    pub kind: ZoneKind,
    /// Its records; the SOA, with serial 1, comes first.
    pub records: Vec<Record>,
}

/// All zones of a site, and what leases must keep clear of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The zones by origin, in canonical order.
    pub zones: BTreeMap<Name, ZonePlan>,
    /// The apex of the cluster zone.
    pub cluster: Name,
    /// Fixed addresses: whoever leases one has its name from the site file.
    pub fixed: BTreeSet<IpAddr>,
    /// First labels below the cluster's apex that have records of some sort, and whether one of them says where the
    /// name itself leads (an address or an alias).
    pub labels: BTreeMap<Vec<u8>, bool>,
    /// Names of the site's machines, also of those without a fixed address.
    pub machines: BTreeSet<Vec<u8>>,
}

/// A configured record that cannot be served, by its place in `dns.record`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFlaw {
    /// Its place, from 0.
    pub index: usize,
    /// What is wrong, as a fact.
    pub message: String,
    /// What would be right.
    pub help: &'static str,
}

impl Plan {
    /// The zones of `site` while its bootstrap machine has names, or has none any more.
    ///
    /// # Errors
    /// Configured records that cannot be served.
    pub fn of(site: &Site, listeners: &Listeners, bootstrap: bool) -> Result<Self, Vec<RecordFlaw>> {
        let mut named = site.clone();
        for node in named.nodes.iter_mut().filter(|node| !bootstrap && node.role == Role::Bootstrap) {
            (node.address, node.address6) = (None, None);
        }
        let derived = Self::derived(&named, listeners);
        let mut plan = derived.map_err(|error| {
            // The names of a proven site are names.
            vec![RecordFlaw { index: 0, message: error.to_string(), help: "mend the names of the site file" }]
        })?;
        // Whoever has no names still has its address.
        plan.fixed = fixed_addresses(site);
        configured::add(&mut plan, site)?;
        plan.note_labels();
        Ok(plan)
    }

    /// The zone that `name` belongs to by this plan: the one with the longest origin.
    pub fn zone_of(&self, name: &Name) -> Option<&ZonePlan> {
        let mut at = Some(name.clone());
        while let Some(origin) = at {
            if let Some(zone) = self.zones.get(&origin) {
                return Some(zone);
            }
            at = origin.parent();
        }
        None
    }

    fn derived(site: &Site, listeners: &Listeners) -> Result<Self, NameError> {
        let cluster = Name::parse(&format!("{}.", site.cluster.zone()))?;
        let bastion = cluster.prepend(b"bastion")?;
        let mut plan = Self {
            zones: BTreeMap::new(),
            cluster: cluster.clone(),
            fixed: BTreeSet::new(),
            labels: BTreeMap::new(),
            machines: machine_names(site),
        };
        let mut cluster_records = plan.apex(&cluster)?;
        for name in site.names() {
            cluster_records.push(record::address(&Name::parse(&name.name)?, name.address, TTL_SECS));
        }
        if site.dns.etcd && site.cluster.kind != ClusterKind::None {
            cluster_records.extend(etcd(site, &cluster)?);
        }
        let own: Vec<IpAddr> = std::iter::once(site.bastion())
            .chain(site.lan.address6.map(|net| IpAddr::V6(net.addr())))
            .collect();
        let (resolver, bastion_bindings) = discovery::records(listeners, &bastion, &own)?;
        cluster_records.extend(bastion_bindings);
        plan.put(cluster.clone(), ZoneKind::Cluster, cluster_records);
        for origin in reverse::origins(site)? {
            let records = plan.apex(&origin)?;
            plan.put(origin, ZoneKind::Reverse, records);
        }
        plan.add_local(site, &resolver)?;
        for pointer in site.pointers() {
            let owner = Name::parse(&pointer_owner(pointer.address))?;
            plan.add(record::pointer(&owner, &Name::parse(&pointer.name)?, TTL_SECS))?;
        }
        Ok(plan)
    }

    /// The local zones that nothing of the site takes the place of, and the conditional zones inside of what is ours.
    fn add_local(&mut self, site: &Site, resolver: &[Record]) -> Result<(), NameError> {
        let conditional = site.dns.conditional.iter().map(|conditional| Name::parse(&conditional.zone));
        let conditional = conditional.collect::<Result<Vec<Name>, _>>()?;
        let discovery = Name::parse("resolver.arpa.")?;
        for origin in local::origins() {
            let origin = Name::parse(&origin)?;
            let elsewhere = conditional.iter().any(|zone| {
                // Which encrypted resolvers there are is never another server's to say (RFC 9462 section 6.4).
                *zone == origin || (origin.is_within(zone) && origin != discovery)
            });
            if elsewhere || self.zones.contains_key(&origin) {
                continue;
            }
            let mut records = local::records(&origin)?;
            if origin == discovery {
                records.extend(resolver.iter().cloned());
            }
            self.put(origin, ZoneKind::Local, records);
        }
        for zone in conditional {
            if !self.zones.contains_key(&zone) && self.zone_of(&zone).is_some() {
                let records = self.apex(&zone)?;
                self.put(zone, ZoneKind::Hole, records);
            }
        }
        Ok(())
    }

    /// Adds a record to the zone that it belongs to, or else to one that overrides its owner alone.
    pub(super) fn add(&mut self, record: Record) -> Result<(), NameError> {
        let zone = self.zone_of(&record.owner).filter(|zone| {
            // An alias at an apex would stand beside SOA and NS.
            zone.kind != ZoneKind::Hole && (record.kind != kind::CNAME || zone.origin != record.owner)
        });
        let origin = match zone {
            Some(zone) => zone.origin.clone(),
            None => {
                let below = record.kind == kind::CNAME || record.owner.is_wildcard();
                let parent = record.owner.parent().filter(|_| below);
                let origin = parent.unwrap_or_else(|| record.owner.clone());
                if !self.zones.contains_key(&origin) {
                    let apex = self.apex(&origin)?;
                    self.put(origin.clone(), ZoneKind::Override, apex);
                }
                origin
            }
        };
        if let Some(zone) = self.zones.get_mut(&origin) {
            zone.records.push(record);
        }
        Ok(())
    }

    /// SOA and NS of a zone of the site: the bastion serves it.
    fn apex(&self, origin: &Name) -> Result<Vec<Record>, NameError> {
        let bastion = self.cluster.prepend(b"bastion")?;
        let mailbox = self.cluster.prepend(b"hostmaster")?;
        Ok(vec![
            record::authority(origin, &bastion, &mailbox, 1, SITE_TIMERS),
            record::name_server(origin, &bastion, TTL_SECS),
        ])
    }

    fn put(&mut self, origin: Name, kind: ZoneKind, records: Vec<Record>) {
        self.zones.insert(origin.clone(), ZonePlan { origin, kind, records });
    }

    fn note_labels(&mut self) {
        let Some(zone) = self.zones.get(&self.cluster) else { return };
        self.labels = first_labels(&self.cluster, &zone.records);
    }
}

/// First labels below `apex` among the owners of `records`, and whether an address or an alias stands there.
pub(super) fn first_labels(apex: &Name, records: &[Record]) -> BTreeMap<Vec<u8>, bool> {
    let mut labels = BTreeMap::new();
    let depth = apex.label_count();
    for record in records {
        let below = record.owner.label_count().saturating_sub(depth);
        let Some(first) = below.checked_sub(1).and_then(|index| record.owner.labels().nth(index)) else {
            continue;
        };
        let leads = below == 1 && matches!(record.kind, kind::A | kind::AAAA | kind::CNAME);
        *labels.entry(first.to_ascii_lowercase()).or_default() |= leads;
    }
    labels
}

fn fixed_addresses(site: &Site) -> BTreeSet<IpAddr> {
    let owned = site.owners().into_iter().map(|(address, _)| address);
    let named = site.names().into_iter().map(|name| name.address);
    let nodes = site
        .nodes
        .iter()
        .flat_map(|node| node.address.map(IpAddr::V4).into_iter().chain(node.address6.map(IpAddr::V6)));
    owned.chain(named).chain(nodes).collect()
}

fn machine_names(site: &Site) -> BTreeSet<Vec<u8>> {
    let known = site.reservations().into_iter().map(|known| known.name);
    let nodes = site.nodes.iter().map(|node| node.name.clone());
    let guests = site.vms.iter().map(|vm| vm.node.clone());
    let hosts = site.hosts.iter().map(|host| host.name.clone());
    let names = known.chain(nodes).chain(guests).chain(hosts);
    names.map(|name| name.to_ascii_lowercase().into_bytes()).collect()
}

/// What releases up to 4.3 look for: a name per member of etcd, and how its peers are found.
fn etcd(site: &Site, cluster: &Name) -> Result<Vec<Record>, NameError> {
    let mut records = Vec::new();
    let service = cluster.prepend(b"_tcp")?.prepend(b"_etcd-server-ssl")?;
    let members = site.nodes.iter().filter(|node| node.role == Role::ControlPlane);
    for (index, node) in members.enumerate() {
        let owner = cluster.prepend(format!("etcd-{index}").as_bytes())?;
        let addresses = node.address.map(IpAddr::V4).into_iter().chain(node.address6.map(IpAddr::V6));
        let before = records.len();
        records.extend(addresses.map(|address| record::address(&owner, address, TTL_SECS)));
        if records.len() > before {
            records.push(record::service(&service, 0, 10, ETCD_PEER_PORT, &owner, TTL_SECS));
        }
    }
    Ok(records)
}
