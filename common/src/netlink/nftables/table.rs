//! Families and tables.

use std::fmt;

use super::userdata::UserData;
use crate::netlink::attribute::{Attributes, Builder, Malformed};

/// Which packets a table sees (`NFPROTO_…` in `linux/netfilter.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet = 1,
    /// IPv4.
    Ipv4 = 2,
    /// ARP.
    Arp = 3,
    /// All packets of one interface, before or after everything else.
    Netdev = 5,
    /// Bridged frames.
    Bridge = 7,
    /// IPv6.
    Ipv6 = 10,
}

impl Family {
    /// The family of this number.
    ///
    /// # Errors
    /// No family has it.
    pub fn from_number(number: u8) -> Result<Self, Malformed> {
        Ok(match number {
            1 => Self::Inet,
            2 => Self::Ipv4,
            3 => Self::Arp,
            5 => Self::Netdev,
            7 => Self::Bridge,
            10 => Self::Ipv6,
            _ => return Err(Malformed::new("an unknown family of tables")),
        })
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Inet => "inet",
            Self::Ipv4 => "ip",
            Self::Arp => "arp",
            Self::Netdev => "netdev",
            Self::Bridge => "bridge",
            Self::Ipv6 => "ip6",
        })
    }
}

/// Which table: family and name. Prints as `nft` has it: `inet faros_lb`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId {
    /// Its family.
    pub family: Family,
    /// Its name: at most 255 octets.
    pub name: String,
}

impl TableId {
    /// The table `name` of `family`.
    pub fn new(family: Family, name: impl Into<String>) -> Self {
        Self { family, name: name.into() }
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.family, self.name)
    }
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Family and name.
    pub id: TableId,
    /// Its chains see no packets.
    pub dormant: bool,
    /// It belongs to the socket that made it: nobody else may change it, and it goes when the socket is closed.
    pub owned: bool,
    /// Comment and private data.
    pub userdata: UserData,
    /// The kernel's number; set in dumps.
    pub handle: Option<u64>,
    /// How many chains, sets and objects are in it; set in dumps.
    pub uses: u32,
    /// The netlink port of the owner; set in dumps of owned tables.
    pub owner: Option<u32>,
}

mod kind {
    pub(super) const NAME: u16 = 1;
    pub(super) const FLAGS: u16 = 2;
    pub(super) const USE: u16 = 3;
    pub(super) const HANDLE: u16 = 4;
    pub(super) const USERDATA: u16 = 6;
    pub(super) const OWNER: u16 = 7;
    pub(super) const FLAG_DORMANT: u32 = 1;
    pub(super) const FLAG_OWNER: u32 = 2;
}

impl Table {
    /// A table without flags.
    pub fn new(family: Family, name: impl Into<String>) -> Self {
        Self {
            id: TableId::new(family, name),
            dormant: false,
            owned: false,
            userdata: UserData::default(),
            handle: None,
            uses: 0,
            owner: None,
        }
    }

    pub(super) fn encode(&self, into: &mut Builder) {
        into.text(kind::NAME, &self.id.name);
        let dormant = if self.dormant { kind::FLAG_DORMANT } else { 0 };
        let owner = if self.owned { kind::FLAG_OWNER } else { 0 };
        into.u32_be(kind::FLAGS, dormant | owner);
        self.userdata.encode(kind::USERDATA, into);
    }

    pub(super) fn decode(family: Family, attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let mut table = Self::new(family, "");
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                kind::NAME => table.id.name = attribute.text()?.to_owned(),
                kind::FLAGS => {
                    let flags = attribute.u32_be()?;
                    table.dormant = flags & kind::FLAG_DORMANT != 0;
                    table.owned = flags & kind::FLAG_OWNER != 0;
                }
                kind::USE => table.uses = attribute.u32_be()?,
                kind::HANDLE => table.handle = Some(attribute.u64_be()?),
                kind::USERDATA => table.userdata = UserData::from_bytes(attribute.payload),
                kind::OWNER => table.owner = Some(attribute.u32_be()?),
                _ => {}
            }
        }
        Ok(table)
    }
}
