//! Which machine an argument means: a node's name, a MAC, an address or a UUID.

use std::collections::BTreeSet;
use std::net::IpAddr;

use faros_common::site::{Mac, Site};
use serde::Serialize;

use crate::events::event::Event;
use crate::leases::Lease;

/// A machine as far as it is known by whatever names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Machine {
    /// Its name in the site file.
    pub(crate) name: Option<String>,
    /// Whether it is a node, a host, a management controller; `None`: the site file does not know it.
    pub(crate) kind: Option<Kind>,
    pub(crate) macs: Vec<Mac>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) uuid: Option<String>,
}

/// What the site file calls a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Node,
    Host,
    Bmc,
}

impl Machine {
    /// What `argument` means by the site file and the leases; `None` for a name that nobody has.
    pub(crate) fn resolve(argument: &str, site: Option<&Site>, leases: &[Lease]) -> Option<Self> {
        let mut machine = Self::parse(argument);
        let bare = machine == Self::default();
        let mut found = site.and_then(|site| {
            let known = known(site);
            let name = name_within(argument, site);
            known.into_iter().find(|candidate| {
                (bare && candidate.name.as_deref() == Some(name)) || candidate.shares_identity_with(&machine)
            })
        });
        if found.is_none() {
            // A dynamic lease may carry the name, or tie an address to a card that the site knows.
            for lease in leases.iter().filter(|lease| lease.concerns(&machine) || (bare && lease.is_named(argument))) {
                machine.take(lease);
            }
            found = site.and_then(|site| known(site).into_iter().find(|known| known.shares_identity_with(&machine)));
        }
        let mut resolved = found.unwrap_or(machine);
        for lease in leases.iter().filter(|lease| lease.concerns(&resolved)).collect::<Vec<_>>() {
            resolved.take(lease);
        }
        (resolved != Self::default()).then_some(resolved)
    }

    /// The identity that the text itself states, if any.
    fn parse(argument: &str) -> Self {
        let mut machine = Self::default();
        if let Ok(mac) = argument.parse::<Mac>() {
            machine.macs.push(mac);
        } else if let Ok(address) = argument.parse::<IpAddr>() {
            machine.addresses.push(address);
        } else if is_uuid(argument) {
            machine.uuid = Some(argument.to_ascii_lowercase());
        }
        machine
    }

    fn shares_identity_with(&self, other: &Self) -> bool {
        self.macs.iter().any(|mac| other.macs.contains(mac))
            || self.addresses.iter().any(|address| other.addresses.contains(address))
            || (self.uuid.is_some() && self.uuid == other.uuid)
    }

    fn take(&mut self, lease: &Lease) {
        if let Some(mac) = lease.mac.filter(|mac| !self.macs.contains(mac)) {
            self.macs.push(mac);
        }
        if let Some(address) = lease.address.filter(|address| !self.addresses.contains(address)) {
            self.addresses.push(address);
        }
    }

    /// Whether `event` is about this machine.
    pub(crate) fn concerns(&self, event: &Event) -> bool {
        match (&event.node, event.mac) {
            (Some(node), _) if self.name.is_some() => self.name.as_ref() == Some(node),
            (_, Some(mac)) if !self.macs.is_empty() => self.macs.contains(&mac),
            // An address changes hands; it counts where nothing better is known.
            _ => {
                event.address.is_some_and(|address| self.addresses.contains(&address))
                    || (self.uuid.is_some() && event.text("uuid").map(str::to_ascii_lowercase) == self.uuid)
            }
        }
    }

    /// How to call it in a sentence.
    pub(crate) fn label(&self) -> String {
        self.name
            .clone()
            .or_else(|| self.macs.first().map(ToString::to_string))
            .or_else(|| self.addresses.first().map(ToString::to_string))
            .or_else(|| self.uuid.clone())
            .unwrap_or_default()
    }
}

/// Whatever the site file gives an identity to.
fn known(site: &Site) -> Vec<Machine> {
    let mut known = Vec::new();
    for node in &site.nodes {
        known.push(Machine {
            name: Some(node.name.clone()),
            kind: Some(Kind::Node),
            macs: node.macs.clone(),
            addresses: node.address.into_iter().map(IpAddr::V4).chain(node.address6.map(IpAddr::V6)).collect(),
            uuid: node.uuid.clone(),
        });
    }
    for node in &site.nodes {
        let Some(bmc) = &node.bmc else { continue };
        known.push(Machine {
            name: Some(format!("{}-mgmt", node.name)),
            kind: Some(Kind::Bmc),
            macs: bmc.mac.into_iter().collect(),
            addresses: bmc.address.into_iter().map(IpAddr::V4).collect(),
            uuid: None,
        });
    }
    for host in &site.hosts {
        known.push(Machine {
            name: Some(host.name.clone()),
            kind: Some(Kind::Host),
            macs: host.mac.into_iter().collect(),
            addresses: vec![IpAddr::V4(host.address)],
            uuid: None,
        });
    }
    known
}

/// Every card that the site file names.
pub(crate) fn known_macs(site: &Site) -> BTreeSet<Mac> {
    known(site).into_iter().flat_map(|machine| machine.macs).collect()
}

/// `cp1.edge.example.com` is `cp1`.
fn name_within<'a>(argument: &'a str, site: &Site) -> &'a str {
    let argument = argument.trim_end_matches('.');
    argument.strip_suffix(&site.cluster.zone()).and_then(|name| name.strip_suffix('.')).unwrap_or(argument)
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
