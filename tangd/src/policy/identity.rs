//! Which node asks. A request for a key names nobody, so the network alone can tell: the address, the card that the
//! kernel sees behind it, and the lease that dhcpd has given for it.

use std::net::IpAddr;

use faros_common::site::{Mac, Site};

/// A node, as far as telling machines apart is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Its cards; none where it is known by its UUID alone.
    pub macs: Vec<Mac>,
    /// Its reserved addresses.
    pub addresses: Vec<IpAddr>,
}

/// All nodes of a site, and this bastion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The nodes, in the order of the site file.
    pub machines: Vec<Machine>,
    /// This bastion's own addresses.
    pub own: Vec<IpAddr>,
}

/// What dhcpd says about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It was not asked, as nothing depends on it.
    NotAsked,
    /// Nobody has it.
    None,
    /// It is leased.
    Of {
        /// The client's card.
        mac: Option<Mac>,
        /// The node that the client is.
        node: Option<String>,
        /// What the client is called, by the site file or by itself.
        name: Option<String>,
    },
    /// dhcpd does not answer.
    Unavailable,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address; IPv4 also where it came mapped into IPv6.
    pub address: IpAddr,
    /// Its card: the one that the kernel sees, else the one that the lease was given to.
    pub mac: Option<Mac>,
    /// The node that it is, or seems to be.
    pub node: Option<String>,
    /// The name in its lease.
    pub lease: Option<String>,
    /// How certain that is.
    pub standing: Standing,
    /// Every node that the address or the card belongs to: more than one where they contradict each other.
    pub claims: Vec<String>,
}

/// What is known about a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This bastion itself.
    Bastion,
    /// The address is reserved for the node.
    Reserved,
    /// The address is leased to the node.
    Leased,
    /// The card is the node's, the address is nobody's.
    Card,
    /// What is known cannot all be true.
    Contradicted(String),
    /// Nobody who is known.
    Unknown,
    /// Whose address it is, only dhcpd knows, and it does not answer.
    Unclear,
}

impl Client {
    /// The name under which it is held, approved and limited: the node's, else its address.
    #[must_use]
    pub fn subject(&self) -> String {
        self.node.clone().unwrap_or_else(|| self.address.to_string())
    }

    /// A client that is known by its address alone.
    #[must_use]
    pub fn stranger(address: IpAddr) -> Self {
        let standing = Standing::Unknown;
        Self { address, mac: None, node: None, lease: None, standing, claims: Vec::new() }
    }
}

impl Roster {
    /// The nodes of `site`.
    #[must_use]
    pub fn of(site: &Site) -> Self {
        let machines = site.nodes.iter().map(|node| {
            let v4 = node.address.map(IpAddr::V4);
            let addresses = v4.into_iter().chain(node.address6.map(IpAddr::V6)).collect();
            Machine { name: node.name.clone(), macs: site.macs_of(node), addresses }
        });
        let v6 = site.lan.address6.map(|net| IpAddr::V6(net.addr()));
        let own = [site.bastion(), site.lan.vip.into()].into_iter().chain(v6).collect();
        Self { machines: machines.collect(), own }
    }

    /// The node of this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.name.eq_ignore_ascii_case(name))
    }

    /// The node with this card.
    #[must_use]
    pub fn by_mac(&self, mac: Mac) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.macs.contains(&mac))
    }

    /// The node that this address is reserved for.
    #[must_use]
    pub fn by_address(&self, address: IpAddr) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.addresses.contains(&address))
    }

    /// Whether `address` is this bastion's.
    #[must_use]
    pub fn is_own(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.own.contains(&address)
    }

    /// Whether a lease says more about `address` than the site file does. Cards decide about reserved addresses, where
    /// the node has any; dhcpd leases no IPv6 addresses.
    #[must_use]
    pub fn depends_on_lease(&self, address: IpAddr) -> bool {
        let decided = self.by_address(address).is_some_and(|machine| !machine.macs.is_empty());
        address.is_ipv4() && !decided && !self.is_own(address)
    }

    /// Who asks from `address`, with the card that the kernel sees there, if it sees one (not beyond a router), and
    /// what dhcpd says about the address.
    #[must_use]
    pub fn identify(&self, address: IpAddr, card: Option<Mac>, lease: &Lease) -> Client {
        let leased = match lease {
            Lease::Of { mac, node, name } => Some((*mac, node.as_deref(), name.clone())),
            _ => None,
        };
        let by_card = card.and_then(|card| self.by_mac(card));
        let by_address = self.by_address(address);
        let by_lease = leased.as_ref().and_then(|(_, node, _)| self.by_name((*node)?));
        let mut claims: Vec<String> = Vec::new();
        for machine in [by_card, by_address, by_lease].into_iter().flatten() {
            if !claims.contains(&machine.name) {
                claims.push(machine.name.clone());
            }
        }
        let client = |machine: Option<&Machine>, standing| Client {
            address,
            mac: card.or(leased.as_ref().and_then(|(mac, _, _)| *mac)),
            node: machine.map(|machine| machine.name.clone()),
            lease: leased.as_ref().and_then(|(_, _, name)| name.clone()),
            standing,
            claims: claims.clone(),
        };
        if self.is_own(address) {
            return client(None, Standing::Bastion);
        }
        let leased_mac = leased.as_ref().and_then(|(mac, _, _)| *mac);
        if let Some((machine, standing)) =
            by_address.map(|m| (m, Standing::Reserved)).or(by_lease.map(|m| (m, Standing::Leased)))
        {
            return match card.and_then(|card| contradiction(machine, address, card, by_card, leased_mac)) {
                // Whose card it is tells more than an address that anybody can take.
                Some(because) => client(by_card, Standing::Contradicted(because)),
                None => client(Some(machine), standing),
            };
        }
        match lease {
            Lease::Unavailable => client(by_card, Standing::Unclear),
            _ if by_card.is_some() => client(by_card, Standing::Card),
            _ => client(None, Standing::Unknown),
        }
    }
}

/// What speaks against `machine` being at `address`, where the kernel sees `card`.
fn contradiction(
    machine: &Machine,
    address: IpAddr,
    card: Mac,
    by_card: Option<&Machine>,
    leased: Option<Mac>,
) -> Option<String> {
    let name = &machine.name;
    match by_card {
        Some(other) if other.name != *name => {
            Some(format!("{address} is {name}'s, but the card {card} behind it is {}'s", other.name))
        }
        Some(_) => None,
        None if !machine.macs.is_empty() => {
            Some(format!("{address} is {name}'s, but the card {card} behind it is not"))
        }
        None => {
            let other = leased.filter(|leased| *leased != card)?;
            Some(format!("{address} is leased to the card {other} of {name}, but {card} is behind it"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(last: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, last])
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn roster() -> Roster {
        let machine = |name: &str, macs: Vec<Mac>, addresses: Vec<IpAddr>| Machine {
            name: name.to_owned(),
            macs,
            addresses,
        };
        Roster {
            machines: vec![
                machine("cp1", vec![mac(1), mac(11)], vec![ip(1)]),
                machine("cp2", vec![mac(2)], vec![ip(2)]),
                machine("w1", vec![mac(3)], vec![]),
                machine("uuid", vec![], vec![]),
            ],
            own: vec![ip(254)],
        }
    }

    fn leased(last: u8, node: Option<&str>) -> Lease {
        let node = node.map(str::to_owned);
        Lease::Of { mac: Some(mac(last)), name: node.clone(), node }
    }

    fn standing(address: u8, card: Option<u8>, lease: &Lease) -> (Option<String>, Standing) {
        let client = roster().identify(ip(address), card.map(mac), lease);
        (client.node, client.standing)
    }

    fn some(name: &str, standing: Standing) -> (Option<String>, Standing) {
        (Some(name.to_owned()), standing)
    }

    #[test]
    fn a_reserved_address_is_the_nodes_unless_another_card_is_behind_it() {
        assert_eq!(standing(1, Some(1), &Lease::NotAsked), some("cp1", Standing::Reserved));
        assert_eq!(
            standing(1, Some(11), &Lease::NotAsked),
            some("cp1", Standing::Reserved),
            "its second card"
        );
        assert_eq!(standing(1, None, &Lease::NotAsked), some("cp1", Standing::Reserved), "beyond a router");
        let (node, contradicted) = standing(1, Some(99), &Lease::NotAsked);
        assert!(node.is_none() && matches!(contradicted, Standing::Contradicted(_)));
    }

    #[test]
    fn a_node_at_anothers_address_is_contradicted_and_both_are_named() {
        let client = roster().identify(ip(1), Some(mac(2)), &Lease::NotAsked);
        assert!(matches!(&client.standing, Standing::Contradicted(why) if why.contains("cp2")));
        assert_eq!(client.claims, ["cp2", "cp1"]);
    }

    #[test]
    fn a_lease_is_its_nodes_while_its_card_is_behind_the_address() {
        assert_eq!(standing(100, Some(3), &leased(3, Some("w1"))), some("w1", Standing::Leased));
        assert_eq!(standing(100, None, &leased(3, Some("w1"))), some("w1", Standing::Leased));
        let (_, spoofed) = standing(100, Some(99), &leased(3, Some("w1")));
        assert!(matches!(spoofed, Standing::Contradicted(_)));
        assert_eq!(standing(100, Some(7), &leased(7, Some("uuid"))), some("uuid", Standing::Leased));
        let (_, spoofed) = standing(100, Some(8), &leased(7, Some("uuid")));
        assert!(matches!(spoofed, Standing::Contradicted(_)));
    }

    #[test]
    fn nobodys_address_is_nobodys_and_a_silent_dhcpd_leaves_it_open() {
        assert_eq!(standing(100, Some(99), &Lease::None), (None, Standing::Unknown));
        assert_eq!(standing(100, Some(99), &leased(99, None)), (None, Standing::Unknown));
        assert_eq!(standing(100, Some(3), &Lease::None), some("w1", Standing::Card));
        assert_eq!(standing(100, Some(3), &Lease::Unavailable), some("w1", Standing::Unclear));
        assert_eq!(standing(1, Some(1), &Lease::Unavailable), some("cp1", Standing::Reserved));
        assert_eq!(standing(254, None, &Lease::NotAsked), (None, Standing::Bastion));
    }

    #[test]
    fn leases_are_asked_for_where_they_decide() {
        let roster = roster();
        assert!(!roster.depends_on_lease(ip(1)) && roster.depends_on_lease(ip(100)));
        assert!(!roster.depends_on_lease(ip(254)) && !roster.depends_on_lease("fd08::11".parse().unwrap()));
    }
}
