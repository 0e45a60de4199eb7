//! Which machine an argument means: a node's name, a MAC, an address or a UUID.

use std::collections::BTreeSet;
use std::net::IpAddr;

use faros_common::site::{Mac, OwnerKind, Site};
use serde::Serialize;

use crate::events::event::Event;
use crate::leases::Lease;

/// A machine as far as it is known by whatever names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Machine {
    /// Its name in the site file.
    pub(crate) name: Option<String>,
    /// What the site file says it is; `None`: the site file does not know it.
    pub(crate) kind: Option<OwnerKind>,
    pub(crate) macs: Vec<Mac>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) uuid: Option<String>,
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
            let meant = |lease: &&Lease| lease.concerns(&machine) || (bare && lease.is_named(argument));
            for lease in leases.iter().filter(meant).collect::<Vec<_>>() {
                machine.take(lease);
            }
            found = site
                .and_then(|site| known(site).into_iter().find(|known| known.shares_identity_with(&machine)));
        }
        let mut resolved = found.unwrap_or(machine);
        for lease in leases.iter().filter(|lease| lease.concerns(&resolved)).collect::<Vec<_>>() {
            resolved.take(lease);
        }
        (resolved != Self::default()).then_some(resolved)
    }

    /// A machine of which only a name is known.
    pub(crate) fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
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
    let mut known: Vec<Machine> = site
        .reservations()
        .into_iter()
        .map(|reservation| Machine {
            name: Some(reservation.name),
            kind: Some(reservation.kind),
            macs: reservation.macs,
            addresses: Vec::new(),
            uuid: reservation.uuid,
        })
        .collect();
    // Owners come with addresses, also those that DHCP has nothing to do with.
    for (address, owner) in site.owners() {
        let place = known.iter().position(|machine| machine.name.as_ref() == Some(&owner.name));
        let place = place.unwrap_or_else(|| {
            known.push(Machine { kind: Some(owner.kind), ..Machine::named(&owner.name) });
            known.len() - 1
        });
        known[place].addresses.push(address);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn site() -> Site {
        let text = r#"
            version = 1
            [cluster]
            name = "edge"
            domain = "example.com"
            [lan]
            interface = "lan0"
            address = "192.168.8.1/24"
            pool = "192.168.8.128-192.168.8.250"
            [[node]]
            name = "cp1"
            role = "control-plane"
            mac = ["52:54:00:00:08:11", "52:54:00:00:08:12"]
            address = "192.168.8.11"
            bmc = { url = "redfish://192.168.8.211", mac = "52:54:00:00:09:11", address = "192.168.8.211" }
            [[host]]
            name = "printer"
            mac = "52:54:00:aa:00:01"
            address = "192.168.8.62"
        "#;
        faros_common::site::parse(text, std::path::Path::new("site.toml")).unwrap().site
    }

    fn leases() -> Vec<Lease> {
        crate::leases::read_all(&json!([
            { "address": "192.168.8.130", "mac": "52:54:00:aa:00:02", "host_name": "laptop", "state": "active" },
            { "address": "192.168.8.131", "mac": "52:54:00:00:08:12", "state": "active" },
        ]))
    }

    fn resolve(argument: &str) -> Option<(Option<String>, usize, usize)> {
        let machine = Machine::resolve(argument, Some(&site()), &leases())?;
        Some((machine.name, machine.macs.len(), machine.addresses.len()))
    }

    #[test]
    fn a_node_is_found_by_everything_it_has() {
        let cp1 = Some((Some("cp1".to_owned()), 2, 2));
        for argument in
            ["cp1", "cp1.edge.example.com", "cp1.edge.example.com.", "192.168.8.11", "5254.0000.0812"]
        {
            assert_eq!(resolve(argument), cp1, "{argument}");
        }
        // The address of a dynamic lease leads to the card, and the card to the node.
        assert_eq!(resolve("192.168.8.131"), cp1);
        assert_eq!(resolve("52:54:00:00:09:11").unwrap().0.as_deref(), Some("cp1-mgmt"));
        assert_eq!(resolve("192.168.8.62").unwrap().0.as_deref(), Some("printer"));
    }

    #[test]
    fn strangers_are_what_their_lease_says() {
        assert_eq!(resolve("laptop"), Some((None, 1, 1)));
        assert_eq!(resolve("192.168.8.130"), Some((None, 1, 1)));
        assert_eq!(resolve("52:54:00:ff:ff:ff"), Some((None, 1, 0)));
        assert_eq!(resolve("nobody"), None);
        assert!(resolve("b1e7c2c0-8a5f-4b0e-9f57-3c1d2e4f5a6b").is_some());
    }

    #[test]
    fn an_event_concerns_the_machine_it_names() {
        let cp1 = Machine::resolve("cp1", Some(&site()), &[]).unwrap();
        let concerns = |fields: &str| {
            let line = format!(r#"{{"daemon":"dhcpd","event":"x"{fields}}}"#);
            cp1.concerns(&Event::parse(&line).unwrap())
        };
        assert!(concerns(r#","node":"cp1""#));
        assert!(concerns(r#","mac":"52:54:00:00:08:12""#));
        assert!(concerns(r#","address":"192.168.8.11""#));
        assert!(!concerns(r#","node":"cp2","address":"192.168.8.11""#));
        assert!(!concerns(r#","mac":"52:54:00:aa:00:01","address":"192.168.8.11""#));
        assert!(!concerns(""));
    }
}
