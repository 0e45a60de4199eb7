//! The usual sequences of steps.

use std::net::IpAddr;

use ipnet::IpNet;

use super::data::interface_name;
use super::expression::{
    Bitwise, Comparison, ConnTrackKey, DynamicSet, Expression, Fib, Limit, LogLevel, LogTo, Lookup, MetaKey,
    Nat, NatFlags, NatKind, ObjectReference, Payload, Register, Reject,
};
use super::object::ObjectKind;
use super::verdict::Verdict;

/// Steps of a rule, written one after the other; a packet goes on while they match.
///
/// All of them work in the registers from [`Register::R1`] on. In tables of both kinds of IP, what an address or a port
/// is looked for in is checked first, once.
///
/// ```
/// use faros_common::netlink::nftables::Statements;
///
/// let steps = Statements::new()
///     .interface_in("lan0")
///     .destination("192.0.2.10/32".parse().unwrap())
///     .tcp()
///     .destination_port(6443)
///     .counter()
///     .dnat("192.0.2.21".parse().unwrap(), Some(6443));
/// assert_eq!(steps.into_expressions().len(), 14);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statements {
    expressions: Vec<Expression>,
    family: Option<u8>,
    protocol: Option<u8>,
}

/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// `NFT_REJECT_ICMPX_PORT_UNREACH`.
const PORT_UNREACHABLE: u8 = 1;
/// `RTN_LOCAL`.
const LOCAL: u32 = 2;
const WORK: Register = Register::R1;

impl Statements {
    /// Nothing yet: all packets match.
    pub fn new() -> Self {
        Self::default()
    }

    /// The steps.
    pub fn into_expressions(self) -> Vec<Expression> {
        self.expressions
    }

    /// Any step.
    #[must_use]
    pub fn step(mut self, expression: Expression) -> Self {
        self.expressions.push(expression);
        self
    }

    /// Any steps.
    #[must_use]
    pub fn steps(mut self, expressions: impl IntoIterator<Item = Expression>) -> Self {
        self.expressions.extend(expressions);
        self
    }

    /// The fact is `value`.
    #[must_use]
    pub fn meta(self, key: MetaKey, value: &[u8]) -> Self {
        self.step(Expression::Meta { key, into: WORK }).step(Expression::equal(WORK, value))
    }

    /// The fact is not `value`.
    #[must_use]
    pub fn not_meta(self, key: MetaKey, value: &[u8]) -> Self {
        self.step(Expression::Meta { key, into: WORK }).step(Expression::not_equal(WORK, value))
    }

    /// These octets of the packet are `value`.
    #[must_use]
    pub fn payload(self, payload: Payload, value: &[u8]) -> Self {
        self.step(Expression::Payload { payload, into: WORK }).step(Expression::equal(WORK, value))
    }

    /// IPv4.
    #[must_use]
    pub fn ipv4(self) -> Self {
        self.of_family(IPV4)
    }

    /// IPv6.
    #[must_use]
    pub fn ipv6(self) -> Self {
        self.of_family(IPV6)
    }

    /// TCP.
    #[must_use]
    pub fn tcp(self) -> Self {
        self.protocol(TCP)
    }

    /// UDP.
    #[must_use]
    pub fn udp(self) -> Self {
        self.protocol(UDP)
    }

    /// That protocol above IP.
    #[must_use]
    pub fn protocol(mut self, protocol: u8) -> Self {
        if self.protocol == Some(protocol) {
            return self;
        }
        self.protocol = Some(protocol);
        self.meta(MetaKey::L4Protocol, &[protocol])
    }

    /// It came in there.
    #[must_use]
    pub fn interface_in(self, name: &str) -> Self {
        self.meta(MetaKey::InterfaceInName, &interface_name(name))
    }

    /// It did not come in there.
    #[must_use]
    pub fn not_interface_in(self, name: &str) -> Self {
        self.not_meta(MetaKey::InterfaceInName, &interface_name(name))
    }

    /// It goes out there.
    #[must_use]
    pub fn interface_out(self, name: &str) -> Self {
        self.meta(MetaKey::InterfaceOutName, &interface_name(name))
    }

    /// It does not go out there.
    #[must_use]
    pub fn not_interface_out(self, name: &str) -> Self {
        self.not_meta(MetaKey::InterfaceOutName, &interface_name(name))
    }

    /// It comes from an address of the prefix.
    #[must_use]
    pub fn source(self, prefix: IpNet) -> Self {
        self.within(prefix, true, Comparison::Equal)
    }

    /// It comes from an address outside of the prefix, of the same kind of IP.
    #[must_use]
    pub fn not_source(self, prefix: IpNet) -> Self {
        self.within(prefix, true, Comparison::NotEqual)
    }

    /// It goes to an address of the prefix.
    #[must_use]
    pub fn destination(self, prefix: IpNet) -> Self {
        self.within(prefix, false, Comparison::Equal)
    }

    /// It goes to an address outside of the prefix, of the same kind of IP.
    #[must_use]
    pub fn not_destination(self, prefix: IpNet) -> Self {
        self.within(prefix, false, Comparison::NotEqual)
    }

    /// It goes to an address of this host.
    #[must_use]
    pub fn destination_is_local(self) -> Self {
        self.step(Expression::Fib(Fib::destination_type(WORK)))
            .step(Expression::equal(WORK, LOCAL.to_ne_bytes()))
    }

    /// It comes from that port. Say [`Self::tcp`] or [`Self::udp`] before.
    #[must_use]
    pub fn source_port(self, port: u16) -> Self {
        self.payload(Payload::SOURCE_PORT, &port.to_be_bytes())
    }

    /// It goes to that port. Say [`Self::tcp`] or [`Self::udp`] before.
    #[must_use]
    pub fn destination_port(self, port: u16) -> Self {
        self.payload(Payload::DESTINATION_PORT, &port.to_be_bytes())
    }

    /// It goes to a port from `first` to `last`. Say [`Self::tcp`] or [`Self::udp`] before.
    #[must_use]
    pub fn destination_ports(self, first: u16, last: u16) -> Self {
        self.step(Expression::Payload { payload: Payload::DESTINATION_PORT, into: WORK }).step(
            Expression::Range {
                register: WORK,
                outside: false,
                from: first.to_be_bytes().into(),
                to: last.to_be_bytes().into(),
            },
        )
    }

    /// Its connection is in one of these states: bits of [`super::ct_state`].
    #[must_use]
    pub fn ct_state(self, bits: u32) -> Self {
        self.ct_any_bit(ConnTrackKey::State, bits)
    }

    /// Its connection has one of these bits: [`crate::netlink::conntrack::Status`].
    #[must_use]
    pub fn ct_status(self, bits: u32) -> Self {
        self.ct_any_bit(ConnTrackKey::Status, bits)
    }

    /// Of its connection's mark, the bits of `mask` are `value`.
    #[must_use]
    pub fn ct_mark(self, value: u32, mask: u32) -> Self {
        self.step(Expression::ConnTrack { key: ConnTrackKey::Mark, direction: None, into: WORK })
            .masked(value, mask)
    }

    /// Of its mark, the bits of `mask` are `value`.
    #[must_use]
    pub fn mark(self, value: u32, mask: u32) -> Self {
        self.step(Expression::Meta { key: MetaKey::Mark, into: WORK }).masked(value, mask)
    }

    /// Marks it.
    #[must_use]
    pub fn set_mark(self, mark: u32) -> Self {
        self.step(Expression::immediate(WORK, mark.to_ne_bytes()))
            .step(Expression::SetMeta { key: MetaKey::Mark, from: WORK })
    }

    /// Marks its connection.
    #[must_use]
    pub fn set_ct_mark(self, mark: u32) -> Self {
        self.step(Expression::immediate(WORK, mark.to_ne_bytes())).step(Expression::SetConnTrack {
            key: ConnTrackKey::Mark,
            direction: None,
            from: WORK,
        })
    }

    /// Its source address is in the set. Say [`Self::ipv4`] or [`Self::ipv6`] before in a table of both; without, IPv4.
    #[must_use]
    pub fn source_in(self, set: &str) -> Self {
        let payload = self.address(true);
        self.step(Expression::Payload { payload, into: WORK })
            .step(Expression::Lookup(Lookup::member(set, WORK)))
    }

    /// Its source address is not in the set; see [`Self::source_in`].
    #[must_use]
    pub fn source_not_in(self, set: &str) -> Self {
        let payload = self.address(true);
        self.step(Expression::Payload { payload, into: WORK })
            .step(Expression::Lookup(Lookup::no_member(set, WORK)))
    }

    /// Its destination address is in the set; see [`Self::source_in`].
    #[must_use]
    pub fn destination_in(self, set: &str) -> Self {
        let payload = self.address(false);
        self.step(Expression::Payload { payload, into: WORK })
            .step(Expression::Lookup(Lookup::member(set, WORK)))
    }

    /// Loads its destination address and port side by side, as sets of [`super::DataType::Ipv4Address`] (or
    /// `Ipv6Address`) and [`super::DataType::InetService`] have them, into [`Register::R1`]. Say the family before;
    /// without, IPv4. A lookup follows.
    #[must_use]
    pub fn load_destination(self) -> Self {
        let payload = self.address(false);
        let behind = self.behind_address();
        self.step(Expression::Payload { payload, into: WORK })
            .step(Expression::Payload { payload: Payload::DESTINATION_PORT, into: behind })
    }

    /// Counts.
    #[must_use]
    pub fn counter(self) -> Self {
        self.step(Expression::COUNTER)
    }

    /// Counts with a named counter of the table.
    #[must_use]
    pub fn counter_named(self, name: &str) -> Self {
        let reference = ObjectReference::Named { kind: ObjectKind::Counter, name: name.to_owned() };
        self.step(Expression::Object(reference))
    }

    /// The rate is not exceeded (or, with [`Limit::above`], is).
    #[must_use]
    pub fn limit(self, limit: Limit) -> Self {
        self.step(Expression::Limit(limit))
    }

    /// Writes an element of a set.
    #[must_use]
    pub fn dynamic_set(self, set: DynamicSet) -> Self {
        self.step(Expression::DynamicSet(set))
    }

    /// A line in the kernel's log, which begins with `prefix`.
    #[must_use]
    pub fn log(self, prefix: &str, level: LogLevel) -> Self {
        self.step(Expression::Log(LogTo::Kernel { prefix: Some(prefix.to_owned()), level, flags: 0 }))
    }

    /// Translates the destination; chain type nat. The address decides which kind of IP it is about.
    #[must_use]
    pub fn dnat(self, address: IpAddr, port: Option<u16>) -> Self {
        self.translate(NatKind::Destination, address, port)
    }

    /// Translates the source; chain type nat. The address decides which kind of IP it is about.
    #[must_use]
    pub fn snat(self, address: IpAddr) -> Self {
        self.translate(NatKind::Source, address, None)
    }

    /// Translates the destination to what a map has for the number or key in [`Register::R1`]: an address and a port
    /// side by side. Say the family before; without, IPv4.
    #[must_use]
    pub fn dnat_by_map(self, map: &str) -> Self {
        let nat = Nat {
            kind: NatKind::Destination,
            family: self.family.unwrap_or(IPV4),
            addresses: Some((WORK, None)),
            ports: Some((self.behind_address(), None)),
            flags: NatFlags::default(),
        };
        self.step(Expression::Lookup(Lookup::map(map, WORK, WORK))).step(Expression::Nat(nat))
    }

    /// Translates the source to the address of the interface.
    #[must_use]
    pub fn masquerade(self) -> Self {
        self.step(Expression::Masquerade { flags: NatFlags::default(), ports: None })
    }

    /// Decides as the verdict map has it for the key in [`Register::R1`].
    #[must_use]
    pub fn verdict_by_map(self, map: &str) -> Self {
        self.step(Expression::Lookup(Lookup::verdict(map, WORK)))
    }

    /// Decides.
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> Self {
        self.step(Expression::Verdict(verdict))
    }

    /// Accepts it.
    #[must_use]
    pub fn accept(self) -> Self {
        self.verdict(Verdict::Accept)
    }

    /// Drops it.
    #[must_use]
    pub fn drop(self) -> Self {
        self.verdict(Verdict::Drop)
    }

    /// Goes on with the rules of a chain, then behind this one.
    #[must_use]
    pub fn jump(self, chain: &str) -> Self {
        self.verdict(Verdict::Jump(chain.to_owned()))
    }

    /// Goes on with the rules of a chain, for good.
    #[must_use]
    pub fn goto(self, chain: &str) -> Self {
        self.verdict(Verdict::Goto(chain.to_owned()))
    }

    /// Drops it and resets its connection. TCP is checked for first.
    #[must_use]
    pub fn reset(self) -> Self {
        self.tcp().step(Expression::Reject(Reject::TcpReset))
    }

    /// Drops it and says that the port is unreachable.
    #[must_use]
    pub fn reject(self) -> Self {
        self.step(Expression::Reject(Reject::IcmpAny(PORT_UNREACHABLE)))
    }

    fn of_family(mut self, family: u8) -> Self {
        if self.family == Some(family) {
            return self;
        }
        self.family = Some(family);
        self.meta(MetaKey::Family, &[family])
    }

    fn of_family_of(self, address: IpAddr) -> Self {
        if address.is_ipv4() { self.ipv4() } else { self.ipv6() }
    }

    fn address(&self, source: bool) -> Payload {
        match (self.family == Some(IPV6), source) {
            (false, true) => Payload::IPV4_SOURCE,
            (false, false) => Payload::IPV4_DESTINATION,
            (true, true) => Payload::IPV6_SOURCE,
            (true, false) => Payload::IPV6_DESTINATION,
        }
    }

    /// The register behind an address in the first one.
    fn behind_address(&self) -> Register {
        let octets = if self.family == Some(IPV6) { 16 } else { 4 };
        WORK.after(octets).unwrap_or(Register::R2)
    }

    fn within(self, prefix: IpNet, source: bool, comparison: Comparison) -> Self {
        let octets = |address| super::Key::new().address(address).build();
        let family = self.of_family_of(prefix.addr());
        let payload = family.address(source);
        let loaded = family.step(Expression::Payload { payload, into: WORK });
        let masked = if prefix.prefix_len() == prefix.max_prefix_len() {
            loaded
        } else {
            loaded.step(Expression::Bitwise(Bitwise::mask(WORK, octets(prefix.netmask()))))
        };
        masked.step(Expression::Compare { register: WORK, comparison, with: octets(prefix.network()) })
    }

    fn ct_any_bit(self, key: ConnTrackKey, bits: u32) -> Self {
        self.step(Expression::ConnTrack { key, direction: None, into: WORK })
            .step(Expression::Bitwise(Bitwise::mask(WORK, bits.to_ne_bytes())))
            .step(Expression::not_equal(WORK, [0; 4]))
    }

    fn masked(self, value: u32, mask: u32) -> Self {
        let all = mask == u32::MAX;
        let masked =
            if all { self } else { self.step(Expression::Bitwise(Bitwise::mask(WORK, mask.to_ne_bytes()))) };
        masked.step(Expression::equal(WORK, value.to_ne_bytes()))
    }

    fn translate(self, kind: NatKind, address: IpAddr, port: Option<u16>) -> Self {
        let family = self.of_family_of(address);
        let number = if address.is_ipv4() { IPV4 } else { IPV6 };
        let mut steps = family.step(Expression::immediate(WORK, super::Key::new().address(address).build()));
        if let Some(port) = port {
            steps = steps.step(Expression::immediate(Register::R2, port.to_be_bytes()));
        }
        steps.step(Expression::Nat(Nat {
            kind,
            family: number,
            addresses: Some((WORK, None)),
            ports: port.map(|_| (Register::R2, None)),
            flags: NatFlags::default(),
        }))
    }
}
