//! The rules as a value: what is wanted, and what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use faros_common::netlink::nftables::{ChainKind, Expression, Hook, Key, Payload};

/// The contents of our table. No order but that of the rules of a chain means anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ruleset {
    /// Named counters.
    pub(super) counters: BTreeSet<String>,
    /// Maps and sets by name.
    pub(super) sets: BTreeMap<String, Set>,
    /// Chains by name.
    pub(super) chains: BTreeMap<String, Chain>,
}

/// A map from keys to what becomes of the packet, or a set that fills by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set {
    /// What its keys are.
    pub(super) shape: Shape,
    /// Its elements; none are listed of a [`Shape::Closed`] or [`Shape::Sources`].
    pub(super) elements: BTreeMap<Vec<u8>, Target>,
}

/// What a map leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The rules of a chain, and no others.
    Goto(String),
    /// It is accepted.
    Accept,
}

/// What the keys of a map are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Shape {
    /// Destination address and port.
    Services(Family),
    /// Destination port.
    Ports,
    /// The port that the client asked for, and the server's address and port.
    Servers(Family),
    /// The number that was drawn.
    Slots(u32),
    /// Connections that were closed from here: source address and port, destination address and port. No map; each
    /// element leaves by itself.
    Closed(Family),
    /// Source addresses with connections, each with its count. No map; filled by the rules themselves.
    Sources(Family),
}

impl Shape {
    /// Whether its elements are not of the compiler's making.
    pub(super) fn fills_by_itself(self) -> bool {
        matches!(self, Self::Closed(_) | Self::Sources(_))
    }
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// Where packets meet it; `None`: by jumps only.
    pub(super) place: Option<Place>,
    /// Its rules.
    pub(super) rules: Vec<Vec<Expression>>,
}

/// Where packets meet a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What it may do.
    pub(super) kind: ChainKind,
    /// At which point of the way.
    pub(super) hook: Hook,
    /// In which order.
    pub(super) priority: i32,
}

/// The family of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Family {
    Four,
    Six,
}

impl Family {
    pub(super) const BOTH: [Self; 2] = [Self::Four, Self::Six];

    pub(super) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Four } else { Self::Six }
    }

    /// The digit at the end of names.
    pub(super) fn digit(self) -> char {
        match self {
            Self::Four => '4',
            Self::Six => '6',
        }
    }

    /// `NFPROTO_…`.
    pub(super) fn protocol(self) -> u8 {
        match self {
            Self::Four => 2,
            Self::Six => 10,
        }
    }

    /// Octets of an address.
    pub(super) fn octets(self) -> usize {
        match self {
            Self::Four => 4,
            Self::Six => 16,
        }
    }

    pub(super) fn source(self) -> Payload {
        match self {
            Self::Four => Payload::IPV4_SOURCE,
            Self::Six => Payload::IPV6_SOURCE,
        }
    }

    pub(super) fn destination(self) -> Payload {
        match self {
            Self::Four => Payload::IPV4_DESTINATION,
            Self::Six => Payload::IPV6_DESTINATION,
        }
    }
}

/// The octets of an address, as in a packet.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    Key::new().address(address).build()
}

/// The key of an address and port in [`Shape::Services`].
pub(super) fn service_key(service: SocketAddr) -> Vec<u8> {
    Key::new().address(service.ip()).port(service.port()).build()
}

/// The key of a server in [`Shape::Servers`], for clients that asked for port `asked`.
pub(super) fn server_key(asked: u16, server: SocketAddr) -> Vec<u8> {
    Key::new().port(asked).address(server.ip()).port(server.port()).build()
}

/// The key of a connection in [`Shape::Closed`].
pub(super) fn connection_key(client: SocketAddr, service: SocketAddr) -> Vec<u8> {
    let key = Key::new().address(client.ip()).port(client.port());
    key.address(service.ip()).port(service.port()).build()
}
