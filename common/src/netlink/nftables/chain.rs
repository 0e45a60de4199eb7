//! Chains: where rules are.

use std::fmt;

use super::Counters;
use super::table::{Family, TableId};
use super::userdata::UserData;
use super::verdict::Policy;
use crate::netlink::attribute::{Attributes, Builder, Malformed};

/// Where packets meet a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Before routing.
    Prerouting,
    /// To this host.
    Input,
    /// Through this host.
    Forward,
    /// From this host.
    Output,
    /// After routing.
    Postrouting,
    /// As it comes from an interface: [`Family::Netdev`] (with [`Base::devices`]) and [`Family::Inet`].
    Ingress,
    /// As it goes to an interface: [`Family::Netdev`] only.
    Egress,
}

impl Hook {
    fn number(self, family: Family) -> u32 {
        match (self, family) {
            (Self::Ingress, Family::Netdev) => 0,
            (Self::Egress, _) => 1,
            (Self::Input, Family::Arp) => 0,
            (Self::Output, Family::Arp) => 1,
            (Self::Forward, Family::Arp) => 2,
            (Self::Prerouting, _) => 0,
            (Self::Input, _) => 1,
            (Self::Forward, _) => 2,
            (Self::Output, _) => 3,
            (Self::Postrouting, _) => 4,
            (Self::Ingress, _) => 5,
        }
    }

    fn from_number(number: u32, family: Family) -> Result<Self, Malformed> {
        let known: &[Self] = match family {
            Family::Netdev => &[Self::Ingress, Self::Egress],
            Family::Arp => &[Self::Input, Self::Output, Self::Forward],
            _ => &[
                Self::Prerouting,
                Self::Input,
                Self::Forward,
                Self::Output,
                Self::Postrouting,
                Self::Ingress,
            ],
        };
        let known = usize::try_from(number).ok().and_then(|index| known.get(index));
        known.copied().ok_or(Malformed::new("an unknown hook"))
    }
}

/// What a base chain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChainKind {
    /// Accept and drop.
    Filter,
    /// Translate addresses of new connections.
    Nat,
    /// Route again what it has changed (hook output).
    Route,
}

impl ChainKind {
    fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
            Self::Route => "route",
        }
    }
}

/// Common priorities of base chains: lower ones see a packet first.
pub mod priority {
    /// Before connection tracking.
    pub const RAW: i32 = -300;
    /// Connection tracking itself, for comparison.
    pub const CONNTRACK: i32 = -200;
    /// Changes of packets.
    pub const MANGLE: i32 = -150;
    /// Translation of destinations (prerouting, output).
    pub const DSTNAT: i32 = -100;
    /// Filters.
    pub const FILTER: i32 = 0;
    /// Security marks.
    pub const SECURITY: i32 = 50;
    /// Translation of sources (postrouting, input).
    pub const SRCNAT: i32 = 100;
}

/// What makes a chain a base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// What it may do.
    pub kind: ChainKind,
    /// Where packets meet it.
    pub hook: Hook,
    /// In which order, among all base chains of the hook; see [`priority`].
    pub priority: i32,
    /// What happens to packets that no rule decides.
    pub policy: Policy,
    /// The interfaces of an ingress or egress chain; elsewhere empty.
    pub devices: Vec<String>,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its table.
    pub table: TableId,
    /// Its name: at most 255 octets.
    pub name: String,
    /// Where packets meet it; `None`: only by jump and goto.
    pub base: Option<Base>,
    /// Comment and private data.
    pub userdata: UserData,
    /// The kernel's number; set in dumps.
    pub handle: Option<u64>,
    /// How many rules are in it and refer to it; set in dumps.
    pub uses: u32,
    /// What the policy decided, where the chain counts; set in dumps.
    pub counters: Option<Counters>,
}

mod kind {
    pub(super) const TABLE: u16 = 1;
    pub(super) const HANDLE: u16 = 2;
    pub(super) const NAME: u16 = 3;
    pub(super) const HOOK: u16 = 4;
    pub(super) const POLICY: u16 = 5;
    pub(super) const USE: u16 = 6;
    pub(super) const TYPE: u16 = 7;
    pub(super) const COUNTERS: u16 = 8;
    pub(super) const USERDATA: u16 = 12;
    pub(super) const HOOK_NUMBER: u16 = 1;
    pub(super) const HOOK_PRIORITY: u16 = 2;
    pub(super) const HOOK_DEVICE: u16 = 3;
    pub(super) const HOOK_DEVICES: u16 = 4;
    pub(super) const DEVICE_NAME: u16 = 1;
}

impl Chain {
    /// A chain that is reached by jump and goto.
    pub fn regular(table: &TableId, name: impl Into<String>) -> Self {
        Self {
            table: table.clone(),
            name: name.into(),
            base: None,
            userdata: UserData::default(),
            handle: None,
            uses: 0,
            counters: None,
        }
    }

    /// A chain that packets meet at `hook`; policy accept.
    pub fn base(
        table: &TableId,
        name: impl Into<String>,
        kind: ChainKind,
        hook: Hook,
        priority: i32,
    ) -> Self {
        let base = Base { kind, hook, priority, policy: Policy::Accept, devices: Vec::new() };
        Self { base: Some(base), ..Self::regular(table, name) }
    }

    /// The same with another policy; nothing changes for a regular chain.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        if let Some(base) = &mut self.base {
            base.policy = policy;
        }
        self
    }

    pub(super) fn encode(&self, into: &mut Builder) {
        into.text(kind::TABLE, &self.table.name);
        into.text(kind::NAME, &self.name);
        if let Some(base) = &self.base {
            into.nest(kind::HOOK, |hook| {
                hook.u32_be(kind::HOOK_NUMBER, base.hook.number(self.table.family));
                hook.u32_be(kind::HOOK_PRIORITY, base.priority.cast_unsigned());
                match base.devices.as_slice() {
                    [] => {}
                    [device] => hook.text(kind::HOOK_DEVICE, device),
                    devices => hook.nest(kind::HOOK_DEVICES, |list| {
                        devices.iter().for_each(|device| list.text(kind::DEVICE_NAME, device));
                    }),
                }
            });
            into.u32_be(kind::POLICY, base.policy.number());
            into.text(kind::TYPE, base.kind.name());
        }
        self.userdata.encode(kind::USERDATA, into);
    }

    pub(super) fn decode(family: Family, attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let mut chain = Self::regular(&TableId::new(family, ""), "");
        let (mut hook, mut policy, mut chain_kind) = (None, Policy::Accept, ChainKind::Filter);
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                kind::TABLE => chain.table.name = attribute.text()?.to_owned(),
                kind::NAME => chain.name = attribute.text()?.to_owned(),
                kind::HANDLE => chain.handle = Some(attribute.u64_be()?),
                kind::HOOK => hook = Some(decode_hook(family, attribute.nested())?),
                kind::POLICY => policy = Policy::from_number(attribute.u32_be()?)?,
                kind::USE => chain.uses = attribute.u32_be()?,
                kind::TYPE => {
                    chain_kind = match attribute.text()? {
                        "filter" => ChainKind::Filter,
                        "nat" => ChainKind::Nat,
                        "route" => ChainKind::Route,
                        _ => return Err(Malformed::new("an unknown type of chain")),
                    }
                }
                kind::COUNTERS => chain.counters = Some(Counters::decode(attribute.nested())?),
                kind::USERDATA => chain.userdata = UserData::from_bytes(attribute.payload),
                _ => {}
            }
        }
        chain.base =
            hook.map(|(hook, priority, devices)| Base { kind: chain_kind, hook, priority, policy, devices });
        Ok(chain)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.table, self.name)
    }
}

fn decode_hook(family: Family, attributes: Attributes<'_>) -> Result<(Hook, i32, Vec<String>), Malformed> {
    let (mut hook, mut priority, mut devices) = (None, 0, Vec::new());
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            kind::HOOK_NUMBER => hook = Some(Hook::from_number(attribute.u32_be()?, family)?),
            kind::HOOK_PRIORITY => priority = attribute.u32_be()?.cast_signed(),
            // The kernel gives a single device in both ways.
            kind::HOOK_DEVICE => devices = vec![attribute.text()?.to_owned()],
            kind::HOOK_DEVICES => {
                let names = attribute.nested().map(|device| device?.text().map(str::to_owned));
                devices = names.collect::<Result<_, _>>()?;
            }
            _ => {}
        }
    }
    Ok((hook.ok_or(Malformed::new("a base chain without its hook"))?, priority, devices))
}
