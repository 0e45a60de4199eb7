//! Words for rules: what `nft` would say in a line.

use std::net::{IpAddr, SocketAddr};

use faros_common::netlink::nftables::{
    Bitwise, ConnTrackKey, Direction, DynamicOperation, DynamicSet, Expression, Fib, Hash, HashKind, Lookup,
    MetaKey, Nat, NatFlags, NatKind, NumberGenerator, NumberKind, ObjectKind, ObjectReference, Payload,
    Register, Reject, Verdict, interface_name,
};
use ipnet::IpNet;

use super::ruleset::{Family, octets};

const TCP: u8 = 6;
pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;

/// Bits of `ct status` (`IPS_…`): both sides have been heard, so that the handshake is over.
pub(super) const STATUS_ASSURED: u32 = 1 << 2;
/// The destination is translated.
pub(super) const STATUS_TRANSLATED: u32 = 1 << 5;

/// `RTN_LOCAL`: an address of this host.
const LOCAL: u32 = 2;

/// A rule in the making: conditions, then what is done.
#[derive(Debug, Default)]
pub(super) struct Rule(Vec<Expression>);

impl Rule {
    pub(super) fn new() -> Self {
        Self::default()
    }

    fn and(mut self, expressions: impl IntoIterator<Item = Expression>) -> Self {
        self.0.extend(expressions);
        self
    }

    /// `meta nfproto`
    pub(super) fn family(self, family: Family) -> Self {
        let into = Register::R1;
        self.and([
            Expression::Meta { key: MetaKey::Family, into },
            Expression::equal(into, [family.protocol()]),
        ])
    }

    /// `meta l4proto tcp`
    pub(super) fn tcp(self) -> Self {
        let into = Register::R1;
        self.and([Expression::Meta { key: MetaKey::L4Protocol, into }, Expression::equal(into, [TCP])])
    }

    /// `meta l4proto != tcp`
    pub(super) fn not_tcp(self) -> Self {
        let into = Register::R1;
        self.and([Expression::Meta { key: MetaKey::L4Protocol, into }, Expression::not_equal(into, [TCP])])
    }

    /// `meta mark`
    pub(super) fn mark(self, mark: u32) -> Self {
        let into = Register::R1;
        self.and([Expression::Meta { key: MetaKey::Mark, into }, Expression::equal(into, mark.to_ne_bytes())])
    }

    /// `iifname`
    pub(super) fn came_in_on(self, interface: &str) -> Self {
        let into = Register::R1;
        self.and([
            Expression::Meta { key: MetaKey::InterfaceInName, into },
            Expression::equal(into, interface_name(interface)),
        ])
    }

    /// `iifname != { … }`; packets of this host itself come in on "".
    pub(super) fn came_in_elsewhere_than(self, interfaces: &[&str]) -> Self {
        let into = Register::R1;
        let load = Expression::Meta { key: MetaKey::InterfaceInName, into };
        let tests = interfaces.iter().map(|name| Expression::not_equal(into, interface_name(name)));
        self.and(std::iter::once(load).chain(tests))
    }

    /// `fib daddr type local`
    pub(super) fn bound_for_this_host(self) -> Self {
        let into = Register::R1;
        self.and([Expression::Fib(Fib::destination_type(into)), Expression::equal(into, LOCAL.to_ne_bytes())])
    }

    /// `ip saddr` or `ip6 saddr` in a prefix.
    pub(super) fn source_in(self, prefix: IpNet) -> Self {
        let family = Family::of(prefix.addr());
        let into = Register::R1;
        let load = Expression::Payload { payload: family.source(), into };
        let rule = self.family(family);
        if prefix.prefix_len() == 0 {
            return rule;
        }
        let mask = Expression::Bitwise(Bitwise::mask(into, octets(prefix.netmask())));
        rule.and([load, mask, Expression::equal(into, octets(prefix.network()))])
    }

    /// `ct state` has any of the bits.
    pub(super) fn state(self, bits: u32) -> Self {
        self.connection_bits(ConnTrackKey::State, bits).and([Expression::not_equal(Register::R1, [0; 4])])
    }

    /// `ct status` has any of the bits.
    pub(super) fn status(self, bits: u32) -> Self {
        self.connection_bits(ConnTrackKey::Status, bits).and([Expression::not_equal(Register::R1, [0; 4])])
    }

    /// `ct status` has none of the bits.
    pub(super) fn status_without(self, bits: u32) -> Self {
        self.connection_bits(ConnTrackKey::Status, bits).and([Expression::equal(Register::R1, [0; 4])])
    }

    fn connection_bits(self, key: ConnTrackKey, bits: u32) -> Self {
        let into = Register::R1;
        let load = Expression::ConnTrack { key, direction: None, into };
        self.and([load, Expression::Bitwise(Bitwise::mask(into, bits.to_ne_bytes()))])
    }

    /// `ct direction`
    pub(super) fn direction(self, direction: Direction) -> Self {
        let into = Register::R1;
        let load = Expression::ConnTrack { key: ConnTrackKey::Direction, direction: None, into };
        self.and([load, Expression::equal(into, [direction as u8])])
    }

    /// `tcp flags & (of) == are`
    pub(super) fn flags(self, of: u8, are: u8) -> Self {
        self.load_flags(of).and([Expression::equal(Register::R1, [are])])
    }

    /// `tcp flags & (of) != are`
    pub(super) fn flags_not(self, of: u8, are: u8) -> Self {
        self.load_flags(of).and([Expression::not_equal(Register::R1, [are])])
    }

    fn load_flags(self, of: u8) -> Self {
        let into = Register::R1;
        let load = Expression::Payload { payload: Payload::TCP_FLAGS, into };
        self.and([load, Expression::Bitwise(Bitwise::mask(into, [of]))])
    }

    /// Loads values side by side, as parts of a key.
    fn key(self, parts: &[Part]) -> Self {
        let mut register = Some(Register::R1);
        let mut rule = self;
        for part in parts {
            // No key here has more than the sixteen words of the registers; `the_longest_key_fits` shows it.
            let Some(into) = register else { break };
            register = into.after(part.octets());
            rule = rule.and([part.load(into)]);
        }
        rule
    }

    /// `ip daddr . tcp dport vmap @map`
    pub(super) fn by_service(self, family: Family, map: &str) -> Self {
        let parts = [Part::Packet(family.destination()), Part::Packet(Payload::DESTINATION_PORT)];
        self.key(&parts).verdict_of(map)
    }

    /// `tcp dport vmap @map`
    pub(super) fn by_port(self, map: &str) -> Self {
        self.key(&[Part::Packet(Payload::DESTINATION_PORT)]).verdict_of(map)
    }

    /// `ct original proto-dst . ip daddr . tcp dport vmap @map`, for packets to servers.
    pub(super) fn by_server_ahead(self, family: Family, map: &str) -> Self {
        let parts =
            [Part::Asked, Part::Packet(family.destination()), Part::Packet(Payload::DESTINATION_PORT)];
        self.key(&parts).verdict_of(map)
    }

    /// `ct original proto-dst . ip saddr . tcp sport vmap @map`, for packets from servers.
    pub(super) fn by_server_behind(self, family: Family, map: &str) -> Self {
        let parts = [Part::Asked, Part::Packet(family.source()), Part::Packet(Payload::SOURCE_PORT)];
        self.key(&parts).verdict_of(map)
    }

    /// `ip saddr . tcp sport . ip daddr . tcp dport @set`
    pub(super) fn connection_in(self, family: Family, set: &str) -> Self {
        let parts = [
            Part::Packet(family.source()),
            Part::Packet(Payload::SOURCE_PORT),
            Part::Packet(family.destination()),
            Part::Packet(Payload::DESTINATION_PORT),
        ];
        self.key(&parts).and([Expression::Lookup(Lookup::member(set, Register::R1))])
    }

    fn verdict_of(self, map: &str) -> Self {
        self.and([Expression::Lookup(Lookup::verdict(map, Register::R1))])
    }

    /// `numgen … mod N vmap @map`
    pub(super) fn by_number(self, kind: NumberKind, modulus: u32, map: &str) -> Self {
        let into = Register::R1;
        self.and([Expression::NumberGenerator(NumberGenerator { kind, modulus, offset: 0, into })])
            .verdict_of(map)
    }

    /// `jhash ip saddr mod N seed S vmap @map`
    pub(super) fn by_source(self, family: Family, modulus: u32, seed: u32, map: &str) -> Self {
        let into = Register::R1;
        let length = u32::try_from(family.octets()).unwrap_or(16);
        let kind = HashKind::Jenkins { from: Register::R2, length, seed: Some(seed) };
        self.and([
            Expression::Payload { payload: family.source(), into: Register::R2 },
            Expression::Hash(Hash { kind, modulus, offset: 0, into }),
        ])
        .verdict_of(map)
    }

    /// `add @set { ip saddr ct count over N }`
    pub(super) fn source_has_more_than(self, family: Family, count: u32, set: &str) -> Self {
        let key = Register::R1;
        self.and([
            Expression::Payload { payload: family.source(), into: key },
            Expression::DynamicSet(DynamicSet {
                operation: DynamicOperation::Add,
                set: set.to_owned(),
                set_id: None,
                key,
                value: None,
                timeout: None,
                expressions: vec![Expression::ConnectionLimit { count, above: true }],
                inverted: false,
            }),
        ])
    }

    /// `counter name …`; the rule goes on.
    pub(super) fn count(self, counter: &str) -> Self {
        let reference = ObjectReference::Named { kind: ObjectKind::Counter, name: counter.to_owned() };
        self.and([Expression::Object(reference)])
    }

    /// `dnat to address:port`
    pub(super) fn translate_to(self, server: SocketAddr) -> Vec<Expression> {
        let (address, port) = (Register::R1, Register::R2);
        self.done([
            Expression::immediate(address, octets(server.ip())),
            Expression::immediate(port, server.port().to_be_bytes()),
            Expression::Nat(Nat {
                kind: NatKind::Destination,
                family: Family::of(server.ip()).protocol(),
                addresses: Some((address, None)),
                ports: Some((port, None)),
                flags: NatFlags::default(),
            }),
        ])
    }

    /// `snat to address`
    pub(super) fn translate_from(self, own: IpAddr) -> Vec<Expression> {
        self.done([
            Expression::immediate(Register::R1, octets(own)),
            Expression::Nat(Nat {
                kind: NatKind::Source,
                family: Family::of(own).protocol(),
                addresses: Some((Register::R1, None)),
                ports: None,
                flags: NatFlags::default(),
            }),
        ])
    }

    /// `masquerade`
    pub(super) fn masquerade(self) -> Vec<Expression> {
        self.done([Expression::Masquerade { flags: NatFlags::default(), ports: None }])
    }

    /// `reject with tcp reset`
    pub(super) fn reset(self) -> Vec<Expression> {
        self.done([Expression::Reject(Reject::TcpReset)])
    }

    /// `notrack`
    pub(super) fn untracked(self) -> Vec<Expression> {
        self.done([Expression::NoTrack])
    }

    pub(super) fn accept(self) -> Vec<Expression> {
        self.done([Expression::Verdict(Verdict::Accept)])
    }

    pub(super) fn drop(self) -> Vec<Expression> {
        self.done([Expression::Verdict(Verdict::Drop)])
    }

    pub(super) fn goto(self, chain: &str) -> Vec<Expression> {
        self.done([Expression::Verdict(Verdict::Goto(chain.to_owned()))])
    }

    pub(super) fn jump(self, chain: &str) -> Vec<Expression> {
        self.done([Expression::Verdict(Verdict::Jump(chain.to_owned()))])
    }

    /// Back to where the chain was jumped to from.
    pub(super) fn back(self) -> Vec<Expression> {
        self.done([Expression::Verdict(Verdict::Return)])
    }

    /// Nothing more: the rule's last step has decided, or only counted.
    pub(super) fn end(self) -> Vec<Expression> {
        self.0
    }

    fn done(self, expressions: impl IntoIterator<Item = Expression>) -> Vec<Expression> {
        self.and(expressions).0
    }
}

/// A part of a key.
#[derive(Clone, Copy, Debug)]
enum Part {
    Packet(Payload),
    /// The port that the client asked for.
    Asked,
}

impl Part {
    fn octets(self) -> usize {
        match self {
            Self::Packet(payload) => payload.length as usize,
            Self::Asked => 2,
        }
    }

    fn load(self, into: Register) -> Expression {
        match self {
            Self::Packet(payload) => Expression::Payload { payload, into },
            Self::Asked => Expression::ConnTrack {
                key: ConnTrackKey::DestinationPort,
                direction: Some(Direction::Original),
                into,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_key_fits() {
        let rule = Rule::new().connection_in(Family::Six, "closed6").end();
        let loads = rule.iter().filter(|expression| matches!(expression, Expression::Payload { .. })).count();
        assert_eq!(loads, 4, "all four parts were loaded");
    }

    #[test]
    fn a_prefix_of_all_addresses_tests_only_the_family() {
        let rule = Rule::new().source_in("0.0.0.0/0".parse().unwrap()).accept();
        assert_eq!(rule, Rule::new().family(Family::Four).accept());
    }
}
