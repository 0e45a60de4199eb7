//! Which machine asks.
//!
//! A loader says who it is in its URL (MAC address, SMBIOS UUID, both filled in by DHCP); the network says
//! where the request came from (address, and the card behind it as the kernel's neighbour table knows it).
//! A script is given on the loader's word as long as the network does not contradict it. Ignition is given
//! on the network's word alone.

use std::fmt;
use std::net::IpAddr;

use faros_common::site::Mac;

/// A node, as far as telling machines apart is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Its cards.
    pub macs: Vec<Mac>,
    /// Its SMBIOS UUID.
    pub uuid: Option<Uuid>,
    /// Its reserved addresses.
    pub addresses: Vec<IpAddr>,
}

/// An SMBIOS UUID. Firmware and systems disagree on the byte order of its first half; both orders of one
/// UUID are equal here.
#[derive(Clone, Copy, Eq)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// Reads 32 hexadecimal digits, with or without dashes.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
        if digits.len() != 32 || text.len() > 36 {
            return None;
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        // Firmware without a UUID of its own says all zeroes or all ones.
        (bytes != [0; 16] && bytes != [0xff; 16]).then_some(Self(bytes))
    }

    fn other_order(self) -> [u8; 16] {
        let mut bytes = self.0;
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        bytes
    }
}

impl PartialEq for Uuid {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.other_order() == other.0
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is known about who asks for a script.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The card, by the loader's word.
    pub mac: Option<Mac>,
    /// The UUID, by the loader's word.
    pub uuid: Option<Uuid>,
    /// Where the request came from.
    pub peer: IpAddr,
    /// The card behind that address, where the kernel knows it.
    pub neighbour: Option<Mac>,
    /// Whether the request came from the bastion itself: somebody wants to see a script.
    pub local: bool,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A node, by its place in the roster.
    Node {
        /// Its place.
        index: usize,
        /// What named it.
        by: By,
        /// Whether the answer is only looked at, and changes nothing.
        preview: bool,
    },
    /// A machine that the site file does not have.
    Unknown {
        /// Its card.
        mac: Option<Mac>,
    },
    /// A machine of which two things are said that cannot both be true.
    Conflict {
        /// What is said, for console, event and `explain`.
        because: String,
    },
}

/// What named a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Its UUID.
    Uuid,
    /// A card, by the loader's word.
    Mac,
    /// A card, by the neighbour table.
    Neighbour,
    /// Its reserved address.
    Address,
}

impl By {
    /// The name in events and `explain`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Mac => "mac",
            Self::Neighbour => "neighbour",
            Self::Address => "address",
        }
    }
}

/// All nodes of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// In the order of the site file.
    pub machines: Vec<Machine>,
}

impl Roster {
    /// The node of this name.
    pub fn by_name(&self, name: &str) -> Option<usize> {
        self.machines.iter().position(|machine| machine.name.eq_ignore_ascii_case(name))
    }

    /// The node with this card.
    pub fn by_mac(&self, mac: Mac) -> Option<usize> {
        self.machines.iter().position(|machine| machine.macs.contains(&mac))
    }

    /// The node with this UUID.
    pub fn by_uuid(&self, uuid: Uuid) -> Option<usize> {
        self.machines.iter().position(|machine| machine.uuid == Some(uuid))
    }

    /// The node that this address is reserved for.
    pub fn by_address(&self, address: IpAddr) -> Option<usize> {
        self.machines.iter().position(|machine| machine.addresses.contains(&address))
    }

    /// Who asks for a script.
    pub fn identify(&self, claim: Claim) -> Identity {
        let by_uuid = claim.uuid.and_then(|uuid| self.by_uuid(uuid));
        let by_mac = claim.mac.and_then(|mac| self.by_mac(mac));
        let by_neighbour = claim.neighbour.and_then(|mac| self.by_mac(mac));
        let by_address = self.by_address(claim.peer);
        let (index, by) = match (by_uuid, by_mac) {
            (Some(one), Some(other)) if one != other => {
                let (one, other) = (&self.machines[one].name, &self.machines[other].name);
                return Identity::Conflict {
                    because: format!("its UUID belongs to {one}, its MAC address to {other}"),
                };
            }
            (Some(index), _) => (index, By::Uuid),
            (None, Some(index)) => (index, By::Mac),
            (None, None) if claim.mac.is_some() => return Identity::Unknown { mac: claim.mac },
            (None, None) => match (by_address, by_neighbour) {
                (Some(index), _) => (index, By::Address),
                (None, Some(index)) => (index, By::Neighbour),
                (None, None) => return Identity::Unknown { mac: claim.neighbour },
            },
        };
        if claim.local {
            return Identity::Node { index, by, preview: true };
        }
        match self.contradiction(index, claim, by_neighbour, by_address) {
            Some(because) => Identity::Conflict { because },
            None => Identity::Node { index, by, preview: false },
        }
    }

    /// What the network knows that speaks against the node at `index`.
    fn contradiction(
        &self,
        index: usize,
        claim: Claim,
        by_neighbour: Option<usize>,
        by_address: Option<usize>,
    ) -> Option<String> {
        let machine = &self.machines[index];
        match claim.neighbour {
            // A machine known by its UUID alone may have any card but another node's.
            Some(_) if machine.macs.is_empty() && by_neighbour.is_none() => None,
            Some(card) if by_neighbour != Some(index) => Some(format!(
                "it says that it is {}, but {} is at the card {card}, which is {}",
                machine.name,
                claim.peer,
                by_neighbour.map_or("none of that node's", |other| self.machines[other].name.as_str()),
            )),
            Some(_) => None,
            None => by_address.filter(|other| *other != index).map(|other| {
                let reserved = &self.machines[other].name;
                format!("it says that it is {}, but {} is reserved for {reserved}", machine.name, claim.peer)
            }),
        }
    }
}

/// What dhcpd knows about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It was not asked: the node has a reserved address.
    NotAsked,
    /// It cannot be asked at present.
    Unavailable,
    /// Nobody has the address.
    None,
    /// It is in force for this client.
    Of {
        /// The client's card.
        mac: Option<Mac>,
        /// The node that dhcpd takes the client for, by UUID or card.
        node: Option<String>,
    },
}

/// Why a machine may not have a node's Ignition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeedDenied {
    /// The request is not from the node's address.
    Address {
        /// The addresses it would have to be from.
        expected: Vec<IpAddr>,
    },
    /// Another card is at the node's address.
    Card {
        /// That card.
        found: Mac,
    },
    /// The node has no reserved address, and the lease of this one is not the node's.
    Lease,
    /// It cannot be told yet, because dhcpd does not answer: 503.
    Undecided,
}

impl SeedDenied {
    /// The reason in the event and the metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Address { .. } => "foreign_address",
            Self::Card { .. } => "foreign_card",
            Self::Lease => "foreign_lease",
            Self::Undecided => "dhcpd_unavailable",
        }
    }

    /// What is wrong, and what would be right.
    pub fn text(&self) -> String {
        match self {
            Self::Address { expected } => {
                let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
                format!("the node's address is {}", expected.join(" or "))
            }
            Self::Card { found } => format!("the card {found} at this address is none of the node's"),
            Self::Lease => {
                "the node has no address in the site file, and this one is not leased to it".to_owned()
            }
            Self::Undecided => "dhcpd cannot be asked whose address this is".to_owned(),
        }
    }
}

/// Whether `machine` is at `peer`, so that its secrets may be sent there.
///
/// # Errors
/// Why not.
pub fn may_have_seed(
    machine: &Machine,
    peer: IpAddr,
    neighbour: Option<Mac>,
    lease: &Lease,
) -> Result<(), SeedDenied> {
    let own_card = |mac: Mac| machine.macs.is_empty() || machine.macs.contains(&mac);
    if machine.addresses.is_empty() {
        match lease {
            Lease::Of { node: Some(node), .. } if *node == machine.name => {}
            Lease::Of { node: None, mac: Some(mac) } if machine.macs.contains(mac) => {}
            Lease::Unavailable | Lease::NotAsked => return Err(SeedDenied::Undecided),
            Lease::Of { .. } | Lease::None => return Err(SeedDenied::Lease),
        }
    } else if !machine.addresses.contains(&peer) {
        return Err(SeedDenied::Address { expected: machine.addresses.clone() });
    }
    match neighbour {
        Some(found) if !own_card(found) => Err(SeedDenied::Card { found }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(last: u8) -> Mac {
        Mac([0x52, 0x54, 0, 0, 8, last])
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 168, 8, last])
    }

    const UUID: &str = "00112233-4455-6677-8899-aabbccddeeff";

    fn roster() -> Roster {
        let machine = |name: &str, macs: &[u8], address: &[u8]| Machine {
            name: name.to_owned(),
            macs: macs.iter().copied().map(mac).collect(),
            uuid: None,
            addresses: address.iter().copied().map(ip).collect(),
        };
        let uuid = Uuid::parse(UUID);
        Roster {
            machines: vec![
                machine("cp1", &[0x11], &[11]),
                machine("cp2", &[0x12, 0x13], &[12]),
                machine("roaming", &[0x20], &[]),
                Machine { uuid, ..machine("known-by-uuid", &[], &[30]) },
            ],
        }
    }

    fn claim(peer: u8) -> Claim {
        Claim { mac: None, uuid: None, peer: ip(peer), neighbour: None, local: false }
    }

    fn node(index: usize, by: By) -> Identity {
        Identity::Node { index, by, preview: false }
    }

    #[test]
    fn a_machine_is_known_by_any_of_its_cards() {
        for card in [0x12, 0x13] {
            let claim = Claim { mac: Some(mac(card)), neighbour: Some(mac(card)), ..claim(12) };
            assert_eq!(roster().identify(claim), node(1, By::Mac));
        }
    }

    #[test]
    fn without_a_claim_the_address_and_then_the_card_decide() {
        assert_eq!(roster().identify(claim(11)), node(0, By::Address));
        assert_eq!(
            roster().identify(Claim { neighbour: Some(mac(0x20)), ..claim(200) }),
            node(2, By::Neighbour)
        );
        assert_eq!(roster().identify(claim(200)), Identity::Unknown { mac: None });
    }

    #[test]
    fn a_uuid_is_known_in_both_byte_orders() {
        for text in [UUID, "33221100-5544-7766-8899-AABBCCDDEEFF", "00112233445566778899aabbccddeeff"] {
            let claim = Claim {
                uuid: Uuid::parse(text),
                mac: Some(mac(0x77)),
                neighbour: Some(mac(0x77)),
                ..claim(30)
            };
            assert_eq!(roster().identify(claim), node(3, By::Uuid), "{text}");
        }
        for text in [
            "",
            "0",
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "g0112233445566778899aabbccddeeff",
        ] {
            assert_eq!(Uuid::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_unknown_card_is_unknown_even_at_a_known_address() {
        let claim = Claim { mac: Some(mac(0x99)), ..claim(11) };
        assert_eq!(roster().identify(claim), Identity::Unknown { mac: Some(mac(0x99)) });
    }

    #[test]
    fn what_cannot_both_be_true_is_a_conflict() {
        let base = claim(11);
        for (what, claim) in [
            ("uuid against mac", Claim { uuid: Uuid::parse(UUID), mac: Some(mac(0x11)), ..base }),
            (
                "mac against another node's card",
                Claim { mac: Some(mac(0x11)), neighbour: Some(mac(0x12)), ..base },
            ),
            (
                "mac against a stranger's card",
                Claim { mac: Some(mac(0x11)), neighbour: Some(mac(0x99)), ..base },
            ),
            ("mac against another node's address", Claim { mac: Some(mac(0x12)), ..base }),
            ("address against a stranger's card", Claim { neighbour: Some(mac(0x99)), ..base }),
            (
                "uuid against another node's card",
                Claim { uuid: Uuid::parse(UUID), neighbour: Some(mac(0x11)), ..base },
            ),
        ] {
            assert!(matches!(roster().identify(claim), Identity::Conflict { .. }), "{what}");
        }
    }

    #[test]
    fn the_bastion_itself_only_looks() {
        let claim = Claim { mac: Some(mac(0x11)), local: true, ..claim(1) };
        assert_eq!(roster().identify(claim), Identity::Node { index: 0, by: By::Mac, preview: true });
    }

    #[test]
    fn ignition_is_given_on_the_networks_word_alone() {
        let roster = roster();
        let [cp1, _, roaming, by_uuid] = &roster.machines[..] else { panic!() };
        let (own, other) = (Some(mac(0x11)), Some(mac(0x12)));
        let lease = Lease::NotAsked;
        assert_eq!(may_have_seed(cp1, ip(11), own, &lease), Ok(()));
        assert_eq!(may_have_seed(cp1, ip(11), None, &lease), Ok(()));
        assert!(matches!(may_have_seed(cp1, ip(12), other, &lease), Err(SeedDenied::Address { .. })));
        assert!(matches!(may_have_seed(cp1, ip(12), own, &lease), Err(SeedDenied::Address { .. })));
        assert_eq!(may_have_seed(cp1, ip(11), other, &lease), Err(SeedDenied::Card { found: mac(0x12) }));
        assert_eq!(may_have_seed(by_uuid, ip(30), other, &lease), Ok(()));
        let card = Some(mac(0x20));
        let of = |last, node: Option<&str>| Lease::Of { mac: Some(mac(last)), node: node.map(str::to_owned) };
        assert_eq!(may_have_seed(roaming, ip(200), card, &of(0x20, None)), Ok(()));
        assert_eq!(may_have_seed(roaming, ip(200), card, &of(0x20, Some("roaming"))), Ok(()));
        assert_eq!(may_have_seed(roaming, ip(200), card, &of(0x21, None)), Err(SeedDenied::Lease));
        assert_eq!(may_have_seed(roaming, ip(200), card, &of(0x20, Some("cp1"))), Err(SeedDenied::Lease));
        assert_eq!(may_have_seed(roaming, ip(200), card, &Lease::None), Err(SeedDenied::Lease));
        assert_eq!(may_have_seed(roaming, ip(200), card, &Lease::Unavailable), Err(SeedDenied::Undecided));
        assert!(matches!(
            may_have_seed(roaming, ip(200), other, &of(0x20, None)),
            Err(SeedDenied::Card { .. })
        ));
    }
}
